//! One scenario, one command at a time, with the same clock and ids: the log is the same to the byte on both databases, on a
//! second run, and as recorded in `golden/first_jump.jsonl`. A change of that file is explained in its commit.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use domain::access::jump_group::{self, Membership};
use domain::access::role;
use domain::fleet::jump_client::{self, Facts, Overrides, Register};
use domain::ids::{
    ApiAccountId, JumpClientId, JumpClientInstallerId, JumpGroupId, JumpItemRef, JumpPolicyId,
    KeyedHash, LinkId, Lsid, NodeEpoch, SecretRef, UserId,
};
use domain::policy::jump_policy;
use domain::policy::schedule::{Schedule, ScheduleEntry};
use domain::record::{self, Object};
use domain::session::access_session;
use domain::site::user::sign_in::{Origin, SignIn};
use domain::site::{api_account, first_start, user};
use domain::{Actor, Cause, Command, Event, Surface, World, node};
use engine::{ExecuteError, Lane, Submission};
use eventstore::testing::TestDatabase;
use eventstore::{Direction, EventStore, Selection};
use replay_tests::in_process::{fold, start};
use serde_json::{Value, json};

const NODE: NodeEpoch = NodeEpoch(1);
const CLIENT: JumpClientId = JumpClientId(1);
const LINK: LinkId = LinkId {
    node: NODE,
    connection: 1,
};
const ANNA: UserId = UserId(2);

#[tokio::test]
async fn the_same_commands_give_the_same_log_everywhere_and_always() -> Result<()> {
    let first = log_of(TestDatabase::sqlite()).await?;
    let again = log_of(TestDatabase::sqlite()).await?;
    let postgres = log_of(TestDatabase::postgres().await).await?;
    ensure!(
        first == again,
        "a second run differs: {}",
        difference(&first, &again)
    );
    ensure!(
        first == postgres,
        "PostgreSQL differs: {}",
        difference(&first, &postgres)
    );

    let golden = golden();
    if std::env::var_os("GATEBOOK_RECORD_GOLDEN").is_some() {
        std::fs::write(&golden, &first)?;
    }
    let recorded = std::fs::read_to_string(&golden)
        .with_context(|| format!("reading {}", golden.display()))?;
    ensure!(
        first == recorded,
        "the recorded log differs: {}",
        difference(&recorded, &first)
    );
    Ok(())
}

#[test]
fn the_recorded_log_still_folds_into_the_same_state() -> Result<()> {
    let recorded = std::fs::read_to_string(golden())?;
    let mut world = World::default();
    for line in recorded.lines() {
        let row: Value = serde_json::from_str(line)?;
        let text = |name: &str| {
            row[name]
                .as_str()
                .with_context(|| format!("a row has a {name}"))
        };
        let event = Event::from_stored(text("stream")?, text("type")?, text("data")?.as_bytes())?;
        world.apply(
            &event,
            domain::Timestamp(row["recorded_at"].as_i64().context("a row has a time")?),
        );
    }
    ensure!(world.site.is_some());
    ensure!(
        world
            .users
            .get(&ANNA)
            .is_some_and(|anna| anna.username == "anna" && anna.perm_jump_client)
    );
    let membership = world
        .membership(JumpGroupId(1), ANNA)
        .context("anna is a member")?;
    ensure!(membership.jump_item_role_id == Some(role::START_SESSIONS_ONLY));
    let client = world
        .jump_clients
        .get(&CLIENT)
        .context("the client is there")?;
    ensure!(client.facts.console_user == "carol" && client.last_access_at.is_some());
    ensure!(!world.is_online(client), "it said goodbye");
    ensure!(world.sessions.is_empty(), "the session has ended");
    ensure!(world.next_id("lseq") == 2, "one session has been counted");
    ensure!(
        world
            .schedules
            .get(&JumpPolicyId(1))
            .is_some_and(|schedule| schedule.entries.len() == 1)
    );
    Ok(())
}

fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/first_jump.jsonl")
}

async fn log_of(database: TestDatabase) -> Result<String> {
    let (engine, task) = start(database.open().await).await?;
    let mut lsid = None;
    for (actor, command) in scenario() {
        let command = match command {
            Step::Plain(command) => command,
            Step::OfSession(of) => of(lsid.context("a session was started")?),
        };
        let cause = Cause {
            actor,
            surface: Surface::ConsoleApi,
            address: Some([192, 0, 2, 7].into()),
        };
        match engine
            .execute(Submission::new(command, cause, Lane::People))
            .await
        {
            Ok(done) => {
                for event in done.events {
                    if let Event::AccessSession(started, access_session::Event::Started(_)) = event
                    {
                        lsid = Some(started);
                    }
                }
            }
            // Refusals are part of the story: they are written down too.
            Err(ExecuteError::Refused { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let live = engine.published();
    task.shut_down().await;

    let store = database.open().await;
    let folded = fold(&store).await?;
    ensure!(
        folded == live.world,
        "the published world differs from a fold of the log"
    );
    let text = rows(&store).await?;
    store.close().await;
    Ok(text)
}

async fn rows(store: &EventStore) -> Result<String> {
    let mut text = String::new();
    for event in store
        .read(&Selection::All, 1, Direction::Forward, 10_000)
        .await?
    {
        let row = json!({
            "position": event.position,
            "stream": event.stream,
            "revision": event.revision,
            "id": event.id.to_string(),
            "type": event.event_type,
            "data": String::from_utf8(event.data)?,
            "meta": String::from_utf8(event.meta)?,
            "codec": event.codec,
            "recorded_at": event.recorded_at,
            "leaf_hash": event.leaf_hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
        });
        text.push_str(&row.to_string());
        text.push('\n');
    }
    Ok(text)
}

enum Step {
    Plain(Command),
    OfSession(fn(Lsid) -> Command),
}

fn body(value: Value) -> Object {
    value.as_object().cloned().unwrap_or_default()
}

/// The thread of the tour, with what goes wrong on the way.
fn scenario() -> Vec<(Actor, Step)> {
    let admin = Actor::User(UserId(1));
    let api = Actor::ApiAccount(ApiAccountId(1));
    let anna = Actor::User(ANNA);
    let agent = Actor::JumpClient(CLIENT);
    let group = |command| Step::Plain(Command::JumpGroup(command));
    let policy = |command| Step::Plain(Command::JumpPolicy(command));
    let user = |command| Step::Plain(Command::User(command));
    let client = |command| Step::Plain(Command::JumpClient(command));
    vec![
        (
            Actor::Operator,
            Step::Plain(Command::FirstStart(first_start::Command {
                username: "admin".to_owned(),
                password: SecretRef("a".repeat(32)),
                client_secret: SecretRef("b".repeat(32)),
                company_name: "Example".to_owned(),
            })),
        ),
        (
            Actor::System,
            Step::Plain(Command::Node(node::Command::Start {
                epoch: NODE,
                name: "one".to_owned(),
                url: None,
            })),
        ),
        (
            api.clone(),
            Step::Plain(Command::ApiAccount(api_account::Command::Authenticate {
                account: ApiAccountId(1),
                address: [192, 0, 2, 7].into(),
            })),
        ),
        (
            api.clone(),
            group(jump_group::Command::Record(record::Command::Create(body(
                json!({"name": "Web Servers"}),
            )))),
        ),
        (
            api.clone(),
            group(jump_group::Command::Record(record::Command::Create(body(
                json!({"name": "web servers"}),
            )))),
        ),
        (
            api.clone(),
            policy(jump_policy::Command::Record(record::Command::Create(body(
                json!({"display_name": "Always", "schedule_enabled": false}),
            )))),
        ),
        (
            admin.clone(),
            policy(jump_policy::Command::SetSchedule(
                JumpPolicyId(1),
                Schedule {
                    timezone: "Europe/Berlin".to_owned(),
                    entries: vec![ScheduleEntry {
                        start_day: 3,
                        start_minute: 480,
                        end_day: 3,
                        end_minute: 1_020,
                    }],
                    override_allowed: false,
                },
            )),
        ),
        (
            api.clone(),
            Step::Plain(Command::JumpClientInstaller(record::Command::Create(body(
                json!({"jump_group_id": 1, "jump_policy_id": 1, "name": "web-1", "secret_hash": "c".repeat(64)}),
            )))),
        ),
        (
            Actor::NewJumpClient,
            client(jump_client::Command::Register(Box::new(Register {
                installer: JumpClientInstallerId(1),
                link: LINK,
                public_ip: "198.51.100.9:50123".to_owned(),
                boot_id: "d".repeat(32),
                facts: facts("bob"),
                token: KeyedHash("e".repeat(64)),
                attempt: KeyedHash("f".repeat(64)),
                overrides: Overrides::default(),
            }))),
        ),
        (
            agent.clone(),
            client(jump_client::Command::ConfirmToken {
                client: CLIENT,
                link: Some(LINK),
                token: KeyedHash("e".repeat(64)),
            }),
        ),
        (
            agent.clone(),
            client(jump_client::Command::CheckIn {
                client: CLIENT,
                link: LINK,
                facts: Box::new(facts("carol")),
            }),
        ),
        (
            api.clone(),
            user(user::Command::Record(record::Command::Create(body(
                json!({"username": "anna", "public_display_name": "Anna", "password": "0".repeat(32)}),
            )))),
        ),
        (anna.clone(), start_step()),
        (
            admin.clone(),
            user(user::Command::Record(record::Command::ChangePermissions(
                ANNA,
                body(json!({"perm_access_allowed": "full_support", "perm_jump_client": true})),
            ))),
        ),
        (
            api.clone(),
            group(jump_group::Command::AddMember(
                JumpGroupId(1),
                ANNA,
                Membership {
                    jump_item_role_id: Some(role::START_SESSIONS_ONLY),
                    jump_policy_id: None,
                },
            )),
        ),
        (
            anna.clone(),
            user(user::Command::SignIn(SignIn::new(
                ANNA,
                false,
                Origin::of([192, 0, 2, 7].into()),
            ))),
        ),
        (
            anna.clone(),
            user(user::Command::SignIn(SignIn::new(
                ANNA,
                true,
                Origin::of([192, 0, 2, 7].into()),
            ))),
        ),
        (anna.clone(), start_step()),
        (
            agent.clone(),
            Step::OfSession(|lsid| {
                Command::AccessSession(access_session::Command::Establish {
                    lsid,
                    client: CLIENT,
                })
            }),
        ),
        (
            anna,
            Step::OfSession(|lsid| Command::AccessSession(access_session::Command::End { lsid })),
        ),
        (
            agent,
            client(jump_client::Command::Disconnect {
                client: CLIENT,
                link: LINK,
                reason: "goodbye".to_owned(),
            }),
        ),
        (
            Actor::System,
            Step::Plain(Command::Node(node::Command::Stop {
                epoch: NODE,
                reason: node::StopReason::Asked,
            })),
        ),
    ]
}

fn start_step() -> Step {
    Step::Plain(Command::AccessSession(access_session::Command::Start(
        access_session::Start::new(
            ANNA,
            JumpItemRef::JumpClient(CLIENT),
            "192.0.2.7:40000".to_owned(),
            "Unknown".to_owned(),
        ),
    )))
}

fn facts(console_user: &str) -> Facts {
    Facts {
        hostname: "web-1".to_owned(),
        fqdn: "web-1.example.com".to_owned(),
        operating_system: "Debian GNU/Linux 12".to_owned(),
        private_ip: "10.0.0.7".to_owned(),
        console_user: console_user.to_owned(),
        install_mode: "service".to_owned(),
        machine_id: "machine-1".to_owned(),
        agent_version: "0.1.0".to_owned(),
        timezone_offset: 3_600,
        disabled: false,
        listen_port: 0,
    }
}

/// The first line that differs.
fn difference(one: &str, other: &str) -> String {
    let lines = one
        .lines()
        .zip(other.lines())
        .find(|(one, other)| one != other);
    match lines {
        Some((one, other)) => format!("\n{one}\n{other}"),
        None => format!(
            "{} against {} lines",
            one.lines().count(),
            other.lines().count()
        ),
    }
}
