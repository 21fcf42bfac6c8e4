//! Installers: mass-deployment packages that bring Jump Clients (INST-01). A plain record of which only the end of its time can
//! be changed.
//!
//! States: valid → valid (extended) → expired (by time alone) or invalidated (by an upgrade of the server) → deleted. The secret
//! in its key is known here only as a keyed hash.

use serde::{Deserialize, Serialize};

use crate::fleet::capacity;
use crate::ids::{
    ApiAccountId, JumpClientInstallerId, JumpGroupId, JumpGroupRef, JumpPolicyId, KeyedHash, UserId,
};
use crate::items::tag;
use crate::record::{self, Field, Kind, Record, Reference, Write};
use crate::{Context, Decision, FieldErrors, Refusal, Timestamp, World, time};

mod handing_out;
mod standing;
#[cfg(test)]
mod tests;

pub use handing_out::{MailLink, RECIPIENTS_MAX};
pub use standing::{Standing, may_handle};

/// Shortest validity, in minutes (INST-03).
pub const VALID_MINUTES_MIN: i64 = 10;
/// Longest validity, in minutes: one year (INST-03).
pub const VALID_MINUTES_MAX: i64 = 525_600;
/// Validity where none is asked for, in minutes (config-api.md 7.2).
pub const VALID_MINUTES_DEFAULT: u32 = 1_440;

/// A mass-deployment package. Member names are those of the published schema (config-api.md 2.7, 7.2).
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
#[allow(
    missing_docs,
    reason = "the members are the published schema's, described in FIELDS"
)]
pub struct JumpClientInstaller {
    pub name: String,
    pub jump_group_id: u32,
    pub jump_group_type: String,
    pub jump_policy_id: Option<JumpPolicyId>,
    pub tag: String,
    pub connection_type: String,
    pub session_policy_id: Option<u32>,
    pub comments: String,
    pub valid_duration: u32,
    pub max_offline_minutes: u32,
    pub elevate_install: bool,
    pub elevate_prompt: bool,
    pub allow_override_jump_group: bool,
    pub allow_override_jump_policy: bool,
    pub allow_override_name: bool,
    pub allow_override_tag: bool,
    pub allow_override_comments: bool,
    pub allow_override_session_policy: bool,
    pub allow_override_max_offline_minutes: bool,
    pub jumpoint_proxy: Option<String>,
    /// 32 lower-case hex digits, given by the server.
    pub installer_id: String,
    /// When it stops being usable.
    pub expiration_timestamp: Timestamp,
    /// Keyed hash of the secret in its key; the handler that made the secret passes it.
    pub secret_hash: Option<KeyedHash>,
    /// INST-22; in the wizard alone, the published schema has no such member.
    pub start_customer_client_minimized: bool,
    /// The user who made it. What they may do bounds what an override may reach (INST-59).
    pub created_by_user_id: Option<UserId>,
    /// The API account that made it.
    pub created_by_api_account_id: Option<ApiAccountId>,
    /// How many builds of the program the site had seen when it was made (INST-08).
    pub site_builds: u32,
}

impl Default for JumpClientInstaller {
    fn default() -> Self {
        Self {
            name: String::new(),
            jump_group_id: 0,
            jump_group_type: "shared".to_owned(),
            jump_policy_id: None,
            tag: String::new(),
            connection_type: "active".to_owned(),
            session_policy_id: None,
            comments: String::new(),
            valid_duration: VALID_MINUTES_DEFAULT,
            max_offline_minutes: 0,
            elevate_install: true,
            elevate_prompt: true,
            allow_override_jump_group: false,
            allow_override_jump_policy: false,
            allow_override_name: false,
            allow_override_tag: false,
            allow_override_comments: false,
            allow_override_session_policy: false,
            allow_override_max_offline_minutes: false,
            jumpoint_proxy: None,
            installer_id: String::new(),
            expiration_timestamp: Timestamp(0),
            secret_hash: None,
            start_customer_client_minimized: false,
            created_by_user_id: None,
            created_by_api_account_id: None,
            site_builds: 0,
        }
    }
}

impl JumpClientInstaller {
    /// The group its clients go to.
    #[must_use]
    pub fn group(&self) -> JumpGroupRef {
        if self.jump_group_type == "personal" {
            JumpGroupRef::Personal(UserId(self.jump_group_id))
        } else {
            JumpGroupRef::Shared(JumpGroupId(self.jump_group_id))
        }
    }
}

impl Record for JumpClientInstaller {
    type Id = JumpClientInstallerId;
    const CATEGORY: &'static str = "jump_client_installer";
    const TITLE: &'static str = "Jump Client Installer";
    const STORED_NAMES: [&'static str; 3] = [
        "JumpClientInstallerCreated",
        "JumpClientInstallerChanged",
        "JumpClientInstallerDeleted",
    ];
    const FIELDS: &'static [Field] = &[
        Field::new(
            "name",
            Kind::Name { min: 0, max: 128 },
            "Name of its clients; empty is the computer's name.",
        )
        .filter(),
        Field::new("jump_group_id", Kind::Id, "The group its clients go to.")
            .required()
            .filter()
            .names(Reference::JumpGroup),
        Field::new(
            "jump_group_type",
            Kind::Word(&["shared", "personal"]),
            "Which kind of group.",
        )
        .filter(),
        Field::new(
            "jump_policy_id",
            Kind::Id,
            "The Jump Policy of its clients.",
        )
        .omitted()
        .names(Reference::JumpPolicy),
        tag::field(
            "The tag of its clients. At most 64 characters in a body of the Configuration API, and 1,024 otherwise.",
        ),
        Field::new(
            "connection_type",
            Kind::Word(&["active", "passive"]),
            "How its clients connect.",
        )
        .filter(),
        Field::new(
            "session_policy_id",
            Kind::Integer {
                min: 2,
                max: 2_147_483_647,
            },
            "The session policy of its clients.",
        )
        .nullable()
        .names(Reference::SessionPolicy),
        Field::new(
            "comments",
            Kind::Text { min: 0, max: 1024 },
            "The comments of its clients.",
        ),
        Field::new(
            "valid_duration",
            Kind::Integer {
                min: VALID_MINUTES_MIN,
                max: VALID_MINUTES_MAX,
            },
            "How long it may be used, in minutes.",
        )
        .write_only(),
        Field::new(
            "max_offline_minutes",
            Kind::Integer {
                min: 0,
                max: 2_147_483_647,
            },
            "Offline minutes before a client is deleted; 0 is the site's setting.",
        ),
        Field::new("elevate_install", Kind::Boolean, "Try an elevated install."),
        Field::new(
            "elevate_prompt",
            Kind::Boolean,
            "Ask for credentials to elevate with.",
        ),
        Field::new(
            "allow_override_jump_group",
            Kind::Boolean,
            "The group may be overridden at install.",
        ),
        Field::new(
            "allow_override_jump_policy",
            Kind::Boolean,
            "The Jump Policy may be overridden at install.",
        ),
        Field::new(
            "allow_override_name",
            Kind::Boolean,
            "The name may be overridden at install.",
        ),
        Field::new(
            "allow_override_tag",
            Kind::Boolean,
            "The tag may be overridden at install.",
        ),
        Field::new(
            "allow_override_comments",
            Kind::Boolean,
            "The comments may be overridden at install.",
        ),
        Field::new(
            "allow_override_session_policy",
            Kind::Boolean,
            "The session policy may be overridden at install.",
        ),
        Field::new(
            "allow_override_max_offline_minutes",
            Kind::Boolean,
            "The offline minutes may be overridden at install.",
        ),
        Field::new(
            "jumpoint_proxy",
            Kind::Text { min: 0, max: 64 },
            "The Jumpoint its clients connect through.",
        )
        .omitted(),
        Field::new(
            "installer_id",
            Kind::Text { min: 32, max: 32 },
            "Names it in links and keys.",
        )
        .write(Write::Never),
        Field::new(
            "expiration_timestamp",
            Kind::Moment,
            "When it stops being usable.",
        )
        .write(Write::Never),
        Field::new(
            "secret_hash",
            Kind::Text { min: 64, max: 64 },
            "Keyed hash of the secret in its key.",
        )
        .write(Write::OnCreate)
        .nullable()
        .write_only(),
        Field::new(
            "start_customer_client_minimized",
            Kind::Boolean,
            "Start the customer client minimized when a session is started.",
        )
        .write(Write::OnCreate)
        .write_only(),
        Field::new("created_by_user_id", Kind::Id, "The user who made it.")
            .write(Write::Never)
            .nullable()
            .write_only(),
        Field::new(
            "created_by_api_account_id",
            Kind::Id,
            "The API account that made it.",
        )
        .write(Write::Never)
        .nullable()
        .write_only(),
        Field::new(
            "site_builds",
            Kind::Integer {
                min: 0,
                max: 2_147_483_647,
            },
            "How many builds of the program the site had seen when it was made.",
        )
        .write(Write::Never)
        .write_only(),
    ];

    const COMPUTED: &'static [Field] = &[Field::new(
        "key_info",
        Kind::Text { min: 0, max: 4096 },
        "What the installer is started with, a member a platform; only shown when it is made.",
    )
    .write(Write::Never)];

    fn find(world: &World, id: JumpClientInstallerId) -> Option<&Self> {
        world.installers.get(&id)
    }

    fn put(world: &mut World, id: JumpClientInstallerId, record: Self, _at: Timestamp) {
        world.put_installer(id, record);
    }

    fn remove(world: &mut World, id: JumpClientInstallerId) {
        world.forget_installer(id);
    }

    fn complete(&mut self, world: &World, id: Option<JumpClientInstallerId>, context: &Context) {
        if id.is_none() {
            self.made_by(context.actor());
            self.site_builds = world.site_builds();
            self.installer_id = context.fresh.hex(0);
            self.expiration_timestamp = context
                .now
                .plus(i64::from(self.valid_duration) * time::MINUTE);
        }
    }

    fn check(&self, world: &World, _id: Option<JumpClientInstallerId>) -> Result<(), Refusal> {
        capacity::connection_type_allowed(&world.settings, &self.connection_type)?;
        let mut errors = FieldErrors::default();
        if self
            .jumpoint_proxy
            .as_deref()
            .is_some_and(|name| !name.is_empty())
        {
            let is_there = self
                .jumpoint_proxy
                .as_deref()
                .is_some_and(|name| world.jumpoint_named(name).is_some());
            errors.push(
                "jumpoint_proxy",
                if is_there {
                    // Jumpoints have no nodes that could be online yet (ERR-03).
                    "The associated Jumpoint is not currently online."
                } else {
                    // ERR-04
                    "The associated Jumpoint-proxy no longer exists."
                },
            );
        }
        if self.secret_hash.is_none() {
            errors.push("secret_hash", "The secret_hash field is required.");
        }
        errors.into_result(())
    }
}

/// What may be asked of an installer beside what is asked of every record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Move the end of its time later (INST-12).
    Extend {
        /// Which.
        installer: JumpClientInstallerId,
        /// How long it shall be valid from now on. Unit: minutes.
        valid_minutes: i64,
    },
    /// Mail its link (INST-16).
    Mail(MailLink),
}

/// Decides what becomes of a record's `command`, given all that is known.
///
/// # Errors
/// Why not; for a user also that their role in the group does not let them deploy (ROLE-16), for a new one that the site has as
/// many Jump Clients as it may have (LIM-04).
pub fn decide_record(
    world: &World,
    command: &record::Command<JumpClientInstaller>,
    context: &Context,
) -> Decision {
    let Some((id, event)) = record::decide(world, command, context)? else {
        return Ok(Vec::new());
    };
    match (&event, context.role_holder()) {
        (record::Event::Created(installer), Some(user)) => {
            standing::may_deploy(world, user, installer.group())?;
        }
        (record::Event::Created(_), _) => {}
        _ => {
            standing::handled(world, id, context)?;
        }
    }
    if let record::Event::Created(installer) = &event {
        capacity::room_for(world, &installer.connection_type)?;
    }
    Ok(vec![crate::Event::JumpClientInstaller(id, event)])
}

/// Decides what becomes of `command`, given all that is known.
///
/// # Errors
/// Why not.
pub fn decide(world: &World, command: &Command, context: &Context) -> Decision {
    match command {
        Command::Extend {
            installer,
            valid_minutes,
        } => standing::decide_extend(world, *installer, *valid_minutes, context),
        Command::Mail(link) => handing_out::decide(world, link, context),
    }
}
