//! A database that is gone, bodies that never end, a server that stops.

use std::time::Duration;

use api::Limits;
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::served::{Differently, Served, answer, header};

/// Every surface says that the database is away, in its own words, and that it may be back.
#[tokio::test]
async fn a_database_that_is_gone_is_said_and_nothing_is_let_in() {
    let served = Served::start().await;
    let not_remembered = served.token_of(&served.first).await;
    served.site.engine.store().clone().close().await;
    let written = served
        .call(Method::POST, "jump-group", Some(json!({"name": "g"})))
        .await;
    assert!(header(&written, "retry-after").is_some());
    let (status, body) = answer(written).await;
    assert_eq!((status, body["code"].as_str()), (503, Some("unavailable")));
    let (status, body) = answer(served.ask_token(&served.first).await).await;
    assert_eq!(
        (status, body["error"].as_str()),
        (503, Some("server_error"))
    );
    // A token that is not remembered can't be looked up: that is no "yes" and no "no".
    assert_eq!(served.status_with(&not_remembered).await, 503);
    // What was never given out is refused without a look-up, on every surface (threat M).
    let never_given = format!("1.{}", "a".repeat(43));
    assert_eq!(served.status_with(&never_given).await, 401);
    for (method, path) in [
        (Method::GET, "/api/console/v1/me"),
        (Method::GET, "/api/openapi.json"),
        (Method::POST, "/api/command"),
        (Method::POST, "/api/reporting"),
    ] {
        let garbage = served.request(method, path).bearer_auth(&never_given);
        assert_eq!(garbage.send().await.unwrap().status(), 401, "{path}");
    }
    let world = served.site.engine.published().world.clone();
    assert!(world.jump_groups.is_empty());
}

/// threat M
#[tokio::test]
async fn threat_m_a_body_that_never_ends_is_cut_off() {
    let served = Served::start_with(Differently {
        limits: Limits {
            body_within: Duration::from_millis(50),
            ..Limits::default()
        },
        ..Differently::default()
    })
    .await;
    for path in ["/oauth2/token", "/api/config/v1/jump-group"] {
        let address = served.url.trim_start_matches("http://");
        let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{{\"na",
            served.token
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        let mut received = String::new();
        connection.read_to_string(&mut received).await.unwrap();
        assert!(received.starts_with("HTTP/1.1 408"), "{path}: {received}");
    }
}

/// What was accepted is answered; what comes after is told to come again.
#[tokio::test]
async fn a_server_that_stops_refuses_new_changes() {
    let mut served = Served::start().await;
    served.stop_engine().await;
    let refused = served
        .call(Method::POST, "jump-group", Some(json!({"name": "g"})))
        .await;
    assert!(header(&refused, "retry-after").is_some());
    let (status, body) = answer(refused).await;
    assert_eq!((status, body["code"].as_str()), (503, Some("unavailable")));
}
