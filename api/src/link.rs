//! `GET /link/v1`: where agents connect. The upgrade is made here; everything said over the socket is the connector's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{
    CloseFrame, Message, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection,
};
use axum::http::header::ORIGIN;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use connector::transport::Gone;
use connector::{Incoming, RefusedAttempts, Transport};
use link_protocol::limits::{FRAME_BYTES_MAX, LINK_PATH};
use tokio_tungstenite::tungstenite;

use crate::access::Access;
use crate::attempts::Attempts;
use crate::error::{JsonError, Problem};
use crate::peer::Peer;
use crate::route::{About, Gives, Routes};
use crate::site::Site;

/// How long an agent may take to answer a close before the connection is cut.
const CLOSED_WITHIN: Duration = Duration::from_secs(2);

/// How much is read at a time, and kept for reading while nothing comes. Unit: bytes.
const READ_BYTES: usize = 512;

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

async fn connect(
    State(site): State<Arc<Site>>,
    peer: Peer,
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
    let upgrade = upgrade.map_err(|rejection| Problem {
        status: rejection.status(),
        ..Problem::malformed("A WebSocket handshake is expected here.")
    })?;
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
        let socket = AgentSocket(Box::new(socket));
        async move { site.hub.serve(socket, address).await }
    }))
}

/// An agent's WebSocket. Boxed because it passes through several futures, each of which would have room for it.
struct AgentSocket(Box<WebSocket>);

impl Transport for AgentSocket {
    async fn receive(&mut self) -> Option<Incoming> {
        match self.0.recv().await? {
            Ok(Message::Text(text)) => Some(Incoming::Text(text.to_string())),
            Ok(Message::Binary(_)) => Some(Incoming::Binary),
            // The library answers these itself; the link only counts them.
            Ok(Message::Ping(_) | Message::Pong(_)) => Some(Incoming::Control),
            Ok(Message::Close(_)) => None,
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
        let sent = self.0.send(Message::Text(text.into())).await;
        sent.map_err(|_| Gone)
    }

    async fn close(&mut self, code: u16, reason: &str) {
        let frame = CloseFrame {
            code,
            reason: reason.into(),
        };
        let goodbye = async {
            if self.0.send(Message::Close(Some(frame))).await.is_err() {
                return;
            }
            // What is still on its way is read, so that the close arrives before the connection is cut.
            while let Some(Ok(_)) = self.0.recv().await {}
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
