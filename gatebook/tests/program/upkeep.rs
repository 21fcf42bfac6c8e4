//! Repeating maintenance by the cron expressions of the configuration.

use std::fs;

use tempfile::tempdir;

use crate::running::{Server, text, until};

#[tokio::test]
async fn snapshots_are_written_by_their_schedule_and_the_next_start_begins_with_one() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("gatebook.toml");
    fs::write(
        &file,
        "[maintenance]\nsnapshot = '* * * * * *'\nsweep = '* * * * * *'\nzone = 'Europe/Berlin'\n",
    )
    .unwrap();
    let data = folder.path().join("site");
    let server = Server::start(&data, &["--config", text(&file)]).await;
    let credentials =
        serde_json::from_slice(&fs::read(data.join("first-run.json")).unwrap()).unwrap();
    server.token(&credentials).await.unwrap();
    let wrote = |what: &'static str| {
        let written = &server.written;
        move || async move {
            written
                .lock()
                .unwrap()
                .iter()
                .any(|line| line.contains(what))
                .then_some(())
        }
    };
    until("a snapshot", wrote("wrote a snapshot")).await;
    until("a sweep", wrote("deleted what had expired")).await;
    assert!(fs::read_dir(data.join("snapshots")).unwrap().count() > 0);
    server
        .token(&credentials)
        .await
        .expect("a sweep leaves what is good");
    server.kill().await;

    let server = Server::start(&data, &[]).await;
    assert!(
        server
            .written
            .lock()
            .unwrap()
            .iter()
            .any(|line| line.contains("started from a snapshot"))
    );
    server.token(&credentials).await.unwrap();
    assert!(server.stop().await.success());
}
