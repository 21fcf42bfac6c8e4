//! The mail server, and a mail to try it with (POL-30). The password comes in and never goes out.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use connector::mail::roots_of;
use domain::ids::MailDeliveryId;
use domain::record::{self, Kind, Object, Record};
use domain::site::mail_delivery;
use domain::site::mail_settings::{MAIL_SETTINGS, MailSettings};
use domain::{Command, Event, FieldErrors, Refusal, World};
use engine::{CommittedStream, Side, StreamBroken};
use secrets::SecretText;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::answer::Answer;
use crate::caller::{Caller, Known};
use crate::change::Change;
use crate::console::BASE;
use crate::console::administration::ACCESS;
use crate::credential::{new_reference, put_away, seal_secret};
use crate::error::{JsonError, Problem};
use crate::route::{About, Gives, Routes};
use crate::site::Site;

pub(super) fn routes(site: &Arc<Site>) -> Routes {
    let path = format!("{BASE}/mail-settings");
    Routes::new(site)
        .route(
            Method::GET,
            &path,
            ACCESS,
            About::new("How mail leaves the site").gives(Gives::One("MailSettings")),
            get,
        )
        .route(
            Method::PATCH,
            &path,
            ACCESS,
            About::new("Changes how mail leaves the site")
                .takes("MailSettings")
                .gives(Gives::One("MailSettings")),
            change,
        )
        .route(
            Method::POST,
            &format!("{path}/test"),
            ACCESS,
            About::new("Sends a test mail, and says what became of it")
                .takes("MailTest")
                .gives(Gives::One("MailTested")),
            test,
        )
}

async fn get(known: Known) -> Result<Answer<Object>, JsonError> {
    let settings = settings_of(known.world())?;
    Ok(Answer::known(&known.0, settings).tagged())
}

async fn change(
    State(site): State<Arc<Site>>,
    caller: Caller,
    change: Change,
) -> Result<Answer<Object>, JsonError> {
    let mut body = change.body.clone();
    // What was read can be sent back.
    body.remove("password_set");
    check_certificate(&body)?;
    let side = put_password_away(&site, &mut body)?;
    let change = change.of_target(|world| settings_of(world).ok());
    let command = Command::MailSettings(record::Command::Change(MAIL_SETTINGS, body));
    let done = site.execute(&caller, &change, command, side).await?;
    let settings = settings_of(&site.engine.published().world)?;
    Ok(Answer::done(&done, settings).tagged())
}

/// There is one record, so its id says nothing and is left out.
fn settings_of(world: &World) -> Result<Object, Problem> {
    let settings = MailSettings::find(world, MAIL_SETTINGS)
        .ok_or_else(|| Problem::not_found(MailSettings::TITLE))?;
    let mut shown = record::render(MAIL_SETTINGS, settings);
    shown.remove("id");
    shown.insert(
        "password_set".to_owned(),
        Value::from(settings.password.is_some()),
    );
    Ok(shown)
}

/// Certificates that could not be used would only be found out by a mail that does not leave.
fn check_certificate(body: &Object) -> Result<(), Refusal> {
    let text = body.get("certificate").and_then(Value::as_str);
    match text.map(str::trim) {
        Some(text) if !text.is_empty() && roots_of(text).is_none() => Err(Refusal::field(
            "certificate",
            "The certificate field must hold certificates in PEM that can be used.",
        )),
        _ => Ok(()),
    }
}

/// Puts a sealed reference in the place of the password, and says how it is put away. `null` takes the password away.
fn put_password_away(site: &Site, body: &mut Object) -> Result<Option<Side>, Refusal> {
    let Some(given) = body.get("password").filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let field = MailSettings::FIELDS
        .iter()
        .find(|field| matches!(field.kind, Kind::Secret { .. }))
        .ok_or_else(|| Refusal::field("password", "The password field is not known."))?;
    record::read_value(field, given).map_err(|message| Refusal::field("password", message))?;
    let password = SecretText::new(given.as_str().unwrap_or_default());
    if password.expose().chars().any(char::is_control) {
        return Err(Refusal::field(
            "password",
            "The password field must not hold control characters.",
        ));
    }
    let reference = new_reference(&site.engine.fresh());
    let side = put_away(&reference, seal_secret(&site.sealer, &reference, &password));
    body.insert("password".to_owned(), Value::from(reference.0));
    Ok(Some(side))
}

// --- the test mail ---

/// What became of a test mail while its sender waited.
enum Tried {
    Delivered,
    /// Not yet, or not at all; the outbox says so.
    Kept,
}

async fn test(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    change: Change,
) -> Result<Answer<Value>, JsonError> {
    let (recipient, language) = read_test(&change.body, known.world())?;
    // From before the mail is queued, so its end can't be missed.
    let news = site.engine.committed();
    let command = Command::MailDelivery(mail_delivery::Command::QueueTest {
        recipient,
        language,
    });
    let done = site.execute(&caller, &change, command, None).await?;
    let id = done
        .events
        .iter()
        .find_map(|event| match event {
            Event::MailDelivery(id, _) => Some(*id),
            _ => None,
        })
        .ok_or_else(Problem::internal)?;
    let tried = timeout(site.limits.start_answered_within, until_tried(news, id)).await;
    let published = site.engine.published();
    let kept = published.world.mail_deliveries.get(&id);
    let (state, reason) = match (tried, kept) {
        (Ok(Tried::Delivered), _) | (_, None) => ("delivered", ""),
        (_, Some(delivery)) => (
            super::deliveries::word(delivery.state),
            delivery.reason.as_str(),
        ),
    };
    let body = json!({"id": id.to_string(), "state": state, "reason": reason});
    Ok(Answer::done(&done, body))
}

fn read_test(body: &Object, world: &World) -> Result<(String, String), Problem> {
    let mut errors = FieldErrors::default();
    for name in body.keys() {
        if !matches!(name.as_str(), "recipient" | "language") {
            errors.push(name.clone(), format!("The {name} field is not known."));
        }
    }
    let recipient = body.get("recipient").and_then(Value::as_str);
    if recipient.is_none() {
        errors.push("recipient", "The recipient field is required.");
    }
    let language = match body.get("language") {
        None => Some(world.mail_settings.default_language.clone()),
        Some(value) => value.as_str().map(str::to_owned),
    };
    if language.is_none() {
        errors.push("language", "The language field must be a string.");
    }
    match (errors.0.is_empty(), recipient, language) {
        (true, Some(recipient), Some(language)) => Ok((recipient.to_owned(), language)),
        _ => Err(Problem::invalid(errors)),
    }
}

async fn until_tried(mut news: CommittedStream, id: MailDeliveryId) -> Tried {
    loop {
        match news.next().await {
            Ok(batch) => {
                for recorded in batch.iter() {
                    match &recorded.event {
                        Event::MailDelivery(of, event) if *of == id => match event {
                            mail_delivery::Event::Delivered(_) => return Tried::Delivered,
                            mail_delivery::Event::Failed(_)
                            | mail_delivery::Event::Parked(_)
                            | mail_delivery::Event::Discarded(_) => return Tried::Kept,
                            mail_delivery::Event::Queued(_) | mail_delivery::Event::Requeued(_) => {
                            }
                        },
                        _ => {}
                    }
                }
            }
            // What was missed, the outbox still says.
            Err(StreamBroken::Lagged { .. }) => {}
            Err(StreamBroken::Closed) => return Tried::Kept,
        }
    }
}
