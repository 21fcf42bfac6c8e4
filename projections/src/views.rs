//! What is kept in memory beside the `World`: the console's view and the timers, with one bookmark.
//!
//! Each of them is what it is by the `World` alone: a row is made anew from the `World` whenever an event touches what it
//! shows. So there is no snapshot of them to write or to trust: a start folds the `World` only, from its snapshot or from
//! the log, and calls [`Views::of`] once. What does not come from the log (a client's figures) comes again by itself.

use std::sync::atomic::{AtomicU64, Ordering};

use domain::World;

use crate::console::ConsoleView;
use crate::recorded::Recorded;
use crate::timers::Timers;

/// The in-memory views of a node. Readers need no lock of their own; only the engine applies.
#[derive(Debug, Default)]
pub struct Views {
    /// Jump Items as the console shows them.
    pub console: ConsoleView,
    /// What is due when.
    pub timers: Timers,
    bookmark: AtomicU64,
}

impl Views {
    /// The views of a `World` that was folded up to `position`: after a snapshot was read, or at the end of a replay.
    #[must_use]
    pub fn of(world: &World, position: u64) -> Self {
        let (console, timers) = rayon::join(|| ConsoleView::of(world), || Timers::of(world));
        Self {
            console,
            timers,
            bookmark: AtomicU64::new(position),
        }
    }

    /// Folds one event in. `world_after` has folded it too; it may be further, for example at the end of the event's batch.
    /// Events come in the order of the log, from one thread.
    pub fn apply(&self, recorded: &Recorded, world_after: &World) {
        self.timers.apply(recorded, world_after);
        self.console.apply(recorded, world_after);
        self.bookmark
            .fetch_max(recorded.position, Ordering::Release);
    }

    /// The position of the last event folded in; set after everything it changed.
    pub fn bookmark(&self) -> u64 {
        self.bookmark.load(Ordering::Acquire)
    }
}
