//! How many agents may connect a second (CLNT-36): so many places in any second, a short queue before them, and a promise to
//! everybody beyond it.
//!
//! Asked when the identity is proven: a stranger uses nothing of it up. An agent whose place is near is held on its link until
//! then, so no place goes unused and no handshake is made twice. One whose place is farther is told when to come back, each for
//! another moment: of a storm nearly every agent comes back once, and never many at a time.
//!
//! However often one asks, it has one place that is held or promised to it, and it comes in only so often: whoever has one
//! identity, or many connections, takes the places of the others with it only once.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::ids::JumpClientId;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::pace::Pace;

/// What the rate counts by.
const SECOND: Duration = Duration::from_secs(1);

/// How far ahead a place may be for an agent to be held on its link. Well below the time an agent waits for its welcome.
pub(crate) const HELD_MAX: Duration = Duration::from_secs(5);

/// Longest pause a turned away agent is asked for.
const PAUSE_MAX: Duration = Duration::from_secs(900);

/// An agent comes back after the pause asked for and a random part of up to half of it: on average after 5/4 of it.
const LATER_THAN_ASKED: f64 = 1.25;

/// How often one agent comes in at once, and how often after that. One that keeps to its pauses is never asked to wait for it.
const IN_AT_ONCE: u32 = 10;
const IN_EVERY: Duration = Duration::from_secs(5);

/// Promises that are kept before the oldest are looked for.
const PROMISES_MIN: usize = 1_024;

/// Who asks for a place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Applicant {
    /// A client that has shown who it is.
    Client(JumpClientId),
    /// A machine that registers, by the hash of the number it drew for that.
    Attempt(String),
}

/// Which places are taken, and which are promised.
#[derive(Debug)]
pub(crate) struct Admission {
    places: Mutex<Places>,
}

/// A place that is held for an agent on its link.
#[derive(Debug)]
struct HeldPlace {
    at: Instant,
    /// Which link has it; 0 is none yet.
    holder: u64,
    /// Dropped when another link of the same agent takes the place over.
    _over: Option<oneshot::Sender<()>>,
}

#[derive(Debug)]
struct Places {
    held: HashMap<Applicant, HeldPlace>,
    holders: u64,
    promised: HashMap<Applicant, Instant>,
    promises_max: usize,
    came_in: Pace<Applicant>,
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
                held: HashMap::new(),
                holders: 0,
                promised: HashMap::new(),
                promises_max: PROMISES_MIN,
                came_in: Pace::new(IN_AT_ONCE, IN_EVERY),
                given: VecDeque::new(),
                promised_until: now,
            }),
        }
    }

    /// Asks for one place for `who` where there are `rate` in any second, at least one. `chance` is any number: it spreads
    /// those for whom a promise would be too far away.
    pub(crate) fn ask(&self, who: &Applicant, rate: u32, now: Instant, chance: u64) -> Admitted {
        let mut places = self.places();
        if let Some(held) = places.held.get_mut(who).filter(|held| held.at > now) {
            // The newest link of an agent is the one it is at.
            (held.holder, held._over) = (0, None);
            return Admitted::At(held.at);
        }
        let free_at = places.came_in.free_at(who, now);
        if free_at > now {
            return Admitted::After(millis(free_at - now).max(millis(IN_EVERY)));
        }
        let apart = SECOND / rate;
        let place = places.next(rate as usize, apart, now);
        if place - now > HELD_MAX {
            return places.promise(who, place, apart, now, chance);
        }
        places.given.push_back(place);
        places.promised.remove(who);
        // It may, as was looked at.
        let _ = places.came_in.take(who, now);
        if place == now {
            return Admitted::Now;
        }
        let held = HeldPlace {
            at: place,
            holder: 0,
            _over: None,
        };
        places.held.insert(who.clone(), held);
        Admitted::At(place)
    }

    /// Has a link hold the place at `at` that `who` was given.
    pub(crate) fn hold(&self, who: Applicant, at: Instant) -> Holding<'_> {
        let (over, taken_over) = oneshot::channel();
        let mut places = self.places();
        places.holders += 1;
        let holder = places.holders;
        let held = HeldPlace {
            at,
            holder,
            _over: Some(over),
        };
        places.held.insert(who.clone(), held);
        Holding {
            admission: self,
            who,
            holder,
            taken_over,
        }
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        // A poisoned lock only means that another thread panicked between two moments; they stay usable.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A link that holds its agent's place; dropped, it holds it no more.
pub(crate) struct Holding<'a> {
    admission: &'a Admission,
    who: Applicant,
    holder: u64,
    /// Ends when another link of the same agent has taken the place over.
    pub(crate) taken_over: oneshot::Receiver<()>,
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        let mut places = self.admission.places();
        let is_ours = places
            .held
            .get(&self.who)
            .is_some_and(|held| held.holder == self.holder);
        if is_ours {
            places.held.remove(&self.who);
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Places {
    /// Says when to come back to one whose place is too far ahead to be held. Who has a promise keeps that one.
    fn promise(
        &mut self,
        who: &Applicant,
        place: Instant,
        apart: Duration,
        now: Instant,
        chance: u64,
    ) -> Admitted {
        let before = self.promised.get(who).copied().filter(|at| *at > now);
        let promised = before.unwrap_or(self.promised_until).max(place);
        // Coming back half a queue too early keeps the queue from running dry, and leaves room for who comes unasked.
        let pause = (promised - now - HELD_MAX / 2).div_f64(LATER_THAN_ASKED);
        if pause > PAUSE_MAX {
            let ms = millis(PAUSE_MAX);
            return Admitted::After(ms / 2 + chance % (ms / 2));
        }
        if before.is_none() {
            self.promised_until = promised + apart;
            if self.promised.len() >= self.promises_max {
                self.promised.retain(|_, at| *at > now);
                self.promises_max = PROMISES_MIN.max(2 * self.promised.len());
            }
            self.promised.insert(who.clone(), promised);
        }
        Admitted::After(millis(pause))
    }

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

    fn machine(number: u32) -> Applicant {
        Applicant::Client(JumpClientId(number))
    }

    fn another(number: &mut u32) -> Applicant {
        *number += 1;
        machine(*number)
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
            let place = match admission.ask(&machine(agent), rate, now, chance.number()) {
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
        let mut number = 0;
        let mut ask = |ms| match admission.ask(&another(&mut number), 4, at(ms), 0) {
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
        let mut number = 0;
        let begin = Instant::now();
        let admission = Admission::new(begin);
        for second in 0..=5 {
            let expected = match second {
                0 => Admitted::Now,
                _ => Admitted::At(begin + SECOND * second),
            };
            assert_eq!(admission.ask(&another(&mut number), 1, begin, 0), expected);
        }
        // Its place is in six seconds; on average it is back in three and a half.
        assert_eq!(
            admission.ask(&another(&mut number), 1, begin, 0),
            Admitted::After(2_800)
        );
        assert_eq!(
            admission.ask(&another(&mut number), 1, begin, 0),
            Admitted::After(3_600)
        );
        // With a higher rate, what was given stays given.
        let later = begin + Duration::from_millis(200);
        let place = begin + Duration::from_millis(5_100);
        assert_eq!(
            admission.ask(&another(&mut number), 10, later, 0),
            Admitted::At(place)
        );
    }

    #[test]
    fn a_promise_is_never_too_far_away() {
        let begin = Instant::now();
        let admission = Admission::new(begin);
        let longest = PAUSE_MAX.as_millis() as u64;
        for chance in 0..5_000 {
            if let Admitted::After(ms) = admission.ask(&machine(chance as u32), 1, begin, chance) {
                assert!(ms <= longest, "{ms}");
            }
        }
        // Once everybody has come or given up, it is as if nothing had been.
        let later = begin + Duration::from_secs(3_000);
        assert_eq!(admission.ask(&machine(0), 1, later, 0), Admitted::Now);
    }

    /// CLNT-36, threat M: who asks again and again has one place, one promise, and takes nobody else's.
    #[test]
    fn threat_m_one_agent_has_one_place_and_one_promise_however_often_it_asks() {
        let begin = Instant::now();
        let admission = Admission::new(begin);
        let (evil, good) = (machine(1), machine(2));
        assert_eq!(admission.ask(&machine(9), 1, begin, 0), Admitted::Now);
        let place = begin + SECOND;
        assert_eq!(admission.ask(&evil, 1, begin, 0), Admitted::At(place));
        let mut first = admission.hold(evil.clone(), place);
        assert!(first.taken_over.try_recv().is_err());
        for _ in 0..350 {
            assert_eq!(admission.ask(&evil, 1, begin, 0), Admitted::At(place));
        }
        let closed = Err(oneshot::error::TryRecvError::Closed);
        assert_eq!(first.taken_over.try_recv(), closed, "the newer has it");
        let mut second = admission.hold(evil.clone(), place);
        drop(first);
        let empty = Err(oneshot::error::TryRecvError::Empty);
        assert_eq!(second.taken_over.try_recv(), empty, "still its place");
        let next = begin + SECOND * 2;
        assert_eq!(admission.ask(&good, 1, begin, 0), Admitted::At(next));
        drop(second);
        assert_eq!(admission.places().held.len(), 1, "nothing is kept");

        // Nor is more than one place promised.
        for number in 10..13 {
            admission.ask(&machine(number), 1, begin, 0);
        }
        let told = admission.ask(&machine(20), 1, begin, 0);
        assert_eq!(told, Admitted::After(2_800));
        for _ in 0..350 {
            assert_eq!(admission.ask(&machine(20), 1, begin, 0), told);
        }
        assert_eq!(admission.ask(&good, 1, begin, 0), Admitted::At(next));
        let after = admission.ask(&machine(21), 1, begin, 0);
        assert_eq!(after, Admitted::After(3_600));
    }

    /// CLNT-36, threat M: links that end as soon as they began are no way to take the places of a second.
    #[test]
    fn threat_m_one_agent_comes_in_only_so_often() {
        let begin = Instant::now();
        let admission = Admission::new(begin);
        for _ in 0..IN_AT_ONCE {
            assert_eq!(admission.ask(&machine(1), 50, begin, 0), Admitted::Now);
        }
        for _ in 0..350 {
            let told = admission.ask(&machine(1), 50, begin, 0);
            assert_eq!(told, Admitted::After(5_000));
        }
        assert_eq!(admission.ask(&machine(2), 50, begin, 0), Admitted::Now);
        let later = begin + IN_EVERY;
        assert_eq!(admission.ask(&machine(1), 50, later, 0), Admitted::Now);
        assert_eq!(
            admission.ask(&machine(1), 50, later, 0),
            Admitted::After(5_000)
        );
    }
}
