//! B7: a timeout counts only from when its command could have been taken.

use super::scripted::obedient;
use super::*;
use saga_core::saga::Status;
use saga_protocol::Action;
use saga_protocol::message::EventType;
use std::sync::atomic::Ordering;

/// The timeout of the first two steps.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Waits until the bus was told of so many events of a kind.
async fn until_told(rig: &Rig, event_type: EventType, count: usize) {
    let told = || {
        rig.bus
            .events
            .lock()
            .expect("no panic")
            .iter()
            .filter(|event| event.event_type == event_type)
            .count()
    };
    let all = async {
        while told() < count {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let waited = tokio::time::timeout(SOON, all).await;
    assert!(
        waited.is_ok() && told() == count,
        "{} of {count} were told of {event_type:?}",
        told()
    );
}

/// So much time goes by, and the engine looks what is due.
async fn passes(rig: &Rig, time: Duration) {
    rig.db.advance(time).await;
    let asked = tokio::time::Instant::now();
    let now = rig.db.now().await.expect("answered");
    rig.engine
        .context()
        .clock
        .sample(asked, tokio::time::Instant::now(), now);
    rig.engine
        .context()
        .timers
        .set(saga_protocol::Time::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn b7_absent_workers_cost_no_attempt_and_no_command() {
    let rig = Rig::new(obedient()).await;
    rig.bus.away.store(true, Ordering::Relaxed);
    let mut ids = vec![rig.start().await];
    let mut put_off = 0;
    for _ in 0..20 {
        put_off += ids.len();
        passes(&rig, TIMEOUT + Duration::from_millis(1)).await;
        until_told(&rig, EventType::StepReminder, put_off).await;
        ids.push(rig.start().await);
    }
    let history = rig
        .db
        .history(ids[0], None, 500)
        .await
        .expect("answered")
        .entries;
    let last: serde_json::Value = serde_json::from_slice(&history[20].entry).expect("JSON");
    let timer = serde_json::json!({"type": "timer", "unconsumed": true, "steps": ["first"]});
    assert_eq!((history.len(), &last["input"]), (21, &timer));
    rig.bus.come_back().await;
    for id in &ids {
        let saga = rig.until(*id, |saga| saga.status.is_finished()).await;
        assert_eq!(
            (saga.status, saga.steps[0].execute.attempt),
            (Status::Completed, 1)
        );
        assert_eq!(saga.steps[0].execute.failures, 0);
    }
    let commands = rig.bus.commands.lock().expect("no panic").clone();
    let first = commands
        .iter()
        .filter(|command| command.step == "first")
        .count();
    assert_eq!(
        first,
        ids.len(),
        "each saga has sent its first command once"
    );
    rig.end().await;
}

/// The bus knows a command by the moment it was decided, which its being put off must not change.
#[tokio::test(flavor = "multi_thread")]
async fn b7_timeout_of_later_attempt_is_postponed_repeatedly() {
    let rig = Rig::new(Box::new(|command| {
        match (command.step.as_str(), command.attempt) {
            ("first", 1) => vec![],
            _ => obedient()(command),
        }
    }))
    .await;
    let id = rig.start().await;
    until_told(&rig, EventType::SagaStarted, 1).await;
    passes(&rig, TIMEOUT + Duration::from_millis(1)).await;
    rig.bus.away.store(true, Ordering::Relaxed);
    rig.until(id, |saga| saga.steps[0].execute.failures == 1)
        .await;
    passes(&rig, TIMEOUT).await;
    rig.until(id, |saga| saga.steps[0].execute.attempt == 2)
        .await;
    for put_off in 1..=5 {
        passes(&rig, TIMEOUT + Duration::from_millis(1)).await;
        until_told(&rig, EventType::StepReminder, put_off).await;
    }
    rig.bus.come_back().await;
    let saga = rig.until(id, |saga| saga.status.is_finished()).await;
    assert_eq!(
        (saga.status, saga.steps[0].execute.attempt),
        (Status::Completed, 2)
    );
    rig.end().await;
}

/// What the bus has no room for cannot have been taken.
#[tokio::test(flavor = "multi_thread")]
async fn b7_timeout_with_unpublished_outbox_does_not_count() {
    let rig = Rig::new(obedient()).await;
    rig.bus.full.store(true, Ordering::Relaxed);
    let id = rig.start().await;
    let put_off: [fn(&Saga) -> bool; 3] = [
        |saga| saga.revision == 2,
        |saga| saga.revision == 3,
        |saga| saga.revision == 4,
    ];
    for reached in put_off {
        passes(&rig, TIMEOUT + Duration::from_millis(1)).await;
        rig.until(id, reached).await;
    }
    assert_eq!(
        rig.bus.commands.lock().expect("no panic").len(),
        0,
        "nothing came through"
    );
    rig.bus.full.store(false, Ordering::Relaxed);
    let saga = rig.until(id, |saga| saga.status.is_finished()).await;
    assert_eq!(
        (saga.status, saga.steps[0].execute.attempt),
        (Status::Completed, 1)
    );
    assert_eq!(saga.steps[0].execute.failures, 0);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b7_timeout_of_consumed_command_counts() {
    // The command is taken, and not answered.
    let rig = Rig::new(Box::new(|command| {
        match (command.attempt, command.action) {
            (1, Action::Execute) => vec![],
            _ => obedient()(command),
        }
    }))
    .await;
    let id = rig.start().await;
    until_told(&rig, EventType::SagaStarted, 1).await;
    rig.bus.away.store(true, Ordering::Relaxed);
    passes(&rig, TIMEOUT + Duration::from_millis(1)).await;
    rig.until(id, |saga| saga.steps[0].execute.failures == 1)
        .await;
    rig.bus.come_back().await;
    rig.until(id, |saga| saga.steps[0].execute.attempt == 2)
        .await;
    rig.engine.stop().await;
}
