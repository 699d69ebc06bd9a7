//! Handlers that a test controls.

use saga_worker::{
    CallKey, CallOutcome, Command, CommandInput, ExternalHandler, Handler, HandlerError, Migration,
    Outcome, Payload, Tx, VoidOutcome, Work, WorkerSpec, async_trait,
};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

const EFFECTS: Migration = Migration {
    version: 901,
    name: "effects",
    postgres: "create table effects (saga_id uuid primary key, effect text not null)",
    sqlite: "create table effects (saga_id blob primary key, effect text not null)",
};

/// Writes its effect first, then returns the outcome that the command's input names.
pub struct ScriptedHandler;

/// The command with the outcome of its handler: `done`, `accepted`, `later`, `failed`, `retry`,
/// `panic`, `sql` (a failing statement) or `large` (an output over the limit).
pub fn with_script(command: &Command, outcome: &str) -> Command {
    let input = CommandInput {
        input: Payload::encode(outcome).unwrap(),
        ..CommandInput::default()
    };
    Command {
        input,
        ..command.clone()
    }
}

fn scripted_outcome(command: &Command) -> Outcome {
    let script: String = command.input.input.decode().unwrap_or_default();
    match script.as_str() {
        "accepted" => Outcome::accepted(),
        "later" => Outcome::later("not yet", Duration::from_secs(5)),
        "failed" => Outcome::failed("no", "rejected by the script"),
        "retry" => Outcome::retry("retry requested by the script"),
        "panic" => panic!("scripted"),
        "large" => Outcome::done("x".repeat(70_000)),
        _ => Outcome::done(serde_json::json!({ "executed": true })),
    }
}

#[async_trait]
impl Handler for ScriptedHandler {
    async fn execute(&self, command: &Command, tx: &mut Tx) -> Result<Outcome, HandlerError> {
        tx.sql("insert into effects (saga_id, effect) values ($1, 'executed')")
            .bind(command.saga_id)
            .execute()
            .await?;
        if command.input.input.get() == "\"sql\"" {
            tx.sql("insert into effects (saga_id, effect) values ($1, null)")
                .bind(command.saga_id)
                .execute()
                .await?;
        }
        Ok(scripted_outcome(command))
    }

    async fn compensate(
        &self,
        command: &Command,
        _: &Payload,
        tx: &mut Tx,
    ) -> Result<Outcome, HandlerError> {
        tx.sql("delete from effects where saga_id = $1")
            .bind(command.saga_id)
            .execute()
            .await?;
        Ok(scripted_outcome(command))
    }
}

pub fn scripted() -> WorkerSpec {
    WorkerSpec {
        name: "scripted".to_owned(),
        work: Work::Transactional(Arc::new(ScriptedHandler)),
        migrations: vec![EFFECTS],
        serves: Vec::new(),
    }
}

/// An external system: its effects, and the planned outcomes of its calls.
#[derive(Default)]
pub struct FakeGateway {
    pub charged: Mutex<HashMap<String, u32>>,
    pub refunded: Mutex<Vec<String>>,
    pub voided: Mutex<Vec<String>>,
    /// The keys of all calls, without the saga id.
    pub keys: Mutex<Vec<String>>,
    /// The outcomes of the next calls, the last one first; then calls succeed.
    plan: Mutex<Vec<CallPlan>>,
    /// Notified when a call hangs.
    pub hanging: Notify,
    pub can_void: AtomicBool,
}

#[derive(Clone, Copy, Debug)]
pub enum CallPlan {
    UnknownWithoutEffect,
    UnknownWithEffect,
    Failed,
    Retry,
    Later,
    Panic,
    HangWithoutEffect,
    HangWithEffect,
    Succeed,
}

impl FakeGateway {
    pub fn spec(self: &Arc<Self>) -> WorkerSpec {
        WorkerSpec {
            name: "external".to_owned(),
            work: Work::External(Arc::clone(self) as Arc<dyn ExternalHandler>),
            migrations: Vec::new(),
            serves: Vec::new(),
        }
    }

    pub fn plan(&self, plan: &[CallPlan]) {
        *self.plan.lock().unwrap() = plan.iter().rev().copied().collect();
    }

    /// The number of charges under all keys.
    pub fn charges(&self) -> u32 {
        self.charged.lock().unwrap().values().sum()
    }

    pub fn refunds(&self) -> usize {
        self.refunded.lock().unwrap().len()
    }

    pub fn keys(&self) -> Vec<String> {
        std::mem::take(&mut *self.keys.lock().unwrap())
    }

    fn next_plan(&self, key: &CallKey) -> CallPlan {
        let (_, key) = key.text.split_once(':').unwrap();
        self.keys.lock().unwrap().push(key.to_owned());
        self.plan.lock().unwrap().pop().unwrap_or(CallPlan::Succeed)
    }

    async fn call(&self, key: &CallKey, effect: impl Fn()) -> CallOutcome {
        match self.next_plan(key) {
            CallPlan::UnknownWithoutEffect => CallOutcome::unknown("connection refused"),
            CallPlan::UnknownWithEffect => {
                effect();
                CallOutcome::unknown("timed out")
            }
            CallPlan::Failed => CallOutcome::failed("declined", "the charge is declined"),
            CallPlan::Retry => CallOutcome::retry("broken", "this key has no effect"),
            CallPlan::Later => CallOutcome::later("busy", Duration::from_secs(5)),
            CallPlan::Panic => panic!("scripted"),
            CallPlan::HangWithoutEffect => self.hang().await,
            CallPlan::HangWithEffect => {
                effect();
                self.hang().await
            }
            CallPlan::Succeed => {
                effect();
                CallOutcome::done(serde_json::json!({ "charge": key.text }))
            }
        }
    }

    async fn hang(&self) -> CallOutcome {
        self.hanging.notify_one();
        std::future::pending().await
    }
}

#[async_trait]
impl ExternalHandler for FakeGateway {
    async fn execute(&self, _: &Command, key: &CallKey) -> CallOutcome {
        if self.voided.lock().unwrap().contains(&key.text) {
            return CallOutcome::failed("voided", "the key is voided");
        }
        // Idempotent: repeated calls with a key have one effect.
        let charge = || {
            let mut charged = self.charged.lock().unwrap();
            charged.entry(key.text.clone()).or_insert(1);
        };
        self.call(key, charge).await
    }

    async fn compensate(&self, _: &Command, output: &Payload, key: &CallKey) -> CallOutcome {
        let charge = output.get().to_owned();
        self.call(key, || {
            let mut refunded = self.refunded.lock().unwrap();
            if !refunded.contains(&charge) {
                refunded.push(charge.clone());
            }
        })
        .await
    }

    async fn void(&self, _: &Command, key: &CallKey) -> VoidOutcome {
        if !self.can_void.load(Ordering::SeqCst) {
            return VoidOutcome::Unsupported;
        }
        if self.charged.lock().unwrap().contains_key(&key.text) {
            return VoidOutcome::Happened(serde_json::json!({ "charge": key.text }).into());
        }
        self.voided.lock().unwrap().push(key.text.clone());
        VoidOutcome::Voided
    }
}
