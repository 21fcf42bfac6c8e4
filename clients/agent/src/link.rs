//! One connection, from `hello` to its end.

use std::future::pending;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use link_protocol::version;
use link_protocol::{
    CheckIn, ClientFrame, CloseCode, Facts, Hello, Identity, ProtocolError, Refused, RefusedCode,
    ServerFrame, SessionFailReason, Settings, Welcome,
};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use self::keeping::{Change, Keeping};
use crate::calls::Calls;
use crate::dial::{Dialed, Socket};
use crate::machine::{Machine, Reading};
use crate::sessions::Sessions;
use crate::store::{Client, State, Store, StoreError, Trusted};
use crate::wall_clock::WallClock;

mod keeping;

/// How long the server may take to answer `hello`.
pub const WELCOME_WITHIN: Duration = Duration::from_secs(30);

/// How long a frame may take to leave.
pub const SENT_WITHIN: Duration = Duration::from_secs(30);

/// How long the server may take to close after `goodbye`.
pub const CLOSED_WITHIN: Duration = Duration::from_secs(5);

/// How long the last words of a link that is over may take.
const GONE_WITHIN: Duration = Duration::from_secs(1);

/// How long a passive client stays for what may still come, once it has nothing to do.
pub const PASSIVE_STAYS: Duration = Duration::from_secs(10);

/// How soon after new settings the facts are looked at again.
const TAKEN_BACK_WITHIN: Duration = Duration::from_secs(1);

/// How often the facts are looked at for a change.
pub const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The agent was told to stop, and has said goodbye.
    #[error("stopped")]
    Stopped,
    /// A passive client has nothing to do here; it comes back when it is called, or then.
    #[error("nothing to do for a passive client")]
    Passive {
        /// When to check in next.
        until: Instant,
    },
    /// The server said no.
    #[error("refused by the server: {}", .0.message)]
    Refused(Refused),
    /// The server asked to come back later.
    #[error("the server asks to come back later")]
    RetryLater(Duration),
    /// The server closed, with this code if it gave one.
    #[error("closed by the server{}", shown(*.0))]
    Closed(Option<u16>),
    /// Nothing was heard for two and a half heartbeats.
    #[error("nothing heard from the server for {0:?}")]
    Silent(Duration),
    /// The server took too long to answer `hello`, or to take a frame.
    #[error("the server is too slow")]
    TooSlow,
    /// The server sent what the protocol does not allow.
    #[error("the server broke the protocol")]
    Misspoke(#[source] ProtocolError),
    /// The server sent a binary message, or a frame that may not be sent now.
    #[error("the server broke the protocol: {0}")]
    Misplaced(CloseCode),
    /// A frame of our own is outside the limits.
    #[error("a frame could not be sent")]
    Unsendable(#[source] ProtocolError),
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[source] Box<SocketError>),
    /// A new identity could not be kept.
    #[error("could not keep the identity")]
    NotKept(#[source] StoreError),
}

fn shown(code: Option<u16>) -> String {
    match (code, code.and_then(CloseCode::from_number)) {
        (_, Some(code)) => format!(" with {code}"),
        (Some(number), None) => format!(" with {number}"),
        (None, None) => String::new(),
    }
}

impl Ended {
    /// What to close the connection with; none if it is closed or gone.
    fn close_code(&self) -> Option<CloseCode> {
        match self {
            Self::Stopped
            | Self::Passive { .. }
            | Self::Refused(_)
            | Self::RetryLater(_)
            | Self::NotKept(_)
            | Self::Unsendable(_) => Some(CloseCode::Normal),
            Self::Silent(_) | Self::TooSlow => Some(CloseCode::TimedOut),
            Self::Misspoke(error) => Some(error.close_code()),
            Self::Misplaced(code) => Some(*code),
            Self::Closed(_) | Self::Broken(_) => None,
        }
    }

    /// How long the server asks to stay away.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RetryLater(after) => Some(*after),
            Self::Refused(refused) => refused.retry_after_ms.map(Duration::from_millis),
            _ => None,
        }
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Visit {
    /// When to check in next, by what was recorded on the connections before; none where there was none.
    pub due: Option<Instant>,
    /// A passive client was called; else it comes by itself.
    pub called: bool,
}

/// What became of a connection.
#[derive(Debug)]
pub struct Ran {
    /// How it ended.
    pub ended: Ended,
    /// How long it was online, if it was.
    pub online_for: Option<Duration>,
    /// When to check in next, on whichever connection there is then.
    pub check_in_due: Option<Instant>,
}

/// What a connection works on, for as long as it lasts.
pub struct Link<'a> {
    socket: Socket,
    local_ip: Option<IpAddr>,
    store: &'a mut Store,
    sessions: &'a mut Sessions,
    machine: &'a Machine,
    /// Where the server is.
    url: String,
    /// The anchors that the connection was made with.
    trusted: Trusted,
    stop: watch::Receiver<bool>,
    clock: WallClock,
    calls: Calls,
    listen: Option<SocketAddr>,
    visit: Visit,
    /// How the site wants this client to be; in force before it is on disk.
    settings: Option<Settings>,
    /// What is on its way to the disk.
    keeping: Keeping,
    /// Since when a passive client has had nothing to do, and no check-in waits for the log.
    idle_since: Option<Instant>,
    /// The last check-in that is in the log.
    recorded: u64,
    /// The last check-in that was sent because it was due, until it is in the log.
    due_sent: Option<(u64, Instant)>,
    /// How often to check in.
    interval: Duration,
    sent_facts: Facts,
    sequence: u64,
    /// The version agreed on; 0 before `welcome`.
    protocol: u16,
    online_since: Option<Instant>,
}

impl<'a> Link<'a> {
    /// A connection that has not said hello yet. `store` must hold a state.
    pub fn new(
        dialed: Dialed,
        store: &'a mut Store,
        sessions: &'a mut Sessions,
        machine: &'a Machine,
        stop: watch::Receiver<bool>,
        clock: WallClock,
    ) -> Self {
        let Dialed { socket, local_ip } = dialed;
        let settings = store.state().and_then(|state| state.settings.clone());
        Self {
            socket,
            local_ip,
            store,
            sessions,
            machine,
            url: String::new(),
            trusted: Trusted::Newest,
            stop,
            clock,
            calls: Calls::default(),
            listen: None,
            visit: Visit::default(),
            settings,
            keeping: Keeping::default(),
            idle_since: None,
            recorded: 0,
            due_sent: None,
            interval: Duration::MAX,
            sent_facts: Facts::default(),
            sequence: 0,
            protocol: 0,
            online_since: None,
        }
    }

    /// The same for a client that waits to be called at `listen` where it is passive.
    #[must_use]
    pub fn called_by(mut self, calls: Calls, listen: SocketAddr) -> Self {
        self.calls = calls;
        self.listen = Some(listen);
        self
    }

    /// The same over a connection to `url` that was made with these anchors.
    #[must_use]
    pub fn reached(mut self, url: &str, trusted: Trusted) -> Self {
        url.clone_into(&mut self.url);
        self.trusted = trusted;
        self
    }

    /// The same for this visit.
    #[must_use]
    pub fn on(mut self, visit: Visit) -> Self {
        self.visit = visit;
        self
    }

    /// Says hello and does what the server says until the connection ends; what it was told to keep is on disk then.
    pub async fn run(mut self, boot_id: &str, identity: Identity, facts: Facts) -> Ran {
        let Err(ended) = self.drive(boot_id, identity, facts).await;
        let online_for = self.online_since.map(|since| since.elapsed());
        self.end(&ended).await;
        self.keep_the_rest().await;
        Ran {
            ended,
            online_for,
            check_in_due: self.visit.due,
        }
    }

    /// Says hello only to say that this client is being uninstalled. Answers when the server has closed as it does once that
    /// is written down.
    ///
    /// # Errors
    /// How the connection ended otherwise.
    pub async fn uninstall(
        mut self,
        boot_id: &str,
        identity: Identity,
        facts: Facts,
    ) -> Result<(), Ended> {
        let said = async {
            let welcome = self.begin(boot_id, identity, facts).await?;
            if welcome.protocol < version::WITH_SETTINGS {
                return Err(Ended::Misplaced(CloseCode::UnknownFrame));
            }
            self.send(ClientFrame::Uninstalling {}).await?;
            loop {
                // What was on its way to this client means nothing to it any more.
                read(self.socket.next().await)?;
            }
        };
        let Err::<std::convert::Infallible, Ended>(ended) = said.await;
        self.end(&ended).await;
        self.keep_the_rest().await;
        match ended {
            Ended::Closed(Some(code)) if code == CloseCode::Normal.number() => Ok(()),
            // Where items are removed with their client, it may hear of that first.
            Ended::Refused(refused) if refused.code == RefusedCode::ClientRemoved => Ok(()),
            ended => Err(ended),
        }
    }

    async fn end(&mut self, ended: &Ended) {
        match (ended, ended.close_code()) {
            // The answer to the server's close frame; whether it arrives changes nothing any more.
            (Ended::Closed(_), _) => drop(timeout(GONE_WITHIN, self.socket.flush()).await),
            (_, Some(code)) => self.close(code).await,
            (_, None) => {}
        }
    }

    async fn drive(
        &mut self,
        boot_id: &str,
        identity: Identity,
        facts: Facts,
    ) -> Result<std::convert::Infallible, Ended> {
        let welcome = self.begin(boot_id, identity, facts).await?;
        self.stay(&welcome).await
    }

    /// From `hello` to a welcome that is taken over.
    async fn begin(
        &mut self,
        boot_id: &str,
        identity: Identity,
        facts: Facts,
    ) -> Result<Welcome, Ended> {
        let registers = matches!(identity, Identity::Register(_));
        let facts = self.as_asked(facts);
        let hello = Hello {
            protocols: version::offered(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            boot_id: boot_id.to_owned(),
            identity,
            facts: facts.clone(),
            sessions: self.sessions.lsids(),
        };
        self.send(ClientFrame::Hello(Box::new(hello))).await?;
        self.sent_facts = facts;
        let welcome = self.await_welcome().await?;
        self.accept(&welcome, registers).await?;
        self.online_since = Some(Instant::now());
        // Whoever called has what they wanted.
        self.calls.forget();
        tracing::info!(client_id = welcome.client_id, "online");
        Ok(welcome)
    }

    async fn await_welcome(&mut self) -> Result<Welcome, Ended> {
        let deadline = Instant::now() + WELCOME_WITHIN;
        loop {
            let message = tokio::select! {
                () = told_to_stop(&mut self.stop) => return Err(self.say_goodbye().await),
                () = sleep_until(deadline) => return Err(Ended::TooSlow),
                message = self.socket.next() => message,
            };
            match read(message)? {
                None => {}
                Some(ServerFrame::Welcome(welcome)) => return Ok(*welcome),
                Some(ServerFrame::Refused(refused)) => return Err(Ended::Refused(refused)),
                Some(ServerFrame::RetryLater { after_ms }) => return Err(later(after_ms)),
                Some(_) => return Err(Ended::Misplaced(CloseCode::OutOfOrder)),
            }
        }
    }

    /// Takes a welcome over: what must be kept is on disk before anything is confirmed.
    async fn accept(&mut self, welcome: &Welcome, registers: bool) -> Result<(), Ended> {
        let invalid = |field, reason| Ended::Misspoke(ProtocolError::Invalid { field, reason });
        if version::agree(&[welcome.protocol]).is_none() {
            return Err(invalid("protocol", "it was not offered"));
        }
        self.protocol = welcome.protocol;
        if registers {
            let Some(token) = welcome.token.clone() else {
                return Err(invalid("token", "a new client needs one"));
            };
            let mut next = self.state().clone();
            next.worked(&self.url, self.trusted);
            next.client = Some(Client {
                id: welcome.client_id,
                token,
            });
            next.attempt = None;
            self.store.change(next).await.map_err(Ended::NotKept)?;
            tracing::info!(client_id = welcome.client_id, "registered");
            self.send(ClientFrame::TokenStored {}).await?;
        } else {
            if self
                .state()
                .client
                .as_ref()
                .is_none_or(|client| client.id != welcome.client_id)
            {
                return Err(invalid("client_id", "it is another client's"));
            }
            self.keep(Change::Worked).await?;
            if let Some(token) = welcome.token.clone() {
                self.keep(Change::Token(token)).await?;
            }
        }
        self.keep(Change::Anchors(welcome.anchors.clone())).await
    }

    /// Does what the server says, until the end.
    async fn stay(&mut self, welcome: &Welcome) -> Result<std::convert::Infallible, Ended> {
        let silence = Duration::from_secs(u64::from(welcome.heartbeat_seconds)) * 5 / 2;
        self.interval = Duration::from_secs(u64::from(welcome.check_in_seconds));
        let mut heard_at = Instant::now();
        let mut next_look = heard_at + LOOK_EVERY;
        let mut next_check_in = self.first_check_in(welcome, heard_at);
        let at_once = next_check_in <= heard_at;
        let mut reading: Option<Pin<Box<dyn Future<Output = Reading> + Send + '_>>> = None;
        let machine = self.machine;
        loop {
            let idle = reading.is_none();
            self.note_idleness(idle && (!at_once || self.sequence > 0));
            let leave_at = self.idle_since.map(|since| since + PASSIVE_STAYS);
            tokio::select! {
                () = async { match leave_at { Some(at) => sleep_until(at).await, None => pending().await } } => {
                    let left = self.say_goodbye().await;
                    tracing::debug!(%left, "a passive client leaves");
                    return Err(Ended::Passive { until: next_check_in });
                }
                () = told_to_stop(&mut self.stop) => return Err(self.say_goodbye().await),
                () = sleep_until(heard_at + silence) => return Err(Ended::Silent(silence)),
                message = self.socket.next() => {
                    let frame = read(message)?;
                    heard_at = Instant::now();
                    match frame {
                        Some(ServerFrame::Settings(settings)) => {
                            let asked = Duration::from_secs(u64::from(settings.check_in_seconds));
                            if asked != self.interval {
                                // A new interval counts from now on; a shorter one is not exceeded once more.
                                self.interval = asked;
                                next_check_in = next_check_in.min(heard_at + asked);
                                self.visit.due = self.visit.due.map(|due| due.min(heard_at + asked));
                            }
                            self.take_settings(settings).await?;
                            // Statistics that are not wanted any more are taken back soon.
                            next_look = next_look.min(heard_at + TAKEN_BACK_WITHIN);
                        }
                        Some(frame) => self.obey(frame).await?,
                        None => {}
                    }
                }
                // Whoever switched the client off looks at the site next (CLNT-29).
                () = machine.switched(), if idle && next_look > Instant::now() => {
                    next_look = Instant::now();
                }
                // A disk takes its time, in which pings must be answered.
                written = self.keeping.written() => self.wrote(written).await?,
                // So does reading the machine.
                () = sleep_until(next_check_in.min(next_look)), if idle => {
                    reading = Some(Box::pin(machine.read()));
                }
                done = async { match reading.as_mut() { Some(reading) => reading.await, None => pending().await } } => {
                    reading = None;
                    let now = Instant::now();
                    next_look = now + LOOK_EVERY;
                    let due = now >= next_check_in;
                    if due {
                        next_check_in = now + self.interval;
                    }
                    self.check_in(done, due).await?;
                }
            }
        }
    }

    /// When to check in first on this connection: what is due stays due when a connection ends, and a passive client that comes
    /// by itself comes for that (CLNT-32).
    fn first_check_in(&mut self, welcome: &Welcome, now: Instant) -> Instant {
        let by_itself = self.is_passive() && !self.visit.called;
        if welcome.check_in_now || by_itself {
            self.visit.due = Some(now);
        }
        let due = self.visit.due.get_or_insert(now + self.interval);
        *due = (*due).min(now + self.interval);
        *due
    }

    async fn obey(&mut self, frame: ServerFrame) -> Result<(), Ended> {
        match frame {
            ServerFrame::Welcome(_) => Err(Ended::Misplaced(CloseCode::OutOfOrder)),
            ServerFrame::Refused(refused) => Err(Ended::Refused(refused)),
            ServerFrame::RetryLater { after_ms } => Err(later(after_ms)),
            ServerFrame::Ping { nonce } => self.send(ClientFrame::Pong { nonce }).await,
            // Where nothing else may come, the loop takes them itself.
            ServerFrame::Settings(settings) => self.take_settings(settings).await,
            ServerFrame::CheckInRecorded { sequence } => {
                tracing::debug!(sequence, "check-in recorded");
                self.recorded = sequence;
                if let Some((_, at)) = self.due_sent.take_if(|(sent, _)| *sent <= sequence) {
                    self.visit.due = Some(at + self.interval);
                }
                self.keep(Change::Seen).await
            }
            ServerFrame::StartSession(start) if self.machine.is_disabled() => {
                self.send(ClientFrame::SessionFailed {
                    lsid: start.lsid,
                    reason: SessionFailReason::ClientDisabled,
                    detail: String::new(),
                })
                .await
            }
            ServerFrame::StartSession(start) => {
                let answer = self.sessions.start(start);
                self.send(answer).await
            }
            ServerFrame::EndSession(end) => {
                let answer = self.sessions.end(end);
                self.send(answer).await
            }
            ServerFrame::RotateToken { token } => self.keep(Change::Token(token)).await,
            ServerFrame::Anchors(anchors) => self.keep(Change::Anchors(anchors)).await,
            ServerFrame::Addresses(addresses) if self.protocol >= version::WITH_ADDRESSES => {
                self.keep(Change::Addresses(addresses)).await
            }
            ServerFrame::Addresses(_) => Err(Ended::Misplaced(CloseCode::UnknownFrame)),
        }
    }

    /// Checks in if it is due or a fact has changed.
    async fn check_in(&mut self, reading: Reading, due: bool) -> Result<(), Ended> {
        let facts = self.as_asked(reading.facts);
        let changed = facts.changed_since(&self.sent_facts);
        if !due && changed.is_empty() {
            return Ok(());
        }
        self.sequence += 1;
        let check_in = CheckIn {
            sequence: self.sequence,
            facts: changed,
            figures: match &self.settings {
                Some(settings) => reading
                    .figures
                    .only(|statistic| settings.collects(statistic)),
                None => reading.figures,
            },
        };
        self.send(ClientFrame::CheckIn(Box::new(check_in))).await?;
        self.sent_facts = facts;
        if due {
            self.due_sent = Some((self.sequence, Instant::now()));
        }
        tracing::debug!(sequence = self.sequence, "checked in");
        Ok(())
    }

    fn is_passive(&self) -> bool {
        self.settings
            .as_ref()
            .is_some_and(|settings| settings.passive)
    }

    /// Is as the server wants from now on.
    async fn take_settings(&mut self, settings: Settings) -> Result<(), Ended> {
        self.settings = Some(settings.clone());
        if !self.is_passive() {
            self.calls.close();
        }
        self.listen_where_passive().await;
        self.keep(Change::Settings(Box::new(settings))).await
    }

    /// A passive client that can't be called keeps its connection, as an active one does.
    async fn listen_where_passive(&mut self) {
        let Some(listen) = self.listen.filter(|_| self.is_passive()) else {
            return;
        };
        if let Some(client) = &self.state().client {
            self.calls.answer_as(client.id);
        }
        if let Err(error) = self.calls.listen(listen).await {
            tracing::error!(%error, %listen, "calls can't be heard; the connection is kept");
        }
    }

    /// Notes since when there is nothing to do: `ready` where what has to be said at the beginning was said.
    fn note_idleness(&mut self, ready: bool) {
        let is_idle = ready
            && self.is_passive()
            && self.calls.port() != 0
            && self.sent_facts.listen_port == Some(self.calls.port())
            && self.recorded == self.sequence
            && self.keeping.is_done()
            && self.sessions.lsids().is_empty();
        self.idle_since = match (is_idle, self.idle_since) {
            (true, since) => since.or_else(|| Some(Instant::now())),
            (false, _) => None,
        };
    }

    async fn say_goodbye(&mut self) -> Ended {
        for frame in self
            .sessions
            .end_all()
            .into_iter()
            .chain([ClientFrame::Goodbye {}])
        {
            if let Err(ended) = self.send(frame).await {
                return ended;
            }
        }
        if timeout(CLOSED_WITHIN, self.see_closed()).await.is_err() {
            tracing::debug!("the server did not close after goodbye");
        }
        Ended::Stopped
    }

    async fn send(&mut self, frame: ClientFrame) -> Result<(), Ended> {
        let text = frame.to_text().map_err(Ended::Unsendable)?;
        match timeout(SENT_WITHIN, self.socket.send(Message::text(text))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Ended::Broken(Box::new(error))),
            Err(_) => Err(Ended::TooSlow),
        }
    }

    /// Says why, and waits a moment for the other side; whatever goes wrong now, the link is over.
    async fn close(&mut self, code: CloseCode) {
        let frame = CloseFrame {
            code: code.number().into(),
            reason: code.reason().into(),
        };
        let closed = async {
            if self.socket.close(Some(frame)).await.is_ok() {
                self.see_closed().await;
            }
        };
        let _ = timeout(GONE_WITHIN, closed).await;
    }

    /// Skips what still comes, up to the server's close frame, and answers that.
    async fn see_closed(&mut self) {
        while let Some(Ok(message)) = self.socket.next().await {
            if message.is_close() {
                // The answer is queued by now; whether it arrives changes nothing any more.
                let _ = self.socket.flush().await;
                break;
            }
        }
    }

    /// The facts with the address of this connection, and without a console user where nobody wants to know (CLNT-31).
    fn as_asked(&self, facts: Facts) -> Facts {
        let wanted = self
            .settings
            .as_ref()
            .is_none_or(|settings| settings.collects("console_user"));
        Facts {
            private_ip: self.local_ip.map(|ip| ip.to_string()),
            listen_port: self.is_passive().then(|| self.calls.port()),
            console_user: facts.console_user.filter(|_| wanted),
            ..facts
        }
    }

    fn state(&self) -> &State {
        self.store
            .state()
            .expect("a link is made over a store that holds a state")
    }
}

/// What came, if it is a frame and not one of WebSocket's own messages.
fn read(message: Option<Result<Message, SocketError>>) -> Result<Option<ServerFrame>, Ended> {
    match message {
        None => Err(Ended::Closed(None)),
        Some(Ok(Message::Text(text))) => {
            ServerFrame::parse(&text).map(Some).map_err(Ended::Misspoke)
        }
        Some(Ok(Message::Binary(_))) => Err(Ended::Misplaced(CloseCode::BinaryFrame)),
        Some(Ok(Message::Close(frame))) => Err(Ended::Closed(frame.map(|frame| frame.code.into()))),
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(None),
        Some(Err(SocketError::Capacity(_))) => Err(Ended::Misplaced(CloseCode::FrameTooBig)),
        Some(Err(SocketError::ConnectionClosed | SocketError::AlreadyClosed)) => {
            Err(Ended::Closed(None))
        }
        Some(Err(error)) => Err(Ended::Broken(Box::new(error))),
    }
}

fn later(after_ms: u64) -> Ended {
    Ended::RetryLater(Duration::from_millis(after_ms))
}

/// Answers when the agent shall stop; also when nobody is left to say so.
pub(crate) async fn told_to_stop(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, and with it the program's main part.
    let _ = stop.wait_for(|stop| *stop).await;
}
