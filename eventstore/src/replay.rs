//! Replay: the whole log or the rest of it, as fast as it can be read, with the next pages read
//! ahead in the background.

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::StoreError;
use crate::event::RecordedEvent;
use crate::postgres::copied;
use crate::sqlite::stepped::{self, Reader};
use crate::store::{Backend, EventStore};

/// Pages that may wait for the one who folds.
const PAGES_AHEAD: usize = 2;

/// Rows of the first page, where it is read by number and nothing is known of their size.
const ROWS_FIRST: usize = 64;

/// Most rows of a page that is read by number.
const ROWS_MAX: usize = 4_000;

/// A replay of whole events. Dropped, it stops reading.
pub type Replay = Pages<Vec<RecordedEvent>>;

/// A replay of what a fold takes of the events. Dropped, it stops reading.
pub type FoldReplay = Pages<FoldPage>;

/// A replay under way, page by page. Dropped, it stops reading.
pub struct Pages<P> {
    store: EventStore,
    after: u64,
    until: u64,
    start: fn(EventStore, u64, u64) -> Reading<P>,
    reading: Option<Reading<P>>,
    failed: bool,
}

/// The task that reads ahead. It ends when its pages are not wanted any more.
struct Reading<P> {
    /// Each with the position of its last event.
    pages: mpsc::Receiver<Result<(P, u64), StoreError>>,
    task: JoinHandle<()>,
}

impl<P> Drop for Reading<P> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl EventStore {
    /// Reads all events after position `after` up to position `until`, both in the log already.
    pub fn replay(&self, after: u64, until: u64) -> Replay {
        Pages::new(self, after, until, start::<Vec<RecordedEvent>>)
    }

    /// The same for folding: what is not folded is not read, and nothing is taken apart before the
    /// fold wants it.
    pub fn replay_for_fold(&self, after: u64, until: u64) -> FoldReplay {
        Pages::new(self, after, until, start::<FoldPage>)
    }
}

impl<P> Pages<P> {
    fn new(
        store: &EventStore,
        after: u64,
        until: u64,
        start: fn(EventStore, u64, u64) -> Reading<P>,
    ) -> Self {
        Self {
            store: store.clone(),
            after,
            until,
            start,
            reading: None,
            failed: false,
        }
    }

    /// The next page, never empty; `None` when `until` was delivered. An error is the last item.
    pub async fn next(&mut self) -> Option<Result<P, StoreError>> {
        if self.failed || self.after >= self.until {
            return None;
        }
        let reading = self
            .reading
            .get_or_insert_with(|| (self.start)(self.store.clone(), self.after, self.until));
        let page = reading
            .pages
            .recv()
            .await
            .unwrap_or(Err(StoreError::Closed));
        match &page {
            Ok((_, last)) => self.after = *last,
            Err(_) => self.failed = true,
        }
        Some(page.map(|(page, _)| page))
    }
}

/// What a replay consists of.
trait Page: Sized + Send + 'static {
    /// Bytes that a page aims at.
    const BYTES: usize;

    /// Reads all events after a position and up to `until`, and gives them on page by page, none of them empty, until nobody
    /// wants them any more.
    fn read_all(
        store: &EventStore,
        after: u64,
        until: u64,
        give: &Give<Self>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Where pages go, each with the position of its last event.
pub(crate) type Give<P> = mpsc::Sender<Result<(P, u64), StoreError>>;

impl Page for Vec<RecordedEvent> {
    const BYTES: usize = 2 * 1024 * 1024;

    async fn read_all(
        store: &EventStore,
        mut after: u64,
        until: u64,
        give: &Give<Self>,
    ) -> Result<(), StoreError> {
        if let Backend::Sqlite(sqlite) = &store.inner.backend {
            let read = move |reader: &Reader, after| reader.events(after, until, Self::BYTES);
            return stepped::read_all(store, sqlite, after, until, give, read).await;
        }
        let mut limit = ROWS_FIRST;
        while after < until {
            let page = store
                .read_after(after, limit.min(distance(after, until)))
                .await?;
            let last = check(&page, after)?;
            limit = next_limit(&page);
            after = last;
            if give.send(Ok((page, last))).await.is_err() {
                break;
            }
        }
        Ok(())
    }
}

impl Page for FoldPage {
    // Small enough to stay in a core's cache on its way from the database to the fold.
    const BYTES: usize = 384 * 1024;

    async fn read_all(
        store: &EventStore,
        after: u64,
        until: u64,
        give: &Give<Self>,
    ) -> Result<(), StoreError> {
        match &store.inner.backend {
            Backend::Sqlite(sqlite) => {
                let read = move |reader: &Reader, after| reader.fold_page(after, until);
                stepped::read_all(store, sqlite, after, until, give, read).await
            }
            Backend::Postgres(postgres) => {
                copied::read_all(store, postgres, after, until, give).await
            }
        }
    }
}

/// Some events on their way into a fold, one behind the other without a gap: of each the numbers apart, and its texts and data
/// in one buffer.
pub struct FoldPage {
    last: u64,
    rows: Vec<FoldRow>,
    bytes: Vec<u8>,
}

struct FoldRow {
    position: u64,
    codec: i16,
    recorded_at: i64,
    leaf_hash: [u8; 32],
    /// Where its stream, type, data and meta end.
    ends: [usize; 4],
}

/// What a fold takes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoldEvent<'page> {
    /// See [`RecordedEvent::position`].
    pub position: u64,
    /// See [`RecordedEvent::stream`].
    pub stream: &'page str,
    /// See [`RecordedEvent::event_type`].
    pub event_type: &'page str,
    /// See [`RecordedEvent::data`].
    pub data: &'page [u8],
    /// See [`RecordedEvent::meta`].
    pub meta: &'page [u8],
    /// See [`RecordedEvent::codec`].
    pub codec: i16,
    /// See [`RecordedEvent::recorded_at`].
    pub recorded_at: i64,
    /// See [`RecordedEvent::leaf_hash`].
    pub leaf_hash: [u8; 32],
}

impl FoldPage {
    /// An empty page of events after a position.
    pub(crate) const fn after(after: u64) -> Self {
        Self {
            last: after,
            rows: Vec::new(),
            bytes: Vec::new(),
        }
    }

    /// Puts the next event in; its stream and its type are not looked at before it is folded.
    pub(crate) fn push(
        &mut self,
        position: u64,
        codec: i16,
        recorded_at: i64,
        leaf_hash: [u8; 32],
        parts: [&[u8]; 4],
    ) -> Result<(), StoreError> {
        if position != self.last + 1 {
            return Err(missing(self.last + 1));
        }
        let ends = parts.map(|part| {
            self.bytes.extend_from_slice(part);
            self.bytes.len()
        });
        self.rows.push(FoldRow {
            position,
            codec,
            recorded_at,
            leaf_hash,
            ends,
        });
        self.last = position;
        Ok(())
    }

    /// Whether it has as many bytes as a page aims at.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= Self::BYTES
    }

    /// The page as it is given on.
    ///
    /// # Errors
    /// When there is nothing in it: then the next event is missing.
    pub(crate) fn whole(self) -> Result<(Self, u64), StoreError> {
        if self.rows.is_empty() {
            return Err(missing(self.last + 1));
        }
        let last = self.last;
        Ok((self, last))
    }

    /// How many events it has.
    pub fn count(&self) -> usize {
        self.rows.len()
    }

    /// The events, in the order of their positions.
    pub fn events(&self) -> impl Iterator<Item = Result<FoldEvent<'_>, StoreError>> {
        let mut at = 0;
        self.rows.iter().map(move |row| {
            let [stream, event_type, data, meta] = row.ends.map(|end| {
                let part = &self.bytes[at..end];
                at = end;
                part
            });
            Ok(FoldEvent {
                position: row.position,
                stream: text(row.position, stream)?,
                event_type: text(row.position, event_type)?,
                data,
                meta,
                codec: row.codec,
                recorded_at: row.recorded_at,
                leaf_hash: row.leaf_hash,
            })
        })
    }
}

fn text(position: u64, bytes: &[u8]) -> Result<&str, StoreError> {
    str::from_utf8(bytes).map_err(|_| {
        StoreError::Damaged(format!(
            "the event at position {position} has a text that is not UTF-8"
        ))
    })
}

fn start<P: Page>(store: EventStore, after: u64, until: u64) -> Reading<P> {
    let (give, pages) = mpsc::channel(PAGES_AHEAD);
    let task = tokio::spawn(async move {
        if let Err(error) = P::read_all(&store, after, until, &give).await {
            // Nobody wants it: fine.
            let _ = give.send(Err(error)).await;
        }
    });
    Reading { pages, task }
}

/// The position of the last event of a page, once it is known that none is missing.
pub(crate) fn check(page: &[RecordedEvent], after: u64) -> Result<u64, StoreError> {
    let mut last = after;
    for event in page {
        last += 1;
        if event.position != last {
            return Err(missing(last));
        }
    }
    if last == after {
        return Err(missing(after + 1));
    }
    Ok(last)
}

/// About what an event takes.
pub(crate) fn bytes_of(event: &RecordedEvent) -> usize {
    128 + event.data.len() + event.meta.len()
}

pub(crate) fn missing(position: u64) -> StoreError {
    StoreError::Damaged(format!("the event at position {position} is missing"))
}

/// How many events there may be after a position and up to another.
fn distance(after: u64, until: u64) -> usize {
    usize::try_from(until.saturating_sub(after)).unwrap_or(usize::MAX)
}

/// How many rows the next page takes, by the size of those of this one.
fn next_limit(page: &[RecordedEvent]) -> usize {
    let bytes: usize = page.iter().map(bytes_of).sum();
    let average = bytes / page.len().max(1);
    (<Vec<RecordedEvent> as Page>::BYTES / average.max(1)).clamp(ROWS_FIRST, ROWS_MAX)
}
