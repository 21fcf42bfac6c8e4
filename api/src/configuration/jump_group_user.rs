//! `jump-group/{id}/user`: the direct members of a Jump Group with their role and Jump Policy (GRP-06, GRP-07).
//!
//! Only explicit grants are listed. `null` in a body means the default: the user's Default slot, and "Set on Jump Items". Answers
//! leave it out, since the published types have no null for it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::Response;
use domain::Command;
use domain::access::jump_group::{self, JumpGroup, Membership, MembershipChange};
use domain::ids::{JumpGroupId, JumpItemRoleId, JumpPolicyId, UserId};
use domain::record::{self, Field, Kind, Object, Purpose, Reading, Record, Reference};

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
    let members = [
        ("user_id", Some(user.0)),
        (
            "jump_item_role_id",
            membership.jump_item_role_id.map(|role| role.0),
        ),
        (
            "jump_policy_id",
            membership.jump_policy_id.map(|policy| policy.0),
        ),
    ];
    members
        .into_iter()
        .filter_map(|(name, id)| Some((name.to_owned(), id?.into())))
        .collect()
}

/// What a membership belongs to.
fn owner(group: JumpGroupId) -> Option<(&'static str, u32)> {
    Some(("jump_group_id", group.0))
}

/// The same for a membership, whose entity tag is that of what reading it answers.
fn of_membership(change: Change, group: JumpGroupId, user: UserId) -> Change {
    change.of_target(move |world| Some(view(user, world.membership(group, user)?)))
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
    Ok(Answer::known(&known.0, view(user, membership)).tagged())
}

async fn create(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    PathId(group): PathId<JumpGroupId>,
    parts: Parts,
    change: Change,
) -> Result<Answer<Object>, JsonError> {
    let body = read_fields(
        FIELDS,
        owner(group),
        &change.body,
        Reading::plain(Purpose::Create),
        &known,
    )?;
    let user: UserId = id_in(&body, "user_id")?;
    let MembershipChange {
        jump_item_role_id,
        jump_policy_id,
    } = read(&body);
    let membership = Membership {
        jump_item_role_id: jump_item_role_id.flatten(),
        jump_policy_id: jump_policy_id.flatten(),
    };
    let command = Command::JumpGroup(jump_group::Command::AddMember(group, user, membership));
    let done = site.execute(&caller, &change, command, None).await?;
    let location = format!(
        "{}{BASE}/jump-group/{group}/user/{user}",
        base_url(&parts, &site)
    );
    Ok(Answer::created(&done, location, view(user, &membership)).tagged())
}

async fn change(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    PathIds(group, user): PathIds<JumpGroupId, UserId>,
    change: Change,
) -> Result<Answer<Object>, JsonError> {
    let current = view(
        user,
        known
            .world()
            .membership(group, user)
            .ok_or_else(not_a_member)?,
    );
    let reading = Reading::plain(Purpose::Change).over(&current);
    let body = read_fields(FIELDS, owner(group), &change.body, reading, &known)?;
    let change = of_membership(change, group, user);
    let command = jump_group::Command::ChangeMember(group, user, read(&body));
    let done = site
        .execute(&caller, &change, Command::JumpGroup(command), None)
        .await?;
    let published = site.engine.published();
    let membership = published.world.membership(group, user);
    let shown = view(user, membership.ok_or_else(not_a_member)?);
    Ok(Answer::done(&done, shown).tagged())
}

async fn delete(
    State(site): State<Arc<Site>>,
    caller: Caller,
    PathIds(group, user): PathIds<JumpGroupId, UserId>,
    change: Change,
) -> Result<Answer<()>, JsonError> {
    let change = of_membership(change, group, user);
    let command = Command::JumpGroup(jump_group::Command::RemoveMember(group, user));
    let done = site.execute(&caller, &change, command, None).await?;
    Ok(Answer::nothing(&done))
}

/// What a body changes. A member that repeats what there is was left out of it.
fn read(body: &Object) -> MembershipChange {
    let given = |name: &str| body.contains_key(name).then(|| number(body, name));
    MembershipChange {
        jump_item_role_id: given("jump_item_role_id").map(|id| id.map(JumpItemRoleId)),
        jump_policy_id: given("jump_policy_id").map(|id| id.map(JumpPolicyId)),
    }
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
