//! Snapshot files: bytes somebody folded from the log, kept so that the next start is quick. They may
//! be deleted on any day.
//!
//! `<position>.snapshot` holds a header, the hashes of its pieces of 4 MiB, a hash over all of that,
//! and the pieces. A file that does not match its hashes, or was written by another build, is passed
//! over. The layout is described in `docs/log-format.md`.
//!
//! The hashes find damage, not forgery, which no hash without a key could: whoever may write the file
//! could hash it anew. So those of the pieces are of the quickest kind with 128 bits.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use twox_hash::XxHash3_128;

use crate::error::StoreError;

/// Size of a piece.
const PIECE: usize = 4 * 1024 * 1024;

/// First bytes of a file; the last two are the version of the layout.
const MAGIC: [u8; 8] = *b"GBSNAP02";

/// Bytes before the hashes of the pieces.
const HEADER: usize = 8 + 8 + 8 + 32 + 32 + 8;

/// Bytes of the hash of a piece.
const HASH: usize = 16;

/// How many snapshots are kept.
const KEPT: usize = 2;

/// Every start of the bytes handed out is a multiple of this, which suits any type.
const ALIGNMENT: usize = 64;

/// What a snapshot is a snapshot of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotHeader {
    /// Position of the last event folded.
    pub position: u64,
    /// Epoch of the log.
    pub epoch: i64,
    /// Tail hash at that position.
    pub tail_hash: [u8; 32],
    /// Which build wrote it; others can't read the bytes.
    pub fingerprint: [u8; 32],
}

/// The bytes of a snapshot, beginning at a multiple of 64.
pub struct SnapshotBytes {
    buffer: Vec<u8>,
    start: usize,
    length: usize,
}

impl SnapshotBytes {
    fn zeroed(length: usize) -> SnapshotBytes {
        let buffer = vec![0; length + ALIGNMENT];
        let start = buffer.as_ptr().addr().next_multiple_of(ALIGNMENT) - buffer.as_ptr().addr();
        SnapshotBytes {
            buffer,
            start,
            length,
        }
    }

    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..self.start + self.length]
    }
}

impl std::ops::Deref for SnapshotBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[self.start..self.start + self.length]
    }
}

impl std::fmt::Debug for SnapshotBytes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("SnapshotBytes")
            .field("bytes", &self.length)
            .finish()
    }
}

/// Writing and finding snapshot files. Blocks: to be called on a blocking thread.
pub struct SnapshotFile;

impl SnapshotFile {
    /// Writes a snapshot under its final name once it is synced, and deletes all but the newest two.
    pub fn write(
        directory: &Path,
        header: &SnapshotHeader,
        bytes: &[u8],
    ) -> Result<PathBuf, StoreError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
        let path = directory.join(format!("{:020}.snapshot", header.position));
        let unfinished = path.with_extension("unfinished");
        let written = write_synced(&unfinished, header, bytes)
            .and_then(|()| fs::rename(&unfinished, &path))
            .and_then(|()| File::open(directory)?.sync_all());
        if let Err(error) = written {
            // What is left of it is of no use, and the reason was the writing.
            let _ = fs::remove_file(&unfinished);
            return Err(error.into());
        }
        for (_, old) in newest_first(directory).into_iter().skip(KEPT) {
            if let Err(error) = fs::remove_file(&old) {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "an old snapshot can't be deleted"
                );
            }
        }
        Ok(path)
    }

    /// The newest snapshot that is whole and was written by a build with this fingerprint.
    pub fn read_newest(
        directory: &Path,
        fingerprint: &[u8; 32],
    ) -> Option<(SnapshotHeader, SnapshotBytes)> {
        for (_, path) in newest_first(directory) {
            match read(&path, fingerprint) {
                Ok(found) => return Some(found),
                Err(error) => tracing::info!(
                    error = &error as &dyn std::error::Error,
                    file = %path.display(),
                    "a snapshot is passed over"
                ),
            }
        }
        None
    }
}

fn newest_first(directory: &Path) -> Vec<(u64, PathBuf)> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut found: Vec<(u64, PathBuf)> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let position = path
                .file_name()?
                .to_str()?
                .strip_suffix(".snapshot")?
                .parse()
                .ok()?;
            Some((position, path))
        })
        .collect();
    found.sort_by(|one, other| other.cmp(one));
    found
}

fn write_synced(path: &Path, header: &SnapshotHeader, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    let mut head = Vec::with_capacity(HEADER);
    head.extend_from_slice(&MAGIC);
    head.extend_from_slice(&header.position.to_be_bytes());
    head.extend_from_slice(&header.epoch.to_be_bytes());
    head.extend_from_slice(&header.tail_hash);
    head.extend_from_slice(&header.fingerprint);
    head.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
    for piece in bytes.chunks(PIECE) {
        head.extend_from_slice(&hash(piece));
    }
    let seal = Sha256::digest(&head);
    file.write_all(&head)?;
    file.write_all(&seal)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn read(path: &Path, fingerprint: &[u8; 32]) -> io::Result<(SnapshotHeader, SnapshotBytes)> {
    let file = File::open(path)?;
    let mut head = vec![0; HEADER];
    file.read_exact_at(&mut head, 0)?;
    let mut rest = head.as_slice();
    if take::<8>(&mut rest)? != MAGIC {
        return Err(damaged("it is not a snapshot of this layout"));
    }
    let header = SnapshotHeader {
        position: u64::from_be_bytes(take(&mut rest)?),
        epoch: i64::from_be_bytes(take(&mut rest)?),
        tail_hash: take(&mut rest)?,
        fingerprint: take(&mut rest)?,
    };
    if header.fingerprint != *fingerprint {
        return Err(damaged("another build wrote it"));
    }
    let length = usize::try_from(u64::from_be_bytes(take(&mut rest)?))
        .map_err(|_| damaged("its length is wrong"))?;
    let hashes = length
        .div_ceil(PIECE)
        .checked_mul(HASH)
        .ok_or_else(|| damaged("its length is wrong"))?;
    let start = HEADER + hashes + 32;
    // Before anything of that size is asked for from memory.
    if file.metadata()?.len() != (start as u64).saturating_add(length as u64) {
        return Err(damaged("its length is wrong"));
    }
    head.resize(HEADER + hashes, 0);
    file.read_exact_at(&mut head[HEADER..], HEADER as u64)?;
    let mut seal = [0; 32];
    file.read_exact_at(&mut seal, (HEADER + hashes) as u64)?;
    if Sha256::digest(&head)[..] != seal {
        return Err(damaged("its header is damaged"));
    }
    let mut bytes = SnapshotBytes::zeroed(length);
    read_pieces(&file, start as u64, &head[HEADER..], bytes.as_mut())?;
    Ok((header, bytes))
}

/// Reads and checks the pieces on every core.
fn read_pieces(file: &File, start: u64, hashes: &[u8], bytes: &mut [u8]) -> io::Result<()> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let pieces_each = bytes.len().div_ceil(PIECE).div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let parts = bytes
            .chunks_mut(pieces_each * PIECE)
            .zip(hashes.chunks(pieces_each * HASH))
            .enumerate();
        let running: Vec<_> = parts
            .map(|(part, (bytes, hashes))| {
                let start = start + (part * pieces_each * PIECE) as u64;
                scope.spawn(move || read_part(file, start, hashes, bytes))
            })
            .collect();
        running.into_iter().try_for_each(|part| {
            part.join()
                .unwrap_or_else(|_| Err(damaged("reading it failed")))
        })
    })
}

fn read_part(file: &File, start: u64, hashes: &[u8], bytes: &mut [u8]) -> io::Result<()> {
    for (index, (piece, expected)) in bytes.chunks_mut(PIECE).zip(hashes.chunks(HASH)).enumerate() {
        file.read_exact_at(piece, start + (index * PIECE) as u64)?;
        if hash(piece)[..] != *expected {
            return Err(damaged("a piece is damaged"));
        }
    }
    Ok(())
}

fn hash(piece: &[u8]) -> [u8; HASH] {
    XxHash3_128::oneshot(piece).to_be_bytes()
}

fn take<const N: usize>(rest: &mut &[u8]) -> io::Result<[u8; N]> {
    let (taken, later) = rest
        .split_first_chunk::<N>()
        .ok_or_else(|| damaged("it is too short"))?;
    *rest = later;
    Ok(*taken)
}

fn damaged(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILD: [u8; 32] = [7; 32];

    fn header(position: u64) -> SnapshotHeader {
        SnapshotHeader {
            position,
            epoch: 3,
            tail_hash: [9; 32],
            fingerprint: BUILD,
        }
    }

    fn pattern(length: usize) -> Vec<u8> {
        (0..length)
            .map(|index| u8::try_from(index * 31 % 251).expect("below 251"))
            .collect()
    }

    #[test]
    fn what_was_written_is_read_aligned() {
        // bytes: none, one, exactly one piece, several with a rest
        for length in [0, 1, PIECE, 2 * PIECE + 17] {
            let directory = tempfile::tempdir().expect("temporary directory");
            let bytes = pattern(length);
            SnapshotFile::write(directory.path(), &header(5), &bytes).expect("written");
            let (found, read) = SnapshotFile::read_newest(directory.path(), &BUILD).expect("there");
            assert_eq!(found, header(5));
            assert!(*read == bytes[..], "{length} bytes");
            assert_eq!(read.as_ptr().addr() % ALIGNMENT, 0);
        }
    }

    #[test]
    fn the_newest_two_are_kept() {
        let directory = tempfile::tempdir().expect("temporary directory");
        for position in [9, 100, 20, 3_000_000] {
            SnapshotFile::write(directory.path(), &header(position), b"x").expect("written");
        }
        let positions: Vec<u64> = newest_first(directory.path())
            .into_iter()
            .map(|(position, _)| position)
            .collect();
        assert_eq!(positions, [3_000_000, 100]);
    }

    #[test]
    fn a_damaged_snapshot_is_passed_over_wherever_it_is_damaged() {
        let directory = tempfile::tempdir().expect("temporary directory");
        SnapshotFile::write(directory.path(), &header(1), b"older").expect("written");
        let newest = SnapshotFile::write(directory.path(), &header(2), &pattern(PIECE + 5))
            .expect("written");
        let whole = fs::read(&newest).expect("readable");
        let places = [
            0,
            8,
            20,
            60,
            HEADER - 1,
            HEADER,
            HEADER + 64,
            HEADER + 96,
            whole.len() / 2,
            whole.len() - 1,
        ];
        for place in places {
            let mut damaged = whole.clone();
            damaged[place] ^= 1;
            fs::write(&newest, &damaged).expect("writable");
            let (found, bytes) =
                SnapshotFile::read_newest(directory.path(), &BUILD).expect("the older one");
            assert_eq!(
                (found.position, &*bytes),
                (1, &b"older"[..]),
                "damaged at byte {place}"
            );
        }
        for length in [0, 4, HEADER, whole.len() - 1] {
            fs::write(&newest, &whole[..length]).expect("writable");
            let (found, _) =
                SnapshotFile::read_newest(directory.path(), &BUILD).expect("the older one");
            assert_eq!(found.position, 1, "cut to {length} bytes");
        }
    }

    #[test]
    fn a_snapshot_of_another_build_is_passed_over() {
        let directory = tempfile::tempdir().expect("temporary directory");
        SnapshotFile::write(directory.path(), &header(1), b"x").expect("written");
        assert!(SnapshotFile::read_newest(directory.path(), &[8; 32]).is_none());
        assert!(SnapshotFile::read_newest(&directory.path().join("missing"), &BUILD).is_none());
    }

    #[test]
    fn an_unfinished_snapshot_is_not_seen() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = SnapshotFile::write(directory.path(), &header(1), b"x").expect("written");
        fs::rename(&path, path.with_extension("unfinished")).expect("renamed");
        assert!(SnapshotFile::read_newest(directory.path(), &BUILD).is_none());
    }
}
