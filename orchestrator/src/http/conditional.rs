//! `ETag`, `If-None-Match`, `If-Match` (RFC 9110): a saga's entity tag is its revision, and strong.

use super::App;
use super::problem::{Kind, Problem};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use std::convert::Infallible;

/// The entity tag of a revision.
pub fn etag(revision: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{revision}\"")).expect("a quoted number is a header value")
}

/// Which revisions an `If-Match` allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// No header, or `*`.
    Any,
    /// Only these; weak or foreign tags match nothing.
    Revisions(Vec<u64>),
}

impl IfMatch {
    /// What the headers say.
    pub fn of(headers: &HeaderMap) -> Self {
        match tags(headers, header::IF_MATCH) {
            None => Self::Any,
            Some(tags) if tags.iter().any(|tag| tag == "*") => Self::Any,
            Some(tags) => Self::Revisions(tags.iter().filter_map(|tag| revision(tag)).collect()),
        }
    }

    /// The one revision that the saga must have for the action to be done; `current` is read only if several are named.
    ///
    /// # Errors
    /// 412 if none of those named is the saga's.
    pub async fn revision(
        self,
        current: impl Future<Output = Result<u64, Problem>>,
    ) -> Result<Option<u64>, Problem> {
        match self {
            Self::Any => Ok(None),
            Self::Revisions(allowed) => match allowed.as_slice() {
                [only] => Ok(Some(*only)),
                several => {
                    let current = current.await?;
                    if several.contains(&current) {
                        Ok(Some(current))
                    } else {
                        Err(stale(current))
                    }
                }
            },
        }
    }
}

/// The saga is at another revision than the caller saw.
pub fn stale(current: u64) -> Problem {
    Problem::new(
        Kind::PreconditionFailed,
        format!("the saga is at revision {current} by now; look again, then decide"),
    )
    .with("revision", current)
    .with_header(header::ETAG, format!("\"{current}\""))
}

/// Whether `If-None-Match` names that revision, strongly or weakly, or is `*`.
pub fn not_modified(headers: &HeaderMap, revision_now: u64) -> bool {
    tags(headers, header::IF_NONE_MATCH).is_some_and(|tags| {
        tags.iter().any(|tag| {
            tag == "*" || revision(tag.strip_prefix("W/").unwrap_or(tag)) == Some(revision_now)
        })
    })
}

/// Our tags hold no comma, so that splitting at commas finds each of ours.
fn tags(headers: &HeaderMap, name: HeaderName) -> Option<Vec<String>> {
    let lines: Vec<_> = headers.get_all(name).iter().collect();
    let tags = lines
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','));
    (!lines.is_empty()).then(|| tags.map(|tag| tag.trim().to_owned()).collect())
}

fn revision(tag: &str) -> Option<u64> {
    let digits = tag.strip_prefix('"')?.strip_suffix('"')?;
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())
        .flatten()
}

impl FromRequestParts<App> for IfMatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, line: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(line))])
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
                not_modified(&headers(header::IF_NONE_MATCH, line), 7),
                expected,
                "{line}"
            );
        }
        assert!(!not_modified(&HeaderMap::new(), 7));
    }

    #[test]
    fn if_match_compares_strongly() {
        let of = |line| IfMatch::of(&headers(header::IF_MATCH, line));
        assert_eq!(of("*"), IfMatch::Any);
        assert_eq!(IfMatch::of(&HeaderMap::new()), IfMatch::Any);
        assert_eq!(of("\"7\""), IfMatch::Revisions(vec![7]));
        assert_eq!(of("W/\"7\""), IfMatch::Revisions(vec![]));
        assert_eq!(of("\"7\", \"9\""), IfMatch::Revisions(vec![7, 9]));
        assert_eq!(of("\"abc\""), IfMatch::Revisions(vec![]));
    }
}
