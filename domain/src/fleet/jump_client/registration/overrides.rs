//! Values passed at install: only where the installer lets them be overridden (INST-23), and only to what is there (INST-27).

use super::super::Properties;
use super::Overrides;
use crate::fleet::installer::JumpClientInstaller;
use crate::ids::{JumpGroupId, JumpGroupRef, JumpPolicyId};
use crate::record::{self, Record};
use crate::world::names::Kind;
use crate::{FieldErrors, Refusal, World};

/// Least maximum of offline minutes that can be passed. "Ephemeral" is 5 (INST-32).
pub const OFFLINE_MINUTES_MIN: u32 = 1;
/// Greatest maximum of offline minutes that can be passed: ten years.
pub const OFFLINE_MINUTES_MAX: u32 = 5_256_000;

/// Longest part of a passed value that is repeated in a message, in characters.
const REPEATED_CHARS_MAX: usize = 64;

/// The properties of a new client without its name: the installer's, and what was passed in their place.
///
/// # Errors
/// [`Refusal::OverrideNotAllowed`] for the first value that may not be passed; else every value that is not right, or names
/// nothing that is there, or a group that the installer's creator may not deploy into (INST-59).
pub(super) fn properties(
    world: &World,
    installer: &JumpClientInstaller,
    passed: &Overrides,
) -> Result<Properties, Refusal> {
    are_allowed(installer, passed)?;
    let mut errors = FieldErrors::default();
    check_text(
        "name",
        // A blank name is the computer's, as in the installer itself.
        passed.name.as_ref().filter(|name| !name.is_empty()),
        &mut errors,
    );
    check_text("tag", passed.tag.as_ref(), &mut errors);
    check_text("comments", passed.comments.as_ref(), &mut errors);
    let group = or_error(
        passed.jump_group.as_deref(),
        "jump_group",
        |target| group(world, installer, target),
        &mut errors,
    );
    let jump_policy = or_error(
        passed.jump_policy.as_deref(),
        "jump_policy",
        |code_name| {
            let policy = world.names.holder(Kind::PolicyCode, code_name);
            policy
                .map(JumpPolicyId)
                .ok_or_else(|| unknown("Jump Policy", code_name))
        },
        &mut errors,
    );
    let session_policy = or_error(
        passed.session_policy.as_deref(),
        "session_policy",
        |code_name| {
            let policy = world.names.holder(Kind::SessionPolicyCode, code_name);
            policy.ok_or_else(|| unknown("session policy", code_name))
        },
        &mut errors,
    );
    if passed
        .max_offline_minutes
        .is_some_and(|minutes| !(OFFLINE_MINUTES_MIN..=OFFLINE_MINUTES_MAX).contains(&minutes))
    {
        errors.push(
            "max_offline_minutes",
            format!(
                "The max_offline_minutes field must be an integer between {OFFLINE_MINUTES_MIN} and {OFFLINE_MINUTES_MAX}."
            ),
        );
    }
    let group = group.unwrap_or_else(|| installer.group());
    errors.into_result(Properties {
        name: String::new(),
        jump_group_id: group.number(),
        jump_group_type: group.type_name().to_owned(),
        tag: passed.tag.as_ref().unwrap_or(&installer.tag).clone(),
        comments: passed
            .comments
            .as_ref()
            .unwrap_or(&installer.comments)
            .clone(),
        jump_policy_id: jump_policy.or(installer.jump_policy_id),
        session_policy_id: session_policy.or(installer.session_policy_id),
        max_offline_minutes: passed
            .max_offline_minutes
            .unwrap_or(installer.max_offline_minutes),
        ..Properties::default()
    })
}

fn are_allowed(installer: &JumpClientInstaller, passed: &Overrides) -> Result<(), Refusal> {
    let passed = [
        ("name", passed.name.is_some(), installer.allow_override_name),
        (
            "Jump Group",
            passed.jump_group.is_some(),
            installer.allow_override_jump_group,
        ),
        (
            "Jump Policy",
            passed.jump_policy.is_some(),
            installer.allow_override_jump_policy,
        ),
        (
            "session policy",
            passed.session_policy.is_some(),
            installer.allow_override_session_policy,
        ),
        (
            "maximum offline minutes",
            passed.max_offline_minutes.is_some(),
            installer.allow_override_max_offline_minutes,
        ),
        ("tag", passed.tag.is_some(), installer.allow_override_tag),
        (
            "comments",
            passed.comments.is_some(),
            installer.allow_override_comments,
        ),
    ];
    match passed
        .into_iter()
        .find(|(_, is_passed, is_allowed)| *is_passed && !is_allowed)
    {
        Some((field, ..)) => Err(Refusal::OverrideNotAllowed { field }),
        None => Ok(()),
    }
}

fn check_text(name: &'static str, value: Option<&String>, errors: &mut FieldErrors) {
    let field = Properties::FIELDS.iter().find(|field| field.name == name);
    if let (Some(field), Some(value)) = (field, value)
        && let Err(message) = record::read_value(field, &value.as_str().into())
    {
        errors.push(name, message);
    }
}

fn or_error<'v, V, T>(
    value: Option<&'v V>,
    field: &'static str,
    read: impl FnOnce(&'v V) -> Result<T, String>,
    errors: &mut FieldErrors,
) -> Option<T>
where
    V: ?Sized,
{
    match read(value?) {
        Ok(read) => Some(read),
        Err(message) => {
            errors.push(field, message);
            None
        }
    }
}

/// The group that `user:<username>` or `jumpgroup:<code name>` names (INST-27). Where it is none, and where the installer's
/// creator may not deploy into it, the same is said: whoever holds an installer can't find out who and what is on the site.
fn group(
    world: &World,
    installer: &JumpClientInstaller,
    target: &str,
) -> Result<JumpGroupRef, String> {
    let (kind, name) = target.split_once(':').unwrap_or((target, ""));
    let group = match kind {
        "user" => world.user_named(name).map(JumpGroupRef::Personal),
        "jumpgroup" => world
            .names
            .holder(Kind::GroupCode, name)
            .map(|group| JumpGroupRef::Shared(JumpGroupId(group))),
        // Left over from another product in one table of the guide (INST-28).
        "team" => {
            return Err(
                "The jump_group field does not take a team: pass user:<username> or jumpgroup:<code name>."
                    .to_owned(),
            );
        }
        _ => {
            return Err(
                "The jump_group field must be user:<username> or jumpgroup:<code name>.".to_owned(),
            );
        }
    };
    group
        .filter(|group| {
            *group == installer.group() || installer.creator_may_deploy(world, *group)
        })
        .ok_or_else(|| {
            format!(
                "There is no Jump Group \"{}\" that the creator of the installer may deploy Jump Clients into.",
                repeated(target)
            )
        })
}

fn unknown(what: &str, code_name: &str) -> String {
    format!(
        "There is no {what} with the code name \"{}\".",
        repeated(code_name)
    )
}

fn repeated(text: &str) -> String {
    text.chars().take(REPEATED_CHARS_MAX).collect()
}
