//! Jump Clients: agents on endpoints.
//!
//! States: registered and online → offline ⇄ online → deleted. Beside these a client may be disabled at the endpoint
//! (CLNT-29) or quarantined as one of two machines with one identity. Whether it is online also depends on its node: one that
//! is connected on a stopped node is offline since the node stopped.

use serde::{Deserialize, Serialize};

use crate::access::role::JumpItemPermission;
use crate::fleet::installer::JumpClientInstaller;
use crate::ids::{
    JumpClientId, JumpClientInstallerId, JumpGroupId, JumpGroupRef, JumpItemRef, JumpPolicyId,
    KeyedHash, LinkId, UserId,
};
use crate::record::{self, Field, Kind, Record, Reference};
use crate::{Actor, Context, Decision, Refusal, Timestamp, World, happened, nothing};

/// What may be changed from outside (CLNT-48). Member names are those of the published schema (config-api.md 2.7).
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
#[serde(default)]
#[allow(
    missing_docs,
    reason = "the members are the published schema's, described in FIELDS"
)]
pub struct Properties {
    pub name: String,
    pub jump_group_id: u32,
    pub jump_group_type: String,
    pub tag: String,
    pub comments: String,
    pub jump_policy_id: Option<JumpPolicyId>,
    pub session_policy_id: Option<u32>,
    pub max_offline_minutes: u32,
    pub endpoint_agreement_policy: String,
}

impl Default for Properties {
    fn default() -> Self {
        Self {
            name: String::new(),
            jump_group_id: 0,
            jump_group_type: "shared".to_owned(),
            tag: String::new(),
            comments: String::new(),
            jump_policy_id: None,
            session_policy_id: None,
            max_offline_minutes: 0,
            endpoint_agreement_policy: "no_prompt".to_owned(),
        }
    }
}

impl Properties {
    /// The group it is in.
    #[must_use]
    pub fn group(&self) -> JumpGroupRef {
        if self.jump_group_type == "personal" {
            JumpGroupRef::Personal(UserId(self.jump_group_id))
        } else {
            JumpGroupRef::Shared(JumpGroupId(self.jump_group_id))
        }
    }
}

const fn shown(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field::new(name, kind, about).write(record::Write::Never)
}

const ANY_TEXT: Kind = Kind::Text { min: 0, max: 4096 };

impl Record for Properties {
    type Id = JumpClientId;
    const CATEGORY: &'static str = "jump_client";
    const TITLE: &'static str = "Jump Client";
    const STORED_NAMES: [&'static str; 3] = [
        "JumpClientCreated",
        "JumpClientChanged",
        "JumpClientDeleted",
    ];
    const FIELDS: &'static [Field] = &[
        Field::new(
            "name",
            Kind::Text { min: 1, max: 128 },
            "What the console calls it.",
        )
        .filter(),
        Field::new("jump_group_id", Kind::Id, "The group it is in.")
            .filter()
            .names(Reference::JumpGroup),
        Field::new(
            "jump_group_type",
            Kind::Word(&["shared", "personal"]),
            "Which kind of group.",
        )
        .filter(),
        Field::new(
            "tag",
            Kind::Text { min: 0, max: 64 },
            "Its tag in the group.",
        )
        .filter(),
        Field::new("comments", Kind::Text { min: 0, max: 1024 }, "Free text."),
        Field::new("jump_policy_id", Kind::Id, "Its Jump Policy.")
            .nullable()
            .names(Reference::JumpPolicy),
        Field::new(
            "session_policy_id",
            Kind::Integer {
                min: 2,
                max: 2_147_483_647,
            },
            "Its session policy.",
        )
        .nullable(),
        Field::new(
            "max_offline_minutes",
            Kind::Integer {
                min: 0,
                max: 2_147_483_647,
            },
            "Offline minutes before it is deleted; 0 is the site's setting.",
        ),
        Field::new(
            "endpoint_agreement_policy",
            Kind::Word(&["no_prompt", "accept", "reject"]),
            "What an unanswered agreement prompt means.",
        ),
    ];
    const COMPUTED: &'static [Field] = &[
        shown("hostname", ANY_TEXT, "The machine's host name.").filter(),
        shown("fqdn", ANY_TEXT, "The machine's full name.").filter(),
        shown(
            "install_mode",
            Kind::Word(&["unknown", "user", "service"]),
            "How it is installed.",
        ),
        shown(
            "connection_type",
            Kind::Word(&["active", "passive", "uninstalled"]),
            "How it connects.",
        )
        .filter(),
        shown(
            "last_connect_timestamp",
            Kind::Moment,
            "When it last connected.",
        )
        .nullable(),
        shown(
            "last_disconnect_timestamp",
            Kind::Moment,
            "When it last disconnected.",
        )
        .nullable(),
        shown(
            "is_lost",
            Kind::Boolean,
            "Offline for longer than the site's lost days.",
        ),
        shown(
            "needs_update",
            Kind::Boolean,
            "Runs an older version than the site.",
        ),
        shown(
            "unavailable_reason",
            Kind::Word(&["none", "disabled"]),
            "Why no session can start.",
        ),
        shown(
            "operating_system",
            ANY_TEXT,
            "The machine's operating system.",
        ),
        shown("public_ip", ANY_TEXT, "The address it connects from.").filter(),
        shown("private_ip", ANY_TEXT, "The machine's own address.").filter(),
        shown("console_user", ANY_TEXT, "Who is signed in at the machine.").filter(),
        shown(
            "expiration_timestamp",
            Kind::Moment,
            "When it will be deleted if it stays offline.",
        )
        .nullable(),
        shown(
            "last_access_timestamp",
            Kind::Moment,
            "When a session last started.",
        )
        .nullable(),
    ];

    fn find(world: &World, id: JumpClientId) -> Option<&Self> {
        world.jump_clients.get(&id).map(|client| &client.properties)
    }

    fn put(world: &mut World, id: JumpClientId, record: Self, _at: Timestamp) {
        world.change_jump_client(id, |client| client.properties = record);
    }

    fn remove(world: &mut World, id: JumpClientId) {
        world.forget_jump_client(id);
    }

    fn check(&self, _world: &World, _id: Option<JumpClientId>) -> Result<(), Refusal> {
        Ok(())
    }
}

/// What an agent says of its machine. Untrusted text, bounded by the link: 255 characters each.
#[derive(
    Clone,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
#[serde(default)]
pub struct Facts {
    /// Host name.
    pub hostname: String,
    /// Full name with domain.
    pub fqdn: String,
    /// Operating system and version.
    pub operating_system: String,
    /// The machine's own address.
    pub private_ip: String,
    /// Who is signed in at the machine; may be empty.
    pub console_user: String,
    /// `user` or `service`.
    pub install_mode: String,
    /// Names the machine across installs.
    pub machine_id: String,
    /// The agent's version.
    pub agent_version: String,
    /// Seconds east of UTC.
    pub timezone_offset: i32,
    /// Whether the user at the endpoint switched it off (CLNT-29).
    pub disabled: bool,
}

/// The facts that differ since the last check-in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(
    missing_docs,
    reason = "each member is the one of the same name in Facts"
)]
pub struct FactsChange {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fqdn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operating_system: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console_user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub install_mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone_offset: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
}

impl FactsChange {
    /// What differs between `old` and `new`.
    #[must_use]
    pub fn between(old: &Facts, new: &Facts) -> Self {
        fn changed<T: PartialEq + Clone>(old: &T, new: &T) -> Option<T> {
            (old != new).then(|| new.clone())
        }
        Self {
            hostname: changed(&old.hostname, &new.hostname),
            fqdn: changed(&old.fqdn, &new.fqdn),
            operating_system: changed(&old.operating_system, &new.operating_system),
            private_ip: changed(&old.private_ip, &new.private_ip),
            console_user: changed(&old.console_user, &new.console_user),
            install_mode: changed(&old.install_mode, &new.install_mode),
            machine_id: changed(&old.machine_id, &new.machine_id),
            agent_version: changed(&old.agent_version, &new.agent_version),
            timezone_offset: changed(&old.timezone_offset, &new.timezone_offset),
            disabled: changed(&old.disabled, &new.disabled),
        }
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn apply_to(&self, facts: &mut Facts) {
        fn set<T: Clone>(change: Option<&T>, into: &mut T) {
            if let Some(value) = change {
                into.clone_from(value);
            }
        }
        set(self.hostname.as_ref(), &mut facts.hostname);
        set(self.fqdn.as_ref(), &mut facts.fqdn);
        set(self.operating_system.as_ref(), &mut facts.operating_system);
        set(self.private_ip.as_ref(), &mut facts.private_ip);
        set(self.console_user.as_ref(), &mut facts.console_user);
        set(self.install_mode.as_ref(), &mut facts.install_mode);
        set(self.machine_id.as_ref(), &mut facts.machine_id);
        set(self.agent_version.as_ref(), &mut facts.agent_version);
        set(self.timezone_offset.as_ref(), &mut facts.timezone_offset);
        set(self.disabled.as_ref(), &mut facts.disabled);
    }
}

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
    /// Keyed hash of its identity token.
    pub token: KeyedHash,
    /// Keyed hash of a token that was handed out and not confirmed yet.
    pub offered_token: Option<KeyedHash>,
    /// Keyed hash of the token before; whoever shows it after the new one was confirmed is a clone.
    pub previous_token: Option<KeyedHash>,
    /// Names the registration until the client has shown that it keeps its token, so that a repeated one is the same client.
    pub attempt: Option<KeyedHash>,
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
    /// A connected client says how its machine is. Nothing happens where nothing changed.
    CheckIn {
        /// Who.
        client: JumpClientId,
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
    /// A new identity token was handed out.
    OfferToken {
        /// To whom.
        client: JumpClientId,
        /// Keyed hash of the token.
        token: KeyedHash,
    },
    /// The client has stored the token it was handed.
    ConfirmToken {
        /// Who.
        client: JumpClientId,
        /// Keyed hash of the token.
        token: KeyedHash,
    },
    /// Two machines showed one identity.
    Quarantine {
        /// Whose.
        client: JumpClientId,
        /// How it was seen.
        evidence: String,
    },
    /// Change the properties.
    Change(JumpClientId, record::Object),
    /// Remove it from the console; an agent that is connected is told to uninstall.
    Delete(JumpClientId),
}

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

/// An identity token was handed out, or confirmed. Expected rate: one a client and month.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// Keyed hash of the token.
    pub token: KeyedHash,
}

/// Two machines showed one identity. Expected rate: a handful a year.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quarantined {
    /// How it was seen.
    pub evidence: String,
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
    /// It connected.
    Connected(Connected),
    /// It disconnected.
    Disconnected(Disconnected),
    /// It checked in and a fact changed.
    CheckedIn(CheckedIn),
    /// It was handed a new token.
    TokenOffered(Token),
    /// It stored the new token.
    TokenConfirmed(Token),
    /// Two machines showed its identity.
    Quarantined(Quarantined),
    /// Its properties changed, or it was deleted.
    Record(record::Event<Properties>),
}

impl Event {
    /// The names it may be stored under.
    pub const STORED_NAMES: &'static [&'static str] = &[
        "JumpClientRegistered",
        "JumpClientConnected",
        "JumpClientDisconnected",
        "JumpClientCheckedIn",
        "JumpClientTokenOffered",
        "JumpClientTokenConfirmed",
        "JumpClientQuarantined",
        "JumpClientChanged",
        "JumpClientDeleted",
    ];

    /// The name it is stored under.
    #[must_use]
    pub fn stored_name(&self) -> &'static str {
        match self {
            Self::Registered(_) => "JumpClientRegistered",
            Self::Connected(_) => "JumpClientConnected",
            Self::Disconnected(_) => "JumpClientDisconnected",
            Self::CheckedIn(_) => "JumpClientCheckedIn",
            Self::TokenOffered(_) => "JumpClientTokenOffered",
            Self::TokenConfirmed(_) => "JumpClientTokenConfirmed",
            Self::Quarantined(_) => "JumpClientQuarantined",
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
            "JumpClientConnected" => {
                serde_json::from_slice(text).map(|event| Some(Self::Connected(event)))
            }
            "JumpClientDisconnected" => {
                serde_json::from_slice(text).map(|event| Some(Self::Disconnected(event)))
            }
            "JumpClientCheckedIn" => {
                serde_json::from_slice(text).map(|event| Some(Self::CheckedIn(event)))
            }
            "JumpClientTokenOffered" => {
                serde_json::from_slice(text).map(|event| Some(Self::TokenOffered(event)))
            }
            "JumpClientTokenConfirmed" => {
                serde_json::from_slice(text).map(|event| Some(Self::TokenConfirmed(event)))
            }
            "JumpClientQuarantined" => {
                serde_json::from_slice(text).map(|event| Some(Self::Quarantined(event)))
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
        Command::Register(register) => decide_register(world, register, context),
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
        Command::CheckIn { client, facts } => decide_check_in(world, *client, facts),
        Command::Disconnect {
            client,
            link,
            reason,
        } => decide_disconnect(world, *client, *link, reason),
        Command::OfferToken { client, token } => decide_offer_token(world, *client, token),
        Command::ConfirmToken { client, token } => decide_confirm_token(world, *client, token),
        Command::Quarantine { client, evidence } => decide_quarantine(world, *client, evidence),
        Command::Change(client, body) => decide_record(
            world,
            *client,
            record::Command::Change(*client, body.clone()),
            context,
        ),
        Command::Delete(client) => {
            decide_record(world, *client, record::Command::Delete(*client), context)
        }
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
                installer: registered.installer,
                connection_type: registered.connection_type.clone(),
                public_ip: String::new(),
                presence: Presence::Disconnected,
                boot_id: String::new(),
                token: registered.token.clone(),
                offered_token: None,
                previous_token: None,
                attempt: Some(registered.attempt.clone()),
                quarantined: false,
                last_connect_at: at,
                last_disconnect_at: None,
                last_access_at: None,
            },
        ),
        Event::Connected(connected) => world.change_jump_client(id, |client| {
            client.presence = Presence::Connected(connected.link);
            client.public_ip.clone_from(&connected.public_ip);
            client.boot_id.clone_from(&connected.boot_id);
            client.last_connect_at = at;
        }),
        Event::Disconnected(_) => world.change_jump_client(id, |client| {
            client.presence = Presence::Disconnected;
            client.last_disconnect_at = Some(at);
        }),
        Event::CheckedIn(checked_in) => {
            world.change_jump_client(id, |client| checked_in.changed.apply_to(&mut client.facts));
        }
        Event::TokenOffered(offered) => {
            world.change_jump_client(id, |client| {
                client.offered_token = Some(offered.token.clone())
            });
        }
        Event::TokenConfirmed(confirmed) => world.change_jump_client(id, |client| {
            if client.token != confirmed.token {
                let before = std::mem::replace(&mut client.token, confirmed.token.clone());
                client.previous_token = Some(before);
            }
            client.offered_token = None;
            client.attempt = None;
        }),
        Event::Quarantined(_) => world.change_jump_client(id, |client| client.quarantined = true),
        Event::Record(event) => record::apply(world, id, event, at),
    }
}

fn decide_register(world: &World, register: &Register, context: &Context) -> Decision {
    if !world.nodes.contains(&register.link.node) {
        return Err(Refusal::NodeStopped);
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
    let connected = Connected {
        link: register.link,
        public_ip: register.public_ip.clone(),
        boot_id: register.boot_id.clone(),
    };
    Ok(vec![
        crate::Event::JumpClient(id, Event::Registered(registered)),
        crate::Event::JumpClient(id, Event::Connected(connected)),
    ])
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
    match passed
        .into_iter()
        .find(|(_, passed, allowed)| *passed && !allowed)
    {
        Some((field, _, _)) => Err(Refusal::OverrideNotAllowed { field }),
        None => Ok(()),
    }
}

fn decide_connect(world: &World, id: JumpClientId, connected: Connected) -> Decision {
    let client = world.jump_clients.get(&id).ok_or(Refusal::JumpClientGone)?;
    if !world.nodes.contains(&connected.link.node) {
        return Err(Refusal::NodeStopped);
    }
    if client.quarantined {
        return Err(Refusal::JumpClientIdentityFailed);
    }
    if client.presence == Presence::Connected(connected.link) {
        return nothing();
    }
    happened(crate::Event::JumpClient(id, Event::Connected(connected)))
}

fn decide_check_in(world: &World, id: JumpClientId, facts: &Facts) -> Decision {
    let client = world.jump_clients.get(&id).ok_or(Refusal::JumpClientGone)?;
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
    match world.jump_clients.get(&id) {
        Some(client) if client.presence == Presence::Connected(link) => {
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

fn decide_offer_token(world: &World, id: JumpClientId, token: &KeyedHash) -> Decision {
    world.jump_clients.get(&id).ok_or(Refusal::JumpClientGone)?;
    happened(crate::Event::JumpClient(
        id,
        Event::TokenOffered(Token {
            token: token.clone(),
        }),
    ))
}

fn decide_confirm_token(world: &World, id: JumpClientId, token: &KeyedHash) -> Decision {
    let client = world.jump_clients.get(&id).ok_or(Refusal::JumpClientGone)?;
    if client.token == *token && client.attempt.is_none() && client.offered_token.is_none() {
        return nothing();
    }
    if client.token != *token && client.offered_token.as_ref() != Some(token) {
        return Err(Refusal::JumpClientIdentityFailed);
    }
    happened(crate::Event::JumpClient(
        id,
        Event::TokenConfirmed(Token {
            token: token.clone(),
        }),
    ))
}

fn decide_quarantine(world: &World, id: JumpClientId, evidence: &str) -> Decision {
    match world.jump_clients.get(&id) {
        Some(client) if !client.quarantined => happened(crate::Event::JumpClient(
            id,
            Event::Quarantined(Quarantined {
                evidence: evidence.to_owned(),
            }),
        )),
        _ => nothing(),
    }
}

fn decide_record(
    world: &World,
    id: JumpClientId,
    command: record::Command<Properties>,
    context: &Context,
) -> Decision {
    if let Actor::User(user) = context.actor() {
        let permission = match &command {
            record::Command::Delete(_) => JumpItemPermission::Remove,
            _ => JumpItemPermission::EditBehavior,
        };
        crate::access::permission::need(world, *user, JumpItemRef::JumpClient(id), permission)?;
    }
    let Some((id, event)) = record::decide(world, &command, context)? else {
        return nothing();
    };
    happened(crate::Event::JumpClient(id, Event::Record(event)))
}

/// Whether a session can start on `client` now: there, not quarantined, installed, not disabled, online.
///
/// # Errors
/// The appendix' message for what stands against it (ERR-14, ERR-15, ERR-18, ERR-19).
pub fn startable(world: &World, id: JumpClientId) -> Result<&JumpClient, Refusal> {
    let client = world.jump_clients.get(&id).ok_or(Refusal::JumpClientGone)?;
    if client.quarantined {
        return Err(Refusal::JumpClientIdentityFailed);
    }
    if client.connection_type == "uninstalled" {
        return Err(Refusal::JumpClientUninstalled);
    }
    if !world.is_online(client) {
        return Err(Refusal::JumpClientOffline);
    }
    if client.facts.disabled {
        return Err(Refusal::JumpClientDisabled);
    }
    Ok(client)
}
