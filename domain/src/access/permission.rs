//! The one permission function: what may this user do with this item, and by which grant.
//!
//! Exactly one role counts, the most specific (ROLE-04): a direct membership of the group (ROLE-05), then what a group
//! policy grants (ROLE-06; comes with group policies), then the user's own slots (ROLE-07). Handlers, lists and sessions
//! all ask here.

use crate::access::role::{JumpItemPermission, JumpItemRole};
use crate::ids::{JumpGroupRef, JumpItemRef, JumpItemRoleId, JumpPolicyId, UserId};
use crate::site::user::User;
use crate::{Refusal, World};

#[cfg(test)]
mod tests;

/// Where the one role that counts comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// A direct membership of the group that names a role (ROLE-05).
    Member,
    /// A direct membership that takes the user's Default slot (ROLE-10).
    MemberByDefault,
    /// The user's Personal slot, for their own list (ROLE-11).
    Personal,
    /// The user's System slot, for groups where they are no member and lists of users outside their teams (ROLE-13).
    System,
}

/// What reaches a user for the items of one group.
#[derive(Clone, Copy, Debug)]
pub struct Access<'w> {
    /// The one role that counts.
    pub role: &'w JumpItemRole,
    /// Its id.
    pub role_id: JumpItemRoleId,
    /// Where it comes from.
    pub grant: Grant,
    /// The Jump Policy that the membership names; none is "Set on Jump Items" (GRP-07).
    pub jump_policy_id: Option<JumpPolicyId>,
}

/// What `user` may do with the items of `group`; none where they may not even see them (ROLE-03, ROLE-15).
#[must_use]
pub fn access_to_group(world: &World, user: UserId, group: JumpGroupRef) -> Option<Access<'_>> {
    let account = world.users.get(&user)?;
    let (role_id, grant, jump_policy_id) = grant(world, user, account, group)?;
    let role = world.jump_item_roles.get(&role_id)?;
    role.gives_access().then_some(Access {
        role,
        role_id,
        grant,
        jump_policy_id,
    })
}

fn grant(
    world: &World,
    user: UserId,
    account: &User,
    group: JumpGroupRef,
) -> Option<(JumpItemRoleId, Grant, Option<JumpPolicyId>)> {
    match group {
        JumpGroupRef::Shared(shared) => {
            world.jump_groups.get(&shared)?;
            match world.membership(shared, user) {
                Some(member) => Some(match member.jump_item_role_id {
                    Some(role) => (role, Grant::Member, member.jump_policy_id),
                    None => (
                        account.default_jump_item_role_id,
                        Grant::MemberByDefault,
                        member.jump_policy_id,
                    ),
                }),
                None => Some((account.unassigned_jump_item_role_id, Grant::System, None)),
            }
        }
        JumpGroupRef::Personal(owner) if owner == user => {
            Some((account.private_jump_item_role_id, Grant::Personal, None))
        }
        JumpGroupRef::Personal(owner) => {
            world.users.get(&owner)?;
            Some((account.unassigned_jump_item_role_id, Grant::System, None))
        }
    }
}

/// What `user` may do with `item`; none where they may not even see it.
#[must_use]
pub fn access_to_item(world: &World, user: UserId, item: JumpItemRef) -> Option<Access<'_>> {
    access_to_group(world, user, world.group_of(item)?)
}

/// Asks for one permission on one item.
///
/// # Errors
/// [`Refusal::item_gone`] where the item is out of sight, [`Refusal::RoleLacks`] where the role is not enough.
pub fn need(
    world: &World,
    user: UserId,
    item: JumpItemRef,
    permission: JumpItemPermission,
) -> Result<Access<'_>, Refusal> {
    let access = access_to_item(world, user, item).ok_or_else(|| Refusal::item_gone(item))?;
    if access.role.allows(permission) {
        Ok(access)
    } else {
        Err(Refusal::RoleLacks { permission })
    }
}

/// The groups whose items `user` may see, shared ones first.
///
/// Whose System slot gives no access, as most users', is looked up in their memberships alone.
#[must_use]
pub fn visible_groups(world: &World, user: UserId) -> Vec<JumpGroupRef> {
    let Some(account) = world.users.get(&user) else {
        return Vec::new();
    };
    let sees_all = world
        .jump_item_roles
        .get(&account.unassigned_jump_item_role_id)
        .is_some_and(JumpItemRole::gives_access);
    let mut groups: Vec<JumpGroupRef> = if sees_all {
        let shared = world.jump_groups.iter();
        let personal = world.users.iter();
        shared
            .map(|(group, _)| JumpGroupRef::Shared(*group))
            .chain(personal.map(|(owner, _)| JumpGroupRef::Personal(*owner)))
            .collect()
    } else {
        world
            .groups_with_member(user)
            .map(JumpGroupRef::Shared)
            .chain([JumpGroupRef::Personal(user)])
            .collect()
    };
    groups.retain(|group| access_to_group(world, user, *group).is_some());
    groups
}
