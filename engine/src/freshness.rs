//! Reads as fresh as the log was when they came in (architecture.md, "Reading").
//!
//! Where other nodes write, the tail is asked for: one query at a time is under way, a request never joins one that was sent
//! before it came in, and all that wait share the next.

use std::time::Duration;

use eventstore::{EventStore, Head, StoreError};
use tokio::sync::{mpsc, oneshot, watch};

use crate::submission::RETRY_AFTER;

/// The World can't be made as fresh as the log in time. Answered as 503 with Retry-After.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log could not be followed in time")]
pub struct EngineUnavailable {
    /// When to try again.
    pub retry_after: Duration,
}

impl EngineUnavailable {
    pub(crate) const fn new() -> Self {
        Self {
            retry_after: RETRY_AFTER,
        }
    }
}

/// A request that wants to know the tail.
pub(crate) type TailRequest = oneshot::Sender<Result<Head, StoreError>>;

/// Answers requests for the tail until the engine stops.
pub(crate) async fn answer_tail_requests(
    store: EventStore,
    mut requests: mpsc::Receiver<TailRequest>,
    wanted: watch::Sender<u64>,
    mut stop: watch::Receiver<bool>,
) {
    let mut waiting = Vec::new();
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            // Whoever is taken here came in before the query is sent.
            taken = requests.recv_many(&mut waiting, usize::MAX) => if taken == 0 { return },
        }
        let head = store.head().await;
        if let Ok(head) = &head {
            // The writer folds up to there, also where no notification came.
            wanted.send_if_modified(|position| {
                let newer = head.position > *position;
                if newer {
                    *position = head.position;
                }
                newer
            });
        }
        for request in waiting.drain(..) {
            // One who gave up waiting needs no answer.
            let _ = request.send(head.clone());
        }
    }
}
