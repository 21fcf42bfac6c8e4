//! Subscriptions: history first, then whatever is appended, without a gap and without a repeat.
//!
//! There is no hand-over between two sources: history and news are read from the log by the same
//! cursor, and the head that is watched only says when to look. Positions become visible in their
//! order, so a cursor that has passed a position has seen everything below it.

use tokio::sync::watch;

use crate::error::StoreError;
use crate::event::{Direction, RecordedEvent, Selection};
use crate::store::EventStore;

/// Most events delivered at once.
const PAGE: usize = 1_000;

/// A reader that has no end.
pub struct Subscription {
    store: EventStore,
    selection: Selection,
    /// Everything up to here was delivered or is not in the selection.
    after: u64,
    /// For a stream: the next revision, once the first event after the start was found.
    next_revision: Option<u64>,
    head: watch::Receiver<u64>,
    stop: watch::Receiver<bool>,
}

impl EventStore {
    /// Follows a selection from after a position of the log (also for a stream).
    pub fn subscribe(&self, after: u64, selection: Selection) -> Subscription {
        Subscription {
            store: self.clone(),
            selection,
            after,
            next_revision: None,
            head: self.inner.head.subscribe(),
            stop: self.inner.stop.subscribe(),
        }
    }
}

impl Subscription {
    /// The next events, at least one. Waits as long as there is none. May be cancelled at any time
    /// without losing an event.
    ///
    /// # Errors
    /// After an error the subscription stands where it stood; calling again tries again. Only
    /// [`StoreError::Closed`] and [`StoreError::Rewound`] stay.
    pub async fn next(&mut self) -> Result<Vec<RecordedEvent>, StoreError> {
        loop {
            self.store.inner.check_usable()?;
            let known = *self.head.borrow_and_update();
            if known > self.after {
                let events = self.page().await?;
                if let Some(last) = events.last() {
                    self.after = last.position;
                    if matches!(self.selection, Selection::Stream(_)) {
                        self.next_revision = Some(last.revision + 1);
                    }
                    return Ok(events);
                }
                // Everything up to the head that was known before reading is not in the selection.
                self.after = known;
            }
            tokio::select! {
                changed = self.head.changed() => changed.map_err(|_| StoreError::Closed)?,
                _ = self.stop.wait_for(|stop| *stop) => return Err(StoreError::Closed),
            }
        }
    }

    /// Position up to which everything of the selection was delivered.
    pub fn position(&self) -> u64 {
        self.after
    }

    async fn page(&mut self) -> Result<Vec<RecordedEvent>, StoreError> {
        let from = match &self.selection {
            Selection::Stream(stream) => {
                if self.next_revision.is_none() {
                    self.next_revision = self.store.revision_after(stream, self.after).await?;
                }
                match self.next_revision {
                    Some(revision) => revision,
                    None => return Ok(Vec::new()),
                }
            }
            _ => self.after + 1,
        };
        self.store
            .read(&self.selection, from, Direction::Forward, PAGE)
            .await
    }
}
