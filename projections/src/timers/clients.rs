//! When Jump Clients that are offline become lost or are deleted (CLNT-12, CLNT-14): one entry an item that is connected or
//! offline, none for one that was uninstalled.
//!
//! Lost clients wait for a time that an administrator may set, so they are ordered by the instant they went offline. When a
//! client is deleted is fixed at that instant (CLNT-21), so those are ordered by the instant they are due.

use std::collections::{BTreeSet, HashMap};

use domain::access::jump_group;
use domain::fleet::jump_client::{self, Command as Asked, Presence};
use domain::ids::{JumpClientId, NodeEpoch};
use domain::site::settings::SiteSettings;
use domain::site::user;
use domain::{Command, Event, Timestamp, World, node, record, time};
use rustc_hash::FxBuildHasher;

use super::Due;

/// Jump Clients by what they wait for.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Clients {
    states: HashMap<JumpClientId, State, FxBuildHasher>,
    by_node: BTreeSet<(NodeEpoch, JumpClientId)>,
    /// Not labelled yet, by the instant they went offline.
    unlabelled: BTreeSet<(Timestamp, JumpClientId)>,
    by_deletion: BTreeSet<(Timestamp, JumpClientId)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Online(NodeEpoch),
    Offline {
        since: Timestamp,
        labelled: bool,
        deletion_at: Timestamp,
    },
}

impl State {
    fn of(world: &World, id: JumpClientId) -> Option<Self> {
        let client = world.jump_clients.get(&id)?;
        match (client.presence, world.offline_since(client)) {
            (Presence::Connected(link), None) => Some(Self::Online(link.node)),
            (_, Some(since)) => Some(Self::Offline {
                since,
                labelled: client.lost,
                deletion_at: world.deletion_at(client)?,
            }),
            (Presence::Disconnected, None) => None,
        }
    }
}

impl Clients {
    pub(super) fn of(world: &World) -> Self {
        let states: Vec<(JumpClientId, State)> = world
            .jump_clients
            .keys()
            .filter_map(|id| Some((*id, State::of(world, *id)?)))
            .collect();
        let mut by_node = Vec::new();
        let mut unlabelled = Vec::new();
        let mut by_deletion = Vec::new();
        for (id, state) in &states {
            match *state {
                State::Online(node) => by_node.push((node, *id)),
                State::Offline {
                    since,
                    labelled,
                    deletion_at,
                } => {
                    if !labelled {
                        unlabelled.push((since, *id));
                    }
                    by_deletion.push((deletion_at, *id));
                }
            }
        }
        Self {
            states: states.into_iter().collect(),
            by_node: by_node.into_iter().collect(),
            unlabelled: unlabelled.into_iter().collect(),
            by_deletion: by_deletion.into_iter().collect(),
        }
    }

    /// Whether `event` may change an entry.
    pub(super) fn concerns(event: &Event) -> bool {
        match event {
            Event::JumpClient(_, event) => match event {
                jump_client::Event::Registered(_)
                | jump_client::Event::Reinstalled(_)
                | jump_client::Event::Copied(_)
                | jump_client::Event::Connected(_)
                | jump_client::Event::Disconnected(_)
                | jump_client::Event::Lost(_)
                | jump_client::Event::Uninstalled(_)
                | jump_client::Event::ConnectionTypeSet(_)
                | jump_client::Event::Record(_) => true,
                jump_client::Event::Expired(_)
                | jump_client::Event::CheckedIn(_)
                | jump_client::Event::TokenOffered(_)
                | jump_client::Event::TokenConfirmed(_)
                | jump_client::Event::TrustConfirmed(_)
                | jump_client::Event::Quarantined(_) => false,
            },
            Event::Node(_, node::Event::Stopped(_))
            | Event::JumpGroup(_, jump_group::Event::Record(record::Event::Deleted(_)))
            | Event::User(_, user::Event::Record(record::Event::Deleted(_))) => true,
            _ => false,
        }
    }

    pub(super) fn apply(&mut self, event: &Event, world_after: &World) {
        match event {
            Event::JumpClient(
                id,
                jump_client::Event::Connected(_)
                | jump_client::Event::Reinstalled(_)
                | jump_client::Event::Disconnected(_)
                | jump_client::Event::Uninstalled(_)
                | jump_client::Event::ConnectionTypeSet(_),
            ) => {
                for item in world_after.items_of_endpoint(*id) {
                    self.refresh(item, world_after);
                }
            }
            Event::JumpClient(id, _) => self.refresh(*id, world_after),
            Event::Node(epoch, node::Event::Stopped(_)) => {
                let of_node = (*epoch, JumpClientId(0))..=(*epoch, JumpClientId(u32::MAX));
                let gone: Vec<JumpClientId> =
                    self.by_node.range(of_node).map(|(_, id)| *id).collect();
                for id in gone {
                    self.refresh(id, world_after);
                }
            }
            // What goes with a group or a user is stated by one event: all are looked at, which happens a few times a year.
            _ => {
                let gone: Vec<JumpClientId> = self
                    .states
                    .keys()
                    .filter(|id| !world_after.jump_clients.contains(id))
                    .copied()
                    .collect();
                for id in gone {
                    self.refresh(id, world_after);
                }
            }
        }
    }

    /// Makes the entry of an item what the `World` says.
    fn refresh(&mut self, id: JumpClientId, world: &World) {
        let now = State::of(world, id);
        let before = match now {
            Some(state) => self.states.insert(id, state),
            None => self.states.remove(&id),
        };
        if before == now {
            return;
        }
        match before {
            Some(State::Online(node)) => {
                self.by_node.remove(&(node, id));
            }
            Some(State::Offline {
                since, deletion_at, ..
            }) => {
                self.unlabelled.remove(&(since, id));
                self.by_deletion.remove(&(deletion_at, id));
            }
            None => {}
        }
        match now {
            Some(State::Online(node)) => {
                self.by_node.insert((node, id));
            }
            Some(State::Offline {
                since,
                labelled,
                deletion_at,
            }) => {
                if !labelled {
                    self.unlabelled.insert((since, id));
                }
                self.by_deletion.insert((deletion_at, id));
            }
            None => {}
        }
    }

    /// What is due until `until`, the oldest of each kind first, at most `limit` of each.
    pub(super) fn due(
        &self,
        until: Timestamp,
        settings: &SiteSettings,
        limit: usize,
    ) -> impl Iterator<Item = Due> {
        let wait = lost_after(settings);
        let lost = self
            .unlabelled
            .iter()
            .map(move |(since, id)| (since.plus(wait), *id))
            .take_while(move |(at, _)| *at <= until)
            .take(limit)
            .map(|(at, id)| Due {
                at,
                command: Command::JumpClient(Asked::MarkLost(id)),
            });
        let deleted = self
            .by_deletion
            .iter()
            .take_while(move |(at, _)| *at <= until)
            .take(limit)
            .map(|(at, id)| Due {
                at: *at,
                command: Command::JumpClient(Asked::Expire(*id)),
            });
        lost.chain(deleted)
    }

    /// When the first thing is due.
    pub(super) fn next(&self, settings: &SiteSettings) -> Option<Timestamp> {
        let lost = self
            .unlabelled
            .first()
            .map(|(since, _)| since.plus(lost_after(settings)));
        let deleted = self.by_deletion.first().map(|(at, _)| *at);
        lost.into_iter().chain(deleted).min()
    }
}

fn lost_after(settings: &SiteSettings) -> i64 {
    i64::from(settings.lost_days) * time::DAY
}
