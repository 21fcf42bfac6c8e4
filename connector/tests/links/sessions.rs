//! Sessions as an agent lives them: told by the log, reported back to it.

use domain::fleet::jump_client;
use domain::ids::JumpClientId;
use domain::site::user;
use domain::{Command, record, time};
use engine::ExecuteError;
use link_protocol::{ClientFrame, Facts, RefusedCode, SessionEndReason, SessionFailReason};
use serde_json::json;
use tokio::sync::watch;

use crate::played::{Played, keeping, resuming};
use crate::site::{
    ADMINISTRATOR, CLIENT, Site, delete_client, delete_group, ended, object, start_session, started,
};

fn up(lsid: &str) -> ClientFrame {
    ClientFrame::SessionStarted {
        lsid: lsid.to_owned(),
    }
}

fn over(lsid: &str, reason: SessionEndReason) -> ClientFrame {
    ClientFrame::SessionEnded {
        lsid: lsid.to_owned(),
        reason,
    }
}

/// SESS-19, SESS-20
#[tokio::test]
async fn a_jump_reaches_the_agent_and_its_end_too() {
    let site = Site::still().await;
    let (mut agent, ..) = site.registered(1).await;
    let lsid = site.start_session(CLIENT).await;
    assert_eq!(started(agent.frame().await), lsid.to_string());
    agent.say(up(&lsid.to_string())).await;
    site.until_established(lsid).await;

    site.end_session(lsid).await;
    let (told, reason) = ended(agent.frame().await);
    assert_eq!(
        (told, reason.as_str()),
        (lsid.to_string(), "The user ended the session.")
    );
    agent
        .say(over(&lsid.to_string(), SessionEndReason::Asked))
        .await;
    assert_eq!(
        site.until_over(lsid).await,
        ("AccessSessionEnded".to_owned(), json!({"reason": "owner"}))
    );
}

/// ERR-10
#[tokio::test]
async fn an_agent_that_can_not_start_a_session_says_so_and_why() {
    let site = Site::still().await;
    let (mut agent, ..) = site.registered(1).await;
    let lsid = site.start_session(CLIENT).await;
    let told = started(agent.frame().await);
    agent
        .say(ClientFrame::SessionFailed {
            lsid: told,
            reason: SessionFailReason::Internal,
            detail: "no shell".to_owned(),
        })
        .await;
    assert_eq!(
        site.until_over(lsid).await,
        (
            "AccessSessionFailed".to_owned(),
            json!({"failure": "agent", "detail": "internal: no shell"})
        )
    );
    let (_, reason) = ended(agent.frame().await);
    assert_eq!(
        reason,
        "An internal error occurred while spawning the access session."
    );
}

#[tokio::test]
async fn a_session_can_end_at_the_endpoint() {
    for (reason, detail) in [
        (SessionEndReason::EndedAtEndpoint, "ended_at_endpoint"),
        (SessionEndReason::Stopping, "stopping"),
        // Nobody asked: what counts is that the agent has it no more.
        (SessionEndReason::Asked, "asked"),
    ] {
        let site = Site::still().await;
        let (mut agent, ..) = site.registered(1).await;
        let lsid = site.start_session(CLIENT).await;
        let told = started(agent.frame().await);
        // Said in one breath: the order counts.
        agent.say(up(&told)).await;
        agent.say(over(&told, reason)).await;
        assert_eq!(
            site.until_over(lsid).await,
            (
                "AccessSessionEnded".to_owned(),
                json!({"reason": "endpoint", "detail": detail})
            )
        );
    }
}

#[tokio::test]
async fn what_was_said_before_goodbye_is_written_before_the_client_is_offline() {
    let site = Site::still().await;
    let (mut agent, ..) = site.registered(1).await;
    let lsid = site.start_session(CLIENT).await;
    let told = started(agent.frame().await);
    agent.say(up(&told)).await;
    agent.say(over(&told, SessionEndReason::Stopping)).await;
    agent.say(ClientFrame::Goodbye {}).await;
    assert_eq!(agent.closed().await, 1000);
    agent.served.await.expect("the link ends well");
    let positions: Vec<u64> = positions(
        &site,
        [
            "AccessSessionEstablished",
            "AccessSessionEnded",
            "JumpClientDisconnected",
        ],
    )
    .await;
    assert!(positions.is_sorted(), "{positions:?}");
    assert!(site.until_over(lsid).await.1["reason"] == "endpoint");
}

/// The position of the only event of each type.
async fn positions(site: &Site, types: [&str; 3]) -> Vec<u64> {
    let mut positions = Vec::new();
    for event_type in types {
        let events = site.events(event_type).await;
        assert_eq!(events.len(), 1, "{event_type}");
        positions.push(events[0].position);
    }
    positions
}

#[tokio::test]
async fn a_session_outlives_a_lost_connection_if_the_agent_kept_it() {
    let site = Site::still().await;
    let (mut agent, _, token) = site.registered(1).await;
    let lsid = site.start_session(CLIENT).await;
    let told = started(agent.frame().await);
    agent.say(up(&told)).await;
    site.until_established(lsid).await;
    agent.lose().await;
    site.until_offline().await;

    let hello = keeping(resuming(1, 1, &token), &[told]);
    let (mut agent, _) = Played::welcomed(&site.hub, hello).await;
    site.end_session(lsid).await;
    // Nothing was said of the session before.
    let (_, reason) = ended(agent.frame().await);
    assert_eq!(reason, "The user ended the session.");
}

#[tokio::test]
async fn a_session_that_the_agent_lost_is_over_when_it_is_back() {
    let site = Site::still().await;
    let (mut agent, _, token) = site.registered(1).await;
    let lsid = site.start_session(CLIENT).await;
    let told = started(agent.frame().await);
    agent.say(up(&told)).await;
    site.until_established(lsid).await;
    agent.lose().await;

    let (_agent, _) = Played::welcomed(&site.hub, resuming(2, 1, &token)).await;
    assert_eq!(
        site.until_over(lsid).await,
        (
            "AccessSessionEnded".to_owned(),
            json!({"reason": "endpoint", "detail": "unknown_session"})
        )
    );
}

#[tokio::test]
async fn threat_q_sessions_that_ended_while_the_agent_was_away_are_ended_there_too() {
    let site = Site::still().await;
    let (mut agent, _, token) = site.registered(1).await;
    let lsid = site.start_session(CLIENT).await;
    let told = started(agent.frame().await);
    agent.say(up(&told)).await;
    site.until_established(lsid).await;
    agent.lose().await;
    site.end_session(lsid).await;

    let kept = [told.clone(), "not-one-of-ours".to_owned()];
    let hello = keeping(resuming(1, 1, &token), &kept);
    let (mut agent, _) = Played::welcomed(&site.hub, hello).await;
    for lsid in kept {
        let over = "The session is over.".to_owned();
        assert_eq!(ended(agent.frame().await), (lsid, over));
    }
}

/// ERR-11
#[tokio::test]
async fn a_start_that_was_not_answered_is_told_again_and_the_word_of_a_kept_one_is_asked_again() {
    let site = Site::still().await;
    let (mut agent, _, token) = site.registered(1).await;
    let lsid = site.start_session(CLIENT).await;
    let told = started(agent.frame().await);
    agent.lose().await;
    for kept in [vec![], vec![told.clone()]] {
        let hello = keeping(resuming(1, 1, &token), &kept);
        let (mut agent, _) = Played::welcomed(&site.hub, hello).await;
        assert_eq!(started(agent.frame().await), told);
        assert_eq!(agent.heard(), None);
        agent.lose().await;
    }
    let (mut agent, _) = Played::welcomed(&site.hub, resuming(1, 1, &token)).await;
    let again = started(agent.frame().await);
    agent.say(up(&again)).await;
    site.until_established(lsid).await;
}

/// ERR-11
#[tokio::test]
async fn a_session_reported_too_late_is_ended_again() {
    let site = Site::still().await;
    let (mut agent, ..) = site.registered(1).await;
    let (_lease, leased) = watch::channel(true);
    site.engine.serve_due_dates(leased);
    let lsid = site.start_session(CLIENT).await;
    let told = started(agent.frame().await);
    site.clock.leap(30 * time::SECOND);
    assert_eq!(
        site.until_over(lsid).await,
        (
            "AccessSessionFailed".to_owned(),
            json!({"failure": "timed_out"})
        )
    );
    let (_, reason) = ended(agent.frame().await);
    assert_eq!(
        reason,
        "An internal operation was taking too long while trying to spawn a access session."
    );
    agent.say(up(&told)).await;
    let (again, reason) = ended(agent.frame().await);
    assert_eq!(
        (again, reason.as_str()),
        (told, "The access session does not exist or has ended.")
    );
}

/// ERR-12, ERR-18
#[tokio::test]
async fn a_client_that_goes_while_a_session_starts_fails_it_and_takes_no_further_one() {
    let site = Site::still().await;
    let (mut agent, ..) = site.registered(1).await;
    let (_lease, leased) = watch::channel(true);
    site.engine.serve_due_dates(leased);
    let lsid = site.start_session(CLIENT).await;
    started(agent.frame().await);
    agent.lose().await;
    site.until_offline().await;
    match site.ask(start_session(CLIENT)).await {
        Err(ExecuteError::Refused { refusal, .. }) => {
            assert_eq!(refusal.to_string(), "The Jump Client is offline.");
        }
        other => panic!("a refusal was expected, not {other:?}"),
    }
    site.clock.leap(30 * time::SECOND);
    let (name, text) = site.until_over(lsid).await;
    assert_eq!(
        (name.as_str(), &text["failure"]),
        ("AccessSessionFailed", &json!("disconnected"))
    );
    // The words that the console shows for what is in the log.
    let failed: domain::session::access_session::Failed =
        serde_json::from_value(text).expect("what the log says");
    assert_eq!(
        failed.refusal().to_string(),
        "The active Jump Client is not connected."
    );
}

/// CLNT-29, ERR-15
#[tokio::test]
async fn a_client_that_was_switched_off_at_the_machine_takes_no_session_until_it_is_on_again() {
    let site = Site::still().await;
    let (mut agent, ..) = site.registered(1).await;
    let disabled = |disabled| Facts {
        disabled: Some(disabled),
        ..Facts::default()
    };
    agent.check_in(1, disabled(true)).await;
    agent.frame().await;
    match site.ask(start_session(CLIENT)).await {
        Err(ExecuteError::Refused { refusal, .. }) => assert_eq!(
            refusal.to_string(),
            "The Jump Client has been disabled by the user and will not allow a session to start at this time."
        ),
        other => panic!("a refusal was expected, not {other:?}"),
    }
    agent.check_in(2, disabled(false)).await;
    agent.frame().await;
    site.start_session(CLIENT).await;
    started(agent.frame().await);
}

/// threat E
#[tokio::test]
async fn threat_e_an_agent_can_not_speak_for_the_session_of_another() {
    let site = Site::still().await;
    let (mut agent, ..) = site.registered(1).await;
    let (mut other, ..) = site.registered(2).await;
    let lsid = site.start_session(CLIENT).await;
    let told = started(agent.frame().await);
    other.say(up(&told)).await;
    assert_eq!(ended(other.frame().await).0, told);
    other
        .say(over(&told, SessionEndReason::EndedAtEndpoint))
        .await;
    other.say(up(&told)).await;
    assert_eq!(ended(other.frame().await).0, told);
    let published = site.engine.published();
    let session = published.world.sessions.get(&lsid);
    assert!(session.is_some_and(|session| !session.established));
}

/// threat I
#[tokio::test]
async fn threat_i_a_session_that_nobody_decided_is_ended_at_its_agent() {
    let site = Site::still().await;
    let (mut agent, ..) = site.registered(1).await;
    let never_started = "0123456789abcdef0123456789abcdef";
    agent.say(up(never_started)).await;
    let (told, reason) = ended(agent.frame().await);
    assert_eq!(
        (told.as_str(), reason.as_str()),
        (
            never_started,
            "The access session does not exist or has ended."
        )
    );
    assert!(site.engine.published().world.sessions.is_empty());
}

/// GRP-31, CLNT-05, CLNT-60: where the item or its group is deleted, the session on it goes on, with due dates and over a lost
/// connection; its agent is served until it ends, and only then learns that the client was removed.
#[tokio::test]
async fn a_session_and_its_agent_outlive_the_item_and_its_group() {
    for deletion in [delete_client(CLIENT), delete_group()] {
        let site = Site::still().await;
        let (mut agent, _, token) = site.registered(1).await;
        let (mut other, other_welcome, _) = site.registered(2).await;
        let other_client = JumpClientId(u32::try_from(other_welcome.client_id).expect("small"));
        let elsewhere = json!({"jump_group_type": "personal", "jump_group_id": ADMINISTRATOR});
        let moved = jump_client::Command::Change(other_client, object(elsewhere));
        site.run(Command::JumpClient(moved)).await;
        let (_lease, leased) = watch::channel(true);
        site.engine.serve_due_dates(leased);
        let lsid = site.start_session(CLIENT).await;
        let told = started(agent.frame().await);
        agent.say(up(&told)).await;
        site.until_established(lsid).await;

        site.run(deletion).await;
        // Due dates are looked at, as the start that times out on the other machine shows.
        let late = site.start_session(other_client).await;
        started(other.frame().await);
        site.clock.leap(30 * time::SECOND);
        assert_eq!(site.until_over(late).await.1["failure"], "timed_out");
        assert!(site.engine.published().world.sessions.contains(&lsid));
        // The agent may come back, and keeps its session.
        agent.lose().await;
        let hello = keeping(
            resuming(1, u64::from(CLIENT.0), &token),
            std::slice::from_ref(&told),
        );
        let (mut agent, _) = Played::welcomed(&site.hub, hello).await;
        site.end_session(lsid).await;
        let (over, reason) = ended(agent.frame().await);
        assert_eq!(
            (over, reason.as_str()),
            (told, "The user ended the session.")
        );
        let refused = agent.refused().await;
        assert_eq!(
            (refused.code, refused.is_final),
            (RefusedCode::ClientRemoved, true)
        );
        agent.served.await.expect("the link ends well");
        let mut again = Played::hello(&site.hub, resuming(1, u64::from(CLIENT.0), &token)).await;
        assert_eq!(again.refused().await.code, RefusedCode::ClientRemoved);
    }
}

/// ROLE-31, GPOL-04: the agent of a session whose owner is disabled is told to end it, in words for whoever sits there.
#[tokio::test]
async fn an_agent_is_told_that_the_access_was_withdrawn() {
    let site = Site::still().await;
    let (mut agent, ..) = site.registered(1).await;
    let lsid = site.start_session(CLIENT).await;
    let told = started(agent.frame().await);
    agent.say(up(&told)).await;
    site.until_established(lsid).await;
    let off = record::Command::ChangePermissions(
        ADMINISTRATOR,
        object(json!({"perm_jump_client": false})),
    );
    site.run(Command::User(user::Command::Record(off))).await;
    let (over, reason) = ended(agent.frame().await);
    assert_eq!(
        (over, reason.as_str()),
        (told, "The access of the user was withdrawn.")
    );
    assert_eq!(
        site.until_over(lsid).await,
        (
            "AccessSessionEnded".to_owned(),
            json!({
                "reason": "access_withdrawn",
                "detail": "You are not allowed to use the Jump method \"Jump Clients\".",
            })
        )
    );
}
