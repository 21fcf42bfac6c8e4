//! `GET /link/v1`: where agents connect. The upgrade is made here; everything said over the socket is the connector's.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::Poll;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::{
    CloseFrame, Message, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection,
};
use axum::http::header::{ORIGIN, SEC_WEBSOCKET_VERSION, UPGRADE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::Response;
use connector::transport::Gone;
use connector::{Incoming, RefusedAttempts, Transport};
use link_protocol::limits::{FRAME_BYTES_MAX, LINK_PATH};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite;

use crate::access::Access;
use crate::attempts::Attempts;
use crate::error::{JsonError, Problem};
use crate::peer::{Authenticated, Peer};
use crate::route::{About, Gives, Routes};
use crate::site::Site;

/// How long an agent may take to answer a close before the connection is cut.
const CLOSED_WITHIN: Duration = Duration::from_secs(2);

/// How much is read at a time, and kept for reading while nothing comes. Unit: bytes.
const READ_BYTES: usize = 512;

/// How many bytes more than the frames in them an agent may send in [`SPARE_OVER`]: what WebSocket and TLS put around them.
/// Parts of frames that hold nothing are bytes as well, and none of them is ever seen here.
const SPARE_BYTES: i64 = 1024 * 1024;

/// See [`SPARE_BYTES`].
const SPARE_OVER: Duration = Duration::from_secs(10);

/// How much is still read while a close is on its way. Unit: bytes.
const CLOSING_BYTES: i64 = 2 * 1024 * 1024;

/// WebSocket's own close code for what is none of its frames.
const NO_WEBSOCKET: u16 = 1002;

/// WebSocket's own close code for text that is not UTF-8.
const NOT_UTF_8: u16 = 1007;

pub(crate) fn routes(site: &Arc<Site>) -> Routes {
    let about = About::new("Connects an agent; what is said is written in docs/client-link.md.")
        .gives(Gives::Upgrade);
    Routes::new(site)
        .route(Method::GET, LINK_PATH, Access::Agent, about, connect)
        .open()
}

/// How much may still be read from one connection, for who reads it below TLS. Bounded only once an agent's link is on it.
#[derive(Clone, Debug)]
pub struct BytesLeft(Arc<AtomicI64>);

impl Default for BytesLeft {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(i64::MAX)))
    }
}

impl BytesLeft {
    /// Counts what was read.
    pub fn was_read(&self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.change(|left| left.saturating_sub(bytes));
    }

    /// Whether no more is to be read.
    #[must_use]
    pub fn is_used_up(&self) -> bool {
        self.0.load(Ordering::Relaxed) < 0
    }

    fn begin(&self, bytes: i64) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    fn give(&self, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.change(|left| left.saturating_add(bytes).min(SPARE_BYTES));
    }

    fn change(&self, change: impl Fn(i64) -> i64) {
        // One connection's reader and writer are one task: this never tries twice for long.
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                Some(change(left))
            });
    }
}

async fn connect(
    State(site): State<Arc<Site>>,
    peer: Peer,
    bytes: Option<Extension<BytesLeft>>,
    authenticated: Option<Extension<Authenticated>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, JsonError> {
    if headers.contains_key(ORIGIN) {
        // Only browsers send one, and no page has business here (threat J).
        let problem = Problem::forbidden("origin_not_allowed", "Browsers may not connect here.");
        site.attempts
            .count_stranger(peer.address, LINK_PATH, &problem.message);
        return Err(problem.into());
    }
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(WebSocketUpgradeRejection::InvalidWebSocketVersionHeader(_)) => {
            return Ok(other_version());
        }
        Err(rejection) => {
            let problem = Problem {
                status: rejection.status(),
                ..Problem::malformed("A WebSocket handshake is expected here.")
            };
            return Err(problem.into());
        }
    };
    let address = SocketAddr::new(peer.address, peer.port.unwrap_or(0));
    // The buffers are small because there is one pair for each of many thousand agents. Below 1 KiB a buffer also shrinks
    // again when a long frame was read.
    let upgrade = upgrade
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(FRAME_BYTES_MAX + 1024)
        .max_message_size(FRAME_BYTES_MAX)
        .max_frame_size(FRAME_BYTES_MAX);
    Ok(upgrade.on_upgrade(move |socket| {
        let bytes = bytes.map(|Extension(bytes)| bytes).unwrap_or_default();
        bytes.begin(SPARE_BYTES);
        let socket = AgentSocket {
            socket: Box::new(socket),
            bytes,
            authenticated: authenticated
                .map(|Extension(noted)| noted)
                .unwrap_or_default(),
            given_at: Instant::now(),
        };
        async move { site.hub.serve(socket, address).await }
    }))
}

/// 426 with the version that is spoken (RFC 6455, sections 4.2.2 and 4.4).
fn other_version() -> Response {
    let problem = Problem {
        status: StatusCode::UPGRADE_REQUIRED,
        ..Problem::malformed("Version 13 of WebSocket is spoken here.")
    };
    let mut response = problem.to_json();
    let headers = response.headers_mut();
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    response
}

/// An agent's WebSocket. Boxed because it passes through several futures, each of which would have room for it.
struct AgentSocket {
    socket: Box<WebSocket>,
    bytes: BytesLeft,
    authenticated: Authenticated,
    given_at: Instant,
}

/// More was read than may be.
struct TooMuch;

impl AgentSocket {
    /// The next message. The library passes over parts of messages without returning, so what was read is looked at whenever
    /// it waits for more.
    async fn next(&mut self) -> Result<Option<Result<Message, axum::Error>>, TooMuch> {
        let mut received = pin!(self.socket.recv());
        poll_fn(|context| match received.as_mut().poll(context) {
            Poll::Ready(message) => Poll::Ready(Ok(message)),
            Poll::Pending if self.bytes.is_used_up() => Poll::Ready(Err(TooMuch)),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// Sends the close frame that the library has ready as the answer to the agent's (RFC 6455, section 5.5.1): reading on is
    /// what sends it.
    async fn answer_close(&mut self) {
        let rest = async { while let Ok(Some(Ok(_))) = self.next().await {} };
        if tokio::time::timeout(CLOSED_WITHIN, rest).await.is_err() {
            tracing::debug!("an agent did not take the answer to its close in time");
        }
    }

    /// What came whole may be read again, and a share of what may come beside.
    fn came_whole(&mut self, bytes: usize) {
        let now = Instant::now();
        let spare = SPARE_BYTES.unsigned_abs() as f64;
        let share = (now - self.given_at).div_duration_f64(SPARE_OVER) * spare;
        self.given_at = now;
        self.bytes.give(bytes as u64 + share as u64);
    }
}

impl Transport for AgentSocket {
    fn authenticated(&mut self) {
        self.authenticated.note();
    }

    async fn receive(&mut self) -> Option<Incoming> {
        let Ok(message) = self.next().await else {
            return Some(Incoming::TooMuch);
        };
        match message? {
            Ok(Message::Text(text)) => {
                self.came_whole(text.len());
                Some(Incoming::Text(text.to_string()))
            }
            Ok(Message::Binary(_)) => Some(Incoming::Binary),
            // The library answers these itself; the link only counts them.
            Ok(Message::Ping(bytes) | Message::Pong(bytes)) => {
                self.came_whole(bytes.len());
                Some(Incoming::Control)
            }
            Ok(Message::Close(_)) => {
                self.answer_close().await;
                None
            }
            Err(error) => {
                let error = error.into_inner();
                match error.downcast_ref::<tungstenite::Error>() {
                    Some(tungstenite::Error::Capacity(_)) => Some(Incoming::TooBig),
                    Some(tungstenite::Error::Utf8(_)) => {
                        self.close(NOT_UTF_8, "the text is not UTF-8").await;
                        None
                    }
                    Some(tungstenite::Error::Protocol(_)) => {
                        self.close(NO_WEBSOCKET, "not a WebSocket frame").await;
                        None
                    }
                    _ => None,
                }
            }
        }
    }

    async fn send(&mut self, text: String) -> Result<(), Gone> {
        let sent = self.socket.send(Message::Text(text.into())).await;
        sent.map_err(|_| Gone)
    }

    async fn close(&mut self, code: u16, reason: &str) {
        let frame = CloseFrame {
            code,
            reason: reason.into(),
        };
        let goodbye = async {
            if self.socket.send(Message::Close(Some(frame))).await.is_err() {
                return;
            }
            // What is still on its way is read, so that the close arrives before the connection is cut.
            self.bytes.begin(CLOSING_BYTES);
            while let Ok(Some(Ok(_))) = self.next().await {}
        };
        if tokio::time::timeout(CLOSED_WITHIN, goodbye).await.is_err() {
            tracing::debug!(code, "an agent did not answer the close in time");
        }
    }
}

impl RefusedAttempts for Attempts {
    fn count(&self, caller: SocketAddr, route: &str, message: &str) {
        self.count_stranger(caller.ip(), route, message);
    }
}
