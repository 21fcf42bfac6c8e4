//! Messages and results.

use std::fmt::Display;
use std::io::{self, Write};

/// Writes a line for people on stderr; one that can't be written is dropped.
pub fn message(text: impl Display) {
    // Nobody is left to be told.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Writes a result on stdout with a line end, and all of it: nothing waits in a buffer afterwards.
///
/// # Errors
/// What the system says: the reader is gone, the disk is full.
pub fn result(text: impl Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

/// Writes a result that is shown once, as [`result`] does, and only where it can reach somebody.
///
/// # Errors
/// As [`result`]; also where standard output is the null device, as it is for a program that was started with it closed.
pub fn result_shown_once(text: impl Display) -> io::Result<()> {
    if leads_to_null_device() {
        return Err(io::Error::other(
            "standard output is closed or leads to the null device",
        ));
    }
    result(text)
}

#[cfg(unix)]
fn leads_to_null_device() -> bool {
    use std::os::unix::fs::MetadataExt;

    let device = |path| std::fs::metadata(path).map(|found| found.rdev());
    match (device("/dev/stdout"), device("/dev/null")) {
        (Ok(stdout), Ok(null)) => stdout == null,
        // Without these names nobody can tell.
        _ => false,
    }
}

#[cfg(not(unix))]
fn leads_to_null_device() -> bool {
    false
}
