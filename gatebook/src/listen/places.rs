//! How many connections there may be, over all listeners and from one source.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::source::Source;

/// How many connections there may be, over all listeners.
///
/// Of those that come straight to us one source may hold three quarters: enough for a whole fleet behind one translated
/// address, and nobody alone shuts everybody else out.
#[derive(Clone)]
pub struct ConnectionCap(Arc<Cap>);

struct Cap {
    connections_max: usize,
    of_one_source_max: usize,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    all: usize,
    by_source: HashMap<Source, usize>,
}

/// One connection's place; dropped, it is free again.
pub(super) struct Place {
    cap: Arc<Cap>,
    source: Option<Source>,
}

impl ConnectionCap {
    /// At most `connections_max` at once; one more is closed as soon as it was accepted.
    #[must_use]
    pub fn new(connections_max: usize) -> Self {
        Self(Arc::new(Cap {
            connections_max,
            of_one_source_max: connections_max - connections_max / 4,
            held: Mutex::default(),
        }))
    }

    /// A place; none where there is none for this source. Without a source, as behind a proxy, where all come from one
    /// address, only the number of all counts.
    pub(super) fn take(&self, source: Option<Source>) -> Option<Place> {
        let mut held = self.0.held();
        if held.all >= self.0.connections_max {
            return None;
        }
        if let Some(source) = source {
            let of_source = held.by_source.entry(source).or_default();
            if *of_source >= self.0.of_one_source_max {
                return None;
            }
            *of_source += 1;
        }
        held.all += 1;
        Some(Place {
            cap: Arc::clone(&self.0),
            source,
        })
    }
}

impl Cap {
    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        // A poisoned lock only means that another thread panicked between two numbers; they stay usable.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.cap.held();
        held.all = held.all.saturating_sub(1);
        if let Some(source) = self.source
            && let Some(of_source) = held.by_source.get_mut(&source)
        {
            *of_source = of_source.saturating_sub(1);
            if *of_source == 0 {
                held.by_source.remove(&source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(address: &str) -> Option<Source> {
        Some(Source::of(address.parse().unwrap()))
    }

    /// threat M: one network never has all places.
    #[test]
    fn threat_m_one_source_leaves_room_for_others() {
        let cap = ConnectionCap::new(8);
        let mut held: Vec<_> = (0..6)
            .map(|last| cap.take(source(&format!("192.0.2.{last}"))).unwrap())
            .collect();
        assert!(cap.take(source("192.0.2.77")).is_none());
        let others: Vec<_> = (0..2)
            .map(|_| cap.take(source("198.51.100.1")).unwrap())
            .collect();
        assert!(cap.take(source("203.0.113.1")).is_none(), "all are taken");
        drop(others);
        held.pop();
        assert!(cap.take(source("192.0.2.77")).is_some(), "one came back");
        drop(held);
        assert!(cap.0.held().by_source.is_empty(), "nothing is kept");
        assert_eq!(cap.0.held().all, 0);
    }

    /// A proxy brings everybody from one address.
    #[test]
    fn behind_a_proxy_all_places_may_be_had_and_there_is_always_one() {
        let cap = ConnectionCap::new(4);
        let held: Vec<_> = (0..4).map(|_| cap.take(None).unwrap()).collect();
        assert!(cap.take(None).is_none());
        drop(held);
        let cap = ConnectionCap::new(1);
        assert!(cap.take(source("192.0.2.1")).is_some());
    }
}
