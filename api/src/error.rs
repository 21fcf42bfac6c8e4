//! Which status and words an error becomes, for JSON and for XML. The one place that chooses.
//!
//! A refusal carries its class and its words; classes map to statuses here, and the exceptions are named.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::policy::gates::Need;
use domain::{FieldErrors, Refusal, RefusalClass};
use engine::{EngineUnavailable, ExecuteError, Unavailability};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{xml, xml_answer};

/// The words of ERR-31.
pub const DOCUMENT_NOT_FOUND: &str = "Document Not Found";
/// The words of AUTH-13.
pub const ACCESS_DENIED: &str = "The resource owner or authorization server denied the request.";
/// How callers of every surface but the token endpoint say who they are.
const BEARER: &str = "Bearer realm=\"Gatebook\"";

/// What went wrong, before it takes the form of a surface.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// The status in JSON.
    pub status: StatusCode,
    /// A stable word for machines.
    pub code: &'static str,
    /// Words for people.
    pub message: String,
    /// What is wrong with which field.
    pub errors: FieldErrors,
    /// What a start still needs.
    pub needs: Box<[Need]>,
    /// The id of the event that recorded the refusal.
    pub event: Option<Uuid>,
    /// When trying again makes sense. Unit: seconds.
    pub retry_after_s: Option<u64>,
}

impl Problem {
    /// A problem with words of its own.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            errors: FieldErrors::default(),
            needs: Box::default(),
            event: None,
            retry_after_s: None,
        }
    }

    /// 404: what was named is not there.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("{what} not found."),
        )
    }

    /// 404 with the words of ERR-31: the surface is off, or the account has no permission at all for it.
    #[must_use]
    pub fn document_not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "document_not_found",
            DOCUMENT_NOT_FOUND,
        )
    }

    /// 400: the request can't be read.
    #[must_use]
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", message)
    }

    /// 422: fields or parameters are not right.
    #[must_use]
    pub fn invalid(errors: FieldErrors) -> Self {
        Refusal::Invalid(errors).into()
    }

    /// 401: no token, or one that is not good (AUTH-13, AUTH-14, AUTH-32).
    #[must_use]
    pub fn access_denied() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "access_denied", ACCESS_DENIED)
    }

    /// 403: known, but not permitted.
    #[must_use]
    pub fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, message)
    }

    /// 403: credentials and answers travel over TLS only (AUTH-20, TICK-28).
    #[must_use]
    pub fn https_required() -> Self {
        Self::forbidden("https_required", "This site answers over HTTPS only.")
    }

    /// 408: the body did not arrive in time.
    #[must_use]
    pub fn body_timed_out() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_timed_out",
            "The body did not arrive in time.",
        )
    }

    /// 429 (AUTH-17).
    #[must_use]
    pub fn too_many_requests(retry_after_s: u64) -> Self {
        Self {
            retry_after_s: Some(retry_after_s.max(1)),
            ..Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_requests",
                "Too many requests.",
            )
        }
    }

    /// 503: not now.
    #[must_use]
    pub fn unavailable(message: impl Into<String>, retry_after: Duration) -> Self {
        Self {
            retry_after_s: Some(retry_after.as_secs().max(1)),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
        }
    }

    /// 500: a fault of ours; the cause is logged, never shown.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "An internal error occurred.",
        )
    }

    /// The answer in JSON: `{"message", "errors"?, "needs"?, "code", "refusal"?}`; 401 in the form of OAuth2 (AUTH-13).
    #[must_use]
    pub fn to_json(&self) -> Response {
        let mut response = (self.status, axum::Json(self.body())).into_response();
        self.add_headers(&mut response);
        response
    }

    /// What it says in JSON.
    #[must_use]
    pub fn body(&self) -> Value {
        let mut body = if self.code == "access_denied" {
            json!({"error": "access_denied", "message": self.message})
        } else {
            json!({"message": self.message, "code": self.code})
        };
        if !self.errors.0.is_empty() {
            body["errors"] = by_field(&self.errors);
        }
        if !self.needs.is_empty() {
            body["needs"] = json!(self.needs);
        }
        if let Some(event) = self.event {
            body["refusal"] = Value::from(event.to_string());
        }
        body
    }

    /// The answer in XML: `<error>` in the surface's namespace. What the guides show as an error of the call itself comes with
    /// status 200 (config-api.md section 0 fact 8); only what concerns access, load or the server keeps its status (ERR-31).
    #[must_use]
    pub fn to_xml(&self, namespace: &str) -> Response {
        let about_the_call = matches!(
            self.status,
            StatusCode::BAD_REQUEST
                | StatusCode::NOT_FOUND
                | StatusCode::CONFLICT
                | StatusCode::UNPROCESSABLE_ENTITY
        );
        let status = if about_the_call && self.code != "document_not_found" {
            StatusCode::OK
        } else {
            self.status
        };
        let body = xml::single("error", &[("xmlns", namespace)], &self.message);
        let mut response = (status, body).into_response();
        response
            .headers_mut()
            .insert(CONTENT_TYPE, xml_answer::TEXT_XML);
        self.add_headers(&mut response);
        response
    }

    /// What a status asks for beside the body: when to come back, and how to say who one is (RFC 9110, 11.6.1; RFC 6750, 3).
    fn add_headers(&self, response: &mut Response) {
        if self.status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static(BEARER));
        }
        if let Some(seconds) = self.retry_after_s {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
    }
}

/// `{"field": ["message", ...]}`.
fn by_field(errors: &FieldErrors) -> Value {
    let mut fields: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (field, message) in &errors.0 {
        fields.entry(field).or_default().push(message);
    }
    json!(fields)
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = match (&refusal, refusal.class()) {
            // Not "you may not" but "who are you": a console shows its sign-in again.
            (Refusal::SignInFailed | Refusal::UserDisabled, _) => StatusCode::UNAUTHORIZED,
            (Refusal::SignInLocked { .. }, _) => StatusCode::TOO_MANY_REQUESTS,
            (_, RefusalClass::NotFound) => StatusCode::NOT_FOUND,
            (_, RefusalClass::Conflict) => StatusCode::CONFLICT,
            (_, RefusalClass::Forbidden) => StatusCode::FORBIDDEN,
            (_, RefusalClass::Invalid) => StatusCode::UNPROCESSABLE_ENTITY,
            (_, RefusalClass::Unavailable) => StatusCode::SERVICE_UNAVAILABLE,
        };
        let mut problem = Self::new(status, refusal.code(), refusal.to_string());
        if status == StatusCode::SERVICE_UNAVAILABLE {
            problem.retry_after_s = Some(5);
        }
        match refusal {
            Refusal::Invalid(errors) => {
                "The given data was invalid.".clone_into(&mut problem.message);
                problem.errors = errors;
            }
            Refusal::SignInLocked { seconds } => problem.retry_after_s = Some(seconds),
            Refusal::StartNeeds { needs } => problem.needs = needs.into_boxed_slice(),
            Refusal::NoApiPermission => {
                problem.errors = FieldErrors::one("permissions", problem.message.clone());
            }
            _ => {}
        }
        problem
    }
}

impl From<ExecuteError> for Problem {
    fn from(error: ExecuteError) -> Self {
        match error {
            ExecuteError::Refused { refusal, event } => Self {
                event,
                ..refusal.into()
            },
            ExecuteError::KeyReused => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "The Idempotency-Key was used with another request.",
            ),
            ExecuteError::ConditionFailed => Self::new(
                StatusCode::PRECONDITION_FAILED,
                "precondition_failed",
                "It is not what If-Match names: it was changed or deleted since, or has no entity tag.",
            ),
            ExecuteError::Busy { retry_after } => Self::unavailable(
                "The server is currently too busy. Please try again later.",
                retry_after,
            ),
            ExecuteError::ShuttingDown => Self::unavailable(
                "The server is shutting down. Please try again later.",
                Duration::from_secs(5),
            ),
            ExecuteError::TooLarge => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                "The request is too large to be carried out at once.",
            ),
            ExecuteError::Unavailable { cause, retry_after } => {
                tracing::error!(
                    error = &cause as &dyn std::error::Error,
                    "the log can't be written"
                );
                match cause {
                    Unavailability::Fault => Self::internal(),
                    Unavailability::InDoubt => Self::unavailable(
                        "The server cannot reach its log. It is not known whether the request was carried out.",
                        retry_after,
                    ),
                    _ => Self::unavailable(
                        "The server cannot write to its log at this time. Please try again later.",
                        retry_after,
                    ),
                }
            }
        }
    }
}

impl From<EngineUnavailable> for Problem {
    fn from(error: EngineUnavailable) -> Self {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "the log can't be read"
        );
        Self::unavailable(
            "The server cannot read its log at this time. Please try again later.",
            Duration::from_secs(5),
        )
    }
}

impl From<eventstore::StoreError> for Problem {
    fn from(error: eventstore::StoreError) -> Self {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "the database does not answer"
        );
        Self::unavailable(
            "The server cannot reach its database at this time. Please try again later.",
            Duration::from_secs(5),
        )
    }
}

/// An error that is answered in JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonError(pub Box<Problem>);

impl IntoResponse for JsonError {
    fn into_response(self) -> Response {
        self.0.to_json()
    }
}

macro_rules! answered_in_json {
    ($($error:ty),*) => {$(
        impl From<$error> for JsonError {
            fn from(error: $error) -> Self { Self(Box::new(error.into())) }
        }
    )*};
}

answered_in_json!(
    Problem,
    Refusal,
    ExecuteError,
    EngineUnavailable,
    eventstore::StoreError
);
