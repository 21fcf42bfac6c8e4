//! What administrators set that the published Configuration API can only read, in its form: Jump Item Roles, schedules of
//! Jump Policies, permissions of users, settings of the site.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use domain::access::role::JumpItemRole;
use domain::ids::{JumpPolicyId, UserId};
use domain::policy::jump_policy::{self, JumpPolicy};
use domain::policy::schedule::Schedule;
use domain::record::{self, Object, Record, Write};
use domain::site::settings::{SETTINGS, SiteSettings};
use domain::site::user::{self, User};
use domain::{Command, World};
use serde_json::Value;

use crate::access::Access;
use crate::answer::Answer;
use crate::caller::{Caller, Known};
use crate::change::Change;
use crate::configuration::jump_policy::schedule_of;
use crate::configuration::resource::{self, PathId, Resource, filters};
use crate::console::BASE;
use crate::error::{JsonError, Problem};
use crate::route::{About, Gives, Routes};
use crate::site::Site;

/// Who may use every route of this file.
pub(super) const ACCESS: Access = Access::Administrator;

pub(super) fn routes(site: &Arc<Site>) -> Routes {
    let roles = format!("{BASE}/jump-item-roles");
    let routes = records::<JumpItemRole>(site, &roles).route(
        Method::POST,
        &roles,
        ACCESS,
        About::new("Creates one")
            .takes(JumpItemRole::SCHEMA)
            .gives(Gives::Created(JumpItemRole::SCHEMA)),
        resource::create::<JumpItemRole>,
    );
    let schedule = format!("{BASE}/jump-policies/{{id}}/schedule");
    let permissions = format!("{BASE}/users/{{id}}/permissions");
    let settings = format!("{BASE}/site/settings");
    routes
        .route(
            Method::GET,
            &schedule,
            ACCESS,
            About::new("The schedule of a Jump Policy").gives(Gives::One("ScheduleWithOverride")),
            get_schedule,
        )
        .route(
            Method::PUT,
            &schedule,
            ACCESS,
            About::new("Sets the whole schedule of a Jump Policy")
                .takes("ScheduleWithOverride")
                .gives(Gives::One("ScheduleWithOverride")),
            put_schedule,
        )
        .route(
            Method::GET,
            &permissions,
            ACCESS,
            About::new("A user's own permissions").gives(Gives::One("UserPermissions")),
            get_permissions,
        )
        .route(
            Method::PATCH,
            &permissions,
            ACCESS,
            About::new("Changes a user's own permissions")
                .takes("UserPermissions")
                .gives(Gives::One("UserPermissions")),
            change_permissions,
        )
        .route(
            Method::GET,
            &settings,
            ACCESS,
            About::new("The settings of the site").gives(Gives::One("SiteSettings")),
            get_settings,
        )
        .route(
            Method::PATCH,
            &settings,
            ACCESS,
            About::new("Changes settings of the site")
                .takes("SiteSettings")
                .gives(Gives::One("SiteSettings")),
            change_settings,
        )
}

/// List, get, change and delete of a record, with the handlers of the Configuration API.
pub(super) fn records<R: Resource>(site: &Arc<Site>, path: &str) -> Routes {
    let one = format!("{path}/{{id}}");
    Routes::new(site)
        .route(
            Method::GET,
            path,
            ACCESS,
            About::new("Lists, page by page")
                .gives(Gives::Page(R::SCHEMA))
                .filters(filters::<R>()),
            resource::list::<R>,
        )
        .route(
            Method::GET,
            &one,
            ACCESS,
            About::new("Reads one").gives(Gives::One(R::SCHEMA)),
            resource::get::<R>,
        )
        .route(
            Method::PATCH,
            &one,
            ACCESS,
            About::new("Changes the members given")
                .takes(R::SCHEMA)
                .gives(Gives::One(R::SCHEMA)),
            resource::change::<R>,
        )
        .route(
            Method::DELETE,
            &one,
            ACCESS,
            About::new("Deletes one"),
            resource::delete::<R>,
        )
}

async fn get_schedule(
    known: Known,
    PathId(policy): PathId<JumpPolicyId>,
) -> Result<Answer<Value>, JsonError> {
    let schedule = shown_schedule(known.world(), policy)?;
    Ok(Answer::known(&known.0, schedule).tagged())
}

async fn put_schedule(
    State(site): State<Arc<Site>>,
    caller: Caller,
    PathId(policy): PathId<JumpPolicyId>,
    change: Change,
) -> Result<Answer<Value>, JsonError> {
    let schedule = Schedule::from_body(&change.body)?;
    let change = change.of_target(move |world| shown_schedule(world, policy).ok());
    let command = Command::JumpPolicy(jump_policy::Command::SetSchedule(policy, schedule));
    let done = site.execute(&caller, &change, command, None).await?;
    let body = shown_schedule(&site.engine.published().world, policy)?;
    Ok(Answer::done(&done, body).tagged())
}

fn shown_schedule(world: &World, policy: JumpPolicyId) -> Result<Value, Problem> {
    if !world.jump_policies.contains(&policy) {
        return Err(Problem::not_found(JumpPolicy::TITLE));
    }
    let schedule = schedule_of(world, policy);
    let mut shown = schedule.to_body();
    // The published schema has no member for it.
    shown.insert(
        "override_allowed".to_owned(),
        schedule.override_allowed.into(),
    );
    Ok(Value::Object(shown))
}

async fn get_permissions(
    known: Known,
    PathId(user): PathId<UserId>,
) -> Result<Answer<Object>, JsonError> {
    let permissions = permissions_of(known.world(), user)?;
    Ok(Answer::known(&known.0, permissions).tagged())
}

async fn change_permissions(
    State(site): State<Arc<Site>>,
    caller: Caller,
    PathId(user): PathId<UserId>,
    change: Change,
) -> Result<Answer<Object>, JsonError> {
    let body = only_permissions(&change.body)?;
    let change = change.of_target(move |world| permissions_of(world, user).ok());
    let command = Command::User(user::Command::Record(record::Command::ChangePermissions(
        user, body,
    )));
    let done = site.execute(&caller, &change, command, None).await?;
    let permissions = permissions_of(&site.engine.published().world, user)?;
    Ok(Answer::done(&done, permissions).tagged())
}

/// A body may carry the id it came with; what is no permission is not known here.
fn only_permissions(body: &Object) -> Result<Object, Problem> {
    let mut errors = domain::FieldErrors::default();
    for name in body.keys().filter(|name| *name != "id") {
        let is_permission = User::FIELDS
            .iter()
            .any(|field| field.name == *name && field.write == Write::Permissions);
        if !is_permission {
            errors.push(name.clone(), format!("The {name} field is not known."));
        }
    }
    if errors.0.is_empty() {
        Ok(body.clone())
    } else {
        Err(Problem::invalid(errors))
    }
}

fn permissions_of(world: &World, id: UserId) -> Result<Object, Problem> {
    let user = world
        .users
        .get(&id)
        .ok_or_else(|| Problem::not_found(User::TITLE))?;
    let mut shown = record::render(id, user);
    shown.retain(|name, _| {
        name == "id"
            || User::FIELDS
                .iter()
                .any(|field| field.name == *name && field.write == Write::Permissions)
    });
    Ok(shown)
}

async fn get_settings(known: Known) -> Result<Answer<Object>, JsonError> {
    let settings = settings_of(known.world())?;
    Ok(Answer::known(&known.0, settings).tagged())
}

async fn change_settings(
    State(site): State<Arc<Site>>,
    caller: Caller,
    change: Change,
) -> Result<Answer<Object>, JsonError> {
    let change = change.of_target(|world| settings_of(world).ok());
    let command = Command::SiteSettings(record::Command::Change(SETTINGS, change.body.clone()));
    let done = site.execute(&caller, &change, command, None).await?;
    let settings = settings_of(&site.engine.published().world)?;
    Ok(Answer::done(&done, settings).tagged())
}

/// There is one record, so its id says nothing and is left out.
fn settings_of(world: &World) -> Result<Object, Problem> {
    let settings = SiteSettings::find(world, SETTINGS)
        .ok_or_else(|| Problem::not_found(SiteSettings::TITLE))?;
    let mut shown = record::render(SETTINGS, settings);
    shown.remove("id");
    Ok(shown)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_permissions_are_written_as_permissions() {
        let body = |value: Value| value.as_object().cloned().expect("an object");
        assert!(only_permissions(&body(json!({"id": 1, "perm_admin": true}))).is_ok());
        for name in ["username", "password", "enabled", "nonsense"] {
            let refused = only_permissions(&body(json!({name: 1}))).expect_err("refused");
            assert_eq!(refused.errors.0[0].0, name);
        }
    }
}
