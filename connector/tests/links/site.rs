//! A small site with a hub: one node, a group, an installer whose secret the tests know, an administrator who may jump.

use std::net::SocketAddr;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use connector::{Hub, HubOptions, HubTask, INSTALLER_SECRET, RefusedAttempts};
use domain::access::jump_group;
use domain::fleet::jump_client::{self, JumpClient};
use domain::ids::{
    JumpClientId, JumpClientInstallerId, JumpGroupId, JumpItemRef, Lsid, NodeEpoch, SecretRef,
    UserId,
};
use domain::record::{self, Object};
use domain::session::access_session;
use domain::site::settings::SETTINGS;
use domain::site::{agent_trust, first_start};
use domain::{Actor, Cause, Command, Event, Surface, World, node};
use engine::testing::{CountingFresh, TestClock};
use engine::{Done, Engine, EngineSetup, EngineTask, ExecuteError, Lane, Submission};
use eventstore::testing::TestDatabase;
use eventstore::{Direction, EventStore, Selection};
use link_protocol::{Anchor, AnchorList, ClientFrame, Secret, ServerFrame, Welcome};
use projections::Recorded;
use secrets::{KeyFile, Sealer};
use serde_json::{Value, json};

use crate::played::{Played, registering};

/// The first administrator, who may start sessions everywhere.
pub(crate) const ADMINISTRATOR: UserId = UserId(1);
/// The group of the installer.
pub(crate) const GROUP: JumpGroupId = JumpGroupId(1);
/// The only installer.
pub(crate) const INSTALLER: JumpClientInstallerId = JumpClientInstallerId(1);
/// The first client.
pub(crate) const CLIENT: JumpClientId = JumpClientId(1);
/// The secret of the installer.
pub(crate) const SECRET: &str = "installer-secret-installer-secret-installer";

/// How long a test on real time waits for what must come at once.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Callers that were counted as refused before anybody was proven.
#[derive(Default)]
pub(crate) struct Strangers(Mutex<Vec<String>>);

impl Strangers {
    pub(crate) fn messages(&self) -> Vec<String> {
        self.0.lock().expect("not poisoned").clone()
    }
}

impl RefusedAttempts for Strangers {
    fn count(&self, caller: SocketAddr, route: &str, message: &str) {
        assert_eq!(
            (caller.to_string().as_str(), route),
            ("192.0.2.1:50000", "/link/v1")
        );
        self.0
            .lock()
            .expect("not poisoned")
            .push(message.to_owned());
    }
}

/// Holds time still.
struct Still {
    _end: SyncSender<()>,
}

impl Still {
    fn new() -> Self {
        let (end, ended) = sync_channel::<()>(0);
        tokio::task::spawn_blocking(move || ended.recv().is_err());
        tokio::time::pause();
        Self { _end: end }
    }
}

impl Drop for Still {
    fn drop(&mut self) {
        tokio::time::resume();
    }
}

/// One node with its hub.
pub(crate) struct Site {
    pub(crate) engine: Engine,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) hub: Hub,
    pub(crate) strangers: Arc<Strangers>,
    pub(crate) node: NodeEpoch,
    hub_task: HubTask,
    engine_task: EngineTask,
    store: EventStore,
    /// Dropped last.
    pub(crate) database: Arc<TestDatabase>,
    _still: Option<Still>,
}

impl Site {
    /// A site whose monotonic time stands still until a test calls [`advance`](tokio::time::advance).
    ///
    /// Tokio's paused clock leaps by itself whenever nothing is to be done, as while a database thread works; a blocking
    /// task that waits for the end of the test keeps it from that.
    pub(crate) async fn still() -> Self {
        let still = Still::new();
        let mut site = Self::on(Arc::new(TestDatabase::sqlite()), 1).await;
        site._still = Some(still);
        site
    }

    /// A node of the site on `database`; the first one makes the site.
    pub(crate) async fn on(database: Arc<TestDatabase>, number: i64) -> Self {
        let store = database.open().await;
        let clock = TestClock::new();
        let fresh = CountingFresh::of_node(number as u64);
        let setup = EngineSetup::new(store.clone(), clock.clone(), fresh);
        let (engine, engine_task) = Engine::start(setup).await.expect("the engine starts");
        let key_file = database.directory().join("key");
        let keys = if key_file.exists() {
            KeyFile::load(&key_file)
        } else {
            KeyFile::create(&key_file)
        };
        let sealer = Arc::new(Sealer::new(keys.expect("the key file")));
        let node = NodeEpoch(number);
        let begin = Command::Node(node::Command::Start {
            epoch: node,
            name: number.to_string(),
            url: None,
        });
        if engine.published().world.site.is_none() {
            let hash = hex::encode(sealer.keyed_hash(INSTALLER_SECRET, SECRET.as_bytes()));
            for command in seeds(&hash) {
                run(&engine, command).await;
            }
        }
        run(&engine, begin).await;
        let strangers = Arc::new(Strangers::default());
        let options = HubOptions {
            heartbeat: Duration::from_secs(30),
            refused_attempts: Some(strangers.clone()),
        };
        let (hub, hub_task) = Hub::new(engine.clone(), sealer, node, options);
        Self {
            engine,
            clock,
            hub,
            strangers,
            node,
            hub_task,
            engine_task,
            store,
            database,
            _still: None,
        }
    }

    /// Ends everything in good order.
    pub(crate) async fn close(self) {
        self.hub_task.shut_down().await;
        self.engine_task.shut_down().await;
        drop((self.hub, self.engine));
        self.store.close().await;
    }

    /// Ends the hub alone.
    pub(crate) async fn shut_hub_down(self) -> (Engine, EngineTask, Arc<TestDatabase>) {
        self.hub_task.shut_down().await;
        (self.engine, self.engine_task, self.database)
    }

    // --- what is asked ---

    pub(crate) async fn run(&self, command: Command) -> Done {
        run(&self.engine, command).await
    }

    pub(crate) async fn ask(&self, command: Command) -> Result<Done, ExecuteError> {
        ask(&self.engine, command).await
    }

    /// Has the administrator jump to a client.
    pub(crate) async fn start_session(&self, client: JumpClientId) -> Lsid {
        let done = self.run(start_session(client)).await;
        match &done.events[..] {
            [Event::AccessSession(lsid, _)] => *lsid,
            other => panic!("a session was to start, not {other:?}"),
        }
    }

    pub(crate) async fn end_session(&self, lsid: Lsid) {
        self.run(Command::AccessSession(access_session::Command::End {
            lsid,
        }))
        .await;
    }

    pub(crate) async fn set(&self, settings: Value) {
        let change = record::Command::Change(SETTINGS, object(settings));
        self.run(Command::SiteSettings(change)).await;
    }

    // --- agents ---

    /// The installer's id and secret, as they stand in its key.
    pub(crate) fn key(&self) -> (String, &'static str) {
        let world = &self.engine.published().world;
        let installer = world.installers.get(&INSTALLER).expect("an installer");
        (installer.installer_id.clone(), SECRET)
    }

    /// A machine that registers with the installer's key and keeps its token.
    pub(crate) async fn registered(&self, boot: u8) -> (Played, Welcome, Secret) {
        let (installer, secret) = self.key();
        let hello = registering(boot, (&installer, secret), boot);
        let (agent, welcome) = Played::welcomed(&self.hub, hello).await;
        let token = welcome.token.clone().expect("a token after a registration");
        agent.say(ClientFrame::TokenStored {}).await;
        let id = JumpClientId(u32::try_from(welcome.client_id).expect("small"));
        self.until(|world| {
            let client = world.jump_clients.get(&id);
            client.is_some_and(|client| client.attempt.is_none())
        })
        .await;
        (agent, welcome, token)
    }

    // --- what is known ---

    pub(crate) fn client(&self) -> JumpClient {
        let published = self.engine.published();
        let client = published.world.jump_clients.get(&CLIENT);
        client.expect("the client is there").clone()
    }

    pub(crate) fn is_online(&self) -> bool {
        let client = self.client();
        self.engine.published().world.is_online(&client)
    }

    /// Waits until the published world is so.
    pub(crate) async fn until(&self, so: impl Fn(&World) -> bool) {
        let mut position = self.engine.watch_position();
        loop {
            position.borrow_and_update();
            if so(&self.engine.published().world) {
                return;
            }
            position.changed().await.expect("the engine runs");
        }
    }

    pub(crate) async fn until_offline(&self) {
        self.until(|world| {
            let client = world.jump_clients.get(&CLIENT);
            client.is_some_and(|client| !world.is_online(client))
        })
        .await;
    }

    pub(crate) async fn until_established(&self, lsid: Lsid) {
        self.until(|world| {
            let session = world.sessions.get(&lsid);
            session.is_some_and(|session| session.established)
        })
        .await;
    }

    /// Waits until a session is over, and answers the name and the text of its last event.
    pub(crate) async fn until_over(&self, lsid: Lsid) -> (String, Value) {
        self.until(|world| !world.sessions.contains(&lsid)).await;
        let stream = format!("access_session-{lsid}");
        self.last_of(Selection::Stream(stream)).await
    }

    pub(crate) async fn last_of(&self, selection: Selection) -> (String, Value) {
        let page = self
            .store
            .read(&selection, u64::MAX, Direction::Backward, 1)
            .await
            .expect("the log can be read");
        let event = page.first().expect("an event");
        let text = serde_json::from_slice(&event.data).expect("JSON");
        (event.event_type.clone(), text)
    }

    /// All events of one type, decoded.
    pub(crate) async fn events(&self, event_type: &str) -> Vec<Recorded> {
        events(&self.store, event_type).await
    }
}

pub(crate) async fn events(store: &EventStore, event_type: &str) -> Vec<Recorded> {
    let selection = Selection::EventType(event_type.to_owned());
    let page = store
        .read(&selection, 1, Direction::Forward, 1_000)
        .await
        .expect("the log can be read");
    page.iter()
        .map(|event| Recorded::from_stored(event).expect("the event can be read"))
        .collect()
}

/// The list of anchors that has had so many changes: the n-th adds the public key of n.
pub(crate) fn anchors(version: u8) -> AnchorList {
    let added = (2..=version).map(|number| Anchor::PublicKey([number; 32]));
    AnchorList {
        version: version.into(),
        list: [Anchor::System].into_iter().chain(added).collect(),
    }
}

/// Adds the public key of `number` to the anchors.
pub(crate) fn add_anchor(number: u8) -> Command {
    let anchor = Anchor::PublicKey([number; 32]).to_string();
    Command::AgentTrust(agent_trust::Command::AddAnchor(anchor))
}

/// The session that an agent is told to start.
pub(crate) fn started(frame: ServerFrame) -> String {
    match frame {
        ServerFrame::StartSession(start) => {
            assert_eq!(
                (start.user_display_name.as_str(), start.answer_within_ms),
                ("Administrator", 30_000)
            );
            start.lsid
        }
        other => panic!("a session was to start, not {other:?}"),
    }
}

/// The session that an agent is told to end, and why.
pub(crate) fn ended(frame: ServerFrame) -> (String, String) {
    match frame {
        ServerFrame::EndSession(end) => (end.lsid, end.reason),
        other => panic!("a session was to end, not {other:?}"),
    }
}

// --- commands ---

async fn run(engine: &Engine, command: Command) -> Done {
    let name = command.name();
    ask(engine, command)
        .await
        .unwrap_or_else(|error| panic!("{name} is refused: {error}"))
}

async fn ask(engine: &Engine, command: Command) -> Result<Done, ExecuteError> {
    let actor = match &command {
        Command::AccessSession(_) => Actor::User(ADMINISTRATOR),
        _ => Actor::Operator,
    };
    let cause = Cause {
        actor,
        surface: Surface::ConsoleApi,
        address: None,
    };
    let submission = Submission::new(command, cause, Lane::People);
    engine.execute(submission).await
}

pub(crate) fn object(value: Value) -> Object {
    value.as_object().cloned().expect("an object")
}

fn seeds(secret_hash: &str) -> [Command; 4] {
    [
        Command::AgentTrust(agent_trust::Command::Begin {
            anchors: vec!["system".to_owned()],
            anchors_version: 1,
            addresses: vec!["https://access.example.com".to_owned()],
        }),
        Command::FirstStart(first_start::Command {
            username: "admin".to_owned(),
            password: SecretRef("1".repeat(32)),
            client_secret: SecretRef("2".repeat(32)),
            company_name: "Example".to_owned(),
        }),
        Command::JumpGroup(jump_group::Command::Record(record::Command::Create(
            object(json!({"name": "Servers"})),
        ))),
        Command::JumpClientInstaller(record::Command::Create(object(json!({
            "jump_group_id": GROUP.0,
            "secret_hash": secret_hash,
            "tag": "web",
            "comments": "made by the tests",
            "allow_override_name": true,
            "valid_duration": 60,
        })))),
    ]
}

pub(crate) fn start_session(client: JumpClientId) -> Command {
    Command::AccessSession(access_session::Command::Start(access_session::Start::new(
        ADMINISTRATOR,
        JumpItemRef::JumpClient(client),
        "192.0.2.9:60000".to_owned(),
        "Unknown".to_owned(),
    )))
}

pub(crate) fn delete_client(client: JumpClientId) -> Command {
    Command::JumpClient(jump_client::Command::Delete(client))
}

pub(crate) fn delete_group() -> Command {
    Command::JumpGroup(jump_group::Command::Record(record::Command::Delete(GROUP)))
}

pub(crate) fn delete_installer() -> Command {
    Command::JumpClientInstaller(record::Command::Delete(INSTALLER))
}

pub(crate) fn stop_node(node: NodeEpoch) -> Command {
    Command::Node(node::Command::Stop {
        epoch: node,
        reason: node::StopReason::Silent,
    })
}
