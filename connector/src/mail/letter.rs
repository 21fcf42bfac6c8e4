//! A mail as text: the template of its language, filled with its values, and the headers around it.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::ids::MailDeliveryId;
use domain::site::mail_address::MailAddress;
use domain::site::mail_delivery::{
    ApproverAsked, Delivery, InstallerOffered, Mail, Message as Said, RequestTold, RequesterTold,
    SessionTold,
};
use domain::site::mail_template::{MacroValue, MailTemplate, Rendered, escape};
use domain::{Timestamp, World};
use lettre::message::header::{ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0};
use lettre::message::{Mailbox, Message};
use lettre::{Address, address::Envelope};

use super::language::{InstallerOffer, Language, Languages, Words};

/// What an encoded word may hold, so that it fits a line with the name of its header.
const ENCODED_WORD_BYTES_MAX: usize = 42;

/// A mail that can be handed to a mail server.
pub(super) struct Letter {
    pub(super) envelope: Envelope,
    pub(super) bytes: Vec<u8>,
    /// The domain of the sender, which is how we greet.
    pub(super) sender_domain: String,
}

/// Why a mail can't be written; for people.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unwritable {
    #[error("The address {0:?} is not one that mail can be sent to.")]
    Recipient(String),
    #[error("The sender's address {0:?} is not one that mail can be sent from.")]
    Sender(String),
    #[error("There is no text for the mail in any language.")]
    NoText,
    #[error("The mail could not be put together: {0}")]
    Message(#[from] lettre::error::Error),
}

/// Writes a mail. `link` is the approver's own, or that of an installer, where it is about one; it is in no other place than
/// the mail.
pub(super) fn write(
    world: &World,
    languages: &Languages,
    id: MailDeliveryId,
    delivery: &Delivery,
    link: Option<&str>,
) -> Result<Letter, Unwritable> {
    let settings = &world.mail_settings;
    let mail = &delivery.mail;
    let unwritable = || Unwritable::Sender(settings.from_address.clone());
    let sender = address(&settings.from_address).ok_or_else(unwritable)?;
    let recipient =
        address(&mail.recipient).ok_or_else(|| Unwritable::Recipient(mail.recipient.clone()))?;
    let text = text(world, languages, mail, link).ok_or(Unwritable::NoText)?;
    let name = (!settings.from_name.is_empty()).then(|| settings.from_name.clone());
    let sender_domain = sender.domain().to_owned();
    let message = Message::builder()
        .header(MIME_VERSION_1_0)
        .message_id(Some(message_id(world, id)))
        .date(moment(delivery.queued_at))
        .from(Mailbox::new(name, sender.clone()))
        .to(Mailbox::new(None, recipient.clone()))
        .raw_header(subject(text.subject))
        .raw_header(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ))
        .header(ContentType::TEXT_HTML)
        .body(text.body)?;
    Ok(Letter {
        envelope: Envelope::new(Some(sender), vec![recipient])?,
        bytes: message.formatted(),
        sender_domain,
    })
}

/// An address as the mail server is told it: what was entered under the same rule, with its domain in A-labels.
fn address(text: &str) -> Option<Address> {
    let address: MailAddress = text.parse().ok()?;
    Address::new(address.local(), address.domain()).ok()
}

/// The subject as a header. What looks like an encoded word would be read as one, with whatever a stranger has hidden in it, so
/// such a subject is encoded as a whole.
fn subject(text: String) -> HeaderValue {
    let name = HeaderName::new_from_ascii_str("Subject");
    if text.contains("=?") {
        let encoded = encoded_words(&text);
        HeaderValue::dangerous_new_pre_encoded(name, text, encoded)
    } else {
        HeaderValue::new(name, text)
    }
}

/// The text in encoded words of RFC 2047, one a line.
fn encoded_words(text: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (word, later) = rest.split_at(rest.floor_char_boundary(ENCODED_WORD_BYTES_MAX));
        words.push(format!("=?utf-8?b?{}?=", STANDARD.encode(word)));
        rest = later;
    }
    words.join("\r\n ")
}

/// The same for every attempt, so that whoever gets a mail twice can drop one.
fn message_id(world: &World, id: MailDeliveryId) -> String {
    let site = world.site.as_ref().map_or("site", |site| &site.site_id);
    format!("<{id}@{site}.gatebook>")
}

fn moment(at: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(at.0).unwrap_or(0))
}

fn text(world: &World, languages: &Languages, mail: &Mail, link: Option<&str>) -> Option<Rendered> {
    let language = languages.nearest(world, &mail.language)?;
    let template = languages.nearest_template(world, mail.message.kind(), &mail.language)?;
    let (words, content) = (&language.words, &language.content);
    let filled = match &mail.message {
        Said::ApprovalRequested(ApproverAsked { request, .. }) => {
            let said = asked(&content.approval_requested, link);
            of_request(template, words, request, &words.pending, said)
        }
        Said::RequestApproved(RequesterTold { comment, request }) => {
            let said = decided(&content.request_approved, words, comment);
            of_request(template, words, request, &words.approved, said)
        }
        Said::RequestDenied(RequesterTold { comment, request }) => {
            let said = decided(&content.request_denied, words, comment);
            of_request(template, words, request, &words.denied, said)
        }
        Said::SessionStarted(session) => of_session(
            template,
            words,
            session,
            &words.start,
            escape(&content.session_started),
        ),
        Said::SessionEnded(session) => of_session(
            template,
            words,
            session,
            &words.end,
            escape(&content.session_ended),
        ),
        Said::InstallerOffered(offered) => of_installer(&content.installer, words, offered, link),
        Said::Test(_) => of_test(language),
    };
    Some(filled)
}

/// The approver's sentence with the link (APPR-07).
fn asked(sentence: &str, link: Option<&str>) -> String {
    let link = link.map(escape).unwrap_or_default();
    format!("{}<br>\n<a href=\"{link}\">{link}</a>", escape(sentence))
}

/// The requester's sentence with the approver's comments; never who decided (APPR-16).
fn decided(sentence: &str, words: &Words, comment: &str) -> String {
    if comment.is_empty() {
        return escape(sentence);
    }
    format!(
        "{}<br>\n{}: {}",
        escape(sentence),
        escape(&words.comments),
        escape(comment)
    )
}

fn of_request(
    template: &MailTemplate,
    words: &Words,
    request: &RequestTold,
    state: &str,
    content: String,
) -> Rendered {
    let text = |text: &str| Some(MacroValue::Text(text.to_owned()));
    template.render(|name| match name {
        "CONTENT" => Some(MacroValue::Markup(content.clone())),
        "AUTHORIZATION_REQUEST.ID" => text(&request.id.to_string()),
        "AUTHORIZATION_REQUEST.STATE" => text(state),
        "AUTHORIZATION_REQUEST.CREATOR.DISPLAY_NAME" => text(&request.creator_display_name),
        "JUMP_ITEM.NAME" => text(&request.item_name),
        "AUTHORIZATION_REQUEST.START_TIME" => text(&time(words, request.start_at)),
        "AUTHORIZATION_REQUEST.DURATION" => text(&duration(words, request)),
        "AUTHORIZATION_REQUEST.REASON" => text(&request.reason),
        _ => None,
    })
}

fn of_session(
    template: &MailTemplate,
    words: &Words,
    session: &SessionTold,
    event: &str,
    content: String,
) -> Rendered {
    let text = |text: &str| Some(MacroValue::Text(text.to_owned()));
    template.render(|name| match name {
        "CONTENT" => Some(MacroValue::Markup(content.clone())),
        "JUMP_ITEM.NAME" => text(&session.item_name),
        "JUMP_ITEM.FQDN" => text(&session.item_fqdn),
        "JUMP_ITEM.JUMP_GROUP.NAME" => text(&session.group_name),
        "USER.DISPLAY_NAME" => text(&session.user_display_name),
        "EVENT.NAME" => text(event),
        "EVENT.TIME" => text(&time(words, session.at)),
        _ => None,
    })
}

/// Several recipients install from the same link (INST-16).
fn of_installer(
    words: &InstallerOffer,
    times: &Words,
    offered: &InstallerOffered,
    link: Option<&str>,
) -> Rendered {
    let link = link.map(escape).unwrap_or_default();
    let line = |word: &str, value: &str| match value {
        "" => String::new(),
        value => format!("<div>{}: {}</div>\n", escape(word), escape(value)),
    };
    Rendered {
        subject: words.subject.clone(),
        body: [
            format!(
                "<p>{}<br>\n<a href=\"{link}\">{link}</a></p>\n",
                escape(&words.offered)
            ),
            line(&words.sender, &offered.sender),
            line(&words.platform, &offered.platform_title),
            line(&words.valid_until, &time(times, offered.valid_until)),
        ]
        .concat(),
    }
}

fn of_test(language: &Language) -> Rendered {
    Rendered {
        subject: language.content.test_subject.clone(),
        body: format!("<p>{}</p>", escape(&language.content.test)),
    }
}

fn time(words: &Words, at: Timestamp) -> String {
    at.to_utc().format(&words.time).to_string()
}

/// All of it: `2 Hour(s) 30 Minute(s)`.
fn duration(words: &Words, request: &RequestTold) -> String {
    let of_minutes = request.duration_minutes.saturating_mul(60);
    let seconds = request.duration_seconds.unwrap_or(of_minutes);
    let parts: Vec<String> = [
        (seconds / 3_600, &words.hours),
        (seconds / 60 % 60, &words.minutes),
        (seconds % 60, &words.seconds),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, word)| format!("{count} {word}"))
    .collect();
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use domain::ids::{AccessRequestId, Lsid};
    use domain::site::mail_delivery::State;

    use super::*;

    fn request(reason: &str) -> RequestTold {
        RequestTold {
            id: AccessRequestId(7),
            creator_display_name: "Anna <A&B>".to_owned(),
            item_name: "web01".to_owned(),
            start_at: Timestamp::from_unix_seconds(1_772_442_000),
            duration_minutes: 150,
            duration_seconds: Some(9_000),
            reason: reason.to_owned(),
        }
    }

    fn rendered(message: Said, language: &str, link: Option<&str>) -> Rendered {
        let mail = Mail {
            recipient: "boss@example.com".to_owned(),
            language: language.to_owned(),
            message,
        };
        text(&World::default(), &Languages::shipped(), &mail, link).expect("a text")
    }

    /// APPR-07, APPR-35, POL-46, POL-47
    #[test]
    fn an_approver_reads_all_of_the_request_and_has_a_link() {
        let asked = Said::ApprovalRequested(ApproverAsked {
            approver: 0,
            request: request("disk full"),
        });
        let text = rendered(
            asked,
            "en-us",
            Some("https://access.example.com/approve/7/abc"),
        );
        assert_eq!(
            text.subject,
            "Session Authorization Request 7 - web01 - Pending"
        );
        for part in [
            "<a href=\"https://access.example.com/approve/7/abc\">https://access.example.com/approve/7/abc</a>",
            "<div>Request # 7</div>",
            "<div>Request State: Pending</div>",
            "<div>Requesting User: Anna &lt;A&amp;B&gt;</div>",
            "3em\">web01</div>",
            "3em\">2026-03-02 09:00 UTC for 2 Hour(s) 30 Minute(s)</div>",
            "3em\">disk full</div>",
        ] {
            assert!(text.body.contains(part), "{part}\n{}", text.body);
        }
        assert!(!text.body.contains('%'), "{}", text.body);
    }

    /// APPR-02: a duration is told whole, also that of a mail which was queued when only minutes were kept.
    #[test]
    fn durations_are_told_to_the_second() {
        let words = &Languages::shipped();
        let words = &words
            .nearest(&World::default(), "en-us")
            .expect("english")
            .words;
        for (minutes, seconds, text) in [
            (1, Some(90), "1 Minute(s) 30 Second(s)"),
            (120, Some(7_200), "2 Hour(s)"),
            (60, Some(3_601), "1 Hour(s) 1 Second(s)"),
            (150, None, "2 Hour(s) 30 Minute(s)"),
        ] {
            let request = RequestTold {
                duration_minutes: minutes,
                duration_seconds: seconds,
                ..request("x")
            };
            assert_eq!(duration(words, &request), text);
        }
    }

    /// RFC 2045: readers of MIME go by the version, and addresses go out in A-labels.
    #[test]
    fn a_mail_says_its_mime_version_and_is_ascii_outside() {
        let mut world = World::default();
        world.mail_settings.from_address = "gatebook@b\u{fc}cher.example".to_owned();
        let letter = super::write(
            &world,
            &Languages::shipped(),
            MailDeliveryId(1),
            &test_mail("boss@b\u{fc}cher.example"),
            None,
        )
        .expect("a mail");
        let text = String::from_utf8(letter.bytes).expect("text");
        let head = text.split("\r\n\r\n").next().expect("a head");
        assert!(head.contains("MIME-Version: 1.0\r\n"), "{head}");
        assert!(head.contains("boss@xn--bcher-kva.example"), "{head}");
        assert!(head.is_ascii(), "{head}");
        let to = letter.envelope.to().first().map(ToString::to_string);
        assert_eq!(to.as_deref(), Some("boss@xn--bcher-kva.example"));
        assert_eq!(letter.sender_domain, "xn--bcher-kva.example");
    }

    /// threat K: marks that turn the direction of text can't make a mail read as something else.
    #[test]
    fn threat_k_a_value_can_not_turn_the_text_around() {
        let mut request = request("\u{202e}draobyek\u{2066}\u{200f}\u{61c}");
        request.item_name = "web\u{202e}10".to_owned();
        let asked = Said::ApprovalRequested(ApproverAsked {
            approver: 0,
            request,
        });
        let text = rendered(asked, "en-us", Some("https://good.example"));
        let marks = ['\u{202e}', '\u{2066}', '\u{200f}', '\u{61c}'];
        assert!(!text.subject.contains(marks), "{}", text.subject);
        assert!(!text.body.contains(marks), "{}", text.body);
        assert!(text.subject.contains("web\u{fffd}10"));
    }

    /// POL-29: the same mail in the language of the policy.
    #[test]
    fn a_mail_is_in_its_own_language() {
        let asked = Said::ApprovalRequested(ApproverAsked {
            approver: 0,
            request: request("voll"),
        });
        let text = rendered(asked, "de", Some("https://x"));
        assert_eq!(text.subject, "Sitzungsfreigabe, Anfrage 7 - web01 - Offen");
        assert!(
            text.body
                .contains("02.03.2026 09:00 UTC, Dauer 2 Stunde(n) 30 Minute(n)")
        );
    }

    /// APPR-16, APPR-18
    #[test]
    fn a_requester_is_told_what_was_decided_and_not_by_whom() {
        let told = |comment: &str| RequesterTold {
            comment: comment.to_owned(),
            request: request("x"),
        };
        let text = rendered(
            Said::RequestApproved(told("only <b>today</b>")),
            "en-us",
            None,
        );
        assert!(text.subject.ends_with("- Approved"));
        assert!(text.body.contains(
            "Your request for access was approved.<br>\nComments: only &lt;b&gt;today&lt;/b&gt;"
        ));
        let text = rendered(Said::RequestDenied(told("")), "en-us", None);
        assert!(text.subject.ends_with("- Denied"));
        assert!(
            text.body
                .contains("<p>Your request for access was denied.</p>")
        );
        assert!(!text.body.contains("href"), "no link for the requester");
    }

    /// POL-44, POL-45, POL-53
    #[test]
    fn a_notification_says_what_happened_where_and_by_whom() {
        let session = SessionTold {
            lsid: Lsid(1),
            item_name: "web01".to_owned(),
            item_fqdn: "web01.example.com".to_owned(),
            group_name: "Web Servers".to_owned(),
            user_display_name: "Anna".to_owned(),
            user: None,
            at: Timestamp::from_unix_seconds(1_772_442_000),
        };
        let text = rendered(Said::SessionStarted(session.clone()), "en-us", None);
        assert_eq!(text.subject, "Session Start Notification - web01");
        for part in [
            "System Name: web01<",
            "System FQDN: web01.example.com<",
            "Group: Web Servers<",
            "Name: Anna<",
            "Type: Start<",
            "Time: 2026-03-02 09:00 UTC<",
        ] {
            assert!(text.body.contains(part), "{part}");
        }
        let text = rendered(Said::SessionEnded(session), "en-us", None);
        assert_eq!(text.subject, "Session End Notification - web01");
    }

    /// POL-54, threat K: a reason can't bring a link of its own.
    #[test]
    fn threat_k_a_reason_can_not_forge_the_link() {
        let hostile = "</div><a href=\"https://evil.example\">approve</a>%CONTENT%";
        let asked = Said::ApprovalRequested(ApproverAsked {
            approver: 0,
            request: request(hostile),
        });
        let text = rendered(asked, "en-us", Some("https://good.example"));
        assert_eq!(text.body.matches("<a ").count(), 1);
        assert_eq!(text.body.matches("https://good.example").count(), 2);
        assert!(
            text.body
                .contains("&lt;a href=&quot;https://evil.example&quot;")
        );
    }

    /// INST-16: the link, for which system it is and until when it is good; what people call themselves is only text.
    #[test]
    fn who_is_to_install_a_client_has_a_link() {
        let offered = |sender: &str| {
            Said::InstallerOffered(InstallerOffered {
                installer: domain::ids::JumpClientInstallerId(1),
                platform: "linux-64".to_owned(),
                platform_title: "Linux".to_owned(),
                sender: sender.to_owned(),
                valid_until: Timestamp::from_unix_seconds(1_772_442_000),
            })
        };
        let link = "https://access.example.com/download/abc/linux-64";
        let text = rendered(offered("Anna <b>"), "en-us", Some(link));
        assert_eq!(text.subject, "Jump Client Installer");
        for part in [
            "<a href=\"https://access.example.com/download/abc/linux-64\">https://access.example.com/download/abc/linux-64</a>",
            "<div>Sent by: Anna &lt;b&gt;</div>",
            "<div>Platform: Linux</div>",
            "<div>Valid until: 2026-03-02 09:00 UTC</div>",
        ] {
            assert!(text.body.contains(part), "{part}\n{}", text.body);
        }
        let text = rendered(offered(""), "de", Some(link));
        assert_eq!(text.subject, "Installationsprogramm des Jump Clients");
        assert!(text.body.contains("<div>Plattform: Linux</div>"));
        assert!(
            !text.body.contains("Gesendet von"),
            "an integration has no name"
        );
    }

    fn test_mail(recipient: &str) -> Delivery {
        Delivery {
            mail: Mail {
                recipient: recipient.to_owned(),
                language: "en-us".to_owned(),
                message: Said::Test(domain::site::mail_delivery::Tried { by: None }),
            },
            queued_at: Timestamp(0),
            attempts: 0,
            reason: String::new(),
            state: State::Waiting(Timestamp(0)),
        }
    }

    #[test]
    fn what_is_no_address_is_not_written_to() {
        let mut world = World::default();
        world.mail_settings.from_address = "gatebook@example.com".to_owned();
        let write = |world: &World, recipient: &str| {
            let languages = Languages::shipped();
            super::write(
                world,
                &languages,
                MailDeliveryId(1),
                &test_mail(recipient),
                None,
            )
        };
        assert!(write(&world, "boss@example.com").is_ok());
        for bad in [
            "",
            "boss",
            "a@b@c",
            "a b@example.com",
            "boss@example.com>\r\nRCPT TO:<eve@x",
        ] {
            assert!(
                matches!(write(&world, bad), Err(Unwritable::Recipient(_))),
                "{bad}"
            );
        }
        world.mail_settings.from_address = "nobody".to_owned();
        assert!(matches!(
            write(&world, "boss@example.com"),
            Err(Unwritable::Sender(_))
        ));
    }
}
