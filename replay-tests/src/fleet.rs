//! A site of the real program with an installer's key and a user who may jump, for tests of what lies behind the link.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use eventstore::testing::TestDatabase;
use eventstore::{Access, Direction, EventStore, Options, Selection};
use reqwest::Method;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::program::{Running, Site};

/// How long anything may take that the programs do by themselves.
pub const SOON: Duration = Duration::from_secs(60);
/// The interpreter that has `websockets`; `cargo xtask test` makes one.
const INTERPRETER: &str = "GATEBOOK_TEST_XMLSCHEMA_PYTHON";

/// A site whose server runs, or is started anew by the test.
pub struct Fleet {
    /// Where its log is.
    pub database: TestDatabase,
    /// How its server is started.
    pub site: Site,
    /// The first administrator, signed in to the console.
    pub administrator: Caller,
    /// The first API account.
    pub api: Caller,
    /// A user who may jump to the machines of the one group.
    pub anna: Caller,
    /// The group.
    pub group: u64,
    /// KEY_INFO of an installer for that group that allows every override.
    pub key: String,
}

impl Fleet {
    /// A new site on SQLite, with its server.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn begin() -> Result<(Self, Running)> {
        let database = TestDatabase::sqlite();
        let site = Site::at(database.location(), database.directory())?;
        let server = site.serve()?;
        Ok((Self::on(database, site).await?, server))
    }

    /// Fits out a new site whose server runs.
    ///
    /// # Errors
    /// When it does not do as it is told.
    pub async fn on(database: TestDatabase, site: Site) -> Result<Self> {
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
        let make = async |path: &str, body: Value| {
            let path = format!("/api/config/v1/{path}");
            api.send(Method::POST, &path, &body).await
        };
        let group = make("jump-group", json!({"name": "Web Servers"})).await?["id"].clone();
        let key = installer(&api, json!({"jump_group_id": group, "name": "web-1"})).await?;
        let anna = make(
            "user",
            json!({
                "username": "anna",
                "public_display_name": "Anna",
                "password": "correct horse battery",
            }),
        )
        .await?;
        let permissions = json!({"perm_access_allowed": "full_support", "perm_jump_client": true});
        let path = format!("/api/console/v1/users/{}/permissions", anna["id"]);
        administrator
            .send(Method::PATCH, &path, &permissions)
            .await?;
        let member = json!({"user_id": anna["id"], "jump_item_role_id": 2});
        make(&format!("jump-group/{group}/user"), member).await?;
        let anna = Caller::console(&url, "anna", "correct horse battery").await?;
        Ok(Self {
            database,
            site,
            administrator,
            api,
            anna,
            group: group.as_u64().context("the group's number")?,
            key,
        })
    }

    /// The address for agents.
    #[must_use]
    pub fn https(&self) -> String {
        format!("https://localhost:{}", self.site.https.port())
    }

    /// Waits until a caller sees so many items online.
    ///
    /// # Errors
    /// When that does not come.
    pub async fn until_online(&self, count: u64) -> Result<()> {
        until("the machine is online", async || {
            let items = self.anna.get("/api/console/v1/items").await?;
            Ok(items["counts"]["online"] == count)
        })
        .await
    }

    /// Has the user jump to an item; answers the session once it is up.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn jump(&self, item: &Value) -> Result<String> {
        let body = json!({"item": item["id"]});
        let path = "/api/console/v1/sessions";
        let session = self.anna.send(Method::POST, path, &body).await?;
        ensure!(session["state"] == "active", "not up: {session}");
        Ok(session["lsid"].as_str().context("an lsid")?.to_owned())
    }

    /// The user ends a session.
    ///
    /// # Errors
    /// When that is refused.
    pub async fn end(&self, lsid: &str) -> Result<()> {
        let path = format!("/api/console/v1/sessions/{lsid}/end");
        self.anna.send(Method::POST, &path, &json!({})).await?;
        Ok(())
    }

    /// The items that the user sees.
    ///
    /// # Errors
    /// When the list is refused.
    pub async fn items(&self) -> Result<Vec<Value>> {
        let items = self.anna.get("/api/console/v1/items?per_page=500").await?;
        Ok(items["items"].as_array().context("a list")?.clone())
    }

    /// The types and bodies of the events that were chosen, read from the log beside the server.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn events(&self, selection: Selection) -> Result<Vec<(String, Value)>> {
        let options = Options {
            access: Access::ReadOnly,
            ..Options::default()
        };
        let store = EventStore::open(self.database.location(), options).await?;
        let events = store
            .read(&selection, 0, Direction::Forward, 100_000)
            .await?;
        store.close().await;
        events
            .into_iter()
            .map(|event| Ok((event.event_type, serde_json::from_slice(&event.data)?)))
            .collect()
    }

    /// The events of one client.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn client_events(&self, client: u64) -> Result<Vec<(String, Value)>> {
        self.events(Selection::Stream(format!("jump_client-{client}")))
            .await
    }
}

/// Makes an installer; answers its KEY_INFO.
///
/// # Errors
/// When it is not made.
pub async fn installer(api: &Caller, body: Value) -> Result<String> {
    let path = "/api/config/v1/jump-client/installer";
    let made = api.send(Method::POST, path, &body).await?;
    let key = made["key_info"]["linux64-x86"]["encodedInfo"].as_str();
    Ok(key.context("a key")?.to_owned())
}

/// Waits until something is so.
///
/// # Errors
/// When it does not become so in time.
pub async fn until(what: &str, so: impl AsyncFn() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + SOON;
    while !so().await? {
        ensure!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// The Jump Client in Python, `replay-tests/python/client.py`.
pub struct PythonClient {
    /// Its process.
    pub running: Running,
    told: PathBuf,
}

impl PythonClient {
    /// Starts it with its identity in `state`.
    ///
    /// # Errors
    /// When there is no Python with `websockets`.
    pub fn start(state: &Path, arguments: &[&str]) -> Result<Self> {
        let python = std::env::var(INTERPRETER).with_context(|| {
            format!("{INTERPRETER} is not set: run cargo xtask test, it makes a Python")
        })?;
        std::fs::create_dir_all(state)?;
        let told = state.join("told.jsonl");
        let file = File::options().create(true).append(true).open(&told)?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/client.py");
        let mut command = Command::new(python);
        command
            .args(["-u", "-B"])
            .arg(script)
            .arg("--state")
            .arg(state)
            .args(arguments)
            .stdout(file);
        Ok(Self {
            running: Running::start("client.py", &mut command)?,
            told,
        })
    }

    /// All that it told so far.
    ///
    /// # Errors
    /// When that can't be read.
    pub fn told(&self) -> Result<Vec<Value>> {
        let text = std::fs::read_to_string(&self.told)?;
        text.lines()
            .map(|line| Ok(serde_json::from_str(line)?))
            .collect()
    }

    /// How often it told of `what`.
    ///
    /// # Errors
    /// When that can't be read.
    pub fn count(&self, what: &str) -> Result<usize> {
        let told = self.told()?;
        Ok(told.iter().filter(|line| line["what"] == what).count())
    }

    /// Waits until it has told of `what` so often.
    ///
    /// # Errors
    /// When it does not.
    pub async fn until_told(&self, what: &str, count: usize) -> Result<()> {
        let told = until(what, async || Ok(self.count(what)? >= count)).await;
        told.with_context(|| format!("{:?}", self.told()))
    }
}
