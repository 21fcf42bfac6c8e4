//! Bad frames, floods and silence: each ends the link with the code that docs/client-link.md says, and loses nothing.

use std::time::Duration;

use connector::Incoming;
use link_protocol::{ClientFrame, RefusedCode, ServerFrame};
use tokio::time::advance;

use crate::played::{Heard, Played, registering, resuming};
use crate::site::{CLIENT, Site, add_anchor, started};

/// A heartbeat, and the millisecond by which tokio's timers are late.
const HEARTBEAT: Duration = Duration::from_millis(30_001);

fn text(text: &str) -> Incoming {
    Incoming::Text(text.to_owned())
}

fn bad_frames() -> Vec<(Incoming, u16)> {
    vec![
        (Incoming::Binary, 1003),
        (Incoming::TooBig, 1009),
        (text(&"x".repeat(65_537)), 1009),
        (text("nonsense"), 4400),
        (text("{}"), 4400),
        (text("[]"), 4400),
        (text(&"[".repeat(60_000)), 4400),
        (text(r#"{"type":"pong"}"#), 4400),
        (text(r#"{"type":"pong","nonce":-1}"#), 4400),
        (text(r#"{"type":"session_started","lsid":""}"#), 4400),
        (text(r#"{"type":"dance"}"#), 4404),
        (text(r#"{"type":"welcome"}"#), 4404),
        (
            text(&format!(
                r#"{{"type":"session_started","lsid":"{}"}}"#,
                "a".repeat(65)
            )),
            4413,
        ),
        (text(r#"{"type":"pong","nonce":9007199254740992}"#), 4413),
    ]
}

/// threat L
#[tokio::test]
async fn threat_l_a_bad_frame_ends_the_link_with_its_code_before_and_after_hello() {
    let site = Site::still().await;
    let mut boot = 0;
    for (bad, code) in bad_frames() {
        let mut stranger = Played::dial(&site.hub);
        stranger.say_raw(bad.clone()).await;
        assert_eq!(stranger.hear().await, Heard::Closed(code), "{bad:?}");

        boot += 1;
        let (mut agent, ..) = site.registered(boot).await;
        agent.say_raw(bad.clone()).await;
        assert_eq!(agent.hear().await, Heard::Closed(code), "{bad:?}");
        agent.served.await.expect("the link ends well");
    }
    assert_eq!(site.hub.connected(), 0);
    assert_eq!(
        site.events("JumpClientDisconnected").await.len(),
        usize::from(boot)
    );
}

#[tokio::test]
async fn hello_comes_first_and_once() {
    let site = Site::still().await;
    let mut agent = Played::dial(&site.hub);
    agent.say(ClientFrame::Pong { nonce: 1 }).await;
    assert_eq!(agent.hear().await, Heard::Closed(4405));

    let (installer, secret) = site.key();
    let hello = registering(1, (&installer, secret), 1);
    let (mut agent, _) = Played::welcomed(&site.hub, hello.clone()).await;
    agent.say(ClientFrame::Hello(Box::new(hello))).await;
    assert_eq!(agent.hear().await, Heard::Closed(4405));
}

/// threat M
#[tokio::test]
async fn threat_m_hello_has_10_s_whatever_else_comes() {
    let site = Site::still().await;
    let mut silent = Played::dial(&site.hub);
    let mut busy = Played::dial(&site.hub);
    tokio::task::yield_now().await;
    for _ in 0..9 {
        advance(Duration::from_secs(1)).await;
        busy.say_raw(Incoming::Control).await;
        tokio::task::yield_now().await;
    }
    assert_eq!((silent.heard(), busy.heard()), (None, None));
    advance(Duration::from_millis(1_001)).await;
    assert_eq!(silent.hear().await, Heard::Closed(4408));
    assert_eq!(busy.hear().await, Heard::Closed(4408));
}

/// threat L
#[tokio::test]
async fn threat_l_a_hundred_frames_in_ten_seconds_are_enough() {
    for flood in [
        Incoming::Control,
        text(r#"{"type":"anchors_stored","version":1}"#),
    ] {
        let site = Site::still().await;
        let (mut agent, ..) = site.registered(1).await;
        advance(Duration::from_secs(11)).await;
        for _ in 0..100 {
            agent.say_raw(flood.clone()).await;
        }
        settle().await;
        assert_eq!(agent.heard(), None);
        advance(Duration::from_secs(10)).await;
        for _ in 0..100 {
            agent.say_raw(flood.clone()).await;
        }
        settle().await;
        assert_eq!(agent.heard(), None);
        agent.say_raw(flood).await;
        assert_eq!(agent.hear().await, Heard::Closed(4429));
    }
    let site = Site::still().await;
    let mut stranger = Played::dial(&site.hub);
    for _ in 0..101 {
        stranger.say_raw(Incoming::Control).await;
    }
    assert_eq!(stranger.hear().await, Heard::Closed(4429));
}

/// threat L: the ten seconds are any ten seconds, not those of a clock that begins anew.
#[tokio::test]
async fn threat_l_frames_are_counted_over_any_ten_seconds_and_from_the_first_one_on() {
    let site = Site::still().await;
    let (mut agent, ..) = site.registered(1).await;
    advance(Duration::from_millis(10_200)).await;
    agent.say_raw(Incoming::Control).await;
    settle().await;
    advance(Duration::from_millis(9_700)).await;
    for _ in 0..99 {
        agent.say_raw(Incoming::Control).await;
    }
    settle().await;
    // The first one counts no more.
    advance(Duration::from_millis(400)).await;
    agent.say_raw(Incoming::Control).await;
    settle().await;
    assert_eq!(agent.heard(), None);
    agent.say_raw(Incoming::Control).await;
    assert_eq!(agent.hear().await, Heard::Closed(4429));

    // Nor does hello make up for what came before it.
    let (installer, secret) = site.key();
    let mut agent = Played::dial(&site.hub);
    for _ in 0..60 {
        agent.say_raw(Incoming::Control).await;
    }
    let hello = registering(2, (&installer, secret), 2);
    agent.say(ClientFrame::Hello(Box::new(hello))).await;
    agent.welcome().await;
    for _ in 0..39 {
        agent.say_raw(Incoming::Control).await;
    }
    settle().await;
    assert_eq!(agent.heard(), None);
    agent.say_raw(Incoming::Control).await;
    assert_eq!(agent.hear().await, Heard::Closed(4429));
}

/// threat L: bytes without frames are told of from below.
#[tokio::test]
async fn threat_l_many_bytes_and_no_frame_end_the_link_before_and_after_hello() {
    let site = Site::still().await;
    let mut stranger = Played::dial(&site.hub);
    stranger.say_raw(Incoming::TooMuch).await;
    assert_eq!(stranger.hear().await, Heard::Closed(4429));
    let (mut agent, ..) = site.registered(1).await;
    agent.say_raw(Incoming::TooMuch).await;
    assert_eq!(agent.hear().await, Heard::Closed(4429));
}

/// Lets the link hear what is on its way.
async fn settle() {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
}

/// CLNT-01, CLNT-11
#[tokio::test]
async fn a_ping_comes_every_heartbeat_and_wants_its_answer_in_5_s() {
    let site = Site::still().await;
    let (mut agent, ..) = site.registered(1).await;
    for _ in 0..3 {
        advance(HEARTBEAT).await;
        agent.answer_ping().await;
        settle().await;
    }
    advance(HEARTBEAT).await;
    assert!(matches!(agent.frame().await, ServerFrame::Ping { .. }));
    advance(Duration::from_millis(4_900)).await;
    settle().await;
    assert_eq!(agent.heard(), None);
    // An answer to no question is none.
    agent.say(ClientFrame::Pong { nonce: 12_345 }).await;
    advance(Duration::from_millis(200)).await;
    assert_eq!(agent.hear().await, Heard::Closed(4408));
    agent.served.await.expect("the link ends well");
    assert!(!site.is_online());
}

#[tokio::test]
async fn without_a_version_in_common_nobody_is_let_in() {
    let site = Site::still().await;
    let (installer, secret) = site.key();
    let mut hello = registering(1, (&installer, secret), 1);
    hello.protocols = vec![7, 8];
    let refused = Played::hello(&site.hub, hello).await.refused().await;
    assert_eq!(
        (refused.code, refused.is_final),
        (RefusedCode::ProtocolNotSupported, false)
    );
}

/// threat L
#[tokio::test]
async fn threat_l_an_agent_that_does_not_read_is_cut_off_and_misses_nothing() {
    let site = Site::still().await;
    let (agent, _, token) = site.registered(1).await;
    agent.lose().await;
    // It takes one frame and no more.
    let mut slow = Played::dial_with(&site.hub, 1);
    let hello = resuming(1, 1, &token);
    slow.say(ClientFrame::Hello(Box::new(hello))).await;
    slow.welcome().await;
    // What it is to hear of sessions piles up.
    for _ in 0..40 {
        site.end_session(site.start_session(CLIENT).await).await;
    }
    let lsid = site.start_session(CLIENT).await;
    assert_eq!(slow.closed().await, 4408);
    slow.lose().await;
    site.until_offline().await;

    let hello = resuming(1, 1, &token);
    let (mut agent, _) = Played::welcomed(&site.hub, hello).await;
    assert_eq!(started(agent.frame().await), lsid.to_string());
}

/// threat L
#[tokio::test]
async fn threat_l_a_socket_that_takes_nothing_is_given_up_after_a_while() {
    let site = Site::still().await;
    let (agent, _, token) = site.registered(1).await;
    agent.lose().await;
    let stuck = Played::dial_with(&site.hub, 1);
    let hello = resuming(1, 1, &token);
    stuck.say(ClientFrame::Hello(Box::new(hello))).await;
    site.until(|world| world.is_online(world.jump_clients.get(&CLIENT).expect("there")))
        .await;
    settle().await;
    site.run(add_anchor(2)).await;
    settle().await;
    // Sending is given up, then the close.
    advance(Duration::from_millis(10_001)).await;
    settle().await;
    advance(Duration::from_millis(5_001)).await;
    stuck.served.await.expect("the link ends well");
    assert!(!site.is_online());
}
