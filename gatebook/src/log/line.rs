//! One event as one line of JSON, its data and meta as they are stored, with all that its leaf hash is made of
//! (docs/log-format.md, "An exported log").

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::Timestamp;
use eventstore::RecordedEvent;
use serde::Serialize;
use serde_json::value::RawValue;

#[derive(Serialize)]
struct Line<'a> {
    position: u64,
    stream: &'a str,
    revision: u64,
    id: String,
    #[serde(rename = "type")]
    event_type: &'a str,
    data: Box<RawValue>,
    meta: Box<RawValue>,
    codec: i16,
    recorded_at: String,
    leaf_hash: String,
    /// The stored bytes, where they are not those that are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta_base64: Option<String>,
}

/// Writes `event` and a line end.
///
/// # Errors
/// What the writer says.
pub(super) fn write(output: &mut impl Write, event: &RecordedEvent) -> io::Result<()> {
    let (data, data_base64) = shown(&event.data);
    let (meta, meta_base64) = shown(&event.meta);
    let line = Line {
        position: event.position,
        stream: &event.stream,
        revision: event.revision,
        id: event.id.to_string(),
        event_type: &event.event_type,
        data,
        meta,
        codec: event.codec,
        recorded_at: Timestamp(event.recorded_at).to_string(),
        leaf_hash: hex::encode(event.leaf_hash),
        data_base64,
        meta_base64,
    };
    let line = serde_json::to_string(&line)?;
    // Streams and types are texts of others where they are foreign; what is escaped already is not touched again.
    output.write_all(escaped(&line).as_bytes())?;
    output.write_all(b"\n")
}

/// The bytes as JSON on one line, and the bytes themselves where they are not the same: JSON as it is, with what can't be seen
/// escaped; JSON with line ends written anew; anything else as `{"hex": …}`.
fn shown(bytes: &[u8]) -> (Box<RawValue>, Option<String>) {
    let json = json(bytes);
    let is_stored = json.get().as_bytes() == bytes;
    (json, (!is_stored).then(|| STANDARD.encode(bytes)))
}

fn json(bytes: &[u8]) -> Box<RawValue> {
    let text = std::str::from_utf8(bytes).ok();
    if let Some(text) = text
        && !text.contains(['\n', '\r'])
        && let Ok(raw) = RawValue::from_string(escaped(text).into_owned())
    {
        return raw;
    }
    let value: serde_json::Value = serde_json::from_slice(bytes)
        .unwrap_or_else(|_| serde_json::json!({ "hex": hex::encode(bytes) }));
    // A value that serde_json made can always be written.
    let text = serde_json::to_string(&value).unwrap_or_default();
    RawValue::from_string(escaped(&text).into_owned()).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// JSON in which whatever is not seen, or turns the direction of what is, stands as an escape. Such characters can only stand
/// in its strings.
fn escaped(json: &str) -> Cow<'_, str> {
    if json.is_ascii() && !json.contains('\u{7f}') {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if is_seen(character) {
            text.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a string can't fail.
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
    Cow::Owned(text)
}

/// Whether a character is none of control (Cc), format (Cf) and line or paragraph separators (Zl, Zp).
fn is_seen(character: char) -> bool {
    !character.is_control()
        && !matches!(
            character,
            '\u{ad}'
                | '\u{600}'..='\u{605}'
                | '\u{61c}'
                | '\u{6dd}'
                | '\u{70f}'
                | '\u{890}'..='\u{891}'
                | '\u{8e2}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{110bd}'
                | '\u{110cd}'
                | '\u{13430}'..='\u{1343f}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

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
            leaf_hash: [0xab; 32],
        };
        let mut output = Vec::new();
        write(&mut output, &event).unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn an_event_is_one_line_with_its_data_as_stored() {
        let hash = "ab".repeat(32);
        assert_eq!(
            printed(br#"{"b":1,"a":1.50}"#),
            format!(
                "{{\"position\":7,\"stream\":\"user-1\",\"revision\":2,\"id\":\"00000000-0000-0000-0000-000000000000\",\
                 \"type\":\"UserSignedIn\",\"data\":{{\"b\":1,\"a\":1.50}},\"meta\":{{}},\"codec\":0,\
                 \"recorded_at\":\"2026-09-21T14:13:20.000001Z\",\"leaf_hash\":\"{hash}\"}}\n"
            )
        );
    }

    /// Threat K: what an agent calls itself can't turn the direction of a line, hide in it, or end it.
    #[test]
    fn threat_k_whatever_the_data_is_it_stays_one_line_of_json_that_is_seen() {
        // data, its form in the line
        for (data, shown) in [
            ("{\n\"a\": 1}".as_bytes(), r#""data":{"a":1},"#),
            (b"\xff\x00", r#""data":{"hex":"ff00"},"#),
            (b"", r#""data":{"hex":""},"#),
            (b"not json", r#""data":{"hex":"6e6f74206a736f6e"},"#),
            (
                "{\"host\":\"a\u{202e}b\u{200b}c\u{2028}d\u{feff}e\u{7f}f\u{85}g\"}".as_bytes(),
                r#""data":{"host":"a\u202eb\u200bc\u2028d\ufeffe\u007ff\u0085g"},"#,
            ),
            (
                "{\"host\":\"\u{e0041}\",\n\"x\":\"\u{2066}\"}".as_bytes(),
                r#""data":{"host":"\udb40\udc41","x":"\u2066"},"#,
            ),
            ("{\"name\":\"Zoë 漢字 🦀\"}".as_bytes(), "Zoë 漢字 🦀"),
        ] {
            let line = printed(data);
            assert!(line.contains(shown), "{line}");
            assert_eq!(line.matches('\n').count(), 1);
            let read: serde_json::Value = serde_json::from_str(&line).unwrap();
            // The stored bytes are there, one way or the other.
            let stored = match read["data_base64"].as_str() {
                Some(text) => STANDARD.decode(text).unwrap(),
                None => serde_json::to_vec(&read["data"]).unwrap(),
            };
            assert_eq!(stored, data, "{line}");
        }
    }

    /// The leaf hash as a stranger computes it from a line, by docs/log-format.md alone.
    fn leaf_hash_of(line: &serde_json::Value) -> String {
        let number = |name: &str| line[name].as_u64().unwrap();
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        let body = |name: &str| match line[format!("{name}_base64")].as_str() {
            Some(stored) => STANDARD.decode(stored).unwrap(),
            None => serde_json::to_vec(&line[name]).unwrap(),
        };
        let recorded_at = chrono::DateTime::parse_from_rfc3339(&text("recorded_at")).unwrap();
        let length = |text: &str| u16::try_from(text.len()).unwrap().to_be_bytes();
        let (stream, event_type) = (text("stream"), text("type"));
        let mut record = vec![0];
        record.extend(number("position").to_be_bytes());
        record.extend(number("revision").to_be_bytes());
        record.extend(recorded_at.timestamp_micros().to_be_bytes());
        record.extend(i16::try_from(number("codec")).unwrap().to_be_bytes());
        record.extend(length(&stream));
        record.extend(stream.as_bytes());
        record.extend(uuid::Uuid::parse_str(&text("id")).unwrap().as_bytes());
        record.extend(length(&event_type));
        record.extend(event_type.as_bytes());
        record.extend(Sha256::digest(body("data")));
        record.extend(Sha256::digest(body("meta")));
        hex::encode(Sha256::digest(record))
    }

    #[test]
    fn a_line_is_verified_without_the_program() {
        // The test vector of docs/log-format.md, and the same event with a body that is not shown as it is stored.
        for (data, leaf_hash) in [
            (
                r#"{"client":42}"#.to_owned(),
                "f25dfa491f47dfb930cdaf406e9c037ee1f1e5cda6ad1e83b7d0a20bed0f97ae",
            ),
            ("{\"name\":\"a\u{202e}b\"}".to_owned(), ""),
        ] {
            let mut event = RecordedEvent {
                position: 7,
                stream: "jump_client-42".to_owned(),
                revision: 3,
                id: "00112233-4455-6677-8899-aabbccddeeff".parse().unwrap(),
                event_type: "JumpClientConnected".to_owned(),
                data: data.into_bytes(),
                meta: b"{}".to_vec(),
                codec: 0,
                recorded_at: 1_700_000_000_000_001,
                leaf_hash: [0; 32],
            };
            event.leaf_hash = event.expected_leaf_hash();
            let mut output = Vec::new();
            write(&mut output, &event).unwrap();
            let line: serde_json::Value = serde_json::from_slice(&output).unwrap();
            assert_eq!(line["leaf_hash"], leaf_hash_of(&line).as_str());
            if !leaf_hash.is_empty() {
                assert_eq!(line["leaf_hash"], leaf_hash);
            }
        }
    }
}
