//! The link by which one approver reaches one request (APPR-07, APPR-37): made for the mail, read again by the page.
//!
//! The token is derived, never stored: the approver's place among those of the request, then a keyed hash over request, place
//! and address. So each approver has a link of their own, nobody can make one for another, and no database holds any.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::ids::AccessRequestId;
use secrets::Sealer;

const PURPOSE: &str = "approver_link";
const INDEX_BYTES: usize = 4;
const HASH_BYTES: usize = 32;

/// The page of approvers, before `/{request}/{token}`.
pub const PATH: &str = "/approve";

/// The link for the approver at `index` of `request`, who is mailed at `address`. `url` is that of the site.
#[must_use]
pub fn link(
    sealer: &Sealer,
    url: &str,
    request: AccessRequestId,
    index: u32,
    address: &str,
) -> String {
    let url = url.trim_end_matches('/');
    let token = token(sealer, request, index, address);
    format!("{url}{PATH}/{request}/{token}")
}

/// The last part of the link: 48 characters of base64url.
#[must_use]
pub fn token(sealer: &Sealer, request: AccessRequestId, index: u32, address: &str) -> String {
    let mut bytes = [0; INDEX_BYTES + HASH_BYTES];
    bytes[..INDEX_BYTES].copy_from_slice(&index.to_be_bytes());
    bytes[INDEX_BYTES..]
        .copy_from_slice(&sealer.keyed_hash(PURPOSE, &said(request, index, address)));
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Whose link `token` is: the approver's index, where `address_of` it and the hash agree. None for every other text.
#[must_use]
pub fn verify(
    sealer: &Sealer,
    request: AccessRequestId,
    token: &str,
    address_of: impl FnOnce(u32) -> Option<String>,
) -> Option<u32> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (index, hash) = bytes.split_first_chunk::<INDEX_BYTES>()?;
    let index = u32::from_be_bytes(*index);
    let address = address_of(index)?;
    sealer
        .keyed_hash_matches(PURPOSE, &said(request, index, &address), hash)
        .then_some(index)
}

/// Numbers of fixed length first, so that no two approvers say the same.
fn said(request: AccessRequestId, index: u32, address: &str) -> Vec<u8> {
    let numbers = [request.0.to_be_bytes(), index.to_be_bytes()];
    [numbers.concat(), address.as_bytes().to_vec()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: AccessRequestId = AccessRequestId(7);
    const ADDRESSES: [&str; 2] = ["boss@example.com", "deputy@example.com"];

    fn sealer() -> (tempfile::TempDir, Sealer) {
        let folder = tempfile::tempdir().unwrap();
        let keys = secrets::KeyFile::create(folder.path().join("key")).unwrap();
        (folder, Sealer::new(keys))
    }

    fn address_of(index: u32) -> Option<String> {
        ADDRESSES
            .get(usize::try_from(index).unwrap())
            .map(|address| (*address).to_owned())
    }

    /// APPR-07, APPR-37
    #[test]
    fn each_approver_has_a_link_of_their_own() {
        let (_folder, sealer) = sealer();
        let mut seen = Vec::new();
        for (index, address) in (0..).zip(ADDRESSES) {
            let link = link(
                &sealer,
                "https://access.example.com/",
                REQUEST,
                index,
                address,
            );
            let token = link
                .strip_prefix("https://access.example.com/approve/7/")
                .unwrap();
            assert_eq!(token.len(), 48);
            assert_eq!(verify(&sealer, REQUEST, token, address_of), Some(index));
            seen.push(token.to_owned());
        }
        assert_ne!(seen[0], seen[1]);
    }

    /// APPR-37: altered in any place, taken to another request, made on another site, or for an address since replaced.
    #[test]
    fn threat_o_no_other_text_is_a_link() {
        let (_folder, sealer) = sealer();
        let good = token(&sealer, REQUEST, 0, ADDRESSES[0]);
        for place in 0..good.len() {
            for other in ["A", "B", "_", "=", "%", "ä"] {
                let altered = format!("{}{other}{}", &good[..place], &good[place + 1..]);
                if altered != good {
                    assert_eq!(
                        verify(&sealer, REQUEST, &altered, address_of),
                        None,
                        "{altered}"
                    );
                }
            }
        }
        for text in ["", "A", &good[1..], &good[..47], &format!("{good}A")] {
            assert_eq!(verify(&sealer, REQUEST, text, address_of), None, "{text}");
        }
        assert_eq!(verify(&sealer, AccessRequestId(8), &good, address_of), None);
        let renamed = |_| Some("other@example.com".to_owned());
        assert_eq!(verify(&sealer, REQUEST, &good, renamed), None);
        let (_folder, stranger) = self::sealer();
        assert_eq!(verify(&stranger, REQUEST, &good, address_of), None);
    }
}
