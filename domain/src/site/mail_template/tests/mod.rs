//! Templates: what may stand in one, and that values stay values.

use proptest::prelude::*;

use super::{
    Command, MacroValue, MailKind, MailTemplate, Piece, escape, is_language, macros_in, pieces,
};
use crate::Refusal;
use crate::ids::MailTemplateId;
use crate::testing::{ADMIN, ANNA, given, person};

fn id(kind: MailKind, language: &str) -> MailTemplateId {
    MailTemplateId {
        kind,
        language: language.to_owned(),
    }
}

fn template(subject: &str, body: &str) -> MailTemplate {
    MailTemplate {
        subject: subject.to_owned(),
        body: body.to_owned(),
    }
}

fn text(value: &str) -> Option<MacroValue> {
    Some(MacroValue::Text(value.to_owned()))
}

/// POL-48
#[test]
fn both_kinds_are_edited_per_language_and_go_back() {
    let approval = id(MailKind::Approval, "de");
    let notification = id(MailKind::Notification, "fr");
    let german = template("Anfrage", "%CONTENT%");
    let french = template("Session %EVENT.NAME%", "<p>%JUMP_ITEM.NAME%</p>");
    let site = given([person(ANNA)])
        .when(ADMIN, Command::Set(approval.clone(), german.clone()))
        .then_something()
        .when(ADMIN, Command::Set(notification.clone(), french.clone()))
        .then_something()
        .when(ADMIN, Command::Set(notification.clone(), french.clone()))
        .then_nothing();
    assert_eq!(site.world().mail_templates.get(&approval), Some(&german));
    assert_eq!(
        site.world().mail_templates.get(&notification),
        Some(&french)
    );
    let site = site
        .when(ADMIN, Command::Reset(approval.clone()))
        .then_something()
        .when(ADMIN, Command::Reset(approval.clone()))
        .then_nothing();
    assert_eq!(site.world().mail_templates.get(&approval), None);
    site.when(ANNA, Command::Reset(notification))
        .then_refused(Refusal::AdministratorNeeded);
}

/// POL-45, POL-46
#[test]
fn each_kind_has_its_macros_and_no_others() {
    let notification = [
        "CONTENT",
        "JUMP_ITEM.NAME",
        "JUMP_ITEM.FQDN",
        "JUMP_ITEM.JUMP_GROUP.NAME",
        "USER.DISPLAY_NAME",
        "EVENT.NAME",
        "EVENT.TIME",
    ];
    let approval = [
        "CONTENT",
        "AUTHORIZATION_REQUEST.ID",
        "AUTHORIZATION_REQUEST.STATE",
        "AUTHORIZATION_REQUEST.CREATOR.DISPLAY_NAME",
        "JUMP_ITEM.NAME",
        "AUTHORIZATION_REQUEST.START_TIME",
        "AUTHORIZATION_REQUEST.DURATION",
        "AUTHORIZATION_REQUEST.REASON",
    ];
    for (kind, macros) in [
        (MailKind::Notification, &notification[..]),
        (MailKind::Approval, &approval[..]),
    ] {
        let all: String = macros.iter().map(|name| format!("%{name}% ")).collect();
        given([])
            .when(ADMIN, Command::Set(id(kind, "de"), template("x", &all)))
            .then_something();
        for name in macros {
            let filled = template("x", &format!("[%{name}%]"))
                .render(|asked| (asked == *name).then(|| MacroValue::Text("value".to_owned())));
            assert_eq!(filled.body, "[value]", "{name}");
        }
    }
}

/// POL-46, POL-48: a template can't lose the approver's link, and can't ask for what there is not.
#[test]
fn templates_that_could_not_work_are_refused() {
    use MailKind::{Approval, Notification};
    let long = "x".repeat(256);
    // kind, language, subject, body, wrong fields
    let cases: [(MailKind, &str, &str, &str, &[&str]); 10] = [
        (Approval, "de", "s", "no link", &["body"]),
        (Approval, "de", "s", "%CONTENT% %EVENT.NAME%", &["body"]),
        (
            Notification,
            "de",
            "s",
            "%AUTHORIZATION_REQUEST.REASON%",
            &["body"],
        ),
        (Notification, "de", "%PASSWORD%", "b", &["subject"]),
        (Notification, "de", "%CONTENT%", "b", &["subject"]),
        (
            Notification,
            "de",
            "a\nBcc: eve@example.com",
            "b",
            &["subject"],
        ),
        (Notification, "de", "", " ", &["subject", "body"]),
        (Notification, "de", &long, "b", &["subject"]),
        (Notification, "de", "s", "\0", &["body"]),
        (Notification, "DE", "s", "b", &["language"]),
    ];
    for (kind, language, subject, body, fields) in cases {
        given([])
            .when(
                ADMIN,
                Command::Set(id(kind, language), template(subject, body)),
            )
            .then_invalid(fields);
    }
    let percent = template("100% of %EVENT.NAME%", "50 % or 5%X or %% or %eval% or %A");
    given([])
        .when(ADMIN, Command::Set(id(Notification, "de"), percent))
        .then_something();
}

#[test]
fn no_more_templates_than_a_site_needs() {
    let fill = (0..super::TEMPLATES_MAX).map(|number| {
        crate::Event::MailTemplate(
            id(MailKind::Notification, &format!("de-x{number}")),
            super::Event::Set(template("s", "b")),
        )
    });
    given(fill)
        .when(
            ADMIN,
            Command::Set(id(MailKind::Notification, "fr"), template("s", "b")),
        )
        .then_invalid(&["language"]);
}

#[test]
fn locale_codes_have_a_form() {
    for good in ["en-us", "de", "pt-br", "zh-hans", "fil"] {
        assert!(is_language(good), "{good}");
    }
    for bad in [
        "",
        "e",
        "EN-US",
        "en_us",
        "en-",
        "../../x",
        "en-us-much-too-long",
        "12",
    ] {
        assert!(!is_language(bad), "{bad}");
    }
}

/// POL-53, POL-54, threats K and P: what is typed by a requester stays text, whatever it looks like.
#[test]
fn threat_p_values_are_escaped_and_never_looked_at_again() {
    let hostile =
        "<a href=\"https://evil.example\">%CONTENT%</a> & '%AUTHORIZATION_REQUEST.ID%'\u{7}";
    let filled = template(
        "%AUTHORIZATION_REQUEST.REASON%",
        "<p>%CONTENT%</p>%AUTHORIZATION_REQUEST.REASON%%UNKNOWN%",
    )
    .render(|name| match name {
        "AUTHORIZATION_REQUEST.REASON" => text(hostile),
        "CONTENT" => Some(MacroValue::Markup("<b>link</b>".to_owned())),
        _ => None,
    });
    assert_eq!(
        filled.body,
        "<p><b>link</b></p>&lt;a href=&quot;https://evil.example&quot;&gt;%CONTENT%&lt;/a&gt; &amp; &#39;%AUTHORIZATION_REQUEST.ID%&#39; "
    );
    assert_eq!(
        filled.subject,
        "<a href=\"https://evil.example\">%CONTENT%</a> & '%AUTHORIZATION_REQUEST.ID%' "
    );
    let split = template("Hi %EVENT.NAME%", "b").render(|_| text("a\r\nBcc: eve@example.com"));
    assert_eq!(split.subject, "Hi a  Bcc: eve@example.com");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a template is, its pieces are the whole of it.
    #[test]
    fn pieces_add_up(template in "[%A-Z._a-z ä]{0,40}") {
        let whole: String = pieces(&template)
            .into_iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.to_owned(),
                Piece::Macro(name) => format!("%{name}%"),
            })
            .collect();
        prop_assert_eq!(whole, template);
    }

    /// threats K and P: no value brings markup or a macro into a body.
    #[test]
    fn threat_k_no_value_becomes_markup(value in any::<String>()) {
        let body = template("s", "%EVENT.NAME%").render(|_| text(&value)).body;
        prop_assert!(!body.contains(['<', '>', '"', '\'']));
        prop_assert_eq!(body, escape(&value));
        let subject = template("%EVENT.NAME%", "b").render(|_| text(&value)).subject;
        prop_assert!(!subject.contains(char::is_control));
        prop_assert!(macros_in("no macro").next().is_none());
    }
}
