//! When to come back: section 9 of `docs/client-link.md`.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use link_protocol::limits::RETRY_MS_MAX;

/// Half of the longest first pause; the jitter adds up to as much again.
const FIRST: Duration = Duration::from_millis(500);

/// Half of the longest pause of all.
const LONGEST: Duration = Duration::from_secs(150);

/// Longest pause a server may ask for.
const HINT_MAX: Duration = Duration::from_millis(RETRY_MS_MAX);

/// The pauses after failures in a row.
#[derive(Debug)]
pub struct Pauses {
    steps: ExponentialBackoff,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { steps: steps() }
    }
}

impl Pauses {
    /// How long to wait after one more failure: random between half of and the whole of
    /// min(300, 2^(n-1)) seconds. With a hint of the server: the hint plus up to half of it at random, and no less than that pause.
    pub fn next(&mut self, hint: Option<Duration>) -> Duration {
        let step = self.steps.next().unwrap_or(LONGEST);
        match hint {
            None => step,
            Some(hint) => {
                let hint = hint.min(HINT_MAX);
                step.max(hint + (hint / 2).mul_f64(fraction()))
            }
        }
    }

    /// Begins anew after a connection that lasted.
    pub fn reset(&mut self) {
        self.steps = steps();
    }
}

fn steps() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_factor(2.0)
        .with_min_delay(FIRST)
        .with_max_delay(LONGEST)
        .without_max_times()
        .with_jitter()
        .build()
}

/// A random number from 0 to below 1. A system without randomness gets the middle: worse spread, but
/// a machine that stays reachable.
fn fraction() -> f64 {
    getrandom::u32().map_or(0.5, |bits| f64::from(bits) / (f64::from(u32::MAX) + 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_minutes_and_begin_anew() {
        let mut pauses = Pauses::default();
        for round in 0..3 {
            for failure in 1..20_u32 {
                let longest = 2_f64.powi(failure as i32 - 1).min(300.0);
                let pause = pauses.next(None).as_secs_f64();
                let range = longest / 2.0 - 0.001..=longest + 0.001;
                assert!(
                    range.contains(&pause),
                    "round {round}, failure {failure}: {pause}"
                );
            }
            pauses.reset();
        }
    }

    #[test]
    fn pauses_differ_between_machines() {
        let pause = || Pauses::default().next(Some(Duration::from_secs(100)));
        let first = pause();
        assert!((0..20).any(|_| pause() != first));
    }

    #[test]
    fn a_hint_is_a_minimum_with_a_random_part_on_top_and_a_day_at_most() {
        for _ in 0..100 {
            let pause = Pauses::default().next(Some(Duration::from_secs(60)));
            assert!((60.0..=90.0).contains(&pause.as_secs_f64()), "{pause:?}");
            let pause = Pauses::default().next(Some(Duration::MAX));
            assert!(pause >= HINT_MAX && pause <= HINT_MAX * 3 / 2);
        }
        let mut pauses = Pauses::default();
        for _ in 0..20 {
            pauses.next(None);
        }
        assert!(
            pauses.next(Some(Duration::ZERO)) >= Duration::from_secs(150),
            "the hint is no short cut"
        );
    }
}
