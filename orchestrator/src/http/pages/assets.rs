//! Style, script and icon: in the binary, and kept by browsers as long as they are the same.

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

const ALL: &[Asset] = &[
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

/// Changes when any of them does: a part of their URL, and their entity tag.
pub(super) static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for asset in ALL {
        hash.update(asset.text);
    }
    hash.finalize()
        .iter()
        .take(6)
        .fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a String takes everything");
            hex
        })
});

pub(super) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Result<Response> {
    let asset = ALL.iter().find(|asset| asset.name == name);
    let asset =
        asset.ok_or_else(|| Problem::not_found(format!("there is nothing at /assets/{name}")))?;
    let tag = format!("\"{}\"", *VERSION);
    let seen = headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|seen| seen.as_bytes() == tag.as_bytes());
    let mut response = if seen {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        asset.text.into_response()
    };
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(asset.media_type),
    );
    headers.insert(
        header::ETAG,
        HeaderValue::from_str(&tag).expect("hex is a header value"),
    );
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=3600"),
    );
    Ok(response)
}
