//! Whether nodes live, told by beats and monotonic time alone (architecture.md, "Nodes and presence").
//!
//! Nothing here waits or asks a database: the caller brings what it saw and when. So a leap of any machine's clock changes
//! nothing.

use std::collections::HashMap;
use std::time::Duration;

use eventstore::{NodeEpoch, NodeRow};
use tokio::time::Instant;

/// How often a node raises its beat.
pub const BEAT_EVERY: Duration = Duration::from_secs(3);

/// After how long without a raised beat a node closes its agents and stops consuming: before others give it up.
pub const FAINT_AFTER: Duration = Duration::from_secs(7);

/// After how long with the same beat a node is given up by the others.
pub const SILENT_AFTER: Duration = Duration::from_secs(10);

/// How often a node looks at the others.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a watcher may look away before what it counted is worth nothing: it slept itself.
const LOOKED_AWAY: Duration = Duration::from_secs(4);

/// Counts for how long each other node has shown the same beat.
#[derive(Default)]
pub struct Watcher {
    seen: HashMap<NodeEpoch, Seen>,
    looked_at: Option<Instant>,
}

struct Seen {
    /// None: the log says that it runs, and it has no row.
    beat: Option<i64>,
    since: Instant,
}

impl Watcher {
    /// Takes in the rows of all nodes and the epochs that the log says run; returns those that are silent by now.
    pub fn look(
        &mut self,
        now: Instant,
        own: NodeEpoch,
        rows: &[NodeRow],
        running: &[NodeEpoch],
    ) -> Vec<NodeEpoch> {
        let slept = self
            .looked_at
            .is_some_and(|at| now.duration_since(at) > LOOKED_AWAY);
        self.looked_at = Some(now);
        if slept {
            self.seen.clear();
        }
        let mut beats: HashMap<NodeEpoch, Option<i64>> =
            running.iter().map(|epoch| (*epoch, None)).collect();
        beats.extend(rows.iter().map(|row| (row.epoch, Some(row.beat))));
        beats.remove(&own);
        self.seen.retain(|epoch, _| beats.contains_key(epoch));
        let mut silent = Vec::new();
        for (epoch, beat) in beats {
            let seen = self.seen.entry(epoch).or_insert(Seen { beat, since: now });
            if seen.beat != beat {
                *seen = Seen { beat, since: now };
            } else if now.duration_since(seen.since) >= SILENT_AFTER {
                silent.push(epoch);
            }
        }
        silent.sort();
        silent
    }
}

/// This node's own beat.
pub struct Heart {
    raised_at: Instant,
}

impl Heart {
    /// A node whose row was just made.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { raised_at: now }
    }

    /// The beat was raised by a statement that began at `began`: what others see is at least that old.
    pub fn raised(&mut self, began: Instant) {
        self.raised_at = began;
    }

    /// Whether the node can still count on not being given up.
    #[must_use]
    pub fn is_strong(&self, now: Instant) -> bool {
        now.duration_since(self.raised_at) < FAINT_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: NodeEpoch = NodeEpoch(1);
    const OTHER: NodeEpoch = NodeEpoch(2);

    fn row(epoch: NodeEpoch, beat: i64) -> NodeRow {
        NodeRow {
            epoch,
            name: "n".to_owned(),
            url: None,
            beat,
        }
    }

    /// Shows the other node's beat second by second; returns the second at which it is given up.
    fn silent_at(beat: impl Fn(u64) -> Option<i64>, running: &[NodeEpoch]) -> Option<u64> {
        let mut watcher = Watcher::default();
        let begin = Instant::now();
        (0..60).find(|second| {
            let mut rows = vec![row(OWN, 0)];
            rows.extend(beat(*second).map(|beat| row(OTHER, beat)));
            let now = begin + Duration::from_secs(*second);
            watcher.look(now, OWN, &rows, running) == [OTHER]
        })
    }

    #[test]
    fn a_node_with_the_same_beat_for_ten_seconds_is_silent() {
        let beating = |second: u64| Some(i64::try_from(second / 3).unwrap());
        assert_eq!(silent_at(beating, &[OTHER]), None);
        assert_eq!(silent_at(|_| Some(5), &[OTHER]), Some(10));
        // It beats once more just in time, then stops.
        assert_eq!(
            silent_at(|second| Some(i64::from(second >= 9)), &[OTHER]),
            Some(19)
        );
        // The log says that it runs, and it has no row.
        assert_eq!(silent_at(|_| None, &[OTHER]), Some(10));
        assert_eq!(silent_at(|_| None, &[]), None);
    }

    #[test]
    fn a_watcher_that_slept_begins_to_count_anew() {
        let mut watcher = Watcher::default();
        let begin = Instant::now();
        let mut at = |second: u64| {
            let now = begin + Duration::from_secs(second);
            watcher.look(now, OWN, &[row(OTHER, 5)], &[])
        };
        assert!(at(0).is_empty());
        assert!(at(100).is_empty(), "both may have slept");
        for second in 101..110 {
            assert!(at(second).is_empty());
        }
        assert_eq!(at(110), [OTHER]);
    }

    #[test]
    fn a_node_grows_faint_before_others_give_it_up() {
        let begin = Instant::now();
        let mut heart = Heart::new(begin);
        let at = |second: u64| begin + Duration::from_secs(second);
        assert!(heart.is_strong(at(6)));
        assert!(!heart.is_strong(at(7)));
        heart.raised(at(6));
        assert!(heart.is_strong(at(12)));
        assert!(!heart.is_strong(at(13)));
        const { assert!(FAINT_AFTER.as_secs() + BEAT_EVERY.as_secs() <= SILENT_AFTER.as_secs()) };
    }
}
