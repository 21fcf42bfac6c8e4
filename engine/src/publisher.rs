//! The second half of a batch: what was committed is folded into the views, published, and then answered. It runs beside the
//! writer, so that the next batch is decided and committed meanwhile; the order stays that of the log.

use std::sync::Arc;

use domain::Timestamp;
use eventstore::Tail;
use projections::Recorded;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::draft::{Decided, Draft, Outcome, Pending};
use crate::lanes::Answered;
use crate::published::{Board, Published};
use crate::submission::{Done, ExecuteError, Halt};

/// What is in the log and not published yet.
pub(crate) enum Publication {
    /// A batch of this node, with its callers.
    Batch(Box<Batch>),
    /// What other nodes appended.
    Followed {
        /// What is known after it.
        published: Arc<Published>,
        /// The events.
        page: Vec<Recorded>,
    },
}

/// A batch that is in the log, or had no events.
pub(crate) struct Batch {
    pub(crate) draft: Draft,
    /// The end of the log after it.
    pub(crate) tail: Tail,
    /// What is known after it.
    pub(crate) published: Arc<Published>,
}

/// Publishes and answers in the order given, until the writer is gone. `answered` counts batches.
pub(crate) async fn publish_all(
    board: Arc<Board>,
    views: JoinHandle<()>,
    all_read: oneshot::Sender<()>,
    mut publications: mpsc::Receiver<Publication>,
    answered: watch::Sender<u64>,
    halted: watch::Sender<Option<Arc<Halt>>>,
) {
    if let Err(error) = views.await {
        let halt = Halt::Fault(format!("the views can't be made: {error}"));
        tracing::error!(reason = %halt, "the engine has stopped writing");
        halted.send_replace(Some(Arc::new(halt)));
        board.give_views_up();
    }
    let unread = Arc::clone(&board);
    tokio::task::spawn_blocking(move || {
        unread.read_all();
        // The writer has stopped: fine.
        let _ = all_read.send(());
    });
    while let Some(publication) = publications.recv().await {
        match publication {
            Publication::Followed { published, page } => {
                publish(&board, published, page);
            }
            Publication::Batch(batch) => {
                publish_batch(&board, *batch);
                answered.send_modify(|answered| *answered += 1);
            }
        }
    }
}

fn publish(board: &Board, published: Arc<Published>, page: Vec<Recorded>) -> Arc<Vec<Recorded>> {
    let views = board.views();
    for recorded in &page {
        views.apply(recorded, &published.world);
    }
    board.publish(published, page)
}

fn publish_batch(board: &Board, batch: Batch) {
    let Batch {
        draft,
        tail,
        published,
    } = batch;
    let Draft {
        now,
        recorded_at,
        first,
        decided,
        pending,
        ..
    } = draft;
    let recorded: Vec<Recorded> = decided
        .into_iter()
        .zip(first..)
        .map(|(Decided { id, cause, event }, position)| Recorded {
            position,
            id,
            recorded_at,
            decided_at: now,
            cause,
            event,
        })
        .collect();
    if recorded.is_empty() {
        answer(pending, first, tail.epoch, now, &[]);
    } else {
        let recorded = publish(board, published, recorded);
        answer(pending, first, tail.epoch, now, &recorded);
    }
}

fn answer(pending: Vec<Pending>, first: u64, epoch: i64, now: Timestamp, batch: &[Recorded]) {
    for Pending {
        outcome, answer, ..
    } in pending
    {
        let reply = match outcome {
            Outcome::Accepted { start, end } => Ok(Answered::Done(Done {
                position: first + end as u64 - 1,
                epoch,
                decided_at: now,
                events: batch[start..end]
                    .iter()
                    .map(|recorded| recorded.event.clone())
                    .collect(),
                repeated: false,
            })),
            Outcome::Refused { refusal, event } => Err(ExecuteError::Refused { refusal, event }),
            Outcome::Earlier { first, count } => Ok(Answered::Earlier { first, count }),
            Outcome::Failed(error) => Err(error),
        };
        // Whoever asked may have gone.
        let _ = answer.send(reply);
    }
}
