//! What sessions rest on: a right that is taken away while they run, invitations past an approval, and whom a policy does not bind.

use domain::Command;
use domain::ids::JumpPolicyId;
use domain::policy::jump_policy;
use domain::record;
use reqwest::Method;
use serde_json::json;

use crate::console_sessions::{item, members, settings, under_a_policy};
use crate::reporting::{report, schema};
use crate::served::{Served, header};
use crate::visit::object;

/// GPOL-04, ROLE-31, SESS-21: a right that is taken away while sessions run ends them, or hands them on, in the same decision: the
/// item is free again, and the console and the report say why.
#[tokio::test]
async fn a_session_ends_with_the_right_it_rests_on() {
    let served = Served::start().await;
    let fleet = served.fleet("Fleet").await;
    let client = fleet.machine(1).await;
    settings(&served, json!({"simultaneous_jumps": "join"})).await;
    let anna = served.jumper("anna").await;
    let berta = served.jumper("berta").await;
    let session = anna.jump(client).await;
    let (status, told) = berta.post("sessions", json!({"item": item(client)})).await;
    assert_eq!(status, 201, "{told}");
    // Disabled: berta goes on as the owner.
    let (status, _) = served
        .patch(&format!("user/{}", anna.id), json!({"enabled": false}))
        .await;
    assert_eq!(status, 200);
    let (status, told) = berta.get(&format!("sessions/{session}")).await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(members(&told), [(u64::from(berta.id.0), true, false)]);
    // The role withdrawn from the last one: the session ends, and somebody else may start there at once.
    let cara = served.jumper("cara").await;
    served
        .permit(berta.id, json!({"unassigned_jump_item_role_id": 1}))
        .await;
    assert_eq!(berta.get(&format!("sessions/{session}")).await.0, 404);
    cara.jump(client).await;
    let xml = report(
        &served,
        &format!("generate_report=AccessSession&lsid={session}"),
    )
    .await;
    schema(&served).await.holds_for(&[&xml]);
    for words in [
        "<value name=\"reason\" value=\"The user's access was withdrawn\"/>",
        "<value name=\"detail\" value=\"This account has been disabled.\"/>",
        "<value name=\"reason\" value=\"The access of its owner was withdrawn\"/>",
        "<value name=\"detail\" value=\"The Jump Client does not exist.\"/>",
    ] {
        assert!(xml.replace("&apos;", "'").contains(words), "{words}: {xml}");
    }
}

/// APPR-20, APPR-21, SESS-34: by invitation nobody comes in past the approval of the policy that the session runs under.
#[tokio::test]
async fn an_invitation_opens_no_way_past_an_approval() {
    let served = Served::start().await;
    let fleet = served.fleet("Fleet").await;
    let client = fleet.machine(1).await;
    let anna = served.jumper("anna").await;
    let guest = served
        .user(
            "guest",
            json!({"perm_access_allowed": "full_support", "perm_jump_client": true}),
        )
        .await;
    let berta = served.jumper("berta").await;
    under_a_policy(&served, &anna, json!({})).await;
    let session = anna.jump(client).await;
    let path = format!("sessions/{session}");
    let rules = object(json!({
        "approval_required": true,
        "approval_display_name": "Managers",
        "approval_email_addresses": ["boss@example.com"],
    }));
    let change = record::Command::Change(JumpPolicyId(1), rules);
    served
        .run(Command::JumpPolicy(jump_policy::Command::Record(change)))
        .await;
    assert_eq!(anna.get(&path).await.0, 200, "a running session goes on");
    for user in [guest.id, berta.id] {
        let invite = json!({"user_id": user});
        let (status, told) = anna.post(&format!("{path}/invitations"), invite).await;
        assert_eq!(status, 200, "{told}");
    }
    // Who may not even ask for an approval can't have one; who may is told what is missing.
    let (status, told) = guest.post(&format!("{path}/accept"), json!({})).await;
    assert_eq!(
        (status, told["code"].as_str()),
        (404, Some("jump_client_gone")),
        "{told}"
    );
    let (status, told) = berta.post(&format!("{path}/accept"), json!({})).await;
    assert_eq!(
        (status, told["code"].as_str()),
        (409, Some("start_needs")),
        "{told}"
    );
    assert_eq!(told["needs"][0]["need"], "approval");
}

/// POL-07: an administrator who sets a policy on an item is told whom it does not bind, whichever way it is set; nobody else is.
#[tokio::test]
async fn who_sets_a_policy_on_an_item_is_told_whom_it_does_not_bind() {
    const WARNING: &str = "x-gatebook-warning";
    let served = Served::start().await;
    let fleet = served.fleet("Fleet").await;
    let client = fleet.machine(1).await;
    let anna = served.jumper("anna").await;
    let editor = served
        .user("editor", json!({"unassigned_jump_item_role_id": 3}))
        .await;
    under_a_policy(&served, &anna, json!({})).await;
    let other = json!({"display_name": "Other", "schedule_enabled": false});
    let create = record::Command::Create(object(other));
    served
        .run(Command::JumpPolicy(jump_policy::Command::Record(create)))
        .await;
    let words = "The Jump Policy of the Jump Item does not bind users whose membership of the Jump Group names another: anna.";
    let admin = served.administrator().await;
    let one = format!("items/{}", item(client));
    let set = |policy: Option<u32>| Some(json!({"jump_policy_id": policy}));
    let answer = admin.send(Method::PATCH, &one, set(Some(2))).await;
    assert_eq!(header(&answer, WARNING).as_deref(), Some(words));
    // The one that binds her, and none at all, leave nothing to say.
    for policy in [Some(1), None] {
        let answer = admin.send(Method::PATCH, &one, set(policy)).await;
        assert_eq!(answer.status(), 204);
        assert_eq!(header(&answer, WARNING), None);
    }
    let answer = editor.send(Method::PATCH, &one, set(Some(2))).await;
    assert_eq!(
        (answer.status().as_u16(), header(&answer, WARNING)),
        (204, None)
    );
    admin.send(Method::PATCH, &one, set(None)).await;
    let several = json!({"items": [item(client)], "changes": {"jump_policy_id": 2}});
    let (_, told) = admin.patch("items", several).await;
    assert_eq!(told["results"][0]["warning"], words, "{told}");
    admin.send(Method::PATCH, &one, set(None)).await;
    let path = format!("jump-client/{client}");
    let answer = served.call(Method::PATCH, &path, set(Some(2))).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, WARNING).as_deref(), Some(words));
}
