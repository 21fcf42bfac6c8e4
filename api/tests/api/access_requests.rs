//! Requests for approved access over HTTP: the console, the published resource, and the approver's page.

use connector::approver_link;
use domain::ids::{AccessRequestId, JumpClientId};
use engine::testing::TestClock;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::reporting::report;
use crate::served::{Served, answer, header};
use crate::visit::{PASSWORD, Visitor, sign_in_by_cookie};

const BOSS: &str = "boss@example.com";
const DEPUTY: &str = "deputy@example.com";

/// A machine under a policy that a user and two addresses approve.
struct Protected<'s> {
    served: &'s Served,
    machine: JumpClientId,
    policy: u64,
    cara: Visitor<'s>,
}

impl<'s> Protected<'s> {
    async fn of(served: &'s Served) -> Self {
        Self::with(served, json!({})).await
    }

    async fn with(served: &'s Served, more: Value) -> Self {
        let cara = served.user("cara", json!({})).await;
        let machine = served.fleet("Web Servers").await.machine(1).await;
        let mut policy = json!({
            "display_name": "Authorization Required",
            "description": "Third parties",
            "schedule_enabled": false,
            "approval_required": true,
            "approval_max_duration": 180,
            "approval_display_name": "Manager",
            "approval_email_addresses": [BOSS, DEPUTY],
            "approval_user_ids": [cara.id.to_string()],
        });
        for (name, value) in more.as_object().unwrap() {
            policy[name] = value.clone();
        }
        let (status, policy) = served.post("jump-policy", policy).await;
        assert_eq!(status, 201, "{policy}");
        let policy = policy["id"].as_u64().unwrap();
        served
            .change_client(machine, json!({"jump_policy_id": policy}))
            .await;
        Self {
            served,
            machine,
            policy,
            cara,
        }
    }

    fn form(&self) -> Value {
        json!({"item": format!("jump_client-{}", self.machine), "reason": "patch", "duration": 7_200})
    }

    async fn asked_by(&self, visitor: &Visitor<'_>) -> u32 {
        let (status, body) = visitor.post("access-requests", self.form()).await;
        assert_eq!(status, 201, "{body}");
        u32::try_from(body["id"].as_u64().unwrap()).unwrap()
    }

    /// The path of an approver's page. The user comes first, then the addresses in their order.
    fn link(&self, request: u32, address: &str) -> String {
        let index = if address == BOSS { 1 } else { 2 };
        let url = approver_link::link(
            &self.served.site.sealer,
            &self.served.url,
            AccessRequestId(request),
            index,
            address,
        );
        url.strip_prefix(&self.served.url).unwrap().to_owned()
    }

    async fn open(&self, link: &str) -> (u16, String) {
        page(self.served.request(Method::GET, link).send().await.unwrap()).await
    }

    /// Sends the form of the page, and follows where it leads.
    async fn say(&self, link: &str, answer: &str, comments: &str) -> (u16, String) {
        let form = [("answer", answer), ("comments", comments)];
        let request = self.served.request(Method::POST, link).form(&form);
        page(request.send().await.unwrap()).await
    }
}

async fn page(response: Response) -> (u16, String) {
    (response.status().as_u16(), response.text().await.unwrap())
}

fn state(body: &Value) -> &str {
    body["state"].as_str().unwrap()
}

async fn state_of(visitor: &Visitor<'_>, request: u32) -> String {
    let (status, body) = visitor.get(&format!("access-requests/{request}")).await;
    assert_eq!(status, 200, "{body}");
    state(&body).to_owned()
}

fn pass(clock: &TestClock, seconds: i64) {
    clock.leap(seconds * domain::time::SECOND);
}

/// APPR-01, APPR-02, APPR-04, APPR-05, APPR-08, POL-35, POL-40
#[tokio::test]
async fn a_request_is_made_with_a_reason_a_start_and_a_duration() {
    let served = Served::start().await;
    let protected = Protected::of(&served).await;
    let anna = served.jumper("anna").await;
    let form = protected.form();
    let with = |name: &str, value: Value| {
        let mut form = form.clone();
        form[name] = value;
        form
    };
    // form, status, field
    for (form, field) in [
        (with("duration", json!(4 * 3_600)), "duration"),
        (with("duration", json!(59)), "duration"),
        (with("duration", json!("2h")), "duration"),
        (with("reason", json!("  ")), "reason"),
        (with("reason", json!("x".repeat(2_049))), "reason"),
        (with("start", json!("2001-01-01T00:00:00Z")), "start"),
        (with("item", json!("teapot-1")), "item"),
        (with("approver", json!("me")), "approver"),
        (json!({}), "item"),
    ] {
        let (status, body) = anna.post("access-requests", form.clone()).await;
        assert_eq!(status, 422, "{form}: {body}");
        assert!(body["errors"][field].is_array(), "{form}: {body}");
    }
    let (status, body) = anna.post("access-requests", form).await;
    assert_eq!(status, 201, "{body}");
    for (name, value) in [
        ("state", json!("pending")),
        ("reason", json!("patch")),
        ("approvers", json!("Manager")),
        ("applies_to", json!("Yourself Only")),
        ("duration", json!(7_200)),
        ("duration_text", json!("2 Hour(s)")),
        ("mine", json!(true)),
        (
            "may",
            json!({"approve": false, "deny": false, "cancel": true}),
        ),
        ("comments", json!(null)),
    ] {
        assert_eq!(body[name], value, "{name}");
    }
    let path = format!("items/jump_client-{}", protected.machine);
    let (_, item) = anna.get(&path).await;
    assert_eq!(item["approval"]["status_text"], "Pending");
    // Where nobody asks for approval there is nothing to ask for; where nothing is, nothing is found.
    served
        .change_client(protected.machine, json!({"jump_policy_id": null}))
        .await;
    let (status, body) = anna.post("access-requests", protected.form()).await;
    assert_eq!(
        (status, &body["code"]),
        (409, &json!("approval_not_needed"))
    );
    let nobody = served.user("nobody", json!({})).await;
    let (status, _) = nobody.post("access-requests", protected.form()).await;
    assert_eq!(status, 403);
}

/// APPR-11, APPR-16: an approver among the users answers on the console, and the requester never learns who it was.
#[tokio::test]
async fn the_requester_never_sees_who_answered() {
    let served = Served::start().await;
    let protected = Protected::of(&served).await;
    let anna = served.jumper("anna").await;
    let bert = served.jumper("bert").await;
    let request = protected.asked_by(&anna).await;
    let one = format!("access-requests/{request}");
    let (_, mine) = anna.get("access-requests").await;
    assert_eq!(mine[0]["id"], request);
    let (_, to_answer) = protected.cara.get("access-requests?view=to_answer").await;
    assert_eq!(to_answer[0]["id"], request);
    assert_eq!(
        to_answer[0]["may"],
        json!({"approve": true, "deny": true, "cancel": false})
    );
    let (_, none) = protected
        .cara
        .get("access-requests?view=to_answer&state=denied")
        .await;
    assert_eq!(none, json!([]));
    // Neither the requester nor anybody else answers.
    let (status, body) = anna.post(&format!("{one}/approve"), json!({})).await;
    assert_eq!((status, &body["code"]), (403, &json!("self_approval")));
    assert!(body["refusal"].is_string(), "the refusal is in the log");
    for visitor in [&bert, &served.administrator().await] {
        let (status, _) = visitor.post(&format!("{one}/deny"), json!({})).await;
        assert_eq!(status, 404);
    }
    let (status, _) = bert.get(&one).await;
    assert_eq!(status, 404, "not Bert's to know");
    let link = protected.link(request, BOSS);
    assert_eq!(protected.say(&link, "approve", "be quick").await.0, 200);
    let (_, seen) = anna.get(&one).await;
    assert_eq!(
        (state(&seen), &seen["comments"]),
        ("approved", &json!("be quick"))
    );
    let (_, item) = anna
        .get(&format!("items/jump_client-{}", protected.machine))
        .await;
    assert_eq!(item["approval"]["status_text"], "Approved");
    let (_, hers) = anna.get("access-requests").await;
    for body in [seen, item, hers] {
        let text = body.to_string();
        assert!(
            ![BOSS, DEPUTY, "cara"].iter().any(|who| text.contains(who)),
            "{text}"
        );
        assert!(!text.contains("answered_by"), "{text}");
    }
    // The other approvers and administrators see it (APPR-15).
    for visitor in [&protected.cara, &served.administrator().await] {
        let (_, body) = visitor.get(&one).await;
        assert_eq!(body["answered_by"], BOSS);
    }
    let (status, all) = served
        .administrator()
        .await
        .get("access-requests?view=all")
        .await;
    assert_eq!((status, &all[0]["id"]), (200, &json!(request)));
    assert_eq!(anna.get("access-requests?view=all").await.0, 403);
    // Bert is told that it is somebody else's (APPR-10).
    let (_, item) = bert
        .get(&format!("items/jump_client-{}", protected.machine))
        .await;
    assert_eq!(
        item["approval"]["status_text"],
        "Approved only for a different user"
    );
}

/// APPR-12, APPR-13, APPR-27, APPR-28, APPR-30, APPR-38
#[tokio::test]
async fn a_request_is_overridden_denied_and_cancelled_over_http() {
    let served = Served::start().await;
    let protected = Protected::of(&served).await;
    let anna = served.jumper("anna").await;
    let first = protected.asked_by(&anna).await;
    let act = |request: u32, word: &str| format!("access-requests/{request}/{word}");
    let cara = &protected.cara;
    let (status, body) = cara
        .post(&act(first, "approve"), json!({"comments": "ok"}))
        .await;
    assert_eq!((status, state(&body)), (200, "approved"));
    let link = protected.link(first, DEPUTY);
    assert_eq!(protected.say(&link, "deny", "not today").await.0, 200);
    assert_eq!(state_of(&anna, first).await, "denied");
    let (status, body) = cara.post(&act(first, "approve"), json!({})).await;
    assert_eq!((status, &body["code"]), (409, &json!("request_denied")));
    assert_eq!(anna.post(&act(first, "cancel"), json!({})).await.0, 409);
    // The same time again, and given up after the approval.
    let second = protected.asked_by(&anna).await;
    assert_eq!(cara.post(&act(second, "cancel"), json!({})).await.0, 403);
    assert_eq!(cara.post(&act(second, "approve"), json!({})).await.0, 200);
    let (status, body) = anna.post(&act(second, "cancel"), json!({})).await;
    assert_eq!((status, state(&body)), (200, "cancelled"));
    for name in ["AccessRequestDenied", "AccessRequestCancelled"] {
        assert_eq!(served.count(name).await, 1, "{name}");
    }
    let (status, body) = cara
        .post(&act(second, "deny"), json!({"comments": 1}))
        .await;
    assert_eq!(
        (status, &body["errors"]["comments"][0].is_string()),
        (422, &true)
    );
}

/// APPR-26, APPR-29
#[tokio::test]
async fn an_approval_for_anyone_is_everybodys_over_http() {
    let served = Served::start().await;
    let protected = Protected::with(&served, json!({"approval_scope": "anyone"})).await;
    let anna = served.jumper("anna").await;
    let bert = served.jumper("bert").await;
    let request = protected.asked_by(&anna).await;
    let (status, body) = bert.post("access-requests", protected.form()).await;
    assert_eq!((status, &body["code"]), (409, &json!("request_overlaps")));
    let cancel = format!("access-requests/{request}/cancel");
    assert_eq!(
        bert.post(&cancel, json!({})).await.0,
        403,
        "pending: the requester's"
    );
    let link = protected.link(request, BOSS);
    protected.say(&link, "approve", "").await;
    let (_, seen) = bert.get(&format!("access-requests/{request}")).await;
    assert_eq!(seen["may"]["cancel"], true);
    assert_eq!(seen["mine"], false);
    assert!(!seen.to_string().contains(BOSS), "{seen}");
    assert_eq!(bert.post(&cancel, json!({})).await.0, 200);
}

/// APPR-07, APPR-12, APPR-13, APPR-15, APPR-37, APPR-35: opening a link shows, and only the form decides.
#[tokio::test]
async fn the_page_behind_a_link_shows_and_its_form_decides() {
    let served = Served::start().await;
    let protected = Protected::of(&served).await;
    let anna = served.jumper("anna").await;
    let request = protected.asked_by(&anna).await;
    let link = protected.link(request, BOSS);
    let response = served.request(Method::GET, &link).send().await.unwrap();
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(header(&response, name).as_deref(), Some(value), "{name}");
    }
    let policy = header(&response, "content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    let (status, html) = page(response).await;
    assert_eq!(status, 200);
    for text in [
        "Access request 1",
        "Pending",
        "anna in public",
        "host-1",
        "Web Servers",
        "Authorization Required",
        "for 2 Hour(s)",
        "patch",
        "value=\"approve\"",
        "value=\"deny\"",
        "prefers-color-scheme:dark",
    ] {
        assert!(html.contains(text), "{text}: {html}");
    }
    assert!(!html.contains("<script"), "{html}");
    // Whatever opens it, any number of times, decides nothing.
    for method in [Method::GET, Method::HEAD] {
        let opened = served.request(method, &link).send().await.unwrap();
        assert_eq!(opened.status(), 200);
    }
    assert_eq!(state_of(&anna, request).await, "pending");
    let (status, html) = protected.say(&link, "maybe", "kept <text>").await;
    assert_eq!(status, 400);
    assert!(html.contains("kept &lt;text&gt;"), "{html}");
    // The first answer; then the other may only deny, and sees by whom it was given.
    let (status, html) = protected.say(&link, "approve", "be\r\nquick").await;
    assert_eq!(status, 200, "{html}");
    assert!(html.contains("be\nquick"), "{html}");
    let other = protected.link(request, DEPUTY);
    let (_, html) = protected.open(&other).await;
    assert!(
        html.contains(BOSS) && html.contains("value=\"deny\""),
        "{html}"
    );
    assert!(!html.contains("value=\"approve\""), "{html}");
    assert_eq!(protected.say(&other, "deny", "not today").await.0, 200);
    let (_, html) = protected.open(&link).await;
    assert!(html.contains("Denied") && html.contains(DEPUTY) && html.contains("not today"));
    assert!(!html.contains("<form"), "{html}");
    let (status, html) = protected.say(&link, "approve", "").await;
    assert_eq!(status, 409);
    assert!(html.contains("This request has been denied."), "{html}");
    let (status, html) = protected.say(&link, "approve", &"x".repeat(2_049)).await;
    assert_eq!(status, 422, "{html}");
}

/// APPR-37, threat T: a link that is altered, for another request, of an approver who was taken off, or old.
#[tokio::test]
async fn threat_o_a_link_that_is_not_good_says_the_same_whatever_is_wrong() {
    let served = Served::start().await;
    let protected = Protected::of(&served).await;
    let anna = served.jumper("anna").await;
    let first = protected.asked_by(&anna).await;
    let second = protected.asked_by(&anna).await;
    let good = protected.link(first, BOSS);
    let token = good.rsplit('/').next().unwrap();
    let forged = format!("/approve/{second}/{token}");
    let altered = format!("{}A", &good[..good.len() - 1]);
    let of_cara = format!(
        "/approve/{first}/{}",
        approver_link::token(&served.site.sealer, AccessRequestId(first), 0, "")
    );
    let (_, said) = protected.open("/approve/99/x").await;
    let refused = async |link: &str| {
        let (status, html) = protected.open(link).await;
        assert_eq!((status, &html), (404, &said), "{link}");
        let (status, html) = protected.say(link, "approve", "").await;
        assert_eq!((status, &html), (404, &said), "{link}");
    };
    for link in [
        forged.as_str(),
        &altered,
        &of_cara,
        "/approve/x/y",
        "/approve/-1/%00",
    ] {
        refused(link).await;
    }
    // Taken off the policy.
    let path = format!("jump-policy/{}", protected.policy);
    let only_deputy = json!({"approval_email_addresses": [DEPUTY]});
    assert_eq!(served.patch(&path, only_deputy).await.0, 200);
    refused(&good).await;
    let deputy = protected.link(first, DEPUTY);
    assert_eq!(protected.open(&deputy).await.0, 200);
    // The window is over.
    pass(&served.clock, 7_200);
    refused(&deputy).await;
    assert_eq!(served.count("AccessRequestApproved").await, 0);
}

/// APPR-32, APPR-37: the link does not work for the requester, who shows their badge with it.
#[tokio::test]
async fn a_link_does_not_work_for_the_requester() {
    let served = Served::start().await;
    let protected = Protected::of(&served).await;
    let anna = served.jumper("anna").await;
    let request = protected.asked_by(&anna).await;
    let link = protected.link(request, BOSS);
    let (cookie, _) = sign_in_by_cookie(&served, "anna", PASSWORD).await;
    for method in [Method::GET, Method::POST] {
        let form = [("answer", "approve")];
        let asked = served.request(method, &link).header("cookie", &cookie);
        let (status, html) = page(asked.form(&form).send().await.unwrap()).await;
        assert_eq!(status, 403, "{html}");
        assert!(
            html.contains("You cannot answer your own request."),
            "{html}"
        );
    }
    assert_eq!(state_of(&anna, request).await, "pending");
    // Somebody else's badge is in nobody's way.
    let (cookie, _) = sign_in_by_cookie(&served, "cara", PASSWORD).await;
    let asked = served.request(Method::GET, &link).header("cookie", &cookie);
    assert_eq!(asked.send().await.unwrap().status(), 200);
}

/// Hostile text in reasons, comments and names does nothing on the page.
#[tokio::test]
async fn hostile_text_is_harmless_on_the_page() {
    const HOSTILE: &str =
        "</textarea><script>alert(1)</script><img src=x onerror=alert(2)>\u{202e}\"'&";
    let served = Served::start().await;
    // A name is one line that reads one way.
    let name = HOSTILE.replace('\u{202e}', "");
    let protected = Protected::with(&served, json!({"display_name": name})).await;
    served
        .change_client(protected.machine, json!({"name": name}))
        .await;
    let anna = served.jumper("anna").await;
    let mut form = protected.form();
    form["reason"] = json!(HOSTILE);
    let (status, body) = anna.post("access-requests", form).await;
    assert_eq!(status, 201, "{body}");
    let link = protected.link(1, BOSS);
    let (_, answered) = protected.say(&link, "approve", HOSTILE).await;
    let (_, refused) = protected.say(&link, "nothing", HOSTILE).await;
    for html in [answered, refused] {
        assert!(html.contains("&lt;script&gt;alert(1)"), "{html}");
        for hostile in ["<script", "<img", "\u{202e}", "</textarea><"] {
            let mut rest = html.clone();
            if hostile == "</textarea><" {
                // The page's own comes before a line break.
                rest = rest.replace("</textarea>\n", "");
            }
            assert!(!rest.contains(hostile), "{hostile}: {html}");
        }
    }
    let other = served.request(Method::POST, &link).body("answer=deny");
    let (status, _) = page(other.send().await.unwrap()).await;
    assert_eq!(status, 400, "no form");
    let long = "x".repeat(40_000);
    assert_eq!(protected.say(&link, "deny", &long).await.0, 413);
}

/// CONF-05, APPR-32, APPR-37: the published resource.
#[tokio::test]
async fn the_published_resource_asks_and_answers_on_behalf_of_users() {
    let served = Served::start().await;
    let protected = Protected::of(&served).await;
    let anna = served.jumper("anna").await;
    let cara = protected.cara.id;
    let form = json!({
        "user_id": anna.id, "jump_item_type": "jump_client", "jump_item_id": protected.machine,
        "duration": 3_600,
    });
    let (status, body) = served.post("jump-approval/request", form.clone()).await;
    assert_eq!(status, 200, "{body}");
    assert!(
        body["message"].as_str().unwrap().contains("1 was created"),
        "{body}"
    );
    let (status, list) = served
        .get(&format!("jump-approval/{cara}?state=pending"))
        .await;
    assert_eq!(status, 200);
    let one = &list[0];
    for (name, value) in [
        ("id", json!(1)),
        ("state", json!("pending")),
        ("jump_policy_id", json!(protected.policy)),
        ("jump_item_type", json!("jump_client")),
        ("jump_item_id", json!(protected.machine)),
        ("created_by_user_id", json!(anna.id)),
        ("duration", json!(3_600)),
        ("request_reason", json!("")),
        ("response_comments", json!("")),
    ] {
        assert_eq!(one[name], value, "{name}");
    }
    assert!(
        one["start_timestamp"].as_str().unwrap().ends_with("+00:00"),
        "{one}"
    );
    assert_eq!(
        served
            .get(&format!("jump-approval/{cara}?state=denied"))
            .await
            .1,
        json!([])
    );
    assert_eq!(
        served.get(&format!("jump-approval/{}", anna.id)).await.1,
        json!([])
    );
    assert_eq!(served.get("jump-approval/99").await.0, 404);
    assert_eq!(
        served
            .get(&format!("jump-approval/{cara}?state=lost"))
            .await
            .0,
        422
    );
    assert_eq!(
        served.get(&format!("jump-approval/{cara}/view/1")).await.1,
        *one
    );
    assert_eq!(
        served
            .get(&format!("jump-approval/{}/view/1", anna.id))
            .await
            .0,
        404
    );
    // What does not succeed is 400 with a message.
    let say = |user: Value, answer: &str| json!({"id": 1, "user_id": user, "answer": answer, "comments": "by script"});
    let failures = [
        (
            "request",
            json!({"user_id": anna.id, "jump_item_type": "jump_client", "jump_item_id": protected.machine, "duration": 11_000}),
        ),
        (
            "request",
            json!({"user_id": 99, "jump_item_type": "jump_client", "jump_item_id": protected.machine}),
        ),
        (
            "request",
            json!({"user_id": anna.id, "jump_item_type": "jump_client", "jump_item_id": 99}),
        ),
        ("approve", say(json!(anna.id), "approved")),
        ("approve", say(json!(99), "approved")),
        (
            "approve",
            json!({"id": 99, "user_id": cara, "answer": "approved"}),
        ),
    ];
    for (path, body) in failures {
        let (status, said) = served
            .post(&format!("jump-approval/{path}"), body.clone())
            .await;
        assert_eq!(status, 400, "{body}: {said}");
        assert!(said["message"].is_string(), "{said}");
    }
    let (status, said) = served
        .post("jump-approval/approve", say(json!(cara), "maybe"))
        .await;
    assert_eq!(status, 422, "{said}");
    let (status, said) = served
        .post("jump-approval/approve", say(json!(cara), "approved"))
        .await;
    assert_eq!(status, 200, "{said}");
    let (_, one) = served.get(&format!("jump-approval/{cara}/view/1")).await;
    assert_eq!(
        (state(&one), &one["response_comments"]),
        ("approved", &json!("by script"))
    );
    let (status, _) = served
        .post("jump-approval/approve", say(json!(cara), "denied"))
        .await;
    assert_eq!(status, 200);
    let (status, said) = served
        .post("jump-approval/approve", say(json!(cara), "approved"))
        .await;
    assert_eq!(
        (status, &said["message"]),
        (400, &json!("This request has been denied."))
    );
    // Only accounts with the Configuration API.
    let account = served
        .account(json!({"name": "reports", "perm_reporting_support": true}))
        .await;
    let token = served.token_of(&account).await;
    let path = format!("jump-approval/{cara}");
    let refused = served.call_with(&token, Method::GET, &path, None).await;
    assert_eq!(answer(refused).await.0, 403);
}

/// APPR-33: when its window is over a request is gone from every list, decided or not.
#[tokio::test]
async fn what_is_over_is_answered_no_more() {
    let served = Served::start().await;
    let protected = Protected::of(&served).await;
    let anna = served.jumper("anna").await;
    let request = protected.asked_by(&anna).await;
    pass(&served.clock, 7_200);
    let approve = format!("access-requests/{request}/approve");
    let (status, body) = protected.cara.post(&approve, json!({})).await;
    assert!(
        matches!(
            (status, body["code"].as_str()),
            (409, Some("request_over")) | (404, _)
        ),
        "{body}"
    );
    assert_eq!(served.count("AccessRequestApproved").await, 0);
}

/// POL-16: whether users may override a schedule is set beside it, and the published schedule does not show it.
#[tokio::test]
async fn an_override_is_set_with_the_schedule() {
    let served = Served::start().await;
    let protected = Protected::of(&served).await;
    let admin = served.administrator().await;
    let path = format!("jump-policies/{}/schedule", protected.policy);
    let schedule = json!({
        "timezone": "UTC", "override_allowed": true,
        "entries": [{"start_day": 3, "start_time": "08:00", "end_day": 3, "end_time": "17:00"}],
    });
    let (status, body) = admin.put(&path, schedule.clone()).await;
    assert_eq!((status, &body), (200, &schedule));
    assert_eq!(admin.get(&path).await.1["override_allowed"], true);
    let (_, published) = served
        .get(&format!("jump-policy/{}/schedule", protected.policy))
        .await;
    assert!(published.get("override_allowed").is_none(), "{published}");
    let mut wrong = schedule;
    wrong["override_allowed"] = json!("yes");
    assert_eq!(admin.put(&path, wrong).await.0, 422);
}

/// REP-84: the report of a session that was approved tells what was approved.
#[tokio::test]
async fn a_report_tells_of_the_request_that_let_the_session_start() {
    let served = Served::start().await;
    let protected = Protected::of(&served).await;
    let anna = served.jumper("anna").await;
    let request = protected.asked_by(&anna).await;
    let approve = format!("access-requests/{request}/approve");
    let approved = protected
        .cara
        .post(&approve, json!({"comments": "go"}))
        .await;
    assert_eq!(approved.0, 200, "{}", approved.1);
    pass(&served.clock, 1);
    let lsid = anna.jump(protected.machine).await;
    let text = report(
        &served,
        &format!("generate_report=AccessSession&lsid={lsid}"),
    )
    .await;
    let (_, rest) = text
        .split_once("event_type=\"Jump Item Authorization Request Utilized\">")
        .expect("the event");
    let (event, _) = rest.split_once("</event>").expect("its end");
    let (_, shown) = anna.get(&format!("access-requests/{request}")).await;
    assert_eq!(shown["start"], "2026-01-05T09:00:00+00:00");
    for (name, value) in [
        ("request_id", request.to_string()),
        ("request_start_time", "1767603600".to_owned()),
        ("request_duration", "7200".to_owned()),
        ("jump_policy_name", "Authorization Required".to_owned()),
        ("jump_item_type", "jump_client".to_owned()),
        ("jump_item_name", "host-1".to_owned()),
        ("comments", "go".to_owned()),
    ] {
        let value = format!("<value name=\"{name}\" value=\"{value}\"/>");
        assert!(event.contains(&value), "{value} in {event}");
    }
}
