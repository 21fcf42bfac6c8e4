//! Passive clients are called at the addresses they are known by, over real sockets.

use domain::fleet::installer::JumpClientInstaller;
use domain::fleet::jump_client;
use domain::ids::JumpClientId;
use domain::record;
use domain::{Command, Event};
use link_protocol::{ClientFrame, Facts, ServerFrame};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use crate::played::{Played, registering, resuming};
use crate::site::{INSTALLER, SECRET, Site, object};

/// A site with a passive client that says that it listens on `port` of this machine, and has left.
async fn with_passive(site: &Site, port: u16) -> (JumpClientId, link_protocol::Secret) {
    site.set(json!({"outbound_networks": ["127.0.0.0/8"]}))
        .await;
    let world = &site.engine.published().world;
    let known = world.installers.get(&INSTALLER).expect("an installer");
    let hash = known.secret_hash.clone().expect("its secret");
    let body = json!({
        "jump_group_id": 1, "connection_type": "passive", "secret_hash": hash.0,
    });
    let create = record::Command::<JumpClientInstaller>::Create(object(body));
    let done = site.run(Command::JumpClientInstaller(create)).await;
    let uid = done.events.iter().find_map(|event| match event {
        Event::JumpClientInstaller(_, record::Event::Created(installer)) => {
            Some(installer.installer_id.clone())
        }
        _ => None,
    });
    let uid = uid.expect("an installer");
    let mut hello = registering(1, (&uid, SECRET), 1);
    hello.protocols = vec![2];
    hello.facts = Facts {
        private_ip: Some("127.0.0.1".to_owned()),
        listen_port: Some(port),
        ..Facts::default()
    };
    let (mut agent, welcome) = Played::welcomed(&site.hub, hello).await;
    match agent.frame().await {
        ServerFrame::Settings(settings) => assert!(settings.passive),
        other => panic!("settings were expected, not {other:?}"),
    }
    agent.say(ClientFrame::TokenStored {}).await;
    agent.say(ClientFrame::Goodbye {}).await;
    assert_eq!(agent.closed().await, 1000);
    agent.served.await.expect("the link ends well");
    let id = JumpClientId(u32::try_from(welcome.client_id).expect("small"));
    (id, welcome.token.expect("a token"))
}

/// Answers one call with this line, and gives what was said.
async fn answer(listener: &TcpListener, line: &str) -> String {
    let (mut stream, _) = listener.accept().await.expect("a call");
    let (read, mut write) = stream.split();
    let mut call = String::new();
    let mut read = BufReader::new(read);
    read.read_line(&mut call).await.expect("a line");
    write.write_all(line.as_bytes()).await.expect("heard");
    call
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

/// CLNT-02, SESS-27
#[tokio::test]
async fn a_passive_client_is_called_comes_and_brings_the_session_up() {
    let site = Site::still().await;
    let (listener, port) = listener().await;
    let (client, token) = with_passive(&site, port).await;
    let lsid = site.start_session(client).await;
    let line = format!("{{\"client_id\":{client},\"coming\":true}}\n");
    let call = answer(&listener, &line).await;
    assert_eq!(call, format!("{{\"call\":{client}}}\n"));
    let (mut agent, _) =
        Played::welcomed(&site.hub, resuming(1, u64::from(client.0), &token)).await;
    match agent.frame().await {
        ServerFrame::StartSession(start) => assert_eq!(start.lsid, lsid.to_string()),
        other => panic!("a session was to start, not {other:?}"),
    }
    agent
        .say(ClientFrame::SessionStarted {
            lsid: lsid.to_string(),
        })
        .await;
    site.until_established(lsid).await;
}

/// CLNT-48: a client whose connection type is changed hears of it at once.
#[tokio::test]
async fn clnt_48_a_connected_client_is_told_that_it_is_passive_now() {
    let site = Site::still().await;
    let world = &site.engine.published().world;
    let known = world.installers.get(&INSTALLER).expect("an installer");
    let uid = known.installer_id.clone();
    let mut hello = registering(1, (&uid, SECRET), 1);
    hello.protocols = vec![2];
    let (mut agent, welcome) = Played::welcomed(&site.hub, hello).await;
    let id = JumpClientId(u32::try_from(welcome.client_id).expect("small"));
    for (connection_type, passive) in [("", false), ("passive", true), ("active", false)] {
        if !connection_type.is_empty() {
            let body = object(json!({"connection_type": connection_type}));
            let edit = jump_client::Command::Edit(id, body);
            site.run(Command::JumpClient(edit)).await;
        }
        match agent.frame().await {
            ServerFrame::Settings(settings) => assert_eq!(settings.passive, passive),
            other => panic!("settings were expected, not {other:?}"),
        }
    }
}

/// ERR-13, ERR-14, SESS-27
#[tokio::test]
async fn where_nobody_or_somebody_else_answers_the_start_fails_with_the_reason() {
    for (line, failure) in [
        ("{\"client_id\":77,\"coming\":false}\n", "identity"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "identity"),
        ("", "not_reached"),
    ] {
        let site = Site::still().await;
        let (listener, port) = listener().await;
        let (client, _) = with_passive(&site, port).await;
        // Nobody is there any more.
        let listener = Some(listener).filter(|_| !line.is_empty());
        let lsid = site.start_session(client).await;
        if let Some(listener) = &listener {
            answer(listener, line).await;
        }
        let (name, event) = site.until_over(lsid).await;
        assert_eq!(name, "AccessSessionFailed");
        assert_eq!(event["failure"], failure, "{event}");
        let detail = event["detail"].as_str().expect("a detail");
        assert!(detail.contains("127.0.0.1: "), "{detail}");
        // threat U: the address it came from is not one that the site may send anything to.
        assert!(detail.contains("192.0.2.1: "), "{detail}");
    }
}

/// threat U: what a client says of its address opens no way inside.
#[tokio::test]
async fn threat_u_a_client_is_not_called_where_the_site_may_not_send() {
    let site = Site::still().await;
    let (listener, port) = listener().await;
    let (client, _) = with_passive(&site, port).await;
    site.set(json!({"outbound_networks": []})).await;
    let lsid = site.start_session(client).await;
    let (_, event) = site.until_over(lsid).await;
    assert_eq!(event["failure"], "not_reached");
    let nobody = tokio::select! {
        biased;
        _ = listener.accept() => false,
        () = std::future::ready(()) => true,
    };
    assert!(nobody);
}

/// CLNT-02, CLNT-14, CLNT-32: a passive client is away between its check-ins, and never for so long that it would be deleted.
#[tokio::test]
async fn a_passive_client_checks_in_twice_before_it_would_be_deleted() {
    let site = Site::still().await;
    let (client, token) = with_passive(&site, 5_832).await;
    for (minutes, seconds) in [(5, 150), (60, 1_800), (180, 3_600)] {
        let body = object(json!({"max_offline_minutes": minutes}));
        site.run(Command::JumpClient(jump_client::Command::Change(
            client, body,
        )))
        .await;
        let mut hello = resuming(1, u64::from(client.0), &token);
        hello.protocols = vec![2];
        let (mut agent, welcome) = Played::welcomed(&site.hub, hello).await;
        let ServerFrame::Settings(settings) = agent.frame().await else {
            panic!("settings were expected")
        };
        assert_eq!(settings.remove_after_minutes, minutes);
        assert_eq!(
            (welcome.check_in_seconds, settings.check_in_seconds),
            (seconds, seconds)
        );
        agent.lose().await;
    }
}
