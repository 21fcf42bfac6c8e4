//! The console and the reports where several nodes write one log: what was answered on one counts on the other at once.

use reqwest::Method;
use serde_json::json;

use crate::nodes::nodes;
use crate::reporting::{lsids, report};
use crate::served::Served;
use crate::visit::{PASSWORD, Visitor, console};

async fn status(served: &Served, visitor: &Visitor<'_>, path: &str) -> u16 {
    let request = console(served, Method::GET, path).bearer_auth(&visitor.token);
    request.send().await.expect("an answer").status().as_u16()
}

/// threat G REP-24
#[tokio::test]
async fn threat_g_what_one_node_revokes_no_other_allows() {
    let nodes = nodes().await;
    let (one, two) = (&nodes.one, &nodes.two);
    let fleet = one.fleet("Fleet").await;
    let client = fleet.machine(1).await;
    let anna = one.jumper("anna").await;
    let item = format!("items/jump_client-{client}");
    for _ in 0..20 {
        one.permit(anna.id, json!({"unassigned_jump_item_role_id": 2}))
            .await;
        assert_eq!(
            status(two, &anna, &item).await,
            200,
            "a sign-in is good on every node"
        );
        one.permit(anna.id, json!({"unassigned_jump_item_role_id": 1}))
            .await;
        assert_eq!(status(two, &anna, &item).await, 404);
    }
    one.permit(anna.id, json!({"unassigned_jump_item_role_id": 2}))
        .await;
    let lsid = anna.jump(client).await;
    let query = format!("generate_report=AccessSession&lsid={lsid}");
    assert_eq!(lsids(&report(two, &query).await), [lsid]);

    let disable = json!({"enabled": false});
    assert_eq!(
        one.patch(&format!("user/{}", anna.id), disable).await.0,
        200
    );
    assert_eq!(status(two, &anna, "me").await, 401);
    let enable = json!({"enabled": true});
    assert_eq!(two.patch(&format!("user/{}", anna.id), enable).await.0, 200);
    assert_eq!(status(one, &anna, "me").await, 401, "ended for good");
    let anna = one.visitor("anna", PASSWORD).await;

    let there = two.visitor("anna", PASSWORD).await;
    assert_eq!(status(one, &there, "me").await, 200);
    assert_eq!(
        there.send(Method::POST, "sign-out", None).await.status(),
        204
    );
    assert_eq!(status(one, &there, "me").await, 401);
    assert_eq!(status(one, &anna, "me").await, 200);
}
