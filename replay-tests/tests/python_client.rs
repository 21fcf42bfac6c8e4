//! A Jump Client that was written in Python from docs/client-link.md alone, against the real program: the page is complete,
//! and the server talks to more than its own agent.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use eventstore::Selection;
use nix::sys::signal::Signal;
use replay_tests::attacker::Wire;
use replay_tests::fleet::{Fleet, PythonClient, SOON, until};
use reqwest::Method;
use serde_json::{Value, json};

/// Starts the client for the site, with its state in the folder of that name.
fn client(fleet: &Fleet, name: &str, more: &[&str]) -> Result<PythonClient> {
    let state = fleet.database.directory().join(name);
    let url = fleet.https();
    let known = ["--server", &url, "--key", &fleet.key, "--hostname", name];
    PythonClient::start(&state, &[&known, more].concat())
}

async fn until_sessions(fleet: &Fleet, count: usize) -> Result<()> {
    until("the sessions are as many", async || {
        let sessions = fleet.anna.get("/api/console/v1/sessions").await?;
        Ok(sessions.as_array().is_some_and(|all| all.len() == count))
    })
    .await
}

/// CLNT-01, CLNT-04, CLNT-11: registered, in the list with its figures, jumped to, through a power cut with a session, and gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_written_from_the_page_lives_its_whole_life() -> Result<()> {
    let (fleet, server) = Fleet::begin().await?;
    let logged_on = fleet.database.directory().join("logged-on");
    std::fs::write(&logged_on, "berta")?;
    let logged_on_path = logged_on.to_str().context("a path")?;
    let machine = client(&fleet, "from-the-page", &["--console-user", logged_on_path])?;
    fleet.until_online(1).await?;
    let item = fleet.items().await?.remove(0);
    ensure!(
        item["name"] == "web-1"
            && item["hostname"] == "from-the-page"
            && item["console_user"] == "berta"
            && item["private_ip"] == "127.0.0.1",
        "{item}"
    );
    let path = format!(
        "/api/console/v1/items/{}",
        item["id"].as_str().context("id")?
    );
    until("there are figures", async || {
        let details = fleet.anna.get(&path).await?;
        let figures = &details["figures"];
        Ok(figures["uptime_seconds"].is_u64() && figures["disks"][0]["mount"] == "/")
    })
    .await?;
    // What changed is recorded at once.
    std::fs::write(&logged_on, "carl")?;
    machine.until_told("checked_in", 1).await?;
    let details = fleet.anna.get(&path).await?;
    ensure!(details["console_user"] == "carl", "{details}");

    let lsid = fleet.jump(&item).await?;
    fleet.end(&lsid).await?;
    machine.until_told("session_ended", 1).await?;
    // The user at the machine ends the next one.
    fleet.jump(&item).await?;
    machine.running.signal(Signal::SIGUSR1)?;
    until_sessions(&fleet, 0).await?;

    // A session outlives a power cut, and the client comes back as who it is.
    let lsid = fleet.jump(&item).await?;
    server.kill()?;
    machine.until_told("pausing", 1).await?;
    let server = fleet.site.serve()?;
    machine.until_told("online", 2).await?;
    fleet.until_online(1).await?;
    until_sessions(&fleet, 1).await?;
    fleet.end(&lsid).await?;
    machine.until_told("session_ended", 2).await?;
    let told = machine.told()?;
    let how: Vec<&Value> = told
        .iter()
        .filter(|line| line["what"] == "online")
        .map(|line| &line["how"])
        .collect();
    ensure!(how == ["register", "resume"], "{how:?}");
    ensure!(
        fleet.items().await?.len() == 1,
        "{:?}",
        fleet.items().await?
    );

    machine.running.stop()?;
    until("the machine is offline", async || {
        let items = fleet.items().await?;
        Ok(items[0]["status"] == "offline")
    })
    .await?;
    let events = fleet
        .events(Selection::Category("jump_client".to_owned()))
        .await?;
    let registered = events
        .iter()
        .filter(|(name, _)| name == "JumpClientRegistered");
    ensure!(registered.count() == 1, "{events:?}");
    let (name, last) = events.last().context("events")?;
    ensure!(
        name == "JumpClientDisconnected" && last["reason"] == "goodbye",
        "{events:?}"
    );
    server.stop()
}

/// CLNT-36: those for whom there is no room this second come back no sooner than they were asked to, before and after a power
/// cut; a restart of the program resumes too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_written_from_the_page_keep_to_hints_and_to_their_identity() -> Result<()> {
    let (fleet, server) = Fleet::begin().await?;
    let rate = json!({"connection_rate": 1});
    let path = "/api/console/v1/site/settings";
    fleet.administrator.send(Method::PATCH, path, &rate).await?;
    let names = ["one", "two", "three"];
    let start = |name: &&str| client(&fleet, name, &[]);
    let are_online = async || {
        let items = fleet.items().await?;
        let rows = |name: &&str| items.iter().filter(|row| row["hostname"] == **name).count();
        ensure!(names.iter().all(|name| rows(name) <= 1), "{items:?}");
        let is_online = |row: &&Value| names.iter().any(|name| row["hostname"] == **name);
        let online = items
            .iter()
            .filter(is_online)
            .filter(|row| row["status"] == "active");
        Ok(online.count() == names.len())
    };
    // A crowd takes the places of the next seconds.
    let machines = std::thread::scope(|scope| -> Result<Vec<_>> {
        let fleet = &fleet;
        let crowd: Vec<_> = (0..8)
            .map(|_| {
                let facts = json!({"hostname": "crowd"});
                scope.spawn(move || {
                    Wire::register(&fleet.site, &fleet.key, &json!({}), &facts).map(drop)
                })
            })
            .collect();
        let machines = names.iter().map(start).collect::<Result<Vec<_>>>();
        for one in crowd {
            ensure!(
                one.join().is_ok_and(|came| came.is_ok()),
                "one of the crowd got no answer"
            );
        }
        machines
    })?;
    until("all are online", are_online).await?;
    server.kill()?;
    let server = fleet.site.serve()?;
    for machine in &machines {
        machine.until_told("online", 2).await?;
    }
    until("all are online again", are_online).await?;

    let mut hinted = 0;
    for machine in &machines {
        let told = machine.told()?;
        for (place, _) in told
            .iter()
            .enumerate()
            .filter(|(_, one)| one["what"] == "retry_later")
        {
            let hint = told[place]["seconds"].as_f64().context("seconds")?;
            let pause = told[place..].iter().find(|one| one["what"] == "pausing");
            let pause = pause.and_then(|pause| pause["seconds"].as_f64());
            ensure!(pause.is_some_and(|pause| pause >= hint), "{told:?}");
            hinted += 1;
        }
    }
    ensure!(hinted > 0, "nobody was asked to wait");
    for machine in machines {
        machine.running.stop()?;
    }

    // Without its key: the identity is enough.
    let state = fleet.database.directory().join("two");
    let url = fleet.https();
    let machine = PythonClient::start(&state, &["--server", &url, "--hostname", "two"])?;
    machine.until_told("online", 3).await?;
    let items = fleet.items().await?;
    let rows = items.iter().filter(|row| row["hostname"] == "two");
    ensure!(rows.count() == 1, "{items:?}");
    machine.running.stop()?;
    server.stop()
}

/// CLNT-29, ERR-15, CLNT-60: the user at the machine switched it off, and a removed one is told for good; by one that speaks the
/// protocol before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_written_from_the_page_refuses_sessions_and_heeds_its_removal() -> Result<()> {
    let (fleet, server) = Fleet::begin().await?;
    let mut machine = client(&fleet, "switched-off", &["--disabled", "--protocol", "1"])?;
    machine.until_told("online", 1).await?;
    until("it is in the list", async || {
        Ok(!fleet.items().await?.is_empty())
    })
    .await?;
    let item = fleet.items().await?.remove(0);
    ensure!(item["status"] == "unavailable", "{item}");
    let words = "The Jump Client has been disabled by the user and will not allow a session to start at this time.";
    let body = json!({"item": item["id"]});
    let (_, said) = fleet
        .anna
        .ask(Method::POST, "/api/console/v1/sessions", &body)
        .await?;
    ensure!(said["message"] == words, "{said}");

    let number = item["id"]
        .as_str()
        .context("an id")?
        .trim_start_matches("jump_client-");
    let path = format!("/api/config/v1/jump-client/{number}");
    let removed = fleet.api.request(Method::DELETE, &path).send().await?;
    ensure!(removed.status().is_success(), "{}", removed.status());
    machine.until_told("stopped", 1).await?;
    let told = machine.told()?;
    let stopped = told.iter().find(|line| line["what"] == "stopped");
    ensure!(
        stopped.is_some_and(|line| line["code"] == "client_removed"),
        "{told:?}"
    );
    until_ended(&mut machine).await?;
    server.stop()
}

async fn until_ended(machine: &mut PythonClient) -> Result<()> {
    let deadline = Instant::now() + SOON;
    while machine.running.is_running()? {
        ensure!(Instant::now() < deadline, "it does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// CLNT-23, CLNT-31, CLNT-60: told how to be, and taken off the machine by its user, and by the console.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_written_from_the_page_is_told_how_to_be_and_uninstalls_itself() -> Result<()> {
    let (fleet, server) = Fleet::begin().await?;
    let identity = |name: &str| fleet.database.directory().join(name).join("identity.json");
    let mut one = client(&fleet, "one", &[])?;
    let mut two = client(&fleet, "two", &[])?;
    let older = client(&fleet, "older", &["--protocol", "1"])?;
    fleet.until_online(3).await?;
    one.until_told("settings", 1).await?;
    let wanted = json!({"jump_client_statistics": ["cpu"]});
    let path = "/api/console/v1/site/settings";
    fleet
        .administrator
        .send(Method::PATCH, path, &wanted)
        .await?;
    one.until_told("settings", 2).await?;
    let told = one.told()?;
    let newest = told.iter().rfind(|line| line["what"] == "settings");
    ensure!(
        newest.is_some_and(|line| line["statistics"] == json!(["cpu"])),
        "{told:?}"
    );

    let items = fleet.items().await?;
    let row = |name: &str| {
        let row = items.iter().find(|row| row["hostname"] == name);
        row.with_context(|| format!("{name} in {items:?}"))
    };
    let lsid = fleet.jump(row("one")?).await?;
    one.running.signal(Signal::SIGUSR2)?;
    until_ended(&mut one).await?;
    ensure!(
        one.count("removed")? == 1 && !identity("one").exists(),
        "{:?}",
        one.told()?
    );
    let path = format!(
        "/api/console/v1/items/{}",
        row("one")?["id"].as_str().context("id")?
    );
    until("it is shown as uninstalled", async || {
        Ok(fleet.anna.get(&path).await?["status"] == "uninstalled")
    })
    .await?;
    let sessions = fleet.anna.get("/api/console/v1/sessions").await?;
    ensure!(!sessions.to_string().contains(&lsid), "{sessions}");

    let number = row("two")?["id"]
        .as_str()
        .context("id")?
        .trim_start_matches("jump_client-");
    let path = format!("/api/config/v1/jump-client/{number}");
    let removed = fleet.api.request(Method::DELETE, &path).send().await?;
    ensure!(removed.status().is_success(), "{}", removed.status());
    until_ended(&mut two).await?;
    ensure!(
        two.count("removed")? == 1 && !identity("two").exists(),
        "{:?}",
        two.told()?
    );

    ensure!(older.count("settings")? == 0, "{:?}", older.told()?);
    older.running.stop()?;
    server.stop()
}

/// CLNT-19, CLNT-20: out of reach for as long as it was last told, it removes itself; not while the site answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_written_from_the_page_removes_itself_when_it_was_away_for_too_long() -> Result<()>
{
    let (fleet, server) = Fleet::begin().await?;
    let machine = client(&fleet, "away", &[])?;
    machine.until_told("settings", 1).await?;
    machine.running.stop()?;
    let state = fleet.database.directory().join("away");
    let file = state.join("identity.json");
    let was_last_online_at = |seconds: u64| -> Result<()> {
        let mut identity: Value = serde_json::from_str(&std::fs::read_to_string(&file)?)?;
        ensure!(identity["last_online"].is_f64(), "no time");
        identity["last_online"] = json!(seconds as f64);
        Ok(std::fs::write(&file, identity.to_string())?)
    };
    // The time is over, and the site is there: nothing happens but that it is online.
    was_last_online_at(0)?;
    let machine = client(&fleet, "away", &[])?;
    machine.until_told("online", 2).await?;
    machine.until_told("settings", 2).await?;
    machine.running.stop()?;
    server.stop()?;
    // The site is gone, and the time is not over.
    let machine = client(&fleet, "away", &[])?;
    machine.until_told("failed", 1).await?;
    machine.running.stop()?;
    ensure!(file.exists());
    was_last_online_at(0)?;
    // Its two minutes of trying are two seconds here.
    let mut machine = client(&fleet, "away", &["--trying-seconds", "2"])?;
    until_ended(&mut machine).await?;
    ensure!(
        machine.count("removed")? == 1 && !file.exists(),
        "{:?}",
        machine.told()?
    );
    ensure!(machine.count("failed")? >= 3, "{:?}", machine.told()?);
    Ok(())
}

/// Threat N: who does not show the pinned authority is not spoken to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threat_n_a_client_written_from_the_page_does_not_register_at_a_stranger() -> Result<()> {
    let (fleet, server) = Fleet::begin().await?;
    let mut key: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(&fleet.key)?)?;
    key["anchors"]["list"] = json!([format!("sha256:{}", "ab".repeat(32))]);
    let key = URL_SAFE_NO_PAD.encode(key.to_string());
    let state = fleet.database.directory().join("misled");
    let url = fleet.https();
    let machine = PythonClient::start(&state, &["--server", &url, "--key", &key])?;
    machine.until_told("failed", 2).await?;
    let told = machine.told()?;
    ensure!(
        told.iter()
            .filter(|line| line["what"] == "failed")
            .all(|line| line["reason"]
                .as_str()
                .is_some_and(|why| why.contains("NotTrusted"))),
        "{told:?}"
    );
    // The right authority, and a name that its certificate does not have.
    let other = fleet.database.directory().join("other-name");
    let url = format!("https://127.0.0.2:{}", fleet.site.https.port());
    let elsewhere = PythonClient::start(&other, &["--server", &url, "--key", &fleet.key])?;
    elsewhere.until_told("failed", 2).await?;
    ensure!(machine.count("online")? + elsewhere.count("online")? == 0);
    ensure!(fleet.items().await?.is_empty());
    machine.running.kill()?;
    elsewhere.running.kill()?;
    server.stop()
}
