//! The first credentials: random, shown once, kept nowhere in clear; the key file without which nothing opens.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use eventstore::testing::TestDatabase;
use serde_json::Value;
use tempfile::tempdir;

use crate::running::{Server, done, run, text, url_of};

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn first_run(data: &Path) -> Value {
    serde_json::from_slice(&fs::read(data.join("first-run.json")).unwrap()).unwrap()
}

/// Whether any file below `folder` holds `needle`, the named file left out.
fn holds(folder: &Path, needle: &str, but: &str) -> bool {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .any(|path| {
            if path.is_dir() {
                return holds(&path, needle, but);
            }
            if path.ends_with(but) {
                return false;
            }
            let bytes = fs::read(&path).unwrap_or_default();
            bytes
                .windows(needle.len())
                .any(|window| window == needle.as_bytes())
        })
}

/// AUTH-30
#[tokio::test]
async fn init_prints_the_first_credentials_once_and_is_refused_the_second_time() {
    let folder = tempdir().unwrap();
    let data = folder.path().join("site");
    let made = done(&["init", "--data", text(&data)]).await.json();
    let account = &made["api_account"];
    let id = account["client_id"].as_str().unwrap();
    assert_eq!(id.len(), 40);
    assert!(
        id.bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')),
        "{id}"
    );
    assert_eq!(account["client_secret"].as_str().unwrap().len(), 44);
    assert_eq!(made["administrator"]["username"], "administrator");
    assert!(made["administrator"]["password"].as_str().unwrap().len() >= 20);
    assert_eq!(mode_of(&data), 0o700);
    assert_eq!(mode_of(&data.join("key")), 0o600);
    assert!(!data.join("first-run.json").exists());

    let again = run(&["init", "--data", text(&data)]).await;
    assert_eq!(again.code, 1);
    assert!(again.stderr.contains("set up already"), "{}", again.stderr);
    assert!(again.stdout.is_empty());
    let other = folder.path().join("other");
    let other = done(&["init", "--data", text(&other)]).await.json();
    assert_ne!(
        other["administrator"]["password"],
        made["administrator"]["password"]
    );
}

/// Threats B and C.
#[tokio::test]
async fn threat_b_serve_on_an_empty_log_writes_random_credentials_for_the_owner_alone() {
    let folder = tempdir().unwrap();
    let data = folder.path().join("site");
    let server = Server::start(&data, &[]).await;
    assert_eq!(mode_of(&data.join("first-run.json")), 0o600);
    let credentials = first_run(&data);
    server
        .token(&credentials)
        .await
        .expect("the first API account gets a token");
    let administrator = &credentials["administrator"];
    let password = administrator["password"].as_str().unwrap();
    assert!(server.signs_in("administrator", password).await);
    assert!(!server.signs_in("administrator", "administrator").await);

    let secret = credentials["api_account"]["client_secret"]
        .as_str()
        .unwrap();
    let written = server.written.lock().unwrap().join("\n");
    for (name, canary) in [("password", password), ("secret", secret)] {
        assert!(
            !holds(&data, canary, "first-run.json"),
            "the {name} lies in a file"
        );
        assert!(!written.contains(canary), "the {name} was logged");
    }
    assert!(
        written.contains("first-run.json") && written.contains("XML API is on"),
        "{written}"
    );

    let before = fs::read(data.join("first-run.json")).unwrap();
    assert!(server.stop().await.success());
    let server = Server::start(&data, &[]).await;
    assert_eq!(fs::read(data.join("first-run.json")).unwrap(), before);
    server
        .token(&credentials)
        .await
        .expect("the credentials stay good");
    server.stop().await;
}

#[tokio::test]
async fn of_two_nodes_that_start_at_once_exactly_one_keeps_its_credentials() {
    let database = TestDatabase::postgres().await;
    let folder = tempdir().unwrap();
    let key = folder.path().join("key");
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    let arguments = |node| {
        [
            "--database",
            url_of(&database),
            "--key-file",
            text(&key),
            "--node",
            node,
        ]
    };
    let (first, second) = (arguments("one"), arguments("other"));
    let (first, second) = tokio::join!(Server::start(&one, &first), Server::start(&other, &second));
    let kept: Vec<&Path> = [one.as_path(), other.as_path()]
        .into_iter()
        .filter(|data| data.join("first-run.json").exists())
        .collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    let credentials = first_run(kept[0]);
    for server in [&first, &second] {
        server
            .token(&credentials)
            .await
            .expect("the credentials are good on both nodes");
    }
    let made = [
        "log",
        "read",
        "--data",
        text(&one),
        "--database",
        url_of(&database),
        "--type",
        "SiteCreated",
    ];
    assert_eq!(done(&made).await.lines().len(), 1);
    assert_eq!(
        fs::read(one.join("site-ca.pem")).unwrap(),
        fs::read(other.join("site-ca.pem")).unwrap(),
        "one authority for all nodes"
    );
    tokio::join!(first.stop(), second.stop());
}

#[tokio::test]
async fn credentials_left_by_a_start_that_lost_the_race_are_removed() {
    let folder = tempdir().unwrap();
    done(&["init", "--data", text(folder.path())]).await;
    let file = folder.path().join("first-run.json");
    fs::write(
        &file,
        r#"{"api_account": {"client_id": "0123456789012345678901234567890123456789"}}"#,
    )
    .unwrap();
    let server = Server::start(folder.path(), &[]).await;
    assert!(!file.exists());
    server.stop().await;
}

#[tokio::test]
async fn a_log_with_events_is_not_opened_without_its_key_file() {
    let folder = tempdir().unwrap();
    let data = text(folder.path());
    done(&["init", "--data", data]).await;
    let (key, elsewhere) = (folder.path().join("key"), folder.path().join("elsewhere"));
    fs::rename(&key, &elsewhere).unwrap();
    for arguments in [
        &["serve", "--data", data][..],
        &["init", "--data", data],
        &["demo", "--data", data],
    ] {
        let refused = run(arguments).await;
        assert_eq!(refused.code, 1, "{arguments:?}");
        let says = &refused.stderr;
        assert!(
            says.contains(text(&key)) && says.contains("--key-file"),
            "{says}"
        );
        assert!(!key.exists(), "no new key is made over old secrets");
    }
    let refused = run(&["administrator", "reset", "--data", data]).await;
    assert!(
        refused.code == 1 && refused.stderr.contains(text(&key)),
        "{}",
        refused.stderr
    );

    // Another site's key is as good as none; the right one is found where it is named.
    let other = folder.path().join("other");
    done(&["init", "--data", text(&other)]).await;
    let foreign = other.join("key");
    let refused = run(&[
        "serve",
        "--data",
        data,
        "--key-file",
        text(&foreign),
        "--listen",
        "127.0.0.1:0",
    ])
    .await;
    assert!(
        refused.code == 1 && refused.stderr.contains("not the one of this site"),
        "{}",
        refused.stderr
    );
    let server = Server::start(folder.path(), &["--key-file", text(&elsewhere)]).await;
    server.stop().await;
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = run(&["serve", "--data", data, "--key-file", text(&elsewhere)]).await;
    assert!(
        refused.code == 1 && refused.stderr.contains("chmod 600"),
        "{}",
        refused.stderr
    );
}

#[tokio::test]
async fn an_administrator_gets_a_new_password_beside_the_server_and_without_it() {
    let folder = tempdir().unwrap();
    let data = text(folder.path());
    let first = done(&["init", "--data", data]).await.json();
    let first = first["administrator"]["password"]
        .as_str()
        .unwrap()
        .to_owned();
    let stopped = done(&["administrator", "reset", "--data", data])
        .await
        .json();
    let server = Server::start(folder.path(), &[]).await;
    assert!(!server.signs_in("administrator", &first).await);
    assert!(
        server
            .signs_in("administrator", stopped["password"].as_str().unwrap())
            .await
    );

    let running = done(&[
        "administrator",
        "reset",
        "--data",
        data,
        "--username",
        "Administrator",
    ])
    .await
    .json();
    assert_eq!(running["username"], "administrator");
    assert!(
        !server
            .signs_in("administrator", stopped["password"].as_str().unwrap())
            .await
    );
    assert!(
        server
            .signs_in("administrator", running["password"].as_str().unwrap())
            .await
    );
    let events = done(&[
        "log",
        "read",
        "--data",
        data,
        "--type",
        "AdministratorReset",
    ])
    .await
    .lines();
    assert_eq!(events.len(), 2);
    assert_eq!(events[0]["meta"]["actor"], "operator");

    let unknown = run(&[
        "administrator",
        "reset",
        "--data",
        data,
        "--username",
        "nobody",
    ])
    .await;
    assert!(
        unknown.code == 1 && unknown.stderr.contains("nobody"),
        "{}",
        unknown.stderr
    );
    server.stop().await;
}
