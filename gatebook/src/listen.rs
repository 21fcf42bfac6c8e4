//! The two listeners: HTTPS for everybody, and plain HTTP for a proxy that ends TLS and for tests.
//!
//! Nobody gets to hold a connection for nothing (threat M): there are only so many, a handshake and a request's head have
//! a deadline each. What a request may do is not decided here; each is marked with the way it came in.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use anyhow::{Context, Result};
use api::Transport;
use axum::extract::ConnectInfo;
use axum::http::Request;
use axum::middleware::AddExtension;
use axum::{Extension, Router};
use axum_server::accept::Accept;
use axum_server::service::SendService;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use axum_server::{Handle, Server};
use hyper::body::Incoming;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

/// How long a TLS handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// How long the head of a request may take, the first one of a connection included.
const HEAD_WITHIN: Duration = Duration::from_secs(15);

/// How long requests that are being answered may take once the server stops.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// How large the head of a request may be. Unit: bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// How many connections there may be, over all listeners.
#[derive(Clone)]
pub struct ConnectionCap(Arc<Semaphore>);

impl ConnectionCap {
    /// At most `connections_max` at once; one more is closed as soon as it was accepted.
    #[must_use]
    pub fn new(connections_max: usize) -> Self {
        Self(Arc::new(Semaphore::new(
            connections_max.min(Semaphore::MAX_PERMITS),
        )))
    }
}

/// A listener that runs.
pub struct Listening {
    /// The address it really has: a port of 0 was chosen by the system.
    pub address: SocketAddr,
    handle: Handle<SocketAddr>,
    /// None once it has ended.
    task: Option<JoinHandle<io::Result<()>>>,
}

impl Listening {
    /// Ends when the listener does, which it only does by itself when it failed.
    ///
    /// # Errors
    /// Why it failed.
    pub async fn ended(&mut self) -> Result<()> {
        let Some(task) = &mut self.task else {
            return Ok(());
        };
        let ended = task.await;
        self.task = None;
        ended
            .context("a listener's task ended badly")?
            .with_context(|| format!("listening on {}", self.address))
    }

    /// Takes no more connections, lets requests that are being answered end, and closes what is left after a while.
    pub async fn shut_down(mut self) {
        self.handle.graceful_shutdown(Some(STOP_WITHIN));
        if let Err(error) = self.ended().await {
            tracing::warn!(error = format!("{error:#}"), "a listener ended badly");
        }
    }
}

/// An address that was taken; who connects waits until it is served.
pub struct Bound {
    /// The address it really has: a port of 0 was chosen by the system.
    pub address: SocketAddr,
    listener: TcpListener,
}

/// Takes `address`.
///
/// # Errors
/// The address can't be had.
pub async fn bind(address: SocketAddr) -> Result<Bound> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("listening on {address}"))?;
    let address = listener
        .local_addr()
        .context("asking for the listener's address")?;
    Ok(Bound { address, listener })
}

/// Serves with TLS.
#[must_use]
pub fn https(bound: Bound, config: ServerConfig, routes: Router, cap: &ConnectionCap) -> Listening {
    let Bound { address, listener } = bound;
    let acceptor = RustlsAcceptor::new(RustlsConfig::from_config(Arc::new(config)))
        .handshake_timeout(HANDSHAKE_WITHIN)
        .acceptor(Capped(cap.clone()));
    let server = Server::from_listener(listener).acceptor(acceptor);
    start(server, address, routes, Transport::Tls)
}

/// Serves without TLS. Requests are refused unless they come from loopback or a trusted proxy; `routes` sees to that by
/// their mark (AUTH-20).
#[must_use]
pub fn http(bound: Bound, routes: Router, cap: &ConnectionCap) -> Listening {
    let Bound { address, listener } = bound;
    let server = Server::from_listener(listener).acceptor(Capped(cap.clone()));
    start(server, address, routes, Transport::PlainTrusted)
}

fn start<A>(
    mut server: Server<SocketAddr, A>,
    address: SocketAddr,
    routes: Router,
    transport: Transport,
) -> Listening
where
    A: Accept<TcpStream, Marked> + Clone + Send + Sync + 'static,
    A::Stream: AsyncRead + AsyncWrite + Unpin + Send,
    A::Service: SendService<Request<Incoming>> + Send,
    A::Future: Send,
{
    let builder = server.http_builder();
    builder
        .http1()
        .header_read_timeout(Some(HEAD_WITHIN))
        .max_buf_size(HEAD_BYTES_MAX);
    builder.http2().max_concurrent_streams(64);
    let handle = Handle::new();
    let service = routes
        .layer(Extension(transport))
        .into_make_service_with_connect_info::<SocketAddr>();
    let serving = server
        .handle(handle.clone())
        .first_request_timeout(HEAD_WITHIN)
        .accept_error_handler(|peer: Option<&SocketAddr>, error: &io::Error| {
            tracing::debug!(?peer, %error, "a connection was not accepted");
        })
        .serve(service);
    Listening {
        address,
        handle,
        task: Some(tokio::spawn(serving)),
    }
}

/// The routes with the peer's address and the way it came in.
type Marked = AddExtension<Router, ConnectInfo<SocketAddr>>;

/// Accepts a connection if there is room for one more.
#[derive(Clone)]
struct Capped(ConnectionCap);

impl<S: Send + 'static> Accept<TcpStream, S> for Capped {
    type Stream = Held;
    type Service = S;
    type Future = std::future::Ready<io::Result<(Held, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let held = Arc::clone(&self.0.0)
            .try_acquire_owned()
            .map_err(|_| io::Error::other("too many connections"))
            .and_then(|place| {
                stream.set_nodelay(true)?;
                Ok((
                    Held {
                        stream,
                        _place: place,
                    },
                    service,
                ))
            });
        std::future::ready(held)
    }
}

/// A connection that holds its place until it is closed, whatever it is upgraded to.
struct Held {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
}

impl AsyncRead for Held {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Held {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_listener_that_ended_can_still_be_shut_down() {
        let bound = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = bound.address;
        let mut listening = http(bound, Router::new(), &ConnectionCap::new(10));
        assert!(TcpStream::connect(address).await.is_ok());
        listening.handle.shutdown();
        listening.ended().await.unwrap();
        listening.shut_down().await;
        assert!(TcpStream::connect(address).await.is_err());
    }
}
