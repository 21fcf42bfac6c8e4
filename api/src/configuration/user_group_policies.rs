//! `user/{id}/group-policies` and `user/{id}/group-policy-changes`: the policies of one user, in one call; and
//! `user/provision`, which has nothing left to do.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::Response;
use domain::access::group_policy;
use domain::ids::{GroupPolicyId, UserId};
use domain::record::{Object, Record};
use domain::site::user::User;
use domain::{Command, FieldErrors, World};
use serde_json::{Value, json};

use super::BASE;
use super::listing::{Listing, strictly_unknown};
use super::resource::{ACCESS, PathId};
use crate::answer::Answer;
use crate::caller::{Caller, Known};
use crate::change::Change;
use crate::error::{JsonError, Problem};
use crate::route::{About, Gives, Routes};
use crate::site::Site;

/// The schema of one policy of a user: its id and name.
pub const SCHEMA: &str = "UserGroupPolicy";
/// The schema of a change.
pub const CHANGES_SCHEMA: &str = "UserGroupPolicyChanges";
/// The schema of what is provisioned.
pub const PROVISION_SCHEMA: &str = "UserProvision";

pub(crate) fn routes(site: &Arc<Site>) -> Routes {
    Routes::new(site)
        .route(
            Method::GET,
            &format!("{BASE}/user/{{id}}/group-policies"),
            ACCESS,
            About::new("Lists the group policies of a user, from the top of the list.")
                .gives(Gives::Page(SCHEMA)),
            list,
        )
        .route(
            Method::PATCH,
            &format!("{BASE}/user/{{id}}/group-policy-changes"),
            ACCESS,
            About::new("Adds a user to group policies and removes them from others.")
                .takes(CHANGES_SCHEMA)
                .gives(Gives::List(SCHEMA)),
            change,
        )
        .route(
            Method::POST,
            &format!("{BASE}/user/provision"),
            ACCESS,
            About::new("Makes group policies take effect for users. They have already (GPOL-09).")
                .takes(PROVISION_SCHEMA),
            provision,
        )
}

fn views(world: &World, user: UserId) -> Vec<Object> {
    let policies = world.policies_of_user(user).iter();
    policies
        .filter_map(|id| {
            let name = &world.group_policies.get(id)?.name;
            match json!({"id": id, "name": name}) {
                Value::Object(object) => Some(object),
                _ => None,
            }
        })
        .collect()
}

async fn list(
    State(site): State<Arc<Site>>,
    known: Known,
    PathId(user): PathId<UserId>,
    parts: Parts,
) -> Result<Response, JsonError> {
    let listing = Listing::read(&parts, &[], &site, &known)?;
    if !known.world().users.contains(&user) {
        return Err(Problem::not_found(User::TITLE).into());
    }
    let rows = views(known.world(), user);
    Ok(listing.answer(&known, rows.into_iter(), |row| row))
}

async fn change(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    PathId(user): PathId<UserId>,
    change: Change,
) -> Result<Answer<Vec<Object>>, JsonError> {
    let [added, removed] = read_ids(&change.body, ["added", "removed"], &known)?;
    let command = group_policy::Command::ChangePoliciesOf {
        user,
        added: added.into_iter().map(GroupPolicyId).collect(),
        removed: removed.into_iter().map(GroupPolicyId).collect(),
    };
    let done = site
        .execute(&caller, &change, Command::GroupPolicy(command), None)
        .await?;
    Ok(Answer::done(
        &done,
        views(&site.engine.published().world, user),
    ))
}

async fn provision(known: Known, change: Change) -> Result<axum::http::StatusCode, JsonError> {
    let [users] = read_ids(&change.body, ["user_ids"], &known)?;
    if users
        .iter()
        .any(|user| !known.world().users.contains(&UserId(*user)))
    {
        let errors = FieldErrors::one("user_ids", "The selected user_ids is invalid.");
        return Err(Problem::invalid(errors).into());
    }
    Ok(axum::http::StatusCode::NO_CONTENT)
}

/// Reads lists of ids, each empty where it is not given; an id that stands twice counts once (config-api.md 7.2).
fn read_ids<const N: usize>(
    body: &Object,
    names: [&'static str; N],
    known: &Known,
) -> Result<[BTreeSet<u32>; N], JsonError> {
    let mut errors = FieldErrors::default();
    for name in body.keys().filter(|name| !names.contains(&name.as_str())) {
        errors.push(name.clone(), format!("The {name} field is not known."));
    }
    if !errors.0.is_empty() && known.world().settings.strict_compatibility {
        return Err(strictly_unknown(errors).into());
    }
    let lists = names.map(|name| match ids_in(body.get(name)) {
        Some(ids) => ids,
        None => {
            errors.push(name, format!("The {name} field must be an array of ids."));
            BTreeSet::new()
        }
    });
    Ok(errors.into_result(lists)?)
}

fn ids_in(list: Option<&Value>) -> Option<BTreeSet<u32>> {
    let Some(list) = list else {
        return Some(BTreeSet::new());
    };
    let id = |value: &Value| {
        let id = u32::try_from(value.as_u64()?).ok()?;
        (1..=i32::MAX.cast_unsigned()).contains(&id).then_some(id)
    };
    list.as_array()?.iter().map(id).collect()
}
