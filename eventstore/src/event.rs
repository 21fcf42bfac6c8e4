//! What is appended and what is read: events, streams, expected revisions, the head of the log.

use std::borrow::Cow;

use uuid::Uuid;

use crate::hash;

/// Longest name of a stream, in bytes of UTF-8.
pub const STREAM_BYTES_MAX: usize = 512;

/// Longest name of an event type, in bytes of UTF-8.
pub const TYPE_BYTES_MAX: usize = 255;

/// Most bytes that data and meta of one event may have together: 1 MiB.
pub const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// The only codec so far: data and meta are stored as they were given.
pub const CODEC_PLAIN: i16 = 0;

/// What the appender believes of a stream (semantics of EventStoreDB).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExpectedRevision {
    /// No belief: append after whatever is there.
    Any,
    /// The stream has no event.
    NoStream,
    /// The stream has at least one event.
    StreamExists,
    /// The stream's last event has this revision (from 0).
    Exact(u64),
}

/// An event that is to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Unique in the whole log; a repeated append is recognised by it.
    pub id: Uuid,
    /// The stored name of the type, at most [`TYPE_BYTES_MAX`].
    pub event_type: Cow<'static, str>,
    /// The body, kept byte for byte.
    pub data: Vec<u8>,
    /// What is known about the event beside its body, kept byte for byte.
    pub meta: Vec<u8>,
}

/// Events for one stream, with what is believed of that stream. Without events it is a check of the
/// revision and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamAppend {
    /// `<category>-<id>`, or a category alone; at most [`STREAM_BYTES_MAX`].
    pub stream: String,
    /// What must be true of the stream for anything in the batch to be appended.
    pub expected: ExpectedRevision,
    /// The events, oldest first.
    pub events: Vec<NewEvent>,
}

/// An event as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedEvent {
    /// Place in the whole log: gapless from 1, in the order of commits.
    pub position: u64,
    /// The stream it belongs to.
    pub stream: String,
    /// Place in its stream: gapless from 0.
    pub revision: u64,
    /// Unique in the whole log.
    pub id: Uuid,
    /// The stored name of the type.
    pub event_type: String,
    /// The body, byte for byte as it was given.
    pub data: Vec<u8>,
    /// What is known about the event beside its body, byte for byte as it was given.
    pub meta: Vec<u8>,
    /// How data and meta are stored: [`CODEC_PLAIN`].
    pub codec: i16,
    /// When it was recorded. Unit: microseconds UTC.
    pub recorded_at: i64,
    /// SHA-256 over the canonical record (`docs/log-format.md`).
    pub leaf_hash: [u8; 32],
}

/// The head of the log: its one row in `log_head`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Position of the newest event, 0 while there is none.
    pub position: u64,
    /// The chain of all leaf hashes up to that position; zeroes before the first event.
    pub tail_hash: [u8; 32],
    /// Raised whenever the log is put back to an earlier state on purpose (a restore).
    pub epoch: i64,
    /// The lowest schema version that may still read and append.
    pub min_reader: i32,
}

/// How far a reader has folded the log, with the proof that it folded this log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// Position of the newest event folded, 0 before the first.
    pub position: u64,
    /// The chain of leaf hashes up to that position.
    pub tail_hash: [u8; 32],
    /// The epoch of the log that was read.
    pub epoch: i64,
}

impl Tail {
    /// Nothing folded yet of the log with this epoch.
    pub const fn start(epoch: i64) -> Tail {
        Tail {
            position: 0,
            tail_hash: [0; 32],
            epoch,
        }
    }

    /// Takes in the next event. The caller gives every event exactly once, in order.
    pub fn advance(&mut self, event: &RecordedEvent) {
        self.advance_over(event.position, &event.leaf_hash);
    }

    /// The same, of the event the two parts that count.
    pub fn advance_over(&mut self, position: u64, leaf_hash: &[u8; 32]) {
        debug_assert_eq!(position, self.position + 1, "events are folded in order");
        self.position = position;
        self.tail_hash = hash::chain(&self.tail_hash, leaf_hash);
    }
}

impl From<Head> for Tail {
    fn from(head: Head) -> Tail {
        Tail {
            position: head.position,
            tail_hash: head.tail_hash,
            epoch: head.epoch,
        }
    }
}

/// What a batch became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The events in the order given, with positions and hashes. For a repeated append the events
    /// of the first time.
    pub events: Vec<RecordedEvent>,
    /// The head of the log after the batch.
    pub head: Head,
}

/// Which events a read is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Selection {
    /// Every event.
    All,
    /// The events of one stream.
    Stream(String),
    /// The events of all streams whose name up to the first `-` is this.
    Category(String),
    /// The events of one type.
    EventType(String),
}

/// Which way a read goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From old to new.
    Forward,
    /// From new to old.
    Backward,
}
