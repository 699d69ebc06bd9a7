//! What is told when something cannot be done: RFC 9457, `application/problem+json`.

use super::correlation::CorrelationId;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// Handlers give this.
pub type Result<T> = std::result::Result<T, Problem>;

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $status:ident, $slug:literal, $title:literal;)*) => {
        /// What kind of problem it is. `type` is `/docs#` and the slug, where the page explains it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind {
            $($(#[$doc])* $variant,)*
        }

        impl Kind {
            /// Every kind there is.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its HTTP status.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }

            /// Its name in a URL.
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$variant => $slug,)* }
            }

            /// Its name for people: the same each time.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

kinds! {
    /// Not JSON, or a header that cannot be read.
    Malformed = BAD_REQUEST, "malformed-request", "The request cannot be read";
    /// An unknown parameter, or a value that it does not take.
    InvalidQuery = BAD_REQUEST, "invalid-query", "The query is not understood";
    /// The payment of an order failed finally.
    Declined = PAYMENT_REQUIRED, "payment-declined", "The payment was declined";
    /// A form that was not sent from our own page.
    CrossSite = FORBIDDEN, "cross-site", "This form was not sent from this site";
    /// No such thing.
    NotFound = NOT_FOUND, "not-found", "There is no such thing";
    /// `Allow` says which methods there are.
    MethodNotAllowed = METHOD_NOT_ALLOWED, "method-not-allowed", "This method is not allowed here";
    /// `Accept` leaves out what there is.
    NotAcceptable = NOT_ACCEPTABLE, "not-acceptable", "There is no such representation";
    /// The request took too long to arrive.
    RequestTimeout = REQUEST_TIMEOUT, "request-timeout", "The request did not arrive in time";
    /// The saga, or the step, is not where this could be done.
    Conflict = CONFLICT, "conflict", "This cannot be done now";
    /// There is no way back.
    TooLate = CONFLICT, "too-late", "It is too late to cancel";
    /// The business key is taken; `saga` links by whom.
    KeyTaken = CONFLICT, "key-taken", "The key is taken";
    /// Awaited, and ended otherwise.
    NotCompleted = CONFLICT, "not-completed", "The saga was not completed";
    /// Stored with other content.
    VersionTaken = CONFLICT, "version-taken", "This version has other content";
    /// Another request with the same Idempotency-Key is not finished yet.
    InProgress = CONFLICT, "request-in-progress", "The same request is still in progress";
    /// `If-Match` names a revision that is no longer.
    PreconditionFailed = PRECONDITION_FAILED, "stale-revision", "The saga has changed since";
    /// Over its limit.
    TooLarge = PAYLOAD_TOO_LARGE, "too-large", "The body is too large";
    /// Not the media type that is taken here.
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "This media type is not taken here";
    /// `errors` says which fields, and why.
    InvalidFields = UNPROCESSABLE_ENTITY, "invalid-fields", "The body breaks rules";
    /// A definition breaks rules; `errors` says which.
    InvalidWorkflow = UNPROCESSABLE_ENTITY, "invalid-workflow", "The workflow breaks rules";
    /// The Idempotency-Key was used with another body.
    KeyReused = UNPROCESSABLE_ENTITY, "idempotency-key-reused", "The Idempotency-Key was used with another body";
    /// A mistake of ours.
    Internal = INTERNAL_SERVER_ERROR, "internal", "Something is wrong on our side";
    /// Too much waits already. Nothing was done.
    Overloaded = SERVICE_UNAVAILABLE, "overloaded", "Too much is waiting already";
    /// The database does not answer, or this replica is leaving.
    Unavailable = SERVICE_UNAVAILABLE, "unavailable", "The service is not available";
    /// Any other refusal that the HTTP library itself makes.
    Other = BAD_REQUEST, "refused", "The request was refused";
}

/// One field that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldMistake {
    /// A JSON Pointer as a URI fragment.
    #[schema(example = "#/items/0/quantity")]
    pub pointer: String,
    /// What is wrong, and what would be right.
    #[schema(example = "must be a whole number from 1 to 100")]
    pub detail: String,
}

/// A refusal on its way to the caller. The outermost layer writes it, with the correlation id.
#[derive(Clone, Debug)]
pub struct Problem {
    kind: Kind,
    status: StatusCode,
    detail: String,
    mistakes: Vec<FieldMistake>,
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// A problem as it is written (RFC 9457). Some kinds have further members.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody<'a> {
    /// Which kind, as a URI that explains it.
    #[serde(rename = "type")]
    #[schema(example = "/docs#invalid-fields")]
    kind: String,
    /// The kind in words: the same each time.
    title: &'a str,
    /// The HTTP status.
    #[schema(example = 422)]
    status: u16,
    /// What is wrong this time.
    detail: &'a str,
    /// One id for this request and all that came of it.
    correlation_id: &'a str,
    /// The fields that break rules, all of them.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldMistake],
    /// More, by kind: `saga`, `order_id`.
    #[serde(flatten)]
    #[schema(ignore)]
    members: &'a Map<String, Value>,
}

impl Problem {
    /// A problem of that kind, and what is wrong this time.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            status: kind.status(),
            detail: detail.into(),
            mistakes: Vec::new(),
            members: Map::new(),
            headers: Vec::new(),
        }
    }

    /// No such thing.
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, what)
    }

    /// Fields that break rules.
    pub fn fields(mistakes: Vec<FieldMistake>) -> Self {
        let detail = match mistakes.as_slice() {
            [only] => format!("{}: {}", only.pointer, only.detail),
            many => format!("{} fields break rules; errors lists them", many.len()),
        };
        Self {
            mistakes,
            ..Self::new(Kind::InvalidFields, detail)
        }
    }

    /// One field that breaks a rule.
    pub fn field(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::fields(vec![FieldMistake {
            pointer: pointer.into(),
            detail: detail.into(),
        }])
    }

    /// The same, with those mistakes listed.
    #[must_use]
    pub fn with_mistakes(self, mistakes: Vec<FieldMistake>) -> Self {
        Self { mistakes, ..self }
    }

    /// The same, with a further member.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// The same, with a header. A value that no header can hold is left out.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: impl AsRef<str>) -> Self {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            self.headers.push((name, value));
        }
        self
    }

    /// The same, saying when to come again: at least a second.
    #[must_use]
    pub fn retry_after(self, after: Duration) -> Self {
        self.with_header(header::RETRY_AFTER, after.as_secs().max(1).to_string())
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What is wrong this time.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// What the HTTP library refused by itself, told in our form.
    fn of_status(status: StatusCode, detail: String) -> Self {
        let kind = match status {
            StatusCode::BAD_REQUEST => Kind::Malformed,
            StatusCode::NOT_FOUND => Kind::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Kind::MethodNotAllowed,
            StatusCode::PAYLOAD_TOO_LARGE => Kind::TooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Kind::UnsupportedMediaType,
            status if status.is_server_error() => Kind::Internal,
            _ => Kind::Other,
        };
        Self {
            status,
            ..Self::new(kind, detail)
        }
    }

    fn write(&self, correlation: &CorrelationId) -> Vec<u8> {
        let body = ProblemBody {
            kind: format!("/docs#{}", self.kind.slug()),
            title: self.kind.title(),
            status: self.status.as_u16(),
            detail: &self.detail,
            correlation_id: correlation.as_str(),
            errors: &self.mistakes,
            members: &self.members,
        };
        serde_json::to_vec(&body).expect("a problem has a JSON form")
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

/// Writes the body of every refusal that has none yet: ours, and those that the HTTP library made by itself.
pub(super) fn finish(mut response: Response, correlation: &CorrelationId) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let problem = match response.extensions_mut().remove::<Arc<Problem>>() {
        Some(problem) => problem,
        None if response.extensions().get::<Written>().is_some() => return response,
        None => {
            let detail = status.canonical_reason().unwrap_or("refused").to_owned();
            Arc::new(Problem::of_status(status, detail))
        }
    };
    let body = problem.write(correlation);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    *response.body_mut() = Body::from(body);
    response
}

/// Marks an answer whose body stands already, although it is a refusal: an HTML page, a health answer.
#[derive(Clone, Copy)]
pub(super) struct Written;
