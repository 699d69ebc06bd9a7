//! Talks to a server, and turns what it says into data or into an exit code with words.

use super::exit::{Exit, Failure};
use super::output::Output;
use clap::Args;
use reqwest::{Method, StatusCode};
use saga_settings::{Setting, parse};
use serde::Deserialize;
use serde_json::Value;
use std::time::{Duration, Instant};

/// A server that is starting is asked so often whether it is ready.
const READY_AGAIN: Duration = Duration::from_millis(25);

/// The server that a client command talks to.
pub const SERVER: Setting = Setting::new("SAGA_SERVER", "server", "URL", "Address of the server")
    .with_default("http://127.0.0.1:8080");

/// Which server, and how to print its answers.
#[derive(Args, Clone, Debug)]
pub struct Remote {
    #[arg(long, env = SERVER.variable, value_name = SERVER.value_name, default_value = SERVER.default,
          help = SERVER.help, value_parser = parse::base_url)]
    pub server: String,

    /// How to print what comes back
    #[command(flatten)]
    pub output: Output,

    /// How long one call may take
    #[arg(long, value_name = "DURATION", default_value = "35s", value_parser = parse::duration)]
    pub timeout: Duration,
}

/// A server.
pub struct Client {
    base: String,
    http: reqwest::Client,
}

/// RFC 9457, as far as words are made of it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: String,
    detail: String,
    correlation_id: String,
    errors: Vec<Pointer>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pointer {
    pointer: String,
    detail: String,
}

impl Client {
    /// For that server.
    ///
    /// # Errors
    /// If the machine cannot make one at all.
    pub fn new(remote: &Remote) -> Result<Self, Failure> {
        Self::at(&remote.server, remote.timeout)
    }

    /// For the server at that address.
    ///
    /// # Errors
    /// If the machine cannot make one at all.
    pub fn at(base: &str, timeout: Duration) -> Result<Self, Failure> {
        let http = reqwest::Client::builder()
            .timeout(timeout)
            .connect_timeout(Duration::from_secs(5))
            .user_agent(concat!("orchestrator/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Failure::failed("the client cannot be made", error))?;
        Ok(Self {
            base: base.to_owned(),
            http,
        })
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// If it is not by then: what it says last.
    pub async fn wait_until_ready(&self, timeout: Duration) -> Result<(), Failure> {
        let deadline = Instant::now() + timeout;
        loop {
            match self.get("/readyz", &[]).await {
                Err(failure) if failure.exit == Exit::Unavailable && Instant::now() < deadline => {
                    tokio::time::sleep(READY_AGAIN).await;
                }
                answer => return answer.map(drop),
            }
        }
    }

    /// What stands at a path.
    ///
    /// # Errors
    /// What the server refuses, or that it is not there.
    pub async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<String, Failure> {
        self.send(self.http.request(Method::GET, self.url(path)).query(query))
            .await
    }

    /// Posts a JSON body.
    ///
    /// # Errors
    /// What the server refuses, or that it is not there.
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
        let answer = request
            .send()
            .await
            .map_err(|error| self.unreachable(&error))?;
        let status = answer.status();
        let text = answer
            .text()
            .await
            .map_err(|error| self.unreachable(&error))?;
        if status.is_success() {
            Ok(text)
        } else {
            Err(refusal(status, &text))
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let why = if error.is_timeout() {
            "did not answer in time".to_owned()
        } else if error.is_connect() {
            "cannot be reached; is it running?".to_owned()
        } else {
            format!("broke off: {error}")
        };
        Failure::new(
            Exit::Unavailable,
            format!("the server at {} {why}", self.base),
        )
    }
}

/// What a refusal means: the exit code by status, the words from the problem.
fn refusal(status: StatusCode, text: &str) -> Failure {
    let exit = match status.as_u16() {
        404 | 410 => Exit::NotFound,
        409 | 412 => Exit::Conflict,
        401 | 403 => Exit::NotAllowed,
        408 | 429 | 502 | 503 | 504 => Exit::Unavailable,
        _ => Exit::Failed,
    };
    let problem: Problem = serde_json::from_str(text).unwrap_or_default();
    let said = [problem.detail, problem.title]
        .into_iter()
        .find(|text| !text.is_empty());
    let mut words = said.unwrap_or_else(|| "the server says no".to_owned());
    words += &format!(" ({})", status.as_u16());
    for error in problem.errors {
        words += &format!("\n  {}: {}", error.pointer, error.detail);
    }
    if !problem.correlation_id.is_empty() && status.is_server_error() {
        words += &format!("\n  correlation id {}", problem.correlation_id);
    }
    Failure::new(exit, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_becomes_words_and_a_code() {
        let text = r##"{"title":"Unprocessable","detail":"the order has mistakes","status":422,"correlation_id":"c",
            "errors":[{"pointer":"#/items/0/quantity","detail":"is 0; 1 to 100 is wanted"}]}"##;
        let failure = refusal(StatusCode::UNPROCESSABLE_ENTITY, text);
        assert_eq!(failure.exit, Exit::Failed);
        assert_eq!(
            failure.message,
            "the order has mistakes (422)\n  #/items/0/quantity: is 0; 1 to 100 is wanted"
        );
        assert_eq!(refusal(StatusCode::NOT_FOUND, "").exit, Exit::NotFound);
        assert_eq!(
            refusal(StatusCode::PRECONDITION_FAILED, "").exit,
            Exit::Conflict
        );
        assert_eq!(refusal(StatusCode::FORBIDDEN, "").exit, Exit::NotAllowed);
        assert!(
            refusal(StatusCode::SERVICE_UNAVAILABLE, "{}")
                .message
                .ends_with("(503)")
        );
    }
}
