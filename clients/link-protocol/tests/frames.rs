//! The frames on the wire: recorded ones, every limit, and strangers' frames.

use link_protocol::limits::*;
use link_protocol::*;
use serde_json::{Value, json};

const TOKEN: &str = "0123456789abcdef0123456789abcdef-_TOKEN";
const NONCE: &str = "00112233445566778899aabbccddeeff";
const INSTALLER: &str = "abcdefghijklmnopqrstuvwxyz012345";

fn hello() -> Value {
    json!({
        "type": "hello",
        "protocols": [1],
        "agent_version": "0.1.0",
        "boot_id": NONCE,
        "identity": {"resume": {"client_id": 7, "token": TOKEN}},
        "facts": {
            "hostname": "web-1", "fqdn": "web-1.example.com", "operating_system": "Debian 12 (x86_64)",
            "private_ip": "10.0.0.7", "console_user": "anna", "install_mode": "service",
            "machine_id": "9f86d081884c7d65", "time_zone": "Europe/Vienna",
            "utc_offset_minutes": 60, "disabled": false
        },
        "sessions": ["lsid-1"]
    })
}

fn register() -> Value {
    let mut frame = hello();
    frame["identity"] = json!({"register": {
        "installer_id": INSTALLER, "secret": TOKEN, "attempt": NONCE,
        "overrides": {
            "name": "Web 1", "jump_group": "jumpgroup:web", "jump_policy": "office", "session_policy": "std",
            "max_offline_minutes": 5, "tag": "web", "comments": "two\nlines"
        }
    }});
    frame
}

fn check_in() -> Value {
    json!({
        "type": "check_in", "sequence": 3,
        "facts": {"console_user": ""},
        "figures": {
            "cpu_permille": 123, "uptime_seconds": 86_400, "memory_total_bytes": 8_000_000_000_u64,
            "memory_used_bytes": 1_000_000_000, "screen_png": "iVBORw0KGgo=",
            "disks": [{"mount": "/", "total_bytes": 100, "free_bytes": 50}]
        }
    })
}

fn welcome() -> Value {
    json!({
        "type": "welcome", "protocol": 1, "client_id": 7, "token": TOKEN, "heartbeat_seconds": 30,
        "check_in_seconds": 3600, "check_in_now": true,
        "anchors": {"version": 2, "list": [format!("sha256:{}", "ab".repeat(32)), "system"]},
        "site_time_ms": 1_700_000_000_000_u64
    })
}

fn settings() -> Value {
    json!({
        "type": "settings", "check_in_seconds": 3600, "statistics": ["cpu", "disk"], "remove_after_minutes": 5
    })
}

fn client_frames() -> Vec<Value> {
    vec![
        hello(),
        register(),
        check_in(),
        json!({"type": "session_started", "lsid": "lsid-1"}),
        json!({"type": "session_failed", "lsid": "lsid-1", "reason": "client_disabled", "detail": "off"}),
        json!({"type": "session_failed", "lsid": "lsid-1", "reason": "some_newer_code"}),
        json!({"type": "session_ended", "lsid": "lsid-1", "reason": "asked"}),
        json!({"type": "token_stored"}),
        json!({"type": "anchors_stored", "version": 2}),
        json!({"type": "addresses_stored", "version": 2}),
        json!({"type": "pong", "nonce": 9}),
        json!({"type": "goodbye"}),
        json!({"type": "uninstalling"}),
    ]
}

fn server_frames() -> Vec<Value> {
    vec![
        welcome(),
        json!({"type": "refused", "code": "busy", "message": "Come back.", "retry_after_ms": 5000, "final": false}),
        json!({"type": "refused", "code": "some_newer_code", "message": "", "final": true}),
        json!({"type": "check_in_recorded", "sequence": 3}),
        json!({"type": "start_session", "lsid": "lsid-1", "user_display_name": "Anna", "answer_within_ms": 20_000}),
        json!({"type": "end_session", "lsid": "lsid-1", "reason": "Ended by Anna"}),
        json!({"type": "rotate_token", "token": TOKEN}),
        json!({"type": "anchors", "version": 3, "list": ["system", "newer:kind"]}),
        json!({"type": "addresses", "version": 3, "urls": ["https://a.example", "https://b.example:8443"]}),
        settings(),
        json!({"type": "ping", "nonce": 9}),
        json!({"type": "retry_later", "after_ms": 60_000}),
    ]
}

/// The recorded form stays: what was on the wire yesterday is read today, and written the same.
#[test]
fn golden_frames_are_read_and_written_the_same() {
    for golden in client_frames() {
        let frame = ClientFrame::parse(&golden.to_string()).unwrap();
        let written: Value = serde_json::from_str(&frame.to_text().unwrap()).unwrap();
        assert_eq!(written, golden);
    }
    for golden in server_frames() {
        let frame = ServerFrame::parse(&golden.to_string()).unwrap();
        let written: Value = serde_json::from_str(&frame.to_text().unwrap()).unwrap();
        assert_eq!(written, golden);
    }
}

#[test]
fn the_golden_frames_show_every_type() {
    let types = |frames: Vec<Value>| -> Vec<String> {
        frames
            .iter()
            .map(|frame| frame["type"].as_str().unwrap().to_owned())
            .collect()
    };
    let (client, server) = (types(client_frames()), types(server_frames()));
    assert!(
        ClientFrame::TYPES
            .iter()
            .all(|name| client.iter().any(|shown| shown == name))
    );
    assert!(
        ServerFrame::TYPES
            .iter()
            .all(|name| server.iter().any(|shown| shown == name))
    );
}

#[test]
fn unknown_fields_are_skipped_everywhere() {
    fn sprinkle(value: &mut Value) {
        match value {
            Value::Object(members) => {
                members.values_mut().for_each(sprinkle);
                // An externally tagged choice has one member, its name.
                if !members.contains_key("resume") && !members.contains_key("register") {
                    members.insert("of_a_newer_version".to_owned(), json!({"deep": [1, null]}));
                }
            }
            Value::Array(items) => items.iter_mut().for_each(sprinkle),
            _ => {}
        }
    }
    for golden in client_frames() {
        let mut more = golden.clone();
        sprinkle(&mut more);
        assert_eq!(
            ClientFrame::parse(&more.to_string()),
            ClientFrame::parse(&golden.to_string())
        );
    }
    for golden in server_frames() {
        let mut more = golden.clone();
        sprinkle(&mut more);
        assert_eq!(
            ServerFrame::parse(&more.to_string()),
            ServerFrame::parse(&golden.to_string())
        );
    }
}

#[test]
fn frames_that_are_not_of_the_protocol_get_the_documented_close_code() {
    let deep = format!(
        "{{\"type\":\"goodbye\",\"x\":{}{}}}",
        "[".repeat(5_000),
        "]".repeat(5_000)
    );
    for (text, code) in [
        (r#"{"type":"reboot"}"#, 4404),
        (r#"{"type":"welcome","protocol":1}"#, 4404),
        (r#"{"type":""}"#, 4404),
        (r#"{"type":7}"#, 4400),
        (r#"{"kind":"hello"}"#, 4400),
        (r#"{"type":"hello"}"#, 4400),
        (r#"{"type":"pong","nonce":"9"}"#, 4400),
        (r#"{"type":"pong","nonce":-1}"#, 4400),
        (r#"{"type":"pong","nonce":1.5}"#, 4400),
        (r#"{"type":"pong","nonce":1,"nonce":2}"#, 4400),
        (r#"{"type":"pong","nonce":1} {}"#, 4400),
        ("", 4400),
        ("null", 4400),
        ("[]", 4400),
        ("{", 4400),
        ("hello", 4400),
        (&deep, 4400),
    ] {
        let error = ClientFrame::parse(text).expect_err(text);
        assert_eq!(error.close_code().number(), code, "{text:.60}: {error}");
    }
    assert_eq!(
        ServerFrame::parse(r#"{"type":"hello"}"#),
        Err(ProtocolError::UnknownFrame)
    );
}

#[test]
fn a_frame_is_read_at_its_longest_and_refused_one_byte_beyond() {
    let frame = |padding: usize| format!(r#"{{"type":"goodbye","x":"{}"}}"#, "x".repeat(padding));
    let room = FRAME_BYTES_MAX - frame(0).len();
    assert_eq!(frame(room).len(), 65_536);
    assert_eq!(
        ClientFrame::parse(&frame(room)),
        Ok(ClientFrame::Goodbye {})
    );
    let error = ClientFrame::parse(&frame(room + 1)).unwrap_err();
    assert_eq!(error.close_code(), CloseCode::FrameTooBig);
    assert!(
        ServerFrame::parse(&frame(room + 1))
            .unwrap_err()
            .close_code()
            == CloseCode::FrameTooBig
    );
}

/// What stands at a place in a frame: the largest value allowed, and the smallest that is not.
struct Limit {
    frame: Value,
    place: &'static str,
    good: Value,
    bad: Value,
    code: u16,
}

fn limit(frame: Value, place: &'static str, good: Value, bad: Value) -> Limit {
    Limit {
        frame,
        place,
        good,
        bad,
        code: 4413,
    }
}

fn text_limit(frame: Value, place: &'static str, chars_max: usize) -> Limit {
    // A character of four bytes: the limit counts characters.
    limit(
        frame,
        place,
        json!("\u{1f980}".repeat(chars_max)),
        json!("\u{1f980}".repeat(chars_max + 1)),
    )
}

fn ascii_limit(frame: Value, place: &'static str, chars_max: usize) -> Limit {
    limit(
        frame,
        place,
        json!("a".repeat(chars_max)),
        json!("a".repeat(chars_max + 1)),
    )
}

fn meaning(frame: Value, place: &'static str, good: Value, bad: Value) -> Limit {
    Limit {
        frame,
        place,
        good,
        bad,
        code: 4400,
    }
}

fn held(limits: Vec<Limit>, parse: impl Fn(&str) -> Result<(), ProtocolError>) {
    for Limit {
        frame,
        place,
        good,
        bad,
        code,
    } in limits
    {
        let at = |value: Value| {
            let mut changed = frame.clone();
            *changed
                .pointer_mut(place)
                .unwrap_or_else(|| panic!("{place} in {frame}")) = value;
            changed.to_string()
        };
        assert_eq!(parse(&at(good)), Ok(()), "{place} at its limit");
        let error =
            parse(&at(bad.clone())).expect_err(&format!("{place} beyond its limit: {bad:.80}"));
        assert_eq!(error.close_code().number(), code, "{place}: {error}");
    }
}

#[test]
fn client_fields_are_taken_at_their_limit_and_refused_one_beyond() {
    let (h, r, c) = (hello, register, check_in);
    let failed =
        || json!({"type": "session_failed", "lsid": "l", "reason": "internal", "detail": ""});
    let ended = || json!({"type": "session_ended", "lsid": "l", "reason": "asked"});
    let started = || json!({"type": "session_started", "lsid": "l"});
    let pong = || json!({"type": "pong", "nonce": 1});
    let stored = || json!({"type": "anchors_stored", "version": 1});
    let disk = |mount: &str| json!({"mount": mount, "total_bytes": NUMBER_MAX, "free_bytes": 0});
    let beyond = || json!(NUMBER_MAX + 1);
    held(
        vec![
            limit(
                h(),
                "/protocols",
                json!([1, 2, 3, 4, 5, 6, 7, 8]),
                json!([1, 2, 3, 4, 5, 6, 7, 8, 9]),
            ),
            meaning(h(), "/protocols", json!([65_535]), json!([])),
            meaning(h(), "/protocols", json!([0]), json!([65_536])),
            text_limit(h(), "/agent_version", 64),
            meaning(h(), "/agent_version", json!("1"), json!("")),
            meaning(h(), "/boot_id", json!(NONCE), json!(&NONCE[1..])),
            meaning(h(), "/boot_id", json!(NONCE), json!(NONCE.to_uppercase())),
            meaning(h(), "/boot_id", json!(NONCE), json!(format!("{NONCE}0"))),
            limit(
                h(),
                "/identity/resume/client_id",
                json!(NUMBER_MAX),
                beyond(),
            ),
            meaning(h(), "/identity/resume/client_id", json!(1), json!(0)),
            ascii_limit(h(), "/identity/resume/token", 128),
            meaning(
                h(),
                "/identity/resume/token",
                json!("a".repeat(32)),
                json!("a".repeat(31)),
            ),
            meaning(
                h(),
                "/identity/resume/token",
                json!(TOKEN),
                json!(" ".repeat(40)),
            ),
            meaning(
                h(),
                "/identity",
                json!({"resume": {"client_id": 7, "token": TOKEN}}),
                json!({}),
            ),
            meaning(
                h(),
                "/identity",
                json!({"resume": {"client_id": 7, "token": TOKEN}}),
                json!({"guest": {}}),
            ),
            text_limit(h(), "/facts/hostname", 255),
            text_limit(h(), "/facts/fqdn", 255),
            text_limit(h(), "/facts/operating_system", 255),
            text_limit(h(), "/facts/console_user", 255),
            text_limit(h(), "/facts/machine_id", 64),
            text_limit(h(), "/facts/time_zone", 64),
            meaning(
                h(),
                "/facts/private_ip",
                json!("fe80::1"),
                json!("300.1.1.1"),
            ),
            meaning(h(), "/facts/private_ip", json!(""), json!("localhost")),
            meaning(h(), "/facts/install_mode", json!("user"), json!("guest")),
            limit(h(), "/facts/utc_offset_minutes", json!(1080), json!(1081)),
            meaning(h(), "/facts/utc_offset_minutes", json!(-1080), json!(-1081)),
            meaning(h(), "/facts/hostname", json!("a b"), json!("a\u{0}b")),
            meaning(h(), "/facts/hostname", json!("a b"), json!("a\nb")),
            meaning(h(), "/facts/hostname", json!("a\u{e9}"), json!("a\u{ffff}")),
            limit(h(), "/sessions", json!(vec!["l"; 64]), json!(vec!["l"; 65])),
            ascii_limit(h(), "/sessions/0", 64),
            meaning(
                r(),
                "/identity/register/installer_id",
                json!(INSTALLER),
                json!(&INSTALLER[1..]),
            ),
            meaning(
                r(),
                "/identity/register/installer_id",
                json!(INSTALLER),
                json!(format!("{INSTALLER}a")),
            ),
            ascii_limit(r(), "/identity/register/secret", 128),
            meaning(
                r(),
                "/identity/register/secret",
                json!("a".repeat(32)),
                json!("a".repeat(31)),
            ),
            meaning(r(), "/identity/register/attempt", json!(NONCE), json!("")),
            text_limit(r(), "/identity/register/overrides/name", 128),
            text_limit(r(), "/identity/register/overrides/jump_group", 255),
            text_limit(r(), "/identity/register/overrides/jump_policy", 255),
            text_limit(r(), "/identity/register/overrides/session_policy", 255),
            text_limit(r(), "/identity/register/overrides/tag", 1024),
            text_limit(r(), "/identity/register/overrides/comments", 1024),
            meaning(
                r(),
                "/identity/register/overrides/comments",
                json!("a\n\tb"),
                json!("a\u{1b}[2J"),
            ),
            limit(
                r(),
                "/identity/register/overrides/max_offline_minutes",
                json!(5_256_000),
                json!(5_256_001),
            ),
            meaning(
                r(),
                "/identity/register/overrides/max_offline_minutes",
                json!(1),
                json!(0),
            ),
            limit(c(), "/sequence", json!(NUMBER_MAX), beyond()),
            meaning(c(), "/sequence", json!(1), json!(0)),
            limit(c(), "/figures/cpu_permille", json!(1000), json!(1001)),
            limit(c(), "/figures/uptime_seconds", json!(NUMBER_MAX), beyond()),
            limit(
                c(),
                "/figures/memory_total_bytes",
                json!(NUMBER_MAX),
                beyond(),
            ),
            limit(
                c(),
                "/figures/memory_used_bytes",
                json!(NUMBER_MAX),
                beyond(),
            ),
            limit(
                c(),
                "/figures/disks",
                json!(vec![disk("/"); 32]),
                json!(vec![disk("/"); 33]),
            ),
            text_limit(c(), "/figures/disks/0/mount", 255),
            limit(
                c(),
                "/figures/disks/0/total_bytes",
                json!(NUMBER_MAX),
                beyond(),
            ),
            limit(
                c(),
                "/figures/disks/0/free_bytes",
                json!(NUMBER_MAX),
                beyond(),
            ),
            ascii_limit(started(), "/lsid", 64),
            meaning(started(), "/lsid", json!("a-_Z9"), json!("")),
            meaning(started(), "/lsid", json!("a"), json!("../a")),
            ascii_limit(failed(), "/lsid", 64),
            ascii_limit(failed(), "/reason", 64),
            meaning(failed(), "/reason", json!("a_1"), json!("Not a code")),
            text_limit(failed(), "/detail", 255),
            ascii_limit(ended(), "/lsid", 64),
            ascii_limit(ended(), "/reason", 64),
            meaning(ended(), "/reason", json!("a_1"), json!("")),
            limit(pong(), "/nonce", json!(NUMBER_MAX), beyond()),
            limit(stored(), "/version", json!(NUMBER_MAX), beyond()),
            meaning(stored(), "/version", json!(1), json!(0)),
        ],
        |text| ClientFrame::parse(text).map(drop),
    );
}

#[test]
fn server_fields_are_taken_at_their_limit_and_refused_one_beyond() {
    let w = welcome;
    let refused = || json!({"type": "refused", "code": "busy", "message": "", "retry_after_ms": 0, "final": false});
    let start = || json!({"type": "start_session", "lsid": "l", "user_display_name": "", "answer_within_ms": 1});
    let end = || json!({"type": "end_session", "lsid": "l", "reason": ""});
    let rotate = || json!({"type": "rotate_token", "token": TOKEN});
    let anchors = || json!({"type": "anchors", "version": 1, "list": ["system"]});
    let addresses = || json!({"type": "addresses", "version": 1, "urls": ["https://a"]});
    let later = || json!({"type": "retry_later", "after_ms": 1});
    let recorded = || json!({"type": "check_in_recorded", "sequence": 1});
    let ping = || json!({"type": "ping", "nonce": 1});
    let beyond = || json!(NUMBER_MAX + 1);
    held(
        vec![
            limit(w(), "/client_id", json!(NUMBER_MAX), beyond()),
            meaning(w(), "/client_id", json!(1), json!(0)),
            ascii_limit(w(), "/token", 128),
            meaning(w(), "/token", json!("a".repeat(32)), json!("a".repeat(31))),
            limit(w(), "/heartbeat_seconds", json!(300), json!(301)),
            meaning(w(), "/heartbeat_seconds", json!(1), json!(0)),
            limit(w(), "/check_in_seconds", json!(604_800), json!(604_801)),
            meaning(w(), "/check_in_seconds", json!(1), json!(0)),
            limit(w(), "/site_time_ms", json!(NUMBER_MAX), beyond()),
            limit(w(), "/anchors/version", json!(NUMBER_MAX), beyond()),
            limit(
                w(),
                "/anchors/list",
                json!(vec!["system"; 8]),
                json!(vec!["system"; 9]),
            ),
            meaning(w(), "/anchors/list", json!(["system"]), json!([])),
            meaning(
                w(),
                "/anchors/list",
                json!(["system"]),
                json!(["sha256:12"]),
            ),
            limit(
                w(),
                "/anchors/list",
                json!(["system", "x".repeat(128)]),
                json!(["system", "x".repeat(129)]),
            ),
            ascii_limit(refused(), "/code", 64),
            text_limit(refused(), "/message", 1024),
            limit(
                refused(),
                "/retry_after_ms",
                json!(86_400_000),
                json!(86_400_001),
            ),
            ascii_limit(start(), "/lsid", 64),
            text_limit(start(), "/user_display_name", 255),
            limit(
                start(),
                "/answer_within_ms",
                json!(86_400_000),
                json!(86_400_001),
            ),
            ascii_limit(end(), "/lsid", 64),
            text_limit(end(), "/reason", 255),
            ascii_limit(rotate(), "/token", 128),
            limit(anchors(), "/version", json!(NUMBER_MAX), beyond()),
            meaning(anchors(), "/list", json!(["system"]), json!(["newer:kind"])),
            limit(addresses(), "/version", json!(NUMBER_MAX), beyond()),
            meaning(addresses(), "/version", json!(1), json!(0)),
            limit(
                addresses(),
                "/urls",
                json!(vec!["https://a"; 4]),
                json!(vec!["https://a"; 5]),
            ),
            limit(
                addresses(),
                "/urls",
                json!([format!("https://{}", "h".repeat(192))]),
                json!([format!("https://{}", "h".repeat(193))]),
            ),
            meaning(addresses(), "/urls", json!(["https://a"]), json!([])),
            meaning(
                addresses(),
                "/urls",
                json!(["https://a"]),
                json!(["https://a/b"]),
            ),
            limit(later(), "/after_ms", json!(86_400_000), json!(86_400_001)),
            limit(recorded(), "/sequence", json!(NUMBER_MAX), beyond()),
            limit(ping(), "/nonce", json!(NUMBER_MAX), beyond()),
            limit(
                settings(),
                "/check_in_seconds",
                json!(604_800),
                json!(604_801),
            ),
            limit(
                settings(),
                "/statistics",
                json!(vec!["cpu"; 16]),
                json!(vec!["cpu"; 17]),
            ),
            limit(
                settings(),
                "/remove_after_minutes",
                json!(5_256_000),
                json!(5_256_001),
            ),
        ],
        |text| ServerFrame::parse(text).map(drop),
    );
}

/// CLNT-31: a picture is a small PNG, and what is not asked for is left out.
#[test]
fn a_screen_is_a_small_picture_and_statistics_can_be_left_out() {
    use base64::Engine;
    let picture = |bytes: usize| {
        let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
        png.resize(bytes, 0);
        base64::engine::general_purpose::STANDARD.encode(png)
    };
    let figures = |screen: String| Figures {
        screen_png: Some(screen),
        cpu_permille: Some(1),
        ..Figures::default()
    };
    assert_eq!(figures(picture(18_432)).check(), Ok(()));
    assert_eq!(
        figures(picture(18_435)).check(),
        Err(ProtocolError::OverLimit {
            field: "figures.screen_png",
            limit: 24 * 1024
        })
    );
    for bad in ["", "<svg/>", "R0lGODlh"] {
        assert!(figures(bad.to_owned()).check().is_err(), "{bad}");
    }
    let kept = figures(picture(20)).only(|statistic| statistic == "screen");
    assert_eq!(
        (kept.cpu_permille, kept.screen_png),
        (None, Some(picture(20)))
    );
}

#[test]
fn figures_are_bounded_together_at_32_kibibytes() {
    let with = |first: usize| {
        let disk = |chars: usize| Disk {
            mount: "\u{1f980}".repeat(chars),
            total_bytes: NUMBER_MAX,
            free_bytes: NUMBER_MAX,
        };
        let mut disks = vec![disk(238); DISKS_MAX - 1];
        disks.push(disk(first));
        CheckIn {
            sequence: 1,
            facts: Facts::default(),
            figures: Figures {
                disks,
                ..Figures::default()
            },
        }
    };
    let bytes = |check_in: &CheckIn| serde_json::to_vec(&check_in.figures).unwrap().len();
    let fits = (0..=TEXT_CHARS_MAX)
        .rev()
        .map(with)
        .find(|c| bytes(c) <= FIGURES_BYTES_MAX)
        .unwrap();
    let chars = fits.figures.disks[DISKS_MAX - 1].mount.chars().count();
    assert!(chars < TEXT_CHARS_MAX && FIGURES_BYTES_MAX - bytes(&fits) < 4);
    assert!(ClientFrame::CheckIn(Box::new(fits)).to_text().is_ok());
    let error = ClientFrame::CheckIn(Box::new(with(chars + 1)))
        .to_text()
        .unwrap_err();
    assert_eq!(
        error,
        ProtocolError::OverLimit {
            field: "figures",
            limit: 32 * 1024
        }
    );
}

#[test]
fn changed_facts_say_only_what_changed_and_what_is_gone() {
    let before = Facts {
        hostname: Some("web-1".to_owned()),
        console_user: Some("anna".to_owned()),
        utc_offset_minutes: Some(60),
        ..Facts::default()
    };
    let now = Facts {
        console_user: None,
        utc_offset_minutes: Some(120),
        private_ip: Some("10.0.0.7".to_owned()),
        ..before.clone()
    };
    let changed = now.changed_since(&before);
    let expected = Facts {
        console_user: Some(String::new()),
        utc_offset_minutes: Some(120),
        private_ip: Some("10.0.0.7".to_owned()),
        ..Facts::default()
    };
    assert_eq!(changed, expected);
    assert!(before.changed_since(&before).is_empty());
}

/// threat C
#[test]
fn threat_c_neither_debug_nor_errors_show_a_token() {
    for text in [hello().to_string(), register().to_string()] {
        assert!(!format!("{:?}", ClientFrame::parse(&text)).contains(TOKEN));
        let broken = text.replace("\"0.1.0\"", "1");
        let error = ClientFrame::parse(&broken).unwrap_err();
        assert!(!format!("{error:?} {error}").contains(TOKEN));
    }
    assert!(!format!("{:?}", ServerFrame::parse(&welcome().to_string())).contains(TOKEN));
}
