//! A site with a fleet, made by the rules: the same events that years of use would leave.

use domain::access::jump_group;
use domain::fleet::installer::JumpClientInstaller;
use domain::fleet::jump_client::{self, Facts, Overrides, Register};
use domain::ids::{
    JumpClientId, JumpClientInstallerId, JumpGroupId, KeyedHash, LinkId, NodeEpoch, SecretRef,
};
use domain::site::{first_start, user};
use domain::{
    Actor, Cause, Command, Context, Event, Fresh, Timestamp, World, decide, node, record,
};
use eventstore::{EventStore, ExpectedRevision, NewEvent, StreamAppend};
use serde_json::json;
use uuid::Uuid;

/// The run of the node that all clients are connected to.
pub(crate) const NODE: NodeEpoch = NodeEpoch(1);
/// Events of one append while the history is made.
const APPEND: usize = 5_000;

/// How much history to make.
pub(crate) struct Size {
    pub(crate) clients: u32,
    pub(crate) users: u32,
    pub(crate) events: usize,
}

/// Makes the history in an empty log; gives the world it folds into.
pub(crate) async fn make(store: &EventStore, size: &Size) -> anyhow::Result<World> {
    let mut history = History {
        store,
        world: World::default(),
        now: Timestamp(1_700_000_000_000_000),
        waiting: Vec::new(),
        made: 0,
    };
    history.tell(first_start()).await?;
    history
        .tell(Command::Node(node::Command::Start {
            epoch: NODE,
            name: "bench".to_owned(),
            url: None,
        }))
        .await?;
    for number in 0..size.users {
        let body = json!({"username": format!("user{number}"), "public_display_name": format!("User {number}")});
        let body = body.as_object().cloned().unwrap_or_default();
        history
            .tell(Command::User(user::Command::Record(
                record::Command::Create(body),
            )))
            .await?;
    }
    for number in 0..20 {
        let body = json!({"name": format!("Group {number}")})
            .as_object()
            .cloned()
            .unwrap_or_default();
        history
            .tell(Command::JumpGroup(jump_group::Command::Record(
                record::Command::Create(body),
            )))
            .await?;
        history.tell(installer(JumpGroupId(number + 1))).await?;
    }
    for number in 0..size.clients {
        history.tell(register(number)).await?;
    }
    let mut turn = 0;
    while history.made + history.waiting.len() < size.events {
        let client = JumpClientId(turn % size.clients + 1);
        history
            .tell(check_in(client, turn / size.clients + 1))
            .await?;
        turn += 1;
    }
    history.flush().await?;
    Ok(history.world)
}

struct History<'s> {
    store: &'s EventStore,
    world: World,
    now: Timestamp,
    waiting: Vec<StreamAppend>,
    made: usize,
}

impl History<'_> {
    async fn tell(&mut self, command: Command) -> anyhow::Result<()> {
        let cause = Cause::program(Actor::System);
        let number = (self.made + self.waiting.len()) as u128;
        let fresh = Fresh(std::array::from_fn(|index| number * 64 + index as u128));
        let context = Context {
            now: self.now,
            cause: &cause,
            fresh: &fresh,
        };
        let events = decide(&self.world, &command, &context)?;
        let meta = serde_json::to_vec(&cause)?;
        for event in events {
            self.world.apply(&event, self.now);
            self.waiting.push(append(&event, &meta)?);
        }
        if self.waiting.len() >= APPEND {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> anyhow::Result<()> {
        self.made += self.waiting.len();
        let appends = std::mem::take(&mut self.waiting);
        // All of one append are recorded at one time, so that the log folds into the same world.
        self.store.append(appends, Vec::new(), self.now.0).await?;
        self.now = self.now.plus(1_000_000);
        Ok(())
    }
}

/// One event as it is appended.
fn append(event: &Event, meta: &[u8]) -> anyhow::Result<StreamAppend> {
    Ok(StreamAppend {
        stream: event.stream(),
        expected: ExpectedRevision::Any,
        events: vec![NewEvent {
            id: Uuid::now_v7(),
            event_type: event.stored_name().into(),
            data: event.to_text()?,
            meta: meta.to_vec(),
        }],
    })
}

fn first_start() -> Command {
    Command::FirstStart(first_start::Command {
        username: "admin".to_owned(),
        password: SecretRef("0".repeat(32)),
        client_secret: SecretRef("1".repeat(32)),
        company_name: "Bench".to_owned(),
    })
}

fn installer(group: JumpGroupId) -> Command {
    let body =
        json!({"jump_group_id": group.0, "valid_duration": 525_600, "secret_hash": "0".repeat(64)});
    let command: record::Command<JumpClientInstaller> =
        record::Command::Create(body.as_object().cloned().unwrap_or_default());
    Command::JumpClientInstaller(command)
}

fn register(number: u32) -> Command {
    Command::JumpClient(jump_client::Command::Register(Box::new(Register {
        installer: JumpClientInstallerId(number % 20 + 1),
        link: LinkId {
            node: NODE,
            connection: u64::from(number) + 1,
        },
        public_ip: format!("198.51.{}.{}:50000", number / 250 % 250, number % 250),
        boot_id: format!("{number:032x}"),
        facts: Facts {
            hostname: format!("machine-{number}"),
            fqdn: format!("machine-{number}.branch-{}.example.com", number % 40),
            operating_system: "Debian GNU/Linux 12 (x86_64)".to_owned(),
            private_ip: format!(
                "10.{}.{}.{}",
                number / 65_536 % 256,
                number / 256 % 256,
                number % 256
            ),
            console_user: "root".to_owned(),
            install_mode: "service".to_owned(),
            machine_id: format!("{number:032x}"),
            agent_version: "0.1.0".to_owned(),
            timezone_offset: 3_600,
            disabled: false,
            listen_port: 0,
        },
        token: KeyedHash(format!("{number:064x}")),
        attempt: KeyedHash(format!("{number:063x}a")),
        overrides: Overrides::default(),
    })))
}

/// A check-in that changes one fact: the event a fleet writes most.
pub(crate) fn check_in(client: JumpClientId, turn: u32) -> Command {
    let number = client.0 - 1;
    let Command::JumpClient(jump_client::Command::Register(register)) = register(number) else {
        unreachable!("register makes a registration")
    };
    let facts = Facts {
        console_user: format!("user-{turn}"),
        ..register.facts
    };
    Command::JumpClient(jump_client::Command::CheckIn {
        client,
        link: register.link,
        facts: Box::new(facts),
    })
}
