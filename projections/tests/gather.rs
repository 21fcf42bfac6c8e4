//! Rows of many items at once: whichever way they are taken in, they are the rows of the groups asked for, each once.

use std::collections::BTreeSet;

use domain::World;
use domain::ids::{JumpClientId, JumpGroupId, JumpGroupRef, JumpItemRef};
use domain::testing::{MONDAY, group, registered};
use projections::ConsoleView;

const GROUPS: u32 = 5;

fn world(clients: u32) -> World {
    let mut world = World::default();
    for number in 1..=GROUPS {
        world.apply(
            &group(JumpGroupId(number), &format!("Group {number}")),
            MONDAY,
        );
    }
    for number in 1..=clients {
        let of = JumpGroupRef::Shared(JumpGroupId(number % GROUPS + 1));
        let event = registered(JumpClientId(number), of, |client| {
            client.attempt.0 = format!("{number:064x}");
        });
        world.apply(&event, MONDAY);
    }
    world
}

#[test]
fn rows_of_groups_are_each_taken_in_once() {
    // Few are taken in by one, many by all cores.
    for clients in [0, 37, 9_000] {
        let world = world(clients);
        let view = ConsoleView::of(&world);
        for asked in [&[][..], &[2], &[1, 4, 5], &[1, 2, 3, 4, 5], &[3, 99]] {
            let groups: Vec<JumpGroupRef> = asked
                .iter()
                .map(|number| JumpGroupRef::Shared(JumpGroupId(*number)))
                .collect();
            let parts = view.gather(&groups, |part: &mut Vec<_>, row| part.push(row.to_row()));
            let rows: Vec<_> = parts.into_iter().flatten().collect();
            let items: BTreeSet<JumpItemRef> = rows.iter().map(|row| row.item).collect();
            let expected: BTreeSet<JumpItemRef> = groups
                .iter()
                .flat_map(|group| world.items_of(*group))
                .collect();
            assert_eq!(rows.len(), expected.len(), "{clients} {asked:?}");
            assert_eq!(items, expected, "{clients} {asked:?}");
            for row in rows {
                assert_eq!(view.row(row.item).as_ref(), Some(&row));
            }
        }
    }
}
