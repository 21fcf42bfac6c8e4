//! Runs of nodes: how they begin, end, and how one that is silent is given up.

use std::path::Path;
use std::time::{Duration, Instant};

use eventstore::testing::TestDatabase;
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::tempdir;

use crate::running::{Server, done, run, text, until, url_of};

async fn node_events(arguments: &[&str]) -> Vec<(String, Value)> {
    let read = [&["log", "read", "--category", "node"], arguments].concat();
    let lines = done(&read).await.lines();
    lines
        .into_iter()
        .map(|line| {
            (
                line["type"].as_str().unwrap().to_owned(),
                line["data"].clone(),
            )
        })
        .collect()
}

#[tokio::test]
async fn a_run_begins_and_ends_in_the_log_and_the_directory_is_one_process_own() {
    let folder = tempdir().unwrap();
    let data = ["--data", text(folder.path())];
    let server = Server::start(
        folder.path(),
        &["--node", "gate", "--url", "https://localhost:9999/"],
    )
    .await;
    let second = Server::try_start(folder.path(), &[]).await.err().unwrap();
    assert!(
        second.code == 1 && second.stderr.contains("another gatebook runs"),
        "{}",
        second.stderr
    );
    let init = run(&["init", data[0], data[1]]).await;
    assert!(
        init.code == 1 && init.stderr.contains("another gatebook runs"),
        "{}",
        init.stderr
    );
    assert!(server.stop().await.success());
    let started = serde_json::json!({"name": "gate", "url": "https://localhost:9999"});
    let stopped = serde_json::json!({"reason": "asked"});
    assert_eq!(
        node_events(&data).await,
        [
            ("NodeStarted".to_owned(), started),
            ("NodeStopped".to_owned(), stopped)
        ]
    );
    assert!(!folder.path().join("control").exists());
}

#[tokio::test]
async fn after_a_kill_the_next_run_ends_the_earlier_one_at_once() {
    let folder = tempdir().unwrap();
    let data = ["--data", text(folder.path())];
    Server::start(folder.path(), &["--node", "before"])
        .await
        .kill()
        .await;
    let server = Server::start(folder.path(), &["--node", "after"]).await;
    let events = node_events(&data).await;
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["NodeStarted", "NodeStopped", "NodeStarted"]);
    assert_eq!(events[1].1["reason"], "restarted");
    server.stop().await;
}

#[tokio::test]
async fn a_silent_node_is_given_up_by_the_others_within_seconds() {
    let database = TestDatabase::postgres().await;
    let folder = tempdir().unwrap();
    let key = folder.path().join("key");
    let node = |name| {
        [
            "--database",
            url_of(&database),
            "--key-file",
            text(&key),
            "--node",
            name,
        ]
    };
    let data = |name: &str| folder.path().join(name);
    let survivor = Server::start(&data("one"), &node("one")).await;
    let victim = Server::start(&data("two"), &node("two")).await;

    let twin = Server::try_start(&data("three"), &node("two"))
        .await
        .err()
        .unwrap();
    assert!(
        twin.code == 1 && twin.stderr.contains("runs already"),
        "{}",
        twin.stderr
    );

    let read: [&str; 6] = [
        "--data",
        text(folder.path()),
        "--database",
        url_of(&database),
        "--type",
        "NodeStopped",
    ];
    assert!(node_events(&read).await.is_empty());
    let killed_at = Instant::now();
    victim.kill().await;
    let stopped = until("NodeStopped", || async {
        node_events(&read).await.into_iter().next()
    })
    .await;
    let took = killed_at.elapsed();
    assert_eq!(stopped.1["reason"], "silent");
    assert!(
        took > Duration::from_secs(6) && took < Duration::from_secs(20),
        "{took:?}"
    );

    // Its name is free again, and the survivor goes on.
    let back = Server::start(&data("two"), &node("two")).await;
    let credentials = credentials_in(&[&data("one"), &data("two")]);
    for server in [&survivor, &back] {
        server.token(&credentials).await.unwrap();
    }
    assert_eq!(node_events(&read).await.len(), 1);
    tokio::join!(survivor.stop(), back.stop());
    assert_eq!(node_events(&read).await.len(), 3);
}

#[tokio::test]
async fn a_node_that_slept_finds_itself_given_up_and_ends() {
    let database = TestDatabase::postgres().await;
    let folder = tempdir().unwrap();
    let key = folder.path().join("key");
    let node = |name| {
        [
            "--database",
            url_of(&database),
            "--key-file",
            text(&key),
            "--node",
            name,
        ]
    };
    let sleeper = Server::start(&folder.path().join("one"), &node("one")).await;
    let watcher = Server::start(&folder.path().join("two"), &node("two")).await;
    sleeper.signal(Signal::SIGSTOP);
    let read: [&str; 6] = [
        "--data",
        text(folder.path()),
        "--database",
        url_of(&database),
        "--type",
        "NodeStopped",
    ];
    until("NodeStopped", || async {
        node_events(&read).await.into_iter().next()
    })
    .await;
    sleeper.signal(Signal::SIGCONT);
    let slept = sleeper.ended().await;
    assert_eq!(slept.code, 1, "{}", slept.stderr);
    assert!(
        slept.stderr.contains("this run of the node is over"),
        "{}",
        slept.stderr
    );
    // Saying goodbye again changes nothing.
    assert_eq!(node_events(&read).await.len(), 1);
    assert!(watcher.stop().await.success());
}

fn credentials_in(folders: &[&Path]) -> Value {
    let file = folders
        .iter()
        .map(|folder| folder.join("first-run.json"))
        .find(|file| file.exists());
    serde_json::from_slice(&std::fs::read(file.unwrap()).unwrap()).unwrap()
}
