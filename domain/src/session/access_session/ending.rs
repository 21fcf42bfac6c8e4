//! The ways a session, or its start, ends.

use super::{AccessSession, EndReason, Ended, Event, Failed, Failure, SPAWN_TIMEOUT};
use crate::access::permission;
use crate::fleet::jump_client::JumpClient;
use crate::ids::{ApiAccountId, JumpClientId, Lsid};
use crate::{Actor, Context, Decision, Refusal, Timestamp, World, happened, nothing, time};

/// What an agent says where its user has switched it off (`docs/client-link.md`, section 5).
const DISABLED_CODE: &str = "client_disabled";

pub(super) fn session_of(
    world: &World,
    lsid: Lsid,
    client: JumpClientId,
) -> Result<&AccessSession, Refusal> {
    world
        .sessions
        .get(&lsid)
        .filter(|session| session.endpoint == Some(client))
        .ok_or(Refusal::SessionNotActive)
}

pub(super) fn decide_fail(
    world: &World,
    lsid: Lsid,
    client: JumpClientId,
    reason: &str,
) -> Decision {
    if session_of(world, lsid, client)?.established {
        return decide_end_by_endpoint(world, lsid, client, reason);
    }
    // The server learns that a client was switched off a moment after the client does (CLNT-29).
    let failure = if reason == DISABLED_CODE {
        Failure::Disabled
    } else {
        Failure::Agent
    };
    failed(lsid, failure, reason)
}

/// Nothing where the client has come meanwhile: then its own word counts.
pub(super) fn decide_fail_call(
    world: &World,
    lsid: Lsid,
    failure: Failure,
    detail: &str,
) -> Decision {
    match world.sessions.get(&lsid) {
        Some(session) if !session.established && !agent_is_there(world, session) => {
            failed(lsid, failure, detail)
        }
        _ => nothing(),
    }
}

fn agent_is_there(world: &World, session: &AccessSession) -> bool {
    world
        .client_of_session(session)
        .is_some_and(|client| world.is_online(client))
}

impl World {
    /// Since when a session's agent has been away; none while it is there, and none for a passive client that was called
    /// and has not come yet: that wait has an end of its own.
    #[must_use]
    pub fn agent_away_since(&self, session: &AccessSession) -> Option<Timestamp> {
        let client = self.client_of_session(session)?;
        if client.is_passive() && !session.established {
            return None;
        }
        // A passive client was away before it was called.
        self.offline_since(client)
            .map(|since| since.max(session.started_at))
    }
}

pub(super) fn decide_time_out(world: &World, lsid: Lsid, context: &Context) -> Decision {
    match world.sessions.get(&lsid) {
        Some(session)
            if !session.established && context.now >= session.started_at.plus(SPAWN_TIMEOUT) =>
        {
            let passive = world
                .client_of_session(session)
                .is_some_and(JumpClient::is_passive);
            let failure = match (agent_is_there(world, session), passive) {
                (true, _) => Failure::TimedOut,
                (false, true) => Failure::NotReached,
                (false, false) => Failure::Disconnected,
            };
            failed(lsid, failure, "")
        }
        _ => nothing(),
    }
}

pub(super) fn decide_end(world: &World, lsid: Lsid, context: &Context) -> Decision {
    let session = world.sessions.get(&lsid).ok_or(Refusal::SessionNotActive)?;
    let reason = match context.actor() {
        Actor::User(user) if *user == session.owner => EndReason::Owner,
        Actor::User(user) if world.is_administrator(*user) => EndReason::Administrator,
        Actor::ApiAccount(account) if has_full_command_access(world, *account) => EndReason::Api,
        Actor::ApiAccount(_) => {
            return Err(Refusal::ApiPermissionNeeded {
                permission: "Command API: Full Access",
            });
        }
        // Whoever has a part in it knows of it, and is told who may (SESS-21).
        Actor::User(user) if session.users().any(|other| other == *user) => {
            return Err(Refusal::NotTheOwner);
        }
        // Whoever may not even see the item learns nothing of the session.
        Actor::User(user) if permission::access_to_item(world, *user, session.item).is_none() => {
            return Err(Refusal::SessionNotActive);
        }
        _ => return Err(Refusal::NotYourSession),
    };
    if !session.established {
        return failed(lsid, Failure::Cancelled, "");
    }
    ended(lsid, reason, "")
}

/// Whether the account may do all that the command API can.
pub(super) fn has_full_command_access(world: &World, account: ApiAccountId) -> bool {
    world
        .api_accounts
        .get(&account)
        .is_some_and(|account| account.perm_command == "full_access")
}

pub(super) fn decide_end_by_endpoint(
    world: &World,
    lsid: Lsid,
    client: JumpClientId,
    reason: &str,
) -> Decision {
    let session = session_of(world, lsid, client)?;
    if !session.established {
        return failed(lsid, Failure::Agent, reason);
    }
    ended(lsid, EndReason::Endpoint, reason)
}

pub(super) fn decide_abandon(world: &World, lsid: Lsid, context: &Context) -> Decision {
    let Some(session) = world.sessions.get(&lsid) else {
        return nothing();
    };
    let wait = i64::from(world.settings.lost_agent_seconds) * time::SECOND;
    match world.agent_away_since(session) {
        Some(since) if context.now >= since.plus(wait) && session.established => {
            ended(lsid, EndReason::AgentLost, "")
        }
        Some(since) if context.now >= since.plus(wait) => failed(lsid, Failure::Disconnected, ""),
        _ => nothing(),
    }
}

/// What happens to the sessions on an endpoint when its identity is found to be in use twice: they end, whichever item they
/// were started on, and those that are not up yet fail.
pub(crate) fn ended_by_quarantine(world: &World, endpoint: JumpClientId) -> Vec<crate::Event> {
    world
        .sessions_of_endpoint(endpoint)
        .filter_map(|lsid| {
            let session = world.sessions.get(&lsid)?;
            let event = if session.established {
                Event::Ended(Ended {
                    reason: EndReason::IdentityInDoubt,
                    detail: String::new(),
                })
            } else {
                Event::Failed(Failed {
                    failure: Failure::Identity,
                    detail: String::new(),
                })
            };
            Some(crate::Event::AccessSession(lsid, event))
        })
        .collect()
}

pub(super) fn failed(lsid: Lsid, failure: Failure, detail: &str) -> Decision {
    happened(crate::Event::AccessSession(
        lsid,
        Event::Failed(Failed {
            failure,
            detail: detail.to_owned(),
        }),
    ))
}

pub(super) fn ended(lsid: Lsid, reason: EndReason, detail: &str) -> Decision {
    happened(crate::Event::AccessSession(
        lsid,
        Event::Ended(Ended {
            reason,
            detail: detail.to_owned(),
        }),
    ))
}
