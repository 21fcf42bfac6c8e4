//! The tables of the administrators' pages: Jump Groups (GRP-03, GRP-30), who is in one and why (GRP-05, GRP-10, GRP-11), and
//! Jump Item Roles (ROLE-27).

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::Response;
use domain::World;
use domain::access::jump_group::JumpGroup;
use domain::access::members::{self, GrantedBy, MemberRow};
use domain::ids::{JumpGroupId, JumpGroupRef};
use domain::record::{Field, Kind, Object, Record};
use projections::ConsoleView;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::caller::Known;
use crate::configuration::listing::Listing;
use crate::configuration::resource::PathId;
use crate::console::BASE;
use crate::console::administration::ACCESS;
use crate::error::{JsonError, Problem};
use crate::route::{About, Gives, Routes};
use crate::site::Site;

/// The box above the table of groups.
const SEARCH: &Field = &Field::new(
    "search",
    Kind::Text { min: 0, max: 255 },
    "Keeps groups whose name or comments contain it.",
);
/// The box above the table of members.
const USER: &Field = &Field::new(
    "user",
    Kind::Text { min: 0, max: 255 },
    "Keeps users whose name contains it.",
);
/// What a membership without a policy shows.
const SET_ON_JUMP_ITEMS: &str = "Set on Jump Items";

pub(super) fn routes(site: &Arc<Site>) -> Routes {
    let groups = format!("{BASE}/jump-groups");
    Routes::new(site)
        .route(
            Method::GET,
            &groups,
            ACCESS,
            About::new("The table of Jump Groups, page by page")
                .gives(Gives::Page("JumpGroupRow"))
                .filters(vec![SEARCH]),
            list_groups,
        )
        .route(
            Method::GET,
            &format!("{groups}/{{id}}/members"),
            ACCESS,
            About::new("Who reaches a Jump Group by which role, and whence, page by page")
                .gives(Gives::Page("JumpGroupMember"))
                .filters(vec![USER]),
            list_members,
        )
        .route(
            Method::GET,
            &format!("{groups}/{{id}}/group-policies"),
            ACCESS,
            About::new("The group policies that put users into a Jump Group")
                .gives(Gives::List("UserGroupPolicy")),
            list_policies,
        )
        .route(
            Method::GET,
            &format!("{BASE}/jump-item-roles/table"),
            ACCESS,
            About::new("The table of Jump Item Roles").gives(Gives::List("JumpItemRoleRow")),
            list_roles,
        )
}

fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}

async fn list_groups(
    State(site): State<Arc<Site>>,
    known: Known,
    parts: Parts,
) -> Result<Response, JsonError> {
    let listing = Listing::read(&parts, &[SEARCH], &site, &known)?;
    let view = &site.engine.views().console;
    let matching = known
        .world()
        .jump_groups
        .iter()
        .filter(|(_, group)| listing.filters.iter().all(|(_, term)| group.contains(term)));
    Ok(listing.answer(&known, matching, |(id, group)| group_row(view, *id, group)))
}

fn group_row(view: &ConsoleView, id: JumpGroupId, group: &JumpGroup) -> Object {
    let items = view.counts(JumpGroupRef::Shared(id)).items;
    object(json!({
        "id": id,
        "name": group.name,
        "code_name": group.code_name,
        "comments": group.comments,
        // A group of its own has a number; the names of these groups come with them.
        "ecm_group": group.ecm_group_id.map_or_else(|| "Default".to_owned(), |id| id.to_string()),
        "items": match items {
            1 => "1 Item".to_owned(),
            items => format!("{items} Items"),
        },
    }))
}

async fn list_members(
    State(site): State<Arc<Site>>,
    known: Known,
    PathId(group): PathId<JumpGroupId>,
    parts: Parts,
) -> Result<Response, JsonError> {
    let listing = Listing::read(&parts, &[USER], &site, &known)?;
    let world = known.world();
    group_there(world, group)?;
    let matching = members::rows(world, group).into_iter().filter(|row| {
        listing
            .filters
            .iter()
            .all(|(_, term)| members::matches(world, row.user, term))
    });
    Ok(listing.answer(&known, matching, |row| member_row(world, &row)))
}

fn member_row(world: &World, row: &MemberRow) -> Object {
    let policy = row
        .policy
        .and_then(|policy| world.jump_policies.get(&policy))
        .map_or(SET_ON_JUMP_ITEMS, |policy| policy.display_name.as_str());
    let granted_by = match row.granted_by {
        GrantedBy::JumpGroup => "Jump Group",
        GrantedBy::GroupPolicy(policy) => world
            .group_policies
            .get(&policy)
            .map(|policy| policy.name.as_str())
            .unwrap_or_default(),
        GrantedBy::UserPermissions => "User Permissions",
    };
    object(json!({
        "user_id": row.user,
        "user": members::title(world, row.user),
        "jump_item_role": row.role,
        "jump_item_role_id": row.role_id,
        "is_default_role": row.by_default,
        "jump_policy": policy,
        "jump_policy_id": row.policy,
        "granted_by": granted_by,
        "editable": row.editable,
    }))
}

async fn list_policies(
    known: Known,
    PathId(group): PathId<JumpGroupId>,
) -> Result<Answer<Vec<Value>>, JsonError> {
    let world = known.world();
    group_there(world, group)?;
    let policies = members::policies(world, group)
        .into_iter()
        .filter_map(|id| Some(json!({"id": id, "name": world.group_policies.get(&id)?.name})))
        .collect();
    Ok(Answer::known(&known.0, policies))
}

async fn list_roles(known: Known) -> Result<Answer<Vec<Value>>, JsonError> {
    let yes_no = |is_so: bool| if is_so { "Yes" } else { "No" };
    let rows = known
        .world()
        .jump_item_roles
        .iter()
        .map(|(id, role)| {
            json!({
                "id": id,
                "name": role.name,
                "jump": yes_no(role.perm_start),
                "create_deploy": yes_no(role.perm_add),
                "remove": yes_no(role.perm_remove),
                "move_copy": yes_no(role.perm_assign_jump_group),
                "edit": role.edit_in_a_word(),
                "view_reports": yes_no(role.perm_view_jump_item_report),
            })
        })
        .collect();
    Ok(Answer::known(&known.0, rows))
}

fn group_there(world: &World, group: JumpGroupId) -> Result<(), Problem> {
    if world.jump_groups.contains(&group) {
        Ok(())
    } else {
        Err(Problem::not_found(JumpGroup::TITLE))
    }
}
