//! What is passed at install in the place of the installer's values: group, policies, offline minutes.

use super::*;
use crate::access::role::ADMINISTRATOR;
use crate::fleet::jump_client::{OFFLINE_MINUTES_MAX, Overrides};
use crate::ids::{ApiAccountId, JumpPolicyId, UserId};
use crate::site::api_account::ApiAccount;
use crate::site::user::User;
use crate::testing::{BERT, CARA, THURSDAYS, create, user};

/// Lets everything be overridden; made by ANNA, who may deploy into its group and into that of the user systems.
fn open(change: impl FnOnce(&mut JumpClientInstaller)) -> Given {
    given([
        person(ANNA),
        person(BERT),
        group(WEB_SERVERS, "Web Servers"),
        group(USER_SYSTEMS, "User Systems"),
        member(WEB_SERVERS, ANNA, ADMINISTRATOR),
        member(USER_SYSTEMS, ANNA, ADMINISTRATOR),
        policy(ALWAYS, |policy| policy.code_name = "always".to_owned()),
        policy(THURSDAYS, |policy| {
            policy.code_name = "thursdays".to_owned()
        }),
        session_policy(SessionPolicyId(2)),
        session_policy(SessionPolicyId(3)),
        installer(INSTALLER, SHARED, |installer| {
            installer.jump_policy_id = Some(ALWAYS);
            installer.session_policy_id = Some(2);
            installer.max_offline_minutes = 60;
            installer.created_by_user_id = Some(ANNA);
            installer.allow_override_jump_group = true;
            installer.allow_override_jump_policy = true;
            installer.allow_override_session_policy = true;
            installer.allow_override_max_offline_minutes = true;
            change(installer);
        }),
    ])
}

fn passing(change: impl FnOnce(&mut Overrides)) -> Register {
    let mut machine = register(INSTALLER, 1);
    change(&mut machine.overrides);
    machine
}

fn to_group(target: &str) -> Register {
    passing(|passed| passed.jump_group = Some(target.to_owned()))
}

fn made(site: &Given) -> Properties {
    let client = site.world().jump_clients.get(&PC1).expect("it is there");
    client.properties.clone()
}

fn no_such_group(target: &str) -> Refusal {
    Refusal::field(
        "jump_group",
        format!(
            "There is no Jump Group \"{target}\" that the creator of the installer may deploy Jump Clients into."
        ),
    )
}

/// INST-23, INST-27, INST-29, INST-30, INST-31, INST-32: each value fails the install where its mark is missing.
#[test]
fn a_value_without_its_mark_fails_the_install() {
    type Passes = fn(&mut Overrides);
    type Closes = fn(&mut JumpClientInstaller);
    let cases: [(&str, Passes, Closes); 5] = [
        (
            "Jump Group",
            |passed| passed.jump_group = Some("jumpgroup:group_2".to_owned()),
            |installer| installer.allow_override_jump_group = false,
        ),
        (
            "Jump Policy",
            |passed| passed.jump_policy = Some("thursdays".to_owned()),
            |installer| installer.allow_override_jump_policy = false,
        ),
        (
            "session policy",
            |passed| passed.session_policy = Some("session_policy_3".to_owned()),
            |installer| installer.allow_override_session_policy = false,
        ),
        (
            "maximum offline minutes",
            |passed| passed.max_offline_minutes = Some(5_000),
            |installer| installer.allow_override_max_offline_minutes = false,
        ),
        // `--jc-ephemeral` is five minutes, and needs the same mark.
        (
            "maximum offline minutes",
            |passed| passed.max_offline_minutes = Some(5),
            |installer| installer.allow_override_max_offline_minutes = false,
        ),
    ];
    for (field, passes, closes) in cases {
        open(closes)
            .when(Actor::NewJumpClient, passing(passes))
            .then_refused(Refusal::OverrideNotAllowed { field });
        open(|_| {})
            .when(Actor::NewJumpClient, passing(passes))
            .then_something();
    }
}

/// INST-02, INST-27, INST-29, INST-30, INST-31, CLNT-04: what is passed counts in the place of what the installer says.
#[test]
fn a_client_is_what_was_passed_and_the_rest_of_what_its_installer_says() {
    let all = passing(|passed| {
        passed.jump_group = Some("jumpgroup:GROUP_2".to_owned());
        passed.jump_policy = Some("Thursdays".to_owned());
        passed.session_policy = Some("session_policy_3".to_owned());
        passed.max_offline_minutes = Some(OFFLINE_MINUTES_MAX);
    });
    let site = open(|_| {})
        .when(Actor::NewJumpClient, all)
        .then_something();
    let properties = made(&site);
    assert_eq!(properties.group(), JumpGroupRef::Shared(USER_SYSTEMS));
    assert_eq!(properties.jump_policy_id, Some(THURSDAYS));
    assert_eq!(properties.session_policy_id, Some(3));
    assert_eq!(properties.max_offline_minutes, OFFLINE_MINUTES_MAX);

    let one = passing(|passed| passed.session_policy = Some("session_policy_3".to_owned()));
    let site = open(|_| {})
        .when(Actor::NewJumpClient, one)
        .then_something();
    let properties = made(&site);
    assert_eq!(properties.group(), SHARED);
    assert_eq!(properties.jump_policy_id, Some(ALWAYS));
    assert_eq!(properties.session_policy_id, Some(3));
    assert_eq!(properties.max_offline_minutes, 60);
}

/// INST-27: a target that is not there fails the install, and says which.
#[test]
fn what_is_not_there_fails_the_install() {
    let refused = |machine: Register, refusal: Refusal| {
        open(|_| {})
            .when(Actor::NewJumpClient, machine)
            .then_refused(refusal);
    };
    for target in ["jumpgroup:nowhere", "jumpgroup:", "user:nobody", "user:"] {
        refused(to_group(target), no_such_group(target));
    }
    refused(
        passing(|passed| passed.jump_policy = Some("never".to_owned())),
        Refusal::field(
            "jump_policy",
            "There is no Jump Policy with the code name \"never\".",
        ),
    );
    refused(
        passing(|passed| passed.session_policy = Some("never".to_owned())),
        Refusal::field(
            "session_policy",
            "There is no session policy with the code name \"never\".",
        ),
    );
    // All that is wrong is told at once.
    let all = passing(|passed| {
        passed.jump_group = Some("jumpgroup:nowhere".to_owned());
        passed.jump_policy = Some("never".to_owned());
        passed.session_policy = Some("x".repeat(255));
        passed.max_offline_minutes = Some(0);
    });
    open(|_| {}).when(Actor::NewJumpClient, all).then_invalid(&[
        "jump_group",
        "jump_policy",
        "session_policy",
        "max_offline_minutes",
    ]);
}

/// INST-28: `team:` is a leftover of another product, and what has no kind is none of ours.
#[test]
fn a_team_is_no_group() {
    open(|_| {})
        .when(Actor::NewJumpClient, to_group("team:operations"))
        .then_refused(Refusal::field(
            "jump_group",
            "The jump_group field does not take a team: pass user:<username> or jumpgroup:<code name>.",
        ));
    for target in ["group_2", "", "group:group_2", "jumpgroup"] {
        let asked = open(|_| {}).when(Actor::NewJumpClient, to_group(target));
        asked.then_invalid(&["jump_group"]);
    }
    open(|_| {})
        .when(Actor::NewJumpClient, to_group("group_2"))
        .then_refused(Refusal::field(
            "jump_group",
            "The jump_group field must be user:<username> or jumpgroup:<code name>.",
        ));
}

/// INST-31
#[test]
fn offline_minutes_are_bounded() {
    for (minutes, good) in [
        (0, false),
        (1, true),
        (5, true),
        (5_256_000, true),
        (5_256_001, false),
        (u32::MAX, false),
    ] {
        let machine = passing(|passed| passed.max_offline_minutes = Some(minutes));
        let asked = open(|_| {}).when(Actor::NewJumpClient, machine);
        if good {
            assert_eq!(made(&asked.then_something()).max_offline_minutes, minutes);
        } else {
            asked.then_invalid(&["max_offline_minutes"]);
        }
    }
}

/// INST-59: what the creator may do counts when the client registers, for shared groups and personal lists.
#[test]
fn a_group_is_reached_only_where_the_creator_may_deploy() {
    let machine = || to_group("jumpgroup:group_2");
    let site = open(|_| {});
    // The right was withdrawn since.
    site.clone()
        .and([member(USER_SYSTEMS, ANNA, START_SESSIONS_ONLY)])
        .when(Actor::NewJumpClient, machine())
        .then_refused(no_such_group("jumpgroup:group_2"));
    // Her own list, by her Personal slot; somebody else's, out of her reach.
    let with_list = |change: fn(&mut User)| site.clone().and([user(ANNA, change)]);
    let hers = with_list(|user| user.private_jump_item_role_id = ADMINISTRATOR)
        .when(Actor::NewJumpClient, to_group("user:USER-2"))
        .then_something();
    assert_eq!(made(&hers).group(), JumpGroupRef::Personal(ANNA));
    with_list(|user| user.private_jump_item_role_id = START_SESSIONS_ONLY)
        .when(Actor::NewJumpClient, to_group("user:user-2"))
        .then_refused(no_such_group("user:user-2"));
    site.clone()
        .when(Actor::NewJumpClient, to_group("user:user-3"))
        .then_refused(no_such_group("user:user-3"));
    with_list(|user| user.unassigned_jump_item_role_id = ADMINISTRATOR)
        .when(Actor::NewJumpClient, to_group("user:user-3"))
        .then_something();
}

/// INST-59: a creator that is switched off or gone reaches nothing beyond the installer's own group.
#[test]
fn a_creator_that_is_gone_reaches_the_installers_own_group_alone() {
    let machine = || to_group("jumpgroup:group_2");
    let own = || to_group("jumpgroup:group_1");
    let gone = |by: Option<UserId>, account: Option<ApiAccountId>| {
        open(|installer| {
            installer.created_by_user_id = by;
            installer.created_by_api_account_id = account;
        })
    };
    for site in [
        gone(None, None),
        gone(Some(CARA), None),
        gone(None, Some(ApiAccountId(99))),
        gone(Some(ANNA), None).and([user(ANNA, |user| user.enabled = false)]),
    ] {
        site.clone()
            .when(Actor::NewJumpClient, machine())
            .then_refused(no_such_group("jumpgroup:group_2"));
        let site = site.when(Actor::NewJumpClient, own()).then_something();
        assert_eq!(made(&site).group(), SHARED);
    }
}

/// INST-59: one installer of a service account reaches every group, for as long as the account may configure.
#[test]
fn a_service_account_reaches_every_group() {
    let machine = || to_group("user:user-3");
    let site = || {
        open(|installer| {
            installer.created_by_user_id = None;
            installer.created_by_api_account_id = Some(API);
        })
    };
    let reached = site()
        .when(Actor::NewJumpClient, machine())
        .then_something();
    assert_eq!(made(&reached).group(), JumpGroupRef::Personal(BERT));
    for change_to in [
        json!({"enabled": false}),
        json!({"perm_configuration": false}),
    ] {
        site()
            .when(ADMIN, change::<ApiAccount>(API, change_to))
            .then_something()
            .when(Actor::NewJumpClient, machine())
            .then_refused(no_such_group("user:user-3"));
    }
}

/// INST-59: who makes an installer is written down with it.
#[test]
fn an_installer_knows_who_made_it() {
    let body = || {
        create::<JumpClientInstaller>(json!({
            "jump_group_id": WEB_SERVERS.0, "secret_hash": "5".repeat(64),
        }))
    };
    let creator = |asked: crate::testing::Outcome| {
        let site = asked.then_something();
        let (_, made) = site.world().installers.iter().last().expect("one");
        (made.created_by_user_id, made.created_by_api_account_id)
    };
    let site = || open(|_| {});
    assert_eq!(creator(site().when(ANNA, body())), (Some(ANNA), None));
    assert_eq!(creator(site().when(API, body())), (None, Some(API)));
    assert_eq!(creator(site().when(Actor::Operator, body())), (None, None));
    // Nobody claims to be another.
    let forged = create::<JumpClientInstaller>(json!({
        "jump_group_id": WEB_SERVERS.0, "secret_hash": "5".repeat(64),
        "created_by_user_id": 1, "site_builds": 99,
    }));
    assert_eq!(creator(site().when(ANNA, forged)), (Some(ANNA), None));
}

/// INST-21: the maximum of the installer is the client's own, before the site's days.
#[test]
fn the_installers_offline_minutes_are_its_clients() {
    let site = open(|_| {})
        .when(Actor::NewJumpClient, register(INSTALLER, 1))
        .then_something();
    let client = site.world().jump_clients.get(&PC1).expect("it is there");
    assert_eq!(site.world().offline_minutes(client), 60);
    let site = open(|installer| installer.max_offline_minutes = 0)
        .when(Actor::NewJumpClient, register(INSTALLER, 1))
        .then_something();
    let client = site.world().jump_clients.get(&PC1).expect("it is there");
    assert_eq!(site.world().offline_minutes(client), 180 * 1_440);
}

/// A policy that is named by its number is none: only code names count.
#[test]
fn a_number_names_no_policy() {
    let by_number = passing(|passed| passed.jump_policy = Some(JumpPolicyId(1).to_string()));
    open(|_| {})
        .when(Actor::NewJumpClient, by_number)
        .then_invalid(&["jump_policy"]);
}
