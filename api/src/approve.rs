//! `/approve/{request}/{token}`: the page behind an approver's link (APPR-07, APPR-12 to APPR-15, APPR-37).
//!
//! A GET only shows the request, so what opens links by itself decides nothing; a POST decides. Whoever has the link is the
//! approver; there is no other credential, so a page elsewhere has nothing to borrow. Every link that is not good is answered
//! the same, whatever is wrong with it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use connector::approver_link;
use domain::ids::AccessRequestId;
use domain::policy::access_request::{self, AccessRequest, approvers};
use domain::{Actor, Cause, Command, Refusal, Surface, World};
use engine::{ExecuteError, Lane, Submission};

use crate::access::Access;
use crate::console::badge::Badge;
use crate::error::Problem;
use crate::form::Parameters;
use crate::json;
use crate::peer::Peer;
use crate::route::{About, Gives, Routes};
use crate::site::Site;

mod page;

/// The largest form: a comment of 2,048 characters, each percent-encoded as four bytes.
const FORM_BYTES_MAX: usize = 32 * 1024;
/// What is said of every link that is not good.
const NO_LINK: &str = "This link is not valid, or the time of its request is over.";

pub(crate) fn routes(site: &Arc<Site>) -> Routes {
    let path = format!("{}/{{request}}/{{token}}", approver_link::PATH);
    let html = Gives::Text("text/html");
    Routes::new(site)
        .route(
            Method::GET,
            &path,
            Access::Anyone,
            About::new("The page of an approver, by the link in the mail").gives(html),
            show,
        )
        .route(
            Method::POST,
            &path,
            Access::Anyone,
            About::new("Approves or denies, by the form of that page").gives(html),
            decide,
        )
        .open()
}

/// Whose link was opened, and for what.
struct Opened<'w> {
    id: AccessRequestId,
    request: &'w AccessRequest,
    index: u32,
}

async fn show(
    State(site): State<Arc<Site>>,
    peer: Peer,
    Path((id, token)): Path<(String, String)>,
    parts: Parts,
) -> Response {
    let published = match site.engine.as_fresh_as_the_log().await {
        Ok(published) => published,
        Err(error) => return trouble(&Problem::from(error)),
    };
    match open(&site, &published.world, peer, &id, &token) {
        Ok(opened) if is_requester(&site, &published.world, &opened, &parts).await => own(),
        Ok(opened) => render(&site, &opened, StatusCode::OK, None, ""),
        Err(no_link) => *no_link,
    }
}

async fn decide(
    State(site): State<Arc<Site>>,
    peer: Peer,
    Path((id, token)): Path<(String, String)>,
    request: Request,
) -> Response {
    let published = match site.engine.as_fresh_as_the_log().await {
        Ok(published) => published,
        Err(error) => return trouble(&Problem::from(error)),
    };
    let opened = match open(&site, &published.world, peer, &id, &token) {
        Ok(opened) => opened,
        Err(no_link) => return *no_link,
    };
    let (parts, body) = request.into_parts();
    if is_requester(&site, &published.world, &opened, &parts).await {
        return own();
    }
    let form = match Form::read(&site, &parts, body).await {
        Ok(form) => form,
        Err(problem) => return trouble(&problem),
    };
    let Some(command) = form.command(opened.id) else {
        let words = Some("Choose one of the buttons.");
        return render(
            &site,
            &opened,
            StatusCode::BAD_REQUEST,
            words,
            &form.comments,
        );
    };
    let cause = Cause {
        actor: Actor::Approver {
            request: opened.id,
            index: opened.index,
        },
        surface: Surface::ApproverPage,
        address: Some(peer.address),
    };
    let submission = Submission::new(Command::AccessRequest(command), cause, Lane::People);
    match site.engine.execute(submission).await {
        Ok(_) => see(&parts),
        Err(ExecuteError::Refused { refusal, .. }) => {
            let fresh = site.engine.published();
            let Some(request) = fresh.world.access_requests.get(&opened.id) else {
                return page::notice(StatusCode::NOT_FOUND, "Access request", NO_LINK);
            };
            let now = Opened { request, ..opened };
            let problem = Problem::from(refusal.clone());
            let words = words_of(&refusal);
            render(&site, &now, problem.status, Some(&words), &form.comments)
        }
        Err(error) => trouble(&Problem::from(error)),
    }
}

/// The request that the link is for, if the link is good.
fn open<'w>(
    site: &Site,
    world: &'w World,
    peer: Peer,
    id: &str,
    token: &str,
) -> Result<Opened<'w>, Box<Response>> {
    let opened = id.parse().ok().and_then(|id: AccessRequestId| {
        let request = world.access_requests.get(&id)?;
        let address_of = |index: u32| {
            let mut asked = world.approvers_of(request);
            let approver = asked.find(|approver| approver.index == index)?;
            // A user without an address has no link.
            (!approver.address.is_empty()).then(|| approver.address.clone())
        };
        let index = approver_link::verify(&site.sealer, id, token, address_of)?;
        let good = site.engine.clock().now() < request.ends_at
            && approvers::is_still_one(world, request, index);
        good.then_some(Opened { id, request, index })
    });
    opened.ok_or_else(|| {
        site.attempts
            .count_stranger(peer.address, approver_link::PATH, NO_LINK);
        Box::new(page::notice(
            StatusCode::NOT_FOUND,
            "Access request",
            NO_LINK,
        ))
    })
}

/// Whether the browser also shows the badge of the requester, who may not answer (APPR-32, APPR-37).
async fn is_requester(site: &Site, world: &World, opened: &Opened<'_>, parts: &Parts) -> bool {
    let policy = world.jump_policies.get(&opened.request.jump_policy_id);
    if policy.is_some_and(|policy| policy.approval_approver_scope == "anyone") {
        return false;
    }
    // Asked as a read: it is about who looks, not about what may be changed.
    Badge::of(site, world, &Method::GET, &parts.headers)
        .await
        .is_ok_and(|badge| badge.user == opened.request.requester)
}

fn own() -> Response {
    let words = Refusal::SelfApproval.to_string();
    page::notice(StatusCode::FORBIDDEN, "Access request", &words)
}

/// What the approver chose and wrote.
struct Form {
    answer: String,
    comments: String,
}

impl Form {
    async fn read(site: &Site, parts: &Parts, body: Body) -> Result<Self, Problem> {
        let content_type = parts
            .headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let is_form = content_type.split(';').next().is_some_and(|kind| {
            kind.trim()
                .eq_ignore_ascii_case("application/x-www-form-urlencoded")
        });
        if !is_form {
            return Err(Problem::malformed("A form is expected."));
        }
        let bytes = json::read_bytes(body, FORM_BYTES_MAX, &site.limits).await?;
        let mut members = Parameters::of_form(content_type, &bytes)
            .map_err(|unreadable| Problem::malformed(unreadable.to_string()))?;
        Ok(Self {
            answer: members.take("answer").unwrap_or_default(),
            // Browsers send line breaks as two characters, which would count twice.
            comments: members
                .take("comments")
                .unwrap_or_default()
                .replace("\r\n", "\n"),
        })
    }

    fn command(&self, request: AccessRequestId) -> Option<access_request::Command> {
        let comment = self.comments.clone();
        match self.answer.as_str() {
            "approve" => Some(access_request::Command::Approve {
                request,
                comment,
                speaking_for: None,
            }),
            "deny" => Some(access_request::Command::Deny {
                request,
                comment,
                speaking_for: None,
            }),
            _ => None,
        }
    }
}

fn render(
    site: &Site,
    opened: &Opened<'_>,
    status: StatusCode,
    trouble: Option<&str>,
    comment: &str,
) -> Response {
    page::View {
        id: opened.id,
        request: opened.request,
        trouble,
        comment,
        now: site.engine.clock().now(),
    }
    .render(status)
}

/// After a decision the page is asked for anew, so that reloading it decides nothing again.
fn see(parts: &Parts) -> Response {
    let location = HeaderValue::try_from(parts.uri.path());
    match location {
        Ok(location) => (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response(),
        Err(_) => StatusCode::NO_CONTENT.into_response(),
    }
}

/// The words without the name of a field, which the page does not show.
fn words_of(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Invalid(errors) => {
            let words: Vec<&str> = errors.0.iter().map(|(_, words)| words.as_str()).collect();
            words.join(" ")
        }
        other => other.to_string(),
    }
}

fn trouble(problem: &Problem) -> Response {
    page::notice(problem.status, "Access request", &problem.message)
}
