//! Trust anchors: by what an agent knows that it talks to its server; and addresses: where it looks for it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::{self, ANCHOR_CHARS_MAX, ANCHORS_MAX, NUMBER_MAX, URL_CHARS_MAX, URLS_MAX};
use crate::refusing::ProtocolError;

/// One thing an agent may trust.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Anchor {
    /// `sha256:` and 64 hexadecimal digits: the authority whose subject public key info (DER) has this
    /// SHA-256. The site's own authority, or one from the file given to the server.
    PublicKey([u8; 32]),
    /// `system`: the roots the machine's operating system trusts.
    System,
    /// Written by a newer server. It is kept and passed on, and trusts nobody.
    Unknown(String),
}

impl FromStr for Anchor {
    type Err = ProtocolError;

    fn from_str(text: &str) -> Result<Self, ProtocolError> {
        limits::text("anchors.list", text, ANCHOR_CHARS_MAX)?;
        if text == "system" {
            return Ok(Self::System);
        }
        let Some(digits) = text.strip_prefix("sha256:") else {
            return Ok(Self::Unknown(text.to_owned()));
        };
        let mut hash = [0; 32];
        match hex::decode_to_slice(digits, &mut hash) {
            Ok(()) => Ok(Self::PublicKey(hash)),
            Err(_) => Err(ProtocolError::Invalid {
                field: "anchors.list",
                reason: "sha256: is followed by something else than 64 hexadecimal digits",
            }),
        }
    }
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PublicKey(hash) => write!(f, "sha256:{}", hex::encode(hash)),
            Self::System => f.write_str("system"),
            Self::Unknown(text) => f.write_str(text),
        }
    }
}

impl Serialize for Anchor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Anchor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // The length is checked with the frame, so that it gets the close code of a limit.
        if text.chars().count() > ANCHOR_CHARS_MAX {
            return Ok(Self::Unknown(text));
        }
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What an agent trusts, any one of the list being enough. Of two lists the one with the higher version
/// holds; an agent never goes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchorList {
    /// Grows with every change. Range: 1 to 2^53 - 1.
    pub version: u64,
    /// One to [`ANCHORS_MAX`] anchors, of which the agent must know the kind of at least one.
    pub list: Vec<Anchor>,
}

impl AnchorList {
    /// Whether this list takes the place of `held`.
    #[must_use]
    pub fn supersedes(&self, held: &Self) -> bool {
        self.version > held.version
    }

    /// Checks the list against its limits.
    ///
    /// # Errors
    /// [`ProtocolError`] naming the field.
    pub fn check(&self) -> Result<(), ProtocolError> {
        limits::within("anchors.version", self.version, &(1..=NUMBER_MAX))?;
        limits::count("anchors.list", self.list.len(), ANCHORS_MAX)?;
        for anchor in &self.list {
            if let Anchor::Unknown(text) = anchor {
                limits::text("anchors.list", text, ANCHOR_CHARS_MAX)?;
            }
        }
        // An agent that took a list it can't use would never come back.
        if self
            .list
            .iter()
            .all(|anchor| matches!(anchor, Anchor::Unknown(_)))
        {
            let reason = "it holds no anchor of a known kind";
            return Err(ProtocolError::Invalid {
                field: "anchors.list",
                reason,
            });
        }
        Ok(())
    }
}

/// Where an agent looks for its site. Of two lists the one with the higher version holds; an agent never goes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressList {
    /// Grows with every change. Range: 1 to 2^53 - 1.
    pub version: u64,
    /// One to [`URLS_MAX`] addresses as in KEY_INFO, best first.
    pub urls: Vec<String>,
}

impl AddressList {
    /// Checks the list against its limits.
    ///
    /// # Errors
    /// [`ProtocolError`] naming the field.
    pub fn check(&self) -> Result<(), ProtocolError> {
        limits::within("version", self.version, &(1..=NUMBER_MAX))?;
        limits::count("urls", self.urls.len(), URLS_MAX)?;
        self.urls
            .iter()
            .try_for_each(|url| limits::text("urls", url, URL_CHARS_MAX))?;
        // An agent that took a list it can't use would never come back.
        if self.urls.is_empty() || !self.urls.iter().all(|url| is_server_url(url)) {
            return Err(ProtocolError::Invalid {
                field: "urls",
                reason: "it holds no addresses, or something else",
            });
        }
        Ok(())
    }
}

/// Whether it is a scheme, a host and perhaps a port, without anything behind. The agent's URL parser
/// has the last word about the host.
pub(crate) fn is_server_url(url: &str) -> bool {
    let Some(rest) = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))
    else {
        return false;
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let allowed =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
    !rest.is_empty() && url.len() <= URL_CHARS_MAX && rest.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_read_back_as_written() {
        let pin = format!("sha256:{}", "0f".repeat(32));
        for text in [pin.as_str(), "system", "ed25519:abc"] {
            assert_eq!(text.parse::<Anchor>().unwrap().to_string(), text);
        }
        assert_eq!(
            pin.parse::<Anchor>().unwrap(),
            Anchor::PublicKey([0x0f; 32])
        );
        for text in [
            "sha256:",
            "sha256:00",
            &format!("sha256:{}", "zz".repeat(32)),
        ] {
            assert!(text.parse::<Anchor>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_list_needs_one_anchor_of_a_known_kind_and_a_version() {
        let unknown = Anchor::Unknown("new:1".to_owned());
        for (version, list, good) in [
            (1, vec![Anchor::System], true),
            (NUMBER_MAX, vec![unknown.clone(), Anchor::System], true),
            (1, vec![Anchor::System; ANCHORS_MAX], true),
            (1, vec![Anchor::System; ANCHORS_MAX + 1], false),
            (0, vec![Anchor::System], false),
            (NUMBER_MAX + 1, vec![Anchor::System], false),
            (1, vec![], false),
            (1, vec![unknown], false),
            (
                1,
                vec![
                    Anchor::System,
                    Anchor::Unknown("x".repeat(ANCHOR_CHARS_MAX)),
                ],
                true,
            ),
            (
                1,
                vec![
                    Anchor::System,
                    Anchor::Unknown("x".repeat(ANCHOR_CHARS_MAX + 1)),
                ],
                false,
            ),
        ] {
            let list = AnchorList { version, list };
            assert_eq!(list.check().is_ok(), good, "{list:?}");
        }
    }

    #[test]
    fn only_a_higher_version_supersedes() {
        let list = |version| AnchorList {
            version,
            list: vec![Anchor::System],
        };
        assert!(list(3).supersedes(&list(2)));
        assert!(!list(2).supersedes(&list(2)));
        assert!(!list(1).supersedes(&list(2)));
    }
}
