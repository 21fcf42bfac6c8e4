//! PostgreSQL with several writer processes: whatever happens to one of them, positions are gapless,
//! in the order of commits, and nobody's answer is wrong.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests tell what they do"
)]

mod cut;
mod proxy;
mod race;
mod restore;
mod stopped;
mod writer;
