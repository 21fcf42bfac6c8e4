//! Whether this node can do its work: the log can be written, and the engine does (HLTH-08, HLTH-09).

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use eventstore::{EventStore, SideTable, SideWrite, StoreError};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::access::Access;
use crate::route::{About, Gives, Routes};
use crate::site::Site;

/// How long a finding stands, so that a crowd of questions costs one look.
pub const FINDING_STANDS: Duration = Duration::from_secs(1);
/// How long the database may take to take a write.
pub const LOOK_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a failed write to the log stands against the node where nothing was written since. After that a small write has to
/// do: a node that gets no work because it is ill could never show that it is well.
pub const FAILURE_STANDS: Duration = Duration::from_secs(60);

/// The row that the health check writes.
const ROW: &str = "health";
/// How much it writes.
const PROBE_BYTES: usize = 4_096;

/// What stands against the node's health; the text is for people and says nothing of the inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Illness {
    /// The engine has stopped writing for good and waits for a new start.
    #[error("The server has stopped writing to its log.")]
    Stopped,
    /// The database refuses a write.
    #[error("The log cannot be written.")]
    NotWritable,
    /// The database has no room for a write.
    #[error("The log has no room left.")]
    Full,
    /// The database does not answer in time.
    #[error("The log does not answer in time.")]
    Silent,
}

/// What was found last.
#[derive(Debug, Default)]
pub struct Health {
    finding: Mutex<Option<(Instant, Result<(), Illness>)>>,
}

/// The plain health check, without a token.
#[must_use]
pub fn routes(site: &Arc<Site>) -> Routes {
    Routes::new(site)
        .route(
            Method::GET,
            "/check_health",
            Access::Probe,
            About::new("Whether the site is healthy: 200 or 500").gives(Gives::Text("text/plain")),
            check_health,
        )
        .open()
}

async fn check_health(State(site): State<Arc<Site>>) -> Response {
    match diagnose(&site).await {
        Ok(()) => {
            let mut text = "The site is healthy.\n".to_owned();
            for warning in warnings(&site) {
                text.push_str("Warning: ");
                text.push_str(warning);
                text.push('\n');
            }
            (StatusCode::OK, text).into_response()
        }
        Err(illness) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{illness}\n")).into_response(),
    }
}

/// What is wrong without keeping the node from its work: it stays 200, so that no balancer takes the consoles away too.
pub fn warnings(site: &Site) -> impl Iterator<Item = &'static str> + use<> {
    let trust = &site.engine.published().world.agent_trust;
    let uncovered = site.shown_certificate.borrow().is_uncovered(trust).then_some(
        "no trust anchor of the site covers the certificate of this server. Jump Clients do not connect to it.",
    );
    let clock = site
        .engine
        .clock_behind()
        .map(|_| "the server's clock is more than a minute behind the times in its log.");
    uncovered.into_iter().chain(clock)
}

/// Looks whether the node can do its work. Questions at the same time share one look.
///
/// # Errors
/// What stands against it.
pub async fn diagnose(site: &Site) -> Result<(), Illness> {
    let mut finding = site.health.finding.lock().await;
    if let Some((at, found)) = *finding
        && at.elapsed() < FINDING_STANDS
    {
        return found;
    }
    let found = look(site).await;
    *finding = Some((Instant::now(), found));
    found
}

async fn look(site: &Site) -> Result<(), Illness> {
    if site.engine.halt().is_some() {
        return Err(Illness::Stopped);
    }
    let trouble = site.engine.trouble();
    let store = site.engine.store();
    let written = async {
        match trouble {
            None => touch(store).await,
            Some(_) => write(store).await,
        }
    };
    match timeout(LOOK_TIMEOUT, written).await {
        // A small write may find room where the last event did not.
        Ok(Ok(())) => match trouble {
            Some(trouble) if trouble.at.elapsed() < FAILURE_STANDS => Err(if trouble.full {
                Illness::Full
            } else {
                Illness::NotWritable
            }),
            _ => Ok(()),
        },
        Ok(Err(error)) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the health check can't write to the log"
            );
            Err(match error {
                StoreError::Full => Illness::Full,
                _ => Illness::NotWritable,
            })
        }
        Err(_) => {
            tracing::error!("the log did not answer the health check in time");
            Err(Illness::Silent)
        }
    }
}

/// Takes the way of a write and leaves nothing behind: a delete of what is not there.
async fn touch(store: &EventStore) -> Result<(), StoreError> {
    let nothing = [ROW.to_owned()];
    store.sweep_side(SideTable::Idempotency, &nothing).await?;
    Ok(())
}

/// Writes as much as a usual event has, and takes it away.
async fn write(store: &EventStore) -> Result<(), StoreError> {
    let row = SideWrite::Put {
        table: SideTable::Idempotency,
        key: ROW.to_owned(),
        value: vec![0; PROBE_BYTES],
    };
    store
        .change_side_rows((SideTable::Idempotency, ROW), |_| vec![row])
        .await?;
    touch(store).await
}
