//! One id for a request and all that comes of it: taken if valid, made if not, echoed on every answer.

use super::App;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use std::convert::Infallible;
use std::sync::Arc;
use uuid::Uuid;

/// The header.
pub const HEADER: HeaderName = HeaderName::from_static("x-correlation-id");
/// Long enough for what other systems make; it is kept with each saga and goes with each message.
const CHARS_MOST: usize = 128;

/// A valid correlation id: 1 to 128 of `A-Za-z0-9._:-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorrelationId(Arc<str>);

impl CorrelationId {
    /// The one in the headers, if there is exactly one and it is valid; else a new one.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut given = headers.get_all(&HEADER).iter();
        match (
            given.next().and_then(|value| value.to_str().ok()),
            given.next(),
        ) {
            (Some(text), None) if valid(text) => Self(text.into()),
            _ => Self(Uuid::now_v7().to_string().into()),
        }
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As a header's value.
    pub fn to_header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).expect("a valid correlation id is visible ASCII")
    }
}

fn valid(text: &str) -> bool {
    (1..=CHARS_MOST).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte))
}

impl FromRequestParts<App> for CorrelationId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Infallible> {
        Ok(parts
            .extensions
            .get::<Self>()
            .cloned()
            .unwrap_or_else(|| Self::of(&parts.headers)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valid_id_is_taken_and_any_other_is_replaced() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, HeaderValue::from_str(text).unwrap());
            CorrelationId::of(&headers)
        };
        let longest = "a".repeat(128);
        for good in ["c-1", "A.b_c:d-9", longest.as_str()] {
            assert_eq!(of(good).as_str(), good);
        }
        for bad in ["", "a b", "a/b", "ä", "a".repeat(129).as_str()] {
            assert_ne!(of(bad).as_str(), bad);
            assert!(valid(of(bad).as_str()));
        }
    }

    #[test]
    fn two_ids_are_none() {
        let mut headers = HeaderMap::new();
        headers.append(HEADER, HeaderValue::from_static("a"));
        headers.append(HEADER, HeaderValue::from_static("b"));
        assert!(!["a", "b"].contains(&CorrelationId::of(&headers).as_str()));
    }
}
