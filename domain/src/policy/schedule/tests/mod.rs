//! Schedules: boundaries, wrapping, unions, both clock changes, and the body of the APIs.

use serde_json::json;

use super::{HORIZON, Schedule, ScheduleEntry, format_time, parse_time};
use crate::time::{DAY, HOUR, MINUTE, SECOND};
use crate::{Refusal, Timestamp};

mod against_a_walk;

const MON: u8 = 0;
const THU: u8 = 3;
const FRI: u8 = 4;
const SAT: u8 = 5;
const SUN: u8 = 6;

fn entry(start_day: u8, start: &str, end_day: u8, end: &str) -> ScheduleEntry {
    ScheduleEntry {
        start_day,
        start_minute: parse_time(start).expect("a time"),
        end_day,
        end_minute: parse_time(end).expect("a time"),
    }
}

fn schedule(timezone: &str, entries: &[ScheduleEntry]) -> Schedule {
    Schedule {
        timezone: timezone.to_owned(),
        entries: entries.to_vec(),
        override_allowed: false,
    }
}

/// `2026-03-05T08:00:00Z` and the like.
fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339_utc(text).expect("an instant in UTC")
}

fn working_thursday() -> Schedule {
    schedule("UTC", &[entry(THU, "08:00", THU, "17:00")])
}

/// POL-11
#[test]
fn a_stretch_includes_its_start_and_excludes_its_end() {
    let thursdays = working_thursday();
    let start = at("2026-03-05T08:00:00Z");
    let end = at("2026-03-05T17:00:00Z");
    for (instant, open) in [
        (start.plus(-1), false),
        (start, true),
        (end.plus(-1), true),
        (end, false),
    ] {
        assert_eq!(thursdays.is_open(instant), open, "{instant}");
    }
    assert_eq!(thursdays.closes_after(start), Some(end));
    assert_eq!(thursdays.closes_after(end.plus(-1)), Some(end));
    assert_eq!(thursdays.closes_after(end), None);
}

/// POL-14
#[test]
fn the_next_opening_is_now_or_the_start_of_the_next_stretch() {
    let thursdays = working_thursday();
    for (asked, opens) in [
        ("2026-03-05T12:00:00Z", "2026-03-05T12:00:00Z"),
        ("2026-03-05T17:00:00Z", "2026-03-12T08:00:00Z"),
        ("2026-03-05T07:59:59Z", "2026-03-05T08:00:00Z"),
        ("2026-03-08T23:00:00Z", "2026-03-12T08:00:00Z"),
    ] {
        assert_eq!(thursdays.next_open(at(asked)), Some(at(opens)), "{asked}");
    }
}

/// POL-09: the schedule's own zone counts, whatever the user's or the server's is.
#[test]
fn entries_are_read_in_the_schedules_zone() {
    let entries = [entry(THU, "08:00", THU, "17:00")];
    let instant = at("2026-03-05T07:30:00Z");
    for (zone, open) in [
        ("UTC", false),
        ("Europe/Berlin", true),
        ("America/New_York", false),
        ("Asia/Kolkata", true),
    ] {
        assert_eq!(schedule(zone, &entries).is_open(instant), open, "{zone}");
    }
}

/// POL-10
#[test]
fn entries_wrap_over_midnight_and_the_weeks_end() {
    let nights = schedule("UTC", &[entry(MON, "22:00", 1, "06:00")]);
    assert!(nights.is_open(at("2026-03-02T23:30:00Z")));
    assert!(nights.is_open(at("2026-03-03T05:59:59Z")));
    assert!(!nights.is_open(at("2026-03-03T06:00:00Z")));

    let weekends = schedule("UTC", &[entry(FRI, "18:00", MON, "08:00")]);
    for (instant, open) in [
        ("2026-03-06T17:59:59Z", false),
        ("2026-03-06T18:00:00Z", true),
        ("2026-03-08T23:59:59Z", true),
        ("2026-03-09T00:00:00Z", true),
        ("2026-03-09T07:59:59Z", true),
        ("2026-03-09T08:00:00Z", false),
        ("2026-03-11T12:00:00Z", false),
    ] {
        assert_eq!(weekends.is_open(at(instant)), open, "{instant}");
    }
    assert_eq!(
        weekends.closes_after(at("2026-03-07T12:00:00Z")),
        Some(at("2026-03-09T08:00:00Z"))
    );

    let all_but_an_hour = schedule("UTC", &[entry(THU, "13:00", THU, "12:00")]);
    assert!(all_but_an_hour.is_open(at("2026-03-05T11:59:59Z")));
    assert!(!all_but_an_hour.is_open(at("2026-03-05T12:30:00Z")));
    assert!(all_but_an_hour.is_open(at("2026-03-05T13:00:00Z")));
    assert_eq!(
        all_but_an_hour.closes_after(at("2026-03-05T13:00:00Z")),
        Some(at("2026-03-12T12:00:00Z"))
    );
}

/// POL-17, POL-55
#[test]
fn entries_that_touch_or_overlap_are_one_stretch() {
    let end = at("2026-03-05T20:00:00Z");
    for entries in [
        [
            entry(THU, "08:00", THU, "12:00"),
            entry(THU, "12:00", THU, "20:00"),
        ],
        [
            entry(THU, "10:00", THU, "20:00"),
            entry(THU, "08:00", THU, "12:00"),
        ],
        [
            entry(THU, "08:00", THU, "20:00"),
            entry(THU, "09:00", THU, "10:00"),
        ],
    ] {
        let whole = schedule("UTC", &entries);
        assert_eq!(
            whole.closes_after(at("2026-03-05T09:30:00Z")),
            Some(end),
            "{entries:?}"
        );
        assert!(whole.is_open(at("2026-03-05T12:00:00Z")), "{entries:?}");
    }
    let over_the_weeks_end = schedule(
        "UTC",
        &[
            entry(SUN, "20:00", MON, "00:00"),
            entry(MON, "00:00", MON, "04:00"),
        ],
    );
    assert_eq!(
        over_the_weeks_end.closes_after(at("2026-03-08T21:00:00Z")),
        Some(at("2026-03-09T04:00:00Z"))
    );
}

/// POL-17: where the whole week is covered, it does not close.
#[test]
fn a_schedule_of_the_whole_week_never_closes() {
    let always = schedule(
        "Europe/Berlin",
        &[
            entry(MON, "00:00", SAT, "12:00"),
            entry(SAT, "12:00", MON, "00:00"),
        ],
    );
    for instant in [
        "2026-03-29T00:59:59Z",
        "2026-03-29T01:00:00Z",
        "2026-10-25T00:30:00Z",
        "2026-10-25T01:30:00Z",
        "2026-12-31T23:00:00Z",
    ] {
        let instant = at(instant);
        assert!(always.is_open(instant), "{instant}");
        assert_eq!(always.closes_after(instant), Some(instant.plus(HORIZON)));
        assert_eq!(always.next_open(instant), Some(instant));
    }
}

/// POL-10: the clock leaps from 02:00 to 03:00 in Berlin on 2026-03-29.
#[test]
fn times_that_the_clock_leaps_over_move_to_the_leap() {
    let leap = at("2026-03-29T01:00:00Z");
    let starts_inside = schedule("Europe/Berlin", &[entry(SUN, "02:30", SUN, "04:00")]);
    assert!(!starts_inside.is_open(leap.plus(-1)));
    assert!(starts_inside.is_open(leap));
    assert_eq!(starts_inside.closes_after(leap), Some(leap.plus(HOUR)));
    assert_eq!(starts_inside.next_open(leap.plus(-HOUR)), Some(leap));

    let ends_inside = schedule("Europe/Berlin", &[entry(SUN, "01:00", SUN, "02:30")]);
    assert!(ends_inside.is_open(leap.plus(-1)));
    assert!(!ends_inside.is_open(leap));
    assert_eq!(ends_inside.closes_after(leap.plus(-MINUTE)), Some(leap));

    let lies_inside = schedule("Europe/Berlin", &[entry(SUN, "02:10", SUN, "02:50")]);
    assert!(!lies_inside.is_open(leap));
    assert_eq!(
        lies_inside.next_open(leap.plus(-DAY)),
        Some(at("2026-04-05T00:10:00Z")),
        "it happens again in the week after"
    );
}

/// POL-10: the clock of Berlin shows 02:00 to 03:00 twice on 2026-10-25, first at 00:00 UTC, then at 01:00 UTC.
#[test]
fn times_that_the_clock_shows_twice_start_at_the_first_and_end_at_the_second() {
    let first = at("2026-10-25T00:00:00Z");
    let second = at("2026-10-25T01:00:00Z");
    let cases = [
        // Starts before, ends inside: open through the first showing of its end.
        (
            entry(SUN, "01:00", SUN, "02:30"),
            first.plus(-HOUR),
            second.plus(30 * MINUTE),
        ),
        // Starts inside, ends after: open from the first showing of its start.
        (
            entry(SUN, "02:30", SUN, "05:00"),
            first.plus(30 * MINUTE),
            second.plus(3 * HOUR),
        ),
        // Lies inside: one stretch, not two.
        (
            entry(SUN, "02:15", SUN, "02:45"),
            first.plus(15 * MINUTE),
            second.plus(45 * MINUTE),
        ),
        // Ends as the clock goes back to its end: 02:00 is not before 02:00, so the repeated hour is no part of it.
        (entry(SUN, "01:00", SUN, "02:00"), first.plus(-HOUR), first),
        // Touches the change from both sides.
        (entry(SUN, "02:00", SUN, "03:00"), first, second.plus(HOUR)),
    ];
    for (entry, opens, closes) in cases {
        let schedule = schedule("Europe/Berlin", &[entry]);
        assert_eq!(
            schedule.next_open(opens.plus(-SECOND)),
            Some(opens),
            "{entry:?}"
        );
        assert_eq!(schedule.closes_after(opens), Some(closes), "{entry:?}");
        let mut instant = opens;
        while instant < closes {
            assert!(schedule.is_open(instant), "{entry:?} at {instant}");
            instant = instant.plus(5 * MINUTE);
        }
        assert!(!schedule.is_open(closes), "{entry:?}");
    }
}

/// POL-10: a half-hour change, the other way round than in the north.
#[test]
fn half_an_hour_of_clock_change_counts_too() {
    // Lord Howe goes from 02:00 back to 01:30 on 2026-04-05 (at 15:00 UTC of the 4th) and from 02:00 to 02:30 on 2026-10-04.
    let back = schedule("Australia/Lord_Howe", &[entry(SUN, "01:30", SUN, "01:45")]);
    assert_eq!(
        back.closes_after(at("2026-04-04T14:30:00Z")),
        Some(at("2026-04-04T15:15:00Z"))
    );
    let forth = schedule("Australia/Lord_Howe", &[entry(SUN, "02:15", SUN, "02:45")]);
    assert_eq!(
        forth.next_open(at("2026-10-03T12:00:00Z")),
        Some(at("2026-10-03T15:30:00Z"))
    );
    assert_eq!(
        forth.closes_after(at("2026-10-03T15:30:00Z")),
        Some(at("2026-10-03T15:45:00Z"))
    );
}

/// POL-55: without entries, or with ones that can't be read, it is closed and stays so.
#[test]
fn what_has_no_stretch_is_closed() {
    let instant = at("2026-03-05T12:00:00Z");
    let zero = ScheduleEntry::default();
    let out_of_range = ScheduleEntry {
        start_day: 7,
        end_minute: 2000,
        ..zero
    };
    for closed in [
        Schedule::default(),
        schedule("UTC", &[zero]),
        schedule("UTC", &[out_of_range]),
        schedule("Mars/Olympus", &[entry(THU, "08:00", THU, "17:00")]),
    ] {
        assert!(!closed.is_open(instant), "{closed:?}");
        assert_eq!(closed.next_open(instant), None, "{closed:?}");
        assert_eq!(closed.closes_after(instant), None, "{closed:?}");
    }
    for far in [Timestamp(i64::MIN), Timestamp(i64::MAX)] {
        assert!(!working_thursday().is_open(far));
        assert_eq!(working_thursday().next_open(far), None);
    }
}

fn fields(result: Result<impl std::fmt::Debug, Refusal>) -> Vec<String> {
    match result {
        Err(Refusal::Invalid(errors)) => errors.0.into_iter().map(|(field, _)| field).collect(),
        other => panic!("expected field errors, got {other:?}"),
    }
}

/// POL-55, POL-09
#[test]
fn what_cannot_be_kept_is_refused() {
    assert_eq!(Schedule::default().check(false), Ok(()));
    assert_eq!(fields(Schedule::default().check(true)), ["entries"]);
    assert_eq!(working_thursday().check(true), Ok(()));
    let same = entry(THU, "08:00", THU, "08:00");
    assert_eq!(
        fields(schedule("UTC", &[same]).check(true)),
        ["entries.0.end_time"]
    );
    assert_eq!(
        fields(schedule("CEST5", &[entry(THU, "08:00", FRI, "08:00")]).check(true)),
        ["timezone"]
    );
    let wrong = ScheduleEntry {
        start_day: 7,
        start_minute: 1440,
        end_day: 8,
        end_minute: 1441,
    };
    assert_eq!(
        fields(schedule("UTC", &[wrong]).check(true)),
        [
            "entries.0.start_day",
            "entries.0.end_day",
            "entries.0.start_time",
            "entries.0.end_time"
        ]
    );
    let one = entry(THU, "08:00", THU, "17:00");
    assert_eq!(schedule("UTC", &vec![one; 672]).check(true), Ok(()));
    assert_eq!(
        fields(schedule("UTC", &vec![one; 673]).check(true)),
        ["entries"]
    );
}

#[test]
fn times_are_read_and_written_as_hours_and_minutes() {
    for (text, minute) in [
        ("00:00", Some(0)),
        ("08:05", Some(485)),
        ("23:59", Some(1439)),
        ("24:00", None),
        ("12:60", None),
        ("99:99", None),
        ("8:00", None),
        ("08:00 ", None),
        ("08.00", None),
        ("0a:00", None),
        ("+8:00", None),
        ("", None),
        ("٠٨:٠٠", None),
    ] {
        assert_eq!(parse_time(text), minute, "{text}");
        if let Some(minute) = minute {
            assert_eq!(format_time(minute), text);
        }
    }
}

/// POL-09
#[test]
fn a_body_is_read_strictly_and_written_back_the_same() {
    let body = json!({
        "timezone": "Europe/Berlin",
        "entries": [{"start_day": 4, "start_time": "18:00", "end_day": 0, "end_time": "08:00"}],
    });
    let read = Schedule::from_body(body.as_object().expect("an object")).expect("a schedule");
    assert_eq!(
        read,
        schedule("Europe/Berlin", &[entry(FRI, "18:00", MON, "08:00")])
    );
    assert_eq!(serde_json::Value::Object(read.to_body()), body);

    let wrong = json!({
        "timezone": 1,
        "zone": "UTC",
        "entries": [
            {"start_day": 7, "start_time": "24:00", "end_day": "1", "end_time": 800, "id": 3},
            "Monday",
        ],
    });
    let mut wrong = fields(Schedule::from_body(wrong.as_object().expect("an object")));
    wrong.sort();
    assert_eq!(
        wrong,
        [
            "entries.0.end_day",
            "entries.0.end_time",
            "entries.0.id",
            "entries.0.start_day",
            "entries.0.start_time",
            "entries.1",
            "timezone",
            "zone"
        ]
    );
    let no_list = json!({"entries": {}, "override_allowed": 1});
    let mut no_list = fields(Schedule::from_body(no_list.as_object().expect("an object")));
    no_list.sort();
    assert_eq!(no_list, ["entries", "override_allowed", "timezone"]);
}
