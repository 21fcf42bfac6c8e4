//! Making, changing, moving, copying and removing items as far as the caller's Jump Item Role goes (ROLE-16 to ROLE-25), and
//! the values of their custom fields (TICK-49).

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use axum::http::request::Parts;
use domain::access::permission;
use domain::fleet::jump_client;
use domain::ids::JumpItemRef;
use domain::items::custom_field;
use domain::items::shell::{self, ShellJump};
use domain::record::Object;
use domain::{Command, Event, Refusal, World, record};
use engine::Done;
use serde_json::{Map, Value, json};

use crate::access::Access;
use crate::answer::Answer;
use crate::caller::{Caller, Known};
use crate::change::Change;
use crate::configuration::listing::base_url;
use crate::configuration::resource::{Resource, made_by};
use crate::configuration::shell_jump::{COPIED_SCHEMA, COPY_SCHEMA, copied, without_id};
use crate::console::BASE;
use crate::console::item_changes::{change_of, removal_of, warning_for};
use crate::console::items::user_of;
use crate::console::named::Named;
use crate::error::{JsonError, Problem};
use crate::route::{About, Gives, Routes};
use crate::site::Site;

pub(super) fn routes(site: &Arc<Site>) -> Routes {
    let one = format!("{BASE}/items/{{item}}");
    let values = format!("{one}/custom-fields");
    Routes::new(site)
        .route(
            Method::POST,
            &format!("{BASE}/items/shell-jumps"),
            Access::User,
            About::new("Makes a Shell Jump item")
                .takes(ShellJump::SCHEMA)
                .gives(Gives::Created(ShellJump::SCHEMA)),
            create,
        )
        .route(
            Method::PATCH,
            &one,
            Access::User,
            About::new("Changes or moves a Jump Item; its members are those of its type")
                .takes("JumpItemChange")
                .gives(Gives::Nothing),
            change_item,
        )
        .route(
            Method::DELETE,
            &one,
            Access::User,
            About::new("Removes a Jump Item"),
            remove,
        )
        .route(
            Method::POST,
            &format!("{one}/copy"),
            Access::User,
            About::new("Copies a Jump Item into a Jump Group")
                .takes(COPY_SCHEMA)
                .gives(Gives::One(COPIED_SCHEMA)),
            copy,
        )
        .route(
            Method::GET,
            &values,
            Access::User,
            About::new("The values of a Jump Item's custom fields by code name")
                .gives(Gives::One("CustomFieldValues")),
            get_values,
        )
        .route(
            Method::PATCH,
            &values,
            Access::User,
            About::new("Sets values of custom fields; null and empty text take one away")
                .takes("CustomFieldValues")
                .gives(Gives::One("CustomFieldValues")),
            set_values,
        )
}

async fn create(
    State(site): State<Arc<Site>>,
    caller: Caller,
    parts: Parts,
    change: Change,
) -> Result<Answer<Object>, JsonError> {
    let command = ShellJump::command(record::Command::Create(change.body.clone()));
    let done = site.execute(&caller, &change, command, None).await?;
    let (id, made) = made_by::<ShellJump>(&done)?;
    let shown = made.show(&site, &site.engine.published().world, id);
    let item = JumpItemRef::ShellJump(id);
    let location = format!("{}{BASE}/items/{item}", base_url(&parts, &site));
    let warning = warning_for(&site, &caller, &done);
    Ok(Answer::created(&done, location, shown).warned(warning))
}

async fn change_item(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Named(item): Named<JumpItemRef>,
    change: Change,
) -> Result<Answer<()>, JsonError> {
    let command = change_of(item, &change.body);
    let done = site.execute(&caller, &change, command, None).await?;
    let warning = warning_for(&site, &caller, &done);
    Ok(Answer::nothing(&done).warned(warning))
}

async fn remove(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Named(item): Named<JumpItemRef>,
    change: Change,
) -> Result<Answer<()>, JsonError> {
    let command = removal_of(item);
    let done = site.execute(&caller, &change, command, None).await?;
    Ok(Answer::nothing(&done))
}

async fn copy(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Named(item): Named<JumpItemRef>,
    change: Change,
) -> Result<Answer<Value>, JsonError> {
    let body = without_id(&change.body);
    let command = match item {
        JumpItemRef::JumpClient(id) => Command::JumpClient(jump_client::Command::Copy(id, body)),
        JumpItemRef::ShellJump(id) => Command::ShellJump(shell::Command::Copy(id, body)),
    };
    let done = site.execute(&caller, &change, command, None).await?;
    Ok(Answer::done(&done, copied(copy_in(&done)?)))
}

/// The number of the copy that a command made.
fn copy_in(done: &Done) -> Result<u32, JsonError> {
    done.events
        .iter()
        .find_map(|event| match event {
            Event::ShellJump(id, record::Event::Created(_)) => Some(id.0),
            Event::JumpClient(id, jump_client::Event::Copied(_)) => Some(id.0),
            _ => None,
        })
        .ok_or_else(|| Problem::internal().into())
}

async fn get_values(
    caller: Caller,
    known: Known,
    Named(item): Named<JumpItemRef>,
) -> Result<Answer<Value>, JsonError> {
    let user = user_of(&caller)?;
    let world = known.world();
    permission::access_to_item(world, user, item).ok_or_else(|| Refusal::item_gone(item))?;
    Ok(Answer::known(&known.0, values_of(world, item)).tagged())
}

async fn set_values(
    State(site): State<Arc<Site>>,
    caller: Caller,
    Named(item): Named<JumpItemRef>,
    change: Change,
) -> Result<Answer<Value>, JsonError> {
    let command = custom_field::Command::SetValues(item, change.body.clone());
    let change = change.of_target(move |world| Some(values_of(world, item)));
    let done = site
        .execute(&caller, &change, Command::CustomField(command), None)
        .await?;
    let body = values_of(&site.engine.published().world, item);
    Ok(Answer::done(&done, body).tagged())
}

/// Every field is named, so that a form knows which there are; one without a value is null.
fn values_of(world: &World, item: JumpItemRef) -> Value {
    let values: Map<String, Value> = world
        .custom_fields
        .iter()
        .map(|(id, field)| {
            (
                field.code_name.clone(),
                json!(world.custom_value(item, *id)),
            )
        })
        .collect();
    Value::Object(values)
}
