//! Databases that are not served: each refusal says what to do about it, and the program exits with the code for it.

use std::fs;
use std::path::Path;

use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tempfile::tempdir;

use crate::running::{done, run, text};

async fn sql(file: &Path, statements: &str) {
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_database_that_is_damaged_foreign_or_newer_is_refused_with_what_to_do() {
    let folder = tempdir().unwrap();
    let site = |name: &str| folder.path().join(name);
    for name in ["damaged", "newer", "cut"] {
        done(&["init", "--data", text(&site(name))]).await;
    }
    let log = |name: &str| site(name).join("log.db");
    let whole = fs::read(log("damaged")).unwrap();
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 8_192].fill(0xff);
    fs::write(log("damaged"), damaged).unwrap();
    sql(&log("newer"), "UPDATE log_head SET min_reader = 99").await;
    fs::write(log("cut"), &whole[..5_000]).unwrap();
    fs::create_dir(site("foreign")).unwrap();
    sql(
        &log("foreign"),
        "CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('mine')",
    )
    .await;
    fs::create_dir(site("nonsense")).unwrap();
    fs::write(log("nonsense"), "This is no database at all. ".repeat(400)).unwrap();

    // folder, what the refusal must say
    for (name, words) in [
        ("damaged", "backup"),
        ("cut", "backup"),
        ("newer", "version"),
        ("foreign", "another program"),
        ("nonsense", "log.db"),
    ] {
        let before = fs::read(log(name)).unwrap();
        for command in [&["serve"][..], &["init"], &["log", "verify"]] {
            let data = site(name);
            let refused = run(&[command, &["--data", text(&data)]].concat()).await;
            assert_eq!(refused.code, 3, "{name} {command:?}: {}", refused.stderr);
            assert!(
                refused.stderr.contains(words),
                "{name} {command:?}: {}",
                refused.stderr
            );
        }
        assert_eq!(
            fs::read(log(name)).unwrap(),
            before,
            "{name}: what is refused is left as it is"
        );
    }
}

/// Threat C.
#[tokio::test]
async fn threat_c_a_database_that_is_not_there_is_named_without_its_password() {
    let folder = tempdir().unwrap();
    let url = "postgres://gate:hunter2-canary@127.0.0.1:1/site";
    let away = run(&["serve", "--data", text(folder.path()), "--database", url]).await;
    assert_eq!(away.code, 4, "{}", away.stderr);
    assert!(away.stderr.contains("127.0.0.1"), "{}", away.stderr);
    assert!(!away.stderr.contains("hunter2-canary"), "{}", away.stderr);
    let wrong = run(&[
        "log",
        "read",
        "--data",
        text(folder.path()),
        "--database",
        "mysql://u:hunter2-canary@h/d",
    ])
    .await;
    assert_eq!(wrong.code, 4, "{}", wrong.stderr);
    assert!(!wrong.stderr.contains("hunter2-canary"), "{}", wrong.stderr);

    let nothing = run(&[
        "log",
        "read",
        "--data",
        text(&folder.path().join("nothing")),
    ])
    .await;
    assert_eq!(nothing.code, 4, "{}", nothing.stderr);
    assert!(
        nothing.stderr.contains("gatebook init"),
        "{}",
        nothing.stderr
    );
    assert!(
        !folder.path().join("nothing").exists(),
        "reading makes nothing"
    );
}
