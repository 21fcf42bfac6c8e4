//! The bare loop to compare with: one multi-row insert a batch into the tables and indexes of the log, nothing decided.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use eventstore::{Location, RecordedEvent};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use uuid::Uuid;

/// Rows of one statement on SQLite; below its limit of parameters.
const SQLITE_ROWS: usize = 512;

/// A connection that inserts rows without looking.
pub(crate) enum Bare {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Bare {
    pub(crate) async fn open(location: &Location) -> Result<Self> {
        match location {
            Location::Sqlite { directory } => {
                let options = SqliteConnectOptions::new()
                    .filename(directory.join("log.db"))
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full);
                Ok(Self::Sqlite(
                    SqliteConnection::connect_with(&options).await?,
                ))
            }
            Location::Postgres { url } => Ok(Self::Postgres(PgConnection::connect(url).await?)),
        }
    }

    /// Inserts the rows as one batch: the events, their streams, the head, one commit.
    pub(crate) async fn insert(&mut self, events: &[RecordedEvent]) -> Result<()> {
        let last = events.last().context("a batch has events")?;
        match self {
            Self::Sqlite(connection) => {
                let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
                for rows in events.chunks(SQLITE_ROWS) {
                    sqlite_events(&mut transaction, rows).await?;
                    sqlite_streams(&mut transaction, rows).await?;
                }
                sqlx::query("UPDATE log_head SET position = ?, tail_hash = ?")
                    .bind(i64::try_from(last.position)?)
                    .bind(last.leaf_hash.as_slice())
                    .execute(&mut *transaction)
                    .await?;
                transaction.commit().await?;
            }
            Self::Postgres(connection) => {
                let mut transaction = connection.begin().await?;
                postgres_rows(&mut transaction, events).await?;
                sqlx::query("UPDATE log_head SET position = $1, tail_hash = $2")
                    .bind(i64::try_from(last.position)?)
                    .bind(last.leaf_hash.as_slice())
                    .execute(&mut *transaction)
                    .await?;
                transaction.commit().await?;
            }
        }
        Ok(())
    }
}

async fn sqlite_events(connection: &mut SqliteConnection, rows: &[RecordedEvent]) -> Result<()> {
    let sql = format!(
        "INSERT INTO event (position, stream, revision, id, type, data, meta, codec, recorded_at, leaf_hash) VALUES {}",
        vec!["(?,?,?,?,?,?,?,?,?,?)"; rows.len()].join(",")
    );
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for event in rows {
        query = query
            .bind(i64::try_from(event.position)?)
            .bind(event.stream.as_str())
            .bind(i64::try_from(event.revision)?)
            .bind(event.id.as_bytes().as_slice())
            .bind(event.event_type.as_str())
            .bind(event.data.as_slice())
            .bind(event.meta.as_slice())
            .bind(event.codec)
            .bind(event.recorded_at)
            .bind(event.leaf_hash.as_slice());
    }
    query.execute(connection).await?;
    Ok(())
}

/// The newest row of each stream: one statement can't change a row twice.
fn newest_of_streams(rows: &[RecordedEvent]) -> Vec<&RecordedEvent> {
    let newest: BTreeMap<&str, &RecordedEvent> =
        rows.iter().map(|row| (row.stream.as_str(), row)).collect();
    newest.into_values().collect()
}

async fn sqlite_streams(connection: &mut SqliteConnection, rows: &[RecordedEvent]) -> Result<()> {
    let rows = newest_of_streams(rows);
    let sql = format!(
        "INSERT INTO stream (name, revision, position) VALUES {} ON CONFLICT (name) DO UPDATE SET revision = excluded.revision, position = excluded.position",
        vec!["(?,?,?)"; rows.len()].join(",")
    );
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for event in rows {
        query = query
            .bind(event.stream.as_str())
            .bind(i64::try_from(event.revision)?)
            .bind(i64::try_from(event.position)?);
    }
    query.execute(connection).await?;
    Ok(())
}

async fn postgres_rows(connection: &mut PgConnection, events: &[RecordedEvent]) -> Result<()> {
    let column = |of: fn(&RecordedEvent) -> u64| -> Result<Vec<i64>> {
        events
            .iter()
            .map(|event| Ok(i64::try_from(of(event))?))
            .collect()
    };
    let positions = column(|event| event.position)?;
    let revisions = column(|event| event.revision)?;
    let streams: Vec<&str> = events.iter().map(|event| event.stream.as_str()).collect();
    let ids: Vec<Uuid> = events.iter().map(|event| event.id).collect();
    let types: Vec<&str> = events
        .iter()
        .map(|event| event.event_type.as_str())
        .collect();
    let data: Vec<&[u8]> = events.iter().map(|event| event.data.as_slice()).collect();
    let meta: Vec<&[u8]> = events.iter().map(|event| event.meta.as_slice()).collect();
    let codecs: Vec<i16> = events.iter().map(|event| event.codec).collect();
    let times: Vec<i64> = events.iter().map(|event| event.recorded_at).collect();
    let hashes: Vec<&[u8]> = events
        .iter()
        .map(|event| event.leaf_hash.as_slice())
        .collect();
    sqlx::query(
        "INSERT INTO event (position, stream, revision, id, type, data, meta, codec, recorded_at, leaf_hash) \
         SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::uuid[], $5::text[], $6::bytea[], $7::bytea[], \
         $8::smallint[], $9::bigint[], $10::bytea[])",
    )
    .bind(&positions)
    .bind(&streams)
    .bind(&revisions)
    .bind(&ids)
    .bind(&types)
    .bind(&data)
    .bind(&meta)
    .bind(&codecs)
    .bind(&times)
    .bind(&hashes)
    .execute(&mut *connection)
    .await?;
    let newest = newest_of_streams(events);
    let streams: Vec<&str> = newest.iter().map(|event| event.stream.as_str()).collect();
    let revisions: Vec<i64> = newest
        .iter()
        .map(|event| Ok(i64::try_from(event.revision)?))
        .collect::<Result<_>>()?;
    let positions: Vec<i64> = newest
        .iter()
        .map(|event| Ok(i64::try_from(event.position)?))
        .collect::<Result<_>>()?;
    sqlx::query(
        "INSERT INTO stream (name, revision, position) SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[]) \
         ON CONFLICT (name) DO UPDATE SET revision = excluded.revision, position = excluded.position",
    )
    .bind(&streams)
    .bind(&revisions)
    .bind(&positions)
    .execute(connection)
    .await?;
    Ok(())
}
