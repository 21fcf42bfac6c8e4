//! Jump Items, installers and Jump Clients in the [`World`](crate::World), with their indexes.

use crate::Timestamp;
use crate::World;
use crate::fleet::capacity::Installed;
use crate::fleet::installer::JumpClientInstaller;
use crate::fleet::jump_client::{FactsChange, JumpClient, Presence};
use crate::ids::{
    JumpClientId, JumpClientInstallerId, JumpGroupRef, JumpItemRef, JumpPolicyId, KeyedHash,
    ShellJumpId,
};
use crate::items::shell::{ShellJump, ShellJumpItem};
use crate::time;
use crate::world::in_short::in_short;
use crate::world::item_texts::ItemTextHashes;

/// What of an endpoint the indexes of the fleet are made of.
#[derive(Clone, Copy, PartialEq)]
struct Counted {
    installed: Installed,
    /// In short; none for a machine that does not say which it is.
    machine: Option<u64>,
}

impl Counted {
    fn of(client: &JumpClient) -> Self {
        Self {
            installed: Installed::of(client),
            machine: client.facts.machine().map(in_short),
        }
    }
}

impl World {
    /// The group an item is in.
    #[must_use]
    pub fn group_of(&self, item: JumpItemRef) -> Option<JumpGroupRef> {
        match item {
            JumpItemRef::JumpClient(id) => {
                let client = self.jump_clients.get(&id)?;
                Some(client.properties.group())
            }
            JumpItemRef::ShellJump(id) => {
                let item = self.shell_jumps.get(&id)?;
                Some(item.properties.group())
            }
        }
    }

    /// Whether the item is there.
    #[must_use]
    pub fn has_item(&self, item: JumpItemRef) -> bool {
        match item {
            JumpItemRef::JumpClient(id) => self.jump_clients.contains(&id),
            JumpItemRef::ShellJump(id) => self.shell_jumps.contains(&id),
        }
    }

    /// What the item is called; none if it is not there.
    #[must_use]
    pub fn item_name(&self, item: JumpItemRef) -> Option<&str> {
        match item {
            JumpItemRef::JumpClient(id) => {
                let client = self.jump_clients.get(&id)?;
                Some(&client.properties.name)
            }
            JumpItemRef::ShellJump(id) => {
                let item = self.shell_jumps.get(&id)?;
                Some(&item.properties.name)
            }
        }
    }

    /// The Jump Policy set on the item itself.
    #[must_use]
    pub fn item_jump_policy(&self, item: JumpItemRef) -> Option<JumpPolicyId> {
        match item {
            JumpItemRef::JumpClient(id) => self.jump_clients.get(&id)?.properties.jump_policy_id,
            JumpItemRef::ShellJump(id) => self.shell_jumps.get(&id)?.properties.jump_policy_id,
        }
    }

    /// The session policy set on the item itself.
    #[must_use]
    pub fn item_session_policy(&self, item: JumpItemRef) -> Option<u32> {
        match item {
            JumpItemRef::JumpClient(id) => self.jump_clients.get(&id)?.properties.session_policy_id,
            JumpItemRef::ShellJump(id) => self.shell_jumps.get(&id)?.properties.session_policy_id,
        }
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
        for item in items {
            match item {
                JumpItemRef::JumpClient(client) => self.forget_jump_client(client),
                JumpItemRef::ShellJump(item) => self.forget_shell_jump(item),
            }
        }
    }

    pub(crate) fn item_accessed(&mut self, item: JumpItemRef, at: Timestamp) {
        match item {
            JumpItemRef::JumpClient(client) => {
                self.change_jump_client(client, |client| client.last_access_at = Some(at));
            }
            JumpItemRef::ShellJump(item) => {
                if let Some(item) = self.shell_jumps.get_mut(&item) {
                    item.last_access_at = Some(at);
                }
            }
        }
    }

    // --- Shell Jump items ---

    pub(crate) fn put_shell_jump(&mut self, id: ShellJumpId, properties: ShellJump) {
        let last_access_at = self
            .shell_jumps
            .get(&id)
            .and_then(|item| item.last_access_at);
        let reference = JumpItemRef::ShellJump(id);
        if let Some(before) = self.shell_jumps.get(&id) {
            let hashes = ItemTextHashes::of_shell(&before.properties);
            self.items_by_group
                .remove(&(before.properties.group(), reference));
            self.forget_item_texts(reference, hashes);
        }
        self.items_by_group.insert((properties.group(), reference));
        self.index_item_texts(reference, ItemTextHashes::of_shell(&properties));
        let item = ShellJumpItem {
            properties,
            last_access_at,
        };
        self.shell_jumps.insert(id, item);
    }

    pub(crate) fn forget_shell_jump(&mut self, id: ShellJumpId) {
        let reference = JumpItemRef::ShellJump(id);
        self.custom_values.remove(&reference);
        if let Some(item) = self.shell_jumps.remove(&id) {
            self.items_by_group
                .remove(&(item.properties.group(), reference));
            self.forget_item_texts(reference, ItemTextHashes::of_shell(&item.properties));
            self.forget_startup_item(reference);
        }
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
        let item = JumpItemRef::JumpClient(id);
        self.items_by_group
            .insert((client.properties.group(), item));
        self.index_item_texts(item, ItemTextHashes::of_client(&client));
        if client.endpoint == id {
            if let Some(bare) = self.bare_endpoints.remove(&id) {
                self.endpoint_went(id, &Counted::of(&bare));
            }
            self.endpoint_came(id, &Counted::of(&client));
        } else {
            self.copies.insert((client.endpoint, id));
        }
        if let Some(attempt) = &client.attempt {
            self.clients_by_attempt.insert(in_short(&attempt.0), id);
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
        let texts_before = ItemTextHashes::of_client(client);
        let counted_before = (client.endpoint == id).then(|| Counted::of(client));
        change(client);
        let after = client.properties.group();
        let texts_after = ItemTextHashes::of_client(client);
        let counted_after = (client.endpoint == id).then(|| Counted::of(client));
        let item = JumpItemRef::JumpClient(id);
        if texts_before != texts_after {
            self.forget_item_texts(item, texts_before);
            self.index_item_texts(item, texts_after);
        }
        if before != after {
            self.items_by_group.remove(&(before, item));
            self.items_by_group.insert((after, item));
        }
        self.recount(id, counted_before, counted_after);
    }

    fn recount(&mut self, id: JumpClientId, before: Option<Counted>, after: Option<Counted>) {
        if before == after {
            return;
        }
        if let Some(before) = before {
            self.endpoint_went(id, &before);
        }
        if let Some(after) = after {
            self.endpoint_came(id, &after);
        }
    }

    fn endpoint_came(&mut self, id: JumpClientId, counted: &Counted) {
        self.installed.add(counted.installed);
        if let Some(machine) = counted.machine {
            self.endpoints_by_machine.insert((machine, id));
        }
    }

    fn endpoint_went(&mut self, id: JumpClientId, counted: &Counted) {
        self.installed.take(counted.installed);
        if let Some(machine) = counted.machine {
            self.endpoints_by_machine.remove(&(machine, id));
        }
    }

    /// How many Jump Clients count against the site's capacity (LIM-13).
    #[must_use]
    pub fn installed_clients(&self) -> Installed {
        self.installed
    }

    /// The endpoints whose agents say that they are this machine, uninstalled ones too, by id. None for a machine that does
    /// not say which it is, or names a placeholder.
    pub fn endpoints_of_machine(&self, machine_id: &str) -> impl Iterator<Item = JumpClientId> {
        let short = in_short(machine_id);
        let machine_id = machine_id.to_owned();
        self.endpoints_by_machine
            .range((short, JumpClientId(0))..=(short, JumpClientId(u32::MAX)))
            .map(|(_, endpoint)| *endpoint)
            .filter(move |endpoint| {
                self.endpoint(*endpoint)
                    .is_some_and(|client| client.facts.machine_id == machine_id)
                    // One without items only serves its last session.
                    && !self.items_of_endpoint(*endpoint).is_empty()
            })
    }

    /// The same without those that were uninstalled: the clients that a machine has (INST-57).
    pub fn clients_of_machine(&self, machine_id: &str) -> impl Iterator<Item = JumpClientId> {
        self.endpoints_of_machine(machine_id).filter(|endpoint| {
            self.endpoint(*endpoint)
                .is_some_and(|client| !self.is_uninstalled(client))
        })
    }

    /// The other clients of an item's machine: duplicates, as far as anyone can tell. At most `most`.
    #[must_use]
    pub fn duplicates_of(&self, item: JumpClientId, most: usize) -> Vec<JumpClientId> {
        let Some(client) = self.jump_clients.get(&item) else {
            return Vec::new();
        };
        if self.is_uninstalled(client) {
            return Vec::new();
        }
        self.clients_of_machine(&client.facts.machine_id)
            .filter(|endpoint| *endpoint != client.endpoint)
            .take(most)
            .collect()
    }

    /// The client has its token: its registration is not repeated any more.
    pub(crate) fn registration_is_over(&mut self, id: JumpClientId) {
        let attempt = match self.jump_clients.get_mut(&id) {
            Some(client) => client.attempt.take(),
            None => self
                .bare_endpoints
                .get_mut(&id)
                .and_then(|client| client.attempt.take()),
        };
        if let Some(attempt) = attempt {
            self.clients_by_attempt.remove(&in_short(&attempt.0));
        }
    }

    /// The endpoint registers anew: until it has its token, this is the number of its registration.
    pub(crate) fn registered_again(&mut self, id: JumpClientId, attempt: &KeyedHash) {
        self.registration_is_over(id);
        let is_item = self
            .jump_clients
            .get(&id)
            .is_some_and(|client| client.endpoint == id);
        let endpoint = if is_item {
            self.jump_clients.get_mut(&id)
        } else {
            self.bare_endpoints.get_mut(&id)
        };
        if let Some(client) = endpoint {
            client.attempt = Some(attempt.clone());
            self.clients_by_attempt.insert(in_short(&attempt.0), id);
        }
    }

    /// Changes what the agent says of itself, in every item of its endpoint.
    pub(crate) fn change_endpoint(
        &mut self,
        endpoint: JumpClientId,
        change: impl Fn(&mut JumpClient),
    ) {
        for item in self.items_of_endpoint(endpoint) {
            self.change_jump_client(item, &change);
        }
        if let Some(bare) = self.bare_endpoints.get_mut(&endpoint) {
            let before = Counted::of(bare);
            change(bare);
            let after = Counted::of(bare);
            self.recount(endpoint, Some(before), Some(after));
        }
    }

    /// The same for what an agent says of its machine: what a fleet does most, and seldom of interest to an index.
    pub(crate) fn change_facts(&mut self, endpoint: JumpClientId, changed: &FactsChange) {
        if changed.machine_id.is_some() || changed.hostname.is_some() {
            self.change_endpoint(endpoint, |client| changed.apply_to(&mut client.facts));
            return;
        }
        let copies: Vec<JumpClientId> = self.copies_of(endpoint).collect();
        for item in std::iter::once(endpoint).chain(copies) {
            if let Some(client) = self.jump_clients.get_mut(&item)
                && client.endpoint == endpoint
            {
                changed.apply_to(&mut client.facts);
            }
        }
        if let Some(bare) = self.bare_endpoints.get_mut(&endpoint) {
            changed.apply_to(&mut bare.facts);
        }
    }

    /// Takes an item away. Its endpoint stays as long as another item shares it (CLNT-51), and as long as its agent serves a
    /// session, which outlives the item (GRP-31).
    pub(crate) fn forget_jump_client(&mut self, id: JumpClientId) {
        let item = JumpItemRef::JumpClient(id);
        self.custom_values.remove(&item);
        let Some(client) = self.jump_clients.remove(&id) else {
            return;
        };
        self.items_by_group
            .remove(&(client.properties.group(), item));
        self.forget_item_texts(item, ItemTextHashes::of_client(&client));
        self.forget_startup_item(item);
        let endpoint = client.endpoint;
        self.copies.remove(&(endpoint, id));
        if endpoint == id {
            self.bare_endpoints.insert(id, client);
        }
        self.release_endpoint(endpoint);
    }

    /// Lets an endpoint go that is no item any more, and that neither another item nor a session needs.
    pub(crate) fn release_endpoint(&mut self, endpoint: JumpClientId) {
        let is_needed = self.copies_of(endpoint).next().is_some()
            || self.sessions_of_endpoint(endpoint).next().is_some();
        if !is_needed && let Some(bare) = self.bare_endpoints.remove(&endpoint) {
            self.forget_endpoint(endpoint, &bare);
        }
    }

    /// Nothing is left of an endpoint.
    fn forget_endpoint(&mut self, id: JumpClientId, client: &JumpClient) {
        self.endpoint_went(id, &Counted::of(client));
        if let Some(attempt) = &client.attempt {
            self.clients_by_attempt.remove(&in_short(&attempt.0));
        }
    }

    /// The client as its agent knows it: the one with the id the agent signs in with, also where only copies of it are left
    /// as items.
    #[must_use]
    pub fn endpoint(&self, id: JumpClientId) -> Option<&JumpClient> {
        self.jump_clients
            .get(&id)
            .filter(|client| client.endpoint == id)
            .or_else(|| self.bare_endpoints.get(&id))
    }

    /// The id that the agent of an item signs in with; none for an item without an agent of its own, and for one that is gone.
    #[must_use]
    pub fn endpoint_of(&self, item: JumpItemRef) -> Option<JumpClientId> {
        let client = self.jump_clients.get(&item.jump_client()?)?;
        Some(client.endpoint)
    }

    /// The items that share an endpoint, the original first, copies by id.
    #[must_use]
    pub fn items_of_endpoint(&self, endpoint: JumpClientId) -> Vec<JumpClientId> {
        let original = self
            .jump_clients
            .get(&endpoint)
            .filter(|client| client.endpoint == endpoint)
            .map(|_| endpoint);
        original
            .into_iter()
            .chain(self.copies_of(endpoint))
            .collect()
    }

    fn copies_of(&self, endpoint: JumpClientId) -> impl Iterator<Item = JumpClientId> {
        self.copies
            .range((endpoint, JumpClientId(0))..=(endpoint, JumpClientId(u32::MAX)))
            .map(|(_, copy)| *copy)
    }

    /// Whether the item is there at once when somebody jumps to it, and not dialled first (SESS-31).
    #[must_use]
    pub fn is_active_item(&self, item: JumpItemRef) -> bool {
        match item {
            JumpItemRef::JumpClient(client) => self
                .jump_clients
                .get(&client)
                .is_some_and(|client| client.connection_type == "active"),
            // It is dialled through a Jumpoint.
            JumpItemRef::ShellJump(_) => false,
        }
    }

    /// The client that a registration with this number made, until it has shown that it keeps its token.
    #[must_use]
    pub fn client_of_attempt(&self, attempt: &KeyedHash) -> Option<JumpClientId> {
        let id = *self.clients_by_attempt.get(&in_short(&attempt.0))?;
        let known = self.endpoint(id)?.attempt.as_ref();
        (known == Some(attempt)).then_some(id)
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
        !self.is_uninstalled(client)
            && self
                .offline_since(client)
                .is_some_and(|since| now >= since.plus(days * time::DAY))
    }
}
