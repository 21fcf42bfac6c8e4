//! What a handler answers with: a status, a JSON body, and the position of the log the answer belongs to.

use std::borrow::Cow;
use std::sync::Arc;

use axum::http::header::{ETAG, LOCATION};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use engine::{Done, Published};
use serde::Serialize;

use crate::conditional::EntityTag;

/// `<epoch>-<position>` of the log that an answer belongs to; whoever passes it on can ask for answers at least as new.
pub const POSITION: HeaderName = HeaderName::from_static("x-gatebook-position");
/// What whoever asked should know, though all is well (TICK-04).
pub const WARNING: HeaderName = HeaderName::from_static("x-gatebook-warning");

/// A JSON answer.
#[derive(Clone, Debug)]
pub struct Answer<T> {
    status: StatusCode,
    position: (i64, u64),
    location: Option<String>,
    warnings: Vec<Cow<'static, str>>,
    is_tagged: bool,
    body: Option<T>,
}

impl<T: Serialize> Answer<T> {
    /// 200 with what is known.
    #[must_use]
    pub fn known(published: &Arc<Published>, body: T) -> Self {
        Self {
            status: StatusCode::OK,
            position: (published.tail.epoch, published.tail.position),
            location: None,
            warnings: Vec::new(),
            is_tagged: false,
            body: Some(body),
        }
    }

    /// 200 with the outcome of a command.
    #[must_use]
    pub fn done(done: &Done, body: T) -> Self {
        Self {
            status: StatusCode::OK,
            position: (done.epoch, done.position),
            location: None,
            warnings: Vec::new(),
            is_tagged: false,
            body: Some(body),
        }
    }

    /// 201 with what was made, and its URL.
    #[must_use]
    pub fn created(done: &Done, location: String, body: T) -> Self {
        Self::done(done, body).at(StatusCode::CREATED, location)
    }

    /// 202 with what is under way, and its URL.
    #[must_use]
    pub fn accepted(done: &Done, location: String, body: T) -> Self {
        Self::done(done, body).at(StatusCode::ACCEPTED, location)
    }

    /// The same with another status, and the URL of what it shows.
    #[must_use]
    pub fn at(mut self, status: StatusCode, location: String) -> Self {
        self.status = status;
        self.location = Some(location);
        self
    }

    /// The same with warnings, each in printable ASCII.
    #[must_use]
    pub fn warned<W: Into<Cow<'static, str>>>(
        mut self,
        warnings: impl IntoIterator<Item = W>,
    ) -> Self {
        self.warnings = warnings.into_iter().map(Into::into).collect();
        self
    }

    /// The same with the entity tag of its body, by which it can be changed only as it is.
    #[must_use]
    pub fn tagged(mut self) -> Self {
        self.is_tagged = true;
        self
    }
}

impl Answer<()> {
    /// 204.
    #[must_use]
    pub fn nothing(done: &Done) -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            position: (done.epoch, done.position),
            location: None,
            warnings: Vec::new(),
            is_tagged: false,
            body: None,
        }
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let tag = self.body.as_ref().filter(|_| self.is_tagged);
        let tag = tag.map(|body| EntityTag::of(body).to_header());
        let mut response = match self.body {
            Some(body) => (self.status, axum::Json(body)).into_response(),
            None => self.status.into_response(),
        };
        let headers = response.headers_mut();
        headers.insert(POSITION, position_value(self.position));
        for warning in self.warnings {
            if let Ok(warning) = HeaderValue::try_from(warning.into_owned()) {
                headers.append(WARNING, warning);
            }
        }
        if let Some(tag) = tag {
            headers.insert(ETAG, tag);
        }
        if let Some(location) = self
            .location
            .and_then(|location| HeaderValue::try_from(location).ok())
        {
            headers.insert(LOCATION, location);
        }
        response
    }
}

/// The value of [`POSITION`].
#[must_use]
pub fn position_value((epoch, position): (i64, u64)) -> HeaderValue {
    // Digits and a dash are always a legal value.
    HeaderValue::try_from(format!("{epoch}-{position}")).unwrap_or(HeaderValue::from_static("0-0"))
}
