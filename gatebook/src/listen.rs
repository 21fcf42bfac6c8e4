//! The two listeners: HTTPS for everybody, and plain HTTP for a proxy that ends TLS and for tests.
//!
//! Nobody gets to hold a connection for nothing (threat M): there are only so many, a handshake and a request's head have
//! a deadline each, and of a storm of handshakes only some work at once, so that everything else goes on beside them. What a
//! request may do is not decided here; each is marked with the way it came in.

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
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinHandle;

/// How long a TLS handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// How many handshakes work at once. Each takes some tenths of a millisecond of a processor; were thousands ready to run, every
/// other task would wait for all of them at each of its steps, the writer of the log first.
const HANDSHAKES_AT_WORK_MAX: usize = 64;

/// How long a handshake may keep its turn at most: a far client's answer takes its time, and a hostile one's does not come.
const TURN_MAX: Duration = Duration::from_millis(250);

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
        .acceptor(Capped {
            cap: cap.clone(),
            turns: Some(Arc::new(Semaphore::new(HANDSHAKES_AT_WORK_MAX))),
        });
    let server = Server::from_listener(listener).acceptor(acceptor);
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
    let server = Server::from_listener(listener).acceptor(capped);
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

/// Accepts a connection if there is room for one more. Before TLS it waits for its turn, once the other side has spoken.
#[derive(Clone)]
struct Capped {
    cap: ConnectionCap,
    turns: Option<Arc<Semaphore>>,
}

impl<S: Send + 'static> Accept<TcpStream, S> for Capped {
    type Stream = Held;
    type Service = S;
    type Future = BoxFuture<'static, io::Result<(Held, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let capped = self.clone();
        // Taken before anything is waited for.
        let place = Arc::clone(&self.cap.0).try_acquire_owned();
        Box::pin(async move {
            let place = place.map_err(|_| io::Error::other("too many connections"))?;
            stream.set_nodelay(true)?;
            let turn = match capped.turns {
                Some(turns) => Some(turn(&stream, turns).await?),
                None => None,
            };
            let held = Held {
                stream,
                _place: place,
                turn,
                reads: 0,
            };
            Ok((held, service))
        })
    }
}

/// Waits until the other side has spoken and it is this connection's turn. The turn is over when what is answered is dropped,
/// and after a while in any case.
async fn turn(stream: &TcpStream, turns: Arc<Semaphore>) -> io::Result<oneshot::Sender<()>> {
    // Who says nothing takes no turn.
    let mut first = [0];
    let spoken = tokio::time::timeout(HANDSHAKE_WITHIN, stream.peek(&mut first)).await;
    if spoken.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let turn = turns.acquire_owned().await.map_err(io::Error::other)?;
    let (working, over) = oneshot::channel::<()>();
    tokio::spawn(async move {
        // Over either way.
        let _ = tokio::time::timeout(TURN_MAX, over).await;
        drop(turn);
    });
    Ok(working)
}

/// A connection that holds its place until it is closed, whatever it is upgraded to.
struct Held {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
    /// While it is at work on its handshake.
    turn: Option<oneshot::Sender<()>>,
    reads: u8,
}

impl Held {
    /// What comes second is the end of the handshake: the work is done then.
    fn was_read(&mut self) {
        self.reads = self.reads.saturating_add(1);
        if self.reads >= 2 {
            self.turn = None;
        }
    }
}

impl AsyncRead for Held {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if self.turn.is_some() && read.is_ready() && buffer.filled().len() > before {
            self.was_read();
        }
        read
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

    /// threat M: who says nothing, or never ends its handshake, keeps nobody else from theirs.
    #[tokio::test]
    async fn threat_m_turns_come_back_from_those_who_never_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let turns = Arc::new(Semaphore::new(1));
        let connect = async || {
            let far = TcpStream::connect(address).await.unwrap();
            let (near, _) = listener.accept().await.unwrap();
            (far, near)
        };
        let (_silent, near_silent) = connect().await;
        let waiting = tokio::spawn({
            let turns = Arc::clone(&turns);
            async move { turn(&near_silent, turns).await.is_ok() }
        });
        let mut kept = Vec::new();
        for _ in 0..3 {
            let (mut far, near) = connect().await;
            tokio::io::AsyncWriteExt::write_all(&mut far, b"\x16")
                .await
                .unwrap();
            // Neither ends: each turn comes back after a while.
            let working = turn(&near, Arc::clone(&turns)).await.unwrap();
            kept.push((far, near, working));
        }
        assert!(!waiting.is_finished(), "it has said nothing");
        waiting.abort();
        kept.clear();
        let _turn = turns.acquire().await.unwrap();
    }
}
