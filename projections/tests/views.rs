//! The in-memory views against what the `World` says, event by event, batch by batch and made at once.

mod support;

use domain::access::jump_group::{JumpGroup, Membership};
use domain::access::role;
use domain::fleet::jump_client::{self, Facts, Presence, Properties};
use domain::ids::{
    JumpClientId, JumpGroupId, JumpGroupRef, JumpItemRef, LinkId, Lsid, NodeEpoch, UserId,
};
use domain::policy::jump_policy::{self, JumpPolicy};
use domain::policy::schedule::Schedule;
use domain::session::access_session;
use domain::site::settings::SiteSettings;
use domain::site::user::User;
use domain::testing::{
    ADMIN, ANNA, INSTALLER, THURSDAYS, change, create, delete, one_of_each, register, start,
};
use domain::{Actor, Command, Event, Timestamp, World, node, time};
use projections::{Counts, Search, SearchField, Views};
use proptest::prelude::*;
use serde_json::json;
use support::Log;
use support::site::{fold_batch, open_daily, story};

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
    SetDays(u8),
    SetOfflineMinutes(u8, u8),
    WaitDays(u8),
    Uninstall(u8),
    CopyClient(u8),
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
        1 => any::<u8>().prop_map(Step::SetDays),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(a, b)| Step::SetOfflineMinutes(a, b)),
        1 => any::<u8>().prop_map(Step::WaitDays),
        1 => any::<u8>().prop_map(Step::Uninstall),
        1 => any::<u8>().prop_map(Step::CopyClient),
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
    let sessions = world
        .sessions
        .iter()
        .filter_map(|(lsid, session)| Some((*lsid, session.item.jump_client()?)));
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
                register.overrides.tag = Some(word(tag));
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
            if let Some(client) = client_command(number)
                && let Some(Presence::Connected(link)) = world
                    .jump_clients
                    .get(&client)
                    .map(|client| client.presence)
            {
                let facts = Facts {
                    hostname: word(fact),
                    console_user: word(fact / 7),
                    disabled: fact % 5 == 0,
                    ..Facts::default()
                };
                let facts = Box::new(facts);
                let check_in = jump_client::Command::CheckIn {
                    client,
                    link,
                    facts,
                };
                log.ask(client, check_in);
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
                override_allowed: false,
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
        Step::SetDays(number) => {
            let lost = 1 + u32::from(number % 5);
            let body = json!({
                "lost_days": lost,
                "deletion_days": lost + 1 + u32::from(number / 64),
                "uninstalled_client_behavior": if number % 2 == 0 { "keep" } else { "remove" },
            });
            log.ask(
                ADMIN,
                change::<SiteSettings>(domain::site::settings::SETTINGS, body),
            );
        }
        Step::SetOfflineMinutes(number, minutes) => {
            if let Some(client) = client_command(number) {
                let body = json!({"max_offline_minutes": u32::from(minutes / 64) * 700});
                log.ask(ADMIN, change::<Properties>(client, body));
            }
        }
        Step::WaitDays(days) => log.wait(i64::from(days % 4) * time::DAY),
        Step::Uninstall(number) => {
            if let Some(client) = client_command(number)
                && let Some(known) = world.jump_clients.get(&client)
                && let Presence::Connected(link) = known.presence
            {
                let client = known.endpoint;
                log.ask(client, jump_client::Command::Uninstall { client, link });
            }
        }
        Step::CopyClient(number) => {
            if let (Some(client), Some(group)) = (client_command(number), nth_group(&world, number))
            {
                let body = json!({"jump_group_type": "shared", "jump_group_id": group.0});
                let body = domain::testing::object(body);
                log.ask(ADMIN, jump_client::Command::Copy(client, body));
            }
        }
        Step::Serve => {
            let mut served = 0;
            for due in views.timers.due(log.now, &world.settings, 3) {
                assert!(due.at <= log.now);
                let events = log.ask(Actor::System, due.command.clone());
                // Two things may be due of one session or client, and the first of them ends it.
                served += events.len();
                assert!(served > 0, "{due:?} is due and does nothing");
                assert!(events.len() <= 2);
            }
        }
    }
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
        let search = Search::new(&[SearchField::HostnameIp], &client.facts.hostname);
        assert!(search.finds(&row, now, &world.settings));
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
            access_session::Command::AnnounceEnd { lsid },
            access_session::Command::RemoveInactive { lsid },
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
    if world.access_review.is_some() {
        let go_on = domain::access::review::Command::Continue;
        expected.push(Command::AccessReview(go_on));
    }
    for (id, _) in world.jump_clients.iter() {
        let asked = [
            jump_client::Command::MarkLost(*id),
            jump_client::Command::Expire(*id),
        ];
        for command in asked.map(Command::JumpClient) {
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

#[test]
fn every_kind_of_event_is_folded() {
    let mut log = Log::begun();
    let views = Views::default();
    let mut world = World::default();
    log.happen(one_of_each());
    for recorded in &log.recorded {
        world.apply(&recorded.event, recorded.recorded_at);
        views.apply(recorded, &world);
        // An event that comes twice changes nothing.
        views.apply(recorded, &world);
    }
    assert_eq!(views.bookmark(), log.position());
    assert_eq!(views.timers, projections::Timers::of(&world));
}
