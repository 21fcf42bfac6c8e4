//! The mail server that notifications and approval mails go through: one plain record, always with id 1 (POL-30).
//!
//! The record is there with the site; as long as its `host` is empty, no mail leaves.

use serde::{Deserialize, Serialize};

use crate::ids::{MailSettingsId, SecretRef};
use crate::record::{Field, Kind, Record};
use crate::site::mail_address::is_address;
use crate::{FieldErrors, Refusal, Timestamp, World};

#[cfg(test)]
mod tests;

/// The id of the one record.
pub const MAIL_SETTINGS: MailSettingsId = MailSettingsId(1);

/// Most characters of a PEM text with the certificates to trust.
const CERTIFICATE_CHARS_MAX: usize = 65_536;

/// How mail leaves the site.
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
pub struct MailSettings {
    pub host: String,
    pub port: u16,
    pub encryption: String,
    pub username: String,
    pub password: Option<SecretRef>,
    pub from_address: String,
    pub from_name: String,
    pub certificate: String,
    pub default_language: String,
}

impl Default for MailSettings {
    fn default() -> Self {
        Self {
            host: String::new(),
            port: 587,
            encryption: "starttls".to_owned(),
            username: String::new(),
            password: None,
            from_address: String::new(),
            from_name: "Gatebook".to_owned(),
            certificate: String::new(),
            default_language: "en-us".to_owned(),
        }
    }
}

impl MailSettings {
    /// Whether a mail server is set (POL-30).
    #[must_use]
    pub fn is_configured(&self) -> bool {
        !self.host.is_empty()
    }
}

impl Record for MailSettings {
    type Id = MailSettingsId;
    const CATEGORY: &'static str = "mail_settings";
    const TITLE: &'static str = "Mail settings";
    const STORED_NAMES: [&'static str; 3] = [
        "MailSettingsCreated",
        "MailSettingsChanged",
        "MailSettingsDeleted",
    ];
    const FIELDS: &'static [Field] = &[
        Field::new(
            "host",
            Kind::Name { min: 0, max: 255 },
            "The name or address of the SMTP server; empty while no mail is to leave.",
        ),
        Field::new(
            "port",
            Kind::Integer {
                min: 1,
                max: 65_535,
            },
            "The port of the SMTP server.",
        ),
        Field::new(
            "encryption",
            Kind::Word(&["starttls", "tls", "none"]),
            "starttls: the connection is upgraded or not used; tls: encrypted from the first byte; none: in clear.",
        ),
        Field::new(
            "username",
            Kind::Name { min: 0, max: 255 },
            "The name to sign in to the SMTP server with; empty for none.",
        ),
        Field::new(
            "password",
            Kind::Secret { max: 255 },
            "The password to sign in to the SMTP server with; never returned.",
        )
        .nullable()
        .write_only(),
        Field::new(
            "from_address",
            Kind::Text { min: 0, max: 255 },
            "The address that mails come from.",
        ),
        Field::new(
            "from_name",
            Kind::Name { min: 0, max: 255 },
            "The name that mails come from.",
        ),
        Field::new(
            "certificate",
            Kind::Text {
                min: 0,
                max: CERTIFICATE_CHARS_MAX,
            },
            "Certificates in PEM that vouch for the SMTP server, in place of the system's; empty for the system's.",
        ),
        Field::new(
            "default_language",
            Kind::Language,
            "The language of mails whose own language has no texts.",
        ),
    ];

    fn find(world: &World, id: MailSettingsId) -> Option<&Self> {
        (id == MAIL_SETTINGS && world.site.is_some()).then_some(&world.mail_settings)
    }

    fn put(world: &mut World, _id: MailSettingsId, record: Self, _at: Timestamp) {
        world.mail_settings = record;
    }

    fn remove(world: &mut World, _id: MailSettingsId) {
        world.mail_settings = Self::default();
    }

    fn check(&self, world: &World, id: Option<MailSettingsId>) -> Result<(), Refusal> {
        if id.is_none() {
            // There is one record, there with the site.
            return Err(Refusal::SiteExists);
        }
        let mut errors = FieldErrors::default();
        if !self.host.chars().all(of_a_host) {
            errors.push(
                "host",
                "The host field must be a host name or an IP address.",
            );
        }
        let needs_sender = self.is_configured() || !self.from_address.is_empty();
        // One that was set before addresses were looked at as closely stands in no other change's way.
        let is_new = self.from_address != world.mail_settings.from_address
            || self.is_configured() && !world.mail_settings.is_configured();
        if needs_sender && is_new && !is_address(&self.from_address) {
            errors.push(
                "from_address",
                "The from_address field must be a valid email address.",
            );
        }
        if self.from_name.chars().any(char::is_control) {
            errors.push(
                "from_name",
                "The from_name field must not hold control characters.",
            );
        }
        if self.encryption == "none" && !self.username.is_empty() {
            errors.push(
                "encryption",
                "A username is only sent over an encrypted connection.",
            );
        }
        if !self.username.is_empty() && self.password.is_none() {
            errors.push(
                "password",
                "The password field is required with a username.",
            );
        }
        let certificate = self.certificate.trim();
        let begins = certificate.is_empty() || certificate.contains("-----BEGIN CERTIFICATE-----");
        if !begins || certificate.contains("PRIVATE KEY") {
            errors.push(
                "certificate",
                "The certificate field must hold certificates in PEM and nothing secret.",
            );
        }
        errors.into_result(())
    }

    fn may_be_deleted(_world: &World, _id: MailSettingsId, _now: Timestamp) -> Result<(), Refusal> {
        Err(Refusal::InUse {
            what: Self::TITLE,
            by: vec!["the site".to_owned()],
        })
    }
}

const fn of_a_host(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':')
}
