//! Several nodes on one log: what one of them ends, no other lets in.

use std::sync::Arc;

use domain::time::SECOND;
use engine::testing::TestClock;
use eventstore::testing::TestDatabase;
use reqwest::Method;
use secrets::KeyFile;
use serde_json::json;
use tempfile::TempDir;

use crate::served::{Differently, Served, header};

/// Two nodes, their database and key file, and the clock they share.
pub(crate) struct Nodes {
    pub(crate) one: Served,
    pub(crate) two: Served,
    pub(crate) clock: Arc<TestClock>,
    _database: TestDatabase,
    _keys: TempDir,
}

pub(crate) async fn nodes() -> Nodes {
    let database = TestDatabase::postgres().await;
    let keys = tempfile::tempdir().unwrap();
    KeyFile::create(keys.path().join("key")).unwrap();
    let clock = TestClock::new();
    let shared = || Differently {
        shared: true,
        ..Differently::default()
    };
    let mut one = Served::node(database.location(), &keys, 1, Arc::clone(&clock), shared()).await;
    one.first_start().await;
    let mut two = Served::node(database.location(), &keys, 2, Arc::clone(&clock), shared()).await;
    two.join().await;
    Nodes {
        one,
        two,
        clock,
        _database: database,
        _keys: keys,
    }
}

/// AUTH-08, AUTH-09, AUTH-29
#[tokio::test]
async fn what_ends_a_token_on_one_node_ends_it_on_all_at_once() {
    let Nodes {
        one,
        two,
        _database,
        _keys,
        ..
    } = nodes().await;
    let account = one
        .account(json!({"name": "many", "perm_configuration": true, "requests_per_second": 10_000}))
        .await;
    let first = one.token_of(&account).await;
    assert_eq!(
        two.status_with(&first).await,
        200,
        "a token is good on every node"
    );
    for number in 0..30 {
        let node = if number % 2 == 0 { &one } else { &two };
        assert_eq!(two.status_with(&first).await, 200, "{number}");
        node.token_of(&account).await;
    }
    assert_eq!(two.status_with(&first).await, 401, "dropped");
    assert_eq!(one.status_with(&first).await, 401, "dropped");
    let token = two.token_of(&account).await;
    assert_eq!(two.status_with(&token).await, 200);
    let renewed = one.regenerate(&account).await;
    assert_eq!(two.status_with(&token).await, 401, "regenerated");
    assert_eq!(two.ask_token(&account).await.status(), 401);
    let token = two.token_of(&renewed).await;
    assert_eq!(one.status_with(&token).await, 200);
    one.change_account(account.id, json!({"enabled": false}))
        .await;
    assert_eq!(two.status_with(&token).await, 401, "disabled");
}

/// AUTH-08
#[tokio::test]
async fn both_nodes_asked_at_once_give_at_most_30_good_tokens() {
    let Nodes {
        one,
        two,
        _database,
        _keys,
        ..
    } = nodes().await;
    let account = one
        .account(json!({"name": "many", "perm_configuration": true, "requests_per_second": 10_000}))
        .await;
    let (one, two) = (Arc::new(one), Arc::new(two));
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..40 {
        let node = Arc::clone(if number % 2 == 0 { &one } else { &two });
        let account = account.clone();
        asking.spawn(async move { node.token_of(&account).await });
    }
    let tokens = asking.join_all().await;
    let mut good = 0;
    for token in &tokens {
        good += usize::from(one.status_with(token).await == 200);
    }
    assert_eq!(good, 30);
    assert_eq!(
        one.count("ApiAccountAuthenticated").await,
        2,
        "once an hour, for each of two accounts"
    );
}

/// AUTH-15, AUTH-16
#[tokio::test]
async fn the_hour_is_shared_by_the_nodes() {
    let Nodes {
        one,
        two,
        clock,
        _database,
        _keys,
    } = nodes().await;
    let account = one
        .account(json!({"name": "thrifty", "perm_configuration": true, "requests_per_second": 100, "requests_per_hour": 50}))
        .await;
    let token = one.token_of(&account).await;
    let mut sharing = Vec::new();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    for node in [&one, &two] {
        sharing.push(tokio::spawn(
            Arc::clone(&node.site).run_rate_sharing(stopped.clone()),
        ));
    }
    for _ in 0..20 {
        assert_eq!(one.status_with(&token).await, 200);
    }
    // The second node learns of these within a second or two, and answers with the rest of both.
    let mut calls = 0;
    loop {
        clock.leap(SECOND / 100);
        let response = two.call_with(&token, Method::GET, "jump-group", None).await;
        calls += 1;
        let rest: u64 = header(&response, "x-ratelimit-remaining")
            .unwrap()
            .parse()
            .unwrap();
        if rest == 30 - calls {
            break;
        }
        assert_eq!(
            rest,
            50 - calls,
            "either nothing or all is known of the other node"
        );
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    for _ in calls..30 {
        assert_eq!(two.status_with(&token).await, 200);
    }
    assert_eq!(two.status_with(&token).await, 429);
    stop.send_replace(true);
    for task in sharing {
        task.await.unwrap();
    }
}

/// A stale read never happens: what one node has answered, the other knows.
#[tokio::test]
async fn what_was_made_on_one_node_is_read_on_the_other() {
    let Nodes {
        one,
        two,
        _database,
        _keys,
        ..
    } = nodes().await;
    for number in 1..=30 {
        let (writer, reader) = if number % 2 == 0 {
            (&one, &two)
        } else {
            (&two, &one)
        };
        let (status, made) = writer
            .post("jump-group", json!({"name": format!("g{number}")}))
            .await;
        assert_eq!(status, 201);
        assert_eq!(
            reader.get(&format!("jump-group/{number}")).await,
            (200, made)
        );
    }
}
