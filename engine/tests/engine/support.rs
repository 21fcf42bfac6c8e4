//! A small site on a database of its own, the commands of the tests, and ways to break the database beneath an engine.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::access::jump_group;
use domain::fleet::jump_client::{self, Facts, Overrides, Register};
use domain::ids::{
    ApiAccountId, JumpClientId, JumpClientInstallerId, JumpGroupId, JumpItemRef, KeyedHash, LinkId,
    NodeEpoch, SecretRef, UserId,
};
use domain::record::{self, Object};
use domain::session::access_session;
use domain::site::first_start;
use domain::{Actor, Cause, Command, Surface, World, node};
use engine::testing::{CountingFresh, TestClock};
use engine::{Done, Engine, EngineLimits, EngineSetup, EngineTask, ExecuteError, Lane, Submission};
use eventstore::testing::TestDatabase;
use eventstore::{Direction, EventStore, Location, Options, Selection};
use projections::Recorded;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The first administrator.
pub(crate) const ADMINISTRATOR: UserId = UserId(1);
/// The node of the tests' clients.
pub(crate) const NODE: NodeEpoch = NodeEpoch(1);
/// The only installer of [`Site::with_fleet`].
pub(crate) const INSTALLER: JumpClientInstallerId = JumpClientInstallerId(1);

/// How long a test waits for what must come at once.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// An engine on a log, as one node runs it.
pub(crate) struct Site {
    pub(crate) store: EventStore,
    pub(crate) engine: Engine,
    pub(crate) task: EngineTask,
    pub(crate) clock: Arc<TestClock>,
}

/// How a [`Site`] is started.
#[derive(Clone)]
pub(crate) struct How {
    pub(crate) options: Options,
    pub(crate) limits: EngineLimits,
    pub(crate) snapshots: Option<PathBuf>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) node: u64,
}

impl Default for How {
    fn default() -> Self {
        Self {
            options: Options::default(),
            limits: EngineLimits::default(),
            snapshots: None,
            clock: TestClock::new(),
            node: 0,
        }
    }
}

impl Site {
    /// An engine on the log as it is.
    pub(crate) async fn open(database: &TestDatabase, how: How) -> Self {
        Self::open_at(database.location(), how).await
    }

    pub(crate) async fn open_at(location: &Location, how: How) -> Self {
        let store = EventStore::open(location, how.options)
            .await
            .expect("the log opens");
        let position = store.head().await.expect("a head").position;
        let mut setup = EngineSetup::new(
            store.clone(),
            how.clock.clone(),
            // Ids are given once, also by a second start.
            CountingFresh::of_node(how.node << 32 | position),
        );
        setup.snapshots = how.snapshots;
        setup.limits = how.limits;
        let (engine, task) = Engine::start(setup).await.expect("the engine starts");
        Self {
            store,
            engine,
            task,
            clock: how.clock,
        }
    }

    /// A site after its first start.
    pub(crate) async fn new(database: &TestDatabase) -> Self {
        Self::new_with(database, How::default()).await
    }

    pub(crate) async fn new_with(database: &TestDatabase, how: How) -> Self {
        let site = Self::open(database, how).await;
        let operator = Cause::program(Actor::Operator);
        let set_up = Submission::new(first_start(), operator, Lane::People);
        site.engine.execute(set_up).await.expect("the site is made");
        site
    }

    /// A site with a node, a group and an installer, whose secret anybody knows.
    pub(crate) async fn with_fleet(database: &TestDatabase, how: How) -> Self {
        let site = Self::new_with(database, how).await;
        for command in fleet() {
            site.run(command).await;
        }
        site
    }

    /// Executes what must be accepted.
    pub(crate) async fn run(&self, command: Command) -> Done {
        let name = command.name();
        self.ask(command)
            .await
            .unwrap_or_else(|error| panic!("{name} is refused: {error}"))
    }

    pub(crate) async fn ask(&self, command: Command) -> Result<Done, ExecuteError> {
        self.engine.execute(submission(command)).await
    }

    /// Ends everything in good order.
    pub(crate) async fn close(self) {
        self.task.shut_down().await;
        drop(self.engine);
        self.store.close().await;
    }
}

/// Runs a test on each database.
pub(crate) async fn on_both(test: impl AsyncFn(&TestDatabase)) {
    for database in TestDatabase::both().await {
        eprintln!("on {}", database.kind());
        test(&database).await;
    }
}

/// The whole log, decoded.
pub(crate) async fn everything(store: &EventStore) -> Vec<Recorded> {
    let mut all = Vec::new();
    loop {
        let from = all.len() as u64 + 1;
        let page = store
            .read(&Selection::All, from, Direction::Forward, 5_000)
            .await
            .expect("the log can be read");
        if page.is_empty() {
            return all;
        }
        all.extend(
            page.iter()
                .map(|event| Recorded::from_stored(event).expect("the event can be read")),
        );
    }
}

/// A fresh fold of the whole log, one event after the other.
pub(crate) async fn fold(store: &EventStore) -> World {
    let mut world = World::default();
    for recorded in everything(store).await {
        world.apply(&recorded.event, recorded.decided_at);
    }
    world
}

/// Asserts that the published World, the views and a fresh fold of the log are the same.
pub(crate) async fn assert_as_the_log(site: &Site) {
    let published = site.engine.published();
    let head = site.store.head().await.expect("the head can be read");
    assert_eq!(published.tail.position, head.position, "position");
    assert_eq!(published.tail.tail_hash, head.tail_hash, "tail hash");
    let folded = fold(&site.store).await;
    assert!(
        published.world == folded,
        "the World is not what the log folds into"
    );
    let views = projections::Views::of(&folded, head.position);
    assert!(
        site.engine.views().timers == views.timers,
        "the timers differ"
    );
    assert_eq!(site.engine.views().bookmark(), head.position, "bookmark");
    for (id, _) in folded.jump_clients.iter() {
        let item = JumpItemRef::JumpClient(*id);
        assert_eq!(
            site.engine.views().console.row(item),
            views.console.row(item),
            "row of {item}"
        );
    }
}

// --- commands ---

pub(crate) fn cause() -> Cause {
    Cause {
        actor: Actor::User(ADMINISTRATOR),
        surface: Surface::ConsoleApi,
        address: None,
    }
}

pub(crate) fn submission(command: Command) -> Submission {
    Submission::new(command, cause(), Lane::People)
}

pub(crate) fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        other => panic!("{other} is no object"),
    }
}

fn first_start() -> Command {
    Command::FirstStart(first_start::Command {
        username: "admin".to_owned(),
        password: SecretRef("1".repeat(32)),
        client_secret: SecretRef("2".repeat(32)),
        company_name: "Example".to_owned(),
    })
}

pub(crate) fn create_group(name: &str) -> Command {
    Command::JumpGroup(jump_group::Command::Record(record::Command::Create(
        object(json!({ "name": name })),
    )))
}

pub(crate) fn delete_group(group: JumpGroupId) -> Command {
    Command::JumpGroup(jump_group::Command::Record(record::Command::Delete(group)))
}

pub(crate) fn fleet() -> [Command; 3] {
    [
        Command::Node(node::Command::Start {
            epoch: NODE,
            name: "a".to_owned(),
            url: None,
        }),
        create_group("Fleet"),
        Command::JumpClientInstaller(record::Command::Create(object(json!({
            "jump_group_id": 1,
            "secret_hash": "0".repeat(64),
            "valid_duration": 525_600,
        })))),
    ]
}

/// A new machine on a connection of its own.
pub(crate) fn register(number: u64) -> Command {
    Command::JumpClient(jump_client::Command::Register(Box::new(Register {
        installer: INSTALLER,
        link: link(number),
        public_ip: "192.0.2.1:50000".to_owned(),
        boot_id: format!("{number:032x}"),
        facts: facts(number, ""),
        token: KeyedHash(format!("{number:064x}")),
        attempt: KeyedHash(format!("{:064x}", u128::from(number) + (1 << 64))),
        overrides: Overrides::default(),
    })))
}

pub(crate) fn link(number: u64) -> LinkId {
    LinkId {
        node: NODE,
        connection: number,
    }
}

pub(crate) fn facts(number: u64, console_user: &str) -> Facts {
    Facts {
        hostname: format!("host-{number}"),
        operating_system: "Debian GNU/Linux 12".to_owned(),
        private_ip: "10.0.0.7".to_owned(),
        console_user: console_user.to_owned(),
        install_mode: "service".to_owned(),
        ..Facts::default()
    }
}

pub(crate) fn check_in(client: JumpClientId, console_user: &str) -> Command {
    Command::JumpClient(jump_client::Command::CheckIn {
        client,
        link: link(u64::from(client.0)),
        facts: Box::new(facts(u64::from(client.0), console_user)),
    })
}

pub(crate) fn start_session(client: JumpClientId) -> Command {
    Command::AccessSession(access_session::Command::Start(access_session::Start::new(
        ADMINISTRATOR,
        JumpItemRef::JumpClient(client),
        "192.0.2.9".to_owned(),
        "Unknown".to_owned(),
    )))
}

pub(crate) fn api_account_signs_in() -> Command {
    Command::ApiAccount(domain::site::api_account::Command::Authenticate {
        account: ApiAccountId(1),
        address: "192.0.2.20".parse().expect("an address"),
    })
}

// --- breaking the database ---

/// Runs statements on the database behind the store's back.
pub(crate) async fn behind_the_back(database: &TestDatabase, sql: &str) {
    match database.location() {
        Location::Sqlite { directory } => {
            let mut connection = sqlx::sqlite::SqliteConnectOptions::new()
                .filename(directory.join("log.db"))
                .busy_timeout(SOON)
                .connect()
                .await
                .expect("the file opens");
            sqlx::raw_sql(AssertSqlSafe(sql))
                .execute(&mut connection)
                .await
                .expect("the statement runs");
            connection.close().await.expect("closes");
        }
        Location::Postgres { url } => {
            let mut connection = sqlx::PgConnection::connect(url).await.expect("it answers");
            sqlx::raw_sql(AssertSqlSafe(sql))
                .execute(&mut connection)
                .await
                .expect("the statement runs");
            connection.close().await.expect("closes");
        }
    }
}

/// Ends every other connection to a PostgreSQL database, from a thread of its own: for use where nothing may be awaited.
pub(crate) fn terminate_connections(database: &TestDatabase) -> impl FnOnce() + Send + 'static {
    let Location::Postgres { url } = database.location().clone() else {
        panic!("only PostgreSQL has connections to end");
    };
    move || {
        let ending = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let mut connection = sqlx::PgConnection::connect(&url).await.expect("it answers");
                sqlx::query(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
                     WHERE datname = current_database() AND pid <> pg_backend_pid()",
                )
                .execute(&mut connection)
                .await
                .expect("connections end");
            });
        });
        ending.join().expect("the thread ends");
    }
}

/// A way to PostgreSQL that can lose the answer to a COMMIT.
pub(crate) struct LossyWay {
    pub(crate) location: Location,
    lose_next_commit: Arc<AtomicBool>,
    refuse: Arc<AtomicBool>,
}

impl LossyWay {
    pub(crate) async fn to(database: &TestDatabase) -> Self {
        let Location::Postgres { url } = database.location() else {
            panic!("only PostgreSQL is reached by a way");
        };
        let options: sqlx::postgres::PgConnectOptions = url.parse().expect("a URL");
        let server = format!("{}:{}", options.get_host(), options.get_port());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let here: SocketAddr = listener.local_addr().expect("an address");
        let url = options
            .host("127.0.0.1")
            .port(here.port())
            .to_url_lossy()
            .to_string();
        let lose_next_commit = Arc::new(AtomicBool::new(false));
        let refuse = Arc::new(AtomicBool::new(false));
        let (lose, refusing) = (Arc::clone(&lose_next_commit), Arc::clone(&refuse));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if refusing.load(Ordering::SeqCst) {
                    continue;
                }
                let server = TcpStream::connect(&server).await.expect("it answers");
                tokio::spawn(pass_on(
                    client,
                    server,
                    Arc::clone(&lose),
                    Arc::clone(&refusing),
                ));
            }
        });
        Self {
            location: Location::Postgres { url },
            lose_next_commit,
            refuse,
        }
    }

    /// The next COMMIT reaches the server; its answer is lost, and the way is closed with it until [`LossyWay::open`].
    pub(crate) fn lose_next_commit(&self) {
        self.lose_next_commit.store(true, Ordering::SeqCst);
    }

    /// Whether the way is closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.refuse.load(Ordering::SeqCst)
    }

    /// Lets connections pass again.
    pub(crate) fn open(&self) {
        self.refuse.store(false, Ordering::SeqCst);
    }
}

async fn pass_on(
    client: TcpStream,
    server: TcpStream,
    lose: Arc<AtomicBool>,
    refuse: Arc<AtomicBool>,
) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let back = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
    });
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read) = from_client.read(&mut buffer).await {
        if read == 0 {
            break;
        }
        let sent = &buffer[..read];
        let commits = sent.windows(6).any(|word| word == b"COMMIT");
        if commits && lose.swap(false, Ordering::SeqCst) {
            refuse.store(true, Ordering::SeqCst);
            back.abort();
            let _ = back.await;
            let _ = to_server.write_all(sent).await;
            return;
        }
        if to_server.write_all(sent).await.is_err() {
            break;
        }
    }
    back.abort();
}
