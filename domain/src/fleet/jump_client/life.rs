//! How long a Jump Client lives: lost, deleted for being offline, uninstalled at the endpoint.
//!
//! All of it counts from the instant a client went offline. When it is to be deleted is fixed at that instant, by what it
//! had been told: a setting that is changed later finds a client that can't hear of it (CLNT-20, CLNT-21).

use serde::{Deserialize, Serialize};

use super::{Event, JumpClient, Presence, Properties, UNINSTALLED};
use crate::ids::{JumpClientId, LinkId};
use crate::record;
use crate::{Context, Decision, Refusal, Timestamp, World, happened, nothing, time};

/// It was offline for the site's lost days. A label: nothing else happens to it (CLNT-12). Expected rate: a few a day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lost {
    /// Since when it is offline.
    pub offline_since: Timestamp,
}

/// It was offline for as long as it may be, and is deleted (CLNT-14, CLNT-18). Expected rate: a few a day; ephemeral
/// clients by the thousand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expired {
    /// Since when it is offline.
    pub offline_since: Timestamp,
    /// How long it might be. Unit: minutes.
    pub offline_minutes: u32,
}

/// It was uninstalled at the endpoint and could say so (CLNT-23). Expected rate: a few a day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Uninstalled {
    /// On which link it said so.
    #[serde(flatten)]
    pub link: LinkId,
}

impl World {
    /// Whether the client was uninstalled at the endpoint.
    #[must_use]
    pub fn is_uninstalled(&self, client: &JumpClient) -> bool {
        client.connection_type == UNINSTALLED
    }

    /// How long the client may be offline before it is deleted, as it was told last: its own maximum, or the site's days
    /// that held when it went offline. Unit: minutes.
    #[must_use]
    pub fn offline_minutes(&self, client: &JumpClient) -> u32 {
        if client.offline_minutes > 0 {
            return client.offline_minutes;
        }
        let days = match self.offline_since(client) {
            Some(since) => self.deletion_days_at(since),
            None => self.settings.deletion_days,
        };
        days.saturating_mul(MINUTES_A_DAY)
    }

    /// When the client will be deleted if it stays offline; none while it is online, and for one that was uninstalled.
    #[must_use]
    pub fn deletion_at(&self, client: &JumpClient) -> Option<Timestamp> {
        let since = self
            .offline_since(client)
            .filter(|_| !self.is_uninstalled(client))?;
        Some(since.plus(i64::from(self.offline_minutes(client)) * time::MINUTE))
    }

    /// What the agent of an endpoint is told: after how long offline it shall remove itself. The longest of all items that
    /// share the endpoint, for as long as one of them is there, the agent is needed. Unit: minutes.
    #[must_use]
    pub fn minutes_before_removal(&self, endpoint: JumpClientId) -> u32 {
        let site = self.settings.deletion_days.saturating_mul(MINUTES_A_DAY);
        self.items_of_endpoint(endpoint)
            .into_iter()
            .filter_map(|item| self.jump_clients.get(&item))
            .map(|client| match client.properties.max_offline_minutes {
                0 => site,
                minutes => minutes,
            })
            .max()
            .unwrap_or(site)
    }

    /// The site's deletion days that held at `at`. In the instant of a change those before count: whatever comes later then
    /// changes no answer that was given.
    fn deletion_days_at(&self, at: Timestamp) -> u32 {
        self.earlier_deletion_days
            .iter()
            .find(|(until, _)| at <= *until)
            .map_or(self.settings.deletion_days, |(_, days)| *days)
    }
}

const PASSIVE: &str = "passive";
const MINUTES_A_DAY: u32 = 1_440;

/// Labels a client that has been offline for the site's lost days; nothing where it is back or labelled already.
pub(super) fn decide_lost(world: &World, id: JumpClientId, context: &Context) -> Decision {
    let Some(client) = world.jump_clients.get(&id).filter(|client| !client.lost) else {
        return nothing();
    };
    match world.offline_since(client) {
        Some(offline_since) if world.is_lost(client, context.now) => happened(
            crate::Event::JumpClient(id, Event::Lost(Lost { offline_since })),
        ),
        _ => nothing(),
    }
}

/// Deletes a client that was offline for too long; nothing where it is back.
pub(super) fn decide_expire(world: &World, id: JumpClientId, context: &Context) -> Decision {
    let Some(client) = world.jump_clients.get(&id) else {
        return nothing();
    };
    let (Some(offline_since), Some(at)) = (world.offline_since(client), world.deletion_at(client))
    else {
        return nothing();
    };
    if context.now < at {
        return nothing();
    }
    let expired = Expired {
        offline_since,
        offline_minutes: world.offline_minutes(client),
    };
    let mut events = vec![crate::Event::JumpClient(id, Event::Expired(expired))];
    events.extend(deleted(world, id, context)?);
    Ok(events)
}

/// Writes down that the endpoint was uninstalled. What becomes of its items is the site's setting (CLNT-23); copies go the
/// same way (CLNT-51).
pub(super) fn decide_uninstall(
    world: &World,
    id: JumpClientId,
    link: LinkId,
    context: &Context,
) -> Decision {
    let client = world.endpoint(id).ok_or(Refusal::JumpClientGone)?;
    if client.presence != Presence::Connected(link) || world.is_uninstalled(client) {
        return nothing();
    }
    let mut events = vec![crate::Event::JumpClient(
        id,
        Event::Uninstalled(Uninstalled { link }),
    )];
    if world.settings.uninstalled_client_behavior == "remove" {
        for item in world.items_of_endpoint(id) {
            events.extend(deleted(world, item, context)?);
        }
    }
    Ok(events)
}

fn deleted(
    world: &World,
    id: JumpClientId,
    context: &Context,
) -> Result<Option<crate::Event>, Refusal> {
    let command = record::Command::<Properties>::Delete(id);
    let gone = record::decide(world, &command, context)?;
    Ok(gone.map(|(id, event)| crate::Event::JumpClient(id, Event::Record(event))))
}

/// Folds [`Lost`].
pub(super) fn apply_lost(world: &mut World, id: JumpClientId) {
    world.change_jump_client(id, |client| client.lost = true);
}

/// Marks all items of an endpoint.
pub(super) fn apply_uninstalled(world: &mut World, endpoint: JumpClientId, at: Timestamp) {
    world.change_endpoint(endpoint, |client| {
        client.connection_type = UNINSTALLED.to_owned();
        client.presence = Presence::Disconnected;
        client.last_disconnect_at = Some(at);
    });
}

impl JumpClient {
    /// Whether it keeps no connection and is called instead (CLNT-02).
    #[must_use]
    pub fn is_passive(&self) -> bool {
        self.connection_type == PASSIVE
    }

    /// It connected: it is told its maximum anew, and has lost the label (CLNT-13).
    pub(super) fn came_back(&mut self) {
        self.offline_minutes = self.properties.max_offline_minutes;
        self.lost = false;
    }
}

/// A plain record's put: a client that is connected is told at once, one that is not keeps what it knows.
pub(super) fn put_properties(world: &mut World, id: JumpClientId, properties: Properties) {
    let is_online = world
        .jump_clients
        .get(&id)
        .is_some_and(|client| world.is_online(client));
    world.change_jump_client(id, |client| {
        client.properties = properties;
        if is_online {
            client.offline_minutes = client.properties.max_offline_minutes;
        }
    });
}
