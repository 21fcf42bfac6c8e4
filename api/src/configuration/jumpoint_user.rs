//! `jumpoint/{id}/user`: who may go through a Jumpoint by being named on it (GPOL-12). They carry no role (JPT-28).

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::Response;
use domain::Command;
use domain::ids::{JumpointId, UserId};
use domain::items::jumpoint::{self, Jumpoint};
use domain::record::{Field, Kind, Object, Purpose, Reading, Record, Reference};
use serde_json::json;

use super::BASE;
use super::listing::{Listing, base_url};
use super::resource::{ACCESS, PathId, PathIds, id_in, read_fields};
use crate::answer::Answer;
use crate::caller::{Caller, Known};
use crate::change::Change;
use crate::error::{JsonError, Problem};
use crate::route::{About, Gives, Routes};
use crate::site::Site;

/// Its schema in the OpenAPI document.
pub const SCHEMA: &str = "JumpointUser";

/// Its one line.
pub const FIELDS: &[Field] = &[Field::new("user_id", Kind::Id, "The user.")
    .required()
    .names(Reference::User)];

pub(crate) fn routes(site: &Arc<Site>) -> Routes {
    let all = format!("{BASE}/jumpoint/{{id}}/user");
    let one = format!("{all}/{{user_id}}");
    Routes::new(site)
        .route(
            Method::GET,
            &all,
            ACCESS,
            About::new("Lists the users named on it, page by page.").gives(Gives::Page(SCHEMA)),
            list,
        )
        .route(
            Method::POST,
            &all,
            ACCESS,
            About::new("Lets a user go through it.")
                .takes(SCHEMA)
                .gives(Gives::Created(SCHEMA)),
            create,
        )
        .route(
            Method::GET,
            &one,
            ACCESS,
            About::new("Reads one.").gives(Gives::One(SCHEMA)),
            get,
        )
        .route(
            Method::DELETE,
            &one,
            ACCESS,
            About::new("No longer lets a user go through it."),
            delete,
        )
}

fn view(user: UserId) -> Object {
    Object::from_iter([("user_id".to_owned(), json!(user))])
}

async fn list(
    State(site): State<Arc<Site>>,
    known: Known,
    PathId(jumpoint): PathId<JumpointId>,
    parts: Parts,
) -> Result<Response, JsonError> {
    let listing = Listing::read(&parts, &[], &site, &known)?;
    if !known.world().has_jumpoint(jumpoint) {
        return Err(Problem::not_found(Jumpoint::TITLE).into());
    }
    let users = known.world().jumpoint_users(jumpoint);
    Ok(listing.answer(&known, users, view))
}

async fn get(
    known: Known,
    PathIds(jumpoint, user): PathIds<JumpointId, UserId>,
) -> Result<Answer<Object>, JsonError> {
    if known.world().is_jumpoint_user(jumpoint, user) {
        Ok(Answer::known(&known.0, view(user)))
    } else {
        Err(Problem::not_found("Jumpoint user").into())
    }
}

async fn create(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    PathId(jumpoint): PathId<JumpointId>,
    parts: Parts,
    change: Change,
) -> Result<Answer<Object>, JsonError> {
    let body = read_fields(
        FIELDS,
        Some(("jumpoint_id", jumpoint.0)),
        &change.body,
        Reading::plain(Purpose::Create),
        &known,
    )?;
    let user: UserId = id_in(&body, "user_id")?;
    let command = Command::Jumpoint(jumpoint::Command::AddUser(jumpoint, user));
    let done = site.execute(&caller, &change, command, None).await?;
    let location = format!(
        "{}{BASE}/jumpoint/{jumpoint}/user/{user}",
        base_url(&parts, &site)
    );
    Ok(Answer::created(&done, location, view(user)))
}

async fn delete(
    State(site): State<Arc<Site>>,
    caller: Caller,
    PathIds(jumpoint, user): PathIds<JumpointId, UserId>,
    change: Change,
) -> Result<Answer<()>, JsonError> {
    let command = Command::Jumpoint(jumpoint::Command::RemoveUser(jumpoint, user));
    let done = site.execute(&caller, &change, command, None).await?;
    Ok(Answer::nothing(&done))
}
