//! How many Jump Clients a site may have (LIM-01 to LIM-06, LIM-13), and on how many endpoints it may be worked at once
//! (LIM-09, LIM-10).
//!
//! What counts are installed endpoints: copies of a client count once, one that was uninstalled not at all, offline and lost
//! ones do. Active ones count against both limits, passive ones against the total alone. The World keeps the two numbers, so
//! asking costs nothing however large the fleet is.

use std::collections::BTreeSet;

use crate::fleet::jump_client::JumpClient;
use crate::ids::JumpItemRef;
use crate::site::settings::SiteSettings;
use crate::{Refusal, World};

#[cfg(test)]
mod tests;

/// Active Jump Clients that each license of a cloud site brings (LIM-03).
pub const CLOUD_CLIENTS_PER_LICENSE: u32 = 20;

/// How many Jump Clients a site may have; none is without limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Active and passive ones.
    pub total: Option<u32>,
    /// Active ones.
    pub active: Option<u32>,
}

/// How many Jump Clients there are.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize,
)]
pub struct Installed {
    /// Active and passive ones.
    pub total: u32,
    /// Active ones.
    pub active: u32,
}

impl Installed {
    /// What one endpoint counts.
    #[must_use]
    pub(crate) fn of(client: &JumpClient) -> Self {
        Self::of_type(&client.connection_type)
    }

    fn of_type(connection_type: &str) -> Self {
        match connection_type {
            "active" => Self {
                total: 1,
                active: 1,
            },
            "passive" => Self {
                total: 1,
                active: 0,
            },
            // Uninstalled.
            _ => Self::default(),
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.total += other.total;
        self.active += other.active;
    }

    pub(crate) fn take(&mut self, other: Self) {
        self.total = self.total.saturating_sub(other.total);
        self.active = self.active.saturating_sub(other.active);
    }
}

/// The capacity by the site's settings (LIM-01 to LIM-03, LIM-05).
#[must_use]
pub fn capacity(settings: &SiteSettings) -> Capacity {
    let limit = |number: u32| (number > 0).then_some(number);
    let active = match settings.appliance_model.as_str() {
        "B200" => Some(1_000),
        "B300" => Some(10_000),
        "B400" => Some(25_000),
        "cloud" => limit(settings.licenses.saturating_mul(CLOUD_CLIENTS_PER_LICENSE)),
        // Virtual: what its resources bear, as its administrator sets it.
        _ => limit(settings.active_jump_clients_max),
    };
    Capacity {
        total: limit(settings.jump_clients_max),
        active,
    }
}

/// Whether one more client of this connection type may be deployed.
///
/// # Errors
/// [`Refusal::JumpClientsFull`] or, for an active one, [`Refusal::ActiveJumpClientsFull`].
pub fn room_for(world: &World, connection_type: &str) -> Result<(), Refusal> {
    room_for_more(world, Installed::of_type(connection_type))
}

/// Whether a client that is there may be of this connection type from now on: only what it takes beside what it takes already is
/// asked for, so that one that stays what it is stays also above a limit (LIM-04).
///
/// # Errors
/// As [`room_for`].
pub(crate) fn room_to_become(
    world: &World,
    client: &JumpClient,
    connection_type: &str,
) -> Result<(), Refusal> {
    let mut more = Installed::of_type(connection_type);
    more.take(Installed::of(client));
    room_for_more(world, more)
}

fn room_for_more(world: &World, more: Installed) -> Result<(), Refusal> {
    let capacity = capacity(&world.settings);
    let installed = world.installed_clients();
    let is_full = |installed: u32, limit: Option<u32>| limit.is_some_and(|max| installed >= max);
    if more.total > 0 && is_full(installed.total, capacity.total) {
        return Err(Refusal::JumpClientsFull);
    }
    if more.active > 0 && is_full(installed.active, capacity.active) {
        return Err(Refusal::ActiveJumpClientsFull);
    }
    Ok(())
}

/// The model of a site whose clients keep their connections (CLNT-61).
const CLOUD: &str = "cloud";

/// Whether clients of this connection type may be on the site: passive ones not on a cloud site (CLNT-61).
///
/// # Errors
/// The field `connection_type`.
pub fn connection_type_allowed(
    settings: &SiteSettings,
    connection_type: &str,
) -> Result<(), Refusal> {
    if settings.appliance_model == CLOUD && connection_type == "passive" {
        return Err(Refusal::field(
            "connection_type",
            "The connection_type field must be active: Jump Clients of a cloud site can't be passive.",
        ));
    }
    Ok(())
}

/// Why the site can't be of this model from now on: a cloud site has no passive clients (CLNT-61). One that is a cloud site
/// already is not asked again.
pub(crate) fn model_objection(world: &World, model: &str) -> Option<String> {
    if model != CLOUD || world.settings.appliance_model == CLOUD {
        return None;
    }
    let Installed { total, active } = world.installed_clients();
    let passive = total.saturating_sub(active);
    (passive > 0).then(|| {
        format!(
            "The appliance_model field can't be cloud while Jump Clients are passive, of which there are {passive}: make them active first."
        )
    })
}

/// Whether a session may begin on `item`: every endpoint that is worked on takes a license, however many users are there and
/// by whichever of its items, and gives it back when its last session has ended (LIM-09, LIM-10).
///
/// # Errors
/// [`Refusal::NoFreeLicense`].
pub fn license_for(world: &World, item: JumpItemRef) -> Result<(), Refusal> {
    let licenses = world.settings.licenses;
    // Fewer sessions than licenses can't be on more endpoints: the usual case costs nothing.
    if licenses == 0 || world.sessions.len() < licenses as usize {
        return Ok(());
    }
    let endpoint = |item| {
        world
            .endpoint_of(item)
            .map_or(item, JumpItemRef::JumpClient)
    };
    let worked_on: BTreeSet<JumpItemRef> = world
        .sessions
        .iter()
        .map(|(_, session)| {
            session
                .endpoint
                .map_or(session.item, JumpItemRef::JumpClient)
        })
        .collect();
    if worked_on.len() < licenses as usize || worked_on.contains(&endpoint(item)) {
        Ok(())
    } else {
        Err(Refusal::NoFreeLicense { licenses })
    }
}
