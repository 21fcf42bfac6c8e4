//! The history of access requests: those whose window is over.

use domain::time::{HOUR, MINUTE};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::served::{Served, header};
use crate::visit::Visitor;

/// Asks for an hour from now on.
async fn ask(by: &Visitor<'_>, item: &str) -> u64 {
    let form = json!({"item": item, "reason": "disk full", "duration": 3_600});
    let (status, request) = by.post("access-requests", form).await;
    assert_eq!(status, 201, "{request}");
    request["id"].as_u64().expect("an id")
}

async fn listed(by: &Visitor<'_>, query: &str) -> Vec<Value> {
    let (status, page) = by.get(&format!("access-requests?{query}")).await;
    assert_eq!(status, 200, "{page}");
    page.as_array().expect("a list").clone()
}

/// Waits until the due date has closed the request.
async fn until_over(served: &Served, requests: usize) {
    for _ in 0..400 {
        let names = ["AccessRequestClosed", "AccessRequestExpired"];
        if served.count(names[0]).await + served.count(names[1]).await == requests {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("a request is still open");
}

/// APPR-13, APPR-15, APPR-16, APPR-33: a request stays readable for its requester, who was asked and auditors when its window is
/// over, and for nobody else; its requester does not learn who answered.
#[tokio::test]
async fn requests_stay_readable_when_their_window_is_over() {
    let served = Served::start().await;
    let (_held, lease) = watch::channel(true);
    served.site.engine.serve_due_dates(lease);
    let fleet = served.fleet("Web servers").await;
    let machine = fleet.machine(1).await;
    let boss = served.user("boss", json!({})).await;
    let vera = served.user("vera", json!({})).await;
    let audit = json!({"perm_view_support_reports": "all_sessions"});
    let auditor = served.user("auditor", audit).await;
    let anna = served.jumper("anna").await;
    let admin = served.administrator().await;
    let body = json!({
        "display_name": "Asks", "schedule_enabled": false, "approval_required": true,
        "approval_display_name": "Manager", "approval_user_ids": [boss.id.to_string()],
    });
    let (status, policy) = served.post("jump-policy", body).await;
    assert_eq!(status, 201, "{policy}");
    let members = json!({"jump_policy_id": policy["id"]});
    served.change_client(machine, members).await;
    let item = format!("jump_client-{machine}");
    let answered = ask(&anna, &item).await;
    let silent = ask(&anna, &item).await;
    let comment = json!({"comments": "be quick"});
    let (status, told) = boss
        .post(&format!("access-requests/{answered}/approve"), comment)
        .await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(listed(&anna, "over=true").await, [] as [Value; 0]);
    served.clock.leap(HOUR + MINUTE);
    until_over(&served, 2).await;

    // The newest first; nothing is among those that wait.
    assert_eq!(listed(&anna, "").await, [] as [Value; 0]);
    let mine = listed(&anna, "over=true").await;
    let ids: Vec<&Value> = mine.iter().map(|request| &request["id"]).collect();
    assert_eq!(ids, [&json!(silent), &json!(answered)]);
    let states: Vec<&Value> = mine.iter().map(|request| &request["state"]).collect();
    assert_eq!(states, ["expired", "approved"]);
    assert_eq!(mine[1]["comments"], "be quick");
    assert_eq!(mine[1]["reason"], "disk full");
    assert_eq!(
        (&mine[1]["mine"], &mine[1]["over"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(
        mine[1]["may"],
        json!({"approve": false, "deny": false, "cancel": false})
    );
    assert!(mine[1].get("answered_by").is_none(), "{}", mine[1]);
    assert!(mine[1]["item"]["id"] == json!(item), "{}", mine[1]);

    let path = format!("access-requests/{answered}");
    let one = async |by: &Visitor<'_>| by.get(&path).await;
    let (status, shown) = one(&anna).await;
    assert_eq!((status, shown), (200, mine[1].clone()));
    for who in [&boss, &auditor, &admin] {
        let (status, shown) = one(who).await;
        assert_eq!(status, 200, "{shown}");
        assert_eq!(shown["answered_by"], "boss in public", "{shown}");
    }
    assert_eq!(one(&vera).await.0, 404);
    assert_eq!(vera.get("access-requests/4711").await.0, 404);

    assert_eq!(listed(&boss, "view=to_answer&over=true").await.len(), 2);
    assert_eq!(listed(&boss, "over=true").await, [] as [Value; 0]);
    assert_eq!(
        listed(&vera, "view=to_answer&over=true").await,
        [] as [Value; 0]
    );
    for who in [&auditor, &admin] {
        assert_eq!(listed(who, "view=all&over=true").await.len(), 2);
    }
    for who in [&anna, &boss, &vera] {
        assert_eq!(who.get("access-requests?view=all&over=true").await.0, 403);
    }
}

/// The history comes in pages.
#[tokio::test]
async fn the_history_of_requests_comes_in_pages() {
    let served = Served::start().await;
    let (_held, lease) = watch::channel(true);
    served.site.engine.serve_due_dates(lease);
    let fleet = served.fleet("Web servers").await;
    let machine = fleet.machine(1).await;
    let anna = served.jumper("anna").await;
    let body = json!({
        "display_name": "Asks", "schedule_enabled": false, "approval_required": true,
        "approval_display_name": "Manager", "approval_email_addresses": ["boss@example.com"],
    });
    let (_, policy) = served.post("jump-policy", body).await;
    let members = json!({"jump_policy_id": policy["id"]});
    served.change_client(machine, members).await;
    for _ in 0..7 {
        ask(&anna, &format!("jump_client-{machine}")).await;
    }
    served.clock.leap(HOUR + MINUTE);
    until_over(&served, 7).await;
    let path = "access-requests?over=true&per_page=5&current_page=2";
    let response = anna.send(reqwest::Method::GET, path, None).await;
    assert_eq!(
        header(&response, "x-bt-pagination-total").as_deref(),
        Some("7")
    );
    let (_, page) = crate::served::answer(response).await;
    let ids: Vec<&Value> = page
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| &row["id"])
        .collect();
    assert_eq!(ids, [2, 1]);
}
