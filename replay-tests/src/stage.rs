//! What a worked scenario is played on: a clocked site, the people who sign in to it, and machines with real agents.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use domain::Timestamp;
use eventstore::testing::TestDatabase;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::caller::Caller;
use crate::clocked::ClockedSite;
use crate::program::{Running, agent};

/// The password of everybody whom a scenario brings.
pub const PASSWORD: &str = "correct horse battery";
/// How long anything may take that the programs do by themselves.
pub const SOON: Duration = Duration::from_secs(60);
/// How long a page may stay open.
const PAGE_OPEN: Duration = Duration::from_secs(600);

/// A site with its first administrator and its first API account.
pub struct Stage {
    /// The server.
    pub site: ClockedSite,
    /// The first administrator, signed in to the console.
    pub administrator: Caller,
    /// The first API account, with a token.
    pub api: Caller,
    /// The agents that run, with their items.
    agents: Vec<(String, Running)>,
}

impl Stage {
    /// Opens a new site at `moment`, such as `2026-03-05T10:00:00Z`; its clock stands there until it is moved.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn open(moment: &str) -> Result<Self> {
        Self::open_on(TestDatabase::sqlite(), moment).await
    }

    /// Opens the site that is in `database`, or a new one, at `moment`.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn open_on(database: TestDatabase, moment: &str) -> Result<Self> {
        let site = ClockedSite::start_on(database, at(moment)?).await?;
        let administrator = site.administrator().await?;
        // While the clock stands, what counts requests by the second never starts anew.
        administrator.lift_rate_limits(1).await?;
        let api = site.api().await?;
        Ok(Self {
            site,
            administrator,
            api,
            agents: Vec::new(),
        })
    }

    /// Makes a record by the Configuration API; `path` is below its base.
    ///
    /// # Errors
    /// When it is not made.
    pub async fn make(&self, path: &str, body: Value) -> Result<Value> {
        let path = format!("/api/config/v1/{path}");
        self.api.send(Method::POST, &path, &body).await
    }

    /// Makes a record by the Configuration API; answers its id.
    ///
    /// # Errors
    /// When it is not made.
    pub async fn id_of_new(&self, path: &str, body: Value) -> Result<u64> {
        let made = self.make(path, body).await?;
        made["id"]
            .as_u64()
            .with_context(|| format!("no id: {made}"))
    }

    /// Sets something as an administrator; `path` is below the console's base.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn set(&self, path: &str, body: Value) -> Result<Value> {
        let path = format!("/api/console/v1/{path}");
        self.administrator.send(Method::PATCH, &path, &body).await
    }

    /// Moves the clock on to `moment`. What the administrator and the account show may have run out meanwhile: both come anew.
    ///
    /// # Errors
    /// When they are not let in.
    pub async fn move_to(&mut self, moment: &str) -> Result<()> {
        self.site.clock.advance_to(at(moment)?);
        self.administrator = self.site.administrator().await?;
        self.api = self.site.api().await?;
        Ok(())
    }

    /// Makes a user without permissions of their own, with an address where one is given; answers the id.
    ///
    /// # Errors
    /// When they are not made.
    pub async fn user(&self, name: &str, address: &str) -> Result<u64> {
        let body = json!({
            "username": name,
            "public_display_name": name,
            "email_address": address,
            "password": PASSWORD,
        });
        self.id_of_new("user", body).await
    }

    /// Signs a user in to the console.
    ///
    /// # Errors
    /// When the server does not let them in.
    pub async fn sign_in(&self, name: &str) -> Result<Caller> {
        Caller::console(&self.site.url(), name, PASSWORD).await
    }

    /// Makes an installer for a Jump Group, starts a machine's agent with its key, and waits until the item is there and online
    /// for `seen_by`; answers the item.
    ///
    /// # Errors
    /// When the agent does not register.
    pub async fn machine(
        &mut self,
        name: &str,
        (group_type, group): (&str, u64),
        seen_by: &Caller,
    ) -> Result<String> {
        let body = json!({"name": name, "jump_group_type": group_type, "jump_group_id": group});
        let installer = self.make("jump-client/installer", body).await?;
        let key = installer["key_info"]["linux64-x86"]["encodedInfo"]
            .as_str()
            .context("a key")?;
        let state = self.site.database.directory().join("agents").join(name);
        let running = agent(&self.site.agent_url(), key, &state)?;
        let mut item = None;
        until("the machine is online", async || {
            let found = item_named(seen_by, name).await?;
            item = found.filter(|item| item["status"] == "active");
            Ok(item.is_some())
        })
        .await?;
        let item = item
            .and_then(|item| Some(item["id"].as_str()?.to_owned()))
            .context("an item with an id")?;
        self.agents.push((item.clone(), running));
        Ok(item)
    }

    /// Waits until the agent of an item that was removed has ended by itself.
    ///
    /// # Errors
    /// When it goes on.
    pub async fn agent_ends(&mut self, item: &str) -> Result<()> {
        let place = self.agents.iter().position(|(own, _)| own == item);
        let (_, mut agent) = self.agents.remove(place.context("an agent")?);
        until("the agent of a removed item ends", async || {
            Ok(!agent.is_running()?)
        })
        .await
    }

    /// Stops the agent of an item, as its service does when the machine goes down.
    ///
    /// # Errors
    /// When it ends badly.
    pub async fn stop_agent(&mut self, item: &str) -> Result<()> {
        let place = self.agents.iter().position(|(own, _)| own == item);
        let (_, agent) = self.agents.remove(place.context("an agent")?);
        tokio::task::spawn_blocking(|| agent.stop()).await?
    }

    /// Ends the agents and the server, as signals would.
    ///
    /// # Errors
    /// When one of them ended badly.
    pub async fn close(self) -> Result<()> {
        self.close_and_keep().await.map(drop)
    }

    /// The same, and keeps what was written.
    ///
    /// # Errors
    /// When one of them ended badly.
    pub async fn close_and_keep(self) -> Result<TestDatabase> {
        for (_, agent) in self.agents {
            agent.stop()?;
        }
        self.site.stop().await
    }
}

/// A page of the console that is open: what its stream of events says, from now on.
pub struct OpenPage {
    said: Arc<Mutex<String>>,
    reading: JoinHandle<()>,
}

impl OpenPage {
    /// Opens a page as `caller`.
    ///
    /// # Errors
    /// When the stream is refused.
    pub async fn of(caller: &Caller) -> Result<Self> {
        let request = caller.request(Method::GET, "/api/console/v1/events");
        let mut stream = request.timeout(PAGE_OPEN).send().await?;
        ensure!(stream.status() == 200, "no stream: {}", stream.status());
        let said = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&said);
        let reading = tokio::spawn(async move {
            // Where it ends early, whoever waits for more of it says so.
            while let Ok(Some(part)) = stream.chunk().await {
                let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                heard.push_str(&String::from_utf8_lossy(&part));
            }
        });
        Ok(Self { said, reading })
    }

    /// Everything that it has said.
    #[must_use]
    pub fn said(&self) -> String {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.clone()
    }

    /// Waits until it has said `words` as many times as that.
    ///
    /// # Errors
    /// When it does not say them in time.
    pub async fn says(&self, words: &str, times: usize) -> Result<()> {
        let what = format!("the open page says {words} {times} times");
        until(&what, async || {
            Ok(self.said().matches(words).count() >= times)
        })
        .await
    }
}

impl Drop for OpenPage {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// The item of this name, if the caller sees one.
///
/// # Errors
/// When the items can't be listed.
pub async fn item_named(caller: &Caller, name: &str) -> Result<Option<Value>> {
    let mut items = caller.get("/api/console/v1/items").await?;
    let items = items["items"].as_array_mut().context("items")?;
    Ok(items.drain(..).find(|item| item["name"] == name))
}

/// Jumps, and answers the session once it is up.
///
/// # Errors
/// When it does not come up.
pub async fn jump(caller: &Caller, wish: &Value) -> Result<Value> {
    let session = caller
        .send(Method::POST, "/api/console/v1/sessions", wish)
        .await?;
    ensure!(session["state"] == "active", "not up: {session}");
    Ok(session)
}

/// A Jump that must be refused with this status and these words; answers all that was said.
///
/// # Errors
/// When it is not refused, or otherwise.
pub async fn no_jump(caller: &Caller, wish: &Value, refusal: (u16, &str)) -> Result<Value> {
    let path = "/api/console/v1/sessions";
    caller.refused(Method::POST, path, wish, refusal).await
}

/// Ends a session.
///
/// # Errors
/// When that is refused.
pub async fn end(caller: &Caller, session: &Value) -> Result<()> {
    let lsid = session["lsid"].as_str().context("an lsid")?;
    let path = format!("/api/console/v1/sessions/{lsid}/end");
    caller.send(Method::POST, &path, &json!({})).await?;
    Ok(())
}

/// A moment of UTC in the form of RFC 3339.
///
/// # Errors
/// When it is none.
pub fn at(moment: &str) -> Result<Timestamp> {
    Timestamp::parse_rfc3339_utc(moment).with_context(|| format!("{moment} is no moment"))
}

/// Asks again and again until something is so that programs do by themselves.
///
/// # Errors
/// When it does not become so, or can't be asked.
pub async fn until(what: &str, mut so: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + SOON;
    while !so().await? {
        ensure!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
