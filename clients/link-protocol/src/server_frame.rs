//! What the server sends.

use serde::{Deserialize, Serialize};

use crate::limits::{
    self, CHECK_IN_SECONDS, HEARTBEAT_SECONDS, MESSAGE_CHARS_MAX, NUMBER_MAX, OFFLINE_MINUTES,
    RETRY_MS_MAX, STATISTICS_MAX, TEXT_CHARS_MAX,
};
use crate::refusing::{self, ProtocolError};
use crate::secret::Secret;
use crate::trust::{AddressList, AnchorList};

/// A frame from the server to the agent: a JSON object whose `type` names the variant in snake_case.
/// Unknown members are skipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerFrame {
    /// The answer to a `hello` that was accepted.
    Welcome(Box<Welcome>),
    /// The answer to a `hello` that was not, or the end of a client that was removed or quarantined.
    /// The server closes with 4403 after it, or with 4426 for `protocol_not_supported`.
    Refused(Refused),
    /// The check-in is in the log for good.
    CheckInRecorded {
        /// As in the `check_in`.
        sequence: u64,
    },
    /// A user jumps to this machine: answer `session_started` or `session_failed`.
    StartSession(StartSession),
    /// A session is over: drop it and answer `session_ended`.
    EndSession(EndSession),
    /// A new token: store it, then answer `token_stored`. The old one is void from the first use of
    /// the new one on, or from `token_stored` on.
    RotateToken {
        /// The new token.
        token: Secret,
    },
    /// A newer anchor list: store it, then answer `anchors_stored`.
    Anchors(AnchorList),
    /// A newer list of the site's addresses, after `welcome` and whenever it changes: store it, then answer
    /// `addresses_stored`. From protocol 3 on.
    Addresses(AddressList),
    /// How the client shall be: after `welcome`, and whenever it changes. From protocol 2 on.
    Settings(Settings),
    /// Proof of life is asked for: answer `pong` at once.
    Ping {
        /// Any number from 0 to 2^53 - 1.
        nonce: u64,
    },
    /// The node is about to stop or is too busy. The server closes with 4503 after it.
    RetryLater {
        /// Come back after this pause, plus up to half of it at random. Unit: milliseconds. Up to a day.
        after_ms: u64,
    },
}

/// The answer to an accepted `hello`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The protocol version spoken from here on, one of those offered.
    pub protocol: u16,
    /// The client's id on this site. Range: 1 to 2^53 - 1.
    pub client_id: u64,
    /// A token to keep instead of the present one. Always there after `register`. It is on disk before
    /// anything else is done, then confirmed with `token_stored`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    /// How often the server pings. An agent that has heard nothing for two and a half times as long
    /// takes the link for dead. Unit: seconds. Range: 1 to 300.
    pub heartbeat_seconds: u32,
    /// How often to check in. Unit: seconds. Range: 1 to 604,800.
    pub check_in_seconds: u32,
    /// Whether to check in now, and not only after the interval.
    pub check_in_now: bool,
    /// What to trust from now on, if its version is higher than the one held.
    pub anchors: AnchorList,
    /// The server's time. Unit: milliseconds since 1970-01-01 UTC. For logs; nothing is decided by it.
    pub site_time_ms: u64,
}

/// What travels with a client, so that it holds also where the site can't be reached (CLNT-19).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// How often to check in. Unit: seconds. Range: 1 to 604,800.
    pub check_in_seconds: u32,
    /// Which statistics to collect: `cpu`, `console_user`, `disk`, `screen`, `uptime` (CLNT-31). At most 16 codes; one not
    /// known is passed by.
    pub statistics: Vec<String>,
    /// After how long without a connection the client removes itself. Unit: minutes. Range: 1 to 5,256,000.
    pub remove_after_minutes: u32,
    /// Whether the client keeps no connection: it checks in, leaves, and waits to be called (CLNT-02).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub passive: bool,
}

impl Settings {
    /// Whether a statistic is to be collected.
    #[must_use]
    pub fn collects(&self, statistic: &str) -> bool {
        self.statistics
            .iter()
            .any(|collected| collected == statistic)
    }

    /// Checks the settings against their limits.
    ///
    /// # Errors
    /// [`ProtocolError`] naming the field.
    pub fn check(&self) -> Result<(), ProtocolError> {
        limits::within("check_in_seconds", self.check_in_seconds, &CHECK_IN_SECONDS)?;
        limits::count("statistics", self.statistics.len(), STATISTICS_MAX)?;
        self.statistics
            .iter()
            .try_for_each(|code| limits::code("statistics", code))?;
        limits::within(
            "remove_after_minutes",
            self.remove_after_minutes,
            &OFFLINE_MINUTES,
        )
    }
}

/// No, and what comes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Why, for programs.
    pub code: RefusedCode,
    /// Why, for people. Up to 1024 characters.
    pub message: String,
    /// Come back no sooner than this. Unit: milliseconds. Up to a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Whether it stays no: the agent stops trying until a person does something about it.
    #[serde(rename = "final")]
    pub is_final: bool,
}

/// Why the server says no. An agent goes by `final`, not by the code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusedCode {
    /// `installer_not_valid`: unknown, deleted, expired, or the wrong secret (INST-04, INST-13).
    InstallerNotValid,
    /// `override_not_allowed`: an override the installer does not allow (INST-23), or to something that
    /// does not exist (INST-27, INST-59).
    OverrideNotAllowed,
    /// `capacity_reached`: the site holds as many clients as it may (LIM-04).
    CapacityReached,
    /// `identity_not_valid`: unknown client or wrong token (CLNT-30). One code for both.
    IdentityNotValid,
    /// `client_removed`: the client was removed from the site (CLNT-60).
    ClientRemoved,
    /// `quarantined`: the identity is in use twice.
    Quarantined,
    /// `protocol_not_supported`: no version in common.
    ProtocolNotSupported,
    /// `busy`: too many connections at the moment (CLNT-36).
    Busy,
    /// `unavailable`: the server can't record anything at the moment.
    Unavailable,
    /// A code of a newer server: up to 64 characters of `a-z`, `0-9` and `_`.
    #[serde(untagged)]
    Other(String),
}

/// A user jumps to this machine. Sent again after a reconnection if it was not answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartSession {
    /// The session. 1 to 64 characters.
    pub lsid: String,
    /// Who jumps, as shown to people at the machine. Up to 255 characters.
    pub user_display_name: String,
    /// After this the server takes the start for failed. Unit: milliseconds. Up to a day.
    pub answer_within_ms: u64,
}

/// A session is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndSession {
    /// The session. 1 to 64 characters.
    pub lsid: String,
    /// Why, for people. Up to 255 characters.
    pub reason: String,
}

impl ServerFrame {
    /// The values of `type`.
    pub const TYPES: &[&str] = &[
        "welcome",
        "refused",
        "check_in_recorded",
        "start_session",
        "end_session",
        "rotate_token",
        "anchors",
        "addresses",
        "settings",
        "ping",
        "retry_later",
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
            Self::Welcome(welcome) => welcome.check(),
            Self::Refused(refused) => {
                if let RefusedCode::Other(code) = &refused.code {
                    limits::code("code", code)?;
                }
                limits::text("message", &refused.message, MESSAGE_CHARS_MAX)?;
                limits::within(
                    "retry_after_ms",
                    refused.retry_after_ms.unwrap_or(0),
                    &(0..=RETRY_MS_MAX),
                )
            }
            Self::CheckInRecorded { sequence } => {
                limits::within("sequence", *sequence, &(1..=NUMBER_MAX))
            }
            Self::StartSession(start) => {
                limits::lsid("lsid", &start.lsid)?;
                limits::text(
                    "user_display_name",
                    &start.user_display_name,
                    TEXT_CHARS_MAX,
                )?;
                limits::within(
                    "answer_within_ms",
                    start.answer_within_ms,
                    &(0..=RETRY_MS_MAX),
                )
            }
            Self::EndSession(end) => {
                limits::lsid("lsid", &end.lsid)?;
                limits::text("reason", &end.reason, TEXT_CHARS_MAX)
            }
            Self::RotateToken { token } => limits::secret("token", token.expose()),
            Self::Anchors(anchors) => anchors.check(),
            Self::Addresses(addresses) => addresses.check(),
            Self::Settings(settings) => settings.check(),
            Self::Ping { nonce } => limits::within("nonce", *nonce, &(0..=NUMBER_MAX)),
            Self::RetryLater { after_ms } => {
                limits::within("after_ms", *after_ms, &(0..=RETRY_MS_MAX))
            }
        }
    }
}

impl Welcome {
    fn check(&self) -> Result<(), ProtocolError> {
        limits::within("client_id", self.client_id, &(1..=NUMBER_MAX))?;
        if let Some(token) = &self.token {
            limits::secret("token", token.expose())?;
        }
        limits::within(
            "heartbeat_seconds",
            self.heartbeat_seconds,
            &HEARTBEAT_SECONDS,
        )?;
        limits::within("check_in_seconds", self.check_in_seconds, &CHECK_IN_SECONDS)?;
        limits::within("site_time_ms", self.site_time_ms, &(0..=NUMBER_MAX))?;
        self.anchors.check()
    }
}
