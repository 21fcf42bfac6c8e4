//! Mail settings, templates and the outbox over HTTP, with a real mail server where one is needed.

use std::sync::Arc;
use std::time::Duration;

use connector::mail::testing::MailServer;
use connector::mail::{Languages, MAIL, Outbox, OutboxSetup, Patience};
use eventstore::{Fence, NodeEpoch};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::served::Served;
use crate::visit::Visitor;

/// The outbox of a served site, until it is dropped.
struct Running {
    _lease: watch::Sender<Option<Fence>>,
    _stop: watch::Sender<bool>,
}

async fn outbox(served: &Served) -> Running {
    let engine = served.site.engine.clone();
    let fence = engine
        .store()
        .take_lease(MAIL, NodeEpoch(1), Fence(0))
        .await
        .expect("the lease");
    let (lease, held) = watch::channel(fence);
    let (stop, stopped) = watch::channel(false);
    let outbox = Outbox::new(OutboxSetup {
        engine,
        sealer: Arc::clone(&served.site.sealer),
        languages: Arc::new(Languages::shipped()),
        url: "https://access.example.com".to_owned(),
        patience: Patience::default(),
        installer_path: api::download::link::path,
    });
    tokio::spawn(outbox.run(held, stopped));
    Running {
        _lease: lease,
        _stop: stop,
    }
}

async fn configure(admin: &Visitor<'_>, server: &MailServer) {
    let settings = json!({
        "host": "127.0.0.1", "port": server.port, "encryption": "none",
        "from_address": "gatebook@example.com",
    });
    let (status, told) = admin.patch("mail-settings", settings).await;
    assert_eq!(status, 200, "{told}");
}

/// POL-30, threat C
#[tokio::test]
async fn settings_are_changed_and_the_password_never_comes_back() {
    let served = Served::start().await;
    let admin = served.administrator().await;
    let (status, settings) = admin.get("mail-settings").await;
    assert_eq!((status, &settings["host"]), (200, &json!("")));
    assert_eq!(settings["password_set"], false);
    let body = json!({
        "host": "mail.example.com", "from_address": "gatebook@example.com",
        "username": "gatebook", "password": "canary-mail-password",
    });
    let (status, settings) = admin.patch("mail-settings", body).await;
    assert_eq!(status, 200, "{settings}");
    assert_eq!(settings["password_set"], true);
    assert_eq!(settings.get("password"), None);
    let before = settings.clone();
    assert_eq!(
        admin.patch("mail-settings", settings).await,
        (200, before),
        "what was read can be sent back"
    );
    for (_, text) in served.log().await {
        assert!(!text.contains("canary-mail-password"), "{text}");
    }
    for (body, field) in [
        (json!({"port": 0}), "port"),
        (json!({"encryption": "some"}), "encryption"),
        (json!({"encryption": "none"}), "encryption"),
        (json!({"from_address": "nobody"}), "from_address"),
        (
            json!({"certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"}),
            "certificate",
        ),
        (json!({"password": null}), "password"),
        (json!({"password": ""}), "password"),
        (json!({"password": "a\nb"}), "password"),
        (json!({"smtp": "x"}), "smtp"),
    ] {
        let (status, told) = admin.patch("mail-settings", body.clone()).await;
        assert_eq!(status, 422, "{body} {told}");
        assert!(told["errors"][field].is_array(), "{body} {told}");
    }
    let anna = served.user("anna", json!({})).await;
    assert_eq!(anna.get("mail-settings").await.0, 403);
}

/// POL-44, POL-48
#[tokio::test]
async fn templates_are_edited_per_language_and_put_back() {
    let served = Served::start().await;
    let admin = served.administrator().await;
    let (status, all) = admin.get("mail-templates").await;
    assert_eq!(status, 200);
    let names: Vec<String> = all["templates"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|template| format!("{} {}", template["kind"], template["language"]))
        .collect();
    assert_eq!(
        names,
        [
            "\"notification\" \"de\"",
            "\"notification\" \"en-us\"",
            "\"approval\" \"de\"",
            "\"approval\" \"en-us\""
        ]
    );
    let path = "mail-templates/notification/en-us";
    let (_, shipped) = admin.get(path).await;
    assert_eq!(
        shipped["subject"],
        "Session %EVENT.NAME% Notification - %JUMP_ITEM.NAME%"
    );
    assert_eq!(shipped["as_shipped"], true);
    let text = json!({"subject": "Now: %EVENT.NAME%", "body": "<p>%JUMP_ITEM.NAME%</p>"});
    let (status, set) = admin.put(path, text.clone()).await;
    assert_eq!((status, &set["as_shipped"]), (200, &json!(false)));
    assert_eq!(admin.get(path).await, (200, set.clone()));
    assert_eq!(admin.put(path, set.clone()).await, (200, set));
    assert_eq!(
        admin.put("mail-templates/notification/fr", text).await.0,
        200
    );
    assert_eq!(admin.delete("mail-templates/notification/fr").await.0, 204);
    assert_eq!(admin.get("mail-templates/notification/fr").await.0, 404);
    assert_eq!(admin.delete("mail-templates/notification/fr").await.0, 404);
    assert_eq!(admin.delete(path).await.0, 204);
    assert_eq!(admin.get(path).await, (200, shipped));
    for (path, body, field) in [
        (path, json!({"subject": "%SECRET%", "body": "x"}), "subject"),
        (path, json!({"subject": "x"}), "body"),
        (path, json!({"subject": 1, "body": "x"}), "subject"),
        (
            "mail-templates/approval/de",
            json!({"subject": "x", "body": "no link"}),
            "body",
        ),
        (
            path,
            json!({"subject": "x", "body": "x", "script": "x"}),
            "script",
        ),
    ] {
        let (status, told) = admin.put(path, body).await;
        assert_eq!(status, 422, "{told}");
        assert!(told["errors"][field].is_array(), "{told}");
    }
    for path in [
        "mail-templates/letter/de",
        "mail-templates/approval/..%2Fde",
        "mail-templates/approval/fr",
    ] {
        assert_eq!(admin.get(path).await.0, 404, "{path}");
    }
}

/// POL-30: a test mail says at once whether the settings are right.
#[tokio::test(flavor = "multi_thread")]
async fn a_test_mail_says_what_became_of_it() {
    let served = Served::start().await;
    let admin = served.administrator().await;
    let mail = json!({"recipient": "boss@example.com", "language": "de"});
    let (status, told) = admin.post("mail-settings/test", mail.clone()).await;
    assert_eq!(
        (status, &told["message"]),
        (409, &json!("No mail server is configured."))
    );
    let mut server = MailServer::plain().await;
    configure(&admin, &server).await;
    let _outbox = outbox(&served).await;
    let (status, told) = admin.post("mail-settings/test", mail).await;
    assert_eq!(
        (status, &told["state"]),
        (200, &json!("delivered")),
        "{told}"
    );
    let mail = server.mail().await;
    assert_eq!(mail["subject"], "Test-E-Mail");
    let mail = json!({"recipient": "refused@example.com"});
    let (status, told) = admin.post("mail-settings/test", mail).await;
    assert_eq!((status, &told["state"]), (200, &json!("parked")), "{told}");
    assert!(
        told["reason"]
            .as_str()
            .expect("why")
            .contains("no such user here")
    );
    for (body, field) in [
        (json!({}), "recipient"),
        (json!({"recipient": "nobody"}), "recipient"),
        (
            json!({"recipient": "a@example.com", "language": "German"}),
            "language",
        ),
        (json!({"recipient": "a@example.com", "text": "x"}), "text"),
    ] {
        let (status, told) = admin.post("mail-settings/test", body).await;
        assert_eq!(status, 422, "{told}");
        assert!(told["errors"][field].is_array(), "{told}");
    }
}

/// INST-16, INST-63: the Direct Download Link comes by mail, to each recipient the same, and is in no answer and no event of
/// the mail.
#[tokio::test(flavor = "multi_thread")]
async fn an_installers_link_comes_by_mail() {
    let served = Served::start().await;
    let admin = served.administrator().await;
    let group = served.group("Web servers").await;
    served
        .permit(admin.id, json!({"unassigned_jump_item_role_id": 3}))
        .await;
    let (status, installer) = admin
        .post("jump-client-installers", json!({"jump_group_id": group}))
        .await;
    assert_eq!(status, 201, "{installer}");
    let path = format!("jump-client-installers/{}/mail", installer["id"]);
    let body = json!({
        "recipients": ["ann@example.com", "bob@example.com", "ANN@example.com"],
        "platform": "linux-64-headless", "language": "en-us",
    });
    let (status, told) = admin.post(&path, body.clone()).await;
    assert_eq!((status, &told["code"]), (409, &json!("no_mail_server")));
    let mut server = MailServer::plain().await;
    configure(&admin, &server).await;
    let _outbox = outbox(&served).await;
    let (status, told) = admin.post(&path, body).await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(told["mails"].as_array().map(Vec::len), Some(2));
    assert_eq!(told["warnings"], json!([]));
    let link = format!(
        "{}/linux-64-headless",
        installer["direct_download_link"].as_str().expect("a link")
    );
    assert!(
        link.starts_with("https://access.example.com/download/"),
        "{link}"
    );
    let mut to = Vec::new();
    for _ in 0..2 {
        let mail = server.mail().await;
        assert_eq!(mail["subject"], "Jump Client Installer");
        let body = mail["body"].as_str().expect("a body");
        assert!(body.contains(&format!("<a href=\"{link}\">")), "{body}");
        assert!(body.contains("headless Linux"), "{body}");
        to.push(mail["to"][0].as_str().expect("an address").to_owned());
    }
    to.sort_unstable();
    assert_eq!(to, ["ann@example.com", "bob@example.com"]);
    assert!(!told.to_string().contains("/download/"));
    let token = link.split('/').nth(4).expect("a token");
    for (_, text) in served.log().await {
        assert!(!text.contains(token), "{text}");
    }
    for (body, field) in [
        (json!({"platform": "linux-64"}), "recipients"),
        (
            json!({"recipients": [], "platform": "linux-64"}),
            "recipients",
        ),
        (
            json!({"recipients": ["nobody"], "platform": "linux-64"}),
            "recipients",
        ),
        (
            json!({"recipients": [7], "platform": "linux-64"}),
            "recipients",
        ),
        (json!({"recipients": ["a@example.com"]}), "platform"),
        (
            json!({"recipients": ["a@example.com"], "platform": "amiga"}),
            "platform",
        ),
        (
            json!({"recipients": ["a@example.com"], "platform": "linux-64", "language": "German"}),
            "language",
        ),
        (
            json!({"recipients": ["a@example.com"], "platform": "linux-64", "text": "x"}),
            "text",
        ),
        (
            json!({"recipients": vec!["a@example.com"; 51], "platform": "linux-64"}),
            "recipients",
        ),
    ] {
        let (status, told) = admin.post(&path, body).await;
        assert_eq!(status, 422, "{told}");
        assert!(told["errors"][field].is_array(), "{told}");
    }
}

/// INST-16: a mail that waited for longer than its installer is good does not leave: its link would be of no use.
#[tokio::test(flavor = "multi_thread")]
async fn the_link_of_an_installer_that_is_gone_is_not_mailed() {
    let served = Served::start().await;
    let admin = served.administrator().await;
    let group = served.group("Web servers").await;
    served
        .permit(admin.id, json!({"unassigned_jump_item_role_id": 3}))
        .await;
    let server = MailServer::plain().await;
    configure(&admin, &server).await;
    let (_, installer) = admin
        .post("jump-client-installers", json!({"jump_group_id": group}))
        .await;
    let path = format!("jump-client-installers/{}", installer["id"]);
    let body = json!({"recipients": ["ann@example.com"], "platform": "linux-64"});
    assert_eq!(admin.post(&format!("{path}/mail"), body).await.0, 200);
    assert_eq!(admin.delete(&path).await.0, 204);
    let _outbox = outbox(&served).await;
    until(|| async {
        let (_, parked) = admin.get("mail-deliveries?state=parked").await;
        parked[0]["reason"] == "The installer is not valid."
    })
    .await;
}

/// POL-31: an administrator sees at once what has not left and why, and has it tried again.
#[tokio::test(flavor = "multi_thread")]
async fn mails_that_have_not_left_are_seen_replayed_and_given_up() {
    let served = Served::start().await;
    let admin = served.administrator().await;
    let mut server = MailServer::plain().await;
    configure(&admin, &server).await;
    let _outbox = outbox(&served).await;
    for manner in ["refused", "refused.too", "greylisted"] {
        let mail = json!({"recipient": format!("{manner}@example.com")});
        assert_eq!(admin.post("mail-settings/test", mail).await.0, 200);
        server.difficult().await;
    }
    let (status, all) = admin.get("mail-deliveries").await;
    assert_eq!((status, all.as_array().map(Vec::len)), (200, Some(3)));
    let (_, waiting) = admin.get("mail-deliveries?state=waiting").await;
    assert_eq!(waiting[0]["recipient"], "greylisted@example.com");
    assert!(waiting[0]["next_attempt_at"].is_string() && waiting[0]["parked_at"].is_null());
    let (_, parked) = admin.get("mail-deliveries?state=parked").await;
    assert_eq!(parked.as_array().map(Vec::len), Some(2));
    assert_eq!(admin.get("mail-deliveries?state=gone").await.0, 422);
    let path = |mail: &Value| format!("mail-deliveries/{}", mail["id"].as_str().expect("an id"));

    let one = path(&parked[0]);
    assert_eq!(admin.get(&one).await, (200, parked[0].clone()));
    assert_eq!(
        admin
            .send(Method::POST, &format!("{one}/replay"), None)
            .await
            .status(),
        204
    );
    server.difficult().await;
    // Greylisted no more, and hurried by a person.
    let hurried = format!("{}/replay", path(&waiting[0]));
    assert_eq!(admin.send(Method::POST, &hurried, None).await.status(), 204);
    assert_eq!(server.mail().await["to"], json!(["greylisted@example.com"]));

    until(|| async {
        let (_, parked) = admin.get("mail-deliveries?state=parked").await;
        parked.as_array().map(Vec::len) == Some(2)
    })
    .await;
    let (status, told) = admin.post("mail-deliveries/replay", json!({})).await;
    assert_eq!((status, &told["replayed"]), (200, &json!(2)), "{told}");
    server.difficult().await;
    server.difficult().await;
    assert_eq!(admin.delete(&one).await.0, 204);
    assert_eq!(admin.delete(&one).await.0, 404);
    assert_eq!(admin.get(&one).await.0, 404);
    assert_eq!(admin.get("mail-deliveries/nonsense").await.0, 404);
}

async fn until<F: Future<Output = bool>>(is_so: impl Fn() -> F) {
    for _ in 0..300 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it does not become so");
}
