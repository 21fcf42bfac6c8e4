//! When to come back: section 9 of docs/client-link.md.

use std::time::Duration;

use link_protocol::limits::RETRY_MS_MAX;
use rand::Rng;
use rand::rngs::SmallRng;

/// Longest pause after failures. Unit: seconds.
const LONGEST: f64 = 300.0;

/// How long a link must have been online for the pauses to begin anew.
pub const LASTING: Duration = Duration::from_secs(60);

/// The pause after the `failures`-th failure in a row: random between half of and the whole of min(300, 2^(n-1)) seconds. With
/// a hint of the server: the hint plus up to half of it at random, and no less than that pause.
pub fn pause(failures: u32, hint: Option<Duration>, chance: &mut SmallRng) -> Duration {
    let longest = 2_f64
        .powi(i32::try_from(failures.clamp(1, 20)).unwrap_or(20) - 1)
        .min(LONGEST);
    let step = Duration::from_secs_f64(longest * chance.random_range(0.5..=1.0));
    let Some(hint) = hint else {
        return step;
    };
    let hint = hint.min(Duration::from_millis(RETRY_MS_MAX));
    step.max(hint.mul_f64(chance.random_range(1.0..=1.5)))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn pauses_are_those_of_the_protocol() {
        let mut chance = SmallRng::seed_from_u64(1);
        for (failures, hint, range) in [
            (1, None, 0.5..=1.0),
            (4, None, 4.0..=8.0),
            (9, None, 128.0..=256.0),
            (10, None, 150.0..=300.0),
            (1_000, None, 150.0..=300.0),
            (1, Some(60), 60.0..=90.0),
            (10, Some(60), 150.0..=300.0),
            (1, Some(1_000_000), 86_400.0..=129_600.0),
        ] {
            for _ in 0..100 {
                let hint = hint.map(Duration::from_secs);
                let pause = pause(failures, hint, &mut chance).as_secs_f64();
                assert!(range.contains(&pause), "{failures} {hint:?}: {pause}");
            }
        }
    }
}
