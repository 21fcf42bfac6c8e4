//! The newest figures of each client: kept in the console view at once, written to the `latest` rows once a second.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use domain::ids::JumpClientId;
use engine::Engine;
use link_protocol::Figures;
use tokio::sync::watch;

/// How often what changed is written.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// Figures that changed since they were last written.
#[derive(Clone, Default)]
pub(crate) struct NewestFigures {
    changed: Arc<DashMap<JumpClientId, Vec<u8>>>,
}

impl NewestFigures {
    /// Takes the newest figures of a client; the link has checked their size.
    pub(crate) fn put(&self, engine: &Engine, client: JumpClientId, figures: &Figures) {
        // A check-in without figures says nothing new about them.
        if *figures == Figures::default() {
            return;
        }
        match serde_json::to_vec(figures) {
            Ok(bytes) => {
                engine
                    .views()
                    .console
                    .set_figures(client, bytes.clone().into());
                self.changed.insert(client, bytes);
            }
            Err(error) => {
                tracing::warn!(%client, error = &error as &dyn std::error::Error, "figures can't be kept")
            }
        }
    }

    /// Writes what changed once a second until `shutdown` turns true, and a last time then.
    pub(crate) async fn write(self, engine: Engine, mut shutdown: watch::Receiver<bool>) {
        loop {
            let stop = tokio::select! {
                () = tokio::time::sleep(WRITE_EVERY) => false,
                _ = shutdown.wait_for(|stop| *stop) => true,
            };
            self.write_once(&engine).await;
            if stop {
                return;
            }
        }
    }

    async fn write_once(&self, engine: &Engine) {
        let clients: Vec<JumpClientId> = self.changed.iter().map(|entry| *entry.key()).collect();
        let rows: Vec<(String, Vec<u8>)> = clients
            .iter()
            .filter_map(|client| self.changed.remove(client))
            .map(|(client, bytes)| (format!("jump_client-{client}"), bytes))
            .collect();
        if rows.is_empty() {
            return;
        }
        // Figures are worth nothing once newer ones have come: what can't be written is not tried again.
        if let Err(error) = engine.store().put_latest(&rows).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                count = rows.len(),
                "the newest figures can't be written"
            );
        }
    }
}
