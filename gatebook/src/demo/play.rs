//! Plays the story through the engine: each step becomes the command that a person or an agent would send at that time.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use anyhow::{Context, Result, bail};
use api::configuration::installer::INSTALLER_SECRET;
use api::console::badge::{self, BadgeText};
use api::credential::unguessable;
use domain::access::jump_group::{self, Membership};
use domain::access::role;
use domain::fleet::jump_client::{self, Facts, Register};
use domain::ids::{
    JumpClientId, JumpClientInstallerId, JumpGroupId, JumpItemRef, JumpPolicyId, KeyedHash, LinkId,
    Lsid, NodeEpoch, UserId,
};
use domain::node::{self, RoutineCheckIn, StopReason};
use domain::policy::jump_policy;
use domain::policy::schedule::{Schedule, ScheduleEntry};
use domain::record::{self, Object};
use domain::session::access_session;
use domain::site::user;
use domain::time::{DAY, SECOND};
use domain::{Actor, Cause, Command, Event, Surface, Timestamp};
use engine::{Clock, Done, ExecuteError, Lane, Side, Submission};
use link_protocol::{AnchorList, KeyInfo};
use secrets::SecretText;
use serde_json::json;

use super::cast::{COMPANY, Group, Machine, PEOPLE, Post, ZONE};
use super::story::{Step, Timed};
use super::{Agent, Played};
use crate::first_start::{self, FirstStart};
use crate::opening::OpenSite;
use crate::virtual_clock::VirtualClock;

/// The agents that are to be run for real, and their groups.
const REAL: [(&str, Group); 2] = [("web-07", Group::Web), ("dc-05", Group::Directory)];

/// Validity of the installers that brought the fleet. Unit: minutes.
const ROLL_OUT_MINUTES: i64 = 7 * 1_440;

/// Validity of the installers of the agents that are run for real: a year. Unit: minutes.
const REAL_MINUTES: i64 = 525_600;

/// How long the badge of the first jump is good: as long as those installers.
const BADGE_LIFETIME: i64 = 365 * DAY;

/// What is known of a machine while it is played.
struct PlayedMachine {
    id: JumpClientId,
    facts: Facts,
    link: Option<LinkId>,
    boot: u64,
}

pub(super) struct Player<'a> {
    site: &'a OpenSite,
    clock: VirtualClock,
    machines: &'a [Machine],
    first_run: &'a Path,
    node: NodeEpoch,
    connections: u64,
    clients: BTreeMap<usize, PlayedMachine>,
    sessions: BTreeMap<usize, (Lsid, JumpClientId)>,
    people: Vec<(UserId, String, SecretText)>,
    groups: BTreeMap<Group, JumpGroupId>,
    installers: BTreeMap<Group, JumpClientInstallerId>,
}

impl<'a> Player<'a> {
    pub(super) fn new(
        site: &'a OpenSite,
        clock: VirtualClock,
        machines: &'a [Machine],
        first_run: &'a Path,
    ) -> Self {
        Self {
            site,
            clock,
            machines,
            first_run,
            node: NodeEpoch::default(),
            connections: 0,
            clients: BTreeMap::new(),
            sessions: BTreeMap::new(),
            people: Vec::new(),
            groups: BTreeMap::new(),
            installers: BTreeMap::new(),
        }
    }

    /// Plays all steps and what ends the past.
    pub(super) async fn play(
        mut self,
        steps: Vec<Timed>,
        end: Timestamp,
        url: &str,
        anchors: AnchorList,
    ) -> Result<Played> {
        let epoch = self.site.store.register_node("demo", None).await?;
        self.node = NodeEpoch(epoch.0);
        for (at, step) in steps {
            self.clock.advance_to(at);
            self.step(&step)
                .await
                .with_context(|| format!("playing {step:?} at {at}"))?;
        }
        self.clock.advance_to(end);
        let agents = self.real_agents(url, &anchors).await?;
        let badge = self.badge().await?;
        let stop = node::Command::Stop {
            epoch: self.node,
            reason: StopReason::Asked,
        };
        self.ask(Command::Node(stop), Cause::program(Actor::System))
            .await?;
        self.site.store.remove_node(epoch).await?;
        let next = self.site.engine.published().world.next_id("jump_client");
        Ok(Played {
            agents,
            people: self
                .people
                .into_iter()
                .map(|(_, name, password)| (name, password))
                .collect(),
            badge,
            item: JumpItemRef::JumpClient(JumpClientId(next)).to_string(),
        })
    }

    async fn step(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::SetUp => self.set_up().await,
            Step::Register(machine) => self.register(*machine).await,
            Step::Connect { machine, restarted } => self.connect(*machine, *restarted).await,
            Step::Desk { machine, taken } => {
                let user = if *taken {
                    self.machines[*machine].desk_of
                } else {
                    ""
                };
                self.check_in(*machine, |facts| facts.console_user = user.to_owned())
                    .await
            }
            Step::Disconnect(machine) => self.disconnect(*machine).await,
            Step::Update(machine) => {
                let system = self.machines[*machine]
                    .system
                    .replace("6.1.0-25", "6.1.0-26")
                    .replace("21H2", "21H2 (KB5044281)");
                self.check_in(*machine, |facts| facts.operating_system = system)
                    .await
            }
            Step::CheckIns => self.check_ins().await,
            Step::SignIn(person) => self.sign_in(*person, None).await,
            Step::Start {
                session,
                person,
                machine,
            } => self.start(*session, *person, *machine).await,
            Step::Establish { session } => {
                let (lsid, client) = self.session(*session)?;
                self.by_client(client, access_session::Command::Establish { lsid, client })
                    .await
            }
            Step::Fail { session } => {
                let (lsid, client) = self.session(*session)?;
                let reason = "the session helper could not be started".to_owned();
                self.by_client(
                    client,
                    access_session::Command::Fail {
                        lsid,
                        client,
                        reason,
                    },
                )
                .await
            }
            Step::EndByEndpoint { session } => {
                let (lsid, client) = self.session(*session)?;
                let reason = "closed by the user at the machine".to_owned();
                self.by_client(
                    client,
                    access_session::Command::EndByEndpoint {
                        lsid,
                        client,
                        reason,
                    },
                )
                .await
            }
            Step::End { session, person } => {
                let (lsid, _) = self.session(*session)?;
                let end = Command::AccessSession(access_session::Command::End { lsid });
                self.ask(end, self.of_person(*person)).await.map(drop)
            }
            Step::Refused { person, machine } => self.refused(*person, *machine).await,
        }
    }

    // --- the site ---

    async fn set_up(&mut self) -> Result<()> {
        let OpenSite {
            engine,
            fresh,
            sealer,
            ..
        } = self.site;
        let first =
            first_start::make_site(engine, fresh, sealer, COMPANY, Some(self.first_run)).await?;
        if matches!(first, FirstStart::ThereAlready) {
            bail!("another program made a site here at the same moment");
        }
        let start = node::Command::Start {
            epoch: self.node,
            name: "demo".to_owned(),
            url: None,
        };
        self.ask(Command::Node(start), Cause::program(Actor::System))
            .await?;

        let thursdays = self
            .policy(
                "Thursdays",
                "Partners come on Thursdays, 08:00 to 17:00.",
                thursdays(),
            )
            .await?;
        let office = self
            .policy(
                "Office Hours",
                "User systems, Monday to Friday.",
                office_hours(),
            )
            .await?;
        for group in Group::ALL {
            self.pause();
            let done = self
                .configure(Command::JumpGroup(jump_group::Command::Record(
                    record::Command::Create(object(json!({"name": group.name()}))),
                )))
                .await?;
            let id = made(&done, |event| match event {
                Event::JumpGroup(id, _) => Some(*id),
                _ => None,
            })?;
            self.groups.insert(group, id);
        }
        self.pause();
        let deploy = json!({
            "name": "Deploy and Start", "description": "May bring machines in, take them out and start sessions.",
            "perm_add": true, "perm_remove": true, "perm_start": true, "perm_edit_tag": true, "perm_edit_comments": true,
        });
        let done = self
            .configure(Command::JumpItemRole(record::Command::Create(object(
                deploy,
            ))))
            .await?;
        let deploy = made(&done, |event| match event {
            Event::JumpItemRole(id, _) => Some(*id),
            _ => None,
        })?;
        for (index, person) in PEOPLE.iter().enumerate() {
            self.person(index).await?;
            for group in person.post.groups() {
                self.pause();
                let membership = match person.post {
                    Post::Operations => Membership {
                        jump_item_role_id: Some(role::ADMINISTRATOR),
                        jump_policy_id: None,
                    },
                    Post::Directory => Membership {
                        jump_item_role_id: Some(deploy),
                        jump_policy_id: None,
                    },
                    Post::Contractor => Membership {
                        jump_item_role_id: Some(role::START_SESSIONS_ONLY),
                        jump_policy_id: Some(thursdays),
                    },
                    Post::Helpdesk | Post::Auditor => Membership {
                        jump_item_role_id: Some(role::START_SESSIONS_ONLY),
                        jump_policy_id: None,
                    },
                };
                let add = jump_group::Command::AddMember(
                    self.groups[group],
                    self.people[index].0,
                    membership,
                );
                self.configure(Command::JumpGroup(add)).await?;
            }
        }
        for group in Group::ALL {
            self.pause();
            let mut body = json!({
                "jump_group_id": self.groups[&group], "tag": "fleet", "valid_duration": ROLL_OUT_MINUTES,
                "comments": "Roll-out of the agent",
            });
            if group == Group::Users {
                body["jump_policy_id"] = json!(office);
            }
            let (installer, ..) = self.installer(body).await?;
            self.installers.insert(group, installer);
        }
        Ok(())
    }

    /// A policy is made without its schedule, given it, and then enabled: an enabled schedule without entries is refused.
    async fn policy(
        &mut self,
        name: &str,
        about: &str,
        schedule: Schedule,
    ) -> Result<JumpPolicyId> {
        self.pause();
        let body = json!({"display_name": name, "description": about, "schedule_enabled": false});
        let create = jump_policy::Command::Record(record::Command::Create(object(body)));
        let done = self.configure(Command::JumpPolicy(create)).await?;
        let id = made(&done, |event| match event {
            Event::JumpPolicy(id, _) => Some(*id),
            _ => None,
        })?;
        self.by_administrator(Command::JumpPolicy(jump_policy::Command::SetSchedule(
            id, schedule,
        )))
        .await?;
        let enable = record::Command::Change(id, object(json!({"schedule_enabled": true})));
        self.configure(Command::JumpPolicy(jump_policy::Command::Record(enable)))
            .await?;
        Ok(id)
    }

    async fn person(&mut self, index: usize) -> Result<()> {
        self.pause();
        let person = &PEOPLE[index];
        let password = first_start::new_password(&self.site.sealer, &self.site.fresh).await?;
        let body = json!({
            "username": person.username, "public_display_name": person.name,
            "email_address": format!("{}@brightwater.example", person.username), "password": password.reference,
        });
        let create = Command::User(user::Command::Record(record::Command::Create(object(body))));
        let side = first_start::put_away(vec![(password.reference, password.sealed)]);
        let done = self.execute(create, of_api(), Some(side)).await?;
        let id = made(&done, |event| match event {
            Event::User(id, _) => Some(*id),
            _ => None,
        })?;
        self.people
            .push((id, person.username.to_owned(), password.text));
        let permissions = match person.post {
            Post::Auditor => json!({"perm_view_support_reports": "all_sessions"}),
            Post::Operations => json!({
                "perm_access_allowed": "full_support", "perm_jump_client": true, "perm_edit_jump_groups": true,
                "perm_view_support_reports": "jump_group_sessions",
            }),
            _ => json!({
                "perm_access_allowed": "full_support", "perm_jump_client": true, "perm_view_support_reports": "user_sessions",
            }),
        };
        let permit =
            user::Command::Record(record::Command::ChangePermissions(id, object(permissions)));
        self.by_administrator(Command::User(permit)).await
    }

    /// An installer, its 32-digit id and its secret.
    async fn installer(
        &self,
        mut body: serde_json::Value,
    ) -> Result<(JumpClientInstallerId, String, SecretText)> {
        let secret = unguessable(&self.site.fresh.draw(), 32);
        let hash = self
            .site
            .sealer
            .keyed_hash(INSTALLER_SECRET, secret.expose().as_bytes());
        body["secret_hash"] = hex::encode(hash).into();
        let done = self
            .configure(Command::JumpClientInstaller(record::Command::Create(
                object(body),
            )))
            .await?;
        let (id, uid) = made(&done, |event| match event {
            Event::JumpClientInstaller(id, record::Event::Created(installer)) => {
                Some((*id, installer.installer_id.clone()))
            }
            _ => None,
        })?;
        Ok((id, uid, secret))
    }

    async fn real_agents(&self, url: &str, anchors: &AnchorList) -> Result<Vec<Agent>> {
        let mut agents = Vec::new();
        for (name, group) in REAL {
            let body = json!({
                "name": name, "jump_group_id": self.groups[&group], "tag": "real", "valid_duration": REAL_MINUTES,
                "comments": "Brings the agents of this machine",
            });
            let (_, installer_id, secret) = self.installer(body).await?;
            let key = KeyInfo {
                urls: vec![url.to_owned()],
                installer_id,
                secret: link_protocol::Secret::new(secret.expose()),
                anchors: anchors.clone(),
            };
            agents.push(Agent {
                name: name.to_owned(),
                key: key
                    .encode()
                    .context("making an installer key")?
                    .expose()
                    .to_owned(),
                state: format!("agents/{name}"),
            });
        }
        Ok(agents)
    }

    /// A sign-in of the first person that lasts, so that the first jump takes one call.
    async fn badge(&self) -> Result<SecretText> {
        let (user, ..) = self.people.first().context("there are people")?;
        let password = {
            let published = self.site.engine.published();
            let user = published
                .world
                .users
                .get(user)
                .context("the user is there")?;
            user.password.clone().context("the user has a password")?
        };
        let badge = BadgeText::draw(*user, &self.site.fresh.draw());
        let side = badge::hand_out(&badge, password, BADGE_LIFETIME, &self.site.sealer);
        self.sign_in(0, Some(side)).await?;
        Ok(SecretText::new(badge.expose()))
    }

    // --- machines ---

    async fn register(&mut self, index: usize) -> Result<()> {
        let machine = &self.machines[index];
        let facts = Facts {
            hostname: machine.name.clone(),
            fqdn: format!("{}.brightwater.example", machine.name),
            operating_system: machine.system.to_owned(),
            private_ip: Ipv4Addr::from(machine.address).to_string(),
            console_user: String::new(),
            install_mode: "service".to_owned(),
            machine_id: format!("{:032x}", index + 1),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            timezone_offset: 3_600,
            disabled: false,
        };
        let link = self.link();
        let fresh = self.site.fresh.draw();
        let register = Register {
            installer: self.installers[&machine.group],
            link,
            public_ip: self.public_ip(index),
            boot_id: boot_id(index, 0),
            facts: facts.clone(),
            token: KeyedHash(format!("{}{}", fresh.hex(0), fresh.hex(1))),
            attempt: KeyedHash(format!("{}{}", fresh.hex(2), fresh.hex(3))),
            name: None,
            tag: None,
            comments: None,
        };
        let command = Command::JumpClient(jump_client::Command::Register(Box::new(register)));
        let done = self
            .ask(command, of_link(Actor::NewJumpClient, machine))
            .await?;
        let id = made(&done, |event| match event {
            Event::JumpClient(id, _) => Some(*id),
            _ => None,
        })?;
        self.clients.insert(
            index,
            PlayedMachine {
                id,
                facts,
                link: Some(link),
                boot: 0,
            },
        );
        Ok(())
    }

    async fn connect(&mut self, index: usize, restarted: bool) -> Result<()> {
        let link = self.link();
        let public_ip = self.public_ip(index);
        let client = self.clients.get_mut(&index).context("it has registered")?;
        client.boot += u64::from(restarted);
        client.link = Some(link);
        let connect = jump_client::Command::Connect {
            client: client.id,
            link,
            public_ip,
            boot_id: boot_id(index, client.boot),
        };
        let actor = Actor::JumpClient(client.id);
        self.ask(
            Command::JumpClient(connect),
            of_link(actor, &self.machines[index]),
        )
        .await
        .map(drop)
    }

    async fn disconnect(&mut self, index: usize) -> Result<()> {
        let client = self.clients.get_mut(&index).context("it has registered")?;
        let link = client.link.take().context("it is connected")?;
        let disconnect = jump_client::Command::Disconnect {
            client: client.id,
            link,
            reason: "the machine shuts down".to_owned(),
        };
        let actor = Actor::JumpClient(client.id);
        self.ask(
            Command::JumpClient(disconnect),
            of_link(actor, &self.machines[index]),
        )
        .await
        .map(drop)
    }

    async fn check_in(&mut self, index: usize, change: impl FnOnce(&mut Facts)) -> Result<()> {
        let client = self.clients.get_mut(&index).context("it has registered")?;
        change(&mut client.facts);
        let check_in = jump_client::Command::CheckIn {
            client: client.id,
            facts: Box::new(client.facts.clone()),
        };
        let actor = Actor::JumpClient(client.id);
        self.ask(
            Command::JumpClient(check_in),
            of_link(actor, &self.machines[index]),
        )
        .await
        .map(drop)
    }

    /// The routine check-ins of the last minute, in one event as the hub would write it.
    async fn check_ins(&mut self) -> Result<()> {
        let now = self.clock.now().unix_seconds();
        let connected = self.clients.values().filter(|client| client.link.is_some());
        let check_ins: Vec<RoutineCheckIn> = (0..)
            .zip(connected)
            .map(|(number, client)| RoutineCheckIn {
                client: client.id,
                at: now - 59 + number % 60,
            })
            .collect();
        if check_ins.is_empty() {
            return Ok(());
        }
        let record = node::Command::RecordCheckIns {
            epoch: self.node,
            check_ins,
        };
        self.ask(Command::Node(record), Cause::program(Actor::System))
            .await
            .map(drop)
    }

    // --- people ---

    async fn sign_in(&self, person: usize, side: Option<Side>) -> Result<()> {
        let (user, ..) = self.people[person];
        let sign_in = Command::User(user::Command::SignIn {
            user,
            password_matches: true,
        });
        self.execute(sign_in, self.of_person(person), side)
            .await
            .map(drop)
            .map_err(Into::into)
    }

    fn start_command(&self, person: usize, machine: usize) -> Result<Command> {
        let client = self.clients.get(&machine).context("it has registered")?;
        let port = 40_000 + person * 97 + machine;
        Ok(Command::AccessSession(access_session::Command::Start(
            access_session::Start::new(
                self.people[person].0,
                JumpItemRef::JumpClient(client.id),
                format!("{}:{port}", address_of(person)),
                "Access console on Windows 11".to_owned(),
            ),
        )))
    }

    async fn start(&mut self, session: usize, person: usize, machine: usize) -> Result<()> {
        let command = self.start_command(person, machine)?;
        let done = self.ask(command, self.of_person(person)).await?;
        let lsid = made(&done, |event| match event {
            Event::AccessSession(lsid, _) => Some(*lsid),
            _ => None,
        })?;
        self.sessions
            .insert(session, (lsid, self.clients[&machine].id));
        Ok(())
    }

    async fn refused(&self, person: usize, machine: usize) -> Result<()> {
        let command = self.start_command(person, machine)?;
        match self.execute(command, self.of_person(person), None).await {
            Err(ExecuteError::Refused { .. }) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(_) => bail!("the policy should not have permitted this"),
        }
    }

    fn session(&self, session: usize) -> Result<(Lsid, JumpClientId)> {
        self.sessions
            .get(&session)
            .copied()
            .context("it has started")
    }

    fn of_person(&self, person: usize) -> Cause {
        Cause {
            actor: Actor::User(self.people[person].0),
            surface: Surface::ConsoleApi,
            address: Some(IpAddr::V4(address_of(person))),
        }
    }

    // --- asking ---

    async fn by_client(
        &self,
        client: JumpClientId,
        command: access_session::Command,
    ) -> Result<()> {
        let cause = Cause {
            actor: Actor::JumpClient(client),
            surface: Surface::Link,
            address: None,
        };
        self.ask(Command::AccessSession(command), cause)
            .await
            .map(drop)
    }

    async fn configure(&self, command: Command) -> Result<Done> {
        self.ask(command, of_api()).await
    }

    async fn by_administrator(&self, command: Command) -> Result<()> {
        let cause = Cause {
            actor: Actor::User(UserId(1)),
            surface: Surface::ConsoleApi,
            address: Some(OFFICE),
        };
        self.ask(command, cause).await.map(drop)
    }

    async fn ask(&self, command: Command, cause: Cause) -> Result<Done> {
        self.execute(command, cause, None).await.map_err(Into::into)
    }

    async fn execute(
        &self,
        command: Command,
        cause: Cause,
        side: Option<Side>,
    ) -> Result<Done, ExecuteError> {
        let mut submission = Submission::new(command, cause, Lane::People);
        submission.side = side;
        self.site.engine.execute(submission).await
    }

    /// Somebody types.
    fn pause(&self) {
        self.clock.advance(23 * SECOND);
    }

    fn link(&mut self) -> LinkId {
        self.connections += 1;
        LinkId {
            node: self.node,
            connection: self.connections,
        }
    }

    /// All machines are behind the office's one address.
    fn public_ip(&self, machine: usize) -> String {
        format!("{OFFICE}:{}", 50_000 + machine)
    }
}

const OFFICE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));

fn address_of(person: usize) -> Ipv4Addr {
    let [a, b, c] = PEOPLE[person].post.network();
    Ipv4Addr::new(a, b, c, u8::try_from(20 + person).unwrap_or(20))
}

fn of_api() -> Cause {
    Cause {
        actor: Actor::ApiAccount(domain::ids::ApiAccountId(1)),
        surface: Surface::ConfigurationApi,
        address: Some(OFFICE),
    }
}

fn of_link(actor: Actor, machine: &Machine) -> Cause {
    Cause {
        actor,
        surface: Surface::Link,
        address: Some(IpAddr::from(machine.address)),
    }
}

fn boot_id(machine: usize, boot: u64) -> String {
    format!("{machine:08x}{boot:024x}")
}

fn object(value: serde_json::Value) -> Object {
    match value {
        serde_json::Value::Object(object) => object,
        _ => Object::new(),
    }
}

/// What the first event of its kind made.
fn made<T>(done: &Done, find: impl Fn(&Event) -> Option<T>) -> Result<T> {
    done.events
        .iter()
        .find_map(find)
        .context("the command made nothing")
}

fn thursdays() -> Schedule {
    Schedule {
        timezone: ZONE.name().to_owned(),
        entries: vec![entry(3, 8 * 60, 17 * 60)],
        override_allowed: false,
    }
}

fn office_hours() -> Schedule {
    let entries = (0..5).map(|day| entry(day, 6 * 60 + 30, 19 * 60)).collect();
    Schedule {
        timezone: ZONE.name().to_owned(),
        entries,
        override_allowed: false,
    }
}

/// A stretch of one day, 0 = Monday, in minutes after midnight.
const fn entry(day: u8, start_minute: u16, end_minute: u16) -> ScheduleEntry {
    ScheduleEntry {
        start_day: day,
        start_minute,
        end_day: day,
        end_minute,
    }
}
