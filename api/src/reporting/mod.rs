//! The Reporting API: `/api/reporting`, XML (REP-01 to REP-60).
//!
//! - [`question`]: what a call asks for
//! - [`session_xml`]: a session as XML
//! - [`schema`]: the XML schema that every answer keeps
//!
//! A report is read and sent page by page: however many sessions it has, a node holds one page of it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::Response;
use bytes::Bytes;
use domain::ids::Lsid;
use domain::{Surface, Timestamp};
use futures_util::stream;
use projections::{PageKey, ReportError, ReportIndex, SessionQuery};

use crate::access::{self, Access, Permission, Verdict};
use crate::caller::{Caller, Known};
use crate::error::Problem;
use crate::form::Parameters;
use crate::route::{About, Gives, Routes, for_api_accounts};
use crate::site::Site;
use crate::xml::Document;
use crate::xml_answer;
use crate::xml_namespace;
use question::{Report, Selected, Unclear};
use session_xml::{AttributeNames, attribute_names};

pub mod question;
pub mod schema;
pub mod session_xml;

const PATH: &str = "/api/reporting";
/// Sessions that are in memory at a time.
const PAGE: usize = 200;
/// How long a report waits for the index to have all that was in the log when it was asked for.
const FRESH_WITHIN: Duration = Duration::from_secs(10);
/// What a report says where it broke off.
const BROKE_OFF: &str = "The report could not be completed.";

/// GET and POST mean the same (REP-01); the schema is for anybody (REP-02).
#[must_use]
pub fn routes(site: &Arc<Site>) -> Routes {
    let about = || About::new("Make a report").gives(Gives::Text("text/xml"));
    let accounts = Access::ApiAccount(Permission::Any);
    let reports = Routes::new(site)
        .route(Method::GET, PATH, accounts, about(), answer)
        .route(Method::POST, PATH, accounts, about(), answer);
    let schema = Routes::new(site).route(
        Method::GET,
        "/api/reporting.xsd",
        Access::Anyone,
        About::new("The XML schema of reports").gives(Gives::Text("text/xml")),
        schema::answer,
    );
    for_api_accounts(reports, None, Surface::ReportingApi).merge(schema.open())
}

/// Why there is no report.
enum NoReport {
    /// The call can't be run: `<error>` with status 200 (REP-08).
    Call(String),
    /// The caller may not, or the server can't.
    Problem(Problem),
}

impl From<Unclear> for NoReport {
    fn from(unclear: Unclear) -> Self {
        Self::Call(unclear.to_string())
    }
}

impl From<Problem> for NoReport {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<ReportError> for NoReport {
    fn from(error: ReportError) -> Self {
        Self::Problem(no_report(&error))
    }
}

/// The answer where a report can't be made; why is in the log.
pub(crate) fn no_report(error: &ReportError) -> Problem {
    log(error);
    Problem::unavailable(
        "The report cannot be made at this time. Please try again later.",
        Duration::from_secs(5),
    )
}

async fn answer(
    State(site): State<Arc<Site>>,
    caller: Caller,
    known: Known,
    request: Request,
) -> Response {
    let settings = &known.world().settings;
    let namespace = xml_namespace::of(Surface::ReportingApi, settings).unwrap_or_default();
    match report(&site, &caller, &known, namespace, request).await {
        Ok(response) => response,
        Err(NoReport::Call(message)) => xml_answer::error(namespace, &message),
        Err(NoReport::Problem(problem)) => problem.to_xml(namespace),
    }
}

async fn report(
    site: &Site,
    caller: &Caller,
    known: &Known,
    namespace: &'static str,
    request: Request,
) -> Result<Response, NoReport> {
    let any = Permission::ReportingSupport;
    let shut_out = known
        .account(caller)
        .is_none_or(|account| any.verdict(account) == Verdict::NotAtAll);
    if shut_out {
        // Whoever has no part in reports learns nothing of their parameters (ERR-31, REP-07).
        need(site, caller, known, any).await?;
    }
    let parameters = Parameters::read(request, site.limits.body_within)
        .await
        .map_err(Problem::from)?;
    let (report, permission) = Report::named(&parameters)?;
    need(site, caller, known, permission).await?;
    match report {
        Report::AccessSession => match Selected::by_id_or_time(&parameters)? {
            Selected::One(lsid) => one_session(site, known, namespace, lsid).await,
            Selected::Any(query) => many(site, known, namespace, query, Form::Sessions).await,
        },
        Report::AccessSessionListing => {
            let query = question::by_time(&parameters)?;
            many(site, known, namespace, query, Form::Listing).await
        }
        Report::NotYet(name) => Err(NoReport::Call(format!(
            "The report {name} is not available yet."
        ))),
    }
}

async fn need(
    site: &Site,
    caller: &Caller,
    known: &Known,
    permission: Permission,
) -> Result<(), Problem> {
    let needed = Access::ApiAccount(permission);
    access::require(site, caller, known, needed, PATH).await
}

/// The index, once it has everything that was in the log when the call came.
pub(crate) async fn fresh_index<'s>(
    site: &'s Site,
    known: &Known,
) -> Result<&'s ReportIndex, Problem> {
    let position = known.0.tail.position;
    let waited = site.report_index.wait_for(position, FRESH_WITHIN).await;
    waited.map_err(|behind| {
        tracing::error!(
            error = &behind as &dyn std::error::Error,
            "the report index is behind"
        );
        Problem::unavailable(
            "The reports are not up to date at this time. Please try again later.",
            Duration::from_secs(5),
        )
    })?;
    Ok(&site.report_index)
}

/// REP-23: a session that is not there is an error of the call.
async fn one_session(
    site: &Site,
    known: &Known,
    namespace: &str,
    lsid: Lsid,
) -> Result<Response, NoReport> {
    let index = fresh_index(site, known).await?;
    let found = index.sessions(&SessionQuery::Lsids(vec![lsid])).await?;
    let session = found.first().ok_or(Unclear::InvalidLsid)?;
    let mut document = Form::Sessions.begin(namespace);
    let names = attribute_names(known.world());
    session_xml::session(&mut document, session, &names, site.engine.clock().now());
    Ok(xml_answer::document(document.finish()))
}

async fn many(
    site: &Site,
    known: &Known,
    namespace: &str,
    query: SessionQuery,
    form: Form,
) -> Result<Response, NoReport> {
    let telling = Telling {
        index: fresh_index(site, known).await?.clone(),
        query,
        form,
        names: attribute_names(known.world()),
        now: site.engine.clock().now(),
        after: None,
        document: form.begin(namespace),
    };
    let pages = stream::unfold(Some(telling), |telling| async {
        let (page, rest) = telling?.next_page().await;
        Some((Ok::<_, Infallible>(Bytes::from(page)), rest))
    });
    Ok(xml_answer::document(Body::from_stream(pages)))
}

/// What is told of each session.
#[derive(Clone, Copy)]
enum Form {
    /// Everything: AccessSession.
    Sessions,
    /// Its id: AccessSessionListing.
    Listing,
}

impl Form {
    fn begin(self, namespace: &str) -> Document {
        let root = match self {
            Self::Sessions => "session_list",
            Self::Listing => "session_summary_list",
        };
        let mut document = Document::new();
        document.open(root, &[("xmlns", namespace)]);
        document
    }
}

/// A report under way.
struct Telling {
    index: ReportIndex,
    query: SessionQuery,
    form: Form,
    names: AttributeNames,
    now: Timestamp,
    after: Option<PageKey>,
    document: Document,
}

impl Telling {
    /// The next piece of the document; the last one closes it.
    async fn next_page(mut self) -> (Vec<u8>, Option<Self>) {
        match self.write_page().await {
            Ok(true) => (self.document.take(), Some(self)),
            Ok(false) => (self.document.finish(), None),
            Err(error) => {
                log(&error);
                // REP-08: what goes wrong during the search is told inside the report.
                self.document.leaf("error", &[], BROKE_OFF);
                (self.document.finish(), None)
            }
        }
    }

    /// Whether there may be more.
    async fn write_page(&mut self) -> Result<bool, ReportError> {
        match self.form {
            Form::Sessions => {
                let (page, more) = self.index.page(&self.query, self.after, PAGE).await?;
                for session in &page {
                    session_xml::session(&mut self.document, session, &self.names, self.now);
                }
                self.after = page.last().map(|session| session.page_key());
                Ok(more)
            }
            Form::Listing => {
                let page = self.index.listing(&self.query, self.after, PAGE).await?;
                for summary in &page {
                    session_xml::summary(&mut self.document, summary);
                }
                self.after = page.last().map(|summary| summary.page_key());
                Ok(page.len() == PAGE)
            }
        }
    }
}

fn log(error: &ReportError) {
    tracing::error!(
        error = error as &dyn std::error::Error,
        "a report could not be made"
    );
}
