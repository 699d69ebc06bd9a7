//! Around every request: its correlation id, its span, its time limit, a panic's answer, its problem, its measure.

use super::correlation::{self, CorrelationId};
use super::metrics;
use super::problem::{self, Kind, Problem};
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};
use tracing::Instrument;

/// For everything from the head's arrival to the answer's: the longest `Prefer: wait`, and room for the database.
pub const REQUEST_TIME_LIMIT: Duration = Duration::from_secs(45);

/// The outermost layer.
pub(super) async fn around(mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let correlation = CorrelationId::of(request.headers());
    request.extensions_mut().insert(correlation.clone());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let span = tracing::info_span!("request", correlation.id = correlation.as_str(), %method, path = request.uri().path());

    let answer = async {
        let handled = AssertUnwindSafe(next.run(request)).catch_unwind();
        match tokio::time::timeout(REQUEST_TIME_LIMIT, handled).await {
            Ok(Ok(response)) => response,
            Ok(Err(panic)) => {
                tracing::error!(
                    "the handler of {method} {route} panicked: {}",
                    said(&*panic)
                );
                Problem::new(Kind::Internal, "the request could not be handled").into_response()
            }
            Err(_) => {
                tracing::warn!(
                    "{method} {route} took longer than {} s",
                    REQUEST_TIME_LIMIT.as_secs()
                );
                let detail = "the request took too long; whether it was done is not known";
                Problem::new(Kind::Unavailable, detail)
                    .retry_after(Duration::from_secs(1))
                    .into_response()
            }
        }
    };
    let mut response = problem::finish(answer.instrument(span.clone()).await, &correlation);
    response
        .headers_mut()
        .insert(correlation::HEADER, correlation.to_header());
    response.headers_mut().insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );

    let status = response.status().as_u16();
    metrics::measured(route, known(&method), status, began.elapsed());
    span.in_scope(|| {
        tracing::debug!(
            status,
            route,
            "answered {status} after {} µs",
            began.elapsed().as_micros()
        )
    });
    response
}

/// A label has few values: a method that nobody knows is `other`.
fn known(method: &Method) -> &'static str {
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

fn said(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("something that is no text")
}

/// No such path.
pub(super) async fn no_such_path(request: Request) -> Problem {
    Problem::not_found(format!("there is nothing at {}", request.uri().path()))
}

/// Not that method; the `Allow` header is added by the router.
pub(super) async fn no_such_method(request: Request) -> Problem {
    let detail = format!(
        "{} is not among the methods of {}",
        request.method(),
        request.uri().path()
    );
    Problem::new(Kind::MethodNotAllowed, detail)
}

/// Refuses a request whose `Accept` leaves JSON out. Problems themselves ignore `Accept`.
pub(super) async fn accepts_json(request: Request, next: Next) -> Response {
    if accepts(
        request.headers(),
        "application",
        &["json", "hal+json", "problem+json"],
    ) {
        return next.run(request).await;
    }
    Problem::new(
        Kind::NotAcceptable,
        "what there is here is application/json",
    )
    .into_response()
}

/// Whether the headers accept one of those subtypes: no `Accept` accepts everything, and `q=0` nothing.
fn accepts(headers: &axum::http::HeaderMap, main: &str, subtypes: &[&str]) -> bool {
    let mut lines = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .peekable();
    if lines.peek().is_none_or(|line| line.trim().is_empty()) {
        return true;
    }
    lines.flat_map(|line| line.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let (accepted_main, accepted_sub) = parts
            .next()
            .and_then(|range| range.split_once('/'))
            .unwrap_or(("", ""));
        let refused = parts.any(|parameter| {
            let quality = parameter.to_ascii_lowercase();
            quality
                .strip_prefix("q=")
                .is_some_and(|quality| quality.parse::<f32>().is_ok_and(|quality| quality == 0.0))
        });
        let main_fits = accepted_main == "*" || accepted_main.eq_ignore_ascii_case(main);
        let sub_fits = accepted_sub == "*"
            || subtypes
                .iter()
                .any(|sub| accepted_sub.eq_ignore_ascii_case(sub));
        !refused && main_fits && sub_fits
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderMap;

    #[test]
    fn accept_is_understood() {
        for (line, expected) in [
            ("application/json", true),
            ("*/*", true),
            ("text/html, application/*;q=0.1", true),
            ("application/hal+json", true),
            ("text/html", false),
            ("application/json;q=0", false),
            ("application/xml, text/*", false),
            ("", true),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(line))]);
            assert_eq!(
                accepts(&headers, "application", &["json", "hal+json"]),
                expected,
                "{line:?}"
            );
        }
        assert!(accepts(&HeaderMap::new(), "application", &["json"]));
    }
}
