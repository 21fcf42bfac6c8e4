//! The gates of a Jump Policy: what they need, and what they say no to.

use serde_json::json;

use super::{
    ApprovalNeed, Need, Opening, Supplied, Unbound, effective_policy, not_bound_by_item_policy,
    open,
};
use crate::access::permission;
use crate::access::role::START_SESSIONS_ONLY;
use crate::fleet::jump_client::Properties;
use crate::ids::{AccessRequestId, JumpItemRef, JumpPolicyId};
use crate::policy::access_request;
use crate::policy::jump_policy::{self, JumpPolicy};
use crate::policy::schedule::{Schedule, ScheduleEntry};
use crate::site::ticket_system::{TICKET_SYSTEM, TicketSystem};
use crate::testing::{
    ADMIN, ALWAYS, ANNA, API, BERT, CARA, FIRST, Given, MONDAY, PC1, SHARED, THURSDAY, THURSDAYS,
    WEB_SERVERS, change, client, given, group, member, member_under, person, policy, start,
};
use crate::{Actor, Event as Happened, Refusal, time};

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

/// POL-42, POL-43: as the session is told at its start, whatever becomes of the policy while it runs.
#[test]
fn a_policy_can_switch_recordings_off() {
    for disabled in [true, false] {
        let site = under(|policy| policy.recordings_disabled = disabled)
            .when(ANNA, start(ANNA, PC1))
            .then_something();
        let set = json!({"recordings_disabled": !disabled});
        let site = site
            .when(API, change::<JumpPolicy>(THURSDAYS, set))
            .then_something();
        let session = site.world().sessions.get(&FIRST).expect("it starts");
        assert_eq!(session.recordings_disabled, disabled);
    }
}

/// Anna's policy asks for approval by one address.
fn with_approval(more: impl FnOnce(&mut JumpPolicy)) -> Given {
    under(|policy| {
        policy.description = "Third parties".to_owned();
        policy.approval_required = true;
        policy.approval_display_name = "Manager".to_owned();
        policy.approval_email_addresses = vec!["boss@example.com".to_owned()];
        more(policy);
    })
}

fn approval_need(pending: Option<AccessRequestId>) -> Need {
    Need::Approval(ApprovalNeed {
        title: "Privileged Remote Access - Jump Authorization Request",
        text: "You must first request approval to access this Jump Item. Please confirm the details below and describe the reason for the access request.",
        policy: "Policy 1".to_owned(),
        policy_description: "Third parties".to_owned(),
        approvers: "Manager".to_owned(),
        applies_to: "Yourself Only",
        duration_max_minutes: 480,
        pending,
    })
}

/// POL-34, POL-40, APPR-01, APPR-02, APPR-03, APPR-16, APPR-19: the form instead of a session, and then the session with what
/// its approver said.
#[test]
fn without_a_usable_approval_a_start_needs_one() {
    let submit = access_request::Submit {
        user: ANNA,
        item: ITEM,
        reason: "patch".to_owned(),
        start_at: MONDAY,
        duration_seconds: 3_600,
    };
    let request = AccessRequestId(1);
    let nothing = Supplied::default();
    let site = with_approval(|_| {});
    let asked = ask(&site, &nothing).expect("no gate says no");
    assert_eq!(asked.needs, [approval_need(None)]);
    let site = site
        .when(ANNA, access_request::Command::Submit(submit))
        .then_something();
    let asked = ask(&site, &nothing).expect("no gate says no");
    assert_eq!(asked.needs, [approval_need(Some(request))]);
    let shown = serde_json::to_string(&asked.needs).expect("JSON");
    assert!(!shown.contains("boss@example.com"), "{shown}");
    let approve = access_request::Command::Approve {
        request,
        comment: "be quick".to_owned(),
        speaking_for: None,
    };
    let site = site
        .when(Actor::Approver { request, index: 0 }, approve)
        .then_something();
    let opening = ask(&site, &nothing)
        .and_then(Opening::complete)
        .expect("approved");
    assert_eq!(opening.access_request, Some(request));
    assert_eq!(opening.approver_comments.as_deref(), Some("be quick"));
    // APPR-23: after the window nothing new starts.
    let later = ask(&site.at(MONDAY.plus(time::HOUR)), &nothing).expect("no gate says no");
    assert_eq!(later.needs, [approval_need(None)]);
}

/// Fails closed: approvers who are all gone approve nothing.
#[test]
fn with_nobody_left_to_approve_nobody_starts() {
    let site = with_approval(|policy| {
        policy.approval_email_addresses = Vec::new();
        policy.approval_user_ids = vec!["77".to_owned()];
    });
    let refused = Refusal::NoApprover {
        policy: "Policy 1".to_owned(),
    };
    assert_eq!(ask(&site, &Supplied::default()), Err(refused));
}

/// POL-22, POL-32, POL-33, TICK-10, TICK-42, ERR-27, ERR-28, SESS-17: the gates in their order, and all that is needed at once.
#[test]
fn one_answer_lists_all_that_is_needed() {
    let site = with_approval(|policy| {
        policy.ticket_id_required = true;
        policy.two_factor_challenge_required = true;
        policy.session_end_notification = true;
        policy.notification_email_addresses = vec!["boss@example.com".to_owned()];
        policy.notification_display_name = "Audit".to_owned();
    });
    let nothing = Supplied::default();
    assert_eq!(ask(&site, &nothing), Err(Refusal::NoTicketSystem));
    let tickets = |body: serde_json::Value| change::<TicketSystem>(TICKET_SYSTEM, body);
    let site = site
        .when(
            ADMIN,
            tickets(json!({"url": "https://tickets.example.com"})),
        )
        .then_something();
    assert_eq!(ask(&site, &nothing), Err(Refusal::NoTicketPrompt));
    let prompt = json!({"user_prompt": "Which ticket?", "sensitive": true});
    let site = site.when(ADMIN, tickets(prompt)).then_something();
    let second_factor = Refusal::SecondFactorUnavailable {
        policy: "Policy 1".to_owned(),
    };
    assert_eq!(ask(&site, &nothing), Err(second_factor));
    let unasked = json!({"two_factor_challenge_required": false});
    let site = site
        .when(API, change::<JumpPolicy>(THURSDAYS, unasked))
        .then_something();
    let ticket = Need::Ticket {
        prompt: "Which ticket?".to_owned(),
        sensitive: true,
    };
    let consent = Need::NotificationConsent {
        display_name: "Audit".to_owned(),
        at_start: false,
        at_end: true,
    };
    let asked = ask(&site, &nothing).expect("no gate says no");
    assert_eq!(asked.needs, [approval_need(None), ticket, consent.clone()]);
    let with_ticket = Supplied {
        ticket: true,
        ..nothing
    };
    let asked = ask(&site, &with_ticket).expect("no gate says no");
    assert_eq!(asked.needs, [approval_need(None), consent]);
    // Switched off, nobody is asked any more.
    let off = json!({"ticket_id_required": false, "approval_required": false, "session_end_notification": false});
    let site = site
        .when(API, change::<JumpPolicy>(THURSDAYS, off))
        .then_something();
    assert!(ask(&site, &nothing).and_then(Opening::complete).is_ok());
}

const THURSDAY_8_TO_17: ScheduleEntry = ScheduleEntry {
    start_day: 3,
    start_minute: 480,
    end_day: 3,
    end_minute: 1020,
};

fn scheduled(strict: bool, override_allowed: bool) -> Given {
    let schedule = Schedule {
        timezone: "UTC".to_owned(),
        entries: vec![THURSDAY_8_TO_17],
        override_allowed,
    };
    let set = jump_policy::Event::ScheduleSet(jump_policy::ScheduleSet { schedule });
    under(|policy| {
        policy.display_name = "Thursdays".to_owned();
        policy.schedule_enabled = true;
        policy.schedule_strict = strict;
    })
    .and([Happened::JumpPolicy(THURSDAYS, set)])
}

/// POL-08, POL-11, POL-12, POL-13, POL-14, POL-15, POL-17, ERR-32
#[test]
fn outside_its_schedule_a_policy_lets_nobody_start_and_says_when_it_will() {
    let nothing = Supplied {
        schedule_override: true,
        ..Supplied::default()
    };
    let morning = THURSDAY.plus(-2 * time::HOUR);
    let evening = THURSDAY.plus(7 * time::HOUR);
    for (now, next) in [
        (MONDAY, Some(morning)),
        (morning.plus(-1), Some(morning)),
        (morning, None),
        (evening.plus(-1), None),
        (evening, Some(morning.plus(7 * time::DAY))),
    ] {
        for strict in [false, true] {
            let asked = ask(&scheduled(strict, false).at(now), &nothing);
            match next {
                Some(next) => {
                    let refusal = Refusal::OutsideSchedule {
                        policy: "Thursdays".to_owned(),
                        next_open: Some(next),
                        zone: "UTC".to_owned(),
                    };
                    assert_eq!(asked, Err(refusal), "{now}");
                }
                None => {
                    let opening = asked.expect("open");
                    assert_eq!(opening.closes_at, Some(evening));
                    assert_eq!(opening.force_end, strict);
                    assert!(opening.needs.is_empty() && !opening.schedule_overridden);
                }
            }
        }
    }
    let refusal = ask(&scheduled(false, false), &nothing).expect_err("closed");
    assert_eq!(
        refusal.to_string(),
        "The Jump Policy \"Thursdays\" does not permit a session at this time. Next available: Thursday, 2026-03-05 08:00 (UTC)."
    );
    let site = scheduled(false, false)
        .when(
            API,
            change::<JumpPolicy>(THURSDAYS, json!({"schedule_enabled": false})),
        )
        .then_something();
    assert!(ask(&site, &nothing).and_then(Opening::complete).is_ok());
}

/// POL-15, POL-16: an override is off by default, asked for expressly, and never offered where the schedule ends sessions.
#[test]
fn an_override_is_offered_where_the_policy_allows_one() {
    let over = Supplied {
        schedule_override: true,
        ..Supplied::default()
    };
    let asked = ask(&scheduled(false, true), &Supplied::default()).expect("no gate says no");
    let [Need::ScheduleOverride { message }] = asked.needs.as_slice() else {
        panic!("{:?}", asked.needs);
    };
    assert!(message.contains("Thursday, 2026-03-05 08:00"), "{message}");
    let opening = ask(&scheduled(false, true), &over)
        .and_then(Opening::complete)
        .expect("overridden");
    assert!(opening.schedule_overridden);
    assert_eq!(opening.closes_at, None);
    assert!(ask(&scheduled(true, true), &over).is_err(), "force-end");
    let inside = ask(&scheduled(false, true).at(THURSDAY), &over).expect("open");
    assert!(!inside.schedule_overridden, "nothing to override");
}

/// POL-07: an administrator who sets a policy on an item is told whom it does not bind.
#[test]
fn whom_an_items_policy_does_not_bind_is_told() {
    let on_item = change::<Properties>(PC1, json!({"jump_policy_id": ALWAYS.0}));
    let site = under(|_| {})
        .and([
            person(BERT),
            member(WEB_SERVERS, BERT, START_SESSIONS_ONLY),
            person(CARA),
            member_under(WEB_SERVERS, CARA, START_SESSIONS_ONLY, ALWAYS),
        ])
        .when(API, on_item)
        .then_something();
    let unbound = not_bound_by_item_policy(site.world(), ITEM);
    assert_eq!(
        unbound,
        [Unbound {
            user_id: ANNA,
            username: "user-2".to_owned(),
            jump_policy_id: THURSDAYS,
        }]
    );
}
