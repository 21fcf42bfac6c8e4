//! API accounts: permissions, the secret, the networks, and the hours of use.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::{
    ADDRESSES_MAX, ApiAccount, Authenticated, Command, Event, SecretRegenerated, admits,
    parse_networks,
};
use crate::ids::{ApiAccountId, SecretRef};
use crate::record::{self, Kind, Record};
use crate::testing::{ADMIN, API, Given, change, create, delete, drawn, given};
use crate::time::{HOUR, MINUTE};
use crate::{Actor, Event as Happened, Refusal};

const OTHER: ApiAccountId = ApiAccountId(2);

fn known(site: &Given, id: ApiAccountId) -> ApiAccount {
    site.world().api_accounts.get(&id).expect("there").clone()
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn with(more: Value) -> crate::Command {
    let mut body = json!({"name": "Terraform", "perm_configuration": true});
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    create::<ApiAccount>(body)
}

/// AUTH-09, AUTH-10, AUTH-11: the old secret is the account's no more, so no token that was given under it is good.
#[test]
fn a_secret_is_regenerated_and_never_edited() {
    let new = SecretRef("new".to_owned());
    let site = given([]);
    let old = known(&site, API).client_secret;
    let site = site
        .when(
            ADMIN,
            change::<ApiAccount>(API, json!({"client_id": "mine"})),
        )
        .then_nothing()
        .when(
            ADMIN,
            change::<ApiAccount>(API, json!({"client_secret": "edited"})),
        )
        .then_invalid(&["client_secret"])
        .when(
            ADMIN,
            Command::RegenerateSecret {
                account: API,
                client_secret: new.clone(),
            },
        )
        .then([Happened::ApiAccount(
            API,
            Event::SecretRegenerated(SecretRegenerated {
                client_secret: new.clone(),
            }),
        )]);
    assert_ne!(old, Some(new.clone()));
    assert_eq!(known(&site, API).client_secret, Some(new.clone()));
    assert!(!record::render(API, &known(&site, API)).contains_key("client_secret"));
    site.when(
        ADMIN,
        Command::RegenerateSecret {
            account: OTHER,
            client_secret: new,
        },
    )
    .then_refused(Refusal::not_found("API account"));
}

#[test]
fn a_client_id_is_given_by_the_server() {
    let site = given([])
        .when(ADMIN, with(json!({"client_secret": "sealed"})))
        .then_something();
    let made = known(&site, OTHER);
    let expected = format!(
        "{:032x}{}",
        drawn(1, 0),
        &format!("{:032x}", drawn(1, 1))[..8]
    );
    assert_eq!(made.client_id, expected);
    assert_eq!(made.client_id.len(), 40);
    assert_eq!(made.client_secret, Some(SecretRef("sealed".to_owned())));
    assert_eq!(site.world().api_account_with(&expected), Some(OTHER));
    let site = site
        .when(ADMIN, delete::<ApiAccount>(OTHER))
        .then_something();
    assert_eq!(site.world().api_account_with(&expected), None);
    given([])
        .when(ADMIN, with(json!({"name": "first api ACCOUNT"})))
        .then_invalid(&["name"]);
}

/// AUTH-22, AUTH-23, AUTH-24, AUTH-27
#[test]
fn an_account_has_every_permission_of_the_guides() {
    let words = |name: &str| {
        let field = ApiAccount::FIELDS.iter().find(|field| field.name == name);
        field.map(|field| field.kind)
    };
    assert_eq!(
        words("perm_command"),
        Some(Kind::Word(&["deny", "read_only", "full_access"]))
    );
    for name in [
        "perm_reporting_support",
        "perm_reporting_license",
        "perm_reporting_vault",
        "perm_reporting_jump_item",
        "perm_reporting_syslog",
        "perm_backup",
        "perm_vault_backup",
        "perm_ecm",
        "perm_scim",
        "perm_configuration",
        "perm_configuration_vault_account",
    ] {
        assert_eq!(words(name), Some(Kind::Boolean), "{name}");
        let site = given([])
            .when(ADMIN, with(json!({name: true})))
            .then_something();
        assert_eq!(
            record::render(OTHER, &known(&site, OTHER))[name],
            true,
            "{name}"
        );
    }
    let fresh = ApiAccount::default();
    assert_eq!(fresh.perm_command, "deny");
}

/// AUTH-25
#[test]
fn an_account_without_any_permission_is_not_saved() {
    given([])
        .when(ADMIN, create::<ApiAccount>(json!({"name": "Nothing"})))
        .then_refused(Refusal::NoApiPermission);
    // The Vault's alone is none: it hangs on the Configuration API.
    given([])
        .when(
            ADMIN,
            create::<ApiAccount>(
                json!({"name": "Vault", "perm_configuration_vault_account": true}),
            ),
        )
        .then_refused(Refusal::NoApiPermission);
    given([])
        .when(ADMIN, with(json!({})))
        .then_something()
        .when(
            ADMIN,
            change::<ApiAccount>(OTHER, json!({"perm_configuration": false})),
        )
        .then_refused(Refusal::NoApiPermission)
        .when(
            ADMIN,
            change::<ApiAccount>(
                OTHER,
                json!({"perm_configuration": false, "perm_command": "read_only"}),
            ),
        )
        .then_something();
}

/// AUTH-26
#[test]
fn managing_vault_accounts_hangs_on_the_configuration_api() {
    let site = given([]).when(ADMIN, with(json!({}))).then_something();
    assert!(!known(&site, OTHER).perm_configuration_vault_account);
    let site = site
        .when(
            ADMIN,
            change::<ApiAccount>(OTHER, json!({"perm_configuration_vault_account": true})),
        )
        .then_something();
    assert!(known(&site, OTHER).perm_configuration_vault_account);
    let site = site
        .when(
            ADMIN,
            change::<ApiAccount>(
                OTHER,
                json!({"perm_configuration": false, "perm_backup": true}),
            ),
        )
        .then_something();
    assert!(!known(&site, OTHER).perm_configuration_vault_account);
    let site = site
        .when(
            ADMIN,
            change::<ApiAccount>(OTHER, json!({"perm_configuration_vault_account": true})),
        )
        .then_nothing();
    assert!(!known(&site, OTHER).perm_configuration_vault_account);
}

fn authenticate(account: ApiAccountId, from: &str) -> Command {
    Command::Authenticate {
        account,
        address: address(from),
    }
}

/// AUTH-29, and threat D: the networks are asked on every way in.
#[test]
fn only_an_enabled_account_from_its_networks_is_let_in() {
    let site = given([])
        .when(
            ADMIN,
            with(json!({"ip_addresses": "192.0.2.0/24, 2001:db8::/32"})),
        )
        .then_something()
        .when(Actor::ApiAccount(OTHER), authenticate(OTHER, "192.0.2.9"))
        .then_something()
        .when(Actor::ApiAccount(OTHER), authenticate(OTHER, "2001:db8::9"))
        .then_something()
        .when(
            Actor::ApiAccount(OTHER),
            authenticate(OTHER, "198.51.100.9"),
        )
        .then_refused(Refusal::ApiAccountDisabled);
    site.clone()
        .when(
            ADMIN,
            change::<ApiAccount>(OTHER, json!({"enabled": false})),
        )
        .then_something()
        .when(Actor::Stranger, authenticate(OTHER, "192.0.2.9"))
        .then_refused(Refusal::ApiAccountDisabled);
    site.when(ADMIN, delete::<ApiAccount>(OTHER))
        .then_something()
        .when(Actor::Stranger, authenticate(OTHER, "192.0.2.9"))
        .then_refused(Refusal::ApiAccountDisabled);
}

/// A use is written down once an account, address and hour.
#[test]
fn a_use_is_written_down_once_an_hour_and_address() {
    let used = |from: &str| {
        Happened::ApiAccount(
            API,
            Event::Authenticated(Authenticated {
                address: address(from),
            }),
        )
    };
    let site = given([])
        .when(API, authenticate(API, "192.0.2.1"))
        .then([used("192.0.2.1")])
        .after(59 * MINUTE)
        .when(API, authenticate(API, "192.0.2.1"))
        .then_nothing()
        .when(API, authenticate(API, "192.0.2.2"))
        .then([used("192.0.2.2")])
        .after(MINUTE)
        .when(API, authenticate(API, "192.0.2.1"))
        .then([used("192.0.2.1")]);
    // The longest unseen address makes room, and is written down anew when it comes again.
    let many = (0..ADDRESSES_MAX).map(|n| used(&format!("198.51.100.{n}")));
    let site = site.after(HOUR).and(many);
    site.when(API, authenticate(API, "198.51.100.7"))
        .then_nothing()
        .when(API, authenticate(API, "192.0.2.1"))
        .then([used("192.0.2.1")]);
}

/// Threat D
#[test]
fn networks_are_read_and_admit_what_lies_in_them() {
    for (networks, from, inside) in [
        ("", "203.0.113.9", true),
        (" \n, ", "203.0.113.9", true),
        ("192.0.2.7", "192.0.2.7", true),
        ("192.0.2.7", "192.0.2.8", false),
        ("192.0.2.0/25", "192.0.2.127", true),
        ("192.0.2.0/25", "192.0.2.128", false),
        ("10.0.0.0/8\n192.0.2.0/24", "192.0.2.1", true),
        ("0.0.0.0/0", "203.0.113.9", true),
        ("0.0.0.0/0", "2001:db8::1", false),
        ("::/0", "2001:db8::1", true),
        ("2001:db8::/33", "2001:db8:8000::1", false),
        // A v4 address that came over a v6 socket.
        ("192.0.2.0/24", "::ffff:192.0.2.9", true),
    ] {
        let networks = parse_networks(networks).expect("networks");
        assert_eq!(
            admits(&networks, address(from)),
            inside,
            "{networks:?} {from}"
        );
    }
    for wrong in [
        "192.0.2.0/33",
        "192.0.2",
        "::/129",
        "192.0.2.0/x",
        "example.com",
        "192.0.2.0/",
    ] {
        given([])
            .when(ADMIN, with(json!({"ip_addresses": wrong})))
            .then_invalid(&["ip_addresses"]);
        let unreadable = ApiAccount {
            ip_addresses: wrong.to_owned(),
            ..ApiAccount::default()
        };
        assert!(!unreadable.admits(address("192.0.2.1")), "{wrong}");
    }
}

/// AUTH-29: tokens of an account that was disabled are of an earlier generation, also when it is enabled again.
#[test]
fn disabling_an_account_begins_a_new_generation_of_tokens() {
    let site = given([]);
    let renamed = site
        .clone()
        .when(ADMIN, change::<ApiAccount>(API, json!({"name": "renamed"})))
        .then_something();
    assert_eq!(renamed.world().token_generation(API), 0);
    let again = site
        .when(ADMIN, change::<ApiAccount>(API, json!({"enabled": false})))
        .then_something()
        .when(ADMIN, change::<ApiAccount>(API, json!({"enabled": true})))
        .then_something();
    assert_eq!(again.world().token_generation(API), 1);
}
