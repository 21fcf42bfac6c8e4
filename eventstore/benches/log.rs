//! Appends against a bare insert loop into the same tables, and ways to replay.
//!
//! `cargo bench -p eventstore` (with `GATEBOOK_TEST_DATABASE_URL` set for PostgreSQL). Ratios of one
//! run count, not the figures.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it prints figures, at a terminal"
)]

use std::time::Instant;

use eventstore::testing::TestDatabase;
use eventstore::{
    Direction, EventStore, ExpectedRevision, Location, NewEvent, Selection, StreamAppend, Tail,
};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use uuid::Uuid;

const NOW: i64 = 1_750_000_000_000_000;

/// Rounds of each loop, alternating; the median counts.
const ROUNDS: usize = 5;

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let sqlite = (TestDatabase::sqlite(), TestDatabase::sqlite());
        for (database, bare) in [Some(sqlite), postgres().await].into_iter().flatten() {
            // The bare loop has a log of its own: what it writes is none.
            bare.open().await.close().await;
            let mut position = 0;
            for batch in [256, 1_024] {
                appends(&database, &bare, &mut position, batch, 120_000 / batch).await;
            }
            replays(&database).await;
        }
    });
}

async fn postgres() -> Option<(TestDatabase, TestDatabase)> {
    match std::env::var_os(eventstore::testing::VARIABLE) {
        Some(_) => Some((
            TestDatabase::postgres().await,
            TestDatabase::postgres().await,
        )),
        None => None,
    }
}

fn batch_of(size: usize) -> Vec<StreamAppend> {
    (0..size)
        .map(|number| StreamAppend {
            stream: format!("jump_client-{}", number % 64),
            expected: ExpectedRevision::Any,
            events: vec![NewEvent {
                id: Uuid::now_v7(),
                event_type: "JumpClientCheckedIn".into(),
                data: vec![b'x'; 300],
                meta: vec![b'y'; 60],
            }],
        })
        .collect()
}

async fn appends(
    database: &TestDatabase,
    bare_database: &TestDatabase,
    position: &mut i64,
    size: usize,
    batches: usize,
) {
    let store = database.open().await;
    let mut tail = Tail::from(store.head().await.expect("readable"));
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let prepared: Vec<_> = (0..batches / ROUNDS).map(|_| batch_of(size)).collect();
        let events = prepared.len() * size;
        let start = Instant::now();
        for batch in prepared {
            let held = store.hold_tail(&tail).await.expect("held");
            tail = held
                .commit(batch, Vec::new(), NOW)
                .await
                .expect("committed")
                .head
                .into();
        }
        ours.push(events as f64 / start.elapsed().as_secs_f64());
        let prepared: Vec<_> = (0..batches / ROUNDS).map(|_| batch_of(size)).collect();
        bare.push(bare_loop(bare_database, position, prepared).await);
    }
    let (ours, bare) = (median(ours), median(bare));
    println!(
        "{}: batches of {size}: held and committed {ours:.0}/s, bare loop {bare:.0}/s: {:.0} %",
        database.kind(),
        100.0 * ours / bare
    );
    store.close().await;
}

/// The same rows into the same tables with nothing around it.
async fn bare_loop(
    database: &TestDatabase,
    last: &mut i64,
    batches: Vec<Vec<StreamAppend>>,
) -> f64 {
    let size = batches[0].len();
    let events = batches.len() * size;
    let mut position = *last;
    match database.location() {
        Location::Sqlite { directory } => {
            let mut connection = sqlx::sqlite::SqliteConnectOptions::new()
                .filename(directory.join("log.db"))
                .pragma("journal_mode", "WAL")
                .pragma("synchronous", "FULL")
                .pragma("wal_autocheckpoint", "4000")
                .pragma("cache_size", "-32768")
                .disable_statement_logging()
                .connect()
                .await
                .expect("connects");
            let rows = vec!["(?,?,?,?,?,?,?,?,?,?)"; 256].join(",");
            let insert = format!(
                "INSERT INTO event (position, stream, revision, id, type, data, meta, codec, recorded_at, leaf_hash) VALUES {rows}"
            );
            let rows = vec!["(?,?,?)"; 64].join(",");
            let upsert = format!(
                "INSERT INTO stream (name, revision, position) VALUES {rows} ON CONFLICT (name) DO UPDATE SET revision = excluded.revision, position = excluded.position"
            );
            let start = Instant::now();
            for batch in &batches {
                sqlx::query("BEGIN IMMEDIATE")
                    .execute(&mut connection)
                    .await
                    .expect("begun");
                for batch in batch.chunks(256) {
                    let mut query = sqlx::query(AssertSqlSafe(insert.as_str()));
                    for append in batch {
                        position += 1;
                        let event = &append.events[0];
                        query = query
                            .bind(position)
                            .bind(append.stream.as_str())
                            .bind(position + 1_000_000_000)
                            .bind(event.id.as_bytes().as_slice())
                            .bind(&*event.event_type)
                            .bind(event.data.as_slice())
                            .bind(event.meta.as_slice())
                            .bind(0_i16)
                            .bind(NOW)
                            .bind([7_u8; 32].as_slice());
                    }
                    query.execute(&mut connection).await.expect("inserted");
                }
                let mut query = sqlx::query(AssertSqlSafe(upsert.as_str()));
                for number in 0..64 {
                    query = query
                        .bind(format!("jump_client-{number}"))
                        .bind(position + 1_000_000_000)
                        .bind(position);
                }
                query.execute(&mut connection).await.expect("upserted");
                let head = sqlx::query("UPDATE log_head SET position = ?").bind(position);
                head.execute(&mut connection).await.expect("moved");
                sqlx::query("COMMIT")
                    .execute(&mut connection)
                    .await
                    .expect("committed");
            }
            let rate = events as f64 / start.elapsed().as_secs_f64();
            connection.close().await.expect("closes");
            *last = position;
            rate
        }
        Location::Postgres { url } => {
            let options: sqlx::postgres::PgConnectOptions = url.parse().expect("a URL");
            let mut connection = options
                .disable_statement_logging()
                .connect()
                .await
                .expect("connects");
            let start = Instant::now();
            for batch in &batches {
                sqlx::raw_sql("BEGIN")
                    .execute(&mut connection)
                    .await
                    .expect("begun");
                let streams: Vec<&str> =
                    batch.iter().map(|append| append.stream.as_str()).collect();
                let events: Vec<&NewEvent> = batch.iter().map(|append| &append.events[0]).collect();
                sqlx::query(
                    "INSERT INTO event (position, stream, revision, id, type, data, meta, codec, recorded_at, leaf_hash) \
                     SELECT $1 + n, stream, $1 + n + 1000000000, id, type, data, meta, 0, $2, leaf \
                     FROM unnest($3::text[], $4::uuid[], $5::text[], $6::bytea[], $7::bytea[], $8::bytea[]) WITH ORDINALITY AS t (stream, id, type, data, meta, leaf, n)",
                )
                .bind(position)
                .bind(NOW)
                .bind(&streams)
                .bind(events.iter().map(|event| event.id).collect::<Vec<_>>())
                .bind(events.iter().map(|event| &*event.event_type).collect::<Vec<_>>())
                .bind(events.iter().map(|event| event.data.as_slice()).collect::<Vec<_>>())
                .bind(events.iter().map(|event| event.meta.as_slice()).collect::<Vec<_>>())
                .bind(vec![[7_u8; 32].as_slice(); size])
                .execute(&mut connection)
                .await
                .expect("inserted");
                position += i64::try_from(size).expect("small");
                sqlx::query(
                    "INSERT INTO stream (name, revision, position) SELECT 'jump_client-' || n, $1 + 1000000000, $1 FROM generate_series(0, 63) n \
                     ON CONFLICT (name) DO UPDATE SET revision = excluded.revision, position = excluded.position",
                )
                .bind(position)
                .execute(&mut connection)
                .await
                .expect("upserted");
                let head = sqlx::query("UPDATE log_head SET position = $1").bind(position);
                head.execute(&mut connection).await.expect("moved");
                sqlx::raw_sql("COMMIT")
                    .execute(&mut connection)
                    .await
                    .expect("committed");
            }
            let rate = events as f64 / start.elapsed().as_secs_f64();
            connection.close().await.expect("closes");
            *last = position;
            rate
        }
    }
}

async fn replays(database: &TestDatabase) {
    let store = database.open().await;
    let head = store.head().await.expect("readable").position;
    let (mut packed, mut pages) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let mut replay = store.replay(0, head);
        let mut events = 0;
        while let Some(page) = replay.next().await {
            events += page.expect("readable").len();
        }
        packed.push(events as f64 / start.elapsed().as_secs_f64());
        pages.push(read_pages(&store, head).await);
    }
    let (packed, pages) = (median(packed), median(pages));
    println!(
        "{}: replay of {head} events: packed {packed:.0}/s, pages of 5,000 rows {pages:.0}/s",
        database.kind()
    );
    store.close().await;
}

async fn read_pages(store: &EventStore, head: u64) -> f64 {
    let start = Instant::now();
    let mut from = 1;
    while from <= head {
        let page = store
            .read(&Selection::All, from, Direction::Forward, 5_000)
            .await
            .expect("readable");
        from = page.last().expect("not empty").position + 1;
    }
    head as f64 / start.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
