//! All that a decision may know of the outside: who asks, by which way, when, and values nobody can guess.

use std::net::IpAddr;

use crate::ids::{AccessRequestId, ApiAccountId, JumpClientId, UserId};
use crate::{Event, Refusal, Timestamp};

/// What a decision comes to: the events that happen, or why nothing does.
pub type Decision = Result<Vec<Event>, Refusal>;

/// One event happens.
///
/// # Errors
/// Never; the type is that of a decision.
pub fn happened(event: Event) -> Decision {
    Ok(vec![event])
}

/// Nothing happens, and that is fine: what was asked for is so already.
///
/// # Errors
/// Never; the type is that of a decision.
pub fn nothing() -> Decision {
    Ok(Vec::new())
}

/// The decision is no.
///
/// # Errors
/// Always, with `refusal`.
pub fn refuse<T>(refusal: Refusal) -> Result<T, Refusal> {
    Err(refusal)
}

/// Who asks. Stored with every event.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// Gatebook itself: timers, leases, maintenance.
    System,
    /// Whoever holds the machine and the key file: `gatebook init`, `gatebook administrator reset`.
    Operator,
    /// A user who signed in.
    User(UserId),
    /// An API account with a valid token.
    ApiAccount(ApiAccountId),
    /// An approver who came by the link in the mail (APPR-37).
    Approver {
        /// The request that the link is for.
        request: AccessRequestId,
        /// Whose link it is: the approver's place among those of the request.
        index: u32,
    },
    /// A Jump Client over its link.
    JumpClient(JumpClientId),
    /// A machine that shows an installer's secret and has no identity yet.
    NewJumpClient,
    /// Nobody who could be named.
    Stranger,
}

impl Actor {
    /// Whether this is the user `user`.
    #[must_use]
    pub fn is(&self, user: UserId) -> bool {
        *self == Self::User(user)
    }
}

/// By which way a command came in.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Surface {
    /// The `gatebook` program itself.
    Program,
    /// `/oauth2/token`.
    Oauth,
    /// `/api/config/v1`.
    ConfigurationApi,
    /// `/api/command`.
    CommandApi,
    /// `/api/reporting`.
    ReportingApi,
    /// `/api/console/v1`.
    ConsoleApi,
    /// The page behind an approver's link.
    ApproverPage,
    /// The link of a Jump Client.
    Link,
    /// `/api/endpoint_approval`.
    TicketSystem,
    /// A due date.
    Timer,
    /// The outbox of mails.
    Mail,
}

/// Who asked by which way from where; written to the `meta` of every event that follows.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Cause {
    /// Who asks.
    pub actor: Actor,
    /// The way in.
    pub surface: Surface,
    /// The peer's address as far as it is known and trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
}

impl Cause {
    /// Gatebook itself, by a due date.
    #[must_use]
    pub const fn timer() -> Self {
        Self {
            actor: Actor::System,
            surface: Surface::Timer,
            address: None,
        }
    }

    /// The program, for its own upkeep.
    #[must_use]
    pub const fn program(actor: Actor) -> Self {
        Self {
            actor,
            surface: Surface::Program,
            address: None,
        }
    }
}

/// Values that nobody can guess, drawn for one command.
///
/// 64 values of 128 bits each; a decision takes them by index, so the same context gives the same events.
#[derive(Clone)]
pub struct Fresh(pub [u128; 64]);

impl Fresh {
    /// The value at `index`, which is the decision's own constant below 64; past the end the last one is given.
    #[must_use]
    pub fn value(&self, index: usize) -> u128 {
        self.0[index.min(63)]
    }

    /// The value at `index` as 32 lower-case hex digits.
    #[must_use]
    pub fn hex(&self, index: usize) -> String {
        format!("{:032x}", self.value(index))
    }
}

/// All that a decision may know of the outside.
pub struct Context<'a> {
    /// The time of the batch: never before what was recorded last.
    pub now: Timestamp,
    /// Who asks, by which way.
    pub cause: &'a Cause,
    /// Values nobody can guess.
    pub fresh: &'a Fresh,
}

impl Context<'_> {
    /// Who asks.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        &self.cause.actor
    }
}
