//! Shell Jump items: shortcuts to an SSH or Telnet server through a Jumpoint (ITEM-33 to ITEM-39).
//!
//! States: absent → there → changed, moved → gone. A copy is an item of its own from its first event on.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::access::permission;
use crate::access::role::JumpItemPermission;
use crate::ids::{
    JumpGroupId, JumpGroupRef, JumpItemRef, JumpPolicyId, JumpointId, ShellJumpId, UserId,
};
use crate::items::{custom_field, rights, tag};
use crate::record::{self, Field, Kind, Object, Purpose, Reading, Record, Reference};
use crate::{Context, Decision, Refusal, Timestamp, World, happened, nothing};

#[cfg(test)]
mod tests;

/// What may be asked of Shell Jump items.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Make, change or remove one.
    Record(record::Command<ShellJump>),
    /// Make a second one with the same properties, with the name and in the group of the body.
    Copy(ShellJumpId, Object),
}

/// What happens to a Shell Jump item. Expected rate: a few a day, thousands in an import.
pub type Event = record::Event<ShellJump>;

/// A Shell Jump item's properties. Member names are those of the published schema (config-api.md 2.7).
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
pub struct ShellJump {
    pub name: String,
    pub jumpoint_id: JumpointId,
    pub hostname: String,
    pub protocol: String,
    pub port: u32,
    pub jump_group_id: u32,
    pub jump_group_type: String,
    pub terminal: String,
    pub keep_alive: u32,
    pub tag: String,
    pub comments: String,
    pub jump_policy_id: Option<JumpPolicyId>,
    pub username: String,
    pub session_policy_id: Option<u32>,
}

impl Default for ShellJump {
    fn default() -> Self {
        Self {
            name: String::new(),
            jumpoint_id: JumpointId(0),
            hostname: String::new(),
            protocol: String::new(),
            port: 22,
            jump_group_id: 0,
            jump_group_type: "shared".to_owned(),
            terminal: "xterm".to_owned(),
            keep_alive: 0,
            tag: String::new(),
            comments: String::new(),
            jump_policy_id: None,
            username: String::new(),
            session_policy_id: None,
        }
    }
}

impl ShellJump {
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

/// A Shell Jump item.
#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct ShellJumpItem {
    /// What may be changed from outside.
    pub properties: ShellJump,
    /// When a session last started (SESS-24).
    pub last_access_at: Option<Timestamp>,
}

impl Record for ShellJump {
    type Id = ShellJumpId;
    const CATEGORY: &'static str = "shell_jump";
    const TITLE: &'static str = "Shell Jump Item";
    const STORED_NAMES: [&'static str; 3] =
        ["ShellJumpCreated", "ShellJumpChanged", "ShellJumpDeleted"];
    const FIELDS: &'static [Field] = &[
        Field::new(
            "name",
            Kind::Name { min: 1, max: 128 },
            "What the console calls it.",
        )
        .required()
        .filter(),
        Field::new("jumpoint_id", Kind::Id, "The Jumpoint it goes through.")
            .required()
            .filter()
            .names(Reference::Jumpoint),
        Field::new(
            "hostname",
            Kind::Name { min: 1, max: 128 },
            "The server's host name or address.",
        )
        .required()
        .filter(),
        Field::new(
            "protocol",
            Kind::Word(&["ssh", "telnet"]),
            "What the server speaks.",
        )
        .required(),
        Field::new(
            "port",
            Kind::Integer {
                min: 1,
                max: 65_535,
            },
            "The server's port; 22 for ssh and 23 for telnet where absent.",
        ),
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
        Field::new(
            "terminal",
            Kind::Word(&["xterm", "VT100"]),
            "The kind of terminal.",
        ),
        Field::new(
            "keep_alive",
            Kind::Integer { min: 0, max: 300 },
            "Seconds between packets that keep the session alive; 0 sends none.",
        ),
        tag::field(
            "Its tag in the group. At most 64 characters in a body of the Configuration API, and 1,024 otherwise.",
        ),
        Field::new("comments", Kind::Text { min: 0, max: 1024 }, "Free text."),
        Field::new("jump_policy_id", Kind::Id, "Its Jump Policy.")
            .nullable()
            .names(Reference::JumpPolicy),
        Field::new(
            "username",
            Kind::Name { min: 0, max: 128 },
            "The user name at the server, where no credential gives one.",
        ),
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
    ];

    fn find(world: &World, id: ShellJumpId) -> Option<&Self> {
        world.shell_jumps.get(&id).map(|item| &item.properties)
    }

    fn put(world: &mut World, id: ShellJumpId, record: Self, _at: Timestamp) {
        world.put_shell_jump(id, record);
    }

    fn remove(world: &mut World, id: ShellJumpId) {
        world.forget_shell_jump(id);
    }

    fn check(&self, _world: &World, _id: Option<ShellJumpId>) -> Result<(), Refusal> {
        Ok(())
    }
}

/// Decides what becomes of `command`, given all that is known.
///
/// # Errors
/// Why not.
pub fn decide(world: &World, command: &Command, context: &Context) -> Decision {
    match command {
        Command::Record(record::Command::Create(body)) => decide_create(world, body, context),
        Command::Record(record::Command::Delete(id)) => decide_delete(world, *id, context),
        Command::Record(
            record::Command::Change(id, body) | record::Command::ChangePermissions(id, body),
        ) => decide_change(world, *id, body, context),
        Command::Copy(id, body) => decide_copy(world, *id, body, context),
    }
}

fn decide_create(world: &World, body: &Object, context: &Context) -> Decision {
    let mut body = words_as_stored(body);
    if body
        .get("protocol")
        .is_some_and(|protocol| protocol == "telnet")
    {
        body.entry("port").or_insert_with(|| Value::from(23));
    }
    let command = record::Command::Create(body);
    let Some((id, event)) = record::decide::<ShellJump>(world, &command, context)? else {
        return nothing();
    };
    if let (Some(user), record::Event::Created(made)) = (context.role_holder(), &event) {
        rights::may_create(world, user, made.group())?;
        may_go_through(world, user, made.jumpoint_id)?;
    }
    happened(crate::Event::ShellJump(id, event))
}

fn decide_change(world: &World, id: ShellJumpId, body: &Object, context: &Context) -> Decision {
    let item = JumpItemRef::ShellJump(id);
    rights::seen(world, item, context)?;
    let command = record::Command::Change(id, words_as_stored(body));
    let Some((id, event)) = record::decide::<ShellJump>(world, &command, context)? else {
        return nothing();
    };
    if let (Some(user), record::Event::Changed(changes)) = (context.role_holder(), &event) {
        let mut after = world.clone();
        record::apply(&mut after, id, &event, context.now);
        let target = after
            .group_of(item)
            .ok_or_else(|| Refusal::item_gone(item))?;
        rights::may_change(
            world,
            user,
            item,
            changes.keys().map(String::as_str),
            target,
        )?;
        if let Some(through) = changes.get("jumpoint_id")
            && let Some(number) = through.new.as_u64().and_then(|id| u32::try_from(id).ok())
        {
            may_go_through(world, user, JumpointId(number))?;
        }
    }
    happened(crate::Event::ShellJump(id, event))
}

fn decide_delete(world: &World, id: ShellJumpId, context: &Context) -> Decision {
    let item = JumpItemRef::ShellJump(id);
    rights::seen(world, item, context)?;
    if let Some(user) = context.role_holder() {
        permission::need(world, user, item, JumpItemPermission::Remove)?;
    }
    let Some((id, event)) =
        record::decide::<ShellJump>(world, &record::Command::Delete(id), context)?
    else {
        return nothing();
    };
    happened(crate::Event::ShellJump(id, event))
}

fn decide_copy(world: &World, id: ShellJumpId, body: &Object, context: &Context) -> Decision {
    let item = JumpItemRef::ShellJump(id);
    rights::seen(world, item, context)?;
    let original = ShellJump::find(world, id).ok_or_else(|| Refusal::item_gone(item))?;
    let reading = Reading::of(Purpose::Create, context);
    let asked = record::read_body(rights::COPY_FIELDS, &[], body, reading)?;
    let (copy, event) = record::decide_copy(world, original, &asked, context)?;
    if let (Some(user), record::Event::Created(made)) = (context.role_holder(), &event) {
        rights::may_copy(world, user, item, made.group())?;
        may_go_through(world, user, made.jumpoint_id)?;
    }
    let values = custom_field::copied(world, item, JumpItemRef::ShellJump(copy));
    let made = crate::Event::ShellJump(copy, event);
    Ok([made].into_iter().chain(values).collect())
}

/// A user makes items only through Jumpoints they may use (ROLE-17, JPT-27).
fn may_go_through(world: &World, user: UserId, jumpoint: JumpointId) -> Result<(), Refusal> {
    if permission::may_use_jumpoint(world, user, jumpoint) {
        return Ok(());
    }
    let name = world.jumpoints.get(&jumpoint);
    Err(Refusal::JumpointNotAllowed {
        jumpoint: name.map(|found| found.name.clone()).unwrap_or_default(),
    })
}

/// Terminal and protocol are compared without regard to case and stored as published (ITEM-37).
fn words_as_stored(body: &Object) -> Object {
    let mut body = body.clone();
    for name in ["terminal", "protocol"] {
        let kind = ShellJump::FIELDS.iter().find(|field| field.name == name);
        if let Some(Kind::Word(words)) = kind.map(|field| field.kind)
            && let Some(Value::String(given)) = body.get_mut(name)
            && let Some(word) = words.iter().find(|word| word.eq_ignore_ascii_case(given))
        {
            (*word).clone_into(given);
        }
    }
    body
}

/// Why no session starts on the item now. There is always a reason: a Jumpoint has no nodes that could be online yet
/// (ERR-03, ITEM-49, JPT-06, JPT-07).
#[must_use]
pub fn not_startable(world: &World, id: ShellJumpId) -> Refusal {
    let Some(item) = world.shell_jumps.get(&id) else {
        return Refusal::item_gone(JumpItemRef::ShellJump(id));
    };
    match world.jumpoints.get(&item.properties.jumpoint_id) {
        Some(jumpoint) if !jumpoint.enabled => Refusal::JumpointDisabled,
        Some(jumpoint) if !jumpoint.shell_jump_enabled => Refusal::JumpointLacksMethod {
            method: "Shell Jump",
        },
        _ => Refusal::JumpointOffline,
    }
}
