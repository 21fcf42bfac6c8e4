//! Many events at a time, for replay, read with SQLite's own cursor on a thread that may block. The log is otherwise used
//! through sqlx, but there each row passes a channel between two threads, which costs more than reading it.

use std::path::Path;
use std::time::Duration;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use rusqlite::{Connection, OpenFlags, Row};
use uuid::Uuid;

use crate::database_code::classify_sqlite;
use crate::error::StoreError;
use crate::event::RecordedEvent;
use crate::replay::{self, FoldPage, Give};
use crate::sqlite::Sqlite;
use crate::sqlite::write::signed;
use crate::store::EventStore;

const SQL: &str = "SELECT position, codec, recorded_at, leaf_hash, stream, type, data, meta, revision, id FROM event \
    WHERE position > ? AND position <= ? ORDER BY position";

const FOLD_SQL: &str = "SELECT position, codec, recorded_at, leaf_hash, stream, type, data, meta FROM event \
    WHERE position > ? AND position <= ? ORDER BY position";

/// Gives on what `read` reads after a position, page by page, up to `until`.
pub(crate) async fn read_all<P: Send + 'static>(
    store: &EventStore,
    sqlite: &Sqlite,
    mut after: u64,
    until: u64,
    give: &Give<P>,
    read: impl Fn(&Reader, u64) -> Result<(P, u64), StoreError> + Send + 'static,
) -> Result<(), StoreError> {
    let (store, give) = (store.clone(), give.clone());
    let (file, lock_timeout) = (sqlite.file(), sqlite.lock_timeout);
    let reading = tokio::task::spawn_blocking(move || {
        store.inner.check_usable()?;
        let reader = Reader::open(&file, lock_timeout)?;
        while after < until {
            store.inner.check_usable()?;
            let (page, last) = read(&reader, after)?;
            after = last;
            if give.blocking_send(Ok((page, last))).is_err() {
                break;
            }
        }
        Ok(())
    });
    reading.await?
}

/// A connection of a replay's own, which only reads. Every method blocks.
pub(crate) struct Reader(Connection);

impl Reader {
    /// Opens the log in `file`, which is there and was looked at before.
    pub(crate) fn open(file: &Path, lock_timeout: Duration) -> Result<Self, StoreError> {
        // Not opened for reading only: the first reader of a log with a write-ahead file has to make the index of that file.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connect = || {
            let connection = Connection::open_with_flags(file, flags)?;
            connection.busy_timeout(lock_timeout)?;
            connection.pragma_update(None, "query_only", true)?;
            Ok(Self(connection))
        };
        connect().map_err(classify_sqlite)
    }

    /// The next events after a position and up to another, about as many bytes as said, with the position of the last.
    pub(crate) fn events(
        &self,
        after: u64,
        until: u64,
        bytes_max: usize,
    ) -> Result<(Vec<RecordedEvent>, u64), StoreError> {
        let read = || {
            let mut page = Vec::new();
            let mut bytes = 0;
            let mut statement = self.0.prepare_cached(SQL)?;
            let mut rows = statement.query([signed(after), signed(until)])?;
            while bytes < bytes_max
                && let Some(row) = rows.next()?
            {
                let event = recorded(row)?;
                bytes += replay::bytes_of(&event);
                page.push(event);
            }
            Ok(page)
        };
        let page: Vec<RecordedEvent> = read().map_err(classify_sqlite)?;
        let last = replay::check(&page, after)?;
        Ok((page, last))
    }

    /// The same of what a fold takes of them.
    pub(crate) fn fold_page(&self, after: u64, until: u64) -> Result<(FoldPage, u64), StoreError> {
        let mut page = FoldPage::after(after);
        let mut statement = self.0.prepare_cached(FOLD_SQL).map_err(classify_sqlite)?;
        let mut rows = statement
            .query([signed(after), signed(until)])
            .map_err(classify_sqlite)?;
        while !page.is_full()
            && let Some(row) = rows.next().map_err(classify_sqlite)?
        {
            let event = || {
                let numbers = (row.get(0)?, row.get(1)?, row.get(2)?);
                let leaf_hash: Fixed<32> = row.get(3)?;
                Ok((
                    numbers,
                    leaf_hash.0,
                    [part(row, 4)?, part(row, 5)?, part(row, 6)?, part(row, 7)?],
                ))
            };
            let ((position, codec, recorded_at), leaf_hash, parts) =
                event().map_err(classify_sqlite)?;
            page.push(position, codec, recorded_at, leaf_hash, parts)?;
        }
        page.whole()
    }
}

/// A text or blob where SQLite has it.
fn part<'row>(row: &'row Row<'_>, column: usize) -> rusqlite::Result<&'row [u8]> {
    Ok(row.get_ref(column)?.as_bytes()?)
}

fn recorded(row: &Row<'_>) -> rusqlite::Result<RecordedEvent> {
    Ok(RecordedEvent {
        position: row.get(0)?,
        codec: row.get(1)?,
        recorded_at: row.get(2)?,
        leaf_hash: row.get::<_, Fixed<32>>(3)?.0,
        stream: row.get(4)?,
        event_type: row.get(5)?,
        data: row.get(6)?,
        meta: row.get(7)?,
        revision: row.get(8)?,
        id: Uuid::from_bytes(row.get::<_, Fixed<16>>(9)?.0),
    })
}

/// A blob of a known length.
struct Fixed<const N: usize>([u8; N]);

impl<const N: usize> FromSql for Fixed<N> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let blob = value.as_blob()?;
        let bytes = blob.try_into().map_err(|_| FromSqlError::InvalidBlobSize {
            expected_size: N,
            blob_size: blob.len(),
        })?;
        Ok(Self(bytes))
    }
}
