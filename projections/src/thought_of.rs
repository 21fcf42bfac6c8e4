//! Asks that every event that may be stored was thought of by a projection (test only).

use std::collections::BTreeSet;

/// Each stored name stands in exactly one of the two lists.
#[track_caller]
pub(crate) fn check(folded: &[&str], passed_over: &[&str]) {
    let thought_of: BTreeSet<&str> = folded.iter().chain(passed_over).copied().collect();
    assert_eq!(
        thought_of.len(),
        folded.len() + passed_over.len(),
        "a name stands twice"
    );
    let stored: BTreeSet<&str> = domain::Event::stored_names().into_iter().collect();
    assert_eq!(thought_of, stored);
}
