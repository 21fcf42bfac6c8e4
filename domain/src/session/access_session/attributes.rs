//! Custom attributes and the external key of a session (SESS-36, LIM-11).

use std::collections::BTreeMap;

use super::{AttributesChanged, Event};
use crate::access::permission;
use crate::ids::Lsid;
use crate::session::access_session::ending::has_full_command_access;
use crate::{Actor, Context, Decision, FieldErrors, Refusal, World, happened, nothing};

/// Longest value of one attribute and of the external key, in characters (LIM-11).
pub const ATTRIBUTE_CHARS_MAX: usize = 1_024;
/// All values of a session together, the external key among them, in bytes (LIM-11).
pub const ATTRIBUTES_BYTES_MAX: usize = 10 * 1_024;
/// Attributes of one session.
pub const ATTRIBUTES_MAX: usize = 100;
/// Longest code name of an attribute, in characters.
pub const CODE_NAME_CHARS_MAX: usize = 64;

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

/// Whether a session may have these.
///
/// # Errors
/// [`Refusal::Invalid`] with each attribute that is not right.
pub(super) fn check(
    attributes: &BTreeMap<String, String>,
    external_key: &str,
) -> Result<(), Refusal> {
    let mut errors = FieldErrors::default();
    for (name, value) in attributes {
        if !is_code_name(name) {
            let shown: String = name.chars().take(CODE_NAME_CHARS_MAX).collect();
            errors.push(
                format!("attributes.{shown}"),
                "The code name of an attribute has 1 to 64 lower-case letters, digits and underscores.",
            );
        } else if value.chars().count() > ATTRIBUTE_CHARS_MAX {
            errors.push(
                format!("attributes.{name}"),
                format!("The attribute may not be greater than {ATTRIBUTE_CHARS_MAX} characters."),
            );
        }
    }
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

fn is_code_name(name: &str) -> bool {
    (1..=CODE_NAME_CHARS_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
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
    let changed: BTreeMap<String, Option<String>> = set
        .attributes
        .iter()
        .filter(|(name, value)| session.attributes.get(*name) != value.as_ref())
        .map(|(name, value)| (name.clone(), value.clone()))
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
    let added = changed
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
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
