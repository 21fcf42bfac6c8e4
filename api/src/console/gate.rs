//! The layer in front of the console API: lets users with a good badge in, and says so beside the request.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use domain::Surface;

use crate::caller::{Caller, Known, Principal};
use crate::console::BASE;
use crate::console::badge::Badge;
use crate::error::Problem;
use crate::guard;
use crate::peer::Peer;
use crate::site::Site;

/// Puts [`Caller`], [`Known`] and [`Badge`] beside the request.
pub(crate) async fn users_only(site: Arc<Site>, mut request: Request, next: Next) -> Response {
    let Some(peer) = request.extensions().get::<Peer>().copied() else {
        return Problem::internal().to_json();
    };
    let published = match site.engine.as_fresh_as_the_log().await {
        Ok(published) => published,
        Err(error) => return Problem::from(error).to_json(),
    };
    let badge = Badge::of(&site, &published.world, request.method(), request.headers()).await;
    let badge = match badge {
        Ok(badge) => badge,
        Err(problem)
            if matches!(
                problem.status,
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
            ) =>
        {
            return guard::refuse_stranger(&site, peer, BASE, problem);
        }
        Err(problem) => return problem.to_json(),
    };
    if let Err(seconds) = site.user_rates.charge(&badge.user) {
        return Problem::too_many_requests(seconds).to_json();
    }
    let caller = Caller {
        principal: Principal::User(badge.user),
        surface: Surface::ConsoleApi,
        peer,
    };
    let extensions = request.extensions_mut();
    extensions.insert(caller);
    extensions.insert(Known(published));
    extensions.insert(badge);
    next.run(request).await
}
