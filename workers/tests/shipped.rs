//! The workers shipped, on both databases, driven over a bus in memory.

mod support;

use support::{Bus, Home, compensate, execute, gist, homes};
use tokio_util::sync::CancellationToken;
use workers::handlers::{HandlerSettings, Payment, shipped};
use workers::{Settings, Worker};
use workflows::message::Outcome;

struct Running {
    bus: Bus,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

async fn run(name: &str, home: &Home, settings: HandlerSettings) -> Running {
    let shutdown = CancellationToken::new();
    let spec = shipped(name, &settings).unwrap();
    let worker = Worker::build(spec, &home.target, Settings::default(), &shutdown).await.unwrap();
    let (bus, source) = Bus::new();
    let task = tokio::spawn(worker.run(source, bus.sink.clone(), shutdown.clone()));
    Running { bus, shutdown, task }
}

impl Running {
    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }
}

fn inside() -> HandlerSettings {
    HandlerSettings { payment: Some(Payment::Inside), ..HandlerSettings::default() }
}

#[tokio::test]
async fn every_step_is_done_repeated_from_the_ledger_and_undone() {
    for home in homes("every_step_is_done_repeated_from_the_ledger_and_undone").await {
        for name in ["order", "pay", "store", "deliver"] {
            let worker = run(name, &home, inside()).await;
            let command = execute(name);
            let first = worker.bus.ask(command.clone()).await;
            assert_eq!(gist(&first), (Outcome::Completed, false, ""), "{name} on {}", home.kind);
            assert_eq!(worker.bus.ask(command.clone()).await, first, "a repeated command gets the same answer");
            let undone = worker.bus.ask(compensate(&command)).await;
            assert_eq!(gist(&undone), (Outcome::Completed, false, ""));
            assert_eq!(gist(&worker.bus.ask(command).await), (Outcome::Failed, false, "revoked"));
            worker.bus.acked(4).await;
            worker.stop().await;
        }
        home.leave().await;
    }
}
