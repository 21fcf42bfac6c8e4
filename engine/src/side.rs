//! Side rows of a batch: what a command reads and writes beside its events, as the batch so far would leave it.

use std::collections::BTreeMap;

use domain::{Event, Fresh, Timestamp};
use eventstore::{SideRow, SideTable, SideWrite};

/// The function of a [`Side`].
pub type SideFunction = Box<dyn FnOnce(&[SideRow], &SideContext<'_>) -> Vec<SideWrite> + Send>;

/// A small function that runs under the held tail and says which side rows commit with the command's events. It runs exactly
/// if the command was accepted with at least one event.
pub struct Side {
    /// The table that is read.
    pub table: SideTable,
    /// The rows whose keys begin with it are given to the function; an empty prefix reads nothing.
    pub prefix: String,
    /// The function. It must not block.
    pub write: SideFunction,
}

impl Side {
    /// Reads the rows of `table` under `prefix` and writes.
    pub fn reading(
        table: SideTable,
        prefix: impl Into<String>,
        write: impl FnOnce(&[SideRow], &SideContext<'_>) -> Vec<SideWrite> + Send + 'static,
    ) -> Self {
        Self {
            table,
            prefix: prefix.into(),
            write: Box::new(write),
        }
    }

    /// Reads nothing and writes.
    pub fn writing(
        write: impl FnOnce(&SideContext<'_>) -> Vec<SideWrite> + Send + 'static,
    ) -> Self {
        Self {
            table: SideTable::Secret,
            prefix: String::new(),
            write: Box::new(move |_, context| write(context)),
        }
    }
}

impl std::fmt::Debug for Side {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Side")
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}

/// What a [`Side`] may know.
pub struct SideContext<'a> {
    /// The time of the batch.
    pub now: Timestamp,
    /// The values that were drawn for the command.
    pub fresh: &'a Fresh,
    /// The events of the command.
    pub events: &'a [Event],
}

/// The side writes of a batch so far.
#[derive(Default)]
pub(crate) struct SideDraft {
    writes: Vec<SideWrite>,
    /// What each written row would be; `None` where it was deleted.
    rows: BTreeMap<(SideTable, String), Option<Vec<u8>>>,
}

/// A row was to be new and is there already.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RowExists;

impl SideDraft {
    /// `stored` as it would be after the batch so far. `stored` are all rows under `prefix`, by key.
    pub(crate) fn over(
        &self,
        table: SideTable,
        prefix: &str,
        stored: Vec<SideRow>,
    ) -> Vec<SideRow> {
        let start = (table, prefix.to_owned());
        let mut written = self
            .rows
            .range(start..)
            .take_while(|((of, key), _)| *of == table && key.starts_with(prefix))
            .peekable();
        if written.peek().is_none() {
            return stored;
        }
        let mut rows: BTreeMap<String, Vec<u8>> =
            stored.into_iter().map(|row| (row.key, row.value)).collect();
        for ((_, key), value) in written {
            match value {
                Some(value) => rows.insert(key.clone(), value.clone()),
                None => rows.remove(key),
            };
        }
        rows.into_iter()
            .map(|(key, value)| SideRow { key, value })
            .collect()
    }

    /// What the batch so far put under a key.
    pub(crate) fn written(&self, table: SideTable, key: &str) -> Option<&[u8]> {
        self.rows.get(&(table, key.to_owned()))?.as_deref()
    }

    /// Adds the writes of one command, all or none. `known` are the rows it read.
    ///
    /// # Errors
    /// Where a row that was to be new is known to be there. One that only the database knows of fails the whole batch; keys
    /// of new rows are drawn from 128 random bits.
    pub(crate) fn add(
        &mut self,
        writes: Vec<SideWrite>,
        table: SideTable,
        known: &[SideRow],
    ) -> Result<(), RowExists> {
        let mut inserted = std::collections::BTreeSet::new();
        for write in &writes {
            if let SideWrite::Insert { table: of, key, .. } = write {
                let in_batch = matches!(self.rows.get(&(*of, key.clone())), Some(Some(_)));
                let in_table = *of == table && known.iter().any(|row| row.key == *key);
                if in_batch || in_table || !inserted.insert((*of, key.clone())) {
                    return Err(RowExists);
                }
            }
        }
        for write in &writes {
            match write {
                SideWrite::Put { table, key, value } | SideWrite::Insert { table, key, value } => {
                    self.rows.insert((*table, key.clone()), Some(value.clone()));
                }
                SideWrite::Delete { table, key } => {
                    self.rows.insert((*table, key.clone()), None);
                }
            }
        }
        self.writes.extend(writes);
        Ok(())
    }

    /// All writes of the batch, in order.
    pub(crate) fn into_writes(self) -> Vec<SideWrite> {
        self.writes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: SideTable = SideTable::ApiToken;

    fn row(key: &str, value: u8) -> SideRow {
        SideRow {
            key: key.to_owned(),
            value: vec![value],
        }
    }

    fn put(key: &str, value: u8) -> SideWrite {
        SideWrite::Put {
            table: TABLE,
            key: key.to_owned(),
            value: vec![value],
        }
    }

    fn insert(key: &str) -> SideWrite {
        SideWrite::Insert {
            table: TABLE,
            key: key.to_owned(),
            value: vec![0],
        }
    }

    fn delete(key: &str) -> SideWrite {
        SideWrite::Delete {
            table: TABLE,
            key: key.to_owned(),
        }
    }

    #[test]
    fn a_command_sees_the_rows_that_commands_before_it_wrote() {
        let mut draft = SideDraft::default();
        draft
            .add(
                vec![put("a/2", 2), delete("a/1"), put("b/1", 9)],
                TABLE,
                &[],
            )
            .expect("nothing is inserted");
        let seen = draft.over(TABLE, "a/", vec![row("a/1", 1), row("a/3", 3)]);
        assert_eq!(seen, [row("a/2", 2), row("a/3", 3)]);
        let other_table = draft.over(SideTable::Secret, "a/", vec![row("a/1", 1)]);
        assert_eq!(other_table, [row("a/1", 1)]);
    }

    #[test]
    fn a_row_that_is_there_is_not_inserted_and_spoils_nothing() {
        // what was written before, what was read, what is written
        let cases = [
            (vec![put("k", 1)], vec![], vec![insert("k")]),
            (vec![], vec![row("k", 1)], vec![insert("k")]),
            (vec![], vec![], vec![insert("k"), insert("k")]),
        ];
        for (before, known, writes) in cases {
            let mut draft = SideDraft::default();
            draft.add(before.clone(), TABLE, &[]).expect("fits");
            assert_eq!(draft.add(writes, TABLE, &known), Err(RowExists));
            assert_eq!(draft.into_writes(), before);
        }
    }
}
