//! Access sessions: one user, one endpoint (SESS-19, SESS-21).
//!
//! States: starting → active → ended, or starting → failed. Ended and failed sessions leave the world; reports keep them.

use serde::{Deserialize, Serialize};

use crate::access::permission::{self, Access};
use crate::access::role::JumpItemPermission;
use crate::fleet::jump_client::{self, JumpClient};
use crate::ids::{
    ApiAccountId, JumpClientId, JumpGroupRef, JumpItemRef, JumpPolicyId, Lsid, UserId,
};
use crate::policy::jump_policy;
use crate::site::user::User;
use crate::{Actor, Context, Decision, Refusal, Timestamp, World, happened, nothing, time};

#[cfg(test)]
mod tests;

/// How long an agent may take to bring a session up, in microseconds (ERR-11).
pub const SPAWN_TIMEOUT: i64 = 30 * time::SECOND;

/// What may be asked of access sessions.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Jump to an item. The caller is the user who asks.
    Start {
        /// Who jumps.
        user: UserId,
        /// To what.
        item: JumpItemRef,
        /// The address the user comes from, with port where known; `Unknown` otherwise.
        address: String,
        /// The user's program and system, as far as known; `Unknown` otherwise.
        user_system: String,
    },
    /// The agent brought the session up.
    Establish {
        /// Which session.
        lsid: Lsid,
        /// Who says so.
        client: JumpClientId,
    },
    /// The agent could not bring the session up.
    Fail {
        /// Which session.
        lsid: Lsid,
        /// Who says so.
        client: JumpClientId,
        /// The agent's words.
        reason: String,
    },
    /// The agent took too long: a due date.
    TimeOut {
        /// Which session.
        lsid: Lsid,
    },
    /// End it. The caller is its owner, an administrator, or an API account with full command access.
    End {
        /// Which session.
        lsid: Lsid,
    },
    /// The agent ended it.
    EndByEndpoint {
        /// Which session.
        lsid: Lsid,
        /// Who says so.
        client: JumpClientId,
        /// The agent's words.
        reason: String,
    },
    /// The schedule of its Jump Policy stopped permitting it, and the policy ends sessions then (POL-17): a due date.
    EndBySchedule {
        /// Which session.
        lsid: Lsid,
    },
    /// Its agent has been gone for longer than the site waits: a due date.
    Abandon {
        /// Which session.
        lsid: Lsid,
    },
}

/// The user of a session as known when it started (REP-40, REP-43).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Representative {
    /// The user's id.
    pub user_id: UserId,
    /// The number of the connection (REP-41).
    pub gsnumber: u32,
    /// Name to sign in with.
    pub username: String,
    /// The name others see.
    pub public_display_name: String,
    /// The name colleagues see.
    pub private_display_name: String,
    /// Address and port, or `Unknown`.
    pub public_ip: String,
    /// The program and system, or `Unknown`.
    pub os: String,
}

/// The endpoint of a session as known when it started (REP-38, REP-39).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Customer {
    /// The number of the connection (REP-41).
    pub gsnumber: u32,
    /// What the item was called.
    pub name: String,
    /// Who was signed in at the machine.
    pub username: String,
    /// Address and port.
    pub public_ip: String,
    /// The machine's own address.
    pub private_ip: String,
    /// Host name.
    pub hostname: String,
    /// Operating system.
    pub os: String,
}

/// A session began to start. Expected rate: as people jump; thousands a day on a large site.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// Counts sessions (REP-26).
    pub lseq: u32,
    /// To what.
    pub item: JumpItemRef,
    /// The group the item was in.
    pub group: JumpGroupRef,
    /// What the group was called; for a personal one its owner's private display name (REP-30).
    pub group_name: String,
    /// The Jump Policy that applied.
    pub jump_policy_id: Option<JumpPolicyId>,
    /// The grant that let the user in.
    pub grant: permission::Grant,
    /// The owner.
    pub representative: Representative,
    /// The endpoint.
    pub customer: Customer,
}

/// The agent brought the session up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Established {}

/// The session never came up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failed {
    /// Why.
    pub failure: Failure,
    /// The agent's words, if it said any.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// Why a session never came up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The agent said it could not (ERR-10).
    Agent,
    /// The agent took too long (ERR-11).
    TimedOut,
    /// The client went away meanwhile (ERR-12).
    Disconnected,
    /// The user gave up.
    Cancelled,
    /// What let the session start did not hold any more when it was up (SESS-17); the detail says what.
    Withdrawn,
}

impl Failure {
    /// The words for the user who waits.
    #[must_use]
    pub const fn refusal(self) -> Refusal {
        match self {
            Self::Agent => Refusal::SpawnFailed,
            Self::TimedOut => Refusal::SpawnTimedOut,
            Self::Disconnected => Refusal::JumpClientNotConnected,
            Self::Cancelled | Self::Withdrawn => Refusal::SessionNotActive,
        }
    }
}

/// The session ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// Why.
    pub reason: EndReason,
    /// The agent's words, if it said any.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// Its owner ended it.
    Owner,
    /// An administrator ended it.
    Administrator,
    /// An API account ended it.
    Api,
    /// The endpoint ended it.
    Endpoint,
    /// The agent was gone too long: closed abnormally, without an end time in reports (REP-28).
    AgentLost,
    /// The item was deleted.
    ItemDeleted,
    /// The schedule stopped permitting it (POL-17).
    ScheduleClosed,
}

impl EndReason {
    /// Whether reports show no end time (REP-28).
    #[must_use]
    pub const fn is_abnormal(self) -> bool {
        matches!(self, Self::AgentLost)
    }
}

/// What happens to an access session.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[allow(
    clippy::large_enum_variant,
    reason = "events are read one at a time and boxed nowhere else"
)]
pub enum Event {
    /// It began to start.
    Started(Started),
    /// It came up.
    Established(Established),
    /// It never came up.
    Failed(Failed),
    /// It ended.
    Ended(Ended),
}

impl Event {
    /// The names it may be stored under.
    pub const STORED_NAMES: &'static [&'static str] = &[
        "AccessSessionStarted",
        "AccessSessionEstablished",
        "AccessSessionFailed",
        "AccessSessionEnded",
    ];

    /// The name it is stored under.
    #[must_use]
    pub const fn stored_name(&self) -> &'static str {
        match self {
            Self::Started(_) => "AccessSessionStarted",
            Self::Established(_) => "AccessSessionEstablished",
            Self::Failed(_) => "AccessSessionFailed",
            Self::Ended(_) => "AccessSessionEnded",
        }
    }

    /// Reads an event back; `None` if the name is not one of an access session's.
    ///
    /// # Errors
    /// When the stored text is not of the event's form.
    pub fn from_stored(name: &str, text: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        match name {
            "AccessSessionStarted" => {
                serde_json::from_slice(text).map(|event| Some(Self::Started(event)))
            }
            "AccessSessionEstablished" => {
                serde_json::from_slice(text).map(|event| Some(Self::Established(event)))
            }
            "AccessSessionFailed" => {
                serde_json::from_slice(text).map(|event| Some(Self::Failed(event)))
            }
            "AccessSessionEnded" => {
                serde_json::from_slice(text).map(|event| Some(Self::Ended(event)))
            }
            _ => Ok(None),
        }
    }
}

/// What is known of a session that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct AccessSession {
    /// The owner.
    pub owner: UserId,
    /// The name the owner had.
    pub owner_name: String,
    /// To what.
    pub item: JumpItemRef,
    /// The group the item was in when it started.
    pub group: JumpGroupRef,
    /// The Jump Policy that applied.
    pub jump_policy_id: Option<JumpPolicyId>,
    /// When it began to start.
    pub started_at: Timestamp,
    /// Whether the agent has brought it up.
    pub established: bool,
    /// The numbers of its connections, owner first, free again when it ends (REP-42).
    pub gsnumbers: [u32; 2],
}

/// Decides what becomes of `command`, given all that is known.
///
/// # Errors
/// Why not.
pub fn decide(world: &World, command: &Command, context: &Context) -> Decision {
    match command {
        Command::Start {
            user,
            item,
            address,
            user_system,
        } => decide_start(world, *user, *item, address, user_system, context),
        Command::Establish { lsid, client } => decide_establish(world, *lsid, *client, context),
        Command::Fail {
            lsid,
            client,
            reason,
        } => decide_fail(world, *lsid, *client, reason),
        Command::TimeOut { lsid } => decide_time_out(world, *lsid, context),
        Command::End { lsid } => decide_end(world, *lsid, context),
        Command::EndByEndpoint {
            lsid,
            client,
            reason,
        } => decide_end_by_endpoint(world, *lsid, *client, reason),
        Command::EndBySchedule { lsid } => decide_end_by_schedule(world, *lsid, context),
        Command::Abandon { lsid } => decide_abandon(world, *lsid, context),
    }
}

/// Folds one event into the world.
pub fn apply(world: &mut World, lsid: Lsid, event: &Event, at: Timestamp) {
    match event {
        Event::Started(started) => {
            world.session_started(
                lsid,
                started.lseq,
                AccessSession {
                    owner: started.representative.user_id,
                    owner_name: started.representative.public_display_name.clone(),
                    item: started.item,
                    group: started.group,
                    jump_policy_id: started.jump_policy_id,
                    started_at: at,
                    established: false,
                    gsnumbers: [started.representative.gsnumber, started.customer.gsnumber],
                },
            );
            world.item_accessed(started.item, at);
        }
        Event::Established(_) => world.session_established(lsid),
        Event::Failed(_) | Event::Ended(_) => world.session_over(lsid),
    }
}

/// What passed the gates that have no side effects.
struct Passed<'w> {
    user: &'w User,
    access: Access<'w>,
    client: &'w JumpClient,
    /// The membership's policy or, with "Set on Jump Items", the item's (POL-06, POL-07).
    policy: Option<JumpPolicyId>,
}

impl Passed<'_> {
    fn policy_gate(&self, world: &World, now: Timestamp) -> Result<(), Refusal> {
        match self.policy {
            Some(policy) => jump_policy::gate(world, policy, now),
            None => Ok(()),
        }
    }
}

/// The first gates of SESS-17, in its order: permission and method, role, item state.
fn pass(world: &World, user: UserId, item: JumpItemRef) -> Result<Passed<'_>, Refusal> {
    let account = world
        .users
        .get(&user)
        .filter(|user| user.enabled)
        .ok_or(Refusal::UserDisabled)?;
    if !account.may_access_endpoints() {
        return Err(Refusal::EndpointAccessNotAllowed);
    }
    if !account.perm_jump_client {
        return Err(Refusal::JumpMethodNotAllowed {
            method: "Jump Clients",
        });
    }
    let access = permission::need(world, user, item, JumpItemPermission::Start)?;
    let JumpItemRef::JumpClient(client) = item;
    let client = jump_client::startable(world, client)?;
    Ok(Passed {
        user: account,
        access,
        client,
        policy: access.jump_policy_id.or(client.properties.jump_policy_id),
    })
}

fn decide_start(
    world: &World,
    user_id: UserId,
    item: JumpItemRef,
    address: &str,
    user_system: &str,
    context: &Context,
) -> Decision {
    let passed = pass(world, user_id, item)?;
    if world.session_on(item).is_some() {
        return Err(Refusal::JoinDenied);
    }
    passed.policy_gate(world, context.now)?;
    if world.starting_users_but(user_id) >= world.settings.starting_users_max as usize {
        return Err(Refusal::TooManyStarting);
    }
    let Passed {
        user,
        access,
        client,
        policy,
    } = passed;
    let [representative_number, customer_number] = world.free_gsnumbers();
    let group = client.properties.group();
    happened(crate::Event::AccessSession(
        Lsid(context.fresh.value(0)),
        Event::Started(Started {
            lseq: world.next_id("lseq"),
            item,
            group,
            group_name: world.group_name(group),
            jump_policy_id: policy,
            grant: access.grant,
            representative: Representative {
                user_id,
                gsnumber: representative_number,
                username: user.username.clone(),
                public_display_name: user.public_display_name.clone(),
                private_display_name: user.private_display_name.clone(),
                public_ip: address.to_owned(),
                os: user_system.to_owned(),
            },
            customer: Customer {
                gsnumber: customer_number,
                name: client.properties.name.clone(),
                username: client.facts.console_user.clone(),
                public_ip: client.public_ip.clone(),
                private_ip: client.facts.private_ip.clone(),
                hostname: client.facts.hostname.clone(),
                os: client.facts.operating_system.clone(),
            },
        }),
    ))
}

fn session_of(world: &World, lsid: Lsid, client: JumpClientId) -> Result<&AccessSession, Refusal> {
    world
        .sessions
        .get(&lsid)
        .filter(|session| session.item == JumpItemRef::JumpClient(client))
        .ok_or(Refusal::SessionNotActive)
}

fn decide_establish(
    world: &World,
    lsid: Lsid,
    client: JumpClientId,
    context: &Context,
) -> Decision {
    let session = session_of(world, lsid, client)?;
    if session.established {
        return nothing();
    }
    if let Err(withdrawn) = pass(world, session.owner, session.item)
        .and_then(|passed| passed.policy_gate(world, context.now))
    {
        return failed(lsid, Failure::Withdrawn, &withdrawn.to_string());
    }
    happened(crate::Event::AccessSession(
        lsid,
        Event::Established(Established {}),
    ))
}

fn decide_fail(world: &World, lsid: Lsid, client: JumpClientId, reason: &str) -> Decision {
    if session_of(world, lsid, client)?.established {
        return decide_end_by_endpoint(world, lsid, client, reason);
    }
    failed(lsid, Failure::Agent, reason)
}

fn decide_time_out(world: &World, lsid: Lsid, context: &Context) -> Decision {
    match world.sessions.get(&lsid) {
        Some(session)
            if !session.established && context.now >= session.started_at.plus(SPAWN_TIMEOUT) =>
        {
            let JumpItemRef::JumpClient(client) = session.item;
            let online = world
                .jump_clients
                .get(&client)
                .is_some_and(|client| world.is_online(client));
            let failure = if online {
                Failure::TimedOut
            } else {
                Failure::Disconnected
            };
            failed(lsid, failure, "")
        }
        _ => nothing(),
    }
}

fn decide_end(world: &World, lsid: Lsid, context: &Context) -> Decision {
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

fn has_full_command_access(world: &World, account: ApiAccountId) -> bool {
    world
        .api_accounts
        .get(&account)
        .is_some_and(|account| account.perm_command == "full_access")
}

fn decide_end_by_schedule(world: &World, lsid: Lsid, context: &Context) -> Decision {
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
        Some(ends_at) if ends_at <= context.now => failed(lsid, Failure::Withdrawn, ""),
        _ => nothing(),
    }
}

fn decide_end_by_endpoint(
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

fn decide_abandon(world: &World, lsid: Lsid, context: &Context) -> Decision {
    let Some(session) = world.sessions.get(&lsid) else {
        return nothing();
    };
    let JumpItemRef::JumpClient(client) = session.item;
    let Some(client) = world.jump_clients.get(&client) else {
        return ended(lsid, EndReason::ItemDeleted, "");
    };
    let wait = i64::from(world.settings.lost_agent_seconds) * time::SECOND;
    match world.offline_since(client) {
        Some(since) if context.now >= since.plus(wait) && session.established => {
            ended(lsid, EndReason::AgentLost, "")
        }
        Some(since) if context.now >= since.plus(wait) => failed(lsid, Failure::Disconnected, ""),
        _ => nothing(),
    }
}

fn failed(lsid: Lsid, failure: Failure, detail: &str) -> Decision {
    happened(crate::Event::AccessSession(
        lsid,
        Event::Failed(Failed {
            failure,
            detail: detail.to_owned(),
        }),
    ))
}

fn ended(lsid: Lsid, reason: EndReason, detail: &str) -> Decision {
    happened(crate::Event::AccessSession(
        lsid,
        Event::Ended(Ended {
            reason,
            detail: detail.to_owned(),
        }),
    ))
}
