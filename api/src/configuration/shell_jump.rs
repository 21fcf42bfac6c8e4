//! `jump-item/shell-jump`: Shell Jump items, and copies of them.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use domain::ids::{JumpItemRef, ShellJumpId};
use domain::items::rights;
use domain::items::shell::{self, ShellJump};
use domain::record::{Field, Object};
use domain::{Command, Event, World, record};
use serde_json::{Value, json};

use super::jump_client::items_indexed;
use super::listing::{Filters, filter_text};
use super::resource::{self, ACCESS, PathId, Resource, made_by, path_of};
use crate::answer::Answer;
use crate::caller::Caller;
use crate::change::Change;
use crate::error::JsonError;
use crate::route::{About, Gives, Routes};
use crate::site::Site;
use crate::unbound;

/// The schema of the body of every copy, which the published description calls `JumpItem`.
pub const COPY_SCHEMA: &str = "CopyJumpItem";
/// The schema of the answer.
pub const COPIED_SCHEMA: &str = "CopyJumpItemResponse";
/// The lines of the body.
pub const COPY_FIELDS: &[Field] = rights::COPY_FIELDS;

impl Resource for ShellJump {
    const PATH: &'static str = "jump-item/shell-jump";
    const SCHEMA: &'static str = "ShellJumpItem";

    fn rows(world: &World) -> impl Iterator<Item = (ShellJumpId, &Self)> {
        world
            .shell_jumps
            .iter()
            .map(|(id, item)| (*id, &item.properties))
    }

    fn command(command: record::Command<Self>) -> Command {
        Command::ShellJump(shell::Command::Record(command))
    }

    fn warnings(
        &self,
        world: &World,
        _id: ShellJumpId,
        events: &[Event],
    ) -> Vec<Cow<'static, str>> {
        unbound::warning(world, events)
            .map(Cow::Owned)
            .into_iter()
            .collect()
    }

    fn made(event: &Event) -> Option<(ShellJumpId, &Self)> {
        match event {
            Event::ShellJump(id, record::Event::Created(item)) => Some((*id, item)),
            _ => None,
        }
    }

    fn text_of<'r>(&'r self, _world: &'r World, _id: ShellJumpId, member: &str) -> Cow<'r, str> {
        let text = match member {
            "name" => &self.name,
            "hostname" => &self.hostname,
            "tag" => &self.tag,
            "jump_group_type" => &self.jump_group_type,
            "jump_group_id" => return self.jump_group_id.to_string().into(),
            "jumpoint_id" => return self.jumpoint_id.to_string().into(),
            _ => return filter_text(record::to_object(self).get(member)).into(),
        };
        text.as_str().into()
    }

    fn indexed(world: &World, filters: &Filters) -> Option<Vec<ShellJumpId>> {
        items_indexed(world, filters, |item| match item {
            JumpItemRef::ShellJump(id) => Some(id),
            JumpItemRef::JumpClient(_) => None,
        })
    }
}

pub(crate) fn routes(site: &Arc<Site>) -> Routes {
    let routes = resource::read_routes::<ShellJump>(site);
    let routes = resource::create_route::<ShellJump>(routes);
    let routes = resource::change_route::<ShellJump>(routes);
    let routes = resource::delete_route::<ShellJump>(routes);
    routes.route(
        Method::POST,
        &format!("{}/{{id}}/copy", path_of::<ShellJump>()),
        ACCESS,
        About::new("Copies one into a Jump Group.")
            .takes(COPY_SCHEMA)
            .gives(Gives::One(COPIED_SCHEMA)),
        copy,
    )
}

async fn copy(
    State(site): State<Arc<Site>>,
    caller: Caller,
    PathId(shell): PathId<ShellJumpId>,
    change: Change,
) -> Result<Answer<Value>, JsonError> {
    let body = without_id(&change.body);
    let command = Command::ShellJump(shell::Command::Copy(shell, body));
    let done = site.execute(&caller, &change, command, None).await?;
    let (copy, _) = made_by::<ShellJump>(&done)?;
    Ok(Answer::done(&done, copied(copy.0)))
}

/// Clients send the whole object back, id and all.
pub(crate) fn without_id(body: &Object) -> Object {
    let mut body = body.clone();
    body.remove("id");
    body
}

/// `success` is the text "1" (config-api.md, `CopyJumpItemResponse`).
pub(crate) fn copied(id: u32) -> Value {
    json!({"action": "copy", "success": "1", "destId": id})
}
