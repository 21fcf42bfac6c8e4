//! The tables of the administrators' pages, and why somebody may or may not.

use serde_json::{Value, json};

use crate::served::Served;

/// GRP-05, GRP-10, GRP-11, GRP-12
#[tokio::test]
async fn the_members_of_a_group_are_shown_with_whence_they_come() {
    let served = Served::start().await;
    served.post("jump-group", json!({"name": "Web"})).await;
    for name in ["anna", "bert", "cara"] {
        let body = json!({"username": name, "public_display_name": name});
        served.post("user", body).await;
    }
    let policy = json!({"display_name": "Thursdays", "schedule_enabled": false});
    served.post("jump-policy", policy).await;
    served
        .post(
            "jump-group/1/user",
            json!({"user_id": 2, "jump_item_role_id": 2, "jump_policy_id": 1}),
        )
        .await;
    served
        .post("group-policy", json!({"name": "Everyone"}))
        .await;
    served
        .post(
            "group-policy/1/jump-group",
            json!({"jump_group_id": 1, "jump_item_role_id": 3}),
        )
        .await;
    for user in [2, 3] {
        served
            .post("group-policy/1/member", json!({"user_id": user}))
            .await;
    }
    let admin = served.administrator().await;
    let (status, rows) = admin.get("jump-groups/1/members").await;
    assert_eq!(status, 200);
    let columns = |row: &Value| {
        ["user", "jump_item_role", "jump_policy", "granted_by"]
            .map(|column| row[column].as_str().unwrap().to_owned())
    };
    let shown: Vec<([String; 4], bool)> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (columns(row), row["editable"] == json!(true)))
        .collect();
    let row = |cells: [&str; 4], editable| (cells.map(str::to_owned), editable);
    let whole = "Set on Jump Items";
    assert_eq!(
        shown[1..],
        [
            row(
                [
                    "anna (anna)",
                    "Start Sessions Only",
                    "Thursdays",
                    "Jump Group"
                ],
                true
            ),
            row(["bert (bert)", "Administrator", whole, "Everyone"], false),
        ]
    );
    assert_eq!(
        shown[0].0[1..],
        ["System Administrator", whole, "User Permissions"]
    );
    assert!(!shown[0].1);

    let (_, filtered) = admin.get("jump-groups/1/members?user=BER").await;
    assert_eq!(filtered.as_array().map(Vec::len), Some(1));
    assert_eq!(filtered[0]["user_id"], 3);
    // Without her own membership, what the policy gives is back.
    served.delete("jump-group/1/user/2").await;
    let (_, inherited) = admin.get("jump-groups/1/members?user=anna").await;
    assert_eq!(
        (
            &inherited[0]["jump_item_role"],
            &inherited[0]["granted_by"],
            &inherited[0]["editable"]
        ),
        (&json!("Administrator"), &json!("Everyone"), &json!(false))
    );
    assert_eq!(
        admin.get("jump-groups/1/group-policies").await,
        (200, json!([{"id": 1, "name": "Everyone"}]))
    );
    for path in ["members", "group-policies"] {
        assert_eq!(admin.get(&format!("jump-groups/9/{path}")).await.0, 404);
    }
}

/// GRP-03, GRP-30
#[tokio::test]
async fn jump_groups_are_searched_by_name_and_comments() {
    let served = Served::start().await;
    let fleet = served.fleet("Web Servers").await;
    fleet.machine(1).await;
    served
        .post(
            "jump-group",
            json!({"name": "Mail", "comments": "the SERVERS of the post", "ecm_group_id": 4}),
        )
        .await;
    let admin = served.administrator().await;
    let (_, rows) = admin.get("jump-groups?search=servers").await;
    let expected = json!([
        {"id": 1, "name": "Web Servers", "code_name": "web_servers", "comments": null,
         "ecm_group": "Default", "items": "1 Item"},
        {"id": 2, "name": "Mail", "code_name": "mail", "comments": "the SERVERS of the post",
         "ecm_group": "4", "items": "0 Items"},
    ]);
    assert_eq!(rows, expected);
    let (_, rows) = admin.get("jump-groups?search=POST").await;
    assert_eq!(rows.as_array().map(Vec::len), Some(1));
    let (_, rows) = admin.get("jump-groups?search=databases").await;
    assert_eq!(rows, json!([]));
}

/// ROLE-27, ROLE-28, ROLE-29
#[tokio::test]
async fn the_table_of_roles_says_yes_no_all_some_and_none() {
    let served = Served::start().await;
    let admin = served.administrator().await;
    let body = json!({"name": "Tagger", "perm_edit_tag": true, "perm_view_jump_item_report": true});
    admin.post("jump-item-roles", body).await;
    let (status, rows) = admin.get("jump-item-roles/table").await;
    assert_eq!(status, 200);
    let columns = [
        "name",
        "jump",
        "create_deploy",
        "remove",
        "move_copy",
        "edit",
        "view_reports",
    ];
    let expected = [
        ["No Access", "No", "No", "No", "No", "None", "No"],
        ["Start Sessions Only", "Yes", "No", "No", "No", "None", "No"],
        ["Administrator", "Yes", "Yes", "Yes", "Yes", "All", "Yes"],
        ["Tagger", "No", "No", "No", "No", "Some", "Yes"],
    ];
    for (index, row) in expected.into_iter().enumerate() {
        let shown = columns.map(|column| rows[index][column].as_str().unwrap());
        assert_eq!(shown, row);
    }
}

/// ROLE-31, GPOL-04: users ask about themselves, administrators about anyone.
#[tokio::test]
async fn why_somebody_may_or_may_not_is_explained() {
    let served = Served::start().await;
    let fleet = served.fleet("Web Servers").await;
    let client = fleet.machine(1).await;
    let path = format!("items/jump_client-{client}/access");
    let anna = served.user("anna", json!({})).await;
    let admin = served.administrator().await;
    let of_anna = format!("{path}?user_id={}", anna.id);

    // She does not even see it.
    assert_eq!(anna.get(&path).await.0, 404);
    let (status, why) = admin.get(&of_anna).await;
    assert_eq!(status, 200, "{why}");
    let codes: Vec<&Value> = why["reasons"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reason| &reason["code"])
        .collect();
    assert_eq!(
        codes,
        [
            "endpoint_access_not_allowed",
            "jump_method_not_allowed",
            "jump_client_gone"
        ]
    );
    assert_eq!(why["allowed"], false);

    let member = json!({"user_id": anna.id, "jump_item_role_id": 2});
    served.post("jump-group/1/user", member).await;
    served
        .permit(
            anna.id,
            json!({"perm_access_allowed": "full_support", "perm_jump_client": true}),
        )
        .await;
    let (status, why) = anna.get(&path).await;
    assert_eq!(
        (status, &why["allowed"], &why["rule"], &why["grant"]),
        (200, &json!(true), &json!("ROLE-05"), &json!("member")),
        "{why}"
    );
    assert_eq!(why["role"], json!({"id": 2, "name": "Start Sessions Only"}));
    let (_, why) = anna.get(&format!("{path}?action=remove")).await;
    assert_eq!(why["reasons"][0]["rule"], "ROLE-19");
    assert_eq!(
        why["would_help"],
        json!([
            "A Jump Item Role with \"Remove existing Jump Items\" in the user's membership of the Jump Group \"Web Servers\"."
        ])
    );
    assert_eq!(
        admin
            .get(&format!("{of_anna}&at=2026-01-05T09:00:00Z"))
            .await
            .0,
        200
    );

    // About others, or other moments, only administrators ask; and it is written down.
    let (status, told) = anna.get(&format!("{path}?user_id=1")).await;
    assert_eq!(
        (status, &told["code"]),
        (403, &json!("administrator_needed"))
    );
    assert!(told["refusal"].is_string(), "{told}");
    assert_eq!(
        anna.get(&format!("{path}?at=2026-01-05T09:00:00Z")).await.0,
        403
    );
    for query in ["action=fly", "user_id=x", "at=tomorrow", "colour=red"] {
        let (status, told) = admin.get(&format!("{path}?{query}")).await;
        assert_eq!(status, 422, "{query}");
        let field = query.split('=').next().unwrap();
        assert!(told["errors"][field].is_array(), "{told}");
    }
    assert_eq!(admin.get("items/jump_client-99/access").await.0, 404);
    assert_eq!(admin.get(&format!("{path}?user_id=99")).await.0, 404);
}
