//! What an engine is given: the log, the clock, the source of fresh values, limits.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use domain::{Fresh, Timestamp};
use eventstore::EventStore;
use futures_util::future::BoxFuture;
use uuid::Uuid;

/// The wall clock: of decisions, due dates and expiry, and of recorded times as long as it does not go back. Time-outs and
/// leases use tokio's monotonic time instead.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// Ends when the clock shows `at` or later, also when it was put forward meanwhile.
    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'static, ()>;
}

/// The source of values that nobody can guess.
pub trait FreshSource: Send + Sync + 'static {
    /// The values for one command.
    fn fresh(&self) -> Fresh;

    /// An id for an event that is recorded at `now`, never given before.
    fn event_id(&self, now: Timestamp) -> Uuid;
}

/// Everything an engine needs.
pub struct EngineSetup {
    /// The log, opened.
    pub store: EventStore,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The source of fresh values and event ids.
    pub fresh: Arc<dyn FreshSource>,
    /// Where snapshots are kept; without it each start replays the log.
    pub snapshots: Option<PathBuf>,
    /// Bounds; the defaults are right for a server.
    pub limits: EngineLimits,
}

impl EngineSetup {
    /// A setup without snapshots and with the default limits.
    #[must_use]
    pub fn new(store: EventStore, clock: Arc<dyn Clock>, fresh: Arc<dyn FreshSource>) -> Self {
        Self {
            store,
            clock,
            fresh,
            snapshots: None,
            limits: EngineLimits::default(),
        }
    }
}

/// How much an engine takes on.
#[derive(Clone, Debug)]
pub struct EngineLimits {
    /// Commands that may wait in each lane. Default: 8,192.
    pub lane_commands_max: usize,
    /// Commands that end or revoke and found their lane full; more of them wait for room. Default: 1,024.
    pub reserve_commands_max: usize,
    /// Commands of one batch. Default: 1,024 (architecture.md, "The log").
    pub batch_commands_max: usize,
    /// How long one batch decides. Default: 20 ms (architecture.md, "The log").
    pub deciding_max: Duration,
    /// Batches a [`CommittedStream`](crate::CommittedStream) may lag behind. Default: 1,024.
    pub stream_batches_max: usize,
    /// How long a read waits to become as fresh as the log. Default: 2 s (architecture.md, "Reading").
    pub freshness_timeout: Duration,
    /// Reads that may wait for the tail at once. Default: 16,384.
    pub freshness_waiting_max: usize,
    /// How long a shutdown waits to learn whether a last batch was committed. Default: 10 s.
    pub settle_timeout: Duration,
}

impl Default for EngineLimits {
    fn default() -> Self {
        Self {
            lane_commands_max: 8_192,
            reserve_commands_max: 1_024,
            batch_commands_max: 1_024,
            deciding_max: Duration::from_millis(20),
            stream_batches_max: 1_024,
            freshness_timeout: Duration::from_secs(2),
            freshness_waiting_max: 16_384,
            settle_timeout: Duration::from_secs(10),
        }
    }
}
