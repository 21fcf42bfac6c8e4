//! Whether a certificate chain is the server's: the trust anchors applied, see section 3 of
//! `docs/client-link.md`.
//!
//! A pinned authority takes the place of the list of roots and of nothing else: chain, validity, usage
//! and host name are checked by webpki as for any other root. There is no switch to turn it off.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::sync::Arc;

use link_protocol::{Anchor, AnchorList};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use sha2::{Digest, Sha256};

/// Roots an agent may use beside the chain it is sent.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    /// What the operating system trusts: used where the anchor list says `system`, and searched for
    /// pinned authorities.
    pub system: Vec<CertificateDer<'static>>,
    /// What the person who installed the agent trusts on top: always used.
    pub local: Vec<CertificateDer<'static>>,
}

/// The system's roots as they are now, which change while an agent runs for months, and `local` ones.
///
/// # Errors
/// If no thread could read them.
pub(crate) async fn roots(local: &[CertificateDer<'static>]) -> io::Result<Roots> {
    let system = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs)
        .await
        .map_err(io::Error::other)?;
    for error in &system.errors {
        tracing::debug!(%error, "some roots of the system could not be read");
    }
    Ok(Roots {
        system: system.certs,
        local: local.to_vec(),
    })
}

/// Makes the TLS configuration of a connection that trusts these anchors.
///
/// # Errors
/// If the cryptography can't serve TLS 1.2 and 1.3, which would be a fault of the build.
pub fn client_config(anchors: &AnchorList, roots: Roots) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Arc::new(AnchorVerifier::new(anchors, roots, Arc::clone(&provider)));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(config)
}

/// Checks a server's certificate chain against an anchor list.
pub struct AnchorVerifier {
    pins: HashSet<[u8; 32]>,
    trusts_system: bool,
    roots: Roots,
    provider: Arc<CryptoProvider>,
}

impl AnchorVerifier {
    /// A verifier for these anchors. Anchors of unknown kinds trust nobody.
    #[must_use]
    pub fn new(anchors: &AnchorList, roots: Roots, provider: Arc<CryptoProvider>) -> Self {
        let pins = anchors.list.iter().filter_map(|anchor| match anchor {
            Anchor::PublicKey(hash) => Some(*hash),
            Anchor::System | Anchor::Unknown(_) => None,
        });
        Self {
            pins: pins.collect(),
            trusts_system: anchors.list.contains(&Anchor::System),
            roots,
            provider,
        }
    }

    /// The roots that may end this chain.
    fn roots_for(&self, sent: &[CertificateDer<'_>]) -> RootCertStore {
        let mut store = RootCertStore::empty();
        let pinned = sent.iter().chain(&self.roots.system).filter(|certificate| {
            !self.pins.is_empty()
                && public_key_hash(certificate).is_some_and(|hash| self.pins.contains(&hash))
        });
        let system = self.roots.system.iter().filter(|_| self.trusts_system);
        for certificate in pinned.chain(system).chain(&self.roots.local) {
            // A root that can't be read can't end a chain; the others still may.
            if let Err(error) = store.add(certificate.clone().into_owned()) {
                tracing::debug!(%error, "a root certificate was skipped");
            }
        }
        store
    }
}

/// SHA-256 over the whole SubjectPublicKeyInfo of a certificate; none if it can't be read.
#[must_use]
pub fn public_key_hash(certificate: &CertificateDer<'_>) -> Option<[u8; 32]> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    Some(Sha256::digest(parsed.subject_public_key_info().as_ref()).into())
}

impl ServerCertVerifier for AnchorVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let roots = self.roots_for(intermediates);
        if roots.is_empty() {
            return Err(Error::InvalidCertificate(CertificateError::UnknownIssuer));
        }
        let certificate = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        verify_server_name(&certificate, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

impl fmt::Debug for AnchorVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnchorVerifier")
            .field("pins", &self.pins.len())
            .field("trusts_system", &self.trusts_system)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose,
        IsCa, KeyPair, KeyUsagePurpose, PublicKeyData,
    };

    use super::*;

    type Authority = CertifiedIssuer<'static, KeyPair>;

    fn authority(name: &str) -> Authority {
        authority_with_key(name, KeyPair::generate().unwrap())
    }

    fn authority_with_key(name: &str, key: KeyPair) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        CertifiedIssuer::self_signed(params, key).unwrap()
    }

    fn leaf(
        issuer: &Authority,
        change: impl FnOnce(&mut CertificateParams),
    ) -> CertificateDer<'static> {
        let names = ["gatebook.example".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        change(&mut params);
        params
            .signed_by(&KeyPair::generate().unwrap(), issuer)
            .unwrap()
            .der()
            .clone()
    }

    fn pin(authority: &Authority) -> Anchor {
        Anchor::PublicKey(public_key_hash(authority.der()).unwrap())
    }

    fn verify(
        list: Vec<Anchor>,
        roots: Roots,
        leaf: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        name: &str,
    ) -> Result<(), Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = AnchorVerifier::new(&AnchorList { version: 1, list }, roots, provider);
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
        verifier
            .verify_server_cert(leaf, sent, &name, &[], now)
            .map(drop)
    }

    /// The hash that `openssl pkey -pubin -outform DER | sha256sum` prints.
    #[test]
    fn a_pin_is_the_hash_of_the_whole_public_key_structure() {
        let key = KeyPair::generate().unwrap();
        let expected: [u8; 32] = Sha256::digest(key.subject_public_key_info()).into();
        assert_eq!(
            public_key_hash(authority_with_key("Site", key).der()),
            Some(expected)
        );
    }

    #[test]
    fn a_chain_to_the_pinned_authority_is_trusted_by_name_and_by_address() {
        let site = authority("Site");
        let leaf = leaf(&site, |_| {});
        for name in ["gatebook.example", "127.0.0.1"] {
            verify(
                vec![pin(&site)],
                Roots::default(),
                &leaf,
                &[site.der().clone()],
                name,
            )
            .unwrap();
        }
    }

    /// threat N
    #[test]
    fn threat_n_everything_but_the_pin_is_still_checked() {
        let site = authority("Site");
        let other = authority("Other");
        // Has the site's name and another key: what an attacker can make.
        let namesake = authority("Site");
        let sent = [site.der().clone()];
        let good = leaf(&site, |_| {});
        let expired = leaf(&site, |params| {
            params.not_after = rcgen::date_time_ymd(2020, 1, 1)
        });
        let early = leaf(&site, |params| {
            params.not_before = rcgen::date_time_ymd(2100, 1, 1)
        });
        let usage = leaf(&site, |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]
        });
        let foreign = leaf(&other, |_| {});
        let forged = leaf(&namesake, |_| {});
        let both = [namesake.der().clone(), site.der().clone()];
        let cases: [(&str, &CertificateDer<'_>, &[CertificateDer<'_>], &str); 9] = [
            ("another name", &good, &sent, "evil.example"),
            ("another address", &good, &sent, "127.0.0.2"),
            ("the authority is not sent", &good, &[], "gatebook.example"),
            ("expired", &expired, &sent, "gatebook.example"),
            ("not yet valid", &early, &sent, "gatebook.example"),
            ("not for servers", &usage, &sent, "gatebook.example"),
            (
                "of another authority",
                &foreign,
                &[other.der().clone()],
                "gatebook.example",
            ),
            (
                "forged beside the true authority",
                &forged,
                &both,
                "gatebook.example",
            ),
            (
                "foreign beside the true authority",
                &foreign,
                &sent,
                "gatebook.example",
            ),
        ];
        for (case, leaf, sent, name) in cases {
            assert!(
                verify(vec![pin(&site)], Roots::default(), leaf, sent, name).is_err(),
                "{case}"
            );
        }
    }

    #[test]
    fn any_one_anchor_is_enough_and_an_unknown_one_trusts_nobody() {
        let (old, new) = (authority("Old"), authority("New"));
        let pins = || vec![pin(&old), pin(&new)];
        for site in [&old, &new] {
            let leaf = leaf(site, |_| {});
            verify(
                pins(),
                Roots::default(),
                &leaf,
                &[site.der().clone()],
                "gatebook.example",
            )
            .unwrap();
        }
        let leaf = leaf(&old, |_| {});
        let unknown = vec![Anchor::Unknown("newer:kind".to_owned())];
        assert!(
            verify(
                unknown,
                Roots::default(),
                &leaf,
                &[old.der().clone()],
                "gatebook.example"
            )
            .is_err()
        );
    }

    #[test]
    fn system_roots_count_only_where_the_list_says_so_or_pins_one() {
        let (public, other) = (authority("Public"), authority("Other"));
        let leaf = leaf(&public, |_| {});
        let roots = || Roots {
            system: vec![other.der().clone(), public.der().clone()],
            local: vec![],
        };
        let name = "gatebook.example";
        verify(vec![Anchor::System], roots(), &leaf, &[], name).unwrap();
        verify(vec![pin(&public)], roots(), &leaf, &[], name).unwrap();
        assert!(verify(vec![pin(&other)], roots(), &leaf, &[], name).is_err());
        assert!(
            verify(
                vec![Anchor::System],
                Roots::default(),
                &leaf,
                &[public.der().clone()],
                name
            )
            .is_err()
        );
    }

    #[test]
    fn roots_of_a_local_file_count_beside_the_list() {
        let (site, proxy) = (authority("Site"), authority("Proxy"));
        let leaf = leaf(&proxy, |_| {});
        let roots = Roots {
            system: vec![],
            local: vec![proxy.der().clone()],
        };
        verify(vec![pin(&site)], roots, &leaf, &[], "gatebook.example").unwrap();
    }
}
