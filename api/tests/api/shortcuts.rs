//! Shell Jump items, Jumpoints, session policies and custom fields over HTTP: the published part, and what the console adds.

use reqwest::Method;
use serde_json::{Value, json};

use crate::served::{Served, answer, header};
use crate::visit::Visitor;

async fn site() -> Served {
    let served = Served::start().await;
    made(&served, "jump-group", json!({"name": "Routers"})).await;
    made(&served, "jump-group", json!({"name": "Switches"})).await;
    made(
        &served,
        "jumpoint",
        json!({"name": "East", "platform": "linux-x86", "shell_jump_enabled": true}),
    )
    .await;
    served
}

async fn made(served: &Served, path: &str, body: Value) -> Value {
    let (status, made) = served.post(path, body).await;
    assert_eq!(status, 201, "{made}");
    made
}

fn router() -> Value {
    json!({
        "name": "core", "jumpoint_id": 1, "hostname": "core.example.com", "protocol": "ssh",
        "jump_group_id": 1,
    })
}

/// A new role with these permissions.
async fn role(admin: &Visitor<'_>, name: &str, permissions: &[&str]) -> Value {
    let mut body = json!({"name": name});
    for permission in permissions {
        body[*permission] = json!(true);
    }
    let (status, role) = console(admin, Method::POST, "jump-item-roles", Some(body)).await;
    assert_eq!(status, 201, "{role}");
    role["id"].clone()
}

async fn console(
    user: &Visitor<'_>,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> (u16, Value) {
    answer(user.send(method, path, body).await).await
}

/// ITEM-33, ITEM-34, ITEM-35, ITEM-36, ITEM-38, ITEM-39, CONF-17
#[tokio::test]
async fn a_shell_jump_is_made_read_changed_and_deleted() {
    let served = site().await;
    let response = served
        .call(Method::POST, "jump-item/shell-jump", Some(router()))
        .await;
    assert_eq!(
        header(&response, "location"),
        Some(format!(
            "{}/api/config/v1/jump-item/shell-jump/1",
            served.url
        ))
    );
    let whole = json!({
        "id": 1, "name": "core", "jumpoint_id": 1, "hostname": "core.example.com",
        "protocol": "ssh", "port": 22, "jump_group_id": 1, "jump_group_type": "shared",
        "terminal": "xterm", "keep_alive": 0, "tag": "", "comments": "", "jump_policy_id": null,
        "username": "", "session_policy_id": null,
    });
    assert_eq!(answer(response).await, (201, whole.clone()));
    let read = served
        .call(Method::GET, "jump-item/shell-jump/1", None)
        .await;
    assert_eq!(answer(read).await, (200, whole.clone()));
    // The whole object comes back, as the vendor's provider sends it.
    let mut changed = whole;
    changed["terminal"] = json!("VT100");
    changed["port"] = json!(2222);
    changed["jump_group_id"] = json!(2);
    assert_eq!(
        served
            .patch("jump-item/shell-jump/1", changed.clone())
            .await,
        (200, changed)
    );
    let gone = served
        .call(Method::DELETE, "jump-item/shell-jump/1", None)
        .await;
    assert_eq!(answer(gone).await, (204, Value::Null));
    for method in [Method::GET, Method::DELETE] {
        let missing = served.call(method, "jump-item/shell-jump/1", None).await;
        let (status, body) = answer(missing).await;
        assert_eq!(
            (status, &body["message"]),
            (404, &json!("Shell Jump Item not found."))
        );
    }
}

/// ITEM-35, ITEM-38, ITEM-15
#[tokio::test]
async fn what_is_wrong_with_a_shell_jump_is_named_by_field() {
    let served = site().await;
    for (field, value) in [
        ("port", json!(65_536)),
        ("port", json!("22")),
        ("keep_alive", json!(301)),
        ("protocol", json!("rlogin")),
        ("jumpoint_id", json!(9)),
        ("jump_group_id", json!(9)),
        ("session_policy_id", json!(2)),
        ("session_policy_id", json!(1)),
        ("colour", json!("red")),
    ] {
        let mut body = router();
        body[field] = value;
        let (status, refused) = served.post("jump-item/shell-jump", body).await;
        assert_eq!(status, 422, "{field} {refused}");
        assert!(refused["errors"][field].is_array(), "{field} {refused}");
    }
}

/// CONF-01
#[tokio::test]
async fn lists_of_shell_jumps_are_filtered() {
    let served = site().await;
    made(&served, "jump-item/shell-jump", router()).await;
    let mut second = router();
    second["name"] = json!("Edge");
    second["tag"] = json!("edge");
    second["jump_group_id"] = json!(2);
    made(&served, "jump-item/shell-jump", second).await;
    for (query, found) in [
        ("", 2),
        ("?name=EDGE", 1),
        ("?hostname=core.example.com", 2),
        ("?jump_group_id=2", 1),
        ("?jump_group_type=shared", 2),
        ("?jump_group_type=personal", 0),
        ("?jumpoint_id=1", 2),
        ("?jumpoint_id=2", 0),
        ("?tag=edge&name=core", 0),
    ] {
        let path = format!("jump-item/shell-jump{query}");
        let (status, list) = answer(served.call(Method::GET, &path, None).await).await;
        assert_eq!(status, 200, "{query}");
        assert_eq!(list.as_array().unwrap().len(), found, "{query}");
    }
    let unknown = served
        .call(Method::GET, "jump-item/shell-jump?protocol=ssh", None)
        .await;
    assert_eq!(unknown.status(), 422);
}

/// CONF-17
#[tokio::test]
async fn a_copy_answers_as_the_published_description_says() {
    let served = site().await;
    made(&served, "jump-item/shell-jump", router()).await;
    let body = json!({"jump_group_id": 2, "jump_group_type": "shared", "name": "second"});
    let copied = served
        .post("jump-item/shell-jump/1/copy", body.clone())
        .await;
    assert_eq!(
        copied,
        (200, json!({"action": "copy", "success": "1", "destId": 2}))
    );
    let second = served
        .call(Method::GET, "jump-item/shell-jump/2", None)
        .await;
    let (_, second) = answer(second).await;
    assert_eq!(
        (&second["name"], &second["jump_group_id"]),
        (&json!("second"), &json!(2))
    );
    let (status, _) = served.post("jump-item/shell-jump/9/copy", body).await;
    assert_eq!(status, 404);
    let (status, refused) = served
        .post("jump-item/shell-jump/1/copy", json!({"jump_group_id": 9}))
        .await;
    assert_eq!(status, 422);
    assert!(refused["errors"]["jump_group_type"].is_array(), "{refused}");
}

/// JPT-01, JPT-02, JPT-03, JPT-16, JPT-25
#[tokio::test]
async fn a_jumpoint_is_made_read_changed_and_deleted_with_its_items() {
    let served = site().await;
    let (status, east) = answer(served.call(Method::GET, "jumpoint/1", None).await).await;
    assert_eq!(status, 200);
    let whole = json!({
        "id": 1, "name": "East", "platform": "linux-x86", "code_name": "east", "comments": "",
        "enabled": true, "connected": false, "clustered": false, "shell_jump_enabled": true,
        "protocol_tunnel_enabled": true,
        "rdp_service_account_id": null, "managed_ip_ranges": [], "jzp_enabled": false,
        "jzp_proxy_hostname": "", "jzp_proxy_port": 9555, "jzp_allow_http_get": false,
        "jzp_client_address_restrictions_type": "no_restriction", "jzp_restricted_ips": [],
    });
    assert_eq!(east, whole);
    let mut changed = whole;
    changed["comments"] = json!("data center");
    changed["connected"] = json!(true);
    let (status, after) = served.patch("jumpoint/1", changed).await;
    assert_eq!(status, 200, "{after}");
    assert_eq!(
        (&after["comments"], &after["connected"], &after["platform"]),
        (&json!("data center"), &json!(false), &json!("linux-x86"))
    );
    for (field, value) in [
        ("name", json!("east")),
        ("jzp_proxy_hostname", json!("https://proxy")),
        ("jzp_restricted_ips", json!(["10.0.0.0/255.0.255.0"])),
        ("managed_ip_ranges", json!([{"start": "10.0.0.9"}])),
    ] {
        let mut body = json!({"name": "West", "platform": "linux-x86"});
        body[field] = value;
        let (status, refused) = served.post("jumpoint", body).await;
        assert_eq!(status, 422, "{field}");
        assert!(refused["errors"][field].is_array(), "{refused}");
    }
    for (query, found) in [
        ("?name=EAST", 1),
        ("?code_name=west", 0),
        ("?hostname=a", 0),
    ] {
        let list = served
            .call(Method::GET, &format!("jumpoint{query}"), None)
            .await;
        let (_, list) = answer(list).await;
        assert_eq!(list.as_array().unwrap().len(), found, "{query}");
    }
    made(&served, "jump-item/shell-jump", router()).await;
    let gone = served.call(Method::DELETE, "jumpoint/1", None).await;
    assert_eq!(gone.status(), 204);
    let item = served
        .call(Method::GET, "jump-item/shell-jump/1", None)
        .await;
    assert_eq!(item.status(), 404);
}

/// JPT-28, GPOL-12
#[tokio::test]
async fn users_are_named_on_a_jumpoint() {
    let served = site().await;
    let anna = served.user("anna", json!({})).await.id;
    let (status, added) = served
        .post("jumpoint/1/user", json!({"user_id": anna}))
        .await;
    assert_eq!((status, added), (201, json!({"user_id": anna})));
    let list = served.call(Method::GET, "jumpoint/1/user", None).await;
    assert_eq!(answer(list).await, (200, json!([{"user_id": anna}])));
    let one = format!("jumpoint/1/user/{anna}");
    let read = served.call(Method::GET, &one, None).await;
    assert_eq!(answer(read).await, (200, json!({"user_id": anna})));
    let (status, refused) = served
        .post("jumpoint/1/user", json!({"user_id": 999}))
        .await;
    assert_eq!(status, 422);
    assert!(refused["errors"]["user_id"].is_array());
    for status in [204, 404] {
        let gone = served.call(Method::DELETE, &one, None).await;
        assert_eq!(gone.status(), status);
    }
    let missing = served.call(Method::GET, "jumpoint/9/user", None).await;
    assert_eq!(missing.status(), 404);
}

/// ROLE-33
#[tokio::test]
async fn session_policies_are_written_in_the_console_and_read_by_integrations() {
    let served = site().await;
    let admin = served.administrator().await;
    let (status, policy) = console(
        &admin,
        Method::POST,
        "session-policies",
        Some(json!({"display_name": "Strict"})),
    )
    .await;
    assert_eq!(status, 201);
    let whole =
        json!({"id": 2, "display_name": "Strict", "code_name": "strict", "description": ""});
    assert_eq!(policy, whole);
    let list = served.call(Method::GET, "session-policy", None).await;
    assert_eq!(answer(list).await, (200, json!([whole])));
    let one = served.call(Method::GET, "session-policy/2", None).await;
    assert_eq!(one.status(), 404, "the published API only lists");
    let mut item = router();
    item["session_policy_id"] = json!(2);
    made(&served, "jump-item/shell-jump", item).await;
    let (status, refused) = console(&admin, Method::DELETE, "session-policies/2", None).await;
    assert_eq!(status, 409, "{refused}");
    let (status, _) = console(
        &admin,
        Method::PATCH,
        "session-policies/2",
        Some(json!({"description": "for strangers"})),
    )
    .await;
    assert_eq!(status, 200);
}

/// ROLE-17, GPOL-07, GPOL-11, GPOL-12, JPT-27: a removal in a group policy lets nobody use a Jumpoint, and takes away what a policy
/// above it gives.
#[tokio::test]
async fn a_removal_lets_nobody_use_a_jumpoint() {
    let served = site().await;
    let admin = served.administrator().await;
    let anna = served
        .user("anna", json!({"unassigned_jump_item_role_id": 3}))
        .await;
    for name in ["Above", "Below"] {
        let body = json!({"name": name, "access_perm_status": "not_defined"});
        let (_, policy) = served.post("group-policy", body).await;
        let id = &policy["id"];
        let member = json!({"user_id": anna.id});
        let path = format!("group-policy/{id}/member");
        let (status, told) = served.post(&path, member).await;
        assert_eq!(status, 201, "{told}");
    }
    let make = async || anna.post("items/shell-jumps", router()).await;
    let refused = "You are not allowed to use the Jumpoint \"East\".";
    let (status, told) = make().await;
    assert_eq!((status, told["message"].as_str()), (403, Some(refused)));
    let removal = "group-policies/2/removals/jumpoint/1";
    let (status, _) = console(&admin, Method::PUT, removal, Some(json!({}))).await;
    assert_eq!(status, 200);
    assert_eq!(make().await.0, 403);
    let given = json!({"jumpoint_id": 1});
    let (status, _) = served.post("group-policy/1/jumpoint", given).await;
    assert_eq!(status, 201);
    assert_eq!(make().await.0, 403, "taken away again below");
    let (status, _) = console(&admin, Method::DELETE, removal, None).await;
    assert_eq!(status, 204);
    assert_eq!(make().await.0, 201);
}

/// JPT-26, JPT-32
#[tokio::test]
async fn a_confirmation_knows_what_hangs_on_a_jumpoint() {
    let served = site().await;
    let admin = served.administrator().await;
    made(&served, "jump-item/shell-jump", router()).await;
    let anna = served.user("anna", json!({})).await.id;
    served
        .post("jumpoint/1/user", json!({"user_id": anna}))
        .await;
    let (status, dependents) = console(&admin, Method::GET, "jumpoints/1/dependents", None).await;
    assert_eq!(status, 200);
    assert_eq!(
        dependents,
        json!({"jump_items": 1, "users": 1, "group_policies": []})
    );
    // A policy that takes access away grants none.
    for (policy, row) in [(1, "jumpoint"), (2, "removals/jumpoint/1")] {
        let name = json!({"name": format!("Policy {policy}")});
        let (status, told) = served.post("group-policy", name).await;
        assert_eq!(status, 201, "{told}");
        let (status, told) = match row {
            "jumpoint" => {
                let path = format!("group-policy/{policy}/jumpoint");
                served.post(&path, json!({"jumpoint_id": 1})).await
            }
            row => {
                let path = format!("group-policies/{policy}/{row}");
                console(&admin, Method::PUT, &path, Some(json!({}))).await
            }
        };
        assert!(matches!(status, 200 | 201), "{status} {told}");
    }
    let (_, dependents) = console(&admin, Method::GET, "jumpoints/1/dependents", None).await;
    let names = json!([{"id": 1, "name": "Policy 1"}]);
    assert_eq!(dependents["group_policies"], names);
    let (status, _) = console(&admin, Method::GET, "jumpoints/9/dependents", None).await;
    assert_eq!(status, 404);
}

/// TICK-46
#[tokio::test]
async fn session_attributes_are_configured_in_the_console() {
    let served = site().await;
    let admin = served.administrator().await;
    let path = "custom-session-attributes";
    let body = json!({"display_name": "Change number"});
    let (status, made) = console(&admin, Method::POST, path, Some(body)).await;
    assert_eq!((status, &made["code_name"]), (201, &json!("change_number")));
    let taken = json!({"display_name": "x", "code_name": "CHANGE_NUMBER"});
    let (status, refused) = console(&admin, Method::POST, path, Some(taken)).await;
    assert_eq!(status, 422);
    assert!(refused["errors"]["code_name"].is_array());
    let one = format!("{path}/1");
    let (status, _) = console(&admin, Method::DELETE, &one, None).await;
    assert_eq!(status, 204);
    let (status, _) = console(&admin, Method::GET, &one, None).await;
    assert_eq!(status, 404);
}

/// GRP-22, GRP-26, ROLE-16, ROLE-17, ROLE-18, ROLE-19, ROLE-21, ROLE-22, SESS-05, ERR-03, TICK-49
#[tokio::test]
async fn users_do_with_items_what_their_role_lets_them() {
    let served = site().await;
    let admin = served.administrator().await;
    let anna = served
        .user(
            "anna",
            json!({"perm_access_allowed": "full_support", "perm_shell_jump": true}),
        )
        .await;
    let keeper = role(
        &admin,
        "Keeper",
        &[
            "perm_add",
            "perm_edit_tag",
            "perm_edit_comments",
            "perm_assign_jump_group",
            "perm_start",
        ],
    )
    .await;
    for group in [1, 2] {
        let body = json!({"user_id": anna.id, "jump_item_role_id": keeper});
        let (status, _) = served.post(&format!("jump-group/{group}/user"), body).await;
        assert_eq!(status, 201);
    }
    let create = || console(&anna, Method::POST, "items/shell-jumps", Some(router()));
    let (status, refused) = create().await;
    assert_eq!(
        (status, &refused["code"]),
        (403, &json!("jumpoint_not_allowed"))
    );
    served
        .post("jumpoint/1/user", json!({"user_id": anna.id}))
        .await;
    assert_eq!(create().await.0, 201);

    let item = "items/shell_jump-1";
    let change = |body: Value| console(&anna, Method::PATCH, item, Some(body));
    assert_eq!(
        change(json!({"tag": "core", "jump_group_id": 2})).await.0,
        204
    );
    let (status, refused) = change(json!({"port": 2222})).await;
    assert_eq!((status, &refused["code"]), (403, &json!("role_lacks")));
    let (status, details) = console(&anna, Method::GET, item, None).await;
    assert_eq!(status, 200);
    for (member, value) in [
        ("type", json!("shell_jump")),
        ("jump_method", json!("Shell Jump")),
        ("hostname", json!("core.example.com")),
        ("tag", json!("core")),
        ("status_text", json!("Unavailable")),
        ("port", json!(22)),
        (
            "group",
            json!({"type": "shared", "id": 2, "name": "Switches"}),
        ),
    ] {
        assert_eq!(details[member], value, "{member}");
    }
    assert_eq!(details["may"]["edit_tag"], json!(true));
    assert_eq!(details["may"]["remove"], json!(false));

    let fields = json!({"display_name": "Rack"});
    let (status, _) = console(&admin, Method::POST, "custom-fields", Some(fields)).await;
    assert_eq!(status, 201);
    let values = format!("{item}/custom-fields");
    let (_, before) = console(&anna, Method::GET, &values, None).await;
    assert_eq!(before, json!({"rack": null}));
    let (status, after) = console(&anna, Method::PATCH, &values, Some(json!({"rack": "4"}))).await;
    assert_eq!((status, after), (200, json!({"rack": "4"})));
    let (status, refused) = console(&anna, Method::PATCH, &values, Some(json!({"row": "4"}))).await;
    assert_eq!(status, 422);
    assert!(refused["errors"]["row"].is_array());

    let copy = json!({"jump_group_id": 1, "jump_group_type": "shared"});
    let (status, copied) = console(&anna, Method::POST, &format!("{item}/copy"), Some(copy)).await;
    assert_eq!((status, &copied["destId"]), (200, &json!(2)));
    let (_, found) = console(&anna, Method::GET, "items?search=core", None).await;
    assert_eq!(found["total"], json!(2));
    assert_eq!(found["counts"]["items"], json!(2));
    assert_eq!(found["counts"]["jump_clients"], json!(0));

    let (status, refused) = console(&anna, Method::DELETE, item, None).await;
    assert_eq!((status, &refused["code"]), (403, &json!("role_lacks")));
    let start = json!({"item": "shell_jump-1"});
    let (status, refused) = console(&anna, Method::POST, "sessions", Some(start)).await;
    assert_eq!(status, 409, "{refused}");
    assert_eq!(
        refused["message"],
        json!("The associated Jumpoint is not currently online.")
    );
    // Whoever may not see it is not told that it is there.
    let bert = served.user("bert", json!({})).await;
    for path in [item, &values] {
        let (status, _) = console(&bert, Method::GET, path, None).await;
        assert_eq!(status, 404);
    }
}
