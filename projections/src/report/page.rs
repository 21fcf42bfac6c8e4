//! The queries of a report: pages of sessions by start, in full or as a listing.

use std::collections::HashMap;

use domain::Timestamp;
use domain::ids::Lsid;
use eventstore::ViewDatabase;

use super::error::ReportError;
use super::generation::{Generation, ROWS_MAX, read_facts, read_lsid};
use super::on::on;
use super::query::{PageKey, SessionQuery};
use super::session::{Facts, Recorded, SessionReport, SessionSummary};

/// Details that one page holds, more only where one session has more.
const DETAILS_PER_PAGE: usize = 20_000;

impl Generation {
    /// The next at most `limit` sessions of a report behind `after`, by start, and whether there may be more. Fewer come where
    /// much happened in them.
    pub(crate) async fn sessions(
        &self,
        query: &SessionQuery,
        after: Option<PageKey>,
        limit: usize,
    ) -> Result<(Vec<SessionReport>, bool), ReportError> {
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
                    return Ok((Vec::new(), false));
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
        let mut more = rows.len() >= limit;
        let mut chosen: Vec<(Lsid, Timestamp, Facts)> = Vec::new();
        let mut details: usize = 0;
        for (lsid, started_at, facts) in rows {
            let lsid = read_lsid(&lsid)?;
            let facts = read_facts(lsid, &facts)?;
            details += facts.details as usize;
            if details > DETAILS_PER_PAGE && !chosen.is_empty() {
                more = true;
                break;
            }
            chosen.push((lsid, Timestamp(started_at), facts));
        }
        let with_details: Vec<Lsid> = chosen
            .iter()
            .filter(|(_, _, facts)| facts.details > 0)
            .map(|(lsid, _, _)| *lsid)
            .collect();
        let mut recorded = self.details(&with_details).await?;
        let reports = chosen
            .into_iter()
            .map(|(lsid, started_at, facts)| {
                let details = recorded.remove(&lsid).unwrap_or_default();
                facts.report(lsid, started_at, details)
            })
            .collect();
        Ok((reports, more))
    }

    /// What happened inside these sessions.
    async fn details(&self, lsids: &[Lsid]) -> Result<HashMap<Lsid, Vec<Recorded>>, ReportError> {
        let mut found: HashMap<Lsid, Vec<Recorded>> = HashMap::new();
        for ids in lsids.chunks(ROWS_MAX) {
            let rows: Vec<(String, i64, i64, String)> = on!(readers of &self.database, Kind, connection => {
                let mut query = sqlx::QueryBuilder::<Kind>::new(
                    "SELECT lsid, position, recorded_at, detail FROM session_detail WHERE lsid IN (",
                );
                let mut list = query.separated(", ");
                for lsid in ids {
                    list.push_bind(lsid.to_string());
                }
                query.push(") ORDER BY lsid, position");
                query.build_query_as().fetch_all(&mut *connection).await?
            });
            for (lsid, position, at, detail) in rows {
                let lsid = read_lsid(&lsid)?;
                let detail = serde_json::from_str(&detail)
                    .map_err(|source| ReportError::damaged(lsid, source))?;
                let row = (position.cast_unsigned(), Timestamp(at), detail);
                found.entry(lsid).or_default().push(row);
            }
        }
        Ok(found)
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
        let found: Vec<(String, i64, String)> = match &self.database {
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
            let rows: Vec<(String, i64, String)> = on!(readers of &self.database, Kind, connection => {
                let mut query = sqlx::QueryBuilder::<Kind>::new(
                    "SELECT lsid, started_at, external_key FROM session WHERE started_at IS NOT NULL AND lsid IN (",
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
const LISTING_SQLITE: &str = page_sql!(
    "lsid, started_at, external_key",
    "session INDEXED BY session_by_start"
);
const LISTING_POSTGRES: &str = page_sql!("lsid, started_at, external_key", "session");

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

fn summary(
    (lsid, started_at, external_key): (String, i64, String),
) -> Result<SessionSummary, ReportError> {
    Ok(SessionSummary {
        lsid: read_lsid(&lsid)?,
        started_at: Timestamp(started_at),
        external_key,
    })
}
