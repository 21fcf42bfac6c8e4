//! Which refusals are written down one by one: the first of a caller, network, command, reason and thing in a minute. Those
//! that repeat it are counted, and taken once a minute by whoever writes the counts into the log (architecture.md,
//! "Refusals"): neither a guesser nor a broken script fills the disk through the audit.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::audit::{ActionRefused, AttemptsRefused};
use domain::site::user::sign_in::network_of;
use domain::time::MINUTE;
use domain::{Actor, Cause, Timestamp};
use uuid::Uuid;

/// Most refusals of one caller and network in a minute that are written down one by one.
pub(crate) const FIRSTS_MAX: usize = 20;
/// Most refusals that are remembered, and most counts that are kept apart. Beyond, they are counted without what they were
/// asked of.
const REMEMBERED_MAX: usize = 10_000;

/// Who was refused: the first part of a [`Key`], and what the bound of a minute is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Caller {
    /// An account's or client's stream, or a stranger's network.
    name: String,
    /// Where a known caller asked from.
    network: Option<String>,
}

impl Caller {
    fn of(cause: &Cause) -> Self {
        let network = cause.address.map(network_of);
        let name = match &cause.actor {
            Actor::User(user) => format!("user-{user}"),
            Actor::ApiAccount(account) => format!("api_account-{account}"),
            Actor::JumpClient(client) => format!("jump_client-{client}"),
            Actor::Approver { request, index } => format!("approver-{request}-{index}"),
            Actor::System => "system".to_owned(),
            Actor::Operator => "operator".to_owned(),
            Actor::NewJumpClient | Actor::Stranger => {
                return Self {
                    name: network.unwrap_or_else(|| "strangers".to_owned()),
                    network: None,
                };
            }
        };
        Self { name, network }
    }
}

/// What a refusal has in common with those that repeat it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    caller: Caller,
    command: String,
    code: String,
    message: String,
    subject: Option<String>,
}

impl Key {
    pub(crate) fn of(refused: &ActionRefused, cause: &Cause) -> Self {
        Self {
            caller: Caller::of(cause),
            command: refused.command.clone(),
            code: refused.code.clone(),
            message: refused.message.clone(),
            subject: refused.subject.clone(),
        }
    }

    pub(crate) fn has_caller_of(&self, other: &Self) -> bool {
        self.caller == other.caller
    }
}

/// What becomes of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is written down.
    First,
    /// It is counted; the id is that of the event it repeats, where there is one.
    Repeat(Option<Uuid>),
}

#[derive(Clone, Copy, Debug)]
struct Window {
    opened_at: Timestamp,
    event: Uuid,
}

/// The refusals of the last minute that were committed.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    windows: BTreeMap<Key, Window>,
    repeats: BTreeMap<(Caller, String, Option<String>), AttemptsRefused>,
}

impl Refusals {
    /// What becomes of a refusal at `now`, where `undecided` more of its caller are about to be written down.
    pub(crate) fn verdict(&self, key: &Key, undecided: usize, now: Timestamp) -> Verdict {
        let mut inner = self.inner();
        if let Some(window) = inner.windows.get(key)
            && window.is_open(now)
        {
            return Verdict::Repeat(Some(window.event));
        }
        if inner.windows.len() >= REMEMBERED_MAX {
            inner.windows.retain(|_, window| window.is_open(now));
        }
        let lowest = Key {
            caller: key.caller.clone(),
            command: String::new(),
            code: String::new(),
            message: String::new(),
            subject: None,
        };
        let written = inner
            .windows
            .range(lowest..)
            .take_while(|(other, _)| other.has_caller_of(key))
            .filter(|(_, window)| window.is_open(now))
            .count();
        if written + undecided >= FIRSTS_MAX || inner.windows.len() >= REMEMBERED_MAX {
            Verdict::Repeat(None)
        } else {
            Verdict::First
        }
    }

    /// Takes note of a refusal that was written down.
    pub(crate) fn written(&self, key: Key, event: Uuid, now: Timestamp) {
        let window = Window {
            opened_at: now,
            event,
        };
        self.inner().windows.insert(key, window);
    }

    /// Counts a refusal that repeats another.
    pub(crate) fn repeated(&self, key: Key, message: String, now: Timestamp) {
        self.inner().count(AttemptsRefused {
            caller: key.caller.name,
            route: key.command,
            count: 1,
            first_at: now,
            last_at: now,
            sample: message,
            network: key.caller.network,
            subject: key.subject,
        });
    }

    /// The id of the event that stands for a refusal.
    pub(crate) fn event_of(&self, key: &Key) -> Option<Uuid> {
        self.inner().windows.get(key).map(|window| window.event)
    }

    /// What was counted since the last time, and forgets it.
    pub(crate) fn take(&self) -> Vec<AttemptsRefused> {
        std::mem::take(&mut self.inner().repeats)
            .into_values()
            .collect()
    }

    /// Counts on where what was taken could not be written.
    pub(crate) fn put_back(&self, refused: AttemptsRefused) {
        self.inner().count(refused);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn count(&mut self, mut refused: AttemptsRefused) {
        let key = |refused: &AttemptsRefused| {
            let caller = Caller {
                name: refused.caller.clone(),
                network: refused.network.clone(),
            };
            (caller, refused.route.clone(), refused.subject.clone())
        };
        if self.repeats.len() >= REMEMBERED_MAX && !self.repeats.contains_key(&key(&refused)) {
            "others".clone_into(&mut refused.caller);
            refused.network = None;
            refused.subject = None;
        }
        match self.repeats.entry(key(&refused)) {
            Entry::Vacant(entry) => {
                entry.insert(refused);
            }
            Entry::Occupied(mut entry) => {
                let counted = entry.get_mut();
                counted.count += refused.count;
                counted.first_at = counted.first_at.min(refused.first_at);
                counted.last_at = counted.last_at.max(refused.last_at);
            }
        }
    }
}

impl Window {
    /// A clock that was put back closes it.
    fn is_open(&self, now: Timestamp) -> bool {
        (0..MINUTE).contains(&now.since(self.opened_at))
    }
}

#[cfg(test)]
mod tests {
    use domain::Surface;
    use domain::ids::UserId;

    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000_000);

    fn key(actor: Actor, subject: u32) -> Key {
        let refused = ActionRefused {
            code: "forbidden".to_owned(),
            message: "No.".to_owned(),
            command: "access_session.start".to_owned(),
            subject: Some(format!("jump_client-{subject}")),
            inputs: None,
        };
        let cause = Cause {
            actor,
            surface: Surface::ConsoleApi,
            address: Some("192.0.2.7".parse().unwrap()),
        };
        Key::of(&refused, &cause)
    }

    #[test]
    fn a_repeat_within_a_minute_is_counted_and_knows_the_first() {
        let refusals = Refusals::default();
        let first = key(Actor::User(UserId(2)), 1);
        assert_eq!(refusals.verdict(&first, 0, NOW), Verdict::First);
        refusals.written(first.clone(), Uuid::from_u128(7), NOW);
        // after, what becomes of it
        for (after, verdict) in [
            (0, Verdict::Repeat(Some(Uuid::from_u128(7)))),
            (MINUTE - 1, Verdict::Repeat(Some(Uuid::from_u128(7)))),
            (MINUTE, Verdict::First),
            (-1, Verdict::First),
        ] {
            assert_eq!(refusals.verdict(&first, 0, NOW.plus(after)), verdict);
        }
        let other = key(Actor::User(UserId(3)), 1);
        assert_eq!(refusals.verdict(&other, 0, NOW), Verdict::First);
        for after in [1, 2] {
            refusals.repeated(first.clone(), "No.".to_owned(), NOW.plus(after));
        }
        let taken = refusals.take();
        assert_eq!(taken.len(), 1);
        assert_eq!((taken[0].caller.as_str(), taken[0].count), ("user-2", 2));
        assert_eq!(taken[0].network.as_deref(), Some("192.0.2.0/24"));
        assert_eq!(taken[0].subject.as_deref(), Some("jump_client-1"));
        assert_eq!(
            (taken[0].first_at, taken[0].last_at),
            (NOW.plus(1), NOW.plus(2))
        );
        assert_eq!(refusals.take(), []);
        refusals.put_back(taken[0].clone());
        assert_eq!(refusals.take(), taken);
    }

    /// threat M
    #[test]
    fn threat_m_one_caller_has_so_many_firsts_a_minute_and_no_more() {
        let refusals = Refusals::default();
        let mut firsts = 0;
        for subject in 0..1_000 {
            let key = key(Actor::User(UserId(2)), subject);
            match refusals.verdict(&key, 0, NOW) {
                Verdict::First => {
                    firsts += 1;
                    refusals.written(key, Uuid::from_u128(u128::from(subject)), NOW);
                }
                Verdict::Repeat(_) => refusals.repeated(key, "No.".to_owned(), NOW),
            }
        }
        assert_eq!(firsts, FIRSTS_MAX);
        let counted: u64 = refusals.take().iter().map(|refused| refused.count).sum();
        assert_eq!(counted, 1_000 - FIRSTS_MAX as u64);
    }
}
