//! Users of the site: a plain record with their own permissions (GPOL-04, GPOL-05, ROLE-07, ROLE-09), and their sign-ins.
//!
//! States: enabled ⇄ disabled. The password is a sealed secret; the record holds its reference.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::access::role;
use crate::ids::{JumpItemRoleId, KeyedHash, SecretRef, UserId};
use crate::policy::ticket;
use crate::record::{self, Field, Kind, Record, Reference, Write};
use crate::site::mail_address::is_address;
use crate::{Actor, Context, Decision, FieldErrors, Refusal, Timestamp, World, happened, nothing};

pub mod sign_in;

#[cfg(test)]
mod tests;

use sign_in::{PasswordChanged, SignIn, SignInFailed, SignedIn};

/// A user. Member names are those of the published schema (config-api.md 2.7).
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
pub struct User {
    pub security_provider_id: u32,
    pub username: String,
    pub password: Option<SecretRef>,
    pub public_display_name: String,
    pub private_display_name: String,
    pub password_expiration: Option<Timestamp>,
    pub email_address: String,
    pub preferred_email_language: String,
    pub two_factor_required: bool,
    pub enabled: bool,
    pub last_authentication: Option<Timestamp>,
    pub failed_logins: u32,
    pub password_reset_next_login: bool,
    pub created_at: Timestamp,
    pub two_factor_enabled: bool,
    pub fido2_credential_count: u32,
    pub fido2_last_used_date: Option<Timestamp>,
    pub perm_admin: bool,
    pub perm_set_passwords: bool,
    pub perm_admin_pushagents: bool,
    pub perm_view_support_reports: String,
    pub perm_view_vault_reports: String,
    pub perm_view_syslog_reports: bool,
    pub perm_view_sd_recordings: bool,
    pub perm_edit_jump_groups: bool,
    pub perm_edit_sd_teams: bool,
    pub perm_edit_canned_scripts: bool,
    pub perm_edit_custom_rep_links: bool,
    pub perm_access_allowed: String,
    pub perm_share_other_team: bool,
    pub perm_invite_external_user: bool,
    pub perm_extended_availability_mode_allowed: bool,
    pub perm_edit_external_key: bool,
    pub perm_session_idle_timeout: i32,
    pub perm_collaborate: bool,
    pub perm_collaborate_control: bool,
    pub perm_jump_client: bool,
    pub perm_local_jump: bool,
    pub perm_remote_jump: bool,
    pub perm_remote_vnc: bool,
    pub perm_remote_rdp: bool,
    pub perm_shell_jump: bool,
    pub perm_web_jump: bool,
    pub perm_protocol_tunnel: bool,
    pub default_jump_item_role_id: JumpItemRoleId,
    pub private_jump_item_role_id: JumpItemRoleId,
    pub inferior_jump_item_role_id: JumpItemRoleId,
    pub unassigned_jump_item_role_id: JumpItemRoleId,
    pub perm_sd_static_port_for_external_tools: bool,
    pub perm_vault: bool,
    pub perm_endpoint_automation: String,
}

impl Default for User {
    fn default() -> Self {
        Self {
            security_provider_id: 1,
            username: String::new(),
            password: None,
            public_display_name: String::new(),
            private_display_name: String::new(),
            password_expiration: None,
            email_address: String::new(),
            preferred_email_language: "en-us".to_owned(),
            two_factor_required: false,
            enabled: true,
            last_authentication: None,
            failed_logins: 0,
            password_reset_next_login: false,
            created_at: Timestamp(0),
            two_factor_enabled: false,
            fido2_credential_count: 0,
            fido2_last_used_date: None,
            perm_admin: false,
            perm_set_passwords: false,
            perm_admin_pushagents: false,
            perm_view_support_reports: "not_allowed".to_owned(),
            perm_view_vault_reports: "not_allowed".to_owned(),
            perm_view_syslog_reports: false,
            perm_view_sd_recordings: false,
            perm_edit_jump_groups: false,
            perm_edit_sd_teams: false,
            perm_edit_canned_scripts: false,
            perm_edit_custom_rep_links: false,
            perm_access_allowed: "not_allowed".to_owned(),
            perm_share_other_team: false,
            perm_invite_external_user: false,
            perm_extended_availability_mode_allowed: false,
            perm_edit_external_key: false,
            perm_session_idle_timeout: -1,
            perm_collaborate: false,
            perm_collaborate_control: false,
            perm_jump_client: false,
            perm_local_jump: false,
            perm_remote_jump: false,
            perm_remote_vnc: false,
            perm_remote_rdp: false,
            perm_shell_jump: false,
            perm_web_jump: false,
            perm_protocol_tunnel: false,
            default_jump_item_role_id: role::NO_ACCESS,
            private_jump_item_role_id: role::NO_ACCESS,
            inferior_jump_item_role_id: role::NO_ACCESS,
            unassigned_jump_item_role_id: role::NO_ACCESS,
            perm_sd_static_port_for_external_tools: false,
            perm_vault: false,
            perm_endpoint_automation: "not_allowed".to_owned(),
        }
    }
}

impl User {
    /// Whether the user may start access sessions at all (GPOL-04).
    #[must_use]
    pub fn may_access_endpoints(&self) -> bool {
        self.perm_access_allowed == "full_support"
    }

    /// Everything allowed, every slot Administrator: the first administrator of a site.
    pub fn allow_everything(&mut self) {
        self.perm_admin = true;
        self.perm_set_passwords = true;
        self.perm_edit_jump_groups = true;
        self.perm_view_support_reports = "all_sessions".to_owned();
        self.perm_access_allowed = "full_support".to_owned();
        self.perm_share_other_team = true;
        self.perm_invite_external_user = true;
        self.perm_extended_availability_mode_allowed = true;
        self.perm_edit_external_key = true;
        self.perm_collaborate = true;
        self.perm_collaborate_control = true;
        self.perm_jump_client = true;
        self.perm_local_jump = true;
        self.perm_remote_jump = true;
        self.perm_remote_vnc = true;
        self.perm_remote_rdp = true;
        self.perm_shell_jump = true;
        self.perm_web_jump = true;
        self.perm_protocol_tunnel = true;
        self.default_jump_item_role_id = role::ADMINISTRATOR;
        self.private_jump_item_role_id = role::ADMINISTRATOR;
        self.inferior_jump_item_role_id = role::ADMINISTRATOR;
        self.unassigned_jump_item_role_id = role::ADMINISTRATOR;
    }
}

const fn permission(name: &'static str, about: &'static str) -> Field {
    Field::new(name, Kind::Boolean, about).write(Write::Permissions)
}

/// A published member whose capability is not there yet: shown with its default, and nobody can switch on what does nothing.
const fn later(name: &'static str, kind: Kind, about: &'static str) -> Field {
    Field::new(name, kind, about).write(Write::Never)
}

const fn slot(name: &'static str, about: &'static str) -> Field {
    Field::new(name, Kind::Id, about)
        .write(Write::Permissions)
        .names(Reference::JumpItemRole)
}

impl Record for User {
    type Id = UserId;
    const CATEGORY: &'static str = "user";
    const TITLE: &'static str = "User";
    const STORED_NAMES: [&'static str; 3] = ["UserCreated", "UserChanged", "UserDeleted"];
    const FIELDS: &'static [Field] = &[
        Field::new("security_provider_id", Kind::Id, "Where the user comes from; 1 is the site itself.")
            .write(Write::Never)
            .filter(),
        Field::new("username", Kind::Name { min: 1, max: 64 }, "The name to sign in with; unique.").required().filter(),
        Field::new("password", Kind::Secret { max: 256 }, "The password; a random one is set where absent.")
            .nullable()
            .write_only(),
        Field::new("public_display_name", Kind::Name { min: 1, max: 64 }, "The name others see.").required(),
        Field::new("private_display_name", Kind::Name { min: 0, max: 64 }, "The name colleagues see; taken, and not returned: by it integrations tell the sister product.")
            .write_only(),
        Field::new("password_expiration", Kind::Moment, "From when on the password must be changed at the next sign-in.").nullable(),
        Field::new("email_address", Kind::Text { min: 0, max: 255 }, "Where mail goes.").filter(),
        Field::new("preferred_email_language", Kind::Language, "The language of mail."),
        Field::new("two_factor_required", Kind::Boolean, "A second factor is needed to sign in; this version accepts only false."),
        Field::new("enabled", Kind::Boolean, "Whether the user may sign in."),
        Field::new("last_authentication", Kind::Moment, "When the user last signed in.").write(Write::Never).omitted(),
        Field::new("failed_logins", Kind::Integer { min: 0, max: 2_147_483_647 }, "Failed sign-ins since the last good one; 0 unlocks."),
        Field::new("password_reset_next_login", Kind::Boolean, "The password must be changed at the next sign-in."),
        Field::new("created_at", Kind::Moment, "When the user was made.").write(Write::Never),
        later("two_factor_enabled", Kind::Boolean, "A second factor is set up."),
        later("fido2_credential_count", Kind::Integer { min: 0, max: 2_147_483_647 }, "How many passkeys the user has."),
        later("fido2_last_used_date", Kind::Moment, "When a passkey was last used.").omitted(),
        permission("perm_admin", "Administrator of the site."),
        permission("perm_set_passwords", "May set passwords of others."),
        later("perm_admin_pushagents", Kind::Boolean, "May administer Jumpoints."),
        Field::new(
            "perm_view_support_reports",
            Kind::Word(&["not_allowed", "user_sessions", "all_sessions", "team_sessions", "jump_group_sessions"]),
            "Which session reports the user may see.",
        )
        .write(Write::Permissions),
        later(
            "perm_view_vault_reports",
            Kind::Word(&["not_allowed", "view_user_events", "view_all_events"]),
            "Which Vault reports the user may see.",
        ),
        later("perm_view_syslog_reports", Kind::Boolean, "May see syslog reports."),
        later("perm_view_sd_recordings", Kind::Boolean, "May see recordings."),
        permission("perm_edit_jump_groups", "May edit Jump Groups."),
        later("perm_edit_sd_teams", Kind::Boolean, "May edit teams."),
        later("perm_edit_canned_scripts", Kind::Boolean, "May edit canned scripts."),
        later("perm_edit_custom_rep_links", Kind::Boolean, "May edit custom links."),
        Field::new(
            "perm_access_allowed",
            Kind::Word(&["not_allowed", "full_support"]),
            "Allowed to access endpoints.",
        )
        .write(Write::Permissions),
        permission("perm_share_other_team", "May share sessions with teams they do not belong to."),
        permission("perm_invite_external_user", "May invite external users."),
        permission("perm_extended_availability_mode_allowed", "May enable extended availability mode."),
        permission("perm_edit_external_key", "May edit the external key."),
        Field::new(
            "perm_session_idle_timeout",
            Kind::Integer { min: -1, max: 86_400 },
            "Seconds of inactivity before removal from a session; -1 is the site's setting, 0 never.",
        )
        .write(Write::Permissions),
        permission("perm_collaborate", "May show their screen to other users."),
        permission("perm_collaborate_control", "May give control when showing their screen."),
        permission("perm_jump_client", "Jump method: Jump Clients."),
        permission("perm_local_jump", "Jump method: Local Jump (Windows only)."),
        permission("perm_remote_jump", "Jump method: Remote Jump."),
        permission("perm_remote_vnc", "Jump method: Remote VNC."),
        permission("perm_remote_rdp", "Jump method: Remote RDP."),
        permission("perm_shell_jump", "Jump method: Shell Jump."),
        permission("perm_web_jump", "Jump method: Web Jump."),
        permission("perm_protocol_tunnel", "Jump method: Protocol Tunnel Jump."),
        slot("default_jump_item_role_id", "The Default role slot."),
        slot("private_jump_item_role_id", "The Personal role slot."),
        slot("inferior_jump_item_role_id", "The Team role slot."),
        slot("unassigned_jump_item_role_id", "The System role slot."),
        later("perm_sd_static_port_for_external_tools", Kind::Boolean, "May use a fixed port for external tools."),
        later("perm_vault", Kind::Boolean, "May use the Vault."),
        later(
            "perm_endpoint_automation",
            Kind::Word(&["not_allowed", "user", "administrator"]),
            "May use endpoint automation.",
        ),
    ];

    fn find(world: &World, id: UserId) -> Option<&Self> {
        world.users.get(&id)
    }

    fn put(world: &mut World, id: UserId, mut record: Self, at: Timestamp) {
        if record.created_at == Timestamp(0) {
            record.created_at = at;
        }
        world.put_user(id, record);
    }

    fn remove(world: &mut World, id: UserId) {
        world.forget_user(id);
    }

    fn complete(&mut self, _world: &World, id: Option<UserId>, context: &Context) {
        if id.is_none() {
            self.created_at = context.now;
        }
        if self.private_display_name.is_empty() {
            self.private_display_name
                .clone_from(&self.public_display_name);
        }
    }

    fn check(&self, world: &World, id: Option<UserId>) -> Result<(), Refusal> {
        let mut errors = FieldErrors::default();
        if world
            .user_named(&self.username)
            .is_some_and(|other| Some(other) != id)
        {
            errors.push("username", "The username has already been taken.");
        }
        if self.username.trim() != self.username {
            errors.push(
                "username",
                "The username must not begin or end with a blank.",
            );
        }
        // One that was set before addresses were looked at as closely stands in no other change's way.
        let before = id.and_then(|id| world.users.get(&id));
        let is_new = before.is_none_or(|before| before.email_address != self.email_address);
        if is_new && !self.email_address.is_empty() && !is_address(&self.email_address) {
            errors.push(
                "email_address",
                "The email_address must be a valid e-mail address of 3 to 254 characters.",
            );
        }
        errors.into_result(())
    }

    fn may_be_deleted(world: &World, id: UserId, _now: Timestamp) -> Result<(), Refusal> {
        if world.users.get(&id).is_some_and(|user| user.perm_admin) {
            // Only non-administrators can be deleted over the API (config-api.md 2.5).
            return Err(Refusal::field(
                "perm_admin",
                "Only users who are not administrators can be deleted.",
            ));
        }
        Ok(())
    }
}

/// What may be asked of a user.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Make, change or delete the user.
    Record(record::Command<User>),
    /// The user signs in, with a new password or without.
    SignIn(SignIn),
    /// Somebody else sets the password of the user.
    SetPassword {
        /// Whose.
        user: UserId,
        /// The sealed hash of the new password.
        password: SecretRef,
        /// Whether the user must change it at the next sign-in.
        reset_next_login: bool,
    },
    /// The user signs out.
    SignOut {
        /// Who signs out.
        user: UserId,
        /// The keyed hash that the sign-in is known by: what rests on it ends with it.
        sign_in: KeyedHash,
    },
    /// `gatebook administrator reset`: a new password for an administrator, who is enabled again.
    ResetAdministrator {
        /// Which administrator.
        user: UserId,
        /// The sealed hash of the new password.
        password: SecretRef,
    },
}

/// A user signed out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SignedOut {}

/// An administrator's password was set by whoever holds the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdministratorReset {
    /// The sealed hash of the password since.
    pub password: SecretRef,
}

/// What happens to a user. Expected rate: a sign-in a user and day.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[allow(
    clippy::large_enum_variant,
    reason = "events are read one at a time and boxed nowhere else"
)]
pub enum Event {
    /// The record itself.
    Record(record::Event<User>),
    /// Signed in to the console.
    SignedIn(SignedIn),
    /// Showed a wrong password.
    SignInFailed(SignInFailed),
    /// Signed out of the console.
    SignedOut(SignedOut),
    /// Has another password.
    PasswordChanged(PasswordChanged),
    /// The password was reset from the machine.
    AdministratorReset(AdministratorReset),
}

impl Event {
    /// The names it may be stored under.
    pub const STORED_NAMES: &'static [&'static str] = &[
        "UserCreated",
        "UserChanged",
        "UserDeleted",
        "UserSignedIn",
        "UserSignInFailed",
        "UserSignedOut",
        "UserPasswordChanged",
        "AdministratorReset",
    ];

    /// The name it is stored under.
    #[must_use]
    pub fn stored_name(&self) -> &'static str {
        match self {
            Self::Record(event) => event.stored_name(),
            Self::SignedIn(_) => "UserSignedIn",
            Self::SignInFailed(_) => "UserSignInFailed",
            Self::SignedOut(_) => "UserSignedOut",
            Self::PasswordChanged(_) => "UserPasswordChanged",
            Self::AdministratorReset(_) => "AdministratorReset",
        }
    }

    /// Reads an event back; `None` if the name is not one of a user's.
    ///
    /// # Errors
    /// When the stored text is not of the event's form.
    pub fn from_stored(name: &str, text: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        match name {
            "UserSignedIn" => serde_json::from_slice(text).map(|event| Some(Self::SignedIn(event))),
            "UserSignInFailed" => {
                serde_json::from_slice(text).map(|event| Some(Self::SignInFailed(event)))
            }
            "UserSignedOut" => {
                serde_json::from_slice(text).map(|event| Some(Self::SignedOut(event)))
            }
            "UserPasswordChanged" => {
                serde_json::from_slice(text).map(|event| Some(Self::PasswordChanged(event)))
            }
            "AdministratorReset" => {
                serde_json::from_slice(text).map(|event| Some(Self::AdministratorReset(event)))
            }
            _ => Ok(record::Event::from_stored(name, text)?.map(Self::Record)),
        }
    }
}

/// Decides what becomes of `command`, given all that is known.
///
/// # Errors
/// Why not.
pub fn decide(world: &World, command: &Command, context: &Context) -> Decision {
    match command {
        Command::Record(command) => decide_record(world, command, context),
        Command::SignIn(command) => sign_in::decide(world, command, context),
        Command::SetPassword {
            user,
            password,
            reset_next_login,
        } => sign_in::decide_set_password(world, *user, password, *reset_next_login, context),
        Command::SignOut { user, sign_in } => decide_sign_out(world, *user, sign_in),
        Command::ResetAdministrator { user, password } => {
            decide_reset(world, *user, password, context)
        }
    }
}

/// Folds one event into the world.
pub fn apply(world: &mut World, id: UserId, event: &Event, at: Timestamp) {
    match event {
        Event::Record(event) => {
            record::apply(world, id, event, at);
            if let record::Event::Changed(changes) = event {
                apply_changes(world, id, changes);
            }
        }
        Event::SignedIn(event) => sign_in::apply_signed_in(world, id, event, at),
        Event::SignInFailed(event) => sign_in::apply_failed(world, id, event),
        Event::SignedOut(_) => {}
        Event::PasswordChanged(event) => sign_in::apply_password(world, id, event),
        Event::AdministratorReset(reset) => {
            if let Some(user) = world.users.get_mut(&id) {
                user.password = Some(reset.password.clone());
                user.enabled = true;
                user.failed_logins = 0;
            }
            sign_in::forget_failures(world, id);
        }
    }
}

/// What else changes with the record: who is disabled has no sign-in left, and who is unlocked or has a new password may try
/// again from everywhere.
fn apply_changes(world: &mut World, id: UserId, changes: &BTreeMap<String, record::Change>) {
    let became =
        |field: &str, value: Value| changes.get(field).is_some_and(|change| change.new == value);
    if became("enabled", Value::Bool(false)) {
        sign_in::end_all(world, id);
    }
    if became("failed_logins", Value::from(0)) || changes.contains_key("password") {
        sign_in::forget_failures(world, id);
    }
}

fn decide_record(world: &World, command: &record::Command<User>, context: &Context) -> Decision {
    if let record::Command::Change(_, body) = command
        && body.contains_key("password")
        && matches!(context.actor(), Actor::ApiAccount(_))
    {
        // One key with wide power must not become everybody's password.
        return Err(Refusal::AdministratorNeeded);
    }
    if let record::Command::Change(id, _) = command
        && matches!(context.actor(), Actor::ApiAccount(_))
        && world.users.get(id).is_some_and(|user| user.perm_admin)
    {
        // Nor may it take an administrator's name, mail address or access away (threat D).
        return Err(Refusal::AdministratorsNotByApi);
    }
    let Some((id, event)) = record::decide(world, command, context)? else {
        return Ok(Vec::new());
    };
    check_enforced(&event)?;
    if ends_an_administrator(&event) && is_last_administrator(world, id) {
        return Err(Refusal::field(
            "enabled",
            "The last enabled administrator must stay one.",
        ));
    }
    happened(crate::Event::User(id, Event::Record(event)))
}

/// Refuses to store what nothing enforces. A value that stays as it is may come back in a body.
fn check_enforced(event: &record::Event<User>) -> Result<(), Refusal> {
    let (two_factor_required, failed_logins) = match event {
        record::Event::Created(user) => (user.two_factor_required, user.failed_logins != 0),
        record::Event::Changed(changes) => {
            let new = |field: &str| changes.get(field).map(|change| &change.new);
            (
                new("two_factor_required") == Some(&Value::Bool(true)),
                new("failed_logins").is_some_and(|new| *new != 0),
            )
        }
        record::Event::Deleted(_) => (false, false),
    };
    let mut errors = FieldErrors::default();
    if two_factor_required {
        errors.push(
            "two_factor_required",
            "The two_factor_required field must be false: this version asks for no second factor.",
        );
    }
    if failed_logins {
        errors.push(
            "failed_logins",
            "The failed_logins field can only be set to 0.",
        );
    }
    errors.into_result(())
}

fn is_last_administrator(world: &World, id: UserId) -> bool {
    let administrators = world
        .users
        .iter()
        .filter(|(_, user)| user.perm_admin && user.enabled);
    administrators.map(|(id, _)| *id).eq([id])
}

fn ends_an_administrator(event: &record::Event<User>) -> bool {
    let off = |changes: &BTreeMap<String, record::Change>, field: &str| {
        changes
            .get(field)
            .is_some_and(|change| change.new == Value::Bool(false))
    };
    match event {
        record::Event::Created(_) => false,
        record::Event::Changed(changes) => off(changes, "perm_admin") || off(changes, "enabled"),
        record::Event::Deleted(_) => true,
    }
}

fn decide_sign_out(world: &World, id: UserId, sign_in: &KeyedHash) -> Decision {
    if !world.users.contains(&id) {
        return nothing();
    }
    let signed_out = crate::Event::User(id, Event::SignedOut(SignedOut {}));
    let voided = ticket::voided_with_sign_in(world, id, sign_in);
    Ok(std::iter::once(signed_out).chain(voided).collect())
}

fn decide_reset(world: &World, id: UserId, password: &SecretRef, context: &Context) -> Decision {
    if *context.actor() != Actor::Operator {
        return Err(Refusal::AdministratorNeeded);
    }
    let user = world
        .users
        .get(&id)
        .ok_or(Refusal::not_found(User::TITLE))?;
    if !user.perm_admin {
        return Err(Refusal::AdministratorNeeded);
    }
    happened(crate::Event::User(
        id,
        Event::AdministratorReset(AdministratorReset {
            password: password.clone(),
        }),
    ))
}
