//! How many Jump Clients a site may have, and on how many endpoints it may be worked.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Capacity, Installed, capacity, room_for};
use crate::fleet::installer::JumpClientInstaller;
use crate::fleet::jump_client::{self, Copied, Facts, FactsChange, Properties, Uninstalled};
use crate::ids::{
    JumpClientId, JumpGroupId, JumpItemRef, JumpItemRoleId, LinkId, Lsid, SiteSettingsId,
};
use crate::record::{self, Deleted};
use crate::site::settings::SiteSettings;
use crate::testing::{
    ADMIN, ANNA, API, BERT, Given, INSTALLER, NODE, PC1, PC2, SHARED, USER_SYSTEMS, WEB_SERVERS,
    change, client, connected, create, delete, given, group, installer, member, person, register,
    registered, role, session, start,
};
use crate::time::{DAY, MINUTE};
use crate::{Actor, Event, Refusal, World};

const PC3: JumpClientId = JumpClientId(3);

fn with(site: Given, settings: Value) -> Given {
    if settings == json!({}) {
        return site;
    }
    site.when(ADMIN, change::<SiteSettings>(SiteSettingsId(1), settings))
        .then_something()
}

/// A site with an installer of active clients, as [`INSTALLER`], and one of passive ones.
fn site(settings: Value) -> Given {
    let site = given([
        group(WEB_SERVERS, "Web Servers"),
        installer(INSTALLER, SHARED, |_| {}),
        installer(crate::ids::JumpClientInstallerId(2), SHARED, |installer| {
            installer.connection_type = "passive".to_owned();
        }),
    ]);
    with(site, settings)
}

fn new_installer(connection_type: &str) -> crate::Command {
    create::<JumpClientInstaller>(json!({
        "jump_group_id": WEB_SERVERS.0, "secret_hash": "5".repeat(64),
        "connection_type": connection_type,
    }))
}

fn arrive(site: Given, installer: u32, connection: u64) -> crate::testing::Outcome {
    let installer = crate::ids::JumpClientInstallerId(installer);
    site.when(Actor::NewJumpClient, register(installer, connection))
}

/// LIM-01, LIM-02, LIM-03, LIM-05
#[test]
fn the_capacity_is_the_models() {
    // model, licenses, set for all, set for active, total, active
    type Row = (&'static str, u32, u32, u32, Option<u32>, Option<u32>);
    let cases: [Row; 9] = [
        ("B200", 0, 0, 0, None, Some(1_000)),
        ("B300", 0, 0, 0, None, Some(10_000)),
        ("B400", 0, 0, 0, None, Some(25_000)),
        // An appliance is what it is, whatever is set for virtual ones.
        ("B200", 7, 30_000, 50_000, Some(30_000), Some(1_000)),
        ("virtual", 0, 0, 0, None, None),
        ("virtual", 7, 600, 500, Some(600), Some(500)),
        ("cloud", 1, 0, 500, None, Some(20)),
        ("cloud", 50, 0, 0, None, Some(1_000)),
        ("cloud", 0, 9, 0, Some(9), None),
    ];
    for (model, licenses, all, active_set, total, active) in cases {
        let settings = SiteSettings {
            appliance_model: model.to_owned(),
            licenses,
            jump_clients_max: all,
            active_jump_clients_max: active_set,
            ..SiteSettings::default()
        };
        assert_eq!(
            capacity(&settings),
            Capacity { total, active },
            "{model} {licenses}"
        );
    }
}

/// LIM-04, LIM-05, ERR-01, ERR-02: no installer is made for clients that could not be deployed.
#[test]
fn no_installer_is_made_at_the_limit() {
    let site = arrive(site(json!({"active_jump_clients_max": 1})), 1, 1).then_something();
    site.clone()
        .when(API, new_installer("active"))
        .then_refused(Refusal::ActiveJumpClientsFull);
    // Passive clients do not count against the active ones.
    site.clone()
        .when(API, new_installer("passive"))
        .then_something();
    let full = with(site, json!({"jump_clients_max": 1}));
    for connection_type in ["active", "passive"] {
        full.clone()
            .when(API, new_installer(connection_type))
            .then_refused(Refusal::JumpClientsFull);
    }
    assert_eq!(
        Refusal::JumpClientsFull.to_string(),
        "The total number of deployable Jump Clients for this site has been reached."
    );
    assert_eq!(
        Refusal::ActiveJumpClientsFull.to_string(),
        "The total number of deployable active Jump Clients for this site has been reached."
    );
}

/// LIM-01: the thousand and first active client of a B200.
#[test]
fn an_appliance_takes_as_many_as_it_may() {
    let clients = (1..=1_000).map(|id| registered(JumpClientId(id), SHARED, |_| {}));
    let site = site(json!({"appliance_model": "B200"})).and(clients);
    arrive(site.clone(), 1, 7).then_refused(Refusal::ActiveJumpClientsFull);
    arrive(site.clone(), 2, 7).then_something();
    let bigger = with(site, json!({"appliance_model": "B300"}));
    arrive(bigger, 1, 7).then_something();
}

/// LIM-03: twenty a license, and a license more is room for twenty more.
#[test]
fn a_cloud_site_grows_with_its_licenses() {
    let clients = (1..=20).map(|id| registered(JumpClientId(id), SHARED, |_| {}));
    let site = site(json!({"appliance_model": "cloud", "licenses": 1})).and(clients);
    let site = arrive(site, 1, 7).then_refused(Refusal::ActiveJumpClientsFull);
    arrive(with(site, json!({"licenses": 2})), 1, 7).then_something();
}

/// LIM-04: a machine at the limit is not registered and may try again until its installer's time is over; who is there
/// stays.
#[test]
fn a_machine_at_the_limit_comes_again() {
    let site = site(json!({"active_jump_clients_max": 1}));
    let site = arrive(site, 1, 1).then_something();
    let site = arrive(site, 1, 2).then_refused(Refusal::ActiveJumpClientsFull);
    // The client that is there connects as ever, and a welcome that was lost is repeated.
    let site = site
        .when(
            PC1,
            jump_client::Command::Connect {
                client: PC1,
                link: LinkId {
                    node: NODE,
                    connection: 3,
                },
                public_ip: "192.0.2.1:1".to_owned(),
                boot_id: "b".to_owned(),
            },
        )
        .then_something();
    let site = arrive(site, 1, 1).then_something();
    // LIM-06: room is made.
    let room = site
        .clone()
        .when(ADMIN, delete::<Properties>(PC1))
        .then_something();
    arrive(room, 1, 2).then_something();
    let late = site.after(DAY);
    arrive(late, 1, 2).then_refused(Refusal::InstallerExpired);
}

/// LIM-06: a limit that is lowered below what is there takes nothing away.
#[test]
fn who_is_there_stays_when_the_limit_falls() {
    let site = site(json!({}))
        .and(client(PC1, SHARED))
        .and(client(PC2, SHARED));
    let site = with(site, json!({"jump_clients_max": 1}));
    assert_eq!(site.world().jump_clients.len(), 2);
    let site = arrive(site, 1, 7).then_refused(Refusal::JumpClientsFull);
    let site = site.when(ADMIN, delete::<Properties>(PC1)).then_something();
    let site = arrive(site, 1, 7).then_refused(Refusal::JumpClientsFull);
    let site = site.when(ADMIN, delete::<Properties>(PC2)).then_something();
    arrive(site, 1, 7).then_something();
}

/// INST-43: how fast clients are deployed is advice, not a limit: a hundred in the same minute are all let in.
#[test]
fn the_rate_of_a_deployment_is_advice() {
    let mut site = site(json!({}));
    for connection in 1..=100 {
        site = arrive(site, 1, connection)
            .then_something()
            .after(MINUTE / 200);
    }
    assert_eq!(site.world().installed_clients().total, 100);
}

fn copied(id: JumpClientId, endpoint: JumpClientId) -> Event {
    let properties = Properties {
        name: format!("copy-{id}"),
        jump_group_id: WEB_SERVERS.0,
        ..Properties::default()
    };
    let copied = Copied {
        endpoint,
        properties,
    };
    Event::JumpClient(id, jump_client::Event::Copied(copied))
}

fn uninstalled(id: JumpClientId) -> Event {
    let link = LinkId {
        node: NODE,
        connection: u64::from(id.0),
    };
    Event::JumpClient(id, jump_client::Event::Uninstalled(Uninstalled { link }))
}

fn deleted(id: JumpClientId) -> Event {
    let gone = record::Event::Deleted(Deleted::default());
    Event::JumpClient(id, jump_client::Event::Record(gone))
}

/// LIM-13
#[test]
fn endpoints_are_what_counts() {
    let count = |events: Vec<Event>| {
        let site = given([group(WEB_SERVERS, "Web Servers")]).and(events);
        let Installed { total, active } = site.world().installed_clients();
        (total, active)
    };
    let pc = |id| registered(id, SHARED, |_| {});
    let passive = |id| {
        registered(id, SHARED, |registered| {
            registered.connection_type = "passive".to_owned();
        })
    };
    assert_eq!(count(vec![pc(PC1), passive(PC2)]), (2, 1));
    assert_eq!(count(vec![pc(PC1), copied(PC2, PC1)]), (1, 1));
    assert_eq!(
        count(vec![pc(PC1), copied(PC2, PC1), deleted(PC1)]),
        (1, 1),
        "a copy alone is still an endpoint"
    );
    assert_eq!(
        count(vec![pc(PC1), copied(PC2, PC1), deleted(PC1), deleted(PC2)]),
        (0, 0)
    );
    assert_eq!(
        count(vec![
            pc(PC1),
            copied(PC2, PC1),
            connected(PC1, 1),
            uninstalled(PC1)
        ]),
        (0, 0)
    );
    // Offline and lost ones are installed.
    let site = given([group(WEB_SERVERS, "Web Servers"), pc(PC1)]).after(400 * DAY);
    assert_eq!(site.world().installed_clients().total, 1);
}

/// LIM-08, LIM-09, LIM-10: a license is for an endpoint, not for a user, and goes on to the next when it is not needed.
#[test]
fn a_license_is_for_an_endpoint() {
    let site = given([
        person(ANNA),
        person(BERT),
        group(WEB_SERVERS, "Web Servers"),
        role(JumpItemRoleId(4), |role| role.perm_start = true),
        member(WEB_SERVERS, ANNA, JumpItemRoleId(4)),
        member(WEB_SERVERS, BERT, JumpItemRoleId(4)),
    ])
    .and(client(PC1, SHARED))
    .and(client(PC2, SHARED))
    .and([copied(PC3, PC1)]);
    let refusal = || Refusal::NoFreeLicense { licenses: 1 };
    let one = with(site, json!({"licenses": 1})).and(session(Lsid(5), ANNA, PC1));
    // One user on two computers, or two users: both need a second license.
    one.clone()
        .when(ANNA, start(ANNA, PC2))
        .then_refused(refusal());
    one.clone()
        .when(BERT, start(BERT, PC2))
        .then_refused(refusal());
    // Another item of the same endpoint needs none.
    one.clone().when(BERT, start(BERT, PC3)).then_something();
    with(one.clone(), json!({"licenses": 2}))
        .when(ANNA, start(ANNA, PC2))
        .then_something();
    with(one.clone(), json!({"licenses": 0}))
        .when(ANNA, start(ANNA, PC2))
        .then_something();
    // Access to the first is no longer needed.
    one.when(ANNA, crate::testing::end(Lsid(5)))
        .then_something()
        .when(ANNA, start(ANNA, PC2))
        .then_something();
    assert_eq!(
        refusal().to_string(),
        "All 1 licenses are in use. One is free again when the last session on its endpoint has ended."
    );
}

/// LIM-08, LIM-10: two users in one session on one endpoint work on one license.
#[test]
fn users_on_one_endpoint_share_its_license() {
    let site = given([group(WEB_SERVERS, "Web Servers")])
        .and(client(PC1, SHARED))
        .and(client(PC2, SHARED))
        .and([copied(PC3, PC1)]);
    let site = with(site, json!({"licenses": 2}))
        .and(session(Lsid(5), ANNA, PC1))
        .and(session(Lsid(6), BERT, PC3));
    let world = site.world();
    assert_eq!(world.sessions.len(), 2);
    let item = JumpItemRef::JumpClient(PC2);
    assert_eq!(super::license_for(world, item), Ok(()));
}

/// The same without the index: every item is looked at.
fn naive(world: &World) -> Installed {
    let mut endpoints: Vec<JumpClientId> = world
        .jump_clients
        .iter()
        .map(|(_, client)| client.endpoint)
        .collect();
    endpoints.sort_unstable();
    endpoints.dedup();
    let mut count = Installed::default();
    for endpoint in endpoints {
        let of = world.endpoint(endpoint).expect("an endpoint");
        match of.connection_type.as_str() {
            "active" => {
                count.total += 1;
                count.active += 1;
            }
            "passive" => count.total += 1,
            _ => {}
        }
    }
    count
}

fn naive_machine(world: &World, machine: &str) -> Vec<JumpClientId> {
    let mut endpoints: Vec<JumpClientId> = world
        .jump_clients
        .iter()
        .filter(|(_, client)| client.facts.machine_id == machine)
        .map(|(_, client)| client.endpoint)
        .collect();
    endpoints.sort_unstable();
    endpoints.dedup();
    endpoints
}

/// What happens to a fleet, over few ids so that everything meets everything.
fn any_event() -> impl Strategy<Value = Event> {
    let id = || (1_u32..6).prop_map(JumpClientId);
    let to = || prop::sample::select(vec![WEB_SERVERS, USER_SYSTEMS]);
    let machine = || prop::sample::select(vec!["", "m-1", "m-2"]);
    let kind = || prop::sample::select(vec!["active", "passive"]);
    prop_oneof![
        3 => (id(), kind(), machine(), to()).prop_map(|(id, kind, machine, to)| {
            registered(id, crate::ids::JumpGroupRef::Shared(to), |registered| {
                registered.connection_type = kind.to_owned();
                registered.facts.machine_id = machine.to_owned();
            })
        }),
        2 => (id(), id()).prop_map(|(copy, endpoint)| copied(JumpClientId(copy.0 + 10), endpoint)),
        2 => (id(), any::<bool>()).prop_map(|(id, copy)| {
            deleted(if copy { JumpClientId(id.0 + 10) } else { id })
        }),
        1 => id().prop_map(uninstalled),
        1 => id().prop_map(|id| connected(id, u64::from(id.0))),
        2 => (id(), machine(), machine()).prop_map(|(id, old, new)| {
            let facts = |machine: &str| Facts {
                machine_id: machine.to_owned(),
                ..Facts::default()
            };
            let changed = FactsChange::between(&facts(old), &facts(new));
            Event::JumpClient(
                id,
                jump_client::Event::CheckedIn(jump_client::CheckedIn { changed }),
            )
        }),
        1 => (id(), kind(), machine()).prop_map(|(id, kind, machine)| {
            Event::JumpClient(
                id,
                jump_client::Event::Reinstalled(jump_client::Reinstalled {
                    installer: INSTALLER,
                    connection_type: kind.to_owned(),
                    facts: Facts { machine_id: machine.to_owned(), ..Facts::default() },
                    token: crate::ids::KeyedHash("t".to_owned()),
                    attempt: crate::ids::KeyedHash(format!("a-{id}")),
                }),
            )
        }),
        1 => to().prop_map(|group: JumpGroupId| {
            Event::JumpGroup(
                group,
                crate::access::jump_group::Event::Record(record::Event::Deleted(Deleted::default())),
            )
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// LIM-13: the numbers that are kept are those of a count, whatever happens to the fleet.
    #[test]
    fn the_numbers_that_are_kept_are_those_of_a_count(
        events in prop::collection::vec(any_event(), 1..60),
    ) {
        let mut world = given([group(WEB_SERVERS, "Web Servers"), group(USER_SYSTEMS, "User Systems")])
            .world()
            .clone();
        let mut given_once = BTreeSet::new();
        for event in &events {
            // An id is given once.
            if let Event::JumpClient(
                id,
                jump_client::Event::Registered(_) | jump_client::Event::Copied(_),
            ) = event
                && !given_once.insert(*id)
            {
                continue;
            }
            world.apply(event, crate::testing::MONDAY);
            prop_assert_eq!(world.installed_clients(), naive(&world), "after {:?}", event);
            for machine in ["m-1", "m-2"] {
                let kept: Vec<JumpClientId> = world.endpoints_of_machine(machine).collect();
                prop_assert_eq!(kept, naive_machine(&world, machine), "{} after {:?}", machine, event);
            }
            prop_assert_eq!(world.endpoints_of_machine("").count(), 0);
        }
        prop_assert_eq!(room_for(&world, "active"), Ok(()));
        // What is read from a snapshot counts the same.
        let mut restored = crate::testing::through_a_snapshot(&world, 3);
        prop_assert!(restored == world, "from a snapshot");
        restored.apply(&deleted(PC1), crate::testing::MONDAY);
        prop_assert_eq!(restored.installed_clients(), naive(&restored));
    }
}
