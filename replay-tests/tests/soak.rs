//! Everybody at once, for ten minutes: a fleet, a console with an open stream, an integration at exactly its rate, people who sign
//! in, and strangers with wrong passwords from four networks. Who keeps the rules is never refused.
//!
//! `cargo xtask test soak`. `GATEBOOK_SOAK_SECONDS` shortens it.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests tell what they do"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use eventstore::testing::TestDatabase;
use eventstore::{Access, Direction, EventStore, Options, Selection};
use rand::Rng;
use replay_tests::fleet::{Fleet, SOON, until};
use replay_tests::load::Load;
use replay_tests::program::Site;
use reqwest::{Certificate, Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Simulated machines.
const AGENTS: u64 = 2_000;
/// Connections of strangers, each with one sign-in under way.
const STRANGERS: usize = 200;
/// The networks they come from.
const NETWORKS: [&str; 4] = ["203.0.113.7", "198.51.100.7", "192.0.2.7", "2001:db8:7::7"];
/// The rate of an API account that was not given another (AUTH-15). Unit: calls a second.
const CALLS_A_SECOND: u32 = 20;
/// Most events a minute that the strangers may cause.
const EVENTS_A_MINUTE_MAX: usize = 100;
/// Events that refusals before or at a sign-in leave.
const OF_STRANGERS: [&str; 2] = ["ActionRefused", "AttemptsRefused"];

fn lasts() -> Result<Duration> {
    match std::env::var("GATEBOOK_SOAK_SECONDS") {
        Ok(seconds) => Ok(Duration::from_secs(
            seconds.parse().context("GATEBOOK_SOAK_SECONDS")?,
        )),
        Err(_) => Ok(Duration::from_secs(600)),
    }
}

/// A client that trusts the site's authority.
fn over_tls(site: &Site) -> Result<Client> {
    let authority = std::fs::read(site.data.join("site-ca.pem"))?;
    Ok(Client::builder()
        .tls_certs_only([Certificate::from_pem(&authority)?])
        .timeout(Duration::from_secs(30))
        .no_proxy()
        .build()?)
}

/// AUTH-15, threat M
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak_threat_m_who_keeps_the_rules_is_never_refused() -> Result<()> {
    let lasts = lasts()?;
    let database = TestDatabase::sqlite();
    let site = Site::at(database.location(), database.directory())?;
    let server = site.serve_by(&["env", "GATEBOOK_TRUSTED_PROXY=127.0.0.1/32"])?;
    let fleet = Fleet::on(database, site).await?;
    let https = fleet.https();
    let agents = AGENTS.to_string();
    let arguments = ["--server", &https, "--agents", &agents, "--rate", "50"];
    let mut load = Load::start(&fleet.key, &arguments)?;
    until("the whole fleet is online", async || {
        let items = fleet.anna.get("/api/console/v1/items?per_page=1").await?;
        Ok(items["counts"]["online"] == AGENTS)
    })
    .await?;
    let integration = account(&fleet).await?;
    let before = events_of_strangers(&fleet).await?;

    let over = Arc::new(AtomicBool::new(false));
    let turned_away = Arc::new(AtomicUsize::new(0));
    let mut strangers = JoinSet::new();
    for number in 0..STRANGERS {
        let stranger = stranger(
            fleet.site.url(),
            number,
            Arc::clone(&over),
            Arc::clone(&turned_away),
        );
        strangers.spawn(stranger);
    }
    let (calls, sign_ins, messages) = tokio::try_join!(
        at_exact_rate(&fleet, &integration, lasts),
        people_sign_in(&fleet, lasts),
        stream_read(&fleet, lasts),
    )?;
    over.store(true, Ordering::Relaxed);
    while let Some(ended) = strangers.join_next().await {
        ended??;
    }

    let after = events_of_strangers(&fleet).await?;
    let minutes = lasts.as_secs_f64() / 60.0;
    let grown = after - before;
    let report = load.report()?;
    println!(
        "{calls} calls, {sign_ins} sign-ins, {messages} messages of the stream, {} sign-ins of strangers turned away, {grown} events of theirs in {minutes:.1} minutes; fleet: {report}",
        turned_away.load(Ordering::Relaxed)
    );
    ensure!(
        grown as f64 <= EVENTS_A_MINUTE_MAX as f64 * minutes.max(1.0),
        "strangers caused {grown} events in {minutes:.1} minutes"
    );
    let online = load.who()?.len() as u64;
    ensure!(online == AGENTS, "{online} of {AGENTS} machines are online");
    load.stop()?;
    server.stop()
}

/// A token of an account with the default rate.
async fn account(fleet: &Fleet) -> Result<String> {
    let path = "/api/console/v1/api-accounts";
    let body = json!({"name": "integration", "perm_configuration": true});
    let made = fleet.administrator.send(Method::POST, path, &body).await?;
    let text = |name: &str| {
        made[name]
            .as_str()
            .with_context(|| format!("no {name} in {made}"))
    };
    let answer = over_tls(&fleet.site)?
        .post(format!("{}/oauth2/token", fleet.https()))
        .basic_auth(text("client_id")?, Some(text("client_secret")?))
        .form(&[("grant_type", "client_credentials")])
        .send()
        .await?;
    let token: Value = answer.json().await?;
    Ok(token["access_token"]
        .as_str()
        .context("no token")?
        .to_owned())
}

/// Calls at exactly the account's rate, each a little early or late, as networks have it; answers how many there were.
async fn at_exact_rate(fleet: &Fleet, token: &str, lasts: Duration) -> Result<usize> {
    let client = over_tls(&fleet.site)?;
    let url = format!("{}/api/config/v1/jump-group?per_page=5", fleet.https());
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / CALLS_A_SECOND);
    let until = Instant::now() + lasts;
    let mut calls = JoinSet::new();
    let mut count = 0;
    while Instant::now() < until {
        ticks.tick().await;
        let jitter = Duration::from_micros(rand::rng().random_range(0..30_000));
        let (client, url, token) = (client.clone(), url.clone(), token.to_owned());
        calls.spawn(async move {
            tokio::time::sleep(jitter).await;
            let answer = client.get(url).bearer_auth(token).send().await?;
            anyhow::Ok(answer.status())
        });
        while let Some(done) = calls.try_join_next() {
            expect_ok(done??)?;
            count += 1;
        }
    }
    while let Some(done) = calls.join_next().await {
        expect_ok(done??)?;
        count += 1;
    }
    Ok(count)
}

fn expect_ok(status: StatusCode) -> Result<()> {
    ensure!(status.is_success(), "the integration was answered {status}");
    Ok(())
}

/// People with the right password sign in, one every second.
async fn people_sign_in(fleet: &Fleet, lasts: Duration) -> Result<usize> {
    let client = over_tls(&fleet.site)?;
    let url = format!("{}/api/console/v1/sign-in", fleet.https());
    let body = json!({"username": "anna", "password": "correct horse battery", "bearer": true});
    let until = Instant::now() + lasts;
    let mut count = 0;
    while Instant::now() < until {
        let answer = client.post(&url).json(&body).send().await?;
        let status = answer.status();
        ensure!(
            status.is_success(),
            "sign-in {count} was answered {status}: {}",
            answer.text().await?
        );
        count += 1;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(count)
}

/// An open console, whose stream must neither end nor lose its place.
async fn stream_read(fleet: &Fleet, lasts: Duration) -> Result<usize> {
    let mut stream = fleet
        .administrator
        .request(Method::GET, "/api/console/v1/events")
        .timeout(lasts + SOON)
        .send()
        .await?;
    let until = tokio::time::Instant::now() + lasts;
    let mut text = String::new();
    while let Ok(chunk) = tokio::time::timeout_at(until, stream.chunk()).await {
        let chunk = chunk?.context("the stream ended")?;
        text.push_str(&String::from_utf8_lossy(&chunk));
        ensure!(!text.contains("event: reset"), "the stream lost its place");
    }
    Ok(text.matches("event:").count())
}

/// Somebody who tries passwords of a user who is there, and of users who are not, over one connection.
async fn stranger(
    url: String,
    number: usize,
    over: Arc<AtomicBool>,
    turned_away: Arc<AtomicUsize>,
) -> Result<()> {
    let client = Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(60))
        .build()?;
    let network = NETWORKS[number % NETWORKS.len()];
    let username = if number.is_multiple_of(2) {
        "anna".to_owned()
    } else {
        format!("nobody-{number}")
    };
    while !over.load(Ordering::Relaxed) {
        let body = json!({"username": username, "password": format!("wrong {number}")});
        let sent = client
            .post(format!("{url}/api/console/v1/sign-in"))
            .header("x-forwarded-for", network)
            .header("x-forwarded-proto", "https")
            .json(&body)
            .send()
            .await;
        // Being cut off is one way to be turned away.
        if let Ok(answer) = sent {
            ensure!(!answer.status().is_success(), "a wrong password was right");
        }
        turned_away.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

async fn events_of_strangers(fleet: &Fleet) -> Result<usize> {
    let options = Options {
        access: Access::ReadOnly,
        ..Options::default()
    };
    let store = EventStore::open(fleet.database.location(), options).await?;
    let mut count = 0;
    let mut from = 1;
    loop {
        let page = store
            .read(&Selection::All, from, Direction::Forward, 2_000)
            .await?;
        let Some(last) = page.last() else { break };
        from = last.position + 1;
        count += page
            .iter()
            .filter(|event| OF_STRANGERS.contains(&event.event_type.as_str()))
            .count();
    }
    store.close().await;
    Ok(count)
}
