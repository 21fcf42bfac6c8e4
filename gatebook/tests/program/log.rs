//! `gatebook log`: reading, following, exporting and verifying, beside a running server.

use std::process::Stdio;

use domain::Timestamp;
use eventstore::{EventStore, ExpectedRevision, Location, NewEvent, Options, StreamAppend};
use serde_json::Value;
use sqlx::{ConnectOptions, Connection};
use tempfile::tempdir;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::running::{Server, done, gatebook, run, text};

fn positions(lines: &[Value]) -> Vec<u64> {
    lines
        .iter()
        .map(|line| line["position"].as_u64().unwrap())
        .collect()
}

#[tokio::test]
async fn events_are_read_beside_a_running_server_by_what_they_are() {
    let folder = tempdir().unwrap();
    let data = text(folder.path());
    let server = Server::start(folder.path(), &[]).await;
    let all = done(&["log", "read", "--data", data]).await.lines();
    assert_eq!(positions(&all), (1..=10).collect::<Vec<u64>>());
    let names: Vec<&str> = all[5]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let mut expected = vec![
        "position",
        "stream",
        "revision",
        "type",
        "data",
        "meta",
        "recorded_at",
        "id",
        "codec",
        "leaf_hash",
    ];
    expected.sort_unstable();
    assert_eq!(names, expected);
    assert_eq!(all[5]["type"], "UserCreated");
    assert_eq!(all[5]["data"]["username"], "administrator");
    assert_eq!(all[5]["meta"]["actor"], "operator");
    let recorded_at = all[5]["recorded_at"].as_str().unwrap();
    assert!(
        recorded_at.ends_with('Z') && recorded_at.len() == "2026-01-01T00:00:00.000000Z".len(),
        "{recorded_at}"
    );

    let before = "1970-01-01T00:00:00Z";
    // flags, positions
    for (flags, expected) in [
        (&["--from", "3", "--to", "4"][..], &[3, 4][..]),
        (&["--limit", "2"], &[1, 2]),
        (&["--stream", "user-1"], &[6]),
        (
            &["--type", "SiteCreated", "--type", "ApiAccountCreated"],
            &[1, 7],
        ),
        (&["--category", "jump_item_role"], &[3, 4, 5]),
        (&["--category", "jump_item_role", "--from", "4"], &[4, 5]),
        (&["--since", before, "--type", "NodeStarted"], &[10]),
        (&["--until", before], &[]),
        (&["--since", "2999-01-01"], &[]),
        (&["--client", "1"], &[]),
    ] {
        let lines = done(&[&["log", "read", "--data", data], flags].concat())
            .await
            .lines();
        assert_eq!(positions(&lines), expected, "{flags:?}");
    }
    let wrong = run(&["log", "read", "--data", data, "--since", "yesterday"]).await;
    assert!(
        wrong.code == 1 && wrong.stderr.contains("yesterday"),
        "{}",
        wrong.stderr
    );
    server.stop().await;
}

#[tokio::test]
async fn tail_prints_the_newest_events_and_then_each_new_one() {
    let folder = tempdir().unwrap();
    let server = Server::start(folder.path(), &[]).await;
    let mut tail = gatebook(&["log", "tail", "--data", text(folder.path()), "--lines", "2"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let mut next = async || -> Value {
        serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap()
    };
    assert_eq!(next().await["type"], "AgentAnchorAdded");
    assert_eq!(next().await["type"], "NodeStarted");
    let credentials =
        serde_json::from_slice(&std::fs::read(folder.path().join("first-run.json")).unwrap())
            .unwrap();
    server.token(&credentials).await.unwrap();
    let came = next().await;
    assert_eq!(
        (&came["type"], &came["position"]),
        (&"ApiAccountAuthenticated".into(), &11.into())
    );
    tail.kill().await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn an_export_appears_whole_and_replaces_nothing() {
    let folder = tempdir().unwrap();
    let data = folder.path().join("site");
    done(&["init", "--data", text(&data)]).await;
    let file = folder.path().join("log.jsonl");
    let export = [
        "log",
        "export",
        "--data",
        text(&data),
        "--output",
        text(&file),
    ];
    done(&export).await;
    let exported = std::fs::read_to_string(&file).unwrap();
    assert_eq!(
        exported,
        done(&["log", "read", "--data", text(&data)]).await.stdout
    );
    let again = run(&export).await;
    assert!(
        again.code == 1 && again.stderr.contains("exists already"),
        "{}",
        again.stderr
    );
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        2,
        "no part is left"
    );
    assert_eq!(
        done(&["log", "export", "--data", text(&data)]).await.stdout,
        exported
    );
}

#[tokio::test]
async fn verify_finds_what_was_tampered_with() {
    let folder = tempdir().unwrap();
    let data = text(folder.path());
    done(&["init", "--data", data]).await;
    // More than what is looked at with each opening.
    let location = Location::Sqlite {
        directory: folder.path().to_owned(),
    };
    let store = EventStore::open(&location, Options::default())
        .await
        .unwrap();
    let events = (0..200).map(|_| NewEvent {
        id: uuid::Uuid::new_v4(),
        event_type: "Noted".into(),
        data: b"{}".to_vec(),
        meta: b"{}".to_vec(),
    });
    let append = StreamAppend {
        stream: "note-1".to_owned(),
        expected: ExpectedRevision::NoStream,
        events: events.collect(),
    };
    store
        .append(vec![append], Vec::new(), Timestamp(1_790_000_000_000_000).0)
        .await
        .unwrap();
    store.close().await;
    let whole = done(&["log", "verify", "--data", data]).await;
    assert_eq!(whole.json()["whole"], true);
    assert_eq!(whole.json()["position"], 208);
    assert!(whole.stderr.contains("100 %"), "{}", whole.stderr);

    let tampered = async |sql: &'static str| {
        let options =
            sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("log.db"));
        let mut connection = options.connect().await.unwrap();
        sqlx::query(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        run(&["log", "verify", "--data", data]).await
    };
    let changed =
        tampered("UPDATE event SET data = CAST('{\"a\":1}' AS BLOB) WHERE position = 20").await;
    assert_eq!(changed.code, 5, "{}", changed.stderr);
    let found = changed.json();
    assert_eq!(found["whole"], false);
    assert!(
        found["faults"][0].as_str().unwrap().contains("position 20"),
        "{found}"
    );
    let missing = tampered("DELETE FROM event WHERE position = 30").await;
    assert_eq!(missing.code, 5, "{}", missing.stderr);
    assert!(
        missing.stdout.contains("position 30: the event is missing"),
        "{}",
        missing.stdout
    );
    // What lies among the newest is seen by every opening.
    let newest = tampered("DELETE FROM event WHERE position = 200").await;
    assert_eq!(newest.code, 3, "{}", newest.stderr);
    assert!(
        newest.stderr.contains("200") && newest.stderr.contains("restore"),
        "{}",
        newest.stderr
    );
}
