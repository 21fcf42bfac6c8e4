//! What is done to items from the Jump interface: removing them, changing their properties, several at once, and "Export..."
//! (SESS-10, SESS-11, SESS-37). Each item is asked for by itself, and says by itself what became of it.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderValue, Method};
use axum::response::{IntoResponse, Response};
use domain::access::permission;
use domain::fleet::jump_client;
use domain::ids::JumpItemRef;
use domain::items::shell;
use domain::record::{self, Object};
use domain::{Command, Refusal, World};
use engine::Done;
use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::access::Access;
use crate::answer::Answer;
use crate::caller::{Caller, Known};
use crate::change::Change;
use crate::console::BASE;
use crate::console::fields::Fields;
use crate::console::items::{item_named, user_of};
use crate::console::named::Named;
use crate::error::{JsonError, Problem};
use crate::route::{About, Gives, Routes};
use crate::site::Site;
use crate::unbound;

/// Items of one request.
const ITEMS_MAX: usize = 100;

pub(super) fn routes(site: &Arc<Site>) -> Routes {
    let results = |summary| About::new(summary).gives(Gives::One("ItemResults"));
    Routes::new(site)
        .route(
            Method::PATCH,
            &format!("{BASE}/items"),
            Access::User,
            results("Change properties of items; what is not named stays as it is in each")
                .takes("ItemChanges"),
            change_all,
        )
        .route(
            Method::POST,
            &format!("{BASE}/items/remove"),
            Access::User,
            results("Remove items").takes("Items"),
            remove_all,
        )
        .route(
            Method::GET,
            &format!("{BASE}/items/{{item}}/export"),
            Access::User,
            About::new(
                "The definition of an item, without secrets, as JSON or with format=csv as CSV",
            )
            .gives(Gives::Text("application/json")),
            export,
        )
}

fn named_items(fields: &mut Fields<'_>) -> Option<Vec<JumpItemRef>> {
    let Some(Value::Array(names)) = fields.take("items") else {
        fields.wrong("items", "The items field is required and must be a list.");
        return None;
    };
    let mut items: Vec<JumpItemRef> = Vec::new();
    for name in names {
        match name.as_str().and_then(item_named) {
            Some(item) if !items.contains(&item) => items.push(item),
            Some(_) => {}
            None => {
                fields.wrong(
                    "items",
                    "An item must have the form jump_client-<id> or shell_jump-<id>.",
                );
                return None;
            }
        }
    }
    if items.is_empty() || items.len() > ITEMS_MAX {
        fields.wrong("items", format!("One to {ITEMS_MAX} items may be named."));
    }
    Some(items)
}

async fn change_all(
    State(site): State<Arc<Site>>,
    caller: Caller,
    change: Change,
) -> Result<Answer<Value>, JsonError> {
    let mut fields = Fields::of(&change.body);
    let items = named_items(&mut fields);
    let changes = match fields.take("changes") {
        Some(Value::Object(changes)) if !changes.is_empty() => Some(changes.clone()),
        _ => {
            fields.wrong(
                "changes",
                "The changes field is required and must be an object.",
            );
            None
        }
    };
    let several = items.as_ref().is_some_and(|items| items.len() > 1);
    if several
        && changes
            .as_ref()
            .is_some_and(|changes| changes.contains_key("name"))
    {
        fields.wrong("changes.name", "Several items can't be given one name.");
    }
    let mut kinds = items.iter().flatten().map(|item| item.type_name());
    let first = kinds.next();
    if kinds.any(|kind| Some(kind) != first) {
        fields.wrong(
            "items",
            "Items whose properties are changed together must be of one type.",
        );
    }
    let (items, changes) = fields.finish(items.zip(changes))?;
    let ask = |item| change_of(item, &changes);
    Ok(each(&site, &caller, &change, items, ask).await)
}

pub(super) fn change_of(item: JumpItemRef, changes: &Object) -> Command {
    match item {
        JumpItemRef::JumpClient(client) => {
            Command::JumpClient(jump_client::Command::Edit(client, changes.clone()))
        }
        JumpItemRef::ShellJump(shell) => Command::ShellJump(shell::Command::Record(
            record::Command::Change(shell, changes.clone()),
        )),
    }
}

async fn remove_all(
    State(site): State<Arc<Site>>,
    caller: Caller,
    change: Change,
) -> Result<Answer<Value>, JsonError> {
    let mut fields = Fields::of(&change.body);
    let items = named_items(&mut fields);
    let items = fields.finish(items)?;
    Ok(each(&site, &caller, &change, items, removal_of).await)
}

pub(super) fn removal_of(item: JumpItemRef) -> Command {
    match item {
        JumpItemRef::JumpClient(client) => {
            Command::JumpClient(jump_client::Command::Delete(client))
        }
        JumpItemRef::ShellJump(shell) => {
            Command::ShellJump(shell::Command::Record(record::Command::Delete(shell)))
        }
    }
}

/// What an administrator should know of a change (POL-07). Others are not told who is a member of what.
pub(super) fn warning_for(site: &Site, caller: &Caller, done: &Done) -> Option<String> {
    let user = user_of(caller).ok()?;
    let published = site.engine.published();
    let world = &published.world;
    world
        .is_administrator(user)
        .then(|| unbound::warning(world, &done.events))
        .flatten()
}

async fn each(
    site: &Site,
    caller: &Caller,
    change: &Change,
    items: Vec<JumpItemRef>,
    ask: impl Fn(JumpItemRef) -> Command,
) -> Answer<Value> {
    let asked = items.into_iter().map(|item| {
        let command = ask(item);
        async move {
            let name = item.to_string();
            match site
                .execute(caller, &change.part(&name), command, None)
                .await
            {
                Ok(done) => {
                    let mut result = json!({"item": name, "status": 200});
                    if let Some(warning) = warning_for(site, caller, &done) {
                        result["warning"] = warning.into();
                    }
                    result
                }
                Err(error) => {
                    let status = error.0.status.as_u16();
                    json!({"item": name, "status": status, "error": error.0.body()})
                }
            }
        }
    });
    let results = join_all(asked).await;
    Answer::known(&site.engine.published(), json!({"results": results}))
}

#[derive(Debug, Deserialize)]
struct Export {
    format: Option<String>,
}

async fn export(
    State(_): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    Named(item): Named<JumpItemRef>,
    Query(asked): Query<Export>,
) -> Result<Response, JsonError> {
    let user = user_of(&caller)?;
    let world = known.world();
    let definition = permission::access_to_item(world, user, item)
        .and_then(|_| definition(world, item))
        .ok_or(Refusal::JumpClientGone)?;
    let (media, text, ending) = match asked.format.as_deref() {
        Some("csv") => ("text/csv; charset=utf-8", csv(&definition)?, "csv"),
        None | Some("json") => (
            "application/json",
            Value::Object(definition).to_string(),
            "json",
        ),
        Some(_) => {
            return Err(Refusal::field("format", "The format must be json or csv.").into());
        }
    };
    let mut response = text.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    if let Ok(name) = HeaderValue::try_from(format!("attachment; filename=\"{item}.{ending}\"")) {
        headers.insert(CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

/// The item as its record shows it: secrets are no part of that.
fn definition(world: &World, item: JumpItemRef) -> Option<Object> {
    let mut definition = match item {
        JumpItemRef::JumpClient(id) => record::render(id, &world.jump_clients.get(&id)?.properties),
        JumpItemRef::ShellJump(id) => record::render(id, &world.shell_jumps.get(&id)?.properties),
    };
    definition.insert("type".to_owned(), item.type_name().into());
    Some(definition)
}

/// A header and a row. What a table would take for a formula is kept from being one.
fn csv(definition: &Object) -> Result<String, JsonError> {
    let header: Vec<String> = definition.keys().map(|name| no_formula(name)).collect();
    let row: Vec<String> = definition
        .values()
        .map(|value| match value {
            Value::Null => String::new(),
            Value::String(text) => no_formula(text),
            other => other.to_string(),
        })
        .collect();
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    let written = writer
        .write_record(&header)
        .and_then(|()| writer.write_record(&row))
        .map_err(|_| Problem::internal());
    written?;
    let bytes = writer.into_inner().map_err(|_| Problem::internal())?;
    Ok(String::from_utf8(bytes).map_err(|_| Problem::internal())?)
}

fn no_formula(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SESS-11
    #[test]
    fn cells_are_quoted_and_no_formula() {
        let definition = json!({"a": "x \"y\"", "b": null, "c": 3, "d": "=1+1"});
        let Value::Object(definition) = definition else {
            panic!("an object");
        };
        assert_eq!(
            csv(&definition).ok().as_deref(),
            Some("a,b,c,d\r\n\"x \"\"y\"\"\",,3,'=1+1\r\n")
        );
    }
}
