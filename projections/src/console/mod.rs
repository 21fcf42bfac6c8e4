//! Jump Items as the Jump interface shows them: search text, status, presence, Last Accessed, newest figures, and counts per
//! group and tag for the footer.
//!
//! A list asks the `World` for the items one may see and this view for their rows. Presence is not written into rows: a row
//! names its node, so one event takes all clients of a stopped node offline.

mod counts;
mod figures;
mod row;
mod search;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use dashmap::DashMap;
use domain::access::jump_group;
use domain::fleet::jump_client::{self, JumpClient, Presence};
use domain::ids::{JumpClientId, JumpGroupRef, JumpItemRef, NodeEpoch, ShellJumpId, UserId};
use domain::items::jumpoint;
use domain::items::shell::ShellJumpItem;
use domain::session::access_session;
use domain::site::user;
use domain::{Event, Timestamp, World, node, record};

use crate::recorded::Recorded;
pub use counts::Counts;
use counts::{GroupCounts, Place};
use figures::NewestFigures;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
pub use row::{ConsoleRow, Row, RowRef, SearchField, Status, Texts, fold};
use rustc_hash::FxBuildHasher;
pub use search::Search;

/// Fewer rows than this are not worth a thread of their own.
const ROWS_A_THREAD_MIN: usize = 4_096;

/// The view. Readers and the one who applies share it without a lock of their own.
///
/// Its keys are numbers of the site's own, which nobody outside chooses, so a cheap hash does.
#[derive(Debug, Default)]
pub struct ConsoleView {
    rows: DashMap<JumpItemRef, Stored, FxBuildHasher>,
    figures: NewestFigures,
    groups: RwLock<HashMap<JumpGroupRef, GroupCounts>>,
    /// What groups are called, as shown and folded.
    names: DashMap<JumpGroupRef, (Arc<str>, Arc<str>), FxBuildHasher>,
    /// Nodes that stopped, with when; a node not here runs.
    stopped: RwLock<HashMap<NodeEpoch, Timestamp>>,
}

/// What is kept of an item.
#[derive(Clone, Debug)]
struct Stored {
    texts: Arc<Texts>,
    /// All of them folded, and where the name ends.
    folded: (Arc<str>, u32),
    group: JumpGroupRef,
    presence: Presence,
    /// Since when it has been offline if it is disconnected; else when it connected.
    since: Timestamp,
    last_accessed: Option<Timestamp>,
    connection: Connection,
    disabled: bool,
    quarantined: bool,
    /// Whose agent it has, if any.
    endpoint: Option<JumpClientId>,
}

/// How a client connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connection {
    Active,
    Passive,
    Uninstalled,
    /// No agent: a shortcut through a Jumpoint.
    Jumpoint,
}

impl ConsoleView {
    /// The view of a `World`, without figures.
    #[must_use]
    pub fn of(world: &World) -> Self {
        let clients: Vec<(&JumpClientId, &JumpClient)> = world.jump_clients.iter().collect();
        let view = Self {
            rows: DashMap::with_capacity_and_hasher(clients.len(), FxBuildHasher),
            figures: NewestFigures::with_room_for(clients.len()),
            ..Self::default()
        };
        for (group, _) in world.jump_groups.iter() {
            view.name_group(JumpGroupRef::Shared(*group), world);
        }
        for (owner, _) in world.users.iter() {
            view.name_group(JumpGroupRef::Personal(*owner), world);
        }
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let each = clients.len().div_ceil(threads).max(ROWS_A_THREAD_MIN);
        std::thread::scope(|scope| {
            let mut parts = clients.chunks(each);
            let own = parts.next();
            for part in parts {
                scope.spawn(|| view.put_clients(part, world));
            }
            view.put_clients(own.unwrap_or_default(), world);
        });
        for (id, item) in world.shell_jumps.iter() {
            view.put(JumpItemRef::ShellJump(*id), Stored::of_shell(item));
        }
        view
    }

    /// Puts clients that have no rows yet; several parts may be put at the same time.
    fn put_clients(&self, clients: &[(&JumpClientId, &JumpClient)], world: &World) {
        let mut groups: HashMap<JumpGroupRef, (GroupCounts, Vec<JumpItemRef>), FxBuildHasher> =
            HashMap::default();
        for (id, client) in clients {
            let item = JumpItemRef::JumpClient(**id);
            let row = Stored::of(client);
            let (counts, items) = groups.entry(row.group).or_default();
            counts.add(row.texts.tag(), row.place());
            items.push(item);
            self.figures.listed(client.endpoint);
            self.rows.insert(item, row);
            if let (Presence::Connected(link), Some(since)) =
                (client.presence, world.offline_since(client))
            {
                self.note_stop(link.node, since);
            }
        }
        let mut all = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        for (group, (mut counts, items)) in groups {
            // In their order, which is the quick way.
            counts.items = items.into_iter().collect();
            all.entry(group).or_default().absorb(counts);
        }
    }

    /// Folds one event in; see [`crate::Views::apply`].
    pub fn apply(&self, recorded: &Recorded, world_after: &World) {
        match &recorded.event {
            Event::JumpClient(id, event) => self.apply_jump_client(*id, event, world_after),
            Event::ShellJump(id, _) => self.refresh_shell(*id, world_after),
            Event::Jumpoint(_, event) => match event {
                jumpoint::Event::Record(record::Event::Deleted(_)) => {
                    self.remove_shortcuts_gone_from(world_after);
                }
                jumpoint::Event::Record(_)
                | jumpoint::Event::UserAdded(_)
                | jumpoint::Event::UserRemoved(_) => {}
            },
            Event::AccessSession(lsid, event) => match event {
                access_session::Event::Started(started) => {
                    self.refresh_accessed(started.item, world_after);
                }
                access_session::Event::Joined(_) => {
                    if let Some(session) = world_after.sessions.get(lsid) {
                        self.refresh_accessed(session.item, world_after);
                    }
                }
                access_session::Event::Established(_)
                | access_session::Event::Failed(_)
                | access_session::Event::Ended(_)
                | access_session::Event::Departed(_)
                | access_session::Event::OwnerChanged(_)
                | access_session::Event::Invited(_)
                | access_session::Event::InvitationClosed(_)
                | access_session::Event::AttributesChanged(_)
                | access_session::Event::EndAnnounced(_)
                | access_session::Event::MemberActive(_)
                | access_session::Event::DetailRecorded(_) => {}
            },
            Event::Node(epoch, event) => match event {
                node::Event::Stopped(_) => self.note_stop(*epoch, recorded.decided_at),
                node::Event::Started(_)
                | node::Event::ClientsCheckedIn(_)
                | node::Event::ClockFellBehind(_)
                | node::Event::ClockCaughtUp(_) => {}
            },
            Event::JumpGroup(id, event) => match event {
                jump_group::Event::Record(event) => {
                    self.apply_group(JumpGroupRef::Shared(*id), event, world_after);
                }
                jump_group::Event::MemberAdded(_)
                | jump_group::Event::MemberChanged(_)
                | jump_group::Event::MemberRemoved(_) => {}
            },
            Event::User(id, event) => match event {
                user::Event::Record(event) => self.apply_user(*id, event, world_after),
                user::Event::SignedIn(_)
                | user::Event::SignInFailed(_)
                | user::Event::SignedOut(_)
                | user::Event::PasswordChanged(_)
                | user::Event::AdministratorReset(_) => {}
            },
            Event::Site(_)
            | Event::AgentTrust(_)
            | Event::SiteSettings(..)
            | Event::TicketSystem(..)
            | Event::TicketRequest(..)
            | Event::Team(..)
            | Event::MailSettings(..)
            | Event::MailTemplate(..)
            | Event::MailDelivery(..)
            | Event::ApiAccount(..)
            | Event::JumpItemRole(..)
            | Event::GroupPolicy(..)
            | Event::GroupPolicyOrder(_)
            | Event::JumpPolicy(..)
            | Event::AccessRequest(..)
            | Event::JumpClientInstaller(..)
            | Event::StartupGroup(..)
            | Event::SessionPolicy(..)
            | Event::CustomField(..)
            | Event::ItemCustomFields(..)
            | Event::CustomSessionAttribute(..)
            | Event::AccessReview(_)
            | Event::Audit(..)
            | Event::External(_) => {}
        }
    }

    /// The item was accessed (SESS-24).
    fn refresh_accessed(&self, item: JumpItemRef, world_after: &World) {
        match item {
            JumpItemRef::JumpClient(id) => self.refresh_state(id, world_after),
            JumpItemRef::ShellJump(id) => self.refresh_shell(id, world_after),
        }
    }

    /// The row of an item; none if there is no such item.
    pub fn row(&self, item: JumpItemRef) -> Option<ConsoleRow> {
        let stored = self.rows.get(&item)?;
        let names = self.group_name(stored.group);
        let offline_since = stored.offline_since(|epoch| self.stopped_at(epoch));
        Some(stored.shown(item, &names, offline_since).to_row())
    }

    /// Takes the rows of some groups in, on every core, in no order: each part begins empty and takes in what it is given.
    pub fn gather<T: Default + Send>(
        &self,
        groups: &[JumpGroupRef],
        take_in: impl Fn(&mut T, RowRef<'_>) + Sync,
    ) -> Vec<T> {
        let few = {
            let all = self.groups.read().unwrap_or_else(PoisonError::into_inner);
            let counts = || groups.iter().filter_map(|group| all.get(group));
            let items: usize = counts().map(|counts| counts.items.len()).sum();
            (items < ROWS_A_THREAD_MIN)
                .then(|| counts().flat_map(|counts| counts.items.clone()).collect())
        };
        // Once for all rows: what cores share and write, such as a lock or a count of references, makes them wait.
        let names: HashMap<JumpGroupRef, (Arc<str>, Arc<str>), FxBuildHasher> = groups
            .iter()
            .map(|group| (*group, self.group_name(*group)))
            .collect();
        let stopped = self
            .stopped
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let look = |part: &mut T, item: JumpItemRef, stored: &Stored| {
            if let Some(names) = names.get(&stored.group) {
                let offline_since = stored.offline_since(|epoch| stopped.get(&epoch).copied());
                take_in(part, stored.shown(item, names, offline_since));
            }
        };
        if let Some(items) = few {
            let items: Vec<JumpItemRef> = items;
            let mut all = T::default();
            for item in items {
                if let Some(stored) = self.rows.get(&item) {
                    look(&mut all, item, &stored);
                }
            }
            return vec![all];
        }
        self.rows
            .par_iter()
            .fold(T::default, |mut part, stored| {
                look(&mut part, *stored.key(), &stored);
                part
            })
            .collect()
    }

    /// How many items a group has, by the footer's kinds.
    pub fn counts(&self, group: JumpGroupRef) -> Counts {
        let groups = self.groups.read().unwrap_or_else(PoisonError::into_inner);
        groups
            .get(&group)
            .map(|counts| counts.total(|epoch| self.runs(epoch)))
            .unwrap_or_default()
    }

    /// The tags of a group's items with how many items each has, by tag; items without a tag are under the empty one.
    pub fn tags(&self, group: JumpGroupRef) -> Vec<(String, Counts)> {
        let groups = self.groups.read().unwrap_or_else(PoisonError::into_inner);
        groups
            .get(&group)
            .map(|counts| counts.by_tag(|epoch| self.runs(epoch)))
            .unwrap_or_default()
    }

    /// The newest figures of an item, as the hub encoded them: those of its endpoint; only clients have any.
    pub fn figures(&self, item: JumpItemRef) -> Option<Arc<[u8]>> {
        let endpoint = self.rows.get(&item)?.endpoint?;
        self.figures.of(endpoint)
    }

    /// Puts the newest figures of an endpoint; those of one that has no items any more are dropped.
    pub fn set_figures(&self, endpoint: JumpClientId, figures: Arc<[u8]>) {
        self.figures.set(endpoint, figures);
    }

    fn apply_jump_client(&self, id: JumpClientId, event: &jump_client::Event, world: &World) {
        match event {
            jump_client::Event::Registered(_) | jump_client::Event::Copied(_) => {
                self.refresh_all(id, world);
            }
            // What an agent says and how it is connected is the same in every item of its endpoint.
            jump_client::Event::CheckedIn(_) | jump_client::Event::Reinstalled(_) => {
                for item in world.items_of_endpoint(id) {
                    self.refresh_all(item, world);
                }
            }
            jump_client::Event::Record(event) => match event {
                record::Event::Created(_) | record::Event::Changed(_) => {
                    self.refresh_all(id, world);
                }
                record::Event::Deleted(_) => self.remove(JumpItemRef::JumpClient(id)),
            },
            jump_client::Event::Connected(_)
            | jump_client::Event::Disconnected(_)
            | jump_client::Event::Uninstalled(_)
            | jump_client::Event::ConnectionTypeSet(_)
            | jump_client::Event::Quarantined(_) => {
                for item in world.items_of_endpoint(id) {
                    self.refresh_state(item, world);
                }
            }
            // Who is lost is told by the time; of one that expired, the deletion follows.
            jump_client::Event::Lost(_)
            | jump_client::Event::Expired(_)
            | jump_client::Event::TokenOffered(_)
            | jump_client::Event::TokenConfirmed(_)
            | jump_client::Event::TrustConfirmed(_) => {}
        }
    }

    /// The shortcuts through a Jumpoint go with it, by one event: all rows of shortcuts are looked at, which happens a few
    /// times a year.
    fn remove_shortcuts_gone_from(&self, world: &World) {
        let gone: Vec<JumpItemRef> = self
            .rows
            .iter()
            .filter(|row| row.connection == Connection::Jumpoint && !world.has_item(*row.key()))
            .map(|row| *row.key())
            .collect();
        for item in gone {
            self.remove(item);
        }
    }

    fn apply_group<R>(&self, group: JumpGroupRef, event: &record::Event<R>, world: &World) {
        match event {
            record::Event::Created(_) | record::Event::Changed(_) => self.name_group(group, world),
            record::Event::Deleted(_) => self.forget_group(group),
        }
    }

    fn apply_user(&self, user: UserId, event: &record::Event<user::User>, world: &World) {
        let group = JumpGroupRef::Personal(user);
        match event {
            record::Event::Changed(changes) if !changes.contains_key("private_display_name") => {}
            event => self.apply_group(group, event, world),
        }
    }

    /// Takes everything of a client anew; one that is not in the `World` any more is removed.
    fn refresh_all(&self, id: JumpClientId, world: &World) {
        match world.jump_clients.get(&id) {
            Some(client) => self.put(JumpItemRef::JumpClient(id), Stored::of(client)),
            None => self.remove(JumpItemRef::JumpClient(id)),
        }
    }

    /// Takes everything of a Shell Jump item anew; one that is not in the `World` any more is removed.
    fn refresh_shell(&self, id: ShellJumpId, world: &World) {
        let item = JumpItemRef::ShellJump(id);
        match world.shell_jumps.get(&id) {
            Some(shell) => self.put(item, Stored::of_shell(shell)),
            None => self.remove(item),
        }
    }

    /// Takes what is no text of a client anew; the texts only if it comes from another address now.
    fn refresh_state(&self, id: JumpClientId, world: &World) {
        let item = JumpItemRef::JumpClient(id);
        let Some(client) = world.jump_clients.get(&id) else {
            return self.remove(item);
        };
        let moved = match self.rows.get_mut(&item) {
            Some(mut row) if row.texts.public_ip() == client.public_ip => {
                let before = row.place();
                row.copy_state(client);
                let after = row.place();
                (before != after).then(|| (row.group, row.texts.clone(), before, after))
            }
            row => {
                drop(row);
                return self.put(item, Stored::of(client));
            }
        };
        if let Some((group, texts, before, after)) = moved {
            let at = |place| Some((group, texts.tag(), place));
            self.count(at(before), at(after));
        }
    }

    fn put(&self, item: JumpItemRef, stored: Stored) {
        let texts = stored.texts.clone();
        let after = (stored.group, stored.place());
        // Before the item it may take the place of goes: the figures stay while one of an endpoint's items is there.
        if let Some(endpoint) = stored.endpoint {
            self.figures.listed(endpoint);
        }
        let before = self.rows.insert(item, stored);
        if let Some(endpoint) = before.as_ref().and_then(|row| row.endpoint) {
            self.figures.gone(endpoint);
        }
        let before = before.map(|row| (row.group, row.place(), row.texts));
        let unchanged = before.as_ref().is_some_and(|(group, place, earlier)| {
            (*group, *place) == after && earlier.tag() == texts.tag()
        });
        if unchanged {
            return;
        }
        let before = before
            .as_ref()
            .map(|(group, place, texts)| (*group, texts.tag(), *place));
        self.count(before, Some((after.0, texts.tag(), after.1)));
        self.list(before.map(|(group, ..)| group), Some(after.0), item);
    }

    fn remove(&self, item: JumpItemRef) {
        if let Some((_, row)) = self.rows.remove(&item) {
            if let Some(endpoint) = row.endpoint {
                self.figures.gone(endpoint);
            }
            self.count(Some((row.group, row.texts.tag(), row.place())), None);
            self.list(Some(row.group), None, item);
        }
    }

    /// Moves one item in the counts.
    fn count(
        &self,
        from: Option<(JumpGroupRef, &str, Place)>,
        to: Option<(JumpGroupRef, &str, Place)>,
    ) {
        let mut groups = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        if let Some((group, tag, place)) = from
            && let Some(counts) = groups.get_mut(&group)
        {
            counts.take(tag, place);
        }
        if let Some((group, tag, place)) = to {
            groups.entry(group).or_default().add(tag, place);
        }
    }

    /// Moves one item in the lists of groups.
    fn list(&self, from: Option<JumpGroupRef>, to: Option<JumpGroupRef>, item: JumpItemRef) {
        if from == to {
            return;
        }
        let mut groups = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(group) = from
            && let Some(counts) = groups.get_mut(&group)
        {
            counts.items.remove(&item);
            if counts.items.is_empty() {
                groups.remove(&group);
            }
        }
        if let Some(group) = to {
            groups.entry(group).or_default().items.insert(item);
        }
    }

    fn forget_group(&self, group: JumpGroupRef) {
        self.names.remove(&group);
        let items: Vec<JumpItemRef> = {
            let groups = self.groups.read().unwrap_or_else(PoisonError::into_inner);
            groups
                .get(&group)
                .map(|counts| counts.items.iter().copied().collect())
                .unwrap_or_default()
        };
        for item in items {
            self.remove(item);
        }
    }

    fn name_group(&self, group: JumpGroupRef, world: &World) {
        if !world.has_group(group) {
            self.names.remove(&group);
            return;
        }
        let name = world.group_name(group);
        let folded = fold(&name).into();
        self.names.insert(group, (name.into(), folded));
    }

    fn group_name(&self, group: JumpGroupRef) -> (Arc<str>, Arc<str>) {
        match self.names.get(&group) {
            Some(names) => names.clone(),
            None => (Arc::from(""), Arc::from("")),
        }
    }

    fn note_stop(&self, epoch: NodeEpoch, at: Timestamp) {
        let mut stopped = self.stopped.write().unwrap_or_else(PoisonError::into_inner);
        stopped.insert(epoch, at);
    }

    fn stopped_at(&self, epoch: NodeEpoch) -> Option<Timestamp> {
        let stopped = self.stopped.read().unwrap_or_else(PoisonError::into_inner);
        stopped.get(&epoch).copied()
    }

    fn runs(&self, epoch: NodeEpoch) -> bool {
        self.stopped_at(epoch).is_none()
    }
}

impl Stored {
    /// Since when it has been offline, by when its node stopped.
    fn offline_since(
        &self,
        stopped_at: impl Fn(NodeEpoch) -> Option<Timestamp>,
    ) -> Option<Timestamp> {
        match self.presence {
            _ if self.connection == Connection::Jumpoint => None,
            Presence::Connected(link) => stopped_at(link.node),
            Presence::Disconnected => Some(self.since),
        }
    }

    fn shown<'a>(
        &'a self,
        item: JumpItemRef,
        (group_name, group_folded): &'a (Arc<str>, Arc<str>),
        offline_since: Option<Timestamp>,
    ) -> RowRef<'a> {
        Row {
            item,
            texts: &self.texts,
            folded: &self.folded.0,
            name_end: self.folded.1,
            group: self.group,
            group_name,
            group_folded,
            online: offline_since.is_none() && self.connection != Connection::Jumpoint,
            offline_since,
            last_accessed: self.last_accessed,
            passive: self.connection == Connection::Passive,
            uninstalled: self.connection == Connection::Uninstalled,
            disabled: self.disabled,
            quarantined: self.quarantined,
        }
    }

    fn of(client: &JumpClient) -> Self {
        let texts = Texts::of(client);
        let mut stored = Self {
            folded: texts.all_folded(),
            texts: Arc::new(texts),
            group: client.properties.group(),
            presence: client.presence,
            since: client.last_connect_at,
            last_accessed: None,
            connection: Connection::Active,
            disabled: false,
            quarantined: false,
            endpoint: Some(client.endpoint),
        };
        stored.copy_state(client);
        stored
    }

    fn of_shell(item: &ShellJumpItem) -> Self {
        let texts = Texts::of_shell(item);
        Self {
            folded: texts.all_folded(),
            texts: Arc::new(texts),
            group: item.properties.group(),
            presence: Presence::Disconnected,
            since: Timestamp::default(),
            last_accessed: item.last_access_at,
            connection: Connection::Jumpoint,
            disabled: false,
            quarantined: false,
            endpoint: None,
        }
    }

    fn copy_state(&mut self, client: &JumpClient) {
        self.presence = client.presence;
        self.since = match client.presence {
            Presence::Connected(_) => client.last_connect_at,
            Presence::Disconnected => client.last_disconnect_at.unwrap_or(client.last_connect_at),
        };
        self.last_accessed = client.last_access_at;
        self.connection = match client.connection_type.as_str() {
            "passive" => Connection::Passive,
            "uninstalled" => Connection::Uninstalled,
            _ => Connection::Active,
        };
        self.disabled = client.facts.disabled;
        self.quarantined = client.quarantined;
    }

    fn place(&self) -> Place {
        match (self.connection, self.presence) {
            (Connection::Jumpoint, _) => Place::Shortcut,
            (Connection::Passive, _) => Place::Passive,
            (_, Presence::Connected(link)) => Place::On(link.node),
            (_, Presence::Disconnected) => Place::Offline,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::thought_of;

    /// The names whose events may change a row, a count or a group's name.
    const FOLDED: &[&str] = &[
        "AccessSessionStarted",
        "AccessSessionJoined",
        "JumpClientConnected",
        "JumpClientUninstalled",
        "JumpClientConnectionTypeSet",
        "JumpClientDisconnected",
        "JumpClientChanged",
        "JumpClientDeleted",
        "ShellJumpCreated",
        "ShellJumpChanged",
        "ShellJumpDeleted",
        "JumpointDeleted",
        "JumpGroupDeleted",
        "UserDeleted",
        "NodeStopped",
        "UserCreated",
        "UserChanged",
        "JumpGroupCreated",
        "JumpGroupChanged",
        "JumpClientRegistered",
        "JumpClientReinstalled",
        "JumpClientCopied",
        "JumpClientCheckedIn",
        "JumpClientQuarantined",
    ];

    /// The names whose events change nothing that the Jump interface shows.
    const PASSED_OVER: &[&str] = &[
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
        "JumpointCreated",
        "JumpointChanged",
        "JumpointUserAdded",
        "JumpointUserRemoved",
        "AccessSessionEstablished",
        "AccessSessionFailed",
        "AccessSessionEnded",
        "AccessSessionDeparted",
        "AccessSessionOwnerChanged",
        "AccessSessionInvited",
        "AccessSessionInvitationClosed",
        "AccessSessionAttributesChanged",
        "AccessSessionEndAnnounced",
        "AccessSessionMemberActive",
        "AccessSessionDetailRecorded",
        "StartupItemAdded",
        "StartupItemRemoved",
        "JumpPolicyCreated",
        "JumpPolicyChanged",
        "JumpPolicyDeleted",
        "JumpPolicyScheduleSet",
        "AccessRequestSubmitted",
        "AccessRequestApproved",
        "AccessRequestDenied",
        "AccessRequestCancelled",
        "AccessRequestUsed",
        "AccessRequestExpired",
        "AccessRequestClosed",
        "SiteCreated",
        "SiteUpgraded",
        "SiteSettingsCreated",
        "SiteSettingsChanged",
        "SiteSettingsDeleted",
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
        "TicketRequestAsked",
        "TicketRequestSent",
        "TicketRequestAllowed",
        "TicketRequestStartRefused",
        "TicketRequestDenied",
        "TicketRequestAnswerInvalid",
        "TicketRequestTimedOut",
        "TicketRequestVoided",
        "UserSignedIn",
        "UserSignInFailed",
        "UserSignedOut",
        "UserPasswordChanged",
        "AdministratorReset",
        "ApiAccountCreated",
        "ApiAccountChanged",
        "ApiAccountDeleted",
        "ApiAccountSecretRegenerated",
        "ApiAccountAuthenticated",
        "JumpItemRoleCreated",
        "JumpItemRoleChanged",
        "JumpItemRoleDeleted",
        "JumpGroupMemberAdded",
        "JumpGroupMemberChanged",
        "JumpGroupMemberRemoved",
        "TeamCreated",
        "TeamChanged",
        "TeamDeleted",
        "TeamMemberAdded",
        "TeamMemberChanged",
        "TeamMemberRemoved",
        "GroupPolicyCreated",
        "GroupPolicyChanged",
        "GroupPolicyDeleted",
        "GroupPolicyMemberAdded",
        "GroupPolicyMemberRemoved",
        "GroupPolicyRowSet",
        "GroupPolicyRowDropped",
        "GroupPoliciesOrdered",
        "JumpClientInstallerCreated",
        "JumpClientInstallerChanged",
        "JumpClientInstallerDeleted",
        "JumpClientLost",
        "JumpClientExpired",
        "JumpClientTokenOffered",
        "JumpClientTokenConfirmed",
        "JumpClientTrustConfirmed",
        "AgentAnchorAdded",
        "AgentAnchorWithdrawn",
        "SiteAddressAdded",
        "SiteAddressWithdrawn",
        "NodeStarted",
        "JumpClientsCheckedIn",
        "NodeClockFellBehind",
        "NodeClockCaughtUp",
        "AccessReviewDue",
        "AccessReviewFinished",
        "ActionRefused",
        "AttemptsRefused",
    ];

    #[test]
    fn every_event_was_thought_of() {
        thought_of::check(FOLDED, PASSED_OVER);
    }
}
