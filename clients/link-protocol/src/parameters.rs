//! What may be said when a Jump Client is installed: one table and one parser for every spelling (INST-24 to INST-39).
//!
//! The server describes the table in its Mass Deploy Help, the agent's installer reads its command line by it.

use std::fmt;

use crate::client_frame::Overrides;
use crate::limits::{self, COMMENTS_CHARS_MAX, NAME_CHARS_MAX, OFFLINE_MINUTES, TEXT_CHARS_MAX};
use crate::refusing::ProtocolError;
use crate::secret::Secret;
use serde::{Deserialize, Serialize};

/// What `--jc-ephemeral` stands for (INST-32). Unit: minutes.
pub const EPHEMERAL_OFFLINE_MINUTES: u32 = 5;
/// Longest install directory. Unit: characters.
pub const PATH_CHARS_MAX: usize = 1024;
/// Words on one command line.
const WORDS_MAX: usize = 4096;

/// How parameters are spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// `--jc-tag servers`: the EXE, the Linux and the macOS form (INST-36).
    Dashes,
    /// `jc_tag=servers KEY_INFO=... INSTALLDIR=... /quiet`: what follows `msiexec /i FILE` (INST-35).
    Msi,
}

/// The operating system a client is installed on, as far as parameters differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// Linux, with a desktop or without.
    Linux,
    /// Windows.
    Windows,
    /// macOS.
    Mac,
}

/// What a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing: it stands for itself.
    Nothing,
    /// One word.
    Word,
    /// Words up to the next parameter.
    Words,
}

/// Under which condition of the wizard a parameter may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Always.
    Always,
    /// "Allow Override During Installation" is set for this field of the installer.
    Override(&'static str),
    /// Never: it belongs to another product and no installer of ours lets it be overridden (INST-51).
    Never,
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name without leading dashes.
    pub name: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// How its value is shown in help.
    pub value: &'static str,
    /// When it may be given.
    pub leave: Leave,
    /// What it does.
    pub about: &'static str,
}

/// Every parameter of a deployment.
pub const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "install-dir",
        takes: Takes::Word,
        value: "<directory_path>",
        leave: Leave::Always,
        about: "A new writable directory for the Jump Client; it must not exist yet. Windows and Linux only.",
    },
    Parameter {
        name: "user",
        takes: Takes::Word,
        value: "<username>",
        leave: Leave::Always,
        about: "The existing user the Jump Client runs as; needed when root installs. Linux only.",
    },
    Parameter {
        name: "allow-root",
        takes: Takes::Nothing,
        value: "",
        leave: Leave::Always,
        about: "Lets root be the user that a headless Jump Client runs as, which is not recommended. Linux only.",
    },
    Parameter {
        name: "jc-name",
        takes: Takes::Words,
        value: "<name...>",
        leave: Leave::Override("name"),
        about: "The Jump Client's name.",
    },
    Parameter {
        name: "jc-jump-group",
        takes: Takes::Word,
        value: "user:<username> | jumpgroup:<jumpgroup-code-name>",
        leave: Leave::Override("jump_group"),
        about: "The Jump Group, or the user whose personal list it goes to.",
    },
    Parameter {
        name: "jc-session-policy",
        takes: Takes::Word,
        value: "<session-policy-code-name>",
        leave: Leave::Override("session_policy"),
        about: "The session policy that controls permissions during a session.",
    },
    Parameter {
        name: "jc-jump-policy",
        takes: Takes::Word,
        value: "<jump-policy-code-name>",
        leave: Leave::Override("jump_policy"),
        about: "The Jump Policy that controls how users may Jump to the client.",
    },
    Parameter {
        name: "jc-max-offline-minutes",
        takes: Takes::Word,
        value: "<minutes>",
        leave: Leave::Override("max_offline_minutes"),
        about: "Minutes the client can be offline before it is deleted; overrides the global setting.",
    },
    Parameter {
        name: "jc-ephemeral",
        takes: Takes::Nothing,
        value: "",
        leave: Leave::Override("max_offline_minutes"),
        about: "The same as --jc-max-offline-minutes 5.",
    },
    Parameter {
        name: "jc-tag",
        takes: Takes::Word,
        value: "<tag-name>",
        leave: Leave::Override("tag"),
        about: "The Jump Client's tag.",
    },
    Parameter {
        name: "jc-comments",
        takes: Takes::Words,
        value: "<comments ... >",
        leave: Leave::Override("comments"),
        about: "The Jump Client's comments.",
    },
    Parameter {
        name: "silent",
        takes: Takes::Nothing,
        value: "",
        leave: Leave::Always,
        about: "Shows no windows, spinners, errors or other visible alerts.",
    },
    Parameter {
        name: "jc-public-site-address",
        takes: Takes::Word,
        value: "<public-site-address-hostname>",
        leave: Leave::Never,
        about: "Belongs to Remote Support; the installation fails.",
    },
    Parameter {
        name: "jc-session-policy-not-present",
        takes: Takes::Word,
        value: "<session-policy-code-name>",
        leave: Leave::Never,
        about: "Belongs to Remote Support; the installation fails.",
    },
];

/// The MSI's own names that follow no rule (INST-37 to INST-39): each with the parameter it stands for.
const INSTALL_DIR_OF_MSI: &str = "INSTALLDIR";
const KEY_OF_MSI: &str = "KEY_INFO";
const SILENT_OF_MSI: &str = "/quiet";

impl Parameter {
    /// How it is written in a spelling, with its value as help shows it (INST-35 to INST-38).
    #[must_use]
    pub fn usage(&self, spelling: Spelling) -> String {
        let name = spelled(self.name, spelling);
        match (spelling, self.takes, self.name) {
            (_, Takes::Nothing, "silent") | (Spelling::Dashes, Takes::Nothing, _) => name,
            (Spelling::Msi, Takes::Nothing, _) => format!("{name}=1"),
            (Spelling::Dashes, ..) => format!("{name} {}", self.value),
            (Spelling::Msi, ..) => format!("{name}={}", self.value),
        }
    }

    /// Whether it is known on a system.
    #[must_use]
    pub fn is_for(&self, system: System) -> bool {
        match self.name {
            "install-dir" => system != System::Mac,
            "user" | "allow-root" => system == System::Linux,
            _ => true,
        }
    }
}

/// The name as a spelling has it.
fn spelled(name: &str, spelling: Spelling) -> String {
    match (spelling, name) {
        (Spelling::Dashes, _) => format!("--{name}"),
        (Spelling::Msi, "install-dir") => INSTALL_DIR_OF_MSI.to_owned(),
        (Spelling::Msi, "silent") => SILENT_OF_MSI.to_owned(),
        (Spelling::Msi, _) => name.replace('-', "_"),
    }
}

/// What was said on a command line, checked as far as the line alone tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// `--install-dir`, `INSTALLDIR`.
    pub install_dir: Option<String>,
    /// `--user`.
    pub user: Option<String>,
    /// `--allow-root`.
    pub allow_root: bool,
    /// `--silent`, `/quiet`.
    pub silent: bool,
    /// `KEY_INFO`: the MSI's only; other packages bring theirs.
    pub key_info: Option<Secret>,
    /// What the installation sets itself.
    pub overrides: Overrides,
    /// The first parameter given that no installer lets anybody set, as it was spelled.
    pub never: Option<String>,
}

/// Why a command line is refused. It quotes parameters, never their values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// More words than any command line needs.
    #[error("the command line has more than {WORDS_MAX} words")]
    TooMany,
    /// A word that belongs to no parameter.
    #[error("{0} is not a parameter of this installer")]
    Unknown(String),
    /// A parameter of another system (INST-24).
    #[error("{0} can't be used on this operating system")]
    NotHere(String),
    /// A value is missing.
    #[error("{0} needs a value")]
    NoValue(String),
    /// A value where none belongs.
    #[error("{0} takes no value")]
    ValueNotWanted(String),
    /// Given twice.
    #[error("{0} is given more than once")]
    Twice(String),
    /// Too long, or a character that can't be.
    #[error("the value of {parameter} can't be used")]
    Value {
        /// The parameter as spelled.
        parameter: String,
        /// Why.
        source: ProtocolError,
    },
    /// Not a number of minutes in the range.
    #[error(
        "{0} takes a whole number of minutes from {min} to {max}",
        min = OFFLINE_MINUTES.start(),
        max = OFFLINE_MINUTES.end()
    )]
    Minutes(String),
    /// `--jc-ephemeral` beside another number of minutes (INST-32).
    #[error("{0} and {1} contradict each other")]
    Contradiction(String, String),
    /// `team:`, which the guide shows once and which belongs to another product (INST-28).
    #[error(
        "{0} does not take team:<team-code-name>; give user:<username> or jumpgroup:<jumpgroup-code-name>"
    )]
    Team(String),
    /// Neither `user:` nor `jumpgroup:` (INST-27).
    #[error("{0} takes user:<username> or jumpgroup:<jumpgroup-code-name>")]
    JumpGroup(String),
    /// An MSI without its key (INST-39).
    #[error("an MSI needs KEY_INFO=<key string>, as shown next to its download")]
    NoKey,
    /// A key where others can read it.
    #[error(
        "{0} can't be given here: the package brings its key, and a command line can be read by every user"
    )]
    KeyNotWanted(String),
}

/// Reads a command line.
///
/// # Errors
/// [`ParameterError`].
pub fn parse(
    spelling: Spelling,
    system: System,
    words: &[String],
) -> Result<Parameters, ParameterError> {
    if words.len() > WORDS_MAX {
        return Err(ParameterError::TooMany);
    }
    let given = match spelling {
        Spelling::Dashes => split_dashes(words)?,
        Spelling::Msi => split_msi(words)?,
    };
    let mut reading = Reading {
        spelling,
        read: Parameters::default(),
        seen: Vec::new(),
        is_ephemeral: false,
    };
    for (name, value) in given {
        reading.take(system, &name, value)?;
    }
    reading.finish()
}

/// A parameter in the table's name, or one of the MSI's own, with its value.
type Given = (String, Option<String>);

fn split_dashes(words: &[String]) -> Result<Vec<Given>, ParameterError> {
    let mut given = Vec::new();
    let mut rest = words.iter().peekable();
    while let Some(word) = rest.next() {
        let Some(text) = word.strip_prefix("--").filter(|name| !name.is_empty()) else {
            return Err(ParameterError::Unknown(quoted(word)));
        };
        let (name, mut value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        if name == "key-info" || name == "key" {
            return Err(ParameterError::KeyNotWanted(format!("--{name}")));
        }
        let parameter = known(name).ok_or_else(|| ParameterError::Unknown(quoted(word)))?;
        if value.is_none() && parameter.takes != Takes::Nothing {
            let is_value = |word: &&String| !word.starts_with("--");
            value = rest.next_if(is_value).cloned();
            while parameter.takes == Takes::Words
                && let (Some(text), Some(word)) = (&mut value, rest.next_if(is_value))
            {
                text.push(' ');
                text.push_str(word);
            }
        }
        given.push((name.to_owned(), value));
    }
    Ok(given)
}

fn split_msi(words: &[String]) -> Result<Vec<Given>, ParameterError> {
    let mut given = Vec::new();
    for word in words {
        if word.eq_ignore_ascii_case(SILENT_OF_MSI) {
            given.push(("silent".to_owned(), None));
            continue;
        }
        let unknown = || ParameterError::Unknown(quoted(word.split('=').next().unwrap_or("")));
        let (property, value) = word.split_once('=').ok_or_else(unknown)?;
        let value = unquoted(value);
        if property.eq_ignore_ascii_case(KEY_OF_MSI) {
            given.push((KEY_OF_MSI.to_owned(), Some(value)));
            continue;
        }
        // Windows Installer does not tell capitals of its properties apart.
        let of_property = |parameter: &&Parameter| {
            spelled(parameter.name, Spelling::Msi).eq_ignore_ascii_case(property)
        };
        let parameter = PARAMETERS.iter().find(of_property).ok_or_else(unknown)?;
        let value = match parameter.takes {
            // A property must have a value to be there; 1 is what Windows Installer itself uses.
            Takes::Nothing if value == "1" || value.is_empty() => None,
            _ => Some(value),
        };
        given.push((parameter.name.to_owned(), value));
    }
    Ok(given)
}

/// A value without the quotes that Windows Installer takes for one: `"rack ""4"""` is `rack "4"`.
fn unquoted(value: &str) -> String {
    let inner = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inner.map_or_else(|| value.to_owned(), |inner| inner.replace("\"\"", "\""))
}

fn known(name: &str) -> Option<&'static Parameter> {
    PARAMETERS.iter().find(|parameter| parameter.name == name)
}

/// A word of a stranger, fit to stand in one line: cut, and without control characters.
fn quoted(word: &str) -> String {
    let shown: String = word
        .split('=')
        .next()
        .unwrap_or("")
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .take(64)
        .collect();
    format!("\"{shown}\"")
}

struct Reading {
    spelling: Spelling,
    read: Parameters,
    seen: Vec<String>,
    is_ephemeral: bool,
}

impl Reading {
    fn take(
        &mut self,
        system: System,
        name: &str,
        value: Option<String>,
    ) -> Result<(), ParameterError> {
        let shown = if name == KEY_OF_MSI {
            KEY_OF_MSI.to_owned()
        } else {
            spelled(name, self.spelling)
        };
        if self.seen.iter().any(|seen| seen == name) {
            return Err(ParameterError::Twice(shown));
        }
        self.seen.push(name.to_owned());
        if name == KEY_OF_MSI {
            let key = value.filter(|key| !key.is_empty());
            self.read.key_info = Some(Secret::new(key.ok_or(ParameterError::NoKey)?));
            return Ok(());
        }
        let parameter = known(name).ok_or_else(|| ParameterError::Unknown(quoted(&shown)))?;
        if !parameter.is_for(system) {
            return Err(ParameterError::NotHere(shown));
        }
        if parameter.takes == Takes::Nothing {
            if value.is_some() {
                return Err(ParameterError::ValueNotWanted(shown));
            }
            match name {
                "silent" => self.read.silent = true,
                "allow-root" => self.read.allow_root = true,
                _ => self.is_ephemeral = true,
            }
            return Ok(());
        }
        let value = value.filter(|value| !value.trim().is_empty());
        let value = value.ok_or_else(|| ParameterError::NoValue(shown.clone()))?;
        self.set(name, shown, value)
    }

    fn set(&mut self, name: &str, shown: String, value: String) -> Result<(), ParameterError> {
        let (field, chars_max) = match name {
            "install-dir" => ("install-dir", PATH_CHARS_MAX),
            "jc-name" => ("jc-name", NAME_CHARS_MAX),
            "jc-tag" => ("jc-tag", COMMENTS_CHARS_MAX),
            "jc-comments" => ("jc-comments", COMMENTS_CHARS_MAX),
            _ => ("value", TEXT_CHARS_MAX),
        };
        let checked = if name == "jc-comments" {
            limits::lines(field, &value, chars_max)
        } else {
            limits::text(field, &value, chars_max)
        };
        checked.map_err(|source| ParameterError::Value {
            parameter: shown.clone(),
            source,
        })?;
        let overrides = &mut self.read.overrides;
        match name {
            "install-dir" => self.read.install_dir = Some(value),
            "user" => self.read.user = Some(value),
            "jc-name" => overrides.name = Some(value),
            "jc-session-policy" => overrides.session_policy = Some(value),
            "jc-jump-policy" => overrides.jump_policy = Some(value),
            "jc-tag" => overrides.tag = Some(value),
            "jc-comments" => overrides.comments = Some(value),
            "jc-jump-group" => {
                overrides.jump_group = Some(match value.split_once(':') {
                    Some(("user" | "jumpgroup", target)) if !target.is_empty() => value,
                    Some(("team", _)) => return Err(ParameterError::Team(shown)),
                    _ => return Err(ParameterError::JumpGroup(shown)),
                });
            }
            "jc-max-offline-minutes" => {
                let minutes = value.parse().ok();
                let minutes = minutes.filter(|minutes| OFFLINE_MINUTES.contains(minutes));
                overrides.max_offline_minutes =
                    Some(minutes.ok_or(ParameterError::Minutes(shown))?);
            }
            _ => {
                self.read.never.get_or_insert(shown);
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Parameters, ParameterError> {
        if self.spelling == Spelling::Msi && self.read.key_info.is_none() {
            return Err(ParameterError::NoKey);
        }
        if self.is_ephemeral {
            let minutes = &mut self.read.overrides.max_offline_minutes;
            if minutes.is_some_and(|minutes| minutes != EPHEMERAL_OFFLINE_MINUTES) {
                let [one, other] = ["jc-ephemeral", "jc-max-offline-minutes"]
                    .map(|name| spelled(name, self.spelling));
                return Err(ParameterError::Contradiction(one, other));
            }
            *minutes = Some(EPHEMERAL_OFFLINE_MINUTES);
        }
        Ok(self.read)
    }
}

/// Which values of the wizard an installation may set itself: "Allow Override During Installation", field by field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(
    missing_docs,
    reason = "the members are named as those of the overrides"
)]
pub struct MayOverride {
    pub name: bool,
    pub jump_group: bool,
    pub jump_policy: bool,
    pub session_policy: bool,
    pub max_offline_minutes: bool,
    pub tag: bool,
    pub comments: bool,
}

/// A parameter was given that the installer does not let anybody set: the whole installation fails (INST-23).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAllowed(pub String);

impl fmt::Display for NotAllowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} was given, but this installer does not allow it to be overridden during installation",
            self.0
        )
    }
}

impl std::error::Error for NotAllowed {}

impl MayOverride {
    /// Whether all that was given may be given.
    ///
    /// # Errors
    /// [`NotAllowed`] names the first that may not.
    pub fn check(&self, given: &Parameters, spelling: Spelling) -> Result<(), NotAllowed> {
        if let Some(never) = &given.never {
            return Err(NotAllowed(never.clone()));
        }
        let overrides = &given.overrides;
        let fields = [
            ("jc-name", self.name, overrides.name.is_some()),
            (
                "jc-jump-group",
                self.jump_group,
                overrides.jump_group.is_some(),
            ),
            (
                "jc-jump-policy",
                self.jump_policy,
                overrides.jump_policy.is_some(),
            ),
            (
                "jc-session-policy",
                self.session_policy,
                overrides.session_policy.is_some(),
            ),
            (
                "jc-max-offline-minutes",
                self.max_offline_minutes,
                overrides.max_offline_minutes.is_some(),
            ),
            ("jc-tag", self.tag, overrides.tag.is_some()),
            ("jc-comments", self.comments, overrides.comments.is_some()),
        ];
        let refused = fields.into_iter().find(|(_, may, given)| *given && !may);
        refused.map_or(Ok(()), |(name, ..)| {
            Err(NotAllowed(spelled(name, spelling)))
        })
    }
}

#[cfg(test)]
mod tests;
