//! Jump Items and the Jump on Startup group by role and place.

use domain::ids::{JumpClientId, JumpGroupRef};
use serde_json::{Value, json};

use super::{
    Ask, POLICY_OF_ITEMS, Place, ROLES, Role, SESSION_POLICY, Stage, in_group, line, table,
};

pub(super) const ASKS: &[Ask] = &[
    Ask::new("GET", "items", ""),
    Ask::new("GET", "items/{item}", ""),
    Ask::new("GET", "items/{item}/access", ""),
    Ask::new("GET", "items/{item}/access", "of another user"),
    Ask::new("GET", "items/{item}/custom-fields", ""),
    Ask::new("GET", "items/{item}/export", ""),
    Ask::new("GET", "items/{item}/start", ""),
    Ask::new("POST", "sessions", "the item"),
    Ask::new("POST", "sessions", "its group"),
    Ask::new("POST", "access-requests", "under a policy"),
    Ask::new("PATCH", "items/{item}", "tag"),
    Ask::new("PATCH", "items/{item}", "comments"),
    Ask::new("PATCH", "items/{item}", "jump_policy_id"),
    Ask::new("PATCH", "items/{item}", "session_policy_id"),
    Ask::new("PATCH", "items/{item}", "name"),
    Ask::new("PATCH", "items/{item}", "max_offline_minutes"),
    Ask::new("PATCH", "items/{item}", "out of it"),
    Ask::new("PATCH", "items/{item}", "into it"),
    Ask::new("PATCH", "items", "tag"),
    Ask::new("PATCH", "items/{item}/custom-fields", ""),
    Ask::new("POST", "items/{item}/copy", "out of it"),
    Ask::new("POST", "items/{item}/copy", "into it"),
    Ask::new("POST", "items/shell-jumps", "into it"),
    Ask::new("DELETE", "items/{item}", ""),
    Ask::new("POST", "items/remove", ""),
    Ask::new("GET", "recent-items", "accessed"),
    Ask::new("PUT", "startup-items/{item}", ""),
    Ask::new("GET", "startup-items", "kept"),
    Ask::new("POST", "startup-items/start", "kept"),
    Ask::new("DELETE", "startup-items/{item}", "kept"),
    Ask::new("GET", "jump-client-installers/{id}/download/{platform}", ""),
    Ask::new("GET", "jump-client-installers", ""),
    Ask::new("POST", "jump-client-installers", "into it"),
    Ask::new("GET", "jump-client-installers/{id}", ""),
    Ask::new("POST", "jump-client-installers/{id}/extend", ""),
    Ask::new("POST", "jump-client-installers/{id}/mail", ""),
    Ask::new("DELETE", "jump-client-installers/{id}", ""),
];

pub(super) async fn tell(stage: &Stage, role: Role) -> String {
    let mut rows = Vec::new();
    for ask in ASKS {
        let mut cells = Vec::new();
        for (place, _) in Place::ALL {
            cells.push(one(stage, *ask, place, role).await);
        }
        rows.push((line(*ask), cells));
    }
    let columns = Place::ALL.map(|(_, name)| name);
    table(&format!("{}: Jump Items", role.name), &columns, &rows)
}

async fn one(stage: &Stage, ask: Ask, place: Place, role: Role) -> String {
    let elsewhere = JumpGroupRef::Shared(stage.elsewhere);
    let machine = stage.machine(place).await;
    let item = format!("jump_client-{machine}");
    match ask.note {
        "into it" => {
            stage
                .served
                .change_client(machine, in_group(elsewhere))
                .await
        }
        "under a policy" => under_a_policy(stage, machine).await,
        "kept" => keep(stage, place, &item).await,
        "accessed" if place != Place::Beside => {
            stage.stand(place, ROLES[3]).await;
            stage.caller().jump(machine).await;
        }
        _ => {}
    }
    stage.stand(place, role).await;
    let mut path = ask.path.replace("{item}", &item);
    if ask.note == "of another user" {
        path += &format!("?user_id={}", stage.stranger);
    }
    let mut wanted = item.clone();
    if ask.path.contains("installers") {
        let made = installer(stage, place).await;
        wanted = made["id"].to_string();
        path = ask.path.replace("{id}", &wanted);
        path = path.replace("{platform}", "linux-64");
    }
    let body = body(stage, ask, place, &item);
    let cell = stage.ask(ask, &path, body, &wanted).await;
    stage.remove(machine).await;
    // What a cell made is not there for the next.
    let world = &stage.served.site.engine.published().world;
    let copies: Vec<JumpClientId> = world.jump_clients.iter().map(|(id, _)| *id).collect();
    for copy in copies {
        stage.remove(copy).await;
    }
    cell
}

/// Makes an installer for the group of a place.
async fn installer(stage: &Stage, place: Place) -> Value {
    let body = in_group(stage.group(place));
    let (status, made) = stage.served.post("jump-client/installer", body).await;
    assert_eq!(status, 201, "{made}");
    made
}

async fn under_a_policy(stage: &Stage, machine: JumpClientId) {
    let policy = stage.policy("Under approval", json!({})).await;
    stage
        .served
        .change_client(machine, json!({"jump_policy_id": policy}))
        .await;
}

/// Puts the item into the caller's Jump on Startup group, with every right that the place can give.
async fn keep(stage: &Stage, place: Place, item: &str) {
    stage.stand(place, ROLES[3]).await;
    let caller = stage.caller();
    let (status, told) = caller
        .put(&format!("startup-items/{item}"), json!({}))
        .await;
    let expected = if place == Place::Beside { 404 } else { 204 };
    assert_eq!(status, expected, "{told}");
}

fn body(stage: &Stage, ask: Ask, place: Place, item: &str) -> Option<Value> {
    let group = stage.group(place);
    let elsewhere = in_group(JumpGroupRef::Shared(stage.elsewhere));
    let with_name = |mut body: Value| {
        body["name"] = json!("copy");
        body
    };
    Some(match (ask.method, ask.path, ask.note) {
        ("GET", ..) => return None,
        ("POST", "sessions", "the item") => json!({"item": item}),
        ("POST", "sessions", _) => {
            json!({"group": {"type": group.type_name(), "id": group.number()}})
        }
        ("POST", "access-requests", _) => json!({"item": item, "reason": "patch"}),
        ("PATCH", "items/{item}", "tag" | "comments" | "name") => json!({ask.note: "canary"}),
        ("PATCH", "items/{item}", "max_offline_minutes") => json!({ask.note: 5}),
        ("PATCH", "items/{item}", "jump_policy_id") => json!({ask.note: POLICY_OF_ITEMS}),
        ("PATCH", "items/{item}", "session_policy_id") => json!({ask.note: SESSION_POLICY}),
        ("PATCH", "items/{item}", "out of it") => elsewhere,
        ("PATCH", "items/{item}", "into it") => in_group(group),
        ("PATCH", "items", _) => json!({"items": [item], "changes": {"tag": "canary"}}),
        ("PATCH", "items/{item}/custom-fields", _) => json!({"rack": "4"}),
        ("POST", "items/{item}/copy", "out of it") => with_name(elsewhere),
        ("POST", "items/{item}/copy", _) => with_name(in_group(group)),
        ("POST", "items/shell-jumps", _) => {
            let mut body = in_group(group);
            for (name, value) in [
                ("name", json!("core")),
                ("jumpoint_id", json!(1)),
                ("hostname", json!("core.example.com")),
                ("protocol", json!("ssh")),
            ] {
                body[name] = value;
            }
            body
        }
        ("POST", "items/remove", _) => json!({"items": [item]}),
        ("POST", "jump-client-installers", _) => in_group(group),
        ("POST", "jump-client-installers/{id}/extend", _) => json!({"valid_duration": 10_000}),
        ("POST", "jump-client-installers/{id}/mail", _) => {
            json!({"recipients": ["ann@example.com"], "platform": "linux-64"})
        }
        _ => json!({}),
    })
}
