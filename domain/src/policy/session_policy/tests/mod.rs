//! Session policies: their first number, their names, and who keeps them from being deleted.

use serde_json::json;

use crate::Refusal;
use crate::ids::{JumpointId, SessionPolicyId, ShellJumpId};
use crate::items::shell::ShellJump;
use crate::policy::session_policy::SessionPolicy;
use crate::testing::{
    ADMIN, SHARED, WEB_SERVERS, change, create, delete, given, group, jumpoint, shell_jump,
};

const STRICT: SessionPolicyId = SessionPolicyId(2);

/// The number 1 is reserved (config-api.md, `ShellJumpItem`).
#[test]
fn the_first_policy_is_number_two() {
    let given = given([])
        .when(
            ADMIN,
            create::<SessionPolicy>(json!({"display_name": "Strict"})),
        )
        .then_something()
        .when(
            ADMIN,
            create::<SessionPolicy>(json!({"display_name": "Strict"})),
        )
        .then_something();
    let made: Vec<(u32, &str)> = given
        .world()
        .session_policies
        .iter()
        .map(|(id, policy)| (id.0, policy.code_name.as_str()))
        .collect();
    assert_eq!(made, [(2, "strict"), (3, "strict_2")]);
    given
        .when(
            ADMIN,
            change::<SessionPolicy>(STRICT, json!({"code_name": "STRICT_2"})),
        )
        .then_invalid(&["code_name"]);
}

/// ROLE-33
#[test]
fn a_policy_in_use_stays_and_an_item_names_one_that_is_there() {
    let given = given([
        group(WEB_SERVERS, "Web Servers"),
        jumpoint(JumpointId(1), |_| {}),
        shell_jump(ShellJumpId(1), SHARED, |_| {}),
    ]);
    let name =
        |policy: u32| change::<ShellJump>(ShellJumpId(1), json!({"session_policy_id": policy}));
    given
        .when(ADMIN, name(2))
        .then_invalid(&["session_policy_id"])
        .when(
            ADMIN,
            create::<SessionPolicy>(json!({"display_name": "Strict"})),
        )
        .then_something()
        .when(ADMIN, name(2))
        .then_something()
        .when(ADMIN, delete::<SessionPolicy>(STRICT))
        .then_refused(Refusal::InUse {
            what: "Session Policy",
            by: vec!["Shell Jump \"shell-1\"".to_owned()],
        })
        .when(ADMIN, delete::<ShellJump>(ShellJumpId(1)))
        .then_something()
        .when(ADMIN, delete::<SessionPolicy>(STRICT))
        .then_something();
}
