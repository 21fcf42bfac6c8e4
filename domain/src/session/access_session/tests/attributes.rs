//! Attributes and the external key.

use super::super::{
    ATTRIBUTE_CHARS_MAX, ATTRIBUTES_BYTES_MAX, ATTRIBUTES_MAX, AttributesChanged, SetAttributes,
    Start,
};
use super::*;
use crate::ids::CustomSessionAttributeId;
use crate::record;
use crate::site::custom_session_attribute::CustomSessionAttribute;

const LSID: Lsid = Lsid(5);

/// What the site has configured: `change`, `site`, the letters a to e, and a number of others.
pub(super) fn configured(site: Given) -> Given {
    let names = ["change", "site", "a", "b", "c", "d", "e"].map(str::to_owned);
    let numbered = (0..=ATTRIBUTES_MAX).map(|number| format!("a{number}"));
    let made = names.into_iter().chain(numbered).zip(1..);
    site.and(made.map(|(code_name, id)| {
        let attribute = CustomSessionAttribute {
            display_name: code_name.clone(),
            code_name,
            ..CustomSessionAttribute::default()
        };
        let created = record::Event::Created(attribute);
        Happened::CustomSessionAttribute(CustomSessionAttributeId(id), created)
    }))
}

fn running() -> Given {
    configured(ready()).and(session(LSID, ANNA, PC1))
}

fn set(attributes: &[(&str, Option<&str>)], external_key: Option<&str>) -> Command {
    Command::SetAttributes(SetAttributes {
        lsid: LSID,
        attributes: attributes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned)))
            .collect(),
        external_key: external_key.map(str::to_owned),
    })
}

fn changed(attributes: &[(&str, Option<&str>)], external_key: Option<&str>) -> Happened {
    Happened::AccessSession(
        LSID,
        Event::AttributesChanged(AttributesChanged {
            attributes: attributes
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned)))
                .collect(),
            external_key: external_key.map(str::to_owned),
        }),
    )
}

/// SESS-36: attached, changed and taken away while it is active; only what changed is told.
#[test]
fn attributes_are_set_and_taken_away() {
    let site = running()
        .when(
            ANNA,
            set(&[("change", Some("C-1")), ("site", Some("B"))], None),
        )
        .then([changed(
            &[("change", Some("C-1")), ("site", Some("B"))],
            None,
        )])
        .when(
            API,
            set(&[("change", Some("C-1")), ("site", None)], Some("K-1")),
        )
        .then([changed(&[("site", None)], Some("K-1"))])
        .when(
            API,
            set(&[("CHANGE", Some("C-1")), ("none", None)], Some("K-1")),
        )
        .then_nothing();
    let session = site.world().sessions.get(&LSID).expect("it runs");
    assert_eq!(session.attributes["change"], "C-1");
    assert_eq!(session.attributes.len(), 1);
    assert_eq!(session.external_key, "K-1");
    site.when(ANNA, end(LSID))
        .then_something()
        .when(API, set(&[], Some("K-2")))
        .then_refused(Refusal::SessionNotActive);
}

/// SESS-36: members and API accounts with full command access; the external key by permission.
#[test]
fn only_who_may_sets_them() {
    let one = || set(&[("change", Some("C-1"))], None);
    running()
        .and([person(BERT), member(WEB_SERVERS, BERT, ADMINISTRATOR)])
        .when(BERT, one())
        .then_refused(Refusal::SessionNotActive)
        .when(Actor::Stranger, one())
        .then_refused(Refusal::NotYourSession)
        .when(ANNA, set(&[], Some("K-1")))
        .then_refused(Refusal::ExternalKeyNotAllowed);
    running()
        .and([user(ANNA, |user| user.perm_edit_external_key = true)])
        .when(ANNA, set(&[], Some("K-1")))
        .then([changed(&[], Some("K-1"))]);
    running()
        .when(
            ADMIN,
            change::<site::api_account::ApiAccount>(API, json!({"perm_command": "read_only"})),
        )
        .then_something()
        .when(API, one())
        .then_refused(Refusal::ApiPermissionNeeded {
            permission: "Command API: Full Access",
        });
}

/// LIM-11, CMD-24: configured, 1,024 characters each, 10 KB together.
#[test]
fn attributes_are_bounded() {
    let long = |length| "x".repeat(length);
    running()
        .when(
            API,
            set(
                &[("a", Some(&long(ATTRIBUTE_CHARS_MAX)))],
                Some(&long(1_024)),
            ),
        )
        .then_something();
    running()
        .when(
            API,
            set(&[("a", Some(&long(ATTRIBUTE_CHARS_MAX + 1)))], None),
        )
        .then_invalid(&["attributes.a"]);
    running()
        .when(API, set(&[], Some(&long(ATTRIBUTE_CHARS_MAX + 1))))
        .then_invalid(&["external_key"]);
    // CMD-24: what is not configured is refused.
    for name in ["", "unknown", "a b", "external_key", &long(65)] {
        let field = format!("attributes.{}", &name[..name.len().min(64)]);
        running()
            .when(API, set(&[(name, Some("x"))], None))
            .then_invalid(&[&field]);
    }
    // 1,024 characters of two bytes each are 2,048 bytes: five fill the session.
    let wide = "é".repeat(ATTRIBUTE_CHARS_MAX);
    assert_eq!(5 * wide.len(), ATTRIBUTES_BYTES_MAX);
    let names = ["a", "b", "c", "d", "e"];
    let full: Vec<(&str, Option<&str>)> = names
        .iter()
        .map(|name| (*name, Some(wide.as_str())))
        .collect();
    let site = running().when(API, set(&full, None)).then_something();
    site.clone()
        .when(API, set(&[], Some("x")))
        .then_invalid(&["attributes"]);
    site.when(API, set(&[("e", None)], Some("x")))
        .then_something();
    let names: Vec<String> = (0..=ATTRIBUTES_MAX)
        .map(|number| format!("a{number}"))
        .collect();
    let many: Vec<(&str, Option<&str>)> = names
        .iter()
        .map(|name| (name.as_str(), Some("x")))
        .collect();
    running().when(API, set(&many[1..], None)).then_something();
    running()
        .when(API, set(&many, None))
        .then_invalid(&["attributes"]);
}

/// SESS-36, LIM-11: those given with the start are the session's, within the same bounds.
#[test]
fn a_start_brings_attributes_along() {
    let start = |value: &str, key: &str| {
        Command::Start(Start {
            attributes: BTreeMap::from([("change".to_owned(), value.to_owned())]),
            external_key: key.to_owned(),
            ..Start::new(ANNA, ITEM, "Unknown".to_owned(), "Unknown".to_owned())
        })
    };
    let ready = || configured(ready());
    let site = ready().when(ANNA, start("C-1", "")).then_something();
    let session = site.world().sessions.get(&FIRST).expect("it starts");
    assert_eq!(session.attributes["change"], "C-1");
    ready()
        .when(ANNA, start(&"x".repeat(1_025), ""))
        .then_invalid(&["attributes.change"]);
    ready()
        .when(ANNA, start("C-1", "K-1"))
        .then_refused(Refusal::ExternalKeyNotAllowed);
    // The key is not set by the back door either.
    let by_attribute = |name: &str| {
        Command::Start(Start {
            attributes: BTreeMap::from([(name.to_owned(), "K-1".to_owned())]),
            ..Start::new(ANNA, ITEM, "Unknown".to_owned(), "Unknown".to_owned())
        })
    };
    for name in ["external_key", "unknown"] {
        ready()
            .when(ANNA, by_attribute(name))
            .then_invalid(&[&format!("attributes.{name}")]);
    }
    let site = ready()
        .and([user(ANNA, |user| {
            user.perm_access_allowed = "full_support".to_owned();
            user.perm_jump_client = true;
            user.perm_edit_external_key = true;
        })])
        .when(ANNA, start("C-1", "K-1"))
        .then_something();
    let session = site.world().sessions.get(&FIRST).expect("it starts");
    assert_eq!(session.external_key, "K-1");
}
