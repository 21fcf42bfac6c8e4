//! Commands about tickets at random, and requests that wait for an answer from the beginning.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::ids::{
    JumpClientId, JumpItemRef, JumpItemRoleId, JumpPolicyId, KeyedHash, SecretRef, TicketRequestId,
    UserId,
};
use crate::policy::ticket::{self, Answer, Ask, Asked, TicketId, Trouble};
use crate::record::{self, Change};
use crate::session::access_session::Start;
use crate::site::ticket_system::TICKET_SYSTEM;
use crate::testing::{Asks, CARA, MONDAY, PC1, WEB_SERVERS, member_under, policy};
use crate::time::{DAY, MINUTE};
use crate::{Actor, Cause, Command, Event};

/// How many requests wait from the beginning.
const WAITING: u32 = 8;

/// A policy that asks for tickets.
const TICKETS: JumpPolicyId = JumpPolicyId(3);

/// A ticket system, a user who needs tickets, and requests that wait: the first not for long.
pub(super) fn given() -> Vec<Event> {
    let set = |value: &str| Change {
        old: "".into(),
        new: value.into(),
    };
    let system = BTreeMap::from([
        ("url".to_owned(), set("https://tickets.example.com")),
        ("user_prompt".to_owned(), set("Ticket?")),
    ]);
    let waiting = (1..=WAITING).map(|number| {
        let wait = if number == 1 { MINUTE } else { 30 * DAY };
        Event::TicketRequest(
            TicketRequestId(number),
            ticket::Event::Asked(Asked {
                start: wish(CARA, PC1),
                ticket_id: None,
                answer_key: key(number),
                expires_at: MONDAY.plus(wait),
                version: 1,
                sign_in: (number % 2 == 0).then(sign_in),
            }),
        )
    });
    let mut events = vec![
        Event::TicketSystem(TICKET_SYSTEM, record::Event::Changed(system)),
        policy(TICKETS, |policy| {
            policy.ticket_id_required = true;
            policy.simultaneous_jumps = "join".to_owned();
        }),
        member_under(WEB_SERVERS, CARA, JumpItemRoleId(3), TICKETS),
    ];
    events.extend(waiting);
    events
}

/// Somebody asks for something about tickets.
pub(super) fn any_ticket_command() -> impl Strategy<Value = (Cause, Command)> {
    (0..10_u32, 1..=WAITING, 1..4_u32).prop_map(|(choice, number, b)| {
        let actor = match choice {
            0..=2 | 9 => Actor::User(CARA),
            3..=6 => Actor::Stranger,
            _ => Actor::System,
        };
        (actor.cause(), command(choice, number, b))
    })
}

fn key(number: u32) -> KeyedHash {
    KeyedHash(format!("key-{number}"))
}

/// A sign-in of Cara's: what rests on it may be voided by a sign-out.
fn sign_in() -> ticket::SignIn {
    ticket::SignIn {
        key: KeyedHash(format!("sign-in-{}", CARA.0)),
        password: SecretRef(format!("password of user-{CARA}")),
        ends_at: MONDAY.plus(10 * DAY),
    }
}

fn wish(user: UserId, client: JumpClientId) -> Start {
    Start::new(
        user,
        JumpItemRef::JumpClient(client),
        "192.0.2.10:50000".to_owned(),
        "Linux".to_owned(),
    )
}

fn command(choice: u32, number: u32, b: u32) -> Command {
    let request = TicketRequestId(number);
    match choice {
        0..=2 => ticket::Command::Ask(Box::new(Ask {
            start: wish(if b == 3 { UserId(number) } else { CARA }, PC1),
            ticket_id: TicketId(format!("T{b}")),
            answer_key: key(number),
            sign_in: (b == 2).then(sign_in),
        })),
        3..=6 => ticket::Command::Answer(Answer {
            answer_key: Some(key(number)),
            response: Some(["allow", "deny", "perhaps"][b as usize - 1].to_owned()),
            message: None,
            attributes: BTreeMap::new(),
            sign_in_withdrawn: number == 8,
        }),
        7 => ticket::Command::NoteSent {
            request,
            trouble: (b == 1).then_some(Trouble::NotResolved),
        },
        8 => ticket::Command::TimeOut { request },
        _ => ticket::Command::Void { request },
    }
    .into()
}
