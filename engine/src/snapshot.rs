//! Snapshots: the World of one position as rkyv buffers, so that a start reads it instead of the whole log. The views are
//! made of the World. Any change of what decides their bytes changes the fingerprint and throws them away: replay is the upgrade path.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::snapshot::{self, Section, SharedBytes};
use domain::{Timestamp, World};
use eventstore::{SnapshotFile, SnapshotHeader, StoreError, Tail};
use rkyv::rancor;
use tokio::task::JoinError;

use crate::published::Published;

/// Which build wrote a snapshot; see `build.rs`.
pub const FINGERPRINT: [u8; 32] = include!(concat!(env!("OUT_DIR"), "/fingerprint.in"));

/// Rows of a large table in a section: few, because whoever asks for one of them waits for all.
const ROWS_A_SECTION: u32 = 128;

/// Every section begins at a multiple of this, as the content does, which suits any type.
const ALIGNMENT: usize = 64;

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
    #[error(transparent)]
    World(#[from] snapshot::Unreadable),
    #[error("a thread that checked it failed")]
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
    match decode(Arc::new(bytes)) {
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

// The content is sections, each an rkyv buffer of its own: those of the World, and before them when the newest event was
// recorded. Behind them the length of each section and their number, 8 bytes each, big-endian.

fn encode(published: &Published) -> Result<Vec<u8>, rancor::Error> {
    let recorded_at = rkyv::to_bytes(&published.recorded_at)?;
    let world = snapshot::write(&published.world, ROWS_A_SECTION)?;
    let mut bytes = Vec::new();
    let mut lengths = Vec::new();
    for section in std::iter::once(recorded_at).chain(world) {
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        bytes.extend_from_slice(&section);
        lengths.push(section.len() as u64);
    }
    let count = lengths.len() as u64;
    for number in lengths.into_iter().chain([count]) {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    Ok(bytes)
}

/// Reads what is needed at once, and has the rest checked meanwhile; the World reads that when somebody asks for it.
fn decode(bytes: SharedBytes) -> Result<(Timestamp, World), Unreadable> {
    let ranges = sections(&bytes).ok_or(Unreadable::Sections)?;
    let (recorded_at, world) = ranges.split_first().ok_or(Unreadable::Sections)?;
    let recorded_at = rkyv::from_bytes::<Timestamp, rancor::Error>(&bytes[recorded_at.clone()])
        .map_err(snapshot::Unreadable::from)?;
    let world: Option<Vec<Section>> = world
        .iter()
        .map(|range| Section::new(Arc::clone(&bytes), range.clone()))
        .collect();
    let (first, rest) = snapshot::open(world.ok_or(Unreadable::Sections)?)?;
    std::thread::scope(|scope| {
        let checked = scope.spawn(|| rest.check());
        let world = rest.world(first);
        checked.join().map_err(|_| Unreadable::Thread)??;
        Ok((recorded_at, world))
    })
}

/// The places of the sections that the numbers at the end say; `None` if these do not add up.
fn sections(bytes: &[u8]) -> Option<Vec<Range<usize>>> {
    let (rest, count) = bytes.split_last_chunk::<8>()?;
    let count = usize::try_from(u64::from_be_bytes(*count)).ok()?;
    let numbers = rest.len().checked_sub(count.checked_mul(8)?)?;
    let (sections, lengths) = rest.split_at_checked(numbers)?;
    let mut found = Vec::with_capacity(count);
    let mut at = 0_usize;
    for length in lengths.chunks(8) {
        let length = usize::try_from(u64::from_be_bytes(length.try_into().ok()?)).ok()?;
        let start = at.next_multiple_of(ALIGNMENT);
        at = start.checked_add(length)?;
        if at > sections.len() {
            return None;
        }
        found.push(start..at);
    }
    (at == sections.len()).then_some(found)
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
        assert_eq!(sections(&whole), Some(vec![0..5, ALIGNMENT..ALIGNMENT + 6]));
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
