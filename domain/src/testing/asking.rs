//! Commands, as stories ask them.

use serde_json::Value;

use crate::access::group_policy::{self, GroupPolicy};
use crate::access::jump_group::{self, JumpGroup, Membership};
use crate::access::role::JumpItemRole;
use crate::fleet::installer::JumpClientInstaller;
use crate::fleet::jump_client::{self, Facts, Overrides, Properties, Register};
use crate::ids::{
    JumpClientId, JumpClientInstallerId, JumpGroupId, JumpItemRef, JumpItemRoleId, KeyedHash,
    LinkId, Lsid, SecretRef, UserId,
};
use crate::items::custom_field::{self, CustomField};
use crate::items::jumpoint::{self, Jumpoint};
use crate::items::shell::{self, ShellJump};
use crate::policy::access_request;
use crate::policy::jump_policy::{self, JumpPolicy};
use crate::policy::session_policy::SessionPolicy;
use crate::policy::ticket;
use crate::record::{self, Object, Record};
use crate::session::{access_session, startup_group};
use crate::site::api_account::{self, ApiAccount};
use crate::site::custom_session_attribute::CustomSessionAttribute;
use crate::site::mail_settings::MailSettings;
use crate::site::settings::SiteSettings;
use crate::site::team::{self, Team};
use crate::site::ticket_system::TicketSystem;
use crate::site::user::{self, User};
use crate::site::{agent_trust, mail_delivery, mail_template};
use crate::testing::NODE;
use crate::{Command, site};

/// A record whose commands can be made from a body.
pub trait Asked: Record {
    /// The command of the whole domain.
    fn command(command: record::Command<Self>) -> Command;
}

macro_rules! asked {
    ($($record:ty => $wrap:expr;)*) => {$(
        impl Asked for $record {
            fn command(command: record::Command<Self>) -> Command {
                $wrap(command)
            }
        }
    )*};
}

asked! {
    SiteSettings => Command::SiteSettings;
    TicketSystem => Command::TicketSystem;
    MailSettings => Command::MailSettings;
    User => |command| Command::User(user::Command::Record(command));
    ApiAccount => |command| Command::ApiAccount(api_account::Command::Record(command));
    JumpItemRole => Command::JumpItemRole;
    Team => |command| Command::Team(team::Command::Record(command));
    GroupPolicy => |command| Command::GroupPolicy(group_policy::Command::Record(command));
    JumpGroup => |command| Command::JumpGroup(jump_group::Command::Record(command));
    JumpPolicy => |command| Command::JumpPolicy(jump_policy::Command::Record(command));
    JumpClientInstaller => Command::JumpClientInstaller;
    ShellJump => |command| Command::ShellJump(shell::Command::Record(command));
    Jumpoint => |command| Command::Jumpoint(jumpoint::Command::Record(command));
    SessionPolicy => Command::SessionPolicy;
    CustomField => |command| Command::CustomField(custom_field::Command::Record(command));
    CustomSessionAttribute => Command::CustomSessionAttribute;
}

impl Asked for Properties {
    fn command(command: record::Command<Self>) -> Command {
        Command::JumpClient(match command {
            record::Command::Change(id, body) => jump_client::Command::Change(id, body),
            record::Command::Delete(id) => jump_client::Command::Delete(id),
            other => panic!("a Jump Client can't be asked {other:?}"),
        })
    }
}

/// A body.
///
/// # Panics
/// When it is no object.
#[must_use]
pub fn object(body: Value) -> Object {
    match body {
        Value::Object(object) => object,
        other => panic!("{other} is no body"),
    }
}

/// Make a record.
#[must_use]
pub fn create<R: Asked>(body: Value) -> Command {
    R::command(record::Command::Create(object(body)))
}

/// Change a record.
#[must_use]
pub fn change<R: Asked>(id: R::Id, body: Value) -> Command {
    R::command(record::Command::Change(id, object(body)))
}

/// Delete a record.
#[must_use]
pub fn delete<R: Asked>(id: R::Id) -> Command {
    R::command(record::Command::Delete(id))
}

/// Make the site.
#[must_use]
pub fn first_start() -> Command {
    Command::FirstStart(site::first_start::Command {
        username: "administrator".to_owned(),
        password: SecretRef("0123456789abcdef0123456789abcdef".to_owned()),
        client_secret: SecretRef("fedcba9876543210fedcba9876543210".to_owned()),
        company_name: String::new(),
    })
}

/// Make `user` a member with this role.
#[must_use]
pub fn add_member(group: JumpGroupId, user: UserId, role: Option<JumpItemRoleId>) -> Command {
    let membership = Membership {
        jump_item_role_id: role,
        jump_policy_id: None,
    };
    Command::JumpGroup(jump_group::Command::AddMember(group, user, membership))
}

/// Jump to a client.
#[must_use]
pub fn start(user: UserId, client: JumpClientId) -> Command {
    start_on(user, JumpItemRef::JumpClient(client))
}

/// Jump to an item.
#[must_use]
pub fn start_on(user: UserId, item: JumpItemRef) -> Command {
    Command::AccessSession(access_session::Command::Start(access_session::Start::new(
        user,
        item,
        "192.0.2.10:50000".to_owned(),
        "Linux".to_owned(),
    )))
}

/// End a sign-in of a user, the one known as `sign_in`.
#[must_use]
pub fn sign_out(user: UserId, sign_in: &str) -> Command {
    Command::User(site::user::Command::SignOut {
        user,
        sign_in: KeyedHash(sign_in.to_owned()),
    })
}

/// End a session.
#[must_use]
pub fn end(lsid: Lsid) -> Command {
    Command::AccessSession(access_session::Command::End { lsid })
}

/// A machine that shows the installer's secret and overrides nothing, in connection `connection` of the node.
#[must_use]
pub fn register(installer: JumpClientInstallerId, connection: u64) -> Register {
    Register {
        installer,
        link: LinkId {
            node: NODE,
            connection,
        },
        public_ip: "198.51.100.7:40000".to_owned(),
        boot_id: "boot-1".to_owned(),
        facts: Facts {
            hostname: "web01".to_owned(),
            ..Facts::default()
        },
        token: KeyedHash(format!("token-{connection}")),
        attempt: KeyedHash(format!("attempt-{connection}")),
        overrides: Overrides::default(),
    }
}

impl From<Register> for Command {
    fn from(register: Register) -> Self {
        Self::JumpClient(jump_client::Command::Register(Box::new(register)))
    }
}

impl From<jump_client::Command> for Command {
    fn from(command: jump_client::Command) -> Self {
        Self::JumpClient(command)
    }
}

impl From<jumpoint::Command> for Command {
    fn from(command: jumpoint::Command) -> Self {
        Self::Jumpoint(command)
    }
}

impl From<custom_field::Command> for Command {
    fn from(command: custom_field::Command) -> Self {
        Self::CustomField(command)
    }
}

impl From<shell::Command> for Command {
    fn from(command: shell::Command) -> Self {
        Self::ShellJump(command)
    }
}

impl From<access_session::Command> for Command {
    fn from(command: access_session::Command) -> Self {
        Self::AccessSession(command)
    }
}

impl From<team::Command> for Command {
    fn from(command: team::Command) -> Self {
        Self::Team(command)
    }
}

impl From<group_policy::Command> for Command {
    fn from(command: group_policy::Command) -> Self {
        Self::GroupPolicy(command)
    }
}

impl From<agent_trust::Command> for Command {
    fn from(command: agent_trust::Command) -> Self {
        Self::AgentTrust(command)
    }
}

impl From<startup_group::Command> for Command {
    fn from(command: startup_group::Command) -> Self {
        Self::StartupGroup(command)
    }
}

impl From<jump_group::Command> for Command {
    fn from(command: jump_group::Command) -> Self {
        Self::JumpGroup(command)
    }
}

impl From<ticket::Command> for Command {
    fn from(command: ticket::Command) -> Self {
        Self::TicketRequest(command)
    }
}

impl From<jump_policy::Command> for Command {
    fn from(command: jump_policy::Command) -> Self {
        Self::JumpPolicy(command)
    }
}

impl From<access_request::Command> for Command {
    fn from(command: access_request::Command) -> Self {
        Self::AccessRequest(command)
    }
}

impl From<user::Command> for Command {
    fn from(command: user::Command) -> Self {
        Self::User(command)
    }
}

impl From<api_account::Command> for Command {
    fn from(command: api_account::Command) -> Self {
        Self::ApiAccount(command)
    }
}

impl From<crate::node::Command> for Command {
    fn from(command: crate::node::Command) -> Self {
        Self::Node(command)
    }
}

impl From<mail_template::Command> for Command {
    fn from(command: mail_template::Command) -> Self {
        Self::MailTemplate(command)
    }
}

impl From<mail_delivery::Command> for Command {
    fn from(command: mail_delivery::Command) -> Self {
        Self::MailDelivery(command)
    }
}
