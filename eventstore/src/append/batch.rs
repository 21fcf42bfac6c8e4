//! From what is to be appended to the rows of one batch: expected revisions, repeats, positions, hashes.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use crate::error::{AppendError, CommitError, StoreError};
use crate::event::{
    CODEC_PLAIN, EVENT_BYTES_MAX, ExpectedRevision, Head, RecordedEvent, STREAM_BYTES_MAX,
    StreamAppend, TYPE_BYTES_MAX,
};
use crate::hash::{self, Leaf};

/// The rows of one batch, ready to be written.
pub(crate) struct Batch {
    /// In the order of their positions.
    pub(crate) events: Vec<RecordedEvent>,
    /// The head once they are in.
    pub(crate) head: Head,
}

impl Batch {
    /// Each stream of the batch once, with its last revision and the position of that event.
    pub(crate) fn streams(&self) -> HashMap<&str, (u64, u64)> {
        self.events
            .iter()
            .map(|event| (event.stream.as_str(), (event.revision, event.position)))
            .collect()
    }
}

/// Where an event id was found in the log.
pub(crate) struct Known {
    pub(crate) stream: String,
    pub(crate) revision: u64,
    pub(crate) position: u64,
}

/// Refuses what the tables or the canonical record could not hold.
pub(crate) fn check(appends: &[StreamAppend]) -> Result<(), StoreError> {
    let mut ids = HashSet::new();
    for append in appends {
        check_name("stream", &append.stream, STREAM_BYTES_MAX)?;
        for event in &append.events {
            check_name("event type", &event.event_type, TYPE_BYTES_MAX)?;
            if event.data.len() + event.meta.len() > EVENT_BYTES_MAX {
                return Err(StoreError::Invalid(format!(
                    "event {} has {} bytes, at most {EVENT_BYTES_MAX} are kept",
                    event.id,
                    event.data.len() + event.meta.len()
                )));
            }
            if !ids.insert(event.id) {
                return Err(StoreError::DuplicateId(event.id));
            }
        }
    }
    Ok(())
}

fn check_name(what: &str, name: &str, bytes_max: usize) -> Result<(), StoreError> {
    if name.is_empty() || name.len() > bytes_max || name.contains('\0') {
        return Err(StoreError::Invalid(format!(
            "the name of a {what} has 1 to {bytes_max} bytes and no zero byte"
        )));
    }
    Ok(())
}

/// Gives every event its revision, position and hash, if all streams are where they were expected.
///
/// `last` answers with the last revision of every stream named in `appends`.
pub(crate) fn build(
    head: &Head,
    mut last: HashMap<String, Option<u64>>,
    appends: Vec<StreamAppend>,
    recorded_at: i64,
) -> Result<Batch, CommitError> {
    let mut events = Vec::with_capacity(appends.iter().map(|append| append.events.len()).sum());
    let mut head = *head;
    for append in appends {
        let actual = last.get(&append.stream).copied().flatten();
        if !is_met(append.expected, actual) {
            return Err(CommitError::WrongRevision {
                stream: append.stream,
                expected: append.expected,
                actual,
            });
        }
        let mut next = actual.map_or(0, |revision| revision + 1);
        for event in append.events {
            let position = head.position + 1;
            let leaf_hash = Leaf {
                position,
                revision: next,
                recorded_at,
                codec: CODEC_PLAIN,
                stream: &append.stream,
                id: &event.id,
                event_type: &event.event_type,
                data: &event.data,
                meta: &event.meta,
            }
            .hash();
            head.position = position;
            head.tail_hash = hash::chain(&head.tail_hash, &leaf_hash);
            events.push(RecordedEvent {
                position,
                stream: append.stream.clone(),
                revision: next,
                id: event.id,
                event_type: event.event_type.into_owned(),
                data: event.data,
                meta: event.meta,
                codec: CODEC_PLAIN,
                recorded_at,
                leaf_hash,
            });
            next += 1;
        }
        if let Some(revision) = next.checked_sub(1) {
            last.insert(append.stream, Some(revision));
        }
    }
    Ok(Batch { events, head })
}

fn is_met(expected: ExpectedRevision, actual: Option<u64>) -> bool {
    match expected {
        ExpectedRevision::Any => true,
        ExpectedRevision::NoStream => actual.is_none(),
        ExpectedRevision::StreamExists => actual.is_some(),
        ExpectedRevision::Exact(revision) => actual == Some(revision),
    }
}

/// Whether these appends were carried out before, told by the ids of their events.
///
/// Returns the positions of the first time in the order given, or `None` if nothing of it is in the
/// log. A batch commits as a whole, so it must be there as a whole.
///
/// # Errors
/// Where some of it is there and some not, or not in this order: [`AppendError::PartialRepeat`]; but
/// where the first event of a stream is unknown and the stream is past what was expected, that is an
/// ordinary wrong revision, as EventStoreDB has it.
pub(crate) fn find_repeat(
    appends: &[StreamAppend],
    known: &HashMap<Uuid, Known>,
    last: &HashMap<String, Option<u64>>,
) -> Result<Option<Vec<u64>>, AppendError> {
    if known.is_empty() {
        return Ok(None);
    }
    let mut positions = Vec::new();
    for append in appends {
        let mut expected_next = match append.expected {
            ExpectedRevision::NoStream => Some(0),
            ExpectedRevision::Exact(revision) => Some(revision + 1),
            ExpectedRevision::Any | ExpectedRevision::StreamExists => None,
        };
        for (index, event) in append.events.iter().enumerate() {
            let partial = || AppendError::PartialRepeat {
                stream: append.stream.clone(),
                id: event.id,
            };
            let Some(found) = known.get(&event.id) else {
                let actual = last.get(&append.stream).copied().flatten();
                if index == 0 && !is_met(append.expected, actual) {
                    return Err(AppendError::WrongRevision {
                        stream: append.stream.clone(),
                        expected: append.expected,
                        actual,
                    });
                }
                return Err(partial());
            };
            let in_place = expected_next.is_none_or(|revision| revision == found.revision);
            if found.stream != append.stream || !in_place {
                return Err(partial());
            }
            expected_next = Some(found.revision + 1);
            positions.push(found.position);
        }
    }
    Ok(Some(positions))
}
