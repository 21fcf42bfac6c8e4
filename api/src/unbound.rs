//! What an administrator who sets a Jump Policy on an item is told: whom it will not bind (POL-07).

use domain::fleet::jump_client;
use domain::ids::JumpItemRef;
use domain::policy::gates;
use domain::{Event, World, record};

/// How many users are named; of the others, how many there are.
const NAMED_MAX: usize = 20;

/// The words about the items that `events` set a policy on, in printable ASCII; none where it binds everybody.
pub(crate) fn warning(world: &World, events: &[Event]) -> Option<String> {
    let mut users: Vec<String> = events
        .iter()
        .filter_map(given_a_policy)
        .filter(|item| world.item_jump_policy(*item).is_some())
        .flat_map(|item| gates::not_bound_by_item_policy(world, item))
        .map(|unbound| unbound.username.escape_default().to_string())
        .collect();
    if users.is_empty() {
        return None;
    }
    let more = users.len().saturating_sub(NAMED_MAX);
    users.truncate(NAMED_MAX);
    if more > 0 {
        users.push(format!("{more} more"));
    }
    Some(format!(
        "The Jump Policy of the Jump Item does not bind users whose membership of the Jump Group names another: {}.",
        users.join(", ")
    ))
}

/// The item whose policy `event` sets.
fn given_a_policy(event: &Event) -> Option<JumpItemRef> {
    match event {
        Event::JumpClient(id, jump_client::Event::Record(record::Event::Changed(changes)))
            if changes.contains_key("jump_policy_id") =>
        {
            Some(JumpItemRef::JumpClient(*id))
        }
        Event::JumpClient(id, jump_client::Event::Copied(_)) => Some(JumpItemRef::JumpClient(*id)),
        Event::ShellJump(id, record::Event::Created(_)) => Some(JumpItemRef::ShellJump(*id)),
        Event::ShellJump(id, record::Event::Changed(changes))
            if changes.contains_key("jump_policy_id") =>
        {
            Some(JumpItemRef::ShellJump(*id))
        }
        _ => None,
    }
}
