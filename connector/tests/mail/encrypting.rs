//! Encryption and signing in: certificates are always checked, and a password only goes where they hold.

use connector::mail::testing::{MailServer, MailServerOptions};
use connector::testing::Authority;
use serde_json::json;

use crate::site::{PASSWORD, Site};

/// The password that [`Site`] has, for the user `gatebook`.
const USER: &str = "gatebook:canary-mail-password";

struct Encrypted {
    server: MailServer,
    authority: Authority,
    _folder: tempfile::TempDir,
}

async fn encrypted(mode: &'static str, user: Option<&'static str>) -> Encrypted {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("Mail authority");
    let certificate = authority.issue(folder.path(), &["localhost"]);
    let server = MailServer::start(MailServerOptions {
        mode,
        certificate: Some(certificate),
        user,
        port: 0,
    })
    .await;
    Encrypted {
        server,
        authority,
        _folder: folder,
    }
}

/// POL-30
#[tokio::test(flavor = "multi_thread")]
async fn mail_leaves_encrypted_and_signed_in() {
    assert!(USER.ends_with(PASSWORD));
    for mode in ["starttls", "tls"] {
        let mut there = encrypted(mode, Some(USER)).await;
        let settings = json!({
            "encryption": mode, "username": "gatebook", "certificate": there.authority.pem(),
        });
        let site = Site::with(there.server.port, settings).await;
        let id = site.queue(1, "boss@example.com").await;
        let mail = there.server.mail().await;
        assert_eq!(mail["encrypted"], true, "{mode}");
        assert_eq!(mail["user"], "gatebook", "{mode}");
        site.until_gone(id).await;
    }
}

/// POL-30, threat N: a server that another authority vouches for, or that has another name, gets neither password nor mail.
#[tokio::test(flavor = "multi_thread")]
async fn threat_n_a_server_that_is_another_gets_nothing() {
    for mode in ["starttls", "tls"] {
        let mut there = encrypted(mode, Some(USER)).await;
        let other = Authority::new("Another authority").pem();
        let own = there.authority.pem();
        let cases = [
            json!({"certificate": other}),
            json!({"certificate": ""}),
            json!({"certificate": own, "host": "127.0.0.1"}),
        ];
        for mut settings in cases {
            settings["encryption"] = mode.into();
            settings["username"] = "gatebook".into();
            let site = Site::with(there.server.port, settings.clone()).await;
            let id = site.queue(1, "boss@example.com").await;
            let reason = site.until_failed(id, 1).await;
            assert!(
                reason.contains("could not be encrypted"),
                "{mode} {settings} {reason}"
            );
            assert!(
                there
                    .server
                    .is_silent_for(std::time::Duration::from_millis(200))
                    .await
            );
        }
    }
}

/// POL-30, POL-31
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_parks_the_mail_and_is_not_said() {
    let mut there = encrypted("starttls", Some("gatebook:another")).await;
    let settings = json!({
        "encryption": "starttls", "username": "gatebook", "certificate": there.authority.pem(),
    });
    let site = Site::with(there.server.port, settings).await;
    let id = site.queue(1, "boss@example.com").await;
    there.server.difficult().await;
    let reason = site.until_failed(id, 1).await;
    assert!(
        reason.contains("signing in") && reason.contains("535"),
        "{reason}"
    );
    assert!(!reason.contains(PASSWORD));
    assert_eq!(site.engine.published().world.parked_mails().count(), 1);
}

/// POL-30: where encryption is asked for, a server without it gets no mail.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_can_not_encrypt_gets_no_mail() {
    let mut server = MailServer::plain().await;
    let site = Site::with(server.port, json!({"encryption": "starttls"})).await;
    let id = site.queue(1, "boss@example.com").await;
    assert_eq!(
        site.until_failed(id, 1).await,
        "The mail server does not offer STARTTLS."
    );
    assert!(
        server
            .is_silent_for(std::time::Duration::from_millis(200))
            .await
    );
}

/// threat N: what a stranger on the way adds before the encryption begins is never taken for the server's word.
#[tokio::test(flavor = "multi_thread")]
async fn threat_n_answers_before_the_encryption_are_not_believed() {
    let mut server = MailServer::start(MailServerOptions {
        mode: "inject",
        ..MailServerOptions::default()
    })
    .await;
    let site = Site::with(server.port, json!({"encryption": "starttls"})).await;
    let id = site.queue(1, "boss@example.com").await;
    let reason = site.until_failed(id, 1).await;
    assert_eq!(
        reason,
        "The mail server said more than it was asked at STARTTLS."
    );
    assert_eq!(server.difficult().await["answered"], false);
}
