//! Many events as `COPY` sends them, for replay: what a row costs on its way through the driver is the most of it, and this
//! way there are no rows. (Packing many events in one row costs the server more than that.)
//!
//! The binary form of `COPY` is described in PostgreSQL's manual, "File Formats" of the page on `COPY`: a signature with a
//! header, then the rows, each the number of its fields and then each field with its length before it, then the number -1.
//! Where the parts that arrive are cut is the server's choice.

use futures_util::{TryStream, TryStreamExt};
use sqlx::ConnectOptions;

use crate::error::StoreError;
use crate::postgres::Postgres;
use crate::replay::{FoldPage, Give};
use crate::store::EventStore;

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// The number of fields of a row.
const FIELDS: i16 = 8;

/// Positions of one statement: few enough that it ends well within the time a statement may take.
const STRETCH: u64 = 65_536;

/// Gives on what a fold takes of the events after a position and up to another, page by page.
pub(crate) async fn read_all(
    store: &EventStore,
    postgres: &Postgres,
    after: u64,
    until: u64,
    give: &Give<FoldPage>,
) -> Result<(), StoreError> {
    store.inner.check_usable()?;
    let deadline = postgres.deadline;
    // One of its own: a connection on which a copy was cut off is of no use any more.
    let mut connection = deadline.wait(postgres.connect.connect()).await?;
    let mut after = after;
    while after < until {
        let last = until.min(after.saturating_add(STRETCH));
        // A `COPY` takes no parameters; these are numbers.
        let statement = format!(
            "COPY (SELECT position, codec, recorded_at, leaf_hash, stream, type, data, meta FROM event \
             WHERE position > {after} AND position <= {last} ORDER BY position) TO STDOUT (FORMAT binary)"
        );
        let mut copying = deadline.wait(connection.copy_out_raw(&statement)).await?;
        let mut copied = Copied::after(after);
        while after < last {
            let (page, reached) = deadline.bound(copied.page_of(&mut copying)).await?;
            store.inner.check_usable()?;
            after = reached;
            if give.send(Ok((page, reached))).await.is_err() {
                return Ok(());
            }
        }
        deadline.bound(copied.end_of(&mut copying)).await?;
    }
    Ok(())
}

/// The parts of a copy as they arrive.
trait Parts: TryStream<Ok: AsRef<[u8]>, Error = sqlx::Error> + Unpin {}

impl<S: TryStream<Ok: AsRef<[u8]>, Error = sqlx::Error> + Unpin> Parts for S {}

/// A copy on its way.
struct Copied {
    page: FoldPage,
    at: Place,
    /// What has arrived of something that is not whole.
    begun: Vec<u8>,
}

/// What comes next.
#[derive(PartialEq, Eq)]
enum Place {
    Header,
    Row,
    Nothing,
}

/// Why something could not be read.
enum Unread {
    /// The rest of it has not arrived.
    Short,
    /// It does not add up.
    Broken(StoreError),
}

impl Copied {
    fn after(after: u64) -> Self {
        Self {
            page: FoldPage::after(after),
            at: Place::Header,
            begun: Vec::new(),
        }
    }

    /// The next page, with the position of its last event.
    async fn page_of(&mut self, parts: &mut impl Parts) -> Result<(FoldPage, u64), StoreError> {
        while !self.page.is_full()
            && self.at != Place::Nothing
            && let Some(part) = parts.try_next().await?
        {
            self.take_in(part.as_ref())?;
        }
        self.turn()
    }

    /// Nothing more may come but the end.
    async fn end_of(&mut self, parts: &mut impl Parts) -> Result<(), StoreError> {
        while let Some(part) = parts.try_next().await? {
            self.take_in(part.as_ref())?;
        }
        self.check_end()
    }

    /// Takes a part in as it arrived.
    fn take_in(&mut self, part: &[u8]) -> Result<(), StoreError> {
        if self.begun.is_empty() {
            let left = self.read(part)?;
            self.begun.extend_from_slice(left);
        } else {
            let mut begun = std::mem::take(&mut self.begun);
            begun.extend_from_slice(part);
            let left = self.read(&begun)?.len();
            begun.drain(..begun.len() - left);
            self.begun = begun;
        }
        Ok(())
    }

    /// Reads what is whole of `bytes`; gives what is left.
    fn read<'a>(&mut self, mut bytes: &'a [u8]) -> Result<&'a [u8], StoreError> {
        while !bytes.is_empty() {
            let mut rest = Rest(bytes);
            match self.read_next(&mut rest) {
                Ok(()) => bytes = rest.0,
                Err(Unread::Short) => break,
                Err(Unread::Broken(error)) => return Err(error),
            }
        }
        Ok(bytes)
    }

    fn read_next(&mut self, rest: &mut Rest<'_>) -> Result<(), Unread> {
        match self.at {
            Place::Header => {
                if rest.take(SIGNATURE.len())? != SIGNATURE {
                    return Err(broken());
                }
                let _flags: [u8; 4] = rest.array()?;
                rest.field()?;
                self.at = Place::Row;
            }
            Place::Row => match i16::from_be_bytes(rest.array()?) {
                FIELDS => self.read_row(rest)?,
                -1 => self.at = Place::Nothing,
                _ => return Err(broken()),
            },
            Place::Nothing => return Err(broken()),
        }
        Ok(())
    }

    fn read_row(&mut self, rest: &mut Rest<'_>) -> Result<(), Unread> {
        let position = i64::from_be_bytes(rest.field_array()?);
        let codec = i16::from_be_bytes(rest.field_array()?);
        let recorded_at = i64::from_be_bytes(rest.field_array()?);
        let leaf_hash = rest.field_array()?;
        let parts = [rest.field()?, rest.field()?, rest.field()?, rest.field()?];
        let position = u64::try_from(position).map_err(|_| broken())?;
        self.page
            .push(position, codec, recorded_at, leaf_hash, parts)
            .map_err(Unread::Broken)
    }

    /// The page as far as it came, with the position of its last event; the next one begins after it.
    fn turn(&mut self) -> Result<(FoldPage, u64), StoreError> {
        let (page, last) = std::mem::replace(&mut self.page, FoldPage::after(0)).whole()?;
        self.page = FoldPage::after(last);
        Ok((page, last))
    }

    /// Whether all has arrived.
    fn check_end(&self) -> Result<(), StoreError> {
        if self.at == Place::Nothing {
            Ok(())
        } else {
            Err(damaged())
        }
    }
}

/// What is left of a part.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Unread> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Unread::Short)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unread> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Unread::Short)?;
        self.0 = rest;
        Ok(*bytes)
    }

    /// A field behind its length; that of a field without a value is negative, and no field of an event is without.
    fn field(&mut self) -> Result<&'a [u8], Unread> {
        let length = usize::try_from(i32::from_be_bytes(self.array()?)).map_err(|_| broken())?;
        self.take(length)
    }

    fn field_array<const N: usize>(&mut self) -> Result<[u8; N], Unread> {
        self.field()?.try_into().map_err(|_| broken())
    }
}

fn broken() -> Unread {
    Unread::Broken(damaged())
}

fn damaged() -> StoreError {
    StoreError::Damaged("a copy of events does not add up".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::FoldEvent;

    fn field(copy: &mut Vec<u8>, bytes: &[u8]) {
        copy.extend(i32::try_from(bytes.len()).expect("short").to_be_bytes());
        copy.extend(bytes);
    }

    /// A copy of two events after position 6.
    fn whole() -> Vec<u8> {
        let mut copy = SIGNATURE.to_vec();
        copy.extend([0; 4]);
        field(&mut copy, b"later");
        for position in [7_i64, 8] {
            copy.extend(FIELDS.to_be_bytes());
            field(&mut copy, &position.to_be_bytes());
            field(&mut copy, &0_i16.to_be_bytes());
            field(&mut copy, &(-5_i64).to_be_bytes());
            field(&mut copy, &[2; 32]);
            for bytes in [&b"s1"[..], b"T", b"\0\xff", b"{}"] {
                field(&mut copy, bytes);
            }
        }
        copy.extend((-1_i16).to_be_bytes());
        copy
    }

    /// Reads a copy that arrives in parts of `length` bytes.
    fn read(copy: &[u8], length: usize) -> Result<FoldPage, StoreError> {
        let mut copied = Copied::after(6);
        for part in copy.chunks(length) {
            copied.take_in(part)?;
        }
        copied.check_end()?;
        Ok(copied.turn()?.0)
    }

    #[test]
    fn a_copy_is_read_however_it_is_cut() {
        let copy = whole();
        for length in 1..=copy.len() {
            let page = read(&copy, length).expect("whole");
            let events: Vec<FoldEvent<'_>> =
                page.events().collect::<Result<_, _>>().expect("texts");
            let expected = [7, 8].map(|position| FoldEvent {
                position,
                stream: "s1",
                event_type: "T",
                data: b"\0\xff",
                meta: b"{}",
                codec: 0,
                recorded_at: -5,
                leaf_hash: [2; 32],
            });
            assert_eq!(events, expected, "in parts of {length}");
        }
    }

    #[test]
    fn a_copy_that_does_not_add_up_is_refused() {
        let copy = whole();
        for length in 0..copy.len() {
            assert!(read(&copy[..length], 16).is_err(), "cut to {length}");
        }
        let mut longer = copy.clone();
        longer.push(0);
        assert!(read(&longer, 16).is_err(), "something behind the end");
        // The first field without a value, with too many bytes, of another position, and a row of another number of fields.
        let first = SIGNATURE.len() + 4 + 4 + 5;
        for (at, byte) in [
            (first + 2, 0xff),
            (first + 5, 9),
            (first + 13, 9),
            (first + 1, 6),
        ] {
            let mut damaged = copy.clone();
            damaged[at] = byte;
            assert!(read(&damaged, 16).is_err(), "{byte} at {at}");
        }
    }
}
