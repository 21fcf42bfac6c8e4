//! What ends by itself at an instant that was known when it began: one entry each, by id and by instant.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use domain::Timestamp;

/// Ids by the instant of their end.
#[derive(Debug, PartialEq)]
pub(super) struct Ends<I: Ord + Hash> {
    by_end: BTreeSet<(Timestamp, I)>,
    ends: HashMap<I, Timestamp>,
}

/// What an event says of the entries.
pub(super) enum Change<I> {
    Add(I, Timestamp),
    Remove(I),
}

impl<I: Ord + Hash> Default for Ends<I> {
    fn default() -> Self {
        Self {
            by_end: BTreeSet::new(),
            ends: HashMap::new(),
        }
    }
}

impl<I: Copy + Ord + Hash> FromIterator<(I, Timestamp)> for Ends<I> {
    fn from_iter<T: IntoIterator<Item = (I, Timestamp)>>(all: T) -> Self {
        let mut ends = Self::default();
        for (id, end) in all {
            ends.apply(&Change::Add(id, end));
        }
        ends
    }
}

impl<I: Copy + Ord + Hash> Ends<I> {
    pub(super) fn apply(&mut self, change: &Change<I>) {
        let (id, end) = match *change {
            Change::Add(id, end) => (id, Some(end)),
            Change::Remove(id) => (id, None),
        };
        if let Some(before) = self.ends.remove(&id) {
            self.by_end.remove(&(before, id));
        }
        if let Some(end) = end {
            self.ends.insert(id, end);
            self.by_end.insert((end, id));
        }
    }

    /// What has ended until `until`, the oldest first.
    pub(super) fn until(&self, until: Timestamp) -> impl Iterator<Item = (Timestamp, I)> {
        let ended = self.by_end.iter().take_while(move |(at, _)| *at <= until);
        ended.copied()
    }

    /// When the first one ends.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.by_end.first().map(|(at, _)| *at)
    }
}
