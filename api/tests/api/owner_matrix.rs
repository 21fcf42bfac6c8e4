//! Who may do what with whose things, as a golden file that a security reviewer reads: every users' route of the console by the
//! caller's Jump Item Role and by whose the thing is.
//!
//! - `items`: Jump Items and the Jump on Startup group; `sessions`; `requests`: for approval, and to the ticket system
//!
//! `GATEBOOK_WRITE_GOLDEN=1` writes the file anew; the difference is then read before it is committed.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::num::NonZeroU32;

use api::Limits;
use api::access::Access;
use domain::access::jump_group::{self, Membership};
use domain::access::role::{ADMINISTRATOR, JumpItemRole, NO_ACCESS, START_SESSIONS_ONLY};
use domain::fleet::jump_client;
use domain::ids::{
    JumpClientId, JumpClientInstallerId, JumpGroupId, JumpGroupRef, JumpItemRoleId, TeamId, UserId,
};
use domain::site::settings::SETTINGS;
use domain::site::team::{self, TeamRole};
use domain::{Command, Event, record};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::matrix::golden;
use crate::served::{Differently, Served};
use crate::visit::{Agent, Conduct, Visitor, facts, object};

mod items;
mod requests;
mod sessions;

const LEGEND: &str = "\
Who may do what with whose things: the users' routes of the console, as the router answers them.

A table for each role of the caller and each kind of thing; a line for each route; a column for whose the thing is. A cell is
the status, and where it is refused the code, or the field that is wrong. Of lists it says whether the thing is in them.
404 is said of what the caller may not know of, whether or not it is there.

Roles of the caller
  No Access            the shipped role that gives nothing
  View Reports         a role made by hand that has nothing but View Reports
  Start Sessions Only  the shipped role
  Administrator        the shipped role with every permission
  site administrator   No Access everywhere, for a user who administers the site
The role is in the slot or membership that is to count, and the contrary in every other: No Access everywhere else, or
Administrator everywhere else where the role is No Access. So a cell also tells that no other slot was asked.

Jump Items
  own        in the caller's personal list (the Personal slot)
  below      in that of a member of the team the caller leads (the Team slot)
  beside     in that of another lead of this team (no slot; the caller has the role in all four)
  stranger   in that of a user the caller shares no team with (the System slot)
  named      in a shared group, where the caller is a member with the role
  default    in a shared group, where the caller is a member who has the role by default (the Default slot)
  no member  in a shared group, where the caller is no member (the System slot)
  An installer brings clients into the group of the place; 404 no_agent_program and 409 no_mail_server are
  said after all that is asked of the caller.
  \"kept\" is an item that was put into the Jump on Startup group with the Administrator role; the role is changed since.
  \"accessed\" is one that the caller jumped to with it; again the role is changed since.
  Moves and copies come from or go to another group, where the caller is always a member with the Administrator role.

Sessions, on an item in a shared group where the caller is no member (the System slot); a second Jump joins them here
  owner      the caller started it with the Administrator role; the role is changed since
  member     the caller joined it with the Administrator role; the role is changed since
  invited    its owner invited the caller, who has not come in yet
  other's    the caller has no part in it

Requests for approval, for an item in a shared group where the caller is no member (the System slot)
  mine       the caller's, pending        mine+    the caller's, approved
  asked      the caller is an approver, pending; asked+ approved; asked- denied by another approver
  other's    another user's, pending      other's+ approved for its requester     other's* approved for anyone

Ticket requests: the caller's own, which waits; another user's, which waits.
";

/// Whose an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Own,
    Below,
    Beside,
    Stranger,
    Named,
    Default,
    NoMember,
}

impl Place {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Own, "own"),
        (Self::Below, "below"),
        (Self::Beside, "beside"),
        (Self::Stranger, "stranger"),
        (Self::Named, "named"),
        (Self::Default, "default"),
        (Self::NoMember, "no member"),
    ];
}

/// What the caller may do where it counts.
#[derive(Clone, Copy, Debug)]
struct Role {
    name: &'static str,
    id: JumpItemRoleId,
    administers: bool,
}

/// A question: the route as the table of routes has it, and what is told apart beyond that.
#[derive(Clone, Copy, Debug)]
struct Ask {
    method: &'static str,
    path: &'static str,
    note: &'static str,
}

impl Ask {
    const fn new(method: &'static str, path: &'static str, note: &'static str) -> Self {
        Self { method, path, note }
    }

    fn route(&self) -> String {
        format!("{} /api/console/v1/{}", self.method, self.path)
    }
}

/// A site with one user whose place among the others changes from question to question.
struct Stage {
    served: Served,
    caller: UserId,
    token: String,
    below: UserId,
    beside: UserId,
    stranger: UserId,
    stranger_token: String,
    approver_token: String,
    admin_token: String,
    approver: UserId,
    shared: [JumpGroupId; 3],
    elsewhere: JumpGroupId,
    installer: JumpClientInstallerId,
    machines: std::cell::Cell<u64>,
}

/// What items are given to see whether the caller may.
const POLICY_OF_ITEMS: u32 = 1;
const SESSION_POLICY: u32 = 2;
/// The role made by hand.
const VIEW_REPORTS: JumpItemRoleId = JumpItemRoleId(4);

const ROLES: [Role; 5] = [
    Role {
        name: "No Access",
        id: NO_ACCESS,
        administers: false,
    },
    Role {
        name: "View Reports",
        id: VIEW_REPORTS,
        administers: false,
    },
    Role {
        name: "Start Sessions Only",
        id: START_SESSIONS_ONLY,
        administers: false,
    },
    Role {
        name: "Administrator",
        id: ADMINISTRATOR,
        administers: false,
    },
    Role {
        name: "site administrator",
        id: NO_ACCESS,
        administers: true,
    },
];

impl Stage {
    async fn set() -> Self {
        let served = Served::start_with(Differently {
            limits: Limits {
                address_burst: NonZeroU32::MAX,
                user_burst: NonZeroU32::MAX,
                ..Limits::default()
            },
            ..Differently::default()
        })
        .await;
        let installer = served.fleet("No member").await.installer;
        let shared = [
            served.group("Named").await,
            served.group("Default").await,
            JumpGroupId(1),
        ];
        let elsewhere = served.group("Elsewhere").await;
        let powers = json!({
            "perm_access_allowed": "full_support", "perm_jump_client": true, "perm_shell_jump": true,
            "perm_edit_external_key": true, "perm_share_other_team": true,
        });
        let mut tokens = Vec::new();
        for name in ["caller", "below", "beside", "stranger", "approver"] {
            let visitor = served.user(name, powers.clone()).await;
            tokens.push((visitor.id, visitor.token.clone()));
        }
        let [
            (caller, token),
            (below, _),
            (beside, _),
            (stranger, stranger_token),
            (approver, approver_token),
        ] = <[_; 5]>::try_from(tokens).unwrap();
        served
            .permit(
                stranger,
                json!({"unassigned_jump_item_role_id": ADMINISTRATOR}),
            )
            .await;
        let admin_token = served.administrator().await.token.clone();
        let stage = Self {
            served,
            caller,
            token,
            below,
            beside,
            stranger,
            stranger_token,
            approver_token,
            admin_token,
            approver,
            shared,
            elsewhere,
            installer,
            machines: std::cell::Cell::new(0),
        };
        stage.furnish().await;
        stage
    }

    /// Teams, memberships, the role made by hand, and the settings that let each route do something.
    async fn furnish(&self) {
        let served = &self.served;
        let role = record::Command::<JumpItemRole>::Create(object(
            json!({"name": "View Reports", "perm_view_jump_item_report": true}),
        ));
        let done = served.run(Command::JumpItemRole(role)).await;
        assert!(matches!(
            done.events[..],
            [Event::JumpItemRole(VIEW_REPORTS, _)]
        ));
        let create = record::Command::Create(object(json!({"name": "Operations"})));
        served
            .run(Command::Team(team::Command::Record(create)))
            .await;
        for (user, role) in [
            (self.caller, TeamRole::Lead),
            (self.below, TeamRole::Member),
            (self.beside, TeamRole::Lead),
        ] {
            let member = team::Command::AddMember(TeamId(1), user, role);
            served.run(Command::Team(member)).await;
        }
        for group in [self.shared[0], self.shared[1], self.elsewhere] {
            let membership = Membership {
                jump_item_role_id: (group == self.elsewhere).then_some(ADMINISTRATOR),
                jump_policy_id: None,
            };
            let member = jump_group::Command::AddMember(group, self.caller, membership);
            served.run(Command::JumpGroup(member)).await;
        }
        served
            .run(Command::SiteSettings(record::Command::Change(
                SETTINGS,
                object(json!({"simultaneous_jumps": "join"})),
            )))
            .await;
        let jumpoint = json!({"name": "East", "platform": "linux-x86", "shell_jump_enabled": true});
        assert_eq!(served.post("jumpoint", jumpoint).await.0, 201);
        let user = json!({"user_id": self.caller});
        assert_eq!(served.post("jumpoint/1/user", user).await.0, 201);
        assert_eq!(self.policy("Of items", json!({})).await, POLICY_OF_ITEMS);
        let admin = self.admin();
        for (path, body) in [
            ("session-policies", json!({"display_name": "Watched"})),
            ("custom-fields", json!({"display_name": "Rack"})),
            (
                "custom-session-attributes",
                json!({"display_name": "Change"}),
            ),
        ] {
            let (status, told) = admin.post(path, body).await;
            assert_eq!(status, 201, "{told}");
        }
    }

    fn visitor<'s>(&'s self, id: UserId, token: &str) -> Visitor<'s> {
        Visitor {
            served: &self.served,
            id,
            token: token.to_owned(),
        }
    }

    fn caller(&self) -> Visitor<'_> {
        self.visitor(self.caller, &self.token)
    }

    fn stranger(&self) -> Visitor<'_> {
        self.visitor(self.stranger, &self.stranger_token)
    }

    fn approver(&self) -> Visitor<'_> {
        self.visitor(self.approver, &self.approver_token)
    }

    fn admin(&self) -> Visitor<'_> {
        self.visitor(UserId(1), &self.admin_token)
    }

    const fn group(&self, place: Place) -> JumpGroupRef {
        match place {
            Place::Own => JumpGroupRef::Personal(self.caller),
            Place::Below => JumpGroupRef::Personal(self.below),
            Place::Beside => JumpGroupRef::Personal(self.beside),
            Place::Stranger => JumpGroupRef::Personal(self.stranger),
            Place::Named => JumpGroupRef::Shared(self.shared[0]),
            Place::Default => JumpGroupRef::Shared(self.shared[1]),
            Place::NoMember => JumpGroupRef::Shared(self.shared[2]),
        }
    }

    /// Gives the caller the role where it counts for `place`, and the contrary everywhere else.
    async fn stand(&self, place: Place, role: Role) {
        let contrary = if role.id == NO_ACCESS && !role.administers {
            ADMINISTRATOR
        } else {
            NO_ACCESS
        };
        let slot = |counts: &[Place]| {
            if counts.contains(&place) || place == Place::Beside {
                role.id
            } else {
                contrary
            }
        };
        let slots = json!({
            "private_jump_item_role_id": slot(&[Place::Own]),
            "inferior_jump_item_role_id": slot(&[Place::Below]),
            "unassigned_jump_item_role_id": slot(&[Place::Stranger, Place::NoMember]),
            "default_jump_item_role_id": slot(&[Place::Default]),
            "perm_admin": role.administers,
        });
        self.served.permit(self.caller, slots).await;
        let membership = Membership {
            jump_item_role_id: Some(slot(&[Place::Named])),
            jump_policy_id: None,
        };
        let change =
            jump_group::Command::ChangeMember(self.shared[0], self.caller, membership.into());
        self.served.run(Command::JumpGroup(change)).await;
    }

    /// A new machine that is online, in the group of `place`.
    async fn machine(&self, place: Place) -> JumpClientId {
        let number = self.machines.get() + 1;
        self.machines.set(number);
        let machine = self
            .served
            .machine(self.installer, number, facts(number))
            .await;
        self.served
            .change_client(machine, in_group(self.group(place)))
            .await;
        machine
    }

    /// Takes a machine away that may be gone already.
    async fn remove(&self, machine: JumpClientId) {
        let published = self.served.site.engine.published();
        if published.world.jump_clients.contains(&machine) {
            let delete = jump_client::Command::Delete(machine);
            self.served.run(Command::JumpClient(delete)).await;
        }
    }

    /// All tables of a role.
    async fn tell(&self, role: Role) -> String {
        let agent = Agent::of(&self.served.site.engine, Conduct::Establish);
        let tables = [
            items::tell(self, role).await,
            sessions::tell(self, role).await,
            requests::tell_approvals(self, role).await,
            requests::tell_tickets(self, role).await,
        ];
        drop(agent);
        tables.concat()
    }

    /// Asks as the caller. `path` is the one of the route with the ids in their places.
    async fn ask(&self, ask: Ask, path: &str, body: Option<Value>, wanted: &str) -> String {
        let method: Method = ask.method.parse().unwrap();
        let (status, told) =
            crate::served::answer(self.caller().send(method, path, body).await).await;
        cell(status, &told, wanted)
    }
}

/// The members that say where an item is.
fn in_group(group: JumpGroupRef) -> Value {
    json!({"jump_group_id": group.number(), "jump_group_type": group.type_name()})
}

/// What an answer comes to. `wanted` is what a list is to hold.
fn cell(status: u16, told: &Value, wanted: &str) -> String {
    let list = match told {
        Value::Array(rows) => Some(rows),
        _ => told["items"]
            .as_array()
            .or_else(|| told["installers"].as_array()),
    };
    if let Some(rows) = list {
        let is_it = |row: &Value| {
            ["id", "lsid"]
                .iter()
                .any(|name| row[*name].to_string().trim_matches('"') == wanted)
        };
        let listed = rows.iter().any(is_it);
        return format!("{status} {}", if listed { "listed" } else { "hidden" });
    }
    if let Some(results) = told["results"].as_array() {
        return match &results[..] {
            [] => format!("{status} nothing"),
            [one] => {
                let status = u16::try_from(one["status"].as_u64().unwrap()).unwrap();
                cell(status, &one["error"], wanted)
            }
            more => panic!("one thing was asked for: {more:?}"),
        };
    }
    if status < 400 {
        return status.to_string();
    }
    let field = told["errors"]
        .as_object()
        .and_then(|errors| errors.keys().next());
    let word = field
        .map(String::as_str)
        .or_else(|| told["code"].as_str())
        .unwrap_or_default();
    format!("{status} {word}")
}

/// A table with columns as wide as what is in them.
fn table(title: &str, columns: &[&str], rows: &[(String, Vec<String>)]) -> String {
    let width = |column: usize| {
        rows.iter()
            .map(|(_, cells)| cells[column].len())
            .chain([columns[column].len()])
            .max()
            .unwrap_or_default()
    };
    let first = rows
        .iter()
        .map(|(name, _)| name.len())
        .max()
        .unwrap_or_default();
    let mut text = format!("\n== {title} ==\n{:first$}", "");
    for (index, column) in columns.iter().enumerate() {
        write!(text, " | {column:0$}", width(index)).unwrap();
    }
    text.push('\n');
    for (name, cells) in rows {
        write!(text, "{name:first$}").unwrap();
        for (index, cell) in cells.iter().enumerate() {
            write!(text, " | {cell:0$}", width(index)).unwrap();
        }
        text.push('\n');
    }
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

/// How a line is called.
fn line(ask: Ask) -> String {
    let note = if ask.note.is_empty() {
        String::new()
    } else {
        format!(" ({})", ask.note)
    };
    format!("{} {}{note}", ask.method, ask.path)
}

/// What concerns nobody but the caller, or nothing that anybody owns.
const NOBODYS: &[Ask] = &[
    Ask::new("GET", "me", ""),
    // What they tell by role is asked in the tests of choices.
    Ask::new("GET", "groups", ""),
    Ask::new("GET", "choices/jump-policies", ""),
    Ask::new("GET", "choices/session-policies", ""),
    Ask::new("POST", "me/password", ""),
    // Who may do it, and whose, is asked in the tests of the sign-in.
    Ask::new("PUT", "users/{id}/password", ""),
    // What it tells is asked in the tests of the stream.
    Ask::new("GET", "events", ""),
    Ask::new("POST", "sign-out", ""),
    Ask::new("GET", "jump-client-installers/wizard", ""),
    Ask::new("GET", "mass-deploy-help", ""),
    Ask::new("GET", "mass-deploy-help/mac-profile", ""),
];

/// threat G, CONF-05, ROLE-03, ROLE-12, ROLE-15, ROLE-31, GRP-14, GRP-15, GRP-16, GRP-17, SESS-05: every users' route by role and
/// owner. A route that is in no list here fails.
#[tokio::test]
async fn slow_threat_g_every_users_route_by_role_and_owner() {
    let listed: BTreeSet<String> = items::ASKS
        .iter()
        .chain(sessions::ASKS)
        .chain(requests::APPROVAL_ASKS)
        .chain(requests::TICKET_ASKS)
        .chain(NOBODYS)
        .map(Ask::route)
        .collect();
    // A site for each role: they are asked beside each other.
    let stages = join_all(ROLES.map(|_| Stage::set())).await;
    let routes = api::routes(&stages[0].served.site);
    let known: BTreeSet<String> = routes
        .table()
        .iter()
        .filter(|route| route.access == Access::User)
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    assert_eq!(
        listed, known,
        "each users' route is asked here, and no other"
    );
    let mut text = LEGEND.to_owned();
    let told = stages
        .iter()
        .zip(ROLES)
        .map(|(stage, role)| stage.tell(role));
    text += &join_all(told).await.concat();
    text += "\n== Routes that concern nobody but the caller ==\n";
    for ask in NOBODYS {
        writeln!(text, "{}", line(*ask)).unwrap();
    }
    golden("tests/golden/owner-matrix.txt", &text);
}
