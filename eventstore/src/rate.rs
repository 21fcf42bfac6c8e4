//! How often each API account called in a window of time, shared between nodes.

use sqlx::Connection;

use crate::error::StoreError;
use crate::store::{EventStore, with_writer};

/// Calls of one account in one window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateCount {
    /// The account, in whatever form the caller names it.
    pub account: String,
    /// When the window began. Unit: microseconds UTC.
    pub window_start: i64,
    /// Calls counted.
    pub used: u64,
}

impl EventStore {
    /// Writes what this node has counted, and returns for each the sum over all nodes, in the order
    /// given.
    pub async fn share_rates(
        &self,
        node: &str,
        counts: &[RateCount],
    ) -> Result<Vec<RateCount>, StoreError> {
        let mine = "INSERT INTO rate_window (account, window_start, node, used) VALUES ($1, $2, $3, $4) \
                    ON CONFLICT (account, window_start, node) DO UPDATE SET used = excluded.used";
        let all = "SELECT CAST(sum(used) AS BIGINT) FROM rate_window WHERE account = $1 AND window_start = $2";
        let mut sums = Vec::with_capacity(counts.len());
        with_writer!(self, connection => {
            let mut transaction = connection.begin().await?;
            for count in counts {
                sqlx::query(mine)
                    .bind(count.account.as_str())
                    .bind(count.window_start)
                    .bind(node)
                    .bind(i64::try_from(count.used).unwrap_or(i64::MAX))
                    .execute(&mut *transaction)
                    .await?;
            }
            for count in counts {
                let used: i64 = sqlx::query_scalar(all)
                    .bind(count.account.as_str())
                    .bind(count.window_start)
                    .fetch_one(&mut *transaction)
                    .await?;
                sums.push(RateCount { used: u64::try_from(used).unwrap_or(0), ..count.clone() });
            }
            transaction.commit().await?;
        });
        Ok(sums)
    }

    /// Deletes the windows that began before an instant (microseconds UTC); returns how many rows.
    pub async fn forget_rates(&self, before: i64) -> Result<u64, StoreError> {
        let sql = "DELETE FROM rate_window WHERE window_start < $1";
        Ok(with_writer!(self, connection => {
            sqlx::query(sql).bind(before).execute(connection).await?.rows_affected()
        }))
    }
}
