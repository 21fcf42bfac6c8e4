//! One database of the report index: its tables, the fold of a batch, its queries.
//!
//! SQL here is understood by both databases; where they differ, there are two texts side by side.

use std::collections::HashMap;

use domain::ids::Lsid;
use domain::session::access_session;
use domain::{Event, Timestamp};
use eventstore::{EventStore, RecordedEvent, ViewDatabase};

use super::error::ReportError;
use super::query::{PageKey, SessionQuery};
use super::session::{Facts, SessionReport, SessionSummary};
use crate::recorded::Recorded;

/// Version of the rows' shape. Another shape is another database, filled from the log.
pub const VERSION: u32 = 1;

/// Rows of one statement; four parameters each, and SQLite takes 32,766.
const ROWS_MAX: usize = 500;

/// Runs the same code on a pooled connection of either database; `$kind` names its type.
macro_rules! on {
    ($pool:ident of $database:expr, $kind:ident, $connection:ident => $body:expr) => {
        match $database {
            ViewDatabase::Sqlite(view) => {
                #[allow(dead_code, reason = "not every body names the database's type")]
                type $kind = sqlx::Sqlite;
                let mut $connection = view.$pool.acquire().await?;
                $body
            }
            ViewDatabase::Postgres(view) => {
                #[allow(dead_code, reason = "not every body names the database's type")]
                type $kind = sqlx::Postgres;
                let mut $connection = view.pool.acquire().await?;
                $body
            }
        }
    };
}

/// Runs the same code in a transaction that holds the bookmark: nobody else folds meanwhile.
macro_rules! folding {
    ($database:expr, $kind:ident, $transaction:ident, $bookmark:ident => $body:expr) => {
        match $database {
            ViewDatabase::Sqlite(view) => {
                #[allow(dead_code, reason = "not every body names the database's type")]
                type $kind = sqlx::Sqlite;
                let mut $transaction = view.writer.begin_with("BEGIN IMMEDIATE").await?;
                let row = sqlx::query_as("SELECT position, leaf_hash FROM bookmark")
                    .fetch_one(&mut *$transaction)
                    .await?;
                let $bookmark = Bookmark::of(row)?;
                $body
            }
            ViewDatabase::Postgres(view) => {
                #[allow(dead_code, reason = "not every body names the database's type")]
                type $kind = sqlx::Postgres;
                let mut $transaction = view.pool.begin().await?;
                let row = sqlx::query_as("SELECT position, leaf_hash FROM bookmark FOR UPDATE")
                    .fetch_one(&mut *$transaction)
                    .await?;
                let $bookmark = Bookmark::of(row)?;
                $body
            }
        }
    };
}

/// How far a database was folded, with the hash of the event there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bookmark {
    pub(crate) position: u64,
    pub(crate) leaf_hash: Vec<u8>,
}

impl Bookmark {
    fn of((position, leaf_hash): (i64, Vec<u8>)) -> Result<Self, ReportError> {
        let position = u64::try_from(position).map_err(|_| ReportError::Damaged {
            row: "bookmark".to_owned(),
            source: None,
        })?;
        Ok(Self {
            position,
            leaf_hash,
        })
    }

    pub(crate) fn at(event: &RecordedEvent) -> Self {
        Self {
            position: event.position,
            leaf_hash: event.leaf_hash.to_vec(),
        }
    }
}

/// A row of `session`.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    started_at: Option<Timestamp>,
    facts: Facts,
}

/// One database of the report index. The newest complete one of a shape is the one that is read.
#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) number: u32,
    database: ViewDatabase,
}

/// The name of the databases of this shape.
pub(crate) fn database_name() -> String {
    format!("report_{VERSION}")
}

impl Generation {
    /// Opens a database, which is made if it is not there. Its tables are made by [`Self::prepare`].
    pub(crate) async fn open(store: &EventStore, number: u32) -> Result<Self, ReportError> {
        let database = store.view_database(&database_name(), number).await?;
        Ok(Self { number, database })
    }

    /// Makes the tables if they are not there. `complete`: whether it may be read before it reached the head.
    pub(crate) async fn prepare(&self, complete: bool) -> Result<(), ReportError> {
        match &self.database {
            ViewDatabase::Sqlite(view) => {
                let mut transaction = view.writer.begin_with("BEGIN IMMEDIATE").await?;
                sqlx::raw_sql(include_str!("../../migrations/sqlite/report.sql"))
                    .execute(&mut *transaction)
                    .await?;
                sqlx::query("INSERT INTO bookmark VALUES (1, 0, zeroblob(32), $1) ON CONFLICT (one) DO NOTHING")
                    .bind(complete)
                    .execute(&mut *transaction)
                    .await?;
                transaction.commit().await?;
            }
            ViewDatabase::Postgres(view) => {
                let mut transaction = view.pool.begin().await?;
                // IF NOT EXISTS does not keep two nodes from making the same table at once.
                sqlx::query(
                    "SELECT pg_advisory_xact_lock(hashtext('gatebook'), hashtext('view_report'))",
                )
                .execute(&mut *transaction)
                .await?;
                sqlx::raw_sql(include_str!("../../migrations/postgres/report.sql"))
                    .execute(&mut *transaction)
                    .await?;
                sqlx::query(
                    "INSERT INTO bookmark VALUES (1, 0, decode(repeat('00', 32), 'hex'), $1) ON CONFLICT (one) DO NOTHING",
                )
                .bind(complete)
                .execute(&mut *transaction)
                .await?;
                transaction.commit().await?;
            }
        }
        Ok(())
    }

    /// Whether it has its tables and may be read.
    pub(crate) async fn is_complete(&self) -> Result<bool, ReportError> {
        let there: bool = match &self.database {
            ViewDatabase::Sqlite(view) => {
                sqlx::query_scalar("SELECT count(*) > 0 FROM sqlite_master WHERE name = 'bookmark'")
                    .fetch_one(&view.writer)
                    .await?
            }
            ViewDatabase::Postgres(view) => {
                sqlx::query_scalar("SELECT to_regclass('bookmark') IS NOT NULL")
                    .fetch_one(&view.pool)
                    .await?
            }
        };
        if !there {
            return Ok(false);
        }
        let complete: Option<bool> = on!(writer of &self.database, Kind, connection => {
            sqlx::query_scalar("SELECT complete FROM bookmark").fetch_optional(&mut *connection).await?
        });
        Ok(complete.unwrap_or(false))
    }

    /// From now on it may be read.
    pub(crate) async fn mark_complete(&self) -> Result<(), ReportError> {
        on!(writer of &self.database, Kind, connection => {
            sqlx::query("UPDATE bookmark SET complete = $1").bind(true).execute(&mut *connection).await?;
        });
        Ok(())
    }

    /// How far it was folded.
    pub(crate) async fn bookmark(&self) -> Result<Bookmark, ReportError> {
        let row = on!(readers of &self.database, Kind, connection => {
            sqlx::query_as("SELECT position, leaf_hash FROM bookmark").fetch_one(&mut *connection).await?
        });
        Bookmark::of(row)
    }

    /// Moves the bookmark over events that change nothing here. It never goes back.
    pub(crate) async fn skip_to(&self, to: &Bookmark) -> Result<(), ReportError> {
        on!(writer of &self.database, Kind, connection => {
            sqlx::query("UPDATE bookmark SET position = $1, leaf_hash = $2 WHERE position < $1")
                .bind(to.position.cast_signed())
                .bind(to.leaf_hash.as_slice())
                .execute(&mut *connection)
                .await?;
        });
        Ok(())
    }

    /// Empties it, if it is still where it was seen: it was folded from another log.
    pub(crate) async fn empty(&self, seen: &Bookmark) -> Result<(), ReportError> {
        folding!(&self.database, Kind, transaction, bookmark => {
            if bookmark == *seen {
                sqlx::query("DELETE FROM session").execute(&mut *transaction).await?;
                sqlx::query("UPDATE bookmark SET position = 0").execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
        });
        Ok(())
    }

    /// Folds events of sessions, oldest first, rows and bookmark in one transaction. What somebody else has folded already is
    /// passed over. Gives the position reached.
    ///
    /// # Errors
    /// An event can't be read, and nothing of the batch is folded; or the database failed.
    pub(crate) async fn fold(&self, events: &[RecordedEvent]) -> Result<u64, ReportError> {
        let Some(last) = events.last() else {
            return Ok(self.bookmark().await?.position);
        };
        let to = Bookmark::at(last);
        let recorded: Vec<Recorded> = events
            .iter()
            .map(Recorded::from_stored)
            .collect::<Result<_, _>>()?;
        folding!(&self.database, Kind, transaction, bookmark => {
            let new: Vec<&Recorded> =
                recorded.iter().filter(|recorded| recorded.position > bookmark.position).collect();
            if new.is_empty() {
                transaction.rollback().await?;
                return Ok(bookmark.position);
            }
            let mut rows: HashMap<Lsid, Option<Row>> = HashMap::new();
            for ids in lsids_of(&new).chunks(ROWS_MAX) {
                let mut query = sqlx::QueryBuilder::<Kind>::new(
                    "SELECT lsid, started_at, facts FROM session WHERE lsid IN (",
                );
                let mut list = query.separated(", ");
                for lsid in ids {
                    list.push_bind(lsid.to_string());
                }
                query.push(")");
                let found: Vec<(String, Option<i64>, String)> =
                    query.build_query_as().fetch_all(&mut *transaction).await?;
                for (lsid, started_at, facts) in found {
                    let lsid = read_lsid(&lsid)?;
                    let row = Row { started_at: started_at.map(Timestamp), facts: read_facts(lsid, &facts)? };
                    rows.insert(lsid, Some(row));
                }
            }
            for recorded in new {
                apply(&mut rows, recorded);
            }
            let (kept, gone) = to_write(rows)?;
            for rows in kept.chunks(ROWS_MAX) {
                let mut query = sqlx::QueryBuilder::<Kind>::new(
                    "INSERT INTO session (lsid, started_at, ended_at, facts) ",
                );
                query.push_values(rows, |mut row, (lsid, started_at, ended_at, facts)| {
                    row.push_bind(lsid).push_bind(started_at).push_bind(ended_at).push_bind(facts);
                });
                query.push(
                    " ON CONFLICT (lsid) DO UPDATE SET started_at = excluded.started_at, \
                     ended_at = excluded.ended_at, facts = excluded.facts",
                );
                query.build().execute(&mut *transaction).await?;
            }
            for ids in gone.chunks(ROWS_MAX) {
                let mut query = sqlx::QueryBuilder::<Kind>::new("DELETE FROM session WHERE lsid IN (");
                let mut list = query.separated(", ");
                for lsid in ids {
                    list.push_bind(lsid);
                }
                query.push(")");
                query.build().execute(&mut *transaction).await?;
            }
            sqlx::query("UPDATE bookmark SET position = $1, leaf_hash = $2")
                .bind(to.position.cast_signed())
                .bind(to.leaf_hash.as_slice())
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
        });
        Ok(to.position)
    }

    /// The next at most `limit` sessions of a report behind `after`, by start.
    pub(crate) async fn sessions(
        &self,
        query: &SessionQuery,
        after: Option<PageKey>,
        limit: usize,
    ) -> Result<Vec<SessionReport>, ReportError> {
        let rows = match query {
            SessionQuery::Lsids(lsids) => {
                let wanted: Vec<Lsid> = self
                    .listed(lsids, after, limit)
                    .await?
                    .into_iter()
                    .map(|summary| summary.lsid)
                    .collect();
                self.named(&wanted).await?
            }
            query => {
                let Some(span) = self.span(query, after).await? else {
                    return Ok(Vec::new());
                };
                let found: Vec<(String, i64, String)> = match &self.database {
                    ViewDatabase::Sqlite(view) => {
                        span.bind(sqlx::query_as(REPORT_SQLITE), limit)
                            .fetch_all(&view.readers)
                            .await?
                    }
                    ViewDatabase::Postgres(view) => {
                        span.bind_postgres(sqlx::query_as(REPORT_POSTGRES), limit)
                            .fetch_all(&view.pool)
                            .await?
                    }
                };
                found
            }
        };
        rows.into_iter()
            .map(|(lsid, started_at, facts)| {
                let lsid = read_lsid(&lsid)?;
                Ok(read_facts(lsid, &facts)?.report(lsid, Timestamp(started_at)))
            })
            .collect()
    }

    /// The same as [`Self::sessions`] without reading what happened in them.
    pub(crate) async fn summaries(
        &self,
        query: &SessionQuery,
        after: Option<PageKey>,
        limit: usize,
    ) -> Result<Vec<SessionSummary>, ReportError> {
        if let SessionQuery::Lsids(lsids) = query {
            return self.listed(lsids, after, limit).await;
        }
        let Some(span) = self.span(query, after).await? else {
            return Ok(Vec::new());
        };
        let found: Vec<(String, i64)> = match &self.database {
            ViewDatabase::Sqlite(view) => {
                span.bind(sqlx::query_as(LISTING_SQLITE), limit)
                    .fetch_all(&view.readers)
                    .await?
            }
            ViewDatabase::Postgres(view) => {
                span.bind_postgres(sqlx::query_as(LISTING_POSTGRES), limit)
                    .fetch_all(&view.pool)
                    .await?
            }
        };
        found.into_iter().map(summary).collect()
    }

    /// Those of `lsids` that are sessions, by start, behind `after`.
    async fn listed(
        &self,
        lsids: &[Lsid],
        after: Option<PageKey>,
        limit: usize,
    ) -> Result<Vec<SessionSummary>, ReportError> {
        let mut found: Vec<SessionSummary> = Vec::new();
        for ids in lsids[..lsids.len().min(SessionQuery::LSIDS_MAX)].chunks(ROWS_MAX) {
            let rows: Vec<(String, i64)> = on!(readers of &self.database, Kind, connection => {
                let mut query = sqlx::QueryBuilder::<Kind>::new(
                    "SELECT lsid, started_at FROM session WHERE started_at IS NOT NULL AND lsid IN (",
                );
                let mut list = query.separated(", ");
                for lsid in ids {
                    list.push_bind(lsid.to_string());
                }
                query.push(")");
                query.build_query_as().fetch_all(&mut *connection).await?
            });
            for row in rows {
                found.push(summary(row)?);
            }
        }
        let key = |summary: &SessionSummary| PageKey {
            started_at: summary.started_at,
            lsid: summary.lsid,
        };
        found.retain(|summary| after.is_none_or(|after| key(summary) > after));
        found.sort_by_key(key);
        found.dedup();
        found.truncate(limit);
        Ok(found)
    }

    /// The rows of a page that was chosen by id, by start.
    async fn named(&self, lsids: &[Lsid]) -> Result<Vec<(String, i64, String)>, ReportError> {
        let mut found: Vec<(String, i64, String)> = Vec::new();
        for ids in lsids.chunks(ROWS_MAX) {
            on!(readers of &self.database, Kind, connection => {
                let mut query = sqlx::QueryBuilder::<Kind>::new(
                    "SELECT lsid, started_at, facts FROM session WHERE started_at IS NOT NULL AND lsid IN (",
                );
                let mut list = query.separated(", ");
                for lsid in ids {
                    list.push_bind(lsid.to_string());
                }
                query.push(")");
                let rows: Vec<(String, i64, String)> = query.build_query_as().fetch_all(&mut *connection).await?;
                found.extend(rows);
            });
        }
        found.sort_by(|(one, one_at, _), (other, other_at, _)| {
            (one_at, one).cmp(&(other_at, other))
        });
        Ok(found)
    }

    /// Where to look for a page; none if there is nothing to find.
    async fn span(
        &self,
        query: &SessionQuery,
        after: Option<PageKey>,
    ) -> Result<Option<Span>, ReportError> {
        let (interval, by_end) = match query {
            SessionQuery::StartedIn(interval) => (interval, false),
            SessionQuery::EndedIn(interval) => (interval, true),
            SessionQuery::Lsids(_) => return Ok(None),
        };
        let until = interval.until.unwrap_or(Timestamp(i64::MAX));
        let from = match (after, by_end) {
            (Some(after), true) => Some(after.started_at),
            (Some(after), false) => Some(after.started_at.max(interval.from)),
            (None, false) => Some(interval.from),
            // Sessions are walked by start: from the first one that ended in the interval.
            (None, true) => self.first_start_of_ended(interval.from, until).await?,
        };
        Ok(from.map(|from| Span {
            from,
            until,
            after,
            ended_from: by_end.then_some(interval.from),
        }))
    }

    async fn first_start_of_ended(
        &self,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Timestamp>, ReportError> {
        let first: Option<i64> = on!(readers of &self.database, Kind, connection => {
            sqlx::query_scalar("SELECT min(started_at) FROM session WHERE ended_at >= $1 AND ended_at < $2")
                .bind(from.0)
                .bind(until.0)
                .fetch_one(&mut *connection)
                .await?
        });
        Ok(first.map(Timestamp))
    }

    /// Closes the connections.
    pub(crate) async fn close(&self) {
        self.database.close().await;
    }

    /// Whether only one node can use it.
    pub(crate) const fn is_sqlite(&self) -> bool {
        matches!(self.database, ViewDatabase::Sqlite(_))
    }
}

/// A page's statement: sessions by start, from a start, before an end, behind a key, and where `$6` says so, those that
/// ended since `$7`.
macro_rules! page_sql {
    ($columns:literal, $table:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM ",
            $table,
            " WHERE started_at >= $1 AND started_at < $2 AND (started_at, lsid) > ($3, $4)",
            " AND ($6 OR (ended_at >= $7 AND ended_at < $2))",
            " ORDER BY started_at, lsid LIMIT $5"
        )
    };
}

// Without statistics, SQLite would sort all matches anew for every page.
const REPORT_SQLITE: &str = page_sql!(
    "lsid, started_at, facts",
    "session INDEXED BY session_by_start"
);
const REPORT_POSTGRES: &str = page_sql!("lsid, started_at, facts", "session");
const LISTING_SQLITE: &str = page_sql!("lsid, started_at", "session INDEXED BY session_by_start");
const LISTING_POSTGRES: &str = page_sql!("lsid, started_at", "session");

/// What a page's statement is given.
struct Span {
    from: Timestamp,
    until: Timestamp,
    after: Option<PageKey>,
    ended_from: Option<Timestamp>,
}

macro_rules! bind_span {
    ($span:expr, $query:expr, $limit:expr) => {{
        let after = $span.after.map_or((i64::MIN, String::new()), |after| {
            (after.started_at.0, after.lsid.to_string())
        });
        $query
            .bind($span.from.0)
            .bind($span.until.0)
            .bind(after.0)
            .bind(after.1)
            .bind(i64::try_from($limit).unwrap_or(i64::MAX))
            .bind($span.ended_from.is_none())
            .bind($span.ended_from.unwrap_or($span.from).0)
    }};
}

type SqliteQuery<'q, T> = sqlx::query::QueryAs<'q, sqlx::Sqlite, T, sqlx::sqlite::SqliteArguments>;
type PostgresQuery<'q, T> =
    sqlx::query::QueryAs<'q, sqlx::Postgres, T, sqlx::postgres::PgArguments>;

impl Span {
    fn bind<'q, T>(&self, query: SqliteQuery<'q, T>, limit: usize) -> SqliteQuery<'q, T> {
        bind_span!(self, query, limit)
    }

    fn bind_postgres<'q, T>(
        &self,
        query: PostgresQuery<'q, T>,
        limit: usize,
    ) -> PostgresQuery<'q, T> {
        bind_span!(self, query, limit)
    }
}

fn read_lsid(text: &str) -> Result<Lsid, ReportError> {
    text.parse().map_err(|_| ReportError::not_an_lsid(text))
}

fn read_facts(lsid: Lsid, text: &str) -> Result<Facts, ReportError> {
    serde_json::from_str(text).map_err(|source| ReportError::damaged(lsid, source))
}

fn summary((lsid, started_at): (String, i64)) -> Result<SessionSummary, ReportError> {
    Ok(SessionSummary {
        lsid: read_lsid(&lsid)?,
        started_at: Timestamp(started_at),
    })
}

/// The sessions a batch is about, each once.
fn lsids_of(batch: &[&Recorded]) -> Vec<Lsid> {
    let mut lsids: Vec<Lsid> = batch
        .iter()
        .filter_map(|recorded| session_event(&recorded.event))
        .map(|(lsid, _)| lsid)
        .collect();
    lsids.sort_unstable();
    lsids.dedup();
    lsids
}

/// The part of an event that this index folds.
fn session_event(event: &Event) -> Option<(Lsid, &access_session::Event)> {
    match event {
        Event::AccessSession(lsid, event) => Some((*lsid, event)),
        Event::Site(_)
        | Event::SiteSettings(..)
        | Event::User(..)
        | Event::ApiAccount(..)
        | Event::JumpItemRole(..)
        | Event::JumpGroup(..)
        | Event::JumpPolicy(..)
        | Event::JumpClientInstaller(..)
        | Event::JumpClient(..)
        | Event::Node(..)
        | Event::Audit(..) => None,
    }
}

/// Folds one event into the rows. A session that never came up leaves none.
fn apply(rows: &mut HashMap<Lsid, Option<Row>>, recorded: &Recorded) {
    let Some((lsid, event)) = session_event(&recorded.event) else {
        return;
    };
    let row = rows.entry(lsid).or_default();
    match event {
        access_session::Event::Started(started) => {
            let facts = Facts {
                started: started.clone(),
                over: None,
            };
            *row = Some(Row {
                started_at: None,
                facts,
            });
        }
        access_session::Event::Established(_) => {
            if let Some(row) = row {
                row.started_at = Some(recorded.recorded_at);
            }
        }
        access_session::Event::Failed(_) => *row = None,
        access_session::Event::Ended(ended) => {
            *row = row.take().filter(|row| row.started_at.is_some());
            if let Some(row) = row {
                row.facts.over = Some((recorded.recorded_at, ended.clone()));
            }
        }
    }
}

type Written = (String, Option<i64>, Option<i64>, String);

/// The rows to put and those to delete, in the order of their ids so that two nodes lock alike.
fn to_write(rows: HashMap<Lsid, Option<Row>>) -> Result<(Vec<Written>, Vec<String>), ReportError> {
    let mut kept = Vec::new();
    let mut gone = Vec::new();
    for (lsid, row) in rows {
        let Some(row) = row else {
            gone.push(lsid.to_string());
            continue;
        };
        let facts = serde_json::to_string(&row.facts)
            .map_err(|source| ReportError::damaged(lsid, source))?;
        let ended_at = row.facts.ended_at().map(|at| at.0);
        kept.push((
            lsid.to_string(),
            row.started_at.map(|at| at.0),
            ended_at,
            facts,
        ));
    }
    kept.sort_unstable();
    gone.sort_unstable();
    Ok((kept, gone))
}

#[cfg(test)]
mod tests {
    use crate::thought_of;

    /// The names whose events may change a row: all those of the category that is read.
    const FOLDED: &[&str] = &[
        "AccessSessionStarted",
        "AccessSessionEstablished",
        "AccessSessionFailed",
        "AccessSessionEnded",
    ];

    /// The names whose events say nothing of a session. They are not even read.
    const PASSED_OVER: &[&str] = &[
        "JumpClientConnected",
        "JumpClientDisconnected",
        "JumpClientChanged",
        "JumpClientDeleted",
        "JumpGroupDeleted",
        "UserDeleted",
        "NodeStopped",
        "JumpPolicyCreated",
        "JumpPolicyChanged",
        "JumpPolicyDeleted",
        "JumpPolicyScheduleSet",
        "SiteCreated",
        "SiteSettingsCreated",
        "SiteSettingsChanged",
        "SiteSettingsDeleted",
        "UserCreated",
        "UserChanged",
        "UserSignedIn",
        "UserSignedOut",
        "AdministratorReset",
        "ApiAccountCreated",
        "ApiAccountChanged",
        "ApiAccountDeleted",
        "ApiAccountSecretRegenerated",
        "ApiAccountAuthenticated",
        "JumpItemRoleCreated",
        "JumpItemRoleChanged",
        "JumpItemRoleDeleted",
        "JumpGroupCreated",
        "JumpGroupChanged",
        "JumpGroupMemberAdded",
        "JumpGroupMemberChanged",
        "JumpGroupMemberRemoved",
        "JumpClientInstallerCreated",
        "JumpClientInstallerChanged",
        "JumpClientInstallerDeleted",
        "JumpClientRegistered",
        "JumpClientCheckedIn",
        "JumpClientTokenOffered",
        "JumpClientTokenConfirmed",
        "JumpClientQuarantined",
        "NodeStarted",
        "JumpClientsCheckedIn",
        "ActionRefused",
        "AttemptsRefused",
    ];

    #[test]
    fn every_event_was_thought_of() {
        thought_of::check(FOLDED, PASSED_OVER);
    }
}
