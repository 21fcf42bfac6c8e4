//! The newest figures and thumbnails of clients: overwritten, never decided on, not in a backup.
//! SQLite keeps them in `DIR/views/latest.db`, PostgreSQL in an unlogged table.

use sqlx::{AssertSqlSafe, Connection};

use crate::error::StoreError;
use crate::sqlite;
use crate::store::{Access, Backend, EventStore};

/// Most bytes of one value: 32 KiB.
pub const LATEST_BYTES_MAX: usize = 32 * 1024;

/// Keys of one statement.
const KEYS: usize = 500;

impl EventStore {
    /// Writes rows over what is there.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if a value has more than [`LATEST_BYTES_MAX`]; nothing is written then.
    pub async fn put_latest(&self, rows: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
        self.check_latest_writable()?;
        if let Some((key, value)) = rows
            .iter()
            .find(|(_, value)| value.len() > LATEST_BYTES_MAX)
        {
            return Err(StoreError::Invalid(format!(
                "the latest value of {key:?} has {} bytes, at most {LATEST_BYTES_MAX} are kept",
                value.len()
            )));
        }
        match &self.inner.backend {
            Backend::Sqlite(sqlite) => {
                let mut connection = sqlite.latest.acquire().await?;
                let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
                sqlite::write::put_pairs(&mut transaction, "latest", rows).await?;
                transaction.commit().await?;
            }
            Backend::Postgres(postgres) => {
                // One statement must not write a row twice: the last value of a key wins.
                let newest: std::collections::BTreeMap<&str, &[u8]> = rows
                    .iter()
                    .map(|(key, value)| (key.as_str(), value.as_slice()))
                    .collect();
                sqlx::query(
                    "INSERT INTO latest (key, value) SELECT * FROM unnest($1::text[], $2::bytea[]) \
                     ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                )
                .bind(newest.keys().copied().collect::<Vec<_>>())
                .bind(newest.values().copied().collect::<Vec<_>>())
                .execute(&postgres.pool)
                .await?;
            }
        }
        Ok(())
    }

    /// The rows of those keys that have one, by key.
    pub async fn latest(&self, keys: &[String]) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.inner.check_usable()?;
        let mut found: Vec<(String, Vec<u8>)> = Vec::new();
        match &self.inner.backend {
            Backend::Sqlite(sqlite) => {
                for keys in keys.chunks(KEYS) {
                    let places = vec!["?"; keys.len()].join(",");
                    let sql = format!("SELECT key, value FROM latest WHERE key IN ({places})");
                    let mut query = sqlx::query_as(AssertSqlSafe(sql));
                    for key in keys {
                        query = query.bind(key.as_str());
                    }
                    found.extend(query.fetch_all(&sqlite.latest).await?);
                }
            }
            Backend::Postgres(postgres) => {
                let sql = "SELECT key, value FROM latest WHERE key = ANY($1)";
                found = sqlx::query_as(sql)
                    .bind(keys)
                    .fetch_all(&postgres.pool)
                    .await?;
            }
        }
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(found)
    }

    /// Deletes rows, of clients that are gone.
    pub async fn remove_latest(&self, keys: &[String]) -> Result<(), StoreError> {
        self.check_latest_writable()?;
        match &self.inner.backend {
            Backend::Sqlite(sqlite) => {
                for keys in keys.chunks(KEYS) {
                    let places = vec!["?"; keys.len()].join(",");
                    let mut query = sqlx::query(AssertSqlSafe(format!(
                        "DELETE FROM latest WHERE key IN ({places})"
                    )));
                    for key in keys {
                        query = query.bind(key.as_str());
                    }
                    query.execute(&sqlite.latest).await?;
                }
            }
            Backend::Postgres(postgres) => {
                sqlx::query("DELETE FROM latest WHERE key = ANY($1)")
                    .bind(keys)
                    .execute(&postgres.pool)
                    .await?;
            }
        }
        Ok(())
    }

    fn check_latest_writable(&self) -> Result<(), StoreError> {
        self.inner.check_usable()?;
        match self.inner.options.access {
            Access::ReadWrite => Ok(()),
            Access::ReadOnly => Err(StoreError::ReadOnly),
        }
    }
}
