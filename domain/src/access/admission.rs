//! Who may ask for which kind of thing at all, before any record is looked at (ROLE-31).
//!
//! Asked against the World of the decision, so a permission that was withdrawn, or an account that was switched off, counts
//! from the next command on, whatever the caller's connection or token still says (AUTH-29).

use crate::items::shell;
use crate::policy::access_request;
use crate::record;
use crate::site::{agent_trust, api_account, mail_delivery, user};
use crate::{Actor, Command, Context, Refusal, Surface, World};

#[cfg(test)]
mod tests;

/// What kind of caller a command is for.
enum For {
    /// Gatebook itself, and whoever holds the machine.
    Operator,
    /// Administrators, and API accounts with the Configuration API.
    Administrators,
    /// The same, and users who may edit Jump Groups.
    GroupEditors,
    /// The same as administrators, and users as far as their Jump Item Role goes; the aggregate asks for it.
    RoleHolders,
    /// The same, and approvers who came by their links.
    Approvers,
    /// Anyone; the aggregate itself knows whom it lets.
    Anyone,
}

/// Whether the caller is one who may ask for this.
///
/// # Errors
/// [`Refusal::UserDisabled`] and [`Refusal::ApiAccountDisabled`] where the caller is gone or switched off,
/// [`Refusal::AdministratorNeeded`] and [`Refusal::ApiPermissionNeeded`] where the caller is not one of those it is for.
pub fn check(world: &World, command: &Command, context: &Context) -> Result<(), Refusal> {
    if !stands_without_an_account(command) {
        check_account(world, context.actor())?;
    }
    match (is_for(command), context.actor()) {
        (For::Anyone, _) | (_, Actor::System | Actor::Operator) => Ok(()),
        (For::Operator, _) => Err(Refusal::AdministratorNeeded),
        (_, Actor::ApiAccount(account)) => {
            let may = world.api_accounts.get(account).is_some_and(|account| {
                account.perm_configuration
                    || (account.perm_command == "full_access" && is_import(command, context))
            });
            may.then_some(()).ok_or(Refusal::ApiPermissionNeeded {
                permission: "Configuration API: Allow Access",
            })
        }
        (For::RoleHolders, Actor::User(_)) if context.role_holder().is_some() => Ok(()),
        (For::Approvers, Actor::User(_)) | (For::Approvers, Actor::Approver { .. }) => Ok(()),
        (For::GroupEditors, Actor::User(user))
            if world
                .users
                .get(user)
                .is_some_and(|user| user.perm_edit_jump_groups) =>
        {
            Ok(())
        }
        (_, Actor::User(user)) if world.is_administrator(*user) => Ok(()),
        _ => Err(Refusal::AdministratorNeeded),
    }
}

/// Whether a script imports a shortcut by the Command API, which has a permission of its own (ITEM-03).
fn is_import(command: &Command, context: &Context) -> bool {
    let makes = matches!(
        command,
        Command::ShellJump(shell::Command::Record(record::Command::Create(_)))
    );
    makes && context.cause.surface == Surface::CommandApi
}

/// What is said and done where the account itself may be the trouble: signing in and out, and writing refusals down.
const fn stands_without_an_account(command: &Command) -> bool {
    matches!(
        command,
        Command::User(user::Command::SignIn(_) | user::Command::SignOut { .. }) | Command::Audit(_)
    )
}

fn check_account(world: &World, actor: &Actor) -> Result<(), Refusal> {
    match actor {
        Actor::User(user) if !world.users.get(user).is_some_and(|user| user.enabled) => {
            Err(Refusal::UserDisabled)
        }
        Actor::ApiAccount(account)
            if !world
                .api_accounts
                .get(account)
                .is_some_and(|account| account.enabled) =>
        {
            Err(Refusal::ApiAccountDisabled)
        }
        _ => Ok(()),
    }
}

const fn is_for(command: &Command) -> For {
    match command {
        Command::FirstStart(_)
        | Command::Upgrade(_)
        | Command::AccessReview(_)
        | Command::AgentTrust(agent_trust::Command::Begin { .. })
        | Command::AccessSession(crate::session::access_session::Command::FailCall { .. })
        | Command::JumpClient(
            crate::fleet::jump_client::Command::MarkLost(_)
            | crate::fleet::jump_client::Command::Expire(_),
        )
        | Command::MailDelivery(
            mail_delivery::Command::Queue(..) | mail_delivery::Command::Settle { .. },
        ) => For::Operator,
        Command::AgentTrust(_)
        | Command::SiteSettings(_)
        | Command::TicketSystem(_)
        | Command::MailSettings(_)
        | Command::MailTemplate(_)
        | Command::MailDelivery(_)
        | Command::User(user::Command::Record(_))
        | Command::Jumpoint(_)
        | Command::SessionPolicy(_)
        | Command::CustomField(crate::items::custom_field::Command::Record(_))
        | Command::CustomSessionAttribute(_)
        | Command::Team(_)
        | Command::GroupPolicy(_)
        | Command::ApiAccount(
            api_account::Command::Record(_) | api_account::Command::RegenerateSecret { .. },
        )
        | Command::JumpItemRole(_)
        | Command::JumpPolicy(_) => For::Administrators,
        Command::JumpGroup(_) => For::GroupEditors,
        Command::AccessRequest(
            access_request::Command::Submit(_) | access_request::Command::Cancel { .. },
        ) => For::RoleHolders,
        Command::AccessRequest(
            access_request::Command::Approve { .. } | access_request::Command::Deny { .. },
        ) => For::Approvers,
        Command::AccessRequest(access_request::Command::Expire { .. }) => For::Operator,
        Command::JumpClientInstaller(_)
        | Command::Installer(_)
        | Command::ShellJump(_)
        | Command::CustomField(_) => For::RoleHolders,
        Command::JumpClient(
            crate::fleet::jump_client::Command::Copy(..)
            | crate::fleet::jump_client::Command::Change(..)
            | crate::fleet::jump_client::Command::Delete(_),
        ) => For::RoleHolders,
        Command::User(_)
        | Command::ApiAccount(_)
        | Command::JumpClient(_)
        | Command::AccessSession(_)
        | Command::StartupGroup(_)
        | Command::TicketRequest(_)
        | Command::Node(_)
        | Command::Audit(_) => For::Anyone,
    }
}
