//! `POST /oauth2/token`: an API account shows its client id and secret and gets a bearer token (AUTH-02 to AUTH-11, AUTH-31).
//!
//! Credentials come in the Basic header or in the body; the body is a form or JSON. Real clients send all of these, some
//! without a Content-Type (config-api.md section 0 fact 4).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, PRAGMA, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::ids::ApiAccountId;
use domain::site::api_account::ApiAccount;
use domain::{Actor, Cause, Surface};
use secrets::SecretText;
use serde_json::{Value, json};

use crate::access::{self, Access};
use crate::caller::{Caller, Principal};
use crate::error::Problem;
use crate::form::Parameters;
use crate::guard;
use crate::json;
use crate::peer::Peer;
use crate::route::{About, Gives, Routes};
use crate::site::Site;
use crate::token::VALID_SECONDS;

/// The path of the token endpoint (AUTH-02).
pub const TOKEN_PATH: &str = "/oauth2/token";

/// Longest client id or secret that is looked at. Unit: bytes.
const CREDENTIAL_BYTES_MAX: usize = 256;

pub(crate) fn routes(site: &Arc<Site>) -> Routes {
    let about = About::new("Gives a bearer token to an API account.")
        .takes("TokenRequest")
        .gives(Gives::One("Token"));
    Routes::new(site)
        .route(Method::POST, TOKEN_PATH, Access::Anyone, about, token)
        .open()
        .map_answers(in_oauth_form)
}

/// Why there is no token, as OAuth2 says it.
enum NoToken {
    /// The request can't be read, or lacks something.
    InvalidRequest(Cow<'static, str>),
    /// Credentials are missing, wrong, or may not be used. Which of these is not said.
    InvalidClient,
    /// Another grant type than client credentials (AUTH-04).
    UnsupportedGrantType,
    /// A fault that is none of the caller's.
    Problem(Problem),
}

impl From<Problem> for NoToken {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl IntoResponse for NoToken {
    fn into_response(self) -> Response {
        let (status, error, message) = match self {
            Self::InvalidRequest(message) => (
                StatusCode::BAD_REQUEST,
                "invalid_request",
                message.into_owned(),
            ),
            Self::InvalidClient => (
                StatusCode::UNAUTHORIZED,
                "invalid_client",
                "Client authentication failed.".to_owned(),
            ),
            Self::UnsupportedGrantType => (
                StatusCode::BAD_REQUEST,
                "unsupported_grant_type",
                "The authorization grant type is not supported by the authorization server."
                    .to_owned(),
            ),
            Self::Problem(problem) => {
                let error = if problem.status.is_server_error() {
                    "server_error"
                } else {
                    "invalid_request"
                };
                let mut response = problem.to_json();
                let body = json!({"error": error, "message": problem.message});
                *response.body_mut() = Body::from(body.to_string());
                response.headers_mut().remove(CONTENT_LENGTH);
                return response;
            }
        };
        let body = json!({"error": error, "message": message});
        let mut response = (status, axum::Json(body)).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"API account\""),
            );
        }
        response
    }
}

/// What is refused before the handler is reached takes the form of its own refusals.
async fn in_oauth_form(mut response: Response) -> Response {
    let (error, message) = match response.status() {
        StatusCode::METHOD_NOT_ALLOWED => ("invalid_request", "The method must be POST."),
        StatusCode::TOO_MANY_REQUESTS => ("temporarily_unavailable", "Too many requests."),
        _ => return response,
    };
    let body = json!({"error": error, "message": message});
    *response.body_mut() = Body::from(body.to_string());
    response.headers_mut().remove(CONTENT_LENGTH);
    response
}

async fn token(State(site): State<Arc<Site>>, peer: Peer, request: Request) -> Response {
    match give_token(&site, peer, request).await {
        Ok(text) => {
            let body = json!({
                "access_token": text.expose(),
                "token_type": "Bearer",
                "expires_in": VALID_SECONDS,
            });
            let headers = [(CACHE_CONTROL, "no-store"), (PRAGMA, "no-cache")];
            (headers, axum::Json(body)).into_response()
        }
        Err(refused) => refused.into_response(),
    }
}

async fn give_token(site: &Site, peer: Peer, request: Request) -> Result<SecretText, NoToken> {
    let (parts, body) = request.into_parts();
    let bytes = json::read_bytes(body, site.limits.token_body_bytes_max, &site.limits).await?;
    let asked = TokenRequest::read(&parts.headers, &bytes)?;
    match asked.grant_type.as_deref() {
        Some("client_credentials") => {}
        Some(_) => return Err(NoToken::UnsupportedGrantType),
        None => return Err(invalid_request("The grant_type is required.")),
    }
    let Some((client_id, secret)) = asked.credentials else {
        return Err(refuse(site, peer, "No client credentials were given."));
    };
    let published = site
        .engine
        .as_fresh_as_the_log()
        .await
        .map_err(Problem::from)?;
    let account: Option<(ApiAccountId, &ApiAccount)> = published
        .world
        .api_account_with(&client_id)
        .and_then(|id| Some((id, published.world.api_accounts.get(&id)?)));
    let reference = account.and_then(|(_, account)| account.client_secret.as_ref());
    let matches = site.client_secret_matches(reference, &secret).await?;
    let (Some((id, account)), Some(reference), true) = (account, reference, matches) else {
        return Err(refuse(site, peer, "Client authentication failed."));
    };
    let caller = Caller {
        principal: Principal::ApiAccount(id),
        surface: Surface::Oauth,
        peer,
        sign_in: None,
    };
    if !account.enabled || !guard::may_come_from(account, peer) {
        // Who asks is proven by now, so the refusal is an event of its own; the caller is told no more than a stranger.
        let problem = Problem::from(domain::Refusal::ApiAccountDisabled);
        access::record_refusal(site, &caller, problem, "api_account.authenticate").await;
        return Err(NoToken::InvalidClient);
    }
    let cause = Cause {
        actor: Actor::ApiAccount(id),
        surface: Surface::Oauth,
        address: Some(peer.address),
    };
    let issued = site
        .issue_token(id, reference.clone(), cause, peer.address)
        .await;
    issued.map_err(|problem| match problem.status {
        StatusCode::FORBIDDEN => NoToken::InvalidClient,
        _ => NoToken::Problem(problem),
    })
}

fn refuse(site: &Site, peer: Peer, words: &str) -> NoToken {
    site.attempts
        .count_stranger(peer.address, TOKEN_PATH, words);
    NoToken::InvalidClient
}

/// What a token request says, in whichever form.
struct TokenRequest {
    grant_type: Option<String>,
    credentials: Option<(String, SecretText)>,
}

impl TokenRequest {
    fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, NoToken> {
        let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        let mut members = if text.trim_ascii_start().starts_with(b"{") {
            from_json(text)?
        } else {
            from_form(headers, text)?
        };
        let mut take = |name: &str| members.remove(name);
        let grant_type = take("grant_type");
        let in_body = (take("client_id"), take("client_secret"));
        let credentials = match basic(headers)? {
            Some(given) => Some(given),
            None => match in_body {
                (Some(id), Some(secret)) => Some((id, SecretText::new(secret))),
                _ => None,
            },
        };
        let too_long = credentials.as_ref().is_some_and(|(id, secret)| {
            id.len() > CREDENTIAL_BYTES_MAX || secret.expose().len() > CREDENTIAL_BYTES_MAX
        });
        if too_long {
            return Err(NoToken::InvalidClient);
        }
        Ok(Self {
            grant_type,
            credentials,
        })
    }
}

/// The credentials of the Basic header, taken as they are (AUTH-03). A header that can't be read is no anonymous call.
fn basic(headers: &HeaderMap) -> Result<Option<(String, SecretText)>, NoToken> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(invalid_request("There must be one Authorization header."));
    }
    let read = || {
        let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
        let decoded = STANDARD.decode(encoded.trim()).ok()?;
        let text = String::from_utf8(decoded).ok()?;
        let (id, secret) = text.split_once(':')?;
        scheme
            .eq_ignore_ascii_case("basic")
            .then(|| (id.to_owned(), SecretText::new(secret)))
    };
    read().map(Some).ok_or(NoToken::InvalidClient)
}

const fn invalid_request(message: &'static str) -> NoToken {
    NoToken::InvalidRequest(Cow::Borrowed(message))
}

/// Most parameters of a request; clients of the field send up to five.
const PARAMETERS_MAX: usize = 20;

/// OAuth2 lets no parameter come twice (RFC 6749, 3.2).
fn from_form(headers: &HeaderMap, form: &[u8]) -> Result<BTreeMap<String, String>, NoToken> {
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let members = Parameters::of_form(content_type, form)
        .map_err(|unreadable| NoToken::InvalidRequest(unreadable.to_string().into()))?;
    let members: BTreeMap<String, String> = members.into();
    if members.len() > PARAMETERS_MAX {
        return Err(invalid_request("There are too many parameters."));
    }
    Ok(members)
}

fn from_json(body: &[u8]) -> Result<BTreeMap<String, String>, NoToken> {
    let object = json::read_object(body)
        .map_err(|problem| NoToken::InvalidRequest(problem.message.into()))?;
    Ok(object
        .into_iter()
        .filter_map(|(name, value)| match value {
            Value::String(value) => Some((name, value)),
            _ => None,
        })
        .collect())
}
