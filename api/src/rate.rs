//! Budgets of API accounts: so many calls a second and an hour, over all APIs together (AUTH-15 to AUTH-18).
//!
//! The second's rate is a promise to whoever keeps it: a call over it waits for its turn ([`crate::pace`]), on the node that
//! answers. The hour is a fixed window on the injected clock. On one node it begins with the first call of it; where several
//! nodes share the log, hours are those of the clock in UTC, so that all nodes mean the same hour, and once a second each
//! learns what the others have counted.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use domain::Timestamp;
use domain::ids::ApiAccountId;
use domain::site::api_account::ApiAccount;
use domain::time::{HOUR, SECOND};
use eventstore::RateCount;
use tokio::sync::watch;

use crate::pace::{self, Bucket, Held, Queues, RETRY_AFTER_S, Turn};
use crate::site::Site;

/// How often nodes tell each other what they have counted.
const SHARE_EVERY: Duration = Duration::from_secs(1);

/// What an account may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    per_second: NonZeroU32,
    per_hour: u64,
}

impl From<&ApiAccount> for Budget {
    fn from(account: &ApiAccount) -> Self {
        Self {
            per_second: NonZeroU32::new(account.requests_per_second).unwrap_or(NonZeroU32::MIN),
            per_hour: u64::from(account.requests_per_hour),
        }
    }
}

/// What one call does to a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Charge {
    /// The hourly limit.
    pub(crate) limit: u64,
    /// What is left of the hour.
    pub(crate) remaining: u64,
    /// When to try again, if the call may not run. Unit: seconds.
    pub(crate) refused_for_s: Option<u64>,
}

/// What becomes of a call.
pub(crate) enum Admission<'r> {
    /// It runs, or is refused, now.
    Charged(Charge),
    /// It has to wait, and is charged after.
    Held(HeldCall<'r>),
}

/// A call that waits for its turn; dropped, it is given up.
pub(crate) struct HeldCall<'r> {
    held: Held<'r, ApiAccountId>,
    bucket: Arc<Bucket>,
}

impl HeldCall<'_> {
    /// Waits until the call may run.
    pub(crate) async fn wait(self) {
        self.held.wait(|| pace::take(&self.bucket)).await;
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Hour {
    start: Timestamp,
    used: u64,
    /// What other nodes have counted in this hour, as last heard.
    elsewhere: u64,
}

impl Hour {
    fn used(&self) -> u64 {
        self.used.saturating_add(self.elsewhere)
    }
}

/// The budgets of all accounts that called this node. Bounded: only accounts whose token was good get here.
pub(crate) struct AccountRates {
    hours: DashMap<ApiAccountId, Hour>,
    /// With the rate that it was made for.
    buckets: DashMap<ApiAccountId, (NonZeroU32, Arc<Bucket>)>,
    queues: Queues<ApiAccountId>,
    shared: bool,
}

impl AccountRates {
    pub(crate) fn new(shared: bool) -> Self {
        Self {
            hours: DashMap::new(),
            buckets: DashMap::new(),
            queues: Queues::new(),
            shared,
        }
    }

    /// Charges one call, unless it has to wait for its turn first. A refused call is not counted (AUTH-17).
    pub(crate) fn admit(&self, id: ApiAccountId, budget: Budget, now: Timestamp) -> Admission<'_> {
        let charge = self.hour(id, budget, now, false);
        if charge.refused_for_s.is_some() {
            return Admission::Charged(charge);
        }
        let bucket = self.bucket(id, budget.per_second);
        let turn = self
            .queues
            .turn(id, budget.per_second, || pace::take(&bucket));
        match turn {
            Turn::Now => Admission::Charged(self.charge(id, budget, now)),
            Turn::Later(held) => Admission::Held(HeldCall { held, bucket }),
            Turn::Never => Admission::Charged(Charge {
                refused_for_s: Some(RETRY_AFTER_S),
                ..charge
            }),
        }
    }

    /// Charges one call whose turn has come.
    pub(crate) fn charge(&self, id: ApiAccountId, budget: Budget, now: Timestamp) -> Charge {
        self.hour(id, budget, now, true)
    }

    /// What the hour has to say to one more call; `counts` charges it.
    fn hour(&self, id: ApiAccountId, budget: Budget, now: Timestamp, counts: bool) -> Charge {
        let mut hour = self.hours.entry(id).or_default();
        if !within(hour.start, HOUR, now) {
            let start = if self.shared {
                Timestamp(now.0.div_euclid(HOUR) * HOUR)
            } else {
                now
            };
            *hour = Hour {
                start,
                ..Hour::default()
            };
        }
        let limit = budget.per_hour;
        let refused_for_s = (hour.used() >= limit).then(|| seconds_left(hour.start, HOUR, now));
        if counts && refused_for_s.is_none() {
            hour.used += 1;
        }
        Charge {
            limit,
            remaining: limit.saturating_sub(hour.used()),
            refused_for_s,
        }
    }

    /// The bucket of an account; a changed rate begins with a full one.
    fn bucket(&self, id: ApiAccountId, per_second: NonZeroU32) -> Arc<Bucket> {
        let fresh = || (per_second, Arc::new(pace::bucket_of_a_second(per_second)));
        let mut bucket = self.buckets.entry(id).or_insert_with(fresh);
        if bucket.0 != per_second {
            *bucket = fresh();
        }
        Arc::clone(&bucket.1)
    }

    /// What this node has counted in the hours that are not over.
    fn counts(&self, now: Timestamp) -> Vec<(ApiAccountId, RateCount)> {
        self.hours
            .iter()
            .filter(|entry| within(entry.start, HOUR, now))
            .map(|entry| {
                let count = RateCount {
                    account: entry.key().to_string(),
                    window_start: entry.start.0,
                    used: entry.used,
                };
                (*entry.key(), count)
            })
            .collect()
    }

    /// Takes note of what all nodes together have counted; `mine` is what this node had said then.
    fn hear(&self, id: ApiAccountId, mine: &RateCount, sum: u64) {
        if let Some(mut hour) = self.hours.get_mut(&id)
            && hour.start.0 == mine.window_start
        {
            hour.elsewhere = sum.saturating_sub(mine.used);
        }
    }
}

/// Whether `now` lies in the window; a clock that was put back begins a new one.
fn within(start: Timestamp, length: i64, now: Timestamp) -> bool {
    (0..length).contains(&now.since(start))
}

fn seconds_left(start: Timestamp, length: i64, now: Timestamp) -> u64 {
    let micros = start.plus(length).since(now).max(1);
    u64::try_from((micros + SECOND - 1) / SECOND).unwrap_or(1)
}

impl Site {
    /// Tells the other nodes once a second what this one has counted, and hears what they have. Ends when `stop` turns true;
    /// on a node that is alone, at once.
    pub async fn run_rate_sharing(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        if !self.shared {
            return;
        }
        let mut forgotten_at = Timestamp(0);
        while !*stop.borrow_and_update() {
            let now = self.engine.clock().now();
            self.share_rates(now).await;
            if !within(forgotten_at, HOUR, now) {
                forgotten_at = now;
                if let Err(error) = self
                    .engine
                    .store()
                    .forget_rates(now.plus(-2 * HOUR).0)
                    .await
                {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "old counts of calls were not deleted"
                    );
                }
            }
            tokio::select! {
                () = tokio::time::sleep(SHARE_EVERY) => {}
                changed = stop.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn share_rates(&self, now: Timestamp) {
        let (accounts, counts): (Vec<ApiAccountId>, Vec<RateCount>) =
            self.account_rates.counts(now).into_iter().unzip();
        if counts.is_empty() {
            return;
        }
        match self.engine.store().share_rates(&self.node, &counts).await {
            Ok(sums) => {
                for ((id, mine), sum) in accounts.into_iter().zip(&counts).zip(sums) {
                    self.account_rates.hear(id, mine, sum.used);
                }
            }
            // Each node goes on with what it knows; the next second tries again.
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "counts of calls were not shared"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp(1_700_000_123_456_789);
    const ONE: ApiAccountId = ApiAccountId(1);
    const TWO: ApiAccountId = ApiAccountId(2);

    fn budget(second: u32, hour: u32) -> Budget {
        Budget::from(&ApiAccount {
            requests_per_second: second,
            requests_per_hour: hour,
            ..ApiAccount::default()
        })
    }

    /// What a call is charged, if it need not wait.
    fn charged(rates: &AccountRates, id: ApiAccountId, budget: Budget, now: Timestamp) -> Charge {
        match rates.admit(id, budget, now) {
            Admission::Charged(charge) => charge,
            Admission::Held(_) => panic!("it is held"),
        }
    }

    /// AUTH-15, AUTH-16, AUTH-17
    #[tokio::test(start_paused = true)]
    async fn twenty_calls_a_second_pass_and_more_are_held_and_then_charged() {
        let rates = AccountRates::new(false);
        let budget = Budget::from(&ApiAccount::default());
        for call in 1..=20 {
            let charge = charged(&rates, ONE, budget, START);
            assert_eq!(charge.remaining, 15_000 - call);
            assert_eq!((charge.limit, charge.refused_for_s), (15_000, None));
        }
        let mut held = Vec::new();
        for _ in 0..40 {
            let Admission::Held(call) = rates.admit(ONE, budget, START) else {
                panic!("it runs though its turn has not come");
            };
            held.push(call);
        }
        // Beyond two seconds' worth: told the true rest of the hour, and not counted.
        let refused = charged(&rates, ONE, budget, START);
        assert_eq!(
            (refused.refused_for_s, refused.remaining),
            (Some(1), 14_980)
        );
        for (call, left) in held.into_iter().zip((0..14_980).rev()) {
            call.wait().await;
            assert_eq!(rates.charge(ONE, budget, START).remaining, left);
        }
    }

    /// AUTH-15: the pace goes by monotonic time, so a clock that is put forward or back neither refuses nor lets through.
    #[tokio::test(start_paused = true)]
    async fn a_leap_of_the_clock_changes_nothing_about_the_second() {
        let rates = AccountRates::new(false);
        let budget = budget(1, 1_000);
        charged(&rates, ONE, budget, START);
        for leap in [HOUR * 24 * 365, -HOUR, 0] {
            let Admission::Held(call) = rates.admit(ONE, budget, START.plus(leap)) else {
                panic!("it is one a second");
            };
            call.wait().await;
        }
    }

    /// AUTH-15, AUTH-16, AUTH-17
    #[tokio::test(start_paused = true)]
    async fn the_hour_begins_with_the_first_call_and_is_whole_again_after() {
        let rates = AccountRates::new(false);
        let budget = budget(1_000, 3);
        for remaining in [2, 1, 0] {
            assert_eq!(charged(&rates, ONE, budget, START).remaining, remaining);
        }
        // after the first call: microseconds, refused for seconds, rest
        let cases = [
            (0, Some(3_600), 0),
            (HOUR - SECOND / 2, Some(1), 0),
            (HOUR, None, 2),
        ];
        for (after, refused_for_s, remaining) in cases {
            let charge = charged(&rates, ONE, budget, START.plus(after));
            assert_eq!(
                (charge.refused_for_s, charge.remaining),
                (refused_for_s, remaining)
            );
        }
    }

    /// AUTH-17: whoever waits is refused where the hour was used up meanwhile, and one whose hour is used up does not wait.
    #[tokio::test(start_paused = true)]
    async fn an_hour_that_is_used_up_ends_waiting() {
        let rates = AccountRates::new(false);
        let budget = budget(1, 2);
        charged(&rates, ONE, budget, START);
        let [first, second] = [(); 2].map(|()| match rates.admit(ONE, budget, START) {
            Admission::Held(call) => call,
            Admission::Charged(charge) => panic!("{charge:?}"),
        });
        first.wait().await;
        assert_eq!(rates.charge(ONE, budget, START).refused_for_s, None);
        let refused = Charge {
            limit: 2,
            remaining: 0,
            refused_for_s: Some(3_600),
        };
        assert_eq!(charged(&rates, ONE, budget, START), refused);
        second.wait().await;
        assert_eq!(rates.charge(ONE, budget, START), refused);
    }

    /// AUTH-18
    #[tokio::test(start_paused = true)]
    async fn two_accounts_have_separate_budgets() {
        let rates = AccountRates::new(false);
        let budget = budget(1, 10);
        assert_eq!(charged(&rates, ONE, budget, START).refused_for_s, None);
        let held = rates.admit(ONE, budget, START);
        assert!(matches!(held, Admission::Held(_)));
        assert_eq!(charged(&rates, TWO, budget, START).refused_for_s, None);
    }

    /// AUTH-15
    #[tokio::test(start_paused = true)]
    async fn what_other_nodes_counted_in_the_same_hour_counts_too() {
        let rates = AccountRates::new(true);
        let budget = budget(1_000, 10);
        charged(&rates, ONE, budget, START);
        let (id, mine) = rates.counts(START).remove(0);
        assert_eq!(mine.window_start % HOUR, 0);
        rates.hear(id, &mine, 1 + 8);
        assert_eq!(charged(&rates, ONE, budget, START).remaining, 0);
        let refused = charged(&rates, ONE, budget, START);
        assert!(refused.refused_for_s.is_some());
        let next = charged(&rates, ONE, budget, START.plus(HOUR));
        assert_eq!(next.remaining, 9);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_was_put_back_locks_nobody_out() {
        let rates = AccountRates::new(false);
        let budget = budget(1_000, 1);
        charged(&rates, ONE, budget, START);
        let charge = charged(&rates, ONE, budget, START.plus(-HOUR));
        assert_eq!(charge.refused_for_s, None);
    }
}
