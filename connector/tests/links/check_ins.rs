//! Check-ins: which are events of their own, which are gathered, and when an agent hears of them.

use std::sync::Arc;
use std::time::Duration;

use domain::Event;
use domain::ids::JumpItemRef;
use domain::node::{self, RoutineCheckIn};
use eventstore::Selection;
use eventstore::testing::TestDatabase;
use link_protocol::{Disk, Facts, Figures, ServerFrame};
use tokio::time::{advance, timeout};

use crate::played::{Heard, resuming};
use crate::site::{CLIENT, Site, delete_client};

fn nobody_logged_on() -> Facts {
    Facts {
        console_user: Some(String::new()),
        ..Facts::default()
    }
}

fn recorded(sequence: u64) -> ServerFrame {
    ServerFrame::CheckInRecorded { sequence }
}

/// CLNT-32
#[tokio::test]
async fn a_check_in_that_changes_a_fact_is_an_event_and_acknowledged_after_it() {
    let site = Site::still().await;
    let (mut agent, ..) = site.registered(1).await;
    agent.check_in(1, nobody_logged_on()).await;
    assert_eq!(agent.frame().await, recorded(1));
    assert_eq!(site.client().facts.console_user, "");
    assert_eq!(site.client().facts.hostname, "web-1");
    assert_eq!(site.events("JumpClientCheckedIn").await.len(), 1);
}

/// CLNT-32
#[tokio::test]
async fn a_check_in_that_changes_nothing_is_gathered_for_a_minute_and_acknowledged_then() {
    let site = Site::still().await;
    let (mut agent, ..) = site.registered(1).await;
    agent.check_in(1, Facts::default()).await;
    agent.check_in(2, Facts::default()).await;
    // A changed fact in between shows that both were heard.
    agent.check_in(3, nobody_logged_on()).await;
    assert_eq!(agent.frame().await, recorded(3));
    assert!(site.events("JumpClientsCheckedIn").await.is_empty());

    advance(Duration::from_secs(31)).await;
    agent.answer_ping().await;
    assert_eq!(agent.heard(), None);
    advance(Duration::from_secs(30)).await;
    assert_eq!(heard_but_pings(&mut agent).await, recorded(1));
    assert_eq!(heard_but_pings(&mut agent).await, recorded(2));
    let at = 1_767_603_600;
    let expected = vec![RoutineCheckIn { client: CLIENT, at }; 2];
    match &site.events("JumpClientsCheckedIn").await[..] {
        [event] => assert_eq!(
            event.event,
            Event::Node(
                site.node,
                node::Event::ClientsCheckedIn(node::ClientsCheckedIn {
                    check_ins: expected
                })
            )
        ),
        other => panic!("one event was expected, not {other:?}"),
    }
}

async fn heard_but_pings(agent: &mut crate::played::Played) -> ServerFrame {
    loop {
        match agent.frame().await {
            ServerFrame::Ping { nonce } => {
                agent.say(link_protocol::ClientFrame::Pong { nonce }).await;
            }
            other => return other,
        }
    }
}

/// Each says all facts, so the last one said has to be the last one written.
#[tokio::test]
async fn check_ins_in_a_row_are_written_in_their_order() {
    let site = Site::still().await;
    let (mut agent, ..) = site.registered(1).await;
    for sequence in 1..=8 {
        let facts = Facts {
            console_user: Some(format!("user {sequence}")),
            ..Facts::default()
        };
        agent.check_in(sequence, facts).await;
    }
    for sequence in 1..=8 {
        assert_eq!(agent.frame().await, recorded(sequence));
    }
    assert_eq!(site.client().facts.console_user, "user 8");
}

/// Facts of `hello` are written as well, though they are no check-in.
#[tokio::test]
async fn facts_that_changed_while_a_client_was_away_are_written_when_it_is_back() {
    let site = Site::still().await;
    let (agent, _, token) = site.registered(1).await;
    agent.lose().await;
    let mut hello = crate::played::resuming(2, 1, &token);
    hello.facts.hostname = Some("web-2".to_owned());
    crate::played::Played::welcomed(&site.hub, hello).await;
    site.until(|world| {
        let client = world.jump_clients.get(&CLIENT).expect("there");
        client.facts.hostname == "web-2"
    })
    .await;
}

#[tokio::test]
async fn a_check_in_out_of_order_and_too_many_at_once_end_the_link() {
    for (sequences, code) in [
        (vec![2], 4405),
        (vec![1, 1], 4405),
        ((1..=9).collect(), 4429),
    ] {
        let site = Site::still().await;
        let (mut agent, ..) = site.registered(1).await;
        for sequence in sequences {
            agent.check_in(sequence, Facts::default()).await;
        }
        assert_eq!(agent.closed().await, code);
    }
}

/// CLNT-31
#[tokio::test]
async fn the_newest_figures_are_shown_at_once_and_kept_once_a_second() {
    let site = Site::still().await;
    let (mut agent, ..) = site.registered(1).await;
    let figures = |cpu| Figures {
        cpu_permille: Some(cpu),
        disks: vec![Disk {
            mount: "/".to_owned(),
            total_bytes: 100,
            free_bytes: 40,
        }],
        ..Figures::default()
    };
    agent
        .check_in_with(1, nobody_logged_on(), figures(100))
        .await;
    agent
        .check_in_with(2, crate::played::facts(), figures(900))
        .await;
    // One without figures leaves the newest as they are.
    agent.check_in(3, nobody_logged_on()).await;
    for sequence in 1..=3 {
        assert_eq!(agent.frame().await, recorded(sequence));
    }
    let newest = serde_json::to_vec(&figures(900)).expect("JSON");
    let shown = site
        .engine
        .views()
        .console
        .figures(JumpItemRef::JumpClient(CLIENT));
    assert_eq!(shown.as_deref(), Some(&newest[..]));

    let key = "jump_client-1".to_owned();
    advance(Duration::from_millis(1_100)).await;
    let kept = loop {
        let rows = site
            .engine
            .store()
            .latest(std::slice::from_ref(&key))
            .await
            .expect("readable");
        if let Some(row) = rows.into_iter().next() {
            break row;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(kept, (key, newest));
    // Figures change no decision, so the log does not know them.
    let (_, last) = site
        .last_of(Selection::Stream("jump_client-1".to_owned()))
        .await;
    assert!(!last.to_string().contains("cpu"), "{last}");
}

/// CLNT-31: the newest figures outlive a run of the node, and go with the last item of their endpoint.
#[tokio::test]
async fn the_newest_figures_are_brought_back_and_go_with_their_client() {
    let database = Arc::new(TestDatabase::sqlite());
    let key = "jump_client-1".to_owned();
    let item = JumpItemRef::JumpClient(CLIENT);
    let figures = Figures {
        cpu_permille: Some(100),
        ..Figures::default()
    };
    let until = async |site: &Site, is_kept: bool| {
        let store = site.engine.store();
        loop {
            let rows = store.latest(std::slice::from_ref(&key)).await;
            if rows.expect("readable").is_empty() != is_kept {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(30), async {
        let first = Site::on(database.clone(), 1).await;
        let (mut agent, ..) = first.registered(1).await;
        agent
            .check_in_with(1, nobody_logged_on(), figures.clone())
            .await;
        assert_eq!(agent.frame().await, recorded(1));
        until(&first, true).await;
        first.close().await;

        let second = Site::on(database.clone(), 2).await;
        let shown = loop {
            match second.engine.views().console.figures(item) {
                Some(shown) => break shown,
                None => tokio::task::yield_now().await,
            }
        };
        assert_eq!(
            &*shown,
            &serde_json::to_vec(&figures).expect("JSON")[..],
            "without a word of the agent"
        );
        second.run(delete_client(CLIENT)).await;
        until(&second, false).await;
        second.close().await;
    })
    .await
    .expect("in time");
}

fn user(name: &str) -> Facts {
    Facts {
        console_user: Some(name.to_owned()),
        ..Facts::default()
    }
}

/// CLNT-29, threat L: each change of a fact stays in the log for good, so one client has only so many of them.
#[tokio::test]
async fn threat_l_facts_that_change_all_the_time_are_written_ten_times_and_then_once_a_minute() {
    let site = Site::still().await;
    let (mut agent, _, token) = site.registered(1).await;
    for sequence in 1..=10 {
        agent
            .check_in(sequence, user(&format!("user {sequence}")))
            .await;
        assert_eq!(agent.frame().await, recorded(sequence));
    }
    for sequence in 11..=15 {
        agent
            .check_in(sequence, user(&format!("user {sequence}")))
            .await;
    }
    // Whether somebody may connect is known at once all the same, with all that is known by now.
    let disabled = Facts {
        disabled: Some(true),
        ..user("user 16")
    };
    agent.check_in(16, disabled).await;
    for sequence in 11..=16 {
        assert_eq!(agent.frame().await, recorded(sequence));
    }
    assert!(site.client().facts.disabled);
    assert_eq!(site.events("JumpClientCheckedIn").await.len(), 11);

    for sequence in 17..=19 {
        agent
            .check_in(sequence, user(&format!("user {sequence}")))
            .await;
    }
    // Neither does a new link bring new ones.
    agent.lose().await;
    let mut hello = resuming(1, 1, &token);
    hello.facts.disabled = Some(true);
    hello.facts.console_user = Some("user 20".to_owned());
    let (mut agent, _) = crate::played::Played::welcomed(&site.hub, hello).await;
    agent.check_in(1, user("user 21")).await;
    advance(Duration::from_secs(31)).await;
    agent.answer_ping().await;
    assert_eq!(agent.heard(), None);
    assert_eq!(site.client().facts.console_user, "user 16");
    advance(Duration::from_secs(30)).await;
    assert_eq!(heard_but_pings(&mut agent).await, recorded(1));
    assert_eq!(site.client().facts.console_user, "user 21");
    assert_eq!(site.events("JumpClientCheckedIn").await.len(), 12);
}

/// What waits and is as it was again needs no event.
#[tokio::test]
async fn facts_that_are_as_they_were_again_are_a_check_in_without_a_change() {
    let site = Site::still().await;
    let (mut agent, ..) = site.registered(1).await;
    for sequence in 1..=10 {
        agent
            .check_in(sequence, user(&format!("user {sequence}")))
            .await;
        assert_eq!(agent.frame().await, recorded(sequence));
    }
    agent.check_in(11, user("for a moment")).await;
    agent.check_in(12, user("user 10")).await;
    let mut answers = Vec::new();
    while answers.len() < 2 {
        advance(Duration::from_secs(2)).await;
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        match agent.heard() {
            Some(Heard::Frame(ServerFrame::Ping { nonce })) => {
                agent.say(link_protocol::ClientFrame::Pong { nonce }).await;
            }
            Some(Heard::Frame(frame)) => answers.push(frame),
            Some(closed) => panic!("{closed:?}"),
            None => {}
        }
    }
    assert_eq!(answers, [recorded(11), recorded(12)]);
    assert_eq!(site.events("JumpClientCheckedIn").await.len(), 10);
}
