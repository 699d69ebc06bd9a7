//! Measures the throughput of the built-in workers and their ledgers without a bus:
//! `cargo run --release -p workers --example speed -- postgres://… 100000`.

use async_trait::async_trait;
use saga_protocol::Action;
use saga_protocol::Time;
use saga_protocol::message::{Command, CommandInput, Envelope, Reply, WorkerHeartbeat};
use saga_worker::bus::{Ack, CommandDelivery, CommandSource, DeadLetter, ReplySink, SendError};
use saga_worker::ledger::LedgerTarget;
use saga_worker::{Worker, WorkerSettings};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use workers::handlers::{HandlerSettings, PaymentMode, built_in};

/// Generates `remaining` commands to execute a step, each of a new saga.
struct GeneratedCommands {
    step: &'static str,
    remaining: usize,
}

#[async_trait]
impl CommandSource for GeneratedCommands {
    async fn poll(&mut self, max: usize) -> Option<Vec<CommandDelivery>> {
        let count = max.min(self.remaining);
        self.remaining -= count;
        (count > 0).then(|| (0..count).map(|_| command(self.step)).collect())
    }
}

/// Discards the replies.
struct DiscardingSink;

#[async_trait]
impl ReplySink for DiscardingSink {
    async fn send(&self, _: Vec<(Reply, Envelope)>) -> Result<(), SendError> {
        Ok(())
    }

    async fn heartbeat(&self, _: &WorkerHeartbeat) -> Result<(), SendError> {
        Ok(())
    }

    async fn leave(&self, _: &str) -> Result<(), SendError> {
        Ok(())
    }

    async fn dead_letter(&self, _: DeadLetter) -> Result<(), SendError> {
        Ok(())
    }
}

fn command(step: &str) -> CommandDelivery {
    let saga_id = Uuid::now_v7();
    let now = Time::from(chrono::Utc::now());
    let input = serde_json::json!({
        "customer": "c-1", "store": "s-1", "items": [{"menu": "big mac", "quantity": 2, "price": 550}],
        "currency": "EUR", "fulfilment": "delivery", "payment": {"method": "card", "token": "tok_visa"},
    });
    let command = Command {
        saga_id,
        workflow: "order".to_owned(),
        version: 1,
        key: saga_id.to_string(),
        step: step.to_owned(),
        action: Action::Execute,
        attempt: 1,
        revision: 1,
        decided_at: now,
        deadline: now + Duration::from_secs(7200),
        happened: None,
        revoke_only: false,
        input: CommandInput {
            input: input.into(),
            ..CommandInput::default()
        },
    };
    CommandDelivery::new(command, Envelope::default(), Ack::noop())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let database = arguments
        .next()
        .ok_or("missing argument: expected postgres://… or a directory for SQLite")?;
    let count: usize = arguments.next().as_deref().unwrap_or("50000").parse()?;

    let target = match database.starts_with("postgres") {
        true => LedgerTarget::Postgres { url: database },
        false => LedgerTarget::Sqlite {
            dir: database.into(),
        },
    };

    let handlers = HandlerSettings {
        payment: Some(PaymentMode::Inside),
        ..HandlerSettings::default()
    };

    let shutdown = CancellationToken::new();
    let mut tasks = tokio::task::JoinSet::new();
    let start = Instant::now();

    for step in ["order", "pay", "store", "deliver"] {
        let worker = Worker::build(
            built_in(step, &handlers)?,
            &target,
            WorkerSettings::default(),
            &shutdown,
        )
        .await?;
        let source = GeneratedCommands {
            step,
            remaining: count,
        };
        tasks.spawn(worker.run(source, Arc::new(DiscardingSink), shutdown.clone()));
    }

    while tasks.join_next().await.is_some() {}

    let elapsed = start.elapsed();
    println!(
        "{count} sagas of 4 steps in {elapsed:.1?}: {:.0} sagas/s",
        count as f64 / elapsed.as_secs_f64()
    );
    Ok(())
}
