//! Random sites against a reference that is written down as the rules say it, without any index.

use proptest::prelude::*;

use crate::access::explain::{Action, explain};
use crate::access::group_policy::{Of, Ordered, Row};
use crate::access::jump_group::Membership;
use crate::access::permission::{
    Grant, access_to_group, access_to_item, effective, need, visible_groups,
};
use crate::access::role::{JumpItemPermission, JumpItemRole};
use crate::ids::{
    GroupPolicyId, JumpClientId, JumpGroupId, JumpGroupRef, JumpItemRef, JumpItemRoleId,
    JumpPolicyId, TeamId, UserId,
};
use crate::policy::schedule::ScheduleEntry;
use crate::site::team::TeamRole;
use crate::testing::{
    Given, MONDAY, client, given, group, group_policy, member_under, policy, policy_member,
    policy_row, role, schedule, start, team, team_member, user,
};
use crate::time::{DAY, HOUR};
use crate::{Event, Timestamp};

const PERMISSIONS: [JumpItemPermission; 11] = [
    JumpItemPermission::CreateAndDeploy,
    JumpItemPermission::MoveAndCopy,
    JumpItemPermission::Remove,
    JumpItemPermission::ViewReports,
    JumpItemPermission::Start,
    JumpItemPermission::EditTag,
    JumpItemPermission::EditComments,
    JumpItemPermission::EditJumpPolicy,
    JumpItemPermission::EditSessionPolicy,
    JumpItemPermission::EditConnectivity,
    JumpItemPermission::EditBehavior,
];

/// A block of settings: endpoints, Jump Clients, the four slots.
#[derive(Clone, Debug)]
struct Block {
    endpoints: bool,
    clients: bool,
    /// Default, Personal, Team, System; roles 1 to 6.
    slots: [u32; 4],
}

#[derive(Clone, Debug)]
struct Policy {
    /// 0 not defined, 1 defined, 2 final.
    status: u8,
    block: Block,
    members: Vec<bool>,
    /// By group: nothing, a removal, or role (0 is the default) and Jump Policy (0 is the item's).
    groups: Vec<Option<Option<(u32, u32)>>>,
    /// By team: nothing, a removal, or a rank.
    teams: Vec<Option<Option<TeamRole>>>,
}

/// Users are numbered from 0 here and from 2 in the site; all else from 0 here and from 1 there.
#[derive(Clone, Debug)]
struct Plan {
    /// The permissions of roles 4, 5 and 6, as bits in the order of [`PERMISSIONS`].
    roles: [u16; 3],
    users: Vec<Block>,
    /// By user and group.
    members: Vec<Vec<Option<(u32, u32)>>>,
    /// By user and team.
    teams: Vec<Vec<Option<TeamRole>>>,
    /// In the order they were made.
    policies: Vec<Policy>,
    /// The list from top to bottom, as indexes of `policies`.
    order: Vec<usize>,
    /// By item: a shared group, or (from 3 on) a user's list; and the item's Jump Policy, 0 for none.
    items: Vec<(usize, u32)>,
    /// Hours after Monday 00:00 UTC.
    hour: i64,
}

const USERS: usize = 3;
const GROUPS: usize = 3;
const TEAMS: usize = 2;
const POLICIES: usize = 3;

impl Plan {
    fn user(index: usize) -> UserId {
        UserId(number(index) + 1)
    }

    fn group_of(&self, item: usize) -> JumpGroupRef {
        match self.items[item].0 {
            shared if shared < GROUPS => JumpGroupRef::Shared(JumpGroupId(number(shared))),
            personal => JumpGroupRef::Personal(Self::user(personal - GROUPS)),
        }
    }

    fn now(&self) -> Timestamp {
        // MONDAY is 09:00.
        MONDAY.plus((self.hour - 9) * HOUR)
    }

    fn build(&self) -> Given {
        let mut events = Vec::new();
        for (index, bits) in self.roles.iter().enumerate() {
            let id = JumpItemRoleId(number(index) + 3);
            events.push(role(id, |role| grant_bits(role, *bits)));
        }
        // Thursday 08:00 to 17:00; and one without a schedule.
        events.push(policy(JumpPolicyId(1), |policy| {
            policy.schedule_enabled = true;
        }));
        events.push(schedule(
            JumpPolicyId(1),
            "UTC",
            &[ScheduleEntry {
                start_day: 3,
                start_minute: 480,
                end_day: 3,
                end_minute: 1020,
            }],
        ));
        events.push(policy(JumpPolicyId(2), |_| {}));
        events.extend((0..GROUPS).map(|group_index| {
            group(
                JumpGroupId(number(group_index)),
                &format!("Group {group_index}"),
            )
        }));
        events.extend((0..TEAMS).map(|index| team(TeamId(number(index)))));
        for (index, block) in self.users.iter().enumerate() {
            events.push(user(Self::user(index), |user| {
                if block.endpoints {
                    user.perm_access_allowed = "full_support".to_owned();
                }
                user.perm_jump_client = block.clients;
                let [default, personal, team, system] = block.slots.map(JumpItemRoleId);
                user.default_jump_item_role_id = default;
                user.private_jump_item_role_id = personal;
                user.inferior_jump_item_role_id = team;
                user.unassigned_jump_item_role_id = system;
            }));
        }
        events.extend(self.memberships());
        events.extend(self.group_policies());
        let mut site = given(events);
        for item in 0..self.items.len() {
            let id = JumpClientId(number(item));
            site = site.and(client(id, self.group_of(item)));
            if self.items[item].1 > 0 {
                site = site.and([set_policy(id, self.items[item].1)]);
            }
        }
        site.at(self.now())
    }

    fn memberships(&self) -> Vec<Event> {
        let mut events = Vec::new();
        for index in 0..USERS {
            let id = Self::user(index);
            for (group, membership) in self.members[index].iter().enumerate() {
                if let Some((role, jump_policy)) = membership {
                    events.push(member_under(
                        JumpGroupId(number(group)),
                        id,
                        some(*role).map(JumpItemRoleId),
                        some(*jump_policy).map(JumpPolicyId),
                    ));
                }
            }
            for (team, rank) in self.teams[index].iter().enumerate() {
                if let Some(rank) = rank {
                    events.push(team_member(TeamId(number(team)), id, *rank));
                }
            }
        }
        events
    }

    fn group_policies(&self) -> Vec<Event> {
        let mut events = Vec::new();
        for (index, plan) in self.policies.iter().enumerate() {
            let id = GroupPolicyId(number(index));
            events.push(group_policy(id, |policy| {
                policy.access_perm_status =
                    ["not_defined", "defined", "final"][usize::from(plan.status)].to_owned();
                policy.perm_access_allowed = plan.block.endpoints;
                policy.perm_jump_client = plan.block.clients;
                let [default, personal, team, system] = plan.block.slots.map(JumpItemRoleId);
                policy.default_jump_item_role_id = default;
                policy.private_jump_item_role_id = personal;
                policy.inferior_jump_item_role_id = team;
                policy.unassigned_jump_item_role_id = system;
            }));
            for (user, is_member) in plan.members.iter().enumerate() {
                if *is_member {
                    events.push(policy_member(id, Self::user(user)));
                }
            }
            for (group, row) in plan.groups.iter().enumerate() {
                if let Some(row) = row {
                    let row = row.map_or(Row::Removal, |(role, jump_policy)| {
                        Row::JumpGroup(Membership {
                            jump_item_role_id: some(role).map(JumpItemRoleId),
                            jump_policy_id: some(jump_policy).map(JumpPolicyId),
                        })
                    });
                    events.push(policy_row(
                        id,
                        Of::JumpGroup(JumpGroupId(number(group))),
                        row,
                    ));
                }
            }
            for (team, row) in plan.teams.iter().enumerate() {
                if let Some(row) = row {
                    let row = row.map_or(Row::Removal, Row::Team);
                    events.push(policy_row(id, Of::Team(TeamId(number(team))), row));
                }
            }
        }
        let order = self
            .order
            .iter()
            .map(|index| GroupPolicyId(number(*index)))
            .collect();
        events.push(Event::GroupPolicyOrder(Ordered { order }));
        events
    }

    // --- the reference ---

    /// The policies of a user from the top of the list to the bottom.
    fn policies_of(&self, user: usize) -> impl Iterator<Item = &Policy> {
        self.order
            .iter()
            .map(|index| &self.policies[*index])
            .filter(move |policy| policy.members[user])
    }

    fn settings(&self, user: usize) -> Block {
        let mut block = self.users[user].clone();
        for policy in self.policies_of(user) {
            match policy.status {
                0 => {}
                1 => block = policy.block.clone(),
                _ => return policy.block.clone(),
            }
        }
        block
    }

    fn team_rank(&self, user: usize, team: usize) -> Option<TeamRole> {
        let mut rank = None;
        for policy in self.policies_of(user) {
            match policy.teams[team] {
                None => {}
                Some(None) => rank = None,
                Some(Some(given)) => rank = Some(given),
            }
        }
        self.teams[user][team].or(rank)
    }

    /// Role and Jump Policy (0 for the item's) that reach a user for a group; none without any.
    fn reach(&self, user: usize, group: usize) -> Option<(u32, u32)> {
        let [default, personal, of_team, system] = self.settings(user).slots;
        if group < GROUPS {
            let mut membership = None;
            for policy in self.policies_of(user) {
                match policy.groups[group] {
                    None => {}
                    Some(None) => membership = None,
                    Some(given) => membership = given,
                }
            }
            return match self.members[user][group].or(membership) {
                Some((0, jump_policy)) => Some((default, jump_policy)),
                Some(both) => Some(both),
                None => Some((system, 0)),
            };
        }
        let owner = group - GROUPS;
        if owner == user {
            return Some((personal, 0));
        }
        let shared: Vec<(TeamRole, TeamRole)> = (0..TEAMS)
            .filter_map(|team| Some((self.team_rank(user, team)?, self.team_rank(owner, team)?)))
            .collect();
        if shared.iter().any(|(mine, theirs)| mine > theirs) {
            Some((of_team, 0))
        } else if shared.is_empty() {
            Some((system, 0))
        } else {
            None
        }
    }

    fn role_allows(&self, role: u32, permission: usize) -> bool {
        match role {
            1 => false,
            2 => PERMISSIONS[permission] == JumpItemPermission::Start,
            3 => true,
            own => self.roles[own as usize - 4] & (1 << permission) != 0,
        }
    }

    fn sees(&self, user: usize, group: usize) -> bool {
        self.reach(user, group).is_some_and(|(role, _)| {
            (0..PERMISSIONS.len()).any(|permission| self.role_allows(role, permission))
        })
    }

    fn may(&self, user: usize, item: usize, permission: usize) -> bool {
        self.reach(user, self.items[item].0)
            .is_some_and(|(role, _)| self.role_allows(role, permission))
    }

    /// Thursday from 08:00 until 17:00 under policy 1, always under any other or none.
    fn is_open(&self, user: usize, item: usize) -> bool {
        let (group, on_item) = self.items[item];
        let by_membership = self.reach(user, group).map_or(0, |(_, policy)| policy);
        let policy = if by_membership == 0 {
            on_item
        } else {
            by_membership
        };
        let (day, hour) = (self.hour / 24, self.hour % 24);
        policy != 1 || (day == 3 && (8..17).contains(&hour))
    }

    fn may_start(&self, user: usize, item: usize) -> bool {
        let settings = self.settings(user);
        settings.endpoints
            && settings.clients
            && self.may(user, item, 4)
            && self.is_open(user, item)
    }
}

fn number(index: usize) -> u32 {
    u32::try_from(index).expect("a few") + 1
}

fn some(number: u32) -> Option<u32> {
    (number > 0).then_some(number)
}

fn grant_bits(role: &mut JumpItemRole, bits: u16) {
    let has = |index: usize| bits & (1 << index) != 0;
    role.perm_add = has(0);
    role.perm_assign_jump_group = has(1);
    role.perm_remove = has(2);
    role.perm_view_jump_item_report = has(3);
    role.perm_start = has(4);
    role.perm_edit_tag = has(5);
    role.perm_edit_comments = has(6);
    role.perm_edit_jump_policy = has(7);
    role.perm_edit_session_policy = has(8);
    role.perm_edit_identity = has(9);
    role.perm_edit_behavior = has(10);
}

fn set_policy(client: JumpClientId, policy: u32) -> Event {
    let change = crate::record::Change {
        old: serde_json::Value::Null,
        new: policy.into(),
    };
    let changed = [("jump_policy_id".to_owned(), change)].into();
    Event::JumpClient(
        client,
        crate::fleet::jump_client::Event::Record(crate::record::Event::Changed(changed)),
    )
}

fn block() -> impl Strategy<Value = Block> {
    (
        prop::bool::weighted(0.8),
        prop::bool::weighted(0.8),
        [1..7_u32, 1..7, 1..7, 1..7],
    )
        .prop_map(|(endpoints, clients, slots)| Block {
            endpoints,
            clients,
            slots,
        })
}

fn rank() -> impl Strategy<Value = TeamRole> {
    prop_oneof![
        Just(TeamRole::Member),
        Just(TeamRole::Lead),
        Just(TeamRole::Manager)
    ]
}

fn some_policy() -> impl Strategy<Value = Policy> {
    let membership = (0..7_u32, 0..3_u32);
    (
        0..3_u8,
        block(),
        prop::collection::vec(any::<bool>(), USERS),
        prop::collection::vec(
            prop::option::of(prop::option::weighted(0.7, membership)),
            GROUPS,
        ),
        prop::collection::vec(prop::option::of(prop::option::weighted(0.7, rank())), TEAMS),
    )
        .prop_map(|(status, block, members, groups, teams)| Policy {
            status,
            block,
            members,
            groups,
            teams,
        })
}

fn plan() -> impl Strategy<Value = Plan> {
    let membership = (0..7_u32, 0..3_u32);
    (
        [0..2048_u16, 0..2048, 0..2048],
        prop::collection::vec(block(), USERS),
        prop::collection::vec(
            prop::collection::vec(prop::option::weighted(0.3, membership), GROUPS),
            USERS,
        ),
        prop::collection::vec(
            prop::collection::vec(prop::option::weighted(0.3, rank()), TEAMS),
            USERS,
        ),
        prop::collection::vec(some_policy(), POLICIES),
        Just((0..POLICIES).collect::<Vec<usize>>()).prop_shuffle(),
        prop::collection::vec((0..GROUPS + USERS, 0..3_u32), 4),
        0..168_i64,
    )
        .prop_map(
            |(roles, users, members, teams, policies, order, items, hour)| Plan {
                roles,
                users,
                members,
                teams,
                policies,
                order,
                items,
                hour,
            },
        )
}

/// What a grant names is there and reaches the user.
fn grant_exists(site: &Given, user: UserId, group: JumpGroupRef, grant: Grant) -> bool {
    let world = site.world();
    let row = |policy, named: bool| {
        let JumpGroupRef::Shared(shared) = group else {
            return false;
        };
        world.group_policies.contains(&policy)
            && world.policy_member(policy, user).is_some()
            && matches!(
                world.policy_row(policy, Of::JumpGroup(shared)),
                Some(Row::JumpGroup(membership)) if membership.jump_item_role_id.is_some() == named
            )
    };
    let direct = |named: bool| {
        let JumpGroupRef::Shared(shared) = group else {
            return false;
        };
        world
            .membership(shared, user)
            .is_some_and(|member| member.jump_item_role_id.is_some() == named)
    };
    match grant {
        Grant::Member => direct(true),
        Grant::MemberByDefault => direct(false),
        Grant::GroupPolicy(policy) => row(policy, true),
        Grant::GroupPolicyByDefault(policy) => row(policy, false),
        Grant::Personal => group == JumpGroupRef::Personal(user),
        Grant::Team => matches!(group, JumpGroupRef::Personal(owner) if owner != user),
        Grant::System => group != JumpGroupRef::Personal(user),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// ROLE-04, ROLE-05, ROLE-06, ROLE-07, ROLE-12, ROLE-13, ROLE-32, GPOL-02, GPOL-03, GPOL-11, GPOL-23, GRP-09, GRP-26
    #[test]
    fn every_decision_is_what_the_rules_say(plan in plan()) {
        let site = plan.build();
        let world = site.world();
        for user in 0..USERS {
            let id = Plan::user(user);
            let settings = effective(world, id).expect("the user is there");
            prop_assert_eq!(settings.may_access_endpoints(), plan.settings(user).endpoints);

            let visible = visible_groups(world, id);
            for group in 0..GROUPS + USERS {
                let of = if group < GROUPS {
                    JumpGroupRef::Shared(JumpGroupId(number(group)))
                } else {
                    JumpGroupRef::Personal(Plan::user(group - GROUPS))
                };
                prop_assert_eq!(visible.contains(&of), plan.sees(user, group), "{:?} {:?}", id, of);
                let access = access_to_group(world, id, of);
                let reached = plan.reach(user, group).filter(|_| plan.sees(user, group));
                prop_assert_eq!(
                    access.map(|access| (access.role_id.0, access.jump_policy_id.map_or(0, |id| id.0))),
                    reached
                );
            }
            for item in 0..plan.items.len() {
                ask_of_item(&plan, &site, user, item)?;
            }
        }
    }
}

fn ask_of_item(plan: &Plan, site: &Given, user: usize, item: usize) -> Result<(), TestCaseError> {
    let world = site.world();
    let id = Plan::user(user);
    let of = JumpItemRef::JumpClient(JumpClientId(number(item)));
    prop_assert_eq!(
        access_to_item(world, id, of).is_some(),
        plan.sees(user, plan.items[item].0)
    );
    for (index, permission) in PERMISSIONS.into_iter().enumerate() {
        let expected = plan.may(user, item, index);
        prop_assert_eq!(need(world, id, of, permission).is_ok(), expected);
        let action = Action::Permission(permission);
        let why = explain(world, id, of, action, plan.now()).expect("an explanation");
        prop_assert_eq!(why.allowed, expected, "{:?}", &why);
        prop_assert_eq!(why.reasons.is_empty(), expected);
        prop_assert_eq!(why.would_help.is_empty(), expected);
        if let Some(grant) = why.grant {
            prop_assert!(
                grant_exists(site, id, plan.group_of(item), grant),
                "{:?}",
                &why
            );
        }
    }
    let expected = plan.may_start(user, item);
    let why = explain(world, id, of, Action::Start, plan.now()).expect("an explanation");
    prop_assert_eq!(why.allowed, expected, "{:?}", &why);
    let asked = site.clone().when(id, start(id, JumpClientId(number(item))));
    prop_assert_eq!(asked.decision().is_ok(), expected, "{:?}", asked.decision());
    if let Err(refusal) = asked.decision() {
        let first = why.reasons.first().map(|reason| reason.code);
        prop_assert_eq!(first, Some(refusal.code()));
    }
    Ok(())
}

/// The days are those the reference counts by.
#[test]
fn the_reference_counts_from_a_monday() {
    assert_eq!(MONDAY.plus(-9 * HOUR).0.rem_euclid(DAY), 0);
}
