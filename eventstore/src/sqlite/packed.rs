//! Many events in one row, for replay: what a row costs on its way through the driver is paid once
//! for hundreds of events.
//!
//! `group_concat` joins the raw bytes of blobs, zero bytes and all, as SQLite 3.51 (which is part of
//! this program) does it and a test holds it to; `CAST` gives the bytes back. The lengths come
//! beside, and must account for every byte.

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

use crate::event::RecordedEvent;
use crate::packing::{Cursor, broken};
use crate::sqlite::write::signed;

const SQL: &str = "SELECT \
    group_concat(concat_ws(' ', position, revision, octet_length(stream), octet_length(type), length(data), length(meta), codec, recorded_at), ' '), \
    CAST(group_concat(stream, '') AS BLOB), \
    CAST(group_concat(type, '') AS BLOB), \
    CAST(group_concat(id, '') AS BLOB), \
    CAST(group_concat(leaf_hash, '') AS BLOB), \
    CAST(group_concat(data, '') AS BLOB), \
    CAST(group_concat(meta, '') AS BLOB) \
    FROM (SELECT * FROM event WHERE position > ? ORDER BY position LIMIT ?)";

/// At most `limit` events after a position.
pub(crate) async fn after(
    connection: &mut SqliteConnection,
    position: u64,
    limit: usize,
) -> Result<Vec<RecordedEvent>, sqlx::Error> {
    let row = sqlx::query(SQL)
        .bind(signed(position))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_one(connection)
        .await?;
    let Some(numbers) = row.try_get_unchecked::<Option<&str>, _>(0)? else {
        return Ok(Vec::new());
    };
    let mut numbers = numbers.split(' ');
    let mut next = || {
        numbers
            .next()
            .map(|number| number.parse::<i64>().map_err(|_| broken()))
            .transpose()
    };
    let mut streams = Cursor(row.try_get_unchecked(1)?);
    let mut types = Cursor(row.try_get_unchecked(2)?);
    let mut ids = Cursor(row.try_get_unchecked(3)?);
    let mut leaf_hashes = Cursor(row.try_get_unchecked(4)?);
    let mut data = Cursor(row.try_get_unchecked(5)?);
    let mut meta = Cursor(row.try_get_unchecked(6)?);

    let mut events = Vec::with_capacity(limit.min(8192));
    while let Some(position) = next()? {
        let mut number = || next()?.ok_or_else(broken);
        let revision = number()?;
        let lengths = [number()?, number()?, number()?, number()?];
        let [stream, event_type, data_bytes, meta_bytes] =
            lengths.map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        events.push(RecordedEvent {
            position: u64::try_from(position).map_err(|_| broken())?,
            stream: streams.text(stream)?,
            revision: u64::try_from(revision).map_err(|_| broken())?,
            id: Uuid::from_bytes(ids.array()?),
            event_type: types.text(event_type)?,
            data: data.bytes(data_bytes)?.to_vec(),
            meta: meta.bytes(meta_bytes)?.to_vec(),
            codec: i16::try_from(number()?).map_err(|_| broken())?,
            recorded_at: number()?,
            leaf_hash: leaf_hashes.array()?,
        });
    }
    let left = [&streams, &types, &ids, &leaf_hashes, &data, &meta]
        .iter()
        .any(|cursor| !cursor.0.is_empty());
    if left { Err(broken()) } else { Ok(events) }
}
