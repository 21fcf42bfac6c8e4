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
