//! Answers of the XML surfaces: media type, errors and schemas (CMD-07, CMD-58, REP-08, REP-86).

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use domain::Surface;

use crate::error::Problem;
use crate::site::Site;
use crate::{xml, xml_namespace};

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

/// The schema of a surface's answers: `schema` with the namespace that the site sends.
pub(crate) fn schema(site: &Site, surface: Surface, schema: &str) -> Response {
    let published = site.engine.published();
    let settings = &published.world.settings;
    match xml_namespace::of(surface, settings) {
        Some(namespace) if settings.xml_api_enabled => {
            document(schema.replace("{namespace}", namespace))
        }
        // AUTH-01
        _ => Problem::document_not_found().to_json(),
    }
}
