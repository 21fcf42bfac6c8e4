//! The World as a fold: the same by whatever way it is reached.

use proptest::prelude::*;

use super::{ItemText, World, decide};
use crate::ids::JumpItemRef;
use crate::session::access_session;
use crate::testing::{NODE, fresh, given, one_of_each, through_a_snapshot};
use crate::time::MINUTE;
use crate::{Cause, Command, Context, Event, Timestamp};

mod any_command;
mod any_fleet;
mod any_item;
mod any_mail;
mod any_member;
mod any_request;
mod any_ticket;
mod any_trust;

/// An event with the time it was recorded at.
type Recorded = (Event, Timestamp);

/// Asks all commands, one after the other, each of the World that those before it made.
fn play(world: &World, from: Timestamp, asked: &[(Cause, Command)]) -> (World, Vec<Recorded>) {
    let mut world = world.clone();
    let mut log = Vec::new();
    for (index, (cause, command)) in asked.iter().enumerate() {
        let minutes = i64::try_from(index).unwrap_or(i64::MAX);
        let now = from.plus(minutes.saturating_mul(7 * MINUTE));
        let context = Context {
            now,
            cause,
            fresh: &fresh(draw(index, command)),
        };
        let decision = decide(&world, command, &context);
        assert_eq!(
            decision,
            decide(&world.clone(), command, &context),
            "decided twice"
        );
        for event in decision.into_iter().flatten() {
            world.apply(&event, now);
            log.push((event, now));
        }
    }
    (world, log)
}

fn draw(index: usize, command: &Command) -> u64 {
    match command {
        Command::AccessSession(access_session::Command::Start(start)) => {
            any_command::session_draw(start.item)
        }
        _ => index as u64 + 1,
    }
}

fn through_storage(event: &Event) -> Event {
    let text = event.to_text().expect("text");
    Event::from_stored(&event.stream(), event.stored_name(), &text).expect("reads back")
}

fn fold(world: World, log: &[Recorded]) -> World {
    log.iter().fold(world, |mut world, (event, at)| {
        world.apply(event, *at);
        world
    })
}

/// The index over texts finds each item by each of its texts in any case, and holds nothing else.
fn assert_items_are_found_by_their_texts(world: &World) {
    let clients = world.jump_clients.iter().map(|(id, client)| {
        let (own, facts) = (&client.properties, &client.facts);
        let item = JumpItemRef::JumpClient(*id);
        (item, [&own.name, &own.tag, &facts.hostname])
    });
    let shells = world.shell_jumps.iter().map(|(id, item)| {
        let own = &item.properties;
        let item = JumpItemRef::ShellJump(*id);
        (item, [&own.name, &own.tag, &own.hostname])
    });
    let mut entries = 0;
    for (item, texts) in clients.chain(shells) {
        let kinds = [ItemText::Name, ItemText::Tag, ItemText::Hostname];
        for (kind, text) in kinds.into_iter().zip(texts) {
            match world.items_with_text(kind, &text.to_uppercase()) {
                Some(mut found) => assert!(found.any(|found| found == item), "{item} {kind:?}"),
                None => assert_eq!(text, "", "{item} {kind:?}"),
            }
            entries += usize::from(!text.is_empty());
        }
    }
    assert_eq!(world.items_by_text.len(), entries);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_commands_fold_to_the_same_world_by_every_way(
        asked in prop::collection::vec(
            prop_oneof![
                6 => any_command::any_command(),
                1 => any_fleet::any_fleet_command(),
            ],
            1..120,
        ),
        cut in 0.0..1.0_f64,
    ) {
        let base = given(any_command::base());
        let (played, log) = play(base.world(), base.now(), &asked);

        let stored: Vec<Recorded> =
            log.iter().map(|(event, at)| (through_storage(event), *at)).collect();
        prop_assert_eq!(&stored, &log);
        // Not `prop_assert_eq`: two whole worlds are no message.
        prop_assert!(fold(base.world().clone(), &stored) == played, "from the log");
        assert_items_are_found_by_their_texts(&played);

        let cut = (log.len() as f64 * cut) as usize;
        let (before, after) = log.split_at(cut);
        let restored = through_a_snapshot(&fold(base.world().clone(), before), 2);
        prop_assert!(fold(restored, after) == played, "from a snapshot after {} events", cut);

        // The same again gives the same events.
        let (again, same) = play(base.world(), base.now(), &asked);
        prop_assert!(again == played, "a second time");
        prop_assert_eq!(&same, &log);
    }
}

/// The commands above are worth something only if most kinds of events follow from them.
#[test]
fn the_commands_that_are_tried_reach_most_events() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let mut of_the_fleet = TestRunner::deterministic();
    let base = given(any_command::base());
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..500 {
        let commands = prop::collection::vec(any_command::any_command(), 100..120);
        let mut asked = commands.new_tree(&mut runner).expect("commands").current();
        let fleet = prop::collection::vec(any_fleet::any_fleet_command(), 20);
        let fleet = fleet.new_tree(&mut of_the_fleet).expect("commands");
        asked.extend(fleet.current());
        let (_, log) = play(base.world(), base.now(), &asked);
        names.extend(log.iter().map(|(event, _)| event.stored_name()));
    }
    let never: Vec<&str> = Event::stored_names()
        .into_iter()
        .filter(|name| !names.contains(name))
        .collect();
    // What only the first start does, what can't be asked for, what takes longer than these commands do, what a node says of its
    // clock, and refusals.
    assert_eq!(
        never,
        [
            "SiteCreated",
            "SiteSettingsCreated",
            "SiteSettingsDeleted",
            "TicketSystemCreated",
            "TicketSystemDeleted",
            "MailSettingsCreated",
            "MailSettingsDeleted",
            "JumpClientLost",
            "NodeClockFellBehind",
            "NodeClockCaughtUp",
            "AccessReviewDue",
            "AccessReviewFinished",
            "ActionRefused",
            "AttemptsRefused"
        ]
    );
}

/// Everything that can be known survives a snapshot.
#[test]
fn one_of_everything_survives_a_snapshot() {
    let site = given(any_command::base());
    let mut world = site.world().clone();
    for event in one_of_each() {
        // What ends or deletes would leave little to look at.
        let name = event.stored_name();
        if !name.ends_with("Deleted") && !name.ends_with("Failed") && !name.ends_with("Ended") {
            world.apply(&event, site.now());
        }
        assert!(through_a_snapshot(&world, 2) == world, "{name}");
    }
    assert!(!world.nodes.contains(&NODE), "the node was stopped");
    assert!(!world.sessions.is_empty() && !world.seen_from.is_empty());
}

/// A copy is another version: what happens to it does not happen to the first.
#[test]
fn a_copy_of_the_world_is_a_version_of_its_own() {
    let site = given(any_command::base());
    let before = site.world().clone();
    let mut copy = before.clone();
    for event in one_of_each() {
        copy.apply(&event, site.now());
    }
    assert!(copy != before);
    assert!(before == *given(any_command::base()).world());
}

/// Any event may be folded in anywhere without harm: what is stored has happened.
#[test]
fn any_event_can_be_folded_into_any_world() {
    for event in one_of_each() {
        let mut empty = World::default();
        empty.apply(&event, Timestamp(0));
        empty.apply(&event, Timestamp(0));
        for other in one_of_each() {
            empty.apply(&other, Timestamp(0));
        }
        assert!(through_a_snapshot(&empty, 2) == empty, "{event:?}");
    }
}
