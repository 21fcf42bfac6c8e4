//! A batch of which a part is written while its owner decides the next.

use tokio::task::JoinHandle;

use crate::append::HeldTail;
use crate::error::{CommitError, StoreError};
use crate::event::{Appended, StreamAppend};
use crate::side::SideWrite;

/// The held tail, and what was written of a batch on it so far. One part at a time is written, on a task of its own;
/// whatever else needs the tail waits for that. Others see nothing of it before [`GrowingBatch::commit`].
///
/// Once a part could not be written, nothing of the batch will be in the log, and everything else fails.
#[derive(Debug)]
pub struct GrowingBatch(State);

#[derive(Debug)]
enum State {
    Idle(Box<HeldTail>),
    Writing(JoinHandle<Result<HeldTail, CommitError>>),
    /// A part could not be written; the tail is not held any more.
    Lost,
}

impl GrowingBatch {
    /// An empty batch.
    #[must_use]
    pub fn new(held: HeldTail) -> Self {
        Self(State::Idle(Box::new(held)))
    }

    /// Whether a part can be written without waiting for the one before it.
    pub fn is_idle(&self) -> bool {
        match &self.0 {
            State::Idle(_) => true,
            State::Writing(task) => task.is_finished(),
            State::Lost => false,
        }
    }

    /// Begins to write a part; the next ones may follow upon its revisions. `recorded_at` is in microseconds UTC, the same
    /// for all parts.
    ///
    /// # Errors
    /// When the part before it could not be written.
    pub async fn write(
        &mut self,
        appends: Vec<StreamAppend>,
        recorded_at: i64,
    ) -> Result<(), StoreError> {
        let held = self.take_tail().await?;
        self.0 = State::Writing(tokio::spawn(held.write_part(appends, recorded_at)));
        Ok(())
    }

    /// The tail, once the part that is being written is.
    ///
    /// # Errors
    /// When that could not be written.
    pub async fn tail(&mut self) -> Result<&mut HeldTail, StoreError> {
        if let State::Writing(task) = &mut self.0 {
            let written = task.await;
            self.0 = State::Lost;
            let held = written?.map_err(|error| match error {
                CommitError::NotCommitted(error) => error,
                other => StoreError::Invalid(other.to_string()),
            })?;
            self.0 = State::Idle(Box::new(held));
        }
        match &mut self.0 {
            State::Idle(held) => Ok(held),
            State::Writing(_) | State::Lost => Err(StoreError::Closed),
        }
    }

    /// Writes the last part and commits all; see [`HeldTail::commit`], whose events are those of every part.
    ///
    /// # Errors
    /// Unless it is [`CommitError::InDoubt`], nothing of the batch is in the log.
    pub async fn commit(
        mut self,
        appends: Vec<StreamAppend>,
        side: Vec<SideWrite>,
        recorded_at: i64,
    ) -> Result<Appended, CommitError> {
        let held = self.take_tail().await?;
        held.commit(appends, side, recorded_at).await
    }

    /// Ends the transaction without a change.
    pub async fn release(mut self) {
        // Without a tail there is no transaction either.
        if let Ok(held) = self.take_tail().await {
            held.release().await;
        }
    }

    async fn take_tail(&mut self) -> Result<HeldTail, StoreError> {
        self.tail().await?;
        match std::mem::replace(&mut self.0, State::Lost) {
            State::Idle(held) => Ok(*held),
            State::Writing(_) | State::Lost => Err(StoreError::Closed),
        }
    }
}
