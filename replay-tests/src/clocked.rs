//! The whole server inside the test, served over real sockets, under a clock that the test moves: for what waits.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use domain::Timestamp;
use eventstore::testing::TestDatabase;
use eventstore::{Access, Direction, EventStore, Location, Options, RecordedEvent, Selection};
use gatebook::command_line::{PlaceOptions, ServeOptions};
use gatebook::configuration;
use gatebook::opening::OpenSite;
use gatebook::place::Place;
use gatebook::serve::{Signals, serve_site};
use gatebook::virtual_clock::VirtualClock;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::caller::Caller;
use crate::program::free_port;

/// How long the server may take to answer first.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Most events that a scenario leaves.
const EVENTS_MAX: usize = 10_000;

/// A server that runs in this process.
pub struct ClockedSite {
    /// Moves the server's time.
    pub clock: VirtualClock,
    /// HTTPS.
    pub https: SocketAddr,
    /// Plain HTTP.
    pub http: SocketAddr,
    /// The log; with SQLite it is in the folder of the node.
    pub database: TestDatabase,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<()>>,
}

/// An event as the log has it.
#[derive(Clone, Debug)]
pub struct Logged {
    /// The stream it is in.
    pub stream: String,
    /// Its stored name.
    pub name: String,
    /// What happened, and who caused it.
    pub text: String,
}

impl ClockedSite {
    /// Serves a new site with SQLite; its clock stands at `at`.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub async fn start(at: Timestamp) -> Result<Self> {
        Self::start_on(TestDatabase::sqlite(), at).await
    }

    /// Serves the site that is in `database`, or a new one; its clock stands at `at`.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub async fn start_on(database: TestDatabase, at: Timestamp) -> Result<Self> {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (https, http) = (local(free_port()?), local(free_port()?));
        let clock = VirtualClock::new(at);
        let (stop, stopped) = oneshot::channel();
        let place = PlaceOptions {
            data: Some(folder_of(&database)),
            database: match database.location() {
                Location::Sqlite { .. } => None,
                Location::Postgres { url } => Some(url.clone()),
            },
            key_file: None,
            config: None,
        };
        let served = serve(place, https, http, stopped, {
            let clock = clock.clone();
            async move |place| OpenSite::open_with(place, Arc::new(clock), |fresh| fresh).await
        });
        let mut site = Self {
            clock,
            https,
            http,
            database,
            stop: Some(stop),
            task: tokio::spawn(served),
        };
        site.wait_until_ready().await?;
        Ok(site)
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let url = format!("{}/check_health", self.url());
        let until = Instant::now() + READY_WITHIN;
        while Instant::now() < until {
            if self.task.is_finished() {
                let ended = (&mut self.task).await.map_err(|error| anyhow!(error))?;
                return ended.and_then(|()| bail!("the server ended before it answered"));
            }
            if let Ok(answer) = client.get(&url).send().await
                && answer.status().is_success()
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("the server does not answer at {url}")
    }

    /// The plain HTTP address, as a URL without a path.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// The HTTPS address as agents are given it.
    #[must_use]
    pub fn agent_url(&self) -> String {
        format!("https://localhost:{}", self.https.port())
    }

    /// What the first start left in `first-run.json`.
    ///
    /// # Errors
    /// When the file is not there or not readable.
    pub fn first_run(&self) -> Result<Value> {
        read_json(&self.folder()?.join("first-run.json"))
    }

    /// The folder of the node.
    ///
    /// # Errors
    /// Never.
    pub fn folder(&self) -> Result<PathBuf> {
        Ok(folder_of(&self.database))
    }

    /// The certificate of the site's own authority, which vouches for its HTTPS address.
    ///
    /// # Errors
    /// When the log is not in a folder.
    pub fn anchor(&self) -> Result<PathBuf> {
        Ok(self.folder()?.join("site-ca.pem"))
    }

    /// A client for the HTTPS address that trusts the site's authority and shows no identity: a browser, a ticket system.
    ///
    /// # Errors
    /// When the authority's certificate can't be read.
    pub fn stranger(&self) -> Result<reqwest::Client> {
        let pem = std::fs::read(self.anchor()?)?;
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([reqwest::Certificate::from_pem(&pem)?])
            .timeout(Duration::from_secs(30))
            .build()?;
        Ok(client)
    }

    /// Every event of the log: its stream, its stored name, and its text with who caused it.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn log(&self) -> Result<Vec<Logged>> {
        let options = Options {
            access: Access::ReadOnly,
            ..Options::default()
        };
        let store = EventStore::open(self.database.location(), options).await?;
        let events = store
            .read(&Selection::All, 0, Direction::Forward, EVENTS_MAX)
            .await?;
        store.close().await;
        ensure!(events.len() < EVENTS_MAX, "the log is longer than expected");
        let logged = |event: RecordedEvent| Logged {
            stream: event.stream,
            name: event.event_type,
            text: format!(
                "{} {}",
                String::from_utf8_lossy(&event.data),
                String::from_utf8_lossy(&event.meta)
            ),
        };
        Ok(events.into_iter().map(logged).collect())
    }

    /// The first API account, with a token.
    ///
    /// # Errors
    /// When the server does not give one.
    pub async fn api(&self) -> Result<Caller> {
        Caller::first_account(&self.url(), &self.first_run()?).await
    }

    /// The first administrator, signed in.
    ///
    /// # Errors
    /// When the server does not let them in.
    pub async fn administrator(&self) -> Result<Caller> {
        let first_run = self.first_run()?;
        let text = |name: &str| {
            first_run["administrator"][name]
                .as_str()
                .with_context(|| format!("no {name} in the first run"))
        };
        Caller::console(&self.url(), text("username")?, text("password")?).await
    }

    /// Stops the server as a signal would; answers what it leaves.
    ///
    /// # Errors
    /// When it ended badly.
    pub async fn stop(mut self) -> Result<TestDatabase> {
        if let Some(stop) = self.stop.take() {
            // It may have ended by itself; what it ended with is told below.
            let _ = stop.send(());
        }
        (&mut self.task).await.map_err(|error| anyhow!(error))??;
        Ok(self.database)
    }
}

fn folder_of(database: &TestDatabase) -> PathBuf {
    match database.location() {
        Location::Sqlite { directory } => directory.clone(),
        Location::Postgres { .. } => database.directory().join("node"),
    }
}

fn read_json(file: &Path) -> Result<Value> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    Ok(serde_json::from_str(&text)?)
}

/// Serves the site in a place, opened by `open`, until `stopped` ends.
///
/// # Errors
/// What ended the server by itself.
pub async fn serve(
    place: PlaceOptions,
    https: SocketAddr,
    http: SocketAddr,
    stopped: oneshot::Receiver<()>,
    open: impl AsyncFnOnce(&Place) -> Result<OpenSite>,
) -> Result<()> {
    let options = ServeOptions {
        place,
        node: Some("one".to_owned()),
        url: None,
        listen: Some(https),
        tls_cert: None,
        tls_key: None,
        listen_http: Some(http),
        trusted_proxy: Vec::new(),
        agent_trust: None,
        agents: None,
        log_format: None,
    };
    let configuration = configuration::serve(&options)?;
    let mut open = open(&configuration.place).await?;
    let signals = Signals::when(async {
        // A test that ended without saying stop has dropped the sender.
        let _ = stopped.await;
    });
    let outcome = serve_site(&configuration, &mut open, signals).await;
    open.close().await;
    outcome
}
