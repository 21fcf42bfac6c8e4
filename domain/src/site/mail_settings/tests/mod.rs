//! Where mail leaves the site.

use serde_json::{Value, json};

use super::{MAIL_SETTINGS, MailSettings};
use crate::Refusal;
use crate::testing::{ADMIN, ANNA, change, create, delete, given, person};

fn configured() -> Value {
    json!({"host": "mail.example.com", "from_address": "gatebook@example.com"})
}

/// POL-30
#[test]
fn no_mail_leaves_before_a_server_is_set() {
    let site = given([]);
    assert!(!site.world().mail_settings.is_configured());
    let site = site
        .when(ADMIN, change::<MailSettings>(MAIL_SETTINGS, configured()))
        .then_something();
    let settings = &site.world().mail_settings;
    assert!(settings.is_configured());
    assert_eq!(
        (settings.port, settings.encryption.as_str()),
        (587, "starttls")
    );
}

#[test]
fn there_is_one_record_and_it_stays() {
    given([])
        .when(ADMIN, create::<MailSettings>(configured()))
        .then_refused(Refusal::SiteExists)
        .when(ADMIN, delete::<MailSettings>(MAIL_SETTINGS))
        .then_refused(Refusal::InUse {
            what: "Mail settings",
            by: vec!["the site".to_owned()],
        });
}

#[test]
fn only_administrators_set_it() {
    given([person(ANNA)])
        .when(ANNA, change::<MailSettings>(MAIL_SETTINGS, configured()))
        .then_refused(Refusal::AdministratorNeeded);
}

/// POL-30: what could not work, or would send a password in clear, is refused.
#[test]
fn settings_that_could_not_work_are_refused() {
    // change over good settings, fields that are wrong
    let cases: [(Value, &[&str]); 10] = [
        (json!({"host": "mail example"}), &["host"]),
        (json!({"host": "mail.example.com/x"}), &["host"]),
        (json!({"from_address": ""}), &["from_address"]),
        (json!({"from_address": "gatebook"}), &["from_address"]),
        (json!({"from_address": "g@example.com."}), &["from_address"]),
        (
            json!({"from_name": "a\r\nBcc: eve@example.com"}),
            &["from_name"],
        ),
        (json!({"username": "u"}), &["password"]),
        (
            json!({"username": "u", "password": "0123", "encryption": "none"}),
            &["encryption"],
        ),
        (
            json!({"certificate": "-----BEGIN PRIVATE KEY-----"}),
            &["certificate"],
        ),
        (
            json!({"default_language": "English"}),
            &["default_language"],
        ),
    ];
    let site = given([])
        .when(ADMIN, change::<MailSettings>(MAIL_SETTINGS, configured()))
        .then_something();
    for (body, fields) in cases {
        site.clone()
            .when(ADMIN, change::<MailSettings>(MAIL_SETTINGS, body))
            .then_invalid(fields);
    }
    site.when(
        ADMIN,
        change::<MailSettings>(
            MAIL_SETTINGS,
            json!({"username": "u", "password": "0123", "certificate": "-----BEGIN CERTIFICATE-----"}),
        ),
    )
    .then_something();
}
