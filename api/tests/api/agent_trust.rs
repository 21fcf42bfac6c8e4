//! What agents trust and where they find the site: listed, added, withdrawn, and who would be cut off.

use api::ShownCertificate;
use domain::Command;
use domain::fleet::jump_client;
use domain::ids::JumpClientId;
use link_protocol::KeyInfo;
use reqwest::Method;
use serde_json::json;
use tokio::sync::watch;

use crate::served::{Differently, Served, anchor};

fn pin(digit: char) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

/// Clients that have just registered.
async fn machines(served: &Served, count: u64) -> Vec<JumpClientId> {
    let fleet = served.fleet("Fleet").await;
    let mut clients = Vec::new();
    for number in 1..=count {
        clients.push(fleet.machine(number).await);
    }
    clients
}

/// A client says which lists it has on disk.
async fn confirm(served: &Served, client: JumpClientId, anchors: u64, addresses: u64) {
    let link = {
        let published = served.site.engine.published();
        let known = published.world.jump_clients.get(&client).expect("there");
        let jump_client::Presence::Connected(link) = known.presence else {
            panic!("it is connected");
        };
        link
    };
    let command = Command::JumpClient(jump_client::Command::ConfirmTrust {
        client,
        link,
        anchors: Some(anchors),
        addresses: Some(addresses),
    });
    served.submit(command, None).await.unwrap();
}

#[tokio::test]
async fn an_anchor_is_added_watched_and_the_old_one_withdrawn() {
    let served = Served::start().await;
    let fleet = machines(&served, 3).await;
    let admin = served.administrator().await;
    let (status, listed) = admin.get("agent-anchors").await;
    assert_eq!(status, 200, "{listed}");
    assert_eq!(listed[0]["anchor"], json!(anchor()));
    assert_eq!(listed[0]["unconfirmed"], json!(3));
    // The node of this test does not know which certificate agents see.
    assert_eq!(listed[0]["in_use"], json!(null));

    let (status, made) = admin
        .post("agent-anchors", json!({"anchor": pin('A')}))
        .await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(
        (&made["id"], &made["anchor"]),
        (&json!(2), &json!(pin('a')))
    );
    for (body, field) in [
        (json!({"anchor": "sha1:00"}), "anchor"),
        (json!({}), "anchor"),
        (json!({"anchor": "system", "colour": "red"}), "colour"),
    ] {
        let (status, told) = admin.post("agent-anchors", body).await;
        assert_eq!(status, 422, "{told}");
        assert!(told["errors"][field].is_array(), "{told}");
    }

    confirm(&served, fleet[0], 2, 0).await;
    let (_, listed) = admin.get("agent-anchors").await;
    assert_eq!(listed[1]["unconfirmed"], json!(2), "{listed}");
    assert_eq!(listed[0]["cut_off_if_withdrawn"], json!(2), "{listed}");
    let (status, lacking) = admin
        .get("agent-anchors/1/unconfirmed?cut_off=true&per_page=5")
        .await;
    assert_eq!(status, 200, "{lacking}");
    let ids: Vec<_> = lacking
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["id"])
        .collect();
    assert_eq!(ids, [&json!(fleet[1]), &json!(fleet[2])]);
    assert_eq!(lacking[0]["confirmed_version"], json!(0));
    assert_eq!(lacking[0]["online"], json!(true));

    let (status, told) = admin.delete("agent-anchors/1").await;
    assert_eq!((status, &told["code"]), (409, &json!("would_cut_off")));
    assert!(
        told["message"].as_str().unwrap().contains("2 Jump Clients"),
        "{told}"
    );
    assert_eq!(admin.delete("agent-anchors/1?cut_off=perhaps").await.0, 422);
    assert_eq!(admin.delete("agent-anchors/1?force=true").await.0, 422);
    for client in &fleet[1..] {
        confirm(&served, *client, 2, 0).await;
    }
    assert_eq!(admin.delete("agent-anchors/1").await.0, 204);
    let (status, told) = admin.delete("agent-anchors/2?cut_off=true").await;
    assert_eq!((status, &told["code"]), (409, &json!("last_of_trust")));
    for path in ["agent-anchors/1", "agent-anchors/9"] {
        assert_eq!(admin.delete(path).await.0, 404, "{path}");
    }
    assert_eq!(admin.get("agent-anchors/1/unconfirmed").await.0, 404);
}

/// Threat N: the keys of installers carry what is in force, and nothing else.
#[tokio::test]
async fn threat_n_keys_of_installers_carry_all_addresses_and_anchors_in_force() {
    let served = Served::start().await;
    let admin = served.administrator().await;
    served.post("jump-group", json!({"name": "Fleet"})).await;
    let key = async || {
        let body = json!({"jump_group_id": 1});
        let (_, made) = served.post("jump-client/installer", body).await;
        let text = made["key_info"]["linux64-x86"]["encodedInfo"].as_str();
        KeyInfo::decode(text.unwrap()).unwrap()
    };
    // A site without addresses: where this node is.
    assert_eq!(key().await.urls, ["https://access.example.com"]);
    let urls = ["https://new.example.com", "https://old.example.com:8443"];
    for (url, place) in [(urls[1], 1), (urls[0], 1)] {
        let body = json!({"url": format!("{url}/"), "place": place});
        let (status, made) = admin.post("site-addresses", body).await;
        assert_eq!(status, 201, "{made}");
        assert_eq!((&made["url"], &made["place"]), (&json!(url), &json!(1)));
    }
    let body = json!({"anchor": "system"});
    assert_eq!(admin.post("agent-anchors", body).await.0, 201);
    let made = key().await;
    assert_eq!(made.urls, urls);
    assert_eq!(made.anchors.version, 2);
    let anchors: Vec<String> = made.anchors.list.iter().map(ToString::to_string).collect();
    assert_eq!(anchors, [anchor(), "system".to_owned()]);
}

/// INST-39: as many and as long as the rules let them be, they still make a key.
#[tokio::test]
async fn the_longest_lists_still_make_a_key() {
    let served = Served::start().await;
    let admin = served.administrator().await;
    served.post("jump-group", json!({"name": "Fleet"})).await;
    for digit in "abcdef0".chars() {
        // The last ones are refused, which is what this test is for.
        let body = json!({"anchor": pin(digit)});
        let status = admin.post("agent-anchors", body).await.0;
        assert!(matches!(status, 201 | 422), "{status}");
    }
    let mut refused = 0;
    for length in (1..190).rev() {
        let body = json!({"url": format!("https://{}", "h".repeat(length))});
        match admin.post("site-addresses", body).await.0 {
            201 => {}
            422 => refused += 1,
            other => panic!("{other}"),
        }
    }
    assert!(refused > 0);
    let body = json!({"jump_group_id": 1});
    let (status, made) = served.post("jump-client/installer", body).await;
    assert_eq!(status, 201, "{made}");
}

#[tokio::test]
async fn a_site_gets_an_address_and_loses_it_when_clients_know_another() {
    let served = Served::start().await;
    let fleet = machines(&served, 2).await;
    let admin = served.administrator().await;
    assert_eq!(admin.get("site-addresses").await, (200, json!([])));
    for url in ["https://old.example.com", "https://new.example.com"] {
        let body = json!({"url": url, "place": 1});
        assert_eq!(admin.post("site-addresses", body).await.0, 201);
    }
    for (body, field) in [
        (json!({"url": "http://new.example.com"}), "url"),
        (json!({"url": "https://a", "place": 9}), "place"),
        (json!({"url": "https://a", "place": "first"}), "place"),
        (json!({"place": 1}), "url"),
    ] {
        let (status, told) = admin.post("site-addresses", body).await;
        assert_eq!(status, 422, "{told}");
        assert!(told["errors"][field].is_array(), "{told}");
    }
    let (_, listed) = admin.get("site-addresses").await;
    assert_eq!(listed[0]["url"], json!("https://new.example.com"));
    assert_eq!(listed[1]["cut_off_if_withdrawn"], json!(2), "{listed}");
    assert_eq!(admin.delete("site-addresses/1").await.0, 409);
    for client in &fleet {
        confirm(&served, *client, 0, 2).await;
    }
    assert_eq!(
        admin.get("site-addresses/2/unconfirmed").await,
        (200, json!([]))
    );
    assert_eq!(admin.delete("site-addresses/1").await.0, 204);
    assert_eq!(admin.delete("site-addresses/2?cut_off=true").await.0, 409);
}

/// The anchor of the certificate in use is not withdrawn by the way, and a certificate that nothing covers is said by the health
/// check, which stays 200.
#[tokio::test]
async fn the_certificate_in_use_is_guarded_and_one_that_nothing_covers_is_told() {
    let covered = |by: &[String]| ShownCertificate {
        covered_by: Some(by.to_vec()),
        problem: None,
    };
    let (shows, shown_certificate) = watch::channel(covered(&[anchor()]));
    let served = Served::start_with(Differently {
        shown_certificate,
        ..Differently::default()
    })
    .await;
    let admin = served.administrator().await;
    let body = json!({"anchor": "system"});
    assert_eq!(admin.post("agent-anchors", body).await.0, 201);
    let (_, listed) = admin.get("agent-anchors").await;
    assert_eq!(
        (&listed[0]["in_use"], &listed[1]["in_use"]),
        (&json!(true), &json!(false))
    );
    let (status, told) = admin.delete("agent-anchors/1").await;
    assert_eq!((status, &told["code"]), (409, &json!("anchor_in_use")));

    let health = async || {
        let request = served.request(Method::GET, "/check_health");
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    assert_eq!(health().await, (200, "The site is healthy.\n".to_owned()));
    shows.send_replace(covered(&[pin('b')]));
    let (status, text) = health().await;
    assert_eq!(status, 200);
    assert!(text.contains("Warning: no trust anchor"), "{text}");
    // Nothing is lost by withdrawing what covers nothing.
    assert_eq!(admin.delete("agent-anchors/1").await.0, 204);
    assert_eq!(served.count("AgentAnchorAdded").await, 2);
    assert_eq!(served.count("AgentAnchorWithdrawn").await, 1);
}
