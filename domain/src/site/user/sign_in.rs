//! Signing in, and how failures are held against whoever made them: by user and source, so that nobody is locked out from
//! elsewhere.
//!
//! States of a source: free → locked for a while, which doubles with each further failure → free, with the count kept. A good
//! sign-in from the source, a new password, or `failed_logins` set to 0 begins the count anew; so does a day without failures.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Event, User};
use crate::ids::{SecretRef, UserId};
use crate::time::{DAY, SECOND};
use crate::{Actor, Context, Decision, Refusal, Timestamp, World, happened};

/// Failures in a row that lock nothing.
pub const FREE_FAILURES: u32 = 4;
/// The first lock. Unit: microseconds.
pub const LOCK_MIN: i64 = 5 * SECOND;
/// The longest lock. Unit: microseconds.
pub const LOCK_MAX: i64 = 900 * SECOND;
/// Sources whose failures are told apart for one user; beyond, the one that failed longest ago is forgotten.
pub const FAILING_SOURCES_MAX: usize = 256;
/// Networks that are remembered as a user's own; beyond, the one longest unseen is forgotten.
pub const KNOWN_NETWORKS_MAX: usize = 16;
/// How long a network counts as one that a user signs in from. Unit: microseconds.
pub const NETWORK_KNOWN_FOR: i64 = 90 * DAY;

/// Where a sign-in comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The network of the caller, see [`network_of`]; empty where no address is known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub network: String,
    /// The browser, where it proved that this user signed in with it before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

impl Origin {
    /// An origin that is known by its address alone.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self {
            network: network_of(address),
            device: None,
        }
    }

    /// What failures are counted by: the browser where it is known, else the network.
    #[must_use]
    pub fn source(&self) -> String {
        match &self.device {
            Some(device) => format!("device {device}"),
            None => self.network.clone(),
        }
    }
}

/// The network that strangers at `address` are counted by: the /24 of an IPv4 address, the /48 of an IPv6 address.
#[must_use]
pub fn network_of(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(address) => {
            let prefix = address.to_bits() >> 80 << 80;
            format!("{}/48", std::net::Ipv6Addr::from_bits(prefix))
        }
    }
}

/// Failed sign-ins in a row of one user from one source.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize,
)]
pub struct Failures {
    /// How many.
    pub in_a_row: u32,
    /// When the last of them was, by the wall clock.
    pub last_at: Timestamp,
}

impl Failures {
    /// These and one more at `now`.
    #[must_use]
    pub fn and_another(&self, now: Timestamp) -> Self {
        let before = if self.counts_at(now) {
            self.in_a_row
        } else {
            0
        };
        Self {
            in_a_row: before.saturating_add(1),
            last_at: now,
        }
    }

    /// Until when nothing is heard from the source, if that is after `now`.
    #[must_use]
    pub fn locked_until(&self, now: Timestamp) -> Option<Timestamp> {
        let doublings = self.in_a_row.checked_sub(FREE_FAILURES + 1)?;
        let lock = LOCK_MIN
            .checked_shl(doublings)
            .filter(|lock| doublings < 16 && *lock < LOCK_MAX)
            .unwrap_or(LOCK_MAX);
        let until = self.last_at.plus(lock);
        (self.counts_at(now) && now < until).then_some(until)
    }

    /// Whether they still count. A failure that lies ahead was recorded by a clock that was wrong.
    fn counts_at(&self, now: Timestamp) -> bool {
        (0..DAY).contains(&now.since(self.last_at))
    }
}

/// What is known of a user's sign-ins.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize,
)]
pub struct SignIns {
    /// Failures in a row, by source.
    pub failures: BTreeMap<String, Failures>,
    /// The networks the user signed in from, with the last time.
    pub networks: BTreeMap<String, Timestamp>,
    /// How often all sign-ins were ended at once because the user was disabled.
    pub generation: u32,
}

impl SignIns {
    fn failed(&mut self, source: &str, failures: Failures) {
        self.failures.insert(source.to_owned(), failures);
        if self.failures.len() > FAILING_SOURCES_MAX {
            forget_oldest(&mut self.failures, |failures| failures.last_at);
        }
    }

    fn signed_in(&mut self, origin: &Origin, at: Timestamp) {
        self.failures.remove(&origin.source());
        if origin.network.is_empty() {
            return;
        }
        self.networks.insert(origin.network.clone(), at);
        if self.networks.len() > KNOWN_NETWORKS_MAX {
            forget_oldest(&mut self.networks, |at| *at);
        }
    }

    fn failed_in_all(&self) -> u32 {
        self.failures.values().fold(0, |sum: u32, failures| {
            sum.saturating_add(failures.in_a_row)
        })
    }
}

fn forget_oldest<V>(map: &mut BTreeMap<String, V>, at: impl Fn(&V) -> Timestamp) {
    let oldest = map
        .iter()
        .min_by_key(|(_, value)| at(value))
        .map(|(key, _)| key.clone());
    if let Some(oldest) = oldest {
        map.remove(&oldest);
    }
}

/// A user signed in to the console.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SignedIn {
    /// From where.
    #[serde(flatten)]
    pub origin: Origin,
}

/// A password was shown that is not the user's. Expected rate: see [`FREE_FAILURES`] and [`LOCK_MIN`]; about ten in the first
/// minute of guessing from one source and a hundred a day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignInFailed {
    /// From where.
    #[serde(flatten)]
    pub origin: Origin,
    /// Failures in a row from there, this one included.
    pub in_a_row: u32,
    /// When, by the wall clock.
    pub at: Timestamp,
}

/// The password is another one since.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PasswordChanged {
    /// The sealed hash of the password since.
    pub password: SecretRef,
    /// Whether it must be changed at the next sign-in: it was set by somebody else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reset_next_login: bool,
}

/// A user shows a password; whoever hashed it says whether it was right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    /// Who signs in.
    pub user: UserId,
    /// Whether the password was right.
    pub password_matches: bool,
    /// The password that it was compared with, where that is known: one that was replaced meanwhile lets nobody in.
    pub compared_with: Option<SecretRef>,
    /// From where.
    pub origin: Origin,
    /// The sealed hash of the password that takes its place, where the user changes it with this sign-in.
    pub new_password: Option<SecretRef>,
}

impl SignIn {
    /// A sign-in that changes no password.
    #[must_use]
    pub const fn new(user: UserId, password_matches: bool, origin: Origin) -> Self {
        Self {
            user,
            password_matches,
            compared_with: None,
            origin,
            new_password: None,
        }
    }
}

impl World {
    /// How long `user` can't sign in from `source`, in whole seconds; none where nothing is locked.
    #[must_use]
    pub fn sign_in_locked_for(&self, user: UserId, source: &str, now: Timestamp) -> Option<u64> {
        let failures = self.sign_ins.get(&user)?.failures.get(source)?;
        locked_seconds(failures, now)
    }

    /// Whether `user` has signed in from `network` lately.
    #[must_use]
    pub fn signs_in_from(&self, user: UserId, network: &str, now: Timestamp) -> bool {
        let seen = self
            .sign_ins
            .get(&user)
            .and_then(|known| known.networks.get(network));
        seen.is_some_and(|at| now.since(*at) < NETWORK_KNOWN_FOR)
    }

    /// The generation of a user's sign-ins: those of an earlier one have ended.
    #[must_use]
    pub fn sign_in_generation(&self, user: UserId) -> u32 {
        self.sign_ins.get(&user).map_or(0, |known| known.generation)
    }

    fn change_sign_ins(&mut self, user: UserId, change: impl FnOnce(&mut SignIns)) {
        let mut known = self.sign_ins.get(&user).cloned().unwrap_or_default();
        change(&mut known);
        self.sign_ins.insert(user, known);
    }
}

/// How long `failures` lock their source, in whole seconds.
#[must_use]
pub fn locked_seconds(failures: &Failures, now: Timestamp) -> Option<u64> {
    let micros = failures.locked_until(now)?.since(now);
    u64::try_from((micros + SECOND - 1) / SECOND).ok()
}

/// A wrong password is an event and no refusal, because the next decision asks for it; the caller is told that it was wrong.
pub(super) fn decide(world: &World, sign_in: &SignIn, context: &Context) -> Decision {
    let source = sign_in.origin.source();
    let id = sign_in.user;
    // Also where the password was right: else a guesser would learn it in spite of the lock.
    if let Some(seconds) = world.sign_in_locked_for(id, &source, context.now) {
        return Err(Refusal::SignInLocked { seconds });
    }
    let user = world.users.get(&id).ok_or(Refusal::SignInFailed)?;
    if !sign_in.password_matches || user.password.is_none() {
        let before = world
            .sign_ins
            .get(&id)
            .and_then(|known| known.failures.get(&source))
            .cloned()
            .unwrap_or_default();
        let failures = before.and_another(context.now);
        return happened(crate::Event::User(
            id,
            Event::SignInFailed(SignInFailed {
                origin: sign_in.origin.clone(),
                in_a_row: failures.in_a_row,
                at: failures.last_at,
            }),
        ));
    }
    if sign_in.compared_with.is_some() && sign_in.compared_with != user.password {
        return Err(Refusal::SignInFailed);
    }
    if !user.enabled {
        return Err(Refusal::UserDisabled);
    }
    let changed = sign_in.new_password.as_ref().map(|password| {
        Event::PasswordChanged(PasswordChanged {
            password: password.clone(),
            reset_next_login: false,
        })
    });
    if changed.is_none() && must_change_password(user, context.now) {
        return Err(Refusal::PasswordChangeRequired);
    }
    let signed_in = Event::SignedIn(SignedIn {
        origin: sign_in.origin.clone(),
    });
    Ok(changed
        .into_iter()
        .chain([signed_in])
        .map(|event| crate::Event::User(id, event))
        .collect())
}

/// Whether the user may do nothing but change the password.
#[must_use]
pub fn must_change_password(user: &User, now: Timestamp) -> bool {
    user.password_reset_next_login || user.password_expiration.is_some_and(|at| at <= now)
}

/// Administrators set the password of anybody else, and users who may set passwords that of those who administer nothing;
/// API accounts nobody's (threat D).
pub(super) fn decide_set_password(
    world: &World,
    id: UserId,
    password: &SecretRef,
    reset_next_login: bool,
    context: &Context,
) -> Decision {
    let Actor::User(actor) = *context.actor() else {
        return Err(Refusal::AdministratorNeeded);
    };
    let may_set = world
        .users
        .get(&actor)
        .is_some_and(|actor| actor.perm_set_passwords);
    if !world.is_administrator(actor) && !may_set {
        return Err(Refusal::AdministratorNeeded);
    }
    let user = world.users.get(&id).ok_or(Refusal::not_found("User"))?;
    if actor == id {
        return Err(Refusal::OwnPassword);
    }
    if user.perm_admin && !world.is_administrator(actor) {
        return Err(Refusal::AdministratorNeeded);
    }
    happened(crate::Event::User(
        id,
        Event::PasswordChanged(PasswordChanged {
            password: password.clone(),
            reset_next_login,
        }),
    ))
}

pub(super) fn apply_signed_in(world: &mut World, id: UserId, event: &SignedIn, at: Timestamp) {
    if !world.users.contains(&id) {
        return;
    }
    world.change_sign_ins(id, |known| known.signed_in(&event.origin, at));
    let failed = world.sign_ins.get(&id).map_or(0, SignIns::failed_in_all);
    if let Some(user) = world.users.get_mut(&id) {
        user.last_authentication = Some(at);
        user.failed_logins = failed;
    }
}

pub(super) fn apply_failed(world: &mut World, id: UserId, event: &SignInFailed) {
    let Some(user) = world.users.get_mut(&id) else {
        return;
    };
    user.failed_logins = user.failed_logins.saturating_add(1);
    let failures = Failures {
        in_a_row: event.in_a_row,
        last_at: event.at,
    };
    world.change_sign_ins(id, |known| known.failed(&event.origin.source(), failures));
}

pub(super) fn apply_password(world: &mut World, id: UserId, event: &PasswordChanged) {
    if let Some(user) = world.users.get_mut(&id) {
        user.password = Some(event.password.clone());
        user.password_reset_next_login = event.reset_next_login;
        // What was asked for by then is done.
        user.password_expiration = None;
        user.failed_logins = 0;
        forget_failures(world, id);
    }
}

/// Lets every source try again.
pub(super) fn forget_failures(world: &mut World, id: UserId) {
    if world.sign_ins.contains(&id) {
        world.change_sign_ins(id, |known| known.failures.clear());
    }
}

/// Ends every sign-in of the user for good.
pub(super) fn end_all(world: &mut World, id: UserId) {
    world.change_sign_ins(id, |known| {
        known.generation = known.generation.saturating_add(1);
    });
}
