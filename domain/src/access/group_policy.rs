//! Group policies: settings for many users at once, and what they are put into by them (GPOL-01 to GPOL-23).
//!
//! A plain record with one block of settings, which is not defined, defined or final (GPOL-03); beside it the policy's
//! members, and its rows: the Jump Groups, teams and Jumpoints that its members are put into or taken out of. Policies have an
//! order and are applied from the top of the list to the bottom (GPOL-02); what follows from that for one user is in
//! [`permission`](crate::access::permission).
//!
//! States of a row: none ⇄ puts in ⇄ takes out.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::access::jump_group::{JumpGroup, Membership};
use crate::access::role;
use crate::ids::{
    GroupPolicyId, GroupPolicyMemberId, JumpGroupId, JumpItemRoleId, JumpointId, TeamId, UserId,
};
use crate::record::{self, Field, Kind, Object, Record, Reference};
use crate::site::team::{Team, TeamRole};
use crate::site::user::User;
use crate::{
    Context, Decision, EVENTS_MAX, FieldErrors, Refusal, Timestamp, World, happened, nothing,
};

#[cfg(test)]
mod tests;

/// The only stream of the order of all policies.
pub const ORDER_STREAM: &str = "group_policy_order";
/// The counter of members.
const MEMBER_COUNTER: &str = "group_policy_member";
/// How long a user may be idle before removal, in seconds; -1 is the site's setting, 0 never (config-api.md 2.7, GroupPolicy).
pub const IDLE_TIMEOUTS: [i32; 12] = [
    -1, 0, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200, 86_400,
];

/// A group policy. Member names are those of the published schema (config-api.md 2.7).
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
pub struct GroupPolicy {
    pub name: String,
    pub perm_access_allowed: bool,
    pub access_perm_status: String,
    pub perm_share_other_team: bool,
    pub perm_invite_external_user: bool,
    pub perm_session_idle_timeout: i32,
    pub perm_extended_availability_mode_allowed: bool,
    pub perm_edit_external_key: bool,
    pub perm_collaborate: bool,
    pub perm_collaborate_control: bool,
    pub perm_jump_client: bool,
    pub perm_local_jump: bool,
    pub perm_remote_jump: bool,
    pub perm_remote_vnc: bool,
    pub perm_remote_rdp: bool,
    pub perm_shell_jump: bool,
    pub perm_web_jump: bool,
    pub perm_protocol_tunnel: bool,
    pub perm_sd_static_port_for_external_tools: bool,
    pub default_jump_item_role_id: JumpItemRoleId,
    pub private_jump_item_role_id: JumpItemRoleId,
    pub inferior_jump_item_role_id: JumpItemRoleId,
    pub unassigned_jump_item_role_id: JumpItemRoleId,
}

impl Default for GroupPolicy {
    fn default() -> Self {
        Self {
            name: String::new(),
            perm_access_allowed: false,
            access_perm_status: NOT_DEFINED.to_owned(),
            perm_share_other_team: false,
            perm_invite_external_user: false,
            perm_session_idle_timeout: -1,
            perm_extended_availability_mode_allowed: false,
            perm_edit_external_key: false,
            perm_collaborate: false,
            perm_collaborate_control: false,
            perm_jump_client: false,
            perm_local_jump: false,
            perm_remote_jump: false,
            perm_remote_vnc: false,
            perm_remote_rdp: false,
            perm_shell_jump: false,
            perm_web_jump: false,
            perm_protocol_tunnel: false,
            perm_sd_static_port_for_external_tools: false,
            default_jump_item_role_id: role::NO_ACCESS,
            private_jump_item_role_id: role::NO_ACCESS,
            inferior_jump_item_role_id: role::NO_ACCESS,
            unassigned_jump_item_role_id: role::NO_ACCESS,
        }
    }
}

const NOT_DEFINED: &str = "not_defined";
const DEFINED: &str = "defined";
const FINAL: &str = "final";
/// Every member but these two belongs to the block of access permissions.
const OUTSIDE_THE_BLOCK: [&str; 2] = ["name", STATUS];
const STATUS: &str = "access_perm_status";

/// What the status of a block means for members (GPOL-03).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockStatus {
    /// Changes nothing.
    NotDefined,
    /// Sets the block; policies below may set it again.
    Defined,
    /// Sets the block for good.
    Final,
}

impl GroupPolicy {
    /// What the policy does to its members' access permissions (GPOL-03).
    #[must_use]
    pub fn status(&self) -> BlockStatus {
        match self.access_perm_status.as_str() {
            FINAL => BlockStatus::Final,
            DEFINED => BlockStatus::Defined,
            _ => BlockStatus::NotDefined,
        }
    }
}

const fn permission(name: &'static str, about: &'static str) -> Field {
    Field::new(name, Kind::Boolean, about)
}

const fn slot(name: &'static str, about: &'static str) -> Field {
    Field::new(name, Kind::Id, about).names(Reference::JumpItemRole)
}

impl Record for GroupPolicy {
    type Id = GroupPolicyId;
    const CATEGORY: &'static str = "group_policy";
    const TITLE: &'static str = "Group Policy";
    const STORED_NAMES: [&'static str; 3] = [
        "GroupPolicyCreated",
        "GroupPolicyChanged",
        "GroupPolicyDeleted",
    ];
    const FIELDS: &'static [Field] = &[
        Field::new(
            "name",
            Kind::Name { min: 1, max: 255 },
            "What the policy is called.",
        )
        .required()
        .filter(),
        permission("perm_access_allowed", "Members may access endpoints."),
        Field::new(
            STATUS,
            Kind::Word(&[NOT_DEFINED, DEFINED, FINAL]),
            "What the permissions do: nothing, set those of members, or set them so that policies further down can't.",
        ),
        permission(
            "perm_share_other_team",
            "Members may share sessions with teams they do not belong to.",
        ),
        permission(
            "perm_invite_external_user",
            "Members may invite external users.",
        ),
        Field::new(
            "perm_session_idle_timeout",
            Kind::Integer {
                min: -1,
                max: 86_400,
            },
            "Seconds of inactivity before removal from a session; -1 is the site's setting, 0 never.",
        ),
        permission(
            "perm_extended_availability_mode_allowed",
            "Members may enable extended availability mode.",
        ),
        permission(
            "perm_edit_external_key",
            "Members may edit the external key.",
        ),
        permission(
            "perm_collaborate",
            "Members may show their screen to other users.",
        ),
        permission(
            "perm_collaborate_control",
            "Members may give control when showing their screen.",
        ),
        permission("perm_jump_client", "Jump method: Jump Clients."),
        permission("perm_local_jump", "Jump method: Local Jump (Windows only)."),
        permission("perm_remote_jump", "Jump method: Remote Jump."),
        permission("perm_remote_vnc", "Jump method: Remote VNC."),
        permission("perm_remote_rdp", "Jump method: Remote RDP."),
        permission("perm_shell_jump", "Jump method: Shell Jump."),
        permission("perm_web_jump", "Jump method: Web Jump."),
        permission("perm_protocol_tunnel", "Jump method: Protocol Tunnel Jump."),
        permission(
            "perm_sd_static_port_for_external_tools",
            "Members may use a fixed port for external tools.",
        ),
        slot(
            "default_jump_item_role_id",
            "The Default role slot of members.",
        ),
        slot(
            "private_jump_item_role_id",
            "The Personal role slot of members.",
        ),
        slot(
            "inferior_jump_item_role_id",
            "The Team role slot of members.",
        ),
        slot(
            "unassigned_jump_item_role_id",
            "The System role slot of members.",
        ),
    ];

    fn find(world: &World, id: GroupPolicyId) -> Option<&Self> {
        world.group_policies.get(&id)
    }

    fn put(world: &mut World, id: GroupPolicyId, record: Self, _at: Timestamp) {
        world.put_group_policy(id, record);
    }

    fn remove(world: &mut World, id: GroupPolicyId) {
        world.forget_group_policy(id);
    }

    fn check(&self, _world: &World, _id: Option<GroupPolicyId>) -> Result<(), Refusal> {
        let mut errors = FieldErrors::default();
        if !IDLE_TIMEOUTS.contains(&self.perm_session_idle_timeout) {
            let allowed = IDLE_TIMEOUTS.map(|seconds| seconds.to_string()).join(", ");
            errors.push(
                "perm_session_idle_timeout",
                format!("The perm_session_idle_timeout field must be one of: {allowed}."),
            );
        }
        errors.into_result(())
    }
}

/// What a row is about.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
#[serde(tag = "type", content = "id", rename_all = "snake_case")]
pub enum Of {
    /// A shared Jump Group.
    JumpGroup(JumpGroupId),
    /// A team.
    Team(TeamId),
    /// A Jumpoint.
    Jumpoint(JumpointId),
}

/// What a row does for the policy's members.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Row {
    /// They are in the Jump Group, with this role and Jump Policy (GPOL-08).
    JumpGroup(Membership),
    /// They are in the team, as this.
    Team(TeamRole),
    /// They may use the Jumpoint (GPOL-12).
    Jumpoint,
    /// What policies further up put them into is taken away again; a direct membership stays (GPOL-11).
    Removal,
}

/// What may be asked of group policies.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Make, change or delete the policy itself. A new one is the last of the list.
    Record(record::Command<GroupPolicy>),
    /// Make a policy with another name and the settings and rows of this one, but without its members.
    Copy(GroupPolicyId, String),
    /// Set the order of all policies, the first being the top of the list (GPOL-01).
    SetOrder(Vec<GroupPolicyId>),
    /// Make a user a member.
    AddMember(GroupPolicyId, UserId),
    /// End a membership; what came only from it is gone (GPOL-10).
    RemoveMember(GroupPolicyId, GroupPolicyMemberId),
    /// Change which policies a user is a member of; those that name nothing new are left as they are.
    ChangePoliciesOf {
        /// Whose.
        user: UserId,
        /// To become a member of.
        added: BTreeSet<GroupPolicyId>,
        /// To leave.
        removed: BTreeSet<GroupPolicyId>,
    },
    /// Put members into a Jump Group, with this role and policy.
    AddJumpGroup(GroupPolicyId, JumpGroupId, Membership),
    /// Put members into a team.
    AddTeam(GroupPolicyId, TeamId, TeamRole),
    /// Let members use a Jumpoint.
    AddJumpoint(GroupPolicyId, JumpointId),
    /// Take away what policies further up gave.
    AddRemoval(GroupPolicyId, Of),
    /// Drop a row that puts members into something.
    DropRow(GroupPolicyId, Of),
    /// Drop a row that takes something away.
    DropRemoval(GroupPolicyId, Of),
    /// Make what is set take effect. It has already (GPOL-09).
    Provision(GroupPolicyId),
}

/// A user became a member, or is none any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The membership's own id.
    pub id: GroupPolicyMemberId,
    /// Who.
    pub user_id: UserId,
}

/// A row was set, new or instead of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowSet {
    /// What it is about.
    pub of: Of,
    /// What it does.
    pub row: Row,
}

/// A row was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowDropped {
    /// What it was about.
    pub of: Of,
}

/// The policies were put in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordered {
    /// All of them, the first being the top of the list.
    pub order: Vec<GroupPolicyId>,
}

/// What happens to a group policy. Expected rate: a few a day, thousands in an import.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Event {
    /// The policy itself.
    Record(record::Event<GroupPolicy>),
    /// A user became a member.
    MemberAdded(Member),
    /// A user is no member any more.
    MemberRemoved(Member),
    /// A row was set.
    RowSet(RowSet),
    /// A row was dropped.
    RowDropped(RowDropped),
}

impl Event {
    /// The names it may be stored under.
    pub const STORED_NAMES: &'static [&'static str] = &[
        "GroupPolicyCreated",
        "GroupPolicyChanged",
        "GroupPolicyDeleted",
        "GroupPolicyMemberAdded",
        "GroupPolicyMemberRemoved",
        "GroupPolicyRowSet",
        "GroupPolicyRowDropped",
    ];

    /// The name it is stored under.
    #[must_use]
    pub fn stored_name(&self) -> &'static str {
        match self {
            Self::Record(event) => event.stored_name(),
            Self::MemberAdded(_) => "GroupPolicyMemberAdded",
            Self::MemberRemoved(_) => "GroupPolicyMemberRemoved",
            Self::RowSet(_) => "GroupPolicyRowSet",
            Self::RowDropped(_) => "GroupPolicyRowDropped",
        }
    }

    /// Reads an event back; `None` if the name is not one of a group policy's.
    ///
    /// # Errors
    /// When the stored text is not of the event's form.
    pub fn from_stored(name: &str, text: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        match name {
            "GroupPolicyMemberAdded" => {
                serde_json::from_slice(text).map(|event| Some(Self::MemberAdded(event)))
            }
            "GroupPolicyMemberRemoved" => {
                serde_json::from_slice(text).map(|event| Some(Self::MemberRemoved(event)))
            }
            "GroupPolicyRowSet" => {
                serde_json::from_slice(text).map(|event| Some(Self::RowSet(event)))
            }
            "GroupPolicyRowDropped" => {
                serde_json::from_slice(text).map(|event| Some(Self::RowDropped(event)))
            }
            _ => Ok(record::Event::from_stored(name, text)?.map(Self::Record)),
        }
    }
}

impl Ordered {
    /// The name it is stored under.
    pub const STORED_NAME: &'static str = "GroupPoliciesOrdered";

    /// Reads the event back; `None` if the name is another.
    ///
    /// # Errors
    /// When the stored text is not of the event's form.
    pub fn from_stored(name: &str, text: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        match name {
            Self::STORED_NAME => serde_json::from_slice(text).map(Some),
            _ => Ok(None),
        }
    }
}

/// Decides what becomes of `command`, given all that is known.
///
/// # Errors
/// Why not.
pub fn decide(world: &World, command: &Command, context: &Context) -> Decision {
    match command {
        Command::Record(command) => decide_record(world, command, context),
        Command::Copy(policy, name) => decide_copy(world, *policy, name, context),
        Command::SetOrder(order) => decide_order(world, order),
        Command::AddMember(policy, user) => decide_add_member(world, *policy, *user),
        Command::RemoveMember(policy, member) => decide_remove_member(world, *policy, *member),
        Command::ChangePoliciesOf {
            user,
            added,
            removed,
        } => decide_change_policies(world, *user, added, removed),
        Command::AddJumpGroup(policy, group, membership) => {
            decide_add_jump_group(world, *policy, *group, *membership)
        }
        Command::AddTeam(policy, team, role) => {
            decide_row(world, *policy, Of::Team(*team), Row::Team(*role))
        }
        Command::AddJumpoint(policy, jumpoint) => {
            decide_row(world, *policy, Of::Jumpoint(*jumpoint), Row::Jumpoint)
        }
        Command::AddRemoval(policy, of) => decide_row(world, *policy, *of, Row::Removal),
        Command::DropRow(policy, of) => decide_drop(world, *policy, *of, false),
        Command::DropRemoval(policy, of) => decide_drop(world, *policy, *of, true),
        Command::Provision(policy) => is_there(world, *policy).map(|_| Vec::new()),
    }
}

/// Folds one event into the world.
pub fn apply(world: &mut World, policy: GroupPolicyId, event: &Event, at: Timestamp) {
    match event {
        Event::Record(event) => record::apply(world, policy, event, at),
        Event::MemberAdded(member) => {
            world.used_id(MEMBER_COUNTER, member.id.0);
            world.put_policy_member(policy, member.user_id, member.id);
        }
        Event::MemberRemoved(member) => world.forget_policy_member(policy, member.user_id),
        Event::RowSet(set) => world.put_policy_row(policy, set.of, set.row),
        Event::RowDropped(dropped) => world.forget_policy_row(policy, dropped.of),
    }
}

/// Folds a new order into the world.
pub fn apply_order(world: &mut World, ordered: &Ordered) {
    world.order_group_policies(&ordered.order);
}

fn of(policy: GroupPolicyId, event: Event) -> crate::Event {
    crate::Event::GroupPolicy(policy, event)
}

fn decide_record(
    world: &World,
    command: &record::Command<GroupPolicy>,
    context: &Context,
) -> Decision {
    let command = with_a_status(world, command);
    Ok(record::decide(world, &command, context)?
        .map(|(policy, event)| of(policy, Event::Record(event)))
        .into_iter()
        .collect())
}

/// Permissions that come without a status are meant to count: the block is defined then (config-api.md 2.7, GroupPolicy).
fn with_a_status(
    world: &World,
    command: &record::Command<GroupPolicy>,
) -> record::Command<GroupPolicy> {
    let body = match command {
        record::Command::Create(body) => body,
        record::Command::Change(id, body)
            if world
                .group_policies
                .get(id)
                .is_some_and(|policy| policy.status() == BlockStatus::NotDefined) =>
        {
            body
        }
        _ => return command.clone(),
    };
    if body.contains_key(STATUS) || !names_a_permission(body) {
        return command.clone();
    }
    let mut body = body.clone();
    body.insert(STATUS.to_owned(), Value::from(DEFINED));
    match command {
        record::Command::Change(id, _) => record::Command::Change(*id, body),
        _ => record::Command::Create(body),
    }
}

fn names_a_permission(body: &Object) -> bool {
    GroupPolicy::FIELDS
        .iter()
        .any(|field| !OUTSIDE_THE_BLOCK.contains(&field.name) && body.contains_key(field.name))
}

fn decide_copy(world: &World, id: GroupPolicyId, name: &str, context: &Context) -> Decision {
    let policy = is_there(world, id)?;
    let body = Object::from_iter([("name".to_owned(), Value::from(name))]);
    let (copy, event) = record::decide_copy(world, policy, &body, context)?;
    let created = of(copy, Event::Record(event));
    let rows = world.rows_of_policy(id).map(|(about, row)| {
        let set = RowSet { of: about, row };
        of(copy, Event::RowSet(set))
    });
    let events: Vec<crate::Event> = std::iter::once(created).chain(rows).collect();
    if events.len() > EVENTS_MAX {
        return Err(Refusal::field(
            "name",
            format!(
                "A Group Policy with more than {} memberships can't be copied.",
                EVENTS_MAX - 1
            ),
        ));
    }
    Ok(events)
}

fn decide_order(world: &World, order: &[GroupPolicyId]) -> Decision {
    let named: BTreeSet<GroupPolicyId> = order.iter().copied().collect();
    let there = world.group_policies.iter().map(|(id, _)| *id);
    if named.len() != order.len() || !named.iter().copied().eq(there) {
        return Err(Refusal::field(
            "order",
            "The order field must name every Group Policy exactly once.",
        ));
    }
    if world.group_policies_in_order().eq(order.iter().copied()) {
        return nothing();
    }
    happened(crate::Event::GroupPolicyOrder(Ordered {
        order: order.to_vec(),
    }))
}

fn decide_add_member(world: &World, policy: GroupPolicyId, user: UserId) -> Decision {
    is_there(world, policy)?;
    if !world.users.contains(&user) {
        return Err(Refusal::field(
            "user_id",
            "The selected user_id is invalid.",
        ));
    }
    if world.policy_member(policy, user).is_some() {
        return nothing();
    }
    happened(of(
        policy,
        Event::MemberAdded(Member {
            id: GroupPolicyMemberId(world.next_id(MEMBER_COUNTER)),
            user_id: user,
        }),
    ))
}

fn decide_remove_member(world: &World, policy: GroupPolicyId, id: GroupPolicyMemberId) -> Decision {
    is_there(world, policy)?;
    let (user_id, _) = world
        .members_of_policy(policy)
        .find(|(_, member)| *member == id)
        .ok_or(Refusal::not_found("Group Policy member"))?;
    happened(of(policy, Event::MemberRemoved(Member { id, user_id })))
}

fn decide_change_policies(
    world: &World,
    user: UserId,
    added: &BTreeSet<GroupPolicyId>,
    removed: &BTreeSet<GroupPolicyId>,
) -> Decision {
    if !world.users.contains(&user) {
        return Err(Refusal::not_found(User::TITLE));
    }
    let mut errors = FieldErrors::default();
    for (field, named) in [("added", added), ("removed", removed)] {
        if named
            .iter()
            .any(|policy| !world.group_policies.contains(policy))
        {
            errors.push(field, format!("The selected {field} is invalid."));
        }
    }
    if added.intersection(removed).next().is_some() {
        errors.push(
            "removed",
            "The removed field must not name what added names.",
        );
    }
    errors.into_result(())?;
    let joins = added
        .iter()
        .filter(|policy| world.policy_member(**policy, user).is_none());
    let joined = (world.next_id(MEMBER_COUNTER)..)
        .zip(joins)
        .map(|(id, policy)| {
            let member = Member {
                id: GroupPolicyMemberId(id),
                user_id: user,
            };
            of(*policy, Event::MemberAdded(member))
        });
    let left = removed.iter().filter_map(|policy| {
        let member = Member {
            id: world.policy_member(*policy, user)?,
            user_id: user,
        };
        Some(of(*policy, Event::MemberRemoved(member)))
    });
    Ok(joined.chain(left).collect())
}

fn decide_add_jump_group(
    world: &World,
    policy: GroupPolicyId,
    group: JumpGroupId,
    membership: Membership,
) -> Decision {
    is_there(world, policy)?;
    let mut errors = FieldErrors::default();
    let known = |field: &str, is_known: bool, errors: &mut FieldErrors| {
        if !is_known {
            errors.push(field, format!("The selected {field} is invalid."));
        }
    };
    let role = membership.jump_item_role_id;
    let jump_policy = membership.jump_policy_id;
    known(
        "jump_group_id",
        world.jump_groups.contains(&group),
        &mut errors,
    );
    known(
        "jump_item_role_id",
        role.is_none_or(|role| world.jump_item_roles.contains(&role)),
        &mut errors,
    );
    known(
        "jump_policy_id",
        jump_policy.is_none_or(|policy| world.jump_policies.contains(&policy)),
        &mut errors,
    );
    errors.into_result(())?;
    decide_row(
        world,
        policy,
        Of::JumpGroup(group),
        Row::JumpGroup(membership),
    )
}

fn decide_row(world: &World, policy: GroupPolicyId, about: Of, row: Row) -> Decision {
    is_there(world, policy)?;
    let (field, is_known) = match about {
        Of::JumpGroup(group) => ("jump_group_id", world.jump_groups.contains(&group)),
        Of::Team(team) => ("team_id", world.teams.contains(&team)),
        Of::Jumpoint(jumpoint) => ("jumpoint_id", world.has_jumpoint(jumpoint)),
    };
    if !is_known {
        return Err(Refusal::field(
            field,
            format!("The selected {field} is invalid."),
        ));
    }
    if world.policy_row(policy, about) == Some(row) {
        return nothing();
    }
    happened(of(policy, Event::RowSet(RowSet { of: about, row })))
}

fn decide_drop(world: &World, policy: GroupPolicyId, about: Of, removal: bool) -> Decision {
    is_there(world, policy)?;
    let row = world.policy_row(policy, about);
    if row.is_none_or(|row| (row == Row::Removal) != removal) {
        return Err(Refusal::not_found(match about {
            Of::JumpGroup(_) => JumpGroup::TITLE,
            Of::Team(_) => Team::TITLE,
            Of::Jumpoint(_) => "Jumpoint",
        }));
    }
    happened(of(policy, Event::RowDropped(RowDropped { of: about })))
}

fn is_there(world: &World, policy: GroupPolicyId) -> Result<&GroupPolicy, Refusal> {
    world
        .group_policies
        .get(&policy)
        .ok_or(Refusal::not_found(GroupPolicy::TITLE))
}
