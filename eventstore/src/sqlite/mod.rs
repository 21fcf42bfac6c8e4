//! The log in SQLite: one file, one writing connection, a few for reading.

mod open;
pub(crate) mod read;
pub(crate) mod stepped;
pub(crate) mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePool};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::append::writer::{self, Writer};
use crate::error::StoreError;
use crate::store::Access;

/// The log of one directory.
pub(crate) struct Sqlite {
    pub(crate) directory: PathBuf,
    pub(crate) readers: SqlitePool,
    pub(crate) latest: SqlitePool,
    writer: Arc<Mutex<Writer<SqliteConnection>>>,
    write_options: SqliteConnectOptions,
    pub(crate) lock_timeout: Duration,
    access: Access,
}

impl Sqlite {
    /// The writing connection, for as long as the guard lives.
    pub(crate) async fn writer(
        &self,
    ) -> Result<OwnedMutexGuard<Writer<SqliteConnection>>, StoreError> {
        if self.access == Access::ReadOnly {
            return Err(StoreError::ReadOnly);
        }
        let mut writer = writer::lock(&self.writer, self.lock_timeout).await?;
        if writer.connection.is_none() {
            writer.connection = Some(self.write_options.connect().await?);
        }
        Ok(writer)
    }

    /// The log.
    pub(crate) fn file(&self) -> PathBuf {
        self.directory.join("log.db")
    }

    /// Where the log is, for messages.
    pub(crate) fn place(&self) -> String {
        place(&self.directory)
    }

    /// The folder of everything that is derived.
    pub(crate) fn views(&self) -> PathBuf {
        self.directory.join("views")
    }

    /// Closes every connection, the writer last: it folds the write-ahead file into the log.
    pub(crate) async fn close(&self) {
        self.latest.close().await;
        self.readers.close().await;
        let connection = self.writer.lock().await.connection.take();
        if let Some(connection) = connection
            && let Err(error) = connection.close().await
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "closing the log failed"
            );
        }
    }
}

/// The log file of a directory, as messages name it.
fn place(directory: &Path) -> String {
    directory.join("log.db").display().to_string()
}
