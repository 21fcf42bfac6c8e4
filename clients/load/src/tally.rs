//! What is counted, and the report made of it. Tallies of several processes add up.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cost::Cost;

/// Width of a bucket. Unit: milliseconds.
const BUCKET_MS: u32 = 10;

/// Durations in buckets of ten milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buckets(BTreeMap<u32, u32>);

impl Buckets {
    /// Counts one.
    pub fn add(&mut self, duration: Duration) {
        let ms = u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
        *self.0.entry(ms / BUCKET_MS).or_default() += 1;
    }

    fn merge(&mut self, other: &Self) {
        add_up(&mut self.0, &other.0);
    }

    fn count(&self) -> u64 {
        self.0.values().copied().map(u64::from).sum()
    }

    /// The end of the bucket below which `share` of all are. Unit: milliseconds.
    fn at(&self, share: f64) -> Option<u32> {
        let wanted = (self.count() as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        self.0.iter().find_map(|(bucket, count)| {
            seen += u64::from(*count);
            (seen >= wanted).then(|| bucket.saturating_add(1).saturating_mul(BUCKET_MS))
        })
    }

    fn spread(&self) -> Option<Spread> {
        Some(Spread {
            count: self.count(),
            p50: self.at(0.5)?,
            p99: self.at(0.99)?,
            p100: self.at(1.0)?,
        })
    }
}

fn add_up<K: Ord + Clone>(all: &mut BTreeMap<K, u32>, more: &BTreeMap<K, u32>) {
    for (key, count) in more {
        *all.entry(key.clone()).or_default() += count;
    }
}

/// What happened since a phase began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Machines of the fleet, copies included.
    pub machines: u32,
    /// Of them online now.
    pub online: u32,
    /// Connections begun.
    pub dials: u32,
    /// Of them come to a WebSocket.
    pub connected: u32,
    /// Welcomes; several of one machine each count.
    pub welcomes: u32,
    /// Of them after a registration.
    pub registered: u32,
    /// Welcomes by the second since the phase began.
    pub welcomes_by_second: BTreeMap<u32, u32>,
    /// From the begin of the phase to a machine's first welcome.
    pub first_welcome: Buckets,
    /// From the begin of a dial to its WebSocket.
    pub dialing: Buckets,
    /// From a hello to its welcome.
    pub greeting: Buckets,
    /// Pauses asked for.
    pub hints: Buckets,
    /// Connections that were not made, by their kind.
    pub failures: BTreeMap<String, u32>,
    /// Refusals by their code.
    pub refusals: BTreeMap<String, u32>,
    /// Links that ended, by the close code or another reason.
    pub ends: BTreeMap<String, u32>,
    /// Told to come later.
    pub retry_later: u32,
    /// Check-ins sent.
    pub check_ins: u32,
    /// Of them recorded.
    pub check_ins_recorded: u32,
    /// Pings answered.
    pub pings: u32,
    /// Sessions started.
    pub sessions: u32,
    /// Tokens replaced.
    pub tokens: u32,
    /// Settings taken.
    pub settings: u32,
    /// Of them such as ask for a passive client; the machines have no port to be called at, and stay.
    pub settings_passive: u32,
    /// Machines that were away for as long as they may, and took themselves off.
    pub expired: u32,
    /// Frames of types that mean nothing to a simulated machine.
    pub other_frames: u32,
    /// Connections without a hello that were opened.
    pub half_open: u32,
    /// Of them closed by the server.
    pub half_open_closed: u32,
}

/// Counts one more under a name.
pub fn one_more(counts: &mut BTreeMap<String, u32>, name: impl Into<String>) {
    *counts.entry(name.into()).or_default() += 1;
}

impl Tally {
    /// Adds the tally of another process.
    pub fn merge(&mut self, other: &Self) {
        for (own, more) in [
            (&mut self.machines, other.machines),
            (&mut self.online, other.online),
            (&mut self.dials, other.dials),
            (&mut self.connected, other.connected),
            (&mut self.welcomes, other.welcomes),
            (&mut self.registered, other.registered),
            (&mut self.retry_later, other.retry_later),
            (&mut self.check_ins, other.check_ins),
            (&mut self.check_ins_recorded, other.check_ins_recorded),
            (&mut self.pings, other.pings),
            (&mut self.sessions, other.sessions),
            (&mut self.tokens, other.tokens),
            (&mut self.settings, other.settings),
            (&mut self.settings_passive, other.settings_passive),
            (&mut self.expired, other.expired),
            (&mut self.other_frames, other.other_frames),
            (&mut self.half_open, other.half_open),
            (&mut self.half_open_closed, other.half_open_closed),
        ] {
            *own += more;
        }
        self.first_welcome.merge(&other.first_welcome);
        self.dialing.merge(&other.dialing);
        self.greeting.merge(&other.greeting);
        self.hints.merge(&other.hints);
        add_up(&mut self.welcomes_by_second, &other.welcomes_by_second);
        add_up(&mut self.failures, &other.failures);
        add_up(&mut self.refusals, &other.refusals);
        add_up(&mut self.ends, &other.ends);
    }
}

/// Some percentiles. Unit: milliseconds, to ten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// Of how many.
    pub count: u64,
    /// Half of them.
    pub p50: u32,
    /// All but one in a hundred.
    pub p99: u32,
    /// All.
    pub p100: u32,
}

/// Welcomes a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct AcceptRate {
    /// First welcomes of machines, over the time from the first to the last.
    pub mean: f64,
    /// In the busiest second.
    pub most: u32,
}

/// A process's cost, and what of its time went into the phase.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spent {
    /// Now.
    #[serde(flatten)]
    pub now: Cost,
    /// Processor time since the phase began.
    pub cpu_seconds_in_phase: f64,
}

/// A phase as it stands.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Its name.
    pub phase: String,
    /// How long it has gone on.
    pub seconds: f64,
    /// Welcomes a second.
    pub accept_per_second: AcceptRate,
    /// From the begin of the phase to a machine's first welcome.
    pub first_welcome_ms: Option<Spread>,
    /// From the begin of a dial to its WebSocket.
    pub dialing_ms: Option<Spread>,
    /// From a hello to its welcome.
    pub greeting_ms: Option<Spread>,
    /// Pauses asked for.
    pub hints_ms: Option<Spread>,
    /// All processes of this program.
    pub own: Option<Spent>,
    /// The server named by `--server-pid`.
    pub server: Option<Spent>,
    /// Everything that was counted.
    #[serde(flatten)]
    pub counts: Counts,
}

/// A tally without what the report says in other words.
#[derive(Clone, Debug, Serialize)]
pub struct Counts(pub serde_json::Map<String, serde_json::Value>);

impl Report {
    /// Makes the report of a phase that has gone on for `lasted`.
    #[must_use]
    pub fn new(phase: &str, lasted: Duration, tally: &Tally) -> Self {
        let first = &tally.first_welcome;
        let span = || {
            let (begin, end) = (first.0.keys().next()?, first.0.keys().next_back()?);
            Some(f64::from((end - begin + 1) * BUCKET_MS) / 1_000.0)
        };
        let mut counts = match serde_json::to_value(tally) {
            Ok(serde_json::Value::Object(counts)) => counts,
            _ => serde_json::Map::new(),
        };
        for said_otherwise in [
            "first_welcome",
            "dialing",
            "greeting",
            "hints",
            "welcomes_by_second",
        ] {
            counts.remove(said_otherwise);
        }
        Self {
            phase: phase.to_owned(),
            seconds: lasted.as_secs_f64(),
            accept_per_second: AcceptRate {
                mean: span().map_or(0.0, |span| first.count() as f64 / span),
                most: tally
                    .welcomes_by_second
                    .values()
                    .copied()
                    .max()
                    .unwrap_or(0),
            },
            first_welcome_ms: first.spread(),
            dialing_ms: tally.dialing.spread(),
            greeting_ms: tally.greeting.spread(),
            hints_ms: tally.hints.spread(),
            own: None,
            server: None,
            counts: Counts(counts),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(welcomes_ms: &[u64]) -> Tally {
        let mut tally = Tally::default();
        for ms in welcomes_ms {
            tally.welcomes += 1;
            tally.first_welcome.add(Duration::from_millis(*ms));
            *tally
                .welcomes_by_second
                .entry((ms / 1_000) as u32)
                .or_default() += 1;
        }
        one_more(&mut tally.refusals, "busy");
        tally
    }

    #[test]
    fn tallies_of_processes_add_up_to_one_report() {
        let mut all = tally(&(0..50).map(|n| n * 20).collect::<Vec<u64>>());
        all.merge(&tally(
            &(0..50).map(|n| 1_000 + n * 20).collect::<Vec<u64>>(),
        ));
        let report = Report::new("begin", Duration::from_secs(3), &all);
        assert_eq!(
            report.first_welcome_ms,
            Some(Spread {
                count: 100,
                p50: 990,
                p99: 1_970,
                p100: 1_990
            })
        );
        assert_eq!(report.accept_per_second.most, 50);
        assert!((report.accept_per_second.mean - 50.0).abs() < 1.0);
        let text = serde_json::to_value(&report).unwrap();
        assert_eq!(text["refusals"]["busy"], 2);
        assert_eq!(text["welcomes"], 100);
        assert!(text["greeting_ms"].is_null());
    }

    #[test]
    fn a_tally_travels_as_json() {
        let before = tally(&[5, 15, 1_500]);
        let text = serde_json::to_string(&before).unwrap();
        assert_eq!(serde_json::from_str::<Tally>(&text).unwrap(), before);
    }
}
