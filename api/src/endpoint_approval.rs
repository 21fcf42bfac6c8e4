//! `POST /api/endpoint_approval`: the ticket system's answer (TICK-27 to TICK-46).
//!
//! There is no token: whoever knows the unguessable id of a request may answer it, once (TICK-41). Nothing of the body is
//! logged.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::ids::KeyedHash;
use domain::policy::ticket::{self, Answer, TicketRequest};
use domain::{Actor, Cause, Command, Event, Refusal, Surface, World};
use engine::{Lane, Submission};
use serde_json::json;

use crate::access::Access;
use crate::console::badge::Badge;
use crate::error::{JsonError, Problem};
use crate::form::Parameters;
use crate::peer::Peer;
use crate::route::{About, Gives, Routes};
use crate::site::Site;

/// The path of the endpoint (TICK-18).
pub const PATH: &str = "/api/endpoint_approval";

/// What stands before the code name of an attribute (TICK-33).
const ATTRIBUTE: &str = "session.custom.";

pub(crate) fn routes(site: &Arc<Site>) -> Routes {
    let about = About::new("Takes the ticket system's answer.")
        .takes("TicketAnswer")
        .gives(Gives::One("TicketAnswered"));
    Routes::new(site)
        .route(Method::POST, PATH, Access::Anyone, about, answer)
        .open()
}

async fn answer(
    State(site): State<Arc<Site>>,
    peer: Peer,
    request: Request,
) -> Result<Response, JsonError> {
    let known = site.engine.as_fresh_as_the_log().await?;
    if !known.world.ticket_system.is_configured() {
        return Err(told(&site, peer, Refusal::TicketSystemNotConfigured.into()));
    }
    let parameters = Parameters::read(request, site.limits.body_within)
        .await
        .map_err(Problem::from)?;
    let mut answer = answer_of(&site, &parameters)?;
    answer.sign_in_withdrawn = is_sign_in_withdrawn(&site, &known.world, &answer).await?;
    let command = Command::TicketRequest(ticket::Command::Answer(answer));
    let cause = Cause {
        actor: Actor::Stranger,
        surface: Surface::TicketSystem,
        address: Some(peer.address),
    };
    let submission = Submission::new(command, cause, Lane::Integrations);
    let done = match site.engine.execute(submission).await {
        Ok(done) => done,
        Err(error) => return Err(told(&site, peer, as_bad_request(error.into()))),
    };
    let is_nonsense = done.events.iter().any(|event| {
        matches!(
            event,
            Event::TicketRequest(_, ticket::Event::AnswerInvalid(_))
        )
    });
    if is_nonsense {
        let words = "The response field must be allow or deny.";
        return Err(told(&site, peer, Problem::malformed(words)));
    }
    Ok((StatusCode::OK, axum::Json(json!({"accepted": true}))).into_response())
}

/// The answer, as it was said.
fn answer_of(site: &Site, parameters: &Parameters) -> Result<Answer, Problem> {
    let text = |name: &str| parameters.get(name).map(str::to_owned);
    let id = match (parameters.get("response_id"), parameters.get("request_id")) {
        (Some(id), Some(alias)) if id != alias => {
            return Err(Problem::malformed(
                "The response_id and request_id fields name two requests.",
            ));
        }
        (Some(id), _) | (None, Some(id)) if !id.is_empty() => Some(id),
        _ => None,
    };
    let attributes: BTreeMap<String, String> = parameters
        .iter()
        .filter_map(|(name, value)| {
            let code_name = name.strip_prefix(ATTRIBUTE)?;
            Some((code_name.to_owned(), value.to_owned()))
        })
        .collect();
    Ok(Answer {
        answer_key: id.map(|id| answer_key(site, id)),
        response: text("response"),
        message: text("message"),
        attributes,
        sign_in_withdrawn: false,
    })
}

/// Whether the user who waits had their sign-in taken back: one sign-in too many ends the oldest, and no event says so (TICK-48).
async fn is_sign_in_withdrawn(
    site: &Site,
    world: &World,
    answer: &Answer,
) -> Result<bool, Problem> {
    let request = answer
        .answer_key
        .as_ref()
        .and_then(|key| world.ticket_request_of(key));
    match request {
        Some((
            _,
            TicketRequest {
                start,
                sign_in: Some(sign_in),
                ..
            },
        )) => Badge::is_withdrawn(site, start.user, sign_in).await,
        _ => Ok(false),
    }
}

/// What of a request's id is known to the log.
pub(crate) fn answer_key(site: &Site, request_id: &str) -> KeyedHash {
    let hash = site
        .sealer
        .keyed_hash("ticket_answer", request_id.as_bytes());
    KeyedHash(hex::encode(hash))
}

/// TICK-45: what is wrong with an answer is 400 here.
fn as_bad_request(mut problem: Problem) -> Problem {
    if problem.status == StatusCode::UNPROCESSABLE_ENTITY {
        problem.status = StatusCode::BAD_REQUEST;
    }
    problem
}

/// Counts what was refused to the stranger.
fn told(site: &Site, peer: Peer, problem: Problem) -> JsonError {
    site.attempts
        .count_stranger(peer.address, &format!("POST {PATH}"), &problem.message);
    problem.into()
}
