//! Who uses what: asked before a record is deleted (ROLE-33).

use crate::Refusal;
use crate::World;
use crate::ids::{JumpGroupId, JumpGroupRef, JumpItemRoleId, JumpPolicyId, UserId};

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

    /// Who uses a role: slots of users, memberships (ROLE-33).
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
        slots
            .map(|(_, user)| format!("user \"{}\"", user.username))
            .chain(members.map(|((group, user), _)| self.member_title(*group, *user)))
            .collect()
    }

    /// Who uses a Jump Policy: memberships, installers, Jump Clients (ROLE-33).
    pub(crate) fn users_of_policy(&self, policy: JumpPolicyId) -> Vec<String> {
        let members = self
            .members
            .iter()
            .filter(|(_, member)| member.jump_policy_id == Some(policy));
        let installers = self
            .installers
            .iter()
            .filter(|(_, installer)| installer.jump_policy_id == Some(policy));
        let clients = self
            .jump_clients
            .iter()
            .filter(|(_, client)| client.properties.jump_policy_id == Some(policy));
        members
            .map(|((group, user), _)| self.member_title(*group, *user))
            .chain(installers.map(|(id, _)| format!("installer {id}")))
            .chain(clients.map(|(_, client)| format!("Jump Client \"{}\"", client.properties.name)))
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
