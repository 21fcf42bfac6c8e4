//! Signing in to the console: cookie and bearer, what ends a sign-in, and what is told of users who do not exist.

use std::num::NonZeroU32;

use api::Limits;
use api::console::badge::{BADGES_MAX, CSRF_HEADER};
use domain::time::{HOUR, SECOND};
use reqwest::Method;
use serde_json::{Value, json};

use crate::served::{Differently, FIRST_PASSWORD, Served, answer, header};
use crate::visit::{PASSWORD, console, sign_in, sign_in_by_cookie, with_cookie};

async fn status(request: reqwest::RequestBuilder) -> u16 {
    request.send().await.expect("an answer").status().as_u16()
}

#[tokio::test]
async fn a_browser_gets_a_cookie_that_scripts_and_other_sites_cannot_use() {
    let served = Served::start().await;
    let credentials = json!({"username": "ADMIN", "password": FIRST_PASSWORD});
    let response = sign_in(&served, credentials).await;
    assert_eq!(response.status(), 200);
    assert_eq!(
        header(&response, "cache-control").as_deref(),
        Some("no-store")
    );
    let cookie = header(&response, "set-cookie").expect("a cookie");
    for attribute in [
        "; Path=/",
        "; Secure",
        "; HttpOnly",
        "; SameSite=Strict",
        "; Max-Age=43200",
    ] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(cookie.starts_with("__Host-gatebook=1."), "{cookie}");
    let (_, body) = answer(response).await;
    assert_eq!(body["username"], "admin");
    assert_eq!(body["administrator"], true);
    assert_eq!(body["expires_at"], "2026-01-05T21:00:00+00:00");
    assert!(
        body.get("token").is_none(),
        "a script never sees what the cookie holds"
    );

    let pair = cookie.split(';').next().expect("a pair");
    let me = console(&served, Method::GET, "me")
        .header("cookie", pair)
        .send()
        .await;
    let (code, me) = answer(me.expect("an answer")).await;
    assert_eq!(code, 200);
    assert_eq!(
        me["csrf"], body["csrf"],
        "a page that was loaded anew can ask for it"
    );
    assert_eq!(served.count("UserSignedIn").await, 1);
    let secret = pair.split('.').nth(1).expect("a secret");
    for (name, text) in served.log().await {
        assert!(
            !text.contains(secret) && !text.contains(FIRST_PASSWORD),
            "{name}"
        );
    }
}

/// threat J
#[tokio::test]
async fn threat_j_a_cookie_alone_changes_nothing() {
    let served = Served::start().await;
    let badge = sign_in_by_cookie(&served, "admin", FIRST_PASSWORD).await;
    let other = sign_in_by_cookie(&served, "admin", FIRST_PASSWORD).await;
    let (cookie, csrf) = &badge;
    let role = json!({"name": "x"}).to_string();
    let post = || console(&served, Method::POST, "jump-item-roles").body(role.clone());
    let origin = served.url.clone();
    let cases = [
        ("no header", post().header("cookie", cookie), 403),
        (
            "an empty one",
            post().header("cookie", cookie).header(CSRF_HEADER, ""),
            403,
        ),
        (
            "that of another sign-in",
            post()
                .header("cookie", cookie)
                .header(CSRF_HEADER, &other.1),
            403,
        ),
        (
            "another origin",
            post()
                .header("cookie", cookie)
                .header(CSRF_HEADER, csrf)
                .header("origin", "https://evil.example"),
            403,
        ),
        ("no cookie", post().header(CSRF_HEADER, csrf), 401),
        (
            "its own origin",
            post()
                .header("cookie", cookie)
                .header(CSRF_HEADER, csrf)
                .header("origin", &origin),
            201,
        ),
    ];
    for (what, request, expected) in cases {
        assert_eq!(status(request).await, expected, "{what}");
    }
    let from_elsewhere = console(&served, Method::POST, "sign-in")
        .header("origin", "https://evil.example")
        .body(json!({"username": "admin", "password": FIRST_PASSWORD}).to_string());
    assert_eq!(status(from_elsewhere).await, 403);
    let read = console(&served, Method::GET, "jump-item-roles").header("cookie", cookie);
    assert_eq!(status(read).await, 200);
}

#[tokio::test]
async fn signing_out_ends_this_sign_in_and_no_other() {
    let served = Served::start().await;
    let badge = sign_in_by_cookie(&served, "admin", FIRST_PASSWORD).await;
    let other = served.administrator().await;
    let out = with_cookie(&served, Method::POST, "sign-out", &badge)
        .send()
        .await;
    let out = out.expect("an answer");
    assert_eq!(out.status(), 204);
    let cleared = header(&out, "set-cookie").expect("a cookie");
    assert!(cleared.contains("Max-Age=0"), "{cleared}");
    assert_eq!(
        status(with_cookie(&served, Method::GET, "me", &badge)).await,
        401
    );
    assert_eq!(other.get("me").await.0, 200);
    assert_eq!(served.count("UserSignedOut").await, 1);
}

/// What is said and counted is the same whether the user name exists or not, but the log knows.
///
/// threat M
#[tokio::test]
async fn threat_m_a_wrong_password_and_an_unknown_user_look_the_same() {
    let served = Served::start().await;
    let mut answers = Vec::new();
    for (username, password) in [("admin", "wrong"), ("nobody", "wrong"), ("", "")] {
        let before = tokio::time::Instant::now();
        let body = json!({"username": username, "password": password});
        answers.push(answer(sign_in(&served, body).await).await);
        assert!(before.elapsed() >= api::console::sign_in::REFUSED_AFTER);
    }
    let expected = json!({
        "message": "The username or password is incorrect.",
        "code": "sign_in_failed",
    });
    for told in answers {
        assert_eq!(told, (401, expected.clone()));
    }
    // Only a user who exists has an event.
    assert_eq!(served.count("UserSignInFailed").await, 1);
    assert_eq!(served.count("ActionRefused").await, 0);
    served.site.record_attempts().await;
    let log = served.log().await;
    let counted = log
        .iter()
        .find(|(name, text)| name == "AttemptsRefused" && text.contains("/api/console/v1/sign-in"));
    let (_, counted) = counted.expect("they are counted");
    assert!(counted.contains("\"count\":3"), "{counted}");
    for (_, text) in log {
        assert!(
            !text.contains("wrong") && !text.contains("nobody"),
            "{text}"
        );
    }
}

/// threat M
#[tokio::test]
async fn threat_m_a_guesser_is_slowed_down() {
    let limits = Limits {
        address_per_second: NonZeroU32::MIN,
        address_burst: NonZeroU32::MIN.saturating_add(3),
        ..Limits::default()
    };
    let served = Served::start_with(Differently {
        limits,
        ..Differently::default()
    })
    .await;
    let guesses = (0..12).map(|_| sign_in(&served, json!({"username": "admin", "password": "x"})));
    // Some are held for up to two seconds, the rest is refused at once.
    let statuses = futures_util::future::join_all(guesses).await;
    let refused = statuses.iter().filter(|guess| guess.status() == 429);
    assert!(refused.count() >= 1);
}

#[tokio::test]
async fn a_sign_in_that_cannot_be_read_names_its_fields() {
    let served = Served::start().await;
    for (body, field) in [
        (json!({}), "username"),
        (json!({"username": "admin"}), "password"),
        (json!({"username": 1, "password": "x"}), "username"),
        (
            json!({"username": "a".repeat(65), "password": "x"}),
            "username",
        ),
        (
            json!({"username": "admin", "password": "x".repeat(257)}),
            "password",
        ),
        (
            json!({"username": "admin", "password": "x", "bearer": "yes"}),
            "bearer",
        ),
        (
            json!({"username": "admin", "password": "x", "remember": true}),
            "remember",
        ),
    ] {
        let (code, told) = answer(sign_in(&served, body).await).await;
        assert_eq!(code, 422, "{told}");
        assert!(told["errors"][field].is_array(), "{field}: {told}");
    }
    for (body, expected) in [("{\"username\":", 400), ("[]", 422), ("", 422)] {
        let request = console(&served, Method::POST, "sign-in").body(body);
        assert_eq!(status(request).await, expected, "{body}");
    }
    let huge = console(&served, Method::POST, "sign-in").body("x".repeat(70_000));
    assert_eq!(status(huge).await, 413);
    let get = console(&served, Method::GET, "sign-in");
    assert_eq!(status(get).await, 405);
}

/// threat G threat E
#[tokio::test]
async fn threat_g_what_takes_a_user_away_ends_the_sign_in_at_once() {
    let served = Served::start().await;
    let anna = served.user("anna", json!({"perm_admin": true})).await;
    let berta = served.user("berta", json!({})).await;
    let carla = served.user("carla", json!({})).await;
    assert_eq!(anna.get("site/settings").await.0, 200);

    served.permit(anna.id, json!({"perm_admin": false})).await;
    assert_eq!(
        anna.get("site/settings").await.0,
        403,
        "a revoked permission counts at once"
    );
    assert_eq!(anna.get("me").await.0, 200);

    let disable = json!({"enabled": false});
    assert_eq!(
        served.patch(&format!("user/{}", berta.id), disable).await.0,
        200
    );
    assert_eq!(berta.get("me").await.0, 401);
    let again = sign_in(&served, json!({"username": "berta", "password": PASSWORD})).await;
    let (code, told) = answer(again).await;
    assert_eq!(
        (code, told["message"].as_str()),
        (401, Some("This account has been disabled."))
    );
    assert!(
        told["refusal"].is_string(),
        "who knows the password may know: {told}"
    );
    let enable = json!({"enabled": true});
    assert_eq!(
        served.patch(&format!("user/{}", berta.id), enable).await.0,
        200
    );
    // What ended has ended for good.
    assert_eq!(berta.get("me").await.0, 401);
    let berta = served.visitor("berta", PASSWORD).await;
    assert_eq!(berta.get("me").await.0, 200);

    assert_eq!(served.delete(&format!("user/{}", carla.id)).await.0, 204);
    assert_eq!(carla.get("me").await.0, 401);
}

#[tokio::test]
async fn a_sign_in_ends_when_its_hours_are_over() {
    let served = Served::start().await;
    let admin = served.administrator().await;
    served.clock.leap(12 * HOUR - SECOND);
    assert_eq!(admin.get("me").await.0, 200);
    served.clock.leap(SECOND);
    assert_eq!(admin.get("me").await.0, 401);
}

#[tokio::test]
async fn one_sign_in_too_many_ends_the_oldest() {
    let served = Served::start().await;
    let first = served.administrator().await;
    served.clock.leap(SECOND);
    let second = served.administrator().await;
    for _ in 2..BADGES_MAX {
        served.clock.leap(SECOND);
        served.administrator().await;
    }
    assert_eq!(first.get("me").await.0, 200);
    served.clock.leap(SECOND);
    served.administrator().await;
    assert_eq!(first.get("me").await.0, 401);
    assert_eq!(second.get("me").await.0, 200);
}

/// A token of one kind opens no door of the other, but that administrators may use the Configuration API.
///
/// threat E AUTH-28
#[tokio::test]
async fn threat_e_api_tokens_and_badges_are_two_things() {
    let served = Served::start().await;
    let admin = served.administrator().await;
    let by_token = console(&served, Method::GET, "me").bearer_auth(&served.token);
    assert_eq!(status(by_token).await, 401);
    for path in ["/api/command?action=get_api_info", "/api/reporting"] {
        let by_badge = served.request(Method::GET, path).bearer_auth(&admin.token);
        assert_eq!(status(by_badge).await, 401, "{path}");
    }
    let (_, unknown) = admin.get("nothing/here").await;
    assert_eq!(
        unknown,
        json!({"message": "Path not found.", "code": "not_found"})
    );
    let stranger = console(&served, Method::GET, "nothing/here");
    assert_eq!(
        status(stranger).await,
        401,
        "a stranger does not learn what there is"
    );
    let _: Value = unknown;
}
