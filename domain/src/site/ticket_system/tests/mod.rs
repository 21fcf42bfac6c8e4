//! The settings of the ticket system, message by message.

use serde_json::json;

use super::{Status, TICKET_SYSTEM, TicketSystem};
use crate::ids::TicketSystemId;
use crate::policy::jump_policy::JumpPolicy;
use crate::testing::{ADMIN, ANNA, THURSDAYS, change, delete, given, person, policy};
use crate::{Refusal, World};

const HTTPS: &str = "https://tickets.example.com/check?site=1";

/// TICK-01 TICK-07 TICK-40
#[test]
fn there_is_one_ticket_system_with_these_settings() {
    let site = given([]);
    assert_eq!(site.world().ticket_system, TicketSystem::default());
    assert_eq!(site.world().ticket_system.timeout_seconds, 60);
    let body = json!({
        "url": HTTPS, "user_prompt": "Change number, please", "sensitive": false,
        "ignore_certificate_errors": true,
        "certificate": "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n",
        "timeout_seconds": 5,
    });
    let changed = site
        .when(ADMIN, change::<TicketSystem>(TICKET_SYSTEM, body.clone()))
        .then_something();
    let shown = serde_json::to_value(&changed.world().ticket_system).expect("json");
    assert_eq!(shown, body);
    changed
        .when(ADMIN, delete::<TicketSystem>(TICKET_SYSTEM))
        .then_refused(Refusal::InUse {
            what: "Ticket system",
            by: vec!["the site".to_owned()],
        })
        .when(ADMIN, change::<TicketSystem>(TicketSystemId(2), json!({})))
        .then_refused(Refusal::not_found("Ticket system"));
    given([person(ANNA)])
        .when(
            ANNA,
            change::<TicketSystem>(TICKET_SYSTEM, json!({"url": HTTPS})),
        )
        .then_refused(Refusal::AdministratorNeeded);
}

/// TICK-02
#[test]
fn the_url_is_of_http_or_https() {
    for url in [
        "http://tickets.example.com",
        HTTPS,
        "HTTPS://tickets.example.com:8443/a/b",
        "http://[2001:db8::1]:80/",
        "http://192.0.2.1",
    ] {
        set(json!({ "url": url })).expect(url);
    }
    let wrong = [
        "tickets.example.com",
        "ftp://tickets.example.com",
        "https://",
        "https:///path",
        "https://:443/",
        "https://host:0/",
        "https://host:65536/",
        "https://host:port/",
        "https://[::1",
        "https://user:pass@host/",
        "https://host\\@evil/",
        "https://host/#fragment",
        "https://host/ space",
        "https://host/\u{e4}",
        "javascript:alert(1)",
        "file:///etc/passwd",
    ];
    for url in wrong {
        let refused = set(json!({ "url": url })).expect_err(url);
        assert_eq!(refused[0].0, "url", "{url}");
    }
    assert_eq!(
        set(json!({"timeout_seconds": 0})).expect_err("none")[0].0,
        "timeout_seconds"
    );
    assert_eq!(
        set(json!({"timeout_seconds": 601})).expect_err("long")[0].0,
        "timeout_seconds"
    );
    assert_eq!(
        set(json!({"certificate": "no PEM"})).expect_err("no PEM")[0].0,
        "certificate"
    );
}

/// TICK-12 TICK-13 ERR-23 ERR-24
#[test]
fn sensitive_ticket_ids_need_https_and_checked_certificates() {
    let plain = "http://tickets.example.com";
    let https_words =
        "The Ticket System URL must start with \"https://\" when the Ticket ID is sensitive.";
    let check_words = "Cannot ignore SSL errors when the Ticket ID is sensitive.";
    let error = |field: &str, message: &str| (field.to_owned(), message.to_owned());
    assert_eq!(
        set(json!({"url": plain, "sensitive": true})),
        Err(vec![error("url", https_words)])
    );
    assert_eq!(
        set(json!({"url": HTTPS, "sensitive": true, "ignore_certificate_errors": true})),
        Err(vec![error("ignore_certificate_errors", check_words)])
    );
    // One after the other as well: what is set counts, not what this change says.
    let sensitive = given([]).when(
        ADMIN,
        change::<TicketSystem>(TICKET_SYSTEM, json!({"url": HTTPS, "sensitive": true})),
    );
    sensitive
        .then_something()
        .when(
            ADMIN,
            change::<TicketSystem>(TICKET_SYSTEM, json!({ "url": plain })),
        )
        .then_refused(Refusal::field("url", https_words))
        .when(
            ADMIN,
            change::<TicketSystem>(TICKET_SYSTEM, json!({"ignore_certificate_errors": true})),
        )
        .then_refused(Refusal::field("ignore_certificate_errors", check_words));
}

/// TICK-04 ERR-21
#[test]
fn the_url_stays_while_a_policy_requires_a_ticket() {
    let words = "Ticket System URL is required because one or more Jump Policies still require a ticket ID.";
    let requiring = given([policy(THURSDAYS, |policy| policy.ticket_id_required = true)]);
    // The other way round is accepted: the policy was saved while there was no URL.
    assert!(!requiring.world().ticket_system.is_configured());
    let set = requiring
        .when(
            ADMIN,
            change::<TicketSystem>(TICKET_SYSTEM, json!({ "url": HTTPS })),
        )
        .then_something();
    let clear = || change::<TicketSystem>(TICKET_SYSTEM, json!({"url": ""}));
    set.when(ADMIN, clear())
        .then_refused(Refusal::field("url", words))
        .when(
            ADMIN,
            change::<JumpPolicy>(THURSDAYS, json!({"ticket_id_required": false})),
        )
        .then_something()
        .when(ADMIN, clear())
        .then_something();
}

/// TICK-05 TICK-06
#[test]
fn every_change_takes_the_current_status_away() {
    let mut world: World = given([]).world().clone();
    assert_eq!(world.ticket_connection.status, None);
    for body in [
        json!({ "url": HTTPS }),
        json!({"user_prompt": "Ticket?"}),
        json!({"timeout_seconds": 30}),
    ] {
        world.ticket_connection.status = Some(Status {
            success: true,
            message: "Success".to_owned(),
            at: crate::testing::MONDAY,
        });
        let asked = given([]).when(ADMIN, change::<TicketSystem>(TICKET_SYSTEM, body));
        let before = world.ticket_connection.version;
        for event in asked.events() {
            world.apply(event, crate::testing::MONDAY);
        }
        assert_eq!(world.ticket_connection.status, None);
        assert_eq!(world.ticket_connection.version, before + 1);
    }
}

fn set(body: serde_json::Value) -> Result<(), Vec<(String, String)>> {
    let asked = given([]).when(ADMIN, change::<TicketSystem>(TICKET_SYSTEM, body));
    match asked.decision() {
        Ok(_) => Ok(()),
        Err(Refusal::Invalid(errors)) => Err(errors.0.clone()),
        Err(other) => panic!("{other:?}"),
    }
}
