//! Why a frame is refused, and the codes a connection is closed with.

use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::limits::FRAME_BYTES_MAX;

/// Why the link was closed, as the code of the WebSocket close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// 1000: the end both sides expect, such as after `goodbye`.
    Normal,
    /// 1001: the server stops; connect again with back-off, to any node.
    GoingAway,
    /// 1003: a binary frame, which protocol 1 does not use.
    BinaryFrame,
    /// 1009: a frame longer than [`FRAME_BYTES_MAX`].
    FrameTooBig,
    /// 4400: a text frame that is not JSON, or whose fields are missing or of the wrong kind.
    MalformedFrame,
    /// 4403: the server said `refused` before; that frame says whether to come back.
    Refused,
    /// 4404: a frame of a type the agreed protocol does not have.
    UnknownFrame,
    /// 4405: a frame that may not be sent now, such as a second `hello`.
    OutOfOrder,
    /// 4408: `hello` or an answer to `ping` did not come in time.
    TimedOut,
    /// 4409: another connection with the same identity has taken this one's place.
    Replaced,
    /// 4413: a field is longer or a number larger than allowed.
    OverLimit,
    /// 4426: client and server have no protocol version in common.
    NoCommonProtocol,
    /// 4429: too many frames in ten seconds.
    TooManyFrames,
    /// 4503: the server said `retry_later` before; that frame says when.
    RetryLater,
}

impl CloseCode {
    /// All codes, in the order of their numbers.
    pub const ALL: &[Self] = &[
        Self::Normal,
        Self::GoingAway,
        Self::BinaryFrame,
        Self::FrameTooBig,
        Self::MalformedFrame,
        Self::Refused,
        Self::UnknownFrame,
        Self::OutOfOrder,
        Self::TimedOut,
        Self::Replaced,
        Self::OverLimit,
        Self::NoCommonProtocol,
        Self::TooManyFrames,
        Self::RetryLater,
    ];

    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::GoingAway => 1001,
            Self::BinaryFrame => 1003,
            Self::FrameTooBig => 1009,
            Self::MalformedFrame => 4400,
            Self::Refused => 4403,
            Self::UnknownFrame => 4404,
            Self::OutOfOrder => 4405,
            Self::TimedOut => 4408,
            Self::Replaced => 4409,
            Self::OverLimit => 4413,
            Self::NoCommonProtocol => 4426,
            Self::TooManyFrames => 4429,
            Self::RetryLater => 4503,
        }
    }

    /// The code with this number, if the protocol has it.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.number() == number)
    }

    /// The reason sent in the close frame beside the number. Under 123 bytes.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Normal => "goodbye",
            Self::GoingAway => "the server stops",
            Self::BinaryFrame => "binary frames are not in use",
            Self::FrameTooBig => "the frame is too big",
            Self::MalformedFrame => "the frame is malformed",
            Self::Refused => "refused",
            Self::UnknownFrame => "the frame's type is unknown",
            Self::OutOfOrder => "the frame is out of order",
            Self::TimedOut => "no answer in time",
            Self::Replaced => "replaced by a newer connection",
            Self::OverLimit => "a field is over its limit",
            Self::NoCommonProtocol => "no protocol version in common",
            Self::TooManyFrames => "too many frames",
            Self::RetryLater => "come back later",
        }
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.number(), self.reason())
    }
}

/// Why a frame can't be read or must not be sent. The texts name fields and never quote the frame,
/// which may hold a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The frame is longer than [`FRAME_BYTES_MAX`].
    #[error("a frame of {bytes} bytes is longer than {FRAME_BYTES_MAX}")]
    FrameTooBig {
        /// Its length.
        bytes: usize,
    },
    /// The text is not a JSON object with a `type`, or its fields do not fit that type.
    #[error("the frame is malformed near column {column}")]
    Malformed {
        /// Where reading stopped; 0 if the frame was read but makes no sense.
        column: usize,
    },
    /// The frame's `type` is none of the protocol's.
    #[error("the frame's type is unknown")]
    UnknownFrame,
    /// A field is longer, larger or more numerous than allowed.
    #[error("{field} is over its limit of {limit}")]
    OverLimit {
        /// The field.
        field: &'static str,
        /// The limit, in the field's unit.
        limit: u64,
    },
    /// A field is of the right kind and length, but means nothing.
    #[error("{field} is not valid: {reason}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl ProtocolError {
    /// The code to close the link with.
    #[must_use]
    pub fn close_code(&self) -> CloseCode {
        match self {
            Self::FrameTooBig { .. } => CloseCode::FrameTooBig,
            Self::Malformed { .. } | Self::Invalid { .. } => CloseCode::MalformedFrame,
            Self::UnknownFrame => CloseCode::UnknownFrame,
            Self::OverLimit { .. } => CloseCode::OverLimit,
        }
    }
}

/// Reads a frame of one side, given the types that side may send.
pub(crate) fn read<F: DeserializeOwned>(text: &str, types: &[&str]) -> Result<F, ProtocolError> {
    #[derive(Deserialize)]
    struct Head {
        r#type: String,
    }

    if text.len() > FRAME_BYTES_MAX {
        return Err(ProtocolError::FrameTooBig { bytes: text.len() });
    }
    serde_json::from_str(text).map_err(|error| match serde_json::from_str::<Head>(text) {
        Ok(head) if !types.contains(&head.r#type.as_str()) => ProtocolError::UnknownFrame,
        _ => ProtocolError::Malformed {
            column: error.column(),
        },
    })
}

/// Writes a frame that was checked before.
pub(crate) fn write<F: serde::Serialize>(frame: &F) -> Result<String, ProtocolError> {
    let text = serde_json::to_string(frame).map_err(|_| ProtocolError::Malformed { column: 0 })?;
    if text.len() > FRAME_BYTES_MAX {
        return Err(ProtocolError::FrameTooBig { bytes: text.len() });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_codes_are_unique_legal_and_short_enough_for_a_close_frame() {
        let mut numbers: Vec<u16> = CloseCode::ALL.iter().map(|code| code.number()).collect();
        assert!(numbers.is_sorted());
        numbers.dedup();
        assert_eq!(numbers.len(), CloseCode::ALL.len());
        for code in CloseCode::ALL {
            assert!(matches!(
                code.number(),
                1000 | 1001 | 1003 | 1009 | 4000..=4999
            ));
            assert!(code.reason().len() <= 123);
            assert_eq!(CloseCode::from_number(code.number()), Some(*code));
        }
        assert_eq!(CloseCode::from_number(4999), None);
    }
}
