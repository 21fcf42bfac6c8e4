//! Two nodes on one PostgreSQL: an agent on one of them is everybody's.

use std::sync::Arc;

use eventstore::testing::TestDatabase;
use link_protocol::{ClientFrame, RefusedCode};
use tokio::time::timeout;

use crate::played::{Played, resuming};
use crate::site::{CLIENT, SOON, Site, ended, started, stop_node};

async fn two_nodes() -> (Site, Site) {
    let database = Arc::new(TestDatabase::postgres().await);
    let one = Site::on(database.clone(), 1).await;
    let two = Site::on(database, 2).await;
    (one, two)
}

#[tokio::test]
async fn a_jump_asked_of_one_node_reaches_an_agent_on_the_other() {
    let (one, two) = two_nodes().await;
    timeout(SOON, async {
        let (mut agent, ..) = one.registered(1).await;
        two.until(|world| world.jump_clients.contains(&CLIENT))
            .await;
        let lsid = two.start_session(CLIENT).await;
        let told = started(agent.frame().await);
        assert_eq!(told, lsid.to_string());
        agent.say(ClientFrame::SessionStarted { lsid: told }).await;
        two.until_established(lsid).await;
        two.end_session(lsid).await;
        ended(agent.frame().await);
    })
    .await
    .expect("in time");
    one.close().await;
    two.close().await;
}

#[tokio::test]
async fn a_client_that_moves_to_another_node_takes_its_old_connection_over() {
    let (one, two) = two_nodes().await;
    timeout(SOON, async {
        let (mut old, _, token) = one.registered(1).await;
        let (new, _) = Played::welcomed(&two.hub, resuming(1, 1, &token)).await;
        assert_eq!(old.closed().await, 4409);
        old.served.await.expect("the link ends well");
        assert!(two.is_online());
        assert_eq!((one.hub.connected(), two.hub.connected()), (0, 1));
        drop(new);
    })
    .await
    .expect("in time");
    one.close().await;
    two.close().await;
}

/// CLNT-30
#[tokio::test]
async fn copies_on_two_nodes_are_found_out() {
    let (one, two) = two_nodes().await;
    timeout(SOON, async {
        let (mut old, _, token) = one.registered(1).await;
        let mut new = Played::hello(&two.hub, resuming(2, 1, &token)).await;
        new.welcome().await;
        old.answer_ping().await;
        for refused in [old.refused().await, new.refused().await] {
            assert_eq!(
                (refused.code, refused.is_final),
                (RefusedCode::Quarantined, true)
            );
        }
        two.until(|world| {
            let client = world.jump_clients.get(&CLIENT).expect("there");
            client.quarantined && !world.is_online(client)
        })
        .await;
    })
    .await
    .expect("in time");
    one.close().await;
    two.close().await;
}

#[tokio::test]
async fn a_node_given_up_by_another_closes_its_agents_and_they_connect_elsewhere() {
    let (one, two) = two_nodes().await;
    timeout(SOON, async {
        let (mut agent, _, token) = one.registered(1).await;
        two.run(stop_node(one.node)).await;
        assert_eq!(agent.closed().await, 1001);
        assert!(!two.is_online());
        Played::hello(&one.hub, resuming(1, 1, &token))
            .await
            .told_later()
            .await;
        let (_agent, welcome) = Played::welcomed(&two.hub, resuming(1, 1, &token)).await;
        assert_eq!(welcome.client_id, 1);
        assert!(two.is_online());
    })
    .await
    .expect("in time");
    one.close().await;
    two.close().await;
}
