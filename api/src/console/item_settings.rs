//! What administrators set for items and their sessions, and the published Configuration API can only read or does not know:
//! session policies, custom fields of items, custom attributes of sessions, and what hangs on a Jumpoint.

use std::sync::Arc;

use axum::http::Method;
use domain::access::group_policy::{Of, Row};
use domain::ids::{CustomFieldId, CustomSessionAttributeId, JumpointId};
use domain::items::custom_field::{self, CustomField};
use domain::items::jumpoint::Jumpoint;
use domain::policy::session_policy::SessionPolicy;
use domain::record::Record;
use domain::site::custom_session_attribute::CustomSessionAttribute;
use domain::{Command, Event, World, record};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::caller::Known;
use crate::configuration::resource::{self, PathId, Resource};
use crate::console::BASE;
use crate::console::administration::{ACCESS, records};
use crate::error::{JsonError, Problem};
use crate::route::{About, Gives, Routes};
use crate::site::Site;

impl Resource for CustomField {
    // Served by the console API alone.
    const PATH: &'static str = "custom-field";
    const SCHEMA: &'static str = "CustomField";

    fn rows(world: &World) -> impl Iterator<Item = (CustomFieldId, &Self)> {
        world.custom_fields.iter().map(|(id, field)| (*id, field))
    }

    fn command(command: record::Command<Self>) -> Command {
        Command::CustomField(custom_field::Command::Record(command))
    }

    fn made(event: &Event) -> Option<(CustomFieldId, &Self)> {
        match event {
            Event::CustomField(id, record::Event::Created(field)) => Some((*id, field)),
            _ => None,
        }
    }
}

impl Resource for CustomSessionAttribute {
    // Served by the console API alone.
    const PATH: &'static str = "custom-session-attribute";
    const SCHEMA: &'static str = "CustomSessionAttribute";

    fn rows(world: &World) -> impl Iterator<Item = (CustomSessionAttributeId, &Self)> {
        let attributes = world.custom_session_attributes.iter();
        attributes.map(|(id, attribute)| (*id, attribute))
    }

    fn command(command: record::Command<Self>) -> Command {
        Command::CustomSessionAttribute(command)
    }

    fn made(event: &Event) -> Option<(CustomSessionAttributeId, &Self)> {
        match event {
            Event::CustomSessionAttribute(id, record::Event::Created(attribute)) => {
                Some((*id, attribute))
            }
            _ => None,
        }
    }
}

pub(super) fn routes(site: &Arc<Site>) -> Routes {
    Routes::new(site)
        .merge(made_here::<SessionPolicy>(site, "session-policies"))
        .merge(made_here::<CustomField>(site, "custom-fields"))
        .merge(made_here::<CustomSessionAttribute>(
            site,
            "custom-session-attributes",
        ))
        .route(
            Method::GET,
            &format!("{BASE}/jumpoints/{{id}}/dependents"),
            ACCESS,
            About::new("What goes with a Jumpoint, and the group policies that let users use it")
                .gives(Gives::One("JumpointDependents")),
            dependents,
        )
}

/// List, get, create, change and delete of a record.
fn made_here<R: Resource>(site: &Arc<Site>, name: &str) -> Routes {
    let path = format!("{BASE}/{name}");
    records::<R>(site, &path).route(
        Method::POST,
        &path,
        ACCESS,
        About::new("Creates one")
            .takes(R::SCHEMA)
            .gives(Gives::Created(R::SCHEMA)),
        resource::create::<R>,
    )
}

/// What a confirmation names before a Jumpoint is deleted (JPT-32), and who grants access to it (JPT-26).
async fn dependents(
    known: Known,
    PathId(jumpoint): PathId<JumpointId>,
) -> Result<Answer<Value>, JsonError> {
    let world = known.world();
    if !world.has_jumpoint(jumpoint) {
        return Err(Problem::not_found(Jumpoint::TITLE).into());
    }
    let policies: Vec<Value> = world
        .policies_about(Of::Jumpoint(jumpoint))
        .filter(|(_, row)| *row != Row::Removal)
        .filter_map(|(id, _)| {
            let policy = world.group_policies.get(&id)?;
            Some(json!({"id": id, "name": policy.name}))
        })
        .collect();
    let body = json!({
        "jump_items": world.items_through(jumpoint).count(),
        "users": world.jumpoint_users(jumpoint).count(),
        "group_policies": policies,
    });
    Ok(Answer::known(&known.0, body))
}
