//! The proof that a log is whole: every position, every revision, every hash.

use std::collections::HashMap;

use crate::error::StoreError;
use crate::event::{Head, RecordedEvent};
use crate::hash;
use crate::store::{EventStore, with_reader};

/// Events read with one statement.
const PAGE: usize = 2_000;

/// Faults that are written down; more are only counted.
pub const FAULTS_MAX: usize = 100;

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// Events looked at.
    pub events: u64,
    /// Streams they belong to.
    pub streams: u64,
    /// The head the log had when the verification began; later events were not looked at.
    pub head: Head,
    /// The first [`FAULTS_MAX`] faults, in the order of positions.
    pub faults: Vec<Fault>,
    /// How many faults there are.
    pub faults_count: u64,
}

impl Verification {
    /// Whether nothing is wrong.
    pub fn is_whole(&self) -> bool {
        self.faults_count == 0
    }
}

/// Something that can't be in a log nobody touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Events are missing.
    Missing {
        /// The first position missing.
        from: u64,
        /// The last one.
        to: u64,
    },
    /// An event does not match its leaf hash.
    Changed {
        /// Its position.
        position: u64,
        /// Its stream.
        stream: String,
    },
    /// A stream does not count its revisions without a gap.
    Revision {
        /// The position of the event.
        position: u64,
        /// Its stream.
        stream: String,
        /// The revision it should have.
        expected: u64,
        /// The revision it has.
        found: u64,
    },
    /// The table of streams tells another last revision than the events.
    Stream {
        /// The stream.
        stream: String,
        /// The last revision by its events, `None` if it has none.
        events: Option<u64>,
        /// The last revision by the table, `None` if it has no row.
        table: Option<u64>,
    },
    /// The chain of leaf hashes does not lead to the tail hash.
    Tail,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::Missing { from, to } if from == to => {
                write!(formatter, "position {from}: the event is missing")
            }
            Fault::Missing { from, to } => write!(
                formatter,
                "positions {from} to {to}: the events are missing"
            ),
            Fault::Changed { position, stream } => {
                write!(
                    formatter,
                    "position {position}: the event of stream {stream:?} does not match its hash"
                )
            }
            Fault::Revision {
                position,
                stream,
                expected,
                found,
            } => write!(
                formatter,
                "position {position}: stream {stream:?} has revision {found} where {expected} follows"
            ),
            Fault::Stream {
                stream,
                events,
                table,
            } => write!(
                formatter,
                "stream {stream:?}: its last revision is {} by its events, {} by the table of streams",
                shown(*events),
                shown(*table)
            ),
            Fault::Tail => write!(
                formatter,
                "the chain of hashes does not lead to the tail hash of the log"
            ),
        }
    }
}

fn shown(revision: Option<u64>) -> String {
    revision.map_or_else(|| "none".to_owned(), |revision| revision.to_string())
}

impl EventStore {
    /// Reads the whole log up to its present head and checks everything about it. `progress` is
    /// told the position after each page.
    ///
    /// # Errors
    /// Only if reading fails; what is wrong with the log is in [`Verification::faults`].
    pub async fn verify(
        &self,
        mut progress: impl FnMut(u64) + Send,
    ) -> Result<Verification, StoreError> {
        let head = self.head().await?;
        let mut check = Check::default();
        while check.position < head.position {
            let mut page = self.read_after(check.position, PAGE).await?;
            page.retain(|event| event.position <= head.position);
            if page.is_empty() {
                check.missing(head.position);
                break;
            }
            for event in page {
                check.take(event);
            }
            progress(check.position);
        }
        if check.tail_hash != head.tail_hash {
            check.fault(Fault::Tail);
        }
        self.check_streams(&mut check, head.position).await?;
        Ok(Verification {
            events: check.events,
            streams: check.streams,
            head,
            faults: check.faults,
            faults_count: check.faults_count,
        })
    }

    /// Compares the table of streams, as far as it speaks of events up to the head.
    async fn check_streams(&self, check: &mut Check, head: u64) -> Result<(), StoreError> {
        let sql =
            "SELECT name, revision, position FROM stream WHERE name > $1 ORDER BY name LIMIT 5000";
        let mut after = String::new();
        let mut left = std::mem::take(&mut check.revisions);
        let streams = left.len();
        loop {
            let rows: Vec<(String, i64, i64)> = with_reader!(self, connection => {
                sqlx::query_as(sql).bind(after.as_str()).fetch_all(connection).await?
            });
            let Some((last, ..)) = rows.last() else { break };
            after.clone_from(last);
            for (stream, revision, position) in rows {
                let events = left.remove(&stream);
                let table = u64::try_from(revision).ok();
                let grew = u64::try_from(position).is_ok_and(|position| position > head);
                if events != table && !grew {
                    check.fault(Fault::Stream {
                        stream,
                        events,
                        table,
                    });
                }
            }
        }
        let mut left: Vec<_> = left.into_iter().collect();
        left.sort();
        for (stream, revision) in left {
            check.fault(Fault::Stream {
                stream,
                events: Some(revision),
                table: None,
            });
        }
        check.streams = streams as u64;
        Ok(())
    }
}

/// A verification under way.
#[derive(Default)]
struct Check {
    position: u64,
    tail_hash: [u8; 32],
    events: u64,
    streams: u64,
    revisions: HashMap<String, u64>,
    faults: Vec<Fault>,
    faults_count: u64,
}

impl Check {
    fn take(&mut self, event: RecordedEvent) {
        if event.position > self.position + 1 {
            self.missing(event.position - 1);
        }
        let leaf_hash = event.expected_leaf_hash();
        if leaf_hash != event.leaf_hash {
            self.fault(Fault::Changed {
                position: event.position,
                stream: event.stream.clone(),
            });
        }
        let expected = self
            .revisions
            .get(&event.stream)
            .map_or(0, |revision| revision + 1);
        if event.revision != expected {
            self.fault(Fault::Revision {
                position: event.position,
                stream: event.stream.clone(),
                expected,
                found: event.revision,
            });
        }
        self.position = event.position;
        // The recomputed hash, so that a changed leaf hash breaks the chain as well.
        self.tail_hash = hash::chain(&self.tail_hash, &leaf_hash);
        self.revisions.insert(event.stream, event.revision);
        self.events += 1;
    }

    fn missing(&mut self, to: u64) {
        self.fault(Fault::Missing {
            from: self.position + 1,
            to,
        });
        self.position = to;
    }

    fn fault(&mut self, fault: Fault) {
        self.faults_count += 1;
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault);
        }
    }
}
