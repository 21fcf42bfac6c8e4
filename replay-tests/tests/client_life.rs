//! The life of Jump Clients with real agents, under a clock that the test moves: lost, deleted for being offline, refused when
//! they return, and switched off by their user.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use replay_tests::program::resumed_agent;
use replay_tests::stage::{Stage, item_named, jump, no_jump, until};
use reqwest::Method;
use serde_json::{Value, json};

const GROUP: (&str, u64) = ("shared", 1);

async fn begun() -> Result<Stage> {
    let stage = Stage::open("2026-03-02T09:00:00Z").await?;
    stage
        .id_of_new("jump-group", json!({"name": "Web Servers"}))
        .await?;
    Ok(stage)
}

async fn status(stage: &Stage, name: &str) -> Result<Option<String>> {
    let item = item_named(&stage.administrator, name).await?;
    Ok(item.and_then(|item| Some(item["status"].as_str()?.to_owned())))
}

async fn details(stage: &Stage, item: &str) -> Result<Value> {
    let path = format!("/api/console/v1/items/{item}");
    stage.administrator.get(&path).await
}

/// Starts the agent of a machine again, with what it keeps.
fn again(stage: &Stage, name: &str) -> Result<replay_tests::program::Running> {
    let state = stage.site.database.directory().join("agents").join(name);
    resumed_agent(&stage.site.agent_url(), &state)
}

/// CLNT-05, CLNT-11, CLNT-12, CLNT-14, CLNT-17, CLNT-60
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stays_away_is_lost_then_deleted_and_refused_when_it_returns() -> Result<()> {
    let mut stage = begun().await?;
    let seen_by = stage.administrator.clone();
    let item = stage.machine("web-1", GROUP, &seen_by).await?;
    ensure!(details(&stage, &item).await?["deletion_at"].is_null());
    stage.stop_agent(&item).await?;
    until("it is offline", async || {
        Ok(status(&stage, "web-1").await?.as_deref() == Some("offline"))
    })
    .await?;
    let shown = details(&stage, &item).await?;
    ensure!(shown["offline_since"].is_string(), "{shown}");
    let at = shown["deletion_at"].as_str().context("a deletion date")?;
    ensure!(at.starts_with("2026-08-29T"), "180 days later: {at}");
    stage.move_to("2026-03-17T09:00:01Z").await?;
    ensure!(status(&stage, "web-1").await?.as_deref() == Some("lost"));
    until("the label is written down", async || {
        let log = stage.site.log().await?;
        Ok(log.iter().any(|event| event.name == "JumpClientLost"))
    })
    .await?;
    stage.move_to("2026-08-29T09:00:10Z").await?;
    until("it is deleted", async || {
        Ok(status(&stage, "web-1").await?.is_none())
    })
    .await?;
    let gone = (404, "The Jump Client does not exist.");
    no_jump(&stage.administrator, &json!({"item": item}), gone).await?;
    // The machine comes back: refused for good, with the reason, and its program ends.
    let mut late = again(&stage, "web-1")?;
    until("the agent ends", async || Ok(!late.is_running()?)).await?;
    stage.close().await
}

/// CLNT-29, ERR-15
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_its_user_switched_off_starts_no_session() -> Result<()> {
    let mut stage = begun().await?;
    let seen_by = stage.administrator.clone();
    let item = stage.machine("web-1", GROUP, &seen_by).await?;
    let switch = |word: &str| -> Result<()> {
        let state = stage.site.database.directory().join("agents").join("web-1");
        let program = replay_tests::program::built("gatebook-agent", "GATEBOOK_AGENT_BIN")?;
        let status = Command::new(program)
            .arg(word)
            .arg("--state")
            .arg(state)
            .status()?;
        ensure!(status.success(), "gatebook-agent {word}");
        Ok(())
    };
    switch("disable")?;
    let started = stage
        .administrator
        .send(
            Method::POST,
            "/api/console/v1/sessions",
            &json!({"item": item}),
        )
        .await;
    let said = format!("{:#}", started.err().context("no session starts")?);
    ensure!(
        said.contains("The Jump Client has been disabled by the user"),
        "{said}"
    );
    switch("enable")?;
    until("it may be jumped to again", async || {
        Ok(jump(&stage.administrator, &json!({"item": item}))
            .await
            .is_ok())
    })
    .await?;
    stage.close().await
}
