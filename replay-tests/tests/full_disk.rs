//! A disk without room under the log: agents and callers are turned away in order, nothing that was acknowledged is missing,
//! the health check tells of it, and all goes on when there is room again.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use eventstore::testing::TestDatabase;
use replay_tests::attacker::{Heard, Wire, pause};
use replay_tests::fleet::{Fleet, until};
use replay_tests::program::{Site, built};
use reqwest::{Method, StatusCode};
use serde_json::json;

/// Turns the signal that a file got too large into an error of the write, as a full disk gives one.
const WITHOUT_THE_SIGNAL: [&str; 3] = ["sh", "-c", r#"trap "" XFSZ; exec "$0" "$@""#];
/// Room that is left when the disk begins to be full, in bytes.
const ROOM: u64 = 128 << 10;

/// Bounds how large files of a process may grow; without a bound there is room again.
fn let_files_grow_to(process: u32, bytes: Option<u64>) -> Result<()> {
    let bound = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
    let done = Command::new("prlimit")
        .args(["--pid", &process.to_string(), &format!("--fsize={bound}:")])
        .status()
        .context("prlimit of util-linux is needed")?;
    ensure!(done.success(), "prlimit: {done}");
    Ok(())
}

/// The size of the largest file of the log.
fn largest_file(folder: &Path) -> Result<u64> {
    let mut largest = 0;
    for file in std::fs::read_dir(folder)? {
        largest = largest.max(file?.metadata()?.len());
    }
    Ok(largest)
}

/// A machine that checks in again and again with something new, and comes back when it is turned away.
struct Steady {
    client: u64,
    token: String,
    /// What was acknowledged, in order.
    acknowledged: Vec<String>,
    /// How often it was asked to come back later.
    turned_away: usize,
}

impl Steady {
    fn register(fleet: &Fleet) -> Result<Self> {
        let facts = json!({"hostname": "steady"});
        let (mut wire, welcome) = Wire::register(&fleet.site, &fleet.key, &json!({}), &facts)?;
        wire.say(&json!({"type": "token_stored"}))?;
        wire.say(&json!({"type": "goodbye"}))?;
        wire.closed()?;
        Ok(Self {
            client: welcome["client_id"].as_u64().context("a client")?,
            token: welcome["token"].as_str().context("a token")?.to_owned(),
            acknowledged: Vec::new(),
            turned_away: 0,
        })
    }

    /// Link after link until `over`, and then until one more is acknowledged.
    fn live(&mut self, site: &Site, over: &AtomicBool) -> Result<()> {
        let mut number = 0;
        loop {
            let facts = json!({"hostname": "steady"});
            let (wire, answer) = Wire::resume(site, self.client, &self.token, &facts)?;
            if answer["type"] == "retry_later" {
                self.turned_away += 1;
                // Less than it is asked for: the test has little time.
                pause(Duration::from_millis(500));
                continue;
            }
            ensure!(answer["type"] == "welcome", "{answer}");
            if self.check_in_until_closed(wire, &mut number, over)? {
                return Ok(());
            }
        }
    }

    /// Whether it is over; else the link was closed in order.
    fn check_in_until_closed(
        &mut self,
        mut wire: Wire,
        number: &mut u64,
        over: &AtomicBool,
    ) -> Result<bool> {
        for sequence in 1.. {
            let last = over.load(Ordering::SeqCst);
            *number += 1;
            let said = format!("user {number}");
            let facts = json!({"console_user": said});
            wire.say(&json!({"type": "check_in", "sequence": sequence, "facts": facts}))?;
            loop {
                // Beyond ten changes of facts the next one is written after a minute.
                match wire.hear(Duration::from_secs(90))? {
                    Heard::Frame(frame) if frame["type"] == "ping" => {
                        wire.say(&json!({"type": "pong", "nonce": frame["nonce"]}))?;
                    }
                    Heard::Frame(frame) if frame["type"] == "check_in_recorded" => {
                        ensure!(frame["sequence"] == sequence, "{frame}");
                        self.acknowledged.push(said);
                        break;
                    }
                    Heard::Frame(frame) if frame["type"] == "retry_later" => {
                        self.turned_away += 1;
                        let closed = wire.closed()?;
                        ensure!(closed == Some(4503), "{closed:?} after retry_later");
                        return Ok(false);
                    }
                    Heard::Frame(_) => {}
                    other => anyhow::bail!("{other:?} while {said} waits"),
                }
            }
            if last {
                return Ok(true);
            }
            // Ten changes of facts are written at once: enough for as long as the disk takes to be full.
            pause(Duration::from_millis(1_500));
        }
        Ok(false)
    }
}

/// The status and the words of the health check.
async fn health(site: &Site) -> Result<(StatusCode, String)> {
    let answer = reqwest::get(format!("{}/check_health", site.url())).await?;
    Ok((answer.status(), answer.text().await?))
}

/// What the outside sees of a log that can't grow.
async fn all_is_refused_in_order(fleet: &Fleet) -> Result<()> {
    let number = AtomicU64::new(0);
    until("the log can't grow", async || {
        let number = number.fetch_add(1, Ordering::SeqCst);
        let group = json!({"name": format!("Group {number}")});
        let path = "/api/config/v1/jump-group";
        let (status, said) = fleet.api.ask(Method::POST, path, &group).await?;
        ensure!(
            [200, 201, 409, 422, 503].contains(&status),
            "{status} {said}"
        );
        Ok(status == 503)
    })
    .await?;
    until("the health check tells of it", async || {
        Ok(health(&fleet.site).await?.0 == StatusCode::INTERNAL_SERVER_ERROR)
    })
    .await?;
    let (_, words) = health(&fleet.site).await?;
    ensure!(words.starts_with("The log"), "{words}");
    // What is known can still be read.
    ensure!(fleet.items().await?.len() == 3);
    Ok(())
}

/// Threat S, CLNT-01, HLTH-08: agents hear that they should come back, people hear 503, and afterwards all acknowledged check-ins
/// are there, each once and in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_threat_s_a_full_disk_refuses_in_order_and_loses_nothing() -> Result<()> {
    let database = TestDatabase::sqlite();
    let site = Site::at(database.location(), database.directory())?;
    let server = site.serve_by(&WITHOUT_THE_SIGNAL)?;
    let fleet = Fleet::on(database, site).await?;
    let mut machines = (0..3)
        .map(|_| Steady::register(&fleet))
        .collect::<Result<Vec<_>>>()?;
    let over = AtomicBool::new(false);
    let lived: Vec<Result<()>> = std::thread::scope(|scope| {
        let threads: Vec<_> = machines
            .iter_mut()
            .map(|machine| scope.spawn(|| machine.live(&fleet.site, &over)))
            .collect();
        let story = async {
            fleet.until_online(3).await?;
            ensure!(health(&fleet.site).await?.0 == StatusCode::OK);
            let room = largest_file(&fleet.site.data)? + ROOM;
            let_files_grow_to(server.id(), Some(room))?;
            all_is_refused_in_order(&fleet).await?;
            let full_since = Instant::now();
            until("the machines were turned away for a while", async || {
                ensure!(health(&fleet.site).await?.0 == StatusCode::INTERNAL_SERVER_ERROR);
                Ok(full_since.elapsed() > Duration::from_secs(10))
            })
            .await?;
            let_files_grow_to(server.id(), None)?;
            until("the site is well again", async || {
                Ok(health(&fleet.site).await?.0 == StatusCode::OK)
            })
            .await?;
            fleet.until_online(3).await
        };
        let told =
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(story));
        // However it went, the machines come to their end.
        let lifted = let_files_grow_to(server.id(), None);
        over.store(true, Ordering::SeqCst);
        let joined = threads.into_iter().map(|thread| match thread.join() {
            Ok(lived) => lived,
            Err(_) => Err(anyhow::anyhow!("a machine fell over")),
        });
        [told, lifted].into_iter().chain(joined).collect()
    });
    lived.into_iter().collect::<Result<()>>()?;
    for machine in &machines {
        ensure!(
            machine.turned_away > 0,
            "client {} noticed nothing",
            machine.client
        );
        let events = fleet.client_events(machine.client).await?;
        let recorded: Vec<&str> = events
            .iter()
            .filter(|(name, _)| name == "JumpClientCheckedIn")
            .filter_map(|(_, body)| body["changed"]["console_user"].as_str())
            .collect();
        let mut kept = recorded.iter();
        for said in &machine.acknowledged {
            ensure!(
                kept.any(|kept| kept == said),
                "{said} is missing: {recorded:?}"
            );
        }
        ensure!(!machine.acknowledged.is_empty());
        let mut once = recorded.clone();
        once.retain(|said| !said.is_empty());
        let count = once.len();
        once.sort_unstable();
        once.dedup();
        ensure!(once.len() == count, "recorded twice: {recorded:?}");
    }
    server.stop()?;
    // The chain of the log holds.
    let verified = Command::new(built("gatebook", "GATEBOOK_BIN")?)
        .args(["log", "verify", "--data"])
        .arg(&fleet.site.data)
        .output()?;
    ensure!(verified.status.success(), "{verified:?}");
    Ok(())
}
