//! `import_jump_shortcut`: a script makes a Shell Jump item in a shared Jump Group.

use reqwest::Method;
use serde_json::json;

use crate::served::Served;

/// What every import needs.
const ROUTER: [(&str, &str); 6] = [
    ("action", "import_jump_shortcut"),
    ("name", "core"),
    ("shelljump_hostname", "core.example.com"),
    ("protocol", "telnet"),
    ("group", "routers"),
    ("jumpoint", "east"),
];

async fn site() -> Served {
    let served = Served::start().await;
    for (path, body) in [
        (
            "jump-group",
            json!({"name": "All Routers", "code_name": "routers"}),
        ),
        (
            "jumpoint",
            json!({"name": "East", "code_name": "east", "platform": "linux-x86", "shell_jump_enabled": true}),
        ),
        (
            "jump-policy",
            json!({"display_name": "Hours", "code_name": "hours", "schedule_enabled": false}),
        ),
    ] {
        let (status, made) = served.post(path, body).await;
        assert_eq!(status, 201, "{made}");
    }
    served
}

/// A form with the members of [`ROUTER`], but for these: an empty value leaves one out.
async fn import(served: &Served, token: &str, changes: &[(&str, &str)]) -> String {
    let mut form: Vec<(&str, &str)> = ROUTER
        .into_iter()
        .filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name))
        .collect();
    form.extend(changes.iter().filter(|(_, value)| !value.is_empty()));
    let request = served.request(Method::POST, "/api/command");
    let response = request.bearer_auth(token).form(&form).send().await;
    let response = response.expect("an answer");
    assert_eq!(response.status(), 200);
    let text = response.text().await.expect("text");
    let (_, inside) = text.split_once("API/command\">").expect("a namespace");
    inside.to_owned()
}

/// ITEM-05, ITEM-09, ITEM-11, ITEM-12, ITEM-15, ITEM-35, ITEM-37, ITEM-50, ITEM-51, ITEM-52, ITEM-55, GRP-27
#[tokio::test]
async fn a_script_imports_shell_jumps_into_shared_groups_alone() {
    let served = site().await;
    let anna = served.jumper("anna").await;
    let account = json!({"name": "all", "perm_command": "full_access"});
    let token = served.token_of(&served.account(account).await).await;
    let imported = "Successfully imported Jump Item shortcut</success>";
    let more = [
        ("shelljump_username", "operator"),
        ("terminal", "vt100"),
        ("protocol", "Telnet"),
        ("group", "ROUTERS"),
        ("jumpoint", "East"),
        ("keep_alive", "300"),
        ("tag", "core"),
        ("comments", "rack 4"),
        ("jump_policy", "HOURS"),
        ("colour", "red"),
    ];
    assert_eq!(import(&served, &token, &more).await, imported);
    // One of the same name and host is another one.
    assert_eq!(
        import(&served, &token, &[("terminal", "Xterm")]).await,
        imported
    );

    let (status, items) = anna.get("items").await;
    assert_eq!((status, &items["total"]), (200, &json!(2)), "{items}");
    assert_eq!(items["items"][0]["name"], "core");
    let (_, listed) = served.get("jump-item/shell-jump").await;
    let first = &listed[0];
    for (field, value) in [
        ("name", json!("core")),
        ("hostname", json!("core.example.com")),
        ("protocol", json!("telnet")),
        ("port", json!(23)),
        ("terminal", json!("VT100")),
        ("keep_alive", json!(300)),
        ("username", json!("operator")),
        ("tag", json!("core")),
        ("comments", json!("rack 4")),
        ("jump_group_type", json!("shared")),
        ("jump_group_id", json!(1)),
        ("jumpoint_id", json!(1)),
        ("jump_policy_id", json!(1)),
    ] {
        assert_eq!(first[field], value, "{field}");
    }

    // No name of a person, and no form of a personal list, is the code name of a group.
    for group in ["anna", "Anna", "personal-2", "2", "All Routers"] {
        let told = import(&served, &token, &[("group", group)]).await;
        assert_eq!(told, format!("The group {group} is not known.</error>"));
    }
    assert_eq!(served.count("ShellJumpCreated").await, 2);
}

/// ITEM-03, ITEM-04, ITEM-06, ITEM-07, ITEM-08, ITEM-33, ITEM-34, ITEM-38
#[tokio::test]
async fn an_import_that_is_not_right_makes_nothing() {
    let served = site().await;
    let account = json!({"name": "all", "perm_command": "full_access"});
    let token = served.token_of(&served.account(account).await).await;
    let long = "x".repeat(129);
    let types = "Exactly one of these parameters says the type of the shortcut: shelljump_hostname, \
                 local_jump_hostname, remote_jump_hostname, remote_vnc_hostname, remote_rdp_hostname, \
                 protocol_tunnel_hostname, url.";
    for (changes, expected) in [
        (vec![("name", "")], "The parameter name is required."),
        (vec![("group", "")], "The parameter group is required."),
        (
            vec![("jumpoint", "")],
            "The parameter jumpoint is required.",
        ),
        (
            vec![("protocol", "")],
            "The parameter protocol is required.",
        ),
        (
            vec![("jumpoint", "west")],
            "The jumpoint west is not known.",
        ),
        (
            vec![("jump_policy", "x")],
            "The jump_policy x is not known.",
        ),
        (
            vec![("session_policy", "x")],
            "The session_policy x is not known.",
        ),
        (vec![("shelljump_hostname", "")], types),
        (vec![("url", "https://example.com")], types),
        (
            vec![("shelljump_hostname", ""), ("remote_vnc_hostname", "pc")],
            "Importing a VNC shortcut is not available yet.",
        ),
    ] {
        let told = import(&served, &token, &changes).await;
        assert_eq!(told, format!("{expected}</error>"), "{changes:?}");
    }
    // What the record refuses is told in its words, which name the field.
    for (parameter, value, field) in [
        ("name", long.as_str(), "name"),
        ("shelljump_hostname", long.as_str(), "hostname"),
        ("protocol", "rlogin", "protocol"),
        ("port", "65536", "port"),
        ("port", "twenty", "port"),
        ("keep_alive", "301", "keep_alive"),
        ("terminal", "dumb", "terminal"),
    ] {
        let told = import(&served, &token, &[(parameter, value)]).await;
        assert!(
            told.contains(field) && told.ends_with("</error>"),
            "{parameter} {told}"
        );
    }
    let account = json!({"name": "reads", "perm_command": "read_only"});
    let reads = served.token_of(&served.account(account).await).await;
    let request = served.request(Method::POST, "/api/command");
    let refused = request.bearer_auth(&reads).form(&ROUTER).send().await;
    assert_eq!(refused.expect("an answer").status(), 403);
    assert_eq!(served.count("ShellJumpCreated").await, 0);
}
