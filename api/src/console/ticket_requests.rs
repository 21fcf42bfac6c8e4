//! Starts that wait for the ticket system: asked by a start with a ticket ID, looked at and given up by the user who waits.
//!
//! The ticket ID goes from the body of the request to the ticket system and, unless the system is sensitive, into the event; no
//! answer ever shows it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use axum::http::request::Parts;
use connector::ticket::Delivery;
use domain::ids::{TicketRequestId, UserId};
use domain::policy::ticket::{self, Ask, Asked, Handed, Outcome, TicketId};
use domain::session::access_session::Start;
use domain::{Command, Event};
use engine::{Done, Engine};
use eventstore::{Direction, Selection};
use projections::Recorded;
use serde_json::{Value, json};

use crate::access::Access;
use crate::answer::Answer;
use crate::caller::Caller;
use crate::change::Change;
use crate::configuration::listing::base_url;
use crate::console::BASE;
use crate::console::items::user_of;
use crate::console::named::{InPath, Named};
use crate::endpoint_approval::{self, answer_key};
use crate::error::{JsonError, Problem};
use crate::route::{About, Gives, Routes};
use crate::site::Site;

/// Most events of one request.
const EVENTS_MAX: usize = 16;

pub(super) fn routes(site: &Arc<Site>) -> Routes {
    let one = format!("{BASE}/ticket-requests/{{id}}");
    Routes::new(site)
        .route(
            Method::GET,
            &one,
            Access::User,
            About::new("What has become of a start that waits for the ticket system")
                .gives(Gives::One("TicketRequest")),
            get,
        )
        .route(
            Method::DELETE,
            &one,
            Access::User,
            About::new("Gives up a start that waits for the ticket system"),
            give_up,
        )
}

/// What became of a start with a ticket.
pub(super) enum Begun {
    /// The ticket system is asked.
    Waiting {
        /// Which request it is.
        request: TicketRequestId,
        /// The request as it is shown.
        shown: Value,
        /// What wrote it down.
        done: Done,
    },
    /// No ticket was needed: the start went on.
    Started(Done),
}

/// Asks the ticket system about `ticket_id` before `start` goes on.
pub(super) async fn ask(
    site: &Site,
    caller: &Caller,
    change: &Change,
    start: Start,
    ticket_id: TicketId,
) -> Result<Begun, JsonError> {
    // Room first: what is written down is sent.
    let room = site
        .tickets
        .room()
        .ok_or_else(|| Problem::from(domain::Refusal::TooManyStarting))?;
    let fresh = site.engine.fresh();
    let request_id = format!("{}{}", fresh.hex(0), fresh.hex(1));
    let command = ticket::Command::Ask(Box::new(Ask {
        start,
        ticket_id: ticket_id.clone(),
        answer_key: answer_key(site, &request_id),
        sign_in: caller.sign_in.clone(),
    }));
    let done = site
        .execute(caller, change, Command::TicketRequest(command), None)
        .await?;
    let Some((request, asked)) = asked_by(&done) else {
        return Ok(Begun::Started(done));
    };
    if !done.repeated {
        let handed = Handed {
            request_id: &request_id,
            ticket_id: &ticket_id.0,
            response_url: &format!("{}{}", site.own_url(), endpoint_approval::PATH),
        };
        let world = &site.engine.published().world;
        room.send(Delivery::new(world, request, asked, handed));
    }
    let shown = shown(request, asked, &Outcome::Waiting);
    Ok(Begun::Waiting {
        request,
        shown,
        done,
    })
}

/// The URL of a request.
pub(super) fn location(site: &Site, parts: &Parts, request: TicketRequestId) -> String {
    format!("{}{BASE}/ticket-requests/{request}", base_url(parts, site))
}

fn asked_by(done: &Done) -> Option<(TicketRequestId, &Asked)> {
    done.events.iter().find_map(|event| match event {
        Event::TicketRequest(request, ticket::Event::Asked(asked)) => Some((*request, asked)),
        _ => None,
    })
}

async fn get(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Named(id): Named<TicketRequestId>,
) -> Result<Answer<Value>, JsonError> {
    let user = user_of(&caller)?;
    let (asked, outcome) = told(&site.engine, id, user).await?;
    let shown = shown(id, &asked, &outcome);
    Ok(Answer::known(&site.engine.published(), shown))
}

async fn give_up(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Named(id): Named<TicketRequestId>,
    change: Change,
) -> Result<Answer<()>, JsonError> {
    let user = user_of(&caller)?;
    told(&site.engine, id, user).await?;
    let command = Command::TicketRequest(ticket::Command::Void { request: id });
    let done = site.execute(&caller, &change, command, None).await?;
    Ok(Answer::nothing(&done))
}

/// The request of `user`, told from its stream: a settled one is not in the World. What is another's is not there (threat G).
async fn told(
    engine: &Engine,
    request: TicketRequestId,
    user: UserId,
) -> Result<(Asked, Outcome), Problem> {
    let stream = Selection::Stream(format!("ticket_request-{request}"));
    let stored = engine
        .store()
        .read(&stream, 0, Direction::Forward, EVENTS_MAX)
        .await?;
    let mut asked = None;
    let mut outcome = Outcome::Waiting;
    for event in &stored {
        let recorded = Recorded::from_stored(event).map_err(|error| {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a ticket request can't be read"
            );
            Problem::internal()
        })?;
        match recorded.event {
            Event::TicketRequest(_, ticket::Event::Asked(found)) => asked = Some(found),
            Event::TicketRequest(_, event) => outcome = outcome.after(&event),
            _ => {}
        }
    }
    let asked = asked
        .filter(|asked| asked.start.user == user)
        .ok_or_else(TicketRequestId::refusal)?;
    Ok((asked, outcome))
}

fn shown(request: TicketRequestId, asked: &Asked, outcome: &Outcome) -> Value {
    let (message, lsid) = match outcome {
        Outcome::Refused(message) => (Some(message), None),
        Outcome::Allowed(lsid) => (None, *lsid),
        Outcome::Waiting | Outcome::Void => (None, None),
    };
    json!({
        "id": request,
        "item": asked.start.item.to_string(),
        "state": outcome.state(),
        "message": message,
        "lsid": lsid,
        "expires_at": asked.expires_at.to_rfc3339(),
    })
}
