//! Runs of nodes, and the check-ins they gather.

use super::{
    CHECK_INS_MAX, ClientsCheckedIn, ClockCaughtUp, ClockFellBehind, Command, Event,
    RoutineCheckIn, Started, StopReason, Stopped,
};
use crate::ids::{JumpClientId, NodeEpoch};
use crate::testing::{MONDAY, NODE, PC1, SHARED, WEB_SERVERS, client, given, group};
use crate::{Actor, Event as Happened, Refusal, time};

const NEXT: NodeEpoch = NodeEpoch(2);

fn start(epoch: NodeEpoch, name: &str) -> Command {
    Command::Start {
        epoch,
        name: name.to_owned(),
        url: None,
    }
}

fn started(epoch: NodeEpoch, name: &str) -> Happened {
    Happened::Node(
        epoch,
        Event::Started(Started {
            name: name.to_owned(),
            url: None,
        }),
    )
}

fn stopped(epoch: NodeEpoch, reason: StopReason) -> Happened {
    Happened::Node(epoch, Event::Stopped(Stopped { reason }))
}

#[test]
fn a_node_that_starts_again_ends_its_own_earlier_run_and_no_other() {
    let site = given([])
        .when(Actor::System, start(NODE, "node-1"))
        .then_nothing()
        .when(Actor::System, start(NEXT, "node-2"))
        .then([started(NEXT, "node-2")])
        .when(Actor::System, start(NodeEpoch(3), "node-1"))
        .then([
            stopped(NODE, StopReason::Restarted),
            started(NodeEpoch(3), "node-1"),
        ]);
    let running: Vec<NodeEpoch> = site.world().nodes.iter().map(|(epoch, _)| *epoch).collect();
    assert_eq!(running, [NEXT, NodeEpoch(3)]);
}

#[test]
fn a_run_ends_once_and_for_good() {
    let stop = |reason| Command::Stop {
        epoch: NODE,
        reason,
    };
    given([])
        .when(Actor::System, stop(StopReason::Silent))
        .then([stopped(NODE, StopReason::Silent)])
        .when(Actor::System, stop(StopReason::Asked))
        .then_nothing()
        .when(Actor::System, start(NODE, "node-1"))
        .then_refused(Refusal::NodeStopped)
        .when(
            Actor::System,
            Command::RecordCheckIns {
                epoch: NODE,
                check_ins: Vec::new(),
            },
        )
        .then_refused(Refusal::NodeStopped);
}

#[test]
fn routine_check_ins_are_written_down_a_thousand_at_a_time() {
    let seen = |client: JumpClientId, at: i64| RoutineCheckIn { client, at };
    let record = |check_ins: Vec<RoutineCheckIn>| Command::RecordCheckIns {
        epoch: NODE,
        check_ins,
    };
    let site = given([group(WEB_SERVERS, "Web Servers")])
        .and(client(PC1, SHARED))
        .when(Actor::System, record(Vec::new()))
        .then_nothing()
        // Of a client that was deleted meanwhile nothing is kept.
        .when(Actor::System, record(vec![seen(JumpClientId(99), 1)]))
        .then_nothing();
    let many: Vec<RoutineCheckIn> = (0..2_001).map(|at| seen(PC1, at)).collect();
    let asked = site.when(Actor::System, record(many.clone()));
    let kept: Vec<&ClientsCheckedIn> = asked
        .events()
        .iter()
        .map(|event| match event {
            Happened::Node(NODE, Event::ClientsCheckedIn(gathered)) => gathered,
            other => panic!("{other:?}"),
        })
        .collect();
    let lengths: Vec<usize> = kept.iter().map(|event| event.check_ins.len()).collect();
    assert_eq!(lengths, [CHECK_INS_MAX, CHECK_INS_MAX, 1]);
    let all: Vec<RoutineCheckIn> = kept
        .iter()
        .flat_map(|event| event.check_ins.clone())
        .collect();
    assert_eq!(all, many, "none is left out");
}

#[test]
fn a_clock_behind_the_log_is_told_when_it_comes_and_when_it_goes() {
    let note = |behind| Command::NoteClock {
        epoch: NODE,
        behind,
    };
    let newest = MONDAY.plus(time::DAY);
    given([])
        .when(Actor::System, note(None))
        .then_nothing()
        .when(Actor::System, note(Some(newest)))
        .then([Happened::Node(
            NODE,
            Event::ClockFellBehind(ClockFellBehind {
                clock: MONDAY,
                newest,
            }),
        )])
        .when(Actor::System, note(Some(newest)))
        .then_nothing()
        .after(time::DAY)
        .when(Actor::System, note(None))
        .then([Happened::Node(
            NODE,
            Event::ClockCaughtUp(ClockCaughtUp { clock: newest }),
        )])
        .when(Actor::System, note(None))
        .then_nothing()
        .when(
            Actor::System,
            Command::NoteClock {
                epoch: NodeEpoch(9),
                behind: None,
            },
        )
        .then_refused(Refusal::NodeStopped);
}
