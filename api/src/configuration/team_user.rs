//! `team/{id}/user`: who is what in a team (ROLE-12).
//!
//! Listed are all who are in it; only direct memberships can be changed and ended, not those that a group policy gives. A
//! change may move a user to another team (config-api.md 7.2).

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::Response;
use domain::Command;
use domain::access::permission::{members_of_team, role_in_team};
use domain::ids::{TeamId, UserId};
use domain::record::{Field, Kind, Object, Purpose, Reading, Record, Write};
use domain::site::team::{self, Team, TeamRole};
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
pub const SCHEMA: &str = "TeamUser";

/// A line per member.
pub const FIELDS: &[Field] = &[
    Field::new(
        "team_id",
        Kind::Id,
        "The team; another one in a change moves the user there.",
    ),
    Field::new("user_id", Kind::Id, "The user.")
        .required()
        .write(Write::OnCreate),
    Field::new(
        "role",
        Kind::Word(TeamRole::WORDS),
        "What the user is there.",
    ),
];

pub(crate) fn routes(site: &Arc<Site>) -> Routes {
    let all = format!("{BASE}/team/{{id}}/user");
    let one = format!("{all}/{{user_id}}");
    Routes::new(site)
        .route(
            Method::GET,
            &all,
            ACCESS,
            About::new("Lists who is in a team, page by page.").gives(Gives::Page(SCHEMA)),
            list,
        )
        .route(
            Method::POST,
            &all,
            ACCESS,
            About::new("Puts a user into a team.")
                .takes(SCHEMA)
                .gives(Gives::Created(SCHEMA)),
            create,
        )
        .route(
            Method::GET,
            &one,
            ACCESS,
            About::new("Reads what a user is in a team.").gives(Gives::One(SCHEMA)),
            get,
        )
        .route(
            Method::PATCH,
            &one,
            ACCESS,
            About::new("Gives a user another role, or moves them to another team.")
                .takes(SCHEMA)
                .gives(Gives::One(SCHEMA)),
            change,
        )
        .route(
            Method::DELETE,
            &one,
            ACCESS,
            About::new("Takes a user out of a team."),
            delete,
        )
}

fn view(team: TeamId, user: UserId, role: TeamRole) -> Object {
    match json!({"team_id": team, "user_id": user, "role": role}) {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}

/// The same for a membership, whose entity tag is that of what reading it answers.
fn of_membership(change: Change, team: TeamId, user: UserId) -> Change {
    change.of_target(move |world| Some(view(team, user, role_in_team(world, user, team)?)))
}

fn role(body: &Object) -> Option<TeamRole> {
    TeamRole::from_word(body.get("role")?.as_str()?)
}

async fn list(
    State(site): State<Arc<Site>>,
    known: Known,
    PathId(team): PathId<TeamId>,
    parts: Parts,
) -> Result<Response, JsonError> {
    let listing = Listing::read(&parts, &[], &site, &known)?;
    if !known.world().teams.contains(&team) {
        return Err(Problem::not_found(Team::TITLE).into());
    }
    let members = members_of_team(known.world(), team);
    Ok(listing.answer(&known, members.into_iter(), |(user, role)| {
        view(team, user, role)
    }))
}

async fn get(
    known: Known,
    PathIds(team, user): PathIds<TeamId, UserId>,
) -> Result<Answer<Object>, JsonError> {
    let role = role_in_team(known.world(), user, team).ok_or_else(not_a_member)?;
    Ok(Answer::known(&known.0, view(team, user, role)).tagged())
}

async fn create(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    PathId(team): PathId<TeamId>,
    parts: Parts,
    change: Change,
) -> Result<Answer<Object>, JsonError> {
    let body = read_fields(
        FIELDS,
        Some(("team_id", team.0)),
        &change.body,
        Reading::plain(Purpose::Create),
        &known,
    )?;
    let user: UserId = id_in(&body, "user_id")?;
    let role = role(&body).unwrap_or_default();
    let command = Command::Team(team::Command::AddMember(team, user, role));
    let done = site.execute(&caller, &change, command, None).await?;
    let location = format!("{}{BASE}/team/{team}/user/{user}", base_url(&parts, &site));
    Ok(Answer::created(&done, location, view(team, user, role)).tagged())
}

async fn change(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    PathIds(team, user): PathIds<TeamId, UserId>,
    change: Change,
) -> Result<Answer<Object>, JsonError> {
    // A team in the body is where the user goes.
    let current = Object::from_iter([("user_id".to_owned(), user.0.into())]);
    let reading = Reading::plain(Purpose::Change).over(&current);
    let body = read_fields(FIELDS, None, &change.body, reading, &known)?;
    let to = number(&body, "team_id").map_or(team, TeamId);
    let role = role(&body);
    let change = of_membership(change, team, user);
    let command = Command::Team(team::Command::ChangeMember {
        team,
        user,
        to,
        role,
    });
    let done = site.execute(&caller, &change, command, None).await?;
    let role = role_in_team(&site.engine.published().world, user, to).ok_or_else(not_a_member)?;
    Ok(Answer::done(&done, view(to, user, role)).tagged())
}

async fn delete(
    State(site): State<Arc<Site>>,
    caller: Caller,
    PathIds(team, user): PathIds<TeamId, UserId>,
    change: Change,
) -> Result<Answer<()>, JsonError> {
    let change = of_membership(change, team, user);
    let command = Command::Team(team::Command::RemoveMember(team, user));
    let done = site.execute(&caller, &change, command, None).await?;
    Ok(Answer::nothing(&done))
}

fn not_a_member() -> Problem {
    Problem::not_found("Team user")
}
