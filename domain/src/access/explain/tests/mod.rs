//! Why somebody may or may not, in words.

use serde_json::json;

use super::{Action, Explanation, Named, explain};
use crate::access::group_policy::{Of, Row};
use crate::access::jump_group::Membership;
use crate::access::permission::Grant;
use crate::access::role::{ADMINISTRATOR, JumpItemPermission, NO_ACCESS, START_SESSIONS_ONLY};
use crate::ids::{JumpClientId, JumpGroupRef, JumpItemRef, UserId};
use crate::policy::schedule::ScheduleEntry;
use crate::testing::{
    ADMINS, ANNA, BERT, Given, OPERATIONS, PC1, PC2, SHARED, THURSDAY, THURSDAYS, WEB_SERVERS,
    client, given, group, group_policy, member, member_under, person, policy, policy_member,
    policy_row, registered, schedule, start, team, team_member, user,
};
use crate::{Refusal, site::team::TeamRole};

const ITEM: JumpItemRef = JumpItemRef::JumpClient(PC1);

fn site() -> Given {
    given([
        person(ANNA),
        person(BERT),
        group(WEB_SERVERS, "Web Servers"),
        policy(THURSDAYS, |policy| {
            policy.display_name = "Thursdays".to_owned();
            policy.schedule_enabled = true;
        }),
        schedule(
            THURSDAYS,
            "Europe/Berlin",
            &[ScheduleEntry {
                start_day: 3,
                start_minute: 480,
                end_day: 3,
                end_minute: 1020,
            }],
        ),
        group_policy(ADMINS, |policy| policy.name = "Admin".to_owned()),
        team(OPERATIONS),
    ])
    .and(client(PC1, SHARED))
    .and(client(PC2, JumpGroupRef::Personal(BERT)))
}

fn of_anna(site: &Given, action: Action) -> Explanation {
    explain(site.world(), ANNA, ITEM, action, site.now()).expect("an explanation")
}

fn codes(explanation: &Explanation) -> Vec<(&'static str, &'static str)> {
    let reasons = explanation.reasons.iter();
    reasons.map(|reason| (reason.code, reason.rule)).collect()
}

/// ROLE-05, ROLE-20: what is allowed names its grant.
#[test]
fn what_is_allowed_names_role_and_grant() {
    let site = site().and([member(WEB_SERVERS, ANNA, START_SESSIONS_ONLY)]);
    let why = of_anna(&site, Action::Start);
    assert!(why.allowed, "{why:?}");
    assert_eq!((why.grant, why.rule), (Some(Grant::Member), "ROLE-05"));
    assert_eq!(
        why.role,
        Some(Named {
            id: START_SESSIONS_ONLY,
            name: "Start Sessions Only".to_owned()
        })
    );
    assert_eq!(
        why.granted_by.as_deref(),
        Some("The role in the user's membership of the Jump Group \"Web Servers\".")
    );
    assert!(why.would_help.is_empty() && why.policy.is_none() && why.settings_from.is_none());
    site.when(ANNA, start(ANNA, PC1)).then_something();
}

/// ROLE-19, ROLE-06: the weaker role says what would help, and where.
#[test]
fn a_role_that_lacks_a_permission_says_where_it_would_be_set() {
    let row = |role| {
        Row::JumpGroup(Membership {
            jump_item_role_id: role,
            jump_policy_id: None,
        })
    };
    let web = Of::JumpGroup(WEB_SERVERS);
    let site = site().and([
        policy_member(ADMINS, ANNA),
        policy_row(ADMINS, web, row(Some(START_SESSIONS_ONLY))),
    ]);
    let remove = Action::Permission(JumpItemPermission::Remove);
    let why = of_anna(&site, remove);
    assert!(!why.allowed);
    assert_eq!(codes(&why), [("role_lacks", "ROLE-19")]);
    assert_eq!(
        (why.grant, why.rule),
        (Some(Grant::GroupPolicy(ADMINS)), "ROLE-06")
    );
    assert_eq!(
        why.would_help,
        [
            "A Jump Item Role with \"Remove existing Jump Items\" in the group policy \"Admin\" for the Jump Group \"Web Servers\"."
        ]
    );
    let by_default = site.and([policy_row(ADMINS, web, row(None))]);
    let why = of_anna(&by_default, remove);
    assert_eq!(codes(&why), [("jump_client_gone", "ROLE-15")]);
    assert_eq!(why.rule, "ROLE-10");
}

/// GPOL-04, GPOL-05, ROLE-15: everything that stands against a start is named at once.
#[test]
fn a_refused_start_names_everything_that_stands_against_it() {
    let site = site().and([user(ANNA, |user| user.enabled = false)]);
    let why = of_anna(&site, Action::Start);
    assert_eq!(
        codes(&why),
        [
            ("user_disabled", "ROLE-31"),
            ("endpoint_access_not_allowed", "GPOL-04"),
            ("jump_method_not_allowed", "GPOL-05"),
            ("jump_client_gone", "ROLE-15"),
        ]
    );
    assert_eq!(why.would_help.len(), 5, "{:?}", why.would_help);
    let member = site.and([
        member(WEB_SERVERS, ANNA, START_SESSIONS_ONLY),
        policy_member(ADMINS, ANNA),
        group_policy(ADMINS, |policy| {
            policy.name = "Admin".to_owned();
            policy.access_perm_status = "defined".to_owned();
            policy.perm_access_allowed = true;
        }),
    ]);
    let why = of_anna(&member, Action::Start);
    assert_eq!(why.settings_from.as_deref(), Some("Admin"));
    assert_eq!(
        codes(&why),
        [
            ("user_disabled", "ROLE-31"),
            ("jump_method_not_allowed", "GPOL-05"),
        ]
    );
}

/// POL-13: until when a policy is closed, in its own zone.
#[test]
fn a_closed_policy_says_until_when() {
    let site = site().and([member_under(
        WEB_SERVERS,
        ANNA,
        START_SESSIONS_ONLY,
        THURSDAYS,
    )]);
    let why = of_anna(&site, Action::Start);
    assert!(!why.allowed);
    assert_eq!(
        why.policy.as_ref().map(|policy| policy.name.as_str()),
        Some("Thursdays")
    );
    assert_eq!(codes(&why), [("outside_schedule", "POL-13")]);
    assert_eq!(
        why.would_help,
        [
            "Waiting: the policy \"Thursdays\" is closed until Thursday, 2026-03-05 08:00 (Europe/Berlin)."
        ]
    );
    let open = explain(site.world(), ANNA, ITEM, Action::Start, THURSDAY).expect("an answer");
    assert!(open.allowed, "{open:?}");
    // Editing asks no schedule.
    assert_eq!(
        codes(&of_anna(
            &site,
            Action::Permission(JumpItemPermission::EditTag)
        )),
        [("role_lacks", "ROLE-21")]
    );
}

/// SESS-17: the item's state, and what the user can still supply.
#[test]
fn the_state_of_the_item_and_what_is_needed_are_named() {
    const OFFLINE: JumpClientId = JumpClientId(9);
    let site = site().and([
        member_under(WEB_SERVERS, ANNA, START_SESSIONS_ONLY, THURSDAYS),
        registered(OFFLINE, SHARED, |_| {}),
        policy(THURSDAYS, |policy| {
            policy.session_start_notification = true;
            policy.notification_display_name = "the owners".to_owned();
        }),
    ]);
    let why = explain(
        site.world(),
        ANNA,
        JumpItemRef::JumpClient(OFFLINE),
        Action::Start,
        site.now(),
    )
    .expect("an answer");
    assert_eq!(codes(&why), [("jump_client_offline", "SESS-17")]);
    assert_eq!(
        why.would_help,
        [
            "The Jump Client coming online.",
            "Going on although the owners will be notified."
        ]
    );
    assert!(!why.allowed && why.needs.len() == 1);
}

/// APPR-01: an approval that nobody could give, and one that somebody could.
#[test]
fn approval_says_whose_would_help() {
    let approved_by = |users: &[&str]| {
        let users = users.iter().map(|user| (*user).to_owned()).collect();
        policy(THURSDAYS, |policy| {
            policy.display_name = "Careful".to_owned();
            policy.approval_required = true;
            policy.approval_max_duration = 60;
            policy.approval_user_ids = users;
            policy.approval_display_name = "the owners".to_owned();
        })
    };
    let site = site().and([member_under(
        WEB_SERVERS,
        ANNA,
        START_SESSIONS_ONLY,
        THURSDAYS,
    )]);
    let nobody = site.clone().and([approved_by(&["99"])]);
    let why = of_anna(&nobody, Action::Start);
    assert_eq!(codes(&why), [("no_approver", "APPR-01")]);
    let second = nobody.and([policy(THURSDAYS, |policy| {
        policy.display_name = "Careful".to_owned();
        policy.two_factor_challenge_required = true;
    })]);
    let why = of_anna(&second, Action::Start);
    assert_eq!(codes(&why), [("second_factor_unavailable", "SESS-17")]);
    let somebody = site.and([
        approved_by(&["3"]),
        user(BERT, |user| {
            user.email_address = "bert@example.com".to_owned()
        }),
    ]);
    let why = of_anna(&somebody, Action::Start);
    assert!(!why.allowed && why.reasons.is_empty(), "{why:?}");
    assert_eq!(why.would_help, ["One approval of the owners."]);
}

/// ROLE-12, GRP-16: a teammate's list.
#[test]
fn the_list_of_a_teammate_says_what_rank_would_help() {
    let berts = JumpItemRef::JumpClient(PC2);
    let site = site().and([
        user(ANNA, |user| user.inferior_jump_item_role_id = ADMINISTRATOR),
        team_member(OPERATIONS, ANNA, TeamRole::Member),
        team_member(OPERATIONS, BERT, TeamRole::Member),
    ]);
    let view = Action::Permission(JumpItemPermission::ViewReports);
    let why = explain(site.world(), ANNA, berts, view, site.now()).expect("an answer");
    assert_eq!(codes(&why), [("jump_client_gone", "GRP-16")]);
    assert_eq!((why.grant, why.role.clone()), (None, None));
    assert_eq!(
        why.would_help,
        [
            "A Jump Item Role with \"View Reports\" in the Team slot, as a lead or manager above the owner in a team."
        ]
    );
    let lead = site.and([team_member(OPERATIONS, ANNA, TeamRole::Lead)]);
    let why = explain(lead.world(), ANNA, berts, view, lead.now()).expect("an answer");
    assert!(why.allowed);
    assert_eq!((why.grant, why.rule), (Some(Grant::Team), "ROLE-12"));
}

#[test]
fn who_or_what_is_not_there_has_no_explanation() {
    let site = site();
    let ask = |user, item| explain(site.world(), user, item, Action::Start, site.now()).err();
    assert_eq!(
        ask(UserId(99), ITEM),
        Some(Refusal::NotFound { what: "User" })
    );
    assert_eq!(
        ask(ANNA, JumpItemRef::JumpClient(JumpClientId(99))),
        Some(Refusal::JumpClientGone)
    );
}

/// ROLE-02: every permission has an action, and every action a word.
#[test]
fn every_action_has_a_word() {
    for (word, action) in Action::WORDS {
        assert_eq!(Action::from_word(word), Some(action));
        assert_eq!(json!(action.permission()), word);
    }
    assert_eq!(Action::from_word("fly"), None);
    assert_eq!(NO_ACCESS.0, 1);
}
