//! Passwords and client secrets: how they are made, kept and compared.
//!
//! Both lie sealed in the `secret` side table under a reference that is made once and never overwritten: of a client secret
//! its keyed hash, of a password its argon2 hash. So whoever holds the database alone can't even begin to guess.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Fresh;
use domain::ids::SecretRef;
use engine::Side;
use eventstore::{SideTable, SideWrite};
use secrets::{Sealer, SecretText};

use crate::error::Problem;
use crate::passwords::Source;
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

/// Random bytes for a text that shows that it was given out here, from two places of `fresh`.
#[must_use]
pub fn random_bytes(fresh: &Fresh, places: [usize; 2]) -> [u8; secrets::tagged_text::RANDOM_BYTES] {
    let [first, second] = places.map(|place| fresh.value(place).to_be_bytes());
    let mut random = [0; secrets::tagged_text::RANDOM_BYTES];
    random[..16].copy_from_slice(&first);
    random[16..].copy_from_slice(&second[..8]);
    random
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

/// What the `secret` row of a password holds, given its argon2 hash from [`crate::passwords::Passwords::hash`].
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
        source: &Source,
    ) -> Result<bool, Problem> {
        let kept = match reference {
            Some(reference) => self.open(reference).await?,
            None => None,
        };
        let hash = kept.and_then(|kept| kept.as_text());
        self.passwords.matches(hash, given.clone(), source).await
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

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> Fresh {
        Fresh(std::array::from_fn(|index| u128::MAX / 7 + index as u128))
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
