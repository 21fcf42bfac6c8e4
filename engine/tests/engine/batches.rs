//! Group commit: what is answered is in the log, in order, and each command sees what those before it made.

use std::collections::BTreeSet;

use domain::ids::{JumpClientId, JumpGroupId};
use domain::{Event, Refusal, time};
use engine::{Clock, ExecuteError, Lane, Submission};
use futures_util::future::join_all;

use crate::support::{
    How, Site, assert_as_the_log, cause, check_in, create_group, delete_group, everything, on_both,
    register, submission,
};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_is_in_the_log_and_published() {
    on_both(async |database| {
        let site = Site::new(database).await;
        let done = site.run(create_group("Servers")).await;
        assert_eq!(done.events.len(), 1);
        let log = everything(&site.store).await;
        let last = log.last().expect("an event");
        assert_eq!(last.position, done.position);
        assert_eq!(last.event, done.events[0]);
        assert_eq!(last.decided_at, done.decided_at);
        assert_eq!(last.cause, cause());
        assert_eq!(done.epoch, site.store.head().await.expect("a head").epoch);
        assert!(!done.repeated);
        assert!(
            site.engine
                .published()
                .world
                .jump_groups
                .contains(&JumpGroupId(1))
        );
        assert_as_the_log(&site).await;
        site.close().await;
    })
    .await;
}

/// GRP-01: names are unique, whoever asks at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn of_200_who_want_one_name_at_once_exactly_one_gets_it() {
    on_both(async |database| {
        let site = Site::new(database).await;
        let asked = join_all((0..200).map(|_| site.ask(create_group("Servers")))).await;
        let accepted = asked.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(accepted, 1);
        for refused in asked.into_iter().filter_map(Result::err) {
            assert!(
                matches!(
                    refused,
                    ExecuteError::Refused {
                        refusal: Refusal::Invalid(_),
                        event: None
                    }
                ),
                "{refused:?}"
            );
        }
        assert_eq!(site.engine.published().world.jump_groups.len(), 1);
        assert_as_the_log(&site).await;
        site.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_sees_what_those_before_it_in_the_batch_made() {
    on_both(async |database| {
        let site = Site::new(database).await;
        // All are queued before the first is decided, so most share a batch; the order is that of the queue.
        let mut asked = Vec::new();
        for round in 1..=50 {
            asked.push(submission(create_group("Servers")));
            asked.push(submission(delete_group(JumpGroupId(round))));
        }
        let answers = join_all(asked.into_iter().map(|asked| site.engine.execute(asked))).await;
        for answer in &answers {
            answer
                .as_ref()
                .expect("each finds what the one before left");
        }
        assert!(site.engine.published().world.jump_groups.is_empty());
        assert_as_the_log(&site).await;
        site.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_carry_the_positions_of_their_events() {
    on_both(async |database| {
        let site = Site::with_fleet(database, How::default()).await;
        let before = site.engine.published().tail.position;
        let answers = join_all((1..=300).map(|number| site.ask(register(number)))).await;
        let log = everything(&site.store).await;
        let mut seen = BTreeSet::new();
        for done in answers
            .into_iter()
            .map(|answer| answer.expect("registered"))
        {
            let count = done.events.len() as u64;
            assert_eq!(count, 2, "registered and connected");
            let first = done.position - count;
            let start = usize::try_from(first).expect("small");
            let stored: Vec<&Event> = log[start..start + done.events.len()]
                .iter()
                .map(|recorded| &recorded.event)
                .collect();
            assert_eq!(stored, done.events.iter().collect::<Vec<_>>());
            seen.extend(first + 1..=done.position);
        }
        assert_eq!(seen, (before + 1..=before + 600).collect());
        site.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_without_effect_commits_nothing() {
    on_both(async |database| {
        let site = Site::with_fleet(database, How::default()).await;
        let made = site.run(register(1)).await;
        let done = site.run(check_in(JumpClientId(1), "")).await;
        assert_eq!((done.events.len(), done.position), (0, made.position));
        assert_eq!(done.decided_at, made.decided_at);
        assert_as_the_log(&site).await;
        site.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn time_in_the_log_never_goes_back() {
    on_both(async |database| {
        let site = Site::new(database).await;
        let begin = site.clock.now();
        let (back, ahead) = (begin.plus(-time::HOUR), begin.plus(time::HOUR));
        site.run(create_group("a")).await;
        assert_eq!(site.engine.clock_behind(), None);
        site.clock.set(back);
        let second = site.run(create_group("b")).await;
        // What is decided goes by the clock, whatever the log says.
        assert_eq!(second.decided_at, back);
        assert_eq!(site.engine.clock_behind(), Some(time::HOUR));
        site.clock.set(ahead);
        site.run(create_group("c")).await;
        assert_eq!(site.engine.clock_behind(), None);
        let log = everything(&site.store).await;
        let times: Vec<_> = log[log.len() - 3..]
            .iter()
            .map(|recorded| (recorded.recorded_at, recorded.decided_at))
            .collect();
        assert_eq!(times, [(begin, begin), (begin, back), (ahead, ahead)]);
        assert_as_the_log(&site).await;
        site.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_changes_nothing() {
    on_both(async |database| {
        let site = Site::new(database).await;
        let before = site.engine.published().tail;
        let events = site
            .engine
            .rehearse(&create_group("Servers"), &cause())
            .expect("it would be made");
        assert_eq!(events.len(), 1);
        assert_eq!(site.engine.published().tail, before);
        assert!(site.engine.published().world.jump_groups.is_empty());
        assert_as_the_log(&site).await;
        site.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_commands_give_the_same_log_on_both_databases() {
    let mut logs = Vec::new();
    for _ in 0..2 {
        for database in eventstore::testing::TestDatabase::both().await {
            let site = Site::with_fleet(&database, How::default()).await;
            for number in 1..=5 {
                site.clock.leap(1_000_000);
                site.run(register(number)).await;
            }
            site.run(crate::support::start_session(JumpClientId(2)))
                .await;
            let head = site.store.head().await.expect("a head");
            logs.push((head.position, head.tail_hash));
            site.close().await;
        }
    }
    assert!(logs.iter().all(|log| *log == logs[0]), "{logs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_lane_is_answered() {
    on_both(async |database| {
        let site = Site::new(database).await;
        let asked = (0..300).map(|number| {
            let lane = [Lane::People, Lane::Integrations, Lane::Bulk][number % 3];
            let command = create_group(&format!("group {number}"));
            site.engine.execute(Submission::new(command, cause(), lane))
        });
        for answer in join_all(asked).await {
            answer.expect("made");
        }
        assert_eq!(site.engine.published().world.jump_groups.len(), 300);
        site.close().await;
    })
    .await;
}
