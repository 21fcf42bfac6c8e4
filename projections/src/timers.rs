//! What is due when: sessions whose agent takes too long, whose agent is gone, whose schedule
//! is about to close or closes, whose members are inactive, or that are still to be looked at after rights were taken away; access
//! requests whose window is over; Jump Clients that become lost or are deleted.
//!
//! Knows no clock: it is asked what is due until an instant. What waits for a time that an administrator may set is ordered
//! by the instant it counts from, so a changed setting moves no entries. What is not due costs nothing but
//! its entry.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use domain::access::review;
use domain::fleet::jump_client::{self, Presence};
use domain::ids::{JumpClientId, JumpPolicyId, Lsid, NodeEpoch, UserId};
use domain::policy::jump_policy;
use domain::policy::schedule::Schedule;
use domain::session::access_session::{self, Command as Asked, SPAWN_TIMEOUT};
use domain::site::settings::SiteSettings;
use domain::site::user;
use domain::{Command, Event, Timestamp, World, node, time};

use crate::recorded::Recorded;
use crate::timers::clients::Clients;
use crate::timers::requests::Requests;
use crate::timers::tickets::Tickets;

mod clients;
mod ends;
mod requests;
mod tickets;

/// Something is due.
#[derive(Clone, Debug, PartialEq)]
pub struct Due {
    /// Since when.
    pub at: Timestamp,
    /// What to ask then. `decide` has the last word.
    pub command: Command,
}

/// What is due when.
#[derive(Debug, Default)]
pub struct Timers(RwLock<Entries>);

#[derive(Debug, Default, PartialEq)]
struct Entries {
    sessions: HashMap<Lsid, Entry>,
    /// Sessions by what an event may name.
    by_endpoint: BTreeSet<(JumpClientId, Lsid)>,
    by_node: BTreeSet<(NodeEpoch, Lsid)>,
    by_policy: BTreeSet<(JumpPolicyId, Lsid)>,
    /// By the instant each began to start.
    starting: Queue,
    /// By the instant their client went offline.
    waiting: Queue,
    /// Since when sessions are to be looked at after rights were taken away.
    review: Option<Timestamp>,
    /// Under a schedule that ends sessions, by the instant it closes.
    closing: Queue,
    requests: Requests,
    /// The same, by the instant the end is announced next.
    announcing: Queue,
    /// By the instant the first of their members has been inactive for too long.
    idling: Queue,
    /// Sessions by their members.
    by_member: BTreeSet<(UserId, Lsid)>,
    tickets: Tickets,
    clients: Clients,
}

/// What an event says to look at again.
#[derive(Clone, Copy)]
enum Touched {
    Nothing,
    Session(Lsid),
    /// Whatever is served by the agent of this client.
    Endpoint(JumpClientId),
    Node(NodeEpoch),
    Policy(JumpPolicyId),
    User(UserId),
    /// What holds for everybody.
    All,
}

/// All that the entries of one session follow from.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    endpoint: Option<JumpClientId>,
    started_at: Timestamp,
    starting: bool,
    client: Client,
    policy: Option<JumpPolicyId>,
    closing: Option<Closing>,
    /// Since when no end was announced.
    unannounced_since: Timestamp,
    /// The end that its members know of.
    told_end: Option<Timestamp>,
    /// When the first of its members has been inactive for too long.
    idle_at: Option<Timestamp>,
    members: Vec<UserId>,
}

/// When a schedule ends a session (POL-17).
#[derive(Clone, Debug, PartialEq)]
struct Closing {
    at: Timestamp,
    schedule: Arc<Schedule>,
}

/// The session's client.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Client {
    Online(NodeEpoch),
    Offline(Timestamp),
    /// No connection is waited for: the item has none of its own, or its client was called and has not come yet.
    None,
}

/// Sessions by an instant.
type Queue = BTreeSet<(Timestamp, Lsid)>;

/// What is asked of the sessions of a queue.
type Ask = fn(Lsid) -> Asked;

impl Timers {
    /// The timers of a `World`.
    #[must_use]
    pub fn of(world: &World) -> Self {
        let mut entries = Entries {
            requests: requests::of(world),
            tickets: tickets::of(world),
            clients: Clients::of(world),
            review: world.access_review.map(|pending| pending.since),
            ..Entries::default()
        };
        for (lsid, _) in world.sessions.iter() {
            entries.refresh(*lsid, world);
        }
        Self(RwLock::new(entries))
    }

    /// Folds one event in; see [`crate::Views::apply`].
    pub fn apply(&self, recorded: &Recorded, world_after: &World) {
        if let Some(change) = requests::change(&recorded.event) {
            self.write().requests.apply(&change);
            return;
        }
        if let Some(change) = tickets::change(&recorded.event) {
            self.write().tickets.apply(&change);
            return;
        }
        if matches!(recorded.event, Event::AccessReview(_)) {
            self.write().review = world_after.access_review.map(|pending| pending.since);
            return;
        }
        if Clients::concerns(&recorded.event) {
            self.write().clients.apply(&recorded.event, world_after);
        }
        let touched = touched(&recorded.event);
        if matches!(touched, Touched::Nothing) || self.is_untouched(touched) {
            return;
        }
        let mut entries = self.write();
        for lsid in entries.named_by(touched) {
            entries.refresh(lsid, world_after);
        }
    }

    /// What is due until `until`, inclusive: the oldest first, at most `limit`.
    pub fn due(&self, until: Timestamp, settings: &SiteSettings, limit: usize) -> Vec<Due> {
        let closed_since = self
            .read()
            .closing
            .first()
            .is_some_and(|(at, _)| *at <= until);
        if closed_since {
            self.write().pass_over_reopened(until);
        }
        let entries = self.read();
        let mut due: Vec<(Timestamp, Lsid, Asked)> = Vec::new();
        let queues: [(&Queue, i64, Ask); 5] = [
            (&entries.starting, SPAWN_TIMEOUT, |lsid| Asked::TimeOut {
                lsid,
            }),
            (&entries.waiting, wait_of(settings), |lsid| Asked::Abandon {
                lsid,
            }),
            (&entries.closing, 0, |lsid| Asked::EndBySchedule { lsid }),
            (&entries.announcing, 0, |lsid| Asked::AnnounceEnd { lsid }),
            (&entries.idling, 0, |lsid| Asked::RemoveInactive { lsid }),
        ];
        for (queue, wait, command) in queues {
            due.extend(
                queue
                    .iter()
                    .map(|(from, lsid)| (from.plus(wait), *lsid))
                    .take_while(|(at, _)| *at <= until)
                    .take(limit)
                    .map(|(at, lsid)| (at, lsid, command(lsid))),
            );
        }
        due.sort_by_key(|(at, lsid, _)| (*at, *lsid));
        let of_sessions = due.into_iter().map(|(at, _, command)| Due {
            at,
            command: Command::AccessSession(command),
        });
        let of_requests = entries.requests.until(until).map(requests::due).take(limit);
        let of_tickets = entries.tickets.until(until).map(tickets::due).take(limit);
        let of_clients = entries.clients.due(until, settings, limit);
        let review = entries.review.filter(|at| *at <= until).map(|at| Due {
            at,
            command: Command::AccessReview(review::Command::Continue),
        });
        let mut due: Vec<Due> = of_sessions
            .chain(review)
            .chain(of_requests)
            .chain(of_tickets)
            .chain(of_clients)
            .collect();
        due.sort_by_key(|due| due.at);
        due.truncate(limit);
        due
    }

    /// When the next thing is due, if anything is. It may be that [`Self::due`] finds nothing then: a schedule that closed while
    /// nobody looked may be open again.
    pub fn next(&self, settings: &SiteSettings) -> Option<Timestamp> {
        let entries = self.read();
        let first = |queue: &Queue, wait: i64| queue.first().map(|(from, _)| from.plus(wait));
        [
            entries.review,
            first(&entries.starting, SPAWN_TIMEOUT),
            first(&entries.waiting, wait_of(settings)),
            first(&entries.closing, 0),
            entries.requests.next(),
            first(&entries.announcing, 0),
            first(&entries.idling, 0),
            entries.tickets.next(),
            entries.clients.next(settings),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Most events of clients concern none with a session: they are passed over without locking readers out.
    fn is_untouched(&self, touched: Touched) -> bool {
        match touched {
            Touched::Session(_) => false,
            _ => self.read().named_by(touched).is_empty(),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Entries> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Entries> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for Timers {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other) || *self.read() == *other.read()
    }
}

fn wait_of(settings: &SiteSettings) -> i64 {
    i64::from(settings.lost_agent_seconds) * time::SECOND
}

fn touched(event: &Event) -> Touched {
    match event {
        Event::AccessSession(lsid, event) => match event {
            access_session::Event::Started(_)
            | access_session::Event::Established(_)
            | access_session::Event::Failed(_)
            | access_session::Event::Ended(_)
            | access_session::Event::Joined(_)
            | access_session::Event::Departed(_)
            | access_session::Event::EndAnnounced(_)
            | access_session::Event::MemberActive(_)
            | access_session::Event::DetailRecorded(_) => Touched::Session(*lsid),
            access_session::Event::OwnerChanged(_)
            | access_session::Event::Invited(_)
            | access_session::Event::InvitationClosed(_)
            | access_session::Event::AttributesChanged(_) => Touched::Nothing,
        },
        Event::JumpClient(client, event) => match event {
            jump_client::Event::Connected(_)
            | jump_client::Event::Reinstalled(_)
            | jump_client::Event::Disconnected(_)
            | jump_client::Event::Uninstalled(_)
            | jump_client::Event::ConnectionTypeSet(_) => Touched::Endpoint(*client),
            // A session outlives its item.
            jump_client::Event::Record(_)
            | jump_client::Event::Registered(_)
            | jump_client::Event::Copied(_)
            | jump_client::Event::CheckedIn(_)
            | jump_client::Event::Lost(_)
            | jump_client::Event::Expired(_)
            | jump_client::Event::TokenOffered(_)
            | jump_client::Event::TokenConfirmed(_)
            | jump_client::Event::TrustConfirmed(_)
            | jump_client::Event::Quarantined(_) => Touched::Nothing,
        },
        Event::User(user, event) => match event {
            user::Event::Record(_) => Touched::User(*user),
            user::Event::SignedIn(_)
            | user::Event::SignInFailed(_)
            | user::Event::SignedOut(_)
            | user::Event::PasswordChanged(_)
            | user::Event::AdministratorReset(_) => Touched::Nothing,
        },
        Event::JumpPolicy(policy, event) => match event {
            jump_policy::Event::Record(_) | jump_policy::Event::ScheduleSet(_) => {
                Touched::Policy(*policy)
            }
        },
        Event::Node(epoch, event) => match event {
            node::Event::Stopped(_) => Touched::Node(*epoch),
            node::Event::Started(_)
            | node::Event::ClientsCheckedIn(_)
            | node::Event::ClockFellBehind(_)
            | node::Event::ClockCaughtUp(_) => Touched::Nothing,
        },
        Event::SiteSettings(..) | Event::GroupPolicy(..) | Event::GroupPolicyOrder(_) => {
            Touched::All
        }
        // Their entries are told apart before.
        Event::AccessRequest(..)
        | Event::TicketRequest(..)
        | Event::AccessReview(_)
        | Event::ShellJump(..)
        | Event::Jumpoint(..)
        | Event::JumpGroup(..)
        | Event::Site(_)
        | Event::AgentTrust(_)
        | Event::TicketSystem(..)
        | Event::Team(..)
        | Event::MailSettings(..)
        | Event::MailTemplate(..)
        | Event::MailDelivery(..)
        | Event::ApiAccount(..)
        | Event::JumpItemRole(..)
        | Event::JumpClientInstaller(..)
        | Event::StartupGroup(..)
        | Event::SessionPolicy(..)
        | Event::CustomField(..)
        | Event::ItemCustomFields(..)
        | Event::CustomSessionAttribute(..)
        | Event::Audit(..)
        | Event::External(_) => Touched::Nothing,
    }
}

const FIRST: Lsid = Lsid(0);
const LAST: Lsid = Lsid(u128::MAX);

impl Entries {
    fn named_by(&self, touched: Touched) -> Vec<Lsid> {
        match touched {
            Touched::Nothing => Vec::new(),
            Touched::Session(lsid) => vec![lsid],
            Touched::Endpoint(endpoint) => sessions_of(&self.by_endpoint, endpoint),
            Touched::Node(epoch) => sessions_of(&self.by_node, epoch),
            Touched::Policy(policy) => sessions_of(&self.by_policy, policy),
            Touched::User(user) => sessions_of(&self.by_member, user),
            Touched::All => self.sessions.keys().copied().collect(),
        }
    }

    /// Makes the entries of a session what the `World` says.
    fn refresh(&mut self, lsid: Lsid, world: &World) {
        let now = Entry::of(lsid, world);
        let before = match now.clone() {
            Some(entry) => self.sessions.insert(lsid, entry),
            None => self.sessions.remove(&lsid),
        };
        if before == now {
            return;
        }
        if let Some(before) = before {
            self.change(lsid, &before, false);
        }
        if let Some(now) = now {
            self.change(lsid, &now, true);
        }
    }

    fn change(&mut self, lsid: Lsid, entry: &Entry, add: bool) {
        if let Some(endpoint) = entry.endpoint {
            change(&mut self.by_endpoint, endpoint, lsid, add);
        }
        if entry.starting {
            change(&mut self.starting, entry.started_at, lsid, add);
        }
        if let Some(policy) = entry.policy {
            change(&mut self.by_policy, policy, lsid, add);
        }
        if let Some(closing) = &entry.closing {
            change(&mut self.closing, closing.at, lsid, add);
        }
        if let Some(at) = entry.announced_next() {
            change(&mut self.announcing, at, lsid, add);
        }
        if let Some(at) = entry.idle_at {
            change(&mut self.idling, at, lsid, add);
        }
        for user in &entry.members {
            change(&mut self.by_member, *user, lsid, add);
        }
        match entry.client {
            Client::Online(node) => change(&mut self.by_node, node, lsid, add),
            Client::Offline(since) => change(&mut self.waiting, since, lsid, add),
            Client::None => {}
        }
    }

    /// Moves sessions whose schedule closed before `until` and is open again then to its next closing: nobody looked in
    /// between, and what the schedule permits now is not ended.
    fn pass_over_reopened(&mut self, until: Timestamp) {
        let closed: Vec<(Timestamp, Lsid)> = self
            .closing
            .iter()
            .take_while(|(at, _)| *at <= until)
            .copied()
            .collect();
        for (at, lsid) in closed {
            let Some(entry) = self.sessions.get_mut(&lsid) else {
                continue;
            };
            let announced = entry.announced_next();
            let Some(closing) = entry.closing.as_mut() else {
                continue;
            };
            let next = closing.schedule.closes_after(until);
            // Of an end that is due nothing is announced any more.
            if let Some(at) = announced {
                self.announcing.remove(&(at, lsid));
            }
            if let Some(next) = next {
                closing.at = next;
                self.closing.remove(&(at, lsid));
                self.closing.insert((next, lsid));
                if let Some(at) = entry.announced_next() {
                    self.announcing.insert((at, lsid));
                }
            }
        }
    }
}

fn sessions_of<K: Ord + Copy>(index: &BTreeSet<(K, Lsid)>, key: K) -> Vec<Lsid> {
    index
        .range((key, FIRST)..=(key, LAST))
        .map(|(_, lsid)| *lsid)
        .collect()
}

fn change<K: Ord>(index: &mut BTreeSet<(K, Lsid)>, key: K, lsid: Lsid, add: bool) {
    if add {
        index.insert((key, lsid));
    } else {
        index.remove(&(key, lsid));
    }
}

impl Entry {
    fn of(lsid: Lsid, world: &World) -> Option<Self> {
        let session = world.sessions.get(&lsid)?;
        let client = match (
            world.agent_away_since(session),
            world.client_of_session(session),
        ) {
            (Some(since), _) => Client::Offline(since),
            (None, Some(client)) => match client.presence {
                Presence::Connected(link) if world.is_online(client) => Client::Online(link.node),
                _ => Client::None,
            },
            (None, None) => Client::None,
        };
        Some(Self {
            endpoint: session.endpoint,
            started_at: session.started_at,
            starting: !session.established,
            client,
            policy: session.jump_policy_id,
            closing: session
                .jump_policy_id
                .and_then(|policy| Closing::of(policy, session.started_at, world)),
            unannounced_since: session.unannounced_since(),
            told_end: session.told_end,
            idle_at: session
                .members
                .iter()
                .filter_map(|member| {
                    let wait = access_session::idle_after(world, member.user)?;
                    Some(member.active_at.plus(wait))
                })
                .min(),
            members: session.members.iter().map(|member| member.user).collect(),
        })
    }

    /// When the end is announced next, if it is.
    fn announced_next(&self) -> Option<Timestamp> {
        let closing = self.closing.as_ref()?;
        access_session::announced_next(closing.at, self.unannounced_since, self.told_end)
    }
}

impl Closing {
    /// The first closing after the session began. That may be long ago, by a schedule that was set since: see
    /// [`Entries::pass_over_reopened`].
    fn of(policy: JumpPolicyId, started_at: Timestamp, world: &World) -> Option<Self> {
        let at = jump_policy::ends_sessions_at(world, policy, started_at)?;
        let schedule = world.schedules.get(&policy).cloned().unwrap_or_default();
        Some(Self {
            at,
            schedule: Arc::new(schedule),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::thought_of;

    /// The names whose events may change an entry.
    const FOLDED: &[&str] = &[
        "AccessSessionStarted",
        "AccessSessionEstablished",
        "AccessSessionFailed",
        "AccessSessionEnded",
        "AccessSessionJoined",
        "AccessSessionDeparted",
        "AccessSessionEndAnnounced",
        "AccessSessionMemberActive",
        "AccessSessionDetailRecorded",
        "SiteSettingsCreated",
        "SiteSettingsChanged",
        "SiteSettingsDeleted",
        "UserCreated",
        "UserChanged",
        "GroupPolicyCreated",
        "GroupPolicyChanged",
        "GroupPolicyDeleted",
        "GroupPolicyMemberAdded",
        "GroupPolicyMemberRemoved",
        "GroupPolicyRowSet",
        "GroupPolicyRowDropped",
        "JumpClientRegistered",
        "JumpClientReinstalled",
        "JumpClientCopied",
        "JumpClientLost",
        "JumpClientUninstalled",
        "JumpClientConnectionTypeSet",
        "JumpClientConnected",
        "JumpClientDisconnected",
        "JumpClientChanged",
        "JumpClientDeleted",
        "JumpGroupDeleted",
        "UserDeleted",
        "NodeStopped",
        "JumpPolicyCreated",
        "JumpPolicyChanged",
        "JumpPolicyDeleted",
        "JumpPolicyScheduleSet",
        "AccessReviewDue",
        "AccessReviewFinished",
        "AccessRequestSubmitted",
        "AccessRequestExpired",
        "AccessRequestClosed",
        "TicketRequestAsked",
        "TicketRequestSent",
        "TicketRequestAllowed",
        "TicketRequestStartRefused",
        "TicketRequestDenied",
        "TicketRequestAnswerInvalid",
        "TicketRequestTimedOut",
        "TicketRequestVoided",
    ];

    /// The names whose events change none: no session begins, ends, or loses its client by them.
    const PASSED_OVER: &[&str] = &[
        "AccessRequestApproved",
        "AccessRequestDenied",
        "AccessRequestCancelled",
        "AccessRequestUsed",
        "SessionPolicyCreated",
        "SessionPolicyChanged",
        "SessionPolicyDeleted",
        "CustomFieldCreated",
        "CustomFieldChanged",
        "CustomFieldDeleted",
        "ItemCustomFieldsSet",
        "CustomSessionAttributeCreated",
        "CustomSessionAttributeChanged",
        "CustomSessionAttributeDeleted",
        "ShellJumpCreated",
        "ShellJumpChanged",
        "ShellJumpDeleted",
        "JumpointDeleted",
        "JumpointCreated",
        "JumpointChanged",
        "JumpointUserAdded",
        "JumpointUserRemoved",
        "SiteCreated",
        "SiteUpgraded",
        "AccessSessionOwnerChanged",
        "AccessSessionInvited",
        "AccessSessionInvitationClosed",
        "AccessSessionAttributesChanged",
        "StartupItemAdded",
        "StartupItemRemoved",
        "TicketSystemCreated",
        "TicketSystemChanged",
        "TicketSystemDeleted",
        "MailSettingsCreated",
        "MailSettingsChanged",
        "MailSettingsDeleted",
        "MailTemplateSet",
        "MailTemplateReset",
        "MailQueued",
        "MailDelivered",
        "MailFailed",
        "MailParked",
        "MailRequeued",
        "MailDiscarded",
        "UserSignedIn",
        "UserSignInFailed",
        "UserPasswordChanged",
        "UserSignedOut",
        "AdministratorReset",
        "ApiAccountCreated",
        "ApiAccountChanged",
        "ApiAccountDeleted",
        "ApiAccountSecretRegenerated",
        "ApiAccountAuthenticated",
        "JumpItemRoleCreated",
        "JumpItemRoleChanged",
        "JumpItemRoleDeleted",
        "JumpGroupCreated",
        "JumpGroupChanged",
        "JumpGroupMemberAdded",
        "JumpGroupMemberChanged",
        "JumpGroupMemberRemoved",
        "TeamCreated",
        "TeamChanged",
        "TeamDeleted",
        "TeamMemberAdded",
        "TeamMemberChanged",
        "TeamMemberRemoved",
        "GroupPoliciesOrdered",
        "AgentAnchorAdded",
        "AgentAnchorWithdrawn",
        "SiteAddressAdded",
        "SiteAddressWithdrawn",
        "JumpClientInstallerCreated",
        "JumpClientInstallerChanged",
        "JumpClientInstallerDeleted",
        "JumpClientCheckedIn",
        "JumpClientExpired",
        "JumpClientTokenOffered",
        "JumpClientTokenConfirmed",
        "JumpClientTrustConfirmed",
        "JumpClientQuarantined",
        "NodeStarted",
        "JumpClientsCheckedIn",
        "NodeClockFellBehind",
        "NodeClockCaughtUp",
        "ActionRefused",
        "AttemptsRefused",
    ];

    #[test]
    fn every_event_was_thought_of() {
        thought_of::check(FOLDED, PASSED_OVER);
    }
}
