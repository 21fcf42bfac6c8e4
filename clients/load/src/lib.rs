//! `gatebook-load`: a fleet of simulated machines over real TLS sockets, and what a server makes of it.
//!
//! Machines do what docs/client-link.md says, and some of them on purpose what real machines do by accident. All that is
//! chosen is chosen by a seed. It refuses to know the server's crates: it sees what an agent sees, and `/proc`.
//!
//! - [`options`]: the command line.
//! - [`role`]: who behaves how, by shares.
//! - [`pauses`]: when to come back.
//! - [`trust`]: whether a certificate chain is the server's.
//! - [`dial`]: TCP, TLS and WebSocket.
//! - [`machine`]: one simulated machine.
//! - [`half_open`]: connections that never say hello.
//! - [`tally`]: what is counted, and the report made of it.
//! - [`cost`]: what a process costs, from `/proc`.
//! - [`identities`]: the identities of the machines, kept for a second run.
//! - [`fleet`]: all machines of one process.
//! - [`herd`]: several processes as one, and the orders they take.

pub mod cost;
pub mod dial;
pub mod fleet;
pub mod half_open;
pub mod herd;
pub mod identities;
pub mod machine;
pub mod options;
pub mod pauses;
pub mod role;
pub mod tally;
pub mod trust;
