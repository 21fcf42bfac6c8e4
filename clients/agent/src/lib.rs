//! The Jump Client agent: keeps one machine in touch with its Gatebook server.
//!
//! It connects outwards, proves who it is, says what its machine is like, and does what a server it has
//! verified tells it. It decides nothing about access, listens on no port, and knows nothing of the
//! server's inside: only `link-protocol` and the page `docs/client-link.md`.
//!
//! - [`endpoint`]: where the server is, and which addresses are not allowed.
//! - [`trust`]: whether a certificate chain is the server's.
//! - [`dial`]: TCP, TLS and WebSocket, up to a connection that can carry frames.
//! - [`proxy`]: the way out through a proxy.
//! - [`store`]: the state folder: identity, token, anchors.
//! - [`machine`]: facts and figures of this machine.
//! - [`logged_on`]: who is logged on at this machine.
//! - [`sessions`]: the sessions kept here.
//! - [`link`]: one connection, from `hello` to its end.
//! - [`pauses`]: when to come back.
//! - [`calls`]: where a passive client waits to be called.
//! - `absence`: for how long the site was away, and when that is too long.
//! - `failures`: which of many failures get a line in the log.
//! - [`wall_clock`]: the machine's time of day.
//! - [`install`]: installing it on Linux, and taking it away.
//! - [`agent`]: connection after connection, until told to stop.

mod absence;
pub mod agent;
pub mod calls;
pub mod dial;
pub mod endpoint;
mod failures;
#[cfg(unix)]
pub mod install;
pub mod link;
mod logged_on;
pub mod machine;
pub mod pauses;
pub mod proxy;
pub mod sessions;
pub mod store;
pub mod trust;
pub mod wall_clock;

pub use agent::{Agent, AgentError, Options, Stopped};
pub use calls::Calls;
pub use dial::{Dial, TlsDial};
pub use endpoint::Endpoint;
pub use machine::{DISABLED, Machine};
pub use store::Store;
pub use wall_clock::WallClock;
