//! Jump Clients: agents on endpoints.
//!
//! States: registered and online → offline ⇄ online → uninstalled → deleted; offline → lost → online, offline → deleted.
//! Beside these a client may be disabled at the endpoint (CLNT-29) or quarantined as one of two machines with one identity. Whether it is online also depends on its node: one that
//! is connected on a stopped node is offline since the node stopped.

use serde::{Deserialize, Serialize};

use crate::access::permission;
use crate::access::role::JumpItemPermission;
use crate::ids::{JumpClientId, JumpClientInstallerId, JumpItemRef, KeyedHash, LinkId};
use crate::items::{custom_field, rights};
use crate::record::{self, Record};
use crate::site::agent_trust::Confirmed;
use crate::{Context, Decision, Refusal, Timestamp, World, happened, nothing};

mod facts;
mod identity;
mod life;
mod properties;
mod registration;
#[cfg(test)]
mod tests;

pub use facts::{Facts, FactsChange};
pub use identity::{Offer, Quarantined, TOKEN_DAYS, Token, TrustConfirmed};
pub use life::{Expired, Lost, Uninstalled};
pub use properties::{ConnectionTypeSet, Properties};
pub use registration::{
    DUPLICATES_MAX, OFFLINE_MINUTES_MAX, OFFLINE_MINUTES_MIN, Overrides, Register, Registered,
    Reinstalled,
};

/// The connection type of a client that was uninstalled at the endpoint (ERR-07, ERR-19).
const UNINSTALLED: &str = "uninstalled";

/// Whether it is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub enum Presence {
    /// Connected on this link, as long as its node runs.
    Connected(LinkId),
    /// Not connected.
    Disconnected,
}

/// A Jump Client.
#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct JumpClient {
    /// What may be changed from outside.
    pub properties: Properties,
    /// What the agent says of its machine.
    pub facts: Facts,
    /// The id its agent signs in with: its own, or for a copy that of the client it is a copy of (CLNT-50). What the agent
    /// says and how it is connected is the same in all that share it.
    pub endpoint: JumpClientId,
    /// The installer that brought it.
    pub installer: JumpClientInstallerId,
    /// `active` or `passive`.
    pub connection_type: String,
    /// The address it last connected from, with port.
    pub public_ip: String,
    /// Whether it is connected.
    pub presence: Presence,
    /// Random per boot of the agent; tells a reconnect from a clone.
    pub boot_id: String,
    /// How long it may be offline before it is deleted, as it was told last; 0 is the site's setting (CLNT-20). Unit: minutes.
    pub offline_minutes: u32,
    /// Whether it was labelled lost since it went offline.
    pub lost: bool,
    /// Keyed hash of its identity token.
    pub token: KeyedHash,
    /// Since when that is its token; see [`TOKEN_DAYS`].
    pub token_at: Timestamp,
    /// Keyed hash of a token that was handed out and not confirmed yet.
    pub offered_token: Option<KeyedHash>,
    /// Keyed hash of the token before; whoever shows it after the new one was confirmed is a clone.
    pub previous_token: Option<KeyedHash>,
    /// Names the registration until the client has shown that it keeps its token, so that a repeated one is the same client.
    pub attempt: Option<KeyedHash>,
    /// Which lists of trust anchors and addresses it has on disk, as it said last.
    pub trust_confirmed: Confirmed,
    /// Two machines showed one identity; none of them is served until it is registered anew.
    pub quarantined: bool,
    /// When it last connected.
    pub last_connect_at: Timestamp,
    /// When it last disconnected; for one whose node stopped, see [`World::offline_since`].
    pub last_disconnect_at: Option<Timestamp>,
    /// When a session last started (SESS-24).
    pub last_access_at: Option<Timestamp>,
}

/// What may be asked of Jump Clients.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// A machine shows an installer's secret, which the link has compared, and becomes a client, connected.
    Register(Box<Register>),
    /// A known client, whose token the link has compared, connects.
    Connect {
        /// Who.
        client: JumpClientId,
        /// On which link.
        link: LinkId,
        /// From where, with port.
        public_ip: String,
        /// Random per boot of the agent.
        boot_id: String,
    },
    /// A connected client says how its machine is. Nothing happens where nothing changed, nor on a link that is not the
    /// client's any more.
    CheckIn {
        /// Who.
        client: JumpClientId,
        /// On which link.
        link: LinkId,
        /// All facts as they are.
        facts: Box<Facts>,
    },
    /// A link ended; nothing if the client has connected anew since.
    Disconnect {
        /// Who.
        client: JumpClientId,
        /// Which link.
        link: LinkId,
        /// Why, in a few words.
        reason: String,
    },
    /// It has been offline for the site's lost days (CLNT-12).
    MarkLost(JumpClientId),
    /// It has been offline for as long as it may be (CLNT-14).
    Expire(JumpClientId),
    /// A connected client says that it is being uninstalled at the endpoint (CLNT-23).
    Uninstall {
        /// Who.
        client: JumpClientId,
        /// On which link.
        link: LinkId,
    },
    /// A new identity token was handed out. Nothing happens where none is due ([`JumpClient::token_is_due`]), nor where it
    /// might take the place of one that the client may have stored already.
    OfferToken {
        /// To whom.
        client: JumpClientId,
        /// When.
        offer: Offer,
        /// Keyed hash of the token.
        token: KeyedHash,
    },
    /// The client has stored the token it was handed.
    ConfirmToken {
        /// Who.
        client: JumpClientId,
        /// On which link it said so; none where it showed the token in place of saying so.
        link: Option<LinkId>,
        /// Keyed hash of the token.
        token: KeyedHash,
    },
    /// A connected client has these versions of the site's lists on disk. Nothing happens where that is known, nor on a link
    /// that is not the client's any more; a version that the site has not reached is not a list of this site.
    ConfirmTrust {
        /// Who.
        client: JumpClientId,
        /// On which link.
        link: LinkId,
        /// Of the trust anchors, where it said so.
        anchors: Option<u64>,
        /// Of the addresses, where it said so.
        addresses: Option<u64>,
    },
    /// Two machines showed one identity. Its sessions end. This names no link: who has seen it is the link of before, or one that was not let
    /// in, and it stays true whichever machine is connected by then.
    Quarantine {
        /// Whose.
        client: JumpClientId,
        /// How it was seen.
        evidence: String,
    },
    /// Make a second item for the same endpoint, with the name and in the group of the body (CLNT-50).
    Copy(JumpClientId, record::Object),
    /// Change the properties.
    Change(JumpClientId, record::Object),
    /// The same from the Jump interface, where the connection type can be changed as well (CLNT-48); for the Configuration API
    /// it is only shown.
    Edit(JumpClientId, record::Object),
    /// Remove it from the console; an agent that is connected is told to uninstall.
    Delete(JumpClientId),
}

/// A client connected. Expected rate: one a client and day, storms after outages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Connected {
    /// On which link.
    #[serde(flatten)]
    pub link: LinkId,
    /// From where, with port.
    pub public_ip: String,
    /// Random per boot of the agent.
    pub boot_id: String,
}

/// A client disconnected. Expected rate: as [`Connected`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Disconnected {
    /// Which link ended.
    #[serde(flatten)]
    pub link: LinkId,
    /// Why, in a few words.
    pub reason: String,
}

/// A check-in that changed a fact. Expected rate: a few a client and day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckedIn {
    /// What changed.
    pub changed: FactsChange,
}

/// A second item was made for an endpoint. Expected rate: a few a month.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Copied {
    /// The id its agent signs in with.
    pub endpoint: JumpClientId,
    /// The properties of the copy.
    pub properties: Properties,
}

/// What happens to a Jump Client.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[allow(
    clippy::large_enum_variant,
    reason = "events are read one at a time and boxed nowhere else"
)]
pub enum Event {
    /// It registered.
    Registered(Registered),
    /// Its machine was installed anew, and is this client again.
    Reinstalled(Reinstalled),
    /// It connected.
    Connected(Connected),
    /// It disconnected.
    Disconnected(Disconnected),
    /// It checked in and a fact changed.
    CheckedIn(CheckedIn),
    /// It has been offline for the site's lost days.
    Lost(Lost),
    /// It has been offline for as long as it may be; its deletion follows.
    Expired(Expired),
    /// It was uninstalled at the endpoint; where the site wants that, the deletion of its items follows.
    Uninstalled(Uninstalled),
    /// It connects otherwise from now on.
    ConnectionTypeSet(ConnectionTypeSet),
    /// It was handed a new token.
    TokenOffered(Token),
    /// It stored the new token.
    TokenConfirmed(Token),
    /// It stored a newer list of trust anchors or addresses.
    TrustConfirmed(TrustConfirmed),
    /// Two machines showed its identity.
    Quarantined(Quarantined),
    /// It was made as a second item of an endpoint.
    Copied(Copied),
    /// Its properties changed, or it was deleted.
    Record(record::Event<Properties>),
}

impl Event {
    /// The names it may be stored under.
    pub const STORED_NAMES: &'static [&'static str] = &[
        "JumpClientRegistered",
        "JumpClientReinstalled",
        "JumpClientConnected",
        "JumpClientDisconnected",
        "JumpClientCheckedIn",
        "JumpClientLost",
        "JumpClientExpired",
        "JumpClientUninstalled",
        "JumpClientConnectionTypeSet",
        "JumpClientTokenOffered",
        "JumpClientTokenConfirmed",
        "JumpClientTrustConfirmed",
        "JumpClientQuarantined",
        "JumpClientCopied",
        "JumpClientChanged",
        "JumpClientDeleted",
    ];

    /// The name it is stored under.
    #[must_use]
    pub fn stored_name(&self) -> &'static str {
        match self {
            Self::Registered(_) => "JumpClientRegistered",
            Self::Reinstalled(_) => "JumpClientReinstalled",
            Self::Connected(_) => "JumpClientConnected",
            Self::Disconnected(_) => "JumpClientDisconnected",
            Self::CheckedIn(_) => "JumpClientCheckedIn",
            Self::Lost(_) => "JumpClientLost",
            Self::Expired(_) => "JumpClientExpired",
            Self::Uninstalled(_) => "JumpClientUninstalled",
            Self::ConnectionTypeSet(_) => "JumpClientConnectionTypeSet",
            Self::TokenOffered(_) => "JumpClientTokenOffered",
            Self::TokenConfirmed(_) => "JumpClientTokenConfirmed",
            Self::TrustConfirmed(_) => "JumpClientTrustConfirmed",
            Self::Quarantined(_) => "JumpClientQuarantined",
            Self::Copied(_) => "JumpClientCopied",
            Self::Record(event) => event.stored_name(),
        }
    }

    /// Reads an event back; `None` if the name is not one of a Jump Client's.
    ///
    /// # Errors
    /// When the stored text is not of the event's form.
    pub fn from_stored(name: &str, text: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        match name {
            "JumpClientRegistered" => {
                serde_json::from_slice(text).map(|event| Some(Self::Registered(event)))
            }
            "JumpClientReinstalled" => {
                serde_json::from_slice(text).map(|event| Some(Self::Reinstalled(event)))
            }
            "JumpClientConnected" => {
                serde_json::from_slice(text).map(|event| Some(Self::Connected(event)))
            }
            "JumpClientDisconnected" => {
                serde_json::from_slice(text).map(|event| Some(Self::Disconnected(event)))
            }
            "JumpClientCheckedIn" => {
                serde_json::from_slice(text).map(|event| Some(Self::CheckedIn(event)))
            }
            "JumpClientLost" => serde_json::from_slice(text).map(|event| Some(Self::Lost(event))),
            "JumpClientExpired" => {
                serde_json::from_slice(text).map(|event| Some(Self::Expired(event)))
            }
            "JumpClientUninstalled" => {
                serde_json::from_slice(text).map(|event| Some(Self::Uninstalled(event)))
            }
            "JumpClientConnectionTypeSet" => {
                serde_json::from_slice(text).map(|event| Some(Self::ConnectionTypeSet(event)))
            }
            "JumpClientTokenOffered" => {
                serde_json::from_slice(text).map(|event| Some(Self::TokenOffered(event)))
            }
            "JumpClientTokenConfirmed" => {
                serde_json::from_slice(text).map(|event| Some(Self::TokenConfirmed(event)))
            }
            "JumpClientTrustConfirmed" => {
                serde_json::from_slice(text).map(|event| Some(Self::TrustConfirmed(event)))
            }
            "JumpClientQuarantined" => {
                serde_json::from_slice(text).map(|event| Some(Self::Quarantined(event)))
            }
            "JumpClientCopied" => {
                serde_json::from_slice(text).map(|event| Some(Self::Copied(event)))
            }
            _ => Ok(record::Event::from_stored(name, text)?.map(Self::Record)),
        }
    }
}

/// Decides what becomes of `command`, given all that is known.
///
/// # Errors
/// Why not.
pub fn decide(world: &World, command: &Command, context: &Context) -> Decision {
    match command {
        Command::Register(register) => registration::decide(world, register, context),
        Command::Connect {
            client,
            link,
            public_ip,
            boot_id,
        } => decide_connect(
            world,
            *client,
            Connected {
                link: *link,
                public_ip: public_ip.clone(),
                boot_id: boot_id.clone(),
            },
        ),
        Command::CheckIn {
            client,
            link,
            facts,
        } => decide_check_in(world, *client, *link, facts),
        Command::Disconnect {
            client,
            link,
            reason,
        } => decide_disconnect(world, *client, *link, reason),
        Command::MarkLost(client) => life::decide_lost(world, *client, context),
        Command::Expire(client) => life::decide_expire(world, *client, context),
        Command::Uninstall { client, link } => {
            life::decide_uninstall(world, *client, *link, context)
        }
        Command::OfferToken {
            client,
            offer,
            token,
        } => identity::decide_offer_token(world, *client, offer, token, context),
        Command::ConfirmToken {
            client,
            link,
            token,
        } => identity::decide_confirm_token(world, *client, *link, token),
        Command::ConfirmTrust {
            client,
            link,
            anchors,
            addresses,
        } => identity::decide_confirm_trust(world, *client, *link, *anchors, *addresses),
        Command::Quarantine { client, evidence } => {
            identity::decide_quarantine(world, *client, evidence)
        }
        Command::Copy(client, body) => decide_copy(world, *client, body, context),
        Command::Change(client, body) => decide_change(world, *client, body, context),
        Command::Edit(client, body) => decide_edit(world, *client, body, context),
        Command::Delete(client) => decide_delete(world, *client, context),
    }
}

/// Folds one event into the world.
pub fn apply(world: &mut World, id: JumpClientId, event: &Event, at: Timestamp) {
    match event {
        Event::Registered(registered) => world.put_jump_client(
            id,
            JumpClient {
                properties: registered.properties.clone(),
                facts: registered.facts.clone(),
                endpoint: id,
                installer: registered.installer,
                connection_type: registered.connection_type.clone(),
                public_ip: String::new(),
                presence: Presence::Disconnected,
                boot_id: String::new(),
                offline_minutes: registered.properties.max_offline_minutes,
                lost: false,
                token: registered.token.clone(),
                token_at: at,
                offered_token: None,
                previous_token: None,
                attempt: Some(registered.attempt.clone()),
                trust_confirmed: Confirmed::default(),
                quarantined: false,
                last_connect_at: at,
                last_disconnect_at: None,
                last_access_at: None,
            },
        ),
        Event::Reinstalled(reinstalled) => {
            registration::apply_reinstalled(world, id, reinstalled, at);
        }
        Event::Connected(connected) => world.change_endpoint(id, |client| {
            client.presence = Presence::Connected(connected.link);
            client.public_ip.clone_from(&connected.public_ip);
            client.boot_id.clone_from(&connected.boot_id);
            client.last_connect_at = at;
            client.came_back();
        }),
        Event::Lost(_) => life::apply_lost(world, id),
        // The deletion that follows takes it out of the world.
        Event::Expired(_) => {}
        Event::Uninstalled(_) => life::apply_uninstalled(world, id, at),
        Event::ConnectionTypeSet(set) => world.change_endpoint(id, |client| {
            client.connection_type.clone_from(&set.to);
        }),
        Event::Disconnected(_) => world.change_endpoint(id, |client| {
            client.presence = Presence::Disconnected;
            client.last_disconnect_at = Some(at);
        }),
        Event::CheckedIn(checked_in) => world.change_facts(id, &checked_in.changed),
        Event::TokenOffered(offered) => {
            world.change_endpoint(id, |client| {
                client.offered_token = Some(offered.token.clone())
            });
        }
        Event::TokenConfirmed(confirmed) => {
            world.change_endpoint(id, |client| {
                if client.token != confirmed.token {
                    let before = std::mem::replace(&mut client.token, confirmed.token.clone());
                    client.previous_token = Some(before);
                    client.token_at = at;
                }
                client.offered_token = None;
            });
            world.registration_is_over(id);
        }
        Event::TrustConfirmed(confirmed) => world.change_endpoint(id, |client| {
            let held = &mut client.trust_confirmed;
            held.anchors = confirmed.anchors.unwrap_or(held.anchors);
            held.addresses = confirmed.addresses.unwrap_or(held.addresses);
        }),
        Event::Quarantined(_) => world.change_endpoint(id, |client| client.quarantined = true),
        Event::Copied(copied) => {
            if let Some(original) = world.endpoint(copied.endpoint) {
                let copy = JumpClient {
                    properties: copied.properties.clone(),
                    offline_minutes: copied.properties.max_offline_minutes,
                    attempt: None,
                    last_access_at: None,
                    ..original.clone()
                };
                world.put_jump_client(id, copy);
            }
        }
        Event::Record(event) => record::apply(world, id, event, at),
    }
}

fn decide_connect(world: &World, id: JumpClientId, connected: Connected) -> Decision {
    let client = world.endpoint(id).ok_or(Refusal::JumpClientGone)?;
    if !world.nodes.contains(&connected.link.node) {
        return Err(Refusal::NodeStopped);
    }
    if client.quarantined {
        return Err(Refusal::JumpClientIdentityFailed);
    }
    if world.is_uninstalled(client) {
        return Err(Refusal::JumpClientUninstalled);
    }
    if client.presence == Presence::Connected(connected.link) {
        return nothing();
    }
    happened(crate::Event::JumpClient(id, Event::Connected(connected)))
}

fn decide_check_in(world: &World, id: JumpClientId, link: LinkId, facts: &Facts) -> Decision {
    let client = world.endpoint(id).ok_or(Refusal::JumpClientGone)?;
    if client.presence != Presence::Connected(link) {
        return nothing();
    }
    let changed = FactsChange::between(&client.facts, facts);
    if changed.is_empty() {
        return nothing();
    }
    happened(crate::Event::JumpClient(
        id,
        Event::CheckedIn(CheckedIn { changed }),
    ))
}

fn decide_disconnect(world: &World, id: JumpClientId, link: LinkId, reason: &str) -> Decision {
    match world.endpoint(id) {
        // A client of a stopped node is offline already, since the node stopped.
        Some(client) if client.presence == Presence::Connected(link) && world.is_online(client) => {
            let disconnected = Disconnected {
                link,
                reason: reason.to_owned(),
            };
            happened(crate::Event::JumpClient(
                id,
                Event::Disconnected(disconnected),
            ))
        }
        _ => nothing(),
    }
}

fn decide_change(
    world: &World,
    id: JumpClientId,
    body: &record::Object,
    context: &Context,
) -> Decision {
    rights::seen(world, JumpItemRef::JumpClient(id), context)?;
    let client = world.jump_clients.get(&id).ok_or(Refusal::JumpClientGone)?;
    if client.connection_type == UNINSTALLED {
        return Err(Refusal::JumpClientUninstalled);
    }
    let command = record::Command::Change(id, body.clone());
    let Some((id, event)) = record::decide(world, &command, context)? else {
        return nothing();
    };
    if let (Some(user), record::Event::Changed(changes)) = (context.role_holder(), &event) {
        properties::may_change(world, user, id, changes)?;
    }
    happened(crate::Event::JumpClient(id, Event::Record(event)))
}

fn decide_edit(
    world: &World,
    id: JumpClientId,
    body: &record::Object,
    context: &Context,
) -> Decision {
    let mut body = body.clone();
    // First, so that nobody who may not see the item learns of its type.
    rights::seen(world, JumpItemRef::JumpClient(id), context)?;
    let connection_type = match body.contains_key("connection_type") {
        true if world
            .jump_clients
            .get(&id)
            .is_some_and(|client| world.is_uninstalled(client)) =>
        {
            return Err(Refusal::JumpClientUninstalled);
        }
        true => properties::decide_connection_type(world, id, &mut body, context)?,
        false => None,
    };
    let mut events = decide_change(world, id, &body, context)?;
    events.extend(connection_type);
    Ok(events)
}

fn decide_copy(
    world: &World,
    id: JumpClientId,
    body: &record::Object,
    context: &Context,
) -> Decision {
    let item = JumpItemRef::JumpClient(id);
    rights::seen(world, item, context)?;
    let original = world.jump_clients.get(&id).ok_or(Refusal::JumpClientGone)?;
    if original.connection_type == UNINSTALLED {
        return Err(Refusal::JumpClientUninstalled);
    }
    let reading = record::Reading::of(record::Purpose::Create, context);
    let asked = record::read_body(rights::COPY_FIELDS, &[], body, reading)?;
    let mut object = record::to_object(&original.properties);
    object.extend(asked);
    let properties: Properties = serde_json::from_value(object.into())
        .map_err(|error| Refusal::field("body", error.to_string()))?;
    if !world.has_group(properties.group()) {
        return Err(Refusal::field(
            "jump_group_id",
            "The selected jump_group_id is invalid.",
        ));
    }
    if let Some(user) = context.role_holder() {
        rights::may_copy(world, user, item, properties.group())?;
    }
    let copy = JumpClientId(world.next_id(Properties::CATEGORY));
    let copied = Copied {
        endpoint: original.endpoint,
        properties,
    };
    let values = custom_field::copied(world, item, JumpItemRef::JumpClient(copy));
    let made = crate::Event::JumpClient(copy, Event::Copied(copied));
    Ok([made].into_iter().chain(values).collect())
}

fn decide_delete(world: &World, id: JumpClientId, context: &Context) -> Decision {
    rights::seen(world, JumpItemRef::JumpClient(id), context)?;
    if let Some(user) = context.role_holder() {
        let item = JumpItemRef::JumpClient(id);
        permission::need(world, user, item, JumpItemPermission::Remove)?;
    }
    let Some((id, event)) = record::decide(world, &record::Command::Delete(id), context)? else {
        return nothing();
    };
    happened(crate::Event::JumpClient(id, Event::Record(event)))
}

/// Whether a session can start on `client` now: there, not quarantined, installed, not disabled, online or passive.
///
/// # Errors
/// The appendix' message for what stands against it (ERR-14, ERR-15, ERR-18, ERR-19).
pub fn startable(world: &World, id: JumpClientId) -> Result<&JumpClient, Refusal> {
    let client = world.jump_clients.get(&id).ok_or(Refusal::JumpClientGone)?;
    if client.quarantined {
        return Err(Refusal::JumpClientIdentityFailed);
    }
    if client.connection_type == UNINSTALLED {
        return Err(Refusal::JumpClientUninstalled);
    }
    // A passive client is called when somebody jumps to it (SESS-27).
    if !world.is_online(client) && !client.is_passive() {
        return Err(Refusal::JumpClientOffline);
    }
    if client.facts.disabled {
        return Err(Refusal::JumpClientDisabled);
    }
    Ok(client)
}
