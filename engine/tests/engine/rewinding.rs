//! A log that is put back beneath a running engine: it stops writing, says so, and a new start folds what is there.

use engine::{ExecuteError, Halt, Unavailability};
use eventstore::testing::TestDatabase;
use eventstore::{EventStore, Head, Location};

use crate::support::{How, SOON, Site, assert_as_the_log, behind_the_back, create_group, on_both};

/// Puts the log back to how it was at `head`, as restoring an older dump does.
async fn put_back(database: &TestDatabase, head: Head) {
    let hash: String = head
        .tail_hash
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let position = head.position;
    let bytes = match database.location() {
        Location::Sqlite { .. } => format!("x'{hash}'"),
        Location::Postgres { .. } => format!("decode('{hash}', 'hex')"),
    };
    let sql = format!(
        "BEGIN;
         DELETE FROM event WHERE position > {position};
         DELETE FROM stream WHERE name NOT IN (SELECT stream FROM event);
         UPDATE stream SET revision = (SELECT max(revision) FROM event WHERE stream = name),
                           position = (SELECT max(position) FROM event WHERE stream = name);
         UPDATE log_head SET position = {position}, tail_hash = {bytes};
         COMMIT;"
    );
    behind_the_back(database, &sql).await;
}

async fn is_halted(site: &Site) {
    let failed = site.ask(create_group("after")).await.expect_err("halted");
    assert!(
        matches!(
            &failed,
            ExecuteError::Unavailable { cause: Unavailability::Halted(halt), .. }
                if matches!(**halt, Halt::Rewound { .. })
        ),
        "{failed:?}"
    );
    let halt = tokio::time::timeout(SOON, site.engine.halted())
        .await
        .expect("halted");
    assert!(
        halt.to_string().starts_with("the log was put back"),
        "{halt}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_does_not_write_to_a_log_that_was_put_back() {
    on_both(async |database| {
        let site = Site::new(database).await;
        site.run(create_group("kept")).await;
        let head = site.store.head().await.expect("a head");
        site.run(create_group("lost")).await;
        put_back(database, head).await;
        is_halted(&site).await;
        assert_eq!(
            site.store_position(database).await,
            head.position,
            "something was written"
        );
        site.close().await;
        // A new start folds what is there, and writes on.
        let site = Site::open(database, How::default()).await;
        assert_eq!(site.engine.published().world.jump_groups.len(), 1);
        site.run(create_group("after")).await;
        assert_as_the_log(&site).await;
        site.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_went_another_way_is_noticed_at_the_same_position() {
    on_both(async |database| {
        let site = Site::new(database).await;
        let head = site.store.head().await.expect("a head");
        site.run(create_group("lost")).await;
        put_back(database, head).await;
        let other = Site::open(database, How::default()).await;
        other.run(create_group("another")).await;
        is_halted(&site).await;
        other.close().await;
        site.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_engine_notices_as_well() {
    on_both(async |database| {
        let site = Site::new(database).await;
        let head = site.store.head().await.expect("a head");
        site.run(create_group("lost")).await;
        put_back(database, head).await;
        tokio::time::timeout(SOON, site.engine.halted())
            .await
            .expect("it notices without being asked");
        site.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_epoch_stops_the_engines_of_the_old_one() {
    on_both(async |database| {
        let site = Site::new(database).await;
        let restored = EventStore::open(database.location(), eventstore::Options::default())
            .await
            .expect("opens");
        restored.begin_epoch().await.expect("a new epoch");
        is_halted(&site).await;
        restored.close().await;
        site.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_what_was_lost_is_not_used() {
    on_both(async |database| {
        let how = How {
            snapshots: Some(database.directory().join("snapshots")),
            ..How::default()
        };
        let site = Site::new_with(database, how.clone()).await;
        let head = site.store.head().await.expect("a head");
        site.run(create_group("lost")).await;
        site.engine.write_snapshot().await.expect("written");
        site.close().await;
        put_back(database, head).await;
        // The log goes past the snapshot's position another way, so that only the hashes tell.
        let other = Site::open(database, How::default()).await;
        other.run(create_group("another")).await;
        other.run(create_group("one more")).await;
        other.close().await;
        let site = Site::open(database, how).await;
        assert_as_the_log(&site).await;
        site.run(create_group("after")).await;
        assert_as_the_log(&site).await;
        site.close().await;
    })
    .await;
}

impl Site {
    /// Where the log ends, asked on a way of its own.
    async fn store_position(&self, database: &TestDatabase) -> u64 {
        let store = database.open().await;
        let head = store.head().await.expect("a head");
        store.close().await;
        head.position
    }
}
