//! Making answers.

use super::conditional;
use super::prefer::{APPLIED, Prefer};
use super::problem::Problem;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// JSON with that status.
pub fn json<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> Response {
    json_bytes(
        status,
        serde_json::to_vec(value).expect("what we answer has a JSON form"),
    )
}

/// Bytes that are JSON, with that status. Nobody may keep a copy without asking again.
pub fn json_bytes(status: StatusCode, bytes: Vec<u8>) -> Response {
    let mut response = (status, Body::from(bytes)).into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// The same with a `Location`.
pub fn located(mut response: Response, location: &str) -> Response {
    let location = HeaderValue::from_str(location).expect("our locations are visible ASCII");
    response.headers_mut().insert(header::LOCATION, location);
    response
}

/// The same with the entity tag of that revision.
pub fn tagged(mut response: Response, revision: u64) -> Response {
    response
        .headers_mut()
        .insert(header::ETAG, conditional::etag(revision));
    response
}

/// The same as the caller prefers it: without a body if it is a success and minimal is wished; and told what was
/// heeded.
pub fn preferred(answer: Result<Response, Problem>, prefer: Prefer) -> Response {
    let mut response = answer.unwrap_or_else(IntoResponse::into_response);
    if prefer.minimal() && response.status().is_success() {
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(header::CONTENT_TYPE);
    }
    if let Some(applied) = prefer.applied() {
        response.headers_mut().insert(APPLIED, applied);
    }
    response
}
