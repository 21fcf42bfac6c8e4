//! The line is cut when COMMIT is on it: nobody knows, until it is settled.

use std::time::Duration;

use eventstore::ExpectedRevision::{Any, NoStream};
use eventstore::testing::TestDatabase;
use eventstore::{
    AppendError, CommitError, EventStore, Location, NewEvent, Options, StoreError, StreamAppend,
    Tail,
};
use sqlx::Connection;
use uuid::Uuid;

use crate::proxy::{Plan, Proxy};
use crate::writer::{NOW, Node, settle, url};

fn one(stream: &str, id: u128) -> Vec<StreamAppend> {
    let event = NewEvent {
        id: Uuid::from_u128(id),
        event_type: "T".into(),
        data: vec![1],
        meta: vec![],
    };
    vec![StreamAppend {
        stream: stream.to_owned(),
        expected: Any,
        events: vec![event],
    }]
}

async fn open(url: &str) -> EventStore {
    let options = Options {
        lock_timeout: Duration::from_millis(200),
        idle_in_transaction_timeout: Duration::from_secs(1),
        ..Options::default()
    };
    EventStore::open(
        &Location::Postgres {
            url: url.to_owned(),
        },
        options,
    )
    .await
    .expect("opens")
}

#[tokio::test]
async fn a_lost_answer_is_settled_rightly_both_ways() {
    // what happens to the COMMIT, whether it was carried out, whether the server notices at once
    let cases = [
        (Plan::CutAfterCommit, true, true),
        (Plan::CutBeforeCommit, false, true),
        (Plan::HangBeforeCommit, false, false),
    ];
    let database = TestDatabase::postgres().await;
    let proxy = Proxy::start(&url(&database), Plan::Pass).await;
    let store = open(&proxy.url).await;
    let witness = database.open().await;
    let mut id = 0;
    for (plan, committed, noticed) in cases {
        let tail: Tail = witness.head().await.expect("readable").into();
        let held = store.hold_tail(&tail).await.expect("held");
        proxy.set(plan);
        id += 1;
        let doubt = match held.commit(one("a-1", id), Vec::new(), NOW).await {
            Err(CommitError::InDoubt(doubt)) => doubt,
            other => panic!("{plan:?}: {other:?}"),
        };
        assert_eq!(proxy.plan(), Plan::Pass, "the line was cut");
        assert_eq!(
            (doubt.position, doubt.id),
            (tail.position + 1, Uuid::from_u128(id))
        );
        if !noticed {
            // While the doubtful transaction lives, there is no answer.
            assert!(
                matches!(store.settle(&doubt).await, Err(StoreError::Busy)),
                "{plan:?}"
            );
        }
        assert_eq!(settle(&store, &doubt).await, committed, "{plan:?}");
        let head = witness.head().await.expect("readable");
        assert_eq!(
            head.position,
            tail.position + u64::from(committed),
            "{plan:?}"
        );
        // An answer once given stays true, whatever is appended later.
        id += 1;
        store
            .append(one("a-1", id), Vec::new(), NOW)
            .await
            .expect("the store goes on");
        assert_eq!(settle(&store, &doubt).await, committed, "{plan:?}");
    }
    assert!(witness.verify(|_| {}).await.expect("readable").is_whole());
    witness.close().await;
    store.close().await;
}

#[tokio::test]
async fn an_append_whose_answer_was_lost_is_repeated_without_harm() {
    let database = TestDatabase::postgres().await;
    let proxy = Proxy::start(&url(&database), Plan::Pass).await;
    let store = open(&proxy.url).await;
    for (number, plan) in [Plan::CutAfterCommit, Plan::CutBeforeCommit]
        .into_iter()
        .enumerate()
    {
        let batch = || {
            let mut batch = one(&format!("s-{number}"), number as u128 + 1);
            batch[0].expected = NoStream;
            batch
        };
        proxy.set(plan);
        let lost = store.append(batch(), Vec::new(), NOW).await;
        assert!(matches!(lost, Err(AppendError::InDoubt(_))), "{lost:?}");
        let again = store.append(batch(), Vec::new(), NOW).await.expect("once");
        assert_eq!(again.events[0].position, number as u64 + 1);
        assert_eq!(again.head.position, number as u64 + 1);
    }
    store.close().await;
}

#[tokio::test]
async fn a_line_that_is_cut_again_and_again_loses_and_doubles_nothing() {
    let database = TestDatabase::postgres().await;
    let proxy = Proxy::start(&url(&database), Plan::Pass).await;
    let store = open(&proxy.url).await;
    let mut node = Node::new(&store, "node-1").await;
    for round in 0..12 {
        proxy.set(if round % 2 == 0 {
            Plan::CutAfterCommit
        } else {
            Plan::CutBeforeCommit
        });
        node.append(3).await;
        node.append(1).await;
    }
    assert_eq!((node.revision, node.doubts), (48, 12));
    let verification = store.verify(|_| {}).await.expect("readable");
    assert!(verification.is_whole());
    assert_eq!(verification.events, 48);
    store.close().await;
}

#[tokio::test]
async fn a_server_that_closed_idle_connections_is_reached_again() {
    let database = TestDatabase::postgres().await;
    let store = database.open().await;
    let mut node = Node::new(&store, "node-1").await;
    node.append(1).await;
    let mut admin = sqlx::PgConnection::connect(&url(&database))
        .await
        .expect("connects");
    let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    sqlx::query(terminate)
        .execute(&mut admin)
        .await
        .expect("terminated");
    // Nothing was under way, so nobody needs to hear of it.
    let held = store
        .hold_tail(&node.tail)
        .await
        .expect("held at the first try");
    held.release().await;
    node.append(1).await;
    assert_eq!((node.revision, node.doubts), (2, 0));
    store.close().await;
}
