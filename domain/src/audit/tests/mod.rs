//! Refusals that are written down.

use super::{ActionRefused, AttemptsRefused, Command, Event};
use crate::ids::Lsid;
use crate::session::access_session;
use crate::site::user;
use crate::site::user::sign_in::{Origin, SignIn};
use crate::testing::{
    ADMIN, ANNA, MONDAY, PC1, WEB_SERVERS, add_member, end, first_start, given, start,
};
use crate::{Command as Asked, Event as Happened, Refusal};

#[test]
fn a_refusal_is_written_into_the_stream_of_its_day_and_changes_nothing() {
    let refusal = Refusal::JoinDenied;
    let asked = start(ANNA, PC1);
    let refused = ActionRefused {
        code: refusal.code().to_owned(),
        message: refusal.to_string(),
        command: asked.name().to_owned(),
        subject: asked.subject(),
        inputs: None,
    };
    let before = given([]);
    let after = before
        .clone()
        .when(ADMIN, Asked::Audit(Command::Record(refused.clone())))
        .then([Happened::Audit(
            20_260_302,
            Event::ActionRefused(refused.clone()),
        )]);
    assert_eq!(before.world(), after.world());
    assert_eq!(
        Happened::Audit(20_260_302, Event::ActionRefused(refused)).stream(),
        "refusal-20260302"
    );
}

#[test]
fn the_attempts_of_a_minute_are_one_event_and_none_is_none() {
    let attempts = |count| AttemptsRefused {
        caller: "192.0.2.0/24".to_owned(),
        route: "POST /oauth2/token".to_owned(),
        count,
        first_at: MONDAY,
        last_at: MONDAY,
        sample: "invalid_client".to_owned(),
        network: None,
        subject: None,
    };
    given([])
        .when(ADMIN, Asked::Audit(Command::RecordAttempts(attempts(0))))
        .then_nothing()
        .when(ADMIN, Asked::Audit(Command::RecordAttempts(attempts(3))))
        .then([Happened::Audit(
            20_260_302,
            Event::AttemptsRefused(attempts(3)),
        )]);
}

/// ROLE-31: every refused Jump action and sign-in is an event of its own.
#[test]
fn refused_jumps_and_sign_ins_are_recorded() {
    let sign_in = user::Command::SignIn(SignIn::new(ANNA, false, Origin::default()));
    let time_out = access_session::Command::TimeOut { lsid: Lsid(1) };
    for (command, name, subject, recorded) in [
        (
            start(ANNA, PC1),
            "access_session.start",
            Some("jump_client-1"),
            true,
        ),
        (
            end(Lsid(1)),
            "access_session.end",
            Some("access_session-00000000000000000000000000000001"),
            true,
        ),
        (sign_in.into(), "user.sign_in", Some("user-2"), true),
        (
            time_out.into(),
            "access_session.time_out",
            Some("access_session-00000000000000000000000000000001"),
            false,
        ),
        (
            add_member(WEB_SERVERS, ANNA, None),
            "jump_group.add_member",
            Some("jump_group-1"),
            false,
        ),
        (first_start(), "site.first_start", None, false),
    ] {
        let command: Asked = command;
        assert_eq!(command.name(), name);
        assert_eq!(command.subject().as_deref(), subject, "{name}");
        assert_eq!(command.refusals_are_recorded(), recorded, "{name}");
    }
}
