//! Jumping to items: one, up to ten at once, or all of a small group; and what a Jump would need (SESS-09, SESS-12, SESS-13,
//! SESS-16, SESS-17).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::access::permission;
use domain::ids::{JumpGroupId, JumpGroupRef, JumpItemRef, Lsid, TicketRequestId, UserId};
use domain::policy::gates::Supplied;
use domain::policy::ticket::TicketId;
use domain::session::access_session::{self, AccessSession, ITEMS_PER_START_MAX};
use domain::{Command, Event, Refusal, World};
use engine::{CommittedStream, Done, Engine, StreamBroken};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use crate::access::Access;
use crate::answer::Answer;
use crate::caller::{Caller, Known};
use crate::change::Change;
use crate::configuration::listing::base_url;
use crate::console::BASE;
use crate::console::failed_start::FailedStart;
use crate::console::fields::Fields;
use crate::console::items::{item_named, user_of};
use crate::console::named::Named;
use crate::console::sessions::{ended, shown};
use crate::console::ticket_requests::{self, Begun};
use crate::error::{JsonError, Problem};
use crate::route::{About, Gives, Routes};
use crate::site::Site;

/// Longest name of the user's program that is kept, in characters.
const USER_SYSTEM_MAX: usize = 255;
/// What stands for a value that is not known.
const UNKNOWN: &str = "Unknown";
/// Said of a list that is empty or too long (SESS-12, SESS-13).
const ONE_TO_TEN: &str = "One to ten Jump Items may be started at once.";

pub(super) fn routes(site: &Arc<Site>) -> Routes {
    Routes::new(site)
        .route(
            Method::POST,
            &format!("{BASE}/sessions"),
            Access::User,
            About::new("Jump to an item, to several, or to those of a group: start access sessions, or join those that run")
                .takes("SessionStart")
                .gives(Gives::Created("Session"))
                .also(StatusCode::OK, "SessionStarts")
                .also(StatusCode::ACCEPTED, "Session")
                .also(StatusCode::ACCEPTED, "TicketRequestMade"),
            start,
        )
        .route(
            Method::GET,
            &format!("{BASE}/items/{{item}}/start"),
            Access::User,
            About::new("What a Jump to the item would need").gives(Gives::One("StartNeeds")),
            needs,
        )
}

/// What a start is asked with, beside the items.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Asked {
    notification_consent: bool,
    schedule_override: bool,
    attributes: BTreeMap<String, String>,
    external_key: String,
    ticket_id: Option<TicketId>,
}

/// Which items a start is asked for.
#[derive(Clone, Debug, PartialEq)]
enum Items {
    /// One; its answer is the whole answer.
    One(JumpItemRef),
    /// Up to ten; each has an answer of its own (SESS-12, SESS-16).
    Several(Vec<JumpItemRef>),
    /// All of a group (SESS-13).
    Group(JumpGroupRef),
}

async fn start(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    parts: Parts,
    change: Change,
) -> Result<Response, JsonError> {
    let user = user_of(&caller)?;
    let mut fields = Fields::of(&change.body);
    let items = asked_items(&mut fields);
    let asked = Asked::read(&mut fields);
    let items = match fields.finish(items)? {
        Items::One(item) => {
            let started = start_one(&site, &caller, &change, &parts.headers, item, asked).await?;
            return Ok(started.answer(&site, &parts).into_response());
        }
        Items::Several(items) => items,
        Items::Group(group) => items_in_sight(known.world(), user, group)?,
    };
    let headers = &parts.headers;
    Ok(
        start_several(&site, &caller, &change, headers, items, asked)
            .await
            .into_response(),
    )
}

/// What a start that was not refused led to.
enum Outcome {
    /// A session: 201 when it is up, or was; 202 while the endpoint is still bringing it up.
    Session(StatusCode, Lsid, Value),
    /// The ticket system is asked first.
    TicketRequest {
        request: TicketRequestId,
        shown: Value,
        done: Done,
    },
}

impl Outcome {
    /// The answer to a request for this start alone.
    fn answer(self, site: &Site, parts: &Parts) -> Answer<Value> {
        match self {
            Self::Session(status, lsid, shown) => {
                let location = format!("{}{BASE}/sessions/{lsid}", base_url(parts, site));
                // Newer than the command: what the endpoint did since is shown as well.
                Answer::known(&site.engine.published(), shown).at(status, location)
            }
            Self::TicketRequest {
                request,
                shown,
                done,
            } => {
                let location = ticket_requests::location(site, parts, request);
                Answer::accepted(&done, location, json!({"ticket_request": shown}))
            }
        }
    }

    /// The same as one of several: its status, and what is told under which name.
    fn told(self) -> (StatusCode, &'static str, Value) {
        match self {
            Self::Session(status, _, shown) => (status, "session", shown),
            Self::TicketRequest { shown, .. } => (StatusCode::ACCEPTED, "ticket_request", shown),
        }
    }
}

/// Starts one session, or joins the one that runs there; settled when it is up, or the wait is over.
async fn start_one(
    site: &Site,
    caller: &Caller,
    change: &Change,
    headers: &HeaderMap,
    item: JumpItemRef,
    asked: Asked,
) -> Result<Outcome, JsonError> {
    let user = user_of(caller)?;
    // From before the command on, so that nothing the endpoint does is missed.
    let mut committed = site.engine.committed();
    let start = access_session::Start {
        notification_consent: asked.notification_consent,
        schedule_override: asked.schedule_override,
        attributes: asked.attributes,
        external_key: asked.external_key,
        ..access_session::Start::new(user, item, caller.peer.address_text(), user_system(headers))
    };
    let answer_by = Instant::now() + site.limits.start_answered_within;
    let done = match asked.ticket_id {
        Some(ticket_id) => {
            match ticket_requests::ask(site, caller, change, start, ticket_id).await? {
                Begun::Waiting {
                    request,
                    shown,
                    done,
                } => {
                    return Ok(Outcome::TicketRequest {
                        request,
                        shown,
                        done,
                    });
                }
                Begun::Started(done) => done,
            }
        }
        None => {
            let command = Command::AccessSession(access_session::Command::Start(start));
            site.execute(caller, change, command, None).await?
        }
    };
    let lsid = started_by(&done)
        .or_else(|| access_session::would_join(&site.engine.published().world, user, item))
        .ok_or_else(Problem::internal)?;
    let (status, shown) = match settle(&site.engine, &mut committed, lsid, answer_by).await? {
        Settled::Active(session) => (StatusCode::CREATED, shown(site, user, lsid, &session)),
        Settled::Starting(session) => (StatusCode::ACCEPTED, shown(site, user, lsid, &session)),
        Settled::Ended => (StatusCode::CREATED, ended(lsid)),
        Settled::Failed(problem) => return Err(problem.into()),
    };
    Ok(Outcome::Session(status, lsid, shown))
}

/// Starts each item by itself: one's refusal does not stop the others (SESS-16).
pub(super) async fn start_several(
    site: &Site,
    caller: &Caller,
    change: &Change,
    headers: &HeaderMap,
    items: Vec<JumpItemRef>,
    asked: Asked,
) -> Answer<Value> {
    let starts = items.into_iter().map(|item| {
        let asked = asked.clone();
        async move {
            let name = item.to_string();
            let change = change.part(&name);
            let (status, told, body) =
                match start_one(site, caller, &change, headers, item, asked).await {
                    Ok(outcome) => outcome.told(),
                    Err(JsonError(problem)) => (problem.status, "error", problem.body()),
                };
            json!({"item": name, "status": status.as_u16(), told: body})
        }
    });
    let results = join_all(starts).await;
    Answer::known(&site.engine.published(), json!({"results": results}))
}

/// SESS-13: the group's items that the caller sees, ten at most.
fn items_in_sight(
    world: &World,
    user: UserId,
    group: JumpGroupRef,
) -> Result<Vec<JumpItemRef>, Refusal> {
    if permission::access_to_group(world, user, group).is_none() {
        return Err(Refusal::NoSuchJumpGroup { group });
    }
    let items: Vec<JumpItemRef> = world
        .items_of(group)
        .take(ITEMS_PER_START_MAX + 1)
        .collect();
    if items.is_empty() || items.len() > ITEMS_PER_START_MAX {
        return Err(Refusal::field("group", ONE_TO_TEN));
    }
    Ok(items)
}

fn asked_items(fields: &mut Fields<'_>) -> Option<Items> {
    let named = |fields: &mut Fields<'_>, name: &str, value: &Value| {
        let item = value.as_str().and_then(item_named);
        if item.is_none() {
            fields.wrong(
                name,
                format!("The {name} field must have the form jump_client-<id> or shell_jump-<id>."),
            );
        }
        item
    };
    match (
        fields.take("item"),
        fields.take("items"),
        fields.take("group"),
    ) {
        (Some(item), None, None) => named(fields, "item", item).map(Items::One),
        (None, Some(Value::Array(items)), None) => {
            let mut found: Vec<JumpItemRef> = Vec::new();
            for item in items {
                let item = named(fields, "items", item)?;
                if !found.contains(&item) {
                    found.push(item);
                }
            }
            if found.is_empty() || found.len() > ITEMS_PER_START_MAX {
                fields.wrong("items", ONE_TO_TEN);
            }
            Some(Items::Several(found))
        }
        (None, Some(_), None) => {
            fields.wrong("items", "The items field must be a list.");
            None
        }
        (None, None, Some(group)) => {
            let number = group["id"].as_u64().and_then(|id| u32::try_from(id).ok());
            match (group["type"].as_str(), number) {
                (Some("shared"), Some(id)) => {
                    Some(Items::Group(JumpGroupRef::Shared(JumpGroupId(id))))
                }
                (Some("personal"), Some(id)) => {
                    Some(Items::Group(JumpGroupRef::Personal(UserId(id))))
                }
                _ => {
                    fields.wrong("group", "The group field must have a type and an id.");
                    None
                }
            }
        }
        (None, None, None) => {
            fields.wrong("item", "The item field is required.");
            None
        }
        _ => {
            fields.wrong("item", "Only one of item, items and group may be given.");
            None
        }
    }
}

impl Asked {
    pub(super) fn read(fields: &mut Fields<'_>) -> Self {
        let mut asked = Self {
            notification_consent: fields.flag("notification_consent"),
            schedule_override: fields.flag("schedule_override"),
            external_key: fields.text("external_key").unwrap_or_default(),
            ticket_id: fields.text("ticket_id").map(TicketId),
            ..Self::default()
        };
        match fields.take("attributes") {
            None => {}
            Some(Value::Object(attributes)) => {
                for (name, value) in attributes {
                    match value.as_str() {
                        Some(value) => {
                            asked.attributes.insert(name.clone(), value.to_owned());
                        }
                        None => fields.wrong("attributes", "An attribute must be a string."),
                    }
                }
            }
            Some(_) => fields.wrong("attributes", "The attributes field must be an object."),
        }
        asked
    }
}

/// What a start would need, without starting anything (SESS-17).
async fn needs(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    Named(item): Named<JumpItemRef>,
) -> Result<Answer<Value>, JsonError> {
    let user = user_of(&caller)?;
    let now = site.engine.clock().now();
    let supplied = Supplied::default();
    let opening = access_session::readiness(known.world(), user, item, &supplied, now)?;
    let world = known.world();
    Ok(Answer::known(
        &known.0,
        json!({
            "item": item.to_string(),
            "jump_policy_id": opening.policy,
            "needs": opening.needs,
            "approver_comments": opening.approver_comments,
            "recordings_disabled": opening.recordings_disabled,
            "closes_at": opening.closes_at.map(|at| at.to_rfc3339()),
            "ends_when_closed": opening.force_end,
            "joins": access_session::would_join(world, user, item).is_some(),
        }),
    ))
}

/// What the user's program says of itself (REP-40).
pub(super) fn user_system(headers: &HeaderMap) -> String {
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

/// The session that a command began or joined; none where the user is in it already.
fn started_by(done: &Done) -> Option<Lsid> {
    done.events.iter().find_map(|event| match event {
        Event::AccessSession(
            lsid,
            access_session::Event::Started(_) | access_session::Event::Joined(_),
        ) => Some(*lsid),
        _ => None,
    })
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
    let failed = FailedStart::find(engine, lsid).await?;
    Ok(failed.map_or(Settled::Ended, |failed| Settled::Failed(failed.problem())))
}
