//! Reading a JSON body: its media type, its size, its form. What the fields must be: [`super::fields`].

use super::App;
use super::fields::{Fields, Mistakes};
use super::problem::{Kind, Problem};
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use saga_protocol::Payload;
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::HashMap;

/// A body that is JSON: both as it was sent and as a value.
#[derive(Debug)]
pub struct JsonBody {
    bytes: Bytes,
    value: Value,
}

impl JsonBody {
    /// SHA-256 of the bytes.
    pub fn hash(&self) -> Vec<u8> {
        Sha256::digest(&self.bytes).to_vec()
    }

    /// A top-level field with the very bytes that were sent.
    pub fn payload(&self, field: &str) -> Option<Payload> {
        let fields: HashMap<Cow<'_, str>, &RawValue> = serde_json::from_slice(&self.bytes).ok()?;
        fields
            .get(field)
            .and_then(|raw| Payload::parse(raw.get().to_owned()).ok())
    }

    /// Reads its fields, and refuses all that is wrong with them at once.
    ///
    /// # Errors
    /// 422 with a pointer for each mistake.
    pub fn read<T>(
        &self,
        read: impl FnOnce(&mut Fields<'_>, &mut Mistakes) -> Option<T>,
    ) -> Result<T, Problem> {
        let mut mistakes = Mistakes::default();
        let read = Fields::of(&self.value, "#", &mut mistakes).and_then(|mut fields| {
            let read = read(&mut fields, &mut mistakes);
            fields.finish(&mut mistakes);
            read
        });
        match (read, mistakes.into_list()) {
            (Some(read), mistakes) if mistakes.is_empty() => Ok(read),
            (_, mistakes) => Err(Problem::fields(mistakes)),
        }
    }
}

/// Reads the whole body, up to the limit of its route.
///
/// # Errors
/// 413 over the limit, 400 if the connection broke.
pub async fn read_bytes(request: Request, app: &App) -> Result<Bytes, Problem> {
    Bytes::from_request(request, app)
        .await
        .map_err(|rejection| match rejection {
            BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
                Problem::new(Kind::TooLarge, "the body is over the limit of this route")
            }
            other => Problem::new(Kind::Malformed, other.body_text()),
        })
}

/// The media type without its parameters, in lower case; empty if there is none.
pub fn media_type(headers: &HeaderMap) -> String {
    let given = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    given
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

/// Whether that media type is JSON.
pub fn is_json(media_type: &str) -> bool {
    media_type == "application/json"
        || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

fn parse(media_type: &str, bytes: Bytes) -> Result<JsonBody, Problem> {
    if !is_json(media_type) {
        let given = if media_type.is_empty() {
            "no media type"
        } else {
            media_type
        };
        let detail = format!("the body must be application/json, not {given}");
        return Err(Problem::new(Kind::UnsupportedMediaType, detail)
            .with_header(header::ACCEPT, "application/json"));
    }
    let value = serde_json::from_slice(&bytes)
        .map_err(|error| Problem::new(Kind::Malformed, format!("the body is not JSON: {error}")))?;
    Ok(JsonBody { bytes, value })
}

impl FromRequest<App> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let media_type = media_type(request.headers());
        parse(&media_type, read_bytes(request, app).await?)
    }
}

/// A body that may be missing: then it is `{}`.
#[derive(Debug)]
pub struct OptionalJsonBody(pub JsonBody);

impl FromRequest<App> for OptionalJsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let media_type = media_type(request.headers());
        let bytes = read_bytes(request, app).await?;
        if bytes.is_empty() {
            return Ok(Self(JsonBody {
                bytes,
                value: Value::Object(serde_json::Map::new()),
            }));
        }
        parse(&media_type, bytes).map(Self)
    }
}
