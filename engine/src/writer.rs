//! The one writer of a node: holds the tail, decides a batch on a copy, commits it, and hands it on to be published and
//! answered. Between batches it follows what other nodes append.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use domain::{Cause, Command, Context, Decision, Timestamp};
use eventstore::{
    CommitError, Direction, Doubt, EventStore, HeldTail, HoldError, RecordedEvent, Selection,
    StoreError, Tail,
};
use projections::UnreadableEvent;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::draft::{Draft, Outcome, Pending, decide_guarded, is_recorded};
use crate::idempotency;
use crate::lanes::{Answer, Answered, LaneQueue, Queued};
use crate::published::Published;
use crate::publisher::{Batch, Publication};
use crate::refusals::Refusals;
use crate::replay::{self, FoldError};
use crate::setup::{Clock, EngineLimits, FreshSource};
use crate::submission::{ExecuteError, Halt, Submission, Unavailability};

/// Commands whose idempotency keys are looked up with one statement.
const LOOKED_UP_MAX: usize = 256;

/// Events read with one statement while following.
const FOLLOW_PAGE: usize = 2_000;

/// The first pause before something that failed is tried again; doubled each time.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The writer. It is ahead of what is published by the batches that the publisher has not taken yet.
pub(crate) struct Writer {
    pub(crate) store: EventStore,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) fresh: Arc<dyn FreshSource>,
    pub(crate) limits: EngineLimits,
    pub(crate) queue: LaneQueue,
    /// All that is in the log as far as it was folded here.
    pub(crate) base: Arc<Published>,
    pub(crate) publisher: mpsc::Sender<Publication>,
    /// What was refused of late.
    pub(crate) refusals: Arc<Refusals>,
    /// Told when nothing of the World lies unread in a snapshot any more; none once it was.
    pub(crate) all_read: Option<oneshot::Receiver<()>>,
    pub(crate) answers: Answers,
    /// Positions that readers wait for.
    pub(crate) wanted: watch::Receiver<u64>,
    pub(crate) halted: watch::Sender<Option<Arc<Halt>>>,
    pub(crate) stop: watch::Receiver<bool>,
    /// What was wrong with the log the last time; logged when it comes and when it goes.
    pub(crate) trouble: watch::Sender<Option<Trouble>>,
}

/// What the writer knows of the batches it gave to the publisher.
pub(crate) struct Answers {
    /// Batches that were answered.
    pub(crate) answered: watch::Receiver<u64>,
    /// Batches that were given.
    pub(crate) given: u64,
    /// Callers of the newest one.
    pub(crate) callers: usize,
}

/// What is wrong with the log: it was tried, and has not succeeded since.
#[derive(Clone, Copy, Debug)]
pub struct Trouble {
    /// When it last failed.
    pub at: Instant,
    /// It has no room left.
    pub full: bool,
    /// It could not be written, or not even held; else it could not be read.
    pub writing: bool,
}

/// Why following stopped.
enum FollowError {
    /// For good.
    Halt(Halt),
    /// For now.
    Store(StoreError),
}

/// What the loop goes on with.
#[allow(
    clippy::large_enum_variant,
    reason = "there is one at a time; a box would cost an allocation a batch"
)]
enum Next {
    Batch(Queued),
    Follow,
    /// The store woke those who follow.
    Head,
    AllRead,
    Stop,
    End,
}

/// Ends once, when it is told; never where that was or can't be.
async fn told(once: &mut Option<oneshot::Receiver<()>>) {
    let told = match once {
        Some(receiver) => receiver.await.is_ok(),
        None => false,
    };
    *once = None;
    if !told {
        std::future::pending::<()>().await;
    }
}

impl Writer {
    /// Runs until the engine stops and everything that was accepted is decided.
    pub(crate) async fn run(mut self) {
        let mut head = self.store.watch_head();
        let mut stop = self.stop.clone();
        let mut stopping = false;
        let mut follow_again: Option<Instant> = None;
        let mut seen = *head.borrow_and_update();
        loop {
            let retry = follow_again.unwrap_or_else(Instant::now);
            let next = tokio::select! {
                queued = self.queue.next() => queued.map_or(Next::End, Next::Batch),
                _ = stop.changed(), if !stopping => Next::Stop,
                Ok(()) = head.changed() => Next::Head,
                Ok(()) = self.wanted.changed() => Next::Follow,
                _ = told(&mut self.all_read) => Next::AllRead,
                () = tokio::time::sleep_until(retry), if follow_again.is_some() => Next::Follow,
            };
            match next {
                Next::Batch(first) => {
                    self.gather().await;
                    self.batch(first).await;
                }
                Next::End => return,
                Next::AllRead => self.let_go_of_snapshot(),
                Next::Stop => {
                    stopping = true;
                    self.queue.close();
                }
                Next::Head | Next::Follow => {
                    let known = *head.borrow_and_update();
                    if matches!(next, Next::Head) && known == seen {
                        self.check_usable().await;
                    }
                    seen = known;
                    let until = known.max(*self.wanted.borrow_and_update());
                    follow_again = self.follow(until).await.map(|pause| Instant::now() + pause);
                }
            }
        }
    }

    /// Gives the memory of the snapshot back that the World was read from. All is read: this takes some milliseconds for
    /// 100,000 clients.
    fn let_go_of_snapshot(&mut self) {
        let mut base = Published::clone(&self.base);
        base.world.let_go_of_snapshot();
        self.base = Arc::new(base);
    }

    // --- following other nodes ---

    /// Folds and publishes what is in the log up to `until`. Returns when to try again, if it failed.
    async fn follow(&mut self, until: u64) -> Option<Duration> {
        if self.halted.borrow().is_some() || self.base.tail.position >= until {
            return None;
        }
        match self.try_follow(until).await {
            Ok(()) => {
                // That it can be read says nothing of room to write.
                if self.trouble.borrow().is_none_or(|trouble| !trouble.writing) {
                    self.recovered();
                }
                None
            }
            Err(FollowError::Halt(halt)) => {
                self.halt(halt);
                None
            }
            Err(FollowError::Store(error)) => {
                self.note_trouble(&error, false);
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
        while self.base.tail.position < until {
            let from = self.base.tail.position + 1;
            let page = self
                .store
                .read(&Selection::All, from, Direction::Forward, FOLLOW_PAGE)
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
            self.take_in(&page).await?;
        }
        Ok(())
    }

    /// Folds events that others appended, and has them published.
    async fn take_in(&mut self, stored: &[RecordedEvent]) -> Result<(), FollowError> {
        let mut tail = self.base.tail;
        let page = replay::decode(&mut tail, stored).map_err(|error| match error {
            FoldError::Store(error) => FollowError::Store(error),
            FoldError::Unreadable(UnreadableEvent { position, why }) => {
                FollowError::Halt(Halt::Unreadable { position, why })
            }
            error @ FoldError::OutOfOrder { .. } => {
                FollowError::Halt(Halt::Damaged(error.to_string()))
            }
            FoldError::Thread(error) => FollowError::Halt(Halt::Fault(error.to_string())),
        })?;
        let mut world = self.base.world.clone();
        let mut recorded_at = self.base.recorded_at;
        for recorded in &page {
            world.apply(&recorded.event, recorded.decided_at);
            recorded_at = recorded.recorded_at;
        }
        let published = Arc::new(Published {
            world,
            tail,
            recorded_at,
        });
        self.base = Arc::clone(&published);
        self.publish(Publication::Followed { published, page })
            .await;
        Ok(())
    }

    /// Hands on what is in the log. The publisher lives as long as the writer.
    async fn publish(&mut self, publication: Publication) {
        if self.publisher.send(publication).await.is_err() {
            tracing::error!("the publisher of the engine has failed");
        }
    }

    // --- a batch ---

    /// Lets those who are just being answered ask again before the next batch begins, where they outnumber those who wait:
    /// one large batch costs less than a large and a small one.
    async fn gather(&mut self) {
        let given = self.answers.given;
        if self.queue.waiting() < self.answers.callers && *self.answers.answered.borrow() < given {
            // An error means that the publisher is gone; the batch will tell.
            let _ = self
                .answers
                .answered
                .wait_for(|answered| *answered >= given)
                .await;
            tokio::task::yield_now().await;
        }
    }

    /// Decides and commits one batch, `first` and what is queued behind it, and has it published and answered.
    async fn batch(&mut self, first: Queued) {
        if let Some(halt) = self.halted_for() {
            self.turn_away(
                first,
                &ExecuteError::unavailable(Unavailability::Halted(halt)),
            );
            return;
        }
        match self.store.hold_tail(&self.base.tail).await {
            Err(error) => {
                let error = self.explain_hold(error);
                self.turn_away(first, &error);
            }
            Ok(mut held) => {
                let missed = held.take_missed();
                if !missed.is_empty()
                    && let Err(error) = self.take_in(&missed).await
                {
                    held.release().await;
                    let error = self.explain_follow(error);
                    self.turn_away(first, &error);
                    return;
                }
                self.batch_on(held, first).await;
            }
        }
    }

    async fn batch_on(&mut self, mut held: HeldTail, first: Queued) {
        let mut draft = Draft::new(&self.base, self.clock.now(), Arc::clone(&self.refusals));
        let began = Instant::now();
        let mut taken = VecDeque::from([first]);
        loop {
            let room = self.limits.batch_commands_max - draft.pending.len();
            while taken.len() < room.min(LOOKED_UP_MAX)
                && let Some(queued) = self.queue.try_next()
            {
                taken.push_back(queued);
            }
            if let Err(error) = self.decide(&mut draft, &mut taken, &mut held, began).await {
                self.queue.give_back(taken);
                drop(held);
                let error = self.explain_store(error);
                self.answer_failed(draft, &error);
                return;
            }
            let full = draft.pending.len() >= self.limits.batch_commands_max
                || began.elapsed() >= self.limits.deciding_max;
            match if full { None } else { self.queue.try_next() } {
                Some(queued) => taken.push_back(queued),
                None => break,
            }
        }
        self.queue.give_back(taken);
        if draft.decided.is_empty() {
            held.release().await;
            self.committed(draft, self.base.tail).await;
            return;
        }
        let (appends, side) = draft.take_writes();
        match held.commit(appends, side, draft.recorded_at.0).await {
            Ok(appended) => self.committed(draft, Tail::from(appended.head)).await,
            Err(CommitError::InDoubt(doubt)) => self.settle(draft, &doubt).await,
            Err(CommitError::NotCommitted(error)) => {
                let error = self.explain_store(error);
                self.answer_failed(draft, &error);
            }
            // Appends are made without belief in a revision.
            Err(error @ CommitError::WrongRevision { .. }) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a batch was refused"
                );
                self.answer_failed(draft, &ExecuteError::unavailable(Unavailability::Fault));
            }
        }
    }

    /// Decides the commands in `taken` until the batch has taken its time; at least one.
    async fn decide(
        &mut self,
        draft: &mut Draft,
        taken: &mut VecDeque<Queued>,
        held: &mut HeldTail,
        began: Instant,
    ) -> Result<(), StoreError> {
        let keys = taken
            .iter()
            .filter_map(|queued| queued.submission.idempotency.as_ref())
            .map(|idempotency| idempotency::row_key(&idempotency.key))
            .collect();
        if let Err(error) = draft.look_up(keys, held).await {
            // Given back they would be tried for ever.
            draft.fail(taken.drain(..));
            return Err(error);
        }
        while let Some(queued) = taken.pop_front() {
            draft.decide(queued, held, &*self.fresh).await?;
            if began.elapsed() >= self.limits.deciding_max {
                break;
            }
        }
        Ok(())
    }

    /// Has a batch published and answered that is in the log up to `tail`, or has no events.
    async fn committed(&mut self, mut draft: Draft, tail: Tail) {
        draft.note_refusals();
        if !draft.decided.is_empty() {
            self.recovered();
            self.base = Arc::new(Published {
                world: std::mem::take(&mut draft.world),
                tail,
                recorded_at: draft.recorded_at,
            });
        }
        self.answers.given += 1;
        self.answers.callers = draft.pending.len();
        let published = Arc::clone(&self.base);
        self.publish(Publication::Batch(Box::new(Batch {
            draft,
            tail,
            published,
        })))
        .await;
    }

    /// Finds out whether a batch was committed whose answer was lost. Nobody is answered before.
    async fn settle(&mut self, draft: Draft, doubt: &Doubt) {
        let mut pause = PAUSE_MIN;
        let mut give_up = None;
        loop {
            let error = match self.try_settle(&draft, doubt).await {
                Ok(Some(tail)) => {
                    self.committed(draft, tail).await;
                    return;
                }
                Ok(None) => {
                    // It can be read, and was not written.
                    self.set_trouble(false, true);
                    let error = ExecuteError::unavailable(Unavailability::Unreachable);
                    self.answer_failed(draft, &error);
                    return;
                }
                Err(error) => error,
            };
            match error {
                StoreError::Rewound { known, head } => {
                    self.halt(Halt::Rewound { at: known, head });
                    break;
                }
                StoreError::Damaged(detail) => {
                    self.halt(Halt::Damaged(detail));
                    break;
                }
                StoreError::Closed => break,
                error => self.note_trouble(&error, true),
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

    /// The end of the log after a batch in doubt; `None` if it is not in the log.
    async fn try_settle(
        &mut self,
        draft: &Draft,
        doubt: &Doubt,
    ) -> Result<Option<Tail>, StoreError> {
        if !self.store.settle(doubt).await? {
            return Ok(None);
        }
        let count = draft.decided.len();
        let stored = self
            .store
            .read(&Selection::All, draft.first, Direction::Forward, count)
            .await?;
        let mut tail = self.base.tail;
        for (stored, decided) in stored.iter().zip(&draft.decided) {
            if stored.position != tail.position + 1 || stored.id != decided.id {
                break;
            }
            tail.advance(stored);
        }
        if tail.position + 1 == draft.first + count as u64 {
            Ok(Some(tail))
        } else {
            Err(StoreError::Damaged(format!(
                "a batch that was committed is not whole after position {}",
                tail.position
            )))
        }
    }

    /// Answers a batch that is not in the log. A refusal stays one where it does not rest on what the batch would have
    /// changed; it was not written down.
    fn answer_failed(&self, draft: Draft, error: &ExecuteError) {
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
                Outcome::Refused { .. } => match self.decide_on_base(&command, &cause, now) {
                    Ok(Err(refusal)) => Err(ExecuteError::Refused {
                        refusal,
                        event: None,
                    }),
                    _ => Err(error.clone()),
                },
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
        let now = self.clock.now();
        let mut next = Some(first);
        let mut left = self.limits.batch_commands_max;
        while let Some(queued) = next {
            let Queued { submission, answer } = queued;
            let Submission { command, cause, .. } = submission;
            let reply = match self.decide_on_base(&command, &cause, now) {
                Ok(Err(refusal)) if is_recorded(&command, &cause, &refusal) => {
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

    /// What a command would come to without the tail held.
    fn decide_on_base(
        &self,
        command: &Command,
        cause: &Cause,
        now: Timestamp,
    ) -> Result<Decision, ExecuteError> {
        let fresh = self.fresh.fresh();
        let context = Context {
            now,
            cause,
            fresh: &fresh,
        };
        decide_guarded(&self.base.world, command, &context)
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
            // The batch is at fault and not the log.
            StoreError::SideExists(..) | StoreError::DuplicateId(_) | StoreError::Invalid(_) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a batch was refused"
                );
                return ExecuteError::unavailable(Unavailability::Fault);
            }
            _ => Unavailability::Unreachable,
        };
        self.note_trouble(&error, true);
        ExecuteError::unavailable(cause)
    }

    fn note_trouble(&mut self, error: &StoreError, writing: bool) {
        if self.set_trouble(matches!(error, StoreError::Full), writing) {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "the log can't be read or written"
            );
        } else {
            tracing::debug!(
                error = error as &dyn std::error::Error,
                "the log is still not to be used"
            );
        }
    }

    /// Whether it is new.
    fn set_trouble(&mut self, full: bool, writing: bool) -> bool {
        let trouble = Trouble {
            at: Instant::now(),
            full,
            writing,
        };
        self.trouble.send_replace(Some(trouble)).is_none()
    }

    fn recovered(&mut self) {
        if self.trouble.borrow().is_some() {
            self.trouble.send_replace(None);
            tracing::info!("the log can be read and written again");
        }
    }
}
