//! The gates of a Jump Policy: what they need, and what they say no to.

use super::{Need, Opening, Supplied, effective_policy, open};
use crate::Refusal;
use crate::access::permission;
use crate::access::role::START_SESSIONS_ONLY;
use crate::fleet::jump_client::Properties;
use crate::ids::{JumpItemRef, JumpPolicyId};
use crate::policy::jump_policy::JumpPolicy;
use crate::testing::{
    ALWAYS, ANNA, API, Given, MONDAY, PC1, SHARED, THURSDAYS, WEB_SERVERS, change, client, given,
    group, member, member_under, person, policy,
};
use serde_json::json;

const ITEM: JumpItemRef = JumpItemRef::JumpClient(PC1);

/// Anna may start sessions on the first client, which is under a policy.
fn under(rules: impl FnOnce(&mut JumpPolicy)) -> Given {
    given([
        person(ANNA),
        group(WEB_SERVERS, "Web Servers"),
        policy(THURSDAYS, rules),
        policy(ALWAYS, |_| {}),
        member_under(WEB_SERVERS, ANNA, START_SESSIONS_ONLY, THURSDAYS),
    ])
    .and(client(PC1, SHARED))
}

fn ask(site: &Given, supplied: &Supplied) -> Result<Opening, Refusal> {
    open(
        site.world(),
        ANNA,
        ITEM,
        Some(THURSDAYS),
        supplied,
        site.now(),
    )
}

fn policy_of_anna(site: &Given) -> Option<JumpPolicyId> {
    let access = permission::access_to_item(site.world(), ANNA, ITEM).expect("she sees it");
    effective_policy(site.world(), &access, ITEM)
}

/// POL-03, POL-05, POL-06, POL-07, SESS-18
#[test]
fn the_memberships_policy_replaces_the_items() {
    let site = under(|_| {});
    assert_eq!(policy_of_anna(&site), Some(THURSDAYS));
    let site = site
        .when(
            API,
            change::<Properties>(PC1, json!({"jump_policy_id": ALWAYS.0})),
        )
        .then_something();
    assert_eq!(
        policy_of_anna(&site),
        Some(THURSDAYS),
        "the item's does not count"
    );
    let site = site.and([member(WEB_SERVERS, ANNA, START_SESSIONS_ONLY)]);
    assert_eq!(policy_of_anna(&site), Some(ALWAYS), "Set on Jump Items");
    let site = site
        .when(
            API,
            change::<Properties>(PC1, json!({"jump_policy_id": null})),
        )
        .then_something();
    assert_eq!(policy_of_anna(&site), None);
    let free = open(site.world(), ANNA, ITEM, None, &Supplied::default(), MONDAY);
    assert_eq!(free, Ok(Opening::default()));
}

/// POL-23, POL-24, POL-25, POL-26, POL-28, POL-29
#[test]
fn whoever_is_mailed_about_is_told_before() {
    let site = under(|policy| {
        policy.session_start_notification = true;
        policy.notification_email_addresses = vec![
            "boss@example.com".to_owned(),
            "audit@example.com".to_owned(),
        ];
        policy.notification_display_name = "Manager".to_owned();
        policy.notification_email_language = "de".to_owned();
    });
    let asked = ask(&site, &Supplied::default()).expect("no gate says no");
    let told = |at_start, at_end| Need::NotificationConsent {
        display_name: "Manager".to_owned(),
        at_start,
        at_end,
    };
    assert_eq!(asked.needs, [told(true, false)]);
    assert_eq!(
        asked.complete(),
        Err(Refusal::StartNeeds {
            needs: vec![told(true, false)]
        })
    );
    let consent = Supplied {
        notification_consent: true,
        ..Supplied::default()
    };
    let goes_on = ask(&site, &consent)
        .and_then(Opening::complete)
        .expect("all is there");
    let mails = goes_on.notifications.expect("mails are sent");
    assert_eq!((mails.at_start, mails.at_end), (true, false));
    assert_eq!(mails.addresses, ["boss@example.com", "audit@example.com"]);
    assert_eq!(
        (mails.display_name.as_str(), mails.language.as_str()),
        ("Manager", "de")
    );
    let at_end = change::<JumpPolicy>(
        THURSDAYS,
        json!({"session_start_notification": false, "session_end_notification": true}),
    );
    let site = site.when(API, at_end).then_something();
    let asked = ask(&site, &Supplied::default()).expect("no gate says no");
    assert_eq!(asked.needs, [told(false, true)]);
}

/// POL-42, POL-43
#[test]
fn a_policy_can_switch_recordings_off() {
    let site = under(|policy| policy.recordings_disabled = true);
    let opening = ask(&site, &Supplied::default()).expect("open");
    assert!(opening.recordings_disabled);
    let site = under(|_| {});
    let opening = ask(&site, &Supplied::default()).expect("open");
    assert!(!opening.recordings_disabled);
}
