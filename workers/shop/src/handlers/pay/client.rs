//! The payment gateway over HTTP. What matters is what an answer proves: yes, no, or nothing.

use saga_protocol::Failure;
use saga_protocol::Payload;
use saga_protocol::message::MAX_OUTPUT_BYTES;
use saga_retry::error_chain;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// A gateway that has not answered by then may have charged all the same.
const TIMEOUT: Duration = Duration::from_secs(10);
/// It is not there.
const CONNECT: Duration = Duration::from_secs(2);
/// Answers that say *no*, now and for ever under this key. All others but *yes* prove nothing.
const NO: [u16; 6] = [400, 402, 404, 409, 410, 422];

/// A gateway.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    http: reqwest::Client,
}

/// What an answer proves.
#[derive(Debug)]
pub enum GatewayResult {
    /// It is done.
    Yes(Payload),
    /// It is not done, and never will be under this key.
    No(Failure),
    /// It may be done, or be done yet.
    Nothing(String),
}

/// PAYMENT_GATEWAY_URL is unusable.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no address of a payment gateway: http://host:port, or inside")]
pub struct GatewayUrlError(pub String);

/// How a gateway says no.
#[derive(Debug, Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

impl Client {
    /// For the gateway at that address.
    ///
    /// # Errors
    /// If it is no `http` address: this build has no TLS, which a sidecar or a mesh adds.
    pub fn new(url: &str) -> Result<Self, GatewayUrlError> {
        let wrong = || GatewayUrlError(url.to_owned());
        let parsed = reqwest::Url::parse(url).map_err(|_| wrong())?;
        if parsed.scheme() != "http" || parsed.host_str().is_none() {
            return Err(wrong());
        }
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT)
            .no_proxy();
        let http = http.build().map_err(|_| wrong())?;
        Ok(Self {
            base: url.trim_end_matches('/').to_owned(),
            http,
        })
    }

    /// Makes a call under that key.
    pub async fn post(&self, path: &str, key: &str, body: &Value) -> GatewayResult {
        match self.ask(path, key, body).await {
            Ok(said) => said,
            Err(error) => GatewayResult::Nothing(format!(
                "no answer from the payment gateway: {}",
                error_chain(&error)
            )),
        }
    }

    async fn ask(
        &self,
        path: &str,
        key: &str,
        body: &Value,
    ) -> Result<GatewayResult, reqwest::Error> {
        let request = self
            .http
            .post(format!("{}{path}", self.base))
            .header("Idempotency-Key", key)
            .json(body);
        let mut response = request.send().await?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MAX_OUTPUT_BYTES {
                return Ok(GatewayResult::Nothing(format!(
                    "the payment gateway answered {status} without end"
                )));
            }
        }
        Ok(proved(status.as_u16(), bytes))
    }
}

fn proved(status: u16, body: Vec<u8>) -> GatewayResult {
    let text = String::from_utf8(body).unwrap_or_default();
    if (200..300).contains(&status) {
        return match Payload::parse(text) {
            Ok(answer) => GatewayResult::Yes(answer),
            Err(error) => GatewayResult::Nothing(format!(
                "the payment gateway answered {status} with what is no JSON: {error}"
            )),
        };
    }
    let Refusal { code, message } = serde_json::from_str(&text).unwrap_or_default();
    if NO.contains(&status) {
        let code = if code.is_empty() {
            format!("gateway_{status}")
        } else {
            code
        };
        GatewayResult::No(Failure::permanent(&code, message))
    } else {
        GatewayResult::Nothing(format!("the payment gateway answered {status}: {message}"))
    }
}
