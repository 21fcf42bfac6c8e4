//! The Configuration API, used by people who signed in (CONF-03, CONF-06).

use api::console::badge::CSRF_HEADER;
use domain::time::HOUR;
use reqwest::Method;
use serde_json::{Value, json};

use crate::served::{FIRST_PASSWORD, Served, answer};
use crate::visit::sign_in_by_cookie;

/// CONF-06: as an API account does, by right and not by a role.
#[tokio::test]
async fn administrators_who_signed_in_may_do_what_api_accounts_may() {
    let served = Served::start().await;
    let fleet = served.fleet("Web Servers").await;
    let client = fleet.machine(1).await;
    // No role, no method, no permission but this.
    let admin = served.user("second", json!({"perm_admin": true})).await;
    assert_eq!(admin.get(&format!("items/jc_{client}")).await.0, 404);
    let call = async |method: Method, path: &str, body: Option<Value>| {
        answer(served.call_with(&admin.token, method, path, body).await).await
    };
    let (status, group) = call(Method::POST, "jump-group", Some(json!({"name": "New"}))).await;
    assert_eq!(status, 201, "{group}");
    let path = format!("jump-client/{client}");
    let (status, changed) = call(Method::PATCH, &path, Some(json!({"name": "renamed"}))).await;
    assert_eq!((status, &changed["name"]), (200, &json!("renamed")));
    // What no API account may: administrators, and the passwords of others (threat D).
    let body = json!({"email_address": "root@example.com"});
    assert_eq!(call(Method::PATCH, "user/1", Some(body)).await.0, 200);
    let body = json!({"password": "set by the second", "password_reset_next_login": true});
    assert_eq!(call(Method::PATCH, "user/1", Some(body)).await.0, 200);
    assert!(
        served
            .has_password(domain::ids::UserId(1), "set by the second")
            .await
    );
    let own = format!("user/{}", admin.id);
    let (status, told) = call(
        Method::PATCH,
        &own,
        Some(json!({"password": "my own new one"})),
    )
    .await;
    assert_eq!((status, told["code"].as_str()), (403, Some("own_password")));
    assert_eq!(call(Method::DELETE, &path, None).await.0, 204);
    let log = served.log().await;
    let made = log.iter().find(|(_, text)| text.contains("\"New\""));
    assert!(made.unwrap().1.contains("{\"user\":2}"));
}

/// CONF-06, threat J
#[tokio::test]
async fn threat_j_a_cookie_needs_what_it_needs_on_the_console() {
    let served = Served::start().await;
    let (cookie, csrf) = sign_in_by_cookie(&served, "admin", FIRST_PASSWORD).await;
    let post = || {
        served
            .request(Method::POST, "/api/config/v1/jump-group")
            .header("cookie", &cookie)
            .body(json!({"name": "New"}).to_string())
    };
    assert_eq!(post().send().await.unwrap().status(), 403);
    let other = post()
        .header(CSRF_HEADER, &csrf)
        .header("origin", "https://evil.example");
    assert_eq!(other.send().await.unwrap().status(), 403);
    let meant = post().header(CSRF_HEADER, &csrf);
    assert_eq!(meant.send().await.unwrap().status(), 201);
    let read = served
        .request(Method::GET, "/api/config/v1/jump-group")
        .header("cookie", &cookie);
    assert_eq!(read.send().await.unwrap().status(), 200);
}

/// CONF-03, CONF-06
#[tokio::test]
async fn the_description_is_for_everybody_who_signed_in_and_the_api_for_administrators() {
    let served = Served::start().await;
    let anna = served.user("anna", json!({})).await;
    let get = async |path: &str| {
        let request = served.request(Method::GET, path).bearer_auth(&anna.token);
        request.send().await.unwrap()
    };
    for path in ["/api/openapi.json", "/api/config/v1/openapi.yaml"] {
        assert_eq!(get(path).await.status(), 200, "{path}");
    }
    let (status, told) = answer(get("/api/config/v1/jump-group").await).await;
    assert_eq!(
        (status, told["code"].as_str()),
        (403, Some("administrator_needed"))
    );
    assert!(told["refusal"].is_string(), "{told}");
    served.clock.leap(12 * HOUR);
    for path in ["/api/openapi.json", "/api/config/v1/jump-group"] {
        let (status, told) = answer(get(path).await).await;
        // As that API says it.
        assert_eq!(
            (status, told["error"].as_str()),
            (401, Some("access_denied")),
            "{path}"
        );
    }
}
