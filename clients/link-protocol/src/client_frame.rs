//! What the agent sends.

use serde::{Deserialize, Serialize};

use crate::facts::{Facts, Figures};
use crate::limits::{
    self, COMMENTS_CHARS_MAX, NAME_CHARS_MAX, NUMBER_MAX, OFFLINE_MINUTES, PROTOCOLS_MAX,
    SESSIONS_MAX, TEXT_CHARS_MAX, WORD_CHARS_MAX,
};
use crate::refusing::{self, ProtocolError};
use crate::secret::Secret;

/// A frame from the agent to the server: a JSON object whose `type` names the variant in snake_case.
/// Unknown members are skipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientFrame {
    /// The first frame, within ten seconds, and never again on this connection.
    Hello(Box<Hello>),
    /// After `welcome` if that asks for it, then once an interval, and when facts change.
    CheckIn(Box<CheckIn>),
    /// The session of a `start_session` is up. Also the answer to a repeated `start_session`.
    SessionStarted {
        /// The session. 1 to 64 characters.
        lsid: String,
    },
    /// The session of a `start_session` could not be started.
    SessionFailed {
        /// The session. 1 to 64 characters.
        lsid: String,
        /// Why.
        reason: SessionFailReason,
        /// More about it, for people. Up to 255 characters.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        detail: String,
    },
    /// A session that was up is over. Also the answer to an `end_session` for a session not known here.
    SessionEnded {
        /// The session. 1 to 64 characters.
        lsid: String,
        /// Why.
        reason: SessionEndReason,
    },
    /// The token of the last `welcome` or `rotate_token` is on disk and synced.
    TokenStored {},
    /// The anchor list of this version is on disk and synced.
    AnchorsStored {
        /// Version of the list now held: the one sent, or a higher one held before.
        version: u64,
    },
    /// The address list of this version is on disk and synced. From protocol 3 on.
    AddressesStored {
        /// Version of the list now held: the one sent, or a higher one held before.
        version: u64,
    },
    /// The answer to a `ping`, at once.
    Pong {
        /// As in the `ping`.
        nonce: u64,
    },
    /// The agent stops on purpose; the server closes with 1000.
    Goodbye {},
    /// The client is being uninstalled at this machine and won't come back; the server writes that down, then closes with
    /// 1000 (CLNT-23). From protocol 2 on.
    Uninstalling {},
}

/// The first frame of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Protocol versions the agent speaks. 1 to 8 of them.
    pub protocols: Vec<u16>,
    /// Version of the agent program. 1 to 64 characters.
    pub agent_version: String,
    /// 128 random bits, 32 hexadecimal digits, drawn at each start of the program and kept in memory
    /// only. The same value on a new connection says that the old one is gone.
    pub boot_id: String,
    /// Who this is.
    pub identity: Identity,
    /// All facts known.
    #[serde(default)]
    pub facts: Facts,
    /// Sessions this agent still keeps from an earlier connection. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<String>,
}

/// Who says hello.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// A machine that has no identity yet, with an installer's key.
    Register(Register),
    /// A machine that was given an identity.
    Resume(Resume),
}

/// The wish to become a new Jump Client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// The installer, 32 characters, from KEY_INFO.
    pub installer_id: String,
    /// The installer's secret, from KEY_INFO.
    pub secret: Secret,
    /// 128 random bits, 32 hexadecimal digits, on disk before the first attempt and repeated until
    /// `welcome` was stored. It makes a repeated registration answer the same client.
    pub attempt: String,
    /// What is set differently from the installer, where that allows it (INST-23).
    #[serde(default, skip_serializing_if = "Overrides::is_empty")]
    pub overrides: Overrides,
}

/// What an installation sets itself (INST-26 to INST-33). Each needs the installer's leave; one without
/// makes the registration fail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overrides {
    /// Name of the client. Up to 128 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `user:<username>` or `jumpgroup:<code name>`. Up to 255 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jump_group: Option<String>,
    /// Code name of a Jump Policy. Up to 255 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jump_policy: Option<String>,
    /// Code name of a session policy. Up to 255 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_policy: Option<String>,
    /// Unit: minutes. Range: 1 to 5,256,000. "Ephemeral" is 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_offline_minutes: Option<u32>,
    /// Up to 1024 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Up to 1024 characters, lines allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comments: Option<String>,
}

/// The proof of an identity given before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// As `welcome` gave it. Range: 1 to 2^53 - 1.
    pub client_id: u64,
    /// The newest token on disk.
    pub token: Secret,
}

/// A check-in: proof of life with facts and figures, recorded by the server for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckIn {
    /// 1 for the first on a connection, then one more each. The server answers
    /// `check_in_recorded` with it. Range: 1 to 2^53 - 1.
    pub sequence: u64,
    /// Only what changed since the facts were last sent on this connection.
    #[serde(default, skip_serializing_if = "Facts::is_empty")]
    pub facts: Facts,
    /// The newest figures.
    #[serde(default)]
    pub figures: Figures,
}

/// Why a session could not be started. A code the server does not know is shown as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionFailReason {
    /// `client_disabled`: switched off by the user at the machine (CLNT-29).
    ClientDisabled,
    /// `too_many_sessions`: the machine holds as many as it can.
    TooManySessions,
    /// `stopping`: the agent is about to stop.
    Stopping,
    /// `internal`: anything else, told in `detail`.
    Internal,
    /// A code of a newer agent: up to 64 characters of `a-z`, `0-9` and `_`.
    #[serde(untagged)]
    Other(String),
}

/// Why a session ended at the agent. A code the server does not know is shown as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionEndReason {
    /// `asked`: by an `end_session`.
    Asked,
    /// `ended_at_endpoint`: by the user at the machine.
    EndedAtEndpoint,
    /// `stopping`: the agent stops.
    Stopping,
    /// `unknown_session`: the agent does not have it, for example after a restart.
    UnknownSession,
    /// A code of a newer agent: up to 64 characters of `a-z`, `0-9` and `_`.
    #[serde(untagged)]
    Other(String),
}

impl ClientFrame {
    /// The values of `type`.
    pub const TYPES: &[&str] = &[
        "hello",
        "check_in",
        "session_started",
        "session_failed",
        "session_ended",
        "token_stored",
        "anchors_stored",
        "addresses_stored",
        "pong",
        "goodbye",
        "uninstalling",
    ];

    /// Reads a text frame and checks every limit.
    ///
    /// # Errors
    /// [`ProtocolError`], which has the close code.
    pub fn parse(text: &str) -> Result<Self, ProtocolError> {
        let frame: Self = refusing::read(text, Self::TYPES)?;
        frame.check()?;
        Ok(frame)
    }

    /// Writes a text frame, after the same checks: a frame that the other side would refuse is not sent.
    ///
    /// # Errors
    /// [`ProtocolError`].
    pub fn to_text(&self) -> Result<String, ProtocolError> {
        self.check()?;
        refusing::write(self)
    }

    fn check(&self) -> Result<(), ProtocolError> {
        match self {
            Self::Hello(hello) => hello.check(),
            Self::CheckIn(check_in) => {
                limits::within("sequence", check_in.sequence, &(1..=NUMBER_MAX))?;
                check_in.facts.check()?;
                check_in.figures.check()
            }
            Self::SessionStarted { lsid } => limits::lsid("lsid", lsid),
            Self::SessionFailed {
                lsid,
                reason,
                detail,
            } => {
                limits::lsid("lsid", lsid)?;
                if let SessionFailReason::Other(code) = reason {
                    limits::code("reason", code)?;
                }
                limits::text("detail", detail, TEXT_CHARS_MAX)
            }
            Self::SessionEnded { lsid, reason } => {
                limits::lsid("lsid", lsid)?;
                match reason {
                    SessionEndReason::Other(code) => limits::code("reason", code),
                    _ => Ok(()),
                }
            }
            Self::AnchorsStored { version } | Self::AddressesStored { version } => {
                limits::within("version", *version, &(1..=NUMBER_MAX))
            }
            Self::Pong { nonce } => limits::within("nonce", *nonce, &(0..=NUMBER_MAX)),
            Self::TokenStored {} | Self::Goodbye {} | Self::Uninstalling {} => Ok(()),
        }
    }
}

impl Hello {
    fn check(&self) -> Result<(), ProtocolError> {
        limits::count("protocols", self.protocols.len(), PROTOCOLS_MAX)?;
        if self.protocols.is_empty() {
            return Err(ProtocolError::Invalid {
                field: "protocols",
                reason: "it is empty",
            });
        }
        limits::text("agent_version", &self.agent_version, WORD_CHARS_MAX)?;
        if self.agent_version.is_empty() {
            return Err(ProtocolError::Invalid {
                field: "agent_version",
                reason: "it is empty",
            });
        }
        limits::nonce("boot_id", &self.boot_id)?;
        match &self.identity {
            Identity::Register(register) => register.check()?,
            Identity::Resume(resume) => {
                limits::within("client_id", resume.client_id, &(1..=NUMBER_MAX))?;
                limits::secret("token", resume.token.expose())?;
            }
        }
        self.facts.check()?;
        limits::count("sessions", self.sessions.len(), SESSIONS_MAX)?;
        self.sessions
            .iter()
            .try_for_each(|lsid| limits::lsid("sessions", lsid))
    }
}

impl Register {
    fn check(&self) -> Result<(), ProtocolError> {
        limits::installer_id("installer_id", &self.installer_id)?;
        limits::secret("secret", self.secret.expose())?;
        limits::nonce("attempt", &self.attempt)?;
        let overrides = &self.overrides;
        for (field, value, chars_max) in [
            ("overrides.name", &overrides.name, NAME_CHARS_MAX),
            (
                "overrides.jump_group",
                &overrides.jump_group,
                TEXT_CHARS_MAX,
            ),
            (
                "overrides.jump_policy",
                &overrides.jump_policy,
                TEXT_CHARS_MAX,
            ),
            (
                "overrides.session_policy",
                &overrides.session_policy,
                TEXT_CHARS_MAX,
            ),
            ("overrides.tag", &overrides.tag, COMMENTS_CHARS_MAX),
        ] {
            if let Some(value) = value {
                limits::text(field, value, chars_max)?;
            }
        }
        if let Some(comments) = &overrides.comments {
            limits::lines("overrides.comments", comments, COMMENTS_CHARS_MAX)?;
        }
        match overrides.max_offline_minutes {
            Some(minutes) => {
                limits::within("overrides.max_offline_minutes", minutes, &OFFLINE_MINUTES)
            }
            None => Ok(()),
        }
    }
}

impl Overrides {
    /// Whether nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
