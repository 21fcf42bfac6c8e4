//! `jump-group/{id}/user`: the direct members of a Jump Group with their role and Jump Policy (GRP-06, GRP-07).
//!
//! Only explicit grants are listed. `null`, not 0, means the default: the user's Default slot, and "Set on Jump Items".

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::Response;
use domain::Command;
use domain::access::jump_group::{self, JumpGroup, Membership};
use domain::ids::{JumpGroupId, JumpItemRoleId, JumpPolicyId, UserId};
use domain::record::{self, Field, Kind, Object, Purpose, Record, Reference};
use serde_json::{Value, json};

use super::BASE;
use super::listing::{Listing, base_url};
use super::resource::{ACCESS, PathId, PathIds, id_in, number, read_fields};
use crate::answer::Answer;
use crate::caller::{Caller, Known};
use crate::change::Change;
use crate::error::{JsonError, Problem};
use crate::route::{About, Gives, Routes};
use crate::site::Site;

/// Its schema in the OpenAPI document.
pub const SCHEMA: &str = "JumpGroupUser";

/// A line per member.
pub const FIELDS: &[Field] = &[
    Field::new("user_id", Kind::Id, "The member.")
        .required()
        .write(record::Write::OnCreate)
        .names(Reference::User),
    Field::new(
        "jump_item_role_id",
        Kind::Id,
        "The role in this group; null is the user's default.",
    )
    .nullable()
    .names(Reference::JumpItemRole),
    Field::new(
        "jump_policy_id",
        Kind::Id,
        "The Jump Policy in this group; null is the one set on each item.",
    )
    .nullable()
    .names(Reference::JumpPolicy),
];

pub(crate) fn routes(site: &Arc<Site>) -> Routes {
    let all = format!("{BASE}/jump-group/{{id}}/user");
    let one = format!("{all}/{{user_id}}");
    let row = |method, path: &str, about| (method, path.to_owned(), about);
    let (list_at, create_at) = (
        row(
            Method::GET,
            &all,
            About::new("Lists direct members, page by page.").gives(Gives::Page(SCHEMA)),
        ),
        row(
            Method::POST,
            &all,
            About::new("Adds a direct member.")
                .takes(SCHEMA)
                .gives(Gives::Created(SCHEMA)),
        ),
    );
    Routes::new(site)
        .route(list_at.0, &list_at.1, ACCESS, list_at.2, list)
        .route(create_at.0, &create_at.1, ACCESS, create_at.2, create)
        .route(
            Method::GET,
            &one,
            ACCESS,
            About::new("Reads a direct membership.").gives(Gives::One(SCHEMA)),
            get,
        )
        .route(
            Method::PATCH,
            &one,
            ACCESS,
            About::new("Changes a direct membership.")
                .takes(SCHEMA)
                .gives(Gives::One(SCHEMA)),
            change,
        )
        .route(
            Method::DELETE,
            &one,
            ACCESS,
            About::new("Ends a direct membership."),
            delete,
        )
}

fn view(user: UserId, membership: &Membership) -> Object {
    let value = json!({
        "user_id": user,
        "jump_item_role_id": membership.jump_item_role_id,
        "jump_policy_id": membership.jump_policy_id,
    });
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}

async fn list(
    State(site): State<Arc<Site>>,
    known: Known,
    PathId(group): PathId<JumpGroupId>,
    parts: Parts,
) -> Result<Response, JsonError> {
    let listing = Listing::read(&parts, &[], &site, &known)?;
    group_there(&known, group)?;
    let members = known.world().members_of(group);
    Ok(listing.answer(&known, members, |(user, membership)| view(user, membership)))
}

async fn get(
    known: Known,
    PathIds(group, user): PathIds<JumpGroupId, UserId>,
) -> Result<Answer<Object>, JsonError> {
    let membership = known
        .world()
        .membership(group, user)
        .ok_or_else(not_a_member)?;
    Ok(Answer::known(&known.0, view(user, membership)))
}

async fn create(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    PathId(group): PathId<JumpGroupId>,
    parts: Parts,
    change: Change,
) -> Result<Answer<Object>, JsonError> {
    let body = read_fields(FIELDS, &change.body, Purpose::Create, &known)?;
    let user: UserId = id_in(&body, "user_id")?;
    let membership = merged(Membership::default(), &body);
    let command = Command::JumpGroup(jump_group::Command::AddMember(group, user, membership));
    let done = site.execute(&caller, &change, command, None).await?;
    let location = format!(
        "{}{BASE}/jump-group/{group}/user/{user}",
        base_url(&parts, &site)
    );
    Ok(Answer::created(&done, location, view(user, &membership)))
}

async fn change(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    PathIds(group, user): PathIds<JumpGroupId, UserId>,
    change: Change,
) -> Result<Answer<Object>, JsonError> {
    let current = known
        .world()
        .membership(group, user)
        .ok_or_else(not_a_member)?;
    let body = read_fields(FIELDS, &change.body, Purpose::Change, &known)?;
    let membership = merged(*current, &body);
    let command = Command::JumpGroup(jump_group::Command::ChangeMember(group, user, membership));
    let done = site.execute(&caller, &change, command, None).await?;
    Ok(Answer::done(&done, view(user, &membership)))
}

async fn delete(
    State(site): State<Arc<Site>>,
    caller: Caller,
    PathIds(group, user): PathIds<JumpGroupId, UserId>,
    change: Change,
) -> Result<Answer<()>, JsonError> {
    let command = Command::JumpGroup(jump_group::Command::RemoveMember(group, user));
    let done = site.execute(&caller, &change, command, None).await?;
    Ok(Answer::nothing(&done))
}

fn merged(mut membership: Membership, body: &Object) -> Membership {
    if body.contains_key("jump_item_role_id") {
        membership.jump_item_role_id = number(body, "jump_item_role_id").map(JumpItemRoleId);
    }
    if body.contains_key("jump_policy_id") {
        membership.jump_policy_id = number(body, "jump_policy_id").map(JumpPolicyId);
    }
    membership
}

fn group_there(known: &Known, group: JumpGroupId) -> Result<(), Problem> {
    if known.world().jump_groups.contains(&group) {
        Ok(())
    } else {
        Err(Problem::not_found(JumpGroup::TITLE))
    }
}

fn not_a_member() -> Problem {
    Problem::not_found("Jump Group user")
}
