//! What due dates of clients cost: a jump while 100,000 of them lie ahead, beside one where there are none, and while 20,000
//! clients are deleted in one minute.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Result, ensure};
use domain::fleet::jump_client;
use domain::ids::{JumpClientId, LinkId};
use domain::time::{MINUTE, SECOND};
use domain::{Actor, Command, Timestamp};
use engine::testing::{CountingFresh, TestClock};
use engine::{Engine, EngineSetup};
use eventstore::testing::TestDatabase;
use serde_json::json;
use tokio::sync::watch;

use crate::due_dates::{OTHERS, QUIET, STORM_MAX, administrator, ask_all, jumps_to, object, until};
use crate::fleet::{self, NODE, Size};
use crate::{kind, median};

/// Clients that go offline.
const AWAY: u32 = 100_000;
/// Those of them that may be offline for half an hour only.
const SHORT: u32 = 20_000;
const SHORT_MINUTES: i64 = 30;

pub(crate) async fn run() -> Result<()> {
    println!(
        "deletions: milliseconds of a jump, with {AWAY} due dates ahead, and while {SHORT} clients are deleted"
    );
    println!(
        "{:<10} {:>12} {:>12} {:>7} {:>12} {:>7} {:>15}",
        "database", "none ahead", "all ahead", "ratio", "deleting", "ratio", "all deleted in"
    );
    for database in [TestDatabase::sqlite(), TestDatabase::postgres().await] {
        measure(&database).await?;
    }
    Ok(())
}

async fn measure(database: &TestDatabase) -> Result<()> {
    let store = database.open().await;
    let size = Size {
        clients: AWAY + OTHERS,
        users: 0,
        events: 0,
    };
    fleet::make(&store, &size).await?;
    let start = Timestamp(1_767_571_200_000_000);
    let clock = TestClock::at(start);
    let setup = EngineSetup::new(store.clone(), clock.clone(), CountingFresh::new());
    let (engine, task) = Engine::start(setup).await?;
    let (_lease, held) = watch::channel(true);
    engine.serve_due_dates(held);
    let stop = Arc::new(AtomicBool::new(false));
    let none = jumps_to(&engine, AWAY, QUIET, &stop).await?;
    go_away(&engine, &clock).await?;
    let ahead = jumps_to(&engine, AWAY, QUIET, &stop).await?;

    let jumping = tokio::spawn({
        let (engine, stop) = (engine.clone(), Arc::clone(&stop));
        async move { jumps_to(&engine, AWAY, STORM_MAX, &stop).await }
    });
    let began = Instant::now();
    // The last of them went a minute after the first.
    clock.set(start.plus(SHORT_MINUTES * MINUTE + 2 * MINUTE));
    let left = (AWAY - SHORT + OTHERS) as usize;
    until(&engine, |engine| {
        engine.published().world.jump_clients.len() <= left
    })
    .await?;
    let took = began.elapsed();
    stop.store(true, Ordering::Relaxed);
    let deleting = jumping.await??;
    ensure!(
        engine.published().world.jump_clients.len() == left,
        "others were deleted too"
    );
    let (none, ahead, deleting) = (median(none), median(ahead), median(deleting));
    println!(
        "{:<10} {none:>12.2} {ahead:>12.2} {:>6.1}x {deleting:>12.2} {:>6.1}x {:>13.2} s",
        kind(database),
        ahead / none,
        deleting / none,
        took.as_secs_f64()
    );
    task.shut_down().await;
    store.close().await;
    Ok(())
}

/// All but a few clients go, over one minute.
async fn go_away(engine: &Engine, clock: &TestClock) -> Result<()> {
    let short = (1..=SHORT).map(|client| {
        let body = object(json!({"max_offline_minutes": SHORT_MINUTES}));
        let change = jump_client::Command::Change(JumpClientId(client), body);
        (administrator(), Command::JumpClient(change))
    });
    ask_all(engine, short.collect()).await?;
    for part in 0..10 {
        let leave = (1..=AWAY).filter(|client| client % 10 == part).map(|id| {
            let client = JumpClientId(id);
            let leave = jump_client::Command::Disconnect {
                client,
                link: LinkId {
                    node: NODE,
                    connection: u64::from(id),
                },
                reason: "goodbye".to_owned(),
            };
            (Actor::JumpClient(client), Command::JumpClient(leave))
        });
        ask_all(engine, leave.collect()).await?;
        clock.leap(6 * SECOND);
    }
    let world = &engine.published().world;
    let online = world
        .jump_clients
        .iter()
        .filter(|(_, client)| world.is_online(client))
        .count();
    ensure!(online == OTHERS as usize, "{online} are still online");
    Ok(())
}
