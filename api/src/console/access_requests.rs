//! Requests for approved access: asking, answering, cancelling (APPR). A requester is never shown which approver answered, nor
//! any approver's address (APPR-16).

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::Response;
use domain::ids::{AccessRequestId, UserId};
use domain::policy::access_request::{
    self, AccessRequest, State as RequestState, Submit, approvers, duration_text, may_cancel,
    standing,
};
use domain::record::{Field, Kind, Object, Purpose, Reading, read_body};
use domain::site::mail_delivery;
use domain::{Command, Event, FieldErrors, Refusal, Timestamp, World};
use engine::Done;
use projections::RequestQuery;
use serde_json::{Value, json};

use crate::access::Access;
use crate::answer::Answer;
use crate::caller::{Caller, Known};
use crate::change::Change;
use crate::configuration::listing::{Listing, base_url};
use crate::configuration::resource::PathId;
use crate::console::BASE;
use crate::console::items::{group, item_named, user_of};
use crate::console::{past_requests, undelivered_mails};
use crate::error::{JsonError, Problem};
use crate::route::{About, Gives, Routes};
use crate::site::Site;

/// How long access is asked for where the form does not say. Unit: seconds. Source: the published schema.
pub const DURATION_SECONDS_DEFAULT: i64 = 7_200;

/// The form of a request.
pub const FORM: &[Field] = &[
    Field::new(
        "item",
        Kind::Text { min: 1, max: 64 },
        "To what: <type>-<id>, such as jump_client-5.",
    )
    .required(),
    Field::new(
        "reason",
        Kind::Text {
            min: 0,
            max: access_request::TEXT_CHARS_MAX,
        },
        "Why.",
    )
    .required(),
    Field::new("start", Kind::Moment, "From when on; now where absent."),
    Field::new(
        "duration",
        Kind::Integer {
            min: 60,
            max: 2_147_483_647,
        },
        "For how long, in seconds.",
    ),
];

/// What an approver says beside yes or no.
pub const ANSWER: &[Field] = &[Field::new(
    "comments",
    Kind::Text {
        min: 0,
        max: access_request::TEXT_CHARS_MAX,
    },
    "Words for the requesting user.",
)];

const VIEW: Field = Field::new(
    "view",
    Kind::Word(&["mine", "to_answer", "all"]),
    "Those the caller made, those the caller may answer, or, for administrators, all; for auditors too where they are over.",
);
const STATE: Field = Field::new(
    "state",
    Kind::Word(&["pending", "approved", "denied", "cancelled", "in_use"]),
    "Those in this state.",
);
const OVER: Field = Field::new(
    "over",
    Kind::Boolean,
    "Those whose window is over, in place of the others; state does not count then.",
);
static FILTERS: [Field; 3] = [VIEW, STATE, OVER];

pub(super) fn routes(site: &Arc<Site>) -> Routes {
    let all = format!("{BASE}/access-requests");
    let one = format!("{all}/{{id}}");
    let act = |word: &str| format!("{one}/{word}");
    Routes::new(site)
        .route(
            Method::POST,
            &all,
            Access::User,
            About::new("Ask for access to an item")
                .takes("AccessRequestForm")
                .gives(Gives::Created("AccessRequest")),
            submit,
        )
        .route(
            Method::GET,
            &all,
            Access::User,
            About::new("The caller's requests, or those the caller may answer")
                .gives(Gives::Page("AccessRequest"))
                .filters(FILTERS.iter().collect()),
            list,
        )
        .route(
            Method::GET,
            &one,
            Access::User,
            About::new("One request").gives(Gives::One("AccessRequest")),
            get,
        )
        .route(
            Method::POST,
            &act("approve"),
            Access::User,
            About::new("Approve it")
                .takes("AccessRequestAnswer")
                .gives(Gives::One("AccessRequest")),
            approve,
        )
        .route(
            Method::POST,
            &act("deny"),
            Access::User,
            About::new("Deny it")
                .takes("AccessRequestAnswer")
                .gives(Gives::One("AccessRequest")),
            deny,
        )
        .route(
            Method::POST,
            &act("cancel"),
            Access::User,
            About::new("Take it back, or give the approved access up")
                .gives(Gives::One("AccessRequest")),
            cancel,
        )
}

async fn submit(
    State(site): State<Arc<Site>>,
    caller: Caller,
    parts: Parts,
    change: Change,
) -> Result<Answer<Value>, JsonError> {
    let user = user_of(&caller)?;
    let form = read_form(user, &change.body, site.engine.clock().now())?;
    let command = Command::AccessRequest(access_request::Command::Submit(form));
    let done = site.execute(&caller, &change, command, None).await?;
    let id = made_by(&done)?;
    let body = shown(&site, user, id)?;
    let location = format!("{}{BASE}/access-requests/{id}", base_url(&parts, &site));
    Ok(Answer::created(&done, location, body))
}

fn read_form(user: UserId, body: &Object, now: Timestamp) -> Result<Submit, Refusal> {
    let body = read_body(FORM, &[], body, Reading::plain(Purpose::Create))?;
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let number = |name: &str| body.get(name).and_then(Value::as_i64);
    let item = item_named(text("item")).ok_or_else(|| {
        Refusal::Invalid(FieldErrors::one(
            "item",
            "The item field must have the form <type>-<id>, such as jump_client-5.",
        ))
    })?;
    let seconds = number("duration").unwrap_or(DURATION_SECONDS_DEFAULT);
    Ok(Submit {
        user,
        item,
        reason: text("reason").to_owned(),
        start_at: number("start").map_or(now, Timestamp),
        // The table bounds it.
        duration_seconds: u32::try_from(seconds).unwrap_or(u32::MAX),
    })
}

/// The request that a command made.
///
/// # Errors
/// 500 where it made none, which its success rules out.
pub(crate) fn made_by(done: &Done) -> Result<AccessRequestId, Problem> {
    done.events
        .iter()
        .find_map(|event| match event {
            Event::AccessRequest(id, access_request::Event::Submitted(_)) => Some(*id),
            _ => None,
        })
        .ok_or_else(Problem::internal)
}

async fn list(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    parts: Parts,
) -> Result<Response, JsonError> {
    let user = user_of(&caller)?;
    let world = known.world();
    let fields: Vec<&'static Field> = FILTERS.iter().collect();
    let listing = Listing::read(&parts, &fields, &site, &known)?;
    let asked = |name: &str| listing.filters.wanted(name);
    if asked("over") == Some("true") {
        let query = match asked("view") {
            Some("to_answer") => RequestQuery::Asked(user),
            Some("all") if !past_requests::may_audit(world, user) => {
                return Err(Refusal::AdministratorNeeded.into());
            }
            Some("all") => RequestQuery::All,
            _ => RequestQuery::Of(user),
        };
        return Ok(past_requests::page(&site, &known, user, query, &listing).await?);
    }
    let rows: Vec<(AccessRequestId, &AccessRequest)> = match asked("view") {
        Some("to_answer") => world.requests_to_answer(user).collect(),
        Some("all") if !world.is_administrator(user) => {
            return Err(Refusal::AdministratorNeeded.into());
        }
        Some("all") => world
            .access_requests
            .iter()
            .map(|(id, request)| (*id, request))
            .collect(),
        _ => world.requests_of(user).collect(),
    };
    let state = asked("state");
    let now = site.engine.clock().now();
    // The newest first: that is what is looked for.
    let rows = rows
        .into_iter()
        .rev()
        .filter(|(_, request)| state.is_none_or(|state| request.state.word() == state));
    Ok(listing.answer(&known, rows, |(id, request)| {
        object(view(world, user, id, request, now))
    }))
}

async fn get(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    PathId(request): PathId<AccessRequestId>,
) -> Result<Answer<Value>, JsonError> {
    let user = user_of(&caller)?;
    let now = site.engine.clock().now();
    let world = known.world();
    if !world.access_requests.contains(&request) {
        let body = past_requests::find(&site, &known, user, request).await?;
        return Ok(Answer::known(&known.0, body));
    }
    let mut body = find(world, user, request, now)?;
    if is_party(world, user, request) {
        let about = mail_delivery::About::Request(request);
        let is_administrator = world.is_administrator(user);
        body["undelivered_mails"] = undelivered_mails::shown(world, about, is_administrator);
    }
    Ok(Answer::known(&known.0, body))
}

async fn approve(
    State(site): State<Arc<Site>>,
    caller: Caller,
    PathId(request): PathId<AccessRequestId>,
    change: Change,
) -> Result<Answer<Value>, JsonError> {
    let command = access_request::Command::Approve {
        request,
        comment: comments(&change)?,
        speaking_for: None,
    };
    ask(&site, &caller, &change, request, command).await
}

async fn deny(
    State(site): State<Arc<Site>>,
    caller: Caller,
    PathId(request): PathId<AccessRequestId>,
    change: Change,
) -> Result<Answer<Value>, JsonError> {
    let command = access_request::Command::Deny {
        request,
        comment: comments(&change)?,
        speaking_for: None,
    };
    ask(&site, &caller, &change, request, command).await
}

async fn cancel(
    State(site): State<Arc<Site>>,
    caller: Caller,
    PathId(request): PathId<AccessRequestId>,
    change: Change,
) -> Result<Answer<Value>, JsonError> {
    read_body(&[], &[], &change.body, Reading::plain(Purpose::Create))?;
    let command = access_request::Command::Cancel { request };
    ask(&site, &caller, &change, request, command).await
}

fn comments(change: &Change) -> Result<String, Refusal> {
    let body = read_body(ANSWER, &[], &change.body, Reading::plain(Purpose::Create))?;
    let comments = body.get("comments").and_then(Value::as_str);
    Ok(comments.unwrap_or_default().to_owned())
}

async fn ask(
    site: &Site,
    caller: &Caller,
    change: &Change,
    id: AccessRequestId,
    command: access_request::Command,
) -> Result<Answer<Value>, JsonError> {
    let user = user_of(caller)?;
    let command = Command::AccessRequest(command);
    let done = site.execute(caller, change, command, None).await?;
    Ok(Answer::done(&done, shown(site, user, id)?))
}

fn shown(site: &Site, user: UserId, id: AccessRequestId) -> Result<Value, Problem> {
    let now = site.engine.clock().now();
    find(&site.engine.published().world, user, id, now)
}

/// A request, if the user may know of it.
fn find(
    world: &World,
    user: UserId,
    id: AccessRequestId,
    now: Timestamp,
) -> Result<Value, Problem> {
    world
        .access_requests
        .get(&id)
        .filter(|request| {
            world.is_administrator(user) || standing::is_known_to(world, request, user)
        })
        .map(|request| view(world, user, id, request, now))
        .ok_or_else(|| Problem::not_found("Access request"))
}

/// Whether the user made the request, may be asked to answer it, or is an administrator.
fn is_party(world: &World, user: UserId, id: AccessRequestId) -> bool {
    let request = world.access_requests.get(&id);
    world.is_administrator(user)
        || request.is_some_and(|request| {
            request.requester == user || approvers::is_asked(world, request, user)
        })
}

/// A request as `user` is shown it.
fn view(
    world: &World,
    user: UserId,
    id: AccessRequestId,
    request: &AccessRequest,
    now: Timestamp,
) -> Value {
    let mine = request.requester == user;
    let approver = world
        .approvers_of(request)
        .find(|approver| approver.user_id == Some(user));
    let open = now < request.ends_at;
    let may_answer = open
        && approver.is_some_and(|approver| approvers::is_still_one(world, request, approver.index));
    let is_pending = matches!(request.state, RequestState::Pending);
    let may_be_denied = is_pending || matches!(request.state, RequestState::Approved(_));
    let mut body = json!({
        "id": id,
        "state": request.state.word(),
        "item": {"id": request.item.to_string(), "name": request.item_name},
        "group": group(request.group, &request.group_name),
        "jump_policy": {"id": request.jump_policy_id, "name": request.jump_policy_name},
        "requester": {"id": request.requester, "name": request.requester_name},
        "approvers": request.approvers_name,
        "applies_to": request.scope.label(),
        "reason": request.reason,
        "start": request.start_at.to_rfc3339(),
        "end": request.ends_at.to_rfc3339(),
        "duration": request.duration_seconds(),
        "duration_text": duration_text(request.duration_seconds()),
        "submitted_at": request.submitted_at.to_rfc3339(),
        "mine": mine,
        "over": false,
        "may": {
            "approve": may_answer && is_pending,
            "deny": may_answer && may_be_denied,
            "cancel": open && may_cancel(world, request, user),
        },
        "answered_at": Value::Null,
        "comments": Value::Null,
    });
    let is_asked = approver.is_some() || world.is_administrator(user);
    if let Some(answer) = request.state.answer() {
        body["answered_at"] = json!(answer.at.to_rfc3339());
        body["comments"] = json!(answer.comment);
        if is_asked && !mine {
            body["answered_by"] = json!(answer.by.label());
        }
    }
    body
}

pub(super) fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}
