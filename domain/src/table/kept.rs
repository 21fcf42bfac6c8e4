//! Rows that lie in a snapshot until somebody asks for one of them, so that a start need not wait until all are read.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rkyv::rancor;

use crate::snapshot::Section;

/// Some rows of a table, which are read together when one of them is asked for first.
pub(crate) struct Kept<V> {
    count: u32,
    rows: OnceLock<Vec<Arc<V>>>,
    /// Let go of once it is read.
    unread: Mutex<Option<Section>>,
    read: fn(&[u8]) -> Result<Vec<V>, rancor::Error>,
}

impl<V> Kept<V> {
    /// The `count` rows of a section, which was checked, or will be before anybody asks.
    pub(crate) fn new(
        section: Section,
        count: u32,
        read: fn(&[u8]) -> Result<Vec<V>, rancor::Error>,
    ) -> Self {
        Self {
            count,
            rows: OnceLock::new(),
            unread: Mutex::new(Some(section)),
            read,
        }
    }

    /// How many rows there are.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// The row at a place below the count.
    pub(super) fn row(&self, place: u32) -> &Arc<V> {
        let rows = self.rows.get_or_init(|| {
            let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
            let rows = unread.as_ref().map(|section| section.read(self.read));
            *unread = None;
            rows.unwrap_or_default().into_iter().map(Arc::new).collect()
        });
        &rows[place as usize]
    }
}
