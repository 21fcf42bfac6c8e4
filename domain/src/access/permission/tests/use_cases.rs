//! The two use cases of the Jump Client Guide, as far as permissions go.

use serde_json::json;

use super::super::{Effective, access_to_group, need, visible_groups};
use crate::access::explain::{Action, explain};
use crate::access::group_policy::{GroupPolicy, Of, Row};
use crate::access::jump_group::Membership;
use crate::access::role::{ADMINISTRATOR, JumpItemPermission, NO_ACCESS, START_SESSIONS_ONLY};
use crate::fleet::installer::JumpClientInstaller;
use crate::fleet::jump_client::Properties;
use crate::ids::{
    GroupPolicyId, JumpClientId, JumpGroupId, JumpGroupRef, JumpItemRef, JumpItemRoleId,
    JumpPolicyId, UserId,
};
use crate::policy::gates::Need;
use crate::policy::schedule::ScheduleEntry;
use crate::testing::{
    ADMINS, ANNA, BERT, CARA, Given, PC1, PC2, THURSDAY, USERS, change, client, create, delete,
    given, group, group_policy, policy, policy_member, policy_row, schedule, start, user,
};
use crate::time::HOUR;
use crate::{Event, Refusal};

const FIRST: JumpGroupId = JumpGroupId(1);
const SECOND: JumpGroupId = JumpGroupId(2);
const THIRD: JumpGroupId = JumpGroupId(3);
const THIRD_PARTY: GroupPolicyId = GroupPolicyId(3);
const NOTIFICATION: JumpPolicyId = JumpPolicyId(1);
const THURSDAYS: JumpPolicyId = JumpPolicyId(2);
const AUTHORIZATION: JumpPolicyId = JumpPolicyId(3);

/// Endpoints, Jump Clients, and these slots: Default, Personal, Team, System.
fn settings(id: GroupPolicyId, slots: [JumpItemRoleId; 4]) -> Event {
    group_policy(id, |policy: &mut GroupPolicy| {
        policy.access_perm_status = "defined".to_owned();
        policy.perm_access_allowed = true;
        policy.perm_jump_client = true;
        let [default, personal, team, system] = slots;
        policy.default_jump_item_role_id = default;
        policy.private_jump_item_role_id = personal;
        policy.inferior_jump_item_role_id = team;
        policy.unassigned_jump_item_role_id = system;
    })
}

fn row(
    policy: GroupPolicyId,
    group: JumpGroupId,
    role: JumpItemRoleId,
    jump_policy: impl Into<Option<JumpPolicyId>>,
) -> Event {
    let membership = Membership {
        jump_item_role_id: Some(role),
        jump_policy_id: jump_policy.into(),
    };
    policy_row(policy, Of::JumpGroup(group), Row::JumpGroup(membership))
}

fn item(client: JumpClientId) -> JumpItemRef {
    JumpItemRef::JumpClient(client)
}

fn may(site: &Given, user: UserId, client: JumpClientId, permission: JumpItemPermission) -> bool {
    need(site.world(), user, item(client), permission).is_ok()
}

/// Anna is in "Admin", Bert in "Users"; PC1 is in "Shared", PC2 in Bert's list, PC 3 in Anna's.
fn basic() -> Given {
    let admin = [
        ADMINISTRATOR,
        ADMINISTRATOR,
        START_SESSIONS_ONLY,
        START_SESSIONS_ONLY,
    ];
    let users = [START_SESSIONS_ONLY, ADMINISTRATOR, NO_ACCESS, NO_ACCESS];
    given([
        user(ANNA, |_| {}),
        user(BERT, |_| {}),
        group(FIRST, "Shared"),
        settings(ADMINS, admin),
        settings(USERS, users),
        policy_member(ADMINS, ANNA),
        policy_member(USERS, BERT),
        row(ADMINS, FIRST, ADMINISTRATOR, None),
        row(USERS, FIRST, START_SESSIONS_ONLY, None),
    ])
    .and(client(PC1, JumpGroupRef::Shared(FIRST)))
    .and(client(PC2, JumpGroupRef::Personal(BERT)))
    .and(client(JumpClientId(3), JumpGroupRef::Personal(ANNA)))
}

fn installer_for(group: JumpGroupRef) -> crate::Command {
    create::<JumpClientInstaller>(json!({
        "jump_group_id": group.number(), "jump_group_type": group.type_name(),
        "secret_hash": "0".repeat(64),
    }))
}

/// GPOL-13, GPOL-18, ROLE-11, ROLE-16
#[test]
fn admins_manage_the_shared_group_and_start_everywhere() {
    let site = basic();
    let shared = JumpGroupRef::Shared(FIRST);
    for group in [shared, JumpGroupRef::Personal(ANNA)] {
        site.clone()
            .when(ANNA, installer_for(group))
            .then_something();
    }
    for (client, may_manage) in [(PC1, true), (PC2, false), (JumpClientId(3), true)] {
        assert!(may(&site, ANNA, client, JumpItemPermission::Start));
        for permission in [JumpItemPermission::Remove, JumpItemPermission::EditTag] {
            assert_eq!(may(&site, ANNA, client, permission), may_manage, "{client}");
        }
        site.clone()
            .when(ANNA, start(ANNA, client))
            .then_something();
    }
    // Not into the list of another.
    let berts = installer_for(JumpGroupRef::Personal(BERT));
    assert!(site.when(ANNA, berts).decision().is_err());
}

/// GPOL-14, GPOL-19, ROLE-19, ROLE-21, GRP-18
#[test]
fn users_start_in_the_shared_group_and_manage_their_own_list() {
    let site = basic();
    let shared = JumpGroupRef::Shared(FIRST);
    site.clone().when(BERT, start(BERT, PC1)).then_something();
    site.clone()
        .when(BERT, change::<Properties>(PC1, json!({"tag": "x"})))
        .then_refused(Refusal::RoleLacks {
            permission: JumpItemPermission::EditTag,
        });
    site.clone()
        .when(BERT, delete::<Properties>(PC1))
        .then_refused(Refusal::RoleLacks {
            permission: JumpItemPermission::Remove,
        });
    let refused = site.clone().when(BERT, installer_for(shared));
    assert!(refused.decision().is_err(), "{:?}", refused.decision());
    site.clone()
        .when(BERT, installer_for(JumpGroupRef::Personal(BERT)))
        .then_something();
    site.clone()
        .when(BERT, delete::<Properties>(PC2))
        .then_something();
    assert_eq!(
        visible_groups(site.world(), BERT),
        [shared, JumpGroupRef::Personal(BERT)]
    );
    // The admin's second list: everyone whose items she may see.
    assert_eq!(
        visible_groups(site.world(), ANNA),
        [
            shared,
            JumpGroupRef::Personal(crate::testing::ADMIN),
            JumpGroupRef::Personal(ANNA),
            JumpGroupRef::Personal(BERT)
        ]
    );
    site.when(BERT, start(BERT, JumpClientId(3)))
        .then_refused(Refusal::JumpClientGone);
}

/// Bert is a local user, Cara a third party; PC1 is in "Web Servers", PC2 in "User Systems".
fn advanced() -> Given {
    let local = [
        START_SESSIONS_ONLY,
        ADMINISTRATOR,
        START_SESSIONS_ONLY,
        START_SESSIONS_ONLY,
    ];
    given([
        user(BERT, |_| {}),
        user(CARA, |_| {}),
        group(FIRST, "Web Servers"),
        group(SECOND, "Directory Servers"),
        group(THIRD, "User Systems"),
        policy(NOTIFICATION, |policy| {
            policy.session_start_notification = true;
            policy.notification_email_addresses = vec!["manager@example.com".to_owned()];
            policy.notification_display_name = "Manager".to_owned();
        }),
        policy(THURSDAYS, |policy| policy.schedule_enabled = true),
        schedule(
            THURSDAYS,
            "UTC",
            &[ScheduleEntry {
                start_day: 3,
                start_minute: 480,
                end_day: 3,
                end_minute: 1020,
            }],
        ),
        policy(AUTHORIZATION, |policy| {
            policy.approval_required = true;
            policy.approval_max_duration = 180;
            policy.approval_email_addresses = vec!["manager@example.com".to_owned()];
            policy.approval_display_name = "Manager".to_owned();
        }),
        settings(USERS, local),
        settings(THIRD_PARTY, [NO_ACCESS; 4]),
        policy_member(USERS, BERT),
        policy_member(THIRD_PARTY, CARA),
        row(USERS, FIRST, START_SESSIONS_ONLY, NOTIFICATION),
        row(USERS, SECOND, START_SESSIONS_ONLY, NOTIFICATION),
        row(USERS, THIRD, START_SESSIONS_ONLY, THURSDAYS),
        row(THIRD_PARTY, FIRST, START_SESSIONS_ONLY, AUTHORIZATION),
    ])
    .and(client(PC1, JumpGroupRef::Shared(FIRST)))
    .and(client(PC2, JumpGroupRef::Shared(THIRD)))
    .and(client(JumpClientId(3), JumpGroupRef::Shared(SECOND)))
}

/// GPOL-08, GPOL-15
#[test]
fn local_users_are_notified_of_or_held_to_the_schedule() {
    let site = advanced();
    let ask = |client, at| {
        explain(site.world(), BERT, item(client), Action::Start, at).expect("an explanation")
    };
    for client in [PC1, JumpClientId(3)] {
        let why = ask(client, THURSDAY);
        assert!(why.reasons.is_empty(), "{why:?}");
        assert_eq!(
            why.needs,
            [Need::NotificationConsent {
                display_name: "Manager".to_owned(),
                at_start: true,
                at_end: false,
            }]
        );
    }
    assert!(ask(PC2, THURSDAY).allowed, "10:00 on a Thursday");
    for closed in [THURSDAY.plus(7 * HOUR), site.now()] {
        let why = ask(PC2, closed);
        let codes: Vec<&str> = why.reasons.iter().map(|reason| reason.code).collect();
        assert_eq!(codes, ["outside_schedule"]);
    }
}

/// GPOL-16
#[test]
fn third_parties_see_one_group_and_need_approval() {
    let site = advanced();
    let web = JumpGroupRef::Shared(FIRST);
    assert_eq!(visible_groups(site.world(), CARA), [web]);
    let access = access_to_group(site.world(), CARA, web).expect("access");
    assert_eq!(access.jump_policy_id, Some(AUTHORIZATION));
    let settings = Effective::of(site.world(), CARA).expect("she is there");
    assert!(settings.may_access_endpoints());
    let why = explain(site.world(), CARA, item(PC1), Action::Start, site.now()).expect("an answer");
    assert!(!why.allowed, "{why:?}");
    assert!(
        site.clone()
            .when(CARA, start(CARA, PC1))
            .decision()
            .is_err()
    );
    let own_list = installer_for(JumpGroupRef::Personal(CARA));
    assert!(site.when(CARA, own_list).decision().is_err());
}
