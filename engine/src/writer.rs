//! The one writer of a node: holds the tail, decides a batch on a copy, commits it, publishes it, answers. Between batches it
//! follows what other nodes append.

use std::sync::Arc;
use std::time::Duration;

use domain::{Context, World};
use eventstore::{
    CommitError, Direction, Doubt, EventStore, Head, HeldTail, HoldError, Selection, StoreError,
    Tail,
};
use projections::Recorded;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::draft::{Decided, Draft, Outcome, Pending, decide_guarded, is_recorded};
use crate::lanes::{Answer, Answered, LaneQueue, Queued};
use crate::published::{Board, Published};
use crate::replay::{self, FoldError, in_full};
use crate::setup::{Clock, EngineLimits, FreshSource};
use crate::submission::{Done, ExecuteError, Halt, Unavailability};

/// Events read with one statement while following.
const FOLLOW_PAGE: usize = 2_000;

/// The first pause before something that failed is tried again; doubled each time.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The writer. It owns what is folded: nobody else publishes.
pub(crate) struct Writer {
    pub(crate) store: EventStore,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) fresh: Arc<dyn FreshSource>,
    pub(crate) limits: EngineLimits,
    pub(crate) board: Arc<Board>,
    pub(crate) queue: LaneQueue,
    /// Positions that readers wait for.
    pub(crate) wanted: watch::Receiver<u64>,
    pub(crate) halted: watch::Sender<Option<Arc<Halt>>>,
    pub(crate) stop: watch::Receiver<bool>,
    /// Whether the log could not be read or written the last time; logged when it changes.
    pub(crate) troubled: bool,
}

/// Why following stopped.
enum FollowError {
    /// For good.
    Halt(Halt),
    /// For now.
    Store(StoreError),
}

impl Writer {
    /// Runs until the engine stops and everything that was accepted is answered.
    pub(crate) async fn run(mut self) {
        let mut head = self.store.watch_head();
        let mut stop = self.stop.clone();
        let mut stopping = false;
        let mut follow_again: Option<Instant> = None;
        let mut seen = *head.borrow_and_update();
        loop {
            let retry = follow_again.unwrap_or_else(Instant::now);
            let follow = tokio::select! {
                queued = self.queue.next() => match queued {
                    Some(first) => {
                        self.batch(first).await;
                        // Lets those who were just answered ask again before the next batch begins.
                        tokio::task::yield_now().await;
                        false
                    }
                    None => return,
                },
                _ = stop.changed(), if !stopping => {
                    stopping = true;
                    self.queue.close();
                    false
                }
                Ok(()) = head.changed() => true,
                Ok(()) = self.wanted.changed() => true,
                () = tokio::time::sleep_until(retry), if follow_again.is_some() => true,
            };
            if follow {
                let known = *head.borrow_and_update();
                let until = known.max(*self.wanted.borrow_and_update());
                if known == seen {
                    self.check_usable().await;
                }
                seen = known;
                follow_again = self.follow(until).await.map(|pause| Instant::now() + pause);
            }
        }
    }

    // --- following other nodes ---

    /// Folds and publishes what is in the log up to `until`. Returns when to try again, if it failed.
    async fn follow(&mut self, until: u64) -> Option<Duration> {
        if self.halted.borrow().is_some() || self.board.load().tail.position >= until {
            return None;
        }
        match self.try_follow(until).await {
            Ok(()) => {
                self.recovered();
                None
            }
            Err(FollowError::Halt(halt)) => {
                self.halt(halt);
                None
            }
            Err(FollowError::Store(error)) => {
                self.note_trouble(&error);
                Some(PAUSE_MAX)
            }
        }
    }

    /// The store wakes those who follow without a newer head when the log was put back beneath it.
    async fn check_usable(&mut self) {
        if self.halted.borrow().is_none()
            && let Err(StoreError::Rewound { known, head }) = self.store.head().await
        {
            self.halt(Halt::Rewound { at: known, head });
        }
    }

    async fn try_follow(&mut self, until: u64) -> Result<(), FollowError> {
        loop {
            let base = self.board.load();
            let at = base.tail.position;
            if at >= until {
                return Ok(());
            }
            let page = self
                .store
                .read(&Selection::All, at + 1, Direction::Forward, FOLLOW_PAGE)
                .await
                .map_err(|error| match error {
                    StoreError::Rewound { known, head } => {
                        FollowError::Halt(Halt::Rewound { at: known, head })
                    }
                    StoreError::Damaged(detail) => FollowError::Halt(Halt::Damaged(detail)),
                    other => FollowError::Store(other),
                })?;
            if page.is_empty() {
                // The log ends before a position that was seen: holding the tail will tell what that means.
                return Ok(());
            }
            self.take_in(&base, &page)?;
        }
    }

    /// Folds and publishes events that others appended.
    fn take_in(
        &self,
        base: &Published,
        stored: &[eventstore::RecordedEvent],
    ) -> Result<Arc<Published>, FollowError> {
        let mut tail = base.tail;
        let page = replay::decode(&mut tail, stored).map_err(|error| {
            FollowError::Halt(match error {
                FoldError::Unreadable { position, reason } => Halt::Unreadable { position, reason },
                other => Halt::Damaged(in_full(&other)),
            })
        })?;
        let mut world = base.world.clone();
        for recorded in &page {
            world.apply(&recorded.event, recorded.recorded_at);
        }
        self.publish(world, tail, page);
        Ok(self.board.load())
    }

    /// Folds committed events into the views, and publishes them with the World that has folded them.
    fn publish(&self, world: World, tail: Tail, batch: Vec<Recorded>) -> Arc<Vec<Recorded>> {
        for recorded in &batch {
            self.board.views.apply(recorded, &world);
        }
        let recorded_at = batch
            .last()
            .map_or_else(|| self.board.load().recorded_at, |last| last.recorded_at);
        let next = Published {
            world,
            tail,
            recorded_at,
        };
        self.board.publish(next, batch)
    }

    // --- a batch ---

    /// Decides, commits, publishes and answers one batch: `first` and what is queued behind it.
    async fn batch(&mut self, first: Queued) {
        if let Some(halt) = self.halted_for() {
            self.turn_away(
                first,
                &ExecuteError::unavailable(Unavailability::Halted(halt)),
            );
            return;
        }
        let base = self.board.load();
        match self.store.hold_tail(&base.tail).await {
            Err(error) => {
                let error = self.explain_hold(error);
                self.turn_away(first, &error);
            }
            Ok(mut held) => {
                let missed = held.take_missed();
                let base = match missed.is_empty() {
                    true => Ok(base),
                    false => self.take_in(&base, &missed),
                };
                match base {
                    Ok(base) => self.batch_on(held, base, first).await,
                    Err(error) => {
                        held.release().await;
                        let error = self.explain_follow(error);
                        self.turn_away(first, &error);
                    }
                }
            }
        }
    }

    async fn batch_on(&mut self, mut held: HeldTail, base: Arc<Published>, first: Queued) {
        let now = self.clock.now().max(base.recorded_at);
        let mut draft = Draft::new(&base, now);
        let began = Instant::now();
        let mut next = Some(first);
        while let Some(queued) = next {
            if let Err(error) = draft.decide(queued, &mut held, &*self.fresh).await {
                drop(held);
                let error = self.explain_store(error);
                self.answer_failed(&base, draft, &error);
                return;
            }
            let full = draft.pending.len() >= self.limits.batch_commands_max
                || began.elapsed() >= self.limits.deciding_max;
            next = if full { None } else { self.queue.try_next() };
        }
        if draft.decided.is_empty() {
            held.release().await;
            self.recovered();
            answer_all(draft, &base, &[]);
            return;
        }
        let (appends, side) = draft.take_writes();
        match held.commit(appends, side, now.0).await {
            Ok(appended) => {
                self.recovered();
                self.committed(&base, draft, &appended.head);
            }
            Err(CommitError::InDoubt(doubt)) => self.settle(&base, draft, &doubt).await,
            Err(CommitError::NotCommitted(error)) => {
                let error = self.explain_store(error);
                self.answer_failed(&base, draft, &error);
            }
            // Appends are made without belief in a revision.
            Err(error @ CommitError::WrongRevision { .. }) => {
                tracing::error!(%error, "a batch was refused");
                self.answer_failed(
                    &base,
                    draft,
                    &ExecuteError::unavailable(Unavailability::Fault),
                );
            }
        }
    }

    /// Publishes a batch that is in the log, then answers it.
    fn committed(&self, base: &Published, mut draft: Draft, head: &Head) {
        let batch = recorded(&mut draft);
        let world = std::mem::take(&mut draft.world);
        let batch = self.publish(world, Tail::from(*head), batch);
        answer_all(draft, base, &batch);
    }

    /// Finds out whether a batch was committed whose answer was lost. Nobody is answered before.
    async fn settle(&mut self, base: &Arc<Published>, draft: Draft, doubt: &Doubt) {
        let mut pause = PAUSE_MIN;
        let mut give_up = None;
        loop {
            let error = match self.store.settle(doubt).await {
                Ok(false) => {
                    let error = ExecuteError::unavailable(Unavailability::Unreachable);
                    self.answer_failed(base, draft, &error);
                    return;
                }
                Ok(true) => {
                    let last = draft.first + draft.decided.len() as u64 - 1;
                    match self.try_follow(last).await {
                        Ok(()) if self.board.load().tail.position >= last => {
                            self.recovered();
                            answer_settled(draft, base);
                            return;
                        }
                        Ok(()) => StoreError::Damaged(format!("position {last} is missing")),
                        Err(FollowError::Store(error)) => error,
                        // It is committed, but can't be folded here: its callers hear why.
                        Err(FollowError::Halt(halt)) => {
                            self.halt(halt);
                            break;
                        }
                    }
                }
                Err(StoreError::Rewound { known, head }) => {
                    self.halt(Halt::Rewound { at: known, head });
                    break;
                }
                Err(error) => error,
            };
            self.note_trouble(&error);
            if matches!(error, StoreError::Closed) {
                break;
            }
            if *self.stop.borrow() {
                let end = *give_up.get_or_insert(Instant::now() + self.limits.settle_timeout);
                if Instant::now() >= end {
                    break;
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        tracing::error!("it is not known whether a batch was committed");
        let error = ExecuteError::unavailable(Unavailability::InDoubt);
        for pending in draft.pending {
            let _ = pending.answer.send(Err(error.clone()));
        }
    }

    /// Answers a batch that is not in the log. A refusal stays one where it does not rest on what the batch would have
    /// changed; it was not written down.
    fn answer_failed(&self, base: &Published, draft: Draft, error: &ExecuteError) {
        let Draft {
            now,
            first,
            pending,
            ..
        } = draft;
        for Pending {
            command,
            cause,
            outcome,
            answer,
        } in pending
        {
            let reply: Answer = match outcome {
                Outcome::Refused { .. } => {
                    let fresh = self.fresh.fresh();
                    let context = Context {
                        now,
                        cause: &cause,
                        fresh: &fresh,
                    };
                    match decide_guarded(&base.world, &command, &context) {
                        Ok(Err(refusal)) => Err(ExecuteError::Refused {
                            refusal,
                            event: None,
                        }),
                        _ => Err(error.clone()),
                    }
                }
                Outcome::Earlier { first: at, count } if at < first => {
                    Ok(Answered::Earlier { first: at, count })
                }
                Outcome::Failed(failed @ ExecuteError::TooLarge) => Err(failed),
                Outcome::Accepted { .. } | Outcome::Earlier { .. } | Outcome::Failed(_) => {
                    Err(error.clone())
                }
            };
            let _ = answer.send(reply);
        }
    }

    /// Answers what is queued without the tail: whoever would be told no by a rule whose refusals are written down is told
    /// so, without an id; everybody else hears that the log can't be written.
    fn turn_away(&mut self, first: Queued, error: &ExecuteError) {
        let base = self.board.load();
        let now = self.clock.now().max(base.recorded_at);
        let mut next = Some(first);
        let mut left = self.limits.batch_commands_max;
        while let Some(queued) = next {
            let Queued { submission, answer } = queued;
            let fresh = self.fresh.fresh();
            let context = Context {
                now,
                cause: &submission.cause,
                fresh: &fresh,
            };
            let reply = match decide_guarded(&base.world, &submission.command, &context) {
                Ok(Err(refusal))
                    if is_recorded(&submission.command, &submission.cause, &refusal) =>
                {
                    ExecuteError::Refused {
                        refusal,
                        event: None,
                    }
                }
                _ => error.clone(),
            };
            let _ = answer.send(Err(reply));
            left -= 1;
            next = if left == 0 {
                None
            } else {
                self.queue.try_next()
            };
        }
    }

    // --- trouble ---

    fn halted_for(&self) -> Option<Arc<Halt>> {
        self.halted.borrow().clone()
    }

    /// Stops writing for good.
    fn halt(&self, halt: Halt) -> Arc<Halt> {
        tracing::error!(reason = %halt, "the engine has stopped writing");
        let halt = Arc::new(halt);
        self.halted.send_replace(Some(Arc::clone(&halt)));
        halt
    }

    fn explain_hold(&mut self, error: HoldError) -> ExecuteError {
        match error {
            HoldError::Rewound { at, head, .. } => {
                let halt = self.halt(Halt::Rewound { at, head });
                ExecuteError::unavailable(Unavailability::Halted(halt))
            }
            HoldError::Busy => self.explain_store(StoreError::Busy),
            HoldError::ReadOnly => self.explain_store(StoreError::ReadOnly),
            HoldError::Full => self.explain_store(StoreError::Full),
            HoldError::Unavailable(error) => self.explain_store(error),
        }
    }

    fn explain_follow(&mut self, error: FollowError) -> ExecuteError {
        match error {
            FollowError::Halt(halt) => {
                let halt = self.halt(halt);
                ExecuteError::unavailable(Unavailability::Halted(halt))
            }
            FollowError::Store(error) => self.explain_store(error),
        }
    }

    fn explain_store(&mut self, error: StoreError) -> ExecuteError {
        let cause = match &error {
            StoreError::Busy => {
                tracing::debug!("the tail is busy");
                return ExecuteError::busy();
            }
            StoreError::Rewound { known, head } => {
                let (at, head) = (*known, *head);
                let halt = self.halt(Halt::Rewound { at, head });
                return ExecuteError::unavailable(Unavailability::Halted(halt));
            }
            StoreError::Damaged(detail) => {
                let halt = self.halt(Halt::Damaged(detail.clone()));
                return ExecuteError::unavailable(Unavailability::Halted(halt));
            }
            StoreError::Full => Unavailability::Full,
            StoreError::ReadOnly => Unavailability::ReadOnly,
            StoreError::SideExists(..) | StoreError::DuplicateId(_) | StoreError::Invalid(_) => {
                Unavailability::Fault
            }
            _ => Unavailability::Unreachable,
        };
        self.note_trouble(&error);
        ExecuteError::unavailable(cause)
    }

    fn note_trouble(&mut self, error: &StoreError) {
        if self.troubled {
            tracing::debug!(error = in_full(error), "the log is still not to be used");
        } else {
            self.troubled = true;
            tracing::error!(error = in_full(error), "the log can't be read or written");
        }
    }

    fn recovered(&mut self) {
        if self.troubled {
            self.troubled = false;
            tracing::info!("the log can be read and written again");
        }
    }
}

/// The events of a batch as they stand in the log.
fn recorded(draft: &mut Draft) -> Vec<Recorded> {
    let first = draft.first;
    let recorded_at = draft.now;
    std::mem::take(&mut draft.decided)
        .into_iter()
        .zip(first..)
        .map(|(Decided { id, cause, event }, position)| Recorded {
            position,
            id,
            recorded_at,
            cause,
            event,
        })
        .collect()
}

/// Answers a batch that is in the log and published.
fn answer_all(draft: Draft, base: &Published, batch: &[Recorded]) {
    let epoch = base.tail.epoch;
    let (first, now) = (draft.first, draft.now);
    for pending in draft.pending {
        let reply = match pending.outcome {
            Outcome::Accepted { start, end } => Ok(Answered::Done(Done {
                position: first + end as u64 - 1,
                epoch,
                recorded_at: if end > start || start > 0 {
                    now
                } else {
                    base.recorded_at
                },
                events: batch[start..end]
                    .iter()
                    .map(|recorded| recorded.event.clone())
                    .collect(),
                repeated: false,
            })),
            Outcome::Refused { refusal, event } => Err(ExecuteError::Refused {
                refusal,
                event: event.map(|index| batch[index].id),
            }),
            Outcome::Earlier { first, count } => Ok(Answered::Earlier { first, count }),
            Outcome::Failed(error) => Err(error),
        };
        let _ = pending.answer.send(reply);
    }
}

/// Answers a batch of which only later was learned that it is in the log; it was published when the log was read.
fn answer_settled(mut draft: Draft, base: &Published) {
    let batch = recorded(&mut draft);
    answer_all(draft, base, &batch);
}
