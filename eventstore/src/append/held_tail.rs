//! The tail of the log, held: whoever has it is the only one who appends, until it is committed or
//! released.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

use crate::append::batch::{self, Batch, Known};
use crate::append::writer::Writer;
use crate::append::{Doubt, in_order};
use crate::error::{CommitError, HoldError, StoreError};
use crate::event::{Appended, Head, RecordedEvent, StreamAppend, Tail};
use crate::side::{SideBatch, SideRow, SideTable, SideWrite};
use crate::store::{Backend, EventStore, Inner, SCHEMA_VERSION};
use crate::{postgres, sqlite};

/// Missed events that are read while the tail is held; a larger rest is read before it is taken.
const MISSED_WHILE_HELD: u64 = 1_000;

/// Events read with one statement while catching up.
const MISSED_PAGE: usize = 2_000;

/// The tail of the log, held in an open transaction.
///
/// Dropped without [`HeldTail::commit`] or [`HeldTail::release`] it rolls back by closing its
/// connection, which costs the next holder a new one.
pub struct HeldTail {
    store: Arc<Inner>,
    held: Held,
    head: Head,
    missed: Vec<RecordedEvent>,
}

/// The writing connection with its open transaction. `None` inside once it has ended.
enum Held {
    Sqlite(Option<OwnedMutexGuard<Writer<SqliteConnection>>>),
    Postgres(
        Option<OwnedMutexGuard<Writer<PgConnection>>>,
        postgres::Deadline,
    ),
}

impl std::fmt::Debug for HeldTail {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("HeldTail")
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

/// Runs one of the two databases' versions of a function on the held connection.
macro_rules! on_held {
    ($held:expr, $module:ident :: $function:ident ( $($argument:expr),* )) => {
        match $held {
            Held::Sqlite(writer) => {
                let connection = writer.as_mut().ok_or(StoreError::Closed)?.connection()?;
                sqlite::$module::$function(connection, $($argument),*).await.map_err(StoreError::from)
            }
            Held::Postgres(writer, deadline) => {
                let connection = writer.as_mut().ok_or(StoreError::Closed)?.connection()?;
                deadline.wait(postgres::$module::$function(connection, $($argument),*)).await
            }
        }
    };
}

impl HeldTail {
    /// Takes the tail wherever it is.
    pub(crate) async fn at_head(store: &EventStore) -> Result<HeldTail, StoreError> {
        store.inner.check_usable()?;
        let (held, head) = match &store.inner.backend {
            Backend::Sqlite(sqlite) => {
                let mut writer = sqlite.writer().await?;
                // Taken out, so that it closes, and what it began ends, if this is cancelled.
                let mut connection = writer.connection.take().ok_or(StoreError::Closed)?;
                let head = sqlite::write::begin(&mut connection).await?;
                writer.connection = Some(connection);
                (Held::Sqlite(Some(writer)), head)
            }
            Backend::Postgres(postgres) => {
                let (writer, head) = postgres.begin().await?;
                (Held::Postgres(Some(writer), postgres.deadline), head)
            }
        };
        let held = HeldTail {
            store: Arc::clone(&store.inner),
            held,
            head,
            missed: Vec::new(),
        };
        if head.min_reader > SCHEMA_VERSION {
            held.release().await;
            return Err(StoreError::Newer {
                needed: head.min_reader,
                supported: SCHEMA_VERSION,
            });
        }
        Ok(held)
    }

    /// Takes the tail for one who has folded up to `at`, and reads what was missed.
    pub(crate) async fn from_tail(store: &EventStore, at: &Tail) -> Result<HeldTail, HoldError> {
        let mut folded = *at;
        let mut missed = Vec::new();
        // Without the lock: whatever is missed by more than the small rest.
        while store.inner.head.borrow().saturating_sub(folded.position) > MISSED_WHILE_HELD {
            let page = store.read_after(folded.position, MISSED_PAGE).await?;
            if page.is_empty() {
                break;
            }
            take_in(&mut folded, &mut missed, page)?;
        }
        let mut held = HeldTail::at_head(store).await?;
        while folded.epoch == held.head.epoch && folded.position < held.head.position {
            let page = held.read_after(folded.position).await?;
            if page.is_empty() {
                break;
            }
            take_in(&mut folded, &mut missed, page)?;
        }
        if folded != Tail::from(held.head) {
            let head = held.head;
            held.release().await;
            return Err(HoldError::Rewound {
                at: at.position,
                epoch: at.epoch,
                head: head.position,
                head_epoch: head.epoch,
            });
        }
        store.inner.raise_head(held.head.position);
        held.move_revisions(&missed)?;
        held.missed = missed;
        Ok(held)
    }

    /// The head of the log, which can't move while this lives.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// What others appended between the caller's tail and the head, in order. Once taken it is empty.
    pub fn take_missed(&mut self) -> Vec<RecordedEvent> {
        std::mem::take(&mut self.missed)
    }

    /// The rows of a side table whose keys begin with `prefix`, by key. Nobody else changes rows
    /// under the same prefix until the batch has ended.
    pub async fn side_rows(
        &mut self,
        table: SideTable,
        prefix: &str,
    ) -> Result<Vec<SideRow>, StoreError> {
        let result = on_held!(&mut self.held, write::side_rows(table, prefix));
        self.keep_if_ok(result)
    }

    /// The rows of those keys that have one, by key, as they are while the tail is held.
    pub async fn side_rows_of(
        &mut self,
        table: SideTable,
        keys: &[String],
    ) -> Result<Vec<SideRow>, StoreError> {
        let result = on_held!(&mut self.held, read::side_rows_of(table, keys));
        let mut rows = self.keep_if_ok(result)?;
        rows.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(rows)
    }

    /// Appends and commits, together with side writes. The ids are new: they are not looked up.
    ///
    /// `recorded_at` is in microseconds UTC. Without events the expected revisions are checked and
    /// nothing changes; side writes need at least one event to commit with.
    ///
    /// # Errors
    /// Unless it is [`CommitError::InDoubt`], nothing of the batch is in the log.
    pub async fn commit(
        mut self,
        appends: Vec<StreamAppend>,
        side: Vec<SideWrite>,
        recorded_at: i64,
    ) -> Result<Appended, CommitError> {
        match self.prepare(appends, side, recorded_at).await {
            Ok((batch, _)) if batch.events.is_empty() => {
                self.release().await;
                Ok(Appended {
                    events: batch.events,
                    head: batch.head,
                })
            }
            Ok((batch, side)) => self.write(batch, side).await,
            Err(error) => {
                self.release().await;
                Err(error)
            }
        }
    }

    /// Ends the transaction without a change.
    pub async fn release(mut self) {
        self.roll_back().await;
    }

    async fn prepare(
        &mut self,
        appends: Vec<StreamAppend>,
        side: Vec<SideWrite>,
        recorded_at: i64,
    ) -> Result<(Batch, SideBatch), CommitError> {
        batch::check(&appends)?;
        let side = SideBatch::from_writes(side)?;
        let last = self.last_revisions(&appends).await?;
        let batch = batch::build(&self.head, last, appends, recorded_at)?;
        if batch.events.is_empty() && !side.is_empty() {
            let reason = "side writes commit with at least one event".to_owned();
            return Err(StoreError::Invalid(reason).into());
        }
        Ok((batch, side))
    }

    async fn write(mut self, batch: Batch, side: SideBatch) -> Result<Appended, CommitError> {
        if let Err(error) = self.insert(&batch, &side).await {
            self.release().await;
            return Err(error.into());
        }
        let committed = match &mut self.held {
            Held::Sqlite(writer) => {
                let connection = writer.as_mut().ok_or(StoreError::Closed)?.connection()?;
                sqlite::write::commit(connection).await
            }
            Held::Postgres(writer, deadline) => {
                let connection = writer.as_mut().ok_or(StoreError::Closed)?.connection()?;
                deadline.wait_raw(postgres::write::commit(connection)).await
            }
        };
        match committed {
            Ok(()) => {
                self.end(|revisions| {
                    let streams = batch.streams();
                    revisions.committed(
                        &batch.head,
                        streams
                            .iter()
                            .map(|(stream, (revision, _))| (*stream, *revision)),
                    );
                });
                self.store.raise_head(batch.head.position);
                Ok(Appended {
                    events: batch.events,
                    head: batch.head,
                })
            }
            Err(error) if crate::database_code::commit_is_in_doubt(&error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the answer to COMMIT was lost"
                );
                let doubt = batch.events.first().map(|event| Doubt {
                    position: event.position,
                    id: event.id,
                });
                self.abandon();
                match doubt {
                    Some(doubt) => Err(CommitError::InDoubt(doubt)),
                    None => Err(StoreError::from(error).into()),
                }
            }
            Err(error) => {
                self.release().await;
                Err(StoreError::from(error).into())
            }
        }
    }

    async fn insert(&mut self, batch: &Batch, side: &SideBatch) -> Result<(), StoreError> {
        let inserted = on_held!(&mut self.held, write::insert(batch));
        if let Err(StoreError::Database(error)) = &inserted
            && crate::database_code::meaning(error) == crate::database_code::Meaning::Duplicate
        {
            return Err(self.explain_duplicate(batch, Arc::clone(error)).await);
        }
        inserted?;
        let conflict = on_held!(&mut self.held, write::write_side(side))?;
        match conflict {
            Some((table, key)) => Err(StoreError::SideExists(table, key)),
            None => Ok(()),
        }
    }

    /// Which id was there already. PostgreSQL answers nothing more in a failed transaction, so it
    /// ends first; the caller only wants to know what was wrong.
    async fn explain_duplicate(&mut self, batch: &Batch, error: Arc<sqlx::Error>) -> StoreError {
        self.roll_back().await;
        let store = EventStore {
            inner: Arc::clone(&self.store),
        };
        let ids: Vec<Uuid> = batch.events.iter().map(|event| event.id).collect();
        match store.find_ids(&ids).await {
            Ok(known) => match ids.into_iter().find(|id| known.contains_key(id)) {
                Some(id) => StoreError::DuplicateId(id),
                None => StoreError::Database(error),
            },
            Err(_) => StoreError::Database(error),
        }
    }

    /// The last revision of every stream named, from memory where possible, else with one statement.
    pub(crate) async fn last_revisions(
        &mut self,
        appends: &[StreamAppend],
    ) -> Result<HashMap<String, Option<u64>>, StoreError> {
        self.move_revisions(&[])?;
        let mut last = HashMap::with_capacity(appends.len());
        let mut unknown = HashSet::new();
        self.with_revisions(|revisions| {
            for append in appends {
                if last.contains_key(&append.stream) {
                    continue;
                }
                match revisions.get(&append.stream) {
                    Some(revision) => {
                        last.insert(append.stream.clone(), revision);
                    }
                    None => {
                        unknown.insert(append.stream.as_str());
                    }
                }
            }
        })?;
        if unknown.is_empty() {
            return Ok(last);
        }
        let names: Vec<&str> = unknown.into_iter().collect();
        let result = on_held!(&mut self.held, write::revisions(&names));
        let found = self.keep_if_ok(result)?;
        self.with_revisions(|revisions| {
            for name in names {
                let revision = found.get(name).copied();
                revisions.put(name, revision);
                last.insert(name.to_owned(), revision);
            }
        })?;
        Ok(last)
    }

    /// Which of these events are in the log.
    pub(crate) async fn find_ids(
        &mut self,
        ids: &[Uuid],
    ) -> Result<HashMap<Uuid, Known>, StoreError> {
        let result = on_held!(&mut self.held, write::find_ids(ids));
        self.keep_if_ok(result)
    }

    /// The events at these positions, in this order.
    pub(crate) async fn read_positions(
        &mut self,
        positions: &[u64],
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        let result = on_held!(&mut self.held, read::at_positions(positions));
        in_order(self.keep_if_ok(result)?, positions)
    }

    /// Raises the epoch and commits.
    pub(crate) async fn raise_epoch(mut self) -> Result<Head, StoreError> {
        let mut head = self.head;
        head.epoch += 1;
        let result = on_held!(&mut self.held, write::raise_epoch());
        self.keep_if_ok(result)?;
        let result = on_held!(&mut self.held, write::commit());
        self.keep_if_ok(result)?;
        self.end(|revisions| revisions.forget());
        Ok(head)
    }

    async fn read_after(&mut self, position: u64) -> Result<Vec<RecordedEvent>, StoreError> {
        let result = on_held!(&mut self.held, read::after(position, MISSED_PAGE));
        self.keep_if_ok(result)
    }

    /// Passes a result on; after an error the transaction is worth nothing, and its connection goes
    /// with it when this is dropped.
    fn keep_if_ok<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if result.is_err() {
            self.abandon();
        }
        result
    }

    fn move_revisions(&mut self, missed: &[RecordedEvent]) -> Result<(), StoreError> {
        let head = self.head;
        self.with_revisions(|revisions| revisions.move_to(&head, missed))
    }

    fn with_revisions<T>(
        &mut self,
        change: impl FnOnce(&mut crate::append::revisions::Revisions) -> T,
    ) -> Result<T, StoreError> {
        match &mut self.held {
            Held::Sqlite(writer) => Ok(change(
                &mut writer.as_mut().ok_or(StoreError::Closed)?.revisions,
            )),
            Held::Postgres(writer, _) => Ok(change(
                &mut writer.as_mut().ok_or(StoreError::Closed)?.revisions,
            )),
        }
    }

    /// The transaction has ended well: gives the connection back.
    fn end(&mut self, change: impl FnOnce(&mut crate::append::revisions::Revisions)) {
        match &mut self.held {
            Held::Sqlite(writer) => {
                if let Some(mut writer) = writer.take() {
                    change(&mut writer.revisions);
                }
            }
            Held::Postgres(writer, _) => {
                if let Some(mut writer) = writer.take() {
                    change(&mut writer.revisions);
                }
            }
        }
    }

    /// Gives the connection up, whatever its state.
    fn abandon(&mut self) {
        match &mut self.held {
            Held::Sqlite(writer) => {
                if let Some(mut writer) = writer.take() {
                    writer.abandon();
                }
            }
            Held::Postgres(writer, _) => {
                if let Some(mut writer) = writer.take() {
                    writer.abandon();
                }
            }
        }
    }

    /// Rolls back and gives the connection back; if that fails, gives it up.
    async fn roll_back(&mut self) {
        let rolled_back = match &mut self.held {
            Held::Sqlite(Some(writer)) => match writer.connection.as_mut() {
                Some(connection) => sqlite::write::roll_back(connection).await.is_ok(),
                None => true,
            },
            Held::Postgres(Some(writer), deadline) => match writer.connection.as_mut() {
                Some(connection) => deadline
                    .wait(postgres::write::roll_back(connection))
                    .await
                    .is_ok(),
                None => true,
            },
            Held::Sqlite(None) | Held::Postgres(None, _) => true,
        };
        if rolled_back {
            self.end(|_| {});
        } else {
            self.abandon();
        }
    }
}

impl Drop for HeldTail {
    fn drop(&mut self) {
        self.abandon();
    }
}

/// Chains a page of missed events to what was folded.
fn take_in(
    folded: &mut Tail,
    missed: &mut Vec<RecordedEvent>,
    page: Vec<RecordedEvent>,
) -> Result<(), StoreError> {
    for event in page {
        if event.position != folded.position + 1 {
            return Err(StoreError::Damaged(format!(
                "the event at position {} is missing",
                folded.position + 1
            )));
        }
        folded.advance(&event);
        missed.push(event);
    }
    Ok(())
}
