//! Group policies with their members and memberships, as published, and what the console adds.

use domain::access::permission::{Grant, access_to_group};
use domain::ids::{GroupPolicyId, JumpGroupId, JumpGroupRef, UserId};
use reqwest::Method;
use serde_json::{Value, json};

use crate::served::{Served, answer, header};

const ANNA: UserId = UserId(2);

/// Users 2 and 3, the Jump Groups 1 and 2, the team 1, and the group policies 1 and 2.
async fn served() -> Served {
    let served = Served::start().await;
    for name in ["anna", "bert"] {
        let body = json!({"username": name, "public_display_name": name});
        assert_eq!(served.post("user", body).await.0, 201);
    }
    for name in ["Web Servers", "User Systems"] {
        assert_eq!(
            served.post("jump-group", json!({"name": name})).await.0,
            201
        );
    }
    assert_eq!(served.post("team", json!({"name": "Ops"})).await.0, 201);
    for name in ["Admin", "Users"] {
        let (status, _) = served.post("group-policy", json!({"name": name})).await;
        assert_eq!(status, 201);
    }
    served
}

fn grant(served: &Served, user: UserId, group: u32) -> Option<(u32, Grant)> {
    let world = &served.site.engine.published().world;
    let group = JumpGroupRef::Shared(JumpGroupId(group));
    access_to_group(world, user, group).map(|access| (access.role_id.0, access.grant))
}

/// GPOL-03, GPOL-06, GPOL-17, GPOL-22
#[tokio::test]
async fn a_policy_is_made_read_changed_and_deleted() {
    let served = served().await;
    let body = json!({
        "name": "Local Users", "perm_access_allowed": true, "perm_jump_client": true,
        "perm_session_idle_timeout": 900, "default_jump_item_role_id": 2,
    });
    let (status, made) = served.post("group-policy", body.clone()).await;
    assert_eq!((status, &made["id"]), (201, &json!(3)), "{made}");
    for (member, value) in body.as_object().unwrap() {
        assert_eq!(&made[member], value, "{member}");
    }
    // member, value
    let defaults = [
        ("access_perm_status", json!("defined")),
        ("perm_web_jump", json!(false)),
        ("perm_share_other_team", json!(false)),
        ("perm_sd_static_port_for_external_tools", json!(false)),
        ("private_jump_item_role_id", json!(1)),
        ("inferior_jump_item_role_id", json!(1)),
        ("unassigned_jump_item_role_id", json!(1)),
    ];
    for (member, value) in defaults {
        assert_eq!(made[member], value, "{member}");
    }
    assert_eq!(made.as_object().unwrap().len(), 24, "{made}");
    assert_eq!(served.get("group-policy/3").await, (200, made));
    let (status, changed) = served
        .patch(
            "group-policy/3",
            json!({"access_perm_status": "final", "perm_web_jump": true}),
        )
        .await;
    assert_eq!(
        (
            status,
            &changed["access_perm_status"],
            &changed["perm_web_jump"]
        ),
        (200, &json!("final"), &json!(true))
    );
    assert_eq!(
        served.get("group-policy?name=LOCAL%20users").await,
        (200, json!([changed]))
    );
    // body, field
    for (body, field) in [
        (json!({"name": ""}), "name"),
        (
            json!({"perm_session_idle_timeout": 42}),
            "perm_session_idle_timeout",
        ),
        (json!({"access_perm_status": "maybe"}), "access_perm_status"),
        (
            json!({"default_jump_item_role_id": 99}),
            "default_jump_item_role_id",
        ),
        (json!({"perm_admin": true}), "perm_admin"),
    ] {
        let (status, told) = served.patch("group-policy/3", body.clone()).await;
        assert_eq!(status, 422, "{body}");
        assert!(told["errors"][field].is_array(), "{body}: {told}");
    }
    assert_eq!(served.delete("group-policy/3").await.0, 204);
    assert_eq!(served.get("group-policy/3").await.0, 404);
}

/// GPOL-09, GPOL-10, GPOL-20, GPOL-21, GRP-13
#[tokio::test]
async fn members_get_what_the_policy_gives_and_lose_it_with_the_membership() {
    let served = served().await;
    let response = served
        .call(
            Method::POST,
            "group-policy/1/member",
            Some(json!({"security_provider_id": 1, "user_id": 2})),
        )
        .await;
    assert_eq!(
        header(&response, "location"),
        Some(format!(
            "{}/api/config/v1/group-policy/1/member/1",
            served.url
        ))
    );
    let member = json!({"id": 1, "security_provider_id": 1, "user_id": 2});
    assert_eq!(answer(response).await, (201, member.clone()));
    // Twice is once.
    assert_eq!(
        served
            .post("group-policy/1/member", json!({"user_id": 2}))
            .await,
        (201, member.clone())
    );
    assert_eq!(
        served.get("group-policy/1/member").await,
        (200, json!([member.clone()]))
    );
    assert_eq!(served.get("group-policy/1/member/1").await, (200, member));

    // Only the group: role and policy are the defaults.
    let row = json!({"jump_group_id": 1, "jump_item_role_id": 0, "jump_policy_id": 0});
    assert_eq!(
        served
            .post("group-policy/1/jump-group", json!({"jump_group_id": 1}))
            .await,
        (201, row.clone())
    );
    assert_eq!(
        grant(&served, ANNA, 1),
        None,
        "her Default slot is No Access"
    );
    let with_role = json!({"jump_group_id": 1, "jump_item_role_id": 3, "jump_policy_id": 0});
    assert_eq!(
        served
            .post("group-policy/1/jump-group", with_role.clone())
            .await,
        (201, with_role.clone())
    );
    assert_eq!(
        grant(&served, ANNA, 1),
        Some((3, Grant::GroupPolicy(GroupPolicyId(1))))
    );
    assert_eq!(
        served.get("group-policy/1/jump-group").await,
        (200, json!([with_role.clone()]))
    );
    assert_eq!(
        served.get("group-policy/1/jump-group/1").await,
        (200, with_role)
    );
    assert_eq!(served.get("group-policy/1/jump-group/2").await.0, 404);

    assert_eq!(served.delete("group-policy/1/member/1").await.0, 204);
    assert_eq!(grant(&served, ANNA, 1), None);
    assert_eq!(served.delete("group-policy/1/member/1").await.0, 404);
    assert_eq!(served.delete("group-policy/1/jump-group/1").await.0, 204);
    assert_eq!(served.delete("group-policy/1/jump-group/1").await.0, 404);
}

#[tokio::test]
async fn what_is_wrong_with_a_membership_is_named() {
    let served = served().await;
    // path, body, field
    let cases = [
        ("group-policy/1/member", json!({}), "user_id"),
        ("group-policy/1/member", json!({"user_id": 99}), "user_id"),
        (
            "group-policy/1/member",
            json!({"user_id": 2, "security_provider_id": 2}),
            "security_provider_id",
        ),
        (
            "group-policy/1/member",
            json!({"user_id": 2, "distinguished_name": "cn=x"}),
            "distinguished_name",
        ),
        (
            "group-policy/1/member",
            json!({"user_id": 2, "group_name": "admins"}),
            "group_name",
        ),
        ("group-policy/1/jump-group", json!({}), "jump_group_id"),
        (
            "group-policy/1/jump-group",
            json!({"jump_group_id": 9}),
            "jump_group_id",
        ),
        (
            "group-policy/1/jump-group",
            json!({"jump_group_id": 1, "jump_item_role_id": 99}),
            "jump_item_role_id",
        ),
        (
            "group-policy/1/jump-group",
            json!({"jump_group_id": 1, "jump_policy_id": 99}),
            "jump_policy_id",
        ),
        (
            "group-policy/1/jump-group",
            json!({"jump_group_id": 1, "colour": "red"}),
            "colour",
        ),
        ("group-policy/1/team", json!({"team_id": 9}), "team_id"),
        (
            "group-policy/1/team",
            json!({"team_id": 1, "role": "boss"}),
            "role",
        ),
        (
            "group-policy/1/jumpoint",
            json!({"jumpoint_id": 9}),
            "jumpoint_id",
        ),
        ("group-policy/1/copy", json!({}), "name"),
        ("group-policy/1/copy", json!({"name": ""}), "name"),
        ("user/provision", json!({"user_ids": [99]}), "user_ids"),
        ("user/provision", json!({"user_ids": 2}), "user_ids"),
        ("user/provision", json!({"users": [2]}), "users"),
    ];
    for (path, body, field) in cases {
        let (status, told) = served.post(path, body.clone()).await;
        assert_eq!(status, 422, "{path} {body}: {told}");
        assert!(told["errors"][field].is_array(), "{path} {body}: {told}");
    }
    for path in ["member", "jump-group", "team", "jumpoint"] {
        let path = format!("group-policy/9/{path}");
        assert_eq!(served.get(&path).await.0, 404, "{path}");
    }
}

/// GPOL-07
#[tokio::test]
async fn teams_come_and_go_by_policy() {
    let served = served().await;
    let row = json!({"team_id": 1, "role": "manager"});
    assert_eq!(
        served.post("group-policy/1/team", row.clone()).await,
        (201, row.clone())
    );
    assert_eq!(
        served
            .post("group-policy/2/team", json!({"team_id": 1}))
            .await,
        (201, json!({"team_id": 1, "role": "member"}))
    );
    assert_eq!(
        served.get("group-policy/1/team").await,
        (200, json!([row.clone()]))
    );
    assert_eq!(served.get("group-policy/1/team/1").await, (200, row));
    assert_eq!(served.delete("group-policy/1/team/1").await.0, 204);
    assert_eq!(served.get("group-policy/1/team/1").await.0, 404);
}

#[tokio::test]
async fn a_policy_is_copied_and_provisioned() {
    let served = served().await;
    served
        .post("group-policy/1/jump-group", json!({"jump_group_id": 1}))
        .await;
    served
        .post("group-policy/1/member", json!({"user_id": 2}))
        .await;
    let response = served
        .call(
            Method::POST,
            "group-policy/1/copy",
            Some(json!({"name": "Admin 2"})),
        )
        .await;
    assert_eq!(
        header(&response, "location"),
        Some(format!("{}/api/config/v1/group-policy/3", served.url))
    );
    let (status, copy) = answer(response).await;
    assert_eq!(
        (status, &copy["id"], &copy["name"]),
        (201, &json!(3), &json!("Admin 2"))
    );
    assert_eq!(
        served.get("group-policy/3/jump-group/1").await.0,
        200,
        "rows are copied"
    );
    assert_eq!(
        served.get("group-policy/3/member").await,
        (200, json!([])),
        "members are not"
    );
    assert_eq!(
        served
            .post("group-policy/9/copy", json!({"name": "x"}))
            .await
            .0,
        404
    );
    assert_eq!(
        served.post("group-policy/1/provision", json!({})).await,
        (204, Value::Null)
    );
    assert_eq!(
        served.post("group-policy/9/provision", json!({})).await.0,
        404
    );
    assert_eq!(
        served
            .post("user/provision", json!({"user_ids": [2, 2, 3]}))
            .await,
        (204, Value::Null)
    );
}

#[tokio::test]
async fn the_policies_of_a_user_are_read_and_changed_at_once() {
    let served = served().await;
    let named = |ids: &[u32]| {
        let name = |id: &u32| {
            let name = if *id == 1 { "Admin" } else { "Users" };
            json!({"id": id, "name": name})
        };
        ids.iter().map(name).collect::<Value>()
    };
    let changes = "user/2/group-policy-changes";
    assert_eq!(
        served.patch(changes, json!({"added": [2, 1, 2]})).await,
        (200, named(&[1, 2]))
    );
    assert_eq!(
        served.get("user/2/group-policies").await,
        (200, named(&[1, 2]))
    );
    // What is so already is passed over.
    assert_eq!(
        served
            .patch(changes, json!({"added": [2], "removed": [1]}))
            .await,
        (200, named(&[2]))
    );
    for (body, field) in [
        (json!({"added": [9]}), "added"),
        (json!({"removed": "1"}), "removed"),
        (json!({"added": [0]}), "added"),
        (json!({"added": [1], "removed": [1]}), "removed"),
    ] {
        let (status, told) = served.patch(changes, body.clone()).await;
        assert_eq!(status, 422, "{body}");
        assert!(told["errors"][field].is_array(), "{body}: {told}");
    }
    assert_eq!(served.get("user/9/group-policies").await.0, 404);
    assert_eq!(
        served
            .patch("user/9/group-policy-changes", json!({"added": [1]}))
            .await
            .0,
        404
    );
}

/// ROLE-32: a user is shown with the permissions that count.
#[tokio::test]
async fn a_user_is_shown_with_what_the_policy_sets() {
    let served = served().await;
    served
        .patch(
            "group-policy/1",
            json!({"perm_access_allowed": true, "perm_web_jump": true, "private_jump_item_role_id": 3}),
        )
        .await;
    served
        .post("group-policy/1/member", json!({"user_id": 2}))
        .await;
    let (_, anna) = served.get("user/2").await;
    let (_, bert) = served.get("user/3").await;
    for (member, hers, his) in [
        (
            "perm_access_allowed",
            json!("full_support"),
            json!("not_allowed"),
        ),
        ("perm_web_jump", json!(true), json!(false)),
        ("private_jump_item_role_id", json!(3), json!(1)),
        ("perm_admin", json!(false), json!(false)),
    ] {
        assert_eq!((&anna[member], &bert[member]), (&hers, &his), "{member}");
    }
    assert!(anna.get("access_perm_status").is_none());
    // Their own are where they are set.
    let admin = served.administrator().await;
    let (_, own) = admin.get("users/2/permissions").await;
    assert_eq!(own["perm_access_allowed"], "not_allowed");
}

/// GPOL-01, GPOL-07, GPOL-11, GPOL-23
#[tokio::test]
async fn administrators_order_policies_and_take_away() {
    let served = served().await;
    let admin = served.administrator().await;
    for policy in [1, 2] {
        let member = format!("group-policy/{policy}/member");
        served.post(&member, json!({"user_id": 2})).await;
        let rows = format!("group-policy/{policy}/jump-group");
        let row = json!({"jump_group_id": 1, "jump_item_role_id": policy + 1});
        served.post(&rows, row).await;
    }
    let by = |policy| Grant::GroupPolicy(GroupPolicyId(policy));
    assert_eq!(grant(&served, ANNA, 1), Some((3, by(2))));
    let order = json!({"order": [{"id": 1, "name": "Admin"}, {"id": 2, "name": "Users"}]});
    assert_eq!(
        admin.get("group-policies/order").await,
        (200, order.clone())
    );
    let (status, turned) = admin
        .put("group-policies/order", json!({"order": [2, 1]}))
        .await;
    assert_eq!((status, &turned["order"][0]["id"]), (200, &json!(2)));
    assert_eq!(grant(&served, ANNA, 1), Some((2, by(1))));
    // What was read can be sent back.
    assert_eq!(
        admin.put("group-policies/order", order.clone()).await,
        (200, order)
    );
    for wrong in [json!([1]), json!([1, 1]), json!([1, 2, 3]), json!("12")] {
        let (status, told) = admin
            .put("group-policies/order", json!({"order": wrong}))
            .await;
        assert_eq!(status, 422, "{wrong}");
        assert!(told["errors"]["order"].is_array(), "{told}");
    }

    let removal = json!({"type": "jump_group", "id": 1});
    let path = "group-policies/2/removals/jump-group/1";
    assert_eq!(admin.put(path, json!({})).await, (200, removal.clone()));
    assert_eq!(grant(&served, ANNA, 1), None);
    assert_eq!(
        admin.get("group-policies/2/removals").await,
        (200, json!([removal]))
    );
    // It is nothing that members are put into.
    assert_eq!(
        served.get("group-policy/2/jump-group").await,
        (200, json!([]))
    );
    assert_eq!(served.delete("group-policy/2/jump-group/1").await.0, 404);
    assert_eq!(admin.delete(path).await.0, 204);
    assert_eq!(admin.delete(path).await.0, 404);
    assert_eq!(grant(&served, ANNA, 1), Some((2, by(1))));
    assert_eq!(admin.get("group-policies/9/removals").await.0, 404);
    let anna = served.user("carl", json!({})).await;
    assert_eq!(
        anna.put("group-policies/order", json!({"order": [2, 1]}))
            .await
            .0,
        403
    );
}

/// GPOL-17: a console learns what its user may, whoever set it.
#[tokio::test]
async fn whoever_signs_in_is_told_what_they_may() {
    let served = Served::start().await;
    // the permission, how it is told
    let all = [
        ("perm_share_other_team", "may_share_with_other_teams"),
        ("perm_invite_external_user", "may_invite_external_users"),
        (
            "perm_extended_availability_mode_allowed",
            "may_enable_extended_availability",
        ),
        ("perm_edit_external_key", "may_edit_external_key"),
        ("perm_collaborate", "may_show_screen"),
        ("perm_collaborate_control", "may_give_control"),
    ];
    let anna = served.user("anna", json!({})).await;
    for (permission, _) in all {
        let permissions = all.map(|(other, _)| (other.to_owned(), json!(other == permission)));
        served
            .permit(anna.id, Value::Object(permissions.into_iter().collect()))
            .await;
        let (status, me) = anna.get("me").await;
        assert_eq!(status, 200, "{me}");
        for (other, told) in all {
            assert_eq!(me[told], json!(other == permission), "{permission}: {told}");
        }
    }
}
