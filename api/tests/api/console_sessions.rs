//! Sessions over the console API: what a start needs, several at once, who is in one, what is in it, and what starts by itself.

use domain::Command;
use domain::access::jump_group::{self, Membership};
use domain::ids::{JumpClientId, JumpGroupId, JumpPolicyId, Lsid};
use domain::policy::jump_policy;
use domain::record;
use domain::site::settings::SETTINGS;
use reqwest::Method;
use serde_json::{Value, json};

use crate::reporting::{all, report, schema};
use crate::served::{Served, header};
use crate::visit::{Agent, Conduct, Visitor, lsid, object};

pub(crate) fn item(client: JumpClientId) -> String {
    format!("jump_client-{client}")
}

pub(crate) async fn settings(served: &Served, members: Value) {
    served
        .run(Command::SiteSettings(record::Command::Change(
            SETTINGS,
            object(members),
        )))
        .await;
}

/// A Jump Policy for `visitor` in the fleet's group.
pub(crate) async fn under_a_policy(served: &Served, visitor: &Visitor<'_>, mut members: Value) {
    members["display_name"] = json!("Watched");
    members["schedule_enabled"] = json!(false);
    let create = record::Command::Create(object(members));
    served
        .run(Command::JumpPolicy(jump_policy::Command::Record(create)))
        .await;
    let membership = Membership {
        jump_item_role_id: Some(domain::access::role::START_SESSIONS_ONLY),
        jump_policy_id: Some(JumpPolicyId(1)),
    };
    let member = jump_group::Command::AddMember(JumpGroupId(1), visitor.id, membership);
    served.run(Command::JumpGroup(member)).await;
}

pub(crate) fn members(session: &Value) -> Vec<(u64, bool, bool)> {
    let members = session["members"].as_array().expect("members");
    members
        .iter()
        .map(|member| {
            (
                member["id"].as_u64().expect("an id"),
                member["owner"].as_bool().expect("a flag"),
                member["invited"].as_bool().expect("a flag"),
            )
        })
        .collect()
}

/// SESS-17: 409 with all that is still needed, each named and explained; asking beforehand tells the same.
#[tokio::test]
async fn a_start_says_in_one_answer_what_it_needs() {
    let served = Served::start().await;
    let fleet = served.fleet("Fleet").await;
    let client = fleet.machine(1).await;
    let anna = served.jumper("anna").await;
    let rules = json!({
        "session_start_notification": true,
        "notification_email_addresses": ["boss@example.com"],
        "notification_display_name": "The boss",
        "approval_required": true,
        "approval_display_name": "Managers",
        "approval_email_addresses": ["boss@example.com"],
    });
    under_a_policy(&served, &anna, rules).await;
    let (status, told) = anna.post("sessions", json!({"item": item(client)})).await;
    assert_eq!((status, told["code"].as_str()), (409, Some("start_needs")));
    let needs = told["needs"].clone();
    assert_eq!(needs[0]["need"], "approval");
    assert_eq!(needs[0]["approvers"], "Managers");
    assert_eq!(needs[1]["need"], "notification_consent");
    assert_eq!(needs[1]["display_name"], "The boss");
    assert!(
        !told.to_string().contains("boss@example.com"),
        "nobody's address is told: {told}"
    );
    let (status, asked) = anna.get(&format!("items/{}/start", item(client))).await;
    assert_eq!(status, 200, "{asked}");
    assert_eq!(asked["needs"], needs);
    assert_eq!(asked["joins"], false);

    let (_, told) = anna
        .post(
            "sessions",
            json!({"item": item(client), "notification_consent": true}),
        )
        .await;
    assert_eq!(told["needs"].as_array().map(Vec::len), Some(1), "{told}");
    let change =
        record::Command::Change(JumpPolicyId(1), object(json!({"approval_required": false})));
    served
        .run(Command::JumpPolicy(jump_policy::Command::Record(change)))
        .await;
    let agent = Agent::of(&served.site.engine, Conduct::Establish);
    let (status, session) = anna
        .post(
            "sessions",
            json!({"item": item(client), "notification_consent": true}),
        )
        .await;
    drop(agent);
    assert_eq!((status, session["state"].as_str()), (201, Some("active")));
    // Whom nothing lets in is told that, and not what would be needed.
    let berta = served.user("berta", json!({})).await;
    let (status, _) = berta.get(&format!("items/{}/start", item(client))).await;
    assert_eq!(status, 403);
}

/// SESS-12, SESS-13, SESS-16: up to ten at once, each with an answer of its own; eleven are refused as a whole.
#[tokio::test]
async fn several_items_start_at_once_each_by_itself() {
    let served = Served::start().await;
    let fleet = served.fleet("Fleet").await;
    let mut clients = Vec::new();
    for number in 1..=10 {
        clients.push(fleet.machine(number).await);
    }
    let anna = served.jumper("anna").await;
    served.disconnect(clients[4], 5).await;
    let agent = Agent::of(&served.site.engine, Conduct::Establish);
    let names: Vec<String> = clients.iter().map(|client| item(*client)).collect();
    let ask = || {
        anna.request(Method::POST, "sessions")
            .header("idempotency-key", "ten")
            .body(json!({"items": names}).to_string())
    };
    let (status, told) = crate::served::answer(ask().send().await.expect("an answer")).await;
    assert_eq!(status, 200, "{told}");
    let results = told["results"].as_array().expect("results");
    assert_eq!(results.len(), 10);
    for (number, result) in results.iter().enumerate() {
        assert_eq!(result["item"], json!(names[number]));
        if number == 4 {
            assert_eq!(result["status"], 409);
            assert_eq!(result["error"]["message"], "The Jump Client is offline.");
        } else {
            assert_eq!(result["status"], 201, "{result}");
            assert_eq!(result["session"]["state"], "active");
        }
    }
    assert_eq!(served.count("AccessSessionStarted").await, 9);
    // The same request again starts nothing anew.
    let (status, again) = crate::served::answer(ask().send().await.expect("an answer")).await;
    assert_eq!((status, &again["results"][0]["status"]), (200, &json!(201)));
    assert_eq!(served.count("AccessSessionStarted").await, 9);

    let eleven: Vec<String> = (1..=11).map(|id| format!("jump_client-{id}")).collect();
    for body in [json!({"items": eleven}), json!({"items": []})] {
        let (status, told) = anna.post("sessions", body).await;
        assert_eq!(status, 422);
        assert_eq!(
            told["errors"]["items"][0],
            "One to ten Jump Items may be started at once."
        );
    }
    // A group of ten is started as a whole, one of eleven is not.
    let group = json!({"group": {"type": "shared", "id": 1}});
    let (status, told) = anna.post("sessions", group.clone()).await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(told["results"].as_array().map(Vec::len), Some(10));
    fleet.machine(11).await;
    assert_eq!(anna.post("sessions", group).await.0, 422);
    let hidden = json!({"group": {"type": "shared", "id": 99}});
    assert_eq!(anna.post("sessions", hidden).await.0, 404);
    let both = json!({"item": names[0], "items": names});
    assert_eq!(anna.post("sessions", both).await.0, 422);
    drop(agent);
}

/// CLNT-52, CLNT-53, SESS-21, SESS-22: a second user comes in by a Jump where the site lets them; owners go, sessions stay.
#[tokio::test]
async fn a_second_user_joins_and_takes_over() {
    let served = Served::start().await;
    let fleet = served.fleet("Fleet").await;
    let client = fleet.machine(1).await;
    let anna = served.jumper("anna").await;
    let berta = served.jumper("berta").await;
    let session = anna.jump(client).await;
    let path = format!("sessions/{session}");
    let (status, told) = berta.post("sessions", json!({"item": item(client)})).await;
    assert_eq!(status, 403);
    assert_eq!(
        told["message"],
        "Permission denied joining existing access session."
    );
    assert_eq!(
        berta.post(&format!("{path}/join"), json!({})).await.0,
        403,
        "the id alone opens nothing"
    );
    settings(&served, json!({"simultaneous_jumps": "join"})).await;
    let (_, asked) = berta.get(&format!("items/{}/start", item(client))).await;
    assert_eq!(asked["joins"], true);
    let (status, joined) = berta.post("sessions", json!({"item": item(client)})).await;
    assert_eq!(status, 201, "{joined}");
    assert_eq!(lsid(&joined), session);
    let (a, b) = (u64::from(anna.id.0), u64::from(berta.id.0));
    assert_eq!(members(&joined), [(a, true, false), (b, false, false)]);
    let (status, again) = berta.post(&format!("{path}/join"), json!({})).await;
    assert_eq!((status, members(&again).len()), (200, 2));
    assert_eq!(
        berta.get("sessions").await.1.as_array().map(Vec::len),
        Some(1)
    );

    // Only the owner hands the session on and ends it.
    let to = |id: u64| json!({"user_id": id});
    assert_eq!(berta.post(&format!("{path}/owner"), to(b)).await.0, 403);
    let (status, told) = anna.post(&format!("{path}/owner"), to(b)).await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(members(&told), [(a, false, false), (b, true, false)]);
    // A member is told who may; the words are SESS-21's.
    let (status, told) = anna.post(&format!("{path}/end"), json!({})).await;
    assert_eq!(
        (status, told["message"].as_str()),
        (
            403,
            Some("Only the owner of the access session may do this.")
        )
    );
    assert_eq!(
        anna.post(&format!("{path}/activity"), json!({})).await.0,
        204
    );
    assert_eq!(berta.post(&format!("{path}/leave"), json!({})).await.0, 204);
    let (_, told) = anna.get(&path).await;
    assert_eq!(members(&told), [(a, true, false)]);
    assert_eq!(berta.get(&path).await.0, 404);
    assert_eq!(anna.post(&format!("{path}/leave"), json!({})).await.0, 204);
    assert_eq!(anna.get(&path).await.0, 404);
    assert_eq!(served.count("AccessSessionEnded").await, 1);
}

/// SESS-34: by the owner's invitation, and by nothing else, one comes in who could not jump there.
#[tokio::test]
async fn an_invitation_lets_in_who_could_not_jump() {
    let served = Served::start().await;
    let fleet = served.fleet("Fleet").await;
    let client = fleet.machine(1).await;
    let anna = served.jumper("anna").await;
    let guest = served
        .user(
            "guest",
            json!({"perm_access_allowed": "full_support", "perm_jump_client": true}),
        )
        .await;
    let no_clients = served
        .user("no-clients", json!({"perm_access_allowed": "full_support"}))
        .await;
    let stranger = served
        .user("stranger", json!({"perm_access_allowed": "full_support"}))
        .await;
    let session = anna.jump(client).await;
    let path = format!("sessions/{session}");
    assert_eq!(
        guest.post(&format!("{path}/accept"), json!({})).await.0,
        404
    );
    assert_eq!(guest.get(&path).await.0, 404);
    let invite = json!({"user_id": guest.id});
    let (status, told) = anna
        .post(&format!("{path}/invitations"), invite.clone())
        .await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(told["invitations"][0]["name"], "guest in public");
    // The invited sees who invites to what, and no more.
    let (status, seen) = guest.get(&path).await;
    assert_eq!((status, &seen["invited"]), (200, &json!(true)));
    assert!(seen.get("members").is_none() && seen.get("attributes").is_none());
    assert_eq!(stranger.get(&path).await.0, 404);
    let withdrawn = format!("{path}/invitations/{}", guest.id);
    assert_eq!(stranger.delete(&withdrawn).await.0, 404);
    assert_eq!(anna.delete(&withdrawn).await.0, 204);
    assert_eq!(
        guest.post(&format!("{path}/accept"), json!({})).await.0,
        404
    );
    anna.post(&format!("{path}/invitations"), invite).await;
    let (status, joined) = guest.post(&format!("{path}/accept"), json!({})).await;
    assert_eq!(status, 200, "{joined}");
    let ids = (u64::from(anna.id.0), u64::from(guest.id.0));
    assert_eq!(
        members(&joined),
        [(ids.0, true, false), (ids.1, false, true)]
    );
    // A guest ends nothing, and owns nothing without the role; whoever may not use the method is no guest.
    let (status, told) = guest.post(&format!("{path}/end"), json!({})).await;
    assert_eq!(
        (status, told["message"].as_str()),
        (
            403,
            Some("Only the owner of the access session may do this.")
        )
    );
    let (status, told) = anna
        .post(&format!("{path}/owner"), json!({"user_id": guest.id}))
        .await;
    assert_eq!(
        (status, told["code"].as_str()),
        (403, Some("may_not_own")),
        "{told}"
    );
    let (status, told) = anna
        .post(
            &format!("{path}/invitations"),
            json!({"user_id": no_clients.id}),
        )
        .await;
    assert_eq!(
        (status, told["message"].as_str()),
        (
            403,
            Some("You are not allowed to use the Jump method \"Jump Clients\".")
        )
    );
    for body in [
        json!({}),
        json!({"user_id": "x"}),
        json!({"user_id": 1, "x": 1}),
    ] {
        let (status, _) = anna.post(&format!("{path}/invitations"), body).await;
        assert_eq!(status, 422);
    }
    let nobody = json!({"user_id": 4_000});
    let (status, _) = anna.post(&format!("{path}/invitations"), nobody).await;
    assert_eq!(status, 404);
}

/// SESS-36, LIM-11, REP-32, REP-37, REP-44, REP-50, REP-51, REP-53, REP-54, REP-85: what is attached and recorded is in the
/// session's report, which keeps the served schema.
#[tokio::test]
async fn what_is_attached_and_recorded_is_reported() {
    let served = Served::start().await;
    let fleet = served.fleet("Fleet").await;
    let client = fleet.machine(1).await;
    let anna = served.jumper("anna").await;
    let berta = served.jumper("berta").await;
    let session: Lsid = anna.jump(client).await;
    let path = format!("sessions/{session}");
    let attributes = format!("{path}/attributes");
    let unknown = json!({"attributes": {"change": "C-1"}});
    let (status, told) = anna.patch(&attributes, unknown).await;
    assert_eq!(status, 422, "nothing of that name is configured");
    assert!(told["errors"]["attributes.change"].is_array(), "{told}");
    let admin = served.administrator().await;
    for name in ["Change", "Site"] {
        let body = json!({"display_name": name});
        let (status, told) = admin.post("custom-session-attributes", body).await;
        assert_eq!(status, 201, "{told}");
    }
    let (status, told) = anna
        .patch(
            &attributes,
            json!({"attributes": {"change": "C-1", "site": "<B>"}}),
        )
        .await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(told["attributes"], json!({"change": "C-1", "site": "<B>"}));
    let (status, told) = anna
        .patch(&attributes, json!({"external_key": "K-1"}))
        .await;
    assert_eq!(
        (status, told["message"].as_str()),
        (403, Some("You are not allowed to edit the external key."))
    );
    served
        .permit(anna.id, json!({"perm_edit_external_key": true}))
        .await;
    let (status, _) = anna
        .patch(
            &attributes,
            json!({"attributes": {"site": null}, "external_key": "K-1"}),
        )
        .await;
    assert_eq!(status, 200);
    let too_long = json!({"attributes": {"change": "x".repeat(1_025)}});
    let (status, told) = anna.patch(&attributes, too_long).await;
    assert_eq!(status, 422);
    assert!(told["errors"]["attributes.change"].is_array(), "{told}");
    assert_eq!(berta.patch(&attributes, json!({})).await.0, 404);

    let details = format!("{path}/details");
    for detail in [
        json!({"kind": "chat_message", "body": "hello & <goodbye>"}),
        json!({"kind": "chat_message", "body": "bell \u{7}", "toward": "endpoint"}),
        json!({"kind": "file_upload", "files": [{"name": "/tmp/a", "size": 3}, {"name": "b", "size": 4}]}),
        json!({"kind": "file_moved", "files": [{"name": "/tmp/a", "size": 3}], "values": {"destination": "/srv/a"}}),
        json!({"kind": "registry_value_modified", "values": {"value": "1", "key": "HKLM", "name": "x", "type": "dword"}}),
    ] {
        let (status, told) = anna.post(&details, detail.clone()).await;
        assert_eq!(status, 204, "{detail} {told}");
    }
    for (bad, field) in [
        (json!({}), "kind"),
        (json!({"kind": "session_end"}), "kind"),
        (json!({"kind": "chat_message"}), "body"),
        (
            json!({"kind": "file_upload", "files": [{"name": 1}]}),
            "files",
        ),
        (json!({"kind": "file_upload", "files": []}), "files"),
        (
            json!({"kind": "directory_created", "values": {"color": "red"}}),
            "values.color",
        ),
        (
            json!({"kind": "system_information_retrieved"}),
            "system_information",
        ),
    ] {
        let (status, told) = anna.post(&details, bad.clone()).await;
        assert_eq!(status, 422, "{bad} {told}");
        assert!(told["errors"][field].is_array(), "{bad} {told}");
    }
    let chat = json!({"kind": "chat_message", "body": "x"});
    assert_eq!(berta.post(&details, chat).await.0, 404);

    let query = format!("generate_report=AccessSession&lsid={session}");
    let xml = report(&served, &query).await;
    schema(&served).await.holds_for(&[&xml]);
    assert_eq!(all(&xml, "external_key"), ["K-1"]);
    assert_eq!(all(&xml, "custom_attribute"), ["C-1"]);
    let names = "<custom_attribute display_name=\"Change\" code_name=\"change\">";
    assert!(xml.contains(names), "{xml}");
    assert_eq!(all(&xml, "file_transfer_count"), ["2"]);
    assert_eq!(all(&xml, "file_move_count"), ["1"]);
    assert_eq!(all(&xml, "body"), ["hello &amp; &lt;goodbye&gt;"]);
    assert_eq!(all(&xml, "encoded_body"), ["YmVsbCAH"]);
    assert_eq!(all(&xml, "file"), ["/tmp/a", "b", "/tmp/a"]);
    assert!(
        xml.contains("event_type=\"Registry Value Modified\""),
        "{xml}"
    );
    assert!(
        xml.contains("<value name=\"destination\" value=\"/srv/a\"/>"),
        "{xml}"
    );
    assert!(xml.contains(">Everyone</destination>"), "{xml}");
    let day = "generate_report=AccessSessionListing&start_date=2026-01-01&duration=0";
    let listing = report(&served, day).await;
    schema(&served).await.holds_for(&[&listing]);
    assert!(listing.contains("external_key=\"K-1\""), "{listing}");
}

/// SESS-28 to SESS-33: the group is each user's own; its items start by themselves and pass the same gates.
#[tokio::test]
async fn the_startup_group_starts_what_may_start() {
    let served = Served::start().await;
    let fleet = served.fleet("Fleet").await;
    let (first, second) = (fleet.machine(1).await, fleet.machine(2).await);
    let anna = served.jumper("anna").await;
    let berta = served.user("berta", json!({})).await;
    let path = |client| format!("startup-items/{}", item(client));
    for client in [first, second, first] {
        assert_eq!(anna.put(&path(client), json!({})).await.0, 204);
    }
    let (status, told) = anna.get("startup-items").await;
    assert_eq!(status, 200);
    let ids: Vec<&str> = told["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| item["id"].as_str().expect("an id"))
        .collect();
    assert_eq!(ids, [item(first), item(second)]);
    assert_eq!(berta.put(&path(first), json!({})).await.0, 404);
    assert_eq!(berta.get("startup-items").await.1, json!({"items": []}));
    served.disconnect(second, 2).await;
    let agent = Agent::of(&served.site.engine, Conduct::Establish);
    let (status, told) = anna.post("startup-items/start", json!({})).await;
    drop(agent);
    assert_eq!(status, 200, "{told}");
    assert_eq!(told["results"][0]["status"], 201);
    assert_eq!(told["results"][1]["status"], 409);
    // Behind an approval, a ticket or a closed schedule an item is passed over, with what it would need (SESS-33).
    let session = told["results"][0]["session"]["lsid"].as_str();
    let end = format!("sessions/{}/end", session.expect("a session"));
    assert_eq!(anna.post(&end, json!({})).await.0, 200);
    let rules = json!({
        "approval_required": true,
        "approval_display_name": "Managers",
        "approval_email_addresses": ["boss@example.com"],
    });
    under_a_policy(&served, &anna, rules).await;
    let started = served.count("AccessSessionStarted").await;
    let (_, told) = anna.post("startup-items/start", json!({})).await;
    assert_eq!(told["results"][0]["status"], 409, "{told}");
    let error = &told["results"][0]["error"];
    assert_eq!(error["needs"][0]["need"], "approval", "{told}");
    for (change, status) in [
        (
            json!({"approval_required": false, "ticket_id_required": true}),
            403,
        ),
        (
            json!({"ticket_id_required": false, "schedule_enabled": true}),
            403,
        ),
    ] {
        if change["schedule_enabled"] == true {
            let never = domain::policy::schedule::Schedule {
                entries: vec![domain::policy::schedule::ScheduleEntry {
                    start_day: 6,
                    start_minute: 0,
                    end_day: 6,
                    end_minute: 1,
                }],
                ..domain::policy::schedule::Schedule::default()
            };
            let set = jump_policy::Command::SetSchedule(JumpPolicyId(1), never);
            served.run(Command::JumpPolicy(set)).await;
        }
        let change = record::Command::Change(JumpPolicyId(1), object(change));
        served
            .run(Command::JumpPolicy(jump_policy::Command::Record(change)))
            .await;
        let (_, told) = anna.post("startup-items/start", json!({})).await;
        assert_eq!(told["results"][0]["status"], status, "{told}");
    }
    assert_eq!(served.count("AccessSessionStarted").await, started);
    assert_eq!(anna.delete(&path(first)).await.0, 204);
    assert_eq!(anna.delete(&path(first)).await.0, 204);
    let (_, told) = anna.get("startup-items").await;
    assert_eq!(told["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(anna.put("startup-items/x", json!({})).await.0, 404);
}

/// SESS-09, SESS-10, SESS-14: what an item's menu may offer is told with it; a Jump begins a session named by its item.
#[tokio::test]
async fn an_items_menu_offers_what_its_user_may() {
    let served = Served::start().await;
    let fleet = served.fleet("Fleet").await;
    let client = fleet.machine(1).await;
    let anna = served.jumper("anna").await;
    let editor = served
        .user("editor", json!({"unassigned_jump_item_role_id": 3}))
        .await;
    let may = async |visitor: &Visitor<'_>| {
        let (status, told) = visitor.get(&format!("items/{}", item(client))).await;
        assert_eq!(status, 200);
        let may = &told["may"];
        ["start", "remove", "edit_tag"].map(|what| may[what].as_bool().expect("a flag"))
    };
    assert_eq!(may(&anna).await, [true, false, false]);
    assert_eq!(may(&editor).await, [false, true, true]);
    let agent = Agent::of(&served.site.engine, Conduct::Establish);
    let (status, session) = anna.post("sessions", json!({"item": item(client)})).await;
    drop(agent);
    assert_eq!(status, 201);
    assert_eq!(session["item"]["name"], "host-1");
}

/// SESS-11, SESS-37, CLNT-28, CLNT-49: several items of one type are changed and removed each by itself; "Export..." writes one
/// down.
#[tokio::test]
async fn several_items_are_changed_and_removed_each_by_itself() {
    let served = Served::start().await;
    let fleet = served.fleet("Fleet").await;
    let (first, second) = (fleet.machine(1).await, fleet.machine(2).await);
    let editor = served
        .user("editor", json!({"unassigned_jump_item_role_id": 3}))
        .await;
    let anna = served.jumper("anna").await;
    served
        .change_client(first, json!({"comments": "rack 4"}))
        .await;
    let both = json!([item(first), item(second), "jump_client-99"]);
    let body = json!({"items": both, "changes": {"tag": "linux"}});
    let (status, told) = editor.patch("items", body).await;
    assert_eq!(status, 200, "{told}");
    let statuses = |told: &Value| -> Vec<u64> {
        let results = told["results"].as_array().expect("results");
        results
            .iter()
            .map(|result| result["status"].as_u64().expect("a status"))
            .collect()
    };
    assert_eq!(statuses(&told), [200, 200, 404]);
    let (_, seen) = editor.get(&format!("items/{}", item(first))).await;
    assert_eq!(
        (&seen["tag"], &seen["comments"]),
        (&json!("linux"), &json!("rack 4"))
    );
    let body = json!({"items": both, "changes": {"tag": "mine"}});
    let (_, told) = anna.patch("items", body).await;
    assert_eq!(statuses(&told), [403, 403, 404]);
    assert!(told["results"][0]["error"]["refusal"].is_string(), "{told}");
    let renamed = json!({"items": both, "changes": {"name": "x"}});
    let (status, told) = editor.patch("items", renamed).await;
    assert_eq!(status, 422);
    assert!(told["errors"]["changes.name"].is_array(), "{told}");
    let mixed = json!({"items": [item(first), "shell_jump-1"], "changes": {"tag": "x"}});
    let (status, told) = editor.patch("items", mixed).await;
    assert_eq!(status, 422);
    let words = "Items whose properties are changed together must be of one type.";
    assert_eq!(told["errors"]["items"], json!([words]), "{told}");
    for bad in [
        json!({}),
        json!({"items": [], "changes": {"tag": "x"}}),
        json!({"items": both}),
        json!({"items": ["x"], "changes": {"tag": "x"}}),
    ] {
        assert_eq!(editor.patch("items", bad).await.0, 422);
    }

    let (status, definition) = anna.get(&format!("items/{}/export", item(first))).await;
    assert_eq!(status, 200);
    assert_eq!(
        (&definition["type"], &definition["tag"]),
        (&json!("jump_client"), &json!("linux"))
    );
    let path = format!("items/{}/export?format=csv", item(first));
    let response = anna.send(Method::GET, &path, None).await;
    let text = response.text().await.expect("text");
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let (header, row) = (
        lines.next().expect("a header"),
        lines.next().expect("a row"),
    );
    for (name, value) in [
        ("comments", "rack 4"),
        ("tag", "linux"),
        ("type", "jump_client"),
    ] {
        let column = header.iter().position(|title| *title == name);
        assert_eq!(row[column.expect("a column")], value, "{text}");
    }
    assert_eq!(
        anna.get(&format!("items/{}/export?format=x", item(first)))
            .await
            .0,
        422
    );
    assert_eq!(anna.get("items/jump_client-99/export").await.0, 404);

    let (_, told) = anna.post("items/remove", json!({"items": both})).await;
    assert_eq!(statuses(&told), [403, 403, 404]);
    let (_, told) = editor.post("items/remove", json!({"items": both})).await;
    assert_eq!(statuses(&told), [200, 200, 404]);
    assert_eq!(editor.get(&format!("items/{}", item(first))).await.0, 404);
}

/// Whoever passes on the position of an answer that says nothing else asks for what it did all the same.
#[tokio::test]
async fn answers_without_a_body_say_where_in_the_log_they_belong() {
    let served = Served::start().await;
    let fleet = served.fleet("Web servers").await;
    let client = fleet.machine(1).await;
    let (anna, bert) = (served.jumper("anna").await, served.jumper("bert").await);
    let lsid = anna.jump(client).await;
    let (status, told) = anna
        .post(
            &format!("sessions/{lsid}/invitations"),
            json!({"user_id": bert.id}),
        )
        .await;
    assert_eq!(status, 200, "{told}");
    let item = format!("startup-items/jump_client-{client}");
    let detail = json!({"kind": "chat_message", "body": "hello"});
    for (method, path, body) in [
        (Method::PUT, item.clone(), None),
        (Method::DELETE, item, None),
        (Method::POST, format!("sessions/{lsid}/activity"), None),
        (
            Method::POST,
            format!("sessions/{lsid}/details"),
            Some(detail),
        ),
        (
            Method::DELETE,
            format!("sessions/{lsid}/invitations/{}", bert.id),
            None,
        ),
        (Method::POST, format!("sessions/{lsid}/leave"), None),
    ] {
        let response = anna.send(method, &path, body).await;
        assert_eq!(response.status(), 204, "{path}");
        let (_, position) = header(&response, "x-gatebook-position")
            .and_then(|position| {
                let (epoch, position) = position.split_once('-')?;
                Some((epoch.to_owned(), position.parse::<u64>().ok()?))
            })
            .unwrap_or_else(|| panic!("{path} has no position"));
        let tail = served.site.engine.published().tail.position;
        assert!((1..=tail).contains(&position), "{path} {position}");
    }
}
