//! The body of a request that changes something, with its Idempotency-Key and its If-Match, and the way to the engine.

use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use axum::http::request::Parts;
use domain::record::Object;
use domain::{Command, World};
use engine::{Condition, Done, ExecuteError, Idempotency, Side, Submission};
use serde_json::Value;

use crate::caller::Caller;
use crate::conditional::IfMatch;
use crate::error::{JsonError, Problem};
use crate::json;
use crate::site::Site;

/// Most characters of an Idempotency-Key.
const KEY_CHARS_MAX: usize = 255;

/// What a request that changes something carries.
#[derive(Default)]
pub struct Change {
    /// The JSON object of its body; empty without one.
    pub body: Object,
    /// Its Idempotency-Key, where it has one, bound to caller and request.
    idempotency: Option<(String, [u8; 32])>,
    /// Its `If-Match`, where it has one.
    if_match: Option<IfMatch>,
    /// What its target shows, where that has an entity tag.
    target: Option<View>,
}

/// What a request's target shows in a World; none where it is not there.
type View = Arc<dyn Fn(&World) -> Option<Value> + Send + Sync>;

impl FromRequest<Arc<Site>> for Change {
    type Rejection = JsonError;

    async fn from_request(request: Request, site: &Arc<Site>) -> Result<Self, JsonError> {
        let (parts, body) = request.into_parts();
        let bytes = json::read_bytes(body, site.limits.body_bytes_max, &site.limits).await?;
        let idempotency = idempotency(&parts, &bytes, site)?;
        let if_match = IfMatch::read(&parts.headers)?;
        let body = json::read_object(&bytes)?;
        Ok(Self {
            body,
            idempotency,
            if_match,
            target: None,
        })
    }
}

impl Change {
    /// Whether the request carries an Idempotency-Key.
    #[must_use]
    pub fn is_keyed(&self) -> bool {
        self.idempotency.is_some()
    }

    /// The same for a target that shows this, which its entity tag is made of. `If-Match` on what has no such view never holds.
    #[must_use]
    pub fn of_target<T: Into<Value>>(
        mut self,
        view: impl Fn(&World) -> Option<T> + Send + Sync + 'static,
    ) -> Self {
        self.target = Some(Arc::new(move |world| view(world).map(Into::into)));
        self
    }

    /// What must be so when the command is decided.
    fn condition(&self) -> Option<Condition> {
        let if_match = self.if_match.clone()?;
        let target = self.target.clone();
        Some(if_match.condition(move |world| target.and_then(|view| view(world))))
    }

    /// The same for one of several commands that one request asks for, so that each is carried out once.
    #[must_use]
    pub fn part(&self, name: &str) -> Self {
        Self {
            body: Object::new(),
            idempotency: self
                .idempotency
                .as_ref()
                .map(|(key, hash)| (format!("{key}/{name}"), *hash)),
            if_match: self.if_match.clone(),
            target: self.target.clone(),
        }
    }
}

fn idempotency(
    parts: &Parts,
    body: &[u8],
    site: &Site,
) -> Result<Option<(String, [u8; 32])>, Problem> {
    let Some(key) = parts.headers.get("idempotency-key") else {
        return Ok(None);
    };
    let key = key
        .to_str()
        .ok()
        .map(str::trim)
        .filter(|key| !key.is_empty() && key.len() <= KEY_CHARS_MAX)
        .ok_or_else(|| {
            Problem::malformed(format!(
                "The Idempotency-Key must be 1 to {KEY_CHARS_MAX} printable ASCII characters."
            ))
        })?;
    let caller = parts
        .extensions
        .get::<Caller>()
        .map_or_else(|| "stranger".to_owned(), Caller::name);
    // Keyed, because a body may hold a password that could be guessed from a plain hash.
    let request = [
        parts.method.as_str().as_bytes(),
        b"\0",
        parts.uri.to_string().as_bytes(),
        b"\0",
        body,
    ]
    .concat();
    let hash = site.sealer.keyed_hash("idempotency", &request);
    Ok(Some((format!("{caller}/{key}"), hash)))
}

impl Site {
    /// Sends a command of `caller` to the engine and waits until it is committed.
    ///
    /// # Errors
    /// What [`engine::Engine::execute`] says.
    pub async fn execute(
        &self,
        caller: &Caller,
        change: &Change,
        command: Command,
        side: Option<Side>,
    ) -> Result<Done, JsonError> {
        Ok(self.execute_plainly(caller, change, command, side).await?)
    }

    /// The same, for who tells refusals apart.
    ///
    /// # Errors
    /// What [`engine::Engine::execute`] says.
    pub async fn execute_plainly(
        &self,
        caller: &Caller,
        change: &Change,
        command: Command,
        side: Option<Side>,
    ) -> Result<Done, ExecuteError> {
        let mut submission = Submission::new(command, caller.cause(), caller.lane());
        if let Some((key, request_hash)) = &change.idempotency {
            submission = submission.with_idempotency(Idempotency {
                key: key.clone(),
                request_hash: *request_hash,
            });
        }
        if let Some(side) = side {
            submission = submission.with_side(side);
        }
        if let Some(condition) = change.condition() {
            submission = submission.on_condition(condition);
        }
        self.engine.execute(submission).await
    }
}
