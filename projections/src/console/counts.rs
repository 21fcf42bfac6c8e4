//! How many items there are, for the footer of the Jump interface (SESS-04).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use domain::ids::{JumpItemRef, NodeEpoch};

/// How many items, by the footer's kinds. Its text is the footer's sentence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Jump Items of any kind.
    pub items: u64,
    /// Jump Clients.
    pub jump_clients: u64,
    /// Jump Clients that are connected.
    pub online: u64,
    /// Jump Clients that keep a connection and have none.
    pub offline: u64,
    /// Jump Clients that keep no connection; they are neither online nor offline.
    pub passive: u64,
}

impl fmt::Display for Counts {
    /// SESS-04.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} Jump Items total. {} Jump Clients total. {} online, {} offline, {} passive.",
            self.items, self.jump_clients, self.online, self.offline, self.passive
        )
    }
}

impl std::ops::Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            items: self.items + other.items,
            jump_clients: self.jump_clients + other.jump_clients,
            online: self.online + other.online,
            offline: self.offline + other.offline,
            passive: self.passive + other.passive,
        }
    }
}

impl std::iter::Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |sum, counts| sum + counts)
    }
}

/// Where an item is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Passive,
    /// Connected on this node, which may have stopped since.
    On(NodeEpoch),
    Offline,
    /// No Jump Client: counted among the items alone.
    Shortcut,
}

/// The items of one group and their counts by tag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupCounts {
    pub(crate) items: BTreeSet<JumpItemRef>,
    by_tag: BTreeMap<Box<str>, Tally>,
}

/// Connected ones are counted by node, so that a node that stops takes all of its own offline at no cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tally {
    shortcuts: u64,
    passive: u64,
    offline: u64,
    connected: HashMap<NodeEpoch, u64>,
}

impl GroupCounts {
    pub(crate) fn add(&mut self, tag: &str, place: Place) {
        if let Some(tally) = self.by_tag.get_mut(tag) {
            return tally.add(place);
        }
        let mut tally = Tally::default();
        tally.add(place);
        self.by_tag.insert(tag.into(), tally);
    }

    pub(crate) fn take(&mut self, tag: &str, place: Place) {
        if let Some(tally) = self.by_tag.get_mut(tag) {
            tally.take(place);
            if *tally == Tally::default() {
                self.by_tag.remove(tag);
            }
        }
    }

    /// Takes in other items of the same group.
    pub(crate) fn absorb(&mut self, mut other: Self) {
        if self.items.is_empty() {
            *self = other;
            return;
        }
        self.items.append(&mut other.items);
        for (tag, tally) in other.by_tag {
            match self.by_tag.get_mut(&tag) {
                Some(known) => known.absorb(&tally),
                None => {
                    self.by_tag.insert(tag, tally);
                }
            }
        }
    }

    pub(crate) fn total(&self, runs: impl Fn(NodeEpoch) -> bool) -> Counts {
        self.by_tag.values().map(|tally| tally.counts(&runs)).sum()
    }

    pub(crate) fn by_tag(&self, runs: impl Fn(NodeEpoch) -> bool) -> Vec<(String, Counts)> {
        self.by_tag
            .iter()
            .map(|(tag, tally)| (tag.to_string(), tally.counts(&runs)))
            .collect()
    }
}

impl Tally {
    fn add(&mut self, place: Place) {
        match place {
            Place::Shortcut => self.shortcuts += 1,
            Place::Passive => self.passive += 1,
            Place::Offline => self.offline += 1,
            Place::On(node) => *self.connected.entry(node).or_default() += 1,
        }
    }

    fn absorb(&mut self, other: &Self) {
        let Self {
            shortcuts,
            passive,
            offline,
            connected,
        } = other;
        self.shortcuts += shortcuts;
        self.passive += passive;
        self.offline += offline;
        for (node, count) in connected {
            *self.connected.entry(*node).or_default() += count;
        }
    }

    fn take(&mut self, place: Place) {
        match place {
            Place::Shortcut => self.shortcuts = self.shortcuts.saturating_sub(1),
            Place::Passive => self.passive = self.passive.saturating_sub(1),
            Place::Offline => self.offline = self.offline.saturating_sub(1),
            Place::On(node) => {
                if let Some(count) = self.connected.get_mut(&node) {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        self.connected.remove(&node);
                    }
                }
            }
        }
    }

    fn counts(&self, runs: impl Fn(NodeEpoch) -> bool) -> Counts {
        let online = self
            .connected
            .iter()
            .filter(|(node, _)| runs(**node))
            .map(|(_, count)| count)
            .sum();
        let connected: u64 = self.connected.values().sum();
        let jump_clients = self.passive + self.offline + connected;
        Counts {
            items: jump_clients + self.shortcuts,
            jump_clients,
            online,
            offline: self.offline + connected - online,
            passive: self.passive,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SESS-04
    #[test]
    fn the_footer_is_the_guides_sentence() {
        let counts = Counts {
            items: 5,
            jump_clients: 3,
            online: 0,
            offline: 3,
            passive: 0,
        };
        assert_eq!(
            counts.to_string(),
            "5 Jump Items total. 3 Jump Clients total. 0 online, 3 offline, 0 passive."
        );
    }

    /// SESS-04
    #[test]
    fn a_stopped_node_takes_its_clients_offline_in_the_counts() {
        let mut group = GroupCounts::default();
        for place in [
            Place::On(NodeEpoch(1)),
            Place::On(NodeEpoch(1)),
            Place::On(NodeEpoch(2)),
            Place::Offline,
            Place::Passive,
        ] {
            group.add("web", place);
        }
        group.add("", Place::On(NodeEpoch(1)));
        let of = |online, offline| Counts {
            items: 6,
            jump_clients: 6,
            online,
            offline,
            passive: 1,
        };
        assert_eq!(group.total(|_| true), of(4, 1));
        assert_eq!(group.total(|node| node != NodeEpoch(1)), of(1, 4));
        group.take("", Place::On(NodeEpoch(1)));
        let tags: Vec<String> = group
            .by_tag(|_| true)
            .into_iter()
            .map(|(tag, _)| tag)
            .collect();
        assert_eq!(tags, ["web"]);
    }

    #[test]
    fn parts_of_a_group_that_were_counted_apart_are_the_group() {
        let items = [
            ("web", Place::On(NodeEpoch(1))),
            ("", Place::Offline),
            ("web", Place::On(NodeEpoch(1))),
            ("db", Place::Passive),
            ("web", Place::Offline),
            ("web", Place::Shortcut),
        ];
        let count = |items: &[(&str, Place)], first: u32| {
            let mut group = GroupCounts::default();
            for ((tag, place), number) in items.iter().zip(first..) {
                group.add(tag, *place);
                let client = domain::ids::JumpClientId(number);
                group.items.insert(JumpItemRef::JumpClient(client));
            }
            group
        };
        for cut in 0..=items.len() {
            let (one, other) = items.split_at(cut);
            let mut group = count(one, 0);
            group.absorb(count(other, cut as u32));
            assert_eq!(group, count(&items, 0), "cut at {cut}");
        }
    }
}
