//! Commands at random over few ids, so that they meet: asked for by anyone, sensible or not.

use proptest::prelude::*;
use serde_json::json;

use crate::access::group_policy::{self, GroupPolicy, Of, Row};
use crate::access::jump_group::{self, JumpGroup, Membership, MembershipChange};
use crate::access::role::JumpItemRole;
use crate::fleet::installer::JumpClientInstaller;
use crate::fleet::jump_client::{self, Facts, Properties};
use crate::ids::{
    ApiAccountId, CustomSessionAttributeId, GroupPolicyId, GroupPolicyMemberId, JumpClientId,
    JumpClientInstallerId, JumpGroupId, JumpGroupRef, JumpItemRef, JumpItemRoleId, JumpPolicyId,
    JumpointId, KeyedHash, LinkId, Lsid, NodeEpoch, SecretRef, SessionPolicyId, SiteSettingsId,
    TeamId, TicketSystemId, UserId,
};
use crate::node::{self, RoutineCheckIn, StopReason};
use crate::policy::jump_policy::{self, JumpPolicy};
use crate::policy::schedule::{Schedule, ScheduleEntry};
use crate::session::{access_session, startup_group};
use crate::site::api_account::{self, ApiAccount};
use crate::site::custom_session_attribute::CustomSessionAttribute;
use crate::site::settings::SiteSettings;
use crate::site::team::{self, Team, TeamRole};
use crate::site::ticket_system::TicketSystem;
use crate::site::user::sign_in::{Origin, SignIn};
use crate::site::user::{self, User};
use crate::testing::{
    ADMIN, ADMINS, ALWAYS, ANNA, Asks, BERT, CARA, INSTALLER, OPERATIONS, PC1, SHARED, THURSDAYS,
    USER_SYSTEMS, USERS, WEB_SERVERS, add_member, change, client, create, delete, drawn, end,
    group, group_policy, installer, jumpoint, jumpoint_user, member, member_under, object, person,
    policy, policy_member, policy_row, register, schedule, session, session_policy, start, team,
    team_member,
};
use crate::{Actor, Cause, Command, Event, record};

/// What is there before anybody asks.
pub(super) fn base() -> Vec<Event> {
    let mut events = vec![
        person(ANNA),
        person(BERT),
        person(CARA),
        group(WEB_SERVERS, "Web Servers"),
        group(USER_SYSTEMS, "User Systems"),
        policy(THURSDAYS, |_| {}),
        policy(ALWAYS, super::any_request::asks_for_approval),
        team(OPERATIONS),
        jumpoint(JumpointId(1), |_| {}),
        jumpoint(JumpointId(2), |_| {}),
        jumpoint_user(JumpointId(1), ANNA),
        jumpoint_user(JumpointId(2), BERT),
        session_policy(SessionPolicyId(2)),
        Event::CustomSessionAttribute(
            CustomSessionAttributeId(1),
            record::Event::Created(CustomSessionAttribute {
                display_name: "A1".to_owned(),
                code_name: "a1".to_owned(),
                ..CustomSessionAttribute::default()
            }),
        ),
        group_policy(ADMINS, |_| {}),
        group_policy(USERS, |_| {}),
        team_member(OPERATIONS, ANNA, TeamRole::Member),
        policy_member(ADMINS, BERT),
        policy_row(ADMINS, Of::JumpGroup(WEB_SERVERS), Row::Removal),
        member(WEB_SERVERS, ANNA, JumpItemRoleId(3)),
        member(WEB_SERVERS, ADMIN, JumpItemRoleId(3)),
        member_under(WEB_SERVERS, BERT, JumpItemRoleId(3), ALWAYS),
        installer(INSTALLER, SHARED, |installer| {
            installer.allow_override_tag = true;
            installer.max_offline_minutes = 5;
            installer.created_by_user_id = Some(ADMIN);
        }),
    ];
    events.extend(client(PC1, SHARED));
    // A session that runs, under a schedule that is about to end it.
    let morning = ScheduleEntry {
        start_day: 0,
        start_minute: 480,
        end_day: 0,
        end_minute: 660,
    };
    events.push(policy(THURSDAYS, |policy| {
        policy.schedule_enabled = true;
        policy.schedule_strict = true;
    }));
    events.push(schedule(THURSDAYS, "UTC", &[morning]));
    let lsid = Lsid(drawn(session_draw(JumpItemRef::JumpClient(PC1)), 0));
    let [began, up] = session(lsid, ADMIN, PC1);
    let Event::AccessSession(_, access_session::Event::Started(mut started)) = began else {
        return events;
    };
    started.jump_policy_id = Some(THURSDAYS);
    started.lseq = 1;
    started.representative.gsnumber = 1;
    started.customer.gsnumber = 2;
    let guest = access_session::Representative {
        user_id: ANNA,
        gsnumber: 3,
        ..started.representative.clone()
    };
    events.push(Event::AccessSession(
        lsid,
        access_session::Event::Started(started),
    ));
    events.push(up);
    events.push(Event::AccessSession(
        lsid,
        access_session::Event::Joined(access_session::Joined {
            representative: guest,
            invited: true,
            grant: None,
            jump_policy_id: None,
            access_request_id: None,
        }),
    ));
    events.push(Event::AccessSession(
        lsid,
        access_session::Event::Invited(access_session::Invited {
            user_id: BERT,
            by: ADMIN,
        }),
    ));
    events.push(Event::StartupGroup(
        ADMIN,
        startup_group::Event::Added(startup_group::Item {
            item: JumpItemRef::JumpClient(PC1),
        }),
    ));
    events.extend(super::any_ticket::given());
    events
}

/// Somebody asks for something.
pub(super) fn any_command() -> impl Strategy<Value = (Cause, Command)> {
    let numbers = || 1..4_u32;
    let command = (0..CHOICES, numbers(), numbers(), numbers(), any::<bool>())
        .prop_map(|(choice, a, b, c, flag)| command(choice, a, b, c, flag));
    let actor = prop_oneof![
        4 => Just(Actor::System),
        4 => Just(Actor::User(ADMIN)),
        2 => Just(Actor::User(ANNA)),
        2 => Just(Actor::User(BERT)),
        2 => Just(Actor::ApiAccount(ApiAccountId(1))),
        1 => Just(Actor::Operator),
        1 => Just(Actor::Stranger),
    ];
    let command = prop_oneof![
        8 => command,
        2 => super::any_mail::any_mail_command(),
        3 => super::any_request::any_request_command(),
        2 => super::any_item::any_item_command(),
    ];
    prop_oneof![
        6 => (actor, command).prop_map(|(actor, command)| (actor.cause(), command)),
        1 => super::any_member::any_member_command(),
        1 => super::any_ticket::any_ticket_command(),
        1 => super::any_trust::any_trust_command(),
    ]
}

/// The draw that gives a session on `client` its id: at most one at a time runs there, so the ids of those that run differ, and
/// what is asked of sessions finds them.
pub(super) fn session_draw(item: JumpItemRef) -> u64 {
    1_000 + u64::from(item.number())
}

/// How many commands there are to choose from.
const CHOICES: u32 = 56;

fn command(choice: u32, a: u32, b: u32, c: u32, flag: bool) -> Command {
    match choice {
        0..=14 => of_records(choice, a, b, c, flag),
        15..=22 => of_people(choice, a, b, c, flag),
        23..=32 => of_clients(choice, a, b, c, flag),
        44..=55 => of_teams_and_group_policies(choice, a, b, c, flag),
        _ => of_sessions(choice, a, b, c, flag),
    }
}

fn of_records(choice: u32, a: u32, b: u32, c: u32, flag: bool) -> Command {
    let (group, policy, role) = (JumpGroupId(a), JumpPolicyId(b), JumpItemRoleId(c + 2));
    let entry = ScheduleEntry {
        start_day: 0,
        start_minute: 60 * u16::try_from(a).unwrap_or(1),
        end_day: if flag { 0 } else { 6 },
        end_minute: 600 + 20 * u16::try_from(c).unwrap_or(1),
    };
    match choice {
        0 if flag => change::<TicketSystem>(
            TicketSystemId(1),
            json!({"url": if b > 1 { "https://tickets.example.com" } else { "" }, "user_prompt": "Ticket?", "timeout_seconds": a * 60}),
        ),
        0 if flag => change::<SiteSettings>(SiteSettingsId(1), json!({"starting_users_max": a})),
        0 => change::<SiteSettings>(
            SiteSettingsId(1),
            json!({
                "simultaneous_jumps": if b == 1 { "disallow" } else { "join" },
                "session_idle_seconds": 3_600 * (c - 1),
            }),
        ),
        1 => create::<JumpItemRole>(json!({"name": format!("Role {a}"), "perm_start": flag})),
        2 => change::<JumpItemRole>(role, json!({"perm_remove": flag, "perm_edit_tag": !flag})),
        3 => delete::<JumpItemRole>(role),
        4 => create::<JumpGroup>(json!({"name": format!("Group {a}"), "comments": "x"})),
        5 => change::<JumpGroup>(group, json!({"comments": format!("{b}")})),
        6 if flag => delete::<JumpGroup>(group),
        6 | 7 => add_member(group, UserId(b), Some(role)),
        8 => jump_group::Command::ChangeMember(
            group,
            UserId(b),
            MembershipChange {
                jump_item_role_id: (a == 1).then_some(Some(role)),
                jump_policy_id: Some(flag.then_some(policy)),
            },
        )
        .into(),
        9 => jump_group::Command::RemoveMember(group, UserId(b)).into(),
        10 => create::<JumpPolicy>(
            json!({"display_name": format!("P{a}"), "schedule_enabled": false}),
        ),
        11 => change::<JumpPolicy>(
            policy,
            json!({"schedule_enabled": flag, "schedule_strict": flag, "ticket_id_required": a == 1}),
        ),
        12 => delete::<JumpPolicy>(policy),
        13 => {
            let schedule = Schedule {
                timezone: "Europe/Berlin".to_owned(),
                entries: vec![entry],
                override_allowed: false,
            };
            jump_policy::Command::SetSchedule(policy, schedule).into()
        }
        _ => create::<JumpClientInstaller>(json!({
            "jump_group_id": a, "jump_policy_id": b, "secret_hash": "0".repeat(64),
            "allow_override_name": flag, "valid_duration": 10 * c,
        })),
    }
}

fn of_people(choice: u32, a: u32, b: u32, c: u32, flag: bool) -> Command {
    let (user, account) = (UserId(a), ApiAccountId(a));
    match choice {
        15 => create::<User>(
            json!({"username": format!("user {a}"), "public_display_name": format!("{b}")}),
        ),
        16 => change::<User>(
            user,
            json!({"enabled": flag, "email_address": "a@example.com"}),
        ),
        17 => delete::<User>(user),
        18 if flag => user::Command::SignOut {
            user,
            sign_in: KeyedHash(format!("sign-in-{}", user.0)),
        }
        .into(),
        18 => user::Command::SignIn(SignIn {
            user,
            password_matches: b > 1,
            compared_with: None,
            origin: Origin {
                network: format!("192.0.{c}.0/24"),
                device: None,
            },
            new_password: (a > 1).then(|| SecretRef(format!("{a}"))),
        })
        .into(),
        19 => user::Command::ResetAdministrator {
            user,
            password: SecretRef(format!("{b}")),
        }
        .into(),
        20 => create::<ApiAccount>(json!({"name": format!("A{a}"), "perm_configuration": flag})),
        21 => match c {
            1 => change::<ApiAccount>(account, json!({"comments": format!("{b}")})),
            2 if a > 1 => delete::<ApiAccount>(account),
            _ => api_account::Command::RegenerateSecret {
                account,
                client_secret: SecretRef(format!("{b}")),
            }
            .into(),
        },
        _ => api_account::Command::Authenticate {
            account,
            address: std::net::IpAddr::from([192, 0, 2, u8::try_from(b).unwrap_or(0)]),
        }
        .into(),
    }
}

fn of_clients(choice: u32, a: u32, b: u32, c: u32, flag: bool) -> Command {
    let client = JumpClientId(a);
    let link = LinkId {
        node: NodeEpoch(i64::from(c)),
        connection: u64::from(b),
    };
    let token = KeyedHash(format!("token-{b}"));
    match choice {
        23 => {
            let mut machine = register(JumpClientInstallerId(a), u64::from(b));
            machine.overrides.tag = flag.then(|| "tag".to_owned());
            machine.into()
        }
        24 => jump_client::Command::Connect {
            client,
            link,
            public_ip: String::new(),
            boot_id: format!("boot-{b}"),
        }
        .into(),
        25 => jump_client::Command::Disconnect {
            client,
            link,
            reason: String::new(),
        }
        .into(),
        26 => jump_client::Command::CheckIn {
            client,
            link,
            facts: Box::new(Facts {
                hostname: format!("host-{b}"),
                disabled: c == 3,
                ..Facts::default()
            }),
        }
        .into(),
        27 => jump_client::Command::OfferToken {
            client,
            offer: jump_client::Offer::OnLink(link),
            token,
        }
        .into(),
        28 => jump_client::Command::ConfirmToken {
            client,
            link: Some(link).filter(|_| flag),
            token,
        }
        .into(),
        29 if b == c => jump_client::Command::Quarantine {
            client,
            evidence: String::new(),
        }
        .into(),
        29 if flag => jump_client::Command::Edit(
            client,
            object(json!({"connection_type": if c == 1 { "passive" } else { "active" }})),
        )
        .into(),
        29 | 30 => change::<Properties>(
            client,
            json!({
                "jump_group_id": b, "jump_group_type": JumpGroupRef::Personal(UserId(b)).type_name(),
                "jump_policy_id": flag.then_some(c), "tag": format!("{c}"),
            }),
        ),
        31 if flag => delete::<Properties>(client),
        31 => {
            change::<JumpClientInstaller>(JumpClientInstallerId(a), json!({"tag": format!("{b}")}))
        }
        _ => delete::<JumpClientInstaller>(JumpClientInstallerId(a + 1)),
    }
}

fn of_sessions(choice: u32, a: u32, b: u32, c: u32, flag: bool) -> Command {
    let lsid = Lsid(drawn(
        session_draw(JumpItemRef::JumpClient(JumpClientId(b))),
        0,
    ));
    let client = JumpClientId(b);
    match choice {
        33..=35 => start(UserId(a), client),
        36 | 37 => access_session::Command::Establish { lsid, client }.into(),
        38 => access_session::Command::Fail {
            lsid,
            client,
            reason: String::new(),
        }
        .into(),
        39 => access_session::Command::TimeOut { lsid }.into(),
        40 if flag => access_session::Command::EndBySchedule { lsid }.into(),
        40 => access_session::Command::Abandon { lsid }.into(),
        41 if flag => access_session::Command::EndByEndpoint {
            lsid,
            client,
            reason: String::new(),
        }
        .into(),
        41 => end(lsid),
        42 if flag => node::Command::Start {
            epoch: NodeEpoch(i64::from(b)),
            name: format!("node-{a}"),
            url: None,
        }
        .into(),
        42 if a == b => node::Command::Stop {
            epoch: NodeEpoch(i64::from(c)),
            reason: StopReason::Silent,
        }
        .into(),
        42 if a < b => node::Command::NoteClock {
            epoch: NodeEpoch(i64::from(a)),
            behind: flag.then_some(crate::testing::MONDAY),
        }
        .into(),
        _ => node::Command::RecordCheckIns {
            epoch: NodeEpoch(i64::from(a)),
            check_ins: vec![RoutineCheckIn {
                client,
                at: i64::from(c),
            }],
        }
        .into(),
    }
}

fn of_teams_and_group_policies(choice: u32, a: u32, b: u32, c: u32, flag: bool) -> Command {
    let (team, user, policy) = (TeamId(a), UserId(b), GroupPolicyId(c));
    let role = [TeamRole::Member, TeamRole::Lead, TeamRole::Manager][c as usize - 1];
    let of = match b {
        1 => Of::JumpGroup(JumpGroupId(a)),
        2 => Of::Team(team),
        _ => Of::Jumpoint(JumpointId(a)),
    };
    match choice {
        44 => create::<Team>(json!({"name": format!("Team {a}")})),
        45 if c == 3 => delete::<Team>(team),
        45 => change::<Team>(
            team,
            json!({"comments": format!("{b}"), "name": format!("T {c}")}),
        ),
        46 => team::Command::AddMember(team, user, role).into(),
        47 => team::Command::ChangeMember {
            team,
            user,
            to: if flag { team } else { TeamId(c) },
            role: (b != 1).then_some(role),
        }
        .into(),
        48 => team::Command::RemoveMember(team, user).into(),
        49 => create::<GroupPolicy>(json!({"name": format!("Policy {a}"), "perm_web_jump": flag})),
        50 if b == 3 => delete::<GroupPolicy>(policy),
        50 if b == 2 => group_policy::Command::Copy(policy, format!("Copy {a}")).into(),
        50 => change::<GroupPolicy>(policy, json!({"perm_collaborate": flag})),
        51 if flag => {
            group_policy::Command::SetOrder(vec![GroupPolicyId(2), GroupPolicyId(1)]).into()
        }
        51 | 52 => group_policy::Command::AddMember(policy, user).into(),
        53 if flag => group_policy::Command::ChangePoliciesOf {
            user,
            added: [policy].into(),
            removed: [GroupPolicyId(a)].into(),
        }
        .into(),
        53 => group_policy::Command::RemoveMember(policy, GroupPolicyMemberId(b)).into(),
        54 if flag => group_policy::Command::AddTeam(policy, team, role).into(),
        54 => group_policy::Command::AddJumpGroup(
            policy,
            JumpGroupId(a),
            Membership {
                jump_item_role_id: flag.then_some(JumpItemRoleId(b)),
                jump_policy_id: None,
            },
        )
        .into(),
        _ if flag => group_policy::Command::AddRemoval(policy, of).into(),
        _ if a == c => group_policy::Command::DropRemoval(policy, of).into(),
        _ => group_policy::Command::DropRow(policy, of).into(),
    }
}
