//! What agents are told to trust and where they find the site: set by the first start, and by no flag after it.

use std::fs;
use std::path::Path;

use eventstore::{EventStore, Location, Options, SideTable, SideWrite};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use secrets::Sealer;
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::running::{Server, client_trusting, done, text};

/// The arguments of a certificate with its authority behind it, and the authority, PEM.
fn own_certificate(folder: &Path) -> ([String; 4], String) {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority = parameters.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(parameters, key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap().pem();
    let (chain, private) = (folder.join("c.pem"), folder.join("k.pem"));
    fs::write(&chain, format!("{leaf}{authority}")).unwrap();
    fs::write(&private, key.serialize_pem()).unwrap();
    let arguments = ["--tls-cert", text(&chain), "--tls-key", text(&private)];
    (arguments.map(str::to_owned), authority)
}

async fn stored(data: &Path) -> Vec<Value> {
    let read = [
        "log",
        "read",
        "--data",
        text(data),
        "--stream",
        "agent_trust",
    ];
    done(&read).await.lines()
}

fn said(server: &Server, words: &str) -> Vec<Value> {
    let written = server.written.lock().unwrap();
    let lines = written.iter().filter(|line| line.contains(words));
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

async fn health(server: &Server, client: &reqwest::Client) -> String {
    let answer = client
        .get(server.url("/check_health"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    answer.text().await.unwrap()
}

/// Threat N: a certificate says nothing about what agents should trust, least of all every public authority.
#[tokio::test]
async fn threat_n_a_new_site_with_a_certificate_of_ones_own_says_what_it_needs() {
    let folder = tempdir().unwrap();
    let site = folder.path().join("site");
    let (given, _) = own_certificate(folder.path());
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    let refused = Server::try_start(&site, &given).await.err().unwrap();
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("--agent-trust"),
        "{}",
        refused.stderr
    );
    assert!(!site.join("first-run.json").exists(), "nothing was made");

    let file = folder.path().join("c.pem");
    let trusting = [&given[..], &["--agent-trust", text(&file)]].concat();
    let server = Server::start(&site, &trusting).await;
    assert!(!said(&server, "agents are told to trust this").is_empty());
    assert!(server.stop().await.success());
    // The leaf and its authority.
    assert_eq!(stored(&site).await.len(), 2);
}

/// Threat N: one start with another certificate changes nothing for the fleet, and says what is wrong.
#[tokio::test]
async fn threat_n_a_certificate_that_no_anchor_covers_is_said_at_once_and_adds_nothing() {
    let folder = tempdir().unwrap();
    let site = folder.path().join("site");
    let server = Server::start(&site, &[]).await;
    let words = "none of the site's trust anchors covers";
    assert!(said(&server, words).is_empty());
    assert_eq!(
        health(&server, &server.client()).await,
        "The site is healthy.\n"
    );
    assert!(server.stop().await.success());
    let before = stored(&site).await;
    assert_eq!(before.len(), 1);

    let (given, authority) = own_certificate(folder.path());
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    let flags = [&given[..], &["--agent-trust", "system"]].concat();
    let server = Server::start(&site, &flags).await;
    let warnings = said(&server, words);
    let [warning] = &warnings[..] else {
        panic!("{warnings:?}")
    };
    assert_eq!(warning["level"], json!("WARN"));
    let pin = warning["would_be_covered_by"].as_str().unwrap();
    assert!(pin.starts_with("sha256:"), "{warning}");
    assert_eq!(said(&server, "--agent-trust names").len(), 1);
    let client = client_trusting(authority.as_bytes());
    assert!(
        health(&server, &client)
            .await
            .contains("Warning: no trust anchor")
    );

    // An administrator does what the warning says.
    let first_run: Value =
        serde_json::from_slice(&fs::read(site.join("first-run.json")).unwrap()).unwrap();
    let body = json!({
        "bearer": true,
        "username": first_run["administrator"]["username"],
        "password": first_run["administrator"]["password"],
    });
    let signed_in = client
        .post(server.url("/api/console/v1/sign-in"))
        .json(&body)
        .send()
        .await
        .unwrap();
    let signed_in: Value = signed_in.json().await.unwrap();
    let added = client
        .post(server.url("/api/console/v1/agent-anchors"))
        .bearer_auth(signed_in["token"].as_str().unwrap())
        .json(&json!({"anchor": pin}))
        .send()
        .await
        .unwrap();
    assert_eq!(added.status(), 201);
    assert_eq!(health(&server, &client).await, "The site is healthy.\n");
    assert!(server.stop().await.success());
    let after = stored(&site).await;
    assert_eq!(after.len(), 2);
    assert_eq!(after[1]["data"]["anchor"], json!(pin));
}

#[tokio::test]
async fn the_first_url_is_the_sites_address_and_another_is_warned_of() {
    let folder = tempdir().unwrap();
    let site = folder.path();
    let (first, second) = ("https://localhost:1", "https://localhost:2");
    // Without one there is none: the port may be another at each start.
    assert!(Server::start(site, &[]).await.stop().await.success());
    let server = Server::start(site, &["--url", first]).await;
    let words = "--url is not among the addresses";
    assert!(said(&server, words).is_empty());
    assert!(server.stop().await.success());
    let server = Server::start(site, &["--url", second]).await;
    assert_eq!(said(&server, words).len(), 1);
    assert!(server.stop().await.success());
    let added: Vec<Value> = stored(site)
        .await
        .into_iter()
        .filter(|event| event["type"] == "SiteAddressAdded")
        .collect();
    assert_eq!(added.len(), 1, "{added:?}");
    assert_eq!(added[0]["data"]["url"], json!(first));
}

/// A site of an earlier version keeps the anchors that it has, with their version.
#[tokio::test]
async fn the_anchors_of_an_earlier_version_are_kept() {
    let folder = tempdir().unwrap();
    let site = folder.path();
    done(&["init", "--data", text(site)]).await;
    {
        let location = Location::Sqlite {
            directory: site.to_owned(),
        };
        let store = EventStore::open(&location, Options::default())
            .await
            .unwrap();
        let sealer = Sealer::load(site.join("key")).unwrap();
        let list = [format!("sha256:{}", "07".repeat(32)), "system".to_owned()];
        let plain = json!({"version": 3, "wanted": [list[0]], "list": list});
        let value = sealer.seal(&serde_json::to_vec(&plain).unwrap(), b"secret/agent_trust");
        let key = "agent_trust";
        store
            .change_side_rows((SideTable::Secret, key), |_| {
                vec![SideWrite::Put {
                    table: SideTable::Secret,
                    key: key.to_owned(),
                    value,
                }]
            })
            .await
            .unwrap();
        store.close().await;
    }
    for _ in 0..2 {
        assert!(Server::start(site, &[]).await.stop().await.success());
    }
    let events = stored(site).await;
    let anchors: Vec<&Value> = events
        .iter()
        .map(|event| &event["data"]["anchor"])
        .collect();
    assert_eq!(
        anchors,
        [
            &json!(format!("sha256:{}", "07".repeat(32))),
            &json!("system")
        ]
    );
    assert_eq!(events[1]["data"]["version"], json!(3));
}
