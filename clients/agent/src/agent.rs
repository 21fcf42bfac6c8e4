//! Connection after connection, until told to stop: section 8 of `docs/client-link.md`.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use link_protocol::{Identity, KeyInfo, Overrides, Refused, RefusedCode, Register, Resume};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::absence::Absence;
use crate::calls::{self, Calls};
use crate::dial::{Dial, DialError, Dialed};
use crate::endpoint::{Endpoint, EndpointError};
use crate::failures::{Failures, chain};
use crate::link::{Ended, Link, Ran, Visit, told_to_stop};
use crate::machine::Machine;
use crate::pauses::Pauses;
use crate::sessions::Sessions;
use crate::store::{Attempt, State, Store, StoreError, Trusted};
use crate::wall_clock::WallClock;

/// How long TCP, TLS and the upgrade may take together.
pub const DIALED_WITHIN: Duration = Duration::from_secs(30);

/// How long reading the machine may keep a client away from its site.
pub const FACTS_WITHIN: Duration = Duration::from_secs(5);

/// How long a link must have been online for the pauses to begin anew.
pub const LASTING: Duration = Duration::from_secs(60);

/// With what an agent is started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The installer's key; needed until there is an identity.
    pub key: Option<KeyInfo>,
    /// Addresses to use instead of those of the key.
    pub servers: Vec<Endpoint>,
    /// What this installation sets itself when it registers.
    pub overrides: Overrides,
}

/// Why an agent stopped in good order.
#[derive(Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It was told to.
    Told,
    /// The server refused it for good; a person has to do something. With `client_removed` the client is not wanted any
    /// more, and may be removed from the machine (CLNT-60).
    Refused(Refused),
    /// It has not reached its site for as long as it was told last, or comes back after as long and its site has deleted it
    /// for that; it is to be removed from the machine (CLNT-14, CLNT-19).
    Expired {
        /// When the site was last there. Unit: seconds since 1970 UTC.
        seen_at: i64,
        /// How long it might be away. Unit: minutes.
        minutes: u32,
    },
    /// It got no identity in the time it was given, and its site is not there; it is to be removed from the machine (INST-05).
    NotInTime,
}

/// Why an agent can't run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// There is neither an identity nor a key.
    #[error("this machine has no identity yet: start with an installer's key (--key KEY_INFO)")]
    NoKey,
    /// An address of the key or the state can't be used.
    #[error("the server address {url} is not usable")]
    Endpoint {
        /// The address.
        url: String,
        /// Why.
        source: EndpointError,
    },
    /// None of the addresses on disk can be used.
    #[error("no usable address of the server is known")]
    NoAddress,
    /// The state can't be kept.
    #[error("the state can't be kept")]
    Store(#[from] StoreError),
    /// The system's random source gave nothing.
    #[error("the system's random source failed")]
    NoRandomness,
}

/// An agent: one machine on one site.
pub struct Agent<D> {
    dial: D,
    store: Store,
    machine: Machine,
    key: Option<KeyInfo>,
    overrides: Overrides,
    /// Addresses to use whatever the site says.
    servers: Vec<Endpoint>,
    sessions: Sessions,
    boot_id: String,
    clock: WallClock,
    absence: Absence,
    calls: Calls,
    listen: SocketAddr,
    /// When to check in next, whatever connections come and go until then.
    check_in_due: Option<Instant>,
    /// Somebody called, and the client was not with its site since.
    called: bool,
    give_up_at: Option<i64>,
}

impl<D: Dial> Agent<D> {
    /// Gets an agent ready; what a registration needs is on disk afterwards.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn new(
        dial: D,
        mut store: Store,
        machine: Machine,
        options: Options,
    ) -> Result<Self, AgentError> {
        let Options {
            key,
            servers,
            overrides,
        } = options;
        let state = prepared(store.state(), key.as_ref())?;
        if servers.is_empty() {
            has_usable_address(&state.urls)?;
        }
        store.change(state).await?;
        let (sessions, boot_id) = (Sessions::default(), nonce()?);
        Ok(Self {
            dial,
            store,
            machine,
            key,
            overrides,
            servers,
            sessions,
            boot_id,
            clock: WallClock::default(),
            absence: Absence::default(),
            calls: Calls::default(),
            listen: SocketAddr::from((Ipv6Addr::UNSPECIFIED, calls::PORT)),
            check_in_due: None,
            called: false,
            give_up_at: None,
        })
    }

    /// The same agent, that gives up where it has no identity by then and the site is not there; a site that is there says itself
    /// whether it still takes it. Unit: seconds since 1970 UTC.
    #[must_use]
    pub fn giving_up_at(mut self, give_up_at: i64) -> Self {
        self.give_up_at = Some(give_up_at);
        self
    }

    /// The same agent, that waits to be called at `listen` where it is passive; port 0 is any that is free.
    #[must_use]
    pub fn listening_on(mut self, listen: SocketAddr) -> Self {
        self.listen = listen;
        self
    }

    /// The same agent by another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: WallClock) -> Self {
        self.clock = clock;
        self
    }

    /// Tells the server that this client is being uninstalled (CLNT-23): one try at each address, at most `within` in all.
    /// Answers whether the server has written it down; where it could not be reached, its item stays offline (CLNT-24).
    ///
    /// # Errors
    /// [`AgentError::Store`] where the state can't be read.
    pub async fn say_uninstalling(&mut self, within: Duration) -> Result<bool, AgentError> {
        if self
            .store
            .state()
            .is_none_or(|state| state.client.is_none())
        {
            // The server knows of no client.
            return Ok(true);
        }
        let told = async {
            for Address { url, endpoint } in self.addresses() {
                let state = self.store.state().ok_or(AgentError::NoKey)?.clone();
                let identity = self.identity(&state)?;
                let facts = self.machine.facts_within(FACTS_WITHIN).await;
                match self.reach(&endpoint, &state).await {
                    Ok((dialed, trusted)) => {
                        let (_keep, stop) = watch::channel(false);
                        let link = Link::new(
                            dialed,
                            &mut self.store,
                            &mut self.sessions,
                            &self.machine,
                            stop,
                            self.clock.clone(),
                        )
                        .reached(&url, trusted);
                        match link.uninstall(&self.boot_id, identity, facts).await {
                            Ok(()) => return Ok(true),
                            Err(ended) => {
                                tracing::warn!(%endpoint, reason = &ended as &dyn std::error::Error, "not told");
                            }
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%endpoint, error = &error as &dyn std::error::Error, "not connected");
                    }
                }
            }
            Ok(false)
        };
        timeout(within, told).await.unwrap_or(Ok(false))
    }

    /// Stays connected until `stop` says true or the server refuses for good. Everything else is logged
    /// and tried again.
    ///
    /// # Errors
    /// [`AgentError::NoKey`] if there is nothing to register with.
    pub async fn run(&mut self, mut stop: watch::Receiver<bool>) -> Result<Stopped, AgentError> {
        let (mut pauses, mut failures) = (Pauses::default(), Failures::default());
        let mut turn = 0;
        let mut known = Vec::new();
        let seen_at = self.store.state().and_then(|state| state.seen_at);
        self.absence = Absence::since(seen_at, &self.clock);
        while !*stop.borrow() {
            let addresses = self.addresses();
            if known != addresses {
                // The site has others now: the best first.
                turn = 0;
                known = addresses;
            }
            let Some(address) = known.get(turn % known.len().max(1)).cloned() else {
                return Err(AgentError::NoAddress);
            };
            let endpoint = &address.endpoint;
            // The number of the failure, where it gets a line in the log.
            let shown;
            let hint = match self.connect(&address, &mut stop).await? {
                Tried::Stopped => return Ok(Stopped::Told),
                Tried::NotReached(error) => {
                    turn += 1;
                    let hint = error.retry_after();
                    shown = failures.note(format!("{endpoint} {}", chain(&error)));
                    if let Some(failures) = shown {
                        tracing::warn!(%endpoint, failures, error = &error as &dyn std::error::Error, "not connected");
                    }
                    if matches!(error, DialError::Status { .. }) {
                        // Verified by TLS, and too busy for more.
                        self.remember_seen().await;
                    } else if let Some(over) = self.not_reached(!error.is_of_the_clock()).await {
                        return Ok(over);
                    }
                    hint
                }
                Tried::Linked(Ended::Stopped, _) => return Ok(Stopped::Told),
                Tried::Linked(Ended::Passive { until }, _) => {
                    self.remember_seen().await;
                    pauses.reset();
                    failures.over();
                    tracing::info!("waiting to be called");
                    tokio::select! {
                        () = told_to_stop(&mut stop) => {}
                        () = self.machine.switched() => {
                            tracing::info!("switched on or off");
                        }
                        () = self.calls.called() => {
                            tracing::info!("called");
                            self.called = true;
                        }
                        () = sleep_until(until) => {}
                    }
                    continue;
                }
                Tried::Linked(Ended::Refused(refused), online_for) if refused.is_final => {
                    self.sessions.forget();
                    if refused.code == RefusedCode::ClientRemoved
                        && online_for.is_none()
                        && let Some(over) = self.was_away_too_long()
                    {
                        return Ok(over);
                    }
                    tracing::error!(code = ?refused.code, message = refused.message, "refused for good");
                    return Ok(Stopped::Refused(refused));
                }
                Tried::Linked(ended, online_for) => {
                    if online_for.is_some() {
                        failures.over();
                    }
                    shown = failures.note(format!("{endpoint} {}", chain(&ended)));
                    match online_for {
                        Some(_) => self.remember_seen().await,
                        None => {
                            turn += 1;
                            if matches!(ended, Ended::Refused(_) | Ended::RetryLater(_)) {
                                // A server that says "not now" is there.
                                self.remember_seen().await;
                            } else if let Some(over) = self.not_reached(true).await {
                                return Ok(over);
                            }
                        }
                    }
                    if online_for.is_some_and(|online_for| online_for >= LASTING) {
                        pauses.reset();
                    }
                    if let Some(failures) = shown {
                        tracing::warn!(%endpoint, failures, reason = &ended as &dyn std::error::Error, ?online_for, "the link ended");
                    }
                    ended.retry_after()
                }
            };
            let pause = pauses.next(hint);
            // What a server asks for is kept to; a pause of our own ends in time to see that the time is over.
            let pause = if hint.is_some() {
                pause
            } else {
                pause.min(self.until_expiry())
            };
            if shown.is_some() {
                tracing::info!(?pause, "coming back after a pause");
            }
            tokio::select! {
                () = told_to_stop(&mut stop) => {}
                () = sleep(pause) => {}
            }
        }
        Ok(Stopped::Told)
    }

    /// How long the site may be away, as it said last, where it said anything. Unit: minutes.
    fn may_be_away(&self) -> Option<u32> {
        let settings = self.store.state()?.settings.as_ref()?;
        Some(settings.remove_after_minutes)
    }

    fn has_identity(&self) -> bool {
        let state = self.store.state();
        state.is_some_and(|state| state.client.is_some())
    }

    /// Remembers that the site was there until now.
    async fn remember_seen(&mut self) {
        self.absence.seen(&self.clock);
        self.keep_seen(self.clock.now()).await;
    }

    /// A disk that takes nothing stops no agent.
    async fn keep_seen(&mut self, at: i64) {
        if let Err(error) = self.store.seen(at).await {
            tracing::error!(%error, "when the site was there could not be kept");
        }
    }

    /// Notes a try that did not reach the site. Answers the end, where its time is over (CLNT-19, INST-05).
    async fn not_reached(&mut self, counts: bool) -> Option<Stopped> {
        if let Some(moved) = self.absence.not_reached(&self.clock, counts) {
            self.keep_seen(moved).await;
        }
        if !self.has_identity() {
            let is_over = counts && self.clock.now() >= self.give_up_at?;
            return is_over.then_some(Stopped::NotInTime);
        }
        let minutes = self.may_be_away()?;
        let seen_at = self.absence.is_over(&self.clock, minutes)?;
        Some(Stopped::Expired { seen_at, minutes })
    }

    /// The end of a client that comes back and that its site has removed, where it was away for so long that the site has done
    /// that by itself (CLNT-14). One that a person removed has no such reason.
    fn was_away_too_long(&self) -> Option<Stopped> {
        let minutes = self.may_be_away()?;
        let seen_at = self.absence.was_as_long_as(&self.clock, minutes)?;
        Some(Stopped::Expired { seen_at, minutes })
    }

    /// How long until then; a pause is no longer than this, and never nothing.
    fn until_expiry(&self) -> Duration {
        if !self.has_identity() {
            let left = self
                .give_up_at
                .map(|at| at.saturating_sub(self.clock.now()));
            return match left.map(u64::try_from) {
                Some(Ok(seconds)) if seconds > 0 => Duration::from_secs(seconds),
                // The time is over, and the site is there and says "not now": nothing is won by asking often.
                _ => Duration::MAX,
            };
        }
        self.may_be_away().map_or(Duration::MAX, |minutes| {
            self.absence.until_over(&self.clock, minutes)
        })
    }

    async fn connect(
        &mut self,
        address: &Address,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Tried, AgentError> {
        let state = self.store.state().ok_or(AgentError::NoKey)?.clone();
        let identity = self.identity(&state)?;
        let reached = async {
            // Before dialling: the server waits only ten seconds for hello.
            let facts = self.machine.facts_within(FACTS_WITHIN).await;
            let dialed = self.reach(&address.endpoint, &state).await;
            dialed.map(|dialed| (facts, dialed))
        };
        let reached = tokio::select! {
            () = told_to_stop(stop) => return Ok(Tried::Stopped),
            reached = reached => reached,
        };
        match reached {
            Err(error) => Ok(Tried::NotReached(error)),
            Ok((facts, (dialed, trusted))) => {
                let link = Link::new(
                    dialed,
                    &mut self.store,
                    &mut self.sessions,
                    &self.machine,
                    stop.clone(),
                    self.clock.clone(),
                )
                .reached(&address.url, trusted)
                .called_by(self.calls.clone(), self.listen)
                .on(Visit {
                    due: self.check_in_due,
                    called: self.called,
                });
                let Ran {
                    ended,
                    online_for,
                    check_in_due,
                } = link.run(&self.boot_id, identity, facts).await;
                self.check_in_due = check_in_due;
                self.called &= online_for.is_none();
                Ok(Tried::Linked(ended, online_for))
            }
        }
    }

    /// Connects with the newest anchors. Where they do not cover the server and no connection with them has worked yet, those
    /// of before still hold.
    async fn reach(
        &self,
        endpoint: &Endpoint,
        state: &State,
    ) -> Result<(Dialed, Trusted), DialError> {
        let dial = async |anchors| {
            let dialed = timeout(DIALED_WITHIN, self.dial.dial(endpoint, anchors)).await;
            dialed.unwrap_or(Err(DialError::TimedOut))
        };
        match (dial(&state.anchors).await, &state.anchors_before) {
            (Err(error), Some(before)) if error.is_of_trust() => {
                tracing::warn!(
                    %endpoint,
                    version = state.anchors.version,
                    error = &error as &dyn std::error::Error,
                    "the newest trust anchors do not cover the server; those of before are tried"
                );
                Ok((dial(before).await?, Trusted::Before))
            }
            (dialed, _) => Ok((dialed?, Trusted::Newest)),
        }
    }

    /// The addresses to try, the best first.
    fn addresses(&self) -> Vec<Address> {
        if !self.servers.is_empty() {
            let given = self.servers.iter().map(|endpoint| Address {
                url: String::new(),
                endpoint: endpoint.clone(),
            });
            return given.collect();
        }
        let state = self.store.state();
        let urls = state.map(State::addresses).unwrap_or_default();
        urls.into_iter()
            .filter_map(|url| {
                // A list is taken over where at least one of its addresses can be used.
                let endpoint = url.parse().ok()?;
                Some(Address { url, endpoint })
            })
            .collect()
    }

    fn identity(&self, state: &State) -> Result<Identity, AgentError> {
        if let Some(client) = &state.client {
            let (client_id, token) = (client.id, client.token.clone());
            return Ok(Identity::Resume(Resume { client_id, token }));
        }
        let (Some(key), Some(attempt)) = (&self.key, &state.attempt) else {
            return Err(AgentError::NoKey);
        };
        Ok(Identity::Register(Register {
            installer_id: key.installer_id.clone(),
            secret: key.secret.clone(),
            attempt: attempt.nonce.clone(),
            overrides: self.overrides.clone(),
        }))
    }
}

/// An address of the site.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Address {
    /// As the state holds it; empty for one that was given at the start.
    url: String,
    endpoint: Endpoint,
}

enum Tried {
    Stopped,
    NotReached(DialError),
    Linked(Ended, Option<Duration>),
}

/// The state to begin with, from what is on disk and the key given.
fn prepared(held: Option<&State>, key: Option<&KeyInfo>) -> Result<State, AgentError> {
    match (held, key) {
        (Some(held), None) if held.client.is_some() => Ok(held.clone()),
        (Some(held), Some(key)) if held.client.is_some() => {
            let mut state = held.clone();
            // A newer key of the same site brings back an agent that slept through a change of anchors.
            let known = state.addresses();
            let same_site = key.urls.iter().any(|url| known.contains(url));
            if same_site && key.anchors.supersedes(&state.anchors) {
                state.take_anchors(key.anchors.clone());
                state.urls = key.urls.clone();
                // The site's own list is taken again at the next connection.
                state.addresses_version = 0;
            }
            Ok(state)
        }
        (_, None) => Err(AgentError::NoKey),
        (held, Some(key)) => {
            let mut state = State::new(key.urls.clone(), key.anchors.clone());
            let under_way = held.and_then(|held| held.attempt.clone());
            state.attempt =
                match under_way.filter(|attempt| attempt.installer_id == key.installer_id) {
                    Some(attempt) => Some(attempt),
                    None => Some(Attempt {
                        installer_id: key.installer_id.clone(),
                        nonce: nonce()?,
                    }),
                };
            Ok(state)
        }
    }
}

/// Whether one of the addresses can be used: what a newer server may add to them stops no agent.
fn has_usable_address(urls: &[String]) -> Result<(), AgentError> {
    let mut unusable = AgentError::NoAddress;
    for url in urls {
        match url.parse::<Endpoint>() {
            Ok(_) => return Ok(()),
            Err(source) => {
                unusable = AgentError::Endpoint {
                    url: url.clone(),
                    source,
                };
            }
        }
    }
    Err(unusable)
}

/// 128 random bits as 32 hexadecimal digits.
fn nonce() -> Result<String, AgentError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| AgentError::NoRandomness)?;
    Ok(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use link_protocol::{Anchor, AnchorList, Secret};

    use super::*;
    use crate::store::Client;

    fn key(url: &str, anchors_version: u64) -> KeyInfo {
        KeyInfo {
            urls: vec![url.to_owned()],
            installer_id: "i".repeat(32),
            secret: Secret::new("s".repeat(43)),
            anchors: AnchorList {
                version: anchors_version,
                list: vec![Anchor::System],
            },
        }
    }

    fn registered() -> State {
        let mut state = prepared(None, Some(&key("https://a", 5))).unwrap();
        state.attempt = None;
        state.client = Some(Client {
            id: 7,
            token: Secret::new("t".repeat(43)),
        });
        state
    }

    #[test]
    fn without_identity_and_key_there_is_nothing_to_do() {
        assert!(matches!(prepared(None, None), Err(AgentError::NoKey)));
        let begun = prepared(None, Some(&key("https://a", 1))).unwrap();
        assert!(matches!(
            prepared(Some(&begun), None),
            Err(AgentError::NoKey)
        ));
        assert_eq!(prepared(Some(&registered()), None).unwrap(), registered());
    }

    #[test]
    fn a_registration_under_way_is_continued_with_the_same_installer_only() {
        let begun = prepared(None, Some(&key("https://a", 1))).unwrap();
        let again = prepared(Some(&begun), Some(&key("https://a", 1))).unwrap();
        assert_eq!(again.attempt, begun.attempt);
        let mut other = key("https://a", 1);
        other.installer_id = "j".repeat(32);
        assert_ne!(
            prepared(Some(&begun), Some(&other)).unwrap().attempt,
            begun.attempt
        );
    }

    #[test]
    fn a_key_changes_an_identity_only_with_newer_anchors_of_the_same_site() {
        let version = |key: &KeyInfo| {
            prepared(Some(&registered()), Some(key))
                .unwrap()
                .anchors
                .version
        };
        assert_eq!(version(&key("https://a", 6)), 6);
        assert_eq!(version(&key("https://a", 4)), 5);
        assert_eq!(version(&key("https://b", 6)), 5);
        let client = prepared(Some(&registered()), Some(&key("https://a", 6)))
            .unwrap()
            .client;
        assert_eq!(client, registered().client);
    }
}
