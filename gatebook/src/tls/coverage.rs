//! Which trust anchors make agents trust a certificate: the server's own look at what an agent checks
//! (docs/client-link.md, section 3).

use api::ShownCertificate;
use rustls::RootCertStore;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::pki_types::{ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};

/// The anchor that stands for the roots of the agent's operating system.
const SYSTEM: &str = "system";

/// What covers `chain`, leaf first, for an agent that asks for one of `hosts`. `system` are the roots of this machine, which
/// stand in for those of the agents' machines.
#[must_use]
pub fn coverage(
    chain: &[CertificateDer<'_>],
    hosts: &[String],
    system: &[CertificateDer<'_>],
    now: UnixTime,
) -> ShownCertificate {
    match covering(chain, hosts, system, now) {
        Ok(covered_by) => ShownCertificate {
            covered_by: Some(covered_by),
            problem: None,
        },
        Err(problem) => ShownCertificate {
            covered_by: Some(Vec::new()),
            problem: Some(problem),
        },
    }
}

fn covering(
    chain: &[CertificateDer<'_>],
    hosts: &[String],
    system: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<Vec<String>, String> {
    let (leaf, behind) = chain.split_first().ok_or("there is no certificate")?;
    let parsed =
        ParsedCertificate::try_from(leaf).map_err(|error| format!("it can't be read: {error}"))?;
    let is_for = |host: &String| {
        let name = ServerName::try_from(host.as_str());
        name.is_ok_and(|name| verify_server_name(&parsed, &name).is_ok())
    };
    if !hosts.iter().any(is_for) {
        return Err(format!("it is for none of the names {}", hosts.join(", ")));
    }
    let algorithms =
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
    let mut covered_by = Vec::new();
    let mut problem = "its authority's certificate is neither in the chain nor among the roots of this machine: append it to the \
                       certificate file"
        .to_owned();
    let sent = behind.iter().map(|authority| (authority, false));
    let known = system
        .iter()
        .filter(|root| issued_one_of(root, chain))
        .map(|root| (root, true));
    for (authority, is_system) in sent.chain(known) {
        let mut roots = RootCertStore::empty();
        if roots.add(authority.clone().into_owned()).is_err() {
            continue;
        }
        let verified =
            verify_server_cert_signed_by_trust_anchor(&parsed, &roots, behind, now, algorithms.all);
        match verified {
            Ok(()) => {
                covered_by.extend(pin(authority));
                covered_by.extend(is_system.then(|| SYSTEM.to_owned()));
            }
            Err(error) => problem = error.to_string(),
        }
    }
    if covered_by.is_empty() {
        return Err(problem);
    }
    covered_by.sort();
    covered_by.dedup();
    Ok(covered_by)
}

/// Whether `root` has the name that one of `chain` says its issuer has: there are too many roots to try them all.
fn issued_one_of(root: &CertificateDer<'_>, chain: &[CertificateDer<'_>]) -> bool {
    let Ok((_, root)) = x509_parser::parse_x509_certificate(root) else {
        return false;
    };
    chain.iter().any(|certificate| {
        x509_parser::parse_x509_certificate(certificate)
            .is_ok_and(|(_, certificate)| certificate.issuer() == root.subject())
    })
}

fn pin(authority: &CertificateDer<'_>) -> Option<String> {
    let parsed = ParsedCertificate::try_from(authority).ok()?;
    let hash = Sha256::digest(parsed.subject_public_key_info().as_ref());
    Some(format!("sha256:{}", hex::encode(hash)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
        KeyUsagePurpose,
    };

    use super::*;

    type Authority = CertifiedIssuer<'static, KeyPair>;

    fn authority(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    fn leaf(issuer: &Authority, until: i32) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["access.example.com".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        params.signed_by(&key, issuer).unwrap().der().clone()
    }

    fn look(
        chain: &[CertificateDer<'_>],
        host: &str,
        system: &[CertificateDer<'_>],
    ) -> (Vec<String>, bool) {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_790_000_000));
        let shown = coverage(chain, &[host.to_owned()], system, now);
        (shown.covered_by.unwrap(), shown.problem.is_some())
    }

    #[test]
    fn a_chain_is_covered_by_its_authority_and_by_the_system_where_that_knows_it() {
        let (ours, other) = (authority("Ours"), authority("Other"));
        let name = "access.example.com";
        let good = leaf(&ours, 2090);
        let pinned = pin(ours.der()).unwrap();
        let chain = [good.clone(), ours.der().clone()];
        assert_eq!(look(&chain, name, &[]), (vec![pinned.clone()], false));
        let roots = [other.der().clone(), ours.der().clone()];
        let both = vec![pinned, SYSTEM.to_owned()];
        assert_eq!(look(&chain, name, &roots), (both.clone(), false));
        assert_eq!(look(&chain[..1], name, &roots), (both, false));
        // What an agent would refuse as well.
        let over = [leaf(&ours, 2020), ours.der().clone()];
        let foreign = [good, other.der().clone()];
        for (case, chain, name) in [
            ("the authority is not sent", &chain[..1], name),
            ("another name", &chain[..], "other.example.com"),
            ("expired", &over[..], name),
            ("another authority", &foreign[..], name),
            ("nothing", &[], name),
        ] {
            assert_eq!(look(chain, name, &[]), (Vec::new(), true), "{case}");
        }
    }
}
