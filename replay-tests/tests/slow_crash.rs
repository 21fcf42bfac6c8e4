//! The server is killed at random moments under load, again and again, and nothing that was answered is ever lost.
//!
//! After each kill: every answered command is in the log, every other is whole or absent, positions, revisions and hashes
//! hold, and every view equals a fresh fold.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use eventstore::testing::TestDatabase;
use eventstore::{EventStore, Options};
use projections::{ReportIndex, SessionQuery};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use replay_tests::caller::Caller;
use replay_tests::in_process::fold;
use replay_tests::program::{Site, agent};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Kills a database; two databases make the fifty of the promise.
const KILLS: u32 = 25;
/// Callers at once.
const CALLERS: u32 = 8;

/// What one caller was told: names of groups with the position their creation was answered with.
type Answered = BTreeMap<String, u64>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_answered_is_lost_on_sqlite() -> Result<()> {
    crash(TestDatabase::sqlite(), 1).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_answered_is_lost_on_postgres() -> Result<()> {
    crash(TestDatabase::postgres().await, 2).await
}

async fn crash(database: TestDatabase, seed: u64) -> Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    let site = Site::at(database.location(), database.directory())?;
    let mut server = site.serve()?;
    let first_run = site.first_run()?;
    let username = first_run["administrator"]["username"]
        .as_str()
        .context("a username")?;
    let password = first_run["administrator"]["password"]
        .as_str()
        .context("a password")?;
    let administrator = Caller::console(&site.url(), username, password).await?;
    administrator.lift_rate_limits(1).await?;
    let api = Caller::first_account(&site.url(), &first_run).await?;
    let group = api
        .send(
            Method::POST,
            "/api/config/v1/jump-group",
            &json!({"name": "Fleet"}),
        )
        .await?;
    let installer = json!({"jump_group_id": group["id"], "name": "machine"});
    let installer = api
        .send(
            Method::POST,
            "/api/config/v1/jump-client/installer",
            &installer,
        )
        .await?;
    let key = installer["key_info"]["linux64-x86"]["encodedInfo"]
        .as_str()
        .context("a key")?
        .to_owned();
    let machine = agent(&site.url(), &key, &database.directory().join("agent"))?;

    let mut answered = Answered::new();
    for kill in 0..KILLS {
        let load = Duration::from_millis(random.random_range(30..600));
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            callers.spawn(call_until_gone(api.clone(), format!("{kill}-{caller}")));
        }
        callers.spawn(jump_until_gone(administrator.clone()));
        tokio::time::sleep(load).await;
        server.kill()?;
        while let Some(told) = callers.join_next().await {
            answered.extend(told??);
        }
        check(&database, &answered)
            .await
            .with_context(|| format!("after kill {kill} of seed {seed}"))?;
        server = site.serve()?;
    }
    drop(machine);
    server.stop()?;
    ensure!(
        answered.len() > KILLS as usize,
        "only {} commands were answered",
        answered.len()
    );
    check(&database, &answered).await
}

/// Makes groups until the server is gone; says which were answered.
async fn call_until_gone(api: Caller, prefix: String) -> Result<Answered> {
    let mut answered = Answered::new();
    for number in 0_u32.. {
        let name = format!("group {prefix}-{number}");
        let request = api
            .request(Method::POST, "/api/config/v1/jump-group")
            .json(&json!({"name": name}));
        let Ok(answer) = request.send().await else {
            break;
        };
        let status = answer.status();
        let position = answer.headers().get("x-gatebook-position").cloned();
        let Ok(body) = answer.text().await else { break };
        ensure!(status.as_u16() == 201, "{status}: {body}");
        let position = position.context("an answer says its position")?;
        let position = position
            .to_str()?
            .rsplit_once('-')
            .context("epoch-position")?
            .1
            .parse()?;
        answered.insert(name, position);
    }
    Ok(answered)
}

/// Starts and ends sessions until the server is gone. What is in the log of them is checked by the fold.
async fn jump_until_gone(console: Caller) -> Result<Answered> {
    loop {
        let start = console
            .request(Method::POST, "/api/console/v1/sessions")
            .json(&json!({"item": "jump_client-1"}));
        let Ok(answer) = start.send().await else {
            break;
        };
        let Ok(body) = answer.text().await else { break };
        let lsid = serde_json::from_str::<Value>(&body)
            .ok()
            .and_then(|body| body["lsid"].as_str().map(str::to_owned));
        let Some(lsid) = lsid else {
            // The agent is not back yet; it finds its way by its own pauses.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let path = format!("/api/console/v1/sessions/{lsid}/end");
        if console
            .request(Method::POST, &path)
            .json(&json!({}))
            .send()
            .await
            .is_err()
        {
            break;
        }
    }
    Ok(Answered::new())
}

async fn check(database: &TestDatabase, answered: &Answered) -> Result<()> {
    let store = EventStore::open(database.location(), Options::default()).await?;
    let verification = store.verify(|_| {}).await?;
    ensure!(
        verification.is_whole(),
        "the log is not whole: {verification:?}"
    );

    let world = fold(&store).await?;
    let by_name: BTreeMap<&str, _> = world
        .jump_groups
        .iter()
        .map(|(id, group)| (group.name.as_str(), *id))
        .collect();
    for (name, position) in answered {
        let id = by_name
            .get(name.as_str())
            .with_context(|| format!("{name} was answered and is not there"))?;
        let all = eventstore::Selection::All;
        let events = store
            .read(&all, *position, eventstore::Direction::Forward, 1)
            .await?;
        let event = events
            .first()
            .with_context(|| format!("no event at {position}"))?;
        ensure!(
            event.stream == format!("jump_group-{id}"),
            "{name} is not at {position}: {}",
            event.stream
        );
    }
    let stored = eventstore::Selection::EventType("JumpGroupCreated".to_owned());
    let created = store
        .read(&stored, 1, eventstore::Direction::Forward, 1_000_000)
        .await?;
    ensure!(
        created.len() == by_name.len(),
        "{} created, {} folded",
        created.len(),
        by_name.len()
    );

    check_report_index(&store).await?;
    store.close().await;
    Ok(())
}

/// The report index that lived through the kills, brought to the head, equals one made from nothing.
async fn check_report_index(store: &EventStore) -> Result<()> {
    let head = store.head().await?.position;
    let lived = ReportIndex::open(store).await?;
    lived.catch_up(head).await?;
    let before = lived.sessions(&SessionQuery::everything()).await?;
    ReportIndex::rebuild(store, |_| {}).await?;
    let anew = ReportIndex::open(store).await?;
    let after = anew.sessions(&SessionQuery::everything()).await?;
    ensure!(
        before == after,
        "the report index differs from a fresh fold"
    );
    Ok(())
}
