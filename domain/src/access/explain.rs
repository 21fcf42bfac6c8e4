//! Why a user may or may not do something with an item at a moment, by which grant and rule, and what would change it.
//!
//! Nothing is decided here: the answer is put together from what [`permission`], the item's state and the gates of the
//! Jump Policy say, the same functions that a command asks.

use serde::Serialize;

use crate::access::permission::{self, Access, Effective, Grant, JumpMethod, Slot};
use crate::access::role::JumpItemPermission;
use crate::fleet::jump_client;
use crate::ids::{JumpGroupRef, JumpItemRef, JumpItemRoleId, JumpPolicyId, UserId};
use crate::items::shell;
use crate::policy::gates::{self, Need, Supplied};
use crate::{Refusal, Timestamp, World};

#[cfg(test)]
mod tests;

/// What somebody would do with an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// What one permission of a role allows.
    Permission(JumpItemPermission),
    /// Start a session now, through every gate.
    Start,
}

impl Action {
    /// Every action with its word.
    pub const WORDS: [(&'static str, Self); 11] = [
        ("start", Self::Start),
        (
            "create_and_deploy",
            Self::Permission(JumpItemPermission::CreateAndDeploy),
        ),
        (
            "move_and_copy",
            Self::Permission(JumpItemPermission::MoveAndCopy),
        ),
        ("remove", Self::Permission(JumpItemPermission::Remove)),
        (
            "view_reports",
            Self::Permission(JumpItemPermission::ViewReports),
        ),
        ("edit_tag", Self::Permission(JumpItemPermission::EditTag)),
        (
            "edit_comments",
            Self::Permission(JumpItemPermission::EditComments),
        ),
        (
            "edit_jump_policy",
            Self::Permission(JumpItemPermission::EditJumpPolicy),
        ),
        (
            "edit_session_policy",
            Self::Permission(JumpItemPermission::EditSessionPolicy),
        ),
        (
            "edit_connectivity",
            Self::Permission(JumpItemPermission::EditConnectivity),
        ),
        (
            "edit_behavior",
            Self::Permission(JumpItemPermission::EditBehavior),
        ),
    ];

    /// The action with this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::WORDS
            .iter()
            .find(|(known, _)| *known == word)
            .map(|(_, action)| *action)
    }

    fn permission(self) -> JumpItemPermission {
        match self {
            Self::Permission(permission) => permission,
            Self::Start => JumpItemPermission::Start,
        }
    }
}

/// One thing that stands against it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// The refusal's code, such as `role_lacks`.
    pub code: &'static str,
    /// The words that a refused user reads.
    pub message: String,
    /// The rule behind it.
    pub rule: &'static str,
}

/// A thing with its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Named<I> {
    /// Its id.
    pub id: I,
    /// What it is called now.
    pub name: String,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Whether it would be done now, with nothing more to supply.
    pub allowed: bool,
    /// Where the one role that counts comes from; none where nothing reaches the user.
    pub grant: Option<Grant>,
    /// The same in a sentence.
    pub granted_by: Option<String>,
    /// The rule by which this grant counts and no other.
    pub rule: &'static str,
    /// The role that counts.
    pub role: Option<Named<JumpItemRoleId>>,
    /// Whence the user's access permissions come: the group policy's name, or none where they are the user's own.
    pub settings_from: Option<String>,
    /// The Jump Policy that applies.
    pub policy: Option<Named<JumpPolicyId>>,
    /// What stands against it, in the order it is asked.
    pub reasons: Vec<Reason>,
    /// What the user can still supply.
    pub needs: Vec<Need>,
    /// What would make it allowed, each by itself a part of it.
    pub would_help: Vec<String>,
}

/// Explains whether `user` may do `action` with `item` at `at`.
///
/// # Errors
/// [`Refusal::NotFound`] for a user, what says that the item is gone where it is not there.
pub fn explain(
    world: &World,
    user: UserId,
    item: JumpItemRef,
    action: Action,
    at: Timestamp,
) -> Result<Explanation, Refusal> {
    let settings = Effective::of(world, user).ok_or(Refusal::not_found("User"))?;
    let group = world.group_of(item).ok_or(Refusal::item_gone(item))?;
    let granted = permission::grant(world, user, &settings, group);
    let access = permission::access_to_group(world, user, group);
    let mut found = Found::default();
    found.ask_account(&settings, item, action);
    let grant = granted.map(|(_, grant, _)| grant);
    found.ask_role(world, (item, group), grant, access, action);
    let policy = access.and_then(|access| gates::effective_policy(world, &access, item));
    if action == Action::Start && access.is_some() {
        found.ask_item(world, item);
        found.ask_gates(world, user, item, policy, at);
    }
    Ok(Explanation {
        allowed: found.reasons.is_empty() && found.needs.is_empty(),
        grant: granted.map(|(_, grant, _)| grant),
        granted_by: granted.map(|(_, grant, _)| sentence(world, group, grant)),
        rule: granted.map_or("GRP-16", |(_, grant, _)| rule_of(grant)),
        role: granted.and_then(|(id, ..)| {
            let name = world.jump_item_roles.get(&id)?.name.clone();
            Some(Named { id, name })
        }),
        settings_from: settings.set_by().and_then(|id| {
            let policy = world.group_policies.get(&id)?;
            Some(policy.name.clone())
        }),
        policy: policy.and_then(|id| {
            let name = world.jump_policies.get(&id)?.display_name.clone();
            Some(Named { id, name })
        }),
        reasons: found.reasons,
        needs: found.needs,
        would_help: found.would_help,
    })
}

#[derive(Default)]
struct Found {
    reasons: Vec<Reason>,
    needs: Vec<Need>,
    would_help: Vec<String>,
}

impl Found {
    fn against(&mut self, refusal: &Refusal, rule: &'static str, would_help: String) {
        self.reasons.push(Reason {
            code: refusal.code(),
            message: refusal.to_string(),
            rule,
        });
        self.would_help.push(would_help);
    }

    fn ask_account(&mut self, settings: &Effective<'_>, item: JumpItemRef, action: Action) {
        if !settings.account.enabled {
            self.against(
                &Refusal::UserDisabled,
                "ROLE-31",
                "Enabling the user's account.".to_owned(),
            );
        }
        if action != Action::Start {
            return;
        }
        let whence = match settings.set_by() {
            Some(_) => "in the group policy that sets the user's permissions",
            None => "in the user's own permissions",
        };
        if !settings.may_access_endpoints() {
            self.against(
                &Refusal::EndpointAccessNotAllowed,
                "GPOL-04",
                format!("\"Allowed to access endpoints\" {whence}."),
            );
        }
        let method = JumpMethod::of(item);
        if !settings.may_jump_by(method) {
            let method = method.label();
            self.against(
                &Refusal::JumpMethodNotAllowed { method },
                "GPOL-05",
                format!("The Jump method \"{method}\" {whence}."),
            );
        }
    }

    fn ask_role(
        &mut self,
        world: &World,
        (item, group): (JumpItemRef, JumpGroupRef),
        grant: Option<Grant>,
        access: Option<Access<'_>>,
        action: Action,
    ) {
        let permission = action.permission();
        let label = permission.label();
        let place = grant.map_or_else(
            || "in the Team slot, as a lead or manager above the owner in a team".to_owned(),
            |grant| place(world, group, grant),
        );
        match access {
            Some(access) if access.role.allows(permission) => {}
            Some(_) => self.against(
                &Refusal::RoleLacks { permission },
                rule_of_permission(permission),
                format!("A Jump Item Role with \"{label}\" {place}."),
            ),
            None => {
                let rule = if grant.is_none() { "GRP-16" } else { "ROLE-15" };
                self.against(
                    &Refusal::item_gone(item),
                    rule,
                    format!("A Jump Item Role with \"{label}\" {place}."),
                );
                if grant == Some(Grant::System) && matches!(group, JumpGroupRef::Shared(_)) {
                    let name = world.group_name(group);
                    self.would_help.push(format!(
                        "A membership of the Jump Group \"{name}\", or of a group policy that gives one, with such a role."
                    ));
                }
            }
        }
    }

    fn ask_item(&mut self, world: &World, item: JumpItemRef) {
        let state = match item {
            JumpItemRef::JumpClient(client) => jump_client::startable(world, client).map(|_| ()),
            JumpItemRef::ShellJump(id) => Err(shell::not_startable(world, id)),
        };
        if let Err(refusal) = state {
            let would_help = match refusal {
                Refusal::JumpClientOffline | Refusal::JumpClientNotConnected => {
                    "The Jump Client coming online."
                }
                Refusal::JumpClientDisabled => "Enabling the Jump Client at the endpoint.",
                Refusal::JumpointOffline => "The Jumpoint coming online.",
                _ => "Installing the Jump Client anew.",
            };
            self.against(&refusal, "SESS-17", would_help.to_owned());
        }
    }

    fn ask_gates(
        &mut self,
        world: &World,
        user: UserId,
        item: JumpItemRef,
        policy: Option<JumpPolicyId>,
        at: Timestamp,
    ) {
        match gates::open(world, user, item, policy, &Supplied::default(), at) {
            Ok(opening) => {
                self.would_help.extend(opening.needs.iter().map(would_meet));
                self.needs = opening.needs;
            }
            Err(refusal) => {
                let (rule, would_help) = would_open(&refusal);
                self.against(&refusal, rule, would_help);
            }
        }
    }
}

fn would_meet(need: &Need) -> String {
    match need {
        Need::ScheduleOverride { .. } => {
            "Going on expressly although the schedule does not permit it.".to_owned()
        }
        Need::Approval(approval) => format!("One approval of {}.", approval.approvers),
        Need::Ticket { .. } => "A ticket ID that the ticket system allows.".to_owned(),
        Need::NotificationConsent { display_name, .. } => {
            format!("Going on although {display_name} will be notified.")
        }
        Need::Credentials => "Credentials for the endpoint.".to_owned(),
    }
}

fn would_open(refusal: &Refusal) -> (&'static str, String) {
    match refusal {
        Refusal::OutsideSchedule {
            policy,
            next_open: Some(next),
            zone,
        } => (
            "POL-13",
            format!(
                "Waiting: the policy \"{policy}\" is closed until {}.",
                crate::refusal::moment_in(*next, zone)
            ),
        ),
        Refusal::OutsideSchedule { policy, .. } => (
            "POL-14",
            format!("A schedule of the policy \"{policy}\" that ever opens."),
        ),
        Refusal::NoTicketSystem => (
            "ERR-27",
            "The URL of a ticket system in the site's settings.".to_owned(),
        ),
        Refusal::NoTicketPrompt => (
            "ERR-28",
            "A User Prompt in the settings of the ticket system.".to_owned(),
        ),
        Refusal::NoApprover { policy } => (
            "APPR-01",
            format!("An approver whom the policy \"{policy}\" names and who is there."),
        ),
        Refusal::SecondFactorUnavailable { policy } => (
            "SESS-17",
            format!("Another policy than \"{policy}\", or one without a second factor."),
        ),
        other => ("SESS-17", format!("A change of what says: {other}")),
    }
}

const fn rule_of(grant: Grant) -> &'static str {
    match grant {
        Grant::Member => "ROLE-05",
        Grant::MemberByDefault | Grant::GroupPolicyByDefault(_) => "ROLE-10",
        Grant::GroupPolicy(_) => "ROLE-06",
        Grant::Personal => "ROLE-11",
        Grant::Team => "ROLE-12",
        Grant::System => "ROLE-13",
    }
}

const fn rule_of_permission(permission: JumpItemPermission) -> &'static str {
    match permission {
        JumpItemPermission::CreateAndDeploy => "ROLE-16",
        JumpItemPermission::MoveAndCopy => "ROLE-18",
        JumpItemPermission::Remove => "ROLE-19",
        JumpItemPermission::Start => "ROLE-20",
        JumpItemPermission::EditTag => "ROLE-21",
        JumpItemPermission::EditComments => "ROLE-22",
        JumpItemPermission::EditJumpPolicy => "ROLE-23",
        JumpItemPermission::EditSessionPolicy => "ROLE-24",
        JumpItemPermission::EditConnectivity | JumpItemPermission::EditBehavior => "ROLE-25",
        JumpItemPermission::ViewReports => "ROLE-26",
    }
}

fn sentence(world: &World, group: JumpGroupRef, grant: Grant) -> String {
    format!("The role {}.", place(world, group, grant))
}

/// Where the role of a grant is set.
fn place(world: &World, group: JumpGroupRef, grant: Grant) -> String {
    let name = world.group_name(group);
    let policy = |id| {
        world
            .group_policies
            .get(&id)
            .map(|policy| policy.name.as_str())
            .unwrap_or_default()
    };
    match grant {
        Grant::Member => format!("in the user's membership of the Jump Group \"{name}\""),
        Grant::MemberByDefault => format!(
            "in the user's {} slot, which their membership of the Jump Group \"{name}\" takes",
            Slot::Default.label()
        ),
        Grant::GroupPolicy(id) => format!(
            "in the group policy \"{}\" for the Jump Group \"{name}\"",
            policy(id)
        ),
        Grant::GroupPolicyByDefault(id) => format!(
            "in the user's {} slot, which the group policy \"{}\" takes for the Jump Group \"{name}\"",
            Slot::Default.label(),
            policy(id)
        ),
        Grant::Personal => format!("in the user's {} slot", Slot::Personal.label()),
        Grant::Team => format!("in the user's {} slot", Slot::Team.label()),
        Grant::System => format!("in the user's {} slot", Slot::System.label()),
    }
}
