//! Who asks, and what was known when they did. The guards of the surfaces put both beside the request.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use domain::ids::{ApiAccountId, UserId};
use domain::policy::ticket::SignIn;
use domain::site::api_account::ApiAccount;
use domain::{Actor, Cause, Surface, World};
use engine::{Lane, Published};

use crate::error::{JsonError, Problem};
use crate::peer::Peer;

/// Whose credentials came with the request; it never changes within one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Principal {
    /// An API account, by its token.
    ApiAccount(ApiAccountId),
    /// A user, by a console sign-in.
    User(UserId),
}

/// Who asks, by which way, from where.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Whose credentials came.
    pub principal: Principal,
    /// By which way.
    pub surface: Surface,
    /// From where.
    pub peer: Peer,
    /// The sign-in that a user came with; none for an API account.
    pub sign_in: Option<SignIn>,
}

impl Caller {
    /// What goes into the `meta` of the events that follow.
    #[must_use]
    pub fn cause(&self) -> Cause {
        Cause {
            actor: match self.principal {
                Principal::ApiAccount(account) => Actor::ApiAccount(account),
                Principal::User(user) => Actor::User(user),
            },
            surface: self.surface,
            address: Some(self.peer.address),
        }
    }

    /// The lane of the engine that its commands take.
    #[must_use]
    pub fn lane(&self) -> Lane {
        match self.principal {
            Principal::ApiAccount(_) => Lane::Integrations,
            Principal::User(_) => Lane::People,
        }
    }

    /// Its stream, such as `api_account-3`.
    #[must_use]
    pub fn name(&self) -> String {
        match self.principal {
            Principal::ApiAccount(account) => format!("api_account-{account}"),
            Principal::User(user) => format!("user-{user}"),
        }
    }
}

/// The world as it was published when the request began: at least as new as every event committed before.
#[derive(Clone)]
pub struct Known(pub Arc<Published>);

impl Known {
    /// All that is known.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.0.world
    }

    /// The API account that asks.
    #[must_use]
    pub fn account(&self, caller: &Caller) -> Option<&ApiAccount> {
        match caller.principal {
            Principal::ApiAccount(account) => self.world().api_accounts.get(&account),
            Principal::User(_) => None,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = JsonError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, JsonError> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Problem::access_denied().into())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Known {
    type Rejection = JsonError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, JsonError> {
        let known = parts.extensions.get::<Self>().cloned();
        known.ok_or_else(|| Problem::access_denied().into())
    }
}
