//! One suite over both databases: what the log promises.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests tell what they do"
)]

mod appending;
mod holding;
mod model;
mod opening;
mod reading;
mod rows;
mod support;
mod verifying;
