//! Replay: the whole log or the rest of it, as fast as it can be read, with the next pages read
//! ahead in the background.

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::StoreError;
use crate::event::RecordedEvent;
use crate::store::EventStore;

/// Pages that may wait for the one who folds.
const PAGES_AHEAD: usize = 2;

/// Events of the first page, while nothing is known of their size.
const PAGE_FIRST: usize = 64;

/// Most events of a page.
const PAGE_MAX: usize = 4_000;

/// Bytes of data and meta that a page aims at.
const PAGE_BYTES: usize = 2 * 1024 * 1024;

/// A replay under way. Dropped, it stops reading.
pub struct Replay {
    store: EventStore,
    after: u64,
    until: u64,
    reading: Option<Reading>,
    failed: bool,
}

/// The task that reads ahead. It ends when its pages are not wanted any more.
struct Reading {
    pages: mpsc::Receiver<Result<Vec<RecordedEvent>, StoreError>>,
    task: JoinHandle<()>,
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl EventStore {
    /// Reads all events after position `after` up to position `until`, both in the log already.
    pub fn replay(&self, after: u64, until: u64) -> Replay {
        Replay {
            store: self.clone(),
            after,
            until,
            reading: None,
            failed: false,
        }
    }
}

impl Replay {
    /// The next page, never empty; `None` when `until` was delivered. An error is the last item.
    pub async fn next(&mut self) -> Option<Result<Vec<RecordedEvent>, StoreError>> {
        if self.failed || self.after >= self.until {
            return None;
        }
        let reading = self
            .reading
            .get_or_insert_with(|| start(self.store.clone(), self.after, self.until));
        let page = reading
            .pages
            .recv()
            .await
            .unwrap_or(Err(StoreError::Closed));
        match &page {
            Ok(events) => self.after = events.last().map_or(self.until, |event| event.position),
            Err(_) => self.failed = true,
        }
        Some(page)
    }
}

fn start(store: EventStore, after: u64, until: u64) -> Reading {
    let (send, pages) = mpsc::channel(PAGES_AHEAD);
    let task = tokio::spawn(async move {
        let mut after = after;
        let mut limit = PAGE_FIRST;
        while after < until {
            let page = next_page(&store, after, until, limit).await;
            if let Ok(events) = &page {
                after = events.last().map_or(until, |event| event.position);
                limit = next_limit(events);
            }
            let last = page.is_err();
            if send.send(page).await.is_err() || last {
                return;
            }
        }
    });
    Reading { pages, task }
}

async fn next_page(
    store: &EventStore,
    after: u64,
    until: u64,
    limit: usize,
) -> Result<Vec<RecordedEvent>, StoreError> {
    let events = match store.read_for_replay(after, until, limit).await {
        Ok(events) => events,
        // A run of unusually large events may exceed what one row can hold.
        Err(StoreError::Database(_)) => store.read_for_replay(after, until, PAGE_FIRST).await?,
        Err(error) => return Err(error),
    };
    let mut expected = after;
    for event in &events {
        expected += 1;
        if event.position != expected {
            return Err(missing(expected));
        }
    }
    if events.is_empty() {
        Err(missing(after + 1))
    } else {
        Ok(events)
    }
}

fn missing(position: u64) -> StoreError {
    StoreError::Damaged(format!("the event at position {position} is missing"))
}

/// How many events the next page takes, by the size of those of this one.
fn next_limit(events: &[RecordedEvent]) -> usize {
    let bytes: usize = events
        .iter()
        .map(|event| 128 + event.data.len() + event.meta.len())
        .sum();
    let average = bytes / events.len().max(1);
    (PAGE_BYTES / average.max(1)).clamp(PAGE_FIRST, PAGE_MAX)
}
