//! Reading events: by stream, category, type and position, in both directions.

use std::collections::HashMap;

use uuid::Uuid;

use crate::append::batch::Known;
use crate::error::StoreError;
use crate::event::{Direction, Head, RecordedEvent, Selection};
use crate::store::{Backend, EventStore};

/// Runs one of the two databases' versions of a function on a connection for reading.
macro_rules! on_reader {
    ($store:expr, $module:ident :: $function:ident ( $($argument:expr),* )) => {{
        $store.inner.check_usable()?;
        match &$store.inner.backend {
            Backend::Sqlite(sqlite) => {
                let mut connection = sqlite.readers.acquire().await?;
                Ok(crate::sqlite::$module::$function(&mut connection, $($argument),*).await?)
            }
            Backend::Postgres(postgres) => {
                postgres.deadline.wait(async {
                    let mut connection = postgres.pool.acquire().await?;
                    crate::postgres::$module::$function(&mut connection, $($argument),*).await
                }).await
            }
        }
    }};
}

impl EventStore {
    /// The head of the log, as the database has it now.
    pub async fn head(&self) -> Result<Head, StoreError> {
        on_reader!(self, read::head())
    }

    /// At most `limit` events of a selection, beginning with position `from` (of a stream: with
    /// revision `from`), inclusive, in the order of the direction.
    pub async fn read(
        &self,
        selection: &Selection,
        from: u64,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        on_reader!(self, read::select(selection, from, direction, limit))
    }

    /// At most `limit` events of everything after a position.
    pub(crate) async fn read_after(
        &self,
        position: u64,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        on_reader!(self, read::after(position, limit))
    }

    /// The first revision of a stream after a position.
    pub(crate) async fn revision_after(
        &self,
        stream: &str,
        position: u64,
    ) -> Result<Option<u64>, StoreError> {
        on_reader!(self, read::revision_after(stream, position))
    }

    /// Those of the ids that are in the log.
    pub(crate) async fn find_ids(&self, ids: &[Uuid]) -> Result<HashMap<Uuid, Known>, StoreError> {
        on_reader!(self, write::find_ids(ids))
    }
}
