//! One mail to one mail server: resolved once, encrypted as the settings say, every step and every answer bounded.
//!
//! The upgrade by STARTTLS is spoken here and not by lettre: what a stranger on the way puts behind the server's "220" in
//! clear is an error here, and never read as an answer within the encrypted part.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use domain::site::mail_settings::MailSettings;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::extension::ClientId;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use secrets::SecretText;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::letter::Letter;

/// How long each step may take. RFC 5321 would allow minutes; a mail that waits costs nothing, it is tried again.
#[derive(Clone, Debug)]
pub struct Patience {
    /// Finding the server's addresses, and connecting to each.
    pub connecting: Duration,
    /// The handshake of TLS.
    pub encrypting: Duration,
    /// Greeting, signing in, leaving.
    pub talking: Duration,
    /// Handing over the mail, with its envelope.
    pub handing_over: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connecting: Duration::from_secs(10),
            encrypting: Duration::from_secs(20),
            talking: Duration::from_secs(30),
            handing_over: Duration::from_secs(60),
        }
    }
}

/// Addresses of a server that are tried.
const ADDRESSES_MAX: usize = 4;
/// All that a server may say in one conversation, encryption and its certificates included. Unit: bytes.
const SAID_BYTES_MAX: u64 = 256 * 1024;
/// The longest answer before the connection is encrypted. Unit: bytes.
const ANSWER_BYTES_MAX: usize = 8 * 1024;
/// What lettre reads as the greeting once STARTTLS is done: the server greeted before.
const GREETED: &[u8] = b"220 encrypted\r\n";

/// Why a mail was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Later it may be.
    Deferred(String),
    /// As things are it never will be.
    Refused(String),
}

/// The server and what is shown to it.
pub(super) struct Server<'s> {
    pub(super) settings: &'s MailSettings,
    pub(super) password: Option<SecretText>,
}

/// Hands `letter` to the server. When it says yes, it has the mail.
pub(super) async fn hand_over(
    server: &Server<'_>,
    letter: &Letter,
    patience: &Patience,
) -> Result<(), Trouble> {
    let settings = server.settings;
    let hello = ClientId::Domain(letter.sender_domain.clone());
    let tcp = connect(settings, patience).await?;
    let stream = encrypt(settings, tcp, &hello, patience).await?;
    let greeting = AsyncSmtpConnection::connect_with_transport(Box::new(stream), &hello);
    let mut connection = step("greeting", patience.talking, greeting).await?;
    if !settings.username.is_empty() {
        let password = server.password.as_ref().map(SecretText::expose);
        let credentials = Credentials::new(
            settings.username.clone(),
            password.unwrap_or_default().to_owned(),
        );
        let signing_in = connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials);
        step("signing in", patience.talking, signing_in).await?;
    }
    let handing_over = connection.send(&letter.envelope, &letter.bytes);
    step("handing over the mail", patience.handing_over, handing_over).await?;
    // It has the mail; how it takes its leave changes nothing.
    if let Ok(Err(error)) = timeout(patience.talking, connection.quit()).await {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "a mail server took no leave"
        );
    }
    Ok(())
}

async fn step<T>(
    what: &str,
    within: Duration,
    work: impl Future<Output = Result<T, SmtpError>>,
) -> Result<T, Trouble> {
    match timeout(within, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(trouble(what, &error)),
        Err(_) => Err(too_slow(what, within)),
    }
}

/// What the server says with a code of the 500s, and what it can't do, stays; all else may pass.
fn trouble(what: &str, error: &SmtpError) -> Trouble {
    let words = format!("The mail server failed at {what}: {}", in_full(error));
    if error.is_permanent() || error.is_client() {
        Trouble::Refused(words)
    } else {
        Trouble::Deferred(words)
    }
}

fn too_slow(what: &str, within: Duration) -> Trouble {
    Trouble::Deferred(format!(
        "The mail server took longer than {} s at {what}.",
        within.as_secs_f32()
    ))
}

fn in_full(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_words = cause.to_string();
        if !words.contains(&cause_words) {
            words = format!("{words}: {cause_words}");
        }
        source = cause.source();
    }
    words
}

// --- connecting ---

async fn connect(settings: &MailSettings, patience: &Patience) -> Result<TcpStream, Trouble> {
    let host = settings.host.as_str();
    let deferred = |words: String| Trouble::Deferred(words);
    let resolving = tokio::net::lookup_host((host, settings.port));
    let mut addresses: Vec<SocketAddr> = timeout(patience.connecting, resolving)
        .await
        .map_err(|_| too_slow("finding its address", patience.connecting))?
        .map_err(|error| deferred(format!("The mail server {host} was not found: {error}")))?
        .collect();
    addresses.dedup();
    addresses.truncate(ADDRESSES_MAX);
    let mut last = deferred(format!("The mail server {host} has no address."));
    for address in addresses {
        match timeout(patience.connecting, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => {
                last = deferred(format!(
                    "The mail server {host} at {address} could not be reached: {error}"
                ));
            }
            Err(_) => last = too_slow("connecting", patience.connecting),
        }
    }
    Err(last)
}

// --- encryption ---

async fn encrypt(
    settings: &MailSettings,
    tcp: TcpStream,
    hello: &ClientId,
    patience: &Patience,
) -> Result<Conversation, Trouble> {
    let peer = tcp
        .peer_addr()
        .map_err(|error| Trouble::Deferred(format!("The mail server went away: {error}")))?;
    let mut bounded = Bounded {
        inner: tcp,
        left: SAID_BYTES_MAX,
    };
    let (channel, greeting) = match settings.encryption.as_str() {
        "none" => (Channel::Plain(bounded), &[][..]),
        "tls" => (shake_hands(settings, bounded, patience).await?, &[][..]),
        _ => {
            let upgrade = ask_to_upgrade(&mut bounded, hello);
            timeout(patience.talking, upgrade)
                .await
                .map_err(|_| too_slow("STARTTLS", patience.talking))??;
            (shake_hands(settings, bounded, patience).await?, GREETED)
        }
    };
    Ok(Conversation {
        greeting,
        channel,
        peer,
    })
}

/// Greeting, EHLO and STARTTLS in clear.
async fn ask_to_upgrade(stream: &mut Bounded, hello: &ClientId) -> Result<(), Trouble> {
    answer(stream, "the greeting").await?;
    say(stream, &format!("EHLO {hello}\r\n")).await?;
    let offers = answer(stream, "EHLO").await?;
    let offers_upgrade = offers.lines().any(|line| {
        line.get(4..)
            .is_some_and(|offer| offer.trim().eq_ignore_ascii_case("STARTTLS"))
    });
    if !offers_upgrade {
        return Err(Trouble::Refused(
            "The mail server does not offer STARTTLS.".to_owned(),
        ));
    }
    say(stream, "STARTTLS\r\n").await?;
    answer(stream, "STARTTLS").await?;
    Ok(())
}

async fn say(stream: &mut Bounded, words: &str) -> Result<(), Trouble> {
    stream.write_all(words.as_bytes()).await.map_err(gone)
}

fn gone(error: io::Error) -> Trouble {
    Trouble::Deferred(format!("The mail server went away: {error}"))
}

/// Reads one whole answer and nothing behind it: there is nothing that the server could have to say yet.
async fn answer(stream: &mut Bounded, to: &str) -> Result<String, Trouble> {
    let mut said: Vec<u8> = Vec::new();
    loop {
        let mut piece = [0; 1024];
        let count = stream.read(&mut piece).await.map_err(gone)?;
        if count == 0 {
            return Err(Trouble::Deferred(format!(
                "The mail server went away at {to}."
            )));
        }
        said.extend_from_slice(&piece[..count]);
        if said.len() > ANSWER_BYTES_MAX {
            return Err(Trouble::Deferred(format!(
                "The mail server's answer to {to} is too long."
            )));
        }
        let Some(end) = end_of_answer(&said) else {
            continue;
        };
        if end < said.len() {
            return Err(Trouble::Deferred(format!(
                "The mail server said more than it was asked at {to}."
            )));
        }
        let words = String::from_utf8_lossy(&said).into_owned();
        return match said.first() {
            Some(b'2') => Ok(words),
            Some(b'5') => Err(Trouble::Refused(format!(
                "The mail server refused {to}: {}",
                words.trim()
            ))),
            _ => Err(Trouble::Deferred(format!(
                "The mail server put {to} off: {}",
                words.trim()
            ))),
        };
    }
}

/// Where the first answer ends: behind the first line whose code is followed by a blank.
fn end_of_answer(said: &[u8]) -> Option<usize> {
    let mut start = 0;
    while let Some(length) = said[start..].iter().position(|byte| *byte == b'\n') {
        let line = &said[start..start + length];
        start += length + 1;
        if line.get(3) != Some(&b'-') {
            return Some(start);
        }
    }
    None
}

async fn shake_hands(
    settings: &MailSettings,
    stream: Bounded,
    patience: &Patience,
) -> Result<Channel, Trouble> {
    let config = client_config(&settings.certificate).await?;
    let name = ServerName::try_from(settings.host.clone()).map_err(|_| {
        Trouble::Refused(format!(
            "{:?} is not a name that a certificate can have.",
            settings.host
        ))
    })?;
    let handshake = TlsConnector::from(config).connect(name, stream);
    match timeout(patience.encrypting, handshake).await {
        Ok(Ok(stream)) => Ok(Channel::Encrypted(Box::new(stream))),
        Ok(Err(error)) => Err(Trouble::Deferred(format!(
            "The connection to the mail server could not be encrypted: {error}"
        ))),
        Err(_) => Err(too_slow("encrypting", patience.encrypting)),
    }
}

/// Certificates are always checked: against those of the settings alone, or the system's.
async fn client_config(certificates: &str) -> Result<Arc<ClientConfig>, Trouble> {
    let roots = if certificates.trim().is_empty() {
        system_roots().await
    } else {
        Arc::new(roots_of(certificates).ok_or_else(|| {
            Trouble::Refused("The certificates of the mail settings can't be read.".to_owned())
        })?)
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Trouble::Refused(format!("TLS can't be used: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The certificates of a PEM text as those that vouch; none where it holds none, or one that can't be read.
#[must_use]
pub fn roots_of(certificates: &str) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    // A byte order mark would hide the first certificate.
    let certificates = certificates.trim_start_matches('\u{feff}');
    for certificate in CertificateDer::pem_slice_iter(certificates.as_bytes()) {
        roots.add(certificate.ok()?).ok()?;
    }
    (!roots.is_empty()).then_some(roots)
}

/// Read from the disk once.
async fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    if let Some(roots) = ROOTS.get() {
        return Arc::clone(roots);
    }
    let read = tokio::task::spawn_blocking(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in found.errors {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a certificate of the system can't be read"
            );
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        Arc::new(roots)
    });
    match read.await {
        Ok(roots) => Arc::clone(ROOTS.get_or_init(|| roots)),
        // Without any, nobody is trusted, and the next mail looks again.
        Err(error) => {
            tracing::error!(%error, "reading the certificates of the system failed");
            Arc::new(RootCertStore::empty())
        }
    }
}

// --- streams ---

/// Ends when the far side has said more than it may.
#[derive(Debug)]
struct Bounded {
    inner: TcpStream,
    left: u64,
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::Error::other("it says more than a mail server may")));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        let count = u64::try_from(buffer.filled().len() - before).unwrap_or(u64::MAX);
        self.left = self.left.saturating_sub(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[derive(Debug)]
enum Channel {
    Plain(Bounded),
    Encrypted(Box<TlsStream<Bounded>>),
}

/// What lettre speaks over.
struct Conversation {
    /// What is read before anything the channel brings.
    greeting: &'static [u8],
    channel: Channel,
    peer: SocketAddr,
}

impl fmt::Debug for Conversation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Conversation")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

impl AsyncTokioStream for Conversation {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

impl AsyncRead for Conversation {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.greeting.is_empty() {
            let count = self.greeting.len().min(buffer.remaining());
            let (now, later) = self.greeting.split_at(count);
            buffer.put_slice(now);
            self.greeting = later;
            return Poll::Ready(Ok(()));
        }
        match &mut self.channel {
            Channel::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Channel::Encrypted(stream) => Pin::new(stream.as_mut()).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Conversation {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.channel {
            Channel::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Channel::Encrypted(stream) => Pin::new(stream.as_mut()).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.channel {
            Channel::Plain(stream) => Pin::new(stream).poll_flush(context),
            Channel::Encrypted(stream) => Pin::new(stream.as_mut()).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.channel {
            Channel::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Channel::Encrypted(stream) => Pin::new(stream.as_mut()).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_with_its_last_line() {
        for (said, end) in [
            ("", None),
            ("220 mail", None),
            ("220 mail\r\n", Some(10)),
            ("250-mail\r\n", None),
            ("250-mail\r\n250 STARTTLS\r\n", Some(24)),
            ("220 go\r\n250 injected\r\n", Some(8)),
            ("22\n", Some(3)),
        ] {
            assert_eq!(end_of_answer(said.as_bytes()), end, "{said:?}");
        }
    }

    #[test]
    fn certificates_are_read_or_refused() {
        assert!(roots_of("").is_none());
        assert!(
            roots_of("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").is_none()
        );
    }
}
