//! An engine inside the test, with a clock and ids of the test's own, and the log folded without one.

use std::path::Path;

use anyhow::Result;
use domain::World;
use engine::testing::{CountingFresh, TestClock};
use engine::{Engine, EngineSetup, EngineTask};
use eventstore::EventStore;
use projections::Recorded;

/// Starts an engine on `store` by replay. The clock stands still at its beginning.
///
/// # Errors
/// When the log can't be folded.
pub async fn start(store: EventStore) -> Result<(Engine, EngineTask)> {
    start_from(store, None).await
}

/// Starts an engine on `store` from the newest snapshot in `folder`, if one is good.
///
/// # Errors
/// When the log can't be folded.
pub async fn start_with_snapshots(
    store: EventStore,
    folder: &Path,
) -> Result<(Engine, EngineTask)> {
    start_from(store, Some(folder)).await
}

async fn start_from(store: EventStore, snapshots: Option<&Path>) -> Result<(Engine, EngineTask)> {
    let mut setup = EngineSetup::new(store, TestClock::new(), CountingFresh::new());
    setup.snapshots = snapshots.map(Path::to_owned);
    Ok(Engine::start(setup).await?)
}

/// The World as the log says, event by event, with none of the engine's own machinery.
///
/// # Errors
/// When an event can't be read.
pub async fn fold(store: &EventStore) -> Result<World> {
    let head = store.head().await?.position;
    let mut world = World::default();
    let mut replay = store.replay(0, head);
    while let Some(page) = replay.next().await {
        for event in page? {
            let recorded = Recorded::from_stored(&event)?;
            world.apply(&recorded.event, recorded.decided_at);
        }
    }
    Ok(world)
}
