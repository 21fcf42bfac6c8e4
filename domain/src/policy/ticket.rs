//! Requests to the ticket system: whether the ticket a user named allows a session to start.
//!
//! States: waiting → allowed, denied, failed, timed out or void. What is settled leaves the world: the first answer stands, and
//! any later one is for a request that is not valid (TICK-39). An allowed request is followed at once by what becomes of the
//! start, decided anew with all gates.
//!
//! The ticket ID of a sensitive system is in no event. The unguessable id that the ticket system is given is known here by its
//! keyed hash alone.
//!
//! A request rests on the sign-in of the user who waits: signing out voids it in the same decision, and one whose sign-in has
//! expired or was withdrawn is answered like one that is not there (TICK-48).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{KeyedHash, Lsid, SecretRef, TicketRequestId, UserId};
use crate::policy::gates::{self, Need, Supplied};
use crate::session::access_session::{self, Start};
use crate::site::ticket_system::Status;
use crate::{
    Actor, Cause, Context, Decision, FieldErrors, Refusal, Surface, Timestamp, World, happened,
    nothing, time,
};

mod parameters;
#[cfg(test)]
mod tests;

pub use parameters::{Handed, parameters, type_word};

/// Longest ticket ID, in characters.
pub const TICKET_ID_CHARS_MAX: usize = 255;
/// Longest message of the ticket system, in characters (TICK-31).
pub const MESSAGE_CHARS_MAX: usize = 255;
/// Requests of one user that may wait at once: as many as items may be started at once (SESS-12).
pub const WAITING_PER_USER_MAX: usize = 10;
/// The name under which an answer sets the external key of the session.
pub const EXTERNAL_KEY: &str = "external_key";

/// What the user typed. It is never printed: it may be sensitive (TICK-11).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TicketId(pub String);

impl fmt::Debug for TicketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketId(…)")
    }
}

/// The sign-in to the console that a waiting start rests on: it ends with it (TICK-48).
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
pub struct SignIn {
    /// The keyed hash that the sign-in is known by.
    pub key: KeyedHash,
    /// The password that the user signed in with.
    pub password: SecretRef,
    /// The first instant at which it is no good.
    pub ends_at: Timestamp,
}

/// A user names a ticket for a start.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// What the user wants to start.
    pub start: Start,
    /// The ticket.
    pub ticket_id: TicketId,
    /// The keyed hash of the id that the ticket system is given.
    pub answer_key: KeyedHash,
    /// The sign-in under which the user waits; none where there is no console to close.
    pub sign_in: Option<SignIn>,
}

/// The ticket system answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The keyed hash of the id it answers for; none where it gave none.
    pub answer_key: Option<KeyedHash>,
    /// `allow` or `deny`; anything else ends the request (ERR-29).
    pub response: Option<String>,
    /// Words for the user.
    pub message: Option<String>,
    /// Attributes of the session by code name, without `session.custom.` (TICK-33).
    pub attributes: BTreeMap<String, String>,
    /// Whether the sign-in that the request rests on was withdrawn, as whoever keeps the sign-ins knows.
    pub sign_in_withdrawn: bool,
}

/// What may be asked of ticket requests.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Ask the ticket system. Where the item needs no ticket, the session starts at once.
    Ask(Box<Ask>),
    /// Note what came of sending a request: none where the ticket system took it, else what went wrong.
    NoteSent {
        /// Which request.
        request: TicketRequestId,
        /// What went wrong.
        trouble: Option<Trouble>,
    },
    /// The ticket system's answer.
    Answer(Answer),
    /// It took too long: a due date.
    TimeOut {
        /// Which request.
        request: TicketRequestId,
    },
    /// Its user no longer waits (TICK-48).
    Void {
        /// Which request.
        request: TicketRequestId,
    },
}

/// Why a request did not reach the ticket system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "trouble", content = "detail", rename_all = "snake_case")]
pub enum Trouble {
    /// The host has no address (ERR-25).
    NotResolved,
    /// Nothing is sent to this address.
    NotAllowed(String),
    /// Its certificate is not good, or TLS failed otherwise.
    Tls(String),
    /// It took too long (ERR-26).
    TimedOut,
    /// Nobody listens there, or the connection broke.
    Unreachable(String),
    /// It answered the request with this status, which is none of success.
    Status(u16),
}

impl Trouble {
    /// The words for the user who waits and for Current Status.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::NotResolved => "The given host was not resolved.".to_owned(),
            Self::NotAllowed(address) => format!(
                "The ticket system's address {address} is not in a network that this site may send requests to."
            ),
            Self::Tls(detail) => {
                format!("The ticket system's certificate could not be verified: {detail}.")
            }
            Self::TimedOut => TIMED_OUT.to_owned(),
            Self::Unreachable(detail) => {
                format!("The ticket system could not be reached: {detail}.")
            }
            Self::Status(status) => {
                format!("The ticket system answered the request with HTTP status {status}.")
            }
        }
    }
}

/// ERR-22.
const INVALID_TICKET: &str = "Invalid ticket ID.";
/// ERR-26.
const TIMED_OUT: &str = "The ticket system failed to respond in time.";
/// ERR-29.
const INVALID_RESPONSE: &str = "The ticket system returned an invalid response.";
/// What Current Status says when all is well (TICK-47).
const SUCCESS: &str = "Success";

/// The ticket system is to be asked. Expected rate: as people jump under policies that ask for tickets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// What the user wants to start.
    pub start: Start,
    /// The ticket; none where the ticket system is sensitive (TICK-11).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket_id: Option<String>,
    /// The keyed hash of the id that the ticket system is given.
    pub answer_key: KeyedHash,
    /// When the time is up.
    pub expires_at: Timestamp,
    /// Which version of the ticket system's settings it is sent by.
    pub version: u32,
    /// The sign-in under which the user waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_in: Option<SignIn>,
}

/// What came of sending a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sent {
    /// What went wrong; none where the ticket system took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
    /// Whether this is the ticket system's Current Status: its settings were not changed since.
    pub current: bool,
    /// Whether the request ended by it.
    pub ends: bool,
}

/// The ticket system said yes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Allowed {
    /// Attributes of the session by code name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// The session that starts; none where it may not, which the next event says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lsid: Option<Lsid>,
    /// Whether this is the ticket system's Current Status: its settings were not changed since.
    pub current: bool,
}

/// Something else than the ticket does not allow the start any more: found when the ticket system said yes, or before, when a
/// right was taken away.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartRefused {
    /// The refusal's code.
    pub code: String,
    /// The words for the user.
    pub message: String,
}

/// The ticket system said no, or nothing that can be understood.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Denied {
    /// The words for the user.
    pub message: String,
    /// Whether this is the ticket system's Current Status: its settings were not changed since.
    pub current: bool,
}

/// Nothing more comes of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimedOut {
    /// Whether this is the ticket system's Current Status: its settings were not changed since.
    pub current: bool,
}

/// Its user no longer waits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Voided {}

/// What happens to a ticket request.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[allow(
    clippy::large_enum_variant,
    reason = "events are read one at a time and boxed nowhere else"
)]
pub enum Event {
    /// The ticket system is to be asked.
    Asked(Asked),
    /// What came of sending it.
    Sent(Sent),
    /// The ticket system said yes.
    Allowed(Allowed),
    /// The start is refused, whatever the ticket system says.
    StartRefused(StartRefused),
    /// The ticket system said no.
    Denied(Denied),
    /// The ticket system's answer can't be understood.
    AnswerInvalid(Denied),
    /// It took too long.
    TimedOut(TimedOut),
    /// Its user no longer waits.
    Voided(Voided),
}

impl Event {
    /// The names it may be stored under.
    pub const STORED_NAMES: &'static [&'static str] = &[
        "TicketRequestAsked",
        "TicketRequestSent",
        "TicketRequestAllowed",
        "TicketRequestStartRefused",
        "TicketRequestDenied",
        "TicketRequestAnswerInvalid",
        "TicketRequestTimedOut",
        "TicketRequestVoided",
    ];

    /// The name it is stored under.
    #[must_use]
    pub const fn stored_name(&self) -> &'static str {
        match self {
            Self::Asked(_) => "TicketRequestAsked",
            Self::Sent(_) => "TicketRequestSent",
            Self::Allowed(_) => "TicketRequestAllowed",
            Self::StartRefused(_) => "TicketRequestStartRefused",
            Self::Denied(_) => "TicketRequestDenied",
            Self::AnswerInvalid(_) => "TicketRequestAnswerInvalid",
            Self::TimedOut(_) => "TicketRequestTimedOut",
            Self::Voided(_) => "TicketRequestVoided",
        }
    }

    /// Reads an event back; `None` if the name is not one of a ticket request's.
    ///
    /// # Errors
    /// When the stored text is not of the event's form.
    pub fn from_stored(name: &str, text: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        Ok(Some(match name {
            "TicketRequestAsked" => Self::Asked(serde_json::from_slice(text)?),
            "TicketRequestSent" => Self::Sent(serde_json::from_slice(text)?),
            "TicketRequestAllowed" => Self::Allowed(serde_json::from_slice(text)?),
            "TicketRequestStartRefused" => Self::StartRefused(serde_json::from_slice(text)?),
            "TicketRequestDenied" => Self::Denied(serde_json::from_slice(text)?),
            "TicketRequestAnswerInvalid" => Self::AnswerInvalid(serde_json::from_slice(text)?),
            "TicketRequestTimedOut" => Self::TimedOut(serde_json::from_slice(text)?),
            "TicketRequestVoided" => Self::Voided(serde_json::from_slice(text)?),
            _ => return Ok(None),
        }))
    }
}

/// A request that waits for the ticket system.
#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct TicketRequest {
    /// What the user wants to start.
    pub start: Start,
    /// The keyed hash of the id that the ticket system was given.
    pub answer_key: KeyedHash,
    /// When the time is up.
    pub expires_at: Timestamp,
    /// Which version of the ticket system's settings it is sent by.
    pub version: u32,
    /// The sign-in under which the user waits.
    pub sign_in: Option<SignIn>,
}

impl TicketRequest {
    /// Whether its user is still there to see the session start: the sign-in has not expired, and the user is enabled and has the
    /// password of the sign-in (TICK-48).
    fn is_waited_for(&self, world: &World, now: Timestamp) -> bool {
        let user = world.users.get(&self.start.user);
        self.sign_in.as_ref().is_none_or(|sign_in| {
            now < sign_in.ends_at
                && user.is_some_and(|user| {
                    user.enabled && user.password.as_ref() == Some(&sign_in.password)
                })
        })
    }
}

/// What has become of a request, for the user who waits: told by its events, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing yet.
    Waiting,
    /// The session starts, or the user joined it.
    Allowed(Option<Lsid>),
    /// No, with these words.
    Refused(String),
    /// The user no longer waits.
    Void,
}

impl Outcome {
    /// What has become of it after `event`.
    #[must_use]
    pub fn after(self, event: &Event) -> Self {
        match event {
            Event::Asked(_) | Event::Sent(Sent { ends: false, .. }) => self,
            Event::Sent(sent) => Self::Refused(
                sent.trouble
                    .as_ref()
                    .map_or_else(|| INVALID_RESPONSE.to_owned(), Trouble::message),
            ),
            Event::Allowed(allowed) => Self::Allowed(allowed.lsid),
            Event::StartRefused(refused) => Self::Refused(refused.message.clone()),
            Event::Denied(denied) | Event::AnswerInvalid(denied) => {
                Self::Refused(denied.message.clone())
            }
            Event::TimedOut(_) => Self::Refused(TIMED_OUT.to_owned()),
            Event::Voided(_) => Self::Void,
        }
    }

    /// The word for the state.
    #[must_use]
    pub const fn state(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Allowed(_) => "allowed",
            Self::Refused(_) => "refused",
            Self::Void => "void",
        }
    }
}

/// Decides what becomes of `command`, given all that is known.
///
/// # Errors
/// Why not.
pub fn decide(world: &World, command: &Command, context: &Context) -> Decision {
    match command {
        Command::Ask(ask) => decide_ask(world, ask, context),
        Command::NoteSent { request, trouble } => {
            decide_note_sent(world, *request, trouble.as_ref())
        }
        Command::Answer(answer) => decide_answer(world, answer, context),
        Command::TimeOut { request } => decide_time_out(world, *request, context),
        Command::Void { request } => decide_void(world, *request, context),
    }
}

/// Folds one event into the world.
pub fn apply(world: &mut World, id: TicketRequestId, event: &Event, at: Timestamp) {
    if let Event::Asked(asked) = event {
        let waiting = TicketRequest {
            start: asked.start.clone(),
            answer_key: asked.answer_key.clone(),
            expires_at: asked.expires_at,
            version: asked.version,
            sign_in: asked.sign_in.clone(),
        };
        return world.ticket_asked(id, waiting);
    }
    if let Some(status) = status_by(event, at) {
        world.ticket_connection.status = Some(status);
    }
    if !matches!(event, Event::Sent(Sent { ends: false, .. })) {
        world.ticket_settled(id);
    }
}

/// The Current Status that an event makes (TICK-47): one that answers was reached.
fn status_by(event: &Event, at: Timestamp) -> Option<Status> {
    let (current, trouble) = match event {
        Event::Sent(sent) => (sent.current, sent.trouble.as_ref()),
        Event::TimedOut(timed_out) => (timed_out.current, Some(&Trouble::TimedOut)),
        Event::Allowed(allowed) => (allowed.current, None),
        Event::Denied(denied) | Event::AnswerInvalid(denied) => (denied.current, None),
        Event::Asked(_) | Event::StartRefused(_) | Event::Voided(_) => (false, None),
    };
    current.then(|| Status {
        success: trouble.is_none(),
        message: trouble.map_or_else(|| SUCCESS.to_owned(), Trouble::message),
        at,
    })
}

fn of(request: TicketRequestId, event: Event) -> crate::Event {
    crate::Event::TicketRequest(request, event)
}

fn decide_ask(world: &World, ask: &Ask, context: &Context) -> Decision {
    let start = &ask.start;
    let without = Supplied {
        notification_consent: start.notification_consent,
        schedule_override: start.schedule_override,
        ..Supplied::default()
    };
    let opening = access_session::readiness(world, start.user, start.item, &without, context.now)?;
    let is_needed = opening
        .needs
        .iter()
        .any(|need| matches!(need, Need::Ticket { .. }));
    if !is_needed {
        return access_session::begin(world, start, None, &BTreeMap::new(), context);
    }
    check_ticket_id(&ask.ticket_id)?;
    let request = TicketRequestId(world.next_id("ticket_request"));
    // Whatever else the start needs is said now, before anybody is asked.
    access_session::begin(world, start, Some(request), &BTreeMap::new(), context)?;
    if world.tickets_waiting_of(start.user) >= WAITING_PER_USER_MAX {
        return Err(Refusal::TooManyStarting);
    }
    let system = &world.ticket_system;
    happened(of(
        request,
        Event::Asked(Asked {
            start: start.clone(),
            ticket_id: (!system.sensitive).then(|| ask.ticket_id.0.clone()),
            answer_key: ask.answer_key.clone(),
            expires_at: context
                .now
                .plus(i64::from(system.timeout_seconds) * time::SECOND),
            version: world.ticket_connection.version,
            sign_in: ask.sign_in.clone(),
        }),
    ))
}

/// A ticket ID is sent as it was typed; an empty one is not sent at all (TICK-44).
fn check_ticket_id(ticket: &TicketId) -> Result<(), Refusal> {
    let message = if ticket.0.trim().is_empty() {
        "The ticket_id field must not be empty."
    } else if ticket.0.chars().count() > TICKET_ID_CHARS_MAX {
        "The ticket_id field must not be longer than 255 characters."
    } else if ticket.0.chars().any(char::is_control) {
        "The ticket_id field must not hold control characters."
    } else {
        return Ok(());
    };
    Err(Refusal::field("ticket_id", message))
}

/// An answer may be faster than the reply to the POST: of a request that is settled nothing more is noted.
fn decide_note_sent(
    world: &World,
    request: TicketRequestId,
    trouble: Option<&Trouble>,
) -> Decision {
    let Some(waiting) = world.ticket_requests.get(&request) else {
        return nothing();
    };
    happened(of(
        request,
        Event::Sent(Sent {
            trouble: trouble.cloned(),
            current: is_current(world, waiting),
            ends: trouble.is_some(),
        }),
    ))
}

fn is_current(world: &World, request: &TicketRequest) -> bool {
    request.version == world.ticket_connection.version
}

fn decide_answer(world: &World, answer: &Answer, context: &Context) -> Decision {
    if !world.ticket_system.is_configured() {
        return Err(Refusal::TicketSystemNotConfigured);
    }
    let Some(key) = &answer.answer_key else {
        return Err(Refusal::field(
            "response_id",
            "The response_id field is required.",
        ));
    };
    let (request, waiting) = world
        .ticket_request_of(key)
        .filter(|(_, waiting)| {
            context.now < waiting.expires_at
                && !answer.sign_in_withdrawn
                && waiting.is_waited_for(world, context.now)
        })
        .ok_or(Refusal::TicketRequestNotValid)?;
    let current = is_current(world, waiting);
    match answer.response.as_deref() {
        Some("allow") => decide_allow(world, request, waiting, answer, context),
        Some("deny") => {
            let message = message_of(answer)?;
            let message = if message.trim().is_empty() {
                INVALID_TICKET.to_owned()
            } else {
                message.to_owned()
            };
            happened(of(request, Event::Denied(Denied { message, current })))
        }
        _ => happened(of(
            request,
            Event::AnswerInvalid(Denied {
                message: INVALID_RESPONSE.to_owned(),
                current,
            }),
        )),
    }
}

/// The ticket system's words, where they are not too long (TICK-32).
fn message_of(answer: &Answer) -> Result<&str, Refusal> {
    let message = answer.message.as_deref().unwrap_or_default();
    if message.chars().count() > MESSAGE_CHARS_MAX {
        return Err(Refusal::field(
            "message",
            "The message field must not be longer than 255 characters.",
        ));
    }
    Ok(message)
}

fn decide_allow(
    world: &World,
    request: TicketRequestId,
    waiting: &TicketRequest,
    answer: &Answer,
    context: &Context,
) -> Decision {
    message_of(answer)?;
    check_attributes(world, answer)?;
    // The session is the user's, who asked for it; the ticket system only lets it happen.
    let cause = Cause {
        actor: Actor::User(waiting.start.user),
        surface: Surface::TicketSystem,
        address: None,
    };
    let on_behalf = Context {
        now: context.now,
        cause: &cause,
        fresh: context.fresh,
    };
    let begun = access_session::begin(
        world,
        &waiting.start,
        Some(request),
        &answer.attributes,
        &on_behalf,
    );
    let allowed = |lsid| {
        of(
            request,
            Event::Allowed(Allowed {
                attributes: answer.attributes.clone(),
                lsid,
                current: is_current(world, waiting),
            }),
        )
    };
    Ok(match begun {
        Ok(events) => {
            let lsid = events.iter().find_map(|event| match event {
                crate::Event::AccessSession(lsid, _) => Some(*lsid),
                _ => None,
            });
            std::iter::once(allowed(lsid)).chain(events).collect()
        }
        // Only what the answer itself brings can be of a wrong form by now: it is refused, and another may come (TICK-46).
        Err(Refusal::Invalid(errors)) => return Err(Refusal::Invalid(errors)),
        Err(refusal) => vec![allowed(None), of(request, start_refused(&refusal))],
    })
}

/// Whether each attribute that the answer gives is configured (TICK-46); their limits are the session's to check.
fn check_attributes(world: &World, answer: &Answer) -> Result<(), Refusal> {
    let mut errors = FieldErrors::default();
    let is_known =
        |name: &str| name == EXTERNAL_KEY || world.session_attribute_named(name).is_some();
    for name in answer.attributes.keys().filter(|name| !is_known(name)) {
        let shown: String = name.chars().take(64).collect();
        errors.push(
            format!("session.custom.{shown}"),
            "The custom session attribute is not configured.",
        );
    }
    errors.into_result(())
}

/// Looks at a waiting request again after rights were taken away: where its user may not start sessions on the item any more, it
/// is refused at once. All other gates are asked when the answer comes.
pub(crate) fn review(world: &World, request: TicketRequestId) -> Option<crate::Event> {
    let start = &world.ticket_requests.get(&request)?.start;
    let refusal = gates::may_start(world, start.user, start.item).err()?;
    Some(of(request, start_refused(&refusal)))
}

fn start_refused(refusal: &Refusal) -> Event {
    Event::StartRefused(StartRefused {
        code: refusal.code().to_owned(),
        message: refusal.to_string(),
    })
}

fn decide_time_out(world: &World, request: TicketRequestId, context: &Context) -> Decision {
    match world.ticket_requests.get(&request) {
        Some(waiting) if context.now >= waiting.expires_at => happened(of(
            request,
            Event::TimedOut(TimedOut {
                current: is_current(world, waiting),
            }),
        )),
        _ => nothing(),
    }
}

fn decide_void(world: &World, request: TicketRequestId, context: &Context) -> Decision {
    match world.ticket_requests.get(&request) {
        Some(waiting) if context.actor().is(waiting.start.user) => {
            happened(of(request, Event::Voided(Voided {})))
        }
        Some(_) => Err(Refusal::not_found("Ticket request")),
        None => nothing(),
    }
}

/// The events that void what `user` waits for under the sign-in `key`, which ends (TICK-48).
pub(crate) fn voided_with_sign_in(
    world: &World,
    user: UserId,
    key: &KeyedHash,
) -> impl Iterator<Item = crate::Event> {
    world
        .tickets_of(user)
        .filter(|(_, request)| {
            let rests_on = request.sign_in.as_ref().map(|sign_in| &sign_in.key);
            rests_on == Some(key)
        })
        .map(|(id, _)| of(id, Event::Voided(Voided {})))
}
