//! Reading events from SQLite.

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use crate::event::{Direction, Head, RecordedEvent, Selection};
use crate::side::{SideRow, SideTable};
use crate::sqlite::write::{self, signed};

const COLUMNS: &str =
    "position, stream, revision, id, type, data, meta, codec, recorded_at, leaf_hash";

/// The head of the log.
pub(crate) async fn head(connection: &mut SqliteConnection) -> Result<Head, sqlx::Error> {
    let row = sqlx::query("SELECT position, tail_hash, epoch, min_reader FROM log_head")
        .fetch_one(connection)
        .await?;
    write::head(&row)
}

/// Events of a selection from a position (of a stream: from a revision), inclusive.
pub(crate) async fn select(
    connection: &mut SqliteConnection,
    selection: &Selection,
    from: u64,
    direction: Direction,
    limit: usize,
) -> Result<Vec<RecordedEvent>, sqlx::Error> {
    let (condition, value, order) = match selection {
        Selection::All => ("", None, "position"),
        Selection::Stream(stream) => ("stream = ? AND ", Some(stream), "revision"),
        Selection::Category(category) => ("category = ? AND ", Some(category), "position"),
        Selection::EventType(event_type) => ("type = ? AND ", Some(event_type), "position"),
    };
    let (compare, way) = match direction {
        Direction::Forward => (">=", "ASC"),
        Direction::Backward => ("<=", "DESC"),
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM event WHERE {condition}{order} {compare} ? ORDER BY {order} {way} LIMIT ?"
    );
    let mut query = sqlx::query(AssertSqlSafe(sql));
    if let Some(value) = value {
        query = query.bind(value.as_str());
    }
    let rows = query
        .bind(signed(from))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?;
    rows.iter().map(event).collect()
}

/// Events of everything after a position.
pub(crate) async fn after(
    connection: &mut SqliteConnection,
    position: u64,
    limit: usize,
) -> Result<Vec<RecordedEvent>, sqlx::Error> {
    select(
        connection,
        &Selection::All,
        position + 1,
        Direction::Forward,
        limit,
    )
    .await
}

/// The first revision of a stream whose event lies after a position.
pub(crate) async fn revision_after(
    connection: &mut SqliteConnection,
    stream: &str,
    position: u64,
) -> Result<Option<u64>, sqlx::Error> {
    let sql =
        "SELECT revision FROM event WHERE stream = ? AND position > ? ORDER BY revision LIMIT 1";
    let row = sqlx::query(sql)
        .bind(stream)
        .bind(signed(position))
        .fetch_optional(connection)
        .await?;
    row.map(|row| unsigned(&row, 0)).transpose()
}

/// The events at some positions, in any order.
pub(crate) async fn at_positions(
    connection: &mut SqliteConnection,
    positions: &[u64],
) -> Result<Vec<RecordedEvent>, sqlx::Error> {
    let mut events = Vec::with_capacity(positions.len());
    for positions in positions.chunks(500) {
        let places = vec!["?"; positions.len()].join(",");
        let sql = format!("SELECT {COLUMNS} FROM event WHERE position IN ({places})");
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for position in positions {
            query = query.bind(signed(*position));
        }
        for row in query.fetch_all(&mut *connection).await? {
            events.push(event(&row)?);
        }
    }
    Ok(events)
}

/// The rows of those keys that have one, in any order.
pub(crate) async fn side_rows_of(
    connection: &mut SqliteConnection,
    table: SideTable,
    keys: &[String],
) -> Result<Vec<SideRow>, sqlx::Error> {
    let mut found = Vec::new();
    for keys in keys.chunks(512) {
        let places = write::placeholders(keys.len());
        let sql = format!(
            "SELECT key, value FROM {} WHERE key IN ({places})",
            table.name()
        );
        let mut query = sqlx::query_as(AssertSqlSafe(sql));
        for key in keys {
            query = query.bind(key.as_str());
        }
        let rows: Vec<(String, Vec<u8>)> = query.fetch_all(&mut *connection).await?;
        found.extend(rows.into_iter().map(|(key, value)| SideRow { key, value }));
    }
    Ok(found)
}

fn event(row: &SqliteRow) -> Result<RecordedEvent, sqlx::Error> {
    Ok(RecordedEvent {
        position: unsigned(row, 0)?,
        stream: row.try_get_unchecked(1)?,
        revision: unsigned(row, 2)?,
        id: row.try_get_unchecked::<Uuid, _>(3)?,
        event_type: row.try_get_unchecked(4)?,
        data: row.try_get_unchecked(5)?,
        meta: row.try_get_unchecked(6)?,
        codec: row.try_get_unchecked(7)?,
        recorded_at: row.try_get_unchecked(8)?,
        leaf_hash: bytes32(row, 9)?,
    })
}

/// A number that is never negative.
pub(crate) fn unsigned(row: &SqliteRow, column: usize) -> Result<u64, sqlx::Error> {
    let number: i64 = row.try_get_unchecked(column)?;
    u64::try_from(number).map_err(|error| sqlx::Error::ColumnDecode {
        index: column.to_string(),
        source: error.into(),
    })
}

/// A hash.
pub(crate) fn bytes32(row: &SqliteRow, column: usize) -> Result<[u8; 32], sqlx::Error> {
    let bytes: &[u8] = row.try_get_unchecked(column)?;
    bytes.try_into().map_err(|_| sqlx::Error::ColumnDecode {
        index: column.to_string(),
        source: "a hash has 32 bytes".into(),
    })
}
