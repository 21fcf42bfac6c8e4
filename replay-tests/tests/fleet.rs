//! A fleet of simulated machines that come and go, are copied, stop reading and stop half way, against the real program: in the
//! end the log, the list and the machines agree, and no event of a connection is lost or there twice.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use eventstore::{Access, EventStore, Options};
use replay_tests::fleet::{Fleet, SOON};
use replay_tests::load::{Load, Presences};
use reqwest::Method;
use serde_json::{Value, json};

/// How long the fleet comes and goes.
const CHURN_FOR: Duration = Duration::from_secs(8);

async fn set_rate(fleet: &Fleet, rate: u32) -> Result<()> {
    let path = "/api/console/v1/site/settings";
    let body = json!({"connection_rate": rate});
    fleet.administrator.send(Method::PATCH, path, &body).await?;
    Ok(())
}

/// What the log says now, read beside the server.
async fn presences(fleet: &Fleet) -> Result<Presences> {
    let options = Options {
        access: Access::ReadOnly,
        ..Options::default()
    };
    let store = EventStore::open(fleet.database.location(), options).await?;
    let presences = Presences::read(&store).await;
    store.close().await;
    presences
}

/// The clients that the list shows as online.
async fn listed(fleet: &Fleet) -> Result<BTreeSet<u64>> {
    let mut online = BTreeSet::new();
    for page in 1_u32.. {
        let path = format!("/api/console/v1/items?per_page=500&current_page={page}");
        let answer = fleet.anna.get(&path).await?;
        let items = answer["items"].as_array().context("a list")?;
        let here = items.iter().filter(|item| item["status"] == "active");
        online.extend(here.filter_map(client_of));
        if items.len() < 500 {
            break;
        }
    }
    Ok(online)
}

fn client_of(item: &Value) -> Option<u64> {
    let id = item["id"].as_str()?;
    id.rsplit('-').next()?.parse().ok()
}

/// Waits until machines, list and log agree on who is online, and `count` are online or out of service.
async fn agree(fleet: &Fleet, load: &mut Load, count: usize) -> Result<Presences> {
    let deadline = Instant::now() + SOON;
    loop {
        let before = load.who()?;
        let presences = presences(fleet).await?;
        let listed = listed(fleet).await?;
        let logged: BTreeSet<u64> = presences.online.keys().map(|id| u64::from(id.0)).collect();
        let same = before == logged && logged == listed && before == load.who()?;
        if same && before.len() + presences.quarantined.len() == count {
            return Ok(presences);
        }
        ensure!(
            Instant::now() < deadline,
            "{} machines are online, by the log {}, by the list {}, {} out of service; expected {count}: {}",
            before.len(),
            logged.len(),
            listed.len(),
            presences.quarantined.len(),
            load.report()?
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// CLNT-01, CLNT-05, CLNT-30, threat M, threat T
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threat_t_a_fleet_that_comes_and_goes_leaves_a_log_that_fits() -> Result<()> {
    let (fleet, server) = Fleet::begin().await?;
    set_rate(&fleet, 500).await?;
    let https = fleet.https();
    let mut load = Load::start(
        &fleet.key,
        &[
            "--server",
            &https,
            "--agents",
            "300",
            "--rate",
            "150",
            "--seed",
            "11",
            "--churn",
            "0.3",
            "--churn-seconds",
            "2",
            "--slow",
            "0.05",
            "--skewed",
            "0.05",
            "--clones",
            "0.03",
            "--half-open",
            "0.1",
        ],
    )?;
    tokio::time::sleep(CHURN_FOR).await;
    load.order("calm")?;
    let presences = agree(&fleet, &mut load, 300).await?;
    let report = load.report()?;
    ensure!(presences.online.len() > 250, "{report}");
    ensure!(
        presences.links > presences.online.len() + 50,
        "hardly anybody came and went: {} links, {report}",
        presences.links
    );
    // Every machine that was copied is out of service, and so is its copy; nobody else is.
    let quarantined = presences.quarantined.len();
    ensure!((3..=20).contains(&quarantined), "{quarantined}: {report}");
    ensure!(
        report["refusals"]["quarantined"].as_u64() >= Some(quarantined as u64),
        "{report}"
    );
    // Each of them is told how to be whenever it comes, and nothing that it does not know.
    ensure!(report["settings"].as_u64() >= Some(300), "{report}");
    ensure!(report["other_frames"] == 0, "{report}");
    for wrong in ["misspoke", "4400", "4404", "4405", "4413"] {
        ensure!(report["ends"][wrong].is_null(), "{wrong}: {report}");
    }
    load.stop()?;
    let after = agree_that_nobody_is_there(&fleet).await?;
    ensure!(
        after.links == presences.links,
        "somebody came after the end"
    );
    server.stop()
}

async fn agree_that_nobody_is_there(fleet: &Fleet) -> Result<Presences> {
    let deadline = Instant::now() + SOON;
    loop {
        let presences = presences(fleet).await?;
        if presences.online.is_empty() && listed(fleet).await?.is_empty() {
            return Ok(presences);
        }
        let online = &presences.online;
        ensure!(Instant::now() < deadline, "still online: {online:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// CLNT-36, threat T
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threat_t_after_a_kill_all_come_back_once_and_no_faster_than_the_rate() -> Result<()> {
    const MACHINES: usize = 120;
    const RATE: u64 = 20;
    let (fleet, server) = Fleet::begin().await?;
    set_rate(&fleet, 1_000).await?;
    let https = fleet.https();
    let machines = MACHINES.to_string();
    let arguments = ["--server", &https, "--agents", &machines, "--seed", "3"];
    let mut load = Load::start(&fleet.key, &arguments)?;
    let before = agree(&fleet, &mut load, MACHINES).await?;
    set_rate(&fleet, RATE as u32).await?;

    server.kill()?;
    let server = fleet.site.serve()?;
    load.order("mark back")?;
    let after = agree(&fleet, &mut load, MACHINES).await?;
    let report = load.report()?;
    // Each is back on one new link: no state event is lost or there twice.
    ensure!(after.links == before.links + MACHINES, "{report}");
    let most = report["accept_per_second"]["most"].as_u64();
    // The seconds of the machines are not those of the server.
    ensure!(most <= Some(RATE + RATE / 4), "{report}");
    let first = &report["first_welcome_ms"];
    ensure!(first["count"].as_u64() == Some(MACHINES as u64), "{report}");
    ensure!(first["p100"].as_u64() >= Some(4_000), "{report}");
    load.stop()?;
    server.stop()
}
