//! The way out where there is no direct one: the proxy of `settings.ini`, or the system's.
//!
//! `settings.ini` in the state folder is the guide's file (CLNT-57): it is read when the program starts. A user name and a
//! password that stand in it in plain text are replaced by a form that only this machine's key file opens (CLNT-58). Without
//! it, the system's own settings count, asked at every connection, so a changed one is found by itself (CLNT-56). Their scheme
//! says what is spoken with the proxy; one that is not known here is refused, and never passed by.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use configparser::ini::Ini;
use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use link_protocol::Secret;
use rustls::pki_types::CertificateDer;

use self::tunnel::{Method, Tunnel};
use crate::dial::Stream;
use crate::endpoint::Endpoint;

mod tunnel;

const FILE: &str = "settings.ini";
const KEY_FILE: &str = "settings.key";
/// Largest file that is read. Unit: bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// What a sealed value begins with.
const SEALED: &str = "sealed:";
const NONCE_BYTES: usize = 12;
/// Where the system names the proxy for `https` destinations, in the order in which the first that is set counts.
const SYSTEM_VARIABLES: [&[&str]; 2] =
    [&["HTTPS_PROXY", "https_proxy"], &["ALL_PROXY", "all_proxy"]];

/// How the server is reached.
#[derive(Clone, Debug, Default)]
pub enum Proxy {
    /// As the system says, asked at every connection.
    #[default]
    System,
    /// Without one, whatever the system says (`ProxyMethod` 0).
    Direct,
    /// Through this one.
    Manual(Manual),
}

/// The proxy of `settings.ini`.
#[derive(Clone, Debug)]
pub struct Manual {
    is_socks: bool,
    host: String,
    port: u16,
    user: String,
    password: Secret,
}

/// Why a proxy can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// `settings.ini` can't be read or written.
    #[error("could not use {}", .0.display())]
    File(PathBuf, #[source] io::Error),
    /// `settings.ini` says something that has no meaning; the name of the value and what it may be.
    #[error("{} of settings.ini is not valid: {}", .0, .1)]
    Value(&'static str, &'static str),
    /// The system names a proxy of a kind that isn't known here, or in no readable form; the variable's name. Its value may hold
    /// a password.
    #[error(
        "{0} names no proxy that can be used; it takes http://, https://, socks4a://, socks5:// or socks5h:// with [user:password@]host[:port]"
    )]
    System(&'static str),
    /// The proxy could not be reached, wants other credentials, or does not let through.
    #[error(
        "the proxy {proxy} gives no way; where it asks for a user and password, they go into settings.ini, and the client is restarted"
    )]
    NoWay {
        /// Host and port.
        proxy: String,
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Proxy {
    /// Reads `settings.ini` of the state folder, and seals what stands in it in plain text. Without the file, the system's
    /// settings count.
    ///
    /// # Errors
    /// [`ProxyError::File`] and [`ProxyError::Value`]: a client that was told a proxy does not go without it.
    pub fn of(folder: &Path) -> Result<Self, ProxyError> {
        let path = folder.join(FILE);
        let text = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::System),
            Ok(found) if found.len() > FILE_BYTES_MAX => {
                return Err(ProxyError::Value("the size", "at most 64 KiB"));
            }
            _ => {
                fs::read_to_string(&path).map_err(|error| ProxyError::File(path.clone(), error))?
            }
        };
        let mut ini = Ini::new_cs();
        ini.read(text)
            .map_err(|_| ProxyError::Value("the form", "sections with lines of name=value"))?;
        if ini.get("Proxy", "version").as_deref() != Some("1") {
            return Err(ProxyError::Value("[Proxy] version", "1"));
        }
        let is_socks = match ini.get("Proxy\\Manual", "ProxyMethod").as_deref() {
            Some("0") => return Ok(Self::Direct),
            Some("100") => false,
            Some("200") => true,
            _ => {
                return Err(ProxyError::Value(
                    "[Proxy\\Manual] ProxyMethod",
                    "0 (DIRECT), 100 (HTTP CONNECT) or 200 (SOCKS4)",
                ));
            }
        };
        let host = ini
            .get("Proxy\\Manual", "ProxyHost")
            .filter(|host| !host.is_empty() && host.len() <= 255);
        let port = ini
            .get("Proxy\\Manual", "ProxyPort")
            .and_then(|port| port.parse::<u16>().ok())
            .filter(|port| *port > 0);
        let opened = Sealing { folder }.open(&mut ini)?;
        Ok(Self::Manual(Manual {
            is_socks,
            host: host.ok_or(ProxyError::Value(
                "[Proxy\\Manual] ProxyHost",
                "a host name of 1 to 255 characters",
            ))?,
            port: port.ok_or(ProxyError::Value("[Proxy\\Manual] ProxyPort", "1 to 65535"))?,
            user: opened.0,
            password: opened.1,
        }))
    }

    /// A connection to the server, through the proxy where there is one. `local_roots` may end the certificate chain of a proxy
    /// with TLS, beside the system's.
    ///
    /// # Errors
    /// [`ProxyError`]; without a proxy what the system says.
    pub async fn connect(
        &self,
        endpoint: &Endpoint,
        local_roots: &[CertificateDer<'static>],
    ) -> Result<Reached, ConnectError> {
        match self.tunnel(endpoint).map_err(ConnectError::Proxy)? {
            None => Reached::directly(&endpoint.host, endpoint.port)
                .await
                .map_err(ConnectError::Direct),
            Some(tunnel) => tunnel
                .connect(endpoint, local_roots)
                .await
                .map_err(ConnectError::Proxy),
        }
    }

    fn tunnel(&self, endpoint: &Endpoint) -> Result<Option<Tunnel>, ProxyError> {
        match self {
            Self::Direct => Ok(None),
            Self::Manual(manual) => Ok(Some(manual.tunnel())),
            // The system means the way to others.
            Self::System if is_this_machine(&endpoint.host) => Ok(None),
            Self::System => of_system(endpoint),
        }
    }
}

/// The proxy that the system names for this server.
fn of_system(endpoint: &Endpoint) -> Result<Option<Tunnel>, ProxyError> {
    let destination: Uri = format!("https://{endpoint}")
        .parse()
        .map_err(|_| ProxyError::Value("the server", "host:port"))?;
    if let Some(found) = Matcher::from_system().intercept(&destination) {
        let tunnel = Tunnel::of(&found).ok_or(ProxyError::System(SYSTEM_VARIABLES[0][0]))?;
        return Ok(Some(tunnel));
    }
    // It is passed over in silence there, where the variable is nothing it can use; a client that was told a proxy does not go
    // without it.
    let first_set = |names: &[&'static str]| {
        let mut set = names
            .iter()
            .filter_map(|name| Some((*name, std::env::var_os(name)?)));
        set.next().filter(|(_, value)| !value.is_empty())
    };
    let Some((variable, _)) = SYSTEM_VARIABLES.iter().find_map(|names| first_set(names)) else {
        return Ok(None);
    };
    let exceptions = ["NO_PROXY", "no_proxy"];
    let exceptions = exceptions.iter().find_map(|name| std::env::var(name).ok());
    let any = Matcher::builder()
        .all("http://proxy.invalid")
        .no(exceptions.unwrap_or_default())
        .build();
    match any.intercept(&destination) {
        None => Ok(None),
        Some(_) => Err(ProxyError::System(variable)),
    }
}

/// A connection on which the server can be spoken to.
pub struct Reached {
    /// What carries the bytes.
    pub stream: Box<dyn Stream>,
    /// This machine's address on the way.
    pub local: IpAddr,
    /// The address at the other end, which is the proxy's where there is one.
    pub peer: IpAddr,
}

/// Why there is no connection.
#[derive(Debug)]
pub enum ConnectError {
    /// Without a proxy.
    Direct(io::Error),
    /// Through one.
    Proxy(ProxyError),
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

impl Manual {
    fn tunnel(&self) -> Tunnel {
        let method = if self.is_socks {
            Method::Socks4
        } else {
            let authorization = self.authorization();
            Method::HttpConnect {
                tls: false,
                authorization,
            }
        };
        Tunnel {
            method,
            host: self.host.clone(),
            port: self.port,
        }
    }

    /// Basic credentials (RFC 7617), where there are any.
    fn authorization(&self) -> Option<HeaderValue> {
        if self.user.is_empty() {
            return None;
        }
        let pair = format!("{}:{}", self.user, self.password.expose());
        let value = format!("Basic {}", STANDARD.encode(pair));
        let mut value = HeaderValue::try_from(value).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// What keeps the credentials of `settings.ini` from plain sight.
struct Sealing<'f> {
    folder: &'f Path,
}

impl Sealing<'_> {
    /// The user and the password. Where one of them stands in plain text, the file is written anew with both sealed.
    fn open(&self, ini: &mut Ini) -> Result<(String, Secret), ProxyError> {
        let stored = |name: &str| ini.get("Proxy", name).unwrap_or_default();
        let stored = [stored("ProxyUser"), stored("ProxyPass")];
        if stored.iter().all(String::is_empty) {
            return Ok((String::new(), Secret::new("")));
        }
        let cipher = self.cipher()?;
        let [user, password] =
            [&stored[0], &stored[1]].map(|value| match value.strip_prefix(SEALED) {
                Some(sealed) => unseal(&cipher, sealed),
                None => Some(value.clone()),
            });
        let foreign = ProxyError::Value(
            "[Proxy] ProxyUser or ProxyPass",
            "plain text, or what this machine has sealed",
        );
        let (Some(user), Some(password)) = (user, password) else {
            return Err(foreign);
        };
        if stored.iter().any(|value| !value.starts_with(SEALED)) {
            for (name, value) in [("ProxyUser", &user), ("ProxyPass", &password)] {
                let sealed = seal(&cipher, value).map_err(|error| self.error(FILE, error))?;
                ini.set("Proxy", name, Some(sealed));
            }
            self.replace(FILE, ini.writes().as_bytes())?;
        }
        Ok((user, Secret::new(password)))
    }

    /// The key of this machine, made when it is first needed.
    fn cipher(&self) -> Result<ChaCha20Poly1305, ProxyError> {
        let path = self.folder.join(KEY_FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut key = vec![0; 32];
                getrandom::fill(&mut key)
                    .map_err(|error| self.error(KEY_FILE, io::Error::other(error)))?;
                self.replace(KEY_FILE, &key)?;
                key
            }
            Err(error) => return Err(ProxyError::File(path, error)),
        };
        let key: [u8; 32] = bytes
            .try_into()
            .map_err(|_| self.error(KEY_FILE, io::ErrorKind::InvalidData.into()))?;
        Ok(ChaCha20Poly1305::new(&Key::from(key)))
    }

    /// Writes a file beside, readable by the owner alone, and renames it into place.
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), ProxyError> {
        let (path, beside) = (
            self.folder.join(name),
            self.folder.join(format!("{name}.new")),
        );
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options
            .open(&beside)
            .and_then(|mut file| {
                file.write_all(bytes)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&beside, &path))
            .map_err(|error| self.error(name, error))
    }

    fn error(&self, name: &str, error: io::Error) -> ProxyError {
        ProxyError::File(self.folder.join(name), error)
    }
}

fn seal(cipher: &ChaCha20Poly1305, value: &str) -> io::Result<String> {
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce).map_err(io::Error::other)?;
    let sealed = cipher
        .encrypt(&Nonce::from(nonce), value.as_bytes())
        .map_err(|_| io::Error::other("it could not be sealed"))?;
    let whole = [&nonce[..], &sealed].concat();
    Ok(format!("{SEALED}{}", STANDARD.encode(whole)))
}

fn unseal(cipher: &ChaCha20Poly1305, sealed: &str) -> Option<String> {
    let whole = STANDARD.decode(sealed).ok()?;
    let (nonce, sealed) = whole.split_first_chunk::<NONCE_BYTES>()?;
    let opened = cipher.decrypt(&Nonce::from(*nonce), sealed).ok()?;
    String::from_utf8(opened).ok()
}

#[cfg(test)]
mod tests;
