//! Statements of the writing connection. Three trips a batch: take the head, write, commit.

use std::collections::HashMap;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use crate::append::batch::{Batch, Known};
use crate::event::Head;
use crate::postgres::CHANNEL;
use crate::postgres::read::{bytes32, signed, unsigned};
use crate::side::{SideBatch, SideRow, SideTable};

/// Takes the row of the head. A simple query, so that beginning and taking are one trip.
pub(crate) async fn begin(connection: &mut PgConnection) -> Result<Head, sqlx::Error> {
    let row = sqlx::raw_sql(
        "BEGIN; SELECT position, tail_hash, epoch, min_reader FROM log_head FOR UPDATE",
    )
    .fetch_one(connection)
    .await?;
    head(&row)
}

/// A row of `log_head`.
pub(crate) fn head(row: &PgRow) -> Result<Head, sqlx::Error> {
    Ok(Head {
        position: unsigned(row, 0)?,
        tail_hash: bytes32(row, 1)?,
        epoch: row.try_get(2)?,
        min_reader: row.try_get(3)?,
    })
}

/// Commits what was begun.
pub(crate) async fn commit(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("COMMIT")
        .execute(connection)
        .await
        .map(|_| ())
}

/// Rolls back what was begun.
pub(crate) async fn roll_back(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("ROLLBACK")
        .execute(connection)
        .await
        .map(|_| ())
}

/// Writes the rows of a batch with one statement: its events, its streams, the head, and the
/// notification that is sent when it commits.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    batch: &Batch,
) -> Result<(), sqlx::Error> {
    let events = &batch.events;
    let Some(first) = events.first() else {
        return Ok(());
    };
    let streams: Vec<(&str, (u64, u64))> = batch.streams().into_iter().collect();
    sqlx::query(
        "WITH events AS ( \
            INSERT INTO event (position, stream, revision, id, type, data, meta, codec, recorded_at, leaf_hash) \
            SELECT $1 + n - 1, stream, revision, id, type, data, meta, $2, $3, leaf_hash \
            FROM unnest($4::text[], $5::bigint[], $6::uuid[], $7::text[], $8::bytea[], $9::bytea[], $10::bytea[]) \
            WITH ORDINALITY AS new (stream, revision, id, type, data, meta, leaf_hash, n) \
        ), streams AS ( \
            INSERT INTO stream (name, revision, position) \
            SELECT * FROM unnest($11::text[], $12::bigint[], $13::bigint[]) \
            ON CONFLICT (name) DO UPDATE SET revision = excluded.revision, position = excluded.position \
        ), head AS ( \
            UPDATE log_head SET position = $14, tail_hash = $15 \
        ) SELECT pg_notify($16, $14::text)",
    )
    .bind(signed(first.position))
    .bind(first.codec)
    .bind(first.recorded_at)
    .bind(events.iter().map(|event| event.stream.as_str()).collect::<Vec<_>>())
    .bind(events.iter().map(|event| signed(event.revision)).collect::<Vec<_>>())
    .bind(events.iter().map(|event| event.id).collect::<Vec<_>>())
    .bind(events.iter().map(|event| event.event_type.as_str()).collect::<Vec<_>>())
    .bind(events.iter().map(|event| event.data.as_slice()).collect::<Vec<_>>())
    .bind(events.iter().map(|event| event.meta.as_slice()).collect::<Vec<_>>())
    .bind(events.iter().map(|event| event.leaf_hash.as_slice()).collect::<Vec<_>>())
    .bind(streams.iter().map(|(name, _)| *name).collect::<Vec<_>>())
    .bind(streams.iter().map(|(_, (revision, _))| signed(*revision)).collect::<Vec<_>>())
    .bind(streams.iter().map(|(_, (_, position))| signed(*position)).collect::<Vec<_>>())
    .bind(signed(batch.head.position))
    .bind(batch.head.tail_hash.as_slice())
    .bind(CHANNEL)
    .execute(connection)
    .await
    .map(|_| ())
}

/// Raises the epoch of the log.
pub(crate) async fn raise_epoch(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE log_head SET epoch = epoch + 1")
        .execute(connection)
        .await
        .map(|_| ())
}

/// The last revisions of those streams that have events.
pub(crate) async fn revisions(
    connection: &mut PgConnection,
    names: &[&str],
) -> Result<HashMap<String, u64>, sqlx::Error> {
    sqlx::query("SELECT name, revision FROM stream WHERE name = ANY($1)")
        .bind(names)
        .fetch_all(connection)
        .await?
        .iter()
        .map(|row| Ok((row.try_get(0)?, unsigned(row, 1)?)))
        .collect()
}

/// Those of the ids that are in the log.
pub(crate) async fn find_ids(
    connection: &mut PgConnection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Known>, sqlx::Error> {
    sqlx::query("SELECT id, stream, revision, position FROM event WHERE id = ANY($1)")
        .bind(ids)
        .fetch_all(connection)
        .await?
        .iter()
        .map(|row| {
            let known = Known {
                stream: row.try_get(1)?,
                revision: unsigned(row, 2)?,
                position: unsigned(row, 3)?,
            };
            Ok((row.try_get(0)?, known))
        })
        .collect()
}

/// The rows under a prefix, by key. An advisory lock on table and prefix keeps others out until the
/// transaction ends: row locks would not keep out new rows.
pub(crate) async fn side_rows(
    connection: &mut PgConnection,
    table: SideTable,
    prefix: &str,
) -> Result<Vec<SideRow>, sqlx::Error> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1 || ':' || $2, 0))")
        .bind(table.name())
        .bind(prefix)
        .execute(&mut *connection)
        .await?;
    let sql = format!(
        "SELECT key, value FROM {} WHERE key >= $1 AND key < $1 || U&'\\+10FFFF' ORDER BY key",
        table.name()
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(prefix)
        .fetch_all(connection)
        .await?
        .iter()
        .map(|row| {
            Ok(SideRow {
                key: row.try_get(0)?,
                value: row.try_get(1)?,
            })
        })
        .collect()
}

/// Writes side rows; answers with the first key that was to be new and is not.
pub(crate) async fn write_side(
    connection: &mut PgConnection,
    side: &SideBatch,
) -> Result<Option<(SideTable, String)>, sqlx::Error> {
    for (table, changes) in side.tables() {
        let name = table.name();
        if !changes.deletes.is_empty() {
            let sql = format!("DELETE FROM {name} WHERE key = ANY($1)");
            sqlx::query(AssertSqlSafe(sql))
                .bind(&changes.deletes)
                .execute(&mut *connection)
                .await?;
        }
        for (rows, tail) in [
            (
                &changes.inserts,
                "ON CONFLICT (key) DO NOTHING RETURNING key",
            ),
            (
                &changes.puts,
                "ON CONFLICT (key) DO UPDATE SET value = excluded.value RETURNING key",
            ),
        ] {
            if rows.is_empty() {
                continue;
            }
            let sql = format!(
                "INSERT INTO {name} (key, value) SELECT * FROM unnest($1::text[], $2::bytea[]) {tail}"
            );
            let written: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
                .bind(rows.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>())
                .bind(
                    rows.iter()
                        .map(|(_, value)| value.as_slice())
                        .collect::<Vec<_>>(),
                )
                .fetch_all(&mut *connection)
                .await?;
            if written.len() < rows.len() {
                let there = rows
                    .iter()
                    .map(|(key, _)| key)
                    .find(|key| !written.contains(key));
                return Ok(there.map(|key| (table, key.clone())));
            }
        }
    }
    Ok(None)
}
