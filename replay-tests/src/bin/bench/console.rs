//! What lists and open consoles cost everybody else: reads beside filtered lists of a large site, and writes beside event streams.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use eventstore::testing::TestDatabase;
use futures_util::future::try_join_all;
use replay_tests::caller::Caller;
use replay_tests::program::Site;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::median;

/// Jump Items of the site.
const ITEMS: usize = 100_000;
/// Writers while it is filled.
const WRITERS: usize = 64;
/// Different tags, each on as many items.
const TAGS: usize = 1_000;
/// Reads beside each kind of list.
const READS: usize = 400;
/// Callers who ask for lists one after the other meanwhile.
const LISTERS: usize = 4;
/// Streams of one user, who has that many windows open at most.
const STREAMS_OF_ONE: usize = 20;
/// How long writes are counted.
const COUNTED_FOR: Duration = Duration::from_secs(5);

const SHELL_JUMPS: &str = "/api/config/v1/jump-item/shell-jump";

/// Filtered lists by several callers at once, and what a read of one record takes meanwhile.
pub(crate) async fn lists() -> Result<()> {
    let database = TestDatabase::sqlite();
    let site = Site::at(database.location(), database.directory())?;
    let server = site.serve()?;
    let (administrator, api) = callers(&site).await?;
    fill(&api, 0..ITEMS).await?;
    println!(
        "lists: milliseconds of one read, median and slowest of {READS}, beside {LISTERS} callers of a list of {ITEMS} items"
    );
    println!(
        "{:<44} {:>9} {:>9} {:>9}",
        "list", "itself", "read", "slowest"
    );
    let far = format!("/api/console/v1/items?current_page={}", ITEMS / 100);
    for (name, caller, path) in [
        ("none", &api, None),
        (
            "filtered by tag",
            &api,
            Some(format!("{SHELL_JUMPS}?tag=T7")),
        ),
        (
            "by tag and host, nothing found",
            &api,
            Some(format!("{SHELL_JUMPS}?tag=t7&hostname=x")),
        ),
        (
            "by Jump Group, all found",
            &api,
            Some(format!("{SHELL_JUMPS}?jump_group_id=1")),
        ),
        (
            "by Jumpoint, without an index",
            &api,
            Some(format!("{SHELL_JUMPS}?jumpoint_id=1")),
        ),
        (
            "console, first page",
            &administrator,
            Some("/api/console/v1/items".to_owned()),
        ),
        ("console, last page", &administrator, Some(far)),
        (
            "console, a page beyond the end",
            &administrator,
            Some("/api/console/v1/items?current_page=2000000".to_owned()),
        ),
    ] {
        let beside = reads_beside(caller, path.as_deref(), &api).await?;
        println!(
            "{name:<44} {:>9.2} {:>9.2} {:>9.2}",
            beside.list_ms, beside.read_ms, beside.slowest_ms
        );
    }
    server.stop()
}

/// Items made in a second while so many consoles are open.
pub(crate) async fn consoles() -> Result<()> {
    let database = TestDatabase::sqlite();
    let site = Site::at(database.location(), database.directory())?;
    let server = site.serve()?;
    let (administrator, api) = callers(&site).await?;
    fill(&api, 0..1).await?;
    println!(
        "consoles: items made in a second by {WRITERS} writers while so many event streams of {STREAMS_OF_ONE} a user are open"
    );
    println!("{:>8} {:>10} {:>8}", "streams", "made /s", "ratio");
    let mut alone = f64::NAN;
    let mut readers: JoinSet<Result<()>> = JoinSet::new();
    let mut made = 1;
    for streams in [0, 100, 300, 900] {
        while readers.len() < streams {
            let user = readers.len() / STREAMS_OF_ONE;
            let caller = console_user(&site, &administrator, &api, user).await?;
            for _ in 0..STREAMS_OF_ONE {
                let stream = caller
                    .request(Method::GET, "/api/console/v1/events")
                    .send()
                    .await?;
                ensure!(
                    stream.status().is_success(),
                    "a stream was refused: {}",
                    stream.status()
                );
                readers.spawn(read_on(stream));
            }
        }
        let began = Instant::now();
        let mut count = 0;
        while began.elapsed() < COUNTED_FOR {
            fill(&api, made..made + 1_024).await?;
            made += 1_024;
            count += 1_024;
        }
        let rate = f64::from(count) / began.elapsed().as_secs_f64();
        if streams == 0 {
            alone = rate;
        }
        println!("{streams:>8} {rate:>10.0} {:>7.0}%", 100.0 * rate / alone);
    }
    readers.shutdown().await;
    server.stop()
}

async fn read_on(mut stream: Response) -> Result<()> {
    while stream.chunk().await?.is_some() {}
    Ok(())
}

/// The administrator and an API account without limits worth mentioning, on a site with a Jump Group and a Jumpoint.
async fn callers(site: &Site) -> Result<(Caller, Caller)> {
    let first_run = site.first_run()?;
    let text = |name: &str| {
        first_run["administrator"][name]
            .as_str()
            .context("the first run names it")
    };
    let administrator = Caller::console(&site.url(), text("username")?, text("password")?).await?;
    administrator.lift_rate_limits(1).await?;
    let api = Caller::first_account(&site.url(), &first_run).await?;
    let group = json!({"name": "Bench"});
    api.send(Method::POST, "/api/config/v1/jump-group", &group)
        .await?;
    let jumpoint = json!({"name": "Bench", "platform": "linux-x86"});
    api.send(Method::POST, "/api/config/v1/jumpoint", &jumpoint)
        .await?;
    let permissions = json!({"perm_access_allowed": "full_support", "perm_shell_jump": true});
    administrator
        .send(
            Method::PATCH,
            "/api/console/v1/users/1/permissions",
            &permissions,
        )
        .await?;
    let member = json!({"user_id": 1, "jump_item_role_id": 2});
    api.send(Method::POST, "/api/config/v1/jump-group/1/user", &member)
        .await?;
    Ok((administrator, api))
}

/// A user who sees all items.
async fn console_user(
    site: &Site,
    administrator: &Caller,
    api: &Caller,
    number: usize,
) -> Result<Caller> {
    let username = format!("console-{number}");
    let password = "correct horse battery";
    let body = json!({"username": username, "public_display_name": username, "password": password});
    let user = api.send(Method::POST, "/api/config/v1/user", &body).await?;
    let permissions = json!({"perm_access_allowed": "full_support", "perm_shell_jump": true});
    let path = format!("/api/console/v1/users/{}/permissions", user["id"]);
    administrator
        .send(Method::PATCH, &path, &permissions)
        .await?;
    let member = json!({"user_id": user["id"], "jump_item_role_id": 2});
    api.send(Method::POST, "/api/config/v1/jump-group/1/user", &member)
        .await?;
    Caller::console(&site.url(), &username, password).await
}

/// Makes the items with these numbers.
async fn fill(api: &Caller, numbers: std::ops::Range<usize>) -> Result<()> {
    let each = numbers.len().div_ceil(WRITERS).max(1);
    let shares = numbers.clone().step_by(each).map(|from| {
        let share = from..(from + each).min(numbers.end);
        async move {
            for number in share {
                api.send(Method::POST, SHELL_JUMPS, &item(number)).await?;
            }
            anyhow::Ok(())
        }
    });
    try_join_all(shares).await.map(drop)
}

fn item(number: usize) -> Value {
    json!({
        "name": format!("Switch {number}"),
        "hostname": format!("switch-{number}.example.com"),
        "tag": format!("t{}", number % TAGS),
        "jumpoint_id": 1,
        "jump_group_id": 1,
        "jump_group_type": "shared",
        "protocol": "ssh",
    })
}

struct Beside {
    list_ms: f64,
    read_ms: f64,
    slowest_ms: f64,
}

/// Reads one record again and again while others ask for `list`.
async fn reads_beside(lister: &Caller, list: Option<&str>, reader: &Caller) -> Result<Beside> {
    let reads = timed(reader, "/api/config/v1/jump-group/1", READS);
    let lists = list
        .into_iter()
        .flat_map(|path| (0..LISTERS).map(move |_| timed(lister, path, READS / LISTERS)));
    let (reads, lists) = tokio::try_join!(reads, try_join_all(lists))?;
    Ok(Beside {
        list_ms: median(lists.concat()),
        slowest_ms: reads.iter().copied().fold(0.0, f64::max),
        read_ms: median(reads),
    })
}

/// Milliseconds of each of so many reads.
async fn timed(caller: &Caller, path: &str, count: usize) -> Result<Vec<f64>> {
    let mut took = Vec::with_capacity(count);
    for _ in 0..count {
        let began = Instant::now();
        caller.get(path).await?;
        took.push(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(took)
}
