//! Events in the log that this program did not write: of another program, of a newer version, of nobody who knows better.

use domain::Event;
use engine::testing::{CountingFresh, TestClock};
use engine::{Engine, EngineSetup, StartError};
use eventstore::testing::TestDatabase;
use eventstore::{EventStore, ExpectedRevision, NewEvent, StreamAppend};

use crate::support::{How, Site, assert_as_the_log, create_group, everything, on_both};

/// Appends an event as another program would; answers its position.
async fn append(store: &EventStore, stream: &str, name: &'static str, body: &[u8]) -> u64 {
    let event = NewEvent {
        id: uuid::Uuid::new_v4(),
        event_type: name.into(),
        data: body.to_vec(),
        meta: br#"{"actor":"operator","surface":"program"}"#.to_vec(),
    };
    let append = StreamAppend {
        stream: stream.to_owned(),
        expected: ExpectedRevision::Any,
        events: vec![event],
    };
    let head = store.head().await.expect("a head");
    store
        .append(vec![append], Vec::new(), 0)
        .await
        .expect("appended");
    head.position + 1
}

async fn started(store: &EventStore) -> Result<(), StartError> {
    let setup = EngineSetup::new(store.clone(), TestClock::new(), CountingFresh::of_node(9));
    let (_, task) = Engine::start(setup).await?;
    task.shut_down().await;
    Ok(())
}

/// A site with a group, and its log with one more event behind it.
async fn with_event(
    database: &TestDatabase,
    stream: &str,
    name: &'static str,
    body: &[u8],
) -> (EventStore, u64) {
    let site = Site::new(database).await;
    site.run(create_group("Servers")).await;
    site.close().await;
    let store = database.open().await;
    let position = append(&store, stream, name, body).await;
    (store, position)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_does_not_fit_is_told_at_the_start_with_its_position() {
    on_both(async |database| {
        let body = br#"{"comments":{"old":null,"new":["not","a","text"]}}"#;
        let (store, expected) =
            with_event(database, "jump_group-1", "JumpGroupChanged", body).await;
        match started(&store).await {
            Err(StartError::Unreadable { position, .. }) => assert_eq!(position, expected),
            other => panic!("{other:?}"),
        }
        store.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_an_unknown_category_stops_a_start() {
    on_both(async |database| {
        let (store, expected) = with_event(database, "scanner-1", "HostScanned", b"{}").await;
        match started(&store).await {
            Err(StartError::Unreadable { position, .. }) => assert_eq!(position, expected),
            other => panic!("{other:?}"),
        }
        store.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_marked_as_foreign_stops_nothing() {
    on_both(async |database| {
        let (store, position) =
            with_event(database, "external-scanner-1", "HostScanned", b"\xff").await;
        store.close().await;
        let site = Site::open(database, How::default()).await;
        site.run(create_group("More")).await;
        assert_as_the_log(&site).await;
        let log = everything(&site.store).await;
        let read = log.iter().find(|event| event.position == position);
        assert!(matches!(
            read.map(|read| &read.event),
            Some(Event::External(external)) if external.name == "HostScanned"
        ));
        site.close().await;
    })
    .await;
}
