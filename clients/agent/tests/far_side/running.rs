//! A running agent over streams in memory, and the far ends of its connections.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(
    clippy::unwrap_used,
    reason = "all of it is test code, which the lint can not see"
)]

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use agent::dial::{DialError, Dialed, upgrade};
use agent::{Agent, Dial, Endpoint, Machine, Options, Stopped, Store, WallClock};
use link_protocol::*;
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_tungstenite::accept_async;

use super::*;

pub(crate) const URL: &str = "https://gatebook.example:8443";

/// Gives the other end of every connection to the test.
pub(crate) struct MemoryDial {
    pub(crate) dialed: mpsc::Sender<(Instant, DuplexStream)>,
    /// How many dials fail before one succeeds.
    pub(crate) failing: AtomicUsize,
    /// They fail because the server's certificate is not valid yet.
    pub(crate) too_early: AtomicBool,
    pub(crate) failed_at: Mutex<Vec<Instant>>,
}

impl Dial for MemoryDial {
    async fn dial(&self, endpoint: &Endpoint, _: &AnchorList) -> Result<Dialed, DialError> {
        if self.failing.load(Ordering::SeqCst) > 0 {
            self.failing.fetch_sub(1, Ordering::SeqCst);
            self.failed_at.lock().unwrap().push(Instant::now());
            if self.too_early.load(Ordering::SeqCst) {
                let early = rustls::CertificateError::NotValidYet;
                return Err(DialError::Tls(std::io::Error::other(
                    rustls::Error::InvalidCertificate(early),
                )));
            }
            return Err(DialError::Unreachable(
                std::io::ErrorKind::ConnectionRefused.into(),
            ));
        }
        let (near, far) = tokio::io::duplex(256 * 1024);
        self.dialed
            .send((Instant::now(), far))
            .await
            .expect("the test is still there");
        let socket = upgrade(endpoint, Box::new(near)).await?;
        Ok(Dialed {
            socket,
            local_ip: Some("10.0.0.7".parse().unwrap()),
        })
    }
}

/// A running agent and the ends of its connections.
pub(crate) struct Running {
    pub(crate) state: PathBuf,
    pub(crate) dial: std::sync::Arc<MemoryDial>,
    pub(crate) connections: mpsc::Receiver<(Instant, DuplexStream)>,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) agent: JoinHandle<Stopped>,
}

pub(crate) async fn start(state: &Path, key: Option<KeyInfo>) -> Running {
    start_failing(state, key, 0).await
}

pub(crate) async fn start_failing(state: &Path, key: Option<KeyInfo>, failing: usize) -> Running {
    start_by(state, key, failing, WallClock::default()).await
}

/// A wall clock that goes as the test's time does.
pub(crate) fn clock() -> WallClock {
    let begun = Instant::now();
    WallClock::new(move || {
        1_700_000_000 + i64::try_from(begun.elapsed().as_secs()).expect("not that long")
    })
}

/// An agent by `clock`, of which the first `failing` dials fail.
pub(crate) async fn start_by(
    state: &Path,
    key: Option<KeyInfo>,
    failing: usize,
    clock: WallClock,
) -> Running {
    let (dialed, connections) = mpsc::channel(16);
    let dial = std::sync::Arc::new(MemoryDial {
        dialed,
        failing: failing.into(),
        too_early: AtomicBool::new(false),
        failed_at: Mutex::default(),
    });
    let (stop, told) = watch::channel(false);
    let store = Store::open(state).unwrap();
    let options = Options {
        key,
        ..Options::default()
    };
    let machine = Machine::new(InstallMode::Service).disabled_by(state.join("disabled"));
    let agent = Agent::new(std::sync::Arc::clone(&dial), store, machine, options)
        .await
        .unwrap();
    let listen = "127.0.0.1:0".parse().unwrap();
    let mut agent = agent.with_clock(clock).listening_on(listen);
    let agent = tokio::spawn(async move { agent.run(told).await.unwrap() });
    Running {
        state: state.to_owned(),
        dial,
        connections,
        stop,
        agent,
    }
}

/// An agent that has registered, and its connection.
pub(crate) async fn registered(state: &Path) -> (Running, FarSide<DuplexStream>) {
    let mut running = start(state, Some(key(URL, system_anchors(1)))).await;
    let (_, mut server) = running.connected().await;
    server.register().await;
    (running, server)
}

impl Running {
    /// The next connection of the agent, and when it was dialled.
    pub(crate) async fn connected(&mut self) -> (Instant, FarSide<DuplexStream>) {
        let (at, stream) = self.dialed().await;
        (
            at,
            FarSide {
                socket: accept_async(stream).await.unwrap(),
            },
        )
    }

    pub(crate) async fn dialed(&mut self) -> (Instant, DuplexStream) {
        let day = Duration::from_secs(200_000);
        let dialed = tokio::time::timeout(day, self.connections.recv()).await;
        dialed
            .expect("the agent dials again")
            .expect("the agent runs")
    }

    pub(crate) fn token_on_disk(&self) -> Option<String> {
        token_on_disk(&self.state)
    }

    /// Stops the agent as SIGTERM does, and plays the server's part of it.
    pub(crate) async fn stop(self, mut server: FarSide<DuplexStream>) {
        self.stop.send(true).unwrap();
        assert_eq!(server.frame().await, ClientFrame::Goodbye {});
        server.close().await;
        assert_eq!(self.agent.await.unwrap(), Stopped::Told);
    }
}

pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}
