//! What a program of ours writes on its standard streams: the lines of its log, messages for people, results for others.
//!
//! It refuses to fail a program because nobody reads: a line of the log or a message that can't be written (a full disk, a
//! closed pipe) is dropped and counted. Only a result is an error then. `println!` and `eprintln!` panic instead, so
//! everything else in the programs is held to this crate by the lints `print_stdout` and `print_stderr`.
//!
//! - [`log`]: the subscriber that writes log lines, and what never is one
//! - [`message`], [`result`], [`result_shown_once`]

pub mod log;

mod log_lines;
mod streams;

pub use streams::{message, result, result_shown_once};
