//! The server's side of the link, played by a test.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(
    clippy::unwrap_used,
    reason = "all of it is test code, which the lint can not see"
)]

pub(crate) mod running;

use std::path::Path;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use link_protocol::{
    Anchor, AnchorList, ClientFrame, Hello, Identity, KeyInfo, Secret, ServerFrame, Welcome,
};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// Longer than any answer of an agent takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The token a new client is given.
pub(crate) const FIRST_TOKEN: &str = "first-token-first-token-first-token-first-t";
/// The token it is given next.
pub(crate) const SECOND_TOKEN: &str = "second-token-second-token-second-token-seco";
/// The secret of the installer.
pub(crate) const INSTALLER_SECRET: &str = "installer-secret-installer-secret-installer";

pub(crate) fn system_anchors(version: u64) -> AnchorList {
    AnchorList {
        version,
        list: vec![Anchor::System],
    }
}

pub(crate) fn key(url: &str, anchors: AnchorList) -> KeyInfo {
    KeyInfo {
        urls: vec![url.to_owned()],
        installer_id: "0123456789abcdef0123456789abcdef".to_owned(),
        secret: Secret::new(INSTALLER_SECRET),
        anchors,
    }
}

pub(crate) fn welcome(token: Option<&str>, anchors: AnchorList) -> Welcome {
    Welcome {
        protocol: 1,
        client_id: 7,
        token: token.map(Secret::new),
        heartbeat_seconds: 30,
        check_in_seconds: 3_600,
        check_in_now: false,
        anchors,
        site_time_ms: 1_700_000_000_000,
    }
}

/// The token that is on disk at this moment.
pub(crate) fn token_on_disk(state: &Path) -> Option<String> {
    let text = std::fs::read_to_string(state.join("identity.json")).ok()?;
    let value: Value = serde_json::from_str(&text).unwrap();
    value["client"]["token"].as_str().map(str::to_owned)
}

/// One connection of an agent, seen from the server.
pub(crate) struct FarSide<S> {
    pub(crate) socket: WebSocketStream<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> FarSide<S> {
    /// The next frame of the agent.
    pub(crate) async fn frame(&mut self) -> ClientFrame {
        tokio::time::timeout(PATIENCE, self.frame_when_it_comes())
            .await
            .expect("a frame in time")
    }

    /// As [`Self::frame`], for a caller who bounds the time.
    pub(crate) async fn frame_when_it_comes(&mut self) -> ClientFrame {
        match self
            .socket
            .next()
            .await
            .expect("the agent is there")
            .expect("the connection holds")
        {
            Message::Text(text) => ClientFrame::parse(&text).expect("a frame of the protocol"),
            other => panic!("a frame was expected, not {other:?}"),
        }
    }

    pub(crate) async fn hello(&mut self) -> Hello {
        match self.frame().await {
            ClientFrame::Hello(hello) => *hello,
            other => panic!("hello was expected, not {other:?}"),
        }
    }

    pub(crate) async fn send(&mut self, frame: ServerFrame) {
        self.send_text(frame.to_text().unwrap()).await;
    }

    pub(crate) async fn send_text(&mut self, text: String) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn welcome(&mut self, welcome: Welcome) {
        self.send(ServerFrame::Welcome(Box::new(welcome))).await;
    }

    /// Takes a registration as a server does, up to the client's confirmation.
    pub(crate) async fn register(&mut self) -> Hello {
        let hello = self.hello().await;
        assert!(matches!(hello.identity, Identity::Register(_)), "{hello:?}");
        self.welcome(welcome(Some(FIRST_TOKEN), system_anchors(1)))
            .await;
        assert_eq!(self.frame().await, ClientFrame::TokenStored {});
        assert_eq!(
            self.frame().await,
            ClientFrame::AnchorsStored { version: 1 }
        );
        hello
    }

    /// Takes a resumption with this token.
    pub(crate) async fn resume(&mut self, token: &str) -> Hello {
        let hello = self.hello().await;
        match &hello.identity {
            Identity::Resume(resume) => {
                assert_eq!((resume.client_id, resume.token.expose()), (7, token))
            }
            Identity::Register(_) => panic!("a resumption was expected"),
        }
        self.welcome(welcome(None, system_anchors(1))).await;
        assert_eq!(
            self.frame().await,
            ClientFrame::AnchorsStored { version: 1 }
        );
        hello
    }

    /// The code the agent closes with, whatever frames come before.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        let closed = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Close(frame))) => break frame.map(|frame| frame.code.into()),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => break None,
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(600), closed)
            .await
            .expect("closed in time")
    }

    pub(crate) async fn close(&mut self) {
        self.socket.close(None).await.unwrap();
    }
}
