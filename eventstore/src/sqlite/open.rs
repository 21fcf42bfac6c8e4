//! Opening a log file: what is damaged, foreign, newer or not writable is refused before anything
//! is changed.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection};

use crate::append::writer::Writer;
use crate::error::{OpenError, StoreError};
use crate::sqlite::{Sqlite, place};
use crate::store::{Access, Options, SCHEMA_VERSION, file_refused, unreachable_by};

/// Written into the header of every log file: "GBLG".
const APPLICATION_ID: i32 = 0x4742_4c47;

/// All migrations, in order. The place of one in this list is the schema version it leads to.
const MIGRATIONS: [&str; 1] = [include_str!("../../../migrations/sqlite/0001_log.sql")];

const LATEST: &str = include_str!("../../../migrations/sqlite/latest_0001.sql");

/// Pages in the write-ahead file before it is folded into the log: 16 MiB. More than SQLite's own
/// 1,000, because under load each folding costs two more syncs.
const CHECKPOINT_PAGES: &str = "4000";

/// Bytes the write-ahead file keeps on disk after a burst.
const JOURNAL_BYTES_KEPT: &str = "67108864";

/// Page cache of the writing connection: 32 MiB (negative: KiB).
const WRITER_CACHE: &str = "-32768";

impl Sqlite {
    pub(crate) async fn open(directory: &Path, options: &Options) -> Result<Sqlite, OpenError> {
        let file = directory.join("log.db");
        let place = place(directory);
        match options.access {
            Access::ReadWrite => {
                make_files(directory, &file).map_err(|error| file_refused(place.clone(), &error))?
            }
            Access::ReadOnly if !file.exists() => return Err(OpenError::Missing { place }),
            Access::ReadOnly => {}
        }

        let plain = base_options(&file, options.lock_timeout);
        let mut connection = plain
            .connect()
            .await
            .map_err(|error| refuse(&place, error))?;
        let version = inspect(&mut connection, &place, &file, options).await?;
        let base = with_limit(plain, &mut connection, options)
            .await
            .map_err(|error| refuse(&place, error))?;
        if options.access == Access::ReadWrite {
            migrate(&mut connection, version)
                .await
                .map_err(|error| refuse(&place, error))?;
        }
        connection
            .close()
            .await
            .map_err(|error| refuse(&place, error))?;

        let write_options = base
            .clone()
            .pragma("journal_mode", "WAL")
            .synchronous(SqliteSynchronous::Full)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
            .pragma("journal_size_limit", JOURNAL_BYTES_KEPT)
            .pragma("cache_size", WRITER_CACHE);
        let readers = SqlitePoolOptions::new()
            .max_connections(options.read_connections.max(1))
            .test_before_acquire(false)
            .connect_lazy_with(base.pragma("query_only", "ON").row_buffer_size(1024));
        let latest = open_latest(directory, options)
            .await
            .map_err(|error| refuse(&place, error))?;
        Ok(Sqlite {
            directory: directory.to_owned(),
            readers,
            latest,
            writer: Writer::new(),
            write_options,
            lock_timeout: options.lock_timeout,
            access: options.access,
        })
    }
}

/// What all connections to the file have in common. `foreign_keys` off: there are none.
fn base_options(file: &Path, lock_timeout: Duration) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(false)
        .foreign_keys(false)
        .busy_timeout(lock_timeout)
        .statement_cache_capacity(256)
        .disable_statement_logging()
}

/// The directory and an empty log file, both for this user only: tokens and sealed secrets live in it.
fn make_files(directory: &Path, file: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    let made = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file);
    match made {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Looks at the file without changing it; returns its schema version, 0 for an empty file.
async fn inspect(
    connection: &mut SqliteConnection,
    place: &str,
    file: &Path,
    options: &Options,
) -> Result<i32, OpenError> {
    let refuse = |error| refuse(place, error);
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
        .fetch_one(&mut *connection)
        .await
        .map_err(refuse)?;
    let application: i32 = sqlx::query_scalar("PRAGMA application_id")
        .fetch_one(&mut *connection)
        .await
        .map_err(refuse)?;
    let version: i32 = sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(&mut *connection)
        .await
        .map_err(refuse)?;

    if application != APPLICATION_ID && (application != 0 || tables > 0) {
        let detail = format!("application id {application:#010x}, {tables} tables and indexes");
        return Err(OpenError::Foreign {
            place: place.to_owned(),
            detail,
        });
    }
    if version > SCHEMA_VERSION {
        return Err(OpenError::Newer {
            place: place.to_owned(),
            found: version,
            supported: SCHEMA_VERSION,
        });
    }
    if version < SCHEMA_VERSION && options.access == Access::ReadOnly {
        return Err(OpenError::Older {
            place: place.to_owned(),
            found: version,
            supported: SCHEMA_VERSION,
        });
    }
    let bytes = fs::metadata(file)
        .map_err(|error| file_refused(place.to_owned(), &error))?
        .len();
    if tables > 0 && bytes <= options.quick_check_bytes_max {
        let said: String = sqlx::query_scalar("PRAGMA quick_check(1)")
            .fetch_one(&mut *connection)
            .await
            .map_err(refuse)?;
        if said != "ok" {
            return Err(OpenError::Corrupt {
                place: place.to_owned(),
                detail: said,
            });
        }
    }
    if options.access == Access::ReadWrite {
        // The first thing that notices a file this user may read but not write.
        sqlx::raw_sql("BEGIN IMMEDIATE; ROLLBACK")
            .execute(&mut *connection)
            .await
            .map_err(refuse)?;
    }
    Ok(version)
}

/// Puts the size limit, which SQLite counts in pages, on every connection.
async fn with_limit(
    base: SqliteConnectOptions,
    connection: &mut SqliteConnection,
    options: &Options,
) -> Result<SqliteConnectOptions, sqlx::Error> {
    let Some(bytes_max) = options.sqlite_bytes_max else {
        return Ok(base);
    };
    let page: i64 = sqlx::query_scalar("PRAGMA page_size")
        .fetch_one(connection)
        .await?;
    let pages = bytes_max / u64::try_from(page).unwrap_or(4096).max(1);
    Ok(base.pragma("max_page_count", pages.to_string()))
}

/// Brings the schema to this program's version, in one transaction.
async fn migrate(connection: &mut SqliteConnection, version: i32) -> Result<(), sqlx::Error> {
    if version == SCHEMA_VERSION {
        return Ok(());
    }
    // The journal mode is kept in the file and can't be changed within a transaction.
    sqlx::raw_sql("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
        .execute(&mut *connection)
        .await?;
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    // Another process may have been faster.
    let version: i32 = sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(&mut *transaction)
        .await?;
    for migration in MIGRATIONS
        .iter()
        .skip(usize::try_from(version).unwrap_or(0))
    {
        sqlx::raw_sql(*migration).execute(&mut *transaction).await?;
    }
    let marks =
        format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(marks))
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

/// `DIR/views/latest.db`. It is made when it is first needed, and made anew if it is damaged:
/// nothing in it is worth a refusal to start.
async fn open_latest(directory: &Path, options: &Options) -> Result<SqlitePool, sqlx::Error> {
    let views = directory.join("views");
    let file = views.join("latest.db");
    let connect = SqliteConnectOptions::new()
        .filename(&file)
        .create_if_missing(options.access == Access::ReadWrite)
        .busy_timeout(options.lock_timeout)
        .disable_statement_logging();
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .test_before_acquire(false);
    if options.access == Access::ReadOnly {
        return Ok(pool.connect_lazy_with(connect));
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&views)?;
    let connect = connect
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal);
    for attempt in 0..2 {
        let opened = pool.clone().connect_with(connect.clone()).await;
        let made = match &opened {
            Ok(pool) => sqlx::raw_sql(LATEST).execute(pool).await.map(|_| ()),
            Err(_) => Ok(()),
        };
        match (opened, made) {
            (Ok(pool), Ok(())) => return Ok(pool),
            (Ok(_), Err(error)) | (Err(error), _) => {
                let damaged = matches!(StoreError::from(error), StoreError::Damaged(_));
                if !damaged || attempt > 0 {
                    break;
                }
                tracing::warn!("the file of the latest figures is damaged and is made anew");
                for name in ["latest.db", "latest.db-wal", "latest.db-shm"] {
                    let _ = fs::remove_file(views.join(name));
                }
            }
        }
    }
    Ok(pool.connect_lazy_with(connect))
}

/// The refusal for what SQLite said.
fn refuse(place: &str, error: sqlx::Error) -> OpenError {
    let detail = error.to_string();
    match StoreError::from(error) {
        StoreError::Damaged(detail) => OpenError::Corrupt {
            place: place.to_owned(),
            detail,
        },
        StoreError::ReadOnly => OpenError::ReadOnly {
            place: place.to_owned(),
            detail,
        },
        StoreError::Full => OpenError::Full {
            place: place.to_owned(),
            detail,
        },
        other => unreachable_by(place, other),
    }
}
