//! `group-policy`: settings for many users at once (GPOL-22), with copy and provision.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use axum::http::request::Parts;
use domain::access::group_policy::{self, GroupPolicy};
use domain::ids::GroupPolicyId;
use domain::record::{self, Field, Kind, Object, Purpose, Reading};
use domain::{Command, Event, World};

use super::resource::{self, ACCESS, PathId, Resource, location, made_by, path_of, read_fields};
use crate::answer::Answer;
use crate::caller::{Caller, Known};
use crate::change::Change;
use crate::error::JsonError;
use crate::route::{About, Gives, Routes};
use crate::site::Site;

impl Resource for GroupPolicy {
    const PATH: &'static str = "group-policy";
    const SCHEMA: &'static str = "GroupPolicy";

    fn rows(world: &World) -> impl Iterator<Item = (GroupPolicyId, &Self)> {
        world
            .group_policies
            .iter()
            .map(|(id, policy)| (*id, policy))
    }

    fn command(command: record::Command<Self>) -> Command {
        Command::GroupPolicy(group_policy::Command::Record(command))
    }

    fn made(event: &Event) -> Option<(GroupPolicyId, &Self)> {
        match event {
            Event::GroupPolicy(id, group_policy::Event::Record(record::Event::Created(policy))) => {
                Some((*id, policy))
            }
            _ => None,
        }
    }
}

/// The schema of the body of a copy.
pub const COPY_SCHEMA: &str = "GroupPolicyCopy";

/// What a copy takes.
pub const COPY_FIELDS: &[Field] = &[Field::new(
    "name",
    Kind::Name { min: 1, max: 255 },
    "What the copy is called.",
)
.required()];

pub(crate) fn routes(site: &Arc<Site>) -> Routes {
    let routes = resource::read_routes::<GroupPolicy>(site);
    let routes = resource::create_route::<GroupPolicy>(routes);
    let routes = resource::change_route::<GroupPolicy>(routes);
    let path = path_of::<GroupPolicy>();
    resource::delete_route::<GroupPolicy>(routes)
        .route(
            Method::POST,
            &format!("{path}/{{id}}/copy"),
            ACCESS,
            About::new("Makes a policy with another name, the same settings and memberships, and no members.")
                .takes(COPY_SCHEMA)
                .gives(Gives::Created(GroupPolicy::SCHEMA)),
            copy,
        )
        .route(
            Method::POST,
            &format!("{path}/{{id}}/provision"),
            ACCESS,
            About::new("Makes a policy take effect for its members. It has already (GPOL-09)."),
            provision,
        )
}

async fn copy(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    PathId(policy): PathId<GroupPolicyId>,
    parts: Parts,
    change: Change,
) -> Result<Answer<Object>, JsonError> {
    let body = read_fields(
        COPY_FIELDS,
        Some(("group_policy_id", policy.0)),
        &change.body,
        Reading::plain(Purpose::Create),
        &known,
    )?;
    let name = body
        .get("name")
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default();
    let command = group_policy::Command::Copy(policy, name.to_owned());
    let done = site
        .execute(&caller, &change, Command::GroupPolicy(command), None)
        .await?;
    let (id, policy) = made_by::<GroupPolicy>(&done)?;
    let shown = policy.show(&site, &site.engine.published().world, id);
    Ok(Answer::created(
        &done,
        location::<GroupPolicy>(&parts, &site, id),
        shown,
    ))
}

async fn provision(
    State(site): State<Arc<Site>>,
    caller: Caller,
    PathId(policy): PathId<GroupPolicyId>,
    change: Change,
) -> Result<Answer<()>, JsonError> {
    let command = Command::GroupPolicy(group_policy::Command::Provision(policy));
    let done = site.execute(&caller, &change, command, None).await?;
    Ok(Answer::nothing(&done))
}
