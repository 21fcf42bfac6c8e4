//! How many agents may connect a second (CLNT-36): a fixed window, and hints that spread those who are turned away.
//!
//! Asked when the identity is proven: a stranger uses nothing of it up.

use std::sync::Mutex;

use tokio::time::Instant;

/// Longest pause a turned away agent is asked for. Unit: milliseconds.
const PAUSE_MS_MAX: u64 = 300_000;

/// Counts who came in during the present second, and how many are waiting outside.
#[derive(Debug)]
pub(crate) struct Admission {
    window: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    admitted: u32,
    /// Turned away since it was last quiet: how long the storm needs at the rate.
    turned_away: u64,
}

/// Whether an agent may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// It may.
    Yes,
    /// Not now: come back after a while, of which this is the middle. Unit: milliseconds.
    After(u64),
}

impl Admission {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            window: Mutex::new(Window {
                began: now,
                admitted: 0,
                turned_away: 0,
            }),
        }
    }

    /// Asks for one place at `rate` a second. `chance` spreads the pauses: any number.
    pub(crate) fn ask(&self, rate: u32, now: Instant, chance: u64) -> Admitted {
        // A poisoned lock only means that another thread panicked between two counters; they stay usable.
        let mut window = self
            .window
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let elapsed = now.saturating_duration_since(window.began);
        if elapsed.as_millis() >= 1_000 {
            let quiet = window.admitted < rate;
            let passed = elapsed.as_secs().max(1);
            window.turned_away = if quiet {
                0
            } else {
                window
                    .turned_away
                    .saturating_sub(passed.saturating_mul(u64::from(rate)))
            };
            window.began = now;
            window.admitted = 0;
        }
        if window.admitted < rate {
            window.admitted += 1;
            return Admitted::Yes;
        }
        window.turned_away = window.turned_away.saturating_add(1);
        let needed_ms = window.turned_away.saturating_mul(1_000) / u64::from(rate.max(1));
        let spread = needed_ms.clamp(1_000, PAUSE_MS_MAX);
        Admitted::After(1_000 + chance % spread)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// CLNT-36
    #[test]
    fn exactly_the_rate_comes_in_each_second_and_the_rest_is_spread() {
        let start = Instant::now();
        let admission = Admission::new(start);
        for second in 0..3 {
            let now = start + Duration::from_secs(second);
            let answers: Vec<Admitted> = (0..200)
                .map(|n| admission.ask(50, now, n * 7_919))
                .collect();
            assert_eq!(answers.iter().filter(|a| **a == Admitted::Yes).count(), 50);
            let pauses: Vec<u64> = answers
                .iter()
                .filter_map(|a| {
                    if let Admitted::After(ms) = a {
                        Some(*ms)
                    } else {
                        None
                    }
                })
                .collect();
            assert!(
                pauses
                    .iter()
                    .all(|ms| (1_000..=PAUSE_MS_MAX + 1_000).contains(ms))
            );
            assert!(pauses.iter().max() > pauses.iter().min());
        }
    }

    #[test]
    fn after_a_quiet_second_the_pauses_are_short_again() {
        let start = Instant::now();
        let admission = Admission::new(start);
        for n in 0..10_000 {
            admission.ask(1, start, n);
        }
        let later = start + Duration::from_secs(2);
        admission.ask(5, later, 0);
        let much_later = start + Duration::from_secs(10);
        for _ in 0..5 {
            assert_eq!(admission.ask(5, much_later, 0), Admitted::Yes);
        }
        let Admitted::After(ms) = admission.ask(5, much_later, u64::MAX) else {
            panic!("the sixth must wait")
        };
        assert!(ms < 2_001, "{ms}");
    }
}
