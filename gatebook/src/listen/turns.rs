//! Turns: of a storm of handshakes only some work at once, and none of their sources waits for all of another's.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::source::Source;

/// The turns of one listener. Clones share them.
#[derive(Clone)]
pub(super) struct Turns(Arc<Mutex<State>>);

struct State {
    free: usize,
    waiting: HashMap<Source, VecDeque<oneshot::Sender<Turn>>>,
    /// The sources that wait, each once; the first has the next turn.
    next: VecDeque<Source>,
}

/// A turn; dropped, it is the next one's.
pub(super) struct Turn(Option<Turns>);

impl Turns {
    pub(super) fn new(at_once_max: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            free: at_once_max,
            waiting: HashMap::new(),
            next: VecDeque::new(),
        })))
    }

    /// Waits for a turn. Among sources that wait turns go round, and within one it is who came first. Dropped before it ends,
    /// it waits no more.
    pub(super) async fn take(&self, source: Source) -> Turn {
        let waiting = {
            let mut state = self.state();
            if state.free > 0 {
                state.free -= 1;
                return Turn(Some(self.clone()));
            }
            let (turn, waiting) = oneshot::channel();
            let queue = state.waiting.entry(source).or_default();
            let is_first = queue.is_empty();
            queue.push_back(turn);
            if is_first {
                state.next.push_back(source);
            }
            waiting
        };
        // Who holds the other end never drops it unanswered; if it did, going on is right.
        waiting.await.unwrap_or(Turn(None))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A poisoned lock only means that another thread panicked beside a queue; it stays usable.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who is next; one more turn is free where there is nobody.
    fn hand_on(&self) -> Option<oneshot::Sender<Turn>> {
        let mut state = self.state();
        while let Some(source) = state.next.pop_front() {
            let Some(queue) = state.waiting.get_mut(&source) else {
                continue;
            };
            // Who waits no more is passed by.
            let next = std::iter::from_fn(|| queue.pop_front()).find(|turn| !turn.is_closed());
            if queue.is_empty() {
                state.waiting.remove(&source);
            } else {
                state.next.push_back(source);
            }
            if next.is_some() {
                return next;
            }
        }
        state.free += 1;
        None
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(turns) = self.0.take() else {
            return;
        };
        while let Some(next) = turns.hand_on() {
            match next.send(Turn(Some(turns.clone()))) {
                Ok(()) => return,
                // It has just given up. Emptied, its turn is not handed on twice.
                Err(mut unwanted) => drop(unwanted.0.take()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn source(number: u8) -> Source {
        Source::of(std::net::IpAddr::from([192, 0, number, 1]))
    }

    /// threat M: however many of one source wait, another's turn comes next but one.
    #[tokio::test]
    async fn threat_m_turns_go_round_among_sources() {
        let turns = Turns::new(1);
        let first = turns.take(source(1)).await;
        let mut many: Vec<_> = (0..1_000)
            .map(|_| Box::pin(turns.take(source(1))))
            .collect();
        for waiting in &mut many {
            assert!(waiting.now_or_never_by_ref().is_none());
        }
        let mut other = Box::pin(turns.take(source(2)));
        assert!(other.now_or_never_by_ref().is_none());
        drop(first);
        let second = many[0].now_or_never_by_ref().expect("who came first");
        assert!(other.now_or_never_by_ref().is_none());
        drop(second);
        assert!(other.now_or_never_by_ref().is_some(), "the other source");
    }

    #[tokio::test]
    async fn who_gave_up_is_passed_by_and_nothing_is_lost() {
        let turns = Turns::new(2);
        let held = [turns.take(source(1)).await, turns.take(source(1)).await];
        let mut gone: Vec<_> = (0..10)
            .map(|number| Box::pin(turns.take(source(number))))
            .collect();
        for waiting in &mut gone {
            assert!(waiting.now_or_never_by_ref().is_none());
        }
        let mut last = Box::pin(turns.take(source(3)));
        assert!(last.now_or_never_by_ref().is_none());
        drop(gone);
        drop(held);
        drop(last.now_or_never_by_ref().expect("it waited"));
        // One that was given and not fetched is handed on as well.
        let held = [turns.take(source(1)).await, turns.take(source(1)).await];
        let mut unfetched = Box::pin(turns.take(source(1)));
        assert!(unfetched.now_or_never_by_ref().is_none());
        drop(held);
        drop(unfetched);
        let state = turns.state();
        assert_eq!(state.free, 2);
        assert!(state.waiting.is_empty() && state.next.is_empty());
    }

    /// Polls once.
    trait Once: Future {
        fn now_or_never_by_ref(&mut self) -> Option<Self::Output>;
    }

    impl<F: Future + Unpin> Once for F {
        fn now_or_never_by_ref(&mut self) -> Option<F::Output> {
            self.now_or_never()
        }
    }
}
