//! What stands between a user and a session once permission, role and the item's state allow it: the Jump Policy's
//! schedule, second factor, approval, ticket and notifications, asked together in the order of SESS-17.
//!
//! A gate either says no for good (a refusal), or names what the user can still supply (a [`Need`]), so one answer lists
//! all that is missing. The same function is asked at the start and again when the session is up.

use serde::{Deserialize, Serialize};

use crate::access::permission::Access;
use crate::ids::{AccessRequestId, JumpItemRef, JumpPolicyId, UserId};
use crate::policy::jump_policy::{self, JumpPolicy};
use crate::{Refusal, Timestamp, World};

#[cfg(test)]
mod tests;

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
    /// When the schedule stops permitting sessions; none without a schedule, or outside it by override.
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
    access.jump_policy_id.or_else(|| item_policy(world, item))
}

/// The Jump Policy that is set on the item itself (POL-05).
#[must_use]
pub fn item_policy(world: &World, item: JumpItemRef) -> Option<JumpPolicyId> {
    world.item_jump_policy(item)
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
    let mut opening = Opening {
        policy,
        ..Opening::default()
    };
    let Some((id, rules)) = policy.and_then(|id| Some((id, world.jump_policies.get(&id)?))) else {
        return Ok(opening);
    };
    let _ = (user, item);
    jump_policy::gate(world, id, now)?;
    opening.closes_at = rules
        .schedule_enabled
        .then(|| world.schedules.get(&id)?.closes_after(now))
        .flatten();
    opening.force_end = rules.schedule_enabled && rules.schedule_strict;
    opening.recordings_disabled = rules.recordings_disabled;
    opening.notifications = notifications(rules);
    if let Some(consent) = consent(rules).filter(|_| !supplied.notification_consent) {
        opening.needs.push(consent);
    }
    Ok(opening)
}

fn notifications(policy: &JumpPolicy) -> Option<SessionNotifications> {
    let (at_start, at_end) = (
        policy.session_start_notification,
        policy.session_end_notification,
    );
    (at_start || at_end).then(|| SessionNotifications {
        at_start,
        at_end,
        addresses: policy.notification_email_addresses.clone(),
        display_name: policy.notification_display_name.clone(),
        language: policy.notification_email_language.clone(),
    })
}

fn consent(policy: &JumpPolicy) -> Option<Need> {
    let (at_start, at_end) = (
        policy.session_start_notification,
        policy.session_end_notification,
    );
    (at_start || at_end).then(|| Need::NotificationConsent {
        display_name: policy.notification_display_name.clone(),
        at_start,
        at_end,
    })
}
