//! Opening refuses what it must not touch, and a log without room loses nothing.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use eventstore::ExpectedRevision::{Any, Exact};
use eventstore::testing::TestDatabase;
use eventstore::{
    Access, AppendError, EventStore, Location, OpenError, Options, SCHEMA_VERSION, SideTable,
    StoreError,
};

use crate::support::{NOW, append, everything, on_both, positions, tamper, to};

async fn refusal(location: &Location, options: Options) -> OpenError {
    match EventStore::open(location, options).await {
        Ok(_) => panic!("{location:?} was opened"),
        Err(error) => error,
    }
}

fn reading() -> Options {
    Options {
        access: Access::ReadOnly,
        ..Options::default()
    }
}

fn log_file(database: &TestDatabase) -> std::path::PathBuf {
    match database.location() {
        Location::Sqlite { directory } => directory.join("log.db"),
        Location::Postgres { .. } => panic!("a file of SQLite"),
    }
}

#[tokio::test]
async fn a_log_is_there_again_after_it_was_closed() {
    on_both(async |database, store| {
        append(&store, "a-1", Any, 1..=3).await.expect("appended");
        let head = store.head().await.expect("readable");
        store.close().await;
        let store = database.open().await;
        assert_eq!(store.head().await.expect("readable"), head);
        assert_eq!(*store.watch_head().borrow(), 3);
        append(&store, "a-1", Exact(2), [4]).await.expect("goes on");
        store.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_sqlite_log_is_for_its_user_only() {
    let database = TestDatabase::sqlite();
    let store = database.open().await;
    append(&store, "a-1", Any, [1]).await.expect("appended");
    let file = log_file(&database);
    for path in [
        file.clone(),
        file.with_extension("db-wal"),
        file.with_extension("db-shm"),
    ] {
        assert_eq!(
            fs::metadata(&path).expect("there").mode() & 0o777,
            0o600,
            "{}",
            path.display()
        );
    }
    assert_eq!(
        fs::metadata(file.parent().expect("a parent"))
            .expect("there")
            .mode()
            & 0o777,
        0o700
    );
    store.close().await;
}

#[tokio::test]
async fn a_newer_log_is_refused() {
    on_both(async |database, store| {
        store.close().await;
        let newer = SCHEMA_VERSION + 1;
        let sql = match database.kind() {
            "SQLite" => format!("PRAGMA user_version = {newer}"),
            _ => format!("UPDATE gatebook_schema SET version = {newer}"),
        };
        tamper(database, &sql).await;
        for options in [Options::default(), reading()] {
            let error = refusal(database.location(), options).await;
            assert!(
                matches!(error, OpenError::Newer { found, .. } if found == newer),
                "{error}"
            );
            assert!(error.to_string().contains("or a newer one"), "{error}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_log_that_needs_a_newer_reader_is_refused() {
    on_both(async |database, store| {
        tamper(
            database,
            &format!("UPDATE log_head SET min_reader = {}", SCHEMA_VERSION + 1),
        )
        .await;
        let refused = append(&store, "a-1", Any, [1]).await;
        assert!(
            matches!(
                refused,
                Err(AppendError::NotCommitted(StoreError::Newer { .. }))
            ),
            "{refused:?}"
        );
        store.close().await;
        let error = refusal(database.location(), Options::default()).await;
        assert!(matches!(error, OpenError::Newer { .. }), "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_database_of_another_program_is_refused_and_left_alone() {
    for kind in ["SQLite", "PostgreSQL"] {
        let database = match kind {
            "SQLite" => TestDatabase::sqlite(),
            _ => TestDatabase::postgres().await,
        };
        if let Location::Sqlite { directory } = database.location() {
            fs::create_dir_all(directory).expect("made");
            fs::write(directory.join("log.db"), b"").expect("made");
        }
        tamper(&database, "CREATE TABLE customer (x INTEGER)").await;
        for options in [Options::default()] {
            let error = refusal(database.location(), options).await;
            assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
            assert!(error.to_string().contains("a place of its own"), "{error}");
        }
        tamper(&database, "INSERT INTO customer VALUES (1)").await;
        let sql = match kind {
            "SQLite" => "PRAGMA application_id = 77",
            _ => {
                "DROP TABLE customer; CREATE TABLE gatebook_schema (application_id integer, version integer); INSERT INTO gatebook_schema VALUES (77, 1)"
            }
        };
        tamper(&database, sql).await;
        let error = refusal(database.location(), Options::default()).await;
        assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_damaged_file_is_refused() {
    let database = TestDatabase::sqlite();
    let store = database.open().await;
    for start in (0..5_000).step_by(1_000) {
        append(&store, &format!("s-{start}"), Any, start..start + 1_000)
            .await
            .expect("appended");
    }
    store.close().await;
    let file = log_file(&database);
    let whole = fs::read(&file).expect("readable");
    let overwritten = |place: usize, length: usize| {
        let mut bytes = whole.clone();
        bytes[place..place + length].fill(0xa5);
        bytes
    };
    let cases = [
        (
            "no database at all",
            b"this is not a database, whatever its name says".repeat(100),
        ),
        ("a damaged header", overwritten(0, 100)),
        ("a damaged schema", overwritten(100, 1_000)),
        (
            "a damaged page",
            overwritten(whole.len() / 2 / 4096 * 4096, 4096),
        ),
        ("cut in the middle", whole[..whole.len() / 2].to_vec()),
    ];
    for (what, bytes) in cases {
        fs::write(&file, &bytes).expect("writable");
        for options in [Options::default(), reading()] {
            let error = refusal(database.location(), options).await;
            assert!(
                matches!(error, OpenError::Corrupt { .. }),
                "{what}: {error}"
            );
            assert!(
                error.to_string().contains("restore the newest backup"),
                "{error}"
            );
        }
        assert!(
            fs::read(&file).expect("readable") == bytes,
            "{what}: the file was changed"
        );
    }
    fs::write(&file, &whole).expect("writable");
    database.open().await.close().await;
}

#[tokio::test]
async fn a_log_whose_newest_events_do_not_match_is_refused() {
    let cases = [
        "DELETE FROM event WHERE position = 9",
        "DELETE FROM event WHERE position = 5",
        "UPDATE event SET recorded_at = 1 WHERE position = 7",
        "UPDATE log_head SET position = 10",
    ];
    for sql in cases {
        on_both(async |database, store| {
            append(&store, "a-1", Any, 1..=9).await.expect("appended");
            store.close().await;
            tamper(database, sql).await;
            let error = refusal(database.location(), Options::default()).await;
            assert!(matches!(error, OpenError::Corrupt { .. }), "{sql}: {error}");
        })
        .await;
    }
}

#[tokio::test]
async fn reading_beside_a_server_sees_everything_and_changes_nothing() {
    on_both(async |database, store| {
        append(&store, "a-1", Any, 1..=3).await.expect("appended");
        let reader = database.open_with(reading()).await;
        let mut subscription = reader.subscribe(0, eventstore::Selection::All);
        assert_eq!(
            positions(&subscription.next().await.expect("readable")),
            [1, 2, 3]
        );
        append(&store, "a-1", Any, [4]).await.expect("appended");
        assert_eq!(
            positions(&subscription.next().await.expect("readable")),
            [4]
        );
        assert!(reader.verify(|_| {}).await.expect("readable").is_whole());
        let refused = append(&reader, "a-1", Any, [5]).await;
        assert!(
            matches!(
                refused,
                Err(AppendError::NotCommitted(StoreError::ReadOnly))
            ),
            "{refused:?}"
        );
        let refused = [
            reader.register_node("x", None).await.map(|_| ()),
            reader.put_latest(&[("k".to_owned(), vec![])]).await,
            reader
                .sweep_side(SideTable::Secret, &["k".to_owned()])
                .await
                .map(|_| ()),
            reader
                .change_side_rows((SideTable::Secret, ""), |_| vec![])
                .await,
        ];
        // PostgreSQL lets a transaction without a write pass, which is no harm.
        for refused in &refused[..3] {
            assert!(matches!(refused, Err(StoreError::ReadOnly)), "{refused:?}");
        }
        reader.close().await;
    })
    .await;
}

#[tokio::test]
async fn reading_does_not_make_a_log() {
    for database in TestDatabase::both().await {
        let error = refusal(database.location(), reading()).await;
        assert!(matches!(error, OpenError::Missing { .. }), "{error}");
    }
}

#[tokio::test]
async fn an_address_that_leads_nowhere_is_refused_without_its_password() {
    let cases = [
        (
            "postgres://gatebook:hunter2@127.0.0.1:1/gatebook",
            "can't be reached",
        ),
        ("not a url hunter2", "can't be understood"),
    ];
    for (url, said) in cases {
        let location = Location::Postgres {
            url: url.to_owned(),
        };
        let error = refusal(&location, Options::default()).await;
        let shown = format!("{error} {error:?} {location:?}");
        assert!(error.to_string().contains(said), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[tokio::test]
async fn a_read_only_postgresql_is_refused() {
    let database = TestDatabase::postgres().await;
    database.open().await.close().await;
    let Location::Postgres { url } = database.location() else {
        panic!("PostgreSQL")
    };
    let separator = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{separator}options=-c%20default_transaction_read_only%3Don");
    let error = refusal(&Location::Postgres { url }, Options::default()).await;
    assert!(matches!(error, OpenError::ReadOnly { .. }), "{error}");
    assert!(error.to_string().contains("write permission"), "{error}");
}

/// Permissions do not bind root, so the test runs itself again as an ordinary user then.
#[tokio::test]
async fn a_read_only_directory_or_file_is_refused() {
    const WHO: &str = "GATEBOOK_TEST_READ_ONLY";
    if let Some(directory) = std::env::var_os(WHO) {
        let location = Location::Sqlite {
            directory: directory.into(),
        };
        let error = refusal(&location, Options::default()).await;
        assert!(matches!(error, OpenError::ReadOnly { .. }), "{error}");
        return;
    }
    let database = TestDatabase::sqlite();
    let store = database.open().await;
    append(&store, "a-1", Any, [1]).await.expect("appended");
    store.close().await;
    let file = log_file(&database);
    let directory = file.parent().expect("a parent").to_owned();
    let below = directory.join("below");
    let mode = |path: &Path, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("changed")
    };
    // The binary may lie where others can't read it.
    let program = database.directory().join("test-program");
    fs::copy(std::env::current_exe().expect("known"), &program).expect("copied");
    mode(&program, 0o755);
    mode(database.directory(), 0o755);
    mode(&file, 0o444);
    for path in [&directory, &below] {
        mode(&directory, 0o555);
        let mut again = Command::new(&program);
        again
            .args([
                "opening::a_read_only_directory_or_file_is_refused",
                "--exact",
            ])
            .env(WHO, path);
        if fs::metadata("/proc/self").expect("there").uid() == 0 {
            again.uid(65_534).gid(65_534);
        }
        let output = again.output().expect("runs");
        mode(&directory, 0o755);
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && said.contains("1 passed"),
            "{}: {said}",
            path.display()
        );
    }
}

#[tokio::test]
async fn a_full_disk_is_said_and_loses_nothing() {
    let database = TestDatabase::sqlite();
    let options = Options {
        sqlite_bytes_max: Some(1024 * 1024),
        ..Options::default()
    };
    let store = database.open_with(options.clone()).await;
    let mut appended: u64 = 0;
    let error = loop {
        let start = u128::from(appended) + 1;
        match append(&store, "a-1", Any, start..start + 20).await {
            Ok(done) => appended = done.head.position,
            Err(error) => break error,
        }
        assert!(appended < 100_000, "1 MiB is never full");
    };
    assert!(
        matches!(error, AppendError::NotCommitted(StoreError::Full)),
        "{error:?}"
    );
    let tail = store.head().await.expect("readable").into();
    let held = store
        .hold_tail(&tail)
        .await
        .expect("holding writes nothing");
    let refused = held
        .commit(vec![to("b-1", Any, 1_000_000..1_000_200)], Vec::new(), NOW)
        .await;
    assert!(
        matches!(
            refused,
            Err(eventstore::CommitError::NotCommitted(StoreError::Full))
        ),
        "{refused:?}"
    );
    assert_eq!(
        positions(&everything(&store).await),
        (1..=appended).collect::<Vec<_>>()
    );
    assert!(store.verify(|_| {}).await.expect("readable").is_whole());
    store.close().await;

    let store = database.open().await;
    assert_eq!(store.head().await.expect("readable").position, appended);
    append(&store, "a-1", Exact(appended - 1), [500_000])
        .await
        .expect("with room it goes on");
    assert!(store.verify(|_| {}).await.expect("readable").is_whole());
    store.close().await;
}
