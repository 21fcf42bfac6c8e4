//! The "Direct Download Link" of an installer (INST-16): whoever has it may download, as long as the installer is valid.
//!
//! Its token is derived, never stored: the installer's id, then a keyed hash over it. Nobody can make one for another
//! installer, and no database holds any.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrets::Sealer;

const PURPOSE: &str = "installer_download";
const ID_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// Where downloads are, before `/{token}/{platform}`.
pub const PATH: &str = "/download";

/// The token of an installer: 64 characters of base64url. None for an id that is not 32 hexadecimal digits, which no
/// installer has.
#[must_use]
pub fn token(sealer: &Sealer, installer_id: &str) -> Option<String> {
    let id: [u8; ID_BYTES] = hex::decode(installer_id).ok()?.try_into().ok()?;
    let mut bytes = [0; ID_BYTES + HASH_BYTES];
    bytes[..ID_BYTES].copy_from_slice(&id);
    bytes[ID_BYTES..].copy_from_slice(&sealer.keyed_hash(PURPOSE, &id));
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

/// The path of the link for a platform; empty where there can be none.
#[must_use]
pub fn path(sealer: &Sealer, installer_id: &str, platform: &str) -> String {
    token(sealer, installer_id)
        .map_or_else(String::new, |token| format!("{PATH}/{token}/{platform}"))
}

/// The installer whose token this is.
#[must_use]
pub fn verify(sealer: &Sealer, token: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (id, hash) = bytes.split_first_chunk::<ID_BYTES>()?;
    sealer
        .keyed_hash_matches(PURPOSE, id, hash)
        .then(|| hex::encode(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer() -> (tempfile::TempDir, Sealer) {
        let folder = tempfile::tempdir().unwrap();
        let keys = secrets::KeyFile::create(folder.path().join("key")).unwrap();
        (folder, Sealer::new(keys))
    }

    /// INST-16
    #[test]
    fn a_link_is_good_for_its_installer_on_its_site_alone() {
        let ((_folder, sealer), (_other_folder, other)) = (sealer(), sealer());
        let id = "0123456789abcdef0123456789abcdef";
        let good = token(&sealer, id).unwrap();
        assert_eq!(good.len(), 64);
        assert_eq!(verify(&sealer, &good).as_deref(), Some(id));
        assert_eq!(verify(&other, &good), None);
        for place in 0..good.len() {
            for letter in ["A", "B", "-", "=", "%"] {
                let altered = format!("{}{letter}{}", &good[..place], &good[place + 1..]);
                let same = altered == good;
                assert_eq!(verify(&sealer, &altered).is_some(), same, "{altered}");
            }
        }
        for text in ["", "A", &good[1..], &format!("{good}A")] {
            assert_eq!(verify(&sealer, text), None, "{text}");
        }
        assert_eq!(token(&sealer, "not an id"), None);
    }
}
