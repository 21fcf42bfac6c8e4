//! Sessions that have not ended, and nodes, in the [`World`](crate::World).

use crate::Timestamp;
use crate::World;
use crate::access::permission;
use crate::fleet::jump_client::JumpClient;
use crate::ids::{JumpClientId, JumpItemRef, Lsid, NodeEpoch, UserId};
use crate::session::access_session::AccessSession;

/// Items that are kept as recently used by a user.
pub const RECENT_ITEMS_MAX: usize = 20;

impl World {
    /// The session that runs on `item`.
    #[must_use]
    pub fn session_on(&self, item: JumpItemRef) -> Option<Lsid> {
        self.session_by_item.get(&item).copied()
    }

    /// The sessions that `user` is in or invited to, by id.
    pub fn sessions_of_user(&self, user: UserId) -> impl Iterator<Item = Lsid> {
        self.sessions_of_user
            .range((user, Lsid(0))..=(user, Lsid(u128::MAX)))
            .map(|(_, lsid)| *lsid)
    }

    /// The sessions that the agent of `endpoint` serves, by id, whether or not their items are still there.
    pub fn sessions_of_endpoint(&self, endpoint: JumpClientId) -> impl Iterator<Item = Lsid> {
        self.sessions_of_endpoint
            .range((endpoint, Lsid(0))..=(endpoint, Lsid(u128::MAX)))
            .map(|(_, lsid)| *lsid)
    }

    /// The sessions that are not up yet.
    pub fn sessions_starting(&self) -> impl Iterator<Item = Lsid> {
        self.starting.iter().map(|(_, lsid)| *lsid)
    }

    /// The sessions from `from` on, by id.
    pub fn sessions_from(&self, from: Lsid) -> impl Iterator<Item = Lsid> {
        self.sessions.range(from..).map(|(lsid, _)| *lsid)
    }

    /// The client whose agent serves the session, also where no item of it is left (GRP-31).
    #[must_use]
    pub fn client_of_session(&self, session: &AccessSession) -> Option<&JumpClient> {
        self.endpoint(session.endpoint?)
    }

    /// How many users other than `user` are in the middle of starting sessions (LIM-07).
    #[must_use]
    pub fn starting_users_but(&self, user: UserId) -> usize {
        let mut users: Vec<UserId> = self
            .starting
            .iter()
            .map(|(user, _)| *user)
            .filter(|u| *u != user)
            .collect();
        users.dedup();
        users.len()
    }

    pub(crate) fn session_started(&mut self, lsid: Lsid, lseq: u32, session: AccessSession) {
        self.used_id("lseq", lseq);
        self.session_over(lsid);
        self.index_session(lsid, &session);
        self.sessions.insert(lsid, session);
    }

    pub(super) fn index_session(&mut self, lsid: Lsid, session: &AccessSession) {
        self.session_by_item.insert(session.item, lsid);
        if !session.established {
            self.starting.insert((session.owner, lsid));
        }
        self.gsnumbers.extend(session.gsnumbers());
        let users = session.users().map(|user| (user, lsid));
        self.sessions_of_user.extend(users);
        let endpoint = session.endpoint.map(|endpoint| (endpoint, lsid));
        self.sessions_of_endpoint.extend(endpoint);
    }

    pub(crate) fn session_established(&mut self, lsid: Lsid) {
        if let Some(session) = self.sessions.get_mut(&lsid) {
            session.established = true;
            self.starting.remove(&(session.owner, lsid));
        }
    }

    pub(crate) fn change_session(&mut self, lsid: Lsid, change: impl FnOnce(&mut AccessSession)) {
        let Some(session) = self.sessions.get_mut(&lsid) else {
            return;
        };
        let before = session.owner;
        let users_before: Vec<UserId> = session.users().collect();
        change(session);
        if !session.users().eq(users_before.iter().copied()) {
            for user in users_before {
                self.sessions_of_user.remove(&(user, lsid));
            }
            let users = session.users().map(|user| (user, lsid));
            self.sessions_of_user.extend(users);
        }
        self.gsnumbers.extend(session.gsnumbers());
        if !session.established {
            self.starting.remove(&(before, lsid));
            self.starting.insert((session.owner, lsid));
        }
    }

    pub(crate) fn session_over(&mut self, lsid: Lsid) {
        let Some(session) = self.sessions.remove(&lsid) else {
            return;
        };
        self.session_by_item.remove(&session.item);
        self.starting.remove(&(session.owner, lsid));
        for number in session.gsnumbers() {
            self.gsnumbers.remove(&number);
        }
        for user in session.users() {
            self.sessions_of_user.remove(&(user, lsid));
        }
        if let Some(endpoint) = session.endpoint {
            self.sessions_of_endpoint.remove(&(endpoint, lsid));
            self.release_endpoint(endpoint);
        }
    }

    // --- Jump on Startup ---

    /// The items that are jumped to when `user` signs in, by type and id (SESS-28).
    pub fn startup_items(&self, user: UserId) -> impl Iterator<Item = JumpItemRef> {
        self.startup_items
            .range((user, JumpItemRef::FIRST)..)
            .take_while(move |(of, _)| *of == user)
            .map(|(_, item)| *item)
    }

    pub(crate) fn startup_item_added(&mut self, user: UserId, item: JumpItemRef) {
        self.startup_items.insert((user, item));
        self.startup_by_item.insert((item, user));
    }

    pub(crate) fn startup_item_removed(&mut self, user: UserId, item: JumpItemRef) {
        self.startup_items.remove(&(user, item));
        self.startup_by_item.remove(&(item, user));
    }

    /// Takes a user's items out of the group.
    pub(super) fn forget_startup_group(&mut self, user: UserId) {
        let items: Vec<JumpItemRef> = self.startup_items(user).collect();
        for item in items {
            self.startup_item_removed(user, item);
        }
    }

    /// Takes an item out of everybody's group.
    pub(super) fn forget_startup_item(&mut self, item: JumpItemRef) {
        let users: Vec<UserId> = self
            .startup_by_item
            .range((item, UserId(0))..)
            .take_while(|(of, _)| *of == item)
            .map(|(_, user)| *user)
            .collect();
        for user in users {
            self.startup_item_removed(user, item);
        }
    }

    // --- Recently Used ---

    /// The items that `user` accessed last and still sees, the newest first (GRP-29).
    pub fn recent_items(&self, user: UserId) -> impl Iterator<Item = JumpItemRef> {
        let items = self.recent_items.get(&user).into_iter().flatten().copied();
        items.filter(move |item| permission::access_to_item(self, user, *item).is_some())
    }

    pub(crate) fn item_accessed_by(&mut self, user: UserId, item: JumpItemRef) {
        if !self.users.contains(&user) {
            return;
        }
        let mut items = self.recent_items.get(&user).cloned().unwrap_or_default();
        items.retain(|there| *there != item);
        items.insert(0, item);
        items.truncate(RECENT_ITEMS_MAX);
        self.recent_items.insert(user, items);
    }

    // --- nodes ---

    pub(crate) fn node_stopped(&mut self, epoch: NodeEpoch, at: Timestamp) {
        self.nodes.remove(&epoch);
        self.stopped_nodes.insert(epoch, at);
    }
}
