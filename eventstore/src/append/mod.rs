//! Appending: the tail that is held, the batch that is decided on it, and what became of a batch
//! whose answer was lost.

pub(crate) mod batch;
mod held_tail;
pub(crate) mod revisions;
pub(crate) mod writer;

pub use held_tail::HeldTail;

use std::collections::HashMap;

use uuid::Uuid;

use crate::error::{AppendError, HoldError, StoreError};
use crate::event::{Appended, Head, RecordedEvent, StreamAppend, Tail};
use crate::side::SideWrite;
use crate::store::EventStore;

/// What must be known to find out whether a batch was committed whose answer was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// The first position the batch tried to write.
    pub position: u64,
    /// The id of the event it tried to write there.
    pub id: Uuid,
}

impl EventStore {
    /// Appends to one stream or several, all or nothing, together with side writes.
    ///
    /// `recorded_at` is in microseconds UTC. A batch that was appended before is recognised by the
    /// ids of its events and answered with the events of the first time, without doing its side
    /// writes again. A batch without events checks the expected revisions and changes nothing.
    ///
    /// # Errors
    /// Unless it is [`AppendError::InDoubt`], nothing of the batch is in the log.
    pub async fn append(
        &self,
        appends: Vec<StreamAppend>,
        side: Vec<SideWrite>,
        recorded_at: i64,
    ) -> Result<Appended, AppendError> {
        batch::check(&appends)?;
        let mut held = HeldTail::at_head(self).await?;
        let ids: Vec<Uuid> = appends
            .iter()
            .flat_map(|append| &append.events)
            .map(|event| event.id)
            .collect();
        let known = held.find_ids(&ids).await?;
        if !known.is_empty() {
            let last = held.last_revisions(&appends).await?;
            match batch::find_repeat(&appends, &known, &last) {
                Ok(Some(positions)) => {
                    let events = held.read_positions(&positions).await?;
                    let head = *held.head();
                    held.release().await;
                    return Ok(Appended { events, head });
                }
                Ok(None) => {}
                Err(error) => {
                    held.release().await;
                    return Err(error);
                }
            }
        }
        Ok(held.commit(appends, side, recorded_at).await?)
    }

    /// Holds the tail of the log, so that what is decided now is decided on all that was appended.
    ///
    /// `at` is what the caller has folded. What others appended since is in
    /// [`HeldTail::take_missed`]; the chain of hashes proves that it continues what was folded.
    ///
    /// # Errors
    /// [`HoldError::Rewound`] if the log is not the one that was folded: stop, say so, rebuild.
    pub async fn hold_tail(&self, at: &Tail) -> Result<HeldTail, HoldError> {
        HeldTail::from_tail(self, at).await
    }

    /// Whether a batch was committed whose answer was lost. Takes the tail first, so the doubtful
    /// transaction has ended before its event is looked for.
    ///
    /// # Errors
    /// [`StoreError::Busy`] while the doubtful transaction still lives: ask again.
    pub async fn settle(&self, doubt: &Doubt) -> Result<bool, StoreError> {
        let mut held = HeldTail::at_head(self).await?;
        let known = held.find_ids(&[doubt.id]).await?;
        let committed = known
            .get(&doubt.id)
            .is_some_and(|found| found.position == doubt.position);
        held.release().await;
        Ok(committed)
    }

    /// Raises the epoch of the log, after it was put back to an earlier state on purpose. Every node
    /// that folded the old epoch is refused from then on.
    pub async fn begin_epoch(&self) -> Result<Head, StoreError> {
        HeldTail::at_head(self).await?.raise_epoch().await
    }
}

/// The events of a batch that was appended before, in the order asked for.
pub(crate) fn in_order(
    events: Vec<RecordedEvent>,
    positions: &[u64],
) -> Result<Vec<RecordedEvent>, StoreError> {
    let mut by_position: HashMap<u64, RecordedEvent> = events
        .into_iter()
        .map(|event| (event.position, event))
        .collect();
    positions
        .iter()
        .map(|position| {
            by_position.remove(position).ok_or_else(|| {
                StoreError::Damaged(format!("the event at position {position} is missing"))
            })
        })
        .collect()
}
