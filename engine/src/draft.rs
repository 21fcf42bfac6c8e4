//! A batch while it is decided: a copy of the World on which each command sees what those before it made, and everything
//! that is to be committed. It touches nothing that others see; dropping it undoes it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use domain::{Actor, EVENTS_MAX, World, audit, decide};
use domain::{
    Cause, Command, Context, Decision, Event, Fresh, Meta, Refusal, RefusalClass, Timestamp,
};
use eventstore::event::EVENT_BYTES_MAX;
use eventstore::{
    ExpectedRevision, HeldTail, NewEvent, SideTable, SideWrite, StoreError, StreamAppend,
};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::idempotency::{self, Remembered};
use crate::lanes::{Answer, Queued};
use crate::published::Published;
use crate::refusals::{Key, Refusals, Verdict};
use crate::setup::FreshSource;
use crate::side::{Side, SideContext, SideDraft};
use crate::submission::{Condition, ExecuteError, Idempotency, Submission, Unavailability};

/// An event that is to be committed.
pub(crate) struct Decided {
    pub(crate) id: Uuid,
    pub(crate) cause: Cause,
    pub(crate) event: Event,
}

/// What became of one command, if the batch is committed.
pub(crate) enum Outcome {
    /// Accepted: its events are `decided[start..end]`.
    Accepted { start: usize, end: usize },
    /// A rule says no; where that is written down, or repeats what was, by this event.
    Refused {
        refusal: Refusal,
        event: Option<Uuid>,
    },
    /// Carried out earlier: in the log, or before it in this batch.
    Earlier { first: u64, count: u64 },
    /// Not carried out for another reason.
    Failed(ExecuteError),
}

/// A command with its outcome, waiting for the commit.
pub(crate) struct Pending {
    pub(crate) command: Command,
    pub(crate) cause: Cause,
    pub(crate) outcome: Outcome,
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// A batch that is being decided.
pub(crate) struct Draft {
    pub(crate) world: World,
    /// The wall clock, by which everything of the batch is decided.
    pub(crate) now: Timestamp,
    /// What the batch is recorded at: the wall clock, but never before the event before it.
    pub(crate) recorded_at: Timestamp,
    /// Position that the first event will have.
    pub(crate) first: u64,
    pub(crate) decided: Vec<Decided>,
    pub(crate) pending: Vec<Pending>,
    appends: Vec<StreamAppend>,
    side: SideDraft,
    /// What the log remembers under the idempotency keys that were looked up, by row key.
    remembered: BTreeMap<String, Option<Remembered>>,
    refusals: Arc<Refusals>,
    /// Refusals that this batch writes down, and those that it only counts.
    written: BTreeMap<Key, Uuid>,
    repeated: Vec<(Key, String)>,
}

impl Draft {
    /// An empty batch on top of `base`, which is the head of the log.
    pub(crate) fn new(base: &Published, now: Timestamp, refusals: Arc<Refusals>) -> Self {
        Self {
            world: base.world.clone(),
            now,
            recorded_at: now.max(base.recorded_at),
            first: base.tail.position + 1,
            decided: Vec::new(),
            pending: Vec::new(),
            appends: Vec::new(),
            side: SideDraft::default(),
            remembered: BTreeMap::new(),
            refusals,
            written: BTreeMap::new(),
            repeated: Vec::new(),
        }
    }

    /// Takes commands in that can't be decided: reading what they need failed, and the whole batch is lost.
    pub(crate) fn fail(&mut self, commands: impl Iterator<Item = Queued>) {
        self.pending.extend(commands.map(|queued| Pending {
            command: queued.submission.command,
            cause: queued.submission.cause,
            outcome: Outcome::Failed(ExecuteError::unavailable(Unavailability::Unreachable)),
            answer: queued.answer,
        }));
    }

    /// Looks rows of idempotency keys up, all with one statement: the tail is held meanwhile.
    ///
    /// # Errors
    /// When reading failed: the whole batch is lost then.
    pub(crate) async fn look_up(
        &mut self,
        mut keys: Vec<String>,
        held: &mut HeldTail,
    ) -> Result<(), StoreError> {
        keys.retain(|key| !self.remembered.contains_key(key));
        if keys.is_empty() {
            return Ok(());
        }
        let rows = held.side_rows_of(SideTable::Idempotency, &keys).await?;
        self.remembered
            .extend(keys.into_iter().map(|key| (key, None)));
        for row in rows {
            self.remembered
                .insert(row.key, Remembered::from_bytes(&row.value));
        }
        Ok(())
    }

    /// What is to be committed. The draft keeps what the answers need.
    pub(crate) fn take_writes(&mut self) -> (Vec<StreamAppend>, Vec<SideWrite>) {
        let appends = std::mem::take(&mut self.appends);
        let side = std::mem::take(&mut self.side);
        (appends, side.into_writes())
    }

    /// Decides one command.
    ///
    /// # Errors
    /// When reading side rows failed: the whole batch is lost then; the command is among the pending ones.
    pub(crate) async fn decide(
        &mut self,
        queued: Queued,
        held: &mut HeldTail,
        source: &dyn FreshSource,
    ) -> Result<(), StoreError> {
        let Queued { submission, answer } = queued;
        let Submission {
            command,
            cause,
            idempotency,
            side,
            condition,
            ..
        } = submission;
        let extras = Extras {
            idempotency,
            side,
            condition,
        };
        let result = self.outcome(&command, &cause, extras, held, source).await;
        let (outcome, result) = match result {
            Ok(outcome) => (outcome, Ok(())),
            Err(error) => {
                let failed = ExecuteError::unavailable(Unavailability::Unreachable);
                (Outcome::Failed(failed), Err(error))
            }
        };
        self.pending.push(Pending {
            command,
            cause,
            outcome,
            answer,
        });
        result
    }

    async fn outcome(
        &mut self,
        command: &Command,
        cause: &Cause,
        extras: Extras,
        held: &mut HeldTail,
        source: &dyn FreshSource,
    ) -> Result<Outcome, StoreError> {
        let Extras {
            idempotency,
            side,
            condition,
        } = extras;
        let keyed = match idempotency {
            None => None,
            Some(Idempotency { key, request_hash }) => {
                let row_key = idempotency::row_key(&key);
                if let Some(known) = self.remembered(&row_key, held).await? {
                    return Ok(if known.request_hash == request_hash {
                        Outcome::Earlier {
                            first: known.first,
                            count: known.count,
                        }
                    } else {
                        Outcome::Failed(ExecuteError::KeyReused)
                    });
                }
                Some((row_key, request_hash))
            }
        };
        // After the key: a repeat of what was done is told its outcome, whatever has become of the condition since.
        if let Some(condition) = condition {
            match guarded(|| condition.holds(&self.world)) {
                Ok(true) => {}
                Ok(false) => return Ok(Outcome::Failed(ExecuteError::ConditionFailed)),
                Err(fault) => return Ok(Outcome::Failed(fault)),
            }
        }
        let fresh = source.fresh();
        let context = Context {
            now: self.now,
            cause,
            fresh: &fresh,
        };
        let refused = match command {
            Command::Audit(audit::Command::Record(refused)) => Some(refused),
            _ => None,
        };
        if refused.is_some_and(|refused| self.repeats(refused, cause).is_some()) {
            let here = self.decided.len();
            return Ok(Outcome::Accepted {
                start: here,
                end: here,
            });
        }
        let events = match decide_guarded(&self.world, command, &context) {
            Err(fault) => return Ok(Outcome::Failed(fault)),
            Ok(Err(refusal)) => return Ok(self.refuse(command, &context, refusal, source)),
            Ok(Ok(events)) => events,
        };
        let count = events.len();
        let encoded = match self.encode(&events, cause, source) {
            Ok(encoded) => encoded,
            Err(error) => return Ok(Outcome::Failed(error)),
        };
        if count > 0
            && let Err(error) = self.add_side(&events, &fresh, keyed, side, held).await?
        {
            return Ok(Outcome::Failed(error));
        }
        let start = self.decided.len();
        for (event, new) in events.into_iter().zip(encoded) {
            if let Some(refused) = refused {
                self.written.insert(Key::of(refused, cause), new.1.id);
            }
            self.add(event, new, cause.clone());
        }
        Ok(Outcome::Accepted {
            start,
            end: start + count,
        })
    }

    /// What is remembered under a key, by the log or by this batch.
    async fn remembered(
        &self,
        row_key: &str,
        held: &mut HeldTail,
    ) -> Result<Option<Remembered>, StoreError> {
        let stored = match self.remembered.get(row_key) {
            Some(stored) => *stored,
            None => {
                let rows = held.side_rows(SideTable::Idempotency, row_key).await?;
                rows.iter()
                    .find_map(|row| Remembered::from_bytes(&row.value))
            }
        };
        let in_batch = self.side.written(SideTable::Idempotency, row_key);
        Ok(in_batch
            .map_or(stored, Remembered::from_bytes)
            .filter(|known| !known.is_expired(self.now)))
    }

    /// The stored form of events, with their ids.
    fn encode(
        &self,
        events: &[Event],
        cause: &Cause,
        source: &dyn FreshSource,
    ) -> Result<Vec<(String, NewEvent)>, ExecuteError> {
        if events.len() > EVENTS_MAX {
            return Err(ExecuteError::TooLarge);
        }
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let meta = Meta::new(cause.clone(), self.now, self.recorded_at);
        let meta = serde_json::to_vec(&meta).map_err(|error| unwritable(&error))?;
        events
            .iter()
            .map(|event| {
                let data = event.to_text().map_err(|error| unwritable(&error))?;
                if data.len() + meta.len() > EVENT_BYTES_MAX {
                    return Err(ExecuteError::TooLarge);
                }
                let new = NewEvent {
                    id: source.event_id(self.recorded_at),
                    event_type: event.stored_name().into(),
                    data,
                    meta: meta.clone(),
                };
                Ok((event.stream(), new))
            })
            .collect()
    }

    /// Adds the side rows of an accepted command: its own and its idempotency key.
    async fn add_side(
        &mut self,
        events: &[Event],
        fresh: &Fresh,
        keyed: Option<(String, [u8; 32])>,
        side: Option<Side>,
        held: &mut HeldTail,
    ) -> Result<Result<(), ExecuteError>, StoreError> {
        if let Some(Side {
            table,
            prefix,
            write,
        }) = side
        {
            let rows = if prefix.is_empty() {
                Vec::new()
            } else {
                let stored = held.side_rows(table, &prefix).await?;
                self.side.over(table, &prefix, stored)
            };
            let context = SideContext {
                now: self.now,
                fresh,
                events,
            };
            let writes = match guarded(|| write(&rows, &context)) {
                Ok(writes) => writes,
                Err(fault) => return Ok(Err(fault)),
            };
            if self.side.add(writes, table, &rows).is_err() {
                tracing::error!(?table, "a side row that was to be new is there already");
                return Ok(Err(ExecuteError::unavailable(Unavailability::Fault)));
            }
        }
        if let Some((row_key, request_hash)) = keyed {
            let first = self.first + self.decided.len() as u64;
            let remembered = Remembered::new(request_hash, first, events.len() as u64, self.now);
            let write = remembered.write(row_key);
            // A put is never refused.
            let _ = self.side.add(vec![write], SideTable::Idempotency, &[]);
        }
        Ok(Ok(()))
    }

    /// Notes a refusal, and writes it down where it is one of those.
    fn refuse(
        &mut self,
        command: &Command,
        context: &Context,
        refusal: Refusal,
        source: &dyn FreshSource,
    ) -> Outcome {
        let mut event = None;
        if is_recorded(command, context.cause, &refusal) {
            let refused = audit::ActionRefused {
                code: refusal.code().to_owned(),
                message: refusal.to_string(),
                command: command.name().to_owned(),
                subject: command.subject(),
                inputs: command.inputs(&self.world),
            };
            if let Some(first) = self.repeats(&refused, context.cause) {
                return Outcome::Refused {
                    refusal,
                    event: first,
                };
            }
            let key = Key::of(&refused, context.cause);
            let record = Command::Audit(audit::Command::Record(refused));
            let recorded = decide(&self.world, &record, context).unwrap_or_default();
            if let Ok(encoded) = self.encode(&recorded, context.cause, source) {
                for (recorded, new) in recorded.into_iter().zip(encoded) {
                    event = Some(new.1.id);
                    self.written.insert(key.clone(), new.1.id);
                    self.add(recorded, new, context.cause.clone());
                }
            }
        }
        Outcome::Refused { refusal, event }
    }

    /// Counts a refusal that is not to be written down, because it repeats one of the last minute or its caller has had many:
    /// the event that stands for it, as far as there is one. `None` where it is to be written down.
    #[allow(clippy::option_option, reason = "a count may stand for itself")]
    fn repeats(&mut self, refused: &audit::ActionRefused, cause: &Cause) -> Option<Option<Uuid>> {
        let key = Key::of(refused, cause);
        let first = match self.written.get(&key) {
            Some(first) => Some(*first),
            None => {
                let of_caller = self
                    .written
                    .keys()
                    .filter(|other| other.has_caller_of(&key));
                match self.refusals.verdict(&key, of_caller.count(), self.now) {
                    Verdict::First => return None,
                    Verdict::Repeat(first) => first,
                }
            }
        };
        self.repeated.push((key, refused.message.clone()));
        Some(first)
    }

    /// Remembers the refusals of a batch that is in the log.
    pub(crate) fn note_refusals(&mut self) {
        for (key, event) in std::mem::take(&mut self.written) {
            self.refusals.written(key, event, self.now);
        }
        for (key, message) in std::mem::take(&mut self.repeated) {
            self.refusals.repeated(key, message, self.now);
        }
    }

    /// Takes an event into the batch and its copy of the World.
    fn add(&mut self, event: Event, (stream, new): (String, NewEvent), cause: Cause) {
        self.world.apply(&event, self.now);
        self.decided.push(Decided {
            id: new.id,
            cause,
            event,
        });
        match self.appends.last_mut() {
            Some(append) if append.stream == stream => append.events.push(new),
            // The held tail is what makes the order right; revisions need no belief.
            _ => self.appends.push(StreamAppend {
                stream,
                expected: ExpectedRevision::Any,
                events: vec![new],
            }),
        }
    }
}

/// What comes with a command.
struct Extras {
    idempotency: Option<Idempotency>,
    side: Option<Side>,
    condition: Option<Condition>,
}

/// Whether a refusal is an event of its own (architecture.md, "Refusals"). What was refused before anybody was known is
/// counted elsewhere: strangers must not fill the disk through the audit.
pub(crate) fn is_recorded(command: &Command, cause: &Cause, refusal: &Refusal) -> bool {
    let known = !matches!(cause.actor, Actor::Stranger | Actor::NewJumpClient);
    let is_question = matches!(
        refusal,
        // What a user can still supply is a question, not a no.
        Refusal::StartNeeds { .. } | Refusal::PasswordChangeRequired
            // Nothing was heard: whoever is turned away so is counted like those who knock too often.
            | Refusal::SignInLocked { .. }
    );
    if is_question {
        return false;
    }
    command.refusals_are_recorded() || (known && refusal.class() == RefusalClass::Forbidden)
}

/// Decides. A fault in a rule costs its own command, not the engine: a decision has changed nothing when it ends so.
pub(crate) fn decide_guarded(
    world: &World,
    command: &Command,
    context: &Context,
) -> Result<Decision, ExecuteError> {
    guarded(|| decide(world, command, context)).inspect_err(|_| {
        tracing::error!(command = command.name(), "deciding a command failed");
    })
}

fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, ExecuteError> {
    catch_unwind(AssertUnwindSafe(run))
        .map_err(|_| ExecuteError::unavailable(Unavailability::Fault))
}

fn unwritable(error: &serde_json::Error) -> ExecuteError {
    tracing::error!(
        error = error as &dyn std::error::Error,
        "an event can't be written as JSON"
    );
    ExecuteError::unavailable(Unavailability::Fault)
}
