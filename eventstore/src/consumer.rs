//! The rows of consumers: how far each has come, and who holds its lease.
//!
//! A lease has no time in it. Who finds that the holder is dead takes the lease over by raising the
//! fence; from then on the old holder moves nothing, however late it wakes.

use crate::error::StoreError;
use crate::node::NodeEpoch;
use crate::store::{EventStore, with_reader, with_writer};

/// Raised with every change of holder. 0 before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(pub i64);

/// The row of a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerRow {
    /// Position up to which it has consumed.
    pub cursor: u64,
    /// Who holds the lease.
    pub holder: Option<NodeEpoch>,
    /// The fence of the lease.
    pub fence: Fence,
}

impl EventStore {
    /// The row of a consumer, `None` if it never ran.
    pub async fn consumer(&self, name: &str) -> Result<Option<ConsumerRow>, StoreError> {
        let sql = "SELECT position, holder, fence FROM consumer WHERE name = $1";
        let row: Option<(i64, Option<i64>, i64)> = with_reader!(self, connection => {
            sqlx::query_as(sql).bind(name).fetch_optional(connection).await?
        });
        Ok(row.map(|(position, holder, fence)| ConsumerRow {
            cursor: u64::try_from(position).unwrap_or(0),
            holder: holder.map(NodeEpoch),
            fence: Fence(fence),
        }))
    }

    /// Takes the lease, if its fence is still `expected_fence` (`Fence(0)` for a consumer without a
    /// row). Returns the new fence, or `None` if somebody else was faster.
    pub async fn take_lease(
        &self,
        name: &str,
        holder: NodeEpoch,
        expected_fence: Fence,
    ) -> Result<Option<Fence>, StoreError> {
        let make = "INSERT INTO consumer (name, position, holder, fence) VALUES ($1, 0, NULL, 0) ON CONFLICT (name) DO NOTHING";
        let take = "UPDATE consumer SET holder = $1, fence = fence + 1 WHERE name = $2 AND fence = $3 RETURNING fence";
        Ok(with_writer!(self, connection => {
            sqlx::query(make).bind(name).execute(&mut *connection).await?;
            let fence: Option<i64> = sqlx::query_scalar(take)
                .bind(holder.0)
                .bind(name)
                .bind(expected_fence.0)
                .fetch_optional(connection)
                .await?;
            fence.map(Fence)
        }))
    }

    /// Moves the cursor forward; false where the lease is not the caller's any more, and nothing moved.
    pub async fn move_cursor(
        &self,
        name: &str,
        fence: Fence,
        position: u64,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE consumer SET position = $1 WHERE name = $2 AND fence = $3 AND holder IS NOT NULL AND position <= $1";
        let position = i64::try_from(position).unwrap_or(i64::MAX);
        Ok(with_writer!(self, connection => {
            let done = sqlx::query(sql).bind(position).bind(name).bind(fence.0).execute(connection).await?;
            done.rows_affected() > 0
        }))
    }

    /// Gives the lease back; false where it was not the caller's any more.
    pub async fn release_lease(&self, name: &str, fence: Fence) -> Result<bool, StoreError> {
        let sql = "UPDATE consumer SET holder = NULL, fence = fence + 1 WHERE name = $1 AND fence = $2 AND holder IS NOT NULL";
        Ok(with_writer!(self, connection => {
            sqlx::query(sql).bind(name).bind(fence.0).execute(connection).await?.rows_affected() > 0
        }))
    }
}
