//! A search through many rows: everything that does not depend on the row is looked at once.

use std::sync::Arc;

use domain::Timestamp;
use domain::site::settings::SiteSettings;
use memchr::memmem::Finder;

use super::row::{Row, SearchField, Status, Text, Texts, fold};

/// The words of the column "Jump Method", by what [`Row::jump_method`] gives.
const JUMP_METHODS: [&str; 2] = ["Jump Client", "Shell Jump"];

/// What rows are searched for (SESS-07).
#[derive(Clone, Debug)]
pub struct Search {
    needle: Arc<Finder<'static>>,
    texts: Vec<Text>,
    domain: bool,
    group: bool,
    jump_methods: Vec<&'static str>,
    statuses: Vec<Status>,
    /// Whether "Never" is what is searched for.
    never: bool,
    /// Whether a date could be.
    dates: bool,
}

impl Search {
    /// Rows of which one of `fields` contains `text`, without regard to case.
    #[must_use]
    pub fn new(fields: &[SearchField], text: &str) -> Self {
        let needle = fold(text);
        let asked = |field| fields.contains(&field);
        let has = |words: &str| fold(words).contains(&needle);
        let accessed = asked(SearchField::LastAccessed);
        Self {
            texts: fields.iter().filter_map(|field| field.text()).collect(),
            domain: asked(SearchField::Domain),
            group: asked(SearchField::Group),
            jump_methods: JUMP_METHODS
                .into_iter()
                .filter(|method| asked(SearchField::JumpMethod) && has(method))
                .collect(),
            statuses: Status::ALL
                .into_iter()
                .filter(|status| asked(SearchField::Status) && has(status.words()))
                .collect(),
            never: accessed && has("Never"),
            dates: accessed && needle.chars().all(is_of_a_date),
            needle: Arc::new(Finder::new(needle.as_bytes()).into_owned()),
        }
    }

    /// Whether it is found in the row.
    #[must_use]
    pub fn finds<T: AsRef<Texts>, N: AsRef<str>>(
        &self,
        row: &Row<T, N>,
        now: Timestamp,
        settings: &SiteSettings,
    ) -> bool {
        self.is_in_texts(row)
            || (self.group && self.is_in(row.group_folded.as_ref()))
            || self.jump_methods.contains(&row.jump_method())
            || (!self.statuses.is_empty() && self.statuses.contains(&row.status(now, settings)))
            || match row.last_accessed {
                None => self.never,
                Some(_) => self.dates && self.is_in(&fold(&row.last_accessed_words())),
            }
    }

    /// Most rows hold it nowhere, which one look at all their texts tells.
    fn is_in_texts<T: AsRef<Texts>, N: AsRef<str>>(&self, row: &Row<T, N>) -> bool {
        let looks_at_texts = self.domain || !self.texts.is_empty();
        if !looks_at_texts || !self.is_in(row.folded.as_ref()) {
            return false;
        }
        let texts = row.texts.as_ref();
        let holds = |text: &Text| self.is_in(texts.folded(*text));
        self.texts.iter().any(holds) || (self.domain && self.is_in(texts.domain_folded()))
    }

    fn is_in(&self, text: &str) -> bool {
        self.needle.find(text.as_bytes()).is_some()
    }
}

/// Whether RFC 3339 has such a letter, folded.
fn is_of_a_date(letter: char) -> bool {
    letter.is_ascii_digit() || "-:.+tz".contains(letter)
}
