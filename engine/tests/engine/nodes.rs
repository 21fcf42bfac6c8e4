//! Several engines on one PostgreSQL: rules hold over all of them, each follows the others, and reads are never stale.

use std::sync::Arc;

use domain::ids::{JumpClientId, JumpItemRef};
use domain::{Event, session::access_session};
use eventstore::testing::TestDatabase;
use futures_util::future::join_all;

use crate::support::{How, SOON, Site, assert_as_the_log, create_group, register, start_session};

async fn another(database: &TestDatabase, first: &Site, node: u64) -> Site {
    let how = How {
        clock: Arc::clone(&first.clock),
        node,
        ..How::default()
    };
    Site::open(database, how).await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_nodes_that_race_for_a_name_one_gets_it() {
    let database = TestDatabase::postgres().await;
    let first = Site::new(&database).await;
    let second = another(&database, &first, 1).await;
    for round in 0..30 {
        let name = format!("group {round}");
        let (one, other) = tokio::join!(
            first.ask(create_group(&name)),
            second.ask(create_group(&name))
        );
        assert!(
            one.is_ok() != other.is_ok(),
            "round {round}: {one:?} {other:?}"
        );
    }
    for site in [&first, &second] {
        site.engine.as_fresh_as_the_log().await.expect("fresh");
        assert_as_the_log(site).await;
    }
    first.close().await;
    second.close().await;
}

/// REP-42: connection numbers are unique among running sessions, whichever node starts them.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_race_for_connection_numbers_never_give_one_twice() {
    const CLIENTS: u32 = 40;
    let database = TestDatabase::postgres().await;
    let first = Site::with_fleet(&database, How::default()).await;
    let second = another(&database, &first, 1).await;
    for number in 1..=u64::from(CLIENTS) {
        first.run(register(number)).await;
    }
    let asked = (1..=CLIENTS).map(|client| {
        let site = if client % 2 == 0 { &first } else { &second };
        site.ask(start_session(JumpClientId(client)))
    });
    let mut numbers = Vec::new();
    for done in join_all(asked).await {
        let done = done.expect("started");
        let Event::AccessSession(_, access_session::Event::Started(started)) = &done.events[0]
        else {
            panic!("{:?}", done.events);
        };
        numbers.push(started.representative.gsnumber);
        numbers.push(started.lseq + 1_000_000);
    }
    let given = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), given, "a number was given twice");
    for site in [&first, &second] {
        site.engine.as_fresh_as_the_log().await.expect("fresh");
        assert_as_the_log(site).await;
    }
    first.close().await;
    second.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_on_another_node_is_never_stale() {
    let database = TestDatabase::postgres().await;
    let writer = Site::new(&database).await;
    let reader = another(&database, &writer, 1).await;
    for round in 0..200 {
        let done = writer.run(create_group(&format!("group {round}"))).await;
        let published = reader.engine.as_fresh_as_the_log().await.expect("fresh");
        assert!(published.tail.position >= done.position, "round {round}");
        assert_eq!(published.world.jump_groups.len(), round + 1);
    }
    writer.close().await;
    reader.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_at_the_same_time_share_queries_and_are_all_fresh() {
    let database = TestDatabase::postgres().await;
    let writer = Site::new(&database).await;
    let reader = another(&database, &writer, 1).await;
    for round in 0..10 {
        let done = writer.run(create_group(&format!("group {round}"))).await;
        let reads = join_all((0..200).map(|_| reader.engine.as_fresh_as_the_log())).await;
        for published in reads {
            let published = published.expect("fresh");
            assert!(published.tail.position >= done.position, "round {round}");
        }
    }
    writer.close().await;
    reader.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_node_follows_the_others() {
    let database = TestDatabase::postgres().await;
    let writer = Site::with_fleet(&database, How::default()).await;
    let idle = another(&database, &writer, 1).await;
    let mut stream = idle.engine.committed();
    let mut position = idle.engine.watch_position();
    let done = writer.run(register(1)).await;
    tokio::time::timeout(
        SOON,
        position.wait_for(|position| *position >= done.position),
    )
    .await
    .expect("it follows")
    .expect("the engine runs");
    let item = JumpItemRef::JumpClient(JumpClientId(1));
    assert!(idle.engine.views().console.row(item).is_some());
    let mut events = Vec::new();
    while events.len() < done.events.len() {
        let batch = stream.next().await.expect("events");
        events.extend(batch.iter().map(|recorded| recorded.event.clone()));
    }
    assert_eq!(events, done.events);
    assert_as_the_log(&idle).await;
    writer.close().await;
    idle.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_gone_makes_reads_unavailable_and_not_stale() {
    let database = TestDatabase::postgres().await;
    let site = Site::new(&database).await;
    crate::support::behind_the_back(&database, "ALTER TABLE log_head RENAME TO head_away").await;
    let error = site
        .engine
        .as_fresh_as_the_log()
        .await
        .expect_err("no head");
    assert!(error.retry_after.as_secs() >= 1);
    crate::support::behind_the_back(&database, "ALTER TABLE head_away RENAME TO log_head").await;
    site.engine
        .as_fresh_as_the_log()
        .await
        .expect("fresh again");
    site.close().await;
}
