//! Extractors of request bodies: media type, size, JSON syntax, then [`super::validation`].

use super::problem::{Problem, ProblemKind};
use super::validation::{RequestBody, read_body};
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use sha2::{Digest, Sha256};

/// A valid JSON body.
#[derive(Debug)]
pub struct JsonBody<T> {
    /// The body.
    pub value: T,
    bytes: Bytes,
}

/// A JSON body that may be missing, which means `{}`.
#[derive(Debug)]
pub struct OptionalJsonBody<T>(pub T);

impl<T> JsonBody<T> {
    /// SHA-256 of the bytes as received.
    pub fn hash(&self) -> Vec<u8> {
        Sha256::digest(&self.bytes).to_vec()
    }
}

impl<T: RequestBody, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let media_type = media_type(request.headers());
        let bytes = read_bytes(request, state).await?;
        let value = parse(&media_type, &bytes)?;

        Ok(Self { value, bytes })
    }
}

impl<T: RequestBody, S: Send + Sync> FromRequest<S> for OptionalJsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let media_type = media_type(request.headers());
        let bytes = read_bytes(request, state).await?;

        // Without a body the media type is of no interest.
        if bytes.is_empty() {
            return parse("application/json", b"{}").map(Self);
        }
        parse(&media_type, &bytes).map(Self)
    }
}

/// Reads the whole body, up to the limit of the route.
///
/// # Errors
/// 413 if the body exceeds the limit, 400 if the connection broke.
pub async fn read_bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state)
        .await
        .map_err(|rejection| match rejection {
            BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
                Problem::new(
                    ProblemKind::TooLarge,
                    "the body exceeds the size limit of this route",
                )
            }
            other => Problem::new(ProblemKind::Malformed, other.body_text()),
        })
}

/// The media type in lower case, without parameters; empty if the header is missing.
pub fn media_type(headers: &HeaderMap) -> String {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let media_type = value
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();

    media_type.trim().to_ascii_lowercase()
}

/// Whether a media type is JSON.
pub fn is_json(media_type: &str) -> bool {
    media_type == "application/json"
        || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

fn parse<T: RequestBody>(media_type: &str, bytes: &[u8]) -> Result<T, Problem> {
    if !is_json(media_type) {
        let received = if media_type.is_empty() {
            "missing"
        } else {
            media_type
        };
        let detail = format!("Content-Type must be application/json, it is {received}");
        let problem = Problem::new(ProblemKind::UnsupportedMediaType, detail);
        return Err(problem.with_header(header::ACCEPT, "application/json"));
    }

    let value = serde_json::from_slice(bytes).map_err(|error| {
        Problem::new(
            ProblemKind::Malformed,
            format!("the body is not valid JSON: {error}"),
        )
    })?;
    read_body(bytes, &value)
}
