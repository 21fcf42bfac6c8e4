//! The persistent map that [`World`](crate::World) is made of.

use std::borrow::Borrow;
use std::sync::Arc;

/// A sorted map whose copies share everything that did not change, so a copy of the whole world costs nothing.
///
/// Values are behind an [`Arc`]: a change of one row copies that row, not its neighbours.
#[derive(Clone, Debug, PartialEq)]
pub struct Table<K: Ord + Clone, V: Clone>(imbl::OrdMap<K, Arc<V>>);

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
        self.0.get(key).map(Arc::as_ref)
    }

    /// The row under `key`, to change; copied first if another version of the world shares it.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.0.get_mut(key).map(Arc::make_mut)
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
        self.0.insert(key, Arc::new(row));
    }

    /// The table of rows that are shared already.
    pub(crate) fn of_shared(rows: impl IntoIterator<Item = (K, Arc<V>)>) -> Self {
        Self(rows.into_iter().collect())
    }

    /// Takes a row out.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.0.remove(key).map(Arc::unwrap_or_clone)
    }

    /// All rows by rising key.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> + Clone {
        self.0.iter().map(|(key, row)| (key, row.as_ref()))
    }

    /// The rows whose key lies in `range`, by rising key.
    pub fn range<R: std::ops::RangeBounds<K>>(
        &self,
        range: R,
    ) -> impl DoubleEndedIterator<Item = (&K, &V)> {
        self.0.range(range).map(|(key, row)| (key, row.as_ref()))
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
                .map(|(key, row)| (key, Arc::new(row)))
                .collect(),
        )
    }
}
