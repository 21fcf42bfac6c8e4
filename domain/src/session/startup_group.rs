//! The "Jump On Startup" group of a user: items that are jumped to when the user signs in to the console (SESS-28 to SESS-33).
//!
//! It belongs to its user and has no states of its own; items that are deleted leave it by themselves.

use serde::{Deserialize, Serialize};

use crate::access::permission;
use crate::access::role::JumpItemPermission;
use crate::ids::{JumpItemRef, UserId};
use crate::{Context, Decision, Refusal, World, happened, nothing};

#[cfg(test)]
mod tests;

/// Items of one group (SESS-29, LIM-12).
pub const ITEMS_MAX: usize = 10;

/// What may be asked of a startup group. The caller is its user.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// "Add to Jump on Startup group".
    Add {
        /// Whose group.
        user: UserId,
        /// What.
        item: JumpItemRef,
    },
    /// "Remove from Jump on Startup group".
    Remove {
        /// Whose group.
        user: UserId,
        /// What.
        item: JumpItemRef,
    },
}

/// An item came or went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Which.
    pub item: JumpItemRef,
}

/// What happens to a startup group. Expected rate: a few a user and year.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Event {
    /// An item came.
    Added(Item),
    /// An item went.
    Removed(Item),
}

impl Event {
    /// The names it may be stored under.
    pub const STORED_NAMES: &'static [&'static str] = &["StartupItemAdded", "StartupItemRemoved"];

    /// The name it is stored under.
    #[must_use]
    pub const fn stored_name(&self) -> &'static str {
        match self {
            Self::Added(_) => "StartupItemAdded",
            Self::Removed(_) => "StartupItemRemoved",
        }
    }

    /// Reads an event back; `None` if the name is not one of a startup group's.
    ///
    /// # Errors
    /// When the stored text is not of the event's form.
    pub fn from_stored(name: &str, text: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        match name {
            "StartupItemAdded" => {
                serde_json::from_slice(text).map(|event| Some(Self::Added(event)))
            }
            "StartupItemRemoved" => {
                serde_json::from_slice(text).map(|event| Some(Self::Removed(event)))
            }
            _ => Ok(None),
        }
    }
}

/// Decides what becomes of `command`.
///
/// # Errors
/// Why not.
pub fn decide(world: &World, command: &Command, context: &Context) -> Decision {
    match command {
        Command::Add { user, item } => decide_add(world, *user, *item, context),
        Command::Remove { user, item } => decide_remove(world, *user, *item, context),
    }
}

/// Folds one event into the world.
pub fn apply(world: &mut World, user: UserId, event: &Event) {
    match event {
        Event::Added(added) => world.startup_item_added(user, added.item),
        Event::Removed(removed) => world.startup_item_removed(user, removed.item),
    }
}

/// The items of the user's group that the user still sees (SESS-05, ROLE-31); what they see again is in it again.
pub fn in_sight(world: &World, user: UserId) -> impl Iterator<Item = JumpItemRef> {
    world
        .startup_items(user)
        .filter(move |item| permission::access_to_item(world, user, *item).is_some())
}

fn own(user: UserId, context: &Context) -> Result<(), Refusal> {
    if context.actor().is(user) {
        Ok(())
    } else {
        Err(Refusal::not_found("Jump on Startup group"))
    }
}

fn decide_add(world: &World, user: UserId, item: JumpItemRef, context: &Context) -> Decision {
    own(user, context)?;
    permission::need(world, user, item, JumpItemPermission::Start)?;
    if !world.is_active_item(item) {
        return Err(Refusal::StartupNeedsActive);
    }
    if world.startup_items(user).any(|there| there == item) {
        return nothing();
    }
    if in_sight(world, user).count() >= ITEMS_MAX {
        return Err(Refusal::StartupGroupFull);
    }
    // What the user no longer sees makes room: nobody could tell them what fills their group.
    let kept = world.startup_items(user).count();
    let out_of_sight = world
        .startup_items(user)
        .filter(|there| permission::access_to_item(world, user, *there).is_none())
        .take((kept + 1).saturating_sub(ITEMS_MAX))
        .map(|item| Event::Removed(Item { item }));
    let events = out_of_sight.chain([Event::Added(Item { item })]);
    Ok(events
        .map(|event| crate::Event::StartupGroup(user, event))
        .collect())
}

fn decide_remove(world: &World, user: UserId, item: JumpItemRef, context: &Context) -> Decision {
    own(user, context)?;
    if !world.startup_items(user).any(|there| there == item) {
        return nothing();
    }
    happened(crate::Event::StartupGroup(
        user,
        Event::Removed(Item { item }),
    ))
}
