//! Jump Groups, their members, and what is named uniquely in the [`World`](crate::World).

use crate::World;
use crate::access::group_policy::Of;
use crate::access::jump_group::{JumpGroup, Membership};
use crate::ids::{
    JumpGroupId, JumpGroupRef, JumpItemRoleId, JumpPolicyId, JumpointId, SessionPolicyId, UserId,
};
use crate::policy::jump_policy::JumpPolicy;
use crate::record::Reference;
use crate::world::names;

impl World {
    pub(super) fn name_group(&mut self, id: JumpGroupId, group: &JumpGroup) {
        self.names.take(names::Kind::Group, &group.name, id.0);
        self.names
            .take(names::Kind::GroupCode, &group.code_name, id.0);
    }

    fn unname_group(&mut self, group: &JumpGroup) {
        self.names.free(names::Kind::Group, &group.name);
        self.names.free(names::Kind::GroupCode, &group.code_name);
    }

    pub(crate) fn put_group(&mut self, id: JumpGroupId, group: JumpGroup) {
        if let Some(before) = self.jump_groups.remove(&id) {
            self.unname_group(&before);
        }
        self.name_group(id, &group);
        self.jump_groups.insert(id, group);
    }

    /// The group goes with its members and items (GRP-31).
    pub(crate) fn forget_group(&mut self, id: JumpGroupId) {
        if let Some(group) = self.jump_groups.remove(&id) {
            self.unname_group(&group);
        }
        self.forget_members_of(id);
        self.forget_rows_of(Of::JumpGroup(id));
        self.forget_items_of(JumpGroupRef::Shared(id));
    }

    pub(super) fn name_policy(&mut self, id: JumpPolicyId, policy: &JumpPolicy) {
        self.names
            .take(names::Kind::Policy, &policy.display_name, id.0);
        self.names
            .take(names::Kind::PolicyCode, &policy.code_name, id.0);
    }

    fn unname_policy(&mut self, policy: &JumpPolicy) {
        self.names.free(names::Kind::Policy, &policy.display_name);
        self.names.free(names::Kind::PolicyCode, &policy.code_name);
    }

    pub(crate) fn put_policy(&mut self, id: JumpPolicyId, policy: JumpPolicy) {
        if let Some(before) = self.jump_policies.remove(&id) {
            self.unname_policy(&before);
        }
        self.name_policy(id, &policy);
        self.jump_policies.insert(id, policy);
    }

    pub(crate) fn forget_policy(&mut self, id: JumpPolicyId) {
        if let Some(policy) = self.jump_policies.remove(&id) {
            self.unname_policy(&policy);
        }
        self.schedules.remove(&id);
        self.jump_policy_revisions.remove(&id);
    }

    /// How `user` belongs to `group` directly, if at all.
    #[must_use]
    pub fn membership(&self, group: JumpGroupId, user: UserId) -> Option<&Membership> {
        self.members.get(&(group, user))
    }

    /// The direct members of `group` by user id.
    pub fn members_of(&self, group: JumpGroupId) -> impl Iterator<Item = (UserId, &Membership)> {
        self.members
            .range((group, UserId(0))..=(group, UserId(u32::MAX)))
            .map(|((_, user), membership)| (*user, membership))
    }

    /// The groups `user` is a direct member of.
    pub fn groups_with_member(&self, user: UserId) -> impl Iterator<Item = JumpGroupId> {
        self.groups_of_member
            .range((user, JumpGroupId(0))..=(user, JumpGroupId(u32::MAX)))
            .map(|(_, group)| *group)
    }

    pub(crate) fn put_member(&mut self, group: JumpGroupId, user: UserId, membership: Membership) {
        self.members.insert((group, user), membership);
        self.groups_of_member.insert((user, group));
    }

    pub(crate) fn forget_member(&mut self, group: JumpGroupId, user: UserId) {
        self.members.remove(&(group, user));
        self.groups_of_member.remove(&(user, group));
    }

    pub(crate) fn forget_members_of(&mut self, group: JumpGroupId) {
        let users: Vec<UserId> = self.members_of(group).map(|(user, _)| user).collect();
        for user in users {
            self.forget_member(group, user);
        }
    }

    /// Whether the group is there.
    #[must_use]
    pub fn has_group(&self, group: JumpGroupRef) -> bool {
        match group {
            JumpGroupRef::Shared(group) => self.jump_groups.contains(&group),
            JumpGroupRef::Personal(owner) => self.users.contains(&owner),
        }
    }

    /// What a group is called; a personal one by its owner's private display name (GRP-19).
    #[must_use]
    pub fn group_name(&self, group: JumpGroupRef) -> String {
        let name = match group {
            JumpGroupRef::Shared(group) => self.jump_groups.get(&group).map(|group| &group.name),
            JumpGroupRef::Personal(owner) => self
                .users
                .get(&owner)
                .map(|owner| &owner.private_display_name),
        };
        name.cloned().unwrap_or_default()
    }

    /// Whether the record that a field names is there. `personal` tells which kind of Jump Group is meant.
    #[must_use]
    pub fn has(&self, reference: Reference, number: u32, personal: bool) -> bool {
        match reference {
            Reference::JumpItemRole => self.jump_item_roles.contains(&JumpItemRoleId(number)),
            Reference::JumpPolicy => self.jump_policies.contains(&JumpPolicyId(number)),
            Reference::Jumpoint => self.has_jumpoint(JumpointId(number)),
            Reference::SessionPolicy => self.session_policies.contains(&SessionPolicyId(number)),
            Reference::User => self.users.contains(&UserId(number)),
            Reference::JumpGroup if personal => self.users.contains(&UserId(number)),
            Reference::JumpGroup => self.jump_groups.contains(&JumpGroupId(number)),
        }
    }

    /// The number of what has this code name, without regard to case; none also for what has no code names.
    #[must_use]
    pub fn with_code_name(&self, reference: Reference, code_name: &str) -> Option<u32> {
        let kind = match reference {
            Reference::JumpGroup => names::Kind::GroupCode,
            Reference::JumpPolicy => names::Kind::PolicyCode,
            Reference::Jumpoint => names::Kind::JumpointCode,
            Reference::SessionPolicy => names::Kind::SessionPolicyCode,
            Reference::JumpItemRole | Reference::User => return None,
        };
        self.names.holder(kind, code_name)
    }
}
