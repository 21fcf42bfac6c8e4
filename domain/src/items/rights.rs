//! What a user's one role must hold before an item is made, changed, moved, copied or removed (ROLE-16 to ROLE-25).

use crate::access::permission::{self, Access};
use crate::access::role::JumpItemPermission;
use crate::ids::{JumpGroupRef, JumpItemRef, UserId};
use crate::record::{Field, Kind};
use crate::{Context, Refusal, World};

/// The body of every copy (config-api.md, `JumpItem`). Without a name the copy is called as its original is.
pub const COPY_FIELDS: &[Field] = &[
    Field::new("jump_group_id", Kind::Id, "The group of the copy.").required(),
    Field::new(
        "jump_group_type",
        Kind::Word(&["shared", "personal"]),
        "Which kind of group.",
    )
    .required(),
    Field::new(
        "name",
        Kind::Name { min: 1, max: 128 },
        "What the copy is called; as its original where absent.",
    ),
];

/// The permission that a change of `field` needs (ROLE-18, ROLE-21 to ROLE-25).
#[must_use]
pub fn permission_for(field: &str) -> JumpItemPermission {
    match field {
        "jump_group_id" | "jump_group_type" => JumpItemPermission::MoveAndCopy,
        "tag" => JumpItemPermission::EditTag,
        "comments" => JumpItemPermission::EditComments,
        "jump_policy_id" => JumpItemPermission::EditJumpPolicy,
        "session_policy_id" => JumpItemPermission::EditSessionPolicy,
        "name" | "hostname" | "jumpoint_id" | "port" | "protocol" | "username" => {
            JumpItemPermission::EditConnectivity
        }
        _ => JumpItemPermission::EditBehavior,
    }
}

/// Whoever may not see the item is told that it does not exist (ERR-05).
///
/// # Errors
/// [`Refusal::item_gone`].
pub fn seen(world: &World, item: JumpItemRef, context: &Context) -> Result<(), Refusal> {
    let sees = match context.role_holder() {
        Some(user) => permission::access_to_item(world, user, item).is_some(),
        None => world.has_item(item),
    };
    if sees {
        Ok(())
    } else {
        Err(Refusal::item_gone(item))
    }
}

/// Asks for what a change of `fields` needs: in the group the item is in and, for a move, in `target` as well (ROLE-18).
///
/// # Errors
/// [`Refusal::RoleLacks`], or the field of a group that is out of the user's sight.
pub fn may_change<'a>(
    world: &World,
    user: UserId,
    item: JumpItemRef,
    fields: impl Iterator<Item = &'a str>,
    target: JumpGroupRef,
) -> Result<(), Refusal> {
    for field in fields {
        permission::need(world, user, item, permission_for(field))?;
    }
    if world.group_of(item) == Some(target) {
        return Ok(());
    }
    need_in(world, user, target, JumpItemPermission::MoveAndCopy).map(|_| ())
}

/// Asks for what a copy into `target` needs: in the group the item is in and in the one it goes to (ROLE-18).
///
/// # Errors
/// [`Refusal::RoleLacks`], or the field of a group that is out of the user's sight.
pub fn may_copy(
    world: &World,
    user: UserId,
    item: JumpItemRef,
    target: JumpGroupRef,
) -> Result<(), Refusal> {
    permission::need(world, user, item, JumpItemPermission::MoveAndCopy)?;
    need_in(world, user, target, JumpItemPermission::MoveAndCopy).map(|_| ())
}

/// Asks whether `user` may make an item in `group` (ROLE-16).
///
/// # Errors
/// [`Refusal::RoleLacks`], or the field of a group that is out of the user's sight.
pub fn may_create(world: &World, user: UserId, group: JumpGroupRef) -> Result<(), Refusal> {
    need_in(world, user, group, JumpItemPermission::CreateAndDeploy).map(|_| ())
}

fn need_in(
    world: &World,
    user: UserId,
    group: JumpGroupRef,
    permission: JumpItemPermission,
) -> Result<Access<'_>, Refusal> {
    let access = permission::access_to_group(world, user, group)
        .ok_or_else(|| Refusal::field("jump_group_id", "The selected jump_group_id is invalid."))?;
    if access.role.allows(permission) {
        Ok(access)
    } else {
        Err(Refusal::RoleLacks { permission })
    }
}
