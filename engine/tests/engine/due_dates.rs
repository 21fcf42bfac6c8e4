//! Due dates by a clock that leaps: served by the holder of the lease, on time and not before.

use domain::ids::JumpClientId;
use domain::session::access_session::SPAWN_TIMEOUT;
use domain::{Cause, Event};
use eventstore::testing::TestDatabase;
use tokio::sync::watch;

use crate::support::{
    How, SOON, Site, assert_as_the_log, everything, on_both, register, start_session,
};

/// Waits until the engine has published `position`.
async fn reaches(site: &Site, position: u64) {
    let mut watched = site.engine.watch_position();
    tokio::time::timeout(SOON, watched.wait_for(|now| *now >= position))
        .await
        .expect("the due date is served")
        .expect("the engine runs");
}

/// ERR-11: an agent that does not bring a session up in time.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_does_not_come_up_is_failed_when_it_is_due() {
    on_both(async |database| {
        let site = Site::with_fleet(database, How::default()).await;
        let (_lease, held) = watch::channel(true);
        site.engine.serve_due_dates(held);
        site.run(register(1)).await;
        let started = site.run(start_session(JumpClientId(1))).await;
        site.clock.leap(SPAWN_TIMEOUT - 1);
        // Whatever was sent too early would have been decided before this one.
        let done = site.run(register(2)).await;
        assert_eq!(done.position, started.position + 2, "not due yet");
        site.clock.leap(1);
        reaches(&site, done.position + 1).await;
        let log = everything(&site.store).await;
        let last = log.last().expect("an event");
        assert_eq!(last.event.stored_name(), "AccessSessionFailed");
        assert_eq!(last.decided_at, started.decided_at.plus(SPAWN_TIMEOUT));
        assert_eq!(last.cause, Cause::timer());
        assert!(site.engine.published().world.sessions.is_empty());
        assert_as_the_log(&site).await;
        site.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_holder_of_the_lease_serves() {
    let database = TestDatabase::postgres().await;
    let first = Site::with_fleet(&database, How::default()).await;
    let second = Site::open(
        &database,
        How {
            clock: std::sync::Arc::clone(&first.clock),
            node: 1,
            ..How::default()
        },
    )
    .await;
    let (first_lease, held) = watch::channel(true);
    first.engine.serve_due_dates(held);
    let (second_lease, held) = watch::channel(false);
    second.engine.serve_due_dates(held);
    first.run(register(1)).await;

    let started = first.run(start_session(JumpClientId(1))).await;
    first_lease.send_replace(false);
    first.clock.leap(SPAWN_TIMEOUT);
    // Nobody holds the lease: a command that is decided now still finds the session.
    let done = first.run(register(2)).await;
    assert_eq!(done.position, started.position + 2);
    assert_eq!(first.engine.published().world.sessions.len(), 1);
    second_lease.send_replace(true);
    reaches(&first, done.position + 1).await;
    reaches(&second, done.position + 1).await;
    assert!(first.engine.published().world.sessions.is_empty());
    for site in [&first, &second] {
        assert_as_the_log(site).await;
    }
    first.close().await;
    second.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_both_believe_to_hold_the_lease_do_it_once() {
    let database = TestDatabase::postgres().await;
    let first = Site::with_fleet(&database, How::default()).await;
    let second = Site::open(
        &database,
        How {
            clock: std::sync::Arc::clone(&first.clock),
            node: 1,
            ..How::default()
        },
    )
    .await;
    for number in 1..=20 {
        first.run(register(number)).await;
    }
    for client in 1..=20 {
        first.run(start_session(JumpClientId(client))).await;
    }
    let (_lease, held) = watch::channel(true);
    first.engine.serve_due_dates(held.clone());
    second.engine.serve_due_dates(held);
    let before = first.engine.published().tail.position;
    first.clock.leap(SPAWN_TIMEOUT);
    reaches(&first, before + 20).await;
    reaches(&second, before + 20).await;
    // Whatever else they send now finds nothing left to do.
    let done = first.run(register(21)).await;
    let failed = everything(&first.store).await;
    let failed = failed
        .iter()
        .filter(|recorded| {
            matches!(recorded.event, Event::AccessSession(..))
                && recorded.event.stored_name() == "AccessSessionFailed"
        })
        .count();
    assert_eq!(failed, 20);
    assert_eq!(done.position, before + 22);
    first.close().await;
    second.close().await;
}
