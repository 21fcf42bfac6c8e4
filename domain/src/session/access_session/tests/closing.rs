//! What the members are told before a schedule ends their session.

use super::super::{ANNOUNCED_MINUTES, EndAnnounced, announced_next};
use super::*;
use crate::policy::schedule::ScheduleEntry;
use crate::testing::{MONDAY, THURSDAY};
use crate::time::MINUTE;

/// A session under a schedule that closes on Thursday at 17:00, begun at 10:00.
fn under_a_schedule(strict: bool) -> Given {
    let day = ScheduleEntry {
        start_day: 3,
        start_minute: 480,
        end_day: 3,
        end_minute: 1_020,
    };
    ready()
        .and([
            policy(THURSDAYS, |policy| {
                policy.schedule_enabled = true;
                policy.schedule_strict = strict;
            }),
            schedule(THURSDAYS, "UTC", &[day]),
            member_under(WEB_SERVERS, ANNA, START_SESSIONS_ONLY, THURSDAYS),
        ])
        .at(THURSDAY)
        .when(ANNA, start(ANNA, PC1))
        .then_something()
        .when(PC1, establish(FIRST))
        .then_something()
}

fn announce() -> Command {
    Command::AnnounceEnd { lsid: FIRST }
}

fn announced(minutes: u32) -> Happened {
    Happened::AccessSession(
        FIRST,
        Event::EndAnnounced(EndAnnounced {
            ends_at: THURSDAY.plus(7 * HOUR),
            minutes,
        }),
    )
}

/// POL-18, POL-19: at 15, 10, 5 and 1 minutes before the end, each once.
#[test]
fn the_end_is_announced_at_15_10_5_and_1_minutes() {
    let evening = THURSDAY.plus(7 * HOUR);
    let mut site = under_a_schedule(true);
    for minutes in [15, 10, 5, 1] {
        let at = evening.plus(-i64::from(minutes) * MINUTE);
        site = site
            .at(at.plus(-1))
            .when(Actor::System, announce())
            .then_nothing()
            .at(at)
            .when(Actor::System, announce())
            .then([announced(minutes)])
            .when(Actor::System, announce())
            .then_nothing();
    }
    site.at(evening)
        .when(Actor::System, announce())
        .then_nothing();
    assert_eq!(ANNOUNCED_MINUTES, [15, 10, 5, 1]);
}

/// POL-18: one that comes late says how long there really is, and what it passed over is not told after it.
#[test]
fn a_late_announcement_tells_the_time_that_is_left() {
    let evening = THURSDAY.plus(7 * HOUR);
    under_a_schedule(true)
        .at(evening.plus(-7 * MINUTE - 30 * SECOND))
        .when(Actor::System, announce())
        .then([announced(8)])
        .when(Actor::System, announce())
        .then_nothing()
        .at(evening.plus(-5 * MINUTE))
        .when(Actor::System, announce())
        .then([announced(5)]);
}

/// POL-12, POL-18: where the schedule does not end sessions there is nothing to announce.
#[test]
fn a_lenient_schedule_announces_nothing() {
    let evening = THURSDAY.plus(7 * HOUR);
    let site = under_a_schedule(false)
        .at(evening.plus(-MINUTE))
        .when(Actor::System, announce())
        .then_nothing()
        .at(evening.plus(HOUR));
    assert!(site.world().sessions.contains(&FIRST), "it continues");
}

/// POL-19: those that lie before `since` are past.
#[test]
fn the_next_announcement_is_the_first_that_is_still_to_come() {
    let at = |minutes: i64| MONDAY.plus(-minutes * MINUTE);
    for (since, next) in [
        (at(60), Some(at(15))),
        (at(15), Some(at(10))),
        (at(12), Some(at(10))),
        (at(5), Some(at(1))),
        (at(1), None),
    ] {
        assert_eq!(announced_next(MONDAY, since, Some(MONDAY)), next);
    }
}

/// POL-17, POL-18: where the schedule is shortened the members are told at once, however little is left, and then it ends.
#[test]
fn a_schedule_that_is_shortened_is_announced_at_once() {
    let evening = THURSDAY.plus(7 * HOUR);
    let until = |minute| ScheduleEntry {
        start_day: 3,
        start_minute: 480,
        end_day: 3,
        end_minute: minute,
    };
    let at = evening.plus(-15 * MINUTE);
    let site = under_a_schedule(true)
        .at(at)
        .when(Actor::System, announce())
        .then([announced(15)])
        .at(at.plus(30 * SECOND));
    // 16:46 instead of 17:00, and it is 16:45:30.
    let shortened = site
        .clone()
        .and([schedule(THURSDAYS, "UTC", &[until(1_006)])])
        .when(Actor::System, announce())
        .then([Happened::AccessSession(
            FIRST,
            Event::EndAnnounced(EndAnnounced {
                ends_at: evening.plus(-14 * MINUTE),
                minutes: 1,
            }),
        )])
        .when(Actor::System, announce())
        .then_nothing()
        .at(evening.plus(-14 * MINUTE));
    shortened
        .when(Actor::System, Command::EndBySchedule { lsid: FIRST })
        .then([ended(FIRST, EndReason::ScheduleClosed, "")]);
    // One that is prolonged is announced in its time.
    site.and([schedule(THURSDAYS, "UTC", &[until(1_080)])])
        .when(Actor::System, announce())
        .then_nothing();
}

/// POL-18: a policy that ends sessions only since they began tells them as soon as there is something to tell.
#[test]
fn an_end_that_was_not_known_at_the_start_is_announced_at_once() {
    let evening = THURSDAY.plus(7 * HOUR);
    let began = evening.plus(-30 * SECOND);
    for (told, next) in [
        (None, Some(began)),
        (Some(evening), None),
        (Some(evening.plus(HOUR)), Some(began)),
    ] {
        assert_eq!(announced_next(evening, began, told), next);
    }
}

/// POL-17: the start says when the schedule will end the session.
#[test]
fn the_start_knows_when_the_schedule_ends_it() {
    for (strict, closes) in [(true, Some(THURSDAY.plus(7 * HOUR))), (false, None)] {
        let day = ScheduleEntry {
            start_day: 3,
            start_minute: 480,
            end_day: 3,
            end_minute: 1_020,
        };
        let outcome = ready()
            .and([
                policy(THURSDAYS, |policy| {
                    policy.schedule_enabled = true;
                    policy.schedule_strict = strict;
                }),
                schedule(THURSDAYS, "UTC", &[day]),
                member_under(WEB_SERVERS, ANNA, START_SESSIONS_ONLY, THURSDAYS),
            ])
            .at(THURSDAY)
            .when(ANNA, start(ANNA, PC1));
        let [Happened::AccessSession(_, Event::Started(started))] = outcome.events() else {
            panic!("{outcome:?}");
        };
        assert_eq!(started.closes_at, closes);
    }
}
