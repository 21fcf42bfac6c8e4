//! Nodes: runs of the program that share one log, each with an epoch of its own.
//!
//! States: started → stopped. A client is online while it is connected on a node that is not stopped, so one event takes
//! all clients of a dead node offline.

use serde::{Deserialize, Serialize};

use crate::ids::{JumpClientId, NodeEpoch};
use crate::{Context, Decision, Refusal, Timestamp, World, happened, nothing};

#[cfg(test)]
mod tests;

/// What may be asked of a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// A node began to run.
    Start {
        /// This run.
        epoch: NodeEpoch,
        /// The node's name.
        name: String,
        /// Its own URL, where it has one.
        url: Option<String>,
    },
    /// A node ended, or was seen not to beat.
    Stop {
        /// Which run.
        epoch: NodeEpoch,
        /// Why.
        reason: StopReason,
    },
    /// Check-ins that changed nothing, gathered: at most [`CHECK_INS_MAX`].
    RecordCheckIns {
        /// The node that gathered them.
        epoch: NodeEpoch,
        /// Who checked in, when.
        check_ins: Vec<RoutineCheckIn>,
    },
    /// The node's clock was looked at beside the newest time in the log.
    NoteClock {
        /// The node whose clock it is.
        epoch: NodeEpoch,
        /// What the log's newest time is, where the clock is too far behind it; none where it is not.
        behind: Option<Timestamp>,
    },
}

/// Most check-ins of one event.
pub const CHECK_INS_MAX: usize = 1_000;

/// Why a node's run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// It was told to.
    Asked,
    /// It was seen not to beat for 10 s.
    Silent,
    /// The same node started again without having said goodbye.
    Restarted,
}

/// One check-in that changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutineCheckIn {
    /// Who.
    pub client: JumpClientId,
    /// When, in UNIX seconds.
    pub at: i64,
}

/// A node began to run. Expected rate: a few a day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// The node's name.
    pub name: String,
    /// Its own URL, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// A node ended. Expected rate: a few a day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stopped {
    /// Why.
    pub reason: StopReason,
}

/// Check-ins that changed nothing. Expected rate: one a node and minute, more above 1,000 a minute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientsCheckedIn {
    /// Who checked in, when; none left out.
    pub check_ins: Vec<RoutineCheckIn>,
}

/// A node's clock is more than a minute behind the newest time in the log: it was put back, or another node's is ahead.
/// Decisions go by the clock; recorded times stand still until it has caught up. Expected rate: none; at most one a minute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClockFellBehind {
    /// What the clock shows.
    pub clock: Timestamp,
    /// The newest time in the log.
    pub newest: Timestamp,
}

/// A node's clock is no longer behind the newest time in the log. Expected rate: as [`ClockFellBehind`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClockCaughtUp {
    /// What the clock shows.
    pub clock: Timestamp,
}

/// What happens to a node's run.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Event {
    /// It began.
    Started(Started),
    /// It ended.
    Stopped(Stopped),
    /// Check-ins that changed nothing.
    ClientsCheckedIn(ClientsCheckedIn),
    /// Its clock is behind the log.
    ClockFellBehind(ClockFellBehind),
    /// Its clock is not behind the log any more.
    ClockCaughtUp(ClockCaughtUp),
}

impl Event {
    /// The names it may be stored under.
    pub const STORED_NAMES: &'static [&'static str] = &[
        "NodeStarted",
        "NodeStopped",
        "JumpClientsCheckedIn",
        "NodeClockFellBehind",
        "NodeClockCaughtUp",
    ];

    /// The name it is stored under.
    #[must_use]
    pub const fn stored_name(&self) -> &'static str {
        match self {
            Self::Started(_) => "NodeStarted",
            Self::Stopped(_) => "NodeStopped",
            Self::ClientsCheckedIn(_) => "JumpClientsCheckedIn",
            Self::ClockFellBehind(_) => "NodeClockFellBehind",
            Self::ClockCaughtUp(_) => "NodeClockCaughtUp",
        }
    }

    /// Reads an event back; `None` if the name is not one of a node's.
    ///
    /// # Errors
    /// When the stored text is not of the event's form.
    pub fn from_stored(name: &str, text: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        match name {
            "NodeStarted" => serde_json::from_slice(text).map(|event| Some(Self::Started(event))),
            "NodeStopped" => serde_json::from_slice(text).map(|event| Some(Self::Stopped(event))),
            "JumpClientsCheckedIn" => {
                serde_json::from_slice(text).map(|event| Some(Self::ClientsCheckedIn(event)))
            }
            "NodeClockFellBehind" => {
                serde_json::from_slice(text).map(|event| Some(Self::ClockFellBehind(event)))
            }
            "NodeClockCaughtUp" => {
                serde_json::from_slice(text).map(|event| Some(Self::ClockCaughtUp(event)))
            }
            _ => Ok(None),
        }
    }
}

/// What is known of a node that runs.
#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Node {
    /// The node's name.
    pub name: String,
    /// Its own URL, where it has one.
    pub url: Option<String>,
    /// When it began to run.
    pub started_at: Timestamp,
    /// Whether its clock is behind the log, as it told last.
    pub clock_behind: bool,
}

/// Decides what becomes of `command`, given all that is known.
///
/// # Errors
/// Why not.
pub fn decide(world: &World, command: &Command, context: &Context) -> Decision {
    match command {
        Command::Start { epoch, name, url } => decide_start(world, *epoch, name, url.as_deref()),
        Command::Stop { epoch, reason } => decide_stop(world, *epoch, *reason),
        Command::RecordCheckIns { epoch, check_ins } => decide_check_ins(world, *epoch, check_ins),
        Command::NoteClock { epoch, behind } => decide_note_clock(world, *epoch, *behind, context),
    }
}

/// Folds one event into the world.
pub fn apply(world: &mut World, epoch: NodeEpoch, event: &Event, at: Timestamp) {
    match event {
        Event::Started(started) => {
            let node = Node {
                name: started.name.clone(),
                url: started.url.clone(),
                started_at: at,
                clock_behind: false,
            };
            world.nodes.insert(epoch, node);
        }
        Event::Stopped(_) => world.node_stopped(epoch, at),
        Event::ClientsCheckedIn(_) => {}
        Event::ClockFellBehind(_) => set_clock_behind(world, epoch, true),
        Event::ClockCaughtUp(_) => set_clock_behind(world, epoch, false),
    }
}

fn set_clock_behind(world: &mut World, epoch: NodeEpoch, behind: bool) {
    if let Some(node) = world.nodes.get_mut(&epoch) {
        node.clock_behind = behind;
    }
}

fn decide_start(world: &World, epoch: NodeEpoch, name: &str, url: Option<&str>) -> Decision {
    if world.nodes.contains(&epoch) {
        return nothing();
    }
    if world.stopped_nodes.contains_key(&epoch) {
        return Err(Refusal::NodeStopped);
    }
    let started = Started {
        name: name.to_owned(),
        url: url.map(str::to_owned),
    };
    let mut events: Vec<crate::Event> = world
        .nodes
        .iter()
        .filter(|(_, node)| node.name == name)
        .map(|(earlier, _)| {
            crate::Event::Node(
                *earlier,
                Event::Stopped(Stopped {
                    reason: StopReason::Restarted,
                }),
            )
        })
        .collect();
    events.push(crate::Event::Node(epoch, Event::Started(started)));
    Ok(events)
}

fn decide_stop(world: &World, epoch: NodeEpoch, reason: StopReason) -> Decision {
    if !world.nodes.contains(&epoch) {
        return nothing();
    }
    happened(crate::Event::Node(
        epoch,
        Event::Stopped(Stopped { reason }),
    ))
}

fn decide_check_ins(world: &World, epoch: NodeEpoch, check_ins: &[RoutineCheckIn]) -> Decision {
    if !world.nodes.contains(&epoch) {
        return Err(Refusal::NodeStopped);
    }
    let check_ins: Vec<RoutineCheckIn> = check_ins
        .iter()
        .copied()
        .filter(|seen| world.endpoint(seen.client).is_some())
        .collect();
    let event = |check_ins: &[RoutineCheckIn]| {
        let check_ins = check_ins.to_vec();
        crate::Event::Node(
            epoch,
            Event::ClientsCheckedIn(ClientsCheckedIn { check_ins }),
        )
    };
    Ok(check_ins.chunks(CHECK_INS_MAX).map(event).collect())
}

fn decide_note_clock(
    world: &World,
    epoch: NodeEpoch,
    behind: Option<Timestamp>,
    context: &Context,
) -> Decision {
    let node = world.nodes.get(&epoch).ok_or(Refusal::NodeStopped)?;
    if node.clock_behind == behind.is_some() {
        return nothing();
    }
    let clock = context.now;
    let event = match behind {
        Some(newest) => Event::ClockFellBehind(ClockFellBehind { clock, newest }),
        None => Event::ClockCaughtUp(ClockCaughtUp { clock }),
    };
    happened(crate::Event::Node(epoch, event))
}
