//! Teams and who is what in them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::served::{Served, answer, header};

async fn served() -> Served {
    let served = Served::start().await;
    for name in ["anna", "bert"] {
        let body = json!({"username": name, "public_display_name": name});
        assert_eq!(served.post("user", body).await.0, 201);
    }
    for name in ["Operations", "Support"] {
        assert_eq!(served.post("team", json!({"name": name})).await.0, 201);
    }
    served
}

fn membership(team: u32, user: u32, role: &str) -> Value {
    json!({"team_id": team, "user_id": user, "role": role})
}

#[tokio::test]
async fn teams_are_made_read_changed_and_deleted() {
    let served = served().await;
    let made = json!({"id": 1, "name": "Operations", "code_name": "operations", "comments": null});
    assert_eq!(served.get("team/1").await, (200, made.clone()));
    assert_eq!(
        served.get("team?code_name=OPERATIONS").await,
        (200, json!([made]))
    );
    let (status, changed) = served.patch("team/1", json!({"comments": "day"})).await;
    assert_eq!((status, &changed["comments"]), (200, &json!("day")));
    let (status, told) = served
        .post("team", json!({"name": "x", "code_name": "support"}))
        .await;
    assert_eq!(status, 422);
    assert_eq!(
        told["errors"]["code_name"],
        json!(["The code_name has already been taken."])
    );
    assert_eq!(served.delete("team/1").await.0, 204);
    for path in ["team/1", "team/1/user", "team/1/user/2"] {
        assert_eq!(served.get(path).await.0, 404, "{path}");
    }
}

/// ROLE-12
#[tokio::test]
async fn users_join_teams_change_there_and_leave() {
    let served = served().await;
    let response = served
        .call(Method::POST, "team/1/user", Some(json!({"user_id": 2})))
        .await;
    assert_eq!(
        header(&response, "location"),
        Some(format!("{}/api/config/v1/team/1/user/2", served.url))
    );
    assert_eq!(answer(response).await, (201, membership(1, 2, "member")));
    let lead = membership(1, 3, "lead");
    assert_eq!(
        served.post("team/1/user", lead.clone()).await,
        (201, lead.clone())
    );
    assert_eq!(
        served.get("team/1/user").await,
        (200, json!([membership(1, 2, "member"), lead]))
    );
    let manager = membership(1, 2, "manager");
    assert_eq!(
        served
            .patch("team/1/user/2", json!({"role": "manager"}))
            .await,
        (200, manager.clone())
    );
    assert_eq!(served.get("team/1/user/2").await, (200, manager));
    // To another team, keeping the role.
    assert_eq!(
        served.patch("team/1/user/2", json!({"team_id": 2})).await,
        (200, membership(2, 2, "manager"))
    );
    assert_eq!(served.get("team/1/user/2").await.0, 404);
    assert_eq!(served.delete("team/2/user/2").await.0, 204);
    assert_eq!(served.delete("team/2/user/2").await.0, 404);
    // path, body, status, field
    let cases = [
        ("team/1/user", json!({}), "user_id"),
        ("team/1/user", json!({"user_id": 99}), "user_id"),
        ("team/1/user", membership(1, 3, "manager"), "user_id"),
        ("team/1/user", membership(1, 2, "boss"), "role"),
        (
            "team/1/user",
            json!({"user_id": 2, "colour": "red"}),
            "colour",
        ),
    ];
    for (path, body, field) in cases {
        let (status, told) = served.post(path, body.clone()).await;
        assert_eq!(status, 422, "{body}");
        assert!(told["errors"][field].is_array(), "{body}: {told}");
    }
    assert_eq!(
        served.post("team/9/user", json!({"user_id": 2})).await.0,
        404
    );
    assert_eq!(
        served
            .patch("team/2/user/3", json!({"role": "lead"}))
            .await
            .0,
        404
    );
}

/// GPOL-07: whom a group policy put into a team is listed there, and neither moved nor taken out.
#[tokio::test]
async fn whom_a_group_policy_put_into_a_team_is_shown_and_stays() {
    let served = served().await;
    let policy = json!({"name": "Admin"});
    served.post("group-policy", policy).await;
    served
        .post("group-policy/1/member", json!({"user_id": 2}))
        .await;
    served
        .post("group-policy/1/team", json!({"team_id": 1, "role": "lead"}))
        .await;
    let lead = membership(1, 2, "lead");
    assert_eq!(
        served.get("team/1/user").await,
        (200, json!([lead.clone()]))
    );
    assert_eq!(served.get("team/1/user/2").await, (200, lead));
    let moved = served.patch("team/1/user/2", json!({"team_id": 2})).await;
    assert_eq!(moved.0, 404);
    assert_eq!(served.delete("team/1/user/2").await.0, 404);
}
