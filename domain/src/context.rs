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

/// What stands beside an event in the log: who caused it and, only where that is not when it was recorded, when.
///
/// The log's times never go back, so an event is recorded at the latest of the clock and the event before it. What it
/// means for windows, due dates and expiry counts from the wall clock alone.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Meta {
    /// Who asked, by which way.
    #[serde(flatten)]
    pub cause: Cause,
    /// The wall clock of the decision; none where the event was recorded at that time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<Timestamp>,
}

impl Meta {
    /// What stands beside the events of a batch that was decided at `decided_at` and is recorded at `recorded_at`.
    #[must_use]
    pub fn new(cause: Cause, decided_at: Timestamp, recorded_at: Timestamp) -> Self {
        Self {
            cause,
            decided_at: (decided_at != recorded_at).then_some(decided_at),
        }
    }

    /// Reads the stored text.
    ///
    /// # Errors
    /// When it is not of this form.
    pub fn from_stored(text: &[u8]) -> Result<Self, serde_json::Error> {
        Ok(Self {
            cause: serde_json::from_slice(text)?,
            decided_at: Self::decided_at(text)?,
        })
    }

    /// Reads the wall clock alone of a stored text.
    ///
    /// # Errors
    /// When the text has one that can't be read.
    pub fn decided_at(text: &[u8]) -> Result<Option<Timestamp>, serde_json::Error> {
        #[derive(serde::Deserialize)]
        struct DecidedAt {
            decided_at: Option<Timestamp>,
        }
        // Hardly any event has it, and a replay asks for each. Nothing else of a cause holds these bytes.
        match str::from_utf8(text) {
            Ok(text) if text.contains("\"decided_at\"") => {
                serde_json::from_str::<DecidedAt>(text).map(|meta| meta.decided_at)
            }
            _ => Ok(None),
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
    /// The wall clock, read once for the whole batch: what windows, due dates and expiry are decided by. It may lie before
    /// what was recorded last, where a clock was put back or another node's is ahead.
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

    /// The user whose Jump Item Roles bound the decision. None bound API accounts, nor the administrators who use the
    /// Configuration API (CONF-06): that they are such is asked before.
    #[must_use]
    pub fn role_holder(&self) -> Option<UserId> {
        match self.cause.actor {
            Actor::User(user) if self.cause.surface != Surface::ConfigurationApi => Some(user),
            _ => None,
        }
    }
}
