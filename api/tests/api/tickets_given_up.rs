//! Starts that nobody waits for any more: given up, or their user has left (TICK-48).

use api::console::badge::BADGES_MAX;
use domain::Command;
use domain::record;
use domain::site::user;
use domain::time::{HOUR, SECOND};
use serde_json::json;

use crate::tickets::{Desk, pair, settled};
use crate::visit::{Agent, Conduct, PASSWORD, Visitor, object};

/// TICK-44 TICK-48, threat G
#[tokio::test]
async fn who_waits_may_give_up_and_nobody_else_knows_of_it() {
    let (desk, mut system) = Desk::with("silent").await;
    let (anna, bert) = (
        desk.served.jumper("anna").await,
        desk.served.jumper("bert").await,
    );
    for empty in ["", "  "] {
        let (status, body) = anna.post("sessions", desk.wish(empty)).await;
        assert_eq!(status, 422, "{body}");
    }
    let request = desk.ask(&anna, "T1").await;
    let id = pair(&system.next_with("pairs").await, "request_id");
    let path = format!("ticket-requests/{request}");
    assert_eq!(bert.get(&path).await.0, 404);
    assert_eq!(bert.delete(&path).await.0, 404);
    assert_eq!(anna.get("ticket-requests/4711").await.0, 404);
    assert_eq!(anna.delete(&path).await.0, 204);
    assert_eq!(anna.delete(&path).await.0, 204);
    assert_eq!(settled(&anna, request).await["state"], "void");
    let (status, _) = desk
        .answer(&[("response_id", &id), ("response", "allow")])
        .await;
    assert_eq!(status, 403);
    assert_eq!(desk.served.count("AccessSessionStarted").await, 0);
}

/// How a user leaves while the ticket system is asked.
async fn leave(how: &str, desk: &Desk, anna: &Visitor<'_>) {
    match how {
        "signs out" => {
            let (status, body) = anna.post("sign-out", json!({})).await;
            assert_eq!(status, 204, "{body}");
            // In the same decision, not only when an answer comes.
            assert_eq!(desk.served.count("TicketRequestVoided").await, 1);
        }
        "is signed out by one sign-in too many" => {
            for _ in 0..BADGES_MAX {
                desk.served.clock.leap(SECOND / 10);
                desk.served.visitor("anna", PASSWORD).await;
            }
        }
        "has an expired sign-in" => desk.served.clock.leap(31 * SECOND),
        "is disabled" => {
            let off = record::Command::Change(anna.id, object(json!({"enabled": false})));
            let command = Command::User(user::Command::Record(off));
            desk.served.run(command).await;
        }
        other => panic!("{other}"),
    }
    assert_eq!(anna.get("me").await.0, 401, "{how}");
}

/// TICK-48: whatever ends the sign-in under which a user waits, a later answer is for nobody: 403, and no session.
#[tokio::test]
async fn an_answer_for_a_user_who_has_left_starts_nothing() {
    for how in [
        "signs out",
        "is signed out by one sign-in too many",
        "has an expired sign-in",
        "is disabled",
    ] {
        let (desk, mut system) = Desk::with("silent").await;
        let anna = desk.served.jumper("anna").await;
        let _agent = Agent::of(&desk.served.site.engine, Conduct::Establish);
        desk.served.clock.leap(12 * HOUR - 30 * SECOND);
        desk.ask(&anna, "T1").await;
        let id = pair(&system.next_with("pairs").await, "request_id");
        leave(how, &desk, &anna).await;
        let (status, body) = desk
            .answer(&[("response_id", &id), ("response", "allow")])
            .await;
        assert_eq!(status, 403, "{how}: {body}");
        assert_eq!(desk.served.count("AccessSessionStarted").await, 0, "{how}");
    }
}

/// TICK-48: what waits under one sign-in has nothing to do with another of the same user.
#[tokio::test]
async fn signing_out_elsewhere_leaves_a_waiting_start_alone() {
    let (desk, mut system) = Desk::with("silent").await;
    let anna = desk.served.jumper("anna").await;
    let elsewhere = desk.served.visitor("anna", PASSWORD).await;
    let _agent = Agent::of(&desk.served.site.engine, Conduct::Establish);
    let request = desk.ask(&anna, "T1").await;
    let id = pair(&system.next_with("pairs").await, "request_id");
    assert_eq!(elsewhere.post("sign-out", json!({})).await.0, 204);
    let (status, body) = desk
        .answer(&[("response_id", &id), ("response", "allow")])
        .await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(settled(&anna, request).await["state"], "allowed");
}
