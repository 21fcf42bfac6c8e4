//! Refusals before identity is proven and refusals by rate: counted, and written to the log once a minute by caller and route
//! (architecture.md, "Refusals"), so that neither a stranger nor a broken script can fill the disk through the audit.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use domain::site::user::sign_in::network_of;
use domain::time::MINUTE;
use domain::{Actor, Cause, Command, Timestamp, audit};
use engine::{Clock, Lane, Submission};
use tokio::sync::watch;

use crate::site::Site;

/// The caller's name for those beyond the bound.
const OTHERS: &str = "others";

#[derive(Clone, Debug, PartialEq, Eq)]
struct Tally {
    count: u64,
    first_at: Timestamp,
    last_at: Timestamp,
    sample: String,
}

/// What was refused since the last minute was written.
pub struct Attempts {
    clock: Arc<dyn Clock>,
    tallies: DashMap<(String, String), Tally>,
    tallies_max: usize,
}

impl Attempts {
    /// Nothing counted yet; at most `tallies_max` callers and routes are told apart.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, tallies_max: usize) -> Self {
        Self {
            clock,
            tallies: DashMap::new(),
            tallies_max,
        }
    }

    /// Counts one refusal of a stranger.
    pub fn count_stranger(&self, address: IpAddr, route: &str, message: &str) {
        self.count(&network_of(address), route, message);
    }

    /// Counts one refusal. `caller` is an account's stream or a network, `route` one of the router's own patterns.
    pub fn count(&self, caller: &str, route: &str, message: &str) {
        let now = self.clock.now();
        let full = self.tallies.len() >= self.tallies_max;
        let key = (caller.to_owned(), route.to_owned());
        let key = if full && !self.tallies.contains_key(&key) {
            (OTHERS.to_owned(), route.to_owned())
        } else {
            key
        };
        match self.tallies.entry(key) {
            Entry::Occupied(mut entry) => {
                let tally = entry.get_mut();
                tally.count += 1;
                tally.last_at = tally.last_at.max(now);
            }
            Entry::Vacant(entry) => {
                entry.insert(Tally {
                    count: 1,
                    first_at: now,
                    last_at: now,
                    sample: message.chars().take(255).collect(),
                });
            }
        }
    }

    fn take(&self) -> Vec<audit::AttemptsRefused> {
        let keys: Vec<(String, String)> = self
            .tallies
            .iter()
            .map(|entry| entry.key().clone())
            .collect();
        keys.iter()
            .filter_map(|key| self.tallies.remove(key))
            .map(|((caller, route), tally)| audit::AttemptsRefused {
                caller,
                route,
                count: tally.count,
                first_at: tally.first_at,
                last_at: tally.last_at,
                sample: tally.sample,
                network: None,
                subject: None,
            })
            .collect()
    }

    /// Puts back what could not be written.
    fn put_back(&self, refused: audit::AttemptsRefused) {
        let key = (refused.caller, refused.route);
        if self.tallies.len() >= self.tallies_max && !self.tallies.contains_key(&key) {
            tracing::warn!(
                count = refused.count,
                "refused attempts were lost: too many, and the log is away"
            );
            return;
        }
        let mut tally = self.tallies.entry(key).or_insert_with(|| Tally {
            count: 0,
            first_at: refused.first_at,
            last_at: refused.last_at,
            sample: refused.sample,
        });
        tally.count += refused.count;
        tally.first_at = tally.first_at.min(refused.first_at);
        tally.last_at = tally.last_at.max(refused.last_at);
    }
}

/// How long a minute of the clock takes at most.
const MINUTE_MAX: Duration = Duration::from_secs(90);

impl Site {
    /// Writes once a minute what was refused since. Ends when `stop` turns true, after a last writing.
    pub async fn run_attempt_recording(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow_and_update() {
            let clock = self.engine.clock();
            let minute = clock.sleep_until(clock.now().plus(MINUTE));
            tokio::select! {
                () = minute => {}
                // Where the clock is put back meanwhile, its minute is far away.
                () = tokio::time::sleep(MINUTE_MAX) => {}
                changed = stop.changed() => if changed.is_err() { break },
            }
            self.record_attempts().await;
        }
        self.record_attempts().await;
    }

    /// Writes what was refused since the last time: what was counted here, and the refusals that repeat others.
    pub async fn record_attempts(&self) {
        for refused in self.attempts.take() {
            if !self.record_attempt(&refused).await {
                self.attempts.put_back(refused);
            }
        }
        for refused in self.engine.take_repeated_refusals() {
            if !self.record_attempt(&refused).await {
                self.engine.put_back_repeated_refusals(refused);
            }
        }
    }

    /// Whether it is in the log.
    async fn record_attempt(&self, refused: &audit::AttemptsRefused) -> bool {
        let command = Command::Audit(audit::Command::RecordAttempts(refused.clone()));
        let cause = Cause::program(Actor::System);
        let recorded = self
            .engine
            .execute(Submission::new(command, cause, Lane::Bulk))
            .await;
        if let Err(error) = &recorded {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "refused attempts were not recorded yet"
            );
        }
        recorded.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use futures_util::future::BoxFuture;

    use super::*;

    /// Each look at it is a second later, from second 1.
    #[derive(Default)]
    struct Ticking(AtomicI64);

    impl Clock for Ticking {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix_seconds(self.0.fetch_add(1, Ordering::SeqCst) + 1)
        }

        fn sleep_until(&self, _at: Timestamp) -> BoxFuture<'static, ()> {
            Box::pin(std::future::pending())
        }
    }

    fn attempts(max: usize) -> Attempts {
        Attempts::new(Arc::new(Ticking::default()), max)
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(seconds)
    }

    #[test]
    fn refusals_are_counted_by_caller_and_route_and_taken_once() {
        let attempts = attempts(10);
        // address, words
        for (address, message) in [
            ("192.0.2.1", "no"),
            ("2001:db8:1:2::3", "no"),
            ("192.0.2.77", "never"),
        ] {
            attempts.count_stranger(address.parse().unwrap(), "/oauth2/token", message);
        }
        let mut taken = attempts.take();
        taken.sort_by(|a, b| a.caller.cmp(&b.caller));
        assert_eq!(taken.len(), 2);
        assert_eq!(taken[0].caller, "192.0.2.0/24");
        assert_eq!(
            (taken[0].count, taken[0].first_at, taken[0].last_at),
            (2, at(1), at(3))
        );
        assert_eq!(taken[0].sample, "no");
        assert_eq!(taken[1].caller, "2001:db8:1::/48");
        assert_eq!(attempts.take(), []);
    }

    /// threat M
    #[test]
    fn threat_m_beyond_the_bound_callers_are_counted_together() {
        let attempts = attempts(2);
        for caller in 0..100 {
            attempts.count(&format!("c{caller}"), "/r", "no");
        }
        let taken = attempts.take();
        assert!(taken.len() <= 3);
        assert_eq!(taken.iter().map(|refused| refused.count).sum::<u64>(), 100);
    }

    #[test]
    fn what_could_not_be_written_is_counted_on() {
        let attempts = attempts(2);
        attempts.count("c", "/r", "no");
        let taken = attempts.take().remove(0);
        attempts.count("c", "/r", "no");
        attempts.put_back(taken);
        let again = attempts.take().remove(0);
        assert_eq!(
            (again.count, again.first_at, again.last_at),
            (2, at(1), at(2))
        );
    }
}
