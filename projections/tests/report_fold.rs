//! How the report index is folded on both databases: rows and bookmark agree whatever happens.

mod support;

use std::time::Duration;

use domain::testing::{ANNA, FIRST, person};
use domain::time;
use eventstore::testing::TestDatabase;
use eventstore::{ExpectedRevision, NewEvent, StreamAppend};
use projections::{ReportError, ReportIndex, SessionQuery};
use support::sessions::{JULY, SOON, busy, fold, follow, index_of, lived, log_at, lsids, told};
use uuid::Uuid;

#[tokio::test]
async fn two_nodes_follow_at_once_and_each_reads_what_was_written_before() {
    for database in TestDatabase::both().await {
        let store = database.open().await;
        // In SQLite a second node is a second index on the one log.
        let other_store = match database.kind() {
            "PostgreSQL" => database.open().await,
            _ => store.clone(),
        };
        let one = ReportIndex::open(&store).await.expect("an index");
        let other = ReportIndex::open(&other_store).await.expect("an index");
        let following = [follow(&one), follow(&other)];
        let mut log = busy(60);
        while log.position() > *store.watch_head().borrow() {
            log.append(&store, 7).await;
            let head = *store.watch_head().borrow();
            for index in [&one, &other] {
                index.wait_for(head, SOON).await.expect("both get there");
                let sessions = index
                    .sessions(&SessionQuery::everything())
                    .await
                    .expect("sessions");
                assert_eq!(
                    told(&sessions),
                    fold(&log, head),
                    "at {head} on {}",
                    database.kind()
                );
            }
        }
        for (stop, task) in following {
            stop.send_replace(true);
            task.await
                .expect("no panic")
                .expect("it followed to the end");
        }
        assert_eq!(one.bookmark().await.expect("a bookmark"), log.position());
        store.close().await;
        if database.kind() == "PostgreSQL" {
            other_store.close().await;
        }
    }
}

#[tokio::test]
async fn rows_and_bookmark_agree_wherever_a_fold_breaks_off() {
    for database in TestDatabase::both().await {
        let mut log = busy(1_200);
        let store = database.open().await;
        log.append_all(&store).await;
        let mut bookmarks = Vec::new();
        for round in 0..12_u64 {
            let index = ReportIndex::open(&store).await.expect("an index");
            let before = index.bookmark().await.expect("a bookmark");
            let folding = {
                let index = index.clone();
                tokio::spawn(async move { index.catch_up(u64::MAX).await })
            };
            if round % 2 == 0 {
                // Wherever it is.
                tokio::time::sleep(Duration::from_micros(700 * round * round)).await;
            } else {
                // As soon as something was written.
                while !folding.is_finished()
                    && index.bookmark().await.expect("a bookmark") == before
                {
                    tokio::task::yield_now().await;
                }
            }
            folding.abort();
            let _ = folding.await;
            let index = ReportIndex::open(&store).await.expect("an index");
            let bookmark = index.bookmark().await.expect("a bookmark");
            let sessions = index
                .sessions(&SessionQuery::everything())
                .await
                .expect("sessions");
            assert_eq!(
                told(&sessions),
                fold(&log, bookmark),
                "at {bookmark} on {}",
                database.kind()
            );
            bookmarks.push(bookmark);
        }
        assert!(
            bookmarks
                .iter()
                .any(|bookmark| (1..log.position()).contains(bookmark)),
            "no fold broke off in the middle on {}: {bookmarks:?}",
            database.kind()
        );
        let index = index_of(&store).await;
        let sessions = index
            .sessions(&SessionQuery::everything())
            .await
            .expect("sessions");
        assert_eq!(told(&sessions), fold(&log, log.position()));
        store.close().await;
    }
}

#[tokio::test]
async fn a_rebuild_equals_what_it_replaces_and_is_switched_to() {
    for database in TestDatabase::both().await {
        let mut log = busy(80);
        let store = database.open().await;
        log.append(&store, 200).await;
        let index = ReportIndex::open(&store).await.expect("an index");
        let (stop, task) = follow(&index);
        index.wait_for(200, SOON).await.expect("it gets there");
        let before = index
            .sessions(&SessionQuery::everything())
            .await
            .expect("sessions");

        let mut steps = Vec::new();
        let reached = ReportIndex::rebuild(&store, |position| steps.push(position)).await;
        assert_eq!(reached.expect("rebuilt"), 200);
        assert_eq!(steps.last(), Some(&200));
        let anew = ReportIndex::open(&store).await.expect("an index");
        assert_eq!(anew.bookmark().await.expect("a bookmark"), 200);
        assert_eq!(
            anew.sessions(&SessionQuery::everything())
                .await
                .expect("sessions"),
            before
        );

        // The one that follows goes on, and switches without a gap.
        log.append_all(&store).await;
        index
            .wait_for(log.position(), SOON)
            .await
            .expect("it gets there");
        let whole = fold(&log, log.position());
        let switched = async {
            loop {
                let sessions = index
                    .sessions(&SessionQuery::everything())
                    .await
                    .expect("sessions");
                assert_eq!(told(&sessions), whole);
                if index.generation() > 1 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(SOON, switched)
            .await
            .expect("it switches");
        stop.send_replace(true);
        task.await
            .expect("no panic")
            .expect("it followed to the end");
        let stopped_site = ReportIndex::rebuild(&store, |_| {}).await.expect("rebuilt");
        assert_eq!(stopped_site, log.position());
        let index = ReportIndex::open(&store).await.expect("an index");
        let sessions = index
            .sessions(&SessionQuery::everything())
            .await
            .expect("sessions");
        assert_eq!((index.generation(), told(&sessions)), (3, whole));
        store.close().await;
    }
}

#[tokio::test]
async fn a_rebuild_that_broke_off_is_not_read() {
    for database in TestDatabase::both().await {
        let mut log = busy(1_200);
        let store = database.open().await;
        log.append_all(&store).await;
        let whole = told(
            &index_of(&store)
                .await
                .sessions(&SessionQuery::everything())
                .await
                .expect("sessions"),
        );
        let breaking = {
            let store = store.clone();
            tokio::spawn(async move {
                let mut first = true;
                ReportIndex::rebuild(&store, move |_| {
                    assert!(
                        std::mem::take(&mut first),
                        "the power fails after the first batch"
                    );
                })
                .await
            })
        };
        assert!(breaking.await.is_err(), "it broke off");
        let index = ReportIndex::open(&store).await.expect("an index");
        assert_eq!(index.generation(), 1);
        let sessions = index
            .sessions(&SessionQuery::everything())
            .await
            .expect("sessions");
        assert_eq!(told(&sessions), whole);
        ReportIndex::rebuild(&store, |_| {}).await.expect("rebuilt");
        let index = ReportIndex::open(&store).await.expect("an index");
        let sessions = index
            .sessions(&SessionQuery::everything())
            .await
            .expect("sessions");
        assert_eq!((index.generation(), told(&sessions)), (3, whole));
        store.close().await;
    }
}

#[tokio::test]
async fn waiting_ends_with_how_far_it_is() {
    let database = TestDatabase::sqlite();
    let store = database.open().await;
    let mut log = busy(3);
    log.append_all(&store).await;
    let index = ReportIndex::open(&store).await.expect("an index");
    let behind = index
        .wait_for(5, Duration::from_millis(1))
        .await
        .expect_err("nobody folds");
    assert_eq!(
        (behind.reached, behind.wanted, behind.stopped),
        (0, 5, None)
    );
    let (stop, task) = follow(&index);
    index
        .wait_for(log.position(), SOON)
        .await
        .expect("it gets there");
    drop(stop);
    task.await
        .expect("no panic")
        .expect("nobody wants it any more");
    store.close().await;
}

#[tokio::test]
async fn an_event_that_cannot_be_read_stops_the_index_before_it() {
    for database in TestDatabase::both().await {
        let store = database.open().await;
        let mut log = log_at(JULY);
        lived(&mut log, FIRST, JULY, None);
        log.append_all(&store).await;
        let index = ReportIndex::open(&store).await.expect("an index");
        let (_stop, task) = follow(&index);
        index
            .wait_for(log.position(), SOON)
            .await
            .expect("it gets there");
        let unknown = StreamAppend {
            stream: format!("access_session-{FIRST}"),
            expected: ExpectedRevision::Any,
            events: vec![NewEvent {
                id: Uuid::from_u128(1),
                event_type: "AccessSessionDreamt".into(),
                data: b"{}".to_vec(),
                meta: serde_json::to_vec(&domain::Cause::timer()).expect("a cause"),
            }],
        };
        store
            .append(vec![unknown], Vec::new(), JULY.0)
            .await
            .expect("appended");
        let position = log.position() + 1;
        let error = task.await.expect("no panic").expect_err("it stops");
        assert!(matches!(&error, ReportError::Unreadable(event) if event.position == position));
        let behind = index
            .wait_for(position, SOON)
            .await
            .expect_err("it has stopped");
        assert_eq!(behind.reached, log.position());
        let words = behind.to_string();
        assert!(
            words.contains("AccessSessionDreamt") && words.contains(&position.to_string()),
            "{words}"
        );
        assert_eq!(index.bookmark().await.expect("a bookmark"), log.position());
        assert!(ReportIndex::rebuild(&store, |_| {}).await.is_err());
        assert_eq!(
            ReportIndex::open(&store)
                .await
                .expect("an index")
                .generation(),
            1
        );
        store.close().await;
    }
}

#[tokio::test]
async fn an_index_of_another_log_begins_anew() {
    let database = TestDatabase::sqlite();
    let store = database.open().await;
    let mut log = busy(20);
    log.append_all(&store).await;
    index_of(&store).await;
    store.close().await;
    let eventstore::Location::Sqlite { directory } = database.location() else {
        panic!("a directory");
    };
    for file in ["log.db", "log.db-wal", "log.db-shm"] {
        let _ = std::fs::remove_file(directory.join(file));
    }
    let store = database.open().await;
    let mut other = log_at(JULY.plus(time::DAY));
    lived(&mut other, FIRST, JULY.plus(2 * time::DAY), None);
    while other.position() < log.position() {
        other.happen([person(ANNA)]);
    }
    other.append_all(&store).await;
    let index = index_of(&store).await;
    let sessions = index
        .sessions(&SessionQuery::everything())
        .await
        .expect("sessions");
    assert_eq!(lsids(&sessions), [FIRST.0]);
    store.close().await;
}

#[tokio::test]
async fn an_index_that_is_dropped_under_a_running_node_comes_back() {
    let database = TestDatabase::postgres().await;
    let store = database.open().await;
    let mut log = busy(30);
    log.append(&store, 60).await;
    let index = ReportIndex::open(&store).await.expect("an index");
    let (stop, task) = follow(&index);
    index.wait_for(60, SOON).await.expect("it gets there");
    for (name, number) in store.list_views().await.expect("a list") {
        store.drop_view(&name, number).await.expect("dropped");
    }
    log.append_all(&store).await;
    index
        .wait_for(log.position(), SOON)
        .await
        .expect("it gets there again");
    let sessions = index
        .sessions(&SessionQuery::everything())
        .await
        .expect("sessions");
    assert_eq!(told(&sessions), fold(&log, log.position()));
    stop.send_replace(true);
    task.await
        .expect("no panic")
        .expect("it followed to the end");
    store.close().await;
}
