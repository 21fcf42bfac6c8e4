//! How many requests may be made, and wait: each is a mail to every approver. One requester fills nobody's inbox alone.

use std::collections::{BTreeMap, BTreeSet};

use super::{Approver, standing};
use crate::ids::{AccessRequestId, JumpItemRef, UserId};
use crate::world::Inbox;
use crate::{Refusal, Timestamp, World, time};

/// Most requests of one user for one item that wait for an answer at once.
pub const PENDING_MAX: usize = 20;
/// Most requests of one user that wait for an answer at once.
pub const WAITING_PER_USER_MAX: usize = 60;
/// Most requests that one user makes within an hour, whatever becomes of them.
pub const REQUESTS_PER_HOUR_MAX: usize = 60;
/// Most mails to approvers that the requests of one user are within an hour; a single request may be more.
pub const MAILS_PER_HOUR_MAX: usize = 5_000;
/// Requests that wait in an approver's inbox from which on it is shared out: nobody adds to it beyond an equal part of it.
const INBOX_SHARED_FROM: usize = 200;

/// Whether `user` may make one more request that asks `asked`.
pub(super) fn check<'a>(
    world: &World,
    user: UserId,
    item: JumpItemRef,
    asked: impl Iterator<Item = &'a Approver> + Clone,
    now: Timestamp,
) -> Result<(), Refusal> {
    if standing::pending_of(world, user, item) >= PENDING_MAX {
        return Err(Refusal::TooManyPending);
    }
    if world.requests_waiting_of(user) >= WAITING_PER_USER_MAX {
        return Err(Refusal::TooManyPendingInAll);
    }
    let (mut requests, mut mails) = (0, 0);
    for (at, mailed) in world.requests_made_by(user) {
        if now.since(*at) < time::HOUR {
            requests += 1;
            mails += *mailed as usize;
        }
    }
    let mailed = asked.clone().filter(|by| !by.address.is_empty()).count();
    if requests >= REQUESTS_PER_HOUR_MAX || (requests > 0 && mails + mailed > MAILS_PER_HOUR_MAX) {
        return Err(Refusal::TooManyRequests);
    }
    if asked_have_room(world, user, asked) {
        Ok(())
    } else {
        Err(Refusal::InboxFull)
    }
}

/// Whether each of the approvers has room for a request of `user`.
fn asked_have_room<'a>(
    world: &World,
    user: UserId,
    asked: impl Iterator<Item = &'a Approver>,
) -> bool {
    // Approvers who are asked by the same lists have the same requests before them.
    let inboxes: BTreeSet<Vec<AccessRequestId>> = asked
        .map(|approver| world.approver_lists_in(&Inbox::of(approver)).collect())
        .collect();
    inboxes.into_iter().all(|lists| {
        let mut waiting: BTreeMap<UserId, usize> = BTreeMap::from([(user, 0)]);
        for requester in lists.into_iter().flat_map(|list| world.waiting_under(list)) {
            *waiting.entry(requester).or_default() += 1;
        }
        let all: usize = waiting.values().sum();
        let share = (INBOX_SHARED_FROM / waiting.len()).max(1);
        all < INBOX_SHARED_FROM || waiting.get(&user).is_none_or(|mine| *mine < share)
    })
}
