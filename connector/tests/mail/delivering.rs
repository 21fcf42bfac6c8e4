//! From the outbox to a mail server that is pleasant, or is not.

use std::time::Duration;

use connector::approver_link;
use connector::mail::testing::{MailServer, MailServerOptions};
use domain::Command;
use domain::ids::AccessRequestId;
use domain::site::mail_delivery::{self, Event, State};
use domain::time::{HOUR, MINUTE, SECOND};
use serde_json::json;

use crate::site::{PASSWORD, Site, set_template};

/// APPR-06, APPR-07, APPR-35, POL-30, POL-47, POL-54
#[tokio::test(flavor = "multi_thread")]
async fn an_approver_gets_a_mail_with_a_link_of_their_own() {
    let mut server = MailServer::plain().await;
    let site = Site::mailing(&server).await;
    let id = site.queue(1, "boss@example.com").await;
    let mail = server.mail().await;
    assert_eq!(mail["to"], json!(["boss@example.com"]));
    assert_eq!(mail["from"], "gatebook@example.com");
    assert_eq!(mail["headers"]["from"], "Gatebook <gatebook@example.com>");
    assert_eq!(mail["headers"]["auto-submitted"], "auto-generated");
    assert_eq!(
        mail["subject"],
        "Session Authorization Request 7 - web01 - Pending"
    );
    let link = approver_link::link(
        &site.sealer,
        "https://access.example.com",
        AccessRequestId(7),
        0,
        "boss@example.com",
    );
    let body = mail["body"].as_str().expect("text");
    assert!(body.contains(&format!("<a href=\"{link}\">")), "{body}");
    assert!(body.contains("disk &lt;full&gt; ü"), "{body}");
    site.until_gone(id).await;
    let told = site.story(id).await;
    assert!(
        matches!(told.as_slice(), [Event::Queued(_), Event::Delivered(_)]),
        "{told:?}"
    );
    // threat C: the link is in the mail and in no other place.
    let token = approver_link::token(&site.sealer, AccessRequestId(7), 0, "boss@example.com");
    assert!(!format!("{told:?}").contains(&token));
}

/// POL-48: what an administrator wrote is what is sent.
#[tokio::test(flavor = "multi_thread")]
async fn an_edited_template_is_sent() {
    let mut server = MailServer::plain().await;
    let site = Site::mailing(&server).await;
    let subject = "%AUTHORIZATION_REQUEST.CREATOR.DISPLAY_NAME% asks";
    site.run(set_template("approval.en_us", subject, "<b>%CONTENT%</b>"))
        .await;
    site.queue(1, "boss@example.com").await;
    let mail = server.mail().await;
    assert_eq!(mail["subject"], "Anna asks");
    assert!(
        mail["body"]
            .as_str()
            .expect("text")
            .starts_with("<b>A user asks")
    );
}

/// POL-31: a server that says "not now" is asked again later; the Message-ID stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_greylisting_server_is_asked_again() {
    let mut server = MailServer::plain().await;
    let site = Site::mailing(&server).await;
    let id = site.queue(1, "greylisted@example.com").await;
    server.difficult().await;
    let reason = site.until_failed(id, 1).await;
    assert!(
        reason.contains("450") && reason.contains("come back later"),
        "{reason}"
    );
    assert!(
        server.is_silent_for(Duration::from_millis(300)).await,
        "it is not asked again at once"
    );
    site.clock.leap(MINUTE);
    let mail = server.mail().await;
    assert_eq!(mail["to"], json!(["greylisted@example.com"]));
    site.until_gone(id).await;
}

/// POL-31: a server that dies in the middle of a mail is asked again with the same Message-ID.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_mid_mail_gets_the_same_mail_again() {
    let mut server = MailServer::plain().await;
    let site = Site::mailing(&server).await;
    let id = site.queue(0xabc, "dies@example.com").await;
    server.difficult().await;
    site.until_failed(id, 1).await;
    site.clock.leap(MINUTE);
    let mail = server.mail().await;
    let message_id = mail["message_id"].as_str().expect("an id").to_owned();
    assert!(message_id.starts_with(&format!("<{id}@")), "{message_id}");
    // The same mail queued anew, as after a lost cursor, has the same id.
    site.until_gone(id).await;
    site.queue(0xabc, "dies@example.com").await;
    assert_eq!(server.mail().await["message_id"], message_id.as_str());
}

/// POL-31: what is refused is parked with the server's words, and sent when a person asks for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_mail_is_parked_until_a_person_asks() {
    let mut server = MailServer::plain().await;
    let site = Site::mailing(&server).await;
    let id = site.queue(1, "refused@example.com").await;
    server.difficult().await;
    let reason = site.until_failed(id, 1).await;
    assert!(reason.contains("no such user here"), "{reason}");
    let is_parked = |site: &Site| {
        let published = site.engine.published();
        let delivery = published.world.mail_deliveries.get(&id).expect("there");
        matches!(delivery.state, State::Parked(_))
    };
    assert!(is_parked(&site));
    site.clock.leap(HOUR);
    assert!(server.is_silent_for(Duration::from_millis(300)).await);
    site.run(Command::MailDelivery(mail_delivery::Command::Requeue(id)))
        .await;
    server.difficult().await;
    site.until("it is parked again", |world| {
        world.parked_mails().any(|(_, parked)| parked == id)
    })
    .await;
}

/// POL-30, POL-31: without a mail server nothing waits for one, and everything can be sent once there is one.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_mails_are_parked_and_can_be_replayed() {
    let mut site = Site::without_outbox().await;
    site.begin().await;
    let ids = [
        site.queue(1, "a@example.com").await,
        site.queue(2, "b@example.com").await,
    ];
    for id in ids {
        assert_eq!(
            site.until_failed(id, 1).await,
            "No mail server is configured."
        );
    }
    let mut server = MailServer::plain().await;
    site.configure(server.port, json!({"encryption": "none"}))
        .await;
    site.run(Command::MailDelivery(mail_delivery::Command::RequeueParked))
        .await;
    server.mail().await;
    server.mail().await;
    for id in ids {
        site.until_gone(id).await;
    }
}

/// POL-31: a server that is away is tried again, by a due date of the log that outlives the outbox.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_away_gets_the_mail_after_a_new_start() {
    let away = MailServer::plain().await;
    let port = away.port;
    drop(away);
    let mut site = Site::with(port, json!({"encryption": "none"})).await;
    let id = site.queue(1, "boss@example.com").await;
    let reason = site.until_failed(id, 1).await;
    assert!(reason.contains("could not be reached"), "{reason}");
    site.end().await;
    let mut server = MailServer::start(MailServerOptions {
        mode: "none",
        port,
        ..MailServerOptions::default()
    })
    .await;
    site.clock.leap(MINUTE);
    site.begin().await;
    assert_eq!(server.mail().await["to"], json!(["boss@example.com"]));
    site.until_gone(id).await;
}

/// threat L: a server that says nothing, or never stops, costs a bounded time and memory; others are not held up by it.
#[tokio::test(flavor = "multi_thread")]
async fn threat_l_a_hostile_server_is_left() {
    let mut server = MailServer::plain().await;
    let site = Site::mailing(&server).await;
    let silent = site.queue(1, "silent@example.com").await;
    let shouting = site.queue(2, "shouts@example.com").await;
    let fine = site.queue(3, "boss@example.com").await;
    assert_eq!(server.mail().await["to"], json!(["boss@example.com"]));
    site.until_gone(fine).await;
    let reason = site.until_failed(silent, 1).await;
    assert!(reason.contains("took longer than 5 s"), "{reason}");
    let reason = site.until_failed(shouting, 1).await;
    assert!(reason.contains("more than a mail server may"), "{reason}");
}

/// POL-31: many mails to a server that hangs do not keep the log from being read.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_does_not_wait_for_the_mail_server() {
    let server = MailServer::plain().await;
    let site = Site::mailing(&server).await;
    for number in 0..20 {
        site.queue(number, &format!("silent.{number}@example.com"))
            .await;
    }
    let head = site.engine.published().tail.position;
    let store = site.engine.store();
    let reached = async {
        loop {
            let row = store.consumer("mail").await.expect("readable");
            if row.is_some_and(|row| row.cursor >= head) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), reached)
        .await
        .expect("the cursor goes on");
    assert!(!site.engine.published().world.mail_deliveries.is_empty());
}

/// threat C: neither the password nor a link of an approver is in the log, whatever the server repeats.
#[tokio::test(flavor = "multi_thread")]
async fn threat_c_no_secret_gets_into_the_log() {
    let mut server = MailServer::plain().await;
    let site = Site::mailing(&server).await;
    let id = site.queue(1, "repeats@example.com").await;
    let line = server.difficult().await;
    let token = line["token"].as_str().expect("the link").to_owned();
    let reason = site.until_failed(id, 1).await;
    assert!(reason.contains("I do not like ***"), "{reason}");
    site.clock.leap(SECOND);
    for (what, bytes) in files(site.database.directory()) {
        for secret in [token.as_str(), PASSWORD] {
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} is in {what}");
        }
    }
}

fn files(folder: &std::path::Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries
        .flat_map(|entry| {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                files(&path)
            } else {
                let name = path.display().to_string();
                vec![(name, std::fs::read(&path).expect("a file"))]
            }
        })
        .collect()
}
