//! Text in form encoding: queries, forms, and the parameters of a call of an XML API, which are a GET's query, a POST's form, or a
//! POST's query (CMD-01 to CMD-03, REP-01).
//!
//! What is not of the charset it is said to be in is refused, never stored as something else.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method};
use domain::FieldErrors;
use encoding_rs::{Encoding, UTF_8};
use percent_encoding::percent_decode;

use crate::error::Problem;

/// Longest body, in bytes; the longest documented parameters are ten attributes of 1,024 characters.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// Most parameters of one call.
pub const PARAMETERS_MAX: usize = 200;
/// Longest name of a parameter that is repeated to the caller, in characters.
const NAME_CHARS_MAX: usize = 64;

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
    /// The body's charset is none that is known, or none that forms can be in.
    #[error("The charset {0} of the request body is not supported.")]
    Charset(String),
    /// A parameter whose bytes are no text of the charset.
    #[error("The parameter {name} is not valid {charset}.")]
    NotOfCharset {
        /// The parameter.
        name: String,
        /// The charset it was read in.
        charset: &'static str,
    },
    /// A NUL character, which no text holds.
    #[error("The parameter {0} must not hold a NUL character.")]
    Nul(String),
}

/// The pairs of a form or of a query, in order.
pub fn pairs(
    form: &[u8],
    charset: &'static Encoding,
) -> impl Iterator<Item = Result<(String, String), Unreadable>> {
    let form = form.strip_prefix(b"\xef\xbb\xbf").unwrap_or(form);
    form.split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(move |pair| {
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let name = decode(halves.next().unwrap_or_default(), charset);
            let value = decode(halves.next().unwrap_or_default(), charset);
            match (name, value) {
                (Some(name), Some(value)) if name.contains('\0') || value.contains('\0') => {
                    Err(Unreadable::Nul(cut(&name).replace('\0', "")))
                }
                (Some(name), Some(value)) => Ok((name, value)),
                (name, _) => Err(Unreadable::NotOfCharset {
                    name: cut(&name.unwrap_or_default()),
                    charset: charset.name(),
                }),
            }
        })
}

/// One name or value; none where its bytes are not of the charset.
fn decode(encoded: &[u8], charset: &'static Encoding) -> Option<String> {
    let with_blanks: Cow<'_, [u8]> = if encoded.contains(&b'+') {
        let byte = |byte: &u8| if *byte == b'+' { b' ' } else { *byte };
        Cow::Owned(encoded.iter().map(byte).collect())
    } else {
        Cow::Borrowed(encoded)
    };
    let bytes: Cow<'_, [u8]> = percent_decode(&with_blanks).into();
    charset
        .decode_without_bom_handling_and_without_replacement(&bytes)
        .map(Cow::into_owned)
}

/// The parameters of a URL's query, each once but those that `repeatable` allows.
///
/// # Errors
/// The parameters that can't be read, or stand there twice.
pub fn query(
    query: Option<&str>,
    repeatable: impl Fn(&str) -> bool,
) -> Result<Vec<(String, String)>, FieldErrors> {
    let mut errors = FieldErrors::default();
    let mut seen = BTreeSet::new();
    let mut read = Vec::new();
    for pair in pairs(query.unwrap_or_default().as_bytes(), UTF_8) {
        match pair {
            Ok((name, _)) if !repeatable(&name) && !seen.insert(name.clone()) => {
                let twice = Unreadable::Twice(cut(&name));
                errors.push(cut(&name), twice.to_string());
            }
            Ok(pair) => read.push(pair),
            Err(unreadable) => {
                let name = match &unreadable {
                    Unreadable::NotOfCharset { name, .. } | Unreadable::Nul(name) => name.clone(),
                    _ => String::new(),
                };
                let field = if name.is_empty() { "query" } else { &name };
                errors.push(field, unreadable.to_string());
            }
        }
    }
    if errors.0.is_empty() {
        Ok(read)
    } else {
        Err(errors)
    }
}

/// The name of a parameter as it is repeated to the caller.
fn cut(name: &str) -> String {
    name.chars().take(NAME_CHARS_MAX).collect()
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
        parameters.add(parts.uri.query().unwrap_or_default().as_bytes(), UTF_8)?;
        if parts.method == Method::POST {
            let read = tokio::time::timeout(body_within, read_form(&parts.headers, body));
            let (form, charset) = read.await.map_err(|_| Unreadable::TimedOut)??;
            parameters.add(&form, charset)?;
        }
        Ok(parameters)
    }

    /// Reads a form that came with this Content-Type.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn of_form(content_type: &str, form: &[u8]) -> Result<Self, Unreadable> {
        let mut parameters = Self::default();
        parameters.add(form, charset_of(content_type)?)?;
        Ok(parameters)
    }

    /// Takes the parameter `name` out, if it was given.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
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

    fn add(&mut self, form: &[u8], charset: &'static Encoding) -> Result<(), Unreadable> {
        for pair in pairs(form, charset) {
            let (name, value) = pair?;
            if self.0.len() == PARAMETERS_MAX {
                return Err(Unreadable::TooMany);
            }
            if self.0.insert(name.clone(), value).is_some() {
                return Err(Unreadable::Twice(cut(&name)));
            }
        }
        Ok(())
    }
}

async fn read_form(
    headers: &HeaderMap,
    body: Body,
) -> Result<(Vec<u8>, &'static Encoding), Unreadable> {
    let bytes = to_bytes(body, BODY_BYTES_MAX)
        .await
        .map_err(|_| Unreadable::Body)?;
    if bytes.is_empty() {
        return Ok((Vec::new(), UTF_8));
    }
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default();
    let media_type = media_type.trim().to_ascii_lowercase();
    if media_type.starts_with("multipart/") {
        Err(Unreadable::Multipart)
    } else if media_type == "application/x-www-form-urlencoded" {
        Ok((bytes.to_vec(), charset_of(content_type)?))
    } else {
        Err(Unreadable::OtherType)
    }
}

/// The charset that a Content-Type names; UTF-8 where it names none.
///
/// # Errors
/// [`Unreadable::Charset`].
pub fn charset_of(content_type: &str) -> Result<&'static Encoding, Unreadable> {
    let label = content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let is_charset = name.trim().eq_ignore_ascii_case("charset");
        is_charset.then(|| value.trim().trim_matches('"'))
    });
    let Some(label) = label else {
        return Ok(UTF_8);
    };
    Encoding::for_label_no_replacement(label.as_bytes())
        // Where `&` and `=` are not the bytes of ASCII, there are no pairs to tell apart.
        .filter(|charset| charset.is_ascii_compatible())
        .ok_or_else(|| Unreadable::Charset(cut(label)))
}

impl From<Parameters> for BTreeMap<String, String> {
    fn from(parameters: Parameters) -> Self {
        parameters.0
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

    /// CMD-02
    #[tokio::test]
    async fn a_form_is_read_in_the_charset_it_is_said_to_be_in() {
        // charset, form, name or why not
        let latin = "application/x-www-form-urlencoded; charset=ISO-8859-1";
        let cases: [(&str, &[u8], Result<&str, &str>); 9] = [
            (latin, b"name=B%FCro", Ok("Büro")),
            (latin, b"name=B\xfcro", Ok("Büro")),
            (
                "application/x-www-form-urlencoded; Charset=\"windows-1251\"",
                b"name=%C4%E0",
                Ok("Да"),
            ),
            (
                "application/x-www-form-urlencoded",
                b"\xef\xbb\xbfname=B%C3%BCro",
                Ok("Büro"),
            ),
            (
                "application/x-www-form-urlencoded",
                b"name=B%FCro",
                Err("The parameter name is not valid UTF-8."),
            ),
            (
                "application/x-www-form-urlencoded; charset=utf-8",
                b"name=B\xfcro",
                Err("The parameter name is not valid UTF-8."),
            ),
            (
                "application/x-www-form-urlencoded",
                b"name=a%00b",
                Err("The parameter name must not hold a NUL character."),
            ),
            (
                "application/x-www-form-urlencoded; charset=klingon",
                b"name=a",
                Err("The charset klingon of the request body is not supported."),
            ),
            (
                "application/x-www-form-urlencoded; charset=utf-16",
                b"name=a",
                Err("The charset utf-16 of the request body is not supported."),
            ),
        ];
        for (content_type, form, expected) in cases {
            let read = Parameters::read(post("", Some(content_type), form.to_vec()), WITHIN).await;
            let read = read.map_err(|unreadable| unreadable.to_string());
            let name = read
                .as_ref()
                .map(|read| read.get("name").unwrap_or_default());
            assert_eq!(name.map_err(String::as_str), expected, "{content_type}");
        }
        let query = post("name=B%FCro", None, "");
        assert!(Parameters::read(query, WITHIN).await.is_err());
    }

    #[test]
    fn a_parameter_of_a_query_stands_there_once() {
        let once = |_: &str| false;
        assert_eq!(
            query(Some("a=1&b=%C3%BC&c"), once),
            Ok(vec![
                ("a".to_owned(), "1".to_owned()),
                ("b".to_owned(), "ü".to_owned()),
                ("c".to_owned(), String::new()),
            ])
        );
        for wrong in ["a=1&a=1", "a=%FF", "a=%00", "a=1&%FF=2&a=3"] {
            let errors = query(Some(wrong), once).expect_err("refused");
            assert!(
                errors
                    .0
                    .iter()
                    .all(|(name, _)| name == "query" || name == "a"),
                "{errors:?}"
            );
        }
        assert!(query(Some("a=1&a=2"), |name| name == "a").is_ok());
    }
}
