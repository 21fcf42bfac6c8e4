//! What a sign-in meets before its password is looked at: how many failures a network may have, names that nobody has, and
//! the cookie by which a browser is known again (threat M).
//!
//! The locks of users are the domain's and hold on every node ([`domain::site::user::sign_in`]). Here is what needs no log:
//! a bound on failures of one network over all users, so that nobody tries one password with a thousand names; and locks of
//! names that don't exist, on the same schedule, so that a lock tells nothing of who exists. Memory is bounded.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::HeaderMap;
use domain::ids::UserId;
use domain::site::user::sign_in::{self, Failures};
use domain::time::{DAY, SECOND};
use domain::{Fresh, Timestamp};
use secrets::Sealer;

use crate::console::badge::cookie;
use crate::credential::random_bytes;

/// The cookie of a browser that somebody signed in with.
pub const DEVICE_COOKIE_NAME: &str = "__Host-gatebook-device";
/// How long it lasts. Unit: microseconds.
const DEVICE_KNOWN_FOR: i64 = 180 * DAY;
const DEVICE_PURPOSE: &str = "console-device";
/// Places in [`Fresh`] that it is made of, away from those of badges and decisions.
const FRESH: [usize; 2] = [58, 59];

/// Networks, and names that nobody has, that are told apart; beyond, newcomers share one budget.
const REMEMBERED_MAX: usize = 10_000;

/// Whom a network's failures are counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Familiarity {
    /// The user has not signed in from there.
    Stranger,
    /// The user has.
    Known,
}

impl Familiarity {
    /// Failures at once, and the time after which one more may follow. Unit: microseconds.
    const fn budget(self) -> (i64, i64) {
        match self {
            Self::Stranger => (12, 10 * SECOND),
            Self::Known => (64, 2 * SECOND),
        }
    }
}

type Budget = (Familiarity, String);

/// The failures of one node.
#[derive(Debug, Default)]
pub struct SignInLimits(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// When each budget is whole again.
    whole_at: BTreeMap<Budget, Timestamp>,
    /// Failures of names that nobody has, by name and source.
    unknown: BTreeMap<(String, String), Failures>,
}

impl SignInLimits {
    /// Takes one failure out of the budget of `network`; it comes back unless the sign-in fails.
    ///
    /// # Errors
    /// The seconds until the next one may be tried.
    pub fn reserve(
        &self,
        familiarity: Familiarity,
        network: &str,
        now: Timestamp,
    ) -> Result<Reservation<'_>, u64> {
        let (burst, interval) = familiarity.budget();
        let mut inner = self.inner();
        let mut budget = (familiarity, network.to_owned());
        if inner.whole_at.len() >= REMEMBERED_MAX && !inner.whole_at.contains_key(&budget) {
            inner.whole_at.retain(|_, whole_at| now < *whole_at);
            if inner.whole_at.len() >= REMEMBERED_MAX {
                "others".clone_into(&mut budget.1);
            }
        }
        let known = inner.whole_at.get(&budget).copied().unwrap_or(now);
        // What lies further ahead than a whole budget was counted by a clock that was wrong.
        let counts = (0..=burst * interval).contains(&known.since(now));
        let whole_at = if counts { known } else { now }.plus(interval);
        let over = whole_at.since(now) - burst * interval;
        if over > 0 {
            return Err(u64::try_from((over + SECOND - 1) / SECOND).unwrap_or(1));
        }
        inner.whole_at.insert(budget.clone(), whole_at);
        drop(inner);
        Ok(Reservation {
            limits: self,
            budget: Some(budget),
        })
    }

    /// How long the name that nobody has is locked for `source`, in whole seconds.
    pub fn unknown_locked_for(&self, username: &str, source: &str, now: Timestamp) -> Option<u64> {
        let key = (username.to_lowercase(), source.to_owned());
        let inner = self.inner();
        sign_in::locked_seconds(inner.unknown.get(&key)?, now)
    }

    /// Counts a failure of a name that nobody has.
    pub fn unknown_failed(&self, username: &str, source: &str, now: Timestamp) {
        let key = (username.to_lowercase(), source.to_owned());
        let mut inner = self.inner();
        if inner.unknown.len() >= REMEMBERED_MAX && !inner.unknown.contains_key(&key) {
            inner
                .unknown
                .retain(|_, failures| failures.locked_until(now).is_some());
        }
        if inner.unknown.len() < REMEMBERED_MAX {
            let failures = inner.unknown.get(&key).cloned().unwrap_or_default();
            inner.unknown.insert(key, failures.and_another(now));
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A failure that is taken out of a budget until it is known whether there was one.
#[derive(Debug)]
pub struct Reservation<'l> {
    limits: &'l SignInLimits,
    budget: Option<Budget>,
}

impl Reservation<'_> {
    /// The sign-in has failed.
    pub fn spend(mut self) {
        self.budget = None;
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let Some(budget) = self.budget.take() else {
            return;
        };
        let (_, interval) = budget.0.budget();
        if let Some(whole_at) = self.limits.inner().whole_at.get_mut(&budget) {
            *whole_at = whole_at.plus(-interval);
        }
    }
}

/// The header that makes a browser known as one that `user` signed in with.
#[must_use]
pub fn device_cookie(user: UserId, sealer: &Sealer, fresh: &Fresh, now: Timestamp) -> String {
    let issued_at = now.unix_seconds();
    let whose = format!("{user}.{issued_at}");
    let text = sealer.tagged_text(DEVICE_PURPOSE, &whose, random_bytes(fresh, FRESH));
    format!(
        "{DEVICE_COOKIE_NAME}={whose}.{}; Path=/; Max-Age={}; Secure; HttpOnly; SameSite=Strict",
        text.expose(),
        DEVICE_KNOWN_FOR / SECOND
    )
}

/// Names the browser, where it proves by its cookie that `user` signed in with it before.
#[must_use]
pub fn device_of(
    headers: &HeaderMap,
    user: UserId,
    sealer: &Sealer,
    now: Timestamp,
) -> Option<String> {
    let (whose, text) = cookie(headers, DEVICE_COOKIE_NAME)?.rsplit_once('.')?;
    let (of, issued_at) = whose.split_once('.')?;
    let issued_at = Timestamp::from_unix_seconds(issued_at.parse::<u32>().ok()?.into());
    let is_good = of == user.to_string()
        && now.since(issued_at) < DEVICE_KNOWN_FOR
        && sealer.is_tagged_text(DEVICE_PURPOSE, whose, text);
    is_good.then(|| hex::encode(&sealer.keyed_hash(DEVICE_PURPOSE, text.as_bytes())[..8]))
}

#[cfg(test)]
mod tests {
    use domain::site::user::sign_in::FREE_FAILURES;

    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000_000);

    /// threat M
    #[test]
    fn threat_m_a_network_has_so_many_failures_and_those_who_get_in_cost_nothing() {
        let limits = SignInLimits::default();
        for familiarity in [Familiarity::Stranger, Familiarity::Known] {
            let (burst, interval) = familiarity.budget();
            for _ in 0..1_000 {
                drop(limits.reserve(familiarity, "a", NOW).unwrap());
            }
            for _ in 0..burst {
                limits.reserve(familiarity, "a", NOW).unwrap().spend();
            }
            let wait = limits.reserve(familiarity, "a", NOW).unwrap_err();
            assert_eq!(i64::try_from(wait).unwrap() * SECOND, interval);
            assert!(limits.reserve(familiarity, "b", NOW).is_ok());
            let later = NOW.plus(interval);
            limits.reserve(familiarity, "a", later).unwrap().spend();
            assert!(limits.reserve(familiarity, "a", later).is_err());
            let much_later = NOW.plus(DAY);
            limits
                .reserve(familiarity, "a", much_later)
                .unwrap()
                .spend();
            // A clock that was put back locks nobody out.
            assert!(limits.reserve(familiarity, "a", NOW).is_ok());
        }
    }

    /// threat M
    #[test]
    fn threat_m_the_memory_of_networks_and_names_is_bounded() {
        let limits = SignInLimits::default();
        for number in 0..2 * REMEMBERED_MAX {
            let name = number.to_string();
            if let Ok(reserved) = limits.reserve(Familiarity::Stranger, &name, NOW) {
                reserved.spend();
            }
            limits.unknown_failed(&name, "a", NOW);
        }
        assert!(limits.inner().whole_at.len() <= REMEMBERED_MAX + 1);
        assert!(limits.inner().unknown.len() <= REMEMBERED_MAX);
    }

    /// threat M
    #[test]
    fn threat_m_a_name_that_nobody_has_is_locked_like_one_that_somebody_has() {
        let limits = SignInLimits::default();
        for failures in 0..=FREE_FAILURES {
            assert_eq!(
                limits.unknown_locked_for("Nobody", "a", NOW),
                None,
                "{failures}"
            );
            limits.unknown_failed("nobody", "a", NOW);
        }
        assert_eq!(limits.unknown_locked_for("Nobody", "a", NOW), Some(5));
        assert_eq!(limits.unknown_locked_for("nobody", "b", NOW), None);
    }

    #[test]
    fn a_browser_is_known_to_the_user_it_was_given_to_and_for_its_time() {
        let keys = tempfile::tempdir().unwrap();
        secrets::KeyFile::create(keys.path().join("key")).unwrap();
        let sealer = Sealer::load(keys.path().join("key")).unwrap();
        let fresh = Fresh(std::array::from_fn(|index| u128::MAX / 7 + index as u128));
        let set = device_cookie(UserId(2), &sealer, &fresh, NOW);
        let pair = set.split(';').next().unwrap();
        let known = |pair: &str, user: u32, at: Timestamp| {
            let mut headers = HeaderMap::new();
            headers.insert("cookie", pair.parse().unwrap());
            device_of(&headers, UserId(user), &sealer, at)
        };
        assert_eq!(known(pair, 2, NOW).map(|name| name.len()), Some(16));
        assert_eq!(known(pair, 3, NOW), None);
        assert_eq!(known(pair, 2, NOW.plus(DEVICE_KNOWN_FOR)), None);
        assert_eq!(known(&pair.replace("=2.", "=3."), 3, NOW), None);
        assert_eq!(known(&format!("{DEVICE_COOKIE_NAME}=2"), 2, NOW), None);
    }
}
