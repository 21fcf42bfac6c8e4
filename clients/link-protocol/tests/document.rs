//! What `docs/client-link.md` shows is what the code reads.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use link_protocol::{ClientFrame, CloseCode, KeyInfo, ServerFrame, limits};
use serde_json::Value;

const PAGE: &str = include_str!("../../../docs/client-link.md");

/// The blocks of the page fenced with this heading.
fn blocks(heading: &str) -> Vec<&'static str> {
    let opening = format!("```{heading}\n");
    PAGE.split(&opening)
        .skip(1)
        .map(|rest| {
            rest.split("\n```")
                .next()
                .expect("a split has a first part")
        })
        .collect()
}

#[test]
fn every_frame_shown_is_read_and_means_what_it_shows() {
    for block in blocks("json client") {
        let frame = ClientFrame::parse(block).expect(block);
        let written: Value = serde_json::from_str(&frame.to_text().unwrap()).unwrap();
        assert_eq!(written, serde_json::from_str::<Value>(block).unwrap());
    }
    for block in blocks("json server") {
        let frame = ServerFrame::parse(block).expect(block);
        let written: Value = serde_json::from_str(&frame.to_text().unwrap()).unwrap();
        assert_eq!(written, serde_json::from_str::<Value>(block).unwrap());
    }
}

#[test]
fn every_type_has_an_example_and_every_close_code_a_line() {
    let shows = |blocks: &[&str], name: &str| {
        blocks
            .iter()
            .any(|block| block.contains(&format!("\"type\": \"{name}\"")))
    };
    let (client, server) = (blocks("json client"), blocks("json server"));
    for name in ClientFrame::TYPES {
        assert!(shows(&client, name), "{name}");
    }
    for name in ServerFrame::TYPES {
        assert!(shows(&server, name), "{name}");
    }
    for code in CloseCode::ALL {
        assert!(
            PAGE.contains(&format!("\n| {} | ", code.number())),
            "{code}"
        );
    }
}

#[test]
fn the_key_shown_is_read() {
    let block = blocks("json")[0];
    KeyInfo::decode(&URL_SAFE_NO_PAD.encode(block)).expect(block);
}

#[test]
fn the_limits_told_are_those_held() {
    for told in [
        format!("Put `{}` behind", limits::LINK_PATH),
        format!(
            "| a frame, text or binary, both directions | {} bytes |",
            grouped(limits::FRAME_BYTES_MAX)
        ),
        format!(
            "| `hello` after the handshake | {} s |",
            limits::HELLO_WITHIN.as_secs()
        ),
        format!(
            "| `pong` after `ping` | {} s |",
            limits::PONG_WITHIN.as_secs()
        ),
        format!(
            "| frames from a client | {} in any 10 s |",
            limits::FRAMES_PER_10_SECONDS_MAX
        ),
        format!(
            "| `figures` | {} bytes of compact JSON |",
            grouped(limits::FIGURES_BYTES_MAX)
        ),
        format!(
            "| KEY_INFO | under {} characters |",
            grouped(limits::KEY_INFO_BYTES_BELOW)
        ),
        format!(
            "| check-ins that wait for `check_in_recorded` | {};",
            limits::CHECK_INS_WAITING_MAX
        ),
        format!("| `hello.sessions` | {} |", limits::SESSIONS_MAX),
    ] {
        assert!(PAGE.contains(&told), "{told}");
    }
}

/// A number with a comma between its thousands.
fn grouped(number: usize) -> String {
    format!("{},{:03}", number / 1000, number % 1000)
}
