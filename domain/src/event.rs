//! Everything that happens, by aggregate, and its stored form: a stream, a stored name and a JSON text.
//!
//! Stored names and fields are for good: fields are only added, and old shapes are read in [`Event::from_stored`] alone.

use std::str::FromStr;

use crate::access::role::JumpItemRole;
use crate::access::{group_policy, jump_group, review};
use crate::fleet::installer::JumpClientInstaller;
use crate::fleet::jump_client;
use crate::ids::TicketRequestId;
use crate::ids::{
    AccessRequestId, ApiAccountId, CustomFieldId, CustomSessionAttributeId, GroupPolicyId,
    JumpClientId, JumpClientInstallerId, JumpGroupId, JumpItemRef, JumpItemRoleId, JumpPolicyId,
    JumpointId, Lsid, MailDeliveryId, MailSettingsId, MailTemplateId, NodeEpoch, SessionPolicyId,
    ShellJumpId, SiteSettingsId, TeamId, TicketSystemId, UserId,
};
use crate::items::custom_field::{self, CustomField};
use crate::items::jumpoint;
use crate::items::shell::{self, ShellJump};
use crate::policy::session_policy::SessionPolicy;
use crate::policy::ticket;
use crate::policy::{access_request, jump_policy};
use crate::record::{self, Record};
use crate::session::{access_session, startup_group};
use crate::site::custom_session_attribute::CustomSessionAttribute;
use crate::site::mail_settings::MailSettings;
use crate::site::settings::SiteSettings;
use crate::site::ticket_system::TicketSystem;
use crate::site::{
    agent_trust, api_account, first_start, mail_delivery, mail_template, team, user,
};
use crate::{audit, node};

#[cfg(test)]
mod tests;

/// Something that has happened.
#[derive(Clone, Debug, PartialEq)]
#[allow(
    clippy::large_enum_variant,
    reason = "events are read one at a time; a box each would cost an allocation a replayed event"
)]
pub enum Event {
    /// The site.
    Site(first_start::Event),
    /// What agents trust, and where they find the site.
    AgentTrust(agent_trust::Event),
    /// The site's settings.
    SiteSettings(SiteSettingsId, record::Event<SiteSettings>),
    /// The ticket system's settings.
    TicketSystem(TicketSystemId, record::Event<TicketSystem>),
    /// How mail leaves the site.
    MailSettings(MailSettingsId, record::Event<MailSettings>),
    /// A mail template.
    MailTemplate(MailTemplateId, mail_template::Event),
    /// A mail to one recipient.
    MailDelivery(MailDeliveryId, mail_delivery::Event),
    /// A user.
    User(UserId, user::Event),
    /// A team or its members.
    Team(TeamId, team::Event),
    /// An API account.
    ApiAccount(ApiAccountId, api_account::Event),
    /// A Jump Item Role.
    JumpItemRole(JumpItemRoleId, record::Event<JumpItemRole>),
    /// A Jump Group or its members.
    JumpGroup(JumpGroupId, jump_group::Event),
    /// A group policy, its members or rows.
    GroupPolicy(GroupPolicyId, group_policy::Event),
    /// The order of the group policies.
    GroupPolicyOrder(group_policy::Ordered),
    /// A Jump Policy or its schedule.
    JumpPolicy(JumpPolicyId, jump_policy::Event),
    /// A request for approved access.
    AccessRequest(AccessRequestId, access_request::Event),
    /// A request to the ticket system.
    TicketRequest(TicketRequestId, ticket::Event),
    /// A Jump Client installer.
    JumpClientInstaller(JumpClientInstallerId, record::Event<JumpClientInstaller>),
    /// A Jump Client.
    JumpClient(JumpClientId, jump_client::Event),
    /// A Shell Jump item.
    ShellJump(ShellJumpId, shell::Event),
    /// A Jumpoint or its users.
    Jumpoint(JumpointId, jumpoint::Event),
    /// A session policy.
    SessionPolicy(SessionPolicyId, record::Event<SessionPolicy>),
    /// A custom field of Jump Items.
    CustomField(CustomFieldId, record::Event<CustomField>),
    /// The values of an item's custom fields.
    ItemCustomFields(JumpItemRef, custom_field::ValuesSet),
    /// A custom attribute of sessions.
    CustomSessionAttribute(
        CustomSessionAttributeId,
        record::Event<CustomSessionAttribute>,
    ),
    /// An access session.
    AccessSession(Lsid, access_session::Event),
    /// The Jump on Startup group of a user.
    StartupGroup(UserId, startup_group::Event),
    /// A run of a node.
    Node(NodeEpoch, node::Event),
    /// What still follows from a right that was taken away.
    AccessReview(review::Event),
    /// A refusal, on the day `yyyymmdd`.
    Audit(u32, audit::Event),
    /// Something that another program wrote into a stream `external-…`: kept and shown, and of no effect here.
    External(External),
}

/// The category of streams that are not ours.
const EXTERNAL: &str = "external";

/// An event of another program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    /// Its stream: `external-…`.
    pub stream: String,
    /// The name of its type.
    pub name: String,
    /// Its body, which may be anything.
    pub body: Vec<u8>,
}

/// Why a stored event can't be read.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableEvent {
    /// The stream's category is none of ours.
    #[error("stream {stream} has no known category")]
    UnknownCategory {
        /// The stream's name.
        stream: String,
    },
    /// The stream's name does not end in an id of its category.
    #[error("stream {stream} does not name one of its category")]
    BadStream {
        /// The stream's name.
        stream: String,
    },
    /// The stored name is none of the category's; a newer version may have written it.
    #[error("event type {name} is not known in stream {stream}")]
    UnknownName {
        /// The stream's name.
        stream: String,
        /// The stored name.
        name: String,
    },
    /// The text is not of the event's form.
    #[error("event {name} in stream {stream} can't be read")]
    BadText {
        /// The stream's name.
        stream: String,
        /// The stored name.
        name: String,
        /// What the parser says.
        source: serde_json::Error,
    },
}

impl Event {
    /// The stream it belongs to: `<category>-<id>`, or `site`.
    #[must_use]
    pub fn stream(&self) -> String {
        match self {
            Self::Site(_) => "site".to_owned(),
            Self::AgentTrust(_) => agent_trust::STREAM.to_owned(),
            Self::SiteSettings(id, _) => format!("site_settings-{id}"),
            Self::TicketSystem(id, _) => format!("ticket_system-{id}"),
            Self::MailSettings(id, _) => format!("mail_settings-{id}"),
            Self::MailTemplate(id, _) => format!("mail_template-{id}"),
            Self::MailDelivery(id, _) => format!("mail_delivery-{id}"),
            Self::User(id, _) => format!("user-{id}"),
            Self::Team(id, _) => format!("team-{id}"),
            Self::ApiAccount(id, _) => format!("api_account-{id}"),
            Self::JumpItemRole(id, _) => format!("jump_item_role-{id}"),
            Self::JumpGroup(id, _) => format!("jump_group-{id}"),
            Self::GroupPolicy(id, _) => format!("group_policy-{id}"),
            Self::GroupPolicyOrder(_) => group_policy::ORDER_STREAM.to_owned(),
            Self::JumpPolicy(id, _) => format!("jump_policy-{id}"),
            Self::AccessRequest(id, _) => format!("access_request-{id}"),
            Self::TicketRequest(id, _) => format!("ticket_request-{id}"),
            Self::JumpClientInstaller(id, _) => format!("jump_client_installer-{id}"),
            Self::JumpClient(id, _) => format!("jump_client-{id}"),
            Self::ShellJump(id, _) => format!("shell_jump-{id}"),
            Self::Jumpoint(id, _) => format!("jumpoint-{id}"),
            Self::SessionPolicy(id, _) => format!("session_policy-{id}"),
            Self::CustomField(id, _) => format!("custom_field-{id}"),
            Self::ItemCustomFields(item, _) => {
                // A stream has one dash, before its id.
                let (kind, number) = (item.type_name(), item.number());
                format!("item_custom_fields-{kind}_{number}")
            }
            Self::CustomSessionAttribute(id, _) => format!("custom_session_attribute-{id}"),
            Self::AccessSession(lsid, _) => format!("access_session-{lsid}"),
            Self::StartupGroup(user, _) => format!("startup_group-{user}"),
            Self::Node(epoch, _) => format!("node-{epoch}"),
            Self::AccessReview(_) => review::STREAM.to_owned(),
            Self::Audit(day, _) => format!("refusal-{day:08}"),
            Self::External(event) => event.stream.clone(),
        }
    }

    /// The name it is stored under.
    #[must_use]
    pub fn stored_name(&self) -> &'static str {
        match self {
            Self::Site(event) => event.stored_name(),
            Self::AgentTrust(event) => event.stored_name(),
            Self::SiteSettings(_, event) => event.stored_name(),
            Self::TicketSystem(_, event) => event.stored_name(),
            Self::MailSettings(_, event) => event.stored_name(),
            Self::MailTemplate(_, event) => event.stored_name(),
            Self::MailDelivery(_, event) => event.stored_name(),
            Self::User(_, event) => event.stored_name(),
            Self::Team(_, event) => event.stored_name(),
            Self::ApiAccount(_, event) => event.stored_name(),
            Self::JumpItemRole(_, event) => event.stored_name(),
            Self::JumpGroup(_, event) => event.stored_name(),
            Self::GroupPolicy(_, event) => event.stored_name(),
            Self::GroupPolicyOrder(_) => group_policy::Ordered::STORED_NAME,
            Self::JumpPolicy(_, event) => event.stored_name(),
            Self::AccessRequest(_, event) => event.stored_name(),
            Self::TicketRequest(_, event) => event.stored_name(),
            Self::JumpClientInstaller(_, event) => event.stored_name(),
            Self::JumpClient(_, event) => event.stored_name(),
            Self::ShellJump(_, event) => event.stored_name(),
            Self::Jumpoint(_, event) => event.stored_name(),
            Self::SessionPolicy(_, event) => event.stored_name(),
            Self::CustomField(_, event) => event.stored_name(),
            Self::ItemCustomFields(..) => custom_field::ValuesSet::STORED_NAME,
            Self::CustomSessionAttribute(_, event) => event.stored_name(),
            Self::AccessSession(_, event) => event.stored_name(),
            Self::StartupGroup(_, event) => event.stored_name(),
            Self::Node(_, event) => event.stored_name(),
            Self::AccessReview(event) => event.stored_name(),
            Self::Audit(_, event) => event.stored_name(),
            // It is never written here, and has a name of its own.
            Self::External(_) => "External",
        }
    }

    /// The JSON text it is stored as.
    ///
    /// # Errors
    /// Never for the events of this crate: they are structs of plain values with text keys.
    pub fn to_text(&self) -> Result<Vec<u8>, serde_json::Error> {
        match self {
            Self::Site(event) => serde_json::to_vec(event),
            Self::AgentTrust(event) => serde_json::to_vec(event),
            Self::SiteSettings(_, event) => serde_json::to_vec(event),
            Self::TicketSystem(_, event) => serde_json::to_vec(event),
            Self::MailSettings(_, event) => serde_json::to_vec(event),
            Self::MailTemplate(_, event) => serde_json::to_vec(event),
            Self::MailDelivery(_, event) => serde_json::to_vec(event),
            Self::User(_, event) => serde_json::to_vec(event),
            Self::Team(_, event) => serde_json::to_vec(event),
            Self::ApiAccount(_, event) => serde_json::to_vec(event),
            Self::JumpItemRole(_, event) => serde_json::to_vec(event),
            Self::JumpGroup(_, event) => serde_json::to_vec(event),
            Self::GroupPolicy(_, event) => serde_json::to_vec(event),
            Self::GroupPolicyOrder(event) => serde_json::to_vec(event),
            Self::JumpPolicy(_, event) => serde_json::to_vec(event),
            Self::AccessRequest(_, event) => serde_json::to_vec(event),
            Self::TicketRequest(_, event) => serde_json::to_vec(event),
            Self::JumpClientInstaller(_, event) => serde_json::to_vec(event),
            Self::JumpClient(_, event) => serde_json::to_vec(event),
            Self::ShellJump(_, event) => serde_json::to_vec(event),
            Self::Jumpoint(_, event) => serde_json::to_vec(event),
            Self::SessionPolicy(_, event) => serde_json::to_vec(event),
            Self::CustomField(_, event) => serde_json::to_vec(event),
            Self::ItemCustomFields(_, event) => serde_json::to_vec(event),
            Self::CustomSessionAttribute(_, event) => serde_json::to_vec(event),
            Self::AccessSession(_, event) => serde_json::to_vec(event),
            Self::StartupGroup(_, event) => serde_json::to_vec(event),
            Self::Node(_, event) => serde_json::to_vec(event),
            Self::AccessReview(event) => serde_json::to_vec(event),
            Self::Audit(_, event) => serde_json::to_vec(event),
            Self::External(event) => Ok(event.body.clone()),
        }
    }

    /// Reads an event back from its stored form.
    ///
    /// # Errors
    /// When the stream, the name or the text is none of ours.
    pub fn from_stored(stream: &str, name: &str, text: &[u8]) -> Result<Self, UnreadableEvent> {
        let (category, id) = stream.split_once('-').unwrap_or((stream, ""));
        let read =
            match category {
                "site" => {
                    first_start::Event::from_stored(name, text).map(|event| event.map(Self::Site))
                }
                agent_trust::STREAM => agent_trust::Event::from_stored(name, text)
                    .map(|event| event.map(Self::AgentTrust)),
                SiteSettings::CATEGORY => {
                    let id = parse(stream, id)?;
                    record::Event::from_stored(name, text)
                        .map(|event| event.map(|event| Self::SiteSettings(id, event)))
                }
                TicketSystem::CATEGORY => {
                    let id = parse(stream, id)?;
                    record::Event::from_stored(name, text)
                        .map(|event| event.map(|event| Self::TicketSystem(id, event)))
                }
                MailSettings::CATEGORY => {
                    let id = parse(stream, id)?;
                    record::Event::from_stored(name, text)
                        .map(|event| event.map(|event| Self::MailSettings(id, event)))
                }
                "mail_template" => {
                    let id = parse(stream, id)?;
                    mail_template::Event::from_stored(name, text)
                        .map(|event| event.map(|event| Self::MailTemplate(id, event)))
                }
                "mail_delivery" => {
                    let id = parse(stream, id)?;
                    mail_delivery::Event::from_stored(name, text)
                        .map(|event| event.map(|event| Self::MailDelivery(id, event)))
                }
                "user" => {
                    let id = parse(stream, id)?;
                    user::Event::from_stored(name, text)
                        .map(|event| event.map(|event| Self::User(id, event)))
                }
                "team" => {
                    let id = parse(stream, id)?;
                    team::Event::from_stored(name, text)
                        .map(|event| event.map(|event| Self::Team(id, event)))
                }
                "api_account" => {
                    let id = parse(stream, id)?;
                    api_account::Event::from_stored(name, text)
                        .map(|event| event.map(|event| Self::ApiAccount(id, event)))
                }
                JumpItemRole::CATEGORY => {
                    let id = parse(stream, id)?;
                    record::Event::from_stored(name, text)
                        .map(|event| event.map(|event| Self::JumpItemRole(id, event)))
                }
                "jump_group" => {
                    let id = parse(stream, id)?;
                    jump_group::Event::from_stored(name, text)
                        .map(|event| event.map(|event| Self::JumpGroup(id, event)))
                }
                "group_policy" => {
                    let id = parse(stream, id)?;
                    group_policy::Event::from_stored(name, text)
                        .map(|event| event.map(|event| Self::GroupPolicy(id, event)))
                }
                group_policy::ORDER_STREAM => group_policy::Ordered::from_stored(name, text)
                    .map(|event| event.map(Self::GroupPolicyOrder)),
                review::STREAM => review::Event::from_stored(name, text)
                    .map(|event| event.map(Self::AccessReview)),
                "jump_policy" => {
                    let id = parse(stream, id)?;
                    jump_policy::Event::from_stored(name, text)
                        .map(|event| event.map(|event| Self::JumpPolicy(id, event)))
                }
                "access_request" => {
                    let id = parse(stream, id)?;
                    access_request::Event::from_stored(name, text)
                        .map(|event| event.map(|event| Self::AccessRequest(id, event)))
                }
                "ticket_request" => {
                    let id = parse(stream, id)?;
                    ticket::Event::from_stored(name, text)
                        .map(|event| event.map(|event| Self::TicketRequest(id, event)))
                }
                JumpClientInstaller::CATEGORY => {
                    let id = parse(stream, id)?;
                    record::Event::from_stored(name, text)
                        .map(|event| event.map(|event| Self::JumpClientInstaller(id, event)))
                }
                "jump_client" => {
                    let id = parse(stream, id)?;
                    jump_client::Event::from_stored(name, text)
                        .map(|event| event.map(|event| Self::JumpClient(id, event)))
                }
                ShellJump::CATEGORY => {
                    let id = parse(stream, id)?;
                    record::Event::from_stored(name, text)
                        .map(|event| event.map(|event| Self::ShellJump(id, event)))
                }
                "jumpoint" => {
                    let id = parse(stream, id)?;
                    jumpoint::Event::from_stored(name, text)
                        .map(|event| event.map(|event| Self::Jumpoint(id, event)))
                }
                SessionPolicy::CATEGORY => {
                    let id = parse(stream, id)?;
                    record::Event::from_stored(name, text)
                        .map(|event| event.map(|event| Self::SessionPolicy(id, event)))
                }
                CustomField::CATEGORY => {
                    let id = parse(stream, id)?;
                    record::Event::from_stored(name, text)
                        .map(|event| event.map(|event| Self::CustomField(id, event)))
                }
                "item_custom_fields" => {
                    let item = match id.rsplit_once('_') {
                        Some((kind, number)) => parse(stream, &format!("{kind}-{number}"))?,
                        None => parse(stream, id)?,
                    };
                    custom_field::ValuesSet::from_stored(name, text)
                        .map(|event| event.map(|event| Self::ItemCustomFields(item, event)))
                }
                CustomSessionAttribute::CATEGORY => {
                    let id = parse(stream, id)?;
                    record::Event::from_stored(name, text)
                        .map(|event| event.map(|event| Self::CustomSessionAttribute(id, event)))
                }
                "access_session" => {
                    let id = parse(stream, id)?;
                    access_session::Event::from_stored(name, text)
                        .map(|event| event.map(|event| Self::AccessSession(id, event)))
                }
                "startup_group" => {
                    let id = parse(stream, id)?;
                    startup_group::Event::from_stored(name, text)
                        .map(|event| event.map(|event| Self::StartupGroup(id, event)))
                }
                "node" => {
                    let id = NodeEpoch(parse(stream, id)?);
                    node::Event::from_stored(name, text)
                        .map(|event| event.map(|event| Self::Node(id, event)))
                }
                "refusal" => {
                    let day = parse(stream, id)?;
                    audit::Event::from_stored(name, text)
                        .map(|event| event.map(|event| Self::Audit(day, event)))
                }
                EXTERNAL => Ok(Some(Self::External(External {
                    stream: stream.to_owned(),
                    name: name.to_owned(),
                    body: text.to_vec(),
                }))),
                _ => {
                    return Err(UnreadableEvent::UnknownCategory {
                        stream: stream.to_owned(),
                    });
                }
            };
        match read {
            Ok(Some(event)) => Ok(event),
            Ok(None) => Err(UnreadableEvent::UnknownName {
                stream: stream.to_owned(),
                name: name.to_owned(),
            }),
            Err(source) => Err(UnreadableEvent::BadText {
                stream: stream.to_owned(),
                name: name.to_owned(),
                source,
            }),
        }
    }

    /// Every name an event may be stored under, by aggregate; it only grows.
    #[must_use]
    pub fn stored_names() -> Vec<&'static str> {
        let mut names: Vec<&'static str> = Vec::new();
        names.extend(first_start::Event::STORED_NAMES);
        names.extend(agent_trust::Event::STORED_NAMES);
        names.extend(SiteSettings::STORED_NAMES);
        names.extend(TicketSystem::STORED_NAMES);
        names.extend(MailSettings::STORED_NAMES);
        names.extend(mail_template::Event::STORED_NAMES);
        names.extend(mail_delivery::Event::STORED_NAMES);
        names.extend(user::Event::STORED_NAMES);
        names.extend(team::Event::STORED_NAMES);
        names.extend(api_account::Event::STORED_NAMES);
        names.extend(JumpItemRole::STORED_NAMES);
        names.extend(jump_group::Event::STORED_NAMES);
        names.extend(group_policy::Event::STORED_NAMES);
        names.push(group_policy::Ordered::STORED_NAME);
        names.extend(jump_policy::Event::STORED_NAMES);
        names.extend(access_request::Event::STORED_NAMES);
        names.extend(ticket::Event::STORED_NAMES);
        names.extend(JumpClientInstaller::STORED_NAMES);
        names.extend(jump_client::Event::STORED_NAMES);
        names.extend(ShellJump::STORED_NAMES);
        names.extend(jumpoint::Event::STORED_NAMES);
        names.extend(SessionPolicy::STORED_NAMES);
        names.extend(CustomField::STORED_NAMES);
        names.push(custom_field::ValuesSet::STORED_NAME);
        names.extend(CustomSessionAttribute::STORED_NAMES);
        names.extend(access_session::Event::STORED_NAMES);
        names.extend(startup_group::Event::STORED_NAMES);
        names.extend(node::Event::STORED_NAMES);
        names.extend(review::Event::STORED_NAMES);
        names.extend(audit::Event::STORED_NAMES);
        names
    }
}

fn parse<T: FromStr>(stream: &str, id: &str) -> Result<T, UnreadableEvent> {
    id.parse().map_err(|_| UnreadableEvent::BadStream {
        stream: stream.to_owned(),
    })
}
