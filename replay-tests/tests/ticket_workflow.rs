//! The ticket-ID workflow of the Jump Client Guide's appendix, scenario S4, step by step over HTTP: with a real agent, a real ticket
//! system that answers by itself over HTTPS, and a real mail server.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use connector::mail::testing::MailServer;
use connector::testing::{Authority, TicketSystem};
use domain::time::SECOND;
use replay_tests::caller::Caller;
use replay_tests::stage::{OpenPage, Stage, end, no_jump, until};
use reqwest::Method;
use serde_json::{Value, json};

/// The role that comes with the site.
const ADMINISTRATOR: u64 = 3;
const SESSIONS: &str = "/api/console/v1/sessions";
const TICKETS: &str = "/api/console/v1/ticket-system";
const MANAGER: &str = "manager@example.com";
/// What a user is told where no URL is set (ERR-27).
const NO_URL: &str = "No ticket system URL is configured. Please contact your administrator";
/// What a ticket system is told of an answer to what nobody asks (TICK-37).
const NOT_VALID: &str = "The request_id is not valid.";
/// A ticket ID that is no secret.
const VISIBLE: &str = "T3-visible-5d02";
/// A sensitive ticket ID, as it would be found wherever it was left.
const CANARY: &str = "CANARY-7c41e09d";

/// A site with one machine under a policy that asks for a ticket, and a user who may start there.
struct Desk {
    stage: Stage,
    item: String,
    policy: u64,
    anna: Caller,
    anna_id: u64,
}

impl Desk {
    /// Step 1, first half: the policy, with no URL anywhere.
    async fn open() -> Result<Self> {
        let mut stage = Stage::open("2026-03-05T10:00:00Z").await?;
        let policy = json!({
            "display_name": "Change Controlled", "schedule_enabled": false, "ticket_id_required": true,
        });
        let policy = stage.id_of_new("jump-policy", policy).await?;
        let group = json!({"name": "Web Servers"});
        let group = stage.id_of_new("jump-group", group).await?;
        let anna_id = stage.user("anna", "anna@example.com").await?;
        let users = json!({"name": "Users", "perm_access_allowed": true, "perm_jump_client": true});
        let users = stage.id_of_new("group-policy", users).await?;
        let row = json!({"jump_group_id": group, "jump_item_role_id": ADMINISTRATOR, "jump_policy_id": policy});
        stage
            .make(&format!("group-policy/{users}/jump-group"), row)
            .await?;
        stage
            .make(
                &format!("group-policy/{users}/member"),
                json!({"user_id": anna_id}),
            )
            .await?;
        let anna = stage.sign_in("anna").await?;
        let item = stage.machine("web-1", ("shared", group), &anna).await?;
        let id = item.strip_prefix("jump_client-").context("a Jump Client")?;
        let labels = json!({"tag": "blue", "comments": "in the cellar"});
        let path = format!("/api/config/v1/jump-client/{id}");
        stage.api.send(Method::PATCH, &path, &labels).await?;
        let field = json!({"display_name": "Cost Center", "code_name": "cost_center"});
        let path = "/api/console/v1/custom-fields";
        stage.administrator.send(Method::POST, path, &field).await?;
        let path = format!("/api/console/v1/items/{item}/custom-fields");
        let value = json!({"cost_center": "4711"});
        anna.send(Method::PATCH, &path, &value).await?;
        Ok(Self {
            stage,
            item,
            policy,
            anna,
            anna_id,
        })
    }

    fn wish(&self, ticket: &str) -> Value {
        json!({"item": self.item, "ticket_id": ticket})
    }

    /// Starts with a ticket; answers the request that waits.
    async fn ask(&self, wish: &Value) -> Result<Value> {
        let (status, mut body) = self.anna.ask(Method::POST, SESSIONS, wish).await?;
        ensure!(status == 202, "{status} {body}");
        ensure!(body["ticket_request"]["state"] == "waiting", "{body}");
        Ok(body["ticket_request"].take())
    }

    /// What has become of a request, once it no longer waits.
    async fn settled(&self, request: &Value) -> Result<Value> {
        let path = format!("/api/console/v1/ticket-requests/{}", request["id"]);
        let mut told = Value::Null;
        until("the ticket request is settled", async || {
            told = self.anna.get(&path).await?;
            Ok(told["state"] != "waiting")
        })
        .await?;
        Ok(told)
    }

    /// Starts with a ticket that must be refused with these words.
    async fn refused_with(&self, ticket: &str, words: &str) -> Result<()> {
        let request = self.ask(&self.wish(ticket)).await?;
        let told = self.settled(&request).await?;
        ensure!(
            told["state"] == "refused" && told["message"] == words,
            "{told}"
        );
        Ok(())
    }

    /// Posts an answer as a ticket system does, to `/api/endpoint_approval` over HTTPS.
    async fn answer(&self, pairs: &[(&str, &str)]) -> Result<(u16, String)> {
        let url = format!("{}/api/endpoint_approval", self.response_base());
        let answer = self
            .stage
            .site
            .stranger()?
            .post(url)
            .form(pairs)
            .send()
            .await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    fn response_base(&self) -> String {
        self.stage.site.agent_url()
    }
}

/// The value of a pair of what the ticket system got, which must be there once.
fn pair<'g>(got: &'g Value, name: &str) -> Result<&'g str> {
    let pairs = got["pairs"].as_array().context("pairs")?;
    let mut found = pairs.iter().filter(|pair| pair[0] == name);
    let value = found.next().and_then(|pair| pair[1].as_str());
    ensure!(found.next().is_none(), "{name} is there twice: {got}");
    value.with_context(|| format!("no {name} in {got}"))
}

/// Step 1: without a URL nobody starts, and nobody answers.
async fn nothing_starts_without_a_url(desk: &Desk) -> Result<()> {
    no_jump(&desk.anna, &json!({"item": desk.item}), (403, NO_URL)).await?;
    no_jump(&desk.anna, &desk.wish("T1"), (403, NO_URL)).await?;
    let answer = [("response_id", "x"), ("response", "allow")];
    let (status, said) = desk.answer(&answer).await?;
    ensure!(status == 404, "{status} {said}");
    Ok(())
}

/// Step 2: the ticket system gets the form, allows by itself, and the session has what it gave.
async fn an_allowed_ticket_starts(desk: &Desk, system: &mut TicketSystem) -> Result<()> {
    let settings = json!({"url": system.url("allow"), "user_prompt": "Which change?"});
    desk.stage.set("ticket-system", settings).await?;
    let missing = "Before the session can start, it needs: ticket ID.";
    let said = no_jump(&desk.anna, &json!({"item": desk.item}), (409, missing)).await?;
    let need = json!([{"need": "ticket", "prompt": "Which change?", "sensitive": false}]);
    ensure!(said["needs"] == need, "{said}");

    let request = desk.ask(&desk.wish("T1")).await?;
    let got = system.next_with("pairs").await;
    ensure!(
        got["type"] == "application/x-www-form-urlencoded; charset=UTF-8",
        "{got}"
    );
    let item = desk
        .anna
        .get(&format!("/api/console/v1/items/{}", desk.item))
        .await?;
    let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
    for (name, value) in [
        ("ticket_id", "T1".to_owned()),
        (
            "response_url",
            format!("{}/api/endpoint_approval", desk.response_base()),
        ),
        ("jump_item.computer_name", text("hostname")),
        ("jump_item.type", "client".to_owned()),
        ("jump_item.comments", "in the cellar".to_owned()),
        ("jump_item.group", "Web Servers".to_owned()),
        ("jump_item.tag", "blue".to_owned()),
        ("jump_item.public_ip", "127.0.0.1".to_owned()),
        ("jump_item.private_ip", text("private_ip")),
        ("jump_item.custom.cost_center", "4711".to_owned()),
        ("user.id", desk.anna_id.to_string()),
        ("user.username", "anna".to_owned()),
        ("user.public_display_name", "anna".to_owned()),
        ("user.private_display_name", "anna".to_owned()),
        ("user.email_address", "anna@example.com".to_owned()),
    ] {
        ensure!(pair(&got, name)? == value, "{name}: {got}, not {value}");
    }
    ensure!(!text("hostname").is_empty(), "{item}");
    ensure!(pair(&got, "jump_item.jumpoint_name").is_err(), "{got}");
    let request_id = pair(&got, "request_id")?;
    ensure!((32..=255).contains(&request_id.len()), "{request_id}");

    let answered = system.next_with("answered").await;
    ensure!(answered["answered"] == 200, "{answered}");
    let told = desk.settled(&request).await?;
    ensure!(told["state"] == "allowed", "{told}");
    let path = format!("{SESSIONS}/{}", told["lsid"].as_str().context("an lsid")?);
    let mut session = Value::Null;
    until("the session is up", async || {
        session = desk.anna.get(&path).await?;
        Ok(session["state"] == "active")
    })
    .await?;
    ensure!(session["external_key"] == "T1", "{session}");
    end(&desk.anna, &session).await
}

/// Step 3: refusals, silence, and answers that come too late or to nothing.
async fn a_refused_ticket_says_why(desk: &Desk, system: &mut TicketSystem) -> Result<()> {
    for (what, words) in [
        ("deny", "Change not approved"),
        ("deny-silent", "Invalid ticket ID."),
    ] {
        desk.stage
            .set("ticket-system", json!({"url": system.url(what)}))
            .await?;
        desk.refused_with("T2", words).await?;
        ensure!(
            system.next_with("answered").await["answered"] == 200,
            "{what}"
        );
    }
    // No answer: a minute passes.
    desk.stage
        .set("ticket-system", json!({"url": system.url("silent")}))
        .await?;
    let request = desk.ask(&desk.wish(VISIBLE)).await?;
    let got = system.next_with("pairs").await;
    let request_id = pair(&got, "request_id")?;
    let (status, said) = desk
        .answer(&[("response_id", &"0".repeat(64)), ("response", "allow")])
        .await?;
    ensure!(
        status == 403 && said.contains(NOT_VALID),
        "a wrong id: {status} {said}"
    );
    desk.stage.site.clock.advance(60 * SECOND);
    let told = desk.settled(&request).await?;
    let words = "The ticket system failed to respond in time.";
    ensure!(
        told["state"] == "refused" && told["message"] == words,
        "{told}"
    );
    let late = [("response_id", request_id), ("response", "allow")];
    let (status, said) = desk.answer(&late).await?;
    ensure!(
        status == 403 && said.contains(NOT_VALID),
        "a late answer: {status} {said}"
    );
    let log = desk.stage.site.log().await?;
    let started = log
        .iter()
        .filter(|event| event.name == "AccessSessionStarted");
    ensure!(started.count() == 1, "only T1 started something");
    // Here the ID is no secret, and is there to be found: so the search for one that is looks in the right places.
    ensure!(
        log.iter().any(|event| event.text.contains(VISIBLE)),
        "{log:#?}"
    );
    let found = files_with(desk.stage.site.database.directory(), VISIBLE)?;
    ensure!(!found.is_empty(), "no file of the database has {VISIBLE}");
    Ok(())
}

/// Everything that is logged in this process.
#[derive(Clone, Default)]
struct LogLines(Arc<Mutex<Vec<u8>>>);

impl LogLines {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for LogLines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
}

/// The files below `folder` that hold `text`.
fn files_with(folder: &Path, text: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files_with(&path, text)?);
        } else if path.is_file() && holds(&std::fs::read(&path)?, text) {
            found.push(path);
        }
    }
    Ok(found)
}

/// Step 4, first half: what does not go with a sensitive ticket ID.
async fn sensitive_needs_https(desk: &Desk) -> Result<()> {
    let words =
        "The Ticket System URL must start with \"https://\" when the Ticket ID is sensitive.";
    let body = json!({"sensitive": true});
    let (status, said) = desk
        .stage
        .administrator
        .ask(Method::PATCH, TICKETS, &body)
        .await?;
    ensure!(status == 422 && said["errors"]["url"][0] == words, "{said}");
    let body = json!({
        "url": "https://tickets.example.com/", "sensitive": true, "ignore_certificate_errors": true,
    });
    let words = "Cannot ignore SSL errors when the Ticket ID is sensitive.";
    let (status, said) = desk
        .stage
        .administrator
        .ask(Method::PATCH, TICKETS, &body)
        .await?;
    ensure!(
        status == 422 && said["errors"]["ignore_certificate_errors"][0] == words,
        "{said}"
    );
    Ok(())
}

/// Step 4, second half: starts with a sensitive ID that are allowed, denied, answered with nonsense and not answered; answers
/// everything that anybody could read of it over HTTP.
async fn sensitive_tickets_are_used(
    desk: &Desk,
    system: &mut TicketSystem,
    mails: &mut MailServer,
) -> Result<Vec<String>> {
    let mut read = Vec::new();
    let needs = json!({"item": desk.item, "notification_consent": true});
    let missing = "Before the session can start, it needs: ticket ID.";
    let said = no_jump(&desk.anna, &needs, (409, missing)).await?;
    ensure!(said["needs"][0]["sensitive"] == true, "asterisks: {said}");
    let mut lsid = String::new();
    for (what, state) in [
        ("deny", "refused"),
        ("nonsense", "refused"),
        ("status", "refused"),
        ("silent", "refused"),
        ("allow-plain", "allowed"),
    ] {
        let ticket = format!("{what}:{CANARY}");
        let wish = json!({"item": desk.item, "ticket_id": ticket, "notification_consent": true});
        let request = desk.ask(&wish).await?;
        let got = system.next_with("pairs").await;
        // It does reach the ticket system.
        ensure!(pair(&got, "ticket_id")? == ticket, "{got}");
        if what == "silent" {
            desk.stage.site.clock.advance(60 * SECOND);
        }
        let told = desk.settled(&request).await?;
        ensure!(told["state"] == state, "{what}: {told}");
        lsid = told["lsid"].as_str().unwrap_or_default().to_owned();
        read.extend([request.to_string(), told.to_string()]);
    }
    let mail = mails.mail().await;
    ensure!(
        mail["subject"] == "Session Start Notification - web-1",
        "{mail}"
    );
    read.push(mail.to_string());
    let session = jump_is_up(desk, &lsid).await?;
    for caller in [&desk.anna, &desk.stage.administrator] {
        for path in [
            SESSIONS.to_owned(),
            format!("{SESSIONS}/{lsid}"),
            "/api/console/v1/items".to_owned(),
        ] {
            read.push(caller.text(&path).await?);
        }
    }
    for path in [TICKETS, "/api/console/v1/mail-deliveries"] {
        read.push(desk.stage.administrator.text(path).await?);
    }
    end(&desk.anna, &session).await?;
    let report = format!("/api/reporting?generate_report=AccessSession&lsid={lsid}");
    let report = desk.stage.api.text(&report).await?;
    ensure!(report.contains("web-1"), "{report}");
    read.push(report);
    // What is refused before it is sent to anybody says nothing of it either.
    for wrong in [
        json!({"item": "jump_client-4711", "ticket_id": CANARY}),
        json!({"item": 4711, "ticket_id": CANARY}),
        json!({"item": desk.item, "ticket_id": [CANARY]}),
        json!({"item": desk.item, "ticket_id": CANARY.repeat(40)}),
        json!({"item": desk.item, "ticket_id": format!("{CANARY}\n")}),
    ] {
        let (status, said) = desk.anna.ask(Method::POST, SESSIONS, &wrong).await?;
        ensure!(status >= 400, "{wrong}: {said}");
        read.push(said.to_string());
    }
    Ok(read)
}

async fn jump_is_up(desk: &Desk, lsid: &str) -> Result<Value> {
    let path = format!("{SESSIONS}/{lsid}");
    let mut session = Value::Null;
    until("the session is up", async || {
        session = desk.anna.get(&path).await?;
        Ok(session["state"] == "active")
    })
    .await?;
    Ok(session)
}

/// TICK-09, TICK-10, TICK-11, TICK-12, TICK-13, TICK-14, TICK-15, TICK-16, TICK-17, TICK-18, TICK-19, TICK-20, TICK-22, TICK-23,
/// TICK-24, TICK-25, TICK-26, TICK-27, TICK-29, TICK-31, TICK-33, TICK-34, TICK-35, TICK-36, TICK-37, TICK-40, TICK-42, ERR-22,
/// ERR-23, ERR-24, ERR-26, ERR-27, threat C
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_is_asked_for_allowed_denied_and_kept_secret() -> Result<()> {
    let lines = LogLines::default();
    let writer = lines.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .try_init()
        .map_err(|error| anyhow::anyhow!("this process logs already: {error}"))?;

    // 1. A policy with a ticket, and no URL.
    let desk = Desk::open().await?;
    nothing_starts_without_a_url(&desk).await?;

    // 2. A ticket system, and a prompt.
    let networks = json!({"outbound_networks": ["127.0.0.0/8"]});
    desk.stage.set("site/settings", networks).await?;
    let anchor = desk.stage.site.anchor()?;
    let mut system = TicketSystem::http(Some(&anchor)).await;
    an_allowed_ticket_starts(&desk, &mut system).await?;

    // 3. Denied, denied without words, no answer, a late one, a wrong id.
    a_refused_ticket_says_why(&desk, &mut system).await?;

    // 4. Sensitive: refused over HTTP; over HTTPS, under an authority that was uploaded, it leaves no trace.
    sensitive_needs_https(&desk).await?;
    let mut mails = MailServer::plain().await;
    let settings = json!({
        "host": "localhost", "port": mails.port, "encryption": "none",
        "from_address": "gatebook@example.com",
    });
    desk.stage.set("mail-settings", settings).await?;
    let notify = json!({
        "session_start_notification": true, "notification_display_name": "Manager",
        "notification_email_addresses": [MANAGER],
    });
    let path = format!("/api/config/v1/jump-policy/{}", desk.policy);
    desk.stage.api.send(Method::PATCH, &path, &notify).await?;
    let authority = Authority::new("the ticket system's");
    let folder = desk.stage.site.database.directory().join("ticket-system");
    std::fs::create_dir(&folder)?;
    let server = authority.issue(&folder, &["127.0.0.1"]);
    let mut secure = TicketSystem::https(&server, Some(&anchor)).await;
    let settings = json!({
        "url": secure.url("by-ticket"), "sensitive": true, "certificate": authority.pem(),
    });
    desk.stage.set("ticket-system", settings).await?;
    let pages = [
        OpenPage::of(&desk.anna).await?,
        OpenPage::of(&desk.stage.administrator).await?,
    ];
    let mut read = sensitive_tickets_are_used(&desk, &mut secure, &mut mails).await?;
    for page in pages {
        page.says("event: session", 1).await?;
        read.push(page.said());
    }

    for text in &read {
        ensure!(!holds(text.as_bytes(), CANARY), "an answer or mail: {text}");
    }
    for event in desk.stage.site.log().await? {
        ensure!(!holds(event.text.as_bytes(), CANARY), "{event:?}");
    }
    // Once with the server up, once with everything that it still writes when it stops.
    let folder = desk.stage.site.database.directory().to_owned();
    leaves_nothing(&folder, &lines)?;
    let kept = desk.stage.close_and_keep().await?;
    leaves_nothing(kept.directory(), &lines)?;
    ensure!(
        mails.is_silent_for(Duration::from_millis(200)).await,
        "one mail"
    );
    Ok(())
}

/// No file and no line of the log holds the canary.
fn leaves_nothing(folder: &Path, lines: &LogLines) -> Result<()> {
    let found = files_with(folder, CANARY)?;
    ensure!(found.is_empty(), "it is in {found:?}");
    let lines = lines.bytes();
    ensure!(holds(&lines, "ticket"), "something of tickets was logged");
    ensure!(!holds(&lines, CANARY), "it was logged");
    Ok(())
}
