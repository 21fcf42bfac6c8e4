//! A hostile agent: the link over real TLS, byte by byte, by someone who keeps to nothing.
//!
//! It checks no certificate, sends whatever it is given, and tells what came back.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
};
use serde_json::{Value, json};

use crate::program::Site;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A text message's first byte, without [`FINAL`].
pub const TEXT: u8 = 1;
/// A binary message's.
pub const BINARY: u8 = 2;
/// A ping's.
pub const PING: u8 = 9;
/// The bit of a message's last frame.
pub const FINAL: u8 = 0x80;
/// The bit that compression sets.
pub const COMPRESSED: u8 = 0x40;

/// What came from the server.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// A frame.
    Frame(Value),
    /// The connection was closed, with this code; none where it just ended.
    Closed(Option<u16>),
    /// Nothing, for as long as one waited.
    Nothing,
}

/// One connection.
pub struct Wire {
    stream: StreamOwned<ClientConnection, TcpStream>,
    buffer: VecDeque<u8>,
}

impl Wire {
    /// TLS, and nothing said yet.
    ///
    /// # Errors
    /// When the server does not take it.
    pub fn connect(site: &Site) -> Result<Self> {
        let socket = TcpStream::connect(site.https)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from("localhost")?;
        let connection = ClientConnection::new(Arc::new(trusting()?), name)?;
        Ok(Self {
            stream: StreamOwned::new(connection, socket),
            buffer: VecDeque::new(),
        })
    }

    /// A WebSocket at `/link/v1`, with the key of RFC 6455's example.
    ///
    /// # Errors
    /// When the server does not upgrade.
    pub fn upgrade(site: &Site) -> Result<Self> {
        let (wire, head) = Self::ask_to_upgrade(site, "")?;
        ensure!(
            head.starts_with("http/1.1 101") && head.contains("s3pplmbitxaq9kygzzhzrbk+xoo="),
            "{head}"
        );
        Ok(wire)
    }

    /// Asks for a WebSocket with further header lines, each with its line end; answers what the server said, in small letters.
    ///
    /// # Errors
    /// When nothing comes.
    pub fn ask_to_upgrade(site: &Site, headers: &str) -> Result<(Self, String)> {
        let mut wire = Self::connect(site)?;
        let ask = format!(
            "GET /link/v1 HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n",
            site.https
        );
        wire.send(ask.as_bytes())?;
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            wire.stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).to_lowercase();
        Ok((wire, head))
    }

    /// Registers with a key; answers the link, and the `welcome` or `refused` that came.
    ///
    /// # Errors
    /// When neither comes.
    pub fn register(
        site: &Site,
        key: &str,
        register: &Value,
        facts: &Value,
    ) -> Result<(Self, Value)> {
        let mut wire = Self::upgrade(site)?;
        wire.say(&register_hello(key, register, facts)?)?;
        let answer = wire.next_frame()?;
        Ok((wire, answer))
    }

    /// Shows an identity; answers the link, and what came.
    ///
    /// # Errors
    /// When nothing comes.
    pub fn resume(site: &Site, client: u64, token: &str, facts: &Value) -> Result<(Self, Value)> {
        let mut wire = Self::upgrade(site)?;
        wire.say(&hello(
            json!({"resume": {"client_id": client, "token": token}}),
            facts,
        ))?;
        let answer = wire.next_frame()?;
        Ok((wire, answer))
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the server takes no more.
    pub fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Sends a frame as it has to be.
    ///
    /// # Errors
    /// When the server takes no more.
    pub fn say(&mut self, value: &Value) -> Result<()> {
        Ok(self.send(&frame(FINAL | TEXT, value.to_string().as_bytes()))?)
    }

    /// What comes next, within `patience`. Pings of WebSocket itself are passed by.
    ///
    /// # Errors
    /// When the server breaks WebSocket.
    pub fn hear(&mut self, patience: Duration) -> Result<Heard> {
        let until = Instant::now() + patience;
        loop {
            while let Some((kind, payload)) = self.take_frame()? {
                match kind {
                    TEXT => return Ok(Heard::Frame(serde_json::from_slice(&payload)?)),
                    8 => {
                        let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                        return Ok(Heard::Closed(code));
                    }
                    _ => {}
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Heard::Nothing);
            }
            self.stream.sock.set_read_timeout(Some(left))?;
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Ok(Heard::Closed(None)),
                Ok(count) => self.buffer.extend(&chunk[..count]),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return Ok(Heard::Closed(None)),
            }
        }
    }

    /// The next frame of the protocol; pings are answered and passed by.
    ///
    /// # Errors
    /// When the connection ends or nothing comes.
    pub fn next_frame(&mut self) -> Result<Value> {
        loop {
            match self.hear(PATIENCE)? {
                Heard::Frame(frame) if frame["type"] == "ping" => {
                    self.say(&json!({"type": "pong", "nonce": frame["nonce"]}))?;
                }
                Heard::Frame(frame) => return Ok(frame),
                other => bail!("{other:?} instead of a frame"),
            }
        }
    }

    /// The code that the connection is closed with, whatever comes before; none where it just ends.
    ///
    /// # Errors
    /// When it is not closed.
    pub fn closed(&mut self) -> Result<Option<u16>> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Heard::Closed(code) = self.hear(PATIENCE)? {
                return Ok(code);
            }
        }
        bail!("it is not closed")
    }

    /// One whole frame of what came, with its kind.
    fn take_frame(&mut self) -> Result<Option<(u8, Vec<u8>)>> {
        let bytes = self.buffer.make_contiguous();
        let [first, second, rest @ ..] = &*bytes else {
            return Ok(None);
        };
        ensure!(second & 0x80 == 0, "a server masks nothing");
        ensure!(first & 0x70 == 0, "a server agrees to no extension");
        let (length, head) = match second {
            126 => match rest.first_chunk() {
                Some(length) => (usize::from(u16::from_be_bytes(*length)), 4),
                None => return Ok(None),
            },
            127 => bail!("a frame over 65,535 bytes"),
            short => (usize::from(*short), 2),
        };
        if bytes.len() < head + length {
            return Ok(None);
        }
        let kind = first & 0x0f;
        let payload = self.buffer.drain(..head + length).skip(head).collect();
        Ok(Some((kind, payload)))
    }
}

/// A frame of a client, masked with zeros.
#[must_use]
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = head(first, payload.len() as u64);
    frame.extend(payload);
    frame
}

/// The head of a frame of a client that says it has so many bytes.
#[must_use]
pub fn head(first: u8, length: u64) -> Vec<u8> {
    let mut head = vec![first];
    match length {
        0..126 => head.push(0x80 | length as u8),
        126..=0xffff => {
            head.push(0x80 | 126);
            head.extend((length as u16).to_be_bytes());
        }
        _ => {
            head.push(0x80 | 127);
            head.extend(length.to_be_bytes());
        }
    }
    head.extend([0; 4]);
    head
}

/// A `hello` with an identity and facts.
#[must_use]
pub fn hello(identity: Value, facts: &Value) -> Value {
    json!({
        "type": "hello",
        "protocols": [1],
        "agent_version": "hostile-1",
        "boot_id": format!("{:032x}", uuid::Uuid::new_v4().as_u128()),
        "identity": identity,
        "facts": facts,
    })
}

/// A `hello` that registers; `more` are members beside the installer and its secret, such as overrides.
///
/// # Errors
/// When the key can't be read.
pub fn register_hello(key: &str, more: &Value, facts: &Value) -> Result<Value> {
    let key: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(key)?)?;
    let mut register = json!({
        "installer_id": key["installer"],
        "secret": key["secret"],
        "attempt": format!("{:032x}", uuid::Uuid::new_v4().as_u128()),
    });
    for (name, value) in more.as_object().context("members")? {
        register[name] = value.clone();
    }
    Ok(hello(json!({"register": register}), facts))
}

/// TLS that believes everybody.
fn trusting() -> Result<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        .with_no_client_auth();
    Ok(config)
}

/// An attacker does not care whom it attacks.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Waits on a thread of one's own.
#[allow(
    clippy::disallowed_methods,
    reason = "an attacker is a thread of its own and blocks nobody's runtime"
)]
pub fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// Resident memory of a process, in bytes.
///
/// # Errors
/// When the system does not tell.
pub fn memory_of(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS")?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes * 1024)
}
