//! The report index: a row per access session, in SQL, for the reports of config-api.md 3.1.
//!
//! Beside them a row per access request, for its history.
//!
//! Rows and bookmark change in one transaction that holds the bookmark's row, so any number of nodes may fold at once and
//! each event counts once. Only the events of sessions and of access requests are read; over all others the bookmark moves in memory and is
//! written now and then.
//!
//! Each rebuild is a database of its own, a generation, beside the one in use. When it has reached the head it is marked
//! complete; whoever follows the log switches to it within [`TIDY_EVERY`]. A new [`VERSION`] of the shape begins anew by
//! itself.

mod error;
mod generation;
mod on;
mod page;
mod query;
mod requests;
mod session;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use domain::ids::{AccessRequestId, UserId};
use eventstore::{Direction, EventStore, RecordedEvent, Selection, StoreError};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

pub use error::{Behind, ReportError};
pub use generation::VERSION;
use generation::{Bookmark, Generation, database_name};
pub use query::{Interval, PageKey, SessionQuery};
pub use requests::{PastAnswer, PastRequest, RequestQuery};
pub use session::{Detail, Entity, EntityKind, FileCounts, Member, SessionReport, SessionSummary};

/// How often the bookmark is written while nothing of sessions happens, and a newer generation is looked for.
pub const TIDY_EVERY: Duration = Duration::from_secs(5);

/// The categories of the streams that are folded.
const CATEGORIES: [&str; 2] = ["access_session", "access_request"];

/// Events folded in one transaction.
const BATCH: usize = 1_000;

/// Sessions of one page when all are asked for.
const PAGE: usize = 500;

/// The first pause after a failure; it doubles up to [`PAUSE_MAX`].
const PAUSE_FIRST: Duration = Duration::from_millis(50);

/// The longest pause after a failure.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// The report index of a site. Clones share everything.
#[derive(Clone, Debug)]
pub struct ReportIndex {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: EventStore,
    current: RwLock<Arc<Generation>>,
    /// Every event of sessions up to here is in the rows.
    reached: watch::Sender<Reached>,
}

/// How far the index is, and why it goes no further.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Reached {
    position: u64,
    stopped: Option<String>,
}

impl ReportIndex {
    /// Opens the newest complete generation; makes an empty one if there is none. One that was folded from a log that has been
    /// put back since is emptied.
    ///
    /// # Errors
    /// The log or the database of the index can't be reached.
    pub async fn open(store: &EventStore) -> Result<Self, ReportError> {
        let generation = newest_complete_or_new(store).await?;
        let position = checked_bookmark(store, &generation).await?;
        Ok(Self {
            inner: Arc::new(Inner {
                store: store.clone(),
                current: RwLock::new(Arc::new(generation)),
                reached: watch::Sender::new(Reached {
                    position,
                    stopped: None,
                }),
            }),
        })
    }

    /// Follows the log until `shutdown` turns true or is dropped, or the log is closed. What passes is tried again.
    ///
    /// # Errors
    /// An event can't be read, or the log was put back: the index stays where it is, and [`Self::wait_for`] says so.
    pub async fn follow(&self, mut shutdown: watch::Receiver<bool>) -> Result<(), ReportError> {
        let followed = tokio::select! {
            followed = self.follow_on() => followed,
            _ = shutdown.wait_for(|stop| *stop) => Ok(()),
        };
        match followed {
            Err(error) if error.is_closed() => Ok(()),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the report index has stopped"
                );
                self.note_stop(&error);
                Err(error)
            }
            Ok(()) => self.write_bookmark().await.or_else(|error| {
                // It is folded again from where it was: nothing is lost.
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the bookmark of the report index was not written"
                );
                Ok(())
            }),
        }
    }

    /// Folds everything up to `until`, or up to the head if that is before. For one who does not follow.
    ///
    /// # Errors
    /// An event can't be read, or a database failed.
    pub async fn catch_up(&self, until: u64) -> Result<(), ReportError> {
        let head = self.inner.store.head().await?.position;
        self.advance(until.min(head)).await
    }

    /// Waits until everything up to `position` can be read here.
    ///
    /// # Errors
    /// [`Behind`] after `timeout`, or at once where the index has stopped before.
    pub async fn wait_for(&self, position: u64, timeout: Duration) -> Result<(), Behind> {
        let mut reached = self.inner.reached.subscribe();
        let there = |reached: &Reached| reached.position >= position || reached.stopped.is_some();
        let waited = tokio::time::timeout(timeout, reached.wait_for(there)).await;
        let seen = match waited {
            Ok(Ok(seen)) => seen.clone(),
            Ok(Err(_)) | Err(_) => self.inner.reached.borrow().clone(),
        };
        if seen.position >= position {
            return Ok(());
        }
        Err(Behind {
            reached: seen.position,
            wanted: position,
            stopped: seen.stopped,
        })
    }

    /// The position up to which the rows are known to be complete, as the database has it.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn bookmark(&self) -> Result<u64, ReportError> {
        Ok(self.current().bookmark().await?.position)
    }

    /// The number of the generation in use here; each rebuild has a higher one.
    pub fn generation(&self) -> u32 {
        self.current().number
    }

    /// All sessions of a report, by start. For a report that may be large, read it by [`Self::page`].
    ///
    /// # Errors
    /// The database can't be reached, or a row can't be read.
    pub async fn sessions(&self, query: &SessionQuery) -> Result<Vec<SessionReport>, ReportError> {
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let (page, more) = self.page(query, after, PAGE).await?;
            after = page.last().map(key_of);
            all.extend(page);
            if !more {
                return Ok(all);
            }
        }
    }

    /// The next at most `limit` sessions of a report behind `after`, by start, and whether there may be more; fewer come where
    /// much happened in them. The key of the next page is [`SessionReport::page_key`] of the last.
    ///
    /// # Errors
    /// The database can't be reached, or a row can't be read.
    pub async fn page(
        &self,
        query: &SessionQuery,
        after: Option<PageKey>,
        limit: usize,
    ) -> Result<(Vec<SessionReport>, bool), ReportError> {
        self.current().sessions(query, after, limit).await
    }

    /// How many access requests there were, and at most `limit` of them behind the first `skip`, the newest first. Only those whose
    /// window is over are told of: the others are in the `World`.
    ///
    /// # Errors
    /// The database can't be reached, or a row can't be read.
    pub async fn past_requests(
        &self,
        query: RequestQuery,
        skip: usize,
        limit: usize,
    ) -> Result<(usize, Vec<PastRequest>), ReportError> {
        self.current().past_requests(query, skip, limit).await
    }

    /// The access request, if its window is over, and whether it asked `user`.
    ///
    /// # Errors
    /// The database can't be reached, or the row can't be read.
    pub async fn past_request(
        &self,
        id: AccessRequestId,
        user: UserId,
    ) -> Result<Option<(PastRequest, bool)>, ReportError> {
        self.current().past_request(id, user).await
    }

    /// As [`Self::page`], without what happened in the sessions.
    ///
    /// # Errors
    /// The database can't be reached, or a row can't be read.
    pub async fn listing(
        &self,
        query: &SessionQuery,
        after: Option<PageKey>,
        limit: usize,
    ) -> Result<Vec<SessionSummary>, ReportError> {
        self.current().summaries(query, after, limit).await
    }

    /// Folds the whole log into a new generation and marks it complete; whoever follows switches to it. Works beside a running
    /// site and on a stopped one. `progress` is told the position reached after each batch. Gives the last one.
    ///
    /// # Errors
    /// An event can't be read, or a database failed: the generation in use stays the one in use.
    pub async fn rebuild(
        store: &EventStore,
        mut progress: impl FnMut(u64),
    ) -> Result<u64, ReportError> {
        let mut newest = 0;
        let mut in_use = 0;
        for number in generations(store).await? {
            newest = newest.max(number);
            if is_complete(store, number).await? {
                in_use = in_use.max(number);
            }
        }
        // What is older was left by nodes that have switched; what is newer and not complete, by a rebuild that broke off.
        for number in generations(store).await? {
            if number != in_use {
                store.drop_view(&database_name(), number).await?;
            }
        }
        let generation = Generation::open(store, newest + 1).await?;
        generation.prepare(false).await?;
        let reached = fill(store, &generation, &mut progress).await;
        generation.close().await;
        reached
    }

    /// Follows the log for good. Ends with the first error that does not pass.
    async fn follow_on(&self) -> Result<(), ReportError> {
        let mut head = self.inner.store.watch_head();
        let mut tidy = tokio::time::interval(TIDY_EVERY);
        tidy.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut retired = Vec::new();
        let mut pause = PAUSE_FIRST;
        loop {
            let known = *head.borrow_and_update();
            match self.advance(known).await {
                Ok(()) => pause = PAUSE_FIRST,
                Err(error) if error.is_passing() => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the report index can't go on for the moment"
                    );
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                    self.reopen_if_gone().await;
                    continue;
                }
                Err(error) => return Err(error),
            }
            tokio::select! {
                changed = head.changed() => changed.map_err(|_| StoreError::Closed)?,
                _ = tidy.tick() => {
                    if let Err(error) = self.tidy(&mut retired).await {
                        if !error.is_passing() {
                            return Err(error);
                        }
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "the report index was not tidied"
                        );
                    }
                }
            }
        }
    }

    /// Folds the events of sessions after what was reached, up to `known`, a position the log has.
    async fn advance(&self, known: u64) -> Result<(), ReportError> {
        loop {
            let after = self.inner.reached.borrow().position;
            if after >= known {
                return Ok(());
            }
            let reached = step(&self.inner.store, &self.current(), after, known).await?;
            self.note_reached(reached);
        }
    }

    fn note_reached(&self, position: u64) {
        self.inner.reached.send_if_modified(|reached| {
            let further = position > reached.position;
            if further {
                reached.position = position;
            }
            further
        });
    }

    fn note_stop(&self, error: &ReportError) {
        let mut why = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            why = format!("{why}: {cause}");
            source = cause.source();
        }
        self.inner
            .reached
            .send_modify(|reached| reached.stopped = Some(why));
    }

    /// Writes the bookmark up to what was reached in memory.
    async fn write_bookmark(&self) -> Result<(), ReportError> {
        let position = self.inner.reached.borrow().position;
        let current = self.current();
        if current.bookmark().await?.position >= position {
            return Ok(());
        }
        let event = self
            .inner
            .store
            .read(&Selection::All, position, Direction::Forward, 1)
            .await?;
        match event.first() {
            Some(event) if event.position == position => {
                current.skip_to(&Bookmark::at(event)).await
            }
            _ => Ok(()),
        }
    }

    /// What is done now and then: the bookmark, a newer generation, the files of older ones.
    async fn tidy(&self, retired: &mut Vec<Arc<Generation>>) -> Result<(), ReportError> {
        self.write_bookmark().await?;
        let store = &self.inner.store;
        let current = self.current();
        for number in generations(store).await?.into_iter().rev() {
            if number <= current.number || !is_complete(store, number).await? {
                continue;
            }
            let newer = Generation::open(store, number).await?;
            let mut position = checked_bookmark(store, &newer).await?;
            let reached = self.inner.reached.borrow().position;
            while position < reached {
                position = step(store, &newer, position, reached).await?;
            }
            tracing::info!(generation = number, "the report index was rebuilt");
            retired.push(self.switch_to(newer));
            break;
        }
        drop(current);
        self.drop_retired(retired).await
    }

    /// Closes what nobody reads any more. In SQLite no other node can use it, so the file goes as well, and those of other
    /// shapes; in PostgreSQL other nodes may not have switched yet, and the next rebuild drops it.
    async fn drop_retired(&self, retired: &mut Vec<Arc<Generation>>) -> Result<(), ReportError> {
        let mut waiting = Vec::new();
        for generation in retired.drain(..) {
            match Arc::try_unwrap(generation) {
                Ok(unused) => unused.close().await,
                Err(used) => waiting.push(used),
            }
        }
        *retired = waiting;
        let current = self.current();
        if !current.is_sqlite() || !retired.is_empty() {
            return Ok(());
        }
        let store = &self.inner.store;
        for (name, number) in store.list_views().await? {
            let older = name == database_name() && number < current.number;
            let other_shape = name.starts_with("report_") && name != database_name();
            if older || other_shape {
                store.drop_view(&name, number).await?;
            }
        }
        Ok(())
    }

    /// After a failure: the database may have been dropped under us, by hand or by a rebuild that others switched to.
    async fn reopen_if_gone(&self) {
        let gone = match self.current().is_complete().await {
            Ok(complete) => !complete,
            // It can't be reached: that passes, or the next failure tells.
            Err(_) => false,
        };
        if !gone {
            return;
        }
        let store = &self.inner.store;
        let opened = async {
            let generation = newest_complete_or_new(store).await?;
            let position = checked_bookmark(store, &generation).await?;
            Ok::<_, ReportError>((generation, position))
        };
        match opened.await {
            Ok((generation, position)) => {
                drop(self.switch_to(generation));
                self.inner
                    .reached
                    .send_modify(|reached| reached.position = position);
            }
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the report index can't be opened anew"
            ),
        }
    }

    fn current(&self) -> Arc<Generation> {
        let current = self
            .inner
            .current
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }

    fn switch_to(&self, generation: Generation) -> Arc<Generation> {
        let mut current = self
            .inner
            .current
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *current, Arc::new(generation))
    }
}

impl SessionReport {
    /// Where a page that ends with this session ended.
    #[must_use]
    pub const fn page_key(&self) -> PageKey {
        PageKey {
            started_at: self.started_at,
            lsid: self.lsid,
        }
    }
}

impl SessionSummary {
    /// Where a page that ends with this session ended.
    #[must_use]
    pub const fn page_key(&self) -> PageKey {
        PageKey {
            started_at: self.started_at,
            lsid: self.lsid,
        }
    }
}

fn key_of(session: &SessionReport) -> PageKey {
    session.page_key()
}

/// Folds the next batch of events of sessions and requests after `after`. `known` is a position the log has. Gives the position reached.
async fn step(
    store: &EventStore,
    generation: &Generation,
    after: u64,
    known: u64,
) -> Result<u64, ReportError> {
    let mut events: Vec<RecordedEvent> = Vec::new();
    // Positions become visible in their order: where fewer came than were asked for, there are no more up to `known`.
    let mut rest = known;
    let mut cut = u64::MAX;
    for category in CATEGORIES {
        let selection = Selection::Category(category.to_owned());
        let found = store
            .read(&selection, after + 1, Direction::Forward, BATCH)
            .await?;
        if let (BATCH.., Some(last)) = (found.len(), found.last()) {
            rest = 0;
            cut = cut.min(last.position);
        }
        events.extend(found);
    }
    // Behind a full batch of one category, the other may know of more than was read.
    events.retain(|event| event.position <= cut);
    events.sort_unstable_by_key(|event| event.position);
    if events.is_empty() {
        return Ok(rest);
    }
    Ok(generation.fold(&events).await?.max(rest))
}

/// Folds the whole log into a new generation, until it has reached the head, and marks it complete.
async fn fill(
    store: &EventStore,
    generation: &Generation,
    progress: &mut impl FnMut(u64),
) -> Result<u64, ReportError> {
    let mut position = 0;
    loop {
        let head = store.head().await?.position;
        if position >= head {
            break;
        }
        while position < head {
            position = step(store, generation, position, head).await?;
            progress(position);
        }
    }
    let event = store
        .read(&Selection::All, position, Direction::Forward, 1)
        .await?;
    if let Some(event) = event.first() {
        generation.skip_to(&Bookmark::at(event)).await?;
    }
    generation.mark_complete().await?;
    Ok(position)
}

/// The generations of this shape, by number.
async fn generations(store: &EventStore) -> Result<Vec<u32>, ReportError> {
    let name = database_name();
    let views = store.list_views().await?;
    Ok(views
        .into_iter()
        .filter(|(view, _)| *view == name)
        .map(|(_, number)| number)
        .collect())
}

async fn is_complete(store: &EventStore, number: u32) -> Result<bool, ReportError> {
    let generation = Generation::open(store, number).await?;
    let complete = generation.is_complete().await;
    generation.close().await;
    complete
}

/// The newest generation that may be read, or a new, empty one.
async fn newest_complete_or_new(store: &EventStore) -> Result<Generation, ReportError> {
    let numbers = generations(store).await?;
    for number in numbers.iter().rev() {
        let generation = Generation::open(store, *number).await?;
        if generation.is_complete().await? {
            return Ok(generation);
        }
        generation.close().await;
    }
    let next = numbers.last().map_or(1, |last| last + 1);
    let generation = Generation::open(store, next).await?;
    generation.prepare(true).await?;
    Ok(generation)
}

/// How far a generation was folded, once it is sure that it was folded from this log.
async fn checked_bookmark(store: &EventStore, generation: &Generation) -> Result<u64, ReportError> {
    let bookmark = generation.bookmark().await?;
    if bookmark.position == 0 {
        return Ok(0);
    }
    let event = store
        .read(&Selection::All, bookmark.position, Direction::Forward, 1)
        .await?;
    if event
        .first()
        .is_some_and(|event| Bookmark::at(event) == bookmark)
    {
        return Ok(bookmark.position);
    }
    tracing::warn!(
        position = bookmark.position,
        "the report index was folded from another state of the log and begins anew"
    );
    generation.empty(&bookmark).await?;
    Ok(generation.bookmark().await?.position)
}
