//! What every handler may use: the engine, the sealer, and the small memory of this node.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use connector::mail::Languages;
use connector::{Hub, Tickets};
use domain::ids::AgentAnchorId;
use domain::site::agent_trust::{AgentTrust, Entry};
use engine::Engine;
use ipnet::IpNet;
use link_protocol::{KeyInfo, KeyInfoError, Secret};
use projections::ReportIndex;
use secrets::Sealer;
use tokio::sync::watch;
use url::{Host, Url};

use crate::attempts::Attempts;
use crate::caller_rate::{AddressRates, UserRates};
use crate::console::live::Streams;
use crate::console::sign_in_limits::SignInLimits;
use crate::download::programs::AgentPrograms;
use crate::download::turns::{Bounds, Turns};
use crate::health::Health;
use crate::passwords::Passwords;
use crate::rate::AccountRates;
use crate::scan::Scans;
use crate::token::Tokens;

/// Bounds of this node's memory and patience. The defaults are right for a server.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Largest body of a JSON request. Unit: bytes.
    pub body_bytes_max: usize,
    /// Largest body of a token request. Unit: bytes.
    pub token_body_bytes_max: usize,
    /// How long a body may take to arrive.
    pub body_within: Duration,
    /// Calls without an account that one source address may make a second, in the long run.
    pub address_per_second: NonZeroU32,
    /// How many of them it may make at once.
    pub address_burst: NonZeroU32,
    /// Calls that one user who signed in may make a second, in the long run.
    pub user_per_second: NonZeroU32,
    /// How many of them they may make at once.
    pub user_burst: NonZeroU32,
    /// Source addresses, and users, that are told apart; beyond, newcomers share one budget.
    pub callers_max: usize,
    /// Passwords that are hashed at the same time.
    pub passwords_at_once: usize,
    /// Passwords that may wait to be hashed in each lane; more are refused.
    pub passwords_waiting_max: usize,
    /// Tokens that are remembered, so that the database is not asked for each call.
    pub tokens_remembered_max: usize,
    /// How long the start of a session waits for the endpoint before it is answered as still starting.
    pub start_answered_within: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 1024 * 1024,
            token_body_bytes_max: 64 * 1024,
            body_within: Duration::from_secs(30),
            address_per_second: NonZeroU32::MIN.saturating_add(49),
            address_burst: NonZeroU32::MIN.saturating_add(199),
            user_per_second: NonZeroU32::MIN.saturating_add(49),
            user_burst: NonZeroU32::MIN.saturating_add(399),
            callers_max: 100_000,
            passwords_at_once: 2,
            passwords_waiting_max: 32,
            tokens_remembered_max: 100_000,
            start_answered_within: Duration::from_secs(10),
        }
    }
}

/// By what the certificate that this node shows may be trusted, as far as the node can tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShownCertificate {
    /// The trust anchors that would make agents trust it; none where the node does not know, because a proxy ends TLS.
    pub covered_by: Option<Vec<String>>,
    /// Why nothing covers it, for people.
    pub problem: Option<String>,
}

impl ShownCertificate {
    /// Those of the site's trust anchors that cover it; none where the node does not know.
    pub fn anchors_in_use<'t>(
        &'t self,
        trust: &'t AgentTrust,
    ) -> Option<impl Iterator<Item = &'t Entry<AgentAnchorId>>> {
        let covered_by = self.covered_by.as_ref()?;
        let entries = trust.anchors.entries.iter();
        Some(entries.filter(|entry| covered_by.contains(&entry.value)))
    }

    /// Whether none of the site's trust anchors covers it.
    #[must_use]
    pub fn is_uncovered(&self, trust: &AgentTrust) -> bool {
        self.anchors_in_use(trust)
            .is_some_and(|mut anchors| anchors.next().is_none())
    }
}

/// What a site is made of.
pub struct SiteSetup {
    /// The one writer of this node.
    pub engine: Engine,
    /// The links of this node's agents.
    pub hub: Hub,
    /// The way to the ticket system.
    pub tickets: Tickets,
    /// What reports are made of.
    pub report_index: ReportIndex,
    /// Seals and recognises secrets.
    pub sealer: Arc<Sealer>,
    /// Bounds.
    pub limits: Limits,
    /// The site's address for people and programs, such as `https://access.example.com`, where the operator gave one;
    /// without, answers use the host the caller named.
    pub public_url: Option<String>,
    /// Refusals that are written down once a minute; the hub of this node counts into the same.
    pub attempts: Arc<Attempts>,
    /// Where agents reach this node: in the keys of installers as long as the site has no addresses of its own.
    pub agent_url: String,
    /// The certificate in use.
    pub shown_certificate: watch::Receiver<ShownCertificate>,
    /// The agent programs that installers are made of.
    pub agent_programs: AgentPrograms,
    /// What mails say in each language.
    pub mail_languages: Arc<Languages>,
    /// Gatebook's version.
    pub version: String,
    /// Peers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Names this run of this node among those that share the log; its epoch as text will do.
    pub node: String,
    /// Whether other nodes may write the same log: then no memory of this node stands in for the database.
    pub shared: bool,
}

/// One node's view of the site; shared by all handlers.
pub struct Site {
    /// The one writer of this node.
    pub engine: Engine,
    /// The links of this node's agents.
    pub hub: Hub,
    /// The way to the ticket system.
    pub tickets: Tickets,
    /// What reports are made of.
    pub report_index: ReportIndex,
    /// Seals and recognises secrets.
    pub sealer: Arc<Sealer>,
    /// Bounds.
    pub limits: Limits,
    /// See [`SiteSetup::public_url`].
    pub public_url: Option<String>,
    own_url: String,
    own_host: String,
    /// See [`SiteSetup::agent_url`].
    agent_url: String,
    /// See [`SiteSetup::shown_certificate`].
    pub shown_certificate: watch::Receiver<ShownCertificate>,
    /// See [`SiteSetup::agent_programs`].
    pub agent_programs: AgentPrograms,
    /// What mails say in each language.
    pub mail_languages: Arc<Languages>,
    /// Gatebook's version.
    pub version: String,
    /// Peers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// See [`SiteSetup::node`].
    pub node: String,
    /// See [`SiteSetup::shared`].
    pub shared: bool,
    /// Hashes passwords, bounded and off the async threads.
    pub passwords: Passwords,
    /// Refusals that are written down once a minute.
    pub attempts: Arc<Attempts>,
    /// Budgets of source addresses.
    pub address_rates: AddressRates,
    /// Budgets of users who signed in.
    pub user_rates: UserRates,
    pub(crate) sign_in_limits: SignInLimits,
    pub(crate) downloads: Arc<Turns>,
    pub(crate) health: Health,
    pub(crate) streams: Streams,
    /// Lists that look at many rows.
    pub(crate) scans: Scans,
    pub(crate) account_rates: AccountRates,
    pub(crate) tokens: Tokens,
}

impl Site {
    /// Puts a site together.
    #[must_use]
    pub fn new(setup: SiteSetup) -> Arc<Self> {
        let limits = setup.limits;
        let own_url = setup
            .public_url
            .as_deref()
            .unwrap_or(&setup.agent_url)
            .trim_end_matches('/')
            .to_owned();
        Arc::new(Self {
            own_host: host_of(&own_url),
            own_url,
            engine: setup.engine,
            hub: setup.hub,
            tickets: setup.tickets,
            report_index: setup.report_index,
            sealer: setup.sealer,
            public_url: setup
                .public_url
                .map(|url| url.trim_end_matches('/').to_owned()),
            agent_url: setup.agent_url,
            shown_certificate: setup.shown_certificate,
            agent_programs: setup.agent_programs,
            downloads: Turns::new(Bounds::default()),
            mail_languages: setup.mail_languages,
            version: setup.version,
            trusted_proxies: setup.trusted_proxies,
            node: setup.node,
            shared: setup.shared,
            passwords: Passwords::new(limits.passwords_at_once, limits.passwords_waiting_max),
            attempts: setup.attempts,
            address_rates: AddressRates::of_addresses(&limits),
            user_rates: UserRates::of_users(&limits),
            sign_in_limits: SignInLimits::default(),
            health: Health::default(),
            streams: Streams::default(),
            scans: Scans::default(),
            account_rates: AccountRates::new(setup.shared),
            tokens: Tokens::new(setup.shared, limits.tokens_remembered_max),
            limits,
        })
    }

    /// The site's own address: as the operator named it, else where agents reach it. Never a name that a request brought along:
    /// what is sent to other people and systems must not lead them where a caller wants (threats.md, class J).
    #[must_use]
    pub fn own_url(&self) -> &str {
        &self.own_url
    }

    /// The name in that address; of an IPv6 address without the brackets.
    #[must_use]
    pub fn own_host(&self) -> &str {
        &self.own_host
    }

    /// The key of an installer: all addresses of the site, and what to trust.
    ///
    /// # Errors
    /// Addresses and trust anchors make no key.
    pub fn installer_key(
        &self,
        installer_id: &str,
        secret: Secret,
    ) -> Result<Secret, KeyInfoError> {
        let world = &self.engine.published().world;
        let addresses = world.agent_trust.addresses.values();
        let mut urls: Vec<String> = addresses.map(str::to_owned).collect();
        if urls.is_empty() {
            urls.push(self.agent_url.clone());
        }
        let key = KeyInfo {
            urls,
            installer_id: installer_id.to_owned(),
            secret,
            anchors: connector::anchors_of(world),
        };
        key.encode()
    }

    /// Ends the streams of events of this node: consoles come back to one that serves.
    pub fn end_streams(&self) {
        self.streams.close();
    }
}

/// The name or address in a URL; empty where there is none.
fn host_of(url: &str) -> String {
    let url = Url::parse(url).ok();
    match url.as_ref().and_then(Url::host) {
        Some(Host::Domain(name)) => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_cut_out_of_a_url() {
        for (url, host) in [
            ("https://access.example.com", "access.example.com"),
            ("https://access.example.com:8443/x", "access.example.com"),
            ("https://192.0.2.7:8443", "192.0.2.7"),
            ("wss://[::1]:8443/link/v1", "::1"),
            ("https://[2001:db8::1]", "2001:db8::1"),
            ("access.example.com", ""),
            ("", ""),
        ] {
            assert_eq!(host_of(url), host, "{url}");
        }
    }
}
