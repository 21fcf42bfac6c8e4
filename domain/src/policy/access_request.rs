//! Requests for approved access: somebody asks, an approver answers, sessions use the answer (APPR, POL-34 to POL-41).
//!
//! States: pending → approved → in use, by any number of starts (APPR-36); pending or approved → denied, until it is used
//! (APPR-12, APPR-14); pending, approved or in use → cancelled (APPR-28, APPR-29, APPR-31, APPR-38). When its window is over a
//! pending request expires (APPR-33), every other one is closed, and both leave the world.

use serde::{Deserialize, Serialize};

use crate::ids::{AccessRequestId, JumpGroupRef, JumpItemRef, JumpPolicyId, Lsid, UserId};
use crate::policy::gates;
use crate::policy::jump_policy::JumpPolicy;
use crate::{
    Actor, Context, Decision, FieldErrors, Refusal, Surface, Timestamp, World, happened, nothing,
    time,
};

pub mod approvers;
mod bounds;
pub mod standing;
#[cfg(test)]
mod tests;

pub use approvers::{Approver, ApproverList};
pub use bounds::{MAILS_PER_HOUR_MAX, PENDING_MAX, REQUESTS_PER_HOUR_MAX, WAITING_PER_USER_MAX};
pub use standing::{Standing, StandingKind, standing, usable};

/// Longest reason and longest comment, in characters. Source: the published schema, JumpAuthorizationRequest.
pub const TEXT_CHARS_MAX: usize = 2_048;
/// Shortest access that can be asked for. Unit: seconds. Source: the published schema.
pub const DURATION_SECONDS_MIN: u32 = 60;
/// Latest start that can be asked for, in seconds since 1970. Source: the published schema.
const START_MAX: i64 = i32::MAX as i64;

/// What may be asked of access requests.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Ask for access.
    Submit(Submit),
    /// Say yes. The caller is an approver of the request, or an API account for one.
    Approve {
        /// Which request.
        request: AccessRequestId,
        /// Words for the requester; may be empty.
        comment: String,
        /// The approver an API account speaks for.
        speaking_for: Option<UserId>,
    },
    /// Say no, also to what another approver has approved, until it is used.
    Deny {
        /// Which request.
        request: AccessRequestId,
        /// Words for the requester; may be empty.
        comment: String,
        /// The approver an API account speaks for.
        speaking_for: Option<UserId>,
    },
    /// Take a request back, or give an approved access up.
    Cancel {
        /// Which request.
        request: AccessRequestId,
    },
    /// Its window is over: a due date.
    Expire {
        /// Which request.
        request: AccessRequestId,
    },
}

/// Somebody asks for access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submit {
    /// For whom.
    pub user: UserId,
    /// To what.
    pub item: JumpItemRef,
    /// Why (APPR-04).
    pub reason: String,
    /// From when on.
    pub start_at: Timestamp,
    /// For how long. Unit: seconds, from [`DURATION_SECONDS_MIN`] to the policy's maximum (POL-35).
    pub duration_seconds: u32,
}

/// Whom an approval is good for (POL-37).
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The requester alone (APPR-20).
    Requestor,
    /// Whoever may start sessions on the item (APPR-21).
    Anyone,
}

impl Scope {
    /// The scope a policy sets.
    #[must_use]
    pub fn of(policy: &JumpPolicy) -> Self {
        if policy.approval_scope == "anyone" {
            Self::Anyone
        } else {
            Self::Requestor
        }
    }

    /// The words of the request form (APPR-03).
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Requestor => "Yourself Only",
            Self::Anyone => "Anyone Permitted to Request",
        }
    }
}

/// A request was made: who is asked, and every name that people are shown, as of then. Expected rate: hundreds a day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Submitted {
    /// Who asks.
    pub requester: UserId,
    /// What others call the requester.
    pub requester_name: String,
    /// To what.
    pub item: JumpItemRef,
    /// What the item was called.
    pub item_name: String,
    /// The group the item was in.
    pub group: JumpGroupRef,
    /// What the group was called.
    pub group_name: String,
    /// The policy that asks for approval.
    pub jump_policy_id: JumpPolicyId,
    /// What the policy was called.
    pub jump_policy_name: String,
    /// What the approvers are called (POL-40).
    pub approvers_name: String,
    /// The language of the mails (POL-29).
    pub language: String,
    /// Whom the approval will be good for.
    pub scope: Scope,
    /// Why.
    pub reason: String,
    /// From when on, inclusive (APPR-39).
    pub start_at: Timestamp,
    /// Until when, exclusive.
    pub ends_at: Timestamp,
    /// Who may answer, each with a link of their own (APPR-06, APPR-37); empty where `approvers_of` says it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<Approver>,
    /// The earlier request whose list of approvers is this one's too: a list of hundreds is written once, not with each request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvers_of: Option<AccessRequestId>,
    /// Places in the list that are not asked: the requester's own (APPR-32).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<u32>,
}

/// An approver answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// Who: shown to approvers (APPR-15), never to the requester (APPR-16).
    pub by: Approver,
    /// Words for the requester.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
}

/// It was taken back, or the access given up (APPR-30).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cancelled {
    /// By whom.
    pub user: UserId,
}

/// A session began under it (APPR-34).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Used {
    /// The session.
    pub lsid: Lsid,
    /// Who started it.
    pub user: UserId,
}

/// Its window is over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Over {}

/// What happens to a request. Expected rate: a few for each request.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[allow(
    clippy::large_enum_variant,
    reason = "events are read one at a time and boxed nowhere else"
)]
pub enum Event {
    /// It was made.
    Submitted(Submitted),
    /// An approver said yes.
    Approved(Answered),
    /// An approver said no.
    Denied(Answered),
    /// It was taken back or given up.
    Cancelled(Cancelled),
    /// A session began under it.
    Used(Used),
    /// Its window passed undecided (APPR-33).
    Expired(Over),
    /// Its window passed after it was settled.
    Closed(Over),
}

impl Event {
    /// The names it may be stored under.
    pub const STORED_NAMES: &'static [&'static str] = &[
        "AccessRequestSubmitted",
        "AccessRequestApproved",
        "AccessRequestDenied",
        "AccessRequestCancelled",
        "AccessRequestUsed",
        "AccessRequestExpired",
        "AccessRequestClosed",
    ];

    /// The name it is stored under.
    #[must_use]
    pub const fn stored_name(&self) -> &'static str {
        match self {
            Self::Submitted(_) => "AccessRequestSubmitted",
            Self::Approved(_) => "AccessRequestApproved",
            Self::Denied(_) => "AccessRequestDenied",
            Self::Cancelled(_) => "AccessRequestCancelled",
            Self::Used(_) => "AccessRequestUsed",
            Self::Expired(_) => "AccessRequestExpired",
            Self::Closed(_) => "AccessRequestClosed",
        }
    }

    /// Reads an event back; `None` if the name is not one of a request's.
    ///
    /// # Errors
    /// When the stored text is not of the event's form.
    pub fn from_stored(name: &str, text: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        Ok(Some(match name {
            "AccessRequestSubmitted" => Self::Submitted(serde_json::from_slice(text)?),
            "AccessRequestApproved" => Self::Approved(serde_json::from_slice(text)?),
            "AccessRequestDenied" => Self::Denied(serde_json::from_slice(text)?),
            "AccessRequestCancelled" => Self::Cancelled(serde_json::from_slice(text)?),
            "AccessRequestUsed" => Self::Used(serde_json::from_slice(text)?),
            "AccessRequestExpired" => Self::Expired(serde_json::from_slice(text)?),
            "AccessRequestClosed" => Self::Closed(serde_json::from_slice(text)?),
            _ => return Ok(None),
        }))
    }
}

/// What is known of a request until its window is over.
#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
#[allow(
    missing_docs,
    reason = "the members are those of Submitted, described there"
)]
pub struct AccessRequest {
    pub requester: UserId,
    pub requester_name: String,
    pub item: JumpItemRef,
    pub item_name: String,
    pub group: JumpGroupRef,
    pub group_name: String,
    pub jump_policy_id: JumpPolicyId,
    pub jump_policy_name: String,
    pub approvers_name: String,
    pub scope: Scope,
    pub reason: String,
    pub start_at: Timestamp,
    pub ends_at: Timestamp,
    /// The request whose event has the list of approvers: itself or an earlier one.
    pub approvers_of: AccessRequestId,
    /// Places in that list that are not asked, rising.
    pub except: Vec<u32>,
    /// When it was made.
    pub submitted_at: Timestamp,
    /// What became of it.
    pub state: State,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub enum State {
    /// Nobody has answered.
    Pending,
    /// An approver said yes, and no session has begun under it.
    Approved(Answer),
    /// Sessions have begun under it: it can't be denied any more (APPR-14).
    InUse(Answer),
    /// An approver said no; that stands (APPR-13).
    Denied(Answer),
    /// Taken back or given up; with the answer it had, if any.
    Cancelled(Option<Answer>),
}

/// What an approver said.
#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Answer {
    /// Who.
    pub by: Approver,
    /// Words for the requester.
    pub comment: String,
    /// When.
    pub at: Timestamp,
}

impl State {
    /// The word of the published schema (APPR-08).
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved(_) => "approved",
            Self::InUse(_) => "in_use",
            Self::Denied(_) => "denied",
            Self::Cancelled(_) => "cancelled",
        }
    }

    /// The last answer of an approver, if there was one.
    #[must_use]
    pub const fn answer(&self) -> Option<&Answer> {
        match self {
            Self::Pending => None,
            Self::Approved(answer) | Self::InUse(answer) | Self::Denied(answer) => Some(answer),
            Self::Cancelled(answer) => answer.as_ref(),
        }
    }

    /// Whether sessions may begin under it, as far as the answer goes.
    #[must_use]
    pub const fn is_approved(&self) -> bool {
        matches!(self, Self::Approved(_) | Self::InUse(_))
    }
}

impl AccessRequest {
    /// How long the access is. Unit: seconds.
    #[must_use]
    pub const fn duration_seconds(&self) -> i64 {
        self.ends_at.since(self.start_at) / time::SECOND
    }

    /// Whether `at` lies in its window: start inclusive, end exclusive (APPR-22, APPR-39).
    #[must_use]
    pub fn covers(&self, at: Timestamp) -> bool {
        self.start_at <= at && at < self.ends_at
    }

    /// Whether the approval is good for `user`, as far as its scope goes (APPR-20, APPR-21).
    #[must_use]
    pub fn is_for(&self, user: UserId) -> bool {
        self.requester == user || self.scope == Scope::Anyone
    }
}

/// A duration in the style of the request form: `2 Hour(s)` (APPR-02).
#[must_use]
pub fn duration_text(seconds: i64) -> String {
    const UNITS: [(i64, &str); 3] = [(86_400, "Day"), (3_600, "Hour"), (60, "Minute")];
    let (size, unit) = UNITS
        .into_iter()
        .find(|(size, _)| seconds >= *size && seconds % size == 0)
        .unwrap_or((1, "Second"));
    format!("{} {unit}(s)", seconds / size)
}

/// Decides what becomes of `command`, given all that is known.
///
/// # Errors
/// Why not.
pub fn decide(world: &World, command: &Command, context: &Context) -> Decision {
    match command {
        Command::Submit(submit) => decide_submit(world, submit, context),
        Command::Approve {
            request,
            comment,
            speaking_for,
        } => decide_approve(world, *request, comment, *speaking_for, context),
        Command::Deny {
            request,
            comment,
            speaking_for,
        } => decide_deny(world, *request, comment, *speaking_for, context),
        Command::Cancel { request } => decide_cancel(world, *request, context),
        Command::Expire { request } => decide_expire(world, *request, context),
    }
}

/// Folds one event into the world.
pub fn apply(world: &mut World, id: AccessRequestId, event: &Event, at: Timestamp) {
    let answer = |answered: &Answered| Answer {
        by: answered.by.clone(),
        comment: answered.comment.clone(),
        at,
    };
    match event {
        Event::Submitted(submitted) => {
            let list = (!submitted.approvers.is_empty()).then(|| ApproverList {
                policy: submitted.jump_policy_id,
                approvers: submitted.approvers.clone(),
            });
            world.request_submitted(id, request_of(id, submitted, at), list);
        }
        Event::Approved(answered) => {
            world.change_request(id, |_| State::Approved(answer(answered)));
        }
        Event::Denied(answered) => world.change_request(id, |_| State::Denied(answer(answered))),
        Event::Cancelled(_) => {
            world.change_request(id, |state| State::Cancelled(state.answer().cloned()));
        }
        Event::Used(_) => world.change_request(id, |state| match state {
            State::Approved(answer) => State::InUse(answer),
            other => other,
        }),
        Event::Expired(_) | Event::Closed(_) => world.forget_request(id),
    }
}

fn request_of(id: AccessRequestId, submitted: &Submitted, at: Timestamp) -> AccessRequest {
    let submitted = submitted.clone();
    AccessRequest {
        requester: submitted.requester,
        requester_name: submitted.requester_name,
        item: submitted.item,
        item_name: submitted.item_name,
        group: submitted.group,
        group_name: submitted.group_name,
        jump_policy_id: submitted.jump_policy_id,
        jump_policy_name: submitted.jump_policy_name,
        approvers_name: submitted.approvers_name,
        scope: submitted.scope,
        reason: submitted.reason,
        start_at: submitted.start_at,
        ends_at: submitted.ends_at,
        approvers_of: submitted.approvers_of.unwrap_or(id),
        except: submitted.except,
        submitted_at: at,
        state: State::Pending,
    }
}

/// The event of a session that began under a request; it goes with the session's own (APPR-34).
#[must_use]
pub const fn used(request: AccessRequestId, lsid: Lsid, user: UserId) -> crate::Event {
    crate::Event::AccessRequest(request, Event::Used(Used { lsid, user }))
}

fn decide_submit(world: &World, submit: &Submit, context: &Context) -> Decision {
    if let Actor::User(caller) = context.actor()
        && *caller != submit.user
        && !world.is_administrator(*caller)
    {
        return Err(Refusal::AdministratorNeeded);
    }
    let access = gates::may_start(world, submit.user, submit.item)?;
    let (policy_id, policy) = gates::effective_policy(world, &access, submit.item)
        .and_then(|id| Some((id, world.jump_policies.get(&id)?)))
        .filter(|(_, policy)| policy.approval_required)
        .ok_or(Refusal::ApprovalNotNeeded)?;
    let ends_at = check_form(submit, policy, context)?;
    let scope = Scope::of(policy);
    if scope == Scope::Anyone && overlaps_another(world, submit.item, submit.start_at, ends_at) {
        return Err(Refusal::RequestOverlaps);
    }
    let list = approvers::of_policy(world, policy);
    let except = approvers::not_asked(world, policy, &list, submit.user);
    let asked = || list.iter().filter(|by| !except.contains(&by.index));
    if asked().next().is_none() {
        return Err(Refusal::NoApprover {
            policy: policy.display_name.clone(),
        });
    }
    bounds::check(world, submit.user, submit.item, asked(), context.now)?;
    let approvers_of = world
        .newest_approver_list(policy_id)
        .filter(|(_, known)| known.approvers == list)
        .map(|(of, _)| of);
    let group = world.group_of(submit.item).ok_or(Refusal::JumpClientGone)?;
    let requester = world.users.get(&submit.user);
    happened(crate::Event::AccessRequest(
        AccessRequestId(world.next_id("access_request")),
        Event::Submitted(Submitted {
            requester: submit.user,
            requester_name: requester
                .map(|user| user.public_display_name.clone())
                .unwrap_or_default(),
            item: submit.item,
            item_name: world.item_name(submit.item).unwrap_or_default().to_owned(),
            group,
            group_name: world.group_name(group),
            jump_policy_id: policy_id,
            jump_policy_name: policy.display_name.clone(),
            approvers_name: policy.approval_display_name.clone(),
            language: policy.approval_email_language.clone(),
            scope,
            reason: submit.reason.trim().to_owned(),
            start_at: submit.start_at,
            ends_at,
            approvers: if approvers_of.is_some() {
                Vec::new()
            } else {
                list
            },
            approvers_of,
            except,
        }),
    ))
}

/// Whether the form can be taken, and when its window would be over.
fn check_form(
    submit: &Submit,
    policy: &JumpPolicy,
    context: &Context,
) -> Result<Timestamp, Refusal> {
    let mut errors = FieldErrors::default();
    // The published API takes a request without a reason; people have to give one (APPR-04).
    let may_be_silent = context.cause.surface == Surface::ConfigurationApi;
    if submit.reason.trim().is_empty() && !may_be_silent {
        errors.push("reason", "The reason field is required.");
    }
    check_text("reason", &submit.reason, &mut errors);
    let duration_max = i64::from(policy.approval_max_duration) * 60;
    if submit.duration_seconds < DURATION_SECONDS_MIN {
        errors.push("duration", "The duration must be at least one minute.");
    } else if i64::from(submit.duration_seconds) > duration_max {
        errors.push(
            "duration",
            format!(
                "The duration must not be greater than {}.",
                duration_text(duration_max)
            ),
        );
    }
    let ends_at = submit
        .start_at
        .plus(i64::from(submit.duration_seconds) * time::SECOND);
    if !(0..=START_MAX).contains(&submit.start_at.unix_seconds()) {
        errors.push("start", "The start must be between 1970 and 2038.");
    } else if ends_at <= context.now {
        errors.push("start", "The requested time is over already.");
    }
    errors.into_result(ends_at)
}

fn check_text(name: &str, text: &str, errors: &mut FieldErrors) {
    if text.chars().count() > TEXT_CHARS_MAX {
        errors.push(
            name,
            format!("The {name} must not be longer than {TEXT_CHARS_MAX} characters."),
        );
    }
    if text.contains('\0') {
        errors.push(name, format!("The {name} must not hold a NUL character."));
    }
}

/// Whether a pending or approved request for the item has a time in common with this one (APPR-26, APPR-39).
fn overlaps_another(world: &World, item: JumpItemRef, from: Timestamp, until: Timestamp) -> bool {
    world.requests_for(item).any(|(_, request)| {
        let open = matches!(request.state, State::Pending) || request.state.is_approved();
        open && request.start_at < until && from < request.ends_at
    })
}

fn find(world: &World, id: AccessRequestId) -> Result<&AccessRequest, Refusal> {
    world
        .access_requests
        .get(&id)
        .ok_or(Refusal::not_found("Access request"))
}

/// A request, its window not over, and the approver who speaks; the comment fits.
fn hear<'w>(
    world: &'w World,
    id: AccessRequestId,
    comment: &str,
    speaking_for: Option<UserId>,
    context: &Context,
) -> Result<(&'w AccessRequest, &'w Approver), Refusal> {
    let request = find(world, id)?;
    let approver = approvers::speaking(world, id, request, speaking_for, context)?;
    if context.now >= request.ends_at {
        return Err(Refusal::RequestOver);
    }
    let mut errors = FieldErrors::default();
    check_text("comments", comment, &mut errors);
    errors.into_result((request, approver))
}

fn decide_approve(
    world: &World,
    id: AccessRequestId,
    comment: &str,
    speaking_for: Option<UserId>,
    context: &Context,
) -> Decision {
    let (request, by) = hear(world, id, comment, speaking_for, context)?;
    match request.state {
        State::Pending => happened(crate::Event::AccessRequest(
            id,
            Event::Approved(answered(by, comment)),
        )),
        State::Approved(_) | State::InUse(_) => nothing(),
        State::Denied(_) => Err(Refusal::RequestDenied),
        State::Cancelled(_) => Err(Refusal::RequestCancelled),
    }
}

fn decide_deny(
    world: &World,
    id: AccessRequestId,
    comment: &str,
    speaking_for: Option<UserId>,
    context: &Context,
) -> Decision {
    let (request, by) = hear(world, id, comment, speaking_for, context)?;
    match request.state {
        State::Pending | State::Approved(_) => happened(crate::Event::AccessRequest(
            id,
            Event::Denied(answered(by, comment)),
        )),
        State::InUse(_) => Err(Refusal::RequestInUse),
        State::Denied(_) => nothing(),
        State::Cancelled(_) => Err(Refusal::RequestCancelled),
    }
}

fn answered(by: &Approver, comment: &str) -> Answered {
    Answered {
        by: by.clone(),
        comment: comment.trim().to_owned(),
    }
}

fn decide_cancel(world: &World, id: AccessRequestId, context: &Context) -> Decision {
    let request = find(world, id)?;
    let Actor::User(user) = *context.actor() else {
        return Err(Refusal::CancelNotAllowed);
    };
    if !standing::is_known_to(world, request, user) {
        return Err(Refusal::not_found("Access request"));
    }
    match request.state {
        State::Cancelled(_) => return nothing(),
        State::Denied(_) => return Err(Refusal::RequestDenied),
        _ if context.now >= request.ends_at => return Err(Refusal::RequestOver),
        _ if !may_cancel(world, request, user) => return Err(Refusal::CancelNotAllowed),
        _ => {}
    }
    happened(crate::Event::AccessRequest(
        id,
        Event::Cancelled(Cancelled { user }),
    ))
}

/// Whether `user` may cancel the request as it is: pending the requester alone (APPR-38), approved as its scope says
/// (APPR-28, APPR-29).
#[must_use]
pub fn may_cancel(world: &World, request: &AccessRequest, user: UserId) -> bool {
    match request.state {
        State::Pending => request.requester == user,
        State::Approved(_) | State::InUse(_) => {
            request.requester == user
                || (request.scope == Scope::Anyone
                    && gates::may_start(world, user, request.item).is_ok())
        }
        State::Denied(_) | State::Cancelled(_) => false,
    }
}

fn decide_expire(world: &World, id: AccessRequestId, context: &Context) -> Decision {
    let Some(request) = world
        .access_requests
        .get(&id)
        .filter(|request| context.now >= request.ends_at)
    else {
        return nothing();
    };
    let event = match request.state {
        State::Pending => Event::Expired(Over {}),
        _ => Event::Closed(Over {}),
    };
    happened(crate::Event::AccessRequest(id, event))
}
