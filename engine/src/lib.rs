//! The engine: the one writer of a node. Commands queue in lanes, are decided in batches on a copy of the World, committed
//! as one transaction, published, and only then answered.
//!
//! This crate refuses to know HTTP, links and files of the site, the real clock and the real source of chance: the last two
//! are given to it. It holds no rule of its own; rules are in `domain`.
//!
//! In reading order:
//!
//! - `setup`: the clock, the source of fresh values, the limits
//! - `submission`: what is asked and what is answered
//! - `lanes`: the bounded queue
//! - `published`: the World and the views that everybody reads, and the stream of what was committed
//! - `draft`: a batch decided on a copy; `side`: rows that commit with it; `idempotency`: keys of repeated commands
//! - `refusals`: which refusals are written down
//! - `writer`: the loop that holds the tail, decides and commits, and follows other nodes; `publisher`: publishes and answers
//! - `freshness`: reads as fresh as the log
//! - `replay`, `snapshot`: how the World comes to be at the start
//! - `due`: due dates
//! - `engine`: the handle and its tasks

#[cfg(feature = "testing")]
pub mod testing;

mod draft;
mod due;
mod engine;
mod freshness;
mod idempotency;
mod lanes;
mod published;
mod publisher;
mod refusals;
mod replay;
mod setup;
mod side;
mod snapshot;
mod submission;
mod writer;

pub use due::DUE_DATES;
pub use engine::{CLOCK_BEHIND_MAX, Engine, EngineTask, ReadRecordedError, StartError};
pub use freshness::EngineUnavailable;
pub use published::{CommittedStream, Published, StreamBroken};
pub use setup::{Clock, EngineLimits, EngineSetup, FreshSource};
pub use side::{Side, SideContext, SideFunction};
pub use snapshot::{FINGERPRINT, SnapshotError, SnapshotWritten};
pub use submission::{
    Condition, Done, ExecuteError, Halt, Idempotency, Lane, Submission, Unavailability,
};
pub use writer::Trouble;
