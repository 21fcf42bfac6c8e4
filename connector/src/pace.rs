//! How often somebody may do something: a few times at once, and then once in a while.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// Below how many nobody is forgotten.
const REMEMBERED_MIN: usize = 1_024;

/// Counts what each of many does. Only those are remembered who did something lately.
#[derive(Debug)]
pub(crate) struct Pace<K> {
    /// What can be put off at most: all but the last of those that may happen at once.
    ahead_max: Duration,
    each: Duration,
    /// Until when each has used its share up.
    used_until: HashMap<K, Instant>,
    /// How many are remembered before the first are forgotten.
    remembered_max: usize,
}

impl<K: Eq + Hash + Clone> Pace<K> {
    /// `at_once` times, then one in `each`.
    pub(crate) fn new(at_once: u32, each: Duration) -> Self {
        Self {
            ahead_max: each * at_once.saturating_sub(1),
            each,
            used_until: HashMap::new(),
            remembered_max: REMEMBERED_MIN,
        }
    }

    /// When `who` may do it: now or later.
    pub(crate) fn free_at(&self, who: &K, now: Instant) -> Instant {
        let ahead = self
            .used_until
            .get(who)
            .map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        now + ahead.saturating_sub(self.ahead_max)
    }

    /// Does it.
    ///
    /// # Errors
    /// Not yet: when it may be done.
    pub(crate) fn take(&mut self, who: &K, now: Instant) -> Result<(), Instant> {
        let free_at = self.free_at(who, now);
        if free_at > now {
            return Err(free_at);
        }
        if self.used_until.len() >= self.remembered_max {
            self.used_until.retain(|_, until| *until > now);
            self.remembered_max = REMEMBERED_MIN.max(2 * self.used_until.len());
        }
        let until = self.used_until.entry(who.clone()).or_insert(now);
        *until = (*until).max(now) + self.each;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_come_at_once_and_then_one_in_a_while_each_for_itself() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut pace = Pace::new(3, Duration::from_secs(60));
        for _ in 0..3 {
            assert_eq!(pace.take(&1, at(0)), Ok(()));
        }
        assert_eq!(pace.take(&1, at(0)), Err(at(60)));
        assert_eq!(pace.take(&1, at(59)), Err(at(60)));
        assert_eq!(pace.take(&2, at(59)), Ok(()));
        assert_eq!(pace.take(&1, at(60)), Ok(()));
        assert_eq!(pace.take(&1, at(60)), Err(at(120)));
        // After a while all are there again, and no more than those.
        for _ in 0..3 {
            assert_eq!(pace.take(&1, at(1_000)), Ok(()));
        }
        assert_eq!(pace.take(&1, at(1_000)), Err(at(1_060)));
    }

    #[test]
    fn only_the_latest_are_remembered() {
        let begin = Instant::now();
        let mut pace = Pace::new(1, Duration::from_secs(1));
        for number in 0..10_000 {
            let now = begin + Duration::from_millis(number * 10);
            assert_eq!(pace.take(&number, now), Ok(()));
        }
        let remembered = pace.used_until.len();
        assert!(remembered <= REMEMBERED_MIN, "{remembered}");
    }
}
