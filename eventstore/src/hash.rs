//! Leaf hashes and their chain, as `docs/log-format.md` lays them down for good.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::event::RecordedEvent;

/// Put before the canonical record, as RFC 6962 does for leaves, so that a leaf can never be taken
/// for an inner node of a tree.
const LEAF_PREFIX: u8 = 0x00;

/// The parts of an event that its leaf hash covers.
pub(crate) struct Leaf<'a> {
    pub(crate) position: u64,
    pub(crate) revision: u64,
    pub(crate) recorded_at: i64,
    pub(crate) codec: i16,
    pub(crate) stream: &'a str,
    pub(crate) id: &'a Uuid,
    pub(crate) event_type: &'a str,
    pub(crate) data: &'a [u8],
    pub(crate) meta: &'a [u8],
}

impl Leaf<'_> {
    /// The canonical record: a fixed layout, integers big-endian, texts after their length.
    fn canonical_record(&self) -> Vec<u8> {
        let mut record =
            Vec::with_capacity(1 + 26 + 4 + self.stream.len() + 16 + self.event_type.len() + 64);
        record.push(LEAF_PREFIX);
        record.extend_from_slice(&self.position.to_be_bytes());
        record.extend_from_slice(&self.revision.to_be_bytes());
        record.extend_from_slice(&self.recorded_at.to_be_bytes());
        record.extend_from_slice(&self.codec.to_be_bytes());
        push_text(&mut record, self.stream);
        record.extend_from_slice(self.id.as_bytes());
        push_text(&mut record, self.event_type);
        record.extend_from_slice(&Sha256::digest(self.data));
        record.extend_from_slice(&Sha256::digest(self.meta));
        record
    }

    /// SHA-256 over the prefix and the canonical record.
    pub(crate) fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.canonical_record()).into()
    }
}

/// Names are bounded far below 65,536 bytes when they are appended, so the length always fits.
fn push_text(record: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    record.extend_from_slice(&length.to_be_bytes());
    record.extend_from_slice(text.as_bytes());
}

impl RecordedEvent {
    /// The leaf hash that the stored parts of this event must have. Differs from
    /// [`RecordedEvent::leaf_hash`] where the log was tampered with.
    pub fn expected_leaf_hash(&self) -> [u8; 32] {
        Leaf {
            position: self.position,
            revision: self.revision,
            recorded_at: self.recorded_at,
            codec: self.codec,
            stream: &self.stream,
            id: &self.id,
            event_type: &self.event_type,
            data: &self.data,
            meta: &self.meta,
        }
        .hash()
    }
}

/// The tail hash after one more leaf.
pub fn chain(tail_hash: &[u8; 32], leaf_hash: &[u8; 32]) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(tail_hash);
    digest.update(leaf_hash);
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The layout is for good: this vector was computed with Python's hashlib from
    /// `docs/log-format.md` and must never change.
    #[test]
    fn the_leaf_hash_of_a_known_event_never_changes() {
        let event = RecordedEvent {
            position: 7,
            stream: "jump_client-42".to_owned(),
            revision: 3,
            id: Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff),
            event_type: "JumpClientConnected".to_owned(),
            data: br#"{"client":42}"#.to_vec(),
            meta: b"{}".to_vec(),
            codec: 0,
            recorded_at: 1_700_000_000_000_001,
            leaf_hash: [0; 32],
        };
        let leaf = event.expected_leaf_hash();
        assert_eq!(hex(&leaf), VECTOR_LEAF);
        assert_eq!(hex(&chain(&[0; 32], &leaf)), VECTOR_TAIL);
    }

    const VECTOR_LEAF: &str = "f25dfa491f47dfb930cdaf406e9c037ee1f1e5cda6ad1e83b7d0a20bed0f97ae";
    const VECTOR_TAIL: &str = "e7df63bc6d0fa70c0a1a60a120f0fbcc7862f4c9a9f7bfa00c420257f571af70";

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
