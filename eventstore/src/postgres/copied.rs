//! Many events as `COPY` sends them, for replay: what a row costs on its way through the driver is the most of it, and this
//! way there are no rows. (Packing many events in one row, as SQLite does it, costs the server more than that.)
//!
//! The binary form of `COPY` is described in PostgreSQL's manual, "File Formats" of the page on `COPY`: a signature with a
//! header, then the rows, each the number of its fields and then each field with its length before it, then the number -1.

use futures_util::TryStreamExt;
use sqlx::postgres::PgConnection;

use crate::replay::FoldEvent;

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// The number of fields of a row of [`page_after`].
const FIELDS: i16 = 7;

/// What a fold takes of the events after a position and up to another, as the server copied it. If this is cut off, the
/// connection is of no use any more.
pub(crate) async fn page_after(
    connection: &mut PgConnection,
    after: u64,
    last: u64,
) -> Result<Vec<u8>, sqlx::Error> {
    // A `COPY` takes no parameters; these are numbers.
    let statement = format!(
        "COPY (SELECT position, codec, recorded_at, leaf_hash, stream, type, data FROM event \
         WHERE position > {after} AND position <= {last} ORDER BY position) TO STDOUT (FORMAT binary)"
    );
    let copying = connection.copy_out_raw(&statement).await?;
    copying
        .try_fold(Vec::new(), |mut page, part| async move {
            page.extend_from_slice(&part);
            Ok(page)
        })
        .await
}

/// What is left of a page of [`page_after`].
pub(crate) struct CopiedEvents<'a>(&'a [u8]);

impl<'a> CopiedEvents<'a> {
    /// The events of a page.
    pub(crate) fn of(page: &'a [u8]) -> Result<Self, sqlx::Error> {
        let rest = page.strip_prefix(SIGNATURE).ok_or_else(broken)?;
        let mut events = Self(rest);
        let _flags: i32 = events.number()?;
        let extension = events.length()?;
        events.take(extension)?;
        Ok(events)
    }

    /// The next event; `None` where the end stands, and there must be one.
    pub(crate) fn next(&mut self) -> Result<Option<FoldEvent<'a>>, sqlx::Error> {
        match self.number::<i16, 2>()? {
            FIELDS => self.event().map(Some),
            -1 if self.0.is_empty() => {
                // Whoever asks again finds the end again.
                self.0 = &[0xff; 2];
                Ok(None)
            }
            _ => Err(broken()),
        }
    }

    fn event(&mut self) -> Result<FoldEvent<'a>, sqlx::Error> {
        let position: i64 = self.field_number()?;
        Ok(FoldEvent {
            position: u64::try_from(position).map_err(|_| broken())?,
            codec: self.field_number()?,
            recorded_at: self.field_number()?,
            leaf_hash: self.field()?.try_into().map_err(|_| broken())?,
            stream: self.text()?,
            event_type: self.text()?,
            data: self.field()?,
        })
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], sqlx::Error> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or_else(broken)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// A number where it stands.
    fn number<T: FromBigEndian<N>, const N: usize>(&mut self) -> Result<T, sqlx::Error> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or_else(broken)?;
        self.0 = rest;
        Ok(T::from_big_endian(*bytes))
    }

    /// A length; that of a field without a value is none, and no field of an event is without.
    fn length(&mut self) -> Result<usize, sqlx::Error> {
        usize::try_from(self.number::<i32, 4>()?).map_err(|_| broken())
    }

    fn field(&mut self) -> Result<&'a [u8], sqlx::Error> {
        let length = self.length()?;
        self.take(length)
    }

    fn field_number<T: FromBigEndian<N>, const N: usize>(&mut self) -> Result<T, sqlx::Error> {
        let bytes = self.field()?.try_into().map_err(|_| broken())?;
        Ok(T::from_big_endian(bytes))
    }

    fn text(&mut self) -> Result<&'a str, sqlx::Error> {
        str::from_utf8(self.field()?).map_err(|_| broken())
    }
}

/// A number as PostgreSQL sends it.
trait FromBigEndian<const N: usize> {
    fn from_big_endian(bytes: [u8; N]) -> Self;
}

impl FromBigEndian<2> for i16 {
    fn from_big_endian(bytes: [u8; 2]) -> Self {
        Self::from_be_bytes(bytes)
    }
}

impl FromBigEndian<4> for i32 {
    fn from_big_endian(bytes: [u8; 4]) -> Self {
        Self::from_be_bytes(bytes)
    }
}

impl FromBigEndian<8> for i64 {
    fn from_big_endian(bytes: [u8; 8]) -> Self {
        Self::from_be_bytes(bytes)
    }
}

/// A page does not add up.
fn broken() -> sqlx::Error {
    sqlx::Error::Decode("a copied page of events does not add up".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(page: &mut Vec<u8>, bytes: &[u8]) {
        page.extend(i32::try_from(bytes.len()).expect("short").to_be_bytes());
        page.extend(bytes);
    }

    /// A page with one event.
    fn whole() -> Vec<u8> {
        let mut page = SIGNATURE.to_vec();
        page.extend([0; 4]);
        field(&mut page, b"later");
        page.extend(FIELDS.to_be_bytes());
        field(&mut page, &7_i64.to_be_bytes());
        field(&mut page, &0_i16.to_be_bytes());
        field(&mut page, &(-5_i64).to_be_bytes());
        field(&mut page, &[2; 32]);
        for bytes in [&b"s1"[..], b"T", b"\0\xff"] {
            field(&mut page, bytes);
        }
        page.extend((-1_i16).to_be_bytes());
        page
    }

    fn read(page: &[u8]) -> Result<usize, sqlx::Error> {
        let mut events = CopiedEvents::of(page)?;
        let mut count = 0;
        while events.next()?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    #[test]
    fn a_page_is_read_as_it_was_sent() {
        let page = whole();
        let mut events = CopiedEvents::of(&page).expect("whole");
        let expected = FoldEvent {
            position: 7,
            stream: "s1",
            event_type: "T",
            data: b"\0\xff",
            codec: 0,
            recorded_at: -5,
            leaf_hash: [2; 32],
        };
        assert_eq!(events.next().expect("whole"), Some(expected));
        assert_eq!(events.next().expect("whole"), None);
        assert_eq!(events.next().expect("still at its end"), None);
    }

    #[test]
    fn a_page_that_does_not_add_up_is_refused() {
        let page = whole();
        assert_eq!(read(&page).expect("whole"), 1);
        for length in 0..page.len() {
            assert!(read(&page[..length]).is_err(), "cut to {length}");
        }
        let mut longer = page.clone();
        longer.push(0);
        assert!(read(&longer).is_err(), "something behind the end");
        // The first field without a value, with too many bytes, and a row of another number of fields.
        let first = SIGNATURE.len() + 4 + 4 + 5;
        for (at, byte) in [(first + 2, 0xff), (first + 5, 9), (first + 1, 6)] {
            let mut damaged = page.clone();
            damaged[at] = byte;
            assert!(read(&damaged).is_err(), "{byte} at {at}");
        }
    }
}
