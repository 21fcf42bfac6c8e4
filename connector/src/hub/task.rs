//! The tasks behind a hub: whoever runs it waits for their end, and ends them.

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use super::{Hub, LINKS_END_WITHIN};

/// The hub's own work: following the log, gathering check-ins, writing figures.
pub struct HubTask {
    pub(super) stop: watch::Sender<bool>,
    pub(super) tasks: JoinSet<()>,
    pub(super) hub: Hub,
}

impl HubTask {
    /// Ends when a task of the hub has, which none does before the hub is shut down unless it failed.
    ///
    /// # Errors
    /// The task's panic.
    pub async fn ended(&mut self) -> Result<(), JoinError> {
        match self.tasks.join_next().await {
            Some(ended) => ended,
            None => std::future::pending().await,
        }
    }

    /// Closes all links, writes down what was gathered, and ends. That the clients are offline is said by the one
    /// `NodeStopped` that the caller appends behind this, not by an event each.
    pub async fn shut_down(mut self) {
        self.hub.0.end_for_good();
        let mut open = self.hub.0.open.subscribe();
        let all_ended = open.wait_for(|open| *open == 0);
        if tokio::time::timeout(LINKS_END_WITHIN, all_ended)
            .await
            .is_err()
        {
            tracing::warn!("not all links of agents ended in time");
        }
        self.stop.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a task of the hub ended badly");
            }
        }
    }
}

impl Drop for HubTask {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.tasks.detach_all();
    }
}
