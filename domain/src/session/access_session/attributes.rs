//! Custom attributes and the external key of a session (SESS-36, LIM-11).

use std::collections::BTreeMap;

use super::{AttributesChanged, Event};
use crate::access::permission;
use crate::ids::Lsid;
use crate::session::access_session::ending::has_full_command_access;
use crate::site::custom_session_attribute;
use crate::{Actor, Context, Decision, FieldErrors, Refusal, World, happened, nothing};

/// Longest value of one attribute and of the external key, in characters (LIM-11).
pub const ATTRIBUTE_CHARS_MAX: usize = 1_024;
/// All values of a session together, the external key among them, in bytes (LIM-11).
pub const ATTRIBUTES_BYTES_MAX: usize = 10 * 1_024;
/// Attributes of one session.
pub const ATTRIBUTES_MAX: usize = 100;

/// Attach attributes to a session, or take them away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAttributes {
    /// Which session.
    pub lsid: Lsid,
    /// By code name; none takes one away. Those that are not named stay.
    pub attributes: BTreeMap<String, Option<String>>,
    /// The external key; none leaves it as it is, empty takes it away.
    pub external_key: Option<String>,
}

/// The attributes by their code names as they are configured; a name that is not stays as it is.
pub(super) fn by_code_name<V: Clone>(
    world: &World,
    attributes: &BTreeMap<String, V>,
) -> BTreeMap<String, V> {
    let code_name = |name: &String| {
        world
            .session_attribute_named(name)
            .and_then(|id| world.custom_session_attributes.get(&id))
            .map_or_else(|| name.clone(), |attribute| attribute.code_name.clone())
    };
    attributes
        .iter()
        .map(|(name, value)| (code_name(name), value.clone()))
        .collect()
}

/// Whether these may be attached: each is configured, and none is too long (TICK-46, CMD-24).
///
/// # Errors
/// [`Refusal::Invalid`] with each attribute that is not right.
pub(super) fn may_be_attached(
    world: &World,
    attributes: &BTreeMap<String, String>,
) -> Result<(), Refusal> {
    match custom_session_attribute::check(world, attributes) {
        Err(Refusal::Invalid(found)) => {
            let mut errors = FieldErrors::default();
            for (field, message) in found.0 {
                // What is wrong with all of them together is said of their list.
                let field = if attributes.contains_key(&field) || field != "attributes" {
                    format!("attributes.{field}")
                } else {
                    field
                };
                errors.push(field, message);
            }
            Err(Refusal::Invalid(errors))
        }
        other => other,
    }
}

/// Whether a session may have all these.
///
/// # Errors
/// [`Refusal::Invalid`] with what is too long or too much.
pub(super) fn check(
    attributes: &BTreeMap<String, String>,
    external_key: &str,
) -> Result<(), Refusal> {
    let mut errors = FieldErrors::default();
    if external_key.chars().count() > ATTRIBUTE_CHARS_MAX {
        errors.push(
            "external_key",
            format!(
                "The external_key field may not be greater than {ATTRIBUTE_CHARS_MAX} characters."
            ),
        );
    }
    if attributes.len() > ATTRIBUTES_MAX {
        errors.push(
            "attributes",
            format!("A session may not have more than {ATTRIBUTES_MAX} attributes."),
        );
    }
    let bytes = attributes.values().map(String::len).sum::<usize>() + external_key.len();
    if bytes > ATTRIBUTES_BYTES_MAX {
        errors.push(
            "attributes",
            "The attributes and the external key together may not be greater than 10 KB.",
        );
    }
    errors.into_result(())
}

pub(super) fn decide_set_attributes(
    world: &World,
    set: &SetAttributes,
    context: &Context,
) -> Decision {
    let session = world
        .sessions
        .get(&set.lsid)
        .ok_or(Refusal::SessionNotActive)?;
    match context.actor() {
        Actor::User(user) => {
            session
                .member(*user)
                .ok_or(Refusal::SessionNotActive)
                .and_then(|_| may_edit_external_key(world, set.external_key.as_ref(), context))?;
        }
        Actor::ApiAccount(account) if has_full_command_access(world, *account) => {}
        Actor::ApiAccount(_) => {
            return Err(Refusal::ApiPermissionNeeded {
                permission: "Command API: Full Access",
            });
        }
        _ => return Err(Refusal::NotYourSession),
    }
    let changed: BTreeMap<String, Option<String>> = by_code_name(world, &set.attributes)
        .into_iter()
        .filter(|(name, value)| session.attributes.get(name) != value.as_ref())
        .collect();
    let external_key = set
        .external_key
        .clone()
        .filter(|key| *key != session.external_key);
    if changed.is_empty() && external_key.is_none() {
        return nothing();
    }
    let kept = session
        .attributes
        .iter()
        .filter(|(name, _)| !changed.contains_key(*name))
        .map(|(name, value)| (name.clone(), value.clone()));
    let added: BTreeMap<String, String> = changed
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), value.clone()?)))
        .collect();
    may_be_attached(world, &added)?;
    let after = kept.chain(added).collect();
    check(
        &after,
        external_key.as_deref().unwrap_or(&session.external_key),
    )?;
    happened(crate::Event::AccessSession(
        set.lsid,
        Event::AttributesChanged(AttributesChanged {
            attributes: changed,
            external_key,
        }),
    ))
}

/// A user sets the external key only where their permissions say so; what a ticket system or an API account sets is not asked.
///
/// # Errors
/// [`Refusal::ExternalKeyNotAllowed`].
pub(super) fn may_edit_external_key(
    world: &World,
    external_key: Option<&String>,
    context: &Context,
) -> Result<(), Refusal> {
    match context.actor() {
        Actor::User(user) if external_key.is_some() => {
            let may = permission::effective(world, *user)
                .is_some_and(|settings| settings.may_edit_external_key());
            may.then_some(()).ok_or(Refusal::ExternalKeyNotAllowed)
        }
        _ => Ok(()),
    }
}
