//! Handlers that do what their command's input says.

use async_trait::async_trait;
use saga_protocol::Payload;
use saga_protocol::message::{Command, CommandInput};
use saga_worker::ledger::Migration;
use saga_worker::{
    CallKey, CallOutcome, ExternalHandler, Handler, HandlerError, Outcome, Tx, VoidOutcome, Work,
    WorkerSpec,
};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

const EFFECTS: Migration = Migration {
    version: 901,
    name: "effects",
    postgres: "create table effects (saga_id uuid primary key, what text not null)",
    sqlite: "create table effects (saga_id blob primary key, what text not null)",
};

/// Makes its effect first, then says what the command's input is.
pub struct Scripted;

/// The command, told what to do: `done`, `accepted`, `later`, `failed`, `retry`, `panic`, `sql`, `large`.
pub fn told(command: &Command, what: &str) -> Command {
    let input = CommandInput {
        input: Payload::encode(what).unwrap(),
        ..CommandInput::default()
    };
    Command {
        input,
        ..command.clone()
    }
}

fn say(command: &Command) -> Result<Outcome, HandlerError> {
    Ok(
        match command
            .input
            .input
            .decode::<String>()
            .unwrap_or_default()
            .as_str()
        {
            "accepted" => Outcome::accepted(),
            "later" => Outcome::later("not yet", Duration::from_secs(5)),
            "failed" => Outcome::failed("no", "it cannot be done"),
            "retry" => Outcome::retry("it did not work"),
            "panic" => panic!("told to"),
            "large" => Outcome::done("x".repeat(70_000)),
            _ => Outcome::done(serde_json::json!({ "made": true })),
        },
    )
}

#[async_trait]
impl Handler for Scripted {
    async fn execute(&self, command: &Command, tx: &mut Tx) -> Result<Outcome, HandlerError> {
        tx.sql("insert into effects (saga_id, what) values ($1, 'made')")
            .bind(command.saga_id)
            .execute()
            .await?;
        if command.input.input.get() == "\"sql\"" {
            tx.sql("insert into effects (saga_id, what) values ($1, null)")
                .bind(command.saga_id)
                .execute()
                .await?;
        }
        say(command)
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
        say(command)
    }
}

pub fn scripted() -> WorkerSpec {
    let (work, migrations) = (Work::Transactional(Arc::new(Scripted)), vec![EFFECTS]);
    WorkerSpec {
        name: "scripted".to_owned(),
        work,
        migrations,
        serves: Vec::new(),
    }
}

/// A world outside that the test drives: what it charges, and what it answers.
#[derive(Default)]
pub struct World {
    pub charged: Mutex<HashMap<String, u32>>,
    pub refunded: Mutex<Vec<String>>,
    pub voided: Mutex<Vec<String>>,
    pub keys: Mutex<Vec<String>>,
    /// What the next calls come to, the last one first; with none left they work.
    pub plan: Mutex<Vec<Plan>>,
    pub hanging: Notify,
    pub can_void: std::sync::atomic::AtomicBool,
}

#[derive(Clone, Copy, Debug)]
pub enum Plan {
    /// No effect, and no answer: the connection was refused, say.
    UnknownBefore,
    /// The effect, and no answer.
    UnknownAfter,
    /// Definitely no effect, for good.
    Failed,
    /// Definitely no effect under this key.
    Again,
    Later,
    Panic,
    /// Hangs for ever, before the effect.
    HangBefore,
    /// Hangs for ever, after it.
    HangAfter,
    Works,
}

impl World {
    pub fn spec(self: &Arc<Self>) -> WorkerSpec {
        let work = Work::External(Arc::clone(self) as Arc<dyn ExternalHandler>);
        WorkerSpec {
            name: "outside".to_owned(),
            work,
            migrations: Vec::new(),
            serves: Vec::new(),
        }
    }

    pub fn plan(&self, plan: &[Plan]) {
        *self.plan.lock().unwrap() = plan.iter().rev().copied().collect();
    }

    /// How often it charged, all keys together.
    pub fn charges(&self) -> u32 {
        self.charged.lock().unwrap().values().sum()
    }

    pub fn refunds(&self) -> usize {
        self.refunded.lock().unwrap().len()
    }

    pub fn keys(&self) -> Vec<String> {
        std::mem::take(&mut *self.keys.lock().unwrap())
    }

    fn next(&self, key: &CallKey) -> Plan {
        // What a test looks at is what comes behind the saga's id.
        self.keys
            .lock()
            .unwrap()
            .push(key.text.split_once(':').unwrap().1.to_owned());
        self.plan.lock().unwrap().pop().unwrap_or(Plan::Works)
    }

    async fn call(&self, key: &CallKey, effect: impl Fn()) -> CallOutcome {
        match self.next(key) {
            Plan::UnknownBefore => CallOutcome::unknown("refused"),
            Plan::UnknownAfter => {
                effect();
                CallOutcome::unknown("timed out")
            }
            Plan::Failed => CallOutcome::failed("declined", "no"),
            Plan::Again => CallOutcome::again("broken", "not under this key"),
            Plan::Later => CallOutcome::later("busy", Duration::from_secs(5)),
            Plan::Panic => panic!("told to"),
            Plan::HangBefore => self.hang().await,
            Plan::HangAfter => {
                effect();
                self.hang().await
            }
            Plan::Works => {
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
impl ExternalHandler for World {
    async fn execute(&self, _: &Command, key: &CallKey) -> CallOutcome {
        // An honest other side: a key that was voided, or charged, gets its answer again.
        if self.voided.lock().unwrap().contains(&key.text) {
            return CallOutcome::failed("voided", "never");
        }
        let charge = || {
            self.charged
                .lock()
                .unwrap()
                .entry(key.text.clone())
                .or_insert(1);
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
        if !self.can_void.load(std::sync::atomic::Ordering::SeqCst) {
            return VoidOutcome::Unsupported;
        }
        if self.charged.lock().unwrap().contains_key(&key.text) {
            return VoidOutcome::Happened(serde_json::json!({ "charge": key.text }).into());
        }
        self.voided.lock().unwrap().push(key.text.clone());
        VoidOutcome::Never
    }
}
