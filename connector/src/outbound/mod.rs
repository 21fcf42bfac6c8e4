//! The one client for HTTP that the site sends on its own account: to ticket systems, and whatever else an administrator names.
//!
//! What is named from outside is not trusted to be outside (threats.md, class U): the host is resolved once, every address is
//! looked at, the connection goes to an address that was looked at, no redirect is followed, no proxy of the environment is
//! used, nothing is sent twice, and of the answer only its status is read.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Certificate, Client, ClientBuilder, Url, redirect, retry};
use tokio::time::timeout;

mod egress;

pub use egress::Networks;

/// How a host name becomes addresses.
pub trait Resolve: Send + Sync {
    /// The addresses of `host`, each with `port`.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a>;
}

/// The addresses of a host, once they are known.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>>;

/// The operating system's own resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

/// Who vouches for an HTTPS server (TICK-08).
#[derive(Clone, Debug)]
pub enum Trust {
    /// The authorities of the operating system.
    System,
    /// These alone.
    Anchors(Vec<Certificate>),
    /// Nobody: any certificate will do.
    Unchecked,
}

/// The certificates of a PEM text can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text does not hold certificates in PEM that can be used")]
pub struct BadCertificates;

/// Reads certificates in PEM.
///
/// # Errors
/// Where there is none, or one of them is none.
pub fn read_certificates(pem: &str) -> Result<Vec<Certificate>, BadCertificates> {
    // A byte order mark would hide the first certificate.
    let pem = pem.trim_start_matches('\u{feff}');
    let certificates = Certificate::from_pem_bundle(pem.as_bytes()).map_err(|_| BadCertificates)?;
    if certificates.is_empty() {
        return Err(BadCertificates);
    }
    // Only a client that is built with them says whether they are certificates inside.
    bare_client()
        .tls_certs_only(certificates.clone())
        .build()
        .map_err(|_| BadCertificates)?;
    Ok(certificates)
}

/// One POST.
pub struct Post {
    /// Where to.
    pub url: String,
    /// The media type of the body.
    pub content_type: &'static str,
    /// The body. It may hold what must not be logged.
    pub body: Vec<u8>,
    /// How long it may all take, from the question for the address to the status.
    pub within: Duration,
    /// Who vouches for an HTTPS server.
    pub trust: Trust,
    /// Networks that are allowed beside the public internet.
    pub networks: Networks,
}

impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Post")
            .field("url", &self.url)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Why a request did not get an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// The URL can't be read, or is not of HTTP.
    #[error("the URL can't be used")]
    BadUrl,
    /// The host has no address.
    #[error("the host was not resolved")]
    NotResolved,
    /// The host's address is one that nothing is sent to.
    #[error("nothing is sent to {0}")]
    NotAllowed(IpAddr),
    /// The server's certificate is not good, or TLS failed otherwise.
    #[error("{0}")]
    Tls(String),
    /// It took too long.
    #[error("it took too long")]
    TimedOut,
    /// Nobody listens there, or the connection broke.
    #[error("{0}")]
    Unreachable(String),
    /// The client could not be made: the certificates can't be used.
    #[error("the client could not be made")]
    Client,
}

/// Sends requests. Clones share the resolver.
#[derive(Clone)]
pub struct Outbound {
    resolver: Arc<dyn Resolve>,
}

impl Default for Outbound {
    fn default() -> Self {
        Self::with_resolver(Arc::new(SystemResolver))
    }
}

impl Outbound {
    /// One that resolves names in its own way.
    #[must_use]
    pub fn with_resolver(resolver: Arc<dyn Resolve>) -> Self {
        Self { resolver }
    }

    /// Sends one POST and answers with the status of what came back. The body that came back is not read.
    ///
    /// # Errors
    /// See [`OutboundError`]. A status that says no is an answer.
    pub async fn post(&self, post: Post) -> Result<u16, OutboundError> {
        let within = post.within;
        timeout(within, self.send(post))
            .await
            .unwrap_or(Err(OutboundError::TimedOut))
    }

    async fn send(&self, post: Post) -> Result<u16, OutboundError> {
        let url = Url::parse(&post.url).map_err(|_| OutboundError::BadUrl)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(OutboundError::BadUrl);
        }
        let host = url.host_str().ok_or(OutboundError::BadUrl)?;
        let port = url.port_or_known_default().ok_or(OutboundError::BadUrl)?;
        let addresses = self.addresses(host, port, &post.networks).await?;
        let client = match post.trust {
            Trust::System => bare_client(),
            Trust::Anchors(anchors) => bare_client().tls_certs_only(anchors),
            Trust::Unchecked => bare_client().tls_danger_accept_invalid_certs(true),
        }
        .resolve_to_addrs(host, &addresses)
        .build()
        .map_err(|_| OutboundError::Client)?;
        let sent = client
            .post(url)
            .header(CONTENT_TYPE, HeaderValue::from_static(post.content_type))
            .body(post.body)
            .send()
            .await;
        match sent {
            Ok(response) => Ok(response.status().as_u16()),
            Err(error) => Err(classify(&error)),
        }
    }

    /// The addresses of the host that something may be sent to: asked for once, and used as they are.
    ///
    /// # Errors
    /// Where the name can't be resolved, or none of its addresses is allowed.
    pub(crate) async fn addresses(
        &self,
        host: &str,
        port: u16,
        networks: &Networks,
    ) -> Result<Vec<SocketAddr>, OutboundError> {
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        let found = match literal.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => self
                .resolver
                .resolve(host, port)
                .await
                .map_err(|_| OutboundError::NotResolved)?,
        };
        let first = found.first().ok_or(OutboundError::NotResolved)?.ip();
        let allowed: Vec<SocketAddr> = found
            .into_iter()
            .filter(|address| networks.admit(address.ip()))
            .collect();
        if allowed.is_empty() {
            Err(OutboundError::NotAllowed(first.to_canonical()))
        } else {
            Ok(allowed)
        }
    }
}

/// A client that goes where it is sent and nowhere else.
fn bare_client() -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("Gatebook/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .no_proxy()
        .referer(false)
        .pool_max_idle_per_host(0)
}

fn classify(error: &reqwest::Error) -> OutboundError {
    let mut innermost = None;
    let mut cause = error.source();
    while let Some(current) = cause {
        if let Some(tls) = current.downcast_ref::<rustls::Error>() {
            return OutboundError::Tls(tls.to_string());
        }
        innermost = Some(current);
        cause = inside(current);
    }
    if error.is_timeout() {
        return OutboundError::TimedOut;
    }
    // Without the URL, which reqwest puts into its own words.
    OutboundError::Unreachable(
        innermost.map_or_else(|| "no answer".to_owned(), ToString::to_string),
    )
}

/// The error inside of an error. An `io::Error` names as its source not what it holds but the source of that.
fn inside<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    match error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        Some(held) => Some(held),
        None => error.source(),
    }
}
