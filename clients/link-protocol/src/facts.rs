//! What a machine says about itself: facts, which seldom change and are kept in the log when they do,
//! and figures, which always change and of which only the newest are kept.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::limits::{
    self, DISKS_MAX, FIGURES_BYTES_MAX, NUMBER_MAX, OFFSET_MINUTES, SCREEN_BYTES_MAX,
    TEXT_CHARS_MAX, WORD_CHARS_MAX,
};
use crate::refusing::ProtocolError;

/// Facts of a machine. In `hello`: all that is known. In `check_in`: only what changed since they were
/// last sent on this connection. A field that is absent (or null) has not changed; an empty text means
/// that it is no longer known or that there is none, for example nobody logged on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Computer name. Up to 255 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Fully qualified domain name. Up to 255 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fqdn: Option<String>,
    /// Name, version and platform of the operating system. Up to 255 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operating_system: Option<String>,
    /// The address the machine reaches the server from, as it sees it: IPv4 or IPv6 text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_ip: Option<String>,
    /// Who is logged on at the machine. Up to 255 characters; several are joined by `, `.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console_user: Option<String>,
    /// Whether the client runs as a system service or as a user's program (CLNT-07).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install_mode: Option<InstallMode>,
    /// What stays when the machine is renamed or moved, hashed by the client. Up to 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    /// IANA name of the machine's time zone, such as `Europe/Vienna`. Up to 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Offset of local time from UTC now, east positive. Unit: minutes. Range: -1080 to 1080.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utc_offset_minutes: Option<i32>,
    /// Whether the user at the machine has switched the client off (CLNT-29).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// The TCP port on which a passive client waits for calls (CLNT-02); 0 where it waits for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen_port: Option<u16>,
}

/// How the client was installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstallMode {
    /// `service`: always available.
    Service,
    /// `user`: available while that user is logged on (CLNT-06).
    User,
}

impl Facts {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What of `self` differs from `before`: what a `check_in` has to say. What `self` no longer knows
    /// becomes an empty text.
    #[must_use]
    pub fn changed_since(&self, before: &Self) -> Self {
        fn text(now: &Option<String>, before: &Option<String>) -> Option<String> {
            let (now, before) = (
                now.as_deref().unwrap_or(""),
                before.as_deref().unwrap_or(""),
            );
            (now != before).then(|| now.to_owned())
        }
        fn value<T: Copy + PartialEq>(now: Option<T>, before: Option<T>) -> Option<T> {
            if now == before { None } else { now }
        }
        Self {
            hostname: text(&self.hostname, &before.hostname),
            fqdn: text(&self.fqdn, &before.fqdn),
            operating_system: text(&self.operating_system, &before.operating_system),
            private_ip: text(&self.private_ip, &before.private_ip),
            console_user: text(&self.console_user, &before.console_user),
            install_mode: value(self.install_mode, before.install_mode),
            machine_id: text(&self.machine_id, &before.machine_id),
            time_zone: text(&self.time_zone, &before.time_zone),
            utc_offset_minutes: value(self.utc_offset_minutes, before.utc_offset_minutes),
            disabled: value(self.disabled, before.disabled),
            listen_port: value(self.listen_port, before.listen_port),
        }
    }

    /// Checks the facts against their limits.
    ///
    /// # Errors
    /// [`ProtocolError`] naming the field.
    pub fn check(&self) -> Result<(), ProtocolError> {
        for (field, value, chars_max) in [
            ("facts.hostname", &self.hostname, TEXT_CHARS_MAX),
            ("facts.fqdn", &self.fqdn, TEXT_CHARS_MAX),
            (
                "facts.operating_system",
                &self.operating_system,
                TEXT_CHARS_MAX,
            ),
            ("facts.private_ip", &self.private_ip, WORD_CHARS_MAX),
            ("facts.console_user", &self.console_user, TEXT_CHARS_MAX),
            ("facts.machine_id", &self.machine_id, WORD_CHARS_MAX),
            ("facts.time_zone", &self.time_zone, WORD_CHARS_MAX),
        ] {
            if let Some(value) = value {
                limits::text(field, value, chars_max)?;
            }
        }
        if let Some(address) = self.private_ip.as_deref()
            && !address.is_empty()
            && address.parse::<IpAddr>().is_err()
        {
            let reason = "it is not an IP address";
            return Err(ProtocolError::Invalid {
                field: "facts.private_ip",
                reason,
            });
        }
        if let Some(offset) = self.utc_offset_minutes {
            limits::within("facts.utc_offset_minutes", offset, &OFFSET_MINUTES)?;
        }
        Ok(())
    }
}

/// The newest figures of a machine. All fields may be absent; a client leaves out what it can't tell
/// or was told not to collect. Compact JSON of it is at most 32 KiB.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Load of all processors together. Unit: thousandths. Range: 0 to 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_permille: Option<u32>,
    /// How long the machine has been up. Unit: seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime_seconds: Option<u64>,
    /// Memory of the machine. Unit: bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_total_bytes: Option<u64>,
    /// Memory in use. Unit: bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_used_bytes: Option<u64>,
    /// What the screen shows: a small PNG picture in base64 (RFC 4648 section 4), at most 24 KiB of it (CLNT-31).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub screen_png: Option<String>,
    /// Disks, at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<Disk>,
}

/// One disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Where it is mounted, or its letter. Up to 255 characters.
    pub mount: String,
    /// Its size. Unit: bytes.
    pub total_bytes: u64,
    /// What is free for use. Unit: bytes.
    pub free_bytes: u64,
}

/// The bytes that every PNG picture begins with.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

fn check_picture(base64: &str) -> Result<(), ProtocolError> {
    let field = "figures.screen_png";
    if base64.len() > SCREEN_BYTES_MAX {
        let limit = SCREEN_BYTES_MAX as u64;
        return Err(ProtocolError::OverLimit { field, limit });
    }
    let is_picture = STANDARD
        .decode(base64)
        .is_ok_and(|bytes| bytes.starts_with(PNG));
    if is_picture {
        return Ok(());
    }
    let reason = "it is no PNG picture in base64";
    Err(ProtocolError::Invalid { field, reason })
}

impl Figures {
    /// The figures without those that are not in `collects`: statistics `cpu`, `disk`, `screen`, `uptime` (CLNT-31).
    /// Memory belongs to none of them.
    #[must_use]
    pub fn only(mut self, collects: impl Fn(&str) -> bool) -> Self {
        if !collects("cpu") {
            self.cpu_permille = None;
        }
        if !collects("disk") {
            self.disks.clear();
        }
        if !collects("screen") {
            self.screen_png = None;
        }
        if !collects("uptime") {
            self.uptime_seconds = None;
        }
        self
    }

    /// Checks the figures against their limits.
    ///
    /// # Errors
    /// [`ProtocolError`] naming the field.
    pub fn check(&self) -> Result<(), ProtocolError> {
        if let Some(load) = self.cpu_permille {
            limits::within("figures.cpu_permille", load, &(0..=1000))?;
        }
        for (field, value) in [
            ("figures.uptime_seconds", self.uptime_seconds),
            ("figures.memory_total_bytes", self.memory_total_bytes),
            ("figures.memory_used_bytes", self.memory_used_bytes),
        ] {
            limits::within(field, value.unwrap_or(0), &(0..=NUMBER_MAX))?;
        }
        if let Some(screen) = &self.screen_png {
            check_picture(screen)?;
        }
        limits::count("figures.disks", self.disks.len(), DISKS_MAX)?;
        for disk in &self.disks {
            limits::text("figures.disks.mount", &disk.mount, TEXT_CHARS_MAX)?;
            limits::within(
                "figures.disks.total_bytes",
                disk.total_bytes,
                &(0..=NUMBER_MAX),
            )?;
            limits::within(
                "figures.disks.free_bytes",
                disk.free_bytes,
                &(0..=NUMBER_MAX),
            )?;
        }
        // What is within every single limit can still be too much together: four bytes a character.
        let bytes = crate::refusing::write(self)?.len();
        if bytes > FIGURES_BYTES_MAX {
            return Err(ProtocolError::OverLimit {
                field: "figures",
                limit: FIGURES_BYTES_MAX as u64,
            });
        }
        Ok(())
    }
}
