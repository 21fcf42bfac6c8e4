//! Folding the log into the World: pages are read ahead, decoded on several threads at the same time, and folded in their order
//! by the thread that decoded them, so that what decoding allocates is dropped where it was made. The views are made of the
//! World when all is folded.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use domain::{Event, Meta, Timestamp};
use eventstore::event::CODEC_PLAIN;
use eventstore::{EventStore, FoldPage, RecordedEvent, StoreError, Tail};
use projections::{Recorded, Unreadable, UnreadableEvent};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use crate::published::Published;

/// Pages that may wait to be decoded.
const PAGES_AHEAD: usize = 4;

/// Most threads that decode: folding is one after the other, and more could not keep it busier.
const THREADS_MAX: usize = 5;

/// Why the log can't be folded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FoldError {
    #[error("the log can't be read")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Unreadable(#[from] UnreadableEvent),
    #[error("the log changed while it was read: position {position} does not follow")]
    OutOfOrder { position: u64 },
    #[error("a thread that folds the log failed")]
    Thread(#[from] JoinError),
}

/// Decodes events and chains their hashes to `tail`.
pub(crate) fn decode(
    tail: &mut Tail,
    stored: &[RecordedEvent],
) -> Result<Vec<Recorded>, FoldError> {
    let mut page = Vec::with_capacity(stored.len());
    for event in stored {
        follow(tail, event.position, &event.leaf_hash)?;
        page.push(Recorded::from_stored(event)?);
    }
    Ok(page)
}

/// Decodes of each event what the World folds, in the order of the log, into `page`.
fn decode_page(stored: &FoldPage, page: &mut Vec<Unfolded>) -> Result<(), FoldError> {
    page.reserve(stored.count());
    for event in stored.events() {
        let event = event?;
        let unreadable = |why| UnreadableEvent {
            position: event.position,
            why,
        };
        if event.codec != CODEC_PLAIN {
            let codec = event.codec;
            return Err(FoldError::from(unreadable(Unreadable::Codec { codec })));
        }
        let decoded = Event::from_stored(event.stream, event.event_type, event.data);
        let decided_at =
            Meta::decided_at(event.meta).map_err(|error| unreadable(Unreadable::Meta(error)))?;
        let recorded_at = Timestamp(event.recorded_at);
        page.push(Unfolded {
            position: event.position,
            leaf_hash: event.leaf_hash,
            recorded_at,
            decided_at: decided_at.unwrap_or(recorded_at),
            event: decoded.map_err(|error| unreadable(error.into()))?,
        });
    }
    Ok(())
}

/// What the World takes of an event; who asked for it is left out.
struct Unfolded {
    position: u64,
    leaf_hash: [u8; 32],
    recorded_at: Timestamp,
    decided_at: Timestamp,
    event: Event,
}

/// Takes the next event into `tail`.
fn follow(tail: &mut Tail, position: u64, leaf_hash: &[u8; 32]) -> Result<(), FoldError> {
    if position != tail.position + 1 {
        return Err(FoldError::OutOfOrder { position });
    }
    tail.advance_over(position, leaf_hash);
    Ok(())
}

/// Pages on their way to be decoded; whoever takes one gets its number in the log's order.
type Unread = Mutex<(u64, mpsc::Receiver<FoldPage>)>;

/// Where the pages are folded, one after the other.
struct Fold {
    state: Mutex<FoldState>,
    /// Woken when the next page may be folded.
    turned: Condvar,
}

struct FoldState {
    folded: Published,
    /// The number of the page that comes next.
    next: u64,
    /// The first failure in the order of the log; then nothing is folded any more.
    failed: Option<FoldError>,
}

/// Turns to the next page when dropped, however the turn ended: nobody waits for one who is gone.
struct Turn<'f> {
    fold: &'f Fold,
    page: u64,
}

impl Fold {
    fn lock(&self) -> MutexGuard<'_, FoldState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until page `page` comes next.
    fn wait_for(&self, page: u64) -> MutexGuard<'_, FoldState> {
        self.turned
            .wait_while(self.lock(), |state| state.next != page)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes pages, decodes them and folds them in their turn, until there are none or one failed.
    fn work(&self, unread: &Unread) {
        // Kept from page to page: a megabyte that is given back and asked for again has to be cleared each time.
        let mut unfolded = Vec::new();
        loop {
            let (number, page) = {
                let mut unread = unread.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(page) = unread.1.blocking_recv() else {
                    return;
                };
                let number = unread.0;
                unread.0 += 1;
                (number, page)
            };
            let turn = Turn {
                fold: self,
                page: number,
            };
            let decoded = decode_page(&page, &mut unfolded);
            let mut state = self.wait_for(number);
            if state.failed.is_none()
                && let Err(error) = decoded.and_then(|()| state.fold(&unfolded))
            {
                state.failed = Some(error);
            }
            let failed = state.failed.is_some();
            drop(state);
            drop(turn);
            unfolded.clear();
            if failed {
                // Whoever reads stops when there is no place left.
                unread
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .1
                    .close();
                return;
            }
        }
    }
}

impl FoldState {
    fn fold(&mut self, page: &[Unfolded]) -> Result<(), FoldError> {
        for unfolded in page {
            follow(
                &mut self.folded.tail,
                unfolded.position,
                &unfolded.leaf_hash,
            )?;
            self.folded
                .world
                .apply(&unfolded.event, unfolded.decided_at);
            self.folded.recorded_at = unfolded.recorded_at;
        }
        Ok(())
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.fold.wait_for(self.page).next += 1;
        self.fold.turned.notify_all();
    }
}

/// Folds the log from where `folded` is up to position `until`.
pub(crate) async fn fold_log(
    store: &EventStore,
    folded: Published,
    until: u64,
) -> Result<Published, FoldError> {
    if folded.tail.position >= until {
        return Ok(folded);
    }
    let mut replay = store.replay_for_fold(folded.tail.position, until);
    let (read, pages) = mpsc::channel(PAGES_AHEAD);
    let unread = Arc::new(Unread::new((0, pages)));
    let fold = Arc::new(Fold {
        state: Mutex::new(FoldState {
            folded,
            next: 0,
            failed: None,
        }),
        turned: Condvar::new(),
    });
    // One more than there are cores, for while one waits for its turn.
    let threads = std::thread::available_parallelism().map_or(1, usize::from) + 1;
    let mut working = JoinSet::new();
    for _ in 0..threads.min(THREADS_MAX) {
        let (fold, unread) = (Arc::clone(&fold), Arc::clone(&unread));
        working.spawn_blocking(move || fold.work(&unread));
    }

    let mut reading = Ok(());
    while let Some(page) = replay.next().await {
        match page {
            Ok(page) => {
                if read.send(page).await.is_err() {
                    // Nobody takes it: folding failed and says why.
                    break;
                }
            }
            Err(error) => {
                reading = Err(error);
                break;
            }
        }
    }
    drop(read);
    // A fault in one of them is told before anything that it may have left half done is believed.
    let mut ended = Ok(());
    while let Some(worker) = working.join_next().await {
        ended = ended.and(worker);
    }
    ended?;
    let mut state = fold.lock();
    if let Some(failed) = state.failed.take() {
        return Err(failed);
    }
    reading?;
    let epoch = state.folded.tail.epoch;
    Ok(std::mem::replace(
        &mut state.folded,
        Published::empty(epoch),
    ))
}
