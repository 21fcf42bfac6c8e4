//! A clock that leaps and ids that count, for tests: the same calls give the same log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::{Fresh, Timestamp};
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use uuid::Uuid;

use crate::setup::{Clock, FreshSource};

/// A clock that stands still until it is told to leap.
#[derive(Debug)]
pub struct TestClock(watch::Sender<Timestamp>);

impl TestClock {
    /// A clock that shows `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(now)))
    }

    /// A clock that shows 2026-01-05 09:00 UTC, a Monday.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Self::at(Timestamp::from_unix_seconds(1_767_603_600))
    }

    /// Puts the clock forward, and wakes who sleeps until then. Unit: microseconds.
    pub fn leap(&self, micros: i64) {
        self.0.send_modify(|now| *now = now.plus(micros));
    }

    /// Sets the clock, also back.
    pub fn set(&self, now: Timestamp) {
        self.0.send_replace(now);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.0.borrow()
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'static, ()> {
        let mut time = self.0.subscribe();
        Box::pin(async move {
            if time.wait_for(|now| *now >= at).await.is_err() {
                // The clock is gone: nothing is ever due again.
                std::future::pending::<()>().await;
            }
        })
    }
}

/// Fresh values and ids that count: unlike each other, and the same on every run.
#[derive(Debug, Default)]
pub struct CountingFresh {
    commands: AtomicU64,
    events: AtomicU64,
    /// Distinguishes the sources of several nodes.
    node: u64,
}

impl CountingFresh {
    /// A source that begins to count.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// A source whose values differ from those of every other `node`; a start of the same log anew is another one too.
    #[must_use]
    pub fn of_node(node: u64) -> Arc<Self> {
        Arc::new(Self {
            node,
            ..Self::default()
        })
    }
}

impl FreshSource for CountingFresh {
    fn fresh(&self) -> Fresh {
        let command = self.commands.fetch_add(1, Ordering::Relaxed);
        let mut values = [0; 64];
        for (index, value) in (0_u64..).zip(&mut values) {
            let seed = mix(self.node ^ mix(command * 64 + index));
            *value = (u128::from(seed) << 64) | u128::from(mix(seed));
        }
        Fresh(values)
    }

    fn event_id(&self, now: Timestamp) -> Uuid {
        let event = self.events.fetch_add(1, Ordering::Relaxed);
        let millis = u64::try_from(now.0 / 1_000).unwrap_or(0);
        let node = mix(self.node).to_be_bytes();
        // The bytes at 0 and 2 are partly overwritten by the form of an id.
        let mut random = [0; 10];
        random[1] = node[0];
        random[3..6].copy_from_slice(&node[1..4]);
        random[6..].copy_from_slice(&(event as u32).to_be_bytes());
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }
}

/// SplitMix64: spreads counted numbers over all 64 bits.
const fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
