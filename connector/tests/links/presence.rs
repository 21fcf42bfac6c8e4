//! Online and offline, and every way in which the site ends a link.

use domain::fleet::jump_client;
use domain::{Event, time};
use link_protocol::{ClientFrame, Facts, RefusedCode, ServerFrame};

use crate::played::{Played, resuming};
use crate::site::{CLIENT, Site, delete_client, delete_group, events, stop_node};

/// CLNT-11
#[tokio::test]
async fn a_client_that_loses_its_connection_is_offline_since_then() {
    let site = Site::still().await;
    let (agent, ..) = site.registered(1).await;
    site.clock.leap(time::MINUTE);
    agent.lose().await;
    assert!(!site.is_online());
    let published = site.engine.published();
    assert_eq!(
        published.world.offline_since(&site.client()),
        Some(published.recorded_at)
    );
    assert_eq!(reasons(&site).await, ["the connection was lost"]);
}

async fn reasons(site: &Site) -> Vec<String> {
    let events = site.events("JumpClientDisconnected").await;
    events
        .into_iter()
        .map(|recorded| match recorded.event {
            Event::JumpClient(CLIENT, jump_client::Event::Disconnected(gone)) => gone.reason,
            other => panic!("{other:?}"),
        })
        .collect()
}

/// CLNT-11
#[tokio::test]
async fn goodbye_is_answered_with_1000_and_written_down() {
    let site = Site::still().await;
    let (mut agent, ..) = site.registered(1).await;
    agent.say(ClientFrame::Goodbye {}).await;
    assert_eq!(agent.closed().await, 1000);
    agent.served.await.expect("the link ends well");
    assert_eq!(reasons(&site).await, ["goodbye"]);
}

/// CLNT-05, CLNT-60
#[tokio::test]
async fn a_client_that_is_removed_alone_or_with_its_group_is_told_and_cut_off() {
    for command in [delete_client(CLIENT), delete_group()] {
        let site = Site::still().await;
        let (mut agent, ..) = site.registered(1).await;
        site.run(command).await;
        let refused = agent.refused().await;
        assert_eq!(
            (refused.code, refused.message.as_str(), refused.is_final),
            (
                RefusedCode::ClientRemoved,
                "The Jump Client does not exist.",
                true
            )
        );
        agent.served.await.expect("the link ends well");
        assert_eq!(site.hub.connected(), 0);
        assert!(site.events("JumpClientDisconnected").await.is_empty());
    }
}

#[tokio::test]
async fn a_node_that_was_declared_stopped_closes_its_agents_and_takes_no_more() {
    let site = Site::still().await;
    let (mut agent, _, token) = site.registered(1).await;
    site.run(stop_node(site.node)).await;
    assert_eq!(agent.closed().await, 1001);
    agent.served.await.expect("the link ends well");
    assert!(!site.is_online());
    // One event took it offline.
    assert!(site.events("JumpClientDisconnected").await.is_empty());
    site.hub.reopen();
    Played::hello(&site.hub, resuming(1, 1, &token))
        .await
        .told_later()
        .await;
}

#[tokio::test]
async fn a_node_that_doubts_itself_closes_its_agents_until_it_is_sure_again() {
    let site = Site::still().await;
    let (mut agent, _, token) = site.registered(1).await;
    site.hub.close_all();
    assert_eq!(agent.closed().await, 1001);
    agent.served.await.expect("the link ends well");
    // It may live on, so this has to be said.
    assert_eq!(reasons(&site).await, ["the node stops"]);
    Played::hello(&site.hub, resuming(1, 1, &token))
        .await
        .told_later()
        .await;
    site.hub.reopen();
    Played::welcomed(&site.hub, resuming(1, 1, &token)).await;
}

#[tokio::test]
async fn a_shutdown_closes_the_agents_and_writes_what_was_gathered_down() {
    let site = Site::still().await;
    let (mut agent, ..) = site.registered(1).await;
    agent.check_in(1, Facts::default()).await;
    // Heard, as the answer to what is said behind it shows.
    let facts = Facts {
        console_user: Some("bob".to_owned()),
        ..Facts::default()
    };
    agent.check_in(2, facts).await;
    assert_eq!(
        agent.frame().await,
        ServerFrame::CheckInRecorded { sequence: 2 }
    );
    let (engine, _task, _database) = site.shut_hub_down().await;
    assert_eq!(agent.closed().await, 1001);
    agent.served.await.expect("the link ends well");
    assert_eq!(
        events(engine.store(), "JumpClientsCheckedIn").await.len(),
        1
    );
    // NodeStopped will say it of all at once.
    assert!(
        events(engine.store(), "JumpClientDisconnected")
            .await
            .is_empty()
    );
}

/// A machine may leave before it is welcomed: the log must not show it online.
#[tokio::test]
async fn a_machine_that_leaves_before_it_is_welcomed_is_not_online() {
    let site = Site::still().await;
    let (agent, _, token) = site.registered(1).await;
    agent.lose().await;
    for _ in 0..10 {
        let agent = Played::hello(&site.hub, resuming(1, 1, &token)).await;
        agent.lose().await;
        assert!(!site.is_online());
    }
    assert_eq!(site.hub.connected(), 0);
}

/// threat T
#[tokio::test]
async fn threat_t_a_client_that_is_removed_while_it_connects_is_never_left_connected() {
    let site = Site::still().await;
    for number in 1..=20 {
        let (agent, welcome, token) = site.registered(number).await;
        agent.lose().await;
        let id = domain::ids::JumpClientId(u32::try_from(welcome.client_id).expect("small"));
        let mut agent = Played::hello(&site.hub, resuming(number, welcome.client_id, &token)).await;
        site.run(delete_client(id)).await;
        assert_eq!(agent.closed().await, 4403);
        agent.served.await.expect("the link ends well");
        assert_eq!(site.hub.connected(), 0);
    }
}
