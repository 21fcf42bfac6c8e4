//! Password hashing: off the async threads, a few at a time, with a bounded queue that is fair by who asks (threat M).
//!
//! Three lanes have room of their own and are drained by weight: callers who have proven who they are (administrators who make
//! users, whoever changes a password), people who signed in before from the same network or browser, and strangers. Within a
//! lane each source has its turn, and where a lane is full, the source that has most of it gives way. So a thousand wrong
//! passwords from one network delay a stranger from another by one password, and those who are known not at all.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use domain::Fresh;
use secrets::SecretText;
use tokio::sync::oneshot;

use crate::error::Problem;

/// For whom a password is hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A caller whose credentials were good, by name.
    Proven(String),
    /// Somebody who claims to be a user who signed in before from there, by user and network or browser.
    Known(String),
    /// Anybody else, by network.
    Stranger(String),
}

impl Source {
    fn lane(&self) -> (usize, &str) {
        match self {
            Self::Proven(name) => (0, name),
            Self::Known(name) => (1, name),
            Self::Stranger(name) => (2, name),
        }
    }
}

/// Which lane has its turn when several wait.
const TURNS: [usize; 5] = [0, 1, 0, 1, 2];

/// Hashes passwords and compares with hashes.
pub struct Passwords {
    queue: Arc<Queue>,
}

impl Passwords {
    /// Hashes `at_once` passwords at a time, and lets `waiting_max` more wait in each lane.
    #[must_use]
    pub fn new(at_once: usize, waiting_max: usize) -> Self {
        Self {
            queue: Arc::new(Queue {
                at_once: at_once.max(1),
                waiting_max,
                state: Mutex::default(),
            }),
        }
    }

    /// The argon2id hash of a password, as PHC text. `fresh` gives the salt.
    ///
    /// # Errors
    /// 503 when too many passwords wait.
    pub async fn hash(
        &self,
        password: SecretText,
        fresh: &Fresh,
        source: &Source,
    ) -> Result<SecretText, Problem> {
        let salt = fresh.value(63).to_be_bytes();
        self.run(source, move || {
            let salt = SaltString::encode_b64(&salt).map_err(hash_failed)?;
            let hash = Argon2::default()
                .hash_password(password.expose().as_bytes(), &salt)
                .map_err(hash_failed)?;
            Ok(SecretText::new(hash.to_string()))
        })
        .await?
    }

    /// Whether `given` has this hash. Without a hash, or with one that can't be read, the same work is done and the answer is no.
    ///
    /// # Errors
    /// 503 when too many passwords wait.
    pub async fn matches(
        &self,
        hash: Option<SecretText>,
        given: SecretText,
        source: &Source,
    ) -> Result<bool, Problem> {
        self.run(source, move || {
            let readable = hash
                .as_ref()
                .and_then(|hash| PasswordHash::new(hash.expose()).ok());
            match readable {
                Some(hash) => Argon2::default()
                    .verify_password(given.expose().as_bytes(), &hash)
                    .is_ok(),
                None => {
                    let mut out = [0; 32];
                    // The outcome is of no interest, only that it takes as long.
                    let _same_work = Argon2::default().hash_password_into(
                        given.expose().as_bytes(),
                        &[7; 16],
                        &mut out,
                    );
                    false
                }
            }
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        source: &Source,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let permit = Queue::permit(&self.queue, source).await.ok_or_else(|| {
            Problem::unavailable(
                "The server is currently too busy. Please try again later.",
                Duration::from_secs(2),
            )
        })?;
        // It goes along: a caller who hangs up does not make room before the work is done.
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(permit);
            done
        });
        done.await.map_err(|error| {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "hashing a password failed"
            );
            Problem::internal()
        })
    }
}

fn hash_failed(error: argon2::password_hash::Error) -> Problem {
    tracing::error!(%error, "hashing a password failed");
    Problem::internal()
}

struct Queue {
    at_once: usize,
    waiting_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: usize,
    /// Place in [`TURNS`] of the lane that is next.
    turn: usize,
    lanes: [Lane; 3],
}

/// Those who wait in one lane.
#[derive(Default)]
struct Lane {
    waiting: usize,
    by_source: BTreeMap<String, VecDeque<oneshot::Sender<Permit>>>,
    /// The sources that wait, in the order of their turns.
    turns: VecDeque<String>,
}

impl Lane {
    /// Lines a caller up. Where the lane is full, the last of the source that has most of it is sent away, or the caller is.
    fn join(&mut self, source: &str, max: usize) -> Option<oneshot::Receiver<Permit>> {
        if self.waiting >= max {
            self.forget_who_left();
        }
        if self.waiting >= max {
            let own = self.by_source.get(source).map_or(0, VecDeque::len);
            let (largest, queue) = self
                .by_source
                .iter_mut()
                .max_by_key(|(_, queue)| queue.len())?;
            if queue.len() <= own + 1 {
                return None;
            }
            queue.pop_back();
            tracing::debug!(source = largest, "a password that waited was turned away");
            self.waiting -= 1;
        }
        let (sender, receiver) = oneshot::channel();
        let queue = self.by_source.entry(source.to_owned()).or_default();
        if queue.is_empty() {
            self.turns.push_back(source.to_owned());
        }
        queue.push_back(sender);
        self.waiting += 1;
        Some(receiver)
    }

    fn next(&mut self) -> Option<oneshot::Sender<Permit>> {
        let source = self.turns.pop_front()?;
        let queue = self.by_source.get_mut(&source)?;
        let sender = queue.pop_front();
        if queue.is_empty() {
            self.by_source.remove(&source);
        } else {
            self.turns.push_back(source);
        }
        self.waiting -= usize::from(sender.is_some());
        sender
    }

    fn forget_who_left(&mut self) {
        for queue in self.by_source.values_mut() {
            queue.retain(|sender| !sender.is_closed());
        }
        self.by_source.retain(|_, queue| !queue.is_empty());
        self.turns
            .retain(|source| self.by_source.contains_key(source));
        self.waiting = self.by_source.values().map(VecDeque::len).sum();
    }
}

impl Queue {
    /// A place among those that are hashed; none where too many wait.
    async fn permit(queue: &Arc<Self>, source: &Source) -> Option<Permit> {
        let receiver = {
            let mut state = queue.state();
            let nobody_waits = state.lanes.iter().all(|lane| lane.waiting == 0);
            if state.running < queue.at_once && nobody_waits {
                state.running += 1;
                return Some(Permit(Some(Arc::clone(queue))));
            }
            let (lane, name) = source.lane();
            state.lanes[lane].join(name, queue.waiting_max)?
        };
        receiver.await.ok()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a place that is free to whoever has the turn.
    fn pass_on(queue: &Arc<Self>) {
        loop {
            let next = {
                let mut state = queue.state();
                let next = state.next();
                if next.is_none() {
                    state.running -= 1;
                }
                next
            };
            let Some(next) = next else { return };
            match next.send(Permit(Some(Arc::clone(queue)))) {
                Ok(()) => return,
                // Whoever waited has left: the place is still to be given.
                Err(mut permit) => permit.0 = None,
            }
        }
    }
}

impl State {
    fn next(&mut self) -> Option<oneshot::Sender<Permit>> {
        for _ in TURNS {
            let lane = TURNS[self.turn];
            self.turn = (self.turn + 1) % TURNS.len();
            if let Some(next) = self.lanes[lane].next() {
                return Some(next);
            }
        }
        None
    }
}

/// One of the places; empty once it was given on.
struct Permit(Option<Arc<Queue>>);

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(queue) = self.0.take() {
            Queue::pass_on(&queue);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn fresh() -> Fresh {
        Fresh(std::array::from_fn(|index| u128::MAX / 7 + index as u128))
    }

    fn stranger(network: &str) -> Source {
        Source::Stranger(network.to_owned())
    }

    fn known(name: &str) -> Source {
        Source::Known(name.to_owned())
    }

    fn proven(name: &str) -> Source {
        Source::Proven(name.to_owned())
    }

    #[tokio::test]
    async fn a_password_matches_its_own_hash_only() {
        let passwords = Passwords::new(2, 8);
        let source = stranger("a");
        let hash = passwords
            .hash("tiger".into(), &fresh(), &source)
            .await
            .unwrap();
        assert!(hash.expose().starts_with("$argon2id$"));
        // hash, password, matches
        let cases = [
            (Some(hash.clone()), "tiger", true),
            (Some(hash), "Tiger", false),
            (Some("no hash".into()), "tiger", false),
            (None, "tiger", false),
        ];
        for (hash, given, expected) in cases {
            let matches = passwords
                .matches(hash, given.into(), &source)
                .await
                .unwrap();
            assert_eq!(matches, expected, "{given}");
        }
    }

    /// Lines `sources` up behind one that runs, and tells in which order they come to their turn; those turned away are not
    /// among them.
    async fn order(waiting_max: usize, sources: &[Source]) -> Vec<usize> {
        let queue = Passwords::new(1, waiting_max).queue;
        let first = Queue::permit(&queue, &stranger("first")).await.unwrap();
        let mut waiting: Vec<_> = sources
            .iter()
            .map(|source| {
                let queue = Arc::clone(&queue);
                let source = source.clone();
                let mut permit = async move { Queue::permit(&queue, &source).await }.boxed();
                // A caller who is turned away at once is not polled again.
                let refused = (&mut permit).now_or_never().is_some();
                (!refused).then_some(permit)
            })
            .collect();
        let mut order = Vec::new();
        let mut running = Some(first);
        while running.take().is_some() {
            for (index, slot) in waiting.iter_mut().enumerate() {
                let Some(permit) = slot else { continue };
                if let Some(came) = permit.now_or_never() {
                    *slot = None;
                    if came.is_some() {
                        order.push(index);
                        running = came;
                    }
                }
            }
        }
        order
    }

    /// threat M
    #[tokio::test]
    async fn threat_m_each_network_has_its_turn() {
        let mut sources = vec![stranger("attacker"); 8];
        sources.push(stranger("office"));
        assert_eq!(order(32, &sources).await[..3], [0, 8, 1]);
    }

    /// threat M
    #[tokio::test]
    async fn threat_m_the_known_and_the_proven_have_places_of_their_own() {
        let mut sources: Vec<Source> = (0..8).map(|n| stranger(&format!("net {n}"))).collect();
        sources.extend([known("anna"), proven("admin"), known("bert")]);
        // All four places of strangers are taken.
        let order = order(4, &sources).await;
        assert_eq!(order, [9, 8, 10, 0, 1, 2, 3]);
    }

    /// threat M
    #[tokio::test]
    async fn threat_m_who_has_most_of_a_full_queue_gives_way() {
        let mut sources = vec![stranger("attacker"); 6];
        sources.extend([stranger("office"), stranger("home"), stranger("office")]);
        let order = order(4, &sources).await;
        // The attacker's third and fourth gave way, the fifth and sixth never had a place.
        assert_eq!(order, [0, 6, 7, 1]);
    }

    #[tokio::test]
    async fn a_place_is_not_lost_with_a_caller_who_leaves() {
        let queue = Passwords::new(1, 4).queue;
        let first = Queue::permit(&queue, &stranger("a")).await.unwrap();
        let source = stranger("b");
        let mut leaves = Box::pin(Queue::permit(&queue, &source));
        assert!((&mut leaves).now_or_never().is_none());
        // It is given the place and leaves with it unseen.
        drop(first);
        drop(leaves);
        let next = Queue::permit(&queue, &stranger("c")).now_or_never();
        assert!(next.flatten().is_some());
    }
}
