//! One database of the report index: its tables, its bookmark and the fold of a batch.
//!
//! SQL here is understood by both databases; where they differ, there are two texts side by side.

use std::collections::HashMap;

use domain::ids::Lsid;
use domain::session::access_session;
use domain::{Event, Timestamp};
use eventstore::{EventStore, RecordedEvent, ViewDatabase};

use super::error::ReportError;
use super::on::on;
use super::requests::{self, write_requests};
use super::session::{Conference, Facts};
use crate::recorded::Recorded;

/// Version of the rows' shape. Another shape is another database, filled from the log.
pub const VERSION: u32 = 3;

/// Rows of one statement; four parameters each, and SQLite takes 32,766.
pub(super) const ROWS_MAX: usize = 500;

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
    pub(super) database: ViewDatabase,
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
                sqlx::query("DELETE FROM session_detail").execute(&mut *transaction).await?;
                sqlx::query("DELETE FROM access_request").execute(&mut *transaction).await?;
                sqlx::query("DELETE FROM access_request_approver").execute(&mut *transaction).await?;
                sqlx::query("UPDATE bookmark SET position = 0").execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
        });
        Ok(())
    }

    /// Folds events of sessions and access requests, oldest first, rows and bookmark in one transaction. What somebody else has folded already is
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
            let details = details_of(&new)?;
            let requests = requests_of(&new)?;
            for recorded in new {
                apply(&mut rows, recorded);
            }
            for rows in details.chunks(ROWS_MAX) {
                let mut query = sqlx::QueryBuilder::<Kind>::new(
                    "INSERT INTO session_detail (lsid, position, recorded_at, detail) ",
                );
                query.push_values(rows, |mut row, (lsid, position, at, detail)| {
                    row.push_bind(lsid).push_bind(position).push_bind(at).push_bind(detail);
                });
                query.push(" ON CONFLICT (lsid, position) DO NOTHING");
                query.build().execute(&mut *transaction).await?;
            }
            let (kept, gone) = to_write(rows)?;
            for rows in kept.chunks(ROWS_MAX) {
                let mut query = sqlx::QueryBuilder::<Kind>::new(
                    "INSERT INTO session (lsid, started_at, ended_at, external_key, facts) ",
                );
                query.push_values(rows, |mut row, (lsid, started_at, ended_at, key, facts)| {
                    row.push_bind(lsid)
                        .push_bind(started_at)
                        .push_bind(ended_at)
                        .push_bind(key)
                        .push_bind(facts);
                });
                query.push(
                    " ON CONFLICT (lsid) DO UPDATE SET started_at = excluded.started_at, \
                     ended_at = excluded.ended_at, external_key = excluded.external_key, \
                     facts = excluded.facts",
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
            write_requests!(Kind, transaction, requests);
            sqlx::query("UPDATE bookmark SET position = $1, leaf_hash = $2")
                .bind(to.position.cast_signed())
                .bind(to.leaf_hash.as_slice())
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
        });
        Ok(to.position)
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

pub(super) fn read_lsid(text: &str) -> Result<Lsid, ReportError> {
    text.parse().map_err(|_| ReportError::not_an_lsid(text))
}

pub(super) fn read_facts(lsid: Lsid, text: &str) -> Result<Facts, ReportError> {
    serde_json::from_str(text).map_err(|source| ReportError::damaged(lsid, source))
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

/// What a batch changes in the rows of access requests, in its order.
fn requests_of(batch: &[&Recorded]) -> Result<Vec<requests::Change>, ReportError> {
    let changes = batch.iter().map(|recorded| requests::change_of(recorded));
    changes.filter_map(Result::transpose).collect()
}

/// The part of an event that is about a session.
fn session_event(event: &Event) -> Option<(Lsid, &access_session::Event)> {
    match event {
        Event::AccessSession(lsid, event) => Some((*lsid, event)),
        Event::Site(_)
        | Event::AgentTrust(_)
        | Event::SiteSettings(..)
        | Event::TicketSystem(..)
        | Event::MailSettings(..)
        | Event::MailTemplate(..)
        | Event::MailDelivery(..)
        | Event::TicketRequest(..)
        | Event::User(..)
        | Event::Team(..)
        | Event::ApiAccount(..)
        | Event::JumpItemRole(..)
        | Event::JumpGroup(..)
        | Event::GroupPolicy(..)
        | Event::GroupPolicyOrder(_)
        | Event::JumpPolicy(..)
        | Event::AccessRequest(..)
        | Event::JumpClientInstaller(..)
        | Event::JumpClient(..)
        | Event::ShellJump(..)
        | Event::StartupGroup(..)
        | Event::Jumpoint(..)
        | Event::SessionPolicy(..)
        | Event::CustomField(..)
        | Event::ItemCustomFields(..)
        | Event::CustomSessionAttribute(..)
        | Event::Node(..)
        | Event::AccessReview(_)
        | Event::Audit(..)
        | Event::External(_) => None,
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
            *row = Some(Row {
                started_at: None,
                facts: Facts::of(started.clone()),
            });
        }
        access_session::Event::Established(_) => {
            if let Some(row) = row {
                row.started_at = Some(recorded.decided_at);
            }
        }
        access_session::Event::Failed(_) => *row = None,
        access_session::Event::Ended(ended) => {
            *row = row.take().filter(|row| row.started_at.is_some());
            if let Some(row) = row {
                row.facts.over = Some((recorded.decided_at, ended.clone()));
            }
        }
        access_session::Event::Joined(joined) => {
            came_or_went(row, recorded, Conference::Joined(joined.clone()));
        }
        access_session::Event::Departed(departed) => {
            came_or_went(row, recorded, Conference::Departed(departed.clone()));
        }
        access_session::Event::OwnerChanged(changed) => {
            came_or_went(row, recorded, Conference::OwnerChanged(changed.clone()));
        }
        access_session::Event::AttributesChanged(changed) => {
            if let Some(row) = row {
                row.facts.change_attributes(changed);
            }
        }
        access_session::Event::DetailRecorded(detail) => {
            if let Some(row) = row {
                row.facts.count(detail);
            }
        }
        // No report tells of these.
        access_session::Event::Invited(_)
        | access_session::Event::InvitationClosed(_)
        | access_session::Event::EndAnnounced(_)
        | access_session::Event::MemberActive(_) => {}
    }
}

fn came_or_went(row: &mut Option<Row>, recorded: &Recorded, conference: Conference) {
    if let Some(row) = row {
        let at = recorded.decided_at;
        row.facts
            .conference
            .push((recorded.position, at, conference));
    }
}

/// The rows of the details in a batch: session, position, time and the detail as JSON.
fn details_of(batch: &[&Recorded]) -> Result<Vec<(String, i64, i64, String)>, ReportError> {
    let mut rows = Vec::new();
    for recorded in batch {
        let Some((lsid, access_session::Event::DetailRecorded(detail))) =
            session_event(&recorded.event)
        else {
            continue;
        };
        let text =
            serde_json::to_string(detail).map_err(|source| ReportError::damaged(lsid, source))?;
        let position = recorded.position.cast_signed();
        rows.push((lsid.to_string(), position, recorded.decided_at.0, text));
    }
    Ok(rows)
}

type Written = (String, Option<i64>, Option<i64>, String, String);

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
            row.facts.external_key,
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
        "AccessSessionJoined",
        "AccessSessionDeparted",
        "AccessSessionOwnerChanged",
        "AccessSessionInvited",
        "AccessSessionInvitationClosed",
        "AccessSessionAttributesChanged",
        "AccessSessionEndAnnounced",
        "AccessSessionMemberActive",
        "AccessSessionDetailRecorded",
    ];

    /// The names whose events say nothing of a session. They are not even read.
    const PASSED_OVER: &[&str] = &[
        "SessionPolicyCreated",
        "SessionPolicyChanged",
        "SessionPolicyDeleted",
        "CustomFieldCreated",
        "CustomFieldChanged",
        "CustomFieldDeleted",
        "ItemCustomFieldsSet",
        "CustomSessionAttributeCreated",
        "CustomSessionAttributeChanged",
        "CustomSessionAttributeDeleted",
        "JumpointCreated",
        "JumpointChanged",
        "JumpointUserAdded",
        "JumpointUserRemoved",
        "JumpointDeleted",
        "JumpClientConnected",
        "JumpClientDisconnected",
        "JumpClientChanged",
        "JumpClientDeleted",
        "JumpClientCopied",
        "ShellJumpCreated",
        "ShellJumpChanged",
        "ShellJumpDeleted",
        "JumpGroupDeleted",
        "UserDeleted",
        "NodeStopped",
        "JumpPolicyCreated",
        "JumpPolicyChanged",
        "JumpPolicyDeleted",
        "JumpPolicyScheduleSet",
        "AccessRequestSubmitted",
        "AccessRequestApproved",
        "AccessRequestDenied",
        "AccessRequestCancelled",
        "AccessRequestUsed",
        "AccessRequestExpired",
        "AccessRequestClosed",
        "SiteCreated",
        "SiteUpgraded",
        "SiteSettingsCreated",
        "SiteSettingsChanged",
        "SiteSettingsDeleted",
        "TicketSystemCreated",
        "TicketSystemChanged",
        "TicketSystemDeleted",
        "MailSettingsCreated",
        "MailSettingsChanged",
        "MailSettingsDeleted",
        "MailTemplateSet",
        "MailTemplateReset",
        "MailQueued",
        "MailDelivered",
        "MailFailed",
        "MailParked",
        "MailRequeued",
        "MailDiscarded",
        "TicketRequestAsked",
        "TicketRequestSent",
        "TicketRequestAllowed",
        "TicketRequestStartRefused",
        "TicketRequestDenied",
        "TicketRequestAnswerInvalid",
        "TicketRequestTimedOut",
        "TicketRequestVoided",
        "UserCreated",
        "UserChanged",
        "UserSignedIn",
        "UserSignInFailed",
        "UserPasswordChanged",
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
        "TeamCreated",
        "TeamChanged",
        "TeamDeleted",
        "TeamMemberAdded",
        "TeamMemberChanged",
        "TeamMemberRemoved",
        "GroupPolicyCreated",
        "GroupPolicyChanged",
        "GroupPolicyDeleted",
        "GroupPolicyMemberAdded",
        "GroupPolicyMemberRemoved",
        "GroupPolicyRowSet",
        "GroupPolicyRowDropped",
        "GroupPoliciesOrdered",
        "AgentAnchorAdded",
        "AgentAnchorWithdrawn",
        "SiteAddressAdded",
        "SiteAddressWithdrawn",
        "JumpClientInstallerCreated",
        "JumpClientInstallerChanged",
        "JumpClientInstallerDeleted",
        "JumpClientRegistered",
        "JumpClientReinstalled",
        "JumpClientCheckedIn",
        "JumpClientLost",
        "JumpClientExpired",
        "JumpClientUninstalled",
        "JumpClientConnectionTypeSet",
        "JumpClientTokenOffered",
        "JumpClientTokenConfirmed",
        "JumpClientTrustConfirmed",
        "JumpClientQuarantined",
        "NodeStarted",
        "JumpClientsCheckedIn",
        "NodeClockFellBehind",
        "NodeClockCaughtUp",
        "StartupItemAdded",
        "StartupItemRemoved",
        "AccessReviewDue",
        "AccessReviewFinished",
        "ActionRefused",
        "AttemptsRefused",
    ];

    #[test]
    fn every_event_was_thought_of() {
        thought_of::check(FOLDED, PASSED_OVER);
    }
}
