//! Operator actions on a saga (`cancel`, `retry`, `pause`, `resume`) and on a step (`complete`, `fail`, `resolve`).

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
pub struct SagaAction {
    /// The saga
    id: Uuid,

    /// Reason, recorded in the history
    #[arg(long, short = 'r', value_name = "TEXT")]
    reason: Option<String>,

    /// Act only if the saga is at this revision (exit code 4 if not)
    #[arg(long, value_name = "NUMBER")]
    if_revision: Option<u64>,

    #[command(flatten)]
    remote: Remote,
}

impl SagaAction {
    /// Runs `cancel`, `retry`, `pause` or `resume`.
    ///
    /// # Errors
    /// If the server rejects the action or is unavailable.
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

/// Complete a waiting step with an output
#[derive(Args, Clone, Debug)]
#[command(help_template = super::HELP, before_help = "Examples:
  orchestrator complete 0193a5c2-… store --step-output '{\"ready_at\": \"12:40\"}' --reason 'confirmed by phone'")]
pub struct Complete {
    #[command(flatten)]
    target: StepTarget,

    /// Output of the step: JSON, @FILE, or - for stdin
    #[arg(
        long = "step-output",
        value_name = "JSON|@FILE|-",
        default_value = "{}"
    )]
    output: String,

    /// Reason, recorded in the history
    #[arg(long, short = 'r', value_name = "TEXT")]
    reason: Option<String>,
}

/// Fail a waiting step
#[derive(Args, Clone, Debug)]
#[command(help_template = super::HELP, before_help = "Examples:
  orchestrator fail 0193a5c2-… store --code closed --message 'the kitchen closed early'")]
pub struct Fail {
    #[command(flatten)]
    target: StepTarget,

    /// Error code, matched by programs
    #[arg(long, value_name = "WORD", default_value = "failed_by_hand")]
    code: String,

    /// Error message, recorded in the history
    #[arg(
        long,
        short = 'r',
        visible_alias = "reason",
        value_name = "TEXT",
        default_value = "failed by an operator"
    )]
    message: String,
}

/// Resolve a parked compensation that was done manually
#[derive(Args, Clone, Debug)]
#[command(help_template = super::HELP, before_help = "Examples:
  orchestrator resolve 0193a5c2-… pay --note 'refunded by bank transfer, receipt 4711'")]
pub struct Resolve {
    #[command(flatten)]
    target: StepTarget,

    /// What was done, recorded in the history
    #[arg(long, short = 'n', visible_alias = "reason", value_name = "TEXT")]
    note: String,
}

/// A step of a saga.
#[derive(Args, Clone, Debug)]
struct StepTarget {
    /// The saga
    id: Uuid,

    /// The step
    step: String,

    /// Act only if the saga is at this revision (exit code 4 if not)
    #[arg(long, value_name = "NUMBER")]
    if_revision: Option<u64>,

    #[command(flatten)]
    remote: Remote,
}

impl StepTarget {
    async fn post(&self, action: &str, body: Value) -> Result<Exit, Failure> {
        if !self
            .step
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        {
            return Err(Failure::new(
                Exit::Usage,
                format!(
                    "{:?} is not a step name; expected letters, digits and dashes",
                    self.step
                ),
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
    /// Runs the action.
    ///
    /// # Errors
    /// If the output is not JSON, the server rejects the action, or it is unavailable.
    pub async fn run(self) -> Result<Exit, Failure> {
        let output = json_argument("--step-output", &self.output)?;
        let mut body = json!({"output": output});
        if let Some(reason) = self.reason {
            body["reason"] = reason.into();
        }
        self.target.post("complete", body).await
    }
}

impl Fail {
    /// Runs the action.
    ///
    /// # Errors
    /// If the server rejects the action or is unavailable.
    pub async fn run(self) -> Result<Exit, Failure> {
        self.target
            .post(
                "fail",
                json!({"error": {"code": self.code, "message": self.message}}),
            )
            .await
    }
}

impl Resolve {
    /// Runs the action.
    ///
    /// # Errors
    /// If the server rejects the action or is unavailable.
    pub async fn run(self) -> Result<Exit, Failure> {
        self.target
            .post("resolve", json!({"note": self.note}))
            .await
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
    let response = Client::new(remote)?.post(path, body, &headers).await?;
    print(&remote.output.saga(&response)?)?;
    Ok(Exit::Ok)
}
