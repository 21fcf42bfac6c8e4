//! Where log lines go: never an error, whatever becomes of the stream.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

use crate::log::Format;

/// A stream of log lines. What can't be written is dropped; how many lines that were is said as soon as something can be
/// written again.
pub(crate) struct LogLines<W> {
    format: Format,
    state: Mutex<State<W>>,
}

struct State<W> {
    stream: W,
    /// Lines that were dropped since the last one that was written.
    dropped: u64,
    /// Whether a part of a line was written.
    cut: bool,
}

/// One line on its way.
pub(crate) struct Line<'a, W>(&'a LogLines<W>);

impl<W: Write> LogLines<W> {
    pub(crate) fn new(stream: W, format: Format) -> Self {
        Self {
            format,
            state: Mutex::new(State {
                stream,
                dropped: 0,
                cut: false,
            }),
        }
    }

    fn put(&self, line: &[u8]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.dropped > 0 {
            let told = self.dropped_line(state.dropped);
            if !state.write(told.as_bytes()) {
                state.dropped += 1;
                return;
            }
            state.dropped = 0;
        }
        if !state.write(line) {
            state.dropped += 1;
        }
    }

    fn dropped_line(&self, count: u64) -> String {
        let message = format!("lines of the log that could not be written: {count}");
        match self.format {
            Format::Text => format!("WARN {message}\n"),
            Format::Json => {
                let line = serde_json::json!({"level": "WARN", "message": message});
                format!("{line}\n")
            }
        }
    }
}

impl<W: Write> State<W> {
    /// Writes a whole line; false if it could not be, or not all of it.
    fn write(&mut self, line: &[u8]) -> bool {
        if self.cut {
            if self.stream.write_all(b"\n").is_err() {
                return false;
            }
            self.cut = false;
        }
        let mut rest = line;
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(written @ 1..) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => {
                    self.cut = rest.len() < line.len();
                    return false;
                }
            }
        }
        true
    }
}

impl<'a, W: Write + 'static> MakeWriter<'a> for LogLines<W> {
    type Writer = Line<'a, W>;

    fn make_writer(&'a self) -> Self::Writer {
        Line(self)
    }
}

impl<W: Write> Write for Line<'_, W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with as much room as `room` says; none is an error of the disk.
    struct Disk {
        text: Vec<u8>,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.room);
            if taken == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= taken;
            self.text.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn set_room<D>(lines: &LogLines<Disk>, room: usize, get: impl Fn(&mut Disk) -> D) -> D {
        let mut state = lines.state.lock().expect("not poisoned");
        state.stream.room = room;
        get(&mut state.stream)
    }

    #[test]
    fn lines_that_find_no_room_are_dropped_and_counted_where_there_is_room_again() {
        // room, what is written of three lines and then of a fourth with room again
        for (format, room, expected) in [
            (Format::Text, 100, "one\ntwo\nthree\nfour\n"),
            (
                Format::Text,
                8,
                "one\ntwo\nWARN lines of the log that could not be written: 1\nfour\n",
            ),
            (
                Format::Text,
                6,
                "one\ntw\nWARN lines of the log that could not be written: 2\nfour\n",
            ),
            (
                Format::Text,
                0,
                "WARN lines of the log that could not be written: 3\nfour\n",
            ),
            (
                Format::Json,
                4,
                "one\n{\"level\":\"WARN\",\"message\":\"lines of the log that could not be written: 2\"}\nfour\n",
            ),
        ] {
            let disk = Disk {
                text: Vec::new(),
                room,
            };
            let lines = LogLines::new(disk, format);
            for line in ["one\n", "two\n", "three\n"] {
                let written = lines.make_writer().write_all(line.as_bytes());
                assert!(written.is_ok());
            }
            set_room(&lines, 1_000, |_| ());
            lines
                .make_writer()
                .write_all(b"four\n")
                .expect("never an error");
            let text = set_room(&lines, 0, |disk| disk.text.clone());
            assert_eq!(
                String::from_utf8_lossy(&text),
                expected,
                "{format:?} {room}"
            );
        }
    }
}
