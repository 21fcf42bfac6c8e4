//! Commands at random about shortcuts and what they need: Jumpoints, session policies, custom fields.

use proptest::prelude::*;
use serde_json::json;

use crate::Command;
use crate::fleet::jump_client;
use crate::ids::{
    CustomFieldId, CustomSessionAttributeId, JumpClientId, JumpItemRef, JumpointId,
    SessionPolicyId, ShellJumpId, UserId,
};
use crate::items::custom_field::{self, CustomField};
use crate::items::jumpoint::{self, Jumpoint};
use crate::items::shell::{self, ShellJump};
use crate::policy::session_policy::SessionPolicy;
use crate::site::custom_session_attribute::CustomSessionAttribute;
use crate::testing::{change, create, delete, object};

/// Somebody asks for something.
pub(super) fn any_item_command() -> impl Strategy<Value = Command> {
    let number = || 1..4_u32;
    (0..18_u32, number(), number(), number(), any::<bool>())
        .prop_map(|(choice, a, b, c, flag)| command(choice, a, b, c, flag))
}

fn command(choice: u32, a: u32, b: u32, c: u32, flag: bool) -> Command {
    let item = ShellJumpId(a);
    match choice {
        0..=2 => create::<ShellJump>(json!({
            "name": format!("router {a}"), "jumpoint_id": a, "hostname": "r", "protocol": "ssh",
            "jump_group_id": b, "jump_policy_id": flag.then_some(c),
        })),
        3 => change::<ShellJump>(item, json!({"tag": format!("{b}"), "jump_group_id": c})),
        4 => shell::Command::Copy(
            item,
            object(json!({"jump_group_id": b, "jump_group_type": "shared", "name": "copy"})),
        )
        .into(),
        5 if flag => jump_client::Command::Copy(
            JumpClientId(a),
            object(json!({"jump_group_id": b, "jump_group_type": "shared"})),
        )
        .into(),
        5 => delete::<ShellJump>(item),
        6..=9 => of_jumpoints(choice, a, b, c, flag),
        10..=13 => of_custom_fields(choice, a, b, flag),
        _ => of_names(choice, a, b, flag),
    }
}

fn of_jumpoints(choice: u32, a: u32, b: u32, c: u32, flag: bool) -> Command {
    let through = JumpointId(a);
    match choice {
        6 if flag => create::<Jumpoint>(json!({"name": format!("J{b}"), "platform": "linux-x86"})),
        6 if b == c => delete::<Jumpoint>(through),
        6 | 7 => change::<Jumpoint>(through, json!({"enabled": flag})),
        8 => jumpoint::Command::AddUser(through, UserId(b)).into(),
        _ if flag => jumpoint::Command::RemoveUser(through, UserId(b)).into(),
        _ => jumpoint::Command::AddUser(through, UserId(b)).into(),
    }
}

fn of_custom_fields(choice: u32, a: u32, b: u32, flag: bool) -> Command {
    let field = CustomFieldId(a);
    match choice {
        10 => create::<CustomField>(json!({"display_name": format!("F{b}")})),
        11 if flag => delete::<CustomField>(field),
        11 => change::<CustomField>(field, json!({"display_name": format!("F{b}")})),
        _ => {
            let item = JumpItemRef::JumpClient(JumpClientId(1));
            let values = object(json!({format!("f{b}"): format!("{a}")}));
            custom_field::Command::SetValues(item, values).into()
        }
    }
}

fn of_names(choice: u32, a: u32, b: u32, flag: bool) -> Command {
    let (policy, attribute) = (SessionPolicyId(a + 1), CustomSessionAttributeId(a));
    let text = json!({"description": format!("{b}")});
    match choice {
        14 if flag => create::<SessionPolicy>(json!({"display_name": format!("S{b}")})),
        14 => create::<CustomSessionAttribute>(json!({"display_name": format!("A{b}")})),
        15 if flag => delete::<SessionPolicy>(policy),
        15 if b.is_multiple_of(2) => delete::<CustomSessionAttribute>(attribute),
        _ if flag => change::<SessionPolicy>(policy, text),
        _ => change::<CustomSessionAttribute>(attribute, text),
    }
}
