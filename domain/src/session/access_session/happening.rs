//! What the events of an access session tell.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::access::permission;
use crate::ids::{
    AccessRequestId, JumpGroupRef, JumpItemRef, JumpPolicyId, TicketRequestId, UserId,
};
use crate::policy::gates::SessionNotifications;
use crate::policy::inputs::Inputs;
use crate::{Refusal, Timestamp};

/// The user of a session as known when it started (REP-40, REP-43).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Representative {
    /// The user's id.
    pub user_id: UserId,
    /// The number of the connection (REP-41).
    pub gsnumber: u32,
    /// Name to sign in with.
    pub username: String,
    /// The name others see.
    pub public_display_name: String,
    /// The name colleagues see.
    pub private_display_name: String,
    /// Address and port, or `Unknown`.
    pub public_ip: String,
    /// The program and system, or `Unknown`.
    pub os: String,
}

/// The endpoint of a session as known when it started (REP-38, REP-39).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Customer {
    /// The number of the connection (REP-41).
    pub gsnumber: u32,
    /// What the item was called.
    pub name: String,
    /// Who was signed in at the machine.
    pub username: String,
    /// Address and port.
    pub public_ip: String,
    /// The machine's own address.
    pub private_ip: String,
    /// Host name.
    pub hostname: String,
    /// Operating system.
    pub os: String,
}

/// A session began to start. Expected rate: as people jump; thousands a day on a large site.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// Counts sessions (REP-26).
    pub lseq: u32,
    /// To what.
    pub item: JumpItemRef,
    /// The group the item was in.
    pub group: JumpGroupRef,
    /// What the group was called; for a personal one its owner's private display name (REP-30).
    pub group_name: String,
    /// The Jump Policy that applied.
    pub jump_policy_id: Option<JumpPolicyId>,
    /// The grant that let the user in.
    pub grant: permission::Grant,
    /// The owner.
    pub representative: Representative,
    /// The endpoint.
    pub customer: Customer,
    /// The attributes it was given at the start, by code name (SESS-36).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// Links the session to something on another system; empty is none (REP-85).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub external_key: String,
    /// The session policy of the item: what may be done inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_policy_id: Option<u32>,
    /// The approved request it uses (APPR-01).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_request_id: Option<AccessRequestId>,
    /// What that request was for (config-api.md 7.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<Approved>,
    /// What its approver said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approver_comments: Option<String>,
    /// The request that the ticket system allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<TicketRequestId>,
    /// Whom to mail about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notifications: Option<SessionNotifications>,
    /// The user went on outside the schedule (POL-16).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub schedule_overridden: bool,
    /// Nothing of it is recorded (REP-88).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recordings_disabled: bool,
    /// When the schedule ends it, as far as known at the start (POL-17).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closes_at: Option<Timestamp>,
    /// What it was asked with and decided by; none where nothing was supplied and no Jump Policy applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Inputs>,
}

/// What an approved request that let a session start was for. The request itself leaves the world when its time is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approved {
    /// From when on access was approved.
    pub start_at: Timestamp,
    /// Until when.
    pub ends_at: Timestamp,
    /// What the Jump Policy was called that asked for approval.
    pub jump_policy_name: String,
    /// What the item was called.
    pub item_name: String,
}

/// The agent brought the session up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Established {}

/// The session never came up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failed {
    /// Why.
    pub failure: Failure,
    /// The agent's words, if it said any.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl Failed {
    /// The words for the user who waits: those of the gate that closed meanwhile, where one did (SESS-17, POL-14). An agent's own
    /// words are for administrators.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        match self.failure {
            Failure::Withdrawn if !self.detail.is_empty() => Refusal::StartWithdrawn {
                why: self.detail.clone(),
            },
            failure => failure.refusal(),
        }
    }
}

/// Why a session never came up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The agent said it could not (ERR-10).
    Agent,
    /// The agent took too long (ERR-11).
    TimedOut,
    /// The client went away meanwhile (ERR-12).
    Disconnected,
    /// The user at the endpoint has switched the client off (ERR-15).
    Disabled,
    /// A passive client was called at all its addresses, and did not come (ERR-13, SESS-27).
    NotReached,
    /// Something else answered at the address of a passive client, or with its name (ERR-14).
    Identity,
    /// The user gave up.
    Cancelled,
    /// What let the session start did not hold any more when it was up (SESS-17); the detail says what.
    Withdrawn,
}

impl Failure {
    /// The words for the user who waits.
    #[must_use]
    pub const fn refusal(self) -> Refusal {
        match self {
            Self::Agent => Refusal::SpawnFailed,
            Self::TimedOut => Refusal::SpawnTimedOut,
            Self::Disconnected => Refusal::JumpClientNotConnected,
            Self::Disabled => Refusal::JumpClientDisabled,
            Self::NotReached => Refusal::CallTimedOut,
            Self::Identity => Refusal::JumpClientIdentityFailed,
            Self::Cancelled | Self::Withdrawn => Refusal::SessionNotActive,
        }
    }
}

/// The session ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// Why.
    pub reason: EndReason,
    /// The agent's words, if it said any; the words of the gate that is closed now, where a right was taken away.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// Its owner ended it.
    Owner,
    /// An administrator ended it.
    Administrator,
    /// An API account ended it.
    Api,
    /// The endpoint ended it.
    Endpoint,
    /// The agent was gone too long: closed abnormally, without an end time in reports (REP-28).
    AgentLost,
    /// The item was deleted. Only in logs of before sessions outlived their items (GRP-31).
    ItemDeleted,
    /// The schedule stopped permitting it (POL-17).
    ScheduleClosed,
    /// Nobody in it did anything for as long as they may (SESS-26).
    Inactive,
    /// The right of its owner ended, and nobody else in it may own it; the detail says which.
    AccessWithdrawn,
    /// Its owner went, and nobody else in it may own it.
    NoOwner,
    /// Two machines showed the identity of its Jump Client.
    IdentityInDoubt,
}

impl EndReason {
    /// Whether reports show no end time (REP-28).
    #[must_use]
    pub const fn is_abnormal(self) -> bool {
        matches!(self, Self::AgentLost)
    }

    /// The words for reports and for those who were in it (SESS-25 recommends to record the reason).
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Owner => "Ended by its owner",
            Self::Administrator => "Ended by an administrator",
            Self::Api => "Ended by an API account",
            Self::Endpoint => "Ended by the endpoint",
            Self::AgentLost => "The connection to the endpoint was lost",
            Self::ItemDeleted => "The Jump Item was deleted",
            Self::ScheduleClosed => "The schedule of its Jump Policy closed",
            Self::Inactive => "Nobody in it did anything for too long",
            Self::AccessWithdrawn => "The access of its owner was withdrawn",
            Self::NoOwner => "Its owner left, and nobody in it may own it",
            Self::IdentityInDoubt => "The identity of the Jump Client was in use twice",
        }
    }
}

/// A user came into a session that was there (SESS-21, SESS-22, SESS-34, CLNT-53).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Joined {
    /// Who, and by which connection.
    pub representative: Representative,
    /// Whether a member's invitation let the user in; without one it was a Jump to the item.
    #[serde(default)]
    pub invited: bool,
    /// The grant that let the user in; none for one who was invited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<permission::Grant>,
    /// The Jump Policy that applied to the Jump.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jump_policy_id: Option<JumpPolicyId>,
    /// The approved request that the Jump uses (APPR-01).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_request_id: Option<AccessRequestId>,
}

/// A user went out of a session that goes on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Departed {
    /// Who.
    pub user_id: UserId,
    /// The number of the connection.
    pub gsnumber: u32,
    /// Why.
    pub reason: Departure,
    /// The words of the gate that is closed now, where a right was taken away.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// Why a user went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Departure {
    /// The user left.
    Left,
    /// The user did nothing for as long as they may (SESS-26).
    Inactive,
    /// The user's right to be in it ended.
    AccessWithdrawn,
}

impl Departure {
    /// The words for reports and for the user.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Left => "The user left",
            Self::Inactive => "The user did nothing for too long",
            Self::AccessWithdrawn => "The user's access was withdrawn",
        }
    }
}

/// The session has another owner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OwnerChanged {
    /// Who owns it since.
    pub user_id: UserId,
    /// The number of the connection.
    pub gsnumber: u32,
    /// The name others see.
    pub public_display_name: String,
    /// The name colleagues see.
    pub private_display_name: String,
}

/// The owner invited a user (SESS-34).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Invited {
    /// Who is invited.
    pub user_id: UserId,
    /// Who invites.
    pub by: UserId,
}

/// An invitation is no more, and the user did not come in by it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InvitationClosed {
    /// Who was invited.
    pub user_id: UserId,
    /// The words of the gate that is closed now, where a right was taken away; none where it was withdrawn or declined.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// Attributes or the external key changed (SESS-36). Only what changed is told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AttributesChanged {
    /// By code name; none is one that was taken away.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Option<String>>,
    /// The external key since; empty is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_key: Option<String>,
}

/// The members were told that the schedule is about to end the session (POL-18). Expected rate: at most four a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndAnnounced {
    /// When it will end.
    pub ends_at: Timestamp,
    /// How long that is off, in minutes, rounded up. Range: 1 to 15.
    pub minutes: u32,
}

/// A member who may be removed for inactivity did something. Expected rate: at most one a minute and member, and only where
/// inactivity removes them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberActive {
    /// The number of the connection.
    pub gsnumber: u32,
}
