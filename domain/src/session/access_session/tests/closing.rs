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
        assert_eq!(announced_next(MONDAY, since), next);
    }
}

/// SESS-25, POL-17: the start says when the schedule will end the session.
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
