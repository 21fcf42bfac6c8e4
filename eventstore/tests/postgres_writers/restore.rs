//! An older dump is restored beneath nodes that live.

use eventstore::testing::TestDatabase;
use eventstore::{EventStore, HoldError, Tail};
use sqlx::Connection;

use crate::writer::{Node, url};

async fn run(database: &TestDatabase, sql: &'static str) {
    let mut connection = sqlx::PgConnection::connect(&url(database))
        .await
        .expect("connects");
    sqlx::raw_sql(sql)
        .execute(&mut connection)
        .await
        .expect("runs");
    connection.close().await.expect("closes");
}

/// What `pg_dump` would take: the rows as they are.
const DUMP: &str = "CREATE SCHEMA dump; CREATE TABLE dump.event AS TABLE event; \
                    CREATE TABLE dump.stream AS TABLE stream; CREATE TABLE dump.log_head AS TABLE log_head";

const RESTORE: &str = "BEGIN; TRUNCATE event, stream, log_head; INSERT INTO event SELECT * FROM dump.event; \
                       INSERT INTO stream SELECT * FROM dump.stream; \
                       INSERT INTO log_head SELECT * FROM dump.log_head; COMMIT";

async fn is_rewound(store: &EventStore, tail: &Tail) -> bool {
    match store.hold_tail(tail).await {
        Ok(held) => {
            held.release().await;
            false
        }
        Err(HoldError::Rewound { .. }) => true,
        Err(error) => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn nodes_beyond_a_restored_dump_stop_and_those_at_it_go_on() {
    let database = TestDatabase::postgres().await;
    let (ahead, at, fresh) = (
        database.open().await,
        database.open().await,
        database.open().await,
    );
    let mut node = Node::new(&ahead, "node-1").await;
    node.append(10).await;
    let at_dump = node.tail;
    run(&database, DUMP).await;
    node.append(10).await;
    let beyond = node.tail;
    assert!(!is_rewound(&ahead, &beyond).await);
    run(&database, RESTORE).await;

    assert!(is_rewound(&ahead, &beyond).await, "beyond the head");
    assert!(
        !is_rewound(&at, &at_dump).await,
        "what this one folded is still the log"
    );
    let mut other = Node::new(&fresh, "node-2").await;
    for (count, what) in [
        (9, "still beyond the head"),
        (1, "the head has the same position"),
        (5, "the head is past it"),
    ] {
        other.append(count).await;
        assert!(is_rewound(&ahead, &beyond).await, "{what}");
        assert!(!is_rewound(&at, &at_dump).await, "{what}");
    }
    for store in [ahead, at, fresh] {
        store.close().await;
    }
}
