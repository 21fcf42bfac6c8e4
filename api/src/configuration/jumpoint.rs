//! `jumpoint`: Jumpoints. Their nodes and installers come later, so none is ever shown as connected.

use std::sync::Arc;

use domain::ids::JumpointId;
use domain::items::jumpoint::{self, Jumpoint};
use domain::record::{Field, Kind};
use domain::{Command, Event, World, record};

use super::resource::{self, Fixed, Resource};
use crate::route::Routes;
use crate::site::Site;

impl Resource for Jumpoint {
    const PATH: &'static str = "jumpoint";
    const SCHEMA: &'static str = "Jumpoint";
    const FIXED: &'static [(&'static str, Fixed)] = &[
        ("connected", Fixed::False),
        ("docker_deploy_key", Fixed::Absent),
        ("key_info", Fixed::Absent),
    ];
    // These ask for any node of the Jumpoint (config-api.md 2.2).
    const FILTERS_ALONE: &'static [Field] = &[
        Field::new(
            "public_ip",
            Kind::Text { min: 1, max: 45 },
            "The address that a node connects from.",
        ),
        Field::new(
            "private_ip",
            Kind::Text { min: 1, max: 45 },
            "A node's own address.",
        ),
        Field::new(
            "hostname",
            Kind::Text { min: 1, max: 255 },
            "A node's host name.",
        ),
    ];

    fn rows(world: &World) -> impl Iterator<Item = (JumpointId, &Self)> {
        world.jumpoints.iter().map(|(id, jumpoint)| (*id, jumpoint))
    }

    fn command(command: record::Command<Self>) -> Command {
        Command::Jumpoint(jumpoint::Command::Record(command))
    }

    fn made(event: &Event) -> Option<(JumpointId, &Self)> {
        match event {
            Event::Jumpoint(id, jumpoint::Event::Record(record::Event::Created(jumpoint))) => {
                Some((*id, jumpoint))
            }
            _ => None,
        }
    }
}

pub(crate) fn routes(site: &Arc<Site>) -> Routes {
    let routes = resource::read_routes::<Jumpoint>(site);
    let routes = resource::create_route::<Jumpoint>(routes);
    let routes = resource::change_route::<Jumpoint>(routes);
    resource::delete_route::<Jumpoint>(routes)
}
