//! The log: streams of events in one gapless order, kept in SQLite or PostgreSQL.
//!
//! What is appended is bytes; this crate refuses to know what they mean. It knows streams and their
//! revisions, positions, hashes, and the few rows that must commit together with events. It has no
//! clock of its own for what it records (`recorded_at` is an argument) and draws no ids.
//!
//! Reading order:
//!
//! - [`event`]: the values that are appended and read; [`hash`]: what proves them
//! - `store`: opening, options, closing; `sqlite`, `postgres`: the two databases
//! - [`append`]: the tail that is held, the batch, what becomes of a lost COMMIT
//! - `read`, [`replay`], [`subscription`], `follow`: reading
//! - [`side`]: rows that commit with events; [`node`], [`consumer`], [`rate`], [`latest`]: ordinary rows
//! - [`view_database`], [`snapshot`]: places for what is derived
//! - [`verify`]: the proof that the log is whole
//! - [`error`]: everything that can go wrong; `database_code`: what the databases' codes mean

pub mod append;
pub mod consumer;
pub mod error;
pub mod event;
pub mod hash;
pub mod latest;
pub mod node;
pub mod rate;
pub mod replay;
pub mod side;
pub mod snapshot;
pub mod subscription;
#[cfg(feature = "testing")]
pub mod testing;
pub mod verify;
pub mod view_database;

mod database_code;
mod follow;
mod postgres;
mod read;
mod sqlite;
mod store;

pub use append::{Doubt, HeldTail};
pub use consumer::{ConsumerRow, Fence};
pub use error::{AppendError, CommitError, HoldError, OpenError, StoreError};
pub use event::{
    Appended, Direction, ExpectedRevision, Head, NewEvent, RecordedEvent, Selection, StreamAppend,
    Tail,
};
pub use node::{NodeEpoch, NodeRow};
pub use rate::RateCount;
pub use replay::{FoldEvent, FoldPage, FoldReplay, Replay};
pub use side::{SideRow, SideTable, SideWrite};
pub use snapshot::{SnapshotBytes, SnapshotFile, SnapshotHeader};
pub use store::{Access, EventStore, Location, Options, SCHEMA_VERSION};
pub use subscription::Subscription;
pub use verify::{Fault, Verification};
pub use view_database::{PostgresView, SqliteView, ViewDatabase};
