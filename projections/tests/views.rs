//! The in-memory views against what the `World` says, event by event, batch by batch and made at once.

mod support;

use domain::access::jump_group::{JumpGroup, Membership};
use domain::access::role;
use domain::fleet::jump_client::{self, Facts, Presence, Properties};
use domain::ids::{
    JumpClientId, JumpGroupId, JumpGroupRef, JumpItemRef, LinkId, Lsid, NodeEpoch, UserId,
};
use domain::policy::jump_policy::{self, JumpPolicy};
use domain::policy::schedule::{Schedule, ScheduleEntry};
use domain::session::access_session::{self, SPAWN_TIMEOUT};
use domain::site::settings::SiteSettings;
use domain::site::user::User;
use domain::testing::{
    ADMIN, ANNA, FIRST, INSTALLER, MONDAY, NODE, PC1, PC2, SHARED, THURSDAY, THURSDAYS,
    WEB_SERVERS, change, client, create, delete, group, installer, member_under, one_of_each,
    person, policy, register, registered, schedule, session, start, starting,
};
use domain::{Actor, Command, Event, Timestamp, World, node, time};
use projections::{Counts, Recorded, SearchField, Status, Views};
use proptest::prelude::*;
use serde_json::json;
use support::Log;

/// What a step of a random story asks. Numbers choose among what is there.
#[derive(Clone, Debug)]
enum Step {
    Wait(u32),
    Register(u8, u8),
    Connect(u8, u8),
    Disconnect(u8),
    CheckIn(u8, u8),
    Quarantine(u8),
    MoveClient(u8, u8),
    RenameClient(u8, u8),
    DeleteClient(u8),
    CreateGroup(u8),
    RenameGroup(u8, u8),
    DeleteGroup(u8),
    RenameUser(u8),
    DeleteUser(u8),
    StartNode(u8),
    StopNode(u8),
    StartSession(u8),
    EstablishSession(u8),
    FailSession(u8),
    EndSession(u8),
    SetPolicy(bool),
    SetSchedule(u8),
    SetWait(u8),
    Serve,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..40_000_u32).prop_map(Step::Wait),
        4 => (any::<u8>(), any::<u8>()).prop_map(|(a, b)| Step::Register(a, b)),
        4 => (any::<u8>(), any::<u8>()).prop_map(|(a, b)| Step::Connect(a, b)),
        3 => any::<u8>().prop_map(Step::Disconnect),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(a, b)| Step::CheckIn(a, b)),
        1 => any::<u8>().prop_map(Step::Quarantine),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(a, b)| Step::MoveClient(a, b)),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(a, b)| Step::RenameClient(a, b)),
        1 => any::<u8>().prop_map(Step::DeleteClient),
        2 => any::<u8>().prop_map(Step::CreateGroup),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(a, b)| Step::RenameGroup(a, b)),
        1 => any::<u8>().prop_map(Step::DeleteGroup),
        1 => any::<u8>().prop_map(Step::RenameUser),
        1 => any::<u8>().prop_map(Step::DeleteUser),
        1 => any::<u8>().prop_map(Step::StartNode),
        1 => any::<u8>().prop_map(Step::StopNode),
        6 => any::<u8>().prop_map(Step::StartSession),
        5 => any::<u8>().prop_map(Step::EstablishSession),
        1 => any::<u8>().prop_map(Step::FailSession),
        2 => any::<u8>().prop_map(Step::EndSession),
        2 => any::<bool>().prop_map(Step::SetPolicy),
        1 => any::<u8>().prop_map(Step::SetSchedule),
        1 => any::<u8>().prop_map(Step::SetWait),
        2 => Just(Step::Serve),
    ]
}

fn nth<T: Copy>(all: Vec<T>, number: u8) -> Option<T> {
    (!all.is_empty()).then(|| all[usize::from(number) % all.len()])
}

fn nth_client(world: &World, number: u8) -> Option<JumpClientId> {
    nth(
        world.jump_clients.iter().map(|(id, _)| *id).collect(),
        number,
    )
}

fn nth_session(world: &World, number: u8) -> Option<(Lsid, JumpClientId)> {
    let sessions = world.sessions.iter().map(|(lsid, session)| {
        let JumpItemRef::JumpClient(client) = session.item;
        (*lsid, client)
    });
    nth(sessions.collect(), number)
}

fn nth_group(world: &World, number: u8) -> Option<JumpGroupId> {
    nth(
        world.jump_groups.iter().map(|(id, _)| *id).collect(),
        number,
    )
}

/// A few words, some of which fold to another length.
fn word(number: u8) -> String {
    const WORDS: [&str; 6] = ["web", "İzmir", "ÄRGER", "db-01", "", "Straße 7"];
    WORDS[usize::from(number) % WORDS.len()].to_owned()
}

/// Asks what a step says; nothing where there is nothing to ask it of.
fn take(log: &mut Log, views: &Views, step: &Step) {
    let connection = log.position() + 1;
    let world = log.world.clone();
    let client_command = |number: u8| nth_client(&world, number);
    match *step {
        Step::Wait(seconds) => log.wait(i64::from(seconds) * time::SECOND),
        Step::Register(number, tag) => {
            if let Some(node) = nth(world.nodes.iter().map(|(id, _)| *id).collect(), number) {
                let mut register = register(INSTALLER, connection);
                register.link.node = node;
                register.tag = Some(word(tag));
                register.facts.hostname = format!("{}{number}", word(tag));
                log.ask(Actor::NewJumpClient, register);
            }
        }
        Step::Connect(number, from) => {
            let node = nth(world.nodes.iter().map(|(id, _)| *id).collect(), from);
            if let (Some(client), Some(node)) = (client_command(number), node) {
                let connect = jump_client::Command::Connect {
                    client,
                    link: LinkId { node, connection },
                    public_ip: format!("198.51.100.{}:4000", from % 3),
                    boot_id: "boot".to_owned(),
                };
                log.ask(client, connect);
            }
        }
        Step::Disconnect(number) => {
            if let Some(client) = client_command(number)
                && let Some(Presence::Connected(link)) = world
                    .jump_clients
                    .get(&client)
                    .map(|client| client.presence)
            {
                let reason = "left".to_owned();
                log.ask(
                    client,
                    jump_client::Command::Disconnect {
                        client,
                        link,
                        reason,
                    },
                );
            }
        }
        Step::CheckIn(number, fact) => {
            if let Some(client) = client_command(number) {
                let facts = Facts {
                    hostname: word(fact),
                    console_user: word(fact / 7),
                    disabled: fact % 5 == 0,
                    ..Facts::default()
                };
                let facts = Box::new(facts);
                log.ask(client, jump_client::Command::CheckIn { client, facts });
            }
        }
        Step::Quarantine(number) => {
            if let Some(client) = client_command(number) {
                let evidence = "two boots".to_owned();
                log.ask(
                    Actor::System,
                    jump_client::Command::Quarantine { client, evidence },
                );
            }
        }
        Step::MoveClient(number, to) => {
            if let Some(client) = client_command(number) {
                let body = match nth_group(&world, to) {
                    Some(group) if to % 3 > 0 => {
                        json!({"jump_group_type": "shared", "jump_group_id": group.0})
                    }
                    _ => json!({"jump_group_type": "personal", "jump_group_id": ANNA.0}),
                };
                log.ask(ADMIN, change::<Properties>(client, body));
            }
        }
        Step::RenameClient(number, name) => {
            if let Some(client) = client_command(number) {
                let body = json!({"name": format!("{} ", word(name)), "tag": word(name / 5)});
                log.ask(ADMIN, change::<Properties>(client, body));
            }
        }
        Step::DeleteClient(number) => {
            if let Some(client) = client_command(number) {
                log.ask(ADMIN, delete::<Properties>(client));
            }
        }
        Step::CreateGroup(name) => {
            let events = log.ask(
                ADMIN,
                create::<JumpGroup>(json!({"name": format!("g{name}")})),
            );
            if let Some(Event::JumpGroup(group, _)) = events.first() {
                let membership = Membership {
                    jump_item_role_id: Some(role::ADMINISTRATOR),
                    jump_policy_id: Some(THURSDAYS),
                };
                log.ask(
                    ADMIN,
                    domain::access::jump_group::Command::AddMember(*group, ANNA, membership),
                );
            }
        }
        Step::RenameGroup(number, name) => {
            if let Some(group) = nth_group(&world, number) {
                let body = json!({"name": format!("{} {name}", word(name))});
                log.ask(ADMIN, change::<JumpGroup>(group, body));
            }
        }
        Step::DeleteGroup(number) => {
            if let Some(group) = nth_group(&world, number) {
                log.ask(ADMIN, delete::<JumpGroup>(group));
            }
        }
        Step::RenameUser(name) => {
            let body = json!({"private_display_name": format!("Anna {name}")});
            log.ask(ADMIN, change::<User>(ANNA, body));
        }
        // Now and then, or most stories would go on without her.
        Step::DeleteUser(number) if number % 8 == 0 => {
            log.ask(ADMIN, delete::<User>(ANNA));
        }
        Step::DeleteUser(_) => {}
        Step::StartNode(number) => {
            let start = node::Command::Start {
                epoch: NodeEpoch(connection.cast_signed()),
                name: format!("node-{}", number % 2 + 1),
                url: None,
            };
            log.ask(Actor::System, start);
        }
        Step::StopNode(number) => {
            if let Some(epoch) = nth(world.nodes.iter().map(|(id, _)| *id).collect(), number) {
                let reason = node::StopReason::Silent;
                log.ask(Actor::System, node::Command::Stop { epoch, reason });
            }
        }
        Step::StartSession(number) => {
            if let Some(client) = client_command(number) {
                let user = if number % 2 == 0 { ANNA } else { ADMIN };
                log.ask(user, start(user, client));
            }
        }
        Step::EstablishSession(number) => {
            if let Some((lsid, client)) = nth_session(&world, number) {
                log.ask(client, access_session::Command::Establish { lsid, client });
            }
        }
        Step::FailSession(number) => {
            if let Some((lsid, client)) = nth_session(&world, number) {
                let reason = "no shell".to_owned();
                log.ask(
                    client,
                    access_session::Command::Fail {
                        lsid,
                        client,
                        reason,
                    },
                );
            }
        }
        Step::EndSession(number) => {
            if let Some((lsid, _)) = nth_session(&world, number) {
                log.ask(ADMIN, access_session::Command::End { lsid });
            }
        }
        Step::SetPolicy(strict) => {
            let body = json!({"schedule_enabled": strict, "schedule_strict": strict});
            log.ask(ADMIN, change::<JumpPolicy>(THURSDAYS, body));
        }
        Step::SetSchedule(number) => {
            let entries = open_daily(u16::from(number % 4) * 60, 3 + u16::from(number / 13));
            let schedule = Schedule {
                timezone: "Europe/Berlin".to_owned(),
                entries,
            };
            log.ask(
                ADMIN,
                jump_policy::Command::SetSchedule(THURSDAYS, schedule),
            );
        }
        Step::SetWait(number) => {
            let body = json!({"lost_agent_seconds": 10 + u32::from(number)});
            log.ask(
                ADMIN,
                change::<SiteSettings>(domain::site::settings::SETTINGS, body),
            );
        }
        Step::Serve => {
            let mut served = 0;
            for due in views.timers.due(log.now, &world.settings, 3) {
                assert!(due.at <= log.now);
                let there = log.world.sessions.len();
                let events = log.ask(Actor::System, due.command.clone());
                // Two things may be due of one session, and the first of them ends it.
                served += there - log.world.sessions.len();
                assert!(served > 0, "{due:?} is due and does nothing");
                assert!(events.len() <= 1);
            }
        }
    }
}

/// Open every day from `start`, for `hours`, of at most 20.
fn open_daily(start: u16, hours: u16) -> Vec<ScheduleEntry> {
    (0..7)
        .map(|day| ScheduleEntry {
            start_day: day,
            start_minute: start,
            end_day: day,
            end_minute: start + hours.min(20) * 60,
        })
        .collect()
}

fn story() -> Log {
    let mut log = Log::begun();
    log.happen([
        person(ANNA),
        group(WEB_SERVERS, "Web Servers"),
        policy(THURSDAYS, |_| {}),
        schedule(THURSDAYS, "Europe/Berlin", &open_daily(60, 20)),
        installer(INSTALLER, SHARED, |installer| {
            installer.allow_override_tag = true;
            installer.expiration_timestamp = Timestamp(i64::MAX);
        }),
        member_under(WEB_SERVERS, ANNA, role::ADMINISTRATOR, THURSDAYS),
    ]);
    log
}

/// The views agree with what the `World` says, computed in another way.
fn assert_views_are(views: &Views, world: &World, now: Timestamp, last: u64) {
    let mut expected: std::collections::BTreeMap<(JumpGroupRef, String), Counts> =
        std::collections::BTreeMap::new();
    for (id, client) in world.jump_clients.iter() {
        let item = JumpItemRef::JumpClient(*id);
        let row = views.console.row(item).expect("each item has a row");
        assert_eq!(row.online, world.is_online(client), "{item}");
        assert_eq!(row.offline_since, world.offline_since(client), "{item}");
        assert_eq!(row.last_accessed, client.last_access_at);
        assert_eq!(row.group, client.properties.group());
        assert_eq!(*row.group_name, world.group_name(row.group));
        assert_eq!(
            (row.texts.name(), row.texts.tag(), row.texts.hostname()),
            (
                &*client.properties.name,
                &*client.properties.tag,
                &*client.facts.hostname
            )
        );
        assert_eq!(row.texts.public_ip(), client.public_ip);
        assert_eq!(row.texts.console_user(), client.facts.console_user);
        assert_eq!(row.disabled, client.facts.disabled);
        assert_eq!(row.quarantined, client.quarantined);
        let needle = client.facts.hostname.to_lowercase();
        assert!(row.matches(&[SearchField::HostnameIp], &needle, now, &world.settings));
        let counts = expected
            .entry((row.group, client.properties.tag.clone()))
            .or_default();
        counts.items += 1;
        counts.jump_clients += 1;
        match world.is_online(client) {
            true => counts.online += 1,
            false => counts.offline += 1,
        }
    }
    for gone in (1..=last)
        .filter_map(|id| u32::try_from(id).ok())
        .map(JumpClientId)
    {
        if !world.jump_clients.contains(&gone) {
            assert!(views.console.row(JumpItemRef::JumpClient(gone)).is_none());
        }
    }
    let groups = (1..20)
        .map(|id| JumpGroupRef::Shared(JumpGroupId(id)))
        .chain((1..4).map(|id| JumpGroupRef::Personal(UserId(id))));
    for group in groups {
        let tags: Vec<(String, Counts)> = expected
            .iter()
            .filter(|((of, _), _)| *of == group)
            .map(|((_, tag), counts)| (tag.clone(), *counts))
            .collect();
        let total: Counts = tags.iter().map(|(_, counts)| *counts).sum();
        assert_eq!(views.console.tags(group), tags, "{group:?}");
        assert_eq!(views.console.counts(group), total, "{group:?}");
    }
    assert_timers_are(views, world, now);
}

/// What is due now is exactly what `decide` would do something about, of what due dates may ask.
fn assert_timers_are(views: &Views, world: &World, now: Timestamp) {
    let (cause, fresh) = (domain::Cause::timer(), domain::testing::fresh(9));
    let mut expected: Vec<Command> = Vec::new();
    for (lsid, _) in world
        .sessions
        .iter()
        .map(|(lsid, session)| (*lsid, session))
    {
        let asked = [
            access_session::Command::TimeOut { lsid },
            access_session::Command::Abandon { lsid },
            access_session::Command::EndBySchedule { lsid },
        ];
        for command in asked.map(Command::AccessSession) {
            let context = domain::Context {
                now,
                cause: &cause,
                fresh: &fresh,
            };
            if domain::decide(world, &command, &context).is_ok_and(|events| !events.is_empty()) {
                expected.push(command);
            }
        }
    }
    let due = views.timers.due(now, &world.settings, usize::MAX);
    assert!(due.is_sorted_by_key(|due| due.at));
    let mut found: Vec<Command> = due.iter().map(|due| due.command.clone()).collect();
    let text = |command: &Command| format!("{command:?}");
    found.sort_by_key(text);
    expected.sort_by_key(text);
    assert_eq!(found, expected);
    let next = views.timers.next(&world.settings);
    match found.is_empty() {
        true => assert!(next.is_none_or(|next| next > now), "{next:?} {now:?}"),
        false => assert_eq!(next, due.first().map(|due| due.at)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_live_view_equals_a_fresh_fold(steps in prop::collection::vec(step(), 1..80), batch in 1..9_usize) {
        let mut log = story();
        let live = Views::default();
        let batched = Views::default();
        let (mut folded, mut world) = (0, World::default());
        for (count, step) in steps.iter().enumerate() {
            take(&mut log, &live, step);
            // One: each event with the world just after it.
            for recorded in &log.recorded[folded..] {
                world.apply(&recorded.event, recorded.recorded_at);
                live.apply(recorded, &world);
            }
            folded = log.recorded.len();
            assert_views_are(&live, &log.world, log.now, log.position());
            // The other: batches with the world at their end.
            if count % batch == 0 {
                fold_batch(&batched, &log);
                assert_views_are(&batched, &log.world, log.now, log.position());
            }
        }
        fold_batch(&batched, &log);
        prop_assert_eq!(batched.bookmark(), live.bookmark());
        let made = Views::of(&log.world, log.position());
        prop_assert_eq!(made.bookmark(), live.bookmark());
        for views in [&made, &batched] {
            assert_views_are(views, &log.world, log.now, log.position());
        }
    }
}

fn fold_batch(views: &Views, log: &Log) {
    let from = usize::try_from(views.bookmark()).expect("small");
    for recorded in &log.recorded[from..] {
        views.apply(recorded, &log.world);
    }
}

/// A log with these events behind a begun one, and the views of it.
fn with(events: impl IntoIterator<Item = Event>) -> (Log, Views) {
    let mut log = story();
    log.happen(events);
    let views = Views::default();
    fold_batch(&views, &log);
    (log, views)
}

fn happen(log: &mut Log, views: &Views, events: impl IntoIterator<Item = Event>) {
    log.happen(events);
    fold_batch(views, log);
}

fn asked(due: &[projections::Due]) -> Vec<(Timestamp, Command)> {
    due.iter()
        .map(|due| (due.at, due.command.clone()))
        .collect()
}

fn disconnected(client: JumpClientId) -> Event {
    let link = LinkId {
        node: NODE,
        connection: u64::from(client.0),
    };
    let reason = "left".to_owned();
    Event::JumpClient(
        client,
        jump_client::Event::Disconnected(jump_client::Disconnected { link, reason }),
    )
}

fn stopped() -> Event {
    let reason = node::StopReason::Silent;
    Event::Node(NODE, node::Event::Stopped(node::Stopped { reason }))
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

/// SESS-02, CLNT-12
#[test]
fn the_status_column_says_what_a_start_would_meet() {
    type Prepare = fn(&mut Log);
    let quarantine: Prepare = |log| {
        let evidence = "two boots".to_owned();
        let quarantined = jump_client::Quarantined { evidence };
        log.happen([Event::JumpClient(
            PC1,
            jump_client::Event::Quarantined(quarantined),
        )]);
    };
    let disable: Prepare = |log| {
        let facts = Box::new(Facts {
            disabled: true,
            ..Facts::default()
        });
        log.ask(PC1, jump_client::Command::CheckIn { client: PC1, facts });
    };
    let lost = 15 * time::DAY;
    // how it came, how long ago, words
    let table: [(&str, Prepare, i64, &str); 7] = [
        ("connected", |_| {}, 0, "Active (1)"),
        (
            "left",
            |log| log.happen([disconnected(PC1)]),
            0,
            "Active [Offline]",
        ),
        (
            "left",
            |log| log.happen([disconnected(PC1)]),
            lost - 1,
            "Active [Offline]",
        ),
        (
            "left",
            |log| log.happen([disconnected(PC1)]),
            lost,
            "Active [Lost]",
        ),
        (
            "node stopped",
            |log| log.happen([stopped()]),
            lost,
            "Active [Lost]",
        ),
        ("quarantined", quarantine, 0, "Unavailable"),
        ("switched off", disable, 0, "Unavailable"),
    ];
    for (what, prepare, ago, words) in table {
        let (mut log, views) = with(client(PC1, SHARED));
        prepare(&mut log);
        fold_batch(&views, &log);
        let row = views
            .console
            .row(JumpItemRef::JumpClient(PC1))
            .expect("a row");
        let status = row.status(log.now.plus(ago), &log.world.settings);
        assert_eq!(status.words(), words, "{what}, {ago}");
    }
    for (connection_type, status) in [
        ("passive", Status::Passive),
        ("uninstalled", Status::Uninstalled),
    ] {
        let (log, views) = with([registered(PC1, SHARED, |client| {
            client.connection_type = connection_type.to_owned();
        })]);
        let row = views
            .console
            .row(JumpItemRef::JumpClient(PC1))
            .expect("a row");
        assert_eq!(row.status(log.now, &log.world.settings), status);
        assert_eq!(
            views.console.counts(SHARED).passive,
            u64::from(status == Status::Passive)
        );
    }
}

/// SESS-06, SESS-07
#[test]
fn each_field_is_searched_by_itself_and_without_case() {
    let mut events = vec![registered(PC1, SHARED, |client| {
        client.properties.name = "Payroll DB".to_owned();
        client.properties.tag = "Finance".to_owned();
        client.properties.comments = "Ask Überseestraße first".to_owned();
        client.facts.hostname = "HOST-A".to_owned();
        client.facts.fqdn = "host-a.Corp.example".to_owned();
        client.facts.console_user = "Operator".to_owned();
        client.facts.private_ip = "10.0.0.5".to_owned();
    })];
    events.push(domain::testing::connected(PC1, 1));
    let (mut log, views) = with(events);
    happen(&mut log, &views, session(FIRST, ANNA, PC1));
    let row = views
        .console
        .row(JumpItemRef::JumpClient(PC1))
        .expect("a row");
    let public_ip = row.texts.public_ip().to_owned();
    let table = [
        (SearchField::Comments, "ÜBERSEE"),
        (SearchField::ConsoleUser, "OPER"),
        (SearchField::Fqdn, "corp.EXAMPLE"),
        (SearchField::Group, "web SERVERS"),
        (SearchField::HostnameIp, "host-A"),
        (SearchField::JumpMethod, "jump CLIENT"),
        (SearchField::LastAccessed, "2026-03-02"),
        (SearchField::Name, "payroll"),
        (SearchField::PrivateIp, "10.0.0.5"),
        (SearchField::PublicIp, public_ip.as_str()),
        (SearchField::Status, "ACTIVE (1)"),
        (SearchField::Tag, "finance"),
    ];
    assert_eq!(table.map(|(field, _)| field), SearchField::ALL);
    for (field, typed) in table {
        let needle = projections::console::fold(typed);
        let found =
            |fields: &[SearchField]| row.matches(fields, &needle, log.now, &log.world.settings);
        assert!(found(&[field]), "{field:?}");
        assert!(found(&SearchField::ALL), "{field:?}");
        let others: Vec<SearchField> = SearchField::ALL
            .into_iter()
            // The full name begins with the host name.
            .filter(|other| *other != field && *other != SearchField::Fqdn)
            .collect();
        assert!(!found(&others), "{field:?}");
        assert_eq!(SearchField::titled(field.title()), Some(field));
    }
    let mut never = views
        .console
        .row(JumpItemRef::JumpClient(PC1))
        .expect("a row");
    never.last_accessed = None;
    assert_eq!(never.last_accessed_words(), "Never");
}

#[test]
fn figures_stay_with_the_client_and_go_with_it() {
    let (mut log, views) = with(client(PC1, SHARED));
    let figures: std::sync::Arc<[u8]> = (*b"figures").into();
    views.console.set_figures(PC1, figures.clone());
    views.console.set_figures(PC2, figures.clone());
    assert_eq!(views.console.figures(PC2), None);
    log.ask(
        ADMIN,
        change::<Properties>(PC1, json!({"name": "new name"})),
    );
    fold_batch(&views, &log);
    assert_eq!(views.console.figures(PC1), Some(figures));
    log.ask(ADMIN, delete::<Properties>(PC1));
    fold_batch(&views, &log);
    assert_eq!(views.console.figures(PC1), None);
}

#[test]
fn every_kind_of_event_is_folded() {
    let mut log = Log::begun();
    let views = Views::default();
    let mut world = World::default();
    log.happen(one_of_each());
    for recorded in &log.recorded {
        world.apply(&recorded.event, recorded.recorded_at);
        views.apply(recorded, &world);
        let again: &Recorded = recorded;
        // An event that comes twice changes nothing.
        views.apply(again, &world);
    }
    assert_eq!(views.bookmark(), log.position());
    assert_eq!(views.timers, projections::Timers::of(&world));
}
