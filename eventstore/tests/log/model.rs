//! Any sequence of appends against a naive model of the log.

use std::collections::BTreeMap;

use eventstore::testing::TestDatabase;
use eventstore::{
    AppendError, CommitError, Direction, EventStore, ExpectedRevision, Selection, SideTable,
    SideWrite, StoreError, StreamAppend, Tail,
};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::support::{NOW, empty, event};

const STREAMS: [&str; 3] = ["a-1", "a-2", "b"];
const TABLE: SideTable = SideTable::Idempotency;

/// One call, with ids from a small set so that repeats come up.
#[derive(Debug, Clone)]
struct Call {
    held: bool,
    appends: Vec<(usize, ExpectedRevision, Vec<u8>)>,
    side: Vec<(u8, u8)>,
}

fn expected() -> impl Strategy<Value = ExpectedRevision> {
    prop_oneof![
        3 => Just(ExpectedRevision::Any),
        1 => Just(ExpectedRevision::NoStream),
        1 => Just(ExpectedRevision::StreamExists),
        3 => (0_u64..4).prop_map(ExpectedRevision::Exact),
    ]
}

fn call() -> impl Strategy<Value = Call> {
    let append = (
        0..STREAMS.len(),
        expected(),
        prop::collection::vec(0_u8..24, 0..3),
    );
    (
        any::<bool>(),
        prop::collection::vec(append, 0..3),
        prop::collection::vec((0_u8..3, 0_u8..4), 0..3),
    )
        .prop_map(|(held, appends, side)| Call {
            held,
            appends,
            side,
        })
}

/// The log as a list, and its side table as a map.
#[derive(Debug, Default, Clone, PartialEq)]
struct Model {
    events: Vec<(usize, u8)>,
    side: BTreeMap<u8, u8>,
}

/// How a call ended.
#[derive(Debug, PartialEq)]
enum Outcome {
    /// Positions of the events.
    Appended(Vec<u64>),
    WrongRevision,
    PartialRepeat,
    DuplicateId,
    SideExists,
    Invalid,
}

impl Model {
    fn last(&self, stream: usize) -> Option<u64> {
        (self.events.iter().filter(|(of, _)| *of == stream).count() as u64).checked_sub(1)
    }

    fn is_met(&self, stream: usize, expected: ExpectedRevision) -> bool {
        match expected {
            ExpectedRevision::Any => true,
            ExpectedRevision::NoStream => self.last(stream).is_none(),
            ExpectedRevision::StreamExists => self.last(stream).is_some(),
            ExpectedRevision::Exact(revision) => self.last(stream) == Some(revision),
        }
    }

    fn place(&self, id: u8) -> Option<(u64, usize, u64)> {
        let index = self.events.iter().position(|(_, known)| *known == id)?;
        let stream = self.events[index].0;
        let revision = self.events[..index]
            .iter()
            .filter(|(of, _)| *of == stream)
            .count() as u64;
        Some((index as u64 + 1, stream, revision))
    }

    /// Whether the call is a repeat, where anything of it is known.
    fn repeat(&self, call: &Call) -> Option<Outcome> {
        let ids = || call.appends.iter().flat_map(|(.., ids)| ids);
        if !ids().any(|id| self.place(*id).is_some()) {
            return None;
        }
        let mut positions = Vec::new();
        for (stream, expected, ids) in &call.appends {
            let mut next = match expected {
                ExpectedRevision::NoStream => Some(0),
                ExpectedRevision::Exact(revision) => Some(revision + 1),
                _ => None,
            };
            for (index, id) in ids.iter().enumerate() {
                match self.place(*id) {
                    None if index == 0 && !self.is_met(*stream, *expected) => {
                        return Some(Outcome::WrongRevision);
                    }
                    Some((position, of, revision))
                        if of == *stream && next.is_none_or(|next| next == revision) =>
                    {
                        next = Some(revision + 1);
                        positions.push(position);
                    }
                    _ => return Some(Outcome::PartialRepeat),
                }
            }
        }
        Some(Outcome::Appended(positions))
    }

    fn apply(&mut self, call: &Call) -> Outcome {
        let mut ids: Vec<u8> = call
            .appends
            .iter()
            .flat_map(|(.., ids)| ids.clone())
            .collect();
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair[0] == pair[1]) {
            return Outcome::DuplicateId;
        }
        if !call.held
            && let Some(outcome) = self.repeat(call)
        {
            return outcome;
        }
        let mut after = self.clone();
        // What a batch may not do to one key: insert it when it is written, delete it when it is inserted.
        let mut states: BTreeMap<u8, &str> = BTreeMap::new();
        for (key, value) in &call.side {
            let state = match (value, states.get(key).copied()) {
                (2, Some("inserted")) => return Outcome::Invalid,
                (2, _) => "deleted",
                (3, Some("inserted" | "put")) => return Outcome::SideExists,
                (3, None) | (_, Some("inserted")) => "inserted",
                _ => "put",
            };
            states.insert(*key, state);
        }
        for (stream, expected, ids) in &call.appends {
            if !after.is_met(*stream, *expected) {
                return Outcome::WrongRevision;
            }
            after.events.extend(ids.iter().map(|id| (*stream, *id)));
        }
        if ids.is_empty() {
            return if call.side.is_empty() {
                Outcome::Appended(Vec::new())
            } else {
                Outcome::Invalid
            };
        }
        if ids.iter().any(|id| self.place(*id).is_some()) {
            return Outcome::DuplicateId;
        }
        let mut touched: BTreeMap<u8, bool> = BTreeMap::new();
        for (key, value) in &call.side {
            match value {
                2 => {
                    after.side.remove(key);
                    touched.insert(*key, true);
                }
                3 => {
                    let deleted_here = touched.get(key).copied().unwrap_or(false);
                    if !deleted_here && self.side.contains_key(key) {
                        return Outcome::SideExists;
                    }
                    after.side.insert(*key, 3);
                    touched.insert(*key, false);
                }
                _ => {
                    after.side.insert(*key, *value);
                    touched.insert(*key, false);
                }
            }
        }
        let first = self.events.len() as u64 + 1;
        *self = after;
        Outcome::Appended((first..first + ids.len() as u64).collect())
    }
}

async fn carry_out(store: &EventStore, tail: &mut Tail, call: &Call) -> Outcome {
    let appends: Vec<StreamAppend> = call
        .appends
        .iter()
        .map(|(stream, expected, ids)| StreamAppend {
            stream: STREAMS[*stream].to_owned(),
            expected: *expected,
            events: ids.iter().map(|id| event(u128::from(*id) + 1)).collect(),
        })
        .collect();
    let side = call
        .side
        .iter()
        .map(|(key, value)| {
            let (key, bytes) = (key.to_string(), vec![*value]);
            match value {
                2 => SideWrite::Delete { table: TABLE, key },
                3 => SideWrite::Insert {
                    table: TABLE,
                    key,
                    value: bytes,
                },
                _ => SideWrite::Put {
                    table: TABLE,
                    key,
                    value: bytes,
                },
            }
        })
        .collect();
    let result = if call.held {
        let mut held = store.hold_tail(tail).await.expect("held");
        for event in held.take_missed() {
            tail.advance(&event);
        }
        held.commit(appends, side, NOW)
            .await
            .map_err(|error| match error {
                CommitError::NotCommitted(error) => AppendError::NotCommitted(error),
                CommitError::WrongRevision {
                    stream,
                    expected,
                    actual,
                } => AppendError::WrongRevision {
                    stream,
                    expected,
                    actual,
                },
                CommitError::InDoubt(doubt) => AppendError::InDoubt(doubt),
            })
    } else {
        store.append(appends, side, NOW).await
    };
    match result {
        Ok(appended) => {
            Outcome::Appended(appended.events.iter().map(|event| event.position).collect())
        }
        Err(AppendError::WrongRevision { .. }) => Outcome::WrongRevision,
        Err(AppendError::PartialRepeat { .. }) => Outcome::PartialRepeat,
        Err(AppendError::NotCommitted(StoreError::DuplicateId(_))) => Outcome::DuplicateId,
        Err(AppendError::NotCommitted(StoreError::SideExists(..))) => Outcome::SideExists,
        Err(AppendError::NotCommitted(StoreError::Invalid(_))) => Outcome::Invalid,
        Err(error) => panic!("{error:?}"),
    }
}

async fn compare(store: &EventStore, calls: &[Call]) {
    let mut model = Model::default();
    let mut tail = Tail::start(store.head().await.expect("readable").epoch);
    for (number, call) in calls.iter().enumerate() {
        let expected = model.apply(call);
        assert_eq!(
            carry_out(store, &mut tail, call).await,
            expected,
            "call {number}: {call:?}"
        );
    }
    let read = store
        .read(&Selection::All, 1, Direction::Forward, 10_000)
        .await
        .expect("readable");
    let found: Vec<(&str, u128, u64)> = read
        .iter()
        .map(|event| (event.stream.as_str(), event.id.as_u128(), event.revision))
        .collect();
    let modelled: Vec<(&str, u128, u64)> = model
        .events
        .iter()
        .map(|(stream, id)| {
            (
                STREAMS[*stream],
                u128::from(*id) + 1,
                model.place(*id).expect("there").2,
            )
        })
        .collect();
    assert_eq!(found, modelled);
    let side: Vec<(String, Vec<u8>)> = store
        .side_rows(TABLE, "")
        .await
        .expect("readable")
        .into_iter()
        .map(|row| (row.key, row.value))
        .collect();
    let modelled: Vec<(String, Vec<u8>)> = model
        .side
        .iter()
        .map(|(key, value)| (key.to_string(), vec![*value]))
        .collect();
    assert_eq!(side, modelled);
    assert!(store.verify(|_| {}).await.expect("readable").is_whole());
}

#[test]
fn any_calls_leave_the_log_as_a_naive_model_has_it() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let databases = runtime.block_on(TestDatabase::both());
    for database in &databases {
        runtime.block_on(async { database.open().await.close().await });
        let mut runner = TestRunner::new(ProptestConfig {
            cases: 40,
            failure_persistence: None,
            ..Default::default()
        });
        runner
            .run(&prop::collection::vec(call(), 1..30), |calls| {
                runtime.block_on(async {
                    empty(database).await;
                    let store = database.open().await;
                    compare(&store, &calls).await;
                    store.close().await;
                });
                Ok(())
            })
            .unwrap_or_else(|error| panic!("on {}: {error}", database.kind()));
    }
}
