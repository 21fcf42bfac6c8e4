//! The outbox: one mail to one recipient, from the cause to the word of the mail server (POL-31).
//!
//! States: waiting → delivered, or waiting → waiting (an attempt failed, the next one has a time) → parked → waiting (asked for
//! again by a person); waiting or parked → discarded. Delivered and discarded mails leave the world.
//!
//! What is stored are the values of the mail as they were at that time, never its text and never an approver's link: both are
//! made when the mail leaves.

use serde::{Deserialize, Serialize};

use crate::ids::{AccessRequestId, JumpClientInstallerId, Lsid, MailDeliveryId, UserId};
use crate::site::mail_address::is_address;
use crate::site::mail_template::{MailKind, is_language};
use crate::{Actor, Context, Decision, Refusal, Timestamp, World, happened, nothing, time};

#[cfg(test)]
mod tests;

/// How often a mail is tried before it is parked.
pub const ATTEMPTS_MAX: u32 = 14;
/// The pause after the first attempt that failed; it doubles from then on. Unit: microseconds.
const PAUSE_MIN: i64 = 30 * time::SECOND;
/// The longest pause. Unit: microseconds.
const PAUSE_MAX: i64 = 4 * time::HOUR;
/// How long a parked mail waits for a person before it is discarded. Unit: microseconds.
pub const PARKED_MAX: i64 = 30 * time::DAY;
/// Most mails that are asked for again at once; below the bound on the events of a command.
const REQUEUED_MAX: usize = 500;
/// Most characters of a reason.
const REASON_CHARS_MAX: usize = 500;

/// What may be asked of the outbox.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Something happened that someone is to be told of. Asked by Gatebook itself.
    Queue(MailDeliveryId, Mail),
    /// An administrator wants to see a mail arrive.
    QueueTest {
        /// Where.
        recipient: String,
        /// In which language.
        language: String,
    },
    /// An attempt came to an end. Asked by Gatebook itself.
    Settle {
        /// Which mail.
        delivery: MailDeliveryId,
        /// The number of the attempt, from 1.
        attempt: u32,
        /// How it ended.
        outcome: Outcome,
    },
    /// Try again now.
    Requeue(MailDeliveryId),
    /// Try all parked ones again now, the oldest first, at most 500.
    RequeueParked,
    /// Give it up.
    Discard(MailDeliveryId),
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The mail server has taken it.
    Delivered,
    /// Not now: the server is away, is busy, or asked to come again.
    Deferred {
        /// Why.
        reason: String,
    },
    /// Not at all, as things are.
    Refused {
        /// Why.
        reason: String,
    },
}

/// A mail to one recipient, before it is text.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
pub struct Mail {
    /// The address.
    pub recipient: String,
    /// The locale code of its language (POL-29).
    pub language: String,
    /// What it says.
    pub message: Message,
}

/// What a mail says.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Message {
    /// An approver is asked (APPR-06).
    ApprovalRequested(ApproverAsked),
    /// The requester is told that the request was approved (APPR-18).
    RequestApproved(RequesterTold),
    /// The requester is told that the request was denied (APPR-18).
    RequestDenied(RequesterTold),
    /// A session started (POL-23).
    SessionStarted(SessionTold),
    /// A session ended (POL-24).
    SessionEnded(SessionTold),
    /// Somebody is to install a Jump Client (INST-16).
    InstallerOffered(InstallerOffered),
    /// An administrator tries the settings.
    Test(Tried),
}

/// What an approver is asked.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
pub struct ApproverAsked {
    /// Which of the request's approvers; the link is made for this one alone.
    pub approver: u32,
    /// The request.
    pub request: RequestTold,
}

/// What a requester is told of a decision; never who made it (APPR-16).
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
pub struct RequesterTold {
    /// The approver's words; empty for none.
    pub comment: String,
    /// The request.
    pub request: RequestTold,
}

/// Which installer somebody is to run.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
pub struct InstallerOffered {
    /// The installer; the link to it is made when the mail leaves.
    pub installer: JumpClientInstallerId,
    /// The word of the platform in links (INST-17).
    pub platform: String,
    /// What people call the platform.
    pub platform_title: String,
    /// Who offers it, as others know them; empty for an integration.
    pub sender: String,
    /// Until when it can be used.
    pub valid_until: Timestamp,
}

/// Who tried the settings.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
pub struct Tried {
    /// The administrator; none for an integration.
    pub by: Option<UserId>,
}

/// What a mail says of a request (APPR-35), as it was when the request was made.
#[derive(
    Clone,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
#[serde(default)]
pub struct RequestTold {
    /// Its number.
    pub id: AccessRequestId,
    /// Who asks.
    pub creator_display_name: String,
    /// For what.
    pub item_name: String,
    /// From when.
    pub start_at: Timestamp,
    /// For how long, in whole minutes: what mails said before they counted seconds.
    pub duration_minutes: u32,
    /// For how long. Unit: seconds. None in mails that were queued before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<u32>,
    /// Why, in the requester's words.
    pub reason: String,
}

/// What a mail says of a session (POL-45).
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
pub struct SessionTold {
    /// The session.
    pub lsid: Lsid,
    /// What the item is called.
    pub item_name: String,
    /// Its full name in the network.
    pub item_fqdn: String,
    /// Its Jump Group.
    pub group_name: String,
    /// Who jumped, as others know them.
    pub user_display_name: String,
    /// Who jumped: told where the mail can't be delivered, also when the session is over (POL-31).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// When it happened.
    pub at: Timestamp,
}

/// What a mail is about, for whoever asks what became of the mails of a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// A request.
    Request(AccessRequestId),
    /// A session.
    Session(Lsid),
}

impl Message {
    /// Which template it takes.
    #[must_use]
    pub const fn kind(&self) -> MailKind {
        match self {
            Self::ApprovalRequested(_) | Self::RequestApproved(_) | Self::RequestDenied(_) => {
                MailKind::Approval
            }
            Self::SessionStarted(_)
            | Self::SessionEnded(_)
            | Self::InstallerOffered(_)
            | Self::Test(_) => MailKind::Notification,
        }
    }

    /// What it is about; none for an installer and for a test.
    #[must_use]
    pub const fn about(&self) -> Option<About> {
        match self {
            Self::ApprovalRequested(asked) => Some(About::Request(asked.request.id)),
            Self::RequestApproved(told) | Self::RequestDenied(told) => {
                Some(About::Request(told.request.id))
            }
            Self::SessionStarted(session) | Self::SessionEnded(session) => {
                Some(About::Session(session.lsid))
            }
            Self::InstallerOffered(_) | Self::Test(_) => None,
        }
    }

    /// Who jumped, where it is about a session.
    #[must_use]
    pub const fn jumped(&self) -> Option<UserId> {
        match self {
            Self::SessionStarted(session) | Self::SessionEnded(session) => session.user,
            _ => None,
        }
    }

    /// The word for it in answers.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::ApprovalRequested(_) => "approval_requested",
            Self::RequestApproved(_) => "request_approved",
            Self::RequestDenied(_) => "request_denied",
            Self::SessionStarted(_) => "session_started",
            Self::SessionEnded(_) => "session_ended",
            Self::InstallerOffered(_) => "installer_offered",
            Self::Test(_) => "test",
        }
    }
}

/// The mail server has taken it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// At which attempt.
    pub attempt: u32,
}

/// An attempt failed, and there will be another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// Which attempt.
    pub attempt: u32,
    /// Why.
    pub reason: String,
    /// When the next one is.
    pub next_attempt_at: Timestamp,
}

/// It is not tried any more until a person asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// After which attempt.
    pub attempt: u32,
    /// Why.
    pub reason: String,
}

/// A person asked to try again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requeued {}

/// It was given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discarded {}

/// What happens to a mail. Expected rate: two events a mail; more where the mail server makes trouble, at most 15 a round of attempts.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Event {
    /// It is to leave.
    Queued(Mail),
    /// It left.
    Delivered(Delivered),
    /// It did not yet.
    Failed(Failed),
    /// It waits for a person.
    Parked(Parked),
    /// A person wants it tried again.
    Requeued(Requeued),
    /// It never will.
    Discarded(Discarded),
}

impl Event {
    /// The names it may be stored under.
    pub const STORED_NAMES: &'static [&'static str] = &[
        "MailQueued",
        "MailDelivered",
        "MailFailed",
        "MailParked",
        "MailRequeued",
        "MailDiscarded",
    ];

    /// The name it is stored under.
    #[must_use]
    pub const fn stored_name(&self) -> &'static str {
        match self {
            Self::Queued(_) => "MailQueued",
            Self::Delivered(_) => "MailDelivered",
            Self::Failed(_) => "MailFailed",
            Self::Parked(_) => "MailParked",
            Self::Requeued(_) => "MailRequeued",
            Self::Discarded(_) => "MailDiscarded",
        }
    }

    /// Reads an event back; `None` if the name is not one of a mail's.
    ///
    /// # Errors
    /// When the stored text is not of the event's form.
    pub fn from_stored(name: &str, text: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        match name {
            "MailQueued" => serde_json::from_slice(text).map(|event| Some(Self::Queued(event))),
            "MailDelivered" => {
                serde_json::from_slice(text).map(|event| Some(Self::Delivered(event)))
            }
            "MailFailed" => serde_json::from_slice(text).map(|event| Some(Self::Failed(event))),
            "MailParked" => serde_json::from_slice(text).map(|event| Some(Self::Parked(event))),
            "MailRequeued" => serde_json::from_slice(text).map(|event| Some(Self::Requeued(event))),
            "MailDiscarded" => {
                serde_json::from_slice(text).map(|event| Some(Self::Discarded(event)))
            }
            _ => Ok(None),
        }
    }
}

/// A mail that has not left.
#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Delivery {
    /// The mail.
    pub mail: Mail,
    /// When it was queued.
    pub queued_at: Timestamp,
    /// How often it was tried since it was queued or asked for again.
    pub attempts: u32,
    /// Why the last attempt failed; empty before one did.
    pub reason: String,
    /// What it waits for.
    pub state: State,
}

/// What a mail waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub enum State {
    /// For its next attempt, which is due then.
    Waiting(Timestamp),
    /// For a person, since then.
    Parked(Timestamp),
}

/// Decides what becomes of `command`.
///
/// # Errors
/// Why not.
pub fn decide(world: &World, command: &Command, context: &Context) -> Decision {
    match command {
        Command::Queue(id, mail) => decide_queue(world, *id, mail),
        Command::QueueTest {
            recipient,
            language,
        } => decide_test(world, recipient, language, context),
        Command::Settle {
            delivery,
            attempt,
            outcome,
        } => decide_settle(world, *delivery, *attempt, outcome, context),
        Command::Requeue(id) => decide_requeue(world, *id, context),
        Command::RequeueParked => decide_requeue_parked(world),
        Command::Discard(id) => decide_discard(world, *id),
    }
}

/// Folds one event into the world.
pub fn apply(world: &mut World, id: MailDeliveryId, event: &Event, at: Timestamp) {
    match event {
        Event::Queued(mail) => world.put_mail(
            id,
            Delivery {
                mail: mail.clone(),
                queued_at: at,
                attempts: 0,
                reason: String::new(),
                state: State::Waiting(at),
            },
        ),
        Event::Delivered(_) | Event::Discarded(_) => world.take_mail(id),
        Event::Failed(failed) => world.change_mail(id, |delivery| {
            delivery.attempts = failed.attempt;
            delivery.reason.clone_from(&failed.reason);
            delivery.state = State::Waiting(failed.next_attempt_at);
        }),
        Event::Parked(parked) => world.change_mail(id, |delivery| {
            delivery.attempts = parked.attempt;
            delivery.reason.clone_from(&parked.reason);
            delivery.state = State::Parked(at);
        }),
        Event::Requeued(_) => world.change_mail(id, |delivery| {
            delivery.attempts = 0;
            delivery.state = State::Waiting(at);
        }),
    }
}

fn decide_queue(world: &World, id: MailDeliveryId, mail: &Mail) -> Decision {
    if world.mail_deliveries.contains(&id) {
        return nothing();
    }
    happened(crate::Event::MailDelivery(id, Event::Queued(mail.clone())))
}

fn decide_test(world: &World, recipient: &str, language: &str, context: &Context) -> Decision {
    if !is_address(recipient) {
        return Err(Refusal::field(
            "recipient",
            "The recipient field must be a valid email address.",
        ));
    }
    if !is_language(language) {
        return Err(Refusal::field(
            "language",
            "The language field must be a locale code such as en-us.",
        ));
    }
    if !world.mail_settings.is_configured() {
        return Err(Refusal::NoMailServer);
    }
    let by = match context.actor() {
        Actor::User(user) => Some(*user),
        _ => None,
    };
    let mail = Mail {
        recipient: recipient.to_owned(),
        language: language.to_owned(),
        message: Message::Test(Tried { by }),
    };
    let id = MailDeliveryId(context.fresh.value(0));
    happened(crate::Event::MailDelivery(id, Event::Queued(mail)))
}

fn decide_settle(
    world: &World,
    id: MailDeliveryId,
    attempt: u32,
    outcome: &Outcome,
    context: &Context,
) -> Decision {
    let Some(delivery) = world.mail_deliveries.get(&id) else {
        return nothing();
    };
    let is_current =
        matches!(delivery.state, State::Waiting(_)) && attempt == delivery.attempts + 1;
    match outcome {
        // Whoever tried it: it has left.
        Outcome::Delivered => happened(crate::Event::MailDelivery(
            id,
            Event::Delivered(Delivered { attempt }),
        )),
        // Another node counted this attempt already.
        _ if !is_current => nothing(),
        Outcome::Deferred { reason } if attempt < ATTEMPTS_MAX => {
            let pause = pause_after(attempt, context.fresh.value(0));
            happened(crate::Event::MailDelivery(
                id,
                Event::Failed(Failed {
                    attempt,
                    reason: bounded(reason),
                    next_attempt_at: context.now.plus(pause),
                }),
            ))
        }
        Outcome::Deferred { reason } | Outcome::Refused { reason } => {
            happened(crate::Event::MailDelivery(
                id,
                Event::Parked(Parked {
                    attempt,
                    reason: bounded(reason),
                }),
            ))
        }
    }
}

/// The pause after the failed attempt `attempt`: 30 s, doubled each time up to 4 h, and between three and five quarters of
/// that by chance, so that mails that failed together do not come back together. Unit: microseconds.
fn pause_after(attempt: u32, chance: u128) -> i64 {
    let doubled = PAUSE_MIN
        .checked_shl(attempt.saturating_sub(1).min(20))
        .unwrap_or(PAUSE_MAX)
        .min(PAUSE_MAX);
    // 0 to 1,000 thousandths of the half that is left to chance.
    let thousandths = i64::try_from(chance % 1_001).unwrap_or(0);
    doubled / 4 * 3 + doubled / 2 / 1_000 * thousandths
}

fn decide_requeue(world: &World, id: MailDeliveryId, context: &Context) -> Decision {
    let delivery = world
        .mail_deliveries
        .get(&id)
        .ok_or(Refusal::not_found("Mail"))?;
    match delivery.state {
        State::Waiting(due_at) if due_at <= context.now => nothing(),
        _ => happened(requeued(id)),
    }
}

fn decide_requeue_parked(world: &World) -> Decision {
    Ok(world
        .parked_mails()
        .take(REQUEUED_MAX)
        .map(|(_, id)| requeued(id))
        .collect())
}

fn decide_discard(world: &World, id: MailDeliveryId) -> Decision {
    if !world.mail_deliveries.contains(&id) {
        return Err(Refusal::not_found("Mail"));
    }
    happened(crate::Event::MailDelivery(
        id,
        Event::Discarded(Discarded {}),
    ))
}

const fn requeued(id: MailDeliveryId) -> crate::Event {
    crate::Event::MailDelivery(id, Event::Requeued(Requeued {}))
}

/// What a mail server says is shown to people: one line, and not too long.
fn bounded(reason: &str) -> String {
    reason
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(REASON_CHARS_MAX)
        .collect()
}
