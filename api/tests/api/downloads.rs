//! Installers as files: what is sent, to whom, and until when.

use std::path::Path;

use api::{AgentPrograms, MacSigning};
use domain::ids::JumpClientInstallerId;
use domain::time::MINUTE;
use link_protocol::KeyInfo;
use link_protocol::package::{Descriptor, PackageKind, Parts};
use reqwest::{Method, redirect};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::nodes::{Nodes, nodes};
use crate::served::{Differently, Served, answer, header};

/// What stands for the agent program: longer than a piece of a download.
fn program() -> Vec<u8> {
    (0..200_000_u32).map(|n| (n % 251) as u8).collect()
}

/// A site with the programs of two platforms, a group and an installer for it that is good for half an hour.
async fn with_programs(mac_signing: Option<MacSigning>) -> (Served, TempDir, Value) {
    let folder = tempfile::tempdir().unwrap();
    for (platform, name) in [
        ("linux-64", "gatebook-agent"),
        ("windows-64-msi", "gatebook-agent.msi"),
    ] {
        let place = folder.path().join(platform);
        std::fs::create_dir(&place).unwrap();
        std::fs::write(place.join(name), program()).unwrap();
    }
    let served = Served::start_with(Differently {
        agent_programs: AgentPrograms {
            folder: Some(folder.path().to_owned()),
            beside: None,
            mac_signing,
        },
        ..Differently::default()
    })
    .await;
    served.post("jump-group", json!({"name": "Fleet"})).await;
    let body = json!({"jump_group_id": 1, "valid_duration": 30, "allow_override_tag": true,
        "start_customer_client_minimized": true});
    let (status, made) = served.post("jump-client/installer", body).await;
    assert_eq!(status, 201, "{made}");
    (served, folder, made)
}

fn path_of(made: &Value, platform: &str) -> String {
    format!(
        "jump-client/installer/{}/{platform}",
        made["installer_id"].as_str().unwrap()
    )
}

/// The parts of a package that is whole.
fn unpacked(bytes: &[u8]) -> (Descriptor, Vec<u8>) {
    let parts = Parts::read(&bytes[..512], bytes.len() as u64).unwrap();
    let summed = usize::try_from(parts.summed()).unwrap();
    let sum = format!("{}\n", hex::encode(Sha256::digest(&bytes[..summed])));
    assert_eq!(&bytes[summed..], sum.as_bytes());
    let at = usize::try_from(parts.stub).unwrap();
    let program = at + usize::try_from(parts.descriptor).unwrap();
    let descriptor = Descriptor::read(&bytes[at..program]).unwrap();
    (descriptor, bytes[program..summed].to_vec())
}

/// INST-16, INST-17, INST-20, INST-22, INST-44, INST-45
#[tokio::test]
async fn a_package_holds_the_program_and_the_key_of_its_installer() {
    let (served, _folder, made) = with_programs(None).await;
    let id = made["installer_id"].as_str().unwrap();
    for (platform, kind, suffix) in [
        ("linux-64", PackageKind::Desktop, "desktop"),
        ("linux-64-headless", PackageKind::Headless, "bin"),
    ] {
        let response = served
            .call(Method::GET, &path_of(&made, platform), None)
            .await;
        assert_eq!(response.status(), 200);
        let name = format!("bomgar-pec-{id}.{suffix}");
        assert_eq!(
            header(&response, "content-type").unwrap(),
            "application/x-executable"
        );
        assert_eq!(
            header(&response, "content-disposition").unwrap(),
            format!("attachment; filename=\"{name}\"")
        );
        assert_eq!(header(&response, "cache-control").unwrap(), "no-store");
        let length: u64 = header(&response, "content-length")
            .unwrap()
            .parse()
            .unwrap();
        let bytes = response.bytes().await.unwrap();
        assert_eq!(bytes.len() as u64, length);
        let (descriptor, sent) = unpacked(&bytes);
        assert_eq!(sent, program());
        assert_eq!(descriptor.kind, kind);
        assert_eq!(descriptor.file_name, name);
        assert_eq!(descriptor.site, "access.example.com");
        assert!(descriptor.start_minimized);
        assert!(descriptor.may_override.tag && !descriptor.may_override.name);
        let key = KeyInfo::decode(descriptor.key_info.expose()).unwrap();
        let shown = made["key_info"]["linux64-x86"]["encodedInfo"]
            .as_str()
            .unwrap();
        assert_eq!(
            key,
            KeyInfo::decode(shown).unwrap(),
            "the key that was shown is the key inside"
        );
        let world = served.site.engine.published().world.clone();
        let installer = world.installers.get(&JumpClientInstallerId(1)).unwrap();
        let until = u64::try_from(installer.expiration_timestamp.0 / 1_000).unwrap();
        assert_eq!(descriptor.valid_until_ms, until);
    }
    // Those of Windows are sent as the operator put them there: their key is on the command line.
    let response = served
        .call(Method::GET, &path_of(&made, "windows-64-msi"), None)
        .await;
    assert_eq!(
        header(&response, "content-disposition").unwrap(),
        "attachment; filename=\"bomgar-pec-win64.msi\""
    );
    assert_eq!(response.bytes().await.unwrap(), program());
    let head = served
        .call(Method::HEAD, &path_of(&made, "linux-64"), None)
        .await;
    assert_eq!(
        (head.status().as_u16(), head.bytes().await.unwrap().len()),
        (200, 0)
    );
}

/// INST-20: what concerns Windows and Mac alone changes nothing in a package for Linux.
#[tokio::test]
async fn elevation_options_make_no_other_package_for_linux() {
    let (served, _folder, _) = with_programs(None).await;
    let mut packages = Vec::new();
    for elevate in [true, false] {
        let body =
            json!({"jump_group_id": 1, "elevate_install": elevate, "elevate_prompt": elevate});
        let (_, made) = served.post("jump-client/installer", body).await;
        let path = path_of(&made, "linux-64-headless");
        let response = served.call(Method::GET, &path, None).await;
        let (mut descriptor, program) = unpacked(&response.bytes().await.unwrap());
        // These are each installer's own.
        descriptor.installer_id = String::new();
        descriptor.file_name = String::new();
        descriptor.key_info = link_protocol::Secret::default();
        packages.push((descriptor, program));
    }
    assert_eq!(packages[0], packages[1]);
}

/// INST-16: several recipients install from the same link; facts 7 of config-api.md, section 0
#[tokio::test]
async fn the_direct_download_link_needs_no_sign_in() {
    let (served, _folder, made) = with_programs(None).await;
    let members = &made["key_info"]["linux64-x86"];
    let id = made["installer_id"].as_str().unwrap();
    assert_eq!(members["filename"], format!("bomgar-pec-{id}.desktop"));
    assert_eq!(
        made["key_info"]["winNT-64-msi"]["filename"],
        "bomgar-pec-win64.msi"
    );
    assert_eq!(
        made["key_info"]["mac-osx-x86"]["filename"],
        format!("bomgar-pec-{id}.dmg")
    );
    let (_, read) = served.get("jump-client/installer/1").await;
    assert_eq!(
        read["key_info"]["linux64-x86"]["installerPath"],
        members["installerPath"]
    );
    let path = members["installerPath"].as_str().unwrap();
    for _recipient in 0..2 {
        let response = served.request(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let (descriptor, _) = unpacked(&response.bytes().await.unwrap());
        assert_eq!(descriptor.installer_id, id);
    }
    // Without a platform it leads to that of the browser.
    let token = path.split('/').nth(2).unwrap();
    let client = reqwest::Client::builder()
        .redirect(redirect::Policy::none())
        .build()
        .unwrap();
    let response = client
        .get(format!("{}/download/{token}", served.url))
        .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64)")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 303);
    assert_eq!(header(&response, "location").unwrap(), path);
}

/// INST-04, INST-13, INST-16, threat R
#[tokio::test]
async fn nobody_downloads_what_is_over_gone_or_not_theirs() {
    let (served, _folder, made) = with_programs(None).await;
    let link = made["key_info"]["linux64-x86"]["installerPath"]
        .as_str()
        .unwrap();
    let (token, platform) = link
        .strip_prefix("/download/")
        .unwrap()
        .split_once('/')
        .unwrap();
    let swapped: String = token.chars().rev().collect();
    let no_link = "This link is not valid, or the time of its installer is over.";
    for path in [
        format!("/download/{swapped}/{platform}"),
        format!("/download/{}/{platform}", &token[1..]),
        format!(
            "/download/{}/{platform}",
            made["installer_id"].as_str().unwrap()
        ),
        format!("/download/{swapped}"),
    ] {
        let (status, said) = answer(served.request(Method::GET, &path).send().await.unwrap()).await;
        assert_eq!(
            (status, said["message"].as_str().unwrap()),
            (404, no_link),
            "{path}"
        );
    }
    let (status, said) = served.get(&path_of(&made, "beos")).await;
    assert_eq!(status, 404);
    assert!(
        said["message"]
            .as_str()
            .unwrap()
            .contains("The platforms are windows-32,"),
        "{said}"
    );
    let (status, said) = served
        .get(&path_of(&made, "raspberry-pi-32-headless"))
        .await;
    assert_eq!(status, 404);
    assert!(
        said["message"]
            .as_str()
            .unwrap()
            .contains("AGENTS/raspberry-pi-32-headless/gatebook-agent"),
        "{said}"
    );
    let unknown = format!("jump-client/installer/{}/linux-64", "0".repeat(32));
    assert_eq!(served.get(&unknown).await.0, 404);
    served.clock.leap(30 * MINUTE);
    let (status, said) = served.get(&path_of(&made, "linux-64")).await;
    assert!((400..500).contains(&status), "{status} {said}");
    let (status, said) = answer(served.request(Method::GET, link).send().await.unwrap()).await;
    assert_eq!((status, said["message"].as_str().unwrap()), (404, no_link));
    assert_eq!(served.delete("jump-client/installer/1").await.0, 204);
    assert_eq!(served.get(&path_of(&made, "linux-64")).await.0, 404);
}

/// threat C: the secret of an installer lies sealed, and in no event.
#[tokio::test]
async fn threat_c_an_installers_secret_is_in_no_event_and_no_file() {
    let (served, _folder, made) = with_programs(None).await;
    let key = made["key_info"]["linux64-x86"]["encodedInfo"]
        .as_str()
        .unwrap();
    let secret = KeyInfo::decode(key).unwrap().secret;
    for (name, text) in served.log().await {
        assert!(
            !text.contains(secret.expose()) && !text.contains(key),
            "{name}"
        );
    }
    for entry in std::fs::read_dir(served.directory()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            assert!(
                !holds(&path, secret.expose().as_bytes()),
                "{}",
                path.display()
            );
        }
    }
}

fn holds(path: &Path, bytes: &[u8]) -> bool {
    let text = std::fs::read(path).unwrap();
    text.windows(bytes.len()).any(|window| window == bytes)
}

/// INST-55, INST-58, INST-62, CLNT-59: the grants of a Mac are explained, and the profile names all three.
#[tokio::test]
async fn users_who_signed_in_find_help_and_download_what_they_may_deploy() {
    let signing = MacSigning {
        identifier: "org.example.jump".to_owned(),
        team_identifier: "ABCDE12345".to_owned(),
        code_requirement: "identifier \"org.example.jump\"".to_owned(),
    };
    let (served, _folder, made) = with_programs(Some(signing)).await;
    let (_, anna) = served
        .post(
            "user",
            json!({"username": "anna", "public_display_name": "Anna", "password": "correct horse battery"}),
        )
        .await;
    let id = &made["id"];
    let download = format!("/api/console/v1/jump-client-installers/{id}/download/linux-64");
    let admin = sign_in(&served, "admin", crate::served::FIRST_PASSWORD).await;
    let user = sign_in(&served, "anna", "correct horse battery").await;
    let get = async |token: &str, path: &str| {
        served
            .request(Method::GET, path)
            .bearer_auth(token)
            .send()
            .await
            .unwrap()
    };
    assert_eq!(get(&admin, &download).await.status(), 200);
    assert_eq!(get(&user, &download).await.status(), 404, "not her group");
    assert_eq!(
        served
            .request(Method::GET, &download)
            .send()
            .await
            .unwrap()
            .status(),
        401
    );
    let member = json!({"user_id": anna["id"], "jump_item_role_id": 3});
    assert_eq!(served.post("jump-group/1/user", member).await.0, 201);
    assert_eq!(get(&user, &download).await.status(), 200);

    let (status, help) = answer(get(&user, "/api/console/v1/mass-deploy-help").await).await;
    assert_eq!(status, 200);
    let available: Vec<&str> = help["platforms"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|platform| platform["available"] == true)
        .map(|platform| platform["platform"].as_str().unwrap())
        .collect();
    assert_eq!(
        available,
        ["windows-64-msi", "linux-64", "linux-64-headless"]
    );
    let profile = get(&user, "/api/console/v1/mass-deploy-help/mac-profile").await;
    assert_eq!(
        header(&profile, "content-type").unwrap(),
        "application/x-apple-aspen-config"
    );
    let text = profile.text().await.unwrap();
    assert!(
        text.contains("ABCDE12345") && text.contains("org.example.jump"),
        "{text}"
    );
    let grants: Vec<&str> = help["macos_grants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|grant| grant["grant"].as_str().unwrap())
        .collect();
    assert_eq!(
        grants,
        ["Screen Recording", "Accessibility", "Full Disk Access"]
    );
    for service in ["ScreenCapture", "Accessibility", "SystemPolicyAllFiles"] {
        assert!(text.contains(service), "{service}");
    }
}

/// INST-55: nothing is published that no certificate stands behind.
#[tokio::test]
async fn a_site_without_a_signed_mac_client_has_no_profile() {
    let (served, _folder, _) = with_programs(None).await;
    let admin = sign_in(&served, "admin", crate::served::FIRST_PASSWORD).await;
    let path = "/api/console/v1/mass-deploy-help/mac-profile";
    let response = served
        .request(Method::GET, path)
        .bearer_auth(admin)
        .send()
        .await
        .unwrap();
    let (status, said) = answer(response).await;
    assert_eq!(status, 404);
    assert!(
        said["message"].as_str().unwrap().contains("[mac_signing]"),
        "{said}"
    );
}

async fn sign_in(served: &Served, username: &str, password: &str) -> String {
    let body = json!({"username": username, "password": password, "bearer": true});
    let response = served
        .request(Method::POST, "/api/console/v1/sign-in")
        .json(&body)
        .send()
        .await
        .unwrap();
    let (status, said) = answer(response).await;
    assert_eq!(status, 200, "{said}");
    said["token"].as_str().unwrap().to_owned()
}

/// INST-16, threat M: whoever has the link and takes their time has a few turns, and none of those who signed in.
#[tokio::test]
async fn threat_m_slow_strangers_keep_nobody_who_signed_in_from_downloading() {
    let (served, folder, made) = with_programs(None).await;
    // More than the sockets on the way hold, so that none of these downloads ends by itself.
    let place = folder.path().join("linux-64").join("gatebook-agent");
    let file = std::fs::File::options().write(true).open(place).unwrap();
    file.set_len(256 * 1024 * 1024).unwrap();
    let path = made["key_info"]["linux64-x86"]["installerPath"]
        .as_str()
        .unwrap();
    let ask = async || served.request(Method::GET, path).send().await.unwrap();
    let mut taken = Vec::new();
    let refused = loop {
        let response = ask().await;
        if response.status() != 200 {
            break response;
        }
        taken.push(response);
        assert!(taken.len() < 100, "an address has no bound");
    };
    assert_eq!(taken.len(), 8);
    assert_eq!(header(&refused, "retry-after").as_deref(), Some("30"));
    assert_eq!(answer(refused).await.0, 503);
    let signed_in = served
        .call(Method::GET, &path_of(&made, "linux-64"), None)
        .await;
    assert_eq!(signed_in.status(), 200);
}

/// threat M: a link that this site did not make is refused without a question to the database.
#[tokio::test]
async fn threat_m_a_forged_link_costs_the_database_nothing() {
    let Nodes { one, .. } = &nodes().await;
    let token = |of: &Served| api::download::link::token(&of.site.sealer, &"0".repeat(32));
    let good = token(one).unwrap();
    let forged = format!(
        "{}{}",
        &good[..63],
        if good.ends_with('A') { "B" } else { "A" }
    );
    one.site.engine.store().clone().close().await;
    for (token, expected) in [(&forged, 404), (&good, 503)] {
        for platform in ["", "/linux-64"] {
            let path = format!("/download/{token}{platform}");
            let response = one.request(Method::GET, &path).send().await.unwrap();
            assert_eq!(response.status(), expected, "{path}");
        }
    }
}
