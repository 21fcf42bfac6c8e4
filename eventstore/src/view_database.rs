//! Databases for what is derived from the log: one for each SQL view and version, so that a rebuild
//! writes a new one beside the old and never stalls the log.

use std::fs;
use std::path::PathBuf;

use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions};

use crate::error::StoreError;
use crate::store::{Access, Backend, EventStore};

/// Connections for reading a view.
const READERS: u32 = 4;

/// Connections to a view in PostgreSQL: the one that folds and those that read.
const CONNECTIONS: u32 = 4;

/// The database of one version of one view.
#[derive(Debug, Clone)]
pub enum ViewDatabase {
    /// `DIR/views/<name>-<version>.db`.
    Sqlite(SqliteView),
    /// Schema `view_<name>_<version>`.
    Postgres(PostgresView),
}

/// A view in a file of its own.
#[derive(Debug, Clone)]
pub struct SqliteView {
    /// One connection, for the fold.
    pub writer: SqlitePool,
    /// A few, for queries; they can't write.
    pub readers: SqlitePool,
    /// The file.
    pub path: PathBuf,
}

/// A view in a schema of its own.
#[derive(Debug, Clone)]
pub struct PostgresView {
    /// Connections whose search path is the schema.
    pub pool: PgPool,
    /// The schema.
    pub schema: String,
}

impl ViewDatabase {
    /// Closes the connections.
    pub async fn close(&self) {
        match self {
            ViewDatabase::Sqlite(view) => {
                view.readers.close().await;
                view.writer.close().await;
            }
            ViewDatabase::Postgres(view) => view.pool.close().await,
        }
    }
}

impl EventStore {
    /// The database of a view, made empty if it is not there.
    ///
    /// `name` is made of `a-z`, `0-9` and `_`, at most 40. The tables in it are the caller's.
    pub async fn view_database(
        &self,
        name: &str,
        version: u32,
    ) -> Result<ViewDatabase, StoreError> {
        self.inner.check_usable()?;
        check_name(name)?;
        match &self.inner.backend {
            Backend::Sqlite(sqlite) => {
                let views = sqlite.views();
                fs::create_dir_all(&views)?;
                let path = views.join(file_name(name, version));
                let options = SqliteConnectOptions::new()
                    .filename(&path)
                    .busy_timeout(self.inner.options.lock_timeout)
                    .disable_statement_logging();
                let writable = self.inner.options.access == Access::ReadWrite;
                // The bookmark is in the file: what a power cut takes back is folded again.
                let write = options
                    .clone()
                    .create_if_missing(writable)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Normal)
                    .pragma("wal_autocheckpoint", "4000");
                let writer = SqlitePoolOptions::new()
                    .max_connections(1)
                    .test_before_acquire(false);
                let writer = match writable {
                    true => writer.connect_with(write).await?,
                    false => writer.connect_lazy_with(options.clone().pragma("query_only", "ON")),
                };
                let readers = SqlitePoolOptions::new()
                    .max_connections(READERS)
                    .test_before_acquire(false)
                    .connect_lazy_with(options.pragma("query_only", "ON"));
                Ok(ViewDatabase::Sqlite(SqliteView {
                    writer,
                    readers,
                    path,
                }))
            }
            Backend::Postgres(postgres) => {
                let schema = schema_name(name, version);
                if self.inner.options.access == Access::ReadWrite {
                    let sql = format!("CREATE SCHEMA IF NOT EXISTS {schema}");
                    let mut connection = postgres.pool.acquire().await?;
                    // Two nodes that make it at once: the loser finds it there at the second try.
                    if sqlx::query(AssertSqlSafe(sql.as_str()))
                        .execute(&mut *connection)
                        .await
                        .is_err()
                    {
                        sqlx::query(AssertSqlSafe(sql))
                            .execute(&mut *connection)
                            .await?;
                    }
                }
                let options = postgres
                    .connect
                    .clone()
                    .options([("search_path", schema.as_str())]);
                let pool = PgPoolOptions::new()
                    .max_connections(CONNECTIONS)
                    .connect_lazy_with(options);
                Ok(ViewDatabase::Postgres(PostgresView { pool, schema }))
            }
        }
    }

    /// Deletes the database of a view, if it is there. Its connections are to be closed before.
    pub async fn drop_view(&self, name: &str, version: u32) -> Result<(), StoreError> {
        self.inner.check_usable()?;
        check_name(name)?;
        if self.inner.options.access == Access::ReadOnly {
            return Err(StoreError::ReadOnly);
        }
        match &self.inner.backend {
            Backend::Sqlite(sqlite) => {
                let file = file_name(name, version);
                for suffix in ["", "-wal", "-shm"] {
                    match fs::remove_file(sqlite.views().join(format!("{file}{suffix}"))) {
                        Ok(()) => {}
                        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
            Backend::Postgres(postgres) => {
                let sql = format!(
                    "DROP SCHEMA IF EXISTS {} CASCADE",
                    schema_name(name, version)
                );
                sqlx::query(AssertSqlSafe(sql))
                    .execute(&postgres.pool)
                    .await?;
            }
        }
        Ok(())
    }

    /// All views there are, by name and version.
    pub async fn list_views(&self) -> Result<Vec<(String, u32)>, StoreError> {
        self.inner.check_usable()?;
        let mut found = Vec::new();
        match &self.inner.backend {
            Backend::Sqlite(sqlite) => {
                let entries = match fs::read_dir(sqlite.views()) {
                    Ok(entries) => entries,
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
                    Err(error) => return Err(error.into()),
                };
                for entry in entries {
                    let file = entry?.file_name();
                    let stem = file.to_str().and_then(|file| file.strip_suffix(".db"));
                    found.extend(stem.and_then(|stem| split(stem, '-')));
                }
            }
            Backend::Postgres(postgres) => {
                let schemas: Vec<String> =
                    sqlx::query_scalar("SELECT nspname::text FROM pg_namespace")
                        .fetch_all(&postgres.pool)
                        .await?;
                let names = schemas
                    .iter()
                    .filter_map(|schema| schema.strip_prefix("view_"));
                found.extend(names.filter_map(|name| split(name, '_')));
            }
        }
        found.sort();
        Ok(found)
    }
}

fn file_name(name: &str, version: u32) -> String {
    format!("{name}-{version}.db")
}

fn schema_name(name: &str, version: u32) -> String {
    format!("view_{name}_{version}")
}

fn split(text: &str, separator: char) -> Option<(String, u32)> {
    let (name, version) = text.rsplit_once(separator)?;
    let version = version.parse().ok()?;
    check_name(name).ok()?;
    Some((name.to_owned(), version))
}

/// The name becomes part of a path and of SQL.
fn check_name(name: &str) -> Result<(), StoreError> {
    let plain = name
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if name.is_empty() || name.len() > 40 || !plain {
        return Err(StoreError::Invalid(format!(
            "{name:?} is no name for a view: a-z, 0-9 and _, at most 40"
        )));
    }
    Ok(())
}
