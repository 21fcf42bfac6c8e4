//! The rows of the large tables, apart from the rest of a [`WorldSnapshot`]: in parts, so that several threads can make or
//! read them at the same time. What is made of the parts does not depend on who made which when.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use crate::World;
use crate::fleet::capacity::Installed;
use crate::fleet::jump_client::JumpClient;
use crate::ids::{JumpClientId, JumpGroupRef, JumpItemRef, KeyedHash, UserId};
use crate::site::user::User;
use crate::snapshot::WorldSnapshot;
use crate::table::Table;

/// Some rows of the large tables, to be written and read.
#[derive(Clone, Debug, Default, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
#[allow(
    missing_docs,
    reason = "each member has rows of the table of the same name in World"
)]
pub struct RowsSnapshot {
    pub users: Vec<(UserId, User)>,
    pub jump_clients: Vec<(JumpClientId, JumpClient)>,
}

/// The same, ready to be put into tables.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    users: Vec<(UserId, Arc<User>)>,
    jump_clients: Vec<(JumpClientId, Arc<JumpClient>)>,
}

/// The indexes that follow from the large tables alone.
#[derive(Clone, Debug, Default)]
pub struct RowIndexes {
    users_by_name: OrdMap<String, UserId>,
    clients_by_attempt: OrdMap<KeyedHash, JumpClientId>,
    items_by_group: OrdSet<(JumpGroupRef, JumpItemRef)>,
    copies: OrdSet<(JumpClientId, JumpClientId)>,
    endpoints_by_machine: OrdSet<(String, JumpClientId)>,
    installed: Installed,
}

impl WorldSnapshot {
    /// Takes the rows of the large tables out, in parts of at most `rows_max` of each.
    pub fn take_rows(&mut self, rows_max: usize) -> Vec<RowsSnapshot> {
        let mut users = std::mem::take(&mut self.users).into_iter();
        let mut jump_clients = std::mem::take(&mut self.jump_clients).into_iter();
        let mut parts = Vec::new();
        while users.len() > 0 || jump_clients.len() > 0 {
            parts.push(RowsSnapshot {
                users: users.by_ref().take(rows_max).collect(),
                jump_clients: jump_clients.by_ref().take(rows_max).collect(),
            });
        }
        parts
    }
}

impl From<RowsSnapshot> for Rows {
    fn from(snapshot: RowsSnapshot) -> Self {
        fn ready<K, V>(rows: Vec<(K, V)>) -> Vec<(K, Arc<V>)> {
            rows.into_iter()
                .map(|(key, row)| (key, Arc::new(row)))
                .collect()
        }
        Self {
            users: ready(snapshot.users),
            jump_clients: ready(snapshot.jump_clients),
        }
    }
}

impl RowIndexes {
    /// The indexes of these rows, which are all that there are.
    #[must_use]
    pub fn of(parts: &[Rows]) -> Self {
        let users = parts.iter().flat_map(|part| &part.users);
        let clients = || parts.iter().flat_map(|part| &part.jump_clients);
        let endpoints = || clients().filter(|(id, client)| client.endpoint == *id);
        let mut installed = Installed::default();
        for (_, client) in endpoints() {
            installed.add(Installed::of(client));
        }
        Self {
            users_by_name: users
                .map(|(id, user)| (user.username.to_lowercase(), *id))
                .collect(),
            clients_by_attempt: clients()
                .filter_map(|(id, client)| Some((client.attempt.clone()?, *id)))
                .collect(),
            items_by_group: clients()
                .map(|(id, client)| (client.properties.group(), JumpItemRef::JumpClient(*id)))
                .collect(),
            copies: clients()
                .filter(|(id, client)| client.endpoint != *id)
                .map(|(id, client)| (client.endpoint, *id))
                .collect(),
            endpoints_by_machine: endpoints()
                .map(|(id, client)| (client.facts.machine_id.clone(), *id))
                .filter(|(machine, _)| !machine.is_empty())
                .collect(),
            installed,
        }
    }
}

impl World {
    /// Puts the rows of the large tables in, without their indexes.
    pub(super) fn put_rows(&mut self, parts: &[Rows]) {
        self.users = Table::of_shared(parts.iter().flat_map(|part| part.users.iter().cloned()));
        self.jump_clients = Table::of_shared(
            parts
                .iter()
                .flat_map(|part| part.jump_clients.iter().cloned()),
        );
    }

    /// Makes a world of [`World::of_snapshot`] whole.
    pub fn put_row_indexes(&mut self, indexes: RowIndexes) {
        self.users_by_name = indexes.users_by_name;
        self.copies = indexes.copies;
        self.installed.add(indexes.installed);
        self.endpoints_by_machine
            .extend(indexes.endpoints_by_machine);
        // Those of the small tables are there.
        self.clients_by_attempt.extend(indexes.clients_by_attempt);
        let others = std::mem::replace(&mut self.items_by_group, indexes.items_by_group);
        self.items_by_group.extend(others);
    }
}
