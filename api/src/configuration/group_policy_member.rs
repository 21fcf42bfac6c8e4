//! `group-policy/{id}/member`: the members of a group policy, which are users of the site itself in this version.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::Response;
use domain::access::group_policy::{self, GroupPolicy};
use domain::ids::{GroupPolicyId, GroupPolicyMemberId, UserId};
use domain::record::{Field, Kind, Object, Purpose, Reading, Record, Reference};
use domain::{Command, FieldErrors};
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
pub const SCHEMA: &str = "GroupPolicyMember";

/// The site itself, the only place users come from in this version.
const LOCAL: u32 = 1;

/// A line per member.
pub const FIELDS: &[Field] = &[
    Field::new(
        "security_provider_id",
        Kind::Id,
        "Where the user comes from; 1 is the site itself, and there is no other.",
    ),
    Field::new(
        "distinguished_name",
        Kind::Text { min: 1, max: 1_024 },
        "For members of a directory, which this version does not know.",
    )
    .nullable(),
    Field::new(
        "group_name",
        Kind::Text { min: 1, max: 64 },
        "For groups of a directory, which this version does not know.",
    )
    .nullable(),
    Field::new("user_id", Kind::Id, "The user.")
        .required()
        .names(Reference::User),
];

pub(crate) fn routes(site: &Arc<Site>) -> Routes {
    let all = format!("{BASE}/group-policy/{{id}}/member");
    let one = format!("{all}/{{member_id}}");
    Routes::new(site)
        .route(
            Method::GET,
            &all,
            ACCESS,
            About::new("Lists the members of a policy, page by page.").gives(Gives::Page(SCHEMA)),
            list,
        )
        .route(
            Method::POST,
            &all,
            ACCESS,
            About::new("Makes a user a member of a policy.")
                .takes(SCHEMA)
                .gives(Gives::Created(SCHEMA)),
            create,
        )
        .route(
            Method::GET,
            &one,
            ACCESS,
            About::new("Reads a membership of a policy.").gives(Gives::One(SCHEMA)),
            get,
        )
        .route(
            Method::DELETE,
            &one,
            ACCESS,
            About::new("Ends a membership of a policy."),
            delete,
        )
}

/// Without the members of directories' names: the published types have no null for them.
fn view(id: GroupPolicyMemberId, user: UserId) -> Object {
    let value = json!({
        "id": id,
        "security_provider_id": LOCAL,
        "user_id": user,
    });
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}

async fn list(
    State(site): State<Arc<Site>>,
    known: Known,
    PathId(policy): PathId<GroupPolicyId>,
    parts: Parts,
) -> Result<Response, JsonError> {
    let listing = Listing::read(&parts, &[], &site, &known)?;
    if !known.world().group_policies.contains(&policy) {
        return Err(Problem::not_found(GroupPolicy::TITLE).into());
    }
    let members = known.world().members_of_policy(policy);
    Ok(listing.answer(&known, members, |(user, id)| view(id, user)))
}

async fn get(
    known: Known,
    PathIds(policy, wanted): PathIds<GroupPolicyId, GroupPolicyMemberId>,
) -> Result<Answer<Object>, JsonError> {
    let (user, id) = known
        .world()
        .members_of_policy(policy)
        .find(|(_, id)| *id == wanted)
        .ok_or_else(|| Problem::not_found("Group Policy member"))?;
    Ok(Answer::known(&known.0, view(id, user)).tagged())
}

async fn create(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    PathId(policy): PathId<GroupPolicyId>,
    parts: Parts,
    change: Change,
) -> Result<Answer<Object>, JsonError> {
    let body = read_fields(
        FIELDS,
        Some(("group_policy_id", policy.0)),
        &change.body,
        Reading::plain(Purpose::Create),
        &known,
    )?;
    only_local(&body)?;
    let user: UserId = id_in(&body, "user_id")?;
    let command = Command::GroupPolicy(group_policy::Command::AddMember(policy, user));
    let done = site.execute(&caller, &change, command, None).await?;
    // Whoever is a member already is answered with the membership there is.
    let id = site
        .engine
        .published()
        .world
        .policy_member(policy, user)
        .ok_or_else(|| Problem::not_found("Group Policy member"))?;
    let location = format!(
        "{}{BASE}/group-policy/{policy}/member/{id}",
        base_url(&parts, &site)
    );
    Ok(Answer::created(&done, location, view(id, user)).tagged())
}

async fn delete(
    State(site): State<Arc<Site>>,
    caller: Caller,
    PathIds(policy, member): PathIds<GroupPolicyId, GroupPolicyMemberId>,
    change: Change,
) -> Result<Answer<()>, JsonError> {
    let change = change.of_target(move |world| {
        let mut members = world.members_of_policy(policy);
        let (user, id) = members.find(|(_, id)| *id == member)?;
        Some(view(id, user))
    });
    let command = group_policy::Command::RemoveMember(policy, member);
    let done = site
        .execute(&caller, &change, Command::GroupPolicy(command), None)
        .await?;
    Ok(Answer::nothing(&done))
}

/// Members of directories have names that nothing here could look up.
fn only_local(body: &Object) -> Result<(), JsonError> {
    let mut errors = FieldErrors::default();
    if number(body, "security_provider_id").is_some_and(|provider| provider != LOCAL) {
        errors.push(
            "security_provider_id",
            "The selected security_provider_id is invalid.",
        );
    }
    for name in ["distinguished_name", "group_name"] {
        if body.get(name).is_some_and(|value| !value.is_null()) {
            errors.push(
                name,
                format!("The {name} field is not for users of the site itself."),
            );
        }
    }
    Ok(errors.into_result(())?)
}
