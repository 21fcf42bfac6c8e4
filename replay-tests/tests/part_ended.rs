//! How a server ends: by itself, where its writer has fallen over, so that a supervisor starts it again; else with all that the
//! next start needs.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use domain::{Fresh, Timestamp};
use engine::FreshSource;
use gatebook::clock::{SystemClock, SystemFresh};
use gatebook::command_line::PlaceOptions;
use gatebook::essential::TaskEnded;
use gatebook::opening::OpenSite;
use replay_tests::caller::Caller;
use replay_tests::clocked::{ClockedSite, serve};
use replay_tests::program::free_port;
use replay_tests::stage::{SOON, at, until};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// The machine's source of chance, until it breaks for whoever writes events: the writer alone.
struct Breaking {
    source: Arc<SystemFresh>,
    broken: Arc<AtomicBool>,
}

impl FreshSource for Breaking {
    fn fresh(&self) -> Fresh {
        self.source.fresh()
    }

    fn event_id(&self, now: Timestamp) -> uuid::Uuid {
        assert!(!self.broken.load(Ordering::SeqCst), "no more chance");
        self.source.event_id(now)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_its_writer_ends_and_says_why() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let (https, http) = (local(free_port()?), local(free_port()?));
    let place = PlaceOptions {
        data: Some(folder.path().join("site")),
        ..PlaceOptions::default()
    };
    let broken = Arc::new(AtomicBool::new(false));
    let breaks = Arc::clone(&broken);
    let (_stop, stopped) = oneshot::channel();
    let server = tokio::spawn(serve(place, https, http, stopped, async move |place| {
        OpenSite::open_with(place, Arc::new(SystemClock), |source| {
            Arc::new(Breaking {
                source,
                broken: breaks,
            })
        })
        .await
    }));
    let url = format!("http://{http}");
    until("the server answers", async || {
        Ok(reqwest::get(format!("{url}/check_health")).await.is_ok())
    })
    .await?;
    let first_run = std::fs::read(folder.path().join("site/first-run.json"))?;
    let first_run: Value = serde_json::from_slice(&first_run)?;
    let api = Caller::first_account(&url, &first_run).await?;
    let make = async |name: &str| {
        let path = "/api/config/v1/jump-group";
        api.ask(Method::POST, path, &json!({ "name": name })).await
    };
    ensure!(make("before").await?.0 == 201);

    broken.store(true, Ordering::SeqCst);
    let (status, said) = make("after").await?;
    ensure!(status == 503, "{said}");
    let ended = timeout(SOON, server)
        .await
        .context("the server goes on")??;
    let error = ended.err().context("it ended as if all were well")?;
    ensure!(error.is::<TaskEnded>(), "{error:#}");
    ensure!(error.to_string().starts_with("the engine"), "{error:#}");
    Ok(())
}

/// What a stop in good order leaves: a snapshot of the whole log, `NodeStopped` included.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_leaves_a_snapshot_of_all_that_is_in_the_log() -> Result<()> {
    let begin = at("2026-03-05T10:00:00Z")?;
    let site = ClockedSite::start(begin).await?;
    let snapshots = site.folder()?.join("snapshots");
    let database = site.stop().await?;
    let store = database.open().await;
    let head = store.head().await?.position;
    store.close().await;
    let newest = snapshots.join(format!("{head:020}.snapshot"));
    ensure!(newest.is_file(), "{} is missing", newest.display());
    // And it is one that a start begins with.
    let site = ClockedSite::start_on(database, begin).await?;
    site.administrator().await?;
    site.stop().await.map(drop)
}
