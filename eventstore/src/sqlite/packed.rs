//! Many events in one row, for replay: what a row costs on its way through the driver is paid once
//! for thousands of events, which is more than twice as fast as rows. (PostgreSQL is not: there
//! packing costs the server more than rows cost the driver.)
//!
//! `||`, `concat_ws` and `group_concat` join the raw bytes of blobs, zero bytes and all, as SQLite
//! 3.51 (which is part of this program) does it and a test holds it to; `CAST` gives the bytes back.
//! The lengths stand before each event, and must account for every byte.

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

use crate::event::RecordedEvent;
use crate::sqlite::write::signed;

/// Each event is eight numbers, each followed by a space, and then its bytes without separators.
const SQL: &str = "SELECT CAST(group_concat(concat_ws(' ', \
    position, revision, octet_length(stream), octet_length(type), length(data), length(meta), codec, recorded_at, \
    id || leaf_hash || stream || type || data || meta), '') AS BLOB) \
    FROM event WHERE position > ? AND position <= ?";

/// At most `limit` events after a position: those of the next `limit` positions, which are all there
/// in a whole log. A scan of the primary key gives them in order.
pub(crate) async fn after(
    connection: &mut SqliteConnection,
    position: u64,
    limit: usize,
) -> Result<Vec<RecordedEvent>, sqlx::Error> {
    let row = sqlx::query(SQL)
        .bind(signed(position))
        .bind(signed(position.saturating_add(limit as u64)))
        .fetch_one(connection)
        .await?;
    let packed: Option<&[u8]> = row.try_get_unchecked(0)?;
    let mut packed = Packed(packed.unwrap_or_default());
    let mut events: Vec<RecordedEvent> = Vec::with_capacity(limit.min(8192));
    while !packed.0.is_empty() {
        let event = packed.event()?;
        if events
            .last()
            .is_some_and(|before| before.position >= event.position)
        {
            return Err(broken());
        }
        events.push(event);
    }
    Ok(events)
}

/// What is left of a packed row.
struct Packed<'a>(&'a [u8]);

impl<'a> Packed<'a> {
    fn event(&mut self) -> Result<RecordedEvent, sqlx::Error> {
        let position = self.number()?;
        let revision = self.number()?;
        let [stream, event_type, data, meta] = [
            self.number()?,
            self.number()?,
            self.number()?,
            self.number()?,
        ];
        let codec = self.number()?;
        let recorded_at = self.number()?;
        Ok(RecordedEvent {
            position,
            revision,
            codec,
            recorded_at,
            id: Uuid::from_bytes(self.array()?),
            leaf_hash: self.array()?,
            stream: self.text(stream)?,
            event_type: self.text(event_type)?,
            data: self.bytes(data)?.to_vec(),
            meta: self.bytes(meta)?.to_vec(),
        })
    }

    fn number<T: std::str::FromStr>(&mut self) -> Result<T, sqlx::Error> {
        let end = self
            .0
            .iter()
            .position(|byte| *byte == b' ')
            .ok_or_else(broken)?;
        let digits = str::from_utf8(self.bytes(end)?).map_err(|_| broken())?;
        self.bytes(1)?;
        digits.parse().map_err(|_| broken())
    }

    fn bytes(&mut self, length: usize) -> Result<&'a [u8], sqlx::Error> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or_else(broken)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], sqlx::Error> {
        self.bytes(N)?.try_into().map_err(|_| broken())
    }

    fn text(&mut self, length: usize) -> Result<String, sqlx::Error> {
        Ok(str::from_utf8(self.bytes(length)?)
            .map_err(|_| broken())?
            .to_owned())
    }
}

/// A packed row does not add up.
fn broken() -> sqlx::Error {
    sqlx::Error::Decode("a packed row of events does not add up".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_row_that_does_not_add_up_is_refused() {
        let mut whole = b"7 3 2 1 2 0 0 -5 ".to_vec();
        whole.extend([1; 16]);
        whole.extend([2; 32]);
        whole.extend(b"s1T\0\xff");
        let event = Packed(&whole).event().expect("whole");
        assert_eq!(
            (event.position, event.revision, event.recorded_at),
            (7, 3, -5)
        );
        assert_eq!(
            (
                event.stream.as_str(),
                event.event_type.as_str(),
                &event.data[..]
            ),
            ("s1", "T", &b"\0\xff"[..])
        );
        for length in 0..whole.len() {
            assert!(Packed(&whole[..length]).event().is_err(), "cut to {length}");
        }
        assert!(Packed(b"x 3 2 1 2 0 0 5 ").event().is_err());
    }
}
