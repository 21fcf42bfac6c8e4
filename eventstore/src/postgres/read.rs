//! Reading events from PostgreSQL.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row};

use crate::event::{Direction, Head, RecordedEvent, Selection};
use crate::postgres::write;
use crate::side::{SideRow, SideTable};

const COLUMNS: &str =
    "position, stream, revision, id, type, data, meta, codec, recorded_at, leaf_hash";

/// The head of the log.
pub(crate) async fn head(connection: &mut PgConnection) -> Result<Head, sqlx::Error> {
    let row = sqlx::query("SELECT position, tail_hash, epoch, min_reader FROM log_head")
        .fetch_one(connection)
        .await?;
    write::head(&row)
}

/// Events of a selection from a position (of a stream: from a revision), inclusive.
pub(crate) async fn select(
    connection: &mut PgConnection,
    selection: &Selection,
    from: u64,
    direction: Direction,
    limit: usize,
) -> Result<Vec<RecordedEvent>, sqlx::Error> {
    let (condition, value, order) = match selection {
        Selection::All => ("", None, "position"),
        Selection::Stream(stream) => ("stream = $3 AND ", Some(stream), "revision"),
        Selection::Category(category) => (
            "split_part(stream, '-', 1) = $3 AND ",
            Some(category),
            "position",
        ),
        Selection::EventType(event_type) => ("type = $3 AND ", Some(event_type), "position"),
    };
    let (compare, way) = match direction {
        Direction::Forward => (">=", "ASC"),
        Direction::Backward => ("<=", "DESC"),
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM event WHERE {condition}{order} {compare} $1 ORDER BY {order} {way} LIMIT $2"
    );
    let mut query = sqlx::query(AssertSqlSafe(sql))
        .bind(signed(from))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX));
    if let Some(value) = value {
        query = query.bind(value.as_str());
    }
    let rows = query.fetch_all(connection).await?;
    rows.iter().map(event).collect()
}

/// Events of everything after a position.
pub(crate) async fn after(
    connection: &mut PgConnection,
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
    connection: &mut PgConnection,
    stream: &str,
    position: u64,
) -> Result<Option<u64>, sqlx::Error> {
    let sql =
        "SELECT revision FROM event WHERE stream = $1 AND position > $2 ORDER BY revision LIMIT 1";
    let row = sqlx::query(sql)
        .bind(stream)
        .bind(signed(position))
        .fetch_optional(connection)
        .await?;
    row.map(|row| unsigned(&row, 0)).transpose()
}

/// The events at some positions, in any order.
pub(crate) async fn at_positions(
    connection: &mut PgConnection,
    positions: &[u64],
) -> Result<Vec<RecordedEvent>, sqlx::Error> {
    let sql = format!("SELECT {COLUMNS} FROM event WHERE position = ANY($1)");
    let positions: Vec<i64> = positions.iter().map(|position| signed(*position)).collect();
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(positions)
        .fetch_all(connection)
        .await?;
    rows.iter().map(event).collect()
}

/// The rows of those keys that have one, in any order.
pub(crate) async fn side_rows_of(
    connection: &mut PgConnection,
    table: SideTable,
    keys: &[String],
) -> Result<Vec<SideRow>, sqlx::Error> {
    let sql = format!(
        "SELECT key, value FROM {} WHERE key = ANY($1)",
        table.name()
    );
    let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(AssertSqlSafe(sql))
        .bind(keys)
        .fetch_all(connection)
        .await?;
    Ok(rows
        .into_iter()
        .map(|(key, value)| SideRow { key, value })
        .collect())
}

fn event(row: &PgRow) -> Result<RecordedEvent, sqlx::Error> {
    Ok(RecordedEvent {
        position: unsigned(row, 0)?,
        stream: row.try_get_unchecked(1)?,
        revision: unsigned(row, 2)?,
        id: row.try_get_unchecked(3)?,
        event_type: row.try_get_unchecked(4)?,
        data: row.try_get_unchecked(5)?,
        meta: row.try_get_unchecked(6)?,
        codec: row.try_get_unchecked(7)?,
        recorded_at: row.try_get_unchecked(8)?,
        leaf_hash: bytes32(row, 9)?,
    })
}

/// A number that is never negative.
pub(crate) fn unsigned(row: &PgRow, column: usize) -> Result<u64, sqlx::Error> {
    let number: i64 = row.try_get_unchecked(column)?;
    u64::try_from(number).map_err(|error| sqlx::Error::ColumnDecode {
        index: column.to_string(),
        source: error.into(),
    })
}

/// A hash.
pub(crate) fn bytes32(row: &PgRow, column: usize) -> Result<[u8; 32], sqlx::Error> {
    // Owned: a simple query, as the one that takes the head, sends bytes as text.
    let bytes: Vec<u8> = row.try_get_unchecked(column)?;
    hash_of(&bytes, column)
}

fn hash_of(bytes: &[u8], column: usize) -> Result<[u8; 32], sqlx::Error> {
    bytes.try_into().map_err(|_| sqlx::Error::ColumnDecode {
        index: column.to_string(),
        source: "a hash has 32 bytes".into(),
    })
}

/// Positions and revisions are far below 2^63.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
