//! Copies: second items for one endpoint (CLNT-50, CLNT-51).

use serde_json::json;

use super::{
    Command, Connected, DAY, Event, Facts, Offer, Properties, TOKEN_DAYS, disconnect, is_online,
    link, token,
};
use crate::access::jump_group::JumpGroup;
use crate::access::role::JumpItemPermission;
use crate::ids::{JumpClientId, JumpGroupId, JumpGroupRef, JumpItemRef, JumpItemRoleId, Lsid};
use crate::items::custom_field::{self, CustomField};
use crate::session::access_session;
use crate::testing::{
    ADMIN, ANNA, API, FIRST, Given, PC1, PC2, SHARED, USER_SYSTEMS, WEB_SERVERS, change, client,
    create, delete, given, group, member, object, person, role, start,
};
use crate::{Actor, Event as Happened, Refusal};

const COPY: JumpClientId = PC2;
const SYSTEMS: JumpGroupRef = JumpGroupRef::Shared(USER_SYSTEMS);
const HERE: JumpItemRoleId = JumpItemRoleId(10);
const THERE: JumpItemRoleId = JumpItemRoleId(11);

fn copy(of: JumpClientId, into: JumpGroupId) -> Command {
    Command::Copy(
        of,
        object(json!({
            "jump_group_id": into.0, "jump_group_type": "shared", "name": "second",
        })),
    )
}

fn site() -> Given {
    given([
        person(ANNA),
        group(WEB_SERVERS, "Web Servers"),
        group(USER_SYSTEMS, "User Systems"),
        role(HERE, |role| {
            role.perm_assign_jump_group = true;
            role.perm_start = true;
        }),
        role(THERE, |role| {
            role.perm_assign_jump_group = true;
            role.perm_start = true;
        }),
        member(WEB_SERVERS, ANNA, HERE),
        member(USER_SYSTEMS, ANNA, THERE),
    ])
    .and(client(PC1, SHARED))
}

fn copied() -> Given {
    site().when(ANNA, copy(PC1, USER_SYSTEMS)).then_something()
}

/// CLNT-50
#[test]
fn a_copy_is_a_second_item_with_properties_of_its_own() {
    let given = copied()
        .when(API, change::<Properties>(COPY, json!({"tag": "second"})))
        .then_something();
    let world = given.world();
    let tag = |id| {
        &world
            .jump_clients
            .get(&id)
            .expect("it is there")
            .properties
            .tag
    };
    assert_eq!((tag(PC1).as_str(), tag(COPY).as_str()), ("", "second"));
    assert_eq!(world.group_of(JumpItemRef::JumpClient(COPY)), Some(SYSTEMS));
    assert_eq!(
        world.items_of(SYSTEMS).collect::<Vec<_>>(),
        [JumpItemRef::JumpClient(COPY)]
    );
    assert_eq!(world.items_of(SHARED).count(), 1);
}

/// CLNT-51
#[test]
fn copies_share_the_state_of_their_endpoint() {
    let facts = Facts {
        hostname: "renamed".to_owned(),
        ..Facts::default()
    };
    let given = copied()
        .when(
            Actor::JumpClient(PC1),
            Command::CheckIn {
                client: PC1,
                link: link(1),
                facts: Box::new(facts),
            },
        )
        .then_something();
    for id in [PC1, COPY] {
        let client = given.world().jump_clients.get(&id).expect("it is there");
        assert_eq!(client.facts.hostname, "renamed");
        assert!(is_online(given.world(), id));
    }
    let given = given
        .when(Actor::JumpClient(PC1), disconnect(PC1, 1))
        .then_something();
    assert!(!is_online(given.world(), PC1) && !is_online(given.world(), COPY));
    // An agent has one id to sign in with: a copy's is not one.
    given
        .clone()
        .when(
            Actor::JumpClient(COPY),
            Command::Connect {
                client: COPY,
                link: link(8),
                public_ip: String::new(),
                boot_id: String::new(),
            },
        )
        .then_refused(Refusal::JumpClientGone);
    let quarantine = Command::Quarantine {
        client: PC1,
        evidence: String::new(),
    };
    let given = given.when(Actor::System, quarantine).then_something();
    given
        .when(ANNA, start(ANNA, COPY))
        .then_refused(Refusal::JumpClientIdentityFailed);
}

/// CLNT-51
#[test]
fn removing_one_leaves_the_others_and_the_endpoint() {
    let connect = Happened::JumpClient(
        PC1,
        Event::Connected(Connected {
            link: link(9),
            public_ip: String::new(),
            boot_id: String::new(),
        }),
    );
    let without_the_copy = copied()
        .when(API, delete::<Properties>(COPY))
        .then_something();
    assert!(is_online(without_the_copy.world(), PC1));
    assert_eq!(without_the_copy.world().items_of_endpoint(PC1), [PC1]);

    let without_the_original = copied()
        .when(API, delete::<Properties>(PC1))
        .then_something();
    let world = without_the_original.world();
    assert_eq!(world.items_of_endpoint(PC1), [COPY]);
    assert_eq!(world.group_of(JumpItemRef::JumpClient(PC1)), None);
    assert!(world.endpoint(PC1).is_some() && is_online(world, COPY));
    let given = without_the_original
        .when(Actor::JumpClient(PC1), disconnect(PC1, 1))
        .then_something()
        .and([connect])
        .after(TOKEN_DAYS * DAY)
        .when(
            Actor::System,
            Command::OfferToken {
                client: PC1,
                offer: Offer::OnLink(link(9)),
                token: token("next"),
            },
        )
        .then_something();
    assert!(is_online(given.world(), COPY));
    let given = given.when(API, delete::<Properties>(COPY)).then_something();
    assert!(given.world().endpoint(PC1).is_none());
}

/// CLNT-51, GRP-31
#[test]
fn a_copy_of_a_copy_is_one_of_the_same_endpoint_and_goes_with_its_group() {
    let given = copied().when(API, copy(COPY, WEB_SERVERS)).then_something();
    assert_eq!(
        given.world().items_of_endpoint(PC1),
        [PC1, COPY, JumpClientId(3)]
    );
    let given = given
        .when(ADMIN, delete::<JumpGroup>(WEB_SERVERS))
        .then_something();
    assert_eq!(given.world().items_of_endpoint(PC1), [COPY]);
    assert!(given.world().endpoint(PC1).is_some());
    let given = given
        .when(ADMIN, delete::<JumpGroup>(USER_SYSTEMS))
        .then_something();
    assert!(given.world().endpoint(PC1).is_none());
}

/// ROLE-18
#[test]
fn a_copy_needs_the_permission_on_both_sides() {
    let lacks = Refusal::RoleLacks {
        permission: JumpItemPermission::MoveAndCopy,
    };
    for lacking in [HERE, THERE] {
        site()
            .and([role(lacking, |role| role.perm_start = true)])
            .when(ANNA, copy(PC1, USER_SYSTEMS))
            .then_refused(lacks.clone());
    }
    site()
        .when(API, copy(PC1, JumpGroupId(9)))
        .then_invalid(&["jump_group_id"]);
    site()
        .when(ANNA, copy(PC2, USER_SYSTEMS))
        .then_refused(Refusal::JumpClientGone);
}

/// CLNT-51
#[test]
fn the_agent_brings_up_a_session_on_a_copy() {
    let establish = |lsid: Lsid| access_session::Command::Establish { lsid, client: PC1 };
    let given = copied();
    let given = given.and([]).when(ANNA, start(ANNA, COPY)).then_something();
    let lsid = given
        .world()
        .session_on(JumpItemRef::JumpClient(COPY))
        .expect("it starts");
    assert_ne!(lsid, FIRST);
    let given = given
        .when(Actor::JumpClient(PC1), establish(lsid))
        .then_something();
    assert!(
        given
            .world()
            .sessions
            .get(&lsid)
            .is_some_and(|session| session.established)
    );
}

/// TICK-49
#[test]
fn a_copy_has_the_custom_fields_of_its_original() {
    let set = custom_field::Command::SetValues(
        JumpItemRef::JumpClient(PC1),
        object(json!({"rack": "4"})),
    );
    let given = site()
        .when(
            ADMIN,
            create::<CustomField>(json!({"display_name": "Rack"})),
        )
        .then_something()
        .when(API, set)
        .then_something()
        .when(API, copy(PC1, USER_SYSTEMS))
        .then_something();
    let copy = JumpItemRef::JumpClient(COPY);
    let values: Vec<_> = given.world().custom_values_of(copy).collect();
    assert_eq!(values, [("rack", "4")]);
}
