//! Who uses what: asked before a record is deleted (ROLE-33).

use crate::access::group_policy::{Of, Row};
use crate::access::jump_group::Membership;
use crate::fleet::installer::JumpClientInstaller;
use crate::ids::{
    GroupPolicyId, JumpClientInstallerId, JumpGroupId, JumpGroupRef, JumpItemRoleId, JumpPolicyId,
    SessionPolicyId, UserId,
};
use crate::{Refusal, Timestamp, World};

impl World {
    /// Refuses where `users` names anyone.
    ///
    /// # Errors
    /// [`Refusal::InUse`] with the first 20 and a count of the rest.
    pub(crate) fn not_used(&self, what: &'static str, users: Vec<String>) -> Result<(), Refusal> {
        if users.is_empty() {
            return Ok(());
        }
        let rest = users.len().saturating_sub(20);
        let mut by: Vec<String> = users.into_iter().take(20).collect();
        if rest > 0 {
            by.push(format!("{rest} more"));
        }
        Err(Refusal::InUse { what, by })
    }

    /// Who uses a role: slots of users and group policies, memberships (ROLE-33).
    pub(crate) fn users_of_role(&self, role: JumpItemRoleId) -> Vec<String> {
        let slots = self.users.iter().filter(|(_, user)| {
            [
                user.default_jump_item_role_id,
                user.private_jump_item_role_id,
                user.inferior_jump_item_role_id,
                user.unassigned_jump_item_role_id,
            ]
            .contains(&role)
        });
        let members = self
            .members
            .iter()
            .filter(|(_, member)| member.jump_item_role_id == Some(role));
        let policies = self.group_policies.iter().filter(|(_, policy)| {
            [
                policy.default_jump_item_role_id,
                policy.private_jump_item_role_id,
                policy.inferior_jump_item_role_id,
                policy.unassigned_jump_item_role_id,
            ]
            .contains(&role)
        });
        let rows =
            self.policies_naming(move |membership| membership.jump_item_role_id == Some(role));
        slots
            .map(|(_, user)| format!("user \"{}\"", user.username))
            .chain(members.map(|((group, user), _)| self.member_title(*group, *user)))
            .chain(policies.map(|(_, policy)| format!("group policy \"{}\"", policy.name)))
            .chain(rows)
            .collect()
    }

    /// The installers that bring clients still: what is over is never used again (INST-12).
    fn usable_installers(
        &self,
        now: Timestamp,
    ) -> impl Iterator<Item = (&JumpClientInstallerId, &JumpClientInstaller)> {
        self.installers
            .iter()
            .filter(move |(_, installer)| installer.usable(self, now).is_ok())
    }

    /// Who uses a Jump Policy: memberships, group policies, installers, Jump Clients (ROLE-33).
    pub(crate) fn users_of_policy(&self, policy: JumpPolicyId, now: Timestamp) -> Vec<String> {
        let members = self
            .members
            .iter()
            .filter(|(_, member)| member.jump_policy_id == Some(policy));
        let installers = self
            .usable_installers(now)
            .filter(|(_, installer)| installer.jump_policy_id == Some(policy));
        let clients = self
            .jump_clients
            .iter()
            .filter(|(_, client)| client.properties.jump_policy_id == Some(policy));
        let shells = self
            .shell_jumps
            .iter()
            .filter(|(_, item)| item.properties.jump_policy_id == Some(policy));
        members
            .map(|((group, user), _)| self.member_title(*group, *user))
            .chain(
                self.policies_naming(move |membership| membership.jump_policy_id == Some(policy)),
            )
            .chain(installers.map(|(id, _)| format!("installer {id}")))
            .chain(clients.map(|(_, client)| format!("Jump Client \"{}\"", client.properties.name)))
            .chain(shells.map(|(_, item)| format!("Shell Jump \"{}\"", item.properties.name)))
            .collect()
    }

    /// The rows of group policies whose membership of a Jump Group is one of these.
    fn policies_naming(
        &self,
        is_meant: impl Fn(&Membership) -> bool,
    ) -> impl Iterator<Item = String> {
        let title = |policy: GroupPolicyId, group: JumpGroupId| {
            let policy = self.group_policies.get(&policy);
            format!(
                "group policy \"{}\" for Jump Group \"{}\"",
                policy
                    .map(|policy| policy.name.as_str())
                    .unwrap_or_default(),
                self.group_name(JumpGroupRef::Shared(group))
            )
        };
        self.group_policies_rows()
            .filter_map(move |(policy, about, row)| match (about, row) {
                (Of::JumpGroup(group), Row::JumpGroup(membership)) if is_meant(&membership) => {
                    Some(title(policy, group))
                }
                _ => None,
            })
    }

    /// Who uses a session policy: installers and items.
    pub(crate) fn users_of_session_policy(
        &self,
        policy: SessionPolicyId,
        now: Timestamp,
    ) -> Vec<String> {
        let policy = Some(policy.0);
        let installers = self
            .usable_installers(now)
            .filter(|(_, installer)| installer.session_policy_id == policy);
        let clients = self
            .jump_clients
            .iter()
            .filter(|(_, client)| client.properties.session_policy_id == policy);
        let shells = self
            .shell_jumps
            .iter()
            .filter(|(_, item)| item.properties.session_policy_id == policy);
        installers
            .map(|(id, _)| format!("installer {id}"))
            .chain(clients.map(|(_, client)| format!("Jump Client \"{}\"", client.properties.name)))
            .chain(shells.map(|(_, item)| format!("Shell Jump \"{}\"", item.properties.name)))
            .collect()
    }

    fn member_title(&self, group: JumpGroupId, user: UserId) -> String {
        let username = self
            .users
            .get(&user)
            .map(|user| user.username.as_str())
            .unwrap_or_default();
        format!(
            "member \"{username}\" of Jump Group \"{}\"",
            self.group_name(JumpGroupRef::Shared(group))
        )
    }
}
