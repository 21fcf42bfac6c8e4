//! Following the head of the log: notifications are a hint, polling is the truth.

use std::sync::{Arc, Weak};
use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::error::StoreError;
use crate::event::Head;
use crate::postgres::CHANNEL;
use crate::store::{Backend, EventStore, Inner};

/// How long to wait before listening again after the listener broke.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// Starts the tasks of an opened store. They end when the store closes or its last handle is dropped.
pub(crate) fn start(store: &Arc<Inner>, tasks: &mut JoinSet<()>, head: Head) {
    tasks.spawn(poll(
        Arc::downgrade(store),
        store.stop.subscribe(),
        store.options.poll_interval,
        head,
    ));
    if let Backend::Postgres(_) = &store.backend {
        tasks.spawn(listen(Arc::downgrade(store), store.stop.subscribe()));
    }
}

/// Looks the head up at intervals. A head that goes back, or is another one at the same position,
/// means that the log was put back to an earlier state.
async fn poll(
    store: Weak<Inner>,
    mut stop: watch::Receiver<bool>,
    interval: Duration,
    mut seen: Head,
) {
    loop {
        tokio::select! {
            // Also when the last handle was dropped and nobody can say stop any more.
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(interval) => {}
        }
        let Some(inner) = store.upgrade() else { return };
        let known = *inner.head.borrow();
        match (EventStore {
            inner: Arc::clone(&inner),
        })
        .head()
        .await
        {
            Ok(head) => {
                let other = head.position == seen.position && head.tail_hash != seen.tail_hash;
                if head.position < known || head.epoch < seen.epoch || other {
                    inner.mark_rewound(known, head.position);
                    return;
                }
                inner.raise_head(head.position);
                seen = head;
            }
            Err(StoreError::Closed) => return,
            Err(error) => tracing::debug!(
                error = &error as &dyn std::error::Error,
                "looking up the head failed"
            ),
        }
    }
}

/// Listens for commits of other nodes.
async fn listen(store: Weak<Inner>, mut stop: watch::Receiver<bool>) {
    let mut warned = false;
    loop {
        let heard = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            heard = listen_until_broken(&store) => heard,
        };
        match heard {
            Ok(()) => return,
            Err(error) if !warned => {
                warned = true;
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "no notifications from the database, the head is polled"
                );
            }
            Err(_) => {}
        }
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(LISTEN_AGAIN) => {}
        }
    }
}

/// Ends well only when the store is gone.
async fn listen_until_broken(store: &Weak<Inner>) -> Result<(), sqlx::Error> {
    let pool = match store.upgrade().as_deref() {
        Some(Inner {
            backend: Backend::Postgres(postgres),
            ..
        }) => postgres.pool.clone(),
        _ => return Ok(()),
    };
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.ignore_pool_close_event(false);
    listener.listen(CHANNEL).await?;
    drop(pool);
    loop {
        // `None` is a broken connection; what was missed meanwhile the polling brings.
        let notification = listener.try_recv().await?;
        let Some(inner) = store.upgrade() else {
            return Ok(());
        };
        if let Some(position) = notification.and_then(|told| told.payload().parse().ok()) {
            inner.raise_head(position);
        }
    }
}
