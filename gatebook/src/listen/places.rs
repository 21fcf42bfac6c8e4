//! How many connections there may be, over all listeners and from one source, and who gives way when they are too many.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::Authenticated;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::source::Source;

/// How often it is logged that connections had to give way.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Most connections that are chosen at once to give way, one after the other: a storm must not pay for a look at all of a
/// source's connections with each of its own.
const CHOSEN_MAX: usize = 256;

/// How many connections there may be, over all listeners.
///
/// Of those that come straight to us one source may hold three quarters: enough for a whole fleet behind one translated
/// address, and nobody alone shuts everybody else out. When there is no room, a stranger gives way to a newcomer: the one of
/// the largest source that has been idle the longest. A connection on which somebody has authenticated never does.
#[derive(Clone)]
pub struct ConnectionCap(Arc<Cap>);

struct Cap {
    connections_max: usize,
    of_one_source_max: usize,
    start: Instant,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    all: usize,
    last_number: u64,
    /// Those without a source come from a proxy or this machine.
    by_source: HashMap<Option<Source>, HashMap<u64, Connection>>,
    /// Who gives way next, the idlest last.
    chosen: Vec<Chosen>,
    report: Report,
}

struct Connection {
    activity: Arc<Activity>,
    /// Dropped, the connection gives way.
    _stay: oneshot::Sender<()>,
}

/// What is known of a connection while it is used.
#[derive(Default)]
struct Activity {
    /// When bytes last went either way, since the start of the cap. Unit: milliseconds.
    last_ms: AtomicU64,
    authenticated: Authenticated,
}

/// A connection as it was when it was chosen to give way.
struct Chosen {
    source: Option<Source>,
    number: u64,
    last_ms: u64,
}

/// What has not been logged yet.
#[derive(Default)]
struct Report {
    gave_way: u64,
    refused: u64,
    told_at: Option<Instant>,
}

/// One connection's place; dropped, it is free again.
pub(super) struct Place {
    cap: Arc<Cap>,
    source: Option<Source>,
    number: u64,
    activity: Arc<Activity>,
}

/// Resolves when the connection has to give way to another.
pub(super) type GivesWay = oneshot::Receiver<()>;

impl ConnectionCap {
    /// At most `connections_max` at once.
    #[must_use]
    pub fn new(connections_max: usize) -> Self {
        Self(Arc::new(Cap {
            connections_max,
            of_one_source_max: connections_max - connections_max / 4,
            start: Instant::now(),
            held: Mutex::default(),
        }))
    }

    /// A place; none where there is none and nobody gives way. Without a source, as behind a proxy, where all come from one
    /// address, only the number of all counts. `address` is for the log.
    pub(super) fn take(
        &self,
        source: Option<Source>,
        address: IpAddr,
    ) -> Option<(Place, GivesWay)> {
        let mut held = self.0.held();
        let taken = self.0.take(&mut held, source);
        if taken.is_none() {
            held.report.refused += 1;
        }
        let due = held
            .report
            .take(|told_at| told_at.is_none_or(|at| at.elapsed() >= TELL_EVERY));
        drop(held);
        if let Some(due) = due {
            self.0.tell(&due, Some(address));
        }
        let (number, activity, gives_way) = taken?;
        let place = Place {
            cap: Arc::clone(&self.0),
            source,
            number,
            activity,
        };
        Some((place, gives_way))
    }
}

impl Cap {
    fn held(&self) -> MutexGuard<'_, Held> {
        // A poisoned lock only means that another thread panicked between two numbers; they stay usable.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn take(
        &self,
        held: &mut Held,
        source: Option<Source>,
    ) -> Option<(u64, Arc<Activity>, GivesWay)> {
        let of_source = held.by_source.get(&source).map_or(0, HashMap::len);
        if source.is_some() && of_source >= self.of_one_source_max {
            held.make_room(Some(source))?;
        }
        if held.all >= self.connections_max {
            held.make_room(None)?;
        }
        let (stay, gives_way) = oneshot::channel();
        let activity = Arc::new(Activity::default());
        activity.last_ms.store(self.now_ms(), Ordering::Relaxed);
        held.last_number += 1;
        let number = held.last_number;
        let connection = Connection {
            activity: Arc::clone(&activity),
            _stay: stay,
        };
        let of_source = held.by_source.entry(source).or_default();
        of_source.insert(number, connection);
        held.all += 1;
        Some((number, activity, gives_way))
    }

    fn tell(&self, report: &Report, address: Option<IpAddr>) {
        tracing::warn!(
            gave_way = report.gave_way,
            refused = report.refused,
            connections_max = self.connections_max,
            newcomer = address.map(tracing::field::display),
            "there are too many connections: idle ones of strangers gave way, and who found no room was refused"
        );
    }
}

impl Held {
    /// Makes one stranger give way: of one source, or of the largest that has one. None where there is no stranger.
    fn make_room(&mut self, of: Option<Option<Source>>) -> Option<()> {
        loop {
            while let Some(chosen) = self.chosen.pop() {
                if of.is_none_or(|source| source == chosen.source) && self.is_still_idle(&chosen) {
                    self.remove(chosen.source, chosen.number);
                    self.report.gave_way += 1;
                    return Some(());
                }
            }
            self.choose(of)?;
        }
    }

    fn is_still_idle(&self, chosen: &Chosen) -> bool {
        let connection = self
            .by_source
            .get(&chosen.source)
            .and_then(|of_source| of_source.get(&chosen.number));
        connection.is_some_and(|connection| {
            connection.activity.last_ms.load(Ordering::Relaxed) == chosen.last_ms
                && !connection.activity.authenticated.is_noted()
        })
    }

    /// Looks for the idlest strangers. None where there are none.
    fn choose(&mut self, of: Option<Option<Source>>) -> Option<()> {
        let mut sources: Vec<(Option<Source>, &HashMap<u64, Connection>)> = self
            .by_source
            .iter()
            .filter(|(source, _)| of.is_none_or(|of| of == **source))
            .map(|(source, connections)| (*source, connections))
            .collect();
        sources.sort_unstable_by_key(|(_, connections)| std::cmp::Reverse(connections.len()));
        self.chosen = sources.into_iter().find_map(|(source, connections)| {
            let mut strangers: Vec<Chosen> = connections
                .iter()
                .filter(|(_, connection)| !connection.activity.authenticated.is_noted())
                .map(|(number, connection)| Chosen {
                    source,
                    number: *number,
                    last_ms: connection.activity.last_ms.load(Ordering::Relaxed),
                })
                .collect();
            // Few of many, so that the source is still the largest when the last of them goes.
            let count = (strangers.len() / 16 + 1).min(CHOSEN_MAX);
            strangers.sort_unstable_by_key(|chosen| (chosen.last_ms, chosen.number));
            strangers.truncate(count);
            strangers.reverse();
            Some(strangers).filter(|strangers| !strangers.is_empty())
        })?;
        Some(())
    }

    /// Whether it was there.
    fn remove(&mut self, source: Option<Source>, number: u64) -> bool {
        let Some(of_source) = self.by_source.get_mut(&source) else {
            return false;
        };
        let was_there = of_source.remove(&number).is_some();
        if of_source.is_empty() {
            self.by_source.remove(&source);
        }
        if was_there {
            self.all = self.all.saturating_sub(1);
        }
        was_there
    }
}

impl Report {
    /// What is to be logged, if there is something and it is due.
    fn take(&mut self, is_due: impl FnOnce(Option<Instant>) -> bool) -> Option<Self> {
        if self.gave_way + self.refused == 0 || !is_due(self.told_at) {
            return None;
        }
        let next = Self {
            told_at: Some(Instant::now()),
            ..Self::default()
        };
        Some(std::mem::replace(self, next))
    }
}

impl Place {
    /// Notes that bytes went either way.
    pub(super) fn note_activity(&self) {
        let now = self.cap.now_ms();
        self.activity.last_ms.store(now, Ordering::Relaxed);
    }

    /// Where it is noted that somebody has authenticated on the connection.
    pub(super) fn authenticated(&self) -> &Authenticated {
        &self.activity.authenticated
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.cap.held();
        held.remove(self.source, self.number);
        // Once there is room again the rest is told, however short the storm was.
        let has_room = held.all < self.cap.connections_max - self.cap.connections_max / 8;
        let rest = held.report.take(|_| has_room);
        drop(held);
        if let Some(rest) = rest {
            self.cap.tell(&rest, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEWCOMER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn source(address: &str) -> Option<Source> {
        Some(Source::of(address.parse().unwrap()))
    }

    fn take(cap: &ConnectionCap, address: &str) -> Option<(Place, GivesWay)> {
        cap.take(source(address), NEWCOMER)
    }

    /// Which of them had to give way.
    fn gone(held: &mut [(Place, GivesWay)]) -> Vec<usize> {
        let is_gone = |(_, gives_way): &mut (Place, GivesWay)| {
            gives_way.try_recv() == Err(oneshot::error::TryRecvError::Closed)
        };
        let numbered = held.iter_mut().enumerate();
        numbered
            .filter_map(|(at, place)| is_gone(place).then_some(at))
            .collect()
    }

    /// threat M: one network never has all places.
    #[tokio::test(start_paused = true)]
    async fn threat_m_one_source_leaves_room_for_others() {
        let cap = ConnectionCap::new(8);
        let mut held: Vec<_> = (0..6)
            .map(|last| take(&cap, &format!("192.0.2.{last}")).unwrap())
            .collect();
        tokio::time::advance(Duration::from_secs(1)).await;
        held[0].0.note_activity();
        let newcomer = take(&cap, "192.0.2.77").unwrap();
        assert_eq!(gone(&mut held), [1], "its own idlest gave way");
        let mut others: Vec<_> = (0..2)
            .map(|_| take(&cap, "198.51.100.1").unwrap())
            .collect();
        assert_eq!(cap.0.held().all, 8);
        let last = take(&cap, "203.0.113.1").unwrap();
        assert_eq!(gone(&mut held), [1, 2], "the largest source gave way");
        assert!(gone(&mut others).is_empty());
        drop((held, others, newcomer, last));
        assert!(cap.0.held().by_source.is_empty(), "nothing is kept");
        assert_eq!(cap.0.held().all, 0);
    }

    /// threat M: who has authenticated never gives way, so a flood of strangers throws nobody out.
    #[tokio::test(start_paused = true)]
    async fn threat_m_only_strangers_give_way() {
        let cap = ConnectionCap::new(8);
        let mut known: Vec<_> = (0..5).map(|_| take(&cap, "192.0.2.1").unwrap()).collect();
        for (place, _) in &known {
            place.authenticated().note();
        }
        let mut strangers = Vec::new();
        for second in 0..1_000_u32 {
            tokio::time::advance(Duration::from_secs(1)).await;
            let flood = format!("10.{}.{}.1", second % 7, second % 3);
            strangers.push(take(&cap, &flood).unwrap());
        }
        assert!(gone(&mut known).is_empty());
        assert_eq!(gone(&mut strangers).len(), 1_000 - 3);
        assert_eq!(cap.0.held().all, 8);
        drop(strangers);
        known.push(take(&cap, "192.0.2.1").unwrap());
        for (place, _) in &known {
            place.authenticated().note();
        }
        assert!(take(&cap, "192.0.2.1").is_none(), "nobody gives way");
        let held = cap.0.held();
        assert_eq!((held.all, held.report.refused), (6, 1));
    }

    /// A proxy brings everybody from one address.
    #[tokio::test(start_paused = true)]
    async fn behind_a_proxy_all_places_may_be_had_and_there_is_always_one() {
        let cap = ConnectionCap::new(4);
        let mut held: Vec<_> = (0..4).map(|_| cap.take(None, NEWCOMER).unwrap()).collect();
        assert!(gone(&mut held).is_empty());
        let newcomer = cap.take(None, NEWCOMER);
        assert!(newcomer.is_some());
        assert_eq!(gone(&mut held), [0]);
        let cap = ConnectionCap::new(1);
        assert!(take(&cap, "192.0.2.1").is_some());
    }

    /// threat M: however many give way, one line a minute says so, and how many.
    #[tokio::test(start_paused = true)]
    async fn threat_m_what_was_refused_is_counted_and_told_once_a_minute() {
        let mut report = Report::default();
        let due = |told_at: Option<Instant>| told_at.is_none_or(|at| at.elapsed() >= TELL_EVERY);
        assert!(report.take(due).is_none(), "there is nothing to tell");
        report.gave_way = 1;
        assert_eq!(report.take(due).map(|told| told.gave_way), Some(1));
        report.gave_way = 7;
        report.refused = 2;
        assert!(report.take(due).is_none(), "it was told a moment ago");
        tokio::time::advance(TELL_EVERY).await;
        let told = report.take(due).unwrap();
        assert_eq!((told.gave_way, told.refused), (7, 2));
        assert!(report.take(|_| true).is_none());
    }
}
