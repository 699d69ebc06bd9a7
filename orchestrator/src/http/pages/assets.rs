//! Style, script and icon. They are part of the binary.

use crate::http::problem::{Problem, Result};
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::sync::LazyLock;

struct Asset {
    name: &'static str,
    media_type: &'static str,
    text: &'static str,
}

const ASSETS: &[Asset] = &[
    Asset {
        name: "style.css",
        media_type: "text/css; charset=utf-8",
        text: include_str!("../../../assets/style.css"),
    },
    Asset {
        name: "refresh.js",
        media_type: "text/javascript; charset=utf-8",
        text: include_str!("../../../assets/refresh.js"),
    },
    Asset {
        name: "icon.svg",
        media_type: "image/svg+xml",
        text: include_str!("../../../assets/icon.svg"),
    },
];

/// A hash of all assets. It is their entity tag, and a part of their URLs, so that a new release is not served from a
/// browser's cache.
pub(super) static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for asset in ASSETS {
        hash.update(asset.text);
    }

    hash.finalize()
        .iter()
        .take(6)
        .fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("writing to a String succeeds");
            hex
        })
});

pub(super) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Result<Response> {
    let asset = ASSETS.iter().find(|asset| asset.name == name);
    let asset =
        asset.ok_or_else(|| Problem::not_found(format!("path /assets/{name} does not exist")))?;

    let etag = format!("\"{}\"", *VERSION);
    let is_cached = headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|value| value.as_bytes() == etag.as_bytes());
    let mut response = if is_cached {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        asset.text.into_response()
    };

    let etag = HeaderValue::from_str(&etag).expect("hex is a header value");
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(asset.media_type),
    );
    headers.insert(header::ETAG, etag);
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=3600"),
    );
    Ok(response)
}
