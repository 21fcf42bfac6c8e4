//! The Jump on Startup group.

use super::{Command, Event, ITEMS_MAX, Item, in_sight};
use crate::access::role::{JumpItemPermission, NO_ACCESS, START_SESSIONS_ONLY};
use crate::fleet::jump_client::Properties;
use crate::ids::{JumpClientId, JumpGroupId, JumpGroupRef, JumpItemRef, JumpItemRoleId, UserId};
use crate::site::user::User;
use crate::testing::{
    ADMIN, ANNA, API, BERT, Given, PC1, PC2, SHARED, WEB_SERVERS, client, delete, given, group,
    member, person, registered, role,
};
use crate::{Event as Happened, Refusal};

fn item(number: u32) -> JumpItemRef {
    JumpItemRef::JumpClient(JumpClientId(number))
}

fn ready() -> Given {
    given([
        person(ANNA),
        person(BERT),
        group(WEB_SERVERS, "Web Servers"),
        member(WEB_SERVERS, ANNA, START_SESSIONS_ONLY),
        member(WEB_SERVERS, BERT, START_SESSIONS_ONLY),
    ])
    .and(client(PC1, SHARED))
    .and(client(PC2, SHARED))
}

fn add(user: UserId, number: u32) -> Command {
    Command::Add {
        user,
        item: item(number),
    }
}

fn added(user: UserId, number: u32) -> Happened {
    Happened::StartupGroup(user, Event::Added(Item { item: item(number) }))
}

fn group_of(site: &Given, user: UserId) -> Vec<JumpItemRef> {
    site.world().startup_items(user).collect()
}

/// SESS-28, SESS-32: items are added and removed, each user has their own group.
#[test]
fn items_are_added_and_removed_by_their_user() {
    let remove = |user| Command::Remove {
        user,
        item: item(1),
    };
    let site = ready()
        .when(ANNA, add(ANNA, 1))
        .then([added(ANNA, 1)])
        .when(ANNA, add(ANNA, 1))
        .then_nothing()
        .when(ANNA, add(ANNA, 2))
        .then([added(ANNA, 2)])
        .when(BERT, add(BERT, 2))
        .then([added(BERT, 2)]);
    assert_eq!(group_of(&site, ANNA), [item(1), item(2)]);
    assert_eq!(group_of(&site, BERT), [item(2)]);
    for who in [BERT, ADMIN] {
        site.clone()
            .when(who, add(ANNA, 2))
            .then_refused(Refusal::not_found("Jump on Startup group"));
        site.clone()
            .when(who, remove(ANNA))
            .then_refused(Refusal::not_found("Jump on Startup group"));
    }
    let site = site
        .when(ANNA, remove(ANNA))
        .then([Happened::StartupGroup(
            ANNA,
            Event::Removed(Item { item: item(1) }),
        )])
        .when(ANNA, remove(ANNA))
        .then_nothing();
    assert_eq!(group_of(&site, ANNA), [item(2)]);
}

/// SESS-29, LIM-12: ten items, the eleventh is refused.
#[test]
fn the_eleventh_item_is_refused() {
    let mut site = ready();
    for number in 3..=11 {
        site = site.and(client(JumpClientId(number), SHARED));
    }
    for number in 1..=10 {
        site = site
            .when(ANNA, add(ANNA, number))
            .then([added(ANNA, number)]);
    }
    assert_eq!(ITEMS_MAX, 10);
    site.when(ANNA, add(ANNA, 11))
        .then_refused(Refusal::StartupGroupFull)
        .when(ANNA, add(ANNA, 10))
        .then_nothing();
}

/// ROLE-31, SESS-05: what the user no longer sees is not told, does not count, and makes room where the group is full.
#[test]
fn what_is_out_of_sight_makes_room() {
    let elsewhere = JumpGroupId(9);
    let mut site = ready();
    for number in 3..=11 {
        site = site.and(client(JumpClientId(number), SHARED));
    }
    for number in 1..=10 {
        site = site
            .when(ANNA, add(ANNA, number))
            .then([added(ANNA, number)]);
    }
    let hidden = site
        .and([
            member(WEB_SERVERS, ANNA, NO_ACCESS),
            group(elsewhere, "Elsewhere"),
            member(elsewhere, ANNA, START_SESSIONS_ONLY),
        ])
        .and(client(JumpClientId(12), JumpGroupRef::Shared(elsewhere)));
    assert_eq!(in_sight(hidden.world(), ANNA).count(), 0);
    let made_room = hidden
        .when(ANNA, add(ANNA, 12))
        .then([
            Happened::StartupGroup(ANNA, Event::Removed(Item { item: item(1) })),
            added(ANNA, 12),
        ])
        .and([member(WEB_SERVERS, ANNA, START_SESSIONS_ONLY)]);
    // What is seen again is in it again, and counts.
    let seen: Vec<JumpItemRef> = in_sight(made_room.world(), ANNA).collect();
    assert_eq!(seen.len(), ITEMS_MAX);
    assert!(!seen.contains(&item(1)));
    made_room
        .when(ANNA, add(ANNA, 11))
        .then_refused(Refusal::StartupGroupFull);
}

/// SESS-30: adding needs "Start Sessions".
#[test]
fn adding_needs_start_sessions() {
    let tags_only = JumpItemRoleId(4);
    ready()
        .and([
            role(tags_only, |role| role.perm_edit_tag = true),
            member(WEB_SERVERS, ANNA, tags_only),
        ])
        .when(ANNA, add(ANNA, 1))
        .then_refused(Refusal::RoleLacks {
            permission: JumpItemPermission::Start,
        });
    ready()
        .and([member(WEB_SERVERS, ANNA, NO_ACCESS)])
        .when(ANNA, add(ANNA, 1))
        .then_refused(Refusal::JumpClientGone);
}

/// SESS-31: a passive client is refused.
#[test]
fn a_passive_client_is_refused() {
    let passive = registered(JumpClientId(3), SHARED, |registered| {
        registered.connection_type = "passive".to_owned();
    });
    ready()
        .and([passive])
        .when(ANNA, add(ANNA, 3))
        .then_refused(Refusal::StartupNeedsActive);
}

/// SESS-32: what is deleted leaves the groups, and the group of a deleted user is no more.
#[test]
fn what_is_gone_leaves_the_group() {
    let site = ready()
        .when(ANNA, add(ANNA, 1))
        .then_something()
        .when(ANNA, add(ANNA, 2))
        .then_something()
        .when(BERT, add(BERT, 1))
        .then_something()
        .when(API, delete::<Properties>(PC1))
        .then_something();
    assert_eq!(group_of(&site, ANNA), [item(2)]);
    assert!(group_of(&site, BERT).is_empty());
    let site = site.when(ADMIN, delete::<User>(ANNA)).then_something();
    assert!(group_of(&site, ANNA).is_empty());
}
