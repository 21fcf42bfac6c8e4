//! All links of this node, and the log followed for them.
//!
//! What is decided reaches an agent through the log: the hub follows the committed events and turns those that concern an
//! agent of this node into frames. After a lag or a reconnect the published world says what an agent should know.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use domain::access::jump_group;
use domain::fleet::jump_client::{self, JumpClient, Presence};
use domain::ids::{JumpClientId, LinkId, Lsid, NodeEpoch};
use domain::session::access_session::{self, EndReason, SPAWN_TIMEOUT};
use domain::site::user;
use domain::{Event, World, node, record};
use engine::{CommittedStream, Engine, StreamBroken};
use link_protocol::{EndSession, ServerFrame, Settings, StartSession, limits};
use projections::Recorded;
use secrets::Sealer;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::out_of_service::out_of_service;
pub(crate) use self::out_of_service::quarantined;
pub use self::trust::anchors_of;
use crate::admission::Admission;
use crate::call;
use crate::check_ins::{self, CheckIns};
use crate::figures::NewestFigures;
use crate::greeting::Greeted;
use crate::link;
use crate::mailbox::{End, Mailbox, Order};
use crate::outbound::Outbound;
use crate::pace::Pace;
use crate::transport::Transport;

mod out_of_service;
mod task;
mod trust;

pub use task::HubTask;

/// How long a shutdown waits for the links to end.
const LINKS_END_WITHIN: Duration = Duration::from_secs(8);

/// How long an agent that can't be served now is asked to stay away, at least. Unit: milliseconds.
const LATER_MS: u64 = 5_000;

/// How often what an agent says of its machine changes the log at once, and how often after that: each is an event that stays.
const FACTS_AT_ONCE: u32 = 10;
const FACTS_EVERY: Duration = Duration::from_secs(60);

/// What a hub is told by the program.
pub struct HubOptions {
    /// How often agents are pinged. Range: 1 s to 300 s; what is outside is brought to the nearer end.
    pub heartbeat: Duration,
    /// Where refusals before an identity is proven are counted.
    pub refused_attempts: Option<Arc<dyn RefusedAttempts>>,
}

/// Counts refusals of callers nobody could name, to be written down once a minute.
pub trait RefusedAttempts: Send + Sync + 'static {
    /// Counts one: from where, on which route, in which words.
    fn count(&self, caller: SocketAddr, route: &str, message: &str);
}

/// A link that has its client's place on this node.
#[derive(Clone)]
struct LinkHandle {
    connection: u64,
    /// Position of its Connected event: of two links the later one counts.
    since: u64,
    mailbox: Mailbox,
}

pub(crate) struct Inner {
    pub(crate) engine: Engine,
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) node: NodeEpoch,
    pub(crate) heartbeat: Duration,
    pub(crate) admission: Admission,
    /// How often the facts of a client are written.
    facts: Mutex<Pace<JumpClientId>>,
    /// The same for those that must not wait.
    urgent_facts: Mutex<Pace<JumpClientId>>,
    pub(crate) check_ins: CheckIns,
    pub(crate) figures: NewestFigures,
    pub(crate) outbound: Outbound,
    /// Passive clients that may be called at once.
    pub(crate) calls: Semaphore,
    pub(crate) refused_attempts: Option<Arc<dyn RefusedAttempts>>,
    links: DashMap<JumpClientId, LinkHandle>,
    /// Which client a session that was seen to start is on: an ended one has left the world.
    sessions: DashMap<Lsid, JumpClientId>,
    /// Which client a copy is a copy of: one that was removed has left the world.
    copies: DashMap<JumpClientId, JumpClientId>,
    connections: AtomicU64,
    closed: AtomicBool,
    /// Set once and for good: the node's run is over, or about to be.
    over: AtomicBool,
    /// Sockets that are being served, known or not.
    open: watch::Sender<usize>,
}

/// All links of this node. Cheap to clone.
#[derive(Clone)]
pub struct Hub(pub(crate) Arc<Inner>);

impl Hub {
    /// Makes the hub of the node `node`, whose `NodeStarted` is in the log, and starts following the log.
    #[must_use]
    pub fn new(
        engine: Engine,
        sealer: Arc<Sealer>,
        node: NodeEpoch,
        options: HubOptions,
    ) -> (Self, HubTask) {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let check_ins = check_ins::gather(engine.clone(), node, stopped.clone(), &mut tasks);
        let figures = NewestFigures::default();
        tasks.spawn(figures.clone().write(engine.clone(), stopped.clone()));
        // The stream of committed events is opened before the world is read, so nothing falls between the two.
        let committed = engine.committed();
        let range = limits::HEARTBEAT_SECONDS;
        let heartbeat = options.heartbeat.clamp(
            Duration::from_secs(u64::from(*range.start())),
            Duration::from_secs(u64::from(*range.end())),
        );
        let hub = Self(Arc::new(Inner {
            engine,
            sealer,
            node,
            heartbeat,
            admission: Admission::new(Instant::now()),
            facts: Mutex::new(Pace::new(FACTS_AT_ONCE, FACTS_EVERY)),
            urgent_facts: Mutex::new(Pace::new(FACTS_AT_ONCE, FACTS_EVERY)),
            check_ins,
            figures,
            outbound: Outbound::default(),
            calls: Semaphore::new(call::AT_ONCE_MAX),
            refused_attempts: options.refused_attempts,
            links: DashMap::new(),
            sessions: DashMap::new(),
            copies: DashMap::new(),
            connections: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            over: AtomicBool::new(false),
            open: watch::Sender::new(0),
        }));
        hub.0.remember_sessions();
        hub.0.remember_copies();
        tasks.spawn(follow(hub.clone(), committed, stopped));
        let task = HubTask {
            stop,
            tasks,
            hub: hub.clone(),
        };
        (hub, task)
    }

    /// Drives the link of one agent until it ends. `peer` is where it connects from.
    pub async fn serve<T: Transport>(&self, transport: T, peer: SocketAddr) {
        let _open = Open::count(&self.0.open);
        let connection = self.0.connections.fetch_add(1, Ordering::Relaxed) + 1;
        let link = LinkId {
            node: self.0.node,
            connection,
        };
        link::serve(self, transport, peer, link).await;
    }

    /// How many agents are connected to this node.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.0.links.len()
    }

    /// Closes every link and lets no more in until [`Hub::reopen`]: the node can't prove any more that it is alive.
    pub fn close_all(&self) {
        self.0.closed.store(true, Ordering::SeqCst);
        self.0.end_all_links();
    }

    /// Lets agents in again after [`Hub::close_all`]; not where the node's run was declared over meanwhile.
    pub fn reopen(&self) {
        self.0.closed.store(false, Ordering::SeqCst);
    }
}

/// Counts a socket for as long as it is served.
struct Open<'c>(&'c watch::Sender<usize>);

impl<'c> Open<'c> {
    fn count(open: &'c watch::Sender<usize>) -> Self {
        open.send_modify(|open| *open += 1);
        Self(open)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

impl Inner {
    // --- links ---

    pub(crate) fn is_accepting(&self) -> bool {
        !self.closed.load(Ordering::SeqCst) && !self.is_over()
    }

    /// Whether the node's run is over: then `NodeStopped` says of all its clients that they are offline.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// For how long an agent that can't be served now stays away. Where one is turned away all are, so they are asked to come
    /// back over as long as letting them all in takes. Unit: milliseconds.
    pub(crate) fn later_ms(&self) -> u64 {
        let chance = self.engine.fresh().value(0) & u128::from(u64::MAX);
        let open = self.links.len().max(*self.open.borrow());
        let rate = rate(&self.engine.published().world);
        later(open, rate, u64::try_from(chance).unwrap_or(0))
    }

    /// Whether facts of a client may be written now; else when. Those that must not wait have a share of their own beside.
    pub(crate) fn may_write_facts(
        &self,
        client: JumpClientId,
        urgent: bool,
    ) -> Result<(), Instant> {
        let take = |pace: &Mutex<Pace<JumpClientId>>| {
            // A poisoned lock only means that another thread panicked beside a number; it stays usable.
            let mut pace = pace.lock().unwrap_or_else(PoisonError::into_inner);
            pace.take(&client, Instant::now())
        };
        match take(&self.facts) {
            Err(_) if urgent => take(&self.urgent_facts),
            taken => taken,
        }
    }

    fn end_for_good(&self) {
        self.over.store(true, Ordering::SeqCst);
        self.end_all_links();
    }

    fn end_all_links(&self) {
        for link in self.all_links() {
            link.mailbox.end(End::going_away());
        }
    }

    /// Puts a link in the place of an older one of the same client, which is told. None where a newer one has the place.
    pub(crate) fn take_place(&self, greeted: &Greeted, connection: u64) -> Option<Mailbox> {
        let mailbox = Mailbox::default();
        let handle = LinkHandle {
            connection,
            since: greeted.since,
            mailbox: mailbox.clone(),
        };
        let before = match self.links.entry(greeted.client) {
            Entry::Occupied(place) if place.get().since > greeted.since => return None,
            Entry::Occupied(mut place) => Some(place.insert(handle)),
            Entry::Vacant(place) => {
                place.insert(handle);
                None
            }
        };
        if let Some(before) = before {
            let boot_id = greeted.boot_id.clone();
            before.mailbox.tell(Order::Displaced { boot_id });
        }
        Some(mailbox)
    }

    /// Gives a link's place up, unless a newer one has it.
    pub(crate) fn leave_place(&self, client: JumpClientId, connection: u64) {
        self.links
            .remove_if(&client, |_, link| link.connection == connection);
    }

    fn link(&self, client: JumpClientId) -> Option<LinkHandle> {
        self.links.get(&client).map(|link| link.clone())
    }

    fn all_links(&self) -> Vec<LinkHandle> {
        self.links.iter().map(|link| link.clone()).collect()
    }

    /// Why the link `link` of `client` may not stay, by what is published; none if it may. Asked by a link once it has its
    /// place: what happened before, the follower could not tell it; what happens later, it can.
    pub(crate) fn objection(&self, client: JumpClientId, link: LinkId) -> Option<End> {
        let published = self.engine.published();
        if !self.is_accepting() || !published.world.nodes.contains(&link.node) {
            return Some(End::going_away());
        }
        out_of_service(&published.world, client).or_else(|| {
            let known = published.world.endpoint(client)?;
            (known.presence != Presence::Connected(link)).then(End::replaced)
        })
    }

    /// How a client shall be, by what is published.
    pub(crate) fn settings_of(&self, client: JumpClientId) -> Settings {
        let published = self.engine.published();
        let settings = &published.world.settings;
        Settings {
            check_in_seconds: check_in_seconds(&published.world, client),
            statistics: settings.jump_client_statistics.clone(),
            remove_after_minutes: published.world.minutes_before_removal(client).clamp(
                *limits::OFFLINE_MINUTES.start(),
                *limits::OFFLINE_MINUTES.end(),
            ),
            passive: published
                .world
                .endpoint(client)
                .is_some_and(JumpClient::is_passive),
        }
    }

    fn tell_settings(&self, client: JumpClientId) {
        if let Some(link) = self.link(client) {
            link.mailbox.tell_settings();
        }
    }

    /// Whether the link `connection` of `client` answers within the time the protocol gives.
    pub(crate) async fn probe(&self, client: JumpClientId, connection: u64) -> bool {
        let Some(link) = self
            .link(client)
            .filter(|link| link.connection == connection)
        else {
            return false;
        };
        let (answer, answered) = oneshot::channel();
        link.mailbox.tell(Order::Probe(answer));
        let within = limits::PONG_WITHIN + Duration::from_millis(500);
        matches!(tokio::time::timeout(within, answered).await, Ok(Ok(true)))
    }

    // --- sessions ---

    fn remember_copies(&self) {
        for (id, client) in self.engine.published().world.jump_clients.iter() {
            if client.endpoint != *id {
                self.copies.insert(*id, client.endpoint);
            }
        }
    }

    fn remember_sessions(&self) {
        let published = self.engine.published();
        for (lsid, session) in published.world.sessions.iter() {
            if let Some(client) = session.endpoint {
                self.sessions.insert(*lsid, client);
            }
        }
    }

    /// What an agent that just connected must be told of sessions: `kept` are those it says it still has.
    pub(crate) fn sessions_to_tell(&self, client: JumpClientId, kept: &[String]) -> SessionsToTell {
        let published = self.engine.published();
        let world = &published.world;
        let running: Vec<Lsid> = world.sessions_of_endpoint(client).collect();
        let mut told = SessionsToTell {
            frames: Vec::new(),
            unknown_at_agent: Vec::new(),
        };
        for lsid in &running {
            let Some(session) = world.sessions.get(lsid) else {
                continue;
            };
            if !session.established {
                // Also where the agent keeps it: its word that it is up was lost, and this asks for it again.
                told.frames.push(start_frame(*lsid, &session.owner_name));
            } else if !kept.contains(&lsid.to_string()) {
                told.unknown_at_agent.push(*lsid);
            }
        }
        let running: Vec<String> = running.iter().map(Lsid::to_string).collect();
        for lsid in kept.iter().filter(|kept| !running.contains(kept)) {
            told.frames
                .push(end_frame(lsid.clone(), "The session is over."));
        }
        told
    }
}

/// How many agents may connect to each node a second: the rate is the site's, and its nodes share it.
pub(crate) fn rate(world: &World) -> u32 {
    let nodes = u32::try_from(world.nodes.len()).unwrap_or(u32::MAX);
    (world.settings.connection_rate / nodes.max(1)).max(1)
}

/// See [`Inner::later_ms`].
fn later(open: usize, rate: u32, chance: u64) -> u64 {
    let all_in_ms = (open as u64).saturating_mul(1_000) / u64::from(rate.max(1));
    let spread = all_in_ms.clamp(LATER_MS, limits::RETRY_MS_MAX - LATER_MS);
    LATER_MS + chance % spread
}

/// How often a client checks in. A passive one is offline between its check-ins, so they come twice in the time after which
/// one of its items would be deleted.
pub(crate) fn check_in_seconds(world: &World, client: JumpClientId) -> u32 {
    let asked = world.settings.check_in_seconds;
    if !world.endpoint(client).is_some_and(JumpClient::is_passive) {
        return asked;
    }
    let kept = world
        .items_of_endpoint(client)
        .into_iter()
        .filter_map(|item| world.jump_clients.get(&item))
        .map(|item| match item.properties.max_offline_minutes {
            0 => world.offline_minutes(item),
            minutes => minutes.min(world.offline_minutes(item)),
        })
        .min()
        .unwrap_or_else(|| world.minutes_before_removal(client));
    asked.min(kept.saturating_mul(30)).max(1)
}

/// See [`Inner::sessions_to_tell`].
pub(crate) struct SessionsToTell {
    pub(crate) frames: Vec<ServerFrame>,
    /// Sessions that were up and that the agent no longer has.
    pub(crate) unknown_at_agent: Vec<Lsid>,
}

fn start_frame(lsid: Lsid, owner_name: &str) -> ServerFrame {
    ServerFrame::StartSession(StartSession {
        lsid: lsid.to_string(),
        user_display_name: for_people(owner_name, limits::TEXT_CHARS_MAX),
        answer_within_ms: u64::try_from(SPAWN_TIMEOUT / 1_000).unwrap_or(30_000),
    })
}

/// Tells an agent that a session is over.
pub(crate) fn end_frame(lsid: String, reason: &str) -> ServerFrame {
    ServerFrame::EndSession(EndSession {
        lsid,
        reason: for_people(reason, limits::TEXT_CHARS_MAX),
    })
}

/// Text for people at the machine, as a frame may carry it: without control characters, and not too long.
pub(crate) fn for_people(text: &str, chars_max: usize) -> String {
    text.chars()
        .map(|c| {
            let bad = c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
            if bad { ' ' } else { c }
        })
        .take(chars_max)
        .collect()
}

// --- following the log ---

async fn follow(hub: Hub, mut committed: CommittedStream, mut stopped: watch::Receiver<bool>) {
    loop {
        let next = tokio::select! {
            next = committed.next() => next,
            _ = stopped.wait_for(|stop| *stop) => return,
        };
        match next {
            Ok(batch) => {
                batch.iter().for_each(|recorded| tell(&hub.0, recorded));
                // Looked at once, however many went.
                if batch
                    .iter()
                    .any(|recorded| takes_items_along(&recorded.event))
                {
                    cut_off(&hub.0);
                }
            }
            Err(StreamBroken::Lagged { after, until }) => {
                tracing::info!(
                    after,
                    until,
                    "agents are told from the world what was missed"
                );
                catch_up(&hub.0);
            }
            Err(StreamBroken::Closed) => return,
        }
    }
}

/// The site's settings that travel with every client (CLNT-19).
const TRAVELLING: [&str; 3] = [
    "check_in_seconds",
    "deletion_days",
    "jump_client_statistics",
];

/// Tells agents of this node what one event means for them.
fn tell(inner: &Arc<Inner>, recorded: &Recorded) {
    match &recorded.event {
        Event::AccessSession(lsid, event) => tell_session(inner, *lsid, event),
        Event::JumpClient(client, jump_client::Event::Connected(connected)) => {
            // Here or on another node: whoever connected later is the one that counts.
            if let Some(link) = inner
                .link(*client)
                .filter(|link| link.since < recorded.position)
            {
                let boot_id = connected.boot_id.clone();
                link.mailbox.tell(Order::Displaced { boot_id });
            }
        }
        Event::JumpClient(copy, jump_client::Event::Copied(copied)) => {
            inner.copies.insert(*copy, copied.endpoint);
            // A copy that may be away for longer keeps the client for longer.
            inner.tell_settings(copied.endpoint);
        }
        Event::JumpClient(item, jump_client::Event::Record(record::Event::Changed(changes)))
            if changes.contains_key("max_offline_minutes") =>
        {
            let client = inner.copies.get(item).map_or(*item, |endpoint| *endpoint);
            inner.tell_settings(client);
        }
        // What it is told is the endpoint's own, and so is the event.
        Event::JumpClient(endpoint, jump_client::Event::ConnectionTypeSet(_)) => {
            inner.tell_settings(*endpoint);
        }
        Event::SiteSettings(_, record::Event::Changed(changes))
            if TRAVELLING.iter().any(|field| changes.contains_key(*field)) =>
        {
            for link in inner.all_links() {
                link.mailbox.tell_settings();
            }
        }
        Event::JumpClient(
            client,
            jump_client::Event::Quarantined(_)
            | jump_client::Event::Record(record::Event::Deleted(_)),
        ) => {
            // The last copy takes along an endpoint whose own item went before.
            let copy_of = inner.copies.remove(client).map(|(_, endpoint)| endpoint);
            let client = copy_of.unwrap_or(*client);
            if let Some(link) = inner.link(client) {
                match out_of_service(&inner.engine.published().world, client) {
                    Some(end) => link.mailbox.end(end),
                    None => link.mailbox.tell_settings(),
                }
            }
        }
        Event::AgentTrust(_) => {
            for link in inner.all_links() {
                link.mailbox.tell_trust();
            }
        }
        Event::Node(epoch, node::Event::Stopped(_)) if *epoch == inner.node => {
            inner.end_for_good();
        }
        _ => {}
    }
}

/// What goes with a group or a user is stated by one event.
fn takes_items_along(event: &Event) -> bool {
    matches!(
        event,
        Event::JumpGroup(_, jump_group::Event::Record(record::Event::Deleted(_)))
            | Event::User(_, user::Event::Record(record::Event::Deleted(_)))
    )
}

/// Cuts off whoever has left the world. Of those that stay, only copies may have gone.
fn cut_off(inner: &Arc<Inner>) {
    let published = inner.engine.published();
    let world = &published.world;
    for link in &inner.links {
        if let Some(end) = out_of_service(world, *link.key()) {
            link.mailbox.end(end);
        }
    }
    inner.copies.retain(|copy, endpoint| {
        inner.tell_settings(*endpoint);
        world.jump_clients.contains(copy)
    });
    end_sessions_that_are_over(inner, world);
}

fn end_sessions_that_are_over(inner: &Inner, world: &World) {
    let over: Vec<Lsid> = inner
        .sessions
        .iter()
        .map(|entry| *entry.key())
        .filter(|lsid| !world.sessions.contains(lsid))
        .collect();
    for lsid in over {
        end(inner, lsid, "The session is over.");
    }
}

fn tell_session(inner: &Arc<Inner>, lsid: Lsid, event: &access_session::Event) {
    match event {
        access_session::Event::Started(started) => {
            let published = inner.engine.published();
            let Some(client) = published.world.endpoint_of(started.item) else {
                return;
            };
            inner.sessions.insert(lsid, client);
            let name = &started.representative.public_display_name;
            send(inner, client, start_frame(lsid, name));
            call_where_passive(inner, lsid, client);
        }
        access_session::Event::Established(_) => {}
        access_session::Event::Failed(failed) => {
            end(inner, lsid, &failed.failure.refusal().to_string());
        }
        access_session::Event::Ended(ended) => end(inner, lsid, end_words(ended.reason)),
        // Who else is in it, and what it is given, is no matter of the endpoint's.
        access_session::Event::Joined(_)
        | access_session::Event::Departed(_)
        | access_session::Event::OwnerChanged(_)
        | access_session::Event::Invited(_)
        | access_session::Event::InvitationClosed(_)
        | access_session::Event::AttributesChanged(_)
        | access_session::Event::EndAnnounced(_)
        | access_session::Event::MemberActive(_)
        | access_session::Event::DetailRecorded(_) => {}
    }
}

fn send(inner: &Inner, client: JumpClientId, frame: ServerFrame) {
    if let Some(link) = inner.link(client) {
        link.mailbox.tell(Order::Send(Box::new(frame)));
    }
}

fn end(inner: &Inner, lsid: Lsid, reason: &str) {
    let Some((_, client)) = inner.sessions.remove(&lsid) else {
        return;
    };
    let Some(link) = inner.link(client) else {
        return;
    };
    let over = end_frame(lsid.to_string(), reason);
    link.mailbox.tell(Order::Send(Box::new(over)));
    // A client that was removed while it served its last session is let go now.
    if let Some(end) = out_of_service(&inner.engine.published().world, client) {
        link.mailbox.tell(Order::End(Box::new(end)));
    }
}

const fn end_words(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Owner => "The user ended the session.",
        EndReason::Administrator => "An administrator ended the session.",
        EndReason::Api => "An integration ended the session.",
        EndReason::Endpoint => "The session was ended at this machine.",
        EndReason::AgentLost => "The connection was lost for too long.",
        EndReason::ItemDeleted => "The Jump Client was removed.",
        EndReason::ScheduleClosed => "The schedule no longer permits the session.",
        EndReason::Inactive => "Nobody in the session did anything for too long.",
        EndReason::AccessWithdrawn => "The access of the user was withdrawn.",
        EndReason::NoOwner => "The user left the session.",
        EndReason::IdentityInDoubt => "The identity of this machine is in use twice.",
    }
}

/// Brings every agent of this node to what the world says, after events were missed.
fn catch_up(inner: &Arc<Inner>) {
    let published = inner.engine.published();
    let world = &published.world;
    if !world.nodes.contains(&inner.node) {
        inner.end_for_good();
        return;
    }
    let clients: Vec<JumpClientId> = inner.links.iter().map(|link| *link.key()).collect();
    for client in clients {
        let Some(link) = inner.link(client) else {
            continue;
        };
        if let Some(end) = out_of_service(world, client) {
            link.mailbox.end(end);
            continue;
        }
        // What was missed may have been a setting, or an anchor.
        link.mailbox.tell_settings();
        link.mailbox.tell_trust();
        if let Some(known) = world.endpoint(client)
            && published.tail.position >= link.since
            && known.presence
                != Presence::Connected(LinkId {
                    node: inner.node,
                    connection: link.connection,
                })
        {
            let boot_id = known.boot_id.clone();
            link.mailbox.tell(Order::Displaced { boot_id });
        }
    }
    end_sessions_that_are_over(inner, world);
    for (lsid, session) in world.sessions.iter() {
        let Some(client) = session.endpoint else {
            continue;
        };
        if inner.sessions.insert(*lsid, client).is_none() && !session.established {
            send(inner, client, start_frame(*lsid, &session.owner_name));
            call_where_passive(inner, *lsid, client);
        }
    }
}

/// A passive client that is not here is called, by one node: the first that runs, as all of them read from the log.
fn call_where_passive(inner: &Arc<Inner>, lsid: Lsid, client: JumpClientId) {
    let published = inner.engine.published();
    let world = &published.world;
    let is_first = world.nodes.iter().next().map(|(epoch, _)| *epoch) == Some(inner.node);
    let is_away = world
        .endpoint(client)
        .is_some_and(|client| client.is_passive() && !world.is_online(client));
    if is_first && is_away {
        tokio::spawn(call::call(Arc::clone(inner), lsid, client));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// threat M: where a node turns everybody away, they do not all come back at once.
    #[test]
    fn threat_m_a_fleet_that_is_turned_away_comes_back_over_as_long_as_it_takes() {
        // links, rate, the last moment
        for (open, rate, last) in [
            (0, 50, 10_000),
            (100, 50, 10_000),
            (19_000, 50, 385_000),
            (19_000, 1_000, 24_000),
            (usize::MAX, 1, limits::RETRY_MS_MAX),
        ] {
            let spread = last - LATER_MS;
            assert_eq!(later(open, rate, 0), LATER_MS);
            assert_eq!(later(open, rate, spread - 1), last - 1);
            assert_eq!(later(open, rate, spread), LATER_MS);
        }
    }

    #[test]
    fn text_for_people_is_what_a_frame_may_carry() {
        let hostile = format!("Anna\u{7}\n{}", "x".repeat(400));
        for frame in [
            start_frame(Lsid(1), &hostile),
            end_frame(Lsid(1).to_string(), &hostile),
        ] {
            assert!(frame.to_text().is_ok());
        }
        assert_eq!(for_people("Anna\u{7}B", 5), "Anna ");
    }
}
