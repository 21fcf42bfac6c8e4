//! Repeating maintenance on the injected clock: snapshots, and the deletion of what has expired.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use api::Site;
use domain::Timestamp;
use engine::{Clock, Engine, SnapshotError};
use eventstore::{EventStore, SideTable};
use futures_util::future::BoxFuture;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use crate::configuration::Maintenance as Schedules;
use crate::cron_schedule::CronSchedule;
use crate::essential::next_ended;

/// Rows looked at with one statement of a sweep.
const SWEEP_PAGE: usize = 1_000;

/// How long a clock that was put back can go unnoticed by a schedule.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Something to be done again and again.
type Job = Box<dyn Fn() -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// Maintenance that runs.
pub struct Maintenance {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Maintenance {
    /// Begins to run jobs by their schedules.
    #[must_use]
    pub fn start(schedules: &Schedules, site: &Arc<Site>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let clock = Arc::clone(site.engine.clock());
        let engine = site.engine.clone();
        let snapshot: Job = Box::new(move || Box::pin(write_snapshot(engine.clone())));
        let swept = Arc::clone(site);
        let sweep: Job = Box::new(move || Box::pin(sweep(Arc::clone(&swept))));
        for (name, schedule, job) in [
            ("snapshot", &schedules.snapshot, snapshot),
            ("sweep", &schedules.sweep, sweep),
        ] {
            tasks.spawn(repeat(
                name,
                schedule.clone(),
                Arc::clone(&clock),
                job,
                stopped.clone(),
            ));
        }
        Self { stop, tasks }
    }

    /// Ends when a task of it has, which none does before it is shut down unless it failed.
    ///
    /// # Errors
    /// The task's panic.
    pub async fn ended(&mut self) -> Result<(), JoinError> {
        next_ended(&mut self.tasks).await
    }

    /// Waits for the job under way, if any, and ends.
    pub async fn shut_down(mut self) {
        self.stop.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "maintenance ended badly");
            }
        }
    }
}

/// Runs `job` at each time of the schedule. One that takes longer than its pause runs again at the next time after.
async fn repeat(
    name: &'static str,
    schedule: CronSchedule,
    clock: Arc<dyn Clock>,
    job: Job,
    mut stopped: watch::Receiver<bool>,
) {
    while let Some(next) = schedule.next_after(clock.now()) {
        tokio::select! {
            biased;
            () = clock.sleep_until(next) => {}
            _ = stopped.wait_for(|stop| *stop) => return,
            // The clock may have been put back: the next time of the schedule is another one then.
            () = sleep(LOOK_AGAIN) => continue,
        }
        match job().await {
            Ok(()) => tracing::debug!(job = name, "maintenance is done"),
            Err(error) => tracing::warn!(
                job = name,
                error = format!("{error:#}"),
                "maintenance failed"
            ),
        }
    }
    tracing::warn!(
        job = name,
        "this maintenance never runs again by its schedule"
    );
    // Told to stop, or nobody can say it any more.
    let _ = stopped.wait_for(|stop| *stop).await;
}

async fn write_snapshot(engine: Engine) -> Result<()> {
    match engine.write_snapshot().await {
        Ok(written) => {
            tracing::info!(
                position = written.position,
                bytes = written.bytes,
                "wrote a snapshot"
            );
            Ok(())
        }
        // One that was asked for otherwise is as good.
        Err(SnapshotError::Running) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// How long a stop waits for its snapshot: a supervisor that waits no longer ends the process, and only the snapshot is lost.
const LAST_SNAPSHOT_WITHIN: Duration = Duration::from_secs(10);

/// Writes a snapshot of all that is in the log, at a stop in good order: the next start folds nothing again.
pub async fn write_last_snapshot(engine: &Engine) {
    match timeout(LAST_SNAPSHOT_WITHIN, write_snapshot(engine.clone())).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(
            error = format!("{error:#}"),
            "no snapshot could be written at the stop"
        ),
        Err(_) => tracing::warn!("the stop did not wait any longer for its snapshot"),
    }
}

async fn sweep(site: Arc<Site>) -> Result<()> {
    let store = site.engine.store();
    let now = site.engine.clock().now();
    let keys = site.engine.sweep_idempotency().await?;
    let tokens = sweep_expired(store, SideTable::ApiToken, now).await?;
    let sign_ins = sweep_expired(store, SideTable::ConsoleSignIn, now).await?;
    tracing::info!(keys, tokens, sign_ins, "deleted what had expired");
    Ok(())
}

/// What tokens and sign-ins have in common.
#[derive(Deserialize)]
struct Expiring {
    expires_at: Timestamp,
}

/// Deletes the rows that have expired. What can't be read is left: nobody knows what it was for.
async fn sweep_expired(store: &EventStore, table: SideTable, now: Timestamp) -> Result<u64> {
    let mut after = String::new();
    let mut deleted = 0;
    loop {
        let page = store.side_page(table, &after, SWEEP_PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(deleted);
        };
        after.clone_from(&last.key);
        let expired: Vec<String> = page
            .into_iter()
            .filter(|row| {
                serde_json::from_slice::<Expiring>(&row.value)
                    .is_ok_and(|row| row.expires_at <= now)
            })
            .map(|row| row.key)
            .collect();
        deleted += store.sweep_side(table, &expired).await?;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use chrono_tz::Tz;
    use domain::time::{HOUR, MINUTE};

    use super::*;
    use crate::virtual_clock::VirtualClock;

    #[tokio::test]
    async fn a_job_runs_by_the_injected_clock() {
        let clock =
            VirtualClock::new(Timestamp::parse_rfc3339_utc("2026-10-01T10:00:30Z").unwrap());
        let (ran, mut seen) = tokio::sync::mpsc::channel(10);
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let job: Job = Box::new(move || {
            let (ran, count) = (ran.clone(), Arc::clone(&counted));
            Box::pin(async move {
                ran.send(count.fetch_add(1, Ordering::SeqCst)).await?;
                anyhow::bail!("a failing job runs again")
            })
        });
        let schedule = CronSchedule::parse("0 */10 * * * *", Tz::UTC).unwrap();
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(repeat(
            "test",
            schedule,
            Arc::new(clock.clone()),
            job,
            stopped,
        ));
        clock.advance(9 * MINUTE);
        tokio::task::yield_now().await;
        assert_eq!(count.load(Ordering::SeqCst), 0);
        clock.advance(MINUTE);
        assert_eq!(seen.recv().await, Some(0));
        // A clock that leaps over many times runs the job once.
        tokio::task::yield_now().await;
        clock.advance(5 * HOUR);
        assert_eq!(seen.recv().await, Some(1));
        stop.send_replace(true);
        task.await.unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }
}
