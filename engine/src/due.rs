//! Due dates: asks the timers what is due by the node's clock, and sends ordinary commands. `decide` has the last word; one
//! that comes twice, late, or from two nodes finds nothing left to do.

use std::time::Duration;

use domain::{Command, Timestamp};
use futures_util::future::{self, BoxFuture};
use tokio::sync::watch;

use crate::engine::Engine;
use crate::submission::{ExecuteError, Submission};

/// Name of the consumer whose lease a node holds while it serves due dates.
pub const DUE_DATES: &str = "due_dates";

/// Due dates taken at once: they share a batch, and whoever jumps meanwhile waits for no more than that.
const PAGE: usize = 32;

/// The pause after due dates from which nothing came; doubled each time. They are tried again because the reason may have
/// gone, and not at once because it may stay.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What becomes of one page of due dates.
enum Progress {
    /// At least one made an event.
    Some,
    /// None did; the next one that is not known to be stuck is due then.
    None,
    /// The engine stops.
    Stopping,
}

/// Serves due dates while `held` is true, until the engine stops.
pub(crate) async fn serve(
    engine: Engine,
    mut held: watch::Receiver<watch::Receiver<bool>>,
    mut stop: watch::Receiver<bool>,
) {
    let mut lease = held.borrow_and_update().clone();
    let mut pause = PAUSE_MIN;
    // Waited for where blocking holds nobody up.
    let views = engine.clone();
    let made = tokio::task::spawn_blocking(move || views.views().bookmark());
    if let Err(error) = made.await {
        tracing::error!(%error, "due dates are not served: the views can't be waited for");
        return;
    }
    loop {
        // Read before the lease is looked at: nothing is due here by a time at which it was another's.
        let now = engine.clock().now();
        // Without the lease nothing is asked.
        if !*lease.borrow_and_update() {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                changed = held.changed() => match changed {
                    Ok(()) => lease = held.borrow_and_update().clone(),
                    Err(_) => return,
                },
                () = changed_or_never(&mut lease) => {}
            }
            continue;
        }
        let mut position = engine.watch_position();
        position.borrow_and_update();
        let published = engine.published();
        let settings = &published.world.settings;
        let timers = &engine.views().timers;
        let due: Vec<Command> = timers
            .due(now, settings, PAGE)
            .into_iter()
            .map(|due| due.command)
            .collect();
        let wake: BoxFuture<'static, ()> = if due.is_empty() {
            pause = PAUSE_MIN;
            sleep_until(&engine, timers.next(settings))
        } else {
            match execute_all(&engine, due).await {
                Progress::Stopping => return,
                Progress::Some => {
                    pause = PAUSE_MIN;
                    continue;
                }
                Progress::None => {
                    let pausing = pause;
                    pause = (pause * 2).min(PAUSE_MAX);
                    Box::pin(tokio::time::sleep(pausing))
                }
            }
        };
        drop(published);
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = wake => {}
            // Something new may be due earlier.
            Ok(()) = position.changed() => {}
            () = changed_or_never(&mut lease) => {}
            Ok(()) = held.changed() => lease = held.borrow_and_update().clone(),
        }
    }
}

fn sleep_until(engine: &Engine, next: Option<Timestamp>) -> BoxFuture<'static, ()> {
    match next {
        Some(at) => engine.clock().sleep_until(at),
        None => Box::pin(future::pending()),
    }
}

/// A lease whose holder is gone never changes again.
async fn changed_or_never(lease: &mut watch::Receiver<bool>) {
    if lease.changed().await.is_err() {
        future::pending::<()>().await;
    }
}

/// Sends all at once, so that they share batches.
async fn execute_all(engine: &Engine, due: Vec<Command>) -> Progress {
    let sent = due.into_iter().map(|command| {
        let name = command.name();
        async move { (name, engine.execute(Submission::by_timer(command)).await) }
    });
    let mut progress = Progress::None;
    for (name, result) in future::join_all(sent).await {
        match result {
            Ok(done) if !done.events.is_empty() => progress = Progress::Some,
            // There was nothing left to do.
            Ok(_) => {}
            Err(ExecuteError::ShuttingDown) => return Progress::Stopping,
            Err(ExecuteError::Refused { refusal, .. }) => {
                tracing::debug!(command = name, %refusal, "a due date was refused");
            }
            // The writer has logged why.
            Err(error) => tracing::debug!(
                command = name,
                error = &error as &dyn std::error::Error,
                "a due date waits"
            ),
        }
    }
    progress
}
