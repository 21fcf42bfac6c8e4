//! Reading files that somebody else may have put in the place of one's own: no link is followed, no pipe waited for, and no more is
//! read than is wanted.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// The first `bytes_max` bytes.
///
/// # Errors
/// What the system says; [`io::ErrorKind::PermissionDenied`] where it is no file of this user's own.
pub(super) fn head(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    read(open(path)?, bytes_max)
}

/// The last `bytes_max` bytes.
///
/// # Errors
/// As [`head`].
pub(super) fn tail(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut file = open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes_max)))?;
    read(file, bytes_max)
}

/// Whether an open file is a plain one of this user's own that has no other name.
///
/// # Errors
/// [`io::ErrorKind::PermissionDenied`] where it is not.
pub(super) fn check(file: &File) -> io::Result<()> {
    let metadata = file.metadata()?;
    let is_own = metadata.is_file()
        && metadata.uid() == nix::unistd::geteuid().as_raw()
        && metadata.nlink() == 1;
    if is_own {
        Ok(())
    } else {
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    check(&file)?;
    Ok(file)
}

fn read(file: File, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;

    /// threat R
    #[test]
    fn threat_r_neither_links_nor_pipes_are_read_and_never_too_much() {
        let folder = tempfile::tempdir().unwrap();
        let of = |name: &str| folder.path().join(name);
        fs::write(of("file"), "0123456789").unwrap();
        assert_eq!(head(&of("file"), 4).unwrap(), b"0123");
        assert_eq!(tail(&of("file"), 4).unwrap(), b"6789");
        assert_eq!(tail(&of("file"), 400).unwrap(), b"0123456789");
        symlink(of("file"), of("link")).unwrap();
        // A pipe into which nobody writes would be waited for.
        let made = Command::new("mkfifo").arg(of("pipe")).status().unwrap();
        assert!(made.success());
        for name in ["link", "pipe", "none", "."] {
            assert!(head(&of(name), 4).is_err(), "{name}");
            assert!(tail(&of(name), 4).is_err(), "{name}");
        }
        fs::hard_link(of("file"), of("other")).unwrap();
        assert!(tail(&of("file"), 4).is_err(), "it has another name");
    }
}
