//! TCP, TLS and WebSocket, up to a connection that can carry frames.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use link_protocol::AnchorList;
use link_protocol::limits::FRAME_BYTES_MAX;
use rustls::CertificateError;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Error as SocketError;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::endpoint::Endpoint;
use crate::proxy::{ConnectError, Proxy, ProxyError, Reached};
use crate::trust;

/// Anything that carries bytes both ways.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A WebSocket to the server.
pub type Socket = WebSocketStream<Box<dyn Stream>>;

/// A connection that can carry frames.
pub struct Dialed {
    /// The WebSocket.
    pub socket: Socket,
    /// This machine's address on the way to the server, if it is known.
    pub local_ip: Option<IpAddr>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The host has no address, nobody listens, or the network failed.
    #[error("could not reach the server")]
    Unreachable(#[source] io::Error),
    /// An address without TLS turned out not to be this machine.
    #[error("the host resolves to {0}, which is not loopback, and TLS is off")]
    NotLoopback(IpAddr),
    /// TLS failed; most often the server is not trusted.
    #[error("could not agree on TLS, or the server is not trusted")]
    Tls(#[source] io::Error),
    /// The host is no name a certificate could be for.
    #[error("the host is not a name that a certificate can hold")]
    Name,
    /// TLS could not be set up at all.
    #[error("could not set TLS up")]
    TlsSetup(#[source] rustls::Error),
    /// The server answered the upgrade with something else.
    #[error("the server answered the upgrade with HTTP status {status}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// What `Retry-After` asked for, in whole seconds.
        retry_after: Option<Duration>,
    },
    /// The upgrade failed.
    #[error("the WebSocket handshake failed")]
    Upgrade(#[source] Box<SocketError>),
    /// The proxy gives no way to the server.
    #[error("could not go through the proxy")]
    Proxy(#[source] ProxyError),
    /// All of it took too long.
    #[error("connecting took too long")]
    TimedOut,
}

impl DialError {
    /// How long the server asks to stay away.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the server was there and showed a certificate that is not trusted, for another reason than the time.
    #[must_use]
    pub fn is_of_trust(&self) -> bool {
        let Self::Tls(error) = self else {
            return false;
        };
        let cause = error
            .get_ref()
            .and_then(|cause| cause.downcast_ref::<rustls::Error>());
        matches!(cause, Some(rustls::Error::InvalidCertificate(_))) && !self.is_of_the_clock()
    }

    /// Whether the server's certificate is not valid yet or not any more: that may as well be this machine's clock.
    #[must_use]
    pub fn is_of_the_clock(&self) -> bool {
        let Self::Tls(error) = self else {
            return false;
        };
        let cause = error
            .get_ref()
            .and_then(|cause| cause.downcast_ref::<rustls::Error>());
        matches!(
            cause,
            Some(rustls::Error::InvalidCertificate(
                CertificateError::Expired
                    | CertificateError::ExpiredContext { .. }
                    | CertificateError::NotValidYet
                    | CertificateError::NotValidYetContext { .. }
            ))
        )
    }
}

/// Makes connections. The agent's own is [`TlsDial`]; tests bring theirs.
pub trait Dial: Send + Sync {
    /// Connects to `endpoint`, trusting `anchors`.
    ///
    /// # Errors
    /// [`DialError`]. The caller bounds the time.
    fn dial(
        &self,
        endpoint: &Endpoint,
        anchors: &AnchorList,
    ) -> impl Future<Output = Result<Dialed, DialError>> + Send;
}

impl<D: Dial> Dial for Arc<D> {
    async fn dial(&self, endpoint: &Endpoint, anchors: &AnchorList) -> Result<Dialed, DialError> {
        D::dial(self, endpoint, anchors).await
    }
}

/// Connects over TCP and TLS.
#[derive(Clone, Debug, Default)]
pub struct TlsDial {
    local_roots: Vec<CertificateDer<'static>>,
    proxy: Proxy,
}

impl TlsDial {
    /// Trusts the certificates of a PEM file on top of the anchors.
    ///
    /// # Errors
    /// If the file can't be read or holds no certificate.
    pub fn trusting_file(path: &Path) -> io::Result<Self> {
        let certificates = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if certificates.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it holds no certificate",
            ));
        }
        Ok(Self {
            local_roots: certificates,
            proxy: Proxy::default(),
        })
    }

    /// The same through a proxy; a server without TLS, which is this machine, is reached without one.
    #[must_use]
    pub fn through(mut self, proxy: Proxy) -> Self {
        self.proxy = proxy;
        self
    }

    async fn reach(&self, endpoint: &Endpoint) -> Result<Reached, DialError> {
        let proxy = if endpoint.tls {
            &self.proxy
        } else {
            &Proxy::Direct
        };
        let reached = proxy.connect(endpoint, &self.local_roots).await;
        reached.map_err(|error| match error {
            ConnectError::Direct(error) => DialError::Unreachable(error),
            ConnectError::Proxy(error) => DialError::Proxy(error),
        })
    }

    async fn secure(
        &self,
        endpoint: &Endpoint,
        anchors: &AnchorList,
        stream: Box<dyn Stream>,
    ) -> Result<Box<dyn Stream>, DialError> {
        let name = ServerName::try_from(endpoint.host.clone()).map_err(|_| DialError::Name)?;
        let roots = trust::roots(&self.local_roots)
            .await
            .map_err(DialError::Tls)?;
        let config = trust::client_config(anchors, roots).map_err(DialError::TlsSetup)?;
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await;
        Ok(Box::new(stream.map_err(DialError::Tls)?))
    }
}

impl Dial for TlsDial {
    async fn dial(&self, endpoint: &Endpoint, anchors: &AnchorList) -> Result<Dialed, DialError> {
        let Reached {
            stream,
            local,
            peer,
        } = self.reach(endpoint).await?;
        let stream = if endpoint.tls {
            self.secure(endpoint, anchors, stream).await?
        } else if peer.is_loopback() {
            stream
        } else {
            // The name may say localhost and mean another machine.
            return Err(DialError::NotLoopback(peer));
        };
        Ok(Dialed {
            socket: upgrade(endpoint, stream).await?,
            local_ip: Some(local),
        })
    }
}

/// Makes a byte stream a WebSocket that holds to the protocol's frame length.
///
/// # Errors
/// [`DialError::Status`] and [`DialError::Upgrade`].
pub async fn upgrade(endpoint: &Endpoint, stream: Box<dyn Stream>) -> Result<Socket, DialError> {
    let limits = WebSocketConfig::default()
        .max_message_size(Some(FRAME_BYTES_MAX))
        .max_frame_size(Some(FRAME_BYTES_MAX));
    match client_async_with_config(endpoint.link_url(), stream, Some(limits)).await {
        Ok((socket, _)) => Ok(socket),
        Err(SocketError::Http(answer)) => {
            let retry_after = answer
                .headers()
                .get("retry-after")
                .and_then(|value| value.to_str().ok());
            Err(DialError::Status {
                status: answer.status().as_u16(),
                retry_after: retry_after
                    .and_then(|text| text.parse().ok())
                    .map(Duration::from_secs),
            })
        }
        Err(error) => Err(DialError::Upgrade(Box::new(error))),
    }
}
