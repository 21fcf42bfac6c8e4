//! Users, members of Jump Groups, roles, policies, API accounts.

use domain::ids::UserId;
use domain::policy::jump_policy;
use domain::policy::schedule::{Schedule, ScheduleEntry};
use domain::record;
use domain::site::user;
use serde_json::{Value, json};

use crate::served::Served;

async fn user(served: &Served, name: &str) -> Value {
    let (status, user) = served
        .post(
            "user",
            json!({"username": name, "public_display_name": name}),
        )
        .await;
    assert_eq!(status, 201);
    user
}

/// GPOL-04, ROLE-07
#[tokio::test]
async fn a_user_is_made_with_no_permission_and_shown_without_password() {
    let served = Served::start().await;
    let (status, made) = served
        .post(
            "user",
            json!({
                "username": "anna", "public_display_name": "Anna", "password": "long enough for anna",
                "email_address": "anna@example.com", "password_expiration": "2027-01-01T00:00:00.5Z",
                // Permissions are read-only here, and so is what this version has not got: accepted and ignored.
                "perm_admin": true, "perm_access_allowed": "full_support", "perm_vault": true, "id": 77,
            }),
        )
        .await;
    assert_eq!((status, made["id"].as_u64()), (201, Some(2)), "{made}");
    assert!(made.get("password").is_none());
    // member, value
    let cases = [
        ("perm_admin", json!(false)),
        ("perm_access_allowed", json!("not_allowed")),
        ("default_jump_item_role_id", json!(1)),
        ("perm_vault", json!(false)),
        ("fido2_credential_count", json!(0)),
        ("password_expiration", json!("2027-01-01T00:00:00+00:00")),
        ("created_at", json!("2026-01-05T09:00:00+00:00")),
        ("enabled", json!(true)),
        ("preferred_email_language", json!("en-us")),
    ];
    for (member, value) in cases {
        assert_eq!(made[member], value, "{member}");
    }
    assert_eq!(served.get("user/2").await, (200, made.clone()));
    let (status, changed) = served
        .patch(
            "user/2",
            json!({"password_expiration": null, "enabled": false, "password": null}),
        )
        .await;
    assert_eq!(
        (status, &changed["password_expiration"], &changed["enabled"]),
        (200, &Value::Null, &json!(false))
    );
    assert!(served.has_password(UserId(2), "long enough for anna").await);
    assert!(!served.has_password(UserId(2), "something else").await);
    assert_eq!(served.delete("user/2").await.0, 204);
    assert_eq!(served.get("user/2").await.0, 404);
}

#[tokio::test]
async fn a_user_without_password_gets_one_that_nobody_knows() {
    let served = Served::start().await;
    user(&served, "bob").await;
    let password = served
        .site
        .engine
        .published()
        .world
        .users
        .get(&UserId(2))
        .unwrap()
        .password
        .clone();
    assert!(password.is_some());
    assert!(!served.has_password(UserId(2), "").await);
    let rows = served
        .site
        .engine
        .store()
        .side_rows(eventstore::SideTable::Secret, &password.unwrap().0)
        .await
        .unwrap();
    assert_eq!(rows.len(), 1);
}

/// threat D
#[tokio::test]
async fn threat_d_an_api_account_changes_nobodys_password() {
    let served = Served::start().await;
    user(&served, "anna").await;
    for id in [1, 2] {
        let (status, body) = served
            .patch(
                &format!("user/{id}"),
                json!({"password": "taken over by a token"}),
            )
            .await;
        assert_eq!(
            (status, body["code"].as_str()),
            (403, Some("password_change_not_allowed"))
        );
        assert!(body["refusal"].is_string());
        let taken = served.has_password(UserId(id), "taken over by a token");
        assert!(!taken.await);
    }
    let refusals = served.log().await;
    assert!(
        refusals
            .iter()
            .all(|(_, text)| !text.contains("taken over"))
    );
}

/// threat D: the words are those that a known integration takes for an answer (config-api.md 8).
#[tokio::test]
async fn threat_d_an_api_account_changes_no_administrator() {
    let served = Served::start().await;
    for body in [
        json!({"username": "root"}),
        json!({"email_address": "mallory@example.com"}),
        json!({"enabled": false}),
        json!({"failed_logins": 0}),
    ] {
        let (status, answer) = served.patch("user/1", body.clone()).await;
        assert_eq!(status, 403, "{body}");
        assert_eq!(answer["message"], "This API cannot update administrators.");
        assert!(answer["refusal"].is_string());
    }
    assert_eq!(served.get("user/1").await.1["username"], "admin");
}

#[tokio::test]
async fn what_is_wrong_with_a_user_is_named_before_a_password_is_hashed() {
    let served = Served::start().await;
    let with = |member: &str, value: Value| {
        let mut body = json!({"username": "u", "public_display_name": "U"});
        body[member] = value;
        body
    };
    // body, field
    let cases = [
        (json!({"public_display_name": "U"}), "username"),
        (json!({"username": "u"}), "public_display_name"),
        (with("username", json!("ADMIN")), "username"),
        (with("username", json!(" u")), "username"),
        (with("username", json!("x".repeat(65))), "username"),
        (with("password", json!("short")), "password"),
        (with("password", json!("x".repeat(257))), "password"),
        (with("password", json!(12)), "password"),
        (with("email_address", json!("nobody")), "email_address"),
        (
            with("password_expiration", json!("2027-01-01T00:00:00+01:00")),
            "password_expiration",
        ),
        (
            with("password_expiration", json!("tomorrow")),
            "password_expiration",
        ),
        (with("enabled", json!("true")), "enabled"),
        (with("perm_everything", json!(true)), "perm_everything"),
    ];
    for (body, field) in cases {
        let (status, answer) = served.post("user", body.clone()).await;
        assert_eq!(status, 422, "{body}");
        assert!(answer["errors"][field].is_array(), "{body}: {answer}");
    }
    assert_eq!(served.count("UserCreated").await, 1);
}

#[tokio::test]
async fn users_are_listed_in_order_and_filtered() {
    let served = Served::start().await;
    for name in ["zoe", "anna"] {
        user(&served, name).await;
    }
    let names = |list: Value| -> Vec<String> {
        list.as_array()
            .unwrap()
            .iter()
            .map(|user| user["username"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(served.get("user").await.1), ["admin", "zoe", "anna"]);
    assert_eq!(names(served.get("user?username=ANNA").await.1), ["anna"]);
    assert_eq!(
        names(served.get("user?security_provider_id=1").await.1).len(),
        3
    );
    assert_eq!(
        names(served.get("user?security_provider_id=2").await.1).len(),
        0
    );
}

#[tokio::test]
async fn an_administrator_is_not_deleted_over_the_api() {
    let served = Served::start().await;
    let (status, body) = served.delete("user/1").await;
    assert_eq!(status, 422);
    assert!(body["errors"]["perm_admin"].is_array(), "{body}");
}

/// GRP-06, GRP-07, GRP-12
#[tokio::test]
async fn members_of_a_group_have_role_and_policy_and_null_is_the_default() {
    let served = Served::start().await;
    served.post("jump-group", json!({"name": "g"})).await;
    user(&served, "anna").await;
    user(&served, "bob").await;
    let policy = served
        .post(
            "jump-policy",
            json!({"display_name": "p", "schedule_enabled": false}),
        )
        .await
        .1["id"]
        .clone();
    let only_user = served
        .call(
            reqwest::Method::POST,
            "jump-group/1/user",
            Some(json!({"user_id": 2})),
        )
        .await;
    assert_eq!(
        crate::served::header(&only_user, "location"),
        Some(format!("{}/api/config/v1/jump-group/1/user/2", served.url))
    );
    let default = json!({"user_id": 2});
    assert_eq!(
        crate::served::answer(only_user).await,
        (201, default.clone())
    );
    let whole = json!({"user_id": 3, "jump_item_role_id": 2, "jump_policy_id": policy});
    assert_eq!(
        served.post("jump-group/1/user", whole.clone()).await,
        (201, whole.clone())
    );
    assert_eq!(
        served.get("jump-group/1/user").await,
        (200, json!([default, whole]))
    );
    assert_eq!(
        served
            .get("jump-group/1/user?per_page=5&current_page=2")
            .await,
        (200, json!([]))
    );
    let role_only = json!({"user_id": 3, "jump_item_role_id": 3, "jump_policy_id": policy});
    assert_eq!(
        served
            .patch("jump-group/1/user/3", json!({"jump_item_role_id": 3}))
            .await,
        (200, role_only.clone())
    );
    assert_eq!(served.get("jump-group/1/user/3").await, (200, role_only));
    let no_policy = json!({"user_id": 3, "jump_item_role_id": 3});
    assert_eq!(
        served
            .patch(
                "jump-group/1/user/3",
                json!({"user_id": 3, "jump_policy_id": null})
            )
            .await,
        (200, no_policy)
    );
    assert_eq!(
        served.delete("jump-group/1/user/3").await,
        (204, Value::Null)
    );
    assert_eq!(served.get("jump-group/1/user/3").await.0, 404);
    assert_eq!(served.delete("jump-group/1/user/3").await.0, 404);
    // path, body, status, field
    let cases = [
        ("jump-group/1/user", json!({}), 422, "user_id"),
        ("jump-group/1/user", json!({"user_id": "2"}), 422, "user_id"),
        ("jump-group/1/user", json!({"user_id": 99}), 422, "user_id"),
        (
            "jump-group/1/user",
            json!({"user_id": 2, "jump_item_role_id": 2}),
            422,
            "user_id",
        ),
        (
            "jump-group/1/user",
            json!({"user_id": 3, "jump_item_role_id": 0}),
            422,
            "jump_item_role_id",
        ),
        (
            "jump-group/1/user",
            json!({"user_id": 3, "jump_item_role_id": 99}),
            422,
            "jump_item_role_id",
        ),
        (
            "jump-group/1/user",
            json!({"user_id": 3, "jump_policy_id": 99}),
            422,
            "jump_policy_id",
        ),
        (
            "jump-group/1/user",
            json!({"user_id": 3, "colour": 1}),
            422,
            "colour",
        ),
        ("jump-group/99/user", json!({"user_id": 3}), 404, ""),
    ];
    for (path, body, expected, field) in cases {
        let (status, answer) = served.post(path, body.clone()).await;
        assert_eq!(status, expected, "{body}");
        assert!(
            field.is_empty() || answer["errors"][field].is_array(),
            "{body}: {answer}"
        );
    }
    assert_eq!(served.get("jump-group/99/user").await.0, 404);
}

/// POL-01, POL-51, POL-52
#[tokio::test]
async fn a_policy_is_made_scheduled_and_its_schedule_read() {
    let served = Served::start().await;
    let (status, made) = served
        .post(
            "jump-policy",
            json!({"display_name": "Thursdays", "schedule_enabled": false}),
        )
        .await;
    assert_eq!(
        (status, &made["code_name"], &made["approval_user_ids"]),
        (201, &json!("thursdays"), &json!([]))
    );
    assert_eq!(
        served.get("jump-policy/1/schedule").await,
        (200, json!({"timezone": "UTC", "entries": []}))
    );
    let schedule = Schedule {
        timezone: "Europe/Berlin".to_owned(),
        entries: vec![ScheduleEntry {
            start_day: 3,
            start_minute: 480,
            end_day: 3,
            end_minute: 1020,
        }],
        override_allowed: false,
    };
    let command = jump_policy::Command::SetSchedule(domain::ids::JumpPolicyId(1), schedule);
    served
        .submit(domain::Command::JumpPolicy(command), None)
        .await
        .unwrap();
    let expected = json!({
        "timezone": "Europe/Berlin",
        "entries": [{"start_day": 3, "start_time": "08:00", "end_day": 3, "end_time": "17:00"}],
    });
    assert_eq!(served.get("jump-policy/1/schedule").await, (200, expected));
    assert_eq!(
        served
            .patch("jump-policy/1", json!({"schedule_enabled": true}))
            .await
            .0,
        200
    );
    assert_eq!(
        served.get("jump-policy?code_name=THURSDAYS").await.1[0]["id"],
        1
    );
    assert_eq!(served.get("jump-policy/2/schedule").await.0, 404);
    // In use, it stays (ROLE-33).
    served.post("jump-group", json!({"name": "g"})).await;
    served
        .post(
            "jump-group/1/user",
            json!({"user_id": 1, "jump_policy_id": 1}),
        )
        .await;
    let (status, body) = served.delete("jump-policy/1").await;
    assert_eq!((status, body["code"].as_str()), (409, Some("in_use")));
    served.delete("jump-group/1/user/1").await;
    assert_eq!(served.delete("jump-policy/1").await.0, 204);
}

/// ROLE-28, ROLE-29
#[tokio::test]
async fn roles_are_read_only_and_the_seeded_ones_are_there() {
    let served = Served::start().await;
    let (_, roles) = served.get("jump-item-role").await;
    let names: Vec<&str> = roles
        .as_array()
        .unwrap()
        .iter()
        .map(|role| role["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["No Access", "Start Sessions Only", "Administrator"]);
    assert_eq!(
        served.get("jump-item-role?name=administrator").await.1[0]["id"],
        3
    );
    assert_eq!(served.get("jump-item-role/2").await.1["perm_start"], true);
    assert_eq!(
        served.post("jump-item-role", json!({"name": "x"})).await.0,
        405
    );
    assert_eq!(served.delete("jump-item-role/2").await.0, 405);
}

/// AUTH-22, AUTH-23, AUTH-24, AUTH-26, AUTH-27
#[tokio::test]
async fn api_accounts_are_read_only_and_show_every_permission() {
    let served = Served::start().await;
    let account = served
        .account(json!({"name": "narrow", "perm_configuration": true}))
        .await;
    let (_, list) = served.get("api-account?name=NARROW").await;
    let shown = &list[0];
    assert_eq!(shown["id"].as_u64(), Some(account.id.0.into()));
    // permission, value
    let cases = [
        ("perm_command", json!("deny")),
        ("perm_reporting_support", json!(false)),
        ("perm_reporting_license", json!(false)),
        ("perm_reporting_vault", json!(false)),
        ("perm_backup", json!(false)),
        ("perm_vault_backup", json!(false)),
        ("perm_ecm", json!(false)),
        ("perm_scim", json!(false)),
        ("perm_configuration", json!(true)),
        ("perm_configuration_vault_account", json!(false)),
    ];
    for (permission, value) in cases {
        assert_eq!(shown[permission], value, "{permission}");
    }
    assert_eq!(served.delete("api-account/2").await.0, 405);
    assert_eq!(
        served.post("api-account", json!({"name": "more"})).await.0,
        405
    );
}

/// threat G
#[tokio::test]
async fn threat_g_a_user_deleted_meanwhile_is_not_found_and_leaves_no_membership() {
    let served = Served::start().await;
    served.post("jump-group", json!({"name": "g"})).await;
    user(&served, "anna").await;
    served
        .post("jump-group/1/user", json!({"user_id": 2}))
        .await;
    let command = user::Command::Record(record::Command::Delete(UserId(2)));
    served
        .submit(domain::Command::User(command), None)
        .await
        .unwrap();
    assert_eq!(served.get("user/2").await.0, 404);
    assert_eq!(served.get("jump-group/1/user").await.1, json!([]));
}
