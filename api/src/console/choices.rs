//! What ordinary users choose from, bounded by what each may do: groups and personal lists (GRP-18), policies (ROLE-23, ROLE-24), people to
//! invite (SESS-34); and what happened in a session, for whom "View Reports" reaches it (ROLE-26). A list tells of nothing that the
//! caller may not do something with; where that is nothing, it is empty.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::Response;
use domain::access::permission;
use domain::access::role::JumpItemPermission;
use domain::ids::{JumpGroupRef, Lsid, UserId};
use domain::record::Object;
use domain::session::access_session;
use domain::{Refusal, World};
use projections::{Detail, Entity, SessionQuery};
use serde_json::{Value, json};

use crate::access::Access;
use crate::caller::{Caller, Known};
use crate::configuration::listing::Listing;
use crate::console::BASE;
use crate::console::failed_start::FailedStart;
use crate::console::items::{group, permissions, user_of};
use crate::console::named::Named;
use crate::console::sessions::{object, session_of};
use crate::error::JsonError;
use crate::reporting::{fresh_index, no_report};
use crate::route::{About, Gives, Routes};
use crate::site::Site;

/// What is told of a start that failed, in the words of reports of what comes after it (REP-45).
const START_FAILED: &str = "Session Start Failed";

pub(super) fn routes(site: &Arc<Site>) -> Routes {
    let get = |path: &str| format!("{BASE}/{path}");
    Routes::new(site)
        .route(
            Method::GET,
            &get("groups"),
            Access::User,
            About::new("The Jump Groups and personal lists in sight, with what the caller may do in each")
                .gives(Gives::Page("GroupInSight")),
            groups,
        )
        .route(
            Method::GET,
            &get("choices/jump-policies"),
            Access::User,
            About::new("The Jump Policies that the caller may set on items; none without such a right in any group")
                .gives(Gives::Page("PolicyChoice")),
            jump_policies,
        )
        .route(
            Method::GET,
            &get("choices/session-policies"),
            Access::User,
            About::new("The session policies that the caller may set on items; none without such a right in any group")
                .gives(Gives::Page("PolicyChoice")),
            session_policies,
        )
        .route(
            Method::GET,
            &get("sessions/{lsid}/invitable-users"),
            Access::User,
            About::new("The users that the session's owner may invite; none for other members")
                .gives(Gives::Page("UserChoice")),
            invitable_users,
        )
        .route(
            Method::GET,
            &get("sessions/{lsid}/report-events"),
            Access::User,
            About::new("What happened in a session, for whose role in its group has \"View Reports\"")
                .gives(Gives::Page("SessionReportEvent")),
            report_events,
        )
}

async fn groups(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    parts: Parts,
) -> Result<Response, JsonError> {
    let (user, world) = (user_of(&caller)?, known.world());
    let listing = Listing::read(&parts, &[], &site, &known)?;
    let groups = permission::visible_groups(world, user).into_iter();
    Ok(listing.answer(&known, groups, |of| {
        let mut shown = group(of, &world.group_name(of));
        if let Some(access) = permission::access_to_group(world, user, of) {
            let mut may = permissions(access.role);
            may["start"] = json!(access.role.perm_start);
            may["create_and_deploy"] = json!(access.role.perm_add);
            shown["role"] = json!({"id": access.role_id, "name": access.role.name});
            shown["may"] = may;
            shown["jump_policy_id"] = json!(access.jump_policy_id);
        }
        object(shown)
    }))
}

/// Whether the caller may set what one of these permissions lets set, in any group.
fn may_somewhere(world: &World, user: UserId, needed: JumpItemPermission) -> bool {
    permission::visible_groups(world, user)
        .into_iter()
        .filter_map(|group| permission::access_to_group(world, user, group))
        .any(|access| {
            access.role.allows(needed) || access.role.allows(JumpItemPermission::CreateAndDeploy)
        })
}

/// A policy of either kind, as one is chosen.
fn policy_choice(id: u32, display_name: &str, code_name: &str, description: &str) -> Object {
    object(json!({
        "id": id,
        "display_name": display_name,
        "code_name": code_name,
        "description": description,
    }))
}

async fn jump_policies(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    parts: Parts,
) -> Result<Response, JsonError> {
    let (user, world) = (user_of(&caller)?, known.world());
    let listing = Listing::read(&parts, &[], &site, &known)?;
    let may = may_somewhere(world, user, JumpItemPermission::EditJumpPolicy);
    let policies = world.jump_policies.iter().filter(|_| may);
    Ok(listing.answer(&known, policies, |(id, policy)| {
        policy_choice(
            id.0,
            &policy.display_name,
            &policy.code_name,
            &policy.description,
        )
    }))
}

async fn session_policies(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    parts: Parts,
) -> Result<Response, JsonError> {
    let (user, world) = (user_of(&caller)?, known.world());
    let listing = Listing::read(&parts, &[], &site, &known)?;
    let may = may_somewhere(world, user, JumpItemPermission::EditSessionPolicy);
    let policies = world.session_policies.iter().filter(|_| may);
    Ok(listing.answer(&known, policies, |(id, policy)| {
        policy_choice(
            id.0,
            &policy.display_name,
            &policy.code_name,
            &policy.description,
        )
    }))
}

async fn invitable_users(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    Named(lsid): Named<Lsid>,
    parts: Parts,
) -> Result<Response, JsonError> {
    let (user, world) = (user_of(&caller)?, known.world());
    session_of(world, user, lsid).ok_or(Refusal::SessionNotActive)?;
    let listing = Listing::read(&parts, &[], &site, &known)?;
    // Each user is asked for by the permission function.
    let users = world.users.len();
    let answer = site
        .scans
        .run(users, move || invitable(&listing, &known, user, lsid));
    Ok(answer.await?)
}

fn invitable(listing: &Listing, known: &Known, user: UserId, lsid: Lsid) -> Response {
    let world = known.world();
    let session = session_of(world, user, lsid).filter(|session| session.owner == user);
    let users = world.users.iter().filter(|(other, _)| {
        session.is_some_and(|session| access_session::may_be_invited(world, session, **other))
    });
    listing.answer(known, users, |(id, user)| {
        object(json!({"id": id, "name": user.public_display_name}))
    })
}

async fn report_events(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    Named(lsid): Named<Lsid>,
    parts: Parts,
) -> Result<Response, JsonError> {
    let (user, world) = (user_of(&caller)?, known.world());
    let listing = Listing::read(&parts, &[], &site, &known)?;
    let reaches = |group: JumpGroupRef| {
        world.is_administrator(user)
            || permission::access_to_group(world, user, group)
                .is_some_and(|access| access.role.allows(JumpItemPermission::ViewReports))
    };
    let index = fresh_index(&site, &known).await?;
    let found = index.sessions(&SessionQuery::Lsids(vec![lsid])).await;
    let found = found.map_err(|error| no_report(&error))?;
    let events: Vec<Object> = match found.into_iter().next() {
        Some(session) if reaches(session.group) => session.details.iter().map(shown).collect(),
        Some(_) => return Err(Refusal::SessionNotActive.into()),
        // One that never came up is in no report; why, its own stream says.
        None => match FailedStart::find(&site.engine, lsid).await? {
            Some(failed) => match failed.group(&site.engine).await? {
                Some(group) if reaches(group) => vec![start_failed(&failed)],
                _ => return Err(Refusal::SessionNotActive.into()),
            },
            None => return Err(Refusal::SessionNotActive.into()),
        },
    };
    Ok(listing.answer(&known, events.into_iter(), |event| event))
}

fn shown(detail: &Detail) -> Object {
    let entity = |entity: &Entity| {
        json!({
            "type": entity.kind.word(),
            "gsnumber": entity.gsnumber,
            "name": entity.name,
        })
    };
    let data: Object = detail
        .data
        .iter()
        .map(|(name, value)| (name.clone().into_owned(), Value::from(value.as_str())))
        .collect();
    object(json!({
        "at": detail.at.to_rfc3339(),
        "event_type": detail.event_type,
        "performed_by": entity(&detail.performed_by),
        "destination": detail.destination.as_ref().map(entity),
        "body": detail.body,
        "data": data,
    }))
}

fn start_failed(failed: &FailedStart) -> Object {
    object(json!({
        "at": failed.at().to_rfc3339(),
        "event_type": START_FAILED,
        "performed_by": {"type": "system", "gsnumber": 0, "name": "System"},
        "destination": null,
        "body": failed.problem().message,
        "data": {},
    }))
}
