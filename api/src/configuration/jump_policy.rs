//! `jump-policy`: Jump Policies (POL-01), and their schedules to read; schedules are written in the console API.

use std::sync::Arc;

use axum::http::Method;
use domain::ids::JumpPolicyId;
use domain::policy::jump_policy::{self, JumpPolicy};
use domain::policy::schedule::{Schedule, ScheduleEntry};
use domain::record::{self, Object, Record};
use domain::site::ticket_system;
use domain::{Command, Event, FieldErrors, Refusal, World};
use serde_json::{Value, json};

use super::resource::{self, ACCESS, PathId, Resource, path_of};
use crate::answer::Answer;
use crate::caller::Known;
use crate::error::{JsonError, Problem};
use crate::route::{About, Gives, Routes};
use crate::site::Site;

impl Resource for JumpPolicy {
    const PATH: &'static str = "jump-policy";
    const SCHEMA: &'static str = "JumpPolicy";

    fn rows(world: &World) -> impl Iterator<Item = (JumpPolicyId, &Self)> {
        world.jump_policies.iter().map(|(id, policy)| (*id, policy))
    }

    fn command(command: record::Command<Self>) -> Command {
        Command::JumpPolicy(jump_policy::Command::Record(command))
    }

    fn made(event: &Event) -> Option<(JumpPolicyId, &Self)> {
        match event {
            Event::JumpPolicy(id, jump_policy::Event::Record(record::Event::Created(policy))) => {
                Some((*id, policy))
            }
            _ => None,
        }
    }

    fn warning(&self, world: &World) -> Option<&'static str> {
        ticket_system::warning(world, self)
    }
}

pub(crate) fn routes(site: &Arc<Site>) -> Routes {
    let routes = resource::read_routes::<JumpPolicy>(site).route(
        Method::GET,
        &format!("{}/{{id}}/schedule", path_of::<JumpPolicy>()),
        ACCESS,
        About::new("Reads the schedule.").gives(Gives::One("Schedule")),
        get_schedule,
    );
    let routes = resource::create_route::<JumpPolicy>(routes);
    let routes = resource::change_route::<JumpPolicy>(routes);
    resource::delete_route::<JumpPolicy>(routes)
}

async fn get_schedule(
    known: Known,
    PathId(id): PathId<JumpPolicyId>,
) -> Result<Answer<Value>, JsonError> {
    let world = known.world();
    if !world.jump_policies.contains(&id) {
        return Err(Problem::not_found(JumpPolicy::TITLE).into());
    }
    Ok(Answer::known(
        &known.0,
        show_schedule(world.schedules.get(&id)),
    ))
}

/// A schedule as the APIs show it: `{"timezone", "entries": [{"start_day", "start_time", "end_day", "end_time"}]}`. A policy
/// that never got one has no entries, in UTC.
#[must_use]
pub fn show_schedule(schedule: Option<&Schedule>) -> Value {
    let time = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
    let entry = |entry: &ScheduleEntry| {
        json!({
            "start_day": entry.start_day,
            "start_time": time(entry.start_minute),
            "end_day": entry.end_day,
            "end_time": time(entry.end_minute),
        })
    };
    match schedule {
        Some(schedule) => json!({
            "timezone": schedule.timezone,
            "entries": schedule.entries.iter().map(entry).collect::<Vec<_>>(),
        }),
        None => json!({"timezone": "UTC", "entries": []}),
    }
}

/// Reads a schedule from a body. Zones, days and lengths are judged by the rules; only what can't be written down at all is
/// refused here.
///
/// # Errors
/// 422 naming every member that can't be read.
pub fn read_schedule(body: &Object) -> Result<Schedule, Refusal> {
    let mut errors = FieldErrors::default();
    for name in body.keys() {
        if !matches!(name.as_str(), "timezone" | "entries" | "override_allowed") {
            errors.push(name.clone(), format!("The {name} field is not known."));
        }
    }
    let timezone = match body.get("timezone") {
        Some(Value::String(timezone)) => timezone.clone(),
        Some(_) => {
            errors.push("timezone", "The timezone field must be a string.");
            String::new()
        }
        None => {
            errors.push("timezone", "The timezone field is required.");
            String::new()
        }
    };
    let entries = match body.get("entries") {
        Some(Value::Array(entries)) => entries
            .iter()
            .enumerate()
            .map(|(index, entry)| read_entry(index, entry, &mut errors))
            .collect(),
        Some(_) => {
            errors.push("entries", "The entries field must be an array.");
            Vec::new()
        }
        None => {
            errors.push("entries", "The entries field is required.");
            Vec::new()
        }
    };
    let override_allowed = match body.get("override_allowed") {
        None => false,
        Some(Value::Bool(allowed)) => *allowed,
        Some(_) => {
            errors.push(
                "override_allowed",
                "The override_allowed field must be true or false.",
            );
            false
        }
    };
    errors.into_result(Schedule {
        timezone,
        entries,
        override_allowed,
    })
}

fn read_entry(index: usize, entry: &Value, errors: &mut FieldErrors) -> ScheduleEntry {
    let mut day = |name: &str| {
        let day = entry
            .get(name)
            .and_then(Value::as_u64)
            .filter(|day| *day <= 6);
        day.and_then(|day| u8::try_from(day).ok())
            .unwrap_or_else(|| {
                errors.push(
                    format!("entries.{index}.{name}"),
                    format!("The {name} must be an integer from 0 (Monday) to 6 (Sunday)."),
                );
                0
            })
    };
    let (start_day, end_day) = (day("start_day"), day("end_day"));
    let mut minute = |name: &str| {
        let text = entry.get(name).and_then(Value::as_str);
        text.and_then(minute_of_day).unwrap_or_else(|| {
            errors.push(
                format!("entries.{index}.{name}"),
                format!("The {name} must be a time from 00:00 to 23:59."),
            );
            0
        })
    };
    ScheduleEntry {
        start_day,
        start_minute: minute("start_time"),
        end_day,
        end_minute: minute("end_time"),
    }
}

/// `HH:MM` as minutes after midnight.
fn minute_of_day(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let two_digits = |part: &str| -> Option<u16> {
        let digits = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| part.parse().ok()).flatten()
    };
    let (hour, minute) = (two_digits(hour)?, two_digits(minute)?);
    (hour <= 23 && minute <= 59).then_some(hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_comes_back_as_it_was_written() {
        let body = json!({
            "timezone": "Europe/Berlin",
            "entries": [{"start_day": 3, "start_time": "08:00", "end_day": 3, "end_time": "17:05"}],
        });
        let read = read_schedule(body.as_object().unwrap()).unwrap();
        assert_eq!(show_schedule(Some(&read)), body);
        assert_eq!(
            show_schedule(None),
            json!({"timezone": "UTC", "entries": []})
        );
    }

    #[test]
    fn what_is_no_schedule_is_named() {
        let entry = |member: &str, value: Value| {
            let mut entry =
                json!({"start_day": 0, "start_time": "08:00", "end_day": 0, "end_time": "09:00"});
            entry[member] = value;
            json!({"timezone": "UTC", "entries": [entry]})
        };
        // body, field
        let cases = [
            (json!({}), "timezone"),
            (json!({"timezone": 1, "entries": []}), "timezone"),
            (json!({"timezone": "UTC"}), "entries"),
            (json!({"timezone": "UTC", "entries": {}}), "entries"),
            (
                json!({"timezone": "UTC", "entries": [], "enabled": true}),
                "enabled",
            ),
            (entry("start_day", json!(7)), "entries.0.start_day"),
            (entry("start_day", json!("1")), "entries.0.start_day"),
            (entry("end_time", json!("24:00")), "entries.0.end_time"),
            (entry("end_time", json!("9:00")), "entries.0.end_time"),
            (entry("end_time", json!("99:99")), "entries.0.end_time"),
            (entry("start_time", Value::Null), "entries.0.start_time"),
            (
                json!({"timezone": "UTC", "entries": [1]}),
                "entries.0.start_day",
            ),
        ];
        for (body, field) in cases {
            let refused = read_schedule(body.as_object().unwrap()).unwrap_err();
            let Refusal::Invalid(errors) = refused else {
                panic!("{body} is invalid");
            };
            assert_eq!(errors.0[0].0, field, "{body}");
        }
    }
}
