//! Opening a site: the directory for this process alone, the log, the key file, and the engine over them.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use engine::{Clock, Engine, EngineSetup, EngineTask, FreshSource};
use eventstore::EventStore;
use secrets::{KeyFile, KeyFileError, Sealer};
use tokio::task::JoinError;

use crate::clock::{SystemClock, SystemFresh};
use crate::place::{DirectoryLock, Place};

/// A site that this process may change.
pub struct OpenSite {
    /// The log.
    pub store: EventStore,
    /// Seals and opens under the key file.
    pub sealer: Arc<Sealer>,
    /// The one writer.
    pub engine: Engine,
    /// The machine's random source.
    pub fresh: Arc<SystemFresh>,
    task: EngineTask,
    // Last, so that it is dropped last.
    lock: DirectoryLock,
}

impl OpenSite {
    /// Opens the site in `place` with the machine's clock; a key file is made for a log without events.
    ///
    /// # Errors
    /// Another process has the directory; the log is refused; the key file is missing or of no use.
    pub async fn open(place: &Place) -> Result<Self> {
        Self::open_with(place, Arc::new(SystemClock), |fresh| fresh).await
    }

    /// As [`OpenSite::open`], with another clock and another source of ids for the engine.
    ///
    /// # Errors
    /// As [`OpenSite::open`].
    pub async fn open_with(
        place: &Place,
        clock: Arc<dyn Clock>,
        source: impl FnOnce(Arc<SystemFresh>) -> Arc<dyn FreshSource>,
    ) -> Result<Self> {
        place.make()?;
        let lock = place.lock()?;
        let store = place.open().await?;
        match Self::start(place, &store, clock, source).await {
            Ok((sealer, fresh, engine, task)) => Ok(Self {
                store,
                sealer,
                engine,
                fresh,
                task,
                lock,
            }),
            Err(error) => {
                store.close().await;
                Err(error)
            }
        }
    }

    async fn start(
        place: &Place,
        store: &EventStore,
        clock: Arc<dyn Clock>,
        source: impl FnOnce(Arc<SystemFresh>) -> Arc<dyn FreshSource>,
    ) -> Result<(Arc<Sealer>, Arc<SystemFresh>, Engine, EngineTask)> {
        let is_new = store.head().await?.position == 0;
        let sealer = Arc::new(sealer(place, is_new)?);
        let fresh = Arc::new(SystemFresh::default());
        let setup = EngineSetup {
            snapshots: Some(place.snapshots()),
            ..EngineSetup::new(store.clone(), clock, source(Arc::clone(&fresh)))
        };
        let (engine, task) = Engine::start(setup).await.context("starting the engine")?;
        Ok((sealer, fresh, engine, task))
    }

    /// Ends when a task of the engine has, which none does before the site is closed unless it failed.
    ///
    /// # Errors
    /// The task's panic.
    pub async fn ended(&mut self) -> Result<(), JoinError> {
        self.task.ended().await
    }

    /// Answers what was accepted, and closes all.
    pub async fn close(self) {
        self.task.shut_down().await;
        self.store.close().await;
        drop(self.lock);
    }
}

/// The sealer over the site's key file. One is made for a new log; a log with events needs the one it was made with.
fn sealer(place: &Place, is_new: bool) -> Result<Sealer> {
    let path = place.key_file();
    match KeyFile::load(&path) {
        Ok(keys) => Ok(Sealer::new(keys)),
        Err(KeyFileError::Missing(_)) if is_new => match KeyFile::create(&path) {
            Ok(keys) => {
                tracing::info!(file = %path.display(), "made the key file: keep a copy of it apart from the backups of the log");
                Ok(Sealer::new(keys))
            }
            // Another node that starts at the same moment was faster.
            Err(KeyFileError::Exists(_)) => Ok(Sealer::load(&path)?),
            Err(error) => Err(error.into()),
        },
        Err(KeyFileError::Missing(_)) => bail!(
            "the log has events and the key file {} is missing. Put the key file of this site there (it is made beside \
             the log by the first start, and every node shares it), or name it with --key-file; without it no password, \
             client secret or certificate of the site can be opened",
            path.display()
        ),
        Err(error) => Err(error.into()),
    }
}
