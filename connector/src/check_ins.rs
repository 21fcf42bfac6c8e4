//! Check-ins that changed nothing: gathered for a minute or to a full event, then written down in one.
//!
//! None is left out, and an agent hears of its own when the event that carries it is committed.

use std::time::Duration;

use domain::ids::NodeEpoch;
use domain::node::{self, CHECK_INS_MAX, RoutineCheckIn};
use domain::{Actor, Cause, Command};
use engine::{Engine, ExecuteError, Lane, Submission};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long the first of a batch waits at most.
const GATHER_FOR: Duration = Duration::from_secs(60);
/// How many may wait to be gathered before the links have to wait.
const WAITING_MAX: usize = 4 * CHECK_INS_MAX;
/// How long to wait before a batch that could not be written is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

struct Waiting {
    check_in: RoutineCheckIn,
    recorded: oneshot::Sender<()>,
}

/// Hands check-ins to the gatherer.
#[derive(Clone)]
pub(crate) struct CheckIns {
    waiting: mpsc::Sender<Waiting>,
}

/// Gathers for the node `epoch` until `shutdown` turns true, then writes what it has.
pub(crate) fn gather(
    engine: Engine,
    epoch: NodeEpoch,
    shutdown: watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) -> CheckIns {
    let (waiting, incoming) = mpsc::channel(WAITING_MAX);
    tasks.spawn(run(engine, epoch, incoming, shutdown));
    CheckIns { waiting }
}

impl CheckIns {
    /// Hands one over. What comes back is told when it is in the log for good; it is dropped where it never will be.
    pub(crate) async fn add(&self, check_in: RoutineCheckIn) -> oneshot::Receiver<()> {
        let (recorded, told) = oneshot::channel();
        // Where the gatherer is gone the sender is dropped, which is what tells the link.
        let _ = self.waiting.send(Waiting { check_in, recorded }).await;
        told
    }
}

async fn run(
    engine: Engine,
    epoch: NodeEpoch,
    mut incoming: mpsc::Receiver<Waiting>,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut batch: Vec<Waiting> = Vec::new();
    let mut due: Option<Instant> = None;
    loop {
        let has_room = batch.len() < CHECK_INS_MAX;
        tokio::select! {
            biased;
            () = told(&mut shutdown) => break,
            () = sleep_until(due) => {
                // What could not be written stays, so none is left out.
                let written = write(&engine, epoch, &mut batch).await;
                due = (!written).then(|| Instant::now() + RETRY_AFTER);
            }
            Some(waiting) = incoming.recv(), if has_room => {
                due.get_or_insert_with(|| Instant::now() + GATHER_FOR);
                batch.push(waiting);
                if batch.len() == CHECK_INS_MAX {
                    due = Some(Instant::now());
                }
            }
            else => break,
        }
    }
    while let Ok(waiting) = incoming.try_recv() {
        batch.push(waiting);
    }
    while !batch.is_empty() {
        let rest = batch.split_off(batch.len().min(CHECK_INS_MAX));
        let mut now = std::mem::replace(&mut batch, rest);
        if !write(&engine, epoch, &mut now).await {
            // Nobody was told that they are recorded: their agents check in again.
            tracing::warn!(
                count = now.len(),
                "check-ins can't be written down before the end"
            );
        }
    }
}

/// Ends when it is told to, also when nobody is left to tell.
async fn told(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Writes the batch and tells its agents. False where it may work later; the batch is kept then.
async fn write(engine: &Engine, epoch: NodeEpoch, batch: &mut Vec<Waiting>) -> bool {
    if batch.is_empty() {
        return true;
    }
    let check_ins = batch.iter().map(|waiting| waiting.check_in).collect();
    let command = Command::Node(node::Command::RecordCheckIns { epoch, check_ins });
    let cause = Cause::program(Actor::System);
    match engine
        .execute(Submission::new(command, cause, Lane::Integrations))
        .await
    {
        Ok(_) => {
            for waiting in batch.drain(..) {
                // A link that ended meanwhile needs no answer.
                let _ = waiting.recorded.send(());
            }
            true
        }
        Err(ExecuteError::Busy { .. } | ExecuteError::Unavailable { .. }) => false,
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                count = batch.len(),
                "check-ins can't be written down"
            );
            batch.clear();
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::access::jump_group;
    use domain::fleet::jump_client::{self, Facts, Overrides, Register};
    use domain::ids::{JumpClientId, JumpClientInstallerId, KeyedHash, LinkId, SecretRef};
    use domain::record;
    use domain::site::first_start;
    use engine::testing::{CountingFresh, TestClock};
    use engine::{EngineSetup, EngineTask};
    use eventstore::testing::TestDatabase;
    use eventstore::{Direction, Selection};
    use serde_json::{Value, json};

    use super::*;

    const NODE: NodeEpoch = NodeEpoch(1);
    const CLIENT: JumpClientId = JumpClientId(1);

    fn object(value: Value) -> record::Object {
        value.as_object().cloned().expect("an object")
    }

    fn fleet_of_one() -> [Command; 5] {
        [
            Command::FirstStart(first_start::Command {
                username: "admin".to_owned(),
                password: SecretRef("1".repeat(32)),
                client_secret: SecretRef("2".repeat(32)),
                company_name: String::new(),
            }),
            Command::Node(node::Command::Start {
                epoch: NODE,
                name: "one".to_owned(),
                url: None,
            }),
            Command::JumpGroup(jump_group::Command::Record(record::Command::Create(
                object(json!({"name": "Fleet"})),
            ))),
            Command::JumpClientInstaller(record::Command::Create(object(
                json!({"jump_group_id": 1, "secret_hash": "0".repeat(64)}),
            ))),
            Command::JumpClient(jump_client::Command::Register(Box::new(Register {
                installer: JumpClientInstallerId(1),
                link: LinkId {
                    node: NODE,
                    connection: 1,
                },
                public_ip: "192.0.2.1:50000".to_owned(),
                boot_id: "0".repeat(32),
                facts: Facts::default(),
                token: KeyedHash("1".repeat(64)),
                attempt: KeyedHash("2".repeat(64)),
                overrides: Overrides::default(),
            }))),
        ]
    }

    async fn engine(database: &TestDatabase) -> (Engine, EngineTask) {
        let store = database.open().await;
        let setup = EngineSetup::new(store, TestClock::new(), CountingFresh::new());
        let (engine, task) = Engine::start(setup).await.expect("the engine starts");
        for command in fleet_of_one() {
            let cause = Cause::program(Actor::Operator);
            engine
                .execute(Submission::new(command, cause, Lane::People))
                .await
                .expect("accepted");
        }
        (engine, task)
    }

    /// How many check-ins each event of the log states.
    async fn recorded(engine: &Engine) -> Vec<usize> {
        let selection = Selection::EventType("JumpClientsCheckedIn".to_owned());
        let events = engine
            .store()
            .read(&selection, 1, Direction::Forward, 100)
            .await
            .expect("the log can be read");
        events
            .iter()
            .map(|event| {
                let text: Value = serde_json::from_slice(&event.data).expect("JSON");
                text["check_ins"].as_array().expect("a list").len()
            })
            .collect()
    }

    #[tokio::test]
    async fn a_full_event_is_written_at_once_and_the_rest_at_the_end_none_left_out() {
        let database = TestDatabase::sqlite();
        let (engine, task) = engine(&database).await;
        let (stop, stopped) = watch::channel(false);
        let mut gatherer = JoinSet::new();
        let check_ins = gather(engine.clone(), NODE, stopped, &mut gatherer);
        let mut told = Vec::new();
        for at in 0..CHECK_INS_MAX as i64 + 3 {
            told.push(check_ins.add(RoutineCheckIn { client: CLIENT, at }).await);
        }
        let rest = told.split_off(CHECK_INS_MAX);
        for told in told {
            told.await.expect("recorded");
        }
        assert_eq!(recorded(&engine).await, [CHECK_INS_MAX]);
        stop.send_replace(true);
        gatherer.join_all().await;
        for told in rest {
            told.await.expect("recorded");
        }
        assert_eq!(recorded(&engine).await, [CHECK_INS_MAX, 3]);
        task.shut_down().await;
    }

    #[tokio::test]
    async fn nobody_is_told_where_nothing_can_be_written_and_the_end_does_not_wait_for_it() {
        let database = TestDatabase::sqlite();
        let (engine, task) = engine(&database).await;
        let (stop, stopped) = watch::channel(false);
        let mut gatherer = JoinSet::new();
        let check_ins = gather(engine.clone(), NODE, stopped, &mut gatherer);
        let told = check_ins
            .add(RoutineCheckIn {
                client: CLIENT,
                at: 1,
            })
            .await;
        task.shut_down().await;
        stop.send_replace(true);
        gatherer.join_all().await;
        assert!(told.await.is_err());
        assert!(recorded(&engine).await.is_empty());
    }
}
