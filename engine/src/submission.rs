//! What is asked of the engine, and what it answers.

use std::sync::Arc;
use std::time::Duration;

use domain::access::{group_policy, jump_group};
use domain::fleet::jump_client;
use domain::items::{custom_field, jumpoint, shell};
use domain::policy::access_request;
use domain::policy::ticket;
use domain::session::access_session;
use domain::site::{api_account, mail_delivery, team, user};
use domain::{Cause, Command, Event, Refusal, Timestamp, World, record};
use uuid::Uuid;

use crate::side::Side;

/// A command on its way to the engine.
pub struct Submission {
    /// What is asked.
    pub command: Command,
    /// Who asks, by which way.
    pub cause: Cause,
    /// Where it queues.
    pub lane: Lane,
    /// Makes a repeat of the same command harmless.
    pub idempotency: Option<Idempotency>,
    /// Rows that commit with the command's events.
    pub side: Option<Side>,
    /// What must be so when the command is decided.
    pub condition: Option<Condition>,
}

/// What whoever asks wants to be so at the tail where their command is decided, such as that nobody has changed what they read.
/// It travels with the command: looked at before, it might not be so any more.
pub struct Condition(Box<dyn FnOnce(&World) -> bool + Send>);

impl Condition {
    /// The command is decided where `holds` says true of the World it is decided on. It must not block.
    pub fn new(holds: impl FnOnce(&World) -> bool + Send + 'static) -> Self {
        Self(Box::new(holds))
    }

    pub(crate) fn holds(self, world: &World) -> bool {
        (self.0)(world)
    }
}

impl Submission {
    /// A command without key and side rows.
    #[must_use]
    pub const fn new(command: Command, cause: Cause, lane: Lane) -> Self {
        Self {
            command,
            cause,
            lane,
            idempotency: None,
            side: None,
            condition: None,
        }
    }

    /// A command of Gatebook itself by a due date.
    #[must_use]
    pub const fn by_timer(command: Command) -> Self {
        Self::new(command, Cause::timer(), Lane::Bulk)
    }

    /// The same with an idempotency key.
    #[must_use]
    pub fn with_idempotency(mut self, idempotency: Idempotency) -> Self {
        self.idempotency = Some(idempotency);
        self
    }

    /// The same, on a condition.
    #[must_use]
    pub fn on_condition(mut self, condition: Condition) -> Self {
        self.condition = Some(condition);
        self
    }

    /// The same with side rows.
    #[must_use]
    pub fn with_side(mut self, side: Side) -> Self {
        self.side = Some(side);
        self
    }
}

/// Where a command queues. Each lane is bounded; they are drained by weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// People who wait for an answer. Weight 8.
    People,
    /// Agents and integrations. Weight 4.
    Integrations,
    /// Timers and bulk work. Weight 1.
    Bulk,
}

/// Names a command so that its repeat is recognised for 24 hours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The key, unique among all callers: whoever takes keys from outside puts the caller before.
    pub key: String,
    /// SHA-256 of what was asked; the same key with another one is refused.
    pub request_hash: [u8; 32],
}

/// A command that was accepted and committed.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    /// Position of its last event; without events, the position it was decided at.
    pub position: u64,
    /// Epoch of the log; positions handed out are `epoch-position`.
    pub epoch: i64,
    /// The wall clock by which it was decided.
    pub decided_at: Timestamp,
    /// Its events, in order.
    pub events: Vec<Event>,
    /// Whether this is the answer of an earlier time, told by an idempotency key.
    pub repeated: bool,
}

/// Why a command was not carried out.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ExecuteError {
    /// A rule says no.
    #[error("{refusal}")]
    Refused {
        /// The rule's words.
        refusal: Refusal,
        /// Id of the `ActionRefused` event, where the refusal was written down.
        event: Option<Uuid>,
    },
    /// The idempotency key was used for something else.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The condition that the command was sent on does not hold.
    #[error("the condition of the command does not hold")]
    ConditionFailed,
    /// The lane is full, or another node keeps the tail.
    #[error("too much is waiting to be decided")]
    Busy {
        /// When to try again.
        retry_after: Duration,
    },
    /// The log can't be written. Unless the cause says otherwise, nothing happened.
    #[error("the log can't be written: {cause}")]
    Unavailable {
        /// Why.
        cause: Unavailability,
        /// When to try again.
        retry_after: Duration,
    },
    /// The command would make more than 1,000 events, or one larger than the log keeps.
    #[error("the request is too large to be carried out at once")]
    TooLarge,
    /// The engine stops and takes nothing new.
    #[error("the server is shutting down")]
    ShuttingDown,
}

impl ExecuteError {
    pub(crate) const fn busy() -> Self {
        Self::Busy {
            retry_after: RETRY_AFTER,
        }
    }

    pub(crate) const fn unavailable(cause: Unavailability) -> Self {
        Self::Unavailable {
            cause,
            retry_after: RETRY_AFTER,
        }
    }
}

/// What callers are told to wait before they try again.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why the log can't be written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unavailability {
    /// The database has no space left.
    #[error("it is full")]
    Full,
    /// The database refuses writes.
    #[error("it is read-only")]
    ReadOnly,
    /// The database does not answer, or failed.
    #[error("it does not answer")]
    Unreachable,
    /// The answer to COMMIT was lost and could not be learned before the engine had to stop: it is not known whether the
    /// command was carried out.
    #[error("it is not known whether the command was carried out")]
    InDoubt,
    /// The engine has stopped writing for good.
    #[error("{0}")]
    Halted(Arc<Halt>),
    /// A fault of this program while it decided this one command; it was logged.
    #[error("the command failed inside the server")]
    Fault,
}

/// Why an engine stopped writing for good. Whoever runs it starts a new one, which folds the log anew.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    /// The log is not the one that was folded: a restore or a failover put it back to an earlier state.
    #[error(
        "the log was put back to an earlier state (folded up to {at}, it ends at {head}); a new start folds it anew"
    )]
    Rewound {
        /// The position that was folded here.
        at: u64,
        /// Where the log ends.
        head: u64,
    },
    /// Another node wrote an event that this program can't read, most likely a newer version.
    #[error("an event at position {position} can't be read by this version")]
    Unreadable {
        /// Its position.
        position: u64,
        /// What is wrong with it.
        #[source]
        why: projections::Unreadable,
    },
    /// What is stored can't be right.
    #[error("the log is damaged: {0}")]
    Damaged(String),
    /// A fault of this program; it was logged.
    #[error("a part of the engine failed: {0}")]
    Fault(String),
}

/// Whether a command ends or revokes something. Such a command is never turned away because its lane is full.
pub(crate) const fn always_fits(command: &Command) -> bool {
    match command {
        Command::AccessSession(command) => !matches!(
            command,
            access_session::Command::Start(_)
                | access_session::Command::Join(_)
                | access_session::Command::Invite { .. }
                | access_session::Command::AcceptInvitation { .. }
                | access_session::Command::TransferOwnership { .. }
                | access_session::Command::NoteActivity { .. }
                | access_session::Command::AnnounceEnd { .. }
                | access_session::Command::SetAttributes(_)
                | access_session::Command::RecordDetail(_)
        ),
        Command::StartupGroup(_) => false,
        Command::User(command) => match command {
            user::Command::Record(command) => takes_away(command),
            user::Command::SignOut { .. } | user::Command::ResetAdministrator { .. } => true,
            user::Command::SignIn(_) | user::Command::SetPassword { .. } => false,
        },
        Command::ApiAccount(command) => match command {
            api_account::Command::Record(command) => takes_away(command),
            api_account::Command::RegenerateSecret { .. } => true,
            api_account::Command::Authenticate { .. } => false,
        },
        Command::JumpItemRole(command) => takes_away(command),
        Command::JumpClientInstaller(command) => takes_away(command),
        Command::ShellJump(command) => match command {
            shell::Command::Record(command) => takes_away(command),
            shell::Command::Copy(..) => false,
        },
        Command::Jumpoint(command) => match command {
            jumpoint::Command::Record(command) => takes_away(command),
            jumpoint::Command::RemoveUser(..) => true,
            jumpoint::Command::AddUser(..) => false,
        },
        Command::SessionPolicy(command) => takes_away(command),
        Command::CustomSessionAttribute(command) => takes_away(command),
        Command::CustomField(command) => match command {
            custom_field::Command::Record(command) => takes_away(command),
            custom_field::Command::SetValues(..) => false,
        },
        Command::JumpGroup(command) => match command {
            jump_group::Command::Record(command) => takes_away(command),
            jump_group::Command::ChangeMember(..) | jump_group::Command::RemoveMember(..) => true,
            jump_group::Command::AddMember(..) => false,
        },
        Command::Team(command) => !matches!(
            command,
            team::Command::Record(record::Command::Create(_)) | team::Command::AddMember(..)
        ),
        // A policy's rows, settings and order may each be what takes something away.
        Command::GroupPolicy(command) => !matches!(
            command,
            group_policy::Command::Record(record::Command::Create(_))
                | group_policy::Command::Copy(..)
                | group_policy::Command::Provision(_)
        ),
        Command::JumpPolicy(_) => true,
        Command::AccessRequest(command) => matches!(
            command,
            access_request::Command::Deny { .. } | access_request::Command::Cancel { .. }
        ),
        Command::TicketRequest(command) => matches!(
            command,
            ticket::Command::Void { .. } | ticket::Command::TimeOut { .. }
        ),
        Command::JumpClient(command) => matches!(
            command,
            jump_client::Command::Quarantine { .. }
                | jump_client::Command::Delete(_)
                | jump_client::Command::Disconnect { .. }
                | jump_client::Command::Uninstall { .. }
        ),
        Command::AccessReview(_) => true,
        Command::Node(command) => matches!(command, domain::node::Command::Stop { .. }),
        Command::MailDelivery(command) => matches!(command, mail_delivery::Command::Settle { .. }),
        Command::MailSettings(_) | Command::MailTemplate(_) => false,
        Command::FirstStart(_)
        | Command::Upgrade(_)
        | Command::AgentTrust(_)
        | Command::Installer(_)
        | Command::SiteSettings(_)
        | Command::TicketSystem(_)
        | Command::Audit(_) => false,
    }
}

/// Changes count as revoking too: switching an account off is one.
const fn takes_away<R: record::Record>(command: &record::Command<R>) -> bool {
    !matches!(command, record::Command::Create(_))
}
