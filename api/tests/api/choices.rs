//! What users choose from, and read of sessions: each sees what the own rights let use, and no more.

use reqwest::Method;
use serde_json::{Value, json};

use crate::served::{Served, answer, header};
use crate::visit::{Agent, Conduct, Visitor};

async fn list(visitor: &Visitor<'_>, path: &str) -> Vec<Value> {
    let (status, body) = visitor.get(path).await;
    assert_eq!(status, 200, "{path}: {body}");
    body.as_array().expect("a list").clone()
}

fn names(rows: &[Value], member: &str) -> Vec<String> {
    let name = |row: &Value| row[member].as_str().expect("a name").to_owned();
    rows.iter().map(name).collect()
}

/// GRP-18, ROLE-03, ROLE-15: the shared groups and the personal lists in sight, and what may be done in each.
#[tokio::test]
async fn grp_18_groups_and_personal_lists_in_sight_are_listed_and_no_others() {
    let served = Served::start().await;
    let (web, _) = (
        served.group("Web servers").await,
        served.group("Databases").await,
    );
    let vera = served.user("vera", json!({})).await;
    let anna = served
        .user(
            "anna",
            json!({"private_jump_item_role_id": 3, "unassigned_jump_item_role_id": 1}),
        )
        .await;
    let member = json!({"user_id": anna.id, "jump_item_role_id": 2});
    let (status, told) = served.post(&format!("jump-group/{web}/user"), member).await;
    assert_eq!(status, 201, "{told}");
    let groups = list(&anna, "groups").await;
    assert_eq!(names(&groups, "type"), ["shared", "personal"]);
    assert_eq!(names(&groups, "name"), ["Web servers", "anna in private"]);
    assert_eq!(groups[0]["may"]["start"], true);
    assert_eq!(groups[0]["may"]["edit_tag"], false);
    assert_eq!(groups[1]["may"]["create_and_deploy"], true);
    assert_eq!(groups[1]["id"], json!(anna.id));

    // Whose System slot reaches everything sees all lists, page by page.
    served
        .permit(anna.id, json!({"unassigned_jump_item_role_id": 2}))
        .await;
    let names = names(&list(&anna, "groups").await, "name");
    for name in ["Databases", "vera in private"] {
        assert!(names.iter().any(|shown| shown == name), "{names:?}");
    }
    let page = anna.request(Method::GET, "groups?per_page=5&current_page=1");
    let page = page.send().await.expect("an answer");
    assert_eq!(
        header(&page, "x-bt-pagination-total"),
        Some(names.len().to_string())
    );
    assert!(list(&vera, "groups").await.is_empty());
}

/// ROLE-23, ROLE-24: policies are told to whoever may set them somewhere.
#[tokio::test]
async fn role_23_policies_are_listed_for_who_may_set_them() {
    let served = Served::start().await;
    let group = served.group("Web servers").await;
    let policy = json!({"display_name": "Thursdays", "schedule_enabled": false});
    assert_eq!(served.post("jump-policy", policy).await.0, 201);
    let admin = served.administrator().await;
    let (status, made) = admin
        .post("session-policies", json!({"display_name": "No files"}))
        .await;
    assert_eq!(status, 201, "{made}");
    let anna = served.user("anna", json!({})).await;
    let (policies, session_policies) = ("choices/jump-policies", "choices/session-policies");
    for (role, of_jump, of_session) in [
        (
            json!({"name": "Reports", "perm_view_jump_item_report": true}),
            0,
            0,
        ),
        (json!({"name": "Jump", "perm_edit_jump_policy": true}), 1, 0),
        (
            json!({"name": "Session", "perm_edit_session_policy": true}),
            0,
            1,
        ),
    ] {
        let (status, role) = admin.post("jump-item-roles", role).await;
        assert_eq!(status, 201, "{role}");
        let path = format!("jump-group/{group}/user");
        let member = json!({"user_id": anna.id, "jump_item_role_id": role["id"]});
        assert_eq!(served.post(&path, member).await.0, 201);
        assert_eq!(list(&anna, policies).await.len(), of_jump, "{role}");
        assert_eq!(
            list(&anna, session_policies).await.len(),
            of_session,
            "{role}"
        );
        assert_eq!(served.delete(&format!("{path}/{}", anna.id)).await.0, 204);
    }
    assert!(list(&anna, policies).await.is_empty());
}

/// SESS-34, ROLE-26: the owner is told whom to invite, as inviting has it; what happened is told to whose role in the group has "View
/// Reports", also of a start that failed.
#[tokio::test]
async fn sess_34_the_owner_sees_whom_to_invite_and_role_26_reports_are_for_view_reports() {
    let served = Served::start().await;
    let machine = served.fleet("Web servers").await.machine(1).await;
    let anna = served.jumper("anna").await;
    let bert = served.jumper("bert").await;
    let vera = served.user("vera", json!({})).await;
    let agent = Agent::of(&served.site.engine, Conduct::Establish);
    let running = anna.jump(machine).await;
    let path = format!("sessions/{running}/invitable-users");
    let invitable = list(&anna, &path).await;
    // Vera may not access endpoints, and Anna is in it already.
    assert!(
        names(&invitable, "name").contains(&"bert in public".to_owned()),
        "{invitable:?}"
    );
    for user in served.site.engine.published().world.users.iter() {
        let id = *user.0;
        let listed = invitable.iter().any(|row| row["id"] == json!(id));
        assert!(!listed || (id != anna.id && id != vera.id));
        if listed {
            let body = json!({"user_id": id});
            let (status, told) = anna
                .post(&format!("sessions/{running}/invitations"), body)
                .await;
            assert_eq!(status, 200, "{told}");
        }
    }
    assert!(list(&anna, &path).await.is_empty(), "all were invited");
    assert!(
        list(&bert, &path).await.is_empty(),
        "only the owner invites"
    );
    assert_eq!(vera.get(&path).await.0, 404);

    drop(agent);
    anna.post(&format!("sessions/{running}/end"), json!({}))
        .await;
    let _agent = Agent::of(&served.site.engine, Conduct::Fail);
    let body = json!({"item": format!("jump_client-{machine}")});
    let request = anna
        .request(Method::POST, "sessions")
        .body(body.to_string());
    let (status, told) = answer(request.send().await.expect("an answer")).await;
    assert_eq!(status, 409, "{told}");
    let failed = failed_lsid(&served).await;
    // Neither her own sessions nor the role "Start Sessions Only" let her read reports.
    let admin = served.administrator().await;
    let (_, role) = admin
        .post(
            "jump-item-roles",
            json!({"name": "Reports", "perm_view_jump_item_report": true}),
        )
        .await;
    for lsid in [running.to_string(), failed.clone()] {
        let path = format!("sessions/{lsid}/report-events");
        assert_eq!(anna.get(&path).await.0, 404);
        served
            .permit(vera.id, json!({"unassigned_jump_item_role_id": role["id"]}))
            .await;
        let events = list(&vera, &path).await;
        assert!(!events.is_empty());
        if lsid == failed {
            assert_eq!(events[0]["event_type"], "Session Start Failed");
            assert_eq!(
                events[0]["body"],
                "An internal error occurred while spawning the access session."
            );
        } else {
            let types = names(&events, "event_type");
            assert!(types.contains(&"Session Start".to_owned()), "{types:?}");
        }
        served
            .permit(vera.id, json!({"unassigned_jump_item_role_id": 1}))
            .await;
        assert_eq!(vera.get(&path).await.0, 404);
    }
}

async fn failed_lsid(served: &Served) -> String {
    let log = served.log().await;
    let failed = log.iter().rfind(|(name, _)| name == "AccessSessionFailed");
    assert!(failed.is_some(), "{log:?}");
    let stored = served
        .site
        .engine
        .store()
        .read(
            &eventstore::Selection::Category("access_session".to_owned()),
            u64::MAX,
            eventstore::Direction::Backward,
            1,
        )
        .await
        .expect("the log");
    stored[0]
        .stream
        .trim_start_matches("access_session-")
        .to_owned()
}
