//! Opening a log, its options, closing it.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;

use crate::error::{OpenError, StoreError};
use crate::event::{Direction, Head, Selection};
use crate::follow;
use crate::postgres::Postgres;
use crate::sqlite::Sqlite;

/// Version of the tables that this program writes. A log with a newer one is refused.
pub const SCHEMA_VERSION: i32 = 1;

/// Where a log is kept.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// `DIR/log.db` and `DIR/views/*.db`.
    Sqlite {
        /// The directory, made if it is missing.
        directory: PathBuf,
    },
    /// A PostgreSQL database of its own; TLS as the URL says (`sslmode`, `sslrootcert`, ...).
    Postgres {
        /// `postgres://USER:PASSWORD@HOST:PORT/DATABASE?...`
        url: String,
    },
}

impl std::fmt::Debug for Location {
    /// Leaves the URL out: it may hold a password.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Location::Sqlite { directory } => formatter
                .debug_struct("Sqlite")
                .field("directory", directory)
                .finish(),
            Location::Postgres { .. } => formatter.debug_struct("Postgres").finish_non_exhaustive(),
        }
    }
}

/// What a store may do to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everything; the log is made or migrated when it is opened.
    ReadWrite,
    /// Reading beside a running server: nothing is made or migrated, and every write is refused.
    ReadOnly,
}

/// How a store behaves. The defaults are right for a server.
#[derive(Debug, Clone)]
pub struct Options {
    /// What may be done. Default: everything.
    pub access: Access,
    /// How long to wait for a lock, the tail above all. Default: 2 s.
    pub lock_timeout: Duration,
    /// How long one statement may run (PostgreSQL). Default: 10 s.
    pub statement_timeout: Duration,
    /// How long a transaction may idle before PostgreSQL ends it, so that a hung holder frees the
    /// tail. Default: 5 s.
    pub idle_in_transaction_timeout: Duration,
    /// Connections for reading. Default: 4.
    pub read_connections: u32,
    /// How often the head is looked up when no notification came. Default: 1 s.
    pub poll_interval: Duration,
    /// A SQLite log up to this size is checked as a whole when it is opened; of a larger one the
    /// newest events are, and `verify` does the rest. Unit: bytes. Default: 64 MiB.
    pub quick_check_bytes_max: u64,
    /// The largest size a SQLite log may reach. Unit: bytes. Default: no limit but the disk.
    pub sqlite_bytes_max: Option<u64>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            access: Access::ReadWrite,
            lock_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(10),
            idle_in_transaction_timeout: Duration::from_secs(5),
            read_connections: 4,
            poll_interval: Duration::from_secs(1),
            quick_check_bytes_max: 64 * 1024 * 1024,
            sqlite_bytes_max: None,
        }
    }
}

/// A log, opened. Clones share everything.
#[derive(Clone)]
pub struct EventStore {
    pub(crate) inner: Arc<Inner>,
}

/// Which database it is. An enum and not a trait: there are two, and each has ways of its own.
pub(crate) enum Backend {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

pub(crate) struct Inner {
    pub(crate) backend: Backend,
    pub(crate) options: Options,
    /// Newest position known here.
    pub(crate) head: watch::Sender<u64>,
    /// Set once when the log was seen to have gone back; nothing here is right any more then.
    pub(crate) rewound: OnceLock<StoreError>,
    /// True from the moment the store closes.
    pub(crate) stop: watch::Sender<bool>,
    /// The tasks that follow the head; awaited by `close`.
    tasks: Mutex<JoinSet<()>>,
}

impl std::fmt::Debug for EventStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.inner.backend {
            Backend::Sqlite(_) => "SQLite",
            Backend::Postgres(_) => "PostgreSQL",
        };
        formatter
            .debug_struct("EventStore")
            .field("database", &kind)
            .field("head", &*self.inner.head.borrow())
            .finish()
    }
}

impl EventStore {
    /// Opens a log, makes it if there is none, and migrates it to [`SCHEMA_VERSION`].
    ///
    /// # Errors
    /// What is damaged, foreign, newer, not writable or not reachable is refused, with what to do.
    pub async fn open(location: &Location, options: Options) -> Result<EventStore, OpenError> {
        let backend = match location {
            Location::Sqlite { directory } => {
                Backend::Sqlite(Sqlite::open(directory, &options).await?)
            }
            Location::Postgres { url } => Backend::Postgres(Postgres::open(url, &options).await?),
        };
        let place = backend.place();
        let inner = Arc::new(Inner {
            backend,
            options,
            head: watch::Sender::new(0),
            rewound: OnceLock::new(),
            stop: watch::Sender::new(false),
            tasks: Mutex::new(JoinSet::new()),
        });
        let store = EventStore { inner };
        let head = store.check_newest(&place).await?;
        store.inner.head.send_replace(head.position);
        follow::start(&store.inner, &mut *store.inner.tasks.lock().await, head);
        Ok(store)
    }

    /// Whether the head and the newest events agree: the cheap part of `verify`, done at each start.
    async fn check_newest(&self, place: &str) -> Result<Head, OpenError> {
        /// How many events are looked at.
        const NEWEST: usize = 64;
        let corrupt = |detail: String| OpenError::Corrupt {
            place: place.to_owned(),
            detail,
        };
        let refuse = |error: StoreError| match error {
            StoreError::Damaged(detail) => corrupt(detail),
            other => unreachable_by(place, other),
        };
        let head = self.head().await.map_err(refuse)?;
        if head.min_reader > SCHEMA_VERSION {
            return Err(OpenError::Newer {
                place: place.to_owned(),
                found: head.min_reader,
                supported: SCHEMA_VERSION,
            });
        }
        let newest = self
            .read(&Selection::All, head.position, Direction::Backward, NEWEST)
            .await
            .map_err(refuse)?;
        let expected =
            usize::try_from(head.position).map_or(NEWEST, |position| position.min(NEWEST));
        if newest.len() != expected {
            return Err(corrupt(format!(
                "events are missing below the head at position {}",
                head.position
            )));
        }
        for (position, event) in (0..=head.position).rev().zip(&newest) {
            if event.position != position {
                return Err(corrupt(format!(
                    "the event at position {position} is missing"
                )));
            }
            if event.leaf_hash != event.expected_leaf_hash() {
                return Err(corrupt(format!(
                    "the event at position {position} does not match its hash"
                )));
            }
        }
        Ok(head)
    }

    /// Whether other processes may append to this log as well.
    pub fn is_shared(&self) -> bool {
        matches!(self.inner.backend, Backend::Postgres(_))
    }

    /// Newest position known here: from own appends, notifications and polling. It never goes back.
    pub fn watch_head(&self) -> watch::Receiver<u64> {
        self.inner.head.subscribe()
    }

    /// Closes every connection. Whoever still waits on this store gets [`StoreError::Closed`].
    pub async fn close(self) {
        self.inner.stop.send_replace(true);
        let mut tasks = std::mem::take(&mut *self.inner.tasks.lock().await);
        while tasks.join_next().await.is_some() {}
        match &self.inner.backend {
            Backend::Sqlite(sqlite) => sqlite.close().await,
            Backend::Postgres(postgres) => postgres.close().await,
        }
    }
}

impl Backend {
    /// Where the log is, in words without credentials.
    fn place(&self) -> String {
        match self {
            Backend::Sqlite(sqlite) => sqlite.place(),
            Backend::Postgres(postgres) => postgres.place.clone(),
        }
    }
}

impl Inner {
    /// Takes note of a newer head; an older one changes nothing.
    pub(crate) fn raise_head(&self, position: u64) {
        self.head.send_if_modified(|known| {
            let newer = position > *known;
            if newer {
                *known = position;
            }
            newer
        });
    }

    /// Says for good that the log went back, and wakes all that wait for the head.
    pub(crate) fn mark_rewound(&self, known: u64, head: u64) -> StoreError {
        let error = StoreError::Rewound { known, head };
        if self.rewound.set(error.clone()).is_ok() {
            tracing::error!(known, head, "the log was put back to an earlier state");
            self.head.send_modify(|_| {});
        }
        error
    }

    /// Whether this store may still be used.
    pub(crate) fn check_usable(&self) -> Result<(), StoreError> {
        if *self.stop.borrow() {
            return Err(StoreError::Closed);
        }
        match self.rewound.get() {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }
}

/// The refusal for an error that came while a log was opened and has no meaning of its own there.
pub(crate) fn unreachable_by(place: &str, error: StoreError) -> OpenError {
    let place = place.to_owned();
    match error {
        StoreError::Damaged(detail) => OpenError::Corrupt { place, detail },
        StoreError::ReadOnly => OpenError::ReadOnly {
            place,
            detail: "the database is read-only".to_owned(),
        },
        StoreError::Full => OpenError::Full {
            place,
            detail: "no space is left".to_owned(),
        },
        StoreError::Unavailable(source) | StoreError::Database(source) => {
            OpenError::Unreachable { place, source }
        }
        StoreError::File(source) => file_refused(place, &source),
        other => {
            let source = std::io::Error::other(other);
            OpenError::Unreachable {
                place,
                source: Arc::new(sqlx::Error::Io(source)),
            }
        }
    }
}

/// The refusal for a file or directory that could not be made or opened.
pub(crate) fn file_refused(place: String, error: &std::io::Error) -> OpenError {
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => OpenError::ReadOnly {
            place,
            detail: error.to_string(),
        },
        ErrorKind::StorageFull => OpenError::Full {
            place,
            detail: error.to_string(),
        },
        kind => {
            let source = std::io::Error::new(kind, error.to_string());
            OpenError::Unreachable {
                place,
                source: Arc::new(sqlx::Error::Io(source)),
            }
        }
    }
}

/// Runs one piece of code against the connection that may write: in SQLite the only one, in
/// PostgreSQL one of the pool, within the time an answer may take. SQL with `$1` parameters is
/// understood by both.
macro_rules! with_writer {
    ($store:expr, $connection:ident => $body:expr) => {{
        $store.inner.check_usable()?;
        match &$store.inner.backend {
            $crate::store::Backend::Sqlite(sqlite) => {
                let mut writer = sqlite.writer().await?;
                let $connection = writer.connection()?;
                $body
            }
            $crate::store::Backend::Postgres(postgres) => {
                let answer = async {
                    let mut pooled = postgres.pool.acquire().await?;
                    let $connection = &mut *pooled;
                    Ok($body)
                };
                postgres.deadline.bound(answer).await?
            }
        }
    }};
}

/// The same against a connection for reading.
macro_rules! with_reader {
    ($store:expr, $connection:ident => $body:expr) => {{
        $store.inner.check_usable()?;
        match &$store.inner.backend {
            $crate::store::Backend::Sqlite(sqlite) => {
                let mut pooled = sqlite.readers.acquire().await?;
                let $connection = &mut *pooled;
                $body
            }
            $crate::store::Backend::Postgres(postgres) => {
                let answer = async {
                    let mut pooled = postgres.pool.acquire().await?;
                    let $connection = &mut *pooled;
                    Ok($body)
                };
                postgres.deadline.bound(answer).await?
            }
        }
    }};
}

pub(crate) use {with_reader, with_writer};
