//! Shared Jump Groups, their members, and what goes with them.

use serde_json::json;

use super::{Command, Event, JumpGroup, Member, MemberRemoved, Membership};
use crate::access::permission::{Grant, access_to_group};
use crate::access::role::{ADMINISTRATOR, NO_ACCESS, START_SESSIONS_ONLY};
use crate::ids::{
    JumpGroupId, JumpGroupRef, JumpItemRef, JumpItemRoleId, JumpPolicyId, Lsid, UserId,
};
use crate::record::{self, Deleted};
use crate::session::access_session;
use crate::testing::{
    ADMIN, ANNA, BERT, INSTALLER, PC1, PC2, SHARED, THURSDAYS, USER_SYSTEMS, WEB_SERVERS,
    add_member, change, client, create, delete, given, group, installer, member, person, policy,
    register, session, user,
};
use crate::{Actor, Event as Happened, Refusal};

fn created(id: JumpGroupId, name: &str, code_name: &str) -> Happened {
    let group = JumpGroup {
        name: name.to_owned(),
        code_name: code_name.to_owned(),
        ..JumpGroup::default()
    };
    Happened::JumpGroup(id, Event::Record(record::Event::Created(group)))
}

/// GRP-01
#[test]
fn a_group_has_a_unique_name_and_more() {
    let site = given([group(WEB_SERVERS, "Web Servers")]);
    site.clone()
        .when(ADMIN, create::<JumpGroup>(json!({})))
        .then_invalid(&["name"]);
    site.clone()
        .when(ADMIN, create::<JumpGroup>(json!({"name": "web SERVERS"})))
        .then_invalid(&["name"]);
    let body = json!({
        "name": "Directory Servers", "code_name": "DS-1", "comments": "two", "ecm_group_id": 3,
    });
    let made = JumpGroup {
        name: "Directory Servers".to_owned(),
        code_name: "DS-1".to_owned(),
        comments: Some("two".to_owned()),
        ecm_group_id: Some(3),
    };
    site.clone()
        .when(ADMIN, create::<JumpGroup>(body))
        .then([Happened::JumpGroup(
            USER_SYSTEMS,
            Event::Record(record::Event::Created(made)),
        )]);
    // Its own name is not taken by itself, and is free again when it is gone.
    site.clone()
        .when(
            ADMIN,
            change::<JumpGroup>(WEB_SERVERS, json!({"name": "WEB Servers"})),
        )
        .then_something();
    site.when(ADMIN, delete::<JumpGroup>(WEB_SERVERS))
        .then_something()
        .when(ADMIN, create::<JumpGroup>(json!({"name": "Web Servers"})))
        .then([created(USER_SYSTEMS, "Web Servers", "web_servers")]);
}

/// GRP-02
#[test]
fn a_missing_code_name_is_generated_and_unique() {
    let mut site = given([]);
    for (number, (name, code_name)) in [
        ("Web Servers", "web_servers"),
        ("Web-Servers", "webservers"),
        ("web  servers", "web__servers"),
        ("WebServers", "webservers_2"),
        ("Webservers!", "webservers_3"),
        ("???", "jump_group0"),
        ("!!!", "jump_group1"),
    ]
    .into_iter()
    .enumerate()
    {
        let id = JumpGroupId(u32::try_from(number).expect("small") + 1);
        site = site
            .when(ADMIN, create::<JumpGroup>(json!({"name": name})))
            .then([created(id, name, code_name)]);
    }
    // An empty one counts as absent: generated for a new group, left alone for one that is there.
    site = site
        .when(
            ADMIN,
            create::<JumpGroup>(json!({"name": "Last", "code_name": ""})),
        )
        .then([created(JumpGroupId(8), "Last", "last")]);
    site = site
        .when(
            ADMIN,
            change::<JumpGroup>(JumpGroupId(1), json!({"code_name": ""})),
        )
        .then_nothing();
    site.when(
        ADMIN,
        create::<JumpGroup>(json!({"name": "Another", "code_name": "WEB_servers"})),
    )
    .then_invalid(&["code_name"]);
}

/// GRP-06, GRP-07, POL-05
#[test]
fn a_member_has_a_role_or_the_default_and_a_policy_or_that_of_the_items() {
    let site = given([
        person(ANNA),
        group(WEB_SERVERS, "Web Servers"),
        policy(THURSDAYS, |_| {}),
    ]);
    for membership in [
        Membership::default(),
        Membership {
            jump_item_role_id: Some(START_SESSIONS_ONLY),
            jump_policy_id: Some(THURSDAYS),
        },
    ] {
        let added = Event::MemberAdded(Member {
            user_id: ANNA,
            membership,
        });
        let site = site
            .clone()
            .when(ADMIN, Command::AddMember(WEB_SERVERS, ANNA, membership))
            .then([Happened::JumpGroup(WEB_SERVERS, added)]);
        assert_eq!(
            site.world().membership(WEB_SERVERS, ANNA),
            Some(&membership)
        );
    }
    for (group, user, role, policy, field) in [
        (WEB_SERVERS, UserId(99), None, None, "user_id"),
        (
            WEB_SERVERS,
            ANNA,
            Some(JumpItemRoleId(99)),
            None,
            "jump_item_role_id",
        ),
        (
            WEB_SERVERS,
            ANNA,
            None,
            Some(JumpPolicyId(99)),
            "jump_policy_id",
        ),
    ] {
        let membership = Membership {
            jump_item_role_id: role,
            jump_policy_id: policy,
        };
        site.clone()
            .when(ADMIN, Command::AddMember(group, user, membership))
            .then_invalid(&[field]);
    }
    site.when(ADMIN, add_member(JumpGroupId(99), ANNA, None))
        .then_refused(Refusal::not_found("Jump Group"));
}

/// GRP-06, GRP-12: a direct membership can be changed and ended; what is inherited comes back then.
#[test]
fn a_direct_membership_is_changed_and_ended() {
    let site = given([
        user(ANNA, |user| {
            user.unassigned_jump_item_role_id = START_SESSIONS_ONLY
        }),
        group(WEB_SERVERS, "Web Servers"),
    ]);
    let grant = |site: &crate::testing::Given| {
        access_to_group(site.world(), ANNA, SHARED).map(|access| access.grant)
    };
    assert_eq!(grant(&site), Some(Grant::System));
    // There is nothing to change or end yet: the row is there only because of the system role.
    site.clone()
        .when(ADMIN, Command::RemoveMember(WEB_SERVERS, ANNA))
        .then_refused(Refusal::not_found("Jump Group user"));
    site.clone()
        .when(
            ADMIN,
            Command::ChangeMember(WEB_SERVERS, ANNA, Membership::default().into()),
        )
        .then_refused(Refusal::not_found("Jump Group user"));

    let administrator = Membership {
        jump_item_role_id: Some(ADMINISTRATOR),
        jump_policy_id: None,
    };
    let site = site
        .when(ADMIN, add_member(WEB_SERVERS, ANNA, Some(NO_ACCESS)))
        .then_something();
    assert_eq!(grant(&site), None);
    let changed = Event::MemberChanged(Member {
        user_id: ANNA,
        membership: administrator,
    });
    let site = site
        .when(
            ADMIN,
            Command::ChangeMember(WEB_SERVERS, ANNA, administrator.into()),
        )
        .then([Happened::JumpGroup(WEB_SERVERS, changed)])
        .when(
            ADMIN,
            Command::ChangeMember(WEB_SERVERS, ANNA, administrator.into()),
        )
        .then_nothing();
    assert_eq!(grant(&site), Some(Grant::Member));
    let removed = Event::MemberRemoved(MemberRemoved { user_id: ANNA });
    let site = site
        .when(ADMIN, Command::RemoveMember(WEB_SERVERS, ANNA))
        .then([Happened::JumpGroup(WEB_SERVERS, removed)]);
    assert_eq!(grant(&site), Some(Grant::System));
}

/// GRP-06: a user is a member once.
#[test]
fn nobody_is_added_twice() {
    let site = given([
        person(ANNA),
        group(WEB_SERVERS, "Web Servers"),
        member(WEB_SERVERS, ANNA, None),
    ]);
    site.when(ADMIN, add_member(WEB_SERVERS, ANNA, Some(ADMINISTRATOR)))
        .then_invalid(&["user_id"]);
}

/// GRP-31
#[test]
fn deleting_a_group_takes_its_items_and_members_but_ends_no_session() {
    let lsid = Lsid(5);
    let site = given([
        person(ANNA),
        group(WEB_SERVERS, "Web Servers"),
        group(USER_SYSTEMS, "User Systems"),
        member(WEB_SERVERS, ANNA, START_SESSIONS_ONLY),
        member(USER_SYSTEMS, ANNA, START_SESSIONS_ONLY),
        installer(INSTALLER, SHARED, |_| {}),
    ])
    .and(client(PC1, SHARED))
    .and(client(PC2, JumpGroupRef::Shared(USER_SYSTEMS)))
    .and(session(lsid, ANNA, PC1));
    let gone = record::Event::Deleted(Deleted {
        name: "Web Servers".to_owned(),
    });
    let site = site
        .when(ADMIN, delete::<JumpGroup>(WEB_SERVERS))
        .then([Happened::JumpGroup(WEB_SERVERS, Event::Record(gone))]);
    let world = site.world();
    assert!(!world.jump_clients.contains(&PC1));
    assert!(world.jump_clients.contains(&PC2));
    assert_eq!(
        world.groups_with_member(ANNA).collect::<Vec<_>>(),
        [USER_SYSTEMS]
    );
    assert_eq!(world.session_on(JumpItemRef::JumpClient(PC1)), Some(lsid));
    // The due dates of a session find nothing to do either, and its agent is served until it is over.
    let site = site
        .after(5 * crate::time::MINUTE)
        .when(Actor::System, access_session::Command::Abandon { lsid })
        .then_nothing();
    assert!(site.world().endpoint(PC1).is_some());
    let over = site
        .clone()
        .when(ANNA, access_session::Command::End { lsid })
        .then_something();
    assert!(over.world().endpoint(PC1).is_none());
    // Installers for it become unusable.
    site.when(Actor::NewJumpClient, register(INSTALLER, 9))
        .then_refused(Refusal::NoSuchJumpGroup { group: SHARED });
}

/// GRP-19: a personal group is there because its user is, and goes with them.
#[test]
fn a_personal_list_goes_with_its_owner() {
    let hers = JumpGroupRef::Personal(ANNA);
    let site = given([
        person(ANNA),
        person(BERT),
        group(WEB_SERVERS, "Web Servers"),
    ])
    .and([member(WEB_SERVERS, ANNA, ADMINISTRATOR)])
    .and(client(PC1, hers));
    assert!(site.world().has_group(hers));
    let site = site
        .when(ADMIN, delete::<crate::site::user::User>(ANNA))
        .then_something();
    assert!(!site.world().has_group(hers));
    assert!(!site.world().jump_clients.contains(&PC1));
    assert_eq!(site.world().members_of(WEB_SERVERS).count(), 0);
}
