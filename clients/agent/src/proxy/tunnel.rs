//! A connection through a proxy: HTTP CONNECT, with or without TLS to the proxy, SOCKS4a and SOCKS5.
//!
//! A scheme is kept to or refused. Credentials of an `https://` proxy never leave before TLS with that proxy stands.

use std::future::{Ready, ready};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::uri::Scheme;
use http::{HeaderValue, Uri};
use hyper_util::client::legacy::connect::proxy::{SocksV4, SocksV5, Tunnel as ConnectTunnel};
use hyper_util::client::proxy::matcher::Intercept;
use hyper_util::rt::TokioIo;
use link_protocol::{Anchor, AnchorList, Secret};
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tower_service::Service;

use super::{ProxyError, Reached};
use crate::dial::Stream;
use crate::endpoint::Endpoint;
use crate::trust;

/// What is spoken with a proxy.
#[derive(Clone, Debug)]
pub(super) enum Method {
    /// HTTP CONNECT, inside TLS or not; with a `Proxy-Authorization`.
    HttpConnect {
        tls: bool,
        authorization: Option<HeaderValue>,
    },
    /// SOCKS4a: the proxy resolves the server's name.
    Socks4,
    /// SOCKS5. The server's name is resolved here (`socks5`) or by the proxy (`socks5h`).
    Socks5 {
        resolve_here: bool,
        credentials: Option<(String, Secret)>,
    },
}

/// A proxy, and how to go through it.
#[derive(Clone, Debug)]
pub(super) struct Tunnel {
    pub(super) method: Method,
    /// Without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Tunnel {
    /// The proxy that the system's settings name; none where it is of a kind that isn't known here.
    pub(super) fn of(found: &Intercept) -> Option<Self> {
        let uri = found.uri();
        let raw = || {
            let (user, password) = found.raw_auth()?;
            Some((user.to_owned(), Secret::new(password)))
        };
        let (method, default_port) = match uri.scheme_str()? {
            "socks4" | "socks4a" => (Method::Socks4, 1_080),
            scheme @ ("socks5" | "socks5h") => {
                let resolve_here = scheme == "socks5";
                let credentials = raw();
                (
                    Method::Socks5 {
                        resolve_here,
                        credentials,
                    },
                    1_080,
                )
            }
            scheme @ ("http" | "https") => {
                let tls = scheme == Scheme::HTTPS.as_str();
                let authorization = found.basic_auth().cloned();
                (
                    Method::HttpConnect { tls, authorization },
                    if tls { 443 } else { 80 },
                )
            }
            _ => return None,
        };
        let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
        Some(Self {
            method,
            host: host.to_owned(),
            port: uri.port_u16().unwrap_or(default_port),
        })
    }

    /// Connects to the server through it. `local_roots` may end the certificate chain of a proxy with TLS, beside the system's.
    pub(super) async fn connect(
        self,
        endpoint: &Endpoint,
        local_roots: &[CertificateDer<'static>],
    ) -> Result<Reached, ProxyError> {
        let no_way = |source: Box<dyn std::error::Error + Send + Sync>| ProxyError::NoWay {
            proxy: format!("{}:{}", self.host, self.port),
            source,
        };
        let to = match &self.method {
            Method::Socks5 {
                resolve_here: true, ..
            } => resolved(endpoint)
                .await
                .map_err(|error| no_way(Box::new(error)))?,
            _ => endpoint.clone(),
        };
        let to: Uri = format!("https://{to}")
            .parse()
            .map_err(|_| ProxyError::Value("the server", "host:port"))?;
        let tcp = Reached::directly(&self.host, self.port).await;
        let Reached {
            stream,
            local,
            peer,
        } = tcp.map_err(|error| no_way(Box::new(error)))?;
        let connected = match self.method.clone() {
            Method::HttpConnect { tls, authorization } => {
                let stream = if tls {
                    let secured = secured(&self.host, local_roots, stream).await;
                    secured.map_err(|error| no_way(Box::new(error)))?
                } else {
                    stream
                };
                let mut tunnel = ConnectTunnel::new(to.clone(), Connected::over(stream));
                if let Some(authorization) = authorization {
                    tunnel = tunnel.with_auth(authorization);
                }
                tunnel
                    .call(to)
                    .await
                    .map_err(|error| no_way(Box::new(error)))?
            }
            Method::Socks4 => SocksV4::new(to.clone(), Connected::over(stream))
                .call(to)
                .await
                .map_err(|error| no_way(Box::new(error)))?,
            Method::Socks5 { credentials, .. } => {
                let mut socks = SocksV5::new(to.clone(), Connected::over(stream));
                if let Some((user, password)) = credentials {
                    socks = socks.with_auth(user, password.expose().to_owned());
                }
                socks
                    .call(to)
                    .await
                    .map_err(|error| no_way(Box::new(error)))?
            }
        };
        Ok(Reached {
            stream: connected.into_inner(),
            local,
            peer,
        })
    }
}

/// The server by its address instead of its name.
async fn resolved(endpoint: &Endpoint) -> io::Result<Endpoint> {
    let mut found = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port)).await?;
    let address = found
        .next()
        .ok_or_else(|| io::Error::other("the server's name has no address"))?;
    Ok(Endpoint {
        host: address.ip().to_string(),
        ..endpoint.clone()
    })
}

/// TLS with the proxy, whose certificate must be for the name by which it was given.
async fn secured(
    host: &str,
    local_roots: &[CertificateDer<'static>],
    stream: Box<dyn Stream>,
) -> io::Result<Box<dyn Stream>> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    // The anchors are the server's; a proxy is the network's, and trusted as the system trusts.
    let anchors = AnchorList {
        version: 1,
        list: vec![Anchor::System],
    };
    let roots = trust::roots(local_roots).await?;
    let config = trust::client_config(&anchors, roots).map_err(io::Error::other)?;
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await?;
    Ok(Box::new(stream))
}

/// A connection that stands already, as what hyper's tunnels call a connector.
struct Connected(Option<Box<dyn Stream>>);

impl Connected {
    fn over(stream: Box<dyn Stream>) -> Self {
        Self(Some(stream))
    }
}

impl Service<Uri> for Connected {
    type Response = TokioIo<Box<dyn Stream>>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let stream = self.0.take();
        let stream = stream.ok_or_else(|| io::Error::other("it was handed out already"));
        ready(stream.map(TokioIo::new))
    }
}

impl Reached {
    /// A connection to a host without anything between.
    pub(super) async fn directly(host: &str, port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((host, port)).await?;
        // Frames are small and someone waits for the answer.
        stream.set_nodelay(true)?;
        let (local, peer): (IpAddr, IpAddr) = (stream.local_addr()?.ip(), stream.peer_addr()?.ip());
        Ok(Self {
            stream: Box::new(stream),
            local,
            peer,
        })
    }
}
