//! The real clock and the real source of chance: the only ones of the program.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::Utc;
use domain::{Fresh, Timestamp};
use engine::{Clock, FreshSource};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use uuid::Uuid;

/// How long a clock that was put forward can go unnoticed by whoever sleeps.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the machine's clock"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::from_utc(Utc::now())
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'static, ()> {
        let clock = *self;
        async move {
            loop {
                let left = at.since(clock.now());
                let Ok(left @ 1..) = u64::try_from(left) else {
                    return;
                };
                tokio::time::sleep(Duration::from_micros(left).min(LOOK_AGAIN)).await;
            }
        }
        .boxed()
    }
}

/// The system's random source, and UUIDs of version 7 made of it.
#[derive(Debug, Default)]
pub struct SystemFresh {
    /// What every command is given as long as it is set; see [`SystemFresh::pin`].
    pinned: Mutex<Option<Pinned>>,
}

struct Pinned(Fresh);

impl std::fmt::Debug for Pinned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pinned(hidden)")
    }
}

impl SystemFresh {
    /// Gives `fresh` to every command until [`SystemFresh::unpin`]: the first start must know what will be decided
    /// before it is, to have it on disk first.
    pub fn pin(&self, fresh: Fresh) {
        *self.pinned() = Some(Pinned(fresh));
    }

    /// Back to chance.
    pub fn unpin(&self) {
        *self.pinned() = None;
    }

    /// New values, whatever is pinned.
    ///
    /// # Panics
    /// If the system's random source fails, without which no secret may be made.
    #[must_use]
    pub fn draw(&self) -> Fresh {
        let mut bytes = [0_u8; 64 * 16];
        fill(&mut bytes);
        let mut values = [0_u128; 64];
        for (value, chunk) in values.iter_mut().zip(bytes.chunks_exact(16)) {
            let mut word = [0; 16];
            word.copy_from_slice(chunk);
            *value = u128::from_be_bytes(word);
        }
        Fresh(values)
    }

    // A poisoned lock still holds a whole value: it is only ever replaced by one assignment.
    fn pinned(&self) -> std::sync::MutexGuard<'_, Option<Pinned>> {
        self.pinned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FreshSource for SystemFresh {
    fn fresh(&self) -> Fresh {
        if let Some(Pinned(fresh)) = &*self.pinned() {
            return fresh.clone();
        }
        self.draw()
    }

    fn event_id(&self, now: Timestamp) -> Uuid {
        let mut random = [0; 10];
        fill(&mut random);
        event_id(now, random)
    }
}

/// A UUID of version 7 for the time `now`.
#[must_use]
pub fn event_id(now: Timestamp, random: [u8; 10]) -> Uuid {
    // Before 1970 there was no log.
    let millis = u64::try_from(now.0.div_euclid(1_000)).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("a system without randomness can't keep secrets");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_values_differ_and_pinned_ones_do_not() {
        let source = SystemFresh::default();
        let (one, other) = (source.fresh(), source.fresh());
        assert_ne!(one.0, other.0);
        assert!((1..64).all(|index| one.value(index) != one.value(0)));
        source.pin(one.clone());
        assert_eq!(source.fresh().0, one.0);
        assert_eq!(source.fresh().0, one.0);
        assert_ne!(source.draw().0, one.0);
        source.unpin();
        assert_ne!(source.fresh().0, one.0);
    }

    #[test]
    fn event_ids_are_version_7_and_carry_the_time() {
        let now = Timestamp(1_790_000_000_123_456);
        let id = SystemFresh::default().event_id(now);
        assert_eq!(id.get_version_num(), 7);
        let (seconds, nanos) = id.get_timestamp().unwrap().to_unix();
        assert_eq!((seconds, nanos), (1_790_000_000, 123_000_000));
        assert_ne!(SystemFresh::default().event_id(now), id);
    }

    #[tokio::test]
    async fn sleeping_ends_when_the_time_has_come() {
        let at = SystemClock.now().plus(20_000);
        SystemClock.sleep_until(at).await;
        assert!(SystemClock.now() >= at);
        SystemClock.sleep_until(Timestamp(0)).await;
    }
}
