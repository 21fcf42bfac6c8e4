//! The XML schema of the Command API's answers (config-api.md 3.2).

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use domain::Surface;

use crate::site::Site;
use crate::xml_answer;

/// The schema, with the namespace left open.
const SCHEMA: &str = include_str!("command.xsd");

/// Serves the schema to anybody: it is fetched by tools that have no token, and holds nothing of the site.
pub(super) async fn answer(State(site): State<Arc<Site>>) -> Response {
    xml_answer::schema(&site, Surface::CommandApi, SCHEMA)
}
