//! What a reporting call asks for: the report, and by which of the legal parameter sets (REP-04, REP-09 to REP-23).

use domain::ids::Lsid;
use domain::{Timestamp, time};
use projections::{Interval, SessionQuery};

use crate::access::Permission;
use crate::form::Parameters;

/// Most session ids in `lsids`.
pub const LSIDS_MAX: usize = 1_000;

/// The published reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// Sessions with all that happened in them.
    AccessSession,
    /// Sessions by id only.
    AccessSessionListing,
    /// A published report that this version can't make yet.
    NotYet(&'static str),
}

/// Every published report with the permission it needs (REP-04, REP-05, REP-65, REP-73).
const REPORTS: &[(&str, Permission)] = &[
    ("AccessSession", Permission::ReportingSupport),
    ("AccessSessionListing", Permission::ReportingSupport),
    ("AccessSessionRecording", Permission::ReportingSupport),
    ("AccessSessionSummary", Permission::ReportingSupport),
    ("CommandShellRecording", Permission::ReportingSupport),
    ("UserRecording", Permission::ReportingSupport),
    ("Team", Permission::ReportingSupport),
    ("EndpointLicenseUsage", Permission::ReportingLicense),
    ("VaultAccountActivity", Permission::ReportingVault),
];

impl Report {
    /// The report that `generate_report` names, with the permission it needs.
    ///
    /// # Errors
    /// What is wrong with the parameter.
    pub fn named(parameters: &Parameters) -> Result<(Self, Permission), Unclear> {
        let name = parameters
            .get("generate_report")
            .ok_or(Unclear::NoReportNamed)?;
        let (name, permission) = REPORTS
            .iter()
            .find(|(known, _)| *known == name)
            .ok_or(Unclear::UnknownReport)?;
        let report = match *name {
            "AccessSession" => Self::AccessSession,
            "AccessSessionListing" => Self::AccessSessionListing,
            other => Self::NotYet(other),
        };
        Ok((report, *permission))
    }
}

/// Which sessions.
#[derive(Clone, Debug, PartialEq)]
pub enum Selected {
    /// One that must be there.
    One(Lsid),
    /// As many as there are of a stretch of time, or of a list of ids.
    Any(SessionQuery),
}

/// Why a call can't be run; the text is for the caller (REP-08).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unclear {
    /// No `generate_report`.
    #[error("The parameter generate_report is required.")]
    NoReportNamed,
    /// A report that is not published.
    #[error("The report is not known.")]
    UnknownReport,
    /// The session is not there, or the id is none. The words are those of real sites (REP-23).
    #[error("Invalid lsid.")]
    InvalidLsid,
    /// More than [`LSIDS_MAX`] ids.
    #[error("The parameter lsids must not name more than {LSIDS_MAX} sessions.")]
    TooManyLsids,
    /// Ids beside a time set, or both forms of ids.
    #[error("Give either lsid, lsids, or one set of start or end parameters with duration.")]
    MixedSets,
    /// The report takes no ids (REP-55).
    #[error("This report does not accept lsid or lsids.")]
    NoLsids,
    /// Start and end parameters together (REP-10).
    #[error("Give either start_date or start_time, or end_date or end_time, not both.")]
    StartAndEnd,
    /// No time parameter at all (REP-10).
    #[error("One of start_date, start_time, end_date and end_time is required.")]
    NoTime,
    /// A time parameter without its duration (REP-10).
    #[error("The parameter duration is required.")]
    NoDuration,
    /// Not a date (REP-22).
    #[error("The parameter {0} must be a date of the form YYYY-MM-DD.")]
    BadDate(&'static str),
    /// Not a UNIX time (REP-22).
    #[error("The parameter {0} must be a UNIX time in seconds.")]
    BadTime(&'static str),
    /// Negative or no integer (REP-22).
    #[error("The parameter duration must be an integer of 0 or more.")]
    BadDuration,
}

impl Selected {
    /// Reads the parameter set of a report that takes ids as well as times: AccessSession (REP-23).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn by_id_or_time(parameters: &Parameters) -> Result<Self, Unclear> {
        let timed = TIME_PARAMETERS.iter().any(|name| parameters.has(name));
        match (parameters.get("lsid"), parameters.get("lsids")) {
            (None, None) => read_time_set(parameters).map(Self::Any),
            (Some(_), Some(_)) => Err(Unclear::MixedSets),
            _ if timed => Err(Unclear::MixedSets),
            (Some(lsid), None) => lsid
                .trim()
                .parse()
                .map(Self::One)
                .map_err(|_| Unclear::InvalidLsid),
            (None, Some(lsids)) => read_lsids(lsids).map(SessionQuery::Lsids).map(Self::Any),
        }
    }
}

/// Reads the parameter set of a report that takes times only: AccessSessionListing (REP-55).
///
/// # Errors
/// What is wrong with it.
pub fn by_time(parameters: &Parameters) -> Result<SessionQuery, Unclear> {
    if parameters.has("lsid") || parameters.has("lsids") {
        return Err(Unclear::NoLsids);
    }
    read_time_set(parameters)
}

/// Ids that are none name no session and are left out, like unknown ones (REP-23).
fn read_lsids(text: &str) -> Result<Vec<Lsid>, Unclear> {
    let mut lsids: Vec<Lsid> = Vec::new();
    for (index, part) in text.split(',').enumerate() {
        if index == LSIDS_MAX {
            return Err(Unclear::TooManyLsids);
        }
        if let Ok(lsid) = part.trim().parse() {
            lsids.push(lsid);
        }
    }
    lsids.sort_unstable();
    lsids.dedup();
    Ok(lsids)
}

const TIME_PARAMETERS: [&str; 4] = ["start_date", "start_time", "end_date", "end_time"];

fn read_time_set(parameters: &Parameters) -> Result<SessionQuery, Unclear> {
    let start = Bound::read(parameters, "start_date", "start_time")?;
    let end = Bound::read(parameters, "end_date", "end_time")?;
    match (start, end) {
        (Some(_), Some(_)) => Err(Unclear::StartAndEnd),
        (Some(start), None) => start.interval(parameters).map(SessionQuery::StartedIn),
        (None, Some(end)) => end.interval(parameters).map(SessionQuery::EndedIn),
        (None, None) => Err(Unclear::NoTime),
    }
}

struct Bound {
    from: Timestamp,
    /// Microseconds (REP-15).
    duration_unit: i64,
}

impl Bound {
    /// Reads a date and a time of the same end; where both are given the time wins (REP-10).
    fn read(
        parameters: &Parameters,
        date_name: &'static str,
        time_name: &'static str,
    ) -> Result<Option<Self>, Unclear> {
        let date = parameters
            .get(date_name)
            .map(|text| day(text).ok_or(Unclear::BadDate(date_name)))
            .transpose()?;
        let moment = parameters
            .get(time_name)
            .map(|text| natural(text).ok_or(Unclear::BadTime(time_name)))
            .transpose()?;
        let at = |from, duration_unit| {
            Some(Self {
                from,
                duration_unit,
            })
        };
        Ok(match (moment, date) {
            (Some(seconds), _) => at(Timestamp::from_unix_seconds(seconds), time::SECOND),
            (None, Some(day)) => at(day, time::DAY),
            (None, None) => None,
        })
    }

    fn interval(self, parameters: &Parameters) -> Result<Interval, Unclear> {
        let duration = parameters.get("duration").ok_or(Unclear::NoDuration)?;
        let duration = natural(duration).ok_or(Unclear::BadDuration)?;
        // 0 is until the present (REP-16).
        let length = (duration > 0).then(|| duration.saturating_mul(self.duration_unit));
        Ok(Interval {
            from: self.from,
            until: length.map(|length| self.from.plus(length)),
        })
    }
}

/// The first instant of a day in UTC (REP-19).
fn day(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let shape: Vec<&str> = text.split('-').collect();
    let [year, month, day] = shape.as_slice() else {
        return None;
    };
    let digits = [year, month, day]
        .into_iter()
        .all(|part| natural(part).is_some());
    if !digits || (year.len(), month.len(), day.len()) != (4, 2, 2) {
        return None;
    }
    let midnight = format!("{text}T00:00:00Z");
    Timestamp::parse_rfc3339_utc(&midnight)
}

/// An integer of digits alone.
fn natural(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(of: fn(Interval) -> SessionQuery, from: i64, until: Option<i64>) -> SessionQuery {
        of(Interval {
            from: Timestamp::from_unix_seconds(from),
            until: until.map(Timestamp::from_unix_seconds),
        })
    }

    const JULY: i64 = 1_467_331_200;
    const AUGUST: i64 = 1_470_009_600;

    /// REP-09 REP-10 REP-11 REP-12 REP-13 REP-14 REP-15 REP-16 REP-17 REP-18 REP-19
    #[test]
    fn a_time_set_names_a_stretch_of_time() {
        let both = [
            // parameters, expected
            (
                Parameters::from([("start_date", "2016-07-01"), ("duration", "31")]),
                span(SessionQuery::StartedIn, JULY, Some(AUGUST)),
            ),
            (
                Parameters::from([("end_date", "2016-07-01"), ("duration", "31")]),
                span(SessionQuery::EndedIn, JULY, Some(AUGUST)),
            ),
            (
                Parameters::from([("start_time", "1467360000"), ("duration", "36000")]),
                span(
                    SessionQuery::StartedIn,
                    JULY + 8 * 3600,
                    Some(JULY + 18 * 3600),
                ),
            ),
            (
                Parameters::from([("end_time", "1467360000"), ("duration", "36000")]),
                span(
                    SessionQuery::EndedIn,
                    JULY + 8 * 3600,
                    Some(JULY + 18 * 3600),
                ),
            ),
            (
                Parameters::from([("start_time", "1467360000"), ("duration", "0")]),
                span(SessionQuery::StartedIn, 1_467_360_000, None),
            ),
            (
                Parameters::from([
                    ("start_date", "2020-02-29"),
                    ("start_time", "1467360000"),
                    ("duration", "10"),
                ]),
                span(SessionQuery::StartedIn, 1_467_360_000, Some(1_467_360_010)),
            ),
            (
                Parameters::from([
                    ("end_date", "2020-02-29"),
                    ("end_time", "1467360000"),
                    ("duration", "0"),
                ]),
                span(SessionQuery::EndedIn, 1_467_360_000, None),
            ),
        ];
        for (parameters, expected) in both {
            assert_eq!(
                by_time(&parameters).as_ref(),
                Ok(&expected),
                "{parameters:?}"
            );
            assert_eq!(
                Selected::by_id_or_time(&parameters),
                Ok(Selected::Any(expected)),
                "{parameters:?}"
            );
        }
    }

    /// REP-10 REP-22
    #[test]
    fn an_illegal_time_set_says_what_is_wrong() {
        let day = ("start_date", "2016-07-01");
        let ten = ("duration", "10");
        for (parameters, why) in [
            (Parameters::from([]), Unclear::NoTime),
            (Parameters::from([ten]), Unclear::NoTime),
            (Parameters::from([day]), Unclear::NoDuration),
            (
                Parameters::from([day, ("end_date", "2016-07-01"), ten]),
                Unclear::StartAndEnd,
            ),
            (
                Parameters::from([day, ("end_time", "1"), ten]),
                Unclear::StartAndEnd,
            ),
            (
                Parameters::from([("start_date", "2016-02-30"), ten]),
                Unclear::BadDate("start_date"),
            ),
            (
                Parameters::from([("start_date", "01.07.2016"), ten]),
                Unclear::BadDate("start_date"),
            ),
            (
                Parameters::from([("end_date", "2016-7-1"), ten]),
                Unclear::BadDate("end_date"),
            ),
            (
                Parameters::from([("end_date", ""), ten]),
                Unclear::BadDate("end_date"),
            ),
            (
                Parameters::from([("start_time", "yesterday"), ten]),
                Unclear::BadTime("start_time"),
            ),
            (
                Parameters::from([("end_time", "-1"), ten]),
                Unclear::BadTime("end_time"),
            ),
            (
                Parameters::from([day, ("duration", "-1")]),
                Unclear::BadDuration,
            ),
            (
                Parameters::from([day, ("duration", "1.5")]),
                Unclear::BadDuration,
            ),
            (
                Parameters::from([day, ("duration", "")]),
                Unclear::BadDuration,
            ),
            (
                Parameters::from([day, ("duration", "99999999999999999999")]),
                Unclear::BadDuration,
            ),
        ] {
            assert_eq!(by_time(&parameters), Err(why), "{parameters:?}");
        }
    }

    #[test]
    fn the_end_of_time_is_not_passed() {
        let parameters = Parameters::from([
            ("start_date", "9999-12-31"),
            ("duration", "9223372036854775807"),
        ]);
        let Ok(SessionQuery::StartedIn(span)) = by_time(&parameters) else {
            panic!("a span");
        };
        assert_eq!(span.until, Some(Timestamp(i64::MAX)));
    }

    /// REP-23 REP-55
    #[test]
    fn sessions_are_named_by_id_only_where_the_report_takes_ids() {
        let one = "0123456789abcdef0123456789abcdef";
        let lsid: Lsid = one.parse().expect("an lsid");
        let cases = [
            (Parameters::from([("lsid", one)]), Ok(Selected::One(lsid))),
            (
                Parameters::from([("lsid", "nonsense")]),
                Err(Unclear::InvalidLsid),
            ),
            (Parameters::from([("lsid", "")]), Err(Unclear::InvalidLsid)),
            (
                Parameters::from([(
                    "lsids",
                    "0123456789abcdef0123456789abcdef, 1234567890123456789012345678901,x",
                )]),
                Ok(Selected::Any(SessionQuery::Lsids(vec![lsid]))),
            ),
            (
                Parameters::from([("lsid", one), ("lsids", one)]),
                Err(Unclear::MixedSets),
            ),
            (
                Parameters::from([("lsid", one), ("start_time", "1"), ("duration", "1")]),
                Err(Unclear::MixedSets),
            ),
        ];
        for (parameters, expected) in cases {
            assert_eq!(
                Selected::by_id_or_time(&parameters),
                expected,
                "{parameters:?}"
            );
            assert_eq!(
                by_time(&parameters),
                Err(Unclear::NoLsids),
                "{parameters:?}"
            );
        }
        let crowd = format!("{one},").repeat(LSIDS_MAX + 1);
        assert_eq!(
            Selected::by_id_or_time(&Parameters::from([("lsids", crowd.as_str())])),
            Err(Unclear::TooManyLsids)
        );
    }

    /// REP-04 REP-05
    #[test]
    fn every_published_report_is_known() {
        for name in [
            "AccessSession",
            "AccessSessionListing",
            "AccessSessionRecording",
            "Team",
            "AccessSessionSummary",
            "CommandShellRecording",
            "UserRecording",
            "EndpointLicenseUsage",
            "VaultAccountActivity",
        ] {
            assert!(Report::named(&Parameters::from([("generate_report", name)])).is_ok());
        }
        assert_eq!(
            Report::named(&Parameters::from([])),
            Err(Unclear::NoReportNamed)
        );
        assert_eq!(
            Report::named(&Parameters::from([("generate_report", "accesssession")])),
            Err(Unclear::UnknownReport)
        );
    }
}
