//! Jumping to an item, and the sessions that come of it (SESS-09, SESS-17 to SESS-24).

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::header::{LOCATION, USER_AGENT};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::ids::{JumpItemRef, Lsid, UserId};
use domain::record::Object;
use domain::session::access_session::{self, AccessSession};
use domain::{Command, Event, FieldErrors, Refusal, World};
use engine::{CommittedStream, Done, Engine, StreamBroken};
use eventstore::{Direction, Selection};
use projections::Recorded;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use crate::access::Access;
use crate::answer::Answer;
use crate::caller::{Caller, Known};
use crate::change::Change;
use crate::configuration::listing::{Listing, base_url};
use crate::console::BASE;
use crate::console::items::{group, item_named, user_of};
use crate::error::{JsonError, Problem};
use crate::route::{About, Gives, Routes};
use crate::site::Site;

/// Longest name of the user's program that is kept, in characters.
const USER_SYSTEM_MAX: usize = 255;
/// What stands for a value that is not known.
const UNKNOWN: &str = "Unknown";

pub(super) fn routes(site: &Arc<Site>) -> Routes {
    let path = format!("{BASE}/sessions");
    let one = format!("{path}/{{lsid}}");
    Routes::new(site)
        .route(
            Method::POST,
            &path,
            Access::User,
            About::new("Jump to an item: start an access session")
                .takes("SessionStart")
                .gives(Gives::Created("Session")),
            start,
        )
        .route(
            Method::GET,
            &path,
            Access::User,
            About::new("The caller's sessions; all of them for administrators")
                .gives(Gives::Page("Session")),
            list,
        )
        .route(
            Method::GET,
            &one,
            Access::User,
            About::new("One session").gives(Gives::One("Session")),
            get,
        )
        .route(
            Method::POST,
            &format!("{one}/end"),
            Access::User,
            About::new("End a session").gives(Gives::One("SessionEnd")),
            end,
        )
}

async fn start(
    State(site): State<Arc<Site>>,
    caller: Caller,
    parts: Parts,
    change: Change,
) -> Result<Response, JsonError> {
    let user = user_of(&caller)?;
    let item = asked_item(&change.body)?;
    // From before the command on, so that nothing the endpoint does is missed.
    let mut committed = site.engine.committed();
    let command = access_session::Command::Start(access_session::Start::new(
        user,
        item,
        caller.peer.address_text(),
        user_system(&parts.headers),
    ));
    let answer_by = Instant::now() + site.limits.start_answered_within;
    let done = site
        .execute(&caller, &change, Command::AccessSession(command), None)
        .await?;
    let lsid = started_by(&done)?;
    let (status, body) = match settle(&site.engine, &mut committed, lsid, answer_by).await? {
        Settled::Active(session) => (StatusCode::CREATED, shown(&site, lsid, &session)),
        Settled::Starting(session) => (StatusCode::ACCEPTED, shown(&site, lsid, &session)),
        Settled::Ended => (StatusCode::CREATED, ended(lsid)),
        Settled::Failed(problem) => return Err(problem.into()),
    };
    let mut response = Answer::known(&site.engine.published(), body).into_response();
    *response.status_mut() = status;
    let location = format!("{}{BASE}/sessions/{lsid}", base_url(&parts, &site));
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// The one member of the body.
fn asked_item(body: &Object) -> Result<JumpItemRef, Refusal> {
    let mut errors = FieldErrors::default();
    for name in body.keys().filter(|name| *name != "item") {
        errors.push(
            name.chars().take(64).collect::<String>(),
            "This field is not known.",
        );
    }
    let item = match body.get("item") {
        None => Err("The item field is required."),
        Some(Value::String(text)) => item_named(text)
            .ok_or("The item field must have the form <type>-<id>, such as jump_client-5."),
        Some(_) => Err("The item field must be a string."),
    };
    match item {
        Ok(item) => errors.into_result(item),
        Err(message) => {
            errors.push("item", message);
            Err(Refusal::Invalid(errors))
        }
    }
}

/// What the user's program says of itself (REP-40).
fn user_system(headers: &HeaderMap) -> String {
    let text: String = headers
        .get(USER_AGENT)
        .map(|value| String::from_utf8_lossy(value.as_bytes()))
        .unwrap_or_default()
        .chars()
        .filter(|character| !character.is_control())
        .take(USER_SYSTEM_MAX)
        .collect();
    if text.is_empty() {
        UNKNOWN.to_owned()
    } else {
        text
    }
}

fn started_by(done: &Done) -> Result<Lsid, Problem> {
    done.events
        .iter()
        .find_map(|event| match event {
            Event::AccessSession(lsid, access_session::Event::Started(_)) => Some(*lsid),
            _ => None,
        })
        .ok_or_else(Problem::internal)
}

/// What became of a start.
enum Settled {
    /// The endpoint has brought it up.
    Active(AccessSession),
    /// The endpoint is still at it.
    Starting(AccessSession),
    /// It came up and is over already: only a start that was repeated sees this.
    Ended,
    /// It never came up.
    Failed(Problem),
}

/// Waits until the session is up or over, at most until `answer_by`.
async fn settle(
    engine: &Engine,
    committed: &mut CommittedStream,
    lsid: Lsid,
    answer_by: Instant,
) -> Result<Settled, Problem> {
    loop {
        let published = engine.published();
        match published.world.sessions.get(&lsid) {
            None => return how_it_ended(engine, lsid).await,
            Some(session) if session.established => return Ok(Settled::Active(session.clone())),
            Some(session) if Instant::now() >= answer_by => {
                return Ok(Settled::Starting(session.clone()));
            }
            Some(_) => {}
        }
        // Whatever is committed next may be about it; the world is asked again then, and for what was missed as well.
        match timeout_at(answer_by, committed.next()).await {
            Ok(Ok(_) | Err(StreamBroken::Lagged { .. })) | Err(_) => {}
            Ok(Err(StreamBroken::Closed)) => {
                return Err(Problem::unavailable(
                    "The server is shutting down. Please try again later.",
                    Duration::from_secs(5),
                ));
            }
        }
    }
}

/// A session that has left the world: its stream says how.
async fn how_it_ended(engine: &Engine, lsid: Lsid) -> Result<Settled, Problem> {
    let stream = Selection::Stream(format!("access_session-{lsid}"));
    let stored = engine
        .store()
        .read(&stream, u64::MAX, Direction::Backward, 1)
        .await?;
    let last = stored
        .first()
        .map(Recorded::from_stored)
        .transpose()
        .map_err(|error| {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the end of a session can't be read"
            );
            Problem::internal()
        })?;
    Ok(match last {
        Some(Recorded {
            id,
            event: Event::AccessSession(_, access_session::Event::Failed(failed)),
            ..
        }) => Settled::Failed(Problem {
            event: Some(id),
            ..failed.failure.refusal().into()
        }),
        _ => Settled::Ended,
    })
}

async fn list(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    parts: Parts,
) -> Result<Response, JsonError> {
    let user = user_of(&caller)?;
    let world = known.world();
    let listing = Listing::read(&parts, &[], &site, &known)?;
    let everything = world.is_administrator(user);
    let sessions = world
        .sessions
        .iter()
        .filter(|(_, session)| everything || session.owner == user);
    Ok(listing.answer(&known, sessions, |(lsid, session)| {
        object(shown_in(world, *lsid, session))
    }))
}

async fn get(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    Path(lsid): Path<String>,
) -> Result<Answer<Value>, JsonError> {
    let user = user_of(&caller)?;
    let lsid = lsid.parse().map_err(|_| Refusal::SessionNotActive)?;
    let session = session_of(known.world(), user, lsid).ok_or(Refusal::SessionNotActive)?;
    Ok(Answer::known(&known.0, shown(&site, lsid, session)))
}

/// The session, if the user may know of it.
fn session_of(world: &World, user: UserId, lsid: Lsid) -> Option<&AccessSession> {
    world
        .sessions
        .get(&lsid)
        .filter(|session| session.owner == user || world.is_administrator(user))
}

async fn end(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Path(lsid): Path<String>,
    change: Change,
) -> Result<Answer<Value>, JsonError> {
    let lsid: Lsid = lsid.parse().map_err(|_| Refusal::SessionNotActive)?;
    let command = Command::AccessSession(access_session::Command::End { lsid });
    let done = site
        .execute(&caller, &change, command, None)
        .await
        .map_err(hide_what_is_not_theirs)?;
    Ok(Answer::done(&done, ended(lsid)))
}

/// Whoever may not know of a session is told the same as of one that does not exist; the log has the truth (threat G).
fn hide_what_is_not_theirs(error: JsonError) -> JsonError {
    if error.0.code != Refusal::NotYourSession.code() {
        return error;
    }
    Problem {
        event: error.0.event,
        ..Refusal::SessionNotActive.into()
    }
    .into()
}

fn shown(site: &Site, lsid: Lsid, session: &AccessSession) -> Value {
    shown_in(&site.engine.published().world, lsid, session)
}

fn shown_in(world: &World, lsid: Lsid, session: &AccessSession) -> Value {
    let name = world.item_name(session.item).unwrap_or_default();
    json!({
        "lsid": lsid,
        "state": if session.established { "active" } else { "starting" },
        "item": {"id": session.item.to_string(), "name": name},
        "group": group(session.group, &world.group_name(session.group)),
        "owner": {"id": session.owner, "name": session.owner_name},
        "jump_policy_id": session.jump_policy_id,
        "started_at": session.started_at.to_rfc3339(),
    })
}

fn ended(lsid: Lsid) -> Value {
    json!({"lsid": lsid, "state": "ended"})
}

fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}
