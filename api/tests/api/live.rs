//! The console's stream of events: who is told what, coming back, and what ends it.

use std::time::Duration;

use api::Limits;
use domain::Command;
use domain::ids::{Lsid, MailDeliveryId};
use domain::session::access_session;
use domain::site::mail_delivery::{self, Mail, Message as Said, Outcome, SessionTold};
use domain::time::SECOND;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::served::{Differently, Served};
use crate::visit::{Agent, Conduct, Visitor};

/// A stream that is being read.
struct Stream {
    response: Response,
    text: String,
}

#[derive(Debug)]
struct Message {
    id: String,
    kind: String,
    body: Value,
}

impl Stream {
    async fn open(visitor: &Visitor<'_>, last: Option<&str>) -> Self {
        let mut request = visitor.request(Method::GET, "events");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        // Proxies must neither gather nor compress it.
        let cache_control = &response.headers()["cache-control"];
        assert_eq!(cache_control, "no-cache, no-transform");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        Self {
            response,
            text: String::new(),
        }
    }

    /// The next message; none where the stream ended.
    async fn next(&mut self) -> Option<Message> {
        // Over all chunks: what only keeps the connection alive is no message.
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            if let Some((whole, rest)) = self.text.split_once("\n\n") {
                let (whole, rest) = (whole.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| {
                    whole
                        .lines()
                        .find_map(|line| line.strip_prefix(name))
                        .map(|value| value.trim().to_owned())
                };
                if let (Some(id), Some(kind), Some(data)) =
                    (field("id:"), field("event:"), field("data:"))
                {
                    let body = serde_json::from_str(&data).expect("JSON");
                    return Some(Message { id, kind, body });
                }
                continue;
            }
            let chunk = tokio::time::timeout_at(deadline, self.response.chunk())
                .await
                .expect("a message in time")
                .expect("a whole stream")?;
            self.text
                .push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
        }
    }

    /// Reads up to the message that a start failed.
    async fn until_failed(&mut self) -> Value {
        loop {
            let told = self.until("session").await.body;
            if told["event"] == "AccessSessionFailed" {
                return told;
            }
        }
    }

    /// Reads up to the first message of a kind.
    async fn until(&mut self, kind: &str) -> Message {
        let found = async {
            loop {
                let message = self.next().await.expect("the stream goes on");
                if message.kind == kind {
                    return message;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), found)
            .await
            .unwrap_or_else(|_| panic!("no {kind} in time"))
    }
}

#[tokio::test]
async fn a_page_is_told_of_the_items_and_sessions_in_sight_and_of_no_others() {
    let served = Served::start().await;
    let fleet = served.fleet("Web servers").await;
    let machine = fleet.machine(1).await;
    let _agent = Agent::of(&served.site.engine, Conduct::Establish);
    let anna = served.jumper("anna").await;
    let vera = served.user("vera", json!({})).await;
    let mut to_anna = Stream::open(&anna, None).await;
    let mut to_vera = Stream::open(&vera, None).await;
    assert_eq!(to_anna.until("hello").await.body["user_id"], json!(anna.id));
    to_vera.until("hello").await;

    let lsid = anna.jump(machine).await;
    let told = to_anna.until("session").await;
    assert_eq!(told.body["lsid"], json!(lsid));
    assert_eq!(told.body["mine"], json!(true));
    assert_eq!(told.body["event"], "AccessSessionStarted");
    let item = to_anna.until("item").await;
    assert_eq!(item.body["id"], json!(format!("jump_client-{machine}")));

    // Vera sees no item, so the first she hears is of her own rights.
    served.permit(vera.id, json!({"perm_web_jump": true})).await;
    let first = to_vera.next().await.expect("a message");
    assert_eq!(first.kind, "rights", "{first:?}");
}

#[tokio::test]
async fn a_page_that_comes_back_misses_nothing_and_one_from_elsewhere_starts_anew() {
    let served = Served::start().await;
    let fleet = served.fleet("Web servers").await;
    let machine = fleet.machine(1).await;
    let anna = served.jumper("anna").await;
    let mut stream = Stream::open(&anna, None).await;
    let hello = stream.until("hello").await;
    drop(stream);
    served
        .change_client(
            machine,
            json!({"comments": "changed while nobody listened"}),
        )
        .await;
    let mut back = Stream::open(&anna, Some(&hello.id)).await;
    let missed = back.next().await.expect("a message");
    assert_eq!(
        (missed.kind.as_str(), &missed.body["id"]),
        ("item", &json!(format!("jump_client-{machine}")))
    );
    // What is not an id of ours is no error: a browser that is refused never comes back.
    for (last, kind) in [
        ("99-1", "reset"),
        ("1-999999999", "reset"),
        ("yesterday", "reset"),
        ("", "reset"),
        ("\u{fc}", "reset"),
    ] {
        let mut other = Stream::open(&anna, Some(last)).await;
        assert_eq!(other.next().await.expect("a message").kind, kind, "{last}");
    }
}

/// threat H
#[tokio::test]
async fn threat_h_a_stream_ends_with_the_right_to_read_it() {
    let served = Served::start().await;
    let fleet = served.fleet("Web servers").await;
    let machine = fleet.machine(1).await;
    let anna = served.jumper("anna").await;
    let mut stream = Stream::open(&anna, None).await;
    stream.until("hello").await;
    let administrator = served.administrator().await;
    let disabled = served
        .patch(&format!("user/{}", anna.id), json!({"enabled": false}))
        .await;
    assert_eq!(disabled.0, 200, "{}", disabled.1);
    served
        .change_client(machine, json!({"comments": "for others only"}))
        .await;
    let last = stream.next().await.expect("a message");
    assert_eq!(last.kind, "signed_out", "{last:?}");
    assert!(stream.next().await.is_none());

    let mut own = Stream::open(&administrator, None).await;
    own.until("hello").await;
    assert_eq!(administrator.post("sign-out", json!({})).await.0, 204);
    own.until("signed_out").await;
    assert!(own.next().await.is_none());
}

/// threat H: neither traffic nor its own silence keeps a stream open whose sign-in expired or made room for a newer one.
#[tokio::test]
async fn threat_h_a_stream_ends_with_its_sign_in_whatever_the_traffic() {
    let served = Served::start().await;
    let fleet = served.fleet("Web servers").await;
    let machine = fleet.machine(1).await;
    let anna = served.jumper("anna").await;
    let mut stream = Stream::open(&anna, None).await;
    stream.until("hello").await;
    // So that hers is the oldest.
    served.clock.leap(domain::time::SECOND);
    let mut newest = None;
    for _ in 0..api::console::badge::BADGES_MAX {
        newest = Some(served.visitor("anna", crate::visit::PASSWORD).await);
    }
    assert_eq!(stream.next().await.expect("a message").kind, "signed_out");
    assert!(stream.next().await.is_none());

    let newest = newest.expect("a sign-in");
    let mut stream = Stream::open(&newest, None).await;
    stream.until("hello").await;
    let served = &served;
    let traffic = async {
        for number in 0.. {
            let change = json!({"comments": format!("change {number}")});
            served.change_client(machine, change).await;
        }
    };
    let expiry = async {
        stream.until("item").await;
        served.clock.leap(13 * domain::time::HOUR);
        stream.until("signed_out").await;
        assert!(stream.next().await.is_none());
    };
    tokio::select! {
        () = traffic => {}
        () = expiry => {}
    }
}

/// Pages ask again what they may only where the change concerns their user.
#[tokio::test]
async fn changed_rights_are_told_to_whom_they_concern() {
    let served = Served::start().await;
    let group = served.group("Web servers").await;
    let anna = served.user("anna", json!({})).await;
    let vera = served.user("vera", json!({})).await;
    let mut to_anna = Stream::open(&anna, None).await;
    let mut to_vera = Stream::open(&vera, None).await;
    to_anna.until("hello").await;
    to_vera.until("hello").await;
    let (status, told) = served
        .post(
            &format!("jump-group/{group}/user"),
            json!({"user_id": anna.id, "jump_item_role_id": 2}),
        )
        .await;
    assert_eq!(status, 201, "{told}");
    to_anna.until("rights").await;
    let rename = json!({"name": "Web servers of the north"});
    assert_eq!(
        served.patch(&format!("jump-group/{group}"), rename).await.0,
        200
    );
    to_anna.until("rights").await;
    // What vera hears first is her own.
    served.permit(vera.id, json!({"perm_web_jump": true})).await;
    let first = to_vera.next().await.expect("a message");
    assert_eq!(first.kind, "rights", "{first:?}");
    let again = tokio::time::timeout(Duration::from_millis(600), to_vera.next()).await;
    assert!(again.is_err(), "{again:?}");
}

#[tokio::test]
async fn one_user_has_room_for_so_many_streams() {
    let served = Served::start().await;
    let anna = served.jumper("anna").await;
    let mut open = Vec::new();
    for _ in 0..api::console::live::STREAMS_OF_ONE_MAX {
        open.push(Stream::open(&anna, None).await);
    }
    let (status, body) = anna.get("events").await;
    assert_eq!(
        (status, &body["code"]),
        (503, &json!("too_many_streams")),
        "{body}"
    );
    drop(open);
}

#[tokio::test]
async fn a_session_that_ends_is_told_to_who_saw_it() {
    let served = Served::start().await;
    let fleet = served.fleet("Web servers").await;
    let machine = fleet.machine(1).await;
    let _agent = Agent::of(&served.site.engine, Conduct::Establish);
    let anna = served.jumper("anna").await;
    let lsid = anna.jump(machine).await;
    let mut stream = Stream::open(&anna, None).await;
    stream.until("hello").await;
    assert_eq!(
        anna.post(&format!("sessions/{lsid}/end"), json!({}))
            .await
            .0,
        200
    );
    let told = stream.until("session").await;
    assert_eq!(told.body["event"], "AccessSessionEnded");
}

/// ERR-11, ERR-12, SESS-17, POL-14: a start that fails when its user does not wait for the answer any more is told with the reason: on the
/// stream, and by the session's address, to who started it.
#[tokio::test]
async fn a_start_that_fails_tells_its_user_why() {
    let limits = Limits {
        start_answered_within: Duration::from_millis(50),
        ..Limits::default()
    };
    let served = Served::start_with(Differently {
        limits,
        ..Differently::default()
    })
    .await;
    let (_due, lease) = tokio::sync::watch::channel(true);
    served.site.engine.serve_due_dates(lease);
    let fleet = served.fleet("Web servers").await;
    let (slow, lost, closing) = (
        fleet.machine(1).await,
        fleet.machine(2).await,
        fleet.machine(3).await,
    );
    let policy = json!({"display_name": "Nights", "schedule_enabled": false});
    let (status, policy) = served.post("jump-policy", policy).await;
    assert_eq!(status, 201, "{policy}");
    served
        .change_client(closing, json!({"jump_policy_id": policy["id"]}))
        .await;
    let (anna, vera) = (served.jumper("anna").await, served.jumper("vera").await);
    let mut to_anna = Stream::open(&anna, None).await;
    let mut to_vera = Stream::open(&vera, None).await;
    for (machine, code, words) in [
        (
            slow,
            "spawn_timed_out",
            "An internal operation was taking too long while trying to spawn a access session.",
        ),
        (
            lost,
            "jump_client_not_connected",
            "The active Jump Client is not connected.",
        ),
        (
            closing,
            "start_withdrawn",
            "The Jump Policy \"Nights\" does not permit a session at this time.",
        ),
    ] {
        let body = json!({"item": format!("jump_client-{machine}")});
        let (status, session) = anna.post("sessions", body).await;
        assert_eq!((status, &session["state"]), (202, &json!("starting")));
        let path = format!("sessions/{}", crate::visit::lsid(&session));
        match code {
            "jump_client_not_connected" => served.disconnect(machine, 2).await,
            "start_withdrawn" => {
                let admin = served.administrator().await;
                let nights = json!({
                    "timezone": "UTC",
                    "entries": [{"start_day": 3, "start_time": "03:33", "end_day": 3, "end_time": "03:34"}],
                });
                let schedule = format!("jump-policies/{}/schedule", policy["id"]);
                assert_eq!(admin.put(&schedule, nights).await.0, 200);
                let enable = json!({"schedule_enabled": true});
                let published = format!("jump-policy/{}", policy["id"]);
                assert_eq!(served.patch(&published, enable).await.0, 200);
                let establish = access_session::Command::Establish {
                    lsid: crate::visit::lsid(&session),
                    client: machine,
                };
                served.run(Command::AccessSession(establish)).await;
            }
            _ => {}
        }
        if code != "start_withdrawn" {
            served.clock.leap(30 * SECOND);
        }
        let told = to_anna.until_failed().await;
        let message = told["message"].as_str().expect("words");
        assert!(message.starts_with(words), "{message}");
        if code == "start_withdrawn" {
            assert!(message.contains("Next available: Thursday"), "{message}");
        }
        let (status, shown) = anna.get(&path).await;
        assert_eq!(
            (status, &shown["state"]),
            (200, &json!("failed")),
            "{shown}"
        );
        assert_eq!(shown["failure"], json!({"code": code, "message": message}));
        for member in ["item", "group", "owner", "started_at"] {
            assert_eq!(shown[member], session[member], "{member}");
        }
        // Whoever sees the item is told that it failed, and no more.
        assert_eq!(to_vera.until_failed().await["message"], Value::Null);
        assert_eq!(vera.get(&path).await.0, 404);
    }
}

/// Queues a mail about a session, and has it refused.
async fn park_a_mail(served: &Served, id: MailDeliveryId, lsid: Lsid) {
    let mail = Mail {
        recipient: "boss@example.com".to_owned(),
        language: "en-us".to_owned(),
        message: Said::SessionStarted(SessionTold {
            lsid,
            item_name: "web01".to_owned(),
            item_fqdn: String::new(),
            group_name: String::new(),
            user_display_name: String::new(),
            user: None,
            at: domain::Timestamp(0),
        }),
    };
    let settle = mail_delivery::Command::Settle {
        delivery: id,
        attempt: 1,
        outcome: Outcome::Refused {
            reason: "550 boss@example.com is unknown".to_owned(),
        },
    };
    for command in [mail_delivery::Command::Queue(id, mail), settle] {
        let done = served.submit(Command::MailDelivery(command), None).await;
        done.expect("it is done");
    }
}

/// POL-31: trouble with a mail is told at once: to administrators, and to whoever is in the session; to nobody else, and never
/// the address it was for.
#[tokio::test]
async fn mail_that_does_not_leave_is_told_at_once() {
    let served = Served::start().await;
    let fleet = served.fleet("Web servers").await;
    let machine = fleet.machine(1).await;
    let _agent = Agent::of(&served.site.engine, Conduct::Establish);
    let anna = served.jumper("anna").await;
    let vera = served.user("vera", json!({})).await;
    let admin = served.administrator().await;
    let lsid = anna.jump(machine).await;
    let mut to_admin = Stream::open(&admin, None).await;
    let mut to_anna = Stream::open(&anna, None).await;
    let mut to_vera = Stream::open(&vera, None).await;
    to_admin.until("hello").await;
    to_anna.until("hello").await;
    to_vera.until("hello").await;

    let id = MailDeliveryId(7);
    park_a_mail(&served, id, lsid).await;
    assert_eq!(
        to_anna.until("mail").await.body,
        json!({
            "id": null, "type": "session_started", "access_request_id": null, "lsid": lsid,
            "state": "parked",
        })
    );
    let told = to_admin.until("mail").await.body;
    assert_eq!(told["id"], json!(id.to_string()));
    assert!(!told.to_string().contains("boss@example.com"), "{told}");
    served.permit(vera.id, json!({"perm_web_jump": true})).await;
    let first = to_vera.next().await.expect("a message");
    assert_eq!(first.kind, "rights", "{first:?}");
}

/// APPR-16, APPR-17: the console pops up what became of a request, without saying who answered; approvers hear of a new one,
/// and who may not know of it hears nothing.
#[tokio::test]
async fn a_page_is_told_what_became_of_a_request() {
    let served = Served::start().await;
    let boss = served.user("boss", json!({})).await;
    let machine = served.fleet("Web Servers").await.machine(1).await;
    let policy = json!({
        "display_name": "Authorization Required", "schedule_enabled": false,
        "approval_required": true, "approval_display_name": "Manager",
        "approval_user_ids": [boss.id.to_string()],
    });
    let (status, policy) = served.post("jump-policy", policy).await;
    assert_eq!(status, 201, "{policy}");
    served
        .change_client(machine, json!({"jump_policy_id": policy["id"]}))
        .await;
    let anna = served.jumper("anna").await;
    let stranger = served.user("stranger", json!({})).await;
    let mut hers = Stream::open(&anna, None).await;
    let mut of_boss = Stream::open(&boss, None).await;
    let mut of_stranger = Stream::open(&stranger, None).await;
    let form = json!({"item": format!("jump_client-{machine}"), "reason": "patch"});
    let (status, request) = anna.post("access-requests", form).await;
    assert_eq!(status, 201, "{request}");
    let heard = of_boss.until("access_request").await.body;
    assert_eq!(
        (
            &heard["id"],
            &heard["event"],
            &heard["to_answer"],
            &heard["mine"]
        ),
        (
            &request["id"],
            &json!("AccessRequestSubmitted"),
            &json!(true),
            &json!(false)
        )
    );
    let approve = format!("access-requests/{}/approve", request["id"]);
    assert_eq!(boss.post(&approve, json!({})).await.0, 200);
    hers.until("access_request").await;
    let heard = hers.until("access_request").await.body;
    assert_eq!(
        (&heard["state"], &heard["event"], &heard["mine"]),
        (
            &json!("approved"),
            &json!("AccessRequestApproved"),
            &json!(true)
        )
    );
    assert!(!heard.to_string().contains("boss"), "{heard}");
    // The next that the stranger hears is what happens to all.
    let rename = json!({"display_name": "Else"});
    let path = format!("jump-policy/{}", policy["id"]);
    assert_eq!(served.patch(&path, rename).await.0, 200);
    of_stranger.until("hello").await;
    let next = of_stranger.next().await.expect("the stream goes on");
    assert_eq!(next.kind, "rights", "{next:?}");
}

/// A node that stops ends the streams, which would never end by themselves; one that still comes ends as well.
#[tokio::test]
async fn streams_end_when_the_node_stops() {
    let served = Served::start().await;
    let anna = served.jumper("anna").await;
    let mut open = Stream::open(&anna, None).await;
    assert_eq!(open.next().await.expect("a message").kind, "hello");
    served.site.end_streams();
    assert!(open.next().await.is_none(), "the stream goes on");
    let mut late = Stream::open(&anna, None).await;
    assert_eq!(late.next().await.expect("a message").kind, "hello");
    assert!(late.next().await.is_none(), "the stream goes on");
}

/// ROLE-31: a member whose right ends is told so on the stream, with the words of the gate that is closed; who only watches the item
/// is told no more than that.
#[tokio::test]
async fn a_member_is_told_why_they_went() {
    let served = Served::start().await;
    let fleet = served.fleet("Web servers").await;
    let machine = fleet.machine(1).await;
    let _agent = Agent::of(&served.site.engine, Conduct::Establish);
    let anna = served.jumper("anna").await;
    let berta = served.jumper("berta").await;
    let mut to_anna = Stream::open(&anna, None).await;
    let mut to_berta = Stream::open(&berta, None).await;
    let lsid = anna.jump(machine).await;
    served
        .permit(anna.id, json!({"perm_jump_client": false}))
        .await;
    for (stream, message) in [
        (
            &mut to_anna,
            "The access of its owner was withdrawn: You are not allowed to use the Jump method \"Jump Clients\".",
        ),
        (&mut to_berta, "The access of its owner was withdrawn."),
    ] {
        let told = loop {
            let told = stream.until("session").await;
            if told.body["event"] == "AccessSessionEnded" {
                break told;
            }
        };
        assert_eq!(told.body["lsid"], json!(lsid));
        assert_eq!(told.body["reason"], "access_withdrawn");
        assert_eq!(told.body["message"], message);
    }
}
