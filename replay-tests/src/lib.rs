//! Whole-system tests: the real programs, driven from outside, and what their logs must fold into.
//!
//! - [`program`]: runs `gatebook` and `gatebook-agent` as processes of their own, and ends them.
//! - [`attacker`]: the link by someone who keeps to nothing.
//! - [`caller`]: an API account that calls the HTTP API.
//! - [`clocked`]: the whole program inside the test, under a clock that the test moves.
//! - [`stage`]: such a program with people and machines, for the worked scenarios.
//! - [`fleet`]: the real program with a key for its machines, and the Jump Client in Python.
//! - [`machine`]: a machine on which an ordinary user installs clients from packages.
//! - [`load`]: `gatebook-load` ordered about, and what the log must say of its machines.
//! - [`in_process`]: an engine inside the test, and the log folded without one.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests tell what they do"
)]

pub mod attacker;
pub mod caller;
pub mod clocked;
pub mod fleet;
pub mod in_process;
pub mod load;
pub mod machine;
pub mod program;
pub mod stage;
