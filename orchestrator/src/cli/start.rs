//! `orchestrator start`.

use super::client::{Client, Remote, parse_response};
use super::exit::{Exit, Failure};
use super::output::print;
use crate::api::{OpenEnum, SagaDto};
use clap::Args;
use saga_core::saga::Status;
use saga_settings::parse;
use serde_json::{Value, json};
use std::io::Read;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How often a saga is polled with `--wait`: soon after its start, then less and less often.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(20);
const MAX_POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Limit of the attempts while the server is unavailable. The same Idempotency-Key makes a repetition safe.
const MAX_ATTEMPTS: u32 = 3;
/// The delay before the second attempt; later ones wait longer.
const RETRY_DELAY: Duration = Duration::from_millis(300);

/// Start a saga
#[derive(Args, Clone, Debug)]
#[command(help_template = super::HELP, before_help = "Examples:
  orchestrator start --workflow order --input @order.json --wait
  echo '{\"a\": 1}' | orchestrator start --workflow pair --input - --key job-7 -o id")]
pub struct Start {
    /// Name of the workflow
    #[arg(long, short = 'w', value_name = "NAME")]
    workflow: String,

    /// Version of the workflow; the highest if not given
    #[arg(long, value_name = "NUMBER")]
    version: Option<u32>,

    /// Input of the saga: JSON, @FILE, or - for stdin
    #[arg(long, short = 'i', value_name = "JSON|@FILE|-", default_value = "{}")]
    input: String,

    /// Business key, unique within the workflow; the saga's id if not given
    #[arg(long, short = 'k', value_name = "TEXT")]
    key: Option<String>,

    /// Idempotency-Key of the request, so that a repetition starts nothing; a new one if not given
    #[arg(long, value_name = "TEXT")]
    idempotency_key: Option<String>,

    /// Wait until the saga ends, or for a duration (exit code 6 if it has not ended then)
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "1000d",
          value_parser = parse::duration)]
    wait: Option<Duration>,

    #[command(flatten)]
    remote: Remote,
}

impl Start {
    /// Starts the saga, and waits for its end if asked to.
    ///
    /// # Errors
    /// If the input is not JSON, the server rejects it, or the server is unavailable.
    pub async fn run(self) -> Result<Exit, Failure> {
        let mut body =
            json!({"workflow": self.workflow, "input": json_argument("--input", &self.input)?});
        if let Some(key) = self.key {
            body["key"] = key.into();
        }
        if let Some(version) = self.version {
            body["version"] = version.into();
        }

        let idempotency_key = self
            .idempotency_key
            .unwrap_or_else(|| Uuid::now_v7().to_string());
        let client = Client::new(&self.remote)?;
        let started = start(&client, &body, &idempotency_key).await?;

        let (saga, exit) = match self.wait {
            Some(timeout) => wait(&client, started, timeout).await?,
            None => (started, Exit::Ok),
        };
        print(&self.remote.output.saga(&saga)?)?;
        Ok(exit)
    }
}

async fn start(client: &Client, body: &Value, idempotency_key: &str) -> Result<String, Failure> {
    // The header's value is a quoted string.
    let quoted_key = Value::from(idempotency_key).to_string();
    let mut attempt = 0;

    loop {
        attempt += 1;
        match client
            .post("/sagas", body, &[("Idempotency-Key", &quoted_key)])
            .await
        {
            Err(failure) if failure.exit == Exit::Unavailable && attempt < MAX_ATTEMPTS => {
                eprintln!("orchestrator: {}; retrying", failure.message);
                tokio::time::sleep(RETRY_DELAY * attempt).await;
            }
            result => return result,
        }
    }
}

/// Polls the saga until it ends. Returns its last state and the exit code that tells the end.
async fn wait(
    client: &Client,
    started: String,
    timeout: Duration,
) -> Result<(String, Exit), Failure> {
    let started_at = Instant::now();
    let mut response = started;
    let mut interval = MIN_POLL_INTERVAL;

    loop {
        let saga: SagaDto = parse_response(&response)?;
        match saga.status {
            OpenEnum::Known(Status::Completed) => return Ok((response, Exit::Ok)),
            OpenEnum::Known(Status::Compensated) => return Ok((response, Exit::Compensated)),
            OpenEnum::Known(Status::Parked) => return Ok((response, Exit::Parked)),
            _ => {}
        }

        let remaining = timeout.saturating_sub(started_at.elapsed());
        if remaining.is_zero() {
            let SagaDto { id, status, .. } = saga;
            eprintln!("orchestrator: saga {id} is {status} after {timeout:?}");
            return Ok((response, Exit::Unavailable));
        }
        tokio::time::sleep(interval.min(remaining)).await;
        interval = (interval * 2).min(MAX_POLL_INTERVAL);
        response = client.get(&format!("/sagas/{}", saga.id), &[]).await?;
    }
}

/// A JSON value of the command line: itself, `@FILE`, or `-` for stdin.
///
/// # Errors
/// If it cannot be read or is not JSON.
pub fn json_argument(flag: &str, argument: &str) -> Result<Value, Failure> {
    let usage = |message: String| Failure::new(Exit::Usage, message);

    let text = if let Some(file) = argument.strip_prefix('@') {
        std::fs::read_to_string(file).map_err(|error| {
            usage(format!(
                "{flag} names {file}, which cannot be read: {error}"
            ))
        })?
    } else if argument == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| usage(format!("stdin cannot be read: {error}")))?;
        text
    } else {
        argument.to_owned()
    };
    serde_json::from_str(&text).map_err(|error| usage(format!("{flag} is not JSON: {error}")))
}
