//! Shared Jump Groups (a plain record, GRP-01) and their direct members with role and Jump Policy (GRP-06, GRP-07).
//!
//! A personal group is there because its user is, and has no events. Deleting a group deletes its items with it (GRP-31):
//! one event states it, and their rows leave the world with the group.

use serde::{Deserialize, Serialize};

use crate::ids::{JumpGroupId, JumpItemRoleId, JumpPolicyId, UserId};
use crate::record::{self, Field, Kind, Record};
use crate::world::names;
use crate::{Context, Decision, FieldErrors, Refusal, Timestamp, World, happened, nothing};

#[cfg(test)]
mod tests;

/// A shared Jump Group.
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
pub struct JumpGroup {
    /// What it is called; unique without regard to case.
    pub name: String,
    /// The name for scripts and command lines; unique, generated where absent (GRP-02).
    pub code_name: String,
    /// Free text.
    pub comments: Option<String>,
    /// Kept and returned; Endpoint Credential Manager groups themselves come later.
    pub ecm_group_id: Option<u32>,
}

impl JumpGroup {
    /// Whether the name or the comments contain `term`, without regard to case (GRP-03).
    #[must_use]
    pub fn contains(&self, term: &str) -> bool {
        let term = term.to_lowercase();
        let comments = self.comments.as_deref().unwrap_or_default();
        [self.name.as_str(), comments]
            .iter()
            .any(|text| text.to_lowercase().contains(&term))
    }
}

impl Record for JumpGroup {
    type Id = JumpGroupId;
    const CATEGORY: &'static str = "jump_group";
    const TITLE: &'static str = "Jump Group";
    const STORED_NAMES: [&'static str; 3] =
        ["JumpGroupCreated", "JumpGroupChanged", "JumpGroupDeleted"];
    const FIELDS: &'static [Field] = &[
        Field::new(
            "name",
            Kind::Name { min: 1, max: 255 },
            "What the group is called; unique.",
        )
        .required()
        .filter(),
        Field::new(
            "code_name",
            Kind::CodeName,
            "The name for scripts; unique, generated where absent.",
        )
        .filter(),
        Field::new("comments", Kind::Text { min: 0, max: 4096 }, "Free text.").nullable(),
        Field::new(
            "ecm_group_id",
            Kind::Id,
            "The Endpoint Credential Manager group.",
        )
        .omitted(),
    ];

    fn find(world: &World, id: JumpGroupId) -> Option<&Self> {
        world.jump_groups.get(&id)
    }

    fn put(world: &mut World, id: JumpGroupId, record: Self, _at: Timestamp) {
        world.put_group(id, record);
    }

    fn remove(world: &mut World, id: JumpGroupId) {
        world.forget_group(id);
    }

    fn complete(&mut self, world: &World, id: Option<JumpGroupId>, _context: &Context) {
        if self.code_name.is_empty() {
            self.code_name = record::generate_code_name(&self.name, "jump_group", |name| {
                world
                    .names
                    .is_taken(names::Kind::GroupCode, name, id.map(|id| id.0))
            });
        }
    }

    fn check(&self, world: &World, id: Option<JumpGroupId>) -> Result<(), Refusal> {
        let mut errors = FieldErrors::default();
        let id = id.map(|id| id.0);
        if world.names.is_taken(names::Kind::Group, &self.name, id) {
            errors.push("name", "The name has already been taken.");
        }
        if world
            .names
            .is_taken(names::Kind::GroupCode, &self.code_name, id)
        {
            errors.push("code_name", "The code_name has already been taken.");
        }
        errors.into_result(())
    }
}

/// How one user belongs to one group directly (GRP-06, GRP-07).
#[derive(
    Clone,
    Copy,
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
pub struct Membership {
    /// The role in this group; none is the user's Default slot (ROLE-10).
    pub jump_item_role_id: Option<JumpItemRoleId>,
    /// The Jump Policy in this group; none is "Set on Jump Items" (GRP-07).
    pub jump_policy_id: Option<JumpPolicyId>,
}

/// What a change of a direct membership gives anew. What is none stays as it is when the change is decided, so that two changes
/// of one membership at once both count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MembershipChange {
    /// The role; inner none is the user's Default slot.
    pub jump_item_role_id: Option<Option<JumpItemRoleId>>,
    /// The Jump Policy; inner none is "Set on Jump Items".
    pub jump_policy_id: Option<Option<JumpPolicyId>>,
}

impl Membership {
    fn with(self, change: MembershipChange) -> Self {
        Self {
            jump_item_role_id: change.jump_item_role_id.unwrap_or(self.jump_item_role_id),
            jump_policy_id: change.jump_policy_id.unwrap_or(self.jump_policy_id),
        }
    }
}

impl From<Membership> for MembershipChange {
    /// Both at once.
    fn from(membership: Membership) -> Self {
        Self {
            jump_item_role_id: Some(membership.jump_item_role_id),
            jump_policy_id: Some(membership.jump_policy_id),
        }
    }
}

/// What may be asked of a Jump Group.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Make, change or delete the group itself.
    Record(record::Command<JumpGroup>),
    /// Make a user a direct member.
    AddMember(JumpGroupId, UserId, Membership),
    /// Change a direct member's role, policy or both.
    ChangeMember(JumpGroupId, UserId, MembershipChange),
    /// End a direct membership; inherited access comes back (GRP-12).
    RemoveMember(JumpGroupId, UserId),
}

/// A user became a direct member, or a direct member's role or policy changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The member.
    pub user_id: UserId,
    /// Role and policy since.
    #[serde(flatten)]
    pub membership: Membership,
}

/// A direct membership ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRemoved {
    /// Who was a member.
    pub user_id: UserId,
}

/// What happens to a Jump Group. Expected rate: a few a day, thousands in an import.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Event {
    /// The group itself.
    Record(record::Event<JumpGroup>),
    /// A user became a direct member.
    MemberAdded(Member),
    /// A direct member's role or policy changed.
    MemberChanged(Member),
    /// A direct membership ended.
    MemberRemoved(MemberRemoved),
}

impl Event {
    /// The names it may be stored under.
    pub const STORED_NAMES: &'static [&'static str] = &[
        "JumpGroupCreated",
        "JumpGroupChanged",
        "JumpGroupDeleted",
        "JumpGroupMemberAdded",
        "JumpGroupMemberChanged",
        "JumpGroupMemberRemoved",
    ];

    /// The name it is stored under.
    #[must_use]
    pub fn stored_name(&self) -> &'static str {
        match self {
            Self::Record(event) => event.stored_name(),
            Self::MemberAdded(_) => "JumpGroupMemberAdded",
            Self::MemberChanged(_) => "JumpGroupMemberChanged",
            Self::MemberRemoved(_) => "JumpGroupMemberRemoved",
        }
    }

    /// Reads an event back; `None` if the name is not one of a Jump Group's.
    ///
    /// # Errors
    /// When the stored text is not of the event's form.
    pub fn from_stored(name: &str, text: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        match name {
            "JumpGroupMemberAdded" => {
                serde_json::from_slice(text).map(|event| Some(Self::MemberAdded(event)))
            }
            "JumpGroupMemberChanged" => {
                serde_json::from_slice(text).map(|event| Some(Self::MemberChanged(event)))
            }
            "JumpGroupMemberRemoved" => {
                serde_json::from_slice(text).map(|event| Some(Self::MemberRemoved(event)))
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
        Command::Record(command) => Ok(record::decide(world, command, context)?
            .map(|(group, event)| crate::Event::JumpGroup(group, Event::Record(event)))
            .into_iter()
            .collect()),
        Command::AddMember(group, user, membership) => {
            decide_add(world, *group, *user, *membership)
        }
        Command::ChangeMember(group, user, change) => decide_change(world, *group, *user, *change),
        Command::RemoveMember(group, user) => decide_remove(world, *group, *user),
    }
}

/// Folds one event into the world.
pub fn apply(world: &mut World, group: JumpGroupId, event: &Event, at: Timestamp) {
    match event {
        Event::Record(event) => record::apply(world, group, event, at),
        Event::MemberAdded(member) | Event::MemberChanged(member) => {
            world.put_member(group, member.user_id, member.membership);
        }
        Event::MemberRemoved(gone) => world.forget_member(group, gone.user_id),
    }
}

fn decide_add(world: &World, group: JumpGroupId, user: UserId, membership: Membership) -> Decision {
    check_membership(world, group, user, membership)?;
    match world.membership(group, user) {
        Some(present) if *present == membership => nothing(),
        Some(_) => Err(Refusal::field(
            "user_id",
            "The user is a member of this Jump Group already.",
        )),
        None => happened(crate::Event::JumpGroup(
            group,
            Event::MemberAdded(Member {
                user_id: user,
                membership,
            }),
        )),
    }
}

fn decide_change(
    world: &World,
    group: JumpGroupId,
    user: UserId,
    change: MembershipChange,
) -> Decision {
    let present = world
        .membership(group, user)
        .ok_or(Refusal::not_found("Jump Group user"))?;
    let membership = present.with(change);
    check_membership(world, group, user, membership)?;
    if *present == membership {
        return nothing();
    }
    happened(crate::Event::JumpGroup(
        group,
        Event::MemberChanged(Member {
            user_id: user,
            membership,
        }),
    ))
}

fn decide_remove(world: &World, group: JumpGroupId, user: UserId) -> Decision {
    if world.membership(group, user).is_none() {
        return Err(Refusal::not_found("Jump Group user"));
    }
    happened(crate::Event::JumpGroup(
        group,
        Event::MemberRemoved(MemberRemoved { user_id: user }),
    ))
}

fn check_membership(
    world: &World,
    group: JumpGroupId,
    user: UserId,
    membership: Membership,
) -> Result<(), Refusal> {
    if !world.jump_groups.contains(&group) {
        return Err(Refusal::not_found(JumpGroup::TITLE));
    }
    let mut errors = FieldErrors::default();
    if !world.users.contains(&user) {
        errors.push("user_id", "The selected user_id is invalid.");
    }
    if membership
        .jump_item_role_id
        .is_some_and(|role| !world.jump_item_roles.contains(&role))
    {
        errors.push(
            "jump_item_role_id",
            "The selected jump_item_role_id is invalid.",
        );
    }
    if membership
        .jump_policy_id
        .is_some_and(|policy| !world.jump_policies.contains(&policy))
    {
        errors.push("jump_policy_id", "The selected jump_policy_id is invalid.");
    }
    errors.into_result(())
}
