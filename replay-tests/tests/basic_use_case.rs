//! The basic use case of the Jump Client Guide, scenario S1, step by step over HTTP: administrators and users share a Jump Group,
//! and each keeps a personal list.

use anyhow::{Context, Result, ensure};
use replay_tests::caller::Caller;
use replay_tests::stage::{Stage, end, item_named, jump, no_jump};
use reqwest::Method;
use serde_json::{Value, json};

/// The role that gives nothing; it comes with the site.
const NO_ACCESS: u64 = 1;
/// The eleven permissions of a Jump Item Role (ROLE-02).
const PERMISSIONS: [&str; 11] = [
    "perm_add",
    "perm_assign_jump_group",
    "perm_remove",
    "perm_view_jump_item_report",
    "perm_start",
    "perm_edit_tag",
    "perm_edit_comments",
    "perm_edit_jump_policy",
    "perm_edit_session_policy",
    "perm_edit_identity",
    "perm_edit_behavior",
];
/// Changes of an item, with the permission that each needs (ROLE-21 to ROLE-25).
const EDITS: [(&str, &str, &str); 4] = [
    ("tag", "blue", "Edit Tag"),
    ("comments", "in the cellar", "Edit Comments"),
    (
        "name",
        "shared-renamed",
        "Edit Connectivity and Authentication",
    ),
    ("max_offline_minutes", "5", "Edit Behavior and Experience"),
];

/// The two roles of the scenario.
struct Roles {
    administrator: u64,
    start_only: u64,
}

/// Step 1: roles under the guide's names. The site comes with two of the same names, which make room.
async fn create_roles(stage: &Stage) -> Result<Roles> {
    let path = "/api/console/v1/jump-item-roles";
    let shipped = stage.administrator.get(path).await?;
    for role in shipped.as_array().context("roles")? {
        if role["id"] != NO_ACCESS {
            let body =
                json!({"name": format!("{} as shipped", role["name"].as_str().context("a name")?)});
            let one = format!("jump-item-roles/{}", role["id"]);
            stage.set(&one, body).await?;
        }
    }
    let create = async |name: &str, permissions: &[&str]| {
        let mut body = json!({"name": name});
        for permission in PERMISSIONS {
            body[permission] = json!(permissions.contains(&permission));
        }
        let made = stage.administrator.send(Method::POST, path, &body).await?;
        made["id"].as_u64().context("the id of a role")
    };
    let roles = Roles {
        administrator: create("Administrator", &PERMISSIONS).await?,
        start_only: create("Start Sessions Only", &["perm_start"]).await?,
    };
    // As the table of roles shows them (ROLE-27, ROLE-28).
    let table = stage.administrator.get(&format!("{path}/table")).await?;
    for (id, jump, rest, edit) in [
        (roles.administrator, "Yes", "Yes", "All"),
        (roles.start_only, "Yes", "No", "None"),
    ] {
        let row = table
            .as_array()
            .and_then(|rows| rows.iter().find(|row| row["id"] == id));
        let row = row.with_context(|| format!("role {id} in {table}"))?;
        ensure!(row["jump"] == jump && row["edit"] == edit, "{row}");
        for column in ["create_deploy", "remove", "move_copy", "view_reports"] {
            ensure!(row[column] == rest, "{column}: {row}");
        }
    }
    Ok(roles)
}

/// Step 3: a group policy with its slots in the order Default, Personal, Team, System, its row for "Shared", and a member.
async fn create_policy(
    stage: &Stage,
    name: &str,
    slots: [u64; 4],
    (group, role): (u64, u64),
    member: u64,
) -> Result<u64> {
    let body = json!({
        "name": name, "perm_access_allowed": true,
        "perm_jump_client": true, "perm_shell_jump": true,
        "default_jump_item_role_id": slots[0], "private_jump_item_role_id": slots[1],
        "inferior_jump_item_role_id": slots[2], "unassigned_jump_item_role_id": slots[3],
    });
    let policy = stage.id_of_new("group-policy", body).await?;
    let row = json!({"jump_group_id": group, "jump_item_role_id": role});
    stage
        .make(&format!("group-policy/{policy}/jump-group"), row)
        .await?;
    let member = json!({"security_provider_id": 1, "user_id": member});
    stage
        .make(&format!("group-policy/{policy}/member"), member)
        .await?;
    Ok(policy)
}

fn one(item: &str) -> String {
    format!("/api/console/v1/items/{item}")
}

fn wish(item: &str) -> Value {
    json!({ "item": item })
}

fn lacks(permission: &str) -> String {
    format!("Your Jump Item Role does not include the permission \"{permission}\".")
}

/// The body of one of the [`EDITS`].
fn edit((member, value, _): (&str, &str, &str)) -> Value {
    match value.parse::<u32>() {
        Ok(number) => json!({ member: number }),
        Err(_) => json!({ member: value }),
    }
}

/// A Shell Jump to be deployed into a group.
fn shell_jump(name: &str, jumpoint: u64, (group_type, group): (&str, u64)) -> Value {
    json!({
        "name": name, "jumpoint_id": jumpoint, "hostname": "core.example.com", "protocol": "ssh",
        "jump_group_type": group_type, "jump_group_id": group,
    })
}

async fn jump_and_end(caller: &Caller, item: &str) -> Result<()> {
    let session = jump(caller, &wish(item)).await?;
    end(caller, &session).await
}

/// Whoever may only start: every change, the move, the copy and the removal are refused by the permission that is missing.
async fn only_starts(caller: &Caller, item: &str, elsewhere: (&str, u64)) -> Result<()> {
    let before = caller.get(&one(item)).await?;
    ensure!(
        before["may"]
            .as_object()
            .context("may")?
            .iter()
            .all(|(action, may)| *may == json!(action == "start")),
        "{before}"
    );
    for change in EDITS {
        let refusal = lacks(change.2);
        caller
            .refused(Method::PATCH, &one(item), &edit(change), (403, &refusal))
            .await?;
    }
    let refusal = lacks("Move and Copy Jump Items");
    let target = json!({"jump_group_type": elsewhere.0, "jump_group_id": elsewhere.1});
    caller
        .refused(Method::PATCH, &one(item), &target, (403, &refusal))
        .await?;
    let copy = format!("{}/copy", one(item));
    caller
        .refused(Method::POST, &copy, &target, (403, &refusal))
        .await?;
    let refusal = lacks("Remove existing Jump Items");
    caller
        .refused(Method::DELETE, &one(item), &json!({}), (403, &refusal))
        .await?;
    jump_and_end(caller, item).await?;
    let mut after = caller.get(&one(item)).await?;
    // Only the start left a trace (SESS-24).
    after["last_access_at"] = before["last_access_at"].clone();
    after["figures"] = before["figures"].clone();
    ensure!(after == before, "{before} became {after}");
    Ok(())
}

/// Whoever is out of sight of an item is told that there is none, whatever they try (ROLE-15, ERR-05).
async fn does_not_exist_for(caller: &Caller, name: &str, item: &str) -> Result<()> {
    ensure!(item_named(caller, name).await?.is_none(), "{name} is seen");
    let gone = (404, "The Jump Client does not exist.");
    for (method, body) in [
        (Method::GET, json!({})),
        (Method::PATCH, json!({"tag": "mine"})),
        (Method::DELETE, json!({})),
    ] {
        caller.refused(method, &one(item), &body, gone).await?;
    }
    no_jump(caller, &wish(item), gone).await?;
    Ok(())
}

/// Everything that an Administrator role allows on a Jump Client, ending with its removal.
async fn does_everything(
    caller: &Caller,
    item: &str,
    (home, elsewhere): ((&str, u64), (&str, u64)),
) -> Result<()> {
    for change in EDITS {
        let body = edit(change);
        caller.send(Method::PATCH, &one(item), &body).await?;
    }
    let shown = caller.get(&one(item)).await?;
    for member in ["tag", "comments", "name"] {
        let wanted = EDITS.iter().find(|edit| edit.0 == member);
        let wanted = wanted.map(|edit| edit.1).context("an edit")?;
        ensure!(shown[member] == wanted, "{member}: {shown}");
    }
    for (group_type, group) in [elsewhere, home] {
        let body = json!({"jump_group_type": group_type, "jump_group_id": group});
        caller.send(Method::PATCH, &one(item), &body).await?;
        let shown = caller.get(&one(item)).await?;
        ensure!(
            shown["group"]["type"] == group_type && shown["group"]["id"] == group,
            "{shown}"
        );
    }
    jump_and_end(caller, item).await
}

async fn remove(caller: &Caller, item: &str) -> Result<()> {
    caller.send(Method::DELETE, &one(item), &json!({})).await?;
    let gone = (404, "The Jump Client does not exist.");
    caller
        .refused(Method::GET, &one(item), &json!({}), gone)
        .await?;
    Ok(())
}

/// ROLE-01, ROLE-06, ROLE-07, ROLE-09, ROLE-11, ROLE-13, ROLE-15, ROLE-16, ROLE-18, ROLE-19, ROLE-20, GPOL-04, GPOL-05, GPOL-06,
/// GPOL-08, GPOL-13, GPOL-14, SESS-05
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn administrators_manage_a_shared_group_and_users_start_in_it() -> Result<()> {
    let mut stage = Stage::open("2026-03-05T10:00:00Z").await?;

    // 1. The administrator makes the roles on the console.
    let roles = create_roles(&stage).await?;

    // 2. With a token (the stage got one), the group.
    let shared = json!({"name": "Shared"});
    let shared = stage.id_of_new("jump-group", shared).await?;

    // 3. The group policies, with the group in them and one member each.
    let a = stage.user("a", "").await?;
    let u = stage.user("u", "").await?;
    let admins = create_policy(
        &stage,
        "Admin",
        [
            roles.administrator,
            roles.administrator,
            roles.start_only,
            roles.start_only,
        ],
        (shared, roles.administrator),
        a,
    )
    .await?;
    let users = create_policy(
        &stage,
        "Users",
        [roles.start_only, roles.administrator, NO_ACCESS, NO_ACCESS],
        (shared, roles.start_only),
        u,
    )
    .await?;
    let by_a = stage.sign_in("a").await?;
    let by_u = stage.sign_in("u").await?;

    // 4. An installer for "Shared": the agent installs and connects, and the item appears to both.
    let item = stage.machine("shared-1", ("shared", shared), &by_a).await?;
    for caller in [&by_a, &by_u] {
        let seen = item_named(caller, "shared-1").await?.context("the item")?;
        ensure!(seen["id"] == item.as_str(), "{seen}");
        ensure!(seen["group"]["name"] == "Shared", "{seen}");
    }
    // So do machines in the personal lists, to those who reach them.
    let of_a = stage.machine("of-a", ("personal", a), &by_a).await?;
    let of_u = stage.machine("of-u", ("personal", u), &by_u).await?;
    // Items are also deployed on the console, through a Jumpoint that both may use (ROLE-17).
    let jumpoint = json!({"name": "East", "platform": "linux-x86", "shell_jump_enabled": true});
    let jumpoint = stage.id_of_new("jumpoint", jumpoint).await?;
    for policy in [admins, users] {
        let row = json!({ "jumpoint_id": jumpoint });
        stage
            .make(&format!("group-policy/{policy}/jumpoint"), row)
            .await?;
    }
    let deploy = "/api/console/v1/items/shell-jumps";

    // 5. u sees it and starts; u's edit, removal and deployment to "Shared" are refused.
    only_starts(&by_u, &item, ("personal", u)).await?;
    let refusal = lacks("Create and deploy new Jump Items");
    by_u.refused(
        Method::POST,
        deploy,
        &shell_jump("by-u", jumpoint, ("shared", shared)),
        (403, &refusal),
    )
    .await?;
    // Nor does a move or a copy from their own list bring anything there.
    let into_shared = json!({"jump_group_type": "shared", "jump_group_id": shared});
    let refusal = lacks("Move and Copy Jump Items");
    by_u.refused(Method::PATCH, &one(&of_u), &into_shared, (403, &refusal))
        .await?;
    let copy = format!("{}/copy", one(&of_u));
    by_u.refused(Method::POST, &copy, &into_shared, (403, &refusal))
        .await?;
    // a starts u's personal item, and cannot edit it.
    only_starts(&by_a, &of_u, ("shared", shared)).await?;
    // u cannot see a's.
    does_not_exist_for(&by_u, "of-a", &of_a).await?;
    // u manages their own: deploys, edits, starts and removes.
    let own = shell_jump("by-u", jumpoint, ("personal", u));
    by_u.send(Method::POST, deploy, &own).await?;
    ensure!(item_named(&by_u, "by-u").await?.is_some(), "u deployed it");
    for change in EDITS {
        by_u.send(Method::PATCH, &one(&of_u), &edit(change)).await?;
    }
    jump_and_end(&by_u, &of_u).await?;
    remove(&by_u, &of_u).await?;
    // a can edit, move, start, deploy and remove in "Shared".
    does_everything(&by_a, &item, (("shared", shared), ("personal", a))).await?;
    let by_admin = shell_jump("by-a", jumpoint, ("shared", shared));
    by_a.send(Method::POST, deploy, &by_admin).await?;
    ensure!(item_named(&by_u, "by-a").await?.is_some(), "u sees it too");
    remove(&by_a, &item).await?;
    let gone = (404, "The Jump Client does not exist.");
    no_jump(&by_u, &wish(&item), gone).await?;
    // Their agents are told for good, and end.
    stage.agent_ends(&of_u).await?;
    stage.agent_ends(&item).await?;

    // What was refused is in the log, and nothing of it happened.
    let log = stage.site.log().await?;
    let count = |name: &str| log.iter().filter(|event| event.name == name).count();
    ensure!(
        count("AccessSessionStarted") == 4,
        "sessions: {}",
        count("AccessSessionStarted")
    );
    ensure!(count("ShellJumpCreated") == 2 && count("JumpClientDeleted") == 2);
    stage.close().await
}
