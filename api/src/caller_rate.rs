//! Budgets of callers that have no account with one: source addresses, for calls without an account (AUTH-33), few enough to
//! slow a guesser, enough for a site behind one address; and users who signed in, so that no script of theirs takes the node
//! from the others. A call over the rate waits for its turn as those of accounts do ([`crate::pace`]). Memory is bounded.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::ids::UserId;
use governor::clock::Clock;
use governor::state::InMemoryState;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::pace::{self, Bucket, Held, Monotonic, Queues, RETRY_AFTER_S, Turn};
use crate::site::Limits;

type Keyed<K> =
    RateLimiter<K, DashMapStateStore<K>, Monotonic, governor::middleware::NoOpMiddleware<Duration>>;

/// The budgets of all callers of one kind that called lately.
pub struct CallerRates<K: Hash + Eq + Clone> {
    clock: Monotonic,
    per_second: NonZeroU32,
    keyed: Keyed<K>,
    /// For newcomers while the memory is full.
    crowd: Bucket,
    queues: Queues<K>,
    callers_max: usize,
    /// Second of the clock in which the memory was last looked through; from 1.
    swept_in_second: AtomicU64,
}

/// The budgets of source addresses: an IPv4 address has one, and the /64 that one IPv6 host may choose its addresses from.
pub type AddressRates = CallerRates<IpAddr>;
/// The budgets of users who signed in to the console.
pub type UserRates = CallerRates<UserId>;

impl AddressRates {
    pub(crate) fn of_addresses(limits: &Limits) -> Self {
        Self::new(
            limits.address_per_second,
            limits.address_burst,
            limits.callers_max,
        )
    }

    /// Charges one call from `address`, which may have to wait.
    ///
    /// # Errors
    /// The seconds until the next one may come: too many of it wait already.
    pub(crate) fn admit_address(
        &self,
        address: IpAddr,
    ) -> Result<Option<HeldCall<'_, IpAddr>>, u64> {
        self.admit(network(address))
    }

    /// Charges one call from `address` that is refused anyway and waits for nothing.
    ///
    /// # Errors
    /// The seconds until the next one may come.
    pub fn charge_address(&self, address: IpAddr) -> Result<(), u64> {
        match self.admit_address(address) {
            Ok(None) => Ok(()),
            // Its place is given up again.
            Ok(Some(_)) | Err(_) => Err(RETRY_AFTER_S),
        }
    }
}

impl UserRates {
    pub(crate) fn of_users(limits: &Limits) -> Self {
        Self::new(
            limits.user_per_second,
            limits.user_burst,
            limits.callers_max,
        )
    }
}

impl<K: Hash + Eq + Copy> CallerRates<K> {
    fn new(per_second: NonZeroU32, burst: NonZeroU32, callers_max: usize) -> Self {
        let clock = Monotonic::start();
        let quota = Quota::per_second(per_second).allow_burst(burst);
        Self {
            per_second,
            keyed: RateLimiter::new(quota, DashMapStateStore::default(), clock.clone()),
            crowd: RateLimiter::new(quota, InMemoryState::default(), clock.clone()),
            queues: Queues::new(),
            clock,
            callers_max,
            swept_in_second: AtomicU64::new(0),
        }
    }

    /// Charges one call of `caller`, which may have to wait.
    ///
    /// # Errors
    /// The seconds until the next one may come: too many of the caller's wait already.
    pub(crate) fn admit(&self, caller: K) -> Result<Option<HeldCall<'_, K>>, u64> {
        match self
            .queues
            .turn(caller, self.per_second, || self.take(&caller))
        {
            Turn::Now => Ok(None),
            Turn::Later(held) => Ok(Some(HeldCall {
                rates: self,
                caller,
                held,
            })),
            Turn::Never => Err(RETRY_AFTER_S),
        }
    }

    /// Takes a call out of the caller's bucket, or says how long until there is one.
    fn take(&self, caller: &K) -> Result<(), Duration> {
        if self.keyed.len() >= self.callers_max {
            self.sweep();
        }
        if self.keyed.len() >= self.callers_max {
            return pace::take(&self.crowd);
        }
        self.keyed
            .check_key(caller)
            .map_err(|not_until| pace::wait_time(&not_until, &self.clock))
    }

    /// Forgets callers whose budget is whole again. At most once a second: a storm must not pay for a look at everything
    /// with each of its calls.
    fn sweep(&self) {
        let second = self.clock.now().as_secs() + 1;
        if self.swept_in_second.swap(second, Ordering::Relaxed) != second {
            self.keyed.retain_recent();
        }
    }
}

/// A call that waits for its turn; dropped, it is given up.
pub(crate) struct HeldCall<'r, K: Hash + Eq + Copy> {
    rates: &'r CallerRates<K>,
    caller: K,
    held: Held<'r, K>,
}

impl<K: Hash + Eq + Copy> HeldCall<'_, K> {
    /// Waits until the call may run.
    pub(crate) async fn wait(self) {
        self.held.wait(|| self.rates.take(&self.caller)).await;
    }
}

/// Who has one budget: an IPv4 address, or the /64 that one IPv6 host may choose its addresses from.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn rates(callers_max: usize) -> AddressRates {
        AddressRates::of_addresses(&Limits {
            address_per_second: NonZeroU32::MIN,
            address_burst: NonZeroU32::MIN.saturating_add(1),
            callers_max,
            ..Limits::default()
        })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// AUTH-33
    #[tokio::test(start_paused = true)]
    async fn each_address_has_its_own_budget_and_gets_it_back() {
        let rates = rates(100);
        let one = ip("192.0.2.1");
        assert_eq!(
            [rates.charge_address(one), rates.charge_address(one)],
            [Ok(()), Ok(())]
        );
        assert_eq!(rates.charge_address(one), Err(1));
        assert_eq!(rates.charge_address(ip("192.0.2.2")), Ok(()));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(rates.charge_address(one), Ok(()));
        assert_eq!(rates.charge_address(one), Err(1));
    }

    /// AUTH-33: a call over the rate has its turn within two seconds; no refused one overtakes it.
    #[tokio::test(start_paused = true)]
    async fn calls_over_the_rate_of_an_address_wait_for_their_turn() {
        let rates = rates(100);
        let one = ip("192.0.2.1");
        let admit = || rates.admit_address(one);
        assert!(matches!([admit(), admit()], [Ok(None), Ok(None)]));
        let held: Vec<_> = [admit(), admit()]
            .into_iter()
            .map(|held| held.unwrap().expect("it is held"))
            .collect();
        assert_eq!(admit().err(), Some(1), "two seconds' worth waits");
        let start = tokio::time::Instant::now();
        for (call, second) in held.into_iter().zip(1..) {
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert_eq!(rates.charge_address(one), Err(1));
            call.wait().await;
            assert_eq!(start.elapsed().as_secs(), second);
        }
    }

    /// AUTH-33, threat M
    #[tokio::test(start_paused = true)]
    async fn threat_m_addresses_of_one_host_share_and_memory_is_bounded() {
        let rates = rates(10);
        for host in 0..5 {
            let outcome = rates.charge_address(ip(&format!("2001:db8::{host}")));
            assert_eq!(outcome.is_ok(), host < 2, "{host}");
        }
        let mut passed = 0;
        for host in 0..1_000 {
            passed += usize::from(
                rates
                    .charge_address(ip(&format!("10.0.{}.{}", host / 250, host % 250)))
                    .is_ok(),
            );
        }
        assert!(rates.keyed.len() <= 10);
        // Nine newcomers with a budget of their own, then two calls of the crowd.
        assert_eq!(passed, 9 + 2);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(rates.charge_address(ip("10.9.9.9")), Ok(()));
        assert!(rates.keyed.len() <= 10);
    }
}
