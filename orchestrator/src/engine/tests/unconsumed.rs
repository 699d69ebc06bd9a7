//! B7: a timeout counts only once a worker could have consumed the command.

use super::scripted_bus::complete_all;
use super::*;
use saga_core::saga::Status;
use saga_protocol::Action;
use saga_protocol::message::EventType;
use std::sync::atomic::Ordering;

/// The timeout of the first two steps.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Waits until the bus has received that many events of a type.
async fn wait_for_events(test: &TestEngine, event_type: EventType, count: usize) {
    let published = || {
        test.bus
            .events
            .lock()
            .expect("lock poisoned")
            .iter()
            .filter(|event| event.event_type == event_type)
            .count()
    };
    let all = async {
        while published() < count {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let waited = tokio::time::timeout(TIMEOUT_OF_TEST, all).await;
    assert!(
        waited.is_ok() && published() == count,
        "{} of {count} events {event_type:?} were published",
        published()
    );
}

/// Advances the clock, and makes the engine poll its timers.
async fn advance(test: &TestEngine, time: Duration) {
    test.db.advance(time).await;
    let asked = tokio::time::Instant::now();
    let now = test.db.now().await.expect("answered");
    test.engine
        .context()
        .clock
        .sample(asked, tokio::time::Instant::now(), now);
    test.engine
        .context()
        .timers
        .set(saga_protocol::Time::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn b7_absent_workers_cost_no_attempt_and_no_command() {
    let test = TestEngine::new(complete_all()).await;
    test.bus.workers_absent.store(true, Ordering::Relaxed);
    let mut ids = vec![test.start().await];
    let mut postponed = 0;
    for _ in 0..20 {
        postponed += ids.len();
        advance(&test, TIMEOUT + Duration::from_millis(1)).await;
        wait_for_events(&test, EventType::StepReminder, postponed).await;
        ids.push(test.start().await);
    }
    let history = test
        .db
        .history(ids[0], None, 500)
        .await
        .expect("answered")
        .entries;
    let last: serde_json::Value = serde_json::from_slice(&history[20].entry).expect("JSON");
    let timer = serde_json::json!({"type": "timer", "unconsumed": true, "steps": ["first"]});
    assert_eq!((history.len(), &last["input"]), (21, &timer));
    test.bus.return_workers().await;
    for id in &ids {
        let saga = test.wait_for(*id, |saga| saga.status.is_finished()).await;
        assert_eq!(
            (saga.status, saga.steps[0].execute.attempt),
            (Status::Completed, 1)
        );
        assert_eq!(saga.steps[0].execute.failures, 0);
    }
    let commands = test.bus.commands.lock().expect("lock poisoned").clone();
    let first = commands
        .iter()
        .filter(|command| command.step == "first")
        .count();
    assert_eq!(
        first,
        ids.len(),
        "each saga has sent its first command once"
    );
    test.shutdown().await;
}

/// The bus identifies a command by its decision time, which a postponed timeout must not change.
#[tokio::test(flavor = "multi_thread")]
async fn b7_timeout_of_later_attempt_is_postponed_repeatedly() {
    let test = TestEngine::new(Box::new(|command| {
        match (command.step.as_str(), command.attempt) {
            ("first", 1) => vec![],
            _ => complete_all()(command),
        }
    }))
    .await;
    let id = test.start().await;
    wait_for_events(&test, EventType::SagaStarted, 1).await;
    advance(&test, TIMEOUT + Duration::from_millis(1)).await;
    test.bus.workers_absent.store(true, Ordering::Relaxed);
    test.wait_for(id, |saga| saga.steps[0].execute.failures == 1)
        .await;
    advance(&test, TIMEOUT).await;
    test.wait_for(id, |saga| saga.steps[0].execute.attempt == 2)
        .await;
    for postponed in 1..=5 {
        advance(&test, TIMEOUT + Duration::from_millis(1)).await;
        wait_for_events(&test, EventType::StepReminder, postponed).await;
    }
    test.bus.return_workers().await;
    let saga = test.wait_for(id, |saga| saga.status.is_finished()).await;
    assert_eq!(
        (saga.status, saga.steps[0].execute.attempt),
        (Status::Completed, 2)
    );
    test.shutdown().await;
}

/// A worker cannot have consumed what the bus has not accepted.
#[tokio::test(flavor = "multi_thread")]
async fn b7_timeout_with_unpublished_outbox_does_not_count() {
    let test = TestEngine::new(complete_all()).await;
    test.bus.rejects_batches.store(true, Ordering::Relaxed);
    let id = test.start().await;
    let postponed: [fn(&Saga) -> bool; 3] = [
        |saga| saga.revision == 2,
        |saga| saga.revision == 3,
        |saga| saga.revision == 4,
    ];
    for reached in postponed {
        advance(&test, TIMEOUT + Duration::from_millis(1)).await;
        test.wait_for(id, reached).await;
    }
    assert_eq!(
        test.bus.commands.lock().expect("lock poisoned").len(),
        0,
        "nothing came through"
    );
    test.bus.rejects_batches.store(false, Ordering::Relaxed);
    let saga = test.wait_for(id, |saga| saga.status.is_finished()).await;
    assert_eq!(
        (saga.status, saga.steps[0].execute.attempt),
        (Status::Completed, 1)
    );
    assert_eq!(saga.steps[0].execute.failures, 0);
    test.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b7_timeout_of_consumed_command_counts() {
    // The command is taken, and not answered.
    let test = TestEngine::new(Box::new(|command| {
        match (command.attempt, command.action) {
            (1, Action::Execute) => vec![],
            _ => complete_all()(command),
        }
    }))
    .await;
    let id = test.start().await;
    wait_for_events(&test, EventType::SagaStarted, 1).await;
    test.bus.workers_absent.store(true, Ordering::Relaxed);
    advance(&test, TIMEOUT + Duration::from_millis(1)).await;
    test.wait_for(id, |saga| saga.steps[0].execute.failures == 1)
        .await;
    test.bus.return_workers().await;
    test.wait_for(id, |saga| saga.steps[0].execute.attempt == 2)
        .await;
    test.engine.stop().await;
}
