//! Replay against pure decoding, and a start from a snapshot against a start by replay.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use domain::ids::{JumpClientId, JumpItemRef};
use domain::{Event, World};
use eventstore::EventStore;
use eventstore::testing::TestDatabase;
use replay_tests::in_process::{start, start_with_snapshots};

use crate::fleet::{self, Size};
use crate::{kind, median};

/// The size the promise is made for.
const SIZE: Size = Size {
    clients: 100_000,
    users: 5_000,
    events: 1_000_000,
};
/// Rounds, of which the middle counts.
const ROUNDS: usize = 3;

pub(crate) async fn run() -> Result<()> {
    println!(
        "startup: {} clients, {} users, {} events, median of {ROUNDS} rounds taken in turns",
        SIZE.clients, SIZE.users, SIZE.events
    );
    println!(
        "{:<10} {:>12} {:>12} {:>7} {:>12} {:>14} {:>9} {:>10} {:>10}",
        "database",
        "decode /s",
        "replay /s",
        "ratio",
        "replay s",
        "snapshot s",
        "multiple",
        "a list s",
        "views s"
    );
    for database in [TestDatabase::sqlite(), TestDatabase::postgres().await] {
        measure(&database).await?;
    }
    Ok(())
}

async fn measure(database: &TestDatabase) -> Result<()> {
    let kind = kind(database);
    let store = database.open().await;
    let world = fleet::make(&store, &SIZE).await?;
    let events = store.head().await?.position as f64;
    let snapshots = database.directory().join("snapshots");
    {
        let (engine, task) = start_with_snapshots(store.clone(), &snapshots).await?;
        ensure!(
            engine.published().world == world,
            "the replayed world differs"
        );
        engine
            .write_snapshot()
            .await
            .context("writing the snapshot")?;
        task.shut_down().await;
    }
    let (mut decode, mut replay) = (Vec::new(), Vec::new());
    let (mut snapshot, mut listed, mut with_views) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        decode.push(decode_seconds(&store).await?);
        let began = Instant::now();
        let (engine, task) = start(database.open().await).await?;
        ensure!(
            engine.published().world.jump_clients.len() == SIZE.clients as usize,
            "clients are missing"
        );
        // The console view counts too: it is made beside the first reads of the World.
        ensure!(
            engine.views().bookmark() as f64 == events,
            "the views are behind"
        );
        replay.push(began.elapsed().as_secs_f64());
        task.shut_down().await;
        let began = Instant::now();
        let (engine, task) = start_with_snapshots(database.open().await, &snapshots).await?;
        let published = engine.as_fresh_as_the_log().await?;
        ensure!(
            published.world.jump_clients.len() == SIZE.clients as usize,
            "clients are missing"
        );
        let client = JumpClientId(SIZE.clients / 2);
        ensure!(
            published.world.jump_clients.get(&client).is_some(),
            "a client is missing"
        );
        snapshot.push(began.elapsed().as_secs_f64());
        ensure!(
            lies_in_its_group(&published.world, client),
            "a client is missing in its Jump Group"
        );
        listed.push(began.elapsed().as_secs_f64());
        ensure!(
            engine.views().bookmark() as f64 == events,
            "the views are behind"
        );
        with_views.push(began.elapsed().as_secs_f64());
        ensure!(
            published.world == world,
            "the world of the snapshot differs"
        );
        task.shut_down().await;
    }
    let (decode, replay) = (median(decode), median(replay));
    let snapshot = median(snapshot);
    println!(
        "{kind:<10} {:>12.0} {:>12.0} {:>6.0}% {replay:>12.2} {snapshot:>14.3} {:>8.1}x {:>10.3} {:>10.3}",
        events / decode,
        events / replay,
        100.0 * decode / replay,
        replay / snapshot,
        median(listed),
        median(with_views)
    );
    store.close().await;
    Ok(())
}

/// Whether a client is among the items of its Jump Group, of which the first to ask has to make the index.
fn lies_in_its_group(world: &World, client: JumpClientId) -> bool {
    let item = JumpItemRef::JumpClient(client);
    world
        .group_of(item)
        .is_some_and(|group| world.items_of(group).any(|other| other == item))
}

/// How long decoding the same bytes takes with nothing else being done: they are read before the clock starts.
async fn decode_seconds(store: &EventStore) -> Result<f64> {
    let head = store.head().await?.position;
    let mut replay = store.replay(0, head);
    let mut pages = Vec::new();
    while let Some(page) = replay.next().await {
        pages.push(page?);
    }
    let began = Instant::now();
    for event in pages.iter().flatten() {
        std::hint::black_box(Event::from_stored(
            &event.stream,
            &event.event_type,
            &event.data,
        )?);
    }
    Ok(began.elapsed().as_secs_f64())
}
