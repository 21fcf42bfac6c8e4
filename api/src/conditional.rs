//! Conditional requests (RFC 9110, 8.8.3 and 13.1.1): the entity tag of what an answer shows, and `If-Match`, by which a client
//! changes or deletes only what it has read.

use axum::http::header::IF_MATCH;
use axum::http::{HeaderMap, HeaderValue};
use domain::World;
use engine::Condition;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::error::Problem;

/// Most tags of one request.
const TAGS_MAX: usize = 20;
/// Bytes of the hash that are in a tag.
const TAG_BYTES: usize = 16;

/// The entity tag of an object: another one for every change of what is shown.
///
/// It is a hash of the answer's body, so that it is the same on every node and after every restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityTag(String);

impl EntityTag {
    /// The tag of what is shown.
    #[must_use]
    pub fn of(shown: &impl Serialize) -> Self {
        // Answers are made of plain values, which can always be written as JSON.
        let bytes = serde_json::to_vec(shown).unwrap_or_default();
        Self(format!(
            "\"{}\"",
            hex::encode(&Sha256::digest(&bytes)[..TAG_BYTES])
        ))
    }

    /// The value of the `ETag` header.
    #[must_use]
    pub fn to_header(&self) -> HeaderValue {
        // Quotation marks and hex digits are always a legal value.
        HeaderValue::try_from(&self.0).unwrap_or(HeaderValue::from_static("\"\""))
    }
}

/// What `If-Match` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// `*`: that it is there.
    Any,
    /// That it is still one of these. Weak tags are none: they don't say that nothing has changed.
    Tags(Vec<EntityTag>),
}

impl IfMatch {
    /// Reads the header, where the request has it.
    ///
    /// # Errors
    /// 400 for a header that can't be read.
    pub fn read(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut tags = Vec::new();
        let mut is_there = false;
        for value in headers.get_all(IF_MATCH) {
            is_there = true;
            let text = value.to_str().map_err(|_| unreadable())?;
            if text.trim() == "*" {
                return Ok(Some(Self::Any));
            }
            for tag in text.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
                let strong = tag.strip_prefix("W/").unwrap_or(tag);
                if strong.len() < 2 || !strong.starts_with('"') || !strong.ends_with('"') {
                    return Err(unreadable());
                }
                if strong.len() == tag.len() {
                    tags.push(EntityTag(tag.to_owned()));
                }
            }
        }
        if tags.len() > TAGS_MAX {
            return Err(unreadable());
        }
        Ok(is_there.then_some(Self::Tags(tags)))
    }

    /// The condition under which a command is decided: what `view` shows then is what was asked for.
    pub fn condition<T: Serialize>(
        self,
        view: impl FnOnce(&World) -> Option<T> + Send + 'static,
    ) -> Condition {
        Condition::new(move |world| match view(world) {
            None => false,
            Some(shown) => match self {
                Self::Any => true,
                Self::Tags(tags) => tags.contains(&EntityTag::of(&shown)),
            },
        })
    }
}

fn unreadable() -> Problem {
    Problem::malformed(format!(
        "The If-Match header must be * or up to {TAGS_MAX} entity tags."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&'static str]) -> Result<Option<IfMatch>, Problem> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IF_MATCH, HeaderValue::from_static(value));
        }
        IfMatch::read(&headers)
    }

    #[test]
    fn the_header_is_a_star_or_a_list_of_tags() {
        let tags = |tags: &[&str]| {
            let tags = tags.iter().map(|tag| EntityTag((*tag).to_owned()));
            Ok(Some(IfMatch::Tags(tags.collect())))
        };
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["*"]), Ok(Some(IfMatch::Any)));
        assert_eq!(
            read(&["\"a\", \"b\"", "\"c\""]),
            tags(&["\"a\"", "\"b\"", "\"c\""])
        );
        assert_eq!(read(&["W/\"a\""]), tags(&[]));
        assert_eq!(read(&[""]), tags(&[]));
        for wrong in ["a", "\"", "W/a", "\"a\" \"b", "'a'"] {
            assert!(read(&[wrong]).is_err(), "{wrong}");
        }
    }
}
