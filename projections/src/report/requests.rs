//! Access requests in the report index: history for those who made them, who were asked, and auditors. The `World` forgets a
//! request when its window is over.

use domain::ids::{AccessRequestId, UserId};
use domain::policy::access_request::{self, Answered, Approver, Submitted};
use domain::{Event, Timestamp};
use eventstore::ViewDatabase;
use serde::{Deserialize, Serialize};

use super::error::ReportError;
use super::generation::Generation;
use super::on::on;
use crate::recorded::Recorded;

/// Whose requests are looked for, the newest first. Only those whose window is over are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestQuery {
    /// Those that the user made.
    Of(UserId),
    /// Those of others that the user was asked about.
    Asked(UserId),
    /// All of them.
    All,
}

/// A request as it was, with the last answer.
#[derive(Clone, Debug, PartialEq)]
pub struct PastRequest {
    /// Its number.
    pub id: AccessRequestId,
    /// What it became: the word of its last state, or `expired` where nobody answered in time.
    pub state: String,
    /// When it was made.
    pub submitted_at: Timestamp,
    /// What was asked, without the list of approvers.
    pub submitted: Submitted,
    /// The last answer of an approver.
    pub answer: Option<PastAnswer>,
}

/// What an approver said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PastAnswer {
    /// Who, and in which words.
    pub answered: Answered,
    /// When.
    pub at: Timestamp,
}

/// What an event changes in the rows.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    /// A request was made, and who is asked where it is the first that asks these.
    Made {
        id: i64,
        requester: i64,
        list: i64,
        submitted_at: i64,
        submitted: String,
        asked: Vec<i64>,
    },
    /// It was answered.
    Answered {
        id: i64,
        state: &'static str,
        answer: String,
    },
    /// It is in another state.
    State { id: i64, state: &'static str },
    /// A session began under it: it is in use if it was approved.
    Used { id: i64 },
    /// Its window is over, and nobody had answered.
    Expired { id: i64 },
    /// Its window is over.
    Closed { id: i64 },
}

/// What of `recorded` is about requests.
pub(super) fn change_of(recorded: &Recorded) -> Result<Option<Change>, ReportError> {
    let Event::AccessRequest(request, event) = &recorded.event else {
        return Ok(None);
    };
    let id = i64::from(request.0);
    let text = |answered: &Answered| {
        json(
            *request,
            &PastAnswer {
                answered: answered.clone(),
                at: recorded.recorded_at,
            },
        )
    };
    Ok(Some(match event {
        access_request::Event::Submitted(submitted) => Change::Made {
            id,
            requester: i64::from(submitted.requester.0),
            list: i64::from(submitted.approvers_of.unwrap_or(*request).0),
            submitted_at: recorded.recorded_at.0,
            asked: asked(&submitted.approvers),
            submitted: json(
                *request,
                &Submitted {
                    approvers: Vec::new(),
                    ..submitted.clone()
                },
            )?,
        },
        access_request::Event::Approved(answered) => Change::Answered {
            id,
            state: "approved",
            answer: text(answered)?,
        },
        access_request::Event::Denied(answered) => Change::Answered {
            id,
            state: "denied",
            answer: text(answered)?,
        },
        access_request::Event::Cancelled(_) => Change::State {
            id,
            state: "cancelled",
        },
        access_request::Event::Used(_) => Change::Used { id },
        access_request::Event::Expired(_) => Change::Expired { id },
        access_request::Event::Closed(_) => Change::Closed { id },
    }))
}

fn asked(approvers: &[Approver]) -> Vec<i64> {
    let users = approvers.iter().filter_map(|approver| approver.user_id);
    users.map(|user| i64::from(user.0)).collect()
}

fn json<T: Serialize>(id: AccessRequestId, value: &T) -> Result<String, ReportError> {
    serde_json::to_string(value).map_err(|source| ReportError::damaged_request(id, source))
}

/// Writes changes in the transaction of a fold.
macro_rules! write_requests {
    ($kind:ident, $transaction:expr, $changes:expr) => {
        for change in $changes {
            use $crate::report::requests::Change;
            let query = match change {
                Change::Made { id, requester, list, submitted_at, submitted, asked } => {
                    for users in asked.chunks($crate::report::generation::ROWS_MAX) {
                        let mut query = sqlx::QueryBuilder::<$kind>::new(
                            "INSERT INTO access_request_approver (list, user_id) ",
                        );
                        query.push_values(users, |mut row, user| {
                            row.push_bind(id).push_bind(*user);
                        });
                        query.push(" ON CONFLICT (user_id, list) DO NOTHING");
                        query.build().execute(&mut *$transaction).await?;
                    }
                    sqlx::query(
                        "INSERT INTO access_request (id, requester, list, submitted_at, submitted, state, closed) \
                         VALUES ($1, $2, $3, $4, $5, 'pending', $6) ON CONFLICT (id) DO NOTHING",
                    )
                    .bind(id)
                    .bind(requester)
                    .bind(list)
                    .bind(submitted_at)
                    .bind(submitted)
                    .bind(false)
                }
                Change::Answered { id, state, answer } => {
                    sqlx::query("UPDATE access_request SET state = $1, answer = $2 WHERE id = $3")
                        .bind(state)
                        .bind(answer)
                        .bind(id)
                }
                Change::State { id, state } => {
                    sqlx::query("UPDATE access_request SET state = $1 WHERE id = $2")
                        .bind(state)
                        .bind(id)
                }
                Change::Used { id } => sqlx::query(
                    "UPDATE access_request SET state = 'in_use' WHERE id = $1 AND state = 'approved'",
                )
                .bind(id),
                Change::Expired { id } => {
                    sqlx::query("UPDATE access_request SET state = 'expired', closed = $1 WHERE id = $2")
                        .bind(true)
                        .bind(id)
                }
                Change::Closed { id } => {
                    sqlx::query("UPDATE access_request SET closed = $1 WHERE id = $2")
                        .bind(true)
                        .bind(id)
                }
            };
            query.execute(&mut *$transaction).await?;
        }
    };
}

pub(super) use write_requests;

type Row = (i64, String, i64, String, Option<String>);

/// A statement over the requests that a query finds; `$1` is the user.
macro_rules! past_sql {
    ($columns:literal, $query:expr, $rest:literal) => {
        match $query {
            RequestQuery::Of(_) => concat!(
                "SELECT ",
                $columns,
                " FROM access_request WHERE closed AND requester = $1",
                $rest
            ),
            RequestQuery::Asked(_) => concat!(
                "SELECT ",
                $columns,
                " FROM access_request WHERE closed AND requester <> $1 AND list IN \
                 (SELECT list FROM access_request_approver WHERE user_id = $1)",
                $rest
            ),
            RequestQuery::All => concat!(
                "SELECT ",
                $columns,
                " FROM access_request WHERE closed AND requester >= $1",
                $rest
            ),
        }
    };
}

impl RequestQuery {
    fn user(self) -> i64 {
        match self {
            Self::Of(user) | Self::Asked(user) => i64::from(user.0),
            Self::All => 0,
        }
    }
}

impl Generation {
    /// How many requests the query finds, and those of one page, the newest first.
    pub(crate) async fn past_requests(
        &self,
        query: RequestQuery,
        skip: usize,
        limit: usize,
    ) -> Result<(usize, Vec<PastRequest>), ReportError> {
        let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let (total, rows): (i64, Vec<Row>) = on!(readers of &self.database, Kind, connection => {
            let total = sqlx::query_scalar(past_sql!("count(*)", query, ""))
                .bind(query.user())
                .fetch_one(&mut *connection)
                .await?;
            let rows = sqlx::query_as(past_sql!(
                "id, state, submitted_at, submitted, answer", query, " ORDER BY id DESC LIMIT $2 OFFSET $3"
            ))
            .bind(query.user())
            .bind(number(limit))
            .bind(number(skip))
            .fetch_all(&mut *connection)
            .await?;
            (total, rows)
        });
        let found: Result<Vec<PastRequest>, ReportError> = rows.into_iter().map(read).collect();
        Ok((usize::try_from(total).unwrap_or(0), found?))
    }

    /// A request whose window is over, and whether it asked `user`.
    pub(crate) async fn past_request(
        &self,
        id: AccessRequestId,
        user: UserId,
    ) -> Result<Option<(PastRequest, bool)>, ReportError> {
        let row: Option<Row> = on!(readers of &self.database, Kind, connection => {
            sqlx::query_as(
                "SELECT id, state, submitted_at, submitted, answer FROM access_request WHERE closed AND id = $1",
            )
            .bind(i64::from(id.0))
            .fetch_optional(&mut *connection)
            .await?
        });
        let Some(request) = row.map(read).transpose()? else {
            return Ok(None);
        };
        let list = request.submitted.approvers_of.unwrap_or(id);
        let asked: i64 = on!(readers of &self.database, Kind, connection => {
            sqlx::query_scalar("SELECT count(*) FROM access_request_approver WHERE list = $1 AND user_id = $2")
                .bind(i64::from(list.0))
                .bind(i64::from(user.0))
                .fetch_one(&mut *connection)
                .await?
        });
        Ok(Some((request, asked > 0)))
    }
}

fn read((id, state, submitted_at, submitted, answer): Row) -> Result<PastRequest, ReportError> {
    let id = AccessRequestId(u32::try_from(id).unwrap_or(u32::MAX));
    let damaged = |source| ReportError::damaged_request(id, source);
    Ok(PastRequest {
        id,
        state,
        submitted_at: Timestamp(submitted_at),
        submitted: serde_json::from_str(&submitted).map_err(damaged)?,
        answer: answer
            .map(|answer| serde_json::from_str(&answer))
            .transpose()
            .map_err(damaged)?,
    })
}
