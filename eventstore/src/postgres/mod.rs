//! The log in PostgreSQL: many nodes share it, the row of `log_head` decides who appends.

pub(crate) mod copied;
mod open;
pub(crate) mod read;
pub(crate) mod write;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::append::writer::{self, Writer};
use crate::error::StoreError;
use crate::event::Head;
use crate::store::Access;

/// The channel on which a commit tells its last position.
pub(crate) const CHANNEL: &str = "gatebook_head";

/// The log of one database.
pub(crate) struct Postgres {
    /// For messages, without credentials.
    pub(crate) place: String,
    pub(crate) pool: PgPool,
    pub(crate) connect: PgConnectOptions,
    pub(crate) deadline: Deadline,
    writer: Arc<Mutex<Writer<PgConnection>>>,
    lock_timeout: Duration,
    access: Access,
}

/// How long an answer is waited for: longer than any statement may run, so it passes only when the
/// server or the way to it is gone without a word.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Duration);

impl Deadline {
    /// Waits for an answer; the connection is worth nothing when it did not come.
    pub(crate) async fn wait_raw<T>(
        self,
        answer: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        match tokio::time::timeout(self.0, answer).await {
            Ok(result) => result,
            Err(_) => Err(sqlx::Error::Io(std::io::Error::new(
                std::io::ErrorKind::TimedOut,
                "the database did not answer in time",
            ))),
        }
    }

    /// The same for a piece of code with several statements.
    pub(crate) async fn bound<T>(
        self,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.wait_raw(async { Ok(answer.await) }).await?
    }

    /// The same, with the error as callers of the store see it.
    pub(crate) async fn wait<T>(
        self,
        answer: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, StoreError> {
        Ok(self.wait_raw(answer).await?)
    }
}

impl Postgres {
    /// Takes the row of the head on the writing connection. A connection that broke while it idled
    /// is replaced once: nothing was sent on it that could have happened.
    pub(crate) async fn begin(
        &self,
    ) -> Result<(OwnedMutexGuard<Writer<PgConnection>>, Head), StoreError> {
        if self.access == Access::ReadOnly {
            return Err(StoreError::ReadOnly);
        }
        let mut writer = writer::lock(&self.writer, self.lock_timeout).await?;
        let had_one = writer.connection.is_some();
        let first = self.begin_on(&mut writer).await;
        let begun = match first {
            Err(StoreError::Unavailable(_)) if had_one => self.begin_on(&mut writer).await,
            other => other,
        };
        Ok((writer, begun?))
    }

    async fn begin_on(&self, writer: &mut Writer<PgConnection>) -> Result<Head, StoreError> {
        // Taken out, so that it closes, and what it began ends, if this is cancelled or fails.
        let mut connection = match writer.connection.take() {
            Some(connection) => connection,
            None => self.deadline.wait(self.connect.connect()).await?,
        };
        let begun = self.deadline.wait(write::begin(&mut connection)).await;
        // After a lock time-out the connection is well and only its transaction has failed.
        let well = match &begun {
            Ok(_) => true,
            Err(StoreError::Busy) => self
                .deadline
                .wait(write::roll_back(&mut connection))
                .await
                .is_ok(),
            Err(_) => false,
        };
        if well {
            writer.connection = Some(connection);
        }
        begun
    }

    /// Closes every connection.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
        let connection = self.writer.lock().await.connection.take();
        if let Some(connection) = connection
            && let Err(error) = connection.close().await
        {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "closing a connection failed"
            );
        }
    }
}
