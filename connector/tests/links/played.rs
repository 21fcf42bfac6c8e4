//! An agent played by the test: what it says and hears, frame by frame.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use connector::{Gone, Hub, Incoming, Transport};
use link_protocol::{
    CheckIn, ClientFrame, Facts, Figures, Hello, Identity, Overrides, Refused, RefusedCode,
    Register, Resume, Secret, ServerFrame, Welcome,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Frames that the far side takes before it has to read; a test that plays a slow reader takes fewer.
const WINDOW: usize = 256;

/// What an agent hears.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Frame(ServerFrame),
    Closed(u16),
}

struct Channels {
    incoming: mpsc::Receiver<Incoming>,
    outgoing: mpsc::Sender<Heard>,
    authenticated: Arc<AtomicBool>,
}

impl Transport for Channels {
    fn authenticated(&mut self) {
        self.authenticated.store(true, Ordering::Relaxed);
    }

    async fn receive(&mut self) -> Option<Incoming> {
        self.incoming.recv().await
    }

    async fn send(&mut self, text: String) -> Result<(), Gone> {
        let frame = ServerFrame::parse(&text).expect("the hub sends right frames");
        self.outgoing
            .send(Heard::Frame(frame))
            .await
            .map_err(|_| Gone)
    }

    async fn close(&mut self, code: u16, _reason: &str) {
        // An agent that has gone hears nothing of it.
        let _ = self.outgoing.send(Heard::Closed(code)).await;
    }
}

/// The room that one link takes while it waits, beside what it has boxed. Unit: bytes.
pub(crate) fn bytes_of_a_link(hub: &Hub) -> usize {
    let (_, incoming) = mpsc::channel(1);
    let (outgoing, _) = mpsc::channel(1);
    let peer = "192.0.2.1:50000".parse().expect("an address");
    let channels = Channels {
        incoming,
        outgoing,
        authenticated: Arc::default(),
    };
    size_of_val(&hub.serve(channels, peer))
}

/// One connection of a played agent. Dropped, the connection is lost.
pub(crate) struct Played {
    says: mpsc::Sender<Incoming>,
    hears: mpsc::Receiver<Heard>,
    authenticated: Arc<AtomicBool>,
    pub(crate) served: JoinHandle<()>,
}

impl Played {
    /// Connects, and says nothing yet.
    pub(crate) fn dial(hub: &Hub) -> Self {
        Self::dial_with(hub, WINDOW)
    }

    pub(crate) fn dial_with(hub: &Hub, window: usize) -> Self {
        let (says, incoming) = mpsc::channel(512);
        let (outgoing, hears) = mpsc::channel(window);
        let hub = hub.clone();
        let peer = "192.0.2.1:50000".parse().expect("an address");
        let authenticated = Arc::new(AtomicBool::new(false));
        let channels = Channels {
            incoming,
            outgoing,
            authenticated: Arc::clone(&authenticated),
        };
        let served = tokio::spawn(async move { hub.serve(channels, peer).await });
        Self {
            says,
            hears,
            authenticated,
            served,
        }
    }

    /// Whether the hub has said that the agent proved who it is.
    pub(crate) fn is_authenticated(&self) -> bool {
        self.authenticated.load(Ordering::Relaxed)
    }

    /// Connects and says hello.
    pub(crate) async fn hello(hub: &Hub, hello: Hello) -> Self {
        let agent = Self::dial(hub);
        agent.say(ClientFrame::Hello(Box::new(hello))).await;
        agent
    }

    /// Connects, says hello and is welcomed.
    pub(crate) async fn welcomed(hub: &Hub, hello: Hello) -> (Self, Welcome) {
        let mut agent = Self::hello(hub, hello).await;
        let welcome = agent.welcome().await;
        (agent, welcome)
    }

    pub(crate) async fn say(&self, frame: ClientFrame) {
        let text = frame.to_text().expect("a right frame");
        self.say_raw(Incoming::Text(text)).await;
    }

    /// Says something that may come too late.
    pub(crate) async fn try_say(&self, frame: ClientFrame) {
        let text = frame.to_text().expect("a right frame");
        // The link may have ended meanwhile.
        let _ = self.says.send(Incoming::Text(text)).await;
    }

    pub(crate) async fn say_raw(&self, incoming: Incoming) {
        self.says
            .send(incoming)
            .await
            .expect("the hub serves the link");
    }

    pub(crate) async fn check_in(&self, sequence: u64, facts: Facts) {
        self.check_in_with(sequence, facts, Figures::default())
            .await;
    }

    pub(crate) async fn check_in_with(&self, sequence: u64, facts: Facts, figures: Figures) {
        let check_in = CheckIn {
            sequence,
            facts,
            figures,
        };
        self.say(ClientFrame::CheckIn(Box::new(check_in))).await;
    }

    pub(crate) async fn hear(&mut self) -> Heard {
        self.hears.recv().await.expect("the link is there")
    }

    /// What was said by now, if anything.
    pub(crate) fn heard(&mut self) -> Option<Heard> {
        self.hears.try_recv().ok()
    }

    pub(crate) async fn frame(&mut self) -> ServerFrame {
        match self.hear().await {
            Heard::Frame(frame) => frame,
            closed => panic!("a frame was expected, not {closed:?}"),
        }
    }

    pub(crate) async fn welcome(&mut self) -> Welcome {
        match self.frame().await {
            ServerFrame::Welcome(welcome) => *welcome,
            other => panic!("a welcome was expected, not {other:?}"),
        }
    }

    /// Hears that it is refused, and the close after it.
    pub(crate) async fn refused(&mut self) -> Refused {
        match self.frame().await {
            ServerFrame::Refused(refused) => {
                let code = if refused.code == RefusedCode::ProtocolNotSupported {
                    4426
                } else {
                    4403
                };
                assert_eq!(self.hear().await, Heard::Closed(code));
                refused
            }
            other => panic!("a refusal was expected, not {other:?}"),
        }
    }

    /// Hears that it shall come later, and the close after it.
    pub(crate) async fn told_later(&mut self) -> u64 {
        match self.frame().await {
            ServerFrame::RetryLater { after_ms } => {
                assert_eq!(self.hear().await, Heard::Closed(4503));
                after_ms
            }
            other => panic!("a pause was expected, not {other:?}"),
        }
    }

    /// The code the link is closed with, whatever frames come before.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            if let Heard::Closed(code) = self.hear().await {
                return code;
            }
        }
    }

    /// Answers one ping.
    pub(crate) async fn answer_ping(&mut self) {
        match self.frame().await {
            ServerFrame::Ping { nonce } => self.say(ClientFrame::Pong { nonce }).await,
            other => panic!("a ping was expected, not {other:?}"),
        }
    }

    /// Loses the connection, and waits until the hub is done with it.
    pub(crate) async fn lose(self) {
        let Self {
            says,
            hears,
            served,
            ..
        } = self;
        drop((says, hears));
        served.await.expect("the link ends well");
    }
}

/// A hello of the boot `boot` with one protocol version, and the facts of [`facts`].
fn hello(boot: u8, identity: Identity) -> Hello {
    Hello {
        protocols: vec![1],
        agent_version: "0.1.0".to_owned(),
        boot_id: format!("{boot:032x}"),
        identity,
        facts: facts(),
        sessions: Vec::new(),
    }
}

pub(crate) fn facts() -> Facts {
    Facts {
        hostname: Some("web-1".to_owned()),
        operating_system: Some("Debian GNU/Linux 12".to_owned()),
        console_user: Some("anna".to_owned()),
        ..Facts::default()
    }
}

/// A machine with the key of `installer`; `attempt` names the try.
pub(crate) fn registering(boot: u8, installer: (&str, &str), attempt: u8) -> Hello {
    let (installer_id, secret) = installer;
    hello(
        boot,
        Identity::Register(Register {
            installer_id: installer_id.to_owned(),
            secret: Secret::new(secret),
            attempt: format!("{attempt:032x}"),
            overrides: Overrides::default(),
        }),
    )
}

pub(crate) fn with_overrides(mut hello: Hello, overrides: Overrides) -> Hello {
    match &mut hello.identity {
        Identity::Register(register) => register.overrides = overrides,
        Identity::Resume(_) => panic!("only a registration has overrides"),
    }
    hello
}

/// A machine that shows its identity.
pub(crate) fn resuming(boot: u8, client: u64, token: &Secret) -> Hello {
    hello(
        boot,
        Identity::Resume(Resume {
            client_id: client,
            token: token.clone(),
        }),
    )
}

/// The same with sessions it still keeps.
pub(crate) fn keeping(mut hello: Hello, sessions: &[String]) -> Hello {
    hello.sessions = sessions.to_vec();
    hello
}
