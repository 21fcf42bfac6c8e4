//! Opening a PostgreSQL log: what is foreign, newer, read-only or not reachable is refused before
//! anything is changed.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, Row};

use crate::append::writer::Writer;
use crate::error::{OpenError, StoreError};
use crate::postgres::{Deadline, Postgres};
use crate::store::{Access, Options, SCHEMA_VERSION, unreachable_by};

/// The row of `gatebook_schema` that says whose tables these are: "GBLG".
const APPLICATION_ID: i32 = 0x4742_4c47;

/// All migrations, in order. The place of one in this list is the schema version it leads to.
const MIGRATIONS: [&str; 1] = [include_str!("../../../migrations/postgres/0001_log.sql")];

/// Held while migrating, so that nodes that start together do it one after the other.
const MIGRATION_LOCK: i64 = 0x6761_7465_626f_6f6b;

/// How long a server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections of a pool that idled longer than this are asked for a sign of life before use.
const IDLE_TRUSTED: Duration = Duration::from_secs(2);

impl Postgres {
    pub(crate) async fn open(url: &str, options: &Options) -> Result<Postgres, OpenError> {
        let connect = connect_options(url, options)?;
        let place = format!(
            "PostgreSQL database {} on {}:{}",
            connect
                .get_database()
                .unwrap_or_else(|| connect.get_username()),
            connect.get_host(),
            connect.get_port()
        );
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, connect.connect()).await;
        let mut connection = match connected {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => {
                return Err(OpenError::Unreachable {
                    place,
                    source: Arc::new(error),
                });
            }
            Err(_) => {
                let error = std::io::Error::new(
                    std::io::ErrorKind::TimedOut,
                    "no connection within 10 seconds",
                );
                return Err(OpenError::Unreachable {
                    place,
                    source: Arc::new(sqlx::Error::Io(error)),
                });
            }
        };
        prepare(&mut connection, &place, options).await?;
        connection
            .close()
            .await
            .map_err(|error| refuse(&place, error))?;

        let pool = PgPoolOptions::new()
            // One more for the listener.
            .max_connections(options.read_connections.max(1) + 1)
            .acquire_timeout(CONNECT_TIMEOUT)
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for > IDLE_TRUSTED {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(connect.clone());
        Ok(Postgres {
            place,
            pool,
            connect,
            deadline: Deadline(options.statement_timeout + options.lock_timeout),
            writer: Writer::new(),
            lock_timeout: options.lock_timeout,
            access: options.access,
        })
    }
}

/// The settings that every session needs, whatever the server's defaults are.
fn connect_options(url: &str, options: &Options) -> Result<PgConnectOptions, OpenError> {
    let milliseconds = |duration: Duration| duration.as_millis().max(1).to_string();
    let connect = PgConnectOptions::from_str(url)
        .map_err(|error| OpenError::Address {
            detail: error.to_string(),
        })?
        .application_name("gatebook")
        .statement_cache_capacity(256)
        .options([
            ("lock_timeout", milliseconds(options.lock_timeout)),
            ("statement_timeout", milliseconds(options.statement_timeout)),
            (
                "idle_in_transaction_session_timeout",
                milliseconds(options.idle_in_transaction_timeout),
            ),
            ("default_transaction_isolation", "read committed".to_owned()),
            ("bytea_output", "hex".to_owned()),
            ("jit", "off".to_owned()),
        ])
        .disable_statement_logging();
    Ok(match options.access {
        Access::ReadWrite => connect,
        Access::ReadOnly => connect.options([("default_transaction_read_only", "on")]),
    })
}

/// Looks at what is there, and makes or migrates the tables.
async fn prepare(
    connection: &mut PgConnection,
    place: &str,
    options: &Options,
) -> Result<(), OpenError> {
    let refused = |error| refuse(place, error);
    if options.access == Access::ReadOnly {
        return match inspect(connection, place).await? {
            Some(SCHEMA_VERSION) => Ok(()),
            Some(found) => Err(OpenError::Older {
                place: place.to_owned(),
                found,
                supported: SCHEMA_VERSION,
            }),
            None => Err(OpenError::Missing {
                place: place.to_owned(),
            }),
        };
    }
    let read_only: bool = sqlx::query_scalar(
        "SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(refused)?;
    if read_only {
        let detail = "the server is a standby, or its sessions are read-only by default".to_owned();
        return Err(OpenError::ReadOnly {
            place: place.to_owned(),
            detail,
        });
    }

    let mut transaction = connection.begin().await.map_err(refused)?;
    // Another node may be migrating, which takes longer than any lock in normal work.
    sqlx::query("SET LOCAL lock_timeout = '60s'")
        .execute(&mut *transaction)
        .await
        .map_err(refused)?;
    sqlx::query("SET LOCAL statement_timeout = 0")
        .execute(&mut *transaction)
        .await
        .map_err(refused)?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(MIGRATION_LOCK)
        .execute(&mut *transaction)
        .await
        .map_err(refused)?;
    let version = inspect(&mut transaction, place).await?;
    if version != Some(SCHEMA_VERSION) {
        migrate(&mut transaction, version).await.map_err(refused)?;
    }
    transaction.commit().await.map_err(refused)
}

/// The schema version of the log in this database, `None` if the database is empty.
async fn inspect(connection: &mut PgConnection, place: &str) -> Result<Option<i32>, OpenError> {
    let refused = |error| refuse(place, error);
    let foreign = |detail: String| OpenError::Foreign {
        place: place.to_owned(),
        detail,
    };
    let marked: bool = sqlx::query_scalar("SELECT to_regclass('gatebook_schema') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await
        .map_err(refused)?;
    if !marked {
        // What extensions bring along does not count.
        let others: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_class c \
             WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f') \
             AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')",
        )
        .fetch_one(&mut *connection)
        .await
        .map_err(refused)?;
        if others > 0 {
            return Err(foreign(format!(
                "{others} tables or views, none of them Gatebook's mark"
            )));
        }
        return Ok(None);
    }
    let row = sqlx::query("SELECT application_id, version FROM gatebook_schema")
        .fetch_optional(&mut *connection)
        .await
        .map_err(refused)?;
    let Some(row) = row else {
        return Err(OpenError::Corrupt {
            place: place.to_owned(),
            detail: "gatebook_schema is empty".to_owned(),
        });
    };
    let application: i32 = row.try_get(0).map_err(refused)?;
    let version: i32 = row.try_get(1).map_err(refused)?;
    if application != APPLICATION_ID {
        return Err(foreign(format!("application id {application:#010x}")));
    }
    if version > SCHEMA_VERSION {
        return Err(OpenError::Newer {
            place: place.to_owned(),
            found: version,
            supported: SCHEMA_VERSION,
        });
    }
    Ok(Some(version))
}

async fn migrate(connection: &mut PgConnection, version: Option<i32>) -> Result<(), sqlx::Error> {
    if version.is_none() {
        sqlx::raw_sql("CREATE TABLE gatebook_schema (application_id integer NOT NULL, version integer NOT NULL)")
            .execute(&mut *connection)
            .await?;
        sqlx::query("INSERT INTO gatebook_schema (application_id, version) VALUES ($1, 0)")
            .bind(APPLICATION_ID)
            .execute(&mut *connection)
            .await?;
    }
    for migration in MIGRATIONS
        .iter()
        .skip(usize::try_from(version.unwrap_or(0)).unwrap_or(0))
    {
        sqlx::raw_sql(*migration).execute(&mut *connection).await?;
    }
    sqlx::query("UPDATE gatebook_schema SET version = $1")
        .bind(SCHEMA_VERSION)
        .execute(connection)
        .await
        .map(|_| ())
}

/// The refusal for what PostgreSQL said.
fn refuse(place: &str, error: sqlx::Error) -> OpenError {
    unreachable_by(place, StoreError::from(error))
}
