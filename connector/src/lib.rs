//! The fan-out: what is decided reaches the outside here, and what the outside says becomes commands.
//!
//! A connector takes a delivery, tries, and reports back by a command; it decides nothing. It refuses to know axum: the
//! socket of an agent is a [`Transport`].
//!
//! - [`transport`]: what an agent's socket must be able to do.
//! - [`hub`]: all links of this node, and the log followed for them.
//! - `mailbox`: what a link is told to do.
//! - `admission`: how many agents may connect a second.
//! - `greeting`: from `hello` to a known, connected Jump Client.
//! - `link`: the conversation with one agent.
//! - `saying`: what an agent says, on its way to the log.
//! - `pace`: how often somebody may do something.
//! - `call`: a passive client is asked to come.
//! - `check_ins`: check-ins that changed nothing, gathered for the log.
//! - `figures`: the newest figures of each client, written once a second.
//! - [`approver_link`]: the link by which an approver reaches a request.
//! - [`mail`]: the outbox: mails that are due, handed to the mail server.
//! - [`outbound`]: HTTP that the site sends, only where it may.
//! - [`ticket`]: requests to the ticket system.

pub mod approver_link;
pub mod hub;
pub mod mail;
pub mod outbound;
#[cfg(feature = "testing")]
pub mod testing;
pub mod ticket;
pub mod transport;

mod admission;
mod call;
mod check_ins;
mod figures;
mod greeting;
mod link;
mod mailbox;
mod pace;
mod saying;

pub use greeting::{INSTALLER_SECRET, attempt_hash};
pub use hub::{Hub, HubOptions, HubTask, RefusedAttempts, anchors_of};
pub use ticket::{Tickets, TicketsTask};
pub use transport::{Gone, Incoming, Transport};
