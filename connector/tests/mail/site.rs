//! A small site with an outbox: one node, mail settings, and the log to look into.

use std::sync::Arc;
use std::time::Duration;

use connector::mail::testing::MailServer;
use connector::mail::{Languages, MAIL, Outbox, OutboxSetup, Patience};
use domain::ids::{AccessRequestId, MailDeliveryId, SecretRef};
use domain::record;
use domain::site::mail_delivery::{self, ApproverAsked, Mail, Message, RequestTold};
use domain::site::mail_settings::MAIL_SETTINGS;
use domain::site::{first_start, mail_template};
use domain::{Actor, Cause, Command, Event, Refusal, Surface, World};
use engine::testing::{CountingFresh, TestClock};
use engine::{Engine, EngineSetup, EngineTask, ExecuteError, Lane, Submission};
use eventstore::testing::TestDatabase;
use eventstore::{Fence, NodeEpoch, SideTable, SideWrite};
use secrets::{KeyFile, Sealer};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long a test waits for what must come at once.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// The password of the mail server.
pub(crate) const PASSWORD: &str = "canary-mail-password";

pub(crate) struct Site {
    pub(crate) engine: Engine,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) sealer: Arc<Sealer>,
    outbox: Option<(JoinHandle<()>, watch::Sender<bool>)>,
    lease: watch::Sender<Option<Fence>>,
    patience: Patience,
    _engine_task: EngineTask,
    pub(crate) database: TestDatabase,
}

impl Site {
    /// A site whose outbox works, with these settings beside host and sender.
    pub(crate) async fn with(port: u16, settings: Value) -> Self {
        let mut site = Self::without_outbox().await;
        site.configure(port, settings).await;
        site.begin().await;
        site
    }

    /// A site whose mails go to `server` in clear.
    pub(crate) async fn mailing(server: &MailServer) -> Self {
        Self::with(server.port, json!({"encryption": "none"})).await
    }

    pub(crate) async fn without_outbox() -> Self {
        let database = TestDatabase::sqlite();
        let clock = TestClock::new();
        let setup = EngineSetup::new(database.open().await, clock.clone(), CountingFresh::new());
        let (engine, engine_task) = Engine::start(setup).await.expect("the engine starts");
        let keys = KeyFile::create(database.directory().join("key")).expect("a key file");
        let site = Self {
            engine,
            clock,
            sealer: Arc::new(Sealer::new(keys)),
            outbox: None,
            lease: watch::Sender::new(None),
            patience: Patience {
                connecting: Duration::from_secs(5),
                encrypting: Duration::from_secs(5),
                talking: Duration::from_secs(5),
                handing_over: Duration::from_secs(5),
            },
            _engine_task: engine_task,
            database,
        };
        site.run(Command::FirstStart(first_start::Command {
            username: "admin".to_owned(),
            password: SecretRef("0".repeat(32)),
            client_secret: SecretRef("1".repeat(32)),
            company_name: String::new(),
        }))
        .await;
        site
    }

    /// The outbox begins to work, as a node that took the lease.
    pub(crate) async fn begin(&mut self) {
        let store = self.engine.store();
        let row = store.consumer(MAIL).await.expect("the row can be read");
        let fence = row.map_or(Fence(0), |row| row.fence);
        let fence = store
            .take_lease(MAIL, NodeEpoch(1), fence)
            .await
            .expect("the lease can be taken");
        self.lease.send_replace(fence);
        let outbox = Outbox::new(OutboxSetup {
            engine: self.engine.clone(),
            sealer: Arc::clone(&self.sealer),
            languages: Arc::new(Languages::shipped()),
            url: "https://access.example.com".to_owned(),
            patience: self.patience.clone(),
            installer_path: |_, installer, platform| format!("/download/{installer}/{platform}"),
        });
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(outbox.run(self.lease.subscribe(), stopped));
        self.outbox = Some((task, stop));
    }

    /// The outbox ends as at a stop of the node.
    pub(crate) async fn end(&mut self) {
        let (task, stop) = self.outbox.take().expect("it runs");
        stop.send_replace(true);
        timeout(SOON, task).await.expect("it ends").expect("well");
    }

    pub(crate) async fn configure(&self, port: u16, settings: Value) {
        let mut body =
            json!({"host": "localhost", "port": port, "from_address": "gatebook@example.com"});
        let members = body.as_object_mut().expect("an object");
        members.extend(settings.as_object().expect("an object").clone());
        let mut side = None;
        if members.contains_key("username") {
            let reference = SecretRef("2".repeat(32));
            let place = format!("secret/{}", reference.0);
            let value = self.sealer.seal(PASSWORD.as_bytes(), place.as_bytes());
            members.insert("password".to_owned(), reference.0.clone().into());
            side = Some(engine::Side::writing(move |_| {
                vec![SideWrite::Put {
                    table: SideTable::Secret,
                    key: reference.0,
                    value,
                }]
            }));
        }
        let change = record::Command::Change(MAIL_SETTINGS, members.clone());
        let mut submission = submission(Command::MailSettings(change), Actor::Operator);
        submission.side = side;
        self.engine.execute(submission).await.expect("settings");
    }

    pub(crate) async fn run(&self, command: Command) -> Vec<Event> {
        self.run_as(Actor::Operator, command).await
    }

    pub(crate) async fn run_as(&self, actor: Actor, command: Command) -> Vec<Event> {
        let done = self.engine.execute(submission(command, actor)).await;
        done.expect("it is done").events
    }

    pub(crate) async fn refused_as(&self, actor: Actor, command: Command) -> Refusal {
        match self.engine.execute(submission(command, actor)).await {
            Err(ExecuteError::Refused { refusal, .. }) => refusal,
            other => panic!("{other:?}"),
        }
    }

    /// Queues a mail to an approver.
    pub(crate) async fn queue(&self, number: u128, recipient: &str) -> MailDeliveryId {
        let id = MailDeliveryId(number);
        let mail = Mail {
            recipient: recipient.to_owned(),
            language: "en-us".to_owned(),
            message: Message::ApprovalRequested(ApproverAsked {
                approver: 0,
                request: request(),
            }),
        };
        self.run(Command::MailDelivery(mail_delivery::Command::Queue(
            id, mail,
        )))
        .await;
        id
    }

    /// What happened to a mail, by stored name.
    pub(crate) async fn story(&self, id: MailDeliveryId) -> Vec<mail_delivery::Event> {
        let head = self.engine.published().tail.position;
        let recorded = self.engine.read_recorded(0, head).await.expect("the log");
        recorded
            .into_iter()
            .filter_map(|recorded| match recorded.event {
                Event::MailDelivery(of, event) if of == id => Some(event),
                _ => None,
            })
            .collect()
    }

    /// Waits until the world is as it should be.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&World) -> bool) {
        let mut position = self.engine.watch_position();
        let waiting = async {
            loop {
                position.borrow_and_update();
                if is_so(&self.engine.published().world) {
                    return;
                }
                position.changed().await.expect("the engine runs");
            }
        };
        timeout(SOON, waiting)
            .await
            .unwrap_or_else(|_| panic!("{what}"));
    }

    /// Waits until this mail has left the outbox.
    pub(crate) async fn until_gone(&self, id: MailDeliveryId) {
        self.until("the mail leaves", |world| {
            !world.mail_deliveries.contains(&id)
        })
        .await;
    }

    /// Waits until this mail was tried `attempts` times, and says why it did not leave.
    pub(crate) async fn until_failed(&self, id: MailDeliveryId, attempts: u32) -> String {
        self.until("the mail fails", |world| {
            world
                .mail_deliveries
                .get(&id)
                .is_some_and(|delivery| delivery.attempts >= attempts)
        })
        .await;
        let published = self.engine.published();
        let delivery = published.world.mail_deliveries.get(&id).expect("there");
        delivery.reason.clone()
    }
}

pub(crate) fn request() -> RequestTold {
    RequestTold {
        id: AccessRequestId(7),
        creator_display_name: "Anna".to_owned(),
        item_name: "web01".to_owned(),
        start_at: domain::Timestamp::from_unix_seconds(1_772_442_000),
        duration_minutes: 120,
        duration_seconds: Some(7_200),
        reason: "disk <full> ü".to_owned(),
    }
}

pub(crate) fn set_template(id: &str, subject: &str, body: &str) -> Command {
    let template = mail_template::MailTemplate {
        subject: subject.to_owned(),
        body: body.to_owned(),
    };
    let id = id.parse().expect("the name of a template");
    Command::MailTemplate(mail_template::Command::Set(id, template))
}

fn submission(command: Command, actor: Actor) -> Submission {
    let cause = Cause {
        actor,
        surface: Surface::Program,
        address: None,
    };
    Submission::new(command, cause, Lane::People)
}
