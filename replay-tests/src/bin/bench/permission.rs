//! What one decision costs: role, grant, effective settings and the gates of the Jump Policy, for one user and one item.
//!
//! Sites of four sizes, folded from the same kinds of events; users are in one to eight group policies and in some groups
//! directly. Besides, the worst that the largest site has: a user who is in every policy.

use std::hint::black_box;
use std::time::Instant;

use anyhow::Result;
use api::console::item_list::{Order, Query, page_of};
use api::console::paging::Sort;
use domain::access::group_policy::{self, GroupPolicy, Of, Row};
use domain::access::jump_group::{self, JumpGroup, Membership};
use domain::access::permission::{self, JumpMethod};
use domain::access::role::{ADMINISTRATOR, JumpItemRole};
use domain::fleet::jump_client::{self, Facts, Properties, Registered};
use domain::ids::{
    GroupPolicyId, GroupPolicyMemberId, JumpClientId, JumpClientInstallerId, JumpGroupId,
    JumpItemRef, JumpPolicyId, KeyedHash, UserId,
};
use domain::policy::gates::{self, Supplied};
use domain::policy::jump_policy::{self, JumpPolicy, ScheduleSet};
use domain::policy::schedule::{Schedule, ScheduleEntry};
use domain::site::user::{self, User};
use domain::{Event, Timestamp, World, record};
use projections::{ConsoleView, SearchField, Status};

use crate::median;

/// Decisions of one measurement.
const DECISIONS: u32 = 20_000;
/// Measurements of each size.
const TURNS: u32 = 15;
/// A Thursday at noon.
const NOW: Timestamp = Timestamp(1_772_712_000_000_000);
/// What single fields are searched for: some of it is in few rows, some in most.
const SEARCHED: [(SearchField, &str); 14] = [
    (SearchField::Comments, "rack 77"),
    (SearchField::ConsoleUser, "user 9"),
    (SearchField::Domain, "plant-7"),
    (SearchField::Fqdn, "host-77"),
    (SearchField::Group, "group 3"),
    (SearchField::HostnameIp, "77"),
    (SearchField::JumpMethod, "client"),
    (SearchField::LastAccessed, "never"),
    (SearchField::Name, "ine-77"),
    (SearchField::PrivateIp, "10.1.7"),
    (SearchField::PublicIp, "192"),
    (SearchField::Status, "offline"),
    (SearchField::Tag, "tag 5"),
    (SearchField::Workgroup, "plant"),
];
/// In every policy.
const EVERYWHERE: UserId = UserId(1);

pub(crate) fn run() -> Result<()> {
    println!("permission: microseconds of one decision, median of {TURNS} times {DECISIONS}");
    println!(
        "{:>8} {:>7} {:>7} {:>9} {:>12} {:>12} {:>16}",
        "items", "users", "groups", "policies", "any user", "with gates", "in every policy"
    );
    for items in [1_000, 10_000, 100_000] {
        let site = Sizes::of(items);
        let world = site.world();
        let any = |turn: u32| (UserId(2 + turn % (site.users - 1)), site.item(turn));
        let all = |turn: u32| (EVERYWHERE, site.item(turn));
        let [plain, gated, worst] = [
            measure(any, |user, item| decide(&world, user, item)),
            measure(any, |user, item| with_gates(&world, user, item)),
            measure(all, |user, item| decide(&world, user, item)),
        ];
        println!(
            "{:>8} {:>7} {:>7} {:>9} {:>12.2} {:>12.2} {:>16.2}",
            site.items, site.users, site.groups, site.policies, plain, gated, worst
        );
        lists(&world, &site);
        let seen = (0..DECISIONS).filter(|turn| {
            let (user, item) = any(*turn);
            decide(&world, user, item)
        });
        let share = seen.count();
        anyhow::ensure!(
            share > 0 && share < DECISIONS as usize,
            "decisions that are all alike measure nothing"
        );
    }
    Ok(())
}

/// "All items I may see": the first page with its total and its counts by status, and a search through every field.
fn lists(world: &World, site: &Sizes) {
    let view = ConsoleView::of(world);
    let first_page = Query::default();
    let by_status = Query {
        status: Some(Status::Offline),
        sort: Sort {
            order: Order::Tag,
            descending: true,
        },
        ..Query::default()
    };
    let search = Query {
        search: "ine-77".to_owned(),
        ..Query::default()
    };
    for (who, user) in [("some groups", UserId(8)), ("every group", EVERYWHERE)] {
        let time = |query: &Query| {
            let turns = (0..TURNS).map(|_| {
                let began = Instant::now();
                let page = page_of(&view, world, black_box(user), query, NOW);
                let _ = black_box(page);
                began.elapsed().as_secs_f64() * 1e3
            });
            median(turns.collect())
        };
        let [first, filtered, searched] = [&first_page, &by_status, &search].map(time);
        let by_field = SEARCHED.map(|(field, text)| {
            let query = Query {
                search: text.to_owned(),
                search_in: vec![field],
                ..Query::default()
            };
            (time(&query), field.title())
        });
        let slowest = by_field
            .into_iter()
            .max_by(|one, other| one.0.total_cmp(&other.0))
            .unwrap_or_default();
        let page = page_of(&view, world, user, &first_page, NOW);
        let total = page.map_or(0, |page| page.total);
        println!(
            "{:>8} list of {who}, {total} in sight: first page {first:.2} ms, filtered and sorted {filtered:.2} ms, search {searched:.2} ms, by the slowest field ({}) {:.2} ms",
            site.items, slowest.1, slowest.0
        );
    }
}

/// Whether the user may jump to the item, as far as settings and role go.
fn decide(world: &World, user: UserId, item: JumpItemRef) -> bool {
    let may = permission::effective(world, user)
        .is_some_and(|settings| settings.need_method(JumpMethod::of(item)).is_ok());
    may && permission::access_to_item(world, user, item)
        .is_some_and(|access| access.role.perm_start)
}

/// The same, and whether the Jump Policy lets them now.
fn with_gates(world: &World, user: UserId, item: JumpItemRef) -> bool {
    if !decide(world, user, item) {
        return false;
    }
    permission::access_to_item(world, user, item).is_some_and(|access| {
        let policy = gates::effective_policy(world, &access, item);
        gates::open(world, user, item, policy, &Supplied::default(), NOW)
            .is_ok_and(|opening| opening.needs.is_empty())
    })
}

fn measure(
    who_and_what: impl Fn(u32) -> (UserId, JumpItemRef),
    decision: impl Fn(UserId, JumpItemRef) -> bool,
) -> f64 {
    let turns = (0..TURNS).map(|turn| {
        let began = Instant::now();
        for number in 0..DECISIONS {
            let (user, item) = who_and_what(turn * DECISIONS + number);
            black_box(decision(black_box(user), black_box(item)));
        }
        began.elapsed().as_secs_f64() * 1e6 / f64::from(DECISIONS)
    });
    median(turns.collect())
}

struct Sizes {
    items: u32,
    users: u32,
    groups: u32,
    policies: u32,
}

impl Sizes {
    fn of(items: u32) -> Self {
        Self {
            items,
            users: items / 20,
            groups: (items / 200).max(5),
            policies: (items / 500).max(8),
        }
    }

    /// Items far apart, so that the caches of the processor help no more than they would.
    fn item(&self, turn: u32) -> JumpItemRef {
        let number = turn.wrapping_mul(2_654_435_761) % self.items;
        JumpItemRef::JumpClient(JumpClientId(number + 1))
    }

    fn world(&self) -> World {
        let mut world = World::default();
        for event in self
            .of_access()
            .chain(self.of_users())
            .chain(self.of_items())
        {
            world.apply(&event, NOW);
        }
        world
    }

    fn of_access(&self) -> impl Iterator<Item = Event> {
        let role = JumpItemRole::everything("Administrator", "");
        let role = Event::JumpItemRole(ADMINISTRATOR, record::Event::Created(role));
        let jump_policy = JumpPolicyId(1);
        let made = JumpPolicy {
            display_name: "Thursdays".to_owned(),
            code_name: "thursdays".to_owned(),
            schedule_enabled: true,
            ..JumpPolicy::default()
        };
        let made = jump_policy::Event::Record(record::Event::Created(made));
        let schedule = Schedule {
            override_allowed: false,
            timezone: "Europe/Berlin".to_owned(),
            entries: vec![ScheduleEntry {
                start_day: 3,
                start_minute: 480,
                end_day: 3,
                end_minute: 1_020,
            }],
        };
        let set = jump_policy::Event::ScheduleSet(ScheduleSet { schedule });
        let groups = (1..=self.groups).map(|number| {
            let group = JumpGroup {
                name: format!("Group {number}"),
                code_name: format!("group_{number}"),
                ..JumpGroup::default()
            };
            let made = jump_group::Event::Record(record::Event::Created(group));
            Event::JumpGroup(JumpGroupId(number), made)
        });
        let policies = (1..=self.policies).flat_map(|number| self.of_policy(number));
        [
            role,
            Event::JumpPolicy(jump_policy, made),
            Event::JumpPolicy(jump_policy, set),
        ]
        .into_iter()
        .chain(groups)
        .chain(policies)
    }

    /// A policy with rows about a twentieth of the groups, at least one.
    fn of_policy(&self, number: u32) -> Vec<Event> {
        let id = GroupPolicyId(number);
        let made = GroupPolicy {
            name: format!("Policy {number}"),
            access_perm_status: if number.is_multiple_of(4) {
                "defined"
            } else {
                "not_defined"
            }
            .to_owned(),
            perm_access_allowed: true,
            perm_jump_client: true,
            ..GroupPolicy::default()
        };
        let made = group_policy::Event::Record(record::Event::Created(made));
        let rows = (0..(self.groups / 20).max(1)).map(|row| {
            let group = JumpGroupId((number * 7 + row * 13) % self.groups + 1);
            let membership = Membership {
                jump_item_role_id: Some(ADMINISTRATOR),
                jump_policy_id: (row % 2 == 0).then_some(JumpPolicyId(1)),
            };
            group_policy::Event::RowSet(group_policy::RowSet {
                of: Of::JumpGroup(group),
                row: Row::JumpGroup(membership),
            })
        });
        std::iter::once(made)
            .chain(rows)
            .map(|event| Event::GroupPolicy(id, event))
            .collect()
    }

    fn of_users(&self) -> impl Iterator<Item = Event> {
        (1..=self.users).flat_map(|number| {
            let id = UserId(number);
            let made = User {
                username: format!("user{number}"),
                perm_access_allowed: "full_support".to_owned(),
                perm_jump_client: true,
                ..User::default()
            };
            let mut events = vec![Event::User(
                id,
                user::Event::Record(record::Event::Created(made)),
            )];
            let memberships = if id == EVERYWHERE {
                self.policies
            } else {
                1 + number % 8
            };
            for step in 0..memberships {
                let policy = GroupPolicyId((number + step) % self.policies + 1);
                let member = group_policy::Member {
                    id: GroupPolicyMemberId(number * 1_000 + step),
                    user_id: id,
                };
                events.push(Event::GroupPolicy(
                    policy,
                    group_policy::Event::MemberAdded(member),
                ));
            }
            let direct = if id == EVERYWHERE {
                self.groups
            } else {
                number % 4
            };
            for step in 0..direct {
                let group = JumpGroupId((number * 3 + step) % self.groups + 1);
                let member = jump_group::Member {
                    user_id: id,
                    membership: Membership {
                        jump_item_role_id: Some(ADMINISTRATOR),
                        jump_policy_id: None,
                    },
                };
                events.push(Event::JumpGroup(
                    group,
                    jump_group::Event::MemberAdded(member),
                ));
            }
            events
        })
    }

    fn of_items(&self) -> impl Iterator<Item = Event> {
        (1..=self.items).map(|number| {
            let registered = Registered {
                installer: JumpClientInstallerId(1),
                properties: Properties {
                    name: format!("machine-{number}"),
                    jump_group_id: number % self.groups + 1,
                    tag: format!("Tag {}", number % 40),
                    comments: format!("Rack {}, next to the window", number % 900),
                    ..Properties::default()
                },
                connection_type: "active".to_owned(),
                facts: Facts {
                    hostname: format!("HOST-{number}"),
                    fqdn: format!("host-{number}.plant-{}.example.com", number % 30),
                    operating_system: "Debian GNU/Linux 12 (x86_64)".to_owned(),
                    private_ip: format!("10.1.{}.{}", number / 250 % 250, number % 250),
                    console_user: format!("User {}", number % 700),
                    ..Facts::default()
                },
                token: KeyedHash(format!("{number:064x}")),
                attempt: KeyedHash(format!("{number:063x}a")),
                duplicate_of: Vec::new(),
            };
            Event::JumpClient(
                JumpClientId(number),
                jump_client::Event::Registered(registered),
            )
        })
    }
}
