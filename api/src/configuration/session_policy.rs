//! `session-policy`: session policies, to list; they are written in the console API.

use std::sync::Arc;

use axum::http::Method;
use domain::ids::SessionPolicyId;
use domain::policy::session_policy::SessionPolicy;
use domain::{Command, Event, World, record};

use super::resource::{self, ACCESS, Resource, path_of};
use crate::route::{About, Gives, Routes};
use crate::site::Site;

impl Resource for SessionPolicy {
    const PATH: &'static str = "session-policy";
    const SCHEMA: &'static str = "SessionPolicy";

    fn rows(world: &World) -> impl Iterator<Item = (SessionPolicyId, &Self)> {
        world
            .session_policies
            .iter()
            .map(|(id, policy)| (*id, policy))
    }

    fn command(command: record::Command<Self>) -> Command {
        Command::SessionPolicy(command)
    }

    fn made(event: &Event) -> Option<(SessionPolicyId, &Self)> {
        match event {
            Event::SessionPolicy(id, record::Event::Created(policy)) => Some((*id, policy)),
            _ => None,
        }
    }
}

pub(crate) fn routes(site: &Arc<Site>) -> Routes {
    Routes::new(site).route(
        Method::GET,
        &path_of::<SessionPolicy>(),
        ACCESS,
        About::new("Lists, page by page.").gives(Gives::Page(SessionPolicy::SCHEMA)),
        resource::list::<SessionPolicy>,
    )
}
