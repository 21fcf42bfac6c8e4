//! Which sessions a report is about (REP-09 to REP-23).

use domain::ids::Lsid;
use domain::{Timestamp, time};

/// Which sessions.
#[derive(Clone, Debug, PartialEq)]
pub enum SessionQuery {
    /// Begun in the interval, those in progress too (REP-11, REP-12).
    StartedIn(Interval),
    /// Ended in the interval: never one in progress, nor one closed abnormally, which has no end time (REP-13, REP-21).
    EndedIn(Interval),
    /// These, as far as they are there (REP-23). At most [`SessionQuery::LSIDS_MAX`] are looked at.
    Lsids(Vec<Lsid>),
}

impl SessionQuery {
    /// Most ids in one query.
    pub const LSIDS_MAX: usize = 10_000;

    /// Every session.
    #[must_use]
    pub const fn everything() -> Self {
        Self::StartedIn(Interval {
            from: Timestamp(i64::MIN),
            until: None,
        })
    }
}

/// A span of time: from an instant, inclusive, until another, exclusive (REP-17).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// The first instant inside.
    pub from: Timestamp,
    /// The first instant after; none is the present (REP-16).
    pub until: Option<Timestamp>,
}

impl Interval {
    /// `days` days of UTC from the midnight `from`; 0 is until the present (REP-15, REP-16, REP-19).
    #[must_use]
    pub const fn of_days(from: Timestamp, days: u32) -> Self {
        Self::of(from, days, time::DAY)
    }

    /// `seconds` seconds from `from`; 0 is until the present (REP-15, REP-16).
    #[must_use]
    pub const fn of_seconds(from: Timestamp, seconds: u32) -> Self {
        Self::of(from, seconds, time::SECOND)
    }

    const fn of(from: Timestamp, count: u32, unit: i64) -> Self {
        let until = match count {
            0 => None,
            // At most 2^32 days: 3.7e20 microseconds would overflow, so it saturates at the end of time.
            count => Some(from.plus((count as i64).saturating_mul(unit))),
        };
        Self { from, until }
    }
}

/// Where a page of a report ended; the next begins behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PageKey {
    /// When the last session of the page began.
    pub started_at: Timestamp,
    /// Which it was.
    pub lsid: Lsid,
}

#[cfg(test)]
mod tests {
    use super::*;

    const JULY_2016: Timestamp = Timestamp::from_unix_seconds(1_467_331_200);

    /// REP-15, REP-16, REP-17, REP-18
    #[test]
    fn an_interval_ends_where_its_duration_says() {
        let eight = Timestamp::from_unix_seconds(1_467_360_000);
        // interval, its end in UNIX seconds
        let table = [
            (Interval::of_days(JULY_2016, 31), Some(1_470_009_600)),
            (Interval::of_days(JULY_2016, 1), Some(1_467_417_600)),
            (Interval::of_days(JULY_2016, 0), None),
            (Interval::of_seconds(eight, 36_000), Some(1_467_396_000)),
            (Interval::of_seconds(eight, 0), None),
        ];
        for (interval, until) in table {
            assert_eq!(interval.until.map(Timestamp::unix_seconds), until);
        }
        assert_eq!(
            Interval::of_days(JULY_2016, u32::MAX).until,
            Some(Timestamp(i64::MAX))
        );
    }
}
