//! The certificate that this node shows, as long as it runs: kept new, for the names under which agents look for the site, and
//! compared with what they trust. Where agents would refuse it, the log and the health check say so at once.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use api::ShownCertificate;
use domain::{Timestamp, World};
use engine::{Clock, Engine};
use rustls::pki_types::UnixTime;
use tokio::signal::unix::Signal;
use tokio::sync::watch;

use crate::clock::SystemClock;
use crate::configuration::Configuration;
use crate::tls::coverage::coverage;
use crate::tls::{NodeCertificate, SiteAuthority, Source};

/// How often it is asked whether a newer certificate is due.
const RENEW_EVERY: Duration = Duration::from_secs(60);

/// The certificate, and what is known of it.
pub struct Keeper {
    certificate: NodeCertificate,
    engine: Engine,
    own: OwnNames,
    /// Whether agents see this certificate; behind a proxy that ends TLS they see another.
    is_seen: bool,
    /// Whether its authority may be one of those that operating systems know.
    is_given: bool,
    published: watch::Sender<ShownCertificate>,
    /// What was said last that stands against it.
    said: Option<Complaint>,
}

/// Names of the node itself.
struct OwnNames {
    url: String,
    listen: IpAddr,
    node: String,
}

/// What stands against the certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Complaint {
    /// No anchor covers it, and why.
    Uncovered(String),
    /// An anchor covers it that not all have confirmed; what else they trust does not.
    Unconfirmed { anchor: String },
}

impl Keeper {
    /// The first certificate, looked at once.
    ///
    /// # Errors
    /// It can't be issued or read, or its key does not belong to it.
    pub async fn begin(
        configuration: &Configuration,
        engine: &Engine,
        url: &str,
        authority: SiteAuthority,
    ) -> Result<Self> {
        let own = OwnNames {
            url: url.to_owned(),
            listen: configuration.listen.ip(),
            node: configuration.node.clone(),
        };
        let source = match &configuration.tls {
            Some((certificate, key)) => Source::Files {
                certificate: certificate.clone(),
                key: key.clone(),
            },
            None => {
                let names = own.names(&engine.published().world)?;
                Source::Authority(Box::new(authority), names)
            }
        };
        let is_given = configuration.tls.is_some();
        let mut keeper = Self {
            certificate: NodeCertificate::new(source, SystemClock.now())?,
            engine: engine.clone(),
            own,
            is_seen: is_given || configuration.listen_http.is_none(),
            is_given,
            published: watch::Sender::new(ShownCertificate::default()),
            said: None,
        };
        keeper.look().await;
        Ok(keeper)
    }

    /// The certificate.
    #[must_use]
    pub const fn certificate(&self) -> &NodeCertificate {
        &self.certificate
    }

    /// What is known of it, always the newest.
    #[must_use]
    pub fn shown(&self) -> watch::Receiver<ShownCertificate> {
        self.published.subscribe()
    }

    /// Keeps it new until told to stop.
    pub async fn run(mut self, mut reload: Option<Signal>, mut stopped: watch::Receiver<bool>) {
        let mut tick = tokio::time::interval(RENEW_EVERY);
        loop {
            let asked = tokio::select! {
                _ = tick.tick() => false,
                () = asked_by(&mut reload) => true,
                _ = stopped.wait_for(|stop| *stop) => return,
            };
            self.renew(asked);
            self.look().await;
        }
    }

    fn renew(&mut self, asked: bool) {
        match self.own.names(&self.engine.published().world) {
            Ok(names) => self.certificate.set_names(names),
            Err(error) => tracing::error!(
                error = format!("{error:#}"),
                "the names of the certificate are not known"
            ),
        }
        match self.certificate.renew(SystemClock.now(), asked) {
            Ok(true) => tracing::info!("a newer certificate is in use"),
            Ok(false) => {}
            Err(error) => tracing::error!(
                error = format!("{error:#}"),
                "the newer certificate can't be used; the one in use stays"
            ),
        }
    }

    /// Compares the certificate with what agents trust. What stands against it is said when it begins and when it is over.
    async fn look(&mut self) {
        let shown = if self.is_seen {
            self.covered().await
        } else {
            ShownCertificate::default()
        };
        let world = self.engine.published();
        let complaint = complaint(&shown, &world.world);
        if complaint != self.said {
            match &complaint {
                Some(Complaint::Uncovered(problem)) => {
                    let anchors: Vec<&str> = world.world.agent_trust.anchors.values().collect();
                    tracing::warn!(
                        problem,
                        anchors = anchors.join(" "),
                        would_be_covered_by =
                            shown.covered_by.as_deref().unwrap_or_default().join(" "),
                        "none of the site's trust anchors covers the certificate of this server, so Jump Clients do not connect to it. \
                         Show the certificate of before again, add an anchor with POST /api/console/v1/agent-anchors, and change \
                         the certificate when the Jump Clients have confirmed it (docs/certificates.md)"
                    );
                }
                Some(Complaint::Unconfirmed { anchor }) => tracing::warn!(
                    anchor,
                    "the certificate of this server is covered by a trust anchor that not all Jump Clients have confirmed: GET \
                     /api/console/v1/agent-anchors says how many (docs/certificates.md)"
                ),
                None => {
                    tracing::info!("the site's trust anchors cover the certificate of this server")
                }
            }
        }
        self.said = complaint;
        self.published.send_replace(shown);
    }

    async fn covered(&self) -> ShownCertificate {
        let chain = self.certificate.chain();
        let (is_given, now) = (self.is_given, unix_time(SystemClock.now()));
        let hosts = self.own.hosts(&self.engine.published().world);
        let look = move || {
            let system = if is_given {
                rustls_native_certs::load_native_certs().certs
            } else {
                Vec::new()
            };
            coverage(&chain, &hosts, &system, now)
        };
        match tokio::task::spawn_blocking(look).await {
            Ok(shown) => shown,
            Err(error) => {
                tracing::error!(%error, "the certificate could not be looked at");
                ShownCertificate::default()
            }
        }
    }
}

fn complaint(shown: &ShownCertificate, world: &World) -> Option<Complaint> {
    let trust = &world.agent_trust;
    let newest_needed = shown
        .anchors_in_use(trust)?
        .min_by_key(|entry| entry.version);
    let Some(entry) = newest_needed else {
        let problem = shown.problem.clone();
        return Some(Complaint::Uncovered(problem.unwrap_or_default()));
    };
    let oldest = trust
        .anchors
        .entries
        .iter()
        .map(|entry| entry.version)
        .min();
    let lacks = |version| {
        let lacking = world.unconfirmed_clients(move |confirmed| confirmed.anchors < version);
        lacking.count() > 0
    };
    // Where the first anchors of the site cover it, every key that was ever made does.
    let is_newer = oldest.is_some_and(|oldest| entry.version > oldest);
    (is_newer && lacks(entry.version)).then(|| Complaint::Unconfirmed {
        anchor: entry.value.clone(),
    })
}

fn unix_time(now: Timestamp) -> UnixTime {
    let seconds = u64::try_from(now.unix_seconds()).unwrap_or(0);
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

impl OwnNames {
    /// Every name under which the node may be reached: the hosts of its URL and of the site's addresses, the address it listens
    /// on, itself.
    fn names(&self, world: &World) -> Result<Vec<String>> {
        host_of(&self.url).context("the URL has a host")?;
        let mut names = self.hosts(world);
        if !self.listen.is_unspecified() {
            names.push(self.listen.to_string());
        }
        names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
        // A node's name is anything its operator likes; in a certificate only host names can stand.
        let is_host_name = |name: &str| {
            name.split('.').all(|label| {
                (1..=63).contains(&label.len())
                    && label
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            })
        };
        if is_host_name(&self.node) {
            names.push(self.node.clone());
        }
        let mut seen = BTreeSet::new();
        names.retain(|name| seen.insert(name.to_ascii_lowercase()));
        Ok(names)
    }

    /// The hosts that agents ask for.
    fn hosts(&self, world: &World) -> Vec<String> {
        let addresses = world.agent_trust.addresses.values();
        [self.url.as_str()]
            .into_iter()
            .chain(addresses)
            .filter_map(host_of)
            .collect()
    }
}

/// The host in a URL, an IPv6 address without its brackets.
fn host_of(url: &str) -> Option<String> {
    let url = url::Url::parse(url).ok()?;
    Some(url.host_str()?.trim_matches(['[', ']']).to_owned())
}

/// Waits for the signal; for ever where none is listened to.
async fn asked_by(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}
