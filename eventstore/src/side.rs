//! Side rows: secrets, tokens, sign-ins and idempotency keys. They are not events and not derived from
//! any, and they commit together with the events that mention them.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, Connection};

use crate::error::StoreError;
use crate::store::{Backend, EventStore, with_reader, with_writer};
use crate::{postgres, sqlite};

/// The closed list of side tables. A new one is a change of design.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SideTable {
    /// Sealed secrets, by reference.
    Secret,
    /// Access tokens of API accounts, as keyed hashes.
    ApiToken,
    /// Sign-ins of people to the console.
    ConsoleSignIn,
    /// Answers to commands that came with an idempotency key.
    Idempotency,
}

/// One row of a side table.
#[derive(Clone, PartialEq, Eq)]
pub struct SideRow {
    /// Unique in its table.
    pub key: String,
    /// What is kept, as bytes only its owner understands.
    pub value: Vec<u8>,
}

impl std::fmt::Debug for SideRow {
    /// Leaves the value out: it may be sealed, but a log line is no place for it.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("SideRow")
            .field("key", &self.key)
            .field("bytes", &self.value.len())
            .finish()
    }
}

/// A change of a side table that commits with a batch.
#[derive(Clone, PartialEq, Eq)]
pub enum SideWrite {
    /// Writes the row, whether or not one is there.
    Put {
        /// The table.
        table: SideTable,
        /// The key.
        key: String,
        /// The value.
        value: Vec<u8>,
    },
    /// Writes the row; the whole batch fails if one is there.
    Insert {
        /// The table.
        table: SideTable,
        /// The key.
        key: String,
        /// The value.
        value: Vec<u8>,
    },
    /// Removes the row, if it is there.
    Delete {
        /// The table.
        table: SideTable,
        /// The key.
        key: String,
    },
}

impl std::fmt::Debug for SideWrite {
    /// Leaves the value out, as `SideRow` does.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, table, key) = match self {
            SideWrite::Put { table, key, .. } => ("Put", table, key),
            SideWrite::Insert { table, key, .. } => ("Insert", table, key),
            SideWrite::Delete { table, key } => ("Delete", table, key),
        };
        formatter
            .debug_struct(name)
            .field("table", table)
            .field("key", key)
            .finish_non_exhaustive()
    }
}

impl SideTable {
    /// The table's name in both databases.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            SideTable::Secret => "secret",
            SideTable::ApiToken => "api_token",
            SideTable::ConsoleSignIn => "console_sign_in",
            SideTable::Idempotency => "idempotency",
        }
    }
}

/// What one batch does to one side table.
#[derive(Debug, Default)]
pub(crate) struct SideChanges {
    pub(crate) deletes: Vec<String>,
    pub(crate) inserts: Vec<(String, Vec<u8>)>,
    pub(crate) puts: Vec<(String, Vec<u8>)>,
}

/// The side writes of one batch, brought to one effect a key, so that each table takes at most three
/// statements.
#[derive(Debug, Default)]
pub(crate) struct SideBatch(BTreeMap<SideTable, SideChanges>);

/// The last word of a batch on one key.
enum Effect {
    Put(Vec<u8>),
    Insert(Vec<u8>),
    Delete,
}

impl SideBatch {
    /// Later writes of a key win over earlier ones.
    ///
    /// # Errors
    /// Inserting a key that the same batch has written, or deleting one it has inserted; a key that
    /// can't be stored.
    pub(crate) fn from_writes(writes: Vec<SideWrite>) -> Result<SideBatch, StoreError> {
        let mut effects: BTreeMap<(SideTable, String), Effect> = BTreeMap::new();
        for write in writes {
            match write {
                SideWrite::Put { table, key, value } => {
                    check_key(&key)?;
                    let effect = match effects.get(&(table, key.clone())) {
                        // Still new to the table as a whole, so still refused if it is there.
                        Some(Effect::Insert(_)) => Effect::Insert(value),
                        _ => Effect::Put(value),
                    };
                    effects.insert((table, key), effect);
                }
                SideWrite::Insert { table, key, value } => {
                    check_key(&key)?;
                    let effect = match effects.get(&(table, key.clone())) {
                        None => Effect::Insert(value),
                        Some(Effect::Delete) => Effect::Put(value),
                        Some(Effect::Put(_) | Effect::Insert(_)) => {
                            return Err(StoreError::SideExists(table, key));
                        }
                    };
                    effects.insert((table, key), effect);
                }
                SideWrite::Delete { table, key } => {
                    if matches!(effects.get(&(table, key.clone())), Some(Effect::Insert(_))) {
                        let reason = format!("a batch inserts and deletes {key:?} of {table:?}");
                        return Err(StoreError::Invalid(reason));
                    }
                    effects.insert((table, key), Effect::Delete);
                }
            }
        }
        let mut batch = SideBatch::default();
        for ((table, key), effect) in effects {
            let changes = batch.0.entry(table).or_default();
            match effect {
                Effect::Put(value) => changes.puts.push((key, value)),
                Effect::Insert(value) => changes.inserts.push((key, value)),
                Effect::Delete => changes.deletes.push(key),
            }
        }
        Ok(batch)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn tables(&self) -> impl Iterator<Item = (SideTable, &SideChanges)> {
        self.0.iter().map(|(table, changes)| (*table, changes))
    }
}

/// PostgreSQL keeps no zero byte in a text.
fn check_key(key: &str) -> Result<(), StoreError> {
    if key.is_empty() || key.contains('\0') {
        return Err(StoreError::Invalid(
            "the key of a side row is empty or has a zero byte".to_owned(),
        ));
    }
    Ok(())
}

impl EventStore {
    /// The value of one row, outside a batch.
    pub async fn side_row(
        &self,
        table: SideTable,
        key: &str,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = format!("SELECT value FROM {} WHERE key = $1", table.name());
        Ok(with_reader!(self, connection => {
            sqlx::query_scalar(AssertSqlSafe(sql)).bind(key).fetch_optional(connection).await?
        }))
    }

    /// The rows of those keys that have one, by key, outside a batch: many look-ups at the price of
    /// one.
    pub async fn side_rows_of(
        &self,
        table: SideTable,
        keys: &[String],
    ) -> Result<Vec<SideRow>, StoreError> {
        self.inner.check_usable()?;
        let mut rows = match &self.inner.backend {
            Backend::Sqlite(sqlite) => {
                let mut connection = sqlite.readers.acquire().await?;
                sqlite::read::side_rows_of(&mut connection, table, keys).await?
            }
            Backend::Postgres(postgres) => {
                let answer = async {
                    let mut connection = postgres.pool.acquire().await?;
                    postgres::read::side_rows_of(&mut connection, table, keys).await
                };
                postgres.deadline.wait(answer).await?
            }
        };
        rows.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(rows)
    }

    /// The rows whose keys begin with `prefix`, by key, outside a batch.
    pub async fn side_rows(
        &self,
        table: SideTable,
        prefix: &str,
    ) -> Result<Vec<SideRow>, StoreError> {
        let sql = format!(
            "SELECT key, value FROM {} WHERE key >= $1 AND key < $2 ORDER BY key",
            table.name()
        );
        // No text begins with the prefix and comes after it, short of one that goes on with the
        // highest character of all.
        let end = format!("{prefix}\u{10ffff}");
        Ok(with_reader!(self, connection => {
            let rows = sqlx::query_as(AssertSqlSafe(sql)).bind(prefix).bind(end).fetch_all(connection).await?;
            rows.into_iter().map(|(key, value)| SideRow { key, value }).collect()
        }))
    }

    /// At most `limit` rows after the key `after`, by key: a sweep goes through a table so.
    pub async fn side_page(
        &self,
        table: SideTable,
        after: &str,
        limit: usize,
    ) -> Result<Vec<SideRow>, StoreError> {
        let sql = format!(
            "SELECT key, value FROM {} WHERE key > $1 ORDER BY key LIMIT $2",
            table.name()
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        Ok(with_reader!(self, connection => {
            let rows = sqlx::query_as(AssertSqlSafe(sql)).bind(after).bind(limit).fetch_all(connection).await?;
            rows.into_iter().map(|(key, value)| SideRow { key, value }).collect()
        }))
    }

    /// Deletes rows that have expired; which ones, the caller knows. Returns how many were there.
    pub async fn sweep_side(&self, table: SideTable, keys: &[String]) -> Result<u64, StoreError> {
        let sql = format!("DELETE FROM {} WHERE key = $1", table.name());
        let mut deleted = 0;
        // In pieces, so that a large sweep never keeps the writer of SQLite for long.
        for keys in keys.chunks(200) {
            with_writer!(self, connection => {
                let mut transaction = connection.begin().await?;
                for key in keys {
                    let done = sqlx::query(AssertSqlSafe(sql.as_str())).bind(key.as_str()).execute(&mut *transaction);
                    deleted += done.await?.rows_affected();
                }
                transaction.commit().await?;
            });
        }
        Ok(deleted)
    }

    /// Changes the rows under one prefix in a transaction of its own, for what needs no event.
    /// Nobody else changes rows under the same prefix meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] may come after the change was made; it is to be safe to repeat.
    pub async fn change_side_rows(
        &self,
        prefix_lock: (SideTable, &str),
        change: impl FnOnce(Vec<SideRow>) -> Vec<SideWrite> + Send,
    ) -> Result<(), StoreError> {
        self.inner.check_usable()?;
        let (table, prefix) = prefix_lock;
        let conflict = match &self.inner.backend {
            Backend::Sqlite(sqlite) => {
                let mut writer = sqlite.writer().await?;
                let mut transaction = writer.connection()?.begin_with("BEGIN IMMEDIATE").await?;
                let rows = sqlite::write::side_rows(&mut transaction, table, prefix).await?;
                let side = SideBatch::from_writes(change(rows))?;
                let conflict = sqlite::write::write_side(&mut transaction, &side).await?;
                if conflict.is_none() {
                    transaction.commit().await?;
                }
                conflict
            }
            Backend::Postgres(postgres) => {
                let changed = async {
                    let mut transaction = postgres.pool.begin().await?;
                    let rows = postgres::write::side_rows(&mut transaction, table, prefix).await?;
                    let side = SideBatch::from_writes(change(rows))?;
                    let conflict = postgres::write::write_side(&mut transaction, &side).await?;
                    if conflict.is_none() {
                        transaction.commit().await?;
                    }
                    Ok(conflict)
                };
                postgres.deadline.bound(changed).await?
            }
        };
        match conflict {
            Some((table, key)) => Err(StoreError::SideExists(table, key)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: SideTable = SideTable::Secret;

    fn put(value: u8) -> SideWrite {
        SideWrite::Put {
            table: TABLE,
            key: "k".to_owned(),
            value: vec![value],
        }
    }

    fn insert(value: u8) -> SideWrite {
        SideWrite::Insert {
            table: TABLE,
            key: "k".to_owned(),
            value: vec![value],
        }
    }

    fn delete() -> SideWrite {
        SideWrite::Delete {
            table: TABLE,
            key: "k".to_owned(),
        }
    }

    #[test]
    fn several_writes_of_a_key_become_one() {
        // writes, (puts, inserts, deletes)
        let cases = [
            (vec![put(1), put(2)], (vec![2], vec![], 0)),
            (vec![put(1), delete()], (vec![], vec![], 1)),
            (vec![insert(1)], (vec![], vec![1], 0)),
            (vec![insert(1), put(2)], (vec![], vec![2], 0)),
            (vec![delete(), insert(1)], (vec![1], vec![], 0)),
        ];
        for (writes, (puts, inserts, deletes)) in cases {
            let batch = SideBatch::from_writes(writes.clone()).expect("valid");
            let changes = batch.tables().next().expect("one table").1;
            let values = |rows: &[(String, Vec<u8>)]| {
                rows.iter().map(|(_, value)| value[0]).collect::<Vec<_>>()
            };
            assert_eq!(
                (
                    values(&changes.puts),
                    values(&changes.inserts),
                    changes.deletes.len()
                ),
                (puts, inserts, deletes),
                "{writes:?}"
            );
        }
    }

    #[test]
    fn a_key_is_inserted_once() {
        for writes in [vec![insert(1), insert(2)], vec![put(1), insert(2)]] {
            let refused = SideBatch::from_writes(writes).expect_err("twice");
            assert!(matches!(refused, StoreError::SideExists(TABLE, key) if key == "k"));
        }
    }

    #[test]
    fn values_stay_out_of_debug_output() {
        let row = SideRow {
            key: "k".to_owned(),
            value: b"hidden".to_vec(),
        };
        let write = SideWrite::Put {
            table: TABLE,
            key: "k".to_owned(),
            value: b"hidden".to_vec(),
        };
        let shown = format!("{row:?} {write:?}");
        assert!(
            !shown.contains("hidden") && !shown.contains("104, 105"),
            "{shown}"
        );
    }
}
