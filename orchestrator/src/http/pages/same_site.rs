//! A form must come from our own page: another site could otherwise send it with the reader's rights.

use crate::http::App;
use crate::http::problem::{Kind, Problem};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Says that the request was not sent by another site's page.
pub(super) struct SameSite;

/// Browsers say it themselves; older ones send `Origin`, which must be our host. Programs send neither, and have no
/// reader whose rights they could take.
fn is_ours(headers: &HeaderMap) -> bool {
    let text = |name| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap_or_default())
    };
    match (text(FETCH_SITE), text(header::ORIGIN)) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let host = text(header::HOST).unwrap_or_default();
            !host.is_empty()
                && origin
                    .split_once("://")
                    .is_some_and(|(_, origin_host)| origin_host == host)
        }
        (None, None) => true,
    }
}

impl FromRequestParts<App> for SameSite {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        if is_ours(&parts.headers) {
            return Ok(Self);
        }
        Err(Problem::new(
            Kind::CrossSite,
            "forms are taken from this site's own pages only",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn only_our_own_forms_are_taken() {
        for (site, origin, expected) in [
            (Some("same-origin"), None, true),
            (Some("none"), None, true),
            (Some("cross-site"), Some("http://us:8080"), false),
            (Some("same-site"), None, false),
            (None, Some("http://us:8080"), true),
            (None, Some("http://them"), false),
            (None, Some("null"), false),
            (None, None, true),
        ] {
            let mut headers =
                HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("us:8080"))]);
            for (name, value) in [(FETCH_SITE, site), (header::ORIGIN, origin)] {
                if let Some(value) = value {
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
            assert_eq!(is_ours(&headers), expected, "{site:?} {origin:?}");
        }
    }
}
