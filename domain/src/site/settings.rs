//! The settings of the site: one plain record, always with id 1.

use serde::{Deserialize, Serialize};

use crate::fleet::capacity;
use crate::ids::SiteSettingsId;
use crate::record::{Field, Kind, Record};
use crate::site::api_account;
use crate::{FieldErrors, Refusal, Timestamp, World};

#[cfg(test)]
mod tests;

/// The id of the one record.
pub const SETTINGS: SiteSettingsId = SiteSettingsId(1);

/// The statistics that Jump Clients may be asked for (CLNT-31): the guide's "CPU", "Console User", "Disk", "Screen" and "Uptime".
pub const STATISTICS: [&str; 5] = ["cpu", "console_user", "disk", "screen", "uptime"];

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
    pub uninstalled_client_behavior: String,
    pub jump_client_statistics: Vec<String>,
    pub duplicate_machines: String,
    pub appliance_model: String,
    pub licenses: u32,
    pub jump_clients_max: u32,
    pub active_jump_clients_max: u32,
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
            uninstalled_client_behavior: "keep".to_owned(),
            jump_client_statistics: STATISTICS.iter().map(|&name| name.to_owned()).collect(),
            duplicate_machines: "allow".to_owned(),
            appliance_model: "virtual".to_owned(),
            licenses: 0,
            jump_clients_max: 0,
            active_jump_clients_max: 0,
        }
    }
}

impl SiteSettings {
    /// Whether a statistic of [`STATISTICS`] is collected and shown (CLNT-31).
    #[must_use]
    pub fn collects(&self, statistic: &str) -> bool {
        self.jump_client_statistics
            .iter()
            .any(|collected| collected == statistic)
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
            Kind::Name { min: 0, max: 255 },
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
        Field::new(
            "uninstalled_client_behavior",
            Kind::Word(&["keep", "remove"]),
            "What becomes of the items of a Jump Client that is uninstalled at the endpoint: kept and marked uninstalled, or removed.",
        ),
        Field::new(
            "jump_client_statistics",
            Kind::Texts {
                members_max: STATISTICS.len(),
                text_max: 16,
            },
            "Which statistics are collected: cpu, console_user, disk, screen, uptime.",
        ),
        Field::new(
            "duplicate_machines",
            Kind::Word(&["allow", "refuse", "merge"]),
            "What happens when a machine that has a Jump Client registers another: it is reported and let in, refused, or it becomes the client that is there.",
        ),
        Field::new(
            "appliance_model",
            Kind::Word(&["virtual", "B200", "B300", "B400", "cloud"]),
            "Which capacity of active Jump Clients holds: that of an appliance, 20 a license on cloud sites, or the one set on virtual ones.",
        ),
        Field::new(
            "licenses",
            Kind::Integer {
                min: 0,
                max: 1_000_000,
            },
            "How many endpoints may be in sessions at once; 0 is without limit.",
        ),
        Field::new(
            "jump_clients_max",
            Kind::Integer {
                min: 0,
                max: 10_000_000,
            },
            "How many Jump Clients the site may have, active and passive; 0 is without limit.",
        ),
        Field::new(
            "active_jump_clients_max",
            Kind::Integer {
                min: 0,
                max: 10_000_000,
            },
            "How many active Jump Clients a virtual site may have; 0 is without limit.",
        ),
    ];

    fn find(world: &World, id: SiteSettingsId) -> Option<&Self> {
        (id == SETTINGS && world.site.is_some()).then_some(&world.settings)
    }

    fn put(world: &mut World, _id: SiteSettingsId, record: Self, at: Timestamp) {
        if record.deletion_days != world.settings.deletion_days {
            // Who went offline before was told the days of then (CLNT-21).
            let before = (at, world.settings.deletion_days);
            // A change that was made by a clock which was ahead does not outlast this one.
            for (until, _) in &mut world.earlier_deletion_days {
                *until = at.min(*until);
            }
            world.earlier_deletion_days.push_back(before);
        }
        world.settings = record;
    }

    fn remove(world: &mut World, _id: SiteSettingsId) {
        world.settings = Self::default();
    }

    fn check(&self, world: &World, id: Option<SiteSettingsId>) -> Result<(), Refusal> {
        if id.is_none() {
            // There is one record, made with the site.
            return Err(Refusal::SiteExists);
        }
        let mut errors = FieldErrors::default();
        if let Some(objection) = capacity::model_objection(world, &self.appliance_model) {
            errors.push("appliance_model", objection);
        }
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
        for (position, statistic) in self.jump_client_statistics.iter().enumerate() {
            let known = STATISTICS.contains(&statistic.as_str());
            if !known || self.jump_client_statistics[..position].contains(statistic) {
                errors.push(
                    "jump_client_statistics",
                    format!(
                        "The jump_client_statistics field may hold each of {} once, not \"{statistic}\".",
                        STATISTICS.join(", ")
                    ),
                );
            }
        }
        errors.into_result(())
    }

    fn may_be_deleted(_world: &World, _id: SiteSettingsId, _now: Timestamp) -> Result<(), Refusal> {
        Err(Refusal::InUse {
            what: Self::TITLE,
            by: vec!["the site".to_owned()],
        })
    }
}
