//! Mail addresses: one rule for what is entered and for what is sent to, so that no mail is taken that can't leave.
//!
//! An address is a local part of ASCII, not quoted, and a domain. Other local parts need a mail server with SMTPUTF8, which
//! nothing promises. A domain may be written in any script; mails go to its A-labels.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use email_address::{EmailAddress, Options};

#[cfg(test)]
mod tests;

/// Most characters of an address. Source: RFC 5321, 4.5.3.1.3, without the angle brackets.
pub const CHARS_MAX: usize = 254;

/// An address that mail can be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailAddress {
    local: String,
    domain: String,
}

/// The text is no address that mail can be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a mail address")]
pub struct NotAnAddress;

impl MailAddress {
    /// What stands before the sign: ASCII, as it was written.
    #[must_use]
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain in A-labels (RFC 5890), in lower case.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }
}

impl fmt::Display for MailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

impl FromStr for MailAddress {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        let options = Options::default()
            .without_display_text()
            .without_domain_literal();
        let (local, domain) = text.rsplit_once('@').ok_or(NotAnAddress)?;
        let domain = idna::domain_to_ascii_strict(domain).map_err(|_| NotAnAddress)?;
        let address = Self {
            local: local.to_owned(),
            domain,
        };
        let written = address.to_string();
        let is_plain = written.is_ascii() && !local.contains('"');
        let is_host = address.domain.parse::<Ipv4Addr>().is_err();
        let is_valid = written.len() <= CHARS_MAX
            && EmailAddress::parse_with_options(&written, options).is_ok();
        if is_plain && is_host && is_valid {
            Ok(address)
        } else {
            Err(NotAnAddress)
        }
    }
}

/// Whether mail can be sent to `text`.
#[must_use]
pub fn is_address(text: &str) -> bool {
    text.parse::<MailAddress>().is_ok()
}

/// Whether `text` is meant as an address, valid or not: user names beside it have no such sign.
#[must_use]
pub fn has_form_of_address(text: &str) -> bool {
    text.contains('@')
}

/// The addresses of a field that may hold several in one text: separated by blanks (POL-27) or, as people write them from
/// habit, by `;` or `,`.
pub fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || matches!(c, ';' | ','))
        .filter(|part| !part.is_empty())
}
