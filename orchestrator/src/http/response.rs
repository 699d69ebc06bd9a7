//! Builders of responses.

use super::conditional;
use super::prefer::{PREFERENCE_APPLIED, Prefer};
use super::problem::Problem;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// A JSON response.
pub fn json<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> Response {
    json_bytes(
        status,
        serde_json::to_vec(value).expect("a response serializes to JSON"),
    )
}

/// A response whose body is JSON already. Caches must revalidate it.
pub fn json_bytes(status: StatusCode, bytes: Vec<u8>) -> Response {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (status, headers, bytes).into_response()
}

/// Adds `Location`.
pub fn with_location(mut response: Response, location: &str) -> Response {
    let location = HeaderValue::from_str(location).expect("a location is visible ASCII");
    response.headers_mut().insert(header::LOCATION, location);
    response
}

/// Adds the entity tag of a revision.
pub fn with_etag(mut response: Response, revision: u64) -> Response {
    response
        .headers_mut()
        .insert(header::ETAG, conditional::etag(revision));
    response
}

/// Applies `return=minimal` to a successful response, and adds `Preference-Applied`.
pub fn with_preference(result: Result<Response, Problem>, prefer: Prefer) -> Response {
    let mut response = result.unwrap_or_else(IntoResponse::into_response);

    if prefer.is_minimal() && response.status().is_success() {
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(header::CONTENT_TYPE);
    }
    if let Some(applied) = prefer.applied() {
        response.headers_mut().insert(PREFERENCE_APPLIED, applied);
    }
    response
}
