//! Error responses: RFC 9457, `application/problem+json`.

use super::correlation::CorrelationId;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// The result of a handler.
pub type Result<T> = std::result::Result<T, Problem>;

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

macro_rules! problem_kinds {
    ($($(#[$doc:meta])* $variant:ident = $status:ident, $slug:literal, $title:literal;)*) => {
        /// The kind of a problem. Its `type` is `/docs#` and the slug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ProblemKind {
            $($(#[$doc])* $variant,)*
        }

        impl ProblemKind {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The HTTP status.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }

            /// The last part of the problem's `type`.
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$variant => $slug,)* }
            }

            /// The `title`, equal for all problems of a kind.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

problem_kinds! {
    /// Invalid JSON or an invalid header.
    Malformed = BAD_REQUEST, "malformed-request", "The request is malformed";
    /// An unknown query parameter or an invalid value.
    InvalidQuery = BAD_REQUEST, "invalid-query", "The query is invalid";
    /// The payment of an order failed finally.
    Declined = PAYMENT_REQUIRED, "payment-declined", "The payment was declined";
    /// A form that another site sent.
    CrossSite = FORBIDDEN, "cross-site", "The form was sent by another site";
    /// The path, or the resource, does not exist.
    NotFound = NOT_FOUND, "not-found", "The resource does not exist";
    /// `Allow` lists the allowed methods.
    MethodNotAllowed = METHOD_NOT_ALLOWED, "method-not-allowed", "The method is not allowed";
    /// `Accept` excludes JSON.
    NotAcceptable = NOT_ACCEPTABLE, "not-acceptable", "No acceptable representation exists";
    /// The request was received too slowly.
    RequestTimeout = REQUEST_TIMEOUT, "request-timeout", "The request timed out";
    /// The state of the saga or of the step does not allow the action.
    Conflict = CONFLICT, "conflict", "The current state does not allow this action";
    /// The saga cannot be cancelled any more.
    TooLate = CONFLICT, "too-late", "The saga can no longer be cancelled";
    /// The business key is in use; `saga` links the saga that uses it.
    KeyTaken = CONFLICT, "key-taken", "The key is already in use";
    /// The saga that the request waited for was compensated or parked.
    NotCompleted = CONFLICT, "not-completed", "The saga was not completed";
    /// The version exists with different content.
    VersionTaken = CONFLICT, "version-taken", "The version has different content";
    /// A request with the same Idempotency-Key is in progress.
    InProgress = CONFLICT, "request-in-progress", "The same request is in progress";
    /// The revision of the saga does not match `If-Match`.
    PreconditionFailed = PRECONDITION_FAILED, "stale-revision", "The saga has changed";
    /// The body exceeds the size limit.
    TooLarge = PAYLOAD_TOO_LARGE, "too-large", "The body is too large";
    /// The route does not accept the media type.
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "The media type is not supported";
    /// `errors` lists the invalid fields.
    InvalidFields = UNPROCESSABLE_ENTITY, "invalid-fields", "The body has invalid fields";
    /// `errors` lists the diagnostics of the definition.
    InvalidWorkflow = UNPROCESSABLE_ENTITY, "invalid-workflow", "The workflow is invalid";
    /// The Idempotency-Key was used with a different body.
    KeyReused = UNPROCESSABLE_ENTITY, "idempotency-key-reused", "The Idempotency-Key was used with a different body";
    /// An error of the server.
    Internal = INTERNAL_SERVER_ERROR, "internal", "An internal error occurred";
    /// Too many requests are queued. The request had no effect.
    Overloaded = SERVICE_UNAVAILABLE, "overloaded", "The service is overloaded";
    /// The database is unavailable, or the replica is shutting down.
    Unavailable = SERVICE_UNAVAILABLE, "unavailable", "The service is unavailable";
    /// Another client error of the HTTP library.
    Other = BAD_REQUEST, "refused", "The request was rejected";
}

/// An invalid field of a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// The field, as a JSON Pointer in a URI fragment.
    #[schema(example = "#/items/0/quantity")]
    pub pointer: String,
    /// What the field must be.
    #[schema(example = "must be an integer from 1 to 100")]
    pub detail: String,
}

impl FieldError {
    /// An error of the field at `pointer`.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            detail: detail.into(),
        }
    }
}

/// An error response. The outermost middleware writes its body, because that contains the correlation id.
#[derive(Clone, Debug)]
pub struct Problem {
    kind: ProblemKind,
    status: StatusCode,
    detail: String,
    errors: Vec<FieldError>,
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The body of an error response (RFC 9457). Some problem types have additional members.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody<'a> {
    /// The problem type, a URI with its documentation.
    #[serde(rename = "type")]
    #[schema(example = "/docs#invalid-fields")]
    problem_type: String,
    /// The problem type as text.
    title: &'a str,
    /// The HTTP status.
    #[schema(example = 422)]
    status: u16,
    /// The error of this request.
    detail: &'a str,
    /// The correlation id of this request.
    correlation_id: &'a str,
    /// All invalid fields of the body.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    /// Additional members of some problem types: `saga`, `order_id`.
    #[serde(flatten)]
    #[schema(ignore)]
    members: &'a Map<String, Value>,
}

impl Problem {
    /// A problem of a kind. `detail` is about this request.
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            status: kind.status(),
            detail: detail.into(),
            errors: Vec::new(),
            members: Map::new(),
            headers: Vec::new(),
        }
    }

    /// A path or resource that does not exist.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::NotFound, detail)
    }

    /// Invalid fields of a body.
    pub fn invalid_fields(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [error] => format!("{}: {}", error.pointer, error.detail),
            errors => format!("{} fields are invalid, see errors", errors.len()),
        };

        Self::new(ProblemKind::InvalidFields, detail).with_errors(errors)
    }

    /// One invalid field of a body.
    pub fn invalid_field(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::invalid_fields(vec![FieldError::new(pointer, detail)])
    }

    /// Sets `errors`.
    #[must_use]
    pub fn with_errors(self, errors: Vec<FieldError>) -> Self {
        Self { errors, ..self }
    }

    /// Adds a member to the body.
    #[must_use]
    pub fn with_member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a header. A value that is not a valid header value is omitted.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: impl AsRef<str>) -> Self {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.headers.push((name, value));
        }
        self
    }

    /// Adds `Retry-After`, of at least one second.
    #[must_use]
    pub fn with_retry_after(self, delay: Duration) -> Self {
        self.with_header(header::RETRY_AFTER, delay.as_secs().max(1).to_string())
    }

    /// The kind.
    pub fn kind(&self) -> ProblemKind {
        self.kind
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The error of this request.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The invalid fields.
    #[cfg(test)]
    pub fn errors(&self) -> &[FieldError] {
        &self.errors
    }

    /// The problem of a response that the HTTP library created.
    fn from_status(status: StatusCode) -> Self {
        let kind = match status {
            StatusCode::BAD_REQUEST => ProblemKind::Malformed,
            StatusCode::NOT_FOUND => ProblemKind::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => ProblemKind::MethodNotAllowed,
            StatusCode::PAYLOAD_TOO_LARGE => ProblemKind::TooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => ProblemKind::UnsupportedMediaType,
            status if status.is_server_error() => ProblemKind::Internal,
            _ => ProblemKind::Other,
        };
        let detail = status
            .canonical_reason()
            .unwrap_or("the request was rejected");

        Self {
            status,
            ..Self::new(kind, detail)
        }
    }

    fn to_body(&self, correlation_id: &CorrelationId) -> Vec<u8> {
        let body = ProblemBody {
            problem_type: format!("/docs#{}", self.kind.slug()),
            title: self.kind.title(),
            status: self.status.as_u16(),
            detail: &self.detail,
            correlation_id: correlation_id.as_str(),
            errors: &self.errors,
            members: &self.members,
        };
        serde_json::to_vec(&body).expect("a problem serializes to JSON")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.headers_mut().extend(self.headers.iter().cloned());
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// Marks an error response that has its body already: an HTML page or a health check.
#[derive(Clone, Copy)]
pub(super) struct HasBody;

/// Writes the body of an error response, unless the response has one that is marked [`HasBody`].
pub(super) fn write_body(mut response: Response, correlation_id: &CorrelationId) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }

    let problem = match response.extensions_mut().remove::<Arc<Problem>>() {
        Some(problem) => problem,
        None if response.extensions().get::<HasBody>().is_some() => return response,
        None => Arc::new(Problem::from_status(status)),
    };
    let body = problem.to_body(correlation_id);

    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    *response.body_mut() = Body::from(body);
    response
}
