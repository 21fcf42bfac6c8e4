//! A site whose program is replaced.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::tempdir;

use crate::running::{PROGRAM, Server, done, text};

/// The answer of the Configuration API to the account of `credentials`.
async fn ask(
    server: &Server,
    credentials: &Value,
    path: &str,
    body: Option<Value>,
) -> (u16, Value) {
    let token = server.token(credentials).await.expect("a token");
    let url = server.url(&format!("/api/config/v1/{path}"));
    let client = server.client();
    let request = match &body {
        Some(body) => client.post(url).json(body),
        None => client.get(url),
    };
    let sent = request.bearer_auth(token).send().await;
    let answer = sent.expect("the server answers");
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or_default())
}

/// How often a build ran for the first time, by the log.
async fn upgrades(data: &Path) -> usize {
    let read = done(&["log", "read", "--data", text(data), "--stream", "site"]).await;
    let lines = read.lines();
    let upgrades = lines.iter().filter(|line| line["type"] == "SiteUpgraded");
    upgrades.count()
}

/// INST-08, INST-10: the same program may start as often as it likes; one that differs in a single byte, though it says the same
/// version, makes installers of before useless. Clients and new installers are not concerned.
#[tokio::test]
async fn a_replaced_program_puts_installers_of_before_out_of_use() {
    let folder = tempdir().unwrap();
    let data = folder.path().join("site");
    let made = done(&["init", "--data", text(&data)]).await;
    let credentials = made.json();
    assert_eq!(upgrades(&data).await, 1);

    let server = Server::start(&data, &[]).await;
    let group = json!({"name": "Fleet"});
    assert_eq!(
        ask(&server, &credentials, "jump-group", Some(group))
            .await
            .0,
        201
    );
    let body = json!({"jump_group_id": 1});
    let (status, installer) = ask(&server, &credentials, "jump-client/installer", Some(body)).await;
    assert_eq!(status, 201, "{installer}");
    let id = installer["installer_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let package = format!("jump-client/installer/{id}/windows-64-msi");
    assert!(server.stop().await.success());

    let server = Server::start(&data, &[]).await;
    // Good, only that no agent program was put beside this test's server.
    let (_, told) = ask(&server, &credentials, &package, None).await;
    assert_eq!(told["code"], "no_agent_program", "{told}");
    assert!(server.stop().await.success());
    assert_eq!(upgrades(&data).await, 1);

    let replaced = folder.path().join("gatebook");
    fs::copy(PROGRAM, &replaced).unwrap();
    let mut file = OpenOptions::new().append(true).open(&replaced).unwrap();
    file.write_all(b"\n").unwrap();
    drop(file);
    let Ok(server) = Server::try_start_of(&replaced, &data, &[]).await else {
        panic!("the replaced program does not serve");
    };
    let (status, told) = ask(&server, &credentials, &package, None).await;
    assert_eq!(
        (status, &told["code"]),
        (409, &json!("installer_invalidated")),
        "{told}"
    );
    let body = json!({"jump_group_id": 1});
    let (_, installer) = ask(&server, &credentials, "jump-client/installer", Some(body)).await;
    let id = installer["installer_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let package = format!("jump-client/installer/{id}/windows-64-msi");
    let (_, told) = ask(&server, &credentials, &package, None).await;
    assert_eq!(told["code"], "no_agent_program", "{told}");
    assert!(server.stop().await.success());
    assert_eq!(upgrades(&data).await, 2);
}
