//! Plays the story through the engine: each step becomes the command that a person or an agent would send at that time.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use anyhow::{Context, Result};
use domain::fleet::jump_client::Facts;
use domain::ids::{
    AccessRequestId, JumpClientId, JumpClientInstallerId, JumpGroupId, JumpPolicyId, LinkId, Lsid,
    NodeEpoch, UserId,
};
use domain::node::{self, StopReason};
use domain::record::Object;
use domain::session::access_session;
use domain::time::SECOND;
use domain::{Actor, Cause, Command, Event, Surface, Timestamp};
use engine::{Done, ExecuteError, Lane, Side, Submission};
use secrets::SecretText;

use super::Played;
use super::cast::{Group, Machine, PEOPLE, Rules};
use super::story::{Step, Timed};
use crate::opening::OpenSite;
use crate::tls::SiteAuthority;
use crate::trust;
use crate::virtual_clock::VirtualClock;

mod first;
mod machines;
mod people;
mod setting;

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
    requests: BTreeMap<usize, AccessRequestId>,
    people: Vec<(UserId, String, SecretText)>,
    groups: BTreeMap<Group, JumpGroupId>,
    policies: BTreeMap<Rules, JumpPolicyId>,
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
            requests: BTreeMap::new(),
            people: Vec::new(),
            groups: BTreeMap::new(),
            policies: BTreeMap::new(),
            installers: BTreeMap::new(),
        }
    }

    /// Plays all steps and what ends the past.
    pub(super) async fn play(
        mut self,
        steps: Vec<Timed>,
        end: Timestamp,
        url: &str,
        authority: &SiteAuthority,
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
        self.let_mails_rest(epoch).await?;
        let source = trust::Source::own_authority();
        trust::begin(&self.site.engine, &source, authority, Some(url), false).await?;
        let anchors = connector::anchors_of(&self.site.engine.published().world);
        let (agents, [asked_for, item]) = self.real_agents(url, &anchors).await?;
        self.installers_of_today().await?;
        let badge = self.badge(0).await?;
        let pending = self.pending_request(asked_for, url).await?;
        let stop = node::Command::Stop {
            epoch: self.node,
            reason: StopReason::Asked,
        };
        self.ask(Command::Node(stop), Cause::program(Actor::System))
            .await?;
        self.site.store.remove_node(epoch).await?;
        Ok(Played {
            agents,
            people: self
                .people
                .into_iter()
                .map(|(_, name, password)| (name, password))
                .collect(),
            badge,
            item,
            pending,
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
            Step::Request {
                request,
                person,
                machine,
                start,
                minutes,
                reason,
            } => {
                let client = self.clients.get(machine).context("it has registered")?.id;
                let id = self
                    .submit(*person, client, *start, *minutes, reason)
                    .await?;
                self.requests.insert(*request, id);
                Ok(())
            }
            Step::Approve {
                request,
                by,
                comment,
            } => self.approve(*request, *by, comment).await,
            Step::Deny {
                request,
                by,
                comment,
            } => self.deny(*request, *by, comment).await,
            Step::Cancel { request, person } => self.cancel(*request, *person).await,
            Step::RequestOver { request } => self.request_over(*request).await,
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
