//! The ticket system that a Jump Policy may ask before a session starts: one plain record, always with id 1, and its Current
//! Status.
//!
//! Current Status is the outcome of the last outbound request (TICK-47); every change of the record takes it away (TICK-06).

use serde::{Deserialize, Serialize};

use crate::ids::TicketSystemId;
use crate::policy::jump_policy::JumpPolicy;
use crate::record::{Field, Kind, Record};
use crate::{FieldErrors, Refusal, Timestamp, World};

#[cfg(test)]
mod tests;

/// The id of the one record.
pub const TICKET_SYSTEM: TicketSystemId = TicketSystemId(1);

/// Longest URL, in characters.
const URL_CHARS_MAX: usize = 2_000;
/// Longest list of certificates in PEM, in characters.
const CERTIFICATE_CHARS_MAX: usize = 65_536;

/// What is said where a policy needs a URL and none is set (ERR-21).
pub const URL_REQUIRED: &str =
    "Ticket System URL is required because one or more Jump Policies still require a ticket ID.";
/// What is said of plain HTTP in sensitive mode (ERR-23).
const HTTPS_REQUIRED: &str =
    "The Ticket System URL must start with \"https://\" when the Ticket ID is sensitive.";
/// What is said of unchecked certificates in sensitive mode (ERR-24).
const CHECKS_REQUIRED: &str = "Cannot ignore SSL errors when the Ticket ID is sensitive.";

/// How the ticket system is reached and what users are asked for (TICK-01).
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
pub struct TicketSystem {
    pub url: String,
    pub user_prompt: String,
    pub sensitive: bool,
    pub ignore_certificate_errors: bool,
    pub certificate: String,
    pub timeout_seconds: u32,
}

impl Default for TicketSystem {
    fn default() -> Self {
        Self {
            url: String::new(),
            user_prompt: String::new(),
            sensitive: false,
            ignore_certificate_errors: false,
            certificate: String::new(),
            timeout_seconds: 60,
        }
    }
}

/// The outcome of the last outbound request (TICK-47).
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
pub struct Status {
    /// Whether the ticket system took the request.
    pub success: bool,
    /// `Success`, or what went wrong.
    pub message: String,
    /// When that was known.
    pub at: Timestamp,
}

/// Everything about the ticket system that a decision may ask.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize,
)]
pub struct Connection {
    /// Current Status; none until the first request and after every change (TICK-05, TICK-06).
    pub status: Option<Status>,
    /// How often the record was changed: what comes of a request that was asked before the last change is no status.
    pub version: u32,
}

impl Record for TicketSystem {
    type Id = TicketSystemId;
    const CATEGORY: &'static str = "ticket_system";
    const TITLE: &'static str = "Ticket system";
    const STORED_NAMES: [&'static str; 3] = [
        "TicketSystemCreated",
        "TicketSystemChanged",
        "TicketSystemDeleted",
    ];
    const FIELDS: &'static [Field] = &[
        Field::new(
            "url",
            Kind::Text {
                min: 0,
                max: URL_CHARS_MAX,
            },
            "Ticket System URL: where requests are sent; http or https.",
        ),
        Field::new(
            "user_prompt",
            Kind::Text { min: 0, max: 1_000 },
            "User Prompt: the text of the dialog that asks for the ticket ID.",
        ),
        Field::new(
            "sensitive",
            Kind::Boolean,
            "Treat the Ticket ID as sensitive information: shown as asterisks, kept nowhere.",
        ),
        Field::new(
            "ignore_certificate_errors",
            Kind::Boolean,
            "Ignore SSL certificate errors: the ticket system's certificate is not checked.",
        ),
        Field::new(
            "certificate",
            Kind::Text {
                min: 0,
                max: CERTIFICATE_CHARS_MAX,
            },
            "Certificates in PEM that alone are trusted to vouch for the ticket system; empty trusts those of the operating system.",
        ),
        Field::new(
            "timeout_seconds",
            Kind::Integer { min: 1, max: 600 },
            "How long a user waits for the ticket system's answer, in seconds.",
        ),
    ];

    fn find(world: &World, id: TicketSystemId) -> Option<&Self> {
        (id == TICKET_SYSTEM && world.site.is_some()).then_some(&world.ticket_system)
    }

    fn put(world: &mut World, _id: TicketSystemId, record: Self, _at: Timestamp) {
        world.ticket_system = record;
        world.ticket_connection.status = None;
        world.ticket_connection.version += 1;
    }

    fn remove(world: &mut World, id: TicketSystemId) {
        Self::put(world, id, Self::default(), Timestamp(0));
    }

    fn check(&self, world: &World, id: Option<TicketSystemId>) -> Result<(), Refusal> {
        if id.is_none() {
            // There is one record, made with the site.
            return Err(Refusal::SiteExists);
        }
        let mut errors = FieldErrors::default();
        if self.url.is_empty() {
            if world.ticket_is_required_by_a_policy() {
                errors.push("url", URL_REQUIRED);
            }
        } else if let Err(message) = check_url(&self.url) {
            errors.push("url", message);
        } else if self.sensitive && !is_https(&self.url) {
            errors.push("url", HTTPS_REQUIRED);
        }
        if self.sensitive && self.ignore_certificate_errors {
            errors.push("ignore_certificate_errors", CHECKS_REQUIRED);
        }
        if !self.certificate.is_empty() && !self.certificate.contains("-----BEGIN CERTIFICATE-----")
        {
            errors.push(
                "certificate",
                "The certificate field must hold certificates in PEM.",
            );
        }
        errors.into_result(())
    }

    fn may_be_deleted(_world: &World, _id: TicketSystemId, _now: Timestamp) -> Result<(), Refusal> {
        Err(Refusal::InUse {
            what: Self::TITLE,
            by: vec!["the site".to_owned()],
        })
    }
}

impl TicketSystem {
    /// Whether a ticket system is set at all.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        !self.url.is_empty()
    }
}

/// What whoever saves `policy` is warned of: it asks for a ticket ID, and no ticket system is set (TICK-04).
#[must_use]
pub fn warning(world: &World, policy: &JumpPolicy) -> Option<&'static str> {
    (policy.ticket_id_required && !world.ticket_system.is_configured()).then_some(URL_REQUIRED)
}

impl World {
    /// Whether any Jump Policy asks for a ticket ID.
    #[must_use]
    pub fn ticket_is_required_by_a_policy(&self) -> bool {
        self.jump_policies
            .iter()
            .any(|(_, policy)| policy.ticket_id_required)
    }
}

fn is_https(url: &str) -> bool {
    url.split_once("://")
        .is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("https"))
}

/// Whether `url` is one that a request can be sent to: http or https, a host, no credentials (TICK-02).
fn check_url(url: &str) -> Result<(), &'static str> {
    const WRONG: &str = "The url field must be an HTTP or HTTPS URL.";
    // A backslash is a slash to some readers of URLs and part of the host to others.
    if !url
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    {
        return Err(WRONG);
    }
    let (scheme, rest) = url.split_once("://").ok_or(WRONG)?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(WRONG);
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("The url field must not hold a user name or password.");
    }
    if url.contains('#') {
        return Err("The url field must not hold a fragment.");
    }
    let after_host = if authority.starts_with('[') {
        authority.split_once(']').ok_or(WRONG)?.1
    } else {
        let host = authority.split(':').next().unwrap_or_default();
        if host.is_empty() {
            return Err(WRONG);
        }
        &authority[host.len()..]
    };
    match after_host.strip_prefix(':') {
        None if after_host.is_empty() => Ok(()),
        Some(port) if port.parse::<u16>().is_ok_and(|port| port > 0) => Ok(()),
        _ => Err(WRONG),
    }
}
