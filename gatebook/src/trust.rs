//! What agents are told to trust, with a version that only grows.
//!
//! A change of configuration puts the new anchors in front and keeps the old ones behind: agents that are away learn of the
//! new ones when they come back, and can come back because the old ones still hold.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use eventstore::{EventStore, SideTable, SideWrite};
use link_protocol::limits::ANCHORS_MAX;
use link_protocol::{Anchor, AnchorList};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use secrets::Sealer;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::configuration::AgentTrust;
use crate::tls::SiteAuthority;

/// Its row in the side table `secret`. No secret, but it must be there on every node and in every backup.
const ROW: &str = "agent_trust";

const BOUND_TO: &[u8] = b"secret/agent_trust";

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u64,
    /// What the configuration named when the list was made.
    wanted: Vec<Anchor>,
    /// What agents are told: the wanted, then older ones.
    list: Vec<Anchor>,
}

/// The list of anchors for `trust`; written down if it is new.
///
/// # Errors
/// A file of authorities can't be read, or the database fails.
pub async fn anchors(
    trust: &AgentTrust,
    authority: &SiteAuthority,
    store: &EventStore,
    sealer: &Sealer,
) -> Result<AnchorList> {
    let wanted = match trust {
        AgentTrust::Site => vec![Anchor::PublicKey(authority.public_key_hash())],
        AgentTrust::System => vec![Anchor::System],
        AgentTrust::File(file) => authorities_in(file)?,
    };
    let stored = match store.side_row(SideTable::Secret, ROW).await? {
        Some(row) => {
            let plain = sealer
                .open(&row, BOUND_TO)
                .context("opening the stored trust of agents")?;
            Some(serde_json::from_slice(&plain).context("reading the stored trust of agents")?)
        }
        None => None,
    };
    let (stored, is_new) = merged(stored, wanted);
    if is_new {
        let value = sealer.seal(&serde_json::to_vec(&stored)?, BOUND_TO);
        store
            .change_side_rows((SideTable::Secret, ROW), |_| {
                vec![SideWrite::Put {
                    table: SideTable::Secret,
                    key: ROW.to_owned(),
                    value,
                }]
            })
            .await
            .context("storing the trust of agents")?;
    }
    Ok(AnchorList {
        version: stored.version,
        list: stored.list,
    })
}

fn merged(stored: Option<Stored>, wanted: Vec<Anchor>) -> (Stored, bool) {
    let Some(stored) = stored else {
        let list = wanted.clone();
        return (
            Stored {
                version: 1,
                wanted,
                list,
            },
            true,
        );
    };
    if stored.wanted == wanted {
        return (stored, false);
    }
    let mut list = wanted.clone();
    list.extend(
        stored
            .list
            .into_iter()
            .filter(|anchor| !wanted.contains(anchor)),
    );
    list.truncate(ANCHORS_MAX);
    (
        Stored {
            version: stored.version + 1,
            wanted,
            list,
        },
        true,
    )
}

/// The public keys of all certificates in a PEM file.
fn authorities_in(file: &Path) -> Result<Vec<Anchor>> {
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("reading certificates from {}", file.display()))?;
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

    fn key(byte: u8) -> Anchor {
        Anchor::PublicKey([byte; 32])
    }

    #[test]
    fn a_change_grows_the_version_and_keeps_the_old_anchors_behind() {
        let (first, is_new) = merged(None, vec![key(1)]);
        assert!(is_new);
        assert_eq!((first.version, &first.list), (1, &vec![key(1)]));
        let (same, is_new) = merged(Some(first), vec![key(1)]);
        assert!(!is_new);
        let (second, is_new) = merged(Some(same), vec![Anchor::System]);
        assert!(is_new);
        assert_eq!(
            (second.version, &second.list),
            (2, &vec![Anchor::System, key(1)])
        );
        let (back, _) = merged(Some(second), vec![key(1)]);
        assert_eq!(
            (back.version, &back.list),
            (3, &vec![key(1), Anchor::System])
        );
        let many: Vec<Anchor> = (10..10 + u8::try_from(ANCHORS_MAX).unwrap())
            .map(key)
            .collect();
        let (full, _) = merged(Some(back), many.clone());
        assert_eq!(full.list, many);
    }

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
}
