//! Commands about installers and machines at random: few machines, so that they meet, and settings that let them.

use proptest::prelude::*;
use serde_json::json;

use crate::fleet::installer::{self, JumpClientInstaller, MailLink};
use crate::fleet::jump_client;
use crate::ids::{
    JumpClientId, JumpClientInstallerId, JumpGroupRef, LinkId, SiteSettingsId, UserId,
};
use crate::site::settings::SiteSettings;
use crate::site::upgrade;
use crate::testing::{Asks, INSTALLER, NODE, WEB_SERVERS, change, create, register};
use crate::{Actor, Cause, Command};

/// Somebody does something to the fleet.
pub(super) fn any_fleet_command() -> impl Strategy<Value = (Cause, Command)> {
    let numbers = || 1..4_u32;
    let machine =
        (numbers(), numbers(), any::<bool>()).prop_map(|(machine, connection, passes)| {
            let mut registering = register(INSTALLER, u64::from(connection));
            registering.facts.machine_id = format!("m-{machine}");
            registering.attempt.0 = format!("attempt-{machine}-{connection}-{passes}");
            registering.overrides.tag = passes.then(|| "tag".to_owned());
            (Actor::NewJumpClient.cause(), registering.into())
        });
    // The first client stays: others need it for their sessions.
    let gone = (2..5_u32, numbers(), any::<bool>()).prop_map(|(client, connection, uninstalls)| {
        let client = JumpClientId(client);
        let link = LinkId {
            node: NODE,
            connection: u64::from(connection),
        };
        let command = if uninstalls {
            jump_client::Command::Uninstall { client, link }
        } else {
            jump_client::Command::Disconnect {
                client,
                link,
                reason: String::new(),
            }
        };
        (Actor::JumpClient(client).cause(), command.into())
    });
    let due = (numbers(), any::<bool>()).prop_map(|(client, lost)| {
        let client = JumpClientId(client);
        let command = if lost {
            jump_client::Command::MarkLost(client)
        } else {
            jump_client::Command::Expire(client)
        };
        (Actor::System.cause(), command.into())
    });
    let settings = (0..4_usize, 0..4_u32, 0..4_u32).prop_map(|(setting, total, licenses)| {
        let duplicates = ["allow", "refuse", "merge", "merge"][setting];
        let body = json!({
            "duplicate_machines": duplicates,
            "jump_clients_max": total * 4,
            "licenses": if licenses == 1 { 3 } else { 0 },
        });
        let command = change::<SiteSettings>(SiteSettingsId(1), body);
        (Actor::System.cause(), command)
    });
    let upgrade = numbers().prop_map(|build| {
        let command = Command::Upgrade(upgrade::Command {
            build: format!("build {build}"),
            version: "1".to_owned(),
        });
        (Actor::Operator.cause(), command)
    });
    let new = (numbers(), any::<bool>()).prop_map(|(user, personal)| {
        let group = if personal {
            JumpGroupRef::Personal(UserId(user))
        } else {
            JumpGroupRef::Shared(WEB_SERVERS)
        };
        let body = json!({
            "jump_group_id": group.number(), "jump_group_type": group.type_name(),
            "secret_hash": "5".repeat(64),
        });
        (
            Actor::User(UserId(user)).cause(),
            create::<JumpClientInstaller>(body),
        )
    });
    let handled = (numbers(), numbers(), any::<bool>()).prop_map(|(id, user, mails)| {
        let installer = JumpClientInstallerId(id);
        let command = if mails {
            installer::Command::Mail(MailLink {
                installer,
                platform: "linux-64".to_owned(),
                platform_title: "Linux".to_owned(),
                recipients: vec!["a@example.com".to_owned()],
                language: "en-us".to_owned(),
            })
        } else {
            installer::Command::Extend {
                installer,
                valid_minutes: 10_000 * i64::from(user),
            }
        };
        (
            Actor::User(UserId(user)).cause(),
            Command::Installer(command),
        )
    });
    prop_oneof![
        6 => machine,
        4 => gone,
        2 => due,
        2 => settings,
        1 => upgrade,
        2 => new,
        2 => handled,
    ]
}
