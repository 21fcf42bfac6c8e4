//! The bounded queue of an engine: three lanes drained by weight, and a reserve for what ends or revokes.

use std::collections::VecDeque;

use tokio::sync::mpsc::error::{TryRecvError, TrySendError};
use tokio::sync::{mpsc, oneshot};

use crate::setup::EngineLimits;
use crate::submission::{Done, ExecuteError, Lane, Submission, always_fits};

/// What the writer answers.
pub(crate) type Answer = Result<Answered, ExecuteError>;

/// A command that came to an end well.
#[derive(Debug)]
pub(crate) enum Answered {
    /// Committed now.
    Done(Done),
    /// Carried out an earlier time; its events are in the log.
    Earlier {
        /// Position of the first.
        first: u64,
        /// How many.
        count: u64,
    },
}

/// A command in the queue, with where its answer goes.
pub(crate) struct Queued {
    pub(crate) submission: Submission,
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// The three lanes and, first of all, the reserve.
const LANES: usize = 4;

/// How many commands of a lane are taken in one round. The reserve is emptied before any other.
const WEIGHTS: [u32; LANES] = [u32::MAX, 8, 4, 1];

const RESERVE: usize = 0;

const fn index(lane: Lane) -> usize {
    match lane {
        Lane::People => 1,
        Lane::Integrations => 2,
        Lane::Bulk => 3,
    }
}

/// Where commands are put in. Clones share the lanes.
#[derive(Clone)]
pub(crate) struct Lanes {
    senders: [mpsc::Sender<Queued>; LANES],
}

/// Where the writer takes them out.
pub(crate) struct LaneQueue {
    receivers: [mpsc::Receiver<Queued>; LANES],
    credits: [u32; LANES],
    /// What was taken out and not decided.
    given_back: VecDeque<Queued>,
}

/// Makes the lanes.
pub(crate) fn lanes(limits: &EngineLimits) -> (Lanes, LaneQueue) {
    let (reserve, reserve_out) = mpsc::channel(limits.reserve_commands_max);
    let (people, people_out) = mpsc::channel(limits.lane_commands_max);
    let (integrations, integrations_out) = mpsc::channel(limits.lane_commands_max);
    let (bulk, bulk_out) = mpsc::channel(limits.lane_commands_max);
    let lanes = Lanes {
        senders: [reserve, people, integrations, bulk],
    };
    let queue = LaneQueue {
        receivers: [reserve_out, people_out, integrations_out, bulk_out],
        credits: WEIGHTS,
        given_back: VecDeque::new(),
    };
    (lanes, queue)
}

impl Lanes {
    /// Puts a command in its lane. Where that is full, one that ends or revokes waits for room in the reserve.
    ///
    /// # Errors
    /// [`ExecuteError::Busy`] where the lane is full, [`ExecuteError::ShuttingDown`] where it is closed.
    pub(crate) async fn put(&self, queued: Queued) -> Result<(), ExecuteError> {
        match self.senders[index(queued.submission.lane)].try_send(queued) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(_)) => Err(ExecuteError::ShuttingDown),
            Err(TrySendError::Full(queued)) if always_fits(&queued.submission.command) => self
                .senders[RESERVE]
                .send(queued)
                .await
                .map_err(|_| ExecuteError::ShuttingDown),
            Err(TrySendError::Full(_)) => Err(ExecuteError::busy()),
        }
    }

    /// How many commands wait in a lane.
    pub(crate) fn waiting(&self, lane: Lane) -> usize {
        let sender = &self.senders[index(lane)];
        sender.max_capacity() - sender.capacity()
    }
}

impl LaneQueue {
    /// Takes nothing new; what is queued can still be taken out.
    pub(crate) fn close(&mut self) {
        for receiver in &mut self.receivers {
            receiver.close();
        }
    }

    /// How many commands wait in all lanes.
    pub(crate) fn waiting(&self) -> usize {
        let queued: usize = self.receivers.iter().map(mpsc::Receiver::len).sum();
        self.given_back.len() + queued
    }

    /// Takes commands back that were taken out and not decided; they come first, in this order.
    pub(crate) fn give_back(&mut self, commands: VecDeque<Queued>) {
        for queued in commands.into_iter().rev() {
            self.given_back.push_front(queued);
        }
    }

    /// The next command by weight; waits for one. `None` when the lanes are closed and empty.
    ///
    /// Dropped before it ends, it has taken nothing.
    pub(crate) async fn next(&mut self) -> Option<Queued> {
        if let Some(queued) = self.try_next() {
            return Some(queued);
        }
        let [reserve, people, integrations, bulk] = &mut self.receivers;
        tokio::select! {
            Some(queued) = reserve.recv() => Some(queued),
            Some(queued) = people.recv() => Some(queued),
            Some(queued) = integrations.recv() => Some(queued),
            Some(queued) = bulk.recv() => Some(queued),
            else => None,
        }
    }

    /// The next command by weight, if one is queued.
    pub(crate) fn try_next(&mut self) -> Option<Queued> {
        if let Some(queued) = self.given_back.pop_front() {
            return Some(queued);
        }
        // The second pass is for lanes that had used up their share of the round.
        for _ in 0..2 {
            for (receiver, credit) in self.receivers.iter_mut().zip(&mut self.credits) {
                if *credit == 0 {
                    continue;
                }
                match receiver.try_recv() {
                    Ok(queued) => {
                        *credit -= 1;
                        return Some(queued);
                    }
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
                }
            }
            self.credits = WEIGHTS;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use domain::{Actor, Cause, Command, access, node, session};

    use super::*;

    fn queued(command: Command, lane: Lane) -> (Queued, oneshot::Receiver<Answer>) {
        let (answer, answered) = oneshot::channel();
        let submission = Submission::new(command, Cause::program(Actor::System), lane);
        (Queued { submission, answer }, answered)
    }

    fn start_node() -> Command {
        Command::Node(node::Command::Start {
            epoch: domain::ids::NodeEpoch(1),
            name: "a".to_owned(),
            url: None,
        })
    }

    fn end_session() -> Command {
        Command::AccessSession(session::access_session::Command::End {
            lsid: domain::ids::Lsid(1),
        })
    }

    fn limits(lane_commands_max: usize) -> EngineLimits {
        EngineLimits {
            lane_commands_max,
            reserve_commands_max: 1,
            ..EngineLimits::default()
        }
    }

    #[tokio::test]
    async fn lanes_are_drained_by_weight() {
        let (lanes, mut queue) = lanes(&limits(100));
        let mut answers = Vec::new();
        for lane in [Lane::Bulk, Lane::Integrations, Lane::People] {
            for _ in 0..40 {
                let (queued, answered) = queued(start_node(), lane);
                lanes.put(queued).await.expect("there is room");
                answers.push(answered);
            }
        }
        let first: Vec<Lane> = (0..26)
            .map(|_| queue.try_next().expect("queued").submission.lane)
            .collect();
        let count = |lane| first.iter().filter(|taken| **taken == lane).count();
        assert_eq!(count(Lane::People), 16);
        assert_eq!(count(Lane::Integrations), 8);
        assert_eq!(count(Lane::Bulk), 2);
    }

    #[tokio::test]
    async fn a_full_lane_turns_away_all_but_what_ends_or_revokes() {
        let (lanes, mut queue) = lanes(&limits(1));
        let mut answers = Vec::new();
        let (first, answered) = queued(start_node(), Lane::People);
        lanes.put(first).await.expect("there is room");
        answers.push(answered);
        let (second, _) = queued(start_node(), Lane::People);
        assert!(matches!(
            lanes.put(second).await,
            Err(ExecuteError::Busy { .. })
        ));
        let (ending, answered) = queued(end_session(), Lane::People);
        lanes.put(ending).await.expect("ending always fits");
        answers.push(answered);
        // The reserve is full as well now: another one waits until there is room, and is not turned away.
        let (waiting, answered) = queued(end_session(), Lane::People);
        answers.push(answered);
        let putting = lanes.put(waiting);
        tokio::pin!(putting);
        assert!(futures_util::poll!(&mut putting).is_pending());
        let taken = queue.try_next().expect("queued");
        assert_eq!(taken.submission.command, end_session());
        putting.await.expect("there is room again");
    }

    #[tokio::test]
    async fn closed_lanes_give_out_what_they_took_and_take_nothing_new() {
        let (lanes, mut queue) = lanes(&limits(10));
        let (first, _answered) = queued(start_node(), Lane::Bulk);
        lanes.put(first).await.expect("there is room");
        queue.close();
        let (late, _) = queued(start_node(), Lane::Bulk);
        assert!(matches!(
            lanes.put(late).await,
            Err(ExecuteError::ShuttingDown)
        ));
        assert!(queue.next().await.is_some());
        assert!(queue.next().await.is_none());
    }

    #[tokio::test]
    async fn what_was_given_back_comes_first_and_is_not_lost_when_the_lanes_close() {
        let (lanes, mut queue) = lanes(&limits(10));
        let mut answers = Vec::new();
        for command in [start_node(), end_session(), start_node()] {
            let (queued, answered) = queued(command, Lane::People);
            lanes.put(queued).await.expect("there is room");
            answers.push(answered);
        }
        let taken: VecDeque<Queued> = std::iter::from_fn(|| queue.try_next()).take(2).collect();
        queue.give_back(taken);
        assert_eq!(queue.waiting(), 3);
        queue.close();
        for command in [start_node(), end_session(), start_node()] {
            let queued = queue.next().await.expect("queued");
            assert_eq!(queued.submission.command, command);
        }
        assert!(queue.next().await.is_none());
    }

    #[test]
    fn what_ends_or_revokes_always_fits() {
        use access::jump_group::{Command as Group, Membership};
        use domain::ids::{JumpGroupId, UserId};
        use domain::site::user::sign_in::{Origin, SignIn};
        let group = JumpGroupId(1);
        let user = UserId(1);
        // command, whether it always fits
        let cases = [
            (end_session(), true),
            (start_node(), false),
            (Command::JumpGroup(Group::RemoveMember(group, user)), true),
            (
                Command::JumpGroup(Group::AddMember(group, user, Membership::default())),
                false,
            ),
            (
                Command::JumpClient(domain::fleet::jump_client::Command::Delete(
                    domain::ids::JumpClientId(1),
                )),
                true,
            ),
            (
                Command::User(domain::site::user::Command::SignIn(SignIn::new(
                    user,
                    true,
                    Origin::default(),
                ))),
                false,
            ),
        ];
        for (command, fits) in cases {
            assert_eq!(always_fits(&command), fits, "{command:?}");
        }
    }
}
