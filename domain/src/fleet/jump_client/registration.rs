//! A machine becomes a Jump Client: what it shows, and what an installer lets it set itself.

use serde::{Deserialize, Serialize};

use super::{Connected, Event, Facts, JumpClient, Properties};
use crate::fleet::capacity;
use crate::ids::{JumpClientId, JumpClientInstallerId, KeyedHash, LinkId};
use crate::record::{self, Record};
use crate::site::agent_trust::Confirmed;
use crate::{Context, Decision, Refusal, Timestamp, World};

mod duplicates;
mod overrides;

use duplicates::Machine;

pub use duplicates::DUPLICATES_MAX;
pub use overrides::{OFFLINE_MINUTES_MAX, OFFLINE_MINUTES_MIN};

/// See [`Command::Register`](super::Command::Register).
#[derive(Clone, Debug, PartialEq)]
pub struct Register {
    /// The installer whose secret was shown.
    pub installer: JumpClientInstallerId,
    /// On which link.
    pub link: LinkId,
    /// From where, with port.
    pub public_ip: String,
    /// Random per boot of the agent.
    pub boot_id: String,
    /// The machine.
    pub facts: Facts,
    /// Keyed hash of the identity token the client will get.
    pub token: KeyedHash,
    /// Keyed hash of the number the machine drew for this registration and repeats until it has its token.
    pub attempt: KeyedHash,
    /// What was passed at install.
    pub overrides: Overrides,
}

/// Values passed at install in the place of the installer's, where it lets them be overridden (INST-23).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Name (INST-26).
    pub name: Option<String>,
    /// `user:<username>` or `jumpgroup:<code name>` (INST-27).
    pub jump_group: Option<String>,
    /// Code name of a Jump Policy (INST-30).
    pub jump_policy: Option<String>,
    /// Code name of a session policy (INST-29).
    pub session_policy: Option<String>,
    /// Offline minutes before deletion (INST-31). Range: [`OFFLINE_MINUTES_MIN`] to [`OFFLINE_MINUTES_MAX`].
    pub max_offline_minutes: Option<u32>,
    /// Tag (INST-33).
    pub tag: Option<String>,
    /// Comments (INST-33).
    pub comments: Option<String>,
}

/// A machine became a client. Expected rate: thousands in a mass deployment, then few.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Registered {
    /// The installer that brought it.
    pub installer: JumpClientInstallerId,
    /// Its properties at first.
    pub properties: Properties,
    /// `active` or `passive`.
    pub connection_type: String,
    /// Its machine.
    pub facts: Facts,
    /// Keyed hash of its identity token.
    pub token: KeyedHash,
    /// Keyed hash of the number the machine drew for this registration.
    pub attempt: KeyedHash,
    /// The clients that the machine had already (INST-57); at most [`DUPLICATES_MAX`] of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub duplicate_of: Vec<JumpClientId>,
}

/// A machine that had a client was installed anew, and became that client again. Expected rate: as [`Registered`], on sites
/// that merge duplicates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reinstalled {
    /// The installer that brought it this time.
    pub installer: JumpClientInstallerId,
    /// `active` or `passive`.
    pub connection_type: String,
    /// Its machine as it is now.
    pub facts: Facts,
    /// Keyed hash of its new identity token; the one before is void.
    pub token: KeyedHash,
    /// Keyed hash of the number the machine drew for this registration.
    pub attempt: KeyedHash,
}

pub(super) fn decide(world: &World, register: &Register, context: &Context) -> Decision {
    if !world.nodes.contains(&register.link.node) {
        return Err(Refusal::NodeStopped);
    }
    let connected = Connected {
        link: register.link,
        public_ip: register.public_ip.clone(),
        boot_id: register.boot_id.clone(),
    };
    if let Some(known) = world.client_of_attempt(&register.attempt) {
        return decide_again(world, known, &register.token, connected);
    }
    let installer = world
        .installers
        .get(&register.installer)
        .ok_or(Refusal::InstallerInvalid)?;
    installer.usable(world, context.now)?;
    let properties = overrides::properties(world, installer, &register.overrides)?;
    if !world.has_group(properties.group()) {
        return Err(Refusal::NoSuchJumpGroup {
            group: properties.group(),
        });
    }
    let (id, became) = match duplicates::machine(world, installer, &register.facts)? {
        Machine::Known(id) => {
            let client = world.endpoint(id).ok_or(Refusal::JumpClientGone)?;
            // One that was uninstalled takes a place anew, and one that becomes active a place among the active ones.
            capacity::room_to_become(world, client, &installer.connection_type)?;
            let reinstalled = Reinstalled {
                installer: register.installer,
                connection_type: installer.connection_type.clone(),
                facts: register.facts.clone(),
                token: register.token.clone(),
                attempt: register.attempt.clone(),
            };
            (id, Event::Reinstalled(reinstalled))
        }
        Machine::New { duplicate_of } => {
            capacity::room_for(world, &installer.connection_type)?;
            let registered = Registered {
                installer: register.installer,
                properties: Properties {
                    name: name(register, &installer.name),
                    ..properties
                },
                connection_type: installer.connection_type.clone(),
                facts: register.facts.clone(),
                token: register.token.clone(),
                attempt: register.attempt.clone(),
                duplicate_of,
            };
            let id = JumpClientId(world.next_id(Properties::CATEGORY));
            (id, Event::Registered(registered))
        }
    };
    Ok(vec![
        crate::Event::JumpClient(id, became),
        crate::Event::JumpClient(id, Event::Connected(connected)),
    ])
}

/// Folds [`Reinstalled`]: the client keeps what it is on the site, and is another machine or another installation. Who shows
/// the token of before is a clone from now on.
pub(super) fn apply_reinstalled(
    world: &mut World,
    id: JumpClientId,
    reinstalled: &Reinstalled,
    at: Timestamp,
) {
    world.change_endpoint(id, |client: &mut JumpClient| {
        client.installer = reinstalled.installer;
        client
            .connection_type
            .clone_from(&reinstalled.connection_type);
        client.facts = reinstalled.facts.clone();
        let before = std::mem::replace(&mut client.token, reinstalled.token.clone());
        client.previous_token = Some(before);
        client.token_at = at;
        client.offered_token = None;
        client.trust_confirmed = Confirmed::default();
    });
    world.registered_again(id, &reinstalled.attempt);
}

/// The welcome was lost and the machine asks anew: it stays the same client, and gets the token of this time.
fn decide_again(
    world: &World,
    id: JumpClientId,
    token: &KeyedHash,
    connected: Connected,
) -> Decision {
    let mut events = super::identity::offered(world, id, token)?;
    events.extend(super::decide_connect(world, id, connected)?);
    Ok(events)
}

/// What was passed, else the installer's, else the computer's name (config-api.md 7.2).
fn name(register: &Register, of_installer: &str) -> String {
    let passed = register.overrides.name.as_deref();
    let given = passed.unwrap_or(of_installer);
    if given.is_empty() {
        record::name_of_text(&register.facts.hostname, 128)
            .unwrap_or_else(|| "Jump Client".to_owned())
    } else {
        given.to_owned()
    }
}
