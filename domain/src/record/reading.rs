//! Reading bodies against a record's table.

use serde_json::Value;

use super::{Field, Kind, Object, Purpose, Write, language, line};
use crate::{Context, FieldErrors, Refusal, Surface, Timestamp};

/// How a body is read.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// Which fields it may write.
    purpose: Purpose,
    /// The values there are before. A member that repeats its own is not judged anew: what was stored under other rules must
    /// not keep a client from sending back the whole object that it read.
    current: Option<&'a Object>,
    /// Whether the limits of the Configuration API count besides those of the record ([`Field::published_max`]).
    as_published: bool,
}

impl<'a> Reading<'a> {
    /// A body that came in by the way that `context` tells.
    #[must_use]
    pub fn of(purpose: Purpose, context: &Context) -> Self {
        Self {
            as_published: context.cause.surface == Surface::ConfigurationApi,
            ..Self::plain(purpose)
        }
    }

    /// A body of what is no record, so that there is nothing that it could repeat.
    #[must_use]
    pub const fn plain(purpose: Purpose) -> Self {
        Self {
            purpose,
            current: None,
            as_published: false,
        }
    }

    /// The same where there are values before.
    #[must_use]
    pub const fn over(self, current: &'a Object) -> Self {
        Self {
            current: Some(current),
            ..self
        }
    }

    /// Whether `value` is what `field` holds already. Moments have another form in bodies than in records.
    fn repeats(&self, field: &Field, value: &Value) -> bool {
        field.kind != Kind::Moment
            && self
                .current
                .is_some_and(|current| current.get(field.name) == Some(value))
    }
}

/// Reads a body against a table: every name known, every value of its kind and within its limits.
///
/// Members that only the server gives, and `id`, are accepted and left out (config-api.md 2.3). What comes back holds
/// only what this purpose writes, each value in the form of the struct.
///
/// # Errors
/// [`Refusal::Invalid`] with every field that is not right: one that can only be set when the record is made too, where a change
/// gives it another value.
pub fn read_body(
    fields: &[Field],
    computed: &[Field],
    body: &Object,
    reading: Reading<'_>,
) -> Result<Object, Refusal> {
    let mut errors = FieldErrors::default();
    let mut read = Object::new();
    for (name, value) in body {
        let Some(field) = fields.iter().find(|field| field.name == name) else {
            if name != "id" && !computed.iter().any(|field| field.name == name) {
                errors.push(name.clone(), format!("The {name} field is not known."));
            }
            continue;
        };
        if is_absent(field, value) || reading.repeats(field, value) {
            continue;
        }
        if !reading.purpose.writes(field) {
            if field.write == Write::OnCreate
                && reading.purpose == Purpose::Change
                && reading.current.is_some()
            {
                errors.push(name.clone(), format!("The {name} field can't be changed."));
            }
            continue;
        }
        match read_value(field, value).and_then(|value| {
            if reading.as_published {
                within_published(field, &value)?;
            }
            Ok(value)
        }) {
            Ok(value) => {
                read.insert(name.clone(), value);
            }
            Err(message) => errors.push(name.clone(), message),
        }
    }
    if reading.purpose == Purpose::Create {
        for field in fields
            .iter()
            .filter(|field| field.required && !body.contains_key(field.name))
        {
            errors.push(field.name, format!("The {} field is required.", field.name));
        }
    }
    errors.into_result(read)
}

/// The Configuration API lets some texts be written only shorter than they are stored.
fn within_published(field: &Field, value: &Value) -> Result<(), String> {
    let text = value.as_str().unwrap_or_default();
    match field.published_max {
        Some(max) if text.chars().count() > max => Err(too_long(field.name, max)),
        _ => Ok(()),
    }
}

/// An empty code name counts as none (config-api.md 7.1).
fn is_absent(field: &Field, value: &Value) -> bool {
    field.kind == Kind::CodeName && value.as_str() == Some("")
}

/// Reads one value against one line of a table.
///
/// # Errors
/// A sentence that names the field and the limit.
pub fn read_value(field: &Field, value: &Value) -> Result<Value, String> {
    let name = field.name;
    if value.is_null() {
        return if field.nullable {
            Ok(Value::Null)
        } else {
            Err(format!("The {name} field must not be null."))
        };
    }
    match field.kind {
        Kind::Id => in_range(name, value, 1, i64::from(i32::MAX)),
        Kind::Integer { min, max } => in_range(name, value, min, max),
        Kind::Boolean if value.is_boolean() => Ok(value.clone()),
        Kind::Boolean => Err(format!("The {name} field must be true or false.")),
        Kind::Text { min, max } => sized(name, value, min, max),
        Kind::Name { min, max } => {
            let value = sized(name, value, min, max)?;
            line::check(name, value.as_str().unwrap_or_default())?;
            Ok(value)
        }
        Kind::Secret { max } => sized(name, value, 1, max),
        Kind::CodeName => {
            let text = value
                .as_str()
                .ok_or_else(|| format!("The {name} field must be a string."))?;
            let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '\\' | '-');
            if text.len() > 64 {
                Err(too_long(name, 64))
            } else if text.chars().all(legal) {
                Ok(value.clone())
            } else {
                Err(format!(
                    "The {name} field may only hold letters, digits, _, \\ and -."
                ))
            }
        }
        Kind::Language => match value.as_str() {
            Some(code) if language::is_code(code) => Ok(value.clone()),
            _ => Err(format!(
                "The {name} field must be the locale code of a language, such as en-us."
            )),
        },
        Kind::Word(words) => match value.as_str() {
            Some(text) if words.contains(&text) => Ok(value.clone()),
            _ => Err(format!(
                "The {name} field must be one of: {}.",
                words.join(", ")
            )),
        },
        Kind::Texts {
            members_max,
            text_max,
        } => {
            let members = value
                .as_array()
                .ok_or_else(|| format!("The {name} field must be an array of strings."))?;
            if members.len() > members_max {
                return Err(format!(
                    "The {name} field must not have more than {members_max} members."
                ));
            }
            for member in members {
                sized(name, member, 1, text_max)?;
            }
            Ok(value.clone())
        }
        Kind::AddressRanges { members_max } => address_ranges(name, value, members_max),
        Kind::Moment => {
            let moment = match value {
                Value::String(text) => Timestamp::parse_rfc3339_utc(text),
                Value::Number(number) => number.as_i64().map(Timestamp::from_unix_seconds),
                _ => None,
            };
            moment.map(|moment| Value::from(moment.0)).ok_or_else(|| {
                format!("The {name} field must be a date and time in UTC as of RFC 3339.")
            })
        }
    }
}

/// The form alone: which addresses are right together is the record's own rule.
fn address_ranges(name: &str, value: &Value, members_max: usize) -> Result<Value, String> {
    let wrong = || format!("The {name} field must be an array of objects with start and end.");
    let members = value.as_array().ok_or_else(wrong)?;
    if members.len() > members_max {
        return Err(format!(
            "The {name} field must not have more than {members_max} members."
        ));
    }
    for member in members {
        let range = member.as_object().ok_or_else(wrong)?;
        let is_text = |end: &str| {
            range
                .get(end)
                .and_then(Value::as_str)
                .is_some_and(|address| address.len() <= 45)
        };
        if range.len() != 2 || !is_text("start") || !is_text("end") {
            return Err(wrong());
        }
    }
    Ok(value.clone())
}

fn in_range(name: &str, value: &Value, min: i64, max: i64) -> Result<Value, String> {
    match value.as_i64() {
        Some(number) if (min..=max).contains(&number) => Ok(value.clone()),
        Some(_) => Err(format!("The {name} field must be between {min} and {max}.")),
        None => Err(format!("The {name} field must be an integer.")),
    }
}

fn sized(name: &str, value: &Value, min: usize, max: usize) -> Result<Value, String> {
    let text = value
        .as_str()
        .ok_or_else(|| format!("The {name} field must be a string."))?;
    let length = text.chars().count();
    if length < min {
        Err(if min == 1 {
            format!("The {name} field must not be empty.")
        } else {
            format!("The {name} field must be at least {min} characters.")
        })
    } else if length > max {
        Err(too_long(name, max))
    } else if text.chars().any(|c| c == '\0') {
        Err(format!("The {name} field must not hold a NUL character."))
    } else {
        Ok(value.clone())
    }
}

fn too_long(name: &str, max: usize) -> String {
    format!("The {name} field must not be longer than {max} characters.")
}
