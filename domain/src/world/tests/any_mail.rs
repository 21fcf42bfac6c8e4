//! Commands about mail at random.

use proptest::prelude::*;
use serde_json::json;

use crate::Command;
use crate::ids::{AccessRequestId, Lsid, MailDeliveryId, MailTemplateId};
use crate::site::mail_delivery::{
    self, ApproverAsked, Mail, Message, Outcome, RequestTold, SessionTold,
};
use crate::site::mail_settings::{MAIL_SETTINGS, MailSettings};
use crate::site::mail_template::{self, MailKind, MailTemplate};
use crate::testing::{MONDAY, change};

/// Somebody asks for something about mail.
pub(super) fn any_mail_command() -> impl Strategy<Value = Command> {
    (0..12_u32, 1..4_u32, 1..4_u32).prop_map(|(choice, a, b)| command(choice, a, b))
}

fn command(choice: u32, a: u32, b: u32) -> Command {
    let delivery = MailDeliveryId(u128::from(a % 2));
    let template = MailTemplateId {
        kind: MailKind::ALL[usize::try_from(a % 2).unwrap_or(0)],
        language: "de".to_owned(),
    };
    let outcome = match b {
        1 => Outcome::Deferred {
            reason: "450".to_owned(),
        },
        2 => Outcome::Refused {
            reason: "550".to_owned(),
        },
        _ => Outcome::Delivered,
    };
    match choice {
        0..=3 => mail_delivery::Command::Queue(delivery, mail(a, b)).into(),
        4..=6 => mail_delivery::Command::Settle {
            delivery,
            attempt: if b == 3 { a } else { 1 },
            outcome,
        }
        .into(),
        7 if b == 1 => mail_delivery::Command::RequeueParked.into(),
        7 => mail_delivery::Command::Requeue(delivery).into(),
        8 => mail_delivery::Command::Discard(delivery).into(),
        9 => {
            let text = MailTemplate {
                subject: format!("{b}"),
                body: "%CONTENT%".to_owned(),
            };
            mail_template::Command::Set(template, text).into()
        }
        10 => mail_template::Command::Reset(template).into(),
        _ if b == 1 => mail_delivery::Command::QueueTest {
            recipient: "a@example.com".to_owned(),
            language: "de".to_owned(),
        }
        .into(),
        _ => change::<MailSettings>(
            MAIL_SETTINGS,
            json!({"host": "mail.example.com", "from_address": "g@example.com", "port": a}),
        ),
    }
}

fn mail(a: u32, b: u32) -> Mail {
    let message = if b == 1 {
        Message::SessionEnded(SessionTold {
            lsid: Lsid(u128::from(a)),
            item_name: String::new(),
            item_fqdn: String::new(),
            group_name: String::new(),
            user_display_name: String::new(),
            user: None,
            at: MONDAY,
        })
    } else {
        Message::ApprovalRequested(ApproverAsked {
            approver: b,
            request: RequestTold {
                id: AccessRequestId(a),
                ..RequestTold::default()
            },
        })
    };
    Mail {
        recipient: format!("{a}@example.com"),
        language: "de".to_owned(),
        message,
    }
}
