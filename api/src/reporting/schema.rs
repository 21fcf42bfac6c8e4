//! The XML schema of reports (REP-02).

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use domain::Surface;

use crate::site::Site;
use crate::xml_answer;

/// The schema, with the namespace left open.
const SCHEMA: &str = include_str!("reporting.xsd");

/// Serves the schema to anybody: it is fetched by tools that have no token, and holds nothing of the site.
pub(super) async fn answer(State(site): State<Arc<Site>>) -> Response {
    xml_answer::schema(&site, Surface::ReportingApi, SCHEMA)
}
