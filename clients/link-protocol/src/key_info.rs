//! KEY_INFO: what an installer hands to an agent so that it finds, trusts and convinces its server.
//!
//! The text is base64url without padding, of compact JSON, and shorter than 1 KiB, so that it fits
//! a command line (`msiexec ... KEY_INFO=...`, INST-39). It holds a secret.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::limits::{self, KEY_INFO_BYTES_BELOW, URLS_MAX};
use crate::refusing::ProtocolError;
use crate::secret::Secret;
use crate::trust::{self, AnchorList};

/// The version of KEY_INFO written here, its member `v`.
const VERSION: u32 = 1;

/// What an installer hands to an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// Where the server is, best first: `https://host` or `https://host:port`, one to four. `http://`
    /// only for a loopback host.
    pub urls: Vec<String>,
    /// The installer: 32 letters and digits.
    pub installer_id: String,
    /// Proves that the holder was given the installer.
    pub secret: Secret,
    /// By what the agent knows its server.
    pub anchors: AnchorList,
}

/// Why a text is not a KEY_INFO, or can't be made one. It never quotes the text, which holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyInfoError {
    /// Cut off, mistyped, or something else altogether.
    #[error("the installer key (KEY_INFO) is damaged or incomplete; copy it again")]
    Damaged,
    /// A later version of the server made it.
    #[error("the installer key (KEY_INFO) has version {0}, which is newer than this program")]
    Newer(u32),
    /// It would be 1 KiB or more.
    #[error(
        "the installer key (KEY_INFO) has {0} bytes and must stay under {KEY_INFO_BYTES_BELOW}; give fewer or shorter URLs"
    )]
    TooLong(usize),
    /// A URL is not of the form `https://host[:port]`.
    #[error(
        "the installer key (KEY_INFO) holds no usable server URL of the form https://host:port"
    )]
    Url,
    /// A member is outside its limits.
    #[error("the installer key (KEY_INFO) is not valid")]
    Invalid(#[source] ProtocolError),
}

#[derive(Deserialize)]
struct Version {
    v: u32,
}

#[derive(Serialize, Deserialize)]
struct Written {
    v: u32,
    urls: Vec<String>,
    installer: String,
    secret: Secret,
    anchors: AnchorList,
}

impl KeyInfo {
    /// Writes it as the text an agent is started with.
    ///
    /// # Errors
    /// Any [`KeyInfoError`] but `Damaged` and `Newer`.
    pub fn encode(&self) -> Result<Secret, KeyInfoError> {
        self.check()?;
        let written = Written {
            v: VERSION,
            urls: self.urls.clone(),
            installer: self.installer_id.clone(),
            secret: self.secret.clone(),
            anchors: self.anchors.clone(),
        };
        let json = serde_json::to_vec(&written).map_err(|_| KeyInfoError::Damaged)?;
        let text = URL_SAFE_NO_PAD.encode(json);
        if text.len() >= KEY_INFO_BYTES_BELOW {
            return Err(KeyInfoError::TooLong(text.len()));
        }
        Ok(Secret::new(text))
    }

    /// Reads the text; blanks around it do no harm.
    ///
    /// # Errors
    /// [`KeyInfoError`].
    pub fn decode(text: &str) -> Result<Self, KeyInfoError> {
        let text = text.trim();
        if text.len() >= KEY_INFO_BYTES_BELOW {
            return Err(KeyInfoError::TooLong(text.len()));
        }
        let json = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| KeyInfoError::Damaged)?;
        let version: Version = serde_json::from_slice(&json).map_err(|_| KeyInfoError::Damaged)?;
        if version.v != VERSION {
            return Err(KeyInfoError::Newer(version.v));
        }
        let written: Written = serde_json::from_slice(&json).map_err(|_| KeyInfoError::Damaged)?;
        let read = Self {
            urls: written.urls,
            installer_id: written.installer,
            secret: written.secret,
            anchors: written.anchors,
        };
        read.check()?;
        Ok(read)
    }

    fn check(&self) -> Result<(), KeyInfoError> {
        if self.urls.is_empty() || self.urls.len() > URLS_MAX {
            return Err(KeyInfoError::Url);
        }
        if !self.urls.iter().all(|url| trust::is_server_url(url)) {
            return Err(KeyInfoError::Url);
        }
        limits::installer_id("installer", &self.installer_id).map_err(KeyInfoError::Invalid)?;
        limits::secret("secret", self.secret.expose()).map_err(KeyInfoError::Invalid)?;
        self.anchors.check().map_err(KeyInfoError::Invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::URL_CHARS_MAX;
    use crate::trust::Anchor;

    fn key_info() -> KeyInfo {
        KeyInfo {
            urls: vec!["https://gatebook.example:8443".to_owned()],
            installer_id: "0123456789abcdef0123456789ABCDEF".to_owned(),
            secret: Secret::new("s".repeat(43)),
            anchors: AnchorList {
                version: 1,
                list: vec![Anchor::PublicKey([7; 32])],
            },
        }
    }

    #[test]
    fn it_reads_back_as_written_and_fits_a_command_line() {
        let text = key_info().encode().unwrap();
        assert!(text.expose().len() < 500);
        assert_eq!(KeyInfo::decode(text.expose()).unwrap(), key_info());
        assert_eq!(
            KeyInfo::decode(&format!(" {}\n", text.expose())).unwrap(),
            key_info()
        );
    }

    /// The stored form must stay: this key was made by the first version.
    #[test]
    fn a_recorded_key_still_reads() {
        let json = format!(
            r#"{{"v":1,"urls":["https://gatebook.example:8443"],"installer":"0123456789abcdef0123456789ABCDEF","secret":"{}","anchors":{{"version":1,"list":["sha256:{}"]}},"later":true}}"#,
            "s".repeat(43),
            "07".repeat(32)
        );
        assert_eq!(
            KeyInfo::decode(&URL_SAFE_NO_PAD.encode(json)).unwrap(),
            key_info()
        );
    }

    #[test]
    fn a_cut_or_foreign_text_is_damaged_and_a_newer_one_says_so() {
        let text = key_info().encode().unwrap();
        for cut in 0..text.expose().len() {
            assert!(
                KeyInfo::decode(&text.expose()[..cut]).is_err(),
                "cut at {cut}"
            );
        }
        assert_eq!(KeyInfo::decode("hello, world"), Err(KeyInfoError::Damaged));
        let newer = URL_SAFE_NO_PAD.encode(r#"{"v":2}"#);
        assert_eq!(KeyInfo::decode(&newer), Err(KeyInfoError::Newer(2)));
    }

    #[test]
    fn it_stays_under_one_kibibyte() {
        let mut long = key_info();
        let mut lengths = Vec::new();
        for extra in 1..=URL_CHARS_MAX {
            long.urls = vec![format!("https://{}", "h".repeat(extra.min(192))); 4];
            match long.encode() {
                Ok(text) => lengths.push(text.expose().len()),
                Err(error) => assert!(matches!(error, KeyInfoError::TooLong(n) if n >= 1024)),
            }
        }
        assert!(lengths.iter().all(|length| *length < 1024));
        assert!(lengths.len() < URL_CHARS_MAX, "the longest did not fit");
        assert_eq!(
            KeyInfo::decode(&"A".repeat(1024)),
            Err(KeyInfoError::TooLong(1024))
        );
        assert_eq!(
            KeyInfo::decode(&"A".repeat(1023)),
            Err(KeyInfoError::Damaged)
        );
    }

    #[test]
    fn members_outside_their_limits_are_refused() {
        let url = |urls: &[&str]| KeyInfo {
            urls: urls.iter().map(|u| (*u).to_owned()).collect(),
            ..key_info()
        };
        let long = format!("https://{}", "h".repeat(URL_CHARS_MAX - 8));
        for (case, good) in [
            (url(&["https://a"]), true),
            (url(&["https://[::1]:8443/"]), true),
            (url(&[&long]), true),
            (url(&[&format!("{long}h")]), false),
            (url(&["https://a"; 4]), true),
            (url(&["https://a"; 5]), false),
            (url(&[]), false),
            (url(&["ftp://a"]), false),
            (url(&["https://"]), false),
            (url(&["https://a/b"]), false),
            (url(&["https://u@a"]), false),
            (
                KeyInfo {
                    installer_id: "x".repeat(31),
                    ..key_info()
                },
                false,
            ),
            (
                KeyInfo {
                    installer_id: "x".repeat(33),
                    ..key_info()
                },
                false,
            ),
            (
                KeyInfo {
                    installer_id: "-".repeat(32),
                    ..key_info()
                },
                false,
            ),
            (
                KeyInfo {
                    secret: Secret::new("s".repeat(31)),
                    ..key_info()
                },
                false,
            ),
            (
                KeyInfo {
                    secret: Secret::new("s".repeat(32)),
                    ..key_info()
                },
                true,
            ),
            (
                KeyInfo {
                    secret: Secret::new("s".repeat(128)),
                    ..key_info()
                },
                true,
            ),
            (
                KeyInfo {
                    secret: Secret::new("s".repeat(129)),
                    ..key_info()
                },
                false,
            ),
        ] {
            assert_eq!(case.encode().is_ok(), good, "{case:?}");
        }
    }
}
