//! Access requests whose window is over: the history that their requester, those who were asked, and auditors read. They are
//! rows of the report index; the World has forgotten them.

use axum::response::Response;
use domain::World;
use domain::ids::{AccessRequestId, UserId};
use domain::policy::access_request::duration_text;
use domain::time;
use projections::{PastRequest, ReportError, RequestQuery};
use serde_json::{Value, json};

use crate::caller::Known;
use crate::configuration::listing::Listing;
use crate::console::access_requests::object;
use crate::console::items::group;
use crate::error::Problem;
use crate::reporting::fresh_index;
use crate::site::Site;

/// Whether the user reads the requests of everybody: administrators, and who may see the reports of all sessions.
pub(super) fn may_audit(world: &World, user: UserId) -> bool {
    let account = world.users.get(&user);
    world.is_administrator(user)
        || account.is_some_and(|account| account.perm_view_support_reports == "all_sessions")
}

/// A page of what `query` finds.
pub(super) async fn page(
    site: &Site,
    known: &Known,
    user: UserId,
    query: RequestQuery,
    listing: &Listing,
) -> Result<Response, Problem> {
    let index = fresh_index(site, known).await?;
    let (skip, limit) = listing.cut();
    let (total, found) = index
        .past_requests(query, skip, limit)
        .await
        .map_err(|error| unreadable(&error))?;
    let shown = found
        .iter()
        .map(|request| object(view(request, user, query != RequestQuery::Of(user))));
    Ok(listing.answer_page(known, total, shown))
}

/// The request, if the user made it, was asked, or is an auditor.
pub(super) async fn find(
    site: &Site,
    known: &Known,
    user: UserId,
    id: AccessRequestId,
) -> Result<Value, Problem> {
    let index = fresh_index(site, known).await?;
    let found = index
        .past_request(id, user)
        .await
        .map_err(|error| unreadable(&error))?;
    let may_audit = may_audit(known.world(), user);
    found
        .filter(|(request, is_asked)| request.submitted.requester == user || *is_asked || may_audit)
        .map(|(request, is_asked)| view(&request, user, is_asked || may_audit))
        .ok_or_else(|| Problem::not_found("Access request"))
}

fn unreadable(error: &ReportError) -> Problem {
    tracing::error!(
        error = error as &dyn std::error::Error,
        "the history of access requests can't be read"
    );
    Problem::internal()
}

/// The same members as of a request whose window is not over. Its requester does not learn who answered (APPR-16).
fn view(request: &PastRequest, user: UserId, may_know_who: bool) -> Value {
    let submitted = &request.submitted;
    let mine = submitted.requester == user;
    let seconds = submitted.ends_at.since(submitted.start_at) / time::SECOND;
    let answer = request.answer.as_ref();
    let mut body = json!({
        "id": request.id,
        "state": request.state,
        "item": {"id": submitted.item.to_string(), "name": submitted.item_name},
        "group": group(submitted.group, &submitted.group_name),
        "jump_policy": {"id": submitted.jump_policy_id, "name": submitted.jump_policy_name},
        "requester": {"id": submitted.requester, "name": submitted.requester_name},
        "approvers": submitted.approvers_name,
        "applies_to": submitted.scope.label(),
        "reason": submitted.reason,
        "start": submitted.start_at.to_rfc3339(),
        "end": submitted.ends_at.to_rfc3339(),
        "duration": seconds,
        "duration_text": duration_text(seconds),
        "submitted_at": request.submitted_at.to_rfc3339(),
        "mine": mine,
        "over": true,
        "may": {"approve": false, "deny": false, "cancel": false},
        "answered_at": answer.map(|answer| answer.at.to_rfc3339()),
        "comments": answer.map(|answer| &answer.answered.comment),
    });
    if let Some(answer) = answer
        && may_know_who
        && !mine
    {
        body["answered_by"] = json!(answer.answered.by.label());
    }
    body
}
