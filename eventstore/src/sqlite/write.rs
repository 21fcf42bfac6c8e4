//! Statements of the writing connection.
//!
//! One multi-row statement a batch is the whole trick: through the driver a statement costs about
//! 0.1 ms, a row a hundredth of that.

use std::collections::HashMap;
use std::sync::LazyLock;

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use crate::append::batch::{Batch, Known};
use crate::event::Head;
use crate::side::{SideBatch, SideChanges, SideRow, SideTable};
use crate::sqlite::read::{bytes32, unsigned};

/// Rows of one statement: powers of two, so that a handful of prepared statements serves every batch.
/// 512 rows of 9 parameters stay far below SQLite's limit of 32,766.
const ROWS_LOG2_MAX: usize = 9;

/// `INSERT` texts for 1, 2, 4, ... 512 rows of `row`.
fn multi_row(head: &str, row: &str, tail: &str) -> [String; ROWS_LOG2_MAX + 1] {
    std::array::from_fn(|log2| {
        let rows = vec![row; 1 << log2].join(",");
        format!("{head} VALUES {rows} {tail}")
    })
}

/// The next number of rows to write of `left`, as its power of two.
fn next_rows(left: usize) -> usize {
    usize::try_from(left.ilog2()).map_or(ROWS_LOG2_MAX, |log2| log2.min(ROWS_LOG2_MAX))
}

static INSERT_EVENTS: LazyLock<[String; ROWS_LOG2_MAX + 1]> = LazyLock::new(|| {
    multi_row(
        "INSERT INTO event (position, stream, revision, id, type, data, meta, codec, recorded_at, leaf_hash)",
        "(?,?,?,?,?,?,?,?,?,?)",
        "",
    )
});

static UPSERT_STREAMS: LazyLock<[String; ROWS_LOG2_MAX + 1]> = LazyLock::new(|| {
    multi_row(
        "INSERT INTO stream (name, revision, position)",
        "(?,?,?)",
        "ON CONFLICT (name) DO UPDATE SET revision = excluded.revision, position = excluded.position",
    )
});

/// Takes the write lock and reads the head, in one trip to the connection's thread.
pub(crate) async fn begin(connection: &mut SqliteConnection) -> Result<Head, sqlx::Error> {
    let row =
        sqlx::query("BEGIN IMMEDIATE; SELECT position, tail_hash, epoch, min_reader FROM log_head")
            .fetch_one(connection)
            .await?;
    head(&row)
}

/// A row of `log_head`.
pub(crate) fn head(row: &SqliteRow) -> Result<Head, sqlx::Error> {
    Ok(Head {
        position: unsigned(row, 0)?,
        tail_hash: bytes32(row, 1)?,
        epoch: row.try_get(2)?,
        min_reader: row.try_get(3)?,
    })
}

/// Commits what was begun.
pub(crate) async fn commit(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::query("COMMIT").execute(connection).await.map(|_| ())
}

/// Rolls back what was begun. SQLite does so by itself after some errors, a full disk among them.
pub(crate) async fn roll_back(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    match sqlx::query("ROLLBACK").execute(connection).await {
        Ok(_) => Ok(()),
        Err(sqlx::Error::Database(error))
            if error.message().contains("no transaction is active") =>
        {
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Writes the rows of a batch: its events, its streams, the head.
pub(crate) async fn insert(
    connection: &mut SqliteConnection,
    batch: &Batch,
) -> Result<(), sqlx::Error> {
    let mut rest = batch.events.as_slice();
    while !rest.is_empty() {
        let log2 = next_rows(rest.len());
        let (rows, later) = rest.split_at(1 << log2);
        let mut query = sqlx::query(INSERT_EVENTS[log2].as_str());
        for event in rows {
            query = query
                .bind(signed(event.position))
                .bind(event.stream.as_str())
                .bind(signed(event.revision))
                .bind(event.id.as_bytes().as_slice())
                .bind(event.event_type.as_str())
                .bind(event.data.as_slice())
                .bind(event.meta.as_slice())
                .bind(event.codec)
                .bind(event.recorded_at)
                .bind(event.leaf_hash.as_slice());
        }
        query.execute(&mut *connection).await?;
        rest = later;
    }

    let streams: Vec<(&str, (u64, u64))> = batch.streams().into_iter().collect();
    let mut rest = streams.as_slice();
    while !rest.is_empty() {
        let log2 = next_rows(rest.len());
        let (rows, later) = rest.split_at(1 << log2);
        let mut query = sqlx::query(UPSERT_STREAMS[log2].as_str());
        for (name, (revision, position)) in rows {
            query = query
                .bind(*name)
                .bind(signed(*revision))
                .bind(signed(*position));
        }
        query.execute(&mut *connection).await?;
        rest = later;
    }

    sqlx::query("UPDATE log_head SET position = ?, tail_hash = ?")
        .bind(signed(batch.head.position))
        .bind(batch.head.tail_hash.as_slice())
        .execute(connection)
        .await?;
    Ok(())
}

/// Raises the epoch of the log.
pub(crate) async fn raise_epoch(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE log_head SET epoch = epoch + 1")
        .execute(connection)
        .await
        .map(|_| ())
}

/// The last revisions of those streams that have events.
pub(crate) async fn revisions(
    connection: &mut SqliteConnection,
    names: &[&str],
) -> Result<HashMap<String, u64>, sqlx::Error> {
    let mut found = HashMap::with_capacity(names.len());
    for names in names.chunks(1 << ROWS_LOG2_MAX) {
        let sql = format!(
            "SELECT name, revision FROM stream WHERE name IN ({})",
            placeholders(names.len())
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for name in names {
            query = query.bind(*name);
        }
        for row in query.fetch_all(&mut *connection).await? {
            found.insert(row.try_get(0)?, unsigned(&row, 1)?);
        }
    }
    Ok(found)
}

/// Those of the ids that are in the log.
pub(crate) async fn find_ids(
    connection: &mut SqliteConnection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Known>, sqlx::Error> {
    let mut found = HashMap::new();
    for ids in ids.chunks(1 << ROWS_LOG2_MAX) {
        let sql = format!(
            "SELECT id, stream, revision, position FROM event WHERE id IN ({})",
            placeholders(ids.len())
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for id in ids {
            query = query.bind(id.as_bytes().as_slice());
        }
        for row in query.fetch_all(&mut *connection).await? {
            let id: Uuid = row.try_get(0)?;
            let known = Known {
                stream: row.try_get(1)?,
                revision: unsigned(&row, 2)?,
                position: unsigned(&row, 3)?,
            };
            found.insert(id, known);
        }
    }
    Ok(found)
}

/// As many placeholders as values, rounded up to a power of two: an unbound one is NULL and matches
/// nothing, and few texts are prepared.
pub(crate) fn placeholders(values: usize) -> String {
    vec!["?"; values.next_power_of_two()].join(",")
}

/// The rows under a prefix, by key. The write lock already keeps everybody else out.
pub(crate) async fn side_rows(
    connection: &mut SqliteConnection,
    table: SideTable,
    prefix: &str,
) -> Result<Vec<SideRow>, sqlx::Error> {
    let sql = format!(
        "SELECT key, value FROM {} WHERE key >= ? AND key < ? || char(0x10ffff) ORDER BY key",
        table.name()
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(prefix)
        .bind(prefix)
        .fetch_all(connection)
        .await?
        .iter()
        .map(|row| {
            Ok(SideRow {
                key: row.try_get(0)?,
                value: row.try_get(1)?,
            })
        })
        .collect()
}

/// Writes side rows; answers with the first key that was to be new and is not.
pub(crate) async fn write_side(
    connection: &mut SqliteConnection,
    side: &SideBatch,
) -> Result<Option<(SideTable, String)>, sqlx::Error> {
    for (table, changes) in side.tables() {
        for keys in changes.deletes.chunks(1 << ROWS_LOG2_MAX) {
            let sql = format!(
                "DELETE FROM {} WHERE key IN ({})",
                table.name(),
                placeholders(keys.len())
            );
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for key in keys {
                query = query.bind(key.as_str());
            }
            query.execute(&mut *connection).await?;
        }
        if let Some(key) = write_rows(connection, table, changes).await? {
            return Ok(Some((table, key)));
        }
    }
    Ok(None)
}

async fn write_rows(
    connection: &mut SqliteConnection,
    table: SideTable,
    changes: &SideChanges,
) -> Result<Option<String>, sqlx::Error> {
    const IF_NEW: &str = "ON CONFLICT (key) DO NOTHING RETURNING key";
    let mut rest = changes.inserts.as_slice();
    while !rest.is_empty() {
        let (rows, later) = rest.split_at(1 << next_rows(rest.len()));
        let written = write_pairs(connection, table.name(), rows, IF_NEW).await?;
        if written.len() < rows.len() {
            let new: Vec<String> = written
                .iter()
                .map(|row| row.try_get(0))
                .collect::<Result<_, _>>()?;
            return Ok(rows
                .iter()
                .map(|(key, _)| key)
                .find(|key| !new.contains(key))
                .cloned());
        }
        rest = later;
    }
    put_pairs(connection, table.name(), &changes.puts).await?;
    Ok(None)
}

/// Writes keys and values, over what is there.
pub(crate) async fn put_pairs(
    connection: &mut SqliteConnection,
    table: &str,
    mut rest: &[(String, Vec<u8>)],
) -> Result<(), sqlx::Error> {
    const OVER: &str = "ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    while !rest.is_empty() {
        let (rows, later) = rest.split_at(1 << next_rows(rest.len()));
        write_pairs(connection, table, rows, OVER).await?;
        rest = later;
    }
    Ok(())
}

async fn write_pairs(
    connection: &mut SqliteConnection,
    table: &str,
    rows: &[(String, Vec<u8>)],
    tail: &str,
) -> Result<Vec<SqliteRow>, sqlx::Error> {
    let places = vec!["(?,?)"; rows.len()].join(",");
    let sql = format!("INSERT INTO {table} (key, value) VALUES {places} {tail}");
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for (key, value) in rows {
        query = query.bind(key.as_str()).bind(value.as_slice());
    }
    query.fetch_all(connection).await
}

/// Positions and revisions are far below 2^63.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
