//! A log for tests: decided by the domain, kept as a list, and appended to a real log where one is wanted.
#![allow(dead_code, reason = "each test binary uses what it needs of this")]

pub(crate) mod sessions;
pub(crate) mod site;

use domain::testing::{Asks, MONDAY, NODE, first_start, fresh};
use domain::{Actor, Command, Context, Event, Timestamp, World, decide, node};
use eventstore::{EventStore, ExpectedRevision, NewEvent, StreamAppend};
use projections::Recorded;
use uuid::Uuid;

/// What has happened so far.
pub(crate) struct Log {
    pub(crate) world: World,
    pub(crate) now: Timestamp,
    pub(crate) recorded: Vec<Recorded>,
    appended: usize,
    draws: u64,
}

impl Log {
    /// A site that was set up on [`MONDAY`], and [`NODE`] runs.
    pub(crate) fn begun() -> Self {
        let mut log = Self {
            world: World::default(),
            now: MONDAY,
            recorded: Vec::new(),
            appended: 0,
            draws: 1 << 32,
        };
        log.ask(Actor::Operator, first_start());
        let run = node::Command::Start {
            epoch: NODE,
            name: "node-1".to_owned(),
            url: None,
        };
        log.ask(Actor::System, run);
        log
    }

    /// Someone asks; what happens is recorded. Gives the events, none where the answer was no.
    pub(crate) fn ask(&mut self, who: impl Asks, command: impl Into<Command>) -> Vec<Event> {
        self.draws += 1;
        let (cause, fresh) = (who.cause(), fresh(self.draws));
        let context = Context {
            now: self.now,
            cause: &cause,
            fresh: &fresh,
        };
        let events = decide(&self.world, &command.into(), &context).unwrap_or_default();
        self.record(cause, events.clone());
        events
    }

    /// These events happen.
    pub(crate) fn happen(&mut self, events: impl IntoIterator<Item = Event>) {
        self.record(Actor::System.cause(), events);
    }

    /// Time passes. Unit: microseconds.
    pub(crate) fn wait(&mut self, micros: i64) {
        self.now = self.now.plus(micros);
    }

    fn record(&mut self, cause: domain::Cause, events: impl IntoIterator<Item = Event>) {
        for event in events {
            self.world.apply(&event, self.now);
            let position = self.recorded.len() as u64 + 1;
            self.recorded.push(Recorded {
                position,
                id: Uuid::from_u128(u128::from(position) << 64),
                recorded_at: self.now,
                decided_at: self.now,
                cause: cause.clone(),
                event,
            });
        }
    }

    /// The position of the last event.
    pub(crate) fn position(&self) -> u64 {
        self.recorded.len() as u64
    }

    /// Appends at most `count` of the events that were not appended yet to a real log.
    pub(crate) async fn append(&mut self, store: &EventStore, count: usize) {
        let until = self.recorded.len().min(self.appended + count);
        while self.appended < until {
            let at = self.recorded[self.appended].recorded_at;
            let batch: Vec<&Recorded> = self.recorded[self.appended..until]
                .iter()
                .take_while(|recorded| recorded.recorded_at == at)
                .collect();
            self.appended += batch.len();
            let appends = batch.into_iter().map(stream_append).collect();
            store
                .append(appends, Vec::new(), at.0)
                .await
                .expect("the log takes what happened");
        }
    }

    /// Appends everything.
    pub(crate) async fn append_all(&mut self, store: &EventStore) {
        self.append(store, usize::MAX - self.appended).await;
    }
}

fn stream_append(recorded: &Recorded) -> StreamAppend {
    StreamAppend {
        stream: recorded.event.stream(),
        expected: ExpectedRevision::Any,
        events: vec![NewEvent {
            id: recorded.id,
            event_type: recorded.event.stored_name().into(),
            data: recorded.event.to_text().expect("events can be written"),
            meta: serde_json::to_vec(&recorded.cause).expect("causes can be written"),
        }],
    }
}
