//! Week schedules in a time zone: when a Jump Policy permits a session (POL-08 to POL-14, POL-17, POL-55).
//!
//! Entries are wall-clock rules; they wrap over midnight and the week's end (POL-10), start inclusive, end exclusive
//! (POL-11), and count as their union (POL-55).
//!
//! How the two clock changes are read:
//!
//! - Wall times that the clock **leaps over** do not exist. An entry that starts among them starts at the first instant
//!   after the leap; one that ends among them ends at the leap; one that lies there as a whole does not happen that day.
//! - Wall times that the clock **shows twice** are two instants. An entry starts at the first of the two and ends at the
//!   second. So the night of the change never closes early, and never closes and opens again inside one entry. What this
//!   gives away is less than the repeated hour.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::{GapInfo, Tz};
use serde::{Deserialize, Serialize};

use crate::{FieldErrors, Refusal, Timestamp, time};

mod body;
#[cfg(test)]
mod tests;

pub use body::{format_time, parse_time};

/// One stretch of the week. Days count 0 = Monday to 6 = Sunday; minutes count from midnight.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
pub struct ScheduleEntry {
    /// Day of the week it starts on, 0 to 6.
    pub start_day: u8,
    /// Minutes after midnight it starts at, 0 to 1439.
    pub start_minute: u16,
    /// Day of the week it ends on, 0 to 6.
    pub end_day: u8,
    /// Minutes after midnight it ends before, 0 to 1439.
    pub end_minute: u16,
}

/// When sessions are permitted.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
pub struct Schedule {
    /// IANA name of the zone that the entries are read in, such as `Europe/Berlin` (POL-09).
    pub timezone: String,
    /// The stretches; their union counts.
    pub entries: Vec<ScheduleEntry>,
    /// Whether users may go on outside it, knowing that it says no (POL-16); an addition of ours, off by default.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub override_allowed: bool,
}

impl Default for Schedule {
    /// Never open, in UTC.
    fn default() -> Self {
        Self {
            timezone: "UTC".to_owned(),
            entries: Vec::new(),
            override_allowed: false,
        }
    }
}

/// Most entries of one schedule: every quarter of an hour of a week has room.
pub const ENTRIES_MAX: usize = 672;

/// How far ahead [`Schedule::closes_after`] looks, in microseconds: a schedule that is open for longer, as one that covers
/// the whole week is, closes that far from now, and so at every time it is asked.
pub const HORIZON: i64 = 3_650 * time::DAY;

const DAY_MINUTES: u32 = 1_440;
const WEEK_MINUTES: u32 = 7 * DAY_MINUTES;

/// Weeks to look through for the next opening: an entry that the clock leaps over one day of the year comes again in the
/// next week, so this is more than is ever needed.
const WEEKS_AHEAD: i64 = 54;

/// Outside these the calendar can't be asked safely: the years 1 and 9990.
const TIME_MIN: Timestamp = Timestamp(-62_135_596_800 * time::SECOND);
const TIME_MAX: Timestamp = Timestamp(253_086_000_000 * time::SECOND);

impl Schedule {
    /// Whether the schedule can be kept as it is: a zone that exists, days and times in range, no entry of zero length
    /// (POL-55), at least one entry if `enabled`.
    ///
    /// # Errors
    /// The members that are not right, as `timezone` and `entries.<n>.<member>`.
    pub fn check(&self, enabled: bool) -> Result<(), Refusal> {
        let mut errors = FieldErrors::default();
        if self.timezone.parse::<Tz>().is_err() {
            errors.push(
                "timezone",
                "The timezone must be an IANA time zone such as Europe/Berlin.",
            );
        }
        if enabled && self.entries.is_empty() {
            errors.push("entries", "An enabled schedule needs at least one entry.");
        }
        if self.entries.len() > ENTRIES_MAX {
            errors.push(
                "entries",
                format!("The entries field must not have more than {ENTRIES_MAX} members."),
            );
        }
        for (index, entry) in self.entries.iter().take(ENTRIES_MAX).enumerate() {
            entry.check(index, &mut errors);
        }
        errors.into_result(())
    }

    /// Whether a session may start at `at` (POL-11, POL-12). One that can't be read is closed.
    #[must_use]
    pub fn is_open(&self, at: Timestamp) -> bool {
        self.week()
            .is_some_and(|week| week.is_always_open() || week.stretch_at(at).is_some())
    }

    /// The first instant from `at` on at which the schedule is open; `at` itself if it is. None if it never opens.
    #[must_use]
    pub fn next_open(&self, at: Timestamp) -> Option<Timestamp> {
        let week = self.week()?;
        if week.is_always_open() || week.stretch_at(at).is_some() {
            return Some(at);
        }
        week.opening_after(at)
    }

    /// When the stretch that `at` lies in ends, entries that touch or overlap counted as one (POL-17); none if closed.
    ///
    /// At most [`HORIZON`] from `at`.
    #[must_use]
    pub fn closes_after(&self, at: Timestamp) -> Option<Timestamp> {
        let week = self.week()?;
        let horizon = at.plus(HORIZON);
        if week.is_always_open() {
            return Some(horizon);
        }
        let mut closes = week.stretch_at(at)?;
        // Stretches of one week never touch, but a clock change can make them.
        while closes < horizon {
            match week.stretch_at(closes) {
                Some(later) => closes = later,
                None => return Some(closes),
            }
        }
        Some(horizon)
    }

    fn week(&self) -> Option<Week> {
        let zone = self.timezone.parse().ok()?;
        Some(Week {
            zone,
            spans: union(
                self.entries
                    .iter()
                    .filter_map(ScheduleEntry::span)
                    .collect(),
            ),
        })
    }
}

impl ScheduleEntry {
    fn check(&self, index: usize, errors: &mut FieldErrors) {
        let mut wrong = |member: &str, message: &str| {
            errors.push(format!("entries.{index}.{member}"), message);
        };
        if self.start_day > 6 {
            wrong("start_day", "The start_day must be between 0 and 6.");
        }
        if self.end_day > 6 {
            wrong("end_day", "The end_day must be between 0 and 6.");
        }
        if self.start_minute > 1439 {
            wrong(
                "start_time",
                "The start_time must be between 00:00 and 23:59.",
            );
        }
        if self.end_minute > 1439 {
            wrong("end_time", "The end_time must be between 00:00 and 23:59.");
        }
        if (self.start_day, self.start_minute) == (self.end_day, self.end_minute) {
            wrong("end_time", "An entry must not end when it starts.");
        }
    }

    /// The stretch in minutes from Monday 00:00; its end may lie beyond the week. None for what [`Schedule::check`] refuses.
    fn span(&self) -> Option<Span> {
        let minute = |day: u8, minute: u16| {
            (day <= 6 && minute <= 1439).then(|| u32::from(day) * DAY_MINUTES + u32::from(minute))
        };
        let start = minute(self.start_day, self.start_minute)?;
        let end = minute(self.end_day, self.end_minute)?;
        let length = (WEEK_MINUTES + end - start) % WEEK_MINUTES;
        (length > 0).then_some(Span {
            start,
            end: start + length,
        })
    }
}

/// A stretch of wall-clock minutes from Monday 00:00: starts inside the week, may end in the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    start: u32,
    end: u32,
}

/// Makes one span of those that touch or overlap, over the week's end too.
fn union(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable();
    let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => merged.push(span),
        }
    }
    while let [first, .., last] = merged.as_mut_slice()
        && first.start + WEEK_MINUTES <= last.end
    {
        last.end = last.end.max(first.end + WEEK_MINUTES);
        merged.remove(0);
    }
    merged
}

/// A schedule made ready to be asked: spans that neither touch nor overlap.
struct Week {
    zone: Tz,
    spans: Vec<Span>,
}

impl Week {
    fn is_always_open(&self) -> bool {
        matches!(self.spans.as_slice(), [only] if only.end - only.start >= WEEK_MINUTES)
    }

    /// When the stretch that `at` lies in ends.
    fn stretch_at(&self, at: Timestamp) -> Option<Timestamp> {
        // A stretch is shorter than a week, so it began in this wall-clock week or the one before. One week more on each
        // side is for zones that leap over the date line.
        self.stretches(at, -2..=1)
            .filter(|(start, end)| *start <= at && at < *end)
            .map(|(_, end)| end)
            .max()
    }

    fn opening_after(&self, at: Timestamp) -> Option<Timestamp> {
        (-1..=WEEKS_AHEAD).find_map(|week| {
            self.stretches(at, week..=week)
                .filter(|(start, end)| at < *start && start < end)
                .map(|(start, _)| start)
                .min()
        })
    }

    /// The stretches as instants, of the wall-clock weeks `weeks` counted from the one that `at` lies in.
    fn stretches(
        &self,
        at: Timestamp,
        weeks: std::ops::RangeInclusive<i64>,
    ) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        let monday = self.monday_before(at);
        weeks
            .filter_map(move |week| monday?.checked_add_signed(TimeDelta::weeks(week)))
            .flat_map(move |monday| {
                self.spans.iter().filter_map(move |span| {
                    let start = wall_time(monday, span.start)?;
                    let end = wall_time(monday, span.end)?;
                    Some((self.first(start)?, self.last(end)?))
                })
            })
    }

    fn monday_before(&self, at: Timestamp) -> Option<NaiveDate> {
        if !(TIME_MIN..TIME_MAX).contains(&at) {
            return None;
        }
        let date = at.to_utc().with_timezone(&self.zone).date_naive();
        let days = i64::from(date.weekday().num_days_from_monday());
        date.checked_sub_signed(TimeDelta::days(days))
    }

    /// The first instant at which the wall clock shows `wall` or more.
    fn first(&self, wall: NaiveDateTime) -> Option<Timestamp> {
        match self.zone.from_local_datetime(&wall).earliest() {
            Some(instant) => Some(timestamp(instant)),
            None => self.leap_over(wall),
        }
    }

    /// The instant after the last one at which the wall clock shows less than `wall`.
    fn last(&self, wall: NaiveDateTime) -> Option<Timestamp> {
        // Asked a moment before: where the clock goes back to exactly `wall`, nothing less is ever shown again.
        let before = wall.checked_sub_signed(TimeDelta::seconds(1))?;
        match self.zone.from_local_datetime(&before).latest() {
            Some(instant) => Some(timestamp(instant).plus(time::SECOND)),
            None => self.leap_over(before),
        }
    }

    /// The instant at which the clock leaps over `wall`.
    fn leap_over(&self, wall: NaiveDateTime) -> Option<Timestamp> {
        GapInfo::new(&wall, &self.zone)?.end.map(timestamp)
    }
}

fn timestamp(instant: DateTime<Tz>) -> Timestamp {
    Timestamp::from_utc(instant.with_timezone(&Utc))
}

fn wall_time(monday: NaiveDate, minutes: u32) -> Option<NaiveDateTime> {
    NaiveDateTime::from(monday).checked_add_signed(TimeDelta::minutes(i64::from(minutes)))
}
