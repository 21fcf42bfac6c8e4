//! The thread through all of it, with the real programs over real TLS: an agent registers with an installer's key and pins the
//! site's authority, a user is given access and jumps, the session ends, and the report tells it. Then the same with power
//! cuts on either side, and with two nodes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use eventstore::testing::TestDatabase;
use eventstore::{Access, Direction, EventStore, Options, Selection};
use replay_tests::caller::Caller;
use replay_tests::program::{Running, Site, agent};
use reqwest::Method;
use serde_json::{Value, json};

/// How long anything may take that the programs do by themselves.
const SOON: Duration = Duration::from_secs(60);

/// A site with one machine and a user who may jump to it.
struct Story {
    database: TestDatabase,
    site: Site,
    administrator: Caller,
    api: Caller,
    anna: Caller,
    key: String,
}

impl Story {
    async fn begin(database: TestDatabase) -> Result<(Self, Running)> {
        let site = Site::at(database.location(), database.directory())?;
        let server = site.serve()?;
        let url = site.url();
        let first_run = site.first_run()?;
        let text = |name: &str| {
            first_run["administrator"][name]
                .as_str()
                .with_context(|| format!("no {name} in the first run"))
        };
        let administrator = Caller::console(&url, text("username")?, text("password")?).await?;
        administrator.lift_rate_limits(1).await?;
        let api = Caller::first_account(&url, &first_run).await?;
        let group = post(
            &api,
            "/api/config/v1/jump-group",
            json!({"name": "Web Servers"}),
        )
        .await?;
        let installer = json!({"jump_group_id": group["id"], "name": "web-1"});
        let installer = post(&api, "/api/config/v1/jump-client/installer", installer).await?;
        let key = installer["key_info"]["linux64-x86"]["encodedInfo"]
            .as_str()
            .context("a key")?
            .to_owned();
        let anna = json!({
            "username": "anna",
            "public_display_name": "Anna",
            "password": "correct horse battery",
        });
        let anna = post(&api, "/api/config/v1/user", anna).await?;
        let permissions = json!({"perm_access_allowed": "full_support", "perm_jump_client": true});
        let path = format!("/api/console/v1/users/{}/permissions", anna["id"]);
        administrator
            .send(Method::PATCH, &path, &permissions)
            .await?;
        let member = json!({"user_id": anna["id"], "jump_item_role_id": 2});
        let path = format!("/api/config/v1/jump-group/{}/user", group["id"]);
        post(&api, &path, member).await?;
        let anna = Caller::console(&url, "anna", "correct horse battery").await?;
        let story = Self {
            database,
            site,
            administrator,
            api,
            anna,
            key,
        };
        Ok((story, server))
    }

    /// Starts the machine's agent for the servers at `urls`. It trusts what its key says: the site's own authority.
    fn agent(&self, urls: &[String]) -> Result<Running> {
        agent(
            &urls.join(","),
            &self.key,
            &self.database.directory().join("agent"),
        )
    }

    async fn until_online(&self, caller: &Caller) -> Result<()> {
        until("the machine is online", async || {
            let items = caller.get("/api/console/v1/items").await?;
            Ok(items["counts"]["online"] == 1)
        })
        .await
    }

    async fn until_offline(&self, caller: &Caller) -> Result<()> {
        until("the machine is offline", async || {
            let items = caller.get("/api/console/v1/items").await?;
            Ok(items["counts"]["offline"] == 1)
        })
        .await
    }

    /// The report of a session, as XML.
    async fn report(&self, lsid: &str) -> Result<String> {
        let path = format!("/api/reporting?generate_report=AccessSession&lsid={lsid}");
        self.api.text(&path).await
    }

    /// The types of the events of a stream, read from the log beside the server.
    async fn events(&self, stream: &str) -> Result<Vec<(String, Value)>> {
        let options = Options {
            access: Access::ReadOnly,
            ..Options::default()
        };
        let store = EventStore::open(self.database.location(), options).await?;
        let selection = Selection::Stream(stream.to_owned());
        let events = store.read(&selection, 0, Direction::Forward, 100).await?;
        store.close().await;
        events
            .into_iter()
            .map(|event| Ok((event.event_type, serde_json::from_slice(&event.data)?)))
            .collect()
    }
}

fn https(site: &Site) -> String {
    format!("https://localhost:{}", site.https.port())
}

async fn post(caller: &Caller, path: &str, body: Value) -> Result<Value> {
    caller.send(Method::POST, path, &body).await
}

/// Has a caller jump to the machine, and answers the session once it is up.
async fn jump(caller: &Caller) -> Result<String> {
    let items = caller.get("/api/console/v1/items").await?;
    let body = json!({"item": items["items"][0]["id"]});
    let session = post(caller, "/api/console/v1/sessions", body).await?;
    ensure!(session["state"] == "active", "not up: {session}");
    Ok(session["lsid"].as_str().context("an lsid")?.to_owned())
}

async fn end(caller: &Caller, lsid: &str) -> Result<()> {
    let path = format!("/api/console/v1/sessions/{lsid}/end");
    post(caller, &path, json!({})).await?;
    Ok(())
}

async fn until(what: &str, so: impl AsyncFn() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + SOON;
    while !so().await? {
        ensure!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

fn types(events: &[(String, Value)]) -> Vec<&str> {
    events.iter().map(|(name, _)| name.as_str()).collect()
}

/// CLNT-01, CLNT-04, SESS-19, SESS-21, REP-24
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_jumps_and_the_report_tells_it() -> Result<()> {
    let (story, server) = Story::begin(TestDatabase::sqlite()).await?;
    let machine = story.agent(&[https(&story.site)])?;
    story.until_online(&story.anna).await?;
    let lsid = jump(&story.anna).await?;
    end(&story.anna, &lsid).await?;

    let report = story.report(&lsid).await?;
    for part in [
        format!("lsid=\"{lsid}\""),
        "<end_time timestamp".to_owned(),
        "web-1".to_owned(),
        "Anna".to_owned(),
        "Web Servers".to_owned(),
    ] {
        ensure!(report.contains(&part), "no {part} in {report}");
    }
    let session = story.events(&format!("access_session-{lsid}")).await?;
    ensure!(
        types(&session)
            == [
                "AccessSessionStarted",
                "AccessSessionEstablished",
                "AccessSessionEnded"
            ],
        "{session:?}"
    );
    // The agent says goodbye, and has checked in.
    machine.stop()?;
    story.until_offline(&story.anna).await?;
    let client = story.events("jump_client-1").await?;
    ensure!(
        types(&client)[..2] == ["JumpClientRegistered", "JumpClientConnected"],
        "{client:?}"
    );
    let (name, last) = client.last().context("events of the client")?;
    ensure!(
        name == "JumpClientDisconnected" && last["reason"] == "goodbye",
        "{client:?}"
    );
    server.stop()
}

/// CLNT-01, threat S
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_outlives_a_power_cut_of_the_server() -> Result<()> {
    let (story, server) = Story::begin(TestDatabase::sqlite()).await?;
    let machine = story.agent(&[https(&story.site)])?;
    story.until_online(&story.anna).await?;
    let lsid = jump(&story.anna).await?;

    server.kill()?;
    let server = story.site.serve()?;
    story.until_online(&story.anna).await?;
    let path = format!("/api/console/v1/sessions/{lsid}");
    let session = story.anna.get(&path).await?;
    ensure!(session["state"] == "active", "{session}");
    end(&story.anna, &lsid).await?;
    let events = story.events(&format!("access_session-{lsid}")).await?;
    ensure!(
        types(&events)
            == [
                "AccessSessionStarted",
                "AccessSessionEstablished",
                "AccessSessionEnded"
            ],
        "{events:?}"
    );
    ensure!(events[2].1["reason"] == "owner", "{events:?}");
    ensure!(story.report(&lsid).await?.contains("<end_time timestamp"));
    // The next jump finds the machine free, and the agent too.
    let next = jump(&story.anna).await?;
    end(&story.anna, &next).await?;
    machine.stop()?;
    server.stop()
}

/// CLNT-11, REP-28
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_a_session_whose_agent_was_killed_is_closed_without_an_end_time() -> Result<()> {
    let (story, server) = Story::begin(TestDatabase::sqlite()).await?;
    let settings = json!({"lost_agent_seconds": 10});
    story
        .administrator
        .send(Method::PATCH, "/api/console/v1/site/settings", &settings)
        .await?;
    let machine = story.agent(&[https(&story.site)])?;
    story.until_online(&story.anna).await?;
    let lsid = jump(&story.anna).await?;

    machine.kill()?;
    story.until_offline(&story.anna).await?;
    let since = Instant::now();
    until("the session is closed", async || {
        let sessions = story.anna.get("/api/console/v1/sessions").await?;
        Ok(sessions.as_array().is_some_and(Vec::is_empty))
    })
    .await?;
    ensure!(
        since.elapsed() > Duration::from_secs(8),
        "closed after {:?}",
        since.elapsed()
    );
    let events = story.events(&format!("access_session-{lsid}")).await?;
    ensure!(
        events
            .last()
            .is_some_and(|(_, end)| end["reason"] == "agent_lost"),
        "{events:?}"
    );
    let report = story.report(&lsid).await?;
    ensure!(report.contains("<start_time timestamp"), "{report}");
    ensure!(!report.contains("<end_time timestamp"), "{report}");

    // The machine comes back as who it was, and is free.
    let machine = story.agent(&[https(&story.site)])?;
    story.until_online(&story.anna).await?;
    let next = jump(&story.anna).await?;
    end(&story.anna, &next).await?;
    machine.stop()?;
    server.stop()
}

/// CLNT-01
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_on_one_node_serves_a_jump_asked_of_another_and_moves_when_its_node_dies()
-> Result<()> {
    let (story, server) = Story::begin(TestDatabase::postgres().await).await?;
    let other = story
        .site
        .further_node(story.database.directory(), "other")?;
    let other_server = other.serve()?;
    let machine = story.agent(&[https(&story.site), https(&other)])?;
    let anna_there = story.anna.at(&other.url());
    story.until_online(&anna_there).await?;

    let lsid = jump(&anna_there).await?;
    let path = format!("/api/console/v1/sessions/{lsid}");
    let session = story.anna.get(&path).await?;
    ensure!(session["state"] == "active", "{session}");

    let client = story.events("jump_client-1").await?;
    let before = client.len();
    server.kill()?;
    until("the agent is on the other node", async || {
        let client = story.events("jump_client-1").await?;
        Ok(client[before..]
            .iter()
            .any(|(name, _)| name == "JumpClientConnected"))
    })
    .await?;
    let session = anna_there.get(&path).await?;
    ensure!(session["state"] == "active", "{session}");
    end(&anna_there, &lsid).await?;
    let events = story.events(&format!("access_session-{lsid}")).await?;
    ensure!(
        events
            .last()
            .is_some_and(|(_, end)| end["reason"] == "owner"),
        "{events:?}"
    );
    let next = jump(&anna_there).await?;
    end(&anna_there, &next).await?;
    machine.stop()?;
    other_server.stop()
}
