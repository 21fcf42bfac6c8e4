//! The one permission function: what may this user do with this item, and by which grant.
//!
//! Exactly one role counts, the most specific (ROLE-04): a direct membership of the group (ROLE-05), then what a group
//! policy grants (ROLE-06), then the slots of the user (ROLE-07). The slots, like all settings, come from group policies
//! where one defines them ([`Effective`]). Handlers, lists and sessions all ask here. Nothing here walks a table: a decision
//! costs a look-up a policy of the user.

use std::collections::BTreeSet;

use crate::access::group_policy::{Of, Row};
use crate::access::jump_group::Membership;
use crate::access::role::{JumpItemPermission, JumpItemRole};
use crate::ids::{
    GroupPolicyId, JumpGroupId, JumpGroupRef, JumpItemRef, JumpItemRoleId, JumpPolicyId,
    JumpointId, TeamId, UserId,
};
use crate::site::team::TeamRole;
use crate::{Refusal, World};

mod effective;
#[cfg(test)]
mod tests;

pub use effective::{Effective, JumpMethod, Slot};

/// Where the one role that counts comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// A direct membership of the group that names a role (ROLE-05).
    Member,
    /// A direct membership that takes the user's Default slot (ROLE-10).
    MemberByDefault,
    /// A group policy that names a role for the group (ROLE-06).
    GroupPolicy(GroupPolicyId),
    /// A group policy that takes the user's Default slot for the group (ROLE-06, ROLE-10).
    GroupPolicyByDefault(GroupPolicyId),
    /// The user's Personal slot, for their own list (ROLE-11).
    Personal,
    /// The user's Team slot, for the list of someone below them in a team (ROLE-12).
    Team,
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

/// The settings of `user` that count, after group policies; none if there is no such user.
///
/// Whoever asks a user's access permissions for a decision asks these.
#[must_use]
pub fn effective(world: &World, user: UserId) -> Option<Effective<'_>> {
    Effective::of(world, user)
}

/// What `user` may do with the items of `group`; none where they may not even see them (ROLE-03, ROLE-15).
#[must_use]
pub fn access_to_group(world: &World, user: UserId, group: JumpGroupRef) -> Option<Access<'_>> {
    access_of(world, user, &Effective::of(world, user)?, group)
}

fn access_of<'w>(
    world: &'w World,
    user: UserId,
    settings: &Effective<'w>,
    group: JumpGroupRef,
) -> Option<Access<'w>> {
    let (role_id, grant, jump_policy_id) = grant(world, user, settings, group)?;
    let role = world.jump_item_roles.get(&role_id)?;
    role.gives_access().then_some(Access {
        role,
        role_id,
        grant,
        jump_policy_id,
    })
}

/// The one role, where it comes from, and the membership's policy, whether or not the role gives any access.
pub(crate) fn grant(
    world: &World,
    user: UserId,
    settings: &Effective<'_>,
    group: JumpGroupRef,
) -> Option<(JumpItemRoleId, Grant, Option<JumpPolicyId>)> {
    let by_slot = |slot, grant| Some((settings.slot(slot), grant, None));
    match group {
        JumpGroupRef::Shared(shared) => {
            world.jump_groups.get(&shared)?;
            if let Some(member) = world.membership(shared, user) {
                return Some(by_membership(
                    settings,
                    *member,
                    Grant::Member,
                    Grant::MemberByDefault,
                ));
            }
            if let Some((policy, member)) = policy_membership(world, user, shared) {
                return Some(by_membership(
                    settings,
                    member,
                    Grant::GroupPolicy(policy),
                    Grant::GroupPolicyByDefault(policy),
                ));
            }
            by_slot(Slot::System, Grant::System)
        }
        JumpGroupRef::Personal(owner) if owner == user => by_slot(Slot::Personal, Grant::Personal),
        JumpGroupRef::Personal(owner) => {
            world.users.get(&owner)?;
            match standing(world, user, owner) {
                Standing::Above => by_slot(Slot::Team, Grant::Team),
                Standing::Beside => None,
                Standing::Outside => by_slot(Slot::System, Grant::System),
            }
        }
    }
}

fn by_membership(
    settings: &Effective<'_>,
    member: Membership,
    named: Grant,
    by_default: Grant,
) -> (JumpItemRoleId, Grant, Option<JumpPolicyId>) {
    match member.jump_item_role_id {
        Some(role) => (role, named, member.jump_policy_id),
        None => (
            settings.slot(Slot::Default),
            by_default,
            member.jump_policy_id,
        ),
    }
}

/// What the group policies of `user` come to about one thing: the last row from the top of the list counts as a whole
/// (GPOL-11, GPOL-23); none where none speaks of it, or the last takes it away.
fn policy_row(world: &World, user: UserId, about: Of) -> Option<(GroupPolicyId, Row)> {
    let last = world
        .policies_of_user(user)
        .iter()
        .rev()
        .find_map(|policy| Some((*policy, world.policy_row(*policy, about)?)));
    last.filter(|(_, row)| *row != Row::Removal)
}

/// The membership of a shared group that a group policy gives `user`, and which.
#[must_use]
pub fn policy_membership(
    world: &World,
    user: UserId,
    group: JumpGroupId,
) -> Option<(GroupPolicyId, Membership)> {
    match policy_row(world, user, Of::JumpGroup(group))? {
        (policy, Row::JumpGroup(membership)) => Some((policy, membership)),
        _ => None,
    }
}

/// Whether `user` may deploy and make items through the Jumpoint: named on it or, where they are not, by what their group
/// policies come to (ROLE-17, GPOL-11, GPOL-12, JPT-27).
#[must_use]
pub fn may_use_jumpoint(world: &World, user: UserId, jumpoint: JumpointId) -> bool {
    world.is_jumpoint_user(jumpoint, user)
        || policy_row(world, user, Of::Jumpoint(jumpoint)).is_some()
}

/// Whether `role` is in one of the slots of `user`, or is what they have in a shared Jump Group.
#[must_use]
pub fn holds_role(world: &World, user: UserId, role: JumpItemRoleId) -> bool {
    let Some(settings) = Effective::of(world, user) else {
        return false;
    };
    let slots = [Slot::Default, Slot::Personal, Slot::Team, Slot::System];
    let by_policy = world
        .policies_of_user(user)
        .iter()
        .flat_map(|policy| world.group_rows_of_policy(*policy));
    slots.into_iter().any(|slot| settings.slot(slot) == role)
        || world
            .groups_with_member(user)
            .chain(by_policy)
            .filter_map(|group| grant(world, user, &settings, JumpGroupRef::Shared(group)))
            .any(|(held, _, _)| held == role)
}

// --- teams ---

/// The teams `user` is in, with what they are there: directly or, where they are not, by group policy. By team.
#[must_use]
pub fn teams_of(world: &World, user: UserId) -> Vec<(TeamId, TeamRole)> {
    let mut teams: Vec<(TeamId, TeamRole)> = world.teams_with_member(user).collect();
    let mut decided: BTreeSet<TeamId> = teams.iter().map(|(team, _)| *team).collect();
    for policy in world.policies_of_user(user).iter().rev() {
        for (team, row) in world.team_rows_of_policy(*policy) {
            if !decided.insert(team) {
                continue;
            }
            if let Row::Team(role) = row {
                teams.push((team, role));
            }
        }
    }
    teams.sort_unstable();
    teams
}

/// The users in `team`, directly or by group policy, by id.
#[must_use]
pub fn members_of_team(world: &World, team: TeamId) -> Vec<(UserId, TeamRole)> {
    let direct = world.team_members_of(team).map(|(user, _)| user);
    let by_policy = world
        .policies_about(Of::Team(team))
        .flat_map(|(policy, _)| world.members_of_policy(policy).map(|(user, _)| user));
    let users: BTreeSet<UserId> = direct.chain(by_policy).collect();
    users
        .into_iter()
        .filter_map(|user| Some((user, role_in_team(world, user, team)?)))
        .collect()
}

/// What `user` is in `team`: directly or, where they are not in it directly, by group policy.
#[must_use]
pub fn role_in_team(world: &World, user: UserId, team: TeamId) -> Option<TeamRole> {
    if let Some(role) = world.team_membership(team, user) {
        return Some(role);
    }
    match policy_row(world, user, Of::Team(team))? {
        (_, Row::Team(role)) => Some(role),
        _ => None,
    }
}

/// How one user stands to another in the teams they share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Above in at least one.
    Above,
    /// In at least one, above in none.
    Beside,
    /// They share none.
    Outside,
}

fn standing(world: &World, user: UserId, other: UserId) -> Standing {
    let mut standing = Standing::Outside;
    for (team, role) in teams_of(world, user) {
        match role_in_team(world, other, team) {
            Some(theirs) if role > theirs => return Standing::Above,
            Some(_) => standing = Standing::Beside,
            None => {}
        }
    }
    standing
}

// --- items ---

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
/// Whose System slot gives no access, as most users', is looked up in their memberships and teams alone.
#[must_use]
pub fn visible_groups(world: &World, user: UserId) -> Vec<JumpGroupRef> {
    let Some(settings) = Effective::of(world, user) else {
        return Vec::new();
    };
    let gives_access = |slot| {
        world
            .jump_item_roles
            .get(&settings.slot(slot))
            .is_some_and(JumpItemRole::gives_access)
    };
    let mut groups: BTreeSet<JumpGroupRef> = if gives_access(Slot::System) {
        let shared = world.jump_groups.iter();
        let personal = world.users.iter();
        shared
            .map(|(group, _)| JumpGroupRef::Shared(*group))
            .chain(personal.map(|(owner, _)| JumpGroupRef::Personal(*owner)))
            .collect()
    } else {
        let by_policy = world
            .policies_of_user(user)
            .iter()
            .flat_map(|policy| world.group_rows_of_policy(*policy));
        world
            .groups_with_member(user)
            .chain(by_policy)
            .map(JumpGroupRef::Shared)
            .chain([JumpGroupRef::Personal(user)])
            .collect()
    };
    if gives_access(Slot::Team) {
        let above = teams_of(world, user)
            .into_iter()
            .filter(|(_, role)| *role > TeamRole::Member);
        let mates = above.flat_map(|(team, _)| members_of_team(world, team));
        groups.extend(mates.map(|(mate, _)| JumpGroupRef::Personal(mate)));
    }
    groups
        .into_iter()
        .filter(|group| access_of(world, user, &settings, *group).is_some())
        .collect()
}
