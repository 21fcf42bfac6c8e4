//! What travels with a client by protocol 2: settings, statistics, and the word that it is uninstalled.

use domain::Command;
use domain::fleet::jump_client;
use domain::ids::JumpClientId;
use domain::site::user;
use link_protocol::{
    ClientFrame, Facts, Figures, Hello, RefusedCode, Secret, ServerFrame, Settings, Welcome,
};
use serde_json::json;

use crate::played::{Heard, Played, registering, resuming};
use crate::site::{CLIENT, Site, object};

fn newer(mut hello: Hello) -> Hello {
    hello.protocols = vec![2, 1];
    hello
}

/// A machine that speaks protocol 2, with its first settings.
async fn registered(site: &Site) -> (Played, Welcome, Secret, Settings) {
    let (installer, secret) = site.key();
    let hello = newer(registering(1, (&installer, secret), 1));
    let (mut agent, welcome) = Played::welcomed(&site.hub, hello).await;
    assert_eq!(welcome.protocol, 2);
    let settings = settings(&mut agent).await;
    let token = welcome.token.clone().expect("a token after a registration");
    agent.say(ClientFrame::TokenStored {}).await;
    (agent, welcome, token, settings)
}

async fn settings(agent: &mut Played) -> Settings {
    match agent.frame().await {
        ServerFrame::Settings(settings) => settings,
        other => panic!("settings were expected, not {other:?}"),
    }
}

async fn change(site: &Site, client: JumpClientId, body: serde_json::Value) {
    let change = jump_client::Command::Change(client, object(body));
    site.run(Command::JumpClient(change)).await;
}

/// CLNT-19, CLNT-32: what is set reaches a connected client at once.
#[tokio::test]
async fn settings_travel_with_a_client_and_again_when_they_change() {
    let site = Site::still().await;
    let (mut agent, _, _, first) = registered(&site).await;
    assert_eq!(
        (first.check_in_seconds, first.remove_after_minutes),
        (3_600, 180 * 1_440)
    );
    assert_eq!(first.statistics.len(), 5);
    site.set(json!({"deletion_days": 90})).await;
    assert_eq!(settings(&mut agent).await.remove_after_minutes, 90 * 1_440);
    site.set(json!({"check_in_seconds": 60})).await;
    assert_eq!(settings(&mut agent).await.check_in_seconds, 60);
    change(&site, CLIENT, json!({"max_offline_minutes": 5})).await;
    assert_eq!(settings(&mut agent).await.remove_after_minutes, 5);
    // A copy that may be away for longer keeps the endpoint for longer.
    let copy = object(json!({"jump_group_id": 1, "jump_group_type": "shared"}));
    // One that changes nothing for it is not told.
    site.run(Command::JumpClient(jump_client::Command::Copy(
        CLIENT, copy,
    )))
    .await;
    let copy = JumpClientId(2);
    change(&site, copy, json!({"max_offline_minutes": 600})).await;
    assert_eq!(settings(&mut agent).await.remove_after_minutes, 600);
    site.run(Command::JumpClient(jump_client::Command::Delete(copy)))
        .await;
    assert_eq!(settings(&mut agent).await.remove_after_minutes, 5);
    // What does not concern a client is not told.
    site.set(json!({"sign_in_hours": 3})).await;
    site.set(json!({"check_in_seconds": 61})).await;
    assert_eq!(settings(&mut agent).await.check_in_seconds, 61);
}

/// CLNT-31: what is deselected is not kept, whatever an agent sends.
#[tokio::test]
async fn statistics_that_are_deselected_are_not_kept() {
    let site = Site::still().await;
    let (mut agent, ..) = registered(&site).await;
    let figures = Figures {
        cpu_permille: Some(500),
        uptime_seconds: Some(60),
        ..Figures::default()
    };
    agent
        .check_in_with(1, Facts::default(), figures.clone())
        .await;
    site.until(|world| world.jump_clients.len() == 1).await;
    site.set(json!({"jump_client_statistics": ["uptime"]}))
        .await;
    let told = settings(&mut agent).await;
    assert_eq!(told.statistics, ["uptime"]);
    let facts = Facts {
        console_user: Some("bert".to_owned()),
        hostname: Some("web-2".to_owned()),
        ..Facts::default()
    };
    agent.check_in_with(2, facts, figures).await;
    site.until(|world| {
        let client = world.jump_clients.get(&CLIENT);
        client.is_some_and(|client| client.facts.hostname == "web-2")
    })
    .await;
    assert_eq!(site.client().facts.console_user, "");
    let item = domain::ids::JumpItemRef::JumpClient(CLIENT);
    let kept = site.engine.views().console.figures(item).expect("figures");
    let kept: Figures = serde_json::from_slice(&kept).expect("JSON");
    assert_eq!((kept.cpu_permille, kept.uptime_seconds), (None, Some(60)));
}

/// CLNT-23, CLNT-25, CLNT-60: said by the client, written down, answered with 1000; it does not come back.
#[tokio::test]
async fn a_client_that_says_that_it_is_uninstalled_is_marked_and_refused_from_then_on() {
    let site = Site::still().await;
    let (mut agent, welcome, token, _) = registered(&site).await;
    agent.say(ClientFrame::Uninstalling {}).await;
    assert_eq!(agent.closed().await, 1000);
    agent.served.await.expect("the link ends well");
    assert_eq!(site.client().connection_type, "uninstalled");
    assert!(!site.is_online());
    // It went once: no disconnection beside it.
    assert!(site.events("JumpClientDisconnected").await.is_empty());
    let again = newer(resuming(2, welcome.client_id, &token));
    let mut agent = Played::hello(&site.hub, again).await;
    let refused = agent.refused().await;
    assert_eq!(
        (refused.code, refused.message.as_str(), refused.is_final),
        (
            RefusedCode::ClientRemoved,
            "The specified Jump Client has been uninstalled.",
            true
        )
    );
}

/// CLNT-23
#[tokio::test]
async fn a_client_that_says_that_it_is_uninstalled_is_removed_where_the_site_wants_that() {
    let site = Site::still().await;
    site.set(json!({"uninstalled_client_behavior": "remove"}))
        .await;
    let (mut agent, ..) = registered(&site).await;
    agent.say(ClientFrame::Uninstalling {}).await;
    // 1000 for its word, or 4403 where the news of its removal is quicker.
    assert!(matches!(agent.closed().await, 1000 | 4403));
    site.until(|world| world.jump_clients.is_empty()).await;
}

/// The protocol before has neither: an agent of it is told nothing new, and may not speak of it.
#[tokio::test]
async fn protocol_1_is_still_spoken_as_it_was() {
    let site = Site::still().await;
    let (mut agent, welcome, _) = site.registered(1).await;
    assert_eq!(welcome.protocol, 1);
    site.set(json!({"deletion_days": 90})).await;
    let lsid = site.start_session(CLIENT).await;
    match agent.frame().await {
        ServerFrame::StartSession(start) => assert_eq!(start.lsid, lsid.to_string()),
        other => panic!("a session was to start, not {other:?}"),
    }
    agent.say(ClientFrame::Uninstalling {}).await;
    assert_eq!(agent.closed().await, 4404);
}

/// A boot that comes back as it was has nothing to check in for; another boot, or other facts, have.
#[tokio::test]
async fn a_link_is_resumed_without_a_new_check_in_where_nothing_has_changed() {
    let site = Site::still().await;
    let (agent, welcome, token, _) = registered(&site).await;
    assert!(welcome.check_in_now);
    agent.lose().await;
    let id = welcome.client_id;
    let mut renamed = newer(resuming(1, id, &token));
    renamed.facts.hostname = Some("web-9".to_owned());
    for (hello, check_in) in [
        (newer(resuming(1, id, &token)), false),
        (newer(resuming(2, id, &token)), true),
        (newer(resuming(2, id, &token)), false),
        (renamed, true),
    ] {
        let (mut agent, welcome) = Played::welcomed(&site.hub, hello).await;
        assert_eq!(welcome.check_in_now, check_in);
        settings(&mut agent).await;
        while let Some(heard) = agent.heard() {
            assert!(!matches!(heard, Heard::Closed(_)), "{heard:?}");
        }
        agent.lose().await;
    }
}

/// threat M, GRP-31: what goes with users and groups is no matter of those that stay, however many go at once.
#[tokio::test]
async fn threat_m_deleting_many_users_says_nothing_to_clients_that_stay() {
    let site = Site::still().await;
    let (mut agent, ..) = registered(&site).await;
    let mut users = Vec::new();
    for number in 0..100 {
        let body = object(json!({"username": format!("user{number}"), "public_display_name": "U"}));
        let create = user::Command::Record(domain::record::Command::Create(body));
        let done = site.run(Command::User(create)).await;
        users.extend(done.events.iter().find_map(|event| match event {
            domain::Event::User(id, _) => Some(*id),
            _ => None,
        }));
    }
    assert_eq!(users.len(), 100);
    for id in users {
        let delete = user::Command::Record(domain::record::Command::Delete(id));
        site.run(Command::User(delete)).await;
    }
    site.set(json!({"check_in_seconds": 61})).await;
    assert_eq!(settings(&mut agent).await.check_in_seconds, 61);
}
