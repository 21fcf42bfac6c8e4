//! A machine becomes a Jump Client: what it shows, and what an installer lets it set itself.

use serde::{Deserialize, Serialize};

use super::{Connected, Event, Facts, Properties};
use crate::fleet::installer::JumpClientInstaller;
use crate::ids::{JumpClientId, JumpClientInstallerId, KeyedHash, LinkId};
use crate::record::{self, Record};
use crate::{Context, Decision, FieldErrors, Refusal, World};

/// See [`Command::Register`].
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
    /// Name passed at install, where the installer lets it be overridden (INST-26).
    pub name: Option<String>,
    /// Tag passed at install (INST-33).
    pub tag: Option<String>,
    /// Comments passed at install (INST-33).
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
    if context.now >= installer.expiration_timestamp {
        return Err(Refusal::InstallerExpired);
    }
    check_overrides(installer, register)?;
    if !world.has_group(installer.group()) {
        return Err(Refusal::NoSuchJumpGroup {
            group: installer.group(),
        });
    }
    let id = JumpClientId(world.next_id(Properties::CATEGORY));
    let given = register
        .name
        .clone()
        .or_else(|| Some(installer.name.clone()))
        .filter(|name| !name.is_empty());
    let properties = Properties {
        name: given.unwrap_or_else(|| fallback_name(&register.facts)),
        jump_group_id: installer.jump_group_id,
        jump_group_type: installer.jump_group_type.clone(),
        tag: register
            .tag
            .clone()
            .unwrap_or_else(|| installer.tag.clone()),
        comments: register
            .comments
            .clone()
            .unwrap_or_else(|| installer.comments.clone()),
        jump_policy_id: installer.jump_policy_id,
        session_policy_id: installer.session_policy_id,
        max_offline_minutes: installer.max_offline_minutes,
        ..Properties::default()
    };
    let registered = Registered {
        installer: register.installer,
        properties,
        connection_type: installer.connection_type.clone(),
        facts: register.facts.clone(),
        token: register.token.clone(),
        attempt: register.attempt.clone(),
    };
    Ok(vec![
        crate::Event::JumpClient(id, Event::Registered(registered)),
        crate::Event::JumpClient(id, Event::Connected(connected)),
    ])
}

/// The welcome was lost and the machine asks anew: it stays the same client, and gets the token of this time.
fn decide_again(
    world: &World,
    id: JumpClientId,
    token: &KeyedHash,
    connected: Connected,
) -> Decision {
    let mut events = super::decide_offer_token(world, id, token)?;
    events.extend(super::decide_connect(world, id, connected)?);
    Ok(events)
}

/// The computer's name where the installer gives none (config-api.md 7.2).
fn fallback_name(facts: &Facts) -> String {
    if facts.hostname.is_empty() {
        "Jump Client".to_owned()
    } else {
        facts.hostname.chars().take(128).collect()
    }
}

fn check_overrides(installer: &JumpClientInstaller, register: &Register) -> Result<(), Refusal> {
    let passed = [
        (
            "name",
            register.name.is_some(),
            installer.allow_override_name,
        ),
        ("tag", register.tag.is_some(), installer.allow_override_tag),
        (
            "comments",
            register.comments.is_some(),
            installer.allow_override_comments,
        ),
    ];
    if let Some((field, _, _)) = passed
        .into_iter()
        .find(|(_, passed, allowed)| *passed && !allowed)
    {
        return Err(Refusal::OverrideNotAllowed { field });
    }
    let mut errors = FieldErrors::default();
    let values = [
        // A blank name is the computer's, as in the installer itself.
        (
            "name",
            register.name.as_ref().filter(|name| !name.is_empty()),
        ),
        ("tag", register.tag.as_ref()),
        ("comments", register.comments.as_ref()),
    ];
    for (name, value) in values {
        let field = Properties::FIELDS.iter().find(|field| field.name == name);
        if let (Some(field), Some(value)) = (field, value)
            && let Err(message) = record::read_value(field, &value.as_str().into())
        {
            errors.push(name, message);
        }
    }
    errors.into_result(())
}
