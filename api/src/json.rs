//! JSON bodies: read whatever the Content-Type says, because the vendor's own client sends none (config-api.md section 0 fact 3),
//! bounded in size, time and depth, with errors that say what is wrong.

use axum::body::{Body, to_bytes};
use axum::http::StatusCode;
use bytes::Bytes;
use domain::record::Object;
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
/// 400 for bad UTF-8 and bad JSON (nesting deeper than 128 included), 422 for another JSON value.
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
    match serde_json::from_str(text) {
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
}
