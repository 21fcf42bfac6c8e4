//! Whether a certificate chain is the server's: the anchors of the key, see section 3 of docs/client-link.md.
//!
//! A fleet in one process would check the same chain thousands of times beside the server it measures. A chain that was found
//! good for a name is therefore good for the rest of the run; who shows it must still prove every time that the key is its own.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use link_protocol::{Anchor, AnchorList};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use sha2::{Digest, Sha256};

/// The TLS configuration of all machines of a process.
///
/// Sessions are not resumed: a real agent reads its anchors anew for every connection, and a resumed session would trust a
/// server by what it once was.
///
/// # Errors
/// If the cryptography can't serve TLS 1.2 and 1.3, which would be a fault of the build.
pub fn client_config(anchors: &AnchorList) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Arc::new(PinVerifier::new(anchors, Arc::clone(&provider)));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Checks a chain against the pinned authorities of an anchor list; a simulated machine knows no roots of a system.
#[derive(Debug)]
pub struct PinVerifier {
    pins: HashSet<[u8; 32]>,
    provider: Arc<CryptoProvider>,
    /// Hashes of certificate and name that were found good.
    good: Mutex<HashSet<[u8; 32]>>,
}

impl PinVerifier {
    /// A verifier for the pins of this list.
    #[must_use]
    pub fn new(anchors: &AnchorList, provider: Arc<CryptoProvider>) -> Self {
        let pins = anchors.list.iter().filter_map(|anchor| match anchor {
            Anchor::PublicKey(hash) => Some(*hash),
            Anchor::System | Anchor::Unknown(_) => None,
        });
        Self {
            pins: pins.collect(),
            provider,
            good: Mutex::default(),
        }
    }

    fn check(
        &self,
        end_entity: &CertificateDer<'_>,
        sent: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let mut roots = RootCertStore::empty();
        for certificate in sent {
            let pinned = ParsedCertificate::try_from(certificate).is_ok_and(|parsed| {
                let hash: [u8; 32] =
                    Sha256::digest(parsed.subject_public_key_info().as_ref()).into();
                self.pins.contains(&hash)
            });
            if pinned {
                roots.add(certificate.clone().into_owned())?;
            }
        }
        if roots.is_empty() {
            return Err(Error::InvalidCertificate(CertificateError::UnknownIssuer));
        }
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &roots, sent, now, algorithms)?;
        verify_server_name(&certificate, server_name)
    }
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut hash = Sha256::new();
        hash.update(end_entity);
        hash.update(server_name.to_str().as_bytes());
        let shown: [u8; 32] = hash.finalize().into();
        let good = || self.good.lock().unwrap_or_else(PoisonError::into_inner);
        if !good().contains(&shown) {
            self.check(end_entity, intermediates, server_name, now)?;
            good().insert(shown);
        }
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
