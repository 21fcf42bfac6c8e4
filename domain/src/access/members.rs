//! The member table of a Jump Group: who reaches its items, by which role and policy, and whence (GRP-05 to GRP-12).

use crate::World;
use crate::access::group_policy::{Of, Row};
use crate::access::permission::{self, Effective, Grant, Slot};
use crate::access::role;
use crate::ids::{GroupPolicyId, JumpGroupId, JumpGroupRef, JumpItemRoleId, JumpPolicyId, UserId};

#[cfg(test)]
mod tests;

/// Whence a user has what a row shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantedBy {
    /// Added to the group individually.
    JumpGroup,
    /// Added by a group policy.
    GroupPolicy(GroupPolicyId),
    /// The user's System role; nobody added them.
    UserPermissions,
}

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRow {
    /// Who.
    pub user: UserId,
    /// The role that counts, by name; one from the System slot has `System ` before it (GRP-10).
    pub role: String,
    /// The role that counts.
    pub role_id: JumpItemRoleId,
    /// Whether the role is the user's Default slot and not one of the membership (GRP-06).
    pub by_default: bool,
    /// The Jump Policy of the membership; none is "Set on Jump Items" (GRP-07).
    pub policy: Option<JumpPolicyId>,
    /// Whence.
    pub granted_by: GrantedBy,
    /// Whether the row can be edited and deleted: a direct membership only (GRP-12).
    pub editable: bool,
}

/// The rows of `group`, by user id: its direct members, those that group policies put into it, and those whose System slot
/// is another role than No Access. Whoever is several of these stands there once, with what counts.
#[must_use]
pub fn rows(world: &World, group: JumpGroupId) -> Vec<MemberRow> {
    if !world.jump_groups.contains(&group) {
        return Vec::new();
    }
    world
        .users
        .iter()
        .filter_map(|(user, _)| row(world, group, *user))
        .collect()
}

/// The row of one user, if they have one.
#[must_use]
pub fn row(world: &World, group: JumpGroupId, user: UserId) -> Option<MemberRow> {
    let settings = Effective::of(world, user)?;
    let (role_id, grant, policy) =
        permission::grant(world, user, &settings, JumpGroupRef::Shared(group))?;
    let granted_by = match grant {
        Grant::Member | Grant::MemberByDefault => GrantedBy::JumpGroup,
        Grant::GroupPolicy(policy) | Grant::GroupPolicyByDefault(policy) => {
            GrantedBy::GroupPolicy(policy)
        }
        Grant::Personal | Grant::Team | Grant::System => GrantedBy::UserPermissions,
    };
    if granted_by == GrantedBy::UserPermissions && settings.slot(Slot::System) == role::NO_ACCESS {
        return None;
    }
    let name = world
        .jump_item_roles
        .get(&role_id)
        .map(|role| role.name.as_str())
        .unwrap_or_default();
    Some(MemberRow {
        user,
        role: match granted_by {
            GrantedBy::UserPermissions => format!("System {name}"),
            _ => name.to_owned(),
        },
        role_id,
        by_default: matches!(
            grant,
            Grant::MemberByDefault | Grant::GroupPolicyByDefault(_)
        ),
        policy,
        granted_by,
        editable: granted_by == GrantedBy::JumpGroup,
    })
}

/// The group policies that put users into `group`, from the top of the list to the bottom (GRP-05).
#[must_use]
pub fn policies(world: &World, group: JumpGroupId) -> Vec<GroupPolicyId> {
    let about = world.policies_about(Of::JumpGroup(group));
    about
        .filter(|(_, row)| *row != Row::Removal)
        .map(|(policy, _)| policy)
        .collect()
}

/// How the table shows a user: `Private display name (username)`.
#[must_use]
pub fn title(world: &World, user: UserId) -> String {
    world
        .users
        .get(&user)
        .map(|user| format!("{} ({})", user.private_display_name, user.username))
        .unwrap_or_default()
}

/// Whether the table's filter keeps a user: the term stands in what the table shows, without regard to case (GRP-11).
#[must_use]
pub fn matches(world: &World, user: UserId, term: &str) -> bool {
    title(world, user)
        .to_lowercase()
        .contains(&term.to_lowercase())
}
