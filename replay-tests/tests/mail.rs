//! Mail from the real program to a real mail server, over a power cut.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use connector::mail::testing::MailServer;
use eventstore::testing::TestDatabase;
use replay_tests::caller::Caller;
use replay_tests::program::Site;
use reqwest::Method;
use serde_json::{Value, json};

/// How long anything may take that the program does by itself.
const SOON: Duration = Duration::from_secs(60);

async fn administrator(site: &Site) -> Result<Caller> {
    let first_run = site.first_run()?;
    let text = |name: &str| {
        first_run["administrator"][name]
            .as_str()
            .with_context(|| format!("no {name} in the first run"))
    };
    Caller::console(&site.url(), text("username")?, text("password")?).await
}

async fn try_mail(administrator: &Caller, recipient: &str) -> Result<Value> {
    let path = "/api/console/v1/mail-settings/test";
    let body = json!({"recipient": recipient});
    administrator.send(Method::POST, path, &body).await
}

/// POL-30, POL-31: the program holds the lease of mail and sends; a mail that waits outlives it, and leaves as the same mail.
#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_waits_outlives_a_power_cut() -> Result<()> {
    let mut mail_server = MailServer::plain().await;
    let database = TestDatabase::sqlite();
    let site = Site::at(database.location(), database.directory())?;
    let server = site.serve()?;
    let caller = administrator(&site).await?;
    let settings = json!({
        "host": "localhost", "port": mail_server.port, "encryption": "none",
        "from_address": "gatebook@example.com",
    });
    let path = "/api/console/v1/mail-settings";
    caller.send(Method::PATCH, path, &settings).await?;
    let tried = try_mail(&caller, "boss@example.com").await?;
    ensure!(tried["state"] == "delivered", "{tried}");
    mail_server.mail().await;
    let tried = try_mail(&caller, "greylisted@example.com").await?;
    ensure!(tried["state"] == "waiting", "{tried}");
    mail_server.difficult().await;
    server.kill()?;

    let _server = site.serve()?;
    let caller = administrator(&site).await?;
    let id = tried["id"].as_str().context("an id")?;
    let one = format!("/api/console/v1/mail-deliveries/{id}");
    let kept = caller.get(&one).await?;
    ensure!(kept["recipient"] == "greylisted@example.com", "{kept}");
    // Its pause is over in half a minute; a person does not have to wait for that.
    let replayed = caller
        .request(Method::POST, &format!("{one}/replay"))
        .send()
        .await?;
    ensure!(replayed.status().is_success(), "{}", replayed.status());
    let mail = tokio::time::timeout(SOON, mail_server.mail()).await?;
    ensure!(mail["to"] == json!(["greylisted@example.com"]), "{mail}");
    let message_id = mail["message_id"].as_str().context("a Message-ID")?;
    ensure!(message_id.contains(id), "{message_id} of {id}");
    Ok(())
}
