//! A session as reports tell it: who, where, from when to when, and what happened in it.

use std::borrow::Cow;

use domain::Timestamp;
use domain::ids::{JumpGroupRef, JumpItemRef, JumpPolicyId, Lsid, UserId};
use domain::session::access_session::{Customer, EndReason, Ended, Representative, Started};
use domain::time;
use serde::{Deserialize, Serialize};

/// Everything that a report of one session needs.
///
/// A session begins when the endpoint has brought it up. One that never came up is none.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionReport {
    /// Which session.
    pub lsid: Lsid,
    /// Counts sessions (REP-26).
    pub lseq: u32,
    /// The item it was with.
    pub item: JumpItemRef,
    /// The group the item was in (REP-30).
    pub group: JumpGroupRef,
    /// What the group was called at the time.
    pub group_name: String,
    /// The Jump Policy that applied.
    pub jump_policy_id: Option<JumpPolicyId>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; none while it runs and where it was closed abnormally (REP-28).
    pub ended_at: Option<Timestamp>,
    /// When it was over, however it was closed; none while it runs.
    pub over_at: Option<Timestamp>,
    /// Why it ended; none while it runs.
    pub end_reason: Option<EndReason>,
    /// The one endpoint (REP-39).
    pub customer: Customer,
    /// One per connection of a user who took part, owner first (REP-40).
    pub members: Vec<Member>,
    /// What happened, in order (REP-44).
    pub details: Vec<Detail>,
}

/// What a listing needs of a session (REP-55). Recordings and external keys come with the events that bring them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionSummary {
    /// Which session.
    pub lsid: Lsid,
    /// When it began.
    pub started_at: Timestamp,
}

/// One connection of a user who took part.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// The user as known at the time (REP-43).
    pub representative: Representative,
    /// Whether this is the session's owner.
    pub owner: bool,
    /// When the user came.
    pub joined_at: Timestamp,
    /// When the user went; none while there.
    pub departed_at: Option<Timestamp>,
}

/// Something that happened in a session (REP-44 to REP-54).
#[derive(Clone, Debug, PartialEq)]
pub struct Detail {
    /// When.
    pub at: Timestamp,
    /// What, in the words of REP-45, REP-46 and REP-84.
    pub event_type: &'static str,
    /// Who did it.
    pub performed_by: Entity,
    /// To whom, where it was done to someone.
    pub destination: Option<Entity>,
    /// Values by name, in order (REP-54).
    pub data: Vec<(&'static str, String)>,
}

/// Who did something, or to whom it was done (REP-48, REP-49).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    /// Of which kind.
    pub kind: EntityKind,
    /// The number of the connection; 0 for the system.
    pub gsnumber: u32,
    /// What it is called.
    pub name: Cow<'static, str>,
}

/// Kinds of entities (REP-49).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntityKind {
    /// The server.
    System,
    /// The endpoint.
    Customer,
    /// A user.
    Representative,
    /// All who take part; only as a destination.
    Everyone,
}

impl EntityKind {
    /// The word in reports.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Customer => "customer",
            Self::Representative => "representative",
            Self::Everyone => "everyone",
        }
    }
}

impl SessionReport {
    /// The owner's connection.
    #[must_use]
    pub fn owner(&self) -> Option<&Member> {
        self.members.iter().find(|member| member.owner)
    }

    /// The owner's user id.
    #[must_use]
    pub fn owner_id(&self) -> Option<UserId> {
        self.owner().map(|member| member.representative.user_id)
    }

    /// Whether it was closed abnormally, and so has no end time (REP-28).
    #[must_use]
    pub fn is_abnormal(&self) -> bool {
        self.over_at.is_some() && self.ended_at.is_none()
    }

    /// How long it lasted, in whole seconds; one that runs is counted until `now` (REP-87).
    #[must_use]
    pub fn seconds(&self, now: Timestamp) -> i64 {
        seconds_between(self.started_at, self.over_at.unwrap_or(now))
    }
}

impl Member {
    /// How long the user took part, in whole seconds; one who still does is counted until `now`.
    #[must_use]
    pub fn seconds_involved(&self, now: Timestamp) -> i64 {
        seconds_between(self.joined_at, self.departed_at.unwrap_or(now))
    }
}

fn seconds_between(from: Timestamp, until: Timestamp) -> i64 {
    (until.since(from) / time::SECOND).max(0)
}

impl Entity {
    /// The server before both sides are there (config-api.md 3.1).
    fn before_start() -> Self {
        Self {
            kind: EntityKind::System,
            gsnumber: 0,
            name: Cow::Borrowed("Pre-start Conference"),
        }
    }

    /// The server.
    fn system() -> Self {
        Self {
            kind: EntityKind::System,
            gsnumber: 0,
            name: Cow::Borrowed("Privileged Remote Access"),
        }
    }

    fn customer(customer: &Customer) -> Self {
        Self {
            kind: EntityKind::Customer,
            gsnumber: customer.gsnumber,
            name: Cow::Owned(customer.name.clone()),
        }
    }

    fn representative(representative: &Representative) -> Self {
        Self {
            kind: EntityKind::Representative,
            gsnumber: representative.gsnumber,
            name: Cow::Owned(shown_name(representative).to_owned()),
        }
    }
}

/// What reports call a user: as colleagues do, else as others do, else by the name to sign in with.
fn shown_name(representative: &Representative) -> &str {
    let names = [
        &representative.private_display_name,
        &representative.public_display_name,
    ];
    names
        .into_iter()
        .find(|name| !name.is_empty())
        .unwrap_or(&representative.username)
}

/// What a row of the report index holds of a session: the facts of its events as they were recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// How it began.
    pub(crate) started: Started,
    /// How it ended, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) over: Option<(Timestamp, Ended)>,
}

impl Facts {
    /// The report of the session `lsid`, which came up at `started_at`.
    pub(crate) fn report(self, lsid: Lsid, started_at: Timestamp) -> SessionReport {
        let details = self.details(started_at);
        let over_at = self.over.as_ref().map(|(at, _)| *at);
        let ended_at = self.ended_at();
        let end_reason = self.over.map(|(_, ended)| ended.reason);
        let started = self.started;
        SessionReport {
            lsid,
            lseq: started.lseq,
            item: started.item,
            group: started.group,
            group_name: started.group_name,
            jump_policy_id: started.jump_policy_id,
            started_at,
            ended_at,
            over_at,
            end_reason,
            customer: started.customer,
            members: vec![Member {
                representative: started.representative,
                owner: true,
                joined_at: started_at,
                departed_at: over_at,
            }],
            details,
        }
    }

    /// The end time that reports show; none for one that was closed abnormally (REP-28).
    pub(crate) fn ended_at(&self) -> Option<Timestamp> {
        self.over
            .as_ref()
            .filter(|(_, ended)| !ended.reason.is_abnormal())
            .map(|(at, _)| *at)
    }

    fn details(&self, started_at: Timestamp) -> Vec<Detail> {
        let representative = &self.started.representative;
        let customer = &self.started.customer;
        let at_start = |event_type, destination, data| Detail {
            at: started_at,
            event_type,
            performed_by: Entity::before_start(),
            destination,
            data,
        };
        let mut details = vec![
            at_start("Session Start", None, Vec::new()),
            at_start(
                "Conference Member Added",
                Some(Entity::representative(representative)),
                vec![
                    ("private_name", representative.private_display_name.clone()),
                    ("username", representative.username.clone()),
                    ("private_ip", "Unknown".to_owned()),
                    ("public_ip", representative.public_ip.clone()),
                    ("os", representative.os.clone()),
                    ("user_id", representative.user_id.to_string()),
                ],
            ),
            at_start(
                "Conference Owner Changed",
                Some(Entity::representative(representative)),
                vec![("owner", shown_name(representative).to_owned())],
            ),
            at_start(
                "Conference Member Added",
                Some(Entity::customer(customer)),
                vec![
                    ("name", customer.name.clone()),
                    ("private_ip", customer.private_ip.clone()),
                    ("public_ip", customer.public_ip.clone()),
                    ("hostname", customer.hostname.clone()),
                    ("os", customer.os.clone()),
                ],
            ),
        ];
        if let Some((at, ended)) = &self.over {
            details.extend(end(*at, ended, representative, customer));
        }
        details
    }
}

/// What happens at the end: whoever ended it goes first.
fn end(
    at: Timestamp,
    ended: &Ended,
    representative: &Representative,
    customer: &Customer,
) -> [Detail; 3] {
    let departed = |performed_by| Detail {
        at,
        event_type: "Conference Member Departed",
        performed_by,
        destination: None,
        data: Vec::new(),
    };
    let user = departed(Entity::representative(representative));
    let endpoint = departed(Entity::customer(customer));
    let (first, second) = match ended.reason {
        EndReason::Endpoint | EndReason::AgentLost | EndReason::ItemDeleted => (endpoint, user),
        EndReason::Owner
        | EndReason::Administrator
        | EndReason::Api
        | EndReason::ScheduleClosed => (user, endpoint),
    };
    let mut data = vec![("reason", reason_words(ended.reason).to_owned())];
    if !ended.detail.is_empty() {
        data.push(("detail", ended.detail.clone()));
    }
    let session_end = Detail {
        at,
        event_type: "Session End",
        performed_by: Entity::system(),
        destination: None,
        data,
    };
    [first, second, session_end]
}

/// Why a session ended, in words for a report (SESS-25 recommends to record the reason in the end event).
const fn reason_words(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Owner => "Ended by its owner",
        EndReason::Administrator => "Ended by an administrator",
        EndReason::Api => "Ended by an API account",
        EndReason::Endpoint => "Ended by the endpoint",
        EndReason::AgentLost => "The connection to the endpoint was lost",
        EndReason::ItemDeleted => "The Jump Item was deleted",
        EndReason::ScheduleClosed => "The schedule of its Jump Policy closed",
    }
}
