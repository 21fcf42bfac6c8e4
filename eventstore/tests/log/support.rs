//! Short ways to say what the tests are about.

use std::borrow::Cow;

use eventstore::testing::TestDatabase;
use eventstore::{
    AppendError, Appended, Direction, EventStore, ExpectedRevision, Location, NewEvent,
    RecordedEvent, Selection, StreamAppend, Tail,
};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use uuid::Uuid;

/// An instant for everything that is recorded.
pub(crate) const NOW: i64 = 1_750_000_000_000_000;

/// Runs a test against SQLite and against PostgreSQL.
pub(crate) async fn on_both(test: impl AsyncFn(&TestDatabase, EventStore)) {
    for database in TestDatabase::both().await {
        println!("on {}", database.kind());
        let store = database.open().await;
        test(&database, store.clone()).await;
        store.close().await;
    }
}

/// The id with this number.
pub(crate) fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// An event whose body names its id.
pub(crate) fn event(number: u128) -> NewEvent {
    typed(number, "Tested")
}

/// The same with a type.
pub(crate) fn typed(number: u128, event_type: &'static str) -> NewEvent {
    NewEvent {
        id: id(number),
        event_type: Cow::Borrowed(event_type),
        data: format!("{{\"number\":{number}}}").into_bytes(),
        meta: b"{}".to_vec(),
    }
}

/// Events for one stream.
pub(crate) fn to(
    stream: &str,
    expected: ExpectedRevision,
    numbers: impl IntoIterator<Item = u128>,
) -> StreamAppend {
    StreamAppend {
        stream: stream.to_owned(),
        expected,
        events: numbers.into_iter().map(event).collect(),
    }
}

/// Appends to one stream.
pub(crate) async fn append(
    store: &EventStore,
    stream: &str,
    expected: ExpectedRevision,
    numbers: impl IntoIterator<Item = u128>,
) -> Result<Appended, AppendError> {
    store
        .append(vec![to(stream, expected, numbers)], Vec::new(), NOW)
        .await
}

/// Everything in the log.
pub(crate) async fn everything(store: &EventStore) -> Vec<RecordedEvent> {
    store
        .read(&Selection::All, 1, Direction::Forward, 1_000_000)
        .await
        .expect("readable")
}

/// Positions of events.
pub(crate) fn positions(events: &[RecordedEvent]) -> Vec<u64> {
    events.iter().map(|event| event.position).collect()
}

/// Stream and revision of events.
pub(crate) fn places(events: &[RecordedEvent]) -> Vec<(&str, u64)> {
    events
        .iter()
        .map(|event| (event.stream.as_str(), event.revision))
        .collect()
}

/// Changes the database behind the store's back.
pub(crate) async fn tamper(database: &TestDatabase, sql: &str) {
    match database.location() {
        Location::Sqlite { directory } => {
            let options =
                sqlx::sqlite::SqliteConnectOptions::new().filename(directory.join("log.db"));
            let mut connection = options.connect().await.expect("connects");
            sqlx::raw_sql(AssertSqlSafe(sql))
                .execute(&mut connection)
                .await
                .expect("tampers");
            connection.close().await.expect("closes");
        }
        Location::Postgres { url } => {
            let mut connection = sqlx::PgConnection::connect(url).await.expect("connects");
            sqlx::raw_sql(AssertSqlSafe(sql))
                .execute(&mut connection)
                .await
                .expect("tampers");
            connection.close().await.expect("closes");
        }
    }
}

/// Empties a log, which is quicker than making another one.
pub(crate) async fn empty(database: &TestDatabase) {
    let zeroes = match database.location() {
        Location::Sqlite { .. } => "zeroblob(32)",
        Location::Postgres { .. } => "decode(repeat('00', 32), 'hex')",
    };
    let sql = format!(
        "DELETE FROM event; DELETE FROM stream; DELETE FROM idempotency; \
         UPDATE log_head SET position = 0, tail_hash = {zeroes}"
    );
    tamper(database, &sql).await;
}

/// Where the log ends.
pub(crate) async fn tail(store: &EventStore) -> Tail {
    store.head().await.expect("readable").into()
}
