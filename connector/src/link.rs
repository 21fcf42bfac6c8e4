//! The conversation with one agent: hello, welcome, frames both ways, proof of life, the end.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use domain::fleet::jump_client::{Command as ClientCommand, Facts};
use domain::ids::{JumpClientId, KeyedHash, LinkId, Lsid};
use domain::site::agent_trust::Confirmed;
use engine::ExecuteError;
use link_protocol::refusing::CloseCode;
use link_protocol::{
    CheckIn, ClientFrame, Hello, Refused, RefusedCode, Secret, ServerFrame, SessionEndReason,
    SessionFailReason, Welcome, limits, version,
};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::admission::Applicant;
use crate::greeting::{self, Greeted, Turned};
use crate::hub::{self, Hub, Inner};
use crate::mailbox::{End, Mailbox, Order, Told};
use crate::saying::{Overfull, Replied, Saying, Sayings};
use crate::transport::{Incoming, Transport};
use frames::Frames;

mod frames;
mod trust;

/// How long an agent may take to accept one frame before it counts as gone.
const SEND_WITHIN: Duration = Duration::from_secs(10);
/// How long the last frame and the close of a link may take together.
const FINISH_WITHIN: Duration = Duration::from_secs(5);
/// How long the end of a link waits for what it was saying to the log.
const SETTLE_WITHIN: Duration = Duration::from_secs(5);

/// Drives one link from its first frame to its end.
///
/// A link is one of many thousands and most of its life only waits. What happens once in it, or seldom, is boxed, so that
/// waiting does not hold the room for it.
pub(crate) async fn serve<T: Transport>(
    hub: &Hub,
    mut transport: T,
    peer: SocketAddr,
    link: LinkId,
) {
    let Some(mut talk) = Box::pin(open(hub, &mut transport, peer, link)).await else {
        return;
    };
    let end = talk.run(&mut transport).await;
    Box::pin(talk.close(&mut transport, &end)).await;
}

/// From the first frame to a welcome; none where it did not come to that, and the link is at its end.
async fn open<'h, T: Transport>(
    hub: &'h Hub,
    transport: &mut T,
    peer: SocketAddr,
    link: LinkId,
) -> Option<Box<Talk<'h>>> {
    let mut frames = Frames::default();
    let (protocol, hello, mut greeted) = match let_in(hub, transport, &mut frames, peer, link).await
    {
        Ok(known) => known,
        Err(end) => {
            finish(transport, &end).await;
            return None;
        }
    };
    let Some(mailbox) = hub.0.take_place(&greeted, link.connection) else {
        finish(transport, &End::replaced()).await;
        return None;
    };
    let token = greeted.token.take();
    let mut talk = Box::new(Talk {
        frames,
        ..Talk::new(hub, link, peer.ip(), protocol, greeted, mailbox)
    });
    match talk.begin(transport, token, &hello.sessions).await {
        Ok(()) => Some(talk),
        Err(end) => {
            talk.close(transport, &end).await;
            None
        }
    }
}

async fn finish<T: Transport>(transport: &mut T, end: &End) {
    let finish = async {
        if let Some(frame) = &end.last {
            match frame.to_text() {
                // The agent may be gone already; then there is nobody to tell.
                Ok(text) => drop(transport.send(text).await),
                Err(error) => tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a last frame of ours is not right"
                ),
            }
        }
        transport.close(end.code.number(), end.code.reason()).await;
    };
    if timeout(FINISH_WITHIN, finish).await.is_err() {
        tracing::debug!("an agent did not take the end of its link");
    }
}

async fn let_in<T: Transport>(
    hub: &Hub,
    transport: &mut T,
    frames: &mut Frames,
    peer: SocketAddr,
    link: LinkId,
) -> Result<(u16, Hello, Greeted), End> {
    let inner = hub.0.as_ref();
    if !inner.is_accepting() {
        return Err(End::later(inner.later_ms()));
    }
    let hello = hear_hello(transport, frames).await?;
    let Some(protocol) = version::agree(&hello.protocols) else {
        let refused = Refused {
            code: RefusedCode::ProtocolNotSupported,
            message: "No protocol version in common.".to_owned(),
            retry_after_ms: None,
            is_final: false,
        };
        return Err(End {
            code: CloseCode::NoCommonProtocol,
            last: Some(Box::new(ServerFrame::Refused(refused))),
            reason: "no protocol in common",
        });
    };
    let mut greeted = greeting::greet(inner, &hello, link, peer, false).await;
    if let Err(Turned::Held(place, who)) = greeted {
        // Only who has proven itself is given a place to wait for.
        transport.authenticated();
        hold(inner, transport, frames, place, who).await?;
        greeted = greeting::greet(inner, &hello, link, peer, true).await;
    }
    match greeted {
        Ok(greeted) => Ok((protocol, hello, greeted)),
        // Its place has come, so it is not held again.
        Err(Turned::Held(..)) => Err(End::later(inner.later_ms())),
        Err(Turned::Later(after_ms)) => Err(End::later(after_ms)),
        Err(Turned::Away { refused, stranger }) => {
            if let (true, Some(counter)) = (stranger, &inner.refused_attempts) {
                counter.count(peer, limits::LINK_PATH, &refused.message);
            }
            Err(End {
                code: CloseCode::Refused,
                last: Some(Box::new(ServerFrame::Refused(refused))),
                reason: "refused",
            })
        }
    }
}

/// Holds an agent on its link until its place comes. One that does not wait for it gives it up; one that says hello on a newer
/// link has it there.
async fn hold<T: Transport>(
    inner: &Inner,
    transport: &mut T,
    frames: &mut Frames,
    place: Instant,
    who: Applicant,
) -> Result<(), End> {
    let mut holding = inner.admission.hold(who, place);
    loop {
        let incoming = tokio::select! {
            biased;
            _ = &mut holding.taken_over => return Err(End::replaced()),
            () = sleep_until(place) => return Ok(()),
            incoming = transport.receive() => incoming.ok_or(End::gone())?,
        };
        match frames.read(incoming)? {
            None => {}
            Some(ClientFrame::Goodbye {}) => return Err(End::with(CloseCode::Normal, "goodbye")),
            Some(_) => {
                let reason = "a frame before the welcome";
                return Err(End::with(CloseCode::OutOfOrder, reason));
            }
        }
    }
}

async fn hear_hello<T: Transport>(transport: &mut T, frames: &mut Frames) -> Result<Hello, End> {
    let hear = async {
        loop {
            let incoming = transport.receive().await.ok_or(End::gone())?;
            match frames.read(incoming)? {
                None => {}
                Some(ClientFrame::Hello(hello)) => return Ok(*hello),
                Some(_) => {
                    let reason = "the first frame was no hello";
                    return Err(End::with(CloseCode::OutOfOrder, reason));
                }
            }
        }
    };
    timeout(limits::HELLO_WITHIN, hear)
        .await
        .unwrap_or(Err(End::with(CloseCode::TimedOut, "no hello in time")))
}

/// An agent that is known, on its link.
struct Talk<'h> {
    hub: &'h Hub,
    link: LinkId,
    client: JumpClientId,
    boot_id: String,
    protocol: u16,
    facts: Facts,
    /// The facts that are in the log, or on their way there.
    written: Facts,
    /// Check-ins whose facts wait for their turn to be written.
    unwritten: Vec<u64>,
    /// When that is; none where nothing waits.
    write_at: Option<Instant>,
    /// The versions of the site's lists that it was told last.
    told_trust: Confirmed,
    /// The versions that it has on disk and that are not in the log yet.
    stored_trust: Confirmed,
    /// When those are to be said to the log again; none where nothing waits.
    confirm_at: Option<Instant>,
    /// Stands for the settings that it was told last.
    told_settings: Option<u64>,
    /// Whether it came back as the same boot with the same facts: then there is nothing to check in for.
    unchanged: bool,
    /// Hash of a token that was handed out and is not known to be kept.
    offered: Option<KeyedHash>,
    /// Whether a token is being offered just now.
    offering: bool,
    mailbox: Mailbox,
    sayings: Sayings,
    /// Check-ins that are gathered, oldest first: up to a minute.
    gathered: VecDeque<(Vec<u64>, oneshot::Receiver<()>)>,
    check_ins_waiting: usize,
    last_sequence: u64,
    probes: Vec<oneshot::Sender<bool>>,
    /// A newer connection came from another boot: an answer to the ping shows that there are two.
    challenged: bool,
    ping_sent: Option<Instant>,
    /// When the next ping is due, or the answer to the last one.
    wake_at: Instant,
    nonce: u64,
    frames: Frames,
}

impl<'h> Talk<'h> {
    fn new(
        hub: &'h Hub,
        link: LinkId,
        address: IpAddr,
        protocol: u16,
        greeted: Greeted,
        mailbox: Mailbox,
    ) -> Self {
        Self {
            hub,
            link,
            client: greeted.client,
            boot_id: greeted.boot_id,
            protocol,
            written: greeted.facts.clone(),
            facts: greeted.facts,
            unwritten: Vec::new(),
            write_at: None,
            told_trust: Confirmed::default(),
            stored_trust: Confirmed::default(),
            confirm_at: None,
            told_settings: None,
            unchanged: greeted.unchanged,
            offered: greeted.offered,
            offering: false,
            mailbox,
            sayings: Sayings::new(hub, greeted.client, link, address),
            gathered: VecDeque::new(),
            check_ins_waiting: 0,
            last_sequence: 0,
            probes: Vec::new(),
            challenged: false,
            ping_sent: None,
            wake_at: Instant::now() + hub.0.heartbeat,
            nonce: 0,
            frames: Frames::default(),
        }
    }

    /// Welcomes the client and brings its sessions to what the world says; its place is taken.
    async fn begin<T: Transport>(
        &mut self,
        transport: &mut T,
        token: Option<Secret>,
        kept: &[String],
    ) -> Result<(), End> {
        let inner = self.hub.0.as_ref();
        // From here on the follower finds this link; what happened before stands in the world.
        if let Some(end) = inner.objection(self.client, self.link) {
            return Err(end);
        }
        transport.authenticated();
        self.welcome(transport, token).await?;
        if let Some(known) = inner.engine.published().world.endpoint(self.client) {
            self.written = known.facts.clone();
        }
        self.put_facts(None)?;
        self.send_settings(transport).await?;
        self.send_trust(transport).await?;
        let told = inner.sessions_to_tell(self.client, kept);
        for frame in told.frames {
            send(&self.hub.0, transport, frame).await?;
        }
        for lsid in told.unknown_at_agent {
            self.say(Saying::End(lsid, "unknown_session".to_owned()))?;
        }
        Ok(())
    }

    async fn welcome<T: Transport>(
        &mut self,
        transport: &mut T,
        token: Option<Secret>,
    ) -> Result<(), End> {
        let inner = self.hub.0.as_ref();
        let anchors = inner.anchors();
        self.told_trust.anchors = anchors.version;
        let site_time = inner.engine.clock().now().0 / 1_000;
        let welcome = Welcome {
            protocol: self.protocol,
            client_id: u64::from(self.client.0),
            token,
            heartbeat_seconds: u32::try_from(inner.heartbeat.as_secs())
                .unwrap_or(limits::HEARTBEAT_SECONDS_DEFAULT),
            check_in_seconds: hub::check_in_seconds(&inner.engine.published().world, self.client),
            check_in_now: !self.unchanged,
            anchors,
            site_time_ms: u64::try_from(site_time).unwrap_or(0),
        };
        send(
            &self.hub.0,
            transport,
            ServerFrame::Welcome(Box::new(welcome)),
        )
        .await
    }

    /// Tells the client how it shall be, where it speaks a protocol that has that and was not told the same last.
    async fn send_settings<T: Transport>(&mut self, transport: &mut T) -> Result<(), End> {
        if self.protocol < version::WITH_SETTINGS {
            return Ok(());
        }
        let settings = self.hub.0.settings_of(self.client);
        let mut hasher = DefaultHasher::new();
        format!("{settings:?}").hash(&mut hasher);
        let stands_for = Some(hasher.finish());
        if self.told_settings == stands_for {
            return Ok(());
        }
        self.told_settings = stands_for;
        send(&self.hub.0, transport, ServerFrame::Settings(settings)).await
    }

    async fn run<T: Transport>(&mut self, transport: &mut T) -> End {
        loop {
            let due_at = self.due_at();
            let step = tokio::select! {
                told = self.mailbox.next() => match told {
                    Told::Settings => Box::pin(self.send_settings(transport)).await,
                    Told::Trust => Box::pin(self.send_trust(transport)).await,
                    Told::Order(order) => Box::pin(self.obey(transport, order)).await,
                    Told::End(end) => Err(end),
                },
                incoming = transport.receive() => match incoming {
                    Some(incoming) => self.hear(incoming),
                    None => Err(End::gone()),
                },
                replied = self.sayings.next() => Box::pin(self.reply(transport, replied)).await,
                (sequences, recorded) = first_recorded(&mut self.gathered) => {
                    Box::pin(self.recorded(transport, sequences, recorded)).await
                }
                () = sleep_until(due_at) => {
                    Box::pin(self.wake(transport)).await
                }
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    /// When something is due next.
    fn due_at(&self) -> Instant {
        let others = [self.write_at, self.confirm_at];
        others
            .into_iter()
            .flatten()
            .fold(self.wake_at, Instant::min)
    }

    /// Does what is due now.
    async fn wake<T: Transport>(&mut self, transport: &mut T) -> Result<(), End> {
        let now = Instant::now();
        if self.write_at.is_some_and(|at| at <= now) {
            self.put_facts(None)?;
        }
        if self.confirm_at.is_some_and(|at| at <= now) {
            self.confirm_trust(Confirmed::default())?;
        }
        if self.wake_at > now {
            return Ok(());
        }
        match self.ping_sent {
            None => self.ping(transport).await,
            Some(_) => Err(self.silent()),
        }
    }

    // --- proof of life ---

    async fn ping<T: Transport>(&mut self, transport: &mut T) -> Result<(), End> {
        self.nonce += 1;
        let now = Instant::now();
        self.ping_sent = Some(now);
        self.wake_at = now + limits::PONG_WITHIN;
        send(
            &self.hub.0,
            transport,
            ServerFrame::Ping { nonce: self.nonce },
        )
        .await
    }

    fn silent(&self) -> End {
        if self.challenged {
            End::replaced()
        } else {
            End::with(CloseCode::TimedOut, "no answer to a ping")
        }
    }

    fn hear_pong(&mut self, nonce: u64) -> Result<(), End> {
        // Only an answer to the newest ping shows that the machine is there now.
        if nonce != self.nonce {
            return Ok(());
        }
        if let Some(sent) = self.ping_sent.take() {
            self.wake_at = sent + self.hub.0.heartbeat;
        }
        for probe in self.probes.drain(..) {
            // Whoever asked may have stopped waiting.
            let _ = probe.send(true);
        }
        if std::mem::take(&mut self.challenged) {
            let evidence = "two machines answered at once".to_owned();
            self.say(Saying::Quarantine(evidence))?;
        }
        Ok(())
    }

    // --- what the hub wants ---

    async fn obey<T: Transport>(&mut self, transport: &mut T, order: Order) -> Result<(), End> {
        match order {
            Order::Send(frame) => send(&self.hub.0, transport, *frame).await,
            Order::End(end) => Err(*end),
            Order::Probe(answer) => {
                self.probes.push(answer);
                self.ping(transport).await
            }
            Order::Displaced { boot_id } if boot_id == self.boot_id => Err(End::replaced()),
            Order::Displaced { .. } if self.challenged => Ok(()),
            Order::Displaced { .. } => {
                self.challenged = true;
                self.ping(transport).await
            }
        }
    }

    // --- what the agent says ---

    fn hear(&mut self, incoming: Incoming) -> Result<(), End> {
        let Some(frame) = self.frames.read(incoming)? else {
            return Ok(());
        };
        match frame {
            ClientFrame::Hello(_) => {
                return Err(End::with(CloseCode::OutOfOrder, "a second hello"));
            }
            ClientFrame::CheckIn(check_in) => self.hear_check_in(&check_in)?,
            ClientFrame::SessionStarted { lsid } => {
                if let Some(lsid) = known(&lsid) {
                    self.say(Saying::Establish(lsid))?;
                }
            }
            ClientFrame::SessionFailed {
                lsid,
                reason,
                detail,
            } => {
                if let Some(lsid) = known(&lsid) {
                    self.say(Saying::Fail(lsid, fail_words(&reason, &detail)))?;
                }
            }
            // The answer to our own order finds the session over, and nothing comes of it.
            ClientFrame::SessionEnded { lsid, reason } => {
                if let Some(lsid) = known(&lsid) {
                    self.say(Saying::End(lsid, end_words(&reason)))?;
                }
            }
            ClientFrame::TokenStored {} => {
                if let Some(token) = self.offered.take() {
                    self.say(Saying::ConfirmToken(token))?;
                }
            }
            ClientFrame::AnchorsStored { version } => self.confirm_trust(Confirmed {
                anchors: version,
                addresses: 0,
            })?,
            ClientFrame::AddressesStored { version }
                if self.protocol >= version::WITH_ADDRESSES =>
            {
                self.confirm_trust(Confirmed {
                    anchors: 0,
                    addresses: version,
                })?;
            }
            ClientFrame::Pong { nonce } => self.hear_pong(nonce)?,
            ClientFrame::Uninstalling {} if self.protocol >= version::WITH_SETTINGS => {
                self.say(Saying::Uninstall)?;
            }
            ClientFrame::Uninstalling {} | ClientFrame::AddressesStored { .. } => {
                return Err(End::with(
                    CloseCode::UnknownFrame,
                    "a frame of another protocol",
                ));
            }
            ClientFrame::Goodbye {} => return Err(End::with(CloseCode::Normal, "goodbye")),
        }
        Ok(())
    }

    fn hear_check_in(&mut self, check_in: &CheckIn) -> Result<(), End> {
        if check_in.sequence != self.last_sequence + 1 {
            return Err(End::with(
                CloseCode::OutOfOrder,
                "a check-in was out of order",
            ));
        }
        if self.check_ins_waiting >= limits::CHECK_INS_WAITING_MAX {
            return Err(End::with(
                CloseCode::TooManyFrames,
                "too many check-ins at once",
            ));
        }
        self.last_sequence = check_in.sequence;
        self.check_ins_waiting += 1;
        let inner = self.hub.0.as_ref();
        let published = inner.engine.published();
        let settings = &published.world.settings;
        self.facts = greeting::collected(settings, greeting::merge(&self.facts, &check_in.facts));
        let figures = check_in.figures.clone();
        let figures = figures.only(|statistic| settings.collects(statistic));
        inner.figures.put(&inner.engine, self.client, &figures);
        self.put_facts(Some(check_in.sequence))?;
        self.renew_token()
    }

    /// Writes how the machine is, with the check-in that said so, or later: each change is an event that stays, so an agent has
    /// only so many. Of what waits, the newest is written.
    fn put_facts(&mut self, sequence: Option<u64>) -> Result<(), End> {
        self.unwritten.extend(sequence);
        if self.facts != self.written {
            let urgent = self.facts.disabled != self.written.disabled
                || self.facts.listen_port != self.written.listen_port;
            if let Err(at) = self.hub.0.may_write_facts(self.client, urgent) {
                self.write_at = Some(at);
                return Ok(());
            }
        } else if self.unwritten.is_empty() {
            self.write_at = None;
            return Ok(());
        }
        self.write_at = None;
        self.written = self.facts.clone();
        let sequences = std::mem::take(&mut self.unwritten);
        let facts = Box::new(self.facts.clone());
        self.say(if sequences.is_empty() {
            Saying::Facts(facts)
        } else {
            Saying::CheckIn { sequences, facts }
        })
    }

    /// Offers a new token on a link that lasts, where the present one is old.
    fn renew_token(&mut self) -> Result<(), End> {
        let inner = self.hub.0.as_ref();
        let published = inner.engine.published();
        let is_due = published
            .world
            .endpoint(self.client)
            .is_some_and(|client| client.token_is_due(inner.engine.clock().now()));
        if !is_due || self.offering || self.offered.is_some() {
            return Ok(());
        }
        self.offering = true;
        self.say(Saying::OfferToken)
    }

    fn say(&mut self, saying: Saying) -> Result<(), End> {
        self.sayings
            .say(saying)
            .map_err(|Overfull| End::later(self.hub.0.later_ms()))
    }

    // --- what the agent hears of it ---

    async fn reply<T: Transport>(
        &mut self,
        transport: &mut T,
        replied: Replied,
    ) -> Result<(), End> {
        match replied {
            Replied::Nothing => Ok(()),
            Replied::Recorded(sequences) => self.recorded(transport, sequences, true).await,
            Replied::Gathered(sequences, told) => {
                self.gathered.push_back((sequences, told));
                Ok(())
            }
            Replied::NotActive(lsid, refusal) => {
                let frame = hub::end_frame(lsid.to_string(), &refusal.to_string());
                send(&self.hub.0, transport, frame).await
            }
            Replied::Uninstalled => Err(End::with(CloseCode::Normal, "uninstalled")),
            Replied::Offered(token, hash) => {
                self.offering = false;
                self.offered = Some(hash);
                send(&self.hub.0, transport, ServerFrame::RotateToken { token }).await
            }
            Replied::NotOffered => {
                self.offering = false;
                Ok(())
            }
            Replied::TrustNotConfirmed => {
                self.confirm_trust_later();
                Ok(())
            }
            // It comes back with what it has.
            Replied::NotConfirmed => Err(End::later(self.hub.0.later_ms())),
            Replied::Quarantined => Err(hub::quarantined()),
            Replied::Later => Err(End::later(self.hub.0.later_ms())),
        }
    }

    async fn recorded<T: Transport>(
        &mut self,
        transport: &mut T,
        sequences: Vec<u64>,
        recorded: bool,
    ) -> Result<(), End> {
        self.check_ins_waiting = self.check_ins_waiting.saturating_sub(sequences.len());
        if !recorded {
            return Err(End::later(self.hub.0.later_ms()));
        }
        for sequence in sequences {
            send(
                &self.hub.0,
                transport,
                ServerFrame::CheckInRecorded { sequence },
            )
            .await?;
        }
        Ok(())
    }

    // --- the end ---

    /// Tells the agent, gives the place up and writes down that the link ended.
    async fn close<T: Transport>(&mut self, transport: &mut T, end: &End) {
        self.hub.0.leave_place(self.client, self.link.connection);
        tokio::join!(finish(transport, end), self.leave(end.reason));
    }

    /// Writes down that the link ended. What was being said is finished first: it was accepted.
    async fn leave(&mut self, reason: &str) {
        // Whoever waits for a proof of life knows at once.
        self.probes.clear();
        if timeout(SETTLE_WITHIN, self.sayings.settle()).await.is_err() {
            tracing::debug!(client = %self.client, "a link ends before all it said was settled");
        }
        let mut pause = Duration::from_millis(200);
        // The log says that the client is here until it says otherwise, so this is tried for as long as the node may live.
        while !self.hub.0.is_over() {
            let disconnect = ClientCommand::Disconnect {
                client: self.client,
                link: self.link,
                reason: reason.to_owned(),
            };
            match self.sayings.execute(disconnect).await {
                Ok(()) => return,
                Err(ExecuteError::Busy { .. } | ExecuteError::Unavailable { .. }) => {
                    sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(10));
                }
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, client = %self.client, "a disconnection is not written down");
                    return;
                }
            }
        }
    }
}

/// When the oldest gathered check-in is in the log, or will never be. Dropped before it ends, it has taken nothing.
async fn first_recorded(
    gathered: &mut VecDeque<(Vec<u64>, oneshot::Receiver<()>)>,
) -> (Vec<u64>, bool) {
    let Some((sequences, told)) = gathered.front_mut() else {
        return std::future::pending().await;
    };
    let recorded = told.await.is_ok();
    let sequences = std::mem::take(sequences);
    gathered.pop_front();
    (sequences, recorded)
}

async fn send<T: Transport>(
    inner: &Inner,
    transport: &mut T,
    frame: ServerFrame,
) -> Result<(), End> {
    let text = match frame.to_text() {
        Ok(text) => text,
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a frame of ours is not right"
            );
            return Err(End::later(inner.later_ms()));
        }
    };
    match timeout(SEND_WITHIN, transport.send(text)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(End::gone()),
        Err(_) => Err(End::with(CloseCode::TimedOut, "the agent does not read")),
    }
}

/// A session id of ours; an agent may name others, which are not there.
fn known(lsid: &str) -> Option<Lsid> {
    lsid.parse().ok()
}

fn fail_words(reason: &SessionFailReason, detail: &str) -> String {
    let code = match reason {
        SessionFailReason::ClientDisabled => "client_disabled",
        SessionFailReason::TooManySessions => "too_many_sessions",
        SessionFailReason::Stopping => "stopping",
        SessionFailReason::Internal => "internal",
        SessionFailReason::Other(code) => code,
    };
    if detail.is_empty() {
        code.to_owned()
    } else {
        format!("{code}: {detail}")
    }
}

fn end_words(reason: &SessionEndReason) -> String {
    match reason {
        SessionEndReason::Asked => "asked",
        SessionEndReason::EndedAtEndpoint => "ended_at_endpoint",
        SessionEndReason::Stopping => "stopping",
        SessionEndReason::UnknownSession => "unknown_session",
        SessionEndReason::Other(code) => code,
    }
    .to_owned()
}
