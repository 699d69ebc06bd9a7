//! `X-Correlation-Id`: identifies a request in logs, messages and sagas.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request};
use std::convert::Infallible;
use std::sync::Arc;
use tower_http::request_id::{MakeRequestId, RequestId};
use uuid::Uuid;

/// The header.
pub const HEADER: HeaderName = HeaderName::from_static("x-correlation-id");
/// Other systems' ids fit. It is stored with each saga and sent with each message.
const MAX_CHARS: usize = 128;

/// A valid correlation id: 1 to 128 characters of `A-Za-z0-9._:-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorrelationId(Arc<str>);

/// Generates ids for requests without one.
#[derive(Clone, Copy, Debug)]
pub struct MakeCorrelationId;

impl CorrelationId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn generate() -> Self {
        Self(Uuid::now_v7().to_string().into())
    }

    /// The id in the headers, if there is exactly one and it is valid.
    fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(&HEADER).iter();
        let text = values.next()?.to_str().ok()?;

        (values.next().is_none() && is_valid(text)).then(|| Self(text.into()))
    }
}

impl MakeRequestId for MakeCorrelationId {
    fn make_request_id<B>(&mut self, _: &Request<B>) -> Option<RequestId> {
        let id = CorrelationId::generate();
        let header = HeaderValue::from_str(id.as_str()).expect("a UUID is a header value");
        Some(RequestId::new(header))
    }
}

impl<S: Sync> FromRequestParts<S> for CorrelationId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::from_headers(&parts.headers).unwrap_or_else(Self::generate))
    }
}

/// Removes an invalid id, so that the request-id layer generates a new one: that layer keeps any id that it finds.
pub fn remove_invalid<B>(mut request: Request<B>) -> Request<B> {
    if CorrelationId::from_headers(request.headers()).is_none() {
        request.headers_mut().remove(&HEADER);
    }
    request
}

fn is_valid(text: &str) -> bool {
    (1..=MAX_CHARS).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let values = values
            .iter()
            .map(|value| (HEADER, HeaderValue::from_str(value).unwrap()));
        HeaderMap::from_iter(values)
    }

    #[test]
    fn only_valid_correlation_ids_are_accepted() {
        let longest = "a".repeat(128);
        for valid in ["c-1", "A.b_c:d-9", longest.as_str()] {
            let id = CorrelationId::from_headers(&headers(&[valid])).unwrap();
            assert_eq!(id.as_str(), valid);
        }
        for invalid in ["", "a b", "a/b", "ä", "a".repeat(129).as_str()] {
            assert_eq!(
                CorrelationId::from_headers(&headers(&[invalid])),
                None,
                "{invalid}"
            );
        }
        assert!(is_valid(CorrelationId::generate().as_str()));
    }

    #[test]
    fn two_correlation_ids_are_removed() {
        let mut values = HeaderMap::new();
        values.append(HEADER, HeaderValue::from_static("a"));
        values.append(HEADER, HeaderValue::from_static("b"));
        let mut request = Request::new(());
        *request.headers_mut() = values;

        assert!(remove_invalid(request).headers().is_empty());
    }
}
