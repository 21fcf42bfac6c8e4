//! The schedule that ends sessions: it announces the end from 15 minutes before, then ends them (POL-17 to POL-19, SESS-25).

use super::ending::{ended, failed};
use super::start::stands;
use super::{AccessSession, EndAnnounced, EndReason, Event, Failure};
use crate::ids::Lsid;
use crate::policy::jump_policy;
use crate::{Context, Decision, Timestamp, World, happened, nothing, time};

/// How long before the end its members are told, in minutes (POL-18, POL-19).
pub const ANNOUNCED_MINUTES: [u32; 4] = [15, 10, 5, 1];

/// When the end at `ends_at` is to be announced next in a session that began at, or was told last at, `since`. None where
/// nothing is to be told any more.
///
/// `told` is the end that its members know of. Where the schedule was shortened since, or none was known, they are told at once,
/// however little is left; not earlier than the first announcement before the new end.
#[must_use]
pub fn announced_next(
    ends_at: Timestamp,
    since: Timestamp,
    told: Option<Timestamp>,
) -> Option<Timestamp> {
    let mut announcements = ANNOUNCED_MINUTES
        .iter()
        .map(|minutes| ends_at.plus(-i64::from(*minutes) * time::MINUTE));
    if told.is_none_or(|told| ends_at < told) {
        return announcements.next().map(|first| first.max(since));
    }
    announcements.find(|at| *at > since)
}

impl AccessSession {
    /// Since when no end was announced: since it began to start, or the last time.
    #[must_use]
    pub fn unannounced_since(&self) -> Timestamp {
        self.announced_at.unwrap_or(self.started_at)
    }
}

pub(super) fn decide_announce_end(world: &World, lsid: Lsid, context: &Context) -> Decision {
    let Some(session) = world.sessions.get(&lsid) else {
        return nothing();
    };
    let ends_at = session
        .jump_policy_id
        .and_then(|policy| jump_policy::ends_sessions_at(world, policy, context.now))
        .filter(|ends_at| *ends_at > context.now);
    let Some(ends_at) = ends_at else {
        return nothing();
    };
    match announced_next(ends_at, session.unannounced_since(), session.told_end) {
        Some(at) if at <= context.now => happened(crate::Event::AccessSession(
            lsid,
            Event::EndAnnounced(EndAnnounced {
                ends_at,
                minutes: minutes_until(ends_at, context.now),
            }),
        )),
        _ => nothing(),
    }
}

fn minutes_until(ends_at: Timestamp, now: Timestamp) -> u32 {
    let minutes = (ends_at.since(now) + time::MINUTE - 1) / time::MINUTE;
    u32::try_from(minutes).unwrap_or(u32::MAX)
}

pub(super) fn decide_end_by_schedule(world: &World, lsid: Lsid, context: &Context) -> Decision {
    let Some(session) = world.sessions.get(&lsid) else {
        return nothing();
    };
    let ends_at = session
        .jump_policy_id
        .and_then(|policy| jump_policy::ends_sessions_at(world, policy, context.now));
    match ends_at {
        Some(ends_at) if ends_at <= context.now && session.established => {
            ended(lsid, EndReason::ScheduleClosed, "")
        }
        Some(ends_at) if ends_at <= context.now => {
            let why = stands(world, session, context.now).err();
            let why = why.map(|why| why.to_string()).unwrap_or_default();
            failed(lsid, Failure::Withdrawn, &why)
        }
        _ => nothing(),
    }
}
