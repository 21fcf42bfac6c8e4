//! What the path of a request names, as an extractor: whatever is no such name, names nothing that is there, and is refused as
//! that is.

use std::str::FromStr;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use domain::Refusal;
use domain::ids::{JumpItemRef, Lsid, MailDeliveryId, TicketRequestId, UserId};

use crate::error::JsonError;

/// What the path's parameter of this kind names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named<T>(pub(super) T);

/// What a path may name.
pub(super) trait InPath: FromStr {
    /// The parameter's name in the table of routes.
    const PARAMETER: &'static str;

    /// What is said where nothing is named.
    fn refusal() -> Refusal;
}

impl InPath for Lsid {
    const PARAMETER: &'static str = "lsid";

    // It is not a format error (SESS-20).
    fn refusal() -> Refusal {
        Refusal::SessionNotActive
    }
}

impl InPath for JumpItemRef {
    const PARAMETER: &'static str = "item";

    fn refusal() -> Refusal {
        Refusal::JumpClientGone
    }
}

impl InPath for UserId {
    const PARAMETER: &'static str = "user";

    fn refusal() -> Refusal {
        Refusal::not_found("User")
    }
}

impl InPath for MailDeliveryId {
    const PARAMETER: &'static str = "delivery";

    fn refusal() -> Refusal {
        Refusal::not_found("Mail")
    }
}

impl InPath for TicketRequestId {
    const PARAMETER: &'static str = "id";

    fn refusal() -> Refusal {
        Refusal::not_found("Ticket request")
    }
}

impl<T: InPath, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = JsonError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, JsonError> {
        let parameters = RawPathParams::from_request_parts(parts, state).await;
        let named = parameters.ok().and_then(|parameters| {
            let mut parameters = parameters.iter();
            let (_, text) = parameters.find(|(name, _)| *name == T::PARAMETER)?;
            text.parse().ok()
        });
        named.map(Self).ok_or_else(|| T::refusal().into())
    }
}
