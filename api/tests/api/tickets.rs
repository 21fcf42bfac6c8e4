//! Starts with a ticket, against a real ticket system in a process of its own that answers over HTTPS.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::{Site, Transport};
use axum::Extension;
use axum_server::tls_rustls::RustlsConfig;
use connector::testing::{Authority, TicketSystem};
use domain::ids::JumpClientId;
use domain::time::SECOND;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::served::{Differently, Served, answer};
use crate::visit::{Agent, Conduct, Visitor};

/// A site that is reached over HTTPS under an authority of its own, where starts need a ticket.
pub(crate) struct Desk {
    pub(crate) served: Served,
    folder: TempDir,
    /// The site's authority, which ticket systems trust.
    anchor: PathBuf,
    /// The site's URL.
    url: String,
    client: JumpClientId,
    policy: u64,
    /// Due dates are served as long as it is held.
    _due: watch::Sender<bool>,
}

impl Desk {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let served = Served::start_with(Differently {
            public_url: Some(url.clone()),
            ..Differently::default()
        })
        .await;
        let anchor = serve_https(&served.site, listener, &folder).await;
        let (due, lease) = watch::channel(true);
        served.site.engine.serve_due_dates(lease);
        let client = served.fleet("Web").await.machine(1).await;
        let body = json!({
            "display_name": "Tickets", "schedule_enabled": false, "ticket_id_required": true,
        });
        let (status, policy) = served.post("jump-policy", body).await;
        assert_eq!(status, 201, "{policy}");
        let policy = policy["id"].as_u64().unwrap();
        served
            .change_client(client, json!({ "jump_policy_id": policy }))
            .await;
        Self {
            served,
            folder,
            anchor,
            url,
            client,
            policy,
            _due: due,
        }
    }

    /// A desk whose ticket system does `what`, over HTTP.
    pub(crate) async fn with(what: &str) -> (Self, TicketSystem) {
        let desk = Self::open().await;
        let system = TicketSystem::http(Some(&desk.anchor)).await;
        desk.allow_loopback().await;
        desk.set(json!({"url": system.url(what), "user_prompt": "Change number?"}))
            .await;
        (desk, system)
    }

    async fn set(&self, body: Value) {
        let (status, body) = self.try_set(body).await;
        assert_eq!(status, 200, "{body}");
    }

    async fn try_set(&self, body: Value) -> (u16, Value) {
        let admin = self.served.administrator().await;
        admin.patch("ticket-system", body).await
    }

    async fn allow_loopback(&self) {
        let admin = self.served.administrator().await;
        let body = json!({"outbound_networks": ["127.0.0.0/8"]});
        assert_eq!(admin.patch("site/settings", body).await.0, 200);
    }

    pub(crate) fn wish(&self, ticket: &str) -> Value {
        json!({"item": format!("jump_client-{}", self.client), "ticket_id": ticket})
    }

    /// Asks with a ticket; answers the number of the request that waits.
    pub(crate) async fn ask(&self, user: &Visitor<'_>, ticket: &str) -> u64 {
        let (status, body) = user.post("sessions", self.wish(ticket)).await;
        assert_eq!(status, 202, "{body}");
        assert_eq!(body["ticket_request"]["state"], "waiting");
        body["ticket_request"]["id"].as_u64().unwrap()
    }

    /// Sends an answer as the ticket system would.
    pub(crate) async fn answer(&self, pairs: &[(&str, &str)]) -> (u16, Value) {
        let response = self
            .http()
            .post(format!("{}/api/endpoint_approval", self.url))
            .form(pairs)
            .send()
            .await
            .unwrap();
        answer(response).await
    }

    /// A caller that trusts the site's authority.
    fn http(&self) -> reqwest::Client {
        let pem = std::fs::read(&self.anchor).unwrap();
        reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(&pem).unwrap()])
            .build()
            .unwrap()
    }

    async fn status(&self) -> Value {
        let admin = self.served.administrator().await;
        let (code, mut body) = admin.get("ticket-system").await;
        assert_eq!(code, 200);
        body["current_status"].take()
    }
}

/// Serves the site over TLS; answers the file of the authority that vouches for it.
async fn serve_https(site: &Arc<Site>, listener: TcpListener, folder: &TempDir) -> PathBuf {
    let authority = Authority::new("the site's");
    let (certificate, key) = authority.issue(folder.path(), &["127.0.0.1"]);
    let config = RustlsConfig::from_pem_file(certificate, key).await.unwrap();
    let service = api::router(Arc::clone(site))
        .layer(Extension(Transport::Tls))
        .into_make_service_with_connect_info::<SocketAddr>();
    let server = axum_server::from_tcp_rustls(listener, config).unwrap();
    tokio::spawn(server.serve(service));
    let anchor = folder.path().join("site-ca.pem");
    std::fs::write(&anchor, authority.pem()).unwrap();
    anchor
}

/// What has become of a request, once it no longer waits.
pub(crate) async fn settled(user: &Visitor<'_>, request: u64) -> Value {
    for _ in 0..400 {
        let (status, body) = user.get(&format!("ticket-requests/{request}")).await;
        assert_eq!(status, 200, "{body}");
        if body["state"] != "waiting" {
            return body;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the request still waits");
}

/// The value of one pair of what the ticket system got.
pub(crate) fn pair(got: &Value, name: &str) -> String {
    let pairs = got["pairs"].as_array().unwrap();
    let found: Vec<&Value> = pairs.iter().filter(|pair| pair[0] == name).collect();
    assert_eq!(found.len(), 1, "{name} in {pairs:?}");
    found[0][1].as_str().unwrap().to_owned()
}

/// TICK-14 TICK-15 TICK-16 TICK-17 TICK-18 TICK-19 TICK-20 TICK-22 TICK-24 TICK-26 TICK-27 TICK-28 TICK-33 TICK-34
#[tokio::test]
async fn an_allowed_ticket_starts_the_session_that_waited() {
    let (desk, mut system) = Desk::with("allow").await;
    let anna = desk.served.jumper("anna").await;
    let _agent = Agent::of(&desk.served.site.engine, Conduct::Establish);
    let request = desk.ask(&anna, "T1 \u{e4}&=+").await;
    let got = system.next_with("pairs").await;
    assert_eq!(
        got["type"],
        "application/x-www-form-urlencoded; charset=UTF-8"
    );
    let request_id = pair(&got, "request_id");
    assert!(request_id.len() <= 255 && request_id.len() >= 32);
    let response_url = format!("{}/api/endpoint_approval", desk.url);
    for (name, value) in [
        ("ticket_id", "T1 \u{e4}&=+"),
        ("response_url", response_url.as_str()),
        ("jump_item.computer_name", "host-1"),
        ("jump_item.type", "client"),
        ("jump_item.comments", ""),
        ("jump_item.group", "Web"),
        ("jump_item.tag", ""),
        ("jump_item.public_ip", "192.0.2.1"),
        ("jump_item.private_ip", "10.0.0.7"),
        ("user.id", &anna.id.to_string()),
        ("user.username", "anna"),
        ("user.public_display_name", "anna in public"),
        ("user.private_display_name", "anna in private"),
        ("user.email_address", ""),
    ] {
        assert_eq!(pair(&got, name), value, "{name}");
    }
    let answered = system.next_with("answered").await;
    assert_eq!(answered["answered"], 200, "{answered}");
    let outcome = settled(&anna, request).await;
    assert_eq!(outcome["state"], "allowed", "{outcome}");
    let lsid = outcome["lsid"].as_str().unwrap();
    let (status, session) = anna.get(&format!("sessions/{lsid}")).await;
    assert_eq!(status, 200, "{session}");
    let started = desk.served.log().await;
    let (_, text) = started
        .iter()
        .find(|(name, _)| name == "AccessSessionStarted")
        .unwrap();
    assert!(text.contains("\"external_key\":\"T1 \u{e4}&=+\""), "{text}");
    // The id is known to the ticket system alone: not to the log.
    assert!(started.iter().all(|(_, text)| !text.contains(&request_id)));
    assert_eq!(desk.status().await["message"], "Success");
    // One request, whatever else happens.
    assert!(system.is_silent_for(Duration::from_millis(300)).await);
}

/// TICK-33 TICK-46 SESS-36: configured attributes that the answer gives are the session's, under their own names.
#[tokio::test]
async fn an_answer_gives_the_session_its_attributes() {
    let (desk, mut system) = Desk::with("silent").await;
    let admin = desk.served.administrator().await;
    let body = json!({"display_name": "Change"});
    let (status, told) = admin.post("custom-session-attributes", body).await;
    assert_eq!(status, 201, "{told}");
    let anna = desk.served.jumper("anna").await;
    let _agent = Agent::of(&desk.served.site.engine, Conduct::Establish);
    let request = desk.ask(&anna, "T1").await;
    let got = system.next_with("pairs").await;
    let id = pair(&got, "request_id");
    let answer = |name: &'static str| {
        [
            ("response_id", id.as_str()),
            ("response", "allow"),
            (name, "C-1"),
        ]
    };
    let (status, told) = desk.answer(&answer("session.custom.other")).await;
    assert_eq!(status, 400, "{told}");
    let (status, told) = desk.answer(&answer("session.custom.CHANGE")).await;
    assert_eq!(status, 200, "{told}");
    let outcome = settled(&anna, request).await;
    let lsid = outcome["lsid"].as_str().unwrap();
    let (_, session) = anna.get(&format!("sessions/{lsid}")).await;
    assert_eq!(session["attributes"], json!({"change": "C-1"}));
}

/// TICK-30 TICK-31 TICK-35 TICK-45 ERR-22 ERR-29
#[tokio::test]
async fn a_refused_ticket_shows_the_words_of_the_ticket_system_or_ours() {
    let (desk, mut system) = Desk::with("by-ticket").await;
    let anna = desk.served.jumper("anna").await;
    for (what, words, said) in [
        ("deny", "Change not approved", 200),
        ("deny-silent", "Invalid ticket ID.", 200),
        (
            "nonsense",
            "The ticket system returned an invalid response.",
            400,
        ),
    ] {
        let request = desk.ask(&anna, &format!("{what}:T2")).await;
        let outcome = settled(&anna, request).await;
        assert_eq!(outcome["state"], "refused", "{what}");
        assert_eq!(outcome["message"], words, "{what}");
        assert_eq!(
            system.next_with("answered").await["answered"],
            said,
            "{what}"
        );
    }
    assert_eq!(desk.served.count("AccessSessionStarted").await, 0);
}

/// TICK-38: both names of the id are taken.
#[tokio::test]
async fn an_answer_may_name_the_request_as_the_request_did() {
    let (desk, mut system) = Desk::with("alias").await;
    let anna = desk.served.jumper("anna").await;
    let _agent = Agent::of(&desk.served.site.engine, Conduct::Establish);
    let request = desk.ask(&anna, "T1").await;
    assert_eq!(system.next_with("answered").await["answered"], 200);
    assert_eq!(settled(&anna, request).await["state"], "allowed");
}

/// TICK-37 TICK-39, threat V: an answer for another request, a second answer and a late one change nothing.
#[tokio::test]
async fn threat_v_crossed_repeated_and_late_answers_are_403() {
    let (desk, mut system) = Desk::with("by-ticket").await;
    let anna = desk.served.jumper("anna").await;
    let crossed = desk.ask(&anna, "crossed:T1").await;
    let said = system.next_with("answered").await;
    assert_eq!(said["answered"], 403);
    assert!(
        said["body"]
            .as_str()
            .unwrap()
            .contains("The request_id is not valid.")
    );
    let (_, waits) = anna.get(&format!("ticket-requests/{crossed}")).await;
    assert_eq!(waits["state"], "waiting");
    let twice = desk.ask(&anna, "twice:T1").await;
    assert_eq!(system.next_with("answered").await["answered"], 200);
    assert_eq!(system.next_with("answered").await["answered"], 403);
    let outcome = settled(&anna, twice).await;
    assert_eq!(
        (&outcome["state"], &outcome["message"]),
        (&json!("refused"), &json!("first"))
    );
    // Late.
    let silent = desk.ask(&anna, "silent:T3").await;
    let request_id = pair(&system.next_with("pairs").await, "request_id");
    desk.served.clock.leap(60 * SECOND);
    let late = desk
        .answer(&[("response_id", &request_id), ("response", "allow")])
        .await;
    assert_eq!(late.0, 403, "{}", late.1);
    let outcome = settled(&anna, silent).await;
    assert_eq!(
        outcome["message"],
        "The ticket system failed to respond in time."
    );
    assert_eq!(desk.served.count("AccessSessionStarted").await, 0);
}

/// TICK-40 ERR-26: a due date ends what the ticket system never answers, whatever it does with the connection.
#[tokio::test]
async fn a_ticket_system_that_does_not_answer_is_given_up_in_time() {
    let (desk, mut system) = Desk::with("by-ticket").await;
    let anna = desk.served.jumper("anna").await;
    let words = "The ticket system failed to respond in time.";
    for what in ["silent", "hang", "drip", "large"] {
        let request = desk.ask(&anna, &format!("{what}:T1")).await;
        system.next_with("pairs").await;
        desk.served.clock.leap(60 * SECOND);
        let outcome = settled(&anna, request).await;
        assert_eq!(outcome["message"], words, "{what}");
        assert_eq!(desk.status().await["message"], words, "{what}");
    }
    // By the clock of the machine too, where the reply to the request itself does not come.
    desk.set(json!({"timeout_seconds": 1})).await;
    for what in ["hang", "drip"] {
        let request = desk.ask(&anna, &format!("{what}:T1")).await;
        assert_eq!(settled(&anna, request).await["message"], words, "{what}");
    }
}

/// TICK-47 TICK-05 TICK-06 ERR-25, threat U
#[tokio::test]
async fn current_status_tells_what_came_of_the_last_request_until_something_changes() {
    let (desk, system) = Desk::with("silent").await;
    let anna = desk.served.jumper("anna").await;
    assert_eq!(desk.status().await, Value::Null);
    let redirect = system.url(&format!("redirect/302?to={}", system.url("allow")));
    for (settings, words) in [
        (
            json!({"url": "http://no-such-host.invalid/"}),
            "The given host was not resolved.",
        ),
        (
            json!({ "url": redirect }),
            "The ticket system answered the request with HTTP status 302.",
        ),
        (
            json!({"url": system.url("status/500")}),
            "The ticket system answered the request with HTTP status 500.",
        ),
        (
            json!({"url": "http://169.254.169.254/latest/"}),
            "The ticket system's address 169.254.169.254 is not in a network that this site may send requests to.",
        ),
    ] {
        desk.set(settings).await;
        assert_eq!(desk.status().await, Value::Null, "{words}");
        let request = desk.ask(&anna, "T1").await;
        assert_eq!(settled(&anna, request).await["message"], words);
        let status = desk.status().await;
        assert_eq!(status["message"], words);
        assert_eq!(status["success"], false);
    }
    desk.set(json!({"user_prompt": "Other?"})).await;
    assert_eq!(desk.status().await, Value::Null);
}

/// TICK-03 TICK-07 TICK-08: an uploaded authority is trusted, others are not, unless nothing is checked.
#[tokio::test]
async fn the_ticket_systems_certificate_is_checked_by_what_was_uploaded() {
    let desk = Desk::open().await;
    desk.allow_loopback().await;
    let authority = Authority::new("the ticket system's");
    let folder = tempfile::tempdir().unwrap();
    let server = authority.issue(folder.path(), &["127.0.0.1"]);
    let mut system = TicketSystem::https(&server, Some(&desk.anchor)).await;
    let anna = desk.served.jumper("anna").await;
    let _agent = Agent::of(&desk.served.site.engine, Conduct::Establish);
    desk.set(json!({"url": system.url("deny"), "user_prompt": "?"}))
        .await;
    let bad = desk.try_set(json!({"certificate": "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"})).await;
    assert_eq!(bad.0, 422);
    let untrusted = "The ticket system's certificate could not be verified";
    for (settings, words) in [
        (json!({}), untrusted),
        (
            json!({"certificate": Authority::new("other").pem()}),
            untrusted,
        ),
        (
            json!({"ignore_certificate_errors": true}),
            "Change not approved",
        ),
        (
            json!({"ignore_certificate_errors": false, "certificate": authority.pem()}),
            "Change not approved",
        ),
    ] {
        desk.set(settings.clone()).await;
        let request = desk.ask(&anna, "T1").await;
        let outcome = settled(&anna, request).await;
        let message = outcome["message"].as_str().unwrap();
        assert!(message.starts_with(words), "{settings}: {message}");
    }
    system.next_with("answered").await;
}

/// TICK-28 TICK-36 TICK-45 TICK-29 TICK-32 TICK-46
#[tokio::test]
async fn the_endpoint_answers_each_mistake_with_its_status() {
    let desk = Desk::open().await;
    // 404 first, whatever is sent.
    for pairs in [&[][..], &[("response_id", "x"), ("response", "allow")]] {
        let (status, body) = desk.answer(pairs).await;
        assert_eq!(status, 404, "{body}");
    }
    let mut system = TicketSystem::http(Some(&desk.anchor)).await;
    desk.allow_loopback().await;
    desk.set(json!({"url": system.url("silent"), "user_prompt": "?"}))
        .await;
    let anna = desk.served.jumper("anna").await;
    let request = desk.ask(&anna, "T1").await;
    let id = pair(&system.next_with("pairs").await, "request_id");
    let long = "x".repeat(1_025);
    let message = "x".repeat(256);
    // pairs, status; the request stays open.
    let cases: [(&[(&str, &str)], u16); 7] = [
        (&[("response", "allow")], 400),
        (&[("response_id", ""), ("response", "allow")], 400),
        (
            &[
                ("response_id", &id),
                ("request_id", "other"),
                ("response", "allow"),
            ],
            400,
        ),
        (&[("response_id", "another"), ("response", "allow")], 403),
        (
            &[
                ("response_id", &id),
                ("response", "deny"),
                ("message", &message),
            ],
            400,
        ),
        (
            &[
                ("response_id", &id),
                ("response", "allow"),
                ("session.custom.unknown", "x"),
            ],
            400,
        ),
        (
            &[
                ("response_id", &id),
                ("response", "allow"),
                ("session.custom.external_key", &long),
            ],
            400,
        ),
    ];
    for (pairs, expected) in cases {
        let (status, body) = desk.answer(pairs).await;
        assert_eq!(status, expected, "{pairs:?}: {body}");
        let (_, waits) = anna.get(&format!("ticket-requests/{request}")).await;
        assert_eq!(waits["state"], "waiting", "{pairs:?}");
    }
    let url = format!("{}/api/endpoint_approval", desk.url);
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let response = desk
            .http()
            .request(method.clone(), &url)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 405, "{method}");
    }
    let json_body = desk
        .http()
        .post(&url)
        .json(&json!({"response_id": id, "response": "allow"}))
        .send()
        .await
        .unwrap();
    assert_eq!(json_body.status(), 400);
    // Over HTTPS only, as every surface: a proxy on this machine says that it was not.
    let plain = desk
        .served
        .request(Method::POST, "/api/endpoint_approval")
        .header("x-forwarded-proto", "http")
        .form(&[("response_id", id.as_str()), ("response", "allow")])
        .send()
        .await
        .unwrap();
    assert_eq!(plain.status(), 403);
    let (_, waits) = anna.get(&format!("ticket-requests/{request}")).await;
    assert_eq!(waits["state"], "waiting");
}

/// TICK-14: the repeat of a request with its Idempotency-Key asks nobody again.
#[tokio::test]
async fn a_repeated_start_is_sent_once() {
    let (desk, mut system) = Desk::with("silent").await;
    let anna = desk.served.jumper("anna").await;
    for _ in 0..3 {
        let response = anna
            .request(Method::POST, "sessions")
            .header("idempotency-key", "once")
            .body(desk.wish("T1").to_string())
            .send()
            .await
            .unwrap();
        let (status, body) = answer(response).await;
        assert_eq!(status, 202, "{body}");
        assert_eq!(body["ticket_request"]["id"], 1);
    }
    system.next_with("pairs").await;
    assert!(system.is_silent_for(Duration::from_millis(500)).await);
}

/// TICK-04 TICK-42 ERR-21 ERR-27 ERR-28 ERR-23 ERR-24 TICK-02 TICK-12 TICK-13
#[tokio::test]
async fn what_is_missing_is_said_in_the_guides_words() {
    let desk = Desk::open().await;
    let anna = desk.served.jumper("anna").await;
    let required = "Ticket System URL is required because one or more Jump Policies still require a ticket ID.";
    // A policy is saved without a URL, with a warning.
    let saved = desk
        .served
        .call(
            Method::PATCH,
            &format!("jump-policy/{}", desk.policy),
            Some(json!({"description": "for changes"})),
        )
        .await;
    assert_eq!(saved.status(), 200);
    assert_eq!(
        crate::served::header(&saved, "x-gatebook-warning").as_deref(),
        Some(required)
    );
    let start = async || anna.post("sessions", desk.wish("T1")).await;
    assert_eq!(
        start().await.1["message"],
        "No ticket system URL is configured. Please contact your administrator"
    );
    desk.set(json!({"url": "https://tickets.example.com/"}))
        .await;
    assert_eq!(start().await.1["message"], "User Prompt Not Configured.");
    let (status, body) = desk.try_set(json!({"url": ""})).await;
    assert_eq!((status, &body["errors"]["url"][0]), (422, &json!(required)));
    let (_, body) = desk
        .try_set(json!({"url": "http://tickets.example.com/", "sensitive": true}))
        .await;
    assert_eq!(
        body["errors"]["url"][0],
        "The Ticket System URL must start with \"https://\" when the Ticket ID is sensitive."
    );
    let (_, body) = desk
        .try_set(json!({"sensitive": true, "ignore_certificate_errors": true}))
        .await;
    assert_eq!(
        body["errors"]["ignore_certificate_errors"][0],
        "Cannot ignore SSL errors when the Ticket ID is sensitive."
    );
    assert_eq!(desk.try_set(json!({"url": "ftp://tickets/"})).await.0, 422);
    let now = desk
        .served
        .call(
            Method::PATCH,
            &format!("jump-policy/{}", desk.policy),
            Some(json!({"description": "for all changes"})),
        )
        .await;
    assert_eq!(crate::served::header(&now, "x-gatebook-warning"), None);
}

/// Everything that is logged in this process.
#[derive(Clone, Default)]
struct LogLines(Arc<Mutex<Vec<u8>>>);

impl Write for LogLines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn holds(text: &[u8], canary: &str) -> bool {
    text.windows(canary.len())
        .any(|window| window.eq_ignore_ascii_case(canary.as_bytes()))
}

/// TICK-11 TICK-10, threat C: a sensitive ticket ID is in no database file, log line or answer, whatever becomes of it.
#[tokio::test]
async fn threat_c_a_sensitive_ticket_id_leaves_no_trace() {
    let lines = LogLines::default();
    let writer = lines.clone();
    let logged = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .try_init();
    let desk = Desk::open().await;
    desk.allow_loopback().await;
    let authority = Authority::new("the ticket system's");
    let folder = tempfile::tempdir().unwrap();
    let server = authority.issue(folder.path(), &["127.0.0.1"]);
    let mut system = TicketSystem::https(&server, Some(&desk.anchor)).await;
    desk.set(json!({
        "url": system.url("by-ticket"), "user_prompt": "?", "sensitive": true,
        "certificate": authority.pem(), "timeout_seconds": 2,
    }))
    .await;
    let anna = desk.served.jumper("anna").await;
    let _agent = Agent::of(&desk.served.site.engine, Conduct::Establish);
    let canary = "CANARY-5f1c0de";
    let mut answers = Vec::new();
    // The user is told to show asterisks.
    let (_, needs) = anna
        .post(
            "sessions",
            json!({"item": format!("jump_client-{}", desk.client)}),
        )
        .await;
    assert!(needs.to_string().contains("ticket"), "{needs}");
    answers.push(needs);
    for what in ["deny", "hang", "nonsense", "close", "status", "allow-plain"] {
        let ticket = format!("{what}:{canary}");
        let keyed = anna
            .request(Method::POST, "sessions")
            .header("idempotency-key", what)
            .body(desk.wish(&ticket).to_string());
        let (status, body) = answer(keyed.send().await.unwrap()).await;
        assert_eq!(status, 202, "{what}: {body}");
        let request = body["ticket_request"]["id"].as_u64().unwrap();
        answers.push(body);
        let got = system.next_with("pairs").await;
        // It did reach the ticket system.
        assert_eq!(pair(&got, "ticket_id"), ticket);
        answers.push(settled(&anna, request).await);
    }
    assert_eq!(desk.served.count("AccessSessionStarted").await, 1);
    for wrong in [
        json!({"item": "jump_client-4711", "ticket_id": canary}),
        json!({"item": 4711, "ticket_id": canary}),
        json!({"item": format!("jump_client-{}", desk.client), "ticket_id": [canary]}),
        json!({"item": format!("jump_client-{}", desk.client), "ticket_id": canary.repeat(30)}),
        json!({"item": format!("jump_client-{}", desk.client), "ticket_id": format!("{canary}\n")}),
    ] {
        let (status, body) = anna.post("sessions", wrong).await;
        assert!(status >= 400, "{body}");
        answers.push(body);
    }
    let admin = desk.served.administrator().await;
    for path in ["ticket-system", "sessions", "items"] {
        answers.push(admin.get(path).await.1);
    }
    for body in &answers {
        assert!(!holds(body.to_string().as_bytes(), canary), "{body}");
    }
    for (name, text) in desk.served.log().await {
        assert!(!holds(text.as_bytes(), canary), "{name}: {text}");
    }
    let mut files = 0;
    for file in files_below(desk.served.directory()) {
        files += 1;
        let bytes = std::fs::read(&file).unwrap();
        assert!(!holds(&bytes, canary), "{}", file.display());
    }
    assert!(files > 0, "the database has files");
    // Under a runner that gives each test a process, what was logged is ours to read.
    if logged.is_ok() {
        let lines = lines.0.lock().unwrap();
        assert!(!lines.is_empty(), "something was logged");
        assert!(!holds(&lines, canary), "it was logged");
    }
    drop(desk.folder);
}

fn files_below(folder: &std::path::Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found
}
