//! Answers of the XML surfaces: media type and errors (CMD-07, CMD-58, REP-08, REP-86).

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::xml;

/// The media type of every XML answer.
pub const TEXT_XML: HeaderValue = HeaderValue::from_static("text/xml; charset=UTF-8");

/// A document with status 200.
#[must_use]
pub fn document(body: impl Into<Body>) -> Response {
    let mut response = (StatusCode::OK, body.into()).into_response();
    response.headers_mut().insert(CONTENT_TYPE, TEXT_XML);
    response
}

/// An error of the call itself: root `<error>`, status 200.
#[must_use]
pub fn error(namespace: &str, message: &str) -> Response {
    document(xml::single("error", &[("xmlns", namespace)], message))
}
