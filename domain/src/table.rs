//! The persistent map that [`World`](crate::World) is made of.

use std::borrow::Borrow;
use std::sync::Arc;

pub(crate) mod kept;

use kept::Kept;

/// A sorted map whose copies share everything that did not change, so a copy of the whole world costs nothing.
///
/// Each row is shared for itself: a change of one row copies that row, not its neighbours.
#[derive(Clone, Debug, PartialEq)]
pub struct Table<K: Ord + Clone, V: Clone>(imbl::OrdMap<K, Row<V>>);

/// Where a row is.
#[derive(Clone)]
enum Row<V> {
    Own(Arc<V>),
    /// In a snapshot; the place of the row among its neighbours.
    Kept(Arc<Kept<V>>, u32),
}

impl<V> Row<V> {
    fn new(row: V) -> Self {
        Self::Own(Arc::new(row))
    }

    fn shared(&self) -> &Arc<V> {
        match self {
            Self::Own(row) => row,
            Self::Kept(kept, place) => kept.row(*place),
        }
    }

    fn get(&self) -> &V {
        self.shared()
    }
}

impl<V: Clone> Row<V> {
    /// The row to change, which is one of its own from now on.
    fn for_change(&mut self) -> &mut V {
        if let Self::Kept(kept, place) = self {
            *self = Self::Own(Arc::clone(kept.row(*place)));
        }
        match self {
            Self::Own(row) => Arc::make_mut(row),
            Self::Kept(..) => unreachable!("it was just made a row of its own"),
        }
    }
}

impl<V: PartialEq> PartialEq for Row<V> {
    fn eq(&self, other: &Self) -> bool {
        let (one, other) = (self.shared(), other.shared());
        Arc::ptr_eq(one, other) || one == other
    }
}

impl<V: std::fmt::Debug> std::fmt::Debug for Row<V> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(formatter)
    }
}

impl<K: Ord + Clone, V: Clone> Default for Table<K, V> {
    fn default() -> Self {
        Self(imbl::OrdMap::new())
    }
}

impl<K: Ord + Clone, V: Clone> Table<K, V> {
    /// The row under `key`.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.0.get(key).map(Row::get)
    }

    /// The row under `key`, to change; copied first if another version of the world shares it.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.0.get_mut(key).map(Row::for_change)
    }

    /// Whether there is a row under `key`.
    pub fn contains<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.0.contains_key(key)
    }

    /// Puts a row, replacing what was there.
    pub fn insert(&mut self, key: K, row: V) {
        self.0.insert(key, Row::new(row));
    }

    /// The table of rows that lie in a snapshot, under the keys given.
    pub(crate) fn of_kept(keys: impl IntoIterator<Item = K>, parts: &[Arc<Kept<V>>]) -> Self {
        let rows = parts
            .iter()
            .flat_map(|part| (0..part.count()).map(|place| Row::Kept(Arc::clone(part), place)));
        Self(keys.into_iter().zip(rows).collect())
    }

    /// Lets go of the snapshot: makes every row one of its own. Costs what it costs to read those that nobody has asked for.
    pub(crate) fn let_go(&mut self) {
        if self.0.values().any(|row| matches!(row, Row::Kept(..))) {
            self.0 = self
                .0
                .iter()
                .map(|(key, row)| (key.clone(), Row::Own(Arc::clone(row.shared()))))
                .collect();
        }
    }

    /// Takes a row out.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let row = match self.0.remove(key)? {
            Row::Own(row) => row,
            Row::Kept(kept, place) => Arc::clone(kept.row(place)),
        };
        Some(Arc::unwrap_or_clone(row))
    }

    /// All keys, rising.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.0.keys()
    }

    /// All rows by rising key.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> + Clone {
        self.0.iter().map(|(key, row)| (key, row.get()))
    }

    /// The rows whose key lies in `range`, by rising key.
    pub fn range<R: std::ops::RangeBounds<K>>(
        &self,
        range: R,
    ) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.0.range(range).map(|(key, row)| (key, row.get()))
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Ord + Clone, V: Clone> FromIterator<(K, V)> for Table<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(rows: I) -> Self {
        Self(
            rows.into_iter()
                .map(|(key, row)| (key, Row::new(row)))
                .collect(),
        )
    }
}
