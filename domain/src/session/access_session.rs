//! Access sessions: one endpoint, one owner, and whoever joined (SESS-19, SESS-21).
//!
//! States: starting → active → ended, or starting → failed. Ended and failed sessions leave the world; reports keep them.
//! A session always has an owner, and its owner always is a member: when the owner goes, the member who is in longest and may
//! start sessions on the item takes over; where there is none, it ends. It outlives its item (GRP-31).
//!
//! - `start`: the gates, joining by Jump, and the check when the endpoint has brought it up
//! - `members`: invitations, leaving, owners, inactivity
//! - `rights`: what its members and invitations rest on, asked again when rights are taken away
//! - `attributes`: what is attached to it
//! - `closing`: the schedule that announces the end and ends it
//! - `ending`: the other ways it ends

use std::collections::BTreeMap;

use serde::Serialize;

use crate::ids::{
    AccessRequestId, JumpClientId, JumpGroupRef, JumpItemRef, JumpPolicyId, Lsid, TicketRequestId,
    UserId,
};
use crate::session::details;
use crate::{Context, Decision, Timestamp, World, time};

mod attributes;
mod closing;
mod ending;
mod happening;
mod members;
mod rights;
mod start;
#[cfg(test)]
mod tests;

pub use attributes::{ATTRIBUTE_CHARS_MAX, ATTRIBUTES_BYTES_MAX, ATTRIBUTES_MAX, SetAttributes};
pub use closing::{ANNOUNCED_MINUTES, announced_next};
pub use happening::{
    Approved, AttributesChanged, Customer, Departed, Departure, EndAnnounced, EndReason, Ended,
    Established, Failed, Failure, InvitationClosed, Invited, Joined, MemberActive, OwnerChanged,
    Representative, Started,
};
pub use members::{CONNECTIONS_MAX, INVITATIONS_MAX, Join, idle_after, may_be_invited};
pub use rights::review;
pub use start::{EXTERNAL_KEY, ITEMS_PER_START_MAX, Start, begin, readiness, would_join};

pub(crate) use ending::ended_by_quarantine;

use attributes::decide_set_attributes;
use closing::{decide_announce_end, decide_end_by_schedule};
use ending::{
    decide_abandon, decide_end, decide_end_by_endpoint, decide_fail, decide_fail_call,
    decide_time_out,
};
use members::{
    decide_accept_invitation, decide_close_invitation, decide_invite, decide_join, decide_leave,
    decide_note_activity, decide_remove_inactive, decide_transfer_ownership,
};
use start::decide_establish;

/// How long an agent may take to bring a session up, in microseconds (ERR-11).
pub const SPAWN_TIMEOUT: i64 = 30 * time::SECOND;

/// What may be asked of access sessions.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Jump to an item. The caller is the user who asks.
    Start(Start),
    /// The agent brought the session up.
    Establish {
        /// Which session.
        lsid: Lsid,
        /// Who says so.
        client: JumpClientId,
    },
    /// The agent could not bring the session up.
    Fail {
        /// Which session.
        lsid: Lsid,
        /// Who says so.
        client: JumpClientId,
        /// The agent's words.
        reason: String,
    },
    /// A passive client was called and will not come, or something else answered for it (ERR-13, ERR-14).
    FailCall {
        /// Which session.
        lsid: Lsid,
        /// [`Failure::NotReached`] or [`Failure::Identity`].
        failure: Failure,
        /// Which addresses were tried, and what came of each, for administrators.
        detail: String,
    },
    /// The agent took too long: a due date.
    TimeOut {
        /// Which session.
        lsid: Lsid,
    },
    /// End it. The caller is its owner, an administrator, or an API account with full command access.
    End {
        /// Which session.
        lsid: Lsid,
    },
    /// The agent ended it.
    EndByEndpoint {
        /// Which session.
        lsid: Lsid,
        /// Who says so.
        client: JumpClientId,
        /// The agent's words.
        reason: String,
    },
    /// The schedule of its Jump Policy stopped permitting it, and the policy ends sessions then (POL-17): a due date.
    EndBySchedule {
        /// Which session.
        lsid: Lsid,
    },
    /// The schedule will stop permitting it soon: tell its members (POL-18): a due date.
    AnnounceEnd {
        /// Which session.
        lsid: Lsid,
    },
    /// Its agent has been gone for longer than the site waits: a due date.
    Abandon {
        /// Which session.
        lsid: Lsid,
    },
    /// Bring a user into a running session by its id (SESS-35). The caller is that user, or an API account with full command
    /// access.
    Join(Join),
    /// Invite a user (SESS-34). The caller is the owner.
    Invite {
        /// To which session.
        lsid: Lsid,
        /// Whom.
        user: UserId,
    },
    /// Come in by an invitation. The caller is the invited user.
    AcceptInvitation {
        /// To which session.
        lsid: Lsid,
        /// The address the user comes from, with port where known; `Unknown` otherwise.
        address: String,
        /// The user's program and system, as far as known; `Unknown` otherwise.
        user_system: String,
    },
    /// Decline an invitation, or withdraw it. The caller is the invited user, the owner or an administrator.
    CloseInvitation {
        /// To which session.
        lsid: Lsid,
        /// Whose.
        user: UserId,
    },
    /// Go out. The caller is a member.
    Leave {
        /// Of which session.
        lsid: Lsid,
    },
    /// Make another member the owner. The caller is the owner or an administrator.
    TransferOwnership {
        /// Of which session.
        lsid: Lsid,
        /// Who is to own it.
        to: UserId,
    },
    /// The caller, a member, is still there.
    NoteActivity {
        /// In which session.
        lsid: Lsid,
    },
    /// Members have done nothing for as long as they may (SESS-26): a due date.
    RemoveInactive {
        /// Of which session.
        lsid: Lsid,
    },
    /// Attach attributes or the external key (SESS-36). The caller is a member, or an API account with full command access.
    SetAttributes(SetAttributes),
    /// Write down something that happened in the session. The caller is its endpoint or a member.
    RecordDetail(Box<details::Record>),
}

/// What happens to an access session.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[allow(
    clippy::large_enum_variant,
    reason = "events are read one at a time and boxed nowhere else"
)]
pub enum Event {
    /// It began to start.
    Started(Started),
    /// It came up.
    Established(Established),
    /// It never came up.
    Failed(Failed),
    /// It ended.
    Ended(Ended),
    /// A user came in.
    Joined(Joined),
    /// A user went out.
    Departed(Departed),
    /// It has another owner.
    OwnerChanged(OwnerChanged),
    /// A user was invited.
    Invited(Invited),
    /// An invitation is no more.
    InvitationClosed(InvitationClosed),
    /// Attributes changed.
    AttributesChanged(AttributesChanged),
    /// Its end was announced.
    EndAnnounced(EndAnnounced),
    /// A member is there.
    MemberActive(MemberActive),
    /// Something happened in it.
    DetailRecorded(details::DetailRecorded),
}

impl Event {
    /// The names it may be stored under.
    pub const STORED_NAMES: &'static [&'static str] = &[
        "AccessSessionStarted",
        "AccessSessionEstablished",
        "AccessSessionFailed",
        "AccessSessionEnded",
        "AccessSessionJoined",
        "AccessSessionDeparted",
        "AccessSessionOwnerChanged",
        "AccessSessionInvited",
        "AccessSessionInvitationClosed",
        "AccessSessionAttributesChanged",
        "AccessSessionEndAnnounced",
        "AccessSessionMemberActive",
        "AccessSessionDetailRecorded",
    ];

    /// The name it is stored under.
    #[must_use]
    pub const fn stored_name(&self) -> &'static str {
        match self {
            Self::Started(_) => "AccessSessionStarted",
            Self::Established(_) => "AccessSessionEstablished",
            Self::Failed(_) => "AccessSessionFailed",
            Self::Ended(_) => "AccessSessionEnded",
            Self::Joined(_) => "AccessSessionJoined",
            Self::Departed(_) => "AccessSessionDeparted",
            Self::OwnerChanged(_) => "AccessSessionOwnerChanged",
            Self::Invited(_) => "AccessSessionInvited",
            Self::InvitationClosed(_) => "AccessSessionInvitationClosed",
            Self::AttributesChanged(_) => "AccessSessionAttributesChanged",
            Self::EndAnnounced(_) => "AccessSessionEndAnnounced",
            Self::MemberActive(_) => "AccessSessionMemberActive",
            Self::DetailRecorded(_) => "AccessSessionDetailRecorded",
        }
    }

    /// Reads an event back; `None` if the name is not one of an access session's.
    ///
    /// # Errors
    /// When the stored text is not of the event's form.
    pub fn from_stored(name: &str, text: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        fn read<'t, T: serde::Deserialize<'t>>(
            text: &'t [u8],
            wrap: impl Fn(T) -> Event,
        ) -> Result<Option<Event>, serde_json::Error> {
            serde_json::from_slice(text).map(|event| Some(wrap(event)))
        }
        match name {
            "AccessSessionStarted" => read(text, Self::Started),
            "AccessSessionEstablished" => read(text, Self::Established),
            "AccessSessionFailed" => read(text, Self::Failed),
            "AccessSessionEnded" => read(text, Self::Ended),
            "AccessSessionJoined" => read(text, Self::Joined),
            "AccessSessionDeparted" => read(text, Self::Departed),
            "AccessSessionOwnerChanged" => read(text, Self::OwnerChanged),
            "AccessSessionInvited" => read(text, Self::Invited),
            "AccessSessionInvitationClosed" => read(text, Self::InvitationClosed),
            "AccessSessionAttributesChanged" => read(text, Self::AttributesChanged),
            "AccessSessionEndAnnounced" => read(text, Self::EndAnnounced),
            "AccessSessionMemberActive" => read(text, Self::MemberActive),
            "AccessSessionDetailRecorded" => read(text, Self::DetailRecorded),
            _ => Ok(None),
        }
    }
}

/// What is known of a session that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct AccessSession {
    /// The owner.
    pub owner: UserId,
    /// The name the owner had.
    pub owner_name: String,
    /// To what.
    pub item: JumpItemRef,
    /// The client whose agent serves it, by the id that the agent signs in with.
    pub endpoint: Option<JumpClientId>,
    /// The group the item was in when it started.
    pub group: JumpGroupRef,
    /// The Jump Policy that applied.
    pub jump_policy_id: Option<JumpPolicyId>,
    /// When it began to start.
    pub started_at: Timestamp,
    /// Whether the agent has brought it up.
    pub established: bool,
    /// The number of the endpoint's connection.
    pub customer_gsnumber: u32,
    /// Who is in it, in the order they came. The owner is one of them.
    pub members: Vec<Member>,
    /// Who was in it and may come back by the same connection (REP-41).
    pub departed: Vec<FormerMember>,
    /// Who was invited and has not come in yet.
    pub invitations: Vec<Invitation>,
    /// Attributes by code name (SESS-36).
    pub attributes: BTreeMap<String, String>,
    /// Links it to something on another system; empty is none.
    pub external_key: String,
    /// When its end was announced last.
    pub announced_at: Option<Timestamp>,
    /// When it ends, as its members were told last: by the start, or by an announcement.
    pub told_end: Option<Timestamp>,
    /// How many details were recorded.
    pub details: u32,
    /// Whether the endpoint has told what it is (REP-52).
    pub system_information: bool,
    /// Nothing of it is recorded (REP-88).
    pub recordings_disabled: bool,
    /// The approved request it uses.
    pub access_request_id: Option<AccessRequestId>,
    /// The request that the ticket system allowed.
    pub ticket: Option<TicketRequestId>,
    /// The user went on outside the schedule (POL-16).
    pub schedule_overridden: bool,
}

/// Who is in a session.
#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// The name the user had.
    pub name: String,
    /// The number of the connection.
    pub gsnumber: u32,
    /// When the user came in by this connection first.
    pub joined_at: Timestamp,
    /// When the user did something that is known of.
    pub active_at: Timestamp,
    /// By whose invitation the user came; none where the user jumped to the item.
    pub invited_by: Option<UserId>,
}

/// Who may come into a session without a Jump (SESS-34).
#[derive(Clone, Copy, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Invitation {
    /// Who is invited.
    pub user: UserId,
    /// Who invites.
    pub by: UserId,
}

/// Who was in a session.
#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct FormerMember {
    /// Who.
    pub user: UserId,
    /// The number of the connection.
    pub gsnumber: u32,
    /// When the user came in by this connection first.
    pub joined_at: Timestamp,
}

impl AccessSession {
    /// The member that is this user.
    #[must_use]
    pub fn member(&self, user: UserId) -> Option<&Member> {
        self.members.iter().find(|member| member.user == user)
    }

    /// Whether this user was invited and has not come in yet.
    #[must_use]
    pub fn is_invited(&self, user: UserId) -> bool {
        self.invitation(user).is_some()
    }

    /// The invitation of this user, where it waits.
    #[must_use]
    pub fn invitation(&self, user: UserId) -> Option<&Invitation> {
        self.invitations
            .iter()
            .find(|invitation| invitation.user == user)
    }

    /// Who is in it or invited to it.
    pub fn users(&self) -> impl Iterator<Item = UserId> {
        let members = self.members.iter().map(|member| member.user);
        let invited = self.invitations.iter().map(|invitation| invitation.user);
        members.chain(invited)
    }

    /// The numbers of its connections, free again when it is over (REP-42).
    pub fn gsnumbers(&self) -> impl Iterator<Item = u32> {
        let members = self.members.iter().map(|member| member.gsnumber);
        let departed = self.departed.iter().map(|former| former.gsnumber);
        members.chain([self.customer_gsnumber]).chain(departed)
    }
}

/// Decides what becomes of `command`, given all that is known.
///
/// # Errors
/// Why not.
pub fn decide(world: &World, command: &Command, context: &Context) -> Decision {
    match command {
        Command::Start(start) => begin(world, start, None, &BTreeMap::new(), context),
        Command::Establish { lsid, client } => decide_establish(world, *lsid, *client, context),
        Command::Fail {
            lsid,
            client,
            reason,
        } => decide_fail(world, *lsid, *client, reason),
        Command::FailCall {
            lsid,
            failure,
            detail,
        } => decide_fail_call(world, *lsid, *failure, detail),
        Command::TimeOut { lsid } => decide_time_out(world, *lsid, context),
        Command::End { lsid } => decide_end(world, *lsid, context),
        Command::EndByEndpoint {
            lsid,
            client,
            reason,
        } => decide_end_by_endpoint(world, *lsid, *client, reason),
        Command::EndBySchedule { lsid } => decide_end_by_schedule(world, *lsid, context),
        Command::AnnounceEnd { lsid } => decide_announce_end(world, *lsid, context),
        Command::Abandon { lsid } => decide_abandon(world, *lsid, context),
        Command::Join(join) => decide_join(world, join, context),
        Command::Invite { lsid, user } => decide_invite(world, *lsid, *user, context),
        Command::AcceptInvitation {
            lsid,
            address,
            user_system,
        } => decide_accept_invitation(world, *lsid, address, user_system, context),
        Command::CloseInvitation { lsid, user } => {
            decide_close_invitation(world, *lsid, *user, context)
        }
        Command::Leave { lsid } => decide_leave(world, *lsid, context),
        Command::TransferOwnership { lsid, to } => {
            decide_transfer_ownership(world, *lsid, *to, context)
        }
        Command::NoteActivity { lsid } => decide_note_activity(world, *lsid, context),
        Command::RemoveInactive { lsid } => decide_remove_inactive(world, *lsid, context),
        Command::SetAttributes(set) => decide_set_attributes(world, set, context),
        Command::RecordDetail(record) => details::decide(world, record, context),
    }
}

/// Folds one event into the world.
pub fn apply(world: &mut World, lsid: Lsid, event: &Event, at: Timestamp) {
    match event {
        Event::Started(started) => {
            let representative = &started.representative;
            let endpoint = world.endpoint_of(started.item);
            world.session_started(
                lsid,
                started.lseq,
                AccessSession {
                    owner: representative.user_id,
                    owner_name: representative.public_display_name.clone(),
                    item: started.item,
                    endpoint,
                    group: started.group,
                    jump_policy_id: started.jump_policy_id,
                    started_at: at,
                    established: false,
                    customer_gsnumber: started.customer.gsnumber,
                    members: vec![member(representative, None, at)],
                    departed: Vec::new(),
                    invitations: Vec::new(),
                    attributes: started.attributes.clone(),
                    external_key: started.external_key.clone(),
                    announced_at: None,
                    told_end: started.closes_at,
                    details: 0,
                    system_information: false,
                    recordings_disabled: started.recordings_disabled,
                    access_request_id: started.access_request_id,
                    ticket: started.ticket,
                    schedule_overridden: started.schedule_overridden,
                },
            );
            world.item_accessed(started.item, at);
            world.item_accessed_by(started.representative.user_id, started.item);
        }
        Event::Established(_) => world.session_established(lsid),
        Event::Failed(_) | Event::Ended(_) => world.session_over(lsid),
        Event::Joined(joined) => {
            world.change_session(lsid, |session| {
                let user = joined.representative.user_id;
                let invited_by = joined.invited.then(|| {
                    let invitation = session.invitation(user);
                    invitation.map_or(session.owner, |invitation| invitation.by)
                });
                let came = member(&joined.representative, invited_by, at);
                session
                    .invitations
                    .retain(|invitation| invitation.user != user);
                session
                    .departed
                    .retain(|former| former.gsnumber != came.gsnumber);
                session.members.push(came);
            });
            if let Some(item) = world.sessions.get(&lsid).map(|session| session.item) {
                world.item_accessed(item, at);
                world.item_accessed_by(joined.representative.user_id, item);
            }
        }
        Event::Departed(departed) => world.change_session(lsid, |session| {
            let gone = |member: &mut Member| member.gsnumber == departed.gsnumber;
            let gone = session
                .members
                .extract_if(.., gone)
                .map(|member| FormerMember {
                    user: member.user,
                    gsnumber: member.gsnumber,
                    joined_at: member.joined_at,
                });
            session.departed.extend(gone);
        }),
        Event::OwnerChanged(changed) => world.change_session(lsid, |session| {
            session.owner = changed.user_id;
            session.owner_name.clone_from(&changed.public_display_name);
        }),
        Event::Invited(invited) => world.change_session(lsid, |session| {
            session.invitations.push(Invitation {
                user: invited.user_id,
                by: invited.by,
            });
        }),
        Event::InvitationClosed(closed) => world.change_session(lsid, |session| {
            session
                .invitations
                .retain(|invitation| invitation.user != closed.user_id);
        }),
        Event::AttributesChanged(changed) => world.change_session(lsid, |session| {
            for (name, value) in &changed.attributes {
                match value {
                    Some(value) => session.attributes.insert(name.clone(), value.clone()),
                    None => session.attributes.remove(name),
                };
            }
            if let Some(key) = &changed.external_key {
                session.external_key.clone_from(key);
            }
        }),
        Event::EndAnnounced(announced) => world.change_session(lsid, |session| {
            session.announced_at = Some(at);
            session.told_end = Some(announced.ends_at);
        }),
        Event::MemberActive(active) => {
            world.change_session(lsid, |session| seen(session, active.gsnumber, at));
        }
        Event::DetailRecorded(recorded) => world.change_session(lsid, |session| {
            session.details = session.details.saturating_add(1);
            session.system_information |=
                recorded.detail.kind == details::Kind::SystemInformationRetrieved;
            if let details::By::Member { gsnumber } = recorded.by {
                seen(session, gsnumber, at);
            }
        }),
    }
}

fn member(representative: &Representative, invited_by: Option<UserId>, at: Timestamp) -> Member {
    Member {
        user: representative.user_id,
        name: representative.public_display_name.clone(),
        gsnumber: representative.gsnumber,
        joined_at: at,
        active_at: at,
        invited_by,
    }
}

fn seen(session: &mut AccessSession, gsnumber: u32, at: Timestamp) {
    for member in &mut session.members {
        if member.gsnumber == gsnumber {
            member.active_at = at;
        }
    }
}
