//! Installers as the wizard makes them and its list handles them.

use domain::Command;
use domain::ids::{JumpClientInstallerId, JumpItemRef};
use domain::site::upgrade;
use domain::time::MINUTE;
use link_protocol::KeyInfo;
use reqwest::Method;
use serde_json::{Value, json};

use crate::served::{Served, answer, header};
use crate::visit::{Visitor, facts};

/// The role "Administrator", which may do everything with items.
const EVERYTHING: u32 = 3;
/// The role "Start Sessions Only".
const START: u32 = 2;

fn names(page: &Value) -> Vec<&str> {
    let installers = page["installers"].as_array().expect("a list");
    installers
        .iter()
        .map(|installer| installer["name"].as_str().expect("a name"))
        .collect()
}

async fn made(by: &Visitor<'_>, body: Value) -> Value {
    let (status, made) = by.post("jump-client-installers", body).await;
    assert_eq!(status, 201, "{made}");
    made
}

fn path_of(installer: &Value) -> String {
    format!("jump-client-installers/{}", installer["id"])
}

/// A user who deploys everywhere, by their System slot.
async fn deployer<'s>(served: &'s Served, username: &str) -> Visitor<'s> {
    let permissions = json!({
        "unassigned_jump_item_role_id": EVERYTHING, "private_jump_item_role_id": EVERYTHING,
    });
    served.user(username, permissions).await
}

async fn site_setting(served: &Served, settings: Value) {
    let admin = served.administrator().await;
    let (status, told) = admin.patch("site/settings", settings).await;
    assert_eq!(status, 200, "{told}");
}

/// INST-01, INST-03, INST-16, INST-22, INST-62
#[tokio::test]
async fn the_wizard_makes_an_installer() {
    let served = Served::start().await;
    let group = served.group("Web servers").await;
    let anna = deployer(&served, "anna").await;
    let body = json!({
        "name": "web", "jump_group_id": group, "tag": "linux", "comments": "rack 4", "valid_duration": 60,
        "max_offline_minutes": 5, "connection_type": "passive", "elevate_install": false,
        "allow_override_name": true, "start_customer_client_minimized": true,
    });
    let installer = made(&anna, body.clone()).await;
    let key = KeyInfo::decode(installer["key_info"].as_str().expect("a key")).expect("it reads");
    assert_eq!(
        key.installer_id,
        installer["installer_id"].as_str().expect("an id")
    );
    assert_eq!(installer["warnings"], json!([]));
    assert_eq!(installer["state"], "valid");
    assert_eq!(installer["expires_at"], "2026-01-05T10:00:00+00:00");
    assert_eq!(
        installer["group"],
        json!({"type": "shared", "id": group, "name": "Web servers"})
    );
    assert_eq!(
        installer["created_by"],
        json!({"type": "user", "id": anna.id, "name": "anna in public", "may_deploy": true})
    );
    for (member, value) in body.as_object().expect("members") {
        match member.as_str() {
            "jump_group_id" | "valid_duration" => {}
            "allow_override_name" => assert_eq!(installer["allow_override"]["name"], true),
            member => assert_eq!(&installer[member], value, "{member}"),
        }
    }
    assert_eq!(
        installer["rights"],
        json!({
            "view": true, "download": true, "mail": false, "extend": true, "delete": true,
            "create_like_it": true,
        })
    );
    let link = installer["direct_download_link"].as_str().expect("a link");
    let token = link.rsplit('/').next().expect("a token");
    assert_eq!(
        api::download::link::verify(&served.site.sealer, token).as_deref(),
        installer["installer_id"].as_str()
    );
    // Shown once, like its secret.
    let (status, read) = anna.get(&path_of(&installer)).await;
    assert_eq!(status, 200);
    assert_eq!(read.get("key_info"), None);
    let secret = key.secret.expose();
    assert!(!read.to_string().contains(secret));
    for (_, text) in served.log().await {
        assert!(!text.contains(secret), "{text}");
    }

    for (body, field) in [
        (json!({}), "jump_group_id"),
        (json!({"jump_group_id": 99}), "jump_group_id"),
        (
            json!({"jump_group_id": group, "valid_duration": 9}),
            "valid_duration",
        ),
        (
            json!({"jump_group_id": group, "valid_duration": 525_601}),
            "valid_duration",
        ),
        (json!({"jump_group_id": group, "colour": "red"}), "colour"),
        (
            json!({"jump_group_id": group, "secret_hash": "0".repeat(64)}),
            "secret_hash",
        ),
        (
            json!({"jump_group_id": group, "created_by_user_id": 1}),
            "created_by_user_id",
        ),
        (
            json!({"jump_group_id": group, "installer_id": "0".repeat(32)}),
            "installer_id",
        ),
        (
            json!({"jump_group_id": group, "start_customer_client_minimized": 1}),
            "start_customer_client_minimized",
        ),
    ] {
        let (status, told) = anna.post("jump-client-installers", body.clone()).await;
        assert_eq!(status, 422, "{body} {told}");
        assert!(told["errors"][field].is_array(), "{body} {told}");
    }
}

/// A request that is repeated makes one installer, and its key stays with the first answer.
#[tokio::test]
async fn a_repeated_request_makes_one_installer() {
    let served = Served::start().await;
    let group = served.group("Web servers").await;
    let anna = deployer(&served, "anna").await;
    let ask = async || {
        let request = anna
            .request(Method::POST, "jump-client-installers")
            .header("Idempotency-Key", "once")
            .json(&json!({"jump_group_id": group}));
        answer(request.send().await.expect("an answer")).await
    };
    let (_, first) = ask().await;
    let (status, second) = ask().await;
    assert_eq!((status, &second["id"]), (201, &first["id"]));
    assert!(first["key_info"].is_string() && second["key_info"].is_null());
    let (_, page) = anna.get("jump-client-installers").await;
    assert_eq!(page["total"], 1);
    // Neither does a repeat of its deletion find it gone.
    for _ in 0..2 {
        let request = anna.request(Method::DELETE, &path_of(&first));
        let request = request.header("Idempotency-Key", "gone");
        assert_eq!(request.send().await.expect("an answer").status(), 204);
    }
}

/// INST-63: advice where a session policy meets clients without a screen; nothing is refused.
#[tokio::test]
async fn a_session_policy_on_headless_clients_is_warned_of() {
    let served = Served::start().await;
    let group = served.group("Web servers").await;
    let admin = served.administrator().await;
    let policy = domain::policy::session_policy::SessionPolicy::default();
    let mut body = crate::visit::object(serde_json::to_value(policy).expect("an object"));
    body.insert("display_name".to_owned(), "Prompts".into());
    body.insert("code_name".to_owned(), "prompts".into());
    let command = domain::record::Command::Create(body);
    let done = served.run(Command::SessionPolicy(command)).await;
    let domain::Event::SessionPolicy(policy, _) = &done.events[0] else {
        panic!("{done:?}");
    };
    served
        .permit(
            admin.id,
            json!({"unassigned_jump_item_role_id": EVERYTHING}),
        )
        .await;
    let with = made(
        &admin,
        json!({"jump_group_id": group, "session_policy_id": policy}),
    )
    .await;
    assert_eq!(
        with["warnings"],
        json!([
            "It is recommended to set no session policy on headless Jump Clients: nobody is there to answer its prompts."
        ])
    );
    assert_eq!(with["session_policy_id"], json!(policy));
    let without = made(&admin, json!({"jump_group_id": group})).await;
    assert_eq!(without["warnings"], json!([]));
}

/// INST-11, INST-15: the active ones, searched, sorted and by page, under the warning of the guide.
#[tokio::test]
async fn installers_are_listed() {
    let served = Served::start().await;
    let web = served.group("Web servers").await;
    let mail = served.group("Mail").await;
    let anna = deployer(&served, "anna").await;
    for (name, group, tag, minutes) in [
        ("Alpha", web, "x", 600),
        ("beta", mail, "", 60),
        ("Gamma", web, "y", 30),
    ] {
        let body = json!({
            "name": name, "jump_group_id": group, "tag": tag, "valid_duration": minutes,
            "comments": format!("about {name}"),
        });
        made(&anna, body).await;
    }
    let cases: [(&str, &[&str]); 12] = [
        ("", &["Gamma", "beta", "Alpha"]),
        ("?sort=-expires_at", &["Alpha", "beta", "Gamma"]),
        ("?sort=name", &["Alpha", "beta", "Gamma"]),
        ("?sort=-name", &["Gamma", "beta", "Alpha"]),
        ("?sort=tag", &["beta", "Alpha", "Gamma"]),
        ("?sort=group", &["beta", "Alpha", "Gamma"]),
        ("?search=ABOUT%20B", &["beta"]),
        ("?search=web&sort=name", &["Alpha", "Gamma"]),
        ("?search=nothing", &[]),
        ("?per_page=2", &["Gamma", "beta"]),
        ("?per_page=2&current_page=2", &["Alpha"]),
        ("?state=expired", &[]),
    ];
    for (query, expected) in cases {
        let (status, page) = anna.get(&format!("jump-client-installers{query}")).await;
        assert_eq!(status, 200, "{page}");
        assert_eq!(names(&page), expected, "{query}");
    }
    let response = anna
        .send(Method::GET, "jump-client-installers?per_page=2", None)
        .await;
    let warning = "Installing more than one Jump Client on the same system is being phased out in a future release. In the Access Console you may use the copy action on a Jump Client to apply different policies to the same endpoint.";
    assert_eq!(
        header(&response, "x-gatebook-warning").as_deref(),
        Some(warning)
    );
    let (_, page) = answer(response).await;
    assert_eq!(page["warning"], warning);
    assert_eq!(page["warning_is_dismissible"], true);
    assert_eq!((&page["total"], &page["last_page"]), (&json!(3), &json!(2)));

    // INST-04: what is over leaves the list of the active ones, and its link with it.
    served.clock.leap(45 * MINUTE);
    let (_, page) = anna.get("jump-client-installers").await;
    assert_eq!(names(&page), ["beta", "Alpha"]);
    let (_, page) = anna.get("jump-client-installers?state=expired").await;
    assert_eq!(names(&page), ["Gamma"]);
    let gamma = &page["installers"][0];
    assert_eq!(gamma["state"], "expired");
    assert_eq!(gamma["direct_download_link"], Value::Null);
    assert_eq!(
        (&gamma["rights"]["download"], &gamma["rights"]["delete"]),
        (&json!(false), &json!(true))
    );
    let (_, page) = anna.get("jump-client-installers?state=all").await;
    assert_eq!(page["total"], 3);
    let (status, told) = anna.get("jump-client-installers?state=old&page=1").await;
    assert_eq!(status, 422);
    assert!(told["errors"]["state"].is_array() && told["errors"]["page"].is_array());
}

/// INST-11, INST-62: administrators handle every installer, others those of groups where they may deploy; nobody learns of the
/// rest.
#[tokio::test]
async fn installers_are_there_for_who_may_deploy() {
    let served = Served::start().await;
    let web = served.group("Web servers").await;
    let mail = served.group("Mail").await;
    let anna = deployer(&served, "anna").await;
    for (name, group) in [("web", web), ("mail", mail)] {
        made(&anna, json!({"name": name, "jump_group_id": group})).await;
    }
    let bert = served
        .user("bert", json!({"perm_access_allowed": "full_support"}))
        .await;
    for (group, role) in [(web, EVERYTHING), (mail, START)] {
        let body = json!({"user_id": bert.id, "jump_item_role_id": role});
        let (status, told) = served.post(&format!("jump-group/{group}/user"), body).await;
        assert_eq!(status, 201, "{told}");
    }
    let admin = served.administrator().await;
    let cara = served
        .user("cara", json!({"perm_access_allowed": "full_support"}))
        .await;
    for (visitor, expected) in [
        (&anna, &["mail", "web"][..]),
        (&admin, &["mail", "web"]),
        (&bert, &["web"]),
        (&cara, &[]),
    ] {
        let (_, page) = visitor.get("jump-client-installers?sort=name").await;
        assert_eq!(names(&page), expected);
    }
    let out_of_reach = "jump-client-installers/2";
    assert_eq!(bert.get(out_of_reach).await.0, 404);
    assert_eq!(bert.delete(out_of_reach).await.0, 404);
    let extend = json!({"valid_duration": 10_000});
    assert_eq!(
        bert.post(&format!("{out_of_reach}/extend"), extend.clone())
            .await
            .0,
        404
    );
    let mail = json!({"recipients": ["a@example.com"], "platform": "linux-64"});
    assert_eq!(
        bert.post(&format!("{out_of_reach}/mail"), mail.clone())
            .await
            .0,
        404
    );
    // With a key, too, what is another's is told apart from nothing by no word of the answer.
    for (method, path, body) in [
        (Method::DELETE, "", Value::Null),
        (Method::POST, "/extend", extend.clone()),
        (Method::POST, "/mail", mail),
    ] {
        let told = async |installer: u32| {
            let path = format!("jump-client-installers/{installer}{path}");
            let request = bert
                .request(method.clone(), &path)
                .header("Idempotency-Key", format!("{method} {path}"));
            let request = match &body {
                Value::Null => request,
                body => request.json(body),
            };
            answer(request.send().await.expect("an answer")).await
        };
        let (status, of_another) = told(2).await;
        assert_eq!(status, 404, "{method} {path}: {of_another}");
        assert_eq!((status, of_another), told(99).await, "{method} {path}");
    }
    assert_eq!(served.count("JumpClientInstallerDeleted").await, 0);
    // A member with a lesser role in the group can't make one there (ROLE-16).
    let (status, told) = bert
        .post("jump-client-installers", json!({"jump_group_id": 2}))
        .await;
    assert_eq!(
        (status, &told["code"]),
        (403, &json!("role_lacks")),
        "{told}"
    );
    // An administrator handles what they could not make (INST-11).
    let path = "jump-client-installers/1";
    assert_eq!(admin.post(&format!("{path}/extend"), extend).await.0, 200);
    assert_eq!(admin.delete(path).await.0, 204);
    assert_eq!(bert.get(path).await.0, 404);
}

/// INST-12, INST-13
#[tokio::test]
async fn an_installer_is_extended_and_deleted() {
    let served = Served::start().await;
    let group = served.group("Web servers").await;
    let anna = deployer(&served, "anna").await;
    let installer = made(&anna, json!({"jump_group_id": group, "valid_duration": 60})).await;
    let path = path_of(&installer);
    let extend = async |minutes: Value| {
        anna.post(
            &format!("{path}/extend"),
            json!({"valid_duration": minutes}),
        )
        .await
    };
    let (status, extended) = extend(json!(120)).await;
    assert_eq!(status, 200, "{extended}");
    assert_eq!(extended["expires_at"], "2026-01-05T11:00:00+00:00");
    for minutes in [
        json!(60),
        json!(120),
        json!(9),
        json!(525_601),
        json!("90"),
        Value::Null,
    ] {
        let (status, told) = extend(minutes.clone()).await;
        assert_eq!(status, 422, "{minutes}");
        assert!(
            told["errors"]["valid_duration"].is_array(),
            "{minutes} {told}"
        );
    }
    // The link is the same, and lives as long.
    served.clock.leap(90 * MINUTE);
    let (_, read) = anna.get(&path).await;
    assert_eq!(
        read["direct_download_link"],
        installer["direct_download_link"]
    );
    served.clock.leap(30 * MINUTE);
    let (status, told) = extend(json!(525_600)).await;
    assert_eq!((status, &told["code"]), (409, &json!("installer_expired")));
    assert_eq!(anna.delete(&path).await.0, 204);
    assert_eq!(anna.get(&path).await.0, 404);
    assert_eq!(extend(json!(100)).await.0, 404);
}

/// INST-13, threat C: the secret of a deleted installer is kept nowhere any more, whichever surface deleted it.
#[tokio::test]
async fn threat_c_the_secret_of_an_installer_goes_with_it() {
    let served = Served::start().await;
    let group = served.group("Web servers").await;
    let anna = deployer(&served, "anna").await;
    for by_console in [true, false] {
        let installer = made(&anna, json!({"jump_group_id": group, "valid_duration": 60})).await;
        let id: u32 = installer["id"].to_string().parse().expect("a number");
        let published = served.site.engine.published();
        let known = published
            .world
            .installers
            .get(&domain::ids::JumpClientInstallerId(id));
        let key = known.expect("it is there").installer_id.clone();
        let kept = async || {
            let store = served.site.engine.store();
            let row = store.side_row(eventstore::SideTable::Secret, &key).await;
            row.expect("an answer").is_some()
        };
        assert!(kept().await, "{by_console}");
        let (status, told) = if by_console {
            anna.delete(&path_of(&installer)).await
        } else {
            served.delete(&format!("jump-client/installer/{id}")).await
        };
        assert_eq!(status, 204, "{told}");
        assert!(!kept().await, "{by_console}");
    }
}

/// INST-17, INST-43: what the wizard offers, led by the system of who asks.
#[tokio::test]
async fn the_wizard_offers_the_platforms_and_begins_with_the_callers_own() {
    let served = Served::start().await;
    let anna = deployer(&served, "anna").await;
    let ask = async |agent: &str| {
        let request = anna
            .request(Method::GET, "jump-client-installers/wizard")
            .header("User-Agent", agent);
        answer(request.send().await.expect("an answer")).await.1
    };
    for (agent, platform) in [
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64)",
            "windows-64-msi",
        ),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)", "mac-dmg"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0)", "linux-64"),
    ] {
        assert_eq!(ask(agent).await["default_platform"], platform);
    }
    let wizard = ask("").await;
    let keys: Vec<&str> = wizard["platforms"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|platform| platform["key"].as_str().expect("a key"))
        .collect();
    for key in [
        "linux-64",
        "raspberry-pi-32-headless",
        "mac-dmg",
        "mac-zip",
        "windows-64-msi",
        "windows-32-msi",
    ] {
        assert!(keys.contains(&key), "{key}");
    }
    assert_eq!(
        wizard["valid_duration"],
        json!({"min": 10, "max": 525_600, "default": 1_440})
    );
    assert_eq!(wizard["clients_per_minute_advised"], 60);
}

/// LIM-02, LIM-04, LIM-05, LIM-06, ERR-01, ERR-02: at the limit no installer is made, on either surface, in the guide's words.
#[tokio::test]
async fn no_installer_is_made_at_the_limit() {
    let served = Served::start().await;
    let fleet = served.fleet("Web servers").await;
    let client = fleet.machine(1).await;
    let anna = deployer(&served, "anna").await;
    for (settings, message) in [
        (
            json!({"active_jump_clients_max": 1}),
            "The total number of deployable active Jump Clients for this site has been reached.",
        ),
        (
            json!({"jump_clients_max": 1}),
            "The total number of deployable Jump Clients for this site has been reached.",
        ),
    ] {
        site_setting(&served, settings).await;
        let body = json!({"jump_group_id": 1});
        let (status, told) = anna.post("jump-client-installers", body.clone()).await;
        assert_eq!((status, &told["message"]), (409, &json!(message)), "{told}");
        let (status, told) = served.post("jump-client/installer", body).await;
        assert_eq!((status, &told["message"]), (409, &json!(message)), "{told}");
    }
    // How large the fleet is, is told to administrators only.
    let (_, wizard) = anna.get("jump-client-installers/wizard").await;
    assert_eq!(wizard["jump_clients"], Value::Null);
    let admin = served.administrator().await;
    let (_, wizard) = admin.get("jump-client-installers/wizard").await;
    assert_eq!(
        wizard["jump_clients"],
        json!({"installed": 1, "installed_max": 1, "active": 1, "active_max": 1})
    );
    let (status, _) = served.delete(&format!("jump-client/{client}")).await;
    assert_eq!(status, 204);
    made(&anna, json!({"jump_group_id": 1})).await;
}

/// INST-08, INST-10: after an upgrade no file of any platform is made of an installer of before, and it is not extended or
/// mailed.
#[tokio::test]
async fn an_upgrade_puts_installers_out_of_use() {
    let served = Served::start().await;
    let group = served.group("Web servers").await;
    let anna = deployer(&served, "anna").await;
    let upgrade = async |build: &str| {
        let command = upgrade::Command {
            build: build.repeat(64),
            version: "0.1.0".to_owned(),
        };
        served.run(Command::Upgrade(command)).await
    };
    upgrade("a").await;
    let installer = made(&anna, json!({"name": "before", "jump_group_id": group})).await;
    let path = path_of(&installer);
    // The same build again.
    upgrade("a").await;
    assert_eq!(anna.get(&path).await.1["state"], "valid");
    upgrade("b").await;
    let (_, read) = anna.get(&path).await;
    assert_eq!(read["state"], "invalidated");
    assert_eq!(read["direct_download_link"], Value::Null);
    let (status, told) = anna
        .post(&format!("{path}/extend"), json!({"valid_duration": 10_000}))
        .await;
    assert_eq!(
        (status, &told["code"]),
        (409, &json!("installer_invalidated"))
    );
    let uid = installer["installer_id"].as_str().expect("an id");
    for platform in ["linux-64", "raspberry-pi-32-headless", "windows-64-msi"] {
        let (status, told) = served
            .get(&format!("jump-client/installer/{uid}/{platform}"))
            .await;
        assert_eq!(
            (status, &told["code"]),
            (409, &json!("installer_invalidated")),
            "{platform}"
        );
    }
    let (_, page) = anna.get("jump-client-installers").await;
    assert_eq!(names(&page), [""; 0]);
    let (_, page) = anna.get("jump-client-installers?state=invalidated").await;
    assert_eq!(names(&page), ["before"]);
    made(&anna, json!({"jump_group_id": group})).await;
}

/// INST-56, ERR-03, ERR-04, CLNT-55: a Jumpoint proxy must be there, and online.
#[tokio::test]
async fn a_proxy_that_can_not_serve_is_refused() {
    let served = Served::start().await;
    let group = served.group("Web servers").await;
    let anna = deployer(&served, "anna").await;
    let body = json!({"name": "proxy", "platform": "linux-x86", "jzp_enabled": true, "jzp_proxy_hostname": "proxy.example.com", "jzp_proxy_port": 8080});
    let (status, told) = served.post("jumpoint", body).await;
    assert_eq!(status, 201, "{told}");
    for (proxy, message) in [
        ("proxy", "The associated Jumpoint is not currently online."),
        ("gone", "The associated Jumpoint-proxy no longer exists."),
    ] {
        let body = json!({"jump_group_id": group, "jumpoint_proxy": proxy});
        let (status, told) = anna.post("jump-client-installers", body).await;
        assert_eq!(status, 422, "{told}");
        assert_eq!(told["errors"]["jumpoint_proxy"], json!([message]));
    }
}

/// INST-57: the console shows which other clients say they are the same machine, as far as the viewer sees them.
#[tokio::test]
async fn duplicates_are_shown_to_who_may_see_them() {
    let served = Served::start().await;
    let fleet = served.fleet("Web servers").await;
    let mail = served.group("Mail").await;
    let other = served.installer(json!({"jump_group_id": mail})).await;
    let mut same = facts(1);
    same.machine_id = "m-1".to_owned();
    let first = served.machine(fleet.installer, 1, same.clone()).await;
    let second = served.machine(other, 2, same).await;
    let alone = fleet.machine(3).await;
    let anna = served.jumper("anna").await;
    let bert = served
        .user("bert", json!({"perm_access_allowed": "full_support"}))
        .await;
    let body = json!({"user_id": bert.id, "jump_item_role_id": START});
    assert_eq!(served.post("jump-group/1/user", body).await.0, 201);
    let duplicates = async |visitor: &Visitor<'_>, client| {
        let item = JumpItemRef::JumpClient(client);
        let (status, item) = visitor.get(&format!("items/{item}")).await;
        assert_eq!(status, 200, "{item}");
        item["duplicate_of"].clone()
    };
    let shown =
        |client| json!([{"id": format!("jump_client-{client}"), "name": format!("host-1")}]);
    assert_eq!(duplicates(&anna, first).await, shown(second));
    assert_eq!(duplicates(&anna, second).await, shown(first));
    assert_eq!(duplicates(&anna, alone).await, json!([]));
    assert_eq!(duplicates(&bert, first).await, json!([]), "out of sight");
}

/// LIM-09, LIM-10: the license that is missing is told, and is there again when a session ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_license_that_is_missing_is_told() {
    let served = Served::start().await;
    let fleet = served.fleet("Web servers").await;
    let (one, two) = (fleet.machine(1).await, fleet.machine(2).await);
    let anna = served.jumper("anna").await;
    site_setting(&served, json!({"licenses": 1})).await;
    let lsid = anna.jump(one).await;
    let start = json!({"item": format!("jump_client-{two}")});
    let (status, told) = anna.post("sessions", start).await;
    assert_eq!(
        (status, &told["code"]),
        (409, &json!("no_free_license")),
        "{told}"
    );
    let ended = anna
        .send(Method::POST, &format!("sessions/{lsid}/end"), None)
        .await;
    assert!(ended.status().is_success(), "{ended:?}");
    anna.jump(two).await;
}

/// INST-59: an installer outlives the right of who made it, and the list says so.
#[tokio::test]
async fn the_list_says_that_a_creator_may_deploy_no_more() {
    let served = Served::start().await;
    served.fleet("Web servers").await;
    let anna = deployer(&served, "anna").await;
    let admin = served.administrator().await;
    let group = served.group("Databases").await;
    let installer = made(&anna, json!({"jump_group_id": group, "valid_duration": 60})).await;
    let may_deploy = async || {
        let (status, page) = admin.get("jump-client-installers").await;
        assert_eq!(status, 200, "{page}");
        let listed = page["installers"].as_array().expect("a list");
        let listed = listed.iter().find(|row| row["id"] == installer["id"]);
        listed.expect("it is valid")["created_by"]["may_deploy"].clone()
    };
    let slot = |role: u32| json!({ "unassigned_jump_item_role_id": role });
    assert_eq!(may_deploy().await, true);
    served.permit(anna.id, slot(START)).await;
    assert_eq!(may_deploy().await, false, "the right is lost");
    served.permit(anna.id, slot(EVERYTHING)).await;
    assert_eq!(may_deploy().await, true);
    let path = format!("user/{}", anna.id);
    let (status, told) = served.patch(&path, json!({"enabled": false})).await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(may_deploy().await, false, "the user is disabled");
    // It goes on registering machines where it was made for.
    let id = u32::try_from(installer["id"].as_u64().expect("an id")).expect("an id");
    let client = served.machine(JumpClientInstallerId(id), 7, facts(7)).await;
    let (_, shown) = served.get(&format!("jump-client/{client}")).await;
    assert_eq!(shown["jump_group_id"], json!(group));
}
