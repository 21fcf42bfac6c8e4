//! Unguessable text that proves that it was given out here: what was not is told without a look-up, so strangers who try
//! random text never reach the database.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::{Sealer, SecretText, constant_time_eq};

/// Unguessable bytes of a text.
pub const RANDOM_BYTES: usize = 24;
/// Bytes of the tag behind them.
const TAG_BYTES: usize = 8;
/// Length of every text. Unit: characters.
pub const TEXT_CHARS: usize = 43;

impl Sealer {
    /// Text of [`TEXT_CHARS`] letters, digits, `-` and `_`: `random`, and a tag over it that holds for `purpose` and `whose`.
    #[must_use]
    pub fn tagged_text(
        &self,
        purpose: &str,
        whose: &str,
        random: [u8; RANDOM_BYTES],
    ) -> SecretText {
        let mut bytes = random.to_vec();
        bytes.extend_from_slice(&self.tag(purpose, whose, &random));
        SecretText::new(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Whether `text` was made by [`Sealer::tagged_text`] for `purpose` and `whose`. It says nothing of whether it is still
    /// good.
    #[must_use]
    pub fn is_tagged_text(&self, purpose: &str, whose: &str, text: &str) -> bool {
        if text.len() != TEXT_CHARS {
            return false;
        }
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(text) else {
            return false;
        };
        bytes
            .split_at_checked(RANDOM_BYTES)
            .is_some_and(|(random, tag)| constant_time_eq(tag, &self.tag(purpose, whose, random)))
    }

    fn tag(&self, purpose: &str, whose: &str, random: &[u8]) -> [u8; TAG_BYTES] {
        let mut bytes = whose.as_bytes().to_vec();
        bytes.push(0);
        bytes.extend_from_slice(random);
        let hash = self.keyed_hash(&format!("tag of {purpose}"), &bytes);
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&hash[..TAG_BYTES]);
        tag
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyFile;

    #[test]
    fn only_what_was_given_out_for_the_same_is_recognised() {
        let folder = tempfile::tempdir().unwrap();
        let sealer = |name: &str| {
            KeyFile::create(folder.path().join(name)).unwrap();
            Sealer::load(folder.path().join(name)).unwrap()
        };
        let (ours, others) = (sealer("ours"), sealer("others"));
        let text = ours.tagged_text("token", "1", [7; RANDOM_BYTES]);
        let text = text.expose();
        assert_eq!(text.len(), TEXT_CHARS);
        assert!(ours.is_tagged_text("token", "1", text));
        for (sealer, purpose, whose) in [
            (&others, "token", "1"),
            (&ours, "badge", "1"),
            (&ours, "token", "2"),
        ] {
            assert!(!sealer.is_tagged_text(purpose, whose, text));
        }
        for forged in [
            "",
            "a",
            &"a".repeat(43),
            &"?".repeat(43),
            &format!("{text}a"),
        ] {
            assert!(!ours.is_tagged_text("token", "1", forged), "{forged}");
        }
    }
}
