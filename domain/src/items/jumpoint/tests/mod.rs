//! Jumpoints: names, what excludes what, the proxy's restrictions, users, and what goes with one that is deleted.

use serde_json::{Value, json};

use crate::access::group_policy::{self, Of};
use crate::fleet::installer::JumpClientInstaller;
use crate::ids::{GroupPolicyId, JumpItemRef, JumpItemRoleId, JumpointId, ShellJumpId};
use crate::items::jumpoint::{self, AddressRange, Command, Jumpoint, JumpointUser};
use crate::items::shell::ShellJump;
use crate::record;
use crate::site::settings::{SETTINGS, SiteSettings};
use crate::testing::{
    ADMIN, ANNA, BERT, Given, SHARED, WEB_SERVERS, change, create, delete, given, group,
    group_policy as policy_record, jumpoint, member, object, person, policy_member, role,
    shell_jump, start_on, user,
};
use crate::{Event, Refusal};

const EAST: JumpointId = JumpointId(1);
const DEPLOYER: JumpItemRoleId = JumpItemRoleId(10);

fn body(more: Value) -> Value {
    let mut body = json!({"name": "East", "platform": "linux-x86"});
    for (name, value) in object(more) {
        body[name] = value;
    }
    body
}

fn made(given: &Given) -> &Jumpoint {
    given.world().jumpoints.get(&EAST).expect("it was made")
}

/// JPT-01, JPT-02, JPT-03, JPT-18, JPT-22
#[test]
fn what_is_left_out_has_the_guides_defaults() {
    let given = given([])
        .when(ADMIN, create::<Jumpoint>(body(json!({}))))
        .then_something();
    let jumpoint = made(&given);
    assert_eq!(jumpoint.code_name, "east");
    assert!(jumpoint.enabled && jumpoint.protocol_tunnel_enabled);
    assert!(!jumpoint.clustered && !jumpoint.shell_jump_enabled && !jumpoint.jzp_enabled);
    assert_eq!(jumpoint.jzp_proxy_port, 9555);
    assert_eq!(
        jumpoint.jzp_client_address_restrictions_type,
        "no_restriction"
    );
}

/// JPT-01
#[test]
fn a_name_and_a_code_name_are_given_once() {
    let given = given([]).and([jumpoint(EAST, |jumpoint| {
        jumpoint.name = "East".to_owned();
        jumpoint.code_name = "east".to_owned();
        jumpoint.external_jump_item_network_id = Some("net-1".to_owned());
    })]);
    for (more, wrong) in [
        (json!({"name": "EAST", "code_name": "other"}), "name"),
        (json!({"name": "West", "code_name": "East"}), "code_name"),
        (
            json!({"name": "West", "external_jump_item_network_id": "net-1"}),
            "external_jump_item_network_id",
        ),
    ] {
        given
            .clone()
            .when(ADMIN, create::<Jumpoint>(body(more)))
            .then_invalid(&[wrong]);
    }
    // A name that was given up is free, and a network that is not set is no network.
    given
        .when(ADMIN, change::<Jumpoint>(EAST, json!({"name": "North"})))
        .then_something()
        .when(
            ADMIN,
            create::<Jumpoint>(body(json!({"external_jump_item_network_id": ""}))),
        )
        .then_something()
        .when(
            ADMIN,
            create::<Jumpoint>(body(
                json!({"name": "West", "external_jump_item_network_id": ""}),
            )),
        )
        .then_something();
}

/// JPT-02, JPT-03
#[test]
fn platform_and_cluster_are_fixed_once_it_is_made() {
    let given = given([])
        .when(ADMIN, create::<Jumpoint>(body(json!({"clustered": true}))))
        .then_something();
    given
        .when(
            ADMIN,
            change::<Jumpoint>(EAST, json!({"platform": "windows-x86", "clustered": false})),
        )
        .then_invalid(&["clustered", "platform"])
        .when(
            ADMIN,
            change::<Jumpoint>(EAST, json!({"platform": "linux-x86", "clustered": true})),
        )
        .then_nothing();
}

/// JPT-09, JPT-10
#[test]
fn managed_addresses_need_network_tunnels_and_ranges_that_run_upwards() {
    let tunnels = change::<SiteSettings>(SETTINGS, json!({"network_tunnel_jump_enabled": true}));
    let ranges = |start: &str, end: &str, tunnel: bool| {
        create::<Jumpoint>(body(json!({
            "managed_ip_ranges": [{"start": start, "end": end}, {"start": "10.1.0.1", "end": "10.1.0.1"}],
            "protocol_tunnel_enabled": tunnel,
        })))
    };
    let wrong = ["managed_ip_ranges"];
    let given = given([])
        .when(ADMIN, ranges("10.0.0.1", "10.0.0.9", true))
        .then_invalid(&wrong)
        .when(ADMIN, tunnels)
        .then_something()
        .when(ADMIN, ranges("10.0.0.1", "10.0.0.9", false))
        .then_invalid(&wrong)
        .when(ADMIN, ranges("10.0.0.9", "10.0.0.1", true))
        .then_invalid(&wrong)
        .when(ADMIN, ranges("10.0.0.1", "east", true))
        .then_invalid(&wrong)
        .when(ADMIN, ranges("10.0.0.1", "10.0.0.9", true))
        .then_something();
    assert_eq!(
        made(&given).managed_ip_ranges[0],
        AddressRange {
            start: "10.0.0.1".to_owned(),
            end: "10.0.0.9".to_owned(),
        }
    );
}

/// JPT-11, JPT-12
#[test]
fn there_is_no_vault_account_to_name() {
    for platform in ["linux-x86", "windows-x86"] {
        given([])
            .when(
                ADMIN,
                create::<Jumpoint>(body(
                    json!({"platform": platform, "rdp_service_account_id": 1}),
                )),
            )
            .then_invalid(&["rdp_service_account_id"]);
    }
}

/// JPT-16, JPT-17
#[test]
fn a_proxy_host_is_a_host_and_a_cluster_has_none() {
    for (host, clustered, right) in [
        ("proxy.example.com", false, true),
        ("10.0.0.1", false, true),
        ("", true, true),
        ("http://proxy.example.com", false, false),
        ("HTTPS://proxy.example.com", false, false),
        ("proxy.example.com", true, false),
    ] {
        let asked = given([]).when(
            ADMIN,
            create::<Jumpoint>(body(
                json!({"jzp_proxy_hostname": host, "clustered": clustered}),
            )),
        );
        if right {
            asked.then_something();
        } else {
            asked.then_invalid(&["jzp_proxy_hostname"]);
        }
    }
}

/// JPT-24, JPT-25
#[test]
fn restrictions_are_prefixes() {
    for (entry, right) in [
        ("10.0.0.0/255.0.0.0", true),
        ("10.0.0.0/8", true),
        ("10.0.0.7", true),
        ("2001:db8::/32", true),
        ("10.0.0.0/0", true),
        ("10.0.0.0/33", false),
        ("10.0.0.0/255.0.255.0", false),
        ("10.0.0.0/", false),
        ("10.0.0.0/+8", false),
        ("2001:db8::/255.0.0.0", false),
        ("east", false),
    ] {
        let asked = given([]).when(
            ADMIN,
            create::<Jumpoint>(body(json!({"jzp_restricted_ips": [entry]}))),
        );
        if right {
            asked.then_something();
        } else {
            asked.then_invalid(&["jzp_restricted_ips"]);
        }
    }
}

/// JPT-22, JPT-23
#[test]
fn restrictions_let_in_or_keep_out_what_is_listed() {
    let listed = ["10.0.0.0/255.0.0.0", "192.0.2.7", "2001:db8::/32"];
    // restriction, address, admitted
    let cases = [
        ("no_restriction", "10.1.2.3", true),
        ("no_restriction", "192.0.2.8", true),
        ("allow_all", "10.1.2.3", true),
        ("allow_all", "192.0.2.7", true),
        ("allow_all", "192.0.2.8", false),
        ("allow_all", "2001:db8::5", true),
        ("allow_all", "2001:db9::5", false),
        ("allow_all", "::a01:203", false),
        ("deny_all", "10.1.2.3", false),
        ("deny_all", "192.0.2.7", false),
        ("deny_all", "192.0.2.8", true),
    ];
    for (restriction, address, admitted) in cases {
        let jumpoint = Jumpoint {
            jzp_client_address_restrictions_type: restriction.to_owned(),
            jzp_restricted_ips: listed.map(str::to_owned).to_vec(),
            ..Jumpoint::default()
        };
        let address = address.parse().expect("an address");
        assert_eq!(
            jumpoint.admits(address),
            admitted,
            "{restriction} {address}"
        );
    }
}

/// JPT-28
#[test]
fn users_are_added_and_removed_and_carry_nothing_else() {
    let added = Event::Jumpoint(
        EAST,
        jumpoint::Event::UserAdded(JumpointUser { user_id: ANNA }),
    );
    let removed = Event::Jumpoint(
        EAST,
        jumpoint::Event::UserRemoved(JumpointUser { user_id: ANNA }),
    );
    let given = given([jumpoint(EAST, |_| {}), person(ANNA)])
        .when(ADMIN, Command::AddUser(EAST, BERT))
        .then_invalid(&["user_id"])
        .when(ADMIN, Command::AddUser(JumpointId(9), ANNA))
        .then_refused(Refusal::not_found("Jumpoint"))
        .when(ADMIN, Command::AddUser(EAST, ANNA))
        .then([added])
        .when(ADMIN, Command::AddUser(EAST, ANNA))
        .then_nothing();
    assert_eq!(
        given.world().jumpoint_users(EAST).collect::<Vec<_>>(),
        [ANNA]
    );
    given
        .clone()
        .when(ADMIN, Command::RemoveUser(EAST, ANNA))
        .then([removed])
        .when(ADMIN, Command::RemoveUser(EAST, ANNA))
        .then_refused(Refusal::not_found("Jumpoint user"));
    let given = given
        .when(ADMIN, delete::<crate::site::user::User>(ANNA))
        .then_something();
    assert_eq!(given.world().jumpoint_users(EAST).count(), 0);
}

fn anna_deploys() -> Given {
    given([
        person(ANNA),
        group(WEB_SERVERS, "Web Servers"),
        role(DEPLOYER, |role| {
            role.perm_add = true;
            role.perm_edit_identity = true;
            role.perm_assign_jump_group = true;
        }),
        member(WEB_SERVERS, ANNA, DEPLOYER),
        jumpoint(EAST, |_| {}),
        jumpoint(JumpointId(2), |_| {}),
    ])
}

fn shell() -> crate::Command {
    create::<ShellJump>(json!({
        "name": "router", "jumpoint_id": 1, "hostname": "r", "protocol": "ssh", "jump_group_id": 1,
    }))
}

fn not_allowed(id: u32) -> Refusal {
    Refusal::JumpointNotAllowed {
        jumpoint: format!("jumpoint-{id}"),
    }
}

/// ROLE-17, JPT-27, GPOL-12
#[test]
fn items_are_made_only_through_jumpoints_one_may_use() {
    anna_deploys()
        .when(ANNA, shell())
        .then_refused(not_allowed(1));
    let directly = anna_deploys()
        .when(ADMIN, Command::AddUser(EAST, ANNA))
        .then_something()
        .when(ANNA, shell())
        .then_something();
    directly
        .when(
            ANNA,
            change::<ShellJump>(ShellJumpId(1), json!({"jumpoint_id": 2})),
        )
        .then_refused(not_allowed(2))
        .when(
            ANNA,
            change::<ShellJump>(ShellJumpId(1), json!({"hostname": "s"})),
        )
        .then_something()
        .when(ADMIN, Command::RemoveUser(EAST, ANNA))
        .then_something()
        .when(
            ANNA,
            crate::items::shell::Command::Copy(
                ShellJumpId(1),
                object(json!({"jump_group_id": 1, "jump_group_type": "shared"})),
            ),
        )
        .then_refused(not_allowed(1));
    let policy = GroupPolicyId(1);
    let by_policy = anna_deploys()
        .and([policy_record(policy, |_| {}), policy_member(policy, ANNA)])
        .when(ADMIN, group_policy::Command::AddJumpoint(policy, EAST))
        .then_something();
    by_policy.clone().when(ANNA, shell()).then_something();
    // What lets in is a row that puts in: not one that takes away, alone or below it.
    by_policy
        .when(
            ADMIN,
            group_policy::Command::AddRemoval(policy, Of::Jumpoint(EAST)),
        )
        .then_something()
        .when(ANNA, shell())
        .then_refused(not_allowed(1));
}

/// ITEM-15
#[test]
fn an_item_names_a_jumpoint_that_is_there() {
    given([group(WEB_SERVERS, "Web Servers")])
        .when(ADMIN, shell())
        .then_invalid(&["jumpoint_id"]);
}

/// JPT-32
#[test]
fn what_goes_through_a_jumpoint_goes_with_it() {
    let policy = GroupPolicyId(1);
    let given = anna_deploys()
        .and([
            shell_jump(ShellJumpId(1), SHARED, |_| {}),
            shell_jump(ShellJumpId(2), SHARED, |shell| {
                shell.jumpoint_id = JumpointId(2);
            }),
            policy_record(policy, |_| {}),
        ])
        .when(ADMIN, Command::AddUser(EAST, ANNA))
        .then_something()
        .when(ADMIN, group_policy::Command::AddJumpoint(policy, EAST))
        .then_something()
        .when(ADMIN, delete::<Jumpoint>(EAST))
        .then([Event::Jumpoint(
            EAST,
            jumpoint::Event::Record(record::Event::Deleted(record::Deleted {
                name: "jumpoint-1".to_owned(),
            })),
        )]);
    let world = given.world();
    assert_eq!(
        world.items_of(SHARED).collect::<Vec<_>>(),
        [JumpItemRef::ShellJump(ShellJumpId(2))]
    );
    assert_eq!(world.jumpoint_users(EAST).count(), 0);
    assert_eq!(world.rows_of_policy(policy).count(), 0);
}

/// ERR-03, ERR-04
#[test]
fn an_installer_names_a_jumpoint_that_is_online() {
    let installer = |proxy: &str| {
        create::<JumpClientInstaller>(json!({
            "jump_group_id": 1, "secret_hash": "0".repeat(64), "jumpoint_proxy": proxy,
        }))
    };
    for (proxy, message) in [
        (
            "jumpoint-1",
            "The associated Jumpoint is not currently online.",
        ),
        (
            "elsewhere",
            "The associated Jumpoint-proxy no longer exists.",
        ),
    ] {
        let asked = anna_deploys().when(ADMIN, installer(proxy));
        assert_eq!(
            *asked.decision(),
            Err(Refusal::field("jumpoint_proxy", message))
        );
    }
}

/// JPT-06, JPT-07, ITEM-49, ERR-03
#[test]
fn nobody_jumps_through_a_jumpoint_that_does_not_let_them() {
    type Makes = fn(&mut Jumpoint);
    let cases: [(Makes, Refusal); 3] = [
        (
            |jumpoint| jumpoint.enabled = false,
            Refusal::JumpointDisabled,
        ),
        (
            |jumpoint| jumpoint.shell_jump_enabled = false,
            Refusal::JumpointLacksMethod {
                method: "Shell Jump",
            },
        ),
        (|_| {}, Refusal::JumpointOffline),
    ];
    for (make, refusal) in cases {
        given([
            user(ANNA, |user| {
                user.perm_access_allowed = "full_support".to_owned();
                user.perm_shell_jump = true;
            }),
            group(WEB_SERVERS, "Web Servers"),
            role(DEPLOYER, |role| role.perm_start = true),
            member(WEB_SERVERS, ANNA, DEPLOYER),
            jumpoint(EAST, make),
            shell_jump(ShellJumpId(1), SHARED, |_| {}),
        ])
        .when(ANNA, start_on(ANNA, JumpItemRef::ShellJump(ShellJumpId(1))))
        .then_refused(refusal);
    }
}
