//! How many agents may connect a second (CLNT-36): so many places in any second, a short queue before them, and a promise to
//! everybody beyond it.
//!
//! Asked when the identity is proven: a stranger uses nothing of it up. An agent whose place is near is held on its link until
//! then, so no place goes unused and no handshake is made twice. One whose place is farther is told when to come back, each for
//! another moment: of a storm nearly every agent comes back once, and never many at a time.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What the rate counts by.
const SECOND: Duration = Duration::from_secs(1);

/// How far ahead a place may be for an agent to be held on its link. Well below the time an agent waits for its welcome.
pub(crate) const HELD_MAX: Duration = Duration::from_secs(5);

/// Longest pause a turned away agent is asked for.
const PAUSE_MAX: Duration = Duration::from_secs(900);

/// An agent comes back after the pause asked for and a random part of up to half of it: on average after 5/4 of it.
const LATER_THAN_ASKED: f64 = 1.25;

/// Which places are taken, and which are promised.
#[derive(Debug)]
pub(crate) struct Admission {
    places: Mutex<Places>,
}

#[derive(Debug)]
struct Places {
    /// The newest places that were given, as many as there are in a second; those of agents that are held lie ahead.
    given: VecDeque<Instant>,
    /// Until when places are promised to those outside.
    promised_until: Instant,
}

/// Whether an agent may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// It may.
    Now,
    /// It may then, if it waits on its link.
    At(Instant),
    /// Not now: come back after a while. Unit: milliseconds.
    After(u64),
}

impl Admission {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            places: Mutex::new(Places {
                given: VecDeque::new(),
                promised_until: now,
            }),
        }
    }

    /// Asks for one place where there are `rate` in any second, at least one. `chance` is any number: it spreads those for whom
    /// a promise would be too far away.
    pub(crate) fn ask(&self, rate: u32, now: Instant, chance: u64) -> Admitted {
        // A poisoned lock only means that another thread panicked between two moments; they stay usable.
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let apart = SECOND / rate;
        let place = places.next(rate as usize, apart, now);
        if place - now <= HELD_MAX {
            places.given.push_back(place);
            return if place == now {
                Admitted::Now
            } else {
                Admitted::At(place)
            };
        }
        let promised = places.promised_until.max(place);
        // Coming back half a queue too early keeps the queue from running dry, and leaves room for who comes unasked.
        let pause = (promised - now - HELD_MAX / 2).div_f64(LATER_THAN_ASKED);
        if pause > PAUSE_MAX {
            let ms = u64::try_from(PAUSE_MAX.as_millis()).unwrap_or(u64::MAX);
            return Admitted::After(ms / 2 + chance % (ms / 2));
        }
        places.promised_until = promised + apart;
        Admitted::After(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX))
    }
}

impl Places {
    /// The next free place: a second after the one that is `rate` places before it, and once anybody waits, not all of them at
    /// once.
    fn next(&mut self, rate: usize, apart: Duration, now: Instant) -> Instant {
        let over = self.given.len().saturating_sub(rate);
        self.given.drain(..over);
        let mut place = now;
        if let (Some(before), true) = (self.given.front(), self.given.len() == rate) {
            place = place.max(*before + SECOND);
        }
        match self.given.back() {
            Some(last) if *last > now => place.max(*last + apart),
            _ => place,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    use super::*;

    /// SplitMix64, as a share of one.
    struct Chance(u64);

    impl Chance {
        fn number(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }

        fn share(&mut self) -> f64 {
            (self.number() >> 11) as f64 / (1_u64 << 53) as f64
        }
    }

    /// What became of a storm.
    struct Weathered {
        /// How many came in, by the second.
        by_second: Vec<u32>,
        /// How often anybody asked, by the second.
        asked_by_second: Vec<u32>,
        asked: u32,
    }

    /// Lets `agents` ask that lost their links at once, a while before there was a server again; they do what section 9 of
    /// docs/client-link.md says.
    fn weather(agents: u32, rate: u32, seed: u64) -> Weathered {
        let mut chance = Chance(seed);
        let begin = Instant::now();
        let admission = Admission::new(begin);
        let mut coming = BinaryHeap::new();
        for agent in 0..agents {
            // Two tries in vain; the third falls somewhere into the next four seconds.
            coming.push(Reverse(((chance.share() * 4e9) as u64, agent, 3)));
        }
        let mut weathered = Weathered {
            by_second: vec![0; 4_000],
            asked_by_second: vec![0; 4_000],
            asked: 0,
        };
        while let Some(Reverse((nanos, agent, failures))) = coming.pop() {
            let now = begin + Duration::from_nanos(nanos);
            weathered.asked += 1;
            weathered.asked_by_second[(nanos / 1_000_000_000) as usize] += 1;
            let place = match admission.ask(rate, now, chance.number()) {
                Admitted::Now => now,
                Admitted::At(place) => place,
                Admitted::After(ms) => {
                    let longest = 2_f64.powi(failures).min(300.0);
                    let least = longest * (0.5 + chance.share() / 2.0);
                    let hinted = ms as f64 / 1e3 * (1.0 + chance.share() / 2.0);
                    let back = nanos + (hinted.max(least) * 1e9) as u64;
                    coming.push(Reverse((back, agent, failures + 1)));
                    continue;
                }
            };
            weathered.by_second[(place - begin).as_secs() as usize] += 1;
        }
        weathered
    }

    /// CLNT-36
    #[test]
    fn exactly_the_rate_comes_in_and_of_a_storm_nearly_every_agent_comes_back_once() {
        // agents, places a second
        for (agents, rate) in [(19_000, 50), (19_000, 200), (36_000, 50), (600, 3)] {
            let weathered = weather(agents, rate, u64::from(agents));
            let came: u32 = weathered.by_second.iter().sum();
            assert_eq!(came, agents, "nobody stays outside");
            let ideal = (agents / rate) as usize;
            // While the storm lasts no place goes unused. Of a few, chance may bring too few at a time.
            let storm = &weathered.by_second[1..ideal * 8 / 10];
            let all_given = storm.iter().all(|came| *came == rate);
            assert!(all_given || rate < 50, "{agents} at {rate}: {storm:?}");
            assert_eq!(weathered.by_second.iter().max(), Some(&rate));
            let last = weathered.by_second.iter().rposition(|came| *came > 0);
            assert!(
                last.is_some_and(|last| last <= ideal * 13 / 10 + 60),
                "{agents} at {rate}: the last came after {last:?} s, not about {ideal} s"
            );
            let asked = f64::from(weathered.asked) / f64::from(agents);
            assert!(asked < 2.2, "{agents} at {rate}: each asked {asked} times");
            let most = weathered.asked_by_second[10..].iter().max();
            assert!(
                most.is_some_and(|most| *most < 2 * rate + 10),
                "{agents} at {rate}: {most:?} ask in a second"
            );
        }
    }

    /// CLNT-36
    #[test]
    fn who_comes_to_a_quiet_site_does_not_wait_and_in_no_second_come_more_than_the_rate() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let admission = Admission::new(begin);
        let ask = |ms| match admission.ask(4, at(ms), 0) {
            Admitted::Now => (ms, true),
            Admitted::At(place) => ((place - begin).as_millis() as u64, false),
            Admitted::After(ms) => panic!("told to come back after {ms} ms"),
        };
        for (asked, place, is_now) in [
            (0, 0, true),
            (0, 0, true),
            (100, 100, true),
            (900, 900, true),
            // Four have come within the second.
            (950, 1_000, false),
            (950, 1_250, false),
            (1_100, 1_500, false),
            (1_600, 1_900, false),
            // The second of the third one, and not both at once.
            (1_600, 2_150, false),
            (9_000, 9_000, true),
            (9_000, 9_000, true),
        ] {
            assert_eq!(ask(asked), (place, is_now), "asked at {asked}");
        }
    }

    /// CLNT-36
    #[test]
    fn who_can_not_be_held_is_told_when_to_come_back() {
        let begin = Instant::now();
        let admission = Admission::new(begin);
        for second in 0..=5 {
            let expected = match second {
                0 => Admitted::Now,
                _ => Admitted::At(begin + SECOND * second),
            };
            assert_eq!(admission.ask(1, begin, 0), expected);
        }
        // Its place is in six seconds; on average it is back in three and a half.
        assert_eq!(admission.ask(1, begin, 0), Admitted::After(2_800));
        assert_eq!(admission.ask(1, begin, 0), Admitted::After(3_600));
        // With a higher rate, what was given stays given.
        let later = begin + Duration::from_millis(200);
        let place = begin + Duration::from_millis(5_100);
        assert_eq!(admission.ask(10, later, 0), Admitted::At(place));
    }

    #[test]
    fn a_promise_is_never_too_far_away() {
        let begin = Instant::now();
        let admission = Admission::new(begin);
        let longest = PAUSE_MAX.as_millis() as u64;
        for chance in 0..5_000 {
            if let Admitted::After(ms) = admission.ask(1, begin, chance) {
                assert!(ms <= longest, "{ms}");
            }
        }
        // Once everybody has come or given up, it is as if nothing had been.
        let later = begin + Duration::from_secs(3_000);
        assert_eq!(admission.ask(1, later, 0), Admitted::Now);
    }
}
