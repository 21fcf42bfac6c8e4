//! What an engine promises, on both databases: what is answered is in the log, memory is as the disk is, batches decide on
//! what came before them, and the World comes back as it was.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests tell what they do"
)]

mod batches;
mod due_dates;
mod failures;
mod foreign;
mod idempotency;
mod nodes;
mod races;
mod refusals;
mod rewinding;
mod shutdown;
mod sides;
mod snapshots;
mod streams;
mod support;
