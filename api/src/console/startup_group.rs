//! The caller's Jump on Startup group (SESS-28 to SESS-33).

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use axum::http::request::Parts;
use domain::Command;
use domain::ids::JumpItemRef;
use domain::session::startup_group;
use serde_json::{Value, json};

use crate::access::Access;
use crate::answer::Answer;
use crate::caller::{Caller, Known};
use crate::change::Change;
use crate::console::BASE;
use crate::console::fields::Fields;
use crate::console::items::user_of;
use crate::console::named::Named;
use crate::console::session_start::{Asked, start_several};
use crate::error::JsonError;
use crate::route::{About, Gives, Routes};
use crate::site::Site;

pub(super) fn routes(site: &Arc<Site>) -> Routes {
    let path = format!("{BASE}/startup-items");
    let one = format!("{path}/{{item}}");
    Routes::new(site)
        .route(
            Method::GET,
            &path,
            Access::User,
            About::new("The items that start when the caller signs in")
                .gives(Gives::One("StartupItems")),
            list,
        )
        .route(
            Method::PUT,
            &one,
            Access::User,
            About::new("Add to Jump on Startup group"),
            add,
        )
        .route(
            Method::DELETE,
            &one,
            Access::User,
            About::new("Remove from Jump on Startup group"),
            remove,
        )
        .route(
            Method::POST,
            &format!("{path}/start"),
            Access::User,
            About::new("Start what is in the Jump on Startup group, each item by itself")
                .takes("SessionStartOptions")
                .gives(Gives::One("SessionStarts")),
            start,
        )
}

async fn list(
    State(_): State<Arc<Site>>,
    caller: Caller,
    known: Known,
) -> Result<Answer<Value>, JsonError> {
    let user = user_of(&caller)?;
    let world = known.world();
    let items: Vec<Value> = startup_group::in_sight(world, user)
        .map(|item| {
            let name = world.item_name(item).unwrap_or_default();
            json!({"id": item.to_string(), "name": name})
        })
        .collect();
    Ok(Answer::known(&known.0, json!({"items": items})))
}

async fn add(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Named(item): Named<JumpItemRef>,
    change: Change,
) -> Result<Answer<()>, JsonError> {
    let user = user_of(&caller)?;
    let command = startup_group::Command::Add { user, item };
    let command = Command::StartupGroup(command);
    let done = site.execute(&caller, &change, command, None).await?;
    Ok(Answer::nothing(&done))
}

async fn remove(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Named(item): Named<JumpItemRef>,
    change: Change,
) -> Result<Answer<()>, JsonError> {
    let user = user_of(&caller)?;
    let command = startup_group::Command::Remove { user, item };
    let command = Command::StartupGroup(command);
    let done = site.execute(&caller, &change, command, None).await?;
    Ok(Answer::nothing(&done))
}

/// The console asks for it once its user has signed in. Every item passes the gates of a Jump: one that needs more says so
/// and is skipped (SESS-33).
async fn start(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    parts: Parts,
    change: Change,
) -> Result<Answer<Value>, JsonError> {
    let user = user_of(&caller)?;
    let mut fields = Fields::of(&change.body);
    let asked = Asked::read(&mut fields);
    let asked = fields.finish(Some(asked))?;
    let items = startup_group::in_sight(known.world(), user).collect();
    Ok(start_several(&site, &caller, &change, &parts.headers, items, asked).await)
}
