//! Custom fields: definitions, values of items, and who may set them.

use serde_json::{Value, json};

use crate::access::role::JumpItemPermission;
use crate::ids::{CustomFieldId, JumpItemRef, JumpItemRoleId, ShellJumpId};
use crate::items::custom_field::{Command, CustomField};
use crate::items::shell::{self, ShellJump};
use crate::testing::{
    ADMIN, ANNA, API, BERT, Given, PC1, SHARED, WEB_SERVERS, change, client, create, delete, given,
    group, jumpoint, member, object, person, role, shell_jump,
};
use crate::{Refusal, World};

const ITEM: JumpItemRef = JumpItemRef::JumpClient(PC1);
const ROUTER: ShellJumpId = ShellJumpId(1);
const COMMENTER: JumpItemRoleId = JumpItemRoleId(10);
const READER: JumpItemRoleId = JumpItemRoleId(11);
const RACK: CustomFieldId = CustomFieldId(1);

fn site() -> Given {
    given([
        person(ANNA),
        person(BERT),
        group(WEB_SERVERS, "Web Servers"),
        role(COMMENTER, |role| role.perm_edit_comments = true),
        role(READER, |role| role.perm_edit_behavior = true),
        member(WEB_SERVERS, ANNA, COMMENTER),
        jumpoint(crate::ids::JumpointId(1), |_| {}),
        shell_jump(ROUTER, SHARED, |_| {}),
    ])
    .and(client(PC1, SHARED))
    .when(
        ADMIN,
        create::<CustomField>(json!({"display_name": "Rack"})),
    )
    .then_something()
    .when(
        ADMIN,
        create::<CustomField>(json!({"display_name": "Owner", "code_name": "owner"})),
    )
    .then_something()
}

fn set(item: JumpItemRef, values: Value) -> Command {
    Command::SetValues(item, object(values))
}

fn values(world: &World, item: JumpItemRef) -> Vec<(String, String)> {
    world
        .custom_values_of(item)
        .map(|(code, value)| (code.to_owned(), value.to_owned()))
        .collect()
}

fn pairs(values: &[(&str, &str)]) -> Vec<(String, String)> {
    values
        .iter()
        .map(|(code, value)| ((*code).to_owned(), (*value).to_owned()))
        .collect()
}

/// TICK-49
#[test]
fn an_item_has_a_value_for_each_field_and_empty_ones_are_none() {
    let given = site()
        .when(ANNA, set(ITEM, json!({"rack": "4", "OWNER": "ops"})))
        .then_something()
        .when(ANNA, set(ITEM, json!({"rack": "4"})))
        .then_nothing();
    assert_eq!(
        values(given.world(), ITEM),
        pairs(&[("rack", "4"), ("owner", "ops")])
    );
    let given = given
        .when(ANNA, set(ITEM, json!({"rack": ""})))
        .then_something()
        .when(ANNA, set(ITEM, json!({"rack": null})))
        .then_nothing();
    assert_eq!(values(given.world(), ITEM), pairs(&[("owner", "ops")]));
}

/// TICK-49, ROLE-22
#[test]
fn values_are_set_with_the_permission_to_edit_comments() {
    let given = site();
    given
        .clone()
        .when(BERT, set(ITEM, json!({"rack": "4"})))
        .then_refused(Refusal::JumpClientGone);
    given
        .and([member(WEB_SERVERS, BERT, READER)])
        .when(BERT, set(ITEM, json!({"rack": "4"})))
        .then_refused(Refusal::RoleLacks {
            permission: JumpItemPermission::EditComments,
        });
}

/// TICK-49, LIM-11
#[test]
fn values_have_a_limit_and_a_field() {
    let long = "ä".repeat(1024);
    site()
        .when(ANNA, set(ITEM, json!({"rack": long})))
        .then_something()
        .when(ANNA, set(ITEM, json!({"rack": long + "x"})))
        .then_invalid(&["rack"])
        .when(ANNA, set(ITEM, json!({"row": "1", "owner": 5})))
        .then_invalid(&["row", "owner"]);
}

/// TICK-49
#[test]
fn a_code_name_is_given_once() {
    site()
        .when(
            ADMIN,
            create::<CustomField>(json!({"display_name": "Second", "code_name": "RACK"})),
        )
        .then_invalid(&["code_name"])
        .when(
            ADMIN,
            change::<CustomField>(RACK, json!({"code_name": "row"})),
        )
        .then_something()
        .when(ANNA, set(ITEM, json!({"row": "1"})))
        .then_something();
}

/// TICK-49
#[test]
fn values_go_with_their_field_and_their_item_and_a_copy_has_them_too() {
    let router = JumpItemRef::ShellJump(ROUTER);
    let copy = JumpItemRef::ShellJump(ShellJumpId(2));
    let copied = object(json!({"jump_group_id": 1, "jump_group_type": "shared"}));
    let given = site()
        .when(ANNA, set(router, json!({"rack": "4", "owner": "net"})))
        .then_something()
        .when(API, shell::Command::Copy(ROUTER, copied))
        .then_something();
    assert_eq!(values(given.world(), copy).len(), 2);
    let given = given
        .when(ADMIN, delete::<CustomField>(RACK))
        .then_something()
        .when(ADMIN, change::<ShellJump>(ROUTER, json!({"tag": "core"})))
        .then_something();
    assert_eq!(values(given.world(), router), pairs(&[("owner", "net")]));
    let given = given
        .when(ADMIN, delete::<ShellJump>(ROUTER))
        .then_something();
    assert_eq!(given.world().custom_values.len(), 1);
}
