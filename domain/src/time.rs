//! Points in time: microseconds UTC, and their written forms.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};

/// A point in time.
///
/// Unit: microseconds since 1970-01-01T00:00:00Z. In events a plain integer.
#[derive(
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// Microseconds in a second.
pub const SECOND: i64 = 1_000_000;
/// Microseconds in a minute.
pub const MINUTE: i64 = 60 * SECOND;
/// Microseconds in an hour.
pub const HOUR: i64 = 60 * MINUTE;
/// How far the clocks of two nodes, or one clock before and after it was set, are believed to be apart at most: what was
/// handed out later than that from now was handed out by a clock that was wrong. Unit: microseconds.
pub const CLOCKS_APART_MAX: i64 = HOUR;
/// Microseconds in a day of 24 hours.
pub const DAY: i64 = 24 * HOUR;

impl Timestamp {
    /// The instant `seconds` after 1970-01-01T00:00:00Z; out of range saturates.
    #[must_use]
    pub const fn from_unix_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(SECOND))
    }

    /// Whole seconds since 1970-01-01T00:00:00Z, rounded down.
    #[must_use]
    pub const fn unix_seconds(self) -> i64 {
        self.0.div_euclid(SECOND)
    }

    /// This instant moved by `micros`; saturates at the ends of time.
    #[must_use]
    pub const fn plus(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// Microseconds from `earlier` to this instant; negative if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// As chrono's type; the far ends of time, which chrono can't hold, become its own ends.
    #[must_use]
    pub fn to_utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0).unwrap_or(if self.0 < 0 {
            DateTime::<Utc>::MIN_UTC
        } else {
            DateTime::<Utc>::MAX_UTC
        })
    }

    /// From chrono's type, cut to microseconds.
    #[must_use]
    pub fn from_utc(moment: DateTime<Utc>) -> Self {
        Self(moment.timestamp_micros())
    }

    /// The form of every API answer: RFC 3339, whole seconds, `+00:00` (config-api.md 2.1).
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        self.to_utc().to_rfc3339_opts(SecondsFormat::Secs, false)
    }

    /// Reads RFC 3339 with `Z` or `+00:00`; the fraction is ignored, every other offset is refused (config-api.md 2.1).
    #[must_use]
    pub fn parse_rfc3339_utc(text: &str) -> Option<Self> {
        let moment = DateTime::parse_from_rfc3339(text).ok()?;
        if moment.offset().local_minus_utc() != 0 || text.ends_with("-00:00") {
            return None;
        }
        Some(Self::from_unix_seconds(moment.timestamp()))
    }

    /// The day in UTC as `yyyymmdd`.
    #[must_use]
    pub fn day(self) -> u32 {
        use chrono::Datelike;
        let date = self.to_utc().date_naive();
        // Years outside 0..=9999 can't be reached by a clock; they fold into the ends.
        let year = u32::try_from(date.year().clamp(0, 9999)).unwrap_or(0);
        year * 10_000 + date.month() * 100 + date.day()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_utc().to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
