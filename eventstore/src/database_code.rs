//! What the error codes of the two databases mean for a caller.

use std::sync::Arc;

use sqlx::postgres::PgDatabaseError;
use sqlx::sqlite::SqliteError;

use crate::error::StoreError;

/// What a failed statement means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    Busy,
    ReadOnly,
    Full,
    Unavailable,
    Closed,
    Damaged,
    Duplicate,
    Other,
}

/// Sorts an error of the driver.
pub(crate) fn meaning(error: &sqlx::Error) -> Meaning {
    match error {
        sqlx::Error::PoolClosed => Meaning::Closed,
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::WorkerCrashed => Meaning::Unavailable,
        sqlx::Error::Database(database) => {
            if let Some(error) = database.try_downcast_ref::<PgDatabaseError>() {
                return postgres_meaning(error.code());
            }
            match database.try_downcast_ref::<SqliteError>() {
                Some(_) => sqlite_meaning(
                    database
                        .code()
                        .and_then(|code| code.parse().ok())
                        .unwrap_or(0),
                ),
                None => Meaning::Other,
            }
        }
        _ => Meaning::Other,
    }
}

/// Codes of PostgreSQL, appendix A of its manual.
fn postgres_meaning(code: &str) -> Meaning {
    match code {
        // lock_not_available, query_canceled (statement time-out), deadlock, serialization.
        "55P03" | "57014" | "40P01" | "40001" => Meaning::Busy,
        "25006" => Meaning::ReadOnly,
        "53100" => Meaning::Full,
        "23505" => Meaning::Duplicate,
        "XX001" | "XX002" => Meaning::Damaged,
        // idle_in_transaction_session_timeout
        "25P03" => Meaning::Unavailable,
        _ if code.starts_with("08") || code.starts_with("53") || code.starts_with("57P") => {
            Meaning::Unavailable
        }
        _ => Meaning::Other,
    }
}

/// Result codes of SQLite; the low byte is the primary code, the rest says more.
fn sqlite_meaning(code: u32) -> Meaning {
    const CONSTRAINT_PRIMARYKEY: u32 = 1555;
    const CONSTRAINT_UNIQUE: u32 = 2067;
    match code {
        CONSTRAINT_PRIMARYKEY | CONSTRAINT_UNIQUE => Meaning::Duplicate,
        _ => match code & 0xff {
            5 | 6 => Meaning::Busy,
            8 => Meaning::ReadOnly,
            13 => Meaning::Full,
            // interrupted, input or output failed, can't open
            9 | 10 | 14 => Meaning::Unavailable,
            11 | 26 => Meaning::Damaged,
            _ => Meaning::Other,
        },
    }
}

/// The error as callers of the store see it.
pub(crate) fn classify(error: sqlx::Error) -> StoreError {
    match meaning(&error) {
        Meaning::Busy => StoreError::Busy,
        Meaning::ReadOnly => StoreError::ReadOnly,
        Meaning::Full => StoreError::Full,
        Meaning::Unavailable => StoreError::Unavailable(Arc::new(error)),
        Meaning::Closed => StoreError::Closed,
        Meaning::Damaged => StoreError::Damaged(error.to_string()),
        Meaning::Duplicate | Meaning::Other => StoreError::Database(Arc::new(error)),
    }
}

/// The same for what SQLite said without sqlx between.
pub(crate) fn classify_sqlite(error: rusqlite::Error) -> StoreError {
    let code = error
        .sqlite_error()
        .map_or(0, |error| error.extended_code.cast_unsigned());
    let wrapped = |error| Arc::new(sqlx::Error::AnyDriverError(Box::new(error)));
    match sqlite_meaning(code) {
        Meaning::Busy => StoreError::Busy,
        Meaning::ReadOnly => StoreError::ReadOnly,
        Meaning::Full => StoreError::Full,
        Meaning::Unavailable => StoreError::Unavailable(wrapped(error)),
        Meaning::Closed => StoreError::Closed,
        Meaning::Damaged => StoreError::Damaged(error.to_string()),
        Meaning::Duplicate | Meaning::Other => StoreError::Database(wrapped(error)),
    }
}

/// Whether a failed COMMIT may have been carried out all the same. A plain error from the database
/// says it was not; anything that broke the conversation leaves it open.
pub(crate) fn commit_is_in_doubt(error: &sqlx::Error) -> bool {
    matches!(meaning(error), Meaning::Unavailable | Meaning::Closed)
        || !matches!(error, sqlx::Error::Database(_))
}
