//! What a newcomer begins with: machines whose agents are run for real, the badge of the first jump, and a request that waits
//! for an answer.

use anyhow::{Context, Result, ensure};
use api::console::badge::{self, BadgeText, Grant};
use connector::{approver_link, mail};
use domain::fleet::jump_client::{self, Overrides, Register};
use domain::ids::{JumpClientId, KeyedHash};
use domain::time::{DAY, MINUTE};
use domain::{Actor, Command, Event};
use engine::Clock;
use eventstore::{Fence, NodeEpoch};
use link_protocol::{AnchorList, KeyInfo};
use secrets::SecretText;
use serde_json::json;

use super::machines::facts_of;
use super::{Player, boot_id, made, of_link};
use crate::demo::cast::{APPROVED_MINUTES_MAX, Group, MANAGER, Machine, PEOPLE, Person, Post};
use crate::demo::{Agent, Attempt, Pending};

/// Validity of the installers of the agents that are run for real: a year. Unit: minutes.
const REAL_MINUTES: i64 = 525_600;

/// How long the badges of the first jumps are good: as long as those installers.
const BADGE_LIFETIME: i64 = 365 * DAY;

/// Why access is asked for at the end.
const REASON: &str = "Roll out release 4.3 of the customer portal";

/// The machines whose agents are to be run for real. Access is asked for to the first one, and the first jump goes to the
/// other, so that neither is in the other's way.
fn real() -> [Machine; 2] {
    [
        Machine {
            name: "web-07".to_owned(),
            group: Group::Web,
            system: "Debian GNU/Linux 12 (6.1.0-26-amd64)",
            desk_of: "",
            address: [10, 20, 1, 17],
        },
        Machine {
            name: "dc-05".to_owned(),
            group: Group::Directory,
            system: "Debian GNU/Linux 12 (6.1.0-26-amd64)",
            desk_of: "",
            address: [10, 20, 2, 15],
        },
    ]
}

impl Player<'_> {
    /// What the past would have mailed is old: it is neither sent nor counted as trouble when the site is served.
    pub(super) async fn let_mails_rest(&self, node: NodeEpoch) -> Result<()> {
        let store = &self.site.store;
        let name = mail::MAIL;
        let fence = store.take_lease(name, node, Fence(0)).await?;
        let fence = fence.context("the log is new, and nobody else has sent mails from it")?;
        let head = store.head().await?.position;
        let is_moved = store.move_cursor(name, fence, head).await?;
        let is_released = store.release_lease(name, fence).await?;
        ensure!(is_moved && is_released, "another program sends mails here");
        Ok(())
    }

    /// What the list of installers shows: one each as a wizard makes them for servers, for desks, and for machines that come
    /// and go. Those of the roll-out are over by now.
    pub(super) async fn installers_of_today(&self) -> Result<()> {
        let group = |group| self.groups[&group];
        for body in [
            json!({
                "name": "", "jump_group_id": group(Group::Web), "tag": "linux",
                "comments": "New web servers, headless", "valid_duration": 30 * 1_440,
                "elevate_install": false, "elevate_prompt": false,
                "allow_override_name": true, "allow_override_jump_group": true,
                "allow_override_tag": true, "allow_override_comments": true,
            }),
            json!({
                "name": "", "jump_group_id": group(Group::Users), "tag": "desk",
                "comments": "Laptops of new colleagues", "valid_duration": 7 * 1_440,
                "start_customer_client_minimized": true,
            }),
            json!({
                "name": "", "jump_group_id": group(Group::Web), "tag": "autoscaled",
                "comments": "Machines that come and go", "valid_duration": 365 * 1_440,
                "max_offline_minutes": 5, "allow_override_max_offline_minutes": true,
            }),
        ] {
            self.pause();
            self.installer(body).await?;
        }
        Ok(())
    }

    /// Their agents have registered, and their welcome got lost: they come with the same number again, and are who they were.
    /// So their items are there before the agents run. Returns them with their items.
    pub(super) async fn real_agents(
        &mut self,
        url: &str,
        anchors: &AnchorList,
    ) -> Result<(Vec<Agent>, [JumpClientId; 2])> {
        let mut agents = Vec::new();
        let mut clients = [JumpClientId::default(); 2];
        let numbers = self.machines.len()..;
        for ((number, machine), client) in numbers.zip(real()).zip(&mut clients) {
            let name = machine.name.as_str();
            let body = json!({
                "name": name, "jump_group_id": self.groups[&machine.group], "tag": "real",
                "valid_duration": REAL_MINUTES, "comments": "Brings the agents of this machine",
            });
            let (installer, installer_id, secret) = self.installer(body).await?;
            let key = KeyInfo {
                urls: vec![url.to_owned()],
                installer_id: installer_id.clone(),
                secret: link_protocol::Secret::new(secret.expose()),
                anchors: anchors.clone(),
            };
            let fresh = self.site.fresh.draw();
            let nonce = fresh.hex(0);
            let register = Register {
                installer,
                link: self.link(),
                public_ip: self.public_ip(number),
                boot_id: boot_id(number, 0),
                facts: facts_of(number, &machine),
                // Given to nobody.
                token: KeyedHash(format!("{}{}", fresh.hex(1), fresh.hex(2))),
                attempt: connector::attempt_hash(&self.site.sealer, &nonce),
                overrides: Overrides::default(),
            };
            let register = jump_client::Command::Register(Box::new(register));
            let cause = of_link(Actor::NewJumpClient, &machine);
            let done = self.ask(Command::JumpClient(register), cause).await?;
            *client = made(&done, |event| match event {
                Event::JumpClient(id, _) => Some(*id),
                _ => None,
            })?;
            agents.push(Agent {
                name: name.to_owned(),
                key: key
                    .encode()
                    .context("making an installer key")?
                    .expose()
                    .to_owned(),
                state: format!("agents/{name}"),
                identity: Attempt {
                    url: url.to_owned(),
                    anchors: anchors.clone(),
                    installer_id,
                    nonce,
                },
            });
        }
        Ok((agents, clients))
    }

    /// A sign-in that lasts, so that a jump takes one call.
    pub(super) async fn badge(&self, person: usize) -> Result<SecretText> {
        let (user, ..) = self.people.get(person).context("there are people")?;
        let (password, generation) = {
            let published = self.site.engine.published();
            let generation = published.world.sign_in_generation(*user);
            let user = published
                .world
                .users
                .get(user)
                .context("the user is there")?;
            let password = user.password.clone().context("the user has a password")?;
            (password, generation)
        };
        let badge = BadgeText::draw(*user, &self.site.sealer, &self.site.fresh.draw());
        let grant = Grant {
            password,
            new_password: None,
            generation,
            lifetime: BADGE_LIFETIME,
        };
        let side = badge::hand_out(&badge, grant, &self.site.sealer);
        self.sign_in(person, Some(side)).await?;
        Ok(SecretText::new(badge.expose()))
    }

    /// A contractor asks for a machine, from now on and as long as can be.
    pub(super) async fn pending_request(&self, client: JumpClientId, url: &str) -> Result<Pending> {
        let is_contractor = |person: &Person| person.post == Post::Contractor;
        let person = PEOPLE.iter().position(is_contractor);
        let person = person.context("there are contractors")?;
        let badge = self.badge(person).await?;
        let now = self.clock.now();
        let minutes = APPROVED_MINUTES_MAX;
        let request = self.submit(person, client, now, minutes, REASON).await?;
        let place = self.place_of_manager(request)?;
        Ok(Pending {
            who: PEOPLE[person].name,
            link: approver_link::link(&self.site.sealer, url, request, place, MANAGER),
            until: now.plus(i64::from(minutes) * MINUTE),
            badge,
            item: client,
        })
    }
}
