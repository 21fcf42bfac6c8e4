//! Many events in one row, for replay: what a row costs on its way through the driver is paid once
//! for hundreds of events.

use sqlx::postgres::PgConnection;
use uuid::Uuid;

use crate::event::RecordedEvent;
use crate::packing::{Cursor, broken};
use crate::postgres::read::signed;

const SQL: &str = "SELECT string_agg( \
    int8send(position) || int8send(revision) || int8send(recorded_at) || int2send(codec) || uuid_send(id) || leaf_hash \
    || int4send(octet_length(stream)) || int4send(octet_length(type)) || int4send(octet_length(data)) || int4send(octet_length(meta)) \
    || convert_to(stream, 'UTF8') || convert_to(type, 'UTF8') || data || meta, ''::bytea ORDER BY position) \
    FROM (SELECT * FROM event WHERE position > $1 ORDER BY position LIMIT $2) AS page";

/// At most `limit` events after a position.
pub(crate) async fn after(
    connection: &mut PgConnection,
    position: u64,
    limit: usize,
) -> Result<Vec<RecordedEvent>, sqlx::Error> {
    let packed: Option<Vec<u8>> = sqlx::query_scalar(SQL)
        .bind(signed(position))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_one(connection)
        .await?;
    let packed = packed.unwrap_or_default();
    let mut cursor = Cursor(&packed);
    let mut events = Vec::with_capacity(limit.min(8192));
    while !cursor.0.is_empty() {
        let position = i64::from_be_bytes(cursor.array()?);
        let revision = i64::from_be_bytes(cursor.array()?);
        let recorded_at = i64::from_be_bytes(cursor.array()?);
        let codec = i16::from_be_bytes(cursor.array()?);
        let id = Uuid::from_bytes(cursor.array()?);
        let leaf_hash = cursor.array()?;
        let [stream, event_type, data, meta] = [
            cursor.length()?,
            cursor.length()?,
            cursor.length()?,
            cursor.length()?,
        ];
        events.push(RecordedEvent {
            position: u64::try_from(position).map_err(|_| broken())?,
            stream: cursor.text(stream)?,
            revision: u64::try_from(revision).map_err(|_| broken())?,
            id,
            event_type: cursor.text(event_type)?,
            data: cursor.bytes(data)?.to_vec(),
            meta: cursor.bytes(meta)?.to_vec(),
            codec,
            recorded_at,
            leaf_hash,
        });
    }
    Ok(events)
}
