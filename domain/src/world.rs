//! All that a later decision may ask, and the dispatch of [`decide`] and [`World::apply`].
//!
//! A [`World`] is made of persistent maps: a copy costs nothing and shares all that did not change. Ended sessions and
//! deleted things leave it; only counters stay.

use std::net::IpAddr;

use imbl::{OrdMap, OrdSet};

use crate::access::admission;
use crate::access::jump_group::{self, JumpGroup, Membership};
use crate::access::role::JumpItemRole;
use crate::fleet::installer::{self, JumpClientInstaller};
use crate::fleet::jump_client::{self, JumpClient, Presence};
use crate::ids::{
    ApiAccountId, JumpClientId, JumpClientInstallerId, JumpGroupId, JumpGroupRef, JumpItemRef,
    JumpItemRoleId, JumpPolicyId, KeyedHash, Lsid, NodeEpoch, UserId,
};
use crate::node::{self, Node};
use crate::policy::jump_policy::{self, JumpPolicy};
use crate::policy::schedule::Schedule;
use crate::record::{self, Reference};
use crate::session::access_session::{self, AccessSession};
use crate::site::api_account::{self, ADDRESSES_MAX, ApiAccount, SeenFrom};
use crate::site::first_start::{self, Site};
use crate::site::settings::SiteSettings;
use crate::site::user::{self, User};
use crate::table::Table;
use crate::world::names::Names;
use crate::{Command, Context, Decision, Event, Refusal, Timestamp, audit, time};

pub(crate) mod names;
#[cfg(test)]
mod tests;

/// Everything that is known. Reading is free for all; only events change it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct World {
    /// The site, once it is made.
    pub site: Option<Site>,
    /// The site's settings.
    pub settings: SiteSettings,
    /// Users by id.
    pub users: Table<UserId, User>,
    /// API accounts by id.
    pub api_accounts: Table<ApiAccountId, ApiAccount>,
    /// Jump Item Roles by id.
    pub jump_item_roles: Table<JumpItemRoleId, JumpItemRole>,
    /// Shared Jump Groups by id.
    pub jump_groups: Table<JumpGroupId, JumpGroup>,
    /// Jump Policies by id.
    pub jump_policies: Table<JumpPolicyId, JumpPolicy>,
    /// Their schedules.
    pub schedules: Table<JumpPolicyId, Schedule>,
    /// Installers by id, expired ones too until they are deleted.
    pub installers: Table<JumpClientInstallerId, JumpClientInstaller>,
    /// Jump Clients by id.
    pub jump_clients: Table<JumpClientId, JumpClient>,
    /// Sessions that have not ended.
    pub sessions: Table<Lsid, AccessSession>,
    /// Nodes that run.
    pub nodes: Table<NodeEpoch, Node>,

    pub(crate) members: Table<(JumpGroupId, UserId), Membership>,
    pub(crate) stopped_nodes: OrdMap<NodeEpoch, Timestamp>,
    pub(crate) seen_from: Table<ApiAccountId, SeenFrom>,
    pub(crate) counters: OrdMap<String, u32>,

    // Indexes: made from the above, never asked of the log.
    pub(crate) names: Names,
    pub(crate) groups_of_member: OrdSet<(UserId, JumpGroupId)>,
    pub(crate) users_by_name: OrdMap<String, UserId>,
    pub(crate) api_accounts_by_client_id: OrdMap<String, ApiAccountId>,
    pub(crate) installers_by_uid: OrdMap<String, JumpClientInstallerId>,
    pub(crate) clients_by_attempt: OrdMap<KeyedHash, JumpClientId>,
    pub(crate) items_by_group: OrdSet<(JumpGroupRef, JumpItemRef)>,
    pub(crate) session_by_item: OrdMap<JumpItemRef, Lsid>,
    pub(crate) starting: OrdSet<(UserId, Lsid)>,
    pub(crate) gsnumbers: OrdSet<u32>,
}

/// Decides what becomes of `command`: the events that happen, in order, or why nothing does.
///
/// # Errors
/// The refusal, with the words for the caller.
pub fn decide(world: &World, command: &Command, context: &Context) -> Decision {
    admission::check(world, command, context)?;
    match command {
        Command::FirstStart(command) => first_start::decide(world, command, context),
        Command::SiteSettings(command) => {
            plain(record::decide(world, command, context)?, |(id, event)| {
                Event::SiteSettings(id, event)
            })
        }
        Command::User(command) => user::decide(world, command, context),
        Command::ApiAccount(command) => api_account::decide(world, command, context),
        Command::JumpItemRole(command) => {
            plain(record::decide(world, command, context)?, |(id, event)| {
                Event::JumpItemRole(id, event)
            })
        }
        Command::JumpGroup(command) => jump_group::decide(world, command, context),
        Command::JumpPolicy(command) => jump_policy::decide(world, command, context),
        Command::JumpClientInstaller(command) => installer::decide(world, command, context),
        Command::JumpClient(command) => jump_client::decide(world, command, context),
        Command::AccessSession(command) => access_session::decide(world, command, context),
        Command::Node(command) => node::decide(world, command, context),
        Command::Audit(command) => audit::decide(command, context),
    }
}

fn plain<T>(happened: Option<T>, wrap: impl Fn(T) -> Event) -> Decision {
    Ok(happened.map(wrap).into_iter().collect())
}

impl World {
    /// Folds one event in. `at` is when it was recorded. What is stored has happened: this can't fail.
    pub fn apply(&mut self, event: &Event, at: Timestamp) {
        match event {
            Event::Site(event) => first_start::apply(self, event),
            Event::SiteSettings(id, event) => record::apply(self, *id, event, at),
            Event::User(id, event) => user::apply(self, *id, event, at),
            Event::ApiAccount(id, event) => api_account::apply(self, *id, event, at),
            Event::JumpItemRole(id, event) => record::apply(self, *id, event, at),
            Event::JumpGroup(id, event) => jump_group::apply(self, *id, event, at),
            Event::JumpPolicy(id, event) => jump_policy::apply(self, *id, event, at),
            Event::JumpClientInstaller(id, event) => record::apply(self, *id, event, at),
            Event::JumpClient(id, event) => jump_client::apply(self, *id, event, at),
            Event::AccessSession(lsid, event) => access_session::apply(self, *lsid, event, at),
            Event::Node(epoch, event) => node::apply(self, *epoch, event, at),
            Event::Audit(..) => {}
        }
    }

    // --- ids ---

    /// The next id of the counter `category`; one per API resource path, never used twice.
    #[must_use]
    pub fn next_id(&self, category: &str) -> u32 {
        self.counters.get(category).copied().unwrap_or(0) + 1
    }

    /// Notes that `number` is taken.
    pub(crate) fn used_id(&mut self, category: &str, number: u32) {
        if self.next_id(category) <= number {
            self.counters.insert(category.to_owned(), number);
        }
    }

    /// The two lowest free connection numbers, from 1 (REP-42).
    #[must_use]
    pub fn free_gsnumbers(&self) -> [u32; 2] {
        let mut free = (1..).filter(|number| !self.gsnumbers.contains(number));
        [free.next().unwrap_or(1), free.next().unwrap_or(2)]
    }

    // --- users and accounts ---

    /// The user with this name, without regard to case.
    #[must_use]
    pub fn user_named(&self, username: &str) -> Option<UserId> {
        self.users_by_name.get(&username.to_lowercase()).copied()
    }

    /// Whether `user` is an enabled administrator.
    #[must_use]
    pub fn is_administrator(&self, user: UserId) -> bool {
        self.users
            .get(&user)
            .is_some_and(|user| user.perm_admin && user.enabled)
    }

    pub(crate) fn put_user(&mut self, id: UserId, user: User) {
        if let Some(before) = self.users.get(&id) {
            self.users_by_name.remove(&before.username.to_lowercase());
        }
        self.users_by_name.insert(user.username.to_lowercase(), id);
        self.users.insert(id, user);
    }

    pub(crate) fn forget_user(&mut self, id: UserId) {
        if let Some(user) = self.users.remove(&id) {
            self.users_by_name.remove(&user.username.to_lowercase());
        }
        let memberships: Vec<JumpGroupId> = self.groups_with_member(id).collect();
        for group in memberships {
            self.forget_member(group, id);
        }
        self.forget_items_of(JumpGroupRef::Personal(id));
    }

    /// The API account with this client id.
    #[must_use]
    pub fn api_account_with(&self, client_id: &str) -> Option<ApiAccountId> {
        self.api_accounts_by_client_id.get(client_id).copied()
    }

    pub(crate) fn put_api_account(&mut self, id: ApiAccountId, account: ApiAccount) {
        if let Some(before) = self.api_accounts.get(&id) {
            self.api_accounts_by_client_id.remove(&before.client_id);
        }
        self.api_accounts_by_client_id
            .insert(account.client_id.clone(), id);
        self.api_accounts.insert(id, account);
    }

    pub(crate) fn forget_api_account(&mut self, id: ApiAccountId) {
        if let Some(account) = self.api_accounts.remove(&id) {
            self.api_accounts_by_client_id.remove(&account.client_id);
        }
        self.seen_from.remove(&id);
    }

    /// Whether a use of `account` from `address` at `now` is the first of its hour.
    #[must_use]
    pub fn use_is_due(&self, account: ApiAccountId, address: IpAddr, now: Timestamp) -> bool {
        let seen = self
            .seen_from
            .get(&account)
            .and_then(|seen| seen.get(&address))
            .copied();
        api_account::begins_an_hour(seen, now)
    }

    pub(crate) fn note_use(&mut self, account: ApiAccountId, address: IpAddr, at: Timestamp) {
        let mut seen = self.seen_from.get(&account).cloned().unwrap_or_default();
        seen.insert(address, at);
        if seen.len() > ADDRESSES_MAX
            && let Some(oldest) = seen
                .iter()
                .min_by_key(|(_, at)| **at)
                .map(|(address, _)| *address)
        {
            seen.remove(&oldest);
        }
        self.seen_from.insert(account, seen);
    }

    // --- groups and members ---

    fn name_group(&mut self, id: JumpGroupId, group: &JumpGroup) {
        self.names.take(names::Kind::Group, &group.name, id.0);
        self.names
            .take(names::Kind::GroupCode, &group.code_name, id.0);
    }

    fn unname_group(&mut self, group: &JumpGroup) {
        self.names.free(names::Kind::Group, &group.name);
        self.names.free(names::Kind::GroupCode, &group.code_name);
    }

    pub(crate) fn put_group(&mut self, id: JumpGroupId, group: JumpGroup) {
        if let Some(before) = self.jump_groups.remove(&id) {
            self.unname_group(&before);
        }
        self.name_group(id, &group);
        self.jump_groups.insert(id, group);
    }

    /// The group goes with its members and items (GRP-31).
    pub(crate) fn forget_group(&mut self, id: JumpGroupId) {
        if let Some(group) = self.jump_groups.remove(&id) {
            self.unname_group(&group);
        }
        self.forget_members_of(id);
        self.forget_items_of(JumpGroupRef::Shared(id));
    }

    fn name_policy(&mut self, id: JumpPolicyId, policy: &JumpPolicy) {
        self.names
            .take(names::Kind::Policy, &policy.display_name, id.0);
        self.names
            .take(names::Kind::PolicyCode, &policy.code_name, id.0);
    }

    fn unname_policy(&mut self, policy: &JumpPolicy) {
        self.names.free(names::Kind::Policy, &policy.display_name);
        self.names.free(names::Kind::PolicyCode, &policy.code_name);
    }

    pub(crate) fn put_policy(&mut self, id: JumpPolicyId, policy: JumpPolicy) {
        if let Some(before) = self.jump_policies.remove(&id) {
            self.unname_policy(&before);
        }
        self.name_policy(id, &policy);
        self.jump_policies.insert(id, policy);
    }

    pub(crate) fn forget_policy(&mut self, id: JumpPolicyId) {
        if let Some(policy) = self.jump_policies.remove(&id) {
            self.unname_policy(&policy);
        }
        self.schedules.remove(&id);
    }

    /// How `user` belongs to `group` directly, if at all.
    #[must_use]
    pub fn membership(&self, group: JumpGroupId, user: UserId) -> Option<&Membership> {
        self.members.get(&(group, user))
    }

    /// The direct members of `group` by user id.
    pub fn members_of(&self, group: JumpGroupId) -> impl Iterator<Item = (UserId, &Membership)> {
        self.members
            .range((group, UserId(0))..=(group, UserId(u32::MAX)))
            .map(|((_, user), membership)| (*user, membership))
    }

    /// The groups `user` is a direct member of.
    pub fn groups_with_member(&self, user: UserId) -> impl Iterator<Item = JumpGroupId> {
        self.groups_of_member
            .range((user, JumpGroupId(0))..=(user, JumpGroupId(u32::MAX)))
            .map(|(_, group)| *group)
    }

    pub(crate) fn put_member(&mut self, group: JumpGroupId, user: UserId, membership: Membership) {
        self.members.insert((group, user), membership);
        self.groups_of_member.insert((user, group));
    }

    pub(crate) fn forget_member(&mut self, group: JumpGroupId, user: UserId) {
        self.members.remove(&(group, user));
        self.groups_of_member.remove(&(user, group));
    }

    pub(crate) fn forget_members_of(&mut self, group: JumpGroupId) {
        let users: Vec<UserId> = self.members_of(group).map(|(user, _)| user).collect();
        for user in users {
            self.forget_member(group, user);
        }
    }

    /// Whether the group is there.
    #[must_use]
    pub fn has_group(&self, group: JumpGroupRef) -> bool {
        match group {
            JumpGroupRef::Shared(group) => self.jump_groups.contains(&group),
            JumpGroupRef::Personal(owner) => self.users.contains(&owner),
        }
    }

    /// What a group is called; a personal one by its owner's private display name (GRP-19).
    #[must_use]
    pub fn group_name(&self, group: JumpGroupRef) -> String {
        let name = match group {
            JumpGroupRef::Shared(group) => self.jump_groups.get(&group).map(|group| &group.name),
            JumpGroupRef::Personal(owner) => self
                .users
                .get(&owner)
                .map(|owner| &owner.private_display_name),
        };
        name.cloned().unwrap_or_default()
    }

    /// Whether the record that a field names is there. `personal` tells which kind of Jump Group is meant.
    #[must_use]
    pub fn has(&self, reference: Reference, number: u32, personal: bool) -> bool {
        match reference {
            Reference::JumpItemRole => self.jump_item_roles.contains(&JumpItemRoleId(number)),
            Reference::JumpPolicy => self.jump_policies.contains(&JumpPolicyId(number)),
            Reference::User => self.users.contains(&UserId(number)),
            Reference::JumpGroup if personal => self.users.contains(&UserId(number)),
            Reference::JumpGroup => self.jump_groups.contains(&JumpGroupId(number)),
        }
    }

    // --- items ---

    /// The group an item is in.
    #[must_use]
    pub fn group_of(&self, item: JumpItemRef) -> Option<JumpGroupRef> {
        let JumpItemRef::JumpClient(client) = item;
        self.jump_clients
            .get(&client)
            .map(|client| client.properties.group())
    }

    /// The items of a group, by type and id.
    pub fn items_of(&self, group: JumpGroupRef) -> impl Iterator<Item = JumpItemRef> {
        self.items_by_group
            .range((group, JumpItemRef::JumpClient(JumpClientId(0)))..)
            .take_while(move |(of, _)| *of == group)
            .map(|(_, item)| *item)
    }

    pub(crate) fn forget_items_of(&mut self, group: JumpGroupRef) {
        let items: Vec<JumpItemRef> = self.items_of(group).collect();
        for JumpItemRef::JumpClient(client) in items {
            self.forget_jump_client(client);
        }
    }

    pub(crate) fn item_accessed(&mut self, item: JumpItemRef, at: Timestamp) {
        let JumpItemRef::JumpClient(client) = item;
        self.change_jump_client(client, |client| client.last_access_at = Some(at));
    }

    // --- installers and clients ---

    /// The installer with this 32-digit id.
    #[must_use]
    pub fn installer_with(&self, uid: &str) -> Option<JumpClientInstallerId> {
        self.installers_by_uid.get(uid).copied()
    }

    pub(crate) fn put_installer(
        &mut self,
        id: JumpClientInstallerId,
        installer: JumpClientInstaller,
    ) {
        if let Some(before) = self.installers.get(&id) {
            self.installers_by_uid.remove(&before.installer_id);
        }
        self.installers_by_uid
            .insert(installer.installer_id.clone(), id);
        self.installers.insert(id, installer);
    }

    pub(crate) fn forget_installer(&mut self, id: JumpClientInstallerId) {
        if let Some(installer) = self.installers.remove(&id) {
            self.installers_by_uid.remove(&installer.installer_id);
        }
    }

    pub(crate) fn put_jump_client(&mut self, id: JumpClientId, client: JumpClient) {
        self.used_id("jump_client", id.0);
        self.forget_jump_client(id);
        self.items_by_group
            .insert((client.properties.group(), JumpItemRef::JumpClient(id)));
        if let Some(attempt) = &client.attempt {
            self.clients_by_attempt.insert(attempt.clone(), id);
        }
        self.jump_clients.insert(id, client);
    }

    pub(crate) fn change_jump_client(
        &mut self,
        id: JumpClientId,
        change: impl FnOnce(&mut JumpClient),
    ) {
        let Some(client) = self.jump_clients.get_mut(&id) else {
            return;
        };
        let before = client.properties.group();
        let attempt = client.attempt.clone();
        change(client);
        let after = client.properties.group();
        if let (Some(attempt), None) = (attempt, &client.attempt) {
            self.clients_by_attempt.remove(&attempt);
        }
        if before != after {
            let item = JumpItemRef::JumpClient(id);
            self.items_by_group.remove(&(before, item));
            self.items_by_group.insert((after, item));
        }
    }

    pub(crate) fn forget_jump_client(&mut self, id: JumpClientId) {
        if let Some(client) = self.jump_clients.remove(&id) {
            self.items_by_group
                .remove(&(client.properties.group(), JumpItemRef::JumpClient(id)));
            if let Some(attempt) = &client.attempt {
                self.clients_by_attempt.remove(attempt);
            }
        }
    }

    /// The client that a registration with this number made, until it has shown that it keeps its token.
    #[must_use]
    pub fn client_of_attempt(&self, attempt: &KeyedHash) -> Option<JumpClientId> {
        self.clients_by_attempt.get(attempt).copied()
    }

    /// Whether the client is connected on a node that runs.
    #[must_use]
    pub fn is_online(&self, client: &JumpClient) -> bool {
        matches!(client.presence, Presence::Connected(link) if self.nodes.contains(&link.node))
    }

    /// Since when the client has been offline; none while it is online.
    #[must_use]
    pub fn offline_since(&self, client: &JumpClient) -> Option<Timestamp> {
        match client.presence {
            Presence::Connected(link) if self.nodes.contains(&link.node) => None,
            Presence::Connected(link) => Some(
                self.stopped_nodes
                    .get(&link.node)
                    .copied()
                    .unwrap_or(client.last_connect_at),
            ),
            Presence::Disconnected => {
                Some(client.last_disconnect_at.unwrap_or(client.last_connect_at))
            }
        }
    }

    /// Whether the client has been offline for longer than the site's lost days; the label goes when it comes back (CLNT-13).
    #[must_use]
    pub fn is_lost(&self, client: &JumpClient, now: Timestamp) -> bool {
        let days = i64::from(self.settings.lost_days);
        self.offline_since(client)
            .is_some_and(|since| now >= since.plus(days * time::DAY))
    }

    // --- sessions ---

    /// The session that runs on `item`.
    #[must_use]
    pub fn session_on(&self, item: JumpItemRef) -> Option<Lsid> {
        self.session_by_item.get(&item).copied()
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

    fn index_session(&mut self, lsid: Lsid, session: &AccessSession) {
        self.session_by_item.insert(session.item, lsid);
        if !session.established {
            self.starting.insert((session.owner, lsid));
        }
        self.gsnumbers.extend(session.gsnumbers);
    }

    pub(crate) fn session_established(&mut self, lsid: Lsid) {
        if let Some(session) = self.sessions.get_mut(&lsid) {
            session.established = true;
            self.starting.remove(&(session.owner, lsid));
        }
    }

    pub(crate) fn session_over(&mut self, lsid: Lsid) {
        let Some(session) = self.sessions.remove(&lsid) else {
            return;
        };
        self.session_by_item.remove(&session.item);
        self.starting.remove(&(session.owner, lsid));
        for number in session.gsnumbers {
            self.gsnumbers.remove(&number);
        }
    }

    // --- nodes ---

    pub(crate) fn node_stopped(&mut self, epoch: NodeEpoch, at: Timestamp) {
        self.nodes.remove(&epoch);
        self.stopped_nodes.insert(epoch, at);
    }

    // --- who uses what ---

    /// Refuses where `users` names anyone.
    ///
    /// # Errors
    /// [`Refusal::InUse`] with the first 20 and a count of the rest.
    pub(crate) fn not_used(&self, what: &'static str, users: Vec<String>) -> Result<(), Refusal> {
        if users.is_empty() {
            return Ok(());
        }
        let rest = users.len().saturating_sub(20);
        let mut by: Vec<String> = users.into_iter().take(20).collect();
        if rest > 0 {
            by.push(format!("{rest} more"));
        }
        Err(Refusal::InUse { what, by })
    }

    /// Who uses a role: slots of users, memberships (ROLE-33).
    pub(crate) fn users_of_role(&self, role: JumpItemRoleId) -> Vec<String> {
        let slots = self.users.iter().filter(|(_, user)| {
            [
                user.default_jump_item_role_id,
                user.private_jump_item_role_id,
                user.inferior_jump_item_role_id,
                user.unassigned_jump_item_role_id,
            ]
            .contains(&role)
        });
        let members = self
            .members
            .iter()
            .filter(|(_, member)| member.jump_item_role_id == Some(role));
        slots
            .map(|(_, user)| format!("user \"{}\"", user.username))
            .chain(members.map(|((group, user), _)| self.member_title(*group, *user)))
            .collect()
    }

    /// Who uses a Jump Policy: memberships, installers, Jump Clients (ROLE-33).
    pub(crate) fn users_of_policy(&self, policy: JumpPolicyId) -> Vec<String> {
        let members = self
            .members
            .iter()
            .filter(|(_, member)| member.jump_policy_id == Some(policy));
        let installers = self
            .installers
            .iter()
            .filter(|(_, installer)| installer.jump_policy_id == Some(policy));
        let clients = self
            .jump_clients
            .iter()
            .filter(|(_, client)| client.properties.jump_policy_id == Some(policy));
        members
            .map(|((group, user), _)| self.member_title(*group, *user))
            .chain(installers.map(|(id, _)| format!("installer {id}")))
            .chain(clients.map(|(_, client)| format!("Jump Client \"{}\"", client.properties.name)))
            .collect()
    }

    fn member_title(&self, group: JumpGroupId, user: UserId) -> String {
        let username = self
            .users
            .get(&user)
            .map(|user| user.username.as_str())
            .unwrap_or_default();
        format!(
            "member \"{username}\" of Jump Group \"{}\"",
            self.group_name(JumpGroupRef::Shared(group))
        )
    }

    /// Makes the indexes anew, after the tables were put in place by a snapshot.
    pub(crate) fn rebuild_indexes(&mut self) {
        self.groups_of_member = self
            .members
            .iter()
            .map(|((group, user), _)| (*user, *group))
            .collect();
        self.names = Names::default();
        for (id, group) in self.jump_groups.clone().iter() {
            self.name_group(*id, group);
        }
        for (id, policy) in self.jump_policies.clone().iter() {
            self.name_policy(*id, policy);
        }
        self.users_by_name = self
            .users
            .iter()
            .map(|(id, user)| (user.username.to_lowercase(), *id))
            .collect();
        self.api_accounts_by_client_id = self
            .api_accounts
            .iter()
            .map(|(id, account)| (account.client_id.clone(), *id))
            .collect();
        self.installers_by_uid = self
            .installers
            .iter()
            .map(|(id, installer)| (installer.installer_id.clone(), *id))
            .collect();
        self.items_by_group = self
            .jump_clients
            .iter()
            .map(|(id, client)| (client.properties.group(), JumpItemRef::JumpClient(*id)))
            .collect();
        self.clients_by_attempt = self
            .jump_clients
            .iter()
            .filter_map(|(id, client)| Some((client.attempt.clone()?, *id)))
            .collect();
        let sessions = self.sessions.clone();
        for (lsid, session) in sessions.iter() {
            self.index_session(*lsid, session);
        }
    }
}
