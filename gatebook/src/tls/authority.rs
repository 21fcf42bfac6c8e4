//! The site's own authority: made at the first start, its key a sealed row that all nodes share.
//!
//! Agents know it by the SHA-256 of its public key, so its certificate can be made anew under the same key without any
//! of them noticing.

use std::net::IpAddr;

use anyhow::{Context, Result, bail};
use chrono::{Datelike, Duration, Utc};
use domain::Timestamp;
use domain::time::DAY;
use eventstore::{EventStore, SideTable, SideWrite, StoreError};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use secrets::Sealer;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// Its row in the side table `secret`.
const ROW: &str = "site_authority";

/// Where a sealed authority belongs; one copied elsewhere does not open.
const BOUND_TO: &[u8] = b"secret/site_authority";

/// How long the authority's certificate is good for. Unit: days.
const AUTHORITY_DAYS: i64 = 3_650;

/// How long before its end the authority's certificate is made anew. Unit: days.
const AUTHORITY_RENEWED_DAYS: i64 = 365;

/// How long a node's certificate is good for. Unit: days.
const NODE_DAYS: i64 = 90;

/// How long before its end a node's certificate is made anew. Unit: days.
pub const NODE_RENEWED_DAYS: i64 = 30;

/// The authority: its certificate and its key.
pub struct SiteAuthority {
    certificate_pem: String,
    key: KeyPair,
    expires_at: Timestamp,
}

/// A certificate for a node with its key and the authority's certificate behind it, as rustls takes it.
pub struct Issued {
    /// Chain and key.
    pub certified: CertifiedKey,
    /// From when it should be made anew.
    pub renew_at: Timestamp,
}

/// The stored form; sealed as a whole.
#[derive(Serialize, Deserialize)]
struct Stored {
    certificate: String,
    key: Zeroizing<String>,
    expires_at: Timestamp,
}

impl SiteAuthority {
    /// A new authority, good from `now` on.
    ///
    /// # Errors
    /// The crypto library refused.
    pub fn make(now: Timestamp) -> Result<Self> {
        let key = KeyPair::generate().context("making the key of the site's authority")?;
        Self::certify(key, now)
    }

    fn certify(key: KeyPair, now: Timestamp) -> Result<Self> {
        let mut parameters = CertificateParams::default();
        let mut name = DistinguishedName::new();
        // Two sites' authorities must not look alike to a person or to a cache of chains.
        let print = hex::encode(&Sha256::digest(key.subject_public_key_info())[..4]);
        name.push(
            DnType::CommonName,
            format!("Gatebook site authority {print}"),
        );
        parameters.distinguished_name = name;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let expires_at = set_validity(&mut parameters, now, AUTHORITY_DAYS);
        let certificate = parameters
            .self_signed(&key)
            .context("signing the certificate of the site's authority")?;
        Ok(Self {
            certificate_pem: certificate.pem(),
            key,
            expires_at,
        })
    }

    /// The site's authority, made if there is none yet, and its certificate made anew when its end is near.
    ///
    /// # Errors
    /// The database failed, or the stored authority does not open: then the key file is not this site's.
    pub async fn load_or_make(store: &EventStore, sealer: &Sealer, now: Timestamp) -> Result<Self> {
        // Twice at most: whoever loses the race to make it finds the winner's.
        for _ in 0..2 {
            let authority = match store.side_row(SideTable::Secret, ROW).await? {
                Some(row) => {
                    let held = Self::unseal(&row, sealer)?;
                    if held.expires_at.since(now) > AUTHORITY_RENEWED_DAYS * DAY {
                        return Ok(held);
                    }
                    let renewed = Self::certify(held.key, now)?;
                    let value = renewed.seal(sealer)?;
                    put(store, move |_| put_row(value)).await?;
                    return Ok(renewed);
                }
                None => Self::make(now)?,
            };
            let value = authority.seal(sealer)?;
            let made = put(store, move |there| {
                if there {
                    Vec::new()
                } else {
                    vec![SideWrite::Insert {
                        table: SideTable::Secret,
                        key: ROW.to_owned(),
                        value,
                    }]
                }
            })
            .await;
            match made {
                // Somebody else's may have been there already: what is stored counts.
                Ok(()) | Err(StoreError::SideExists(..)) => {}
                Err(error) => return Err(error).context("storing the site's authority"),
            }
        }
        let row = store.side_row(SideTable::Secret, ROW).await?;
        Self::unseal(
            &row.context("the site's authority was stored and is not there")?,
            sealer,
        )
    }

    fn seal(&self, sealer: &Sealer) -> Result<Vec<u8>> {
        let stored = Stored {
            certificate: self.certificate_pem.clone(),
            key: Zeroizing::new(self.key.serialize_pem()),
            expires_at: self.expires_at,
        };
        let plain = Zeroizing::new(serde_json::to_vec(&stored).context("writing the authority")?);
        Ok(sealer.seal(&plain, BOUND_TO))
    }

    fn unseal(row: &[u8], sealer: &Sealer) -> Result<Self> {
        let plain = sealer.open(row, BOUND_TO).context(
            "the key file is not the one of this site: give every node the key file of the node that made the site \
             (--key-file)",
        )?;
        let Ok(stored) = serde_json::from_slice::<Stored>(&plain) else {
            bail!("the stored authority of the site has a form this version does not know");
        };
        let key =
            KeyPair::from_pem(&stored.key).context("reading the key of the site's authority")?;
        Ok(Self {
            certificate_pem: stored.certificate,
            key,
            expires_at: stored.expires_at,
        })
    }

    /// Its certificate, PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// SHA-256 of its subject public key info (DER): what agents know it by.
    #[must_use]
    pub fn public_key_hash(&self) -> [u8; 32] {
        Sha256::digest(self.key.subject_public_key_info()).into()
    }

    /// Issues a certificate for a node that goes by `names`: host names and addresses.
    ///
    /// # Errors
    /// A name can't stand in a certificate, or the crypto library refused.
    pub fn issue(&self, names: &[String], now: Timestamp) -> Result<Issued> {
        let mut parameters = CertificateParams::default();
        for name in names {
            let alternative = match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(
                    name.as_str()
                        .try_into()
                        .with_context(|| format!("{name:?} can't be in a certificate"))?,
                ),
            };
            parameters.subject_alt_names.push(alternative);
        }
        let mut name = DistinguishedName::new();
        let first = names.first().context("a certificate needs a name")?;
        name.push(DnType::CommonName, first.as_str());
        parameters.distinguished_name = name;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        parameters.use_authority_key_identifier_extension = true;
        let expires_at = set_validity(&mut parameters, now, NODE_DAYS);
        let issuer = Issuer::from_ca_cert_pem(&self.certificate_pem, &self.key)
            .context("reading the certificate of the site's authority")?;
        let key = KeyPair::generate().context("making the key of the node's certificate")?;
        let leaf = parameters
            .signed_by(&key, &issuer)
            .context("signing the node's certificate")?;
        let authority = CertificateDer::from_pem_slice(self.certificate_pem.as_bytes())
            .context("reading the certificate of the site's authority")?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        // The authority's own certificate travels along: an agent that knows only its public key finds it there.
        let chain = vec![leaf.der().clone(), authority];
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let certified = CertifiedKey::from_der(chain, key, &provider)
            .context("taking the node's certificate into use")?;
        Ok(Issued {
            certified,
            renew_at: expires_at.plus(-NODE_RENEWED_DAYS * DAY),
        })
    }
}

fn put_row(value: Vec<u8>) -> Vec<SideWrite> {
    vec![SideWrite::Put {
        table: SideTable::Secret,
        key: ROW.to_owned(),
        value,
    }]
}

/// Changes the authority's row; `change` is told whether there is one.
async fn put(
    store: &EventStore,
    change: impl FnOnce(bool) -> Vec<SideWrite> + Send,
) -> Result<(), StoreError> {
    store
        .change_side_rows((SideTable::Secret, ROW), move |rows| {
            change(rows.iter().any(|row| row.key == ROW))
        })
        .await
}

/// Sets validity from the day before `now` for `days`, in whole days, and says when it ends. The day before: the clock
/// of whoever connects may be behind.
fn set_validity(parameters: &mut CertificateParams, now: Timestamp, days: i64) -> Timestamp {
    let today = now.to_utc().date_naive();
    let ymd = |date: chrono::NaiveDate| {
        let small = |number: u32| u8::try_from(number).unwrap_or(1);
        rcgen::date_time_ymd(date.year(), small(date.month()), small(date.day()))
    };
    let end = today + Duration::days(days);
    parameters.not_before = ymd(today - Duration::days(1));
    parameters.not_after = ymd(end);
    Timestamp::from_utc(
        end.and_time(chrono::NaiveTime::MIN)
            .and_local_timezone(Utc)
            .earliest()
            .unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    use rustls_pki_types::{ServerName, UnixTime};

    use super::*;

    const NOW: Timestamp = Timestamp(1_790_000_000_000_000);

    fn names() -> Vec<String> {
        ["gate.example", "localhost", "127.0.0.1", "::1", "node-a"]
            .map(str::to_owned)
            .to_vec()
    }

    #[test]
    fn a_node_is_trusted_under_each_of_its_names_and_no_other() {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let authority = SiteAuthority::make(NOW).unwrap();
        let issued = authority.issue(&names(), NOW).unwrap();
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes()).unwrap())
            .unwrap();
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .unwrap();
        let at = |timestamp: Timestamp| {
            UnixTime::since_unix_epoch(std::time::Duration::from_secs(
                timestamp.unix_seconds().unsigned_abs(),
            ))
        };
        let trusted = |name: &str, when: Timestamp| {
            let name = ServerName::try_from(name.to_owned()).unwrap();
            let chain = &issued.certified.cert;
            rustls::client::danger::ServerCertVerifier::verify_server_cert(
                &*verifier,
                &chain[0],
                &chain[1..],
                &name,
                &[],
                at(when),
            )
            .is_ok()
        };
        for name in names() {
            assert!(trusted(&name, NOW), "{name}");
        }
        assert!(!trusted("other.example", NOW));
        assert!(!trusted("127.0.0.2", NOW));
        assert!(trusted("localhost", issued.renew_at.plus(29 * DAY)));
        assert!(!trusted("localhost", issued.renew_at.plus(31 * DAY)));
        assert!(issued.renew_at > NOW.plus(59 * DAY - 1) && issued.renew_at < NOW.plus(61 * DAY));
    }

    #[test]
    fn a_certificate_made_anew_keeps_the_key_that_agents_know() {
        let first = SiteAuthority::make(NOW).unwrap();
        let print = first.public_key_hash();
        let renewed = SiteAuthority::certify(first.key, NOW.plus(3_000 * DAY)).unwrap();
        assert_eq!(renewed.public_key_hash(), print);
        assert_ne!(SiteAuthority::make(NOW).unwrap().public_key_hash(), print);
    }
}
