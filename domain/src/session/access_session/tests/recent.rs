//! Which items a user accessed last.

use super::super::Start;
use super::*;
use crate::World;
use crate::ids::JumpGroupId;
use crate::testing::through_a_snapshot;
use crate::world::RECENT_ITEMS_MAX;

const ELSEWHERE: JumpGroupId = JumpGroupId(9);

fn item(number: u32) -> JumpItemRef {
    JumpItemRef::JumpClient(JumpClientId(number))
}

/// As many machines as are kept and one more, all in Web Servers but PC1, which is elsewhere.
fn site() -> Given {
    let site = given([
        person(ANNA),
        person(BERT),
        group(WEB_SERVERS, "Web Servers"),
        group(ELSEWHERE, "Elsewhere"),
        member(WEB_SERVERS, ANNA, START_SESSIONS_ONLY),
        member(ELSEWHERE, ANNA, START_SESSIONS_ONLY),
    ])
    .and(client(PC1, JumpGroupRef::Shared(ELSEWHERE)));
    (2..=21).fold(site, |site, number| {
        site.and(client(JumpClientId(number), SHARED))
    })
}

fn jump_to(site: Given, number: u32) -> Given {
    let unknown = || "Unknown".to_owned();
    let start = Start::new(ANNA, item(number), unknown(), unknown());
    let begun = site.when(ANNA, Command::Start(start)).then_something();
    let lsid = begun.world().session_on(item(number)).expect("it starts");
    begun.when(ANNA, end(lsid)).then_something()
}

fn recent(world: &World, user: UserId) -> Vec<JumpItemRef> {
    world.recent_items(user).collect()
}

/// GRP-29: each user's own, the newest first, each item once, no more than are kept.
#[test]
fn the_items_accessed_last_are_known_newest_first() {
    let site = [1, 2, 3, 2].into_iter().fold(site(), jump_to);
    assert_eq!(recent(site.world(), ANNA), [item(2), item(3), item(1)]);
    assert!(recent(site.world(), BERT).is_empty());
    let again = through_a_snapshot(site.world(), 1);
    assert_eq!(recent(&again, ANNA), [item(2), item(3), item(1)]);
    assert_eq!(RECENT_ITEMS_MAX, 20);
    let all = (4..=21).fold(site, jump_to);
    let newest_first: Vec<JumpItemRef> = (4..=21).rev().chain([2, 3]).map(item).collect();
    assert_eq!(recent(all.world(), ANNA), newest_first);
}

/// GRP-29, ROLE-31, SESS-05: what is out of sight or gone is not told, and what is seen again is.
#[test]
fn what_is_out_of_sight_is_not_told() {
    let site = [1, 2, 3].into_iter().fold(site(), jump_to);
    let hidden = site.and([member(ELSEWHERE, ANNA, NO_ACCESS)]);
    assert_eq!(recent(hidden.world(), ANNA), [item(3), item(2)]);
    let gone = hidden.when(ADMIN, delete::<Properties>(JumpClientId(3)));
    let gone = gone.then_something();
    assert_eq!(recent(gone.world(), ANNA), [item(2)]);
    let seen = gone.and([member(ELSEWHERE, ANNA, START_SESSIONS_ONLY)]);
    assert_eq!(recent(seen.world(), ANNA), [item(2), item(1)]);
}
