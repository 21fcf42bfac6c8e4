//! Installers: what they hold, how long they are good, and who may make one.

use serde_json::{Value, json};

use super::{JumpClientInstaller, VALID_MINUTES_DEFAULT};
use crate::access::role::{ADMINISTRATOR, JumpItemPermission, START_SESSIONS_ONLY};
use crate::ids::{JumpGroupRef, KeyedHash, SessionPolicyId};
use crate::record;
use crate::testing::{
    ANNA, API, BERT, Given, INSTALLER, Outcome, SHARED, WEB_SERVERS, create, delete, drawn, given,
    group, installer, member, person, session_policy, user,
};
use crate::time::MINUTE;
use crate::{Event, Refusal};

mod handling;

fn site() -> Given {
    given([
        user(ANNA, |user| user.private_jump_item_role_id = ADMINISTRATOR),
        person(BERT),
        group(WEB_SERVERS, "Web Servers"),
        session_policy(SessionPolicyId(2)),
        member(WEB_SERVERS, ANNA, START_SESSIONS_ONLY),
    ])
}

fn body(mut more: Value) -> Value {
    more["secret_hash"] = "5".repeat(64).into();
    if more.get("jump_group_id").is_none() {
        more["jump_group_id"] = WEB_SERVERS.0.into();
    }
    more
}

fn made(asked: &Outcome) -> JumpClientInstaller {
    match asked.events() {
        [Event::JumpClientInstaller(INSTALLER, record::Event::Created(made))] => made.clone(),
        other => panic!("{other:?}"),
    }
}

/// INST-01
#[test]
fn an_installer_keeps_all_that_its_clients_get() {
    let asked = site().when(
        API,
        create::<JumpClientInstaller>(body(json!({
            "name": "web", "tag": "linux", "comments": "rack 4", "session_policy_id": 2,
            "valid_duration": 60, "max_offline_minutes": 5, "elevate_install": false,
            "elevate_prompt": false, "connection_type": "passive", "allow_override_name": true,
            "key_info": {}, "id": 7, "expiration_timestamp": "2030-01-01T00:00:00Z",
        }))),
    );
    let now = site().now();
    let expected = JumpClientInstaller {
        name: "web".to_owned(),
        jump_group_id: WEB_SERVERS.0,
        tag: "linux".to_owned(),
        comments: "rack 4".to_owned(),
        session_policy_id: Some(2),
        valid_duration: 60,
        max_offline_minutes: 5,
        elevate_install: false,
        elevate_prompt: false,
        connection_type: "passive".to_owned(),
        allow_override_name: true,
        installer_id: format!("{:032x}", drawn(1, 0)),
        expiration_timestamp: now.plus(60 * MINUTE),
        secret_hash: Some(KeyedHash("5".repeat(64))),
        created_by_api_account_id: Some(API),
        ..JumpClientInstaller::default()
    };
    let made = made(&asked);
    assert_eq!(made, expected);
    let site = asked.then_something();
    assert_eq!(
        site.world().installer_with(&made.installer_id),
        Some(INSTALLER)
    );
    // The secret and how long it was asked to be good are never shown.
    let shown = record::render(INSTALLER, &made);
    assert!(!shown.contains_key("secret_hash") && !shown.contains_key("valid_duration"));
    assert_eq!(shown["expiration_timestamp"], "2026-03-02T10:00:00+00:00");
}

/// INST-03
#[test]
fn an_installer_is_good_for_ten_minutes_to_a_year() {
    for (minutes, good) in [(9, false), (10, true), (525_600, true), (525_601, false)] {
        let asked = site().when(
            API,
            create::<JumpClientInstaller>(body(json!({"valid_duration": minutes}))),
        );
        if good {
            let made = made(&asked);
            assert_eq!(
                made.expiration_timestamp,
                site().now().plus(minutes * MINUTE)
            );
        } else {
            asked.then_invalid(&["valid_duration"]);
        }
    }
    let unasked = made(&site().when(API, create::<JumpClientInstaller>(body(json!({})))));
    assert_eq!(unasked.valid_duration, VALID_MINUTES_DEFAULT);
}

/// ROLE-16
#[test]
fn making_an_installer_needs_create_and_deploy_in_its_group() {
    let for_the_group = || create::<JumpClientInstaller>(body(json!({})));
    let lacks = || Refusal::RoleLacks {
        permission: JumpItemPermission::CreateAndDeploy,
    };
    site().when(ANNA, for_the_group()).then_refused(lacks());
    site()
        .when(BERT, for_the_group())
        .then_refused(Refusal::NoSuchJumpGroup { group: SHARED });
    let hers = json!({"jump_group_id": ANNA.0, "jump_group_type": "personal"});
    let made = made(&site().when(ANNA, create::<JumpClientInstaller>(body(hers))));
    assert_eq!(made.group(), JumpGroupRef::Personal(ANNA));
    site()
        .and([member(WEB_SERVERS, ANNA, ADMINISTRATOR)])
        .when(ANNA, for_the_group())
        .then_something()
        .when(ANNA, delete::<JumpClientInstaller>(INSTALLER))
        .then_something();
    site()
        .and([installer(INSTALLER, SHARED, |_| {})])
        .when(ANNA, delete::<JumpClientInstaller>(INSTALLER))
        .then_refused(lacks());
}

/// INST-01, ERR-04: what it names must be there.
#[test]
fn what_an_installer_names_must_be_there() {
    for (more, field) in [
        (json!({"jump_group_id": 99}), "jump_group_id"),
        (json!({"jump_policy_id": 99}), "jump_policy_id"),
        (json!({"jumpoint_proxy": "gone"}), "jumpoint_proxy"),
        (json!({"connection_type": "uninstalled"}), "connection_type"),
    ] {
        site()
            .when(API, create::<JumpClientInstaller>(body(more)))
            .then_invalid(&[field]);
    }
    site()
        .when(API, create::<JumpClientInstaller>(json!({})))
        .then_invalid(&["jump_group_id"]);
    site()
        .when(
            API,
            create::<JumpClientInstaller>(json!({"jump_group_id": 1})),
        )
        .then_invalid(&["secret_hash"]);
    let refusal = site()
        .when(
            API,
            create::<JumpClientInstaller>(body(json!({"jumpoint_proxy": "gone"}))),
        )
        .decision()
        .clone();
    assert_eq!(
        refusal,
        Err(Refusal::field(
            "jumpoint_proxy",
            "The associated Jumpoint-proxy no longer exists."
        ))
    );
}
