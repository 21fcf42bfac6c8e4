//! A database that is full, read-only, gone, or loses an answer: callers hear it soon, and memory stays as the disk is.

use std::time::{Duration, Instant};

use domain::ids::JumpClientId;
use domain::{Actor, Cause, Refusal, Surface};
use engine::{Engine, ExecuteError, Lane, Side, Submission, Unavailability};
use eventstore::testing::TestDatabase;
use eventstore::{Access, Location, Options, SideTable, SideWrite};
use futures_util::future::join_all;

use crate::support::{
    How, LossyWay, SOON, Site, assert_as_the_log, behind_the_back, create_group, on_both, register,
    start_session, submission, terminate_connections,
};

/// A failed commit is told to its callers within this.
const FAILED_WITHIN: Duration = Duration::from_secs(1);

/// A fleet of `count` clients.
async fn with_clients(database: &TestDatabase, count: u64) {
    let site = Site::with_fleet(database, How::default()).await;
    register_all(&site, count).await;
    site.close().await;
}

async fn register_all(site: &Site, count: u64) {
    let numbers: Vec<u64> = (1..=count).collect();
    for numbers in numbers.chunks(4_000) {
        for answer in join_all(numbers.iter().map(|number| site.ask(register(*number)))).await {
            answer.expect("registered");
        }
    }
}

/// Lets a SQLite log grow by no more than a few pages.
async fn open_nearly_full(database: &TestDatabase) -> Site {
    let Location::Sqlite { directory } = database.location() else {
        panic!("only SQLite is bounded by its size");
    };
    // Closing has moved everything from the write-ahead log into the file.
    let size = std::fs::metadata(directory.join("log.db"))
        .expect("a file")
        .len();
    let how = How {
        options: Options {
            sqlite_bytes_max: Some(size + 16 * 4096),
            ..Options::default()
        },
        ..How::default()
    };
    Site::open(database, how).await
}

/// Asks until the disk is full; every answer of a full disk comes in time.
async fn fill(engine: &Engine) -> Vec<ExecuteError> {
    let mut round = 0;
    loop {
        round += 1;
        assert!(round < 1_000, "the disk never fills");
        let began = Instant::now();
        let asked = (0..64).map(|number| {
            let name = format!("group {round}/{number} {}", "x".repeat(200));
            engine.execute(submission(create_group(&name)))
        });
        let failed: Vec<ExecuteError> = join_all(asked)
            .await
            .into_iter()
            .filter_map(Result::err)
            .collect();
        if !failed.is_empty() {
            assert!(began.elapsed() < FAILED_WITHIN, "{:?}", began.elapsed());
            return failed;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_in_time_and_leaves_memory_as_the_disk_is() {
    let database = TestDatabase::sqlite();
    with_clients(&database, 100).await;
    let site = open_nearly_full(&database).await;
    for failed in fill(&site.engine).await {
        assert!(
            matches!(
                failed,
                ExecuteError::Unavailable {
                    cause: Unavailability::Full,
                    ..
                }
            ),
            "{failed:?}"
        );
    }
    assert_as_the_log(&site).await;
    let trouble = site.engine.trouble();
    assert!(trouble.is_some_and(|trouble| trouble.full && trouble.writing));
    // A rule's no is still a no, without an id where it can't be written down.
    let refused = site.ask(start_session(JumpClientId(9_999))).await;
    assert!(
        matches!(
            refused,
            Err(ExecuteError::Refused {
                refusal: Refusal::JumpClientGone,
                ..
            })
        ),
        "{refused:?}"
    );
    assert_as_the_log(&site).await;
    site.close().await;
    // With room again, everything goes on.
    let site = Site::open(&database, How::default()).await;
    site.run(create_group("room again")).await;
    assert_as_the_log(&site).await;
    site.close().await;
}

/// Makes every insert of an event fail, or no more.
async fn refuse_events(database: &TestDatabase, refuse: bool) {
    let sql = match (database.location(), refuse) {
        (Location::Sqlite { .. }, true) => {
            "CREATE TRIGGER refused BEFORE INSERT ON event BEGIN SELECT RAISE(ABORT, 'refused'); END"
        }
        (Location::Sqlite { .. }, false) => "DROP TRIGGER refused",
        (Location::Postgres { .. }, true) => {
            "CREATE FUNCTION refused() RETURNS trigger LANGUAGE plpgsql
             AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
             CREATE TRIGGER refused BEFORE INSERT ON event
             FOR EACH STATEMENT EXECUTE FUNCTION refused()"
        }
        (Location::Postgres { .. }, false) => "DROP TRIGGER refused ON event",
    };
    behind_the_back(database, sql).await;
}

/// Failed commits are told in time, and leave what is published as it was.
async fn fails_in_time(database: &TestDatabase, site: &Site) {
    let before = site.engine.published();
    refuse_events(database, true).await;
    for round in 0..5 {
        let began = Instant::now();
        let asked = (0..200).map(|number| site.ask(create_group(&format!("{round}/{number}"))));
        for failed in join_all(asked).await {
            let failed = failed.expect_err("refused");
            assert!(
                matches!(
                    failed,
                    ExecuteError::Unavailable {
                        cause: Unavailability::Unreachable,
                        ..
                    }
                ),
                "{failed:?}"
            );
        }
        assert!(began.elapsed() < FAILED_WITHIN, "{:?}", began.elapsed());
    }
    let after = site.engine.published();
    assert_eq!(after.tail, before.tail);
    assert!(after.world == before.world);
    let trouble = site.engine.trouble();
    assert!(trouble.is_some_and(|trouble| trouble.writing && !trouble.full));
    refuse_events(database, false).await;
    site.run(create_group("0/0")).await;
    assert!(site.engine.trouble().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_commit_is_told_in_time_and_changes_nothing() {
    on_both(async |database| {
        with_clients(database, 200).await;
        let site = Site::open(database, How::default()).await;
        fails_in_time(database, &site).await;
        assert_as_the_log(&site).await;
        site.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_a_failed_commit_with_100_000_clients_costs_callers_less_than_a_second() {
    let database = TestDatabase::sqlite();
    let site = Site::with_fleet(&database, How::default()).await;
    register_all(&site, 100_000).await;
    assert_eq!(site.engine.published().world.jump_clients.len(), 100_000);
    fails_in_time(&database, &site).await;
    site.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_killed_before_the_commit_fails_the_batch_only() {
    let database = TestDatabase::postgres().await;
    with_clients(&database, 50).await;
    let site = Site::open(&database, How::default()).await;
    let kill = terminate_connections(&database);
    let side = Side::writing(move |_| {
        kill();
        vec![SideWrite::Put {
            table: SideTable::Secret,
            key: "k".to_owned(),
            value: Vec::new(),
        }]
    });
    let began = Instant::now();
    let failed = site
        .engine
        .execute(submission(create_group("lost")).with_side(side))
        .await
        .expect_err("its connection is gone");
    assert!(
        matches!(
            failed,
            ExecuteError::Unavailable {
                cause: Unavailability::Unreachable,
                ..
            }
        ),
        "{failed:?}"
    );
    assert!(began.elapsed() < FAILED_WITHIN, "{:?}", began.elapsed());
    assert!(
        site.engine
            .published()
            .world
            .jump_groups
            .iter()
            .all(|(_, group)| group.name != "lost")
    );
    // The next one finds a new connection, and the name is free.
    site.run(create_group("lost")).await;
    let published = site.engine.published();
    site.close().await;
    let site = Site::open(&database, How::default()).await;
    assert!(site.engine.published().world == published.world);
    assert_as_the_log(&site).await;
    let rows = site.store.side_rows(SideTable::Secret, "k").await;
    assert!(rows.expect("rows").is_empty());
    site.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_settled_before_anybody_is_answered() {
    const GROUPS: usize = 400;
    let database = TestDatabase::postgres().await;
    Site::new(&database).await.close().await;
    let way = LossyWay::to(&database).await;
    let site = Site::open_at(&way.location, How::default()).await;
    way.lose_next_commit();
    let asked: Vec<_> = (0..GROUPS)
        .map(|number| {
            let engine = site.engine.clone();
            let command = create_group(&format!("group {number}"));
            tokio::spawn(async move { engine.execute(submission(command)).await })
        })
        .collect();
    tokio::time::timeout(SOON, async {
        while !way.is_closed() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the commit is sent");
    let committed = way_is_committed(&database).await;
    assert!(
        asked.iter().all(|asked| !asked.is_finished()),
        "answered in doubt"
    );
    way.open();
    for asked in asked {
        asked.await.expect("it ends").expect("it was committed");
    }
    assert!(committed > 0, "the first batch reached the log");
    assert_eq!(site.engine.published().world.jump_groups.len(), GROUPS);
    assert_as_the_log(&site).await;
    site.close().await;
}

/// How many groups are in the log, asked on a way of its own, once there is one.
async fn way_is_committed(database: &TestDatabase) -> usize {
    let store = database.open().await;
    let committed = tokio::time::timeout(SOON, async {
        loop {
            let world = crate::support::fold(&store).await;
            if !world.jump_groups.is_empty() {
                return world.jump_groups.len();
            }
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the server takes the commit");
    store.close().await;
    committed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_read_only_is_told_and_a_rule_still_says_no() {
    let database = TestDatabase::sqlite();
    with_clients(&database, 1).await;
    let how = How {
        options: Options {
            access: Access::ReadOnly,
            ..Options::default()
        },
        ..How::default()
    };
    let site = Site::open(&database, how).await;
    let failed = site.ask(create_group("a")).await.expect_err("read-only");
    assert!(
        matches!(
            failed,
            ExecuteError::Unavailable {
                cause: Unavailability::ReadOnly,
                ..
            }
        ),
        "{failed:?}"
    );
    let cause = Cause {
        actor: Actor::User(crate::support::ADMINISTRATOR),
        surface: Surface::ConsoleApi,
        address: None,
    };
    let refused = site
        .engine
        .execute(Submission::new(
            start_session(JumpClientId(2)),
            cause,
            Lane::People,
        ))
        .await;
    assert!(
        matches!(
            refused,
            Err(ExecuteError::Refused {
                refusal: Refusal::JumpClientGone,
                event: None
            })
        ),
        "{refused:?}"
    );
    site.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_that_another_keeps_is_busy_and_then_free_again() {
    let database = TestDatabase::postgres().await;
    let how = How {
        options: Options {
            lock_timeout: Duration::from_millis(100),
            ..Options::default()
        },
        ..How::default()
    };
    let site = Site::new_with(&database, how).await;
    let other = database.open().await;
    let tail = site.engine.published().tail;
    let held = other.hold_tail(&tail).await.expect("held");
    let busy = site
        .ask(create_group("a"))
        .await
        .expect_err("held by another");
    assert!(matches!(busy, ExecuteError::Busy { .. }), "{busy:?}");
    held.release().await;
    site.run(create_group("a")).await;
    assert_as_the_log(&site).await;
    other.close().await;
    site.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_comes_back_is_used_again() {
    let database = TestDatabase::postgres().await;
    let site = Site::new(&database).await;
    behind_the_back(&database, "ALTER TABLE event RENAME TO event_away").await;
    site.ask(create_group("a"))
        .await
        .expect_err("the table is away");
    behind_the_back(&database, "ALTER TABLE event_away RENAME TO event").await;
    site.run(create_group("a")).await;
    assert_as_the_log(&site).await;
    site.close().await;
}
