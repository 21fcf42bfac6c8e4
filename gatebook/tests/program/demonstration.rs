//! `gatebook demo`: a site with a past that real commands made.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use chrono::{DateTime, Duration};
use link_protocol::KeyInfo;
use serde_json::Value;
use tempfile::tempdir;

use crate::running::{Server, done, run, text, until};

#[tokio::test]
async fn the_demonstration_has_a_past_that_ends_before_now_and_its_first_jump_is_one_call() {
    let folder = tempdir().unwrap();
    let data = folder.path().join("demo");
    done(&[
        "demo",
        "--data",
        text(&data),
        "--url",
        "https://127.0.0.1:9443",
    ])
    .await;
    let events = done(&["log", "read", "--data", text(&data)]).await.lines();
    let count = |name: &str| events.iter().filter(|event| event["type"] == name).count();
    assert_eq!(count("UserCreated"), 13);
    assert_eq!(count("JumpGroupCreated"), 3);
    assert_eq!(count("JumpClientRegistered"), 26);
    assert!(count("AccessSessionEstablished") > 100);
    assert_eq!(
        count("AccessSessionEnded"),
        count("AccessSessionEstablished")
    );
    assert!(count("ActionRefused") > 0, "somebody came on the wrong day");
    let at = |event: &Value| {
        DateTime::parse_from_rfc3339(event["recorded_at"].as_str().unwrap()).unwrap()
    };
    assert!(events.is_sorted_by_key(at));
    let (first, last) = (at(&events[0]), at(&events[events.len() - 1]));
    assert!(last - first > Duration::days(20), "{first} to {last}");
    let now = domain::Timestamp::to_utc(engine::Clock::now(&gatebook::clock::SystemClock));
    assert!(now - last.to_utc() > Duration::minutes(9));
    assert_eq!(
        done(&["log", "verify", "--data", text(&data)]).await.json()["whole"],
        true
    );

    let again = run(&["demo", "--data", text(&data)]).await;
    assert!(
        again.code == 1 && again.stderr.contains("holds a site already"),
        "{}",
        again.stderr
    );

    // The contract with `cargo xtask run`.
    let plan: Value =
        serde_json::from_slice(&fs::read(data.join("demo-agents.json")).unwrap()).unwrap();
    for agent in plan["agents"].as_array().unwrap() {
        let key = KeyInfo::decode(agent["key"].as_str().unwrap()).unwrap();
        assert_eq!(key.urls, ["https://127.0.0.1:9443"]);
        assert!(agent["name"].is_string() && agent["state"].is_string());
    }
    assert_eq!(plan["agents"].as_array().unwrap().len(), 2);
    let first_jump = fs::read_to_string(data.join("first-jump.txt")).unwrap();
    assert_eq!(first_jump.trim(), plan["first_jump"].as_str().unwrap());

    let server = Server::start(&data, &[]).await;
    let credentials: Value =
        serde_json::from_slice(&fs::read(data.join("first-run.json")).unwrap()).unwrap();
    server
        .token(&credentials)
        .await
        .expect("the API account of first-run.json is good");
    // No agent runs here: the call is good as far as the machine that is not there yet.
    let badge = first_jump
        .split("Bearer ")
        .nth(1)
        .and_then(|rest| rest.split('\'').next())
        .unwrap();
    let items = server
        .client()
        .get(server.url("/api/console/v1/items"))
        .bearer_auth(badge)
        .send()
        .await
        .unwrap();
    assert_eq!(items.status(), 200);
    let items: Value = items.json().await.unwrap();
    assert_eq!(
        items["items"].as_array().unwrap().len(),
        26,
        "Anna is one of the administrators of all three groups"
    );
    server.stop().await;
}

/// The file with an approver's link and the jump that an approval opens.
struct ApproveFirst {
    link: String,
    jump: String,
}

impl ApproveFirst {
    fn read(data: &Path) -> Self {
        let file = fs::read_to_string(data.join("approve-first.txt")).unwrap();
        let mut lines = file.lines().filter(|line| !line.starts_with('#'));
        let mut line = || lines.next().unwrap().to_owned();
        let (link, jump) = (line(), line());
        Self { link, jump }
    }

    fn badge(&self) -> &str {
        let rest = self.jump.split("Bearer ").nth(1).unwrap();
        rest.split('\'').next().unwrap()
    }

    fn item(&self) -> &str {
        self.jump.split('"').nth(3).unwrap()
    }
}

fn of_type<'e>(events: &'e [Value], name: &str) -> Vec<&'e Value> {
    let is_wanted = |event: &&Value| event["type"] == name;
    events.iter().filter(is_wanted).collect()
}

/// The ids of the users whose names end like this.
fn users(events: &[Value], ending: &str) -> BTreeSet<u64> {
    let created = of_type(events, "UserCreated").into_iter();
    created
        .filter(|event| {
            let name = event["data"]["public_display_name"].as_str();
            name.is_some_and(|name| name.ends_with(ending))
        })
        .map(|event| {
            let stream = event["stream"].as_str().unwrap();
            stream.strip_prefix("user-").unwrap().parse().unwrap()
        })
        .collect()
}

/// APPR-01, APPR-13, APPR-14, APPR-33, APPR-34, APPR-38, POL-23, POL-25: the advanced use case, in the log of the past.
fn holds_the_advanced_use_case(events: &[Value]) {
    let count = |name: &str| of_type(events, name).len();
    let submitted = count("AccessRequestSubmitted");
    // One waits for an answer, and one was never answered.
    let (approved, denied) = (count("AccessRequestApproved"), count("AccessRequestDenied"));
    assert!(approved > denied && denied == 1, "{approved}, {denied}");
    assert_eq!(approved + denied + 2, submitted);
    assert_eq!(count("AccessRequestExpired"), 1);
    assert_eq!(count("AccessRequestCancelled"), 1);
    assert_eq!(count("AccessRequestClosed"), approved + denied);
    let used = count("AccessRequestUsed");
    assert_eq!(
        used,
        approved - 1,
        "all that were approved but the cancelled"
    );
    let ways: BTreeSet<bool> = of_type(events, "AccessRequestApproved")
        .iter()
        .map(|event| event["meta"]["surface"] == "approver_page")
        .collect();
    assert_eq!(ways.len(), 2, "approvers answer by link and on the console");

    let contractors = users(events, "(Northgate Web)");
    assert_eq!(contractors.len(), 2);
    let local = &users(events, "Novak") | &users(events, "Moreau");
    let (mut under_approval, mut told) = (0, 0);
    for started in of_type(events, "AccessSessionStarted") {
        let data = &started["data"];
        let user = data["representative"]["user_id"].as_u64().unwrap();
        assert_eq!(
            data["access_request_id"].is_u64(),
            contractors.contains(&user),
            "contractors jump under an approval and nobody else: {data}"
        );
        under_approval += usize::from(contractors.contains(&user));
        let is_notified = local.contains(&user) && data["group_name"] != "User Systems";
        assert_eq!(
            data["notifications"]["at_start"] == true,
            is_notified,
            "{data}"
        );
        told += usize::from(is_notified);
    }
    assert_eq!(under_approval, used);
    assert!(told > 10, "{told}");
    // What a start still needs is an answer and no event, so only the wrong day is in the log.
    for refused in of_type(events, "ActionRefused") {
        assert_eq!(refused["data"]["code"], "outside_schedule");
        let user = refused["meta"]["actor"]["user"].as_u64();
        assert!(user.is_some_and(|user| local.contains(&user)), "{refused}");
    }

    // Nobody jumps by a membership of their own.
    assert_eq!(count("GroupPolicyCreated"), 4);
    assert_eq!(count("JumpGroupMemberAdded"), 0);
    assert_eq!(count("MailQueued"), 0, "no mail of the past is waiting");
}

/// APPR-12, APPR-15, APPR-37
#[tokio::test]
async fn the_past_has_every_turn_of_a_request_and_the_last_one_waits_for_its_approver() {
    let folder = tempdir().unwrap();
    let data = folder.path().join("demo");
    let url = "https://localhost:9443";
    let made = ["demo", "--data", text(&data), "--url", url, "--seed", "3"];
    done(&made).await;
    let events = done(&["log", "read", "--data", text(&data)]).await.lines();
    holds_the_advanced_use_case(&events);

    let first = ApproveFirst::read(&data);
    let plan: Value =
        serde_json::from_slice(&fs::read(data.join("demo-agents.json")).unwrap()).unwrap();
    let told = plan["approve_first"].as_str().unwrap();
    assert!(told.contains(&first.link) && told.contains(&first.jump));
    // The agent comes with the registration that is in the log, so the item that was asked for is its own.
    let agent = &plan["agents"][0];
    let state = data.join(agent["state"].as_str().unwrap());
    let identity: Value =
        serde_json::from_slice(&fs::read(state.join("identity.json")).unwrap()).unwrap();
    let key = KeyInfo::decode(agent["key"].as_str().unwrap()).unwrap();
    assert_eq!(identity["attempt"]["installer_id"], *key.installer_id);
    assert_eq!(identity["urls"], serde_json::json!([url]));

    let server = Server::start(&data, &[]).await;
    let link = server.url(first.link.strip_prefix(url).unwrap());
    let client = server.client();
    let page = async || {
        let page = client.get(&link).send().await.unwrap();
        assert_eq!(page.status(), 200);
        page.text().await.unwrap()
    };
    // Looking decides nothing.
    for _ in 0..2 {
        let shown = page().await;
        assert!(
            shown.contains("Pending") && shown.contains("Hugo Martin"),
            "{shown}"
        );
        assert!(shown.contains("web-07"), "{shown}");
    }
    let requests = async || {
        let url = server.url("/api/console/v1/access-requests");
        let answer = client.get(url).bearer_auth(first.badge()).send().await;
        let requests: Vec<Value> = answer.unwrap().json().await.unwrap();
        requests
    };
    let waiting = requests().await;
    assert_eq!(waiting.len(), 1, "the others are over: {waiting:?}");
    assert_eq!(waiting[0]["state"], "pending");
    assert_eq!(waiting[0]["item"]["id"], first.item());
    let form = [("answer", "approve"), ("comments", "Go ahead.")];
    client.post(&link).form(&form).send().await.unwrap();
    assert!(page().await.contains("Approved"));
    let approved = requests().await;
    assert_eq!(approved[0]["state"], "approved");
    assert_eq!(approved[0]["comments"], "Go ahead.");

    only_new_mails_wait(&server, &data).await;
    server.stop().await;
}

/// What the past would have mailed stays unsent; what was asked at its end is told, and waits for a mail server.
async fn only_new_mails_wait(server: &Server, data: &Path) {
    let credentials: Value =
        serde_json::from_slice(&fs::read(data.join("first-run.json")).unwrap()).unwrap();
    let administrator = &credentials["administrator"];
    let sign_in = serde_json::json!({
        "bearer": true, "username": administrator["username"], "password": administrator["password"],
    });
    let client = server.client();
    let answer = client
        .post(server.url("/api/console/v1/sign-in"))
        .json(&sign_in);
    let answer: Value = answer.send().await.unwrap().json().await.unwrap();
    let badge = answer["token"].as_str().unwrap();
    let mails = until("the mails of the request", async || {
        let url = server.url("/api/console/v1/mail-deliveries?state=parked");
        let answer = client.get(url).bearer_auth(badge).send().await.unwrap();
        let mails: Vec<Value> = answer.json().await.unwrap();
        // To the manager and the deputy that access is asked for, to the contractor that it was approved.
        (mails.len() >= 3).then_some(mails)
    })
    .await;
    assert_eq!(mails.len(), 3, "{mails:?}");
    for mail in &mails {
        assert_eq!(mail["reason"], "No mail server is configured.");
    }
}
