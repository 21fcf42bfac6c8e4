//! Sign-in that holds: guessers wait and nobody else does, passwords are changed, reset and expire.

use std::num::NonZeroU32;

use api::Limits;
use domain::ids::UserId;
use domain::time::SECOND;
use futures_util::future::join_all;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::served::{Differently, FIRST_PASSWORD, Served, answer, header};
use crate::visit::{PASSWORD, console, sign_in, sign_in_by_cookie, with_cookie};

const GUESSERS: &str = "203.0.113.7";
const OFFICE: &str = "192.0.2.7";

/// A site behind a proxy that says whom it asks for, without the budget of addresses: what holds without it is looked at.
async fn behind_proxy() -> Served {
    Served::start_with(Differently {
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        limits: Limits {
            address_burst: NonZeroU32::MAX,
            passwords_at_once: 1,
            passwords_waiting_max: 8,
            ..Limits::default()
        },
        ..Differently::default()
    })
    .await
}

async fn sign_in_from(served: &Served, address: &str, body: Value) -> Response {
    console(served, Method::POST, "sign-in")
        .header("x-forwarded-for", address)
        .body(body.to_string())
        .send()
        .await
        .unwrap()
}

fn guess(username: &str) -> Value {
    json!({"username": username, "password": "wrong", "bearer": true})
}

fn right(username: &str) -> Value {
    json!({"username": username, "password": PASSWORD, "bearer": true})
}

async fn failed_logins(served: &Served, user: UserId) -> u64 {
    let (_, user) = served.get(&format!("user/{user}")).await;
    user["failed_logins"].as_u64().unwrap()
}

/// threat M
#[tokio::test]
async fn threat_m_wrong_passwords_lock_the_guesser_and_nobody_else() {
    let served = behind_proxy().await;
    let anna = served.user("anna", json!({})).await.id;
    for _ in 0..5 {
        let refused = sign_in_from(&served, GUESSERS, guess("anna")).await;
        assert_eq!(refused.status(), 401);
    }
    assert_eq!(failed_logins(&served, anna).await, 5);
    let locked = sign_in_from(&served, GUESSERS, right("anna")).await;
    assert_eq!(header(&locked, "retry-after").as_deref(), Some("5"));
    let (status, told) = answer(locked).await;
    assert_eq!(
        (status, told["code"].as_str()),
        (429, Some("sign_in_locked"))
    );
    // What is not heard is counted, not written down one by one.
    for _ in 0..20 {
        let locked = sign_in_from(&served, GUESSERS, guess("anna")).await;
        assert_eq!(locked.status(), 429);
    }
    assert_eq!(served.count("UserSignInFailed").await, 5);
    assert_eq!(served.count("ActionRefused").await, 0);
    let office = sign_in_from(&served, OFFICE, right("anna")).await;
    assert_eq!(office.status(), 200);
    served.clock.leap(5 * SECOND);
    let after = sign_in_from(&served, GUESSERS, right("anna")).await;
    assert_eq!(after.status(), 200);
    assert_eq!(failed_logins(&served, anna).await, 0);
}

/// threat M: who may lie behind the same address as the guesser.
#[tokio::test]
async fn threat_m_a_browser_that_signed_in_before_is_not_locked_with_its_network() {
    let served = Served::start().await;
    served.user("anna", json!({})).await;
    let first = sign_in(&served, json!({"username": "anna", "password": PASSWORD})).await;
    let device = first
        .headers()
        .get_all("set-cookie")
        .iter()
        .filter_map(|cookie| cookie.to_str().ok()?.split(';').next())
        .find(|cookie| cookie.starts_with("__Host-gatebook-device="))
        .unwrap()
        .to_owned();
    for _ in 0..5 {
        assert_eq!(sign_in(&served, guess("anna")).await.status(), 401);
    }
    assert_eq!(sign_in(&served, right("anna")).await.status(), 429);
    let known = console(&served, Method::POST, "sign-in")
        .header("cookie", device)
        .body(right("anna").to_string());
    assert_eq!(known.send().await.unwrap().status(), 200);
}

/// config-api.md 2.7: `failed_logins` may be set to 0 to unlock.
#[tokio::test]
async fn a_user_is_unlocked_through_the_api() {
    let served = Served::start().await;
    let anna = served.user("anna", json!({})).await.id;
    for _ in 0..5 {
        sign_in(&served, guess("anna")).await;
    }
    assert_eq!(sign_in(&served, right("anna")).await.status(), 429);
    let path = format!("user/{anna}");
    let (status, told) = served.patch(&path, json!({"failed_logins": 3})).await;
    assert_eq!(status, 422);
    assert!(told["errors"]["failed_logins"].is_array(), "{told}");
    let (status, user) = served.patch(&path, json!({"failed_logins": 0})).await;
    assert_eq!((status, &user["failed_logins"]), (200, &json!(0)));
    assert_eq!(sign_in(&served, right("anna")).await.status(), 200);
}

/// threat M
#[tokio::test]
async fn threat_m_a_lock_tells_nothing_of_who_exists() {
    let served = Served::start().await;
    served.user("anna", json!({})).await;
    let mut answers = Vec::new();
    for name in ["anna", "nobody"] {
        let mut told = Vec::new();
        for _ in 0..7 {
            told.push(answer(sign_in(&served, guess(name)).await).await);
        }
        answers.push(told);
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0][5].0, 429);
}

/// threat M: one password is tried with many names. The log grows by a bounded number of events, and others get in.
#[tokio::test]
async fn threat_m_a_network_that_tries_many_names_is_heard_a_few_times() {
    let served = behind_proxy().await;
    for number in 0..30 {
        let (status, _) = served
            .post(
                "user",
                json!({"username": format!("user{number}"), "public_display_name": "U"}),
            )
            .await;
        assert_eq!(status, 201);
    }
    served.user("anna", json!({})).await;
    let before = served.log().await.len();
    let mut heard = 0;
    for number in 0..200 {
        let address = format!("203.0.113.{number}");
        let name = format!("user{}", number % 30);
        let refused = sign_in_from(&served, &address, guess(&name)).await;
        heard += usize::from(refused.status() == 401);
    }
    served.site.record_attempts().await;
    let grown = served.log().await.len() - before;
    assert!(heard <= 12, "{heard}");
    assert!(grown <= 16, "{grown}");
    let office = sign_in_from(&served, OFFICE, right("anna")).await;
    assert_eq!(office.status(), 200);
}

/// threat M: the queue of passwords is full of strangers from many networks; who is known, administrators and strangers from
/// yet another network come to their turn.
#[tokio::test]
async fn threat_m_a_storm_of_wrong_passwords_keeps_nobody_out() {
    let served = behind_proxy().await;
    let office = |name: &'static str| sign_in_from(&served, OFFICE, right(name));
    for name in ["anna", "bert"] {
        served.user(name, json!({})).await;
        assert_eq!(office(name).await.status(), 200);
    }
    let storm = async {
        let guesses = (0..60).map(|number| {
            let network = number % 4;
            let served = &served;
            async move {
                let address = format!("203.0.{network}.7");
                let body = guess(&format!("guess {number}"));
                sign_in_from(served, &address, body).await.status().as_u16()
            }
        });
        join_all(guesses).await
    };
    let admin = async {
        let body = json!({"username": "cara", "public_display_name": "C", "password": PASSWORD});
        served.post("user", body).await.0
    };
    let home = async {
        let body = json!({"username": "admin", "password": FIRST_PASSWORD, "bearer": true});
        sign_in_from(&served, "198.51.100.1", body).await.status()
    };
    let (storm, anna, bert, admin, home) =
        tokio::join!(storm, office("anna"), office("bert"), admin, home);
    assert!(storm.iter().all(|status| [401, 429, 503].contains(status)));
    assert_eq!((anna.status(), bert.status()), (home, home));
    assert_eq!((home.as_u16(), admin), (200, 201));
}

#[tokio::test]
async fn one_changes_ones_own_password_and_signs_in_anew() {
    let served = Served::start().await;
    let by_bearer = served.user("anna", json!({})).await;
    let by_cookie = sign_in_by_cookie(&served, "anna", PASSWORD).await;
    let change = |password: &str, new: &str| json!({"password": password, "new_password": new});
    // present password, new one, status, field or code
    for (present, new, status, what) in [
        ("wrong", "long enough for anna", 422, "password"),
        (PASSWORD, "short", 422, "new_password"),
        (PASSWORD, "                    ", 422, "new_password"),
        (PASSWORD, PASSWORD, 422, "new_password"),
    ] {
        let (code, told) = by_bearer.post("me/password", change(present, new)).await;
        assert_eq!(code, status, "{told}");
        assert!(told["errors"][what].is_array(), "{told}");
    }
    let (code, told) = by_bearer.post("me/password", json!({})).await;
    assert_eq!(code, 422, "{told}");
    assert_eq!(failed_logins(&served, by_bearer.id).await, 1);
    assert_eq!(by_bearer.get("me").await.0, 200);

    let (code, told) = by_bearer
        .post("me/password", change(PASSWORD, "the second password"))
        .await;
    assert_eq!(code, 200, "{told}");
    assert_eq!(by_bearer.get("me").await.0, 401);
    let gone = with_cookie(&served, Method::GET, "me", &by_cookie);
    assert_eq!(gone.send().await.unwrap().status(), 401);
    let token = told["token"].as_str().unwrap();
    let me = console(&served, Method::GET, "me").bearer_auth(token);
    assert_eq!(me.send().await.unwrap().status(), 200);
    assert_eq!(sign_in(&served, right("anna")).await.status(), 401);

    // In a browser the answer brings the cookie anew.
    let by_cookie = sign_in_by_cookie(&served, "anna", "the second password").await;
    let body = change("the second password", "the third password");
    let changed = with_cookie(&served, Method::POST, "me/password", &by_cookie)
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(changed.status(), 200);
    let cookie = header(&changed, "set-cookie").unwrap();
    let me =
        console(&served, Method::GET, "me").header("cookie", cookie.split(';').next().unwrap());
    assert_eq!(me.send().await.unwrap().status(), 200);
    assert!(answer(changed).await.1.get("token").is_none());
    for (_, text) in served.log().await {
        assert!(!text.contains("the third password"), "{text}");
    }
}

#[tokio::test]
async fn a_password_that_others_set_is_changed_at_the_next_sign_in() {
    let served = Served::start().await;
    let admin = served.administrator().await;
    let anna = served.user("anna", json!({})).await;
    let helper = served
        .user("helper", json!({"perm_set_passwords": true}))
        .await;
    for _ in 0..5 {
        sign_in(&served, guess("anna")).await;
    }
    let path = format!("users/{}/password", anna.id);
    let body = json!({"password": "set by somebody else"});
    let (code, told) = anna
        .put(&format!("users/{}/password", helper.id), body.clone())
        .await;
    assert_eq!(
        (code, told["code"].as_str()),
        (403, Some("administrator_needed"))
    );
    assert!(told["refusal"].is_string(), "{told}");
    let (code, told) = admin
        .put(&format!("users/{}/password", admin.id), body.clone())
        .await;
    assert_eq!((code, told["code"].as_str()), (403, Some("own_password")));
    let (code, _) = helper
        .put(&format!("users/{}/password", admin.id), body.clone())
        .await;
    assert_eq!(code, 403);
    let (code, told) = admin.put(&path, json!({"password": "short"})).await;
    assert_eq!(code, 422, "{told}");
    assert_eq!(admin.put("users/99/password", body.clone()).await.0, 404);

    for setter in [&admin, &helper] {
        assert_eq!(setter.put(&path, body.clone()).await.0, 204);
        assert_eq!(anna.get("me").await.0, 401);
        let credentials = json!({"username": "anna", "password": "set by somebody else"});
        let (code, told) = answer(sign_in(&served, credentials).await).await;
        assert_eq!(
            (code, told["code"].as_str()),
            (403, Some("password_change_required"))
        );
        let changed = json!({
            "username": "anna", "password": "set by somebody else",
            "new_password": "chosen by herself", "bearer": true,
        });
        let (code, told) = answer(sign_in(&served, changed).await).await;
        assert_eq!(code, 200, "{told}");
        served.visitor("anna", "chosen by herself").await;
    }
    let body = json!({"password": "set for good by admin", "password_reset_next_login": false});
    assert_eq!(admin.put(&path, body).await.0, 204);
    served.visitor("anna", "set for good by admin").await;
}

#[tokio::test]
async fn a_password_that_has_expired_lets_in_only_with_a_new_one() {
    let served = Served::start().await;
    let anna = served.user("anna", json!({})).await.id;
    let path = format!("user/{anna}");
    for demand in [
        json!({"password_expiration": "2026-01-05T09:00:00+00:00"}),
        json!({"password_reset_next_login": true}),
    ] {
        assert_eq!(served.patch(&path, demand).await.0, 200);
        let (code, told) = answer(sign_in(&served, right("anna")).await).await;
        assert_eq!(
            (code, told["code"].as_str()),
            (403, Some("password_change_required"))
        );
        // Only who shows the present password may change it.
        let mut body = guess("anna");
        body["new_password"] = json!("chosen by somebody");
        assert_eq!(sign_in(&served, body).await.status(), 401);
        let mut body = right("anna");
        body["new_password"] = json!("chosen by herself");
        assert_eq!(sign_in(&served, body).await.status(), 200);
        let (_, user) = served.get(&path).await;
        assert_eq!(user["password_expiration"], Value::Null);
        assert_eq!(user["password_reset_next_login"], false);
        let admin = served.administrator().await;
        let back = json!({"password": PASSWORD, "password_reset_next_login": false});
        assert_eq!(
            admin.put(&format!("users/{anna}/password"), back).await.0,
            204
        );
    }
}

#[tokio::test]
async fn what_nothing_enforces_is_refused_naming_it() {
    let served = Served::start().await;
    let anna = served.user("anna", json!({})).await.id;
    let path = format!("user/{anna}");
    let (status, told) = served
        .patch(&path, json!({"two_factor_required": true}))
        .await;
    assert_eq!(status, 422);
    assert!(told["errors"]["two_factor_required"].is_array(), "{told}");
    let (status, user) = served
        .patch(&path, json!({"two_factor_required": false}))
        .await;
    assert_eq!((status, &user["two_factor_required"]), (200, &json!(false)));
}

/// threat M: a script that is refused again and again leaves one event, whose id each answer carries, and a count.
#[tokio::test]
async fn threat_m_refusals_that_repeat_are_counted() {
    let served = Served::start().await;
    let anna = served.user("anna", json!({})).await;
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..30 {
        let (status, told) = anna.get("site/settings").await;
        assert_eq!(status, 403);
        ids.insert(told["refusal"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids.len(), 1);
    assert_eq!(served.count("ActionRefused").await, 1);
    served.site.record_attempts().await;
    let log = served.log().await;
    let counted: Vec<_> = log
        .iter()
        .filter(|(name, _)| name == "AttemptsRefused")
        .map(|(_, text)| text)
        .collect();
    assert_eq!(counted.len(), 1);
    for part in [
        "\"caller\":\"user-2\"",
        "\"count\":29",
        "127.0.0.0/24",
        "site/settings",
    ] {
        assert!(counted[0].contains(part), "{part}: {}", counted[0]);
    }
    served.clock.leap(60 * SECOND);
    anna.get("site/settings").await;
    assert_eq!(served.count("ActionRefused").await, 2);
}
