//! What is made of a snapshot when somebody first asks for it, so that a start need not wait for it.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A persistent collection that may not be made yet; whoever looks at it first makes it, for all copies.
///
/// `T` must be one whose copies share what they hold.
pub(crate) struct Late<T> {
    made: OnceLock<T>,
    /// Where it comes from while it is not made; without, it is empty.
    later: Option<Arc<Later<T>>>,
}

/// Makes it.
type Make<T> = Box<dyn FnOnce() -> T + Send>;

struct Later<T> {
    made: OnceLock<T>,
    /// Let go of once it was done.
    make: Mutex<Option<Make<T>>>,
}

impl<T: Clone + Default> Late<T> {
    /// What `make` will give.
    pub(crate) fn of(make: impl FnOnce() -> T + Send + 'static) -> Self {
        let later = Later {
            made: OnceLock::new(),
            make: Mutex::new(Some(Box::new(make))),
        };
        Self {
            made: OnceLock::new(),
            later: Some(Arc::new(later)),
        }
    }

    /// Makes it, if nobody has looked yet, and forgets where it comes from.
    pub(crate) fn let_go(&mut self) {
        self.get();
        self.later = None;
    }

    fn get(&self) -> &T {
        self.made.get_or_init(|| {
            self.later
                .as_ref()
                .map_or_else(T::default, |later| later.get().clone())
        })
    }
}

impl<T: Default> Later<T> {
    fn get(&self) -> &T {
        self.made.get_or_init(|| {
            let make = self
                .make
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            make.map_or_else(T::default, |make| make())
        })
    }
}

impl<T: Clone + Default> Deref for Late<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.get()
    }
}

impl<T: Clone + Default> DerefMut for Late<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.let_go();
        match self.made.get_mut() {
            Some(made) => made,
            None => unreachable!("it was just made"),
        }
    }
}

impl<T: Clone> Clone for Late<T> {
    fn clone(&self) -> Self {
        Self {
            made: self.made.clone(),
            later: self.later.clone(),
        }
    }
}

impl<T> Default for Late<T> {
    fn default() -> Self {
        Self {
            made: OnceLock::new(),
            later: None,
        }
    }
}

impl<T: Clone + Default + PartialEq> PartialEq for Late<T> {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl<T: Clone + Default + fmt::Debug> fmt::Debug for Late<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_for_all_copies_and_only_when_somebody_looks() {
        let made = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let count = Arc::clone(&made);
        let late = Late::of(move || {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            vec![1, 2]
        });
        let copy = late.clone();
        let mut changed = late.clone();
        assert_eq!(made.load(std::sync::atomic::Ordering::Relaxed), 0);
        changed.push(3);
        assert_eq!(*copy, [1, 2]);
        assert_eq!(*late, [1, 2]);
        assert_eq!(*changed, [1, 2, 3]);
        assert!(late == copy && late != changed);
        assert_eq!(made.load(std::sync::atomic::Ordering::Relaxed), 1);
        assert!(Late::<Vec<u8>>::default().is_empty());
    }
}
