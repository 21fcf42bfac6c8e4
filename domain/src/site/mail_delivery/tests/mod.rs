//! The outbox: from the cause to the word of the mail server.

use super::{
    ATTEMPTS_MAX, About, ApproverAsked, Command, Delivered, Event, Mail, Message, Outcome,
    PAUSE_MAX, PAUSE_MIN, Parked, RequestTold, SessionTold, State, pause_after,
};
use crate::ids::{AccessRequestId, Lsid, MailDeliveryId};
use crate::site::mail_settings::{MAIL_SETTINGS, MailSettings};
use crate::site::mail_template::MailKind;
use crate::testing::{ADMIN, ANNA, Given, MONDAY, change, given, person};
use crate::time::{DAY, HOUR, MINUTE, SECOND};
use crate::{Actor, Refusal};

const MAIL: MailDeliveryId = MailDeliveryId(7);
const REQUEST: AccessRequestId = AccessRequestId(3);

fn asked() -> Mail {
    Mail {
        recipient: "boss@example.com".to_owned(),
        language: "en-us".to_owned(),
        message: Message::ApprovalRequested(ApproverAsked {
            approver: 0,
            request: RequestTold {
                id: REQUEST,
                ..RequestTold::default()
            },
        }),
    }
}

fn started(lsid: Lsid) -> Mail {
    Mail {
        message: Message::SessionStarted(SessionTold {
            lsid,
            item_name: "web01".to_owned(),
            item_fqdn: "web01.example.com".to_owned(),
            group_name: "Web Servers".to_owned(),
            user_display_name: "Anna".to_owned(),
            user: None,
            at: MONDAY,
        }),
        ..asked()
    }
}

fn queued() -> Given {
    given([person(ANNA)])
        .when(Actor::System, Command::Queue(MAIL, asked()))
        .then([crate::Event::MailDelivery(MAIL, Event::Queued(asked()))])
}

fn settle(attempt: u32, outcome: Outcome) -> Command {
    Command::Settle {
        delivery: MAIL,
        attempt,
        outcome,
    }
}

fn deferred() -> Outcome {
    Outcome::Deferred {
        reason: "450 come again".to_owned(),
    }
}

fn refused() -> Outcome {
    Outcome::Refused {
        reason: "550 no\r\nsuch user".to_owned(),
    }
}

fn state(site: &Given) -> State {
    site.world()
        .mail_deliveries
        .get(&MAIL)
        .expect("it is there")
        .state
}

/// APPR-06: the same cause and recipient is one mail, however often it is said.
#[test]
fn a_mail_is_queued_once_and_due_at_once() {
    let site = queued()
        .when(Actor::System, Command::Queue(MAIL, asked()))
        .then_nothing();
    let due: Vec<_> = site.world().mails_due(MONDAY).map(|(id, _)| id).collect();
    assert_eq!(due, [MAIL]);
    assert_eq!(site.world().mails_due(MONDAY.plus(-1)).count(), 0);
    let site = site
        .when(Actor::System, settle(1, Outcome::Delivered))
        .then([crate::Event::MailDelivery(
            MAIL,
            Event::Delivered(Delivered { attempt: 1 }),
        )]);
    assert!(site.world().mail_deliveries.is_empty());
    assert_eq!(site.world().mails_due(MONDAY).count(), 0);
    site.when(Actor::System, settle(1, Outcome::Delivered))
        .then_nothing();
}

/// POL-31: a mail that can't leave now is tried again after growing pauses, and parked with the reason in the end.
#[test]
fn a_mail_that_fails_is_tried_again_and_parked_in_the_end() {
    let mut site = queued();
    for attempt in 1..ATTEMPTS_MAX {
        site = site
            .when(Actor::System, settle(attempt, deferred()))
            .then_something();
        let State::Waiting(due_at) = state(&site) else {
            panic!("attempt {attempt} parked it");
        };
        assert!(due_at > site.now(), "attempt {attempt}");
        assert_eq!(site.world().next_mail_due_after(site.now()), Some(due_at));
        // Another node that was slow to say the same counts for nothing.
        site = site
            .when(Actor::System, settle(attempt, refused()))
            .then_nothing()
            .at(due_at);
    }
    let site = site
        .when(Actor::System, settle(ATTEMPTS_MAX, deferred()))
        .then([crate::Event::MailDelivery(
            MAIL,
            Event::Parked(Parked {
                attempt: ATTEMPTS_MAX,
                reason: "450 come again".to_owned(),
            }),
        )]);
    assert_eq!(state(&site), State::Parked(site.now()));
    assert_eq!(site.world().parked_mails().count(), 1);
    assert!(
        site.now().since(MONDAY) > 12 * HOUR,
        "it was tried for hours"
    );
    assert!(site.now().since(MONDAY) < 2 * DAY);
}

#[test]
fn pauses_grow_and_differ_by_chance() {
    for attempt in 1..ATTEMPTS_MAX {
        let middle = (PAUSE_MIN << (attempt - 1)).min(PAUSE_MAX);
        let (least, most) = (pause_after(attempt, 0), pause_after(attempt, 1_000));
        assert_eq!((least, most), (middle / 4 * 3, middle / 4 * 5), "{attempt}");
    }
    assert_eq!(pause_after(1, 500), 30 * SECOND);
    assert_eq!(pause_after(2, 500), MINUTE);
    assert_eq!(pause_after(u32::MAX, 500), PAUSE_MAX);
}

/// POL-31: what the server refuses is parked at once, and a person can have it tried again.
#[test]
fn a_refused_mail_is_parked_and_can_be_replayed() {
    let site = queued()
        .when(Actor::System, settle(1, refused()))
        .then_something();
    let parked = site.world().mail_deliveries.get(&MAIL).expect("parked");
    assert_eq!(parked.reason, "550 no  such user", "one line");
    let site = site
        .when(ANNA, Command::Requeue(MAIL))
        .then_refused(Refusal::AdministratorNeeded)
        .after(HOUR)
        .when(ADMIN, Command::Requeue(MAIL))
        .then_something();
    assert_eq!(state(&site), State::Waiting(site.now()));
    let site = site
        .when(ADMIN, Command::Requeue(MAIL))
        .then_nothing()
        .when(Actor::System, settle(1, deferred()))
        .then_something()
        .when(ADMIN, Command::Requeue(MAIL))
        .then_something();
    assert_eq!(
        state(&site),
        State::Waiting(site.now()),
        "not only parked ones can be hurried"
    );
    site.when(ADMIN, Command::Requeue(MailDeliveryId(8)))
        .then_refused(Refusal::not_found("Mail"));
}

/// POL-31
#[test]
fn all_parked_mails_are_replayed_in_steps() {
    let queue = (0..600_u128).flat_map(|number| {
        let id = MailDeliveryId(number);
        [
            crate::Event::MailDelivery(id, Event::Queued(asked())),
            crate::Event::MailDelivery(
                id,
                Event::Parked(Parked {
                    attempt: 1,
                    reason: String::new(),
                }),
            ),
        ]
    });
    let site = given(queue)
        .when(ADMIN, Command::RequeueParked)
        .then_something();
    assert_eq!(site.world().parked_mails().count(), 100);
    assert_eq!(site.world().mails_due(MONDAY).count(), 500);
    let site = site.when(ADMIN, Command::RequeueParked).then_something();
    assert_eq!(site.world().parked_mails().count(), 0);
    site.when(ADMIN, Command::RequeueParked).then_nothing();
}

#[test]
fn a_mail_can_be_given_up() {
    let site = queued()
        .when(ADMIN, Command::Discard(MAIL))
        .then_something();
    assert!(site.world().mail_deliveries.is_empty());
    site.when(ADMIN, Command::Discard(MAIL))
        .then_refused(Refusal::not_found("Mail"));
}

/// POL-31: whoever shows a request or a session finds the mails about it that have not left.
#[test]
fn the_mails_about_a_thing_are_found() {
    let lsid = Lsid(9);
    let site = queued()
        .when(
            Actor::System,
            Command::Queue(MailDeliveryId(8), started(lsid)),
        )
        .then_something();
    let about = |site: &Given, about| {
        site.world()
            .mails_about(about)
            .map(|(id, _)| id)
            .collect::<Vec<_>>()
    };
    assert_eq!(about(&site, About::Request(REQUEST)), [MAIL]);
    assert_eq!(about(&site, About::Session(lsid)), [MailDeliveryId(8)]);
    assert_eq!(about(&site, About::Session(Lsid(8))), []);
    let site = site
        .when(Actor::System, settle(1, Outcome::Delivered))
        .then_something();
    assert_eq!(about(&site, About::Request(REQUEST)), []);
}

/// POL-44, POL-46
#[test]
fn requests_and_sessions_have_templates_of_their_own() {
    assert_eq!(asked().message.kind(), MailKind::Approval);
    assert_eq!(started(Lsid(1)).message.kind(), MailKind::Notification);
}

/// POL-30
#[test]
fn a_test_mail_needs_a_server_and_an_address() {
    let test = |recipient: &str, language: &str| Command::QueueTest {
        recipient: recipient.to_owned(),
        language: language.to_owned(),
    };
    let settings = serde_json::json!({"host": "mail.example.com", "from_address": "g@example.com"});
    given([person(ANNA)])
        .when(ADMIN, test("a@example.com", "de"))
        .then_refused(Refusal::NoMailServer)
        .when(ADMIN, change::<MailSettings>(MAIL_SETTINGS, settings))
        .then_something()
        .when(ADMIN, test("nobody", "de"))
        .then_invalid(&["recipient"])
        .when(ADMIN, test("a@example.com;b@example.com", "de"))
        .then_invalid(&["recipient"])
        .when(ADMIN, test("a@example.com", "German"))
        .then_invalid(&["language"])
        .when(ANNA, test("a@example.com", "de"))
        .then_refused(Refusal::AdministratorNeeded)
        .when(ADMIN, test("a@example.com", "de"))
        .then_something();
}

/// What only Gatebook itself says is believed of nobody else.
#[test]
fn nobody_else_queues_or_settles() {
    queued()
        .when(ADMIN, settle(1, Outcome::Delivered))
        .then_refused(Refusal::AdministratorNeeded)
        .when(ADMIN, Command::Queue(MailDeliveryId(8), asked()))
        .then_refused(Refusal::AdministratorNeeded);
}
