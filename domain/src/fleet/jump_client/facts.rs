//! What an agent says of its machine, and what of it changed.

use serde::{Deserialize, Serialize};

/// What an agent says of its machine. Untrusted text, bounded by the link: 255 characters each.
#[derive(
    Clone,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
#[serde(default)]
pub struct Facts {
    /// Host name.
    pub hostname: String,
    /// Full name with domain.
    pub fqdn: String,
    /// Operating system and version.
    pub operating_system: String,
    /// The machine's own address.
    pub private_ip: String,
    /// Who is signed in at the machine; may be empty.
    pub console_user: String,
    /// `user` or `service`.
    pub install_mode: String,
    /// Names the machine across installs; [`Facts::machine`] says whether it does.
    pub machine_id: String,
    /// The agent's version.
    pub agent_version: String,
    /// Seconds east of UTC.
    pub timezone_offset: i32,
    /// Whether the user at the endpoint switched it off (CLNT-29).
    pub disabled: bool,
    /// Where a passive client listens to be called (CLNT-02); 0 is nowhere.
    #[serde(skip_serializing_if = "is_nowhere")]
    pub listen_port: u16,
}

/// What stands in the place of a machine id on machines that have none, in lower case and without dashes: machine-id(5), and what
/// firmware and scripts write where nothing was set. The last three are how agents before this rule hashed the first, 32 times
/// `0` and 32 times `f`.
const PLACEHOLDERS: &[&str] = &[
    "uninitialized",
    "none",
    "null",
    "unknown",
    "default",
    "not specified",
    "to be filled by o.e.m.",
    "3be54d584933f49f4f3976a5c87deb59",
    "e10adfec4c93f7b555b168ae817f540b",
    "dfd561095f1519d3e841b86681f36b73",
];
/// From how many times the same digit on a machine id is a placeholder.
const SAME_DIGITS_MIN: usize = 8;

impl Facts {
    /// The machine's identity; none where the agent names none, or names what many machines have in common, which is no evidence
    /// that two are the same.
    #[must_use]
    pub fn machine(&self) -> Option<&str> {
        let id = self.machine_id.trim();
        let bare: String = id
            .chars()
            .filter(|c| !matches!(c, '-' | '{' | '}'))
            .flat_map(char::to_lowercase)
            .collect();
        let first = bare.chars().next()?;
        let is_one_digit = bare.chars().all(|c| c == first) && bare.len() >= SAME_DIGITS_MIN;
        (!is_one_digit && !PLACEHOLDERS.contains(&bare.as_str()))
            .then_some(self.machine_id.as_str())
    }
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
const fn is_nowhere(port: &u16) -> bool {
    *port == 0
}

/// The facts that differ since the last check-in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(
    missing_docs,
    reason = "each member is the one of the same name in Facts"
)]
pub struct FactsChange {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fqdn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operating_system: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console_user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub install_mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone_offset: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen_port: Option<u16>,
}

impl FactsChange {
    /// What differs between `old` and `new`.
    #[must_use]
    pub fn between(old: &Facts, new: &Facts) -> Self {
        fn changed<T: PartialEq + Clone>(old: &T, new: &T) -> Option<T> {
            (old != new).then(|| new.clone())
        }
        Self {
            hostname: changed(&old.hostname, &new.hostname),
            fqdn: changed(&old.fqdn, &new.fqdn),
            operating_system: changed(&old.operating_system, &new.operating_system),
            private_ip: changed(&old.private_ip, &new.private_ip),
            console_user: changed(&old.console_user, &new.console_user),
            install_mode: changed(&old.install_mode, &new.install_mode),
            machine_id: changed(&old.machine_id, &new.machine_id),
            agent_version: changed(&old.agent_version, &new.agent_version),
            timezone_offset: changed(&old.timezone_offset, &new.timezone_offset),
            disabled: changed(&old.disabled, &new.disabled),
            listen_port: changed(&old.listen_port, &new.listen_port),
        }
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn apply_to(&self, facts: &mut Facts) {
        fn set<T: Clone>(change: Option<&T>, into: &mut T) {
            if let Some(value) = change {
                into.clone_from(value);
            }
        }
        set(self.hostname.as_ref(), &mut facts.hostname);
        set(self.fqdn.as_ref(), &mut facts.fqdn);
        set(self.operating_system.as_ref(), &mut facts.operating_system);
        set(self.private_ip.as_ref(), &mut facts.private_ip);
        set(self.console_user.as_ref(), &mut facts.console_user);
        set(self.install_mode.as_ref(), &mut facts.install_mode);
        set(self.machine_id.as_ref(), &mut facts.machine_id);
        set(self.agent_version.as_ref(), &mut facts.agent_version);
        set(self.timezone_offset.as_ref(), &mut facts.timezone_offset);
        set(self.disabled.as_ref(), &mut facts.disabled);
        set(self.listen_port.as_ref(), &mut facts.listen_port);
    }
}
