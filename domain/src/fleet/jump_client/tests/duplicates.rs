//! A machine that has a Jump Client registers another.

use super::*;
use crate::access::role::ADMINISTRATOR;
use crate::fleet::jump_client::{Copied, DUPLICATES_MAX, Registered, Reinstalled, Uninstalled};
use crate::ids::SiteSettingsId;
use crate::site::settings::SiteSettings;
use crate::testing::user;

const PC3: JumpClientId = JumpClientId(3);

/// PC1 is of the machine m-1 and offline; the installer is ANNA's, who may deploy into its group.
fn site(setting: &str) -> Given {
    given([
        person(ANNA),
        group(WEB_SERVERS, "Web Servers"),
        group(USER_SYSTEMS, "User Systems"),
        member(WEB_SERVERS, ANNA, ADMINISTRATOR),
        installer(INSTALLER, SHARED, |installer| {
            installer.created_by_user_id = Some(ANNA);
        }),
        registered(PC1, SHARED, |registered| {
            registered.facts.machine_id = "m-1".to_owned();
            registered.properties.comments = "rack 4".to_owned();
        }),
    ])
    .when(
        ADMIN,
        change::<SiteSettings>(
            SiteSettingsId(1),
            json!({"duplicate_machines": setting, "lost_days": 14}),
        ),
    )
    .then_something()
}

fn machine(machine_id: &str, connection: u64) -> Register {
    let mut machine = register(INSTALLER, connection);
    machine.facts.machine_id = machine_id.to_owned();
    machine.facts.hostname = "pc-1".to_owned();
    machine
}

fn became(asked: &crate::testing::Outcome) -> (JumpClientId, Event) {
    match asked.events() {
        [
            Happened::JumpClient(id, became),
            Happened::JumpClient(connected, Event::Connected(_)),
        ] if id == connected => (*id, became.clone()),
        other => panic!("{other:?}"),
    }
}

fn new_client(asked: &crate::testing::Outcome) -> Registered {
    match became(asked) {
        (_, Event::Registered(registered)) => registered,
        other => panic!("{other:?}"),
    }
}

/// INST-57: by itself the site lets a second client in, and says of whom it is a duplicate. A host name makes no duplicate.
#[test]
fn a_duplicate_is_let_in_and_reported() {
    let asked = site("allow").when(Actor::NewJumpClient, machine("m-1", 7));
    assert_eq!(new_client(&asked).duplicate_of, [PC1]);
    let site_after = asked.then_something();
    let world = site_after.world();
    assert_eq!(world.duplicates_of(PC1, 9), [PC2]);
    assert_eq!(world.duplicates_of(PC2, 9), [PC1]);
    let asked = site_after.when(Actor::NewJumpClient, machine("m-1", 8));
    assert_eq!(new_client(&asked).duplicate_of, [PC1, PC2]);

    for other in ["m-2", ""] {
        for setting in ["allow", "refuse", "merge"] {
            let asked = site(setting).when(Actor::NewJumpClient, machine(other, 7));
            assert_eq!(new_client(&asked).duplicate_of, [], "{other} {setting}");
        }
    }
}

/// INST-57: two machines that do not say which they are are not the same.
#[test]
fn a_machine_without_an_identity_has_no_duplicates() {
    let site = site("refuse")
        .when(Actor::NewJumpClient, machine("", 7))
        .then_something()
        .when(Actor::NewJumpClient, machine("", 8))
        .then_something();
    assert_eq!(site.world().duplicates_of(PC2, 9), []);
    assert_eq!(site.world().duplicates_of(PC3, 9), []);
}

/// INST-57: what stands in the place of an identity on many machines makes no two of them the same.
#[test]
fn a_placeholder_is_no_identity() {
    for id in [
        "uninitialized",
        "00000000000000000000000000000000",
        "00000000-0000-0000-0000-000000000000",
        "{FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF}",
        "To be filled by O.E.M.",
        " ",
        // As earlier agents hashed the first one.
        "3be54d584933f49f4f3976a5c87deb59",
    ] {
        for setting in ["allow", "refuse", "merge"] {
            let first = site(setting).when(Actor::NewJumpClient, machine(id, 7));
            let second = first
                .then_something()
                .when(Actor::NewJumpClient, machine(id, 8));
            assert_eq!(new_client(&second).duplicate_of, [], "{id} {setting}");
        }
    }
}

/// INST-57
#[test]
fn a_site_may_refuse_duplicates() {
    let refusal = || Refusal::DuplicateMachine {
        client: "pc-1".to_owned(),
    };
    let site = site("refuse")
        .when(Actor::NewJumpClient, machine("m-1", 7))
        .then_refused(refusal());
    assert_eq!(
        refusal().to_string(),
        "This computer already has the Jump Client \"pc-1\"."
    );
    // Once the client is deleted there is room for another.
    site.when(ADMIN, delete::<Properties>(PC1))
        .then_something()
        .when(Actor::NewJumpClient, machine("m-1", 7))
        .then_something();
}

/// INST-57: one that was uninstalled is no client of the machine any more.
#[test]
fn an_uninstalled_client_is_no_duplicate() {
    let gone = |setting| {
        site(setting).and([
            connected(PC1, 1),
            Happened::JumpClient(PC1, Event::Uninstalled(Uninstalled { link: link(1) })),
        ])
    };
    let asked = gone("refuse").when(Actor::NewJumpClient, machine("m-1", 7));
    assert_eq!(new_client(&asked).duplicate_of, []);
    // Installed anew it is the client it was.
    let asked = gone("merge").when(Actor::NewJumpClient, machine("m-1", 7));
    assert_eq!(became(&asked).0, PC1);
    let site = asked.then_something();
    let client = site.world().jump_clients.get(&PC1).expect("it is there");
    assert_eq!(client.connection_type, "active");
    assert!(is_online(site.world(), PC1));
}

/// INST-57: a merged registration is the client that is there, with what it is on the site, and a token of its own.
#[test]
fn a_site_may_merge_duplicates() {
    let asked = site("merge").when(Actor::NewJumpClient, machine("m-1", 7));
    let (id, event) = became(&asked);
    assert_eq!(id, PC1);
    let Event::Reinstalled(reinstalled) = event else {
        panic!("{event:?}");
    };
    assert_eq!(
        reinstalled,
        Reinstalled {
            installer: INSTALLER,
            connection_type: "active".to_owned(),
            facts: machine("m-1", 7).facts,
            token: token("token-7"),
            attempt: token("attempt-7"),
        }
    );
    let site = asked.then_something();
    let world = site.world();
    assert_eq!(world.jump_clients.len(), 1);
    let client = world.jump_clients.get(&PC1).expect("it is there");
    assert_eq!(client.properties.name, "pc-1");
    assert_eq!(client.properties.comments, "rack 4");
    assert_eq!(client.token, token("token-7"));
    assert_eq!(
        client.previous_token,
        Some(token("token of pc-1")),
        "who shows the token of before is a clone"
    );
    assert_eq!(world.installed_clients().total, 1);

    // Its welcome was lost: it asks anew and stays the same, and the number of the time before is forgotten.
    let mut again = machine("m-1", 8);
    again.attempt = token("attempt-7");
    let site = site.when(Actor::NewJumpClient, again).then_something();
    assert_eq!(
        site.world().client_of_attempt(&token("attempt-7")),
        Some(PC1)
    );
    assert_eq!(
        site.world().client_of_attempt(&token("attempt of pc-1")),
        None
    );
    assert_eq!(site.world().jump_clients.len(), 1);
}

/// LIM-04, LIM-05: a passive client that is installed anew as an active one takes a place among those; one that stays what it is
/// takes none, also above a limit.
#[test]
fn a_merged_registration_asks_for_the_place_it_takes() {
    let passive = site("merge")
        .when(
            ADMIN,
            Command::Edit(
                PC1,
                crate::testing::object(json!({"connection_type": "passive"})),
            ),
        )
        .then_something()
        .and([registered(PC3, SHARED, |_| {})]);
    let limits = |site: Given, active: u32, total: u32| {
        let limits = json!({"active_jump_clients_max": active, "jump_clients_max": total});
        site.when(ADMIN, change::<SiteSettings>(SiteSettingsId(1), limits))
            .then_something()
    };
    let again = || machine("m-1", 7);
    let full = limits(passive.clone(), 1, 2)
        .when(Actor::NewJumpClient, again())
        .then_refused(Refusal::ActiveJumpClientsFull);
    assert_eq!(full.world().installed_clients().active, 1);
    let room = limits(passive, 2, 2)
        .when(Actor::NewJumpClient, again())
        .then_something();
    assert_eq!(room.world().installed_clients().active, 2);
    let away = room.when(PC1, disconnect(PC1, 7)).then_something();
    limits(away, 1, 1)
        .when(Actor::NewJumpClient, machine("m-1", 8))
        .then_something();
}

/// INST-57: who knows what a machine calls itself does not get its client: not while it is online, not once it is under
/// suspicion, not where the installer's creator may not deploy.
#[test]
fn only_a_client_within_the_creators_reach_that_is_offline_is_merged() {
    let quarantined = Happened::JumpClient(
        PC1,
        Event::Quarantined(crate::fleet::jump_client::Quarantined {
            evidence: "two answered".to_owned(),
        }),
    );
    let by_nobody = installer(INSTALLER, SHARED, |_| {});
    let cases = [
        ("online", connected(PC1, 1)),
        ("quarantined", quarantined),
        (
            "out of reach",
            member(WEB_SERVERS, ANNA, START_SESSIONS_ONLY),
        ),
        ("creator off", user(ANNA, |user| user.enabled = false)),
        ("creator unknown", by_nobody),
    ];
    for (what, happened) in cases {
        let asked = site("merge")
            .and([happened])
            .when(Actor::NewJumpClient, machine("m-1", 7));
        assert_eq!(became(&asked).0, PC2, "{what}");
        assert_eq!(new_client(&asked).duplicate_of, [PC1], "{what}");
    }
}

/// INST-57, CLNT-50: a copy in a group out of the creator's reach keeps the whole endpoint from being taken over; the last
/// connected of those within reach is the one.
#[test]
fn every_item_of_an_endpoint_must_be_within_reach() {
    let copy = |to: crate::ids::JumpGroupId| {
        let properties = Properties {
            name: "copy".to_owned(),
            jump_group_id: to.0,
            ..Properties::default()
        };
        Happened::JumpClient(
            PC2,
            Event::Copied(Copied {
                endpoint: PC1,
                properties,
            }),
        )
    };
    let asked = site("merge")
        .and([copy(USER_SYSTEMS)])
        .when(Actor::NewJumpClient, machine("m-1", 7));
    assert_eq!(became(&asked).0, PC3);
    let asked = site("merge")
        .and([copy(WEB_SERVERS)])
        .when(Actor::NewJumpClient, machine("m-1", 7));
    assert_eq!(became(&asked).0, PC1);
    let site_after = asked.then_something();
    let both = [PC1, PC2].map(|id| {
        let client = site_after.world().jump_clients.get(&id).expect("an item");
        client.token.clone()
    });
    assert_eq!(both, [token("token-7"), token("token-7")]);

    let later = site("merge")
        .after(HOUR)
        .and([registered(PC3, SHARED, |registered| {
            registered.facts.machine_id = "m-1".to_owned();
        })]);
    let asked = later.when(Actor::NewJumpClient, machine("m-1", 7));
    assert_eq!(
        became(&asked).0,
        PC3,
        "of several the one that was there last"
    );
}

/// INST-57: what is told of a machine is bounded, whatever many say that they are it.
#[test]
fn no_more_duplicates_are_told_than_fit() {
    let many = (2..60).map(|number| {
        registered(JumpClientId(number), SHARED, |registered| {
            registered.facts.machine_id = "m-1".to_owned();
        })
    });
    let asked = site("allow")
        .and(many)
        .when(Actor::NewJumpClient, machine("m-1", 77));
    assert_eq!(new_client(&asked).duplicate_of.len(), DUPLICATES_MAX);
    let site = asked.then_something();
    assert_eq!(site.world().duplicates_of(PC1, 5).len(), 5);
}

/// INST-57: which machine a client is of follows what its agent says last.
#[test]
fn a_client_is_found_by_what_its_agent_said_last() {
    let mut facts = machine("m-1", 1).facts;
    facts.machine_id = "m-9".to_owned();
    let moved = Command::CheckIn {
        client: PC1,
        link: link(1),
        facts: Box::new(facts),
    };
    let site = site("refuse")
        .and([connected(PC1, 1)])
        .when(PC1, moved)
        .then_something();
    let site = site
        .when(Actor::NewJumpClient, machine("m-1", 7))
        .then_something();
    site.when(Actor::NewJumpClient, machine("m-9", 8))
        .then_refused(Refusal::DuplicateMachine {
            client: "pc-1".to_owned(),
        });
}
