//! The XML schema of reports (REP-02).

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::Surface;

use crate::error::Problem;
use crate::site::Site;
use crate::xml_answer;
use crate::xml_namespace;

/// The schema, with the namespace left open.
const SCHEMA: &str = include_str!("reporting.xsd");

/// The schema of reports in `namespace`.
#[must_use]
pub fn schema(namespace: &str) -> String {
    SCHEMA.replace("{namespace}", namespace)
}

/// Serves the schema to anybody: it is fetched by tools that have no token, and holds nothing of the site.
pub(super) async fn answer(State(site): State<Arc<Site>>) -> Response {
    let published = site.engine.published();
    let settings = &published.world.settings;
    match xml_namespace::of(Surface::ReportingApi, settings) {
        Some(namespace) if settings.xml_api_enabled => xml_answer::document(schema(namespace)),
        // AUTH-01
        _ => Problem::document_not_found().to_json().into_response(),
    }
}
