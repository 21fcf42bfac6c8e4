//! Snapshots: the World of one position as one rkyv buffer, so that a start reads it instead of the whole log. The views are
//! made of the World. Any change of what decides their bytes changes the fingerprint and throws them away: replay is the upgrade path.

use std::path::{Path, PathBuf};

use domain::snapshot::WorldSnapshot;
use domain::{Timestamp, World};
use eventstore::{SnapshotFile, SnapshotHeader, StoreError, Tail};
use rkyv::rancor;
use tokio::task::JoinError;

use crate::published::Published;

/// Which build wrote a snapshot; see `build.rs`.
pub const FINGERPRINT: [u8; 32] = include!(concat!(env!("OUT_DIR"), "/fingerprint.in"));

/// What a snapshot holds.
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
    let snapshot = Snapshot {
        recorded_at: published.recorded_at,
        world: WorldSnapshot::from(&published.world),
    };
    let bytes = rkyv::to_bytes::<rancor::Error>(&snapshot).map_err(SnapshotError::Encode)?;
    drop(snapshot);
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
    match rkyv::from_bytes::<Snapshot, rancor::Error>(&bytes) {
        Ok(snapshot) => Some(Published {
            world: World::from(snapshot.world),
            tail: Tail {
                position: header.position,
                tail_hash: header.tail_hash,
                epoch,
            },
            recorded_at: snapshot.recorded_at,
        }),
        Err(error) => {
            tracing::warn!(%error, "the newest snapshot can't be read and is passed over");
            None
        }
    }
}
