//! Long texts in short, for indexes of which there is an entry for each client.

use std::hash::{DefaultHasher, Hash, Hasher};

/// A text in short. Equal texts have the same; whoever finds one must compare the texts.
pub(crate) fn in_short(text: &str) -> u64 {
    // Always the same: its keys are fixed, and a snapshot is only read by a build of the same compiler.
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
