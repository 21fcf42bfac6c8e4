//! What stands between a user and a session once permission, role and the item's state allow it: the Jump Policy's
//! schedule, second factor, approval, ticket and notifications, asked together in the order of SESS-17.
//!
//! A gate either says no for good (a refusal), or names what the user can still supply (a [`Need`]), so one answer lists
//! all that is missing. The same function is asked at the start and again when the session is up.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::access::group_policy::Of;
use crate::access::permission::{self, Access, JumpMethod};
use crate::access::role::JumpItemPermission;
use crate::ids::{AccessRequestId, JumpGroupRef, JumpItemRef, JumpPolicyId, UserId};
use crate::policy::access_request::{self, Scope, approvers, standing};
use crate::policy::jump_policy::JumpPolicy;
use crate::policy::schedule::Schedule;
use crate::{Refusal, Timestamp, World};

#[cfg(test)]
mod tests;

/// How the title of the request form begins, whole (APPR-02).
pub const REQUEST_FORM_TITLE: &str = "Privileged Remote Access - Jump Authorization Request";
/// What the request form says (APPR-02).
pub const REQUEST_FORM_TEXT: &str = "You must first request approval to access this Jump Item. Please confirm the details below and describe the reason for the access request.";

/// What the user has supplied so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Supplied {
    /// A ticket that the ticket system allowed, or will be asked about before anything starts.
    pub ticket: bool,
    /// The user was told of the notification mails and went on (POL-25, POL-26).
    pub notification_consent: bool,
    /// Credentials for the endpoint, where the item asks for them.
    pub credentials: bool,
    /// The user goes on although the schedule says no, where the policy lets them (POL-16).
    pub schedule_override: bool,
}

/// What the approval of a start would take (APPR-02).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApprovalNeed {
    /// The title of the form.
    pub title: &'static str,
    /// What the form says.
    pub text: &'static str,
    /// The policy's display name.
    pub policy: String,
    /// The policy's description.
    pub policy_description: String,
    /// What the approvers are called; never their addresses (POL-40).
    pub approvers: String,
    /// `Yourself Only` or `Anyone Permitted to Request` (APPR-03).
    pub applies_to: &'static str,
    /// Longest access that may be asked for, in minutes (POL-35).
    pub duration_max_minutes: u32,
    /// A request of the user for this item that waits for a decision or for its time.
    pub pending: Option<AccessRequestId>,
}

/// Something that the user can still supply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "need", rename_all = "snake_case")]
pub enum Need {
    /// Going on although the schedule does not permit a session now, where the policy lets users do so (POL-16).
    ScheduleOverride {
        /// What stands against it, and when the item is available (POL-14).
        message: String,
    },
    /// An approved request whose window is open (APPR-01).
    Approval(ApprovalNeed),
    /// A ticket ID (POL-32).
    Ticket {
        /// The words to ask with.
        prompt: String,
        /// Show asterisks for what is typed (TICK-10).
        sensitive: bool,
    },
    /// Going on although mails will be sent (POL-25, POL-26, POL-28).
    NotificationConsent {
        /// What the recipients are called.
        display_name: String,
        /// A mail when the session starts.
        at_start: bool,
        /// A mail when the session ends.
        at_end: bool,
    },
    /// Credentials for the endpoint.
    Credentials,
}

impl Need {
    /// What it is, in a word for people.
    #[must_use]
    pub const fn title(&self) -> &'static str {
        match self {
            Self::ScheduleOverride { .. } => "schedule override",
            Self::Approval(_) => "approval",
            Self::Ticket { .. } => "ticket ID",
            Self::NotificationConsent { .. } => "consent to notification",
            Self::Credentials => "credentials",
        }
    }
}

/// Whom to mail about a session, fixed when it starts (POL-23, POL-24).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionNotifications {
    /// One mail to each address when it starts.
    pub at_start: bool,
    /// One mail to each address when it ends.
    pub at_end: bool,
    /// To whom, each once.
    pub addresses: Vec<String>,
    /// What the recipients are called.
    pub display_name: String,
    /// The language of the mails (POL-29).
    pub language: String,
}

/// What the gates come to where none of them says no.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Opening {
    /// The policy that applied (POL-06).
    pub policy: Option<JumpPolicyId>,
    /// What the user has not supplied yet, in the order of SESS-17; a session starts where this is empty.
    pub needs: Vec<Need>,
    /// The approved request that the session would use.
    pub access_request: Option<AccessRequestId>,
    /// What its approver said (APPR-19).
    pub approver_comments: Option<String>,
    /// Whom to mail; none where the policy notifies nobody.
    pub notifications: Option<SessionNotifications>,
    /// Nothing of the session is recorded (POL-42).
    pub recordings_disabled: bool,
    /// When the schedule stops permitting sessions; none without a schedule, and outside it.
    pub closes_at: Option<Timestamp>,
    /// Whether the session ends then (POL-17).
    pub force_end: bool,
    /// The user goes on outside the schedule (POL-16).
    pub schedule_overridden: bool,
}

impl Opening {
    /// The opening, where nothing is missing.
    ///
    /// # Errors
    /// [`Refusal::StartNeeds`] with all that is.
    pub fn complete(self) -> Result<Self, Refusal> {
        if self.needs.is_empty() {
            Ok(self)
        } else {
            Err(Refusal::StartNeeds { needs: self.needs })
        }
    }
}

/// The Jump Policy that binds a user with this access to this item: the membership's if it names one, the item's
/// otherwise, and with neither none (POL-06, POL-07).
#[must_use]
pub fn effective_policy(
    world: &World,
    access: &Access<'_>,
    item: JumpItemRef,
) -> Option<JumpPolicyId> {
    access
        .jump_policy_id
        .or_else(|| world.item_jump_policy(item))
}

/// The first gates of SESS-17, those that look at the user alone: an account that is on, access to endpoints, the item's Jump
/// method, a role that may start sessions.
///
/// # Errors
/// The first that is closed.
pub fn may_start(world: &World, user: UserId, item: JumpItemRef) -> Result<Access<'_>, Refusal> {
    may_use_method(world, user, item)?;
    permission::need(world, user, item, JumpItemPermission::Start)
}

/// The first of them, which also bind whoever comes by invitation: an account that is on, access to endpoints, the item's Jump
/// method (GPOL-04, GPOL-05).
///
/// # Errors
/// The first that is closed.
pub fn may_use_method(world: &World, user: UserId, item: JumpItemRef) -> Result<(), Refusal> {
    world
        .users
        .get(&user)
        .filter(|user| user.enabled)
        .ok_or(Refusal::UserDisabled)?;
    let settings = permission::effective(world, user).ok_or(Refusal::UserDisabled)?;
    settings.need_method(JumpMethod::of(item))
}

/// The gates of [`may_start`] for a session that runs already, and so outlives its item (GRP-31): once the item is gone, the role
/// is the one in `group`, where the item was; once that is gone as well, there is no role to ask for.
///
/// # Errors
/// The first that is closed.
pub fn may_go_on(
    world: &World,
    user: UserId,
    item: JumpItemRef,
    group: JumpGroupRef,
) -> Result<(), Refusal> {
    if world.has_item(item) {
        return may_start(world, user, item).map(drop);
    }
    may_use_method(world, user, item)?;
    if !world.has_group(group) {
        return Ok(());
    }
    let access = permission::access_to_group(world, user, group);
    let allows = access.is_some_and(|access| access.role.allows(JumpItemPermission::Start));
    allows.then_some(()).ok_or(Refusal::RoleLacks {
        permission: JumpItemPermission::Start,
    })
}

/// What of a Jump Policy binds whoever comes by invitation: the approval (APPR-20, APPR-21). Under "Requestor Only" the invited
/// needs a request of their own that was approved; under "Anyone Permitted to Request" the one of somebody else will do, for
/// whoever is permitted: so both times the role that may start sessions is needed. The schedule does not bind the invited
/// (POL-13); of ticket and notification, where the rules are silent, what the owner supplied stands for the session.
///
/// # Errors
/// The first gate that is closed; [`Refusal::StartNeeds`] where an approval is missing.
pub fn open_to_invited(
    world: &World,
    user: UserId,
    item: JumpItemRef,
    policy: Option<JumpPolicyId>,
    now: Timestamp,
) -> Result<Opening, Refusal> {
    let mut opening = Opening {
        policy,
        ..Opening::default()
    };
    let rules = policy.and_then(|id| Some((id, world.jump_policies.get(&id)?)));
    let Some((id, rules)) = rules.filter(|(_, rules)| rules.approval_required) else {
        return Ok(opening);
    };
    may_start(world, user, item)?;
    pass_approval(world, user, item, (id, rules), now, &mut opening)?;
    opening.complete()
}

/// Asks every gate of `policy` whether `user` may start a session on `item` now.
///
/// # Errors
/// The first gate that says no for good, in the order of SESS-17: the schedule (POL-13, POL-14), an approval that nobody
/// is left to give, a ticket that no system could check (ERR-27, ERR-28), a second factor.
pub fn open(
    world: &World,
    user: UserId,
    item: JumpItemRef,
    policy: Option<JumpPolicyId>,
    supplied: &Supplied,
    now: Timestamp,
) -> Result<Opening, Refusal> {
    let Some((id, rules)) = policy.and_then(|id| Some((id, world.jump_policies.get(&id)?))) else {
        return Ok(Opening::default());
    };
    let mut opening = Opening {
        policy,
        recordings_disabled: rules.recordings_disabled,
        notifications: notifications(rules),
        ..Opening::default()
    };
    pass_schedule(world, id, rules, supplied, now, &mut opening)?;
    pass_approval(world, user, item, (id, rules), now, &mut opening)?;
    if rules.ticket_id_required {
        let need = ticket(world)?;
        opening.needs.extend((!supplied.ticket).then_some(need));
    }
    if rules.two_factor_challenge_required {
        return Err(Refusal::SecondFactorUnavailable {
            policy: rules.display_name.clone(),
        });
    }
    let consent = consent(rules).filter(|_| !supplied.notification_consent);
    opening.needs.extend(consent);
    Ok(opening)
}

fn pass_schedule(
    world: &World,
    id: JumpPolicyId,
    policy: &JumpPolicy,
    supplied: &Supplied,
    now: Timestamp,
    opening: &mut Opening,
) -> Result<(), Refusal> {
    if !policy.schedule_enabled {
        return Ok(());
    }
    let closed = Schedule::default();
    let schedule = world.schedules.get(&id).unwrap_or(&closed);
    opening.force_end = policy.schedule_strict;
    opening.closes_at = schedule.closes_after(now);
    if schedule.is_open(now) {
        return Ok(());
    }
    let refusal = Refusal::OutsideSchedule {
        policy: policy.display_name.clone(),
        next_open: schedule.next_open(now),
        zone: schedule.timezone.clone(),
    };
    if !schedule.override_allowed || policy.schedule_strict {
        return Err(refusal);
    }
    if supplied.schedule_override {
        opening.schedule_overridden = true;
    } else {
        opening.needs.push(Need::ScheduleOverride {
            message: refusal.to_string(),
        });
    }
    Ok(())
}

fn pass_approval(
    world: &World,
    user: UserId,
    item: JumpItemRef,
    (id, policy): (JumpPolicyId, &JumpPolicy),
    now: Timestamp,
    opening: &mut Opening,
) -> Result<(), Refusal> {
    if !policy.approval_required {
        return Ok(());
    }
    if let Some(request) = access_request::usable(world, user, item, id, now) {
        opening.access_request = Some(request);
        opening.approver_comments = world
            .access_requests
            .get(&request)
            .and_then(|request| request.state.answer())
            .map(|answer| answer.comment.clone())
            .filter(|comment| !comment.is_empty());
        return Ok(());
    }
    if !approvers::is_anybody_left(world, policy, user) {
        return Err(Refusal::NoApprover {
            policy: policy.display_name.clone(),
        });
    }
    opening.needs.push(Need::Approval(ApprovalNeed {
        title: REQUEST_FORM_TITLE,
        text: REQUEST_FORM_TEXT,
        policy: policy.display_name.clone(),
        policy_description: policy.description.clone(),
        approvers: policy.approval_display_name.clone(),
        applies_to: Scope::of(policy).label(),
        duration_max_minutes: policy.approval_max_duration,
        pending: standing::waiting(world, user, item, id, now),
    }));
    Ok(())
}

/// What asking for a ticket takes (TICK-42: without a system to check it, nobody starts).
fn ticket(world: &World) -> Result<Need, Refusal> {
    let system = &world.ticket_system;
    if !system.is_configured() {
        return Err(Refusal::NoTicketSystem);
    }
    if system.user_prompt.is_empty() {
        return Err(Refusal::NoTicketPrompt);
    }
    Ok(Need::Ticket {
        prompt: system.user_prompt.clone(),
        sensitive: system.sensitive,
    })
}

fn notifications(policy: &JumpPolicy) -> Option<SessionNotifications> {
    is_notified(policy).then(|| SessionNotifications {
        at_start: policy.session_start_notification,
        at_end: policy.session_end_notification,
        addresses: policy.notification_email_addresses.clone(),
        display_name: policy.notification_display_name.clone(),
        language: policy.notification_email_language.clone(),
    })
}

fn consent(policy: &JumpPolicy) -> Option<Need> {
    is_notified(policy).then(|| Need::NotificationConsent {
        display_name: policy.notification_display_name.clone(),
        at_start: policy.session_start_notification,
        at_end: policy.session_end_notification,
    })
}

const fn is_notified(policy: &JumpPolicy) -> bool {
    policy.session_start_notification || policy.session_end_notification
}

/// Someone whom the policy set on an item does not bind, because a membership names another one (POL-07).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unbound {
    /// Who.
    pub user_id: UserId,
    /// The name to sign in with.
    pub username: String,
    /// The policy that binds them instead.
    pub jump_policy_id: JumpPolicyId,
}

/// Whom the policy set on `item` does not bind: for administrators who set one (POL-07).
#[must_use]
pub fn not_bound_by_item_policy(world: &World, item: JumpItemRef) -> Vec<Unbound> {
    let Some(JumpGroupRef::Shared(group)) = world.group_of(item) else {
        return Vec::new();
    };
    let on_item = world.item_jump_policy(item);
    // Only a membership names a policy.
    let direct = world.members_of(group).map(|(user, _)| user);
    let by_policy = world
        .policies_about(Of::JumpGroup(group))
        .flat_map(|(policy, _)| world.members_of_policy(policy).map(|(user, _)| user));
    let members: BTreeSet<UserId> = direct.chain(by_policy).collect();
    let unbound = |user_id: UserId| {
        let access = permission::access_to_item(world, user_id, item)?;
        let jump_policy_id = access.jump_policy_id.filter(|id| Some(*id) != on_item)?;
        Some(Unbound {
            user_id,
            username: world.users.get(&user_id)?.username.clone(),
            jump_policy_id,
        })
    };
    members.into_iter().filter_map(unbound).collect()
}
