//! Refusals as events, for auditors: every refused Jump action and everything forbidden, the first of each kind in a minute;
//! and once a minute the count of those that repeat it and of what was refused before anybody was known. Nothing is folded
//! from them.

use serde::{Deserialize, Serialize};

use crate::policy::inputs::Inputs;
use crate::{Context, Decision, Timestamp, happened, nothing};

#[cfg(test)]
mod tests;

/// What may be asked of the audit.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Write down one refusal.
    Record(ActionRefused),
    /// Write down what was refused in one minute to one caller on one route.
    RecordAttempts(AttemptsRefused),
}

/// A known caller was told no. Expected rate: as people run into rules; at most 20 a minute, caller and network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActionRefused {
    /// The refusal's code, see [`crate::Refusal::code`].
    pub code: String,
    /// The words the caller was given.
    pub message: String,
    /// What was asked: the command's name, such as `access_session.start`.
    pub command: String,
    /// What it was asked of, where that is one thing: a stream's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What a refused start was asked with and decided by; none where nothing was supplied and no Jump Policy applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Inputs>,
}

/// What was refused in a minute to one caller on one route. Expected rate: at most one a minute, caller and route or subject;
/// both are bounded in the memory that counts them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptsRefused {
    /// The caller: an account, or the network of a stranger.
    pub caller: String,
    /// The route, or the name of the command.
    pub route: String,
    /// How many.
    pub count: u64,
    /// The first of them.
    pub first_at: Timestamp,
    /// The last of them.
    pub last_at: Timestamp,
    /// The words of one of them.
    pub sample: String,
    /// The network that a known caller asked from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// What they were asked of, where that is one thing: a stream's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
}

/// A refusal was written down.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Event {
    /// One refusal.
    ActionRefused(ActionRefused),
    /// Those of a minute.
    AttemptsRefused(AttemptsRefused),
}

impl Event {
    /// The names it may be stored under.
    pub const STORED_NAMES: &'static [&'static str] = &["ActionRefused", "AttemptsRefused"];

    /// The name it is stored under.
    #[must_use]
    pub const fn stored_name(&self) -> &'static str {
        match self {
            Self::ActionRefused(_) => "ActionRefused",
            Self::AttemptsRefused(_) => "AttemptsRefused",
        }
    }

    /// Reads an event back; `None` if the name is not one of the audit's.
    ///
    /// # Errors
    /// When the stored text is not of the event's form.
    pub fn from_stored(name: &str, text: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        match name {
            "ActionRefused" => {
                serde_json::from_slice(text).map(|event| Some(Self::ActionRefused(event)))
            }
            "AttemptsRefused" => {
                serde_json::from_slice(text).map(|event| Some(Self::AttemptsRefused(event)))
            }
            _ => Ok(None),
        }
    }
}

/// Decides what becomes of `command`.
///
/// # Errors
/// Never: a refusal is always written down.
pub fn decide(command: &Command, context: &Context) -> Decision {
    let day = context.now.day();
    match command {
        Command::Record(refused) => happened(crate::Event::Audit(
            day,
            Event::ActionRefused(refused.clone()),
        )),
        Command::RecordAttempts(refused) if refused.count == 0 => nothing(),
        Command::RecordAttempts(refused) => happened(crate::Event::Audit(
            day,
            Event::AttemptsRefused(refused.clone()),
        )),
    }
}
