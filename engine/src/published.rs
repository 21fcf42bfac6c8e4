//! What everybody reads: the World by atomic swap, the views beside it, and the stream of what was committed.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use domain::{Timestamp, World};
use eventstore::Tail;
use projections::{Recorded, Views};
use tokio::sync::{broadcast, watch};

/// One consistent version of everything that is known. Whoever holds it keeps it as long as needed; it never changes.
#[derive(Clone, Debug)]
pub struct Published {
    /// The World.
    pub world: World,
    /// How far the log was folded.
    pub tail: Tail,
    /// When the newest event folded was recorded; zero before the first.
    pub recorded_at: Timestamp,
}

impl Published {
    /// Nothing folded yet.
    #[must_use]
    pub fn empty(epoch: i64) -> Self {
        Self {
            world: World::default(),
            tail: Tail::start(epoch),
            recorded_at: Timestamp(0),
        }
    }
}

/// Where the writer publishes and everybody reads.
pub(crate) struct Board {
    published: ArcSwap<Published>,
    /// Made beside the first reads of the World; everything that is published later has them.
    views: OnceLock<Views>,
    /// Position that is published, for those who wait for it.
    position: watch::Sender<u64>,
    /// Held for the moment of publishing, so that a stream begins exactly after what was published.
    stream: Mutex<broadcast::Sender<Arc<Vec<Recorded>>>>,
}

impl Board {
    pub(crate) fn new(published: Arc<Published>, stream_batches_max: usize) -> Self {
        Self {
            position: watch::Sender::new(published.tail.position),
            published: ArcSwap::new(published),
            views: OnceLock::new(),
            stream: Mutex::new(broadcast::Sender::new(stream_batches_max)),
        }
    }

    /// The views; blocks for the moment that they take to be made after a start.
    pub(crate) fn views(&self) -> &Views {
        self.views.wait()
    }

    /// Makes the views of what the log was folded into. Called once, before anything is published.
    pub(crate) fn make_views(&self) {
        let published = self.load();
        let views = Views::of(&published.world, published.tail.position);
        // It can't be there already.
        let _ = self.views.set(views);
    }

    /// Reads all that lies in a snapshot still.
    pub(crate) fn read_all(&self) {
        self.load().world.clone().let_go_of_snapshot();
    }

    /// Lets nobody wait for views that can't be made.
    pub(crate) fn give_views_up(&self) {
        let _ = self.views.set(Views::default());
    }

    pub(crate) fn load(&self) -> Arc<Published> {
        self.published.load_full()
    }

    /// Waits here for a position.
    pub(crate) fn position(&self) -> watch::Receiver<u64> {
        self.position.subscribe()
    }

    /// Makes `next` what everybody reads; the views have taken in `batch` before. The batch is handed back for the answers.
    pub(crate) fn publish(&self, next: Arc<Published>, batch: Vec<Recorded>) -> Arc<Vec<Recorded>> {
        let position = next.tail.position;
        let batch = Arc::new(batch);
        {
            let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
            self.published.store(next);
            // Nobody listens: fine.
            let _ = stream.send(Arc::clone(&batch));
        }
        self.position.send_replace(position);
        batch
    }

    pub(crate) fn stream(&self) -> CommittedStream {
        let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        CommittedStream {
            receiver: stream.subscribe(),
            position: self.published.load().tail.position,
            pending: None,
        }
    }
}

/// Every event from one position on, in order, without a gap, as it is published.
pub struct CommittedStream {
    receiver: broadcast::Receiver<Arc<Vec<Recorded>>>,
    position: u64,
    /// The batch after a gap that was just told.
    pending: Option<Arc<Vec<Recorded>>>,
}

/// Why a [`CommittedStream`] did not give the next events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamBroken {
    /// The reader was too slow. The stream goes on after `until`; what was missed is read with
    /// [`Engine::read_recorded`](crate::Engine::read_recorded).
    #[error("events after position {after} up to position {until} were missed")]
    Lagged {
        /// The last position that was given.
        after: u64,
        /// The last position that is missing.
        until: u64,
    },
    /// The engine is gone.
    #[error("the engine has stopped")]
    Closed,
}

impl CommittedStream {
    /// Position of the last event that was given; at first, of what was published when the stream was made.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// The next events, never none. Dropped before it ends, it has lost nothing.
    ///
    /// # Errors
    /// [`StreamBroken::Lagged`] once for each gap; [`StreamBroken::Closed`] at the end.
    pub async fn next(&mut self) -> Result<Arc<Vec<Recorded>>, StreamBroken> {
        let mut lagged = false;
        loop {
            let batch = match self.pending.take() {
                Some(batch) => batch,
                None => match self.receiver.recv().await {
                    Ok(batch) => batch,
                    Err(broadcast::error::RecvError::Lagged(_)) => {
                        lagged = true;
                        continue;
                    }
                    Err(broadcast::error::RecvError::Closed) => return Err(StreamBroken::Closed),
                },
            };
            let (Some(first), Some(last)) = (batch.first(), batch.last()) else {
                continue;
            };
            let before = first.position - 1;
            if lagged && before > self.position {
                let broken = StreamBroken::Lagged {
                    after: self.position,
                    until: before,
                };
                self.position = before;
                self.pending = Some(batch);
                return Err(broken);
            }
            self.position = last.position;
            return Ok(batch);
        }
    }
}
