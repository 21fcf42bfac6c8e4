//! TCP, TLS and WebSocket, up to a connection that can carry frames; and less of it for those that stop half way.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use link_protocol::KeyInfo;
use link_protocol::limits::{FRAME_BYTES_MAX, LINK_PATH};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Error as SocketError;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use url::{Host, Url};

use crate::options::Options;
use crate::trust;

/// How long TCP, TLS and the upgrade may take together.
const DIALED_WITHIN: Duration = Duration::from_secs(30);

/// Anything that carries bytes both ways.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A WebSocket to the server.
pub type Socket = WebSocketStream<Box<dyn Stream>>;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Nobody listens, or the network failed.
    #[error("could not reach the server")]
    Unreachable(#[source] io::Error),
    /// TLS failed.
    #[error("could not agree on TLS, or the server is not trusted")]
    Tls(#[source] io::Error),
    /// The server answered the upgrade with something else.
    #[error("the server answered the upgrade with HTTP status {status}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// What `Retry-After` asked for.
        retry_after: Option<Duration>,
    },
    /// The upgrade failed.
    #[error("the WebSocket handshake failed")]
    Upgrade(#[source] Box<SocketError>),
    /// All of it took too long.
    #[error("connecting took too long")]
    TimedOut,
}

impl DialError {
    /// A name to count it by.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Tls(_) => "tls",
            Self::Status { .. } => "status",
            Self::Upgrade(_) => "upgrade",
            Self::TimedOut => "timed_out",
        }
    }

    /// How long the server asks to stay away.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Makes the connections of all machines of a process.
pub struct Dialer {
    address: SocketAddr,
    name: ServerName<'static>,
    link_url: String,
    tls: Option<TlsConnector>,
    from: Option<Ipv4Addr>,
    sources: u32,
}

impl Dialer {
    /// For the server of the options, or else the first of the key.
    ///
    /// # Errors
    /// The address can't be used.
    pub async fn new(options: &Options, key: &KeyInfo) -> Result<Self> {
        let url = options
            .server
            .as_deref()
            .or(key.urls.first().map(String::as_str));
        let url = Url::parse(url.context("no address of a server")?)
            .context("reading the address of the server")?;
        let host = url.host().context("the server's address has no host")?;
        let name = match &host {
            Host::Domain(name) => (*name).to_owned(),
            Host::Ipv4(ip) => ip.to_string(),
            Host::Ipv6(ip) => ip.to_string(),
        };
        let port = url.port_or_known_default().context("no port")?;
        let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), port))
            .await
            .context("looking for the server's address")?
            .collect();
        let address = found
            .into_iter()
            .find(|address| options.from.is_none() || address.is_ipv4())
            .context("the server's name has no address")?;
        let tls = match url.scheme() {
            "https" => {
                let config: ClientConfig = trust::client_config(&key.anchors)?;
                Some(TlsConnector::from(Arc::new(config)))
            }
            "http" => {
                ensure!(address.ip().is_loopback(), "without TLS only to loopback");
                None
            }
            other => bail!("the server's address begins with {other}: https is expected"),
        };
        let scheme = if tls.is_some() { "wss" } else { "ws" };
        Ok(Self {
            address,
            link_url: format!("{scheme}://{host}:{port}{LINK_PATH}"),
            name: ServerName::try_from(name).context("the host is no name of a certificate")?,
            tls,
            from: options.from,
            sources: options.sources,
        })
    }

    /// Connects for the machine `number`.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn dial(&self, number: u32) -> Result<Socket, DialError> {
        let dial = async {
            self.upgrade(self.secure(self.reach(number).await?).await?)
                .await
        };
        tokio::time::timeout(DIALED_WITHIN, dial)
            .await
            .unwrap_or(Err(DialError::TimedOut))
    }

    /// TCP alone.
    ///
    /// # Errors
    /// [`DialError::Unreachable`].
    pub async fn reach(&self, number: u32) -> Result<TcpStream, DialError> {
        let connect = async {
            let stream = match self.from {
                None => TcpStream::connect(self.address).await?,
                Some(first) => {
                    let socket = TcpSocket::new_v4()?;
                    let source = Ipv4Addr::from(u32::from(first) + number % self.sources);
                    socket.bind(SocketAddr::from((IpAddr::V4(source), 0)))?;
                    socket.connect(self.address).await?
                }
            };
            // Frames are small and someone waits for the answer.
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        connect.await.map_err(DialError::Unreachable)
    }

    /// TLS on top, where the server's address asks for it.
    ///
    /// # Errors
    /// [`DialError::Tls`].
    pub async fn secure(&self, stream: TcpStream) -> Result<Box<dyn Stream>, DialError> {
        let Some(tls) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let stream = tls.connect(self.name.clone(), stream).await;
        Ok(Box::new(stream.map_err(DialError::Tls)?))
    }

    /// WebSocket on top.
    ///
    /// # Errors
    /// [`DialError::Status`] and [`DialError::Upgrade`].
    pub async fn upgrade(&self, stream: Box<dyn Stream>) -> Result<Socket, DialError> {
        // Small buffers: there is a pair for each of many thousand machines.
        let config = WebSocketConfig::default()
            .read_buffer_size(1024)
            .write_buffer_size(0)
            .max_write_buffer_size(FRAME_BYTES_MAX + 1024)
            .max_message_size(Some(FRAME_BYTES_MAX))
            .max_frame_size(Some(FRAME_BYTES_MAX));
        match client_async_with_config(&self.link_url, stream, Some(config)).await {
            Ok((socket, _)) => Ok(socket),
            Err(SocketError::Http(answer)) => {
                let retry_after = answer.headers().get("retry-after");
                let seconds = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
                Err(DialError::Status {
                    status: answer.status().as_u16(),
                    retry_after: seconds.map(Duration::from_secs),
                })
            }
            Err(error) => Err(DialError::Upgrade(Box::new(error))),
        }
    }
}
