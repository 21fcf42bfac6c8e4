//! Two connections with one identity: a return, or a copy of the machine.

use std::time::Duration;

use link_protocol::{ClientFrame, RefusedCode, ServerFrame};
use tokio::time::advance;

use crate::played::{Heard, Played, resuming};
use crate::site::Site;

/// CLNT-30
#[tokio::test]
async fn the_same_boot_takes_its_old_connection_over_at_once() {
    let site = Site::still().await;
    let (mut old, _, token) = site.registered(1).await;
    let (_new, welcome) = Played::welcomed(&site.hub, resuming(1, 1, &token)).await;
    assert_eq!(welcome.client_id, 1);
    assert_eq!(old.closed().await, 4409);
    old.served.await.expect("the link ends well");
    // The end of the old connection says nothing about the new one.
    assert!(site.is_online());
    assert!(site.events("JumpClientDisconnected").await.is_empty());
    assert_eq!(site.hub.connected(), 1);
}

/// CLNT-30
#[tokio::test]
async fn another_boot_takes_over_from_a_connection_that_does_not_answer_for_5_s() {
    let site = Site::still().await;
    let (mut old, _, token) = site.registered(1).await;
    let mut new = Played::hello(&site.hub, resuming(2, 1, &token)).await;
    assert!(matches!(old.frame().await, ServerFrame::Ping { .. }));
    assert_eq!(new.heard(), None);
    advance(Duration::from_millis(5_001)).await;
    assert_eq!(old.closed().await, 4408);
    assert_eq!(new.welcome().await.client_id, 1);
    old.served.await.expect("the link ends well");
    assert!(site.is_online());
    assert!(!site.client().quarantined);
}

/// CLNT-30
#[tokio::test]
async fn two_boots_that_both_answer_are_copies_and_none_is_served() {
    let site = Site::still().await;
    let (mut old, _, token) = site.registered(1).await;
    let mut new = Played::hello(&site.hub, resuming(2, 1, &token)).await;
    old.answer_ping().await;
    for refused in [new.refused().await, old.refused().await] {
        assert_eq!(
            (refused.code, refused.is_final),
            (RefusedCode::Quarantined, true)
        );
    }
    old.served.await.expect("the link ends well");
    site.until_offline().await;
    assert!(site.client().quarantined);
    assert_eq!(site.hub.connected(), 0);
}

/// CLNT-30, threat T
#[tokio::test]
async fn copies_that_connect_at_the_same_moment_are_found_out() {
    let site = Site::still().await;
    let (agent, _, token) = site.registered(1).await;
    agent.lose().await;
    site.until_offline().await;
    // Neither finds the other connected, so neither is asked at the door.
    let mut one = Played::hello(&site.hub, resuming(2, 1, &token)).await;
    let mut two = Played::hello(&site.hub, resuming(3, 1, &token)).await;
    let outcome = tokio::select! {
        code = answer_until_closed(&mut one) => (2, code),
        code = answer_until_closed(&mut two) => (3, code),
    };
    // The later one wins at first. As the other comes back, both are there, and one has to answer for it.
    if outcome.1 == 4409 {
        let (again, still) = if outcome.0 == 2 {
            (2, &mut two)
        } else {
            (3, &mut one)
        };
        let mut again = Played::hello(&site.hub, resuming(again, 1, &token)).await;
        let closed = tokio::join!(answer_until_closed(&mut again), answer_until_closed(still));
        assert_eq!(closed, (4403, 4403));
    }
    assert!(site.client().quarantined);
}

async fn answer_until_closed(agent: &mut Played) -> u16 {
    loop {
        match agent.hear().await {
            Heard::Frame(ServerFrame::Ping { nonce }) => {
                agent.say(ClientFrame::Pong { nonce }).await;
            }
            Heard::Frame(_) => {}
            Heard::Closed(code) => return code,
        }
    }
}

/// CLNT-01
#[tokio::test]
async fn an_answer_to_an_older_ping_proves_nothing() {
    let site = Site::still().await;
    let (mut old, _, token) = site.registered(1).await;
    advance(Duration::from_millis(30_001)).await;
    let ServerFrame::Ping { nonce } = old.frame().await else {
        panic!("a heartbeat was expected")
    };
    let mut new = Played::hello(&site.hub, resuming(2, 1, &token)).await;
    assert!(matches!(old.frame().await, ServerFrame::Ping { .. }));
    old.say(ClientFrame::Pong { nonce }).await;
    tokio::task::yield_now().await;
    advance(Duration::from_millis(5_001)).await;
    assert_eq!(old.closed().await, 4408);
    new.welcome().await;
    assert!(!site.client().quarantined);
}
