//! The parameters of a call of an XML API: a GET's query, a POST's form, or a POST's query (CMD-01 to CMD-03, REP-01).

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method};

use crate::error::Problem;

/// Longest body, in bytes; the longest documented parameters are ten attributes of 1,024 characters.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// Most parameters of one call.
pub const PARAMETERS_MAX: usize = 200;

/// Parameters by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters(BTreeMap<String, String>);

/// Why a call's parameters can't be read; the text is for the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A multipart body (CMD-03).
    #[error("Multipart requests are not supported.")]
    Multipart,
    /// A body of another type than a form (CMD-02).
    #[error("A request body needs the Content-Type application/x-www-form-urlencoded.")]
    OtherType,
    /// A body that did not arrive in time.
    #[error("The body did not arrive in time.")]
    TimedOut,
    /// More than [`BODY_BYTES_MAX`] bytes, or the connection broke.
    #[error("The request body is too large or could not be read.")]
    Body,
    /// The same parameter with two values: which one was meant can't be known.
    #[error("The parameter {0} was given more than once.")]
    Twice(String),
    /// More than [`PARAMETERS_MAX`] parameters.
    #[error("The request has too many parameters.")]
    TooMany,
}

impl From<Unreadable> for Problem {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::TimedOut => Self::body_timed_out(),
            other => Self::malformed(other.to_string()),
        }
    }
}

impl Parameters {
    /// Reads query and body of `request`; the body has to arrive within `body_within`.
    ///
    /// # Errors
    /// [`Unreadable`], for an `<error>` answer.
    pub async fn read(request: Request, body_within: Duration) -> Result<Self, Unreadable> {
        let (parts, body) = request.into_parts();
        let mut parameters = Self::default();
        parameters.add(parts.uri.query().unwrap_or_default().as_bytes())?;
        if parts.method == Method::POST {
            let read = tokio::time::timeout(body_within, read_form(&parts.headers, body));
            parameters.add(&read.await.map_err(|_| Unreadable::TimedOut)??)?;
        }
        Ok(parameters)
    }

    /// The parameter `name`, if it was given.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Every parameter, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether the parameter was given.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn add(&mut self, form: &[u8]) -> Result<(), Unreadable> {
        for (name, value) in form_urlencoded::parse(form) {
            if self.0.len() == PARAMETERS_MAX {
                return Err(Unreadable::TooMany);
            }
            if self
                .0
                .insert(name.clone().into_owned(), value.into_owned())
                .is_some()
            {
                return Err(Unreadable::Twice(name.chars().take(64).collect()));
            }
        }
        Ok(())
    }
}

async fn read_form(headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Unreadable> {
    let bytes = to_bytes(body, BODY_BYTES_MAX)
        .await
        .map_err(|_| Unreadable::Body)?;
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let media_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    if media_type.starts_with("multipart/") {
        Err(Unreadable::Multipart)
    } else if media_type == "application/x-www-form-urlencoded" {
        Ok(bytes.to_vec())
    } else {
        Err(Unreadable::OtherType)
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Parameters {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn post(query: &str, content_type: Option<&str>, body: impl Into<Body>) -> Request {
        let mut request = Request::builder()
            .method("POST")
            .uri(format!("/api/command?{query}"));
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        request.body(body.into()).expect("a request")
    }

    const WITHIN: Duration = Duration::from_secs(30);

    const FORM: Option<&str> = Some("application/x-www-form-urlencoded");

    /// CMD-01 CMD-02 REP-01
    #[tokio::test]
    async fn query_and_form_carry_the_same() {
        for request in [
            post("", FORM, "action=get_api_info&x=a%20b%2B"),
            post(
                "",
                Some("application/x-www-form-urlencoded; charset=UTF-8"),
                "action=get_api_info&x=a+b%2B",
            ),
            post("action=get_api_info&x=a%20b%2B", None, ""),
            post("action=get_api_info", FORM, "x=a+b%2B"),
        ] {
            let read = Parameters::read(request, WITHIN).await.expect("parameters");
            assert_eq!(
                read,
                Parameters::from([("action", "get_api_info"), ("x", "a b+")])
            );
        }
    }

    /// CMD-02 CMD-03 REP-01
    #[tokio::test]
    async fn other_bodies_are_refused() {
        let many = "a".repeat(BODY_BYTES_MAX + 1);
        let crowd: String = (0..=PARAMETERS_MAX).map(|n| format!("p{n}=1&")).collect();
        for (request, why) in [
            (
                post("", Some("multipart/form-data; boundary=x"), "--x--"),
                Unreadable::Multipart,
            ),
            (
                post(
                    "",
                    Some("application/json"),
                    "{\"action\":\"get_api_info\"}",
                ),
                Unreadable::OtherType,
            ),
            (post("", None, "action=get_api_info"), Unreadable::OtherType),
            (post("", FORM, many), Unreadable::Body),
            (post("", FORM, crowd), Unreadable::TooMany),
            (
                post("action=a", FORM, "action=b"),
                Unreadable::Twice("action".to_owned()),
            ),
        ] {
            assert_eq!(Parameters::read(request, WITHIN).await, Err(why));
        }
    }

    /// threat M
    #[tokio::test(start_paused = true)]
    async fn threat_m_a_body_that_never_ends_is_given_up() {
        let silent =
            Body::from_stream(futures_util::stream::pending::<Result<String, Infallible>>());
        let read = Parameters::read(post("", FORM, silent), WITHIN).await;
        assert_eq!(read, Err(Unreadable::TimedOut));
    }
}
