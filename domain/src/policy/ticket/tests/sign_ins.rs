//! What waits rests on the sign-in of its user (TICK-48).

use super::super::SignIn;
use super::*;
use crate::ids::SecretRef;
use crate::site::user;
use crate::testing::sign_out;
use crate::time::MINUTE;

/// The sign-in `name` of Anna, good for five minutes.
fn sign_in(name: &str) -> SignIn {
    SignIn {
        key: key(name),
        password: SecretRef(format!("password of user-{ANNA}")),
        ends_at: MONDAY.plus(5 * MINUTE),
    }
}

/// Anna waits in her console for the answer to T1; the ticket system takes its time.
fn waiting_signed_in() -> Given {
    let system = json!({"url": URL, "user_prompt": "?", "timeout_seconds": 600});
    let ask = Command::Ask(Box::new(Ask {
        start: wish(ANNA, PC1),
        ticket_id: TicketId("T1".to_owned()),
        answer_key: key("first"),
        sign_in: Some(sign_in("console")),
    }));
    ready_with(system).when(ANNA, ask).then_something()
}

fn allowed(site: Given) -> Answered {
    site.when(ticket_system(), Command::Answer(answer("allow")))
}

/// TICK-48: signing out voids what waits under the sign-in, in the same decision; another sign-in of the user has nothing to do
/// with it.
#[test]
fn signing_out_voids_what_waits_under_the_sign_in() {
    let site = waiting_signed_in();
    let elsewhere = site
        .clone()
        .when(ANNA, sign_out(ANNA, "key of elsewhere"))
        .then_something();
    assert!(started(&allowed(elsewhere)).is_some());
    let signed_out = Happened::User(ANNA, user::Event::SignedOut(user::SignedOut {}));
    let site = site
        .when(ANNA, sign_out(ANNA, "key of console"))
        .then([signed_out, happens(Event::Voided(Voided {}))]);
    assert_eq!(site.world().tickets_waiting_of(ANNA), 0);
    allowed(site).then_refused(Refusal::TicketRequestNotValid);
}

/// TICK-48: nobody waits any more once the sign-in has expired, was withdrawn, or its user was disabled or has another password.
#[test]
fn a_sign_in_that_ended_by_itself_gets_no_session() {
    let not_valid = |outcome: Answered| {
        outcome.then_refused(Refusal::TicketRequestNotValid);
    };
    assert!(
        started(&allowed(
            waiting_signed_in().at(MONDAY.plus(5 * MINUTE - 1))
        ))
        .is_some()
    );
    not_valid(allowed(waiting_signed_in().at(MONDAY.plus(5 * MINUTE))));
    let withdrawn = Answer {
        sign_in_withdrawn: true,
        ..answer("allow")
    };
    not_valid(waiting_signed_in().when(ticket_system(), Command::Answer(withdrawn)));
    for what in [json!({"enabled": false}), json!({"password": "another"})] {
        let changed = waiting_signed_in()
            .when(ADMIN, change::<User>(ANNA, what))
            .then_something();
        not_valid(allowed(changed));
    }
}
