//! Shell Jump items: defaults, limits, moves, copies and who may.

use serde_json::{Value, json};

use crate::access::role::{JumpItemPermission, JumpItemRole};
use crate::ids::{
    JumpGroupRef, JumpItemRef, JumpItemRoleId, JumpointId, SessionPolicyId, ShellJumpId,
};
use crate::items::shell::{self, ShellJump, ShellJumpItem};
use crate::record;
use crate::testing::{
    ADMIN, ANNA, API, BERT, Given, SHARED, THURSDAYS, USER_SYSTEMS, WEB_SERVERS, change, create,
    delete, given, group, jumpoint, jumpoint_user, member, object, person, policy, role,
    session_policy, shell_jump, start_on, user,
};
use crate::{Command, Event, Refusal};

const ROUTER: ShellJumpId = ShellJumpId(1);
const ITEM: JumpItemRef = JumpItemRef::ShellJump(ROUTER);
const SYSTEMS: JumpGroupRef = JumpGroupRef::Shared(USER_SYSTEMS);
/// What Anna has in the group the item is in.
const HERE: JumpItemRoleId = JumpItemRoleId(10);
/// What Anna has in the other group.
const THERE: JumpItemRoleId = JumpItemRoleId(11);

fn body(more: Value) -> Value {
    let mut body = json!({
        "name": "router", "jumpoint_id": 1, "hostname": "router.example.com", "protocol": "ssh",
        "jump_group_id": 1,
    });
    for (name, value) in object(more) {
        body[name] = value;
    }
    body
}

fn copy(into: JumpGroupRef, name: Option<&str>) -> Command {
    let mut body = object(json!({
        "jump_group_id": into.number(), "jump_group_type": into.type_name(),
    }));
    if let Some(name) = name {
        body.insert("name".to_owned(), name.into());
    }
    shell::Command::Copy(ROUTER, body).into()
}

fn site() -> Given {
    given([
        group(WEB_SERVERS, "Web Servers"),
        group(USER_SYSTEMS, "User Systems"),
        policy(THURSDAYS, |_| {}),
        session_policy(SessionPolicyId(2)),
        jumpoint(JumpointId(1), |_| {}),
    ])
}

/// Anna has one role where the item is and another in the other group.
fn anna_has(here: impl FnOnce(&mut JumpItemRole), there: impl FnOnce(&mut JumpItemRole)) -> Given {
    site().and([
        person(ANNA),
        role(HERE, here),
        role(THERE, there),
        member(WEB_SERVERS, ANNA, HERE),
        member(USER_SYSTEMS, ANNA, THERE),
        jumpoint_user(JumpointId(1), ANNA),
        shell_jump(ROUTER, SHARED, |_| {}),
    ])
}

fn made(given: &Given) -> &ShellJumpItem {
    given.world().shell_jumps.get(&ROUTER).expect("it was made")
}

fn lacks(permission: JumpItemPermission) -> Refusal {
    Refusal::RoleLacks { permission }
}

/// ITEM-35, ITEM-36, ITEM-38, ITEM-39
#[test]
fn what_is_left_out_has_the_guides_defaults() {
    for (protocol, port) in [("ssh", 22), ("telnet", 23)] {
        let given = site()
            .when(
                API,
                create::<ShellJump>(body(json!({"protocol": protocol}))),
            )
            .then_something();
        let item = &made(&given).properties;
        assert_eq!(item.port, port);
        assert_eq!((item.terminal.as_str(), item.keep_alive), ("xterm", 0));
        assert_eq!(item.username, "");
    }
}

/// ITEM-07, ITEM-33, ITEM-34, ITEM-35, ITEM-36, ITEM-38, ITEM-08, ITEM-15
#[test]
fn values_out_of_their_limits_name_their_field() {
    let long = "x".repeat(129);
    for (field, value) in [
        ("name", json!(long)),
        ("name", json!("")),
        ("hostname", json!(long)),
        ("protocol", json!("rlogin")),
        ("port", json!(0)),
        ("port", json!(65_536)),
        ("terminal", json!("vt52")),
        ("keep_alive", json!(301)),
        ("keep_alive", json!(-1)),
        ("username", json!(long)),
        ("comments", json!("x".repeat(1025))),
        ("jump_group_id", json!(9)),
        ("jump_policy_id", json!(9)),
    ] {
        site()
            .when(API, create::<ShellJump>(body(json!({field: value}))))
            .then_invalid(&[field]);
    }
    site()
        .when(API, create::<ShellJump>(json!({})))
        .then_invalid(&[
            "name",
            "jumpoint_id",
            "hostname",
            "protocol",
            "jump_group_id",
        ]);
}

/// ITEM-37
#[test]
fn a_terminal_is_compared_without_regard_to_case() {
    for written in ["VT100", "vt100", "Vt100"] {
        let given = site()
            .when(API, create::<ShellJump>(body(json!({"terminal": written}))))
            .then_something();
        assert_eq!(made(&given).properties.terminal, "VT100");
    }
}

/// ITEM-51
#[test]
fn a_second_item_with_the_same_name_and_host_is_another_item() {
    let given = site()
        .when(API, create::<ShellJump>(body(json!({}))))
        .then_something()
        .when(API, create::<ShellJump>(body(json!({}))))
        .then_something();
    assert_eq!(given.world().shell_jumps.len(), 2);
}

/// ROLE-16
#[test]
fn making_an_item_needs_the_permission_in_that_group() {
    let given = anna_has(|role| role.perm_add = true, |role| role.perm_start = true);
    given
        .when(ANNA, create::<ShellJump>(body(json!({}))))
        .then_something()
        .when(ANNA, create::<ShellJump>(body(json!({"jump_group_id": 2}))))
        .then_refused(lacks(JumpItemPermission::CreateAndDeploy))
        .and([person(BERT)])
        .when(BERT, create::<ShellJump>(body(json!({}))))
        .then_invalid(&["jump_group_id"]);
}

/// ROLE-19
#[test]
fn removing_an_item_needs_the_permission_to_remove() {
    anna_has(|role| role.perm_start = true, |_| {})
        .when(ANNA, delete::<ShellJump>(ROUTER))
        .then_refused(lacks(JumpItemPermission::Remove));
    let given = anna_has(|role| role.perm_remove = true, |_| {})
        .when(ANNA, delete::<ShellJump>(ROUTER))
        .then_something();
    assert_eq!(given.world().items_of(SHARED).count(), 0);
}

/// ROLE-21, ROLE-22, ROLE-23, ROLE-24, ROLE-25
#[test]
fn each_field_is_changed_with_its_own_permission_and_no_other() {
    type Grants = fn(&mut JumpItemRole);
    let permissions: [(JumpItemPermission, Grants); 6] = [
        (JumpItemPermission::EditTag, |role| {
            role.perm_edit_tag = true
        }),
        (JumpItemPermission::EditComments, |role| {
            role.perm_edit_comments = true
        }),
        (JumpItemPermission::EditJumpPolicy, |role| {
            role.perm_edit_jump_policy = true
        }),
        (JumpItemPermission::EditSessionPolicy, |role| {
            role.perm_edit_session_policy = true
        }),
        (JumpItemPermission::EditConnectivity, |role| {
            role.perm_edit_identity = true
        }),
        (JumpItemPermission::EditBehavior, |role| {
            role.perm_edit_behavior = true
        }),
    ];
    for (field, value, needed) in [
        ("tag", json!("core"), JumpItemPermission::EditTag),
        (
            "comments",
            json!("rack 4"),
            JumpItemPermission::EditComments,
        ),
        (
            "jump_policy_id",
            json!(1),
            JumpItemPermission::EditJumpPolicy,
        ),
        (
            "session_policy_id",
            json!(2),
            JumpItemPermission::EditSessionPolicy,
        ),
        ("name", json!("x"), JumpItemPermission::EditConnectivity),
        ("hostname", json!("x"), JumpItemPermission::EditConnectivity),
        ("port", json!(2222), JumpItemPermission::EditConnectivity),
        (
            "protocol",
            json!("telnet"),
            JumpItemPermission::EditConnectivity,
        ),
        ("username", json!("x"), JumpItemPermission::EditConnectivity),
        ("terminal", json!("VT100"), JumpItemPermission::EditBehavior),
        ("keep_alive", json!(60), JumpItemPermission::EditBehavior),
    ] {
        for (held, grant) in &permissions {
            let asked = anna_has(grant, |_| {})
                .when(ANNA, change::<ShellJump>(ROUTER, json!({field: value})));
            if *held == needed {
                let _changed = asked.then_something();
            } else {
                let _same = asked.then_refused(lacks(needed));
            }
        }
    }
}

/// ROLE-18, GRP-22
#[test]
fn a_move_needs_the_permission_on_both_sides() {
    let to_systems = || change::<ShellJump>(ROUTER, json!({"jump_group_id": 2}));
    let may: fn(&mut JumpItemRole) = |role| role.perm_assign_jump_group = true;
    let may_not: fn(&mut JumpItemRole) = |role| role.perm_start = true;
    for (here, there) in [(may, may_not), (may_not, may), (may_not, may_not)] {
        anna_has(here, there)
            .when(ANNA, to_systems())
            .then_refused(lacks(JumpItemPermission::MoveAndCopy));
    }
    let given = anna_has(may, may).when(ANNA, to_systems()).then_something();
    assert_eq!(given.world().group_of(ITEM), Some(SYSTEMS));
    assert_eq!(given.world().items_of(SHARED).count(), 0);
    assert_eq!(given.world().items_of(SYSTEMS).collect::<Vec<_>>(), [ITEM]);
    // A group out of sight is not even admitted to be there.
    anna_has(may, |_| {})
        .when(ANNA, to_systems())
        .then_invalid(&["jump_group_id"]);
}

/// ROLE-18
#[test]
fn a_copy_needs_the_permission_on_both_sides_and_is_an_item_of_its_own() {
    let may: fn(&mut JumpItemRole) = |role| role.perm_assign_jump_group = true;
    let may_not: fn(&mut JumpItemRole) = |role| role.perm_start = true;
    for (here, there) in [(may, may_not), (may_not, may)] {
        anna_has(here, there)
            .when(ANNA, copy(SYSTEMS, Some("second")))
            .then_refused(lacks(JumpItemPermission::MoveAndCopy));
    }
    let given = anna_has(may, may)
        .when(ANNA, copy(SYSTEMS, Some("second")))
        .then_something()
        .when(ANNA, copy(SYSTEMS, None))
        .then_something();
    let copies: Vec<(&str, JumpGroupRef)> = [2, 3]
        .iter()
        .filter_map(|id| given.world().shell_jumps.get(&ShellJumpId(*id)))
        .map(|copy| (copy.properties.name.as_str(), copy.properties.group()))
        .collect();
    assert_eq!(copies, [("second", SYSTEMS), ("shell-1", SYSTEMS)]);
    let given = given.and([Event::ShellJump(
        ROUTER,
        record::Event::Deleted(record::Deleted::default()),
    )]);
    assert_eq!(given.world().shell_jumps.len(), 2);
}

/// Whoever may not see an item is not told that it is there.
#[test]
fn an_item_out_of_sight_does_not_exist() {
    let given = anna_has(|_| {}, |_| {}).and([person(BERT)]);
    for command in [
        change::<ShellJump>(ROUTER, json!({"tag": "x"})),
        delete::<ShellJump>(ROUTER),
        copy(SYSTEMS, None),
    ] {
        given.clone().when(BERT, command).then_refused(gone());
    }
}

/// GRP-23, GRP-24
#[test]
fn an_item_has_at_most_one_tag_and_a_blank_one_is_none() {
    let tag = |tag: &str| change::<ShellJump>(ROUTER, json!({"tag": tag}));
    let given = anna_has(|role| role.perm_edit_tag = true, |_| {})
        .when(ANNA, tag("core"))
        .then_something()
        .when(ANNA, tag("edge"))
        .then_something();
    assert_eq!(made(&given).properties.tag, "edge");
    assert_eq!(given.world().group_of(ITEM), Some(SHARED));
    let given = given.when(ANNA, tag("")).then_something();
    assert_eq!(made(&given).properties.tag, "");
}

/// GRP-31
#[test]
fn the_items_of_a_group_go_with_it() {
    let given = anna_has(|_| {}, |_| {})
        .when(
            ADMIN,
            delete::<crate::access::jump_group::JumpGroup>(WEB_SERVERS),
        )
        .then_something();
    assert!(given.world().shell_jumps.is_empty());
}

/// ERR-03, ITEM-49, SESS-17
#[test]
fn no_session_starts_without_a_jumpoint_that_is_online() {
    let given = site().and([
        user(ANNA, |user| {
            user.perm_access_allowed = "full_support".to_owned();
            user.perm_jump_client = true;
        }),
        role(HERE, |role| role.perm_start = true),
        member(WEB_SERVERS, ANNA, HERE),
        shell_jump(ROUTER, SHARED, |_| {}),
    ]);
    let given =
        given
            .when(ANNA, start_on(ANNA, ITEM))
            .then_refused(Refusal::JumpMethodNotAllowed {
                method: "Shell Jump",
            });
    given
        .and([user(ANNA, |user| {
            user.perm_access_allowed = "full_support".to_owned();
            user.perm_shell_jump = true;
        })])
        .when(ANNA, start_on(ANNA, ITEM))
        .then_refused(Refusal::JumpointOffline)
        .when(ANNA, start_on(ANNA, JumpItemRef::ShellJump(ShellJumpId(9))))
        .then_refused(gone());
}

fn gone() -> Refusal {
    Refusal::not_found("Shell Jump Item")
}
