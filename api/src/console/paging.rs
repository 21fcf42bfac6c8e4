//! What the console's own lists share: a parameter each, read one after the other; a text that is searched for; an order; pages.
//! [`super`] says which lists these are.

use domain::FieldErrors;
use domain::record::{Field, Kind};
use serde_json::{Value, json};

use crate::form;

/// Longest text that is searched for, in characters.
pub const SEARCH_CHARS_MAX: usize = 255;
/// Most rows of a page.
pub const PER_PAGE_MAX: usize = 500;
/// Rows of a page where the caller does not say.
pub const PER_PAGE: usize = 100;
/// Last page that may be asked for.
const PAGE_MAX: usize = i32::MAX as usize;
/// Longest name of an unknown parameter that is repeated to the caller, in characters.
const NAME_CHARS_MAX: usize = 64;

/// The one parameter that may stand in a query several times: each narrows the list further.
const REPEATABLE: &str = "filter";

/// Reads the query of a URL: `set` takes one parameter after the other, or says what is not right with it.
///
/// # Errors
/// The parameters that are not right, unknown ones included.
pub fn read<Q: Default>(
    query: &str,
    set: impl Fn(&mut Q, &str, &str) -> Result<(), String>,
) -> Result<Q, FieldErrors> {
    let mut read = Q::default();
    let mut errors = FieldErrors::default();
    for (name, value) in form::query(Some(query), |name| name == REPEATABLE)? {
        if let Err(message) = set(&mut read, &name, &value) {
            errors.push(
                name.chars().take(NAME_CHARS_MAX).collect::<String>(),
                message,
            );
        }
    }
    if errors.0.is_empty() {
        Ok(read)
    } else {
        Err(errors)
    }
}

/// What is said of a parameter that a list does not know.
#[must_use]
pub fn unknown() -> String {
    "This parameter is not known.".to_owned()
}

/// What is searched for, folded.
///
/// # Errors
/// It is too long.
pub fn searched(name: &str, text: &str) -> Result<String, String> {
    if text.chars().count() > SEARCH_CHARS_MAX {
        return Err(format!(
            "The {name} must not be longer than {SEARCH_CHARS_MAX} characters."
        ));
    }
    Ok(text.trim().to_lowercase())
}

/// What a list may be ordered by; the first one is meant where nothing is said.
pub trait Order: Copy + 'static {
    /// All of them.
    const ALL: &'static [Self];

    /// Its word in `sort`.
    fn word(self) -> &'static str;
}

/// An order, or its reverse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort<O> {
    /// What is compared.
    pub order: O,
    /// Whether the order is reversed.
    pub descending: bool,
}

impl<O: Order> Default for Sort<O> {
    fn default() -> Self {
        Self {
            order: O::ALL[0],
            descending: false,
        }
    }
}

impl<O: Order> Sort<O> {
    /// Reads the word of an order, with `-` before it for the reverse.
    ///
    /// # Errors
    /// It is the word of none.
    pub fn read(value: &str) -> Result<Self, String> {
        let (descending, word) = value
            .strip_prefix('-')
            .map_or((false, value), |word| (true, word));
        let order = O::ALL.iter().find(|order| order.word() == word);
        let order = *order.ok_or_else(|| {
            let words: Vec<&str> = O::ALL.iter().map(|order| order.word()).collect();
            format!(
                "The sort must be one of: {}, each with - before it for the reverse.",
                words.join(", ")
            )
        })?;
        Ok(Self { order, descending })
    }

    /// How two rows stand, where `ascending` is how they stand by the order itself.
    #[must_use]
    pub fn directed(self, ascending: std::cmp::Ordering) -> std::cmp::Ordering {
        if self.descending {
            ascending.reverse()
        } else {
            ascending
        }
    }
}

/// Which page of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paging {
    /// Rows of a page.
    pub per_page: usize,
    /// Which page, from 1.
    pub page: usize,
}

impl Default for Paging {
    fn default() -> Self {
        Self {
            per_page: PER_PAGE,
            page: 1,
        }
    }
}

impl Paging {
    /// How many rows a page has, for the OpenAPI document.
    pub const ROWS: Field = Field::new(
        "per_page",
        Kind::Integer {
            min: 1,
            max: PER_PAGE_MAX as i64,
        },
        "Rows of a page; 100 where absent.",
    );
    /// Which page, for the OpenAPI document.
    pub const PAGE: Field = Field::new(
        "current_page",
        Kind::Integer {
            min: 1,
            max: PAGE_MAX as i64,
        },
        "Which page.",
    );

    /// Takes a parameter, where it is one of paging.
    ///
    /// # Errors
    /// It is not a number of those there may be, or not known.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "per_page" => self.per_page = number(value, PER_PAGE_MAX)?,
            "current_page" => self.page = number(value, PAGE_MAX)?,
            _ => return Err(unknown()),
        }
        Ok(())
    }

    /// How many rows come before the page.
    #[must_use]
    pub fn before(self) -> usize {
        (self.page - 1).saturating_mul(self.per_page)
    }

    /// The members of an answer that say where its rows stand among `total`.
    #[must_use]
    pub fn told(self, total: usize) -> [(&'static str, Value); 4] {
        [
            ("total", json!(total)),
            ("per_page", json!(self.per_page)),
            ("current_page", json!(self.page)),
            ("last_page", json!(self.last_page(total))),
        ]
    }

    /// The last page there is, from 1.
    #[must_use]
    pub fn last_page(self, total: usize) -> usize {
        total.div_ceil(self.per_page).max(1)
    }
}

fn number(text: &str, max: usize) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|number| (1..=max).contains(number))
        .ok_or_else(|| format!("The value must be an integer of 1 to {max}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_numbers_within_their_bounds() {
        let mut paging = Paging::default();
        for (name, value, is_good) in [
            ("per_page", "1", true),
            ("per_page", "500", true),
            ("per_page", "501", false),
            ("per_page", "0", false),
            ("current_page", "2147483647", true),
            ("current_page", "2147483648", false),
            ("current_page", "-1", false),
            ("page", "1", false),
        ] {
            assert_eq!(paging.set(name, value).is_ok(), is_good, "{name}={value}");
        }
        assert_eq!((paging.per_page, paging.page), (500, 2_147_483_647));
        assert_eq!(paging.before(), 2_147_483_646 * 500);
        assert_eq!((paging.last_page(0), paging.last_page(501)), (1, 2));
    }
}
