//! `jump-item-role`: Jump Item Roles, to read; they are written in the console API.

use std::sync::Arc;

use domain::access::role::JumpItemRole;
use domain::ids::JumpItemRoleId;
use domain::{Command, Event, World, record};

use super::resource::{self, Resource};
use crate::route::Routes;
use crate::site::Site;

impl Resource for JumpItemRole {
    const PATH: &'static str = "jump-item-role";
    const SCHEMA: &'static str = "JumpItemRole";

    fn rows(world: &World) -> impl Iterator<Item = (JumpItemRoleId, &Self)> {
        world.jump_item_roles.iter().map(|(id, role)| (*id, role))
    }

    fn command(command: record::Command<Self>) -> Command {
        Command::JumpItemRole(command)
    }

    fn made(event: &Event) -> Option<(JumpItemRoleId, &Self)> {
        match event {
            Event::JumpItemRole(id, record::Event::Created(role)) => Some((*id, role)),
            _ => None,
        }
    }
}

pub(crate) fn routes(site: &Arc<Site>) -> Routes {
    resource::read_routes::<JumpItemRole>(site)
}
