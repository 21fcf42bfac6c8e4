//! The newest figures of each client: kept in the console view at once, written to the `latest` rows once a second, and brought
//! back from there when a node starts.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use domain::fleet::jump_client;
use domain::ids::{JumpClientId, JumpItemRef};
use domain::{Event, record};
use engine::{Engine, StreamBroken};
use link_protocol::Figures;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

/// How often what changed is written.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// Rows that are read at once.
const AT_ONCE: usize = 500;

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

    /// Brings back what was known before this run, then writes what changed once a second until `shutdown` turns true, and a
    /// last time then. Rows of endpoints that are gone go with them.
    pub(crate) async fn write(self, engine: Engine, mut shutdown: watch::Receiver<bool>) {
        let mut committed = engine.committed();
        let mut kept = self.bring_back(&engine).await;
        let mut is_any_gone = false;
        let mut turn = interval(WRITE_EVERY);
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let stop = tokio::select! {
                _ = turn.tick() => false,
                _ = shutdown.wait_for(|stop| *stop) => true,
                batch = committed.next() => match batch {
                    Ok(batch) => {
                        is_any_gone |= batch.iter().any(|recorded| is_deletion(&recorded.event));
                        continue;
                    }
                    Err(StreamBroken::Lagged { .. }) => {
                        is_any_gone = true;
                        continue;
                    }
                    Err(StreamBroken::Closed) => true,
                },
            };
            self.write_once(&engine, &mut kept).await;
            if std::mem::take(&mut is_any_gone) {
                forget_gone(&engine, &mut kept).await;
            }
            if stop {
                return;
            }
        }
    }

    /// Shows the figures that were written before, where no newer ones have come; answers whose they are.
    async fn bring_back(&self, engine: &Engine) -> HashSet<JumpClientId> {
        let published = engine.published();
        let clients = published.world.jump_clients.iter();
        let endpoints: HashSet<JumpClientId> = clients.map(|(_, client)| client.endpoint).collect();
        let endpoints: Vec<JumpClientId> = endpoints.into_iter().collect();
        let mut kept = HashSet::new();
        for some in endpoints.chunks(AT_ONCE) {
            let keys: Vec<String> = some.iter().copied().map(key).collect();
            let rows = match engine.store().latest(&keys).await {
                Ok(rows) => rows,
                // They come with the next check-ins.
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the newest figures can't be read"
                    );
                    return kept;
                }
            };
            let mut rows: HashMap<String, Vec<u8>> = rows.into_iter().collect();
            for client in some {
                let Some(figures) = rows.remove(&key(*client)) else {
                    continue;
                };
                kept.insert(*client);
                let console = &engine.views().console;
                if console.figures(JumpItemRef::JumpClient(*client)).is_none() {
                    console.set_figures(*client, figures.into());
                }
            }
        }
        kept
    }

    async fn write_once(&self, engine: &Engine, kept: &mut HashSet<JumpClientId>) {
        let published = engine.published();
        let clients: Vec<JumpClientId> = self.changed.iter().map(|entry| *entry.key()).collect();
        let changed: Vec<(JumpClientId, Vec<u8>)> = clients
            .iter()
            .filter_map(|client| self.changed.remove(client))
            .filter(|(client, _)| published.world.endpoint(*client).is_some())
            .collect();
        if changed.is_empty() {
            return;
        }
        kept.extend(changed.iter().map(|(client, _)| *client));
        let rows: Vec<(String, Vec<u8>)> = changed
            .into_iter()
            .map(|(client, bytes)| (key(client), bytes))
            .collect();
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

/// The name of a client's row.
fn key(client: JumpClientId) -> String {
    format!("jump_client-{client}")
}

fn is_deletion(event: &Event) -> bool {
    matches!(
        event,
        Event::JumpClient(_, jump_client::Event::Record(record::Event::Deleted(_)))
    )
}

/// Removes the rows of endpoints that no item is of any more.
async fn forget_gone(engine: &Engine, kept: &mut HashSet<JumpClientId>) {
    let published = engine.published();
    let gone: Vec<JumpClientId> = kept
        .iter()
        .copied()
        .filter(|client| published.world.endpoint(*client).is_none())
        .collect();
    if gone.is_empty() {
        return;
    }
    let keys: Vec<String> = gone.iter().copied().map(key).collect();
    match engine.store().remove_latest(&keys).await {
        Ok(()) => kept.retain(|client| !gone.contains(client)),
        // They stay among those kept, so the next deletion has them looked at again.
        Err(error) => tracing::warn!(
            error = &error as &dyn std::error::Error,
            count = keys.len(),
            "figures of clients that are gone can't be removed"
        ),
    }
}
