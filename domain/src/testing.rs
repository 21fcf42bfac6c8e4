//! Given, when, then: stories for tests, in the words of the product. Compiled for tests only (feature `testing`).
//!
//! ```ignore
//! given([person(ANNA), group(WEB_SERVERS, "Web Servers")])
//!     .and(client(PC1, SHARED))
//!     .when(ANNA, start(ANNA, PC1))
//!     .then_refused(Refusal::JumpClientGone);
//! ```
//!
//! Every story begins on a site that has been set up ([`ADMIN`], [`API`] and the seeded roles are there) and whose node
//! [`NODE`] runs, on [`MONDAY`]. Each `when` draws its own fresh values, see [`drawn`].

use std::sync::Arc;

use crate::ids::{
    ApiAccountId, GroupPolicyId, JumpClientId, JumpClientInstallerId, JumpGroupId, JumpGroupRef,
    JumpPolicyId, Lsid, NodeEpoch, TeamId, UserId,
};
use crate::snapshot::{self, Section};
use crate::{
    Actor, Cause, Command, Context, Decision, Event, Fresh, Refusal, Surface, Timestamp, World,
    decide, node,
};

mod asking;
mod happening;
mod one_of_each;

pub use asking::{
    Asked, add_member, change, create, delete, end, first_start, object, register, sign_out, start,
    start_on,
};
pub use happening::{
    client, connected, group, group_policy, installer, jumpoint, jumpoint_user, member,
    member_under, person, policy, policy_member, policy_row, registered, role, schedule, session,
    session_policy, shell_jump, starting, team, team_member, user,
};
pub use one_of_each::one_of_each;

/// The first administrator.
pub const ADMIN: UserId = UserId(1);
/// A user.
pub const ANNA: UserId = UserId(2);
/// Another user.
pub const BERT: UserId = UserId(3);
/// A third user.
pub const CARA: UserId = UserId(4);
/// The first API account, with every permission.
pub const API: ApiAccountId = ApiAccountId(1);
/// A shared Jump Group.
pub const WEB_SERVERS: JumpGroupId = JumpGroupId(1);
/// Another shared Jump Group.
pub const USER_SYSTEMS: JumpGroupId = JumpGroupId(2);
/// [`WEB_SERVERS`] as the group of an item.
pub const SHARED: JumpGroupRef = JumpGroupRef::Shared(WEB_SERVERS);
/// A Jump Policy.
pub const THURSDAYS: JumpPolicyId = JumpPolicyId(1);
/// Another Jump Policy.
pub const ALWAYS: JumpPolicyId = JumpPolicyId(2);
/// A team.
pub const OPERATIONS: TeamId = TeamId(1);
/// Another team.
pub const SUPPORT: TeamId = TeamId(2);
/// A group policy, the first of the list unless a story says otherwise.
pub const ADMINS: GroupPolicyId = GroupPolicyId(1);
/// Another group policy.
pub const USERS: GroupPolicyId = GroupPolicyId(2);
/// An installer.
pub const INSTALLER: JumpClientInstallerId = JumpClientInstallerId(1);
/// A Jump Client.
pub const PC1: JumpClientId = JumpClientId(1);
/// Another Jump Client.
pub const PC2: JumpClientId = JumpClientId(2);
/// The node that runs.
pub const NODE: NodeEpoch = NodeEpoch(1);
/// The session that the first `when` of a story starts, if it starts one.
pub const FIRST: Lsid = Lsid(drawn(1, 0));
/// Monday, 2026-03-02, 09:00 UTC.
pub const MONDAY: Timestamp = Timestamp::from_unix_seconds(1_772_442_000);
/// Thursday of the same week, 10:00 UTC.
pub const THURSDAY: Timestamp = Timestamp::from_unix_seconds(1_772_704_800);

/// The fresh value `index` of a story's `draw`, counted from 1 by `when`.
#[must_use]
pub const fn drawn(draw: u64, index: u64) -> u128 {
    ((draw as u128) << 64) | index as u128
}

/// The fresh values of a story's `draw`.
#[must_use]
pub fn fresh(draw: u64) -> Fresh {
    Fresh(std::array::from_fn(|index| drawn(draw, index as u64)))
}

/// Who asks, by the way they usually come.
pub trait Asks {
    /// The cause of what they ask.
    fn cause(self) -> Cause;
}

impl Asks for Cause {
    fn cause(self) -> Cause {
        self
    }
}

impl Asks for Actor {
    fn cause(self) -> Cause {
        let surface = match self {
            Actor::System => Surface::Timer,
            Actor::Operator => Surface::Program,
            Actor::User(_) => Surface::ConsoleApi,
            Actor::ApiAccount(_) => Surface::ConfigurationApi,
            Actor::Approver { .. } => Surface::ApproverPage,
            Actor::JumpClient(_) | Actor::NewJumpClient => Surface::Link,
            Actor::Stranger => Surface::Oauth,
        };
        Cause {
            actor: self,
            surface,
            address: None,
        }
    }
}

impl Asks for UserId {
    fn cause(self) -> Cause {
        Actor::User(self).cause()
    }
}

impl Asks for ApiAccountId {
    fn cause(self) -> Cause {
        Actor::ApiAccount(self).cause()
    }
}

impl Asks for JumpClientId {
    fn cause(self) -> Cause {
        Actor::JumpClient(self).cause()
    }
}

/// What has happened before the story's question.
#[derive(Clone, Debug)]
pub struct Given {
    world: World,
    now: Timestamp,
    draws: u64,
}

/// A site that was set up, a node that runs, and these events.
#[track_caller]
pub fn given(events: impl IntoIterator<Item = Event>) -> Given {
    let run = node::Command::Start {
        epoch: NODE,
        name: "node-1".to_owned(),
        url: None,
    };
    let mut given = given_nothing()
        .when(Actor::Operator, first_start())
        .then_something()
        .when(Actor::System, Command::Node(run))
        .then_something()
        .and(events);
    given.draws = 0;
    given
}

/// An empty log.
#[must_use]
pub fn given_nothing() -> Given {
    Given {
        world: World::default(),
        now: MONDAY,
        draws: 0,
    }
}

impl Given {
    /// These events too, at the story's time.
    #[must_use]
    #[track_caller]
    pub fn and(mut self, events: impl IntoIterator<Item = Event>) -> Self {
        for event in events {
            assert_survives_storage(&event);
            self.world.apply(&event, self.now);
        }
        self
    }

    /// The same story in another world.
    #[must_use]
    pub fn in_world(mut self, world: World) -> Self {
        self.world = world;
        self
    }

    /// From now on it is `now`.
    #[must_use]
    pub fn at(mut self, now: Timestamp) -> Self {
        self.now = now;
        self
    }

    /// From now on it is `micros` later.
    #[must_use]
    pub fn after(self, micros: i64) -> Self {
        let now = self.now.plus(micros);
        self.at(now)
    }

    /// Someone asks for something.
    #[must_use]
    pub fn when(mut self, who: impl Asks, command: impl Into<Command>) -> Outcome {
        self.draws += 1;
        let (cause, fresh) = (who.cause(), fresh(self.draws));
        let context = Context {
            now: self.now,
            cause: &cause,
            fresh: &fresh,
        };
        let decision = decide(&self.world, &command.into(), &context);
        Outcome {
            given: self,
            decision,
        }
    }

    /// All that is known by now.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The story's time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }
}

/// What became of the question.
#[derive(Clone, Debug)]
pub struct Outcome {
    given: Given,
    decision: Decision,
}

impl Outcome {
    /// Exactly these events happen; the story goes on after them.
    #[track_caller]
    pub fn then(self, expected: impl IntoIterator<Item = Event>) -> Given {
        let expected: Vec<Event> = expected.into_iter().collect();
        assert_eq!(self.decision, Ok(expected.clone()));
        self.given.and(expected)
    }

    /// At least one event happens; the story goes on after them.
    #[track_caller]
    pub fn then_something(self) -> Given {
        let events = self.events().to_vec();
        assert!(!events.is_empty(), "nothing happened");
        self.given.and(events)
    }

    /// Nothing happens, and that is fine.
    #[track_caller]
    pub fn then_nothing(self) -> Given {
        self.then([])
    }

    /// The answer is no, for this reason.
    #[track_caller]
    pub fn then_refused(self, refusal: Refusal) -> Given {
        assert_eq!(self.decision, Err(refusal));
        self.given
    }

    /// The answer is no, because of these fields, in any order.
    #[track_caller]
    pub fn then_invalid(self, fields: &[&str]) -> Given {
        let Err(Refusal::Invalid(errors)) = &self.decision else {
            panic!("expected field errors, got {:?}", self.decision);
        };
        let mut found: Vec<&str> = errors.0.iter().map(|(field, _)| field.as_str()).collect();
        let mut expected = fields.to_vec();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{errors:?}");
        self.given
    }

    /// The decision as it is.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// The events that happen.
    #[must_use]
    #[track_caller]
    pub fn events(&self) -> &[Event] {
        match &self.decision {
            Ok(events) => events,
            Err(refusal) => panic!("refused: {refusal:?}"),
        }
    }
}

#[track_caller]
fn assert_survives_storage(event: &Event) {
    let read = event
        .to_text()
        .map(|text| Event::from_stored(&event.stream(), event.stored_name(), &text));
    match read {
        Ok(Ok(read)) => assert_eq!(read, *event, "what was stored reads differently"),
        other => panic!("{event:?} can't be read back: {other:?}"),
    }
}

/// The world that a snapshot of `world` gives back, cut into sections of `rows_a_section` rows.
///
/// # Panics
/// When it does not.
#[must_use]
pub fn through_a_snapshot(world: &World, rows_a_section: u32) -> World {
    let sections = snapshot::write(world, rows_a_section).expect("bytes");
    let sections = sections
        .into_iter()
        .map(|bytes| {
            let whole = 0..bytes.len();
            Section::new(Arc::new(bytes), whole).expect("all of it")
        })
        .collect();
    let (first, rest) = snapshot::open(sections).expect("adds up");
    rest.check().expect("well");
    rest.world(first)
}
