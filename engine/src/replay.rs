//! Folding the log into the World: reading, decoding and folding at the same time, each on a thread of its own. The views
//! are made of the World when all is folded.

use domain::{Event, Timestamp};
use eventstore::event::CODEC_PLAIN;
use eventstore::{EventStore, RecordedEvent, StoreError, Tail};
use projections::Recorded;
use tokio::sync::mpsc;
use tokio::task::JoinError;

use crate::published::Published;

/// Pages that may wait between two threads.
const PAGES_AHEAD: usize = 4;

/// Why the log can't be folded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FoldError {
    #[error("the log can't be read")]
    Store(#[from] StoreError),
    #[error("the event at position {position} can't be read: {reason}")]
    Unreadable { position: u64, reason: String },
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
        follow(tail, event)?;
        let recorded = Recorded::from_stored(event);
        page.push(recorded.map_err(|error| unreadable(event, &error))?);
    }
    Ok(page)
}

/// The same, of each event only what the World folds: who asked for it is left out.
fn decode_events(
    tail: &mut Tail,
    stored: &[RecordedEvent],
) -> Result<Vec<(Event, Timestamp)>, FoldError> {
    let mut page = Vec::with_capacity(stored.len());
    for event in stored {
        follow(tail, event)?;
        if event.codec != CODEC_PLAIN {
            return Err(FoldError::Unreadable {
                position: event.position,
                reason: format!("codec {} is not known", event.codec),
            });
        }
        let decoded = Event::from_stored(&event.stream, &event.event_type, &event.data);
        let decoded = decoded.map_err(|error| unreadable(event, &error))?;
        page.push((decoded, Timestamp(event.recorded_at)));
    }
    Ok(page)
}

/// Takes the next event into `tail`.
fn follow(tail: &mut Tail, event: &RecordedEvent) -> Result<(), FoldError> {
    if event.position != tail.position + 1 {
        return Err(FoldError::OutOfOrder {
            position: event.position,
        });
    }
    tail.advance(event);
    Ok(())
}

fn unreadable(event: &RecordedEvent, error: &dyn std::error::Error) -> FoldError {
    FoldError::Unreadable {
        position: event.position,
        reason: in_full(error),
    }
}

/// Folds the log from where `folded` is up to position `until`.
pub(crate) async fn fold_log(
    store: &EventStore,
    folded: Published,
    until: u64,
) -> Result<Published, FoldError> {
    let mut tail = folded.tail;
    if tail.position >= until {
        return Ok(folded);
    }
    let (read, mut to_decode) = mpsc::channel::<Vec<RecordedEvent>>(PAGES_AHEAD);
    let (decoded, mut to_fold) = mpsc::channel::<Vec<(Event, Timestamp)>>(PAGES_AHEAD);
    let mut replay = store.replay(tail.position, until);

    let decoding = tokio::task::spawn_blocking(move || {
        while let Some(page) = to_decode.blocking_recv() {
            let page = decode_events(&mut tail, &page)?;
            if decoded.blocking_send(page).is_err() {
                break;
            }
        }
        Ok::<Tail, FoldError>(tail)
    });
    let folding = tokio::task::spawn_blocking(move || {
        let mut folded = folded;
        while let Some(page) = to_fold.blocking_recv() {
            for (event, recorded_at) in &page {
                folded.world.apply(event, *recorded_at);
                folded.recorded_at = *recorded_at;
            }
        }
        folded
    });

    let mut reading = Ok(());
    while let Some(page) = replay.next().await {
        match page {
            Ok(page) => {
                if read.send(page).await.is_err() {
                    // Nobody takes it: decoding failed and says why.
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
    let tail = decoding.await?;
    let mut folded = folding.await?;
    reading?;
    folded.tail = tail?;
    Ok(folded)
}

/// An error with its sources, for one line of text.
pub(crate) fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
