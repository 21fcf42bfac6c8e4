//! Reading events: by stream, category, type and position, in both directions.

use std::collections::HashMap;

use sqlx::ConnectOptions;
use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::append::batch::Known;
use crate::error::StoreError;
use crate::event::{Direction, Head, RecordedEvent, Selection};
use crate::postgres::copied;
use crate::replay::{FoldPage, FoldRows};
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

    /// The next `limit` events after a position and up to `until`, in the quickest way.
    pub(crate) async fn read_for_replay(
        &self,
        after: u64,
        until: u64,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        let limit = limit.min(usize::try_from(until.saturating_sub(after)).unwrap_or(usize::MAX));
        match &self.inner.backend {
            Backend::Sqlite(sqlite) => {
                self.inner.check_usable()?;
                let mut connection = sqlite.readers.acquire().await?;
                Ok(crate::sqlite::packed::after(&mut connection, after, limit).await?)
            }
            Backend::Postgres(_) => self.read_after(after, limit).await,
        }
    }

    /// The same of what a fold takes. The page has the events of all positions that it says, or can't be folded.
    pub(crate) async fn read_fold_page(
        &self,
        copying: &mut Option<PgConnection>,
        after: u64,
        until: u64,
        limit: usize,
    ) -> Result<FoldPage, StoreError> {
        let last = until.min(after.saturating_add(limit as u64));
        let rows = match &self.inner.backend {
            Backend::Sqlite(sqlite) => {
                self.inner.check_usable()?;
                let mut connection = sqlite.readers.acquire().await?;
                let row = crate::sqlite::packed::row_after(&mut connection, after, last).await?;
                FoldRows::Packed(row)
            }
            Backend::Postgres(postgres) => {
                self.inner.check_usable()?;
                // Taken out, so that it closes if this is cut off: a copy ends where it ends.
                let mut connection = match copying.take() {
                    Some(connection) => connection,
                    None => postgres.deadline.wait(postgres.connect.connect()).await?,
                };
                let page = postgres
                    .deadline
                    .wait(copied::page_after(&mut connection, after, last))
                    .await?;
                *copying = Some(connection);
                FoldRows::Copied(page)
            }
        };
        Ok(FoldPage::new(after, last, rows))
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
