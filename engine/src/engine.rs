//! The handle that everybody shares, the tasks behind it, start and stop.

use std::path::PathBuf;
use std::sync::Arc;

use domain::audit::{ActionRefused, AttemptsRefused};
use domain::{Cause, Command, Context, Decision, Fresh, time};
use eventstore::{Direction, EventStore, RecordedEvent, Selection, StoreError, Tail};
use projections::{Recorded, Unreadable, UnreadableEvent, Views};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use uuid::Uuid;

use crate::due;
use crate::freshness::{EngineUnavailable, TailRequest, answer_tail_requests};
use crate::idempotency;
use crate::lanes::{Answered, Lanes, Queued, lanes};
use crate::published::{Board, CommittedStream, Published};
use crate::publisher::publish_all;
use crate::refusals::{Key, Refusals};
use crate::replay::{FoldError, fold_log};
use crate::setup::{Clock, EngineLimits, EngineSetup, FreshSource};
use crate::snapshot::{self, SnapshotError, SnapshotWritten};
use crate::submission::{Done, ExecuteError, Halt, Lane, Submission, Unavailability};
use crate::writer::{Answers, Trouble, Writer};

/// How far the clock may be behind the newest event before that is told. Unit: microseconds.
pub const CLOCK_BEHIND_MAX: i64 = time::MINUTE;

/// Batches that may be committed and not published yet.
const BATCHES_AHEAD: usize = 2;

/// Why an engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log can't be read.
    #[error("the log can't be read")]
    Store(#[from] StoreError),
    /// An event can't be read; most likely a newer version wrote it.
    #[error(
        "the event at position {position} can't be read. Run the version that wrote it, or a newer one"
    )]
    Unreadable {
        /// Its position.
        position: u64,
        /// What is wrong with it.
        #[source]
        why: Unreadable,
    },
    /// The events do not add up to the head of the log.
    #[error("the log is damaged: {0}. Run `gatebook log verify`, then restore the newest backup")]
    Damaged(String),
    /// A thread that folds the log failed.
    #[error("a thread that folds the log failed")]
    Thread(#[from] JoinError),
}

impl From<FoldError> for StartError {
    fn from(error: FoldError) -> Self {
        match error {
            FoldError::Store(error) => Self::Store(error),
            FoldError::Unreadable(UnreadableEvent { position, why }) => {
                Self::Unreadable { position, why }
            }
            FoldError::OutOfOrder { .. } => Self::Damaged(error.to_string()),
            FoldError::Thread(error) => Self::Thread(error),
        }
    }
}

/// The engine. Clones share everything.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    store: EventStore,
    clock: Arc<dyn Clock>,
    fresh: Arc<dyn FreshSource>,
    limits: EngineLimits,
    snapshots: Option<PathBuf>,
    board: Arc<Board>,
    lanes: Lanes,
    refusals: Arc<Refusals>,
    /// `None` where this is the only node: then everything is published that is in the log.
    tail_requests: Option<mpsc::Sender<TailRequest>>,
    /// One snapshot at a time.
    snapshot_permit: Semaphore,
    due_dates: watch::Sender<watch::Receiver<bool>>,
    halted: watch::Receiver<Option<Arc<Halt>>>,
    trouble: watch::Receiver<Option<Trouble>>,
    stop: watch::Receiver<bool>,
}

/// The tasks of an engine. Dropped without [`EngineTask::shut_down`] they stop as well, but nobody waits for them.
pub struct EngineTask {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl EngineTask {
    /// Ends when a task of the engine has, which none does before the engine stops unless it failed. The engine is of no use
    /// from then on.
    ///
    /// # Errors
    /// The task's panic.
    pub async fn ended(&mut self) -> Result<(), JoinError> {
        match self.tasks.join_next().await {
            Some(ended) => ended,
            None => std::future::pending().await,
        }
    }

    /// Answers everything that was accepted, refuses the rest with [`ExecuteError::ShuttingDown`], and ends.
    pub async fn shut_down(mut self) {
        self.stop.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a task of the engine failed");
            }
        }
    }
}

impl Drop for EngineTask {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.tasks.detach_all();
    }
}

impl Engine {
    /// Folds the log, from the newest snapshot that fits or from its beginning, and starts to write.
    ///
    /// # Errors
    /// When the log can't be read, or is not what its head says.
    pub async fn start(setup: EngineSetup) -> Result<(Self, EngineTask), StartError> {
        let EngineSetup {
            store,
            clock,
            fresh,
            snapshots,
            limits,
        } = setup;
        let folded = fold_at_start(&store, snapshots.clone()).await?;
        let folded = Arc::new(folded);
        let board = Arc::new(Board::new(Arc::clone(&folded), limits.stream_batches_max));
        let (lanes, queue) = lanes(&limits);
        let refusals = Arc::new(Refusals::default());
        let (stop_sender, stop) = watch::channel(false);
        let (halted_sender, halted) = watch::channel(None);
        let (trouble_sender, trouble) = watch::channel(None);
        let (wanted_sender, wanted) = watch::channel(0);
        let never = watch::channel(false).1;
        let (due_dates, due_leases) = watch::channel(never);

        let (publisher, publications) = mpsc::channel(BATCHES_AHEAD);
        let (answered_sender, answered) = watch::channel(0);

        let mut tasks = JoinSet::new();
        let views = Arc::clone(&board);
        let views = tokio::task::spawn_blocking(move || views.make_views());
        let (all_read_sender, all_read) = oneshot::channel();
        tasks.spawn(publish_all(
            Arc::clone(&board),
            views,
            all_read_sender,
            publications,
            answered_sender,
            halted_sender.clone(),
        ));
        let writer = Writer {
            store: store.clone(),
            clock: Arc::clone(&clock),
            fresh: Arc::clone(&fresh),
            limits: limits.clone(),
            queue,
            refusals: Arc::clone(&refusals),
            base: folded,
            publisher,
            all_read: Some(all_read),
            answers: Answers {
                answered,
                given: 0,
                callers: 0,
            },
            wanted,
            halted: halted_sender,
            stop: stop.clone(),
            trouble: trouble_sender,
        };
        tasks.spawn(writer.run());
        let tail_requests = store.is_shared().then(|| {
            let (requests, incoming) = mpsc::channel(limits.freshness_waiting_max);
            tasks.spawn(answer_tail_requests(
                store.clone(),
                incoming,
                wanted_sender,
                stop.clone(),
            ));
            requests
        });
        let engine = Self {
            shared: Arc::new(Shared {
                store,
                clock,
                fresh,
                limits,
                snapshots,
                board,
                lanes,
                refusals,
                tail_requests,
                snapshot_permit: Semaphore::new(1),
                due_dates,
                halted,
                trouble,
                stop: stop.clone(),
            }),
        };
        tasks.spawn(due::serve(engine.clone(), due_leases, stop));
        let task = EngineTask {
            stop: stop_sender,
            tasks,
        };
        Ok((engine, task))
    }

    // --- reading ---

    /// What is published now. On one node it has everything that was answered; see [`Engine::as_fresh_as_the_log`] for many.
    #[must_use]
    pub fn published(&self) -> Arc<Published> {
        self.shared.board.load()
    }

    /// What is published, once it has everything that was in the log when this was called.
    ///
    /// # Errors
    /// When the tail can't be learned or reached within 2 s.
    pub async fn as_fresh_as_the_log(&self) -> Result<Arc<Published>, EngineUnavailable> {
        let Some(requests) = &self.shared.tail_requests else {
            return Ok(self.published());
        };
        let mut position = self.shared.board.position();
        let fresh = async {
            let (request, answer) = oneshot::channel();
            requests.try_send(request).ok()?;
            let head = answer.await.ok()?.ok()?;
            position
                .wait_for(|position| *position >= head.position)
                .await
                .ok()?;
            let published = self.published();
            // A log of another epoch is not the one that was folded.
            (published.tail.epoch == head.epoch).then_some(published)
        };
        timeout(self.shared.limits.freshness_timeout, fresh)
            .await
            .ok()
            .flatten()
            .ok_or(EngineUnavailable::new())
    }

    /// The in-memory views. Their bookmark is never behind what is published.
    ///
    /// They are made beside the first reads of the World: right after a start this blocks for the moment that takes (0.1 s
    /// with 100,000 clients).
    #[must_use]
    pub fn views(&self) -> &Views {
        self.shared.board.views()
    }

    /// Every event from now on, in order and without a gap.
    #[must_use]
    pub fn committed(&self) -> CommittedStream {
        self.shared.board.stream()
    }

    /// The position that is published; changes as it grows.
    #[must_use]
    pub fn watch_position(&self) -> watch::Receiver<u64> {
        self.shared.board.position()
    }

    /// The events after position `after` up to `until`, at most 2,000, decoded.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn read_recorded(
        &self,
        after: u64,
        until: u64,
    ) -> Result<Vec<Recorded>, ReadRecordedError> {
        let count = until.saturating_sub(after).min(2_000);
        if count == 0 {
            return Ok(Vec::new());
        }
        let stored = self.read_events(after + 1, count).await?;
        stored
            .iter()
            .map(|event| Recorded::from_stored(event).map_err(ReadRecordedError::from))
            .collect()
    }

    async fn read_events(&self, first: u64, count: u64) -> Result<Vec<RecordedEvent>, StoreError> {
        let limit = usize::try_from(count).unwrap_or(usize::MAX);
        self.shared
            .store
            .read(&Selection::All, first, Direction::Forward, limit)
            .await
    }

    // --- asking ---

    /// Has a command decided and committed. The answer comes after the commit, and after what is published has it.
    ///
    /// Dropped before it ends, the command may or may not be carried out.
    ///
    /// # Errors
    /// See [`ExecuteError`]; unless it is in doubt, nothing happened.
    pub async fn execute(&self, submission: Submission) -> Result<Done, ExecuteError> {
        if *self.shared.stop.borrow() {
            return Err(ExecuteError::ShuttingDown);
        }
        let (answer, answered) = oneshot::channel();
        self.shared.lanes.put(Queued { submission, answer }).await?;
        // Without an answer the writer is gone: it ends only when the engine stops, or by a fault.
        let answered = answered.await.unwrap_or(Err(ExecuteError::ShuttingDown))?;
        match answered {
            Answered::Done(done) => Ok(done),
            Answered::Earlier { first, count } => self.repeat(first, count).await,
        }
    }

    /// The answer of an earlier time, read back from the log.
    async fn repeat(&self, first: u64, count: u64) -> Result<Done, ExecuteError> {
        let unreachable = || ExecuteError::unavailable(Unavailability::Unreachable);
        let last = first + count - 1;
        let recorded = self.read_recorded(first - 1, last).await.map_err(|error| {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the answer of an earlier time can't be read"
            );
            unreachable()
        })?;
        let newest = recorded
            .last()
            .filter(|newest| newest.position == last)
            .ok_or_else(unreachable)?;
        Ok(Done {
            position: last,
            epoch: self.published().tail.epoch,
            decided_at: newest.decided_at,
            events: recorded
                .into_iter()
                .map(|recorded| recorded.event)
                .collect(),
            repeated: true,
        })
    }

    /// The event that stands for a refusal of the last minute: its own, or the first of those it repeats.
    #[must_use]
    pub fn refusal_event(&self, refused: &ActionRefused, cause: &Cause) -> Option<Uuid> {
        self.shared.refusals.event_of(&Key::of(refused, cause))
    }

    /// The refusals that were only counted since this was last asked, because they repeat others. Whoever takes them has
    /// them written into the log, or gives them back.
    #[must_use]
    pub fn take_repeated_refusals(&self) -> Vec<AttemptsRefused> {
        self.shared.refusals.take()
    }

    /// Counts on where what was taken could not be written.
    pub fn put_back_repeated_refusals(&self, refused: AttemptsRefused) {
        self.shared.refusals.put_back(refused);
    }

    /// What would become of a command now. Nothing is changed or written down.
    ///
    /// # Errors
    /// The refusal.
    pub fn rehearse(&self, command: &Command, cause: &Cause) -> Decision {
        let published = self.published();
        let fresh = self.fresh();
        let context = Context {
            now: self.shared.clock.now(),
            cause,
            fresh: &fresh,
        };
        domain::decide(&published.world, command, &context)
    }

    /// How many commands wait in a lane.
    #[must_use]
    pub fn waiting(&self, lane: Lane) -> usize {
        self.shared.lanes.waiting(lane)
    }

    /// How far the clock is behind the newest event, where that is more than [`CLOCK_BEHIND_MAX`]: it was put back, or
    /// another node's is ahead. What is decided goes by the clock all the same; only the recorded times stand still. Unit:
    /// microseconds.
    #[must_use]
    pub fn clock_behind(&self) -> Option<i64> {
        let behind = self.published().recorded_at.since(self.clock().now());
        (behind > CLOCK_BEHIND_MAX).then_some(behind)
    }

    // --- what it was given ---

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.clock
    }

    /// Values that nobody can guess.
    #[must_use]
    pub fn fresh(&self) -> Fresh {
        self.shared.fresh.fresh()
    }

    /// The log.
    #[must_use]
    pub fn store(&self) -> &EventStore {
        &self.shared.store
    }

    // --- running ---

    /// Serves due dates whenever `lease` is true: whoever calls this holds the lease of the consumer
    /// [`DUE_DATES`](crate::DUE_DATES) then. A later call takes the place of an earlier one.
    pub fn serve_due_dates(&self, lease: watch::Receiver<bool>) {
        self.shared.due_dates.send_replace(lease);
    }

    /// Why the engine has stopped writing for good, as soon as it has. Whoever runs it starts anew then.
    pub async fn halted(&self) -> Arc<Halt> {
        let mut halted = self.shared.halted.clone();
        loop {
            if let Some(halt) = halted.borrow_and_update().as_ref() {
                return Arc::clone(halt);
            }
            if halted.changed().await.is_err() {
                // The engine was shut down in good order.
                std::future::pending::<()>().await;
            }
        }
    }

    /// What is wrong with the log for now, where the last try to use it failed.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        *self.shared.trouble.borrow()
    }

    /// Whether and why the engine has stopped writing for good.
    #[must_use]
    pub fn halt(&self) -> Option<Arc<Halt>> {
        self.shared.halted.borrow().clone()
    }

    /// Writes a snapshot of what is published, on a blocking thread.
    ///
    /// # Errors
    /// See [`SnapshotError`]; nothing depends on a snapshot.
    pub async fn write_snapshot(&self) -> Result<SnapshotWritten, SnapshotError> {
        let directory = self
            .shared
            .snapshots
            .clone()
            .ok_or(SnapshotError::NoDirectory)?;
        let permit = self
            .shared
            .snapshot_permit
            .try_acquire()
            .map_err(|_| SnapshotError::Running)?;
        let published = self.published();
        let written =
            tokio::task::spawn_blocking(move || snapshot::write(&directory, &published)).await;
        drop(permit);
        written?
    }

    /// Forgets idempotency keys that have expired. Returns how many.
    ///
    /// # Errors
    /// When the log can't be written.
    pub async fn sweep_idempotency(&self) -> Result<u64, StoreError> {
        idempotency::sweep(&self.shared.store, self.shared.clock.now()).await
    }
}

/// Why events can't be read back.
#[derive(Debug, thiserror::Error)]
pub enum ReadRecordedError {
    /// The log can't be read.
    #[error("the log can't be read")]
    Store(#[from] StoreError),
    /// An event can't be read.
    #[error("an event can't be read")]
    Unreadable(#[from] UnreadableEvent),
}

/// Folds the log as it is now.
async fn fold_at_start(
    store: &EventStore,
    snapshots: Option<PathBuf>,
) -> Result<Published, StartError> {
    let head = store.head().await?;
    if let Some(directory) = snapshots {
        let found = tokio::task::spawn_blocking(move || {
            snapshot::read_newest(&directory, head.epoch, head.position)
        })
        .await?;
        if let Some(folded) = found {
            let from = folded.tail.position;
            match fold_log(store, folded, head.position).await {
                Ok(folded) if folded.tail == Tail::from(head) => {
                    tracing::info!(from, to = head.position, "started from a snapshot");
                    return Ok(folded);
                }
                Ok(_) => tracing::warn!(from, "the newest snapshot is of another log"),
                Err(error) => return Err(error.into()),
            }
        }
    }
    let folded = fold_log(store, Published::empty(head.epoch), head.position).await?;
    if folded.tail != Tail::from(head) {
        return Err(StartError::Damaged(format!(
            "its events up to position {} do not add up to its tail hash",
            head.position
        )));
    }
    tracing::info!(to = head.position, "replayed the log");
    Ok(folded)
}
