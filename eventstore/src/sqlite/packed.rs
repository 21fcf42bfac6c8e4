//! Many events in one row, for replay: what a row costs on its way through the driver is paid once
//! for thousands of events, which is more than twice as fast as rows. (PostgreSQL is not: there
//! packing costs the server more than rows cost the driver.)
//!
//! `||`, `concat`, `concat_ws` and `group_concat` join the raw bytes of blobs, zero bytes and all, as SQLite
//! 3.51 (which is part of this program) does it and a test holds it to; `CAST` gives the bytes back.
//! The lengths stand before each event, and must account for every byte.

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use uuid::Uuid;

use crate::event::RecordedEvent;
use crate::replay::FoldEvent;
use crate::sqlite::write::signed;

/// Each event is eight numbers, each followed by a space, and then its bytes without separators.
const SQL: &str = "SELECT CAST(group_concat(concat_ws(' ', \
    position, revision, octet_length(stream), octet_length(type), length(data), length(meta), codec, recorded_at, \
    id || leaf_hash || stream || type || data || meta), '') AS BLOB) \
    FROM event WHERE position > ? AND position <= ?";

/// The same of what a fold takes, with six numbers. One call joins all: each `||` would copy what it has so far.
const FOLD_SQL: &str = "SELECT CAST(group_concat(concat( \
    position, ' ', octet_length(stream), ' ', octet_length(type), ' ', length(data), ' ', codec, ' ', recorded_at, ' ', \
    leaf_hash, stream, type, data), '') AS BLOB) \
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

/// The same for a fold, not taken apart: [`FoldEvents`] does that.
pub(crate) async fn row_after(
    connection: &mut SqliteConnection,
    position: u64,
    until: u64,
) -> Result<SqliteRow, sqlx::Error> {
    sqlx::query(FOLD_SQL)
        .bind(signed(position))
        .bind(signed(until))
        .fetch_one(connection)
        .await
}

/// What a packed row holds; nothing where there were no events.
pub(crate) fn packed(row: &SqliteRow) -> Result<&[u8], sqlx::Error> {
    let packed: Option<&[u8]> = row.try_get_unchecked(0)?;
    Ok(packed.unwrap_or_default())
}

/// What is left of a row of [`row_after`].
pub(crate) struct FoldEvents<'a>(pub(crate) &'a [u8]);

impl<'a> FoldEvents<'a> {
    pub(crate) fn next(&mut self) -> Result<Option<FoldEvent<'a>>, sqlx::Error> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let mut packed = Packed(self.0);
        let position = packed.number()?;
        let [stream, event_type, data] = [packed.number()?, packed.number()?, packed.number()?];
        let event = FoldEvent {
            position,
            codec: packed.number()?,
            recorded_at: packed.number()?,
            leaf_hash: packed.array()?,
            stream: packed.text(stream)?,
            event_type: packed.text(event_type)?,
            data: packed.bytes(data)?,
        };
        self.0 = packed.0;
        Ok(Some(event))
    }
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
            stream: self.text(stream)?.to_owned(),
            event_type: self.text(event_type)?.to_owned(),
            data: self.bytes(data)?.to_vec(),
            meta: self.bytes(meta)?.to_vec(),
        })
    }

    /// A number and the space behind it. This is run several times an event: by hand it takes a third of the time.
    fn number<T: TryFrom<i64>>(&mut self) -> Result<T, sqlx::Error> {
        let negative = self.0.first() == Some(&b'-');
        let first = usize::from(negative);
        let mut number = 0_i64;
        for (index, byte) in self.0.iter().enumerate().skip(first) {
            let digit = match byte {
                b'0'..=b'9' => i64::from(byte - b'0'),
                b' ' if index > first => {
                    self.0 = &self.0[index + 1..];
                    let number = if negative { -number } else { number };
                    return T::try_from(number).map_err(|_| broken());
                }
                _ => break,
            };
            number = number
                .checked_mul(10)
                .and_then(|tens| tens.checked_add(digit))
                .ok_or_else(broken)?;
        }
        Err(broken())
    }

    fn bytes(&mut self, length: usize) -> Result<&'a [u8], sqlx::Error> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or_else(broken)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], sqlx::Error> {
        self.bytes(N)?.try_into().map_err(|_| broken())
    }

    fn text(&mut self, length: usize) -> Result<&'a str, sqlx::Error> {
        str::from_utf8(self.bytes(length)?).map_err(|_| broken())
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
        // what stands where the position should
        for number in ["x", "", "-", "1x", "--1", "-1", "9223372036854775808"] {
            let row = format!("{number} 3 0 0 0 0 0 5 {}", "i".repeat(48));
            assert!(Packed(row.as_bytes()).event().is_err(), "{number:?}");
        }
    }

    #[test]
    fn a_packed_row_for_a_fold_that_does_not_add_up_is_refused() {
        let mut whole = b"7 2 1 2 0 -5 ".to_vec();
        whole.extend([2; 32]);
        whole.extend(b"s1T\0\xff");
        let event = FoldEvents(&whole).next().expect("whole").expect("there");
        let expected = FoldEvent {
            position: 7,
            stream: "s1",
            event_type: "T",
            data: b"\0\xff",
            codec: 0,
            recorded_at: -5,
            leaf_hash: [2; 32],
        };
        assert_eq!(event, expected);
        for length in 1..whole.len() {
            let cut = FoldEvents(&whole[..length]).next();
            assert!(cut.is_err(), "cut to {length}");
        }
    }
}
