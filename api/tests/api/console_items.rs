//! The items in sight, and jumping to them.

use std::time::Duration;

use api::Limits;
use domain::ids::JumpClientId;
use domain::session::access_session;
use domain::time::{DAY, SECOND};
use domain::{Command, Event};
use reqwest::Method;
use serde_json::{Value, json};

use crate::served::{Differently, Served, answer, header};
use crate::visit::{Agent, Conduct, Visitor, lsid};

fn item(client: JumpClientId) -> Value {
    json!({"item": format!("jump_client-{client}")})
}

async fn names(visitor: &Visitor<'_>, query: &str) -> Vec<String> {
    let (status, body) = visitor.get(&format!("items?{query}")).await;
    assert_eq!(status, 200, "{query} {body}");
    let items = body["items"].as_array().expect("a list");
    items
        .iter()
        .map(|item| item["name"].as_str().expect("a name").to_owned())
        .collect()
}

/// CLNT-48, SESS-37: the connection type is changed from the Jump interface, of one item and of several; the Configuration API
/// only shows it. CLNT-61: not on a cloud site.
#[tokio::test]
async fn clnt_48_the_connection_type_is_a_property_in_the_jump_interface() {
    let served = Served::start().await;
    let fleet = served.fleet("Web servers").await;
    let (one, two) = (fleet.machine(1).await, fleet.machine(2).await);
    let anna = served.jumper("anna").await;
    served
        .permit(anna.id, json!({"unassigned_jump_item_role_id": 3}))
        .await;
    let path = |client: JumpClientId| format!("items/jump_client-{client}");
    let types = async || {
        let mut types = Vec::new();
        for client in [one, two] {
            let in_console = anna.get(&path(client)).await.1["connection_type"].clone();
            let (_, in_configuration) = served.get(&format!("jump-client/{client}")).await;
            assert_eq!(in_console, in_configuration["connection_type"]);
            types.push(in_console);
        }
        types
    };
    let (status, told) = anna
        .patch(
            &path(one),
            json!({"connection_type": "passive", "tag": "called"}),
        )
        .await;
    assert_eq!(status, 204, "{told}");
    assert_eq!(types().await, ["passive", "active"]);
    let shown = anna.get(&path(one)).await.1;
    assert_eq!(
        (&shown["tag"], &shown["status_text"]),
        (&json!("called"), &json!("Passive"))
    );
    let counts = anna.get("items").await.1["footer"].clone();
    assert_eq!(
        counts,
        "2 Jump Items total. 2 Jump Clients total. 1 online, 0 offline, 1 passive."
    );
    let (status, _) = served
        .patch(
            &format!("jump-client/{two}"),
            json!({"connection_type": "passive"}),
        )
        .await;
    assert_eq!(status, 200);
    assert_eq!(types().await, ["passive", "active"]);
    let both = json!({
        "items": [format!("jump_client-{one}"), format!("jump_client-{two}")],
        "changes": {"connection_type": "active"},
    });
    assert_eq!(anna.patch("items", both).await.0, 200);
    assert_eq!(types().await, ["active", "active"]);
    for wrong in [json!("uninstalled"), json!(7), Value::Null] {
        let (status, told) = anna
            .patch(&path(one), json!({"connection_type": wrong}))
            .await;
        assert_eq!(status, 422, "{told}");
        assert!(told["errors"]["connection_type"].is_array(), "{told}");
    }

    let admin = served.administrator().await;
    let cloud = json!({"appliance_model": "cloud"});
    assert_eq!(admin.patch("site/settings", cloud).await.0, 200);
    let (status, told) = anna
        .patch(&path(one), json!({"connection_type": "passive"}))
        .await;
    assert_eq!(status, 422, "{told}");
    assert_eq!(types().await, ["active", "active"]);
}

/// SESS-01 SESS-03 SESS-04 SESS-06 SESS-07 SESS-08
#[tokio::test]
async fn items_are_searched_filtered_sorted_and_paged() {
    let served = Served::start().await;
    let fleet = served.fleet("Web servers").await;
    let second = served.group("Mail").await;
    let mail = served.installer(json!({"jump_group_id": second})).await;
    let alpha = fleet.machine(1).await;
    let beta = fleet.machine(2).await;
    let gamma = served.machine(mail, 3, crate::visit::facts(3)).await;
    for (client, name, tag) in [
        (alpha, "Alpha", "x"),
        (beta, "beta", ""),
        (gamma, "Gamma", "X"),
    ] {
        served
            .change_client(
                client,
                json!({"name": name, "tag": tag, "comments": format!("about {name}")}),
            )
            .await;
    }
    served.disconnect(beta, 2).await;
    let anna = served.jumper("anna").await;
    let session = anna.jump(gamma).await;

    let cases: [(&str, &[&str]); 22] = [
        ("", &["Alpha", "beta", "Gamma"]),
        ("sort=-name", &["Gamma", "beta", "Alpha"]),
        ("sort=group", &["Gamma", "Alpha", "beta"]),
        ("sort=-last_access_at", &["Gamma", "Alpha", "beta"]),
        ("sort=tag", &["beta", "Alpha", "Gamma"]),
        ("group=shared-2", &["Gamma"]),
        ("group=personal-1", &[]),
        ("tag=x", &["Alpha", "Gamma"]),
        ("tag=", &["beta"]),
        ("status=offline", &["beta"]),
        ("search=ABOUT%20b", &["beta"]),
        ("search=about&search_in=Name,Tag", &[]),
        ("search=host-3&search_in=Hostname/IP", &["Gamma"]),
        ("per_page=2&current_page=2", &["Gamma"]),
        ("filter=Comments:ABOUT&filter=Tag:x", &["Alpha", "Gamma"]),
        (
            "filter=Comments:ABOUT&filter=Tag:x&filter=Group:mai",
            &["Gamma"],
        ),
        ("search=a&filter=Status:offline", &["beta"]),
        ("filter=Tag:", &["Alpha", "beta", "Gamma"]),
        ("filter=Domain:XAMPLE.c&filter=FQDN:host-2.ex", &["beta"]),
        ("filter=Domain:host", &[]),
        ("filter=Workgroup:a", &[]),
        (
            "sort=-comments&filter=Jump%20Method:client",
            &["Gamma", "beta", "Alpha"],
        ),
    ];
    for (query, expected) in cases {
        assert_eq!(names(&anna, query).await, expected, "{query}");
    }
    let mut after = String::new();
    let mut read = Vec::new();
    loop {
        let (_, page) = anna
            .get(&format!("items?sort=-name&per_page=1{after}"))
            .await;
        assert_eq!(page["total"], 3);
        read.push(
            page["items"][0]["name"]
                .as_str()
                .expect("a name")
                .to_owned(),
        );
        match page["next"].as_str() {
            Some(item) => after = format!("&after={item}"),
            None => break,
        }
    }
    assert_eq!(read, ["Gamma", "beta", "Alpha"], "by cursor");
    let (_, beyond) = anna.get("items?current_page=2147483647").await;
    assert_eq!(
        (&beyond["items"], &beyond["total"]),
        (&json!([]), &json!(3))
    );
    assert_eq!(anna.get("items?after=jump_client-99").await.0, 422);
    let (_, body) = anna.get("items?status=offline").await;
    assert_eq!(body["total"], 1);
    assert_eq!(body["by_status"]["active"], 2);
    assert_eq!(
        body["footer"],
        "3 Jump Items total. 3 Jump Clients total. 2 online, 1 offline, 0 passive."
    );
    assert_eq!(body["tags"], json!([]));
    let (_, of_group) = anna.get("items?group=shared-1&per_page=1").await;
    let tags = of_group["tags"].as_array().expect("tags");
    let tags: Vec<_> = tags
        .iter()
        .map(|tag| {
            (
                &tag["tag"],
                &tag["counts"]["items"],
                &tag["counts"]["online"],
            )
        })
        .collect();
    assert_eq!(
        tags,
        [
            (&json!(""), &json!(1), &json!(0)),
            (&json!("x"), &json!(1), &json!(1))
        ]
    );
    assert_eq!(
        anna.get("items?group=personal-1").await.1["tags"],
        json!([])
    );
    let offline = &body["items"][0];
    assert_eq!(offline["status_text"], "Active [Offline]");
    assert_eq!(offline["offline_since"], "2026-01-05T09:00:00+00:00");
    assert_eq!(offline["last_access_at"], Value::Null);

    let (status, details) = anna.get(&format!("items/jump_client-{gamma}")).await;
    assert_eq!(status, 200);
    assert_eq!(details["id"], format!("jump_client-{gamma}"));
    assert_eq!(
        details["group"],
        json!({"type": "shared", "id": 2, "name": "Mail"})
    );
    assert_eq!(details["in_session"], true);
    assert_eq!(details["may"]["start"], true);
    assert_eq!(details["may"]["remove"], false);
    assert_eq!(
        details["role"],
        json!({"id": 2, "name": "Start Sessions Only", "from": "system"})
    );
    assert_eq!(details["fqdn"], "host-3.example.com");
    assert_eq!(details["install_mode"], "service");
    served.clock.leap(15 * DAY);
    let anna = served.visitor("anna", crate::visit::PASSWORD).await;
    assert_eq!(names(&anna, "status=lost").await, ["beta"]);
    let (status, told) = anna.get("items?sort=colour&nonsense=1").await;
    assert_eq!(status, 422);
    assert!(told["errors"]["sort"].is_array() && told["errors"]["nonsense"].is_array());
    assert!(
        served
            .site
            .engine
            .published()
            .world
            .sessions
            .contains(&session)
    );
}

/// SESS-05 ROLE-05 ROLE-15, threat G
#[tokio::test]
async fn threat_g_items_and_sessions_of_others_do_not_exist() {
    let served = Served::start().await;
    let fleet = served.fleet("Secret").await;
    let secret = fleet.machine(1).await;
    let anna = served.jumper("anna").await;
    let own = served
        .installer(json!({"jump_group_id": anna.id, "jump_group_type": "personal"}))
        .await;
    let personal = served.machine(own, 2, crate::visit::facts(2)).await;
    let blind = json!({"perm_access_allowed": "full_support", "perm_jump_client": true});
    let berta = served.user("berta", blind).await;
    let session = anna.jump(secret).await;

    assert_eq!(names(&berta, "").await, Vec::<String>::new());
    let gone = |told: &Value| told["message"] == "The Jump Client does not exist.";
    for client in [secret, personal, JumpClientId(999)] {
        let (status, told) = berta.get(&format!("items/jump_client-{client}")).await;
        assert_eq!(status, 404);
        assert!(gone(&told), "{told}");
        let (status, told) = berta.post("sessions", item(client)).await;
        assert_eq!(status, 404);
        assert!(gone(&told), "{told}");
    }
    for path in ["items/jump_client-x", "items/shell_jump-1", "items/1"] {
        assert_eq!(berta.get(path).await.0, 404, "{path}");
    }
    // Whether or not she may see the item, the session is none of hers.
    for role in [1, 2] {
        served
            .permit(berta.id, json!({"unassigned_jump_item_role_id": role}))
            .await;
        for unknown in [session.to_string(), "0".repeat(32), "nonsense".to_owned()] {
            let (status, told) = berta.get(&format!("sessions/{unknown}")).await;
            assert_eq!((status, &told["code"]), (404, &json!("session_not_active")));
            let (status, told) = berta
                .post(&format!("sessions/{unknown}/end"), json!({}))
                .await;
            assert_eq!((status, &told["code"]), (404, &json!("session_not_active")));
        }
        let (_, sessions) = berta.get("sessions").await;
        assert_eq!(sessions, json!([]));
    }
    assert!(
        served
            .site
            .engine
            .published()
            .world
            .sessions
            .contains(&session)
    );
    let admin = served.administrator().await;
    let (_, sessions) = admin.get("sessions").await;
    assert_eq!(sessions[0]["lsid"], json!(session));
    assert_eq!(sessions[0]["owner"]["name"], "anna in public");
    let (status, _) = admin
        .post(&format!("sessions/{session}/end"), json!({}))
        .await;
    assert_eq!(status, 200);
}

/// SESS-19 SESS-20 SESS-21 SESS-24 CLNT-52 ERR-08
#[tokio::test]
async fn a_user_jumps_and_ends_the_session() {
    let served = Served::start().await;
    let fleet = served.fleet("Fleet").await;
    let client = fleet.machine(1).await;
    let anna = served.jumper("anna").await;
    let agent = Agent::of(&served.site.engine, Conduct::Establish);
    let response = anna
        .request(Method::POST, "sessions")
        .header("user-agent", "Tester/1.0")
        .body(item(client).to_string())
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.status(), 201);
    let location = header(&response, "location").expect("a location");
    let (_, session) = answer(response).await;
    let lsid = lsid(&session);
    assert_eq!(
        location,
        format!("{}/api/console/v1/sessions/{lsid}", served.url)
    );
    assert_eq!(session["state"], "active");
    assert_eq!(
        session["item"],
        json!({"id": format!("jump_client-{client}"), "name": "host-1"})
    );
    assert_eq!(session["owner"]["id"], json!(anna.id));
    assert_eq!(
        anna.get(&format!("sessions/{lsid}")).await,
        (200, session.clone())
    );
    assert_eq!(anna.get("sessions").await.1, json!([session]));
    let log = served.log().await;
    let (_, started) = log
        .iter()
        .find(|(name, _)| name == "AccessSessionStarted")
        .expect("it is in the log");
    assert!(
        started.contains("Tester/1.0") && started.contains("\"127.0.0.1:"),
        "{started}"
    );

    let berta = served.jumper("berta").await;
    let (status, told) = berta.post("sessions", item(client)).await;
    assert_eq!(status, 403);
    assert_eq!(
        told["message"],
        "Permission denied joining existing access session."
    );
    assert!(told["refusal"].is_string(), "{told}");

    let (status, told) = anna.post(&format!("sessions/{lsid}/end"), json!({})).await;
    assert_eq!(
        (status, told),
        (200, json!({"lsid": lsid, "state": "ended"}))
    );
    assert_eq!(anna.get(&format!("sessions/{lsid}")).await.0, 404);
    let (status, _) = anna.post(&format!("sessions/{lsid}/end"), json!({})).await;
    assert_eq!(status, 404);
    drop(agent);
}

/// GPOL-04 GPOL-05 ROLE-20 ERR-10 ERR-18 SESS-17
#[tokio::test]
async fn a_refused_jump_says_why_and_is_in_the_log() {
    let served = Served::start().await;
    let fleet = served.fleet("Fleet").await;
    let client = fleet.machine(1).await;
    let anna = served
        .user("anna", json!({"unassigned_jump_item_role_id": 2}))
        .await;
    let steps = [
        (json!({}), 403, "You are not allowed to access endpoints."),
        (
            json!({"perm_access_allowed": "full_support"}),
            403,
            "You are not allowed to use the Jump method \"Jump Clients\".",
        ),
    ];
    for (permissions, expected, message) in steps {
        served.permit(anna.id, permissions).await;
        let (status, told) = anna.post("sessions", item(client)).await;
        assert_eq!(
            (status, told["message"].as_str()),
            (expected, Some(message))
        );
        assert!(recorded(&served, &told, message).await, "{told}");
    }
    served
        .permit(anna.id, json!({"perm_jump_client": true}))
        .await;
    let agent = Agent::of(&served.site.engine, Conduct::Fail);
    let (status, told) = anna.post("sessions", item(client)).await;
    drop(agent);
    let failed = "An internal error occurred while spawning the access session.";
    assert_eq!((status, told["message"].as_str()), (409, Some(failed)));
    assert!(
        told["refusal"].is_string(),
        "the event of the failure: {told}"
    );

    served.disconnect(client, 1).await;
    let (status, told) = anna.post("sessions", item(client)).await;
    let offline = "The Jump Client is offline.";
    assert_eq!((status, told["message"].as_str()), (409, Some(offline)));
    assert!(recorded(&served, &told, offline).await, "{told}");

    for (body, field) in [
        (json!({}), "item"),
        (json!({"item": 1}), "item"),
        (json!({"item": "1"}), "item"),
        (json!({"item": "jump_client-1", "force": true}), "force"),
    ] {
        let (status, told) = anna.post("sessions", body).await;
        assert_eq!(status, 422, "{told}");
        assert!(told["errors"][field].is_array(), "{told}");
    }
}

/// Whether the event whose id an answer carries says the same words.
async fn recorded(served: &Served, told: &Value, message: &str) -> bool {
    let id = told["refusal"].as_str().expect("an event's id");
    let events = served.site.engine.read_recorded(0, 2_000).await;
    events.expect("the log").iter().any(|recorded| {
        recorded.id.to_string() == id
            && matches!(
                &recorded.event,
                Event::Audit(_, domain::audit::Event::ActionRefused(refused)) if refused.message == message
            )
    })
}

/// ERR-11
#[tokio::test]
async fn a_slow_endpoint_is_answered_as_starting() {
    let limits = Limits {
        start_answered_within: Duration::from_millis(50),
        ..Limits::default()
    };
    let served = Served::start_with(Differently {
        limits,
        ..Differently::default()
    })
    .await;
    let fleet = served.fleet("Fleet").await;
    let client = fleet.machine(1).await;
    let anna = served.jumper("anna").await;
    let (status, session) = anna.post("sessions", item(client)).await;
    assert_eq!((status, session["state"].as_str()), (202, Some("starting")));
    let path = format!("sessions/{}", lsid(&session));
    assert_eq!(anna.get(&path).await, (200, session.clone()));
    let establish = access_session::Command::Establish {
        lsid: lsid(&session),
        client,
    };
    served.run(Command::AccessSession(establish)).await;
    assert_eq!(anna.get(&path).await.1["state"], "active");

    anna.post(&format!("{path}/end"), json!({})).await;
    let (status, session) = anna.post("sessions", item(client)).await;
    assert_eq!(status, 202);
    // Its due date is served as on a node.
    let (_due, lease) = tokio::sync::watch::channel(true);
    served.site.engine.serve_due_dates(lease);
    served.clock.leap(30 * SECOND);
    let path = format!("sessions/{}", lsid(&session));
    let failed = async {
        loop {
            let (status, shown) = anna.get(&path).await;
            assert_eq!(status, 200, "{shown}");
            if shown["state"] != "starting" {
                return shown;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let shown = tokio::time::timeout(Duration::from_secs(20), failed)
        .await
        .expect("the start fails");
    assert_eq!(shown["state"], "failed");
    assert_eq!(
        shown["failure"]["message"],
        "An internal operation was taking too long while trying to spawn a access session."
    );
}

#[tokio::test]
async fn a_repeated_start_is_one_session() {
    let served = Served::start().await;
    let fleet = served.fleet("Fleet").await;
    let client = fleet.machine(1).await;
    let anna = served.jumper("anna").await;
    let agent = Agent::of(&served.site.engine, Conduct::Establish);
    let start = async |key: &'static str| {
        let request = anna
            .request(Method::POST, "sessions")
            .header("idempotency-key", key)
            .body(item(client).to_string());
        answer(request.send().await.expect("an answer")).await
    };
    let (status, first) = start("one").await;
    assert_eq!(status, 201);
    assert_eq!(start("one").await, (201, first.clone()));
    assert_eq!(
        start("two").await.0,
        403,
        "another start is another session"
    );
    let lsid = lsid(&first);
    anna.post(&format!("sessions/{lsid}/end"), json!({})).await;
    let ended = json!({"lsid": lsid, "state": "ended"});
    assert_eq!(start("one").await, (201, ended));
    assert_eq!(served.count("AccessSessionStarted").await, 1);
    drop(agent);
}

/// A permission that was taken away counts for the next call.
///
/// threat G, threat H
#[tokio::test]
async fn threat_g_a_revoked_role_takes_the_items_out_of_sight() {
    let served = Served::start().await;
    let fleet = served.fleet("Fleet").await;
    let client = fleet.machine(1).await;
    let anna = served.jumper("anna").await;
    assert_eq!(names(&anna, "").await.len(), 1);
    served
        .permit(anna.id, json!({"unassigned_jump_item_role_id": 1}))
        .await;
    assert_eq!(names(&anna, "").await.len(), 0);
    assert_eq!(names(&anna, "search=host").await.len(), 0);
    let (_, body) = anna.get("items").await;
    assert_eq!(
        body["counts"]["items"], 0,
        "counts are of what is in sight: {body}"
    );
    assert_eq!(
        anna.get(&format!("items/jump_client-{client}")).await.0,
        404
    );
    assert_eq!(anna.post("sessions", item(client)).await.0, 404);
}

async fn recent(visitor: &Visitor<'_>) -> Vec<Value> {
    let (status, told) = visitor.get("recent-items").await;
    assert_eq!(status, 200, "{told}");
    told["items"].as_array().expect("items").clone()
}

/// GRP-29: "Recently Used" has what the caller accessed last and still sees, as the list shows it.
#[tokio::test]
async fn recently_used_items_are_listed_newest_first() {
    let served = Served::start().await;
    let fleet = served.fleet("Fleet").await;
    let (first, second) = (fleet.machine(1).await, fleet.machine(2).await);
    let anna = served.jumper("anna").await;
    let berta = served.jumper("berta").await;
    for client in [first, second] {
        anna.jump(client).await;
    }
    let hers = recent(&anna).await;
    let names: Vec<&Value> = hers.iter().map(|item| &item["name"]).collect();
    assert_eq!(names, ["host-2", "host-1"]);
    assert_eq!(hers[0]["in_session"], true);
    assert_eq!(hers[0]["group"]["name"], "Fleet");
    assert!(recent(&berta).await.is_empty());
    let nothing = json!({"unassigned_jump_item_role_id": 1});
    served.permit(anna.id, nothing).await;
    assert!(recent(&anna).await.is_empty());
}
