//! `import_jump_shortcut`: a script makes a shortcut in a shared Jump Group (ITEM-03 to ITEM-15, ITEM-33 to ITEM-39, ITEM-50 to
//! ITEM-53, GRP-27). Of the published types there is Shell Jump so far.

use domain::items::shell::ShellJump;
use domain::record::{self, Object, Reference};
use domain::{Command, World};
use serde_json::Value;

use crate::caller::{Caller, Known};
use crate::change::Change;
use crate::configuration::resource::Resource;
use crate::error::Problem;
use crate::form::Parameters;
use crate::site::Site;
use crate::xml;

/// The parameter that says the type, with the type (ITEM-04).
const TYPES: [(&str, &str); 7] = [
    (SHELL_JUMP, "Shell Jump"),
    ("local_jump_hostname", "Local Jump"),
    ("remote_jump_hostname", "Remote Jump"),
    ("remote_vnc_hostname", "VNC"),
    ("remote_rdp_hostname", "RDP"),
    ("protocol_tunnel_hostname", "Protocol Tunnel Jump"),
    ("url", "Web Jump"),
];
const SHELL_JUMP: &str = "shelljump_hostname";

/// Runs the command; the answer is its document. Parameters that no type has are ignored (ITEM-52).
pub(super) async fn run(
    site: &Site,
    caller: &Caller,
    known: &Known,
    parameters: &Parameters,
    namespace: &str,
) -> Result<Vec<u8>, Problem> {
    let body = shell_jump(parameters, known.world())?;
    let command: Command = ShellJump::command(record::Command::Create(body));
    site.execute(caller, &Change::default(), command, None)
        .await
        .map_err(|error| *error.0)?;
    Ok(xml::single(
        "success",
        &[("xmlns", namespace)],
        "Successfully imported Jump Item shortcut",
    ))
}

/// The fields of the Shell Jump item that is asked for; its limits are the record's.
fn shell_jump(parameters: &Parameters, world: &World) -> Result<Object, Problem> {
    let mut given = TYPES.iter().filter(|(name, _)| parameters.has(name));
    match (given.next(), given.next()) {
        (Some((SHELL_JUMP, _)), None) => {}
        (Some((_, title)), None) => {
            return Err(Problem::malformed(format!(
                "Importing a {title} shortcut is not available yet."
            )));
        }
        _ => {
            let names = TYPES.map(|(name, _)| name);
            return Err(Problem::malformed(format!(
                "Exactly one of these parameters says the type of the shortcut: {}.",
                names.join(", ")
            )));
        }
    }
    let mut body = Object::new();
    for (parameter, field) in [
        ("name", "name"),
        (SHELL_JUMP, "hostname"),
        ("protocol", "protocol"),
    ] {
        body.insert(field.to_owned(), required(parameters, parameter)?.into());
    }
    for (parameter, field) in [
        ("shelljump_username", "username"),
        ("terminal", "terminal"),
        ("tag", "tag"),
        ("comments", "comments"),
    ] {
        if let Some(value) = parameters.get(parameter) {
            body.insert(field.to_owned(), value.into());
        }
    }
    for field in ["port", "keep_alive"] {
        if let Some(value) = parameters.get(field) {
            // What is no number is refused by the record, which names the field and its limits.
            let number = value.parse::<i64>();
            body.insert(field.to_owned(), number.map_or(value.into(), Value::from));
        }
    }
    for (parameter, field, reference) in [
        ("group", "jump_group_id", Reference::JumpGroup),
        ("jumpoint", "jumpoint_id", Reference::Jumpoint),
    ] {
        let id = named(
            world,
            parameter,
            reference,
            required(parameters, parameter)?,
        )?;
        body.insert(field.to_owned(), id);
    }
    for (parameter, field, reference) in [
        ("jump_policy", "jump_policy_id", Reference::JumpPolicy),
        (
            "session_policy",
            "session_policy_id",
            Reference::SessionPolicy,
        ),
    ] {
        if let Some(code_name) = parameters.get(parameter) {
            body.insert(
                field.to_owned(),
                named(world, parameter, reference, code_name)?,
            );
        }
    }
    Ok(body)
}

fn required<'p>(parameters: &'p Parameters, name: &str) -> Result<&'p str, Problem> {
    let value = parameters.get(name).filter(|value| !value.is_empty());
    value.ok_or_else(|| Problem::malformed(format!("The parameter {name} is required.")))
}

/// The id of what has this code name, without regard to case.
fn named(
    world: &World,
    parameter: &str,
    reference: Reference,
    code_name: &str,
) -> Result<Value, Problem> {
    let id = world.with_code_name(reference, code_name);
    id.map(Value::from).ok_or_else(|| {
        let shown: String = code_name.chars().take(64).collect();
        Problem::malformed(format!("The {parameter} {shown} is not known."))
    })
}
