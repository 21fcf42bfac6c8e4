//! Jumpoints: agents in remote networks through which shortcuts are reached, as records, and the users who may go through
//! them (JPT-01 to JPT-28). Their nodes and installers come later, so none is ever online.
//!
//! States: absent → there → changed → gone, and with it the shortcuts that go through it (JPT-32). One event states it.

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use crate::ids::{JumpointId, UserId};
use crate::record::{self, Field, Kind, Record, Write};
use crate::world::names;
use crate::{Context, Decision, FieldErrors, Refusal, Timestamp, World, happened, nothing};

#[cfg(test)]
mod tests;

/// What may be asked of Jumpoints.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Make, change or delete one.
    Record(record::Command<Jumpoint>),
    /// Let a user go through it (GPOL-12).
    AddUser(JumpointId, UserId),
    /// No longer let a user go through it directly; what a group policy grants stays.
    RemoveUser(JumpointId, UserId),
}

/// A user was added, or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JumpointUser {
    /// Who.
    pub user_id: UserId,
}

/// What happens to a Jumpoint. Expected rate: a few a month.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[allow(
    clippy::large_enum_variant,
    reason = "events are read one at a time and boxed nowhere else"
)]
pub enum Event {
    /// The Jumpoint itself.
    Record(record::Event<Jumpoint>),
    /// A user may go through it.
    UserAdded(JumpointUser),
    /// A user may no longer do so directly.
    UserRemoved(JumpointUser),
}

impl Event {
    /// The names it may be stored under.
    pub const STORED_NAMES: &'static [&'static str] = &[
        "JumpointCreated",
        "JumpointChanged",
        "JumpointDeleted",
        "JumpointUserAdded",
        "JumpointUserRemoved",
    ];

    /// The name it is stored under.
    #[must_use]
    pub fn stored_name(&self) -> &'static str {
        match self {
            Self::Record(event) => event.stored_name(),
            Self::UserAdded(_) => "JumpointUserAdded",
            Self::UserRemoved(_) => "JumpointUserRemoved",
        }
    }

    /// Reads an event back; `None` if the name is not one of a Jumpoint's.
    ///
    /// # Errors
    /// When the stored text is not of the event's form.
    pub fn from_stored(name: &str, text: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        match name {
            "JumpointUserAdded" => {
                serde_json::from_slice(text).map(|event| Some(Self::UserAdded(event)))
            }
            "JumpointUserRemoved" => {
                serde_json::from_slice(text).map(|event| Some(Self::UserRemoved(event)))
            }
            _ => Ok(record::Event::from_stored(name, text)?.map(Self::Record)),
        }
    }
}

/// Addresses from the first to the last, both included.
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
pub struct AddressRange {
    /// The first IPv4 address.
    pub start: String,
    /// The last IPv4 address.
    pub end: String,
}

/// A Jumpoint. Member names are those of the published schema (config-api.md 2.7).
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
pub struct Jumpoint {
    pub name: String,
    pub platform: String,
    pub code_name: String,
    pub comments: String,
    pub enabled: bool,
    pub clustered: bool,
    pub shell_jump_enabled: bool,
    pub external_jump_item_network_id: Option<String>,
    pub protocol_tunnel_enabled: bool,
    pub rdp_service_account_id: Option<u32>,
    pub managed_ip_ranges: Vec<AddressRange>,
    pub jzp_enabled: bool,
    pub jzp_proxy_hostname: String,
    pub jzp_proxy_port: u32,
    pub jzp_allow_http_get: bool,
    pub jzp_client_address_restrictions_type: String,
    pub jzp_restricted_ips: Vec<String>,
}

impl Default for Jumpoint {
    fn default() -> Self {
        Self {
            name: String::new(),
            platform: String::new(),
            code_name: String::new(),
            comments: String::new(),
            enabled: true,
            clustered: false,
            shell_jump_enabled: false,
            external_jump_item_network_id: None,
            protocol_tunnel_enabled: true,
            rdp_service_account_id: None,
            managed_ip_ranges: Vec::new(),
            jzp_enabled: false,
            jzp_proxy_hostname: String::new(),
            // The published schema's; the guide names none (JPT-18).
            jzp_proxy_port: 9555,
            jzp_allow_http_get: false,
            jzp_client_address_restrictions_type: "no_restriction".to_owned(),
            jzp_restricted_ips: Vec::new(),
        }
    }
}

impl Record for Jumpoint {
    type Id = JumpointId;
    const CATEGORY: &'static str = "jumpoint";
    const TITLE: &'static str = "Jumpoint";
    const STORED_NAMES: [&'static str; 3] =
        ["JumpointCreated", "JumpointChanged", "JumpointDeleted"];
    const FIELDS: &'static [Field] = &[
        Field::new(
            "name",
            Kind::Name { min: 1, max: 255 },
            "What the Jumpoint is called; unique.",
        )
        .required()
        .filter(),
        Field::new(
            "platform",
            Kind::Word(&["windows-x86", "linux-x86"]),
            "The system it runs on; fixed once it is made.",
        )
        .required()
        .write(Write::OnCreate),
        Field::new(
            "code_name",
            Kind::CodeName,
            "The name for scripts; unique, generated where absent.",
        )
        .filter(),
        Field::new("comments", Kind::Text { min: 0, max: 1024 }, "Free text."),
        Field::new(
            "enabled",
            Kind::Boolean,
            "Whether anyone may jump through it.",
        ),
        Field::new(
            "clustered",
            Kind::Boolean,
            "Whether it may have several nodes; fixed once it is made.",
        )
        .write(Write::OnCreate),
        Field::new(
            "shell_jump_enabled",
            Kind::Boolean,
            "Whether SSH and Telnet may go through it.",
        ),
        Field::new(
            "external_jump_item_network_id",
            Kind::Name { min: 0, max: 1024 },
            "What another system calls its network; unique.",
        )
        .omitted(),
        Field::new(
            "protocol_tunnel_enabled",
            Kind::Boolean,
            "Whether protocol tunnels may go through it.",
        ),
        Field::new(
            "rdp_service_account_id",
            Kind::Id,
            "The Vault account it uses for Session Forensics.",
        )
        .nullable(),
        Field::new(
            "managed_ip_ranges",
            Kind::AddressRanges { members_max: 64 },
            "The addresses that protocol tunnels may use.",
        ),
        Field::new(
            "jzp_enabled",
            Kind::Boolean,
            "Whether Jump Clients may connect through it.",
        ),
        Field::new(
            "jzp_proxy_hostname",
            Kind::Name { min: 0, max: 256 },
            "The host name that they connect to; found by itself where empty.",
        ),
        Field::new(
            "jzp_proxy_port",
            Kind::Integer {
                min: 1,
                max: 65_535,
            },
            "The port that they connect to.",
        ),
        Field::new(
            "jzp_allow_http_get",
            Kind::Boolean,
            "Whether browsers may reach the site through it.",
        ),
        Field::new(
            "jzp_client_address_restrictions_type",
            Kind::Word(&["no_restriction", "allow_all", "deny_all"]),
            "Which addresses may connect: all, those listed, or all but those listed.",
        ),
        Field::new(
            "jzp_restricted_ips",
            Kind::Texts {
                members_max: 256,
                text_max: 64,
            },
            "Addresses and prefixes, with a mask in digits or dots.",
        ),
    ];

    fn find(world: &World, id: JumpointId) -> Option<&Self> {
        world.jumpoints.get(&id)
    }

    fn put(world: &mut World, id: JumpointId, record: Self, _at: Timestamp) {
        world.put_jumpoint(id, record);
    }

    fn remove(world: &mut World, id: JumpointId) {
        world.forget_jumpoint(id);
    }

    fn complete(&mut self, world: &World, id: Option<JumpointId>, _context: &Context) {
        if self.code_name.is_empty() {
            self.code_name = record::generate_code_name(&self.name, "jumpoint", |name| {
                world
                    .names
                    .is_taken(names::Kind::JumpointCode, name, id.map(|id| id.0))
            });
        }
        // Unset is null in answers, never empty (config-api.md 2.6).
        self.external_jump_item_network_id = self
            .external_jump_item_network_id
            .take()
            .filter(|network| !network.is_empty());
    }

    fn check(&self, world: &World, id: Option<JumpointId>) -> Result<(), Refusal> {
        let mut errors = FieldErrors::default();
        self.check_names(world, id, &mut errors);
        self.check_proxy(&mut errors);
        self.check_managed_ranges(world, &mut errors);
        if self.rdp_service_account_id.is_some() {
            errors.push(
                "rdp_service_account_id",
                if self.platform == "linux-x86" {
                    "A Linux Jumpoint has no RDP Service Account."
                } else {
                    // There are no Vault accounts yet.
                    "The selected rdp_service_account_id is invalid."
                },
            );
        }
        errors.into_result(())
    }
}

impl Jumpoint {
    fn check_names(&self, world: &World, id: Option<JumpointId>, errors: &mut FieldErrors) {
        let number = id.map(|id| id.0);
        for (field, kind, name) in [
            ("name", names::Kind::Jumpoint, &self.name),
            ("code_name", names::Kind::JumpointCode, &self.code_name),
        ] {
            if world.names.is_taken(kind, name, number) {
                errors.push(field, format!("The {field} has already been taken."));
            }
        }
        let network = self.external_jump_item_network_id.as_ref();
        let is_taken = network.is_some()
            && world.jumpoints.iter().any(|(other, jumpoint)| {
                Some(*other) != id && jumpoint.external_jump_item_network_id.as_ref() == network
            });
        if is_taken {
            errors.push(
                "external_jump_item_network_id",
                "The external_jump_item_network_id has already been taken.",
            );
        }
    }

    /// JPT-16, JPT-17, JPT-25
    fn check_proxy(&self, errors: &mut FieldErrors) {
        let host = self.jzp_proxy_hostname.to_lowercase();
        if self.clustered && !host.is_empty() {
            errors.push(
                "jzp_proxy_hostname",
                "A clustered Jumpoint has no jzp_proxy_hostname.",
            );
        } else if host.starts_with("http://") || host.starts_with("https://") {
            errors.push(
                "jzp_proxy_hostname",
                "The jzp_proxy_hostname field must not start with http:// or https://.",
            );
        }
        for entry in &self.jzp_restricted_ips {
            if Prefix::parse(entry).is_none() {
                errors.push(
                    "jzp_restricted_ips",
                    format!("\"{entry}\" is no address and no network prefix."),
                );
            }
        }
    }

    /// JPT-09, JPT-10
    fn check_managed_ranges(&self, world: &World, errors: &mut FieldErrors) {
        if self.managed_ip_ranges.is_empty() {
            return;
        }
        if !self.protocol_tunnel_enabled || !world.settings.network_tunnel_jump_enabled {
            errors.push(
                "managed_ip_ranges",
                "Managed IP addresses need Network Tunnel Jump on the site and protocol tunnels on the Jumpoint.",
            );
        }
        for range in &self.managed_ip_ranges {
            let ends: [Option<Ipv4Addr>; 2] = [range.start.parse().ok(), range.end.parse().ok()];
            let message = match ends {
                [Some(start), Some(end)] if start <= end => continue,
                [Some(_), Some(_)] => "The start of a range must not be above its end.",
                _ => "A range must start and end with an IPv4 address.",
            };
            errors.push("managed_ip_ranges", message);
        }
    }

    /// Whether a client that comes from `address` may connect through its Jump Zone Proxy (JPT-23).
    #[must_use]
    pub fn admits(&self, address: IpAddr) -> bool {
        let is_listed = || {
            self.jzp_restricted_ips
                .iter()
                .filter_map(|entry| Prefix::parse(entry))
                .any(|prefix| prefix.holds(address))
        };
        match self.jzp_client_address_restrictions_type.as_str() {
            "allow_all" => is_listed(),
            "deny_all" => !is_listed(),
            _ => true,
        }
    }
}

/// A network prefix of a restriction: an address, a mask of bits, or a mask in dots (JPT-24).
struct Prefix {
    address: u128,
    mask: u128,
    is_v4: bool,
}

impl Prefix {
    fn parse(entry: &str) -> Option<Self> {
        let (address, mask) = match entry.split_once('/') {
            Some((address, mask)) => (address, Some(mask)),
            None => (entry, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = match mask {
            None => width,
            Some(dotted) if dotted.contains('.') && address.is_ipv4() => {
                let mask: Ipv4Addr = dotted.parse().ok()?;
                let mask = u32::from(mask);
                // Ones, then zeros: no holes.
                (mask.leading_ones() + mask.trailing_zeros() == 32 || mask == u32::MAX)
                    .then_some(mask.leading_ones())?
            }
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|bits| *bits <= width)?
            }
            Some(_) => return None,
        };
        let mask = match width - bits {
            0 => u128::MAX,
            128 => 0,
            low => u128::MAX << low,
        };
        Some(Self {
            address: number(address),
            mask,
            is_v4: address.is_ipv4(),
        })
    }

    fn holds(&self, address: IpAddr) -> bool {
        self.is_v4 == address.is_ipv4() && (number(address) ^ self.address) & self.mask == 0
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

/// Decides what becomes of `command`, given all that is known.
///
/// # Errors
/// Why not.
pub fn decide(world: &World, command: &Command, context: &Context) -> Decision {
    match command {
        Command::Record(command) => Ok(record::decide(world, command, context)?
            .map(|(jumpoint, event)| crate::Event::Jumpoint(jumpoint, Event::Record(event)))
            .into_iter()
            .collect()),
        Command::AddUser(jumpoint, user) => decide_add_user(world, *jumpoint, *user),
        Command::RemoveUser(jumpoint, user) => decide_remove_user(world, *jumpoint, *user),
    }
}

/// Folds one event into the world.
pub fn apply(world: &mut World, jumpoint: JumpointId, event: &Event, at: Timestamp) {
    match event {
        Event::Record(event) => record::apply(world, jumpoint, event, at),
        Event::UserAdded(user) => world.put_jumpoint_user(jumpoint, user.user_id),
        Event::UserRemoved(user) => world.forget_jumpoint_user(jumpoint, user.user_id),
    }
}

fn decide_add_user(world: &World, jumpoint: JumpointId, user: UserId) -> Decision {
    if !world.jumpoints.contains(&jumpoint) {
        return Err(Refusal::not_found(Jumpoint::TITLE));
    }
    if !world.users.contains(&user) {
        return Err(Refusal::field(
            "user_id",
            "The selected user_id is invalid.",
        ));
    }
    if world.is_jumpoint_user(jumpoint, user) {
        return nothing();
    }
    happened(crate::Event::Jumpoint(
        jumpoint,
        Event::UserAdded(JumpointUser { user_id: user }),
    ))
}

fn decide_remove_user(world: &World, jumpoint: JumpointId, user: UserId) -> Decision {
    if !world.is_jumpoint_user(jumpoint, user) {
        return Err(Refusal::not_found("Jumpoint user"));
    }
    happened(crate::Event::Jumpoint(
        jumpoint,
        Event::UserRemoved(JumpointUser { user_id: user }),
    ))
}
