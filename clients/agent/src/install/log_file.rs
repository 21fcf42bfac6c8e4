//! The log that `init-script` puts on the client's standard error: the script bounds it at a start, and this while the client runs.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::installation::remove_if_there;
use super::layout::Layout;
use super::own_file;

/// Largest log; with the part before it there is twice as much at most. As in `init-script.sh`. Unit: bytes.
const BYTES_MAX: u64 = 1024 * 1024;
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Bounds the log of the installation, if this process writes into it, for as long as it is polled.
pub(super) async fn keep_bounded(layout: &Layout) -> std::convert::Infallible {
    let path = layout.log();
    if !is_standard_error(&path) {
        return std::future::pending().await;
    }
    loop {
        let log = path.clone();
        let bounded = tokio::task::spawn_blocking(move || bound(&log)).await;
        if let Err(error) = bounded.map_err(io::Error::other).flatten() {
            tracing::warn!(%error, log = %path.display(), "the log could not be bounded");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn is_standard_error(path: &Path) -> bool {
    let (log, own) = (fs::symlink_metadata(path), fs::metadata("/dev/stderr"));
    log.ok()
        .zip(own.ok())
        .is_some_and(|(log, own)| (log.dev(), log.ino()) == (own.dev(), own.ino()))
}

/// Moves what is in a log that is too large to the file beside it, in the place of what was there. Whoever has the log open
/// for appending goes on with an empty one.
fn bound(path: &Path) -> io::Result<()> {
    let log = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    own_file::check(&log)?;
    if log.metadata()?.len() <= BYTES_MAX {
        return Ok(());
    }
    let kept = keep(&log, &beside(path));
    // Also where the disk is full: that is the moment to give something back.
    log.set_len(0)?;
    kept
}

fn keep(mut log: &File, to: &Path) -> io::Result<()> {
    remove_if_there(to)?;
    let mut kept = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)?;
    io::copy(&mut log, &mut kept).map(drop)
}

/// `agent.log.1`, as `init-script.sh` has it.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// However long a client runs, its log has an end, and what was said last is still there.
    #[test]
    fn a_log_that_is_too_large_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.log");
        let mut log = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path)
            .unwrap();
        for round in 0..3 {
            writeln!(log, "round {round}").unwrap();
            bound(&path).unwrap();
            assert!(fs::metadata(&path).unwrap().len() > 0, "it is small yet");
            let line = [b'x'; 1023];
            while log.metadata().unwrap().len() <= BYTES_MAX {
                log.write_all(&line).unwrap();
                log.write_all(b"\n").unwrap();
            }
            bound(&path).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().len(), 0);
            let kept = fs::read_to_string(beside(&path)).unwrap();
            assert!(kept.starts_with(&format!("round {round}\n")));
            assert!(kept.len() < 2 * 1024 * 1024);
        }
    }
}
