//! How a user stands with an item that needs approval: what they may use now, and what the details pane says.

use serde::Serialize;

use super::{AccessRequest, Scope, State, approvers};
use crate::ids::{AccessRequestId, JumpItemRef, JumpPolicyId, UserId};
use crate::policy::gates;
use crate::{Timestamp, World};

/// What the details pane says (APPR-09).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StandingKind {
    /// A request waits for an answer.
    Pending,
    /// A request was approved.
    Approved,
    /// Approved only for a different user (APPR-10).
    ApprovedForDifferentUser,
    /// A request was denied.
    Denied,
}

impl StandingKind {
    /// The words of the details pane.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Approved => "Approved",
            Self::ApprovedForDifferentUser => "Approved only for a different user",
            Self::Denied => "Denied",
        }
    }
}

/// How a user stands with an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// The one thing that the details pane says.
    pub kind: StandingKind,
    /// The request that it follows from.
    pub request: AccessRequestId,
    /// From when on, inclusive.
    pub start_at: Timestamp,
    /// Until when, exclusive.
    pub ends_at: Timestamp,
}

/// The approved request under which `user` may start a session on `item` now (APPR-20 to APPR-23, APPR-36): one of their own
/// before one of somebody else, then the one that lasts longest.
#[must_use]
pub fn usable(
    world: &World,
    user: UserId,
    item: JumpItemRef,
    policy: JumpPolicyId,
    now: Timestamp,
) -> Option<AccessRequestId> {
    world
        .requests_for(item)
        .filter(|(_, request)| {
            request.state.is_approved()
                && request.jump_policy_id == policy
                && request.covers(now)
                && request.is_for(user)
        })
        .max_by_key(|(_, request)| (request.requester == user, request.ends_at))
        .map(|(id, _)| id)
}

/// How `user` stands with `item`: what helps most is said first. None where no request for it is known.
#[must_use]
pub fn standing(
    world: &World,
    user: UserId,
    item: JumpItemRef,
    now: Timestamp,
) -> Option<Standing> {
    world
        .requests_for(item)
        .filter(|(_, request)| now < request.ends_at)
        .filter_map(|(id, request)| {
            let kind = kind_for(request, user)?;
            // What is open now before what opens later, the earlier before the later.
            let order = (rank(kind), request.start_at.max(now), id);
            Some((order, kind, id, request))
        })
        .min_by_key(|(order, ..)| *order)
        .map(|(_, kind, id, request)| Standing {
            kind,
            request: id,
            start_at: request.start_at,
            ends_at: request.ends_at,
        })
}

fn kind_for(request: &AccessRequest, user: UserId) -> Option<StandingKind> {
    match &request.state {
        State::Approved(_) | State::InUse(_) if request.is_for(user) => {
            Some(StandingKind::Approved)
        }
        State::Approved(_) | State::InUse(_) => Some(StandingKind::ApprovedForDifferentUser),
        State::Pending if request.is_for(user) => Some(StandingKind::Pending),
        State::Denied(_) if request.is_for(user) => Some(StandingKind::Denied),
        _ => None,
    }
}

const fn rank(kind: StandingKind) -> u8 {
    match kind {
        StandingKind::Approved => 0,
        StandingKind::Pending => 1,
        StandingKind::ApprovedForDifferentUser => 2,
        StandingKind::Denied => 3,
    }
}

/// A request of `user` for `item` that waits for its answer or for its time: the earliest.
#[must_use]
pub fn waiting(
    world: &World,
    user: UserId,
    item: JumpItemRef,
    policy: JumpPolicyId,
    now: Timestamp,
) -> Option<AccessRequestId> {
    world
        .requests_for(item)
        .filter(|(_, request)| {
            let open = matches!(request.state, State::Pending) || request.state.is_approved();
            open && now < request.ends_at
                && request.is_for(user)
                && request.jump_policy_id == policy
        })
        .min_by_key(|(id, request)| (request.requester != user, request.start_at, *id))
        .map(|(id, _)| id)
}

/// How many requests of `user` for `item` wait for an answer.
pub(super) fn pending_of(world: &World, user: UserId, item: JumpItemRef) -> usize {
    world
        .requests_for(item)
        .filter(|(_, request)| request.requester == user && matches!(request.state, State::Pending))
        .count()
}

/// Whether `user` may know of the request: its requester, an approver, or, where the approval is for anyone, whoever may start
/// under it (APPR-21).
#[must_use]
pub fn is_known_to(world: &World, request: &AccessRequest, user: UserId) -> bool {
    request.requester == user
        || approvers::is_asked(world, request, user)
        || (request.scope == Scope::Anyone && gates::may_start(world, user, request.item).is_ok())
}
