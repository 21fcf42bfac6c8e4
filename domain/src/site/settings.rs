//! The settings of the site: one plain record, always with id 1.

use serde::{Deserialize, Serialize};

use crate::ids::SiteSettingsId;
use crate::record::{Field, Kind, Record};
use crate::site::api_account;
use crate::{FieldErrors, Refusal, Timestamp, World};

#[cfg(test)]
mod tests;

/// The id of the one record.
pub const SETTINGS: SiteSettingsId = SiteSettingsId(1);

/// What an administrator may set for the whole site.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
#[serde(default)]
#[allow(missing_docs, reason = "the members are described in FIELDS")]
pub struct SiteSettings {
    pub company_name: String,
    pub xml_api_enabled: bool,
    pub reporting_namespace: String,
    pub command_namespace: String,
    pub strict_compatibility: bool,
    pub starting_users_max: u32,
    pub check_in_seconds: u32,
    pub connection_rate: u32,
    pub lost_days: u32,
    pub deletion_days: u32,
    pub password_length_min: u32,
    pub sign_in_hours: u32,
    pub lost_agent_seconds: u32,
    pub outbound_networks: Vec<String>,
    pub schedule_with_approval_allowed: bool,
    pub simultaneous_jumps: String,
    pub session_idle_seconds: u32,
    /// Whether Network Tunnel Jump is used on the site (JPT-09).
    pub network_tunnel_jump_enabled: bool,
}

impl Default for SiteSettings {
    fn default() -> Self {
        Self {
            company_name: String::new(),
            xml_api_enabled: true,
            reporting_namespace: "field".to_owned(),
            command_namespace: "guide".to_owned(),
            strict_compatibility: false,
            starting_users_max: 1_000,
            check_in_seconds: 3_600,
            connection_rate: 50,
            lost_days: 15,
            deletion_days: 180,
            password_length_min: 12,
            sign_in_hours: 12,
            lost_agent_seconds: 120,
            outbound_networks: Vec::new(),
            schedule_with_approval_allowed: false,
            simultaneous_jumps: "disallow".to_owned(),
            session_idle_seconds: 0,
            network_tunnel_jump_enabled: false,
        }
    }
}

impl Record for SiteSettings {
    type Id = SiteSettingsId;
    const CATEGORY: &'static str = "site_settings";
    const TITLE: &'static str = "Site settings";
    const STORED_NAMES: [&'static str; 3] = [
        "SiteSettingsCreated",
        "SiteSettingsChanged",
        "SiteSettingsDeleted",
    ];
    const FIELDS: &'static [Field] = &[
        Field::new(
            "company_name",
            Kind::Text { min: 0, max: 255 },
            "Shown in get_api_info.",
        ),
        Field::new(
            "xml_api_enabled",
            Kind::Boolean,
            "Whether the command, reporting, backup and client scripting APIs answer.",
        ),
        Field::new(
            "reporting_namespace",
            Kind::Word(&["field", "guide"]),
            "The XML namespace of reports: the one real sites send, or the guide's.",
        ),
        Field::new(
            "command_namespace",
            Kind::Word(&["guide", "field"]),
            "The XML namespace of command answers: the guide's, or the one by analogy with reports.",
        ),
        Field::new(
            "strict_compatibility",
            Kind::Boolean,
            "Answer unknown parameters and fields with 401 as the published description says, not 422.",
        ),
        Field::new(
            "starting_users_max",
            Kind::Integer {
                min: 1,
                max: 100_000,
            },
            "How many users may be starting sessions at once.",
        ),
        Field::new(
            "check_in_seconds",
            Kind::Integer {
                min: 60,
                max: 86_400,
            },
            "How often a connected Jump Client checks in, in seconds.",
        ),
        Field::new(
            "connection_rate",
            Kind::Integer {
                min: 1,
                max: 10_000,
            },
            "How many Jump Clients may connect a second.",
        ),
        Field::new(
            "lost_days",
            Kind::Integer { min: 1, max: 999 },
            "Days offline before a Jump Client counts as lost.",
        ),
        Field::new(
            "deletion_days",
            Kind::Integer { min: 1, max: 999 },
            "Days offline before a Jump Client is deleted.",
        ),
        Field::new(
            "password_length_min",
            Kind::Integer { min: 8, max: 128 },
            "Shortest password of a local user, in characters.",
        ),
        Field::new(
            "sign_in_hours",
            Kind::Integer { min: 1, max: 168 },
            "How long a console sign-in lasts, in hours.",
        ),
        Field::new(
            "lost_agent_seconds",
            Kind::Integer {
                min: 10,
                max: 3_600,
            },
            "How long a session waits for its lost agent before it is closed, in seconds.",
        ),
        Field::new(
            "network_tunnel_jump_enabled",
            Kind::Boolean,
            "Whether Network Tunnel Jump is used on the site.",
        ),
        Field::new(
            "outbound_networks",
            Kind::Texts {
                members_max: 64,
                text_max: 64,
            },
            "Private networks that the site may send requests to, each an address or address/prefix; without, only the public internet.",
        ),
        Field::new(
            "schedule_with_approval_allowed",
            Kind::Boolean,
            "Whether a Jump Policy may have both a schedule and approval; the guide forbids it.",
        ),
        Field::new(
            "simultaneous_jumps",
            Kind::Word(&["disallow", "join"]),
            "What a second user may do while a session runs on an item: come in by invitation only, or join by a Jump.",
        ),
        Field::new(
            "session_idle_seconds",
            Kind::Integer {
                min: 0,
                max: 86_400,
            },
            "Seconds of inactivity before a user is removed from a session, where the user has no limit of their own; 0 is never.",
        ),
    ];

    fn find(world: &World, id: SiteSettingsId) -> Option<&Self> {
        (id == SETTINGS && world.site.is_some()).then_some(&world.settings)
    }

    fn put(world: &mut World, _id: SiteSettingsId, record: Self, _at: Timestamp) {
        world.settings = record;
    }

    fn remove(world: &mut World, _id: SiteSettingsId) {
        world.settings = Self::default();
    }

    fn check(&self, _world: &World, id: Option<SiteSettingsId>) -> Result<(), Refusal> {
        if id.is_none() {
            // There is one record, made with the site.
            return Err(Refusal::SiteExists);
        }
        let mut errors = FieldErrors::default();
        if self.lost_days >= self.deletion_days {
            errors.push(
                "lost_days",
                "The lost_days field must be less than deletion_days.",
            );
        }
        for network in &self.outbound_networks {
            if api_account::parse_network(network).is_none() {
                errors.push(
                    "outbound_networks",
                    format!(
                        "The outbound_networks field holds \"{network}\", which is no address or network."
                    ),
                );
            }
        }
        errors.into_result(())
    }

    fn may_be_deleted(_world: &World, _id: SiteSettingsId) -> Result<(), Refusal> {
        Err(Refusal::InUse {
            what: Self::TITLE,
            by: vec!["the site".to_owned()],
        })
    }
}
