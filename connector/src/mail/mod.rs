//! Mail: what happened becomes mails that wait in the log, and those that are due leave by SMTP (POL-23 to POL-31, APPR-06).
//!
//! - [`language`]: what mails say in each language.
//! - `told`: who is told of what.
//! - `letter`: a mail as text.
//! - `smtp`: one mail to one server.
//! - [`outbox`]: the consumer of the log, and whoever takes what is due.

pub mod language;
mod letter;
pub mod outbox;
mod smtp;
#[cfg(feature = "testing")]
pub mod testing;
mod told;

pub use language::{BadLanguage, Language, Languages};
pub use outbox::{MAIL, Outbox, OutboxSetup};
pub use smtp::{Patience, roots_of};
