//! Passive clients: called when somebody jumps to them.

use super::{ended, establish, established, failed};
use crate::access::role::START_SESSIONS_ONLY;
use crate::fleet::jump_client;
use crate::ids::LinkId;
use crate::session::access_session::{Command, EndReason, Failure, SPAWN_TIMEOUT};
use crate::testing::{
    ADMIN, ANNA, FIRST, Given, NODE, PC1, SHARED, WEB_SERVERS, connected, given, group, member,
    person, registered, start,
};
use crate::time::{DAY, SECOND};
use crate::{Actor, Event, Refusal};

/// Anna may start sessions in Web Servers, where PC1 is passive and went away a day ago.
fn passive() -> Given {
    given([
        person(ANNA),
        group(WEB_SERVERS, "Web Servers"),
        member(WEB_SERVERS, ANNA, START_SESSIONS_ONLY),
        registered(PC1, SHARED, |client| {
            client.connection_type = "passive".to_owned();
            client.facts.listen_port = 5832;
        }),
        connected(PC1, 1),
        Event::JumpClient(
            PC1,
            jump_client::Event::Disconnected(jump_client::Disconnected {
                link: link_of(1),
                reason: "goodbye".to_owned(),
            }),
        ),
    ])
    .after(DAY)
}

fn fail_call(failure: Failure) -> Command {
    Command::FailCall {
        lsid: FIRST,
        failure,
        detail: "10.0.0.1: refused".to_owned(),
    }
}

fn comes() -> jump_client::Command {
    jump_client::Command::Connect {
        client: PC1,
        link: link_of(2),
        public_ip: "198.51.100.7:40000".to_owned(),
        boot_id: "boot-1".to_owned(),
    }
}

fn link_of(connection: u64) -> LinkId {
    LinkId {
        node: NODE,
        connection,
    }
}

/// CLNT-02, SESS-27: a session begins while the client is away, and is up when it has come.
#[test]
fn a_passive_client_comes_when_it_is_called() {
    let up = passive()
        .when(ANNA, start(ANNA, PC1))
        .then_something()
        // However long it was away before: it is called, and has its time to come.
        .after(SPAWN_TIMEOUT - 1)
        .when(Actor::System, Command::Abandon { lsid: FIRST })
        .then_nothing()
        .when(Actor::System, Command::TimeOut { lsid: FIRST })
        .then_nothing()
        .when(PC1, comes())
        .then_something()
        // Nobody came at another address; it is here.
        .when(Actor::System, fail_call(Failure::NotReached))
        .then_nothing()
        .when(PC1, establish(FIRST))
        .then([established(FIRST)]);
    // Once it is up, it is as any other.
    let since = up.now();
    up.when(
        PC1,
        jump_client::Command::Disconnect {
            client: PC1,
            link: link_of(2),
            reason: "lost".to_owned(),
        },
    )
    .then_something()
    .at(since.plus(120 * SECOND))
    .when(Actor::System, Command::Abandon { lsid: FIRST })
    .then([ended(FIRST, EndReason::AgentLost, "")]);
}

/// ERR-13, ERR-14, SESS-27
#[test]
fn a_passive_client_that_does_not_come_fails_the_start() {
    for (failure, refusal) in [
        (Failure::NotReached, Refusal::CallTimedOut),
        (Failure::Identity, Refusal::JumpClientIdentityFailed),
    ] {
        passive()
            .when(ANNA, start(ANNA, PC1))
            .then_something()
            .when(Actor::System, fail_call(failure))
            .then([failed(FIRST, failure, "10.0.0.1: refused")]);
        assert_eq!(failure.refusal(), refusal);
    }
    passive()
        .when(ANNA, start(ANNA, PC1))
        .then_something()
        .after(SPAWN_TIMEOUT)
        .when(Actor::System, Command::TimeOut { lsid: FIRST })
        .then([failed(FIRST, Failure::NotReached, "")]);
}

/// Only the server itself says that nobody came.
#[test]
fn nobody_else_says_that_a_call_failed() {
    passive()
        .when(ANNA, start(ANNA, PC1))
        .then_something()
        .when(ADMIN, fail_call(Failure::NotReached))
        .then_refused(Refusal::AdministratorNeeded);
}
