//! A call: how the server asks a passive client, which keeps no connection, to come (CLNT-02, SESS-27).
//!
//! One line of JSON each way over plain TCP, and nothing secret in either: whoever answers is believed only when the client
//! has come to the server by the link, with its token. What a stranger can reach by calling is one connection to the
//! client's own site.

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::refusing::ProtocolError;

/// Longest line of a call or an answer, its end included. Unit: bytes.
pub const LINE_BYTES_MAX: usize = 256;

/// What the server says: come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The client that is wanted, by its id on the site. Range: 1 to 2^53 - 1.
    pub call: u64,
}

/// What a client answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The client that is here; another than the one called is not the one that was meant (ERR-14).
    pub client_id: u64,
    /// Whether it comes now. Not where it is another, or was called too often.
    pub coming: bool,
}

/// Reads a line.
///
/// # Errors
/// Where it is not one of these.
pub fn read<T: serde::de::DeserializeOwned>(line: &str) -> Result<T, ProtocolError> {
    if line.len() > LINE_BYTES_MAX {
        return Err(ProtocolError::OverLimit {
            field: "call",
            limit: LINE_BYTES_MAX as u64,
        });
    }
    serde_json::from_str(line).map_err(|_| ProtocolError::Invalid {
        field: "call",
        reason: "it is no call",
    })
}

impl Call {
    /// Checks the call against its limits.
    ///
    /// # Errors
    /// [`ProtocolError`] naming the field.
    pub fn check(&self) -> Result<(), ProtocolError> {
        limits::within("call", self.call, &(1..=limits::NUMBER_MAX))
    }
}
