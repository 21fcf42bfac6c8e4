//! Idempotency keys: what is remembered of a command so that its repeat gets the first answer.

use domain::Timestamp;
use domain::time::HOUR;
use eventstore::{EventStore, SideTable, SideWrite, StoreError};
use sha2::{Digest, Sha256};

/// How long a key is remembered: 24 hours (architecture.md, "Idempotency"). Unit: microseconds.
const REMEMBERED: i64 = 24 * HOUR;

/// The only layout so far: version, request hash, first position, count, expiry; integers big-endian.
const VERSION: u8 = 1;
const LENGTH: usize = 1 + 32 + 8 + 8 + 8;

/// Rows that a sweep looks at with one statement.
const SWEEP_PAGE: usize = 1_000;

/// What is remembered of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    /// Of what was asked.
    pub(crate) request_hash: [u8; 32],
    /// Position of its first event.
    pub(crate) first: u64,
    /// How many events.
    pub(crate) count: u64,
    /// When it is forgotten.
    pub(crate) expires_at: Timestamp,
}

impl Remembered {
    /// Of a command decided at `now`.
    pub(crate) const fn new(
        request_hash: [u8; 32],
        first: u64,
        count: u64,
        now: Timestamp,
    ) -> Self {
        Self {
            request_hash,
            first,
            count,
            expires_at: now.plus(REMEMBERED),
        }
    }

    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at <= now
    }

    /// The row's value.
    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.request_hash);
        bytes.extend_from_slice(&self.first.to_be_bytes());
        bytes.extend_from_slice(&self.count.to_be_bytes());
        bytes.extend_from_slice(&self.expires_at.0.to_be_bytes());
        bytes
    }

    /// Reads a row's value; `None` if it is of no known layout.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        if *version != VERSION || bytes.len() != LENGTH {
            return None;
        }
        let (request_hash, rest) = rest.split_first_chunk::<32>()?;
        let (first, rest) = rest.split_first_chunk::<8>()?;
        let (count, rest) = rest.split_first_chunk::<8>()?;
        let expires_at = rest.first_chunk::<8>()?;
        Some(Self {
            request_hash: *request_hash,
            first: u64::from_be_bytes(*first),
            count: u64::from_be_bytes(*count),
            expires_at: Timestamp(i64::from_be_bytes(*expires_at)),
        })
    }

    /// The write that keeps it.
    pub(crate) fn write(self, row_key: String) -> SideWrite {
        SideWrite::Put {
            table: SideTable::Idempotency,
            key: row_key,
            value: self.to_bytes(),
        }
    }
}

/// The row's key: a hash, so that any text may be a key, no key is the beginning of another, and none is seen in the table.
pub(crate) fn row_key(key: &str) -> String {
    use std::fmt::Write;
    let digest = Sha256::digest(key.as_bytes());
    let mut text = String::with_capacity(64);
    for byte in digest {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Forgets what has expired at `now`. Returns how many keys.
pub(crate) async fn sweep(store: &EventStore, now: Timestamp) -> Result<u64, StoreError> {
    let mut after = String::new();
    let mut swept = 0;
    loop {
        let page = store
            .side_page(SideTable::Idempotency, &after, SWEEP_PAGE)
            .await?;
        let Some(last) = page.last() else {
            return Ok(swept);
        };
        after.clone_from(&last.key);
        let expired: Vec<String> = page
            .into_iter()
            // A row of no known layout is of no use to anybody here, and may be to a newer version.
            .filter(|row| Remembered::from_bytes(&row.value).is_some_and(|row| row.is_expired(now)))
            .map(|row| row.key)
            .collect();
        if !expired.is_empty() {
            swept += store.sweep_side(SideTable::Idempotency, &expired).await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_read_back() {
        let remembered = Remembered::new([7; 32], 12, 3, Timestamp(5));
        let bytes = remembered.to_bytes();
        assert_eq!(Remembered::from_bytes(&bytes), Some(remembered));
        assert_eq!(Remembered::from_bytes(&bytes[..LENGTH - 1]), None);
        assert_eq!(Remembered::from_bytes(&[]), None);
    }

    #[test]
    fn keys_are_forgotten_after_24_hours() {
        let remembered = Remembered::new([7; 32], 12, 3, Timestamp(0));
        assert!(!remembered.is_expired(Timestamp(24 * HOUR - 1)));
        assert!(remembered.is_expired(Timestamp(24 * HOUR)));
    }
}
