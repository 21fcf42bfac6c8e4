//! Tokens that are renewed in time, and what runs on a client that is put into quarantine.

use super::{
    Command, DAY, Event, Given, Happened, Offer, PC1, SHARED, TOKEN_DAYS, WEB_SERVERS, client,
    connected, given, group, link, token,
};
use crate::ids::Lsid;
use crate::session::access_session::{self, EndReason, Ended, Failed, Failure};
use crate::testing::{ANNA, FIRST, PC2, person, session, starting};
use crate::{Actor, fleet};

fn one_client() -> Given {
    given([group(WEB_SERVERS, "Web Servers"), person(ANNA)]).and(client(PC1, SHARED))
}

/// CLNT-30: a token is renewed when it is 30 days old, and then once: the check-in that follows a return asks for no other.
#[test]
fn a_token_is_renewed_once_when_it_is_due() {
    let resume = Command::OfferToken {
        client: PC1,
        offer: Offer::AtResume {
            shown: token("token of pc-1"),
        },
        token: token("t2"),
    };
    let on_link = |text| Command::OfferToken {
        client: PC1,
        offer: Offer::OnLink(link(1)),
        token: token(text),
    };
    let confirm = Command::ConfirmToken {
        client: PC1,
        link: Some(link(1)),
        token: token("t2"),
    };
    one_client()
        .after(TOKEN_DAYS * DAY - 1)
        .when(PC1, resume.clone())
        .then_nothing()
        .when(PC1, on_link("t2"))
        .then_nothing()
        .after(1)
        .when(PC1, resume)
        .then_something()
        .when(PC1, confirm)
        .then_something()
        .when(PC1, on_link("t3"))
        .then_nothing()
        .after(TOKEN_DAYS * DAY)
        .when(PC1, on_link("t3"))
        .then_something();
}

/// CLNT-30, SESS-17: what runs on a client ends with the decision that its identity is in use twice.
#[test]
fn a_quarantine_ends_what_runs_on_the_client_at_once() {
    let quarantine = || Command::Quarantine {
        client: PC1,
        evidence: "two boot ids".to_owned(),
    };
    let quarantined = || {
        Happened::JumpClient(
            PC1,
            Event::Quarantined(fleet::jump_client::Quarantined {
                evidence: "two boot ids".to_owned(),
            }),
        )
    };
    let of_session = |lsid: Lsid, event| Happened::AccessSession(lsid, event);
    one_client()
        .and(session(FIRST, ANNA, PC1))
        .when(Actor::System, quarantine())
        .then([
            quarantined(),
            of_session(
                FIRST,
                access_session::Event::Ended(Ended {
                    reason: EndReason::IdentityInDoubt,
                    detail: String::new(),
                }),
            ),
        ]);
    one_client()
        .and([starting(FIRST, ANNA, PC1)])
        .when(Actor::System, quarantine())
        .then([
            quarantined(),
            of_session(
                FIRST,
                access_session::Event::Failed(Failed {
                    failure: Failure::Identity,
                    detail: String::new(),
                }),
            ),
        ]);
    // One on another client goes on.
    one_client()
        .and(client(PC2, SHARED))
        .and([connected(PC2, 2)])
        .and(session(FIRST, ANNA, PC2))
        .when(Actor::System, quarantine())
        .then([quarantined()]);
}
