//! Whose turn it is to download: each download holds a file and a piece of it, so only so many run at once. Whoever has but a
//! link takes no turn from users and accounts, and no address, link or caller takes those of all the others (threat M).

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::caller::Caller;
use crate::caller_rate::network;

/// How many may download at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// All users and API accounts together.
    pub(crate) signed_in: usize,
    /// One of them.
    pub(crate) per_caller: usize,
    /// All who have a link together.
    pub(crate) by_link: usize,
    /// One address of them; a company may have one for all.
    pub(crate) per_address: usize,
    /// One link, however many addresses use it.
    pub(crate) per_installer: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            signed_in: 64,
            per_caller: 16,
            by_link: 192,
            per_address: 8,
            per_installer: 64,
        }
    }
}

/// Who downloads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Holder {
    Caller(String),
    Address(IpAddr),
    Installer(String),
}

/// The turns of this node.
pub(crate) struct Turns {
    bounds: Bounds,
    signed_in: Arc<Semaphore>,
    by_link: Arc<Semaphore>,
    /// How many turns each has; who has none is not in it, so it has no more entries than there are turns.
    held: Mutex<HashMap<Holder, usize>>,
}

/// One turn; given back when it is dropped.
pub(super) struct Turn {
    turns: Arc<Turns>,
    holders: Vec<Holder>,
    _permit: OwnedSemaphorePermit,
}

impl Turns {
    pub(crate) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self {
            bounds,
            signed_in: Arc::new(Semaphore::new(bounds.signed_in)),
            by_link: Arc::new(Semaphore::new(bounds.by_link)),
            held: Mutex::default(),
        })
    }

    /// A turn for a user or an API account; none while they, or all of them together, have theirs.
    pub(super) fn of_caller(self: &Arc<Self>, caller: &Caller) -> Option<Turn> {
        let holders = vec![(Holder::Caller(caller.name()), self.bounds.per_caller)];
        self.take(&self.signed_in, holders)
    }

    /// A turn for whoever has a link; none while their address, the link, or all who have one, have theirs.
    pub(super) fn of_link(self: &Arc<Self>, address: IpAddr, installer_id: &str) -> Option<Turn> {
        let holders = vec![
            (Holder::Address(network(address)), self.bounds.per_address),
            (
                Holder::Installer(installer_id.to_owned()),
                self.bounds.per_installer,
            ),
        ];
        self.take(&self.by_link, holders)
    }

    fn take(self: &Arc<Self>, all: &Arc<Semaphore>, holders: Vec<(Holder, usize)>) -> Option<Turn> {
        let permit = Arc::clone(all).try_acquire_owned().ok()?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room =
            |(holder, max): &(Holder, usize)| held.get(holder).is_none_or(|count| count < max);
        if !holders.iter().all(has_room) {
            return None;
        }
        let holders: Vec<Holder> = holders.into_iter().map(|(holder, _)| holder).collect();
        for holder in &holders {
            *held.entry(holder.clone()).or_default() += 1;
        }
        drop(held);
        Some(Turn {
            turns: Arc::clone(self),
            holders,
            _permit: permit,
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut held = self
            .turns
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for holder in &self.holders {
            if let Some(count) = held.get_mut(holder) {
                *count -= 1;
                if *count == 0 {
                    held.remove(holder);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const BOUNDS: Bounds = Bounds {
        signed_in: 1,
        per_caller: 1,
        by_link: 6,
        per_address: 2,
        per_installer: 3,
    };

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, last).into()
    }

    /// threat M: turns are bounded per address, per link, and for all, and come back.
    #[test]
    fn threat_m_neither_an_address_nor_a_link_has_all_turns() {
        let turns = Turns::new(BOUNDS);
        let take = |last, link: &str| turns.of_link(address(last), link);
        let first = take(1, "a").expect("the first");
        let second = take(1, "b").expect("the second of the address");
        assert!(take(1, "c").is_none(), "an address has two");
        let more: Vec<Turn> = (2..4).filter_map(|last| take(last, "a")).collect();
        assert_eq!(more.len(), 2);
        assert!(take(4, "a").is_none(), "a link has three");
        let others: Vec<Turn> = (4..9).filter_map(|last| take(last, "c")).collect();
        assert_eq!(others.len(), 2, "six in all");
        drop(first);
        assert!(take(9, "a").is_some(), "a turn came back");
        drop((second, more, others));
        assert!(turns.held.lock().expect("unpoisoned").is_empty());
        assert_eq!(turns.by_link.available_permits(), 6);
    }

    /// threat M: whoever has links takes nothing from those who signed in.
    #[test]
    fn threat_m_links_take_no_turn_of_those_who_signed_in() {
        let turns = Turns::new(BOUNDS);
        let links: Vec<Turn> = (0..20)
            .filter_map(|last| turns.of_link(address(last), &last.to_string()))
            .collect();
        assert_eq!(links.len(), 6);
        let caller = vec![(Holder::Caller("user-1".to_owned()), 1)];
        let turn = turns.take(&turns.signed_in, caller.clone());
        assert!(turn.is_some());
        assert!(turns.take(&turns.signed_in, caller).is_none());
    }
}
