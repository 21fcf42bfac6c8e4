//! The last revisions of the streams that were appended to lately, so that a batch rarely looks them up.

use std::collections::HashMap;

use crate::event::{Head, RecordedEvent};

/// Streams remembered in each of the two generations.
const GENERATION_MAX: usize = 65_536;

/// Last revisions, true exactly for the log whose head is `at`.
///
/// Two generations bound the memory: when the young one is full it becomes the old one, and what was
/// not asked for since is forgotten.
#[derive(Default)]
pub(crate) struct Revisions {
    at: Option<(u64, [u8; 32])>,
    young: HashMap<String, Option<u64>>,
    old: HashMap<String, Option<u64>>,
}

impl Revisions {
    /// Forgets everything.
    pub(crate) fn forget(&mut self) {
        self.at = None;
        self.young.clear();
        self.old.clear();
    }

    /// Makes what is remembered true for `head`: by the events in between where they are known, else
    /// by forgetting.
    pub(crate) fn move_to(&mut self, head: &Head, missed: &[RecordedEvent]) {
        let here = Some((head.position, head.tail_hash));
        if self.at == here {
            return;
        }
        // The missed events end at the head; they bridge the gap if they begin no later than here.
        let bridged = match (self.at, missed.first()) {
            (Some((position, _)), Some(first)) => {
                first.position <= position + 1 && position < head.position
            }
            _ => false,
        };
        if !bridged {
            self.forget();
        }
        for event in missed {
            self.put(&event.stream, Some(event.revision));
        }
        self.at = here;
    }

    /// After a commit of this store.
    pub(crate) fn committed<'a>(
        &mut self,
        head: &Head,
        streams: impl Iterator<Item = (&'a str, u64)>,
    ) {
        for (stream, revision) in streams {
            self.put(stream, Some(revision));
        }
        self.at = Some((head.position, head.tail_hash));
    }

    /// The last revision of a stream (`Some(None)`: it has no event), or `None` if not remembered.
    pub(crate) fn get(&mut self, stream: &str) -> Option<Option<u64>> {
        if let Some(revision) = self.young.get(stream) {
            return Some(*revision);
        }
        let revision = self.old.remove(stream)?;
        self.put(stream, revision);
        Some(revision)
    }

    /// Remembers what was looked up.
    pub(crate) fn put(&mut self, stream: &str, revision: Option<u64>) {
        if let Some(known) = self.young.get_mut(stream) {
            *known = revision;
            return;
        }
        if self.young.len() >= GENERATION_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(stream.to_owned(), revision);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(position: u64) -> Head {
        Head {
            position,
            tail_hash: [u8::try_from(position).expect("small"); 32],
            epoch: 1,
            min_reader: 1,
        }
    }

    fn event(position: u64, stream: &str, revision: u64) -> RecordedEvent {
        RecordedEvent {
            position,
            stream: stream.to_owned(),
            revision,
            id: uuid::Uuid::from_u128(u128::from(position)),
            event_type: "T".to_owned(),
            data: Vec::new(),
            meta: Vec::new(),
            codec: 0,
            recorded_at: 0,
            leaf_hash: [0; 32],
        }
    }

    #[test]
    fn events_of_others_that_bridge_the_gap_keep_what_is_known() {
        let mut revisions = Revisions::default();
        revisions.committed(&head(2), [("a", 0), ("b", 0)].into_iter());
        revisions.move_to(&head(4), &[event(3, "b", 1), event(4, "c", 0)]);
        assert_eq!(revisions.get("a"), Some(Some(0)));
        assert_eq!(revisions.get("b"), Some(Some(1)));
        assert_eq!(revisions.get("c"), Some(Some(0)));
    }

    #[test]
    fn a_gap_that_nothing_bridges_forgets_everything() {
        let mut revisions = Revisions::default();
        revisions.committed(&head(2), [("a", 0)].into_iter());
        revisions.move_to(&head(9), &[event(9, "b", 1)]);
        assert_eq!(revisions.get("a"), None);
        assert_eq!(revisions.get("b"), Some(Some(1)));
        revisions.move_to(&head(10), &[]);
        assert_eq!(revisions.get("b"), None);
    }

    #[test]
    fn memory_is_bounded_and_keeps_what_is_asked_for() {
        let mut revisions = Revisions::default();
        for number in 0..3 * GENERATION_MAX {
            revisions.put(&format!("s-{number}"), Some(0));
            assert_eq!(revisions.get("s-0"), Some(Some(0)), "after {number}");
        }
        assert!(revisions.young.len() + revisions.old.len() <= 2 * GENERATION_MAX);
        assert_eq!(revisions.get("s-1"), None);
    }
}
