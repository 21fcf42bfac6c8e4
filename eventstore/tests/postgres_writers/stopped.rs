//! A writer that is stopped inside its transaction.

use std::time::{Duration, Instant};

use eventstore::testing::TestDatabase;
use eventstore::{Direction, HoldError, Options, Selection};

use crate::writer::{Node, Writer, url};

#[tokio::test]
async fn a_writer_stopped_inside_a_transaction_frees_the_tail_and_does_no_harm_when_it_wakes() {
    let database = TestDatabase::postgres().await;
    let options = Options {
        lock_timeout: Duration::from_millis(200),
        ..Options::default()
    };
    let store = database.open_with(options).await;
    let mut stopped = Writer::start("hold", &url(&database), "stopped-1");
    assert_eq!(stopped.says().await, "held");
    stopped.signal("STOP").await;

    let mut node = Node::new(&store, "other-1").await;
    let since = Instant::now();
    assert!(matches!(
        store.hold_tail(&node.tail).await,
        Err(HoldError::Busy)
    ));
    assert!(
        since.elapsed() < Duration::from_secs(1),
        "nobody waits longer than the lock time-out"
    );
    // The time-out of the stopped session frees the row.
    node.append(5).await;
    assert!(since.elapsed() < Duration::from_secs(10));
    node.append(1).await;

    stopped.signal("CONT").await;
    stopped.go_on().await;
    let said = stopped.says().await;
    assert!(
        said == "not committed" || said == "in doubt: false",
        "{said}"
    );
    let read = store
        .read(&Selection::All, 1, Direction::Forward, 100)
        .await
        .expect("readable");
    assert!(
        read.iter().all(|event| event.stream == "other-1"),
        "nothing of the sleeper is in the log"
    );
    assert_eq!(read.len(), 6);

    stopped.go_on().await;
    assert_eq!(
        stopped.says().await,
        "appended 2",
        "it goes on with what it missed"
    );
    node.append(1).await;
    let verification = store.verify(|_| {}).await.expect("readable");
    assert!(verification.is_whole());
    assert_eq!(verification.events, 9);
    store.close().await;
}
