//! A site that is served on a loopback port, with its first administrator and API account.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::attempts::Attempts;
use api::passwords::Source;
use api::{AgentPrograms, Limits, ShownCertificate, Site, SiteSetup, Transport, credential};
use axum::Extension;
use connector::mail::Languages;
use connector::outbound::Outbound;
use connector::{Hub, HubOptions, HubTask, RefusedAttempts, Tickets, TicketsTask};
use domain::ids::{ApiAccountId, NodeEpoch, SecretRef, UserId};
use domain::record::{self, Object};
use domain::site::{agent_trust, api_account, first_start};
use domain::{Actor, Cause, Command, Event};
use engine::testing::{CountingFresh, TestClock};
use engine::{Done, Engine, EngineSetup, EngineTask, ExecuteError, Lane, Side, Submission};
use eventstore::testing::TestDatabase;
use eventstore::{Direction, EventStore, Location, Options, Selection, SideTable, SideWrite};
use ipnet::IpNet;
use link_protocol::Anchor;
use projections::ReportIndex;
use reqwest::{Method, RequestBuilder, Response};
use secrets::{KeyFile, Sealer, SecretText};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;

/// What an API account shows to get a token.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(crate) id: ApiAccountId,
    pub(crate) client_id: String,
    pub(crate) secret: String,
}

/// The first account's secret has what the guide's has: `+`, `/` and `=` (AUTH-03).
pub(crate) const FIRST_SECRET: &str = "0123456789abcdef+0123456789/abcdef0123456789=";
pub(crate) const FIRST_PASSWORD: &str = "canary-first-password";

/// A node that serves the site.
pub(crate) struct Served {
    pub(crate) site: Arc<Site>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) url: String,
    pub(crate) first: Credentials,
    /// A token of the first account, which has every permission and a large budget.
    pub(crate) token: String,
    http: reqwest::Client,
    engine: Option<EngineTask>,
    _hub: HubTask,
    _tickets: TicketsTask,
    /// The report index follows the log as long as it is held.
    _follow: watch::Sender<bool>,
    _keys: Option<TempDir>,
    _database: Option<TestDatabase>,
}

/// The run of the node `number` that its hub serves agents on.
pub(crate) fn hub_epoch(number: u64) -> NodeEpoch {
    NodeEpoch(1_000 + i64::try_from(number).unwrap())
}

/// The trust anchor of the site.
pub(crate) fn anchor() -> String {
    Anchor::PublicKey([7; 32]).to_string()
}

/// What differs from a plain site.
pub(crate) struct Differently {
    pub(crate) limits: Limits,
    pub(crate) public_url: Option<String>,
    pub(crate) shared: bool,
    pub(crate) agent_programs: AgentPrograms,
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) shown_certificate: watch::Receiver<ShownCertificate>,
}

impl Default for Differently {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            public_url: None,
            shared: false,
            agent_programs: AgentPrograms::default(),
            trusted_proxies: Vec::new(),
            shown_certificate: watch::channel(ShownCertificate::default()).1,
        }
    }
}

impl Served {
    pub(crate) async fn start() -> Self {
        Self::start_with(Differently::default()).await
    }

    pub(crate) async fn start_with(differently: Differently) -> Self {
        let database = TestDatabase::sqlite();
        let keys = tempfile::tempdir().unwrap();
        KeyFile::create(keys.path().join("key")).unwrap();
        let clock = TestClock::new();
        let mut served = Self::node(
            database.location(),
            &keys,
            1,
            Arc::clone(&clock),
            differently,
        )
        .await;
        served.first_start().await;
        served._database = Some(database);
        served._keys = Some(keys);
        served
    }

    /// One node on a log that may have others; the site may or may not be made yet.
    pub(crate) async fn node(
        location: &Location,
        keys: &TempDir,
        number: u64,
        clock: Arc<TestClock>,
        differently: Differently,
    ) -> Self {
        let store = EventStore::open(location, Options::default())
            .await
            .unwrap();
        let sealer = Arc::new(Sealer::load(keys.path().join("key")).unwrap());
        let setup = EngineSetup::new(
            store,
            Arc::clone(&clock) as Arc<dyn engine::Clock>,
            CountingFresh::of_node(number),
        );
        let (engine, task) = Engine::start(setup).await.unwrap();
        let attempts = Arc::new(Attempts::new(Arc::clone(engine.clock()), 1_000));
        let report_index = ReportIndex::open(engine.store()).await.unwrap();
        let (follow, followed) = watch::channel(false);
        let following = report_index.clone();
        tokio::spawn(async move { following.follow(followed).await });
        // Agents that a test plays itself are on other runs of the node.
        let (hub, hub_task) = Hub::new(
            engine.clone(),
            Arc::clone(&sealer),
            hub_epoch(number),
            HubOptions {
                heartbeat: Duration::from_secs(30),
                refused_attempts: Some(Arc::clone(&attempts) as Arc<dyn RefusedAttempts>),
            },
        );
        let (tickets, tickets_task) = Tickets::start(engine.clone(), Outbound::default());
        let site = Site::new(SiteSetup {
            engine,
            hub,
            tickets,
            report_index,
            sealer,
            limits: differently.limits,
            public_url: differently.public_url,
            attempts,
            agent_url: "https://access.example.com".to_owned(),
            shown_certificate: differently.shown_certificate,
            agent_programs: differently.agent_programs,
            mail_languages: Arc::new(Languages::shipped()),
            version: "0.1.0".to_owned(),
            trusted_proxies: differently.trusted_proxies,
            node: number.to_string(),
            shared: differently.shared,
        });
        let streams = Arc::clone(&site);
        // Ends with the engine.
        let (running, stopped) = watch::channel(false);
        tokio::spawn(async move {
            let _running = running;
            streams.run_streams(stopped).await;
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = api::router(Arc::clone(&site))
            .layer(Extension(Transport::PlainTrusted))
            .into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self {
            site,
            clock,
            url,
            first: Credentials {
                id: ApiAccountId(1),
                client_id: String::new(),
                secret: FIRST_SECRET.to_owned(),
            },
            token: String::new(),
            http: reqwest::Client::new(),
            engine: Some(task),
            _hub: hub_task,
            _tickets: tickets_task,
            _follow: follow,
            _keys: None,
            _database: None,
        }
    }

    /// Makes the site and gives its first account a large budget, for the clock stands still.
    pub(crate) async fn first_start(&mut self) {
        let [password, secret] =
            [(); 2].map(|()| credential::new_reference(&self.site.engine.fresh()));
        let hash = self
            .site
            .passwords
            .hash(
                FIRST_PASSWORD.into(),
                &self.site.engine.fresh(),
                &Source::Proven("operator".to_owned()),
            )
            .await
            .unwrap();
        let rows = [
            (
                password.0.clone(),
                credential::seal_password(&self.site.sealer, &password, &hash),
            ),
            (
                secret.0.clone(),
                credential::seal_client_secret(
                    &self.site.sealer,
                    &secret,
                    &SecretText::new(FIRST_SECRET),
                ),
            ),
        ];
        let side = Side::writing(move |_| {
            rows.map(|(key, value)| SideWrite::Insert {
                table: SideTable::Secret,
                key,
                value,
            })
            .into()
        });
        let command = Command::FirstStart(first_start::Command {
            username: "admin".to_owned(),
            password,
            client_secret: secret,
            company_name: "acme".to_owned(),
        });
        self.submit(command, Some(side)).await.unwrap();
        let begin = agent_trust::Command::Begin {
            anchors: vec![anchor()],
            anchors_version: 1,
            addresses: Vec::new(),
        };
        self.submit(Command::AgentTrust(begin), None).await.unwrap();
        self.change_account(
            ApiAccountId(1),
            json!({"requests_per_second": 10_000, "requests_per_hour": 1_000_000}),
        )
        .await;
        self.join().await;
    }

    /// Learns the first account's client id and gets a token, on a node whose site is made.
    pub(crate) async fn join(&mut self) {
        let known = self.site.engine.as_fresh_as_the_log().await.unwrap();
        let account = known.world.api_accounts.get(&ApiAccountId(1)).unwrap();
        self.first.client_id = account.client_id.clone();
        self.token = self.token_of(&self.first).await;
    }

    /// Whether this is the password of a user.
    pub(crate) async fn has_password(&self, user: UserId, password: &str) -> bool {
        let published = self.site.engine.published();
        let reference = published.world.users.get(&user).unwrap().password.clone();
        let source = Source::Proven("test".to_owned());
        self.site
            .password_matches(reference.as_ref(), &password.into(), &source)
            .await
            .unwrap()
    }

    /// Where the database keeps its files.
    pub(crate) fn directory(&self) -> &std::path::Path {
        self._database.as_ref().unwrap().directory()
    }

    /// Stops the engine; the surface stays.
    pub(crate) async fn stop_engine(&mut self) {
        self.engine.take().unwrap().shut_down().await;
    }

    pub(crate) async fn submit(
        &self,
        command: Command,
        side: Option<Side>,
    ) -> Result<Done, ExecuteError> {
        let mut submission =
            Submission::new(command, Cause::program(Actor::Operator), Lane::People);
        if let Some(side) = side {
            submission = submission.with_side(side);
        }
        self.site.engine.execute(submission).await
    }

    /// Makes an API account with these members.
    pub(crate) async fn account(&self, members: Value) -> Credentials {
        let secret = credential::new_client_secret(&self.site.engine.fresh());
        let (reference, side) = self.sealed(&secret);
        let mut body: Object = members.as_object().unwrap().clone();
        body.insert("client_secret".to_owned(), reference.0.into());
        let command = api_account::Command::Record(record::Command::Create(body));
        let done = self
            .submit(Command::ApiAccount(command), Some(side))
            .await
            .unwrap();
        let Event::ApiAccount(id, api_account::Event::Record(record::Event::Created(account))) =
            &done.events[0]
        else {
            panic!("an account is made");
        };
        Credentials {
            id: *id,
            client_id: account.client_id.clone(),
            secret: secret.expose().to_owned(),
        }
    }

    pub(crate) async fn change_account(&self, id: ApiAccountId, members: Value) {
        let body = members.as_object().unwrap().clone();
        let command = api_account::Command::Record(record::Command::Change(id, body));
        self.submit(Command::ApiAccount(command), None)
            .await
            .unwrap();
    }

    pub(crate) async fn delete_account(&self, id: ApiAccountId) {
        let command = api_account::Command::Record(record::Command::Delete(id));
        self.submit(Command::ApiAccount(command), None)
            .await
            .unwrap();
    }

    /// Gives the account a new secret, as the console does.
    pub(crate) async fn regenerate(&self, account: &Credentials) -> Credentials {
        let secret = credential::new_client_secret(&self.site.engine.fresh());
        let (client_secret, side) = self.sealed(&secret);
        let command = api_account::Command::RegenerateSecret {
            account: account.id,
            client_secret,
        };
        self.submit(Command::ApiAccount(command), Some(side))
            .await
            .unwrap();
        Credentials {
            secret: secret.expose().to_owned(),
            ..account.clone()
        }
    }

    fn sealed(&self, secret: &SecretText) -> (SecretRef, Side) {
        let reference = credential::new_reference(&self.site.engine.fresh());
        let sealed = credential::seal_client_secret(&self.site.sealer, &reference, secret);
        let side = credential::put_away(&reference, sealed);
        (reference, side)
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    /// Asks for a token with Basic and a form.
    pub(crate) async fn ask_token(&self, account: &Credentials) -> Response {
        self.request(Method::POST, "/oauth2/token")
            .basic_auth(&account.client_id, Some(&account.secret))
            .form(&[("grant_type", "client_credentials")])
            .send()
            .await
            .unwrap()
    }

    pub(crate) async fn token_of(&self, account: &Credentials) -> String {
        let response = self.ask_token(account).await;
        assert_eq!(response.status(), 200);
        let body: Value = response.json().await.unwrap();
        body["access_token"].as_str().unwrap().to_owned()
    }

    /// A call of the Configuration API with the first account's token.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Response {
        self.call_with(&self.token, method, path, body).await
    }

    pub(crate) async fn call_with(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Response {
        let request = self
            .request(method, &format!("/api/config/v1/{path}"))
            .bearer_auth(token);
        let request = match body {
            // Without a Content-Type, as the vendor's own client does.
            Some(body) => request.body(body.to_string()),
            None => request,
        };
        request.send().await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.call(Method::GET, path, None).await).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        answer(self.call(Method::POST, path, Some(body)).await).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> (u16, Value) {
        answer(self.call(Method::PATCH, path, Some(body)).await).await
    }

    pub(crate) async fn delete(&self, path: &str) -> (u16, Value) {
        answer(self.call(Method::DELETE, path, None).await).await
    }

    /// The status of a read with this token.
    pub(crate) async fn status_with(&self, token: &str) -> u16 {
        let response = self.call_with(token, Method::GET, "jump-group", None).await;
        response.status().as_u16()
    }

    /// Every stored event: stored name and text, data and meta.
    pub(crate) async fn log(&self) -> Vec<(String, String)> {
        let store = self.site.engine.store();
        let events = store
            .read(&Selection::All, 0, Direction::Forward, 100_000)
            .await;
        events
            .unwrap()
            .into_iter()
            .map(|event| {
                let text = |bytes| String::from_utf8(bytes).unwrap();
                (event.event_type, text(event.data) + &text(event.meta))
            })
            .collect()
    }

    /// How many events of this stored name the log has.
    pub(crate) async fn count(&self, name: &str) -> usize {
        let log = self.log().await;
        log.iter().filter(|(stored, _)| stored == name).count()
    }
}

/// Status and body; `null` for no body.
pub(crate) async fn answer(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    let body = if text.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("JSON expected: {text}"))
    };
    (status, body)
}

/// The value of a header, as text.
pub(crate) fn header(response: &Response, name: &str) -> Option<String> {
    let value = response.headers().get(name)?;
    Some(value.to_str().unwrap().to_owned())
}
