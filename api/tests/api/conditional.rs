//! `If-Match`: whoever has read an object changes or deletes it only as it was.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::served::{Served, answer, header};

async fn tag_of(served: &Served, path: &str) -> String {
    let read = served.call(Method::GET, path, None).await;
    assert_eq!(read.status(), 200, "{path}");
    header(&read, "etag").unwrap_or_else(|| panic!("{path} has an ETag"))
}

async fn send(served: &Served, method: Method, path: &str, tag: &str, body: Value) -> Response {
    served
        .request(method, &format!("/api/config/v1/{path}"))
        .bearer_auth(&served.token)
        .header("if-match", tag)
        .body(body.to_string())
        .send()
        .await
        .unwrap()
}

async fn site() -> Served {
    let served = Served::start().await;
    for (path, body) in [
        ("jump-group", json!({"name": "g"})),
        ("team", json!({"name": "t"})),
        (
            "user",
            json!({"username": "bob", "public_display_name": "Bob"}),
        ),
        (
            "jump-policy",
            json!({"display_name": "p", "schedule_enabled": false}),
        ),
        ("group-policy", json!({"name": "a"})),
        ("group-policy/1/member", json!({"user_id": 2})),
        ("group-policy/1/jump-group", json!({"jump_group_id": 1})),
        ("jump-group/1/user", json!({"user_id": 2})),
        ("team/1/user", json!({"user_id": 2})),
    ] {
        let (status, made) = served.post(path, body).await;
        assert_eq!(status, 201, "{path}: {made}");
    }
    served
}

#[tokio::test]
async fn what_was_changed_since_it_was_read_is_not_overwritten() {
    let served = site().await;
    // path, change, another change
    for (path, first, second) in [
        (
            "jump-group/1",
            json!({"comments": "a"}),
            json!({"comments": "b"}),
        ),
        (
            "user/2",
            json!({"enabled": false}),
            json!({"enabled": true}),
        ),
        (
            "jump-policy/1",
            json!({"description": "a"}),
            json!({"description": "b"}),
        ),
        (
            "jump-group/1/user/2",
            json!({"jump_item_role_id": 2}),
            json!({"jump_policy_id": 1}),
        ),
        (
            "team/1/user/2",
            json!({"role": "lead"}),
            json!({"role": "manager"}),
        ),
    ] {
        let read = tag_of(&served, path).await;
        let changed = send(&served, Method::PATCH, path, &read, first.clone()).await;
        assert_eq!(changed.status(), 200, "{path}");
        let newer = header(&changed, "etag").expect("an ETag");
        assert_ne!(newer, read, "{path}");
        assert_eq!(tag_of(&served, path).await, newer, "{path}");
        let late = send(&served, Method::PATCH, path, &read, second.clone()).await;
        let (status, told) = answer(late).await;
        assert_eq!(
            (status, &told["code"]),
            (412, &json!("precondition_failed")),
            "{path}"
        );
        assert_eq!(tag_of(&served, path).await, newer, "{path}");
        for (tag, status) in [
            (format!("W/{newer}"), 412),
            ("\"other\"".to_owned(), 412),
            (format!("\"other\", {newer}"), 200),
        ] {
            let sent = send(&served, Method::PATCH, path, &tag, json!({})).await;
            assert_eq!(sent.status(), status, "{path} {tag}");
        }
        assert_eq!(
            send(&served, Method::PATCH, path, "*", second)
                .await
                .status(),
            200
        );
        assert_eq!(
            send(&served, Method::PATCH, path, "x", json!({}))
                .await
                .status(),
            400
        );
    }
}

#[tokio::test]
async fn what_was_changed_since_it_was_read_is_not_deleted() {
    let served = site().await;
    for path in [
        "group-policy/1/member/1",
        "group-policy/1/jump-group/1",
        "jump-group/1/user/2",
        "team/1/user/2",
        "team/1",
    ] {
        let tag = tag_of(&served, path).await;
        let other = send(&served, Method::DELETE, path, "\"other\"", json!({})).await;
        assert_eq!(other.status(), 412, "{path}");
        let same = send(&served, Method::DELETE, path, &tag, json!({})).await;
        assert_eq!(same.status(), 204, "{path}");
        // What is not there matches nothing.
        let gone = send(&served, Method::DELETE, path, "*", json!({})).await;
        assert_eq!(gone.status(), 412, "{path}");
    }
    // A list has no tag.
    let made = send(&served, Method::POST, "team", "*", json!({"name": "u"})).await;
    assert_eq!(made.status(), 412);
}

/// Two at once are decided one after the other: without the header both count, with it the first one alone.
#[tokio::test]
async fn two_changes_of_one_membership_at_once_lose_nothing() {
    let served = site().await;
    let path = "jump-group/1/user/2";
    let role = || served.patch(path, json!({"jump_item_role_id": 2}));
    let policy = || served.patch(path, json!({"jump_policy_id": 1}));
    for _ in 0..8 {
        served
            .patch(
                path,
                json!({"jump_item_role_id": null, "jump_policy_id": null}),
            )
            .await;
        let (one, other) = tokio::join!(role(), policy());
        assert_eq!((one.0, other.0), (200, 200));
        let (_, both) = served.get(path).await;
        assert_eq!(
            (&both["jump_item_role_id"], &both["jump_policy_id"]),
            (&json!(2), &json!(1)),
            "{both}"
        );
    }
    let tag = tag_of(&served, path).await;
    let (one, other) = tokio::join!(
        send(
            &served,
            Method::PATCH,
            path,
            &tag,
            json!({"jump_item_role_id": 3})
        ),
        send(
            &served,
            Method::PATCH,
            path,
            &tag,
            json!({"jump_policy_id": null})
        ),
    );
    let mut statuses = [one.status().as_u16(), other.status().as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
}

#[tokio::test]
async fn records_of_the_console_have_tags_too() {
    let served = site().await;
    let admin = served.administrator().await;
    // path, change
    for (path, method, change) in [
        (
            "jump-item-roles/2",
            Method::PATCH,
            json!({"description": "x"}),
        ),
        (
            "users/2/permissions",
            Method::PATCH,
            json!({"perm_web_jump": true}),
        ),
        (
            "site/settings",
            Method::PATCH,
            json!({"company_name": "Acme"}),
        ),
        ("mail-settings", Method::PATCH, json!({"from_name": "Gate"})),
        (
            "ticket-system",
            Method::PATCH,
            json!({"user_prompt": "Ticket?"}),
        ),
        (
            "jump-policies/1/schedule",
            Method::PUT,
            json!({"timezone": "Europe/Berlin", "entries": []}),
        ),
    ] {
        let read = admin.send(Method::GET, path, None).await;
        let tag = header(&read, "etag").unwrap_or_else(|| panic!("{path} has an ETag"));
        let send = |tag: String| {
            let request = admin.request(method.clone(), path);
            request
                .header("if-match", tag)
                .body(change.to_string())
                .send()
        };
        let first = send(tag.clone()).await.unwrap();
        let newer = header(&first, "etag");
        assert_eq!(first.status(), 200, "{path}");
        assert_ne!(newer.as_deref(), Some(tag.as_str()), "{path}");
        assert_eq!(send(tag).await.unwrap().status(), 412, "{path}");
        let read = admin.send(Method::GET, path, None).await;
        assert_eq!(header(&read, "etag"), newer, "{path}");
    }
}
