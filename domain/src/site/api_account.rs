//! API accounts: a plain record with permissions (AUTH-22 to AUTH-27), a secret that is regenerated, never edited (AUTH-10),
//! and the hours in which each was used from where.
//!
//! Tokens are rows of the `api_token` side table; one is good only while the account is enabled and its secret is the one the
//! token was given under, so a new secret ends all tokens at once on every node (AUTH-09), and disabling the account ends
//! them for good (AUTH-29).

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::ids::{ApiAccountId, SecretRef};
use crate::record::{self, Field, Kind, Record, Write};
use crate::{Context, Decision, FieldErrors, Refusal, Timestamp, World, happened, nothing, time};

#[cfg(test)]
mod tests;

/// An API account. Member names are those of the published schema (config-api.md 2.7).
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
pub struct ApiAccount {
    pub name: String,
    pub comments: String,
    pub enabled: bool,
    pub ip_addresses: String,
    pub client_id: String,
    pub client_secret: Option<SecretRef>,
    pub failed_login_attempts: u32,
    pub failed_login_expiration: Option<String>,
    pub ecm_group_id: Option<u32>,
    pub perm_command: String,
    pub perm_reporting_support: bool,
    pub perm_reporting_license: bool,
    pub perm_reporting_vault: bool,
    pub perm_reporting_jump_item: bool,
    pub perm_reporting_syslog: bool,
    pub perm_backup: bool,
    pub perm_vault_backup: bool,
    pub perm_ecm: bool,
    pub perm_scim: bool,
    pub perm_configuration: bool,
    pub perm_configuration_vault_account: bool,
    pub requests_per_second: u32,
    pub requests_per_hour: u32,
}

impl Default for ApiAccount {
    fn default() -> Self {
        Self {
            name: String::new(),
            comments: String::new(),
            enabled: true,
            ip_addresses: String::new(),
            client_id: String::new(),
            client_secret: None,
            failed_login_attempts: 0,
            failed_login_expiration: None,
            ecm_group_id: None,
            perm_command: "deny".to_owned(),
            perm_reporting_support: false,
            perm_reporting_license: false,
            perm_reporting_vault: false,
            perm_reporting_jump_item: false,
            perm_reporting_syslog: false,
            perm_backup: false,
            perm_vault_backup: false,
            perm_ecm: false,
            perm_scim: false,
            perm_configuration: false,
            perm_configuration_vault_account: false,
            requests_per_second: 20,
            requests_per_hour: 15_000,
        }
    }
}

impl ApiAccount {
    /// Every permission on: the first account of a site.
    pub fn allow_everything(&mut self) {
        self.perm_command = "full_access".to_owned();
        self.perm_reporting_support = true;
        self.perm_reporting_license = true;
        self.perm_reporting_vault = true;
        self.perm_reporting_jump_item = true;
        self.perm_reporting_syslog = true;
        self.perm_backup = true;
        self.perm_vault_backup = true;
        self.perm_ecm = true;
        self.perm_scim = true;
        self.perm_configuration = true;
        self.perm_configuration_vault_account = true;
    }

    /// Whether the account may be used from `address`. Networks that can't be read admit nobody.
    #[must_use]
    pub fn admits(&self, address: IpAddr) -> bool {
        parse_networks(&self.ip_addresses).is_ok_and(|networks| admits(&networks, address))
    }

    fn has_permission(&self) -> bool {
        self.perm_command != "deny"
            || self.perm_reporting_support
            || self.perm_reporting_license
            || self.perm_reporting_vault
            || self.perm_reporting_jump_item
            || self.perm_reporting_syslog
            || self.perm_backup
            || self.perm_vault_backup
            || self.perm_ecm
            || self.perm_scim
            || self.perm_configuration
    }
}

impl Record for ApiAccount {
    type Id = ApiAccountId;
    const CATEGORY: &'static str = "api_account";
    const TITLE: &'static str = "API account";
    const STORED_NAMES: [&'static str; 3] = [
        "ApiAccountCreated",
        "ApiAccountChanged",
        "ApiAccountDeleted",
    ];
    const FIELDS: &'static [Field] = &[
        Field::new(
            "name",
            Kind::Name { min: 1, max: 255 },
            "What the account is called; unique.",
        )
        .required()
        .filter(),
        Field::new("comments", Kind::Text { min: 0, max: 4096 }, "Free text."),
        Field::new("enabled", Kind::Boolean, "Whether it may be used."),
        Field::new(
            "ip_addresses",
            Kind::Text { min: 0, max: 4096 },
            "Networks it may be used from, one a line or separated by commas; empty is everywhere.",
        ),
        Field::new(
            "client_id",
            Kind::Text { min: 40, max: 40 },
            "Its client id: 40 hex digits.",
        )
        .write(Write::Never),
        Field::new(
            "client_secret",
            Kind::Secret { max: 256 },
            "The sealed secret.",
        )
        .write(Write::OnCreate)
        .nullable()
        .write_only(),
        Field::new(
            "failed_login_attempts",
            Kind::Integer {
                min: 0,
                max: 2_147_483_647,
            },
            "Failed token requests.",
        )
        .write(Write::Never),
        Field::new(
            "failed_login_expiration",
            Kind::Text { min: 0, max: 64 },
            "When a lock ends.",
        )
        .write(Write::Never)
        .omitted(),
        Field::new(
            "ecm_group_id",
            Kind::Id,
            "The Endpoint Credential Manager group.",
        )
        .omitted(),
        Field::new(
            "perm_command",
            Kind::Word(&["deny", "read_only", "full_access"]),
            "Command API.",
        ),
        Field::new(
            "perm_reporting_support",
            Kind::Boolean,
            "Access session reports and recordings.",
        ),
        Field::new(
            "perm_reporting_license",
            Kind::Boolean,
            "License usage reports.",
        ),
        Field::new(
            "perm_reporting_vault",
            Kind::Boolean,
            "Vault account activity reports.",
        ),
        Field::new(
            "perm_reporting_jump_item",
            Kind::Boolean,
            "Jump Item reports.",
        ),
        Field::new("perm_reporting_syslog", Kind::Boolean, "Syslog reports."),
        Field::new("perm_backup", Kind::Boolean, "Backup API."),
        Field::new(
            "perm_vault_backup",
            Kind::Boolean,
            "Vault encryption key in the Backup API.",
        ),
        Field::new(
            "perm_ecm",
            Kind::Boolean,
            "Endpoint Credential Manager API.",
        ),
        Field::new("perm_scim", Kind::Boolean, "SCIM API."),
        Field::new("perm_configuration", Kind::Boolean, "Configuration API."),
        Field::new(
            "perm_configuration_vault_account",
            Kind::Boolean,
            "Vault accounts in the Configuration API.",
        ),
        Field::new(
            "requests_per_second",
            Kind::Integer {
                min: 1,
                max: 10_000,
            },
            "Requests a second. More wait for their turn, at most two seconds; beyond that they get 429.",
        ),
        Field::new(
            "requests_per_hour",
            Kind::Integer {
                min: 1,
                max: 10_000_000,
            },
            "Requests an hour before 429.",
        ),
    ];

    fn find(world: &World, id: ApiAccountId) -> Option<&Self> {
        world.api_accounts.get(&id)
    }

    fn put(world: &mut World, id: ApiAccountId, record: Self, _at: Timestamp) {
        world.put_api_account(id, record);
    }

    fn remove(world: &mut World, id: ApiAccountId) {
        world.forget_api_account(id);
    }

    fn complete(&mut self, _world: &World, id: Option<ApiAccountId>, context: &Context) {
        if id.is_none() {
            self.client_id = format!("{}{}", context.fresh.hex(0), &context.fresh.hex(1)[..8]);
        }
        if !self.perm_configuration {
            // Removing Configuration API access removes it too (AUTH-26).
            self.perm_configuration_vault_account = false;
        }
    }

    fn check(&self, world: &World, id: Option<ApiAccountId>) -> Result<(), Refusal> {
        let mut errors = FieldErrors::default();
        let name = self.name.to_lowercase();
        if world
            .api_accounts
            .iter()
            .any(|(other, a)| Some(*other) != id && a.name.to_lowercase() == name)
        {
            errors.push("name", "The name has already been taken.");
        }
        if let Err(message) = parse_networks(&self.ip_addresses) {
            errors.push("ip_addresses", message);
        }
        errors.into_result(())?;
        if self.has_permission() {
            Ok(())
        } else {
            Err(Refusal::NoApiPermission)
        }
    }
}

/// Reads the networks of `ip_addresses`: each an address or `address/prefix`. Empty text is no network: from everywhere.
///
/// # Errors
/// A sentence that names what can't be read.
pub fn parse_networks(text: &str) -> Result<Vec<(IpAddr, u8)>, String> {
    text.split(|c: char| c == ',' || c.is_whitespace())
        .filter(|part| !part.is_empty())
        .map(|part| {
            parse_network(part).ok_or_else(|| {
                format!("The ip_addresses field holds \"{part}\", which is no address or network.")
            })
        })
        .collect()
}

/// Reads one network: an address or `address/prefix`.
#[must_use]
pub fn parse_network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, prefix) = text
        .split_once('/')
        .map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let address: IpAddr = address.parse().ok()?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        Some(prefix) => prefix.parse().ok()?,
        None => longest,
    };
    (prefix <= longest).then_some((address, prefix))
}

/// Whether `address` lies in one of `networks`, or there are none.
#[must_use]
pub fn admits(networks: &[(IpAddr, u8)], address: IpAddr) -> bool {
    networks.is_empty()
        || networks
            .iter()
            .any(|(network, prefix)| within(*network, *prefix, address))
}

fn within(network: IpAddr, prefix: u8, address: IpAddr) -> bool {
    match (network, address.to_canonical()) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let shift = 32 - u32::from(prefix);
            shift == 32 || (u32::from(network) >> shift) == (u32::from(address) >> shift)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let shift = 128 - u32::from(prefix);
            shift == 128 || (u128::from(network) >> shift) == (u128::from(address) >> shift)
        }
        _ => false,
    }
}

/// What may be asked of an API account.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Make, change or delete it. A body that makes one carries `client_secret`, the reference of the sealed secret.
    Record(record::Command<ApiAccount>),
    /// Put a new secret in place of the old.
    RegenerateSecret {
        /// Which account.
        account: ApiAccountId,
        /// The sealed secret since.
        client_secret: SecretRef,
    },
    /// The account got a token from this address.
    Authenticate {
        /// Which account.
        account: ApiAccountId,
        /// From where.
        address: IpAddr,
    },
}

/// The secret was regenerated; all tokens end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SecretRegenerated {
    /// The sealed secret since.
    pub client_secret: SecretRef,
}

/// The account got its first token of an hour from an address. Expected rate: one an account, address and hour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Authenticated {
    /// From where.
    pub address: IpAddr,
}

/// What happens to an API account. Expected rate: see [`Authenticated`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[allow(
    clippy::large_enum_variant,
    reason = "events are read one at a time and boxed nowhere else"
)]
pub enum Event {
    /// The record itself.
    Record(record::Event<ApiAccount>),
    /// The secret was regenerated.
    SecretRegenerated(SecretRegenerated),
    /// It was used.
    Authenticated(Authenticated),
}

impl Event {
    /// The names it may be stored under.
    pub const STORED_NAMES: &'static [&'static str] = &[
        "ApiAccountCreated",
        "ApiAccountChanged",
        "ApiAccountDeleted",
        "ApiAccountSecretRegenerated",
        "ApiAccountAuthenticated",
    ];

    /// The name it is stored under.
    #[must_use]
    pub fn stored_name(&self) -> &'static str {
        match self {
            Self::Record(event) => event.stored_name(),
            Self::SecretRegenerated(_) => "ApiAccountSecretRegenerated",
            Self::Authenticated(_) => "ApiAccountAuthenticated",
        }
    }

    /// Reads an event back; `None` if the name is not one of an API account's.
    ///
    /// # Errors
    /// When the stored text is not of the event's form.
    pub fn from_stored(name: &str, text: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        match name {
            "ApiAccountSecretRegenerated" => {
                serde_json::from_slice(text).map(|event| Some(Self::SecretRegenerated(event)))
            }
            "ApiAccountAuthenticated" => {
                serde_json::from_slice(text).map(|event| Some(Self::Authenticated(event)))
            }
            _ => Ok(record::Event::from_stored(name, text)?.map(Self::Record)),
        }
    }
}

/// When an account was last seen from each address, for the newest [`ADDRESSES_MAX`] addresses.
pub type SeenFrom = BTreeMap<IpAddr, Timestamp>;

/// How many addresses an account's uses are told apart by; beyond, the longest unseen is forgotten and noted anew.
pub const ADDRESSES_MAX: usize = 64;

/// Decides what becomes of `command`, given all that is known.
///
/// # Errors
/// Why not.
pub fn decide(world: &World, command: &Command, context: &Context) -> Decision {
    match command {
        Command::Record(command) => Ok(record::decide(world, command, context)?
            .map(|(account, event)| crate::Event::ApiAccount(account, Event::Record(event)))
            .into_iter()
            .collect()),
        Command::RegenerateSecret {
            account,
            client_secret,
        } => decide_regenerate(world, *account, client_secret),
        Command::Authenticate { account, address } => {
            decide_authenticate(world, *account, *address, context)
        }
    }
}

/// Folds one event into the world.
pub fn apply(world: &mut World, id: ApiAccountId, event: &Event, at: Timestamp) {
    match event {
        Event::Record(event) => {
            record::apply(world, id, event, at);
            let disabled = matches!(event, record::Event::Changed(changes)
                if changes.get("enabled").is_some_and(|change| change.new == false));
            if disabled {
                world.end_tokens(id);
            }
        }
        Event::SecretRegenerated(regenerated) => {
            if let Some(account) = world.api_accounts.get_mut(&id) {
                account.client_secret = Some(regenerated.client_secret.clone());
            }
        }
        Event::Authenticated(used) => world.note_use(id, used.address, at),
    }
}

fn decide_regenerate(world: &World, id: ApiAccountId, client_secret: &SecretRef) -> Decision {
    world
        .api_accounts
        .get(&id)
        .ok_or(Refusal::not_found(ApiAccount::TITLE))?;
    happened(crate::Event::ApiAccount(
        id,
        Event::SecretRegenerated(SecretRegenerated {
            client_secret: client_secret.clone(),
        }),
    ))
}

fn decide_authenticate(
    world: &World,
    id: ApiAccountId,
    address: IpAddr,
    context: &Context,
) -> Decision {
    let account = world
        .api_accounts
        .get(&id)
        .ok_or(Refusal::ApiAccountDisabled)?;
    if !account.enabled || !account.admits(address) {
        return Err(Refusal::ApiAccountDisabled);
    }
    if !world.use_is_due(id, address, context.now) {
        return nothing();
    }
    happened(crate::Event::ApiAccount(
        id,
        Event::Authenticated(Authenticated { address }),
    ))
}

/// Whether a use at `now` begins a new hour of the clock since `seen`.
#[must_use]
pub fn begins_an_hour(seen: Option<Timestamp>, now: Timestamp) -> bool {
    seen.is_none_or(|seen| seen.0.div_euclid(time::HOUR) != now.0.div_euclid(time::HOUR))
}
