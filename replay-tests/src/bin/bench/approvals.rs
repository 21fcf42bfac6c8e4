//! What a page of access requests costs an approver: which requests ask them, and which of those they may still answer.
//!
//! One user makes 2,400 requests under a policy that asks a team of 500; all wait at once, as a log of before the bounds has it.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Result, ensure};
use domain::ids::{
    AccessRequestId, JumpClientId, JumpGroupId, JumpGroupRef, JumpItemRef, JumpPolicyId, TeamId,
    UserId,
};
use domain::policy::access_request::{self, Approver, Scope, Submitted, approvers};
use domain::policy::jump_policy::{self, JumpPolicy};
use domain::site::team::{self, Team};
use domain::site::user::{self, User};
use domain::{Event, Timestamp, World, record, time};

use crate::median;

const REQUESTS: u32 = 2_400;
const APPROVERS: u32 = 500;
/// Rows of a page.
const PAGE: usize = 100;
const TURNS: usize = 51;
const NOW: Timestamp = Timestamp(1_772_712_000_000_000);
const POLICY: JumpPolicyId = JumpPolicyId(1);
const TEAM: TeamId = TeamId(1);
/// In the team.
const APPROVER: UserId = UserId(APPROVERS);
const REQUESTER: UserId = UserId(APPROVERS + 1);

pub(crate) fn run() -> Result<()> {
    let world = site();
    let mut figures = Vec::with_capacity(TURNS);
    for _ in 0..TURNS {
        let began = Instant::now();
        let answerable = world
            .requests_to_answer(APPROVER)
            .rev()
            .take(PAGE)
            .filter(|(_, request)| {
                let asked = world.approvers_of(request);
                let mut asked = asked.filter(|by| by.user_id == Some(APPROVER));
                asked
                    .next()
                    .is_some_and(|by| approvers::is_still_one(&world, request, by.index))
            })
            .count();
        figures.push(began.elapsed().as_secs_f64() * 1_000.0);
        ensure!(black_box(answerable) == PAGE, "{answerable} of a page");
    }
    println!(
        "approvals: a page of {PAGE} of {REQUESTS} requests to {APPROVERS} approvers: {:.2} ms",
        median(figures)
    );
    Ok(())
}

fn site() -> World {
    let mut world = World::default();
    let mut happen = |event: Event| world.apply(&event, NOW);
    for id in (1..=REQUESTER.0).map(UserId) {
        let user = User {
            username: format!("user-{id}"),
            public_display_name: format!("User {id}"),
            email_address: format!("user-{id}@example.com"),
            ..User::default()
        };
        let made = user::Event::Record(record::Event::Created(user));
        happen(Event::User(id, made));
    }
    let team = Team {
        name: "Approvers".to_owned(),
        ..Team::default()
    };
    let made = team::Event::Record(record::Event::Created(team));
    happen(Event::Team(TEAM, made));
    for user in (1..=APPROVERS).map(UserId) {
        let role = team::TeamRole::Member;
        let member = team::Member {
            user_id: user,
            role,
        };
        happen(Event::Team(TEAM, team::Event::MemberAdded(member)));
    }
    let policy = JumpPolicy {
        display_name: "Asks".to_owned(),
        approval_required: true,
        approval_team_ids: vec![TEAM.to_string()],
        ..JumpPolicy::default()
    };
    let made = jump_policy::Event::Record(record::Event::Created(policy));
    happen(Event::JumpPolicy(POLICY, made));
    for number in 1..=REQUESTS {
        let made = access_request::Event::Submitted(submitted(number));
        happen(Event::AccessRequest(AccessRequestId(number), made));
    }
    world
}

/// The first has the list; the others ask the same.
fn submitted(number: u32) -> Submitted {
    let list = (0..APPROVERS).map(|index| Approver {
        index,
        address: format!("user-{}@example.com", index + 1),
        user_id: Some(UserId(index + 1)),
        name: format!("User {}", index + 1),
    });
    Submitted {
        requester: REQUESTER,
        requester_name: "Requester".to_owned(),
        item: JumpItemRef::JumpClient(JumpClientId(number)),
        item_name: format!("machine-{number}"),
        group: JumpGroupRef::Shared(JumpGroupId(1)),
        group_name: "Machines".to_owned(),
        jump_policy_id: POLICY,
        jump_policy_name: "Asks".to_owned(),
        approvers_name: "Team".to_owned(),
        language: "en-us".to_owned(),
        scope: Scope::Requestor,
        reason: "patch".to_owned(),
        start_at: NOW,
        ends_at: NOW.plus(time::HOUR),
        approvers: if number == 1 {
            list.collect()
        } else {
            Vec::new()
        },
        approvers_of: (number > 1).then_some(AccessRequestId(1)),
        except: Vec::new(),
    }
}
