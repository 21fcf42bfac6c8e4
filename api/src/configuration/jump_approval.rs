//! `jump-approval`: what a user is an approver for, answers on a user's behalf, and requests on a user's behalf. Failures of
//! the two commands are 400 with a message, as published.

use std::sync::Arc;

use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use domain::Command;
use domain::ids::{AccessRequestId, UserId};
use domain::policy::access_request::{self, AccessRequest, Submit, TEXT_CHARS_MAX};
use domain::record::{Field, Kind, Object, Purpose, Reading, Record, read_body};
use domain::site::user::User;
use domain::{FieldErrors, Refusal, Timestamp};
use serde_json::{Value, json};

use super::BASE;
use super::listing::Listing;
use super::resource::{ACCESS, PathId, PathIds};
use crate::answer::Answer;
use crate::caller::{Caller, Known};
use crate::change::Change;
use crate::console::access_requests::{DURATION_SECONDS_DEFAULT, made_by};
use crate::console::items::item_named;
use crate::error::{JsonError, Problem};
use crate::route::{About, Gives, Routes};
use crate::site::Site;

/// The states of the published schema.
const STATES: &[&str] = &["pending", "approved", "denied", "cancelled", "in_use"];
const DURATION: Kind = Kind::Integer {
    min: 60,
    max: 2_147_483_647,
};
const TEXT: Kind = Kind::Text {
    min: 0,
    max: TEXT_CHARS_MAX,
};

/// `JumpAuthorizationRequest`, a line per member.
pub const FIELDS: &[Field] = &[
    Field::new("state", Kind::Word(STATES), "What became of it.").filter(),
    Field::new("jump_policy_id", Kind::Id, "The policy that asks for it."),
    Field::new(
        "jump_item_type",
        Kind::Text { min: 0, max: 64 },
        "The Jump Item's type.",
    ),
    Field::new("jump_item_id", Kind::Id, "The Jump Item's id."),
    Field::new("created_by_user_id", Kind::Id, "Who asks."),
    Field::new("start_timestamp", Kind::Moment, "From when on."),
    Field::new("duration", DURATION, "For how long, in seconds."),
    Field::new("request_reason", TEXT, "Why."),
    Field::new("response_comments", TEXT, "What the approver said."),
];

/// The body of an answer.
pub const ANSWER: &[Field] = &[
    // Named as the path's parameter would be, so it is no id of the record itself.
    Field::new("id", Kind::Id, "The request.").required(),
    Field::new("user_id", Kind::Id, "The approving user.").required(),
    Field::new("answer", Kind::Word(&["approved", "denied"]), "Yes or no.").required(),
    Field::new("comments", TEXT, "Words for the requesting user."),
];

/// The body of a request.
pub const REQUEST: &[Field] = &[
    Field::new("user_id", Kind::Id, "The requesting user.").required(),
    Field::new(
        "jump_item_type",
        Kind::Text { min: 1, max: 64 },
        "The Jump Item's type.",
    )
    .required(),
    Field::new("jump_item_id", Kind::Id, "The Jump Item's id.").required(),
    Field::new("start", Kind::Moment, "From when on; now where absent."),
    Field::new("duration", DURATION, "For how long, in seconds."),
    Field::new("reason", TEXT, "Why."),
];

pub(crate) fn routes(site: &Arc<Site>) -> Routes {
    let base = format!("{BASE}/jump-approval");
    let schema = "JumpAuthorizationRequest";
    Routes::new(site)
        .route(
            Method::GET,
            &format!("{base}/{{user_id}}"),
            ACCESS,
            About::new("Lists the requests that a user is an approver for.")
                .gives(Gives::List(schema))
                .filters(filters()),
            list,
        )
        .route(
            Method::GET,
            &format!("{base}/{{user_id}}/view/{{id}}"),
            ACCESS,
            About::new("Reads a request that a user is an approver for.").gives(Gives::One(schema)),
            get,
        )
        .route(
            Method::POST,
            &format!("{base}/approve"),
            ACCESS,
            About::new("Approves or denies a request on behalf of a user.")
                .takes("JumpApprovalAnswer")
                .gives(Gives::One("Message")),
            answer,
        )
        .route(
            Method::POST,
            &format!("{base}/request"),
            ACCESS,
            About::new("Makes a request on behalf of a user.")
                .takes("JumpApprovalRequest")
                .gives(Gives::One("Message")),
            request,
        )
}

fn filters() -> Vec<&'static Field> {
    FIELDS.iter().filter(|field| field.filter).collect()
}

async fn list(
    State(site): State<Arc<Site>>,
    known: Known,
    PathId(user): PathId<UserId>,
    parts: Parts,
) -> Result<Answer<Value>, JsonError> {
    let listing = Listing::read(&parts, &filters(), &site, &known)?;
    let world = known.world();
    if !world.users.contains(&user) {
        return Err(Problem::not_found(User::TITLE).into());
    }
    // The published list has no pages.
    let shown: Vec<Value> = world
        .requests_to_answer(user)
        .filter(|(_, request)| {
            let mut filters = listing.filters.iter();
            filters.all(|(_, state)| request.state.word() == state)
        })
        .map(|(id, request)| view(id, request))
        .collect();
    Ok(Answer::known(&known.0, Value::Array(shown)))
}

async fn get(
    known: Known,
    PathIds(user, wanted): PathIds<UserId, AccessRequestId>,
) -> Result<Answer<Value>, JsonError> {
    let mut requests = known.world().requests_to_answer(user);
    let (id, request) = requests
        .find(|(id, _)| *id == wanted)
        .ok_or_else(|| Problem::not_found("Jump Authorization Request"))?;
    Ok(Answer::known(&known.0, view(id, request)))
}

fn view(id: AccessRequestId, request: &AccessRequest) -> Value {
    json!({
        "id": id,
        "state": request.state.word(),
        "jump_policy_id": request.jump_policy_id,
        "jump_item_type": request.item.type_name(),
        "jump_item_id": request.item.number(),
        "created_by_user_id": request.requester,
        "start_timestamp": request.start_at.to_rfc3339(),
        "duration": request.duration_seconds(),
        "request_reason": request.reason,
        "response_comments": request
            .state
            .answer()
            .map(|answer| answer.comment.as_str())
            .unwrap_or_default(),
    })
}

async fn answer(
    State(site): State<Arc<Site>>,
    caller: Caller,
    change: Change,
) -> Result<Answer<Value>, JsonError> {
    let body = read_body(ANSWER, &[], &change.body, Reading::plain(Purpose::Create))?;
    let request = AccessRequestId(number(&body, "id"));
    let speaking_for = Some(UserId(number(&body, "user_id")));
    let comment = text(&body, "comments");
    let approved = text(&body, "answer") == "approved";
    let command = if approved {
        access_request::Command::Approve {
            request,
            comment,
            speaking_for,
        }
    } else {
        access_request::Command::Deny {
            request,
            comment,
            speaking_for,
        }
    };
    let done = site
        .execute(&caller, &change, Command::AccessRequest(command), None)
        .await
        .map_err(failed)?;
    let message = if approved {
        "The Jump Authorization Request was approved."
    } else {
        "The Jump Authorization Request was denied."
    };
    Ok(Answer::done(&done, json!({"message": message})))
}

async fn request(
    State(site): State<Arc<Site>>,
    caller: Caller,
    change: Change,
) -> Result<Answer<Value>, JsonError> {
    let body = read_body(REQUEST, &[], &change.body, Reading::plain(Purpose::Create))?;
    let name = format!(
        "{}-{}",
        text(&body, "jump_item_type")
            .to_lowercase()
            .replace('-', "_"),
        number(&body, "jump_item_id")
    );
    let item = item_named(&name).ok_or_else(|| {
        Refusal::Invalid(FieldErrors::one(
            "jump_item_type",
            "The selected jump_item_type is invalid.",
        ))
    })?;
    let moment = |name: &str| body.get(name).and_then(Value::as_i64).map(Timestamp);
    let seconds = body
        .get("duration")
        .and_then(Value::as_i64)
        .unwrap_or(DURATION_SECONDS_DEFAULT);
    let command = access_request::Command::Submit(Submit {
        user: UserId(number(&body, "user_id")),
        item,
        reason: text(&body, "reason"),
        start_at: moment("start").unwrap_or_else(|| site.engine.clock().now()),
        // The table bounds it.
        duration_seconds: u32::try_from(seconds).unwrap_or(u32::MAX),
    });
    let done = site
        .execute(&caller, &change, Command::AccessRequest(command), None)
        .await
        .map_err(failed)?;
    let id = made_by(&done)?;
    let message = format!("The Jump Authorization Request {id} was created.");
    Ok(Answer::done(&done, json!({"message": message})))
}

/// What the rules say no to is 400 here, with their words; trouble of the server keeps its status.
fn failed(error: JsonError) -> JsonError {
    let problem = *error.0;
    if !problem.status.is_client_error() {
        return problem.into();
    }
    let message = match problem.errors.0.first() {
        Some((_, message)) => message.clone(),
        None => problem.message.clone(),
    };
    Problem {
        status: StatusCode::BAD_REQUEST,
        message,
        ..problem
    }
    .into()
}

fn number(body: &Object, name: &str) -> u32 {
    let number = body.get(name).and_then(Value::as_u64);
    number
        .and_then(|number| u32::try_from(number).ok())
        .unwrap_or(0)
}

fn text(body: &Object, name: &str) -> String {
    let text = body.get(name).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}
