//! One event as one line of JSON, its data and meta as they are stored.

use std::io::{self, Write};

use domain::Timestamp;
use eventstore::RecordedEvent;
use serde::Serialize;
use serde_json::value::RawValue;

#[derive(Serialize)]
struct Line<'a> {
    position: u64,
    stream: &'a str,
    revision: u64,
    #[serde(rename = "type")]
    event_type: &'a str,
    data: Box<RawValue>,
    meta: Box<RawValue>,
    recorded_at: String,
}

/// Writes `event` and a line end.
///
/// # Errors
/// What the writer says.
pub(super) fn write(output: &mut impl Write, event: &RecordedEvent) -> io::Result<()> {
    let line = Line {
        position: event.position,
        stream: &event.stream,
        revision: event.revision,
        event_type: &event.event_type,
        data: json(&event.data),
        meta: json(&event.meta),
        recorded_at: Timestamp(event.recorded_at).to_string(),
    };
    serde_json::to_writer(&mut *output, &line)?;
    output.write_all(b"\n")
}

/// The bytes as JSON on one line: as they are if they are that already; JSON with line ends written anew; anything else
/// as `{"hex": …}`.
fn json(bytes: &[u8]) -> Box<RawValue> {
    let text = std::str::from_utf8(bytes).ok();
    if let Some(text) = text
        && !text.contains(['\n', '\r'])
        && let Ok(raw) = RawValue::from_string(text.to_owned())
    {
        return raw;
    }
    let value: serde_json::Value = serde_json::from_slice(bytes)
        .unwrap_or_else(|_| serde_json::json!({ "hex": hex::encode(bytes) }));
    // A value that serde_json made can always be written.
    serde_json::value::to_raw_value(&value).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(data: &[u8]) -> String {
        let event = RecordedEvent {
            position: 7,
            stream: "user-1".to_owned(),
            revision: 2,
            id: uuid::Uuid::nil(),
            event_type: "UserSignedIn".to_owned(),
            data: data.to_vec(),
            meta: b"{}".to_vec(),
            codec: 0,
            recorded_at: 1_790_000_000_000_001,
            leaf_hash: [0; 32],
        };
        let mut output = Vec::new();
        write(&mut output, &event).unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn an_event_is_one_line_with_its_data_as_stored() {
        assert_eq!(
            printed(br#"{"b":1,"a":1.50}"#),
            "{\"position\":7,\"stream\":\"user-1\",\"revision\":2,\"type\":\"UserSignedIn\",\"data\":{\"b\":1,\"a\":1.50},\
             \"meta\":{},\"recorded_at\":\"2026-09-21T14:13:20.000001Z\"}\n"
        );
    }

    #[test]
    fn whatever_the_data_is_it_stays_one_line_of_json() {
        // data, its form in the line
        for (data, shown) in [
            (&b"{\n\"a\": 1}"[..], r#""data":{"a":1},"#),
            (b"\xff\x00", r#""data":{"hex":"ff00"},"#),
            (b"", r#""data":{"hex":""},"#),
            (b"not json", r#""data":{"hex":"6e6f74206a736f6e"},"#),
        ] {
            let line = printed(data);
            assert!(line.contains(shown), "{line}");
            assert_eq!(line.matches('\n').count(), 1);
            assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok());
        }
    }
}
