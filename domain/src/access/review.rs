//! A right ends when it ends: what rested on a right is looked at again in the decision that takes it away.
//!
//! [`follow`] stands behind every decision. It finds the sessions, starts, invitations and requests to the ticket system that
//! the events of the decision may take the ground from, asks for each user *the same functions that let them in*, against the
//! world after the events, and appends what follows: a member departs, the ownership passes on to the member who is in longest and
//! may own, or the session ends; a start fails; an invitation closes; a request to the ticket system is refused. Each with the
//! words of the gate that is closed now.
//!
//! What a running session does not rest on, by the rules: a deleted item or group (GRP-31), the window of an approval that was used
//! and its revocation (APPR-14, APPR-23, APPR-31), a lenient schedule (POL-12), and with these whatever else a Jump Policy asks
//! of who comes. A strict schedule ends sessions by a due date (POL-17).
//!
//! Where more follows than one decision holds, [`Event::Due`] says from which session on all are looked at again, and a due date
//! goes on there (architecture.md, "Bounds").

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::access::group_policy::{self, Of};
use crate::access::jump_group;
use crate::fleet::jump_client;
use crate::ids::{JumpGroupRef, JumpItemRef, Lsid, TicketRequestId, UserId};
use crate::items::jumpoint;
use crate::policy::ticket;
use crate::record::{self, Record};
use crate::session::access_session;
use crate::site::{team, user};
use crate::{Context, EVENTS_MAX, Timestamp, World};

#[cfg(test)]
mod tests;

/// The stream of its events.
pub const STREAM: &str = "access_review";

/// What may be asked of the review.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Go on where the last decision had no room: a due date.
    Continue,
}

/// What followed from a change did not fit into its decision. Expected rate: a few a year, when a right that hundreds of running
/// sessions rest on is withdrawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// From which session on, in the order of ids, all are looked at again.
    pub from: Lsid,
}

/// All sessions were looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {}

/// What happens to the review.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Event {
    /// Sessions are still to be looked at.
    Due(Due),
    /// None is any more.
    Finished(Finished),
}

impl Event {
    /// The names it may be stored under.
    pub const STORED_NAMES: &'static [&'static str] = &["AccessReviewDue", "AccessReviewFinished"];

    /// The name it is stored under.
    #[must_use]
    pub const fn stored_name(&self) -> &'static str {
        match self {
            Self::Due(_) => "AccessReviewDue",
            Self::Finished(_) => "AccessReviewFinished",
        }
    }

    /// Reads an event back; `None` if the name is not one of the review's.
    ///
    /// # Errors
    /// When the stored text is not of the event's form.
    pub fn from_stored(name: &str, text: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        Ok(Some(match name {
            "AccessReviewDue" => Self::Due(serde_json::from_slice(text)?),
            "AccessReviewFinished" => Self::Finished(serde_json::from_slice(text)?),
            _ => return Ok(None),
        }))
    }
}

/// Sessions are still to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct PendingReview {
    /// From which on, in the order of ids.
    pub from: Lsid,
    /// Since when.
    pub since: Timestamp,
}

/// Decides what becomes of `command`, given all that is known.
#[must_use]
pub fn decide(world: &World, command: &Command) -> Vec<crate::Event> {
    let (Command::Continue, Some(pending)) = (command, world.access_review) else {
        return Vec::new();
    };
    let sessions = world.sessions_from(pending.from);
    let mut events = Vec::new();
    let next = review_sessions(world, sessions, &mut events);
    events.push(crate::Event::AccessReview(match next {
        Some(from) => Event::Due(Due { from }),
        None => Event::Finished(Finished {}),
    }));
    events
}

/// Folds one event into the world.
pub fn apply(world: &mut World, event: &Event, at: Timestamp) {
    world.access_review = match event {
        Event::Due(due) => Some(PendingReview {
            from: due.from,
            since: at,
        }),
        Event::Finished(_) => None,
    };
}

/// `events` of a decision in `world`, and what follows where they take rights away.
pub(crate) fn follow(
    world: &World,
    events: Vec<crate::Event>,
    context: &Context,
) -> Vec<crate::Event> {
    let affected = Affected::by(world, &events);
    let sessions = affected.sessions(world);
    let tickets = affected.tickets(world);
    if sessions.is_empty() && tickets.is_empty() {
        return events;
    }
    let mut after = world.clone();
    for event in &events {
        after.apply(event, context.now);
    }
    let mut events = events;
    for request in tickets {
        // One that finds no room is decided anew when its answer comes.
        if events.len() + 1 < EVENTS_MAX {
            events.extend(ticket::review(&after, request));
        }
    }
    if let Some(from) = review_sessions(&after, sessions.into_iter(), &mut events) {
        let from = match after.access_review {
            Some(pending) => pending.from.min(from),
            None => from,
        };
        events.push(crate::Event::AccessReview(Event::Due(Due { from })));
    }
    events
}

/// Most sessions that one decision looks at: each costs some microseconds, and everybody waits for the one writer.
const SESSIONS_LOOKED_AT_MAX: usize = 1_000;

/// Looks at sessions, in the order of their ids, as long as there is room for what follows and for one event more, and at
/// [`SESSIONS_LOOKED_AT_MAX`] at most. Returns the first that was not looked at.
fn review_sessions(
    world: &World,
    sessions: impl Iterator<Item = Lsid>,
    events: &mut Vec<crate::Event>,
) -> Option<Lsid> {
    for (looked_at, lsid) in sessions.enumerate() {
        if looked_at >= SESSIONS_LOOKED_AT_MAX {
            return Some(lsid);
        }
        let Some(session) = world.sessions.get(&lsid) else {
            continue;
        };
        let follows = access_session::review(world, lsid, session);
        if events.len() + follows.len() >= EVENTS_MAX {
            return Some(lsid);
        }
        events.extend(follows);
    }
    None
}

/// Whose rights a decision may take away.
#[derive(Debug, Default, PartialEq, Eq)]
struct Affected {
    /// Those of anybody.
    everybody: bool,
    /// Those of these users.
    users: BTreeSet<UserId>,
    /// Those of whoever is at these items.
    items: BTreeSet<JumpItemRef>,
    /// Those of whoever is about to start on an item that is gone.
    starts: bool,
}

impl Affected {
    fn by(world: &World, events: &[crate::Event]) -> Self {
        let mut affected = Self::default();
        for event in events {
            affected.note(world, event);
        }
        affected
    }

    fn note(&mut self, world: &World, event: &crate::Event) {
        match event {
            crate::Event::User(user, user::Event::Record(event)) => self.note_user(*user, event),
            crate::Event::Team(_, event) => self.note_team(world, event),
            crate::Event::JumpItemRole(_, event) => {
                self.everybody |= !matches!(event, record::Event::Created(_));
            }
            crate::Event::JumpGroup(_, event) => self.note_group(event),
            crate::Event::GroupPolicy(_, event) => self.note_policy(world, event),
            crate::Event::GroupPolicyOrder(_) => self.everybody = true,
            crate::Event::JumpClient(item, jump_client::Event::Record(event)) => {
                self.note_item(JumpItemRef::JumpClient(*item), event);
            }
            crate::Event::ShellJump(item, event) => {
                self.note_item(JumpItemRef::ShellJump(*item), event);
            }
            // The shortcuts through it go with it (JPT-32).
            crate::Event::Jumpoint(_, jumpoint::Event::Record(record::Event::Deleted(_))) => {
                self.starts = true;
            }
            crate::Event::User(..)
            | crate::Event::JumpClient(..)
            // Whoever may jump to an item may, whether or not they may make items through its Jumpoint (JPT-27).
            | crate::Event::Jumpoint(..)
            // Gates of who comes: see the module's documentation.
            | crate::Event::JumpPolicy(..)
            | crate::Event::SessionPolicy(..)
            | crate::Event::AccessRequest(..)
            | crate::Event::TicketSystem(..)
            | crate::Event::SiteSettings(..)
            | crate::Event::Site(_)
            | crate::Event::AgentTrust(_)
            | crate::Event::MailSettings(..)
            | crate::Event::MailTemplate(..)
            | crate::Event::MailDelivery(..)
            | crate::Event::ApiAccount(..)
            | crate::Event::TicketRequest(..)
            | crate::Event::JumpClientInstaller(..)
            | crate::Event::CustomField(..)
            | crate::Event::ItemCustomFields(..)
            | crate::Event::CustomSessionAttribute(..)
            | crate::Event::AccessSession(..)
            | crate::Event::StartupGroup(..)
            | crate::Event::Node(..)
            | crate::Event::AccessReview(_)
            | crate::Event::Audit(..)
            | crate::Event::External(_) => {}
        }
    }

    fn note_user(&mut self, user: UserId, event: &record::Event<user::User>) {
        if matches!(event, record::Event::Created(_)) {
            return;
        }
        self.users.insert(user);
        // The items of the personal list go with their owner.
        self.starts |= matches!(event, record::Event::Deleted(_));
    }

    fn note_team(&mut self, world: &World, event: &team::Event) {
        match event {
            team::Event::Record(record::Event::Deleted(_)) => self.everybody = true,
            team::Event::Record(_) => {}
            team::Event::MemberAdded(member) | team::Event::MemberChanged(member) => {
                self.note_teams_of(world, member.user_id);
            }
            team::Event::MemberRemoved(removed) => self.note_teams_of(world, removed.user_id),
        }
    }

    /// Teams decide who shares with the user, whose personal lists the user sees, and who sees theirs (ROLE-12).
    fn note_teams_of(&mut self, world: &World, user: UserId) {
        self.users.insert(user);
        let list = world.items_of(JumpGroupRef::Personal(user));
        let at_work = list.filter(|item| world.session_on(*item).is_some());
        self.items.extend(at_work);
    }

    fn note_group(&mut self, event: &jump_group::Event) {
        match event {
            // A session outlives its item; a start does not (GRP-31).
            jump_group::Event::Record(event) => {
                self.starts |= matches!(event, record::Event::Deleted(_));
            }
            // A membership may be less than what it takes the place of (ROLE-08).
            jump_group::Event::MemberAdded(member) | jump_group::Event::MemberChanged(member) => {
                self.users.insert(member.user_id);
            }
            jump_group::Event::MemberRemoved(removed) => {
                self.users.insert(removed.user_id);
            }
        }
    }

    fn note_policy(&mut self, world: &World, event: &group_policy::Event) {
        match event {
            // A new one has no members.
            group_policy::Event::Record(record::Event::Created(_)) => {}
            group_policy::Event::Record(_) => self.everybody = true,
            group_policy::Event::MemberAdded(member)
            | group_policy::Event::MemberRemoved(member) => {
                self.note_teams_of(world, member.user_id);
            }
            group_policy::Event::RowSet(group_policy::RowSet { of, .. })
            | group_policy::Event::RowDropped(group_policy::RowDropped { of }) => {
                self.everybody |= !matches!(of, Of::Jumpoint(_));
            }
        }
    }

    fn note_item<R: Record>(&mut self, item: JumpItemRef, event: &record::Event<R>) {
        match event {
            record::Event::Created(_) => {}
            record::Event::Changed(changes) => {
                let moves = ["jump_group_id", "jump_group_type"];
                if moves.iter().any(|field| changes.contains_key(*field)) {
                    self.items.insert(item);
                }
            }
            record::Event::Deleted(_) => self.starts = true,
        }
    }

    /// The sessions that rest on these rights, by id.
    fn sessions(&self, world: &World) -> BTreeSet<Lsid> {
        if self.everybody {
            return world.sessions.keys().copied().collect();
        }
        let of_users = self
            .users
            .iter()
            .flat_map(|user| world.sessions_of_user(*user));
        let at_items = self.items.iter().filter_map(|item| world.session_on(*item));
        let starts = world.sessions_starting().filter(|_| self.starts);
        of_users.chain(at_items).chain(starts).collect()
    }

    /// The requests to the ticket system that wait on behalf of these rights, by id. There are few: each waits for a minute.
    fn tickets(&self, world: &World) -> Vec<TicketRequestId> {
        if *self == Self::default() {
            return Vec::new();
        }
        world
            .ticket_requests
            .iter()
            .filter(|(_, request)| {
                self.everybody
                    || self.starts
                    || self.users.contains(&request.start.user)
                    || self.items.contains(&request.start.item)
            })
            .map(|(id, _)| *id)
            .collect()
    }
}
