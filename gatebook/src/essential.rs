//! Tasks without which the process is of no use: when one of them ends, the program says so, stops as well as it still can, and
//! exits with a status of its own, so that a supervisor starts it again.

use std::collections::HashMap;
use std::fmt::Display;

use tokio::task::{Id, JoinError, JoinSet};

/// A task ended that never does by itself.
#[derive(Debug, thiserror::Error)]
#[error("{what} ended without being told to{why}; the server has to be started again")]
pub struct TaskEnded {
    /// Which part of the server.
    what: &'static str,
    /// How, where it failed.
    why: String,
}

impl TaskEnded {
    /// The part `what` has a task that ended so.
    #[must_use]
    pub(crate) fn of(what: &'static str, ended: Result<(), impl Display>) -> Self {
        let why = ended.err().map(|why| format!(" ({why:#})"));
        Self {
            what,
            why: why.unwrap_or_default(),
        }
    }
}

/// Ends when one of the tasks has; never where there is none.
pub(crate) async fn next_ended(tasks: &mut JoinSet<()>) -> Result<(), JoinError> {
    match tasks.join_next().await {
        Some(ended) => ended,
        None => std::future::pending().await,
    }
}

/// Tasks of the server itself, each with the name by which its end is told.
#[derive(Default)]
pub(crate) struct EssentialTasks {
    tasks: JoinSet<()>,
    names: HashMap<Id, &'static str>,
}

impl EssentialTasks {
    /// Begins a task that ends only when it is told to.
    pub(crate) fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let id = self.tasks.spawn(task).id();
        self.names.insert(id, name);
    }

    /// Ends when one of them has.
    pub(crate) async fn ended(&mut self) -> TaskEnded {
        match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => TaskEnded::of(self.name(id), Ok::<(), JoinError>(())),
            Some(Err(error)) => TaskEnded::of(self.name(error.id()), Err(error)),
            None => std::future::pending().await,
        }
    }

    /// Waits for all of them, which were told to end.
    pub(crate) async fn all_ended(mut self) {
        while let Some(ended) = self.tasks.join_next_with_id().await {
            if let Err(error) = ended {
                tracing::error!(%error, task = self.name(error.id()), "a task ended badly");
            }
        }
    }

    fn name(&self, id: Id) -> &'static str {
        self.names.get(&id).copied().unwrap_or("a task")
    }
}
