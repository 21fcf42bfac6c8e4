//! Every length, count and time both sides hold to, and the checks that apply them.
//!
//! Lengths of text are counted in characters (Unicode scalar values) unless a name ends in `BYTES`.

use std::time::Duration;

use crate::refusing::ProtocolError;

/// Path of the WebSocket on the server.
pub const LINK_PATH: &str = "/link/v1";

/// Largest frame, text or binary, in either direction. Unit: bytes.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;

/// How long after the WebSocket opens the client's `hello` must have arrived.
pub const HELLO_WITHIN: Duration = Duration::from_secs(10);

/// How long the server gives a client to answer a `ping` before it takes the connection for dead.
pub const PONG_WITHIN: Duration = Duration::from_secs(5);

/// Frames a client may send within any ten seconds. More close the link with 4429.
pub const FRAMES_PER_10_SECONDS_MAX: u32 = 100;

/// Check-ins of a client that may wait for their `check_in_recorded` at once. More close the link with 4429.
pub const CHECK_INS_WAITING_MAX: usize = 8;

/// Range of `welcome.heartbeat_seconds`.
pub const HEARTBEAT_SECONDS: std::ops::RangeInclusive<u32> = 1..=300;

/// Heartbeat a server asks for unless it has reason for another. Unit: seconds.
pub const HEARTBEAT_SECONDS_DEFAULT: u32 = 30;

/// Range of `welcome.check_in_seconds`: one second to a week.
pub const CHECK_IN_SECONDS: std::ops::RangeInclusive<u32> = 1..=604_800;

/// Longest pause a server may ask for with `retry_after_ms` or `after_ms`: one day. Unit: milliseconds.
pub const RETRY_MS_MAX: u64 = 86_400_000;

/// Largest whole number that every JSON reader keeps exactly: 2^53 - 1.
pub const NUMBER_MAX: u64 = (1 << 53) - 1;

/// Largest `check_in.figures` as compact JSON. Unit: bytes.
pub const FIGURES_BYTES_MAX: usize = 32 * 1024;

/// Longest `figures.screen_png`, in base64: some 18 KiB of picture. Unit: bytes (it is ASCII).
pub const SCREEN_BYTES_MAX: usize = 24 * 1024;

/// Statistics in `settings.statistics`.
pub const STATISTICS_MAX: usize = 16;

/// Disks in one `figures`.
pub const DISKS_MAX: usize = 32;

/// Protocol versions in `hello.protocols`.
pub const PROTOCOLS_MAX: usize = 8;

/// Sessions in `hello.sessions`.
pub const SESSIONS_MAX: usize = 64;

/// Anchors in an anchor list.
pub const ANCHORS_MAX: usize = 8;

/// Longest anchor.
pub const ANCHOR_CHARS_MAX: usize = 128;

/// URLs in KEY_INFO.
pub const URLS_MAX: usize = 4;

/// Longest URL in KEY_INFO.
pub const URL_CHARS_MAX: usize = 200;

/// KEY_INFO is shorter than this. Unit: bytes (it is ASCII).
pub const KEY_INFO_BYTES_BELOW: usize = 1024;

/// Length of an installer id.
pub const INSTALLER_ID_CHARS: usize = 32;

/// Length of identity tokens and installer secrets, of the base64url alphabet.
pub const SECRET_CHARS: std::ops::RangeInclusive<usize> = 32..=128;

/// Length of `boot_id` and `attempt`: 128 bits as hexadecimal digits.
pub const NONCE_CHARS: usize = 32;

/// Longest session id (`lsid`), of ASCII letters, digits, `-` and `_`.
pub const LSID_CHARS_MAX: usize = 64;

/// Longest host name, system name, user name, mount point and other short text.
pub const TEXT_CHARS_MAX: usize = 255;

/// Longest `agent_version`, `machine_id`, `time_zone`, and code such as `refused.code`.
pub const WORD_CHARS_MAX: usize = 64;

/// Longest message for people in `refused`.
pub const MESSAGE_CHARS_MAX: usize = 1024;

/// Longest name override: that of a Jump Item's name (LIM-11).
pub const NAME_CHARS_MAX: usize = 128;

/// Longest tag and comments override (LIM-11).
pub const COMMENTS_CHARS_MAX: usize = 1024;

/// Range of the override of the maximum offline minutes. One minute to ten years.
pub const OFFLINE_MINUTES: std::ops::RangeInclusive<u32> = 1..=5_256_000;

/// Range of a time zone's offset from UTC. Unit: minutes.
pub const OFFSET_MINUTES: std::ops::RangeInclusive<i32> = -1_080..=1_080;

/// Checks text for people: its length, and that no control character is in it.
pub(crate) fn text(
    field: &'static str,
    value: &str,
    chars_max: usize,
) -> Result<(), ProtocolError> {
    checked_text(field, value, chars_max, |_| false)
}

/// Checks text that may have several lines.
pub(crate) fn lines(
    field: &'static str,
    value: &str,
    chars_max: usize,
) -> Result<(), ProtocolError> {
    checked_text(field, value, chars_max, |c| matches!(c, '\n' | '\r' | '\t'))
}

fn checked_text(
    field: &'static str,
    value: &str,
    chars_max: usize,
    allowed: impl Fn(char) -> bool,
) -> Result<(), ProtocolError> {
    // Bytes first: a character has at most four, so very long text is not even counted.
    if value.len() > chars_max.saturating_mul(4) || value.chars().count() > chars_max {
        return Err(ProtocolError::OverLimit {
            field,
            limit: chars_max as u64,
        });
    }
    // Neither a log nor XML 1.0 can carry these; refusing them here spares every place behind.
    let bad = |c: char| (c.is_control() && !allowed(c)) || matches!(c, '\u{fffe}' | '\u{ffff}');
    if value.chars().any(bad) {
        return Err(ProtocolError::Invalid {
            field,
            reason: "it holds a control character",
        });
    }
    Ok(())
}

/// Checks a whole number against its range.
pub(crate) fn within<T: PartialOrd + Copy + TryInto<u64>>(
    field: &'static str,
    value: T,
    range: &std::ops::RangeInclusive<T>,
) -> Result<(), ProtocolError> {
    if value > *range.end() {
        let limit = (*range.end()).try_into().unwrap_or(0);
        return Err(ProtocolError::OverLimit { field, limit });
    }
    if value < *range.start() {
        return Err(ProtocolError::Invalid {
            field,
            reason: "it is too small",
        });
    }
    Ok(())
}

/// Checks how many entries a list has.
pub(crate) fn count(
    field: &'static str,
    count: usize,
    count_max: usize,
) -> Result<(), ProtocolError> {
    if count > count_max {
        return Err(ProtocolError::OverLimit {
            field,
            limit: count_max as u64,
        });
    }
    Ok(())
}

/// Checks a session id.
pub(crate) fn lsid(field: &'static str, value: &str) -> Result<(), ProtocolError> {
    if value.len() > LSID_CHARS_MAX {
        return Err(ProtocolError::OverLimit {
            field,
            limit: LSID_CHARS_MAX as u64,
        });
    }
    if value.is_empty() || !value.bytes().all(is_base64url) {
        return Err(ProtocolError::Invalid {
            field,
            reason: "it is not a session id",
        });
    }
    Ok(())
}

/// Checks a value of 128 random bits written as 32 hexadecimal digits of lower case.
pub(crate) fn nonce(field: &'static str, value: &str) -> Result<(), ProtocolError> {
    let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if value.len() != NONCE_CHARS || !value.bytes().all(digit) {
        return Err(ProtocolError::Invalid {
            field,
            reason: "it is not 32 hexadecimal digits",
        });
    }
    Ok(())
}

/// Checks an installer's id.
pub(crate) fn installer_id(field: &'static str, value: &str) -> Result<(), ProtocolError> {
    if value.len() != INSTALLER_ID_CHARS || !value.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(ProtocolError::Invalid {
            field,
            reason: "it is not 32 letters and digits",
        });
    }
    Ok(())
}

/// Checks a token or an installer's secret.
pub(crate) fn secret(field: &'static str, value: &str) -> Result<(), ProtocolError> {
    if value.len() > *SECRET_CHARS.end() {
        return Err(ProtocolError::OverLimit {
            field,
            limit: *SECRET_CHARS.end() as u64,
        });
    }
    if value.len() < *SECRET_CHARS.start() || !value.bytes().all(is_base64url) {
        return Err(ProtocolError::Invalid {
            field,
            reason: "it is not a token",
        });
    }
    Ok(())
}

/// Checks a code: lower-case letters, digits and `_`.
pub(crate) fn code(field: &'static str, value: &str) -> Result<(), ProtocolError> {
    if value.len() > WORD_CHARS_MAX {
        return Err(ProtocolError::OverLimit {
            field,
            limit: WORD_CHARS_MAX as u64,
        });
    }
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if value.is_empty() || !value.bytes().all(allowed) {
        return Err(ProtocolError::Invalid {
            field,
            reason: "it is not a code",
        });
    }
    Ok(())
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}
