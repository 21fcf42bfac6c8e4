//! What happens to Jump Clients, shortcuts, Jumpoints and what items and sessions carry.

use super::{changed, deleted, hash};
use std::collections::BTreeMap;

use crate::fleet::installer::JumpClientInstaller;
use crate::fleet::jump_client::{
    self, CheckedIn, ConnectionTypeSet, Copied, Disconnected, Expired, Facts, FactsChange, Lost,
    Properties, Quarantined, Registered, Reinstalled, Token, TrustConfirmed, Uninstalled,
};
use crate::ids::{
    CustomFieldId, CustomSessionAttributeId, JumpClientInstallerId, JumpItemRef, JumpointId,
    LinkId, SessionPolicyId, ShellJumpId,
};
use crate::items::custom_field::{CustomField, ValuesSet};
use crate::items::jumpoint::{self, AddressRange, Jumpoint, JumpointUser};
use crate::items::shell::ShellJump;
use crate::policy::session_policy::SessionPolicy;
use crate::record::{self};
use crate::site::custom_session_attribute::CustomSessionAttribute;
use crate::testing::{ALWAYS, ANNA, INSTALLER, MONDAY, NODE, PC1, PC2, connected};
use crate::{Event, time};

pub(super) fn of_the_fleet() -> Vec<Event> {
    let made = JumpClientInstaller {
        name: "web".to_owned(),
        jump_group_id: 1,
        jump_policy_id: Some(ALWAYS),
        tag: "linux".to_owned(),
        session_policy_id: Some(2),
        comments: "rack 4".to_owned(),
        jumpoint_proxy: Some(String::new()),
        installer_id: "00112233445566778899aabbccddeeff".to_owned(),
        expiration_timestamp: MONDAY.plus(time::DAY),
        secret_hash: Some(hash('1')),
        start_customer_client_minimized: true,
        created_by_user_id: Some(ANNA),
        site_builds: 3,
        ..JumpClientInstaller::default()
    };
    let facts = Facts {
        hostname: "web01".to_owned(),
        fqdn: "web01.example.com".to_owned(),
        operating_system: "Debian 12".to_owned(),
        private_ip: "10.0.0.1".to_owned(),
        console_user: "root".to_owned(),
        install_mode: "service".to_owned(),
        machine_id: "m-1".to_owned(),
        agent_version: "0.1.0".to_owned(),
        timezone_offset: 3600,
        disabled: true,
        listen_port: 0,
    };
    let registered = Registered {
        installer: INSTALLER,
        properties: Properties {
            name: "web01".to_owned(),
            jump_group_id: 1,
            tag: "linux".to_owned(),
            comments: "rack 4".to_owned(),
            jump_policy_id: Some(ALWAYS),
            session_policy_id: Some(2),
            ..Properties::default()
        },
        connection_type: "active".to_owned(),
        facts: facts.clone(),
        token: hash('2'),
        attempt: hash('3'),
        duplicate_of: vec![PC2],
    };
    let reinstalled = Reinstalled {
        installer: INSTALLER,
        connection_type: "passive".to_owned(),
        facts: facts.clone(),
        token: hash('6'),
        attempt: hash('7'),
    };
    let registered_properties = registered.properties.clone();
    let link = LinkId {
        node: NODE,
        connection: 7,
    };
    let of_installer = |event| Event::JumpClientInstaller(JumpClientInstallerId(1), event);
    let of_client = |event| Event::JumpClient(PC1, event);
    vec![
        of_installer(record::Event::Created(made)),
        of_installer(changed("tag", "linux".into(), "".into())),
        of_installer(deleted("web")),
        of_client(jump_client::Event::Registered(registered)),
        of_client(jump_client::Event::Reinstalled(reinstalled)),
        connected(PC1, 7),
        of_client(jump_client::Event::Disconnected(Disconnected {
            link,
            reason: "closed".to_owned(),
        })),
        of_client(jump_client::Event::CheckedIn(CheckedIn {
            changed: FactsChange::between(&Facts::default(), &facts),
        })),
        of_client(jump_client::Event::Lost(Lost {
            offline_since: MONDAY,
        })),
        of_client(jump_client::Event::Expired(Expired {
            offline_since: MONDAY,
            offline_minutes: 5,
        })),
        of_client(jump_client::Event::Uninstalled(Uninstalled { link })),
        of_client(jump_client::Event::ConnectionTypeSet(ConnectionTypeSet {
            from: "active".to_owned(),
            to: "passive".to_owned(),
        })),
        of_client(jump_client::Event::TokenOffered(Token { token: hash('4') })),
        of_client(jump_client::Event::TokenConfirmed(Token {
            token: hash('4'),
        })),
        of_client(jump_client::Event::TrustConfirmed(TrustConfirmed {
            anchors: Some(3),
            addresses: None,
        })),
        of_client(jump_client::Event::Quarantined(Quarantined {
            evidence: "two boot ids".to_owned(),
        })),
        Event::JumpClient(
            PC2,
            jump_client::Event::Copied(Copied {
                endpoint: PC1,
                properties: registered_properties,
            }),
        ),
        of_client(jump_client::Event::Record(changed(
            "jump_policy_id",
            2.into(),
            serde_json::Value::Null,
        ))),
        of_client(jump_client::Event::Record(deleted("web01"))),
    ]
}

pub(super) fn of_items() -> Vec<Event> {
    let made = ShellJump {
        name: "core router".to_owned(),
        jumpoint_id: JumpointId(1),
        hostname: "router.example.com".to_owned(),
        protocol: "ssh".to_owned(),
        port: 22,
        jump_group_id: 1,
        terminal: "VT100".to_owned(),
        keep_alive: 30,
        tag: "routers".to_owned(),
        comments: "rack 4".to_owned(),
        jump_policy_id: Some(ALWAYS),
        username: "admin".to_owned(),
        session_policy_id: Some(2),
        ..ShellJump::default()
    };
    let through = Jumpoint {
        name: "Data center".to_owned(),
        platform: "linux-x86".to_owned(),
        code_name: "data_center".to_owned(),
        comments: "east".to_owned(),
        clustered: true,
        shell_jump_enabled: true,
        external_jump_item_network_id: Some("net-1".to_owned()),
        managed_ip_ranges: vec![AddressRange {
            start: "10.0.0.1".to_owned(),
            end: "10.0.0.9".to_owned(),
        }],
        jzp_client_address_restrictions_type: "allow_all".to_owned(),
        jzp_restricted_ips: vec!["10.0.0.0/8".to_owned()],
        ..Jumpoint::default()
    };
    let of_jumpoint = |event| Event::Jumpoint(JumpointId(1), event);
    let (policy, field) = (SessionPolicyId(2), CustomFieldId(1));
    let attribute = CustomSessionAttributeId(1);
    let session_policy = SessionPolicy {
        display_name: "Strict".to_owned(),
        code_name: "strict".to_owned(),
        description: "for strangers".to_owned(),
    };
    let custom_field = CustomField {
        display_name: "Rack".to_owned(),
        code_name: "rack".to_owned(),
    };
    let session_attribute = CustomSessionAttribute {
        display_name: "Change".to_owned(),
        code_name: "change".to_owned(),
        description: "the change it is for".to_owned(),
    };
    let of_shell = |event| Event::ShellJump(ShellJumpId(1), event);
    vec![
        of_shell(record::Event::Created(made)),
        of_shell(changed("port", 22.into(), 2222.into())),
        of_shell(deleted("core router")),
        of_jumpoint(jumpoint::Event::Record(record::Event::Created(through))),
        of_jumpoint(jumpoint::Event::Record(changed(
            "enabled",
            true.into(),
            false.into(),
        ))),
        of_jumpoint(jumpoint::Event::Record(deleted("Data center"))),
        of_jumpoint(jumpoint::Event::UserAdded(JumpointUser { user_id: ANNA })),
        of_jumpoint(jumpoint::Event::UserRemoved(JumpointUser { user_id: ANNA })),
        Event::SessionPolicy(policy, record::Event::Created(session_policy)),
        Event::SessionPolicy(policy, changed("description", "".into(), "x".into())),
        Event::SessionPolicy(policy, deleted("Strict")),
        Event::CustomField(field, record::Event::Created(custom_field)),
        Event::CustomField(field, changed("display_name", "Rack".into(), "Row".into())),
        Event::CustomField(field, deleted("Rack")),
        Event::ItemCustomFields(
            JumpItemRef::JumpClient(PC1),
            ValuesSet {
                values: BTreeMap::from([(field, "4".to_owned())]),
            },
        ),
        Event::CustomSessionAttribute(attribute, record::Event::Created(session_attribute)),
        Event::CustomSessionAttribute(attribute, changed("description", "".into(), "x".into())),
        Event::CustomSessionAttribute(attribute, deleted("Change")),
    ]
}
