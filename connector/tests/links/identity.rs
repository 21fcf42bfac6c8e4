//! Registration and resumption: who is let in, as whom, and what becomes of tokens.

use domain::fleet::jump_client::{self, Presence};
use domain::{Command, time};
use link_protocol::{ClientFrame, Overrides, RefusedCode, Secret, ServerFrame};
use serde_json::json;

use crate::played::{Played, registering, resuming, with_overrides};
use crate::site::{CLIENT, INSTALLER, Site, anchors, delete_client, delete_installer};

/// CLNT-01, CLNT-04, INST-02
#[tokio::test]
async fn a_machine_with_an_installers_key_becomes_a_client_with_the_installers_values() {
    let site = Site::still().await;
    let (installer, secret) = site.key();
    let (agent, welcome) =
        Played::welcomed(&site.hub, registering(1, (&installer, secret), 1)).await;

    assert_eq!((welcome.protocol, welcome.client_id), (1, 1));
    assert_eq!(
        (welcome.heartbeat_seconds, welcome.check_in_seconds),
        (30, 3_600)
    );
    assert!(welcome.check_in_now);
    assert_eq!(welcome.anchors, anchors(1));
    assert_eq!(welcome.site_time_ms, 1_767_603_600_000);
    assert!(welcome.token.is_some());

    assert!(site.is_online());
    let client = site.client();
    assert_eq!(client.installer, INSTALLER);
    assert_eq!(client.properties.name, "web-1");
    assert_eq!(
        (
            client.properties.jump_group_id,
            client.properties.tag.as_str()
        ),
        (1, "web")
    );
    assert_eq!(client.properties.comments, "made by the tests");
    assert_eq!(client.facts.hostname, "web-1");
    assert_eq!(client.facts.agent_version, "0.1.0");
    assert_eq!(client.public_ip, "192.0.2.1:50000");

    assert!(client.attempt.is_some());
    agent.say(ClientFrame::TokenStored {}).await;
    site.until(|world| {
        let client = world.jump_clients.get(&CLIENT).expect("there");
        client.attempt.is_none()
    })
    .await;
    assert_eq!(site.hub.connected(), 1);
}

/// CLNT-30
#[tokio::test]
async fn a_client_comes_back_with_its_token_as_who_it_was() {
    let site = Site::still().await;
    let (agent, _, token) = site.registered(1).await;
    agent.lose().await;
    site.until_offline().await;

    let (_agent, welcome) = Played::welcomed(&site.hub, resuming(1, 1, &token)).await;
    assert_eq!((welcome.client_id, welcome.token), (1, None));
    assert!(site.is_online());
}

/// CLNT-30, INST-13, threat E
#[tokio::test]
async fn who_proves_nothing_is_refused_counted_and_leaves_nothing_in_the_log() {
    let site = Site::still().await;
    let (agent, ..) = site.registered(1).await;
    agent.lose().await;
    let (installer, secret) = site.key();
    let wrong = Secret::new("wrong-token-wrong-token-wrong-token-wrong-t");
    let unknown = "0".repeat(32);
    let before = site.engine.published().tail.position;
    let no_installer = "The installer is not valid.";
    let failed = "The Jump Client identification check failed. This may indicate that a new system has obtained the \
                  network address of the Jump Client you are attempting to access.";
    let cases = [
        (
            registering(2, (&unknown, secret), 2),
            RefusedCode::InstallerNotValid,
            no_installer,
        ),
        (
            registering(2, (&installer, wrong.expose()), 2),
            RefusedCode::InstallerNotValid,
            no_installer,
        ),
        (
            resuming(2, 1, &wrong),
            RefusedCode::IdentityNotValid,
            failed,
        ),
        (
            resuming(2, 77, &wrong),
            RefusedCode::IdentityNotValid,
            failed,
        ),
        (
            resuming(2, (1 << 32) + 1, &wrong),
            RefusedCode::IdentityNotValid,
            failed,
        ),
    ];
    let mut messages = Vec::new();
    for (hello, code, message) in cases {
        let refused = Played::hello(&site.hub, hello).await.refused().await;
        assert_eq!(refused.code, code);
        assert!(refused.is_final);
        assert_eq!(refused.message, message);
        messages.push(refused.message);
    }
    assert_eq!(site.strangers.messages(), messages);
    assert_eq!(site.engine.published().tail.position, before);
}

/// INST-13
#[tokio::test]
async fn a_deleted_installer_brings_nobody_and_takes_nobody_away() {
    let site = Site::still().await;
    let (agent, _, token) = site.registered(1).await;
    let (installer, secret) = site.key();
    site.run(delete_installer()).await;

    let hello = registering(2, (&installer, secret), 2);
    let refused = Played::hello(&site.hub, hello).await.refused().await;
    assert_eq!(
        (refused.code, refused.message.as_str(), refused.is_final),
        (
            RefusedCode::InstallerNotValid,
            "The installer is not valid.",
            true
        )
    );
    agent.lose().await;
    Played::welcomed(&site.hub, resuming(1, 1, &token)).await;
}

/// INST-04, INST-07
#[tokio::test]
async fn an_expired_installer_brings_nobody_and_takes_nobody_away() {
    let site = Site::still().await;
    let (agent, _, token) = site.registered(1).await;
    let (installer, secret) = site.key();

    // Valid for 60 minutes, the last microsecond included.
    site.clock.leap(60 * time::MINUTE - 1);
    Played::welcomed(&site.hub, registering(2, (&installer, secret), 2)).await;
    site.clock.leap(1);
    let hello = registering(3, (&installer, secret), 3);
    let refused = Played::hello(&site.hub, hello).await.refused().await;
    assert_eq!(
        (refused.code, refused.message.as_str(), refused.is_final),
        (
            RefusedCode::InstallerNotValid,
            "The installer has expired.",
            true
        )
    );
    agent.lose().await;
    Played::welcomed(&site.hub, resuming(1, 1, &token)).await;
}

/// INST-23, INST-26, INST-33
#[tokio::test]
async fn an_override_that_the_installer_does_not_allow_fails_the_whole_registration() {
    let site = Site::still().await;
    let (installer, secret) = site.key();
    let text = |text: &str| Some(text.to_owned());
    let name = Overrides {
        name: text("Web 1"),
        ..Overrides::default()
    };
    // what is passed, what the message names
    let refused = [
        (
            Overrides {
                tag: text("db"),
                ..name.clone()
            },
            "tag",
        ),
        (
            Overrides {
                comments: text("x"),
                ..Overrides::default()
            },
            "comments",
        ),
        (
            Overrides {
                jump_group: text("jumpgroup:servers"),
                ..Overrides::default()
            },
            "Jump Group",
        ),
        (
            Overrides {
                jump_policy: text("p"),
                ..Overrides::default()
            },
            "Jump Policy",
        ),
        (
            Overrides {
                session_policy: text("p"),
                ..Overrides::default()
            },
            "session policy",
        ),
        (
            Overrides {
                max_offline_minutes: Some(5),
                ..Overrides::default()
            },
            "maximum offline minutes",
        ),
    ];
    for (overrides, field) in refused {
        let hello = with_overrides(registering(1, (&installer, secret), 1), overrides);
        let refused = Played::hello(&site.hub, hello).await.refused().await;
        assert_eq!(refused.code, RefusedCode::OverrideNotAllowed);
        assert!(refused.is_final);
        assert_eq!(
            refused.message,
            format!("The installer does not allow the {field} to be overridden.")
        );
    }
    assert!(
        site.engine
            .published()
            .world
            .jump_clients
            .iter()
            .next()
            .is_none()
    );

    let hello = with_overrides(registering(1, (&installer, secret), 1), name);
    Played::welcomed(&site.hub, hello).await;
    assert_eq!(site.client().properties.name, "Web 1");
}

/// CLNT-04, INST-06
#[tokio::test]
async fn a_registration_that_is_repeated_after_a_lost_welcome_is_the_same_client() {
    let site = Site::still().await;
    let (installer, secret) = site.key();
    let hello = registering(1, (&installer, secret), 9);
    let (first, lost) = Played::welcomed(&site.hub, hello.clone()).await;
    first.lose().await;

    // Also when the installer has expired meanwhile: the machine came in time.
    site.clock.leap(time::DAY);
    let (agent, welcome) = Played::welcomed(&site.hub, hello).await;
    assert_eq!(welcome.client_id, lost.client_id);
    assert!(welcome.token.is_some() && welcome.token != lost.token);
    agent.say(ClientFrame::TokenStored {}).await;
    site.until(|world| {
        let client = world.jump_clients.get(&CLIENT).expect("there");
        client.attempt.is_none()
    })
    .await;
    assert_eq!(site.engine.published().world.jump_clients.iter().count(), 1);
}

/// CLNT-30
#[tokio::test]
async fn a_welcome_that_was_stored_but_not_confirmed_is_proof_enough() {
    let site = Site::still().await;
    let (installer, secret) = site.key();
    let hello = registering(1, (&installer, secret), 9);
    let (agent, welcome) = Played::welcomed(&site.hub, hello).await;
    agent.lose().await;

    let token = welcome.token.expect("a token");
    Played::welcomed(&site.hub, resuming(2, 1, &token)).await;
    assert!(site.client().attempt.is_none());
}

/// CLNT-30
#[tokio::test]
async fn a_void_token_that_is_shown_again_puts_the_identity_in_quarantine() {
    let site = Site::still().await;
    let (installer, secret) = site.key();
    let hello = registering(1, (&installer, secret), 9);
    let (first, lost) = Played::welcomed(&site.hub, hello.clone()).await;
    first.lose().await;
    let (mut agent, welcome) = Played::welcomed(&site.hub, hello).await;
    agent.say(ClientFrame::TokenStored {}).await;
    site.until(|world| {
        let client = world.jump_clients.get(&CLIENT).expect("there");
        client.previous_token.is_some()
    })
    .await;

    let void = lost.token.expect("a token");
    let mut copy = Played::hello(&site.hub, resuming(5, 1, &void)).await;
    for refused in [copy.refused().await, agent.refused().await] {
        assert_eq!(
            (refused.code, refused.is_final),
            (RefusedCode::Quarantined, true)
        );
    }
    let evidence = site.events("JumpClientQuarantined").await;
    assert_eq!(evidence.len(), 1);
    // Nor is the token that is good let in any more.
    let good = welcome.token.expect("a token");
    let refused = Played::hello(&site.hub, resuming(1, 1, &good))
        .await
        .refused()
        .await;
    assert_eq!(refused.code, RefusedCode::Quarantined);
    agent.served.await.expect("the link ends well");
    site.until_offline().await;
}

/// CLNT-30
#[tokio::test]
async fn an_old_token_is_renewed_when_a_client_connects() {
    let site = Site::still().await;
    let (agent, _, old) = site.registered(1).await;
    agent.lose().await;
    site.clock.leap(30 * time::DAY - 1);
    let (agent, welcome) = Played::welcomed(&site.hub, resuming(1, 1, &old)).await;
    assert_eq!(welcome.token, None);
    agent.lose().await;

    site.clock.leap(1);
    let (agent, welcome) = Played::welcomed(&site.hub, resuming(1, 1, &old)).await;
    let lost = welcome.token.expect("a new token");
    agent.lose().await;
    // It was not stored, so the old one still counts, and another one is offered.
    let (agent, welcome) = Played::welcomed(&site.hub, resuming(1, 1, &old)).await;
    let new = welcome.token.expect("a new token");
    assert!(new != lost && new != old);
    agent.lose().await;
    // Showing the new one confirms it, and voids the old one.
    let (_agent, welcome) = Played::welcomed(&site.hub, resuming(1, 1, &new)).await;
    assert_eq!(welcome.token, None);
    let refused = Played::hello(&site.hub, resuming(1, 1, &old))
        .await
        .refused()
        .await;
    assert_eq!(refused.code, RefusedCode::Quarantined);
}

/// CLNT-30
#[tokio::test]
async fn an_old_token_is_renewed_on_a_link_that_lasts() {
    let site = Site::still().await;
    let (mut agent, _, old) = site.registered(1).await;
    site.clock.leap(30 * time::DAY);
    agent.check_in(1, link_protocol::Facts::default()).await;
    let ServerFrame::RotateToken { token } = agent.frame().await else {
        panic!("a new token was expected")
    };
    assert_ne!(token, old);
    // One at a time.
    agent.check_in(2, link_protocol::Facts::default()).await;
    agent.say(ClientFrame::TokenStored {}).await;
    site.until(|world| {
        let client = world.jump_clients.get(&CLIENT).expect("there");
        client.previous_token.is_some()
    })
    .await;
    assert_eq!(site.events("JumpClientTokenOffered").await.len(), 1);
    agent.lose().await;
    Played::welcomed(&site.hub, resuming(1, 1, &token)).await;
}

/// CLNT-30: what is confirmed and was not handed out last ends the link, and is no proof.
#[tokio::test]
async fn a_confirmation_that_comes_too_late_ends_the_link_and_not_the_client() {
    let site = Site::still().await;
    let (mut agent, _, token) = site.registered(1).await;
    site.clock.leap(30 * time::DAY);
    agent.check_in(1, link_protocol::Facts::default()).await;
    assert!(matches!(
        agent.frame().await,
        ServerFrame::RotateToken { .. }
    ));
    // Another is handed out where this one's link was thought to be gone.
    let shown = site.client().token;
    let other = domain::ids::KeyedHash("another".to_owned());
    site.run(Command::JumpClient(jump_client::Command::OfferToken {
        client: CLIENT,
        offer: jump_client::Offer::AtResume { shown },
        token: other.clone(),
    }))
    .await;
    agent.say(ClientFrame::TokenStored {}).await;
    agent.told_later().await;
    agent.lose().await;
    assert_eq!(site.client().offered_token, Some(other));
    // What it still shows is what it is.
    let (_agent, welcome) = Played::welcomed(&site.hub, resuming(1, 1, &token)).await;
    assert!(welcome.token.is_some());
}

/// CLNT-30, threat T: a link that was given up hands nothing out any more.
#[tokio::test]
async fn a_superseded_link_hands_out_no_token_in_place_of_the_newest() {
    let site = Site::still().await;
    let (first, _, token) = site.registered(1).await;
    site.clock.leap(30 * time::DAY);
    let before = site.client().presence;
    let (agent, welcome) = Played::welcomed(&site.hub, resuming(1, 1, &token)).await;
    let newest = welcome.token.expect("a new token");
    let offered = site.client().offered_token;
    let Presence::Connected(link) = before else {
        panic!("{before:?}")
    };
    // What waited for the log on the first link comes now.
    site.run(Command::JumpClient(jump_client::Command::OfferToken {
        client: CLIENT,
        offer: jump_client::Offer::OnLink(link),
        token: domain::ids::KeyedHash("late".to_owned()),
    }))
    .await;
    assert_eq!(site.client().offered_token, offered);
    agent.say(ClientFrame::TokenStored {}).await;
    site.until(|world| {
        let client = world.jump_clients.get(&CLIENT).expect("there");
        client.previous_token.is_some()
    })
    .await;
    drop(first);
    agent.lose().await;
    Played::welcomed(&site.hub, resuming(1, 1, &newest)).await;
}

/// CLNT-60
#[tokio::test]
async fn a_client_that_was_removed_while_offline_learns_of_it_when_it_is_back() {
    let site = Site::still().await;
    let (agent, _, token) = site.registered(1).await;
    agent.lose().await;
    site.run(delete_client(CLIENT)).await;
    let refused = Played::hello(&site.hub, resuming(1, 1, &token))
        .await
        .refused()
        .await;
    assert_eq!(
        (refused.code, refused.is_final),
        (RefusedCode::ClientRemoved, true)
    );
}

/// threat M: whether a client of that id is there, was there, or never was.
#[tokio::test]
async fn threat_m_a_stranger_does_not_learn_which_clients_there_were() {
    let site = Site::still().await;
    let (agent, ..) = site.registered(1).await;
    agent.lose().await;
    let (agent, ..) = site.registered(2).await;
    agent.lose().await;
    site.run(delete_client(CLIENT)).await;
    let guess = Secret::new("a".repeat(43));
    let mut answers = Vec::new();
    for client in [1, 2, 3] {
        let hello = resuming(1, client, &guess);
        let refused = Played::hello(&site.hub, hello).await.refused().await;
        answers.push((refused.code, refused.message));
    }
    assert_eq!(answers[0].0, RefusedCode::IdentityNotValid);
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
}

/// CLNT-36, threat M
#[tokio::test]
async fn more_clients_than_the_connection_rate_wait_or_are_told_to_come_later_and_strangers_use_nothing_up()
 {
    let site = Site::still().await;
    let mut tokens = Vec::new();
    for number in 1..=7 {
        let (agent, _, token) = site.registered(number).await;
        agent.lose().await;
        tokens.push(token);
    }
    site.set(json!({"connection_rate": 1})).await;
    tokio::time::advance(std::time::Duration::from_secs(10)).await;

    let wrong = Secret::new("wrong-token-wrong-token-wrong-token-wrong-t");
    for _ in 0..3 {
        let hello = resuming(2, 1, &wrong);
        let mut stranger = Played::hello(&site.hub, hello).await;
        stranger.refused().await;
        assert!(!stranger.is_authenticated());
    }
    let mut agents = Vec::new();
    for (number, token) in (1..=7).zip(&tokens) {
        let hello = resuming(number, u64::from(number), token);
        agents.push(Played::hello(&site.hub, hello).await);
        // Places are taken in the order in which they are asked for.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
    let mut last = agents.pop().expect("seven");
    // Its place is in six seconds; on average it comes five quarters of the pause later, half a queue before that.
    assert_eq!(last.told_later().await, 2_800);
    // The first comes in at once, the others one a second.
    for place in 0..agents.len() {
        agents[place].welcome().await;
        if let Some(next) = agents.get_mut(place + 1) {
            assert_eq!(next.heard(), None, "{place}");
            // It waits as one who is known, so no stranger takes its connection.
            assert!(next.is_authenticated(), "{place}");
        }
        // Timers ring at the end of a millisecond.
        tokio::time::advance(std::time::Duration::from_millis(1_001)).await;
    }
}

/// CLNT-36, threat M: one identity has one place, on the link that said hello last, and comes in only so often.
#[tokio::test]
async fn threat_m_one_identity_takes_one_place_on_its_newest_link() {
    let site = Site::still().await;
    let (first, _, token) = site.registered(1).await;
    let (second, _, other) = site.registered(2).await;
    first.lose().await;
    second.lose().await;
    site.set(json!({"connection_rate": 1})).await;
    tokio::time::advance(std::time::Duration::from_secs(10)).await;
    let (agent, _) = Played::welcomed(&site.hub, resuming(1, 1, &token)).await;
    agent.lose().await;
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(Played::hello(&site.hub, resuming(1, 1, &token)).await);
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }
    let mut newest = held.pop().expect("twenty");
    for mut older in held {
        assert_eq!(older.closed().await, 4409);
    }
    // The place behind it is the next one's.
    let mut next = Played::hello(&site.hub, resuming(2, 2, &other)).await;
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    tokio::time::advance(std::time::Duration::from_millis(1_001)).await;
    newest.welcome().await;
    assert_eq!(next.heard(), None);
    tokio::time::advance(std::time::Duration::from_millis(1_001)).await;
    next.welcome().await;
    newest.lose().await;

    site.set(json!({"connection_rate": 1_000})).await;
    let told = loop {
        let hello = resuming(1, 1, &token);
        let mut agent = Played::hello(&site.hub, hello).await;
        match agent.frame().await {
            ServerFrame::Welcome(_) => agent.lose().await,
            ServerFrame::RetryLater { after_ms } => break after_ms,
            other => panic!("{other:?}"),
        }
    };
    assert!((5_000..60_000).contains(&told), "{told}");
}

/// LIM-04, CLNT-36: machines that wait until there is room take no places from those that have theirs.
#[tokio::test]
async fn who_finds_no_room_takes_no_place() {
    let site = Site::still().await;
    let (agent, _, token) = site.registered(1).await;
    agent.lose().await;
    site.set(json!({"jump_clients_max": 1, "connection_rate": 1}))
        .await;
    tokio::time::advance(std::time::Duration::from_secs(10)).await;
    let (installer, secret) = site.key();
    for number in 2..12 {
        let hello = registering(number, (&installer, secret), number);
        let refused = Played::hello(&site.hub, hello).await.refused().await;
        assert_eq!(refused.code, RefusedCode::CapacityReached);
        assert!(!refused.is_final);
    }
    // At once, and not in ten seconds.
    let mut agent = Played::hello(&site.hub, resuming(1, 1, &token)).await;
    assert_eq!(agent.welcome().await.client_id, 1);
}
