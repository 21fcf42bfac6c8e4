//! Replay: the whole log or the rest of it, as fast as it can be read, with the next pages read
//! ahead in the background.

use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteRow;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::StoreError;
use crate::event::RecordedEvent;
use crate::postgres::copied;
use crate::sqlite::packed;
use crate::store::EventStore;

/// Pages that may wait for the one who folds.
const PAGES_AHEAD: usize = 2;

/// Events of the first page, while nothing is known of their size.
const PAGE_FIRST: usize = 64;

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
    /// What is kept from page to page.
    type Source: Default + Send;

    /// Most events of a page.
    const EVENTS_MAX: usize;

    /// Bytes that a page aims at.
    const BYTES: usize;

    /// At most `limit` events after a position and up to `until`.
    fn read(
        source: &mut Self::Source,
        store: &EventStore,
        after: u64,
        until: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Self, StoreError>> + Send;

    /// Position of its last event, once it is known that none is missing.
    fn check(&self, after: u64) -> Result<u64, StoreError>;

    /// Its size, near enough to choose that of the next.
    fn bytes(&self) -> usize;
}

impl Page for Vec<RecordedEvent> {
    type Source = ();

    const EVENTS_MAX: usize = 4_000;
    const BYTES: usize = 2 * 1024 * 1024;

    async fn read(
        (): &mut (),
        store: &EventStore,
        after: u64,
        until: u64,
        limit: usize,
    ) -> Result<Self, StoreError> {
        store.read_for_replay(after, until, limit).await
    }

    fn check(&self, after: u64) -> Result<u64, StoreError> {
        let mut last = after;
        for event in self {
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

    fn bytes(&self) -> usize {
        self.iter()
            .map(|event| 128 + event.data.len() + event.meta.len())
            .sum()
    }
}

impl Page for FoldPage {
    /// A connection of its own, once one was needed: PostgreSQL copies on it.
    type Source = Option<PgConnection>;

    const EVENTS_MAX: usize = 4_000;
    // Small enough to stay in a core's cache on its way from the database to the fold.
    const BYTES: usize = 384 * 1024;

    async fn read(
        copying: &mut Option<PgConnection>,
        store: &EventStore,
        after: u64,
        until: u64,
        limit: usize,
    ) -> Result<Self, StoreError> {
        store.read_fold_page(copying, after, until, limit).await
    }

    /// It is taken apart, and checked, when it is folded.
    fn check(&self, _after: u64) -> Result<u64, StoreError> {
        Ok(self.last)
    }

    fn bytes(&self) -> usize {
        match &self.rows {
            FoldRows::Packed(row) => packed::packed(row).map_or(0, <[u8]>::len),
            FoldRows::Copied(page) => page.len(),
        }
    }
}

/// Some events on their way into a fold, as the database gave them.
pub struct FoldPage {
    after: u64,
    last: u64,
    rows: FoldRows,
}

pub(crate) enum FoldRows {
    /// One row with all events; see `sqlite::packed`.
    Packed(SqliteRow),
    /// A copy of all events; see `postgres::copied`.
    Copied(Vec<u8>),
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
    /// See [`RecordedEvent::codec`].
    pub codec: i16,
    /// See [`RecordedEvent::recorded_at`].
    pub recorded_at: i64,
    /// See [`RecordedEvent::leaf_hash`].
    pub leaf_hash: [u8; 32],
}

impl FoldPage {
    pub(crate) const fn new(after: u64, last: u64, rows: FoldRows) -> Self {
        Self { after, last, rows }
    }

    /// How many events it has.
    pub fn count(&self) -> usize {
        usize::try_from(self.last - self.after).unwrap_or(usize::MAX)
    }

    /// Gives the events to `take`, in the order of their positions.
    ///
    /// # Errors
    /// What `take` says; or when an event is missing or can't be read, and then nobody may believe those before it to be all.
    pub fn each<E: From<StoreError>>(
        &self,
        mut take: impl FnMut(FoldEvent<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut last = self.after;
        let mut in_order = |event: FoldEvent<'_>| {
            last += 1;
            if event.position != last {
                return Err(missing(last).into());
            }
            take(event)
        };
        match &self.rows {
            FoldRows::Packed(row) => {
                let mut packed = packed::FoldEvents(packed::packed(row).map_err(StoreError::from)?);
                while let Some(event) = packed.next().map_err(StoreError::from)? {
                    in_order(event)?;
                }
            }
            FoldRows::Copied(page) => {
                let mut copied = copied::CopiedEvents::of(page).map_err(StoreError::from)?;
                while let Some(event) = copied.next().map_err(StoreError::from)? {
                    in_order(event)?;
                }
            }
        }
        if last == self.last {
            Ok(())
        } else {
            Err(missing(last + 1).into())
        }
    }
}

fn start<P: Page>(store: EventStore, after: u64, until: u64) -> Reading<P> {
    let (send, pages) = mpsc::channel(PAGES_AHEAD);
    let task = tokio::spawn(async move {
        let mut source = P::Source::default();
        let mut after = after;
        let mut limit = PAGE_FIRST;
        while after < until {
            let page = next_page::<P>(&mut source, &store, after, until, limit).await;
            if let Ok((page, last)) = &page {
                limit = next_limit(page, last - after);
                after = *last;
            }
            let last = page.is_err();
            if send.send(page).await.is_err() || last {
                return;
            }
        }
    });
    Reading { pages, task }
}

async fn next_page<P: Page>(
    source: &mut P::Source,
    store: &EventStore,
    after: u64,
    until: u64,
    limit: usize,
) -> Result<(P, u64), StoreError> {
    let page = match P::read(source, store, after, until, limit).await {
        Ok(page) => page,
        // A run of unusually large events may exceed what one row can hold.
        Err(StoreError::Database(_)) => P::read(source, store, after, until, PAGE_FIRST).await?,
        Err(error) => return Err(error),
    };
    let last = page.check(after)?;
    Ok((page, last))
}

fn missing(position: u64) -> StoreError {
    StoreError::Damaged(format!("the event at position {position} is missing"))
}

/// How many events the next page takes, by the size of those of this one.
fn next_limit<P: Page>(page: &P, count: u64) -> usize {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let average = page.bytes() / count.max(1);
    (P::BYTES / average.max(1)).clamp(PAGE_FIRST, P::EVENTS_MAX)
}
