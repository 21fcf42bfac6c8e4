//! This run of this node: its row and beat, the others it watches, and the leases of due dates and of mail.
//!
//! The rules of time are in [`crate::pulse`]; here they meet the database and the engine.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use connector::mail::MAIL;
use domain::node::{self, StopReason};
use domain::{Actor, Cause, Command, ids};
use engine::{DUE_DATES, Done, Engine, ExecuteError, Lane, Submission};
use eventstore::{EventStore, Fence, NodeEpoch, StoreError};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::clock_watch::watch_clock;
use crate::essential::next_ended;
use crate::pulse::{BEAT_EVERY, FAINT_AFTER, Heart, LOOK_EVERY, Watcher};

/// How often starting or stopping is tried against a busy log, and how long between.
const TRIES_MAX: u32 = 20;
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// Whether this node can count on not being given up by the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// Its beat was raised lately.
    Strong,
    /// It was not for too long: agents are closed and nothing is consumed.
    Faint,
}

/// A run of this node.
pub struct Node {
    epoch: NodeEpoch,
    engine: Engine,
    pulse: watch::Receiver<Pulse>,
    over: watch::Receiver<Option<&'static str>>,
    due_dates: watch::Receiver<bool>,
    mail: watch::Receiver<Option<Fence>>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// What the tasks share.
struct Run {
    engine: Engine,
    store: EventStore,
    epoch: NodeEpoch,
    /// Whether there can be other nodes.
    shared: bool,
}

impl Node {
    /// Begins a run: a row with a new epoch, `NodeStarted`, and the tasks that keep it alive. Without other nodes every
    /// earlier run is over at once.
    ///
    /// # Errors
    /// A node of this name runs already, or the log can't be written.
    pub async fn begin(
        engine: &Engine,
        shared: bool,
        name: &str,
        url: Option<&str>,
    ) -> Result<Self> {
        let store = engine.store().clone();
        if shared {
            refuse_a_twin(&store, name).await?;
        }
        let epoch = store
            .register_node(name, url)
            .await
            .context("registering the node")?;
        if !shared {
            end_earlier_runs(engine, epoch).await?;
        }
        let start = node::Command::Start {
            epoch: ids::NodeEpoch(epoch.0),
            name: name.to_owned(),
            url: url.map(str::to_owned),
        };
        execute(engine, start)
            .await
            .context("writing NodeStarted to the log")?;

        let run = Arc::new(Run {
            engine: engine.clone(),
            store,
            epoch,
            shared,
        });
        let (stop, stopped) = watch::channel(false);
        let (pulse_sender, pulse) = watch::channel(Pulse::Strong);
        let (over_sender, over) = watch::channel(None);
        let (due_dates_sender, due_dates) = watch::channel(false);
        let (mail_sender, mail) = watch::channel(None);
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&run).beat(pulse_sender, over_sender, stopped.clone()));
        if shared {
            tasks.spawn(Arc::clone(&run).watch_others(stopped.clone()));
        }
        tasks.spawn(watch_clock(
            engine.clone(),
            ids::NodeEpoch(epoch.0),
            stopped.clone(),
        ));
        let tell_due = move |held: Option<Fence>| tell(&due_dates_sender, held.is_some());
        tasks.spawn(Arc::clone(&run).keep_lease(
            DUE_DATES,
            tell_due,
            pulse.clone(),
            stopped.clone(),
        ));
        let tell_mail = move |held: Option<Fence>| tell(&mail_sender, held);
        tasks.spawn(run.keep_lease(MAIL, tell_mail, pulse.clone(), stopped));
        Ok(Self {
            epoch,
            engine: engine.clone(),
            pulse,
            over,
            due_dates,
            mail,
            stop,
            tasks,
        })
    }

    /// This run.
    #[must_use]
    pub fn epoch(&self) -> ids::NodeEpoch {
        ids::NodeEpoch(self.epoch.0)
    }

    /// How the node's own beat does.
    #[must_use]
    pub fn pulse(&self) -> watch::Receiver<Pulse> {
        self.pulse.clone()
    }

    /// True as long as this node holds the lease of due dates.
    #[must_use]
    pub fn due_dates(&self) -> watch::Receiver<bool> {
        self.due_dates.clone()
    }

    /// The fence under which this node holds the lease of mail, as long as it does.
    #[must_use]
    pub fn mail(&self) -> watch::Receiver<Option<Fence>> {
        self.mail.clone()
    }

    /// Ends when this run was declared stopped by others, with the reason: the program must end then, and may start anew.
    pub fn over(&self) -> impl Future<Output = &'static str> + use<> {
        let mut over = self.over.clone();
        async move {
            loop {
                if let Some(reason) = *over.borrow_and_update() {
                    return reason;
                }
                if over.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    /// Ends when a task of the run has, which none does before it is ended unless it failed.
    ///
    /// # Errors
    /// The task's panic.
    pub async fn ended(&mut self) -> Result<(), JoinError> {
        next_ended(&mut self.tasks).await
    }

    /// Ends the run: gives the lease back, appends `NodeStopped`, removes the row.
    pub async fn end(mut self) {
        self.stop.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a task of the node ended badly");
            }
        }
        let stop = node::Command::Stop {
            epoch: self.epoch(),
            reason: StopReason::Asked,
        };
        match execute(&self.engine, stop).await {
            Ok(_) => {
                if let Err(error) = self.engine.store().remove_node(self.epoch).await {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the node's row could not be removed"
                    );
                }
            }
            // The others find out by its beat.
            Err(error) => tracing::warn!(
                error = format!("{error:#}"),
                "NodeStopped could not be written"
            ),
        }
    }
}

impl Run {
    async fn beat(
        self: Arc<Self>,
        pulse: watch::Sender<Pulse>,
        over: watch::Sender<Option<&'static str>>,
        mut stopped: watch::Receiver<bool>,
    ) {
        let mut heart = Heart::new(Instant::now());
        // Looked at more often than raised: growing faint must not wait for a database that hangs.
        let mut tick = interval(BEAT_EVERY / 3);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut due_at = Instant::now();
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                _ = stopped.wait_for(|stop| *stop) => return,
            }
            let began = Instant::now();
            if began >= due_at {
                match timeout(BEAT_EVERY, self.store.raise_beat(self.epoch)).await {
                    Ok(Ok(true)) => {
                        heart.raised(began);
                        due_at = began + BEAT_EVERY;
                    }
                    Ok(Ok(false)) => {
                        over.send_replace(Some(
                            "its row was removed by another node, which did not see it beat",
                        ));
                    }
                    Ok(Err(error)) => tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the node's beat could not be raised"
                    ),
                    Err(_) => tracing::warn!("the node's beat was not raised in time"),
                }
            }
            if !self
                .engine
                .published()
                .world
                .nodes
                .contains(&ids::NodeEpoch(self.epoch.0))
            {
                over.send_replace(Some(
                    "another node saw it not beat for 10 s and declared it stopped",
                ));
            }
            let now = if heart.is_strong(Instant::now()) {
                Pulse::Strong
            } else {
                Pulse::Faint
            };
            pulse.send_if_modified(|pulse| {
                let changed = *pulse != now;
                *pulse = now;
                changed
            });
        }
    }

    async fn watch_others(self: Arc<Self>, mut stopped: watch::Receiver<bool>) {
        let mut watcher = Watcher::default();
        let mut tick = interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                _ = stopped.wait_for(|stop| *stop) => return,
            }
            // A look that hangs is a look away: what was counted so far is worth nothing then.
            let rows = match timeout(FAINT_AFTER, self.store.nodes()).await {
                Ok(Ok(rows)) => rows,
                Ok(Err(error)) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the other nodes could not be looked at"
                    );
                    continue;
                }
                Err(_) => continue,
            };
            let running: Vec<NodeEpoch> = {
                let published = self.engine.published();
                published
                    .world
                    .nodes
                    .iter()
                    .map(|(epoch, _)| NodeEpoch(epoch.0))
                    .collect()
            };
            for silent in watcher.look(Instant::now(), self.epoch, &rows, &running) {
                self.give_up(silent).await;
            }
        }
    }

    async fn give_up(&self, silent: NodeEpoch) {
        tracing::warn!(
            epoch = silent.0,
            "a node was silent for 10 s and is given up"
        );
        let stop = node::Command::Stop {
            epoch: ids::NodeEpoch(silent.0),
            reason: StopReason::Silent,
        };
        let done = self.engine.execute(submission(stop)).await;
        // Tried again with the next look.
        if let Err(error) = done {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                epoch = silent.0,
                "NodeStopped could not be written"
            );
            return;
        }
        if let Err(error) = self.store.remove_node(silent).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                epoch = silent.0,
                "a stopped node's row could not be removed"
            );
        }
    }

    async fn keep_lease(
        self: Arc<Self>,
        name: &'static str,
        tell: impl Fn(Option<Fence>) + Send + 'static,
        pulse: watch::Receiver<Pulse>,
        mut stopped: watch::Receiver<bool>,
    ) {
        let mut held: Option<Fence> = None;
        let mut tick = interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                _ = stopped.wait_for(|stop| *stop) => break,
            }
            if *pulse.borrow() == Pulse::Faint {
                held = None;
            } else {
                match timeout(FAINT_AFTER, self.look_after_lease(name, held)).await {
                    Ok(Ok(now)) => held = now,
                    Ok(Err(error)) => {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            lease = name,
                            "a lease could not be looked at"
                        )
                    }
                    Err(_) => held = None,
                }
            }
            tell(held);
        }
        tell(None);
        if let Some(fence) = held
            && let Err(error) = self.store.release_lease(name, fence).await
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                lease = name,
                "a lease could not be given back"
            );
        }
    }

    /// The fence under which this node holds the lease now.
    async fn look_after_lease(
        &self,
        name: &str,
        held: Option<Fence>,
    ) -> Result<Option<Fence>, StoreError> {
        let row = self.store.consumer(name).await?;
        let (holder, fence) = row.map_or((None, Fence(0)), |row| (row.holder, row.fence));
        if holder == Some(self.epoch) && held == Some(fence) {
            return Ok(held);
        }
        let is_free = holder.is_none_or(|holder| {
            !self.shared
                || holder == self.epoch
                || !self
                    .engine
                    .published()
                    .world
                    .nodes
                    .contains(&ids::NodeEpoch(holder.0))
        });
        if !is_free {
            return Ok(None);
        }
        self.store.take_lease(name, self.epoch, fence).await
    }
}

/// Says something new, and nothing where nothing changed.
fn tell<T: PartialEq>(sender: &watch::Sender<T>, new: T) {
    sender.send_if_modified(|told| {
        let changed = *told != new;
        *told = new;
        changed
    });
}

/// Refuses to start beside a living node of the same name. Rows of dead ones stay where they are: `NodeStarted` ends them.
async fn refuse_a_twin(store: &EventStore, name: &str) -> Result<()> {
    let beats = || async {
        let rows = store.nodes().await.context("looking at the other nodes")?;
        let same = rows.into_iter().filter(|row| row.name == name);
        anyhow::Ok(
            same.map(|row| (row.epoch, row.beat))
                .collect::<HashMap<_, _>>(),
        )
    };
    let before = beats().await?;
    if before.is_empty() {
        return Ok(());
    }
    tracing::info!(
        node = name,
        "a node of this name was not stopped in good order: waiting whether it still beats"
    );
    let until = Instant::now() + BEAT_EVERY + LOOK_EVERY;
    while Instant::now() < until {
        sleep(LOOK_EVERY / 4).await;
        let now = beats().await?;
        if before
            .iter()
            .any(|(epoch, beat)| now.get(epoch).is_some_and(|now| now != beat))
        {
            bail!(
                "a node named {name:?} runs already: give each node of the site a name of its own (--node NAME)"
            );
        }
    }
    Ok(())
}

/// Ends every earlier run: the caller holds the directory, so none of them lives.
async fn end_earlier_runs(engine: &Engine, epoch: NodeEpoch) -> Result<()> {
    let earlier: Vec<ids::NodeEpoch> = {
        let published = engine.published();
        published
            .world
            .nodes
            .iter()
            .map(|(epoch, _)| *epoch)
            .collect()
    };
    for earlier in earlier {
        let stop = node::Command::Stop {
            epoch: earlier,
            reason: StopReason::Restarted,
        };
        execute(engine, stop)
            .await
            .context("writing NodeStopped to the log")?;
    }
    let store = engine.store();
    for row in store.nodes().await.context("looking at earlier runs")? {
        if row.epoch != epoch {
            store
                .remove_node(row.epoch)
                .await
                .context("removing an earlier run")?;
        }
    }
    Ok(())
}

fn submission(command: node::Command) -> Submission {
    Submission::new(
        Command::Node(command),
        Cause::program(Actor::System),
        Lane::Integrations,
    )
}

/// Has a command carried out, again and again while the log is busy or away for a moment.
async fn execute(engine: &Engine, command: node::Command) -> Result<Done, ExecuteError> {
    let mut tries = 1;
    loop {
        match engine.execute(submission(command.clone())).await {
            Err(ExecuteError::Busy { .. } | ExecuteError::Unavailable { .. })
                if tries < TRIES_MAX =>
            {
                tries += 1;
                sleep(TRY_AGAIN).await;
            }
            done => return done,
        }
    }
}
