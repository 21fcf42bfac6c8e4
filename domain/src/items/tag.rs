//! The tag of a Jump Item: one label inside its group (ITEM-10, ITEM-56).

use crate::record::{Field, Kind};

/// Most characters of a tag, as it is stored and as every way in but one takes it.
pub const CHARS_MAX: usize = 1024;
/// Most characters of a tag in a body of the Configuration API. Source: the published description.
const PUBLISHED_CHARS_MAX: usize = 64;

/// The line of a tag in the table of what has one.
#[must_use]
pub const fn field(about: &'static str) -> Field {
    let kind = Kind::Name {
        min: 0,
        max: CHARS_MAX,
    };
    Field::new("tag", kind, about)
        .published_max(PUBLISHED_CHARS_MAX)
        .filter()
}
