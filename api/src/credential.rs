//! Passwords and client secrets: how they are made, kept and compared.
//!
//! Both lie sealed in the `secret` side table under a reference that is made once and never overwritten: of a client secret
//! its keyed hash, of a password its argon2 hash. So whoever holds the database alone can't even begin to guess.

use std::sync::Arc;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Fresh;
use domain::ids::SecretRef;
use engine::Side;
use eventstore::{SideTable, SideWrite};
use secrets::{Sealer, SecretText};
use tokio::sync::Semaphore;

use crate::error::Problem;
use crate::site::Site;

/// What client secrets are hashed for.
const CLIENT_SECRET: &str = "client-secret";

/// A new reference for a secret: 32 hex digits that nobody can guess.
#[must_use]
pub fn new_reference(fresh: &Fresh) -> SecretRef {
    SecretRef(fresh.hex(0))
}

/// Unguessable text of letters, digits, `-` and `_`: `bytes` random bytes, at most 64.
///
/// It holds nothing that any client would have to escape.
#[must_use]
pub fn unguessable(fresh: &Fresh, bytes: usize) -> SecretText {
    let random: Vec<u8> = (0..4)
        .flat_map(|index| fresh.value(index).to_be_bytes())
        .take(bytes)
        .collect();
    SecretText::new(URL_SAFE_NO_PAD.encode(random))
}

/// A new client secret: 44 characters (AUTH-30).
#[must_use]
pub fn new_client_secret(fresh: &Fresh) -> SecretText {
    unguessable(fresh, 33)
}

/// What the `secret` row of a client secret holds.
#[must_use]
pub fn seal_client_secret(sealer: &Sealer, reference: &SecretRef, secret: &SecretText) -> Vec<u8> {
    let hash = sealer.keyed_hash(CLIENT_SECRET, secret.expose().as_bytes());
    sealer.seal(&hash, &place(reference))
}

/// What the `secret` row of a password holds, given its argon2 hash from [`Passwords::hash`].
#[must_use]
pub fn seal_password(sealer: &Sealer, reference: &SecretRef, hash: &SecretText) -> Vec<u8> {
    sealer.seal(hash.expose().as_bytes(), &place(reference))
}

/// What the `secret` row of a secret holds that the site shows to others itself, such as the password of the mail server.
#[must_use]
pub fn seal_secret(sealer: &Sealer, reference: &SecretRef, secret: &SecretText) -> Vec<u8> {
    sealer.seal(secret.expose().as_bytes(), &place(reference))
}

/// The side write that puts a sealed secret away together with the event that names it.
#[must_use]
pub fn put_away(reference: &SecretRef, sealed: Vec<u8>) -> Side {
    let key = reference.0.clone();
    Side::writing(move |_context| {
        vec![SideWrite::Insert {
            table: SideTable::Secret,
            key,
            value: sealed,
        }]
    })
}

/// The bytes a sealed value is bound to, so that it opens under its own reference only.
fn place(reference: &SecretRef) -> Vec<u8> {
    format!("secret/{}", reference.0).into_bytes()
}

impl Site {
    /// Whether `given` is the client secret under `reference`. Takes the same time wherever they differ; for no reference it
    /// compares with nothing and says no.
    ///
    /// # Errors
    /// When the database does not answer, or the row does not open.
    pub async fn client_secret_matches(
        &self,
        reference: Option<&SecretRef>,
        given: &SecretText,
    ) -> Result<bool, Problem> {
        let hash = self
            .sealer
            .keyed_hash(CLIENT_SECRET, given.expose().as_bytes());
        let kept = match reference {
            Some(reference) => self.open(reference).await?,
            // An account that does not exist costs the same look-up.
            None => self.open(&SecretRef("0".repeat(32))).await?,
        };
        Ok(kept.is_some_and(|kept| secrets::constant_time_eq(&hash, kept.as_bytes())))
    }

    /// Whether `given` is the password under `reference`. Without a reference the same work is done for nothing.
    ///
    /// # Errors
    /// When the database does not answer, the row does not open, or too many passwords wait.
    pub async fn password_matches(
        &self,
        reference: Option<&SecretRef>,
        given: &SecretText,
    ) -> Result<bool, Problem> {
        let kept = match reference {
            Some(reference) => self.open(reference).await?,
            None => None,
        };
        let hash = kept.and_then(|kept| kept.as_text());
        self.passwords.matches(hash, given.clone()).await
    }

    /// The secret under `reference` that the site shows to others itself, if there is one.
    ///
    /// # Errors
    /// When the database does not answer, or the row does not open.
    pub(crate) async fn secret_text(
        &self,
        reference: &SecretRef,
    ) -> Result<Option<SecretText>, Problem> {
        let kept = self.open(reference).await?;
        Ok(kept.and_then(|kept| kept.as_text()))
    }

    async fn open(&self, reference: &SecretRef) -> Result<Option<Opened>, Problem> {
        let row = self
            .engine
            .store()
            .side_row(SideTable::Secret, &reference.0)
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        match self.sealer.open(&row, &place(reference)) {
            Ok(bytes) => Ok(Some(Opened(bytes.to_vec()))),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    reference = reference.0,
                    "a secret does not open"
                );
                Err(Problem::internal())
            }
        }
    }
}

/// What a secret row holds: a hash, or a secret that the site itself must show.
struct Opened(Vec<u8>);

impl Opened {
    fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn as_text(&self) -> Option<SecretText> {
        std::str::from_utf8(&self.0).ok().map(SecretText::new)
    }
}

/// Hashes passwords off the async threads, a few at a time, with a bounded queue (threat M).
pub struct Passwords {
    running: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl Passwords {
    /// Hashes `at_once` passwords at a time, and lets `waiting_max` more wait.
    #[must_use]
    pub fn new(at_once: usize, waiting_max: usize) -> Self {
        Self {
            running: Arc::new(Semaphore::new(at_once.max(1))),
            places: Arc::new(Semaphore::new(at_once.max(1) + waiting_max)),
        }
    }

    /// The argon2id hash of a password, as PHC text. `fresh` gives the salt.
    ///
    /// # Errors
    /// 503 when too many passwords wait.
    pub async fn hash(&self, password: SecretText, fresh: &Fresh) -> Result<SecretText, Problem> {
        let salt = fresh.value(63).to_be_bytes();
        self.run(move || {
            let salt = SaltString::encode_b64(&salt).map_err(hash_failed)?;
            let hash = Argon2::default()
                .hash_password(password.expose().as_bytes(), &salt)
                .map_err(hash_failed)?;
            Ok(SecretText::new(hash.to_string()))
        })
        .await?
    }

    /// Whether `given` has this hash. Without a hash, or with one that can't be read, the same work is done and the answer is no.
    ///
    /// # Errors
    /// 503 when too many passwords wait.
    pub async fn matches(
        &self,
        hash: Option<SecretText>,
        given: SecretText,
    ) -> Result<bool, Problem> {
        self.run(move || {
            let readable = hash
                .as_ref()
                .and_then(|hash| PasswordHash::new(hash.expose()).ok());
            match readable {
                Some(hash) => Argon2::default()
                    .verify_password(given.expose().as_bytes(), &hash)
                    .is_ok(),
                None => {
                    let mut out = [0; 32];
                    // The outcome is of no interest, only that it takes as long.
                    let _same_work = Argon2::default().hash_password_into(
                        given.expose().as_bytes(),
                        &[7; 16],
                        &mut out,
                    );
                    false
                }
            }
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let busy = || {
            Problem::unavailable(
                "The server is currently too busy. Please try again later.",
                Duration::from_secs(2),
            )
        };
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| busy())?;
        let turn = Arc::clone(&self.running)
            .acquire_owned()
            .await
            .map_err(|_| busy())?;
        // Both go along: a caller who hangs up does not make room before the work is done.
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop((turn, place));
            done
        });
        done.await.map_err(|error| {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "hashing a password failed"
            );
            Problem::internal()
        })
    }
}

fn hash_failed(error: argon2::password_hash::Error) -> Problem {
    tracing::error!(%error, "hashing a password failed");
    Problem::internal()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> Fresh {
        Fresh(std::array::from_fn(|index| u128::MAX / 7 + index as u128))
    }

    #[tokio::test]
    async fn a_password_matches_its_own_hash_only() {
        let passwords = Passwords::new(2, 8);
        let hash = passwords.hash("tiger".into(), &fresh()).await.unwrap();
        assert!(hash.expose().starts_with("$argon2id$"));
        // hash, password, matches
        let cases = [
            (Some(hash.clone()), "tiger", true),
            (Some(hash), "Tiger", false),
            (Some("no hash".into()), "tiger", false),
            (None, "tiger", false),
        ];
        for (hash, given, expected) in cases {
            let matches = passwords.matches(hash, given.into()).await.unwrap();
            assert_eq!(matches, expected, "{given}");
        }
    }

    /// threat M
    #[tokio::test]
    async fn threat_m_more_passwords_than_may_wait_are_refused_at_once() {
        let passwords = Passwords::new(1, 1);
        let places = Arc::clone(&passwords.places)
            .try_acquire_many_owned(2)
            .unwrap();
        let refused = passwords.matches(None, "tiger".into()).await.unwrap_err();
        assert_eq!(refused.status.as_u16(), 503);
        drop(places);
        assert!(passwords.matches(None, "tiger".into()).await.is_ok());
    }

    /// AUTH-30
    #[test]
    fn a_client_secret_has_44_characters_that_nobody_escapes() {
        let secret = new_client_secret(&fresh());
        assert_eq!(secret.expose().len(), 44);
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        assert!(secret.expose().chars().all(plain));
    }
}
