//! Cron expressions in a time zone.
//!
//! The cron crate is asked for wall-clock times only, and each is put into the zone here: one that falls into the gap
//! of a clock change runs at the first instant after the gap, one that comes twice runs the first time. Asked with a
//! zone, the crate skips the gap's run and doubles the overlap's.

use std::str::FromStr;

use chrono::{DateTime, Duration, LocalResult, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;
use domain::Timestamp;

/// Longest gap of a clock change that is looked over: whole days were skipped at the date line.
const GAP_MINUTES_MAX: i64 = 26 * 60;

/// A cron expression with seconds (`sec min hour day month weekday [year]`), read in a zone.
#[derive(Clone)]
pub struct CronSchedule {
    cron: cron::Schedule,
    zone: Tz,
}

/// The expression can't be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "{expression:?} is no cron expression with seconds, such as \"0 30 3 * * *\" for half past three every day"
)]
pub struct NotACronExpression {
    expression: String,
}

impl CronSchedule {
    /// Reads `expression` in `zone`.
    ///
    /// # Errors
    /// It can't be read.
    pub fn parse(expression: &str, zone: Tz) -> Result<Self, NotACronExpression> {
        let cron = cron::Schedule::from_str(expression).map_err(|_| NotACronExpression {
            expression: expression.to_owned(),
        })?;
        Ok(Self { cron, zone })
    }

    /// The first run after `after`; none if there is none in this or the next centuries.
    #[must_use]
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let after = after.to_utc();
        let wall_clock = after.with_timezone(&self.zone).naive_local();
        // A wall-clock time that is not later never stands for a later instant: what comes twice runs the first time.
        self.cron
            .after(&wall_clock.and_utc())
            .filter_map(|time| instant_of(self.zone, time.naive_utc()))
            .find(|instant| *instant > after)
            .map(Timestamp::from_utc)
    }
}

/// When a clock in `zone` first shows `time`, or, if it never does, the first instant after the gap.
fn instant_of(zone: Tz, time: NaiveDateTime) -> Option<DateTime<Utc>> {
    match zone.from_local_datetime(&time) {
        LocalResult::Single(instant) => Some(instant.to_utc()),
        LocalResult::Ambiguous(first, _) => Some(first.to_utc()),
        LocalResult::None => {
            let minute = time - Duration::seconds(time.and_utc().timestamp().rem_euclid(60));
            (1..=GAP_MINUTES_MAX).find_map(|minutes| {
                zone.from_local_datetime(&(minute + Duration::minutes(minutes)))
                    .earliest()
                    .map(|instant| instant.to_utc())
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(expression: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let schedule = CronSchedule::parse(expression, zone.parse().unwrap()).unwrap();
        let mut at = Timestamp::parse_rfc3339_utc(after).unwrap();
        let mut runs = Vec::new();
        while runs.len() < count {
            at = schedule.next_after(at).unwrap();
            runs.push(at.to_rfc3339().replace("+00:00", "Z"));
        }
        runs
    }

    #[test]
    fn in_the_spring_gap_a_run_comes_at_the_first_instant_after_it_and_once() {
        // Berlin, 2026-03-29: 02:00 becomes 03:00 at 01:00 UTC.
        assert_eq!(
            runs("0 30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3),
            [
                "2026-03-28T01:30:00Z",
                "2026-03-29T01:00:00Z",
                "2026-03-30T00:30:00Z"
            ]
        );
        assert_eq!(
            runs("0 */20 * * * *", "Europe/Berlin", "2026-03-29T00:30:00Z", 4),
            [
                "2026-03-29T00:40:00Z",
                // 02:00, 02:20, 02:40 and 03:00 are the same instant.
                "2026-03-29T01:00:00Z",
                "2026-03-29T01:20:00Z",
                "2026-03-29T01:40:00Z",
            ]
        );
    }

    #[test]
    fn in_the_autumn_overlap_a_run_comes_the_first_time_only_and_time_never_goes_back() {
        // Berlin, 2026-10-25: 03:00 becomes 02:00 at 01:00 UTC.
        assert_eq!(
            runs("0 30 2 * * *", "Europe/Berlin", "2026-10-24T00:00:00Z", 3),
            [
                "2026-10-24T00:30:00Z",
                "2026-10-25T00:30:00Z",
                "2026-10-26T01:30:00Z"
            ]
        );
        // Asked in the middle of the second pass.
        assert_eq!(
            runs("0 30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", 1),
            ["2026-10-26T01:30:00Z"]
        );
        let hourly = runs("0 0 * * * *", "Europe/Berlin", "2026-10-24T22:30:00Z", 4);
        assert_eq!(
            hourly,
            // The second 02:00 has no run of its own.
            [
                "2026-10-24T23:00:00Z",
                "2026-10-25T00:00:00Z",
                "2026-10-25T02:00:00Z",
                "2026-10-25T03:00:00Z",
            ]
        );
    }

    #[test]
    fn other_zones_and_gaps() {
        // Lord Howe, 2026-10-04: half an hour, 02:00 becomes 02:30 at 15:30 UTC the day before.
        assert_eq!(
            runs(
                "0 10 2 * * *",
                "Australia/Lord_Howe",
                "2026-10-03T12:00:00Z",
                1
            ),
            ["2026-10-03T15:30:00Z"]
        );
        // Samoa had no 30 December 2011.
        assert_eq!(
            runs(
                "0 0 12 30 12 * 2011",
                "Pacific/Apia",
                "2011-12-01T00:00:00Z",
                1
            ),
            ["2011-12-30T10:00:00Z"]
        );
        assert_eq!(
            runs("0 0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", 1),
            ["2028-02-29T00:00:00Z"]
        );
    }

    #[test]
    fn what_never_comes_is_none_and_nonsense_is_named() {
        let past = CronSchedule::parse("0 0 0 1 1 * 2020", Tz::UTC).unwrap();
        assert_eq!(
            past.next_after(Timestamp::from_unix_seconds(1_800_000_000)),
            None
        );
        let error = CronSchedule::parse("every day", Tz::UTC).err().unwrap();
        assert!(error.to_string().contains("every day"));
    }
}
