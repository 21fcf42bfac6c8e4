//! Several processes append at once, some over a slow line, one is killed.

use std::collections::HashMap;
use std::time::Duration;

use eventstore::testing::TestDatabase;
use eventstore::{EventStore, RecordedEvent, Selection, Tail};
use tokio::sync::watch;

use crate::proxy::{Plan, Proxy};
use crate::writer::{RACE_BATCHES, Writer, url};

/// Follows the log until `end` is known and reached; checks every position and every hash on the way.
async fn follow(
    store: EventStore,
    after: Tail,
    mut end: watch::Receiver<Option<u64>>,
) -> Vec<RecordedEvent> {
    let mut tail = after;
    let mut subscription = store.subscribe(tail.position, Selection::All);
    let mut events = Vec::new();
    loop {
        if end
            .borrow_and_update()
            .is_some_and(|end| tail.position >= end)
        {
            return events;
        }
        let page = tokio::select! {
            page = subscription.next() => page.expect("readable"),
            changed = end.changed() => {
                changed.expect("the test says when it ends");
                continue;
            }
        };
        for event in page {
            assert_eq!(event.position, tail.position + 1, "no gap, no repeat");
            assert_eq!(event.leaf_hash, event.expected_leaf_hash());
            tail.advance(&event);
            events.push(event);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn processes_that_append_at_once_leave_one_gapless_order() {
    let database = TestDatabase::postgres().await;
    let slow = Proxy::start(&url(&database), Plan::Slow).await;
    let store = database.open().await;
    let start = Tail::from(store.head().await.expect("readable"));

    let mut writers = Vec::new();
    for number in 0..5 {
        // Two of them commit slowly, while they hold the tail.
        let url = if number < 2 {
            slow.url.clone()
        } else {
            url(&database)
        };
        writers.push(Writer::start("race", &url, &format!("writer-{number}")));
    }
    for writer in &mut writers {
        assert_eq!(writer.says().await, "ready");
    }
    let (ended, end) = watch::channel(None);
    let other = database.open().await;
    let readers: Vec<_> = [store.clone(), store.clone(), other.clone()]
        .into_iter()
        .map(|reader| tokio::spawn(follow(reader, start, end.clone())))
        .collect();
    for writer in &mut writers {
        writer.go_on().await;
    }
    // One is killed in the middle of it, when the log shows that it is at work.
    let mut killed = writers.pop().expect("started");
    let mut of_killed = store.subscribe(0, Selection::Stream(killed.name.clone()));
    tokio::time::timeout(Duration::from_secs(30), of_killed.next())
        .await
        .expect("in time")
        .expect("readable");
    killed.child.kill().await.expect("killed");

    let total: u64 = (0..RACE_BATCHES).map(|batch| 1 + batch % 7).sum();
    for writer in &mut writers {
        assert_eq!(
            writer.says().await,
            format!("appended {total}"),
            "{}",
            writer.name
        );
    }
    let head = store.head().await.expect("readable");
    ended.send_replace(Some(head.position));
    let mut followed = Vec::new();
    for reader in readers {
        followed.push(reader.await.expect("no panic"));
    }
    assert!(
        followed.iter().all(|events| *events == followed[0]),
        "all readers saw the same log"
    );

    let mut revisions: HashMap<&str, u64> = HashMap::new();
    for event in &followed[0] {
        let next = revisions.entry(&event.stream).or_default();
        assert_eq!(event.revision, *next);
        *next += 1;
    }
    for writer in &writers {
        assert_eq!(revisions[writer.name.as_str()], total);
    }
    // Of the killed one: whole batches.
    let whole: Vec<u64> = (0..RACE_BATCHES)
        .scan(0, |sum, batch| {
            *sum += 1 + batch % 7;
            Some(*sum)
        })
        .collect();
    assert!(whole.contains(&revisions[killed.name.as_str()]));
    assert!(store.verify(|_| {}).await.expect("readable").is_whole());
    other.close().await;
    store.close().await;
}
