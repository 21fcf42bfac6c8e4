//! Which texts are addresses that mail can be sent to.

use super::{MailAddress, is_address, split};

/// POL-38
#[test]
fn what_can_not_be_sent_to_is_no_address() {
    let long_local = format!("{}@example.com", "a".repeat(65));
    let long_label = format!("a@{}.example", "b".repeat(64));
    let long = format!(
        "{}@{}.example",
        "a".repeat(64),
        vec!["b".repeat(60); 3].join(".")
    );
    for text in [
        "",
        "boss",
        "@example.com",
        "boss@",
        "a@b@c",
        "a b@example.com",
        "a@example.com;b@example.com",
        "a@example.com,b@example.com",
        "a@example.com b@example.com",
        "x@example.com.",
        ".x@example.com",
        "x.@example.com",
        "x..y@example.com",
        "x@.example.com",
        "x@example..com",
        "x@-example.com",
        "x@exa_mple.com",
        "x@[192.0.2.1]",
        "x@192.0.2.1",
        "x@[IPv6:2001:db8::1]",
        "\"a b\"@example.com",
        "Boss <boss@example.com>",
        "<boss@example.com>",
        "j\u{f6}rg@example.com",
        "boss@example.com>\r\nRCPT TO:<eve@x",
        "boss@example.com\0",
        "boss\u{202e}@example.com",
        &long_local,
        &long_label,
        &long,
    ] {
        assert!(!is_address(text), "{text:?}");
    }
}

/// A domain of another script is sent to by its A-labels; the local part stays as it was written.
#[test]
fn an_address_has_a_domain_of_a_labels() {
    for (text, sent) in [
        ("Boss@Example.COM", "Boss@example.com"),
        (
            "a.b+tag_1@mail.example.co.uk",
            "a.b+tag_1@mail.example.co.uk",
        ),
        ("root@localhost", "root@localhost"),
        ("o'neil@example.com", "o'neil@example.com"),
        ("x@b\u{fc}cher.example", "x@xn--bcher-kva.example"),
        ("x@\u{4f8b}\u{3048}.jp", "x@xn--r8jz45g.jp"),
        ("x@xn--bcher-kva.example", "x@xn--bcher-kva.example"),
    ] {
        let address: MailAddress = text.parse().expect(text);
        assert_eq!(address.to_string(), sent, "{text}");
    }
    let longest = format!(
        "{}@{}.example",
        "a".repeat(64),
        vec!["b".repeat(59); 3].join(".")
    );
    assert!(is_address(&longest), "{}", longest.len());
}

/// POL-27
#[test]
fn several_addresses_in_one_text_are_taken_apart() {
    let parts = |text: &'static str| split(text).collect::<Vec<_>>();
    assert_eq!(parts("a@x b@x"), ["a@x", "b@x"]);
    assert_eq!(parts(" a@x;b@x, c@x;\n"), ["a@x", "b@x", "c@x"]);
    assert_eq!(parts(" ; "), [""; 0]);
}
