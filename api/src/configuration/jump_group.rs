//! `jump-group`: shared Jump Groups (GRP-01).

use std::sync::Arc;

use domain::access::jump_group::{self, JumpGroup};
use domain::ids::JumpGroupId;
use domain::{Command, Event, World, record};

use super::resource::{self, Resource};
use crate::route::Routes;
use crate::site::Site;

impl Resource for JumpGroup {
    const PATH: &'static str = "jump-group";
    const SCHEMA: &'static str = "JumpGroup";

    fn rows(world: &World) -> impl Iterator<Item = (JumpGroupId, &Self)> {
        world.jump_groups.iter().map(|(id, group)| (*id, group))
    }

    fn command(command: record::Command<Self>) -> Command {
        Command::JumpGroup(jump_group::Command::Record(command))
    }

    fn made(event: &Event) -> Option<(JumpGroupId, &Self)> {
        match event {
            Event::JumpGroup(id, jump_group::Event::Record(record::Event::Created(group))) => {
                Some((*id, group))
            }
            _ => None,
        }
    }
}

pub(crate) fn routes(site: &Arc<Site>) -> Routes {
    let routes = resource::read_routes::<JumpGroup>(site);
    let routes = resource::create_route::<JumpGroup>(routes);
    let routes = resource::change_route::<JumpGroup>(routes);
    resource::delete_route::<JumpGroup>(routes)
}
