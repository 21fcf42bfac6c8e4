//! The outbox: mails that have not left, why, and what a person can do about it (POL-31).

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::Response;
use domain::Command;
use domain::ids::MailDeliveryId;
use domain::record::{Field, Kind, Object};
use domain::site::mail_delivery::{self, About as Subject, Delivery, State as Waits};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::caller::{Caller, Known};
use crate::change::Change;
use crate::configuration::listing::Listing;
use crate::console::BASE;
use crate::console::administration::ACCESS;
use crate::console::named::{InPath, Named};
use crate::error::JsonError;
use crate::route::{About, Gives, Routes};
use crate::site::Site;

const STATE: Field = Field::new(
    "state",
    Kind::Word(&["waiting", "parked"]),
    "waiting: it will be tried again; parked: it waits for a person.",
)
.filter();

static FILTERS: [&Field; 1] = [&STATE];

pub(super) fn routes(site: &Arc<Site>) -> Routes {
    let path = format!("{BASE}/mail-deliveries");
    let one = format!("{path}/{{delivery}}");
    Routes::new(site)
        .route(
            Method::GET,
            &path,
            ACCESS,
            About::new("Mails that have not left, page by page")
                .gives(Gives::Page("MailDelivery"))
                .filters(FILTERS.to_vec()),
            list,
        )
        .route(
            Method::POST,
            &format!("{path}/replay"),
            ACCESS,
            About::new("Tries all parked mails again, the oldest first, at most 500")
                .gives(Gives::One("MailReplayed")),
            replay_all,
        )
        .route(
            Method::GET,
            &one,
            ACCESS,
            About::new("A mail that has not left").gives(Gives::One("MailDelivery")),
            get,
        )
        .route(
            Method::DELETE,
            &one,
            ACCESS,
            About::new("Gives a mail up"),
            discard,
        )
        .route(
            Method::POST,
            &format!("{one}/replay"),
            ACCESS,
            About::new("Tries a mail again now"),
            replay,
        )
}

/// The word for what a mail waits for.
pub(super) const fn word(state: Waits) -> &'static str {
    match state {
        Waits::Waiting(_) => "waiting",
        Waits::Parked(_) => "parked",
    }
}

async fn list(
    State(site): State<Arc<Site>>,
    known: Known,
    parts: Parts,
) -> Result<Response, JsonError> {
    let listing = Listing::read(&parts, &FILTERS, &site, &known)?;
    let matching = known
        .world()
        .mail_deliveries
        .iter()
        .filter(|(_, delivery)| {
            listing
                .filters
                .iter()
                .all(|(_, wanted)| word(delivery.state) == wanted)
        });
    Ok(listing.answer(&known, matching, |(id, delivery)| shown(*id, delivery)))
}

async fn get(known: Known, Named(id): Named<MailDeliveryId>) -> Result<Answer<Object>, JsonError> {
    let delivery = known
        .world()
        .mail_deliveries
        .get(&id)
        .ok_or_else(MailDeliveryId::refusal)?;
    Ok(Answer::known(&known.0, shown(id, delivery)))
}

async fn replay(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Named(id): Named<MailDeliveryId>,
    change: Change,
) -> Result<Answer<()>, JsonError> {
    let command = mail_delivery::Command::Requeue(id);
    let command = Command::MailDelivery(command);
    let done = site.execute(&caller, &change, command, None).await?;
    Ok(Answer::nothing(&done))
}

async fn replay_all(
    State(site): State<Arc<Site>>,
    caller: Caller,
    change: Change,
) -> Result<Answer<Value>, JsonError> {
    let command = Command::MailDelivery(mail_delivery::Command::RequeueParked);
    let done = site.execute(&caller, &change, command, None).await?;
    let left = site.engine.published().world.parked_mails().count();
    let body = json!({"replayed": done.events.len(), "left": left});
    Ok(Answer::done(&done, body))
}

async fn discard(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Named(id): Named<MailDeliveryId>,
    change: Change,
) -> Result<Answer<()>, JsonError> {
    let command = Command::MailDelivery(mail_delivery::Command::Discard(id));
    let done = site.execute(&caller, &change, command, None).await?;
    Ok(Answer::nothing(&done))
}

/// What is shown of a mail: to whom, about what, and why it has not left; never its text.
fn shown(id: MailDeliveryId, delivery: &Delivery) -> Object {
    let (request, lsid) = match delivery.mail.message.about() {
        Some(Subject::Request(request)) => (Some(request), None),
        Some(Subject::Session(lsid)) => (None, Some(lsid)),
        None => (None, None),
    };
    let (next_attempt_at, parked_at) = match delivery.state {
        Waits::Waiting(due_at) => (Some(due_at.to_rfc3339()), None),
        Waits::Parked(since) => (None, Some(since.to_rfc3339())),
    };
    let shown = json!({
        "id": id.to_string(),
        "type": delivery.mail.message.type_name(),
        "recipient": delivery.mail.recipient,
        "language": delivery.mail.language,
        "access_request_id": request,
        "lsid": lsid,
        "state": word(delivery.state),
        "attempts": delivery.attempts,
        "reason": delivery.reason,
        "queued_at": delivery.queued_at.to_rfc3339(),
        "next_attempt_at": next_attempt_at,
        "parked_at": parked_at,
    });
    match shown {
        Value::Object(shown) => shown,
        _ => Object::new(),
    }
}
