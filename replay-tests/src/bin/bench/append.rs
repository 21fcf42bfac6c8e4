//! Durable appends through the engine against a bare insert loop into the same tables with the same bytes.

use std::time::{Duration, Instant};

use anyhow::Result;
use domain::ids::JumpClientId;
use domain::{Actor, Cause, World};
use engine::{Engine, Lane, Submission};
use eventstore::testing::TestDatabase;
use eventstore::{Direction, EventStore, RecordedEvent, Selection};
use replay_tests::in_process::start;
use tokio::task::JoinSet;

use crate::bare::Bare;
use crate::fleet::{self, Size};
use crate::{kind, median};

/// Callers at once.
const CALLERS: u32 = 256;
/// Clients that check in: each caller has its own, so that no two touch one stream in a batch of the bare loop.
const CLIENTS: u32 = CALLERS * 16;
/// How long one round measures each side.
const ROUND: Duration = Duration::from_secs(2);
/// Rounds, of which the middle counts.
const ROUNDS: usize = 5;

pub(crate) async fn run() -> Result<()> {
    println!(
        "append: durable events a second, {CALLERS} callers, median of {ROUNDS} rounds taken in turns"
    );
    println!(
        "{:<10} {:>11} {:>12} {:>12} {:>7} {:>14} {:>9}",
        "database", "outstanding", "bare loop", "engine", "ratio", "one a commit", "multiple"
    );
    for database in [TestDatabase::sqlite(), TestDatabase::postgres().await] {
        for outstanding in [1, 16] {
            measure(&database, outstanding).await?;
        }
    }
    Ok(())
}

async fn measure(database: &TestDatabase, outstanding: u32) -> Result<()> {
    let kind = kind(database);
    let (mut bare, mut through, mut single) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let engine_log = fresh(database).await;
        let (_, events) = history(&engine_log).await?;
        through.push(engine_rate(&engine_log, outstanding).await?);
        let sample = sample(&engine_log, events).await?;
        let bare_log = fresh(database).await;
        history(&bare_log).await?;
        let batch = if outstanding == 1 {
            CALLERS as usize
        } else {
            1_024
        };
        bare.push(bare_rate(&bare_log, &sample, batch).await?);
        let single_log = fresh(database).await;
        history(&single_log).await?;
        single.push(bare_rate(&single_log, &sample, 1).await?);
    }
    let (bare, through, single) = (median(bare), median(through), median(single));
    println!(
        "{kind:<10} {outstanding:>11} {bare:>12.0} {through:>12.0} {:>6.0}% {single:>14.0} {:>8.1}x",
        100.0 * through / bare,
        through / single
    );
    Ok(())
}

async fn fresh(database: &TestDatabase) -> TestDatabase {
    if kind(database) == "postgres" {
        TestDatabase::postgres().await
    } else {
        TestDatabase::sqlite()
    }
}

async fn history(log: &TestDatabase) -> Result<(World, u64)> {
    let store = log.open().await;
    let world = fleet::make(
        &store,
        &Size {
            clients: CLIENTS,
            users: 10,
            events: 0,
        },
    )
    .await?;
    let head = store.head().await?.position;
    store.close().await;
    Ok((world, head))
}

async fn engine_rate(log: &TestDatabase, outstanding: u32) -> Result<f64> {
    let (engine, task) = start(log.open().await).await?;
    let began = Instant::now();
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        for slot in 0..outstanding {
            callers.spawn(check_in_until(
                engine.clone(),
                JumpClientId(caller * 16 + slot + 1),
                began + ROUND,
            ));
        }
    }
    let mut done = 0_u32;
    while let Some(count) = callers.join_next().await {
        done += count??;
    }
    let rate = f64::from(done) / began.elapsed().as_secs_f64();
    task.shut_down().await;
    Ok(rate)
}

async fn check_in_until(engine: Engine, client: JumpClientId, until: Instant) -> Result<u32> {
    let mut turn = 0;
    while Instant::now() < until {
        turn += 1;
        let cause = Cause::program(Actor::JumpClient(client));
        engine
            .execute(Submission::new(
                fleet::check_in(client, turn),
                cause,
                Lane::Integrations,
            ))
            .await?;
    }
    Ok(turn)
}

/// What the engine wrote, to be written again without thinking.
async fn sample(log: &TestDatabase, after: u64) -> Result<Vec<RecordedEvent>> {
    let store = log.open().await;
    let events = store
        .read(&Selection::All, after + 1, Direction::Forward, 500_000)
        .await?;
    store.close().await;
    Ok(events)
}

async fn bare_rate(log: &TestDatabase, sample: &[RecordedEvent], batch: usize) -> Result<f64> {
    // Opened and closed so that the tables are there.
    EventStore::open(log.location(), eventstore::Options::default())
        .await?
        .close()
        .await;
    let mut bare = Bare::open(log.location()).await?;
    let began = Instant::now();
    let mut written = 0_u32;
    for rows in sample.chunks(batch) {
        if began.elapsed() >= ROUND {
            break;
        }
        bare.insert(rows).await?;
        written += u32::try_from(rows.len())?;
    }
    Ok(f64::from(written) / began.elapsed().as_secs_f64())
}
