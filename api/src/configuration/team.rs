//! `team`: teams of users.

use std::sync::Arc;

use domain::ids::TeamId;
use domain::site::team::{self, Team};
use domain::{Command, Event, World, record};

use super::resource::{self, Resource};
use crate::route::Routes;
use crate::site::Site;

impl Resource for Team {
    const PATH: &'static str = "team";
    const SCHEMA: &'static str = "Team";

    fn rows(world: &World) -> impl Iterator<Item = (TeamId, &Self)> {
        world.teams.iter().map(|(id, team)| (*id, team))
    }

    fn command(command: record::Command<Self>) -> Command {
        Command::Team(team::Command::Record(command))
    }

    fn made(event: &Event) -> Option<(TeamId, &Self)> {
        match event {
            Event::Team(id, team::Event::Record(record::Event::Created(team))) => Some((*id, team)),
            _ => None,
        }
    }
}

pub(crate) fn routes(site: &Arc<Site>) -> Routes {
    let routes = resource::read_routes::<Team>(site);
    let routes = resource::create_route::<Team>(routes);
    let routes = resource::change_route::<Team>(routes);
    resource::delete_route::<Team>(routes)
}
