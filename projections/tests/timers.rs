//! What is due when.

mod support;

use domain::access::jump_group::JumpGroup;
use domain::fleet::jump_client::Properties;
use domain::ids::{JumpClientId, JumpGroupRef, JumpItemRef, Lsid};
use domain::policy::schedule::ScheduleEntry;
use domain::session::access_session::{self, SPAWN_TIMEOUT};
use domain::site::settings::SiteSettings;
use domain::site::user::User;
use domain::testing::{
    ADMIN, ANNA, FIRST, MONDAY, PC1, PC2, SHARED, THURSDAY, THURSDAYS, WEB_SERVERS, client, delete,
    policy, schedule, session, starting,
};
use domain::{Command, Event, Timestamp, time};
use projections::Counts;
use support::site::{disconnected, fold_batch, happen, stopped, with};

fn asked(due: &[projections::Due]) -> Vec<(Timestamp, Command)> {
    due.iter()
        .map(|due| (due.at, due.command.clone()))
        .collect()
}

/// ERR-11
#[test]
fn a_session_that_does_not_come_up_is_timed_out() {
    let (log, views) = with(
        client(PC1, SHARED)
            .into_iter()
            .chain([starting(FIRST, ANNA, PC1)]),
    );
    let settings = &log.world.settings;
    let at = MONDAY.plus(SPAWN_TIMEOUT);
    assert_eq!(views.timers.next(settings), Some(at));
    assert_eq!(views.timers.due(at.plus(-1), settings, 9), []);
    assert_eq!(
        asked(&views.timers.due(at, settings, 9)),
        [(at, access_session::Command::TimeOut { lsid: FIRST }.into())]
    );
}

#[test]
fn a_changed_wait_counts_for_sessions_that_wait_already() {
    let (mut log, views) = with(
        client(PC1, SHARED)
            .into_iter()
            .chain(session(FIRST, ANNA, PC1)),
    );
    log.wait(time::HOUR);
    let offline_at = log.now;
    happen(&mut log, &views, [disconnected(PC1)]);
    for seconds in [120, 10, 3_600] {
        let settings = SiteSettings {
            lost_agent_seconds: seconds,
            ..SiteSettings::default()
        };
        let at = offline_at.plus(i64::from(seconds) * time::SECOND);
        assert_eq!(views.timers.due(at.plus(-1), &settings, 9), []);
        assert_eq!(
            asked(&views.timers.due(at, &settings, 9)),
            [(at, access_session::Command::Abandon { lsid: FIRST }.into())]
        );
    }
}

#[test]
fn a_stopped_node_starts_the_wait_of_all_its_sessions() {
    let second = Lsid(2);
    let (mut log, views) = with(
        client(PC1, SHARED)
            .into_iter()
            .chain(client(PC2, SHARED))
            .chain(session(FIRST, ANNA, PC1))
            .chain(session(second, ANNA, PC2)),
    );
    log.wait(time::MINUTE);
    assert_eq!(views.timers.next(&log.world.settings), None);
    happen(&mut log, &views, [stopped()]);
    let at = log.now.plus(120 * time::SECOND);
    let due = views.timers.due(at, &log.world.settings, 9);
    assert_eq!(due.len(), 2);
    assert!(due.iter().all(|due| due.at == at));
    assert_eq!(views.console.counts(SHARED).offline, 2);
    assert_eq!(views.timers.due(at, &log.world.settings, 1).len(), 1);
}

#[test]
fn a_session_over_a_removed_item_is_abandoned_at_once() {
    type Remove = fn() -> Command;
    let removals: [(&str, JumpGroupRef, Remove); 3] = [
        ("item", SHARED, || delete::<Properties>(PC1)),
        ("group", SHARED, || delete::<JumpGroup>(WEB_SERVERS)),
        ("owner", JumpGroupRef::Personal(ANNA), || {
            delete::<User>(ANNA)
        }),
    ];
    for (what, group, remove) in removals {
        let (mut log, views) = with(
            client(PC1, group)
                .into_iter()
                .chain(session(FIRST, ADMIN, PC1)),
        );
        log.wait(time::HOUR);
        assert!(!log.ask(ADMIN, remove()).is_empty(), "{what}");
        fold_batch(&views, &log);
        let due = views.timers.due(log.now, &log.world.settings, 9);
        assert_eq!(
            asked(&due),
            [(
                MONDAY,
                access_session::Command::Abandon { lsid: FIRST }.into()
            )],
            "{what}"
        );
        assert!(
            views.console.row(JumpItemRef::JumpClient(PC1)).is_none(),
            "{what}"
        );
        assert_eq!(views.console.counts(group), Counts::default(), "{what}");
    }
}

/// POL-17
#[test]
fn a_strict_schedule_ends_its_sessions_when_it_closes() {
    let thursdays = ScheduleEntry {
        start_day: 3,
        start_minute: 0,
        end_day: 4,
        end_minute: 0,
    };
    let friday = Timestamp::from_unix_seconds(1_772_755_200);
    let (mut log, views) = with([
        policy(THURSDAYS, |policy| {
            policy.schedule_enabled = true;
            policy.schedule_strict = true;
        }),
        schedule(THURSDAYS, "UTC", &[thursdays]),
    ]);
    happen(&mut log, &views, client(PC1, SHARED));
    log.now = THURSDAY;
    let mut events = session(FIRST, ANNA, PC1);
    if let Event::AccessSession(_, access_session::Event::Started(started)) = &mut events[0] {
        started.jump_policy_id = Some(THURSDAYS);
    }
    happen(&mut log, &views, events);
    let settings = log.world.settings.clone();
    let ends = access_session::Command::EndBySchedule { lsid: FIRST };
    assert_eq!(views.timers.next(&settings), Some(friday));
    assert_eq!(views.timers.due(friday.plus(-1), &settings, 9), []);
    assert_eq!(
        asked(&views.timers.due(friday, &settings, 9)),
        [(friday, ends.into())]
    );

    // Nobody looked for a week: the schedule is open again, and the session may go on until it closes.
    let next_thursday = THURSDAY.plus(7 * time::DAY);
    assert_eq!(views.timers.due(next_thursday, &settings, 9), []);
    assert_eq!(
        views.timers.next(&settings),
        Some(friday.plus(7 * time::DAY))
    );

    // A schedule that lets sessions go on ends none.
    happen(&mut log, &views, [policy(THURSDAYS, |_| {})]);
    assert_eq!(views.timers.next(&settings), None);
}

#[test]
fn clients_that_are_offline_without_a_session_are_no_entries() {
    let mut events = Vec::new();
    for id in 1..=2_000 {
        events.extend(client(JumpClientId(id), SHARED));
        events.push(disconnected(JumpClientId(id)));
    }
    let (log, views) = with(events);
    assert_eq!(views.timers.next(&log.world.settings), None);
    assert_eq!(views.console.counts(SHARED).offline, 2_000);
    assert_eq!(views.timers, projections::Timers::default());
}
