//! What became of a start whose user does not wait for the answer any more (SESS-17, ERR-11, ERR-12): read from the session's own stream,
//! as it has left the world.

use domain::ids::{JumpGroupRef, Lsid, UserId};
use domain::session::access_session::{Event as SessionEvent, Failed, Failure, Started};
use domain::{Event, Timestamp, World};
use engine::Engine;
use eventstore::{Direction, Selection};
use projections::Recorded;
use serde_json::{Value, json};

use crate::console::items::group;
use crate::error::Problem;

/// A session that never came up.
pub(super) struct FailedStart {
    lsid: Lsid,
    failed: Recorded,
    why: Failed,
}

impl FailedStart {
    /// How the start of `lsid` failed; none where there was none, or it did not fail.
    pub(super) async fn find(engine: &Engine, lsid: Lsid) -> Result<Option<Self>, Problem> {
        let last = read_one(engine, lsid, Direction::Backward).await?;
        Ok(last.and_then(|failed| match &failed.event {
            Event::AccessSession(_, SessionEvent::Failed(why)) => Some(Self {
                lsid,
                why: why.clone(),
                failed,
            }),
            _ => None,
        }))
    }

    /// The answer to whoever still waits for the start.
    pub(super) fn problem(&self) -> Problem {
        Problem {
            event: Some(self.failed.id),
            ..self.why.refusal().into()
        }
    }

    /// When it failed.
    pub(super) fn at(&self) -> Timestamp {
        self.failed.recorded_at
    }

    /// The group of its item.
    pub(super) async fn group(&self, engine: &Engine) -> Result<Option<JumpGroupRef>, Problem> {
        let begun = self.begun(engine).await?;
        Ok(begun.map(|(_, started)| started.group))
    }

    async fn begun(&self, engine: &Engine) -> Result<Option<(Timestamp, Started)>, Problem> {
        let first = read_one(engine, self.lsid, Direction::Forward).await?;
        Ok(first.and_then(|first| match first.event {
            Event::AccessSession(_, SessionEvent::Started(started)) => {
                Some((first.recorded_at, started))
            }
            _ => None,
        }))
    }

    /// What is shown by the session's address; none for a user who did not start it, and where the user gave up.
    pub(super) async fn shown_to(
        &self,
        engine: &Engine,
        world: &World,
        user: UserId,
    ) -> Result<Option<Value>, Problem> {
        if self.why.failure == Failure::Cancelled {
            return Ok(None);
        }
        let Some((started_at, started)) = self.begun(engine).await? else {
            return Ok(None);
        };
        let owner = &started.representative;
        let refusal = self.why.refusal();
        if owner.user_id != user && !world.is_administrator(user) {
            return Ok(None);
        }
        let Started { item, customer, .. } = &started;
        Ok(Some(json!({
            "lsid": self.lsid,
            "state": "failed",
            "item": {"id": item.to_string(), "name": customer.name},
            "group": group(started.group, &started.group_name),
            "owner": {"id": owner.user_id, "name": owner.public_display_name},
            "started_at": started_at.to_rfc3339(),
            "invited": false,
            "failure": {"code": refusal.code(), "message": refusal.to_string()},
            "failed_at": self.failed.recorded_at.to_rfc3339(),
        })))
    }
}

async fn read_one(
    engine: &Engine,
    lsid: Lsid,
    direction: Direction,
) -> Result<Option<Recorded>, Problem> {
    let from = match direction {
        Direction::Forward => 0,
        Direction::Backward => u64::MAX,
    };
    let stream = Selection::Stream(format!("access_session-{lsid}"));
    let stored = engine.store().read(&stream, from, direction, 1).await?;
    let read = stored.first().map(Recorded::from_stored).transpose();
    read.map_err(|error| {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "an event of a session can't be read"
        );
        Problem::internal()
    })
}
