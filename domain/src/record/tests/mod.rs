//! The machinery of plain records, held against every record there is.

use std::fmt::Debug;

use serde_json::{Value, json};

use super::{
    Event, Field, Kind, Object, Purpose, Reading, Record, Write, generate_code_name, read_body,
    read_value, render, to_object,
};
use crate::access::jump_group::JumpGroup;
use crate::access::role::JumpItemRole;
use crate::fleet::installer::JumpClientInstaller;
use crate::fleet::jump_client::Properties;
use crate::ids::NumericId;
use crate::items::custom_field::CustomField;
use crate::items::jumpoint::Jumpoint;
use crate::items::shell::ShellJump;
use crate::policy::jump_policy::JumpPolicy;
use crate::policy::session_policy::SessionPolicy;
use crate::site::api_account::ApiAccount;
use crate::site::custom_session_attribute::CustomSessionAttribute;
use crate::site::settings::SiteSettings;
use crate::site::user::User;
use crate::testing::{ADMIN, API, WEB_SERVERS, change, create, fresh, given, group};
use crate::{Actor, Cause, Context, Refusal, Surface, Timestamp};

mod limits;

/// Calls a generic function once for every record of the domain.
macro_rules! for_every_record {
    ($check:ident) => {
        $check::<SiteSettings>();
        $check::<User>();
        $check::<ApiAccount>();
        $check::<JumpItemRole>();
        $check::<JumpGroup>();
        $check::<JumpPolicy>();
        $check::<JumpClientInstaller>();
        $check::<Properties>();
        $check::<ShellJump>();
        $check::<Jumpoint>();
        $check::<SessionPolicy>();
        $check::<CustomField>();
        $check::<CustomSessionAttribute>();
    };
}
use for_every_record;

fn wrong_fields(result: Result<impl Debug, Refusal>) -> Vec<String> {
    match result {
        Err(Refusal::Invalid(errors)) => errors.0.into_iter().map(|(field, _)| field).collect(),
        other => panic!("expected field errors, got {other:?}"),
    }
}

fn one(field: &Field, value: Value) -> Object {
    Object::from_iter([(field.name.to_owned(), value)])
}

#[test]
fn names_and_table_agree() {
    fn check<R: Record>() {
        let mut members: Vec<String> = to_object(&R::default())
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        let mut fields: Vec<&str> = R::FIELDS.iter().map(|field| field.name).collect();
        members.sort();
        fields.sort_unstable();
        assert_eq!(members, fields, "{}", R::TITLE);
        for field in R::COMPUTED {
            assert!(!fields.contains(&field.name), "{} {}", R::TITLE, field.name);
            assert_eq!(field.write, Write::Never, "{} {}", R::TITLE, field.name);
        }
        for field in R::FIELDS.iter().chain(R::COMPUTED) {
            assert!(!field.about.is_empty(), "{} {}", R::TITLE, field.name);
            assert_ne!(field.name, "id", "{}", R::TITLE);
        }
        let [created, changed, deleted] = R::STORED_NAMES;
        assert!(created != changed && changed != deleted && created != deleted);
    }
    for_every_record!(check);
}

#[test]
fn what_is_shown_are_the_fields_but_for_those_that_are_never_returned() {
    fn check<R: Record>() {
        let shown = render(R::Id::from_number(7), &R::default());
        let unset = to_object(&R::default());
        let mut names: Vec<&str> = shown.keys().map(String::as_str).collect();
        let mut expected: Vec<&str> = vec!["id"];
        // Where the published type has no null, what is unset is not there.
        expected.extend(
            R::FIELDS
                .iter()
                .filter(|field| !field.write_only)
                .filter(|field| !field.omitted || !unset[field.name].is_null())
                .map(|field| field.name),
        );
        names.sort_unstable();
        expected.sort_unstable();
        assert_eq!(names, expected, "{}", R::TITLE);
        assert_eq!(shown["id"], 7);
    }
    for_every_record!(check);
}

/// LIM-11: defaults lie within their own limits, null exactly where a field is nullable.
#[test]
fn defaults_are_within_their_limits() {
    fn check<R: Record>() {
        for (name, value) in to_object(&R::default()) {
            let field = R::FIELDS
                .iter()
                .find(|field| field.name == name)
                .expect("listed");
            // What a body must bring, or the server gives, has no default of its own.
            if field.required || field.write == Write::Never || value == json!("") {
                continue;
            }
            assert!(
                read_value(field, &value).is_ok(),
                "{} {name} = {value}: {:?}",
                R::TITLE,
                read_value(field, &value)
            );
        }
    }
    for_every_record!(check);
}

#[test]
fn a_name_that_no_version_knows_is_refused() {
    fn check<R: Record>() {
        for purpose in [Purpose::Create, Purpose::Change, Purpose::Permissions] {
            let body = Object::from_iter([("no_such_field".to_owned(), json!(1))]);
            let wrong = wrong_fields(read_body(
                R::FIELDS,
                R::COMPUTED,
                &body,
                Reading::plain(purpose),
            ));
            assert!(wrong.contains(&"no_such_field".to_owned()), "{}", R::TITLE);
        }
    }
    for_every_record!(check);
}

/// Read-only members and the id are accepted, whatever they hold, and have no effect.
#[test]
fn read_only_members_are_accepted_and_ignored() {
    fn check<R: Record>() {
        let read_only = R::FIELDS
            .iter()
            .filter(|field| field.write == Write::Never)
            .chain(R::COMPUTED);
        let mut body: Object = read_only
            .map(|field| (field.name.to_owned(), json!({"any": "thing"})))
            .collect();
        body.insert("id".to_owned(), json!("x"));
        let read = read_body(
            R::FIELDS,
            R::COMPUTED,
            &body,
            Reading::plain(Purpose::Change),
        );
        assert_eq!(read, Ok(Object::new()), "{}", R::TITLE);
    }
    for_every_record!(check);
}

#[test]
fn each_purpose_writes_its_own_fields_only() {
    fn check<R: Record>() {
        for field in R::FIELDS {
            let Some(value) = limits::good(field) else {
                panic!("{} {}: no example", R::TITLE, field.name);
            };
            for (purpose, writes) in [
                (
                    Purpose::Create,
                    matches!(field.write, Write::Body | Write::OnCreate),
                ),
                (Purpose::Change, field.write == Write::Body),
                (Purpose::Permissions, field.write == Write::Permissions),
            ] {
                let mut body = one(field, value.clone());
                if purpose == Purpose::Create {
                    let required = R::FIELDS.iter().filter(|other| other.required);
                    for other in required.filter(|other| other.name != field.name) {
                        body.insert(other.name.to_owned(), limits::good(other).expect("example"));
                    }
                }
                let read = read_body(R::FIELDS, R::COMPUTED, &body, Reading::plain(purpose))
                    .expect("good");
                assert_eq!(
                    read.contains_key(field.name),
                    writes,
                    "{} {} {purpose:?}",
                    R::TITLE,
                    field.name
                );
            }
        }
    }
    for_every_record!(check);
}

#[test]
fn required_fields_are_asked_for_when_a_record_is_made_and_then_only() {
    fn check<R: Record>() {
        let required: Vec<&str> = R::FIELDS
            .iter()
            .filter(|field| field.required)
            .map(|field| field.name)
            .collect();
        let made = read_body(
            R::FIELDS,
            R::COMPUTED,
            &Object::new(),
            Reading::plain(Purpose::Create),
        );
        if required.is_empty() {
            assert_eq!(made, Ok(Object::new()));
        } else {
            assert_eq!(wrong_fields(made), required, "{}", R::TITLE);
        }
        let changed = read_body(
            R::FIELDS,
            R::COMPUTED,
            &Object::new(),
            Reading::plain(Purpose::Change),
        );
        assert_eq!(changed, Ok(Object::new()));
    }
    for_every_record!(check);
}

/// A change tells the changed fields, old and new, and nothing where nothing changes.
#[test]
fn a_change_is_the_difference() {
    let site = given([group(WEB_SERVERS, "Web Servers")]);
    let body = json!({"name": "Web Servers", "comments": "new"});
    let asked = site.when(ADMIN, change::<JumpGroup>(WEB_SERVERS, body.clone()));
    let [event] = asked.events() else {
        panic!("{asked:?}");
    };
    assert_eq!(event.stored_name(), "JumpGroupChanged");
    let text = event.to_text().expect("text");
    assert_eq!(
        serde_json::from_slice::<Value>(&text).expect("json"),
        json!({"comments": {"old": null, "new": "new"}})
    );
    asked
        .then_something()
        .when(ADMIN, change::<JumpGroup>(WEB_SERVERS, body))
        .then_nothing();
}

/// All wrong fields are named at once.
#[test]
fn all_that_is_wrong_is_said_at_once() {
    given([])
        .when(
            API,
            create::<JumpPolicy>(json!({
                "code_name": 5, "description": null, "schedule_enabled": "no", "approval_max_duration": 1.5,
                "approval_scope": "nobody", "notification_email_addresses": [1], "colour": "red",
            })),
        )
        .then_invalid(&[
            "display_name",
            "code_name",
            "description",
            "schedule_enabled",
            "approval_max_duration",
            "approval_scope",
            "notification_email_addresses",
            "colour",
        ]);
}

/// What a record knows nothing of is not there; ids are never given twice.
#[test]
fn records_that_are_not_there_are_not_found() {
    given([])
        .when(ADMIN, change::<JumpGroup>(WEB_SERVERS, json!({})))
        .then_refused(Refusal::NotFound { what: "Jump Group" });
    assert_eq!(
        Event::<JumpGroup>::from_stored("JumpGroupRenamed", b"{}").ok(),
        Some(None)
    );
    assert!(Event::<JumpGroup>::from_stored("JumpGroupCreated", b"5").is_err());
}

#[test]
fn moments_are_rfc_3339_in_utc_or_seconds() {
    let field = Field::new("at", Kind::Moment, "when");
    let second = json!(1_772_442_000_000_000_i64);
    for good in [
        json!("2026-03-02T09:00:00Z"),
        json!("2026-03-02T09:00:00+00:00"),
        json!("2026-03-02T09:00:00.999Z"),
        json!(1_772_442_000),
    ] {
        assert_eq!(read_value(&field, &good), Ok(second.clone()), "{good}");
    }
    for wrong in [
        json!("2026-03-02T09:00:00+01:00"),
        json!("2026-03-02T09:00:00-00:00"),
        json!("2026-03-02T09:00:00"),
        json!("2026-03-02"),
        json!(1.5),
        json!(true),
    ] {
        assert!(read_value(&field, &wrong).is_err(), "{wrong}");
    }
    assert_eq!(
        Timestamp(1_772_442_000_999_999).to_rfc3339(),
        "2026-03-02T09:00:00+00:00"
    );
}

/// POL-02, POL-52, GRP-02
#[test]
fn code_names_are_made_of_display_names() {
    let taken = |names: &'static [&'static str]| move |name: &str| names.contains(&name);
    for (display, names, expected) in [
        ("After Hours Schedule", &[][..], "after_hours_schedule"),
        ("PT-Policy", &[], "ptpolicy"),
        ("PTPolicy", &["ptpolicy"], "ptpolicy_2"),
        ("PTPolicy", &["ptpolicy", "ptpolicy_2"], "ptpolicy_3"),
        ("Tab\tand\u{a0}blank", &[], "tab_and_blank"),
        ("ÄÖÜ 1", &[], "_1"),
        ("", &[], "thing0"),
        ("!", &["thing0"], "thing1"),
    ] {
        assert_eq!(generate_code_name(display, "thing", taken(names)), expected);
    }
}

/// What was stored under other rules is still readable, and whoever sends it back unchanged may change the rest; a new value is
/// judged by the rules of today.
#[test]
fn what_was_stored_once_can_be_sent_back() {
    let old = "two\nlines";
    given([group(WEB_SERVERS, old)])
        .when(
            ADMIN,
            change::<JumpGroup>(WEB_SERVERS, json!({"name": old, "comments": "new"})),
        )
        .then_something()
        .when(
            ADMIN,
            change::<JumpGroup>(WEB_SERVERS, json!({"comments": "newer"})),
        )
        .then_something()
        .when(
            ADMIN,
            change::<JumpGroup>(WEB_SERVERS, json!({"name": "other\nlines"})),
        )
        .then_invalid(&["name"]);
}

/// A name that can only be set when the record is made is refused in a change that would change it, and no more where it repeats
/// what is there.
#[test]
fn what_is_set_once_is_named_in_a_change() {
    let fields = [Field::new("platform", Kind::Word(&["a", "b"]), "once").write(Write::OnCreate)];
    let current = one(&fields[0], json!("a"));
    let read = |body: Value, purpose: Purpose| {
        let body = one(&fields[0], body);
        read_body(&fields, &[], &body, Reading::plain(purpose).over(&current))
    };
    assert_eq!(read(json!("a"), Purpose::Change), Ok(Object::new()));
    assert_eq!(
        wrong_fields(read(json!("b"), Purpose::Change)),
        ["platform"]
    );
    assert_eq!(
        read(json!("b"), Purpose::Create),
        Ok(one(&fields[0], json!("b")))
    );
}

/// ITEM-56
#[test]
fn some_texts_are_shorter_on_the_configuration_api_than_they_are_stored() {
    let fields = [Field::new("tag", Kind::Name { min: 0, max: 9 }, "tag").published_max(3)];
    let long = one(&fields[0], json!("12345"));
    let context_of = |surface| Cause {
        actor: Actor::System,
        surface,
        address: None,
    };
    for (surface, fits) in [
        (Surface::ConfigurationApi, false),
        (Surface::ConsoleApi, true),
        (Surface::CommandApi, true),
    ] {
        let cause = context_of(surface);
        let drawn = fresh(1);
        let context = Context {
            now: Timestamp(0),
            cause: &cause,
            fresh: &drawn,
        };
        let reading = Reading::of(Purpose::Change, &context);
        assert_eq!(
            read_body(&fields, &[], &long, reading).is_ok(),
            fits,
            "{surface:?}"
        );
        // What is there already may be longer.
        assert!(read_body(&fields, &[], &long, reading.over(&long)).is_ok());
    }
}

/// A change that would be left out when it is folded is not read at all.
#[test]
fn a_stored_change_that_does_not_fit_is_refused() {
    let read = |text: &str| Event::<JumpGroup>::from_stored("JumpGroupChanged", text.as_bytes());
    assert!(read(r#"{"comments":{"old":null,"new":"new"}}"#).is_ok());
    for (text, words) in [
        (r#"{"comments":{"old":null,"new":5}}"#, "invalid type"),
        (
            r#"{"colour":{"old":null,"new":"red"}}"#,
            "there is no field colour",
        ),
    ] {
        let error = read(text).expect_err(text);
        assert!(error.to_string().contains(words), "{error}");
    }
}
