//! HTTP client of the payment gateway. It classifies answers by what they prove: accepted, rejected,
//! or nothing.

use saga_protocol::message::MAX_OUTPUT_BYTES;
use saga_retry::error_chain;
use saga_worker::{Failure, Payload};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// The outcome of a call that takes longer is unknown.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Connecting within a data centre takes milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Statuses that reject a call for good: it never takes effect under this key. Any other status except
/// 2xx leaves the outcome unknown.
const REJECTED_STATUSES: [u16; 6] = [400, 402, 404, 409, 410, 422];

/// A client of one gateway.
#[derive(Clone, Debug)]
pub struct GatewayClient {
    base_url: String,
    http: reqwest::Client,
}

/// What the answer to a call proves.
#[derive(Debug)]
pub enum GatewayResult {
    /// The call took effect.
    Accepted(Payload),
    /// The call had no effect and never will under this key.
    Rejected(Failure),
    /// The call may have had an effect, or have one later.
    Unknown(String),
}

/// `PAYMENT_GATEWAY_URL` is invalid.
#[derive(Debug, thiserror::Error)]
#[error("invalid payment gateway URL {0:?}: expected http://host:port, or inside")]
pub struct GatewayUrlError(pub String);

/// The body of an error.
#[derive(Debug, Default, Deserialize)]
struct ErrorBody {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl GatewayClient {
    /// A client for the gateway at an `http` URL. This build has no TLS: use a sidecar or a mesh.
    ///
    /// # Errors
    /// If the URL is invalid or has another scheme.
    pub fn new(url: &str) -> Result<Self, GatewayUrlError> {
        let invalid = || GatewayUrlError(url.to_owned());
        let parsed = reqwest::Url::parse(url).map_err(|_| invalid())?;
        if parsed.scheme() != "http" || parsed.host_str().is_none() {
            return Err(invalid());
        }

        let http = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .no_proxy()
            .build()
            .map_err(|_| invalid())?;
        Ok(Self {
            base_url: url.trim_end_matches('/').to_owned(),
            http,
        })
    }

    /// Makes a call with an idempotency key.
    pub async fn post(&self, path: &str, key: &str, body: &Value) -> GatewayResult {
        match self.request(path, key, body).await {
            Ok(result) => result,
            Err(error) => {
                let error = error_chain(&error);
                GatewayResult::Unknown(format!("no answer from the payment gateway: {error}"))
            }
        }
    }

    async fn request(
        &self,
        path: &str,
        key: &str,
        body: &Value,
    ) -> Result<GatewayResult, reqwest::Error> {
        let mut response = self
            .http
            .post(format!("{}{path}", self.base_url))
            .header("Idempotency-Key", key)
            .json(body)
            .send()
            .await?;
        let status = response.status();

        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            answer.extend_from_slice(&chunk);
            // A larger answer could not be stored as an output.
            if answer.len() > MAX_OUTPUT_BYTES {
                return Ok(GatewayResult::Unknown(format!(
                    "the payment gateway answered {status} with more than {MAX_OUTPUT_BYTES} bytes"
                )));
            }
        }
        Ok(classify(status.as_u16(), answer))
    }
}

fn classify(status: u16, answer: Vec<u8>) -> GatewayResult {
    let text = String::from_utf8(answer).unwrap_or_default();
    if (200..300).contains(&status) {
        return match Payload::parse(text) {
            Ok(output) => GatewayResult::Accepted(output),
            Err(error) => GatewayResult::Unknown(format!(
                "the payment gateway answered {status} with invalid JSON: {error}"
            )),
        };
    }

    let ErrorBody { code, message } = serde_json::from_str(&text).unwrap_or_default();
    if !REJECTED_STATUSES.contains(&status) {
        return GatewayResult::Unknown(format!("the payment gateway answered {status}: {message}"));
    }
    let code = if code.is_empty() {
        format!("gateway_{status}")
    } else {
        code
    };
    GatewayResult::Rejected(Failure::permanent(&code, message))
}
