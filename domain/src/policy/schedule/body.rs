//! A schedule as the APIs write it: days as numbers, times as `HH:MM` (config-api.md, Schedule and ScheduleEntry).

use serde_json::{Map, Value, json};

use super::{ENTRIES_MAX, Schedule, ScheduleEntry};
use crate::record::Object;
use crate::{FieldErrors, Refusal};

/// Reads `HH:MM`, 00:00 to 23:59, as minutes after midnight; none for anything else.
#[must_use]
pub fn parse_time(text: &str) -> Option<u16> {
    let &[h1, h2, b':', m1, m2] = text.as_bytes() else {
        return None;
    };
    let number = |tens: u8, ones: u8| {
        (tens.is_ascii_digit() && ones.is_ascii_digit())
            .then(|| u16::from(tens - b'0') * 10 + u16::from(ones - b'0'))
    };
    let (hour, minute) = (number(h1, h2)?, number(m1, m2)?);
    (hour <= 23 && minute <= 59).then_some(hour * 60 + minute)
}

/// Writes minutes after midnight as `HH:MM`.
#[must_use]
pub fn format_time(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

impl Schedule {
    /// Reads the body `{"timezone": …, "entries": […], "override_allowed": …}`, the last of which may be left out.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] with every member that is unknown or not right, as `timezone` and `entries.<n>.<member>`. What a
    /// well-formed schedule may still lack, [`Schedule::check`] says.
    pub fn from_body(body: &Object) -> Result<Self, Refusal> {
        let mut errors = FieldErrors::default();
        let mut schedule = Self::default();
        for name in ["timezone", "entries"] {
            if !body.contains_key(name) {
                errors.push(name, format!("The {name} field is required."));
            }
        }
        for (name, value) in body {
            match (name.as_str(), value) {
                ("timezone", Value::String(zone)) => schedule.timezone.clone_from(zone),
                ("timezone", _) => errors.push(name, "The timezone field must be a string."),
                ("entries", Value::Array(entries)) if entries.len() > ENTRIES_MAX => errors.push(
                    name,
                    format!("The entries field must not have more than {ENTRIES_MAX} members."),
                ),
                ("entries", Value::Array(entries)) => {
                    schedule.entries = entries
                        .iter()
                        .enumerate()
                        .filter_map(|(index, entry)| read_entry(index, entry, &mut errors))
                        .collect();
                }
                ("entries", _) => {
                    errors.push(name, "The entries field must be an array of objects.");
                }
                ("override_allowed", Value::Bool(allowed)) => schedule.override_allowed = *allowed,
                ("override_allowed", _) => {
                    errors.push(name, "The override_allowed field must be true or false.")
                }
                // Read-only in a resource like this; real clients send it back (config-api.md 2.3).
                ("id", _) => {}
                _ => errors.push(name, format!("The {name} field is not known.")),
            }
        }
        errors.into_result(schedule)
    }

    /// The body that the published API answers with, which has no member for the override.
    #[must_use]
    pub fn to_body(&self) -> Object {
        let entries: Vec<Value> = self.entries.iter().map(|entry| entry.to_body()).collect();
        let mut body = Map::new();
        body.insert("timezone".to_owned(), Value::from(self.timezone.clone()));
        body.insert("entries".to_owned(), Value::from(entries));
        body
    }
}

impl ScheduleEntry {
    fn to_body(self) -> Value {
        json!({
            "start_day": self.start_day,
            "start_time": format_time(self.start_minute),
            "end_day": self.end_day,
            "end_time": format_time(self.end_minute),
        })
    }
}

fn read_entry(index: usize, value: &Value, errors: &mut FieldErrors) -> Option<ScheduleEntry> {
    let Some(members) = value.as_object() else {
        errors.push(
            format!("entries.{index}"),
            "An entry must be an object of start_day, start_time, end_day and end_time.",
        );
        return None;
    };
    for name in members.keys() {
        if !["start_day", "start_time", "end_day", "end_time"].contains(&name.as_str()) {
            errors.push(
                format!("entries.{index}.{name}"),
                format!("The {name} field is not known."),
            );
        }
    }
    let start_day = read_day(index, "start_day", members, errors);
    let start_minute = read_time(index, "start_time", members, errors);
    let end_day = read_day(index, "end_day", members, errors);
    let end_minute = read_time(index, "end_time", members, errors);
    Some(ScheduleEntry {
        start_day: start_day?,
        start_minute: start_minute?,
        end_day: end_day?,
        end_minute: end_minute?,
    })
}

fn read_day(index: usize, name: &str, members: &Object, errors: &mut FieldErrors) -> Option<u8> {
    let day = members
        .get(name)
        .and_then(Value::as_u64)
        .and_then(|day| u8::try_from(day).ok())
        .filter(|day| *day <= 6);
    if day.is_none() {
        errors.push(
            format!("entries.{index}.{name}"),
            format!("The {name} must be between 0 and 6."),
        );
    }
    day
}

fn read_time(index: usize, name: &str, members: &Object, errors: &mut FieldErrors) -> Option<u16> {
    let minute = members
        .get(name)
        .and_then(Value::as_str)
        .and_then(parse_time);
    if minute.is_none() {
        errors.push(
            format!("entries.{index}.{name}"),
            format!("The {name} must be between 00:00 and 23:59."),
        );
    }
    minute
}
