//! One suite over both databases: what the log promises.

mod appending;
mod holding;
mod model;
mod opening;
mod reading;
mod rows;
mod support;
mod verifying;
