//! What agents trust and where they find the site: the list of trust anchors and the list of the site's own addresses.
//!
//! States of an entry: added → withdrawn. Each list has a version that only grows; an agent takes a list over where its version
//! is higher than the one it holds, and confirms what it has on disk ([`jump_client::Event::TrustConfirmed`]). An entry is
//! withdrawn without further words only where every client has confirmed another that stays: else the caller must ask for it.
//!
//! [`jump_client::Event::TrustConfirmed`]: crate::fleet::jump_client::Event::TrustConfirmed

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::fleet::jump_client::JumpClient;
use crate::ids::{AgentAnchorId, JumpClientId, SiteAddressId};
use crate::{Decision, Event as Happened, Refusal, Timestamp, World, happened, nothing};

#[cfg(test)]
mod tests;

/// The stream of both lists.
pub const STREAM: &str = "agent_trust";

/// Most trust anchors of a site (docs/client-link.md, section 3).
pub const ANCHORS_MAX: usize = 8;
/// Most addresses of a site (docs/client-link.md, section 2).
pub const ADDRESSES_MAX: usize = 4;
/// Longest address, in characters.
pub const ADDRESS_CHARS_MAX: usize = 200;

/// What anchors and addresses may take together in an installer's key, each with quotes and a comma, so that the whole key
/// stays under 1 KiB. Unit: bytes.
pub const KEY_BYTES_MAX: usize = 580;

/// The counters of the two kinds of entries.
const ANCHOR_COUNTER: &str = "agent_anchor";
const ADDRESS_COUNTER: &str = "site_address";

/// What a refusal calls the entries.
const ANCHOR: &str = "Trust anchor";
const ADDRESS: &str = "Site address";

/// The anchor that stands for the roots of the agent's operating system.
const SYSTEM: &str = "system";

/// What may be asked of the two lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A server starts: where a list is empty, it gets these entries. Nothing happens to a list that has entries.
    Begin {
        /// Trust anchors.
        anchors: Vec<String>,
        /// The version of the first list: a site that kept its list elsewhere goes on from there.
        anchors_version: u64,
        /// Addresses, the best first.
        addresses: Vec<String>,
    },
    /// Agents are to trust this too: `system`, or `sha256:` and the hash of an authority's public key in hex.
    AddAnchor(String),
    /// Agents are not to trust this any more.
    WithdrawAnchor {
        /// Which.
        anchor: AgentAnchorId,
        /// Whether the certificate that the asked server shows is trusted by this anchor and by no other.
        in_use: bool,
        /// Whether clients may be cut off by it.
        cut_off: bool,
    },
    /// Agents are to look for the site here too.
    AddAddress {
        /// `https://HOST` or `https://HOST:PORT`.
        url: String,
        /// Its place among the addresses, from 1; behind the last where there is none.
        place: Option<usize>,
    },
    /// Agents are not to look for the site here any more.
    WithdrawAddress {
        /// Which.
        address: SiteAddressId,
        /// Whether clients may be cut off by it.
        cut_off: bool,
    },
}

/// Agents are to trust one thing more. Expected rate: a handful a year.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchorAdded {
    /// Names the entry.
    pub id: AgentAnchorId,
    /// `system`, or `sha256:` and 64 hexadecimal digits.
    pub anchor: String,
    /// The version of the list from here on.
    pub version: u64,
}

/// Agents are to trust one thing less. Expected rate: a handful a year.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchorWithdrawn {
    /// Names the entry.
    pub id: AgentAnchorId,
    /// As it was added.
    pub anchor: String,
    /// The version of the list from here on.
    pub version: u64,
    /// How many clients had confirmed no other anchor of the list.
    pub cut_off: u32,
}

/// The site has one address more. Expected rate: a handful in its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressAdded {
    /// Names the entry.
    pub id: SiteAddressId,
    /// The address.
    pub url: String,
    /// Its place among the addresses, from 1.
    pub place: u32,
    /// The version of the list from here on.
    pub version: u64,
}

/// The site has one address less. Expected rate: a handful in its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressWithdrawn {
    /// Names the entry.
    pub id: SiteAddressId,
    /// As it was added.
    pub url: String,
    /// The version of the list from here on.
    pub version: u64,
    /// How many clients had confirmed no other address of the list.
    pub cut_off: u32,
}

/// What happens to the two lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Event {
    /// A trust anchor was added.
    AnchorAdded(AnchorAdded),
    /// A trust anchor was withdrawn.
    AnchorWithdrawn(AnchorWithdrawn),
    /// An address was added.
    AddressAdded(AddressAdded),
    /// An address was withdrawn.
    AddressWithdrawn(AddressWithdrawn),
}

impl Event {
    /// The names it may be stored under.
    pub const STORED_NAMES: &'static [&'static str] = &[
        "AgentAnchorAdded",
        "AgentAnchorWithdrawn",
        "SiteAddressAdded",
        "SiteAddressWithdrawn",
    ];

    /// The name it is stored under.
    #[must_use]
    pub const fn stored_name(&self) -> &'static str {
        match self {
            Self::AnchorAdded(_) => "AgentAnchorAdded",
            Self::AnchorWithdrawn(_) => "AgentAnchorWithdrawn",
            Self::AddressAdded(_) => "SiteAddressAdded",
            Self::AddressWithdrawn(_) => "SiteAddressWithdrawn",
        }
    }

    /// Reads an event back; `None` if the name is not one of the two lists'.
    ///
    /// # Errors
    /// When the stored text is not of the event's form.
    pub fn from_stored(name: &str, text: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        match name {
            "AgentAnchorAdded" => {
                serde_json::from_slice(text).map(|event| Some(Self::AnchorAdded(event)))
            }
            "AgentAnchorWithdrawn" => {
                serde_json::from_slice(text).map(|event| Some(Self::AnchorWithdrawn(event)))
            }
            "SiteAddressAdded" => {
                serde_json::from_slice(text).map(|event| Some(Self::AddressAdded(event)))
            }
            "SiteAddressWithdrawn" => {
                serde_json::from_slice(text).map(|event| Some(Self::AddressWithdrawn(event)))
            }
            _ => Ok(None),
        }
    }
}

/// One entry of a list.
#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Entry<Id> {
    /// Names it.
    pub id: Id,
    /// The anchor or the address.
    pub value: String,
    /// The version of the list that first had it: a client that confirmed this version or a later one has it.
    pub version: u64,
    /// When it was added.
    pub added_at: Timestamp,
}

/// A list that agents keep.
#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct List<Id> {
    /// Grows with every change; 0 where there never was an entry.
    pub version: u64,
    /// What is in force, in its order.
    pub entries: Vec<Entry<Id>>,
}

impl<Id> Default for List<Id> {
    fn default() -> Self {
        Self {
            version: 0,
            entries: Vec::new(),
        }
    }
}

impl<Id: Copy + PartialEq> List<Id> {
    /// The entry with this id.
    #[must_use]
    pub fn get(&self, id: Id) -> Option<&Entry<Id>> {
        self.entries.iter().find(|entry| entry.id == id)
    }

    /// The anchors or addresses, in their order.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.value.as_str())
    }

    /// The version that a client must have confirmed to get along without the entry `id`: the oldest of those that added one
    /// of the others. None where there is no other.
    #[must_use]
    pub fn enough_without(&self, id: Id) -> Option<u64> {
        let others = self.entries.iter().filter(|entry| entry.id != id);
        others.map(|entry| entry.version).min()
    }

    fn holds(&self, value: &str) -> bool {
        self.values().any(|held| held == value)
    }

    fn remove(&mut self, id: Id, version: u64) {
        self.entries.retain(|entry| entry.id != id);
        self.version = version;
    }
}

/// Both lists.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize,
)]
pub struct AgentTrust {
    /// What agents trust.
    pub anchors: List<AgentAnchorId>,
    /// Where agents find the site, the best first; empty where a server was never given its URL.
    pub addresses: List<SiteAddressId>,
}

/// The versions of the two lists that a client has on disk, as far as it said; 0 is none.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize,
)]
pub struct Confirmed {
    /// Of the trust anchors.
    pub anchors: u64,
    /// Of the addresses.
    pub addresses: u64,
}

/// Decides what becomes of `command`, given all that is known.
///
/// # Errors
/// Why not.
pub fn decide(world: &World, command: &Command) -> Decision {
    match command {
        Command::Begin {
            anchors,
            anchors_version,
            addresses,
        } => decide_begin(world, anchors, *anchors_version, addresses),
        Command::AddAnchor(anchor) => decide_add_anchor(world, anchor),
        Command::WithdrawAnchor {
            anchor,
            in_use,
            cut_off,
        } => decide_withdraw_anchor(world, *anchor, *in_use, *cut_off),
        Command::AddAddress { url, place } => decide_add_address(world, url, *place),
        Command::WithdrawAddress { address, cut_off } => {
            decide_withdraw_address(world, *address, *cut_off)
        }
    }
}

/// Folds one event into the world.
pub fn apply(world: &mut World, event: &Event, at: Timestamp) {
    match event {
        Event::AnchorAdded(added) => {
            world.used_id(ANCHOR_COUNTER, added.id.0);
            world.agent_trust.anchors.version = added.version;
            world.agent_trust.anchors.entries.push(Entry {
                id: added.id,
                value: added.anchor.clone(),
                version: added.version,
                added_at: at,
            });
        }
        Event::AnchorWithdrawn(withdrawn) => {
            world
                .agent_trust
                .anchors
                .remove(withdrawn.id, withdrawn.version);
        }
        Event::AddressAdded(added) => {
            world.used_id(ADDRESS_COUNTER, added.id.0);
            let list = &mut world.agent_trust.addresses;
            list.version = added.version;
            let place = (added.place as usize).saturating_sub(1);
            list.entries.insert(
                place.min(list.entries.len()),
                Entry {
                    id: added.id,
                    value: added.url.clone(),
                    version: added.version,
                    added_at: at,
                },
            );
        }
        Event::AddressWithdrawn(withdrawn) => {
            world
                .agent_trust
                .addresses
                .remove(withdrawn.id, withdrawn.version);
        }
    }
}

fn decide_begin(world: &World, anchors: &[String], version: u64, addresses: &[String]) -> Decision {
    let trust = &world.agent_trust;
    let mut events = Vec::new();
    if trust.anchors.version == 0 {
        for (number, anchor) in (world.next_id(ANCHOR_COUNTER)..).zip(anchors) {
            let anchor = read_anchor(anchor)?;
            events.push(Event::AnchorAdded(AnchorAdded {
                id: AgentAnchorId(number),
                anchor,
                version: version.max(1),
            }));
        }
    }
    if trust.addresses.version == 0 {
        for (number, url) in (world.next_id(ADDRESS_COUNTER)..).zip(addresses) {
            events.push(Event::AddressAdded(AddressAdded {
                id: SiteAddressId(number),
                url: read_address(url)?,
                place: number,
                version: 1,
            }));
        }
    }
    Ok(events.into_iter().map(Happened::AgentTrust).collect())
}

fn decide_add_anchor(world: &World, anchor: &str) -> Decision {
    let anchor = read_anchor(anchor)?;
    let list = &world.agent_trust.anchors;
    if list.holds(&anchor) {
        return nothing();
    }
    if list.entries.len() >= ANCHORS_MAX {
        return Err(Refusal::field(
            "anchor",
            format!("A site has at most {ANCHORS_MAX} trust anchors: withdraw one first."),
        ));
    }
    fits_a_key(world, "anchor", &anchor)?;
    happened(Happened::AgentTrust(Event::AnchorAdded(AnchorAdded {
        id: AgentAnchorId(world.next_id(ANCHOR_COUNTER)),
        anchor,
        version: list.version + 1,
    })))
}

fn decide_withdraw_anchor(
    world: &World,
    id: AgentAnchorId,
    in_use: bool,
    may_cut_off: bool,
) -> Decision {
    let list = &world.agent_trust.anchors;
    let entry = list.get(id).ok_or(Refusal::not_found(ANCHOR))?;
    let enough = list
        .enough_without(id)
        .ok_or(Refusal::LastOfTrust { what: ANCHOR })?;
    let cut_off = count(world.unconfirmed_clients(|confirmed| confirmed.anchors < enough));
    if in_use && !may_cut_off {
        return Err(Refusal::AnchorInUse);
    }
    allowed(ANCHOR, cut_off, may_cut_off)?;
    happened(Happened::AgentTrust(Event::AnchorWithdrawn(
        AnchorWithdrawn {
            id,
            anchor: entry.value.clone(),
            version: list.version + 1,
            cut_off,
        },
    )))
}

fn decide_add_address(world: &World, url: &str, place: Option<usize>) -> Decision {
    let url = read_address(url)?;
    let list = &world.agent_trust.addresses;
    if list.holds(&url) {
        return nothing();
    }
    if list.entries.len() >= ADDRESSES_MAX {
        return Err(Refusal::field(
            "url",
            format!("A site has at most {ADDRESSES_MAX} addresses: withdraw one first."),
        ));
    }
    let behind = list.entries.len() + 1;
    let place = place.unwrap_or(behind);
    if !(1..=behind).contains(&place) {
        return Err(Refusal::field(
            "place",
            format!("The place must be an integer of 1 to {behind}."),
        ));
    }
    fits_a_key(world, "url", &url)?;
    happened(Happened::AgentTrust(Event::AddressAdded(AddressAdded {
        id: SiteAddressId(world.next_id(ADDRESS_COUNTER)),
        url,
        place: u32::try_from(place).unwrap_or(1),
        version: list.version + 1,
    })))
}

fn decide_withdraw_address(world: &World, id: SiteAddressId, may_cut_off: bool) -> Decision {
    let list = &world.agent_trust.addresses;
    let entry = list.get(id).ok_or(Refusal::not_found(ADDRESS))?;
    let enough = list
        .enough_without(id)
        .ok_or(Refusal::LastOfTrust { what: ADDRESS })?;
    let cut_off = count(world.unconfirmed_clients(|confirmed| confirmed.addresses < enough));
    allowed(ADDRESS, cut_off, may_cut_off)?;
    happened(Happened::AgentTrust(Event::AddressWithdrawn(
        AddressWithdrawn {
            id,
            url: entry.value.clone(),
            version: list.version + 1,
            cut_off,
        },
    )))
}

/// Whether clients may be cut off, where any would be.
fn allowed(what: &'static str, clients: u32, may_cut_off: bool) -> Result<(), Refusal> {
    if clients > 0 && !may_cut_off {
        return Err(Refusal::WouldCutOff { what, clients });
    }
    Ok(())
}

fn count<T>(rows: impl Iterator<Item = T>) -> u32 {
    u32::try_from(rows.count()).unwrap_or(u32::MAX)
}

/// Whether an installer's key still holds both lists with `added`.
fn fits_a_key(world: &World, field: &'static str, added: &str) -> Result<(), Refusal> {
    // Two quotes and a comma.
    let in_key = |text: &str| text.len() + 3;
    let trust = &world.agent_trust;
    let held = trust.anchors.values().chain(trust.addresses.values());
    let bytes: usize = held.chain([added]).map(in_key).sum();
    if bytes > KEY_BYTES_MAX {
        return Err(Refusal::field(
            field,
            "Trust anchors and addresses together would make the key of installers (KEY_INFO) too long: withdraw some first.",
        ));
    }
    Ok(())
}

/// Whether a text may be an address of the site.
#[must_use]
pub fn is_address(text: &str) -> bool {
    read_address(text).is_ok()
}

/// An anchor as it is kept: in lower case.
fn read_anchor(text: &str) -> Result<String, Refusal> {
    let anchor = text.trim().to_ascii_lowercase();
    let is_pin = anchor.strip_prefix("sha256:").is_some_and(|digits| {
        digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    if is_pin || anchor == SYSTEM {
        return Ok(anchor);
    }
    Err(Refusal::field(
        "anchor",
        "The anchor must be \"system\", or \"sha256:\" and 64 hexadecimal digits: the hash of an authority's public key.",
    ))
}

/// An address as it is kept: scheme and host in lower case, without a slash at the end.
fn read_address(text: &str) -> Result<String, Refusal> {
    let url = text.trim().trim_end_matches('/').to_ascii_lowercase();
    let is_address = url.len() <= ADDRESS_CHARS_MAX
        && match url.split_once("://") {
            Some(("https", rest)) => host_of(rest).is_some(),
            Some(("http", rest)) => host_of(rest).is_some_and(is_loopback),
            _ => false,
        };
    if is_address {
        return Ok(url);
    }
    Err(Refusal::field(
        "url",
        format!(
            "The url must be https://HOST or https://HOST:PORT, of at most {ADDRESS_CHARS_MAX} characters."
        ),
    ))
}

/// The host of what stands behind the scheme, an IPv6 address without its brackets; none where it is no host with perhaps a
/// port.
fn host_of(rest: &str) -> Option<&str> {
    let (host, port) = match rest.strip_prefix('[') {
        Some(rest) => {
            let (host, behind) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            match behind {
                "" => (host, None),
                _ => (host, Some(behind.strip_prefix(':')?)),
            }
        }
        None => {
            let (host, port) = match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            };
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
            if host.is_empty() || !host.bytes().all(allowed) {
                return None;
            }
            (host, port)
        }
    };
    match port.map(str::parse::<u16>) {
        Some(Ok(0) | Err(_)) => None,
        _ => Some(host),
    }
}

/// Whether only this machine can be meant: there plain HTTP may be used, as in tests and demonstrations.
fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback())
        || host
            .parse::<Ipv6Addr>()
            .is_ok_and(|address| address.is_loopback())
}

impl World {
    /// The clients that may come back and of whose confirmed lists `lacks` is true, by id: those that are installed and not in
    /// quarantine. Looks at every client.
    pub fn unconfirmed_clients(
        &self,
        lacks: impl Fn(Confirmed) -> bool,
    ) -> impl Iterator<Item = (JumpClientId, &JumpClient)> {
        let own = self
            .jump_clients
            .iter()
            .filter(|(id, client)| client.endpoint == **id);
        own.chain(self.bare_endpoints.iter())
            .filter(move |(_, client)| {
                !client.quarantined && !self.is_uninstalled(client) && lacks(client.trust_confirmed)
            })
            .map(|(id, client)| (*id, client))
    }
}
