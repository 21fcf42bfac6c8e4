//! A machine that has a Jump Client registers another: what the site's setting says of it (INST-57).
//!
//! A machine is known by the identity that its agent says it has. That is no secret, and images of one machine share it, so it
//! proves nothing: docs/adr/0006-duplicate-machines.md says what follows from that.

use super::super::{Facts, JumpClient};
use crate::fleet::installer::JumpClientInstaller;
use crate::ids::JumpClientId;
use crate::{Refusal, World};

/// Most clients of one machine that are looked at, and told of.
pub const DUPLICATES_MAX: usize = 16;

/// What a machine that registers is.
pub(super) enum Machine {
    /// A new client, beside those that the machine has already.
    New {
        /// Those.
        duplicate_of: Vec<JumpClientId>,
    },
    /// The client that is there.
    Known(JumpClientId),
}

/// What the machine becomes.
///
/// # Errors
/// [`Refusal::DuplicateMachine`] where the site wants one client a machine.
pub(super) fn machine(
    world: &World,
    installer: &JumpClientInstaller,
    facts: &Facts,
) -> Result<Machine, Refusal> {
    let setting = world.settings.duplicate_machines.as_str();
    if setting == "merge"
        && let Some(known) = mergeable(world, installer, facts)
    {
        return Ok(Machine::Known(known));
    }
    let duplicate_of: Vec<JumpClientId> = world
        .clients_of_machine(&facts.machine_id)
        .take(DUPLICATES_MAX)
        .collect();
    match duplicate_of.first() {
        Some(first) if setting == "refuse" => Err(Refusal::DuplicateMachine {
            client: name_of(world, *first),
        }),
        _ => Ok(Machine::New { duplicate_of }),
    }
}

/// The client of the machine that a registration may become: offline, of good standing, and in groups into which the
/// installer's creator may deploy, all of its copies too. Of several the one that was connected last.
fn mergeable(
    world: &World,
    installer: &JumpClientInstaller,
    facts: &Facts,
) -> Option<JumpClientId> {
    world
        .endpoints_of_machine(&facts.machine_id)
        .take(DUPLICATES_MAX)
        .filter_map(|id| Some((id, world.endpoint(id)?)))
        .filter(|(_, client)| !world.is_online(client) && !client.quarantined)
        .filter(|(id, _)| {
            let items = world.items_of_endpoint(*id);
            items.iter().all(|item| {
                let group = world
                    .jump_clients
                    .get(item)
                    .map(|client| client.properties.group());
                group.is_some_and(|group| installer.creator_may_deploy(world, group))
            })
        })
        .max_by_key(|(id, client)| (client.last_connect_at, *id))
        .map(|(id, _)| id)
}

fn name_of(world: &World, endpoint: JumpClientId) -> String {
    let of_item = |item: JumpClientId| world.jump_clients.get(&item);
    let item: Option<&JumpClient> = world
        .items_of_endpoint(endpoint)
        .into_iter()
        .find_map(of_item);
    item.map(|client| client.properties.name.clone())
        .unwrap_or_default()
}
