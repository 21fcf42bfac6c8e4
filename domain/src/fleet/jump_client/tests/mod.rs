//! Jump Clients: registering, presence, identity, and what of them may be changed by whom.

use serde_json::json;

use super::{
    Command, Connected, Event, Facts, Offer, Presence, Properties, Register, TOKEN_DAYS, Token,
};
use crate::access::role::{JumpItemPermission, START_SESSIONS_ONLY};
use crate::fleet::installer::JumpClientInstaller;
use crate::ids::{
    JumpClientId, JumpGroupRef, JumpItemRef, JumpItemRoleId, KeyedHash, LinkId, SessionPolicyId,
};
use crate::node::{self, StopReason};
use crate::testing::{
    ADMIN, ALWAYS, ANNA, API, Given, INSTALLER, NODE, PC1, PC2, SHARED, USER_SYSTEMS, WEB_SERVERS,
    change, client, connected, delete, given, group, installer, member, person, policy, register,
    registered, role, session_policy,
};
use crate::time::{DAY, HOUR};
use crate::{Actor, Event as Happened, Refusal, World};

mod connection_type;
mod copies;
mod duplicates;
mod identity;
mod life;
mod overrides;

const EDITOR: JumpItemRoleId = JumpItemRoleId(4);

fn link(connection: u64) -> LinkId {
    LinkId {
        node: NODE,
        connection,
    }
}

fn disconnect(client: JumpClientId, connection: u64) -> Command {
    Command::Disconnect {
        client,
        link: link(connection),
        reason: "closed".to_owned(),
    }
}

fn token(text: &str) -> KeyedHash {
    KeyedHash(text.to_owned())
}

fn is_online(world: &World, client: JumpClientId) -> bool {
    world
        .jump_clients
        .get(&client)
        .is_some_and(|client| world.is_online(client))
}

fn deployed() -> Given {
    given([
        group(WEB_SERVERS, "Web Servers"),
        policy(ALWAYS, |_| {}),
        installer(INSTALLER, SHARED, |installer| {
            installer.name = "web".to_owned();
            installer.tag = "linux".to_owned();
            installer.comments = "rack 4".to_owned();
            installer.jump_policy_id = Some(ALWAYS);
            installer.session_policy_id = Some(2);
            installer.max_offline_minutes = 60;
        }),
    ])
}

/// CLNT-03, CLNT-04, INST-02
#[test]
fn a_machine_becomes_a_client_as_its_installer_says() {
    let asked = deployed().when(Actor::NewJumpClient, register(INSTALLER, 1));
    let [
        Happened::JumpClient(PC1, Event::Registered(made)),
        Happened::JumpClient(PC1, Event::Connected(_)),
    ] = asked.events()
    else {
        panic!("{asked:?}");
    };
    let expected = Properties {
        name: "web".to_owned(),
        jump_group_id: WEB_SERVERS.0,
        jump_group_type: "shared".to_owned(),
        tag: "linux".to_owned(),
        comments: "rack 4".to_owned(),
        jump_policy_id: Some(ALWAYS),
        session_policy_id: Some(2),
        max_offline_minutes: 60,
        endpoint_agreement_policy: "no_prompt".to_owned(),
    };
    assert_eq!(made.properties, expected);
    assert_eq!(made.connection_type, "active");
    let site = asked.then_something();
    assert!(is_online(site.world(), PC1));
    let items: Vec<JumpItemRef> = site.world().items_of(SHARED).collect();
    assert_eq!(items, [JumpItemRef::JumpClient(PC1)]);

    // A second machine is the same in all but its number, and ids are never used twice.
    let site = site.when(ADMIN, delete::<Properties>(PC1)).then_something();
    let second = site.when(Actor::NewJumpClient, register(INSTALLER, 2));
    let [Happened::JumpClient(PC2, Event::Registered(second)), _] = second.events() else {
        panic!("{second:?}");
    };
    assert_eq!(second.properties, expected);
}

/// CLNT-04: without a name in the installer the client is called like its computer.
#[test]
fn a_blank_name_is_the_computers() {
    let blank = || {
        given([
            group(WEB_SERVERS, "Web Servers"),
            installer(INSTALLER, SHARED, |_| {}),
        ])
    };
    for (hostname, name) in [
        ("web01", "web01".to_owned()),
        ("", "Jump Client".to_owned()),
        (&"x".repeat(200), "x".repeat(128)),
    ] {
        let mut machine = register(INSTALLER, 1);
        machine.facts.hostname = hostname.to_owned();
        let site = blank().when(Actor::NewJumpClient, machine).then_something();
        let client = site.world().jump_clients.get(&PC1).expect("it is there");
        assert_eq!(client.properties.name, name);
    }
}

/// INST-04, INST-13, CLNT-05
#[test]
fn an_expired_or_deleted_installer_brings_nobody_and_takes_nobody_away() {
    let site = deployed()
        .when(Actor::NewJumpClient, register(INSTALLER, 1))
        .then_something();
    let end = site
        .world()
        .installers
        .get(&INSTALLER)
        .expect("it is there")
        .expiration_timestamp;
    site.clone()
        .at(end.plus(-1))
        .when(Actor::NewJumpClient, register(INSTALLER, 2))
        .then_something();
    site.clone()
        .at(end)
        .when(Actor::NewJumpClient, register(INSTALLER, 2))
        .then_refused(Refusal::InstallerExpired);
    let site = site
        .when(ADMIN, delete::<JumpClientInstaller>(INSTALLER))
        .then_something()
        .when(Actor::NewJumpClient, register(INSTALLER, 2))
        .then_refused(Refusal::InstallerInvalid);
    assert!(is_online(site.world(), PC1), "what is installed stays");
}

/// INST-23, INST-26, INST-33
#[test]
fn what_is_passed_at_install_counts_only_where_the_installer_lets_it() {
    let machine = |change: &dyn Fn(&mut Register)| {
        let mut machine = register(INSTALLER, 1);
        change(&mut machine);
        machine
    };
    type Passes = dyn Fn(&mut Register);
    let cases: [(&str, &Passes); 3] = [
        ("name", &|machine| {
            machine.overrides.name = Some("db 01".to_owned())
        }),
        ("tag", &|machine| {
            machine.overrides.tag = Some("db".to_owned())
        }),
        ("comments", &|machine| {
            machine.overrides.comments = Some("two words".to_owned());
        }),
    ];
    for (field, passes) in cases {
        deployed()
            .when(Actor::NewJumpClient, machine(passes))
            .then_refused(Refusal::OverrideNotAllowed { field });
    }
    let open = || {
        deployed().and([installer(INSTALLER, SHARED, |installer| {
            installer.allow_override_name = true;
            installer.allow_override_tag = true;
            installer.allow_override_comments = true;
        })])
    };
    let all = machine(&|machine| cases.iter().for_each(|(_, passes)| passes(machine)));
    let site = open().when(Actor::NewJumpClient, all).then_something();
    let made = &site
        .world()
        .jump_clients
        .get(&PC1)
        .expect("it is there")
        .properties;
    assert_eq!(
        (
            made.name.as_str(),
            made.tag.as_str(),
            made.comments.as_str()
        ),
        ("db 01", "db", "two words")
    );
    // LIM-11, ITEM-56: 64 characters of a tag are the Configuration API's bound alone.
    for (name, tag, comments, wrong) in [
        (128, 1024, 1024, vec![]),
        (129, 1024, 1024, vec!["name"]),
        (128, 1025, 1025, vec!["tag", "comments"]),
    ] {
        let long = machine(&|machine| {
            machine.overrides.name = Some("n".repeat(name));
            machine.overrides.tag = Some("t".repeat(tag));
            machine.overrides.comments = Some("c".repeat(comments));
        });
        let asked = open().when(Actor::NewJumpClient, long);
        if wrong.is_empty() {
            asked.then_something();
        } else {
            asked.then_invalid(&wrong);
        }
    }
}

/// A welcome that was lost: the machine asks anew, stays the same client and gets the token of the second time.
#[test]
fn a_repeated_registration_is_the_same_client() {
    let mut again = register(INSTALLER, 2);
    again.attempt = register(INSTALLER, 1).attempt;
    let site = deployed()
        .when(Actor::NewJumpClient, register(INSTALLER, 1))
        .then_something()
        .when(Actor::NewJumpClient, again.clone())
        .then([
            Happened::JumpClient(
                PC1,
                Event::TokenOffered(Token {
                    token: token("token-2"),
                }),
            ),
            Happened::JumpClient(
                PC1,
                Event::Connected(Connected {
                    link: link(2),
                    public_ip: again.public_ip.clone(),
                    boot_id: again.boot_id.clone(),
                }),
            ),
        ])
        .when(
            PC1,
            Command::ConfirmToken {
                client: PC1,
                link: Some(link(2)),
                token: token("token-2"),
            },
        )
        .then_something();
    assert_eq!(site.world().jump_clients.len(), 1);
    // Once it has shown its token the number it drew is forgotten.
    let site = site.when(Actor::NewJumpClient, again).then_something();
    assert_eq!(site.world().jump_clients.len(), 2);
}

/// CLNT-11, CLNT-13
#[test]
fn a_client_is_online_offline_lost_and_back() {
    let site = given([group(WEB_SERVERS, "Web Servers")]).and(client(PC1, SHARED));
    let since = site.now().plus(HOUR);
    let pc = |site: &Given| site.world().jump_clients.get(&PC1).cloned().expect("there");
    assert!(is_online(site.world(), PC1));
    assert_eq!(site.world().offline_since(&pc(&site)), None);

    let site = site
        .at(since)
        .when(PC1, disconnect(PC1, 1))
        .then_something();
    assert!(!is_online(site.world(), PC1));
    assert_eq!(site.world().offline_since(&pc(&site)), Some(since));
    let lost = since.plus(15 * DAY);
    assert!(!site.world().is_lost(&pc(&site), lost.plus(-1)));
    assert!(site.world().is_lost(&pc(&site), lost));

    let site = site.at(lost).and([connected(PC1, 2)]);
    assert!(is_online(site.world(), PC1));
    assert!(!site.world().is_lost(&pc(&site), lost));
}

/// CLNT-11: a disconnect that comes late, after the client has connected anew, is nothing.
#[test]
fn only_the_newest_connection_can_end() {
    let site = given([group(WEB_SERVERS, "Web Servers")])
        .and(client(PC1, SHARED))
        .and([connected(PC1, 5)])
        .when(PC1, disconnect(PC1, 1))
        .then_nothing()
        .when(PC2, disconnect(PC2, 1))
        .then_nothing();
    assert!(is_online(site.world(), PC1));
    let connect = Command::Connect {
        client: PC1,
        link: link(5),
        public_ip: "198.51.100.7:40000".to_owned(),
        boot_id: "boot-1".to_owned(),
    };
    site.when(PC1, connect).then_nothing();
}

/// CLNT-11: one event takes all clients of a dead node offline, since the node stopped.
#[test]
fn clients_of_a_stopped_node_are_offline_since_it_stopped() {
    let stop = node::Command::Stop {
        epoch: NODE,
        reason: StopReason::Silent,
    };
    let site = given([group(WEB_SERVERS, "Web Servers")]).and(client(PC1, SHARED));
    let stopped_at = site.now().plus(HOUR);
    let site = site
        .at(stopped_at)
        .when(Actor::System, stop)
        .then_something()
        .after(HOUR)
        .when(PC1, disconnect(PC1, 1))
        .then_nothing();
    let client = site.world().jump_clients.get(&PC1).expect("it is there");
    assert_eq!(client.presence, Presence::Connected(link(1)));
    assert_eq!(site.world().offline_since(client), Some(stopped_at));
    let connect = Command::Connect {
        client: PC1,
        link: link(2),
        public_ip: String::new(),
        boot_id: String::new(),
    };
    site.clone()
        .when(PC1, connect)
        .then_refused(Refusal::NodeStopped);
    site.and([installer(INSTALLER, SHARED, |_| {})])
        .when(Actor::NewJumpClient, register(INSTALLER, 3))
        .then_refused(Refusal::NodeStopped);
}

/// CLNT-29
#[test]
fn a_check_in_tells_what_changed_and_only_that() {
    let site = given([group(WEB_SERVERS, "Web Servers")]).and(client(PC1, SHARED));
    let before = site
        .world()
        .jump_clients
        .get(&PC1)
        .expect("there")
        .facts
        .clone();
    let check_in = |facts: &Facts| Command::CheckIn {
        client: PC1,
        link: link(1),
        facts: Box::new(facts.clone()),
    };
    let disabled = Facts {
        disabled: true,
        console_user: "anna".to_owned(),
        ..before.clone()
    };
    let site = site
        .when(PC1, check_in(&before))
        .then_nothing()
        .when(PC1, check_in(&disabled));
    let [Happened::JumpClient(PC1, Event::CheckedIn(told))] = site.events() else {
        panic!("{site:?}");
    };
    assert_eq!(
        serde_json::to_value(&told.changed).expect("json"),
        json!({"disabled": true, "console_user": "anna"})
    );
    let site = site.then_something();
    assert_eq!(
        site.world().jump_clients.get(&PC1).expect("there").facts,
        disabled
    );
    site.when(
        PC2,
        Command::CheckIn {
            client: PC2,
            link: link(2),
            facts: Box::default(),
        },
    )
    .then_refused(Refusal::JumpClientGone);
}

/// CLNT-30: an identity token is replaced only by the one that was offered, and two machines with one identity end it.
#[test]
fn an_identity_is_one_machines() {
    let offer = |text| Command::OfferToken {
        client: PC1,
        offer: Offer::AtResume {
            shown: token("token of pc-1"),
        },
        token: token(text),
    };
    let confirm = |text| Command::ConfirmToken {
        client: PC1,
        link: Some(link(1)),
        token: token(text),
    };
    let site = given([group(WEB_SERVERS, "Web Servers")])
        .and(client(PC1, SHARED))
        .after(TOKEN_DAYS * DAY)
        .when(PC1, confirm("stolen"))
        .then_refused(Refusal::JumpClientIdentityFailed)
        .when(Actor::System, offer("new"))
        .then_something()
        .when(Actor::System, offer("new"))
        .then_nothing()
        .when(PC1, confirm("other"))
        .then_refused(Refusal::JumpClientIdentityFailed)
        .when(PC1, confirm("new"))
        .then_something()
        .when(PC1, confirm("new"))
        .then_nothing();
    let pc = site.world().jump_clients.get(&PC1).expect("it is there");
    assert_eq!(pc.token, token("new"));
    assert_eq!(pc.previous_token, Some(token("token of pc-1")));

    let quarantine = || Command::Quarantine {
        client: PC1,
        evidence: "two boot ids".to_owned(),
    };
    let connect = Command::Connect {
        client: PC1,
        link: link(9),
        public_ip: String::new(),
        boot_id: String::new(),
    };
    site.when(Actor::System, quarantine())
        .then_something()
        .when(Actor::System, quarantine())
        .then_nothing()
        .when(PC1, connect)
        .then_refused(Refusal::JumpClientIdentityFailed);
}

/// CLNT-30, threat T: what was said on a link that is not the client's any more changes nothing, and a token that the
/// client may have stored is never lost to another.
#[test]
fn late_words_of_a_superseded_link_change_nothing() {
    let offer = |link, text| Command::OfferToken {
        client: PC1,
        offer: Offer::OnLink(link),
        token: token(text),
    };
    let resume = |shown, text| Command::OfferToken {
        client: PC1,
        offer: Offer::AtResume {
            shown: token(shown),
        },
        token: token(text),
    };
    let confirm = |link, text| Command::ConfirmToken {
        client: PC1,
        link,
        token: token(text),
    };
    let check_in = |connection| Command::CheckIn {
        client: PC1,
        link: link(connection),
        facts: Box::new(Facts {
            hostname: format!("said on link {connection}"),
            ..Facts::default()
        }),
    };
    // It is back on link 5, and was handed a token then; what link 1 still had to say comes now.
    let site = given([group(WEB_SERVERS, "Web Servers")])
        .and(client(PC1, SHARED))
        .after(TOKEN_DAYS * DAY)
        .when(PC1, resume("token of pc-1", "t2"))
        .then_something()
        .when(PC1, offer(link(1), "t3"))
        .then_nothing()
        .and([connected(PC1, 5)])
        .when(PC1, offer(link(1), "t3"))
        .then_nothing()
        .when(PC1, check_in(1))
        .then_nothing()
        .when(PC1, confirm(Some(link(1)), "t2"))
        .then_nothing()
        // Nor does its own link put another in the place of one that it may have stored.
        .when(PC1, offer(link(5), "t4"))
        .then_nothing()
        .when(PC1, check_in(5))
        .then_something()
        .when(PC1, confirm(Some(link(5)), "t2"))
        .then_something();
    let pc = site.world().jump_clients.get(&PC1).expect("there");
    assert_eq!((&pc.token, &pc.offered_token), (&token("t2"), &None));
    // Who showed the token of before does not know the newest.
    let site = site
        .after(TOKEN_DAYS * DAY)
        .when(PC1, resume("token of pc-1", "t5"))
        .then_nothing()
        .when(PC1, offer(link(5), "t6"))
        .then_something()
        // One that is shown was stored, on whichever link that was said.
        .when(PC1, confirm(None, "t6"))
        .then_something();
    let pc = site.world().jump_clients.get(&PC1).expect("there");
    assert_eq!(pc.token, token("t6"));
}

/// ROLE-21, ROLE-22, ROLE-23, ROLE-24, ROLE-25, CLNT-48
#[test]
fn each_property_needs_the_permission_of_its_own() {
    use JumpItemPermission::{
        EditBehavior, EditComments, EditConnectivity, EditJumpPolicy, EditSessionPolicy, EditTag,
    };
    let fields = [
        (json!({"name": "new"}), EditConnectivity),
        (json!({"tag": "new"}), EditTag),
        (json!({"comments": "new"}), EditComments),
        (json!({"jump_policy_id": 2}), EditJumpPolicy),
        (json!({"session_policy_id": 2}), EditSessionPolicy),
        (json!({"max_offline_minutes": 5}), EditBehavior),
        (json!({"endpoint_agreement_policy": "reject"}), EditBehavior),
    ];
    for (_, held) in &fields {
        let site = given([
            role(EDITOR, |role| {
                role.perm_edit_identity = *held == EditConnectivity;
                role.perm_edit_tag = *held == EditTag;
                role.perm_edit_comments = *held == EditComments;
                role.perm_edit_jump_policy = *held == EditJumpPolicy;
                role.perm_edit_session_policy = *held == EditSessionPolicy;
                role.perm_edit_behavior = *held == EditBehavior;
            }),
            person(ANNA),
            group(WEB_SERVERS, "Web Servers"),
            policy(ALWAYS, |_| {}),
            session_policy(SessionPolicyId(2)),
            member(WEB_SERVERS, ANNA, EDITOR),
        ])
        .and(client(PC1, SHARED));
        for (body, needed) in &fields {
            let asked = site
                .clone()
                .when(ANNA, change::<Properties>(PC1, body.clone()));
            if needed == held {
                asked.then_something();
            } else {
                asked.then_refused(Refusal::RoleLacks {
                    permission: *needed,
                });
            }
        }
        // What does not change needs nothing.
        site.when(
            ANNA,
            change::<Properties>(PC1, json!({"name": "pc-1", "tag": ""})),
        )
        .then_nothing();
    }
}

/// ROLE-18, GRP-22
#[test]
fn a_move_needs_the_permission_on_both_sides() {
    let lacks = Refusal::RoleLacks {
        permission: JumpItemPermission::MoveAndCopy,
    };
    let to = json!({"jump_group_id": USER_SYSTEMS.0});
    for (here, there, outcome) in [
        (true, Some(true), Ok(())),
        (false, Some(true), Err(lacks.clone())),
        (true, Some(false), Err(lacks)),
        (
            true,
            None,
            Err(Refusal::field(
                "jump_group_id",
                "The selected jump_group_id is invalid.",
            )),
        ),
    ] {
        const MOVER: JumpItemRoleId = EDITOR;
        let role_of = |moves: bool| if moves { MOVER } else { START_SESSIONS_ONLY };
        let site = given([
            role(MOVER, |role| role.perm_assign_jump_group = true),
            person(ANNA),
            group(WEB_SERVERS, "Web Servers"),
            group(USER_SYSTEMS, "User Systems"),
            member(WEB_SERVERS, ANNA, role_of(here)),
        ])
        .and(there.map(|moves| member(USER_SYSTEMS, ANNA, role_of(moves))))
        .and(client(PC1, SHARED));
        let asked = site.when(ANNA, change::<Properties>(PC1, to.clone()));
        match outcome {
            Ok(()) => {
                let site = asked.then_something();
                let world = site.world();
                let target = JumpGroupRef::Shared(USER_SYSTEMS);
                assert_eq!(world.group_of(JumpItemRef::JumpClient(PC1)), Some(target));
                assert_eq!(world.items_of(SHARED).count(), 0);
                assert_eq!(world.items_of(target).count(), 1);
            }
            Err(refusal) => drop(asked.then_refused(refusal)),
        }
    }
}

/// ROLE-19
#[test]
fn removing_needs_its_permission() {
    let site = given([
        role(EDITOR, |role| role.perm_remove = true),
        person(ANNA),
        group(WEB_SERVERS, "Web Servers"),
        member(WEB_SERVERS, ANNA, START_SESSIONS_ONLY),
    ])
    .and(client(PC1, SHARED));
    site.clone()
        .when(ANNA, delete::<Properties>(PC1))
        .then_refused(Refusal::RoleLacks {
            permission: JumpItemPermission::Remove,
        });
    site.and([member(WEB_SERVERS, ANNA, EDITOR)])
        .when(ANNA, delete::<Properties>(PC1))
        .then_something()
        .when(ANNA, delete::<Properties>(PC1))
        .then_refused(Refusal::JumpClientGone);
}

/// ERR-05, ERR-07
#[test]
fn a_client_that_is_gone_out_of_sight_or_uninstalled_is_not_changed() {
    let rename = || change::<Properties>(PC1, json!({"comments": "new"}));
    given([person(ANNA)])
        .when(API, rename())
        .then_refused(Refusal::JumpClientGone);
    let site = given([person(ANNA), group(WEB_SERVERS, "Web Servers")]);
    site.clone()
        .and(client(PC1, SHARED))
        .when(ANNA, rename())
        .then_refused(Refusal::JumpClientGone);
    let uninstalled = registered(PC1, SHARED, |registered| {
        registered.connection_type = "uninstalled".to_owned();
    });
    site.and([uninstalled])
        .when(API, rename())
        .then_refused(Refusal::JumpClientUninstalled)
        .when(API, delete::<Properties>(PC1))
        .then_something();
}

/// CLNT-48
#[test]
fn references_of_a_client_must_be_there() {
    let site = given([person(ANNA), group(WEB_SERVERS, "Web Servers")]).and(client(PC1, SHARED));
    for (body, field) in [
        (json!({"jump_group_id": 99}), "jump_group_id"),
        (
            json!({"jump_group_id": 99, "jump_group_type": "personal"}),
            "jump_group_id",
        ),
        (json!({"jump_policy_id": 99}), "jump_policy_id"),
    ] {
        site.clone()
            .when(API, change::<Properties>(PC1, body))
            .then_invalid(&[field]);
    }
    let to_her = json!({"jump_group_id": ANNA.0, "jump_group_type": "personal"});
    let site = site
        .when(API, change::<Properties>(PC1, to_her))
        .then_something();
    assert_eq!(
        site.world().items_of(JumpGroupRef::Personal(ANNA)).count(),
        1
    );
}
