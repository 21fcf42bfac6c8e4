//! Trust anchors and addresses: adding, withdrawing, and who is cut off by it.

use super::{
    ADDRESSES_MAX, AddressAdded, AddressWithdrawn, AnchorAdded, AnchorWithdrawn, Command, Event,
    read_address,
};
use crate::fleet::jump_client;
use crate::ids::{AgentAnchorId, JumpClientId, LinkId, SiteAddressId};
use crate::testing::{
    ADMIN, ANNA, Given, NODE, PC1, PC2, SHARED, WEB_SERVERS, client, given, group, person,
};
use crate::{Actor, Event as Happened, Refusal};

const OLD: AgentAnchorId = AgentAnchorId(1);
const NEW: AgentAnchorId = AgentAnchorId(2);
const HERE: SiteAddressId = SiteAddressId(1);
const THERE: SiteAddressId = SiteAddressId(2);

fn pin(digit: char) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

fn begin(anchors: &[String], version: u64, addresses: &[&str]) -> Command {
    Command::Begin {
        anchors: anchors.to_vec(),
        anchors_version: version,
        addresses: addresses.iter().map(|&url| url.to_owned()).collect(),
    }
}

fn add_address(url: &str, place: Option<usize>) -> Command {
    let url = url.to_owned();
    Command::AddAddress { url, place }
}

fn withdraw_anchor(anchor: AgentAnchorId, cut_off: bool) -> Command {
    Command::WithdrawAnchor {
        anchor,
        in_use: false,
        cut_off,
    }
}

fn withdraw_address(address: SiteAddressId, cut_off: bool) -> Command {
    Command::WithdrawAddress { address, cut_off }
}

fn confirm(
    client: JumpClientId,
    anchors: Option<u64>,
    addresses: Option<u64>,
) -> jump_client::Command {
    jump_client::Command::ConfirmTrust {
        client,
        link: LinkId {
            node: NODE,
            connection: u64::from(client.0),
        },
        anchors,
        addresses,
    }
}

fn anchor_added(id: AgentAnchorId, anchor: String, version: u64) -> Happened {
    Happened::AgentTrust(Event::AnchorAdded(AnchorAdded {
        id,
        anchor,
        version,
    }))
}

/// A site with one anchor, one address and two clients.
fn site() -> Given {
    given([group(WEB_SERVERS, "Web Servers"), person(ANNA)])
        .and(client(PC1, SHARED))
        .and(client(PC2, SHARED))
        .when(
            Actor::Operator,
            begin(&[pin('a')], 1, &["https://old.example.com"]),
        )
        .then_something()
}

fn anchors(given: &Given) -> Vec<&str> {
    given.world().agent_trust.anchors.values().collect()
}

fn addresses(given: &Given) -> Vec<&str> {
    given.world().agent_trust.addresses.values().collect()
}

#[test]
fn the_first_start_sets_the_lists_and_later_ones_add_nothing() {
    let site = given([]).when(
        Actor::Operator,
        begin(&[pin('a'), "system".to_owned()], 3, &["https://a.example/"]),
    );
    let site = site.then([
        anchor_added(OLD, pin('a'), 3),
        anchor_added(NEW, "system".to_owned(), 3),
        Happened::AgentTrust(Event::AddressAdded(AddressAdded {
            id: HERE,
            url: "https://a.example".to_owned(),
            place: 1,
            version: 1,
        })),
    ]);
    // Another certificate, another URL: nothing comes of them by the way.
    site.when(
        Actor::Operator,
        begin(&[pin('b')], 1, &["https://b.example"]),
    )
    .then_nothing();
}

#[test]
fn only_administrators_change_the_lists_and_only_the_program_begins_them() {
    for command in [
        Command::AddAnchor(pin('b')),
        withdraw_anchor(OLD, true),
        add_address("https://new.example.com", None),
        withdraw_address(HERE, true),
    ] {
        site()
            .when(ANNA, command)
            .then_refused(Refusal::AdministratorNeeded);
    }
    site()
        .when(ADMIN, begin(&[pin('b')], 1, &[]))
        .then_refused(Refusal::AdministratorNeeded);
}

#[test]
fn an_anchor_is_added_once_and_the_version_grows() {
    let site = site()
        .when(ADMIN, Command::AddAnchor(pin('B')))
        .then([anchor_added(NEW, pin('b'), 2)])
        .when(ADMIN, Command::AddAnchor(pin('b')))
        .then_nothing();
    assert_eq!(anchors(&site), [pin('a'), pin('b')]);
    for text in ["", "sha256:", "sha1:00", &pin('g'), "all"] {
        site.clone()
            .when(ADMIN, Command::AddAnchor(text.to_owned()))
            .then_invalid(&["anchor"]);
    }
}

/// The overlap of old and new lasts until every client has confirmed the new one.
#[test]
fn an_anchor_stays_until_every_client_has_confirmed_another() {
    let site = site()
        .when(PC1, confirm(PC1, Some(1), None))
        .then_something()
        .when(ADMIN, Command::AddAnchor(pin('b')))
        .then_something()
        .when(PC1, confirm(PC1, Some(2), None))
        .then_something()
        .when(ADMIN, withdraw_anchor(OLD, false))
        .then_refused(Refusal::WouldCutOff {
            what: "Trust anchor",
            clients: 1,
        });
    let withdrawn = |cut_off| {
        Happened::AgentTrust(Event::AnchorWithdrawn(AnchorWithdrawn {
            id: OLD,
            anchor: pin('a'),
            version: 3,
            cut_off,
        }))
    };
    site.clone()
        .when(ADMIN, withdraw_anchor(OLD, true))
        .then([withdrawn(1)]);
    let site = site
        .when(PC2, confirm(PC2, Some(2), None))
        .then_something()
        .when(ADMIN, withdraw_anchor(OLD, false))
        .then([withdrawn(0)])
        .when(ADMIN, withdraw_anchor(OLD, false))
        .then_refused(Refusal::NotFound {
            what: "Trust anchor",
        })
        .when(ADMIN, withdraw_anchor(NEW, true))
        .then_refused(Refusal::LastOfTrust {
            what: "Trust anchor",
        });
    assert_eq!(anchors(&site), [pin('b')]);
}

#[test]
fn the_anchor_of_the_certificate_in_use_is_withdrawn_only_where_that_is_asked_for() {
    let withdraw = |cut_off| Command::WithdrawAnchor {
        anchor: OLD,
        in_use: true,
        cut_off,
    };
    site()
        .when(ADMIN, Command::AddAnchor("system".to_owned()))
        .then_something()
        .when(PC1, confirm(PC1, Some(2), None))
        .then_something()
        .when(PC2, confirm(PC2, Some(2), None))
        .then_something()
        .when(ADMIN, withdraw(false))
        .then_refused(Refusal::AnchorInUse)
        .when(ADMIN, withdraw(true))
        .then_something();
}

/// Who won't come back needs nothing: it does not count among those that would be cut off.
#[test]
fn clients_that_do_not_come_back_cut_nobody_short() {
    let link = LinkId {
        node: NODE,
        connection: 1,
    };
    site()
        .when(ADMIN, Command::AddAnchor(pin('b')))
        .then_something()
        .when(PC1, jump_client::Command::Uninstall { client: PC1, link })
        .then_something()
        .when(
            Actor::System,
            jump_client::Command::Quarantine {
                client: PC2,
                evidence: "two boot ids".to_owned(),
            },
        )
        .then_something()
        .when(ADMIN, withdraw_anchor(OLD, false))
        .then_something();
}

#[test]
fn a_site_moves_with_an_address_before_the_old_one() {
    let site = site()
        .when(ADMIN, add_address("HTTPS://New.example.com:8443/", Some(1)))
        .then([Happened::AgentTrust(Event::AddressAdded(AddressAdded {
            id: THERE,
            url: "https://new.example.com:8443".to_owned(),
            place: 1,
            version: 2,
        }))])
        .when(ADMIN, add_address("https://new.example.com:8443", None))
        .then_nothing()
        .when(PC1, confirm(PC1, None, Some(2)))
        .then_something()
        .when(ADMIN, withdraw_address(HERE, false))
        .then_refused(Refusal::WouldCutOff {
            what: "Site address",
            clients: 1,
        });
    assert_eq!(
        addresses(&site),
        ["https://new.example.com:8443", "https://old.example.com"]
    );
    let site = site
        .when(PC2, confirm(PC2, None, Some(2)))
        .then_something()
        .when(ADMIN, withdraw_address(HERE, false))
        .then([Happened::AgentTrust(Event::AddressWithdrawn(
            AddressWithdrawn {
                id: HERE,
                url: "https://old.example.com".to_owned(),
                version: 3,
                cut_off: 0,
            },
        ))])
        .when(ADMIN, withdraw_address(THERE, true))
        .then_refused(Refusal::LastOfTrust {
            what: "Site address",
        })
        .when(ADMIN, withdraw_address(HERE, true))
        .then_refused(Refusal::NotFound {
            what: "Site address",
        })
        .when(ADMIN, add_address("https://c.example", Some(3)))
        .then_invalid(&["place"]);
    assert_eq!(addresses(&site), ["https://new.example.com:8443"]);
}

#[test]
fn an_address_is_a_scheme_a_host_and_perhaps_a_port() {
    for (text, is_good) in [
        ("https://a", true),
        ("https://a.example.com:8443/", true),
        ("https://192.0.2.7:443", true),
        ("https://[2001:db8::1]:8443", true),
        ("http://localhost:8080", true),
        ("http://127.0.0.1", true),
        ("http://[::1]:80", true),
        ("http://a.example.com", false),
        ("https://", false),
        ("https://a/path", false),
        ("https://a?b", false),
        ("https://u@a", false),
        ("https://a:0", false),
        ("https://a:65536", false),
        ("https://a:b", false),
        ("https://[::1", false),
        ("https://[::g]", false),
        ("https://[::1]8443", false),
        ("ftp://a", false),
        ("a.example.com", false),
        ("", false),
    ] {
        assert_eq!(read_address(text).is_ok(), is_good, "{text}");
    }
    let host = "h".repeat(192);
    assert!(read_address(&format!("https://{host}")).is_ok());
    assert!(read_address(&format!("https://{host}h")).is_err());
}

/// INST-39: the key of an installer stays under 1 KiB with both lists in it.
#[test]
fn the_lists_are_no_longer_than_a_key_has_room_for() {
    let mut site = site();
    for number in 1..ADDRESSES_MAX {
        site = site
            .when(ADMIN, add_address(&format!("https://{number}"), None))
            .then_something();
    }
    let site = site
        .when(ADMIN, add_address("https://5", None))
        .then_invalid(&["url"]);
    let mut held = site;
    for digit in "bcdef2".chars() {
        held = held
            .when(ADMIN, Command::AddAnchor(pin(digit)))
            .then_something();
    }
    held.when(ADMIN, Command::AddAnchor(pin('1')))
        .then_invalid(&["anchor"]);
    // Short ones: the number of anchors is the limit.
    let anchors: Vec<String> = (0..8).map(|digit| pin(char::from(b'0' + digit))).collect();
    given([])
        .when(Actor::Operator, begin(&anchors, 1, &[]))
        .then_something()
        .when(ADMIN, Command::AddAnchor("system".to_owned()))
        .then_invalid(&["anchor"]);
}

#[test]
fn a_confirmation_counts_once_and_only_of_a_list_of_this_site() {
    let site = site()
        .when(PC1, confirm(PC1, Some(2), None))
        .then_nothing()
        .when(PC1, confirm(PC1, Some(1), Some(1)))
        .then([Happened::JumpClient(
            PC1,
            jump_client::Event::TrustConfirmed(jump_client::TrustConfirmed {
                anchors: Some(1),
                addresses: Some(1),
            }),
        )])
        .when(PC1, confirm(PC1, Some(1), None))
        .then_nothing();
    let superseded = jump_client::Command::ConfirmTrust {
        client: PC2,
        link: LinkId {
            node: NODE,
            connection: 99,
        },
        anchors: Some(1),
        addresses: None,
    };
    site.when(PC2, superseded).then_nothing();
}
