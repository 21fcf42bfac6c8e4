//! `gatebook demo`: a site with a past that real commands made.

use std::fs;

use chrono::{DateTime, Duration};
use link_protocol::KeyInfo;
use serde_json::Value;
use tempfile::tempdir;

use crate::running::{Server, done, run, text};

#[tokio::test]
async fn the_demonstration_has_a_past_that_ends_before_now_and_its_first_jump_is_one_call() {
    let folder = tempdir().unwrap();
    let data = folder.path().join("demo");
    done(&[
        "demo",
        "--data",
        text(&data),
        "--url",
        "https://127.0.0.1:9443",
    ])
    .await;
    let events = done(&["log", "read", "--data", text(&data)]).await.lines();
    let count = |name: &str| events.iter().filter(|event| event["type"] == name).count();
    assert_eq!(count("UserCreated"), 13);
    assert_eq!(count("JumpGroupCreated"), 3);
    assert_eq!(count("JumpClientRegistered"), 24);
    assert!(count("AccessSessionEstablished") > 100);
    assert_eq!(
        count("AccessSessionEnded"),
        count("AccessSessionEstablished")
    );
    assert!(count("ActionRefused") > 0, "somebody came on the wrong day");
    let at = |event: &Value| {
        DateTime::parse_from_rfc3339(event["recorded_at"].as_str().unwrap()).unwrap()
    };
    assert!(events.is_sorted_by_key(at));
    let (first, last) = (at(&events[0]), at(&events[events.len() - 1]));
    assert!(last - first > Duration::days(20), "{first} to {last}");
    let now = domain::Timestamp::to_utc(engine::Clock::now(&gatebook::clock::SystemClock));
    assert!(now - last.to_utc() > Duration::minutes(9));
    assert_eq!(
        done(&["log", "verify", "--data", text(&data)]).await.json()["whole"],
        true
    );

    let again = run(&["demo", "--data", text(&data)]).await;
    assert!(
        again.code == 1 && again.stderr.contains("holds a site already"),
        "{}",
        again.stderr
    );

    // The contract with `cargo xtask run`.
    let plan: Value =
        serde_json::from_slice(&fs::read(data.join("demo-agents.json")).unwrap()).unwrap();
    for agent in plan["agents"].as_array().unwrap() {
        let key = KeyInfo::decode(agent["key"].as_str().unwrap()).unwrap();
        assert_eq!(key.urls, ["https://127.0.0.1:9443"]);
        assert!(agent["name"].is_string() && agent["state"].is_string());
    }
    assert_eq!(plan["agents"].as_array().unwrap().len(), 2);
    let first_jump = fs::read_to_string(data.join("first-jump.txt")).unwrap();
    assert_eq!(first_jump.trim(), plan["first_jump"].as_str().unwrap());

    let server = Server::start(&data, &[]).await;
    let credentials: Value =
        serde_json::from_slice(&fs::read(data.join("first-run.json")).unwrap()).unwrap();
    server
        .token(&credentials)
        .await
        .expect("the API account of first-run.json is good");
    // No agent runs here: the call is good as far as the machine that is not there yet.
    let badge = first_jump
        .split("Bearer ")
        .nth(1)
        .and_then(|rest| rest.split('\'').next())
        .unwrap();
    let items = server
        .client()
        .get(server.url("/api/console/v1/items"))
        .bearer_auth(badge)
        .send()
        .await
        .unwrap();
    assert_eq!(items.status(), 200);
    let items: Value = items.json().await.unwrap();
    assert_eq!(
        items["items"].as_array().unwrap().len(),
        10,
        "Anna sees web and directory servers"
    );
    server.stop().await;
}
