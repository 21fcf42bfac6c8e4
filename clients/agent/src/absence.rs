//! For how long the site was away, and whether that is certain enough for a client to take itself off the machine (CLNT-19).
//!
//! A removal can't be taken back, so one failed try and a wall clock are not enough for it. The wall clock may have been set:
//! where it moved other than the clock that nobody sets, when the site was there is moved by the difference. And the network
//! may only just be coming up: the site must have been out of reach for several tries and some minutes.

use std::time::Duration;

use crate::wall_clock::WallClock;

/// How many tries must have failed since the site was there.
const TRIES_MIN: u32 = 3;

/// How long they must have gone on.
const TRYING_MIN: Duration = Duration::from_secs(120);

/// How far the two clocks may part between two looks without one having been set. Unit: seconds.
const SLACK: i64 = 10;

/// How much later than its site a client may have noticed that a connection was lost. Unit: seconds.
const NOTICED_LATE_MAX: i64 = 120;

/// What is known of the site's absence.
#[derive(Debug, Default)]
pub(crate) struct Absence {
    /// When the site was last there, by the wall clock as it goes now. Unit: seconds since 1970 UTC.
    seen_at: Option<i64>,
    /// Whether that was noted since this program runs, and so by the same wall clock.
    seen_here: bool,
    /// The wall clock and the other one at the last look.
    looked: Option<(i64, Duration)>,
    failed: u32,
    failing_since: Option<Duration>,
}

impl Absence {
    /// What an earlier run of the program has noted.
    pub(crate) fn since(seen_at: Option<i64>, clock: &WallClock) -> Self {
        Self {
            seen_at,
            looked: Some((clock.now(), clock.running())),
            ..Self::default()
        }
    }

    /// The site is there.
    pub(crate) fn seen(&mut self, clock: &WallClock) {
        *self = Self {
            seen_here: true,
            ..Self::since(Some(clock.now()), clock)
        };
    }

    /// The site was not reached; answers where `seen_at` moved meanwhile, for the disk. A try that `counts` for nothing is
    /// one that failed for what may be this machine's fault.
    pub(crate) fn not_reached(&mut self, clock: &WallClock, counts: bool) -> Option<i64> {
        if counts {
            self.failed = self.failed.saturating_add(1);
            self.failing_since.get_or_insert_with(|| clock.running());
        }
        let (now, running) = (clock.now(), clock.running());
        let (then, ran) = self.looked.replace((now, running))?;
        let passed = i64::try_from(running.saturating_sub(ran).as_secs()).unwrap_or(i64::MAX);
        let step = now.saturating_sub(then).saturating_sub(passed);
        // One that is set back while what counts was noted by an earlier run was wrong before, and is right now.
        if step.abs() <= SLACK || (step < 0 && !self.seen_here) {
            return None;
        }
        tracing::warn!(seconds = step, "the wall clock was set");
        let seen_at = self.seen_at.as_mut()?;
        *seen_at = seen_at.saturating_add(step);
        Some(*seen_at)
    }

    /// When the site was last there, where it has been away for `minutes` and that is certain.
    pub(crate) fn is_over(&self, clock: &WallClock, minutes: u32) -> Option<i64> {
        let seen_at = self.seen_at?;
        let is_certain = self.failed >= TRIES_MIN
            && self
                .failing_since
                .is_some_and(|since| clock.running().saturating_sub(since) >= TRYING_MIN);
        (is_certain && left(seen_at, minutes, clock) <= 0).then_some(seen_at)
    }

    /// When the site was last there, where that is `minutes` ago: as long as its own rule needs to delete a client. For a
    /// client that the site says to have removed, so that nothing more has to be certain.
    pub(crate) fn was_as_long_as(&self, clock: &WallClock, minutes: u32) -> Option<i64> {
        let seen_at = self.seen_at?;
        (left(seen_at, minutes, clock) <= NOTICED_LATE_MAX).then_some(seen_at)
    }

    /// How soon to try again so as to see at once that it is over; never nothing.
    pub(crate) fn until_over(&self, clock: &WallClock, minutes: u32) -> Duration {
        let Some(seen_at) = self.seen_at else {
            return Duration::MAX;
        };
        let by_wall = u64::try_from(left(seen_at, minutes, clock)).unwrap_or(0);
        let trying = match self.failing_since {
            Some(since) => TRYING_MIN.saturating_sub(clock.running().saturating_sub(since)),
            None => Duration::ZERO,
        };
        match Duration::from_secs(by_wall).max(trying) {
            // Only tries are wanting; they come as they do.
            Duration::ZERO => Duration::MAX,
            left => left.max(Duration::from_secs(1)),
        }
    }
}

fn left(seen_at: i64, minutes: u32, clock: &WallClock) -> i64 {
    seen_at
        .saturating_add(i64::from(minutes) * 60)
        .saturating_sub(clock.now())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use tokio::time::{Instant, advance};

    use super::*;

    const HOUR: u32 = 60;

    /// A wall clock that is set by moving the number.
    fn clock() -> (WallClock, Arc<AtomicI64>) {
        let (begun, set) = (Instant::now(), Arc::new(AtomicI64::new(1_700_000_000)));
        let by = Arc::clone(&set);
        let clock = WallClock::new(move || {
            by.load(Ordering::SeqCst) + i64::try_from(begun.elapsed().as_secs()).unwrap_or(0)
        });
        (clock, set)
    }

    /// Tries every minute until it is over; how long that took.
    async fn over_after(absence: &mut Absence, clock: &WallClock) -> Duration {
        let begun = Instant::now();
        while absence.is_over(clock, HOUR).is_none() {
            assert!(begun.elapsed() < Duration::from_secs(86_400), "never");
            advance(Duration::from_secs(60)).await;
            absence.not_reached(clock, true);
        }
        begun.elapsed()
    }

    /// CLNT-19: a clock that is set, forward or back, neither brings the end nearer nor puts it off.
    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_is_not_time_that_goes_by() {
        for step in [0, 10 * 365 * 86_400, -10 * 365 * 86_400] {
            let (clock, set) = clock();
            let mut absence = Absence::default();
            absence.seen(&clock);
            for _ in 0..5 {
                advance(Duration::from_secs(60)).await;
                absence.not_reached(&clock, true);
            }
            set.fetch_add(step, Ordering::SeqCst);
            absence.not_reached(&clock, true);
            let after = over_after(&mut absence, &clock).await;
            assert_eq!(after, Duration::from_secs(55 * 60), "set by {step}");
        }
    }

    /// CLNT-19: what an earlier run noted is over by the wall clock, but only after tries that go on for a while, in which a
    /// clock that started wrong is set right.
    #[tokio::test(start_paused = true)]
    async fn a_clock_that_started_wrong_has_time_to_be_set_right() {
        let (clock, set) = clock();
        let seen_at = clock.now() - 60;
        set.fetch_add(10 * 365 * 86_400, Ordering::SeqCst);
        let mut absence = Absence::since(Some(seen_at), &clock);
        for _ in 0..20 {
            absence.not_reached(&clock, true);
        }
        assert_eq!(absence.is_over(&clock, HOUR), None, "no time has gone by");
        advance(Duration::from_secs(100)).await;
        set.fetch_sub(10 * 365 * 86_400, Ordering::SeqCst);
        assert_eq!(absence.not_reached(&clock, true), None);
        let after = over_after(&mut absence, &clock).await;
        assert_eq!(after, Duration::from_secs(58 * 60), "by the clock as it is");

        let mut absence = Absence::since(Some(clock.now() - 3_600), &clock);
        absence.not_reached(&clock, true);
        advance(TRYING_MIN).await;
        absence.not_reached(&clock, true);
        assert_eq!(absence.is_over(&clock, HOUR), None, "two tries");
        absence.not_reached(&clock, true);
        assert!(absence.is_over(&clock, HOUR).is_some());
    }

    /// CLNT-19: a try that failed for this machine's own fault says nothing of the site.
    #[tokio::test(start_paused = true)]
    async fn tries_that_count_for_nothing_end_nothing() {
        let (clock, _) = clock();
        let mut absence = Absence::since(Some(clock.now() - 86_400), &clock);
        for _ in 0..100 {
            absence.not_reached(&clock, false);
            advance(Duration::from_secs(60)).await;
        }
        assert_eq!(absence.is_over(&clock, HOUR), None);
        // And no try is hurried for it.
        assert_eq!(absence.until_over(&clock, HOUR), Duration::MAX);
    }
}
