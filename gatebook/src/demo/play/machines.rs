//! What agents say: they register, connect, check in and go.

use std::net::Ipv4Addr;

use anyhow::{Context, Result};
use domain::fleet::jump_client::{self, Facts, Overrides, Register};
use domain::ids::KeyedHash;
use domain::node::{self, RoutineCheckIn};
use domain::{Actor, Cause, Command, Event};
use engine::Clock;

use super::{PlayedMachine, Player, boot_id, made, of_link};
use crate::demo::cast::Machine;

impl Player<'_> {
    pub(super) async fn register(&mut self, index: usize) -> Result<()> {
        let machine = &self.machines[index];
        let facts = facts_of(index, machine);
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
            overrides: Overrides::default(),
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

    pub(super) async fn connect(&mut self, index: usize, restarted: bool) -> Result<()> {
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

    pub(super) async fn disconnect(&mut self, index: usize) -> Result<()> {
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

    pub(super) async fn check_in(
        &mut self,
        index: usize,
        change: impl FnOnce(&mut Facts),
    ) -> Result<()> {
        let client = self.clients.get_mut(&index).context("it has registered")?;
        change(&mut client.facts);
        let check_in = jump_client::Command::CheckIn {
            client: client.id,
            link: client.link.context("it is connected")?,
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
    pub(super) async fn check_ins(&mut self) -> Result<()> {
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
}

/// What the agent of a machine says of it at first; `number` tells machines apart.
pub(super) fn facts_of(number: usize, machine: &Machine) -> Facts {
    Facts {
        hostname: machine.name.clone(),
        fqdn: format!("{}.brightwater.example", machine.name),
        operating_system: machine.system.to_owned(),
        private_ip: Ipv4Addr::from(machine.address).to_string(),
        console_user: String::new(),
        install_mode: "service".to_owned(),
        machine_id: format!("{:032x}", number + 1),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        timezone_offset: 3_600,
        disabled: false,
        listen_port: 0,
    }
}
