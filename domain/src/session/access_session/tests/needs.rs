//! What a start still needs, told at once, and what it takes along of what was supplied.

use super::super::{EXTERNAL_KEY, Start, begin, readiness};
use super::*;
use crate::ids::{AccessRequestId, TicketRequestId};
use crate::policy::access_request::{self, Submit};
use crate::policy::gates::{Need, SessionNotifications, Supplied};
use crate::policy::jump_policy::JumpPolicy;
use crate::testing::{MONDAY, fresh};
use crate::time::MINUTE;
use crate::{Context, testing::Asks as _};

const REQUEST: AccessRequestId = AccessRequestId(1);

fn under(rules: impl FnOnce(&mut JumpPolicy)) -> Given {
    ready().and([
        policy(THURSDAYS, rules),
        member_under(WEB_SERVERS, ANNA, START_SESSIONS_ONLY, THURSDAYS),
    ])
}

fn notifies(policy: &mut JumpPolicy) {
    policy.session_start_notification = true;
    policy.notification_email_addresses = vec!["boss@example.com".to_owned()];
    policy.notification_display_name = "The boss".to_owned();
    policy.recordings_disabled = true;
}

fn asks_approval(policy: &mut JumpPolicy) {
    policy.approval_required = true;
    policy.approval_display_name = "Managers".to_owned();
    policy.approval_email_addresses = vec!["boss@example.com".to_owned()];
}

fn agreeing() -> Command {
    Command::Start(Start {
        notification_consent: true,
        ..Start::new(ANNA, ITEM, "Unknown".to_owned(), "Unknown".to_owned())
    })
}

fn consent() -> Need {
    Need::NotificationConsent {
        display_name: "The boss".to_owned(),
        at_start: true,
        at_end: false,
    }
}

/// SESS-17: one answer lists all that is still needed; asking what would be needed says the same and starts nothing.
#[test]
fn one_answer_lists_all_that_is_needed() {
    let site = under(|policy| {
        notifies(policy);
        asks_approval(policy);
    });
    let outcome = site.clone().when(ANNA, start(ANNA, PC1));
    let Err(Refusal::StartNeeds { needs }) = outcome.decision() else {
        panic!("{outcome:?}");
    };
    let [Need::Approval(approval), told] = needs.as_slice() else {
        panic!("{needs:?}");
    };
    assert_eq!(approval.approvers, "Managers");
    assert_eq!(*told, consent());
    let ask = |supplied| readiness(site.world(), ANNA, ITEM, &supplied, site.now());
    let opening = ask(Supplied::default()).expect("nothing says no for good");
    assert_eq!(opening.needs, *needs);
    let agreed = Supplied {
        notification_consent: true,
        ..Supplied::default()
    };
    assert_eq!(ask(agreed).expect("open").needs.len(), 1);
    // What is closed for good is told first.
    assert_eq!(
        readiness(site.world(), BERT, ITEM, &agreed, site.now()),
        Err(Refusal::UserDisabled)
    );
}

/// SESS-17, REP-88: what was supplied goes with the session.
#[test]
fn a_start_with_consent_takes_the_notifications_along() {
    let outcome = under(notifies).when(ANNA, agreeing());
    let [Happened::AccessSession(_, Event::Started(started))] = outcome.events() else {
        panic!("{outcome:?}");
    };
    assert!(started.recordings_disabled);
    assert_eq!(
        started.notifications,
        Some(SessionNotifications {
            at_start: true,
            at_end: false,
            addresses: vec!["boss@example.com".to_owned()],
            display_name: "The boss".to_owned(),
            language: "en-us".to_owned(),
        })
    );
    // It is not asked for again when the session is up.
    outcome
        .then_something()
        .when(PC1, establish(FIRST))
        .then([established(FIRST)]);
}

/// SESS-17: the approved request is used by the session that starts under it, and by who joins; approval is asked for again
/// when the session is up.
#[test]
fn an_approved_request_is_used() {
    let submit = access_request::Command::Submit(Submit {
        user: ANNA,
        item: ITEM,
        reason: "patch".to_owned(),
        start_at: MONDAY,
        duration_seconds: 3_600,
    });
    let approve = access_request::Command::Approve {
        request: REQUEST,
        comment: "go ahead".to_owned(),
        speaking_for: None,
    };
    let boss = Actor::Approver {
        request: REQUEST,
        index: 0,
    };
    let site = under(asks_approval)
        .when(ANNA, crate::Command::AccessRequest(submit))
        .then_something()
        .when(boss, crate::Command::AccessRequest(approve))
        .then_something();
    let outcome = site.when(ANNA, start(ANNA, PC1));
    let [
        Happened::AccessSession(lsid, Event::Started(started)),
        Happened::AccessRequest(REQUEST, access_request::Event::Used(used)),
    ] = outcome.events()
    else {
        panic!("{outcome:?}");
    };
    assert_eq!((used.lsid, used.user), (*lsid, ANNA));
    assert_eq!(started.access_request_id, Some(REQUEST));
    assert_eq!(started.approver_comments.as_deref(), Some("go ahead"));
    let lsid = *lsid;
    let begun = outcome.then_something();
    begun
        .clone()
        .after(59 * MINUTE)
        .when(PC1, establish(lsid))
        .then([established(lsid)]);
    let too_late = begun
        .after(2 * HOUR)
        .when(PC1, establish(lsid))
        .then_something();
    assert!(too_late.world().sessions.is_empty());
}

/// SESS-36: a start that a ticket system allowed takes its attributes and its external key, which win over the user's.
#[test]
fn a_ticket_brings_its_attributes() {
    let site = super::attributes::configured(ready());
    let (cause, fresh) = (Actor::System.cause(), fresh(9));
    let context = Context {
        now: site.now(),
        cause: &cause,
        fresh: &fresh,
    };
    let own = |value: &str| ("change".to_owned(), value.to_owned());
    let asked = Start {
        attributes: [own("C-1"), ("site".to_owned(), "B".to_owned())].into(),
        ..Start::new(ANNA, ITEM, "Unknown".to_owned(), "Unknown".to_owned())
    };
    let from_ticket = [own("C-2"), (EXTERNAL_KEY.to_owned(), "T-1".to_owned())].into();
    let ticket = Some(TicketRequestId(7));
    let events = begin(site.world(), &asked, ticket, &from_ticket, &context).expect("it starts");
    let [Happened::AccessSession(_, Event::Started(started))] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!(started.ticket, ticket);
    assert_eq!(started.external_key, "T-1");
    assert_eq!(
        started.attributes,
        [own("C-2"), ("site".to_owned(), "B".to_owned())].into()
    );
}

/// POL-16: outside the schedule a user goes on where the policy lets them, and the session says so; it is not ended for it.
#[test]
fn a_user_may_go_on_outside_the_schedule_where_the_policy_lets_them() {
    let site = |strict: bool| {
        let mut schedule = crate::policy::schedule::Schedule {
            timezone: "UTC".to_owned(),
            ..Default::default()
        };
        schedule.override_allowed = true;
        under(|policy| {
            policy.schedule_enabled = true;
            policy.schedule_strict = strict;
        })
        .and([Happened::JumpPolicy(
            THURSDAYS,
            crate::policy::jump_policy::Event::ScheduleSet(
                crate::policy::jump_policy::ScheduleSet { schedule },
            ),
        )])
    };
    let going_on = || {
        Command::Start(Start {
            schedule_override: true,
            ..Start::new(ANNA, ITEM, "Unknown".to_owned(), "Unknown".to_owned())
        })
    };
    let outcome = site(false).when(ANNA, start(ANNA, PC1));
    let Err(Refusal::StartNeeds { needs }) = outcome.decision() else {
        panic!("{outcome:?}");
    };
    assert!(
        matches!(needs.as_slice(), [Need::ScheduleOverride { .. }]),
        "{needs:?}"
    );
    let after = site(false).when(ANNA, going_on()).then_something();
    assert!(
        after
            .world()
            .sessions
            .get(&FIRST)
            .expect("it starts")
            .schedule_overridden
    );
    after
        .when(PC1, establish(FIRST))
        .then([established(FIRST)])
        .after(HOUR)
        .when(Actor::System, Command::EndBySchedule { lsid: FIRST })
        .then_nothing();
    // Never where the schedule ends sessions.
    let outcome = site(true).when(ANNA, going_on());
    assert!(
        matches!(outcome.decision(), Err(Refusal::OutsideSchedule { .. })),
        "{outcome:?}"
    );
}
