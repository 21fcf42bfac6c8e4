//! Group policies in the [`World`](crate::World): their order, members and rows, and the way from a user to their policies.

use crate::World;
use crate::access::group_policy::{GroupPolicy, Of, Row};
use crate::ids::{GroupPolicyId, GroupPolicyMemberId, JumpGroupId, TeamId, UserId};

impl World {
    pub(crate) fn put_group_policy(&mut self, id: GroupPolicyId, policy: GroupPolicy) {
        self.group_policies.insert(id, policy);
        if !self.group_policy_order.contains(&id) {
            self.group_policy_order.push_back(id);
            self.index_members_of_policy(id);
        }
    }

    pub(crate) fn forget_group_policy(&mut self, id: GroupPolicyId) {
        self.group_policies.remove(&id);
        self.group_policy_rows.remove(&id);
        self.group_policy_order.retain(|other| *other != id);
        let users: Vec<UserId> = self.members_of_policy(id).map(|(user, _)| user).collect();
        for user in users {
            self.forget_policy_member(id, user);
        }
    }

    /// All policies, from the top of the list to the bottom.
    pub fn group_policies_in_order(&self) -> impl Iterator<Item = GroupPolicyId> {
        self.group_policy_order.iter().copied()
    }

    pub(crate) fn order_group_policies(&mut self, order: &[GroupPolicyId]) {
        let left = self.group_policy_order.clone();
        let unnamed = left.iter().filter(|id| !order.contains(id));
        self.group_policy_order = order
            .iter()
            .filter(|id| left.contains(id))
            .chain(unnamed)
            .copied()
            .collect();
        self.index_policies_of_users();
    }

    /// The membership of `user` in `policy`, if there is one.
    #[must_use]
    pub fn policy_member(
        &self,
        policy: GroupPolicyId,
        user: UserId,
    ) -> Option<GroupPolicyMemberId> {
        self.group_policy_members.get(&(policy, user)).copied()
    }

    /// The members of `policy` by user id.
    pub fn members_of_policy(
        &self,
        policy: GroupPolicyId,
    ) -> impl Iterator<Item = (UserId, GroupPolicyMemberId)> {
        self.group_policy_members
            .range((policy, UserId(0))..=(policy, UserId(u32::MAX)))
            .map(|((_, user), member)| (*user, *member))
    }

    /// The policies that `user` is a member of, from the top of the list to the bottom.
    #[must_use]
    pub fn policies_of_user(&self, user: UserId) -> &[GroupPolicyId] {
        self.policies_of_users
            .get(&user)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    pub(crate) fn put_policy_member(
        &mut self,
        policy: GroupPolicyId,
        user: UserId,
        member: GroupPolicyMemberId,
    ) {
        self.group_policy_members.insert((policy, user), member);
        let mut policies = self.policies_of_user(user).to_vec();
        if !policies.contains(&policy) {
            policies.push(policy);
        }
        self.index_policies_of_user(user, policies);
    }

    pub(crate) fn forget_policy_member(&mut self, policy: GroupPolicyId, user: UserId) {
        self.group_policy_members.remove(&(policy, user));
        let mut policies = self.policies_of_user(user).to_vec();
        policies.retain(|other| *other != policy);
        self.index_policies_of_user(user, policies);
    }

    fn index_members_of_policy(&mut self, policy: GroupPolicyId) {
        let users: Vec<UserId> = self
            .members_of_policy(policy)
            .map(|(user, _)| user)
            .collect();
        for user in users {
            let policies = self.policies_of_user(user).to_vec();
            self.index_policies_of_user(user, policies);
        }
    }

    fn index_policies_of_user(&mut self, user: UserId, mut policies: Vec<GroupPolicyId>) {
        let order = &self.group_policy_order;
        let rank = |id: &GroupPolicyId| order.iter().position(|other| other == id);
        policies.sort_by_cached_key(|id| (rank(id).unwrap_or(usize::MAX), *id));
        if policies.is_empty() {
            self.policies_of_users.remove(&user);
        } else {
            self.policies_of_users.insert(user, policies);
        }
    }

    /// Makes the way from users to their policies anew.
    pub(super) fn index_policies_of_users(&mut self) {
        let mut policies: std::collections::BTreeMap<UserId, Vec<GroupPolicyId>> =
            std::collections::BTreeMap::new();
        for ((policy, user), _) in self.group_policy_members.iter() {
            policies.entry(*user).or_default().push(*policy);
        }
        for (user, policies) in policies {
            self.index_policies_of_user(user, policies);
        }
    }

    // --- rows ---

    /// What `policy` says of `about`, if anything.
    #[must_use]
    pub fn policy_row(&self, policy: GroupPolicyId, about: Of) -> Option<Row> {
        self.group_policy_rows.get(&policy)?.get(&about).copied()
    }

    /// The rows of `policy`: Jump Groups, then teams, then Jumpoints, each by id.
    pub fn rows_of_policy(&self, policy: GroupPolicyId) -> impl Iterator<Item = (Of, Row)> {
        self.group_policy_rows
            .get(&policy)
            .into_iter()
            .flatten()
            .map(|(about, row)| (*about, *row))
    }

    /// The Jump Groups that `policy` has a row about.
    pub(crate) fn group_rows_of_policy(
        &self,
        policy: GroupPolicyId,
    ) -> impl Iterator<Item = JumpGroupId> {
        let all = Of::JumpGroup(JumpGroupId(0))..=Of::JumpGroup(JumpGroupId(u32::MAX));
        self.group_policy_rows
            .get(&policy)
            .into_iter()
            .flat_map(move |rows| rows.range(all.clone()))
            .filter_map(|(about, _)| match about {
                Of::JumpGroup(group) => Some(*group),
                _ => None,
            })
    }

    /// The rows of `policy` about teams.
    pub(crate) fn team_rows_of_policy(
        &self,
        policy: GroupPolicyId,
    ) -> impl Iterator<Item = (TeamId, Row)> {
        let all = Of::Team(TeamId(0))..=Of::Team(TeamId(u32::MAX));
        self.group_policy_rows
            .get(&policy)
            .into_iter()
            .flat_map(move |rows| rows.range(all.clone()))
            .filter_map(|(about, row)| match about {
                Of::Team(team) => Some((*team, *row)),
                _ => None,
            })
    }

    /// The rows of all policies, by id.
    pub(crate) fn group_policies_rows(&self) -> impl Iterator<Item = (GroupPolicyId, Of, Row)> {
        self.group_policy_rows
            .iter()
            .flat_map(|(policy, rows)| rows.iter().map(|(about, row)| (*policy, *about, *row)))
    }

    /// The policies with a row about `about`, from the top of the list to the bottom.
    pub fn policies_about(&self, about: Of) -> impl Iterator<Item = (GroupPolicyId, Row)> {
        self.group_policies_in_order()
            .filter_map(move |policy| Some((policy, self.policy_row(policy, about)?)))
    }

    pub(crate) fn put_policy_row(&mut self, policy: GroupPolicyId, about: Of, row: Row) {
        let mut rows = self
            .group_policy_rows
            .get(&policy)
            .cloned()
            .unwrap_or_default();
        rows.insert(about, row);
        self.group_policy_rows.insert(policy, rows);
    }

    pub(crate) fn forget_policy_row(&mut self, policy: GroupPolicyId, about: Of) {
        let Some(rows) = self.group_policy_rows.get_mut(&policy) else {
            return;
        };
        rows.remove(&about);
        if rows.is_empty() {
            self.group_policy_rows.remove(&policy);
        }
    }

    /// What a policy says of a thing that is gone goes with it.
    pub(crate) fn forget_rows_of(&mut self, about: Of) {
        let policies: Vec<GroupPolicyId> = self
            .group_policy_rows
            .iter()
            .filter(|(_, rows)| rows.contains_key(&about))
            .map(|(policy, _)| *policy)
            .collect();
        for policy in policies {
            self.forget_policy_row(policy, about);
        }
    }
}
