//! The index of Jump Items by the texts that lists are asked for exactly: name, tag and host name.

use std::hash::{DefaultHasher, Hasher};

use crate::World;
use crate::fleet::jump_client::JumpClient;
use crate::ids::{JumpClientId, JumpItemRef};
use crate::items::shell::ShellJump;

/// A text by which items are indexed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemText {
    /// What the item is called.
    Name,
    /// Its tag.
    Tag,
    /// The host name of its machine, or the host it leads to.
    Hostname,
}

/// Longest text that is folded without an allocation. Unit: bytes.
const FOLDED_IN_PLACE_MAX: usize = 128;

/// The hash of a text without regard to case. Equal texts have the same; whoever finds one must compare the texts.
fn folded_hash(text: ItemText, value: &str) -> u64 {
    // Always the same: its keys are fixed, and a snapshot is only read by a build of the same compiler.
    let mut hasher = DefaultHasher::new();
    hasher.write_u8(text as u8);
    if value.is_ascii() && value.len() <= FOLDED_IN_PLACE_MAX {
        let mut folded = [0; FOLDED_IN_PLACE_MAX];
        let folded = &mut folded[..value.len()];
        folded.copy_from_slice(value.as_bytes());
        folded.make_ascii_lowercase();
        hasher.write(folded);
    } else {
        hasher.write(value.to_lowercase().as_bytes());
    }
    hasher.finish()
}

/// The hashes under which one item is found; none for a text that is empty, which would lead to most of a site.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct ItemTextHashes([Option<u64>; 3]);

impl ItemTextHashes {
    fn of(name: &str, tag: &str, hostname: &str) -> Self {
        let texts = [
            (ItemText::Name, name),
            (ItemText::Tag, tag),
            (ItemText::Hostname, hostname),
        ];
        Self(texts.map(|(text, value)| (!value.is_empty()).then(|| folded_hash(text, value))))
    }

    pub(super) fn of_client(client: &JumpClient) -> Self {
        let properties = &client.properties;
        Self::of(&properties.name, &properties.tag, &client.facts.hostname)
    }

    pub(super) fn of_shell(item: &ShellJump) -> Self {
        Self::of(&item.name, &item.tag, &item.hostname)
    }
}

impl World {
    /// Items among which are all that have this text, without regard to case. A few others may be among them, so whoever asks
    /// compares. `None` for an empty text, which is not indexed.
    pub fn items_with_text(
        &self,
        text: ItemText,
        value: &str,
    ) -> Option<impl Iterator<Item = JumpItemRef>> {
        if value.is_empty() {
            return None;
        }
        let hash = folded_hash(text, value);
        let first = JumpItemRef::JumpClient(JumpClientId(0));
        let found = self.items_by_text.range((hash, first)..);
        Some(
            found
                .take_while(move |(of, _)| *of == hash)
                .map(|(_, item)| *item),
        )
    }

    pub(super) fn index_item_texts(&mut self, item: JumpItemRef, hashes: ItemTextHashes) {
        for hash in hashes.0.into_iter().flatten() {
            self.items_by_text.insert((hash, item));
        }
    }

    pub(super) fn forget_item_texts(&mut self, item: JumpItemRef, hashes: ItemTextHashes) {
        for hash in hashes.0.into_iter().flatten() {
            self.items_by_text.remove(&(hash, item));
        }
    }
}
