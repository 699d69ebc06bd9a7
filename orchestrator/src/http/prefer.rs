//! `Prefer` (RFC 7240): `wait=N`, `respond-async`, `return=minimal`.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use std::convert::Infallible;
use std::time::Duration;

/// The request header.
pub const PREFER: HeaderName = HeaderName::from_static("prefer");
/// The response header: the preferences that were applied.
pub const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// The longest `wait`, in seconds: below the usual idle timeouts of proxies.
pub const MAX_WAIT_SECONDS: u64 = 30;

/// The preferences of the caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefer {
    wait_seconds: Option<u64>,
    respond_async: bool,
    minimal: Option<bool>,
}

impl Prefer {
    /// Parses the headers. The first occurrence of a preference counts; unknown preferences are ignored, as the RFC
    /// requires.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let mut prefer = Self::default();

        let values = headers
            .get_all(&PREFER)
            .iter()
            .filter_map(|value| value.to_str().ok());
        for preference in values.flat_map(|value| value.split(',')) {
            let preference = preference.split(';').next().unwrap_or_default();
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            let value = value.trim().trim_matches('"');

            match name.trim().to_ascii_lowercase().as_str() {
                "wait" if prefer.wait_seconds.is_none() => {
                    prefer.wait_seconds = parse_seconds(value);
                }
                "respond-async" => prefer.respond_async = true,
                "return" if prefer.minimal.is_none() => {
                    prefer.minimal = match value.to_ascii_lowercase().as_str() {
                        "minimal" => Some(true),
                        "representation" => Some(false),
                        _ => None,
                    };
                }
                _ => {}
            }
        }

        prefer
    }

    /// How long to wait for the result; `None` if the caller does not wait.
    pub fn wait(self) -> Option<Duration> {
        self.wait_seconds.map(Duration::from_secs)
    }

    /// Whether the response omits its body.
    pub fn is_minimal(self) -> bool {
        self.minimal == Some(true)
    }

    /// The value of `Preference-Applied`.
    pub fn applied(self) -> Option<HeaderValue> {
        let mut applied = Vec::new();
        if let Some(seconds) = self.wait_seconds {
            applied.push(format!("wait={seconds}"));
        }
        if self.respond_async {
            applied.push("respond-async".to_owned());
        }
        match self.minimal {
            Some(true) => applied.push("return=minimal".to_owned()),
            Some(false) => applied.push("return=representation".to_owned()),
            None => {}
        }

        (!applied.is_empty()).then(|| {
            HeaderValue::from_str(&applied.join(", ")).expect("preferences are visible ASCII")
        })
    }
}

impl<S: Sync> FromRequestParts<S> for Prefer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::from_headers(&parts.headers))
    }
}

/// Parses digits. Larger values, however large, are reduced to the maximum.
fn parse_seconds(value: &str) -> Option<u64> {
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| value.parse().unwrap_or(u64::MAX).min(MAX_WAIT_SECONDS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(lines: &[&'static str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(PREFER, HeaderValue::from_static(line));
        }
        let applied = Prefer::from_headers(&headers).applied();
        applied.map_or(String::new(), |value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn preference_applied_lists_applied_preferences() {
        assert_eq!(applied(&["wait=10"]), "wait=10");
        assert_eq!(
            applied(&["respond-async, wait=100"]),
            "wait=30, respond-async"
        );
        assert_eq!(
            applied(&["Wait = \"7\"; foo=bar", "return=minimal"]),
            "wait=7, return=minimal"
        );
        assert_eq!(applied(&["wait=1, wait=20"]), "wait=1");
        assert_eq!(applied(&["wait=99999999999999999999999"]), "wait=30");
        assert_eq!(
            applied(&["wait=soon", "handling=lenient", "return=all"]),
            ""
        );
        assert_eq!(applied(&["return=representation"]), "return=representation");
        assert_eq!(applied(&[]), "");
    }
}
