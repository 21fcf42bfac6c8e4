//! `jump-policy`: Jump Policies (POL-01), and their schedules to read; schedules are written in the console API.

use std::borrow::Cow;
use std::sync::Arc;

use axum::http::Method;
use domain::ids::JumpPolicyId;
use domain::policy::jump_policy::{self, JumpPolicy};
use domain::policy::schedule::Schedule;
use domain::record::{self, Record};
use domain::site::ticket_system;
use domain::{Command, Event, World};
use serde_json::Value;

use super::resource::{self, ACCESS, PathId, Resource, path_of};
use crate::answer::Answer;
use crate::caller::Known;
use crate::error::{JsonError, Problem};
use crate::route::{About, Gives, Routes};
use crate::site::Site;

/// What whoever saves a policy is told whose schedule is enabled and has no entries.
const NEVER_OPEN: &str = "The schedule is enabled and has no entries, so that nobody can start a session under this Jump Policy.";

impl Resource for JumpPolicy {
    const PATH: &'static str = "jump-policy";
    const SCHEMA: &'static str = "JumpPolicy";

    fn rows(world: &World) -> impl Iterator<Item = (JumpPolicyId, &Self)> {
        world.jump_policies.iter().map(|(id, policy)| (*id, policy))
    }

    fn command(command: record::Command<Self>) -> Command {
        Command::JumpPolicy(jump_policy::Command::Record(command))
    }

    fn made(event: &Event) -> Option<(JumpPolicyId, &Self)> {
        match event {
            Event::JumpPolicy(id, jump_policy::Event::Record(record::Event::Created(policy))) => {
                Some((*id, policy))
            }
            _ => None,
        }
    }

    fn warnings(
        &self,
        world: &World,
        id: JumpPolicyId,
        _events: &[Event],
    ) -> Vec<Cow<'static, str>> {
        let never_open = jump_policy::is_never_open(world, id).then_some(NEVER_OPEN);
        never_open
            .into_iter()
            .chain(ticket_system::warning(world, self))
            .map(Cow::Borrowed)
            .collect()
    }
}

pub(crate) fn routes(site: &Arc<Site>) -> Routes {
    let routes = resource::read_routes::<JumpPolicy>(site).route(
        Method::GET,
        &format!("{}/{{id}}/schedule", path_of::<JumpPolicy>()),
        ACCESS,
        About::new("Reads the schedule.").gives(Gives::One("Schedule")),
        get_schedule,
    );
    let routes = resource::create_route::<JumpPolicy>(routes);
    let routes = resource::change_route::<JumpPolicy>(routes);
    resource::delete_route::<JumpPolicy>(routes)
}

async fn get_schedule(
    known: Known,
    PathId(id): PathId<JumpPolicyId>,
) -> Result<Answer<Value>, JsonError> {
    let world = known.world();
    if !world.jump_policies.contains(&id) {
        return Err(Problem::not_found(JumpPolicy::TITLE).into());
    }
    Ok(Answer::known(
        &known.0,
        Value::Object(schedule_of(world, id).to_body()),
    ))
}

/// The schedule of a policy; one that never got one has no entries, in UTC.
pub fn schedule_of(world: &World, policy: JumpPolicyId) -> Schedule {
    world.schedules.get(&policy).cloned().unwrap_or_default()
}
