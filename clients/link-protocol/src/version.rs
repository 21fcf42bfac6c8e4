//! Which protocol versions there are, and how client and server agree on one.
//!
//! A server speaks its newest version and the two before, so an agent that is two versions behind stays
//! reachable and can be upgraded. What only adds a field needs no new version: unknown fields are
//! skipped by both sides.

/// The first version with the frames `settings` and `uninstalling`.
pub const WITH_SETTINGS: u16 = 2;

/// The first version with the frames `addresses` and `addresses_stored`.
pub const WITH_ADDRESSES: u16 = 3;

/// The newest protocol version of this build.
pub const CURRENT: u16 = 3;

/// How many versions before its newest one a build speaks as well.
const BEFORE: u16 = 2;

/// The oldest version this build still speaks. There is none before 1.
pub const OLDEST: u16 = oldest_beside(CURRENT);

/// The versions this build offers in `hello.protocols`, newest first.
#[must_use]
pub fn offered() -> Vec<u16> {
    (OLDEST..=CURRENT).rev().collect()
}

/// The version to speak with a client that offers these: the highest both know, or none.
#[must_use]
pub fn agree(offered: &[u16]) -> Option<u16> {
    agree_beside(CURRENT, offered)
}

const fn oldest_beside(current: u16) -> u16 {
    if current > BEFORE {
        current - BEFORE
    } else {
        1
    }
}

fn agree_beside(current: u16, offered: &[u16]) -> Option<u16> {
    offered
        .iter()
        .copied()
        .filter(|v| (oldest_beside(current)..=current).contains(v))
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_common_version_is_spoken_and_only_two_steps_back() {
        for (current, offered, agreed) in [
            (1, vec![1], Some(1)),
            (1, vec![2, 1], Some(1)),
            (1, vec![2], None),
            (1, vec![0], None),
            (1, vec![], None),
            (3, vec![3, 2], Some(3)),
            (3, vec![2, 1], Some(2)),
            (3, vec![1], Some(1)),
            (4, vec![1], None),
            (3, vec![4, 5], None),
            (3, vec![1, 4, 2], Some(2)),
        ] {
            assert_eq!(
                agree_beside(current, &offered),
                agreed,
                "{current} {offered:?}"
            );
        }
        assert_eq!(agree(&super::offered()), Some(CURRENT));
    }
}
