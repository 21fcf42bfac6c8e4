//! Tokens: how they are asked for, how long they are good, and what ends them.

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use reqwest::Method;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;

use api::Transport;
use domain::time::{HOUR, MINUTE};
use tower::ServiceExt;

use crate::served::{Credentials, FIRST_SECRET, Served, answer, header};

fn basic(id: &str, secret: &str) -> String {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}"));
    format!("Basic {encoded}")
}

/// A form of these parameters.
fn form(members: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(members)
        .finish()
}

/// Authorization, Content-Type, body.
type Asked = (Option<String>, Option<&'static str>, Vec<u8>);

async fn ask(served: &Served, (authorization, content_type, body): Asked) -> reqwest::Response {
    let mut request = served.request(Method::POST, "/oauth2/token").body(body);
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    if let Some(value) = content_type {
        request = request.header("content-type", value);
    }
    request.send().await.unwrap()
}

const FORM: Option<&str> = Some("application/x-www-form-urlencoded");
const JSON: Option<&str> = Some("application/json");

/// AUTH-02, AUTH-03, AUTH-04, AUTH-05, AUTH-06, AUTH-30, AUTH-31
#[tokio::test]
async fn a_token_is_given_in_every_form_that_clients_ask_in() {
    let served = Served::start().await;
    let id = served.first.client_id.clone();
    assert!(FIRST_SECRET.contains('+') && FIRST_SECRET.contains('/'));
    assert_eq!(id.len(), 40);
    assert!(
        id.bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    );
    let credentials = Some(basic(&id, FIRST_SECRET));
    let grant = form(&[("grant_type", "client_credentials")]);
    let all_in_body = form(&[
        ("grant_type", "client_credentials"),
        ("client_id", &id),
        ("client_secret", FIRST_SECRET),
    ]);
    let as_json = json!({"grant_type": "client_credentials"}).to_string();
    let all_as_json =
        json!({"grant_type": "client_credentials", "client_id": id, "client_secret": FIRST_SECRET});
    let cases: [Asked; 7] = [
        (credentials.clone(), FORM, grant.clone().into()),
        (credentials.clone(), None, grant.into()),
        (None, FORM, all_in_body.clone().into()),
        (None, None, all_in_body.into()),
        (credentials.clone(), JSON, as_json.clone().into()),
        (credentials, None, as_json.into()),
        (None, JSON, all_as_json.to_string().into()),
    ];
    for case in cases {
        let shown = format!("{case:?}");
        let response = ask(&served, case).await;
        assert_eq!(
            header(&response, "cache-control").as_deref(),
            Some("no-store")
        );
        let (status, body) = answer(response).await;
        assert_eq!(status, 200, "{shown}");
        assert_eq!(body["token_type"], "Bearer");
        assert_eq!(body["expires_in"], 3600);
        let token = body["access_token"].as_str().unwrap();
        assert_eq!(served.status_with(token).await, 200, "{shown}");
    }
}

/// AUTH-03, AUTH-04, AUTH-11, AUTH-31
#[tokio::test]
async fn a_request_that_is_not_right_gets_the_error_of_oauth2() {
    let served = Served::start().await;
    let id = served.first.client_id.clone();
    let good = || Some(basic(&id, FIRST_SECRET));
    let grant = || form(&[("grant_type", "client_credentials")]).into_bytes();
    let mut bad_utf_8 = grant();
    bad_utf_8.extend(b"&x=\xff");
    let twice = b"grant_type=client_credentials&grant_type=client_credentials".to_vec();
    let wrong_in_body = form(&[
        ("grant_type", "client_credentials"),
        ("client_id", &id),
        ("client_secret", "wrong"),
    ]);
    let long = "x".repeat(300);
    // request, status, error
    let cases: [(Asked, u16, &str); 16] = [
        (
            (good(), FORM, b"grant_type=password".to_vec()),
            400,
            "unsupported_grant_type",
        ),
        ((good(), FORM, b"".to_vec()), 400, "invalid_request"),
        ((good(), JSON, b"{}".to_vec()), 400, "invalid_request"),
        (
            (good(), JSON, b"{\"grant_type\":1}".to_vec()),
            400,
            "invalid_request",
        ),
        (
            (good(), JSON, b"{\"grant_type\":".to_vec()),
            400,
            "invalid_request",
        ),
        ((good(), FORM, bad_utf_8), 400, "invalid_request"),
        ((good(), FORM, twice), 400, "invalid_request"),
        ((None, FORM, grant()), 401, "invalid_client"),
        (
            (Some(basic(&id, "wrong")), FORM, grant()),
            401,
            "invalid_client",
        ),
        ((Some(basic(&id, "")), FORM, grant()), 401, "invalid_client"),
        (
            (Some(basic("nobody", FIRST_SECRET)), FORM, grant()),
            401,
            "invalid_client",
        ),
        (
            (Some("Basic ###".to_owned()), FORM, grant()),
            401,
            "invalid_client",
        ),
        (
            (Some("Basic bm9jb2xvbg==".to_owned()), FORM, grant()),
            401,
            "invalid_client",
        ),
        (
            (Some("Bearer abc".to_owned()), FORM, grant()),
            401,
            "invalid_client",
        ),
        (
            (Some(basic(&id, &long)), FORM, grant()),
            401,
            "invalid_client",
        ),
        (
            (None, FORM, wrong_in_body.into_bytes()),
            401,
            "invalid_client",
        ),
    ];
    for (asked, expected, error) in cases {
        let shown = format!("{asked:?}");
        let response = ask(&served, asked).await;
        let challenge = header(&response, "www-authenticate");
        assert_eq!(challenge.is_some(), expected == 401, "{shown}");
        let (status, body) = answer(response).await;
        assert_eq!(
            (status, body["error"].as_str()),
            (expected, Some(error)),
            "{shown}"
        );
        assert!(!body["message"].as_str().unwrap().is_empty());
    }
    let huge = ask(&served, (good(), FORM, vec![b'a'; 100_000])).await;
    let (status, body) = answer(huge).await;
    assert_eq!(
        (status, body["error"].as_str()),
        (413, Some("invalid_request"))
    );
    let got = served
        .request(Method::GET, "/oauth2/token")
        .send()
        .await
        .unwrap();
    assert_eq!(got.status(), 405);
    assert_eq!(header(&got, "allow").as_deref(), Some("POST,OPTIONS"));
    let (_, body) = answer(got).await;
    let expected = json!({"error": "invalid_request", "message": "The method must be POST."});
    assert_eq!(body, expected);
}

/// AUTH-13, AUTH-14: every 401 says how to say who one is (RFC 9110, 11.6.1).
#[tokio::test]
async fn every_401_carries_a_challenge() {
    let served = Served::start().await;
    for (method, path) in [
        (Method::GET, "/api/config/v1/jump-group"),
        (Method::GET, "/api/command?action=get_api_info"),
        (Method::GET, "/api/reporting"),
        (Method::GET, "/api/console/v1/items"),
        (Method::POST, "/api/console/v1/sign-in"),
    ] {
        let body = json!({"username": "nobody", "password": "wrong"});
        let request = served.request(method, path).bearer_auth("1.wrong");
        let response = request.body(body.to_string()).send().await.unwrap();
        assert_eq!(response.status(), 401, "{path}");
        let challenge = header(&response, "www-authenticate");
        assert_eq!(
            challenge.as_deref(),
            Some("Bearer realm=\"Gatebook\""),
            "{path}"
        );
    }
}

/// AUTH-07, AUTH-13, AUTH-14, CONF-14
#[tokio::test]
async fn a_token_is_good_for_one_hour_and_not_longer() {
    let served = Served::start().await;
    let token = served.token_of(&served.first).await;
    served.clock.leap(HOUR - 1);
    assert_eq!(served.status_with(&token).await, 200);
    served.clock.leap(1);
    let response = served
        .call_with(&token, Method::GET, "jump-group", None)
        .await;
    let (status, body) = answer(response).await;
    assert_eq!(status, 401);
    let denied = json!({
        "error": "access_denied",
        "message": "The resource owner or authorization server denied the request.",
    });
    assert_eq!(body, denied);
}

/// AUTH-08, LIM-12
#[tokio::test]
async fn the_31st_token_ends_the_oldest_only() {
    let served = Served::start().await;
    let account = served
        .account(json!({"name": "many", "perm_configuration": true, "requests_per_second": 10_000}))
        .await;
    let mut tokens = Vec::new();
    for _ in 0..30 {
        tokens.push(served.token_of(&account).await);
    }
    for token in &tokens {
        assert_eq!(served.status_with(token).await, 200);
    }
    tokens.push(served.token_of(&account).await);
    assert_eq!(served.status_with(&tokens[0]).await, 401);
    for token in &tokens[1..] {
        assert_eq!(served.status_with(token).await, 200);
    }
    // Expired ones make room: nothing is dropped early.
    served.clock.leap(HOUR);
    let fresh = served.token_of(&account).await;
    for _ in 0..29 {
        served.token_of(&account).await;
    }
    assert_eq!(served.status_with(&fresh).await, 200);
    served.token_of(&account).await;
    assert_eq!(served.status_with(&fresh).await, 401);
}

/// AUTH-08
#[tokio::test]
async fn many_asking_at_once_get_at_most_30_good_tokens() {
    let served = Arc::new(Served::start().await);
    let account = served
        .account(json!({"name": "many", "perm_configuration": true, "requests_per_second": 10_000}))
        .await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (served, account) = (Arc::clone(&served), account.clone());
        asking.spawn(async move { served.token_of(&account).await });
    }
    let tokens = asking.join_all().await;
    let mut good = 0;
    for token in &tokens {
        good += usize::from(served.status_with(token).await == 200);
    }
    assert_eq!(good, 30);
}

/// AUTH-09, AUTH-11
#[tokio::test]
async fn a_new_secret_ends_all_tokens_at_once_and_the_old_secret_too() {
    let served = Served::start().await;
    let tokens = [
        served.token_of(&served.first).await,
        served.token_of(&served.first).await,
    ];
    for token in &tokens {
        assert_eq!(served.status_with(token).await, 200);
    }
    let renewed = served.regenerate(&served.first).await;
    for token in &tokens {
        assert_eq!(served.status_with(token).await, 401);
    }
    assert_eq!(served.ask_token(&served.first).await.status(), 401);
    let token = served.token_of(&renewed).await;
    assert_eq!(served.status_with(&token).await, 200);
}

/// AUTH-10, threat C
#[tokio::test]
async fn the_secret_can_be_neither_read_nor_edited() {
    let served = Served::start().await;
    let (_, account) = served.get("api-account/1").await;
    assert_eq!(account["client_id"], served.first.client_id.as_str());
    assert!(account.get("client_secret").is_none());
    let edited = served
        .patch("api-account/1", json!({"client_secret": "mine"}))
        .await;
    assert_eq!(edited.0, 405);
    assert_eq!(served.ask_token(&served.first).await.status(), 200);
}

/// AUTH-12, AUTH-13, AUTH-32
#[tokio::test]
async fn only_one_bearer_header_with_a_good_token_lets_in() {
    let served = Served::start().await;
    let good = &served.token;
    let longer = format!("{good}x");
    let other_account = format!("2{}", &good[1..]);
    // Authorization headers, status
    let cases: [(Vec<String>, u16); 11] = [
        (vec![format!("Bearer {good}")], 200),
        (vec![format!("bearer {good}")], 200),
        (vec![], 401),
        (vec![String::new()], 401),
        (vec!["Bearer".to_owned()], 401),
        (vec![good.clone()], 401),
        (vec![format!("Basic {good}")], 401),
        (vec![format!("Bearer {longer}")], 401),
        (vec![format!("Bearer {other_account}")], 401),
        (vec![format!("Bearer {}", "a".repeat(7_000))], 401),
        (
            vec![format!("Bearer {good}"), format!("Bearer {good}")],
            401,
        ),
    ];
    for (values, expected) in cases {
        let mut request = served.request(Method::GET, "/api/config/v1/jump-group");
        for value in &values {
            request = request.header("authorization", value);
        }
        let (status, body) = answer(request.send().await.unwrap()).await;
        assert_eq!(status, expected, "{values:?}");
        if expected == 401 {
            assert_eq!(body["error"], "access_denied", "{values:?}");
        }
    }
}

/// AUTH-29: also for good, when the account is enabled again.
#[tokio::test]
async fn a_disabled_or_deleted_account_is_out_at_once() {
    let served = Served::start().await;
    let account = served
        .account(json!({"name": "soon gone", "perm_configuration": true}))
        .await;
    let token = served.token_of(&account).await;
    assert_eq!(served.status_with(&token).await, 200);
    served
        .change_account(account.id, json!({"enabled": false}))
        .await;
    assert_eq!(served.status_with(&token).await, 401);
    let (status, body) = answer(served.ask_token(&account).await).await;
    assert_eq!(
        (status, body["error"].as_str()),
        (401, Some("invalid_client"))
    );
    // Who asked was proven, so the refusal is an event of its own.
    assert_eq!(served.count("ActionRefused").await, 1);
    served
        .change_account(account.id, json!({"enabled": true}))
        .await;
    assert_eq!(served.status_with(&token).await, 401);
    let token = served.token_of(&account).await;
    assert_eq!(served.status_with(&token).await, 200);
    served.delete_account(account.id).await;
    assert_eq!(served.status_with(&token).await, 401);
    assert_eq!(served.ask_token(&account).await.status(), 401);
}

/// AUTH-29, threat D
#[tokio::test]
async fn threat_d_an_account_with_source_networks_comes_from_nowhere_else() {
    let served = Served::start().await;
    let account = served
        .account(json!({"name": "bound", "perm_configuration": true}))
        .await;
    let token = served.token_of(&account).await;
    // networks, whether 127.0.0.1 lies in them
    let cases = [
        ("", true),
        ("127.0.0.0/8", true),
        ("192.0.2.1, 127.0.0.1", true),
        ("192.0.2.0/24\n2001:db8::/32", false),
        ("127.0.0.2", false),
    ];
    for (networks, inside) in cases {
        // A refusal that repeats one of the same minute is only counted.
        served.clock.leap(MINUTE);
        served
            .change_account(account.id, json!({"ip_addresses": networks}))
            .await;
        let expected = if inside { 200 } else { 401 };
        assert_eq!(served.status_with(&token).await, expected, "{networks}");
        assert_eq!(
            served.ask_token(&account).await.status(),
            expected,
            "{networks}"
        );
    }
    assert_eq!(served.count("ActionRefused").await, 2);
}

/// AUTH-22, AUTH-24, AUTH-28, CONF-05, ERR-31
#[tokio::test]
async fn an_account_for_one_api_is_refused_at_another_and_the_refusal_is_in_the_log() {
    let served = Served::start().await;
    let account = served
        .account(json!({"name": "commander", "perm_command": "full_access"}))
        .await;
    let token = served.token_of(&account).await;
    let response = served
        .call_with(&token, Method::GET, "jump-group", None)
        .await;
    let (status, body) = answer(response).await;
    assert_eq!(status, 403);
    let refused: Vec<_> = served
        .log()
        .await
        .into_iter()
        .filter(|(name, _)| name == "ActionRefused")
        .collect();
    assert_eq!(refused.len(), 1);
    assert!(refused[0].1.contains("GET /api/config/v1/jump-group"));
    assert!(refused[0].1.contains("permission_missing"));
    assert_eq!(body["refusal"].as_str().unwrap().len(), 36);
    assert_eq!(body["code"], "permission_missing");
}

/// AUTH-01
#[tokio::test]
async fn switching_the_xml_api_off_leaves_tokens_and_the_configuration_api_alone() {
    let served = Served::start().await;
    let settings = json!({"xml_api_enabled": false})
        .as_object()
        .unwrap()
        .clone();
    let command = domain::record::Command::Change(domain::site::settings::SETTINGS, settings);
    served
        .submit(domain::Command::SiteSettings(command), None)
        .await
        .unwrap();
    let token = served.token_of(&served.first).await;
    assert_eq!(served.status_with(&token).await, 200);
}

/// AUTH-19
#[tokio::test]
async fn connections_are_kept_until_the_client_says_close() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let served = Served::start().await;
    let address = served.url.trim_start_matches("http://");
    let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = |close: &str| {
        format!(
            "GET /api/config/v1/jump-group HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n{close}\r\n",
            served.token
        )
    };
    let both = request("") + &request("Connection: close\r\n");
    connection.write_all(both.as_bytes()).await.unwrap();
    let mut answers = String::new();
    // Ends when the server closes, and no sooner than after both answers.
    connection.read_to_string(&mut answers).await.unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2);
    assert_eq!(
        answers.to_lowercase().matches("connection: close").count(),
        1
    );
}

/// AUTH-20, AUTH-21
#[tokio::test]
async fn plain_text_from_elsewhere_is_refused() {
    let served = Served::start().await;
    let router = api::router(Arc::clone(&served.site));
    let near: SocketAddr = "127.0.0.1:1000".parse().unwrap();
    let far: SocketAddr = "192.0.2.1:1000".parse().unwrap();
    // peer, what the listener says, status of a token request with good credentials
    let cases = [
        (near, Some(Transport::PlainTrusted), 200),
        (far, Some(Transport::Tls), 200),
        (far, Some(Transport::PlainTrusted), 403),
        (far, None, 403),
        (near, None, 403),
    ];
    for (peer, transport, expected) in cases {
        let mut request = Request::post("/oauth2/token")
            .header(
                "authorization",
                basic(&served.first.client_id, FIRST_SECRET),
            )
            .header("host", "access.example.com")
            .header("x-forwarded-for", "127.0.0.1")
            .header("x-forwarded-proto", "https")
            .body(Body::from("grant_type=client_credentials"))
            .unwrap();
        request.extensions_mut().insert(ConnectInfo(peer));
        if let Some(transport) = transport {
            request.extensions_mut().insert(transport);
        }
        let response = router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), expected, "{peer} {transport:?}");
    }
}

#[tokio::test]
async fn an_account_is_noted_once_an_hour_and_address() {
    let served = Served::start().await;
    assert_eq!(served.count("ApiAccountAuthenticated").await, 1);
    for _ in 0..3 {
        served.token_of(&served.first).await;
    }
    assert_eq!(served.count("ApiAccountAuthenticated").await, 1);
    served.clock.leap(HOUR);
    for _ in 0..3 {
        served.token_of(&served.first).await;
    }
    assert_eq!(served.count("ApiAccountAuthenticated").await, 2);
}

/// threat C
#[tokio::test]
async fn threat_c_neither_secrets_nor_tokens_are_in_the_log_or_bare_in_the_database() {
    let served = Served::start().await;
    let account: Credentials = served
        .account(json!({"name": "canary", "perm_configuration": true}))
        .await;
    let token = served.token_of(&account).await;
    let password = "canary-users-password";
    let (status, _) = served
        .post(
            "user",
            json!({"username": "u", "public_display_name": "U", "password": password}),
        )
        .await;
    assert_eq!(status, 201);
    let group = served.post("jump-group", json!({"name": "g"})).await.1["id"].clone();
    let (_, installer): (u16, Value) = served
        .post("jump-client/installer", json!({"jump_group_id": group}))
        .await;
    let key = installer["key_info"]["linux64-x86"]["encodedInfo"]
        .as_str()
        .unwrap();
    let key_secret = link_protocol::KeyInfo::decode(key).unwrap().secret;
    let canaries = [
        token.as_str(),
        token.split_once('.').unwrap().1,
        &account.secret,
        FIRST_SECRET,
        crate::served::FIRST_PASSWORD,
        password,
        key,
        key_secret.expose(),
    ];
    for (name, text) in served.log().await {
        for canary in canaries {
            assert!(!text.contains(canary), "{name} holds a secret");
        }
    }
    let store = served.site.engine.store();
    for table in [
        eventstore::SideTable::Secret,
        eventstore::SideTable::ApiToken,
        eventstore::SideTable::Idempotency,
    ] {
        for row in store.side_rows(table, "").await.unwrap() {
            let text = String::from_utf8_lossy(&row.value).into_owned() + &row.key;
            for canary in canaries {
                assert!(!text.contains(canary), "{table:?} holds a secret");
            }
            assert!(!text.contains("$argon2"), "a password's hash lies unsealed");
        }
    }
}
