//! One simulated machine: what section 8 of docs/client-link.md says, and what its role does to it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use link_protocol::{
    CheckIn, ClientFrame, CloseCode, Disk, Facts, Figures, Hello, Identity, InstallMode, Overrides,
    Refused, Register, Resume, Secret, ServerFrame, SessionEndReason, Settings, Welcome, version,
};
use rand::Rng;
use rand::rngs::SmallRng;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::dial::Socket;
use crate::fleet::Fleet;
use crate::identities::Known;
use crate::pauses::{self, LASTING};
use crate::role::Role;
use crate::tally::one_more;

/// How long the server may take to answer `hello`.
const WELCOME_WITHIN: Duration = Duration::from_secs(30);
/// How long a frame may take to leave.
const SENT_WITHIN: Duration = Duration::from_secs(30);
/// How long the server may take to close after `goodbye`.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);
/// How often, and for how long at least, the server must be out of reach before a machine takes itself off.
const TRIES_MIN: u32 = 3;
const TRYING_MIN: Duration = Duration::from_secs(120);
/// How long one that stops reading does not read. Unit: seconds.
const DEAF_SECONDS: std::ops::Range<u64> = 45..180;

/// Where a machine has its identity from.
pub enum Origin {
    /// It registers, or resumes what an earlier run left; where it is to be copied it shows its identity.
    Own {
        /// From an earlier run.
        known: Option<Known>,
        /// To its copy.
        copied: Option<watch::Sender<Option<Known>>>,
    },
    /// It shows the identity of another.
    Copy(watch::Receiver<Option<Known>>),
}

/// How a connection ended.
enum Ended {
    /// The fleet stops.
    Stopped,
    /// It was not made, or the server asked to come later: perhaps with a hint.
    NotNow(Option<Duration>),
    /// Refused by the server.
    Refused(Refused),
    /// Closed by the server, or lost: why is counted.
    Lost,
    /// Cut by ourselves.
    Cut,
    /// The program was started anew.
    Restarted,
    /// Connecting anew while the old connection still stands.
    Overtaken,
}

/// One simulated machine.
pub struct Machine {
    fleet: Arc<Fleet>,
    number: u32,
    role: Role,
    chance: SmallRng,
    known: Option<Known>,
    origin: Origin,
    attempt: String,
    boot_id: String,
    failures: u32,
    sessions: BTreeSet<String>,
    /// The last phase it was counted in.
    phase: u64,
    /// A connection that the next one overtakes.
    before: Option<Socket>,
    /// How the server wants it to be.
    settings: Option<Settings>,
    /// When to check in next, whatever connections come and go until then.
    check_in_due: Option<Instant>,
    /// The check-in that was sent because it was due, until it is recorded.
    due_sent: Option<u64>,
    /// When the server was last there, and since when and how often it was not reached.
    seen_at: Instant,
    out_of_reach: Option<(Instant, u32)>,
}

impl Machine {
    /// A machine that has not begun.
    #[must_use]
    pub fn new(
        fleet: Arc<Fleet>,
        number: u32,
        role: Role,
        mut chance: SmallRng,
        mut origin: Origin,
    ) -> Self {
        let known = match &mut origin {
            Origin::Own { known, .. } => known.take(),
            Origin::Copy(_) => None,
        };
        Self {
            fleet,
            number,
            role,
            known,
            origin,
            attempt: nonce(&mut chance),
            boot_id: nonce(&mut chance),
            chance,
            failures: 0,
            sessions: BTreeSet::new(),
            phase: 0,
            before: None,
            settings: None,
            check_in_due: None,
            due_sent: None,
            seen_at: Instant::now(),
            out_of_reach: None,
        }
    }

    /// Connects again and again until the fleet stops or the server refuses for good. Answers its number and identity.
    pub async fn run(mut self) -> (u32, Option<Known>) {
        let mut stop = self.fleet.stopping();
        tokio::select! {
            biased;
            () = stop.told() => return (self.number, self.known),
            () = self.is_shown_an_identity() => {}
        }
        loop {
            let (ended, online_for) = self.connect().await;
            self.note_reach(&ended, online_for);
            if self.is_over() {
                self.fleet.count(|tally| tally.expired += 1);
                // Nothing of it is left on the machine.
                return (self.number, None);
            }
            let Some(pause) = self.pause_after(&ended, online_for) else {
                return (self.number, self.known);
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.told() => return (self.number, self.known),
            }
        }
    }

    /// A copy begins when there is something to copy.
    async fn is_shown_an_identity(&mut self) {
        let Origin::Copy(shown) = &mut self.origin else {
            return;
        };
        let known = match shown.wait_for(Option::is_some).await {
            Ok(known) => known.clone(),
            Err(_) => None,
        };
        match known {
            Some(known) => self.known = Some(known),
            // The machine to be copied never came to an identity.
            None => std::future::pending().await,
        }
    }

    /// Notes whether the server was there: it was where it said anything.
    fn note_reach(&mut self, ended: &Ended, online_for: Duration) {
        let answered = match ended {
            Ended::NotNow(hint) => hint.is_some(),
            Ended::Lost | Ended::Cut => false,
            Ended::Stopped | Ended::Refused(_) | Ended::Restarted | Ended::Overtaken => true,
        };
        let now = Instant::now();
        if answered || online_for > Duration::ZERO {
            self.seen_at = now;
            self.out_of_reach = None;
        } else {
            let (since, tries) = self.out_of_reach.unwrap_or((now, 0));
            self.out_of_reach = Some((since, tries + 1));
        }
    }

    /// Whether it was away for as long as it was told last (CLNT-19).
    fn is_over(&self) -> bool {
        let (Some(settings), Some((since, tries))) = (&self.settings, self.out_of_reach) else {
            return false;
        };
        let may = Duration::from_secs(u64::from(settings.remove_after_minutes) * 60);
        tries >= TRIES_MIN && since.elapsed() >= TRYING_MIN && self.seen_at.elapsed() >= may
    }

    /// How often to check in, by the clock of the machine.
    fn interval(&self, welcome: &Welcome) -> Duration {
        let seconds = self
            .settings
            .as_ref()
            .map_or(welcome.check_in_seconds, |settings| {
                settings.check_in_seconds
            });
        Duration::from_secs(u64::from(seconds)).div_f64(self.role.clock_speed())
    }

    /// How long to stay away; none: for good.
    fn pause_after(&mut self, ended: &Ended, online_for: Duration) -> Option<Duration> {
        if online_for >= LASTING {
            self.failures = 0;
        }
        let hint = match ended {
            Ended::Stopped => return None,
            Ended::Refused(refused) if refused.is_final => return None,
            Ended::Restarted => {
                self.boot_id = nonce(&mut self.chance);
                self.sessions.clear();
                self.failures = 0;
                return Some(Duration::from_millis(self.chance.random_range(100..1_000)));
            }
            Ended::Overtaken => return Some(Duration::ZERO),
            Ended::Refused(refused) => refused.retry_after_ms.map(Duration::from_millis),
            Ended::NotNow(hint) => *hint,
            Ended::Lost | Ended::Cut => None,
        };
        if let Some(hint) = hint {
            self.fleet.count(|tally| tally.hints.add(hint));
        }
        self.failures += 1;
        let pause = pauses::pause(self.failures, hint, &mut self.chance);
        Some(pause.div_f64(self.role.clock_speed()))
    }

    /// One connection: how it ended, and how long it was online.
    async fn connect(&mut self) -> (Ended, Duration) {
        let fleet = self.fleet.clone();
        let mut stop = fleet.stopping();
        fleet.count(|tally| tally.dials += 1);
        let began = Instant::now();
        let dialed = tokio::select! {
            dialed = fleet.dialer().dial(self.number) => dialed,
            () = stop.told() => return (Ended::Stopped, Duration::ZERO),
        };
        let mut socket = match dialed {
            Ok(socket) => socket,
            Err(error) => {
                fleet.count(|tally| one_more(&mut tally.failures, error.name()));
                return (Ended::NotNow(error.retry_after()), Duration::ZERO);
            }
        };
        fleet.count(|tally| {
            tally.connected += 1;
            tally.dialing.add(began.elapsed());
        });
        let greeted = tokio::select! {
            greeted = self.greet(&mut socket) => greeted,
            () = stop.told() => Err(Ended::Stopped),
        };
        self.before = None;
        let (ended, online_for) = match greeted {
            Err(ended) => (ended, Duration::ZERO),
            Ok(welcome) => {
                let since = Instant::now();
                fleet.welcomed(self.number, welcome.client_id, &mut self.phase);
                let ended = match self.stay(&mut socket, &welcome).await {
                    Ok(never) => match never {},
                    Err(ended) => ended,
                };
                fleet.left(self.number);
                (ended, since.elapsed())
            }
        };
        match &ended {
            Ended::Overtaken => self.before = Some(socket),
            // Gone without a word.
            Ended::Cut | Ended::Lost => {}
            Ended::Stopped | Ended::Restarted | Ended::Refused(_) | Ended::NotNow(_) => {
                close(&mut socket).await;
            }
        }
        (ended, online_for)
    }

    // --- hello ---

    async fn greet(&mut self, socket: &mut Socket) -> Result<Welcome, Ended> {
        let registers = self.known.is_none();
        let hello = ClientFrame::Hello(Box::new(self.hello()));
        let began = Instant::now();
        self.send(socket, hello).await?;
        let welcome = timeout(WELCOME_WITHIN, self.await_welcome(socket));
        let Ok(welcome) = welcome.await else {
            return Err(self.lost("no_welcome"));
        };
        let welcome = welcome?;
        self.fleet.count(|tally| {
            tally.greeting.add(began.elapsed());
            tally.registered += u32::from(registers);
        });
        if let Some(token) = welcome.token.clone() {
            self.keep(socket, welcome.client_id, token).await?;
        }
        let version = welcome.anchors.version;
        self.send(socket, ClientFrame::AnchorsStored { version })
            .await?;
        Ok(welcome)
    }

    fn hello(&mut self) -> Hello {
        let identity = match &self.known {
            Some(known) => Identity::Resume(Resume {
                client_id: known.client_id,
                token: known.token.clone(),
            }),
            None => Identity::Register(Register {
                installer_id: self.fleet.key().installer_id.clone(),
                secret: self.fleet.key().secret.clone(),
                attempt: self.attempt.clone(),
                overrides: Overrides::default(),
            }),
        };
        Hello {
            protocols: version::offered(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            boot_id: self.boot_id.clone(),
            identity,
            facts: self.facts(),
            sessions: self.sessions.iter().cloned().collect(),
        }
    }

    async fn await_welcome(&mut self, socket: &mut Socket) -> Result<Welcome, Ended> {
        loop {
            match self.hear(socket).await? {
                None => {}
                Some(ServerFrame::Welcome(welcome)) => return Ok(*welcome),
                Some(frame) => self.obey(socket, frame).await?,
            }
        }
    }

    /// Keeps a new token, shows it to whoever copies this machine, and says that it is kept.
    async fn keep(
        &mut self,
        socket: &mut Socket,
        client_id: u64,
        token: Secret,
    ) -> Result<(), Ended> {
        let known = Known { client_id, token };
        self.known = Some(known.clone());
        self.fleet.count(|tally| tally.tokens += 1);
        self.send(socket, ClientFrame::TokenStored {}).await?;
        if let Origin::Own {
            copied: Some(show), ..
        } = &self.origin
        {
            show.send_replace(Some(known));
        }
        Ok(())
    }

    // --- online ---

    async fn stay(
        &mut self,
        socket: &mut Socket,
        welcome: &Welcome,
    ) -> Result<std::convert::Infallible, Ended> {
        let mut stop = self.fleet.stopping();
        let mut storms = self.fleet.storms();
        storms.mark_unchanged();
        let silence = Duration::from_secs(u64::from(welcome.heartbeat_seconds)) * 5 / 2;
        let began = Instant::now();
        let mut heard_at = began;
        let mut sequence = 0;
        self.due_sent = None;
        let latest = began + self.interval(welcome);
        let due = self.check_in_due.unwrap_or(latest).min(latest);
        let mut next_check_in = if welcome.check_in_now { began } else { due };
        self.check_in_due = Some(next_check_in);
        let mut leaves_at = match self.role {
            Role::Churn => Some(began + self.how_long()),
            _ => None,
        };
        let mut deaf_at = match self.role {
            Role::Slow => {
                Some(began + Duration::from_millis(self.chance.random_range(1_000..5_000)))
            }
            _ => None,
        };
        loop {
            let mut wake = next_check_in.min(heard_at + silence);
            for at in [leaves_at, deaf_at].into_iter().flatten() {
                wake = wake.min(at);
            }
            tokio::select! {
                () = stop.told() => {
                    self.say_goodbye(socket).await?;
                    return Err(Ended::Stopped);
                }
                Ok(()) = storms.changed() => return Err(Ended::Cut),
                frame = self.hear(socket) => {
                    heard_at = Instant::now();
                    if let Some(frame) = frame? {
                        let before = self.interval(welcome);
                        self.obey(socket, frame).await?;
                        let interval = self.interval(welcome);
                        if interval != before {
                            next_check_in = next_check_in.min(heard_at + interval);
                            self.check_in_due = self.check_in_due.map(|due| due.min(next_check_in));
                        }
                        if self.due_sent.is_none() && sequence > 0 {
                            // Recorded: the next is due by when this one was.
                            self.check_in_due = Some(next_check_in);
                        }
                    }
                }
                () = sleep_until(wake) => {}
            }
            let now = Instant::now();
            if now >= heard_at + silence {
                return Err(self.lost("silent"));
            }
            if now >= next_check_in {
                sequence += 1;
                next_check_in = now + self.interval(welcome);
                self.due_sent = Some(sequence);
                self.check_in(socket, sequence).await?;
            }
            if leaves_at.is_some_and(|at| now >= at) {
                if !self.fleet.is_calm() {
                    return Err(self.leave(socket).await?);
                }
                leaves_at = None;
            }
            if deaf_at.is_some_and(|at| now >= at) {
                deaf_at = None;
                let deaf = Duration::from_secs(self.chance.random_range(DEAF_SECONDS));
                let mut calm = self.fleet.calm();
                tokio::select! {
                    () = sleep(deaf) => {}
                    () = told(&mut calm) => {}
                    () = stop.told() => return Err(Ended::Stopped),
                    Ok(()) = storms.changed() => return Err(Ended::Cut),
                }
                heard_at = Instant::now();
            }
        }
    }

    /// How long one that comes and goes stays: about as long as it was told, and seldom much longer.
    fn how_long(&mut self) -> Duration {
        let drawn: f64 = self.chance.random_range(0.0..1.0);
        self.fleet
            .options()
            .churn_every()
            .mul_f64(-(1.0 - drawn).ln())
    }

    /// Leaves in one of three ways.
    async fn leave(&mut self, socket: &mut Socket) -> Result<Ended, Ended> {
        match self.chance.random_range(0..3) {
            0 => Ok(Ended::Cut),
            1 => {
                self.say_goodbye(socket).await?;
                Ok(Ended::Restarted)
            }
            _ => Ok(Ended::Overtaken),
        }
    }

    async fn obey(&mut self, socket: &mut Socket, frame: ServerFrame) -> Result<(), Ended> {
        match frame {
            ServerFrame::Refused(refused) => {
                let code = serde_json::to_value(&refused.code);
                let code = code.ok().and_then(|code| Some(code.as_str()?.to_owned()));
                let code = code.unwrap_or_else(|| "other".to_owned());
                self.fleet
                    .count(|tally| one_more(&mut tally.refusals, code));
                Err(Ended::Refused(refused))
            }
            ServerFrame::RetryLater { after_ms } => {
                self.fleet.count(|tally| tally.retry_later += 1);
                Err(Ended::NotNow(Some(Duration::from_millis(after_ms))))
            }
            ServerFrame::Ping { nonce } => {
                self.fleet.count(|tally| tally.pings += 1);
                self.send(socket, ClientFrame::Pong { nonce }).await
            }
            ServerFrame::CheckInRecorded { sequence } => {
                self.fleet.count(|tally| tally.check_ins_recorded += 1);
                self.due_sent.take_if(|sent| *sent <= sequence);
                Ok(())
            }
            ServerFrame::Settings(settings) => {
                self.fleet.count(|tally| {
                    tally.settings += 1;
                    tally.settings_passive += u32::from(settings.passive);
                });
                self.settings = Some(settings);
                Ok(())
            }
            ServerFrame::StartSession(start) => {
                self.fleet.count(|tally| tally.sessions += 1);
                let lsid = start.lsid;
                self.sessions.insert(lsid.clone());
                self.send(socket, ClientFrame::SessionStarted { lsid })
                    .await
            }
            ServerFrame::EndSession(end) => {
                let lsid = end.lsid;
                let reason = if self.sessions.remove(&lsid) {
                    SessionEndReason::Asked
                } else {
                    SessionEndReason::UnknownSession
                };
                self.send(socket, ClientFrame::SessionEnded { lsid, reason })
                    .await
            }
            ServerFrame::RotateToken { token } => match &self.known {
                Some(known) => {
                    let client_id = known.client_id;
                    self.keep(socket, client_id, token).await
                }
                None => Err(self.lost("a token before a welcome")),
            },
            ServerFrame::Anchors(anchors) => {
                let version = anchors.version;
                self.send(socket, ClientFrame::AnchorsStored { version })
                    .await
            }
            ServerFrame::Addresses(addresses) => {
                let version = addresses.version;
                self.send(socket, ClientFrame::AddressesStored { version })
                    .await
            }
            _ => {
                self.fleet.count(|tally| tally.other_frames += 1);
                Ok(())
            }
        }
    }

    async fn check_in(&mut self, socket: &mut Socket, sequence: u64) -> Result<(), Ended> {
        self.fleet.count(|tally| tally.check_ins += 1);
        let check_in = CheckIn {
            sequence,
            facts: Facts::default(),
            figures: self.wanted_figures(),
        };
        self.send(socket, ClientFrame::CheckIn(Box::new(check_in)))
            .await
    }

    async fn say_goodbye(&mut self, socket: &mut Socket) -> Result<(), Ended> {
        for lsid in std::mem::take(&mut self.sessions) {
            let reason = SessionEndReason::Stopping;
            self.send(socket, ClientFrame::SessionEnded { lsid, reason })
                .await?;
        }
        self.send(socket, ClientFrame::Goodbye {}).await?;
        let closed = async { while let Some(Ok(_)) = socket.next().await {} };
        if timeout(CLOSED_WITHIN, closed).await.is_err() {
            self.fleet
                .count(|tally| one_more(&mut tally.ends, "goodbye not answered"));
        }
        Ok(())
    }

    // --- frames ---

    async fn send(&mut self, socket: &mut Socket, frame: ClientFrame) -> Result<(), Ended> {
        let Ok(text) = frame.to_text() else {
            return Err(self.lost("a frame of ours is not right"));
        };
        match timeout(SENT_WITHIN, socket.send(Message::text(text))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(self.lost("broken")),
            Err(_) => Err(self.lost("too slow")),
        }
    }

    /// The next frame; none where it means nothing.
    async fn hear(&mut self, socket: &mut Socket) -> Result<Option<ServerFrame>, Ended> {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => match ServerFrame::parse(&text) {
                Ok(frame) => Ok(Some(frame)),
                Err(error) => Err(self.lost(format!("misspoke {}", error.close_code().number()))),
            },
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
            Some(Ok(Message::Close(frame))) => Err(self.lost(match frame {
                Some(frame) => u16::from(frame.code).to_string(),
                None => "closed".to_owned(),
            })),
            Some(Ok(_)) => Err(self.lost("a binary frame")),
            Some(Err(_)) | None => Err(self.lost("broken")),
        }
    }

    fn lost(&self, why: impl Into<String>) -> Ended {
        self.fleet.count(|tally| one_more(&mut tally.ends, why));
        Ended::Lost
    }

    // --- the machine ---

    /// Facts that stay: a fleet at rest changes nothing in the log.
    fn facts(&self) -> Facts {
        let number = self.number;
        let [_, high, middle, low] = number.to_be_bytes();
        let skew = match self.role {
            Role::Skewed(speed) => (speed * 100.0) as i32,
            _ => 0,
        };
        Facts {
            hostname: Some(format!("load-{number}")),
            fqdn: Some(format!("load-{number}.fleet.example")),
            operating_system: Some("Debian GNU/Linux 12 (x86_64)".to_owned()),
            private_ip: Some(format!("10.{high}.{middle}.{low}")),
            console_user: Some(String::new()),
            install_mode: Some(InstallMode::Service),
            machine_id: Some(format!("{:016x}{number:016x}", self.fleet.options().seed)),
            time_zone: Some("Etc/UTC".to_owned()),
            utc_offset_minutes: Some(skew),
            disabled: Some(false),
            // None of them can be called; where it is asked to be passive, it says so and stays.
            listen_port: self
                .settings
                .as_ref()
                .is_some_and(|settings| settings.passive)
                .then_some(0),
        }
    }

    /// Only what the server wants.
    fn wanted_figures(&mut self) -> Figures {
        let figures = self.figures();
        match &self.settings {
            Some(settings) => figures.only(|statistic| settings.collects(statistic)),
            None => figures,
        }
    }

    fn figures(&mut self) -> Figures {
        const GIGABYTE: u64 = 1_000_000_000;
        // Who asks a clock that goes wrong hears of an uptime of centuries.
        let uptime = match self.role {
            Role::Skewed(_) => 1 << 40,
            _ => 86_400 + u64::from(self.number),
        };
        Figures {
            cpu_permille: Some(self.chance.random_range(0..=1_000)),
            uptime_seconds: Some(uptime),
            memory_total_bytes: Some(8 * GIGABYTE),
            memory_used_bytes: Some(self.chance.random_range(1..8) * GIGABYTE),
            disks: vec![Disk {
                mount: "/".to_owned(),
                total_bytes: 100 * GIGABYTE,
                free_bytes: self.chance.random_range(1..100) * GIGABYTE,
            }],
            ..Figures::default()
        }
    }
}

/// Closes in good order, if the other side still listens; whatever goes wrong, the connection is over.
async fn close(socket: &mut Socket) {
    let goodbye = async {
        let frame = CloseFrame {
            code: CloseCode::Normal.number().into(),
            reason: "".into(),
        };
        if socket.close(Some(frame)).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    // Only what it said matters, not whether it was heard.
    let _ = timeout(Duration::from_secs(1), goodbye).await;
}

/// Ends when it becomes true.
async fn told(changed: &mut watch::Receiver<bool>) {
    // The sender lives in the fleet, which the machine belongs to.
    let _ = changed.wait_for(|now| *now).await;
}

/// 128 drawn bits as 32 hexadecimal digits.
fn nonce(chance: &mut SmallRng) -> String {
    format!("{:032x}", chance.random::<u128>())
}
