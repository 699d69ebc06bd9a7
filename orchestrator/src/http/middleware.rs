//! The layers around all routes.
//!
//! From the outside in: correlation id, log span and metrics, error bodies, panics, the time limit. The errors of the
//! inner layers therefore have a body, a correlation id and a metric like those of any handler.

use super::correlation::{self, CorrelationId, MakeCorrelationId};
use super::metrics::record_request;
use super::problem::{Problem, ProblemKind, write_body};
use axum::error_handling::HandleErrorLayer;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn, map_request};
use axum::response::{IntoResponse, Response};
use axum::{BoxError, Router};
use std::any::Any;
use std::time::{Duration, Instant};
use tower::ServiceBuilder;
use tower::timeout::TimeoutLayer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::set_header::SetResponseHeaderLayer;
use tracing::Instrument;

/// The time limit of a request: the longest `Prefer: wait`, and some time for the database.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(45);

/// Adds the layers.
pub(super) fn with_layers<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    let nosniff = HeaderValue::from_static("nosniff");

    router.layer(
        ServiceBuilder::new()
            .layer(map_request(async |request: Request| {
                correlation::remove_invalid(request)
            }))
            .layer(SetRequestIdLayer::new(
                correlation::HEADER,
                MakeCorrelationId,
            ))
            .layer(PropagateRequestIdLayer::new(correlation::HEADER))
            .layer(SetResponseHeaderLayer::overriding(
                header::X_CONTENT_TYPE_OPTIONS,
                nosniff,
            ))
            .layer(from_fn(observe))
            .layer(CatchPanicLayer::custom(panic_response))
            .layer(HandleErrorLayer::new(timeout_problem))
            .layer(TimeoutLayer::new(REQUEST_TIMEOUT)),
    )
}

/// Opens the span of a request, records its duration, and writes the body of an error.
async fn observe(correlation_id: CorrelationId, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or("none", MatchedPath::as_str);
    let span = tracing::info_span!(
        "request",
        correlation.id = correlation_id.as_str(),
        %method,
        route,
        path = request.uri().path(),
    );

    let response = next.run(request).instrument(span.clone()).await;
    let response = write_body(response, &correlation_id);

    let status = response.status().as_u16();
    let duration = started.elapsed();
    record_request(route, method_label(&method), status, duration);
    span.in_scope(|| {
        tracing::debug!(
            status,
            duration_us = duration.as_micros(),
            "request finished"
        )
    });
    response
}

/// The method as a metric label. Clients choose methods freely, so others than the common ones share a label.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "PATCH" => "PATCH",
        _ => "other",
    }
}

fn panic_response(panic: Box<dyn Any + Send>) -> Response {
    let message = panic.downcast_ref::<&str>().copied();
    let message = message.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(
        panic = message.unwrap_or("unknown"),
        "request handler panicked"
    );

    Problem::new(ProblemKind::Internal, "the request could not be processed").into_response()
}

/// The only error below is that of the time limit.
async fn timeout_problem(_: BoxError) -> Problem {
    tracing::warn!(timeout_s = REQUEST_TIMEOUT.as_secs(), "request timed out");

    let detail = "the request timed out; it may or may not have been processed";
    Problem::new(ProblemKind::Unavailable, detail).with_retry_after(Duration::from_secs(1))
}

/// The fallback for unknown paths.
pub(super) async fn unknown_path(request: Request) -> Problem {
    Problem::not_found(format!("path {} does not exist", request.uri().path()))
}

/// The fallback for methods that a path does not allow. The router adds `Allow`.
pub(super) async fn method_not_allowed(request: Request) -> Problem {
    let detail = format!(
        "{} does not allow {}",
        request.uri().path(),
        request.method()
    );
    Problem::new(ProblemKind::MethodNotAllowed, detail)
}

/// Rejects requests whose `Accept` excludes JSON. Problems are sent whatever `Accept` says.
pub(super) async fn require_json_accepted(request: Request, next: Next) -> Response {
    if accepts(
        request.headers(),
        "application",
        &["json", "hal+json", "problem+json"],
    ) {
        return next.run(request).await;
    }

    let detail = "only application/json is available";
    Problem::new(ProblemKind::NotAcceptable, detail).into_response()
}

/// Whether `Accept` allows one of the subtypes. A missing header allows all; `q=0` excludes a media range.
fn accepts(headers: &HeaderMap, main_type: &str, subtypes: &[&str]) -> bool {
    let values: Vec<_> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    if values.first().is_none_or(|value| value.trim().is_empty()) {
        return true;
    }

    values
        .iter()
        .flat_map(|value| value.split(','))
        .any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let (range_type, range_subtype) = parts
                .next()
                .and_then(|range| range.split_once('/'))
                .unwrap_or_default();
            let is_excluded = parts.any(|parameter| {
                let parameter = parameter.to_ascii_lowercase();
                let quality = parameter
                    .strip_prefix("q=")
                    .and_then(|text| text.parse::<f32>().ok());
                quality == Some(0.0)
            });

            let type_matches = range_type == "*" || range_type.eq_ignore_ascii_case(main_type);
            let subtype_matches = range_subtype == "*"
                || subtypes
                    .iter()
                    .any(|subtype| range_subtype.eq_ignore_ascii_case(subtype));
            !is_excluded && type_matches && subtype_matches
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_header_is_matched_against_json() {
        for (value, expected) in [
            ("application/json", true),
            ("*/*", true),
            ("text/html, application/*;q=0.1", true),
            ("application/hal+json", true),
            ("text/html", false),
            ("application/json;q=0", false),
            ("application/xml, text/*", false),
            ("", true),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(value))]);
            assert_eq!(
                accepts(&headers, "application", &["json", "hal+json"]),
                expected,
                "{value:?}"
            );
        }

        assert!(accepts(&HeaderMap::new(), "application", &["json"]));
    }
}
