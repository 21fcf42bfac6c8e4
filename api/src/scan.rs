//! Lists that look at many rows, away from the threads that answer everybody else.
//!
//! A worker thread that walks through 100,000 rows answers nobody meanwhile, health checks included. So whatever looks at more
//! than [`ROWS_ON_WORKER_MAX`] rows runs on the blocking pool, as many at a time as there are cores, first come, first served.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::error::Problem;

/// Most rows that a handler looks at by itself. Comparing this many takes well under a millisecond.
pub const ROWS_ON_WORKER_MAX: usize = 1_000;

/// Most scans that wait for their turn; one more is answered with 503.
const WAITING_MAX: usize = 512;

/// The scans of one node.
#[derive(Debug)]
pub struct Scans {
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
}

impl Default for Scans {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            running: Arc::new(Semaphore::new(cores)),
            admitted: Arc::new(Semaphore::new(cores + WAITING_MAX)),
        }
    }
}

impl Scans {
    /// Does `work`, which looks at about `rows` rows.
    ///
    /// # Errors
    /// 503 where too many wait already.
    pub async fn run<T: Send + 'static>(
        &self,
        rows: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        if rows <= ROWS_ON_WORKER_MAX {
            return Ok(work());
        }
        let busy = || {
            Problem::unavailable(
                "The server is currently too busy. Please try again later.",
                Duration::from_secs(2),
            )
        };
        let admitted = Arc::clone(&self.admitted)
            .try_acquire_owned()
            .map_err(|_| busy())?;
        let running = Arc::clone(&self.running)
            .acquire_owned()
            .await
            .map_err(|_| busy())?;
        // Both permits go along: a caller who hangs up makes no room before the work is done.
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop((running, admitted));
            done
        });
        done.await.map_err(|error| {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a list was not made"
            );
            Problem::internal()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a runtime with one thread, the worker goes on while large scans run; a small one needs no turn.
    #[tokio::test]
    async fn large_scans_leave_the_worker_and_are_bounded() {
        let scans = Scans {
            running: Arc::new(Semaphore::new(1)),
            admitted: Arc::new(Semaphore::new(2)),
        };
        let worker = std::thread::current().id();
        let where_run = |rows| scans.run(rows, || std::thread::current().id());
        assert_eq!(where_run(ROWS_ON_WORKER_MAX).await.unwrap(), worker);
        assert_ne!(where_run(ROWS_ON_WORKER_MAX + 1).await.unwrap(), worker);

        let (release, held) = std::sync::mpsc::sync_channel::<()>(1);
        let first = scans.run(usize::MAX, move || held.recv().is_err());
        let second = scans.run(usize::MAX, || ());
        tokio::pin!(first, second);
        assert!(futures_util::poll!(&mut first).is_pending());
        assert!(futures_util::poll!(&mut second).is_pending());
        let refused = scans.run(usize::MAX, || ()).await.unwrap_err();
        assert_eq!(refused.status.as_u16(), 503);
        assert!(scans.run(1, || ()).await.is_ok());
        drop(release);
        assert!(first.await.unwrap());
        assert!(second.await.is_ok());
    }
}
