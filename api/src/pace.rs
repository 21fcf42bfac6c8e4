//! Pacing: a call over its caller's rate waits for its turn instead of being refused (AUTH-15, AUTH-17).
//!
//! A caller that keeps to a rate on average cannot keep to it at every instant, because networks bunch calls. So every caller
//! has a [`Bucket`]: a second's worth of calls or more may come at once, and it is refilled at the rate. A call that finds it
//! empty joins the caller's queue in [`Queues`], first come, first served, for at most [`HELD_WITHIN`]; only when the queue is
//! full is it refused. A held call has not been read beyond its head: it costs its place in the queue and its request's own
//! task, nothing else. A call that is given up while it waits leaves the queue and takes nothing out of the bucket.
//!
//! Time is tokio's monotonic one: a machine's clock that is put forward or back neither holds nor releases anybody.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use governor::clock::Clock;
use governor::state::{InMemoryState, NotKeyed};
use governor::{NotUntil, Quota, RateLimiter};
use tokio::sync::Semaphore;

/// How long a call waits for its turn at most.
pub(crate) const HELD_WITHIN: Duration = Duration::from_secs(2);

/// Most calls of one caller that wait, whatever its rate.
const QUEUE_MAX: usize = 1_000;

/// When to come back to a full queue: by then there is room for a second's worth of calls. Unit: seconds.
pub(crate) const RETRY_AFTER_S: u64 = 1;

/// The clock of the buckets.
#[derive(Clone, Debug)]
pub(crate) struct Monotonic(tokio::time::Instant);

impl Monotonic {
    pub(crate) fn start() -> Self {
        Self(tokio::time::Instant::now())
    }
}

impl Clock for Monotonic {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Calls that one caller may make at once, refilled at its rate.
pub(crate) type Bucket =
    RateLimiter<NotKeyed, InMemoryState, Monotonic, governor::middleware::NoOpMiddleware<Duration>>;

/// A bucket that holds a second's worth of calls.
pub(crate) fn bucket_of_a_second(per_second: NonZeroU32) -> Bucket {
    let quota = Quota::per_second(per_second);
    RateLimiter::new(quota, InMemoryState::default(), Monotonic::start())
}

/// Takes a call out of `bucket`.
///
/// # Errors
/// How long it takes until there is one.
pub(crate) fn take(bucket: &Bucket) -> Result<(), Duration> {
    bucket
        .check()
        .map_err(|not_until| wait_time(&not_until, bucket.clock()))
}

/// How long it takes until a bucket has a call.
pub(crate) fn wait_time(not_until: &NotUntil<Duration>, clock: &Monotonic) -> Duration {
    not_until.wait_time_from(clock.now())
}

/// The calls that wait, by caller. There is an entry only for callers of whom at least one call waits.
pub(crate) struct Queues<K: Hash + Eq>(DashMap<K, Queue>);

struct Queue {
    held: usize,
    /// One permit, which goes to the call that has waited longest.
    turn: Arc<Semaphore>,
}

/// What becomes of a call.
pub(crate) enum Turn<'q, K: Copy + Hash + Eq> {
    /// It runs now.
    Now,
    /// It runs when [`Held::wait`] is over.
    Later(Held<'q, K>),
    /// Too many wait before it.
    Never,
}

impl<K: Copy + Hash + Eq> Queues<K> {
    pub(crate) fn new() -> Self {
        Self(DashMap::new())
    }

    /// Takes a call of `caller`, which makes `per_second` calls a second, out of its bucket by `take`, or queues it. While
    /// others of the caller wait, the bucket is theirs.
    pub(crate) fn turn(
        &self,
        caller: K,
        per_second: NonZeroU32,
        take: impl FnOnce() -> Result<(), Duration>,
    ) -> Turn<'_, K> {
        let turn = match self.0.entry(caller) {
            Entry::Vacant(entry) => {
                if take().is_ok() {
                    return Turn::Now;
                }
                let turn = Arc::new(Semaphore::new(1));
                let queue = Queue {
                    held: 1,
                    turn: Arc::clone(&turn),
                };
                entry.insert(queue);
                turn
            }
            Entry::Occupied(mut entry) => {
                let queue = entry.get_mut();
                if queue.held >= queue_max(per_second) {
                    return Turn::Never;
                }
                queue.held += 1;
                Arc::clone(&queue.turn)
            }
        };
        Turn::Later(Held {
            queues: self,
            caller,
            turn,
        })
    }
}

/// So many calls that the last one waits no longer than [`HELD_WITHIN`].
fn queue_max(per_second: NonZeroU32) -> usize {
    let within = HELD_WITHIN.as_secs() * u64::from(per_second.get());
    usize::try_from(within).map_or(QUEUE_MAX, |within| within.min(QUEUE_MAX))
}

/// A call's place in the queue; dropped, it is given up.
pub(crate) struct Held<'q, K: Copy + Hash + Eq> {
    queues: &'q Queues<K>,
    caller: K,
    turn: Arc<Semaphore>,
}

impl<K: Copy + Hash + Eq> Held<'_, K> {
    /// Waits for the calls before it, and then until `take` has taken it out of the bucket.
    pub(crate) async fn wait(self, take: impl Fn() -> Result<(), Duration>) {
        // The semaphore is never closed, and hands its permit on in the order of the calls.
        let turn = self.turn.acquire().await;
        while let Err(after) = take() {
            tokio::time::sleep(after).await;
        }
        drop(turn);
    }
}

impl<K: Copy + Hash + Eq> Drop for Held<'_, K> {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.queues.0.entry(self.caller) {
            let queue = entry.get_mut();
            queue.held = queue.held.saturating_sub(1);
            if queue.held == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use proptest::prelude::*;
    use tokio::time::{Instant, sleep_until};

    use super::*;

    const RATE: NonZeroU32 = NonZeroU32::new(20).unwrap();
    const INTERVAL: Duration = Duration::from_millis(50);
    /// Tokio's timers have whole milliseconds.
    const TICK: Duration = Duration::from_millis(2);

    struct Caller {
        bucket: Bucket,
        queues: Queues<u32>,
    }

    impl Caller {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                bucket: bucket_of_a_second(RATE),
                queues: Queues::new(),
            })
        }

        /// Whether the call ran.
        async fn call(&self) -> bool {
            match self.queues.turn(1, RATE, || take(&self.bucket)) {
                Turn::Now => true,
                Turn::Later(held) => {
                    held.wait(|| take(&self.bucket)).await;
                    true
                }
                Turn::Never => false,
            }
        }
    }

    /// When calls came and when they ran, both since the start; none where they were refused. The clock is paused: it leaps to
    /// whatever is next.
    fn run(arrivals: &[Duration]) -> Vec<(Duration, Option<Duration>)> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let caller = Caller::new();
            let start = Instant::now();
            let told = Arc::new(Mutex::new(Vec::new()));
            let calls: Vec<_> = arrivals
                .iter()
                .map(|after| {
                    let (caller, told, after) = (Arc::clone(&caller), Arc::clone(&told), *after);
                    tokio::spawn(async move {
                        sleep_until(start + after).await;
                        let came = start.elapsed();
                        let ran = caller.call().await.then(|| start.elapsed());
                        told.lock().unwrap().push((came, ran));
                    })
                })
                .collect();
            for call in calls {
                call.await.unwrap();
            }
            assert!(caller.queues.0.is_empty(), "nothing is kept");
            let mut told = told.lock().unwrap().clone();
            told.sort();
            told
        })
    }

    /// Never more in any span of time than a bucket and what was refilled meanwhile; nobody waits longer than promised.
    fn assert_paced(told: &[(Duration, Option<Duration>)]) {
        let mut ran: Vec<Duration> = Vec::new();
        for (came, at) in told {
            let Some(at) = at else { continue };
            assert!(
                *at - *came <= HELD_WITHIN + TICK,
                "came {came:?} ran {at:?}"
            );
            ran.push(*at);
        }
        assert!(ran.is_sorted(), "first come, first served");
        let bucket = RATE.get() as usize;
        for (first, from) in ran.iter().enumerate() {
            for (last, until) in ran.iter().enumerate().skip(first + bucket) {
                let refilled = (*until - *from + TICK).div_duration_f64(INTERVAL) + 1.0;
                let count = (last - first + 1) as f64;
                assert!(
                    count <= bucket as f64 + refilled,
                    "{count} from {from:?} to {until:?}"
                );
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// AUTH-15, AUTH-17: who makes 20 calls a second is never refused, however the network bunches them within a second.
        #[test]
        fn who_keeps_to_the_rate_is_never_refused(
            jitter in prop::collection::vec(0_u64..1_000, 100..300),
        ) {
            let arrivals: Vec<Duration> = jitter
                .iter()
                .zip(0_u32..)
                .map(|(jitter, call)| INTERVAL * call + Duration::from_millis(*jitter))
                .collect();
            let told = run(&arrivals);
            prop_assert!(told.iter().all(|(_, ran)| ran.is_some()));
            assert_paced(&told);
        }

        /// AUTH-15, AUTH-17: whatever comes, nobody is held longer than two seconds, and what runs keeps to the rate.
        #[test]
        fn whatever_comes_runs_in_order_at_the_rate_or_is_refused_at_once(
            arrivals in prop::collection::vec(0_u64..6_000, 1..400),
        ) {
            let arrivals: Vec<_> = arrivals.into_iter().map(Duration::from_millis).collect();
            let told = run(&arrivals);
            assert_paced(&told);
            let ran = told.iter().filter(|(_, ran)| ran.is_some()).count();
            // A bucket and a queue's worth runs at least.
            prop_assert!(ran >= arrivals.len().min(60));
        }
    }

    /// AUTH-15, AUTH-17
    #[test]
    fn of_a_hundred_calls_at_once_twenty_run_forty_are_held_and_the_rest_is_refused() {
        let told = run(&[Duration::ZERO; 100]);
        let at_once = told.iter().filter(|(_, ran)| *ran == Some(Duration::ZERO));
        assert_eq!(at_once.count(), 20);
        assert_eq!(told.iter().filter(|(_, ran)| ran.is_some()).count(), 60);
        let last = told.iter().filter_map(|(_, ran)| *ran).max().unwrap();
        assert!(
            last > HELD_WITHIN - INTERVAL && last <= HELD_WITHIN + TICK,
            "{last:?}"
        );
    }

    /// AUTH-15
    #[tokio::test(start_paused = true)]
    async fn a_loop_of_one_call_after_the_other_runs_at_the_rate() {
        let caller = Caller::new();
        let start = Instant::now();
        for _ in 0..20 * 10 {
            assert!(caller.call().await);
        }
        let took = start.elapsed();
        // The first 20 were in the bucket.
        let expected = Duration::from_secs(9);
        assert!(
            took >= expected && took < expected + Duration::from_millis(250),
            "{took:?}"
        );
    }

    /// AUTH-17: who gives up takes nothing from those behind.
    #[tokio::test(start_paused = true)]
    async fn calls_that_are_given_up_cost_the_others_nothing() {
        let caller = Caller::new();
        for _ in 0..20 {
            assert!(caller.call().await);
        }
        let start = Instant::now();
        let mut given_up: Vec<_> = (0..39).map(|_| Box::pin(caller.call())).collect();
        for call in &mut given_up {
            assert!(futures_util::poll!(call.as_mut()).is_pending());
        }
        let mut last = Box::pin(caller.call());
        assert!(futures_util::poll!(last.as_mut()).is_pending());
        assert!(!caller.call().await, "the queue is full");
        drop(given_up);
        assert!(last.await);
        assert!(start.elapsed() <= INTERVAL + TICK, "{:?}", start.elapsed());
    }

    /// Waiting is what most of a held call's life is: it has to be small.
    #[tokio::test]
    async fn a_held_call_is_a_few_hundred_bytes() {
        let caller = Caller::new();
        let bytes = size_of_val(&caller.call());
        assert!(bytes <= 400, "{bytes}");
    }
}
