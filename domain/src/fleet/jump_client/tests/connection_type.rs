//! The connection type is a property that is changed from the Jump interface (CLNT-48), where the site may have it (CLNT-61).

use super::*;
use crate::fleet::jump_client::{ConnectionTypeSet, Copied};
use crate::ids::SiteSettingsId;
use crate::site::settings::SiteSettings;
use crate::testing::{create, object};

const PC3: JumpClientId = JumpClientId(3);

fn edit(client: JumpClientId, connection_type: &str) -> Command {
    Command::Edit(client, object(json!({"connection_type": connection_type})))
}

/// PC1 is active and PC2 a copy of it; ANNA may change behaviour and nothing else.
fn site() -> Given {
    let copied = Copied {
        endpoint: PC1,
        properties: Properties {
            name: "second".to_owned(),
            jump_group_id: WEB_SERVERS.0,
            ..Properties::default()
        },
    };
    given([
        person(ANNA),
        group(WEB_SERVERS, "Web Servers"),
        role(EDITOR, |role| role.perm_edit_behavior = true),
        member(WEB_SERVERS, ANNA, EDITOR),
        registered(PC1, SHARED, |_| {}),
        Happened::JumpClient(PC2, Event::Copied(copied)),
    ])
}

fn with(site: Given, settings: serde_json::Value) -> Given {
    site.when(ADMIN, change::<SiteSettings>(SiteSettingsId(1), settings))
        .then_something()
}

fn types(site: &Given) -> Vec<&str> {
    let clients = site.world().jump_clients.iter();
    clients
        .map(|(_, client)| client.connection_type.as_str())
        .collect()
}

/// CLNT-48, ROLE-25: with the permission for behaviour, for all items of the endpoint, and beside other properties.
#[test]
fn clnt_48_the_connection_type_is_changed_for_the_whole_endpoint() {
    let asked = site().when(ANNA, edit(PC2, "passive"));
    let set = ConnectionTypeSet {
        from: "active".to_owned(),
        to: "passive".to_owned(),
    };
    assert_eq!(
        asked.events(),
        [Happened::JumpClient(PC1, Event::ConnectionTypeSet(set))]
    );
    let passive = asked.then_something();
    assert_eq!(types(&passive), ["passive", "passive"]);
    let same = passive.clone().when(ANNA, edit(PC1, "passive"));
    assert_eq!(same.events(), []);
    let back = passive.when(ANNA, edit(PC1, "active")).then_something();
    assert_eq!(types(&back), ["active", "active"]);

    let both = object(json!({"connection_type": "passive", "endpoint_agreement_policy": "accept"}));
    let changed = site().when(ANNA, Command::Edit(PC1, both)).then_something();
    assert_eq!(types(&changed), ["passive", "passive"]);
    let client = changed.world().jump_clients.get(&PC1).expect("it is there");
    assert_eq!(client.properties.endpoint_agreement_policy, "accept");
}

/// CLNT-48, ROLE-25: nothing of a change that is refused in part happens.
#[test]
fn clnt_48_what_may_not_be_is_refused() {
    site()
        .when(ANNA, edit(PC1, "uninstalled"))
        .then_invalid(&["connection_type"]);
    let renamed = object(json!({"connection_type": "passive", "name": "mine"}));
    site()
        .when(ANNA, Command::Edit(PC1, renamed))
        .then_refused(Refusal::RoleLacks {
            permission: JumpItemPermission::EditConnectivity,
        });
    let other = given([
        person(ANNA),
        group(WEB_SERVERS, "Web Servers"),
        role(EDITOR, |role| role.perm_edit_tag = true),
        member(WEB_SERVERS, ANNA, EDITOR),
        registered(PC1, SHARED, |_| {}),
    ]);
    other
        .when(ANNA, edit(PC1, "passive"))
        .then_refused(Refusal::RoleLacks {
            permission: JumpItemPermission::EditBehavior,
        });
    // The Configuration API shows it and does not change it.
    let asked = site().when(
        API,
        change::<Properties>(PC1, json!({"connection_type": "passive"})),
    );
    assert_eq!(asked.events(), []);
}

/// CLNT-48, LIM-05: who becomes active takes a place among the active ones.
#[test]
fn clnt_48_a_client_becomes_active_only_where_there_is_room() {
    let site = site()
        .when(ADMIN, edit(PC1, "passive"))
        .then_something()
        .and([registered(PC3, SHARED, |_| {})]);
    with(
        site.clone(),
        json!({"active_jump_clients_max": 1, "jump_clients_max": 2}),
    )
    .when(ADMIN, edit(PC1, "active"))
    .then_refused(Refusal::ActiveJumpClientsFull);
    // It takes no second place among all of them.
    let site = with(
        site,
        json!({"active_jump_clients_max": 2, "jump_clients_max": 2}),
    );
    site.when(ADMIN, edit(PC1, "active")).then_something();
}

/// CLNT-61: no client, no installer and no change makes one passive on a cloud site, and one with passive clients becomes none.
#[test]
fn clnt_61_passive_is_refused_on_cloud_sites() {
    let new = |connection_type: &str| {
        create::<JumpClientInstaller>(json!({
            "jump_group_id": WEB_SERVERS.0, "secret_hash": "5".repeat(64),
            "connection_type": connection_type,
        }))
    };
    let before = site().and([installer(INSTALLER, SHARED, |installer| {
        installer.connection_type = "passive".to_owned();
    })]);
    let cloud = with(before.clone(), json!({"appliance_model": "cloud"}));
    cloud
        .clone()
        .when(API, new("passive"))
        .then_invalid(&["connection_type"]);
    cloud.clone().when(API, new("active")).then_something();
    cloud
        .clone()
        .when(ADMIN, edit(PC1, "passive"))
        .then_invalid(&["connection_type"]);
    cloud
        .clone()
        .when(Actor::NewJumpClient, register(INSTALLER, 7))
        .then_invalid(&["connection_type"]);
    // Another setting of a cloud site is changed as ever.
    with(cloud, json!({"check_in_seconds": 60}));

    let passive = before.when(ADMIN, edit(PC1, "passive")).then_something();
    let to_cloud = change::<SiteSettings>(SiteSettingsId(1), json!({"appliance_model": "cloud"}));
    passive
        .clone()
        .when(ADMIN, to_cloud)
        .then_invalid(&["appliance_model"]);
    let active = passive.when(ADMIN, edit(PC1, "active")).then_something();
    with(active, json!({"appliance_model": "cloud"}));
}
