//! The layer in front of the console API, and the way of users into the Configuration API: lets those with a good badge in,
//! and says so beside the request.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use domain::Surface;
use engine::Published;

use crate::caller::{Caller, Known, Principal};
use crate::configuration;
use crate::console::BASE;
use crate::console::badge::Badge;
use crate::error::Problem;
use crate::guard;
use crate::peer::{Authenticated, Peer};
use crate::site::Site;

/// Puts [`Caller`], [`Known`] and [`Badge`] beside the request.
pub(crate) async fn users_only(site: Arc<Site>, request: Request, next: Next) -> Response {
    let_in(site, Surface::ConsoleApi, request, next).await
}

/// Lets a user in to `surface`.
pub(crate) async fn let_in(
    site: Arc<Site>,
    surface: Surface,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(peer) = request.extensions().get::<Peer>().copied() else {
        return Problem::internal().to_json();
    };
    let (method, headers) = (request.method(), request.headers());
    let (mut published, mut badge) = match prove(&site, surface, peer, method, headers).await {
        Ok(proven) => proven,
        Err(refused) => return refused,
    };
    Authenticated::note_on(request.extensions());
    match site.user_rates.admit(badge.user) {
        Ok(None) => {}
        Ok(Some(held)) => {
            // Whoever waits keeps no World alive, and what it rests on may end meanwhile: it is asked again.
            drop(published);
            held.wait().await;
            (published, badge) = match prove(&site, surface, peer, method, headers).await {
                Ok(proven) => proven,
                Err(refused) => return refused,
            };
        }
        Err(seconds) => return Problem::too_many_requests(seconds).to_json(),
    }
    let caller = Caller {
        principal: Principal::User(badge.user),
        surface,
        peer,
        sign_in: Some(badge.sign_in(&site.sealer)),
    };
    let extensions = request.extensions_mut();
    extensions.insert(caller);
    extensions.insert(Known(published));
    extensions.insert(badge);
    next.run(request).await
}

/// Whose badge came, or the answer to one that has none that is good.
async fn prove(
    site: &Site,
    surface: Surface,
    peer: Peer,
    method: &Method,
    headers: &HeaderMap,
) -> Result<(Arc<Published>, Badge), Response> {
    let published = site.engine.as_fresh_as_the_log().await;
    let published = published.map_err(|error| Problem::from(error).to_json())?;
    match Badge::of(site, &published.world, method, headers).await {
        Ok(badge) => Ok((published, badge)),
        Err(problem)
            if matches!(
                problem.status,
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
            ) =>
        {
            let (route, problem) = match (surface, problem.status) {
                (Surface::ConsoleApi, _) => (BASE, problem),
                // In the form of that API.
                (_, StatusCode::UNAUTHORIZED) => (configuration::BASE, Problem::access_denied()),
                _ => (configuration::BASE, problem),
            };
            Err(guard::refuse_stranger(site, peer, route, problem))
        }
        Err(problem) => Err(problem.to_json()),
    }
}
