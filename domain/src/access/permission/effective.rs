//! What a user is allowed after group policies: the settings that count in every decision (ROLE-32, GPOL-02, GPOL-03).

use crate::access::group_policy::{BlockStatus, GroupPolicy};
use crate::ids::{GroupPolicyId, JumpItemRef, JumpItemRoleId, UserId};
use crate::site::user::User;
use crate::{Refusal, World};

/// One of the eight ways to jump, each allowed by itself (GPOL-05).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum JumpMethod {
    /// Through a Jump Client.
    JumpClients,
    /// To a computer on the same network.
    LocalJump,
    /// By the Remote Desktop Protocol.
    RemoteRdp,
    /// By SSH or Telnet.
    ShellJump,
    /// Through a tunnel for a protocol of its own.
    ProtocolTunnelJump,
    /// To a computer on the network of a Jumpoint.
    RemoteJump,
    /// By VNC.
    RemoteVnc,
    /// To a web site.
    WebJump,
}

impl JumpMethod {
    /// All of them, in the order of the guide.
    pub const ALL: [Self; 8] = [
        Self::JumpClients,
        Self::LocalJump,
        Self::RemoteRdp,
        Self::ShellJump,
        Self::ProtocolTunnelJump,
        Self::RemoteJump,
        Self::RemoteVnc,
        Self::WebJump,
    ];

    /// The words of the guide.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::JumpClients => "Jump Clients",
            Self::LocalJump => "Local Jump (Windows only)",
            Self::RemoteRdp => "Remote RDP",
            Self::ShellJump => "Shell Jump",
            Self::ProtocolTunnelJump => "Protocol Tunnel Jump",
            Self::RemoteJump => "Remote Jump",
            Self::RemoteVnc => "Remote VNC",
            Self::WebJump => "Web Jump",
        }
    }

    /// The way that leads to `item`.
    #[must_use]
    pub const fn of(item: JumpItemRef) -> Self {
        match item {
            JumpItemRef::JumpClient(_) => Self::JumpClients,
            JumpItemRef::ShellJump(_) => Self::ShellJump,
        }
    }
}

/// One of the four role slots (ROLE-09).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slot {
    /// For memberships that name no role of their own (ROLE-10).
    Default,
    /// For one's own list (ROLE-11).
    Personal,
    /// For the lists of those below in a team (ROLE-12).
    Team,
    /// For groups without a membership, and lists of users outside one's teams (ROLE-13).
    System,
}

impl Slot {
    /// The word of the guide.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Default => "Default",
            Self::Personal => "Personal",
            Self::Team => "Team",
            Self::System => "System",
        }
    }
}

/// The settings of one user that count: a group policy's where one sets them, else the user's own.
#[derive(Clone, Copy, Debug)]
pub struct Effective<'w> {
    /// The user's account.
    pub account: &'w User,
    policy: Option<(GroupPolicyId, &'w GroupPolicy)>,
}

/// Reads a setting from the group policy that sets it, else from the user.
macro_rules! setting {
    ($self:ident, $field:ident) => {
        match $self.policy {
            Some((_, policy)) => policy.$field,
            None => $self.account.$field,
        }
    };
}

impl<'w> Effective<'w> {
    /// The settings of `user`; none if there is no such user.
    ///
    /// The first final policy from the top of the list sets them; without one, the last that defines them does.
    #[must_use]
    pub fn of(world: &'w World, user: UserId) -> Option<Self> {
        let account = world.users.get(&user)?;
        let mut set_by = None;
        for id in world.policies_of_user(user) {
            let Some(policy) = world.group_policies.get(id) else {
                continue;
            };
            match policy.status() {
                BlockStatus::NotDefined => {}
                BlockStatus::Defined => set_by = Some((*id, policy)),
                BlockStatus::Final => {
                    set_by = Some((*id, policy));
                    break;
                }
            }
        }
        Some(Self {
            account,
            policy: set_by,
        })
    }

    /// The group policy that sets the access permissions; none where they are the user's own.
    #[must_use]
    pub fn set_by(&self) -> Option<GroupPolicyId> {
        self.policy.map(|(id, _)| id)
    }

    /// The block of that policy.
    #[must_use]
    pub fn block(&self) -> Option<&'w GroupPolicy> {
        self.policy.map(|(_, policy)| policy)
    }

    /// Allowed to access endpoints at all (GPOL-04).
    #[must_use]
    pub fn may_access_endpoints(&self) -> bool {
        match self.policy {
            Some((_, policy)) => policy.perm_access_allowed,
            None => self.account.may_access_endpoints(),
        }
    }

    /// Allowed to jump by this method (GPOL-05).
    #[must_use]
    pub fn may_jump_by(&self, method: JumpMethod) -> bool {
        match method {
            JumpMethod::JumpClients => setting!(self, perm_jump_client),
            JumpMethod::LocalJump => setting!(self, perm_local_jump),
            JumpMethod::RemoteRdp => setting!(self, perm_remote_rdp),
            JumpMethod::ShellJump => setting!(self, perm_shell_jump),
            JumpMethod::ProtocolTunnelJump => setting!(self, perm_protocol_tunnel),
            JumpMethod::RemoteJump => setting!(self, perm_remote_jump),
            JumpMethod::RemoteVnc => setting!(self, perm_remote_vnc),
            JumpMethod::WebJump => setting!(self, perm_web_jump),
        }
    }

    /// Asks for endpoints at all, then for a method.
    ///
    /// # Errors
    /// [`Refusal::EndpointAccessNotAllowed`] (GPOL-04), [`Refusal::JumpMethodNotAllowed`] (GPOL-05).
    pub fn need_method(&self, method: JumpMethod) -> Result<(), Refusal> {
        if !self.may_access_endpoints() {
            return Err(Refusal::EndpointAccessNotAllowed);
        }
        if !self.may_jump_by(method) {
            return Err(Refusal::JumpMethodNotAllowed {
                method: method.label(),
            });
        }
        Ok(())
    }

    /// The role in a slot (ROLE-09).
    #[must_use]
    pub fn slot(&self, slot: Slot) -> JumpItemRoleId {
        match slot {
            Slot::Default => setting!(self, default_jump_item_role_id),
            Slot::Personal => setting!(self, private_jump_item_role_id),
            Slot::Team => setting!(self, inferior_jump_item_role_id),
            Slot::System => setting!(self, unassigned_jump_item_role_id),
        }
    }

    /// Seconds of inactivity before removal from a session; -1 is the site's setting, 0 never.
    #[must_use]
    pub fn idle_timeout_seconds(&self) -> i32 {
        setting!(self, perm_session_idle_timeout)
    }

    /// Allowed to share sessions with teams which they do not belong to (GPOL-17).
    #[must_use]
    pub fn may_share_with_other_teams(&self) -> bool {
        setting!(self, perm_share_other_team)
    }

    /// Allowed to invite external users (GPOL-17).
    #[must_use]
    pub fn may_invite_external_users(&self) -> bool {
        setting!(self, perm_invite_external_user)
    }

    /// Allowed to enable extended availability mode (GPOL-17).
    #[must_use]
    pub fn may_enable_extended_availability(&self) -> bool {
        setting!(self, perm_extended_availability_mode_allowed)
    }

    /// Allowed to edit the external key (GPOL-17).
    #[must_use]
    pub fn may_edit_external_key(&self) -> bool {
        setting!(self, perm_edit_external_key)
    }

    /// Allowed to show their screen to other users (GPOL-17).
    #[must_use]
    pub fn may_show_screen(&self) -> bool {
        setting!(self, perm_collaborate)
    }

    /// Allowed to give control when showing their screen (GPOL-17).
    #[must_use]
    pub fn may_give_control(&self) -> bool {
        setting!(self, perm_collaborate_control)
    }
}
