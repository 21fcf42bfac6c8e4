//! Which one role counts, and where it comes from.

use super::{Grant, access_to_group, access_to_item, need, visible_groups};
use crate::access::role::{ADMINISTRATOR, JumpItemPermission, NO_ACCESS, START_SESSIONS_ONLY};
use crate::ids::{JumpGroupRef, JumpItemRef, JumpItemRoleId, UserId};
use crate::testing::{
    ADMIN, ANNA, BERT, Given, PC1, PC2, SHARED, USER_SYSTEMS, WEB_SERVERS, client, given, group,
    member, person, role, user,
};
use crate::{Event, Refusal};

mod against_a_reference;
mod grants;
mod use_cases;

const HERS: JumpGroupRef = JumpGroupRef::Personal(ANNA);
const HIS: JumpGroupRef = JumpGroupRef::Personal(BERT);

fn role_and_grant(
    given: &Given,
    user: UserId,
    group: JumpGroupRef,
) -> Option<(JumpItemRoleId, Grant)> {
    access_to_group(given.world(), user, group).map(|access| (access.role_id, access.grant))
}

fn with_slots(id: UserId, [default, personal, system]: [JumpItemRoleId; 3]) -> Event {
    user(id, |user| {
        user.default_jump_item_role_id = default;
        user.private_jump_item_role_id = personal;
        user.unassigned_jump_item_role_id = system;
    })
}

/// ROLE-04, ROLE-05, ROLE-07, ROLE-09, ROLE-10, ROLE-11, ROLE-13, GRP-06, GRP-09
#[test]
fn exactly_one_role_counts_the_most_specific() {
    const EDITOR: JumpItemRoleId = JumpItemRoleId(4);
    let slots = [START_SESSIONS_ONLY, ADMINISTRATOR, EDITOR];
    let site = given([
        role(EDITOR, |role| role.perm_edit_tag = true),
        with_slots(ANNA, slots),
        person(BERT),
        group(WEB_SERVERS, "Web Servers"),
        group(USER_SYSTEMS, "User Systems"),
    ]);
    let cases = [
        // The direct membership's own role.
        (Some(member(WEB_SERVERS, ANNA, NO_ACCESS)), SHARED, None),
        (
            Some(member(WEB_SERVERS, ANNA, ADMINISTRATOR)),
            SHARED,
            Some((ADMINISTRATOR, Grant::Member)),
        ),
        // A membership that says "the user's default".
        (
            Some(member(WEB_SERVERS, ANNA, None)),
            SHARED,
            Some((START_SESSIONS_ONLY, Grant::MemberByDefault)),
        ),
        // No membership: the System slot, for shared groups and the lists of others.
        (None, SHARED, Some((EDITOR, Grant::System))),
        (None, HIS, Some((EDITOR, Grant::System))),
        // One's own list.
        (None, HERS, Some((ADMINISTRATOR, Grant::Personal))),
    ];
    for (membership, group, expected) in cases {
        let site = site.clone().and(membership.clone());
        assert_eq!(
            role_and_grant(&site, ANNA, group),
            expected,
            "{membership:?} {group:?}"
        );
    }
}

/// ROLE-04, ROLE-08 as far as one source goes: nothing of the other roles is merged in.
#[test]
fn a_weaker_but_more_specific_role_wins() {
    let site = given([
        with_slots(ANNA, [ADMINISTRATOR; 3]),
        group(WEB_SERVERS, "Web Servers"),
        member(WEB_SERVERS, ANNA, START_SESSIONS_ONLY),
    ])
    .and(client(PC1, SHARED));
    let item = JumpItemRef::JumpClient(PC1);
    assert!(need(site.world(), ANNA, item, JumpItemPermission::Start).is_ok());
    assert_eq!(
        need(site.world(), ANNA, item, JumpItemPermission::Remove).err(),
        Some(Refusal::RoleLacks {
            permission: JumpItemPermission::Remove
        })
    );
}

/// ROLE-03, ROLE-15
#[test]
fn a_role_without_permissions_hides_the_items() {
    let site = given([
        with_slots(ANNA, [NO_ACCESS, NO_ACCESS, NO_ACCESS]),
        group(WEB_SERVERS, "Web Servers"),
        member(WEB_SERVERS, ANNA, NO_ACCESS),
    ])
    .and(client(PC1, SHARED));
    let item = JumpItemRef::JumpClient(PC1);
    assert!(access_to_item(site.world(), ANNA, item).is_none());
    assert!(visible_groups(site.world(), ANNA).is_empty());
    assert_eq!(
        need(site.world(), ANNA, item, JumpItemPermission::Start).err(),
        Some(Refusal::JumpClientGone)
    );
}

/// ROLE-26: View Reports alone lists the items and lets nobody start.
#[test]
fn any_single_permission_shows_the_items() {
    const AUDITOR: JumpItemRoleId = JumpItemRoleId(4);
    let site = given([
        role(AUDITOR, |role| role.perm_view_jump_item_report = true),
        person(ANNA),
        group(WEB_SERVERS, "Web Servers"),
        member(WEB_SERVERS, ANNA, AUDITOR),
    ])
    .and(client(PC1, SHARED));
    let item = JumpItemRef::JumpClient(PC1);
    let access = access_to_item(site.world(), ANNA, item).expect("she sees it");
    assert!(access.role.allows(JumpItemPermission::ViewReports));
    assert!(!access.role.allows(JumpItemPermission::Start));
    assert_eq!(visible_groups(site.world(), ANNA), [SHARED]);
}

/// ROLE-14
#[test]
fn the_system_slot_counts_only_where_there_is_no_membership() {
    let site = given([
        with_slots(ANNA, [NO_ACCESS, NO_ACCESS, NO_ACCESS]),
        group(WEB_SERVERS, "Web Servers"),
        group(USER_SYSTEMS, "User Systems"),
        member(WEB_SERVERS, ANNA, START_SESSIONS_ONLY),
    ]);
    let other = JumpGroupRef::Shared(USER_SYSTEMS);
    assert_eq!(role_and_grant(&site, ANNA, other), None);
    let site = site.and([with_slots(ANNA, [NO_ACCESS, NO_ACCESS, ADMINISTRATOR])]);
    assert_eq!(
        role_and_grant(&site, ANNA, other),
        Some((ADMINISTRATOR, Grant::System))
    );
    assert_eq!(
        role_and_grant(&site, ANNA, SHARED),
        Some((START_SESSIONS_ONLY, Grant::Member))
    );
}

/// GRP-14, GRP-15, GRP-26
#[test]
fn shared_items_are_for_members_within_their_role_and_personal_ones_for_their_owner() {
    let site = given([
        with_slots(ANNA, [NO_ACCESS, ADMINISTRATOR, NO_ACCESS]),
        person(BERT),
        group(WEB_SERVERS, "Web Servers"),
        member(WEB_SERVERS, ANNA, ADMINISTRATOR),
        member(WEB_SERVERS, BERT, START_SESSIONS_ONLY),
    ])
    .and(client(PC1, SHARED))
    .and(client(PC2, HERS));
    let shared = JumpItemRef::JumpClient(PC1);
    let personal = JumpItemRef::JumpClient(PC2);
    let may = |user, item, permission| need(site.world(), user, item, permission).is_ok();

    assert!(may(ANNA, shared, JumpItemPermission::Remove));
    assert!(may(BERT, shared, JumpItemPermission::Start));
    assert!(!may(BERT, shared, JumpItemPermission::Remove));
    assert!(may(ANNA, personal, JumpItemPermission::Start));
    assert!(access_to_item(site.world(), BERT, personal).is_none());
}

/// GRP-19, GRP-20, GRP-21
#[test]
fn type_and_number_together_name_a_group() {
    let site = given([
        user(ANNA, |user| {
            user.private_display_name = "Anna A.".to_owned()
        }),
        group(WEB_SERVERS, "Web Servers"),
        group(USER_SYSTEMS, "User Systems"),
    ])
    .and(client(PC1, JumpGroupRef::Shared(USER_SYSTEMS)))
    .and(client(PC2, HERS));
    assert_eq!(USER_SYSTEMS.0, ANNA.0, "the same number twice");
    let world = site.world();
    assert_eq!((HERS.type_name(), HERS.number()), ("personal", ANNA.0));
    assert_eq!(
        (SHARED.type_name(), SHARED.number()),
        ("shared", WEB_SERVERS.0)
    );
    assert_eq!(world.group_name(HERS), "Anna A.");
    assert_eq!(
        world.group_name(JumpGroupRef::Shared(USER_SYSTEMS)),
        "User Systems"
    );
    assert_eq!(
        world.items_of(HERS).collect::<Vec<_>>(),
        [JumpItemRef::JumpClient(PC2)]
    );
    assert_eq!(
        world
            .items_of(JumpGroupRef::Shared(USER_SYSTEMS))
            .collect::<Vec<_>>(),
        [JumpItemRef::JumpClient(PC1)]
    );
    assert!(!world.has_group(JumpGroupRef::Personal(UserId(99))));
}

/// ROLE-13, ROLE-15, GRP-17
#[test]
fn the_visible_groups_are_those_with_access_by_whatever_way() {
    let site = given([
        with_slots(ANNA, [NO_ACCESS, ADMINISTRATOR, NO_ACCESS]),
        person(BERT),
        group(WEB_SERVERS, "Web Servers"),
        group(USER_SYSTEMS, "User Systems"),
        member(WEB_SERVERS, ANNA, START_SESSIONS_ONLY),
        member(USER_SYSTEMS, ANNA, NO_ACCESS),
    ]);
    let world = site.world();
    assert_eq!(visible_groups(world, ANNA), [SHARED, HERS]);
    assert!(visible_groups(world, BERT).is_empty());
    assert!(visible_groups(world, UserId(99)).is_empty());
    assert_eq!(
        visible_groups(world, ADMIN),
        [
            SHARED,
            JumpGroupRef::Shared(USER_SYSTEMS),
            JumpGroupRef::Personal(ADMIN),
            HERS,
            HIS
        ]
    );
}
