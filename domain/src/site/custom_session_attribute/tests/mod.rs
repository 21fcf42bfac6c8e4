//! Custom session attributes: what a session may carry.

use std::collections::BTreeMap;

use serde_json::json;

use crate::Refusal;
use crate::site::custom_session_attribute::{self, CustomSessionAttribute};
use crate::testing::{ADMIN, Given, create, given};

fn site() -> Given {
    (0..12).fold(given([]), |given, number| {
        let body = json!({"display_name": format!("Attribute {number}")});
        given
            .when(ADMIN, create::<CustomSessionAttribute>(body))
            .then_something()
    })
}

fn check(site: &Given, attributes: &[(&str, String)]) -> Vec<String> {
    let attributes: BTreeMap<String, String> = attributes
        .iter()
        .map(|(code, value)| ((*code).to_owned(), value.clone()))
        .collect();
    match custom_session_attribute::check(site.world(), &attributes) {
        Ok(()) => Vec::new(),
        Err(Refusal::Invalid(errors)) => errors.0.into_iter().map(|(field, _)| field).collect(),
        Err(other) => panic!("{other:?}"),
    }
}

/// TICK-46, LIM-11
#[test]
fn a_session_carries_configured_attributes_within_their_limits() {
    let site = site();
    let text = |length: usize| "ä".repeat(length);
    assert!(check(&site, &[("attribute_0", text(1024))]).is_empty());
    assert!(check(&site, &[("ATTRIBUTE_0", text(1))]).is_empty());
    assert_eq!(
        check(&site, &[("attribute_0", text(1025))]),
        ["attribute_0"]
    );
    assert_eq!(check(&site, &[("change", text(1))]), ["change"]);
    let names: Vec<String> = (0..12)
        .map(|number| format!("attribute_{number}"))
        .collect();
    let of = |count: usize, length: usize| -> Vec<(&str, String)> {
        names
            .iter()
            .take(count)
            .map(|name| (name.as_str(), "x".repeat(length)))
            .collect()
    };
    assert!(check(&site, &of(10, 1024)).is_empty());
    let mut beyond = of(10, 1024);
    beyond.push(("attribute_10", "x".to_owned()));
    assert_eq!(check(&site, &beyond), ["attributes"]);
}

/// TICK-46
#[test]
fn a_code_name_is_given_once() {
    site()
        .when(
            ADMIN,
            create::<CustomSessionAttribute>(
                json!({"display_name": "x", "code_name": "Attribute_3"}),
            ),
        )
        .then_invalid(&["code_name"]);
}

/// CMD-29: every session has its external key under that code name.
#[test]
fn the_code_name_of_the_external_key_is_reserved() {
    let attribute = |body| create::<CustomSessionAttribute>(body);
    let site = given([])
        .when(
            ADMIN,
            attribute(json!({"display_name": "x", "code_name": "External_Key"})),
        )
        .then_invalid(&["code_name"])
        .when(ADMIN, attribute(json!({"display_name": "External Key"})))
        .then_something();
    let made = site.world().custom_session_attributes.iter().next();
    let (_, made) = made.expect("it was made");
    assert_eq!(made.code_name, "external_key_2");
}
