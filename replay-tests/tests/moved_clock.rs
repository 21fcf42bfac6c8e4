//! The clock of a whole node is a year ahead for a moment, is put right, and is put back: every decision goes by what the clock
//! shows then, before a restart and after it, and the log's order does not suffer. On both databases.

use anyhow::{Context, Result, ensure};
use eventstore::Location;
use eventstore::testing::TestDatabase;
use replay_tests::caller::Caller;
use replay_tests::program::{Running, resumed_agent};
use replay_tests::stage::{PASSWORD, Stage, at, end, jump, no_jump, until};
use reqwest::Method;
use serde_json::{Value, json};

/// The role that may start sessions.
const START_ONLY: u64 = 2;

/// A Thursday.
const BEGIN: &str = "2026-03-05T10:00:00Z";
/// A Saturday night of the year after.
const AHEAD: &str = "2027-03-06T23:00:00Z";
/// The Thursday again, a minute later.
const PUT_RIGHT: &str = "2026-03-05T10:01:00Z";

/// The items, by the names of their policies.
const ITEMS: [&str; 3] = ["office", "night", "vetted"];

const REQUESTS: &str = "/api/console/v1/access-requests";

/// Items by the Jump Policy they are under.
struct Items {
    /// Open on Thursdays from 8 to 17.
    office: String,
    /// Open on Saturdays from 22.
    night: String,
    /// Needs an approval.
    vetted: String,
}

async fn policy_with_schedule(stage: &Stage, name: &str, entry: Value) -> Result<u64> {
    let policy = json!({"display_name": name, "schedule_enabled": false});
    let policy = stage.id_of_new("jump-policy", policy).await?;
    let schedule = json!({"timezone": "UTC", "entries": [entry]});
    let path = format!("/api/console/v1/jump-policies/{policy}/schedule");
    stage
        .administrator
        .send(Method::PUT, &path, &schedule)
        .await?;
    let path = format!("/api/config/v1/jump-policy/{policy}");
    let enabled = json!({"schedule_enabled": true});
    stage.api.send(Method::PATCH, &path, &enabled).await?;
    Ok(policy)
}

/// Lena may start sessions on an item of each group; Mark approves.
async fn set_up(stage: &mut Stage) -> Result<Items> {
    let thursday =
        json!({"start_day": 3, "start_time": "08:00", "end_day": 3, "end_time": "17:00"});
    let saturday =
        json!({"start_day": 5, "start_time": "22:00", "end_day": 5, "end_time": "23:59"});
    let mark = stage.user("mark", "").await?;
    let vetted = json!({
        "display_name": "Vetted", "schedule_enabled": false,
        "approval_required": true, "approval_max_duration": 180, "approval_scope": "requestor",
        "approval_display_name": "Mark", "approval_user_ids": [mark.to_string()],
    });
    let policies = [
        policy_with_schedule(stage, "Office", thursday).await?,
        policy_with_schedule(stage, "Night", saturday).await?,
        stage.id_of_new("jump-policy", vetted).await?,
    ];
    let lena = stage.user("lena", "").await?;
    let staff = json!({
        "name": "Staff", "perm_access_allowed": true, "perm_jump_client": true,
        "default_jump_item_role_id": START_ONLY, "private_jump_item_role_id": START_ONLY,
        "inferior_jump_item_role_id": START_ONLY, "unassigned_jump_item_role_id": START_ONLY,
    });
    let staff = stage.id_of_new("group-policy", staff).await?;
    let member = json!({ "user_id": lena });
    stage
        .make(&format!("group-policy/{staff}/member"), member)
        .await?;
    let by_lena = stage.sign_in("lena").await?;
    let mut items = Vec::new();
    for (name, policy) in ITEMS.into_iter().zip(policies) {
        let group = stage
            .id_of_new("jump-group", json!({ "name": name }))
            .await?;
        let row = json!({"jump_group_id": group, "jump_item_role_id": START_ONLY, "jump_policy_id": policy});
        stage
            .make(&format!("group-policy/{staff}/jump-group"), row)
            .await?;
        items.push(stage.machine(name, ("shared", group), &by_lena).await?);
    }
    let [office, night, vetted] =
        <[String; 3]>::try_from(items).map_err(|_| anyhow::anyhow!("three items"))?;
    Ok(Items {
        office,
        night,
        vetted,
    })
}

fn wish(item: &str) -> Value {
    json!({ "item": item })
}

/// The preview of a start and the start itself say the same: open.
async fn is_open(lena: &Caller, item: &str) -> Result<()> {
    let preview = lena
        .get(&format!("/api/console/v1/items/{item}/start"))
        .await?;
    ensure!(preview["needs"] == json!([]), "{preview}");
    let session = jump(lena, &wish(item)).await?;
    end(lena, &session).await
}

/// The preview of a start and the start itself say the same: not before `next`.
async fn is_closed(lena: &Caller, item: &str, policy: &str, next: &str) -> Result<()> {
    let words = format!(
        "The Jump Policy \"{policy}\" does not permit a session at this time. Next available: {next} (UTC)."
    );
    no_jump(lena, &wish(item), (403, &words)).await?;
    let path = format!("/api/console/v1/items/{item}/start");
    let preview = lena.request(Method::GET, &path).send().await?;
    let status = preview.status().as_u16();
    let said: Value = preview.json().await?;
    ensure!(status == 403 && said["message"] == words, "{status} {said}");
    Ok(())
}

async fn schedules_go_by_the_clock(lena: &Caller, items: &Items) -> Result<()> {
    is_open(lena, &items.office).await?;
    is_closed(lena, &items.night, "Night", "Saturday, 2026-03-07 22:00").await
}

/// What begins now lasts from now.
async fn new_terms_count_from(
    stage: &Stage,
    now: &str,
    sign_in_end: &str,
    hour_later: &str,
) -> Result<()> {
    let group = stage.id_of_new("jump-group", json!({"name": now})).await?;
    let body = json!({"jump_group_id": group, "valid_duration": 60, "name": "new"});
    let installer = stage.make("jump-client/installer", body).await?;
    let expires = installer["expiration_timestamp"].as_str();
    ensure!(
        expires.is_some_and(|at| at.starts_with(hour_later)),
        "{installer}"
    );
    let body = json!({"username": "lena", "password": PASSWORD, "bearer": true});
    let url = format!("{}/api/console/v1/sign-in", stage.site.url());
    let answer = reqwest::Client::new().post(url).json(&body).send().await?;
    let signed_in: Value = answer.json().await?;
    let expires = signed_in["expires_at"].as_str();
    ensure!(
        expires.is_some_and(|at| at.starts_with(sign_in_end)),
        "{signed_in}"
    );
    Ok(())
}

/// Lena asks for half an hour from now, Mark approves, and it is open at once; the request.
async fn approved_from_now(stage: &Stage, lena: &Caller, item: &str) -> Result<String> {
    let form = json!({"item": item, "reason": "patch day", "duration": 1_800});
    let asked = lena.send(Method::POST, REQUESTS, &form).await?;
    let request = format!("{REQUESTS}/{}", asked["id"]);
    let mark = stage.sign_in("mark").await?;
    mark.send(Method::POST, &format!("{request}/approve"), &json!({}))
        .await?;
    is_open(lena, item).await?;
    Ok(request)
}

/// How often the log has an event of this name.
async fn count(stage: &Stage, name: &str) -> Result<usize> {
    let log = stage.site.log().await?;
    Ok(log.iter().filter(|event| event.name == name).count())
}

async fn health(stage: &Stage) -> Result<String> {
    let answer = reqwest::get(format!("{}/check_health", stage.site.url())).await?;
    ensure!(answer.status() == 200, "{}", answer.status());
    Ok(answer.text().await?)
}

/// Health and an event tell that the clock is behind.
async fn it_is_told(stage: &Stage, times: usize) -> Result<()> {
    until("an event tells of the clock", async || {
        Ok(count(stage, "NodeClockFellBehind").await? == times)
    })
    .await?;
    let said = health(stage).await?;
    ensure!(
        said.contains("clock is more than a minute behind"),
        "{said}"
    );
    let health = stage.api.text("/api/command?action=check_health").await?;
    ensure!(health.contains("<success>1</success>"), "{health}");
    ensure!(
        health.contains("clock is more than a minute behind"),
        "{health}"
    );
    Ok(())
}

async fn a_clock_that_leaps(database: TestDatabase) -> Result<()> {
    let mut stage = Stage::open_on(database, BEGIN).await?;
    let items = set_up(&mut stage).await?;
    let lena = stage.sign_in("lena").await?;
    schedules_go_by_the_clock(&lena, &items).await?;
    ensure!(health(&stage).await? == "The site is healthy.\n");

    // A year ahead for a moment, in which something is recorded.
    stage.site.clock.set(at(AHEAD)?);
    let of_then = stage.sign_in("lena").await?;
    let token_of_then = stage.site.api().await?;
    is_open(&of_then, &items.night).await?;
    stage.site.clock.set(at(PUT_RIGHT)?);
    // Tokens that had ended by then are gone: whoever needs one asks for another.
    stage.api = stage.site.api().await?;
    it_is_told(&stage, 1).await?;

    // The sign-in and the token of then would last for a year.
    for (caller, path) in [
        (of_then, "/api/console/v1/items"),
        (token_of_then, "/api/config/v1/jump-group"),
    ] {
        let answer = caller.request(Method::GET, path).send().await?;
        ensure!(
            [401, 403].contains(&answer.status().as_u16()),
            "{path}: {}",
            answer.status()
        );
    }
    let lena = stage.sign_in("lena").await?;
    schedules_go_by_the_clock(&lena, &items).await?;
    new_terms_count_from(
        &stage,
        PUT_RIGHT,
        "2026-03-05T22:01:00",
        "2026-03-05T11:01:00",
    )
    .await?;
    let request = approved_from_now(&stage, &lena, &items.vetted).await?;

    // The same after a start, with the clock where it should be.
    let (mut stage, agents) = restarted(stage, "2026-03-05T10:02:00Z").await?;
    it_is_told(&stage, 2).await?;
    let lena = stage.sign_in("lena").await?;
    schedules_go_by_the_clock(&lena, &items).await?;

    // The window of the approval ends by the clock: it is a due date, and a rule.
    let state = lena.get(&request).await?["state"].take();
    ensure!(state == "approved" || state == "in_use", "{state}");
    stage.site.clock.set(at("2026-03-05T10:31:00Z")?);
    until("the request is over", async || {
        Ok(count(&stage, "AccessRequestClosed").await? == 1)
    })
    .await?;
    let needs = "Before the session can start, it needs: approval.";
    no_jump(&lena, &wish(&items.vetted), (409, needs)).await?;

    // A day back.
    stage.site.clock.set(at("2026-03-04T10:00:00Z")?);
    stage.administrator = stage.site.administrator().await?;
    stage.api = stage.site.api().await?;
    let lena = stage.sign_in("lena").await?;
    is_closed(&lena, &items.office, "Office", "Thursday, 2026-03-05 08:00").await?;
    new_terms_count_from(
        &stage,
        "2026-03-04T10:00:00Z",
        "2026-03-04T22:00:00",
        "2026-03-04T11:00:00",
    )
    .await?;

    // The clock passes the newest event of the log: that is told as well, and nothing of it is left.
    stage.site.clock.set(at("2027-03-06T23:01:00Z")?);
    until("an event tells that the clock has caught up", async || {
        Ok(count(&stage, "NodeClockCaughtUp").await? == 1)
    })
    .await?;
    ensure!(health(&stage).await? == "The site is healthy.\n");
    for agent in agents {
        agent.stop()?;
    }
    let database = stage.close_and_keep().await?;
    let store = database.open().await;
    let verified = store.verify(|_| {}).await?;
    ensure!(verified.is_whole(), "{:?}", verified.faults);
    store.close().await;
    Ok(())
}

/// Closes the site and opens it again, with its agents.
async fn restarted(stage: Stage, moment: &str) -> Result<(Stage, Vec<Running>)> {
    let states = stage.site.database.directory().join("agents");
    let database = stage.close_and_keep().await?;
    // Without its snapshots: the log itself says what was decided when.
    let snapshots = match database.location() {
        Location::Sqlite { directory } => directory.join("snapshots"),
        Location::Postgres { .. } => database.directory().join("node/snapshots"),
    };
    if snapshots.is_dir() {
        std::fs::remove_dir_all(snapshots)?;
    }
    let stage = Stage::open_on(database, moment).await?;
    let url = stage.site.agent_url();
    let agents = ITEMS
        .iter()
        .map(|name| resumed_agent(&url, &states.join(name)))
        .collect::<Result<Vec<_>>>()?;
    let lena = stage.sign_in("lena").await?;
    until("the machines are online again", async || {
        let items = lena.get("/api/console/v1/items").await?;
        Ok(items["counts"]["online"] == ITEMS.len())
    })
    .await?;
    Ok((stage, agents))
}

/// POL-11, POL-13, APPR-08, INST-06, AUTH-07
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_go_by_the_clock_and_the_log_by_its_order() -> Result<()> {
    for database in TestDatabase::both().await {
        let kind = database.kind();
        a_clock_that_leaps(database).await.context(kind)?;
    }
    Ok(())
}
