//! A writer in a process of its own: this test binary, started again.

use std::process::Stdio;

use eventstore::testing::TestDatabase;
use eventstore::{
    CommitError, EventStore, ExpectedRevision, HoldError, Location, NewEvent, Options, StoreError,
    StreamAppend, Tail,
};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use uuid::Uuid;

pub(crate) const NOW: i64 = 1_750_000_000_000_000;

const ROLE: &str = "GATEBOOK_TEST_WRITER";
const URL: &str = "GATEBOOK_TEST_WRITER_URL";
const NAME: &str = "GATEBOOK_TEST_WRITER_NAME";

/// Lines of a writer begin so; the rest is the test harness.
const SAYS: &str = "writer says ";

/// A writer process.
pub(crate) struct Writer {
    pub(crate) child: Child,
    pub(crate) name: String,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Writer {
    /// Starts one; it appends to the stream of its name.
    pub(crate) fn start(role: &str, url: &str, name: &str) -> Writer {
        let mut child = Command::new(std::env::current_exe().expect("known"))
            .args(["writer::writer_process", "--exact", "--nocapture"])
            .env(ROLE, role)
            .env(URL, url)
            .env(NAME, name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("starts");
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped")).lines();
        Writer {
            child,
            name: name.to_owned(),
            input,
            output,
        }
    }

    /// The next thing it says.
    pub(crate) async fn says(&mut self) -> String {
        loop {
            let line =
                tokio::time::timeout(std::time::Duration::from_secs(40), self.output.next_line())
                    .await
                    .expect("says something in time")
                    .expect("readable")
                    .unwrap_or_else(|| panic!("{} ended", self.name));
            // The harness may have begun the line.
            if let Some((_, said)) = line.split_once(SAYS) {
                return said.to_owned();
            }
        }
    }

    /// Lets it go on.
    pub(crate) async fn go_on(&mut self) {
        self.input.write_all(b"\n").await.expect("listens");
    }

    /// Sends it a signal.
    pub(crate) async fn signal(&self, signal: &str) {
        let id = self.child.id().expect("runs").to_string();
        let status = Command::new("sh")
            .arg("-c")
            .arg(format!("kill -{signal} {id}"))
            .status()
            .await
            .expect("runs");
        assert!(status.success());
    }
}

fn say(text: impl std::fmt::Display) {
    println!("{SAYS}{text}");
}

/// Waits until the parent lets it go on. It has nothing else to do meanwhile.
fn wait_for_line() {
    let length = std::io::stdin()
        .read_line(&mut String::new())
        .expect("readable");
    assert!(length > 0, "the parent ended");
}

/// Does nothing unless it was started as a writer.
#[tokio::test]
async fn writer_process() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let url = std::env::var(URL).expect("set");
    let name = std::env::var(NAME).expect("set");
    let options = Options {
        idle_in_transaction_timeout: std::time::Duration::from_secs(1),
        ..Options::default()
    };
    let store = EventStore::open(&Location::Postgres { url }, options)
        .await
        .expect("opens");
    match role.as_str() {
        "race" => race(&store, &name).await,
        "hold" => hold(&store, &name).await,
        other => panic!("no role {other}"),
    }
}

/// Batches that a racing writer appends.
pub(crate) const RACE_BATCHES: u64 = 100;

async fn race(store: &EventStore, name: &str) {
    say("ready");
    wait_for_line();
    let mut node = Node::new(store, name).await;
    for batch in 0..RACE_BATCHES {
        node.append(1 + batch % 7).await;
    }
    say(format!("appended {}", node.revision));
}

async fn hold(store: &EventStore, name: &str) {
    let mut node = Node::new(store, name).await;
    let held = node.store.hold_tail(&node.tail).await.expect("held");
    say("held");
    // Stopped here, with the transaction open.
    wait_for_line();
    match held
        .commit(
            vec![events(name, ExpectedRevision::Any, 3)],
            Vec::new(),
            NOW,
        )
        .await
    {
        Ok(_) => say("committed"),
        Err(CommitError::NotCommitted(_)) => say("not committed"),
        Err(CommitError::WrongRevision { .. }) => say("wrong revision"),
        Err(CommitError::InDoubt(doubt)) => {
            say(format!("in doubt: {}", settle(store, &doubt).await))
        }
    }
    wait_for_line();
    node.append(2).await;
    say(format!("appended {}", node.revision));
}

/// Asks until the doubtful transaction has ended.
pub(crate) async fn settle(store: &EventStore, doubt: &eventstore::Doubt) -> bool {
    loop {
        match store.settle(doubt).await {
            Ok(committed) => return committed,
            Err(StoreError::Busy | StoreError::Unavailable(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// What a node does: it knows its tail, and decides on what was missed.
pub(crate) struct Node<'a> {
    store: &'a EventStore,
    name: String,
    pub(crate) tail: Tail,
    /// Events of its own stream.
    pub(crate) revision: u64,
    /// How often its answer to COMMIT was lost.
    pub(crate) doubts: usize,
}

impl<'a> Node<'a> {
    pub(crate) async fn new(store: &'a EventStore, name: &str) -> Node<'a> {
        let epoch = store.head().await.expect("readable").epoch;
        Node {
            store,
            name: name.to_owned(),
            tail: Tail::start(epoch),
            revision: 0,
            doubts: 0,
        }
    }

    /// Appends a batch, however often it has to try.
    pub(crate) async fn append(&mut self, count: u64) {
        loop {
            let mut held = match self.store.hold_tail(&self.tail).await {
                Ok(held) => held,
                Err(HoldError::Busy | HoldError::Unavailable(StoreError::Unavailable(_))) => {
                    continue;
                }
                Err(error) => panic!("{}: {error:?}", self.name),
            };
            for event in held.take_missed() {
                self.tail.advance(&event);
            }
            let expected = match self.revision.checked_sub(1) {
                Some(last) => ExpectedRevision::Exact(last),
                None => ExpectedRevision::NoStream,
            };
            let batch = events(&self.name, expected, count);
            match held.commit(vec![batch], Vec::new(), NOW).await {
                Ok(appended) => {
                    self.tail = appended.head.into();
                    self.revision += count;
                    return;
                }
                Err(CommitError::InDoubt(doubt)) => {
                    self.doubts += 1;
                    if settle(self.store, &doubt).await {
                        self.revision += count;
                        return;
                    }
                }
                Err(CommitError::NotCommitted(StoreError::Busy | StoreError::Unavailable(_))) => {}
                Err(error) => panic!("{}: {error:?}", self.name),
            }
        }
    }
}

fn events(stream: &str, expected: ExpectedRevision, count: u64) -> StreamAppend {
    StreamAppend {
        stream: stream.to_owned(),
        expected,
        events: (0..count)
            .map(|number| NewEvent {
                id: Uuid::new_v4(),
                event_type: "Written".into(),
                data: number.to_be_bytes().to_vec(),
                meta: Vec::new(),
            })
            .collect(),
    }
}

/// The URL of a test's database.
pub(crate) fn url(database: &TestDatabase) -> String {
    match database.location() {
        Location::Postgres { url } => url.clone(),
        Location::Sqlite { .. } => panic!("PostgreSQL"),
    }
}
