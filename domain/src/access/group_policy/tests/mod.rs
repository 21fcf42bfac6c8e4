//! Group policies: the record, its order, members and rows.

use serde_json::json;

use super::{Command, Event, GroupPolicy, Member, Of, Row, RowDropped, RowSet};
use crate::access::jump_group::{JumpGroup, Membership};
use crate::access::role::{ADMINISTRATOR, START_SESSIONS_ONLY};
use crate::ids::{
    GroupPolicyId, GroupPolicyMemberId, JumpGroupId, JumpItemRoleId, JumpPolicyId, JumpointId,
    TeamId, UserId,
};
use crate::policy::jump_policy::JumpPolicy;
use crate::site::team::TeamRole;
use crate::testing::{
    ADMIN, ADMINS, ANNA, BERT, Given, OPERATIONS, THURSDAYS, USERS, WEB_SERVERS, change, create,
    delete, given, group, group_policy, person, policy, policy_member, policy_row, role, team,
};
use crate::{Event as Happened, Refusal};

const WEB: Of = Of::JumpGroup(WEB_SERVERS);
const MEMBERSHIP: Membership = Membership {
    jump_item_role_id: Some(START_SESSIONS_ONLY),
    jump_policy_id: Some(THURSDAYS),
};

fn site() -> Given {
    given([
        person(ANNA),
        person(BERT),
        group(WEB_SERVERS, "Web Servers"),
        policy(THURSDAYS, |_| {}),
        team(OPERATIONS),
        group_policy(ADMINS, |_| {}),
        group_policy(USERS, |_| {}),
    ])
}

fn of(policy: GroupPolicyId, event: Event) -> Happened {
    Happened::GroupPolicy(policy, event)
}

fn in_order(site: &Given) -> Vec<GroupPolicyId> {
    site.world().group_policies_in_order().collect()
}

/// GPOL-06, GPOL-17, GPOL-22: every published setting is read and kept.
#[test]
fn a_policy_holds_every_access_permission() {
    site()
        .when(ADMIN, create::<GroupPolicy>(json!({})))
        .then_invalid(&["name"]);
    let mut body = json!({"name": "Everything", "perm_session_idle_timeout": 600});
    for field in <GroupPolicy as crate::record::Record>::FIELDS {
        if field.kind == crate::record::Kind::Boolean {
            body[field.name] = json!(true);
        } else if field.name.ends_with("role_id") {
            body[field.name] = json!(ADMINISTRATOR);
        }
    }
    let made = site()
        .when(ADMIN, create::<GroupPolicy>(body.clone()))
        .then_something();
    let made = made
        .world()
        .group_policies
        .get(&GroupPolicyId(3))
        .expect("it was made");
    let mut shown = json!(made);
    assert_eq!(shown["access_perm_status"], "defined");
    shown
        .as_object_mut()
        .expect("an object")
        .remove("access_perm_status");
    assert_eq!(shown, body);
    for wrong in [-2, 1, 86_401] {
        site()
            .when(
                ADMIN,
                change::<GroupPolicy>(ADMINS, json!({"perm_session_idle_timeout": wrong})),
            )
            .then_invalid(&["perm_session_idle_timeout"]);
    }
    site()
        .when(
            ADMIN,
            change::<GroupPolicy>(ADMINS, json!({"default_jump_item_role_id": 99})),
        )
        .then_invalid(&["default_jump_item_role_id"]);
}

/// GPOL-03: permissions without a status are meant to count.
#[test]
fn permissions_without_a_status_define_the_block() {
    let status_after = |command| {
        let site = site().when(ADMIN, command).then_something();
        let policies = &site.world().group_policies;
        let last = policies.get(&GroupPolicyId(3)).or(policies.get(&ADMINS));
        last.expect("a policy").access_perm_status.clone()
    };
    for (command, expected) in [
        (create::<GroupPolicy>(json!({"name": "x"})), "not_defined"),
        (
            create::<GroupPolicy>(json!({"name": "x", "perm_web_jump": false})),
            "defined",
        ),
        (
            create::<GroupPolicy>(
                json!({"name": "x", "perm_web_jump": true, "access_perm_status": "not_defined"}),
            ),
            "not_defined",
        ),
        (
            create::<GroupPolicy>(
                json!({"name": "x", "perm_web_jump": true, "access_perm_status": "final"}),
            ),
            "final",
        ),
        (
            change::<GroupPolicy>(ADMINS, json!({"perm_web_jump": true})),
            "defined",
        ),
        (
            change::<GroupPolicy>(ADMINS, json!({"name": "y"})),
            "not_defined",
        ),
    ] {
        assert_eq!(status_after(command.clone()), expected, "{command:?}");
    }
    site()
        .when(
            ADMIN,
            change::<GroupPolicy>(ADMINS, json!({"access_perm_status": "final"})),
        )
        .then_something()
        .when(
            ADMIN,
            change::<GroupPolicy>(ADMINS, json!({"perm_web_jump": true})),
        )
        .then([of(
            ADMINS,
            Event::Record(crate::record::Event::Changed(
                [(
                    "perm_web_jump".to_owned(),
                    crate::record::Change {
                        old: json!(false),
                        new: json!(true),
                    },
                )]
                .into(),
            )),
        )]);
}

/// GPOL-01
#[test]
fn the_order_is_set_as_a_whole_and_a_new_policy_comes_last() {
    let site = site();
    assert_eq!(in_order(&site), [ADMINS, USERS]);
    let turned = site
        .when(ADMIN, Command::SetOrder(vec![USERS, ADMINS]))
        .then_something();
    assert_eq!(in_order(&turned), [USERS, ADMINS]);
    turned
        .clone()
        .when(ADMIN, Command::SetOrder(vec![USERS, ADMINS]))
        .then_nothing();
    for wrong in [
        vec![USERS],
        vec![USERS, ADMINS, USERS],
        vec![USERS, ADMINS, GroupPolicyId(9)],
        vec![],
    ] {
        turned
            .clone()
            .when(ADMIN, Command::SetOrder(wrong))
            .then_invalid(&["order"]);
    }
    let more = turned
        .when(ADMIN, create::<GroupPolicy>(json!({"name": "x"})))
        .then_something();
    assert_eq!(in_order(&more), [USERS, ADMINS, GroupPolicyId(3)]);
    let less = more
        .when(ADMIN, delete::<GroupPolicy>(ADMINS))
        .then_something();
    assert_eq!(in_order(&less), [USERS, GroupPolicyId(3)]);
}

/// GRP-13, GPOL-10
#[test]
fn users_become_members_and_leave() {
    let first = Member {
        id: GroupPolicyMemberId(1),
        user_id: ANNA,
    };
    let joined = site()
        .when(ADMIN, Command::AddMember(ADMINS, ANNA))
        .then([of(ADMINS, Event::MemberAdded(first))]);
    joined
        .clone()
        .when(ADMIN, Command::AddMember(ADMINS, ANNA))
        .then_nothing();
    assert_eq!(joined.world().policies_of_user(ANNA), [ADMINS]);
    joined
        .clone()
        .when(ADMIN, Command::AddMember(ADMINS, UserId(99)))
        .then_invalid(&["user_id"]);
    joined
        .clone()
        .when(ADMIN, Command::AddMember(GroupPolicyId(9), ANNA))
        .then_refused(Refusal::NotFound {
            what: "Group Policy",
        });
    joined
        .clone()
        .when(ADMIN, Command::RemoveMember(USERS, GroupPolicyMemberId(1)))
        .then_refused(Refusal::NotFound {
            what: "Group Policy member",
        });
    joined
        .when(ADMIN, Command::RemoveMember(ADMINS, GroupPolicyMemberId(1)))
        .then([of(ADMINS, Event::MemberRemoved(first))])
        .when(ADMIN, Command::AddMember(ADMINS, ANNA))
        .then([of(
            ADMINS,
            Event::MemberAdded(Member {
                id: GroupPolicyMemberId(2),
                user_id: ANNA,
            }),
        )]);
}

#[test]
fn the_policies_of_a_user_change_in_one_go() {
    let change = |added: &[GroupPolicyId], removed: &[GroupPolicyId]| Command::ChangePoliciesOf {
        user: ANNA,
        added: added.iter().copied().collect(),
        removed: removed.iter().copied().collect(),
    };
    let site = site().and([policy_member(ADMINS, ANNA)]);
    let changed = site
        .clone()
        .when(ADMIN, change(&[USERS], &[ADMINS]))
        .then_something();
    assert_eq!(changed.world().policies_of_user(ANNA), [USERS]);
    // What is so already is left out.
    changed
        .when(ADMIN, change(&[USERS], &[ADMINS]))
        .then_nothing();
    site.clone()
        .when(ADMIN, change(&[GroupPolicyId(9)], &[GroupPolicyId(8)]))
        .then_invalid(&["added", "removed"]);
    site.clone()
        .when(ADMIN, change(&[USERS], &[USERS]))
        .then_invalid(&["removed"]);
    let nobody = Command::ChangePoliciesOf {
        user: UserId(99),
        added: [USERS].into(),
        removed: [].into(),
    };
    site.when(ADMIN, nobody)
        .then_refused(Refusal::NotFound { what: "User" });
}

/// GPOL-07, GPOL-08, GPOL-11, GPOL-20
#[test]
fn rows_are_set_replaced_and_dropped() {
    let set = |of_what, row| of(ADMINS, Event::RowSet(RowSet { of: of_what, row }));
    let with = site()
        .when(
            ADMIN,
            Command::AddJumpGroup(ADMINS, WEB_SERVERS, MEMBERSHIP),
        )
        .then([set(WEB, Row::JumpGroup(MEMBERSHIP))]);
    with.clone()
        .when(
            ADMIN,
            Command::AddJumpGroup(ADMINS, WEB_SERVERS, MEMBERSHIP),
        )
        .then_nothing();
    with.clone()
        .when(
            ADMIN,
            Command::AddJumpGroup(ADMINS, WEB_SERVERS, Membership::default()),
        )
        .then([set(WEB, Row::JumpGroup(Membership::default()))]);
    with.clone()
        .when(ADMIN, Command::AddRemoval(ADMINS, WEB))
        .then([set(WEB, Row::Removal)]);
    with.clone()
        .when(ADMIN, Command::AddTeam(ADMINS, OPERATIONS, TeamRole::Lead))
        .then([set(Of::Team(OPERATIONS), Row::Team(TeamRole::Lead))]);
    with.clone()
        .when(ADMIN, Command::DropRow(ADMINS, WEB))
        .then([of(ADMINS, Event::RowDropped(RowDropped { of: WEB }))])
        .when(ADMIN, Command::DropRow(ADMINS, WEB))
        .then_refused(Refusal::NotFound { what: "Jump Group" });
    let removal = with
        .clone()
        .when(ADMIN, Command::AddRemoval(ADMINS, WEB))
        .then_something();
    removal
        .clone()
        .when(ADMIN, Command::DropRow(ADMINS, WEB))
        .then_refused(Refusal::NotFound { what: "Jump Group" });
    removal
        .when(ADMIN, Command::DropRemoval(ADMINS, WEB))
        .then([of(ADMINS, Event::RowDropped(RowDropped { of: WEB }))]);
    with.clone()
        .when(ADMIN, Command::DropRemoval(ADMINS, WEB))
        .then_refused(Refusal::NotFound { what: "Jump Group" });
    for (of_what, what) in [
        (Of::Team(OPERATIONS), "Team"),
        (Of::Jumpoint(JumpointId(1)), "Jumpoint"),
    ] {
        with.clone()
            .when(ADMIN, Command::DropRow(ADMINS, of_what))
            .then_refused(Refusal::NotFound { what });
    }
}

/// GPOL-21, ERR of unknown references by field.
#[test]
fn a_row_names_what_is_there() {
    let unknown = Membership {
        jump_item_role_id: Some(JumpItemRoleId(99)),
        jump_policy_id: Some(JumpPolicyId(99)),
    };
    site()
        .when(
            ADMIN,
            Command::AddJumpGroup(ADMINS, JumpGroupId(9), unknown),
        )
        .then_invalid(&["jump_group_id", "jump_item_role_id", "jump_policy_id"]);
    site()
        .when(ADMIN, Command::AddTeam(ADMINS, TeamId(9), TeamRole::Member))
        .then_invalid(&["team_id"]);
    site()
        .when(ADMIN, Command::AddJumpoint(ADMINS, JumpointId(9)))
        .then_invalid(&["jumpoint_id"]);
    site()
        .when(
            ADMIN,
            Command::AddRemoval(ADMINS, Of::JumpGroup(JumpGroupId(9))),
        )
        .then_invalid(&["jump_group_id"]);
    for command in [
        Command::AddJumpGroup(GroupPolicyId(9), WEB_SERVERS, MEMBERSHIP),
        Command::AddTeam(GroupPolicyId(9), OPERATIONS, TeamRole::Member),
        Command::DropRow(GroupPolicyId(9), WEB),
        Command::Copy(GroupPolicyId(9), "x".to_owned()),
        Command::Provision(GroupPolicyId(9)),
    ] {
        site().when(ADMIN, command).then_refused(Refusal::NotFound {
            what: "Group Policy",
        });
    }
    site()
        .when(ADMIN, Command::Provision(ADMINS))
        .then_nothing();
}

#[test]
fn a_copy_has_the_settings_and_rows_but_not_the_members() {
    let site = site()
        .and([
            policy_member(ADMINS, ANNA),
            policy_row(ADMINS, WEB, Row::JumpGroup(MEMBERSHIP)),
            policy_row(ADMINS, Of::Team(OPERATIONS), Row::Removal),
        ])
        .when(
            ADMIN,
            change::<GroupPolicy>(ADMINS, json!({"perm_web_jump": true})),
        )
        .then_something();
    let copied = site
        .clone()
        .when(ADMIN, Command::Copy(ADMINS, "Admin 2".to_owned()))
        .then_something();
    let world = copied.world();
    let copy = GroupPolicyId(3);
    let made = world.group_policies.get(&copy).expect("it was made");
    assert_eq!(made.name, "Admin 2");
    assert!(made.perm_web_jump);
    assert!(world.rows_of_policy(copy).eq(world.rows_of_policy(ADMINS)));
    assert_eq!(world.members_of_policy(copy).count(), 0);
    site.when(ADMIN, Command::Copy(ADMINS, String::new()))
        .then_invalid(&["name"]);
}

/// ROLE-30, ROLE-33: what a policy names is in use.
#[test]
fn roles_and_jump_policies_that_a_policy_names_stay() {
    const SLOT: JumpItemRoleId = JumpItemRoleId(4);
    let site = site().and([
        role(SLOT, |role| role.perm_start = true),
        group_policy(ADMINS, |policy| policy.inferior_jump_item_role_id = SLOT),
        policy_row(ADMINS, WEB, Row::JumpGroup(MEMBERSHIP)),
    ]);
    let used = |what, by: &str| Refusal::InUse {
        what,
        by: vec![by.to_owned()],
    };
    site.clone()
        .when(ADMIN, delete::<crate::access::role::JumpItemRole>(SLOT))
        .then_refused(used("Jump Item Role", "group policy \"Group Policy 1\""));
    let row = "group policy \"Group Policy 1\" for Jump Group \"Web Servers\"";
    site.clone()
        .when(
            ADMIN,
            delete::<crate::access::role::JumpItemRole>(START_SESSIONS_ONLY),
        )
        .then_refused(used("Jump Item Role", row));
    site.when(ADMIN, delete::<JumpPolicy>(THURSDAYS))
        .then_refused(used("Jump Policy", row));
}

/// GRP-31: what a policy says of a thing that is gone goes with it.
#[test]
fn rows_go_with_what_they_are_about() {
    let site = site().and([
        policy_row(ADMINS, WEB, Row::JumpGroup(MEMBERSHIP)),
        policy_row(ADMINS, Of::Team(OPERATIONS), Row::Team(TeamRole::Lead)),
        policy_member(ADMINS, ANNA),
    ]);
    let without = site
        .clone()
        .when(ADMIN, delete::<JumpGroup>(WEB_SERVERS))
        .then_something();
    assert_eq!(without.world().policy_row(ADMINS, WEB), None);
    let without = site
        .clone()
        .when(ADMIN, delete::<crate::site::team::Team>(OPERATIONS))
        .then_something();
    assert_eq!(
        without.world().policy_row(ADMINS, Of::Team(OPERATIONS)),
        None
    );
    let without = site
        .clone()
        .when(ADMIN, delete::<crate::site::user::User>(ANNA))
        .then_something();
    assert_eq!(without.world().members_of_policy(ADMINS).count(), 0);
    let without = site
        .when(ADMIN, delete::<GroupPolicy>(ADMINS))
        .then_something();
    assert!(without.world().policies_of_user(ANNA).is_empty());
    assert_eq!(without.world().rows_of_policy(ADMINS).count(), 0);
}
