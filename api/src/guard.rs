//! The guards of the surfaces: the layers that say who asks before a handler is reached.

use std::sync::Arc;

use axum::body::{Body, HttpBody as _};
use axum::extract::{MatchedPath, Request};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use domain::ids::ApiAccountId;
use domain::site::api_account::{self, ApiAccount};
use domain::{FieldErrors, Surface};
use encoding_rs::UTF_8;

use crate::access::{self, Access};
use crate::caller::{Caller, Known, Principal};
use crate::console::{badge, gate};
use crate::error::Problem;
use crate::peer::{Authenticated, Peer};
use crate::rate::{Admission, Budget, Charge};
use crate::site::Site;
use crate::{form, json, xml_namespace};

/// The hourly limit of the account (AUTH-16).
pub(crate) const RATE_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
/// What is left of the hour (AUTH-16).
pub(crate) const RATE_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");

/// Layer: lets API accounts with a good token and budget in, and says so beside the request.
pub(crate) async fn api_accounts_only(
    site: Arc<Site>,
    surface: Surface,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(peer) = request.extensions().get::<Peer>().copied() else {
        return Problem::internal().to_json();
    };
    let route = matched_route(&request, surface);
    let headers = request.headers();
    let mut proven = match prove(&site, surface, peer, headers, &route).await {
        Ok(proven) => proven,
        Err(refused) => return refused,
    };
    Authenticated::note_on(request.extensions());
    let now = || site.engine.clock().now();
    let charge = match site
        .account_rates
        .admit(proven.account, proven.budget, now())
    {
        Admission::Charged(charge) => charge,
        Admission::Held(held) => {
            // Whoever waits keeps no World alive, and what it rests on may end meanwhile: it is asked again.
            drop(proven);
            held.wait().await;
            proven = match prove(&site, surface, peer, headers, &route).await {
                Ok(proven) => proven,
                Err(refused) => return refused,
            };
            site.account_rates
                .charge(proven.account, proven.budget, now())
        }
    };
    let Proven { caller, known, .. } = proven;
    let xml_is_off = matches!(surface, Surface::CommandApi | Surface::ReportingApi)
        && !known.world().settings.xml_api_enabled;
    let mut response = if let Some(seconds) = charge.refused_for_s {
        let problem = Problem::too_many_requests(seconds);
        site.attempts
            .count(&caller.name(), &route, &problem.message);
        in_form_of(surface, &known, &problem)
    } else if xml_is_off {
        // AUTH-01: with a good token too.
        in_form_of(surface, &known, &Problem::document_not_found())
    } else {
        request.extensions_mut().insert(caller);
        request.extensions_mut().insert(known);
        next.run(request).await
    };
    add_rate_headers(response.headers_mut(), charge);
    response
}

/// Layer: lets API accounts in, and users who signed in. A badge is told from a token by what it is made of.
pub(crate) async fn api_accounts_and_users(
    site: Arc<Site>,
    surface: Surface,
    request: Request,
    next: Next,
) -> Response {
    if badge::is_carried(request.headers(), &site.sealer) {
        gate::let_in(site, surface, request, next).await
    } else {
        api_accounts_only(site, surface, request, next).await
    }
}

/// Layer of one route: asks for the permission it needs.
pub(crate) async fn permitted_only(
    site: Arc<Site>,
    access: Access,
    action: Arc<str>,
    request: Request,
    next: Next,
) -> Response {
    let extensions = request.extensions();
    if matches!(access, Access::Agent | Access::Probe) {
        return next.run(request).await;
    }
    if access == Access::Anyone {
        let Some(peer) = extensions.get::<Peer>().copied() else {
            return Problem::internal().to_json();
        };
        match site.address_rates.admit_address(peer.address) {
            Ok(None) => {}
            Ok(Some(held)) => held.wait().await,
            Err(seconds) => return refuse_crowd(&site, peer, &action, seconds),
        }
        return next.run(request).await;
    }
    let (Some(caller), Some(known)) = (
        extensions.get::<Caller>().cloned(),
        extensions.get::<Known>().cloned(),
    ) else {
        return Problem::access_denied().to_json();
    };
    if let Err(problem) = access::require(&site, &caller, &known, access, &action).await {
        return in_form_of(caller.surface, &known, &problem);
    }
    match without_input_in_the_body_of_a_get(&site, request).await {
        Ok(request) => next.run(request).await,
        Err(problem) => in_form_of(caller.surface, &known, &problem),
    }
}

/// A caller whose token is good.
struct Proven {
    caller: Caller,
    known: Known,
    account: ApiAccountId,
    budget: Budget,
}

/// Who asks, or the answer to one who can't be named.
async fn prove(
    site: &Site,
    surface: Surface,
    peer: Peer,
    headers: &HeaderMap,
    route: &str,
) -> Result<Proven, Response> {
    let (caller, known) = match authenticate(site, surface, peer, headers).await {
        Ok(proven) => proven,
        Err(problem) if problem.status == StatusCode::UNAUTHORIZED => {
            return Err(refuse_stranger(site, peer, route, problem));
        }
        Err(problem) => return Err(problem.to_json()),
    };
    match account_of(&caller, &known).map(|(account, record)| (account, Budget::from(record))) {
        Some((account, budget)) => Ok(Proven {
            caller,
            known,
            account,
            budget,
        }),
        None => Err(refuse_stranger(site, peer, route, Problem::access_denied())),
    }
}

/// The request, if it is no GET or its body asks for nothing. Filters in the body of a GET would be ignored, and whoever looked for
/// one thing would be given everything; HTTP gives them no meaning there (RFC 9110, 9.3.1).
async fn without_input_in_the_body_of_a_get(
    site: &Site,
    request: Request,
) -> Result<Request, Problem> {
    let is_read = request.method() == Method::GET || request.method() == Method::HEAD;
    if !is_read || request.body().is_end_stream() {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    let bytes = json::read_bytes(body, site.limits.body_bytes_max, &site.limits).await?;
    let text = bytes.trim_ascii();
    // Some clients write an empty object wherever there could be a body.
    if matches!(text, b"" | b"{}" | b"null") {
        return Ok(Request::from_parts(parts, Body::empty()));
    }
    let mut errors = FieldErrors::default();
    for name in named_in(text).into_iter().take(NAMES_MAX) {
        let words =
            format!("The {name} parameter belongs into the query; the body of a GET is not read.");
        errors.push(name, words);
    }
    let message = "A GET takes its parameters in the query; its body is not read.";
    if errors.0.is_empty() {
        errors.push("body", message);
    }
    Err(Problem {
        message: message.to_owned(),
        ..Problem::invalid(errors)
    })
}

/// Most parameters in the body of a GET that are named to the caller.
const NAMES_MAX: usize = 20;

/// What a body names, be it JSON or a form.
fn named_in(body: &[u8]) -> Vec<String> {
    let names: Vec<String> = match json::read_object(body) {
        Ok(object) => object.into_iter().map(|(name, _)| name).collect(),
        Err(_) => form::pairs(body, UTF_8)
            .map_while(Result::ok)
            .filter(|(name, value)| !name.is_empty() && !value.is_empty())
            .map(|(name, _)| name)
            .collect(),
    };
    let short = |name: String| name.chars().take(64).collect();
    names.into_iter().map(short).collect()
}

async fn authenticate(
    site: &Site,
    surface: Surface,
    peer: Peer,
    headers: &HeaderMap,
) -> Result<(Caller, Known), Problem> {
    let text = bearer(headers).ok_or_else(Problem::access_denied)?;
    // At the same time: where several nodes write, both ask the database.
    let (published, found) = tokio::join!(site.engine.as_fresh_as_the_log(), site.find_token(text));
    let known = Known(published?);
    let found = found?.ok_or_else(Problem::access_denied)?;
    let account = known
        .world()
        .api_accounts
        .get(&found.account)
        .ok_or_else(Problem::access_denied)?;
    let good = account.enabled
        && account.client_secret.as_ref() == Some(&found.row.secret)
        && known.world().token_generation(found.account) == found.row.generation
        && found.row.is_in_time(site.engine.clock().now())
        && may_come_from(account, peer);
    if !good {
        return Err(Problem::access_denied());
    }
    let caller = Caller {
        principal: Principal::ApiAccount(found.account),
        surface,
        peer,
        sign_in: None,
    };
    Ok((caller, known))
}

/// Whether the account may be used from where the peer is. Networks that can't be read admit nobody.
pub(crate) fn may_come_from(account: &ApiAccount, peer: Peer) -> bool {
    api_account::parse_networks(&account.ip_addresses)
        .is_ok_and(|networks| api_account::admits(&networks, peer.address))
}

/// The token of the one Authorization header.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    if values.next().is_some() {
        return None;
    }
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim_matches(' '))
}

fn account_of<'k>(caller: &Caller, known: &'k Known) -> Option<(ApiAccountId, &'k ApiAccount)> {
    match caller.principal {
        Principal::ApiAccount(id) => Some((id, known.world().api_accounts.get(&id)?)),
        Principal::User(_) => None,
    }
}

/// Refuses one who could not be named, on the budget of the address (AUTH-33).
pub(crate) fn refuse_stranger(site: &Site, peer: Peer, route: &str, problem: Problem) -> Response {
    match site.address_rates.charge_address(peer.address) {
        Ok(()) => {
            site.attempts
                .count_stranger(peer.address, route, &problem.message);
            problem.to_json()
        }
        Err(seconds) => refuse_crowd(site, peer, route, seconds),
    }
}

fn refuse_crowd(site: &Site, peer: Peer, route: &str, seconds: u64) -> Response {
    let problem = Problem::too_many_requests(seconds);
    site.attempts
        .count_stranger(peer.address, route, &problem.message);
    problem.to_json()
}

fn in_form_of(surface: Surface, known: &Known, problem: &Problem) -> Response {
    match xml_namespace::of(surface, &known.world().settings) {
        Some(namespace) => problem.to_xml(namespace),
        None => problem.to_json(),
    }
}

fn add_rate_headers(headers: &mut HeaderMap, charge: Charge) {
    headers.insert(RATE_LIMIT, HeaderValue::from(charge.limit));
    headers.insert(RATE_REMAINING, HeaderValue::from(charge.remaining));
}

/// The router's own pattern, never the path that was asked for: a stranger's text has no place in the audit.
fn matched_route(request: &Request, surface: Surface) -> String {
    match request.extensions().get::<MatchedPath>() {
        Some(path) if !path.as_str().contains("{*") => {
            format!("{} {}", request.method(), path.as_str())
        }
        _ => match surface {
            Surface::ConfigurationApi => "/api/config/v1".to_owned(),
            Surface::CommandApi => "/api/command".to_owned(),
            Surface::ReportingApi => "/api/reporting".to_owned(),
            _ => "/api".to_owned(),
        },
    }
}
