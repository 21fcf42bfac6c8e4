//! What teams and group policies give: standing, order, removals, settings.

use serde_json::json;

use super::role_and_grant;
use crate::access::group_policy::{self, GroupPolicy, Of, Row};
use crate::access::jump_group::Membership;
use crate::access::permission::{
    Effective, Grant, JumpMethod, Slot, access_to_group, effective, members_of_team, need,
    role_in_team, teams_of, visible_groups,
};
use crate::access::role::{ADMINISTRATOR, JumpItemPermission, NO_ACCESS, START_SESSIONS_ONLY};
use crate::ids::{
    GroupPolicyId, JumpGroupRef, JumpItemRef, JumpItemRoleId, JumpPolicyId, JumpointId, UserId,
};
use crate::items::jumpoint;
use crate::items::shell::ShellJump;
use crate::site::team::TeamRole;
use crate::testing::{
    ADMIN, ADMINS, ALWAYS, ANNA, BERT, CARA, Given, OPERATIONS, PC1, PC2, SHARED, SUPPORT,
    THURSDAYS, USER_SYSTEMS, USERS, WEB_SERVERS, change, client, create, given, group,
    group_policy, jumpoint as a_jumpoint, member, person, policy, policy_member, policy_row, role,
    team, team_member, user,
};
use crate::{Event, Refusal, World};

const WEB: Of = Of::JumpGroup(WEB_SERVERS);
const LAST: GroupPolicyId = GroupPolicyId(3);

/// Whether one user sees the personal list of another.
fn sees_list_of(world: &World, viewer: UserId, owner: UserId) -> bool {
    access_to_group(world, viewer, JumpGroupRef::Personal(owner)).is_some()
}

fn in_web(role: impl Into<Option<JumpItemRoleId>>, policy: impl Into<Option<JumpPolicyId>>) -> Row {
    Row::JumpGroup(Membership {
        jump_item_role_id: role.into(),
        jump_policy_id: policy.into(),
    })
}

/// Anna is a member of three policies that say nothing yet.
fn site() -> Given {
    given([
        person(ANNA),
        person(BERT),
        person(CARA),
        group(WEB_SERVERS, "Web Servers"),
        group(USER_SYSTEMS, "User Systems"),
        policy(THURSDAYS, |_| {}),
        policy(ALWAYS, |_| {}),
        team(OPERATIONS),
        team(SUPPORT),
        group_policy(ADMINS, |_| {}),
        group_policy(USERS, |_| {}),
        group_policy(LAST, |_| {}),
        policy_member(ADMINS, ANNA),
        policy_member(USERS, ANNA),
        policy_member(LAST, ANNA),
    ])
}

fn with_team_slot(id: UserId, team: JumpItemRoleId, system: JumpItemRoleId) -> Event {
    user(id, |user| {
        user.inferior_jump_item_role_id = team;
        user.unassigned_jump_item_role_id = system;
    })
}

fn of_anna(site: &Given) -> Effective<'_> {
    effective(site.world(), ANNA).expect("she is there")
}

/// ROLE-06, ROLE-08, GRP-09, GRP-13, GPOL-08, GPOL-21
#[test]
fn a_group_policy_gives_a_role_unless_a_direct_membership_does() {
    let site = site().and([policy_row(ADMINS, WEB, in_web(ADMINISTRATOR, THURSDAYS))]);
    let access = access_to_group(site.world(), ANNA, SHARED).expect("access");
    assert_eq!(access.grant, Grant::GroupPolicy(ADMINS));
    assert_eq!(
        (access.role_id, access.jump_policy_id),
        (ADMINISTRATOR, Some(THURSDAYS))
    );
    // The user's default, and "Set on Jump Items".
    let by_default = site.clone().and([
        user(ANNA, |user| {
            user.default_jump_item_role_id = START_SESSIONS_ONLY
        }),
        policy_row(ADMINS, WEB, in_web(None, None)),
    ]);
    let access = access_to_group(by_default.world(), ANNA, SHARED).expect("access");
    assert_eq!(access.grant, Grant::GroupPolicyByDefault(ADMINS));
    assert_eq!(
        (access.role_id, access.jump_policy_id),
        (START_SESSIONS_ONLY, None)
    );
    // The weaker direct membership wins, role and policy.
    let direct = site
        .and([member(WEB_SERVERS, ANNA, START_SESSIONS_ONLY)])
        .and(client(PC1, SHARED));
    let access = access_to_group(direct.world(), ANNA, SHARED).expect("access");
    assert_eq!((access.grant, access.jump_policy_id), (Grant::Member, None));
    for permission in [JumpItemPermission::EditTag, JumpItemPermission::Remove] {
        assert_eq!(
            need(
                direct.world(),
                ANNA,
                JumpItemRef::JumpClient(PC1),
                permission
            )
            .err(),
            Some(Refusal::RoleLacks { permission })
        );
    }
}

/// GPOL-02, GPOL-11, GPOL-23
#[test]
fn the_lowest_row_counts_as_a_whole_and_a_removal_takes_what_is_above_it() {
    let web = |site: &Given| {
        access_to_group(site.world(), ANNA, SHARED)
            .map(|access| (access.role_id, access.grant, access.jump_policy_id))
    };
    let both = site().and([
        policy_row(ADMINS, WEB, in_web(ADMINISTRATOR, None)),
        policy_row(USERS, WEB, in_web(START_SESSIONS_ONLY, THURSDAYS)),
    ]);
    let weaker = Some((
        START_SESSIONS_ONLY,
        Grant::GroupPolicy(USERS),
        Some(THURSDAYS),
    ));
    assert_eq!(web(&both), weaker);
    // Never the stronger role with the weaker policy.
    let turned = both
        .clone()
        .when(
            ADMIN,
            group_policy::Command::SetOrder(vec![USERS, LAST, ADMINS]),
        )
        .then_something();
    assert_eq!(
        web(&turned),
        Some((ADMINISTRATOR, Grant::GroupPolicy(ADMINS), None))
    );
    let removed = both.clone().and([policy_row(LAST, WEB, Row::Removal)]);
    assert_eq!(web(&removed), None);
    // Only what is above it; one below adds it again.
    let again = removed
        .clone()
        .when(
            ADMIN,
            group_policy::Command::SetOrder(vec![ADMINS, LAST, USERS]),
        )
        .then_something();
    assert_eq!(web(&again), weaker);
    // Never a direct one.
    let direct = removed
        .clone()
        .and([member(WEB_SERVERS, ANNA, ADMINISTRATOR)]);
    assert_eq!(web(&direct), Some((ADMINISTRATOR, Grant::Member, None)));
    // What is left is the System slot.
    let system = removed.and([with_team_slot(ANNA, NO_ACCESS, START_SESSIONS_ONLY)]);
    assert_eq!(
        web(&system),
        Some((START_SESSIONS_ONLY, Grant::System, None))
    );
}

/// GPOL-09, GPOL-10
#[test]
fn a_change_of_a_policy_counts_at_once_for_every_member() {
    let site = site().and([
        policy_member(ADMINS, BERT),
        policy_row(ADMINS, WEB, in_web(START_SESSIONS_ONLY, None)),
    ]);
    for user in [ANNA, BERT] {
        assert_eq!(
            role_and_grant(&site, user, SHARED),
            Some((START_SESSIONS_ONLY, Grant::GroupPolicy(ADMINS)))
        );
    }
    let changed = site
        .when(
            ADMIN,
            group_policy::Command::AddJumpGroup(
                ADMINS,
                WEB_SERVERS,
                Membership {
                    jump_item_role_id: Some(ADMINISTRATOR),
                    jump_policy_id: None,
                },
            ),
        )
        .then_something();
    for user in [ANNA, BERT] {
        assert_eq!(
            role_and_grant(&changed, user, SHARED),
            Some((ADMINISTRATOR, Grant::GroupPolicy(ADMINS)))
        );
    }
    let berts = changed
        .world()
        .policy_member(ADMINS, BERT)
        .expect("a member");
    let left = changed
        .when(ADMIN, group_policy::Command::RemoveMember(ADMINS, berts))
        .then_something();
    assert_eq!(role_and_grant(&left, BERT, SHARED), None);
    assert!(role_and_grant(&left, ANNA, SHARED).is_some());
}

/// ROLE-32, GPOL-02, GPOL-03, GPOL-06
#[test]
fn the_lowest_defined_block_counts_unless_one_above_is_final() {
    let status = |id, status: &str, role| {
        let status = status.to_owned();
        group_policy(id, move |policy| {
            policy.access_perm_status = status;
            policy.private_jump_item_role_id = role;
        })
    };
    let own = user(ANNA, |user| user.private_jump_item_role_id = NO_ACCESS);
    // the statuses from top to bottom, the policy that sets them
    let cases: [([&str; 3], Option<GroupPolicyId>); 7] = [
        (["not_defined", "not_defined", "not_defined"], None),
        (["defined", "not_defined", "not_defined"], Some(ADMINS)),
        (["defined", "defined", "not_defined"], Some(USERS)),
        (["defined", "defined", "defined"], Some(LAST)),
        (["defined", "final", "defined"], Some(USERS)),
        (["final", "final", "final"], Some(ADMINS)),
        (["not_defined", "defined", "final"], Some(LAST)),
    ];
    for ([first, second, third], expected) in cases {
        let site = site().and([
            own.clone(),
            status(ADMINS, first, JumpItemRoleId(11)),
            status(USERS, second, JumpItemRoleId(12)),
            status(LAST, third, JumpItemRoleId(13)),
        ]);
        let settings = of_anna(&site);
        assert_eq!(settings.set_by(), expected, "{first} {second} {third}");
        let role = expected.map_or(NO_ACCESS, |policy| JumpItemRoleId(10 + policy.0));
        assert_eq!(settings.slot(Slot::Personal), role);
    }
    assert!(effective(site().world(), UserId(99)).is_none());
}

/// ROLE-09, GPOL-05, GPOL-06, GPOL-17, GPOL-18: every setting comes from the policy that sets them, and none from elsewhere.
#[test]
fn every_setting_comes_from_where_the_block_is_set() {
    let mut own_switches = 0;
    let mut theirs = 0;
    let switches = |settings: &Effective<'_>| {
        let mut all = vec![
            settings.may_access_endpoints(),
            settings.may_share_with_other_teams(),
            settings.may_invite_external_users(),
            settings.may_enable_extended_availability(),
            settings.may_edit_external_key(),
            settings.may_show_screen(),
            settings.may_give_control(),
        ];
        all.extend(JumpMethod::ALL.map(|method| settings.may_jump_by(method)));
        all
    };
    let fields = [
        "perm_access_allowed",
        "perm_share_other_team",
        "perm_invite_external_user",
        "perm_extended_availability_mode_allowed",
        "perm_edit_external_key",
        "perm_collaborate",
        "perm_collaborate_control",
        "perm_jump_client",
        "perm_local_jump",
        "perm_remote_rdp",
        "perm_shell_jump",
        "perm_protocol_tunnel",
        "perm_remote_jump",
        "perm_remote_vnc",
        "perm_web_jump",
    ];
    for (index, field) in fields.into_iter().enumerate() {
        let expected: Vec<bool> = (0..fields.len()).map(|other| other == index).collect();
        let defined = site()
            .when(ADMIN, change::<GroupPolicy>(ADMINS, json!({ field: true })))
            .then_something();
        assert_eq!(switches(&of_anna(&defined)), expected, "{field}");
        theirs += 1;
        let value = if field == "perm_access_allowed" {
            json!("full_support")
        } else {
            json!(true)
        };
        let own = site().and([user(ANNA, |account| {
            let mut object = crate::record::to_object(account);
            object.insert(field.to_owned(), value.clone());
            *account = serde_json::from_value(serde_json::Value::Object(object)).expect("a user");
        })]);
        assert_eq!(switches(&of_anna(&own)), expected, "{field}");
        own_switches += 1;
    }
    assert_eq!((own_switches, theirs), (15, 15));

    let slots = site()
        .when(
            ADMIN,
            change::<GroupPolicy>(
                ADMINS,
                json!({
                    "default_jump_item_role_id": 3, "private_jump_item_role_id": 2,
                    "inferior_jump_item_role_id": 3, "unassigned_jump_item_role_id": 2,
                    "perm_session_idle_timeout": 900,
                }),
            ),
        )
        .then_something();
    let settings = of_anna(&slots);
    let role = |slot| settings.slot(slot).0;
    assert_eq!(
        [Slot::Default, Slot::Personal, Slot::Team, Slot::System].map(role),
        [3, 2, 3, 2]
    );
    assert_eq!(settings.idle_timeout_seconds(), 900);
}

/// ROLE-12, GRP-14, GRP-16: who sees whose list by their ranks in one team.
#[test]
fn the_team_slot_opens_the_lists_of_those_below() {
    use TeamRole::{Lead, Manager, Member};
    // the viewer's rank, the owner's, whether the list is shown
    let cases = [
        (Manager, Manager, false),
        (Manager, Lead, true),
        (Manager, Member, true),
        (Lead, Manager, false),
        (Lead, Lead, false),
        (Lead, Member, true),
        (Member, Manager, false),
        (Member, Lead, false),
        (Member, Member, false),
    ];
    let berts = JumpGroupRef::Personal(BERT);
    for (viewer, owner, shown) in cases {
        let site = site()
            .and([
                with_team_slot(ANNA, START_SESSIONS_ONLY, NO_ACCESS),
                team_member(OPERATIONS, ANNA, viewer),
                team_member(OPERATIONS, BERT, owner),
            ])
            .and(client(PC2, berts));
        let expected = shown.then_some((START_SESSIONS_ONLY, Grant::Team));
        assert_eq!(
            role_and_grant(&site, ANNA, berts),
            expected,
            "{viewer:?} {owner:?}"
        );
        assert_eq!(sees_list_of(site.world(), ANNA, BERT), shown);
        assert_eq!(visible_groups(site.world(), ANNA).contains(&berts), shown);
        // No Access in the slot hides them (ROLE-15).
        let hidden = site.and([with_team_slot(ANNA, NO_ACCESS, NO_ACCESS)]);
        assert!(!sees_list_of(hidden.world(), ANNA, BERT));
    }
}

/// ROLE-12, ROLE-13, GRP-17: the System slot is for those outside one's teams.
#[test]
fn the_system_slot_opens_the_lists_of_those_outside_the_teams() {
    let site = site().and([
        with_team_slot(ANNA, START_SESSIONS_ONLY, ADMINISTRATOR),
        team_member(OPERATIONS, ANNA, TeamRole::Lead),
        team_member(OPERATIONS, BERT, TeamRole::Lead),
        team_member(SUPPORT, CARA, TeamRole::Lead),
    ]);
    let list = JumpGroupRef::Personal;
    assert_eq!(role_and_grant(&site, ANNA, list(BERT)), None);
    assert_eq!(
        role_and_grant(&site, ANNA, list(CARA)),
        Some((ADMINISTRATOR, Grant::System))
    );
    // Above in another team they share is enough.
    let site = site.and([
        team_member(SUPPORT, ANNA, TeamRole::Manager),
        team_member(SUPPORT, BERT, TeamRole::Member),
    ]);
    assert_eq!(
        role_and_grant(&site, ANNA, list(BERT)),
        Some((START_SESSIONS_ONLY, Grant::Team))
    );
    assert_eq!(role_and_grant(&site, ANNA, list(UserId(99))), None);
}

/// GPOL-07, GPOL-11: teams come from group policies too, and a direct membership counts before them.
#[test]
fn group_policies_put_users_into_teams() {
    let operations = Of::Team(OPERATIONS);
    let site = site().and([
        policy_row(ADMINS, operations, Row::Team(TeamRole::Lead)),
        policy_row(USERS, operations, Row::Team(TeamRole::Manager)),
        policy_row(USERS, Of::Team(SUPPORT), Row::Team(TeamRole::Member)),
        team_member(OPERATIONS, BERT, TeamRole::Lead),
        with_team_slot(ANNA, START_SESSIONS_ONLY, NO_ACCESS),
    ]);
    let world = site.world();
    assert_eq!(
        teams_of(world, ANNA),
        [(OPERATIONS, TeamRole::Manager), (SUPPORT, TeamRole::Member)]
    );
    assert_eq!(
        members_of_team(world, OPERATIONS),
        [(ANNA, TeamRole::Manager), (BERT, TeamRole::Lead)]
    );
    assert!(sees_list_of(world, ANNA, BERT));
    let direct = site
        .clone()
        .and([team_member(OPERATIONS, ANNA, TeamRole::Member)]);
    assert_eq!(
        role_in_team(direct.world(), ANNA, OPERATIONS),
        Some(TeamRole::Member)
    );
    assert!(!sees_list_of(direct.world(), ANNA, BERT));
    let removed = site.and([policy_row(LAST, operations, Row::Removal)]);
    assert_eq!(role_in_team(removed.world(), ANNA, OPERATIONS), None);
    assert_eq!(
        teams_of(removed.world(), ANNA),
        [(SUPPORT, TeamRole::Member)]
    );
    assert_eq!(
        members_of_team(removed.world(), OPERATIONS),
        [(BERT, TeamRole::Lead)]
    );
}

/// GPOL-07, GPOL-11, GPOL-12, ROLE-17: the Jumpoints that group policies let users use, as who makes an item finds out.
#[test]
fn group_policies_let_users_use_jumpoints() {
    const DEPLOYER: JumpItemRoleId = JumpItemRoleId(9);
    let east = JumpointId(1);
    let site = site().and([
        a_jumpoint(east, |_| {}),
        role(DEPLOYER, |role| role.perm_add = true),
        member(WEB_SERVERS, ANNA, DEPLOYER),
        member(WEB_SERVERS, BERT, DEPLOYER),
    ]);
    let item = || {
        create::<ShellJump>(json!({
            "name": "router", "jumpoint_id": 1, "hostname": "r", "protocol": "ssh", "jump_group_id": 1,
        }))
    };
    let refused = || Refusal::JumpointNotAllowed {
        jumpoint: "jumpoint-1".to_owned(),
    };
    let add = |policy| group_policy::Command::AddJumpoint(policy, east);
    let take = |policy| group_policy::Command::AddRemoval(policy, Of::Jumpoint(east));
    // A removal alone gives nothing.
    site.clone()
        .when(ADMIN, take(ADMINS))
        .then_something()
        .when(ANNA, item())
        .then_refused(refused());
    let given = site.when(ADMIN, add(ADMINS)).then_something();
    given.clone().when(ANNA, item()).then_something();
    given.clone().when(BERT, item()).then_refused(refused());
    // One below takes away what was given above, and a later one gives it again.
    let taken = given.when(ADMIN, take(USERS)).then_something();
    taken.clone().when(ANNA, item()).then_refused(refused());
    taken
        .clone()
        .when(ADMIN, add(LAST))
        .then_something()
        .when(ANNA, item())
        .then_something();
    // Who is named on the Jumpoint itself may whatever policies say.
    taken
        .when(ADMIN, jumpoint::Command::AddUser(east, ANNA))
        .then_something()
        .when(ANNA, item())
        .then_something();
}

/// GRP-17, GPOL-13: what group policies and the Team slot show stands in the list of groups.
#[test]
fn the_visible_groups_are_all_that_can_be_reached() {
    let site = site().and([
        with_team_slot(ANNA, START_SESSIONS_ONLY, NO_ACCESS),
        policy_row(ADMINS, WEB, in_web(START_SESSIONS_ONLY, None)),
        policy_row(ADMINS, Of::JumpGroup(USER_SYSTEMS), in_web(NO_ACCESS, None)),
        team_member(OPERATIONS, ANNA, TeamRole::Lead),
        team_member(OPERATIONS, BERT, TeamRole::Member),
        team_member(OPERATIONS, CARA, TeamRole::Lead),
    ]);
    assert_eq!(
        visible_groups(site.world(), ANNA),
        [SHARED, JumpGroupRef::Personal(BERT)]
    );
}
