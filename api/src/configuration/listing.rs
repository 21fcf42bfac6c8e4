//! Lists: filters that are exact and without regard to case, all of which must hold (CONF-12), and pages with the headers that
//! clients follow (config-api.md section 0 fact 9, section 2.2).

use std::borrow::Cow;
use std::fmt::Write as _;

use axum::http::header::LINK;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::FieldErrors;
use domain::record::{Field, Kind, Object};
use serde_json::Value;

use crate::answer::Answer;
use crate::caller::Known;
use crate::error::{JsonError, Problem};
use crate::form;
use crate::peer::Peer;
use crate::site::Site;

/// Fewest members of a page; who asks for one to four gets as many.
const PER_PAGE_MIN: usize = 5;
/// Most members of a page, and the number where none is asked for.
const PER_PAGE_MAX: usize = 100;
/// Last page that may be asked for.
const PAGE_MAX: i64 = i32::MAX as i64;

/// As many characters can be looked for in every text, also where fewer can be stored: the published description says so of most
/// filters, and clients keep to it.
pub(crate) const FILTER_CHARS_MIN: usize = 255;

const CURRENT_PAGE: HeaderName = HeaderName::from_static("x-bt-pagination-current-page");
const LAST_PAGE: HeaderName = HeaderName::from_static("x-bt-pagination-last-page");
const PER_PAGE: HeaderName = HeaderName::from_static("x-bt-pagination-per-page");
const TOTAL: HeaderName = HeaderName::from_static("x-bt-pagination-total");

/// The filters of a list: fields with the text looked for, in lower case.
#[derive(Debug, Default)]
pub struct Filters(Vec<(&'static Field, String)>);

impl Filters {
    /// The text looked for in a member, if it is filtered by.
    #[must_use]
    pub fn wanted(&self, member: &str) -> Option<&str> {
        let filter = self.0.iter().find(|(field, _)| field.name == member);
        filter.map(|(_, wanted)| wanted.as_str())
    }

    /// Whether every filter finds its text, without regard to case, in what `text_of` gives for its member.
    pub fn all_match<'r>(&self, text_of: impl Fn(&str) -> Cow<'r, str>) -> bool {
        self.0
            .iter()
            .all(|(field, wanted)| equals_folded(&text_of(field.name), wanted))
    }

    /// Every filter, with the text it looks for.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Field, &str)> {
        self.0
            .iter()
            .map(|(field, wanted)| (*field, wanted.as_str()))
    }
}

/// Whether a text is, in lower case, `wanted`.
fn equals_folded(text: &str, wanted: &str) -> bool {
    if text.is_ascii() {
        // Nothing else of it changes in lower case.
        text.eq_ignore_ascii_case(wanted)
    } else {
        text.to_lowercase() == wanted
    }
}

/// What a list was asked for.
#[derive(Debug)]
pub struct Listing {
    /// What the rows must have.
    pub filters: Filters,
    per_page: usize,
    current_page: usize,
    url: String,
    /// The query without paging, each parameter encoded and ended by `&`.
    kept_query: String,
}

impl Listing {
    /// Reads the query of a list whose filters are `fields`.
    ///
    /// # Errors
    /// 422 naming every parameter that is not known or not right; 401 instead for unknown ones where the site wants strict
    /// compatibility.
    pub fn read(
        parts: &Parts,
        fields: &[&'static Field],
        site: &Site,
        known: &Known,
    ) -> Result<Self, JsonError> {
        let mut listing = Self {
            filters: Filters::default(),
            per_page: PER_PAGE_MAX,
            current_page: 1,
            url: format!("{}{}", base_url(parts, site), parts.uri.path()),
            kept_query: String::new(),
        };
        let mut unknown = FieldErrors::default();
        let mut errors = FieldErrors::default();
        let query = form::query(parts.uri.query(), |_| false).map_err(Problem::invalid)?;
        for (name, value) in query {
            match name.as_str() {
                // Clients in the field ask for page 0, and for one member to read how many there are.
                "per_page" => match value.parse() {
                    Ok(number) if (1..=PER_PAGE_MAX).contains(&number) => {
                        listing.per_page = number.max(PER_PAGE_MIN);
                    }
                    _ => errors.push(
                        "per_page",
                        format!("The per_page parameter must be an integer between {PER_PAGE_MIN} and {PER_PAGE_MAX}."),
                    ),
                },
                "current_page" => match value.parse::<i64>().map(|page| page.max(1)) {
                    Ok(number) if number <= PAGE_MAX => {
                        listing.current_page = usize::try_from(number).unwrap_or(1);
                    }
                    _ => errors.push(
                        "current_page",
                        format!("The current_page parameter must be an integer between 1 and {PAGE_MAX}."),
                    ),
                },
                name => match fields.iter().find(|field| field.name == name) {
                    None => unknown.push(name, format!("The {name} parameter is not known.")),
                    Some(field) => match check(field, &value) {
                        Err(message) => errors.push(name, message),
                        Ok(()) => {
                            let encoded: String =
                                form_urlencoded::byte_serialize(value.as_bytes()).collect();
                            // Writing into a String can't fail.
                            let _ = write!(listing.kept_query, "{name}={encoded}&");
                            listing.filters.0.push((field, value.to_lowercase()));
                        }
                    },
                },
            }
        }
        if !unknown.0.is_empty() && known.world().settings.strict_compatibility {
            return Err(strictly_unknown(unknown).into());
        }
        unknown.0.extend(errors.0);
        if unknown.0.is_empty() {
            Ok(listing)
        } else {
            Err(Problem::invalid(unknown).into())
        }
    }

    /// One page of `matching`, each member shown by `show`, with the headers of paging.
    pub fn answer<T>(
        &self,
        known: &Known,
        matching: impl Iterator<Item = T>,
        show: impl Fn(T) -> Object,
    ) -> Response {
        let skipped = (self.current_page - 1).saturating_mul(self.per_page);
        let mut total = 0;
        let mut page = Vec::new();
        for row in matching {
            if total >= skipped && page.len() < self.per_page {
                page.push(row);
            }
            total += 1;
        }
        self.answer_page(known, total, page.into_iter().map(show))
    }

    /// A page that was cut already, of `total` rows in all, with the headers of paging.
    pub fn answer_page(
        &self,
        known: &Known,
        total: usize,
        page: impl Iterator<Item = Object>,
    ) -> Response {
        let shown: Vec<Value> = page.map(Value::Object).collect();
        let last = total.div_ceil(self.per_page).max(1);
        let mut response = Answer::known(&known.0, shown).into_response();
        let headers = response.headers_mut();
        headers.insert(CURRENT_PAGE, HeaderValue::from(self.current_page));
        headers.insert(LAST_PAGE, HeaderValue::from(last));
        headers.insert(PER_PAGE, HeaderValue::from(self.per_page));
        headers.insert(TOTAL, HeaderValue::from(total));
        if let Ok(links) = HeaderValue::try_from(self.links(last)) {
            headers.insert(LINK, links);
        }
        response
    }

    /// Where the page begins, and how many rows it has: for lists that a database cuts.
    #[must_use]
    pub const fn cut(&self) -> (usize, usize) {
        let before = (self.current_page - 1).saturating_mul(self.per_page);
        (before, self.per_page)
    }

    /// First, previous, next, last; the outer two always.
    fn links(&self, last: usize) -> String {
        let current = self.current_page;
        let pages = [
            (true, 1, "first"),
            (current > 1, (current - 1).clamp(1, last), "previous"),
            (current < last, current + 1, "next"),
            (true, last, "last"),
        ];
        let links: Vec<String> = pages
            .into_iter()
            .filter(|(there, _, _)| *there)
            .map(|(_, page, relation)| {
                format!(
                    "<{}?{}current_page={page}&per_page={}>; rel=\"{relation}\"",
                    self.url, self.kept_query, self.per_page
                )
            })
            .collect();
        links.join(", ")
    }
}

/// 401 for names that are not known, as the published description says (config-api.md 2.3).
pub(crate) fn strictly_unknown(errors: FieldErrors) -> Problem {
    Problem {
        status: StatusCode::UNAUTHORIZED,
        ..Problem::invalid(errors)
    }
}

/// Whether `value` can be looked for in a field of this kind.
fn check(field: &Field, value: &str) -> Result<(), String> {
    let name = field.name;
    match field.kind {
        Kind::Id => number(name, value, 1, i64::from(i32::MAX)),
        Kind::Integer { min, max } => number(name, value, min, max),
        Kind::Boolean if matches!(value.to_lowercase().as_str(), "true" | "false") => Ok(()),
        Kind::Boolean => Err(format!("The {name} parameter must be true or false.")),
        Kind::Word(words) if words.iter().any(|word| word.eq_ignore_ascii_case(value)) => Ok(()),
        Kind::Word(words) => Err(format!(
            "The {name} parameter must be one of: {}.",
            words.join(", ")
        )),
        // Nothing would be looked for: an unset variable of a script, which must not match whatever has none.
        Kind::Text { .. } | Kind::Name { .. } if field.filter && value.is_empty() => {
            Err(format!("The {name} parameter must not be empty."))
        }
        Kind::Text { max, .. } | Kind::Name { max, .. } | Kind::Secret { max } => {
            let max = if field.filter {
                max.max(FILTER_CHARS_MIN)
            } else {
                max
            };
            if value.chars().count() > max {
                Err(format!(
                    "The {name} parameter must not be longer than {max} characters."
                ))
            } else {
                Ok(())
            }
        }
        Kind::CodeName if value.len() > 64 => Err(format!(
            "The {name} parameter must not be longer than 64 characters."
        )),
        Kind::Language
        | Kind::CodeName
        | Kind::Texts { .. }
        | Kind::AddressRanges { .. }
        | Kind::Moment => Ok(()),
    }
}

fn number(name: &str, value: &str, min: i64, max: i64) -> Result<(), String> {
    match value.parse::<i64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(()),
        _ => Err(format!(
            "The {name} parameter must be an integer between {min} and {max}."
        )),
    }
}

/// The text that filters compare with, in lower case.
#[must_use]
pub fn filter_text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.to_lowercase(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

/// `https://host` as the operator named it, else as the caller did.
#[must_use]
pub fn base_url(parts: &Parts, site: &Site) -> String {
    if let Some(url) = &site.public_url {
        return url.clone();
    }
    let host = parts
        .headers
        .get(axum::http::header::HOST)
        .and_then(|host| host.to_str().ok())
        .or_else(|| parts.uri.authority().map(|authority| authority.as_str()))
        .filter(|host| host.bytes().all(is_host_byte) && !host.is_empty());
    let is_https = parts
        .extensions
        .get::<Peer>()
        .is_some_and(|peer| peer.is_https);
    match host {
        Some(host) if is_https => format!("https://{host}"),
        Some(host) => format!("http://{host}"),
        // Without a usable name of the site, links are relative to it.
        None => String::new(),
    }
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(current_page: usize, per_page: usize) -> Listing {
        Listing {
            filters: Filters::default(),
            per_page,
            current_page,
            url: "https://a/l".to_owned(),
            kept_query: "name=x&".to_owned(),
        }
    }

    fn relations(links: &str) -> Vec<(String, String)> {
        links
            .split(", ")
            .map(|link| {
                let page = link.split("current_page=").nth(1).unwrap();
                let page = page.split('&').next().unwrap();
                let relation = link.split("rel=\"").nth(1).unwrap().trim_end_matches('"');
                (relation.to_owned(), page.to_owned())
            })
            .collect()
    }

    #[test]
    fn links_come_as_first_previous_next_last() {
        // page, last, links
        type Links = &'static [(&'static str, &'static str)];
        let cases: [(usize, usize, Links); 5] = [
            (1, 1, &[("first", "1"), ("last", "1")]),
            (1, 3, &[("first", "1"), ("next", "2"), ("last", "3")]),
            (
                2,
                3,
                &[
                    ("first", "1"),
                    ("previous", "1"),
                    ("next", "3"),
                    ("last", "3"),
                ],
            ),
            (3, 3, &[("first", "1"), ("previous", "2"), ("last", "3")]),
            (9, 3, &[("first", "1"), ("previous", "3"), ("last", "3")]),
        ];
        for (page, last, expected) in cases {
            let links = listing(page, 5).links(last);
            assert!(
                links.starts_with("<https://a/l?name=x&current_page=1&per_page=5>; rel=\"first\"")
            );
            let expected: Vec<(String, String)> = expected
                .iter()
                .map(|(relation, page)| ((*relation).to_owned(), (*page).to_owned()))
                .collect();
            assert_eq!(relations(&links), expected, "page {page} of {last}");
        }
    }
}
