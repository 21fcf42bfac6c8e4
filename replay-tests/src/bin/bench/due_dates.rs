//! What people notice of due dates: an ordinary jump in a quiet minute, and while 1,000 approvals are over in the same
//! second and 5,000 schedules end in the same minute.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use domain::fleet::jump_client;
use domain::ids::{AccessRequestId, JumpClientId, JumpItemRef, JumpPolicyId, Lsid, UserId};
use domain::policy::access_request::{self, Submit};
use domain::policy::jump_policy;
use domain::policy::schedule::{Schedule, ScheduleEntry};
use domain::session::access_session::{self, Start};
use domain::time::{DAY, HOUR, MINUTE};
use domain::{Actor, Cause, Command, Event, Timestamp, record};
use engine::testing::{CountingFresh, TestClock};
use engine::{Done, Engine, EngineSetup, Lane, Submission};
use eventstore::testing::TestDatabase;
use eventstore::{Direction, Selection};
use projections::Recorded;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::fleet::{self, Size};
use crate::{kind, median};

const SESSIONS: u32 = 5_000;
const REQUESTS: u32 = 1_000;
/// Clients that anybody may jump to at any time.
pub(crate) const OTHERS: u32 = 64;
/// How long a quiet minute is watched.
pub(crate) const QUIET: Duration = Duration::from_secs(3);
/// How long the storm may take before this gives up.
pub(crate) const STORM_MAX: Duration = Duration::from_secs(60);
const ADMINISTRATOR: UserId = UserId(1);
const HOURS: JumpPolicyId = JumpPolicyId(1);
const APPROVED: JumpPolicyId = JumpPolicyId(2);

pub(crate) async fn run() -> Result<()> {
    println!(
        "due_dates: milliseconds of a jump while {REQUESTS} approvals end in one second and {SESSIONS} sessions by schedule"
    );
    println!(
        "{:<10} {:>12} {:>10} {:>12} {:>10} {:>7} {:>14}",
        "database",
        "quiet median",
        "quiet 99 %",
        "storm median",
        "storm 99 %",
        "ratio",
        "all decided in"
    );
    for database in [TestDatabase::sqlite(), TestDatabase::postgres().await] {
        measure(&database).await?;
    }
    Ok(())
}

async fn measure(database: &TestDatabase) -> Result<()> {
    let store = database.open().await;
    let size = Size {
        clients: SESSIONS + REQUESTS + OTHERS,
        users: 0,
        events: 0,
    };
    fleet::make(&store, &size).await?;
    // A day far behind the history, at two in the afternoon.
    let midnight = Timestamp(1_767_571_200_000_000);
    let clock = TestClock::at(midnight.plus(14 * HOUR));
    let setup = EngineSetup::new(store.clone(), clock.clone(), CountingFresh::new());
    let (engine, task) = Engine::start(setup).await?;
    let (_lease, held) = watch::channel(true);
    engine.serve_due_dates(held);
    policies(&engine).await?;
    sessions(&engine).await?;
    requests(&engine, midnight.plus(17 * HOUR)).await?;
    // Whatever is told before the end is told in the minutes before.
    for minute in [15, 10, 5, 1] {
        clock.set(midnight.plus(17 * HOUR - minute * MINUTE));
        settle(&engine).await?;
    }

    let stop = Arc::new(AtomicBool::new(false));
    let quiet = jumps(&engine, QUIET, &stop).await?;
    let first = engine.published().tail.position + 1;
    let jumping = tokio::spawn({
        let (engine, stop) = (engine.clone(), Arc::clone(&stop));
        async move { jumps(&engine, STORM_MAX, &stop).await }
    });
    let began = Instant::now();
    clock.set(midnight.plus(17 * HOUR));
    until(&engine, |engine| {
        let world = &engine.published().world;
        world.access_requests.is_empty() && world.sessions.len() <= 1
    })
    .await?;
    let took = began.elapsed();
    stop.store(true, Ordering::Relaxed);
    let storm = jumping.await??;
    ensure!(!storm.is_empty(), "nobody jumped meanwhile");
    check_order(&store, first, midnight.plus(17 * HOUR)).await?;
    let at = |figures: &[f64], share: f64| {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let place = (sorted.len() as f64 * share) as usize;
        sorted.get(place).copied().unwrap_or(f64::NAN)
    };
    let (calm, busy) = (median(quiet.clone()), median(storm.clone()));
    println!(
        "{:<10} {calm:>12.2} {:>10.2} {busy:>12.2} {:>10.2} {:>6.1}x {:>12.2} s",
        kind(database),
        at(&quiet, 0.99),
        at(&storm, 0.99),
        busy / calm,
        took.as_secs_f64()
    );
    task.shut_down().await;
    store.close().await;
    Ok(())
}

/// A policy whose schedule ends sessions at 17:00, and one with approval; who is under which.
async fn policies(engine: &Engine) -> Result<()> {
    let create = |body: Value| {
        let record = record::Command::Create(object(body));
        Command::JumpPolicy(jump_policy::Command::Record(record))
    };
    ask(
        engine,
        create(json!({"display_name": "Hours", "schedule_enabled": false})),
    )
    .await?;
    let approved = json!({
        "display_name": "Approved",
        "schedule_enabled": false,
        "approval_required": true,
        "approval_display_name": "Manager",
        "approval_email_addresses": ["boss@example.com"],
    });
    ask(engine, create(approved)).await?;
    let entries = (0..7).map(|day| ScheduleEntry {
        start_day: day,
        start_minute: 8 * 60,
        end_day: day,
        end_minute: 17 * 60,
    });
    let schedule = Schedule {
        entries: entries.collect(),
        ..Schedule::default()
    };
    let schedule = jump_policy::Command::SetSchedule(HOURS, schedule);
    ask(engine, Command::JumpPolicy(schedule)).await?;
    let strict = json!({"schedule_enabled": true, "schedule_strict": true});
    let strict = record::Command::Change(HOURS, object(strict));
    ask(
        engine,
        Command::JumpPolicy(jump_policy::Command::Record(strict)),
    )
    .await?;
    let under = (1..=SESSIONS + REQUESTS).map(|number| {
        let policy = if number <= SESSIONS { HOURS } else { APPROVED };
        let change = object(json!({"jump_policy_id": policy}));
        Command::JumpClient(jump_client::Command::Change(JumpClientId(number), change))
    });
    ask_all(
        engine,
        under.map(|command| (administrator(), command)).collect(),
    )
    .await?;
    Ok(())
}

async fn sessions(engine: &Engine) -> Result<()> {
    let starts = (1..=SESSIONS).map(|client| (administrator(), start(JumpClientId(client))));
    let started = ask_all(engine, starts.collect()).await?;
    let established = started.iter().map(|done| {
        let (lsid, client) = begun(done)?;
        let command = Command::AccessSession(access_session::Command::Establish { lsid, client });
        Ok((Actor::JumpClient(client), command))
    });
    ask_all(engine, established.collect::<Result<_>>()?).await?;
    Ok(())
}

/// Approved requests that are all over at `ends_at`.
async fn requests(engine: &Engine, ends_at: Timestamp) -> Result<()> {
    let asked = (SESSIONS + 1..=SESSIONS + REQUESTS).map(|client| {
        let submit = Submit {
            user: ADMINISTRATOR,
            item: JumpItemRef::JumpClient(JumpClientId(client)),
            reason: "work".to_owned(),
            start_at: ends_at.plus(-2 * HOUR),
            duration_seconds: 7_200,
        };
        let command = access_request::Command::Submit(submit);
        (administrator(), Command::AccessRequest(command))
    });
    ask_all(engine, asked.collect()).await?;
    let approved = (1..=REQUESTS).map(|number| {
        let request = AccessRequestId(number);
        let command = access_request::Command::Approve {
            request,
            comment: String::new(),
            speaking_for: None,
        };
        let approver = Actor::Approver { request, index: 0 };
        (approver, Command::AccessRequest(command))
    });
    ask_all(engine, approved.collect()).await?;
    Ok(())
}

/// Jumps one after the other, each to be ended at once; what the starts took, in milliseconds.
async fn jumps(engine: &Engine, most: Duration, stop: &AtomicBool) -> Result<Vec<f64>> {
    jumps_to(engine, SESSIONS + REQUESTS, most, stop).await
}

/// Jumps, one after the other, to the [`OTHERS`] clients after the client `after`; how long each took. Unit: milliseconds.
pub(crate) async fn jumps_to(
    engine: &Engine,
    after: u32,
    most: Duration,
    stop: &AtomicBool,
) -> Result<Vec<f64>> {
    let mut took = Vec::new();
    let began = Instant::now();
    let mut client = after;
    while began.elapsed() < most && !stop.load(Ordering::Relaxed) {
        client += 1;
        if client > after + OTHERS {
            client = after + 1;
        }
        let asked = Instant::now();
        let done = ask(engine, start(JumpClientId(client))).await?;
        took.push(asked.elapsed().as_secs_f64() * 1e3);
        let (lsid, _) = begun(&done)?;
        let end = access_session::Command::End { lsid };
        ask(engine, Command::AccessSession(end)).await?;
    }
    Ok(took)
}

/// Nothing is decided before it is due, and everything that was due is decided once.
async fn check_order(store: &eventstore::EventStore, first: u64, due: Timestamp) -> Result<()> {
    let (mut ended, mut closed, mut from) = (0, 0, first);
    loop {
        let page = store
            .read(&Selection::All, from, Direction::Forward, 5_000)
            .await?;
        let Some(last) = page.last() else { break };
        from = last.position + 1;
        for event in &page {
            let recorded = Recorded::from_stored(event)?;
            match recorded.event {
                Event::AccessSession(_, access_session::Event::Ended(_)) => ended += 1,
                Event::AccessRequest(_, access_request::Event::Closed(_)) => closed += 1,
                _ => continue,
            }
            ensure!(recorded.recorded_at >= due, "decided before it was due");
            ensure!(
                recorded.recorded_at < due.plus(DAY),
                "decided long after it was due"
            );
        }
    }
    ensure!(ended == SESSIONS, "{ended} sessions ended");
    ensure!(closed == REQUESTS, "{closed} requests closed");
    Ok(())
}

pub(crate) const fn administrator() -> Actor {
    Actor::User(ADMINISTRATOR)
}

fn start(client: JumpClientId) -> Command {
    Command::AccessSession(access_session::Command::Start(Start::new(
        ADMINISTRATOR,
        JumpItemRef::JumpClient(client),
        "192.0.2.9".to_owned(),
        "Unknown".to_owned(),
    )))
}

fn begun(done: &Done) -> Result<(Lsid, JumpClientId)> {
    done.events
        .iter()
        .find_map(|event| match event {
            Event::AccessSession(lsid, access_session::Event::Started(started)) => {
                Some((*lsid, started.item.jump_client()?))
            }
            _ => None,
        })
        .context("no session started")
}

pub(crate) fn object(value: Value) -> record::Object {
    value.as_object().cloned().unwrap_or_default()
}

async fn ask(engine: &Engine, command: Command) -> Result<Done> {
    ask_as(engine, administrator(), command, Lane::People).await
}

async fn ask_as(engine: &Engine, actor: Actor, command: Command, lane: Lane) -> Result<Done> {
    let name = command.name();
    engine
        .execute(Submission::new(command, Cause::program(actor), lane))
        .await
        .with_context(|| name.to_owned())
}

/// Asks all at once, a few hundred at a time; the answers in their order.
pub(crate) async fn ask_all(engine: &Engine, commands: Vec<(Actor, Command)>) -> Result<Vec<Done>> {
    let mut all = Vec::new();
    let mut commands = commands.into_iter().enumerate().peekable();
    while commands.peek().is_some() {
        let mut asked = JoinSet::new();
        for (number, (actor, command)) in commands.by_ref().take(512) {
            let engine = engine.clone();
            asked.spawn(async move {
                let done = ask_as(&engine, actor, command, Lane::Integrations).await;
                done.map(|done| (number, done))
            });
        }
        while let Some(done) = asked.join_next().await {
            all.push(done??);
        }
    }
    all.sort_by_key(|(number, _)| *number);
    Ok(all.into_iter().map(|(_, done)| done).collect())
}

/// Waits until nothing happens for a moment.
pub(crate) async fn settle(engine: &Engine) -> Result<()> {
    let mut before = 0;
    loop {
        let position = engine.published().tail.position;
        if position == before {
            return Ok(());
        }
        before = position;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

pub(crate) async fn until(engine: &Engine, is_so: impl Fn(&Engine) -> bool) -> Result<()> {
    let mut position = engine.watch_position();
    let waiting = async {
        loop {
            position.borrow_and_update();
            if is_so(engine) {
                return Ok(());
            }
            position.changed().await?;
        }
    };
    tokio::time::timeout(STORM_MAX, waiting)
        .await
        .context("the due dates take too long")?
}
