//! Seals, opens, and hashes with a key.
//!
//! A sealed value describes itself:
//!
//! ```text
//! byte 0       version, 1
//! bytes 1-4    id of the key
//! bytes 5-28   nonce, random
//! the rest     XChaCha20-Poly1305: ciphertext, then 16 bytes of tag
//! ```
//!
//! The tag covers the first five bytes, the caller's associated data and the plaintext. The associated
//! data says where the value belongs (for example `secret/vault_account/7`), so that a sealed value
//! copied to another row does not open there.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::key_file::{Key, KeyFile, KeyFileError, KeyId};

/// Version of the sealed form written here.
const VERSION: u8 = 1;
const HEAD_BYTES: usize = 5;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

/// By how much a sealed value is longer than what it holds. Unit: bytes.
pub const SEALED_OVERHEAD_BYTES: usize = HEAD_BYTES + NONCE_BYTES + TAG_BYTES;

/// Why a sealed value did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Too short, or of a version this program does not know.
    #[error("the sealed value has a form this program does not know")]
    UnknownForm,
    /// The key it was sealed under is not in the key file.
    #[error("the sealed value needs key {0}, which is not in the key file")]
    UnknownKey(KeyId),
    /// It was altered, or sealed for another place.
    #[error("the sealed value was altered or belongs elsewhere")]
    Forged,
    /// The key was not known, and reading the key file again for it failed.
    #[error("could not read the key file again for a key that was not known")]
    KeyFile(#[source] KeyFileError),
}

/// Seals and opens under the keys of a key file. Clones share their keys.
#[derive(Clone)]
pub struct Sealer {
    keys: Arc<RwLock<Arc<KeyFile>>>,
}

impl Sealer {
    /// A sealer over keys that were made or loaded.
    #[must_use]
    pub fn new(keys: KeyFile) -> Self {
        Self {
            keys: Arc::new(RwLock::new(Arc::new(keys))),
        }
    }

    /// A sealer over the keys of the file at `path`.
    ///
    /// # Errors
    /// As [`KeyFile::load`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self, KeyFileError> {
        KeyFile::load(path).map(Self::new)
    }

    /// Seals `plaintext` under the newest key, bound to `associated_data`.
    ///
    /// # Panics
    /// If the system's random source fails, without which no secret may be kept, and above 256 GiB.
    #[must_use]
    pub fn seal(&self, plaintext: &[u8], associated_data: &[u8]) -> Vec<u8> {
        let keys = self.keys();
        let key = &keys.seal[0];
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).expect("a system without randomness can't keep secrets");
        let head = head_of(key.id);
        let bound = bound_data(&head, associated_data);
        let body = cipher(key)
            .encrypt(
                &XNonce::from(nonce),
                Payload {
                    msg: plaintext,
                    aad: &bound,
                },
            )
            .expect("encryption only fails above 256 GiB");
        let mut sealed = Vec::with_capacity(HEAD_BYTES + NONCE_BYTES + body.len());
        sealed.extend_from_slice(&head);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&body);
        sealed
    }

    /// Opens what [`Sealer::seal`] made with the same `associated_data`.
    ///
    /// A key that is not known makes the key file be read once more: another node may have rotated.
    ///
    /// # Errors
    /// [`OpenError`]; it does not tell altered bytes from wrong associated data.
    pub fn open(
        &self,
        sealed: &[u8],
        associated_data: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let id = key_id_of(sealed)?;
        let mut keys = self.keys();
        if keys.seal.iter().all(|key| key.id != id) {
            self.reload().map_err(OpenError::KeyFile)?;
            keys = self.keys();
        }
        let key = keys
            .seal
            .iter()
            .find(|key| key.id == id)
            .ok_or(OpenError::UnknownKey(id))?;
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&sealed[HEAD_BYTES..HEAD_BYTES + NONCE_BYTES]);
        let bound = bound_data(&sealed[..HEAD_BYTES], associated_data);
        let payload = Payload {
            msg: &sealed[HEAD_BYTES + NONCE_BYTES..],
            aad: &bound,
        };
        cipher(key)
            .decrypt(&XNonce::from(nonce), payload)
            .map(Zeroizing::new)
            .map_err(|_| OpenError::Forged)
    }

    /// Recognises a value without keeping it: HMAC-SHA-256 under a key derived for `purpose`.
    ///
    /// Equal on every node that shares the key file, and not changed by rotation. Hashes of different
    /// purposes never meet, so a hash stored for one can't be used as another. Meant for values with at
    /// least 128 random bits (tokens, client secrets), never for passwords chosen by people.
    #[must_use]
    pub fn keyed_hash(&self, purpose: &str, bytes: &[u8]) -> [u8; 32] {
        let root = Zeroizing::new(mac(
            self.keys().hash.bytes.as_slice(),
            &[b"gatebook keyed hash\0", purpose.as_bytes()],
        ));
        mac(root.as_slice(), &[bytes])
    }

    /// Whether `bytes` hash to `expected` for `purpose`, in time that does not depend on where they differ.
    #[must_use]
    pub fn keyed_hash_matches(&self, purpose: &str, bytes: &[u8], expected: &[u8]) -> bool {
        crate::constant_time_eq(&self.keyed_hash(purpose, bytes), expected)
    }

    /// Puts a new key in front of the key file and seals under it from now on.
    ///
    /// # Errors
    /// As [`KeyFile::rotate`]; on an error nothing has changed for this sealer.
    pub fn rotate(&self) -> Result<KeyId, KeyFileError> {
        self.change(KeyFile::rotate)
    }

    /// Adds a key that opens and does not seal yet, see [`KeyFile::add_key`].
    ///
    /// # Errors
    /// As [`KeyFile::add_key`].
    pub fn add_key(&self) -> Result<KeyId, KeyFileError> {
        self.change(KeyFile::add_key)
    }

    /// Reads the key file again.
    ///
    /// # Errors
    /// As [`KeyFile::load`]; on an error the keys known so far stay in use.
    pub fn reload(&self) -> Result<(), KeyFileError> {
        let keys = KeyFile::load(self.keys().path())?;
        self.replace(keys);
        Ok(())
    }

    /// Ids of the keys that open, newest first.
    #[must_use]
    pub fn key_ids(&self) -> Vec<KeyId> {
        self.keys().key_ids()
    }

    fn change<T>(
        &self,
        change: impl FnOnce(&mut KeyFile) -> Result<T, KeyFileError>,
    ) -> Result<T, KeyFileError> {
        let mut keys = (*self.keys()).clone();
        let answer = change(&mut keys)?;
        self.replace(keys);
        Ok(answer)
    }

    // A poisoned lock still holds whole keys: they are only ever replaced by one assignment.
    fn keys(&self) -> Arc<KeyFile> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, keys: KeyFile) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sealer").field(&self.key_ids()).finish()
    }
}

/// Which key a sealed value needs. Tells what is left to seal anew before a key is removed.
///
/// # Errors
/// [`OpenError::UnknownForm`].
pub fn key_id_of(sealed: &[u8]) -> Result<KeyId, OpenError> {
    if sealed.len() < SEALED_OVERHEAD_BYTES || sealed[0] != VERSION {
        return Err(OpenError::UnknownForm);
    }
    Ok(KeyId([sealed[1], sealed[2], sealed[3], sealed[4]]))
}

fn head_of(id: KeyId) -> [u8; HEAD_BYTES] {
    [VERSION, id.0[0], id.0[1], id.0[2], id.0[3]]
}

/// The head has a fixed length, so head and associated data can't be mistaken for one another.
fn bound_data(head: &[u8], associated_data: &[u8]) -> Vec<u8> {
    [head, associated_data].concat()
}

fn cipher(key: &Key) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new_from_slice(key.bytes.as_slice()).expect("keys are 32 bytes long")
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac =
        <Hmac<Sha256> as Mac>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    fn sealer() -> (tempfile::TempDir, Sealer) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let keys = KeyFile::create(folder.path().join("key")).unwrap();
        (folder, Sealer::new(keys))
    }

    #[test]
    fn what_is_sealed_opens_and_is_never_sealed_alike_twice() {
        let (_folder, sealer) = sealer();
        let one = sealer.seal(b"tiger", b"secret/1");
        let two = sealer.seal(b"tiger", b"secret/1");
        assert_ne!(one, two);
        assert_eq!(one.len(), 5 + SEALED_OVERHEAD_BYTES);
        assert_eq!(sealer.open(&one, b"secret/1").unwrap().as_slice(), b"tiger");
        assert_eq!(sealer.open(&two, b"secret/1").unwrap().as_slice(), b"tiger");
    }

    /// threat C
    #[test]
    fn threat_c_every_altered_byte_and_every_cut_is_noticed() {
        let (_folder, sealer) = sealer();
        let sealed = sealer.seal(b"tiger", b"secret/1");
        for place in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[place] ^= 1;
            assert!(sealer.open(&altered, b"secret/1").is_err(), "byte {place}");
            assert!(
                sealer.open(&sealed[..place], b"secret/1").is_err(),
                "cut at {place}"
            );
        }
        let longer = [sealed.as_slice(), b"x"].concat();
        assert!(matches!(
            sealer.open(&longer, b"secret/1"),
            Err(OpenError::Forged)
        ));
    }

    #[test]
    fn a_sealed_value_does_not_open_in_another_place() {
        let (_folder, sealer) = sealer();
        let sealed = sealer.seal(b"tiger", b"secret/1");
        for elsewhere in [b"secret/2".as_slice(), b"", b"secret/1 "] {
            assert!(matches!(
                sealer.open(&sealed, elsewhere),
                Err(OpenError::Forged)
            ));
        }
    }

    #[test]
    fn another_sites_key_does_not_open_it() {
        let (_one_folder, one) = sealer();
        let (_other_folder, other) = sealer();
        let sealed = one.seal(b"tiger", b"");
        assert!(
            matches!(other.open(&sealed, b""), Err(OpenError::UnknownKey(id)) if id == one.key_ids()[0])
        );
    }

    #[test]
    fn a_claimed_key_id_does_not_help() {
        let (_folder, sealer) = sealer();
        let sealed = sealer.seal(b"tiger", b"");
        let second = sealer.rotate().unwrap();
        let mut claimed = sealed;
        claimed[1..5].copy_from_slice(&second.0);
        assert!(matches!(sealer.open(&claimed, b""), Err(OpenError::Forged)));
    }

    #[test]
    fn after_rotation_old_values_open_new_ones_use_the_new_key_and_hashes_stay() {
        let (_folder, sealer) = sealer();
        let first = sealer.key_ids()[0];
        let old = sealer.seal(b"tiger", b"");
        let hash = sealer.keyed_hash("api_token", b"abc");
        let second = sealer.rotate().unwrap();
        let new = sealer.seal(b"lion", b"");
        assert_eq!(key_id_of(&old).unwrap(), first);
        assert_eq!(key_id_of(&new).unwrap(), second);
        assert_eq!(sealer.open(&old, b"").unwrap().as_slice(), b"tiger");
        assert_eq!(sealer.open(&new, b"").unwrap().as_slice(), b"lion");
        assert_eq!(sealer.keyed_hash("api_token", b"abc"), hash);
    }

    #[test]
    fn a_node_that_has_not_seen_a_rotation_reads_the_file_again() {
        let (folder, sealer) = sealer();
        let other_node = Sealer::load(folder.path().join("key")).unwrap();
        sealer.rotate().unwrap();
        let sealed = sealer.seal(b"lion", b"");
        assert_eq!(other_node.open(&sealed, b"").unwrap().as_slice(), b"lion");
    }

    #[test]
    fn an_added_key_opens_but_does_not_seal() {
        let (_folder, sealer) = sealer();
        let first = sealer.key_ids()[0];
        sealer.add_key().unwrap();
        assert_eq!(key_id_of(&sealer.seal(b"", b"")).unwrap(), first);
    }

    #[test]
    fn a_failed_rotation_changes_nothing() {
        let (folder, sealer) = sealer();
        let before = sealer.key_ids();
        fs::remove_file(folder.path().join("key")).unwrap();
        assert!(sealer.rotate().is_err());
        assert_eq!(sealer.key_ids(), before);
        let sealed = sealer.seal(b"tiger", b"");
        assert_eq!(sealer.open(&sealed, b"").unwrap().as_slice(), b"tiger");
    }

    #[test]
    fn keyed_hashes_differ_by_site_purpose_and_value_and_agree_between_nodes() {
        let (folder, sealer) = sealer();
        let (_other_folder, other) = self::sealer();
        let hash = sealer.keyed_hash("api_token", b"abc");
        assert_eq!(
            Sealer::load(folder.path().join("key"))
                .unwrap()
                .keyed_hash("api_token", b"abc"),
            hash
        );
        assert_ne!(other.keyed_hash("api_token", b"abc"), hash);
        assert_ne!(sealer.keyed_hash("link_token", b"abc"), hash);
        assert_ne!(sealer.keyed_hash("api_token", b"abd"), hash);
        assert_ne!(sealer.keyed_hash("api_tokena", b"bc"), hash);
        assert!(sealer.keyed_hash_matches("api_token", b"abc", &hash));
        assert!(!sealer.keyed_hash_matches("api_token", b"abd", &hash));
        assert!(!sealer.keyed_hash_matches("api_token", b"abc", &hash[..31]));
    }

    /// The stored form must stay: this value was sealed by the first version.
    #[test]
    fn a_recorded_value_still_opens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, RECORDED_KEY_FILE).unwrap();
        let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(&path, owner_only).unwrap();
        let sealer = Sealer::load(&path).unwrap();
        let sealed = hex::decode(RECORDED_SEALED).unwrap();
        assert_eq!(
            sealer.open(&sealed, b"secret/1").unwrap().as_slice(),
            b"tiger"
        );
        assert_eq!(
            hex::encode(sealer.keyed_hash("api_token", b"abc")),
            RECORDED_HASH
        );
    }

    const RECORDED_KEY_FILE: &str = include_str!("recorded_key_file.txt");
    const RECORDED_SEALED: &str = "01cf005952000102030405060708090a0b0c0d0e0f1011121314151617adbda60cda7d71ae219eb4fa79cd2d77e009c95f28";
    const RECORDED_HASH: &str = "65b0f5142993ea5fe8f6185ecfa4a62f1e6942c0f46306a5690fdf5d250cee98";

    proptest! {
        #[test]
        fn any_bytes_come_back_and_any_other_bytes_are_refused(
            plaintext in proptest::collection::vec(any::<u8>(), 0..512),
            associated in proptest::collection::vec(any::<u8>(), 0..64),
            noise in proptest::collection::vec(any::<u8>(), 0..128),
        ) {
            let (_folder, sealer) = sealer();
            let sealed = sealer.seal(&plaintext, &associated);
            let opened = sealer.open(&sealed, &associated).unwrap();
            prop_assert_eq!(opened.as_slice(), plaintext.as_slice());
            prop_assert!(sealer.open(&noise, &associated).is_err());
        }
    }
}
