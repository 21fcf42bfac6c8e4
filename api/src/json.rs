//! JSON bodies: read whatever the Content-Type says, because the vendor's own client sends none (config-api.md section 0 fact 3),
//! bounded in size, time and depth, with errors that say what is wrong.

use std::fmt;

use axum::body::{Body, to_bytes};
use axum::http::StatusCode;
use bytes::Bytes;
use domain::FieldErrors;
use domain::record::Object;
use serde::Deserializer;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::error::Problem;
use crate::site::Limits;

/// Reads a whole body.
///
/// # Errors
/// 413 when it is longer than `bytes_max`, 408 when it does not arrive in time, 400 when it breaks off.
pub async fn read_bytes(body: Body, bytes_max: usize, limits: &Limits) -> Result<Bytes, Problem> {
    let read = tokio::time::timeout(limits.body_within, to_bytes(body, bytes_max));
    match read.await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_too_long(&error) => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            format!("The body must not be longer than {bytes_max} bytes."),
        )),
        Ok(Err(_)) => Err(Problem::malformed("The body broke off.")),
        Err(_) => Err(Problem::body_timed_out()),
    }
}

fn is_too_long(error: &axum::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Reads a JSON object. No body at all is an empty object.
///
/// # Errors
/// 400 for bad UTF-8 and bad JSON (nesting deeper than 128 included), 422 for another JSON value, and for a member that stands
/// there twice: which of the two was meant can't be known.
pub fn read_object(bytes: &[u8]) -> Result<Object, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Problem::malformed(format!(
            "The body is not valid UTF-8 after byte {}.",
            error.valid_up_to()
        ))
    })?;
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() {
        return Ok(Object::new());
    }
    let mut twice = FieldErrors::default();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = Once {
        path: String::new(),
        twice: &mut twice,
    };
    let read = read
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    match read {
        Ok(_) if !twice.0.is_empty() => Err(Problem::invalid(twice)),
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid",
            "The body must be a JSON object.",
        )),
        // The parser's words hold line and column, never the text itself.
        Err(error) => Err(Problem::malformed(format!(
            "The body is not valid JSON: {error}."
        ))),
    }
}

/// Reads a JSON value and notes each member that an object has twice; a plain [`Value`] keeps the last one without a word.
struct Once<'e> {
    /// Where the value stands: the names of the members that lead to it, with dots between them.
    path: String,
    twice: &'e mut FieldErrors,
}

/// Most members that are named as standing there twice.
const TWICE_MAX: usize = 20;
/// Longest path of a member that is repeated to the caller, in characters.
const PATH_CHARS_MAX: usize = 128;

impl Once<'_> {
    fn within(&mut self, member: &str) -> Once<'_> {
        let path = if self.path.is_empty() {
            member.to_owned()
        } else {
            format!("{}.{member}", self.path)
        };
        Once {
            path: path.chars().take(PATH_CHARS_MAX).collect(),
            twice: self.twice,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Once<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Once<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut members: A) -> Result<Value, A::Error> {
        let mut read = Vec::new();
        while let Some(member) = members.next_element_seed(self.within(&read.len().to_string()))? {
            read.push(member);
        }
        Ok(Value::Array(read))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Value, A::Error> {
        let mut read = Object::new();
        while let Some(name) = members.next_key::<String>()? {
            let inner = self.within(&name);
            let path = inner.path.clone();
            let value = members.next_value_seed(inner)?;
            if read.insert(name, value).is_some() && self.twice.0.len() < TWICE_MAX {
                let message = format!("The {path} field was given more than once.");
                self.twice.push(path, message);
            }
        }
        Ok(Value::Object(read))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(bytes: &[u8]) -> u16 {
        match read_object(bytes) {
            Ok(_) => 200,
            Err(problem) => problem.status.as_u16(),
        }
    }

    #[test]
    fn only_an_object_in_utf_8_is_a_body() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        // body, status
        let cases: [(&[u8], u16); 9] = [
            (b"", 200),
            (b"  \n", 200),
            (b"{\"a\":1}", 200),
            (b"\xef\xbb\xbf{}", 200),
            (b"[]", 422),
            (b"\"{}\"", 422),
            (b"{\"a\":", 400),
            (b"{\"a\":\"\xff\"}", 400),
            (deep.as_bytes(), 400),
        ];
        for (body, expected) in cases {
            assert_eq!(
                status(body),
                expected,
                "{}",
                String::from_utf8_lossy(&body[..body.len().min(40)])
            );
        }
    }

    #[test]
    fn a_member_that_stands_there_twice_is_named() {
        // body, members
        let cases: [(&str, &[&str]); 5] = [
            (r#"{"a": 1, "b": {"a": 2}}"#, &[]),
            (r#"{"a": 1, "a": 1}"#, &["a"]),
            (r#"{"a": 1, "\u0061": 2, "b": 3, "b": 4}"#, &["a", "b"]),
            (r#"{"l": [{"x": 1}, {"x": 1, "x": null}]}"#, &["l.1.x"]),
            (
                r#"{"a": {"b": [1.5, -1, true, null, "s"]}, "a": {}}"#,
                &["a"],
            ),
        ];
        for (body, expected) in cases {
            let twice = match read_object(body.as_bytes()) {
                Ok(object) => {
                    assert_eq!(
                        Value::Object(object),
                        serde_json::from_str::<Value>(body).expect("JSON")
                    );
                    Vec::new()
                }
                Err(problem) => {
                    assert_eq!(problem.status, StatusCode::UNPROCESSABLE_ENTITY);
                    problem.errors.0
                }
            };
            let names: Vec<&str> = twice.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, expected, "{body}");
        }
    }
}
