//! The rows of nodes: an epoch that is new at each start, and a beat that shows the node lives.

use crate::error::StoreError;
use crate::store::{EventStore, with_reader, with_writer};

/// One start of one node. Never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeEpoch(pub i64);

/// The row of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    /// Which start of which node.
    pub epoch: NodeEpoch,
    /// The node's name.
    pub name: String,
    /// The URL under which it alone is reached, if it has one.
    pub url: Option<String>,
    /// Raised by the node while it lives. It is compared for change only; it is no time.
    pub beat: i64,
}

impl EventStore {
    /// Writes the row of a node that starts, and gives it its epoch.
    pub async fn register_node(
        &self,
        name: &str,
        url: Option<&str>,
    ) -> Result<NodeEpoch, StoreError> {
        let sql = "INSERT INTO node (name, url, beat) VALUES ($1, $2, 0) RETURNING epoch";
        Ok(with_writer!(self, connection => {
            NodeEpoch(sqlx::query_scalar(sql).bind(name).bind(url).fetch_one(connection).await?)
        }))
    }

    /// Raises the beat; false if the row is gone, which means the node was declared stopped.
    pub async fn raise_beat(&self, epoch: NodeEpoch) -> Result<bool, StoreError> {
        let sql = "UPDATE node SET beat = beat + 1 WHERE epoch = $1";
        Ok(with_writer!(self, connection => {
            sqlx::query(sql).bind(epoch.0).execute(connection).await?.rows_affected() > 0
        }))
    }

    /// All nodes, oldest epoch first.
    pub async fn nodes(&self) -> Result<Vec<NodeRow>, StoreError> {
        let sql = "SELECT epoch, name, url, beat FROM node ORDER BY epoch";
        Ok(with_reader!(self, connection => {
            let rows = sqlx::query_as(sql).fetch_all(connection).await?;
            rows
                .into_iter()
                .map(|(epoch, name, url, beat)| NodeRow { epoch: NodeEpoch(epoch), name, url, beat })
                .collect()
        }))
    }

    /// Removes the row of a node that stopped; false if it was gone.
    pub async fn remove_node(&self, epoch: NodeEpoch) -> Result<bool, StoreError> {
        let sql = "DELETE FROM node WHERE epoch = $1";
        Ok(with_writer!(self, connection => {
            sqlx::query(sql).bind(epoch.0).execute(connection).await?.rows_affected() > 0
        }))
    }
}
