//! Budgets of API accounts: so many calls a second and an hour, over all APIs together (AUTH-15 to AUTH-18).
//!
//! Fixed windows on the injected clock. On one node a window begins with the first call of it; where several nodes share the
//! log, hours are those of the clock in UTC, so that all nodes mean the same hour, and once a second each learns what the
//! others have counted. The second is counted on the node that answers.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use domain::Timestamp;
use domain::ids::ApiAccountId;
use domain::site::api_account::ApiAccount;
use domain::time::{HOUR, SECOND};
use eventstore::RateCount;
use tokio::sync::watch;

use crate::site::Site;

/// How often nodes tell each other what they have counted.
const SHARE_EVERY: Duration = Duration::from_secs(1);

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

#[derive(Clone, Copy, Debug, Default)]
struct Windows {
    second_start: Timestamp,
    second_used: u64,
    hour_start: Timestamp,
    hour_used: u64,
    /// What other nodes have counted in this hour, as last heard.
    hour_elsewhere: u64,
}

/// The windows of all accounts that called this node. Bounded: only accounts whose token was good get here.
pub(crate) struct AccountRates {
    windows: DashMap<ApiAccountId, Windows>,
    shared: bool,
}

impl AccountRates {
    pub(crate) fn new(shared: bool) -> Self {
        Self {
            windows: DashMap::new(),
            shared,
        }
    }

    /// Charges one call. A refused call is not counted (AUTH-17).
    pub(crate) fn charge(&self, id: ApiAccountId, account: &ApiAccount, now: Timestamp) -> Charge {
        let mut windows = self.windows.entry(id).or_default();
        if !within(windows.hour_start, HOUR, now) {
            windows.hour_start = if self.shared {
                Timestamp(now.0.div_euclid(HOUR) * HOUR)
            } else {
                now
            };
            windows.hour_used = 0;
            windows.hour_elsewhere = 0;
        }
        if !within(windows.second_start, SECOND, now) {
            windows.second_start = now;
            windows.second_used = 0;
        }
        let limit = u64::from(account.requests_per_hour);
        let used = windows.hour_used.saturating_add(windows.hour_elsewhere);
        let refused_for_s = if used >= limit {
            Some(seconds_left(windows.hour_start, HOUR, now))
        } else if windows.second_used >= u64::from(account.requests_per_second) {
            Some(seconds_left(windows.second_start, SECOND, now))
        } else {
            windows.hour_used += 1;
            windows.second_used += 1;
            None
        };
        let used = windows.hour_used.saturating_add(windows.hour_elsewhere);
        Charge {
            limit,
            remaining: limit.saturating_sub(used),
            refused_for_s,
        }
    }

    /// What this node has counted in the hours that are not over.
    fn counts(&self, now: Timestamp) -> Vec<(ApiAccountId, RateCount)> {
        self.windows
            .iter()
            .filter(|entry| within(entry.hour_start, HOUR, now))
            .map(|entry| {
                let count = RateCount {
                    account: entry.key().to_string(),
                    window_start: entry.hour_start.0,
                    used: entry.hour_used,
                };
                (*entry.key(), count)
            })
            .collect()
    }

    /// Takes note of what all nodes together have counted; `mine` is what this node had said then.
    fn hear(&self, id: ApiAccountId, mine: &RateCount, sum: u64) {
        if let Some(mut windows) = self.windows.get_mut(&id)
            && windows.hour_start.0 == mine.window_start
        {
            windows.hour_elsewhere = sum.saturating_sub(mine.used);
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

    fn account(second: u32, hour: u32) -> ApiAccount {
        ApiAccount {
            requests_per_second: second,
            requests_per_hour: hour,
            ..ApiAccount::default()
        }
    }

    /// AUTH-15, AUTH-16, AUTH-17
    #[test]
    fn twenty_calls_a_second_pass_and_the_rest_is_told_exactly() {
        let rates = AccountRates::new(false);
        let account = ApiAccount::default();
        for call in 1..=20 {
            let charge = rates.charge(ONE, &account, START);
            assert_eq!(charge.remaining, 15_000 - call);
            assert_eq!(charge.refused_for_s, None);
        }
        // after the start of the second: microseconds, refused for seconds, rest of the hour
        let cases = [
            (0, Some(1), 14_980),
            (SECOND - 1, Some(1), 14_980),
            (SECOND, None, 14_979),
        ];
        for (after, refused_for_s, remaining) in cases {
            let charge = rates.charge(ONE, &account, START.plus(after));
            assert_eq!(
                (charge.refused_for_s, charge.remaining),
                (refused_for_s, remaining)
            );
            assert_eq!(charge.limit, 15_000);
        }
    }

    /// AUTH-15, AUTH-16, AUTH-17
    #[test]
    fn the_hour_begins_with_the_first_call_and_is_whole_again_after() {
        let rates = AccountRates::new(false);
        let account = account(1_000, 3);
        for remaining in [2, 1, 0] {
            assert_eq!(rates.charge(ONE, &account, START).remaining, remaining);
        }
        // after the first call: microseconds, refused for seconds, rest
        let cases = [
            (0, Some(3_600), 0),
            (HOUR - SECOND / 2, Some(1), 0),
            (HOUR, None, 2),
        ];
        for (after, refused_for_s, remaining) in cases {
            let charge = rates.charge(ONE, &account, START.plus(after));
            assert_eq!(
                (charge.refused_for_s, charge.remaining),
                (refused_for_s, remaining)
            );
        }
    }

    /// AUTH-18
    #[test]
    fn two_accounts_have_separate_budgets() {
        let rates = AccountRates::new(false);
        let account = account(1, 10);
        assert_eq!(rates.charge(ONE, &account, START).refused_for_s, None);
        assert_eq!(rates.charge(ONE, &account, START).refused_for_s, Some(1));
        assert_eq!(rates.charge(TWO, &account, START).refused_for_s, None);
    }

    /// AUTH-15
    #[test]
    fn what_other_nodes_counted_in_the_same_hour_counts_too() {
        let rates = AccountRates::new(true);
        let account = account(1_000, 10);
        rates.charge(ONE, &account, START);
        let (id, mine) = rates.counts(START).remove(0);
        assert_eq!(mine.window_start % HOUR, 0);
        rates.hear(id, &mine, 1 + 8);
        assert_eq!(rates.charge(ONE, &account, START).remaining, 0);
        assert!(rates.charge(ONE, &account, START).refused_for_s.is_some());
        assert_eq!(rates.charge(ONE, &account, START.plus(HOUR)).remaining, 9);
    }

    #[test]
    fn a_clock_that_was_put_back_locks_nobody_out() {
        let rates = AccountRates::new(false);
        let account = account(1, 1);
        rates.charge(ONE, &account, START);
        assert_eq!(
            rates.charge(ONE, &account, START.plus(-HOUR)).refused_for_s,
            None
        );
    }
}
