//! What is due when.

mod support;

use domain::access::jump_group::JumpGroup;
use domain::access::review;
use domain::fleet::jump_client::{self, Properties};
use domain::ids::{JumpClientId, JumpGroupRef, JumpItemRef, Lsid, SiteSettingsId};
use domain::policy::schedule::ScheduleEntry;
use domain::session::access_session::{self, SPAWN_TIMEOUT};
use domain::site::settings::SiteSettings;
use domain::site::user::User;
use domain::testing::{
    ADMIN, ANNA, BERT, FIRST, MONDAY, PC1, PC2, SHARED, THURSDAY, THURSDAYS, WEB_SERVERS, client,
    delete, policy, schedule, session, starting, user,
};
use domain::{Command, Event, Timestamp, record, time};
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

/// GRP-31: where its item, its group or the owner of its list is gone, nothing is due of a session; where its agent goes, its end is.
#[test]
fn a_session_over_a_removed_item_goes_on() {
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
        assert_eq!(asked(&due), [], "{what}");
        assert!(
            views.console.row(JumpItemRef::JumpClient(PC1)).is_none(),
            "{what}"
        );
        assert_eq!(views.console.counts(group), Counts::default(), "{what}");
        happen(&mut log, &views, [disconnected(PC1)]);
        let at = log.now.plus(120 * time::SECOND);
        assert_eq!(
            asked(&views.timers.due(at, &log.world.settings, 9)),
            [(at, access_session::Command::Abandon { lsid: FIRST }.into())],
            "{what}"
        );
    }
}

/// A right that more rested on than one decision holds: the rest is due at once, until nothing is left.
#[test]
fn what_a_decision_had_no_room_for_is_due_at_once() {
    let (mut log, views) = with([]);
    let due_at = log.now;
    let due = |from| Event::AccessReview(review::Event::Due(review::Due { from }));
    happen(&mut log, &views, [due(FIRST)]);
    let go_on = || Command::AccessReview(review::Command::Continue);
    let settings = SiteSettings::default();
    assert_eq!(views.timers.next(&settings), Some(due_at));
    assert_eq!(
        asked(&views.timers.due(due_at, &settings, 9)),
        [(due_at, go_on())]
    );
    assert!(!log.ask(domain::Actor::System, go_on()).is_empty());
    fold_batch(&views, &log);
    assert_eq!(views.timers.next(&settings), None);
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
    // POL-18, POL-19: first its members are told, four times.
    for minutes in [15, 10, 5, 1] {
        let at = friday.plus(-i64::from(minutes) * time::MINUTE);
        assert_eq!(views.timers.next(&settings), Some(at));
        assert_eq!(views.timers.due(at.plus(-1), &settings, 9), []);
        let announce = access_session::Command::AnnounceEnd { lsid: FIRST };
        assert_eq!(
            asked(&views.timers.due(at, &settings, 9)),
            [(at, announce.into())]
        );
        log.now = at;
        let announced = access_session::EndAnnounced {
            ends_at: friday,
            minutes,
        };
        happen(
            &mut log,
            &views,
            [Event::AccessSession(
                FIRST,
                access_session::Event::EndAnnounced(announced),
            )],
        );
    }
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
        Some(friday.plus(7 * time::DAY - 15 * time::MINUTE))
    );

    // A schedule that lets sessions go on ends none.
    happen(&mut log, &views, [policy(THURSDAYS, |_| {})]);
    assert_eq!(views.timers.next(&settings), None);
}

/// SESS-26: the first member who has been inactive for too long, by whatever setting, and from whenever it is set.
#[test]
fn inactive_members_are_removed_when_their_time_is_over() {
    let limited = |id, seconds| {
        user(id, |user| {
            user.perm_session_idle_timeout = seconds;
        })
    };
    let (mut log, views) = with([limited(ANNA, 600), limited(BERT, -1)]);
    happen(&mut log, &views, client(PC1, SHARED));
    let began = log.now;
    happen(&mut log, &views, session(FIRST, ANNA, PC1));
    let settings = log.world.settings.clone();
    let remove = || access_session::Command::RemoveInactive { lsid: FIRST };
    let at = began.plus(600 * time::SECOND);
    assert_eq!(views.timers.next(&settings), Some(at));
    assert_eq!(views.timers.due(at.plus(-1), &settings, 9), []);
    assert_eq!(
        asked(&views.timers.due(at, &settings, 9)),
        [(at, remove().into())]
    );
    // Another member whom the site's setting binds is due earlier, and a sign of life moves her own time.
    log.now = began.plus(time::MINUTE);
    let bert = access_session::Representative {
        user_id: BERT,
        gsnumber: 50,
        ..access_session::Representative::default()
    };
    happen(
        &mut log,
        &views,
        [
            Event::AccessSession(
                FIRST,
                access_session::Event::Joined(access_session::Joined {
                    representative: bert,
                    invited: true,
                    grant: None,
                    jump_policy_id: None,
                    access_request_id: None,
                }),
            ),
            Event::AccessSession(
                FIRST,
                access_session::Event::MemberActive(access_session::MemberActive { gsnumber: 2 }),
            ),
        ],
    );
    let change = |field: &str, old: u32, new: u32| {
        let change = record::Change {
            old: old.into(),
            new: new.into(),
        };
        record::Event::Changed([(field.to_owned(), change)].into())
    };
    happen(
        &mut log,
        &views,
        [Event::SiteSettings(
            SiteSettingsId(1),
            change("session_idle_seconds", 0, 300),
        )],
    );
    let settings = log.world.settings.clone();
    assert_eq!(
        views.timers.next(&settings),
        Some(began.plus(time::MINUTE + 300 * time::SECOND))
    );
    // Where nothing removes anybody, nothing is due.
    happen(&mut log, &views, [limited(ANNA, 0), limited(BERT, 0)]);
    assert_eq!(views.timers.next(&settings), None);
}

/// CLNT-12, CLNT-14: what is due of clients is the label first, then the deletion, both counted from when they went.
#[test]
fn clients_that_are_offline_are_due_when_they_are_lost_and_not_before() {
    let mut events = Vec::new();
    for id in 1..=2_000 {
        events.extend(client(JumpClientId(id), SHARED));
        events.push(disconnected(JumpClientId(id)));
    }
    let (log, views) = with(events);
    let settings = &log.world.settings;
    let lost = MONDAY.plus(15 * time::DAY);
    assert_eq!(views.timers.next(settings), Some(lost));
    assert_eq!(
        views.timers.due(lost.plus(-1), settings, usize::MAX),
        Vec::new()
    );
    let due = views.timers.due(lost, settings, usize::MAX);
    assert_eq!(due.len(), 2_000);
    assert!(due.iter().all(|due| matches!(
        due.command,
        Command::JumpClient(jump_client::Command::MarkLost(_))
    )));
    let deleted = views
        .timers
        .due(MONDAY.plus(180 * time::DAY), settings, usize::MAX);
    assert_eq!(deleted.len(), 4_000);
    assert_eq!(views.console.counts(SHARED).offline, 2_000);
}

/// APPR-33: every request has an entry until its window is over, whatever became of it, also beside what is due of sessions.
#[test]
fn the_window_of_a_request_ends() {
    use domain::ids::AccessRequestId;
    use domain::policy::access_request::{self, Answered, Approver, Over, Scope, Submitted};

    let submitted = |minutes: i64| Submitted {
        requester: ANNA,
        requester_name: "Anna".to_owned(),
        item: JumpItemRef::JumpClient(PC1),
        item_name: "pc-1".to_owned(),
        group: SHARED,
        group_name: "Web Servers".to_owned(),
        jump_policy_id: THURSDAYS,
        jump_policy_name: "Thursdays".to_owned(),
        approvers_name: "Manager".to_owned(),
        language: "de".to_owned(),
        scope: Scope::Requestor,
        reason: "patch".to_owned(),
        start_at: MONDAY,
        ends_at: MONDAY.plus(minutes * time::MINUTE),
        approvers: vec![Approver::default()],
        approvers_of: None,
        except: Vec::new(),
    };
    let of = |id: u32, event| Event::AccessRequest(AccessRequestId(id), event);
    let expire = |id: u32| {
        Command::AccessRequest(access_request::Command::Expire {
            request: AccessRequestId(id),
        })
    };
    let (mut log, views) = with(
        client(PC1, SHARED)
            .into_iter()
            .chain([starting(FIRST, ANNA, PC1)]),
    );
    happen(
        &mut log,
        &views,
        [
            of(1, access_request::Event::Submitted(submitted(60))),
            of(2, access_request::Event::Submitted(submitted(30))),
            of(
                1,
                access_request::Event::Approved(Answered {
                    by: Approver::default(),
                    comment: String::new(),
                }),
            ),
        ],
    );
    let settings = &log.world.settings.clone();
    let (first, second) = (
        MONDAY.plus(60 * time::MINUTE),
        MONDAY.plus(30 * time::MINUTE),
    );
    let time_out = access_session::Command::TimeOut { lsid: FIRST };
    let all = [
        (MONDAY.plus(SPAWN_TIMEOUT), time_out.into()),
        (second, expire(2)),
        (first, expire(1)),
    ];
    assert_eq!(asked(&views.timers.due(first, settings, 9)), all);
    assert_eq!(asked(&views.timers.due(first, settings, 2)), all[..2]);
    assert_eq!(views.timers.due(second.plus(-1), settings, 9).len(), 1);
    // As many as there are, made of the World or folded.
    assert!(projections::Timers::of(&log.world) == views.timers);
    happen(
        &mut log,
        &views,
        [
            of(2, access_request::Event::Expired(Over {})),
            of(1, access_request::Event::Closed(Over {})),
        ],
    );
    assert_eq!(views.timers.due(first, settings, 9).len(), 1);
    assert!(projections::Timers::of(&log.world) == views.timers);
}
