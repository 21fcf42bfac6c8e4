//! Databases for tests: each its own, gone at the end.

use std::path::Path;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tempfile::TempDir;

use crate::store::{EventStore, Location, Options};

/// The variable that names a PostgreSQL server where tests may make databases.
pub const VARIABLE: &str = "GATEBOOK_TEST_DATABASE_URL";

/// A place for a log that exists as long as this value.
#[derive(Debug)]
pub struct TestDatabase {
    location: Location,
    directory: TempDir,
    /// Of a PostgreSQL database: the server's URL and the name to drop.
    made: Option<(String, String)>,
}

impl TestDatabase {
    /// A directory of its own.
    pub fn sqlite() -> TestDatabase {
        let directory = temporary_directory();
        let location = Location::Sqlite {
            directory: directory.path().join("site"),
        };
        TestDatabase {
            location,
            directory,
            made: None,
        }
    }

    /// A database of its own on the server that `GATEBOOK_TEST_DATABASE_URL` names.
    pub async fn postgres() -> TestDatabase {
        let server = std::env::var(VARIABLE).unwrap_or_else(|_| {
            panic!("{VARIABLE} is not set: run cargo xtask test, it starts a PostgreSQL")
        });
        let name = format!("gatebook_test_{}", uuid::Uuid::new_v4().simple());
        let mut connection = connect(&server).await;
        sqlx::query(AssertSqlSafe(format!(
            "CREATE DATABASE {name} TEMPLATE template0"
        )))
        .execute(&mut connection)
        .await
        .unwrap_or_else(|error| panic!("a database for the test can't be made: {error}"));
        let options: PgConnectOptions = server
            .parse()
            .unwrap_or_else(|error| panic!("{VARIABLE}: {error}"));
        let url = options.database(&name).to_url_lossy().to_string();
        let _ = connection.close().await;
        TestDatabase {
            location: Location::Postgres { url },
            directory: temporary_directory(),
            made: Some((server, name)),
        }
    }

    /// One of each kind.
    pub async fn both() -> Vec<TestDatabase> {
        vec![TestDatabase::sqlite(), TestDatabase::postgres().await]
    }

    /// Where the log is.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// A directory for files of the test, with both databases.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Opens the log with the default options.
    pub async fn open(&self) -> EventStore {
        self.open_with(Options::default()).await
    }

    /// Opens the log.
    pub async fn open_with(&self, options: Options) -> EventStore {
        EventStore::open(&self.location, options)
            .await
            .unwrap_or_else(|error| {
                panic!("the log of the test can't be opened: {error}: {:?}", error)
            })
    }

    /// Which database it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self.location {
            Location::Sqlite { .. } => "SQLite",
            Location::Postgres { .. } => "PostgreSQL",
        }
    }
}

impl Drop for TestDatabase {
    /// Drops the database on a thread of its own: the runtime of the test may be at its end.
    fn drop(&mut self) {
        let Some((server, name)) = self.made.take() else {
            return;
        };
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            if let Ok(runtime) = runtime {
                runtime.block_on(async {
                    let mut connection = connect(&server).await;
                    let sql = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                    if let Err(error) = sqlx::query(AssertSqlSafe(sql))
                        .execute(&mut connection)
                        .await
                    {
                        tracing::warn!(%error, "database {name} is left over");
                    }
                    let _ = connection.close().await;
                });
            }
        });
        let _ = dropping.join();
    }
}

async fn connect(server: &str) -> PgConnection {
    let options: PgConnectOptions = server
        .parse()
        .unwrap_or_else(|error| panic!("{VARIABLE}: {error}"));
    options
        .disable_statement_logging()
        .connect()
        .await
        .unwrap_or_else(|error| panic!("the PostgreSQL of {VARIABLE} does not answer: {error}"))
}

fn temporary_directory() -> TempDir {
    TempDir::with_prefix("gatebook-test-")
        .unwrap_or_else(|error| panic!("no temporary directory: {error}"))
}
