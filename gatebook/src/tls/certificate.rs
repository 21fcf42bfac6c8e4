//! The certificate that this node shows: issued by the site's authority and renewed by itself, or read from files and
//! read again when they change. A handshake always gets the newest one; connections that stand keep theirs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use domain::Timestamp;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;

use crate::tls::{SiteAuthority, pem};

/// Where the certificate comes from.
pub enum Source {
    /// The site's authority, for these names.
    Authority(Box<SiteAuthority>, Vec<String>),
    /// A chain and a key, PEM.
    Files {
        /// The chain, leaf first.
        certificate: PathBuf,
        /// Its key.
        key: PathBuf,
    },
}

/// The certificate in use.
pub struct NodeCertificate {
    source: Source,
    shown: Arc<Shown>,
    /// What decides whether a newer one is due: only [`NodeCertificate::renew`] changes it.
    state: State,
}

enum State {
    RenewAt(Timestamp),
    /// How the two files looked when they were read last, whether or not they could be used.
    Read([Look; 2]),
}

/// Enough of a file's outside to see that it was replaced.
#[derive(PartialEq, Eq)]
struct Look {
    modified: Option<SystemTime>,
    length: u64,
}

/// What handshakes take their certificate from.
#[derive(Debug)]
struct Shown(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl NodeCertificate {
    /// The first certificate from `source`.
    ///
    /// # Errors
    /// It can't be issued, read, or its key does not belong to it.
    pub fn new(source: Source, now: Timestamp) -> Result<Self> {
        let (certified, state) = take(&source, now)?;
        Ok(Self {
            source,
            shown: Arc::new(Shown(ArcSwap::from_pointee(certified))),
            state,
        })
    }

    /// What the TLS listener needs: HTTP/1.1 only, TLS 1.2 and 1.3, always the newest certificate.
    ///
    /// # Errors
    /// The crypto library refused.
    pub fn server_config(&self) -> Result<ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("choosing the versions of TLS")?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.shown) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// The chain in use, leaf first.
    #[must_use]
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.shown.0.load().cert.clone()
    }

    /// For which names the site's authority is to issue it from now on; a newer one is due where they differ from those of
    /// before. A certificate from files has the names that it has.
    pub fn set_names(&mut self, names: Vec<String>) {
        if let Source::Authority(_, held) = &mut self.source
            && *held != names
        {
            *held = names;
            self.state = State::RenewAt(Timestamp(0));
        }
    }

    /// Takes a newer certificate into use if one is due: its end is near, its files changed, or `asked`. Returns whether
    /// it did.
    ///
    /// # Errors
    /// The newer one can't be used; the one in use stays.
    pub fn renew(&mut self, now: Timestamp, asked: bool) -> Result<bool> {
        let due = match (&self.source, &self.state) {
            (Source::Authority(..), State::RenewAt(at)) => now >= *at,
            (Source::Files { certificate, key }, State::Read(looked)) => {
                asked || *looked != [look(certificate), look(key)]
            }
            _ => true,
        };
        if !due {
            return Ok(false);
        }
        if let Source::Files { certificate, key } = &self.source {
            // Also when it fails: a broken pair of files is complained about once and not every minute.
            self.state = State::Read([look(certificate), look(key)]);
        }
        let (certified, state) = take(&self.source, now)?;
        self.shown.0.store(Arc::new(certified));
        self.state = state;
        Ok(true)
    }
}

fn take(source: &Source, now: Timestamp) -> Result<(CertifiedKey, State)> {
    match source {
        Source::Authority(authority, names) => {
            let issued = authority.issue(names, now)?;
            Ok((issued.certified, State::RenewAt(issued.renew_at)))
        }
        Source::Files { certificate, key } => {
            // Looked at before they are read: a change in between is seen the next time.
            let looked = [look(certificate), look(key)];
            Ok((read(certificate, key)?, State::Read(looked)))
        }
    }
}

fn look(path: &Path) -> Look {
    let metadata = fs::metadata(path).ok();
    Look {
        modified: metadata
            .as_ref()
            .and_then(|metadata| metadata.modified().ok()),
        length: metadata.map_or(0, |metadata| metadata.len()),
    }
}

fn read(certificate: &Path, key: &Path) -> Result<CertifiedKey> {
    let chain = pem::certificates(certificate)?;
    let private = pem::private_key(key)?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain, private, &provider).with_context(|| {
        format!(
            "the key in {} does not belong to the certificate in {}",
            key.display(),
            certificate.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use domain::time::DAY;
    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::tls::authority::NODE_RENEWED_DAYS;

    const NOW: Timestamp = Timestamp(1_790_000_000_000_000);

    fn leaf(certificate: &NodeCertificate) -> CertificateDer<'static> {
        certificate.shown.0.load().cert[0].clone()
    }

    #[test]
    fn a_certificate_of_the_authority_is_renewed_days_before_its_end() {
        let authority = SiteAuthority::make(NOW).unwrap();
        let source = Source::Authority(Box::new(authority), vec!["localhost".to_owned()]);
        let mut certificate = NodeCertificate::new(source, NOW).unwrap();
        let first = leaf(&certificate);
        assert!(
            !certificate
                .renew(NOW.plus((88 - NODE_RENEWED_DAYS) * DAY), false)
                .unwrap()
        );
        assert_eq!(leaf(&certificate), first);
        let late = NOW.plus((91 - NODE_RENEWED_DAYS) * DAY);
        assert!(certificate.renew(late, false).unwrap());
        assert_ne!(leaf(&certificate), first);
        assert!(!certificate.renew(late, false).unwrap());
    }

    #[test]
    fn a_new_name_is_in_the_certificate_at_once() {
        let authority = SiteAuthority::make(NOW).unwrap();
        let names = |more: &[&str]| {
            let names = ["localhost"].iter().chain(more);
            names.map(|&name| name.to_owned()).collect::<Vec<_>>()
        };
        let source = Source::Authority(Box::new(authority), names(&[]));
        let mut certificate = NodeCertificate::new(source, NOW).unwrap();
        certificate.set_names(names(&[]));
        assert!(!certificate.renew(NOW, false).unwrap());
        certificate.set_names(names(&["new.example.com"]));
        assert!(certificate.renew(NOW, false).unwrap());
        assert!(!certificate.renew(NOW, false).unwrap());
        let leaf = leaf(&certificate);
        let (_, parsed) = x509_parser::parse_x509_certificate(&leaf).unwrap();
        let shown = parsed.subject_alternative_name().unwrap().unwrap();
        assert!(format!("{shown:?}").contains("new.example.com"));
    }

    fn write_pair(folder: &Path, name: &str) {
        let key = KeyPair::generate().unwrap();
        let made = CertificateParams::new(vec![name.to_owned()])
            .unwrap()
            .self_signed(&key)
            .unwrap();
        fs::write(folder.join("c.pem"), made.pem()).unwrap();
        fs::write(folder.join("k.pem"), key.serialize_pem()).unwrap();
    }

    #[test]
    fn files_are_read_again_when_they_change_and_a_broken_pair_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        write_pair(folder.path(), "a.example");
        let source = Source::Files {
            certificate: folder.path().join("c.pem"),
            key: folder.path().join("k.pem"),
        };
        let mut certificate = NodeCertificate::new(source, NOW).unwrap();
        let first = leaf(&certificate);
        assert!(!certificate.renew(NOW, false).unwrap());
        assert!(certificate.renew(NOW, true).unwrap(), "asked by SIGHUP");
        assert_eq!(leaf(&certificate), first);

        let other = KeyPair::generate().unwrap();
        let whole = fs::read(folder.path().join("k.pem")).unwrap();
        fs::write(
            folder.path().join("k.pem"),
            [other.serialize_pem().as_bytes(), b"\n"].concat(),
        )
        .unwrap();
        let error = certificate.renew(NOW, false).unwrap_err();
        assert!(error.to_string().contains("does not belong"), "{error:#}");
        assert_eq!(leaf(&certificate), first);
        assert!(
            !certificate.renew(NOW, false).unwrap(),
            "complained about once"
        );

        fs::write(folder.path().join("k.pem"), whole).unwrap();
        write_pair(folder.path(), "much-longer-name.example");
        assert!(certificate.renew(NOW, false).unwrap());
        assert_ne!(leaf(&certificate), first);
    }
}
