//! Who behaves how, by shares.

use rand::Rng;
use rand::rngs::SmallRng;

/// Shares of the machines, each 0 to 1, together at most 1; the rest is plain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shares {
    /// Come and go.
    pub churn: f64,
    /// Stop reading for minutes.
    pub slow: f64,
    /// Have a clock that goes wrong.
    pub skewed: f64,
    /// Are copied.
    pub clones: f64,
}

/// How a machine behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Role {
    /// As it should.
    Plain,
    /// Comes and goes: cut off, restarted, or back before its old connection is gone.
    Churn,
    /// Stops reading for minutes.
    Slow,
    /// Its clock runs this many times as fast as it should, and it says so in its facts and figures.
    Skewed(f64),
    /// Its identity is shown by a second machine as well.
    Cloned,
    /// That second machine.
    Clone,
}

impl Role {
    /// Draws a role by the shares.
    pub fn draw(shares: Shares, chance: &mut SmallRng) -> Self {
        let mut drawn: f64 = chance.random();
        // Drawn whatever the role is, so that a share moves no other machine's later draws.
        let speed = 4_f64.powf(chance.random_range(-1.0..1.0));
        for (share, role) in [
            (shares.churn, Self::Churn),
            (shares.slow, Self::Slow),
            (shares.skewed, Self::Skewed(speed)),
            (shares.clones, Self::Cloned),
        ] {
            if drawn < share {
                return role;
            }
            drawn -= share;
        }
        Self::Plain
    }

    /// How much faster than it should its clock runs.
    #[must_use]
    pub const fn clock_speed(self) -> f64 {
        match self {
            Self::Skewed(speed) => speed,
            _ => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn shares_are_kept_and_the_same_seed_draws_the_same() {
        let shares = Shares {
            churn: 0.2,
            slow: 0.1,
            skewed: 0.1,
            clones: 0.05,
        };
        let draw = || -> Vec<Role> {
            let mut chance = SmallRng::seed_from_u64(5);
            (0..10_000)
                .map(|_| Role::draw(shares, &mut chance))
                .collect()
        };
        let roles = draw();
        assert_eq!(roles, draw());
        let share = |wanted: fn(&Role) -> bool| {
            roles.iter().filter(|role| wanted(role)).count() as f64 / 10_000.0
        };
        assert!((share(|role| *role == Role::Churn) - 0.2).abs() < 0.02);
        assert!((share(|role| *role == Role::Slow) - 0.1).abs() < 0.02);
        assert!((share(|role| matches!(role, Role::Skewed(_))) - 0.1).abs() < 0.02);
        assert!((share(|role| *role == Role::Cloned) - 0.05).abs() < 0.02);
        let speeds = roles.iter().map(|role| role.clock_speed());
        assert!(speeds.clone().all(|speed| (0.25..=4.0).contains(&speed)));
    }
}
