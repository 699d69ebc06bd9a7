//! `orchestrator start`: starts a saga, and waits for its end if asked to.

use super::client::{Client, Remote};
use super::exit::{Exit, Failure};
use super::output::print;
use super::view::{self, SagaView};
use clap::Args;
use saga_core::saga::Status;
use serde_json::{Value, json};
use std::io::Read;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// A saga is looked at so often while it is waited for: soon after the start, then ever less often.
const LOOK_FIRST: Duration = Duration::from_millis(20);
const LOOK_LAST: Duration = Duration::from_millis(500);
/// How often a start is tried again when the server did not answer; the same Idempotency-Key makes that safe.
const TRIES: u32 = 3;

/// Start a saga
#[derive(Args, Clone, Debug)]
#[command(help_template = super::HELP, before_help = "Examples:
  orchestrator start --workflow order --input @order.json --wait
  echo '{\"a\": 1}' | orchestrator start --workflow pair --input - --key job-7 -o id")]
pub struct Start {
    /// Name of the workflow
    #[arg(long, short = 'w', value_name = "NAME")]
    workflow: String,

    /// Its version; the highest unless given
    #[arg(long, value_name = "NUMBER")]
    version: Option<u32>,

    /// What it is started with: JSON, @FILE, or - for stdin
    #[arg(long, short = 'i', value_name = "JSON|@FILE|-", default_value = "{}")]
    input: String,

    /// Business key, unique in its workflow; the saga's id unless given
    #[arg(long, short = 'k', value_name = "TEXT")]
    key: Option<String>,

    /// Sent as Idempotency-Key, so that a repeat starts nothing; a new one unless given
    #[arg(long, value_name = "TEXT")]
    idempotency_key: Option<String>,

    /// Wait for its end; at most that long, if a duration is given (exit 6 then)
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "1000d",
          value_parser = saga_settings::parse::duration)]
    wait: Option<Duration>,

    #[command(flatten)]
    remote: Remote,
}

impl Start {
    /// Starts it.
    ///
    /// # Errors
    /// What the server refuses; with `--wait` a saga that ended otherwise than completed.
    pub async fn run(self) -> Result<Exit, Failure> {
        let mut body =
            json!({"workflow": self.workflow, "input": json_argument("--input", &self.input)?});
        for (name, value) in [
            ("key", self.key.map(Value::from)),
            ("version", self.version.map(Value::from)),
        ] {
            if let Some(value) = value {
                body[name] = value;
            }
        }
        let idempotency_key = self
            .idempotency_key
            .unwrap_or_else(|| Uuid::now_v7().to_string());
        let client = Client::new(&self.remote)?;
        let mut answer = start(&client, &body, &idempotency_key).await?;
        let mut exit = Exit::Ok;
        if let Some(at_most) = self.wait {
            (answer, exit) = wait(&client, answer, at_most).await?;
        }
        print(&self.remote.output.saga(&answer)?)?;
        Ok(exit)
    }
}

async fn start(client: &Client, body: &Value, idempotency_key: &str) -> Result<String, Failure> {
    let quoted = Value::from(idempotency_key).to_string();
    let mut tries = 0;
    loop {
        tries += 1;
        match client
            .post("/sagas", body, &[("Idempotency-Key", &quoted)])
            .await
        {
            Err(failure) if failure.exit == Exit::Unavailable && tries < TRIES => {
                eprintln!("orchestrator: {}; trying again", failure.message);
                tokio::time::sleep(Duration::from_millis(300) * tries).await;
            }
            answer => return answer,
        }
    }
}

/// Looks at the saga until it is at rest. What it says of the end: the code.
async fn wait(
    client: &Client,
    mut answer: String,
    at_most: Duration,
) -> Result<(String, Exit), Failure> {
    let began = Instant::now();
    let mut pause = LOOK_FIRST;
    loop {
        let saga: SagaView = view::read(&answer)?;
        let exit = match saga.status.known() {
            Some(Status::Completed) => Some(Exit::Ok),
            Some(Status::Compensated) => Some(Exit::Compensated),
            Some(Status::Parked) => Some(Exit::Parked),
            _ => None,
        };
        if let Some(exit) = exit {
            return Ok((answer, exit));
        }
        if began.elapsed() >= at_most {
            eprintln!(
                "orchestrator: saga {} is {} after {at_most:?}",
                saga.id,
                saga.status.text()
            );
            return Ok((answer, Exit::Unavailable));
        }
        tokio::time::sleep(pause.min(at_most.saturating_sub(began.elapsed()))).await;
        pause = (pause * 2).min(LOOK_LAST);
        answer = client.get(&format!("/sagas/{}", saga.id), &[]).await?;
    }
}

/// A JSON value from the command line: itself, `@FILE`, or `-` for stdin.
///
/// # Errors
/// If it cannot be read or is not JSON: a mistake of usage.
pub fn json_argument(flag: &str, text: &str) -> Result<Value, Failure> {
    let usage = |words: String| Failure::new(Exit::Usage, words);
    let text = match text.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file).map_err(|error| {
            usage(format!(
                "{flag} names {file}, which cannot be read: {error}"
            ))
        })?,
        None if text == "-" => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|error| usage(format!("stdin cannot be read: {error}")))?;
            text
        }
        None => text.to_owned(),
    };
    serde_json::from_str(&text).map_err(|error| usage(format!("{flag} is not JSON: {error}")))
}
