//! The ticket system's settings, with Current Status (TICK-01, TICK-05).

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use connector::outbound::read_certificates;
use domain::record::{self, Object, Record};
use domain::site::ticket_system::{TICKET_SYSTEM, TicketSystem};
use domain::{Command, Refusal, World};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::caller::{Caller, Known};
use crate::change::Change;
use crate::console::BASE;
use crate::console::administration::ACCESS;
use crate::error::{JsonError, Problem};
use crate::route::{About, Gives, Routes};
use crate::site::Site;

pub(super) fn routes(site: &Arc<Site>) -> Routes {
    let path = format!("{BASE}/ticket-system");
    Routes::new(site)
        .route(
            Method::GET,
            &path,
            ACCESS,
            About::new("The ticket system's settings and Current Status")
                .gives(Gives::One("TicketSystem")),
            get,
        )
        .route(
            Method::PATCH,
            &path,
            ACCESS,
            About::new("Changes the ticket system's settings")
                .takes("TicketSystem")
                .gives(Gives::One("TicketSystem")),
            change_settings,
        )
}

async fn get(known: Known) -> Result<Answer<Object>, JsonError> {
    Ok(Answer::known(&known.0, shown(known.world())?).tagged())
}

async fn change_settings(
    State(site): State<Arc<Site>>,
    caller: Caller,
    change: Change,
) -> Result<Answer<Object>, JsonError> {
    let mut body = change.body.clone();
    // Shown, and nobody's to write.
    body.remove("current_status");
    if let Some(Value::String(pem)) = body.get("certificate")
        && !pem.is_empty()
        && read_certificates(pem).is_err()
    {
        let words = "The certificate field must hold certificates in PEM.";
        return Err(Refusal::field("certificate", words).into());
    }
    let change = change.of_target(|world| shown(world).ok());
    let command = Command::TicketSystem(record::Command::Change(TICKET_SYSTEM, body));
    let done = site.execute(&caller, &change, command, None).await?;
    let shown = shown(&site.engine.published().world)?;
    Ok(Answer::done(&done, shown).tagged())
}

/// There is one record, so its id says nothing and is left out. Current Status is there only where there is one (TICK-05).
fn shown(world: &World) -> Result<Object, Problem> {
    let settings = TicketSystem::find(world, TICKET_SYSTEM)
        .ok_or_else(|| Problem::not_found(TicketSystem::TITLE))?;
    let mut shown = record::render(TICKET_SYSTEM, settings);
    shown.remove("id");
    if let Some(status) = &world.ticket_connection.status {
        let status = json!({
            "success": status.success,
            "message": status.message,
            "at": status.at.to_rfc3339(),
        });
        shown.insert("current_status".to_owned(), status);
    }
    Ok(shown)
}
