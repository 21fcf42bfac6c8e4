//! Jump Policies: what can be saved, their code names, and the gate they are at the start of a session.

use serde_json::{Value, json};

use super::{Command, Event, JumpPolicy, ScheduleSet, ends_sessions_at};
use crate::access::role::START_SESSIONS_ONLY;
use crate::fleet::jump_client::Properties;
use crate::ids::JumpPolicyId;
use crate::policy::schedule::{Schedule, ScheduleEntry};
use crate::record;
use crate::site::settings::{SETTINGS, SiteSettings};
use crate::testing::{
    ADMIN, ALWAYS, ANNA, API, Given, INSTALLER, PC1, SHARED, THURSDAY, THURSDAYS, WEB_SERVERS,
    change, client, create, delete, given, group, installer, member_under, person, policy,
    schedule,
};
use crate::time::HOUR;
use crate::{Event as Happened, Refusal};

const THURSDAY_8_TO_17: ScheduleEntry = ScheduleEntry {
    start_day: 3,
    start_minute: 480,
    end_day: 3,
    end_minute: 1020,
};

fn body(mut more: Value) -> Value {
    let base = json!({"display_name": "Policy", "schedule_enabled": false});
    for (name, value) in base.as_object().expect("an object") {
        if more.get(name).is_none() {
            more[name] = value.clone();
        }
    }
    more
}

fn create_policy(more: Value) -> crate::Command {
    create::<JumpPolicy>(body(more))
}

fn code_name_of(site: &Given, id: u32) -> String {
    let policy = site.world().jump_policies.get(&JumpPolicyId(id));
    policy.expect("it is there").code_name.clone()
}

/// POL-01
#[test]
fn a_policy_has_a_unique_display_name_and_more() {
    let site = given([])
        .when(
            API,
            create_policy(json!({"display_name": "Thursdays", "code_name": "thu", "description": "only then"})),
        )
        .then_something();
    let saved = site.world().jump_policies.get(&THURSDAYS).expect("there");
    let shown = record::render(THURSDAYS, saved);
    for (column, value) in [
        ("display_name", json!("Thursdays")),
        ("code_name", json!("thu")),
        ("description", json!("only then")),
        ("schedule_enabled", json!(false)),
    ] {
        assert_eq!(shown[column], value, "{column}");
    }
    site.clone()
        .when(API, create_policy(json!({"display_name": "THURSDAYS"})))
        .then_invalid(&["display_name"]);
    site.when(
        API,
        create::<JumpPolicy>(json!({"schedule_enabled": false})),
    )
    .then_invalid(&["display_name"]);
}

/// POL-02, POL-51, POL-52
#[test]
fn a_missing_code_name_is_generated_and_unique() {
    let mut site = given([]);
    for (index, (name, code_name)) in [
        ("After Hours Schedule", "after_hours_schedule"),
        ("Authorization Required", "authorization_required"),
        ("PT-Policy", "ptpolicy"),
        ("PTPolicy", "ptpolicy_2"),
        ("Pt Policy", "pt_policy"),
        ("---", "jump_policy0"),
        ("日本", "jump_policy1"),
        (&"x".repeat(100), &"x".repeat(60)),
        (&"x".repeat(101), &format!("{}_2", "x".repeat(60))),
    ]
    .into_iter()
    .enumerate()
    {
        site = site
            .when(API, create_policy(json!({"display_name": name})))
            .then_something();
        let id = u32::try_from(index).expect("small") + 1;
        assert_eq!(code_name_of(&site, id), code_name, "{name}");
    }
    // By hand: kept as given, compared without regard to case, free again after a deletion.
    let by_hand =
        |code_name: &str| create_policy(json!({"display_name": "By hand", "code_name": code_name}));
    for wrong in ["a b", "ä", "a.b", &"x".repeat(65)] {
        site.clone()
            .when(API, by_hand(wrong))
            .then_invalid(&["code_name"]);
    }
    site.clone()
        .when(API, by_hand("PTPOLICY"))
        .then_invalid(&["code_name"]);
    let site = site
        .when(API, delete::<JumpPolicy>(JumpPolicyId(3)))
        .then_something()
        .when(API, by_hand("PTPOLICY"))
        .then_something();
    assert_eq!(code_name_of(&site, 10), "PTPOLICY");
}

/// POL-20, POL-21, POL-22, POL-38, POL-41, POL-55
#[test]
fn what_contradicts_itself_is_not_saved() {
    let approval = json!({
        "approval_required": true, "approval_display_name": "Manager",
        "approval_email_addresses": ["boss@example.com"],
    });
    let notified = json!({
        "session_start_notification": true, "notification_display_name": "Manager",
        "notification_email_addresses": ["boss@example.com"],
    });
    let with = |base: &Value, name: &str, value: Value| {
        let mut changed = base.clone();
        changed[name] = value;
        changed
    };
    let cases: Vec<(&str, Value, &[&str])> = vec![
        ("approval", approval.clone(), &[]),
        ("notification", notified.clone(), &[]),
        (
            "ticket and approval",
            with(&approval, "ticket_id_required", json!(true)),
            &[],
        ),
        (
            "ticket and notification",
            with(&notified, "ticket_id_required", json!(true)),
            &[],
        ),
        (
            "a schedule that has no entries yet",
            json!({"schedule_enabled": true}),
            &[],
        ),
        (
            "force-end without a schedule",
            json!({"schedule_strict": true}),
            &["schedule_strict"],
        ),
        (
            "schedule and approval",
            with(&approval, "schedule_enabled", json!(true)),
            &["approval_required"],
        ),
        (
            "approval by nobody",
            with(&approval, "approval_email_addresses", json!([])),
            &["approval_email_addresses"],
        ),
        (
            "approval without a name",
            with(&approval, "approval_display_name", json!("")),
            &["approval_display_name"],
        ),
        (
            "approval by a user",
            json!({"approval_required": true, "approval_display_name": "Manager", "approval_user_ids": ["1"]}),
            &[],
        ),
        (
            "approval by a user's name",
            with(
                &approval,
                "approval_email_addresses",
                json!(["administrator"]),
            ),
            &[],
        ),
        (
            "approval by a name of nobody",
            with(&approval, "approval_email_addresses", json!(["nobody"])),
            &["approval_email_addresses"],
        ),
        (
            "approval by a user who is not there",
            with(&approval, "approval_user_ids", json!(["77", "x", "-1"])),
            &[
                "approval_user_ids",
                "approval_user_ids",
                "approval_user_ids",
            ],
        ),
        (
            "approval by a team that is not there",
            with(&approval, "approval_team_ids", json!(["77"])),
            &["approval_team_ids"],
        ),
        (
            "languages that are none",
            json!({"approval_email_language": "xx-yy", "notification_email_language": ""}),
            &["approval_email_language", "notification_email_language"],
        ),
        (
            "languages",
            json!({"approval_email_language": "de", "notification_email_language": "pt-BR"}),
            &[],
        ),
        (
            "notification of nobody",
            with(&notified, "notification_email_addresses", json!([])),
            &["notification_email_addresses"],
        ),
        (
            "notification of no address",
            with(&notified, "notification_email_addresses", json!(["boss"])),
            &["notification_email_addresses"],
        ),
        (
            "notification without a name",
            with(&notified, "notification_display_name", json!("")),
            &["notification_display_name"],
        ),
        (
            "copies without join",
            json!({"simultaneous_jump_behavior_applies_to_copies": true}),
            &["simultaneous_jump_behavior_applies_to_copies"],
        ),
        (
            "copies with join",
            json!({"simultaneous_jump_behavior_applies_to_copies": true, "simultaneous_jumps": "join"}),
            &[],
        ),
    ];
    for (what, more, wrong) in cases {
        let asked = given([]).when(API, create_policy(more));
        if wrong.is_empty() {
            assert!(asked.decision().is_ok(), "{what}: {:?}", asked.decision());
        } else {
            assert!(asked.decision().is_err(), "{what}");
            asked.then_invalid(wrong);
        }
    }
    // The same holds on a later change.
    given([policy(THURSDAYS, |policy| {
        policy.approval_required = true;
        policy.approval_display_name = "Manager".to_owned();
        policy.approval_email_addresses = vec!["boss@example.com".to_owned()];
    })])
    .and([schedule(THURSDAYS, "UTC", &[THURSDAY_8_TO_17])])
    .when(
        API,
        change::<JumpPolicy>(THURSDAYS, json!({"schedule_enabled": true})),
    )
    .then_invalid(&["approval_required"]);
}

/// POL-21: a site may allow both; the schedule's default then is as before.
#[test]
fn a_site_may_allow_schedule_and_approval_together() {
    let both = || {
        change::<JumpPolicy>(
            THURSDAYS,
            json!({
                "schedule_enabled": true, "approval_required": true,
                "approval_display_name": "Manager", "approval_email_addresses": ["boss@example.com"],
            }),
        )
    };
    let site =
        given([policy(THURSDAYS, |_| {})]).and([schedule(THURSDAYS, "UTC", &[THURSDAY_8_TO_17])]);
    site.clone()
        .when(API, both())
        .then_invalid(&["approval_required"]);
    site.when(
        ADMIN,
        change::<SiteSettings>(SETTINGS, json!({"schedule_with_approval_allowed": true})),
    )
    .then_something()
    .when(API, both())
    .then_something();
}

/// POL-27: recipients may be written in one text, separated by a space.
#[test]
fn recipients_are_separated_by_a_space() {
    let recipients = json!({
        "session_start_notification": true, "notification_display_name": "Manager",
        "notification_email_addresses": ["boss@example.com  audit@example.com", "BOSS@example.com"],
    });
    let site = given([])
        .when(API, create_policy(recipients))
        .then_something();
    let saved = site.world().jump_policies.get(&THURSDAYS).expect("there");
    assert_eq!(
        saved.notification_email_addresses,
        ["boss@example.com", "audit@example.com"]
    );
    let many: Vec<String> = (0..101)
        .map(|number| format!("a{number}@x.example"))
        .collect();
    given([])
        .when(
            API,
            create_policy(json!({"notification_email_addresses": [many[..50].join(" ")]})),
        )
        .then_invalid(&["notification_email_addresses"]);
    let short: Vec<String> = (0..101).map(|number| format!("{number}@x")).collect();
    let texts: Vec<String> = short.chunks(40).map(|part| part.join(" ")).collect();
    given([])
        .when(
            API,
            create_policy(json!({"notification_email_addresses": texts})),
        )
        .then_invalid(&["notification_email_addresses"]);
}

/// POL-39: an approver who has gone since stands in no other change's way, and can't be named anew.
#[test]
fn an_approver_who_has_gone_does_not_block_other_changes() {
    let asking = policy(THURSDAYS, |policy| {
        policy.approval_required = true;
        policy.approval_display_name = "Manager".to_owned();
        policy.approval_user_ids = vec!["77".to_owned()];
    });
    given([asking])
        .when(
            API,
            change::<JumpPolicy>(THURSDAYS, json!({"description": "x"})),
        )
        .then_something()
        .when(
            API,
            change::<JumpPolicy>(THURSDAYS, json!({"approval_user_ids": ["77", "78"]})),
        )
        .then_invalid(&["approval_user_ids"]);
}

/// POL-16: users can't override what ends their sessions, whichever of the two is set first.
#[test]
fn an_override_and_a_forced_end_exclude_each_other() {
    let with_override = Schedule {
        timezone: "UTC".to_owned(),
        entries: vec![THURSDAY_8_TO_17],
        override_allowed: true,
    };
    let set = || Command::SetSchedule(THURSDAYS, with_override.clone());
    thursdays_only(true)
        .when(ADMIN, set())
        .then_invalid(&["override_allowed"]);
    let site = thursdays_only(false).when(ADMIN, set()).then_something();
    site.when(
        API,
        change::<JumpPolicy>(THURSDAYS, json!({"schedule_strict": true})),
    )
    .then_invalid(&["schedule_strict"]);
}

/// POL-35, POL-36
#[test]
fn the_longest_access_is_a_minute_to_fifty_two_weeks() {
    for (minutes, good) in [(0, false), (1, true), (524_160, true), (524_161, false)] {
        let asked = given([]).when(
            API,
            create_policy(json!({"approval_max_duration": minutes})),
        );
        if good {
            asked.then_something();
        } else {
            asked.then_invalid(&["approval_max_duration"]);
        }
    }
}

/// POL-09, POL-55: the page that writes schedules writes no enabled one without entries. The published API can enable one that has
/// none, as is decided in rules-notes.
#[test]
fn a_schedule_is_set_as_a_whole_and_an_enabled_one_keeps_an_entry() {
    let thursdays = Schedule {
        timezone: "Europe/Berlin".to_owned(),
        entries: vec![THURSDAY_8_TO_17],
        override_allowed: false,
    };
    let set = |schedule: &Schedule| Command::SetSchedule(THURSDAYS, schedule.clone());
    let happened = Event::ScheduleSet(ScheduleSet {
        schedule: thursdays.clone(),
    });
    let enable = || change::<JumpPolicy>(THURSDAYS, json!({"schedule_enabled": true}));
    given([])
        .when(ADMIN, set(&thursdays))
        .then_refused(Refusal::not_found("Jump Policy"));
    let site = given([policy(THURSDAYS, |_| {})])
        .when(ADMIN, enable())
        .then_something()
        .when(ADMIN, set(&Schedule::default()))
        .then_invalid(&["entries"])
        .when(ADMIN, set(&thursdays))
        .then([Happened::JumpPolicy(THURSDAYS, happened)])
        .when(ADMIN, set(&thursdays))
        .then_nothing()
        .when(ADMIN, enable())
        .then_nothing()
        .when(ADMIN, set(&Schedule::default()))
        .then_invalid(&["entries"]);
    assert_eq!(site.world().schedules.get(&THURSDAYS), Some(&thursdays));
    let site = site
        .when(ADMIN, delete::<JumpPolicy>(THURSDAYS))
        .then_something();
    assert!(site.world().schedules.is_empty());
}

fn thursdays_only(strict: bool) -> Given {
    given([
        policy(THURSDAYS, |policy| {
            policy.display_name = "Thursdays".to_owned();
            policy.schedule_enabled = true;
            policy.schedule_strict = strict;
        }),
        schedule(THURSDAYS, "UTC", &[THURSDAY_8_TO_17]),
    ])
}

/// POL-14: the next time is told in the schedule's zone.
#[test]
fn the_next_time_is_told_in_the_schedules_zone() {
    let refusal = |zone: &str, next_open| Refusal::OutsideSchedule {
        policy: "P".to_owned(),
        next_open,
        zone: zone.to_owned(),
    };
    let text = refusal("America/New_York", Some(THURSDAY)).to_string();
    assert!(
        text.ends_with("Next available: Thursday, 2026-03-05 05:00 (America/New_York)."),
        "{text}"
    );
    let text = refusal("UTC", None).to_string();
    assert!(
        text.ends_with("Its schedule has no time at which sessions are permitted."),
        "{text}"
    );
}

/// POL-12, POL-17
#[test]
fn only_a_strict_schedule_ends_sessions() {
    let end = THURSDAY.plus(7 * HOUR);
    let lenient = thursdays_only(false);
    assert_eq!(ends_sessions_at(lenient.world(), THURSDAYS, THURSDAY), None);
    let strict = thursdays_only(true);
    assert_eq!(
        ends_sessions_at(strict.world(), THURSDAYS, THURSDAY),
        Some(end)
    );
    assert_eq!(ends_sessions_at(strict.world(), THURSDAYS, end), Some(end));
    assert_eq!(ends_sessions_at(strict.world(), ALWAYS, end), None);
}

/// ROLE-33
#[test]
fn a_policy_in_use_stays_and_its_users_are_named() {
    let site = given([
        person(ANNA),
        group(WEB_SERVERS, "Web Servers"),
        policy(THURSDAYS, |_| {}),
        policy(ALWAYS, |_| {}),
        member_under(WEB_SERVERS, ANNA, START_SESSIONS_ONLY, THURSDAYS),
        installer(INSTALLER, SHARED, |installer| {
            installer.jump_policy_id = Some(THURSDAYS)
        }),
    ])
    .and(client(PC1, SHARED))
    .when(
        API,
        change::<Properties>(PC1, json!({"jump_policy_id": THURSDAYS.0})),
    )
    .then_something();
    site.clone()
        .when(API, delete::<JumpPolicy>(THURSDAYS))
        .then_refused(Refusal::InUse {
            what: "Jump Policy",
            by: vec![
                "member \"user-2\" of Jump Group \"Web Servers\"".to_owned(),
                "installer 1".to_owned(),
                "Jump Client \"pc-1\"".to_owned(),
            ],
        });
    site.when(API, delete::<JumpPolicy>(ALWAYS))
        .then_something();
}
