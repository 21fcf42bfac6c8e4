//! Snapshots: the World of one position as rkyv buffers, so that a start reads it instead of the whole log. The views are
//! made of the World. Any change of what decides their bytes changes the fingerprint and throws them away: replay is the upgrade path.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::snapshot::{RowIndexes, Rows, RowsSnapshot, WorldSnapshot};
use domain::{Timestamp, World};
use eventstore::{SnapshotFile, SnapshotHeader, StoreError, Tail};
use rkyv::rancor;
use tokio::task::JoinError;

use crate::published::Published;

/// Which build wrote a snapshot; see `build.rs`.
pub const FINGERPRINT: [u8; 32] = include!(concat!(env!("OUT_DIR"), "/fingerprint.in"));

/// Rows of each large table in a section: few enough that all threads end at the same time.
const ROWS_A_SECTION: usize = 2_048;

/// Every section begins at a multiple of this, as the content does, which suits any type.
const ALIGNMENT: usize = 64;

/// What a snapshot holds besides the rows of the large tables.
#[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
struct Snapshot {
    recorded_at: Timestamp,
    world: WorldSnapshot,
}

/// A snapshot that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotWritten {
    /// Position of the last event folded.
    pub position: u64,
    /// The file.
    pub path: PathBuf,
    /// Size of what it holds. Unit: bytes.
    pub bytes: usize,
}

/// Why no snapshot was written.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The engine was set up without a place for snapshots.
    #[error("no directory for snapshots is set")]
    NoDirectory,
    /// Another one is being written.
    #[error("a snapshot is being written already")]
    Running,
    /// The World can't be put into bytes.
    #[error("the snapshot can't be made")]
    Encode(#[source] rancor::Error),
    /// The file can't be written.
    #[error("the snapshot can't be written")]
    File(#[from] StoreError),
    /// The thread that wrote it failed.
    #[error("the thread that wrote the snapshot failed")]
    Thread(#[from] JoinError),
}

/// Why a snapshot that is whole was not read.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("its sections do not add up")]
    Sections,
    #[error("{0}")]
    Rkyv(#[from] rancor::Error),
    #[error("a thread that read it failed")]
    Thread,
}

/// Writes a snapshot of `published`. Blocks.
pub(crate) fn write(
    directory: &Path,
    published: &Published,
) -> Result<SnapshotWritten, SnapshotError> {
    let Tail {
        position,
        tail_hash,
        epoch,
    } = published.tail;
    let bytes = encode(published).map_err(SnapshotError::Encode)?;
    let header = SnapshotHeader {
        position,
        epoch,
        tail_hash,
        fingerprint: FINGERPRINT,
    };
    let path = SnapshotFile::write(directory, &header, &bytes)?;
    Ok(SnapshotWritten {
        position,
        path,
        bytes: bytes.len(),
    })
}

/// The newest snapshot that is whole and of this build, if it may be one of a log with this epoch that ends at `position`.
/// Whether it is indeed one of this log, the chain of hashes tells when the rest was folded. Blocks.
pub(crate) fn read_newest(directory: &Path, epoch: i64, position: u64) -> Option<Published> {
    let (header, bytes) = SnapshotFile::read_newest(directory, &FINGERPRINT)?;
    if header.epoch != epoch || header.position > position {
        tracing::warn!(
            position = header.position,
            epoch = header.epoch,
            "the newest snapshot is of another log and is passed over"
        );
        return None;
    }
    match decode(&bytes) {
        Ok((recorded_at, world)) => Some(Published {
            world,
            tail: Tail {
                position: header.position,
                tail_hash: header.tail_hash,
                epoch,
            },
            recorded_at,
        }),
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the newest snapshot can't be read and is passed over"
            );
            None
        }
    }
}

// The content is sections, each an rkyv buffer of its own: first the rows of the large tables in parts, last the rest. Behind
// them the length of each section and their number, 8 bytes each, big-endian.

fn encode(published: &Published) -> Result<Vec<u8>, rancor::Error> {
    let mut world = WorldSnapshot::from(&published.world);
    let mut bytes = Vec::new();
    let mut lengths = Vec::new();
    let mut push = |section: &[u8]| {
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        bytes.extend_from_slice(section);
        lengths.push(section.len() as u64);
    };
    for rows in world.take_rows(ROWS_A_SECTION) {
        push(&rkyv::to_bytes::<rancor::Error>(&rows)?);
    }
    let rest = Snapshot {
        recorded_at: published.recorded_at,
        world,
    };
    push(&rkyv::to_bytes::<rancor::Error>(&rest)?);
    let count = lengths.len() as u64;
    for number in lengths.into_iter().chain([count]) {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    Ok(bytes)
}

fn decode(bytes: &[u8]) -> Result<(Timestamp, World), Unreadable> {
    let mut parts = sections(bytes).ok_or(Unreadable::Sections)?;
    let rest = parts.pop().ok_or(Unreadable::Sections)?;
    let rows = read_rows(&parts)?;
    let Snapshot { recorded_at, world } = rkyv::from_bytes::<_, rancor::Error>(rest)?;
    let world = std::thread::scope(|scope| {
        let indexes = scope.spawn(|| RowIndexes::of(&rows));
        let mut world = World::of_snapshot(world, &rows);
        world.put_row_indexes(indexes.join().map_err(|_| Unreadable::Thread)?);
        Ok::<World, Unreadable>(world)
    })?;
    Ok((recorded_at, world))
}

/// The sections that the numbers at the end say; `None` if these do not add up.
fn sections(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let (rest, count) = bytes.split_last_chunk::<8>()?;
    let count = usize::try_from(u64::from_be_bytes(*count)).ok()?;
    let numbers = rest.len().checked_sub(count.checked_mul(8)?)?;
    let (mut sections, lengths) = rest.split_at_checked(numbers)?;
    let mut found = Vec::with_capacity(count);
    let mut at = 0_usize;
    for length in lengths.chunks(8) {
        let length = usize::try_from(u64::from_be_bytes(length.try_into().ok()?)).ok()?;
        let gap = at.next_multiple_of(ALIGNMENT) - at;
        let (section, later) = sections.get(gap..)?.split_at_checked(length)?;
        found.push(section);
        sections = later;
        at += gap + length;
    }
    sections.is_empty().then_some(found)
}

/// Checks and reads the rows on every core: that is most of the time a start takes.
fn read_rows(sections: &[&[u8]]) -> Result<Vec<Rows>, Unreadable> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let read = || {
        let mut rows = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(section) = sections.get(index) else {
                return Ok::<_, Unreadable>(rows);
            };
            let snapshot = rkyv::from_bytes::<RowsSnapshot, rancor::Error>(section)?;
            rows.push((index, Rows::from(snapshot)));
        }
    };
    let mut rows = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(sections.len()))
            .map(|_| scope.spawn(read))
            .collect();
        let mut rows = read()?;
        for other in others {
            rows.extend(other.join().map_err(|_| Unreadable::Thread)??);
        }
        Ok::<_, Unreadable>(rows)
    })?;
    rows.sort_by_key(|(index, _)| *index);
    Ok(rows.into_iter().map(|(_, rows)| rows).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_that_do_not_add_up_are_refused() {
        let mut whole = b"first".to_vec();
        whole.resize(ALIGNMENT, 0);
        whole.extend(b"second");
        for number in [5_u64, 6, 2] {
            whole.extend(number.to_be_bytes());
        }
        assert_eq!(
            sections(&whole),
            Some(vec![b"first".as_slice(), b"second".as_slice()])
        );
        for length in 0..whole.len() {
            assert_eq!(sections(&whole[..length]), None, "cut to {length}");
        }
        // the three numbers at the end
        for numbers in [
            [5, 7, 2],
            [5, 5, 2],
            [u64::MAX, 6, 2],
            [5, 6, 3],
            [5, 6, u64::MAX],
        ] {
            let mut wrong = whole[..whole.len() - 24].to_vec();
            for number in numbers {
                wrong.extend(number.to_be_bytes());
            }
            assert_eq!(sections(&wrong), None, "{numbers:?}");
        }
    }
}
