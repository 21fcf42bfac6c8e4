//! `gatebook projections rebuild`: drops a read model and folds it from the log again. A running server is asked to; a
//! stopped site is worked on directly.

use anyhow::{Context, Result, bail};
use eventstore::EventStore;
use projections::ReportIndex;

use crate::control::{self, Order};
use crate::place::Place;

/// The read models that are kept in SQL.
const NAMES: [&str; 1] = ["report"];

/// Rebuilds the read model `name` of the site in `place`.
///
/// # Errors
/// There is no such read model, or the rebuild failed; what was there before is still in use then.
pub async fn rebuild_in(place: &Place, name: &str) -> Result<()> {
    check(name)?;
    let progress = |position| output::message(format_args!("folded up to position {position}"));
    let order = Order::Rebuild {
        name: name.to_owned(),
    };
    if control::give(&place.control_socket(), &order, progress).await? {
        output::message(format_args!("the running server has rebuilt {name}"));
        return Ok(());
    }
    if !place.directory().is_dir() {
        bail!("there is no directory {}", place.directory().display());
    }
    let lock = place.lock()?;
    let store = place.open().await?;
    let rebuilt = rebuild(&store, name, progress).await;
    store.close().await;
    drop(lock);
    rebuilt?;
    output::message(format_args!("rebuilt {name}"));
    Ok(())
}

/// Rebuilds the read model `name` over `store`.
///
/// # Errors
/// As [`rebuild_in`].
pub async fn rebuild(store: &EventStore, name: &str, progress: impl FnMut(u64)) -> Result<()> {
    check(name)?;
    let position = ReportIndex::rebuild(store, progress)
        .await
        .with_context(|| format!("rebuilding {name}"))?;
    tracing::info!(name, position, "rebuilt a read model");
    Ok(())
}

fn check(name: &str) -> Result<()> {
    match name {
        name if NAMES.contains(&name) => Ok(()),
        "console" | "timers" => bail!(
            "{name} is kept in memory and folded at each start: delete the folder `snapshots` of the stopped site to have \
             it folded from the beginning"
        ),
        other => bail!(
            "there is no read model {other:?}; there is: {}",
            NAMES.join(", ")
        ),
    }
}
