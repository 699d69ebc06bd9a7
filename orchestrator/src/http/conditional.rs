//! Conditional requests (RFC 9110): `ETag`, `If-None-Match`, `If-Match`. The strong entity tag of a saga is its revision.

use super::problem::{Problem, ProblemKind};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use std::convert::Infallible;

/// The entity tag of a revision.
pub fn etag(revision: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{revision}\"")).expect("a quoted number is a header value")
}

/// The revisions that `If-Match` allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// No header, or `*`.
    Any,
    /// The listed revisions. Weak and unknown tags match no revision.
    Revisions(Vec<u64>),
}

impl IfMatch {
    /// Parses the header.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        match tags(headers, header::IF_MATCH) {
            None => Self::Any,
            Some(tags) if tags.iter().any(|tag| tag == "*") => Self::Any,
            Some(tags) => Self::Revisions(tags.iter().filter_map(|tag| revision(tag)).collect()),
        }
    }

    /// The revision that the saga must have. `current` is awaited only if the header lists several.
    ///
    /// # Errors
    /// 412 if the current revision is not among several listed ones, and errors of `current`.
    pub async fn required_revision(
        self,
        current: impl Future<Output = Result<u64, Problem>>,
    ) -> Result<Option<u64>, Problem> {
        let Self::Revisions(revisions) = self else {
            return Ok(None);
        };
        if let [revision] = revisions.as_slice() {
            return Ok(Some(*revision));
        }

        let current = current.await?;
        if revisions.contains(&current) {
            Ok(Some(current))
        } else {
            Err(stale_revision(current))
        }
    }
}

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::from_headers(&parts.headers))
    }
}

/// 412: the saga is at another revision than the caller expects.
pub fn stale_revision(current: u64) -> Problem {
    let detail = format!("the saga is at revision {current} now; reload it before you decide");

    Problem::new(ProblemKind::PreconditionFailed, detail)
        .with_member("revision", current)
        .with_header(header::ETAG, format!("\"{current}\""))
}

/// Whether `If-None-Match` matches a revision, by weak comparison.
pub fn is_not_modified(headers: &HeaderMap, current: u64) -> bool {
    let tags = tags(headers, header::IF_NONE_MATCH).unwrap_or_default();

    tags.iter()
        .any(|tag| tag == "*" || revision(tag.strip_prefix("W/").unwrap_or(tag)) == Some(current))
}

/// The tags of a header; `None` if it is missing. Tags of revisions contain no comma, so splitting at commas finds them.
fn tags(headers: &HeaderMap, name: HeaderName) -> Option<Vec<String>> {
    let values: Vec<_> = headers.get_all(name).iter().collect();
    if values.is_empty() {
        return None;
    }

    let lines = values.iter().filter_map(|value| value.to_str().ok());
    Some(
        lines
            .flat_map(|line| line.split(','))
            .map(|tag| tag.trim().to_owned())
            .collect(),
    )
}

fn revision(tag: &str) -> Option<u64> {
    let digits = tag.strip_prefix('"')?.strip_suffix('"')?;
    // `parse` would accept a sign.
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn if_none_match_compares_weakly() {
        for (line, expected) in [
            ("\"7\"", true),
            ("W/\"7\"", true),
            ("\"6\", \"7\"", true),
            ("*", true),
            ("\"6\"", false),
            ("7", false),
        ] {
            assert_eq!(
                is_not_modified(&headers(header::IF_NONE_MATCH, line), 7),
                expected,
                "{line}"
            );
        }
        assert!(!is_not_modified(&HeaderMap::new(), 7));
    }

    #[test]
    fn if_match_compares_strongly() {
        let parse = |line| IfMatch::from_headers(&headers(header::IF_MATCH, line));
        assert_eq!(parse("*"), IfMatch::Any);
        assert_eq!(IfMatch::from_headers(&HeaderMap::new()), IfMatch::Any);
        assert_eq!(parse("\"7\""), IfMatch::Revisions(vec![7]));
        assert_eq!(parse("W/\"7\""), IfMatch::Revisions(vec![]));
        assert_eq!(parse("\"7\", \"9\""), IfMatch::Revisions(vec![7, 9]));
        assert_eq!(parse("\"abc\""), IfMatch::Revisions(vec![]));
    }
}
