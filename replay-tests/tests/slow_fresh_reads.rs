//! A read is as fresh as the log was when the request came in, whichever node is asked.

use anyhow::{Context, Result, ensure};
use eventstore::testing::TestDatabase;
use replay_tests::caller::Caller;
use replay_tests::program::Site;
use reqwest::Method;
use serde_json::json;

/// Writes on one node, each followed by a read on the other.
const PAIRS: u32 = 10_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_by_one_node_is_seen_on_the_other() -> Result<()> {
    let database = TestDatabase::postgres().await;
    let first = Site::at(database.location(), database.directory())?;
    let second = first.further_node(database.directory(), "two")?;
    let writing = first.serve()?;
    let reading = second.serve()?;
    let first_run = first.first_run()?;
    let username = first_run["administrator"]["username"]
        .as_str()
        .context("a username")?;
    let password = first_run["administrator"]["password"]
        .as_str()
        .context("a password")?;
    Caller::console(&first.url(), username, password)
        .await?
        .lift_rate_limits(1)
        .await?;
    let writer = Caller::first_account(&first.url(), &first_run).await?;
    let reader = writer.at(&second.url());

    let group = writer
        .send(
            Method::POST,
            "/api/config/v1/jump-group",
            &json!({"name": "fresh"}),
        )
        .await?;
    let path = format!("/api/config/v1/jump-group/{}", group["id"]);
    let mut stale = 0;
    for pair in 0..PAIRS {
        let comments = pair.to_string();
        writer
            .send(Method::PATCH, &path, &json!({"comments": comments}))
            .await?;
        if reader.get(&path).await?["comments"] != comments.as_str() {
            stale += 1;
        }
    }
    ensure!(stale == 0, "{stale} of {PAIRS} reads were stale");
    writing.stop()?;
    reading.stop()
}
