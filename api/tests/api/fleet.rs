//! Installers and Jump Clients.

use connector::INSTALLER_SECRET;
use domain::fleet::jump_client::{self, Facts, Overrides, Register};
use domain::ids::{JumpClientInstallerId, KeyedHash, LinkId, NodeEpoch};
use domain::time::{DAY, MINUTE};
use domain::{Actor, Cause, Command, Surface, node};
use engine::{Lane, Submission};
use link_protocol::KeyInfo;
use serde_json::{Value, json};

use crate::served::Served;

/// A site with a shared group, an installer for it and one for the administrator's own list.
async fn with_installers() -> Served {
    let served = Served::start().await;
    served.post("jump-group", json!({"name": "Fleet"})).await;
    for body in [
        json!({"jump_group_id": 1, "tag": "blue", "comments": "from the installer"}),
        json!({"jump_group_id": 1, "jump_group_type": "personal", "name": "mine"}),
    ] {
        let (status, made) = served.post("jump-client/installer", body).await;
        assert_eq!(status, 201, "{made}");
    }
    let start = node::Command::Start {
        epoch: NodeEpoch(1),
        name: "n".to_owned(),
        url: None,
    };
    served.submit(Command::Node(start), None).await.unwrap();
    served
}

async fn register(served: &Served, installer: u32, hostname: &str, connection: u64) {
    let register = Register {
        installer: JumpClientInstallerId(installer),
        attempt: KeyedHash(format!("{connection:064x}")),
        link: LinkId {
            node: NodeEpoch(1),
            connection,
        },
        public_ip: format!("192.0.2.{connection}:4000"),
        boot_id: "b".to_owned(),
        facts: Facts {
            hostname: hostname.to_owned(),
            fqdn: format!("{hostname}.example.com"),
            private_ip: "10.0.0.5".to_owned(),
            console_user: "Ruth".to_owned(),
            install_mode: "service".to_owned(),
            operating_system: "Debian 12".to_owned(),
            agent_version: "0.0.9".to_owned(),
            ..Facts::default()
        },
        token: KeyedHash("0".repeat(64)),
        overrides: Overrides::default(),
    };
    let cause = Cause {
        actor: Actor::NewJumpClient,
        surface: Surface::Link,
        address: None,
    };
    let command = Command::JumpClient(jump_client::Command::Register(Box::new(register)));
    served
        .site
        .engine
        .execute(Submission::new(command, cause, Lane::Integrations))
        .await
        .unwrap();
}

/// INST-01, INST-03, INST-04; facts 7 of config-api.md, section 0
#[tokio::test]
async fn an_installer_shows_its_key_once() {
    let served = Served::start().await;
    served.post("jump-group", json!({"name": "Fleet"})).await;
    // What the vendor's provider sends on every write.
    let body = json!({
        "jump_group_id": 1, "jump_group_type": "shared", "name": "", "valid_duration": 60, "max_offline_minutes": 0,
        "elevate_install": true, "elevate_prompt": false, "allow_override_jump_group": false,
        "allow_override_max_offline_minutes": false, "installer_id": null, "key_info": null,
        "expiration_timestamp": null,
    });
    let (status, made) = served.post("jump-client/installer", body).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(made["expiration_timestamp"], "2026-01-05T10:00:00+00:00");
    assert!(made.get("valid_duration").is_none(), "it is not echoed");
    assert!(made.get("secret_hash").is_none());
    let keys: Vec<KeyInfo> = ["winNT-64-msi", "linux64-x86", "mac-osx-x86"]
        .iter()
        .map(|platform| {
            KeyInfo::decode(made["key_info"][platform]["encodedInfo"].as_str().unwrap()).unwrap()
        })
        .collect();
    assert_eq!(keys[0].installer_id, made["installer_id"].as_str().unwrap());
    assert_eq!(keys[0].installer_id.len(), 32);
    assert_eq!(keys[0].urls, ["https://access.example.com"]);
    let hash = served
        .site
        .sealer
        .keyed_hash(INSTALLER_SECRET, keys[0].secret.expose().as_bytes());
    let world = served.site.engine.published().world.clone();
    let kept = world
        .installers
        .get(&JumpClientInstallerId(1))
        .unwrap()
        .secret_hash
        .clone();
    assert_eq!(kept, Some(KeyedHash(hex::encode(hash))));
    let (_, read) = served.get("jump-client/installer/1").await;
    assert!(read["key_info"]["linux64-x86"].is_object());
    assert!(!read.to_string().contains("encodedInfo"));
    let (_, list) = served
        .get("jump-client/installer?jump_group_id=1&connection_type=active")
        .await;
    assert_eq!(list, json!([read]));
    assert_eq!(
        served
            .patch("jump-client/installer/1", json!({"tag": "x"}))
            .await
            .0,
        405
    );
    assert_eq!(
        served.delete("jump-client/installer/1").await,
        (204, Value::Null)
    );
    assert_eq!(served.get("jump-client/installer/1").await.0, 404);
}

/// CONF-12: the filters of the published description, those included that no installer can match.
#[tokio::test]
async fn installers_are_filtered_as_the_published_description_says() {
    let served = with_installers().await;
    for (query, found) in [
        ("tag=BLUE", 1),
        ("name=mine", 1),
        ("jump_group_type=personal", 1),
        ("jump_group_id=1", 2),
        ("connection_type=active", 2),
        ("hostname=alpha", 0),
        ("fqdn=alpha.example.com", 0),
        ("hostname=alpha&tag=blue", 0),
    ] {
        let (status, list) = served.get(&format!("jump-client/installer?{query}")).await;
        assert_eq!(
            (status, list.as_array().map(Vec::len)),
            (200, Some(found)),
            "{query}"
        );
    }
    let long = format!("jump-client/installer?hostname={}", "x".repeat(256));
    assert_eq!(served.get(&long).await.0, 422);
}

/// INST-03, ERR-04
#[tokio::test]
async fn an_installer_that_can_not_be_is_refused() {
    let served = Served::start().await;
    served.post("jump-group", json!({"name": "Fleet"})).await;
    // member, value, field
    let cases = [
        ("jump_group_id", json!(9), "jump_group_id"),
        ("jump_group_id", json!("1"), "jump_group_id"),
        ("jump_group_type", json!("team"), "jump_group_type"),
        ("jump_policy_id", json!(5), "jump_policy_id"),
        ("valid_duration", json!(9), "valid_duration"),
        ("valid_duration", json!(525_601), "valid_duration"),
        ("name", json!("x".repeat(129)), "name"),
        ("tag", json!("x".repeat(65)), "tag"),
        ("comments", json!("x".repeat(1025)), "comments"),
        ("session_policy_id", json!(1), "session_policy_id"),
        ("jumpoint_proxy", json!("gone"), "jumpoint_proxy"),
        ("secret_hash", json!("a".repeat(64)), "secret_hash"),
        ("platform", json!("all"), "platform"),
    ];
    for (member, value, field) in cases {
        let mut body = json!({"jump_group_id": 1});
        body[member] = value;
        let (status, answer) = served.post("jump-client/installer", body.clone()).await;
        assert_eq!(status, 422, "{body}");
        assert!(answer["errors"][field].is_array(), "{body}: {answer}");
    }
    let (status, _) = served
        .post("jump-client/installer", json!({"tag": "x"}))
        .await;
    assert_eq!(status, 422);
    let proxy = served
        .post(
            "jump-client/installer",
            json!({"jump_group_id": 1, "jumpoint_proxy": "gone"}),
        )
        .await
        .1;
    assert_eq!(
        proxy["errors"]["jumpoint_proxy"][0],
        "The associated Jumpoint-proxy no longer exists."
    );
}

/// CLNT-48, ITEM-14
#[tokio::test]
async fn clients_of_shared_groups_are_listed_filtered_changed_and_deleted() {
    let served = with_installers().await;
    register(&served, 1, "alpha", 1).await;
    register(&served, 1, "beta", 2).await;
    register(&served, 2, "gamma", 3).await;
    let hosts = |list: &Value| -> Vec<String> {
        list.as_array()
            .unwrap()
            .iter()
            .map(|client| client["hostname"].as_str().unwrap().to_owned())
            .collect()
    };
    // query, host names; those of personal lists are never listed
    let cases: [(&str, &[&str]); 11] = [
        ("", &["alpha", "beta"]),
        ("?hostname=ALPHA", &["alpha"]),
        ("?name=beta", &["beta"]),
        ("?fqdn=beta.example.com", &["beta"]),
        ("?tag=Blue", &["alpha", "beta"]),
        ("?tag=lue", &[]),
        ("?public_ip=192.0.2.2", &["beta"]),
        ("?private_ip=10.0.0.5&console_user=ruth", &["alpha", "beta"]),
        (
            "?jump_group_id=1&jump_group_type=shared",
            &["alpha", "beta"],
        ),
        ("?jump_group_type=personal", &[]),
        ("?connection_type=passive", &[]),
    ];
    for (query, expected) in cases {
        let (status, list) = served.get(&format!("jump-client{query}")).await;
        assert_eq!(
            (status, hosts(&list)),
            (
                200,
                expected.iter().map(|host| (*host).to_owned()).collect()
            ),
            "{query}"
        );
    }
    let (_, alpha) = served.get("jump-client/1").await;
    // member, value
    let members = [
        ("comments", json!("from the installer")),
        ("jump_policy_id", Value::Null),
        ("session_policy_id", Value::Null),
        ("install_mode", json!("service")),
        ("connection_type", json!("active")),
        ("last_connect_timestamp", json!("2026-01-05T09:00:00+00:00")),
        ("last_disconnect_timestamp", Value::Null),
        ("is_lost", json!(false)),
        ("needs_update", json!(true)),
        ("unavailable_reason", json!("none")),
        ("operating_system", json!("Debian 12")),
        ("public_ip", json!("192.0.2.1")),
        ("last_access_timestamp", Value::Null),
        ("expiration_timestamp", Value::Null),
    ];
    for (member, value) in members {
        assert_eq!(alpha[member], value, "{member}");
    }
    let mut whole = alpha.clone();
    whole["comments"] = json!("");
    whole["tag"] = json!("red");
    // With read-only members, which have no effect.
    let mut sent = whole.clone();
    sent["hostname"] = json!("omega");
    sent["is_lost"] = json!(true);
    assert_eq!(served.patch("jump-client/1", sent).await, (200, whole));
    let (status, body) = served
        .patch(
            "jump-client/1",
            json!({"jump_policy_id": 9, "colour": "red"}),
        )
        .await;
    assert_eq!((status, body["errors"]["colour"].is_array()), (422, true));
    assert_eq!(
        served.patch("jump-client/9", json!({"tag": "x"})).await.0,
        404
    );
    assert_eq!(
        served.post("jump-client", json!({"name": "made"})).await.0,
        405
    );
    assert_eq!(served.delete("jump-client/1").await, (204, Value::Null));
    assert_eq!(served.get("jump-client/1").await.0, 404);
    assert_eq!(hosts(&served.get("jump-client").await.1), ["beta"]);
}

/// CLNT-12: lost is a label that follows from the time offline.
#[tokio::test]
async fn a_client_that_is_offline_for_long_is_shown_as_lost() {
    let served = with_installers().await;
    register(&served, 1, "alpha", 1).await;
    served.clock.leap(MINUTE);
    let stop = node::Command::Stop {
        epoch: NodeEpoch(1),
        reason: node::StopReason::Silent,
    };
    served.submit(Command::Node(stop), None).await.unwrap();
    // after, lost
    for (after, lost) in [(15 * DAY - 1, false), (1, true)] {
        served.clock.leap(after);
        let token = served.token_of(&served.first).await;
        let response = served
            .call_with(&token, reqwest::Method::GET, "jump-client/1", None)
            .await;
        let (_, shown) = crate::served::answer(response).await;
        assert_eq!(shown["is_lost"], json!(lost));
        assert_eq!(
            shown["last_disconnect_timestamp"],
            "2026-01-05T09:01:00+00:00"
        );
    }
}
