//! The two listeners: HTTPS for everybody, and plain HTTP for a proxy that ends TLS and for tests.
//!
//! Nobody gets to hold a connection for nothing (threat M): there are only so many, and idle strangers give way to newcomers; a
//! handshake, a request's head and every step of what is written have a deadline each; and of a storm of handshakes only some
//! work at once, so that everything else goes on beside them. What a request may do is not decided here; each is marked with
//! the way it came in.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use anyhow::{Context, Result};
use api::{Authenticated, BytesLeft, Transport};
use axum::extract::ConnectInfo;
use axum::http::Request;
use axum::middleware::AddExtension;
use axum::{Extension, Router};
use axum_server::accept::Accept;
use axum_server::service::SendService;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use axum_server::{Handle, Server};
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tower_service::Service;

mod held;
mod hello;
mod places;
mod source;
mod turns;

pub use places::ConnectionCap;

use held::Held;
use hello::Http1;
use source::Source;
use turns::Turns;

/// How long a TLS handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// How many handshakes work at once. Each takes some tenths of a millisecond of a processor; were thousands ready to run, every
/// other task would wait for all of them at each of its steps, the writer of the log first.
const HANDSHAKES_AT_WORK_MAX: usize = 64;

/// How many connections the system may hold for us before we accept them (it may allow fewer). One more is dropped without a
/// word and tries again after a second, then two, then four: a fleet that comes back after a restart must fit in.
const NOT_ACCEPTED_MAX: u32 = 4_096;

/// How long the head of a request may take, the first one of a connection included.
const HEAD_WITHIN: Duration = Duration::from_secs(15);

/// How long requests that are being answered may take once the server stops.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// How large the head of a request may be. Unit: bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;

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
    let listener = listen(address).with_context(|| format!("listening on {address}"))?;
    let address = listener
        .local_addr()
        .context("asking for the listener's address")?;
    Ok(Bound { address, listener })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // As every server: the port is free again as soon as the one before is gone.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(NOT_ACCEPTED_MAX)
}

/// Serves with TLS.
#[must_use]
pub fn https(bound: Bound, config: ServerConfig, routes: Router, cap: &ConnectionCap) -> Listening {
    let Bound { address, listener } = bound;
    let acceptor = RustlsAcceptor::new(RustlsConfig::from_config(Arc::new(config)))
        .handshake_timeout(HANDSHAKE_WITHIN)
        .acceptor(Capped {
            cap: cap.clone(),
            turns: Some(Turns::new(HANDSHAKES_AT_WORK_MAX)),
        });
    let server = Server::from_listener(listener).acceptor(OverHttp1(acceptor));
    start(server, address, routes, Transport::Tls)
}

/// Serves without TLS. Requests are refused unless they come from loopback or a trusted proxy; `routes` sees to that by
/// their mark (AUTH-20).
#[must_use]
pub fn http(bound: Bound, routes: Router, cap: &ConnectionCap) -> Listening {
    let Bound { address, listener } = bound;
    let capped = Capped {
        cap: cap.clone(),
        turns: None,
    };
    let server = Server::from_listener(listener).acceptor(OverHttp1(capped));
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

/// Accepts what another accepts, as long as HTTP/1 is spoken over it.
#[derive(Clone)]
struct OverHttp1<A>(A);

impl<I, S, A> Accept<I, S> for OverHttp1<A>
where
    A: Accept<I, S>,
    A::Stream: Send,
    A::Service: Send,
    A::Future: Send + 'static,
{
    type Stream = Http1<A::Stream>;
    type Service = A::Service;
    type Future = BoxFuture<'static, io::Result<(Http1<A::Stream>, A::Service)>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let accepted = self.0.accept(stream, service);
        Box::pin(async move {
            let (stream, service) = accepted.await?;
            Ok((Http1::new(stream), service))
        })
    }
}

/// Accepts a connection if there is room for one more. Before TLS it waits for its turn, once the other side has said all that
/// work can be done for.
#[derive(Clone)]
struct Capped {
    cap: ConnectionCap,
    turns: Option<Turns>,
}

impl<S: Send + 'static> Accept<TcpStream, S> for Capped {
    type Stream = Held;
    type Service = Counted<S>;
    type Future = BoxFuture<'static, io::Result<(Held, Counted<S>)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let capped = self.clone();
        // Taken before anything is waited for. Without TLS it is a proxy that connects, for everybody; and who is on this machine
        // needs no connections to be in its way.
        let place = stream.peer_addr().map(|peer| {
            let address = peer.ip().to_canonical();
            let source = Source::of(address);
            let counts = capped.turns.is_some() && !address.is_loopback();
            let place = capped.cap.take(counts.then_some(source), address);
            (source, place)
        });
        Box::pin(async move {
            let (source, place) = place?;
            let (place, gives_way) =
                place.ok_or_else(|| io::Error::other("too many connections"))?;
            stream.set_nodelay(true)?;
            let authenticated = place.authenticated().clone();
            let bytes = BytesLeft::default();
            let mut held = Held::new(stream, place, gives_way, bytes.clone());
            if let Some(turns) = capped.turns {
                held.wait_for_turn(source, &turns).await?;
            }
            let marked = Counted {
                service,
                bytes,
                authenticated,
            };
            Ok((held, marked))
        })
    }
}

/// The routes for one connection: each request tells how much may still be read from it, and where to note that somebody has
/// authenticated on it.
#[derive(Clone)]
struct Counted<S> {
    service: S,
    bytes: BytesLeft,
    authenticated: Authenticated,
}

impl<S, B> Service<Request<B>> for Counted<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut TaskContext<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        let extensions = request.extensions_mut();
        extensions.insert(self.bytes.clone());
        extensions.insert(self.authenticated.clone());
        self.service.call(request)
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

    /// threat M: a connection of HTTP/2 has no bound on being idle.
    #[tokio::test]
    async fn threat_m_http_2_is_not_spoken() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        let bound = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = bound.address;
        let listening = http(bound, Router::new(), &ConnectionCap::new(10));
        let said = async |text: &[u8]| {
            let mut far = TcpStream::connect(address).await.unwrap();
            far.write_all(text).await.unwrap();
            let mut answer = Vec::new();
            far.read_to_end(&mut answer).await.map(|_| answer)
        };
        let http_1 = said(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        assert!(http_1.unwrap().starts_with(b"HTTP/1.1 404"));
        let settings = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
        let http_2 = said(settings).await;
        assert!(http_2.is_err() || http_2.is_ok_and(|answer| answer.is_empty()));
        listening.shut_down().await;
    }
}
