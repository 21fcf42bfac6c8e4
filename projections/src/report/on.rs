//! One text of code for both databases: their types differ, the statements do not.

/// Runs the same code on a pooled connection of either database; `$kind` names its type.
macro_rules! on {
    ($pool:ident of $database:expr, $kind:ident, $connection:ident => $body:expr) => {
        match $database {
            ViewDatabase::Sqlite(view) => {
                #[allow(dead_code, reason = "not every body names the database's type")]
                type $kind = sqlx::Sqlite;
                let mut $connection = view.$pool.acquire().await?;
                $body
            }
            ViewDatabase::Postgres(view) => {
                #[allow(dead_code, reason = "not every body names the database's type")]
                type $kind = sqlx::Postgres;
                let mut $connection = view.pool.acquire().await?;
                $body
            }
        }
    };
}

pub(super) use on;
