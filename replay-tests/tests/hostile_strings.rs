//! Hostile strings in every field that an agent can set: they come back as the texts they are, in the console's and the
//! Configuration API's JSON, in reports, and in mails.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use connector::mail::testing::MailServer;
use replay_tests::attacker::{Heard, Wire};
use replay_tests::fleet::{Fleet, SOON, installer, until};
use reqwest::Method;
use serde_json::{Value, json};

/// The interpreter that has `xmlschema`; `cargo xtask test` makes one.
const INTERPRETER: &str = "GATEBOOK_TEST_XMLSCHEMA_PYTHON";

/// Validates the documents against the schema, and prints for each all texts and attribute values that another parser than
/// ours finds.
const READ: &str = "
import json, sys, xmlschema, xml.etree.ElementTree as tree
schema = xmlschema.XMLSchema(sys.argv[1])
for path in sys.argv[2:]:
    errors = [f'{error.path} {error.reason}' for error in schema.iter_errors(path)]
    texts = []
    for element in tree.parse(path).iter():
        texts.append(element.text or '')
        texts.extend(element.attrib.values())
    print(json.dumps({'errors': errors, 'texts': texts}))
";

/// What clients are called that have no name of their own.
const INSTALLER_NAME: &str = "strangers";

/// What strangers say.
fn corpus() -> Vec<(&'static str, String)> {
    let texts = [
        ("a script", "<script>alert(document.cookie)</script>"),
        (
            "the end of an attribute",
            "\"><img src=x onerror='alert(1)'>",
        ),
        ("the end of a section", "]]></name><name>root<![CDATA["),
        ("a comment", "--><!-- <?xml version=\"1.0\"?>"),
        (
            "an entity",
            "<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]>&b;",
        ),
        ("references", "&amp;&lt;&#60;&#0;&#x1b;&nbsp;&unknown;"),
        ("macros", "%CONTENT%%JUMP_ITEM.NAME%%USER.DISPLAY_NAME%%%"),
        ("templates", "{{7*7}}${7*7}#{7*7}<%= 7*7 %>`id`$(id)"),
        ("SQL", "'; DROP TABLE events; -- \\'"),
        (
            "an encoded word",
            "=?utf-8?q?a=0D=0ABcc:=20evil@example.com=0D=0A?=",
        ),
        (
            "escaped line ends",
            "a%0d%0aBcc: evil@example.com\\r\\nX-Evil: 1",
        ),
        ("header", "Bcc: evil@example.com"),
        ("right to left", "\u{202e}gpj.exe\u{202c}\u{2066}\u{200f}"),
        ("lone marks", "\u{301}\u{308}\u{20dd}\u{fe0f}"),
        (
            "nothing to see",
            "\u{feff}\u{200b}\u{200d}\u{2060}\u{e0041}",
        ),
        ("other line ends", "a\u{2028}b\u{2029}c"),
        ("no characters", "\u{fdd0}\u{1fffe}\u{10ffff}\u{fffd}"),
        ("a formula", "=cmd|' /C calc'!A0"),
        ("a path", "../../../../etc/passwd\\..\\..\\boot.ini"),
        ("case that grows", "\u{130}\u{df}\u{149}\u{fb03}\u{1e9e}"),
        (
            "stacked marks",
            "Z\u{351}\u{36b}\u{343}\u{36a}\u{302}\u{301}A\u{334}\u{335}",
        ),
    ];
    let mut corpus: Vec<_> = texts.map(|(name, text)| (name, text.to_owned())).into();
    corpus.push(("long", "\u{1f5ff}".repeat(128)));
    corpus
}

/// Whether a text may be the name of a client: one line that reads one way, and can be seen.
fn may_be_a_name(text: &str) -> bool {
    !text.contains(|letter| {
        matches!(
            letter,
            '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}' | '\u{2066}'..='\u{2069}'
                | '\u{feff}'
        )
    })
}

/// What a client is called that says this text everywhere: as the installer says, where the text may not be a name.
fn name_of(text: &str) -> &str {
    if may_be_a_name(text) {
        text
    } else {
        INSTALLER_NAME
    }
}

/// An agent that says one text everywhere.
struct Stranger {
    text: String,
    client: u64,
    /// While this holds, sessions come up; after that they fail, with the text as the reason.
    willing: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Stranger {
    fn register(fleet: &Fleet, key: &str, text: &str) -> Result<Self> {
        let short: String = text.chars().take(64).collect();
        let facts = json!({
            "hostname": text, "fqdn": text, "operating_system": text, "console_user": text,
            "machine_id": short, "time_zone": short, "private_ip": "10.1.2.3",
        });
        let mut overrides = json!({
            "comments": format!("{text}\r\n\t{text}\nX-Injected: 1"),
        });
        for field in ["name", "tag"] {
            if may_be_a_name(text) {
                overrides[field] = json!(text);
                continue;
            }
            let said = json!({"overrides": {field: text}});
            let (_, refused) = Wire::register(&fleet.site, key, &said, &facts)?;
            ensure!(
                refused["code"] == "override_not_allowed",
                "{field} {text:?}: {refused}"
            );
        }
        let said = json!({"overrides": overrides});
        let (mut wire, welcome) = Wire::register(&fleet.site, key, &said, &facts)?;
        ensure!(welcome["type"] == "welcome", "{text:?}: {welcome}");
        wire.say(&json!({"type": "token_stored"}))?;
        let figures = json!({"disks": [{"mount": text, "total_bytes": 1, "free_bytes": 1}]});
        wire.say(&json!({"type": "check_in", "sequence": 1, "figures": figures}))?;
        let (willing, over) = (
            Arc::new(AtomicBool::new(true)),
            Arc::new(AtomicBool::new(false)),
        );
        let live = {
            let (text, willing, over) = (text.to_owned(), Arc::clone(&willing), Arc::clone(&over));
            move || live(wire, &text, &willing, &over)
        };
        Ok(Self {
            text: text.to_owned(),
            client: welcome["client_id"].as_u64().context("a client")?,
            willing,
            over,
            thread: Some(std::thread::spawn(live)),
        })
    }

    fn leave(mut self) -> Result<()> {
        self.over.store(true, Ordering::SeqCst);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(lived)) => lived,
            _ => bail!("a stranger fell over"),
        }
    }
}

fn live(mut wire: Wire, text: &str, willing: &AtomicBool, over: &AtomicBool) -> Result<()> {
    while !over.load(Ordering::SeqCst) {
        let frame = match wire.hear(Duration::from_millis(20))? {
            Heard::Nothing => continue,
            Heard::Closed(code) => bail!("{text:?} was closed with {code:?}"),
            Heard::Frame(frame) => frame,
        };
        let lsid = &frame["lsid"];
        let answer = match frame["type"].as_str().context("a type")? {
            "ping" => json!({"type": "pong", "nonce": frame["nonce"]}),
            "start_session" if willing.load(Ordering::SeqCst) => {
                json!({"type": "session_started", "lsid": lsid})
            }
            "start_session" => {
                json!({"type": "session_failed", "lsid": lsid, "reason": "internal", "detail": text})
            }
            "end_session" => json!({"type": "session_ended", "lsid": lsid, "reason": "asked"}),
            _ => continue,
        };
        wire.say(&answer)?;
    }
    Ok(())
}

/// A fleet whose installer takes every override, with a policy that tells a manager of start and end.
async fn told_fleet(fleet: &Fleet, mails: &MailServer) -> Result<String> {
    let settings = json!({
        "host": "localhost", "port": mails.port, "encryption": "none",
        "from_address": "gatebook@example.com",
    });
    let path = "/api/console/v1/mail-settings";
    fleet
        .administrator
        .send(Method::PATCH, path, &settings)
        .await?;
    let policy = json!({
        "display_name": "Told", "code_name": "told", "schedule_enabled": false,
        "session_start_notification": true, "session_end_notification": true,
        "notification_display_name": "Manager",
        "notification_email_addresses": ["manager@example.com"],
    });
    let path = "/api/config/v1/jump-policy";
    let policy = fleet.api.send(Method::POST, path, &policy).await?;
    let body = json!({
        "name": INSTALLER_NAME, "jump_group_id": fleet.group, "jump_policy_id": policy["id"],
        "allow_override_name": true, "allow_override_tag": true, "allow_override_comments": true,
    });
    installer(&fleet.api, body).await
}

/// What a stranger said of its machine, as each surface names it.
fn facts_are(row: &Value, text: &str, surface: &str) -> Result<()> {
    for field in [
        "name",
        "tag",
        "hostname",
        "operating_system",
        "console_user",
        "fqdn",
    ] {
        let Some(value) = row.get(field) else {
            ensure!(surface != "details", "{surface} without {field}: {row}");
            continue;
        };
        let expected = match field {
            "name" => name_of(text),
            "tag" if !may_be_a_name(text) => "",
            _ => text,
        };
        ensure!(value == expected, "{surface}, {field}: {value} of {text:?}");
    }
    Ok(())
}

/// Threat K: in the list, in the details, by search, in the Configuration API, each as it was said.
async fn json_is_harmless(fleet: &Fleet, stranger: &Stranger) -> Result<()> {
    let text = &stranger.text;
    let id = format!("jump_client-{}", stranger.client);
    let rows = fleet.items().await?;
    let row = rows.iter().find(|row| row["id"] == id);
    facts_are(row.context("a row")?, text, "list")?;

    let path = format!("/api/console/v1/items/{id}");
    let answer = fleet.anna.request(Method::GET, &path).send().await?;
    let header = |name: &str| {
        let value = answer.headers().get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    // No browser takes it for a page.
    ensure!(header("content-type").starts_with("application/json"));
    ensure!(header("x-content-type-options") == "nosniff");
    let details: Value = answer.json().await?;
    facts_are(&details, text, "details")?;
    let comments = details["comments"].as_str().context("comments")?;
    ensure!(comments.matches(text.as_str()).count() == 2, "{comments}");
    ensure!(
        details["figures"]["disks"][0]["mount"] == **text,
        "{details}"
    );

    let path = format!("/api/config/v1/jump-client/{}", stranger.client);
    facts_are(&fleet.api.get(&path).await?, text, "configuration")?;

    // And it is found by what it said.
    let base = "http://site/api/console/v1/items?per_page=500";
    let asked = reqwest::Url::parse_with_params(base, [("search", text)])?;
    let path = format!("{}?{}", asked.path(), asked.query().context("a query")?);
    let found = fleet.anna.get(&path).await?;
    let ids: Vec<&Value> = found["items"]
        .as_array()
        .context("rows")?
        .iter()
        .map(|row| &row["id"])
        .collect();
    ensure!(ids.contains(&&json!(id)), "{text:?} is not found: {found}");
    Ok(())
}

/// The texts of reports as Python's parser reads them, each valid against the schema that the server serves.
async fn reports_of(fleet: &Fleet, lsids: &[String]) -> Result<Vec<Vec<String>>> {
    let folder = fleet.database.directory().join("reports");
    std::fs::create_dir_all(&folder)?;
    let schema = fleet.api.text("/api/reporting.xsd").await?;
    std::fs::write(folder.join("schema.xsd"), schema)?;
    let mut arguments = vec!["schema.xsd".to_owned()];
    for lsid in lsids {
        let path = format!("/api/reporting?generate_report=AccessSession&lsid={lsid}");
        let report = fleet.api.text(&path).await?;
        ensure!(!report.contains("<script"), "{report}");
        let name = format!("{lsid}.xml");
        std::fs::write(folder.join(&name), report)?;
        arguments.push(name);
    }
    let path = "/api/reporting?generate_report=AccessSessionListing&start_time=0&duration=0";
    std::fs::write(folder.join("listing.xml"), fleet.api.text(path).await?)?;
    arguments.push("listing.xml".to_owned());
    read_xml(&folder, &arguments)
}

fn read_xml(folder: &Path, arguments: &[String]) -> Result<Vec<Vec<String>>> {
    let python = std::env::var(INTERPRETER).with_context(|| {
        format!("{INTERPRETER} is not set: run cargo xtask test, it makes a Python")
    })?;
    let output = Command::new(python)
        .current_dir(folder)
        .args(["-I", "-c", READ])
        .args(arguments)
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let said = String::from_utf8(output.stdout)?;
    said.lines()
        .map(|line| {
            let read: Value = serde_json::from_str(line)?;
            ensure!(read["errors"] == json!([]), "not valid: {}", read["errors"]);
            Ok(serde_json::from_value(read["texts"].clone())?)
        })
        .collect()
}

/// No header that we did not write, the subject with the name as it is, and a body in which nothing of it is markup.
fn mail_is_harmless(mail: &Value, text: &str, event: &str) -> Result<()> {
    let headers: BTreeMap<String, String> = serde_json::from_value(mail["headers"].clone())?;
    let names: Vec<&str> = headers.keys().map(String::as_str).collect();
    ensure!(
        names
            == [
                "auto-submitted",
                "content-transfer-encoding",
                "content-type",
                "date",
                "from",
                "message-id",
                "mime-version",
                "subject",
                "to",
            ]
            || names
                == [
                    "auto-submitted",
                    "content-transfer-encoding",
                    "content-type",
                    "date",
                    "from",
                    "message-id",
                    "subject",
                    "to",
                ],
        "{text:?}: {names:?}"
    );
    ensure!(
        mail["to"] == json!(["manager@example.com"]),
        "{text:?}: {mail}"
    );
    let subject = mail["subject"].as_str().context("a subject")?;
    let wanted = format!("Session {event} Notification - {text}");
    ensure!(subject == wanted, "{subject:?} and not {wanted:?}");
    let body = mail["body"].as_str().context("a body")?;
    let escaped = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;");
    ensure!(body.contains(&escaped), "{text:?} is not in {body}");
    if escaped != text {
        ensure!(!body.contains(text), "{text:?} is markup in {body}");
    }
    Ok(())
}

/// Threat K, threat L, threat P: every field that an agent can set, into every place where it shows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_threat_k_hostile_strings_of_agents_come_back_harmless() -> Result<()> {
    let mut mails = MailServer::plain().await;
    let (fleet, server) = Fleet::begin().await?;
    let key = told_fleet(&fleet, &mails).await?;
    let mut strangers = Vec::new();
    let mut lsids = Vec::new();
    for (name, text) in corpus() {
        let stranger = Stranger::register(&fleet, &key, &text).context(name)?;
        let id = format!("jump_client-{}", stranger.client);
        let path = format!("/api/console/v1/items/{id}");
        until("its figures are there", async || {
            Ok(fleet.anna.get(&path).await?["figures"].is_object())
        })
        .await
        .context(name)?;
        json_is_harmless(&fleet, &stranger).await.context(name)?;

        let wish = json!({"item": id, "notification_consent": true});
        let sessions = "/api/console/v1/sessions";
        let session = fleet
            .anna
            .send(Method::POST, sessions, &wish)
            .await
            .context(name)?;
        let lsid = session["lsid"].as_str().context("an lsid")?.to_owned();
        let mail = tokio::time::timeout(SOON, mails.mail()).await?;
        mail_is_harmless(&mail, name_of(&text), "Start").context(name)?;
        fleet.end(&lsid).await?;
        let mail = tokio::time::timeout(SOON, mails.mail()).await?;
        mail_is_harmless(&mail, name_of(&text), "End").context(name)?;
        lsids.push(lsid);

        // The next one fails, with the text as its reason: the user gets our words, and the log keeps theirs as a text.
        stranger.willing.store(false, Ordering::SeqCst);
        let (status, said) = fleet
            .anna
            .ask(Method::POST, sessions, &wish)
            .await
            .context(name)?;
        ensure!(status >= 400, "{name}: {said}");
        let words = "An internal error occurred while spawning the access session.";
        ensure!(said["message"] == words, "{name}: {said}");
        strangers.push((name, stranger));
    }

    let reports = reports_of(&fleet, &lsids).await?;
    for ((name, stranger), texts) in strangers.iter().zip(&reports) {
        let count = texts.iter().filter(|text| **text == stranger.text).count();
        // Name, host name, operating system and user of the machine.
        ensure!(count >= 3, "{name}: {texts:?}");
    }
    for (_, stranger) in strangers {
        stranger.leave()?;
    }
    server.stop()
}

/// Threat L: a control character, or a character that XML 1.0 can't carry, is refused in every field that an agent can set.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threat_l_control_characters_are_refused_in_every_field() -> Result<()> {
    let mails = MailServer::plain().await;
    let (fleet, server) = Fleet::begin().await?;
    let key = told_fleet(&fleet, &mails).await?;
    let fields = [
        "hostname",
        "fqdn",
        "operating_system",
        "console_user",
        "machine_id",
        "time_zone",
    ];
    for bad in [
        "\0",
        "\u{1b}[31m",
        "\r",
        "\n",
        "\t",
        "\u{7f}",
        "\u{85}",
        "\u{9b}",
        "\u{fffe}",
        "\u{ffff}",
    ] {
        let text = format!("a{bad}b");
        for field in fields {
            refused_in_hello(&fleet, &key, &json!({}), &json!({field: text}))
                .with_context(|| format!("{bad:?} in {field}"))?;
        }
        for field in ["name", "tag", "comments"] {
            if field == "comments" && ["\r", "\n", "\t"].contains(&bad) {
                continue;
            }
            let overrides = json!({"overrides": {field: text}});
            refused_in_hello(&fleet, &key, &overrides, &json!({}))
                .with_context(|| format!("{bad:?} in {field}"))?;
        }
        let (mut wire, _) = Wire::register(&fleet.site, &fleet.key, &json!({}), &json!({}))?;
        let figures = json!({"disks": [{"mount": text}]});
        wire.say(&json!({"type": "check_in", "sequence": 1, "figures": figures}))?;
        ensure!(wire.closed()? == Some(4400), "{bad:?} in a mount");
        let (mut wire, _) = Wire::register(&fleet.site, &fleet.key, &json!({}), &json!({}))?;
        wire.say(
            &json!({"type": "session_failed", "lsid": "a", "reason": "internal", "detail": text}),
        )?;
        ensure!(wire.closed()? == Some(4400), "{bad:?} in a detail");
    }
    // A surrogate alone is no character at all.
    let mut wire = Wire::upgrade(&fleet.site)?;
    let lone = br#"{"type":"session_failed","lsid":"a","reason":"internal","detail":"\ud800"}"#;
    wire.send(&replay_tests::attacker::frame(
        replay_tests::attacker::FINAL | replay_tests::attacker::TEXT,
        lone,
    ))?;
    ensure!(wire.closed()? == Some(4400));
    server.stop()
}

fn refused_in_hello(fleet: &Fleet, key: &str, more: &Value, facts: &Value) -> Result<()> {
    let mut wire = Wire::upgrade(&fleet.site)?;
    wire.say(&replay_tests::attacker::register_hello(key, more, facts)?)?;
    let closed = wire.closed()?;
    ensure!(closed == Some(4400), "{closed:?}");
    Ok(())
}
