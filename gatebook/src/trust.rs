//! The site's trust anchors and addresses when a server starts: a new site gets those of the configuration, any other keeps what
//! its log says. A flag adds nothing to a site that has them; what it says differently is said in the log.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use domain::site::agent_trust::{self, is_address};
use domain::{Actor, Cause, Command, Event, World};
use engine::{Engine, Lane, Submission};
use eventstore::{EventStore, SideTable};
use link_protocol::Anchor;
use link_protocol::limits::ANCHORS_MAX;
use secrets::Sealer;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::configuration::{AgentTrust, Configuration, Misconfigured};
use crate::opening::OpenSite;
use crate::tls::{SiteAuthority, pem};

/// Where versions before this one kept the list: a row of the side table `secret`. It is read once and left there.
const ROW: &str = "agent_trust";

const BOUND_TO: &[u8] = b"secret/agent_trust";

#[derive(Deserialize)]
struct Stored {
    version: u64,
    list: Vec<Anchor>,
}

/// Where the first list of a site comes from.
pub struct Source {
    /// The list of an earlier version of the program.
    stored: Option<Stored>,
    /// What the configuration names.
    named: Option<AgentTrust>,
}

impl Source {
    /// Looks where the first list is to come from, before anything is written.
    ///
    /// # Errors
    /// The site has no list yet, a certificate is given, and nothing says what agents are to trust; the database fails.
    pub async fn find(configuration: &Configuration, open: &OpenSite) -> Result<Self> {
        let world = &open.engine.published().world;
        let stored = if world.agent_trust.anchors.version == 0 {
            read_stored(&open.store, &open.sealer).await?
        } else {
            None
        };
        let has_list = stored.is_some() || world.agent_trust.anchors.version > 0;
        if !has_list && configuration.agent_trust.is_none() && configuration.tls.is_some() {
            let words = "with --tls-cert, say by what Jump Clients shall know this server: --agent-trust FILE with the certificate of \
                         the authority that issued it, --agent-trust system where that is one every client's operating system \
                         knows, or --agent-trust site for the site's own authority (docs/certificates.md)";
            return Err(Misconfigured::because(words).into());
        }
        Ok(Self {
            stored,
            named: configuration.agent_trust.clone(),
        })
    }

    /// Nothing stored; the site's own authority.
    #[must_use]
    pub const fn own_authority() -> Self {
        Self {
            stored: None,
            named: None,
        }
    }

    fn named(&self, authority: &SiteAuthority) -> Result<Vec<Anchor>> {
        match &self.named {
            None | Some(AgentTrust::Site) => {
                Ok(vec![Anchor::PublicKey(authority.public_key_hash())])
            }
            Some(AgentTrust::System) => Ok(vec![Anchor::System]),
            Some(AgentTrust::File(file)) => authorities_in(file),
        }
    }
}

async fn read_stored(store: &EventStore, sealer: &Sealer) -> Result<Option<Stored>> {
    let Some(row) = store.side_row(SideTable::Secret, ROW).await? else {
        return Ok(None);
    };
    let plain = sealer
        .open(&row, BOUND_TO)
        .context("opening the stored trust of agents")?;
    Ok(Some(
        serde_json::from_slice(&plain).context("reading the stored trust of agents")?,
    ))
}

/// Puts the first lists of a site into the log, and says what of the configuration is not in the lists that it has. `url` is
/// where this node is reached, where the configuration says so.
///
/// # Errors
/// A file of authorities can't be read, or the log can't be written.
pub async fn begin(
    engine: &Engine,
    source: &Source,
    authority: &SiteAuthority,
    url: Option<&str>,
    is_shared: bool,
) -> Result<()> {
    let named = source.named(authority)?;
    let (anchors, anchors_version) = match &source.stored {
        Some(stored) => (&stored.list, stored.version),
        None => (&named, 1),
    };
    let addresses = url.filter(|url| is_address(url));
    let begin = agent_trust::Command::Begin {
        anchors: anchors.iter().map(Anchor::to_string).collect(),
        anchors_version,
        addresses: addresses.map(str::to_owned).into_iter().collect(),
    };
    let submission = Submission::new(
        Command::AgentTrust(begin),
        Cause::program(Actor::Operator),
        Lane::People,
    );
    let done = engine
        .execute(submission)
        .await
        .context("writing down what agents trust")?;
    for event in &done.events {
        match event {
            Event::AgentTrust(agent_trust::Event::AnchorAdded(added)) => {
                tracing::info!(anchor = added.anchor, "agents are told to trust this");
            }
            Event::AgentTrust(agent_trust::Event::AddressAdded(added)) => {
                tracing::info!(url = added.url, "agents are told to find the site here");
            }
            _ => {}
        }
    }
    let published = engine
        .as_fresh_as_the_log()
        .await
        .context("reading the log")?;
    if source.named.is_some() {
        say_what_is_not_trusted(&published.world, &named);
    }
    if let Some(url) = url {
        say_where_nobody_looks(&published.world, url, is_shared);
    }
    Ok(())
}

fn say_what_is_not_trusted(world: &World, named: &[Anchor]) {
    let held: BTreeSet<&str> = world.agent_trust.anchors.values().collect();
    for anchor in named.iter().map(Anchor::to_string) {
        if !held.contains(anchor.as_str()) {
            tracing::warn!(
                anchor,
                "--agent-trust names what Jump Clients are not told to trust: it counts for a new site only. Add it with POST \
                 /api/console/v1/agent-anchors (docs/certificates.md)"
            );
        }
    }
}

/// Each of several nodes may have a URL of its own, behind the site's.
fn say_where_nobody_looks(world: &World, url: &str, is_shared: bool) {
    let mut held = world.agent_trust.addresses.values();
    if held.any(|held| held.eq_ignore_ascii_case(url)) {
        return;
    }
    let words = "--url is not among the addresses at which Jump Clients look for the site. Add it with POST \
                 /api/console/v1/site-addresses (docs/certificates.md)";
    if is_shared {
        tracing::info!(url, "{words}");
    } else {
        tracing::warn!(url, "{words}");
    }
}

/// The public keys of all certificates in a PEM file.
fn authorities_in(file: &Path) -> Result<Vec<Anchor>> {
    let certificates = pem::certificates(file)?;
    ensure!(
        (1..=ANCHORS_MAX).contains(&certificates.len()),
        "{} must hold 1 to {ANCHORS_MAX} certificates of authorities",
        file.display()
    );
    certificates
        .iter()
        .map(|certificate| {
            let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
                .with_context(|| format!("{} holds a damaged certificate", file.display()))?;
            let key = parsed.tbs_certificate.subject_pki.raw;
            Ok(Anchor::PublicKey(Sha256::digest(key).into()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;

    use super::*;

    #[test]
    fn authorities_of_a_file_are_known_by_their_keys() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let authority = SiteAuthority::make(Timestamp(1_790_000_000_000_000)).unwrap();
        std::fs::write(&file, authority.certificate_pem()).unwrap();
        let expected = Anchor::PublicKey(authority.public_key_hash());
        assert_eq!(authorities_in(&file).unwrap(), [expected]);
        std::fs::write(&file, "").unwrap();
        assert!(authorities_in(&file).is_err());
        assert!(authorities_in(&folder.path().join("none.pem")).is_err());
    }

    /// The row as earlier versions wrote it: its list goes on with its version.
    #[test]
    fn the_list_of_an_earlier_version_is_read() {
        let text = format!(
            r#"{{"version":3,"wanted":["system"],"list":["system","sha256:{}"]}}"#,
            "07".repeat(32)
        );
        let stored: Stored = serde_json::from_str(&text).unwrap();
        assert_eq!(stored.version, 3);
        assert_eq!(stored.list, [Anchor::System, Anchor::PublicKey([7; 32])]);
    }
}
