//! `fleet`: what agents cost one server, and what becomes of them when it is killed; `two_servers`: twice as many over two.
//!
//! The machines are simulated by `gatebook-load` over real TLS on the same processors, which is said beside the server's cost.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use eventstore::testing::TestDatabase;
use eventstore::{Access, EventStore, Options};
use replay_tests::fleet::Fleet;
use replay_tests::load::{Load, Presences};
use replay_tests::program::{Running, Site};
use reqwest::Method;
use serde_json::{Value, json};

/// Machines of the largest appliance but one, at first, and of the figure aimed at.
const FIRST: u32 = 5_000;
const ALL: u32 = 19_000;
/// Over two servers.
const ALL_OF_TWO: u32 = 36_000;
/// Files of a server that are no agent's.
const OTHER_FILES: u32 = 900;
/// How long a server is left alone before its memory is read.
const SETTLE: Duration = Duration::from_secs(15);
/// How long processor time at rest is counted.
const REST: Duration = Duration::from_secs(60);
/// How long anything may take in which every machine is to come.
const COME_WITHIN: Duration = Duration::from_secs(240);
/// How long the storm at the default rate is watched.
const WATCHED: Duration = Duration::from_secs(90);

/// The fleet of one server.
pub(crate) async fn one_server() -> Result<()> {
    let all = ALL.min(open_files_max()?.saturating_sub(OTHER_FILES));
    let first = FIRST.min(all / 2);
    let (fleet, server) = Fleet::begin().await?;
    set_rate(&fleet, 2_000).await?;
    let (agents, begin) = (all.to_string(), first.to_string());
    let https = fleet.https();
    let arguments = [
        "--server",
        &https,
        "--agents",
        &agents,
        "--first",
        &begin,
        "--rate",
        "800",
        "--processes",
        "2",
        "--from",
        "127.0.0.2",
        "--sources",
        "4",
    ];
    let bare = Cost::of(server.id())?;
    let mut load = Load::start(&fleet.key, &arguments)?;
    all_online(&mut load, first).await?;
    tokio::time::sleep(SETTLE).await;
    let few = Cost::of(server.id())?;
    load.order("more")?;
    all_online(&mut load, all).await?;
    tokio::time::sleep(SETTLE).await;
    let many = Cost::of(server.id())?;
    let own_before = load.report()?;
    tokio::time::sleep(REST).await;
    let rested = Cost::of(server.id())?;
    let own = load.report()?;
    table_of_memory(&bare, (first, &few), (all, &many));
    let cpu = |report: &Value| report["own"]["cpu_seconds"].as_f64().unwrap_or(f64::NAN);
    println!(
        "\nAt rest with {all} agents: {:.1} % of a processor, the simulator {:.1} % and {:.0} MiB",
        (rested.cpu - many.cpu) * 100.0 / REST.as_secs_f64(),
        (cpu(&own) - cpu(&own_before)) * 100.0 / REST.as_secs_f64(),
        mebibytes(own["own"]["resident_bytes"].as_f64().unwrap_or(f64::NAN)),
    );

    let before = presences(&fleet.database).await?;
    let server = killed(&fleet, server, &mut load, all).await?;
    let after = presences(&fleet.database).await?;
    ensure!(
        after.online.len() == all as usize && after.links >= before.links + all as usize,
        "the log has {} online and {} links, before {}",
        after.online.len(),
        after.links,
        before.links
    );

    set_rate(&fleet, 50).await?;
    storm_at_default(&fleet, server, &mut load).await?;
    drop(load);
    Ok(())
}

/// Kills the server, starts it anew, and waits until all are back.
async fn killed(fleet: &Fleet, server: Running, load: &mut Load, all: u32) -> Result<Running> {
    server.kill()?;
    let begun = Instant::now();
    let server = fleet.site.serve()?;
    let answers_after = begun.elapsed();
    load.order("mark back")?;
    let took = all_online(load, all).await?;
    let report = load.report()?;
    println!("\nKilled and started anew with {all} agents, 2,000 a second:");
    println!(
        "- answers {:.1} s after it was started",
        answers_after.as_secs_f64()
    );
    println!("- all are back {:.1} s after that", took.as_secs_f64());
    told(&report, &server)?;
    Ok(server)
}

/// Kills the server, starts it anew at 50 a second, and watches how they come back.
async fn storm_at_default(fleet: &Fleet, server: Running, load: &mut Load) -> Result<()> {
    server.kill()?;
    let server = fleet.site.serve()?;
    load.order("mark default")?;
    tokio::time::sleep(WATCHED).await;
    let report = load.report()?;
    println!(
        "\nThe same at 50 a second, the first {} s:",
        WATCHED.as_secs()
    );
    told(&report, &server)?;
    server.kill()
}

fn told(report: &Value, server: &Running) -> Result<()> {
    let rate = &report["accept_per_second"];
    println!(
        "- accepted: {:.0} a second on average, {} in the busiest second",
        rate["mean"].as_f64().unwrap_or(f64::NAN),
        rate["most"]
    );
    for (what, name) in [
        (
            "welcomed (from the first answer of the server)",
            "first_welcome_ms",
        ),
        ("from hello to welcome", "greeting_ms"),
        ("TCP, TLS and WebSocket", "dialing_ms"),
        ("pauses asked for", "hints_ms"),
    ] {
        let spread = &report[name];
        if !spread.is_null() {
            println!(
                "- {what}, ms: 50 % {}, 99 % {}, 100 % {} (of {})",
                spread["p50"], spread["p99"], spread["p100"], spread["count"]
            );
        }
    }
    println!(
        "- dials {}, WebSockets {}, welcomes {}, told to come later {}, not made {}, ended {}",
        report["dials"],
        report["connected"],
        report["welcomes"],
        report["retry_later"],
        report["failures"],
        report["ends"]
    );
    let cost = Cost::of(server.id())?;
    println!(
        "- server: {:.1} s of processor time, {:.0} MiB; simulator {:.1} s",
        cost.cpu,
        mebibytes(cost.resident),
        report["own"]["cpu_seconds_in_phase"]
            .as_f64()
            .unwrap_or(f64::NAN)
    );
    Ok(())
}

/// The fleet of two servers.
pub(crate) async fn two_servers() -> Result<()> {
    let each = (ALL_OF_TWO / 2).min(open_files_max()?.saturating_sub(OTHER_FILES));
    let first = FIRST.min(each / 2);
    let database = TestDatabase::postgres().await;
    let folder = tempfile::tempdir()?;
    let site = Site::at(database.location(), folder.path())?;
    let server = site.serve()?;
    let fleet = Fleet::on(database, site).await?;
    set_rate(&fleet, 4_000).await?;
    let other = fleet.site.further_node(folder.path(), "two")?;
    let second = other.serve()?;
    let urls = [fleet.site.https, other.https]
        .map(|address| format!("https://localhost:{}", address.port()));
    let (agents, begin) = (each.to_string(), first.to_string());
    let servers = [&server, &second];
    let bare = costs(servers)?;
    let mut loads = Vec::new();
    for (url, (seed, from)) in urls.iter().zip([("1", "127.0.0.2"), ("2", "127.0.0.6")]) {
        let arguments = [
            "--server",
            url,
            "--agents",
            &agents,
            "--first",
            &begin,
            "--rate",
            "400",
            "--seed",
            seed,
            "--from",
            from,
            "--sources",
            "4",
        ];
        loads.push(Load::start(&fleet.key, &arguments)?);
    }
    let begun = Instant::now();
    for load in &mut loads {
        all_online(load, first).await?;
    }
    let mut took = begun.elapsed();
    tokio::time::sleep(SETTLE).await;
    let few = costs(servers)?;
    let begun = Instant::now();
    for load in &mut loads {
        load.order("more")?;
    }
    for load in &mut loads {
        all_online(load, each).await?;
    }
    took += begun.elapsed();
    tokio::time::sleep(SETTLE).await;
    let many = costs(servers)?;
    tokio::time::sleep(REST).await;
    let rested = costs(servers)?;
    println!(
        "\n{} agents over two servers on one PostgreSQL, online after {:.0} s; what each server has:",
        2 * each,
        took.as_secs_f64()
    );
    for server in 0..servers.len() {
        table_of_memory(&bare[server], (first, &few[server]), (each, &many[server]));
        println!(
            "\nAt rest: {:.1} % of a processor\n",
            (rested[server].cpu - many[server].cpu) * 100.0 / REST.as_secs_f64()
        );
    }
    let online = presences(&fleet.database).await?.online.len();
    ensure!(online == 2 * each as usize, "the log has {online} online");
    Ok(())
}

fn costs(servers: [&Running; 2]) -> Result<[Cost; 2]> {
    let [one, other] = servers.map(|server| Cost::of(server.id()));
    Ok([one?, other?])
}

/// The memory of a server without agents, with a few and with all of them.
fn table_of_memory(bare: &Cost, (first, few): (u32, &Cost), (all, many): (u32, &Cost)) {
    let each = (many.resident - few.resident) / 1_024.0 / f64::from(all - first);
    println!("| agents | server's memory, MiB | of it an agent, KiB (slope) |\n|---|---|---|");
    println!("| 0 | {:.0} | |", mebibytes(bare.resident));
    println!("| {first} | {:.0} | |", mebibytes(few.resident));
    println!("| {all} | {:.0} | {each:.1} |", mebibytes(many.resident));
}

async fn set_rate(fleet: &Fleet, rate: u32) -> Result<()> {
    let path = "/api/console/v1/site/settings";
    let body = json!({"connection_rate": rate});
    fleet.administrator.send(Method::PATCH, path, &body).await?;
    Ok(())
}

/// Waits until so many are online; answers how long that took.
async fn all_online(load: &mut Load, count: u32) -> Result<Duration> {
    let begun = Instant::now();
    loop {
        let report = load.report()?;
        if report["online"] == count {
            return Ok(begun.elapsed());
        }
        ensure!(
            begun.elapsed() < COME_WITHIN,
            "not all of {count} came: {report}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn presences(database: &TestDatabase) -> Result<Presences> {
    let options = Options {
        access: Access::ReadOnly,
        ..Options::default()
    };
    let store = EventStore::open(database.location(), options).await?;
    let presences = Presences::read(&store).await;
    store.close().await;
    presences
}

/// What a process costs.
struct Cost {
    /// Unit: bytes.
    resident: f64,
    /// Unit: seconds.
    cpu: f64,
}

impl Cost {
    fn of(pid: u32) -> Result<Self> {
        let folder = Path::new("/proc").join(pid.to_string());
        let status = std::fs::read_to_string(folder.join("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let resident: f64 = kibibytes.context("no memory")?.parse()?;
        let stat = std::fs::read_to_string(folder.join("stat"))?;
        let (_, fields) = stat.rsplit_once(") ").context("no fields")?;
        let ticks: Vec<f64> = fields
            .split(' ')
            .skip(11)
            .take(2)
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            resident: resident * 1_024.0,
            // Linux counts by the hundredth of a second.
            cpu: ticks.iter().sum::<f64>() / 100.0,
        })
    }
}

fn mebibytes(bytes: f64) -> f64 {
    bytes / 1_048_576.0
}

/// The soft limit of open files, which servers inherit.
fn open_files_max() -> Result<u32> {
    let limits = std::fs::read_to_string("/proc/self/limits")?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let soft = line
        .and_then(|line| line.split_whitespace().next())
        .context("no limit")?;
    Ok(soft.parse().unwrap_or(u32::MAX))
}
