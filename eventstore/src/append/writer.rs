//! The one connection of a store that holds the tail, and what is remembered with it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::append::revisions::Revisions;
use crate::error::StoreError;

/// The writing connection. It is missing after it broke or was given up, and is made anew by
/// whoever needs it next.
pub(crate) struct Writer<C> {
    pub(crate) connection: Option<C>,
    pub(crate) revisions: Revisions,
}

impl<C> Writer<C> {
    pub(crate) fn new() -> Arc<Mutex<Writer<C>>> {
        Arc::new(Mutex::new(Writer {
            connection: None,
            revisions: Revisions::default(),
        }))
    }

    /// The connection; whoever took the lock has made sure that it is there.
    pub(crate) fn connection(&mut self) -> Result<&mut C, StoreError> {
        self.connection.as_mut().ok_or(StoreError::Closed)
    }

    /// Gives the connection up: whatever it had begun is rolled back when it closes.
    pub(crate) fn abandon(&mut self) {
        self.connection = None;
        self.revisions.forget();
    }
}

/// Waits for the writer at most as long as for any other lock.
pub(crate) async fn lock<C>(
    writer: &Arc<Mutex<Writer<C>>>,
    timeout: Duration,
) -> Result<OwnedMutexGuard<Writer<C>>, StoreError> {
    tokio::time::timeout(timeout, Arc::clone(writer).lock_owned())
        .await
        .map_err(|_| StoreError::Busy)
}
