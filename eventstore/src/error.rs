//! Why the log could not be opened, read or appended to, sorted by what the caller can do about it.

use std::sync::Arc;

use tokio::task::JoinError;
use uuid::Uuid;

use crate::append::Doubt;
use crate::event::ExpectedRevision;
use crate::side::SideTable;

/// Why a log was not opened. Each message says what is wrong and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file or the tables are damaged.
    #[error(
        "the log in {place} is damaged: {detail}. Stop here: copy it away as it is for examination, then restore the newest backup"
    )]
    Corrupt {
        /// Where the log is kept, without credentials.
        place: String,
        /// What was found.
        detail: String,
    },
    /// It is a database of another program.
    #[error(
        "{place} holds a database of another program ({detail}). Give Gatebook a place of its own: an empty directory or an empty database"
    )]
    Foreign {
        /// Where it is, without credentials.
        place: String,
        /// What was found.
        detail: String,
    },
    /// A newer Gatebook has written it.
    #[error(
        "the log in {place} has schema version {found}, this program knows versions up to {supported}. Run the Gatebook version that wrote it, or a newer one"
    )]
    Newer {
        /// Where it is, without credentials.
        place: String,
        /// The version found.
        found: i32,
        /// The newest version known here.
        supported: i32,
    },
    /// It was to be opened for reading only, and needs a migration first.
    #[error(
        "the log in {place} has schema version {found}, this program reads version {supported}. Start `gatebook serve` of this version once, it migrates the log"
    )]
    Older {
        /// Where it is, without credentials.
        place: String,
        /// The version found.
        found: i32,
        /// The version needed.
        supported: i32,
    },
    /// It was to be opened for reading only, and is not there.
    #[error("there is no log in {place}. Check the path, or make a site with `gatebook init`")]
    Missing {
        /// Where it should be, without credentials.
        place: String,
    },
    /// It can be read but not written.
    #[error(
        "the log in {place} can't be written: {detail}. Give the user that runs Gatebook write permission there, or name the primary and not a standby"
    )]
    ReadOnly {
        /// Where it is, without credentials.
        place: String,
        /// What the database said.
        detail: String,
    },
    /// There is no room to write.
    #[error("the log in {place} can't grow: {detail}. Free space there, then start again")]
    Full {
        /// Where it is, without credentials.
        place: String,
        /// What the database said.
        detail: String,
    },
    /// The URL or path can't be understood.
    #[error(
        "the place of the log can't be understood: {detail}. Give a directory, or postgres://USER@HOST/DATABASE"
    )]
    Address {
        /// What is wrong with it, without credentials.
        detail: String,
    },
    /// The database did not answer.
    #[error(
        "the log in {place} can't be reached. Check that the database runs and that address and credentials are right"
    )]
    Unreachable {
        /// Where it should be, without credentials.
        place: String,
        /// What the driver said.
        #[source]
        source: Arc<sqlx::Error>,
    },
}

/// Why a statement outside opening failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Somebody else holds what was needed for longer than the lock time-out. Trying again is right.
    #[error("the log is busy: another holder kept it longer than the lock time-out")]
    Busy,
    /// The database refuses writes.
    #[error("the log is read-only")]
    ReadOnly,
    /// There is no space left.
    #[error("the log is full: no space is left for the database")]
    Full,
    /// The database did not answer, or the connection broke. Nothing is known to have changed.
    #[error("the log is unavailable")]
    Unavailable(#[source] Arc<sqlx::Error>),
    /// The store was closed.
    #[error("the log is closed")]
    Closed,
    /// The log went back to an earlier state beneath this process; whoever folded it must stop and
    /// fold anew.
    #[error("the log was rewound: position {known} was seen here, the log now ends at {head}")]
    Rewound {
        /// A position that was seen here.
        known: u64,
        /// The head as it is now.
        head: u64,
    },
    /// A newer program has raised what a reader must understand.
    #[error("the log needs a reader of version {needed}, this program is version {supported}")]
    Newer {
        /// The lowest version that may read.
        needed: i32,
        /// The version of this program.
        supported: i32,
    },
    /// What is stored can't be right.
    #[error("the log is damaged: {0}")]
    Damaged(String),
    /// An event with this id is in the log already, and this is not a repeat of its append.
    #[error("an event with id {0} is in the log already")]
    DuplicateId(Uuid),
    /// A side row that was to be new is there already.
    #[error("a row with this key is in {0:?} already")]
    SideExists(SideTable, String),
    /// The request itself can't be carried out, on any day.
    #[error("the request to the log is invalid: {0}")]
    Invalid(String),
    /// Anything else the database said.
    #[error("the database refused a statement")]
    Database(#[source] Arc<sqlx::Error>),
    /// Reading or writing a file beside the database failed.
    #[error("a file of the log can't be read or written")]
    File(#[source] Arc<std::io::Error>),
}

/// A thread or task that worked for the caller has failed.
impl From<JoinError> for StoreError {
    fn from(error: JoinError) -> StoreError {
        StoreError::Unavailable(Arc::new(sqlx::Error::AnyDriverError(Box::new(error))))
    }
}

/// Why the tail could not be held.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HoldError {
    /// The log is not the one that was folded: a restore or a failover put it back. Stop and rebuild.
    #[error(
        "the log was rewound: folded here up to position {at} of epoch {epoch}, it now ends at {head} of epoch {head_epoch}"
    )]
    Rewound {
        /// The position that was folded here.
        at: u64,
        /// The epoch that was folded here.
        epoch: i64,
        /// The position of the head as it is now.
        head: u64,
        /// The epoch as it is now.
        head_epoch: i64,
    },
    /// Another holder kept the tail longer than the lock time-out.
    #[error("the tail of the log is held by another node")]
    Busy,
    /// The database refuses writes.
    #[error("the log is read-only")]
    ReadOnly,
    /// There is no space left.
    #[error("the log is full: no space is left for the database")]
    Full,
    /// Anything else: not reachable, closed, damaged, newer.
    #[error("the tail of the log can't be held")]
    Unavailable(#[source] StoreError),
}

impl From<StoreError> for HoldError {
    fn from(error: StoreError) -> HoldError {
        match error {
            StoreError::Busy => HoldError::Busy,
            StoreError::ReadOnly => HoldError::ReadOnly,
            StoreError::Full => HoldError::Full,
            other => HoldError::Unavailable(other),
        }
    }
}

/// Why a held batch was not committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Nothing of the batch is in the log.
    #[error("the batch was not committed")]
    NotCommitted(#[source] StoreError),
    /// A stream is not where the appender believed. Nothing of the batch is in the log.
    #[error("{}", wrong_revision(.stream, .expected, .actual))]
    WrongRevision {
        /// The stream.
        stream: String,
        /// What was believed.
        expected: ExpectedRevision,
        /// The last revision, `None` if the stream has no event.
        actual: Option<u64>,
    },
    /// The answer to COMMIT was lost: [`EventStore::settle`](crate::EventStore::settle) tells.
    #[error("it is not known whether the batch was committed")]
    InDoubt(Doubt),
}

impl From<StoreError> for CommitError {
    fn from(error: StoreError) -> CommitError {
        CommitError::NotCommitted(error)
    }
}

/// Why an append did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Nothing of the batch is in the log.
    #[error("the batch was not committed")]
    NotCommitted(#[source] StoreError),
    /// A stream is not where the appender believed. Nothing of the batch is in the log.
    #[error("{}", wrong_revision(.stream, .expected, .actual))]
    WrongRevision {
        /// The stream.
        stream: String,
        /// What was believed.
        expected: ExpectedRevision,
        /// The last revision, `None` if the stream has no event.
        actual: Option<u64>,
    },
    /// Some of the batch is in the log already, but not all of it in this order: it is neither new
    /// nor a repeat. Nothing was appended.
    #[error(
        "stream {stream:?}: some of these events were appended before, but not as this batch (event {id})"
    )]
    PartialRepeat {
        /// The stream where it was noticed.
        stream: String,
        /// The first event that does not fit.
        id: Uuid,
    },
    /// The answer to COMMIT was lost: [`EventStore::settle`](crate::EventStore::settle) tells, or
    /// the same append again, which is recognised by its ids.
    #[error("it is not known whether the batch was committed")]
    InDoubt(Doubt),
}

impl From<StoreError> for AppendError {
    fn from(error: StoreError) -> AppendError {
        AppendError::NotCommitted(error)
    }
}

impl From<CommitError> for AppendError {
    fn from(error: CommitError) -> AppendError {
        match error {
            CommitError::NotCommitted(error) => AppendError::NotCommitted(error),
            CommitError::WrongRevision {
                stream,
                expected,
                actual,
            } => AppendError::WrongRevision {
                stream,
                expected,
                actual,
            },
            CommitError::InDoubt(doubt) => AppendError::InDoubt(doubt),
        }
    }
}

fn wrong_revision(stream: &str, expected: &ExpectedRevision, actual: &Option<u64>) -> String {
    let actual = match actual {
        Some(revision) => format!("its last revision is {revision}"),
        None => "it has no event".to_owned(),
    };
    match expected {
        ExpectedRevision::Any => format!("stream {stream:?}: {actual}"),
        ExpectedRevision::NoStream => {
            format!("stream {stream:?} was expected to have no event, {actual}")
        }
        ExpectedRevision::StreamExists => {
            format!("stream {stream:?} was expected to have events, {actual}")
        }
        ExpectedRevision::Exact(revision) => {
            format!("stream {stream:?} was expected at revision {revision}, {actual}")
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> StoreError {
        crate::database_code::classify(error)
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> StoreError {
        if error.kind() == std::io::ErrorKind::StorageFull {
            return StoreError::Full;
        }
        StoreError::File(Arc::new(error))
    }
}
