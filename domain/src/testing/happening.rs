//! Events, as stories give them.

use crate::access::group_policy::{self, GroupPolicy, Of, Row, RowSet};
use crate::access::jump_group::{self, JumpGroup, Member, Membership};
use crate::access::permission::Grant;
use crate::access::role::JumpItemRole;
use crate::fleet::installer::JumpClientInstaller;
use crate::fleet::jump_client::{self, Connected, Facts, Properties, Registered};
use crate::ids::{
    GroupPolicyId, GroupPolicyMemberId, JumpClientId, JumpClientInstallerId, JumpGroupId,
    JumpGroupRef, JumpItemRef, JumpItemRoleId, JumpPolicyId, JumpointId, KeyedHash, LinkId, Lsid,
    SecretRef, SessionPolicyId, ShellJumpId, TeamId, UserId,
};
use crate::items::jumpoint::{self, Jumpoint, JumpointUser};
use crate::items::shell::ShellJump;
use crate::policy::jump_policy::{self, JumpPolicy, ScheduleSet};
use crate::policy::schedule::{Schedule, ScheduleEntry};
use crate::policy::session_policy::SessionPolicy;
use crate::record;
use crate::session::access_session::{self, Customer, Established, Representative, Started};
use crate::site::team::{self, Team, TeamRole};
use crate::site::user::{self, User};
use crate::testing::{INSTALLER, MONDAY, NODE};
use crate::{Event, time};
use std::collections::BTreeMap;

/// A user named `user-<id>`, without any permission, whose slots are No Access.
#[must_use]
pub fn user(id: UserId, change: impl FnOnce(&mut User)) -> Event {
    let mut user = User {
        username: format!("user-{id}"),
        password: Some(SecretRef(format!("password of user-{id}"))),
        public_display_name: format!("User {id}"),
        private_display_name: format!("Private {id}"),
        created_at: MONDAY,
        ..User::default()
    };
    change(&mut user);
    Event::User(id, user::Event::Record(record::Event::Created(user)))
}

/// A user who may access endpoints, and Jump Clients among them.
#[must_use]
pub fn person(id: UserId) -> Event {
    user(id, |user| {
        user.perm_access_allowed = "full_support".to_owned();
        user.perm_jump_client = true;
    })
}

/// A shared Jump Group.
#[must_use]
pub fn group(id: JumpGroupId, name: &str) -> Event {
    let group = JumpGroup {
        name: name.to_owned(),
        code_name: format!("group_{id}"),
        ..JumpGroup::default()
    };
    Event::JumpGroup(id, jump_group::Event::Record(record::Event::Created(group)))
}

/// A Jump Item Role named `Role <id>`.
#[must_use]
pub fn role(id: JumpItemRoleId, change: impl FnOnce(&mut JumpItemRole)) -> Event {
    let mut role = JumpItemRole {
        name: format!("Role {id}"),
        ..JumpItemRole::default()
    };
    change(&mut role);
    Event::JumpItemRole(id, record::Event::Created(role))
}

/// A direct member with this role, none being the user's Default, and the policies set on the items.
#[must_use]
pub fn member(group: JumpGroupId, user: UserId, role: impl Into<Option<JumpItemRoleId>>) -> Event {
    member_under(group, user, role, None)
}

/// A direct member with this role and policy.
#[must_use]
pub fn member_under(
    group: JumpGroupId,
    user_id: UserId,
    role: impl Into<Option<JumpItemRoleId>>,
    policy: impl Into<Option<JumpPolicyId>>,
) -> Event {
    let membership = Membership {
        jump_item_role_id: role.into(),
        jump_policy_id: policy.into(),
    };
    Event::JumpGroup(
        group,
        jump_group::Event::MemberAdded(Member {
            user_id,
            membership,
        }),
    )
}

/// A team named `Team <id>`.
#[must_use]
pub fn team(id: TeamId) -> Event {
    let team = Team {
        name: format!("Team {id}"),
        code_name: format!("team_{id}"),
        ..Team::default()
    };
    Event::Team(id, team::Event::Record(record::Event::Created(team)))
}

/// A direct member of a team.
#[must_use]
pub fn team_member(team: TeamId, user_id: UserId, role: TeamRole) -> Event {
    let member = team::Member { user_id, role };
    Event::Team(team, team::Event::MemberAdded(member))
}

/// A group policy named `Group Policy <id>` whose settings are not defined; below all that were made before.
#[must_use]
pub fn group_policy(id: GroupPolicyId, change: impl FnOnce(&mut GroupPolicy)) -> Event {
    let mut policy = GroupPolicy {
        name: format!("Group Policy {id}"),
        ..GroupPolicy::default()
    };
    change(&mut policy);
    Event::GroupPolicy(
        id,
        group_policy::Event::Record(record::Event::Created(policy)),
    )
}

/// A member of a group policy; the membership's id is told from both.
#[must_use]
pub fn policy_member(policy: GroupPolicyId, user_id: UserId) -> Event {
    let member = group_policy::Member {
        id: GroupPolicyMemberId(1_000 * policy.0 + user_id.0),
        user_id,
    };
    Event::GroupPolicy(policy, group_policy::Event::MemberAdded(member))
}

/// What a group policy does for its members.
#[must_use]
pub fn policy_row(policy: GroupPolicyId, of: Of, row: Row) -> Event {
    Event::GroupPolicy(policy, group_policy::Event::RowSet(RowSet { of, row }))
}

/// A Jump Policy named `Policy <id>`, without a schedule or anything it asks for.
#[must_use]
pub fn policy(id: JumpPolicyId, change: impl FnOnce(&mut JumpPolicy)) -> Event {
    let mut policy = JumpPolicy {
        display_name: format!("Policy {id}"),
        code_name: format!("policy_{id}"),
        schedule_enabled: false,
        ..JumpPolicy::default()
    };
    change(&mut policy);
    Event::JumpPolicy(
        id,
        jump_policy::Event::Record(record::Event::Created(policy)),
    )
}

/// The schedule of a policy.
#[must_use]
pub fn schedule(policy: JumpPolicyId, timezone: &str, entries: &[ScheduleEntry]) -> Event {
    let schedule = Schedule {
        timezone: timezone.to_owned(),
        entries: entries.to_vec(),
        override_allowed: false,
    };
    Event::JumpPolicy(
        policy,
        jump_policy::Event::ScheduleSet(ScheduleSet { schedule }),
    )
}

/// An installer for a group, valid for a day from [`MONDAY`] on.
#[must_use]
pub fn installer(
    id: JumpClientInstallerId,
    group: JumpGroupRef,
    change: impl FnOnce(&mut JumpClientInstaller),
) -> Event {
    let mut installer = JumpClientInstaller {
        jump_group_id: group.number(),
        jump_group_type: group.type_name().to_owned(),
        installer_id: format!("{id:032}"),
        expiration_timestamp: MONDAY.plus(time::DAY),
        secret_hash: Some(KeyedHash(format!("secret of installer {id}"))),
        ..JumpClientInstaller::default()
    };
    change(&mut installer);
    Event::JumpClientInstaller(id, record::Event::Created(installer))
}

/// A Jump Client named `pc-<id>` that registered from [`INSTALLER`] and connected in the connection of its own number.
#[must_use]
pub fn client(id: JumpClientId, group: JumpGroupRef) -> [Event; 2] {
    [
        registered(id, group, |_| {}),
        connected(id, u64::from(id.0)),
    ]
}

/// A Jump Client named `pc-<id>` that registered.
#[must_use]
pub fn registered(
    id: JumpClientId,
    group: JumpGroupRef,
    change: impl FnOnce(&mut Registered),
) -> Event {
    let mut registered = Registered {
        installer: INSTALLER,
        properties: Properties {
            name: format!("pc-{id}"),
            jump_group_id: group.number(),
            jump_group_type: group.type_name().to_owned(),
            ..Properties::default()
        },
        connection_type: "active".to_owned(),
        facts: Facts {
            hostname: format!("host-{id}"),
            operating_system: "Linux".to_owned(),
            private_ip: "10.0.0.1".to_owned(),
            console_user: "root".to_owned(),
            ..Facts::default()
        },
        token: KeyedHash(format!("token of pc-{id}")),
        attempt: KeyedHash(format!("attempt of pc-{id}")),
        duplicate_of: Vec::new(),
    };
    change(&mut registered);
    Event::JumpClient(id, jump_client::Event::Registered(registered))
}

/// A Jump Client that connected.
#[must_use]
pub fn connected(id: JumpClientId, connection: u64) -> Event {
    Event::JumpClient(
        id,
        jump_client::Event::Connected(Connected {
            link: LinkId {
                node: NODE,
                connection,
            },
            public_ip: "198.51.100.7:40000".to_owned(),
            boot_id: "boot-1".to_owned(),
        }),
    )
}

/// A Linux Jumpoint named `jumpoint-<id>` that serves Shell Jumps.
#[must_use]
pub fn jumpoint(id: JumpointId, change: impl FnOnce(&mut Jumpoint)) -> Event {
    let mut jumpoint = Jumpoint {
        name: format!("jumpoint-{id}"),
        code_name: format!("jumpoint_{id}"),
        platform: "linux-x86".to_owned(),
        shell_jump_enabled: true,
        ..Jumpoint::default()
    };
    change(&mut jumpoint);
    Event::Jumpoint(
        id,
        jumpoint::Event::Record(record::Event::Created(jumpoint)),
    )
}

/// A user who may go through a Jumpoint.
#[must_use]
pub fn jumpoint_user(id: JumpointId, user_id: UserId) -> Event {
    let user = JumpointUser { user_id };
    Event::Jumpoint(id, jumpoint::Event::UserAdded(user))
}

/// A session policy.
#[must_use]
pub fn session_policy(id: SessionPolicyId) -> Event {
    let policy = SessionPolicy {
        display_name: format!("Session policy {id}"),
        code_name: format!("session_policy_{id}"),
        ..SessionPolicy::default()
    };
    Event::SessionPolicy(id, record::Event::Created(policy))
}

/// A Shell Jump item named `shell-<id>`, through the first Jumpoint, in `group`.
#[must_use]
pub fn shell_jump(
    id: ShellJumpId,
    group: JumpGroupRef,
    change: impl FnOnce(&mut ShellJump),
) -> Event {
    let mut shell = ShellJump {
        name: format!("shell-{id}"),
        jumpoint_id: JumpointId(1),
        hostname: format!("shell-{id}.example.com"),
        protocol: "ssh".to_owned(),
        port: 22,
        jump_group_id: group.number(),
        jump_group_type: group.type_name().to_owned(),
        ..ShellJump::default()
    };
    change(&mut shell);
    Event::ShellJump(id, record::Event::Created(shell))
}

/// A session that began to start on a client of [`crate::testing::SHARED`].
#[must_use]
pub fn starting(lsid: Lsid, user: UserId, client: JumpClientId) -> Event {
    let number = u32::try_from(lsid.0).unwrap_or(user.0 * 100 + client.0);
    Event::AccessSession(
        lsid,
        access_session::Event::Started(Started {
            lseq: number,
            item: JumpItemRef::JumpClient(client),
            group: crate::testing::SHARED,
            group_name: "Web Servers".to_owned(),
            jump_policy_id: None,
            grant: Grant::Member,
            representative: Representative {
                user_id: user,
                gsnumber: 2 * number,
                username: format!("user-{user}"),
                public_display_name: format!("User {user}"),
                private_display_name: format!("Private {user}"),
                public_ip: "192.0.2.10:50000".to_owned(),
                os: "Linux".to_owned(),
            },
            customer: Customer {
                gsnumber: 2 * number + 1,
                name: format!("pc-{client}"),
                username: "root".to_owned(),
                public_ip: "198.51.100.7:40000".to_owned(),
                private_ip: "10.0.0.1".to_owned(),
                hostname: format!("host-{client}"),
                os: "Linux".to_owned(),
            },
            attributes: BTreeMap::new(),
            external_key: String::new(),
            session_policy_id: None,
            access_request_id: None,
            approved: None,
            approver_comments: None,
            ticket: None,
            notifications: None,
            schedule_overridden: false,
            recordings_disabled: false,
            closes_at: None,
            inputs: None,
        }),
    )
}

/// A session that is up.
#[must_use]
pub fn session(lsid: Lsid, user: UserId, client: JumpClientId) -> [Event; 2] {
    let established = access_session::Event::Established(Established {});
    [
        starting(lsid, user, client),
        Event::AccessSession(lsid, established),
    ]
}
