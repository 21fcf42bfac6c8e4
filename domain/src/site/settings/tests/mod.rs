//! The settings of the site.

use serde_json::{Value, json};

use super::{SETTINGS, SiteSettings};
use crate::Refusal;
use crate::ids::SiteSettingsId;
use crate::testing::{ADMIN, change, delete, given};

/// CLNT-13, LIM-07: lost days stay below deletion days; how many may be starting is a setting.
/// threat U: networks inside that may be reached are ones that can be read.
#[test]
fn settings_are_changed_within_their_bounds() {
    for (body, wrong) in [
        (json!({"lost_days": 179, "deletion_days": 180}), vec![]),
        (
            json!({"lost_days": 180, "deletion_days": 180}),
            vec!["lost_days"],
        ),
        (json!({"deletion_days": 15}), vec!["lost_days"]),
        (json!({"starting_users_max": 20}), vec![]),
        (json!({"starting_users_max": 0}), vec!["starting_users_max"]),
        (json!({"outbound_networks": ["10.0.0.0/8", "::1"]}), vec![]),
        (
            json!({"outbound_networks": ["10.0.0.0/33"]}),
            vec!["outbound_networks"],
        ),
        (
            json!({"outbound_networks": ["intranet"]}),
            vec!["outbound_networks"],
        ),
    ] {
        let asked = given([]).when(ADMIN, change::<SiteSettings>(SETTINGS, body.clone()));
        if wrong.is_empty() {
            let site = asked.then_something();
            let shown = serde_json::to_value(&site.world().settings).expect("json");
            for (name, value) in body.as_object().expect("an object") {
                assert_eq!(&shown[name], value);
            }
        } else {
            asked.then_invalid(&wrong);
        }
    }
    assert_eq!(SiteSettings::default().starting_users_max, 1_000);
}

#[test]
fn there_is_one_record_of_settings_and_it_stays() {
    given([])
        .when(ADMIN, delete::<SiteSettings>(SETTINGS))
        .then_refused(Refusal::InUse {
            what: "Site settings",
            by: vec!["the site".to_owned()],
        })
        .when(
            ADMIN,
            change::<SiteSettings>(SiteSettingsId(2), Value::Object(Default::default())),
        )
        .then_refused(Refusal::not_found("Site settings"));
}
