//! Access sessions: one user, one endpoint (SESS-19, SESS-21).
//!
//! States: starting → active → ended, or starting → failed. Ended and failed sessions leave the world; reports keep them.

use serde::Serialize;

use crate::ids::{JumpClientId, JumpGroupRef, JumpItemRef, JumpPolicyId, Lsid, UserId};
use crate::{Context, Decision, Timestamp, World, time};

mod ending;
mod happening;
mod start;
#[cfg(test)]
mod tests;

pub use happening::{
    Customer, EndReason, Ended, Established, Failed, Failure, Representative, Started,
};
pub use start::{Start, begin};

use ending::{
    decide_abandon, decide_end, decide_end_by_endpoint, decide_end_by_schedule, decide_fail,
    decide_time_out,
};
use start::decide_establish;

/// How long an agent may take to bring a session up, in microseconds (ERR-11).
pub const SPAWN_TIMEOUT: i64 = 30 * time::SECOND;

/// What may be asked of access sessions.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Jump to an item. The caller is the user who asks.
    Start(Start),
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
        Command::Start(start) => begin(world, start, context),
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
