//! What of a Jump Client may be changed from outside, and which permission of a role each change needs. A plain record.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::access::permission;
use crate::fleet::capacity;
use crate::ids::{JumpClientId, JumpGroupId, JumpGroupRef, JumpItemRef, JumpPolicyId, UserId};
use crate::items::{rights, tag};
use crate::record::{self, Change, Field, Kind, Record, Reference, Write};
use crate::{Context, Refusal, Timestamp, World};

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

    /// As they will be after a change of the group.
    fn with(&self, changes: &BTreeMap<String, Change>) -> Self {
        let id = changes.get("jump_group_id").and_then(|id| id.new.as_u64());
        let kind = changes
            .get("jump_group_type")
            .and_then(|kind| kind.new.as_str());
        Self {
            jump_group_id: id
                .and_then(|id| u32::try_from(id).ok())
                .unwrap_or(self.jump_group_id),
            jump_group_type: kind.unwrap_or(&self.jump_group_type).to_owned(),
            ..self.clone()
        }
    }
}

const fn shown(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field::new(name, kind, about).write(Write::Never)
}

const ANY_TEXT: Kind = Kind::Text { min: 0, max: 4096 };

impl Record for Properties {
    type Id = JumpClientId;
    const CATEGORY: &'static str = "jump_client";
    const TITLE: &'static str = "Jump Client";
    const STORED_NAMES: [&'static str; 3] = [
        // A client is never made by a body: what makes it is this event of its own.
        "JumpClientRegistered",
        "JumpClientChanged",
        "JumpClientDeleted",
    ];
    const FIELDS: &'static [Field] = &[
        Field::new(
            "name",
            Kind::Name { min: 1, max: 128 },
            "What the console calls it.",
        )
        .filter(),
        Field::new("jump_group_id", Kind::Id, "The group it is in.")
            .required()
            .filter()
            .names(Reference::JumpGroup),
        Field::new(
            "jump_group_type",
            Kind::Word(&["shared", "personal"]),
            "Which kind of group.",
        )
        .filter(),
        tag::field(
            "Its tag in the group. At most 64 characters in a body of the Configuration API, and 1,024 otherwise.",
        ),
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
        .nullable()
        .names(Reference::SessionPolicy),
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
        .omitted(),
        shown(
            "last_disconnect_timestamp",
            Kind::Moment,
            "When it last disconnected.",
        )
        .omitted(),
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
        shown("console_user", ANY_TEXT, "Who is signed in at the machine."),
        shown(
            "expiration_timestamp",
            Kind::Moment,
            "When it will be deleted if it stays offline.",
        )
        .omitted(),
        shown(
            "last_access_timestamp",
            Kind::Moment,
            "When a session last started.",
        )
        .omitted(),
    ];

    fn find(world: &World, id: JumpClientId) -> Option<&Self> {
        world.jump_clients.get(&id).map(|client| &client.properties)
    }

    fn put(world: &mut World, id: JumpClientId, record: Self, _at: Timestamp) {
        super::life::put_properties(world, id, record);
    }

    fn remove(world: &mut World, id: JumpClientId) {
        world.forget_jump_client(id);
    }

    fn check(&self, _world: &World, _id: Option<JumpClientId>) -> Result<(), Refusal> {
        Ok(())
    }
}

/// Its connection type was changed, for all items of the endpoint: they share its agent (CLNT-48). Expected rate: a few a month.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConnectionTypeSet {
    /// What it was: `active` or `passive`.
    pub from: String,
    /// What it is from now on: `active` or `passive`.
    pub to: String,
}

const CONNECTION_TYPE: Field = Field::new(
    "connection_type",
    Kind::Word(&["active", "passive"]),
    "How it connects.",
);

/// Takes the connection type out of the body of a change, and decides what becomes of it: nothing where it is that already.
///
/// # Errors
/// The field where it is none, or a cloud site may not have it (CLNT-61); that the user's role lacks what it needs (ROLE-25); or
/// that there is no room (LIM-05).
pub(super) fn decide_connection_type(
    world: &World,
    id: JumpClientId,
    body: &mut record::Object,
    context: &Context,
) -> Result<Option<crate::Event>, Refusal> {
    let Some(asked) = body.remove(CONNECTION_TYPE.name) else {
        return Ok(None);
    };
    let asked = record::read_value(&CONNECTION_TYPE, &asked)
        .map_err(|message| Refusal::field(CONNECTION_TYPE.name, message))?;
    let to = asked.as_str().unwrap_or_default();
    let client = world.jump_clients.get(&id).ok_or(Refusal::JumpClientGone)?;
    if client.connection_type == to {
        return Ok(None);
    }
    if let Some(user) = context.role_holder() {
        let needed = rights::permission_for(CONNECTION_TYPE.name);
        permission::need(world, user, JumpItemRef::JumpClient(id), needed)?;
    }
    capacity::connection_type_allowed(&world.settings, to)?;
    capacity::room_to_become(world, client, to)?;
    let set = ConnectionTypeSet {
        from: client.connection_type.clone(),
        to: to.to_owned(),
    };
    let event = super::Event::ConnectionTypeSet(set);
    Ok(Some(crate::Event::JumpClient(client.endpoint, event)))
}

/// Asks for what `changes` need: in the group the client is in and, for a move, in the one it goes to (ROLE-18).
///
/// # Errors
/// [`Refusal::RoleLacks`], or the field of a group that is out of the user's sight.
pub(super) fn may_change(
    world: &World,
    user: UserId,
    id: JumpClientId,
    changes: &BTreeMap<String, Change>,
) -> Result<(), Refusal> {
    let item = JumpItemRef::JumpClient(id);
    let current = Properties::find(world, id).ok_or(Refusal::JumpClientGone)?;
    let target = current.with(changes).group();
    let fields = changes.keys().map(String::as_str);
    rights::may_change(world, user, item, fields, target)
}
