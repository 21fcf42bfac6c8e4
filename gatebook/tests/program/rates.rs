//! The rate of an API account over real connections, for as long as it takes to see a drift.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use tempfile::tempdir;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::running::Server;

/// How long the calls go on.
const FOR: Duration = Duration::from_secs(300);

/// The pace of an account by default: 20 a second.
const EVERY: Duration = Duration::from_millis(50);

/// AUTH-15, AUTH-17: a client that paces itself at the published rate is never refused, over TLS, with jitter and with pauses
/// that it makes up for.
#[tokio::test]
async fn soak_a_client_at_exactly_its_rate_is_never_refused() {
    let folder = tempdir().unwrap();
    let data = folder.path().join("site");
    let server = Server::start(&data, &[]).await;
    let credentials: Value =
        serde_json::from_slice(&fs::read(data.join("first-run.json")).unwrap()).unwrap();
    let token = server.token(&credentials).await.unwrap();
    let client = server.client();
    let url = server.url("/api/config/v1/jump-group");
    let start = Instant::now();
    let mut calls = JoinSet::new();
    let mut seed = 1_u64;
    for call in 0.. {
        let due = EVERY * call;
        if due >= FOR {
            break;
        }
        // Any sequence will do, as long as it is the same each time.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let jitter = Duration::from_millis((seed >> 33) % 200);
        // Every ten seconds the client stops for most of a second, and then sends what it owes.
        let pause = match call % 200 {
            owed @ 0..15 => Duration::from_millis(750) - EVERY * owed,
            _ => Duration::ZERO,
        };
        let request = client.get(&url).bearer_auth(&token);
        calls.spawn(async move {
            sleep_until(start + due + jitter + pause).await;
            request.send().await.unwrap().status().as_u16()
        });
    }
    let statuses = calls.join_all().await;
    let refused = statuses.iter().filter(|status| **status != 200).count();
    assert_eq!(refused, 0, "of {}", statuses.len());
    assert!(server.stop().await.success());
}
