//! How long clients live: lost, deleted for being offline, uninstalled, and what of it travels with them.

use serde_json::json;

use super::{Command, Connected, Event, Properties, deployed, disconnect, is_online, link};
use crate::access::jump_group::JumpGroup;
use crate::fleet::jump_client::{Expired, Lost, Uninstalled, startable};
use crate::ids::{JumpClientId, LinkId};
use crate::node::{self, StopReason};
use crate::record;
use crate::site::settings::{SETTINGS, SiteSettings};
use crate::testing::{
    ADMIN, API, Given, MONDAY, NODE, PC1, PC2, SHARED, WEB_SERVERS, change, client, connected,
    delete, given, group, object, register, registered, start,
};
use crate::time::{DAY, MINUTE};
use crate::{Actor, Event as Happened, Refusal, Timestamp, World};

fn site() -> Given {
    given([group(WEB_SERVERS, "Web Servers")]).and(client(PC1, SHARED))
}

/// PC1 went offline on [`MONDAY`].
fn offline() -> Given {
    site().when(PC1, disconnect(PC1, 1)).then_something()
}

fn set(body: serde_json::Value) -> crate::Command {
    change::<SiteSettings>(SETTINGS, body)
}

fn deletion_at(world: &World, client: JumpClientId) -> Option<Timestamp> {
    world.deletion_at(world.jump_clients.get(&client).expect("it is there"))
}

fn is_lost(given: &Given) -> bool {
    let client = given.world().jump_clients.get(&PC1).expect("it is there");
    given.world().is_lost(client, given.now())
}

fn came_back(connection: u64) -> Command {
    Command::Connect {
        client: PC1,
        link: link(connection),
        public_ip: "198.51.100.7:40000".to_owned(),
        boot_id: "boot-2".to_owned(),
    }
}

fn uninstall() -> Command {
    Command::Uninstall {
        client: PC1,
        link: link(1),
    }
}

fn gone(outcome: &[Happened], client: JumpClientId) -> bool {
    outcome.iter().any(|event| {
        matches!(event, Happened::JumpClient(id, Event::Record(record::Event::Deleted(_))) if *id == client)
    })
}

/// CLNT-11, CLNT-12, CLNT-13: lost is a label after the site's days, once, and the client that comes back loses it.
#[test]
fn a_client_is_lost_after_the_sites_days_and_found_when_it_comes_back() {
    let label = Happened::JumpClient(
        PC1,
        Event::Lost(Lost {
            offline_since: MONDAY,
        }),
    );
    let lost = offline()
        .at(MONDAY.plus(15 * DAY - 1))
        .when(Actor::System, Command::MarkLost(PC1))
        .then_nothing()
        .at(MONDAY.plus(15 * DAY))
        .when(Actor::System, Command::MarkLost(PC1))
        .then([label.clone()])
        .when(Actor::System, Command::MarkLost(PC1))
        .then_nothing();
    assert!(is_lost(&lost));
    // Nothing else has happened to it.
    lost.clone()
        .when(API, change::<Properties>(PC1, json!({"tag": "found"})))
        .then_something();
    let back = lost.when(PC1, came_back(2)).then_something();
    assert!(!is_lost(&back));
    assert!(is_online(back.world(), PC1));
    // The next spell counts anew.
    let since = back.now();
    back.when(PC1, disconnect(PC1, 2))
        .then_something()
        .at(since.plus(15 * DAY))
        .when(Actor::System, Command::MarkLost(PC1))
        .then([Happened::JumpClient(
            PC1,
            Event::Lost(Lost {
                offline_since: since,
            }),
        )]);
}

/// CLNT-14, CLNT-16, CLNT-17: after 180 days, unless the site says otherwise, a client is deleted; the day is known before.
#[test]
fn a_client_is_deleted_after_the_sites_days() {
    let offline = offline();
    let at = MONDAY.plus(180 * DAY);
    assert_eq!(deletion_at(offline.world(), PC1), Some(at));
    assert_eq!(deletion_at(site().world(), PC1), None);
    let deleted = offline
        .at(at.plus(-1))
        .when(Actor::System, Command::Expire(PC1))
        .then_nothing()
        .at(at)
        .when(Actor::System, Command::Expire(PC1));
    let expired = Expired {
        offline_since: MONDAY,
        offline_minutes: 180 * 1_440,
    };
    assert_eq!(
        deleted.events().first(),
        Some(&Happened::JumpClient(PC1, Event::Expired(expired)))
    );
    assert!(gone(deleted.events(), PC1));
    deleted
        .then_something()
        .when(Actor::System, Command::Expire(PC1))
        .then_nothing()
        // It comes back too late: it is refused with the reason, and goes.
        .when(PC1, came_back(2))
        .then_refused(Refusal::JumpClientGone);
}

/// CLNT-14: whoever asks for it, only the time deletes; and nobody but the timers may ask.
#[test]
fn nobody_but_the_timers_labels_and_deletes_by_the_time() {
    for command in [Command::MarkLost(PC1), Command::Expire(PC1)] {
        offline()
            .at(MONDAY.plus(999 * DAY))
            .when(API, command.clone())
            .then_refused(Refusal::AdministratorNeeded);
    }
}

/// CLNT-18, CLNT-22, INST-21: a client's own minutes come before the site's days; an ephemeral one goes after five.
#[test]
fn a_clients_own_minutes_come_first() {
    let minutes = |minutes: u32| {
        given([
            group(WEB_SERVERS, "Web Servers"),
            registered(PC1, SHARED, |client| {
                client.properties.max_offline_minutes = minutes;
            }),
            connected(PC1, 1),
        ])
        .when(PC1, disconnect(PC1, 1))
        .then_something()
    };
    for (own, expected) in [(5, 5 * MINUTE), (1_440 * 400, 400 * DAY), (0, 180 * DAY)] {
        let at = MONDAY.plus(expected);
        assert_eq!(deletion_at(minutes(own).world(), PC1), Some(at));
    }
    minutes(5)
        .at(MONDAY.plus(5 * MINUTE - 1))
        .when(Actor::System, Command::Expire(PC1))
        .then_nothing()
        .at(MONDAY.plus(5 * MINUTE))
        .when(Actor::System, Command::Expire(PC1))
        .then_something();
}

/// CLNT-15: lost and deletion are two settings, and lost comes first.
#[test]
fn lost_and_deletion_are_two_settings() {
    site()
        .when(ADMIN, set(json!({"lost_days": 30, "deletion_days": 30})))
        .then_invalid(&["lost_days"])
        .when(ADMIN, set(json!({"lost_days": 29, "deletion_days": 30})))
        .then_something();
}

/// CLNT-20, CLNT-21: what is set while a client is offline does not reach it, so the site goes by what it was told too.
#[test]
fn a_setting_that_changes_while_a_client_is_away_is_not_for_it() {
    let changed = offline()
        .at(MONDAY.plus(DAY))
        .when(ADMIN, set(json!({"lost_days": 2, "deletion_days": 3})))
        .then_something();
    assert_eq!(
        deletion_at(changed.world(), PC1),
        Some(MONDAY.plus(180 * DAY))
    );
    // The label is the site's own affair: it goes by the days of now.
    assert!(is_lost(&changed.clone().at(MONDAY.plus(2 * DAY))));
    let own = changed
        .when(
            API,
            change::<Properties>(PC1, json!({"max_offline_minutes": 5})),
        )
        .then_something();
    assert_eq!(deletion_at(own.world(), PC1), Some(MONDAY.plus(180 * DAY)));
    // Back for a moment, it has heard of both.
    let back = own
        .at(MONDAY.plus(4 * DAY))
        .when(PC1, came_back(2))
        .then_something()
        .when(PC1, disconnect(PC1, 2))
        .then_something();
    assert_eq!(
        deletion_at(back.world(), PC1),
        Some(MONDAY.plus(4 * DAY + 5 * MINUTE))
    );
}

/// CLNT-20: a client that is connected hears of a change at once.
#[test]
fn a_setting_that_changes_while_a_client_is_connected_is_told() {
    let told = site()
        .when(
            API,
            change::<Properties>(PC1, json!({"max_offline_minutes": 7})),
        )
        .then_something();
    assert_eq!(told.world().minutes_before_removal(PC1), 7);
    let gone = told.when(PC1, disconnect(PC1, 1)).then_something();
    assert_eq!(
        deletion_at(gone.world(), PC1),
        Some(MONDAY.plus(7 * MINUTE))
    );
}

/// CLNT-21: one event takes the clients of a node offline; the days of that moment count for them all.
#[test]
fn a_stopped_node_leaves_its_clients_with_the_days_of_that_moment() {
    let stop = node::Command::Stop {
        epoch: NODE,
        reason: StopReason::Silent,
    };
    let stopped = site()
        .when(ADMIN, set(json!({"lost_days": 2, "deletion_days": 3})))
        .then_something()
        .after(DAY)
        .when(Actor::System, stop)
        .then_something()
        .after(DAY)
        .when(ADMIN, set(json!({"deletion_days": 90})))
        .then_something();
    assert_eq!(
        deletion_at(stopped.world(), PC1),
        Some(MONDAY.plus(DAY + 3 * DAY))
    );
}

/// CLNT-51, CLNT-19: an agent stays for as long as one of its items does.
#[test]
fn the_agent_of_several_items_is_told_the_longest() {
    let copy = Command::Copy(
        PC1,
        crate::testing::object(json!({"jump_group_id": 1, "jump_group_type": "shared"})),
    );
    let copied = site()
        .when(
            API,
            change::<Properties>(PC1, json!({"max_offline_minutes": 5})),
        )
        .then_something()
        .when(ADMIN, copy)
        .then_something();
    assert_eq!(copied.world().minutes_before_removal(PC1), 5);
    let longer = copied
        .when(
            API,
            change::<Properties>(PC2, json!({"max_offline_minutes": 60})),
        )
        .then_something();
    assert_eq!(longer.world().minutes_before_removal(PC1), 60);
    // Each item goes by its own time, the endpoint with the last.
    let away = longer.when(PC1, disconnect(PC1, 1)).then_something();
    let first = away
        .at(MONDAY.plus(5 * MINUTE))
        .when(Actor::System, Command::Expire(PC2))
        .then_nothing()
        .when(Actor::System, Command::Expire(PC1))
        .then_something();
    assert!(first.world().endpoint(PC1).is_some());
    let last = first
        .at(MONDAY.plus(60 * MINUTE))
        .when(Actor::System, Command::Expire(PC2))
        .then_something();
    assert!(last.world().endpoint(PC1).is_none());
}

/// CLNT-23, CLNT-25, CLNT-27, ERR-07, ERR-19: kept and marked uninstalled, a client is seen and can't be used.
#[test]
fn an_uninstalled_client_is_kept_and_marked_where_the_site_wants_that() {
    let marked = site().when(PC1, uninstall()).then([Happened::JumpClient(
        PC1,
        Event::Uninstalled(Uninstalled { link: link(1) }),
    )]);
    let world = marked.world();
    let client = world.jump_clients.get(&PC1).expect("it is seen");
    assert!(world.is_uninstalled(client));
    assert!(!world.is_online(client));
    assert_eq!(startable(world, PC1), Err(Refusal::JumpClientUninstalled));
    // Neither lost nor deleted by the time: it stays until somebody removes it.
    assert_eq!(deletion_at(world, PC1), None);
    marked
        .clone()
        .after(999 * DAY)
        .when(Actor::System, Command::MarkLost(PC1))
        .then_nothing()
        .when(Actor::System, Command::Expire(PC1))
        .then_nothing();
    marked
        .clone()
        .when(API, change::<Properties>(PC1, json!({"comments": "x"})))
        .then_refused(Refusal::JumpClientUninstalled);
    marked
        .clone()
        .when(PC1, came_back(2))
        .then_refused(Refusal::JumpClientUninstalled);
    marked.when(API, delete::<Properties>(PC1)).then_something();
}

/// CLNT-23, CLNT-51: removed where the site wants that, with all its copies.
#[test]
fn an_uninstalled_client_is_removed_where_the_site_wants_that() {
    let copy = Command::Copy(
        PC1,
        crate::testing::object(json!({"jump_group_id": 1, "jump_group_type": "shared"})),
    );
    let removed = site()
        .when(ADMIN, copy)
        .then_something()
        .when(ADMIN, set(json!({"uninstalled_client_behavior": "remove"})))
        .then_something()
        .when(PC1, uninstall());
    assert!(gone(removed.events(), PC1) && gone(removed.events(), PC2));
    let removed = removed.then_something();
    assert!(removed.world().endpoint(PC1).is_none());
    assert_eq!(removed.world().jump_clients.len(), 0);
}

/// CLNT-24: a word of another connection, or of one that is over, uninstalls nothing; the item stays as it is.
#[test]
fn only_the_connection_that_counts_says_that_a_client_is_gone() {
    let other = Command::Uninstall {
        client: PC1,
        link: LinkId {
            node: NODE,
            connection: 9,
        },
    };
    let kept = site().when(PC1, other).then_nothing();
    assert!(is_online(kept.world(), PC1));
    let offline = offline().when(PC1, uninstall()).then_nothing();
    let client = offline.world().jump_clients.get(&PC1).expect("it is there");
    assert!(!offline.world().is_uninstalled(client));
    assert!(deletion_at(offline.world(), PC1).is_some());
}

/// CLNT-05, INST-07: how long an installer is valid is nothing to a client that has come from it.
#[test]
fn a_client_stays_whatever_becomes_of_its_installer() {
    let client = deployed()
        .when(Actor::NewJumpClient, register(crate::testing::INSTALLER, 1))
        .then_something();
    client
        .after(400 * DAY)
        .when(
            API,
            delete::<crate::fleet::installer::JumpClientInstaller>(crate::testing::INSTALLER),
        )
        .then_something()
        .when(PC1, disconnect(PC1, 1))
        .then_something()
        .when(PC1, came_back(2))
        .then([Happened::JumpClient(
            PC1,
            Event::Connected(Connected {
                link: link(2),
                public_ip: "198.51.100.7:40000".to_owned(),
                boot_id: "boot-2".to_owned(),
            }),
        )]);
}

/// CLNT-61: a passive client's spell counts from the end of its last check-in, as any other's.
#[test]
fn a_passive_client_is_lost_and_deleted_from_its_last_check_in_on() {
    let passive = given([
        group(WEB_SERVERS, "Web Servers"),
        registered(PC1, SHARED, |client| {
            client.connection_type = "passive".to_owned();
        }),
        connected(PC1, 1),
    ])
    .when(PC1, disconnect(PC1, 1))
    .then_something();
    assert_eq!(
        deletion_at(passive.world(), PC1),
        Some(MONDAY.plus(180 * DAY))
    );
    assert!(is_lost(&passive.at(MONDAY.plus(15 * DAY))));
}

/// CLNT-14: what goes with its group is nobody's to delete any more.
#[test]
fn a_client_that_went_with_its_group_is_not_deleted_again() {
    offline()
        .when(ADMIN, delete::<JumpGroup>(WEB_SERVERS))
        .then_something()
        .after(400 * DAY)
        .when(Actor::System, Command::Expire(PC1))
        .then_nothing();
}

/// CLNT-40: a client that runs an older version is changed, tagged and moved as any other.
#[test]
fn an_outdated_client_can_be_modified() {
    let group_of = |given: &Given| {
        let client = given.world().jump_clients.get(&PC1).expect("it is there");
        client.properties.jump_group_id
    };
    let moved = given([
        group(WEB_SERVERS, "Web Servers"),
        group(crate::testing::USER_SYSTEMS, "User Systems"),
        registered(PC1, SHARED, |client| {
            client.facts.agent_version = "0.0.1".to_owned();
        }),
        connected(PC1, 1),
    ])
    .when(
        API,
        change::<Properties>(
            PC1,
            json!({"tag": "old", "name": "web-old", "jump_group_id": 2}),
        ),
    )
    .then_something();
    assert_eq!(group_of(&moved), 2);
}

/// ERR-06, ERR-18, CLNT-40: that a client is offline stands in the way of what needs the client, which a jump alone does; every
/// other action is done without it.
#[test]
fn err_06_only_what_needs_the_client_is_refused_while_it_is_offline() {
    let told = Refusal::JumpClientOffline;
    assert_eq!(told.to_string(), "The Jump Client is offline.");
    offline().when(ADMIN, start(ADMIN, PC1)).then_refused(told);
    let into =
        json!({"jump_group_id": WEB_SERVERS.0, "jump_group_type": "shared", "name": "second"});
    let actions: [crate::Command; 5] = [
        change::<Properties>(
            PC1,
            json!({"comments": "rack 5", "tag": "web", "name": "pc"}),
        ),
        Command::Edit(PC1, object(json!({"connection_type": "passive"}))).into(),
        Command::Copy(PC1, object(into)).into(),
        change::<Properties>(PC1, json!({"max_offline_minutes": 7})),
        delete::<Properties>(PC1),
    ];
    for action in actions {
        offline().when(ADMIN, action).then_something();
    }
}
