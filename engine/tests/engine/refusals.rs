//! Refusals: which are written down before the answer, and that the answer carries the id.

use domain::ids::{JumpClientId, Lsid, SecretRef, UserId};
use domain::session::access_session;
use domain::site::user;
use domain::{Actor, Cause, Command, Event, Refusal, Surface, audit};
use engine::{ExecuteError, Lane, Submission};
use futures_util::future::join_all;

use crate::support::{
    How, Site, assert_as_the_log, create_group, everything, on_both, start_session,
};

async fn refused(site: &Site, command: Command, actor: Actor) -> (Refusal, Option<uuid::Uuid>) {
    let cause = Cause {
        actor,
        surface: Surface::ConsoleApi,
        address: None,
    };
    match site
        .engine
        .execute(Submission::new(command, cause, Lane::People))
        .await
    {
        Err(ExecuteError::Refused { refusal, event }) => (refusal, event),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_jump_is_an_event_whose_id_the_answer_carries() {
    on_both(async |database| {
        let site = Site::with_fleet(database, How::default()).await;
        let (refusal, event) = refused(
            &site,
            start_session(JumpClientId(9)),
            Actor::User(UserId(1)),
        )
        .await;
        assert_eq!(refusal, Refusal::JumpClientGone);
        let log = everything(&site.store).await;
        let last = log.last().expect("an event");
        assert_eq!(Some(last.id), event);
        assert_eq!(last.cause.actor, Actor::User(UserId(1)));
        let Event::Audit(day, audit::Event::ActionRefused(written)) = &last.event else {
            panic!("{:?}", last.event);
        };
        assert_eq!(*day, 20_260_105);
        assert_eq!(last.event.stream(), "refusal-20260105");
        assert_eq!(written.code, "jump_client_gone");
        assert_eq!(written.message, "The Jump Client does not exist.");
        assert_eq!(written.command, "access_session.start");
        assert_eq!(written.subject.as_deref(), Some("jump_client-9"));
        assert_as_the_log(&site).await;
        site.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_some_refusals_are_written_down() {
    on_both(async |database| {
        let site = Site::with_fleet(database, How::default()).await;
        let end = || Command::AccessSession(access_session::Command::End { lsid: Lsid(1) });
        let set_password = || {
            Command::User(user::Command::SetPassword {
                user: UserId(1),
                password: SecretRef("0".repeat(32)),
                reset_next_login: true,
            })
        };
        let known = Actor::User(UserId(1));
        let mut invalid_installer = crate::support::register(1);
        if let Command::JumpClient(domain::fleet::jump_client::Command::Register(register)) =
            &mut invalid_installer
        {
            register.installer = domain::ids::JumpClientInstallerId(77);
        }
        // what is asked, by whom, whether it is written down
        let cases = [
            (end(), known.clone(), true),
            (set_password(), known.clone(), true),
            (set_password(), Actor::Stranger, false),
            (create_group("Fleet"), known, false),
            (invalid_installer, Actor::NewJumpClient, false),
        ];
        for (command, actor, written) in cases {
            let before = site.engine.published().tail.position;
            let name = command.name();
            let (_, event) = refused(&site, command, actor).await;
            let after = site.engine.published().tail.position;
            assert_eq!(event.is_some(), written, "{name}");
            assert_eq!(after - before, u64::from(written), "{name}");
        }
        site.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_a_batch_keep_the_order_of_decisions() {
    on_both(async |database| {
        let site = Site::with_fleet(database, How::default()).await;
        let here = &site;
        let asked = (0..60).map(|number| async move {
            if number % 2 == 0 {
                Ok(here
                    .run(create_group(&format!("group {number}")))
                    .await
                    .position)
            } else {
                let (_, event) = refused(
                    here,
                    start_session(JumpClientId(number)),
                    // So many of one caller are written down in a minute, and the others are counted.
                    Actor::User(UserId(1 + number % 3)),
                )
                .await;
                Err(event.expect("written down"))
            }
        });
        let answers = join_all(asked).await;
        let log = everything(&site.store).await;
        let positions: Vec<u64> = answers
            .into_iter()
            .map(|answer| match answer {
                Ok(position) => position,
                Err(id) => {
                    let found = log.iter().find(|recorded| recorded.id == id);
                    found.expect("in the log").position
                }
            })
            .collect();
        assert!(positions.is_sorted(), "{positions:?}");
        site.close().await;
    })
    .await;
}
