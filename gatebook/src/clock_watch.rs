//! Watches the machine's clock beside the times in the log, and tells the operator by log and event when it lags behind.
//!
//! A clock that was put back does no harm by itself: decisions go by it, and the log's order does not need it. Whoever reads
//! recorded times has to know, though, and one of two clocks that differ is wrong.

use std::time::Duration;

use domain::{Actor, Cause, Command, ids, node, time};
use engine::{Engine, Lane, Submission};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often the clock is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many events a node writes at once, and after how long it may write one more: clocks that are just about a minute apart
/// fill no log.
const EVENTS_MAX: u32 = 10;
const EVENT_EVERY: Duration = Duration::from_secs(60);

/// Watches the clock of the node `epoch` until `stopped` turns true.
pub(crate) async fn watch_clock(
    engine: Engine,
    epoch: ids::NodeEpoch,
    mut stopped: watch::Receiver<bool>,
) {
    let mut tick = interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut events_left = EVENTS_MAX;
    let mut counted_at = Instant::now();
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = stopped.wait_for(|stop| *stop) => return,
        }
        let published = engine.published();
        let behind = engine.clock_behind();
        let told = published
            .world
            .nodes
            .get(&epoch)
            .is_some_and(|node| node.clock_behind);
        if counted_at.elapsed() >= EVENT_EVERY {
            counted_at = Instant::now();
            events_left = EVENTS_MAX.min(events_left + 1);
        }
        if told == behind.is_some() || events_left == 0 {
            continue;
        }
        events_left -= 1;
        match behind {
            Some(behind) => tracing::warn!(
                seconds = behind / time::SECOND,
                newest = %published.recorded_at,
                "the clock is behind the newest event of the log: it was put back, or another node's is ahead. Decisions go by the clock"
            ),
            None => tracing::info!("the clock has caught up with the log"),
        }
        let note = node::Command::NoteClock {
            epoch,
            behind: behind.map(|_| published.recorded_at),
        };
        let submission = Submission::new(
            Command::Node(note),
            Cause::program(Actor::System),
            Lane::Integrations,
        );
        if let Err(error) = engine.execute(submission).await {
            // Tried again with a later look.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "what the clock shows could not be written to the log"
            );
        }
    }
}
