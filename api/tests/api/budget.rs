//! Budgets of accounts and addresses, and what becomes of refused attempts.

use std::num::NonZeroU32;

use api::Limits;
use domain::time::{HOUR, SECOND};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use reqwest::Method;
use serde_json::json;

use crate::served::{Differently, Served, answer, header};

fn budget(response: &reqwest::Response) -> (String, String) {
    let of = |name| header(response, name).expect("every answer says the budget");
    (of("x-ratelimit-limit"), of("x-ratelimit-remaining"))
}

/// AUTH-15, AUTH-16, CONF-25, LIM-12: also of a loop that calls as fast as it can.
#[tokio::test]
async fn every_answer_says_the_budget_and_one_call_after_the_other_is_never_refused() {
    let served = Served::start().await;
    let account = served
        .account(json!({"name": "hasty", "perm_configuration": true}))
        .await;
    let token = served.token_of(&account).await;
    // method, path, status: errors are answers of the budget too
    let calls = [
        (Method::GET, "jump-group", 200),
        (Method::GET, "jump-group/77", 404),
        (Method::GET, "nothing", 404),
        (Method::PUT, "jump-group", 405),
        (Method::OPTIONS, "jump-group", 200),
        (Method::GET, "jump-group?wrong=1", 422),
        (Method::HEAD, "jump-group", 200),
    ];
    let loops = std::iter::repeat_n((Method::GET, "jump-group", 200), 23);
    let mut left = 15_000;
    for (method, path, expected) in calls.into_iter().chain(loops) {
        let response = served.call_with(&token, method, path, None).await;
        left -= 1;
        assert_eq!(response.status(), expected, "{path}");
        assert_eq!(
            budget(&response),
            ("15000".to_owned(), left.to_string()),
            "{path}"
        );
    }
}

/// AUTH-15, AUTH-16, AUTH-17: of a hundred at once those within two seconds' budget are answered in their turn, the rest is
/// refused at once, does not run and is not counted.
#[tokio::test]
async fn calls_over_the_rate_are_held_and_only_beyond_two_seconds_refused() {
    let served = Served::start().await;
    let account = served
        .account(json!({"name": "hasty", "perm_configuration": true}))
        .await;
    let token = served.token_of(&account).await;
    let mut calls: FuturesUnordered<_> = (0..100)
        .map(|number| {
            let body = json!({"name": format!("Group {number}")});
            served.call_with(&token, Method::POST, "jump-group", Some(body))
        })
        .collect();
    let (mut ran, mut refused) = (0, 0);
    while let Some(response) = calls.next().await {
        let (limit, _) = budget(&response);
        assert_eq!(limit, "15000");
        if response.status() == 429 {
            assert_eq!(header(&response, "retry-after").as_deref(), Some("1"));
            refused += 1;
        } else {
            assert_eq!(response.status(), 201);
            ran += 1;
        }
    }
    // What was refilled while they came, a loaded machine takes its time for.
    assert!(
        ran >= 60 && refused >= 1,
        "{ran} ran, {refused} were refused"
    );
    let groups = served
        .call_with(&token, Method::GET, "jump-group?per_page=100", None)
        .await;
    assert_eq!(budget(&groups).1, (15_000 - ran - 1).to_string());
    let groups = answer(groups).await.1;
    assert_eq!(groups.as_array().map(Vec::len), Some(ran));
}

/// AUTH-17: what a held call rests on is asked again when its turn has come.
#[tokio::test]
async fn a_call_whose_account_is_disabled_while_it_waits_does_not_run() {
    let served = Served::start().await;
    let account = served
        .account(json!({"name": "hasty", "perm_configuration": true, "requests_per_second": 1}))
        .await;
    let token = served.token_of(&account).await;
    assert_eq!(served.status_with(&token).await, 200);
    let mut held: FuturesUnordered<_> = (0..3).map(|_| served.status_with(&token)).collect();
    // Two seconds' worth waits once the third is refused.
    assert_eq!(held.next().await, Some(429));
    served
        .change_account(account.id, json!({"enabled": false}))
        .await;
    assert_eq!(held.next().await, Some(401));
    assert_eq!(held.next().await, Some(401));
}

/// AUTH-16, AUTH-17, AUTH-18
#[tokio::test]
async fn an_hour_that_is_used_up_begins_anew_an_hour_after_its_first_call() {
    let served = Served::start().await;
    let account = served
        .account(json!({"name": "thrifty", "perm_configuration": true, "requests_per_hour": 2}))
        .await;
    let token = served.token_of(&account).await;
    served.clock.leap(HOUR / 2);
    for left in ["1", "0"] {
        let response = served
            .call_with(&token, Method::GET, "jump-group", None)
            .await;
        assert_eq!(budget(&response), ("2".to_owned(), left.to_owned()));
    }
    let refused = served
        .call_with(&token, Method::GET, "jump-group", None)
        .await;
    assert_eq!(refused.status(), 429);
    assert_eq!(header(&refused, "retry-after").as_deref(), Some("3600"));
    assert_eq!(budget(&refused), ("2".to_owned(), "0".to_owned()));
    assert_eq!(
        served.status_with(&served.token).await,
        200,
        "another account has its own budget"
    );
    served.clock.leap(HOUR);
    let token = served.token_of(&account).await;
    assert_eq!(served.status_with(&token).await, 200);
}

/// AUTH-33, HLTH-08, HLTH-09
#[tokio::test]
async fn calls_without_an_account_are_limited_by_source_address() {
    let limits = Limits {
        address_per_second: NonZeroU32::MIN,
        address_burst: NonZeroU32::MIN.saturating_add(4),
        ..Limits::default()
    };
    // The first token took one of five.
    let served = Served::start_with(Differently {
        limits,
        ..Differently::default()
    })
    .await;
    let mut statuses = Vec::new();
    for path in ["/get_mech_list?version=3", "/get_mech_list"] {
        statuses.push(served.request(Method::GET, path).send().await.unwrap());
    }
    statuses.push(
        served
            .call_with("1.wrong", Method::GET, "jump-group", None)
            .await,
    );
    statuses.push(served.ask_token(&served.first).await);
    let statuses: Vec<u16> = statuses
        .iter()
        .map(|response| response.status().as_u16())
        .collect();
    assert_eq!(statuses, [200, 200, 401, 200]);
    // Two wait for their turn, within two seconds; the rest is refused, in the form of the token endpoint.
    let mut calls: FuturesUnordered<_> = (0..6).map(|_| served.ask_token(&served.first)).collect();
    let mut held = 0;
    while let Some(response) = calls.next().await {
        if response.status() == 200 {
            held += 1;
            // The rest of the queue need not be waited for.
            break;
        }
        assert_eq!(response.status(), 429);
        assert_eq!(header(&response, "retry-after").as_deref(), Some("1"));
        assert!(
            header(&response, "x-ratelimit-limit").is_none(),
            "no account is charged"
        );
        let expected = json!({"error": "temporarily_unavailable", "message": "Too many requests."});
        assert_eq!(answer(response).await.1, expected);
        // Who is refused anyway does not wait.
        let wrong = served
            .call_with("1.wrong", Method::GET, "jump-group", None)
            .await;
        assert_eq!(wrong.status(), 429);
        // A probe is never refused for what others do.
        let health = served.request(Method::GET, "/check_health").send().await;
        assert_eq!(health.unwrap().status(), 200);
    }
    assert_eq!(held, 1, "the next one is answered in its turn");
    assert_eq!(
        served.status_with(&served.token).await,
        200,
        "accounts go on"
    );
}

/// AUTH-17, AUTH-32
#[tokio::test]
async fn refusals_before_identity_and_by_rate_are_recorded_once_a_minute() {
    let served = Served::start().await;
    let account = served
        .account(json!({"name": "hasty", "perm_configuration": true, "requests_per_second": 1}))
        .await;
    let token = served.token_of(&account).await;
    for _ in 0..3 {
        served.status_with("1.guess").await;
    }
    // One runs, two wait, two are refused; nobody waits for those that wait.
    let mut calls: FuturesUnordered<_> = (0..5).map(|_| served.status_with(&token)).collect();
    let mut first = [0; 3];
    for status in &mut first {
        *status = calls.next().await.unwrap();
    }
    first.sort_unstable();
    assert_eq!(first, [200, 429, 429]);
    drop(calls);
    let wrong = crate::served::Credentials {
        secret: "wrong".to_owned(),
        ..account.clone()
    };
    served.ask_token(&wrong).await;
    assert_eq!(served.count("AttemptsRefused").await, 0);
    served.site.record_attempts().await;
    let mut recorded: Vec<serde_json::Value> = served
        .log()
        .await
        .into_iter()
        .filter(|(name, _)| name == "AttemptsRefused")
        .map(|(_, text)| {
            let first = serde_json::Deserializer::from_str(&text).into_iter().next();
            first.unwrap().unwrap()
        })
        .collect();
    recorded.sort_by_key(|event| (event["caller"].to_string(), event["route"].to_string()));
    let summary: Vec<_> = recorded
        .iter()
        .map(|event| {
            (
                event["caller"].as_str().unwrap(),
                event["route"].as_str().unwrap(),
                event["count"].as_u64().unwrap(),
            )
        })
        .collect();
    let name = format!("api_account-{}", account.id);
    let expected = [
        ("127.0.0.0/24", "/oauth2/token", 1),
        ("127.0.0.0/24", "GET /api/config/v1/jump-group", 3),
        (name.as_str(), "GET /api/config/v1/jump-group", 2),
    ];
    assert_eq!(summary, expected);
    served.site.record_attempts().await;
    assert_eq!(served.count("AttemptsRefused").await, 3);
}

#[tokio::test]
async fn attempts_are_written_each_minute_and_at_the_end() {
    let served = Served::start().await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let recording =
        tokio::spawn(std::sync::Arc::clone(&served.site).run_attempt_recording(stopped));
    served.status_with("1.guess").await;
    let mut position = served.site.engine.watch_position();
    let before = *position.borrow();
    // The task may not have looked at the clock yet: leap until it has written.
    while *position.borrow_and_update() == before {
        served.clock.leap(60 * SECOND);
        tokio::select! {
            changed = position.changed() => changed.unwrap(),
            () = tokio::task::yield_now() => {}
        }
    }
    assert_eq!(served.count("AttemptsRefused").await, 1);
    served.status_with("1.guess").await;
    stop.send_replace(true);
    recording.await.unwrap();
    assert_eq!(served.count("AttemptsRefused").await, 2);
}

/// threat M
#[tokio::test]
async fn threat_m_a_user_who_signed_in_has_a_budget_too() {
    let limits = Limits {
        user_per_second: NonZeroU32::MIN,
        user_burst: NonZeroU32::MIN.saturating_add(4),
        ..Limits::default()
    };
    let served = Served::start_with(Differently {
        limits,
        ..Differently::default()
    })
    .await;
    let hasty = served.user("hasty", json!({})).await;
    let calm = served.user("calm", json!({})).await;
    let mut calls: FuturesUnordered<_> = (0..12)
        .map(|_| hasty.send(Method::GET, "items", None))
        .collect();
    let refused = loop {
        let response = calls.next().await.expect("one is refused");
        if response.status() == 429 {
            break header(&response, "retry-after");
        }
        assert_eq!(response.status(), 200);
    };
    drop(calls);
    assert_eq!(refused.as_deref(), Some("1"));
    assert_eq!(calm.get("items").await.0, 200);
}
