//! The schedule arithmetic against a walk, minute by minute, that only ever asks what the wall clock shows.

use std::sync::LazyLock;

use chrono::{Datelike, NaiveDate, NaiveDateTime, TimeDelta};
use chrono_tz::Tz;
use proptest::prelude::*;

use super::super::{Schedule, ScheduleEntry};
use super::at;
use crate::Timestamp;
use crate::time::{DAY, MINUTE};

/// Zones with the Sundays (or whatever day it is) around which their clocks change, and ordinary ones.
const ZONES: &[(&str, &[&str])] = &[
    (
        "Europe/Berlin",
        &["2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z"],
    ),
    (
        "America/New_York",
        &["2026-03-08T07:00:00Z", "2026-11-01T06:00:00Z"],
    ),
    (
        "Australia/Lord_Howe",
        &["2026-04-04T15:00:00Z", "2026-10-03T15:30:00Z"],
    ),
    ("Asia/Kolkata", &["2026-03-29T01:00:00Z"]),
    ("UTC", &["2026-03-29T01:00:00Z"]),
    (
        "Africa/Casablanca",
        &["2026-02-15T02:00:00Z", "2026-03-22T02:00:00Z"],
    ),
];

/// Days before and after the change that the walk knows.
const DAYS_AROUND: i64 = 10;
/// Days around the change in which the two are compared; the rest is for stretches that reach in from outside.
const DAYS_COMPARED: i64 = 2;

/// What the wall clock shows in every minute around every clock change, in the order of [`ZONES`].
static WALLS: LazyLock<Vec<Wall>> = LazyLock::new(|| {
    ZONES
        .iter()
        .flat_map(|(zone, changes)| changes.iter().map(|change| Wall::around(zone, at(change))))
        .collect()
});

struct Wall {
    zone: &'static str,
    change: Timestamp,
    from: Timestamp,
    shown: Vec<NaiveDateTime>,
}

impl Wall {
    fn around(zone: &'static str, change: Timestamp) -> Self {
        let from = change.plus(-DAYS_AROUND * DAY);
        let named: Tz = zone.parse().expect("a zone");
        let show = |minute| {
            let instant = from.plus(minute * MINUTE).to_utc();
            instant.with_timezone(&named).naive_local()
        };
        Self {
            zone,
            change,
            from,
            shown: (0..2 * DAYS_AROUND * 24 * 60).map(show).collect(),
        }
    }
}

/// Whether the schedule is open in each minute: an entry's stretch goes from the first minute whose wall clock shows its start
/// or more, to the last minute whose wall clock shows less than its end.
struct Walk {
    from: Timestamp,
    open: Vec<bool>,
}

impl Walk {
    fn over(wall: &Wall, entries: &[ScheduleEntry]) -> Self {
        let from = wall.from;
        let wall = &wall.shown;
        let mut open = vec![false; wall.len()];
        let first_day = wall[0].date() - TimeDelta::days(8);
        for entry in entries {
            let mut day = first_day;
            while day <= wall[wall.len() - 1].date() {
                if day.weekday().num_days_from_monday() == u32::from(entry.start_day) {
                    let (start, end) = stretch(*entry, day);
                    let opens = wall.iter().position(|shown| *shown >= start);
                    let closes = wall.iter().rposition(|shown| *shown < end);
                    if let (Some(opens), Some(closes)) = (opens, closes) {
                        (opens..=closes).for_each(|minute| open[minute] = true);
                    }
                }
                day = day.succ_opt().expect("a day after");
            }
        }
        Self { from, open }
    }

    fn minute(&self, at: Timestamp) -> usize {
        usize::try_from(at.since(self.from) / MINUTE).expect("inside the walk")
    }

    fn is_open(&self, at: Timestamp) -> bool {
        self.open[self.minute(at)]
    }

    /// The first minute from `at` on in which `open`; none if the walk ends before.
    fn next(&self, at: Timestamp, open: bool) -> Option<Timestamp> {
        let now = self.minute(at);
        let minutes = self.open[now..].iter().position(|o| *o == open)?;
        Some(self.from.plus((now + minutes) as i64 * MINUTE))
    }
}

fn stretch(entry: ScheduleEntry, day: NaiveDate) -> (NaiveDateTime, NaiveDateTime) {
    let start = NaiveDateTime::from(day) + TimeDelta::minutes(i64::from(entry.start_minute));
    let mut end_day = day;
    loop {
        let end = NaiveDateTime::from(end_day) + TimeDelta::minutes(i64::from(entry.end_minute));
        let weekday = end_day.weekday().num_days_from_monday();
        if weekday == u32::from(entry.end_day) && end > start {
            return (start, end);
        }
        end_day = end_day.succ_opt().expect("a day after");
    }
}

/// Entries with ends where clock changes happen more often than elsewhere.
fn entries() -> impl Strategy<Value = Vec<ScheduleEntry>> {
    let minute = prop_oneof![
        1 => 0..1440_u16,
        3 => (0..16_u16).prop_map(|quarter| quarter * 15),
        2 => 60..240_u16,
    ];
    let day = prop_oneof![2 => Just(6_u8), 1 => Just(5_u8), 1 => Just(0_u8), 2 => 0..7_u8];
    let entry = (day.clone(), minute.clone(), day, minute).prop_map(
        |(start_day, start_minute, end_day, end_minute)| ScheduleEntry {
            start_day,
            start_minute,
            end_day,
            end_minute,
        },
    );
    let entry = entry.prop_filter("zero length", |entry| {
        (entry.start_day, entry.start_minute) != (entry.end_day, entry.end_minute)
    });
    prop::collection::vec(entry, 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// POL-10, POL-11, POL-17, POL-55
    #[test]
    fn the_arithmetic_and_the_walk_agree_around_every_clock_change(entries in entries()) {
        for wall in WALLS.iter() {
            let Wall { zone, change, .. } = wall;
            let schedule = Schedule { timezone: (*zone).to_owned(), entries: entries.clone(), override_allowed: false };
            let walk = Walk::over(wall, &entries);
            let until = change.plus(DAYS_COMPARED * DAY);
            let mut instant = change.plus(-DAYS_COMPARED * DAY);
            // Every 31 minutes, and every change of state to the minute.
            while instant < until {
                let open = walk.is_open(instant);
                prop_assert_eq!(schedule.is_open(instant), open, "{} {}", zone, instant);
                prop_assert_eq!(
                    schedule.is_open(instant.plus(MINUTE - 1)), open, "{} {} + 1 min - 1 us", zone, instant
                );
                match walk.next(instant, !open) {
                    Some(turns) if open => {
                        prop_assert_eq!(schedule.closes_after(instant), Some(turns), "{} {}", zone, instant);
                    }
                    Some(turns) => {
                        prop_assert_eq!(schedule.next_open(instant), Some(turns), "{} {}", zone, instant);
                    }
                    None => prop_assert!(open, "{} never opens again after {}", zone, instant),
                }
                instant = walk
                    .next(instant, !open)
                    .unwrap_or(until)
                    .min(instant.plus(31 * MINUTE));
            }
        }
    }
}
