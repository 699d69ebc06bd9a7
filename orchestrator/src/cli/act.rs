//! What operators do to one saga: `cancel`, `retry`, `pause`, `resume`, and to one step of it: `complete`, `fail`,
//! `resolve`.

use super::client::{Client, Remote};
use super::exit::{Exit, Failure};
use super::output::print;
use super::start::json_argument;
use clap::Args;
use serde_json::{Value, json};
use uuid::Uuid;

/// An action on a saga.
#[derive(Args, Clone, Debug)]
#[command(help_template = super::HELP, before_help = "Examples:
  orchestrator cancel 0193a5c2-… --reason 'the customer called'
  orchestrator retry 0193a5c2-… --reason 'the gateway is back'")]
pub struct Act {
    /// The saga
    id: Uuid,

    /// Why; kept in its history
    #[arg(long, short = 'r', value_name = "TEXT")]
    reason: Option<String>,

    /// Only if the saga is at this revision still (exit 4 if not)
    #[arg(long, value_name = "NUMBER")]
    if_revision: Option<u64>,

    #[command(flatten)]
    remote: Remote,
}

impl Act {
    /// Does it: `cancel`, `retry`, `pause` or `resume`.
    ///
    /// # Errors
    /// What the server refuses.
    pub async fn run(self, action: &str) -> Result<Exit, Failure> {
        let body = self
            .reason
            .as_ref()
            .map_or_else(|| json!({}), |reason| json!({"reason": reason}));
        post(
            &self.remote,
            &format!("/sagas/{}/{action}", self.id),
            &body,
            self.if_revision,
        )
        .await
    }
}

/// Finish a waiting step with an output
#[derive(Args, Clone, Debug)]
#[command(help_template = super::HELP, before_help = "Examples:
  orchestrator complete 0193a5c2-… store --step-output '{\"ready_at\": \"12:40\"}' --reason 'the cook called'")]
pub struct Complete {
    #[command(flatten)]
    step: Step,

    /// What the step gives: JSON, @FILE, or - for stdin
    #[arg(
        long = "step-output",
        value_name = "JSON|@FILE|-",
        default_value = "{}"
    )]
    output: String,

    /// Why; kept in its history
    #[arg(long, short = 'r', value_name = "TEXT")]
    reason: Option<String>,
}

/// Fail a waiting step for good
#[derive(Args, Clone, Debug)]
#[command(help_template = super::HELP, before_help = "Examples:
  orchestrator fail 0193a5c2-… store --code closed --message 'the kitchen closed early'")]
pub struct Fail {
    #[command(flatten)]
    step: Step,

    /// For programs
    #[arg(long, value_name = "WORD", default_value = "failed_by_hand")]
    code: String,

    /// For people; kept in its history
    #[arg(
        long,
        short = 'r',
        visible_alias = "reason",
        value_name = "TEXT",
        default_value = "failed by an operator"
    )]
    message: String,
}

/// Settle a parked compensation that was done by hand
#[derive(Args, Clone, Debug)]
#[command(help_template = super::HELP, before_help = "Examples:
  orchestrator resolve 0193a5c2-… pay --note 'refunded by bank transfer, receipt 4711'")]
pub struct Resolve {
    #[command(flatten)]
    step: Step,

    /// What was done; kept in its history
    #[arg(long, short = 'n', visible_alias = "reason", value_name = "TEXT")]
    note: String,
}

/// One step of one saga.
#[derive(Args, Clone, Debug)]
struct Step {
    /// The saga
    id: Uuid,

    /// The step
    step: String,

    /// Only if the saga is at this revision still (exit 4 if not)
    #[arg(long, value_name = "NUMBER")]
    if_revision: Option<u64>,

    #[command(flatten)]
    remote: Remote,
}

impl Step {
    async fn post(&self, action: &str, body: Value) -> Result<Exit, Failure> {
        if !self
            .step
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        {
            return Err(Failure::new(
                Exit::Usage,
                format!("{:?} is no step's name", self.step),
            ));
        }
        post(
            &self.remote,
            &format!("/sagas/{}/steps/{}/{action}", self.id, self.step),
            &body,
            self.if_revision,
        )
        .await
    }
}

impl Complete {
    /// Does it.
    ///
    /// # Errors
    /// What the server refuses; an output that is not JSON.
    pub async fn run(self) -> Result<Exit, Failure> {
        let output = json_argument("--step-output", &self.output)?;
        let mut body = json!({"output": output});
        if let Some(reason) = self.reason {
            body["reason"] = reason.into();
        }
        self.step.post("complete", body).await
    }
}

impl Fail {
    /// Does it.
    ///
    /// # Errors
    /// What the server refuses.
    pub async fn run(self) -> Result<Exit, Failure> {
        self.step
            .post(
                "fail",
                json!({"error": {"code": self.code, "message": self.message}}),
            )
            .await
    }
}

impl Resolve {
    /// Does it.
    ///
    /// # Errors
    /// What the server refuses.
    pub async fn run(self) -> Result<Exit, Failure> {
        self.step.post("resolve", json!({"note": self.note})).await
    }
}

async fn post(
    remote: &Remote,
    path: &str,
    body: &Value,
    if_revision: Option<u64>,
) -> Result<Exit, Failure> {
    let etag = if_revision.map(|revision| format!("\"{revision}\""));
    let headers: Vec<_> = etag
        .iter()
        .map(|etag| ("If-Match", etag.as_str()))
        .collect();
    let answer = Client::new(remote)?.post(path, body, &headers).await?;
    print(&remote.output.saga(&answer)?)?;
    Ok(Exit::Ok)
}
