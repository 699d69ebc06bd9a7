//! Calls a server. An error response becomes an exit code and a message.

use super::exit::{Exit, Failure};
use super::output::Output;
use clap::Args;
use reqwest::{Method, StatusCode};
use saga_settings::{Setting, parse};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::{Duration, Instant};

/// How often a server that is starting is asked whether it is ready.
const READY_INTERVAL: Duration = Duration::from_millis(25);
/// A server that is reachable accepts a connection within this time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The server that a client command calls.
pub const SERVER: Setting = Setting::new("SAGA_SERVER", "server", "URL", "Address of the server")
    .with_default("http://127.0.0.1:8080");

/// Which server, and how to print its responses.
#[derive(Args, Clone, Debug)]
pub struct Remote {
    #[arg(long, env = SERVER.variable, value_name = SERVER.value_name, default_value = SERVER.default,
          help = SERVER.help, value_parser = parse::base_url)]
    pub server: String,

    #[command(flatten)]
    pub output: Output,

    /// How long a call may take
    #[arg(long, value_name = "DURATION", default_value = "35s", value_parser = parse::duration)]
    pub timeout: Duration,
}

/// A client of one server.
pub struct Client {
    base: String,
    http: reqwest::Client,
}

/// A problem (RFC 9457), as far as it is printed.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: String,
    detail: String,
    correlation_id: String,
    errors: Vec<FieldError>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct FieldError {
    pointer: String,
    detail: String,
}

impl Client {
    /// A client of the given server.
    ///
    /// # Errors
    /// If the TLS backend cannot be initialised.
    pub fn new(remote: &Remote) -> Result<Self, Failure> {
        Self::at(&remote.server, remote.timeout)
    }

    /// A client of the server at that address.
    ///
    /// # Errors
    /// If the TLS backend cannot be initialised.
    pub fn at(base: &str, timeout: Duration) -> Result<Self, Failure> {
        let http = reqwest::Client::builder()
            .timeout(timeout)
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("orchestrator/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Failure::failed("failed to create the HTTP client", error))?;
        Ok(Self {
            base: base.to_owned(),
            http,
        })
    }

    /// Waits until the server is ready.
    ///
    /// # Errors
    /// The last response if the server is not ready within the timeout.
    pub async fn wait_until_ready(&self, timeout: Duration) -> Result<(), Failure> {
        let deadline = Instant::now() + timeout;
        loop {
            match self.get("/readyz", &[]).await {
                Err(failure) if failure.exit == Exit::Unavailable && Instant::now() < deadline => {
                    tokio::time::sleep(READY_INTERVAL).await;
                }
                result => return result.map(drop),
            }
        }
    }

    /// `GET`. Returns the body.
    ///
    /// # Errors
    /// If the server rejects the request or is unavailable.
    pub async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<String, Failure> {
        self.send(self.http.request(Method::GET, self.url(path)).query(query))
            .await
    }

    /// `POST` of a JSON body. Returns the body of the response.
    ///
    /// # Errors
    /// If the server rejects the request or is unavailable.
    pub async fn post(
        &self,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Result<String, Failure> {
        let mut request = self.http.request(Method::POST, self.url(path)).json(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request).await
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<String, Failure> {
        let response = request
            .send()
            .await
            .map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let body = response
            .text()
            .await
            .map_err(|error| self.unreachable(&error))?;

        match status.is_success() {
            true => Ok(body),
            false => Err(rejection(status, &body)),
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let reason = if error.is_timeout() {
            "did not answer in time".to_owned()
        } else if error.is_connect() {
            "cannot be reached; is it running?".to_owned()
        } else {
            format!("closed the connection: {error}")
        };
        Failure::new(
            Exit::Unavailable,
            format!("the server at {} {reason}", self.base),
        )
    }
}

/// Parses the body of a response.
///
/// # Errors
/// If it has another form: then the server is not an orchestrator.
pub fn parse_response<T: DeserializeOwned>(body: &str) -> Result<T, Failure> {
    serde_json::from_str(body)
        .map_err(|error| Failure::failed("the server sent an unexpected response", error))
}

/// The exit code of an error response by its status, and the message of its problem.
fn rejection(status: StatusCode, body: &str) -> Failure {
    let exit = match status.as_u16() {
        404 | 410 => Exit::NotFound,
        409 | 412 => Exit::Conflict,
        401 | 403 => Exit::NotAllowed,
        408 | 429 | 502 | 503 | 504 => Exit::Unavailable,
        _ => Exit::Failed,
    };

    let problem: Problem = serde_json::from_str(body).unwrap_or_default();
    let mut texts = [problem.detail, problem.title]
        .into_iter()
        .filter(|text| !text.is_empty());
    let text = texts
        .next()
        .unwrap_or_else(|| "the server rejected the request".to_owned());

    let mut message = format!("{text} ({})", status.as_u16());
    for error in problem.errors {
        message += &format!("\n  {}: {}", error.pointer, error.detail);
    }
    // An operator of the server finds the request by it.
    if !problem.correlation_id.is_empty() && status.is_server_error() {
        message += &format!("\n  correlation id {}", problem.correlation_id);
    }
    Failure::new(exit, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problem_becomes_message_and_exit_code() {
        let body = r##"{"title":"Unprocessable","detail":"the order is invalid","status":422,"correlation_id":"c",
            "errors":[{"pointer":"#/items/0/quantity","detail":"is 0; expected 1 to 100"}]}"##;
        let failure = rejection(StatusCode::UNPROCESSABLE_ENTITY, body);
        assert_eq!(failure.exit, Exit::Failed);
        assert_eq!(
            failure.message,
            "the order is invalid (422)\n  #/items/0/quantity: is 0; expected 1 to 100"
        );

        for (status, exit) in [
            (StatusCode::NOT_FOUND, Exit::NotFound),
            (StatusCode::PRECONDITION_FAILED, Exit::Conflict),
            (StatusCode::FORBIDDEN, Exit::NotAllowed),
            (StatusCode::SERVICE_UNAVAILABLE, Exit::Unavailable),
        ] {
            assert_eq!(rejection(status, "").exit, exit);
        }
    }
}
