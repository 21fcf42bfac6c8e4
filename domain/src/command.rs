//! Everything that may be asked, by aggregate.

use crate::access::role::JumpItemRole;
use crate::access::{group_policy, jump_group, review};
use crate::fleet::installer::{self, JumpClientInstaller};
use crate::fleet::jump_client;
use crate::items::{custom_field, jumpoint, shell};
use crate::policy::inputs::Inputs;
use crate::policy::session_policy::SessionPolicy;
use crate::policy::ticket;
use crate::policy::{access_request, jump_policy};
use crate::session::{access_session, startup_group};
use crate::site::custom_session_attribute::CustomSessionAttribute;
use crate::site::mail_settings::MailSettings;
use crate::site::settings::SiteSettings;
use crate::site::ticket_system::TicketSystem;
use crate::site::{
    agent_trust, api_account, first_start, mail_delivery, mail_template, team, upgrade, user,
};
use crate::{World, audit, node, record};

/// A request to change something. [`decide`](crate::decide) says what becomes of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Make the site.
    FirstStart(first_start::Command),
    /// A build of the program begins to run.
    Upgrade(upgrade::Command),
    /// What agents trust, and where they find the site.
    AgentTrust(agent_trust::Command),
    /// Change the site's settings.
    SiteSettings(record::Command<SiteSettings>),
    /// Change the ticket system.
    TicketSystem(record::Command<TicketSystem>),
    /// Change how mail leaves the site.
    MailSettings(record::Command<MailSettings>),
    /// Mail templates.
    MailTemplate(mail_template::Command),
    /// The outbox.
    MailDelivery(mail_delivery::Command),
    /// Users.
    User(user::Command),
    /// Teams and their members.
    Team(team::Command),
    /// API accounts.
    ApiAccount(api_account::Command),
    /// Jump Item Roles.
    JumpItemRole(record::Command<JumpItemRole>),
    /// Jump Groups and their members.
    JumpGroup(jump_group::Command),
    /// Group policies with their members, rows and order.
    GroupPolicy(group_policy::Command),
    /// Jump Policies and their schedules.
    JumpPolicy(jump_policy::Command),
    /// Requests for approved access.
    AccessRequest(access_request::Command),
    /// Requests to the ticket system.
    TicketRequest(ticket::Command),
    /// Jump Client installers.
    JumpClientInstaller(record::Command<JumpClientInstaller>),
    /// What else is done with installers: extended, handed out.
    Installer(installer::Command),
    /// Jump Clients.
    JumpClient(jump_client::Command),
    /// Shell Jump items.
    ShellJump(shell::Command),
    /// Jumpoints and their users.
    Jumpoint(jumpoint::Command),
    /// Session policies.
    SessionPolicy(record::Command<SessionPolicy>),
    /// Custom fields of Jump Items and their values.
    CustomField(custom_field::Command),
    /// Custom attributes of sessions.
    CustomSessionAttribute(record::Command<CustomSessionAttribute>),
    /// Access sessions.
    AccessSession(access_session::Command),
    /// Jump on Startup groups.
    StartupGroup(startup_group::Command),
    /// Nodes.
    Node(node::Command),
    /// What still follows from a right that was taken away.
    AccessReview(review::Command),
    /// Refusals to write down.
    Audit(audit::Command),
}

impl Command {
    /// The command's name in the audit, such as `access_session.start`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::FirstStart(_) => "site.first_start",
            Self::Upgrade(_) => "site.upgrade",
            Self::AgentTrust(command) => match command {
                agent_trust::Command::Begin { .. } => "agent_trust.begin",
                agent_trust::Command::AddAnchor(_) => "agent_trust.add_anchor",
                agent_trust::Command::WithdrawAnchor { .. } => "agent_trust.withdraw_anchor",
                agent_trust::Command::AddAddress { .. } => "agent_trust.add_address",
                agent_trust::Command::WithdrawAddress { .. } => "agent_trust.withdraw_address",
            },
            Self::SiteSettings(command) => record_name(
                command,
                "site_settings.create",
                "site_settings.change",
                "site_settings.delete",
            ),
            Self::TicketSystem(command) => record_name(
                command,
                "ticket_system.create",
                "ticket_system.change",
                "ticket_system.delete",
            ),
            Self::MailSettings(command) => record_name(
                command,
                "mail_settings.create",
                "mail_settings.change",
                "mail_settings.delete",
            ),
            Self::MailTemplate(command) => match command {
                mail_template::Command::Set(..) => "mail_template.set",
                mail_template::Command::Reset(_) => "mail_template.reset",
            },
            Self::MailDelivery(command) => match command {
                mail_delivery::Command::Queue(..) => "mail_delivery.queue",
                mail_delivery::Command::QueueTest { .. } => "mail_delivery.queue_test",
                mail_delivery::Command::Settle { .. } => "mail_delivery.settle",
                mail_delivery::Command::Requeue(_) => "mail_delivery.requeue",
                mail_delivery::Command::RequeueParked => "mail_delivery.requeue_parked",
                mail_delivery::Command::Discard(_) => "mail_delivery.discard",
            },
            Self::User(command) => match command {
                user::Command::Record(command) => {
                    record_name(command, "user.create", "user.change", "user.delete")
                }
                user::Command::SignIn(_) => "user.sign_in",
                user::Command::SetPassword { .. } => "user.set_password",
                user::Command::SignOut { .. } => "user.sign_out",
                user::Command::ResetAdministrator { .. } => "administrator.reset",
            },
            Self::Team(command) => match command {
                team::Command::Record(command) => {
                    record_name(command, "team.create", "team.change", "team.delete")
                }
                team::Command::AddMember(..) => "team.add_member",
                team::Command::ChangeMember { .. } => "team.change_member",
                team::Command::RemoveMember(..) => "team.remove_member",
            },
            Self::ApiAccount(command) => match command {
                api_account::Command::Record(command) => record_name(
                    command,
                    "api_account.create",
                    "api_account.change",
                    "api_account.delete",
                ),
                api_account::Command::RegenerateSecret { .. } => "api_account.regenerate_secret",
                api_account::Command::Authenticate { .. } => "api_account.authenticate",
            },
            Self::JumpItemRole(command) => record_name(
                command,
                "jump_item_role.create",
                "jump_item_role.change",
                "jump_item_role.delete",
            ),
            Self::JumpGroup(command) => match command {
                jump_group::Command::Record(command) => record_name(
                    command,
                    "jump_group.create",
                    "jump_group.change",
                    "jump_group.delete",
                ),
                jump_group::Command::AddMember(..) => "jump_group.add_member",
                jump_group::Command::ChangeMember(..) => "jump_group.change_member",
                jump_group::Command::RemoveMember(..) => "jump_group.remove_member",
            },
            Self::GroupPolicy(command) => match command {
                group_policy::Command::Record(command) => record_name(
                    command,
                    "group_policy.create",
                    "group_policy.change",
                    "group_policy.delete",
                ),
                group_policy::Command::Copy(..) => "group_policy.copy",
                group_policy::Command::SetOrder(_) => "group_policy.set_order",
                group_policy::Command::AddMember(..) => "group_policy.add_member",
                group_policy::Command::RemoveMember(..) => "group_policy.remove_member",
                group_policy::Command::ChangePoliciesOf { .. } => "group_policy.change_policies_of",
                group_policy::Command::AddJumpGroup(..) => "group_policy.add_jump_group",
                group_policy::Command::AddTeam(..) => "group_policy.add_team",
                group_policy::Command::AddJumpoint(..) => "group_policy.add_jumpoint",
                group_policy::Command::AddRemoval(..) => "group_policy.add_removal",
                group_policy::Command::DropRow(..) => "group_policy.drop_row",
                group_policy::Command::DropRemoval(..) => "group_policy.drop_removal",
                group_policy::Command::Provision(_) => "group_policy.provision",
            },
            Self::JumpPolicy(command) => match command {
                jump_policy::Command::Record(command) => record_name(
                    command,
                    "jump_policy.create",
                    "jump_policy.change",
                    "jump_policy.delete",
                ),
                jump_policy::Command::SetSchedule(..) => "jump_policy.set_schedule",
            },
            Self::AccessRequest(command) => match command {
                access_request::Command::Submit(_) => "access_request.submit",
                access_request::Command::Approve { .. } => "access_request.approve",
                access_request::Command::Deny { .. } => "access_request.deny",
                access_request::Command::Cancel { .. } => "access_request.cancel",
                access_request::Command::Expire { .. } => "access_request.expire",
            },
            Self::TicketRequest(command) => match command {
                ticket::Command::Ask(_) => "ticket_request.ask",
                ticket::Command::NoteSent { .. } => "ticket_request.note_sent",
                ticket::Command::Answer(_) => "ticket_request.answer",
                ticket::Command::TimeOut { .. } => "ticket_request.time_out",
                ticket::Command::Void { .. } => "ticket_request.void",
            },
            Self::Installer(command) => match command {
                installer::Command::Extend { .. } => "jump_client_installer.extend",
                installer::Command::Mail(_) => "jump_client_installer.mail",
            },
            Self::JumpClientInstaller(command) => record_name(
                command,
                "jump_client_installer.create",
                "jump_client_installer.change",
                "jump_client_installer.delete",
            ),
            Self::JumpClient(command) => match command {
                jump_client::Command::Register(_) => "jump_client.register",
                jump_client::Command::Connect { .. } => "jump_client.connect",
                jump_client::Command::CheckIn { .. } => "jump_client.check_in",
                jump_client::Command::Disconnect { .. } => "jump_client.disconnect",
                jump_client::Command::MarkLost(_) => "jump_client.mark_lost",
                jump_client::Command::Expire(_) => "jump_client.expire",
                jump_client::Command::Uninstall { .. } => "jump_client.uninstall",
                jump_client::Command::OfferToken { .. } => "jump_client.offer_token",
                jump_client::Command::ConfirmToken { .. } => "jump_client.confirm_token",
                jump_client::Command::ConfirmTrust { .. } => "jump_client.confirm_trust",
                jump_client::Command::Quarantine { .. } => "jump_client.quarantine",
                jump_client::Command::Copy(..) => "jump_client.copy",
                jump_client::Command::Change(..) => "jump_client.change",
                jump_client::Command::Edit(..) => "jump_client.edit",
                jump_client::Command::Delete(_) => "jump_client.delete",
            },
            Self::ShellJump(command) => match command {
                shell::Command::Record(command) => record_name(
                    command,
                    "shell_jump.create",
                    "shell_jump.change",
                    "shell_jump.delete",
                ),
                shell::Command::Copy(..) => "shell_jump.copy",
            },
            Self::Jumpoint(command) => match command {
                jumpoint::Command::Record(command) => record_name(
                    command,
                    "jumpoint.create",
                    "jumpoint.change",
                    "jumpoint.delete",
                ),
                jumpoint::Command::AddUser(..) => "jumpoint.add_user",
                jumpoint::Command::RemoveUser(..) => "jumpoint.remove_user",
            },
            Self::SessionPolicy(command) => record_name(
                command,
                "session_policy.create",
                "session_policy.change",
                "session_policy.delete",
            ),
            Self::CustomField(command) => match command {
                custom_field::Command::Record(command) => record_name(
                    command,
                    "custom_field.create",
                    "custom_field.change",
                    "custom_field.delete",
                ),
                custom_field::Command::SetValues(..) => "jump_item.set_custom_fields",
            },
            Self::CustomSessionAttribute(command) => record_name(
                command,
                "custom_session_attribute.create",
                "custom_session_attribute.change",
                "custom_session_attribute.delete",
            ),
            Self::AccessSession(command) => match command {
                access_session::Command::Start(_) => "access_session.start",
                access_session::Command::Establish { .. } => "access_session.establish",
                access_session::Command::Fail { .. } => "access_session.fail",
                access_session::Command::FailCall { .. } => "access_session.fail_call",
                access_session::Command::TimeOut { .. } => "access_session.time_out",
                access_session::Command::End { .. } => "access_session.end",
                access_session::Command::EndByEndpoint { .. } => "access_session.end_by_endpoint",
                access_session::Command::EndBySchedule { .. } => "access_session.end_by_schedule",
                access_session::Command::Abandon { .. } => "access_session.abandon",
                access_session::Command::AnnounceEnd { .. } => "access_session.announce_end",
                access_session::Command::Join(_) => "access_session.join",
                access_session::Command::Invite { .. } => "access_session.invite",
                access_session::Command::AcceptInvitation { .. } => {
                    "access_session.accept_invitation"
                }
                access_session::Command::CloseInvitation { .. } => {
                    "access_session.close_invitation"
                }
                access_session::Command::Leave { .. } => "access_session.leave",
                access_session::Command::TransferOwnership { .. } => {
                    "access_session.transfer_ownership"
                }
                access_session::Command::NoteActivity { .. } => "access_session.note_activity",
                access_session::Command::RemoveInactive { .. } => "access_session.remove_inactive",
                access_session::Command::SetAttributes(_) => "access_session.set_attributes",
                access_session::Command::RecordDetail(_) => "access_session.record_detail",
            },
            Self::StartupGroup(command) => match command {
                startup_group::Command::Add { .. } => "startup_group.add",
                startup_group::Command::Remove { .. } => "startup_group.remove",
            },
            Self::Node(command) => match command {
                node::Command::Start { .. } => "node.start",
                node::Command::Stop { .. } => "node.stop",
                node::Command::RecordCheckIns { .. } => "node.record_check_ins",
                node::Command::NoteClock { .. } => "node.note_clock",
            },
            Self::AccessReview(review::Command::Continue) => "access_review.continue",
            Self::Audit(_) => "audit.record",
        }
    }

    /// The stream of the one thing it is asked of, where there is one already.
    #[must_use]
    pub fn subject(&self) -> Option<String> {
        let of = |category: &str, id: &dyn std::fmt::Display| Some(format!("{category}-{id}"));
        match self {
            Self::User(user::Command::SignIn(sign_in)) => of("user", &sign_in.user),
            Self::User(
                user::Command::SetPassword { user, .. } | user::Command::SignOut { user, .. },
            ) => of("user", user),
            Self::User(user::Command::ResetAdministrator { user, .. }) => of("user", user),
            Self::User(user::Command::Record(command)) => record_subject(command),
            Self::Team(team::Command::Record(command)) => record_subject(command),
            Self::Team(
                team::Command::AddMember(team, ..)
                | team::Command::ChangeMember { team, .. }
                | team::Command::RemoveMember(team, _),
            ) => of("team", team),
            Self::ApiAccount(api_account::Command::Record(command)) => record_subject(command),
            Self::ApiAccount(
                api_account::Command::RegenerateSecret { account, .. }
                | api_account::Command::Authenticate { account, .. },
            ) => of("api_account", account),
            Self::JumpItemRole(command) => record_subject(command),
            Self::JumpGroup(jump_group::Command::Record(command)) => record_subject(command),
            Self::JumpGroup(
                jump_group::Command::AddMember(group, ..)
                | jump_group::Command::ChangeMember(group, ..)
                | jump_group::Command::RemoveMember(group, _),
            ) => of("jump_group", group),
            Self::GroupPolicy(command) => match command {
                group_policy::Command::Record(command) => record_subject(command),
                group_policy::Command::SetOrder(_) => None,
                group_policy::Command::ChangePoliciesOf { user, .. } => of("user", user),
                group_policy::Command::Copy(policy, _)
                | group_policy::Command::AddMember(policy, _)
                | group_policy::Command::RemoveMember(policy, _)
                | group_policy::Command::AddJumpGroup(policy, ..)
                | group_policy::Command::AddTeam(policy, ..)
                | group_policy::Command::AddJumpoint(policy, _)
                | group_policy::Command::AddRemoval(policy, _)
                | group_policy::Command::DropRow(policy, _)
                | group_policy::Command::DropRemoval(policy, _)
                | group_policy::Command::Provision(policy) => of("group_policy", policy),
            },
            Self::JumpPolicy(jump_policy::Command::Record(command)) => record_subject(command),
            Self::JumpPolicy(jump_policy::Command::SetSchedule(policy, _)) => {
                of("jump_policy", policy)
            }
            Self::AccessRequest(command) => match command {
                access_request::Command::Submit(submit) => Some(submit.item.to_string()),
                access_request::Command::Approve { request, .. }
                | access_request::Command::Deny { request, .. }
                | access_request::Command::Cancel { request }
                | access_request::Command::Expire { request } => of("access_request", request),
            },
            Self::TicketRequest(command) => match command {
                ticket::Command::Ask(ask) => Some(ask.start.item.to_string()),
                ticket::Command::NoteSent { request, .. }
                | ticket::Command::TimeOut { request }
                | ticket::Command::Void { request } => of("ticket_request", request),
                ticket::Command::Answer(_) => None,
            },
            Self::JumpClientInstaller(command) => record_subject(command),
            Self::Installer(
                installer::Command::Extend { installer, .. }
                | installer::Command::Mail(installer::MailLink { installer, .. }),
            ) => of("jump_client_installer", installer),
            Self::JumpClient(command) => match command {
                jump_client::Command::Register(register) => {
                    of("jump_client_installer", &register.installer)
                }
                jump_client::Command::Connect { client, .. }
                | jump_client::Command::CheckIn { client, .. }
                | jump_client::Command::Disconnect { client, .. }
                | jump_client::Command::MarkLost(client)
                | jump_client::Command::Expire(client)
                | jump_client::Command::Uninstall { client, .. }
                | jump_client::Command::OfferToken { client, .. }
                | jump_client::Command::ConfirmToken { client, .. }
                | jump_client::Command::ConfirmTrust { client, .. }
                | jump_client::Command::Quarantine { client, .. }
                | jump_client::Command::Copy(client, _)
                | jump_client::Command::Change(client, _)
                | jump_client::Command::Edit(client, _)
                | jump_client::Command::Delete(client) => of("jump_client", client),
            },
            Self::AccessSession(command) => match command {
                access_session::Command::Start(start) => Some(start.item.to_string()),
                access_session::Command::Establish { lsid, .. }
                | access_session::Command::Fail { lsid, .. }
                | access_session::Command::FailCall { lsid, .. }
                | access_session::Command::TimeOut { lsid }
                | access_session::Command::End { lsid }
                | access_session::Command::EndByEndpoint { lsid, .. }
                | access_session::Command::EndBySchedule { lsid }
                | access_session::Command::AnnounceEnd { lsid }
                | access_session::Command::Abandon { lsid }
                | access_session::Command::Join(access_session::Join { lsid, .. })
                | access_session::Command::Invite { lsid, .. }
                | access_session::Command::AcceptInvitation { lsid, .. }
                | access_session::Command::CloseInvitation { lsid, .. }
                | access_session::Command::Leave { lsid }
                | access_session::Command::TransferOwnership { lsid, .. }
                | access_session::Command::NoteActivity { lsid }
                | access_session::Command::RemoveInactive { lsid }
                | access_session::Command::SetAttributes(access_session::SetAttributes {
                    lsid,
                    ..
                }) => of("access_session", lsid),
                access_session::Command::RecordDetail(record) => of("access_session", &record.lsid),
            },
            Self::MailTemplate(
                mail_template::Command::Set(template, _) | mail_template::Command::Reset(template),
            ) => of("mail_template", template),
            Self::MailDelivery(
                mail_delivery::Command::Queue(delivery, _)
                | mail_delivery::Command::Settle { delivery, .. }
                | mail_delivery::Command::Requeue(delivery)
                | mail_delivery::Command::Discard(delivery),
            ) => of("mail_delivery", delivery),
            Self::MailSettings(_)
            | Self::MailDelivery(
                mail_delivery::Command::QueueTest { .. } | mail_delivery::Command::RequeueParked,
            ) => None,
            Self::ShellJump(shell::Command::Record(command)) => record_subject(command),
            Self::ShellJump(shell::Command::Copy(item, _)) => of("shell_jump", item),
            Self::StartupGroup(
                startup_group::Command::Add { item, .. }
                | startup_group::Command::Remove { item, .. },
            ) => Some(item.to_string()),
            Self::Jumpoint(jumpoint::Command::Record(command)) => record_subject(command),
            Self::Jumpoint(
                jumpoint::Command::AddUser(jumpoint, _)
                | jumpoint::Command::RemoveUser(jumpoint, _),
            ) => of("jumpoint", jumpoint),
            Self::SessionPolicy(command) => record_subject(command),
            Self::CustomField(custom_field::Command::Record(command)) => record_subject(command),
            Self::CustomField(custom_field::Command::SetValues(item, _)) => Some(item.to_string()),
            Self::CustomSessionAttribute(command) => record_subject(command),
            Self::FirstStart(_)
            | Self::Upgrade(_)
            | Self::AgentTrust(_)
            | Self::SiteSettings(_)
            | Self::TicketSystem(_)
            | Self::Node(_)
            | Self::AccessReview(_)
            | Self::Audit(_) => None,
        }
    }

    /// What a start is asked with and decided by, where it is one.
    #[must_use]
    pub fn inputs(&self, world: &World) -> Option<Inputs> {
        match self {
            Self::AccessSession(access_session::Command::Start(start)) => {
                Inputs::of(world, start, start.supplied(false), None)
            }
            Self::TicketRequest(ticket::Command::Ask(ask)) => {
                Inputs::of(world, &ask.start, ask.start.supplied(true), None)
            }
            _ => None,
        }
    }

    /// Whether every refusal of this command is an event of its own: Jump actions, approvals and sign-ins (architecture.md, "Refusals").
    #[must_use]
    pub const fn refusals_are_recorded(&self) -> bool {
        matches!(
            self,
            Self::AccessSession(
                access_session::Command::Start(_)
                    | access_session::Command::Join(_)
                    | access_session::Command::AcceptInvitation { .. }
                    | access_session::Command::End { .. }
            ) | Self::AccessRequest(
                access_request::Command::Submit(_)
                    | access_request::Command::Approve { .. }
                    | access_request::Command::Deny { .. }
                    | access_request::Command::Cancel { .. }
            ) | Self::TicketRequest(ticket::Command::Ask(_))
                | Self::User(user::Command::SignIn(_))
        )
    }
}

const fn record_name<R: record::Record>(
    command: &record::Command<R>,
    create: &'static str,
    change: &'static str,
    delete: &'static str,
) -> &'static str {
    match command {
        record::Command::Create(_) => create,
        record::Command::Change(..) | record::Command::ChangePermissions(..) => change,
        record::Command::Delete(_) => delete,
    }
}

fn record_subject<R: record::Record>(command: &record::Command<R>) -> Option<String> {
    match command {
        record::Command::Create(_) => None,
        record::Command::Change(id, _)
        | record::Command::ChangePermissions(id, _)
        | record::Command::Delete(id) => Some(format!("{}-{id}", R::CATEGORY)),
    }
}
