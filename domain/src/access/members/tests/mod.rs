//! The member table of a Jump Group.

use serde_json::json;

use super::{GrantedBy, MemberRow, matches, policies, row, rows, title};
use crate::access::group_policy::{self, Of, Row};
use crate::access::jump_group::{self, Membership};
use crate::access::role::{ADMINISTRATOR, NO_ACCESS, START_SESSIONS_ONLY};
use crate::ids::{JumpGroupId, JumpItemRoleId, UserId};
use crate::testing::{
    ADMIN, ADMINS, ANNA, BERT, CARA, Given, THURSDAYS, USERS, WEB_SERVERS, change, given, group,
    group_policy, member_under, person, policy, policy_member, policy_row, user,
};

const WEB: Of = Of::JumpGroup(WEB_SERVERS);

/// The administrator has the System role Administrator, Anna is in the group, Bert by a policy, Cara not at all.
fn site() -> Given {
    given([
        person(ANNA),
        user(BERT, |user| {
            user.username = "bert".to_owned();
            user.private_display_name = "Bert B.".to_owned();
        }),
        person(CARA),
        group(WEB_SERVERS, "Web Servers"),
        policy(THURSDAYS, |_| {}),
        member_under(WEB_SERVERS, ANNA, START_SESSIONS_ONLY, THURSDAYS),
        group_policy(ADMINS, |_| {}),
        group_policy(USERS, |_| {}),
        policy_member(ADMINS, BERT),
        policy_row(
            ADMINS,
            WEB,
            Row::JumpGroup(Membership {
                jump_item_role_id: Some(ADMINISTRATOR),
                jump_policy_id: Some(THURSDAYS),
            }),
        ),
        policy_row(USERS, WEB, Row::Removal),
    ])
}

fn shown(site: &Given) -> Vec<(UserId, String, bool)> {
    rows(site.world(), WEB_SERVERS)
        .into_iter()
        .map(|row| (row.user, row.role, row.editable))
        .collect()
}

/// GRP-06, GRP-07, GRP-10, GRP-12
#[test]
fn the_table_shows_every_way_into_the_group() {
    let expected = [
        MemberRow {
            user: ADMIN,
            role: "System Administrator".to_owned(),
            role_id: ADMINISTRATOR,
            by_default: false,
            policy: None,
            granted_by: GrantedBy::UserPermissions,
            editable: false,
        },
        MemberRow {
            user: ANNA,
            role: "Start Sessions Only".to_owned(),
            role_id: START_SESSIONS_ONLY,
            by_default: false,
            policy: Some(THURSDAYS),
            granted_by: GrantedBy::JumpGroup,
            editable: true,
        },
        MemberRow {
            user: BERT,
            role: "Administrator".to_owned(),
            role_id: ADMINISTRATOR,
            by_default: false,
            policy: Some(THURSDAYS),
            granted_by: GrantedBy::GroupPolicy(ADMINS),
            editable: false,
        },
    ];
    assert_eq!(rows(site().world(), WEB_SERVERS), expected);
    assert!(rows(site().world(), JumpGroupId(9)).is_empty());
    assert_eq!(row(site().world(), WEB_SERVERS, UserId(99)), None);
}

/// GRP-06: the user's default role, whatever it is by then.
#[test]
fn a_membership_without_a_role_shows_the_default_slot() {
    let by_default = Membership::default();
    let site = site().and([
        user(CARA, |user| {
            user.default_jump_item_role_id = START_SESSIONS_ONLY
        }),
        policy_row(ADMINS, WEB, Row::JumpGroup(by_default)),
        member_under(WEB_SERVERS, CARA, None, None),
    ]);
    let of = |user| row(site.world(), WEB_SERVERS, user).expect("a row");
    assert_eq!(of(CARA).role, "Start Sessions Only");
    assert!(of(CARA).by_default && of(CARA).policy.is_none());
    // No Access by a membership is still a membership.
    assert_eq!(of(BERT).role_id, NO_ACCESS);
    assert!(of(BERT).by_default && !of(BERT).editable);
}

/// GRP-09, GRP-12: a direct membership of someone a policy put there is editable; without it the inherited access is back.
#[test]
fn ending_a_direct_membership_brings_back_the_inherited_access() {
    let site = site().and([member_under(WEB_SERVERS, BERT, START_SESSIONS_ONLY, None)]);
    let bert = |site: &Given| row(site.world(), WEB_SERVERS, BERT).expect("a row");
    assert_eq!(
        (bert(&site).role_id, bert(&site).editable),
        (START_SESSIONS_ONLY, true)
    );
    let without = site
        .when(ADMIN, jump_group::Command::RemoveMember(WEB_SERVERS, BERT))
        .then_something();
    assert_eq!(
        (bert(&without).role_id, bert(&without).editable),
        (ADMINISTRATOR, false)
    );
}

/// ROLE-14, GRP-12, GPOL-09, GPOL-10: what changes elsewhere changes the table at once.
#[test]
fn the_table_follows_what_it_is_made_of() {
    let with_system = site()
        .when(
            ADMIN,
            crate::site::user::Command::Record(crate::record::Command::ChangePermissions(
                CARA,
                match json!({"unassigned_jump_item_role_id": 2}) {
                    serde_json::Value::Object(body) => body,
                    _ => unreachable!("an object"),
                },
            )),
        )
        .then_something();
    assert!(shown(&with_system).contains(&(CARA, "System Start Sessions Only".to_owned(), false)));
    let left = site()
        .when(
            ADMIN,
            group_policy::Command::RemoveMember(
                ADMINS,
                site()
                    .world()
                    .policy_member(ADMINS, BERT)
                    .expect("a member"),
            ),
        )
        .then_something();
    assert!(shown(&left).iter().all(|(user, ..)| *user != BERT));
    let renamed = site()
        .when(
            ADMIN,
            change::<crate::access::role::JumpItemRole>(JumpItemRoleId(3), json!({"name": "All"})),
        )
        .then_something();
    assert!(shown(&renamed).contains(&(ADMIN, "System All".to_owned(), false)));
}

/// GRP-05
#[test]
fn the_group_lists_the_policies_that_put_users_into_it() {
    assert_eq!(policies(site().world(), WEB_SERVERS), [ADMINS]);
    let both = site()
        .and([policy_row(
            USERS,
            WEB,
            Row::JumpGroup(Membership::default()),
        )])
        .when(ADMIN, group_policy::Command::SetOrder(vec![USERS, ADMINS]))
        .then_something();
    assert_eq!(policies(both.world(), WEB_SERVERS), [USERS, ADMINS]);
}

/// GRP-11
#[test]
fn the_table_is_filtered_by_user_name() {
    let site = site();
    let world = site.world();
    assert_eq!(title(world, BERT), "Bert B. (bert)");
    for (term, keeps) in [("BERT", true), ("b. (", true), ("", true), ("anna", false)] {
        assert_eq!(matches(world, BERT, term), keeps, "{term}");
    }
}
