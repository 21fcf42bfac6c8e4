//! A clock that stands until it is told to move: for the demo's past and for tests.

use std::sync::Arc;

use domain::Timestamp;
use engine::Clock;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

/// A clock that somebody moves. Clones show the same time.
#[derive(Clone)]
pub struct VirtualClock(Arc<watch::Sender<Timestamp>>);

impl VirtualClock {
    /// Stands at `at`.
    #[must_use]
    pub fn new(at: Timestamp) -> Self {
        Self(Arc::new(watch::Sender::new(at)))
    }

    /// Moves on by `micros`.
    pub fn advance(&self, micros: i64) {
        self.0.send_modify(|now| *now = now.plus(micros));
    }

    /// Shows `at` from now on, also where that is back.
    pub fn set(&self, at: Timestamp) {
        self.0.send_replace(at);
    }

    /// Moves on to `at`; never back.
    pub fn advance_to(&self, at: Timestamp) {
        self.0.send_modify(|now| *now = at.max(*now));
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        *self.0.borrow()
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'static, ()> {
        let mut time = self.0.subscribe();
        async move {
            if time.wait_for(|now| *now >= at).await.is_err() {
                // Nobody can move it any more.
                std::future::pending::<()>().await;
            }
        }
        .boxed()
    }
}
